"""Parts that several figures share: images, thumbnails, polar axes, legends."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from gc_utils.figures.methods import BEFORE, STATES, Look, method_look
from gc_utils.figures.style import DASHED, GREY, INK, OKABE_ITO, PALE, SMALL, WIDTH
from gc_utils.groups import Group

# Kinds outnumber the palette, so each has a marker of its own too.
KINDS = {
    "curve": (OKABE_ITO["vermilion"], "o"),
    "line": (OKABE_ITO["blue"], "s"),
    "edge": (OKABE_ITO["sky"], "D"),
    "gradient": (OKABE_ITO["green"], "^"),
    "grating": (OKABE_ITO["purple"], "v"),
    "corner": (OKABE_ITO["orange"], "<"),
    "circle": (OKABE_ITO["black"], "o"),
    "centre_surround": ("#5B3A8C", "P"),
    "colour_contrast": (OKABE_ITO["yellow"], "X"),
    "texture": ("#8B5A2B", "*"),
}
OTHER = (PALE, "o")


# ---------------------------------------------------------------------------- parts of figures


def as_images(x) -> np.ndarray:
    """Images as matplotlib shows them, from either order of axes.

    Args:
        x: tensor or array, `(..., 3, S, S)` or `(..., S, S, 3)`, float in [0, 1] or uint8.

    Returns:
        Float `(..., S, S, 3)` in [0, 1].
    """
    x = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    x = x / 255.0 if x.dtype == np.uint8 else x.astype(np.float64)
    return np.clip(x if x.shape[-1] == 3 else np.moveaxis(x, -3, -1), 0, 1)


def label_styles(labels: Sequence[str], limit: int = 10) -> dict[str, tuple[str, str]]:
    """Choose a colour and a marker for each label.

    Known kinds have the same style in every figure. Other labels take the styles that are left, the
    most frequent first.

    Args:
        labels: one for each feature.
        limit: most labels with a style of their own; the others are drawn as `other`.

    Returns:
        Label → (colour, marker), in the order of a legend.
    """
    counts = pd.Series(list(labels), dtype=object).value_counts()
    known = [kind for kind in KINDS if kind in counts]
    unknown = [name for name in counts.index if name not in KINDS and name != "other"]
    free = [look for kind, look in KINDS.items() if kind not in counts]
    styles = {kind: KINDS[kind] for kind in known}
    styles |= dict(zip(unknown[: max(0, limit - len(known))], free, strict=False))
    return styles | {name: OTHER for name in counts.index if name not in styles}


def legend_handles(styles: Mapping[str, tuple[str, str]], counts: Mapping[str, int]) -> list:
    """The entries of a legend; all labels that are drawn as `other` share one.

    Args:
        styles: from `label_styles`.
        counts: label → number of features; labels without features get no entry.

    Returns:
        Handles for `legend`.
    """
    handles = [
        Line2D([], [], ls="", marker=m, color=c, mec="white", mew=0.4, ms=7, label=label_text(name))
        for name, (c, m) in styles.items()
        if (c, m) != OTHER and counts.get(name, 0)
    ]
    if any(look == OTHER for look in styles.values()):
        handles.append(Line2D([], [], ls="", marker="o", color=PALE, ms=6, label="other"))
    return handles


def label_text(label: str) -> str:
    """A label as it stands in a figure, with spaces for underscores."""
    return str(label).replace("_", " ").replace("centre surround", "centre-surround")


def degrees(angle: float) -> str:
    """An angle as text, rounded to a tenth of a degree."""
    return f"{round(float(angle), 1):g}°"


def drawn_name(name: str, most: int = 22) -> str:
    """The name of an image as a figure shows it; to be drawn with `parse_math=False`.

    Args:
        name: of the image.
        most: characters at most.

    Returns:
        The beginning of the name, with a box for what the figure's font has no sign for.
    """
    font = font_manager.get_font(font_manager.findfont(font_manager.FontProperties()))
    plain = [c for c in name if unicodedata.category(c) not in ("Cf", "Mn")]  # joiners of emoji
    text = "".join(c if font.get_char_index(ord(c)) else "□" for c in plain)
    return text if len(text) <= most else text[: most - 1] + "…"


def thumbnails(
    ax: Axes,
    images,
    columns: int | None = None,
    *,
    captions: Sequence[str] | None = None,
    rims: Sequence[str | None] | None = None,
    disc: bool = True,
    gap: float = 0.1,
    caption_room: float = 0.3,
) -> list[tuple[float, float]]:
    """Draw images side by side, row by row.

    All images share one pair of axes, which keeps figures of many images fast.

    Args:
        ax: the axes.
        images: `(k, 3, S, S)` or `(k, S, S, 3)`; the last row may be incomplete.
        columns: images a row (default: all in one row).
        captions: a short text under each image, drawn as it is: a dollar sign begins no formula.
        rims: the colour of each image's frame, or None for no frame.
        disc: show the inscribed disc only, the part that every rotation of the image shares.
        gap: space between images, in widths of an image.
        caption_room: space for a caption, in widths of an image.

    Returns:
        The centres of the images in data coordinates (x, y).
    """
    images = as_images(images)
    columns = columns or max(1, len(images))
    rows = max(1, -(-len(images) // columns))
    step = 1 + gap
    pitch = step + (caption_room if captions is not None else 0)
    centres = []
    for i, image in enumerate(images):
        left, top = i % columns * step, i // columns * pitch
        centre = (left + 0.5, top + 0.5)
        drawn = ax.imshow(image, extent=(left, left + 1, top + 1, top))
        rim = rims[i] if rims is not None else None
        frame = Circle(centre, 0.5) if disc else None
        if frame is not None:
            frame.set(facecolor="none", edgecolor=rim or "none", linewidth=1.6)
            ax.add_patch(frame)
            drawn.set_clip_path(frame)
        elif rim:
            ax.add_patch(plt.Rectangle((left, top), 1, 1, fill=False, ec=rim, lw=1.6))
        if captions is not None:
            look = {"ha": "center", "va": "top", "fontsize": SMALL, "parse_math": False}
            ax.text(left + 0.5, top + 1.04, captions[i], **look)
        centres.append(centre)
    ax.set(xlim=(-0.03, columns * step - gap + 0.03), ylim=(rows * pitch - gap + 0.03, -0.03))
    ax.set_aspect("equal")
    ax.set_axis_off()
    return centres


def polar_profile(
    ax: Axes,
    profile,
    group: Group,
    *,
    axis_degrees: float = np.nan,
    floor: float | None = None,
    colour: str = OKABE_ITO["blue"],
) -> None:
    """Draw a block profile around a circle: rotations solid, reflections dashed.

    Args:
        ax: polar axes.
        profile: `(|G|,)` cosines of `V[i, g]` with `V[i, e]`.
        group: the group.
        axis_degrees: mirror axis of the stabiliser, drawn through the centre; NaN for none.
        floor: cosine at the centre of the circle (default: `radial_floor` of this profile).
        colour: of the solid line.
    """
    profile = np.asarray(profile, dtype=float)
    angles = np.deg2rad(group.angles[: group.n].numpy())
    closed = np.append(angles, angles[0] + 2 * np.pi)
    floor = radial_floor([profile]) if floor is None else floor
    if floor < 0:  # where the centre is not zero, say where zero is
        ax.plot(np.linspace(0, 2 * np.pi, 181), np.zeros(181), color=GREY, lw=0.8, zorder=1)
    if np.isfinite(axis_degrees):
        for end in (axis_degrees, axis_degrees + 180):
            ax.plot([np.deg2rad(end)] * 2, [floor, 1.12], color=GREY, lw=1, ls=":", clip_on=False)
    dots = group.n <= 32
    rotated = np.append(profile[: group.n], profile[0])
    ax.plot(closed, rotated, color=colour, marker="." if dots else None, ms=4)
    if group.dihedral:
        mirrored = np.append(profile[group.n :], profile[group.n])
        ax.plot(closed, mirrored, ls=DASHED, lw=1.2, color=OKABE_ITO["orange"])
    ax.set_rlim(floor, 1.0)
    ax.set_rticks([r for r in (-0.5, 0, 0.5, 1) if r > floor])
    polar_axes(ax)


def polar_axes(ax: Axes) -> None:
    """Give polar axes a pale circle with labels every 90°."""
    ax.set_yticklabels([])
    ax.set_thetagrids(range(0, 360, 45), ["0°", "", "90°", "", "180°", "", "270°", ""])
    ax.tick_params(pad=-1, labelsize=SMALL)
    ax.grid(color="#E0E0E0", lw=0.6)
    ax.spines["polar"].set(color=PALE, linewidth=0.8)


def radial_floor(profiles) -> float:
    """The cosine at the centre of polar axes, the same for all profiles that are compared.

    Args:
        profiles: arrays of cosines.

    Returns:
        The largest of 0, -0.5 and -1 that no cosine is below; -1 at least.
    """
    lowest = min(float(np.min(p)) for p in profiles)
    return next(f for f in (0.0, -0.5, -1.0) if lowest >= f or f == -1.0)


def over_angle(ax: Axes) -> None:
    """Give axes an x axis from 0° to 360° of rotation."""
    ax.set(xlim=(0, 360), xticks=range(0, 361, 90), xlabel="rotated by")
    ax.set_xticklabels([f"{a}°" for a in range(0, 361, 90)])
    ax.grid(True)


def wrapped(values, group: Group) -> tuple[np.ndarray, list[np.ndarray]]:
    """Values over the group's elements as closed curves over angle.

    Args:
        values: `(|G|,)`, one for each element.
        group: the group.

    Returns:
        Angles in degrees from 0 to 360, `(n + 1,)`, and the curves over them: one of the rotations
        and, for a dihedral group, one of the reflections.
    """
    values = np.asarray(values, dtype=float)
    halves = [values[: group.n], values[group.n :]] if group.dihedral else [values]
    angles = np.append(group.angles[: group.n].numpy(), 360.0)
    return angles, [np.append(half, half[0]) for half in halves]


def dot_panels(
    table: pd.DataFrame,
    *,
    rows: str,
    columns: str,
    value: str,
    titles: Mapping,
    limits: tuple[float, float],
    per_line: int = 3,
) -> Figure:
    """Draw one panel of dots for each value of a column, with the methods down the side.

    Each row of the table is a small dot, the mean of a method a large mark with its number beside
    it, and a bar runs from the smallest to the largest value. A dictionary before it was refined
    shares a line with the refined one. Methods are drawn as `methods.method_look` says.

    Args:
        table: one row a measurement.
        rows: the column of the methods.
        columns: the column whose values become panels.
        value: the column of the numbers.
        titles: value of `columns` → title of its panel (default: the value itself).
        limits: of the axis of all panels.
        per_line: panels side by side.
    """
    before = set(table[rows][table[rows].str.endswith(BEFORE)])
    order = [name for name in dict.fromkeys(table[rows]) if name not in before]
    panels = list(dict.fromkeys(table[columns]))
    across = min(per_line, len(panels))
    lines = -(-len(panels) // across)
    step = 0.42 if before else 0.27
    figure, axes = plt.subplots(
        lines,
        across,
        figsize=(WIDTH, 0.35 + lines * (0.6 + step * len(order))),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, panel in zip(axes.flat, panels, strict=False):
        here = table[table[columns] == panel]
        for y, name in enumerate(order):
            pair = name + BEFORE in before
            for each, shift in ((name, -0.17 * pair), (name + BEFORE, 0.2))[: 1 + pair]:
                values = here[here[rows] == each][value].dropna().to_numpy(dtype=float)
                look = method_look(each, refined=True if pair and each == name else None, order=y)
                _dots(ax, values, y + shift, look, limits)
        ax.set_title(fill(titles.get(panel, label_text(panel)), 20 if across > 2 else 60))
        ax.grid(axis="x")
        ax.set(ylim=(len(order) - 0.5, -0.5), yticks=range(len(order)), xlim=limits)
        ax.set_yticklabels([method_look(name).name for name in order])
        if limits == (0, 1):
            ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.tick_params(axis="y", length=0, pad=9)
        ax.tick_params(axis="x", labelbottom=True)
        ax.spines["left"].set_visible(False)
    for ax in axes.flat[len(panels) :]:
        ax.remove()
    if before:
        handles = [STATES[state].handle() for state in ("refined", "raw")]
        for handle in handles:
            handle.set(color=GREY, mec=GREY, mfc=GREY if handle is handles[0] else "white")
        figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure


def _dots(ax: Axes, values: np.ndarray, y: float, look: Look, limits: tuple[float, float]) -> None:
    """One method's values as small dots, their range as a bar, their mean as a mark and number."""
    if not len(values):
        ax.text(limits[0], y, " none", va="center", fontsize=SMALL, color=GREY)
        return
    common = {"color": look.colour, "clip_on": False}
    ax.plot([values.min(), values.max()], [y, y], lw=1.4, alpha=0.6, **common)
    ax.plot(values, [y] * len(values), ".", ms=4, alpha=0.6, **common)
    ax.plot(values.mean(), y, ms=7, clip_on=False, **look.mark)
    low, high = ((v - limits[0]) / (limits[1] - limits[0]) for v in (values.min(), values.max()))
    if high <= 0.8:
        at, shift, side = values.max(), (8, 0), ("left", "center")
    elif low >= 0.2:
        at, shift, side = values.min(), (-8, 0), ("right", "center")
    else:  # no room at either end
        at, shift, side = values.mean(), (0, 4), ("center", "bottom")
    text = {"xytext": shift, "textcoords": "offset points", "ha": side[0], "va": side[1]}
    ax.annotate(f"{values.mean():.2f}", (at, y), fontsize=SMALL, color=INK, **text)


def left_title(ax: Axes, text: str) -> None:
    """Put a plain heading over a block of thumbnails, and the block at the left of its cell."""
    ax.set_anchor("NW")
    ax.set_title(text, fontsize=SMALL, fontweight="normal", loc="left", pad=3)
