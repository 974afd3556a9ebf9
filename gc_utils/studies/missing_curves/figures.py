"""Figures of notebook 06."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gc_utils.figures.parts import over_angle, polar_axes, thumbnails
from gc_utils.figures.style import GREY, OKABE_ITO, PALE, styled
from gc_utils.studies.missing_curves.coverage import gaps
from gc_utils.studies.missing_curves.radial_tuning import RadialTuning

UNITS = {"neurons": OKABE_ITO["orange"], "features": OKABE_ITO["blue"]}
FURTHER = (OKABE_ITO["green"], OKABE_ITO["purple"], GREY)


def _polar_style(ax: Axes, high: float) -> None:
    ax.set_ylim(0, high)
    ax.set_yticks([high / 2, high])
    polar_axes(ax)


def _draw_tuning(ax: Axes, angles: np.ndarray, curve: np.ndarray, colour: str) -> None:
    """One radial curve, filled, as a share of its highest response."""
    share = np.append(curve, curve[0]) / max(float(curve.max()), 1e-12)
    theta = np.deg2rad(np.append(angles, angles[0] + 360))
    ax.plot(theta, share, color=colour, lw=1.5)
    ax.fill(theta, share, color=colour, alpha=0.18, lw=0)


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
    """Radial tuning curves, each below images that excite its unit.

    A line marks the preferred orientation, the arc on the rim its interval. The centre is no
    response, the rim the unit's highest.

    Args:
        tuning: Tuning from `radial_tuning`.
        units: The numbers of the units.
        images: For each unit a few images `(k, 3, S, S)` or `(k, S, S, 3)`; None for none.
        colour: The colour of the curves.
        columns: The number of plots of a row.
        noun: What a unit is called.

    Returns:
        The figure.
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
        rings: The preferred orientations in degrees of each set, by name.
        least: The smallest gap in degrees that is shaded.
        title: The title of the figure.

    Returns:
        The figure.
    """
    names = list(rings)
    figure, axes = plt.subplots(
        1,
        len(names),
        figsize=(2.35 * len(names), 2.75),
        subplot_kw={"projection": "polar"},
        squeeze=False,
    )
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
        ax.text(
            0,
            0,
            f"{len(angles)}",
            ha="center",
            va="center",
            fontsize=11,
            weight="bold",
            color=colour,
        )
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
        neurons, features: The radial tuning of both.
        table: A table from `split_doubles`; its first rows are drawn.
        most: The number of rows at most.

    Returns:
        The figure.
    """
    shown = table[(table.feature1 >= 0) & (table.feature2 >= 0)].head(most)
    figure, axes = plt.subplots(
        max(1, len(shown)),
        3,
        figsize=(5.2, 1.75 * max(1, len(shown)) + 0.2),
        subplot_kw={"projection": "polar"},
        squeeze=False,
    )
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
        for ax, at in zip(
            row, ((r["first"], r["second"]), (r["first"],), (r["second"],)), strict=True
        ):
            for a in at:
                ax.plot([np.deg2rad(a)] * 2, [0, 1], color=OKABE_ITO["black"], lw=1, ls=":")
    return figure


@styled
def unmatched_features(rows: Sequence[dict], tuning: RadialTuning) -> Figure:
    """Features that no neuron is similar to: top patches, radial tuning, and the best match.

    Args:
        rows: For each feature a dictionary of `feature`, `patches` `(k, S, S, 3)`, `label`,
            `cosine` and `correlation`.
        tuning: The radial tuning of the features.

    Returns:
        The figure.
    """
    most = max(len(r["patches"]) for r in rows)
    figure = plt.figure(figsize=(2.9 + 0.72 * most, 1.2 * len(rows) + 0.1))
    grid = figure.add_gridspec(
        len(rows),
        3,
        width_ratios=[1.45, 0.72 * most, 1.0],
        left=0.01,
        right=0.98,
        top=0.97,
        bottom=0.05,
        hspace=0.3,
        wspace=0.05,
    )
    for n, r in enumerate(rows):
        words = figure.add_subplot(grid[n, 0])
        words.set_axis_off()
        words.text(0, 0.78, f"feature {r['feature']}", weight="bold", fontsize=8.5)
        words.text(0, 0.52, r["label"], fontsize=8)
        words.text(
            0,
            0.12,
            f"best neuron\ncosine {r['cosine']:.2f}, corr. {r['correlation']:.2f}",
            fontsize=7.5,
            color="#444444",
        )
        thumbnails(figure.add_subplot(grid[n, 1]), r["patches"], most)
        ax = figure.add_subplot(grid[n, 2], projection="polar")
        _draw_tuning(ax, tuning.angles, tuning.curves[r["feature"]], UNITS["features"])
        _polar_style(ax, 1.0)
        ax.set_thetagrids([0, 90, 180, 270], [""] * 4)
    return figure


@styled
def echoes(table: pd.DataFrame) -> Figure:
    """How strongly curve detectors respond to the curve rotated by 180 degrees, by layer.

    Args:
        table: A table with one row a unit: `layer`, `units` (which set), `echo`.

    Returns:
        The figure.
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
            ax.plot(
                [at - 0.1, at + 0.1],
                [np.median(here)] * 2,
                color=colour,
                lw=2.5,
                label=name if x == 0 else None,
            )
    ax.set(ylabel="response at 180° / at 0°", ylim=(-0.03, 1.03), xticks=range(len(layers)))
    ax.set_xticklabels(layers)
    ax.grid(axis="y")
    handles = [plt.Line2D([], [], color=UNITS.get(n, GREY), lw=2.5, label=n) for n in names]
    ax.legend(handles=handles, loc="upper right", title="median", title_fontsize=8)
    return figure


@styled
def block_echoes(profiles, angles: Sequence[float]) -> Figure:
    """Block profiles of a group crosscoder's curve features, a thin line each, and their median.

    Args:
        profiles: The cosine of each rotation's block with the identity's, `(features, K)`.
        angles: The angles of the `K` rotations in degrees.

    Returns:
        The figure.
    """
    profiles = np.asarray(profiles, dtype=float)
    figure, ax = plt.subplots(figsize=(4.2, 2.7), layout="constrained")
    theta, closed = np.append(angles, 360.0), np.c_[profiles, profiles[:, :1]]
    for n, profile in enumerate(closed):
        ax.plot(
            theta,
            profile,
            color=UNITS["features"],
            lw=0.7,
            alpha=0.4,
            label=None if n else "a curve feature",
        )
    ax.plot(theta, np.median(closed, 0), color=OKABE_ITO["black"], lw=2, label="median")
    over_angle(ax)
    ax.set_ylabel("block profile")
    ax.legend(loc="upper center")
    return figure


@styled
def ring_spans(table: pd.DataFrame) -> Figure:
    """How much of the ring of curve responses a few directions of each kind span.

    Args:
        table: A table of `dimensions`, `kind`, `share`, from `ring_spans`.

    Returns:
        The figure.
    """
    figure, ax = plt.subplots(figsize=(4.6, 2.7), layout="constrained")
    colours = list(OKABE_ITO.values())
    for (kind, here), colour in zip(
        table.groupby("kind", sort=False),
        (colours[0], colours[5], colours[6], colours[3]),
        strict=False,
    ):
        ax.plot(here.dimensions, here.share, "o-", color=colour, label=kind, ms=5)
    ax.set(xlabel="directions", ylabel="share of the ring's variance", ylim=(0, 1.02))
    ax.set_xticks(sorted(table.dimensions.unique()))
    ax.grid(True)
    ax.legend(loc="lower right")
    return figure


@styled
def hidden_tuning(result: dict, orientations: Sequence[float], hidden: Sequence[float]) -> Figure:
    """The hidden bank: which orientations have units, and which the features respond to.

    Args:
        result: A result of `hidden_trial`.
        orientations: The orientations in degrees of bright curves with a unit of their own.
        hidden: The orientations of those without.

    Returns:
        The figure.
    """
    figure, ax = plt.subplots(
        figsize=(3.6, 3.3), subplot_kw={"projection": "polar"}, layout="constrained"
    )
    curves = np.asarray(result["curves"])
    theta = np.deg2rad(np.append(result["angles"], 360))
    for curve in curves[curves.max(1) > 0.2 * curves.max()]:
        ax.plot(theta, np.append(curve, curve[0]), color=UNITS["features"], lw=1, alpha=0.6)
    high = float(curves.max())
    for angles, colour, name in (
        (orientations, UNITS["neurons"], "has a unit"),
        (hidden, OKABE_ITO["black"], "hidden"),
    ):
        ax.plot(
            np.deg2rad(angles),
            np.full(len(angles), 1.1 * high),
            "o",
            ms=6,
            color=colour,
            label=name,
            clip_on=False,
        )
    _polar_style(ax, 1.1 * high)
    ax.plot([], [], color=UNITS["features"], label="a feature's response")
    ax.legend(loc="lower left", bbox_to_anchor=(-0.2, -0.12))
    return figure
