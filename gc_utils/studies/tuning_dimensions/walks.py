"""Walks along a dimension, and the patches nearest to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from gc_utils.errors import UserError
from gc_utils.inspection.decompositions import Decomposition
from gc_utils.inspection.visualise import Objective
from gc_utils.models.base import Model
from gc_utils.studies.tuning_dimensions.information import spread_of

QUANTILES = (0.02, 0.5, 0.9, 0.98, 0.998)  # of a walk


def walk(at: np.ndarray, dimension: int, quantiles: Sequence[float] = QUANTILES) -> np.ndarray:
    """Points of a walk along a dimension.

    Along the dimension they lie at quantiles of the samples' coordinates (many dimensions have a
    long tail, of which steps in standard deviations would show little), along all others at the
    median.

    Args:
        at: The coordinates of the samples `(N, d)`, from `Decomposition.coordinates`.
        dimension: The dimension to walk along.
        quantiles: The quantiles of the samples' coordinates, in [0, 1].

    Returns:
        The points `(len(quantiles), d)`.
    """
    points = np.tile(np.median(at, 0), (len(quantiles), 1))
    points[:, dimension] = np.quantile(at[:, dimension], quantiles)
    return points


def nearest_patches(at: np.ndarray, points: np.ndarray, count: int = 1) -> np.ndarray:
    """Samples that lie nearest to the points of a walk, each sample once.

    Distances are in standard deviations of each coordinate. Points far out choose first: samples
    are rare there.

    Args:
        at: The coordinates of the samples `(N, d)`.
        points: The points from `walk`, `(P, d)`.
        count: The number of samples at each point.

    Returns:
        The numbers of the samples `(P, count)`.

    Raises:
        UserError: There are fewer samples than places.
    """
    if len(at) < len(points) * count:
        raise UserError(
            f"{len(at)} samples are too few for {count} at each of {len(points)} points: "
            f"take {len(points) * count} samples or more."
        )
    spread = spread_of(at)
    rows = np.empty((len(points), count), dtype=int)
    free = np.ones(len(at), dtype=bool)
    far = np.linalg.norm((points - np.median(at, 0)) / spread, axis=1)
    for n in np.argsort(-far, kind="stable"):
        off = np.linalg.norm((at - points[n]) / spread, axis=1)
        rows[n] = np.argsort(np.where(free, off, np.inf), kind="stable")[:count]
        free[rows[n]] = False
    return rows


def reach(
    model: Model,
    layer: str,
    found: Decomposition,
    points: np.ndarray,
    at: np.ndarray,
    *,
    smooth: float = 2000.0,
) -> Objective:
    """Objective for `visualise.optimise`: coordinates as near as possible to points of a walk.

    What the dimensions do not hold is left free, but for a penalty on rough images: the mean of
    photographs' activations is not that of any image, and to ask for all of it makes noise.

    Args:
        model, layer: The model and the layer that the activations come from.
        found: Their decomposition.
        points: The points from `walk`, `(B, d)`.
        at: The coordinates of the samples `(N, d)`, whose spread is the unit of each.
        smooth: The weight of the mean square of differences between neighbouring pixels.

    Returns:
        A function of images `(B, 3, S, S)` whose value `(B,)` is to be made large.
    """
    there, readout, mean, spread = (
        torch.as_tensor(v, dtype=torch.float32, device=model.device)
        for v in (points, found.readout(), found.mean, spread_of(at))
    )

    def objective(x: torch.Tensor) -> torch.Tensor:
        off = ((model.unit(x, layer) - mean) @ readout - there) / spread
        rough = x.diff(dim=2).square().mean((1, 2, 3)) + x.diff(dim=3).square().mean((1, 2, 3))
        return -off.square().sum(1) - smooth * rough

    return objective
