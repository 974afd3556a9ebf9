"""Figures of notebook 07."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gc_utils.figures.methods import method_look
from gc_utils.figures.parts import as_images, thumbnails
from gc_utils.figures.style import (
    DASHED,
    GREY,
    NOTE,
    OKABE_ITO,
    PALE,
    SMALL,
    WIDTH,
    styled,
)
from gc_utils.inspection.decompositions import BASELINE

NAMED = 0.2  # R² from which a number is written into a cell
GROUP_DIRECTION = 0.5  # share of a dimension's variance that rotation makes, at least


@styled
def recovered(table: pd.DataFrame) -> Figure:
    """How much of each attribute's entropy one dimension carries, by method.

    A filled mark is above chance, a hollow one is not; other draws are small. The dashed line is
    the mean of random directions.

    Args:
        table: Rows of `recovered_dimensions`, with `method`, `seed`, and `significant`, whether
            a row is above chance.

    Returns:
        The figure.
    """
    attributes = list(dict.fromkeys(table.attribute))
    methods = list(dict.fromkeys(table.method))
    figure, axes = plt.subplots(
        1,
        len(attributes),
        figsize=(WIDTH, 1.2 + 0.36 * len(methods)),
        sharey=True,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    high = 1.5 * max(0.05, float(table.share.max()))  # with room for numbers at the right
    for ax, attribute in zip(axes[0], attributes, strict=True):
        for y, method in enumerate(methods):
            here = table[(table.attribute == attribute) & (table.method == method)]
            look, mean = method_look(method, order=y), here.share.mean()
            ax.plot(here.share, [y] * len(here), ".", ms=4, color=look.colour, alpha=0.5)
            face = look.colour if here.significant.all() else "white"
            ax.plot(mean, y, look.marker, ms=7.5, mec=look.colour, mfc=face, clip_on=False)
            number = {"ha": "right", "va": "center", "fontsize": SMALL}
            ax.text(high, y, f"{100 * mean:.0f} %", **number)
            if method == BASELINE:
                ax.axvline(mean, color=GREY, lw=1.2, ls=DASHED, zorder=0)
        ax.set_title(f"“{attribute}”" if attribute == "nothing" else attribute)
        ax.set(ylim=(len(methods) - 0.5, -0.5), yticks=range(len(methods)), xlim=(0, high))
        ax.set_yticklabels(methods)
        ax.xaxis.set_major_formatter(lambda x, _: f"{100 * x:.0f} %")
        ax.xaxis.set_major_locator(plt.MaxNLocator(2))
        ax.grid(axis="x")
    figure.supxlabel("share of the attribute's entropy that the best dimension carries", fontsize=9)
    return figure


# ------------------------------------------------------------------------------------------- walks


@styled
def walks(
    rows: Sequence[dict],
    labels: Sequence[str],
    *,
    columns: int = 1,
    tile: float = 0.74,
    most_contrast: float = 4.0,
) -> Figure:
    """Walks along dimensions: optimised images above, the nearest real crops below.

    Optimised images are faint, as smooth ones are preferred: the contrast of a walk's is raised by
    one factor for all of its images, which is written beside them.

    Args:
        rows: For each dimension `title`, `note`, `images` `(K, 3, S, S)` or None, and `patches`
            `(K, count, S, S, 3)`.
        labels: The labels of the walk's points, `K` of them.
        columns: The number of walks side by side.
        tile: The side of an image in inches.
        most_contrast: The largest factor of the contrast.

    Returns:
        The figure.
    """
    count = rows[0]["patches"].shape[1]
    optimised = rows[0]["images"] is not None
    tall, lines = count + optimised, -(-len(rows) // columns)
    step, heading = tile * 1.06, 0.38  # inches for an image with its gap, and for words above
    side = 0.92 if tall > 1 else 0.05
    wide, block = side + step * len(labels) + 0.18, tall * step + heading
    top = 0.24
    width, height = columns * wide, lines * block + top
    figure = plt.figure(figsize=(width, height))
    for n, row in enumerate(rows):
        column, line = divmod(n, lines)
        left, upper = column * wide + side, top + line * block + heading
        rect = (left, height - upper - tall * step, step * len(labels), tall * step)
        ax = figure.add_axes(np.divide(rect, (width, height, width, height)))
        shown = as_images(np.concatenate(list(row["patches"].swapaxes(0, 1))))
        names = _crop_names(count)
        if optimised:
            above, factor = _raised(as_images(row["images"]), most_contrast)
            if above.shape[1:] != shown.shape[1:]:  # the same side for both
                above = np.stack([_resized(a, shown.shape[1]) for a in above])
            shown = np.concatenate([above, shown])
            names = [f"optimised\ncontrast × {factor:.1f}", *names]
        centres = thumbnails(ax, shown, len(labels), gap=0.06)
        ax.set_anchor("NW")
        title = row["title"] if tall > 1 else row["title"].replace("dimension", "dim.")
        ax.text(0, -0.13, title, weight="bold", fontsize=NOTE)
        note = row["note"].replace("\n", ", ") or "none of the attributes"
        ax.annotate(
            note,
            (0, -0.13),
            (5 + 5.4 * len(title), 0),
            textcoords="offset points",
            fontsize=NOTE,
            color=GREY if not row["note"] else "black",
            annotation_clip=False,
        )
        if tall > 1:
            for i, name in enumerate(names):
                y = centres[i * len(labels)][1]
                ax.text(-0.1, y, name, ha="right", va="center", fontsize=SMALL)
        if line == 0:
            for (x, _), label in zip(centres, labels, strict=False):
                ax.text(x, -0.13 - 0.24 / tile, label, ha="center", fontsize=NOTE)
    return figure


def _crop_names(count: int) -> list[str]:
    """What the rows of crops are called."""
    return ["nearest crop", "2nd nearest", *(f"{n}th nearest" for n in range(3, count + 1))][:count]


def _raised(images: np.ndarray, most: float) -> tuple[np.ndarray, float]:
    """Images with their contrast around mid-grey raised by one factor, and the factor."""
    reach = float(np.quantile(np.abs(images - 0.5), 0.995))
    factor = float(np.clip(0.5 / max(reach, 1e-6), 1.0, most))
    return np.clip(0.5 + factor * (images - 0.5), 0, 1), factor


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray((image * 255).round().astype(np.uint8))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) / 255


# --------------------------------------------------------------------------------- named dimensions


@styled
def compared_methods(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """How well each attribute predicts its best dimension, by method, layers below each other.

    The highest R² of an attribute in a layer has a frame, random directions aside.

    Args:
        tables: The table of `LayerStudy.best` of each layer.

    Returns:
        The figure.
    """
    names = [*(c for c in next(iter(tables.values())) if c != "all"), "all"]
    figure, axes = plt.subplots(
        len(tables),
        1,
        figsize=(7.6, 1.1 + 0.27 * sum(map(len, tables.values())) + 0.12 * len(tables)),
        sharex=True,
        squeeze=False,
        layout="constrained",
        height_ratios=[len(table) for table in tables.values()],
    )
    for ax, (layer, table) in zip(axes[:, 0], tables.items(), strict=True):
        values = table[names]
        image = ax.imshow(values, vmin=0, vmax=1, aspect="auto")
        for (y, x), value in np.ndenumerate(values.to_numpy()):
            _number(ax, x, y, value, f"{max(value, 0):.2f}")
        own = values[[m != BASELINE for m in values.index]]
        for x, name in enumerate(names):
            if len(own) and own[name].max() >= 0.005:
                y = list(values.index).index(own[name].idxmax())
                frame = {"fill": False, "ec": OKABE_ITO["vermilion"], "lw": 1.8}
                ax.add_patch(plt.Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, **frame))
        ax.set(xticks=range(len(names)), yticks=range(len(table)))
        ax.set_yticklabels(table.index)
        ax.set_ylabel(layer, weight="bold")
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    axes[0, 0].tick_params(labeltop=True, labelbottom=False)
    axes[0, 0].set_xticks(range(len(names)), names)
    for ax in axes[1:, 0]:
        ax.tick_params(labelbottom=False)
    bar = figure.colorbar(image, ax=axes[:, 0], shrink=0.5, aspect=20)
    bar.set_label("R² on held-out images (framed: the best method)")
    return figure


def _number(ax: Axes, x: int, y: int, value: float, text: str) -> None:
    """A number in a cell of a heat map, black or white, whichever is readable."""
    colour = "black" if value > 0.55 else "white"
    ax.text(x, y, text, ha="center", va="center", fontsize=SMALL, color=colour)


@styled
def named_dimensions(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """How much of each dimension measured attributes explain, a panel for each layer.

    Args:
        tables: The table of `explained_by` of each layer.

    Returns:
        The figure.
    """
    names = [*(c for c in next(iter(tables.values())) if c != "all"), "all"]
    columns = min(2, len(tables))
    lines = -(-len(tables) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(WIDTH if columns > 1 else 0.6 * WIDTH, 0.5 + lines * (0.5 + 0.22 * len(names))),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    for ax in axes.flat[len(tables) :]:
        ax.set_visible(False)
    for ax, (layer, table) in zip(axes.flat, tables.items(), strict=False):
        values = table[names].T.to_numpy()
        image = ax.imshow(values, vmin=0, vmax=1, aspect="auto")
        for (y, x), value in np.ndenumerate(values):
            if value >= NAMED:
                _number(ax, x, y, value, f"{value:.1f}".lstrip("0"))
        ax.axhline(len(names) - 1.5, color="white", lw=2)
        ax.set_xticks(range(len(table)))
        ax.set_yticks(range(len(names)), names)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        ax.set_title(layer)
    for ax in axes[-1]:
        ax.set_xlabel("dimension")
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=20)
    bar.set_label(f"R² on held-out images (numbers: {NAMED:g} or more)")
    return figure


@styled
def rotation_shares(
    tables: Mapping[str, pd.DataFrame],
    most: int = 3,
    *,
    random: Mapping[str, pd.DataFrame] | None = None,
) -> Figure:
    """How much of each dimension's variance rotating the image makes, by angular frequency.

    A bar is a dimension, sorted by what rotation makes of it.

    Args:
        tables: The table of `group_directions` of each layer.
        most: The highest frequency with a colour of its own; the rest is one colour.
        random: The same of random directions, whose mean is a dashed line.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(
        1,
        len(tables),
        figsize=(min(WIDTH, 1.2 + 2.0 * len(tables)), 3.3),
        squeeze=False,
        sharey=True,
        layout="constrained",
    )
    colours = [PALE, *(OKABE_ITO[c] for c in ("vermilion", "blue", "orange", "green"))]
    names = ["unchanged", *(f"frequency {m}" for m in range(1, 5))]
    for ax, (layer, table) in zip(axes[0], tables.items(), strict=True):
        order = np.argsort(-table.rotation.to_numpy(), kind="stable")
        share = table[[c for c in table if c.startswith("frequency")]].to_numpy()[order]
        top = min(most, share.shape[1] - 1)
        rest = share[:, top + 1 :].sum(1)  # what rotates fastest stands lowest
        parts = [(rest, "#6E6E6E", "higher")]
        parts += [(share[:, m], colours[m], names[m]) for m in range(top, -1, -1)]
        start = np.zeros(len(order))
        for height, colour, name in parts:
            ax.bar(range(len(order)), height, bottom=start, color=colour, width=0.86, label=name)
            start = start + height
        ax.axhline(GROUP_DIRECTION, color="black", lw=1)
        if random is not None:
            mean = float(random[layer].rotation.mean())
            ax.axhline(mean, color="black", lw=1.3, ls=DASHED)
        ax.set(title=layer, xlabel=f"{len(order)} dimensions, sorted", ylim=(0, 1), xticks=[])
    axes[0, 0].set_ylabel("share of a dimension's variance")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    line = plt.Line2D([], [], color="black", lw=1, label="a group direction from here")
    handles, labels = [*handles[::-1], line], [*labels[::-1], line.get_label()]
    if random is not None:
        line = plt.Line2D([], [], color="black", lw=1.3, ls=DASHED)
        handles, labels = [*handles, line], [*labels, f"mean of {BASELINE}"]
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure
