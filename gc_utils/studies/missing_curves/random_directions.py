"""Curve detectors among random directions: what any basis of the layer would show."""

from __future__ import annotations

import numpy as np

from gc_utils.inspection.decompositions import rotated_basis
from gc_utils.studies.missing_curves.layers import LayerStudy
from gc_utils.studies.missing_curves.radial_tuning import name_units, radial_tuning, usual_responses


def rotated_detectors(study: LayerStudy, *, bases: int = 10, seed: int = 0) -> list[np.ndarray]:
    """Curve detectors among the directions of the neurons' basis rotated at random.

    Args:
        study: The study of a layer.
        bases: The number of rotated bases.
        seed: The seed of the first; the others follow it.

    Returns:
        For each basis, the preferred orientations in degrees of the directions that detect curves.
    """
    A, shown, table = study.positions.A, study.responses["neurons"], study.drawings.table
    found = []
    for number in range(bases):
        Q = rotated_basis(A.shape[1], seed + number)
        responses = (shown @ Q).clamp_min(0)
        usual = usual_responses((A @ Q).clamp_min(0))
        named = name_units(responses, table, minimum=0.1 * usual)
        tuning = radial_tuning(responses, table, resamples=2)  # its intervals are not used
        found.append(tuning.table["preferred"].to_numpy()[(named["label"] == "curve").to_numpy()])
    return found


def as_many_as_features(rotated: list[np.ndarray], expansion: float) -> list[np.ndarray]:
    """Join rotated bases, so that a set has as many directions as the SAE has features.

    Args:
        rotated: From `rotated_detectors`.
        expansion: The number of features over the number of channels; rounded, at least 1.

    Returns:
        As many sets of preferred orientations in degrees as there are bases.
    """
    bases, count = max(1, round(expansion)), len(rotated)
    return [np.concatenate([rotated[(i + j) % count] for j in range(bases)]) for i in range(count)]
