"""Figures of notebook 08; see `gc_utils.figures` for the look they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gc_utils.figures.style import GREY, OKABE_ITO, styled
from gc_utils.statistics import interval
from gc_utils.studies.intertwiners.networks import HIDDEN

MAPS = {
    "identity": (GREY, "s"),
    "assignment": (OKABE_ITO["orange"], "D"),
    "G_ReLU": (OKABE_ITO["vermilion"], "o"),
    "full": (OKABE_ITO["blue"], "^"),
}
ACTIONS = {
    "unchanged": GREY,
    "permutation": OKABE_ITO["vermilion"],
    "orthogonal": OKABE_ITO["green"],
    "linear": OKABE_ITO["blue"],
}
BASES = {
    "units": OKABE_ITO["black"],
    "permuted and scaled": OKABE_ITO["vermilion"],
    "rotated": OKABE_ITO["blue"],
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
        figsize=(2.4 + 0.62 * errors.shape[1], 0.9 + 0.26 * len(errors)), layout="constrained"
    )
    shown = np.log10(errors.to_numpy().clip(1e-16, None))
    image = ax.imshow(shown, cmap="cividis", vmin=-16, vmax=1, aspect="auto")
    ax.set_xticks(range(errors.shape[1]), errors.columns, rotation=35, ha="right")
    ax.set_yticks(range(len(errors)), errors.index)
    for (i, j), value in np.ndenumerate(shown):
        ax.text(
            j,
            i,
            "yes" if value < -6 else "no",
            ha="center",
            va="center",
            fontsize=7,
            color="white" if value < -6 else "black",
        )
    bar = figure.colorbar(image, ax=ax, label="relative error", ticks=[-15, -10, -5, 0])
    bar.ax.set_yticklabels(["1e-15", "1e-10", "1e-5", "1"])
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
        figsize=(3.6 * len(tables), 2.9),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, (name, table) in zip(axes[0], tables.items(), strict=True):
        at = np.arange(len(table))
        bad = table.refused.astype(bool).to_numpy()
        ax.plot(
            at[~bad],
            table.change[~bad].clip(1e-9),
            "o",
            color=OKABE_ITO["blue"],
            ms=4,
            label="member of the group",
        )
        if bad.any():
            ax.plot(
                at[bad],
                table.change[bad],
                "X",
                color=OKABE_ITO["vermilion"],
                ms=6,
                label="refused, permuted all the same",
            )
            for order, i in enumerate(at[bad]):
                ax.annotate(
                    table.layer.iloc[i],
                    (i, table.change.iloc[i]),
                    fontsize=7,
                    xytext=(5, 3 if order % 2 == 0 else -9),
                    textcoords="offset points",
                )
        ax.axhline(1e-5, color="black", lw=0.8, ls=":")
        ax.set(title=name, yscale="log", xlabel="hidden layer, from the input", ylim=(1e-8, 1))
        ax.grid(True, axis="y")
    axes[0, 0].set_ylabel("change / largest output")
    axes[0, 0].legend(loc="center left", bbox_to_anchor=(0, 0.62))
    return figure


@styled
def similarity_maps(table: pd.DataFrame) -> Figure:
    """Layer by layer similarity of two networks, a panel a measure.

    Args:
        table: rows of `measure`, `first`, `second`, `value`; repeated pairs are averaged.
    """
    measures = list(dict.fromkeys(table.measure))
    figure, axes = plt.subplots(
        1,
        len(measures),
        figsize=(0.7 + 1.75 * len(measures), 2.3),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, measure in zip(axes[0], measures, strict=True):
        here = table[table.measure == measure].groupby(["first", "second"]).value.mean().unstack()
        here = here.loc[list(HIDDEN), list(HIDDEN)].to_numpy()
        image = ax.imshow(here, cmap="cividis", vmin=0, vmax=1)
        for (i, j), value in np.ndenumerate(here):
            ax.text(
                j,
                i,
                f"{value:.2f}",
                ha="center",
                va="center",
                fontsize=6.5,
                color="white" if value < 0.55 else "black",
            )
        ax.set_xticks(range(len(HIDDEN)), [name[-1] for name in HIDDEN])
        ax.set_yticks(range(len(HIDDEN)), [name[-1] for name in HIDDEN])
        ax.set_title(measure, loc="center", fontsize=8.5)
        ax.set_xlabel("layer of the second")
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
        figsize=(1.2 + 2.1 * len(widths), 2.7),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, width in zip(axes[0], widths, strict=True):
        for shift, (name, (colour, marker)) in enumerate(MAPS.items()):
            rows = table[(table.width == width) & (table["map"] == name)]
            by_layer = [_of_pairs(rows[rows.layer == layer]) for layer in HIDDEN]
            mean, low, high = np.array([_mean_interval(v) for v in by_layer]).T
            at = np.arange(len(HIDDEN)) + 0.1 * (shift - 1.5)
            ax.errorbar(
                at,
                100 * mean,
                100 * np.array([low, high]),
                fmt=f"{marker}-",
                color=colour,
                ms=4.5,
                lw=1.2,
                label=name,
            )
        ax.axhline(0, color="black", lw=0.8)
        ax.set(
            title=f"width {width}",
            xlabel="layer",
            xticks=range(len(HIDDEN)),
            xticklabels=[name[-1] for name in HIDDEN],
        )
        ax.grid(True, axis="y")
    axes[0, 0].set_ylabel("accuracy lost, points")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
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
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 2.6), sharey=True, layout="constrained")
    for ax, kind, label in zip(
        axes, ("rank", "sparse"), ("rank of the map", "entries a unit (lasso)"), strict=True
    ):
        here = table[table["map"] == kind]
        budgets = sorted(here.budget.unique())
        stats = np.array([_mean_interval(_of_pairs(here[here.budget == b])) for b in budgets])
        mean, low, high = 100 * stats.T
        ax.errorbar(budgets, mean, [low, high], fmt="o-", color=OKABE_ITO["purple"], ms=4.5, lw=1.3)
        for name in ("identity", "G_ReLU", "full"):
            level = 100 * table[table["map"] == name].penalty.mean()
            ax.axhline(level, color=MAPS[name][0], lw=1.2, ls="--", label=name)
        ax.set_yscale("symlog", linthresh=1, linscale=0.4)
        ax.set_yticks([0, 1, 3, 10, 30, 100], ["0", "1", "3", "10", "30", "100"])
        ax.minorticks_off()
        ax.set_xscale("log", base=2)
        ax.set_xticks(budgets, [f"{int(b)}" for b in budgets])
        ax.minorticks_off()
        ax.set(xlabel=label)
        ax.grid(True, axis="y")
    axes[0].set_ylabel("accuracy lost, points")
    axes[1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
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
    figure, axes = plt.subplots(
        1,
        len(measures),
        figsize=(1.9 + 1.9 * len(measures), 0.8 + 0.3 * len(places)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, measure in zip(axes[0], measures, strict=True):
        for shift, (basis, colour) in enumerate(BASES.items()):
            for at, (network, layer) in enumerate(places):
                here = table[
                    (table.network == network) & (table.layer == layer) & (table.basis == basis)
                ][measure]
                y = at + 0.2 * (shift - 1)
                ax.plot([here.min(), here.max()], [y, y], color=colour, lw=2.5, alpha=0.5)
                ax.plot(here.mean(), y, "o", color=colour, ms=4.5, label=basis if not at else None)
        ax.set_title(measure, loc="center")
        ax.grid(True, axis="x")
    axes[0, 0].set_yticks(range(len(places)), [f"{n}, {x}" for n, x in places])
    axes[0, 0].invert_yaxis()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


@styled
def rotated_units(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """How much of the activations of rotated images maps of units explain, by the angle.

    Args:
        tables: title → table of `unit_actions`; rotations are drawn.
    """
    columns = min(4, len(tables))
    lines = -(-len(tables) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(0.9 + 2.0 * columns, 0.5 + 2.1 * lines),
        sharey=True,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat[len(tables) :]:
        ax.set_visible(False)
    for ax, (title, table) in zip(axes.flat, tables.items(), strict=False):
        for name, colour in ACTIONS.items():
            here = table[(table["map"] == name) & ~table.mirrored].sort_values("angle")
            ax.plot(here.angle, here.explained, "o-", ms=2.5, lw=1.3, color=colour, label=name)
        ax.axhline(0, color="black", lw=0.8)
        ax.set_title(title, loc="center", fontsize=8.5)
        ax.set(ylim=(-1.05, 1.05), xticks=[0, 90, 180, 270, 360])
        ax.grid(True)
    for ax in axes[-1]:
        ax.set_xlabel("rotation, degrees")
    for ax in axes[:, 0]:
        ax.set_ylabel("variance explained")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
