"""*Making Corgis Important for Honeycomb Classification*: attacks on concept-based explanations.

Brown and Kvinge 2021-2023, arXiv 2110.07120. TCAV (Kim et al. 2018) says whether a class depends on
a concept by a direction fitted to example images of the concept. Whoever can perturb the examples
can steer the explanation.

    explained = train_head(model, "mixed3a", draw_textured(1500))
    test = ConceptTest(explained, class_images, random_images)
    clean = {(name, c): s for name, x in concepts.items() for c, s in test.scores(x).items()}
    decide(clean, test.random)                    # important, opposed or irrelevant
    along = token_direction(explained.below, striped_images, other_images)
    attacked = push_along(x, explained.below, along, bound=8)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gc_utils.errors import UserError, choose
from gc_utils.precision import low_precision
from gc_utils.progress import progress_bar
from gc_utils.studies.concept_attacks.classifiers import BATCH, Activations, Pair, activations_of
from gc_utils.studies.concept_attacks.directions import ridge_direction
from gc_utils.studies.concept_attacks.tcav import ConceptTest, decide, mean_interval

# ------------------------------------------------------------------------------------------ attacks


def token_direction(
    activations: Activations,
    own: Tensor,
    others: Tensor,
    *,
    kind: str = "probe",
    weight: float = 30.0,
) -> Tensor:
    """The direction from other images to those of a class, along which tokens are pushed.

    `"centroid"`: from the others' centroid to the class's. `"probe"`: the same, discounted where
    images vary anyway, which is a ridge classifier with a large weight.

    Args:
        activations: The attacked layer, from images to `(B, C, h, w)`.
        own: The attacker's images of the class.
        others: The attacker's images of other things.
        kind: The kind of direction, `"probe"` or `"centroid"`.
        weight: The weight of the ridge, see `ridge_direction`.

    Returns:
        The direction `(C·h·w,)`, of unit length.

    Raises:
        UserError: The kind is unknown, or there are no images of one of the two.
    """
    choose(kind, ("probe", "centroid"), "kind of target")
    if not len(own) or not len(others):
        raise UserError("images of the class and of other things are needed, one at least.")
    a, b = activations_of(own, activations), activations_of(others, activations)
    if kind == "centroid":
        return F.normalize((a.mean(0) - b.mean(0)).flatten(), dim=0)
    return F.normalize(ridge_direction(a, b, weight=weight), dim=0)


def push_along(
    images: Tensor,
    activations: Activations,
    direction: Tensor,
    bound: float,
    *,
    steps: int = 8,
    batch: int = BATCH,
    progress: bool = False,
) -> Tensor:
    """Token pushing: perturb images so that their activations move along a direction.

    Projected gradient ascent of `⟨a(x), direction⟩` under an L∞ bound, in steps of the gradient's
    sign, which is computed in bfloat16 where the hardware has it. Push along the class's direction
    to make a concept look important, along minus it to hide one.

    Args:
        images: The images `(N, 3, S, S)`, RGB in [0, 1].
        activations: A differentiable function of images, to `(B, C, h, w)`.
        direction: The direction `(C·h·w,)`.
        bound: The largest change of a pixel, in 255ths.
        steps: The number of gradient steps.
        batch: The number of images perturbed at once.
        progress: Whether to show a progress bar.

    Returns:
        The perturbed images, in [0, 1]. They have eight bits a colour if `images` have and the
        bound is a whole number.

    Raises:
        UserError: The bound or the number of steps makes no sense, or the direction does not fit.
    """
    if not 0 < bound < 255 or steps < 1:
        raise UserError(f"bound {bound:g}/255, {steps} steps: expected 0 < bound < 255, steps > 0.")
    eps, found = bound / 255, []
    with torch.no_grad():
        length = activations(images[:1]).numel()
    if direction.numel() != length:
        raise UserError(f"a direction of {direction.numel()} numbers for {length} activations.")
    for x in progress_bar(images.split(batch), desc="pushing", disable=not progress, leave=False):
        low, high = (x - eps).clamp(0, 1), (x + eps).clamp(0, 1)
        moved = x.clone()
        for _ in range(steps):
            moved.requires_grad_()
            with low_precision(moved.device):  # only the gradient's sign counts
                a = activations(moved).flatten(1).float()
            along = (a @ direction.flatten().to(a)).sum()
            (gradient,) = torch.autograd.grad(along, moved)
            moved = moved.detach() + 2.5 * eps / steps * gradient.sign()
            moved = torch.minimum(torch.maximum(moved, low), high)
        stored = (255 * moved).round() / 255  # as a file would have it
        found.append(torch.minimum(torch.maximum(stored, low), high))
    return torch.cat(found)


def add_noise(images: Tensor, bound: float, seed: int = 0) -> Tensor:
    """The control: change every pixel by the bound, up or down at random.

    Args:
        images: The images `(N, 3, S, S)`, RGB in [0, 1].
        bound: The change of a pixel, in 255ths.
        seed: The seed of the signs.

    Returns:
        The noisy images, in [0, 1].
    """
    if not 0 < bound < 255:
        raise UserError(f"bound {bound:g}/255: expected 0 < bound < 255.")
    drawn = torch.randint(0, 2, images.shape, generator=torch.Generator().manual_seed(seed))
    return (images + bound / 255 * (2 * drawn - 1)).clamp(0, 1)


def poison_examples(clean: Tensor, perturbed: Tensor, runs: int, count: int) -> Tensor:
    """Examples of which the first `count` in every run are perturbed and the others clean.

    Args:
        clean: The clean examples, `runs` equal parts one after another.
        perturbed: The same examples after an attack.
        runs: The number of runs.
        count: The number of perturbed examples in each run.

    Returns:
        Examples of the same shape and order.

    Raises:
        UserError: The examples do not divide into the runs, or `count` is larger than a run.
    """
    if runs < 1 or len(clean) % runs or clean.shape != perturbed.shape:
        raise UserError(
            f"{len(clean)} and {len(perturbed)} examples do not divide into {runs} runs."
        )
    if not 0 <= count <= len(clean) // runs:
        raise UserError(f"{count} perturbed of {len(clean) // runs} examples a run.")
    mixed = clean.unflatten(0, (runs, -1)).clone()
    mixed[:, :count] = perturbed.unflatten(0, (runs, -1))[:, :count]
    return mixed.flatten(0, 1)


def judge_attempt(
    test: ConceptTest,
    clean: Mapping[Pair, np.ndarray],
    concept: str,
    name: str,
    examples: Tensor,
    aim: str,
) -> dict:
    """What TCAV decides on perturbed examples, within the clean family of tests.

    Args:
        test: The concept test, with any recipe.
        clean: Its clean scores; those of (concept, name) are replaced.
        concept: The concept.
        name: The class.
        examples: The perturbed examples, for `test.scores`.
        aim: `"induce"` succeeds if a concept becomes important that was not, `"hide"` if a concept
            that was important no longer is.

    Returns:
        A row of `decide`, with `was` (the clean decision), `low` and `high` (95 % interval of the
        mean score), `aim` and `success`.
    """
    choose(aim, ("induce", "hide"), "aim")
    scores = test.scores(examples, [name])[name]

    def row(of: Mapping[Pair, np.ndarray]) -> dict:
        table = decide(of, test.random)
        return table[(table.concept == concept) & (table["class"] == name)].iloc[0].to_dict()

    was, now = row(clean)["decision"], row({**clean, (concept, name): scores})
    low, high = mean_interval(scores)
    changed = (was == "important", now["decision"] == "important")
    return now | {
        "low": max(low, 0.0),
        "high": min(high, 1.0),
        "was": was,
        "aim": aim,
        "success": changed == ((False, True) if aim == "induce" else (True, False)),
    }
