"""Small pictures that have a given symmetry, and the table of stabilisers that shows them."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon

from gc_utils.figures.style import DOTTED, GREY, INK, NOTE, OKABE_ITO, PALE, WIDTH, styled

# Stabiliser → what leaves such a feature unchanged, what that looks like in ρ, and for example.
STABILISERS = {
    "C1": ("the identity only", "at 0° only", "a hook, a spiral, an uneven corner"),
    "C2": ("a half turn, but no mirror", "at 0° and 180°", "a double curve, bent like an S"),
    "D1": ("one mirror", "at 0° and at one mirror", "a curve, an edge, the end of a line"),
    "D2": ("a half turn and two mirrors", "at 0°, 180°, two mirrors", "a line, a grating"),
    "D4": ("quarter turns and four mirrors", "every 90°, four mirrors", "a grid, a cross"),
    "G": ("all rotations and mirrors", "everywhere", "a circle, a spot: “invariant”"),
}


def draw_motif(
    ax: Axes,
    name: str,
    at: tuple[float, float] = (0.0, 0.0),
    size: float = 1.0,
    *,
    axis_degrees: float = 90.0,
    line: float = 2.6,
) -> None:
    """Draw a shape that has the symmetry of a stabiliser, and its mirror axes as dotted lines.

    Args:
        ax: Axes with equal scales.
        name: The stabiliser's type, such as `C1`, `D2` or `G`; an axis after `@` is left out.
        at: The centre, in the axes' coordinates.
        size: The diameter of the disc about the shape.
        axis_degrees: Direction of a mirror axis, counter-clockwise from horizontal.
        line: Width of its lines in points.
    """
    r = size / 2
    ax.add_patch(Circle(at, r, fc="white", ec=PALE, lw=0.8))
    kind = name.partition("@")[0]
    if kind == "G":
        ax.add_patch(Circle(at, 0.52 * r, fill=False, ec=OKABE_ITO["blue"], lw=line, zorder=3))
        return
    if kind[:1] not in ("C", "D") or not kind[1:].isdigit():
        ax.text(*at, "?", ha="center", va="center", color=GREY)
        return
    n = int(kind[1:])
    outline, open_line = _dihedral(n) if kind[0] == "D" else _cyclic(n)
    line = line * min(1.0, 6 / n)
    tilt = np.deg2rad(axis_degrees - 90) if np.isfinite(axis_degrees) else 0.0
    for turn in tilt + np.arange(n) * 2 * np.pi / n:
        points = at + r * outline @ _rotation(turn).T
        if open_line:
            ax.plot(*points.T, color=OKABE_ITO["blue"], lw=line, solid_capstyle="round", zorder=3)
        else:
            ax.add_patch(Polygon(points, fc=OKABE_ITO["blue"], ec="none", zorder=3))
    for axis in tilt + np.pi / 2 + np.arange(n if kind[0] == "D" else 0) * np.pi / n:
        step = 1.12 * r * np.array([np.cos(axis), np.sin(axis)])
        ends = np.array([at - step, at + step])
        ax.plot(*ends.T, color=OKABE_ITO["vermilion"], ls=DOTTED, lw=1.3, zorder=4)


def _rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _cyclic(n: int) -> tuple[np.ndarray, bool]:
    """A shape without a mirror, n copies of which make one with n rotations."""
    if n == 1:  # a comma
        head = np.linspace(-0.25 * np.pi, 1.25 * np.pi, 40)
        outer = np.stack([0.3 * np.cos(head), 0.22 + 0.3 * np.sin(head)], 1)
        tail = np.array(
            [[-0.02, -0.1], [-0.16, -0.36], [-0.4, -0.62], [-0.02, -0.48], [0.19, -0.2]]
        )
        return np.concatenate([outer, tail]), False
    t = np.linspace(0, 1, 30)  # a bent arm; two of them make an S
    angle = np.pi * t * (1.0 if n == 2 else 0.55)
    radius = 0.36 if n == 2 else 0.42
    x, y = radius * np.sin(angle), radius * (1 - np.cos(angle))
    return np.stack([x, y], 1), True


def _dihedral(n: int) -> tuple[np.ndarray, bool]:
    """A shape with a vertical mirror, n copies of which make one with n mirrors."""
    if n == 1:  # an arc
        t = np.linspace(0.18 * np.pi, 0.82 * np.pi, 30)
        return np.stack([0.7 * np.cos(t), 0.75 * np.sin(t) - 0.5], 1), True
    return np.array([[0.0, 0.0], [0.0, 0.66]]), True


@styled
def symmetry_table(names: Sequence[str] = tuple(STABILISERS)) -> Figure:
    """A table of stabilisers: a shape of each with its mirror axes, a definition, and examples.

    Args:
        names: The stabilisers to show, of those in `STABILISERS`.

    Returns:
        The figure, a row a stabiliser.
    """
    row = 0.62
    height = row * (len(names) + 0.7)
    figure = plt.figure(figsize=(WIDTH, height))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(0, WIDTH), ylim=(0, height), aspect="equal")
    ax.set_axis_off()
    columns = {"unchanged by": 1.45, "ρ is 1": 3.65, "a feature that detects, say,": 5.55}
    for text, x in {"stabiliser": 0.15, **columns}.items():
        ax.text(x, height - 0.27, text, weight="bold", va="center", fontsize=NOTE)
    for i, name in enumerate(names):
        y = height - row * (i + 1.15)
        ax.axhline(y + row / 2, color=PALE, lw=0.7)
        draw_motif(ax, name, (0.42, y), 0.5, line=3)
        ax.text(0.85, y, name, weight="bold", va="center", fontsize=11)
        for text, x in zip(STABILISERS[name], columns.values(), strict=True):
            ax.text(x, y, text, va="center", color=INK)
    return figure
