"""Small parts of the explorer's panels: words, pictures that can be clicked, styles.

Only core widgets are used, and of these what ipywidgets 7 and 8 have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple
from uuid import uuid4

import ipywidgets as widgets
import numpy as np

from gc_utils.explorer.pixels import thumbnail
from gc_utils.groups import Group

SIDE = 88  # pixels of a picture that can be clicked
MEANINGS = (
    "<b>C1</b>: no symmetry. <b>C2</b>: the same after half a turn (180°); <b>C<i>n</i></b>: after "
    "360°/<i>n</i>. <b>D1</b>: the same in one mirror, whose axis is given in degrees "
    "counter-clockwise from horizontal. <b>D2</b>: two mirrors, and so half a turn too; "
    "<b>D<i>n</i></b>: <i>n</i> mirrors. <b>Invariant</b>: the same under every element."
)
STYLE = f"""<style>
.gc-explorer .gc-picture {{ width: {SIDE + 8}px; height: {SIDE + 40}px; white-space: pre-line;
  padding: {SIDE + 4}px 2px 0; line-height: 1.2; font-size: 11px; overflow: hidden;
  background-color: #fff; color: #222; background-repeat: no-repeat;
  background-position: center 3px; background-size: {SIDE}px {SIDE}px; }}
.gc-explorer .gc-picture:hover {{ background-color: #eef4fa; }}
.gc-explorer .gc-picture.gc-on {{ outline: 3px solid #D55E00; outline-offset: -3px; }}
.gc-explorer button:focus-visible {{ outline: 3px solid #0072B2; outline-offset: -2px; }}
.gc-explorer .gc-cell {{ width: auto; height: auto; margin: 0; padding: 0; min-width: 0;
  background: transparent; box-shadow: none; border: 0; }}
.gc-explorer .gc-cell:hover {{ background: rgba(255, 255, 255, 0.35); }}
.gc-explorer .widget-html-content, .gc-explorer .jupyter-widgets-html-content {{
  line-height: 1.4; white-space: normal; }}
.gc-explorer table.gc-facts td, .gc-explorer table.gc-facts th {{ padding: 3px 10px 3px 0;
  text-align: left; vertical-align: top; border: 0; }}
.gc-explorer figure {{ margin: 0 12px 6px 0; display: inline-block; vertical-align: top; }}
.gc-explorer figcaption {{ font-size: 12px; max-width: 150px; }}
</style>"""


def html(text: str = "", **layout: str) -> widgets.HTML:
    """A text that can be replaced."""
    return widgets.HTML(text, layout=widgets.Layout(**layout))


def row(*children: widgets.Widget) -> widgets.HBox:
    """Widgets side by side, on more lines where the window is narrow."""
    return widgets.HBox(
        list(children), layout=widgets.Layout(flex_flow="row wrap", align_items="center")
    )


def named(widget: widgets.Widget, tip: str) -> widgets.Widget:
    """Give a widget the text that a pointer over it and a screen reader find; returns it."""
    name = "tooltip" if widget.has_trait("tooltip") else "description_tooltip"
    if widget.has_trait(name):
        setattr(widget, name, tip)
    return widget


def button(text: str, tip: str, click: Callable[[], None], **layout: str) -> widgets.Button:
    """A button that calls a function without arguments."""
    made = named(widgets.Button(description=text, layout=widgets.Layout(**layout)), tip)
    made.on_click(lambda _: click())
    return made


def element_text(g: Group, element: int) -> str:
    """What an element does to an image, in words."""
    angle = float(g.angles[element])
    turn = f"rotated {angle:g}° counter-clockwise"
    if element >= g.n:
        return "mirrored left-right" + (f", then {turn}" if angle else "")
    return turn if angle else "as it is"


def figure(image: np.ndarray, alt: str, caption: str, side: int = 132) -> str:
    """An image with its caption, as HTML."""
    return (
        f"<figure><img src='{thumbnail(image, side)}' width={side} height={side} "
        f"alt='{escape(alt, quote=True)}'><figcaption>{caption}</figcaption></figure>"
    )


class Picture(NamedTuple):
    """A picture to click: the image, its text in a line or two, and its tip."""

    image: np.ndarray
    text: str
    tip: str


class PictureRow:
    """Buttons that show pictures; a core widget's picture itself cannot be clicked.

    Args:
        most: The number of pictures at most.
        pick: Called with the place of the picture that was clicked.

    Attributes:
        box: The widget to show.
        buttons: The buttons; those that are not used are hidden.
    """

    def __init__(self, most: int, pick: Callable[[int], None]) -> None:
        self.name = f"gc{uuid4().hex[:8]}"
        self._style = html(display="none")
        self.buttons = []
        for k in range(most):
            made = button("", "", lambda k=k: pick(k))
            made.add_class("gc-picture").add_class(f"{self.name}-{k}")
            self.buttons.append(made)
        self.box = widgets.VBox([self._style, row(*self.buttons)])

    def show(self, pictures: Sequence[Picture], on: int | None = None) -> None:
        """Replace the pictures.

        Args:
            pictures: The new ones, at most as many as there are buttons.
            on: The place of the one that is chosen, if any.
        """
        rules = []
        for k, picture in enumerate(pictures):
            address = thumbnail(picture.image, SIDE)
            rules.append(f".gc-explorer .{self.name}-{k} {{ background-image: url({address}); }}")
        self._style.value = f"<style>{' '.join(rules)}</style>"
        for k, made in enumerate(self.buttons):
            made.layout.display = None if k < len(pictures) else "none"
            if k < len(pictures):
                made.description = pictures[k].text
                named(made, pictures[k].tip)
        self.mark(on)

    def mark(self, on: int | None) -> None:
        """Mark one of the pictures as chosen."""
        for k, made in enumerate(self.buttons):
            if (k == on) != ("gc-on" in made._dom_classes):
                made.add_class("gc-on") if k == on else made.remove_class("gc-on")
