"""Sliders: what a learned feature sees as its input turns.

A patch is turned by many more angles than the group has, in both chiralities, and the model looks
at every one of them once; after that, moving a slider only redraws. The turns are those of a finer
group that contains the crosscoder's, so that orbit encoders have all the views they read.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from gc_utils import plots
from gc_utils.activations import ActivationStore
from gc_utils.errors import UserError, choose
from gc_utils.groups import Group, group
from gc_utils.orbits import turn
from gc_utils.symmetry import block_profile
from gc_utils.visualise import top_patches, top_samples

if TYPE_CHECKING:
    from gc_utils.crosscoder import GroupCrosscoder
    from gc_utils.models import Model

TURNED, MIRRORED = plots.OKABE_ITO["blue"], plots.OKABE_ITO["orange"]
KEPT = 16  # patches whose turns are kept; 2.6 MB each at D48 and 95 pixels


def finer_group(g: Group, least: int = 48) -> Group:
    """The smallest `DM` that contains the group and turns in at least `least` steps."""
    return group(f"D{g.n * max(1, -(-least // g.n))}")


def embed(g: Group, fine: Group) -> torch.Tensor:
    """Index in `fine` of every element of `g`, int64 `(|G|,)`."""
    index = torch.arange(g.order)
    return index % g.n * (fine.n // g.n) + fine.n * (index >= g.n)


@torch.no_grad()
def turned_codes(
    model: Model, layer: str, crosscoder: GroupCrosscoder, crops: torch.Tensor, fine: Group
) -> torch.Tensor:
    """Codes of a patch under every element of a finer group.

    The turned patch `h·x` has the orbit `A'[g] = act(g·h·x)`: every view that an encoder may read
    is among the finer group's crops.

    Args:
        crops: `(|fine|, 3, S, S)`, the patch under every element of `fine`.
        fine: a group that contains the crosscoder's.

    Returns:
        `(|fine|, m)`.
    """
    A = torch.cat([model.unit(part, layer).cpu() for part in crops.split(32)])
    elements = embed(crosscoder.group, fine)[: crosscoder.views]
    codes = [
        crosscoder.encode(A[fine.table[elements][:, h]].transpose(0, 1))
        for h in torch.arange(fine.order).split(64)
    ]
    return torch.cat(codes)


@dataclass(eq=False)
class Exhibit:
    """What explorer and static figure draw from.

    Attributes:
        model, layer: what looks at the patches.
        crosscoder: trained on that layer.
        patches: uint8 `(N, S, S, 3)`.
        report: the per-feature table, or None.
        codes: `(N, m)` codes of the patches, or None: gives top patches and an order to them.
        photograph: `(N,)`, which photograph each comes from, or None.
        least: angles at least.
    """

    model: Model
    layer: str
    crosscoder: GroupCrosscoder
    patches: np.ndarray
    report: pd.DataFrame | None = None
    codes: torch.Tensor | None = None
    photograph: np.ndarray | None = None
    least: int = 48
    _seen: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.fine = finer_group(self.crosscoder.group, self.least)
        self.profiles = block_profile(self.crosscoder.V.detach()).float().cpu().numpy()
        if self.codes is not None and len(self.codes) != len(self.patches):
            raise UserError(f"{len(self.codes)} codes for {len(self.patches)} patches.")

    @property
    def group(self) -> Group:
        """The crosscoder's group."""
        return self.crosscoder.group

    def turns(self, patch: int) -> tuple[np.ndarray, np.ndarray]:
        """A patch under every element of the finer group, and its codes there.

        Returns:
            uint8 `(|fine|, S, S, 3)` and `(|fine|, m)`.
        """
        if patch not in self._seen:
            while len(self._seen) >= KEPT:
                del self._seen[next(iter(self._seen))]
            picture = torch.from_numpy(self.patches[patch].copy()).permute(2, 0, 1).float() / 255
            crops = turn(picture, self.fine, blur=0.0)  # it was low-passed when it was cut
            codes = turned_codes(self.model, self.layer, self.crosscoder, crops, self.fine)
            shown = (crops * 255).round().byte().permute(0, 2, 3, 1).numpy()
            self._seen[patch] = shown, codes.numpy()
        return self._seen[patch]

    def element(self, angle: float, mirror: bool) -> int:
        """The finer group's element nearest to an angle in degrees."""
        return round(angle * self.fine.n / 360) % self.fine.n + self.fine.n * bool(mirror)

    def ranked(self, feature: int) -> np.ndarray:
        """Patches, those that excite the feature most first; all in their order without codes."""
        if self.codes is None:
            return np.arange(len(self.patches))
        values = torch.as_tensor(self.codes)[:, feature].detach().float().numpy()
        best = top_samples(values, 24, self.photograph, per_photograph=3)
        return best if len(best) else np.arange(min(24, len(self.patches)))

    def top(self, feature: int, count: int = 8) -> np.ndarray:
        """Its top patches, uint8 `(≤ count, S, S, 3)`; none without codes."""
        if self.codes is None:
            return self.patches[:0]
        return top_patches(self.codes, self.patches, feature, count, self.photograph)

    def card(self, feature: int) -> plots.Card:
        """Number, kind and symmetry of a feature."""
        row = {}
        if self.report is not None:
            rows = self.report[self.report["feature"] == feature]
            row = rows.iloc[0].to_dict() if len(rows) else {}
        stabiliser = row.get("stabiliser")
        return plots.Card(
            feature,
            self.profiles[feature],
            stabiliser=stabiliser if isinstance(stabiliser, str) else "",
            axis_degrees=row.get("axis_degrees", np.nan),
            label=str(row.get("label", "")),
        )


def _over_turns(values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Angles from -180 to 180 degrees and the values of one chirality over them."""
    k = np.arange(-(n // 2), n - n // 2 + 1)
    return k * 360 / n, values[k % n]


def draw_response(ax: Axes, response: np.ndarray, fine: Group, g: Group) -> None:
    """A feature's code as the patch turns: solid turned, dashed mirrored, dots the group's own.

    Args:
        response: `(|fine|,)`.
        fine: the group of the turns drawn.
        g: the crosscoder's group.
    """
    n, stride = fine.n, fine.n // g.n
    ax.plot(*_over_turns(response[:n], n), color=TURNED, label="turned")
    ax.plot(
        *_over_turns(response[n:], n), color=MIRRORED, ls=plots.DASHED, lw=1.3, label="mirrored"
    )
    own = np.zeros(n)
    own[::stride] = 1
    angles, at = _over_turns(own, n)
    ax.plot(angles[at > 0], _over_turns(response[:n], n)[1][at > 0], ".", color=TURNED, ms=5)
    ax.set(xlim=(-180, 180), xticks=range(-180, 181, 90), ylabel="code")
    ax.set_xticklabels([f"{a}°" for a in range(-180, 181, 90)])
    top = float(response.max()) or 1.0  # a feature that is off at every angle
    ax.set_ylim(-0.04 * top, 1.15 * top)
    ax.grid(True)
    ax.set_title("What it says as the input turns")


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    # Speed matters here, size does not: the picture travels from kernel to browser.
    Image.fromarray(picture).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


class Explorer(widgets.VBox):
    """Sliders over an `Exhibit`; show it as the last value of a cell.

    Attributes:
        angle, mirror, feature, patch: the controls.
        picture, panel, strip: the images: the turned patch, curve and profile, top patches.
    """

    def __init__(self, exhibit: Exhibit, features: Sequence[int]) -> None:
        self.exhibit = exhibit
        step = 360 / exhibit.fine.n
        self.angle = widgets.FloatSlider(
            value=0, min=-180, max=180, step=step, description="angle", readout_format=".1f"
        )
        self.mirror = widgets.Checkbox(value=False, description="mirror first", indent=False)
        self.feature = widgets.Dropdown(
            options=[(exhibit.card(f).title.removeprefix("feature "), f) for f in features],
            description="feature",
        )
        self.patch = widgets.IntSlider(value=0, min=0, max=0, description="patch")
        self.picture = widgets.Image(format="png", width=220, height=220)
        self.panel = widgets.Image(format="png")
        self.strip = widgets.Image(format="png")
        self.said = widgets.HTML()
        self._moving = False
        self.feature.observe(self._new_feature, "value")
        self.patch.observe(self._new_patch, "value")
        for control in (self.angle, self.mirror):
            control.observe(self._turn, "value")
        controls = widgets.HBox([self.feature, self.patch, self.angle, self.mirror])
        controls.layout.flex_flow = "row wrap"
        shown = widgets.HBox([widgets.VBox([self.picture, self.said]), self.panel])
        super().__init__([controls, shown, self.strip])
        self._new_feature()

    def _new_feature(self, change: dict | None = None) -> None:
        """Show the feature's strongest patch, upright."""
        self._ranked = self.exhibit.ranked(self.feature.value)
        self._moving = True  # one redraw, not three
        self.patch.max = len(self._ranked) - 1
        self.patch.value = 0
        self._moving = False
        top = self.exhibit.top(self.feature.value)
        gap = np.full((top.shape[1], 6, 3), 255, dtype=np.uint8)
        tiles = [part for patch in top for part in (patch, gap)]
        self.strip.layout.display = None if tiles else "none"
        if tiles:
            self.strip.value = _png(np.concatenate(tiles, 1))
        self._new_patch()

    def _new_patch(self, change: dict | None = None) -> None:
        """Look at the patch from all angles, and draw all that does not move with the angle."""
        if self._moving:
            return
        exhibit, feature = self.exhibit, self.feature.value
        self._crops, codes = exhibit.turns(int(self._ranked[self.patch.value]))
        self._response = codes[:, feature]
        card = exhibit.card(feature)
        with plots.style():
            figure = Figure(figsize=(7.0, 2.6), dpi=100)
            figure.subplots_adjust(left=0.09, right=0.98, top=0.84, bottom=0.13)
            grid = figure.add_gridspec(1, 2, width_ratios=[1.9, 1], wspace=0.22)
            curve = figure.add_subplot(grid[0])
            draw_response(curve, self._response, exhibit.fine, exhibit.group)
            polar = figure.add_subplot(grid[1], projection="polar")
            plots.polar_profile(polar, card.profile, exhibit.group, axis_degrees=card.axis_degrees)
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
        exhibit = self.exhibit
        element = exhibit.element(self.angle.value, self.mirror.value)
        value = float(self._response[element])
        colour = MIRRORED if self.mirror.value else TURNED
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
        self.panel.value = _png(np.asarray(self._canvas.buffer_rgba())[..., :3])
        self.picture.value = _png(self._crops[element])
        self.said.value = f"code <b>{value:.2f}</b>" + ("" if value > 0 else " (off)")


@plots.styled
def _static(exhibit: Exhibit, feature: int, patch: int, count: int) -> Figure:
    crops, codes = exhibit.turns(patch)
    response, fine, card = codes[:, feature], exhibit.fine, exhibit.card(feature)
    top = exhibit.top(feature, count)
    heights = [1.15, 1.9, 0.95][: 2 + bool(len(top))]  # inches
    figure = plt.figure(figsize=(9.6, sum(heights) + 1.3))
    figure.subplots_adjust(left=0.07, right=0.98, top=1 - 0.6 / figure.get_figheight(), bottom=0.05)
    grid = figure.add_gridspec(len(heights), 3, height_ratios=heights, hspace=0.4, wspace=0.15)
    figure.suptitle(card.title, x=0.01, ha="left")
    angles = np.arange(count) * 360 / count
    elements = [exhibit.element(a, False) for a in angles]
    captions = [f"{a:g}°: {response[e]:.2f}" for a, e in zip(angles, elements, strict=True)]
    turned = figure.add_subplot(grid[0, :])
    plots.thumbnails(turned, crops[elements], captions=captions)
    turned.set_title("One patch, turned, and the feature's code", loc="left")
    turned.set_anchor("W")
    curve = figure.add_subplot(grid[1, :2])
    draw_response(curve, response, fine, exhibit.group)
    curve.legend(loc="upper right", ncols=2)
    polar = figure.add_subplot(grid[1, 2], projection="polar")
    plots.polar_profile(polar, card.profile, exhibit.group, axis_degrees=card.axis_degrees)
    polar.set_title("Its block profile", pad=9)
    if len(top):
        ax = figure.add_subplot(grid[2, :])
        plots.thumbnails(ax, top, count)
        ax.set_title("Patches that excite it most", loc="left")
        ax.set_anchor("W")
    return figure


def explore_static(
    exhibit: Exhibit, feature: int, patch: int | None = None, *, count: int = 10
) -> Figure:
    """What the explorer shows, as a figure: for a page without a kernel behind it.

    Args:
        feature: which feature.
        patch: which patch (default: the one that excites the feature most).
        count: angles drawn, over a full turn.
    """
    patch = int(exhibit.ranked(feature)[0]) if patch is None else patch
    return _static(exhibit, feature, patch, count)


def has_front_end() -> bool:
    """Whether a person sits at the other end, who could move a slider.

    Jupyter, Colab and VS Code offer to answer `input()` with every cell that they run; papermill,
    nbconvert and nbclient do not. Without one a widget would be a blank in the saved notebook.
    """
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return bool(getattr(getattr(get_ipython(), "kernel", None), "_allow_stdin", False))


def explore(
    model: Model,
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
    """Turn a patch with a slider and watch what a feature makes of it.

    Args:
        model: the model.
        layer: the layer that the crosscoder was trained on.
        data: an activation store, or patches, uint8 `(N, S, S, 3)`, of any pictures.
        crosscoder: the crosscoder.
        report: per-feature table with `feature` and, where there, `label`, `stabiliser`,
            `axis_degrees`, for the titles.
        codes: `(N, m)` codes of the patches: a feature then comes with its top patches.
        photograph: `(N,)`, which photograph each patch comes from (default: the store's).
        features: features to offer, the first one is shown (default: those that are ever on).
        least: angles at least; each costs two looks of the model for a new patch.
        interactive: `"auto"` gives sliders where there is a front end and a figure of the first
            feature where there is none; True or False to insist.

    Returns:
        A widget with `.angle`, `.mirror`, `.feature` and `.patch`, or a figure.
    """
    if interactive not in (True, False):
        choose(interactive, ("auto",), "value of interactive")
        interactive = has_front_end()
    if isinstance(data, ActivationStore):
        photograph = data.samples["photograph"] if photograph is None else photograph
        data = data.patches
    exhibit = Exhibit(model, layer, crosscoder, data, report, codes, photograph, least)
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
