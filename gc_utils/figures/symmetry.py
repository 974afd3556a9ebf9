"""Figures of stabilisers and irrep spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gc_utils.figures.parts import OTHER, label_styles, label_text
from gc_utils.figures.style import GREY, OKABE_ITO, PALE, styled


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
    """How many features have each stabiliser, stacked by kind.

    Args:
        counts: The counts from `stabiliser_counts`.

    Returns:
        A bar chart, a bar a stabiliser.
    """
    styles = label_styles(np.repeat(counts.columns, counts.sum()))
    figure, ax = plt.subplots(figsize=(6.8, 0.9 + 0.34 * len(counts)), layout="constrained")
    left = np.zeros(len(counts))
    y = np.arange(len(counts))
    labelled = len(counts.columns) > 1
    for name in counts.columns:
        colour = styles[name][0] if labelled else OKABE_ITO["blue"]
        ax.barh(y, counts[name], 0.72, left=left, color=colour, ec="white", lw=0.6)
        left += counts[name].to_numpy()
    for i, total in enumerate(left):
        ax.annotate(
            f"{total:.0f}", (total, i), xytext=(4, 0), textcoords="offset points", va="center"
        )
    names = ["invariant (G)" if name == "G" else name for name in counts.index]
    ax.set(yticks=y, ylim=(len(counts) - 0.4, -0.6), xlabel="features")
    ax.set_yticklabels(names)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.margins(x=0.08)
    ax.set_title("Which rotations and mirrors leave a feature unchanged?")
    if labelled:
        handles = [
            Patch(color=styles[name][0], label=label_text(name))
            for name in counts.columns
            if styles[name] != OTHER
        ]
        if any(styles[name] == OTHER for name in counts.columns):
            handles.append(Patch(color=PALE, label="other"))
        figure.legend(handles=handles, loc="outside right upper")
    return figure


@styled
def irrep_spectra(
    spectrum, frequencies: Sequence[int], labels: Sequence[str] | None = None, *, names=None
) -> Figure:
    """Power of every feature in every irrep, features sorted by their dominant frequency.

    Args:
        spectrum: The shares of power, `(m, irreps)`, rows summing to one.
        frequencies: The angular frequency of each irrep, cycles per full rotation.
        labels: A kind for each feature, drawn as a strip beside the map.
        names: The names of the irreps, drawn where two share a frequency.

    Returns:
        A map with a row a feature and a column an irrep.
    """
    spectrum = np.asarray(spectrum, dtype=float)
    frequencies = np.asarray(frequencies)
    columns = np.argsort(frequencies, kind="stable")
    best = spectrum[:, columns].argmax(1)
    order = np.lexsort((-spectrum[:, columns].max(1), best))
    names = (
        [str(f) for f in frequencies]
        if names is None
        else [
            f"{f}\n{name}" if (frequencies == f).sum() > 1 else str(f)
            for f, name in zip(frequencies, names, strict=True)
        ]
    )
    ratios = [0.013 * len(frequencies), 1] if labels is not None else [1]
    figure, axes = plt.subplots(
        1,
        len(ratios),
        figsize=(max(5.6, 3.2 + 0.36 * len(frequencies)), 4.2),
        layout="constrained",
        sharey=True,
        squeeze=False,
        gridspec_kw={"width_ratios": ratios},
    )
    strip, ax = axes[0, 0], axes[0, -1]
    # The square root keeps weak harmonics visible beside the dominant one.
    shown = ax.imshow(
        spectrum[order][:, columns],
        aspect="auto",
        cmap="magma",
        interpolation="nearest",
        norm=mpl.colors.PowerNorm(0.5, 0, 1),
    )
    bar = figure.colorbar(shown, ax=ax, shrink=0.7, pad=0.02, ticks=[0, 0.1, 0.25, 0.5, 1])
    bar.set_label("share of the feature's power")
    bar.outline.set_visible(False)
    ax.set(xticks=range(len(frequencies)), xlabel="cycles per full rotation")
    ax.set_xticklabels([names[c] for c in columns])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_yticks([])
    for edge in np.flatnonzero(np.diff(best[order])) + 0.5:
        ax.axhline(edge, color="white", lw=0.6)
    ax.set_title("At which angular frequency is each feature?")
    strip.set_ylabel(f"{len(spectrum)} features, by dominant frequency")
    if labels is None:
        return figure
    strip.set(xticks=[], yticks=[])
    strip.spines[:].set_visible(False)
    labels = np.asarray(labels, dtype=object)
    styles = label_styles(labels)
    colours = np.array([mpl.colors.to_rgb(styles[name][0]) for name in labels[order]])
    strip.imshow(colours[:, None], aspect="auto", interpolation="nearest")
    handles = [
        Patch(color=colour, label=label_text(name))
        for name, (colour, marker) in styles.items()
        if (colour, marker) != OTHER
    ]
    if any(look == OTHER for look in styles.values()):
        handles.append(Patch(color=PALE, label="other"))
    figure.legend(handles=handles, loc="outside right center")
    return figure


@styled
def half_turn(features: Mapping[str, pd.DataFrame], kinds: Sequence[str]) -> Figure:
    """How similar every feature is to itself, rotated by 180°: a panel an encoder.

    Args:
        features: Title of the panel → one row a feature: `label`, `fold`, the noise-corrected
            `rho_180` and its interval, `rho_180_low` and `rho_180_high`; features without are left
            out.
        kinds: The labels to show, a group of dots each.

    Returns:
        Dots with intervals, sorted within each label and fold; a short line at each median.
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
                ax.vlines(x, *ends, color=colour, lw=0.7, alpha=0.35)
                ax.plot(x, y, marker, ms=3, color=colour, mec="white", mew=0.2)
                middle = float(np.median(y))
                ax.hlines(middle, left + 0.05 * width, left + 0.95 * width, color="black", lw=1.6)
        for level, look in ((0.0, "-"), (0.9, "--")):
            ax.axhline(level, color=GREY, lw=0.8, ls=look, zorder=0)
        ax.set(xticks=range(len(kinds)), xlim=(-0.55, len(kinds) - 0.45))
        ax.set_xticklabels(names)
        ax.tick_params(axis="x", length=0)
        ax.set_title(title)
        ax.grid(axis="y")
    axes[0, 0].set(ylabel="noise-corrected ρ(180°)", ylim=(max(lowest, -1.0) - 0.05, 1.15))
    return figure
