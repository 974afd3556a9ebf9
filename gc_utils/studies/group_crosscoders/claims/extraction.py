"""Claim EX1 of notebook 01: what depends on the rotation.

Pure functions of numbers and tables: each returns a `Finding`, or a sentence for a reader.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gc_utils.evidence import Claim, Evidence, Finding, verdict
from gc_utils.studies.group_crosscoders.claims.shared import percent
from gc_utils.symmetry.variance import Variance

EX1 = Claim(
    "EX1",
    short="A layer's response depends on how the image is rotated",
    claim="the response of a layer to a photograph depends on how the photograph is rotated",
    source="the premise of Gorton 2024",
    figure="01_variance",
)


def depends_on_rotation(
    whole: Variance, sampled: Mapping[str, Variance], evidence: Evidence
) -> Finding:
    """EX1: more than a twentieth of the variance depends on the rotation.

    Args:
        whole: how the variance of all orbits divides.
        sampled: the same of a few orbits, by how they were sampled (`"with low-pass"`); the share
            of angular frequency 4 is recorded where the group has it.
        evidence: from `store_evidence`.
    """
    share = 1 - whole.invariant_share
    asked = bool(np.isfinite([share, whole.mean_over_sd]).all())
    value: dict | str = "undefined"
    why = "the responses do not vary at all, so that no share can depend on the rotation"
    if asked:
        why = f"{percent(share)} of the variance depends on the rotation"
        value = {
            "orientation share of variance": round(share, 3),
            "mean over channels": round(float(1 - whole.per_channel.mean()), 3),
            "mean over sd": round(whole.mean_over_sd, 3),
        } | {
            f"frequency 4 {name}": round(float(found.frequencies[4]), 3)
            for name, found in sampled.items()
            if len(found.frequencies) > 4  # fewer rotations cannot show it
        }
    return Finding(
        EX1, value, verdict(share > 0.05 if asked else None, evidence), why, evidence=evidence
    )


def extraction_sentence(whole: Variance, layer: str) -> str:
    """The closing sentence of notebook 01.

    Args:
        whole: how the variance of all orbits divides.
        layer: the layer's name.
    """
    share = 1 - whole.invariant_share
    if not np.isfinite(share):
        return f"The responses of {layer} do not vary: there is nothing to divide."
    end = "this is what a group crosscoder adds to an autoencoder of orbit means."
    if share <= 0.05:
        end = "a group crosscoder has next to nothing to add to an autoencoder of orbit means."
    return (
        f"{percent(whole.invariant_share)} of the variance of {layer} does not depend on the "
        f"rotation (mean over channels {percent(float(whole.per_channel.mean()))}) and "
        f"{percent(share)} does; {end}"
    )
