"""Figures of notebook 09; see `gc_utils.figures` for the look they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gc_utils.figures.style import DASHED, GREY, NOTE, OKABE_ITO, WIDTH, styled
from gc_utils.studies.persian_rug.closed_form import best_symmetric, linear_loss, symmetric_loss

# A colour and a mark for each kind of model, and for each kind of function.
MODELS = {
    "Hadamard": ("D", OKABE_ITO["blue"]),
    "projector": ("s", OKABE_ITO["green"]),
    "trained": ("o", OKABE_ITO["vermilion"]),
    "antipodal pairs": ("^", OKABE_ITO["purple"]),
}
FUNCTIONS = {
    "linear": (GREY, "x", "linear"),
    "threshold": (OKABE_ITO["blue"], "s", "threshold"),
    "top-k": (OKABE_ITO["orange"], "D", "top-k"),
    "JumpReLU": (OKABE_ITO["green"], "^", "JumpReLU"),
    "any": (OKABE_ITO["black"], "o", "the best of all functions"),
}
BROKEN = {"diagonal": OKABE_ITO["blue"], "spectrum": OKABE_ITO["orange"]}
ARMS = tuple(OKABE_ITO[c] for c in ("vermilion", "orange", "sky", "green", "blue"))
BAND = 3  # percent: what counts as near the closed form
P_LABEL = "p, probability that an entry is on"


def _ratio(r: float) -> str:
    """The number of hidden units over entries as a fraction, as in "r = 1/8"."""
    return f"r = {Fraction(r).limit_denominator(64)}"


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
    figure, ax = plt.subplots(figsize=(5.6, 3.8), layout="constrained")
    levels = [1, 1.05, 1.2, 1.5, 2, 3, 5, 10]
    shades = plt.get_cmap("cividis_r")(np.linspace(0, 1, len(levels)))
    image = ax.contourf(a, b, loss, levels, colors=shades, extend="max")
    ax.plot(best.a, best.b, "+", color="black", ms=13, mew=2)
    words = f"least: a = {best.a:.2f}, b' = {best.b:.2f}"
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    ax.annotate(
        words, (best.a, best.b), (9, 9), textcoords="offset points", fontsize=NOTE, bbox=box
    )
    ax.set(xlabel="diagonal of W, a", ylabel="shift before the ReLU, b'")
    bar = figure.colorbar(image, ax=ax, ticks=levels)
    bar.ax.set_yticklabels([f"{level:g}" for level in levels])
    bar.set_label("loss / least loss")
    return figure


@styled
def losses(table: pd.DataFrame, ratios: Sequence[float], *, p_range=(0.01, 0.6)) -> Figure:
    """Loss over sparsity: the closed form and the best linear model as lines, models as marks.

    Below each panel the same models' loss over that of the closed form.

    Args:
        table: rows of `model`, `r`, `p`, `loss`.
        ratios: a panel for each.
        p_range: of the lines.
    """
    figure, axes = plt.subplots(
        2,
        len(ratios),
        figsize=(min(WIDTH, 2.0 + 2.0 * len(ratios)), 4.9),
        sharey="row",
        sharex=True,
        squeeze=False,
        layout="constrained",
        height_ratios=[1.5, 1],
    )
    at = np.geomspace(*p_range, 40)
    for (ax, below), r in zip(axes.T, ratios, strict=True):
        linear = np.array([linear_loss(p, r) for p in at])
        closed = np.array([best_symmetric(p, r).loss for p in at])
        ax.plot(at, linear, color=GREY, ls=DASHED, label="best linear model")
        ax.plot(at, closed, color="black", label="closed form")
        below.axhline(1, color="black")
        below.plot(at, linear / closed, color=GREY, ls=DASHED)
        for name, (marker, colour) in MODELS.items():
            here = table[(table.model == name) & np.isclose(table.r, r)]
            if len(here):
                # Hollow, as models that agree with the closed form lie upon each other.
                big = {"Hadamard": 8.5}.get(name, 5.5)
                look = {"color": colour, "ms": big, "mfc": "none", "mew": 1.5, "ls": ""}
                ax.plot(here.p, here.loss, marker, label=name, **look)
                least = np.array([best_symmetric(p, r).loss for p in here.p])
                below.plot(here.p, here.loss / least, marker, **look)
        ax.set(title=_ratio(r), xscale="log", yscale="log")
        below.set(yscale="log", ylim=(0.15, 6))
        below.set_yticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
        below.minorticks_off()
        below.set_xticks([0.01, 0.1], ["0.01", "0.1"])
        for one in (ax, below):
            one.grid(True)
    axes[0, 0].set_ylabel("loss of an entry")
    axes[1, 0].set_ylabel("loss / closed form")
    figure.supxlabel(P_LABEL, fontsize=9.5)
    handles = {}
    for ax in axes[0]:
        handles |= dict(zip(*ax.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=6)
    return figure


@styled
def closing_gaps(table: pd.DataFrame) -> Figure:
    """How far models are from the closed form, over the number of entries that are on at once.

    Args:
        table: rows of `model`, `on` (`p n_s`), `gap` and `error` (both relative), `r`.
    """
    figure, ax = plt.subplots(figsize=(6.6, 3.4), layout="constrained")
    shifts = np.geomspace(0.94, 1 / 0.94, max(2, table.model.nunique()))  # side by side
    for (name, here), shift in zip(table.groupby("model", sort=False), shifts, strict=False):
        marker, colour = MODELS[name]
        ax.errorbar(
            shift * here.on,
            100 * here.gap,
            200 * here.error,
            fmt=marker,
            color=colour,
            ms=5.5,
            lw=1,
            label=name,
            alpha=0.8,
        )
    ax.axhspan(-BAND, BAND, color="#EEEEEE", zorder=0)
    ax.axhline(0, color="black", lw=0.8)
    ends = 0.8 * table.on.min(), 1.35 * table.on.max()
    ax.set(xscale="log", xlim=ends, xlabel="entries that are on at once, p × number of entries")
    ax.set_ylabel("loss above the closed form, %")
    shown = [t for t in (3, 6, 12, 25, 50, 100, 200, 400, 800) if ends[0] <= t <= ends[1]]
    ax.set_xticks(shown, [f"{t}" for t in shown])
    ax.minorticks_off()
    words = {"fontsize": NOTE, "color": GREY, "va": "top"}
    ax.text(0.01, -BAND - 0.3, f"band: ±{BAND} %", transform=ax.get_yaxis_transform(), **words)
    ax.margins(y=0.12)
    ax.legend(loc="upper right", title="bars: two standard errors", alignment="left")
    return figure


@styled
def rugs(matrices: Mapping[str, np.ndarray]) -> Figure:
    """`W_out W_in` of a few models on one scale of colours, diagonals off it.

    Args:
        matrices: title → `(n, n)`.
    """
    off = [np.asarray(W)[~np.eye(len(W), dtype=bool)] for W in matrices.values()]
    most = max(float(np.quantile(np.abs(values), 0.995)) for values in off) or 1.0
    columns = min(2, len(matrices))
    lines = -(-len(matrices) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(1.0 + 3.2 * columns, 0.4 + 3.0 * lines),
        squeeze=False,
        layout="constrained",
    )
    for ax in axes.flat[len(matrices) :]:
        ax.set_visible(False)
    for ax, (title, W) in zip(axes.flat, matrices.items(), strict=False):
        W = np.asarray(W)
        image = ax.imshow(W, cmap="PuOr", vmin=-most, vmax=most, interpolation="nearest")
        ends = [0, len(W) - 1]
        ax.set(xticks=ends, yticks=ends)
        ax.set_xticklabels([1, len(W)])
        ax.set_yticklabels([1, len(W)])
        ax.set_title(title, loc="center")
    for ax in axes[-1]:
        ax.set_xlabel("input j", labelpad=-6)
    for ax in axes[:, 0]:
        ax.set_ylabel("output i", labelpad=-14)
    bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=22, extend="both")
    bar.set_label("weight $W_{ij}$ (diagonals are larger)")
    return figure


@styled
def training_gaps(histories: Mapping[str, pd.DataFrame], least: float, pairs: float) -> Figure:
    """Loss in training relative to the closed form, one line an arm.

    Args:
        histories: arm → history of `train_rug`.
        least: the closed form.
        pairs: loss of antipodal pairs, NaN where there are none.
    """
    figure, ax = plt.subplots(figsize=(7.0, 3.5), layout="constrained")
    for (name, history), colour in zip(histories.items(), ARMS, strict=False):
        ax.plot(history.step, history.loss / least, color=colour, label=name)
    levels = {"closed form": (1.0, "black", "-")}
    if np.isfinite(pairs):
        levels["antipodal pairs"] = pairs / least, MODELS["antipodal pairs"][1], DASHED
    for name, (level, colour, dashes) in levels.items():
        ax.axhline(level, color=colour, lw=1.2, ls=dashes, zorder=1)
        ax.annotate(
            name,
            (1, level),
            (5, 0),
            ("axes fraction", "data"),
            "offset points",
            color=colour,
            va="center",
            fontsize=NOTE,
        )
    ax.set(xscale="log", yscale="log", xlabel="step of Adam", ylabel="loss / closed form")
    ax.set_yticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    ax.minorticks_off()
    ax.grid(True)
    figure.legend(loc="outside upper left", ncols=3, title="step size", alignment="left")
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
        figsize=(WIDTH, 3.5),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, (r, table) in zip(axes[0], tables.items(), strict=True):
        ratio = table.div(table["ReLU"], axis=0).drop(columns="ReLU")
        for name in ratio:
            colour, marker, label = FUNCTIONS.get(name, (GREY, ".", name))
            look = {"color": colour, "ms": 4.5, "lw": 1.4, "label": label}
            ax.plot(ratio.index, ratio[name], marker=marker, **look)
        ax.axhline(1, color="black", lw=1.2)
        ax.set(title=_ratio(r), xscale="log", yscale="log", ylim=(0.14, 4.2))
        ax.set_yticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
        ax.minorticks_off()
        ax.grid(True)
    words = {"fontsize": NOTE, "transform": axes[0, 0].get_yaxis_transform()}
    axes[0, 0].text(0.03, 1.06, "worse than ReLU", va="bottom", **words)
    axes[0, 0].text(0.03, 0.94, "better", va="top", **words)
    axes[0, 0].set_ylabel("least loss / ReLU's")
    figure.supxlabel(P_LABEL, fontsize=9.5)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=5)
    return figure


@styled
def broken(table: pd.DataFrame) -> Figure:
    """How breaking the symmetry raises the loss: measured, and predicted by the row statistics.

    Args:
        table: rows of `kind`, `amount`, `loss`, `foreseen`, both relative to the closed form.
    """
    figure, ax = plt.subplots(figsize=(6.4, 3.3), layout="constrained")
    for kind, here in table.groupby("kind", sort=False):
        colour = BROKEN.get(kind, OKABE_ITO["black"])
        ax.plot(here.amount, here.loss, "o", color=colour)
        ax.plot(here.amount, here.foreseen, color=colour, lw=1.3)
        end = here.iloc[here.amount.argmax()]
        ax.annotate(
            f"{kind} broken",
            (end.amount, end.loss),
            (9, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            annotation_clip=False,
        )
    ax.axhline(1, color="black", lw=0.8)
    ax.set(xlabel="standard deviation of the logarithm of the scales", ylabel="loss / closed form")
    ax.set_xlim(-0.02 * table.amount.max(), 1.3 * table.amount.max())
    ax.spines["bottom"].set_bounds(ax.get_xlim()[0], 1.03 * table.amount.max())
    ax.set_xticks(sorted(table.amount.unique()))
    ax.grid(axis="y")
    line = plt.Line2D
    handles = [
        line([], [], ls="", marker="o", color=GREY, label="measured"),
        line([], [], lw=1.3, color=GREY, label="predicted by the row statistics"),
        line([], [], lw=0.8, color="black", label="closed form of the unbroken model"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3)
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
    figure, ax = plt.subplots(figsize=(6.0, 3.7), layout="constrained")
    image = ax.contourf(
        ps, ratios, np.log2(gain), np.arange(0, 5.01, 0.5), cmap="cividis", extend="both"
    )
    lines = ax.contour(ps, ratios, gain, [2, 8], colors=["white", "black"], linewidths=1.6)
    ax.clabel(lines, fmt=lambda level: f"{level:g} times better", fontsize=NOTE)
    ax.set(xscale="log", xlabel=P_LABEL, ylabel="r, hidden units over entries")
    shown = [p for p in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1) if min(ps) <= p <= max(ps)]
    ax.set_xticks(shown, [f"{p:g}" for p in shown])
    ax.minorticks_off()
    bar = figure.colorbar(image, ax=ax, ticks=range(6))
    bar.set_label(title)
    bar.ax.set_yticklabels([f"{2**k}" for k in range(6)])
    return figure
