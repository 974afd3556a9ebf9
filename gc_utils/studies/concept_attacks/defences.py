"""Defences against perturbed examples: what each stops and what it costs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from gc_utils.activations import extract
from gc_utils.crosscoder import GroupCrosscoder, TrainConfig, fit
from gc_utils.errors import choose
from gc_utils.images import load_images
from gc_utils.models.base import Model
from gc_utils.progress import progress_bar
from gc_utils.studies.concept_attacks.attempts import SIZES, STRONGEST, Attempts, Target, shift
from gc_utils.studies.concept_attacks.classifiers import Explained
from gc_utils.studies.concept_attacks.directions import (
    Recipe,
    feature_direction,
    feature_inputs,
    median_direction,
    orbit_averaged,
    smoothed,
)
from gc_utils.studies.concept_attacks.examples import CleanTest, causal_and_irrelevant
from gc_utils.studies.concept_attacks.textured_images import CLASSES, IRRELEVANT

Defence = tuple[Recipe, int]  # and how many times as many honest examples are added
# Defences whose knowing attackers push otherwise: through the view or the features, or harder.
KNOWN = ("smoothing", "orbit average", "crosscoder features", "more examples")
HARDER = 4  # times as many steps, where nothing else is left to an attacker


def orbit_dictionary(
    folder: str | os.PathLike,
    network: Model,
    layer: str,
    *,
    samples: int,
    steps: int,
    seed: int = 0,
    weights_file: str | None = None,
) -> tuple[GroupCrosscoder, float]:
    """Train a D4 crosscoder on a layer's responses to rotated and mirrored photographs.

    Args:
        folder: where the activations and the crosscoder are kept and found again.
        network: the network.
        layer: its layer.
        samples: orbits; every tenth is held out.
        steps: of the training.
        seed: of all random choices.
        weights_file: the file that the network's weights were read from, if any.

    Returns:
        The crosscoder, and the share of the held-out variance that it leaves unexplained.
    """
    folder = Path(folder)
    images = load_images("photos+scenes:16", seed=seed, min_size=network.crop_size(layer))
    store = extract(
        folder / f"orbits_{layer}.zarr",
        network,
        layer,
        "D4",
        images,
        samples=samples,
        seed=seed,
        weights_file=weights_file,
    )
    orbits = store.read().float()
    held = np.arange(len(orbits)) % 10 == 0
    dictionary, history = fit(
        folder / f"dictionary_{layer}.safetensors",
        GroupCrosscoder("D4", orbits.shape[2], 512, k=32, seed=seed),
        orbits,
        np.flatnonzero(~held),
        orbits[held],
        TrainConfig(steps=steps, keep=0.9, seed=seed),
        data_checksum=store.checksum(),
    )
    return dictionary, float(history.held_out_fvu.iloc[-1])


def defence_recipes(
    dictionary: GroupCrosscoder, *, size: str = "small", seed: int = 0
) -> dict[str, Defence]:
    """All defences, and none.

    Args:
        dictionary: a crosscoder of the explained layer.
        size: "small" averages over rotations and two noisy copies, "full" over rotations and
            reflections and four copies.
        seed: of the noise that smoothing adds.

    Returns:
        defence → how directions are made, and how many times as many honest examples are added.
    """
    group, copies = ("D4", 4) if choose(size, SIZES, "size") == "full" else ("C4", 2)
    return {
        "none": (Recipe(), 0),
        "more examples": (Recipe(), 2),
        "median": (Recipe(direction=median_direction), 0),
        "smoothing": (smoothed(copies=copies, seed=seed), 0),
        "crosscoder features": (
            Recipe(direction=feature_direction(dictionary), pushed=feature_inputs(dictionary)),
            0,
        ),
        "orbit average": (orbit_averaged(group), 0),
    }


def defended_targets(targets: Sequence[Target], size: str) -> list[Target]:
    """The targets that defences are tried against.

    Args:
        targets: of `choose_targets`.
        size: "small" takes one of each concept, "full" all to hide, and to induce those of one
            class.
    """
    if choose(size, SIZES, "size") == "small":
        return list({(t.aim, t.concept): t for t in reversed(targets)}.values())[::-1]
    return [t for t in targets if t.aim == "hide" or t.name == "honeycomb"]


def try_defences(
    attempts: Attempts,
    explained: Explained,
    defences: Mapping[str, Defence],
    targets: Sequence[Target],
    bounds: Sequence[int],
) -> tuple[pd.DataFrame, dict[str, list[bool]], dict[str, CleanTest]]:
    """Give the same perturbed examples to a test under every defence.

    Args:
        attempts: of an attacker who does not know of the defence.
        explained: the classifier.
        defences: of `defence_recipes`, "none" among them.
        targets: what the attacker wants.
        bounds: two bounds, in 255ths.

    Returns:
        One row for each defence: `defence`, at each bound `induced at B` and `hidden at B` (shares
        of attempts that succeed) and `shift at B` (of the score, see `shift`), `succeed` (share of
        all attempts), `causal found` and `false positives` (shares without attack), `passes`
        (forward passes an example). Then the outcomes, defence → whether each attempt succeeds, in
        one order for all. Then the clean tests.
    """
    concepts = list(dict.fromkeys([*CLASSES, *(t.concept for t in targets)]))
    rows, outcomes, tests = [], {}, {}
    for defence, (recipe, extra) in progress_bar(defences.items(), desc="defences"):
        if defence == "none":
            scores = {pair: s for pair, s in attempts.clean.scores.items() if pair[0] in concepts}
            by = CleanTest(attempts.clean.test, scores)
        else:
            by = attempts.examples.test(explained, recipe, concepts, extra)
        tests[defence], outcomes[defence] = by, []
        row = {"defence": defence}
        make = partial(_diluted, attempts, extra)
        for bound in bounds:
            outcome = pd.DataFrame(
                [attempts.attempt(f"defence: {defence}", make, t, bound, by=by) for t in targets]
            )
            row[f"induced at {bound}"] = outcome[outcome.aim == "induce"].success.mean()
            row[f"hidden at {bound}"] = outcome[outcome.aim == "hide"].success.mean()
            row[f"shift at {bound}"] = shift(outcome, by.scores)
            outcomes[defence] += outcome.success.tolist()
        found, false = causal_and_irrelevant(by.decisions(), IRRELEVANT)
        row |= {"succeed": np.mean(outcomes[defence])}
        row |= {"causal found": found.mean(), "false positives": false.mean()}
        rows.append(row | {"passes": recipe.passes * (1 + extra)})
    return pd.DataFrame(rows), outcomes, tests


def _diluted(
    attempts: Attempts, extra: int, target: Target, bound: float, attacker: str = "same"
) -> Tensor:
    """Pushed examples with `extra` times as many honest ones."""
    moved = attempts.pushed(target, bound, attacker)
    return attempts.examples.with_honest(moved, target.concept, extra)


def try_knowing_attackers(
    attempts: Attempts,
    explained: Explained,
    defences: Mapping[str, Defence],
    tests: Mapping[str, CleanTest],
    targets: Sequence[Target],
) -> pd.DataFrame:
    """Attack a defence as an attacker does who knows of it.

    Against smoothing and the orbit average that is to push through the defence's own view of an
    image, against crosscoder features to push what enters the features. Honest examples cannot be
    touched: against more of them the attacker pushes in four times as many steps.

    Args:
        attempts: to which the attempts are added; the unknowing ones have been made.
        explained: the classifier.
        defences: of `defence_recipes`.
        tests: of `try_defences`.
        targets: what the attacker wants.

    Returns:
        One row for each attempt: `defence`, `aim`, `concept`, `class`, the score and decision of
        the unknowing and of the knowing attacker, and whether the knowing one succeeds (`success`).
    """
    rows = []
    for defence in KNOWN:
        recipe, extra = defences[defence]
        attempts.through[defence] = recipe.attacked(explained.below)
        attempts.steps_of[defence] = attempts.steps * (HARDER if extra else 1)
        make = partial(_diluted, attempts, extra, attacker=defence)
        blind = attempts.table(condition=f"defence: {defence}", bound=float(STRONGEST))
        for target in progress_bar(targets, desc=f"knowing {defence}"):
            knowing = attempts.attempt(
                f"{defence}, known", make, target, STRONGEST, by=tests[defence]
            )
            same = (blind.concept == target.concept) & (blind["class"] == target.name)
            before = blind[same].iloc[0]
            rows.append(
                {
                    "defence": defence,
                    **{"aim": target.aim, "concept": target.concept, "class": target.name},
                    "score, unknowing": before.score,
                    "decision, unknowing": before.decision,
                    "score, knowing": knowing["score"],
                    "decision, knowing": knowing["decision"],
                    "success": knowing["success"],
                }
            )
    return pd.DataFrame(rows)
