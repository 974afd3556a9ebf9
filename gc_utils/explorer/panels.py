"""Sliders: how a learned feature responds as its input rotates.

A patch is rotated by many more angles than the group has, in both chiralities, and the model is
applied to each once; after that, moving a slider only redraws. The rotations are those of a finer
group that contains the crosscoder's, so that orbit encoders have all the views they read.
"""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Sequence
from typing import TYPE_CHECKING

import ipywidgets as widgets
import numpy as np
import pandas as pd
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gc_utils.activations.store import ActivationStore
from gc_utils.errors import UserError, choose
from gc_utils.explorer.exhibit import MIRRORED, ROTATED, Exhibit, draw_response, png_bytes
from gc_utils.explorer.static import explore_static
from gc_utils.figures.parts import polar_profile
from gc_utils.figures.style import style

if TYPE_CHECKING:
    from gc_utils.crosscoder.untied import GroupCrosscoder
    from gc_utils.models.base import Model


class Explorer(widgets.VBox):
    """Sliders over an `Exhibit`; show it as the last value of a cell.

    Attributes:
        angle, mirror, feature, patch: the controls.
        image, panel, strip: the images: the rotated patch, curve and profile, top patches.
    """

    def __init__(self, exhibit: Exhibit, features: Sequence[int]) -> None:
        self.exhibit = exhibit
        step = 360 / exhibit.fine.n
        self.angle = widgets.FloatSlider(
            value=0, min=-180, max=180, step=step, description="angle", readout_format=".1f"
        )
        self.mirror = widgets.Checkbox(value=False, description="mirror first", indent=False)
        self.mirror.disabled = not exhibit.fine.dihedral
        self.feature = widgets.Dropdown(
            options=[(exhibit.card(f).title.removeprefix("feature "), f) for f in features],
            description="feature",
        )
        self.patch = widgets.IntSlider(value=0, min=0, max=0, description="patch")
        self.image = widgets.Image(format="png", width=220, height=220)
        self.panel = widgets.Image(format="png")
        # The curves give way to a narrow window, the patch does not; then they go below it.
        self.image.layout = widgets.Layout(flex="0 0 auto", width="220px", height="220px")
        self.panel.layout = widgets.Layout(flex="1 1 420px", min_width="0", max_width="700px")
        self.strip = widgets.Image(format="png")
        self.said = widgets.HTML()
        self._moving = False
        self.feature.observe(self._new_feature, "value")
        self.patch.observe(self._new_patch, "value")
        for control in (self.angle, self.mirror):
            control.observe(self._turn, "value")
        controls = widgets.HBox([self.feature, self.patch, self.angle, self.mirror])
        controls.layout.flex_flow = "row wrap"
        patch = widgets.VBox([self.image, self.said])
        patch.layout = widgets.Layout(flex="0 0 auto")
        shown = widgets.HBox([patch, self.panel])
        shown.layout.flex_flow = "row wrap"
        super().__init__([controls, shown, self.strip])
        self._new_feature()

    def _repr_mimebundle_(self, **settings: object) -> dict[str, object]:
        """The widget, and beside it the view as an image: for a page that shows no widgets."""
        shown = super()._repr_mimebundle_(**settings)
        figure = explore_static(self.exhibit, self.feature.value, self._patch)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=80)
        title = self.exhibit.card(self.feature.value).title
        said = f"The explorer at {title}; its sliders need a kernel."
        return shown | {"image/png": b64encode(buffer.getvalue()).decode(), "text/plain": said}

    @property
    def _patch(self) -> int:
        """The number of the patch that is shown."""
        return int(self._ranked[self.patch.value])

    def _new_feature(self, change: dict | None = None) -> None:
        """Show the feature's strongest patch, upright."""
        self._ranked = self.exhibit.ranked(self.feature.value)
        self._moving = True  # one redraw, not three
        self.patch.max = len(self._ranked) - 1
        self.patch.value = 0
        self.angle.value, self.mirror.value = 0, False
        self._moving = False
        top = self.exhibit.top(self.feature.value)
        gap = np.full((top.shape[1], 6, 3), 255, dtype=np.uint8)
        tiles = [part for patch in top for part in (patch, gap)]
        self.strip.layout.display = None if tiles else "none"
        if tiles:
            self.strip.value = png_bytes(np.concatenate(tiles, 1))
        self._new_patch()

    def _new_patch(self, change: dict | None = None) -> None:
        """Encode the patch at all angles, and draw all that does not move with the angle."""
        if self._moving:
            return
        exhibit, feature = self.exhibit, self.feature.value
        self._crops, codes = exhibit.rotations(self._patch)
        self._response = codes[:, feature]
        card = exhibit.card(feature)
        with style():
            figure = Figure(figsize=(7.0, 2.6), dpi=100)
            figure.subplots_adjust(left=0.09, right=0.98, top=0.84, bottom=0.13)
            grid = figure.add_gridspec(1, 2, width_ratios=[1.9, 1], wspace=0.22)
            curve = figure.add_subplot(grid[0])
            draw_response(curve, self._response, exhibit.fine, exhibit.group)
            polar = figure.add_subplot(grid[1], projection="polar")
            polar_profile(polar, card.profile, exhibit.group, axis_degrees=card.axis_degrees)
            polar.set_title("Its block profile", pad=9)
            # Only these move; everything else is drawn once and pasted.
            self._marks = [
                curve.axvline(0, color="#333333", lw=1),
                *curve.plot([], [], "o", ms=8, mec="white", mew=1.2, color="#333333"),
                *polar.plot([], [], "o", ms=8, mec="white", mew=1.2, color="#333333"),
            ]
            for mark in self._marks:
                mark.set_animated(True)
            self._canvas = FigureCanvasAgg(figure)
            self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(figure.bbox)
        self._turn()

    def _turn(self, change: dict | None = None) -> None:
        """The quick part: another angle of the same patch."""
        if self._moving:
            return
        exhibit = self.exhibit
        element = exhibit.element(self.angle.value, self.mirror.value)
        value = float(self._response[element])
        colour = MIRRORED if self.mirror.value else ROTATED
        line, dot, on_circle = self._marks
        line.set_xdata([self.angle.value] * 2)
        dot.set_data([self.angle.value], [value])
        # The profile is known at the group's own elements: the nearest one is marked.
        g = exhibit.group
        nearest = round(self.angle.value * g.n / 360) % g.n
        index = nearest + g.n * (self.mirror.value and g.dihedral)
        profile = exhibit.profiles[self.feature.value]
        on_circle.set_data([np.deg2rad(nearest * 360 / g.n)], [profile[index]])
        self._canvas.restore_region(self._still)
        for mark in self._marks:
            mark.set_color("#333333" if mark is line else colour)
            mark.axes.draw_artist(mark)
        self.panel.value = png_bytes(np.asarray(self._canvas.buffer_rgba())[..., :3])
        self.image.value = png_bytes(self._crops[element])
        self.said.value = f"code <b>{value:.2f}</b>" + ("" if value > 0 else " (off)")


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
) -> Explorer | Figure:
    """Rotate a patch with a slider and observe a feature's code.

    Args:
        model: The network; None for a store that came without one: the angles are then those of
            the group, for which the store holds the responses.
        layer: The layer that the crosscoder was trained on.
        data: An activation store, or patches, uint8 `(N, S, S, 3)`, of any images.
        crosscoder: The crosscoder.
        report: A per-feature table with `feature` and, if known, `label`, `stabiliser` and
            `axis_degrees`, for the titles.
        codes: The codes of the patches, `(N, m)`; with them a feature's top patches are shown.
        photograph: The photograph that each patch comes from, `(N,)`; by default the store's.
        features: The features to offer, the first one is shown; by default those that ever fire.
        least: The least number of angles; each costs two forward passes for a new patch.
        interactive: `"auto"` makes sliders where there is a front end and a figure of the first
            feature where there is none; True or False makes one of them in any case.

    Returns:
        A widget with `.angle`, `.mirror`, `.feature` and `.patch`, or a figure.

    Raises:
        UserError: There is no feature to show, a feature does not exist, the codes do not fit the
            patches, or `interactive` is unknown.
    """
    if interactive not in (True, False):
        choose(interactive, ("auto",), "value of interactive")
        interactive = has_front_end()
    orbits, drawn = None, False
    if isinstance(data, ActivationStore):
        photograph = data.samples["photograph"] if photograph is None else photograph
        if model is None:
            orbits, drawn = data.read(), data.settings["pictures"] == "drawn"
        data = data.patches
    exhibit = Exhibit(
        model, layer, crosscoder, data, report, codes, photograph, least, orbits, drawn
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
    return Explorer(exhibit, features)
