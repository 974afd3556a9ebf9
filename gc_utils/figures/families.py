"""Figures of families: embeddings, rows of patches, separation scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gc_utils.figures.methods import STATES, method_look
from gc_utils.figures.parts import (
    OTHER,
    as_images,
    label_styles,
    label_text,
    legend_handles,
    thumbnails,
)
from gc_utils.figures.style import GREY, INK, NOTE, PALE, SMALL, WIDTH, styled

# --------------------------------------------------------------------------------- 03: families


@styled
def embedding(
    xy,
    labels: Sequence[str],
    sae_xy,
    sae_labels: Sequence[str],
    families: Mapping[str, tuple[Sequence[int], object]] | None = None,
) -> Figure:
    """UMAP of the crosscoder's features beside the SAE's, coloured by label.

    Points far from all others are drawn at the edge of their map, so that they do not squeeze it.

    Args:
        xy: `(m, 2)` coordinates of the crosscoder's features.
        labels: their labels.
        sae_xy: `(m', 2)` coordinates of the SAE's.
        sae_labels: their labels.
        families: `"number · description"` → (all members, the most typical first; patches of the
            first few): in the crosscoder's map lines join the members to the first, which has the
            number; the patches are below the maps.
    """
    labels, sae_labels = np.asarray(labels, dtype=object), np.asarray(sae_labels, dtype=object)
    styles = label_styles([*labels, *sae_labels])
    strips = dict(families or {})
    columns = 3
    below = -(-len(strips) // columns)
    heights = [4.15, 0.5] + [0.82] * below
    figure = plt.figure(figsize=(WIDTH, sum(heights) + 0.25))
    figure.subplots_adjust(left=0.006, right=0.994, top=1 - 0.25 / sum(heights), bottom=0.005)
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights, hspace=0.06)
    maps = grid[0].subgridspec(1, 2, wspace=0.03)
    for column, (points, names, title) in enumerate(
        (
            (xy, labels, "Crosscoder, orbit distance"),
            (sae_xy, sae_labels, "SAE, cosine distance"),
        )
    ):
        ax = figure.add_subplot(maps[column])
        points = _within(points)
        if not column:
            _stars(ax, points, strips)
        for name in sorted(styles, key=lambda name: styles[name] != OTHER):
            colour, marker = styles[name]
            size = 11 if (colour, marker) == OTHER else 36
            here = points[names == name]
            ax.scatter(*here.T, s=size, c=colour, marker=marker, ec="white", lw=0.4, zorder=2)
        ax.set(xticks=[], yticks=[])
        ax.set_title(f"{title} ({len(points)} features)")
        ax.margins(0.03)
        for spine in ax.spines.values():
            spine.set(visible=True, color=PALE)
    key = figure.add_subplot(grid[1])
    key.set_axis_off()
    handles = legend_handles(styles, pd.Series([*labels, *sae_labels]).value_counts())
    key.legend(handles=handles, loc="center", ncols=6, columnspacing=1.4, handletextpad=0.2)
    for place, (name, (_, images)) in enumerate(strips.items()):
        row, column = divmod(place, columns)
        side = figure.add_subplot(grid[2 + row].subgridspec(1, columns, wspace=0.06)[column])
        thumbnails(side, images, max(5, len(images)))
        side.set_anchor("SW")
        side.set_title(label_text(name), fontsize=SMALL, fontweight="normal", pad=2, color=INK)
    return figure


def _within(points) -> np.ndarray:
    """Coordinates, those far outside of most others moved to the edge of a frame around them."""
    points = np.asarray(points, dtype=float)
    low, high = np.quantile(points, [0.01, 0.99], axis=0)
    margin = 0.08 * (high - low)
    return np.clip(points, low - margin, high + margin)


def _stars(ax, points: np.ndarray, families: Mapping[str, tuple[Sequence[int], object]]) -> None:
    """Lines from the first member of each family to the others, and its number upon it."""
    for name, (members, _) in families.items():
        middle, others = points[members[0]], points[list(members[1:])]
        lines = np.stack([np.broadcast_to(middle, others.shape), others], 1)
        ax.add_collection(
            mpl.collections.LineCollection(lines, colors=INK, linewidths=0.7, alpha=0.55, zorder=1)
        )
        box = {"boxstyle": "circle,pad=0.18", "fc": "white", "ec": INK, "lw": 0.8}
        number = name.partition(" ")[0]
        ax.text(*middle, number, size=SMALL, ha="center", va="center", bbox=box, zorder=4)


SCORES = {
    "silhouette": "silhouette",
    "knn_purity": "k-NN purity",
    "adjusted_rand": "adjusted Rand",
    "adjusted_mutual_information": "adjusted MI",
}
# What labels that have nothing to do with the distance would give: a column, or a number where the
# score is adjusted for chance by its definition.
CHANCE = {
    "silhouette": "silhouette_chance",
    "knn_purity": "knn_chance",
    "adjusted_rand": 0.0,
    "adjusted_mutual_information": 0.0,
}
SHIFTS = {"raw": -0.17, "refined": 0.17}  # places in a competitor's row
COMPETITORS = {
    "identity encoder": "crosscoder, identity encoder",
    "orbit encoder": "crosscoder",
    "SAE blocks": "SAE, regressed blocks",
    "SAE": "sparse autoencoder",
}


@styled
def separation_table(table: pd.DataFrame) -> Figure:
    """Separation scores of competing dictionaries, a dot a fold, raw and refined side by side.

    Args:
        table: one row a competitor, state (`"raw"` or `"refined"`) and fold, columns `competitor`,
            `state`, `fold` and the scores by the names that `families.separation` gives them, with
            those of chance, `silhouette_chance` and `knn_chance`.
    """
    scores = [name for name in SCORES if name in table]
    order = list(dict.fromkeys(table.competitor))
    states = [name for name in SHIFTS if name in set(table.state)]
    figure, axes = plt.subplots(
        1,
        len(scores),
        figsize=(WIDTH, 1.15 + 0.46 * len(order)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, score in zip(axes[0], scores, strict=True):
        chance = CHANCE[score]
        for (y, name), state in product(enumerate(order), states):
            at = y + SHIFTS[state] * (len(states) > 1)
            here = table[(table.competitor == name) & (table.state == state)]
            values = here[score].dropna().to_numpy(dtype=float)
            if not len(values):
                continue
            known = next((of for start, of in COMPETITORS.items() if name.startswith(start)), name)
            look = method_look(known, refined=state == "refined", order=y)
            line = {"color": look.colour, "clip_on": False}
            ax.plot([values.min(), values.max()], [at, at], lw=1.4, alpha=0.6, **line)
            ax.plot(values, [at] * len(values), ".", ms=4, alpha=0.6, **line)
            ax.plot(values.mean(), at, ms=6.5, clip_on=False, **look.mark)
            by_chance = chance if isinstance(chance, float) else here.get(chance)
            if by_chance is not None:
                ax.plot(np.mean(by_chance), at, "|", color="black", ms=10, mew=1.6, zorder=1)
        ax.set_title(SCORES[score])
        ax.grid(axis="x")
        ax.set(ylim=(len(order) - 0.5, -0.5), yticks=range(len(order)))
        ax.set_yticklabels([name.replace(", ", ",\n") for name in order])
        ax.set_yticks(np.arange(len(order) - 1) + 0.5, minor=True)
        ax.grid(axis="y", which="minor", lw=0.6)
        ax.tick_params(axis="y", which="both", length=0)
        ax.spines["left"].set_visible(False)
        ax.margins(x=0.1)
    handles = [STATES[state].handle() for state in states]
    for handle in handles:  # any method's
        handle.set(color=GREY, markeredgecolor=GREY)
        if handle.get_markerfacecolor() != "white":
            handle.set_markerfacecolor(GREY)
    handles.append(Line2D([], [], ls="", marker=".", color=GREY, ms=5, label="a fold"))
    handles.append(
        Line2D([], [], ls="", marker="|", color="black", ms=10, mew=1.6, label="by chance")
    )
    title = "large marks: mean over folds; higher is better"
    figure.legend(handles=handles, loc="outside lower center", ncols=4, title=title)
    return figure


class FamilyStrip(NamedTuple):
    """A family as `family_rows` shows it.

    Attributes:
        title: of the family.
        note: a few short lines.
        features: the members shown.
        images: a patch of each, in a common pose.
        means: mean edge strength as the patches are and in the common pose, `(2, S, S)`, or None.
    """

    title: str
    note: str
    features: Sequence[int]
    images: object
    means: np.ndarray | None = None


@styled
def family_rows(rows: Sequence[FamilyStrip], *, most: int = 6) -> Figure:
    """Families as rows of patches in a common pose, each with its feature's number.

    Args:
        rows: the families.
        most: patches a row at most.
    """
    columns = min(most, max(len(row.features) for row in rows))
    with_means = any(row.means is not None for row in rows)
    note, pair, head = 1.75, 1.5 if with_means else 0.0, 0.5
    width = note + pair + 0.78 * columns
    height = 0.98 * len(rows) + head
    figure = plt.figure(figsize=(width, height))
    for number, row in enumerate(rows):
        bottom = 1 - (head + 0.98 * (number + 1)) / height
        tall = 0.96 / height
        ax = figure.add_axes([(note + pair) / width, bottom, 0.78 * columns / width, tall])
        captions = [str(f) for f in row.features[:most]]
        thumbnails(ax, as_images(row.images)[:most], columns, captions=captions)
        ax.set_anchor("NW")
        left = figure.add_axes([0, bottom, note / width, tall])
        left.set_axis_off()
        x = 1 - 0.1 / note
        text = {"ha": "right", "va": "top", "transform": left.transAxes}
        left.text(x, 0.97, label_text(row.title), weight="bold", **text)
        left.text(x, 0.76, label_text(row.note), fontsize=NOTE, linespacing=1.25, **text)
        if row.means is None:
            continue
        ax = figure.add_axes([note / width, bottom, pair / width, tall])
        shown = np.clip(row.means / max(float(np.quantile(row.means, 0.999)), 1e-9), 0, 1)
        thumbnails(ax, np.repeat(shown[..., None], 3, -1), 2, captions=["", ""])
        ax.set_anchor("NW")
    heads = [(note + pair, "strongest patch of each member, rotated to agree")]
    if with_means:
        heads += [(note, "mean edge strength\nas cut"), (note + pair / 2, "rotated")]
    for left, text in heads:
        place = (left / width, 1 - (head - 0.06) / height)
        figure.text(*place, text, fontsize=NOTE, va="bottom", color=INK, linespacing=1.1)
    return figure
