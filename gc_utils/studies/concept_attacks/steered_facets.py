"""Attacks on the examples of a facet's probe, and what the visualisations show afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gc_utils.errors import choose
from gc_utils.models.base import Model
from gc_utils.models.load import load_model
from gc_utils.studies.concept_attacks.attacks import add_noise, push_along
from gc_utils.studies.concept_attacks.attempts import STRONGEST
from gc_utils.studies.concept_attacks.classifiers import Explained, activations_of, train_head
from gc_utils.studies.concept_attacks.examples import ConceptExamples
from gc_utils.studies.concept_attacks.faceted_visualisation import facet_probe
from gc_utils.studies.concept_attacks.textured_images import TexturedImages

PAIR = ("striped", "dotted")  # the two facets of one class
MERGED = {  # texture → class, for a head one of whose classes has two textures
    "striped": "striped or dotted",
    "dotted": "striped or dotted",
    "checked": "checked or honeycomb",
    "honeycomb": "checked or honeycomb",
    "plain": "plain",
}


def independent_detectors(
    network: Model, layer: str, lessons: TexturedImages, *, seed: int = 0
) -> dict[str, Explained]:
    """Two classifiers with heads of their own that say what a visualisation shows.

    Args:
        network: the network that is visualised.
        layer: another layer of it, for the second detector.
        lessons: images that the visualised head has not seen.
        seed: of the heads.

    Returns:
        One detector on a network that shares nothing with `network` (the filter bank, or
        InceptionV1 if that is the filter bank), and one on `layer` of `network`.
    """
    if network.name != "filter_bank":
        name, stranger, at = "filter bank", load_model("filter_bank"), "filters"
    else:
        name, stranger, at = "InceptionV1", load_model("inceptionv1", "demo"), "mixed3a"
    return {
        name: train_head(stranger, at, lessons, seed=seed),
        layer: train_head(network, layer, lessons, seed=seed + 2),
    }


def probes_of_versions(
    explained: Explained,
    examples: ConceptExamples,
    bounds: Sequence[int],
    *,
    count: int = 100,
    steps: int = 8,
) -> dict[str, Tensor]:
    """The probe of each facet, from clean, noisy and attacked examples.

    The attack moves the layer's mean channel responses to one texture towards those to the other.

    Args:
        explained: the classifier; the probes are of its explained layer.
        examples: draws the images.
        bounds: of the attacks, in 255ths.
        count: examples of a facet; twice as many other images stand against them.
        steps: of the gradient.

    Returns:
        Facet and version → probe `(C,)` of unit length; zeros for "no facet".
    """
    shown = {t: examples.draw(count, 300 + i, texture=t) for i, t in enumerate(PAIR)}
    responses = {t: activations_of(x, explained.below) for t, x in shown.items()}
    background = activations_of(examples.draw(2 * count, 310), explained.below)
    towards = facet_probe(responses[PAIR[1]], responses[PAIR[0]], weight=0.1)
    probes = {"no facet": torch.zeros_like(towards)}

    def channels(x: Tensor) -> Tensor:
        return explained.below(x).mean((2, 3))

    for own, sign in zip(PAIR, (1, -1), strict=True):
        noisy = add_noise(shown[own], STRONGEST, examples.seed)
        versions = {own: shown[own], f"{own}, noise {STRONGEST}/255": noisy}
        for bound in bounds:
            versions[f"{own}, attack {bound}/255"] = push_along(
                shown[own], channels, sign * towards, bound, steps=steps
            )
        for version, x in versions.items():
            probes[version] = facet_probe(activations_of(x, explained.below), background)
    return probes


def detector_probabilities(
    images: Mapping[str, Tensor], detectors: Mapping[str, Explained], names: Sequence[str]
) -> pd.DataFrame:
    """What independent classifiers see in images.

    Args:
        images: Facet → images `(starts, 3, S, S)`.
        detectors: Name → classifier.
        names: The classes whose probabilities are wanted.

    Returns:
        One row for each facet, start and detector: `facet`, `start`, `detector`, and the
        probability of each class of `names`.
    """
    rows = []
    for facet, x in images.items():
        for detector, explained in detectors.items():
            seen = activations_of(x, explained).softmax(1)
            at = [explained.classes.index(n) for n in names]
            for start, p in enumerate(seen[:, at].tolist()):
                row = {"facet": facet, "start": start, "detector": detector}
                rows.append(row | dict(zip(names, p, strict=True)))
    return pd.DataFrame(rows)


class Steering(NamedTuple):
    """How far a change of the examples moved what detectors see towards the other texture.

    Attributes:
        moved: `(starts,)`, the change of the mean probability of the other texture less that of
            the facet's own, in [-2, 2].
        crossed: share of the images that showed the facet's own texture before and show the other
            one now.
    """

    moved: np.ndarray
    crossed: float


def steering(seen: pd.DataFrame, change: str) -> Steering:
    """Compare visualisations before and after the examples were changed.

    Args:
        seen: of `detector_probabilities` for `PAIR`.
        change: name of the change, as "attack 8/255" in the facet "striped, attack 8/255".

    Raises:
        UserError: a change that was not made.
    """
    first, second = PAIR
    gap = (seen[second] - seen[first]).groupby([seen.facet, seen.start]).mean().unstack()
    moved, crossed = [], []
    for own, sign in zip(PAIR, (1, -1), strict=True):
        changed = choose(f"{own}, {change}", gap.index, "facet")
        before, after = sign * gap.loc[own], sign * gap.loc[changed]
        moved.append((after - before).to_numpy())
        crossed.append(((before < 0) & (after > 0)).to_numpy())
    return Steering(np.mean(moved, 0), float(np.mean(crossed)))
