"""Figures of notebook 08; see `gc_utils.figures` for the look they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gc_utils.figures.style import DASHED, GREY, NOTE, OKABE_ITO, SMALL, WIDTH, styled
from gc_utils.statistics import interval
from gc_utils.studies.intertwiners.networks import HIDDEN
from gc_utils.studies.intertwiners.paper_measures import STANDARDISED_CKA

# One colour a kind of matrix: none, a member of ReLU's group, a rotation, any at all.
NONE, MEMBER, ROTATION = GREY, OKABE_ITO["vermilion"], OKABE_ITO["green"]
ANY, FEW, UNCHANGED = OKABE_ITO["blue"], OKABE_ITO["purple"], 1e-5
MAPS = {
    "identity": (NONE, "s", "no map"),
    "assignment": (OKABE_ITO["orange"], "D", "member of the group,\nmatched (assignment)"),
    "G_ReLU": (MEMBER, "o", "member of the group,\nlearnt (G_ReLU)"),
    "full": (ANY, "^", "any linear map (full)"),
}
ACTIONS = {"unchanged": NONE, "permutation": MEMBER, "orthogonal": ROTATION, "linear": ANY}
BASES = {
    "units": (OKABE_ITO["black"], "|"),
    "permuted and scaled": (MEMBER, "o"),
    "rotated": (ROTATION, "D"),
}


def _mean_interval(values: pd.Series) -> tuple[float, float, float]:
    mean = float(values.mean())
    low, high = interval(values)
    return mean, mean - low, high - mean


@styled
def passing(errors: pd.DataFrame) -> Figure:
    """Which matrices pass through which function.

    Args:
        errors: relative error of `σ(A x) = φ σ(x)` at the best φ; a row a function, a column a
            kind of matrix.
    """
    figure, ax = plt.subplots(
        figsize=(2.4 + 0.82 * errors.shape[1], 1.1 + 0.3 * len(errors)), layout="constrained"
    )
    shown = np.log10(errors.to_numpy().clip(1e-16, None))
    image = ax.imshow(shown, vmin=-16, vmax=1, aspect="auto")
    ax.set_xticks(range(errors.shape[1]), errors.columns, rotation=25, ha="right")
    ax.set_yticks(range(len(errors)), errors.index)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    for (i, j), value in np.ndenumerate(shown):
        passes = value < -6
        colour = "white" if passes else "black"
        words = {"ha": "center", "va": "center", "fontsize": NOTE, "color": colour}
        ax.text(j, i, "yes" if passes else "no", weight="bold" if passes else None, **words)
    bar = figure.colorbar(image, ax=ax, ticks=[-15, -10, -5, 0])
    bar.set_label("relative error\n(yes: below 10⁻⁶)")
    bar.ax.set_yticklabels(["10⁻¹⁵", "10⁻¹⁰", "10⁻⁵", "1"])
    ax.set(xlabel="a matrix of this kind passes through", ylabel="function")
    return figure


@styled
def function_changes(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """How much networks' outputs change when an intertwiner acts on a hidden layer.

    Args:
        tables: network → rows of `layer`, `change` (over the largest output) and `refused`.
    """
    figure, axes = plt.subplots(
        1,
        len(tables),
        figsize=(min(WIDTH, 1.0 + 3.6 * len(tables)), 3.3),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, (name, table) in zip(axes[0], tables.items(), strict=True):
        at = np.arange(1, len(table) + 1)
        bad = table.refused.astype(bool).to_numpy()
        member = table.change[~bad].clip(1e-9)
        ax.plot(at[~bad], member, "o", color=MEMBER, ms=4.5, label="member of the group")
        if bad.any():
            ax.plot(
                at[bad],
                table.change[bad],
                "X",
                color=OKABE_ITO["black"],
                ms=7,
                label="permutation of a layer that admits no member",
            )
            for order, i in enumerate(np.flatnonzero(bad)):
                place = (at[i], table.change.iloc[i])
                beside = {"xytext": (8, 4 if order % 2 == 0 else -11), "fontsize": NOTE}
                ax.annotate(table.layer.iloc[i], place, textcoords="offset points", **beside)
        ax.axhline(UNCHANGED, color=GREY, lw=1.2, ls=DASHED)
        ax.set(title=name, yscale="log", xlabel="hidden layer, counted from the input")
        ax.set(ylim=(1e-8, 1))
        ax.grid(True, axis="y")
    axes[0, 0].set_ylabel("change of the output\n(share of the largest)")
    words = {"fontsize": NOTE, "color": GREY, "ha": "right", "va": "bottom"}
    place = axes[0, -1].get_yaxis_transform()
    axes[0, -1].text(1, 1.3 * UNCHANGED, "unchanged: below", transform=place, **words)
    entries = {}
    for ax in axes[0]:
        entries |= dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(entries.values(), entries.keys(), loc="outside upper left", ncols=2)
    return figure


@styled
def similarity_maps(table: pd.DataFrame) -> Figure:
    """Layer by layer similarity of two networks, a panel a measure.

    Args:
        table: rows of `measure`, `first`, `second`, `value`; repeated pairs are averaged.
    """
    measures = [m for m in dict.fromkeys(table.measure) if m != STANDARDISED_CKA]
    figure, axes = plt.subplots(
        1,
        len(measures),
        figsize=(min(WIDTH, 0.9 + 1.85 * len(measures)), 2.6),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, measure in zip(axes[0], measures, strict=True):
        here = table[table.measure == measure].groupby(["first", "second"]).value.mean().unstack()
        here = here.loc[list(HIDDEN), list(HIDDEN)].to_numpy()
        image = ax.imshow(here, vmin=0, vmax=1)
        for (i, j), value in np.ndenumerate(here):
            ax.text(
                j,
                i,
                f"{value:.2f}",
                ha="center",
                va="center",
                fontsize=SMALL,
                color="white" if value < 0.55 else "black",
            )
        ax.set_xticks(range(len(HIDDEN)), [name[-1] for name in HIDDEN])
        ax.set_yticks(range(len(HIDDEN)), [name[-1] for name in HIDDEN])
        ax.set_title(measure, loc="center", fontsize=9.5)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    figure.supxlabel("layer of the second network", fontsize=9.5)
    axes[0, 0].set_ylabel("layer of the first")
    figure.colorbar(image, ax=axes[0].tolist(), label="similarity", shrink=0.85)
    return figure


@styled
def stitching_penalties(table: pd.DataFrame) -> Figure:
    """Penalty by layer, a panel a width: mean over pairs of networks with its interval.

    Args:
        table: rows of `width`, `layer`, `map`, `penalty`, `pair`.
    """
    widths = sorted(table.width.unique())
    figure, axes = plt.subplots(
        1,
        len(widths),
        figsize=(min(WIDTH, 2.4 + 2.0 * len(widths)), 3.4),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, width in zip(axes[0], widths, strict=True):
        for shift, (name, (colour, marker, label)) in enumerate(MAPS.items()):
            rows = table[(table.width == width) & (table["map"] == name)]
            by_layer = [_of_pairs(rows[rows.layer == layer]) for layer in HIDDEN]
            mean, low, high = np.array([_mean_interval(v) for v in by_layer]).T
            at = np.arange(len(HIDDEN)) + 0.1 * (shift - 1.5)
            error = 100 * np.array([low, high])
            look = {"color": colour, "ms": 5, "lw": 1.3, "label": label.replace("\n", " ")}
            ax.errorbar(at, 100 * mean, error, fmt=f"{marker}-", **look)
        ax.axhline(0, color="black", lw=0.8)
        ax.set(title=f"width {width}", xlabel="stitched after layer")
        ax.set_xticks(range(len(HIDDEN)), [name[-1] for name in HIDDEN])
        ax.grid(True, axis="y")
    axes[0, 0].set_ylabel("accuracy lost,\npercentage points")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=2)
    return figure


def _of_pairs(rows: pd.DataFrame) -> pd.Series:
    return rows.groupby("pair").penalty.mean()


@styled
def budgets(table: pd.DataFrame) -> Figure:
    """Penalty of maps of low rank, and of few entries a unit, over layers and pairs.

    Args:
        table: rows of `map` (`rank`, `sparse`, and the keys of the other figure), `budget`,
            `penalty`, `pair`.
    """
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.2), sharey=True, layout="constrained")
    for ax, kind, label in zip(
        axes,
        ("rank", "sparse"),
        ("rank of the map", "entries a unit, chosen by the lasso"),
        strict=True,
    ):
        here = table[table["map"] == kind]
        budgets = sorted(here.budget.unique())
        stats = np.array([_mean_interval(_of_pairs(here[here.budget == b])) for b in budgets])
        mean, low, high = 100 * stats.T
        ax.errorbar(budgets, mean, [low, high], fmt="o-", color=FEW, ms=5, lw=1.5)
        for name in ("identity", "G_ReLU", "full"):
            level = 100 * table[table["map"] == name].penalty.mean()
            ax.axhline(level, color=MAPS[name][0], lw=1.3, ls=DASHED)
            if ax is axes[-1]:
                ax.annotate(
                    MAPS[name][2],
                    (1, level),
                    (6, 0),
                    ("axes fraction", "data"),
                    "offset points",
                    color=MAPS[name][0],
                    va="center",
                    fontsize=NOTE,
                )
        ax.set_yscale("symlog", linthresh=1, linscale=0.4)
        ax.set_yticks([0, 1, 3, 10, 30, 100], ["0", "1", "3", "10", "30", "100"])
        ax.minorticks_off()
        ax.set_xscale("log", base=2)
        ax.set_xticks(budgets, [f"{int(b)}" for b in budgets])
        ax.minorticks_off()
        ax.set(xlabel=label)
        ax.grid(True, axis="y")
    axes[0].set_ylabel("accuracy lost,\npercentage points")
    return figure


@styled
def bases(table: pd.DataFrame, measures: Sequence[str]) -> Figure:
    """Selectivity of units in their own basis, permuted and scaled, and rotated.

    Args:
        table: rows of `network`, `layer`, `basis` (keys of `BASES`) and the measures; draws are
            averaged, their spread is the bar.
        measures: columns to draw, a panel each.
    """
    places = list(dict.fromkeys(zip(table.network, table.layer, strict=True)))
    networks = [n for n, _ in places]
    figure, axes = plt.subplots(
        1,
        len(measures),
        figsize=(WIDTH, 1.2 + 0.33 * len(places)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, measure in zip(axes[0], measures, strict=True):
        for basis, (colour, marker) in BASES.items():
            for at, (network, layer) in enumerate(places):
                here = table[
                    (table.network == network) & (table.layer == layer) & (table.basis == basis)
                ][measure]
                ax.plot([here.min(), here.max()], [at, at], color=colour, lw=3, alpha=0.4)
                # A member of the group changes nothing: its mark lies within that of the units.
                size = {"|": 15, "o": 5}.get(marker, 5.5)
                mark = {"color": colour, "ms": size, "mew": 2 if marker == "|" else 0}
                ax.plot(here.mean(), at, marker, label=None if at else basis, ls="", **mark)
        for at in range(1, len(places)):
            if networks[at] != networks[at - 1]:
                ax.axhline(at - 0.5, color="#D0D0D0", lw=0.8)
        ax.set_title(measure, loc="center")
        ax.grid(True, axis="x")
        ax.tick_params(axis="y", length=0)
    axes[0, 0].set_yticks(range(len(places)), [f"{n}, {x}" for n, x in places])
    axes[0, 0].set_ylim(len(places) - 0.5, -0.5)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
    return figure


@styled
def what_training_adds(panels: Mapping[str, pd.DataFrame], xlabel: str) -> Figure:
    """Differences in trained networks beside those before training, with their intervals.

    Args:
        panels: Title → one row for each line of the panel (the index names it): `gain` with its
            interval `low` to `high`, the same before training (`before`, `before low`,
            `before high`), and `holds`: whether what is claimed holds there (None: not claimed).
        xlabel: What is drawn.
    """
    lines = [len(table) for table in panels.values()]
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(min(WIDTH, 2.6 + 2.8 * len(panels)), 1.5 + 0.42 * max(lines)),
        squeeze=False,
        layout="constrained",
    )
    taught = {"color": OKABE_ITO["vermilion"], "marker": "o", "mfc": OKABE_ITO["vermilion"]}
    raw = {"color": GREY, "marker": "s", "mfc": "white"}
    for ax, (title, table) in zip(axes[0], panels.items(), strict=True):
        at = np.arange(len(table))
        for shift, look, name, columns in (
            (-0.13, taught, "trained", ("gain", "low", "high")),
            (0.13, raw, "before training", ("before", "before low", "before high")),
        ):
            mean, low, high = table[list(columns)].to_numpy(float).T
            error = np.array([mean - low, high - mean]).clip(0)
            ax.errorbar(mean, at + shift, xerr=error, ls="", ms=6, lw=1.6, label=name, **look)
        ax.axvline(0, color="black", lw=0.8)
        ax.set_yticks(at, table.index)
        ax.set_ylim(max(lines) - 0.5, -0.5)
        ax.set_title(title, loc="left", fontsize=9.5)
        ax.tick_params(axis="y", length=0)
        ax.grid(True, axis="x")
        ax.margins(x=0.12)
        ax.locator_params(axis="x", nbins=4)
        for y, holds in zip(at, table.holds, strict=True):
            if holds is not None:
                words = {"fontsize": SMALL, "va": "center", "clip_on": False}
                words["weight"] = "bold" if holds else "normal"
                place = ax.get_yaxis_transform()
                ax.text(1.02, y, "holds" if holds else "no", transform=place, **words)
    figure.supxlabel(xlabel, fontsize=9.5)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2)
    return figure


@styled
def rotated_units(tables: Mapping[str, pd.DataFrame], least: float = -1.0) -> Figure:
    """How much of the activations of rotated images maps of units explain, by the angle.

    Args:
        tables: title → table of `unit_actions`; rotations are drawn.
        least: where the axis of explained variance ends; a curve that goes below it is named with
            its lowest value.
    """
    columns = min(4, len(tables))
    lines = -(-len(tables) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(min(WIDTH, 1.0 + 1.9 * columns), 0.9 + 2.0 * lines),
        sharey=True,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat[len(tables) :]:
        ax.set_visible(False)
    for ax, (title, table) in zip(axes.flat, tables.items(), strict=False):
        for width, (name, colour) in zip((1.5, 3.4, 2.3, 1.2), ACTIONS.items(), strict=True):
            here = table[(table["map"] == name) & ~table.mirrored].sort_values("angle")
            ax.plot(here.angle, here.explained, lw=width, color=colour, label=name)
            lowest = here.explained.min()
            if lowest < least:
                words = {"fontsize": SMALL, "color": colour, "ha": "center", "va": "bottom"}
                ax.text(
                    180, least + 0.04, f"down to {lowest:.1f}", backgroundcolor="white", **words
                )
        ax.axhline(0, color="black", lw=0.8)
        ax.set_title(title, loc="center", fontsize=NOTE)
        ax.set(ylim=(least, 1.05), xlim=(0, 360))
        ax.set_xticks([0, 90, 180, 270, 360], ["0°", "90°", "180°", "270°", ""])
        ax.grid(True)
    for ax in axes.flat[max(0, len(tables) - columns) : len(tables)]:
        ax.tick_params(labelbottom=True)
    figure.supxlabel("rotation of the image", fontsize=9.5)
    figure.supylabel("variance explained, held out", fontsize=9.5)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=4)
    return figure
