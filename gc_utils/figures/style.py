"""The style sheet of all figures: sizes, fonts and colours.

Sizes are meant for a notebook: a figure `WIDTH` inches wide is about 900 pixels wide there, and no
text in it is smaller than `SMALL` points, about 12 pixels. Colours of methods are in
`gc_utils.figures.methods`, those of kinds of stimuli in `gc_utils.figures.parts`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from gc_utils.progress import in_kernel

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
GREY = "#767676"  # of reference lines and text; 4.5 : 1 on white
PALE = "#C8C8C8"  # of what is not the subject, such as points of other features
INK = "#333333"  # of axes and notes
DASHED = (0, (2.5, 1.5))
DOTTED = (0, (1, 1.4))
WIDTH = 8.2  # inches: the width of a notebook's cell at the figures' 110 dots an inch
SMALL = 8  # points: the smallest text
NOTE = 8.5  # points: text beside the axes
STYLE = {
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 7,
    "axes.labelsize": 9.5,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.prop_cycle": mpl.cycler(
        color=[
            OKABE_ITO[name]
            for name in ("blue", "vermilion", "green", "purple", "orange", "sky", "black")
        ]
    ),
    "xtick.labelsize": NOTE,
    "ytick.labelsize": NOTE,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.7,
    "lines.markersize": 5.5,
    "legend.frameon": False,
    "legend.fontsize": NOTE,
    "legend.title_fontsize": NOTE,
    "legend.handlelength": 2.2,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "figure.labelsize": 9.5,
    "figure.dpi": 110,
    "figure.constrained_layout.w_pad": 0.06,
    "figure.constrained_layout.h_pad": 0.05,
    "savefig.dpi": 180,
    "image.interpolation": "antialiased",
    "image.cmap": "cividis",
}


def style() -> AbstractContextManager[None]:
    """The style of all figures, as a context manager; a person's own settings do not count in it.

    Example:
        >>> with style():
        ...     figure, ax = plt.subplots()
    """
    return plt.style.context(["default", STYLE])


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorate a function that draws a figure, so that it draws in the common style.

    The figure is closed before it is returned: a notebook shows the returned figure once, and not a
    second time because it is still open. It is drawn in the style too whenever it is shown or
    saved: matplotlib makes some ticks and their labels only then.

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
        for name in ("draw", "get_tightbbox"):  # what showing and saving call
            setattr(figure, name, _in_style(getattr(figure, name)))
        return figure

    return wrapper


def _in_style(method: Callable) -> Callable:
    @wraps(method)
    def wrapper(*args, **kwargs):
        with style():
            return method(*args, **kwargs)

    return wrapper


def show_as_images() -> None:
    """Let a notebook show figures where its kernel does not, as with MPLBACKEND=Agg.

    A kernel learns to show figures from the backend of notebooks; with another one, a cell's figure
    would be a line of text.
    """
    if not in_kernel():
        return
    from IPython import get_ipython
    from IPython.core.pylabtools import select_figure_formats

    shell = get_ipython()
    if Figure not in shell.display_formatter.formatters["image/png"].type_printers:
        select_figure_formats(shell, {"png"})


show_as_images()
