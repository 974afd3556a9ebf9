"""Figures of notebook 09; see `gc_utils.figures` for the look they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gc_utils.figures.style import GREY, OKABE_ITO, styled
from gc_utils.studies.persian_rug.closed_form import best_symmetric, linear_loss, symmetric_loss

COLOURS = tuple(OKABE_ITO[c] for c in ("blue", "vermilion", "green", "orange", "purple", "black"))
MODELS = {
    "Hadamard": ("D", OKABE_ITO["blue"]),
    "projector": ("s", OKABE_ITO["green"]),
    "trained": ("o", OKABE_ITO["vermilion"]),
    "antipodal pairs": ("^", OKABE_ITO["purple"]),
}


@styled
def loss_surface(p: float, r: float) -> Figure:
    """The symmetric loss over diagonal and shift, relative to its least.

    Args:
        p: probability of an entry to be on.
        r: hidden units over entries.
    """
    best = best_symmetric(p, r)
    a = np.linspace(0.3, 2 * best.a, 60)
    b = np.linspace(min(-0.8, 2 * best.b), 0.2, 60)
    loss = np.array([[symmetric_loss(x, y, p, r) for x in a] for y in b]) / best.loss
    figure, ax = plt.subplots(figsize=(3.7, 2.9), layout="constrained")
    levels = [1.05, 1.2, 1.5, 2, 3, 5, 10]
    image = ax.contourf(a, b, loss, [1, *levels], cmap="cividis_r", extend="max")
    ax.plot(best.a, best.b, "+", color="white", ms=11, mew=2)
    ax.set(xlabel="diagonal a", ylabel="shift b'")
    figure.colorbar(image, ax=ax, label="loss / least", ticks=[1, *levels])
    return figure


@styled
def losses(table: pd.DataFrame, ratios: Sequence[float], *, p_range=(0.01, 0.6)) -> Figure:
    """Loss over sparsity: the closed form and the best linear model as lines, models as dots.

    Args:
        table: rows of `model`, `r`, `p`, `loss`.
        ratios: a panel for each.
        p_range: of the lines.
    """
    figure, axes = plt.subplots(
        1,
        len(ratios),
        figsize=(1.0 + 2.1 * len(ratios), 2.8),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    at = np.geomspace(*p_range, 40)
    for ax, r in zip(axes[0], ratios, strict=True):
        ax.plot(
            at, [linear_loss(p, r) for p in at], color=GREY, lw=1.5, ls="--", label="best linear"
        )
        ax.plot(
            at, [best_symmetric(p, r).loss for p in at], color="black", lw=1.5, label="closed form"
        )
        for name, (marker, colour) in MODELS.items():
            here = table[(table.model == name) & np.isclose(table.r, r)]
            if len(here):
                ax.plot(
                    here.p, here.loss, marker, color=colour, ms=5.5, alpha=0.75, label=name, mew=0
                )
        ax.set(title=f"r = {r:g}", xscale="log", yscale="log", xlabel="p")
        ax.grid(True)
    axes[0, 0].set_ylabel("loss of an entry")
    handles = {}
    for ax in axes[0]:
        handles |= dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside right upper")
    return figure


@styled
def closing_gaps(table: pd.DataFrame) -> Figure:
    """How far models are from the closed form, over the number of entries that are on at once.

    Args:
        table: rows of `model`, `on` (`p n_s`), `gap` and `error` (both relative), `r`.
    """
    figure, ax = plt.subplots(figsize=(4.4, 2.8), layout="constrained")
    for name, here in table.groupby("model", sort=False):
        marker, colour = MODELS[name]
        ax.errorbar(
            here.on,
            100 * here.gap,
            200 * here.error,
            fmt=marker,
            color=colour,
            ms=4.5,
            lw=0.8,
            label=name,
            alpha=0.8,
        )
    ax.axhspan(-3, 3, color="#EEEEEE", zorder=0)
    ax.axhline(0, color="black", lw=0.8)
    ax.set(xscale="log", xlabel="entries on at once, p n_s", ylabel="above the closed form, %")
    ax.set_xticks(ticks := [t for t in (3, 6, 12, 25, 50, 100, 200, 400) if t <= table.on.max()])
    ax.set_xticklabels([f"{t}" for t in ticks])
    ax.minorticks_off()
    ax.legend(loc="upper right")
    return figure


@styled
def rugs(matrices: Mapping[str, np.ndarray]) -> Figure:
    """`W_out W_in` of a few models, diagonals off the scale.

    Args:
        matrices: title → `(n, n)`.
    """
    figure, axes = plt.subplots(
        1, len(matrices), figsize=(2.6 * len(matrices), 2.9), squeeze=False, layout="constrained"
    )
    for ax, (title, W) in zip(axes[0], matrices.items(), strict=True):
        W = np.asarray(W)
        off = W[~np.eye(len(W), dtype=bool)]
        most = float(np.quantile(np.abs(off), 0.995)) or 1.0
        ax.imshow(W, cmap="PuOr", vmin=-most, vmax=most, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
        ax.set_title(title, loc="center")
        ax.set_xlabel(f"colours: ±{most:.2f}", fontsize=7.5)
    return figure


@styled
def training_gaps(histories: Mapping[str, pd.DataFrame], least: float, pairs: float) -> Figure:
    """Loss in training relative to the closed form, one line an arm.

    Args:
        histories: arm → history of `train_rug`.
        least: the closed form.
        pairs: loss of antipodal pairs, NaN where there are none.
    """
    figure, ax = plt.subplots(figsize=(5.0, 2.9), layout="constrained")
    for (name, history), colour in zip(histories.items(), COLOURS, strict=False):
        ax.plot(history.step, history.loss / least, color=colour, lw=1.5, label=name)
    ax.axhline(1, color="black", lw=1)
    ax.text(1, 1.02, "closed form", fontsize=7.5, transform=ax.get_yaxis_transform(), ha="right")
    if np.isfinite(pairs):
        ax.axhline(pairs / least, color=OKABE_ITO["purple"], lw=1, ls=":")
        ax.text(
            1,
            pairs / least * 1.02,
            "antipodal pairs",
            fontsize=7.5,
            ha="right",
            transform=ax.get_yaxis_transform(),
        )
    ax.set(xscale="log", yscale="log", xlabel="step", ylabel="loss / closed form")
    ax.set_yticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    ax.minorticks_off()
    ax.grid(True)
    ax.legend(loc="upper right")
    return figure


@styled
def constants(tables: Mapping[float, pd.DataFrame]) -> Figure:
    """Least loss of each kind of function over that of ReLU, by sparsity.

    Args:
        tables: r → table of `best_functions`, index `p`.
    """
    figure, axes = plt.subplots(
        1,
        len(tables),
        figsize=(1.2 + 2.2 * len(tables), 2.8),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, (r, table) in zip(axes[0], tables.items(), strict=True):
        ratio = table.div(table["ReLU"], axis=0).drop(columns="ReLU")
        for name, colour in zip(ratio, (GREY, *COLOURS), strict=False):
            ax.plot(ratio.index, ratio[name], "o-", ms=3, lw=1.4, color=colour, label=name)
        ax.axhline(1, color="black", lw=1)
        ax.set(title=f"r = {r:g}", xscale="log", xlabel="p", ylim=(0, 2.05))
        ax.grid(True)
    axes[0, 0].set_ylabel("loss / ReLU's")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    return figure


@styled
def broken(table: pd.DataFrame) -> Figure:
    """How breaking the symmetry raises the loss: measured, and predicted by the row statistics.

    Args:
        table: rows of `kind`, `amount`, `loss`, `foreseen`, both relative to the closed form.
    """
    figure, ax = plt.subplots(figsize=(4.4, 2.8), layout="constrained")
    for (kind, here), colour in zip(table.groupby("kind", sort=False), COLOURS, strict=False):
        ax.plot(here.amount, here.loss, "o", color=colour, ms=5, label=f"{kind}, measured")
        ax.plot(here.amount, here.foreseen, color=colour, lw=1.3, label=f"{kind}, row statistics")
    ax.axhline(1, color="black", lw=0.8)
    ax.set(xlabel="spread of the logarithm of the scales", ylabel="loss / closed form")
    ax.grid(True)
    ax.legend(loc="upper left")
    return figure


@styled
def phases(ratios: Sequence[float], ps: Sequence[float], gain: np.ndarray, title: str) -> Figure:
    """A phase diagram over sparsity and hidden units.

    Args:
        ratios: r, `K`.
        ps: p, `M`.
        gain: `(K, M)`, drawn on a logarithmic scale.
        title: of the colour bar.
    """
    figure, ax = plt.subplots(figsize=(4.3, 3.0), layout="constrained")
    image = ax.contourf(
        ps, ratios, np.log2(gain), np.arange(0, 5.01, 0.5), cmap="cividis", extend="both"
    )
    lines = ax.contour(ps, ratios, gain, [2], colors="white", linewidths=1.5)
    ax.clabel(lines, fmt="twice", fontsize=8)
    ax.set(xscale="log", xlabel="p", ylabel="hidden units over entries, r")
    bar = figure.colorbar(image, ax=ax, label=title, ticks=range(6))
    bar.ax.set_yticklabels([f"{2**k}" for k in range(6)])
    return figure
