"""The explorer's last panel: an image of one's own, a point in it, and the features on there."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image, ImageDraw

from gc_utils.errors import UserError
from gc_utils.explorer.pieces import button, html, named, row
from gc_utils.explorer.pixels import thumbnail
from gc_utils.figures.parts import label_text
from gc_utils.images.photographs import decode_image

if TYPE_CHECKING:
    from gc_utils.explorer.panels import Explorer

WIDTH = 320  # pixels of the image in the panel
CELLS = 12  # to click, along either side
FOUND = 10  # features listed at most
LEAST = 16  # pixels of the shorter side that an image needs
LARGEST = 40_000_000  # bytes of a file


def uploaded(value: Any) -> tuple[str, bytes] | None:
    """Name and content of the file that was chosen last.

    Args:
        value: Of a `FileUpload`: a dictionary by name in ipywidgets 7, a tuple of dictionaries in
            ipywidgets 8.

    Returns:
        The two, or None where no file is chosen.
    """
    if not value:
        return None
    if isinstance(value, dict):
        name, entry = list(value.items())[-1]
    else:
        entry = value[-1]
        name = entry["name"]
    return name, bytes(entry["content"])


class MyOwnImage:
    """*My own image*: which features fire at a point of it, and what they do as it rotates.

    Args:
        view: The explorer that it belongs to.

    Attributes:
        file, x, y, width: the controls; x and y in percent from the left and from the top.
        found: a button for each feature that fires, the strongest first.
        said: what was found, or what is wrong with a file.
    """

    TITLE = "My own image"

    def __init__(self, view: Explorer) -> None:
        self.view, self.name = view, f"gc{uuid4().hex[:8]}"
        self.picture: torch.Tensor | None = None
        self.file = widgets.FileUpload(
            accept="image/*", multiple=False, description="choose a photograph"
        )
        self.file.layout.width = "220px"
        named(self.file, "choose an image file of your own; it stays on this computer's kernel")
        self.x = widgets.IntSlider(value=50, min=0, max=100, description="x %")
        self.y = widgets.IntSlider(value=50, min=0, max=100, description="y %")
        self.width = widgets.IntSlider(value=40, min=5, max=100, step=5, description="size %")
        named(self.x, "the point, in percent from the left")
        named(self.y, "the point, in percent from the top")
        named(self.width, "the width of the patch, in percent of the image's shorter side")
        for control in (self.x, self.y, self.width):
            control.continuous_update = False
            control.observe(self._look, "value")
        self.file.observe(self._load, "value")
        self.said, self._style = html(), html(display="none")
        self.grid = widgets.GridBox([], layout=widgets.Layout(display="none"))
        self.grid.add_class(self.name)
        self.found = [button("", "", lambda k=k: self._show(k), width="auto") for k in range(FOUND)]
        self._features: list[int] = []
        sliders = widgets.VBox([self.x, self.y, self.width])
        self._controls = widgets.VBox([sliders, row(*self.found)])
        self._controls.layout = widgets.Layout(display="none", flex="1 1 300px")
        shown = row(self.grid, self._controls)
        shown.layout.align_items = "flex-start"
        text = (
            "Choose a photograph of your own and click a point in it: which features fire there? "
        )
        text += "Click a feature to rotate your patch above."
        parts = [html(text), self.file, self.said, self._style, shown]
        if view.exhibit.model is None:
            text = "These activations came without their network: it is needed to look at an image."
            parts = [html(text)]
        self.box = widgets.VBox(parts)
        self._quiet = False

    def refresh(self) -> None:
        """Nothing here depends on the feature."""

    def _load(self, change: dict) -> None:
        chosen = uploaded(self.file.value)
        if chosen is None:
            return
        with self.view.busy("Reading the image"):
            try:
                self.load(*chosen)
            except UserError as error:
                self._complain(str(error))

    def load(self, name: str, content: bytes) -> None:
        """Take the bytes of an image file.

        Args:
            name: The file's name, for messages.
            content: The bytes.

        Raises:
            UserError: It is no image, too small or too large; the image before it stays.
        """
        if len(content) > LARGEST:
            size = f"{len(content) / 1e6:.0f} MB"
            raise UserError(f"{name!r} has {size}: choose a file of {LARGEST // 10**6} MB at most.")
        picture = decode_image(content, name)
        height, width = picture.shape[1:]
        if min(height, width) < LEAST:
            raise UserError(
                f"{name!r} has {width} × {height} pixels: choose an image of {LEAST} or more "
                "either way."
            )
        self.picture = picture
        self._pixels = (picture * 255).round().byte().permute(1, 2, 0).numpy()
        side = round(WIDTH * height / width)
        self.grid.layout = widgets.Layout(
            width=f"{WIDTH}px",
            height=f"{side}px",
            flex="0 0 auto",
            grid_template_columns=f"repeat({CELLS}, 1fr)",
            grid_template_rows=f"repeat({CELLS}, 1fr)",
            grid_gap="0px",
        )
        self.grid.layout.margin = "4px 16px 8px 0"
        if not self.grid.children:
            self.grid.children = self._cells()
        self._controls.layout.display = None
        self._look()

    def _cells(self) -> list[widgets.Button]:
        """Invisible buttons over the image: a core widget's picture itself cannot be clicked."""
        layout, cells = widgets.Layout(), []
        for k in range(CELLS**2):
            made = widgets.Button(layout=layout)
            at = [round(100 * (i + 0.5) / CELLS) for i in (k % CELLS, k // CELLS)]
            named(made, f"look at {at[0]} % from the left, {at[1]} % from the top")
            if made.has_trait("tabbable"):
                made.tabbable = False  # the sliders do the same from the keyboard
            made.add_class("gc-cell")
            made.on_click(lambda _, at=at: self.point(*at))
            cells.append(made)
        return cells

    def point(self, x: int, y: int) -> None:
        """Look at a point, in percent from the left and from the top."""
        self._quiet = True
        self.x.value, self.y.value = x, y
        self._quiet = False
        self._look()

    def _look(self, change: dict | None = None) -> None:
        """Encode the patch around the point and list what fires there."""
        if self._quiet or self.picture is None:
            return
        height, width = self.picture.shape[1:]
        at = (self.x.value / 100 * (width - 1), self.y.value / 100 * (height - 1))
        side = self.width.value / 100 * min(height, width)
        self._ring(*at, side)
        view = self.view
        with view.busy("Encoding your patch at all angles"):
            codes = view.exhibit.place(self.picture, *at, side)
        order = np.argsort(-codes, kind="stable")[:FOUND]
        self._features = [int(i) for i in order if codes[i] > 0]
        for k, made in enumerate(self.found):
            made.layout.display = None if k < len(self._features) else "none"
            if k < len(self._features):
                feature = self._features[k]
                label = label_text(view.exhibit.row(feature).get("label", ""))
                made.description = f"{feature} {label}: {codes[feature]:.2f}"
                named(made, f"rotate this patch and watch feature {feature}")
        on = int((codes > 0).sum())
        listed = f"; the strongest {FOUND} are listed" if on > FOUND else ""
        text = f"<b>{on} features fire</b> at this point{listed}. Click one to watch it above."
        if not on:
            text = "<b>No feature fires</b> at this point: choose another, or another size."
        self.said.value = f"<div role='status'>{text}</div>"
        if self._features:
            self._show(0)

    def _show(self, k: int) -> None:
        self.view.show_own(self._features[k])

    def _ring(self, x: float, y: float, side: float) -> None:
        """Draw the patch's circle, the part that every rotation shares, on the image."""
        image = Image.fromarray(self._pixels)
        scale = WIDTH / image.width
        image = image.resize((WIDTH, max(1, round(image.height * scale))))
        draw = ImageDraw.Draw(image)
        x, y, r = x * scale, y * scale, side * scale / 2
        for colour, wide in (("white", 4), ("#D55E00", 2)):
            draw.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=wide)
            draw.line((x - 6, y, x + 6, y), fill=colour, width=wide)
            draw.line((x, y - 6, x, y + 6), fill=colour, width=wide)
        rule = f"background: url({thumbnail(np.asarray(image))}) 0 0 / 100% 100% no-repeat;"
        self._style.value = f"<style>.gc-explorer .{self.name} {{ {rule} }}</style>"

    def _complain(self, text: str) -> None:
        self.said.value = f"<div role='alert' style='color:#A33'>{escape(text)}</div>"
