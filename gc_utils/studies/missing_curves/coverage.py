"""Which orientations curve detectors cover, and which gaps between them others fill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from scipy.stats import entropy

GAP = 30.0  # degrees without a detector that count as a gap
LEAST_NEURONS = 3  # with fewer curve neurons, "gaps between them" means little


class HasPreferred(Protocol):
    """A study of one layer, as far as coverage is concerned."""

    def preferred(self, who: str) -> np.ndarray:
        """The preferred orientations of the curve detectors among the units, in degrees."""


def coverage(angles: Sequence[float], bins: int = 16) -> dict[str, float]:
    """How well angles cover the circle.

    Args:
        angles: The angles in degrees; NaN is ignored.
        bins: The number of bins of the histogram whose entropy is taken.

    Returns:
        A dictionary of `count`; `gap`, the largest arc without an angle in degrees (360 if there
        are no angles); and `entropy`, that of the histogram over its maximum `log bins`, which is
        1 for even cover.
    """
    angles = np.asarray(angles, dtype=float)
    angles = angles[~np.isnan(angles)]
    if not len(angles):
        return {"count": 0, "gap": 360.0, "entropy": 0.0}
    return {
        "count": len(angles),
        "gap": max(b - a for a, b in gaps(angles, least=0)),
        "entropy": float(entropy(np.histogram(angles % 360, bins, (0, 360))[0], base=bins)),
    }


def gaps(angles: Sequence[float], least: float = GAP) -> list[tuple[float, float]]:
    """The arcs without an angle, counter-clockwise.

    Args:
        angles: The angles in degrees.
        least: The smallest width in degrees of an arc that is listed.

    Returns:
        The arcs as (from, to) in degrees; `to` is above 360 where an arc passes 0.
    """
    angles = np.sort(np.asarray(angles, dtype=float) % 360)
    if not len(angles):
        return [(0.0, 360.0)]
    ends = np.r_[angles[1:], angles[0] + 360]
    return [(float(a), float(b)) for a, b in zip(angles, ends, strict=True) if b - a >= least]


def filled(
    found: Sequence[tuple[float, float]], angles: Sequence[float], margin: float = 10.0
) -> list[bool]:
    """Which gaps have an angle inside, at least `margin` degrees from their ends.

    Args:
        found: The gaps, from `gaps`.
        angles: The angles that may fill them, in degrees.
        margin: The least distance in degrees of a filling angle from either end.

    Returns:
        One bool per gap.
    """
    angles = np.asarray(angles, dtype=float) % 360
    inside = []
    for start, end in found:
        after, before = (angles - start) % 360, (end - angles) % 360
        inside.append(bool(((after >= margin) & (before >= margin) & (after <= end - start)).any()))
    return inside


def chance_of_filling(
    found: Sequence[tuple[float, float]], count: int, *, draws: int = 2000, seed: int = 0
) -> np.ndarray:
    """How many of some gaps are filled by angles that are drawn evenly at random.

    Args:
        found: The gaps, from `gaps`.
        count: The number of angles of a draw.
        draws: The number of draws.
        seed: The seed of the draws.

    Returns:
        The number of filled gaps of each draw, `(draws,)`.
    """
    rng = np.random.default_rng(seed)
    return np.array([sum(filled(found, rng.uniform(0, 360, count))) for _ in range(draws)])


def remeasured(tuning: pd.DataFrame, draws: int, *, seed: int = 0) -> list[np.ndarray]:
    """Preferred orientations as they might have come out, given their intervals.

    Drawing units with replacement would not do for the largest gap: it leaves some out, and can
    only widen it.

    Args:
        tuning: Rows of `RadialTuning.table`; a normal error with their 95 % interval is assumed.
        draws: The number of draws.
        seed: The seed of the draws.

    Returns:
        The orientations of each draw in degrees, `draws` arrays `(units,)`.
    """
    rng = np.random.default_rng(seed)
    middle = tuning["preferred"].to_numpy()
    spread = (tuning["high"] - tuning["low"]).to_numpy() / 3.92
    return [(middle + spread * rng.standard_normal(len(middle))) % 360 for _ in range(draws)]


def coverage_row(
    name: str, sets: Sequence[Sequence[float]], angles: Sequence[float] | None = None
) -> dict[str, object]:
    """One row of `compare_coverage`.

    Args:
        name: The name of the row.
        sets: Several sets of angles in degrees; the interval of the gap is over them.
        angles: The angles that were measured; None if the row is the mean over the sets.

    Returns:
        A dictionary of `units` (the name), `count`, `gap` with its 95 % interval `low`, `high`
        (degrees), and `entropy`.
    """
    found = pd.DataFrame([coverage(some) for some in sets])
    now = found.mean() if angles is None else coverage(angles)
    low, high = found["gap"].quantile([0.025, 0.975])
    return {
        "units": name,
        "count": now["count"],
        "gap": now["gap"],
        "low": low,
        "high": high,
        "entropy": now["entropy"],
    }


def compare_coverage(
    tuned: Mapping[str, pd.DataFrame],
    rotated: Sequence[np.ndarray],
    random_sets: Sequence[np.ndarray],
    *,
    resamples: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """How well curve detectors cover the circle, beside what chance would give.

    Args:
        tuned: Rows of `RadialTuning.table` of the curve detectors among `"neurons"` and
            `"features"`.
        rotated: For each of several rotated bases, the preferred orientations of its curve
            detectors in degrees.
        random_sets: The same of as many random directions as there are features.
        resamples: The number of draws of every row that is drawn.
        seed: The seed of all draws.

    Returns:
        A table with one row a set of units, by name, and the columns of `coverage_row`.
    """
    rng = np.random.default_rng(seed)
    preferred = {who: table["preferred"].to_numpy() for who, table in tuned.items()}
    features = preferred["features"]
    fewer = min(map(len, preferred.values()))
    rows = [
        coverage_row(who, remeasured(table, resamples, seed=seed), preferred[who])
        for who, table in tuned.items()
    ]
    some = [rng.choice(features, fewer, replace=False) for _ in range(resamples)]
    even = [rng.uniform(0, 360, fewer) for _ in range(resamples)]
    many = [rng.uniform(0, 360, len(features)) for _ in range(resamples)]
    rows += [
        coverage_row("features, as few as the smaller set", some),
        coverage_row("even draws, as many as that", even),
        coverage_row("random directions, as many as neurons", rotated),
        coverage_row("random directions, as many as features", random_sets),
        coverage_row("even draws, as many as curve features", many),
    ]
    return pd.DataFrame(rows).set_index("units")


@dataclass(frozen=True)
class Filling:
    """Which gaps between curve neurons curve features fill, and what chance would fill.

    Attributes:
        gaps: The gaps between the neurons, as (from, to) in degrees.
        filled: Whether a feature is inside each.
        even: The mean number of gaps filled by as many angles drawn evenly; 0 without gaps.
        chance: The share of those draws that fill as many gaps or more; 1 without gaps.
        random: The mean number filled by the detectors among random directions; 0 without gaps.
    """

    gaps: list[tuple[float, float]]
    filled: list[bool]
    even: float = 0.0
    chance: float = 1.0
    random: float = 0.0

    @property
    def count(self) -> int:
        """The number of gaps that features fill."""
        return sum(self.filled)


def fill_gaps(
    neurons: Sequence[float],
    features: Sequence[float],
    random_sets: Sequence[Sequence[float]],
    *,
    seed: int = 0,
) -> Filling:
    """Ask which gaps between the curve neurons the curve features fill.

    Args:
        neurons: The preferred orientations of the curve neurons in degrees; without any there are
            no gaps between them.
        features: Those of the curve features.
        random_sets: Those of curve detectors among random directions, several sets.
        seed: The seed of the evenly drawn angles.

    Returns:
        A `Filling`.
    """
    found = gaps(neurons) if len(neurons) else []
    closed = filled(found, features)
    if not found:
        return Filling(found, closed)
    even = chance_of_filling(found, len(features), seed=seed)
    return Filling(
        found,
        closed,
        even=float(even.mean()),
        chance=float((even >= sum(closed)).mean()),
        random=float(np.mean([sum(filled(found, some)) for some in random_sets])),
    )


def gaps_by_layer(study: Mapping[str, HasPreferred]) -> pd.DataFrame:
    """Gaps between the curve neurons of every layer, and how many of them features fill.

    Args:
        study: The studies of the layers by name.

    Returns:
        A table with one row a layer: `curve neurons`, `gaps` (0 with fewer than `LEAST_NEURONS`
        curve neurons), `widest` (degrees), and `filled`.
    """
    rows = {}
    for name, layer in study.items():
        neurons = layer.preferred("neurons")
        between = gaps(neurons) if len(neurons) >= LEAST_NEURONS else []
        rows[name] = {
            "curve neurons": len(neurons),
            "gaps": len(between),
            "widest": max((b - a for a, b in between), default=0.0),
            "filled": sum(filled(between, layer.preferred("features"))),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")
