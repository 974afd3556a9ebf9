"""Members of ReLU's group that match representations, and similarities of pairs of networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from gc_utils.errors import UserError
from gc_utils.inspection.decompositions import rotated_basis
from gc_utils.studies.intertwiners.members import relu_member
from gc_utils.studies.intertwiners.networks import HIDDEN, SmallNet
from gc_utils.studies.intertwiners.paper_measures import MEASURES

IMAGES = 300  # that representations are compared on


def procrustes_positive(
    X: torch.Tensor, Y: torch.Tensor, *, signed: bool = False
) -> tuple[np.ndarray, np.ndarray, float]:
    """The permutation with positive scales that best takes one representation to another.

    Minimises `‖Y - X M^T‖²` over `M = P D`, where scales may come out as 0 (the limit of members:
    no unit stands for this one). For units `j` of `X` and `i` of `Y` the best scale is
    `max(0, ⟨x_j, y_i⟩) / ‖x_j‖²`, which gains `max(0, ⟨x_j, y_i⟩)² / ‖x_j‖²`; the assignment with
    the largest total gain is found exactly. This is no measure of the paper: units count by their
    power, and the two representations play different parts.

    Args:
        X, Y: Activations of the same samples, `(N, C)`, with the same number of units.
        signed: Whether scales may have either sign, for activations before a nonlinearity.

    Returns:
        `order` `(C,)`, for each unit of `Y` the unit of `X` that stands for it; its `scale` `(C,)`;
        and what is left, as a share of `‖Y‖²`.

    Raises:
        UserError: The representations have different shapes.
    """
    x, y = X.double().numpy(), Y.double().numpy()
    if x.shape != y.shape:
        raise UserError(f"representations of shape {x.shape} and {y.shape}: expected the same.")
    order, scale = best_member(x.T @ y, np.square(x).sum(0), signed=signed)
    left = float(np.square(y - x[:, order] * scale).sum() / np.square(y).sum())
    return order, scale, left


def best_member(
    product: np.ndarray, power: np.ndarray, *, signed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """`procrustes_positive` from sums over samples.

    Args:
        product: `X^T Y`, `(C, C)`.
        power: `‖x_j‖²` of every unit of `X`, `(C,)`.
        signed: Whether scales may have either sign.

    Returns:
        `order` and `scale` of every unit of `Y`, `(C,)` each.
    """
    power = np.maximum(power, 1e-12)
    product = product.T if signed else np.maximum(product.T, 0)  # (units of Y, units of X)
    rows, order = linear_sum_assignment(product**2 / power, maximize=True)
    return order, product[rows, order] / power[order]


@torch.no_grad()
def similarities(
    first: SmallNet, second: SmallNet, x: Tensor, *, rotations: int = 1, seed: int = 0
) -> pd.DataFrame:
    """How similar two networks' layers are, by each of `MEASURES`.

    Args:
        first, second: Networks of the same width.
        x: Images `(N, channels, side, side)`; the first `IMAGES` of them are shown, and every
            position of their layers is compared.
        rotations: The number of random rotations of units, over which `rotated` is averaged.
        seed: The seed of the rotations.

    Returns:
        One row for each measure and pair of layers: `measure`, `first`, `second`, `value`, and
        `rotated`, the value after the second network's units were rotated by a random orthogonal
        matrix (NaN for different layers).
    """
    a, b = ({name: net.upto(x[:IMAGES], name) for name in HIDDEN} for net in (first, second))
    bases = [rotated_basis(first.width, 1000 * seed + draw) for draw in range(rotations)]
    rows = []
    for title, measure in MEASURES.items():
        left, right = ({k: measure.prepare(v) for k, v in each.items()} for each in (a, b))
        for i in HIDDEN:
            turned = [measure.compare(left[i], measure.prepare(_turned(b[i], Q))) for Q in bases]
            rows += [
                {
                    "measure": title,
                    "first": i,
                    "second": j,
                    "value": measure.compare(left[i], right[j]),
                    "rotated": float(np.mean(turned)) if i == j else np.nan,
                }
                for j in HIDDEN
            ]
    return pd.DataFrame(rows)


def _turned(a: Tensor, M: Tensor) -> Tensor:
    """Activations `(N, C, h, w)` as rows times a matrix `(C, C)`, at every position."""
    return torch.einsum("nchw,cd->ndhw", a, M.to(a.dtype))


def compare_pairs(
    pairs: Mapping[str, Sequence[Sequence[SmallNet]]],
    x: Tensor,
    *,
    rotations: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """Similarities of the layers of pairs of networks, in several states of the same pairs.

    Args:
        pairs: State of the networks (`"trained"`, `"untrained"`) → the two networks of every pair.
        x: Images `(N, channels, side, side)`.
        rotations: The number of random rotations of units for each pair.
        seed: The seed of the rotations.

    Returns:
        The rows of `similarities` with the columns `pair` and `networks` (the state).
    """
    count = min(map(len, pairs.values()))
    tables = [
        similarities(*of_state[pair], x, rotations=rotations, seed=100 * seed + pair).assign(
            pair=pair, networks=state
        )
        for pair in range(count)
        for state, of_state in pairs.items()
    ]
    return pd.concat(tables, ignore_index=True)


@dataclass(frozen=True)
class PlantedSimilarity:
    """Measures of similarity where the true relation is known.

    Attributes:
        table: One row for each relation (`permuted and scaled`, `rotated`), one column for each of
            `MEASURES`.
        exact: Whether the planted permutation was found, with its scales.
        left: The share of the squared activations that the found member leaves unexplained.
    """

    table: pd.DataFrame
    exact: bool
    left: float


def plant_relations(X: Tensor, seed: int = 0) -> PlantedSimilarity:
    """Compare a layer with itself after a random member of ReLU's group, and after a rotation.

    Args:
        X: Activations `(N, C, h, w)`; units that respond to nothing are left out, as they have no
            place to be found at.
        seed: The seed of the member and the rotation.

    Returns:
        What every measure gives, and whether the permutation was found.
    """
    X = X.double()
    X = X[:, X.square().sum((0, 2, 3)) > 0]
    M, Q = relu_member(X.shape[1], seed).double(), rotated_basis(X.shape[1], seed).double()
    changed = {"permuted and scaled": _turned(X, M.T), "rotated": _turned(X, Q)}
    order, scale, left = procrustes_positive(as_rows(X), as_rows(changed["permuted and scaled"]))
    exact = bool((order == M.argmax(1).numpy()).all() and np.allclose(scale, M.amax(1)))
    table = {
        name: {relation: measure(X, Y) for relation, Y in changed.items()}
        for name, measure in MEASURES.items()
    }
    return PlantedSimilarity(pd.DataFrame(table), exact, left)


def as_rows(a: Tensor) -> Tensor:
    """Positions as samples, `(B h w, C)`."""
    return a.movedim(1, -1).flatten(0, -2)
