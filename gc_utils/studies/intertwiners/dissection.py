"""Network dissection (Bau et al. 2017, arXiv 1704.05796): how well units match labelled concepts.

The measure that Godfrey et al. 2022 put to rotated bases. A unit is on for the images that it
responds to most, a fixed share of them; it is compared with the images that show a concept by
intersection over union (IoU), and has the IoU of its best concept. The unit of comparison here is
one image for the unit at its centre: one pixel of the maps that network dissection compares.

Concepts are labelled by us. Of drawings it is known what was drawn; of crops of photographs, colour
names and local structure are computed from their pixels, as Bau et al. computed colour names.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from skimage.color import rgb2hsv
from torch import Tensor

from gc_utils import groups
from gc_utils.activations.store import ActivationStore
from gc_utils.errors import UserError
from gc_utils.images.photographs import Photograph
from gc_utils.inspection.responses import stimulus_orbits
from gc_utils.models.base import Model
from gc_utils.progress import progress_bar

TOP = 0.02  # share of images that a unit is on for
LEAST = 4  # images that a concept needs
CENTRE = 0.5  # diameter of the part of a crop that is labelled, as a share of its side
# Degrees after which a kind of drawing repeats; 1 for those without an orientation; others 360.
PERIODS = {
    "line": 180,
    "grating": 180,
    "fur": 180,
    "hatch": 90,
    "noise": 1,
    "circle": 1,
    "centre_surround": 1,
}
DIRECTIONS = 8  # of edges and contours that concepts tell apart
COHERENT = 0.5  # coherence from which on a crop has a contour's orientation, or an edge's direction
FLAT = 0.02  # root mean square gradient below which a crop is plain, in luminance a pixel
DARK, BRIGHT = 0.2, 0.8  # value below which a pixel is black, and above which a pale one is white
PALE = 0.2  # saturation below which a pixel has no hue
# Hue in degrees at which each name ends; red goes on from the last one.
HUES = {
    "red": 15,
    "orange": 45,
    "yellow": 70,
    "green": 165,
    "cyan": 195,
    "blue": 255,
    "purple": 335,
}


def best_iou(
    responses: Tensor, concepts: Tensor, *, top: float = TOP, least: int = LEAST
) -> Tensor:
    """The intersection over union of every unit with the concept that it matches best.

    With `k = ceil(top * S)`, a unit is on for images whose response is above its `k+1`-th largest:
    `k` images, and fewer if responses tie, such as those of a unit that is silent for most images.

    Args:
        responses: Responses to images `(S, C)`.
        concepts: Which images show which concept, bool `(S, K)`; an image may show several.
        top: The share of images that a unit is on for.
        least: The number of images that a concept needs; others are left out.

    Returns:
        The largest IoU over concepts, `(C,)`, between 0 and 1.

    Raises:
        UserError: No concept is shown by enough images and not by all, or `top` is no share.
    """
    count = len(responses)
    most = math.ceil(top * count)
    if not 0 < top < 1 or most >= count:
        raise UserError(f"top is {top} of {count} images: expected a share that leaves some out.")
    shown = concepts.sum(0)
    tested = concepts[:, (shown >= least) & (shown < count)].double()
    if not tested.shape[1]:
        raise UserError(f"no concept is shown by {least} of the {count} images, or all by all.")
    on = (responses > responses.topk(most + 1, 0).values[-1]).double()
    both = on.T @ tested
    either = on.sum(0)[:, None] + tested.sum(0) - both
    return (both / either).amax(1)


def label_concepts(labels: Sequence[Hashable]) -> Tensor:
    """One concept a label: which samples have which, bool `(S, K)`."""
    named = pd.Series(list(labels)).astype(str)
    return torch.from_numpy(np.stack([(named == name).to_numpy() for name in named.unique()], 1))


def labelled_drawings(model: Model, layer: str) -> tuple[Tensor, list[str]]:
    """Responses of a layer to drawings, and what was drawn: a kind at one of eight orientations.

    Drawings that a rotation takes to themselves are shown once: lines and gratings at four
    orientations, circles at one. A gradient is an edge that is soft.

    Args:
        model: The network.
        layer: Its layer.

    Returns:
        Responses `(S, C)` and the label of each drawing, such as `curve 90`.
    """
    drawn = stimulus_orbits(model, layer, groups.group("C8"))
    table = drawn.table
    style = table["style"].fillna("") if "style" in table else ""
    kind = table.kind.where(table.kind != "texture", style).replace("gradient", "edge")
    at = table.orientation.round().astype(int)
    shown = np.array(at < kind.map(PERIODS).fillna(360))
    labels = kind.where(kind.map(PERIODS) == 1, kind + " " + at.astype(str))
    return drawn.A.flatten(0, 1)[torch.from_numpy(shown)], labels[shown].tolist()


@torch.inference_mode()
def crop_concepts(
    store: ActivationStore,
    images: Sequence[Photograph],
    sizes: Mapping[Hashable, int],
    *,
    progress: bool = True,
) -> dict[Hashable, pd.DataFrame]:
    """`pixel_concepts` of the store's crops, for layers that see different parts of them.

    Args:
        store: The store of the layer with the largest crop.
        images: The store's photographs.
        sizes: Layer → side in pixels of the part in the middle that it sees.
        progress: Whether to show a bar.

    Returns:
        Layer → one row for each sample and element of the group, in this order.
    """
    found: dict[Hashable, list[pd.DataFrame]] = {key: [] for key in sizes}
    of = store.samples["photograph"]  # sorted
    for i in progress_bar(np.unique(of), desc="concepts", unit="image", disable=not progress):
        crops = store.crops(np.flatnonzero(of == i), images).flatten(0, 1)
        for key, size in sizes.items():
            margin = (crops.shape[-1] - size) // 2
            inner = slice(margin, margin + size)
            found[key].append(pixel_concepts(crops[..., inner, inner]))
    return {key: pd.concat(parts, ignore_index=True) for key, parts in found.items()}


def pixel_concepts(crops: Tensor) -> pd.DataFrame:
    """Concepts that can be read off the pixels in the middle of crops.

    The colour name that most pixels of the disc have; `plain`, where luminance hardly changes;
    otherwise, from the mean of gradients' outer products, the orientation of a contour
    (`contour 45`, period 180), and from the mean gradient the direction to the bright side
    (`bright to 90`), where they are coherent. Angles are counter-clockwise from the right.

    Args:
        crops: Images `(B, 3, side, side)`, RGB in [0, 1].

    Returns:
        One row a crop, one bool column a concept.
    """
    side = crops.shape[-1]
    at = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
    disc = torch.hypot(at[:, None], at[None]) <= max(1.5, CENTRE * side / 2)
    hsv = rgb2hsv(crops.clamp(0, 1).movedim(1, -1)[:, disc].numpy())
    concepts = _colours(hsv)
    luma = torch.tensordot(torch.tensor([0.299, 0.587, 0.114]), crops.float(), ([0], [1]))
    down, right = torch.gradient(luma, dim=(-2, -1))
    y, x = -down[:, disc], right[:, disc]
    power = (x.square() + y.square()).mean(1)
    plain = power.sqrt() < FLAT
    tensor = torch.stack([(x.square() - y.square()).mean(1), (2 * x * y).mean(1)])
    mean = torch.stack([x.mean(1), y.mean(1)])
    across = torch.rad2deg(torch.atan2(tensor[1], tensor[0])) / 2
    bright = torch.rad2deg(torch.atan2(mean[1], mean[0]))
    lined = (tensor.norm(dim=0) >= COHERENT * power) & ~plain
    edged = (mean.norm(dim=0) >= COHERENT * torch.hypot(x, y).mean(1)) & ~plain
    concepts["plain"] = plain.numpy()
    for name, angle, period, here in (
        ("contour", across + 90, 180, lined),
        ("bright to", bright, 360, edged),
    ):
        step = period / DIRECTIONS
        nearest = (angle / step).round().long() % DIRECTIONS
        for k in range(DIRECTIONS):
            concepts[f"{name} {k * step:g}"] = (here & (nearest == k)).numpy()
    return pd.DataFrame(concepts)


def _colours(hsv: np.ndarray) -> dict[str, np.ndarray]:
    """Colour name → whether most pixels of `(B, pixels, 3)` have it."""
    hue, saturation, value = 360 * hsv[..., 0], hsv[..., 1], hsv[..., 2]
    names = ["black", "white", "grey", *HUES]
    of_hue = np.searchsorted(list(HUES.values()), hue, side="right") % len(HUES)
    grey = np.where(value > BRIGHT, 1, 2)
    of = np.where(value < DARK, 0, np.where(saturation < PALE, grey, 3 + of_hue))
    counts = np.stack([(of == k).sum(1) for k in range(len(names))], 1)
    most = counts.argmax(1)
    return {name: most == k for k, name in enumerate(names)}
