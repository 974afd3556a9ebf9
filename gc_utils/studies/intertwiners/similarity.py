"""Similarity of representations modulo a group: Procrustes, CKA, max kernel."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from gc_utils.errors import UserError
from gc_utils.inspection.decompositions import rotated_basis
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
        X, Y: activations of the same samples, `(N, C)`, as many units in both.
        signed: scales of either sign, for activations before a nonlinearity.

    Returns:
        `order`, for each unit of `Y` the unit of `X` that stands for it; its `scale`; and what is
        left, as a share of `‖Y‖²`.
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
        signed: scales of either sign.

    Returns:
        `order` and `scale`, of every unit of `Y`.
    """
    power = np.maximum(power, 1e-12)
    product = product.T if signed else np.maximum(product.T, 0)  # (units of Y, units of X)
    rows, order = linear_sum_assignment(product**2 / power, maximize=True)
    return order, product[rows, order] / power[order]


def procrustes_orthogonal(X: torch.Tensor, Y: torch.Tensor) -> float:
    """What the best orthogonal map leaves of `Y`, at its best overall scale, as a share of ‖Y‖²."""
    nuclear = torch.linalg.svdvals(X.double().T @ Y.double()).sum()
    return float(1 - nuclear**2 / (X.double().square().sum() * Y.double().square().sum()))


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
        X, Y: activations `(N, C)` and `(N, C')` of the same samples, not negative.
    """

    def kernel(v: torch.Tensor) -> torch.Tensor:
        v = v.double() / v.double().norm(dim=0).clamp_min(1e-12)
        K = torch.stack([(v * row).amax(1) for row in v])
        return K - K.mean(0) - K.mean(1, keepdim=True) + K.mean()

    k, m = kernel(X), kernel(Y)
    return float((k * m).sum() / (k.norm() * m.norm()).clamp_min(1e-12))


def _centred(X: Tensor) -> Tensor:
    return X - X.mean(0)


# Names of measures say what they do not see. Procrustes' problems are those of centred activations,
# as is usual: else that no unit is negative would count as likeness.
MEASURES: dict[str, Callable[[Tensor, Tensor], float]] = {
    "permutations, scales": lambda X, Y: 1 - procrustes_positive(_centred(X), _centred(Y))[2],
    "max kernel": max_similarity,
    "rotations": lambda X, Y: 1 - procrustes_orthogonal(_centred(X), _centred(Y)),
    "linear CKA": linear_cka,
}


@torch.no_grad()
def layer_samples(net: SmallNet, x: Tensor, layer: str, positions: int, seed: int = 0) -> Tensor:
    """Activations of a layer at random positions of pictures, `(positions, C)`.

    Layers are first averaged to the grid of the last one, so that a position is the same part of
    the picture in all of them.
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
    """How alike two networks' layers are, by every one of `MEASURES`.

    Args:
        first, second: of the same width.
        x: pictures.
        positions: of all pictures, that are compared.
        rotations: random ones, whose values are averaged.
        seed: of the positions, and of the rotations.

    Returns:
        A row a measure and pair of layers: `measure`, `first`, `second`, `value`, and `rotated`,
        the value after the second network's units were rotated by a random orthogonal matrix
        (NaN for different layers).
    """
    a = {name: layer_samples(first, x, name, positions, seed) for name in HIDDEN}
    b = {name: layer_samples(second, x, name, positions, seed) for name in HIDDEN}
    turned = [rotated_basis(first.width, 1000 * seed + turn) for turn in range(rotations)]
    return pd.DataFrame(
        [
            {
                "measure": measure,
                "first": i,
                "second": j,
                "value": compare(a[i], b[j]),
                "rotated": np.mean([compare(a[i], b[j] @ Q) for Q in turned]) if i == j else np.nan,
            }
            for measure, compare in MEASURES.items()
            for i in HIDDEN
            for j in HIDDEN
        ]
    )


def as_rows(a: Tensor) -> Tensor:
    """Positions as samples, `(B h w, C)`."""
    return a.movedim(1, -1).flatten(0, -2)
