"""Everything that is computed of one feature's symmetry, in one figure."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gc_utils.figures.motifs import draw_motif
from gc_utils.figures.parts import degrees, label_text, over_angle, polar_profile, wrapped
from gc_utils.figures.style import DASHED, GREY, INK, NOTE, OKABE_ITO, SMALL, WIDTH, styled
from gc_utils.groups import Group

BOUND = 0.9
BLUE, ORANGE, RED = (OKABE_ITO[name] for name in ("blue", "orange", "vermilion"))


@dataclass(frozen=True)
class Quantities:
    """What is computed of one feature.

    Attributes:
        feature: its number.
        label: the kind of drawing that it responds to.
        profile: block profile, `(|G|,)`.
        raw: autocorrelation `ρ`, `(|G|,)`.
        rho: noise-corrected `ρ`, `(|G|,)`; NaN where no other dictionary has the feature.
        low: lower end of its interval.
        high: upper end.
        spectrum: share of power in every irrep.
        stabiliser: its name, such as `D2@45`.
        axis_degrees: a mirror axis of it, NaN for none.
        chirality: `1 - max ρ` over the mirrors, NaN without mirrors.
        p_value: share of null features that are as symmetric.
        confidence: of the name.
        reproducibility: cosine with the counterpart in other dictionaries.
    """

    feature: int
    label: str
    profile: np.ndarray
    raw: np.ndarray
    rho: np.ndarray
    low: np.ndarray
    high: np.ndarray
    spectrum: np.ndarray
    stabiliser: str
    axis_degrees: float
    chirality: float
    p_value: float
    confidence: float
    reproducibility: float


@styled
def symmetry_quantities(one: Quantities, group: Group) -> Figure:
    """Six quantities of one feature, a numbered panel each, with what to read from it.

    Args:
        one: The feature.
        group: The group of its blocks.

    Returns:
        The figure.
    """
    figure = plt.figure(figsize=(WIDTH + 0.8, 6.7))
    figure.suptitle(f"Feature {one.feature}, {label_text(one.label)}", x=0.015, ha="left", y=0.99)
    grid = figure.add_gridspec(
        2, 3, left=0.06, right=0.985, top=0.83, bottom=0.085, hspace=0.68, wspace=0.3
    )
    places = [grid[i // 3, i % 3] for i in range(6)]
    polar = figure.add_subplot(places[0], projection="polar")
    polar_profile(polar, one.profile, group)
    _head(polar, "1  Block profile", "cosine of each block with the\nblock of the unrotated view")
    _rotations(figure.add_subplot(places[1]), one, group)
    _mirrors(figure.add_subplot(places[2]), one, group)
    _stabiliser(figure.add_subplot(places[3]), one, group)
    _spectrum(figure.add_subplot(places[4]), one, group)
    _trust(figure.add_subplot(places[5]), one)
    return figure


def _head(ax: Axes, title: str, note: str) -> None:
    """A bold title and a note of two lines, at the left of the panel's cell."""
    box = ax.get_subplotspec().get_position(ax.figure)
    ax.figure.text(box.x0 - 0.035, box.y1 + 0.085, title, weight="bold", fontsize=10, va="bottom")
    ax.figure.text(box.x0 - 0.035, box.y1 + 0.079, note, fontsize=NOTE, va="top", color=INK)


def _rotations(ax: Axes, one: Quantities, group: Group) -> None:
    angles, (raw, *_) = wrapped(one.raw, group)
    ax.plot(angles, raw, color=GREY, ls=DASHED, lw=1.2, label="ρ")
    ends = (one.raw, np.nan, np.nan)
    if np.isfinite(one.rho).all():
        (low, *_), (high, *_) = (wrapped(end, group)[1] for end in (one.low, one.high))
        ax.fill_between(angles, low, high, color=BLUE, alpha=0.2, lw=0)
        ax.plot(angles, wrapped(one.rho, group)[1][0], color=BLUE, label="noise-corrected")
        ends = (one.rho, one.low, one.high)
    note = "not noise-corrected: in no other fold"
    if group.n % 2 == 0:
        half = group.n // 2
        value, low, high = (np.broadcast_to(end, one.raw.shape)[half] for end in ends)
        verdict = "repeats" if value >= BOUND else "does not repeat"
        ax.plot(180, value, "o", color=BLUE, ms=6)
        interval = f" [{low:.2f}, {high:.2f}]" if np.isfinite(low) else " (raw)"
        note = f"ρ(180°) = {value:.2f}{interval}:\n{verdict} after a half turn"
    ax.axhline(BOUND, color=INK, lw=0.8, ls=":")
    over_angle(ax)
    ax.set_ylim(min(-0.2, float(np.nanmin([one.raw.min(), *one.low])) - 0.05), 1.15)
    ax.legend(loc="lower left", fontsize=SMALL, borderaxespad=0.1, handlelength=1.6)
    _head(ax, "2  ρ and noise-corrected ρ", note)


def _mirrors(ax: Axes, one: Quantities, group: Group) -> None:
    if not group.dihedral:
        ax.set_axis_off()
        _head(ax, "3  Chirality", "the group has no mirrors")
        return
    n = group.n
    axis = (90 + 180 * np.arange(n) / n) % 180
    order = np.argsort(axis)
    ax.plot(axis[order], one.raw[n:][order], color=ORANGE, ls=DASHED, marker=".", label="ρ")
    best = int(np.argmax(one.raw[n:]))
    top = one.raw[n + best]
    ax.annotate(
        "", (axis[best], 1.0), (axis[best], top),
        arrowprops={"arrowstyle": "<->", "color": RED, "lw": 1.5, "shrinkA": 0, "shrinkB": 0},
    )  # fmt: skip
    ax.axhline(1.0, color=GREY, lw=0.8)
    ax.set(xlim=(-4, 180), xticks=range(0, 181, 45), xlabel="mirror axis")
    ax.set_xticklabels([f"{a}°" for a in range(0, 181, 45)])
    ax.set_ylim(min(-0.2, float(one.raw.min()) - 0.05), 1.15)
    ax.grid(True)
    near = "one of its mirror images\nis nearly the feature" if one.chirality < 0.1 else (
        "no mirror image is the\nfeature itself"
    )  # fmt: skip
    _head(ax, "3  Chirality (red)", f"1 − largest ρ = {one.chirality:.2f}: {near}")


def _stabiliser(ax: Axes, one: Quantities, group: Group) -> None:
    ax.set(xlim=(-1.0, 1.0), ylim=(-0.75, 0.75), aspect="equal")
    ax.set_axis_off()
    kind = one.stabiliser.partition("@")[0] or "none"
    axis = one.axis_degrees if np.isfinite(one.axis_degrees) else 90.0
    if one.stabiliser:
        draw_motif(ax, kind, axis_degrees=axis, line=6)
    along = f", axis {degrees(one.axis_degrees)}" if np.isfinite(one.axis_degrees) else ""
    used = one.rho if np.isfinite(one.rho).all() else one.raw
    count = int((used >= BOUND).sum())
    _head(
        ax,
        f"4  Stabiliser: {kind}{along}",
        f"largest subgroup with ρ ≥ {BOUND} and beyond\nchance; {count} of {group.order} "
        f"elements reach {BOUND}",
    )


def _spectrum(ax: Axes, one: Quantities, group: Group) -> None:
    irreps = group.irreps()
    frequencies = np.array([irrep.frequency for irrep in irreps])
    found = sorted(set(frequencies.tolist()))
    share = np.array([one.spectrum[frequencies == f].sum() for f in found])
    invariant = float(one.spectrum[0])
    colours = [ORANGE if f % 2 else BLUE for f in found]
    ax.bar(found, share, color=colours, width=0.75)
    ax.set(xticks=found, xlabel="frequency: cycles in a full rotation", ylim=(0, None))
    even = share[[f % 2 == 0 and f > 0 for f in found]].sum()
    odd = share[[f % 2 == 1 for f in found]].sum()
    ax.grid(axis="y")
    ax.text(0.97, 0.95, "blue: even,\nkept by 180°", color=BLUE, ha="right", va="top",
            transform=ax.transAxes, fontsize=SMALL)  # fmt: skip
    ax.text(0.97, 0.7, "orange: odd,\nreversed by 180°", color="#8A5F00", ha="right", va="top",
            transform=ax.transAxes, fontsize=SMALL)  # fmt: skip
    note = f"share of power: invariant {invariant:.2f},\nother even {even:.2f}, odd {odd:.2f}"
    _head(ax, "5  Irrep spectrum", note)


def _trust(ax: Axes, one: Quantities) -> None:
    names = ("reproducibility", "confidence", "p-value")
    values = (one.reproducibility, one.confidence, one.p_value)
    for y, (name, value) in enumerate(zip(names, values, strict=True)):
        ax.plot([0, 1], [y, y], color="#E4E4E4", lw=5, solid_capstyle="round", zorder=0)
        known = np.isfinite(value)
        if known:
            ax.plot(value, y, "o", ms=8, color=RED if name == "p-value" else BLUE, clip_on=False)
        ax.text(0, y - 0.2, f"{name}  {value:.2g}" if known else f"{name}: not known", va="bottom")
    ax.set(xlim=(-0.02, 1.02), ylim=(2.4, -0.75), yticks=[], xticks=[0, 0.5, 1])
    ax.spines[["left"]].set_visible(False)
    sure = one.reproducibility >= 0.8 and one.confidence >= 0.5
    said = "the feature and its name can be relied on" if sure else "take the name with caution"
    _head(ax, "6  How sure?", f"blue: the nearer 1 the better, red: 0;\n{said}")
