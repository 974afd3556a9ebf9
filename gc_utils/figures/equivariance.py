"""Figures of a layer's equivariance and of growing dictionaries."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gc_utils.figures.methods import METHODS
from gc_utils.figures.style import DASHED, DOTTED, GREY, INK, OKABE_ITO, WIDTH, styled
from gc_utils.groups import Group
from gc_utils.symmetry.equivariance import Equivariance

PREDICTIONS = {
    "free": ("a matrix for each rotation", OKABE_ITO["blue"], "-"),
    "powers": ("powers of one matrix", OKABE_ITO["vermilion"], DASHED),
    "unchanged": ("rotation changes nothing", GREY, DOTTED),
}


@styled
def equivariance_by_layer(
    actions: Mapping[str, Equivariance], group: Group, bound: float | None = None
) -> Figure:
    """How well a linear map on channels predicts responses to rotated images, layer by layer.

    Args:
        actions: For each layer, what `equivariance` found.
        group: The group.
        bound: Least share of variance that counts as equivariant, drawn as a line; None for none.

    Returns:
        A column a layer: the share of variance predicted against the angle (above), and of every
        channel, best first (below).
    """
    count = len(actions)
    width = max(WIDTH, 1.35 * count)
    figure, axes = plt.subplots(
        2, count, figsize=(width, 4.9), sharey=True, squeeze=False, layout="constrained"
    )
    angles = group.angles.numpy()[: group.n]
    for (name, found), (above, below) in zip(actions.items(), axes.T, strict=True):
        for kind, (_, colour, dash) in PREDICTIONS.items():
            above.plot(angles, getattr(found, kind)[: group.n], color=colour, ls=dash)
            if kind != "unchanged":
                channels = getattr(found, f"channels_{kind}")
                best = np.sort(channels[np.isfinite(channels)])[::-1]
                below.plot(np.linspace(0, 100, len(best)), best, color=colour, ls=dash)
        above.set(xlim=(0, 360), xticks=(0, 180, 360), xlabel="rotation")
        above.set_xticklabels(["0°", "180°", "360°"])
        below.set(xlim=(0, 100), xticks=(0, 50, 100), xlabel="% of channels")
        above.set_title(name)
        for ax in (above, below):
            ax.set_ylim(-0.05, 1.03)
            ax.grid()
            if bound is not None:
                ax.axhline(bound, color=INK, lw=0.9)
    axes[0, 0].set_ylabel("variance predicted, $R^2$")
    axes[1, 0].set_ylabel("of each channel, best first")
    handles = [Line2D([], [], color=c, ls=d, label=text) for text, c, d in PREDICTIONS.values()]
    if bound is not None:
        handles.append(Line2D([], [], color=INK, lw=0.9, label=f"{bound:g}: equivariant"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


@styled
def dictionary_growth(table: pd.DataFrame, tied: Mapping[str, float]) -> Figure:
    """Families, features in each, and the orientation part against the size of the dictionary.

    Args:
        table: The columns `features`, `families`, `features a family`, `orientation part`.
        tied: The same of a tied crosscoder, for comparison.

    Returns:
        A panel for each of the three. Grey lines show what the first two would be if a larger
        dictionary had only more families, or only more features in each.
    """
    panels = {
        "families": "Families",
        "features a family": "Features in a family",
        "orientation part": "FVU, orientation part",
    }
    untied, closed = METHODS["crosscoder"], METHODS["tied crosscoder"]
    figure, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.3), layout="constrained")
    first = table.sort_values("features").iloc[0]
    growth = table.features / first.features
    for ax, (column, title) in zip(axes, panels.items(), strict=True):
        ax.plot(table.features, table[column], label="untied", **untied.line)
        ax.plot(tied["features"], tied[column], label="tied", ms=8, **closed.mark)
        top = max(table[column].max(), tied[column])
        if column != "orientation part":
            ax.plot(table.features, first[column] * growth, color=GREY, ls=DOTTED, lw=1.2)
            ax.axhline(first[column], color=GREY, ls=DOTTED, lw=1.2)
        ax.set_xscale("log", base=2)
        ax.set_xticks(table.features, [f"{f:g}" for f in table.features])
        ax.minorticks_off()
        ax.margins(x=0.1)
        ax.set(ylim=(0, 1.15 * top), xlabel="features of the dictionary")
        ax.set_title(title)
        ax.grid()
    handles, labels = axes[0].get_legend_handles_labels()
    handles.append(Line2D([], [], color=GREY, ls=DOTTED, lw=1.2))
    labels.append("in proportion to the dictionary, or as in the smallest")
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure
