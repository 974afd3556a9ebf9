"""Faceted feature visualisation: the different reasons why a neuron responds, one at a time.

Goh et al., *Multimodal Neurons in Artificial Neural Networks* (Distill 2021), appendix "Faceted
Feature Visualization": a neuron `f` that responds to several kinds of things is visualised with a
facet, a linear probe `w` of a lower layer `g` that tells one of the kinds from other images,

    f(g(x)) + wᵀ(g(x) ⊙ ∇f(g(x))),    the gradient held fixed.

The second term asks for what the neuron reads *and* the probe wants. The probe is fitted to example
images, which is where Brown and Kvinge (arXiv 2110.07120) attack it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from gc_utils.errors import UserError
from gc_utils.inspection.visualise import Objective, optimise
from gc_utils.progress import progress_bar
from gc_utils.studies.concept_attacks.classifiers import Activations, Explained
from gc_utils.studies.concept_attacks.directions import ridge_direction


def facet_probe(positive: Tensor, negative: Tensor, *, weight: float = 10.0) -> Tensor:
    """A facet: a linear probe of a layer's channels, averaged over places.

    Args:
        positive: Activations `(N, C, h, w)` of the facet's examples.
        negative: Activations of other images.
        weight: The weight of the ridge, see `ridge_direction`.

    Returns:
        The probe `(C,)`, of unit length.
    """
    pooled = (a.mean((2, 3)) for a in (positive, negative))
    return F.normalize(ridge_direction(*pooled, weight=weight), dim=0)


def facet_objective(
    below: Activations,
    neuron: Callable[[Tensor], Tensor],
    probes: Tensor,
    *,
    strength: float | Tensor = 1.0,
) -> Objective:
    """The objective of a faceted visualisation.

    Args:
        below: The function `g`, from images to activations `(B, C, h, w)`.
        neuron: The function `f`, from activations to `(B,)`.
        probes: The probes `w`, `(B, C)` or `(C,)`, the same at every place; zeros for no facet.
        strength: The factor of the facet's term, a number or `(B,)`. Goh et al. use 1 and let the
            probe's length decide.

    Returns:
        A function of images `(B, 3, S, S)` with values `(B,)`, to be maximised.
    """
    w = torch.atleast_2d(probes)[..., None, None]

    def objective(x: Tensor) -> Tensor:
        a = below(x)
        value = neuron(a)
        (gradient,) = torch.autograd.grad(value.sum(), a, retain_graph=True)
        facet = (w.to(a) * a * gradient.detach()).flatten(1).sum(1)
        return value + torch.as_tensor(strength).to(a) * facet

    return objective


def visualise_facets(
    explained: Explained,
    name: str,
    probes: Mapping[str, Tensor],
    size: int,
    *,
    starts: int = 6,
    strength: float = 1.0,
    progress: bool = True,
    seed: int = 0,
    **options,
) -> dict[str, Tensor]:
    """Images that maximise a class's logit under every facet, from several starts.

    Args:
        explained: The classifier; its `below` is `g`, and its logit `f`.
        name: The name of the class.
        probes: Facet → probe `(C,)`; zeros for no facet.
        size: The side of the images in pixels.
        starts: The number of random starting images, the same for all facets.
        strength: The factor of the facets' term.
        progress: Whether to show a progress bar.
        seed: The seed of the first starting image.
        **options: Further options of `gc_utils.inspection.visualise.optimise`.

    Returns:
        Facet → images `(starts, 3, S, S)`.

    Raises:
        UserError: The class is unknown.
    """
    if name not in explained.classes:
        raise UserError(f"unknown class {name!r}; choose among {', '.join(explained.classes)}.")
    unit = explained.classes.index(name)
    objective = facet_objective(
        explained.below,
        lambda a: explained.head(a)[:, unit],
        torch.stack(list(probes.values())),
        strength=strength,
    )
    found = [
        optimise(objective, len(probes), size, seed=seed + start, **options)
        for start in progress_bar(range(starts), desc="facets", disable=not progress)
    ]
    return dict(zip(probes, torch.stack(found, 1), strict=True))
