"""The features that show best what their kind does, and how many of the kind do so."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from gc_utils.symmetry.calibration import SYMMETRIC

INVARIANT = "invariant"
LINE = "line, repeats after 180°"
GRATING = "grating, repeats after 180°"
CURVE = "curve, repeats after 360°"
FIRST_KINDS = ("line", "curve")  # what the paper compares
PARTLY = 0.5  # ρ(180°) below which a feature and its half turn have less than half in common
GRADES = ("no", "in part", "yes")  # whether a feature repeats after 180°
ACTIVE = 0.002  # share of held-out samples that an example fires on, at least


def repeats_after_half_turn(report: pd.DataFrame) -> pd.Series:
    """Whether each feature repeats after 180°, the rule of claim GC3.

    A feature does if its noise-corrected `ρ(180°)` is 0.9 or more. Without one, if its name has a
    period of 180° or less.

    Args:
        report: One row a feature: `period_degrees` and, where it is known, `rho_180`.

    Returns:
        Bool `(m,)`.
    """
    by_name = report.period_degrees <= 180
    if "rho_180" not in report:
        return by_name
    return (report.rho_180 >= SYMMETRIC).where(report.rho_180.notna(), by_name).astype(bool)


def half_turn_grades(low: float, high: float) -> tuple[str, ...]:
    """Whether a feature repeats after 180°, as far as the interval of its `ρ(180°)` says.

    Below 0.5 it does not; from 0.5 it does in part; from 0.9, the bound of claim GC3, it does. The
    bounds are conventions.

    Args:
        low: Lower end of the 95 % interval of the noise-corrected `ρ(180°)`.
        high: Its upper end.

    Returns:
        Every one of `"no"`, `"in part"` and `"yes"` that the interval touches, in this order: one
        where it decides, two or three where it does not, none if an end is NaN.
    """
    if not (low <= high):
        return ()
    reached = [sum(end >= bound for bound in (PARTLY, SYMMETRIC)) for end in (low, high)]
    return GRADES[reached[0] : reached[1] + 1]


def clearest(report: pd.DataFrame) -> dict[str, int]:
    """The telling features of a report: of each kind that does what is claimed, the surest.

    Chosen by reproducibility times the certainty of what is claimed: how likely the noise-corrected
    `ρ` lies on its side of 0.9, by its interval. Certainty saturates, so a curve is not preferred
    because its `ρ(180°)` is lower than that of another which is surely below 0.9, too. Equals are
    ranked by the confidence of the name, then by how clear the label is.

    A feature that no other dictionary has comes after all that have a noise-corrected `ρ`, and one
    with an infinite margin after those with a finite one: it responds to few stimuli of any kind.

    Args:
        report: From `symmetry_report` or `calibrated_report`, with `label`, `margin` (response to
            that kind over that to the next) and `fires_on` (share of held-out samples).

    Returns:
        Feature numbers by description; a description without a feature is left out.
    """
    active = report[report.fires_on > ACTIVE]
    finite = np.isfinite(active.margin)
    known = _column(active, "corrected_rho", 1.0).notna()
    ranks = pd.DataFrame(
        {
            "known": known,
            "clear": finite & (active.label != "other"),
            "score": 0.0,
            "confidence": _column(active, "confidence", 0.0).fillna(0),
            "clarity": 1 - 1 / active.margin.where(finite, 1).clip(lower=1),
        }
    )
    reproducible = _column(active, "reproducibility", 1.0).fillna(0).clip(lower=0)
    half, label = repeats_after_half_turn(active), active.label
    twice = half & (active.stabiliser != "G") & (active.period_degrees >= 180)
    once = ~half & (active.period_degrees == 360)
    repeats = _surely(active, "rho_180", "rho_180_low", "rho_180_high")
    wanted = {
        INVARIANT: (
            active.stabiliser == "G",
            _surely(active, "corrected_rho", "corrected_low", "corrected_high"),
        ),
        LINE: (twice & (label == "line"), repeats),
        GRATING: (twice & (label == "grating"), repeats),
        CURVE: (once & (label == "curve"), 1 - repeats),
    }
    found = {}
    for name, (rows, sure) in wanted.items():
        if rows.any():
            score = reproducible * sure.fillna(1.0)
            best = ranks.assign(score=score)[rows].sort_values(
                list(ranks), ascending=False, kind="stable"
            )
            found[name] = int(active.feature.loc[best.index[0]])
    return found


def telling_features(report: pd.DataFrame, count: int) -> list[int]:
    """Features that a reader should meet first: the clearest, then the next best of each kind.

    After those of `clearest` the kinds take turns, lines and curves first, each with its feature of
    the highest reproducibility that is left. Invariant features are a kind whatever their label.

    Args:
        report: One row a feature, numbered by its index, from notebook 04.
        count: How many features are wanted.

    Returns:
        Their numbers: fewer than `count` where fewer features fire often enough.
    """
    active = report[report.fires_on > ACTIVE] if "fires_on" in report else report
    worth = active.get("reproducibility", pd.Series(0.0, active.index)).astype(float).fillna(0)
    kind = active.get("label", pd.Series("other", active.index)).astype(str)
    kind = kind.where(active.stabiliser != "G", "invariant")
    # A table of another making may lack what an example is chosen by.
    there = {"feature", "label", "margin", "fires_on", "period_degrees"} <= set(report)
    found = list(dict.fromkeys(clearest(report).values())) if there else []
    found = [int(i) for i in found if i in active.index][:count]
    order = [*FIRST_KINDS, "invariant", *sorted(set(kind) - {"other"}), "other"]
    ranked = worth.sort_values(ascending=False, kind="stable").index
    left = {name: [i for i in ranked if kind[i] == name and i not in found] for name in order}
    while len(found) < count and any(left.values()):
        shown = kind[found].value_counts()
        name = min(filter(left.get, left), key=lambda name: shown.get(name, 0))
        found.append(int(left[name].pop(0)))
    return found


def of_their_kind(report: pd.DataFrame) -> dict[str, str]:
    """How many features of each kind do what the example from `clearest` does.

    Args:
        report: As for `clearest`.

    Returns:
        By the same descriptions, such as "3 of 11 lines repeat after 180°"; where some have no
        noise-corrected `ρ(180°)`, the counts of those that have one are added. Kinds without a
        feature are left out.
    """
    invariant = int((report.stabiliser == "G").sum())
    found = {INVARIANT: f"{invariant} of {len(report)} features are invariant"}
    half = repeats_after_half_turn(report)
    known = _column(report, "rho_180", 1.0).notna()
    for name, kind, does, text in (
        (LINE, "line", half, "repeat after 180°"),
        (GRATING, "grating", half, "repeat after 180°"),
        (CURVE, "curve", ~half, "repeat only after 360°"),
    ):
        of = report.label == kind
        if of.any():
            found[name] = f"{does[of].sum()} of {of.sum()} {kind}s {text}"
            if not known[of].all():
                both = f"{does[of & known].sum()} of {(of & known).sum()}"
                found[name] += f" ({both} by noise-corrected values)"
    return found


def _column(table: pd.DataFrame, name: str, default: float) -> pd.Series:
    """A column of numbers, or the same number everywhere where there is no such column."""
    if name in table:
        return table[name].astype(float)
    return pd.Series(default, index=table.index)


def _surely(table: pd.DataFrame, value: str, low: str, high: str) -> pd.Series:
    """How likely a value is 0.9 or more, by its 95 % interval; NaN where it is not known."""
    values = _column(table, value, np.nan)
    width = _column(table, high, np.nan) - _column(table, low, np.nan)
    error = (width / (2 * ndtri(0.975))).clip(lower=1e-6)
    sure = pd.Series(ndtr((values - SYMMETRIC) / error), index=table.index)
    return sure.where(values.notna() & error.notna())
