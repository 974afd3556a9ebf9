"""The image patches to which a feature responds most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from gc_utils.errors import UserError
from gc_utils.groups import Group
from gc_utils.images.orbits import turn

if TYPE_CHECKING:
    from gc_utils.crosscoder.batches import Rows


# ------------------------------------------------------------------------------- top patches


def top_samples(
    values, count: int, photograph=None, *, per_photograph: int | None = None
) -> np.ndarray:
    """The samples with the largest positive values, no photograph more often than allowed.

    Args:
        values: `(N,)`, one a sample.
        count: samples wanted.
        photograph: `(N,)`, which photograph each sample comes from; None to allow any.
        per_photograph: samples a photograph at most (default: a quarter of `count`, rounded up).

    Returns:
        Indices `(≤ count,)`, the largest value first: fewer where not enough are positive.
    """
    values = np.asarray(values, dtype=np.float64)
    order = np.argsort(-values, kind="stable")
    order = order[values[order] > 0]
    if photograph is not None:
        if len(photograph) != len(values):
            raise UserError(f"{len(photograph)} photographs for {len(values)} samples.")
        most = per_photograph or -(-count // 4)
        owner = np.asarray(photograph)[order]
        by_owner = np.argsort(owner, kind="stable")
        starts = np.r_[0, np.flatnonzero(np.diff(owner[by_owner])) + 1]
        lengths = np.diff(np.r_[starts, len(owner)])
        rank = np.empty(len(owner), dtype=int)
        rank[by_owner] = np.arange(len(owner)) - np.repeat(starts, lengths) if len(owner) else 0
        order = order[rank < most]
    return order[:count]


def top_patches(
    codes,
    patches: np.ndarray,
    feature: int,
    count: int = 8,
    photograph=None,
    *,
    per_photograph: int | None = None,
) -> np.ndarray:
    """The patches that excite a feature most.

    Args:
        codes: `(N, m)`.
        patches: uint8 `(N, S, S, 3)`, the crops at the identity.
        feature: which feature.
        count: patches wanted.
        photograph: `(N,)`; no photograph gives more than `per_photograph` patches (default: a
            quarter of `count`, rounded up), so that one picture does not fill the row.

    Returns:
        uint8 `(≤ count, S, S, 3)`: only patches that the feature is on for.
    """
    values = torch.as_tensor(codes)[:, feature].detach().float().cpu().numpy()
    found = top_samples(values, count, photograph, per_photograph=per_photograph)
    return patches[found]


def top_patches_block(
    A: Rows | torch.Tensor,
    V: torch.Tensor,
    patches: np.ndarray,
    feature: int,
    element: int,
    count: int,
    group: Group,
    photograph=None,
    *,
    mean: torch.Tensor | None = None,
    per_photograph: int | None = None,
) -> np.ndarray:
    """The crops that excite one transform block most: what `V[i, g]` itself points at.

    Every crop of the data, at every turn, is a candidate for every block: `A[n, h]` are the
    activations of `h·x_n`, the block scores them all by `⟨A[n, h] - mean, V[i, g]⟩`, and the best
    turn of each patch stands for it. The encoder has no part in it. If blocks and data are
    equivariant, the row of block `g` is the row of block `e`, turned by `g`: a thing to see, not to
    assume (the codes of turned orbits would show it whatever the blocks are).

    Args:
        A: orbit activations `(N, |G|, C)`, a tensor or an activation store.
        V: transform blocks `(m, |G|, C)`.
        patches: uint8 `(N, S, S, 3)`, the crops at the identity; a turned one is exact within the
            inscribed disc, which is what figures show.
        feature: which feature.
        element: index of `g`.
        count: crops wanted.
        group: the group of the orbits.
        photograph: as in `top_patches`.
        mean: `(C,)` subtracted from the activations (default: their own mean).

    Returns:
        uint8 `(≤ count, S, S, 3)`.
    """
    direction = V[feature, element].detach().float()
    direction = direction / direction.norm().clamp_min(1e-12)
    scores = torch.cat([A[i : i + 256].float() @ direction for i in range(0, len(A), 256)])
    scores = scores - (scores.mean() if mean is None else mean.float() @ direction)
    best, turns = scores.max(1)
    found = top_samples(best.numpy(), count, photograph, per_photograph=per_photograph)
    crops = [turn_patch(patches[n], group, int(turns[n])) for n in found]
    return np.stack(crops) if crops else patches[:0]


def turn_patch(patch: np.ndarray, group: Group, element: int) -> np.ndarray:
    """One uint8 patch `(S, S, 3)` under one group element."""
    picture = torch.from_numpy(np.ascontiguousarray(patch)).permute(2, 0, 1).float() / 255
    turned = turn(picture, group, blur=0.0)[element]  # the patch was low-passed when it was cut
    return (turned * 255).round().byte().permute(1, 2, 0).numpy()
