"""The table of intertwiner groups checked in both directions, and functions outside of it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import softmax

from gc_utils.errors import UserError
from gc_utils.studies.intertwiners.members import (
    KINDS,
    TABLE,
    Function,
    best_phi,
    misses,
    near_member,
    sample_member,
    solve,
)


def _normalised(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt(2 + np.square(x).sum(1, keepdims=True))


def _normalised_by_neighbours(x: np.ndarray) -> np.ndarray:
    power = np.pad(np.square(x), ((0, 0), (1, 1)))
    return x / np.sqrt(2 + power[:, :-2] + power[:, 1:-1] + power[:, 2:])


# Functions that mix units, `(N, n)` to `(N, n)`: they have no place in the table.
MIXING: dict[str, Function] = {
    "softmax": lambda x: softmax(x, axis=1),
    "normalisation by all units": _normalised,
    "normalisation by neighbouring units": _normalised_by_neighbours,
}


def check_table(seed: int = 0) -> pd.DataFrame:
    """Check every row of the table with random members, matrices near them, and the solver.

    Args:
        seed: The seed of inputs and matrices.

    Returns:
        One row for each nonlinearity (the index), with the columns `φ`, `members miss by` and
        `near-members miss by` (largest relative errors of `σ(A x) = φ σ(x)`), `the solver says` and
        `the table says` (groups in words).
    """
    x = np.random.default_rng(seed).normal(size=(400, 6))
    rows = []
    for name, row in TABLE.items():
        A = sample_member(row.kind, 6, seed=seed)
        rows.append(
            {
                "function": name,
                "φ": row.rule,
                "members miss by": misses(row.sigma, A, row.phi(A), x),
                "near-members miss by": best_phi(row.sigma, near_member(A, seed=seed))[1],
                "the solver says": solve(row.sigma, seed=seed).name,
                "the table says": KINDS[row.kind],
            }
        )
    return pd.DataFrame(rows).set_index("function")


def passing_errors(seed: int = 0) -> pd.DataFrame:
    """Measure which kinds of matrices pass through the table's nonlinearities.

    Args:
        seed: The seed of the general matrix.

    Returns:
        The relative error of `σ(A x) = φ σ(x)` at the best φ: one row for each nonlinearity, one
        column for each kind of matrix.
    """
    scales = {"scales > 0": (0.5, 1.3), "sign": (-1,), "scales < 0": (-0.5,)}
    errors = {}
    for name, row in TABLE.items():
        permutation = sample_member("permutations", 4, seed=1)
        errors[name] = {
            "any matrix": solve(row.sigma, seed=seed).evidence["general"],
            "permutation": best_phi(row.sigma, permutation)[1],
        } | {
            title: max(best_phi(row.sigma, np.diag([c, 1, 1, 1.0]))[1] for c in values)
            for title, values in scales.items()
        }
    return pd.DataFrame(errors).T


def refusals() -> pd.DataFrame:
    """Give functions that mix units to the solver.

    Returns:
        One row for each function of `MIXING` (the index): `the solver says` (the reason for which
        it refuses, or the group that it names) and `a permutation misses by` (the relative error of
        `σ(P x) = φ σ(x)` at the best φ, for a permutation that swaps neighbours).
    """
    rows = []
    swap = np.eye(6)[[1, 0, 3, 2, 5, 4]]
    for name, mixes in MIXING.items():
        try:
            said = solve(mixes).name
        except UserError as error:
            said = str(error)
        rows.append(
            {
                "function": name,
                "the solver says": said,
                "a permutation misses by": best_phi(mixes, swap)[1],
            }
        )
    return pd.DataFrame(rows).set_index("function")
