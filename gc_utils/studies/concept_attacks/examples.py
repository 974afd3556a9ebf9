"""The drawn images that all concept tests of one run share, and the tests before any attack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gc_utils.errors import UserError, choose
from gc_utils.progress import progress_bar
from gc_utils.studies.concept_attacks.classifiers import Explained, Pair
from gc_utils.studies.concept_attacks.directions import Recipe
from gc_utils.studies.concept_attacks.tcav import ConceptTest, decide
from gc_utils.studies.concept_attacks.textured_images import CONCEPTS, draw_textured


class CleanTest(NamedTuple):
    """A concept test and its scores before any attack.

    Attributes:
        test: the concept test.
        scores: (concept, class) → scores `(runs,)` in [0, 1].
    """

    test: ConceptTest
    scores: dict[Pair, np.ndarray]

    def decisions(self) -> pd.DataFrame:
        """The table of `decide` for all pairs."""
        return decide(self.scores, self.test.random)


class ConceptExamples:
    """Drawn examples of every concept, with random images to set them against.

    Args:
        concepts: names from `CONCEPTS`.
        class_images: class → images `(n, 3, S, S)` whose sensitivity is measured.
        each: examples of a concept in each run.
        runs: runs of a test; no two of them share an image.
        seed: of all drawings.

    Attributes:
        of_concept: concept → images `(runs · each, 3, S, S)`, one run after another.
        random: `(3 · runs · each, 3, S, S)`.

    Raises:
        UserError: an unknown concept.
    """

    def __init__(
        self,
        concepts: Sequence[str],
        class_images: Mapping[str, Tensor],
        *,
        each: int,
        runs: int,
        seed: int = 0,
    ) -> None:
        self.concepts = tuple(choose(c, CONCEPTS, "concept") for c in concepts)
        self.class_images = dict(class_images)
        self.each, self.runs, self.seed = each, runs, seed
        self.of_concept = {
            c: self.draw(each * runs, 100 + i, **CONCEPTS[c]) for i, c in enumerate(self.concepts)
        }
        self.random = self.draw(3 * each * runs, 10)
        self._honest: dict[tuple[str, int], Tensor] = {}  # drawing takes as long as a forward pass

    def draw(self, count: int, number: int, **given: str) -> Tensor:
        """Images `(count, 3, S, S)`, the `number`-th drawing of this run (below 1000).

        Args:
            count: of images.
            number: drawings of different numbers are independent.
            **given: attributes for `draw_textured`.
        """
        return draw_textured(count, **given, seed=1000 * self.seed + number).x

    def with_honest(self, images: Tensor, concept: str, extra: int) -> Tensor:
        """Examples of a concept with `extra` times as many that no attacker has touched.

        Args:
            images: `(runs · each, 3, S, S)`.
            concept: what the further examples show.
            extra: a whole number; 0 adds none.

        Returns:
            `(runs · each · (1 + extra), 3, S, S)`, the honest ones last in each run.
        """
        if not extra:
            return images
        number = 200 + self.concepts.index(choose(concept, self.concepts, "concept"))
        if (concept, extra) not in self._honest:
            drawn = self.draw(self.each * self.runs * extra, number, **CONCEPTS[concept])
            self._honest[concept, extra] = drawn
        parts = [x.unflatten(0, (self.runs, -1)) for x in (images, self._honest[concept, extra])]
        return torch.cat(parts, 1).flatten(0, 1)

    def test(
        self,
        classifier: Explained,
        recipe: Recipe | None = None,
        concepts: Iterable[str] | None = None,
        extra: int = 0,
    ) -> CleanTest:
        """Test concepts for all classes on examples that nobody has attacked.

        Args:
            classifier: what is explained.
            recipe: how a direction is made; None for plain TCAV.
            concepts: names (default: all).
            extra: how many times as many honest examples are added to each run.
        """
        random = self.random
        if extra:
            random = torch.cat([random, self.draw(len(self.random) * extra, 20)])
        test = ConceptTest(classifier, self.class_images, random, runs=self.runs, recipe=recipe)
        scores = {}
        for c in progress_bar(list(concepts or self.concepts), desc="concepts", leave=False):
            found = test.scores(self.with_honest(self.of_concept[c], c, extra))
            scores |= {(c, name): s for name, s in found.items()}
        return CleanTest(test, scores)


def causal_and_irrelevant(
    table: pd.DataFrame, irrelevant: Iterable[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Which decisions agree with how the images were made.

    Args:
        table: of `decide`.
        irrelevant: concepts that are drawn independently of the class.

    Returns:
        For each pair of a texture and its own class, whether it is called important; for each pair
        of an irrelevant concept and a class, whether it is called important or opposed.
    """
    own = table[table.concept == table["class"]]
    others = table[table.concept.isin(list(irrelevant))]
    return (
        (own.decision == "important").to_numpy(bool),
        (others.decision != "irrelevant").to_numpy(bool),
    )


def opposed_rivals(table: pd.DataFrame) -> np.ndarray:
    """For each pair of a texture and another texture's class, whether it is called opposed.

    Args:
        table: of `decide`.
    """
    classes = set(table["class"])
    rivals = table[table.concept.isin(classes) & (table.concept != table["class"])]
    return (rivals.decision == "opposed").to_numpy(bool)


def pooled_decisions(
    examples: ConceptExamples,
    classifier: Explained,
    concepts: Iterable[str],
    *,
    pool: int,
) -> pd.DataFrame:
    """The same test when all runs draw from one pool, so that they are not independent.

    Args:
        examples: the pools are the first images of each kind.
        classifier: what is explained.
        concepts: names.
        pool: images in a pool.

    Returns:
        The table of `decide`.

    Raises:
        UserError: a pool that is smaller than one run's examples, or larger than what there is.
    """
    if not examples.each <= pool <= examples.each * examples.runs:
        raise UserError(
            f"a pool of {pool} images: expected {examples.each} to "
            f"{examples.each * examples.runs}, as many as one run has and as all runs have."
        )
    rng = np.random.default_rng(examples.seed)

    def drawn(images: Tensor, runs: int) -> Tensor:
        return torch.cat([images[rng.permutation(pool)[: examples.each]] for _ in range(runs)])

    runs = examples.runs
    random = drawn(examples.random, 3 * runs)
    test = ConceptTest(classifier, examples.class_images, random, runs=runs)
    scores = {}
    for c in concepts:
        found = test.scores(drawn(examples.of_concept[c], runs))
        scores |= {(c, name): s for name, s in found.items()}
    return decide(scores, test.random)
