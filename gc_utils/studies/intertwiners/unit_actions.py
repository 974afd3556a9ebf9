"""Rotations and mirrors of the image against permutations of the units.

Our group acts on images, intertwiner groups (Godfrey et al. 2022, arXiv 2205.14258) on hidden
units. If a layer had a unit for every orientation of every pattern, rotating the image would
permute its units. Here the permutation with scales that comes nearest to each element's action is
found, and compared with the best linear map and with leaving the activations as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.linalg import orthogonal_procrustes

from gc_utils.activations.store import ActivationStore
from gc_utils.errors import UserError
from gc_utils.groups import Group
from gc_utils.images.photographs import Photograph
from gc_utils.inspection.responses import unit_responses
from gc_utils.models.base import Model
from gc_utils.models.inception import InceptionModel
from gc_utils.progress import progress_bar
from gc_utils.studies.intertwiners.activation_basis import live_units
from gc_utils.studies.intertwiners.similarity import best_member


def negated(model: Model, layer: str) -> InceptionModel:
    """The same network with a layer's weights negated.

    Its units respond with `ReLU(-z)` where the model's respond with `ReLU(z)`: the difference of
    both is the pre-activation `z`.

    Args:
        model: An InceptionV1.
        layer: A convolution, or several side by side.

    Returns:
        A copy of the model with negated weights and biases in that layer.

    Raises:
        UserError: The model is not InceptionV1, or the layer is no convolution.
    """
    if not isinstance(model, InceptionModel):
        raise UserError(f"pre-activations are read from 'inceptionv1' only, not {model.name!r}.")
    steps = model.architecture.steps
    step = steps[model.check_layer(layer)]
    writers = step.inputs if step.kind == "concat" else (layer,)
    if any(steps[name].kind != "conv" for name in writers):
        raise UserError(f"layer {layer!r} has no pre-activations: expected a convolution.")
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for name in writers:
            module = changed.network.get_submodule(changed.network.module_name(name))
            for weight in module.parameters():
                weight.neg_()
    return changed


@torch.inference_mode()
def layer_responses(
    store: ActivationStore,
    images: Sequence[Photograph],
    places: Mapping[Hashable, tuple[Model, str]],
    *,
    batch: int = 128,
    progress: bool = True,
) -> dict[Hashable, torch.Tensor]:
    """Responses of layers of several networks to the same orbits.

    Photographs are loaded and rotated once for all of them; a layer that sees less is shown the
    centre of the crop, which is its own crop.

    Args:
        store: The store of the layer with the largest crop.
        images: The store's photographs.
        places: Key → model and layer.
        batch: The number of crops in a forward pass.
        progress: Whether to show a bar.

    Returns:
        Key → orbit activations `(N, |G|, C)`, float32.

    Raises:
        UserError: The crop of a layer is not the centre of the store's.
    """
    size = store.settings["size"]
    margins = {}
    for key, (model, layer) in places.items():
        margins[key], odd = divmod(size - model.crop_size(layer), 2)
        if odd or margins[key] < 0:
            raise UserError(
                f"{layer} of {model.name!r} sees {model.crop_size(layer)} pixels, which is no "
                f"centre of the store's crops of {size}."
            )
    found: dict[Hashable, list[torch.Tensor]] = {key: [] for key in places}
    of = store.samples["photograph"]  # sorted
    for i in progress_bar(np.unique(of), desc="orbits", unit="image", disable=not progress):
        crops = store.crops(np.flatnonzero(of == i), images)
        for key, (model, layer) in places.items():
            inner = slice(margins[key], size - margins[key])
            of_crops = unit_responses(model, layer, crops.flatten(0, 1)[..., inner, inner], batch)
            found[key].append(of_crops.unflatten(0, crops.shape[:2]))
    return {key: torch.cat(parts) for key, parts in found.items()}


@dataclass(frozen=True)
class UnitActions:
    """How well maps of units do what an element of the group does by acting on the image.

    Attributes:
        table: one row for each element but the identity and each map (`unchanged`, `permutation`,
            `orthogonal`, `linear`): `element`, `angle` (degrees), `mirrored`, `map`, `explained`
            (share of the variance of held-out activations of rotated images).
        orders: for each element and unit the unit that stands for it after it, `(|G|, C)`.
        units: share of the variance of each unit that the permutation explains, over all elements
            but the identity, `(C,)`; NaN for a unit that does not vary.
        composes: share of live units for which the permutation of a product of two elements is
            the product of their permutations.
        composes_by_chance: the same if the permutations are drawn at random.
    """

    table: pd.DataFrame
    orders: np.ndarray
    units: np.ndarray
    composes: float
    composes_by_chance: float


def unit_actions(
    A: torch.Tensor,
    g: Group,
    held_out: np.ndarray,
    *,
    signed: bool = False,
    ridge: float = 1e-3,
    seed: int = 0,
) -> UnitActions:
    """Fit maps `M_h` with `A[h·g] ≈ M_h A[g]` on some samples, and measure them on others.

    Maps are products of a permutation and positive scales (of either sign if `signed`),
    orthogonal, or any linear ones (ridge regression). None has an offset: a member of an
    intertwiner group has none.

    Args:
        A: Orbit activations `(N, |G|, C)`.
        g: Their group.
        held_out: Which samples to measure on, bool `(N,)`; maps are fitted to the others.
        signed: Whether scales may have either sign, for pre-activations.
        ridge: The ridge penalty, relative to the mean square of a channel.
        seed: The seed of the random permutations for comparison.

    Returns:
        The variance that each map explains, and how well the permutations compose.

    Raises:
        UserError: The activations are of another group, or not finite; no unit varies; or nothing
            is held out, or everything.
    """
    held = torch.as_tensor(np.asarray(held_out, dtype=bool))
    if A.ndim != 3 or A.shape[1] != g.order or held.shape != A.shape[:1]:
        raise UserError(
            f"activations of shape {tuple(A.shape)} and a choice of {tuple(held.shape)}: expected "
            f"(samples, {g.order}, channels) and (samples,)."
        )
    if not torch.isfinite(A).all():
        raise UserError("activations that are not finite: expected numbers.")
    if g.order < 2:
        raise UserError(f"group {g.name} has no element but the identity: choose a larger one.")
    if not live_units(A.flatten(0, 1)).any():
        raise UserError("no unit varies: there is nothing for the group to act on.")
    if held.all() or not held.any():
        raise UserError("samples to fit to and samples held out are both needed.")
    fit, test = A.double()[~held], A.double()[held]
    x, given = fit.flatten(0, 1), test.flatten(0, 1)
    gram = x.T @ x
    power = gram.diagonal().numpy()
    inverse = torch.linalg.inv(
        gram + ridge * gram.diagonal().mean() * torch.eye(len(gram)).double()
    )
    spread = (given - given.mean(0)).square().sum(0)  # the same for every element
    live = spread > 1e-9 * spread.max()
    orders, rows, missed = [np.arange(A.shape[2])], [], torch.zeros(A.shape[2]).double()
    for h in range(1, g.order):
        product = x.T @ fit[:, g.table[h]].flatten(0, 1)
        wanted = test[:, g.table[h]].flatten(0, 1)
        order, scale = best_member(product.numpy(), power, signed=signed)
        orders.append(order)
        # Of the data only their product counts, which is there already.
        rotation, _ = orthogonal_procrustes(np.eye(len(product)), product.numpy())
        made = {
            "unchanged": given,
            "permutation": given[:, order] * torch.from_numpy(scale),
            "orthogonal": given @ torch.from_numpy(rotation),
            "linear": given @ (inverse @ product),
        }
        for name, value in made.items():
            error = (value - wanted).square().sum(0)
            if name == "permutation":
                missed += error
            rows.append(
                {
                    "element": h,
                    "angle": float(g.angles[h]),
                    "mirrored": bool(g.mirrored[h]),
                    "map": name,
                    "explained": float(1 - error.sum() / spread.sum()),
                }
            )
    orders = np.stack(orders)
    units = torch.where(live, 1 - missed / spread / max(1, g.order - 1), torch.nan)
    rng = np.random.default_rng(seed)
    drawn = np.stack([np.arange(A.shape[2]), *(rng.permuted(o) for o in orders[1:])])
    alive = live.numpy()
    composes, by_chance = (_composes(o, g, alive) for o in (orders, drawn))
    return UnitActions(pd.DataFrame(rows), orders, units.numpy(), composes, by_chance)


def summarise_actions(actions: Mapping[str, UnitActions]) -> pd.DataFrame:
    """The actions on several layers, one row for each.

    Args:
        actions: Title → result of `unit_actions`.

    Returns:
        One row for each title (the index): the mean share of variance that each map explains
        (`unchanged`, `permutation`, `orthogonal`, `linear`), `units at 0.9 or more` (share of units
        that permutations explain that well), `permutations compose` and `composed by chance`.
    """
    maps = ["unchanged", "permutation", "orthogonal", "linear"]
    by_map = pd.DataFrame(
        {title: a.table.groupby("map").explained.mean() for title, a in actions.items()}
    ).T[maps]
    by_map["units at 0.9 or more"] = [np.nanmean(a.units >= 0.9) for a in actions.values()]
    by_map["permutations compose"] = [a.composes for a in actions.values()]
    by_map["composed by chance"] = [a.composes_by_chance for a in actions.values()]
    return by_map


def _composes(orders: np.ndarray, g: Group, live: np.ndarray) -> float:
    table = g.table.numpy()
    agree = [
        # A[a·b] = M_a A[b]: unit i of it is unit orders[a][i] of A[b], which is …
        (orders[b][orders[a]] == orders[table[a, b]])[live].mean()
        for a in range(1, g.order)
        for b in range(1, g.order)
        if table[a, b] != 0
    ]
    return float(np.mean(agree)) if agree else float("nan")
