"""Similarity of representations as Godfrey et al. 2022 define it, and its orthogonal counterparts.

A representation is what a layer makes of some images, `(N, C, h, w)`. Procrustes' measures compare
unit with unit at every position of every image; kernels compare image with image and sum over
positions, so that a kernel is `(N, N)` whatever the layer's grid.

`G_ReLU-Procrustes`: units of unit norm, not centred; the permutation with the smallest distance;
one less that distance, over the largest that there can be. Its counterpart takes the best
orthogonal matrix, at unit norm of the whole representation.

`µCKA`: units are centred and of unit norm, the kernel of two images is the largest of their units'
products, and kernels are aligned by the unbiased estimate of the Hilbert-Schmidt independence
criterion (HSIC; Song et al. 2012), whose kernels have a zero diagonal. The max kernel is not
positive semidefinite, as the paper's last version says: a similarity, not a kernel alignment.
Linear CKA has the sum over units in place of the largest. The authors standardise units there,
too, so that their form sees a rotation of the units; without that it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from gc_utils.errors import UserError

LEAST_IMAGES = 4  # the unbiased estimate divides by N - 3


@dataclass(frozen=True)
class Measure:
    """A measure of similarity in two steps, so that a representation is prepared only once.

    Attributes:
        prepare: Takes a representation `(N, C, h, w)` to what is compared.
        compare: Takes two of those to the similarity; the order of the two does not matter.
    """

    prepare: Callable[[Tensor], Tensor]
    compare: Callable[[Tensor, Tensor], float]

    def __call__(self, X: Tensor, Y: Tensor) -> float:
        """The similarity of two representations of the same images."""
        return self.compare(self.prepare(X), self.prepare(Y))


def unit_columns(X: Tensor, *, centred: bool = False) -> Tensor:
    """Scale every unit to norm 1 over images and positions; silent units stay 0.

    Args:
        X: Activations `(N, C, h, w)`.
        centred: Whether the unit's mean is subtracted before.

    Returns:
        float64, of the same shape.
    """
    x = X.double()
    if centred:
        # A unit that never varies must be 0 afterwards, and not what rounding leaves of its mean.
        varies = (x != x[:1, :, :1, :1]).any(0).any(-1).any(-1)
        x = (x - x.mean((0, 2, 3), keepdim=True)) * varies[:, None, None]
    norm = x.square().sum((0, 2, 3), keepdim=True).sqrt()
    return x / norm.where(norm > 0, torch.ones_like(norm))


def unit_norm(X: Tensor) -> Tensor:
    """Scale a representation `(N, C, h, w)` to norm 1 as a whole, in float64."""
    x = X.double()
    norm = x.norm()
    return x / norm if norm > 0 else x


def same_shape(X: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
    """Bring two representations to the same grid and number of units.

    Every position of the coarser grid is repeated, and units that respond to nothing are added.

    Args:
        X, Y: Prepared activations of the same images, `(N, C, h, w)` and `(N, C', h', w')`.

    Returns:
        Both with the larger grid and the larger number of units.

    Raises:
        UserError: Other images, or a grid that is no whole multiple of the other.
    """
    if len(X) != len(Y):
        raise UserError(f"representations of {len(X)} and {len(Y)} images: expected the same ones.")
    height, width = (max(X.shape[k], Y.shape[k]) for k in (2, 3))
    units = max(X.shape[1], Y.shape[1])
    return _stretched(X, units, height, width), _stretched(Y, units, height, width)


def _stretched(X: Tensor, units: int, height: int, width: int) -> Tensor:
    down, across = height // X.shape[2], width // X.shape[3]
    if (down * X.shape[2], across * X.shape[3]) != (height, width):
        raise UserError(
            f"a grid of {tuple(X.shape[2:])} cannot be repeated to {(height, width)}: expected "
            "whole multiples. Compare layers whose grids divide each other."
        )
    repeated = X.repeat_interleave(down, 2).repeat_interleave(across, 3)
    # A position that is repeated counts as often, so that norms are 1 again.
    repeated = repeated / (down * across) ** 0.5
    return F.pad(repeated, (0, 0, 0, 0, 0, units - X.shape[1]))


def member_similarity(X: Tensor, Y: Tensor) -> float:
    """`G_ReLU-Procrustes` of representations from `unit_columns`.

    With the permutation `P` that makes `‖X P - Y‖` smallest, `1 - ‖X P - Y‖ / (2 √C)`.
    """
    x, y = _rows(*same_shape(X, Y))
    product = x.T @ y
    matched = product[linear_sum_assignment(product.numpy(), maximize=True)].sum()
    distance = (x.square().sum() + y.square().sum() - 2 * matched).clamp_min(0)
    return float(1 - (distance / (4 * x.shape[1])).sqrt())


def orthogonal_similarity(X: Tensor, Y: Tensor) -> float:
    """Orthogonal Procrustes of representations from `unit_norm`.

    With the orthogonal matrix `Q` that makes `‖X Q - Y‖` smallest, `1 - ‖X Q - Y‖ / 2`.
    """
    x, y = _rows(*same_shape(X, Y))
    nuclear = torch.linalg.svdvals(x.T @ y).sum()
    distance = (x.square().sum() + y.square().sum() - 2 * nuclear).clamp_min(0)
    return float(1 - distance.sqrt() / 2)


def _rows(*found: Tensor) -> list[Tensor]:
    return [x.movedim(1, -1).flatten(0, -2) for x in found]


def max_kernel(X: Tensor) -> Tensor:
    """Kernel of µCKA: `K[i, j]` is the largest of the units' products of images `i` and `j`.

    Args:
        X: Activations `(N, C, h, w)`.

    Returns:
        `(N, N)`, with a zero diagonal.
    """
    units = unit_columns(X, centred=True).movedim(1, 0).flatten(2)  # (C, N, positions)
    K = torch.full((len(X), len(X)), -torch.inf, dtype=torch.float64)
    for unit in units:
        torch.maximum(K, unit @ unit.T, out=K)
    return K.fill_diagonal_(0)


def linear_kernel(X: Tensor, *, standardised: bool = False) -> Tensor:
    """Kernel of linear CKA: the sum of the centred units' products.

    Args:
        X: Activations `(N, C, h, w)`.
        standardised: Whether units have unit norm, as in the authors' code.

    Returns:
        `(N, N)`, with a zero diagonal.
    """
    x = unit_columns(X, centred=True) if standardised else X.double()
    x = x - x.mean((0, 2, 3), keepdim=True)
    x = x.flatten(1)
    return (x @ x.T).fill_diagonal_(0)


def standardised_kernel(X: Tensor) -> Tensor:
    """`linear_kernel` of standardised units."""
    return linear_kernel(X, standardised=True)


def unbiased_hsic(K: Tensor, L: Tensor) -> Tensor:
    """Unbiased estimate of the HSIC (Song et al. 2012) of kernels with zero diagonals.

    `(tr KL + (1ᵀK1)(1ᵀL1) / ((N-1)(N-2)) - 2 (1ᵀKL1) / (N-2)) / (N (N-3))`

    Args:
        K, L: Symmetric kernels of the same images, `(N, N)`.

    Returns:
        A number.

    Raises:
        UserError: Fewer than four images.
    """
    n = len(K)
    if n < LEAST_IMAGES:
        raise UserError(f"{n} images: expected {LEAST_IMAGES} or more for the unbiased estimate.")
    total = (K * L).sum() + K.sum() * L.sum() / ((n - 1) * (n - 2))
    return (total - 2 * (K.sum(1) @ L.sum(1)) / (n - 2)) / (n * (n - 3))


def alignment(K: Tensor, L: Tensor) -> float:
    """Alignment of two kernels by `unbiased_hsic`; 0 if either does not vary."""
    power = unbiased_hsic(K, K) * unbiased_hsic(L, L)
    return float(unbiased_hsic(K, L) / power.sqrt()) if power > 0 else 0.0


GROUP_PROCRUSTES, ORTHOGONAL_PROCRUSTES = "G_ReLU-Procrustes", "orthogonal Procrustes"
MU_CKA, LINEAR_CKA = "µCKA", "linear CKA"
STANDARDISED_CKA = "linear CKA, standardised"
MEASURES: dict[str, Measure] = {
    GROUP_PROCRUSTES: Measure(unit_columns, member_similarity),
    ORTHOGONAL_PROCRUSTES: Measure(unit_norm, orthogonal_similarity),
    MU_CKA: Measure(max_kernel, alignment),
    LINEAR_CKA: Measure(linear_kernel, alignment),
    STANDARDISED_CKA: Measure(standardised_kernel, alignment),
}
