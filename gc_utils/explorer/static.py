"""The explorer's view as figures, for papermill and for pages without a kernel."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gc_utils.errors import UserError
from gc_utils.explorer.drawing import MIRRORED, ROTATED
from gc_utils.explorer.exhibit import Exhibit
from gc_utils.figures.parts import over_angle, polar_profile, radial_floor, thumbnails, wrapped
from gc_utils.figures.style import DASHED, GREY, styled


def draw_response(ax: Axes, exhibit: Exhibit, feature: int, patch: int) -> None:
    """A feature's code as a patch rotates: measured solid, predicted by its blocks dashed.

    Args:
        ax: The axes to draw on.
        exhibit: The data.
        feature: The feature's number.
        patch: The patch's number.
    """
    measured = exhibit.rotations(patch)[1][:, feature]
    predicted = exhibit.predicted(feature, patch)
    colours = (ROTATED, MIRRORED)
    angles, curves = wrapped(predicted, exhibit.group)
    for values, colour in zip(curves, colours, strict=False):
        ax.plot(angles, values, color=colour, ls=DASHED, lw=1.1, marker="o", ms=3, mfc="white")
    angles, curves = wrapped(measured, exhibit.fine)
    for values, colour in zip(curves, colours, strict=False):
        ax.plot(angles, values, color=colour)
    over_angle(ax)
    top = max(float(measured.max()), float(predicted.max())) or 1.0  # off at every angle
    ax.set(ylim=(-0.04 * top, 1.12 * top), ylabel="code")


def response_handles(exhibit: Exhibit) -> list[Line2D]:
    """The legend of `draw_response`: a handle for each kind of line."""
    rows = [("rotated", ROTATED), ("mirrored, then rotated", MIRRORED)][: 1 + exhibit.fine.dihedral]
    guess = {"ls": DASHED, "lw": 1.1, "marker": "o", "ms": 3, "mfc": "white"}
    return [Line2D([], [], color=c, label=f"{name}: measured") for name, c in rows] + [
        Line2D([], [], color=c, label=f"{name}: predicted by its blocks", **guess)
        for name, c in rows
    ]


def _around(exhibit: Exhibit, count: int) -> tuple[np.ndarray, list[int]]:
    """Angles over a full rotation, those that the exhibit has, and their elements."""
    shown = min(count, exhibit.fine.n)  # a group of few rotations has no others
    elements = [exhibit.element(i * 360 / shown, False) for i in range(shown)]
    return np.array([e % exhibit.fine.n * 360 / exhibit.fine.n for e in elements]), elements


def _rotated(
    ax: Axes, exhibit: Exhibit, feature: int, patch: int, count: int, rows: int = 1
) -> None:
    """One patch at some angles, each with the feature's code."""
    crops, codes = exhibit.rotations(patch)
    angles, elements = _around(exhibit, count)
    response = codes[elements, feature]
    captions = [f"{a:g}°: {code:.2f}" for a, code in zip(angles, response, strict=True)]
    thumbnails(ax, crops[elements], -(-len(elements) // rows), captions=captions)
    ax.set_anchor("W")


def trust_line(exhibit: Exhibit, feature: int) -> str:
    """How far the feature can be trusted, in a line; empty where nothing is known."""
    known = {name: text for name, text in exhibit.trust(feature).items() if text != "unknown"}
    return " · ".join(f"{name} {text}" for name, text in known.items())


@styled
def _static(exhibit: Exhibit, feature: int, patch: int, count: int) -> Figure:
    card, top = exhibit.card(feature), exhibit.top(feature, count)
    heights = [1.15, 1.9, 0.95][: 2 + bool(len(top))]  # inches
    figure = plt.figure(figsize=(9.6, sum(heights) + 1.75))
    inches = figure.get_figheight()
    figure.subplots_adjust(left=0.07, right=0.98, top=1 - 0.75 / inches, bottom=0.5 / inches)
    grid = figure.add_gridspec(len(heights), 3, height_ratios=heights, hspace=0.5, wspace=0.15)
    figure.suptitle(card.title, x=0.01, ha="left", y=1 - 0.06 / inches, va="top")
    said = trust_line(exhibit, feature)
    figure.text(0.01, 1 - 0.28 / inches, said, fontsize=8, color="#444444", va="top")
    rotated = figure.add_subplot(grid[0, :])
    _rotated(rotated, exhibit, feature, patch, count)
    rotated.set_title("One patch, rotated, and the feature's code", loc="left")
    curve = figure.add_subplot(grid[1, :2])
    draw_response(curve, exhibit, feature, patch)
    curve.set_title("Its code as the patch rotates")
    polar = figure.add_subplot(grid[1, 2], projection="polar")
    polar_profile(polar, card.profile, exhibit.group, axis_degrees=card.axis_degrees)
    polar.set_title("Its block profile", pad=9)
    if len(top):
        ax = figure.add_subplot(grid[2, :])
        thumbnails(ax, top, count)
        ax.set_title("Patches that excite it most", loc="left")
        ax.set_anchor("W")
    handles = response_handles(exhibit)
    figure.legend(handles=handles, loc="lower left", ncols=4, fontsize=7.5, columnspacing=1.2)
    return figure


def explore_static(
    exhibit: Exhibit, feature: int, patch: int | None = None, *, count: int = 10
) -> Figure:
    """What the explorer shows, as a figure: for a page without a kernel behind it.

    Args:
        exhibit: The data to draw from.
        feature: The feature's number.
        patch: The patch's number; by default the one that excites the feature most.
        count: The number of angles drawn, over a full rotation.

    Returns:
        The figure.
    """
    patch = int(exhibit.ranked(feature)[0]) if patch is None else patch
    return _static(exhibit, feature, patch, count)


@styled
def _sheet(exhibit: Exhibit, features: Sequence[int], count: int) -> Figure:
    foot, row = 0.55, 2.45  # inches
    height = row * len(features) + foot
    figure = plt.figure(figsize=(9.6, height))
    floor = radial_floor([exhibit.profiles[f] for f in features])
    for k, feature in enumerate(features):
        card, patch = exhibit.card(feature), int(exhibit.ranked(feature)[0])
        top = height - row * k  # inches from below
        place = {"top": (top - 0.5) / height, "bottom": (top - row + 0.25) / height}
        grid = figure.add_gridspec(1, 3, left=0.01, right=0.985, **place)
        grid.set_width_ratios([3.3, 3.4, 1.8])
        grid.update(wspace=0.16)
        figure.text(0.01, (top - 0.05) / height, card.title, va="top", weight="bold")
        said = trust_line(exhibit, feature)
        figure.text(0.01, (top - 0.24) / height, said, va="top", fontsize=8, color="#444444")
        _rotated(figure.add_subplot(grid[0]), exhibit, feature, patch, count, rows=2)
        curve = figure.add_subplot(grid[1])
        draw_response(curve, exhibit, feature, patch)
        if k < len(features) - 1:
            curve.set_xlabel("")
        polar = figure.add_subplot(grid[2], projection="polar")
        colours = {"axis_degrees": card.axis_degrees, "floor": floor}
        polar_profile(polar, card.profile, exhibit.group, **colours)
    handles = response_handles(exhibit)
    handles.append(Line2D([], [], color=GREY, ls=":", label="mirror axis"))
    figure.legend(handles=handles, loc="lower left", ncols=5, fontsize=7.5, columnspacing=1.2)
    note = f"circle: cosine of each block with the one at 0°, {floor:g} in the centre, 1 at the rim"
    figure.text(0.01, 0.36 / height, note, fontsize=7.5, va="center", color="#444444")
    return figure


def contact_sheet(exhibit: Exhibit, features: Sequence[int], *, count: int = 8) -> Figure:
    """Some features as rows: their strongest patch while it rotates, their code, their profile.

    Args:
        exhibit: The data to draw from.
        features: The numbers of the features, a row each.
        count: The number of angles at which the patch is shown.

    Returns:
        The figure.

    Raises:
        UserError: There is no feature.
    """
    features = [int(f) for f in features]
    if not features:
        raise UserError("a contact sheet of no features: give the numbers of one or more.")
    return _sheet(exhibit, features, count)
