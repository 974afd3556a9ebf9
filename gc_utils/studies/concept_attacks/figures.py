"""Figures of the attacks on concepts; `gc_utils.figures.style` has the style they share."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor

from gc_utils.figures.parts import as_images
from gc_utils.figures.style import DASHED, GREY, NOTE, OKABE_ITO, PALE, SMALL, WIDTH, styled
from gc_utils.statistics import rate

AIMS = {"induce": OKABE_ITO["vermilion"], "hide": OKABE_ITO["blue"]}
LINES = [OKABE_ITO[c] for c in ("orange", "sky", "green", "blue", "vermilion", "purple", "black")]
AIM_NAMES = {"induce": "induce: make important", "hide": "hide: make unimportant"}
WORSE = LinearSegmentedColormap.from_list("worse", ["#FFFFFF", OKABE_ITO["vermilion"]])
MARKS = {"important": "▲", "opposed": "▽", "irrelevant": ""}


@styled
def image_rows(
    rows: Mapping[str, Tensor], *, columns: Sequence[str] = (), tile: float = 0.78
) -> Figure:
    """Rows of images with their names.

    Args:
        rows: Name → images `(n, 3, S, S)` in [0, 1], the same number in each row.
        columns: Titles over the columns, if any.
        tile: The side of an image in inches; smaller where the figure would be too wide.
    """
    many = max(len(x) for x in rows.values())
    side, above = 1.05, 0.1 + (0.2 + 0.16 * max(c.count("\n") for c in columns) if columns else 0)
    tile = min(tile, (WIDTH - side) / many)
    figure, axes = _image_grid(len(rows), many, tile, side=side, above=above)
    for line, (name, x) in zip(axes, rows.items(), strict=True):
        for ax, image in zip(line, as_images(x), strict=False):
            ax.imshow(image)
        _row_name(line[0], name)
    for ax, title in zip(axes[0], columns, strict=False):
        ax.set_title(title, fontsize=SMALL, loc="center", fontweight="normal", pad=3)
    return figure


def _image_grid(
    rows: int, columns: int, tile: float, *, side: float, above: float
) -> tuple[Figure, np.ndarray]:
    """Axes for square images, with room in inches for names at the side and titles above."""
    size = (side + tile * columns, tile * rows + above)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    places = {"left": side / size[0], "right": 1, "bottom": 0, "top": 1 - above / size[1]}
    figure.subplots_adjust(**places, wspace=0.06, hspace=0.06)
    for ax in axes.flat:
        ax.axis("off")
    return figure, axes


def _row_name(ax: plt.Axes, name: str) -> None:
    """The name of a row of images, left of its first."""
    place = {"transform": ax.transAxes, "ha": "right", "va": "center"}
    ax.text(-0.08, 0.5, name, fontsize=NOTE, **place)


@styled
def decisions(table: pd.DataFrame, causal: Sequence[tuple[str, str]] = ()) -> Figure:
    """Mean TCAV score of every concept for every class, and what was decided.

    Args:
        table: The table of `decide`.
        causal: The pairs (concept, class) that are causal by construction, which get a frame.
    """
    concepts, classes = list(dict.fromkeys(table.concept)), list(dict.fromkeys(table["class"]))
    size = (3.0 + 0.85 * len(classes), 1.3 + 0.31 * len(concepts))
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    grid = table.pivot(index="concept", columns="class", values="score").loc[concepts, classes]
    shown = ax.imshow(grid, cmap="PuOr", vmin=0, vmax=1, aspect="auto")
    for _, row in table.iterrows():
        at = classes.index(row["class"]), concepts.index(row["concept"])
        colour = "white" if abs(row.score - 0.5) > 0.35 else "black"
        text = f"{row.score:.2f} {MARKS[row.decision]}".strip()
        ax.text(*at, text, ha="center", va="center", fontsize=NOTE, color=colour)
        if (row["concept"], row["class"]) in causal:
            corner = at[0] - 0.47, at[1] - 0.45
            ax.add_patch(plt.Rectangle(corner, 0.94, 0.9, fill=False, ec="black", lw=2))
    ax.set_xticks(range(len(classes)), classes)
    ax.set_yticks(range(len(concepts)), concepts)
    ax.tick_params(length=0)
    ax.set(xlabel="class", ylabel="concept")
    ax.spines[:].set_visible(False)
    bar = figure.colorbar(shown, ax=ax, shrink=0.8)
    bar.set_label("TCAV score (½: as random)")
    bar.outline.set_visible(False)
    point = {"ls": "", "color": "black", "ms": 7}
    handles = [
        plt.Line2D([], [], marker="^", label="called important", **point),
        plt.Line2D([], [], marker="v", mfc="white", label="called opposed", **point),
        plt.Line2D([], [], marker="s", mfc="white", mew=2, label="causal", **point),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure


@styled
def attacked_scores(table: pd.DataFrame) -> Figure:
    """Scores under attack over its bound, with 95 % intervals, and under random noise.

    Args:
        table: One row for each attempt, with `concept`, `class`, `aim` (induce, hide), `kind`
            (attack, noise), `bound` (255ths, 0 for clean), `score`, `low`, `high`, `random`,
            `decision`.
    """
    aims = [a for a in AIMS if (table.aim == a).any()]
    figure, axes = plt.subplots(
        1,
        len(aims),
        figsize=(min(WIDTH, 0.8 + 3.7 * len(aims)), 4.7),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    bounds = sorted(table.bound.unique())
    few = len(table.groupby(["aim", "concept", "class"])) <= len(LINES)
    lines = iter(LINES)
    for ax, aim in zip(axes[0], aims, strict=True):
        here = table[table.aim == aim]
        pairs = here.groupby(["concept", "class"], sort=False)
        ax.axhline(here.random.mean(), color=GREY, lw=1.2, ls=DASHED)
        shifts = np.linspace(-0.09, 0.09, len(pairs)) if len(pairs) > 1 else [0.0]
        for i, ((concept, name), rows) in enumerate(pairs):
            line = rows[rows.kind != "noise"].sort_values("bound")
            x = np.array([bounds.index(b) for b in line.bound]) + shifts[i]
            colour = next(lines) if few else AIMS[aim]
            label = textwrap.fill(f"{concept} for {name}", 30) if few else None
            low, high = line.low.clip(lower=0), line.high.clip(upper=1)
            error = np.stack([line.score - low, high - line.score])
            ax.errorbar(x, line.score, error, color=colour, lw=1.3, label=label, clip_on=False)
            important = (line.decision == "important").to_numpy()
            dot = {"color": colour, "ls": "", "clip_on": False}
            for of, marker in (
                (~important, {"marker": "o", "ms": 5.5}),
                (important, {"marker": "^", "ms": 8.5}),
            ):
                if of.any():  # an unclipped line of no points would count as one at the corner
                    ax.plot(x[of], line.score[of], **marker, **dot)
            random = rows[rows.kind == "noise"]
            if len(random):
                at = [bounds.index(b) + shifts[i] + 0.25 for b in random.bound]
                ax.plot(at, random.score, marker="x", ms=6.5, mew=1.8, **dot)
        ax.set_xticks(range(len(bounds)), ["clean", *(f"{b:g}/255" for b in bounds[1:])])
        titles = {"induce": "irrelevant, to be made important", "hide": "causal, to be hidden"}
        ax.set(title=titles[aim], xlabel="largest change of a pixel", ylim=(0, 1.04))
        ax.set_xlim(-0.3, len(bounds) - 0.6)
        ax.grid(True, axis="y")
        if few:
            # One narrow column: a legend wider than its axes would leave the axes no room.
            ax.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.2))
    axes[0, 0].set_ylabel("TCAV score")
    point = {"ls": "", "color": "black"}
    handles = [
        plt.Line2D([], [], marker="^", ms=8, label="called important", **point),
        plt.Line2D([], [], marker="o", ms=5.5, label="not called important", **point),
        plt.Line2D([], [], marker="x", ms=6.5, mew=1.8, label="random noise", **point),
        plt.Line2D([], [], color=GREY, lw=1.2, ls=DASHED, label="random directions"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4)
    return figure


@styled
def perturbations(rows: Mapping[str, tuple[Tensor, Tensor]], *, factor: float = 10) -> Figure:
    """Examples, their perturbed versions, and the change magnified.

    Args:
        rows: Name → clean and perturbed images `(n, 3, S, S)`.
        factor: The magnification of the change; mid-grey is no change.
    """
    many = max(len(clean) for clean, _ in rows.values())
    side, tile, above = 1.25, min(0.95, (WIDTH - 1.25) / (3 * many)), 0.28
    figure, axes = _image_grid(len(rows), 3 * many, tile, side=side, above=above)
    for line, (name, (clean, moved)) in zip(axes, rows.items(), strict=True):
        for i in range(len(clean)):
            change = 0.5 + factor * (moved[i] - clean[i])
            for j, x in enumerate((clean[i], moved[i], change)):
                line[3 * i + j].imshow(as_images(x))
        _row_name(line[0], name)
    for i, ax in enumerate(axes[0]):
        title = ("clean", "perturbed", f"change × {factor:g}")[i % 3]
        ax.set_title(title, fontsize=SMALL, loc="center", fontweight="normal", pad=4)
    return figure


@styled
def successes(table: pd.DataFrame) -> Figure:
    """Share of attacks that succeed in each condition, with exact 95 % intervals.

    Args:
        table: One row for each attempt, with `condition`, `aim` and `success`.
    """
    conditions = list(dict.fromkeys(table.condition))
    figure, ax = plt.subplots(figsize=(7.6, 1.2 + 0.42 * len(conditions)), layout="constrained")
    for i, condition in enumerate(conditions):
        for n, (aim, shift) in enumerate(zip(AIMS, (-0.17, 0.17), strict=True)):
            here = table[(table.condition == condition) & (table.aim == aim)]
            if len(here):
                share, low, high = rate(here.success)
                y = i + shift
                ax.plot(
                    [low, high], [y, y], color=AIMS[aim], lw=4, alpha=0.3, solid_capstyle="butt"
                )
                ax.plot(share, y, "os"[n], color=AIMS[aim], ms=6.5, clip_on=False)
                words = {"fontsize": SMALL, "color": AIMS[aim], "va": "center"}
                ax.text(1.05, y, f"{int(here.success.sum())} of {len(here)}", **words)
        if i:
            ax.axhline(i - 0.5, color="#E4E4E4", lw=0.7)
    ax.set_yticks(range(len(conditions)), conditions)
    ax.tick_params(axis="y", length=0)
    ax.set(
        xlim=(-0.02, 1.02),
        ylim=(len(conditions) - 0.5, -0.5),
        xlabel="share of attacks that succeed",
    )
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    ax.grid(True, axis="x")
    handles = [
        plt.Line2D([], [], color=AIMS[a], marker="os"[n], ls="", ms=6.5, label=AIM_NAMES[a])
        for n, a in enumerate(AIMS)
    ]
    handles.append(plt.Rectangle((0, 0), 1, 1, color=PALE, label="95 % interval"))
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure


@styled
def defences(table: pd.DataFrame) -> Figure:
    """What a defence stops and what it costs: success under attack, clean decisions, cost.

    Darker is worse: attacks that succeed, causal concepts that are missed, false alarms.

    Args:
        table: One row for each defence: `defence`, `induced` and `hidden` (shares, at each bound:
            `induced at 2`, …), `causal found`, `false positives` (shares), `passes`.
    """
    attacks = [c for kind in ("induced", "hidden") for c in table if c.startswith(f"{kind} at ")]
    missed = 1 - table["causal found"]
    clean = pd.DataFrame({"causal\nmissed": missed, "false\nalarms": table["false positives"]})
    names = [c.replace(" at ", "\n") + "/255" for c in attacks]
    figure, axes = plt.subplots(
        1,
        3,
        figsize=(WIDTH, 1.25 + 0.37 * len(table)),
        sharey=True,
        layout="constrained",
        gridspec_kw={"width_ratios": [len(attacks), 2, 1.6]},
    )
    for ax, values, columns, title in (
        (axes[0], table[attacks].to_numpy(dtype=float), names, "attacks that succeed"),
        (axes[1], clean.to_numpy(dtype=float), list(clean), "with no attack"),
    ):
        ax.imshow(values, cmap=WORSE, vmin=0, vmax=1, aspect="auto")
        for (y, x), value in np.ndenumerate(values):
            words = {"ha": "center", "va": "center", "fontsize": NOTE}
            ax.text(x, y, f"{100 * value:.0f} %", weight="bold" if value else None, **words)
        ax.set_xticks(range(len(columns)), columns)
        ax.set_xticks(np.arange(0.5, len(columns) - 1), minor=True)
        ax.set_yticks(np.arange(0.5, len(table) - 1), minor=True)
        ax.grid(which="minor", color="#D0D0D0", lw=0.8)
        ax.tick_params(which="both", length=0)
        ax.set_title(title)
    axes[2].barh(np.arange(len(table)), table["passes"], color=PALE, height=0.6)
    for y, passes in enumerate(table["passes"]):
        axes[2].text(passes, y, f" {passes:g}", va="center", fontsize=NOTE)
    axes[2].set(title="cost", xlabel="forward passes\nan example", xticks=[])
    axes[2].set_xlim(0, 1.2 * table["passes"].max())
    axes[2].spines["bottom"].set_visible(False)
    axes[2].tick_params(length=0, which="both")
    axes[0].set_yticks(range(len(table)), table.defence)
    axes[0].set_ylim(len(table) - 0.5, -0.5)
    return figure


@styled
def facet_scores(table: pd.DataFrame, names: Sequence[str]) -> Figure:
    """What independent detectors see in faceted visualisations.

    Args:
        table: The table of `detector_probabilities`.
        names: The two classes whose probabilities are compared.
    """
    first, second = names
    detectors, facets = list(dict.fromkeys(table.detector)), list(dict.fromkeys(table.facet))
    figure, axes = plt.subplots(
        1,
        len(detectors),
        figsize=(min(WIDTH, 2.0 + 3.0 * len(detectors)), 1.5 + 0.34 * len(facets)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, detector in zip(axes[0], detectors, strict=True):
        for i, facet in enumerate(facets):
            here = table[(table.detector == detector) & (table.facet == facet)]
            gap = here[second] - here[first]
            colour = OKABE_ITO["vermilion"] if "attack" in facet else OKABE_ITO["black"]
            jitter = np.linspace(-0.2, 0.2, len(gap)) if len(gap) > 1 else [0.0]
            dots = {"color": colour, "alpha": 0.35, "mew": 0, "clip_on": False}
            ax.plot(gap, i + np.asarray(jitter), "o", ms=5, **dots)
            ax.plot(gap.mean(), i, "D", color=colour, ms=7, clip_on=False)
        ax.axvline(0, color=GREY, lw=1)
        ax.set(title=f"detector: {detector}", xlim=(-1.06, 1.06))
        ax.set_xticks([-1, 0, 1], [f"-1: {first}", "0", f"{second}: 1"])
        for label, side in zip(ax.get_xticklabels(), ("left", "center", "right"), strict=True):
            label.set_ha(side)
        ax.grid(True, axis="x")
        ax.tick_params(axis="y", length=0)
    axes[0, 0].set_yticks(range(len(facets)), facets)
    axes[0, 0].set_ylim(len(facets) - 0.5, -0.5)
    figure.supxlabel(f"p({second}) - p({first})", fontsize=9.5)
    point = {"ls": "", "marker": "D", "ms": 7}
    handles = [
        plt.Line2D([], [], color="black", label="mean, clean or noise", **point),
        plt.Line2D([], [], color=OKABE_ITO["vermilion"], label="mean, attacked", **point),
        plt.Line2D([], [], color=GREY, ls="", marker="o", ms=5, alpha=0.5, label="one start"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
    return figure
