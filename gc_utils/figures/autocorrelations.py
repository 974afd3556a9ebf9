"""Autocorrelations of many features as small multiples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from gc_utils.figures.style import DOTTED, GREY, INK, NOTE, OKABE_ITO, PALE, SMALL, WIDTH, styled

LOW, HIGH = -0.5, 1.12  # of ρ in a panel
WIDE, TALL = 0.86, 0.66  # of a panel in its cell
CELL = 0.78  # inches, the height of a cell
BOUND = 0.9


class Autocorrelation(NamedTuple):
    """A feature's autocorrelation over the rotations.

    Attributes:
        feature: its number.
        rho: `ρ` over the rotations, `(n,)`, from 0°.
        low: lower end of the interval, `(n,)`; NaN without one.
        high: upper end.
        corrected: whether `rho` is corrected for noise.
        behaves: whether the feature does what the panel's title says.
        reproducibility: cosine with its counterpart in other dictionaries.
    """

    feature: int
    rho: np.ndarray
    low: np.ndarray
    high: np.ndarray
    corrected: bool
    behaves: bool
    reproducibility: float


@styled
def autocorrelation_panels(
    kinds: Mapping[str, Sequence[Autocorrelation]], *, columns: int = 11
) -> Figure:
    """Every feature's autocorrelation over a full rotation, a small panel each.

    Args:
        kinds: Title of a block of panels → its features, in their order.
        columns: Panels a row.

    Returns:
        The figure. Features that do as the title says are blue, with a filled dot at 180°; others
        are orange, with a hollow one. Dotted curves are not corrected for noise.
    """
    rows = {title: max(1, -(-len(found) // columns)) for title, found in kinds.items()}
    heights = [0.42 + CELL * count for count in rows.values()] + [0.75]
    figure, axes = plt.subplots(
        len(heights),
        1,
        figsize=(WIDTH, sum(heights)),
        gridspec_kw={"height_ratios": heights, "hspace": 0.0},
        squeeze=False,
    )
    figure.subplots_adjust(left=0.045, right=0.998, top=1.0, bottom=0.0)
    for ax, (title, found) in zip(axes[:, 0], kinds.items(), strict=False):
        ax.set(xlim=(0, columns), ylim=(rows[title] + 0.05, -0.42 / CELL))
        ax.set_axis_off()
        ax.text(0, -0.16, title, weight="bold", fontsize=10)
        for place, one in enumerate(found):
            _panel(ax, one, place % columns, place // columns, first=not place)
    last = axes[-1, 0]
    last.set_axis_off()
    blue, orange = OKABE_ITO["blue"], OKABE_ITO["orange"]
    handles = [
        Line2D([], [], color=blue, marker="o", ms=4.5, label="does as the title says"),
        Line2D([], [], color=orange, marker="o", mfc="white", ms=4.5, label="does not"),
        Patch(color=PALE, label="95 % interval"),
        Line2D([], [], color=GREY, ls=DOTTED, label="not noise-corrected: in no other fold"),
    ]
    last.legend(handles=handles, loc="upper center", ncols=4, columnspacing=1.2, borderaxespad=0.2)
    note = (
        "Above each panel: feature · reproducibility. Across: rotated by 0° to 360°, dot at 180°, "
    )
    last.text(0.5, 0.22, note + "dashes at 0.9.", ha="center", fontsize=NOTE, color=INK,
              transform=last.transAxes)  # fmt: skip
    return figure


def _panel(ax: Axes, one: Autocorrelation, column: int, row: int, *, first: bool) -> None:
    """One feature in a cell of a grid whose y runs downwards."""
    left, bottom = column + (1 - WIDE) / 2, row + 0.95

    def at(values) -> np.ndarray:
        share = (np.clip(np.asarray(values, float), LOW, HIGH) - LOW) / (HIGH - LOW)
        return bottom - TALL * share

    n = len(one.rho)
    x = left + WIDE * np.arange(n + 1) / n
    colour = OKABE_ITO["blue"] if one.behaves else OKABE_ITO["orange"]
    ax.add_patch(plt.Rectangle((left, bottom - TALL), WIDE, TALL, fc="#F6F6F6", ec="none"))
    ax.plot([left, left + WIDE], at([0, 0]), color=PALE, lw=0.7)
    ax.plot([left, left + WIDE], at([BOUND, BOUND]), color=GREY, lw=0.7, ls=(0, (3, 2)))
    if np.isfinite(one.low).all():
        ends = [np.append(end, end[0]) for end in (one.low, one.high)]
        ax.fill_between(x, at(ends[0]), at(ends[1]), color=colour, alpha=0.22, lw=0)
    rho = np.append(one.rho, one.rho[0])
    ax.plot(x, at(rho), color=colour, lw=1.2, ls="-" if one.corrected else DOTTED)
    face = colour if one.behaves else "white"
    ax.plot(x[n // 2], at(rho[n // 2]), "o", ms=4, color=colour, mfc=face, mew=1.1)
    known = f" · {one.reproducibility:.2f}" if np.isfinite(one.reproducibility) else ""
    ax.text(left + WIDE / 2, bottom - TALL - 0.03, f"{one.feature}{known}", ha="center",
            va="bottom", fontsize=SMALL, color=INK)  # fmt: skip
    if first:
        for value in (0, 1):
            ax.text(left - 0.05, at(value), f"{value}", ha="right", va="center", fontsize=SMALL)
        ax.text(left - 0.26, at(0.5), "ρ", ha="right", va="center", fontsize=10)
