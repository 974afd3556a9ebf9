"""One orbit of a run, step by step: from a photograph to activations, a code, blocks and views.

Everything that is drawn is data of the run: nothing is a sketch. Distances are in inches, because
arrows and captions belong to columns whose width is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from gc_utils.figures.parts import as_images, degrees, drawn_name
from gc_utils.figures.style import GREY, INK, OKABE_ITO, PALE, SMALL, WIDTH, styled
from gc_utils.groups import Group

ROW, GAP = 0.5, 0.07  # inches: the height of a view, and the space between two
TOP, BOTTOM = 0.62, 0.62  # inches above and below the views
FEWEST = 5  # rows at least, which the boxes of what follows need
STRIPS = "PuOr_r"  # diverging, and safe for colour-blind readers
OUTLINE = (  # what follows
    ("4  one sparse code  f", "for the whole orbit\n(notebook 02)"),
    ("5  blocks  V[i, g]", "what feature i becomes\nunder g (02, 03)"),
    ("6  symmetry", "which g leave a feature\nas it is (04)"),
)
CHANNELS = 36  # columns of a strip: the channels that change most over the orbit


@dataclass(frozen=True)
class OrbitExample:
    """One orbit of a run.

    Attributes:
        activations: `(|G|, C)`, `A[g]` less the mean response of each channel.
        crops: `(|G|, 3, S, S)`, the images that they are responses to; None without a network.
        photograph: `(3, H, W)`, what the crops are from; None without a network.
        name: What the photograph is called.
        corner: x and y of the crop's upper left corner, in pixels of the photograph.
        side: The crop's side, in pixels of the photograph.
    """

    activations: np.ndarray
    crops: np.ndarray | None = None
    photograph: np.ndarray | None = None
    name: str = ""
    corner: tuple[float, float] = (0.0, 0.0)
    side: float = 0.0


@dataclass(frozen=True)
class CodeExample:
    """What a crosscoder makes of one orbit.

    Attributes:
        code: `(m,)`, the code.
        feature: The feature with the largest part in how the reconstruction changes with `g`.
        part: `(|G|, C)`, that feature's part, `f_i V[i, g]`.
        reconstruction: `(|G|, C)`, `Â[g]` less the mean response of each channel.
    """

    code: np.ndarray
    feature: int
    part: np.ndarray
    reconstruction: np.ndarray


def shown_elements(group: Group) -> list[int]:
    """The elements whose views are drawn: some rotations up to 180°, and the first mirror.

    Of at most four rotations all are drawn.

    Args:
        group: The group.
    """
    half = group.n // 2 if group.n > 4 else group.n - 1
    step = max(1, half // 4)
    return list(range(0, half + 1, step)) + [group.n] * group.dihedral


def telling_channels(activations: np.ndarray, group: Group, most: int = CHANNELS) -> np.ndarray:
    """The channels that change most over an orbit, in the order in which rotation excites them.

    Args:
        activations: `(|G|, C)`.
        group: The group.
        most: Channels at most.

    Returns:
        Channel numbers; the first respond most near 0°.
    """
    rotated = np.asarray(activations, dtype=float)[: group.n]
    chosen = np.argsort(-rotated.var(0))[:most]
    waves = np.exp(1j * np.deg2rad(group.angles[: group.n].numpy()))
    weight = rotated[:, chosen] - rotated[:, chosen].min(0)
    return chosen[np.argsort(np.angle(waves @ weight) % (2 * np.pi), kind="stable")]


@styled
def orbit_walkthrough(example: OrbitExample, group: Group) -> Figure:
    """From a photograph to orbit activations, and in outline what the next notebooks make of them.

    Args:
        example: The orbit.
        group: Its group.

    Returns:
        Columns from left to right: the photograph, its crop under some elements, the responses to
        each; then boxes for what follows.
    """
    elements = shown_elements(group)
    page = _Page(len(elements))
    _photograph(page, example, 0.05, 1.5)
    _views(page, example, group, elements, 2.3)
    channels = telling_channels(example.activations, group)
    x, width = 3.5, 2.0
    strips = [example.activations[g][channels] for g in elements]
    page.strips(strips, x, width, _limit(example.activations[:, channels]))
    page.heading(x, "3  responses  A[n, g]", f"{len(channels)} of {_channels(example)} channels")
    page.note(x, "each less its mean:\norange above it, purple below")
    page.arrow(1.62, 1.88, "rotate,\nmirror")
    page.arrow(2.95, 3.4)
    page.boxes(OUTLINE, 6.0, WIDTH - 6.05)
    page.arrow(5.58, 5.94)
    return page.figure


@styled
def code_walkthrough(example: OrbitExample, coded: CodeExample, group: Group) -> Figure:
    """From a photograph through its orbit and code to blocks and back to views.

    Args:
        example: An orbit that training has not seen.
        coded: What the crosscoder makes of it.
        group: Its group.

    Returns:
        Columns from left to right: the photograph, its crop under some elements, the code, the part
        of its strongest feature, all features together, and the responses to be explained.
    """
    elements = shown_elements(group)
    page = _Page(len(elements))
    _photograph(page, example, 0.05, 1.2)
    _views(page, example, group, elements, 1.95)
    _code(page, coded, 3.0, 1.35)
    channels = telling_channels(example.activations, group)
    limit, width = _limit(example.activations[:, channels]), 1.12
    alone = _limit(coded.part[:, channels])
    one = f"4  feature {coded.feature}"
    for x, title, note, values, end in (
        (4.62, one, f"f · V[i, g], colours × {limit / alone:.0f}", coded.part, alone),
        (6.04, "5  all that are on", "their sum  Â[g]", coded.reconstruction, limit),
        (7.12, "", "measured  A[g]", example.activations, limit),
    ):
        page.strips([values[g][channels] for g in elements], x, width - 0.08, end)
        page.heading(x, title, note)
    page.arrow(1.3, 1.52)
    page.arrow(2.52, 2.9)
    page.arrow(4.4, 4.58)
    page.arrow(5.72, 5.96, "+ …")
    left = float(((example.activations - coded.reconstruction) ** 2).sum())
    left /= max(float((example.activations**2).sum()), 1e-12)
    page.note(4.62, f"the {len(channels)} channels that\nchange most")
    page.note(
        6.04,
        f"all {_channels(example)} channels and {group.order} views:\n"
        f"{100 * (1 - left):.0f} % explained",
    )
    return page.figure


class _Page:
    """A figure whose views lie in rows, with columns placed in inches from the left."""

    def __init__(self, rows: int):
        rows = max(rows, FEWEST)
        self.inner = rows * ROW + (rows - 1) * GAP
        self.height = self.inner + TOP + BOTTOM
        self.figure = plt.figure(figsize=(WIDTH, self.height))

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes at (x, y) from the upper left corner of the views."""
        bottom = self.height - TOP - y - height
        box = (x / WIDTH, bottom / self.height, width / WIDTH, height / self.height)
        return self.figure.add_axes(box)

    def row(self, i: int) -> float:
        """Where the row begins."""
        return i * (ROW + GAP)

    def heading(self, x: float, title: str, note: str = "") -> None:
        """A column's title, and a line under it."""
        at = x / WIDTH
        self.figure.text(at, 1 - 0.1 / self.height, title, weight="bold", va="top", fontsize=9)
        y = 1 - 0.31 / self.height
        look = {"va": "top", "fontsize": SMALL, "color": INK, "parse_math": False}
        self.figure.text(at, y, note, **look)

    def note(self, x: float, text: str) -> None:
        """A line under a column."""
        y = (BOTTOM - 0.1) / self.height
        self.figure.text(x / WIDTH, y, text, va="top", fontsize=SMALL, color=INK)

    def strips(self, values: Sequence, x: float, width: float, limit: float) -> None:
        """A strip of colours for each row."""
        for i, strip in enumerate(values):
            ax = self.axes(x, self.row(i), width, ROW)
            ax.imshow(strip[None], aspect="auto", cmap=STRIPS, vmin=-limit, vmax=limit)
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set(visible=True, color=PALE)

    def arrow(self, start: float, end: float, text: str = "") -> None:
        """An arrow between two columns, half way down."""
        y = 1 - (TOP + self.inner / 2) / self.height
        look = {"arrowstyle": "-|>", "mutation_scale": 11, "color": INK, "lw": 1.3}
        ends = ((start / WIDTH, y), (end / WIDTH, y))
        arrow = FancyArrowPatch(*ends, transform=self.figure.transFigure, **look)
        self.figure.add_artist(arrow)
        if text:
            middle = (start + end) / 2 / WIDTH
            above = y + 0.1 / self.height
            self.figure.text(middle, above, text, ha="center", va="bottom", fontsize=SMALL)

    def boxes(self, notes: Sequence[tuple[str, str]], x: float, width: float) -> None:
        """What follows in other notebooks: a box a step, from top to bottom."""
        ax = self.axes(x, 0, width, self.inner)
        ax.set(xlim=(0, width), ylim=(self.inner, 0))
        ax.set_axis_off()
        pitch = self.inner / len(notes)
        tall = min(pitch - 0.24, 0.8)
        for i, (title, text) in enumerate(notes):
            top = (i + 0.5) * pitch - tall / 2
            look = {"boxstyle": "round,pad=0,rounding_size=0.06", "fc": "#F4F4F4", "ec": GREY}
            ax.add_patch(FancyBboxPatch((0.03, top), width - 0.06, tall, ls="--", **look))
            ax.text(0.14, top + 0.1, title, weight="bold", va="top", fontsize=9)
            ax.text(0.14, top + 0.3, text, va="top", fontsize=SMALL, color=INK)
            if i:
                tip = {"arrowstyle": "-|>", "color": INK, "lw": 1.3}
                before = (i - 0.5) * pitch + tall / 2
                ends = {"xy": (0.5 * width, top), "xytext": (0.5 * width, before)}
                ax.annotate("", arrowprops=tip, **ends)


def _photograph(page: _Page, example: OrbitExample, x: float, width: float) -> None:
    if example.photograph is None:
        page.heading(x, "1  a sample", "(its image is not known)")
        return
    picture = as_images(example.photograph)
    shape = picture.shape[0] / picture.shape[1]
    height = min(page.inner, width * shape)
    ax = page.axes(x, (page.inner - height) / 2, width, height)
    ax.imshow(picture)
    for colour, lw in (("white", 3.2), (OKABE_ITO["vermilion"], 1.6)):
        box = Rectangle(example.corner, example.side, example.side, fill=False, ec=colour, lw=lw)
        ax.add_patch(box)
    ax.set_axis_off()
    page.heading(x, "1  a photograph", f"“{drawn_name(example.name)}”")


def _views(page: _Page, example: OrbitExample, group: Group, elements, x: float) -> None:
    page.heading(
        x - 0.42, f"2  orbit under {group.name}", f"{len(elements)} of {group.order} views"
    )
    for i, g in enumerate(elements):
        ax = page.axes(x, page.row(i), ROW, ROW)
        if example.crops is None:
            ax.text(0.5, 0.5, "?", ha="center", va="center", color=GREY)
            ax.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
        else:
            ax.imshow(as_images(example.crops[g]))
            ax.set_axis_off()
        text = degrees(group.angles[g]) if g < group.n else "mirror"
        y = 1 - (TOP + page.row(i) + ROW / 2) / page.height
        look = {"ha": "right", "va": "center", "fontsize": SMALL}
        page.figure.text((x - 0.05) / WIDTH, y, text, **look)


def _code(page: _Page, coded: CodeExample, x: float, width: float) -> None:
    ax = page.axes(x, 0, width, page.inner)
    on = np.flatnonzero(coded.code > 0)
    ax.vlines(on, 0, coded.code[on], color=GREY, lw=1)
    strongest = coded.code[coded.feature]
    ax.vlines([coded.feature], 0, strongest, color=OKABE_ITO["vermilion"], lw=2.2)
    right = coded.feature > 0.6 * len(coded.code)
    top = max(float(coded.code.max()), 1e-9)
    ax.set(xlim=(-0.02 * len(coded.code), len(coded.code)), ylim=(0, 1.14 * top), yticks=[])
    where = {"ha": "right" if right else "left", "va": "top", "fontsize": SMALL}
    text = f"feature {coded.feature}"
    ax.text(coded.feature, 1.13 * top, text, color=OKABE_ITO["vermilion"], **where)
    ax.set_xticks([0, len(coded.code) - 1])
    ax.tick_params(labelsize=SMALL)
    ax.set_xlabel("feature number", fontsize=SMALL, labelpad=-6)
    ax.spines["left"].set_visible(False)
    page.heading(x, "3  one code  f", f"{len(on)} of {len(coded.code)} features on")


def _channels(example: OrbitExample) -> int:
    return example.activations.shape[1]


def _limit(values: np.ndarray) -> float:
    """Where the colours end: at all but the hundredth part of the values."""
    return max(float(np.quantile(np.abs(values), 0.99)), 1e-9)
