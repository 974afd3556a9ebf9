"""What excites single units: an image optimised for each, and the crops that do most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from gc_utils.images.photographs import Photograph
from gc_utils.inspection.patches import top_samples
from gc_utils.inspection.visualise import visualise_directions
from gc_utils.models.base import Model
from gc_utils.statistics import apart
from gc_utils.studies.missing_curves.layers import LayerStudy


def clearest_detectors(tuned: pd.DataFrame, count: int = 6) -> list[int]:
    """Detectors with one peak at angles spread over the circle, the strongest near each.

    Args:
        tuned: Rows of `RadialTuning.table` of the curve detectors.
        count: The number of angles.

    Returns:
        The numbers of the units, one at most for each angle.
    """
    single = tuned[tuned["peaks"] == 1].sort_values("response", ascending=False)
    chosen: list[int] = []
    for angle in np.arange(count) * 360 / count:
        off = apart(single["preferred"], angle).abs()
        near = [unit for unit in single.index[off <= 180 / count] if unit not in chosen]
        chosen += near[:1]
    return chosen


def exciting_images(
    model: Model,
    study: LayerStudy,
    who: str,
    units: Sequence[int],
    images: Sequence[Photograph],
    *,
    steps: int = 64,
) -> list[np.ndarray]:
    """What excites units: an image optimised for each, in grey, and the crop that does most.

    Args:
        model: The model that was studied.
        study: The study of a layer.
        who: The set of units, `"neurons"` or `"features"`.
        units: Their numbers.
        images: The photographs that the positions were drawn from.
        steps: The steps of optimisation; 0 leaves the optimised images out.

    Returns:
        For each unit an array `(k, 3, S, S)` in [0, 1], the optimised image first.
    """
    neurons = who == "neurons"
    values = study.positions.A if neurons else study.codes
    crops = []
    for unit in units:
        best = top_samples(values[:, unit].numpy(), 1, study.positions.photograph)
        patches = np.asarray(study.positions.patches(images, best))
        crops.append(patches.transpose(0, 3, 1, 2) / 255)
    if not steps:
        return crops
    drawn = visualise_directions(
        model,
        study.layer,
        torch.eye(study.positions.A.shape[1])[units] if neurons else study.decoder[units],
        mean=0.0 if neurons else study.coder.mean,
        p=float(not neurons),
        steps=steps,
        jitter=model.crop_size(study.layer) / 12,
        angle=6.0,
        zoom=0.1,
        colour=False,
    ).numpy()
    return [np.concatenate([image[None], crop]) for image, crop in zip(drawn, crops, strict=True)]


def unmatched_cards(
    study: LayerStudy, found: pd.DataFrame, shown: Sequence[int], images: Sequence[Photograph]
) -> list[dict]:
    """What `figures.unmatched_features` shows of some features.

    Args:
        study: The study of a layer.
        found: From `unmatched_features`.
        shown: The numbers of the features to be shown.
        images: The photographs that the positions were drawn from.

    Returns:
        For each feature a dictionary of `feature`, `label`, `patches` (uint8 `(k, S, S, 3)`),
        `cosine` and `correlation`.
    """
    cards = []
    for feature in shown:
        best = top_samples(study.codes[:, feature].numpy(), 8, study.positions.photograph)
        cards.append(
            {
                "feature": feature,
                "label": found["label"][feature].replace("_", " "),
                "patches": study.positions.patches(images, best),
                "cosine": found["cosine"][feature],
                "correlation": found["correlation"][feature],
            }
        )
    return cards
