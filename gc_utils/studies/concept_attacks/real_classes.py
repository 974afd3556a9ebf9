"""A classifier trained by others: ImageNet classes of a whole network, and drawn concepts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gc_utils._torchvision import torchvision
from gc_utils.images.photographs import load_images
from gc_utils.models.base import Model
from gc_utils.models.inception import InceptionModel
from gc_utils.progress import progress_bar
from gc_utils.studies.concept_attacks.attacks import token_direction
from gc_utils.studies.concept_attacks.attempts import Target
from gc_utils.studies.concept_attacks.classifiers import (
    OwnLogits,
    activations_of,
    cropped_photographs,
    random_crops,
)
from gc_utils.studies.concept_attacks.own_images import BATCH, SIDE, judge_versions
from gc_utils.studies.concept_attacks.tcav import ConceptTest, decide
from gc_utils.studies.concept_attacks.textured_images import draw_textured

REAL_CLASSES = {"zebra": 340, "honeycomb": 599, "Pembroke": 263}  # numbers of ImageNet's classes
REAL_CONCEPTS = ("striped", "dotted", "checked", "honeycomb")  # textures that are drawn
EXPECTED = (("striped", "zebra"), ("honeycomb", "honeycomb"))  # what the paper takes for causes
CROPS = 48  # of a class
SOURCES = 4  # photographs that a class's crops come from, at most
MOST_EXAMPLES = 12  # in each run: large images take time


class RealClasses(NamedTuple):
    """What is known of a whole network's classes, before and after attacks.

    Attributes:
        shown: One row a class: `class`, `photographs` that its crops come from, `rank` of the class
            among all logits (median over the crops) and `probability` (mean).
        images: Class → its crops.
        decisions: The table of `decide`.
        attempts: Rows of `judge_attempt` with `condition`, `kind` and `bound`, as `Attempts.table`.
    """

    shown: pd.DataFrame
    images: dict[str, Tensor]
    decisions: pd.DataFrame
    attempts: pd.DataFrame


def has_imagenet_classes(network: Model) -> bool:
    """Whether a network has logits of ImageNet's 1000 classes in their usual order.

    `inception5h` has 1008 in an order of its own.
    """
    return (
        isinstance(network, InceptionModel)
        and "logits" in network.layers
        and network.channels("logits") == 1000
    )


def explain_real_classes(
    network: Model,
    layer: str,
    images: str,
    *,
    examples: int,
    runs: int,
    steps: int,
    each: int = 1,
    seed: int = 0,
) -> RealClasses:
    """TCAV of drawn textures for a network's own classes, and attacks on what it decides.

    Crops of those photographs stand for a class that the network itself takes for it most: `shown`
    says how far it does.

    Args:
        network: InceptionV1 with weights up to the logits of ImageNet.
        layer: The layer that is explained.
        images: Photographs, as for `load_images`; crops of them are the random images too.
        examples: Examples of a concept in each run, 12 at most.
        runs: Runs of a test; no two of them share an example.
        steps: Gradient steps of an attack.
        each: Attacks of either aim for each class, at most.
        seed: The seed of crops, drawings and noise.

    Returns:
        What was shown, decided and attacked.

    Raises:
        UserError: The network has no logits, or there are no photographs.
    """
    whole = OwnLogits(network, layer, {n: name for name, n in REAL_CLASSES.items()})
    crops = class_crops(whole, images, seed=seed)
    shown = pd.DataFrame([_seen_as(whole, name, *found) for name, found in crops.items()])
    of_class = {name: x for name, (x, _) in crops.items()}
    count = min(examples, MOST_EXAMPLES) * runs
    anything = cropped_photographs(images, 3 * count, SIDE, seed=seed)
    concepts = {c: _drawn(c, count, seed) for c in REAL_CONCEPTS}
    test = ConceptTest(whole, of_class, anything, runs=runs)
    scores = {
        (concept, name): s
        for concept, x in progress_bar(concepts.items(), desc="concepts")
        for name, s in test.scores(x).items()
    }
    decisions = decide(scores, test.random)
    attempts = []
    for target in progress_bar(real_targets(decisions, each), desc="attacks"):
        along = token_direction(whole.below, of_class[target.name], anything[: 4 * CROPS])
        x = concepts[target.concept]
        attempts += judge_versions(test, scores, target, x, along, steps, seed)
    return RealClasses(shown, of_class, decisions, pd.DataFrame(attempts))


def real_targets(decisions: pd.DataFrame, each: int = 1) -> list[Target]:
    """What attackers want: for each class, to make a concept important and to hide one that is.

    Of what is not important the concept with the lowest score is induced first, of what is
    important the one with the highest score is hidden first.

    Args:
        decisions: Of `decide`.
        each: Targets of either aim for each class, at most.
    """
    targets = []
    for name, rows in decisions.groupby("class", sort=False):
        rows = rows.sort_values("score", kind="stable")
        important = rows.decision == "important"
        targets += [Target("induce", c, name) for c in rows.concept[~important][:each]]
        targets += [Target("hide", c, name) for c in rows.concept[important][::-1][:each]]
    return targets


@torch.no_grad()
def class_crops(whole: OwnLogits, images: str, *, seed: int = 0) -> dict[str, tuple[Tensor, int]]:
    """Crops that stand for each class, and how many photographs they come from.

    Args:
        whole: The network with its logits.
        images: Photographs to choose from.
        seed: The seed of the crops.

    Returns:
        Class → crops `(CROPS, 3, SIDE, SIDE)` and the number of photographs.
    """
    photographs = load_images(images, seed=seed)
    whole_image = torchvision.transforms.v2.Resize((SIDE, SIDE))
    shares = [
        whole(whole_image(image.load()).clamp(0, 1)[None])[0].softmax(0)
        for image in progress_bar(photographs, desc="photographs")
    ]
    found = {}
    for name, number in REAL_CLASSES.items():
        order = np.argsort([-float(share[number]) for share in shares], kind="stable")
        chosen = [photographs[i] for i in order[:SOURCES]]
        found[name] = random_crops(chosen, CROPS, SIDE, seed=seed), len(chosen)
    return found


def _seen_as(whole: OwnLogits, name: str, crops: Tensor, sources: int) -> dict:
    """How far a network takes crops for a class."""
    number = REAL_CLASSES[name]
    logits = activations_of(crops, whole, batch=BATCH)
    rank = 1 + (logits > logits[:, [number]]).sum(1)
    return {
        "class": name,
        "photographs": sources,
        "rank": float(rank.float().median()),
        "probability": float(logits.softmax(1)[:, number].mean()),
    }


def _drawn(concept: str, count: int, seed: int) -> Tensor:
    """Examples of a texture, drawn at half the size of the network's images."""
    number = 400 + REAL_CONCEPTS.index(concept)
    x = draw_textured(count, texture=concept, side=SIDE // 2, seed=1000 * seed + number).x
    return torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear").clamp(0, 1)
