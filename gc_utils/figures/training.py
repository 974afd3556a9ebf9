"""Figures of training and of what is left unexplained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from gc_utils.figures.methods import BROWN, VIOLET, method_look
from gc_utils.figures.parts import dot_panels, over_angle, wrapped
from gc_utils.figures.style import GREY, OKABE_ITO, PALE, WIDTH, styled
from gc_utils.groups import Group

# No method's colours in the figures that show parts: they would be taken for the method.
PARTS = {"total": OKABE_ITO["black"], "invariant": VIOLET, "orientation": BROWN}


# --------------------------------------------------------------------------------- 02: training


@styled
def training_curves(
    history: pd.DataFrame, *, k: float | None = None, features: int | None = None
) -> Figure:
    """Held-out FVU in its three parts, L0 and dead features over training.

    Args:
        history: as training returns it: one row a logged step, with `samples`, `l0` and, where the
            held-out samples were evaluated, `held_out_fvu`, `held_out_fvu_invariant`,
            `held_out_fvu_orientation`, `held_out_l0`, `held_out_dead`.
        k: the L0 aimed at, drawn as a line.
        features: size of the dictionary, to give dead features as a share.
    """
    seen = history.dropna(subset=["held_out_fvu"])
    figure, axes = plt.subplots(
        1, 3, figsize=(WIDTH, 2.7), layout="constrained", gridspec_kw={"width_ratios": [1.3, 1, 1]}
    )
    dots = {"marker": "o", "ms": 3.5} if len(seen) < 40 else {}
    for part, colour in PARTS.items():
        y = seen["held_out_fvu" if part == "total" else f"held_out_fvu_{part}"]
        label = f"{part}  {y.iloc[-1]:.2f}"
        axes[0].plot(seen["samples"], y, color=colour, label=label, **dots)
    axes[0].set_title("How much is unexplained?")
    axes[0].set_ylabel("FVU, held-out images")
    top = np.nanmax(seen.filter(like="held_out_fvu").to_numpy())
    axes[0].set_ylim(0, 1.05 * min(top, 2.0))
    axes[0].legend()
    green = OKABE_ITO["green"]
    if "l0" in history:
        axes[1].plot(history["samples"], history["l0"], color=PALE, label="training batches")
    axes[1].plot(seen["samples"], seen["held_out_l0"], color=green, label="held-out", **dots)
    highest = max(seen["held_out_l0"].max(), k or 0)
    if k is not None:
        axes[1].axhline(k, color=GREY, lw=1, ls="--", label=f"k = {k:g}")
    axes[1].set_ylim(0, 1.5 * highest or 1)
    axes[1].set_title("How many features are on?")
    axes[1].set_ylabel("L0")
    axes[1].legend(loc="lower right")
    dead = seen["held_out_dead"] * (100 / features if features else 1)
    axes[2].plot(seen["samples"], dead, color=OKABE_ITO["purple"], **dots)
    axes[2].set_ylim(0, max(5.0, 1.05 * dead.max()))
    axes[2].set_title("How many never fire?")
    axes[2].set_ylabel("dead features" + (", %" if features else ""))
    for ax in axes:
        ax.set_xlabel("orbits seen")
        ax.xaxis.set_major_formatter(mpl.ticker.EngFormatter(sep=""))
        ax.grid(True)
    return figure


@styled
def fvu_per_element(
    per_element,
    group: Group,
    baselines: Mapping[str, Sequence[float]] | None = None,
    *,
    name: str = "crosscoder",
) -> Figure:
    """FVU of every group element: is a rotated input explained as well as the encoder's own?

    Args:
        per_element: `(|G|,)` FVU of the crosscoder.
        group: its group.
        baselines: name → `(|G|,)` FVU of other methods.
        name: what the crosscoder is called.
    """
    looks = {name: per_element} | dict(baselines or {})
    count = 1 + group.dihedral
    figure, axes = plt.subplots(
        1, count, figsize=(WIDTH, 3.1), sharey=True, squeeze=False, layout="constrained"
    )
    highest = 0.0
    for i, (label, values) in enumerate(looks.items()):
        angles, halves = wrapped(values, group)
        look = method_look(label, refined=True, order=i)
        every = max(1, group.n // 8)
        for ax, half in zip(axes[0], halves, strict=True):
            ax.plot(angles, half, markevery=(i % every, every), label=look.name, **look.line)
            highest = max(highest, half.max())
    for ax, title in zip(axes[0], ["Rotated", "Mirrored, then rotated"], strict=False):
        over_angle(ax)
        ax.set_title(title)
    axes[0, 0].set(ylabel="FVU, held-out images", ylim=(0, 1.08 * highest))
    if len(looks) > 1:
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(looks))
    return figure


@styled
def fvu_comparison(table: pd.DataFrame) -> Figure:
    """Crosscoders beside their baselines, a dot a fold.

    Args:
        table: columns `method`, `part` (total, invariant, orientation), `fold`, `fvu`.
    """
    titles = {p: f"{p.capitalize()}" for p in PARTS}
    limits = (0.0, 1.1 * max(float(table.fvu.max()), 1e-9))
    figure = dot_panels(
        table, rows="method", columns="part", value="fvu", titles=titles, limits=limits
    )
    figure.supxlabel("FVU of held-out images (small dots: folds; 0 is best)")
    return figure


@styled
def reproducibility(table: pd.DataFrame) -> Figure:
    """How far features are found again from other images, before and after refining.

    Args:
        table: columns `method`, `fold`, `reproducibility` (median over features) and `share` (of
            features at 0.9 or more).
    """
    titles = {
        "reproducibility": "Median reproducibility",
        "share": "Share of features at 0.9 or more",
    }
    long = table.melt(["method", "fold"], list(titles), "score", "value")
    figure = dot_panels(
        long, rows="method", columns="score", value="value", titles=titles, limits=(0, 1)
    )
    figure.supxlabel("small dots: folds; 1 is best")
    return figure
