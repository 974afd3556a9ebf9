"""Figures of notebook 09; see `gc_utils.figures` for the look they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from gc_utils.figures.style import DASHED, GREY, INK, NOTE, OKABE_ITO, WIDTH, styled
from gc_utils.studies.persian_rug.closed_form import (
    antipodal_loss,
    best_symmetric,
    linear_loss,
    symmetric_loss,
)
from gc_utils.studies.persian_rug.plateaus import LEFT, WITHIN
from gc_utils.studies.persian_rug.trained import Setting

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
def plateau_study(trained: pd.DataFrame, histories: Mapping[Setting, pd.DataFrame]) -> Figure:
    """The plateau: loss and pairs in training, and the last step on it by entries and by p.

    Args:
        trained: rows of `measure_trained`, of one way of training, one or more.
        histories: their histories by setting.
    """
    figure, axes = plt.subplots(
        2, 2, figsize=(WIDTH, 5.6), layout="constrained", width_ratios=[1.45, 1]
    )
    (loss, sizes), (pairs, sparsities) = axes
    r, p = _most(trained, ["r", "p"], "entries")
    n_most = _most(trained, ["r", "entries"], "p")
    of_sizes = trained[(trained.r == r) & (trained.p == p)].sort_values("entries")
    of_ps = trained[(trained.r == n_most[0]) & (trained.entries == n_most[1])].sort_values("p")
    shades = plt.get_cmap("cividis")(np.linspace(0, 0.78, max(2, len(of_sizes))))
    least = best_symmetric(p, r).loss
    for (_, row), colour in zip(of_sizes.iterrows(), shades, strict=False):
        history = histories[Setting(*row[list(Setting._fields)])]
        loss.plot(history.step, history.loss / least, color=colour, label=f"{row.entries:,}")
        pairs.plot(history.step, 100 * history.paired, color=colour)
        _on_plateau(sizes, row.entries, row, colour)
    by_size = dict(zip(of_sizes.entries, shades, strict=False))
    for _, row in of_ps.iterrows():
        _on_plateau(sparsities, row.p, row, by_size.get(row.entries, INK))
    band = 100 * WITHIN
    loss.axhspan(1 - WITHIN, 1 + WITHIN, color="#DDDDDD", zorder=0)
    words = {"fontsize": NOTE, "va": "bottom", "transform": loss.get_yaxis_transform()}
    loss.text(0.01, 1 + WITHIN, f"closed form ±{band:.0f} %", color=INK, **words)
    if r == 0.5:
        level, colour = antipodal_loss(p) / least, MODELS["antipodal pairs"][1]
        loss.axhline(level, color=colour, lw=1.2, ls=DASHED, zorder=1)
        loss.text(0.01, level * 1.03, "antipodal pairs", color=colour, **words)
    loss.set(xscale="log", yscale="log", ylabel="loss / closed form")
    loss.set(title=f"In training, {_ratio(r)}, p = {p:g}")
    loss.set_yticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    pairs.set(xscale="log", xlabel="step of Adam", ylabel="entries in antipodal pairs, %")
    pairs.set(ylim=(-3, 103), xlim=loss.get_xlim())
    sizes.set(title="Steps on the plateau", xscale="log", xlabel="entries, n")
    sizes.set_xticks(of_sizes.entries, [f"{n:,}" for n in of_sizes.entries])
    sizes.text(0.03, 0.95, f"{_ratio(r)}, p = {p:g}", transform=sizes.transAxes, **NOTED)
    sparsities.set(xlabel="p")
    sparsities.set_xticks(of_ps.p, [f"{one:g}" for one in of_ps.p])
    at = f"{_ratio(n_most[0])}, n = {n_most[1]:,.0f}"
    sparsities.text(0.03, 0.95, at, transform=sparsities.transAxes, **NOTED)
    for ax in (sizes, sparsities):
        ax.set(yscale="log", ylabel="step of Adam")
        ax.margins(x=0.16, y=0.22)
    for axis in (loss.xaxis, pairs.xaxis, sizes.yaxis, sparsities.yaxis):
        low, high = axis.get_view_interval()
        few = high > 8 * low
        shown = [t for t in (ROUND_STEPS[::2] if few else ROUND_STEPS) if low <= t <= high]
        axis.set_ticks(shown, [f"{t:,}" for t in shown])
    for ax in axes.flat:
        ax.minorticks_off()
        ax.grid(True)
    handles = loss.get_legend_handles_labels()[0] + _plateau_marks()
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=len(handles),
        title="entries",
        alignment="left",
        columnspacing=1.2,
    )
    return figure


ROUND_STEPS = tuple(k * 10**i // 10 for i in range(1, 6) for k in (10, 15, 20, 30, 50, 70))
NOTED = {"fontsize": NOTE, "color": INK, "va": "top"}


def _most(trained: pd.DataFrame, fixed: list[str], by: str) -> tuple[float, ...]:
    """The values of `fixed` that the most values of `by` were trained at; r = 1/2 goes first."""
    counts = trained.groupby(fixed)[by].nunique()
    return max(counts.index, key=lambda key: (counts[key], key[0] == 0.5, key[1]))


def _on_plateau(ax: Axes, x: float, row: pd.Series, colour: ArrayLike) -> None:
    """A bar from the first step on the plateau to the last; an arrow if it was not left."""
    if pd.isna(row["last"]):
        ax.plot(x, row.steps, "x", color=colour, mew=1.8)
        return
    ax.plot([x, x], [row["first"], row["last"]], color=colour, lw=4, solid_capstyle="butt")
    ax.plot(x, row["last"], "o" if row.fate == LEFT else "^", color=colour, ms=7)


def _plateau_marks() -> list[Line2D]:
    return [
        Line2D([], [], ls="", color=GREY, marker=marker, label=label)
        for marker, label in (
            ("o", "last step on the plateau"),
            ("^", "still on it"),
            ("x", "never on it"),
        )
    ]


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
