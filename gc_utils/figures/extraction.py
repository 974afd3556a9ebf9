"""Figures of orbits and of how their variance divides."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn.functional import interpolate

from gc_utils.figures.parts import as_images, degrees, drawn_name, thumbnails
from gc_utils.figures.style import NOTE, OKABE_ITO, PALE, WIDTH, styled
from gc_utils.groups import Group
from gc_utils.images import Photograph

# ----------------------------------------------------------------------------- 01: the images


def spread(sources: Sequence[str], most: int = 10) -> list[int]:
    """A few items that stand for all, as many of every source.

    Args:
        sources: where each item comes from.
        most: items wanted; each source gives at least one.

    Returns:
        Item numbers, evenly spaced within each source, sources in the order of their first item.
    """
    by_source: dict[str, list[int]] = {}
    for i, source in enumerate(sources):
        by_source.setdefault(source, []).append(i)
    each = max(1, most // max(1, len(by_source)))
    return [
        some[j]
        for some in by_source.values()
        for j in np.unique(np.linspace(0, len(some) - 1, each).round().astype(int))
    ]


@styled
def image_sheet(images: Sequence[Photograph], *, most: int = 10, columns: int = 5) -> Figure:
    """Some of the images of a set, as many of every source, each with its name.

    Args:
        images: the set.
        most: images at most, but at least one of every source.
        columns: images a row.
    """
    chosen = [images[i] for i in spread([image.source for image in images], most)]
    small = []
    for image in chosen:
        side = min(image.height, image.width)
        square = image.load()[None, :, :side, :side]
        small.append(interpolate(square, size=(160, 160), mode="bilinear", antialias=True)[0])
    tall = WIDTH / columns * (1 + 0.06)
    figure, ax = plt.subplots(figsize=(WIDTH, tall * -(-len(chosen) // columns)))
    names = [drawn_name(image.name) for image in chosen]
    look = {"captions": names, "disc": False, "gap": 0.06, "caption_room": 0.13}
    thumbnails(ax, torch.stack(small), columns, **look)
    figure.subplots_adjust(0, 0, 1, 1)
    return figure


# ------------------------------------------------------------------------------ 01: the orbit


@styled
def orbit_figure(crops, group: Group, *, most: int = 16) -> Figure:
    """One patch under every group element.

    Args:
        crops: `(|G|, 3, S, S)`, the orbit of one patch.
        group: its group; `r^k` at index `k`, `r^k s` at `n + k`.
        most: rotations drawn at most, evenly spaced.
    """
    images = as_images(crops)
    stride = max(1, -(-group.n // most))
    shown = list(range(0, group.n, stride))
    columns = min(8, len(shown))
    rows = [("rotated", 0), ("mirrored,\nthen rotated", group.n)][: 1 + group.dihedral]
    lines = -(-len(shown) // columns)
    tile = (WIDTH - 0.95) / 8 / 1.06
    width = 0.95 + columns * tile * 1.06
    room = 0.24
    height = len(rows) * lines * tile * (1.06 + room) + 0.14 * len(rows)
    figure, axes = plt.subplots(len(rows), 1, figsize=(width, height + 0.34), squeeze=False)
    for ax, (name, start) in zip(axes[:, 0], rows, strict=True):
        elements = [start + k for k in shown]
        captions = [degrees(group.angles[g]) for g in elements]
        look = {"captions": captions, "disc": False, "gap": 0.06, "caption_room": room}
        thumbnails(ax, images[elements], columns, **look)
        ax.text(-0.1, 0.5, name, ha="right", va="center", fontsize=NOTE)
    note = "" if stride == 1 else f" (every {stride}th of {group.n} rotations)"
    figure.suptitle(f"One patch under {group.name}{note}", x=0.01, y=0.995, ha="left", va="top")
    top = height / (height + 0.34)
    figure.subplots_adjust(left=0.95 / width, right=0.998, bottom=0.005, top=top, hspace=0.04)
    return figure


@styled
def orbit_variance(invariant_share, before, after=None, *, names=("no low-pass", "low-pass")):
    """How much of the activations' variance a rotation leaves alone, and how fast the rest varies.

    Args:
        invariant_share: `(C,)`, each channel's share of variance that its orbit mean explains.
        before: `(F,)`, share of the orientation part at angular frequencies 1, 2, …, F.
        after: the same with the other sampling; None to draw one set of bars.
        names: what the two sets of bars are.
    """
    share = np.asarray(invariant_share, dtype=float)
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.9), layout="constrained")
    left.hist(share, bins=np.linspace(0, 1, 26), color=OKABE_ITO["blue"], ec="white", lw=0.5)
    left.set_ylim(0, 1.15 * left.get_ylim()[1])
    left.axvline(share.mean(), color="black", lw=1)
    high = share.mean() > 0.5
    left.annotate(
        f"mean {share.mean():.2f}",
        (share.mean(), 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if high else 4, 0),
        textcoords="offset points",
        ha="right" if high else "left",
        va="top",
        fontsize=NOTE,
    )
    left.set(xlim=(0, 1), xlabel="invariant share of a channel's variance", ylabel="channels")
    left.set_title("What does rotation leave alone?")
    spectra = [np.asarray(s, dtype=float) for s in (before, after) if s is not None]
    colours = [PALE, OKABE_ITO["vermilion"]][-len(spectra) :]
    frequencies = np.arange(1, len(spectra[0]) + 1)
    bar = 0.8 / len(spectra)
    for i, (spectrum, name) in enumerate(zip(spectra, names, strict=False)):
        offset = (i - (len(spectra) - 1) / 2) * bar
        right.bar(frequencies + offset, 100 * spectrum, bar, color=colours[i], label=name)
    right.set(xlabel="cycles per 360°", ylabel="% of the orientation part", xticks=frequencies)
    right.set_title("How fast does the rest vary?")
    right.grid(axis="y")
    if len(spectra) > 1:
        right.legend()
    return figure
