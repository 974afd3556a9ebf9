"""Attributes measured in images, and how well dimensions follow from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import GroupKFold, cross_val_predict

from gc_utils.images.stimuli import LUMA


def measure(patches: torch.Tensor, sigma: float = 1.0, *, batch: int = 512) -> pd.DataFrame:
    """Attributes of patches, measured in the inscribed disc.

    Args:
        patches: Patches `(N, 3, S, S)` in [0, 1].
        sigma: The width of the Gaussian derivatives in pixels.
        batch: The number of patches that are measured at once.

    Returns:
        A table with one row a patch:

        - `cos2`, `sin2`: orientation energy, the structure tensor's direction (of the gradient) at
          twice the angle, times its coherence: 0 if there is no one orientation;
        - `cos1`, `sin1`: mean gradient over its mean length: to the bright side;
        - `coherence` in [0, 1];
        - `frequency`: log of the spectral centroid of luminance, cycles a pixel;
        - `contrast`: log of the root mean square of luminance;
        - `luminance`: mean;
        - `red_green`, `blue_yellow`: mean opponent colours; `saturation`: their mean length;
        - `curvature`: how fast the gradient's direction changes along the contour, weighted by its
          squared length, per half patch.
    """
    parts = [_measured(part.float(), sigma) for part in patches.split(batch)]
    return pd.concat(parts, ignore_index=True)


def _measured(x: torch.Tensor, sigma: float) -> pd.DataFrame:
    size = x.shape[-1]
    luma = torch.einsum("nchw,c->nhw", x, LUMA.float())
    at = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    row, column = torch.meshgrid(-at, at, indexing="ij")
    inside = torch.hypot(row, column) <= size / 2
    weight = inside.float() / inside.sum()

    def mean(field: torch.Tensor) -> torch.Tensor:
        return (field * weight).sum((1, 2))

    gx, gy, gxx, gyy, gxy = _derivatives(luma, sigma)
    energy = gx.square() + gy.square()
    total = mean(energy).clamp_min(1e-12)
    cos2, sin2 = mean(gx.square() - gy.square()) / total, mean(2 * gx * gy) / total
    length = mean(energy.sqrt()).clamp_min(1e-9)
    bend = (gxx * gy.square() - 2 * gxy * gx * gy + gyy * gx.square()) / energy.clamp_min(1e-9)
    centred = (luma - mean(luma)[:, None, None]) * inside
    window = (1 - (torch.hypot(row, column) / (size / 2)).square()).clamp_min(0)
    power = torch.fft.fft2(centred * window).abs().square()
    fy, fx = torch.fft.fftfreq(size)[:, None], torch.fft.fftfreq(size)[None]
    where = torch.hypot(fy, fx)
    centroid = (power * where).sum((1, 2)) / power.sum((1, 2)).clamp_min(1e-12)
    red_green, blue_yellow = x[:, 0] - x[:, 1], x[:, 2] - (x[:, 0] + x[:, 1]) / 2
    return pd.DataFrame(
        {
            "cos2": cos2,
            "sin2": sin2,
            "cos1": mean(gx) / length,
            "sin1": mean(gy) / length,
            "coherence": torch.hypot(cos2, sin2),
            "frequency": centroid.clamp_min(1e-3).log(),
            "contrast": (mean(centred.square()).sqrt() + 1e-3).log(),
            "luminance": mean(luma),
            "red_green": mean(red_green),
            "blue_yellow": mean(blue_yellow),
            "saturation": mean(torch.hypot(red_green, blue_yellow)),
            # The direction changes along the contour by bend/|gradient| per pixel, energy-weighted.
            "curvature": (mean(bend.abs() * energy.sqrt()) / total) * size / 2,
        }
    )


def _derivatives(images: torch.Tensor, sigma: float) -> list[torch.Tensor]:
    """Gaussian derivatives by x, y, xx, yy and xy of `(N, S, S)`, x right and y up."""
    found = []
    for down, right in ((0, 1), (1, 0), (0, 2), (2, 0), (1, 1)):  # orders along rows and columns
        field = gaussian_filter(
            images.numpy(), (0, sigma, sigma), order=(0, down, right), mode="nearest"
        )
        found.append(torch.from_numpy((-1) ** down * field))  # rows count down
    return found


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "orientation": ("cos2", "sin2", "coherence"),
    "direction": ("cos1", "sin1"),
    "frequency": ("frequency",),
    "contrast": ("contrast",),
    "luminance": ("luminance",),
    "colour": ("red_green", "blue_yellow", "saturation"),
    "curvature": ("curvature",),
}


def explained_by(
    codes: np.ndarray, measured: pd.DataFrame, groups: Sequence, *, folds: int = 3, seed: int = 0
) -> pd.DataFrame:
    """How well measured attributes predict each dimension: cross-validated R².

    Extremely randomised trees; samples of one photograph are never on both sides of a split.

    Args:
        codes: The coordinates `(N, d)`.
        measured: The attributes from `measure`, `N` rows.
        groups: The photograph of each sample `(N,)`.
        folds: The number of folds of the cross-validation.
        seed: The seed of the trees.

    Returns:
        A table with one row a dimension: `all`, R² from all attributes, and one column for each of
        `ATTRIBUTES`, from that alone. Below 0 where the prediction is worse than the mean, and
        `all` can be less than one attribute alone: the others are noise to it.
    """
    groups = np.asarray(groups)
    splits = GroupKFold(min(folds, len(np.unique(groups))))
    y = (codes - codes.mean(0)) / np.maximum(codes.std(0), 1e-12)
    found = {}
    for name, parts in {"all": tuple(measured), **ATTRIBUTES}.items():
        model = ExtraTreesRegressor(30, min_samples_leaf=8, random_state=seed, n_jobs=2)
        x = measured[list(parts)].to_numpy()
        guess = cross_val_predict(model, x, y, groups=groups, cv=splits)
        left = np.square(y - guess.reshape(y.shape)).sum(0) / np.square(y).sum(0)
        found[name] = 1 - left
    return pd.DataFrame(found)
