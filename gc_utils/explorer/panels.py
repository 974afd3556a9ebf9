"""Sliders: how a learned feature responds as its input rotates.

A patch is rotated by many more angles than the group has, in both chiralities, and the model is
applied to each once; after that, moving a slider only redraws. The rotations are those of a finer
group that contains the crosscoder's, so that orbit encoders have all the views they read.

All angles are degrees counter-clockwise; *mirrored* means left-right, before the rotation.
"""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import ipywidgets as widgets
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from gc_utils.activations.store import ActivationStore
from gc_utils.errors import UserError, choose
from gc_utils.explorer.drawing import ProfileDrawing, ResponseDrawing
from gc_utils.explorer.exhibit import OWN, Exhibit, make_exhibit
from gc_utils.explorer.export import file_name, turn_gif, view_png, write_export
from gc_utils.explorer.own_image import MyOwnImage
from gc_utils.explorer.pieces import STYLE, button, html, named, row
from gc_utils.explorer.pixels import data_address, png_bytes
from gc_utils.explorer.questions import HowSure, WhatItSees, WhichFeature, WhoIsLike
from gc_utils.explorer.static import explore_static
from gc_utils.inspection.relations import agreement

if TYPE_CHECKING:
    from gc_utils.crosscoder.untied import GroupCrosscoder
    from gc_utils.models.base import Model

PICTURE = 220  # pixels of the rotating patch
TICK = 200  # milliseconds between the angles of a play
HEADING = "<h3 style='margin:4px 0'>What happens when the image rotates?</h3>"
EXPLAINED = """<details><summary>How to read it</summary>
<b>Left</b>: the patch as the network sees it. <b>Middle</b>: the feature's code at every angle;
solid: measured, each rotated patch passes through the network; dashed with rings: what its blocks
predict, the code at 0° times the similarity of the blocks to themselves under that element.
<b>Circle</b>: the block profile; the angle is the group element's, the radius the cosine of its
block with the block at 0°: 1 at the rim, and as the numbers on the rings say. All angles are
degrees counter-clockwise; <i>mirrored</i> means left-right, before the rotation.</details>"""


class Explorer(widgets.VBox):
    """Sliders over an `Exhibit`; show it as the last value of a cell.

    Args:
        exhibit: The data.
        features: The features to offer; the first is shown.
        folder: Where exported files go; None offers them for download only.

    Attributes:
        angle, mirror, feature, patch: the controls.
        image, panel, profile, strip: what is shown: the rotated patch, the code over the angle, the
            block profile, the patches to choose from.
        questions: the panels below, by their titles.
    """

    _ipython_display_ = None  # ipywidgets 7 would show no image beside the widget

    def __init__(
        self, exhibit: Exhibit, features: Sequence[int], folder: str | Path | None = None
    ) -> None:
        self.exhibit, self.features = exhibit, list(features)
        self.folder = None if folder is None else Path(folder)
        self._moving = self._own = False
        self._make_controls()
        self.ranked = exhibit.ranked(self.features[0])
        sees = WhatItSees(self)
        panels = [WhichFeature(self), sees, HowSure(self), WhoIsLike(self), MyOwnImage(self)]
        self.questions = {panel.TITLE: panel for panel in panels}
        self.strip = sees.strip
        self.accordion = widgets.Accordion([panel.box for panel in panels], selected_index=1)
        for k, title in enumerate(self.questions):
            self.accordion.set_title(k, title)
        self.accordion.observe(self._open, "selected_index")
        super().__init__([html(STYLE, display="none"), *self._stage(), self.accordion])
        self.add_class("gc-explorer")
        self._new_feature()

    # --- layout

    def _make_controls(self) -> None:
        exhibit, step = self.exhibit, 360 / self.exhibit.fine.n
        self.angle = widgets.FloatSlider(
            value=0, min=0, max=360 - step, step=step, description="angle °", readout_format=".1f"
        )
        self.angle.layout.width = "400px"
        named(self.angle, "rotation of the patch in degrees counter-clockwise; the arrow keys step")
        self.mirror = widgets.Checkbox(value=False, description="mirror first", indent=False)
        self.mirror.layout.width = "110px"
        self.mirror.disabled = not exhibit.fine.dihedral
        named(self.mirror, "mirror the patch left-right before it is rotated")
        self.feature = widgets.Dropdown(options=self._options(self.features), description="feature")
        self.feature.layout.width = "min(420px, 100%)"
        named(self.feature, "the feature that is shown: number, label and symmetry")
        self.patch = widgets.IntSlider(value=0, min=0, max=0, description="patch no.")
        named(self.patch, "the patch that is rotated: 0 excites the feature most")
        self.play = widgets.Play(min=0, max=exhibit.fine.n - 1, interval=TICK)
        named(self.play, "play: rotate the patch on and on")
        setattr(self.play, "repeat" if self.play.has_trait("repeat") else "_repeat", True)
        self.play.observe(self._play, "value")
        self.image = widgets.Image(format="png", width=PICTURE, height=PICTURE)
        side = f"{PICTURE}px"  # fixed, whatever the window's width: the curves go below it
        self.image.layout = widgets.Layout(flex="0 0 auto", width=side, height=side)
        self.panel = html(flex="1 1 380px", min_width="300px", max_width="640px")
        self.profile = html(flex="0 1 260px", min_width="200px")
        self.said, self.card, self.status, self.exported = html(), html(), html(), html()
        self.feature.observe(self._new_feature, "value")
        self.patch.observe(self._other_patch, "value")
        for control in (self.angle, self.mirror):
            control.observe(self._turn, "value")

    def _stage(self) -> list[widgets.Widget]:
        step = 360 / self.exhibit.fine.n
        previous = button("◀", "the feature before", lambda: self._beside(-1), width="40px")
        following = button("▶", "the next feature", lambda: self._beside(1), width="40px")
        back = button("−", f"rotate back by {step:g}°", lambda: self.step(-1), width="40px")
        on = button("+", f"rotate on by {step:g}°", lambda: self.step(1), width="40px")
        png = button("save view (PNG)", "this view as an image", lambda: self.export("png"))
        gif = button("save turn (GIF)", "a full turn as an animation", lambda: self.export("gif"))
        left = widgets.VBox([self.image, self.said])
        left.layout = widgets.Layout(flex="0 0 auto", width=f"{PICTURE + 12}px")
        shown = row(left, self.panel, self.profile)
        shown.layout.align_items = "flex-start"
        return [
            html(HEADING),
            row(self.feature, previous, following, self.status),
            self.card,
            row(self.angle, back, on, self.mirror, self.play),
            shown,
            row(png, gif, self.exported),
            html(EXPLAINED),
        ]

    def _options(self, features: Sequence[int]) -> list[tuple[str, int]]:
        return [(self.exhibit.card(f).title.removeprefix("feature "), f) for f in features]

    def _repr_mimebundle_(self, **settings: object) -> dict[str, object]:
        """The widget, and beside it the view as an image: for a page that shows no widgets."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        figure = explore_static(self.exhibit, self.feature.value, self.shown_patch)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=80)
        title = self.exhibit.card(self.feature.value).title
        said = f"The explorer at {title}; its sliders need a kernel."
        return {
            "application/vnd.jupyter.widget-view+json": view,
            "image/png": b64encode(buffer.getvalue()).decode(),
            "text/plain": said,
        }

    # --- what panels ask for

    @property
    def shown_patch(self) -> int:
        """The number of the patch that is shown; `OWN` for one from an image of one's own."""
        return OWN if self._own else int(self.ranked[self.patch.value])

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Say that something is being computed, until it is; say what a user did wrong."""
        self.status.value = f"<div role='status' style='color:#A33'>⏳ {escape(text)} …</div>"
        said = ""
        try:
            yield
        except UserError as error:
            said = f"<div role='alert' style='color:#A33'>{escape(str(error))}</div>"
        finally:
            self.status.value = said

    def offer(self, features: Sequence[int]) -> None:
        """Offer some features only; the one that is shown stays if it is among them."""
        now = self.feature.value
        kept = now if now in features else features[0]
        self._moving = True  # new options select the first one, for a moment
        self.feature.options = self._options(features)
        self.feature.value = kept
        self._moving = False
        if kept != now:
            self._new_feature()

    def choose(self, feature: int) -> None:
        """Show a feature, whatever filter there is."""
        if feature not in [f for _, f in self.feature.options]:
            self._moving = True
            self.feature.options = self._options([feature, *self.features])
            self._moving = False
            if self.feature.value == feature:  # the first one of the new options
                self._new_feature()
                return
        self.feature.value = feature

    def take(self, patch: int) -> None:
        """Show a patch of the data by its number."""
        if patch not in self.ranked:
            self.ranked = np.append(self.ranked, patch)
            self.patch.max = len(self.ranked) - 1
        place = int(np.flatnonzero(self.ranked == patch)[0])
        if self.patch.value == place:
            self._other_patch()  # from an image of one's own back to it
        self.patch.value = place

    def show_own(self, feature: int) -> None:
        """Show the patch of one's own image, and a feature's code for it."""
        self._moving = True
        self.choose(feature)
        self._moving = False
        self._new_feature(own=True)

    def step(self, by: int) -> None:
        """Rotate on by some steps of the slider, round and round."""
        n = self.exhibit.fine.n
        k = (round(self.angle.value * n / 360) + by) % n
        self.angle.value = 360 * k / n

    def export(self, kind: str) -> None:
        """Make a file of the view (`"png"`) or of a full turn (`"gif"`), to be downloaded."""
        feature, patch = self.feature.value, self.shown_patch
        where = (self.angle.value, self.mirror.value)
        name = file_name(kind, feature, patch, *where)
        with self.busy("Drawing the file"):
            if kind == "png":
                content = view_png(self.exhibit, feature, patch, *where)
            else:
                content = turn_gif(self.exhibit, feature, patch, mirror=where[1])
            address = data_address(content, f"image/{kind}")
            text = f"<a download='{name}' href='{address}'>download {name}</a>"
            if self.folder is not None:
                path = write_export(self.folder, name, content)
                text += f"; it is in <code>{escape(str(path))}</code> too"
            self.exported.value = text

    # --- what happens when a control moves

    def _play(self, change: dict) -> None:
        """A tick of the play; its stop button goes back to 0, which is none."""
        if change["new"] != 0 or change["old"] == self.play.max:
            self.step(1)

    def _beside(self, by: int) -> None:
        """The next or the previous feature of those that are offered."""
        offered = [f for _, f in self.feature.options]
        self.feature.value = offered[(offered.index(self.feature.value) + by) % len(offered)]

    def _open(self, change: dict | None = None) -> None:
        """Fill the panel that is open; the others wait until they are."""
        if self.accordion.selected_index is not None:
            list(self.questions.values())[self.accordion.selected_index].refresh()

    def _new_feature(self, change: dict | None = None, *, own: bool = False) -> None:
        """Show the feature's strongest patch, upright."""
        if self._moving:
            return
        feature = self.feature.value
        self.ranked = self.exhibit.ranked(feature)
        self._moving = True  # one redraw, not three
        self.patch.value = 0
        self.patch.max = len(self.ranked) - 1
        self.angle.value, self.mirror.value = 0, False
        self._moving, self._own = False, own
        sure = " · ".join(f"{k} <b>{escape(v)}</b>" for k, v in self.exhibit.trust(feature).items())
        title = escape(self.exhibit.card(feature).title)
        self.card.value = f"<b>{title}</b>" + (f" · {sure}" if self.exhibit.row(feature) else "")
        self.exported.value = ""
        self._new_patch()
        self._open()

    def _other_patch(self, change: dict | None = None) -> None:
        if self._moving:
            return
        self._own = False
        self.exported.value = ""
        self._new_patch()
        self.questions[WhatItSees.TITLE].mark()

    def _new_patch(self) -> None:
        """Encode the patch at all angles, and draw all that does not move with the angle."""
        exhibit, feature = self.exhibit, self.feature.value
        with self.busy("Rotating the patch"):
            self._crops, self.codes = exhibit.rotations(self.shown_patch)
            self._response = self.codes[:, feature]
            predicted = exhibit.predicted(feature, self.shown_patch)
        self._follows = agreement(exhibit.measured(feature, self.shown_patch), predicted)
        card, g = exhibit.card(feature), exhibit.group
        self._curve = ResponseDrawing(self._response, predicted, exhibit.fine, g)
        self._polar = ProfileDrawing(card.profile, g, card.axis_degrees)
        self._turn()

    def _turn(self, change: dict | None = None) -> None:
        """The quick part: another angle of the same patch."""
        if self._moving:
            return
        angle, mirror = self.angle.value, self.mirror.value
        element = self.exhibit.element(angle, mirror)
        value = float(self._response[element])
        self.image.value = png_bytes(self._crops[element])
        self.panel.value = self._curve.at(angle, mirror, element)
        self.profile.value = self._polar.at(angle, mirror)
        first = "mirrored, then " if mirror else ""
        own = "your own patch, " if self._own else ""
        follows = ""
        if np.isfinite(self._follows):
            follows = f"<br>Over the group, its blocks account for {max(self._follows, 0):.0%} of "
            follows += "how the code varies."
        self.said.value = (
            f"<div role='status'>{own}{first}rotated {angle:g}°: code <b>{value:.2f}</b>"
            + ("" if value > 0 else " (off)")
            + f"</div>{follows}"
        )


def has_front_end() -> bool:
    """Whether a front end is connected in which a slider can be moved.

    Jupyter, Colab and VS Code accept `input()` in every cell that they run; papermill, nbconvert
    and nbclient do not. Without one a widget would be a blank in the saved notebook.
    """
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return bool(getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", False))


def explore(
    model: Model | None,
    layer: str,
    data: ActivationStore | np.ndarray,
    crosscoder: GroupCrosscoder,
    report: pd.DataFrame | None = None,
    *,
    codes: torch.Tensor | None = None,
    photograph: np.ndarray | None = None,
    features: Sequence[int] | None = None,
    least: int = 48,
    interactive: bool | str = "auto",
    folder: str | Path | None = None,
) -> Explorer | Figure:
    """Rotate a patch with a slider and observe a feature's code.

    Args:
        model: The network; None for a store that came without one: the angles are then those of
            the group, for which the store holds the responses.
        layer: The layer that the crosscoder was trained on.
        data: An activation store, or patches, uint8 `(N, S, S, 3)`, of any images.
        crosscoder: The crosscoder.
        report: A per-feature table with `feature` and, if known, `label`, `stabiliser` and
            `axis_degrees` for the titles, `family`, `confidence`, `reproducibility`, `p_value` and
            `rho_180` for the panels.
        codes: The codes of the patches, `(N, m)`; with them a feature's top patches are shown.
        photograph: The photograph that each patch comes from, `(N,)`; by default the store's.
        features: The features to offer, the first one is shown; by default those that ever fire.
        least: The least number of angles; each costs two forward passes for a new patch.
        interactive: `"auto"` makes sliders where there is a front end and a figure of the first
            feature where there is none; True or False makes one of them in any case.
        folder: Where the files of "save view" and "save turn" go; None offers them for download
            only.

    Returns:
        A widget with `.angle`, `.mirror`, `.feature` and `.patch`, or a figure.

    Raises:
        UserError: There is no feature to show, a feature does not exist, the codes do not fit the
            patches, or `interactive` is unknown.
    """
    if interactive not in (True, False):
        choose(interactive, ("auto",), "value of interactive")
        interactive = has_front_end()
    exhibit = make_exhibit(
        model, layer, data, crosscoder, report, codes=codes, photograph=photograph, least=least
    )
    if features is None:
        alive = np.arange(crosscoder.V.shape[0])
        if codes is not None:
            alive = alive[(torch.as_tensor(codes) > 0).any(0).numpy()]
        features = alive
    features = [int(f) for f in features]
    if not features:
        raise UserError("there is no feature to explore: none is ever on.")
    wrong = [f for f in features if not 0 <= f < len(crosscoder.V)]
    if wrong:
        raise UserError(f"no feature {wrong[0]}: expected 0 to {len(crosscoder.V) - 1}.")
    if not interactive:
        return explore_static(exhibit, features[0])
    return Explorer(exhibit, features, folder)
