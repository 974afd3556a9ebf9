"""Figures of the attacks on concepts; `gc_utils.figures.style` has the style they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor

from gc_utils.figures.parts import as_images
from gc_utils.figures.style import GREY, OKABE_ITO, PALE, styled
from gc_utils.statistics import rate

AIMS = {"induce": OKABE_ITO["vermilion"], "hide": OKABE_ITO["blue"]}
LINES = [OKABE_ITO[c] for c in ("orange", "sky", "green", "blue", "vermilion", "purple", "black")]
MARKS = {"important": "▲", "opposed": "▽", "irrelevant": ""}


@styled
def image_rows(rows: Mapping[str, Tensor], *, columns: Sequence[str] = ()) -> Figure:
    """Rows of images with their names.

    Args:
        rows: Name → images `(n, 3, S, S)` in [0, 1], the same number in each row.
        columns: Titles over the columns, if any.
    """
    many = max(len(x) for x in rows.values())
    figure, axes = plt.subplots(
        len(rows),
        many,
        figsize=(1.1 + 0.95 * many, 0.98 * len(rows) + 0.2),
        squeeze=False,
        gridspec_kw={"wspace": 0.05, "hspace": 0.08},
    )
    for line, (name, x) in zip(axes, rows.items(), strict=True):
        for ax in line:
            ax.axis("off")
        for ax, image in zip(line, as_images(x), strict=False):
            ax.imshow(image)
        line[0].text(
            -0.1, 0.5, name, transform=line[0].transAxes, ha="right", va="center", fontsize=8
        )
    for ax, title in zip(axes[0], columns, strict=False):
        ax.set_title(title, fontsize=8, loc="center", fontweight="normal")
    return figure


@styled
def decisions(table: pd.DataFrame, causal: Sequence[tuple[str, str]] = ()) -> Figure:
    """Mean TCAV score of every concept for every class, and what was decided.

    Args:
        table: The table of `decide`.
        causal: The pairs (concept, class) that are causal by construction, which get a frame.
    """
    concepts, classes = list(dict.fromkeys(table.concept)), list(dict.fromkeys(table["class"]))
    size = (1.9 + 0.62 * len(classes), 1.2 + 0.27 * len(concepts))
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    grid = table.pivot(index="concept", columns="class", values="score").loc[concepts, classes]
    shown = ax.imshow(grid, cmap="PuOr", vmin=0, vmax=1, aspect="auto")
    for _, row in table.iterrows():
        at = classes.index(row["class"]), concepts.index(row["concept"])
        colour = "white" if abs(row.score - 0.5) > 0.35 else "black"
        text = f"{row.score:.2f} {MARKS[row.decision]}".strip()
        ax.text(*at, text, ha="center", va="center", fontsize=7.5, color=colour)
        if (row["concept"], row["class"]) in causal:
            corner = at[0] - 0.47, at[1] - 0.46
            ax.add_patch(plt.Rectangle(corner, 0.94, 0.92, fill=False, ec="black", lw=1.8))
    ax.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    ax.set_yticks(range(len(concepts)), concepts)
    ax.set(xlabel="class (▲ important, ▽ opposed, framed: causal)", ylabel="concept")
    ax.spines[:].set_visible(False)
    figure.colorbar(shown, ax=ax, label="TCAV score", shrink=0.8).outline.set_visible(False)
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
        figsize=(3.5 * len(aims) + 0.6, 3),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    bounds = sorted(table.bound.unique())
    for ax, aim in zip(axes[0], aims, strict=True):
        here = table[table.aim == aim]
        pairs = here.groupby(["concept", "class"], sort=False)
        ax.axhline(here.random.mean(), color=GREY, lw=1, ls="--")
        shifts = np.linspace(-0.2, 0.2, max(len(pairs), 2))
        for i, ((concept, name), rows) in enumerate(pairs):
            line = rows[rows.kind != "noise"].sort_values("bound")
            x = np.array([bounds.index(b) for b in line.bound]) + shifts[i]
            colour = LINES[i] if len(pairs) <= len(LINES) else AIMS[aim]
            label = f"{concept} for {name}" if len(pairs) <= len(LINES) else None
            low, high = line.low.clip(lower=0), line.high.clip(upper=1)
            error = np.stack([line.score - low, high - line.score])
            ax.errorbar(
                x, line.score, error, color=colour, marker="o", ms=4, lw=1.2, label=label, capsize=2
            )
            important = (line.decision == "important").to_numpy()
            ax.plot(x[important], line.score[important], "^", color=colour, ms=8)
            random = rows[rows.kind == "noise"]
            at = [bounds.index(b) + shifts[i] for b in random.bound]
            ax.plot(at, random.score, "x", color=colour, ms=6, mew=1.5)
        ax.set_xticks(range(len(bounds)), ["clean", *(f"{b:g}/255" for b in bounds[1:])])
        titles = {"induce": "made important", "hide": "hidden"}
        ax.set(title=titles[aim], xlabel="largest change of a pixel", ylim=(-0.05, 1.08))
        ax.grid(True, axis="y")
        if len(pairs) <= len(LINES):
            ax.legend(loc="lower right" if aim == "induce" else "lower left")
    axes[0, 0].set_ylabel("TCAV score\n(▲ important, × noise, dashed: random)")
    return figure


@styled
def perturbations(rows: Mapping[str, tuple[Tensor, Tensor]], *, factor: float = 10) -> Figure:
    """Examples, their perturbed versions, and the change magnified.

    Args:
        rows: Name → clean and perturbed images `(n, 3, S, S)`.
        factor: The magnification of the change; mid-grey is no change.
    """
    many = max(len(clean) for clean, _ in rows.values())
    figure, axes = plt.subplots(
        len(rows),
        3 * many,
        figsize=(1.4 + 0.95 * 3 * many, 0.98 * len(rows) + 0.3),
        squeeze=False,
        gridspec_kw={"wspace": 0.05, "hspace": 0.08},
    )
    for line, (name, (clean, moved)) in zip(axes, rows.items(), strict=True):
        for ax in line:
            ax.axis("off")
        for i in range(len(clean)):
            change = 0.5 + factor * (moved[i] - clean[i])
            for j, x in enumerate((clean[i], moved[i], change)):
                line[3 * i + j].imshow(as_images(x))
        line[0].text(
            -0.1, 0.5, name, transform=line[0].transAxes, ha="right", va="center", fontsize=8
        )
    for i, ax in enumerate(axes[0]):
        title = ("clean", "perturbed", f"change × {factor:g}")[i % 3]
        ax.set_title(title, fontsize=8, loc="center", fontweight="normal")
    return figure


@styled
def successes(table: pd.DataFrame) -> Figure:
    """Share of attacks that succeed in each condition, with exact 95 % intervals.

    Args:
        table: One row for each attempt, with `condition`, `aim` and `success`.
    """
    conditions = list(dict.fromkeys(table.condition))
    figure, ax = plt.subplots(figsize=(6.2, 0.8 + 0.32 * len(conditions)), layout="constrained")
    for i, condition in enumerate(conditions):
        for aim, shift in zip(AIMS, (-0.14, 0.14), strict=True):
            here = table[(table.condition == condition) & (table.aim == aim)]
            if len(here):
                share, low, high = rate(here.success)
                ax.plot([low, high], [i + shift] * 2, color=PALE, lw=3, solid_capstyle="butt")
                ax.plot(
                    share,
                    i + shift,
                    "os"[aim == "hide"],
                    color=AIMS[aim],
                    ms=6,
                    clip_on=False,
                    label=None if i else aim,
                )
                ax.text(
                    1.04,
                    i + shift,
                    f"{int(here.success.sum())}/{len(here)}",
                    fontsize=7,
                    color=AIMS[aim],
                    va="center",
                )
    ax.set_yticks(range(len(conditions)), conditions)
    ax.set(xlim=(-0.02, 1.02), ylim=(len(conditions) - 0.5, -0.5), xlabel="attacks that succeed")
    ax.grid(True, axis="x")
    figure.legend(
        [plt.Line2D([], [], color=c, marker="os"[a == "hide"], ls="") for a, c in AIMS.items()],
        list(AIMS),
        loc="outside upper right",
        ncols=2,
    )
    return figure


@styled
def defences(table: pd.DataFrame) -> Figure:
    """What a defence stops and what it costs: success under attack, clean decisions, cost.

    Args:
        table: One row for each defence: `defence`, `induced` and `hidden` (shares, at each bound:
            `induced at 2`, …), `causal found`, `false positives` (shares), `passes`.
    """
    attack = [c for c in table if c.startswith(("induced", "hidden"))]
    figure, axes = plt.subplots(
        1,
        3,
        figsize=(8.2, 0.9 + 0.32 * len(table)),
        sharey=True,
        layout="constrained",
        gridspec_kw={"width_ratios": [1.5, 1, 0.8]},
    )
    y = np.arange(len(table))
    markers = {"induced": "o", "hidden": "s"}
    colours = {"induced": AIMS["induce"], "hidden": AIMS["hide"]}
    for i, column in enumerate(attack):
        kind, _, bound = column.partition(" at ")
        filled = bound == attack[-1].partition(" at ")[2]
        axes[0].plot(
            table[column],
            y + (i - (len(attack) - 1) / 2) * 0.13,
            markers[kind],
            ms=6,
            color=colours[kind],
            mfc=colours[kind] if filled else "white",
            label=f"{kind}, {bound}/255",
            clip_on=False,
        )
    axes[0].set(title="attacks that succeed", xlim=(-0.03, 1.03), xlabel="share")
    axes[1].plot(
        table["causal found"],
        y - 0.1,
        "^",
        color=OKABE_ITO["green"],
        ms=6,
        label="causal found",
        clip_on=False,
    )
    axes[1].plot(
        table["false positives"],
        y + 0.1,
        "x",
        color="black",
        ms=6,
        mew=1.6,
        label="false positives",
        clip_on=False,
    )
    axes[1].set(title="clean decisions", xlim=(-0.03, 1.03), xlabel="share")
    axes[2].barh(y, table["passes"], color=PALE, height=0.6)
    axes[2].set(title="cost", xlabel="forward passes")
    axes[0].set_yticks(y, table.defence)
    axes[0].set_ylim(len(table) - 0.5, -0.5)
    for ax in axes[:2]:
        ax.grid(True, axis="x")
    handles = [h for ax in axes[:2] for h in ax.get_legend_handles_labels()[0]]
    labels = [n for ax in axes[:2] for n in ax.get_legend_handles_labels()[1]]
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
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
        figsize=(1.6 + 2.6 * len(detectors), 0.9 + 0.3 * len(facets)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, detector in zip(axes[0], detectors, strict=True):
        for i, facet in enumerate(facets):
            here = table[(table.detector == detector) & (table.facet == facet)]
            gap = here[second] - here[first]
            jitter = np.linspace(-0.15, 0.15, len(gap)) if len(gap) > 1 else [0.0]
            ax.plot(gap, i + np.asarray(jitter), "o", color=PALE, ms=4)
            ax.plot(gap.mean(), i, "D", color=OKABE_ITO["vermilion"], ms=6)
        ax.axvline(0, color=GREY, lw=0.8)
        ax.set(title=detector, xlim=(-1.05, 1.05), xlabel=f"p({second}) - p({first})")
        ax.set_xticks([-1, 0, 1])
        ax.grid(True, axis="x")
    axes[0, 0].set_yticks(range(len(facets)), facets)
    axes[0, 0].set_ylim(len(facets) - 0.5, -0.5)
    return figure
