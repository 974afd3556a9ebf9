"""Figures of the companion studies; see `gc_utils.plots` for the look they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gc_utils.plots import (
    GREY,
    OKABE_ITO,
    PALE,
    over_angle,
    pictures,
    polar_axes,
    styled,
    thumbnails,
)
from gc_utils.studies.missing_curves import RadialTuning, gaps

UNITS = {"neurons": OKABE_ITO["orange"], "features": OKABE_ITO["blue"]}
FURTHER = (OKABE_ITO["green"], OKABE_ITO["purple"], GREY)


# ------------------------------------------------------------------- 06: missing curve detectors


def _polar_style(ax: Axes, high: float) -> None:
    ax.set_ylim(0, high)
    ax.set_yticks([high / 2, high])
    polar_axes(ax)


def _draw_tuning(ax: Axes, angles: np.ndarray, curve: np.ndarray, colour: str) -> None:
    """One radial curve, filled, as a share of its highest answer."""
    share = np.append(curve, curve[0]) / max(float(curve.max()), 1e-12)
    turn = np.deg2rad(np.append(angles, angles[0] + 360))
    ax.plot(turn, share, color=colour, lw=1.5)
    ax.fill(turn, share, color=colour, alpha=0.18, lw=0)


@styled
def radial_plots(
    tuning: RadialTuning,
    units: Sequence[int],
    *,
    images=None,
    colour: str = UNITS["features"],
    columns: int = 6,
    noun: str = "feature",
) -> Figure:
    """Radial tuning curves, each below what its unit looks for.

    A line marks the preferred orientation, the arc on the rim its interval. The centre is no
    answer, the rim the unit's highest.

    Args:
        tuning: from `radial_tuning`.
        units: which units.
        images: for each unit a few pictures `(k, 3, S, S)` or `(k, S, S, 3)`, or None for none.
        colour: of the curves.
        columns: plots a row.
        noun: what a unit is.
    """
    columns = min(columns, len(units))
    rows = -(-len(units) // columns)
    wide, above, below = 1.62, (0.86 if images is not None else 0.0), 1.95  # inches
    width, height = wide * columns + 0.25, (above + below) * rows
    figure = plt.figure(figsize=(width, height))
    for n, unit in enumerate(units):
        row, column = divmod(n, columns)
        left, top = 0.2 + wide * column, height - row * (above + below)

        def place(x: float, y: float, w: float, h: float, left=left, top=top):
            """An axes' rectangle from inches, y down from the top of the plot."""
            return ((left + x) / width, (top - y - h) / height, w / width, h / height)

        if images is not None:
            ax = figure.add_axes(place(0.05, 0.04, wide - 0.2, above - 0.06))
            thumbnails(ax, images[n])
            ax.set_anchor("C")
        rect = place(0.19, above + 0.5, 1.25, 1.25)
        ax = figure.add_axes(rect, projection="polar")
        _draw_tuning(ax, tuning.angles, tuning.curves[unit], colour)
        found = tuning.table.loc[unit]
        ax.plot([np.deg2rad(found.preferred)] * 2, [0, 1], color=OKABE_ITO["black"], lw=1)
        ends = np.deg2rad(np.linspace(found.low, found.high, 20))
        ax.plot(ends, np.full(20, 1.0), color=OKABE_ITO["black"], lw=3, solid_capstyle="butt")
        _polar_style(ax, 1.0)
        if n:  # neighbours' labels would touch
            ax.set_xticklabels([])
        title = f"{noun} {unit} · {found.preferred:.0f}°"
        ax.text(0.5, 1.32, title, transform=ax.transAxes, ha="center", fontsize=8, weight="bold")
    return figure


@styled
def coverage_rings(
    rings: Mapping[str, Sequence[float]], *, least: float = 30.0, title: str = ""
) -> Figure:
    """Preferred orientations around the circle: a ring for each set of units.

    Every unit is a tick. Arcs of at least `least` degrees without a unit are shaded, with their
    width. Rings are drawn side by side, so that none is longer than another.

    Args:
        rings: name → preferred orientations in degrees.
        least: smallest gap that is shaded.
        title: over the figure.
    """
    names = list(rings)
    figure, axes = plt.subplots(
        1, len(names), figsize=(2.35 * len(names), 2.75), subplot_kw={"projection": "polar"},
        squeeze=False,
    )  # fmt: skip
    figure.subplots_adjust(left=0.03, right=0.97, top=0.74, bottom=0.06, wspace=0.3)
    further = iter(FURTHER * len(names))
    for ax, name in zip(axes[0], names, strict=True):
        angles = np.asarray(rings[name], dtype=float)
        angles = angles[~np.isnan(angles)]
        colour = next((c for word, c in UNITS.items() if word in name), None) or next(further)
        for a in np.deg2rad(angles):
            ax.plot([a, a], [0.72, 1.0], color=colour, lw=1.1, alpha=0.8)
        for start, end in gaps(angles, least):
            arc = np.deg2rad(np.linspace(start, end, 60))
            ax.fill_between(arc, 0.72, 1.0, color="#E9E9E9", lw=0)
            middle = np.deg2rad((start + end) / 2)
            if end - start < 359.9:
                ax.text(middle, 0.52, f"{end - start:.0f}°", ha="center", va="center", fontsize=7.5)
        ax.text(0, 0, f"{len(angles)}", ha="center", va="center", fontsize=11, weight="bold",
                color=colour)  # fmt: skip
        ax.set_ylim(0, 1)
        ax.set_yticks([])
        ax.set_thetagrids([0, 90, 180, 270], ["0°", "90°", "180°", "270°"])
        ax.tick_params(pad=-2, labelsize=7)
        ax.grid(False)
        ax.spines["polar"].set(color=PALE, linewidth=0.8)
        ax.set_title(name, fontsize=8.5, loc="center", pad=10)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
    return figure


@styled
def split_plots(
    neurons: RadialTuning, features: RadialTuning, table: pd.DataFrame, *, most: int = 4
) -> Figure:
    """Neurons with two preferred orientations, and the features that write to them at each.

    Args:
        neurons, features: radial tuning.
        table: from `split_doubles`; its first rows are drawn.
        most: rows at most.
    """
    shown = table[(table.feature1 >= 0) & (table.feature2 >= 0)].head(most)
    figure, axes = plt.subplots(
        max(1, len(shown)), 3, figsize=(5.2, 1.75 * max(1, len(shown)) + 0.2),
        subplot_kw={"projection": "polar"}, squeeze=False,
    )  # fmt: skip
    figure.subplots_adjust(left=0.04, right=0.96, top=0.9, bottom=0.05, hspace=0.55, wspace=0.35)
    for row, (_, r) in zip(axes, shown.iterrows(), strict=False):
        for ax, unit, tuning, colour, name in (
            (row[0], r.neuron, neurons, UNITS["neurons"], f"neuron {r.neuron}"),
            (row[1], r.feature1, features, UNITS["features"], f"feature {r.feature1}"),
            (row[2], r.feature2, features, UNITS["features"], f"feature {r.feature2}"),
        ):
            _draw_tuning(ax, tuning.angles, tuning.curves[int(unit)], colour)
            _polar_style(ax, 1.0)
            ax.set_title(name, fontsize=8, loc="center", pad=8)
        for ax, at in zip(row, ((r["first"], r["second"]), (r["first"],), (r["second"],)),
                          strict=True):  # fmt: skip
            for a in at:
                ax.plot([np.deg2rad(a)] * 2, [0, 1], color=OKABE_ITO["black"], lw=1, ls=":")
    return figure


@styled
def unmatched_features(rows: Sequence[dict], tuning: RadialTuning) -> Figure:
    """Features that no neuron is like: top patches, radial tuning, and the best match.

    Args:
        rows: for each feature `feature`, `patches` `(k, S, S, 3)`, `label`, `cosine`,
            `correlation`.
        tuning: radial tuning of the features.
    """
    most = max(len(r["patches"]) for r in rows)
    figure = plt.figure(figsize=(2.9 + 0.72 * most, 1.2 * len(rows) + 0.1))
    grid = figure.add_gridspec(
        len(rows), 3, width_ratios=[1.45, 0.72 * most, 1.0], left=0.01, right=0.98, top=0.97,
        bottom=0.05, hspace=0.3, wspace=0.05,
    )  # fmt: skip
    for n, r in enumerate(rows):
        words = figure.add_subplot(grid[n, 0])
        words.set_axis_off()
        words.text(0, 0.78, f"feature {r['feature']}", weight="bold", fontsize=8.5)
        words.text(0, 0.52, r["label"], fontsize=8)
        words.text(
            0, 0.12, f"best neuron\ncosine {r['cosine']:.2f}, corr. {r['correlation']:.2f}",
            fontsize=7.5, color="#444444",
        )  # fmt: skip
        thumbnails(figure.add_subplot(grid[n, 1]), r["patches"], most)
        ax = figure.add_subplot(grid[n, 2], projection="polar")
        _draw_tuning(ax, tuning.angles, tuning.curves[r["feature"]], UNITS["features"])
        _polar_style(ax, 1.0)
        ax.set_thetagrids([0, 90, 180, 270], [""] * 4)
    return figure


@styled
def echoes(table: pd.DataFrame) -> Figure:
    """How strongly curve detectors answer to the curve turned by 180 degrees, by layer.

    Args:
        table: one row a unit: `layer`, `units` (which set), `echo`.
    """
    layers = list(dict.fromkeys(table.layer))
    names = list(dict.fromkeys(table.units))
    figure, ax = plt.subplots(figsize=(1.6 + 1.15 * len(layers), 2.7), layout="constrained")
    rng = np.random.default_rng(0)
    for n, name in enumerate(names):
        for x, layer in enumerate(layers):
            here = table[(table.layer == layer) & (table.units == name)].echo.dropna().to_numpy()
            at = x + 0.3 * (n - (len(names) - 1) / 2)
            if not len(here):
                continue
            spread = at + rng.uniform(-0.06, 0.06, len(here))
            colour = UNITS.get(name, GREY)
            ax.plot(spread, here, ".", ms=4, alpha=0.45, color=colour, mew=0)
            ax.plot([at - 0.1, at + 0.1], [np.median(here)] * 2, color=colour, lw=2.5,
                    label=name if x == 0 else None)  # fmt: skip
    ax.set(ylabel="answer at 180° / at 0°", ylim=(-0.03, 1.03), xticks=range(len(layers)))
    ax.set_xticklabels(layers)
    ax.grid(axis="y")
    handles = [plt.Line2D([], [], color=UNITS.get(n, GREY), lw=2.5, label=n) for n in names]
    ax.legend(handles=handles, loc="upper right", title="median", title_fontsize=8)
    return figure


@styled
def block_echoes(profiles, angles: Sequence[float]) -> Figure:
    """Block profiles of a group crosscoder's curve features, a thin line each, and their median.

    Args:
        profiles: `(features, K)`, cosine with the identity's block after turning.
        angles: degrees, of the `K` rotations.
    """
    profiles = np.asarray(profiles, dtype=float)
    figure, ax = plt.subplots(figsize=(4.2, 2.7), layout="constrained")
    turn, closed = np.append(angles, 360.0), np.c_[profiles, profiles[:, :1]]
    for n, profile in enumerate(closed):
        ax.plot(turn, profile, color=UNITS["features"], lw=0.7, alpha=0.4,
                label=None if n else "a curve feature")  # fmt: skip
    ax.plot(turn, np.median(closed, 0), color=OKABE_ITO["black"], lw=2, label="median")
    over_angle(ax)
    ax.set_ylabel("block profile")
    ax.legend(loc="upper center")
    return figure


@styled
def ring_spans(table: pd.DataFrame) -> Figure:
    """How much of the ring of curve responses a few directions of each kind span.

    Args:
        table: `dimensions`, `kind`, `share`.
    """
    figure, ax = plt.subplots(figsize=(4.6, 2.7), layout="constrained")
    colours = list(OKABE_ITO.values())
    for (kind, here), colour in zip(table.groupby("kind", sort=False), (colours[0], colours[5],
                                    colours[6], colours[3]), strict=False):  # fmt: skip
        ax.plot(here.dimensions, here.share, "o-", color=colour, label=kind, ms=5)
    ax.set(xlabel="directions", ylabel="share of the ring's variance", ylim=(0, 1.02))
    ax.set_xticks(sorted(table.dimensions.unique()))
    ax.grid(True)
    ax.legend(loc="lower right")
    return figure


@styled
def hidden_tuning(result: dict, orientations: Sequence[float], hidden: Sequence[float]) -> Figure:
    """The hidden bank: which orientations have units, and which the features answer to.

    Args:
        result: from `hidden_trial`.
        orientations: of the bright curves that have a unit of their own.
        hidden: of those that have none.
    """
    figure, ax = plt.subplots(
        figsize=(3.6, 3.3), subplot_kw={"projection": "polar"}, layout="constrained"
    )
    curves = np.asarray(result["curves"])
    turn = np.deg2rad(np.append(result["angles"], 360))
    for curve in curves[curves.max(1) > 0.2 * curves.max()]:
        ax.plot(turn, np.append(curve, curve[0]), color=UNITS["features"], lw=1, alpha=0.6)
    high = float(curves.max())
    for angles, colour, name in (
        (orientations, UNITS["neurons"], "has a unit"),
        (hidden, OKABE_ITO["black"], "hidden"),
    ):
        ax.plot(np.deg2rad(angles), np.full(len(angles), 1.1 * high), "o", ms=6, color=colour,
                label=name, clip_on=False)  # fmt: skip
    _polar_style(ax, 1.1 * high)
    ax.plot([], [], color=UNITS["features"], label="a feature's answer")
    ax.legend(loc="lower left", bbox_to_anchor=(-0.2, -0.12))
    return figure


# ------------------------------------------------------------------------ 07: tuning dimensions


@styled
def recovered(table: pd.DataFrame) -> Figure:
    """How much of each attribute's entropy one dimension carries, by method.

    A filled dot is above chance, an empty one is not; runs of other seeds are small.

    Args:
        table: rows of `recovered_dimensions`, with `method` and `seed`; `significant` says
            whether a row is above chance.
    """
    attributes = list(dict.fromkeys(table.attribute))
    methods = list(dict.fromkeys(table.method))
    colours = [OKABE_ITO[c] for c in ("blue", "vermilion", "purple", "black")] + [GREY]
    figure, axes = plt.subplots(
        1, len(attributes), figsize=(1.5 + 1.6 * len(attributes), 0.8 + 0.34 * len(methods)),
        sharey=True, squeeze=False, layout="constrained",
    )  # fmt: skip
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
    """Walks along dimensions: optimised pictures above, the nearest real crops below.

    Args:
        rows: for each dimension `title`, `note`, `pictures` `(K, 3, S, S)` or None, and `patches`
            `(K, count, S, S, 3)`.
        labels: of the walk's points, `K` of them.
        columns: walks side by side.
        tile: inches of a picture.
    """
    tall = rows[0]["patches"].shape[1] + (rows[0]["pictures"] is not None)
    lines = -(-len(rows) // columns)
    side, step = 1.45, tile * 1.08  # inches for words and for a picture with its gap
    wide = side + step * len(labels)
    width, height = columns * (wide + 0.15), lines * (tall * step + 0.16) + 0.3
    figure = plt.figure(figsize=(width, height))
    for n, row in enumerate(rows):
        line, column = n % lines, n // lines
        shown = pictures(np.concatenate(list(row["patches"].swapaxes(0, 1))))
        if row["pictures"] is not None:
            above = pictures(row["pictures"])
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
        ax.text(-0.15, middle - 0.14, row["title"], ha="right", va="center", weight="bold",
                fontsize=8.5)  # fmt: skip
        ax.text(-0.15, middle + 0.22, row["note"], ha="right", va="center", fontsize=7.5)
        if line == 0:
            for (x, _), label in zip(centres, labels, strict=False):
                ax.text(x, -0.12, label, ha="center", fontsize=7.5)
    return figure


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray((picture * 255).round().astype(np.uint8))
    return np.asarray(image.resize((side, side), Image.Resampling.BICUBIC)) / 255


@styled
def compared_methods(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """What each method's best dimension has to do with each attribute, layers below each other.

    Args:
        tables: layer → `LayerStudy.best`.
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
            ax.text(x, y, shown_, ha="center", va="center", fontsize=6.5,
                    color="black" if value > 0.6 else "white")  # fmt: skip
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
                layer, (0, middle), (-92, 0), ("axes fraction", "data"), "offset points",
                rotation=90, ha="center", va="center", weight="bold", fontsize=8.5,
            )  # fmt: skip
    figure.colorbar(image, ax=ax, label="R², held-out pictures", shrink=0.6, aspect=18)
    return figure


@styled
def named_dimensions(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """What measured attributes explain of each dimension, a panel for each layer.

    Args:
        tables: layer → table of `explained_by`.
    """
    names = [c for c in next(iter(tables.values())) if c != "all"]
    rows = max(map(len, tables.values()))
    figure, axes = plt.subplots(
        1, len(tables), figsize=(0.9 + 2.0 * len(tables), 1.5 + 0.2 * rows), squeeze=False,
        sharey=True, layout="constrained",
    )  # fmt: skip
    for ax, (layer, table) in zip(axes[0], tables.items(), strict=True):
        image = ax.imshow(table[[*names, "all"]], vmin=0, vmax=1, cmap="cividis", aspect="auto")
        for y in range(len(table)):
            for x, name in enumerate([*names, "all"]):
                value = table[name].iloc[y]
                if value >= 0.2:
                    ax.text(x, y, f"{value:.1f}".lstrip("0"), ha="center", va="center", fontsize=6,
                            color="black" if value > 0.6 else "white")  # fmt: skip
        ax.set_xticks(range(len(names) + 1))
        ax.set_xticklabels([*names, "all"], rotation=60, ha="right")
        ax.set_yticks(range(rows))
        ax.set_title(layer)
    axes[0, 0].set_ylabel("dimension")
    figure.colorbar(image, ax=axes, label="R², held-out pictures", shrink=0.8, aspect=15)
    return figure


@styled
def turning_shares(tables: Mapping[str, pd.DataFrame], most: int = 4) -> Figure:
    """How much of each dimension's variance turning the picture makes, by angular frequency.

    Args:
        tables: layer → table of `group_directions`.
        most: frequencies drawn apart; the rest is one colour.
    """
    figure, axes = plt.subplots(
        1, len(tables), figsize=(1.0 + 2.2 * len(tables), 2.7), squeeze=False, sharey=True,
        layout="constrained",
    )  # fmt: skip
    colours = [PALE, *(OKABE_ITO[c] for c in ("vermilion", "blue", "orange", "green"))]
    for ax, (layer, table) in zip(axes[0], tables.items(), strict=True):
        order = np.argsort(-table.turning.to_numpy(), kind="stable")
        share = table[[c for c in table if c.startswith("frequency")]].to_numpy()[order]
        start = np.zeros(len(order))
        for m in range(min(most, share.shape[1] - 1), -1, -1):  # what does not turn goes on top
            at = share[:, m]
            ax.bar(range(len(order)), at, bottom=start, color=colours[m], width=0.9,
                   label="unchanged" if m == 0 else f"frequency {m}")  # fmt: skip
            start = start + at
            if m == 1:
                rest = 1 - share[:, : most + 1].sum(1)
                ax.bar(range(len(order)), rest, bottom=start, color="#6E6E6E", width=0.9,
                       label="higher")  # fmt: skip
                start = start + rest
        ax.set(title=layer, xlabel="dimension", ylim=(0, 1), xticks=range(len(order)))
        ax.set_xticklabels(order, fontsize=6)
        ax.tick_params(axis="x", length=0)
    axes[0, 0].set_ylabel("share of variance")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure
