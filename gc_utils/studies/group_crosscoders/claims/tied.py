"""Claims TC1 and EQ1 of notebook 04c: tied crosscoders, equivariance.

Pure functions of numbers and tables: each returns a `Finding`, or a sentence for a reader.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, verdict
from gc_utils.studies.group_crosscoders.claims.shared import percent
from gc_utils.studies.group_crosscoders.tied_beside_untied import Agreement
from gc_utils.symmetry import Equivariance

TC1 = Claim(
    "TC1",
    short="A tied dictionary explains as much as an untied one",
    claim="a dictionary closed under the group explains as much as an untied one of its size",
    source="ours",
    figure="04c_growth",
)
EQ1 = Claim(
    "EQ1",
    short="The layer is equivariant under rotation",
    claim="the layer is equivariant: rotating an image acts on its responses as a matrix on "
    "channels, and rotations are powers of one matrix",
    source="ours",
    figure="04c_equivariance",
)
FVU_MARGIN = 0.005  # by which the tied crosscoder may explain less
EQUIVARIANT = 0.9  # least share of variance that powers of one matrix must predict


def tied_explains(table: pd.DataFrame, agreement: Agreement, k: int, evidence: Evidence) -> Finding:
    """Judge TC1: does the tied crosscoder leave no more variance unexplained?

    Args:
        table: The columns `tied` and `untied` of `compare_tied`.
        agreement: Of the tied families with clusters of the untied features.
        k: Active features a sample.
        evidence: What network the activations are of.

    Returns:
        The finding; it cannot be asked if either FVU is not a number.
    """
    t, u = table["tied"], table["untied"]
    value = {
        "FVU tied": round(t["FVU"], 3),
        "FVU untied": round(u["FVU"], 3),
        "orientation part, tied": round(t["orientation part"], 3),
        "orientation part, untied": round(u["orientation part"], 3),
        "parameters, untied over tied": round(u["parameters"] / t["parameters"], 1),
        "seconds a step, tied over untied": round(t["seconds a step"] / u["seconds a step"], 1),
        "found again, tied": round(t["found again, median cosine"], 2),
        "found again, untied": round(u["found again, median cosine"], 2),
        "agreement with clusters": round(agreement.mutual_information, 2),
    }
    value = {name: number for name, number in value.items() if math.isfinite(number)}
    asked = math.isfinite(t["FVU"]) and math.isfinite(u["FVU"])
    holds = bool(t["FVU"] <= u["FVU"] + FVU_MARGIN) if asked else None
    why = (
        f"held-out FVU {t['FVU']:.3f} tied ({t['features']:.0f} features, {t['families']:.0f} "
        f"families fire), {u['FVU']:.3f} untied ({u['features']:.0f} features), L0 {k}; "
        f"{FVU_MARGIN} more allowed"
    )
    return Finding(TC1, value, verdict(holds, evidence), why, evidence=evidence)


def layer_is_equivariant(found: Mapping[str, Equivariance], evidence: Evidence) -> Finding:
    """Judge EQ1: do powers of one matrix predict nine tenths of the variance in the last layer?

    Args:
        found: The equivariance of each layer; the last entry decides.
        evidence: What network the layers are of.

    Returns:
        The finding; it cannot be asked without a layer, or if the share is not a number.
    """
    means = {
        f"{name}, {which}": round(one.mean(which), 3)
        for name, one in found.items()
        for which in ("powers", "free")
    }
    value = {name: r2 for name, r2 in means.items() if math.isfinite(r2)}
    if not found:
        word = verdict(None, evidence)
        return Finding(EQ1, {"layers": 0}, word, "no layer was measured", evidence=evidence)
    name, last = list(found.items())[-1]
    powers, free = last.mean("powers"), last.mean("free")
    holds = bool(powers >= EQUIVARIANT) if math.isfinite(powers) else None
    why = (
        f"in {name} powers of one matrix predict {percent(powers)} of rotated responses' "
        f"variance, a matrix each {percent(free)}; {100 * EQUIVARIANT:.0f} % needed"
    )
    return Finding(EQ1, value, verdict(holds, evidence), why, evidence=evidence)
