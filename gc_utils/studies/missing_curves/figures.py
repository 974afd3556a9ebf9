"""Figures of notebook 06."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gc_utils.errors import UserError
from gc_utils.figures.methods import METHODS
from gc_utils.figures.parts import over_angle, polar_axes, thumbnails
from gc_utils.figures.style import DASHED, GREY, INK, NOTE, OKABE_ITO, PALE, SMALL, WIDTH, styled
from gc_utils.statistics import apart
from gc_utils.studies.missing_curves.coverage import gaps
from gc_utils.studies.missing_curves.hidden_bank import LEFT_OUT, SUPERPOSED
from gc_utils.studies.missing_curves.manifold import BLOCK, PRINCIPAL, SINGLE
from gc_utils.studies.missing_curves.radial_tuning import RadialTuning

UNITS = {"neurons": OKABE_ITO["orange"], "features": METHODS["sparse autoencoder"].colour}
HIDDEN = OKABE_ITO["vermilion"]
RINGS = {"neurons": UNITS["neurons"], "SAE features": UNITS["features"]}  # any other set is grey
SPANS = {
    PRINCIPAL: (OKABE_ITO["black"], "s"),
    SINGLE: (UNITS["features"], METHODS["sparse autoencoder"].marker),
    BLOCK: (METHODS["blocks of width 4"].colour, METHODS["blocks of width 4"].marker),
}


def _polar_style(ax: Axes, high: float = 1.0) -> None:
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
    wide, above, below = 1.33, (0.72 if images is not None else 0.0), 1.86  # inches
    width, height = wide * columns + 0.2, (above + below) * rows
    figure = plt.figure(figsize=(width, height))
    for n, unit in enumerate(units):
        row, column = divmod(n, columns)
        left, top = 0.1 + wide * column, height - row * (above + below)

        def place(x: float, y: float, w: float, h: float, left=left, top=top):
            """An axes' rectangle from inches, y down from the top of the plot."""
            return ((left + x) / width, (top - y - h) / height, w / width, h / height)

        if images is not None:
            ax = figure.add_axes(place(0.05, 0.04, wide - 0.1, above - 0.06))
            thumbnails(ax, images[n])
            ax.set_anchor("C")
        rect = place(0.24, above + 0.68, wide - 0.48, wide - 0.48)
        ax = figure.add_axes(rect, projection="polar")
        _draw_tuning(ax, tuning.angles, tuning.curves[unit], colour)
        found = tuning.table.loc[unit]
        ax.plot([np.deg2rad(found.preferred)] * 2, [0, 1], color=OKABE_ITO["black"], lw=1)
        ends = np.deg2rad(np.linspace(found.low, found.high, 20))
        ax.plot(ends, np.full(20, 1.0), color=OKABE_ITO["black"], lw=3, solid_capstyle="butt")
        _polar_style(ax)
        ax.tick_params(pad=-3)
        title = f"{noun} {unit}\nprefers {found.preferred:.0f}°"
        x, y = left + wide / 2, top - above - 0.38
        figure.text(x / width, y / height, title, ha="center", fontsize=NOTE, linespacing=1.25)
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
        figsize=(2.6 * len(names), 3.25),
        subplot_kw={"projection": "polar"},
        squeeze=False,
    )
    figure.subplots_adjust(left=0.05, right=0.95, top=0.78, bottom=0.07, wspace=0.32)
    for ax, name in zip(axes[0], names, strict=True):
        angles = np.asarray(rings[name], dtype=float)
        angles = angles[~np.isnan(angles)]
        colour = RINGS.get(name, GREY)
        for a in np.deg2rad(angles):
            ax.plot([a, a], [0.76, 1.0], color=colour, lw=1.6)
        wide = [(start, end) for start, end in gaps(angles, least) if end - start < 359.9]
        for start, end in wide:
            arc = np.deg2rad(np.linspace(start, end, 60))
            ax.fill_between(arc, 0.76, 1.0, color="#E4E4E4", lw=0)
            middle = np.deg2rad((start + end) / 2)
            ax.text(middle, 0.6, f"{end - start:.0f}°", ha="center", va="center", fontsize=SMALL)
        middle = {"ha": "center", "va": "center"}
        ax.text(0, 0, f"{len(angles)}\n", fontsize=14, weight="bold", color=colour, **middle)
        ax.text(0, 0, f"\n{len(wide)} gap{'s' * (len(wide) != 1)}", fontsize=SMALL, **middle)
        ax.set_ylim(0, 1)
        ax.set_yticks([])
        ax.set_thetagrids([0, 90, 180, 270], ["0°", "90°", "180°", "270°"])
        ax.tick_params(pad=-2, labelsize=SMALL)
        ax.grid(False)
        ax.spines["polar"].set(color=PALE, linewidth=0.8)
        ax.set_title(name, loc="center", pad=13)
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return figure


@styled
def split_plots(
    neurons: RadialTuning, features: RadialTuning, table: pd.DataFrame, *, most: int = 4
) -> Figure:
    """Neurons with two preferred orientations, and the features that write to them at each.

    A column is a neuron with its two features below it; dotted lines are the neuron's peaks.

    Args:
        neurons, features: The radial tuning of both.
        table: A table from `split_doubles`; its first rows are drawn.
        most: The number of neurons at most.

    Returns:
        The figure.

    Raises:
        UserError: No neuron of the table has a feature for each of its peaks.
    """
    shown = table[(table.feature1 >= 0) & (table.feature2 >= 0)].head(most)
    if not len(shown):
        raise UserError("no neuron has a feature for each of its peaks: there is nothing to draw")
    columns = len(shown)
    figure, axes = plt.subplots(
        3,
        columns,
        figsize=(1.5 + 1.65 * columns, 5.9),
        subplot_kw={"projection": "polar"},
        squeeze=False,
    )
    left = 1.35 / (1.5 + 1.65 * columns)
    figure.subplots_adjust(left=left, right=0.97, top=0.9, bottom=0.05, hspace=0.75, wspace=0.45)
    names = ("the neuron", "feature that writes\nat its first peak", "… at its second peak")
    for ax, name in zip(axes[:, 0], names, strict=True):
        ax.annotate(
            name,
            (0, 0.5),
            (-28, 0),
            "axes fraction",
            "offset points",
            ha="right",
            va="center",
            fontsize=NOTE,
        )
    for column, (_, r) in zip(axes.T, shown.iterrows(), strict=False):
        rows = (
            (r.neuron, neurons, UNITS["neurons"], (r["first"], r["second"])),
            (r.feature1, features, UNITS["features"], (r["first"],)),
            (r.feature2, features, UNITS["features"], (r["second"],)),
        )
        for ax, (unit, tuning, colour, peaks) in zip(column, rows, strict=True):
            _draw_tuning(ax, tuning.angles, tuning.curves[int(unit)], colour)
            _polar_style(ax)
            ax.tick_params(pad=-3)
            for a in peaks:
                ax.plot([np.deg2rad(a)] * 2, [0, 1], color=OKABE_ITO["black"], lw=1.1, ls=":")
            who = "neuron" if tuning is neurons else "feature"
            ax.set_title(f"{who} {int(unit)}", fontsize=NOTE, loc="center", pad=11)
    return figure


@styled
def unmatched_features(rows: Sequence[dict], tuning: RadialTuning, least: float = 0.5) -> Figure:
    """Features that no neuron is similar to: top patches, radial tuning, and the best match.

    Args:
        rows: For each feature a dictionary of `feature`, `patches` `(k, S, S, 3)`, `label`,
            `cosine` and `correlation`.
        tuning: The radial tuning of the features.
        least: The similarity from which a neuron counts as similar, drawn as a line.

    Returns:
        The figure.
    """
    most = max(len(r["patches"]) for r in rows)
    line, top, bottom = 0.86, 0.5, 0.62  # inches
    height = line * len(rows) + top + bottom
    figure = plt.figure(figsize=(WIDTH, height))
    grid = figure.add_gridspec(
        len(rows),
        4,
        width_ratios=[1.2, 4.4, 0.85, 1.5],
        left=0.01,
        right=0.965,
        top=1 - top / height,
        bottom=bottom / height,
        hspace=0.22,
        wspace=0.12,
    )
    for n, r in enumerate(rows):
        words = figure.add_subplot(grid[n, 0])
        words.set_axis_off()
        words.text(0, 0.54, f"feature {r['feature']}", weight="bold", fontsize=NOTE)
        words.text(0, 0.24, r["label"], fontsize=NOTE)
        thumbnails(figure.add_subplot(grid[n, 1]), r["patches"], most)
        _arc_tuning(figure, grid[n, 2], tuning, r["feature"])
        ax = figure.add_subplot(grid[n, 3])
        _similarities(ax, r, least, last=n == len(rows) - 1)
    for n, words in enumerate(
        ("", "the crops that excite it most", "response\nto arcs", "its most similar neuron")
    ):
        place = grid[0, n].get_position(figure)
        figure.text(place.x0, 1 - (top - 0.08) / height, words, fontsize=NOTE, va="bottom")
    return figure


def _arc_tuning(figure: Figure, place, tuning: RadialTuning, unit: int) -> None:
    """The radial tuning of a unit, or that it does not respond to arcs at all."""
    curve = tuning.curves[unit]
    if curve.max() > 0:
        ax = figure.add_subplot(place, projection="polar")
        _draw_tuning(ax, tuning.angles, curve, UNITS["features"])
        _polar_style(ax)
        ax.set_xticklabels([])
    else:
        ax = figure.add_subplot(place)
        ax.set_axis_off()
        ax.text(0.5, 0.5, "none", ha="center", va="center", fontsize=NOTE, color=GREY)


def _similarities(ax: Axes, row: Mapping, least: float, *, last: bool) -> None:
    """Bars of the similarity of a feature's best neuron, beside what counts as similar."""
    names = ("cosine", "correlation")
    values = [float(row[name]) for name in names]
    ax.barh((0, 1), values, height=0.55, color=UNITS["features"])
    for y, (name, value) in enumerate(zip(names, values, strict=True)):
        at = max(value, least) + 0.04
        ax.text(at, y, f"{name} {value:.2f}", va="center", fontsize=SMALL)
    ax.axvline(least, color=HIDDEN, lw=1.3, ls=DASHED, zorder=0)
    ax.set(xlim=(0, 1), ylim=(1.6, -0.6), yticks=[], xticks=[0, least, 1])
    if last:
        ax.set_xlabel(f"similar from {least:g} on")
    else:
        ax.set_xticklabels([])


@styled
def echoes(table: pd.DataFrame, *, reported: Sequence[str] = ("conv2d2", "mixed3a")) -> Figure:
    """How strongly curve detectors respond to the curve rotated by 180 degrees, by layer.

    Every detector is a dot; below a layer's name stands how many there are of each set.

    Args:
        table: A table with one row a unit: `layer`, `units` (which set), `echo`.
        reported: The layers for which an echo is reported, which are shaded.

    Returns:
        The figure.
    """
    layers = list(dict.fromkeys(table.layer))
    names = [name for name in UNITS if (table.units == name).any()]
    figure, ax = plt.subplots(
        figsize=(min(WIDTH, max(6.8, 1.2 + 1.6 * len(layers))), 3.3), layout="constrained"
    )
    rng = np.random.default_rng(0)
    counts = dict.fromkeys(layers, "")
    for x, layer in enumerate(layers):
        if layer in reported:
            ax.axvspan(x - 0.45, x + 0.45, color="#EFEFEF", lw=0, zorder=0)
        for n, name in enumerate(names):
            here = table[(table.layer == layer) & (table.units == name)].echo.dropna().to_numpy()
            counts[layer] += f"\n{len(here)} {name[: -1 if len(here) == 1 else None]}"
            at = x + 0.4 * (n - (len(names) - 1) / 2)
            if not len(here):
                continue
            spread = at + rng.uniform(-0.13, 0.13, len(here))
            colour = UNITS[name]
            ax.plot(spread, here, "o", ms=4.5, alpha=0.6, color=colour, mew=0, clip_on=False)
            ends, middle = [at - 0.17, at + 0.17], [np.median(here)] * 2
            ax.plot(ends, middle, color="black", lw=2, solid_capstyle="butt", clip_on=False)
    ax.set(ylabel="response at 180° / preferred", ylim=(0, 1.0), xlim=(-0.5, len(layers) - 0.5))
    ax.set_xticks(range(len(layers)), [layer + counts[layer] for layer in layers])
    ax.grid(axis="y")
    handles = [
        plt.Line2D([], [], ls="", marker="o", color=UNITS[n], ms=6, label=f"curve {n}")
        for n in names
    ]
    handles.append(plt.Line2D([], [], color="black", lw=2, label="median"))
    if any(layer in reported for layer in layers):
        patch = plt.Rectangle((0, 0), 1, 1, color="#EFEFEF", label="Distill reports an echo here")
        handles.append(patch)
    figure.legend(handles=handles, loc="outside upper left", ncols=len(handles))
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
    figure, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    theta, closed = np.append(angles, 360.0), np.c_[profiles, profiles[:, :1]]
    median = np.median(closed, 0)
    colour = METHODS["crosscoder"].colour
    ax.plot(theta, closed.T, color=colour, lw=0.8, alpha=0.4)
    ax.plot(theta, median, color=OKABE_ITO["black"], lw=2.4)
    ax.axhline(0, color=GREY, lw=0.8)
    ax.axvline(180, color=HIDDEN, lw=1.3, ls=DASHED, zorder=0)
    over_angle(ax)
    low = min(0.0, float(closed.min())) - 0.05
    ax.set(ylabel="cosine with the block of 0°", ylim=(low, 1.03), xlabel="block's rotation")
    ax.text(184, 0.93, "an echo would be\na bump here", fontsize=NOTE, color=HIDDEN, va="top")
    handles = [
        plt.Line2D([], [], color=colour, lw=0.8, label=f"one of {len(profiles)} curve features"),
        plt.Line2D([], [], color="black", lw=2.4, label="their median"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2)
    return figure


@styled
def ring_spans(table: pd.DataFrame) -> Figure:
    """How much of the ring of curve responses a few directions of each kind span.

    Args:
        table: A table of `dimensions`, `kind`, `share`, from `ring_spans`.

    Returns:
        The figure.
    """
    figure, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for kind, here in table.groupby("kind", sort=False):
        colour, marker = SPANS.get(kind, (GREY, "o"))
        ax.plot(here.dimensions, here.share, marker=marker, color=colour)
        end = here.iloc[-1]
        beside = kind != BLOCK  # whose line ends above another
        ax.annotate(
            kind,
            (end.dimensions, end.share),
            (9, 0) if beside else (0, 9),
            textcoords="offset points",
            color=colour,
            va="center" if beside else "bottom",
            ha="left" if beside else "center",
            fontsize=9,
            annotation_clip=False,
        )
    most = int(table.dimensions.max())
    ax.set(xlabel="number of directions", ylabel="share of the loop's variance", ylim=(0, 1.02))
    ax.set(xticks=range(1, most + 1), xlim=(0.8, most + 2.1))
    ax.spines["bottom"].set_bounds(0.8, most)
    ax.grid(axis="y")
    return figure


@styled
def hidden_tuning(
    results: Sequence[dict], orientations: Sequence[float], hidden: Sequence[float]
) -> Figure:
    """The hidden bank: which orientations have units, and which the features respond to.

    Args:
        results: Results of `hidden_trial`, a panel each, with `superposed`.
        orientations: The orientations in degrees of bright curves with a unit of their own.
        hidden: The orientations of those without.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(
        len(results),
        1,
        figsize=(WIDTH, 0.9 + 1.65 * len(results)),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    high = max(float(np.max(r["curves"])) for r in results)
    step = 360 / (len(orientations) + len(hidden))
    for ax, r in zip(axes[:, 0], results, strict=True):
        curves = np.asarray(r["curves"]) / high
        theta, least = np.append(r["angles"], 360), _found_from(r, orientations) / high
        for curve in curves[curves.max(1) > 0.15]:
            off = np.abs(apart(np.asarray(hidden), r["angles"][curve.argmax()])).min()
            finds = off <= step / 2 and curve.max() >= least
            look = {"color": HIDDEN, "lw": 2.2} if finds else {"color": UNITS["features"]}
            ax.plot(theta, np.append(curve, curve[0]), **look)
        ax.axhline(least, color=GREY, lw=1, ls=":")
        own = _around(orientations)
        ax.plot(own, np.full(len(own), 1.12), "v", ms=7, color=UNITS["neurons"], clip_on=False)
        for at in _around(hidden):
            ax.axvline(at, color=HIDDEN, lw=1.2, ls=DASHED, zorder=0)
        ax.set_title(f"missing curves {SUPERPOSED if r['superposed'] else LEFT_OUT}")
        ax.set(ylim=(0, 1.2), yticks=[0, 0.5, 1])
    over_angle(axes[-1, 0])
    axes[-1, 0].set_xlabel("orientation of the curve that is shown")
    figure.supylabel("what a feature adds\n(highest: 1)", fontsize=9.5, ha="center", color=INK)
    line = plt.Line2D
    handles = [
        line([], [], ls="", marker="v", ms=7, color=UNITS["neurons"], label="has a unit"),
        line([], [], color=HIDDEN, lw=1.2, ls=DASHED, label="has none"),
        line([], [], color=UNITS["features"], label="SAE feature"),
        line([], [], color=HIDDEN, lw=2.2, label="… that finds a missing curve"),
        line([], [], color=GREY, lw=1, ls=":", label="found from here"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=5, columnspacing=1.4)
    return figure


def _found_from(result: Mapping, orientations: Sequence[float]) -> float:
    """Half of what features usually add for an orientation that has a unit, as `hidden_trial`."""
    highest = np.asarray(result["curves"]).max(0)
    near = [np.abs(apart(np.asarray(result["angles"]), a)).argmin() for a in orientations]
    return 0.5 * float(np.median(highest[near]))


def _around(angles: Sequence[float]) -> list[float]:
    """Angles, those at 0° also at 360°."""
    return sorted([*angles, *(a + 360 for a in angles if a == 0)])
