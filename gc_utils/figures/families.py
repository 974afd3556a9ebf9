"""Figures of families: embeddings, rows of patches, separation scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gc_utils.figures.parts import (
    OTHER,
    as_images,
    label_styles,
    label_text,
    legend_handles,
    thumbnails,
)
from gc_utils.figures.style import GREY, OKABE_ITO, PALE, styled

# --------------------------------------------------------------------------------- 03: families


@styled
def embedding(
    xy,
    labels: Sequence[str],
    sae_xy,
    sae_labels: Sequence[str],
    thumbnails_of: Mapping[str | int, tuple[Sequence[int], object]] | None = None,
) -> Figure:
    """UMAP of the crosscoder's features beside the SAE's, coloured by label.

    Args:
        xy: `(m, 2)` coordinates of the crosscoder's features.
        labels: their labels.
        sae_xy: `(m', 2)` coordinates of the SAE's.
        sae_labels: their labels.
        thumbnails_of: family name → (features, their images); a strip a family, joined to the
            features' place in the crosscoder's map.
    """
    xy, sae_xy = np.asarray(xy, dtype=float), np.asarray(sae_xy, dtype=float)
    labels, sae_labels = np.asarray(labels, dtype=object), np.asarray(sae_labels, dtype=object)
    styles = label_styles([*labels, *sae_labels])
    strips = dict(thumbnails_of or {})
    ratios = [1.05, 2.2, 1.05, 0.08, 2.2] if strips else [1, 0.05, 1]
    figure = plt.figure(figsize=(1.75 * sum(ratios) if strips else 8.4, 4.5))
    figure.subplots_adjust(left=0.005, right=0.995, top=0.9, bottom=0.15, wspace=0.06)
    grid = figure.add_gridspec(1, len(ratios), width_ratios=ratios)
    ax = figure.add_subplot(grid[1 if strips else 0])
    sae_ax = figure.add_subplot(grid[-1])
    for axes, points, names, title in (
        (ax, xy, labels, "Crosscoder, orbit distance"),
        (sae_ax, sae_xy, sae_labels, "SAE, cosine distance"),
    ):
        for name in [n for n, look in styles.items() if look == OTHER] + [
            n for n, look in styles.items() if look != OTHER
        ]:
            colour, marker = styles[name]
            here = points[names == name]
            size = 15 if (colour, marker) == OTHER else 26
            axes.scatter(*here.T, s=size, c=colour, marker=marker, ec="white", lw=0.4)
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"{title} ({len(points)} features)")
        for spine in axes.spines.values():
            spine.set(visible=True, color=PALE)
        axes.margins(0.05)
    handles = legend_handles(styles, pd.Series([*labels, *sae_labels]).value_counts())
    figure.legend(handles=handles, loc="lower center", ncols=11 if strips else 6)
    if strips:
        _strips(figure, grid, ax, xy, labels, styles, strips)
    return figure


def _strips(figure, grid, ax, xy, labels, styles, strips) -> None:
    """A strip of thumbnails a family, left or right of the map, each joined to its features."""
    middle = {name: np.median(xy[list(members)], axis=0) for name, (members, _) in strips.items()}
    by_x = sorted(strips, key=lambda name: middle[name][0])
    half = -(-len(by_x) // 2)
    most = max(len(members) for members, _ in strips.values())
    for names, column, left in ((by_x[:half], 0, True), (by_x[half:], 2, False)):
        names = sorted(names, key=lambda name: -middle[name][1])
        inner = grid[column].subgridspec(max(half, 4), 1, hspace=0.35)
        for row, name in enumerate(names):
            members, images = strips[name]
            side = figure.add_subplot(inner[row])
            kind = pd.Series(labels[list(members)]).mode().iloc[0]
            colour = styles[kind][0]
            thumbnails(side, images, most, rims=[colour] * len(members))
            side.set_anchor("W" if left else "E")
            side.set_title(
                f"{name} · {label_text(kind)}" if isinstance(name, int) else label_text(name)
            )
            side.title.set(fontsize=7.5, fontweight="normal", color="#333333")
            end = (len(members) * 1.1 - 0.1 if left else 0, 0.5)
            line = mpl.patches.ConnectionPatch(
                end, middle[name], "data", "data", axesA=side, axesB=ax, color=GREY, lw=0.7
            )
            figure.add_artist(line)
            ax.plot(*middle[name], "o", ms=9, mfc="none", mec="#333333", mew=0.8)


SCORES = {
    "silhouette": "silhouette",
    "knn_purity": "k-NN purity",
    "adjusted_rand": "adjusted Rand",
    "adjusted_mutual_information": "adjusted MI",
}
# Dictionaries as they were trained, and refined: a colour, a marker, a place in the row.
STATES = {"raw": (OKABE_ITO["orange"], "s", -0.17), "refined": (OKABE_ITO["blue"], "o", 0.17)}


@styled
def separation_table(table: pd.DataFrame) -> Figure:
    """Separation scores of competing dictionaries, a dot a fold, raw and refined side by side.

    Args:
        table: one row a competitor, state (`"raw"` or `"refined"`) and fold, columns `competitor`,
            `state`, `fold` and the scores by the names that `families.separation` gives them;
            `knn_chance`, where there, is drawn as a bar beside the purity.
    """
    scores = [name for name in SCORES if name in table]
    order = list(dict.fromkeys(table.competitor))
    states = [name for name in STATES if name in set(table.state)]
    figure, axes = plt.subplots(
        1,
        len(scores),
        figsize=(2.3 + 1.75 * len(scores), 1.05 + 0.44 * len(order)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, score in zip(axes[0], scores, strict=True):
        for (y, name), state in product(enumerate(order), states):
            colour, marker, shift = STATES[state]
            at = y + shift * (len(states) > 1)
            here = table[(table.competitor == name) & (table.state == state)]
            values = here[score].dropna().to_numpy(dtype=float)
            if not len(values):
                continue
            look = {"color": colour, "clip_on": False}
            ax.plot([values.min(), values.max()], [at, at], lw=1.4, alpha=0.6, **look)
            ax.plot(values, [at] * len(values), ".", ms=4, alpha=0.6, **look)
            ax.plot(values.mean(), at, marker, ms=6.5, **look)
            if score == "knn_purity" and "knn_chance" in here:
                ax.plot(here.knn_chance.mean(), at, "|", color="#444444", ms=8, mew=1.2)
        ax.set_title(SCORES[score])
        ax.grid(axis="x")
        ax.set(ylim=(len(order) - 0.5, -0.5), yticks=range(len(order)), yticklabels=order)
        ax.set_yticks(np.arange(len(order) - 1) + 0.5, minor=True)
        ax.grid(axis="y", which="minor", lw=0.6)
        ax.tick_params(axis="y", which="both", length=0)
        ax.spines["left"].set_visible(False)
        ax.margins(x=0.08)
    handles = [
        Line2D([], [], ls="", marker=STATES[s][1], color=STATES[s][0], ms=6.5, label=s)
        for s in states
    ]
    handles.append(Line2D([], [], ls="", marker=".", color=GREY, ms=5, label="a fold"))
    if "knn_purity" in scores and "knn_chance" in table:
        handles.append(Line2D([], [], ls="", marker="|", color="#444444", ms=8, label="chance"))
    title = "mean over folds; higher is better"
    figure.legend(handles=handles, loc="outside lower center", ncols=4, title=title)
    return figure


@styled
def family_rows(
    rows: Sequence[tuple[str, str, Sequence[int], object]], *, most: int = 12
) -> Figure:
    """Families as rows of thumbnails, each with its feature's number.

    Args:
        rows: (title of the family, a note of a line or two, features, their images).
        most: thumbnails a row at most.
    """
    columns = min(most, max(len(features) for _, _, features, _ in rows))
    width, height = 1.75 + 0.72 * columns, 0.92 * len(rows) + 0.05
    figure, axes = plt.subplots(len(rows), 1, figsize=(width, height), squeeze=False)
    figure.subplots_adjust(left=1.7 / width, right=0.995, top=0.995, bottom=0.005, hspace=0.04)
    for ax, (title, note, features, images) in zip(axes[:, 0], rows, strict=True):
        captions = [str(f) for f in features[:most]]
        thumbnails(ax, as_images(images)[:most], columns, captions=captions)
        ax.set_anchor("W")
        ax.text(-0.15, 0.3, label_text(title), ha="right", va="center", fontsize=8.5, weight="bold")
        ax.text(-0.15, 0.48, label_text(note), ha="right", va="top", fontsize=7.5)
    return figure
