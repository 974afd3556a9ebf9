"""Figures of notebook 07."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gc_utils.figures.parts import as_images, thumbnails
from gc_utils.figures.style import GREY, OKABE_ITO, PALE, styled


@styled
def recovered(table: pd.DataFrame) -> Figure:
    """How much of each attribute's entropy one dimension carries, by method.

    A filled dot is above chance, an empty one is not; runs of other seeds are small.

    Args:
        table: Rows of `recovered_dimensions`, with `method`, `seed`, and `significant`, whether
            a row is above chance.

    Returns:
        The figure.
    """
    attributes = list(dict.fromkeys(table.attribute))
    methods = list(dict.fromkeys(table.method))
    colours = [OKABE_ITO[c] for c in ("blue", "vermilion", "purple", "black")] + [GREY]
    figure, axes = plt.subplots(
        1,
        len(attributes),
        figsize=(1.5 + 1.6 * len(attributes), 0.8 + 0.34 * len(methods)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, attribute in zip(axes[0], attributes, strict=True):
        for y, method in enumerate(methods):
            here = table[(table.attribute == attribute) & (table.method == method)]
            colour = colours[y % len(colours)]
            ax.plot(here.share, [y] * len(here), ".", ms=4, color=colour, alpha=0.5)
            face = colour if here.significant.all() else "white"
            ax.plot(here.share.mean(), y, "o", ms=7, mec=colour, mfc=face)
        ax.axvline(0, color=GREY, lw=0.8)
        ax.set_title(attribute)
        ax.grid(axis="x")
        ax.set(ylim=(len(methods) - 0.5, -0.5), yticks=range(len(methods)), xlabel="of its entropy")
        ax.set_yticklabels(methods)
        ax.set_xlim(-0.02, max(0.05, 1.1 * float(table[table.attribute == attribute].share.max())))
    return figure


@styled
def walks(
    rows: Sequence[dict], labels: Sequence[str], *, columns: int = 1, tile: float = 0.74
) -> Figure:
    """Walks along dimensions: optimised images above, the nearest real crops below.

    Args:
        rows: For each dimension `title`, `note`, `images` `(K, 3, S, S)` or None, and `patches`
            `(K, count, S, S, 3)`.
        labels: The labels of the walk's points, `K` of them.
        columns: The number of walks side by side.
        tile: The side of an image in inches.

    Returns:
        The figure.
    """
    tall = rows[0]["patches"].shape[1] + (rows[0]["images"] is not None)
    lines = -(-len(rows) // columns)
    side, step = 1.45, tile * 1.08  # inches for words and for an image with its gap
    wide = side + step * len(labels)
    width, height = columns * (wide + 0.15), lines * (tall * step + 0.16) + 0.3
    figure = plt.figure(figsize=(width, height))
    for n, row in enumerate(rows):
        line, column = n % lines, n // lines
        shown = as_images(np.concatenate(list(row["patches"].swapaxes(0, 1))))
        if row["images"] is not None:
            above = as_images(row["images"])
            if above.shape[1:] != shown.shape[1:]:  # the same side for both
                above = np.stack([_resized(a, shown.shape[1]) for a in above])
            shown = np.concatenate([above, shown])
        left = (column * (wide + 0.15) + side) / width
        bottom = 1 - (0.3 + line * (tall * step + 0.16) + tall * step) / height
        place = (left, bottom, step * len(labels) / width, tall * step / height)
        ax = figure.add_axes(place)
        centres = thumbnails(ax, shown, len(labels), gap=0.08)
        ax.set_anchor("NW")
        middle = (centres[0][1] + centres[-1][1]) / 2
        ax.text(
            -0.15, middle - 0.14, row["title"], ha="right", va="center", weight="bold", fontsize=8.5
        )
        ax.text(-0.15, middle + 0.22, row["note"], ha="right", va="center", fontsize=7.5)
        if line == 0:
            for (x, _), label in zip(centres, labels, strict=False):
                ax.text(x, -0.12, label, ha="center", fontsize=7.5)
    return figure


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray((image * 255).round().astype(np.uint8))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) / 255


@styled
def compared_methods(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """How well each attribute predicts its best dimension, by method, layers below each other.

    Args:
        tables: The table of `LayerStudy.best` of each layer.

    Returns:
        The figure.
    """
    names = [*(c for c in next(iter(tables.values())) if c != "all"), "all"]
    lines = [(layer, method) for layer, table in tables.items() for method in table.index]
    shown = np.stack([tables[layer].loc[method, names] for layer, method in lines])
    figure, ax = plt.subplots(
        figsize=(2.3 + 0.5 * len(names), 1.0 + 0.24 * len(lines)), layout="constrained"
    )
    image = ax.imshow(shown, vmin=0, vmax=1, cmap="cividis", aspect="auto")
    for y, values in enumerate(shown):
        for x, value in enumerate(values):
            shown_ = f"{max(value, 0):.2f}".lstrip("0")
            ax.text(
                x,
                y,
                shown_,
                ha="center",
                va="center",
                fontsize=6.5,
                color="black" if value > 0.6 else "white",
            )
    ax.set(xticks=range(len(names)), yticks=range(len(lines)))
    ax.set_xticklabels(names, rotation=45, ha="right")
    ax.set_yticklabels([method for _, method in lines])
    ax.tick_params(length=0)
    for y, (layer, _) in enumerate(lines):
        if y and layer != lines[y - 1][0]:
            ax.axhline(y - 0.5, color="white", lw=3)
        if not y or layer != lines[y - 1][0]:
            middle = y + (len(tables[layer]) - 1) / 2
            ax.annotate(
                layer,
                (0, middle),
                (-92, 0),
                ("axes fraction", "data"),
                "offset points",
                rotation=90,
                ha="center",
                va="center",
                weight="bold",
                fontsize=8.5,
            )
    figure.colorbar(image, ax=ax, label="R², held-out images", shrink=0.6, aspect=18)
    return figure


@styled
def named_dimensions(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """How much of each dimension measured attributes explain, a panel for each layer.

    Args:
        tables: The table of `explained_by` of each layer.

    Returns:
        The figure.
    """
    names = [c for c in next(iter(tables.values())) if c != "all"]
    rows = max(map(len, tables.values()))
    figure, axes = plt.subplots(
        1,
        len(tables),
        figsize=(0.9 + 2.0 * len(tables), 1.5 + 0.2 * rows),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    for ax, (layer, table) in zip(axes[0], tables.items(), strict=True):
        image = ax.imshow(table[[*names, "all"]], vmin=0, vmax=1, cmap="cividis", aspect="auto")
        for y in range(len(table)):
            for x, name in enumerate([*names, "all"]):
                value = table[name].iloc[y]
                if value >= 0.2:
                    ax.text(
                        x,
                        y,
                        f"{value:.1f}".lstrip("0"),
                        ha="center",
                        va="center",
                        fontsize=6,
                        color="black" if value > 0.6 else "white",
                    )
        ax.set_xticks(range(len(names) + 1))
        ax.set_xticklabels([*names, "all"], rotation=60, ha="right")
        ax.set_yticks(range(rows))
        ax.set_title(layer)
    axes[0, 0].set_ylabel("dimension")
    figure.colorbar(image, ax=axes, label="R², held-out images", shrink=0.8, aspect=15)
    return figure


@styled
def rotation_shares(tables: Mapping[str, pd.DataFrame], most: int = 4) -> Figure:
    """How much of each dimension's variance rotating the image makes, by angular frequency.

    Args:
        tables: The table of `group_directions` of each layer.
        most: The highest frequency with a colour of its own; the rest is one colour.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(
        1,
        len(tables),
        figsize=(1.0 + 2.2 * len(tables), 2.7),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    colours = [PALE, *(OKABE_ITO[c] for c in ("vermilion", "blue", "orange", "green"))]
    for ax, (layer, table) in zip(axes[0], tables.items(), strict=True):
        order = np.argsort(-table.rotation.to_numpy(), kind="stable")
        share = table[[c for c in table if c.startswith("frequency")]].to_numpy()[order]
        start = np.zeros(len(order))
        for m in range(min(most, share.shape[1] - 1), -1, -1):  # what does not rotate goes on top
            at = share[:, m]
            ax.bar(
                range(len(order)),
                at,
                bottom=start,
                color=colours[m],
                width=0.9,
                label="unchanged" if m == 0 else f"frequency {m}",
            )
            start = start + at
            if m == 1:
                rest = 1 - share[:, : most + 1].sum(1)
                ax.bar(
                    range(len(order)),
                    rest,
                    bottom=start,
                    color="#6E6E6E",
                    width=0.9,
                    label="higher",
                )
                start = start + rest
        ax.set(title=layer, xlabel="dimension", ylim=(0, 1), xticks=range(len(order)))
        ax.set_xticklabels(order, fontsize=6)
        ax.tick_params(axis="x", length=0)
    axes[0, 0].set_ylabel("share of variance")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure
