"""Attempts to change what TCAV decides, each judged and kept in a ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from torch import Tensor

from gc_utils.closure import code_digest
from gc_utils.errors import choose
from gc_utils.ledger import Ledger
from gc_utils.models.base import Model
from gc_utils.models.load import load_model
from gc_utils.progress import progress_bar
from gc_utils.studies.concept_attacks.attacks import (
    add_noise,
    judge_attempt,
    poison_examples,
    push_along,
    token_direction,
)
from gc_utils.studies.concept_attacks.classifiers import Activations, train_head
from gc_utils.studies.concept_attacks.examples import CleanTest, ConceptExamples
from gc_utils.studies.concept_attacks.textured_images import CLASSES, TexturedImages

SIZES = ("small", "full")
BOUNDS = {"small": (2, 8), "full": (2, 4, 8)}  # largest change of a pixel, in 255ths
STRONGEST = 8  # the bound of all attempts that are made within one bound only
SHARES = (0.25, 0.5, 0.75)  # of the examples, where an attacker controls only some of them


class Target(NamedTuple):
    """What an attacker wants.

    Attributes:
        aim: "induce" to make a concept look important, "hide" to make it look unimportant.
        concept: the concept.
        name: the class for which it is to look so.
    """

    aim: str
    concept: str
    name: str


Make = Callable[[Target, float], Tensor]  # target and bound to examples `(runs · each, 3, S, S)`


def choose_targets(size: str, irrelevant: Iterable[str]) -> list[Target]:
    """The targets of a study of one size.

    Args:
        size: "small" for six targets, "full" for all.
        irrelevant: the concepts to make important in the full study.

    Raises:
        UserError: an unknown size.
    """
    if choose(size, SIZES, "size") == "full":
        induced = [Target("induce", c, name) for c in irrelevant for name in CLASSES]
        return induced + [Target("hide", texture, texture) for texture in CLASSES]
    return [
        Target("induce", "wavy", "honeycomb"),
        Target("induce", "wavy", "dotted"),
        Target("induce", "disc", "honeycomb"),
        Target("induce", "disc", "striped"),
        Target("hide", "striped", "striped"),
        Target("hide", "dotted", "dotted"),
    ]


class Attempts:
    """Attempts on the same examples under many conditions.

    Args:
        path: of the ledger: what an earlier run did is read and not done again.
        examples: what is attacked.
        clean: the clean test of the explained classifier.
        attackers: the attacker's own images, to find the direction of a class.
        activations: the explained layer, from images to `(B, C, h, w)`.
        steps: of the gradient.
        **settings: on what else the attempts depend; see `Ledger`.

    Attributes:
        through: attacker → activations function through which the attacker pushes.
        steps_of: attacker → gradient steps, where they are not those of all others.
    """

    def __init__(
        self,
        path: Path,
        examples: ConceptExamples,
        clean: CleanTest,
        attackers: TexturedImages,
        activations: Activations,
        *,
        steps: int,
        **settings,
    ) -> None:
        self.examples, self.clean, self.attackers, self.steps = examples, clean, attackers, steps
        self.through: dict[str, Activations] = {"same": activations, "centroid": activations}
        self.steps_of: dict[str, int] = {}
        self.ledger = Ledger(
            path,
            code=code_digest(__name__),  # attempts that other code made are not used again
            examples=examples.each,
            runs=examples.runs,
            seed=examples.seed,
            steps=steps,
            **settings,
        )
        self._directions: dict[tuple[str, str], Tensor] = {}
        # As bytes: all perturbed examples of a full study would not fit into memory as floats.
        self._as_bytes = lru_cache(maxsize=256)(self._push)

    def attempt(
        self,
        condition: str,
        make: Make,
        target: Target,
        bound: float,
        *,
        by: CleanTest | None = None,
        kind: str = "attack",
    ) -> dict:
        """One attempt, judged and kept.

        Args:
            condition: name of the condition, for tables.
            make: target and bound to the examples that the test is given.
            target: what the attacker wants.
            bound: largest change of a pixel, in 255ths.
            by: the clean test of what is attacked (default: that of the explained classifier).
            kind: "attack", "noise" or "clean".

        Returns:
            The row of `judge_attempt`, with `condition`, `kind` and `bound`.
        """
        victim = by or self.clean
        return self.ledger.row(
            lambda: judge_attempt(
                victim.test,
                victim.scores,
                target.concept,
                target.name,
                make(target, bound),
                target.aim,
            ),
            condition=condition,
            kind=kind,
            bound=float(bound),
            aim=target.aim,
            concept=target.concept,
            **{"class": target.name},
        )

    def table(self, **key: str | float) -> pd.DataFrame:
        """The attempts made so far, one row each, whose columns have the given values."""
        return self.ledger.table(**key)

    def basic(self, targets: Sequence[Target], bounds: Sequence[int]) -> pd.DataFrame:
        """Every target with clean examples, with noise, and with the attack within each bound."""
        for target in progress_bar(targets, desc="attacks"):
            self.attempt("clean", self._untouched, target, 0, kind="clean")
            self.attempt("noise", self._noisy, target, STRONGEST, kind="noise")
            for bound in bounds:
                self.attempt("attack", self.pushed, target, bound)
        return self.table()

    def pushed(self, target: Target, bound: float, attacker: str = "same") -> Tensor:
        """Examples of the target's concept, pushed by one of the attackers in `through`."""
        return self._as_bytes(target, bound, attacker).float() / 255

    def _push(self, target: Target, bound: float, attacker: str) -> Tensor:
        along = self._direction(attacker, target.name) * (1 if target.aim == "induce" else -1)
        images = self.examples.of_concept[target.concept]
        steps = self.steps_of.get(attacker, self.steps)
        moved = push_along(images, self.through[attacker], along, bound, steps=steps)
        return (255 * moved).round().byte()

    def _direction(self, attacker: str, name: str) -> Tensor:
        """From all other images to those of a class, in an attacker's activations."""
        if (attacker, name) not in self._directions:
            own = self.attackers.shows(name)
            self._directions[attacker, name] = token_direction(
                self.through[attacker],
                self.attackers.x[own],
                self.attackers.x[~own],
                kind="centroid" if attacker == "centroid" else "probe",
            )
        return self._directions[attacker, name]

    def _untouched(self, target: Target, bound: float) -> Tensor:
        return self.examples.of_concept[target.concept]

    def _noisy(self, target: Target, bound: float) -> Tensor:
        return add_noise(self.examples.of_concept[target.concept], bound, self.examples.seed)

    def partly(self, target: Target, bound: float, count: int) -> Tensor:
        """Examples of which only the first `count` in each run are pushed."""
        images = self.examples.of_concept[target.concept]
        return poison_examples(images, self.pushed(target, bound), self.examples.runs, count)


def try_partial_control(attempts: Attempts, targets: Sequence[Target]) -> None:
    """Attack when only a quarter, half or three quarters of the examples can be perturbed."""
    each = attempts.examples.each
    counts = sorted({max(1, round(each * share)) for share in SHARES})
    for target in progress_bar(targets, desc="some examples"):
        for count in counts:
            make = partial(attempts.partly, count=count)
            attempts.attempt(f"{count} of {each} perturbed", make, target, STRONGEST)


def transfer_name(layer: str, explained_layer: str) -> str:
    """The name of the condition in which another layer than the attacked one is explained."""
    return f"explained at {layer}" if layer != explained_layer else "explained by another head"


def try_transfers(
    attempts: Attempts,
    network: Model,
    lessons: TexturedImages,
    targets: Sequence[Target],
    layers: Sequence[str],
    explained_layer: str,
    *,
    size: str,
    seed: int,
) -> None:
    """Attack when what is explained is not what is attacked.

    The small study explains the last of `layers` with another head. The full one explains and
    attacks every one of them, pushes along plain centroids, and explains two other networks.

    Args:
        attempts: to which the attempts are added.
        network: the network whose layers these are.
        lessons: images to train heads with.
        targets: what the attacker wants.
        layers: other layers to explain.
        explained_layer: the layer that is attacked.
        size: "small" or "full".
        seed: of the heads, which get the next one.
    """
    full = choose(size, SIZES, "size") == "full"

    def run(condition: str, make: Make, by: CleanTest | None = None) -> None:
        for target in progress_bar(targets, desc=condition):
            attempts.attempt(condition, make, target, STRONGEST, by=by)

    for layer in layers if full else layers[-1:]:
        victim = train_head(network, layer, lessons, seed=seed + 1)
        condition = transfer_name(layer, explained_layer)
        run(condition, attempts.pushed, attempts.examples.test(victim))
        if full:
            attempts.through[layer] = victim.below
            run(f"attacked at {layer}", partial(attempts.pushed, attacker=layer))
    if full:
        run("along plain centroids", partial(attempts.pushed, attacker="centroid"))
        strangers = {
            "random InceptionV1": (load_model("inceptionv1", "random", seed=seed), "mixed3a"),
            "filter bank": (load_model("filter_bank"), "filters"),
        }
        for name, (model, layer) in strangers.items():
            victim = train_head(model, layer, lessons, seed=seed + 1)
            run(f"explained in {name}", attempts.pushed, attempts.examples.test(victim))


def by_condition(table: pd.DataFrame, bounds: Sequence[int]) -> pd.DataFrame:
    """Attempts under the names that a figure shows, noise and the plain attacks first.

    Args:
        table: of `Attempts.table`.
        bounds: of the plain attacks, in 255ths.

    Returns:
        The rows that are not clean; where bounds differ, `condition` names them.
    """
    table = table[table.kind != "clean"]
    plain = table.condition.isin(["noise", "attack"])
    named = table.condition.where(~plain, table.condition + table.bound.map(", {:g}/255".format))
    first = [f"noise, {STRONGEST}/255", *(f"attack, {b}/255" for b in bounds)]
    order = list(dict.fromkeys([*first, *named]))
    return table.assign(condition=named).sort_values(
        "condition", key=lambda c: c.map(order.index), kind="stable"
    )


def shift(outcome: pd.DataFrame, clean: Mapping[tuple[str, str], np.ndarray]) -> float:
    """By how much attempts moved the mean score towards the attacker's aim, on average.

    Args:
        outcome: rows of `Attempts.attempt`.
        clean: (concept, class) → clean scores.
    """
    sign = np.where(outcome.aim == "induce", 1, -1)
    before = [clean[pair].mean() for pair in zip(outcome.concept, outcome["class"], strict=True)]
    return float((sign * (outcome.score - before)).mean())
