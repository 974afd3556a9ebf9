"""Similarity of representations modulo a group: Procrustes, CKA, max kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.linalg import orthogonal_procrustes
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from gc_utils.errors import UserError
from gc_utils.inspection.decompositions import rotated_basis
from gc_utils.studies.intertwiners.members import relu_member
from gc_utils.studies.intertwiners.networks import HIDDEN, SmallNet

# ------------------------------------------------------------------- similarity modulo the group


def procrustes_positive(
    X: torch.Tensor, Y: torch.Tensor, *, signed: bool = False
) -> tuple[np.ndarray, np.ndarray, float]:
    """The permutation with positive scales that best takes one representation to another.

    Minimises `‖Y - X M^T‖²` over `M = P D`, where scales may come out as 0 (the limit of members:
    no unit stands for this one). For units `j` of `X` and `i` of `Y` the best scale is
    `max(0, ⟨x_j, y_i⟩) / ‖x_j‖²`, which gains `max(0, ⟨x_j, y_i⟩)² / ‖x_j‖²`; the assignment with
    the largest total gain is found exactly.

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


def procrustes_orthogonal(X: torch.Tensor, Y: torch.Tensor) -> float:
    """What the best orthogonal map, at its best overall scale, leaves unexplained.

    Args:
        X, Y: Activations of the same samples, `(N, C)`, with the same number of units.

    Returns:
        The share of `‖Y‖²` that is left, between 0 and 1.
    """
    x, y = X.double().numpy(), Y.double().numpy()
    _, nuclear = orthogonal_procrustes(x, y)  # the sum of the singular values of X^T Y
    return float(1 - nuclear**2 / (np.square(x).sum() * np.square(y).sum()))


def linear_cka(X: torch.Tensor, Y: torch.Tensor) -> float:
    """Linear centred kernel alignment (Kornblith et al. 2019) of `(N, C)` and `(N, C')`."""
    x, y = (v.double() - v.double().mean(0) for v in (X, Y))
    cross = (x.T @ y).square().sum()
    return float(cross / ((x.T @ x).norm() * (y.T @ y).norm()).clamp_min(1e-12))


def max_similarity(X: torch.Tensor, Y: torch.Tensor) -> float:
    """Alignment of max kernels, `k(x, x') = max_c x_c x'_c` of units of unit norm, centred.

    Invariant to permutations and positive scales of units, not to rotations. The kernel is not
    positive semidefinite, as the paper's last version says: a similarity, not a kernel alignment.

    Args:
        X, Y: Activations `(N, C)` and `(N, C')` of the same samples, not negative.

    Returns:
        The alignment: 1 for kernels that agree, 0 for kernels that have nothing in common.
    """

    def kernel(v: torch.Tensor) -> torch.Tensor:
        v = v.double() / v.double().norm(dim=0).clamp_min(1e-12)
        K = torch.stack([(v * row).amax(1) for row in v])
        return K - K.mean(0) - K.mean(1, keepdim=True) + K.mean()

    k, m = kernel(X), kernel(Y)
    return float((k * m).sum() / (k.norm() * m.norm()).clamp_min(1e-12))


def _centred(X: Tensor) -> Tensor:
    return X - X.mean(0)


# A measure is named after what it does not see. Activations are centred for Procrustes' problems,
# as is usual: without that, the fact that no unit is negative would count as similarity.
MEASURES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "permutations, scales": lambda X, Y: 1 - procrustes_positive(_centred(X), _centred(Y))[2],
    "max kernel": max_similarity,
    "rotations": lambda X, Y: 1 - procrustes_orthogonal(_centred(X), _centred(Y)),
    "linear CKA": linear_cka,
}


@torch.no_grad()
def layer_samples(net: SmallNet, x: Tensor, layer: str, positions: int, seed: int = 0) -> Tensor:
    """Activations of a layer at random positions of images.

    Layers are first averaged to the grid of the last one, so that a position is the same part of
    the image in all of them.

    Args:
        net: The network.
        x: Images `(N, channels, side, side)`.
        layer: One of `HIDDEN`.
        positions: The number of positions, over all images.
        seed: The seed of the choice.

    Returns:
        Activations `(positions, C)`.
    """
    side = net.upto(x[:1], HIDDEN[-1]).shape[-1]
    rows = as_rows(F.adaptive_avg_pool2d(net.upto(x, layer), side))
    rng = torch.Generator().manual_seed(seed)
    return rows[torch.randperm(len(rows), generator=rng)[:positions]]


def similarities(
    first: SmallNet,
    second: SmallNet,
    x: Tensor,
    *,
    positions: int = 800,
    rotations: int = 1,
    seed: int = 0,
) -> pd.DataFrame:
    """How similar two networks' layers are, by each of `MEASURES`.

    Args:
        first, second: Networks of the same width.
        x: Images `(N, channels, side, side)`.
        positions: The number of positions, over all images, that are compared.
        rotations: The number of random rotations of units, over which `rotated` is averaged.
        seed: The seed of the positions and of the rotations.

    Returns:
        One row for each measure and pair of layers: `measure`, `first`, `second`, `value`, and
        `rotated`, the value after the second network's units were rotated by a random orthogonal
        matrix (NaN for different layers).
    """
    a = {name: layer_samples(first, x, name, positions, seed) for name in HIDDEN}
    b = {name: layer_samples(second, x, name, positions, seed) for name in HIDDEN}
    bases = [rotated_basis(first.width, 1000 * seed + draw) for draw in range(rotations)]
    return pd.DataFrame(
        [
            {
                "measure": measure,
                "first": i,
                "second": j,
                "value": compare(a[i], b[j]),
                "rotated": np.mean([compare(a[i], b[j] @ Q) for Q in bases]) if i == j else np.nan,
            }
            for measure, compare in MEASURES.items()
            for i in HIDDEN
            for j in HIDDEN
        ]
    )


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
        seed: The seed of positions and rotations.

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
        X: Activations `(N, C)`; units that respond to nothing are left out, as they have no place
            to be found at.
        seed: The seed of the member and the rotation.

    Returns:
        What every measure gives, and whether the permutation was found.
    """
    X = X.double()
    X = X[:, X.square().sum(0) > 0]
    M, Q = relu_member(X.shape[1], seed).double(), rotated_basis(X.shape[1], seed).double()
    order, scale, left = procrustes_positive(X, X @ M.T)
    exact = bool((order == M.argmax(1).numpy()).all() and np.allclose(scale, M.amax(1)))
    table = {
        name: {"permuted and scaled": compare(X, X @ M.T), "rotated": compare(X, X @ Q)}
        for name, compare in MEASURES.items()
    }
    return PlantedSimilarity(pd.DataFrame(table), exact, left)


def as_rows(a: Tensor) -> Tensor:
    """Positions as samples, `(B h w, C)`."""
    return a.movedim(1, -1).flatten(0, -2)
