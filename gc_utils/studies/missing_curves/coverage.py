"""Which orientations curve detectors cover, and which gaps others fill."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

# ------------------------------------------------------------------------- families of curves


def coverage(angles: Sequence[float], bins: int = 16) -> dict[str, float]:
    """How well angles cover the circle.

    Args:
        angles: degrees, NaN ignored.
        bins: of the entropy.

    Returns:
        `count`; `gap`, the largest arc without one, degrees (360 if there are none); `entropy` of
        the histogram over its maximum `log bins`, 1 for even cover.
    """
    angles = np.asarray(angles, dtype=float)
    angles = angles[~np.isnan(angles)]
    if not len(angles):
        return {"count": 0, "gap": 360.0, "entropy": 0.0}
    share = np.histogram(angles % 360, bins, (0, 360))[0] / len(angles)
    share = share[share > 0]
    return {
        "count": len(angles),
        "gap": max(b - a for a, b in gaps(angles, least=0)),
        "entropy": float(-(share * np.log(share)).sum() / np.log(bins)),
    }


def gaps(angles: Sequence[float], least: float = 30.0) -> list[tuple[float, float]]:
    """Arcs of at least so many degrees without an angle, as (from, to), counter-clockwise."""
    angles = np.sort(np.asarray(angles, dtype=float) % 360)
    if not len(angles):
        return [(0.0, 360.0)]
    ends = np.r_[angles[1:], angles[0] + 360]
    return [(float(a), float(b)) for a, b in zip(angles, ends, strict=True) if b - a >= least]


def filled(found: Sequence[tuple[float, float]], angles: Sequence[float], margin: float = 10.0):
    """Which gaps have an angle inside, at least `margin` degrees from their ends; bool a gap."""
    angles = np.asarray(angles, dtype=float) % 360
    return [
        bool((((angles - a) % 360 >= margin) & ((b - angles) % 360 >= margin)
              & ((angles - a) % 360 <= b - a)).any())
        for a, b in found
    ]  # fmt: skip


def chance_of_filling(
    found: Sequence[tuple[float, float]], count: int, *, draws: int = 2000, seed: int = 0
) -> np.ndarray:
    """How many of some gaps angles drawn at random fill, `(draws,)`; `count` angles a draw."""
    rng = np.random.default_rng(seed)
    return np.array([sum(filled(found, rng.uniform(0, 360, count))) for _ in range(draws)])


def remeasured(tuning: pd.DataFrame, draws: int, *, seed: int = 0) -> list[np.ndarray]:
    """Preferred orientations as they might have come out, given their intervals.

    To draw units with replacement would not do for the largest gap: it leaves some out, and can
    only widen it.

    Args:
        tuning: rows of `RadialTuning.table`; a normal error with their 95 % interval is assumed.
        draws: how many.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    middle = tuning["preferred"].to_numpy()
    spread = (tuning["high"] - tuning["low"]).to_numpy() / 3.92
    return [(middle + spread * rng.standard_normal(len(middle))) % 360 for _ in range(draws)]
