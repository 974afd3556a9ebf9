"""The image patches to which a feature responds most."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from gc_utils.errors import UserError
from gc_utils.groups import Group
from gc_utils.images.orbits import image_orbit

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
        owner = pd.Series(np.asarray(photograph)[order])
        order = order[owner.groupby(owner).cumcount() < most]
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
            quarter of `count`, rounded up), so that one photograph does not fill the row.

    Returns:
        uint8 `(≤ count, S, S, 3)`: only patches that the feature is on for.
    """
    values = torch.as_tensor(codes)[:, feature].detach().float().cpu().numpy()
    found = top_samples(values, count, photograph, per_photograph=per_photograph)
    return patches[found]


def rotate_patch(patch: np.ndarray, group: Group, element: int) -> np.ndarray:
    """One uint8 patch `(S, S, 3)` under one group element."""
    image = torch.from_numpy(np.ascontiguousarray(patch)).permute(2, 0, 1).float() / 255
    # The patch was low-passed when it was cut.
    rotated = image_orbit(image, group, blur=0.0)[element]
    return (rotated * 255).round().byte().permute(1, 2, 0).numpy()
