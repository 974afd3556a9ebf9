"""The explorer's view as one figure, for papermill."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from gc_utils.explorer.exhibit import Exhibit, draw_response
from gc_utils.figures.parts import polar_profile, thumbnails
from gc_utils.figures.style import styled


@styled
def _static(exhibit: Exhibit, feature: int, patch: int, count: int) -> Figure:
    crops, codes = exhibit.rotations(patch)
    response, fine, card = codes[:, feature], exhibit.fine, exhibit.card(feature)
    top = exhibit.top(feature, count)
    heights = [1.15, 1.9, 0.95][: 2 + bool(len(top))]  # inches
    figure = plt.figure(figsize=(9.6, sum(heights) + 1.3))
    figure.subplots_adjust(left=0.07, right=0.98, top=1 - 0.6 / figure.get_figheight(), bottom=0.05)
    grid = figure.add_gridspec(len(heights), 3, height_ratios=heights, hspace=0.4, wspace=0.15)
    figure.suptitle(card.title, x=0.01, ha="left")
    shown = min(count, fine.n)  # a group of few rotations has no others
    angles = np.arange(shown) * 360 / shown
    elements = [exhibit.element(a, False) for a in angles]
    shown_at = [e % fine.n * 360 / fine.n for e in elements]  # the nearest there is
    captions = [f"{a:g}°: {response[e]:.2f}" for a, e in zip(shown_at, elements, strict=True)]
    rotated = figure.add_subplot(grid[0, :])
    thumbnails(rotated, crops[elements], captions=captions)
    rotated.set_title("One patch, rotated, and the feature's code", loc="left")
    rotated.set_anchor("W")
    curve = figure.add_subplot(grid[1, :2])
    draw_response(curve, response, fine, exhibit.group)
    curve.legend(loc="upper right", ncols=2)
    polar = figure.add_subplot(grid[1, 2], projection="polar")
    polar_profile(polar, card.profile, exhibit.group, axis_degrees=card.axis_degrees)
    polar.set_title("Its block profile", pad=9)
    if len(top):
        ax = figure.add_subplot(grid[2, :])
        thumbnails(ax, top, count)
        ax.set_title("Patches that excite it most", loc="left")
        ax.set_anchor("W")
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
