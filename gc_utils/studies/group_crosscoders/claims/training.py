"""Claims TR1 and TR2 of notebook 02: what dictionaries explain.

Pure functions of numbers and tables: each returns a `Finding`, or a sentence for a reader.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, verdict
from gc_utils.studies.group_crosscoders.claims.shared import percent
from gc_utils.studies.group_crosscoders.folds import RIDGE, crosscoder_name, fvu_by_fold, pca_name

TR1 = Claim(
    "TR1",
    short="A sparse code explains more of an orbit than PCA",
    claim="a sparse code explains more of a whole orbit than as many principal components",
    source="ours",
    figure="02_fvu",
)
TR2 = Claim(
    "TR2",
    short="A sparse code of one view predicts the others like ridge",
    claim="from the unrotated view alone, a sparse code predicts the orientation part at least as "
    "well as ridge regression",
    source="ours",
    figure="02_per_element",
)


def beats_pca(
    table: pd.DataFrame, k: int, encoder: str, channels: int, evidence: Evidence
) -> Finding:
    """TR1: in every fold the crosscoder leaves less unexplained than PCA.

    Args:
        table: from `folds.compare`.
        k: active features a sample, and principal components.
        encoder: of the crosscoder that is compared.
        channels: numbers in one view.
        evidence: from `store_evidence`, about a method.
    """
    own, pca, ridge = (
        fvu_by_fold(table, name) for name in (crosscoder_name(encoder), pca_name(k), RIDGE)
    )
    gain = 100 * (pca - own)
    if not np.isfinite([*gain, *ridge]).all() or not len(gain):
        return _unasked(
            TR1, evidence, "held-out images of a fold do not vary, so nothing is explained"
        )
    return Finding(
        TR1,
        {
            "points of variance more": round(gain.mean(), 1),
            "FVU crosscoder": round(own.mean(), 3),
            "FVU PCA": round(pca.mean(), 3),
            "encoder": encoder,
        },
        verdict(bool(gain.min() > 0), evidence),
        f"over {len(gain)} folds the gain lies between {gain.min():.1f} and {gain.max():.1f} "
        f"points; ridge regression on all {channels} unrotated channels leaves {ridge.mean():.3f}",
        _ends(gain),
        evidence,
    )


def matches_ridge(table: pd.DataFrame, evidence: Evidence) -> Finding:
    """TR2: the identity encoder explains as much of the orientation part as ridge regression does.

    Args:
        table: from `folds.compare`, with both encoders.
        evidence: from `store_evidence`, about a method.
    """
    ridge, identity, orbit = (
        fvu_by_fold(table, name, "orientation")
        for name in (RIDGE, crosscoder_name("identity"), crosscoder_name("orbit"))
    )
    lead = 100 * (ridge - identity)
    if not np.isfinite([*lead, *orbit]).all() or not len(lead):
        return _unasked(
            TR2, evidence, "held-out images of a fold have no orientation part to predict"
        )
    return Finding(
        TR2,
        {
            "explained by ridge": round(1 - ridge.mean(), 3),
            "explained by the identity encoder": round(1 - identity.mean(), 3),
            "explained by the orbit encoder": round(1 - orbit.mean(), 3),
        },
        verdict(bool(lead.mean() >= 0), evidence),
        f"compared with ridge the identity encoder explains {lead.mean():+.1f} points, the orbit "
        f"encoder, which sees every view, {100 * (ridge - orbit).mean():+.1f}",
        _ends(lead),
        evidence,
    )


def training_sentence(table: pd.DataFrame, k: int, encoder: str) -> str:
    """The closing sentence of notebook 02.

    Args:
        table: from `folds.compare`.
        k: active features a sample.
        encoder: the encoder whose crosscoder goes on to the next notebooks.
    """
    own = fvu_by_fold(table, crosscoder_name(encoder)).mean()
    more = 100 * (fvu_by_fold(table, pca_name(k)).mean() - own)
    dead = table[table.method == crosscoder_name(encoder)].dead.mean()
    if not np.isfinite(own):
        return "The held-out images do not vary: the crosscoders cannot be compared on them."
    return (
        f"On images that training never saw, the {encoder} encoder's crosscoder leaves "
        f"{percent(own)} of the variance unexplained, {abs(more):.1f} points "
        f"{'less' if more >= 0 else 'more'} than {k} principal components, and {percent(dead)} of "
        "its features never fire; it goes on to the next notebooks."
    )


def _unasked(claim: Claim, evidence: Evidence, why: str) -> Finding:
    """A finding about a claim that these data cannot decide."""
    return Finding(claim, "undefined", verdict(None, evidence), why, evidence=evidence)


def _ends(points: np.ndarray) -> tuple[float, float]:
    return round(points.min(), 1), round(points.max(), 1)
