"""Claims GC3, FB1 and FB2 of notebook 04: the symmetry of features and of known filters.

Pure functions of numbers and tables: each returns a `Finding`, or a sentence for a reader.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, verdict
from gc_utils.groups import Group
from gc_utils.studies.group_crosscoders.claims.shared import ABSTRACT, ENCODER_TITLES
from gc_utils.studies.group_crosscoders.half_turn import HalfTurn

GC3 = Claim(
    "GC3",
    short="Transform blocks show different symmetry for curves and for lines",
    claim="transform blocks characterise symmetry by themselves: curves and lines show distinct "
    "patterns of invariance and equivariance",
    words="our transform block analysis enables the automatic characterisation of feature "
    "symmetries, revealing how different geometric features (such as curves versus lines) exhibit "
    "distinct patterns of invariance and equivariance",
    source=ABSTRACT,
    figure="04_half_turn",
)
FB1 = Claim(
    "FB1",
    short="The known symmetry of every filter of a bank is found",
    claim="the stabiliser and mirror axis of every filter of a bank with known symmetry are found",
    source="ours",
)
FB2 = Claim(
    "FB2",
    short="A trained crosscoder recovers the filters behind its data",
    claim="a trained crosscoder recovers the orbits of the filters behind its data",
    source="ours",
)
UNDEFINED = "undefined"  # recorded where no test or share can be computed
RECOVERED = 0.9  # least cosine of a recovered filter, and least share of them for FB2


def half_turn_patterns(
    orbit: HalfTurn, identity: HalfTurn, report: pd.DataFrame, evidence: Evidence
) -> Finding:
    """Judge GC3: do most lines repeat after 180° and most curves only after a full rotation?

    Both must be majorities in every fold that has three of each, singly, and there must be two such
    folds. The identity encoder decides: it is the paper's, and only there are labels, which come
    from one view, and blocks independent.

    Args:
        orbit: The comparison in the crosscoders with orbit encoders.
        identity: The comparison in those with identity encoders.
        report: One row a feature of the notebook's own dictionary, with `stabiliser`.
        evidence: What network the features are of.

    Returns:
        The finding; it cannot be asked with fewer than two folds that have three of each.
    """
    value: dict[str, object] = {}
    for encoder, one in (("identity", identity), ("orbit", orbit)):
        name = ENCODER_TITLES[encoder]
        for kind, repeated, what in (
            ("lines", "repeat", "lines that repeat after 180°"),
            ("curves", "whole", "curves that do not"),
        ):
            for suffix, which in (("", ""), ("_known", ", with a counterpart in another fold")):
                pairs = zip(one.counts[repeated + suffix], one.counts[kind + suffix], strict=True)
                counted = ", ".join(f"{k} of {n}" for k, n in pairs) or "none"
                value[f"{name}, {what}, by fold{which}"] = counted
        value |= {f"{name}, median ρ(180°), {kind}": m for kind, m in one.medians().items()}
        p = round(one.p, 5) if math.isfinite(one.p) else UNDEFINED
        value |= {f"{name}, folds": f"{one.held} of {one.asked}", f"{name}, p (Mann–Whitney)": p}
    value["invariant features"] = int((report.stabiliser == "G").sum())
    if identity.holds() is None:
        why = (
            f"identity encoder: {identity.asked} of {len(identity.counts)} folds have three lines "
            "and three curves; two are needed"
        )
    else:
        why = (
            "most lines repeat after 180° and most curves only after 360° in "
            f"{identity.held} of {identity.asked} folds (identity encoder), {orbit.held} of "
            f"{orbit.asked} (orbit)"
        )
    return Finding(GC3, value, verdict(identity.holds(), evidence), why, evidence=evidence)


def filter_symmetry(exact: pd.DataFrame, group: Group) -> Finding:
    """Judge FB1: is the symmetry of every filter reported, with its axis exact?

    Args:
        exact: One row a filter, with the boolean column `right`.
        group: The group of the bank.

    Returns:
        The finding; it cannot be asked without filters.
    """
    right, count = int(exact.right.sum()), len(exact)
    word = verdict(right == count if count else None, Evidence.KNOWN)
    why = f"{right} of {count} filters have the expected name and exact axis under {group.name}"
    return Finding(FB1, {"right": right, "filters": count}, word, why, evidence=Evidence.KNOWN)


def filter_recovery(kinds: list[str], nearest: np.ndarray) -> Finding:
    """Judge FB2: do nine of ten filters have a feature with a cosine of 0.9?

    Args:
        kinds: The kind of every filter.
        nearest: The cosine of every filter with its nearest feature, `(filters,)`.

    Returns:
        The finding; it cannot be asked without filters.
    """
    nearest = np.asarray(nearest, dtype=float)
    share = float((nearest >= RECOVERED).mean()) if len(nearest) else None
    means = pd.Series(nearest, dtype=float).groupby(list(kinds)).mean()
    shown = UNDEFINED if share is None else round(share, 3)
    value = {f"share of filters recovered at cosine {RECOVERED}": shown}
    value |= {f"mean best cosine, {kind}": round(float(m), 3) for kind, m in means.items()}
    word = verdict(None if share is None else share >= RECOVERED, Evidence.KNOWN)
    if share is None:
        why = "there are no filters to recover"
    else:
        why = (
            f"{100 * share:.0f} % of {len(nearest)} filters have a feature of their own, up to "
            f"the group; {100 * RECOVERED:.0f} % needed"
        )
    return Finding(FB2, value, word, why, evidence=Evidence.KNOWN)
