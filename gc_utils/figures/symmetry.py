"""Figures of stabilisers and irrep spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gc_utils.figures.motifs import draw_motif
from gc_utils.figures.parts import KINDS, OTHER, label_styles, label_text
from gc_utils.figures.style import GREY, INK, NOTE, OKABE_ITO, PALE, SMALL, WIDTH, styled


def stabiliser_counts(report: pd.DataFrame, labels: Sequence[str] | None = None) -> pd.DataFrame:
    """How many features of each kind have each stabiliser, axes taken together.

    Args:
        report: The per-feature table, with a column `stabiliser` such as `D1@45`.
        labels: A kind for each row; by default the column `label`, or one column `features`.

    Returns:
        The counts, a row a stabiliser type from the smallest subgroup to `G`, a column a kind.
    """
    if labels is None:
        labels = report["label"] if "label" in report else ["features"] * len(report)
    names = report["stabiliser"].fillna("none").str.split("@").str[0].to_numpy()
    counts = pd.crosstab(pd.Series(names, name="stabiliser"), pd.Series(list(labels), name="label"))

    def order(name: str) -> tuple[int, int, str]:
        if name in ("G", "none"):  # a feature without norm has no symmetry
            return (1, name == "none", name)
        return (0, int(name[1:]) * (2 if name[0] == "D" else 1), name)

    columns = list(label_styles(list(labels)))
    return counts.loc[sorted(counts.index, key=order), columns]


@styled
def stabiliser_table(counts: pd.DataFrame) -> Figure:
    """Which share of each kind of feature has each stabiliser: a table, a row a kind.

    Args:
        counts: The counts from `stabiliser_counts`.

    Returns:
        The table: numbers of features, shaded by their share of the row, with a shape of each
        stabiliser above its column.
    """
    kinds = [kind for kind in KINDS if kind in counts] + [
        kind for kind in counts if kind not in KINDS
    ]
    rows = counts[kinds].T
    share = rows.div(rows.sum(axis=1).clip(lower=1), axis=0).to_numpy()
    height = 1.55 + 0.36 * len(rows)
    figure, ax = plt.subplots(figsize=(min(WIDTH, 3.2 + 0.78 * len(counts)), height))
    figure.subplots_adjust(left=0.2, right=0.9, top=1 - 1.1 / height, bottom=0.4 / height)
    shown = ax.imshow(share, aspect="auto", cmap="Blues", vmin=0, vmax=1)
    for (y, x), number in np.ndenumerate(rows.to_numpy()):
        colour = "white" if share[y, x] > 0.55 else INK if number else PALE
        ax.text(x, y, number, ha="center", va="center", color=colour, fontsize=NOTE)
    ax.set(yticks=range(len(rows)), xticks=range(len(counts)))
    ax.set_yticklabels([f"{label_text(kind)} ({n})" for kind, n in rows.sum(axis=1).items()])
    names = ["G, invariant" if name == "G" else name for name in counts.index]
    ax.set_xticklabels(names)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xticks(np.arange(len(counts) - 1) + 0.5, minor=True)
    ax.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    ax.grid(which="minor", color="white", lw=1.5)
    ax.tick_params(which="minor", length=0)
    box = ax.get_position()
    each = box.width / len(counts)
    for i, name in enumerate(counts.index):
        top = figure.add_axes((box.x0 + i * each, box.y1, each, 0.5 / height))
        top.set(xlim=(-0.62, 0.62), ylim=(-0.62, 0.62), aspect="equal")
        top.set_axis_off()
        if name != "none":
            draw_motif(top, name)
    figure.text(
        0.01, 1 - 0.08 / height, "Which symmetry do features of each kind have?",
        weight="bold", va="top", fontsize=10.5,
    )  # fmt: skip
    note = "number of features; the darker, the larger the share of the kind"
    figure.text(0.01, 1 - 0.3 / height, note, va="top", fontsize=NOTE, color=INK)
    bar = figure.colorbar(
        shown, cax=figure.add_axes((0.915, box.y0, 0.016, box.height)), ticks=[0, 0.5, 1]
    )
    bar.outline.set_visible(False)
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"])
    return figure


@styled
def irrep_spectra(
    spectrum, frequencies: Sequence[int], labels: Sequence[str] | None = None, *, names=None
) -> Figure:
    """The mean power of each kind of feature at each frequency, and where every feature lies.

    Args:
        spectrum: The shares of power, `(m, irreps)`, rows summing to one.
        frequencies: The angular frequency of each irrep, cycles per full rotation.
        labels: A kind for each feature; without, all are of one kind.
        names: The names of the irreps, drawn where two share a frequency.

    Returns:
        Left a table, a row a kind and a column an irrep, with a picture of the frequency above it.
        Right every feature by the shares of its power that survive all rotations, those by 180°
        only, and none.
    """
    spectrum, frequencies = np.asarray(spectrum, dtype=float), np.asarray(frequencies)
    labels = np.asarray(["features"] * len(spectrum) if labels is None else labels, dtype=object)
    styles = label_styles(labels)
    kinds = [kind for kind in KINDS if kind in styles] + [k for k in styles if k not in KINDS]
    columns = np.argsort(frequencies, kind="stable")
    height = max(4.6, 1.6 + 0.3 * len(kinds))
    figure = plt.figure(figsize=(WIDTH + 1.4, height))
    ax = figure.add_axes((0.135, 0.62 / height, 0.43, 1 - 1.75 / height))
    mean = np.stack([spectrum[labels == kind].mean(0)[columns] for kind in kinds])
    ax.imshow(mean, aspect="auto", cmap="Blues", norm=mpl.colors.PowerNorm(0.6, 0, 1))
    for (y, x), share in np.ndenumerate(mean):
        colour = "white" if share > 0.45 else INK if share >= 0.005 else PALE
        ax.text(x, y, f"{100 * share:.0f}", ha="center", va="center", color=colour, fontsize=SMALL)
    ax.set(yticks=range(len(kinds)), xticks=range(len(columns)))
    counts = pd.Series(labels).value_counts()
    ax.set_yticklabels([f"{label_text(kind)} ({counts[kind]})" for kind in kinds])
    names = [""] * len(frequencies) if names is None else list(names)
    twice = [(frequencies == f).sum() > 1 for f in frequencies]
    ax.set_xticklabels(
        [f"{frequencies[c]}\n{names[c]}" if twice[c] else str(frequencies[c]) for c in columns]
    )
    ax.set_xlabel("frequency: cycles in a full rotation")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    box = ax.get_position()
    each = box.width / len(columns)
    for i, c in enumerate(columns):
        top = figure.add_axes((box.x0 + i * each, box.y1 + 0.02 / height, each, 0.42 / height))
        _lobes(top, int(frequencies[c]))
    _heading(figure, 0.01, height, "Mean share of power at each frequency, in %",
             "above: what such a response looks like over a full rotation")  # fmt: skip
    corner = figure.add_axes((0.615, 0.95 / height, 0.375, 1 - 1.5 / height))
    _triangle(corner, spectrum, frequencies, labels, styles)
    _heading(figure, 0.6, height, "Every feature in a triangle",
             "the nearer a corner, the more of its power is there")  # fmt: skip
    return figure


def _heading(figure: Figure, x: float, height: float, title: str, note: str) -> None:
    figure.text(x, 1 - 0.08 / height, title, weight="bold", va="top", fontsize=10)
    figure.text(x, 1 - 0.29 / height, note, va="top", fontsize=NOTE, color=INK)


def _lobes(ax: Axes, frequency: int) -> None:
    """A response over a full rotation that has one frequency: a curve around a circle."""
    angle = np.linspace(0, 2 * np.pi, 181)
    radius = 1 + 0.45 * np.cos(frequency * angle) * (frequency > 0)
    ax.plot(np.cos(angle), np.sin(angle), color=PALE, lw=0.7)
    ax.plot(radius * np.cos(angle), radius * np.sin(angle), color=OKABE_ITO["blue"], lw=1.2)
    ax.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
    ax.set_axis_off()


def _triangle(ax: Axes, spectrum, frequencies, labels, styles) -> None:
    """Features in a triangle: bottom left even frequencies, bottom right odd ones, top zero."""
    zero = spectrum[:, frequencies == 0].sum(1)
    odd = spectrum[:, frequencies % 2 == 1].sum(1)
    even = 1 - zero - odd
    tall = np.sqrt(3) / 2

    def place(even, odd, zero) -> tuple:
        return odd + zero / 2, tall * zero + 0 * even

    ax.plot([0, 1, 0.5, 0], [0, 0, tall, 0], color=GREY, lw=1)
    for share in (0.25, 0.5, 0.75):
        rest = 1 - share
        for ends in (
            [place(share, rest, 0), place(share, 0, rest)],
            [place(rest, share, 0), place(0, share, rest)],
            [place(rest, 0, share), place(0, rest, share)],
        ):
            ax.plot(*np.transpose(ends), color="#E4E4E4", lw=0.7, zorder=0)
    for name in sorted(styles, key=lambda name: styles[name] != OTHER):
        colour, marker = styles[name]
        here = labels == name
        size = 8 if (colour, marker) == OTHER else 26
        ax.scatter(*place(even[here], odd[here], zero[here]), s=size, c=colour, marker=marker,
                   ec="white", lw=0.4, label=label_text(name), clip_on=False)  # fmt: skip
    ax.text(0.5, tall + 0.02, "0: invariant", ha="center", va="bottom", fontsize=NOTE)
    ax.text(-0.02, -0.03, "even: repeats\nafter 180°", ha="left", va="top", fontsize=NOTE)
    ax.text(1.02, -0.03, "odd: changes sign\nafter 180°", ha="right", va="top", fontsize=NOTE)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.17, tall + 0.09), aspect="equal")
    ax.set_axis_off()
    ax.legend(
        loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=4, fontsize=SMALL, handletextpad=0.1,
        columnspacing=0.9, borderaxespad=0.0,
    )  # fmt: skip


@styled
def half_turn(features: Mapping[str, pd.DataFrame], kinds: Sequence[str]) -> Figure:
    """How similar every feature is to itself, rotated by 180°: a panel an encoder.

    Args:
        features: Title of the panel → one row a feature: `label`, `fold`, the noise-corrected
            `rho_180` and its interval, `rho_180_low` and `rho_180_high`; features without are left
            out.
        kinds: The labels to show, a group of dots each.

    Returns:
        Dots with intervals, sorted within each label and fold; a short line at each median, and a
        dashed one at 0.9, from which a feature repeats after a half turn.
    """
    styles, lowest = label_styles(kinds), -0.3
    figure, axes = plt.subplots(
        1, len(features), figsize=(8.0, 3.5), sharey=True, squeeze=False, layout="constrained"
    )
    for ax, (title, table) in zip(axes[0], features.items(), strict=True):
        names = []
        for at, kind in enumerate(kinds):
            here = table[(table.label == kind) & table.rho_180.notna()]
            # Long names on two lines, and all numbers below them.
            first, _, second = label_text(kind).replace("-", "- ").partition(" ")
            names.append(f"{first}\n{second}\n{len(here)}")
            lowest = min([lowest, *here.rho_180_low])
            folds = sorted(here.fold.unique())
            for number, fold in enumerate(folds):
                some = here[here.fold == fold].sort_values("rho_180")
                width = 0.8 / len(folds)
                left = at - 0.4 + width * number
                x = left + width * (0.1 + 0.8 * (np.arange(len(some)) + 0.5) / len(some))
                y = some.rho_180.to_numpy()
                colour, marker = styles[kind]
                ends = [some.rho_180_low.to_numpy(), some.rho_180_high.to_numpy()]
                ax.vlines(x, *ends, color=colour, lw=0.8, alpha=0.6)
                # Under the marks, and dark edges on them: pale colours are seen, few marks too.
                middle = float(np.median(y))
                ax.hlines(middle, left + 0.05 * width, left + 0.95 * width, color="black", lw=1.6)
                ax.plot(x, y, marker, ms=4, color=colour, mec=INK, mew=0.4, ls="none", zorder=3)
        for level, look in ((0.0, "-"), (0.9, "--")):
            ax.axhline(level, color=GREY, lw=0.8, ls=look, zorder=0)
        ax.set(xticks=range(len(kinds)), xlim=(-0.55, len(kinds) - 0.45))
        ax.set_xticklabels(names)
        ax.tick_params(axis="x", length=0)
        ax.set_title(title)
        ax.grid(axis="y")
    axes[0, 0].set(ylabel="noise-corrected ρ(180°)", ylim=(max(lowest, -1.0) - 0.05, 1.15))
    return figure
