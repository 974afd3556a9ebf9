"""Scores of the trials on planted orbits, and what a stated confidence is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gc_utils.planted import reliability
from gc_utils.statistics import calibration_error


def with_columns(trials: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The trials with a column of NaN for each of `columns` that no method has reported.

    Args:
        trials: One row a trial.
        columns: The columns that must be there.

    Returns:
        A copy with all columns.
    """
    return trials.assign(**{c: np.nan for c in columns if c not in trials})


@dataclass(frozen=True)
class Calibration:
    """Confidence in the names of stabilisers, against how often the names are right.

    Attributes:
        bins: for each method, the table of `planted.reliability`.
        errors: for each method, the mean difference of stated and measured over features.
        trend: `method`, `break_equivariance`, mean `stated` and share `right`.
    """

    bins: dict[str, pd.DataFrame]
    errors: dict[str, float]
    trend: pd.DataFrame


def calibrate(trials: pd.DataFrame) -> Calibration:
    """Compare stated confidence with the truth over all learned features of some trials.

    Args:
        trials: One row a trial: `method`, `break_equivariance`, and the lists `stated` (confidence
            of every learned feature's name) and `right` (0 or 1); trials without lists are left
            out.

    Returns:
        The calibration of every method that states a confidence.
    """
    settings = ["method", "break_equivariance"]
    judged = trials[[*settings, "stated", "right"]].dropna()
    judged = judged.explode(["stated", "right"]).astype({"stated": float, "right": float})
    of_method = {m: judged[judged.method == m] for m in dict.fromkeys(judged.method)}
    bins = {m: reliability(rows.stated, rows.right) for m, rows in of_method.items()}
    errors = {m: calibration_error(table) for m, table in bins.items()}
    trend = judged.groupby(settings, sort=False)[["stated", "right"]].mean().reset_index()
    return Calibration(bins, errors, trend)


def by_kind(trials: pd.DataFrame, kinds: Sequence[str]) -> pd.DataFrame:
    """Mean cosine of planted features with their nearest learned one, by planted symmetry.

    Args:
        trials: One row a trial, with `method` and a column `kind <name>` for each kind.
        kinds: The kinds of the planted families, possibly repeated.

    Returns:
        A row a method that has them all, a column a kind.
    """
    names = list(dict.fromkeys(kinds))
    means = trials.groupby("method", sort=False)[[f"kind {k}" for k in names]].mean().dropna()
    return means.set_axis(names, axis=1)


def control_scores(trials: pd.DataFrame) -> pd.DataFrame:
    """Mean scores on data in which there is nothing, or no symmetry, to be found.

    Args:
        trials: One row a trial: `control`, `method`, `recall`, `symmetric`, `fvu`, and `stated`, a
            list of confidences or missing.

    Returns:
        A row a control and method: mean `recall`, `symmetric`, `stated` and `fvu`.
    """
    stated = [np.nanmean(v) if isinstance(v, list) else np.nan for v in trials.stated]
    means = trials.assign(stated=stated).groupby(["control", "method"], sort=False)
    return means[["recall", "symmetric", "stated", "fvu"]].mean()
