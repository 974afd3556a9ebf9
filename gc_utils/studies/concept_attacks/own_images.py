"""The paper's own case: a network's logit, and a person's images of a concept and a class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from torch import Tensor

from gc_utils.errors import UserError
from gc_utils.models.base import Model
from gc_utils.studies.concept_attacks.attacks import (
    add_noise,
    judge_attempt,
    push_along,
    token_direction,
)
from gc_utils.studies.concept_attacks.attempts import STRONGEST, Target
from gc_utils.studies.concept_attacks.classifiers import OwnLogits, Pair, cropped_photographs
from gc_utils.studies.concept_attacks.tcav import ConceptTest, decide

SIDE = 224  # pixels, of the network's images
BATCH = 16  # of these at once
MOST_EXAMPLES = 16  # in each run: large images take time


def attack_own_logits(
    network: Model,
    layer: str,
    concept_spec: str,
    class_spec: str,
    class_number: int,
    *,
    examples: int,
    runs: int,
    steps: int,
    seed: int = 0,
) -> pd.DataFrame | None:
    """Perturb a person's images of a concept to change whether it is important for a class.

    Args:
        network: InceptionV1 with weights up to the logits.
        layer: whose activations are explained.
        concept_spec: where the images of the concept are, such as "folder:PATH"; empty for none.
        class_spec: where those of the class are; empty for none.
        class_number: number of the class's logit.
        examples: of the concept in each run, 16 at most. Runs share photographs if there are few.
        runs: of the test.
        steps: of the gradient.
        seed: of the crops and the noise.

    Returns:
        The rows of `judge_attempt` for clean, noisy and attacked examples, with `condition`, `kind`
        and `bound`, as `Attempts.table` has them; None if no images are given.

    Raises:
        UserError: only one of the two is given, a network without logits, or an unknown class.
    """
    if bool(concept_spec) != bool(class_spec):
        raise UserError(
            "concept_pictures and class_pictures belong together: give both or neither."
        )
    if not concept_spec:
        return None
    whole = OwnLogits(network, layer)
    if not 0 <= class_number < len(whole.classes):
        raise UserError(f"class_number {class_number}: expected 0 to {len(whole.classes) - 1}.")
    name, count = whole.classes[class_number], min(examples, MOST_EXAMPLES) * runs
    of_concept = cropped_photographs(concept_spec, count, SIDE, seed=seed)
    anything = cropped_photographs("photos+scenes:64", 3 * count, SIDE, seed=seed)
    of_class = cropped_photographs(class_spec, 50, SIDE, seed=seed)
    test = ConceptTest(whole, {name: of_class}, anything, runs=runs)
    clean = {("concept", name): test.scores(of_concept)[name]}
    important = decide(clean, test.random).decision[0] == "important"
    aim = "hide" if important else "induce"
    along = token_direction(whole.below, of_class, anything[:200])
    target = Target(aim, "concept", name)
    return pd.DataFrame(judge_versions(test, clean, target, of_concept, along, steps, seed))


def judge_versions(
    test: ConceptTest,
    clean: Mapping[Pair, np.ndarray],
    target: Target,
    x: Tensor,
    along: Tensor,
    steps: int,
    seed: int,
) -> list[dict]:
    """Judge examples of a concept as they are, with noise, and pushed as far as the bound allows.

    Args:
        test: The test of a whole network.
        clean: Its clean scores.
        target: What the attacker wants.
        x: The examples, for `test.scores`.
        along: The direction of the class, from `token_direction`; to hide, the other way is taken.
        steps: Gradient steps.
        seed: The seed of the noise.

    Returns:
        The rows of `judge_attempt` with `condition`, `kind` and `bound`, as `Attempts.table` has
        them.
    """
    along = along if target.aim == "induce" else -along
    below = test.explained.below
    moved = push_along(x, below, along, STRONGEST, steps=steps, batch=BATCH, progress=True)
    versions = {
        "clean": (x, 0.0),
        "noise": (add_noise(x, STRONGEST, seed), float(STRONGEST)),
        "attack": (moved, float(STRONGEST)),
    }
    return [
        judge_attempt(test, clean, target.concept, target.name, version, target.aim)
        | {"condition": kind, "kind": kind, "bound": bound}
        for kind, (version, bound) in versions.items()
    ]
