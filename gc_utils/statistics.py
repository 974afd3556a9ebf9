"""Intervals, rates, tests and angles, for tables of any study."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import scipy  # its parts are imported when they are used


def interval(values: Sequence[float], level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Bootstrap interval of the mean over seeds; the value itself where there is only one."""
    values = np.asarray([v for v in values if np.isfinite(v)], float)
    if len(values) == 0:
        return math.nan, math.nan
    if len(values) == 1 or np.ptp(values) == 0:
        return float(values.min()), float(values.max())
    rng = np.random.default_rng(seed)
    found = scipy.stats.bootstrap(
        (values,), np.mean, confidence_level=level, method="percentile", rng=rng
    ).confidence_interval
    return float(found.low), float(found.high)


def calibration_error(bins: pd.DataFrame) -> float:
    """Expected calibration error: mean distance of stated and right in the bins of `reliability`,
    weighted by their counts."""
    return float(np.average((bins.stated - bins.right).abs(), weights=bins["count"]))


def welch(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Welch's two-sided p-values; 1 for equal constants and 0 for different ones.

    Args:
        a: the first samples, `(..., n)`, of as many tests as there are rows.
        b: the second samples, `(..., m)`.

    Returns:
        One p-value for each row, `(...)`.
    """
    constant = (np.ptp(a, axis=-1) == 0) & (np.ptp(b, axis=-1) == 0)
    with warnings.catch_warnings():  # scores that are all 1 are no accident of rounding
        warnings.simplefilter("ignore", RuntimeWarning)
        p = scipy.stats.ttest_ind(a, b, axis=-1, equal_var=False).pvalue
    return np.where(constant, (a[..., 0] == b[..., 0]).astype(float), p)


def rate(successes: Iterable[bool]) -> tuple[float, float, float]:
    """Share of successes with its exact 95 % interval (Clopper-Pearson)."""
    tried = [bool(s) for s in successes]
    if not tried:
        return float("nan"), 0.0, 1.0
    interval = scipy.stats.binomtest(sum(tried), len(tried)).proportion_ci()
    return sum(tried) / len(tried), float(interval.low), float(interval.high)


def holm_adjusted(p_values: Sequence[float], families: Sequence | None = None) -> np.ndarray:
    """Holm's adjusted p-values: the smallest family-wise level at which each test is significant.

    Args:
        p_values: one p-value for each test.
        families: name of the family of each test; the tests of one family are corrected together.
            None makes one family of all tests.

    Returns:
        Adjusted p-values in [0, 1], in the order of the tests.
    """
    p = np.asarray(p_values, dtype=float)
    families = np.zeros(len(p)) if families is None else np.asarray(families)
    out = np.ones(len(p))
    for family in np.unique(families):
        rows = np.flatnonzero(families == family)
        order = rows[np.argsort(p[rows], kind="stable")]
        stepped = p[order] * np.arange(len(order), 0, -1)
        out[order] = np.maximum.accumulate(stepped).clip(max=1)
    return out


def holm(p_values: Sequence[float], level: float, families: Sequence | None = None) -> np.ndarray:
    """Which of many p-values are below a level, by Holm's step-down rule; bool, in their order.

    Args:
        p_values: one a test.
        level: of the family-wise error.
        families: tests that are corrected together; None for all.
    """
    return holm_adjusted(p_values, families) <= level


def apart(a, b):
    """By how many degrees one angle is ahead of another, in [-180, 180)."""
    return (a - b + 180) % 360 - 180
