"""Planted data that are less tidy than the method assumes: an arm for each way of being so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from gc_utils.planted import Problem, reliability, run_trials
from gc_utils.statistics import calibration_error
from gc_utils.studies.group_crosscoders.ground_truth import with_columns

AS_ASSUMED = "as assumed"
CHIRAL = "chiral part"
UNEQUAL = "unequal norms"
CHIRAL_POWER = 0.15
# What is planted otherwise in each arm.
ARMS: dict[str, dict[str, float]] = {
    AS_ASSUMED: {},
    UNEQUAL: {"norm_spread": 0.5},
    "correlated codes": {"family_correlation": 0.7},
    "heavy tails": {"tail": 1.0},
    "incomplete orbits": {"orientations": 0.5},
    CHIRAL: {"chiral_power": CHIRAL_POWER, "replicates": 1},
}
PLAIN, REFINED = "crosscoder", "crosscoder, refined"
# Methods by trial name, and what a reader calls them.
ARM_METHODS = {
    REFINED: "refined",
    "refined, identity encoder": "refined, identity encoder",
    PLAIN: "plain",
    "crosscoder, identity encoder": "plain, identity encoder (the paper's)",
    "SAE, regressed blocks": "SAE, regressed blocks",
}
NAME_COLUMNS = [f"{w}_{k}" for w in ("raw", "corrected") for k in ("true", "part", "other")]
NAME_COLUMNS += ["rho_true", "rho_raw", "rho_corrected", "rho_covered"]
NAMED = {"true": "true name", "part": "its symmetric part's", "other": "another"}


def arm_problem(problem: Problem, arm: str) -> Problem:
    """The problem of one arm.

    Args:
        problem: The problem whose data are as assumed.
        arm: A key of `ARMS`.

    Returns:
        The same with the arm's settings. With a chiral part, families are chiral, have a mirror, or
        a half turn, as many of each as the problem has of any kind: a template that hardly changes
        under a larger subgroup has translates that no cosine of 0.9 tells apart.
    """
    changed = dict(ARMS[arm])
    if arm == CHIRAL:
        count = problem.families
        changed["families"] = f"C1:{count} D1:{count} C2:{count}"
    return replace(problem, **changed)


def run_arms(path: str | Path, problem: Problem, seeds: int, *, workers: int = 2) -> pd.DataFrame:
    """Try the methods of `ARM_METHODS` on all arms.

    Args:
        path: The file that trials are kept in.
        problem: The problem whose data are as assumed.
        seeds: Planted problems of each arm.
        workers: Trials at a time.

    Returns:
        One row a trial, as `run_trials` returns it, with a column `arm`.
    """
    wanted, arms = [], []
    for arm in ARMS:
        of_arm = arm_problem(problem, arm)
        for method in ARM_METHODS:
            for seed in range(seeds):
                wanted.append((method, replace(of_arm, seed=problem.seed + seed)))
                arms.append(arm)
    return run_trials(path, wanted, workers=workers).assign(arm=arms)


def arm_scores(trials: pd.DataFrame) -> pd.DataFrame:
    """What each method finds and rightly names of all planted features, arm by arm.

    Args:
        trials: One row a trial: `arm`, `method`, `recall`, `found_and_named`, and the lists
            `stated` (confidence of every learned feature's name) and `right` (0 or 1), or missing.

    Returns:
        One row an arm and method, in their order: mean `recall` and `found_and_named`, and
        `confidence_error`, the mean distance of stated and measured confidence over all learned
        features; NaN if none is stated.
    """
    rows = []
    for (arm, method), some in trials.groupby(["arm", "method"], sort=False):
        means = some[["recall", "found_and_named"]].mean().to_dict()
        rows.append({"arm": arm, "method": method} | means | {"confidence_error": _error(some)})
    return pd.DataFrame(rows)


def _error(trials: pd.DataFrame) -> float:
    """Calibration error over all learned features of some trials."""
    lists = trials[["stated", "right"]].dropna() if "stated" in trials else trials[:0]
    if lists.empty:
        return float("nan")
    bins = reliability(np.concatenate(lists.stated.tolist()), np.concatenate(lists.right.tolist()))
    return calibration_error(bins) if len(bins) else float("nan")


def chiral_names(trials: pd.DataFrame) -> pd.DataFrame:
    """How features that are symmetric but for a part of their power are named, method by method.

    Args:
        trials: One row a trial, with `arm` and the columns of `planted.names.name_shares`; other
            arms than `CHIRAL` are left out.

    Returns:
        A row a method, and whether names are by the raw or the noise-corrected autocorrelation:
        the shares of features found that have their true name, that of their symmetric part, or
        another; the mean estimate of `ρ` on the symmetric part beside the true one; and the share
        of its 95 % intervals that hold the true one, NaN for the raw.
    """
    rows = []
    trials = with_columns(trials, NAME_COLUMNS)
    for method, some in trials[trials.arm == CHIRAL].groupby("method", sort=False):
        for which in ("raw", "corrected"):
            row = {
                "method": ARM_METHODS.get(method, method),
                "ρ": which,
                "found": some.recall.mean(),
            }
            row |= {label: some[f"{which}_{key}"].mean() for key, label in NAMED.items()}
            row |= {"ρ true": some.rho_true.mean(), "ρ estimate": some[f"rho_{which}"].mean()}
            covered = some.rho_covered.mean() if which == "corrected" else float("nan")
            rows.append(row | {"true ρ in interval": covered})
    return pd.DataFrame(rows).set_index(["method", "ρ"])
