"""A Gabor filter bank, and stimuli whose attributes are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F


def gabor_stimuli(
    count: int, size: int = 33, *, colour: bool = True, seed: int = 0
) -> tuple[torch.Tensor, pd.DataFrame]:
    """Gabor patches with random attributes: what the synthetic bank is shown.

    Args:
        count: The number of patches.
        size: Their side in pixels.
        colour: Whether half of them are coloured (red against green, or blue against yellow).
        seed: The seed of the draw.

    Returns:
        The patches `(count, 3, size, size)`, and a table: `orientation` (degrees, period 180),
        `frequency` (cycles a pixel), `phase` (degrees) and, if wanted, `hue` (name).
    """
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "orientation": rng.uniform(0, 180, count),
            "frequency": 1 / np.exp(rng.uniform(np.log(5), np.log(14), count)),
            "phase": rng.uniform(0, 360, count),
        }
    )
    if colour:
        table["hue"] = rng.choice(["grey", "red", "blue"], count, p=[0.5, 0.25, 0.25])
    images = gabor_patches(table, size)
    return images, table


def gabor_patches(table: pd.DataFrame, size: int, contrast: float = 0.9) -> torch.Tensor:
    """Gabor patches of given attributes.

    Args:
        table: The attributes, as in `gabor_stimuli`; without `hue` all patches are grey.
        size: The side of the patches in pixels.
        contrast: Their contrast.

    Returns:
        The patches `(len(table), 3, size, size)` in [0, 1].
    """
    at = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(-at, at, indexing="ij")
    theta = torch.deg2rad(torch.tensor(table["orientation"].to_numpy(dtype=float)))[:, None, None]
    frequency = torch.tensor(table["frequency"].to_numpy(dtype=float))[:, None, None]
    phase = torch.deg2rad(torch.tensor(table["phase"].to_numpy(dtype=float)))[:, None, None]
    wave = torch.cos(2 * torch.pi * frequency * (theta.cos() * x + theta.sin() * y) - phase)
    field = 0.5 * contrast * wave * torch.exp(-(x**2 + y**2) / (2 * (size / 6) ** 2))
    colours = {"grey": (1, 1, 1), "red": (1, -1, 0), "blue": (-0.5, -0.5, 1)}
    hues = table["hue"] if "hue" in table else ["grey"] * len(table)
    weight = torch.tensor([colours[h] for h in hues], dtype=torch.float64)
    return (0.5 + field[:, None] * weight[:, :, None, None]).float()


@dataclass(frozen=True)
class GaborBank:
    """Rectified Gabor filters at a grid of attributes.

    Attributes:
        weight: The filters `(F, 3, S, S)`.
        table: Their attributes, one row a filter.
    """

    weight: torch.Tensor
    table: pd.DataFrame

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Responses `(B, F)` to patches `(B, 3, S, S)` in [0, 1]."""
        return F.relu((x - 0.5).flatten(1) @ self.weight.flatten(1).T)


def gabor_bank(
    size: int = 33,
    *,
    orientations: int = 8,
    frequencies: int = 3,
    phases: int = 4,
    colour: bool = True,
) -> GaborBank:
    """A bank at all combinations of orientation, spatial frequency, phase and colour.

    Args:
        size: The side of the filters in pixels.
        orientations, frequencies, phases: The numbers of values of each attribute.
        colour: Whether there are coloured filters beside the grey ones.

    Returns:
        A `GaborBank`.
    """
    waves = np.exp(np.linspace(np.log(5.5), np.log(13), frequencies))
    rows = [
        {
            "orientation": 180 * o / orientations,
            "frequency": 1 / w,
            "phase": 360 * p / phases,
            "hue": h,
        }
        for h in (("grey", "red", "blue") if colour else ("grey",))
        for w in waves
        for o in range(orientations)
        for p in range(phases)
    ]
    table = pd.DataFrame(rows)
    weight = gabor_patches(table, size) - 0.5
    weight = weight / weight.flatten(1).norm(dim=1)[:, None, None, None]
    return GaborBank(weight, table)
