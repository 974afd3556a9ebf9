"""What a second sparse autoencoder finds, and what random directions show, beside the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gc_utils.inspection.decompositions import rotated_basis
from gc_utils.studies.missing_curves.layers import LayerStudy, sparse_autoencoder
from gc_utils.studies.missing_curves.radial_tuning import codes, radial_tuning
from gc_utils.studies.missing_curves.splitting import like_no_neuron, neuron_match, split_doubles

SAME = 0.7  # cosine from which two dictionaries have the same feature


@dataclass(frozen=True)
class Baselines:
    """Features like no neuron and neurons taken apart, by dictionary.

    Attributes:
        like_none: The share of units that no neuron is similar to: of the SAE (`"features"`), of a
            second one (`"second SAE"`), of random directions (`"random directions"`, the mean).
        again: Of the SAE's features like no neuron, the share that the second SAE has too; NaN if
            there are none.
        apart: The number of neurons with two curves that are taken apart, by the same names.
    """

    like_none: dict[str, float]
    again: float
    apart: dict[str, float]


def compare_dictionaries(
    study: LayerStudy,
    held_out: np.ndarray,
    doubles: Sequence[int],
    *,
    expansion: float = 2.0,
    k: int = 16,
    steps: int = 1000,
    bases: int = 3,
    seed: int = 0,
) -> Baselines:
    """Ask of a second SAE and of random directions what is asked of a layer's SAE.

    A random dictionary is the neurons' basis rotated at random, rectified, several times over, so
    that it has as many directions as the SAE has features.

    Args:
        study: The study of the layer.
        held_out: The positions that no SAE learns from, bool `(N,)`.
        doubles: The neurons with two curves.
        expansion: The number of features, relative to the channels.
        k: The number of features active at a time.
        steps: The steps of training of the second SAE.
        bases: The number of random dictionaries.
        seed: The seed of the study's SAE; the second gets the next one.

    Returns:
        The comparison.
    """
    A, drawn = study.positions.A, study.responses["neurons"]
    second = sparse_autoencoder(
        A, held_out, features=expansion, k=k, steps=steps, seed=seed + 1, label=study.layer
    )
    other = second.V.detach()[:, 0]
    new = study.unmatched()
    cosine = torch.nn.functional.normalize(study.decoder, dim=1) @ (
        torch.nn.functional.normalize(other, dim=1).T
    )
    again = float((cosine.amax(1).numpy()[new] >= SAME).mean()) if new.any() else float("nan")
    like_none = {
        "features": float(new.mean()),
        "second SAE": _like_none(other, A, codes(second, A)),
    }
    apart = {
        "features": _apart(study, study.decoder, study.responses["features"], doubles),
        "second SAE": _apart(study, other, codes(second, drawn), doubles),
    }
    chance = []
    times = max(1, round(expansion))
    for number in range(bases):
        turned = [rotated_basis(A.shape[1], seed + number * times + i) for i in range(times)]
        Q = torch.cat(turned, 1)
        seen = _apart(study, Q.T, (drawn @ Q).clamp_min(0), doubles)
        chance.append((_like_none(Q.T, A, (A @ Q).clamp_min(0)), seen))
    like_none["random directions"], apart["random directions"] = map(float, np.mean(chance, 0))
    return Baselines(like_none, again, apart)


def _like_none(decoder: Tensor, A: Tensor, f: Tensor) -> float:
    """The share of directions that no neuron is similar to."""
    return float(like_no_neuron(neuron_match(decoder, A, f), f).mean())


def _apart(study: LayerStudy, decoder: Tensor, f: Tensor, doubles: Sequence[int]) -> float:
    """How many neurons with two curves a dictionary takes apart."""
    if not len(doubles):
        return 0.0
    table = study.drawings.table
    tuning = radial_tuning(f, table, resamples=2)  # its intervals are not used
    found = split_doubles(decoder, f, study.tuning["neurons"], tuning, table, doubles)
    return float(found["apart"].sum())
