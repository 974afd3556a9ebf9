"""Figures of a layer's equivariance and of growing dictionaries."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gc_utils.figures.parts import over_angle
from gc_utils.figures.style import OKABE_ITO, styled
from gc_utils.groups import Group
from gc_utils.symmetry.equivariance import Equivariance


@styled
def equivariance_by_layer(actions: Mapping[str, Equivariance], group: Group) -> Figure:
    """How well a linear map on channels predicts responses to rotated images, layer by layer.

    Args:
        actions: For each layer, what `equivariance` found.
        group: The group.

    Returns:
        The share of variance predicted against the angle (left) and by channel (right).
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.3), layout="constrained")
    angles = group.angles.numpy()[: group.n]
    colours = plt.get_cmap("viridis")(np.linspace(0.05, 0.85, len(actions)))
    for (name, found), colour in zip(actions.items(), colours, strict=True):
        look = {"color": colour, "lw": 1.5}
        left.plot(angles, found.powers[: group.n], label=name, **look)
        left.plot(angles, found.free[: group.n], ls="--", **look)
        values = np.sort(found.channels_free[np.isfinite(found.channels_free)])[::-1]
        right.plot(np.linspace(0, 1, len(values)), values, ls="--", **look)
        values = np.sort(found.channels_powers[np.isfinite(found.channels_powers)])[::-1]
        right.plot(np.linspace(0, 1, len(values)), values, **look)
    over_angle(left)
    left.set(xlabel="rotation", ylabel="variance predicted, $R^2$")
    right.set(xlabel="channels, best first", ylabel="variance predicted, $R^2$")
    for ax in (left, right):
        ax.set_ylim(-0.05, 1.03)
        ax.grid(axis="y")
    left.set_title("all channels")
    right.set_title("each channel, mean over elements")
    handles, labels = left.get_legend_handles_labels()
    handles = [Line2D([], [], color="0.3"), Line2D([], [], color="0.3", ls="--"), *handles]
    labels = ["powers of one matrix", "a matrix for each", *labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


@styled
def dictionary_growth(table: pd.DataFrame, tied_families: float) -> Figure:
    """Families, features in each, and the orientation part against the size of the dictionary.

    Args:
        table: The columns `features`, `families`, `features a family`, `orientation part`.
        tied_families: The number of families of a tied crosscoder that fire, for comparison.

    Returns:
        A panel for each of the three.
    """
    columns = ("families", "features a family", "orientation part")
    figure, axes = plt.subplots(1, 3, figsize=(8.2, 2.7), layout="constrained")
    for ax, column in zip(axes, columns, strict=True):
        ax.plot(table.features, table[column], "o-", color=OKABE_ITO["blue"], label="untied")
        ax.set_xscale("log", base=2)
        ax.set_xticks(table.features, [f"{f:g}" for f in table.features])
        ax.minorticks_off()
        ax.set_ylim(0, 1.15 * table[column].max())
        ax.set_title(column + (", FVU" if column == "orientation part" else ""))
        ax.set_xlabel("features of the dictionary")
        ax.grid(axis="y")
    axes[0].axhline(tied_families, color=OKABE_ITO["vermilion"], ls="--", label="tied")
    axes[0].set_ylim(0, 1.15 * max(table.families.max(), tied_families))
    axes[0].legend()
    return figure
