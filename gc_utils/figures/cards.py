"""Feature cards: block profile, patches, optimised images."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gc_utils.figures.parts import (
    as_images,
    degrees,
    label_text,
    left_title,
    polar_profile,
    radial_floor,
    thumbnails,
)
from gc_utils.figures.style import DASHED, GREY, INK, NOTE, OKABE_ITO, SMALL, styled
from gc_utils.groups import Group


@dataclass(frozen=True)
class Card:
    """What a feature card shows.

    Attributes:
        feature: the feature's number, from 0.
        profile: `(|G|,)` cosines of its blocks with its block at the identity.
        patches: its top patches, or None.
        blocks: element → visualisation of that transform block; may be empty.
        stabiliser: the name of its stabiliser, such as `D1@90`.
        axis_degrees: mirror axis of the stabiliser in degrees, NaN for none.
        label: its kind, or an empty string.
        facts: further lines beside its number, such as its reproducibility.
    """

    feature: int
    profile: object
    patches: object = None
    blocks: Mapping[int, object] | None = None
    stabiliser: str = ""
    axis_degrees: float = np.nan
    label: str = ""
    facts: Sequence[str] = ()

    @property
    def title(self) -> str:
        """Number, kind and symmetry in a line."""
        name = {"G": "invariant", "": ""}.get(self.stabiliser, self.stabiliser.split("@")[0])
        axis = f"mirror axis {degrees(self.axis_degrees)}" if np.isfinite(self.axis_degrees) else ""
        return " · ".join(
            p for p in (f"feature {self.feature}", label_text(self.label), name, axis) if p
        )


@styled
def feature_cards(cards: Sequence[Card], group: Group) -> Figure:
    """Features as cards: block profile, top patches and the visualisations of the blocks.

    The stabiliser's mirror axis is dotted, in the profile and across the block at the identity: an
    image that excites the feature looks the same in that mirror. All profiles share one scale.

    Args:
        cards: The features to show, a row each.
        group: The group of their blocks.

    Returns:
        The figure.
    """
    floor = radial_floor([card.profile for card in cards])
    patches = max((0 if c.patches is None else len(c.patches) for c in cards), default=0)
    rotated = max((len(row) for c in cards if c.blocks for row in _rows(c, group)), default=0)
    # Inches: a square profile with its angles, two rows of patches, the rows of blocks.
    columns = -(-patches // 2)
    gap, tall, foot = 0.3, 1.5, 0.5
    widths = [tall, 0.78 * columns, 0.78 * rotated]
    width = max(5.2, 0.4 + sum(w + gap for w in widths if w))
    lasting = [[fact.replace(" ", "\N{NO-BREAK SPACE}") for fact in card.facts] for card in cards]
    facts = [_wrapped(" · ".join(found), int(15 * width)) for found in lasting]
    # A card: title, facts, room for the label at 90°, the profile, room for the one at 270°.
    heads = [0.36 + 0.17 * len(lines) for lines in facts]
    heights = [head + 0.2 + tall + 0.34 for head in heads]
    height = sum(heights) + foot
    figure = plt.figure(figsize=(width, height))
    top = height
    for card, head, lines, whole in zip(cards, heads, facts, heights, strict=True):
        figure.text(0.1 / width, (top - 0.08) / height, card.title, va="top", weight="bold",
                    fontsize=11)  # fmt: skip
        figure.text(0.1 / width, (top - 0.33) / height, "\n".join(lines), va="top", fontsize=NOTE,
                    color=INK, linespacing=1.25)  # fmt: skip
        bottom, left = (top - head - 0.2 - tall) / height, 0.4
        places = []
        for wide in widths:
            places.append((left / width, bottom, wide / width, tall / height))
            left += wide + gap if wide else 0
        polar = figure.add_axes(places[0], projection="polar")
        polar_profile(polar, card.profile, group, axis_degrees=card.axis_degrees, floor=floor)
        if card.patches is not None and len(card.patches):
            ax = figure.add_axes(places[1])
            thumbnails(ax, card.patches, columns)
            left_title(ax, "top patches")
        if card.blocks:
            _block_rows(figure.add_axes(places[2]), card, group)
        top -= whole
    handles = [Line2D([], [], color=OKABE_ITO["blue"], marker=".", label="rotated")]
    if group.dihedral:
        handles.append(
            Line2D([], [], color=OKABE_ITO["orange"], ls=DASHED, label="mirrored, then rotated")
        )
    if any(np.isfinite(card.axis_degrees) for card in cards):
        handles.append(Line2D([], [], color=GREY, ls=":", label="mirror axis"))
    last = figure.add_axes((0.0, 0.0, 1.0, foot / height))
    last.set_axis_off()
    note = f"circle: cosine with the block at 0°, from {floor:g} (centre) to 1 (rim)"
    last.text(0.1 / width, 0.2, note, ha="left", va="center", fontsize=NOTE, color=INK)
    last.legend(handles=handles, loc="upper left", ncols=3, borderaxespad=0.1)
    return figure


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of a text, broken at plain spaces only, which are all that is left at its breaks."""
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return [line.strip(" ·").replace("\N{NO-BREAK SPACE}", " ") for line in lines]


def _rows(card: Card, group: Group) -> list[list[int]]:
    """Elements whose blocks are shown: rotations and mirrored ones; many rotations in two rows."""
    rows = [[g for g in card.blocks if (g >= group.n) == mirrored] for mirrored in (False, True)]
    if not rows[1] and len(rows[0]) > 5:
        half = -(-len(rows[0]) // 2)
        rows = [rows[0][:half], rows[0][half:]]
    return [row for row in rows if row]


def _block_rows(ax: Axes, card: Card, group: Group) -> None:
    """Visualisations of blocks: a row for rotations, a row for mirrored elements."""
    rows = _rows(card, group)
    columns = max(map(len, rows))
    blank = np.ones_like(as_images(next(iter(card.blocks.values()))))
    images, captions = [], []
    for row in rows:
        images += [as_images(card.blocks[g]) for g in row] + [blank] * (columns - len(row))
        captions += [degrees(group.angles[g]) for g in row] + [""] * (columns - len(row))
    centres = thumbnails(ax, np.stack(images), columns, captions=captions)
    for i, row in enumerate(rows):
        name = "mirrored" if row[0] >= group.n else "rotated"
        y = centres[i * columns][1]
        ax.text(-0.08, y, name, rotation=90, ha="right", va="center", fontsize=SMALL, clip_on=False)
    left_title(ax, "its blocks, visualised")
    if np.isfinite(card.axis_degrees) and 0 in card.blocks:
        x, y = centres[rows[0].index(0)]
        dx, dy = np.cos(np.deg2rad(card.axis_degrees)), -np.sin(np.deg2rad(card.axis_degrees))
        for colour, lw in (("white", 2.0), ("#333333", 1.0)):
            ax.plot(
                [x - 0.5 * dx, x + 0.5 * dx], [y - 0.5 * dy, y + 0.5 * dy], ":", color=colour, lw=lw
            )


def feature_card(card: Card, group: Group) -> Figure:
    """One feature: block profile, top patches and the visualisations of its blocks.

    Args:
        card: The feature.
        group: The group of its blocks.

    Returns:
        The figure.
    """
    return feature_cards([card], group)
