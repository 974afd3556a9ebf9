"""Figures of recovery on planted orbits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from gc_utils.figures.parts import dot_panels, label_text, polar_profile, radial_floor
from gc_utils.figures.style import OKABE_ITO, styled
from gc_utils.groups import Group
from gc_utils.planted.recovery import summary

RECOVERY = {
    "cosine_max": "cosine",
    "cosine_one_to_one": "cosine, one to one",
    "recall": "features found",
    "precision": "learned features that are planted",
    "template": "template cosine",
    "stabiliser_exact": "stabiliser right",
    "ari": "families (ARI)",
    "code_correlation": "code correlation",
}


@styled
def planted_profiles(profiles, names: Sequence[str], group: Group) -> Figure:
    """Block profiles side by side, one polar plot a feature.

    Args:
        profiles: The block profiles, `(m, |G|)`, in [-1, 1].
        names: The title of each.
        group: The group.

    Returns:
        The figure.
    """
    figure = plt.figure(figsize=(1.55 * len(names), 1.9), layout="constrained")
    floor = radial_floor(profiles)
    for i, (profile, name) in enumerate(zip(profiles, names, strict=True)):
        ax = figure.add_subplot(1, len(names), i + 1, projection="polar")
        polar_profile(ax, profile, group, floor=floor)
        ax.set_title(name, loc="center")
    return figure


@styled
def recovery_scores(table: pd.DataFrame, scores: Sequence[str]) -> Figure:
    """What each method recovers of a planted dictionary, a dot a seed.

    Args:
        table: One row a trial, with the columns `method` and the scores.
        scores: The scores to draw; a method without one has no dot there.

    Returns:
        A panel a score, a row a method.
    """
    tidy = table.melt(["method"], list(scores), "score", "value")
    figure = dot_panels(tidy, rows="method", columns="score", value="value", titles=RECOVERY)
    for ax in figure.axes:
        ax.set_xlim(-0.05, 1.05)
    figure.supxlabel("score (small dots: seeds; 1 is best)", fontsize=9)
    return figure


_SERIES = [OKABE_ITO[c] for c in ("blue", "vermilion", "purple", "black", "green", "orange")]


@styled
def recovery_curves(
    table: pd.DataFrame,
    x: str,
    xlabel: str,
    *,
    scores: Sequence[str] = ("cosine_max", "stabiliser_exact", "ari"),
    log: bool = False,
) -> Figure:
    """Recovery against one setting, a line a method, with bootstrap intervals over seeds.

    Args:
        table: One row a trial, with the columns `method`, `x` and the scores.
        x: The column of the setting.
        xlabel: The label of its axis.
        scores: The scores, a panel each.
        log: Whether the axis of the setting is logarithmic.

    Returns:
        The figure.
    """
    found = summary(table, ["method", x], scores)
    figure, axes = plt.subplots(
        1,
        len(scores),
        figsize=(2.9 * len(scores), 2.8),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, score in zip(axes[0], scores, strict=True):
        for i, (method, rows) in enumerate(found.groupby("method", sort=False)):
            look = {"color": _SERIES[i % len(_SERIES)]}
            marker = "osD^vP"[i % 6]
            ax.plot(rows[x], rows[score], marker=marker, ms=4, label=method, **look)
            low, high = rows[f"{score}_low"], rows[f"{score}_high"]
            ax.fill_between(rows[x], low, high, alpha=0.18, lw=0, **look)
        if log:
            ax.set_xscale("log", base=2)
            ticks = sorted(found[x].unique())
            ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
            ax.minorticks_off()
        ax.set_title(RECOVERY.get(score, label_text(score)))
        ax.set_ylim(-0.03, 1.03)
        ax.grid(axis="y")
        ax.set_xlabel(xlabel)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


@styled
def calibration(
    bins: Mapping[str, pd.DataFrame], trend: pd.DataFrame, x: str, xlabel: str
) -> Figure:
    """Confidence stated against how often it is right, and both as a setting gets worse.

    Args:
        bins: For each method, the table of `recovery.reliability`.
        trend: One row a value of the setting and method: `method`, `x`, mean `stated`, share
            `right`.
        x: The column of the setting.
        xlabel: The label of its axis.

    Returns:
        The reliability diagram (left), and both numbers against the setting (right).
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.2), layout="constrained")
    left.plot([0, 1], [0, 1], color="0.6", lw=1, ls=":", label="calibrated")
    for i, (method, table) in enumerate(bins.items()):
        look = {"color": _SERIES[i % len(_SERIES)], "marker": "osD^vP"[i % 6]}
        error = [table.right - table.low, table.high - table.right]
        left.errorbar(
            table.stated, table.right, error, label=method, ms=5, lw=1.2, elinewidth=1, **look
        )
        rows = trend[trend.method == method].sort_values(x)
        right.plot(rows[x], rows.right, label="right", ms=5, **look)
        right.plot(rows[x], rows.stated, label="stated", ms=5, ls="--", mfc="white", **look)
    left.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="confidence stated")
    left.set_ylabel("share of names that are right")
    right.set(ylim=(-0.02, 1.02), xlabel=xlabel, ylabel="mean")
    right.set_title("solid: right, dashed: stated")
    left.set_title("bars: 95 % intervals")
    for ax in (left, right):
        ax.grid()
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure
