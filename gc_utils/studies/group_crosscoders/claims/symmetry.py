"""Claims GC3, FB1 and FB2 of notebook 04: the symmetry of features and of known filters.

Pure functions of numbers and tables: each returns a `Finding`, or a sentence for a reader.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, verdict
from gc_utils.groups import Group
from gc_utils.studies.group_crosscoders.claims.shared import ABSTRACT
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
    figure="04_telling",
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
LEVEL = 0.01  # of the test that lines and curves differ after half a turn
UNDEFINED = "undefined"  # recorded where no test or share can be computed
RECOVERED = 0.9  # least cosine of a recovered filter, and least share of them for FB2


def half_turn_patterns(
    report: pd.DataFrame, orbit: HalfTurn, identity: HalfTurn, evidence: Evidence
) -> Finding:
    """Judge GC3: do lines repeat after a rotation by 180° and curves only after a full one?

    Args:
        report: One row a feature: `label`, `period_degrees` and `stabiliser`.
        orbit: The comparison of lines and curves in the same crosscoder.
        identity: The comparison in the crosscoders with identity encoders, whose labels and blocks
            are independent.
        evidence: What network the features are of.

    Returns:
        The finding; it cannot be asked with fewer than three lines or three curves, or of a group
        without a half turn.
    """
    lines, curves = report[report.label == "line"], report[report.label == "curve"]
    repeat = int((lines.period_degrees <= 180).sum())
    whole = int((curves.period_degrees == 360).sum())
    asked = math.isfinite(orbit.p)
    holds = bool(orbit.p < LEVEL and repeat and whole) if asked else None
    value = {
        "lines": len(lines),
        "curves": len(curves),
        "lines that repeat after 180° or sooner": repeat,
        "curves that repeat only after 360°": whole,
    }
    value |= {f"median ρ(180°), {name}": m for name, m in orbit.medians().items()}
    value["p (Mann–Whitney)"] = round(orbit.p, 5) if asked else UNDEFINED
    sizes = {"lines": len(identity.lines), "curves": len(identity.curves)}
    value |= {
        f"identity encoders, median ρ(180°) of {sizes[name]} {name}": m
        for name, m in identity.medians().items()
    }
    value["identity encoders, p"] = round(identity.p, 5) if math.isfinite(identity.p) else UNDEFINED
    value["invariant features"] = int((report.stabiliser == "G").sum())
    if asked:
        why = (
            f"{repeat} of {len(lines)} lines repeat after 180°, {whole} of {len(curves)} curves "
            f"only after 360°; Mann–Whitney p = {orbit.p:.2g}, {LEVEL} needed"
        )
    else:
        why = (
            f"{len(orbit.lines)} lines and {len(orbit.curves)} curves can be compared after half "
            "a turn; three of each are needed"
        )
    return Finding(GC3, value, verdict(holds, evidence), why, evidence=evidence)


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
