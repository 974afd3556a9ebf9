"""TCAV in memory, with tests over many runs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from captum.concept import TCAV, Classifier, Concept
from captum.concept._core.cav import CAV
from scipy.stats import t as t_distribution
from torch import Tensor

from gc_utils.errors import UserError, choose
from gc_utils.statistics import holm, holm_adjusted, welch
from gc_utils.studies.concept_attacks.classifiers import (
    Above,
    Direction,
    Explained,
    Pair,
    activations_of,
)
from gc_utils.studies.concept_attacks.directions import Recipe, ridge_direction

DECISIONS = ("important", "opposed", "irrelevant")
LEVEL = 0.05  # share of families of tests with any false positive, after Holm's correction


# -------------------------------------------------------------------------------------------- TCAV


class _Directed(Classifier):
    """captum's classifier of concepts, from a function of positive and negative activations."""

    def __init__(self, direction: Direction) -> None:
        self.direction = direction

    def train_and_eval(self, dataloader, **options) -> dict:
        """Fit on `(activations, number of the concept)`, the concept's own examples first."""
        (x, y) = next(iter(dataloader))
        self.numbers = [int(y[0]), int(y[-1])]
        w = self.direction(x[y == self.numbers[0]], x[y == self.numbers[1]])
        self.fitted = torch.stack([w, -w])
        return {}

    def weights(self) -> Tensor:
        return self.fitted

    def classes(self) -> list[int]:
        return self.numbers


class MemoryTCAV(TCAV):
    """captum's TCAV with activations and directions in memory, none of them kept on disk.

    Concepts and the class's images are given by their activations, which are the same for all
    concepts; `interpret` is captum's.

    Args:
        explained: The classifier; its `below` is the explained layer.
        direction: The function that makes a direction of positive and negative activations.
    """

    def __init__(self, explained: Explained, direction: Direction = ridge_direction) -> None:
        with tempfile.TemporaryDirectory() as folder:  # captum makes one, and this is its end
            above, fit = Above(explained), _Directed(direction)
            super().__init__(above, ["below"], classifier=fit, save_path=folder)
        self.activations: dict[int, Tensor] = {}

    def concept(self, name: str, activations: Tensor) -> Concept:
        """A concept from the activations of its examples, `(N, C, h, w)`."""
        number = len(self.activations)
        self.activations[number] = activations
        return Concept(number, name, None)

    def compute_cavs(self, experimental_sets, force_train=False, processes=None):
        """The direction of every pair of concepts that has none yet."""
        for concepts in experimental_sets:
            known = self.cavs["-".join(str(c.id) for c in concepts)]
            if "below" in known and not force_train:
                continue
            x = [self.activations[c.id] for c in concepts]
            y = [torch.full((len(a),), c.id) for a, c in zip(x, concepts, strict=True)]
            self.classifier.train_and_eval([(torch.cat(x), torch.cat(y))])
            stats = {"weights": self.classifier.weights(), "classes": self.classifier.classes()}
            known["below"] = CAV(concepts, "below", stats)
        return self.cavs


class ConceptTest:
    """TCAV scores of concepts over many runs, each with its own examples and random images.

    Run `r` fits a direction to the `r`-th part of a concept's examples against the `r`-th set of
    random images. A score is the share of a class's images whose logit rises along it. Random
    directions come from random against other random images; as neither set comes first, each
    counts both ways.

    No two runs share examples: with one pool to draw from, the runs would not be independent,
    and Welch's test assumes that they are.

    Args:
        explained: The classifier.
        class_images: Class → images `(n, 3, S, S)` whose sensitivity is measured.
        random_images: `(3 · runs · n, 3, S, S)`, `n` in a set: `runs` sets to set examples against,
            and twice as many to set against each other.
        runs: The number of runs.
        recipe: How a direction is made; None for plain TCAV.

    Attributes:
        random: class → scores of random directions, `(2 · runs,)`.
    """

    def __init__(
        self,
        explained: Explained,
        class_images: Mapping[str, Tensor],
        random_images: Tensor,
        *,
        runs: int = 20,
        recipe: Recipe | None = None,
    ) -> None:
        if runs < 2:
            raise UserError(f"{runs} runs: a test needs two or more.")
        for name in class_images:
            choose(name, explained.classes, "class")
        if len(random_images) < 3 * runs or len(random_images) % (3 * runs):
            raise UserError(
                f"{len(random_images)} random images: expected a multiple of 3 x {runs} runs."
            )
        self.explained, self.runs, self.recipe = explained, runs, recipe or Recipe()
        self.class_activations = {
            n: activations_of(x, explained.below) for n, x in class_images.items()
        }
        sets = self.activations_of(random_images).chunk(3 * runs)
        self.against = sets[:runs]
        pairs = zip(sets[runs : 2 * runs], sets[2 * runs :], strict=True)
        scores = self._interpret(list(pairs), self.class_activations)
        self.random = {name: np.r_[s, 1 - s] for name, s in scores.items()}

    def activations_of(self, images: Tensor) -> Tensor:
        """What stands for images: their activations, or what the recipe makes of them."""
        return activations_of(images, self.recipe.seen(self.explained.below))

    def scores(
        self, examples: Tensor, classes: Iterable[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Scores of a concept for classes, one a run.

        Args:
            examples: Images of the concept, `runs` equal parts one after another.
            classes: Names of classes (default: all that have images).

        Returns:
            Class → scores `(runs,)` in [0, 1].

        Raises:
            UserError: The examples do not divide into the runs, or a class is unknown.
        """
        if len(examples) < self.runs or len(examples) % self.runs:
            raise UserError(f"{len(examples)} examples do not divide into {self.runs} runs.")
        known = self.class_activations
        names = list(known if classes is None else classes)
        wanted = {n: known[choose(n, known, "class")] for n in names}
        parts = self.activations_of(examples).chunk(self.runs)
        return self._interpret(list(zip(parts, self.against, strict=True)), wanted)

    def _interpret(
        self, pairs: list[tuple[Tensor, Tensor]], wanted: Mapping[str, Tensor]
    ) -> dict[str, np.ndarray]:
        tcav = MemoryTCAV(self.explained, self.recipe.direction)
        sets = [[tcav.concept("concept", p), tcav.concept("random", n)] for p, n in pairs]
        keys = ["-".join(str(c.id) for c in concepts) for concepts in sets]
        found = {}
        for name, activations in wanted.items():
            number = self.explained.classes.index(name)
            scores = tcav.interpret(activations, sets, target=number)
            found[name] = np.array([float(scores[k]["below"]["sign_count"][0]) for k in keys])
        return found


def decide(
    scores: Mapping[Pair, np.ndarray],
    random: Mapping[str, np.ndarray],
    *,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Which concepts are important for which classes.

    Welch's test of every pair's scores against those of random directions, Holm's correction over
    all pairs. *Important*: significant and above the random mean; *opposed*: significant and below;
    else *irrelevant*.

    Args:
        scores: (concept, class) → scores `(runs,)`, as many runs for all.
        random: Class → scores of random directions, as many for all.
        level: The level of the family of tests.

    Returns:
        One row for each pair: `concept`, `class`, `score` and `random` (means), `p`, `holm` (the
        adjusted p-value), `decision`.

    Raises:
        UserError: There are no scores, or a class has no scores of random directions.
    """
    if not scores:
        raise UserError("no scores to decide on.")
    for _, name in scores:
        choose(name, random, "class with scores of random directions")
    rows = [
        {
            "concept": concept,
            "class": name,
            "score": s.mean(),
            "random": random[name].mean(),
        }
        for (concept, name), s in scores.items()
    ]
    table = pd.DataFrame(rows)
    table["p"] = welch(np.stack([*scores.values()]), np.stack([random[name] for _, name in scores]))
    table["holm"] = holm_adjusted(table.p)
    above = np.where(table.score > table.random, *DECISIONS[:2])
    table["decision"] = np.where(holm(table.p, level), above, DECISIONS[2])
    return table


def mean_interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of independent values, by Student's t.

    Args:
        values: two or more numbers.

    Returns:
        The low and the high end, in the unit of the values.
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        raise UserError(f"{len(values)} values: an interval of their mean needs two or more.")
    half = t_distribution.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)
