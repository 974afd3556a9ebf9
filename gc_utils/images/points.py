"""Which points of a photograph are looked at, at which scale, and which fold it belongs to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import uniform_filter

from gc_utils.errors import UserError
from gc_utils.images.photographs import Photograph


def assign_folds(images: Sequence[Photograph], folds: int, seed: int = 0) -> np.ndarray:
    """Deal whole photographs into folds for cross-validation.

    Every source is dealt by itself, largest images first and the largest to the lightest fold,
    so that folds agree in their number of images of each source to one, and about in area.

    Args:
        images: the photographs.
        folds: how many folds; fewer photographs make as many folds as there are photographs.
        seed: breaks ties.

    Returns:
        int array (len(images),), the fold of each photograph.

    Raises:
        UserError: fewer than 1 fold, or several folds of a single photograph.
    """
    folds = possible_folds(len(images), folds)
    rng = np.random.default_rng(seed)
    area = np.array([p.height * p.width for p in images], float)
    fold = np.empty(len(images), int)
    count, total = np.zeros(folds), np.zeros(folds)
    for source in dict.fromkeys(p.source for p in images):
        mine = rng.permutation([i for i, p in enumerate(images) if p.source == source])
        mine = mine[np.argsort(-area[mine], kind="stable")]
        for start in range(0, len(mine), folds):
            deal = mine[start : start + folds]
            # Fewest images first decides who gets one at all, least area who gets the largest.
            takers = np.lexsort((rng.random(folds), total, count))[: len(deal)]
            takers = takers[np.argsort(total[takers], kind="stable")]
            fold[deal] = takers
            count[takers] += 1
            total[takers] += area[deal]
    return fold


def possible_folds(count: int, folds: int) -> int:
    """Folds that photographs can be dealt into: as many as there are photographs, at most.

    Args:
        count: how many photographs there are.
        folds: folds wanted.

    Returns:
        The number of folds.

    Raises:
        UserError: fewer than 1 fold is wanted, or several of a single photograph, so that none
            could be held out.
    """
    if folds < 1:
        raise UserError(f"{folds} folds asked for: expected 1 or more.")
    if count < min(folds, 2):
        raise UserError(
            f"{count} photographs cannot be divided: at least 2 photographs are needed, to hold "
            "whole ones out. Choose a folder with more, or add a source: 'photos', 'scenes:64'."
        )
    return min(count, folds)


def sample_points(
    image: torch.Tensor,
    count: int,
    *,
    scales: Sequence[float],
    rng: np.random.Generator,
    crop_size: int = 95,
    margin: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw points to look at, with probability proportional to local contrast.

    Contrast is the standard deviation of luminance, low-passed to the crop's grid, in a square
    window of a quarter of the crop. Draws are stratified in scan order: the marginal probabilities
    are exactly proportional, and the points spread over the photograph.

    A rotated crop stays inside the photograph, its corners aside, if the point keeps half a crop
    from the border. Scales that leave no room for this are left out; if all do, the smallest is
    used, with points on the photograph's middle line.

    Args:
        image: (3, H, W), RGB in [0, 1].
        count: number of points P.
        scales: photograph pixels per crop pixel; each gets the same share of the points.
        rng: source of randomness.
        crop_size: side of the crop, in its own pixels.
        margin: distance to keep from the border, in crop pixels; half a crop if None.

    Returns:
        Points (P, 2) as (x, y), sub-pixel, x right and y down, and their scales (P,); float32.
    """
    luminance = np.asarray(image.mean(0), dtype=np.float32)
    height, width = luminance.shape
    margin = crop_size / 2 if margin is None else margin
    fitting = [s for s in scales if 2 * margin * s <= min(height, width) - 1] or [min(scales)]
    scale = rng.permutation(np.resize(rng.permutation(fitting), count))
    points = np.empty((count, 2))
    for s in fitting:
        mine = np.flatnonzero(scale == s)
        points[mine] = rng.permutation(
            _draw(_contrast(luminance, s, s * crop_size / 4), len(mine), s * margin, rng)
        )
    return torch.from_numpy(points).float(), torch.from_numpy(scale).float()


def _contrast(luminance: np.ndarray, scale: float, window: float) -> np.ndarray:
    """Local standard deviation (H, W) of the luminance low-passed to `scale`."""
    fine = uniform_filter(luminance, max(round(scale), 1), mode="reflect")
    fine = fine - fine.mean()
    side = max(round(window), 3)
    mean = uniform_filter(fine, side, mode="reflect")
    square = uniform_filter(fine**2, side, mode="reflect")
    return np.sqrt(np.maximum(square - mean**2, 0))


def _draw(weight: np.ndarray, count: int, margin: float, rng: np.random.Generator) -> np.ndarray:
    """`count` points (x, y) that keep `margin` from the border, density proportional to weight."""
    height, width = weight.shape
    low = np.minimum(margin, [(width - 1) / 2, (height - 1) / 2])
    high = np.array([width - 1, height - 1]) - low
    # One cell a pixel, and the random place in the cell makes the point sub-pixel.
    first = np.floor(low).astype(int)
    last = np.ceil(high).astype(int) + 1
    inside = weight[first[1] : last[1], first[0] : last[0]].astype(float) + 1e-6
    cumulative = np.cumsum(inside)
    u = (np.arange(count) + rng.random(count)) / max(count, 1) * cumulative[-1]
    cell = np.searchsorted(cumulative, u, side="right").clip(0, inside.size - 1)
    y, x = np.divmod(cell, inside.shape[1])
    points = np.stack([x, y], 1) + first + rng.uniform(-0.5, 0.5, (count, 2))
    return points.clip(low, high)
