"""Directions of a concept in activation space, and recipes that resist attacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import RidgeClassifier
from torch import Tensor

from gc_utils.crosscoder.untied import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.groups import group as make_group
from gc_utils.images.orbits import complete
from gc_utils.studies.concept_attacks.classifiers import Activations, Direction

# ---------------------------------------------------------- directions from activations of examples


def ridge_direction(positive: Tensor, negative: Tensor, *, weight: float = 0.01) -> Tensor:
    """A concept activation vector: the normal of a ridge classifier of flattened activations.

    Args:
        positive: Activations `(N, C, h, w)` of the concept's examples.
        negative: Activations of random images, of the same shape but for `N`.
        weight: The weight of the squared norm, in units of the activations' mean square times the
            number of images.

    Returns:
        The normal `(C·h·w,)`, which points towards the concept.
    """
    x = torch.cat([positive, negative]).flatten(1).cpu()
    y = np.r_[np.ones(len(positive)), np.zeros(len(negative))]
    alpha = max(weight * float(x.square().mean()) * len(x), 1e-12)
    return torch.from_numpy(RidgeClassifier(alpha=alpha).fit(x.numpy(), y).coef_.ravel()).float()


def median_direction(positive: Tensor, negative: Tensor, *, subsets: int = 5) -> Tensor:
    """The median of the directions of disjoint subsets of the examples, entry by entry.

    Args:
        positive: Activations of the concept's examples, see `ridge_direction`.
        negative: Activations of random images.
        subsets: The number of subsets, or the number of examples if that is smaller.

    Returns:
        The median `(C·h·w,)`, whose length is not 1.
    """
    subsets = min(subsets, len(positive), len(negative))
    parts = zip(positive.tensor_split(subsets), negative.tensor_split(subsets), strict=True)
    found = [F.normalize(ridge_direction(p, n), dim=0) for p, n in parts]
    # Not `median`, which takes the lower of two middle values: swapping the sets has to reverse the
    # direction.
    return torch.stack(found).quantile(0.5, dim=0)


def _check_views(crosscoder: GroupCrosscoder) -> None:
    if crosscoder.views != 1:
        raise UserError(
            "a crosscoder with encode_from='orbit' cannot encode one image; train one with "
            "encode_from='identity'."
        )


def feature_direction(crosscoder: GroupCrosscoder, *, features: int = 8) -> Direction:
    """Directions made of a group crosscoder's features instead of a linear probe.

    Every place's activations are encoded; the features whose mean code over places tells examples
    from random images best (largest difference in standard deviations) give their blocks
    `V[i, e]`, weighted by that difference, the same at every place. No direction outside the
    dictionary's span can be found.

    Args:
        crosscoder: A crosscoder of the explained layer that encodes from the identity.
        features: The number of features that make a direction.

    Returns:
        A function of positive and negative activations that returns a direction `(C·h·w,)`.

    Raises:
        UserError: The crosscoder needs whole orbits to encode.
    """
    _check_views(crosscoder)
    blocks = crosscoder.V[:, 0].detach()

    def codes(a: Tensor) -> Tensor:
        places = a.flatten(2).mT  # (N, h·w, C)
        return (
            crosscoder.encode(places.reshape(-1, 1, a.shape[1]))
            .reshape(len(a), places.shape[1], -1)
            .mean(1)
        )

    @torch.no_grad()
    def direction(positive: Tensor, negative: Tensor) -> Tensor:
        p, n = codes(positive.to(blocks)), codes(negative.to(blocks))
        spread = ((p.var(0) + n.var(0)) / 2).sqrt()
        telling = (p.mean(0) - n.mean(0)) / (spread + 1e-3 * spread.max().clamp_min(1e-12))
        best = telling.abs().topk(min(features, len(telling))).indices
        channel = (telling[best, None] * F.normalize(blocks[best], dim=1)).sum(0)
        return channel[:, None].expand(-1, positive[0, 0].numel()).flatten().cpu()

    return direction


def feature_inputs(crosscoder: GroupCrosscoder) -> Callable[[Tensor, Activations], Tensor]:
    """What an attacker pushes who knows that directions are made of a crosscoder's features.

    Args:
        crosscoder: As for `feature_direction`.

    Returns:
        Images and the layer's activations function to what enters each feature's nonlinearity,
        averaged over places, `(N, m)`. Not the codes: those of features that are off have no
        gradient.

    Raises:
        UserError: As for `feature_direction`.
    """
    _check_views(crosscoder)
    weights, offset = crosscoder.W_enc[:, 0].detach(), crosscoder.encoder_bias.detach()

    def inputs(x: Tensor, activations: Activations) -> Tensor:
        a = (activations(x).mean((2, 3)) - crosscoder.mean) / crosscoder.scale
        return a @ weights.T + offset

    return inputs


@dataclass(frozen=True)
class Recipe:
    """How a concept's direction comes from its example images: plain TCAV's way, or a defence's.

    Attributes:
        name: for tables.
        direction: positive and negative activations to a direction.
        view: images and the layer's activations function to what stands for the images;
            differentiable.
        pushed: the same to what an attacker who knows the defence pushes; None for the view.
        passes: forward passes an example, the cost.
    """

    name: str = "plain"
    direction: Direction = ridge_direction
    view: Callable[[Tensor, Activations], Tensor] = lambda x, activations: activations(x)
    passes: int = 1
    pushed: Callable[[Tensor, Activations], Tensor] | None = None

    def seen(self, activations: Activations) -> Activations:
        """The activations function with this recipe's view before it."""
        return lambda x: self.view(x, activations)

    def attacked(self, activations: Activations) -> Activations:
        """What an attacker who knows the recipe pushes along a direction, a function of images."""
        return lambda x: (self.pushed or self.view)(x, activations)


def smoothed(sigma: float = 24 / 255, copies: int = 4, seed: int = 0) -> Recipe:
    """Adversarial smoothing: activations averaged over noisy copies of every example.

    Args:
        sigma: The standard deviation of the noise, for images in [0, 1].
        copies: The number of copies of every image.
        seed: The seed of the noise, which is the same for every batch.

    Returns:
        The recipe.

    Raises:
        UserError: `copies` is below 1 or `sigma` below 0.
    """

    if copies < 1 or not sigma >= 0:
        raise UserError(f"{copies} copies, sigma {sigma:g}: expected 1 or more, and 0 or more.")

    def view(x: Tensor, activations: Activations) -> Tensor:
        noise = torch.Generator().manual_seed(seed)
        total = 0.0
        for _ in range(copies):
            drawn = sigma * torch.randn(x.shape[1:], generator=noise)
            total = total + activations((x + drawn).clamp(0, 1))
        return total / copies

    return Recipe("smoothing", view=view, passes=copies)


def orbit_averaged(group: str = "D4") -> Recipe:
    """Orbit-averaged concepts: activations averaged over every rotated and mirrored example.

    Args:
        group: A group that moves pixels onto pixels: C2, C4, D1, D2 or D4.

    Returns:
        The recipe.

    Raises:
        UserError: The group has other rotations, which need pixels from outside the image.
    """
    g = make_group(group)
    if 4 % g.n:
        raise UserError(
            f"group {group!r} rotates images off the pixel grid: choose D4, C4, D2, D1."
        )

    def view(x: Tensor, activations: Activations) -> Tensor:
        rotated = complete(x[:, None], g)
        return activations(rotated.flatten(0, 1)).unflatten(0, (len(x), g.order)).mean(1)

    return Recipe("orbit average", view=view, passes=g.order)
