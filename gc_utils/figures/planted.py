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
    "found_and_named": "found and rightly named",
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


@styled
def recovery_by_arm(table: pd.DataFrame, methods: Mapping[str, str], bound: float) -> Figure:
    """What is found, and found and rightly named, of all planted features: rows are kinds of data.

    Args:
        table: One row a trial, with the columns `arm`, `method`, `recall` and `found_and_named`.
        methods: The methods to draw, and what each is called in the legend.
        bound: Where to draw a line: the least share that counts as recovery.

    Returns:
        Two panels side by side, a mark a method with its bootstrap interval over seeds.
    """
    panels = {"recall": "features found", "found_and_named": "found and rightly named"}
    found = summary(table, ["arm", "method"], list(panels))
    arms = list(dict.fromkeys(found.arm))
    figure, axes = plt.subplots(
        1, 2, figsize=(8.2, 0.9 + 0.62 * len(arms)), sharey=True, layout="constrained"
    )
    for ax, (score, title) in zip(axes, panels.items(), strict=True):
        for i, (method, label) in enumerate(methods.items()):
            rows = found[found.method == method]
            y = [arms.index(a) + 0.14 * (i - (len(methods) - 1) / 2) for a in rows.arm]
            error = [
                (rows[score] - rows[f"{score}_low"]).clip(lower=0),
                (rows[f"{score}_high"] - rows[score]).clip(lower=0),
            ]
            look = {"color": _SERIES[i % len(_SERIES)], "fmt": "osD^vP"[i % 6], "clip_on": False}
            ax.errorbar(rows[score], y, xerr=error, ms=5, elinewidth=1.2, label=label, **look)
        for edge in range(len(arms) - 1):
            ax.axhline(edge + 0.5, color="0.85", lw=0.8)
        ax.axvline(bound, color="0.5", lw=1, ls=":")
        ax.set(xlim=(-0.02, 1.02), ylim=(len(arms) - 0.5, -0.5), yticks=range(len(arms)))
        ax.set_title(title)
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("share of all planted features")
    axes[0].set_yticklabels(arms)
    axes[1].set_title("found and rightly named (bars: 95 % intervals)")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
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
