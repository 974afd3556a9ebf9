"""Figures of recovery on planted orbits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gc_utils.figures.methods import method_look
from gc_utils.figures.parts import dot_panels, label_text, polar_profile, radial_floor
from gc_utils.figures.style import DASHED, DOTTED, GREY, INK, OKABE_ITO, PALE, WIDTH, styled
from gc_utils.groups import Group
from gc_utils.planted.recovery import summary

RECOVERY = {
    "cosine_max": "cosine",
    "cosine_one_to_one": "cosine, one to one",
    "recall": "found, of all planted",
    "found_and_named": "found and rightly named",
    "precision": "planted, of all learned",
    "template": "template cosine",
    "stabiliser_exact": "rightly named, if found",
    "ari": "families (ARI)",
    "code_correlation": "correlation of codes",
    "stabiliser_kind": "kind of symmetry right",
    "axis_error": "axis error",
    "fvu": "FVU",
    "dead": "dead features",
    "seconds": "seconds a trial",
}


SYMMETRY = {
    "C1": "no symmetry",
    "D1": "one mirror",
    "C2": "half turn",
    "D2": "half turn and mirrors",
    "C4": "quarter turn",
    "D4": "quarter turn and mirrors",
    "G": "everything",
}


@styled
def planted_profiles(profiles, names: Sequence[str], group: Group, *, columns: int = 3) -> Figure:
    """Block profiles side by side, one polar plot a feature.

    Args:
        profiles: The block profiles, `(m, |G|)`, in [-1, 1].
        names: The stabiliser of each, which becomes the title.
        group: The group.
        columns: Plots of a row.

    Returns:
        The figure.
    """
    lines = -(-len(names) // columns)
    figure = plt.figure(figsize=(WIDTH, 2.55 * lines + 0.4), layout="constrained")
    floor = radial_floor(profiles)
    for i, (profile, name) in enumerate(zip(profiles, names, strict=True)):
        ax = figure.add_subplot(lines, columns, i + 1, projection="polar")
        polar_profile(ax, profile, group, floor=floor)
        words = f"{name}: {SYMMETRY[name]}" if name in SYMMETRY else name
        ax.set_title(words, loc="center")
    handles = [Line2D([], [], color=OKABE_ITO["blue"], marker=".", label="rotated")]
    if group.dihedral:
        look = {"color": OKABE_ITO["orange"], "ls": DASHED}
        handles.append(Line2D([], [], label="mirrored, then rotated", **look))
    if floor < 0:
        handles.append(Line2D([], [], color=GREY, lw=0.8, label="cosine 0"))
    handles.append(Line2D([], [], color=PALE, lw=0.8, label="rim: cosine 1"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
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
    figure = dot_panels(
        tidy, rows="method", columns="score", value="value", titles=RECOVERY, limits=(0, 1)
    )
    figure.supxlabel("score (small dots: seeds; 1 is best; none: not defined for the method)")
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
    panels = {score: RECOVERY[score] for score in ("recall", "found_and_named")}
    found = summary(table, ["arm", "method"], list(panels))
    arms = list(dict.fromkeys(found.arm))
    figure, axes = plt.subplots(
        1, 2, figsize=(WIDTH, 1.3 + 0.62 * len(arms)), sharey=True, layout="constrained"
    )
    for ax, (score, title) in zip(axes, panels.items(), strict=True):
        for i, (method, label) in enumerate(methods.items()):
            rows = found[found.method == method]
            y = [arms.index(a) + 0.14 * (i - (len(methods) - 1) / 2) for a in rows.arm]
            error = [
                (rows[score] - rows[f"{score}_low"]).clip(lower=0),
                (rows[f"{score}_high"] - rows[score]).clip(lower=0),
            ]
            look = method_look(method, order=i).mark | {"clip_on": False, "label": label}
            ax.errorbar(rows[score], y, xerr=error, ms=6, elinewidth=1.2, **look)
        for edge in range(len(arms) - 1):
            ax.axhline(edge + 0.5, color="0.85", lw=0.8)
        ax.axvline(bound, color=GREY, lw=1.2, ls=DOTTED)
        ax.set(xlim=(-0.02, 1.02), ylim=(len(arms) - 0.5, -0.5), yticks=range(len(arms)))
        ax.set_title(title)
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("share of all planted features")
    axes[0].set_yticklabels(arms)
    handles, labels = axes[0].get_legend_handles_labels()
    handles.append(Line2D([], [], color=GREY, lw=1.2, ls=DOTTED))
    labels.append(f"{bound:g}: counts as recovery")
    title = "bars: 95 % intervals over problems"
    figure.legend(handles, labels, loc="outside lower center", ncols=2, title=title)
    return figure


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
        figsize=(WIDTH, 3.2),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, score in zip(axes[0], scores, strict=True):
        for i, (method, rows) in enumerate(found.groupby("method", sort=False)):
            look = method_look(method, order=i)
            ax.plot(rows[x], rows[score], label=look.name, clip_on=False, **look.line)
            low, high = rows[f"{score}_low"], rows[f"{score}_high"]
            ax.fill_between(rows[x], low, high, alpha=0.18, lw=0, color=look.colour)
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
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
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
        A column a method: above, the reliability diagram; below, both numbers against the setting.
    """
    figure, axes = plt.subplots(
        2, len(bins), figsize=(WIDTH, 4.9), sharey="row", squeeze=False, layout="constrained"
    )
    for i, (method, table) in enumerate(bins.items()):
        look, (above, below) = method_look(method, order=i), axes[:, i]
        above.plot([0, 1], [0, 1], color=GREY, lw=1.2, ls=DOTTED)
        error = [table.right - table.low, table.high - table.right]
        above.errorbar(table.stated, table.right, error, lw=1.2, elinewidth=1, **look.line)
        rows = trend[trend.method == method].sort_values(x)
        below.plot(rows[x], rows.right, color=look.colour, marker=look.marker)
        below.plot(rows[x], rows.stated, color=GREY, ls=DASHED, marker="_", mew=2, ms=9)
        above.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04), xlabel="confidence stated")
        above.set_title(fill(look.name, 22), loc="left")
        below.set(ylim=(-0.04, 1.04), xlabel=fill(xlabel, 24))
        below.margins(x=0.12)
        for ax in (above, below):
            ax.grid()
    axes[0, 0].set_ylabel("names that are right, share")
    axes[1, 0].set_ylabel("mean over features")
    handles = [
        Line2D([], [], color=GREY, lw=1.2, ls=DOTTED, label="if as often right as stated"),
        Line2D([], [], color=INK, marker="o", label="names that are right"),
        Line2D([], [], color=GREY, ls=DASHED, marker="_", mew=2, ms=9, label="confidence stated"),
    ]
    title = "above: bars are 95 % intervals; below: by setting"
    figure.legend(handles=handles, loc="outside lower center", ncols=3, title=title)
    return figure
