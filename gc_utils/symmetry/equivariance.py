"""How equivariant is a network: does a linear map on channels do what rotating the input does?

A layer is equivariant if there are matrices `M_h` with

    A[h·g] = M_h A[g]       for every image and all g, h:

the response to an image transformed by `h` follows from the response to the image. If the group
acts on the layer by a representation, the matrices of all rotations are powers of that of the
smallest, `M_{r^k} = M_r^k`. How much variance `M_r^k` explains, and how much a matrix fitted for
`r^k` alone, says how far that holds; both are fitted on some images and measured on others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from gc_utils import linear
from gc_utils.errors import UserError
from gc_utils.groups import Group

RIDGE = 1e-3  # relative to the mean variance of a channel


def _fit(x: torch.Tensor, y: torch.Tensor, strength: float) -> torch.Tensor:
    """`M` with `y ≈ M x`, of rows `(N, C)`; float64."""
    x, y = x.double(), y.double()
    return linear.ridge(x.T @ x, x.T @ y, strength).T


def free_action(A: torch.Tensor, g: Group, ridge: float = RIDGE) -> torch.Tensor:
    """A matrix on channels for every element, each fitted for itself, `(|G|, C, C)`.

    Args:
        A: orbit activations, centred by the mean over samples and group, `(N, |G|, C)`.
        g: their group.
        ridge: relative to the mean variance of a channel.
    """
    x = A.flatten(0, 1)
    fitted = [_fit(x, A[:, g.table[h]].flatten(0, 1), ridge) for h in range(g.order)]
    return torch.stack(fitted).float()


def fitted_action(A: torch.Tensor, g: Group, ridge: float = RIDGE) -> torch.Tensor:
    """The group's action on channels as powers of one fitted matrix, and one more for mirrors.

    As in *Equivariant Sparse Autoencoders* (arXiv 2511.09432): `M_r` of the smallest rotation by
    ridge regression, `M_{r^k} = M_r^k`, and `M_{r^k s} = M_r^k M_s`.

    Args:
        A, g, ridge: as for `free_action`.

    Returns:
        `(|G|, C, C)`.
    """
    x = A.flatten(0, 1)
    one = torch.eye(A.shape[2], dtype=torch.float64)
    rotation = _fit(x, A[:, g.table[1]].flatten(0, 1), ridge) if g.n > 1 else one
    powers = [one]
    for _ in range(g.n - 1):
        powers.append(rotation @ powers[-1])
    if g.dihedral:
        mirror = _fit(x, A[:, g.table[g.n]].flatten(0, 1), ridge)
        powers += [power @ mirror for power in powers[: g.n]]
    return torch.stack(powers).float()


@dataclass(frozen=True)
class Equivariance:
    """Share of variance (`R²`) of responses to held-out images that a linear map predicts.

    Attributes:
        powers: by powers of one matrix, for every element `(|G|,)`; over all channels.
        free: by a matrix for each element.
        unchanged: by leaving the response as it is.
        channels_powers, channels_free: for every channel, over all elements but the identity,
            `(C,)`; NaN for a channel that does not vary.
    """

    powers: np.ndarray
    free: np.ndarray
    unchanged: np.ndarray
    channels_powers: np.ndarray = field(repr=False)
    channels_free: np.ndarray = field(repr=False)

    def mean(self, name: str) -> float:
        """Of `powers`, `free` or `unchanged`: the mean over all elements but the identity."""
        return float(getattr(self, name)[1:].mean())


def equivariance(
    A: torch.Tensor, held_out: torch.Tensor, g: Group, ridge: float = RIDGE
) -> Equivariance:
    """How well responses to transformed images follow from responses by a linear map on channels.

    Args:
        A: orbit activations to fit on `(N, |G|, C)`.
        held_out: those to measure on, of other photographs, `(M, |G|, C)`.
        g: their group.
        ridge: relative to the mean variance of a channel.

    Raises:
        UserError: if the shapes do not fit, or the group is trivial.
    """
    if g.order < 2:
        raise UserError(
            f"group {g.name} has no rotation and no mirror: choose C2 or more, or D1 or more."
        )
    for x in (A, held_out):
        if x.ndim != 3 or x.shape[1] != g.order or x.shape[2] != A.shape[2]:
            raise UserError(
                f"activations of shape {tuple(x.shape)}: expected (N, |G| = {g.order}, C)."
            )
        if not len(x):
            raise UserError("no orbits to fit on, or none held out: take more.")
    mean = A.float().mean((0, 1))
    A, x = A.float() - mean, held_out.float() - mean
    actions = {
        "powers": fitted_action(A, g, ridge),
        "free": free_action(A, g, ridge),
        "unchanged": None,
    }
    total = x.square().sum((0, 1)).double()  # of every channel; the same for each element
    error = {}
    for name, M in actions.items():
        each = []
        for h in range(g.order):
            made = x if M is None else x @ M[h].T
            each.append((x[:, g.table[h]] - made).square().sum((0, 1)).double())
        error[name] = torch.stack(each)  # (|G|, C)
    whole = {k: (1 - e.sum(1) / total.sum()).numpy() for k, e in error.items()}
    varies = total > 1e-9 * total.max()
    channels = {
        k: torch.where(varies, 1 - error[k][1:].mean(0) / total, torch.nan).numpy()
        for k in ("powers", "free")
    }
    return Equivariance(**whole, channels_powers=channels["powers"], channels_free=channels["free"])
