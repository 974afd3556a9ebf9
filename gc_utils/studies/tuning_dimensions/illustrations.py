"""What `figures.walks` shows: walks along dimensions in optimised images and real crops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gc_utils.inspection.visualise import optimise
from gc_utils.models.base import Model
from gc_utils.studies.tuning_dimensions.layers import LayerStudy
from gc_utils.studies.tuning_dimensions.walks import QUANTILES, nearest_patches, reach, walk

LEAST = 0.05  # R² below which an attribute is not named


def point_labels(quantiles: Sequence[float] = QUANTILES) -> list[str]:
    """The labels of a walk's points: their quantiles in percent, or "median"."""
    return [f"{100 * q:g} %" if q != 0.5 else "median" for q in quantiles]


def clearest_dimensions(study: LayerStudy, method: str, count: int = 4) -> list[int]:
    """The dimensions of a method that a single attribute predicts best, the best first."""
    clear = study.named[method].drop(columns="all").max(axis=1)
    return list(clear.sort_values(ascending=False).index[:count])


def illustrated_walks(
    model: Model,
    layer: str,
    study: LayerStudy,
    method: str,
    chosen: Sequence[int],
    *,
    count: int = 2,
    steps: int = 0,
    seed: int = 0,
) -> list[dict]:
    """Walks along some dimensions of a layer, in real crops and, if wanted, optimised images.

    Args:
        model: The model that was studied.
        layer: The name of the layer.
        study: The study of the layer.
        method: The method whose dimensions are walked along.
        chosen: The numbers of the dimensions.
        count: The number of crops at each point.
        steps: The steps of optimisation; 0 leaves the optimised images out.
        seed: The seed of the optimisation.

    Returns:
        For each dimension a dictionary of `title`; `note`, the attributes that predict it best with
        their R²; `images` `(K, 3, S, S)` or None; and `patches`, uint8 `(K, count, S, S, 3)`.
    """
    found, at, rows = study.found[method], study.coordinates[method], []
    for dimension in chosen:
        points = walk(at, dimension)
        drawn = None
        if steps:
            objective = reach(model, layer, found, points, at)
            size = model.crop_size(layer)
            drawn = optimise(objective, len(points), size, steps=steps, seed=seed)
        near = nearest_patches(at, points, count)
        best = study.named[method].loc[dimension].drop("all").sort_values(ascending=False)
        best = best[best >= LEAST].head(2)
        rows.append(
            {
                "title": f"dimension {dimension}",
                "note": "\n".join(f"{name} {value:.2f}" for name, value in best.items()),
                "images": drawn,
                "patches": np.stack([study.crops(some) for some in near]),
            }
        )
    return rows
