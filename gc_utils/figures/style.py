"""Colours and fonts of all figures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

# Okabe & Ito's palette: eight colours that colour-blind readers can distinguish.
OKABE_ITO = {
    "black": "#000000",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "green": "#009E73",
    "yellow": "#F0E442",
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
}
GREY = "#8A8A8A"
PALE = "#C8C8C8"
DASHED = (0, (2.5, 1.5))
STYLE = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(color=list(OKABE_ITO.values())),
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.titlesize": 10.5,
    "figure.titleweight": "bold",
    "figure.dpi": 110,
    "savefig.dpi": 180,
    "image.interpolation": "antialiased",
}


def style() -> AbstractContextManager[None]:
    """The style of all figures, as a context manager.

    Example:
        >>> with style():
        ...     figure, ax = plt.subplots()
    """
    return mpl.rc_context(STYLE)


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorate a function that draws a figure, so that it draws in the common style.

    The figure is closed before it is returned: a notebook shows the returned figure once, and not a
    second time because it is still open.

    Args:
        draw: any function that returns a figure.

    Returns:
        The function with the same arguments, which returns the closed figure.
    """

    @wraps(draw)
    def wrapper(*args, **kwargs) -> Figure:
        with style():
            figure = draw(*args, **kwargs)
        plt.close(figure)
        return figure

    return wrapper
