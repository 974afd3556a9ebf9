"""Figures: one function a figure, arrays or tables in, a matplotlib `Figure` out.

Every figure answers one question and reads without the text around it: orientation is drawn on a
circle, a feature is shown beside its number, a family is a row of thumbnails. Angles are degrees
counter-clockwise. Pictures are `(..., 3, S, S)` floats in [0, 1] or `(..., S, S, 3)` uint8.
Importing this module changes no matplotlib setting, and a returned figure is closed for pyplot, so
that a notebook shows it once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import wraps

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch

from gc_utils.equivariance import Equivariance
from gc_utils.groups import Group
from gc_utils.recovery import summary

# Okabe & Ito's palette: eight colours that colour-blind readers tell apart.
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
PARTS = {
    "total": OKABE_ITO["black"],
    "invariant": OKABE_ITO["blue"],
    "orientation": OKABE_ITO["vermilion"],
}
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
    """The figures' look, as a context: `with style(): …`."""
    return mpl.rc_context(STYLE)


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw in our style, then close: a notebook shows the returned figure and no second one."""

    @wraps(draw)
    def wrapper(*args, **kwargs) -> Figure:
        with style():
            figure = draw(*args, **kwargs)
        plt.close(figure)
        return figure

    return wrapper


# ---------------------------------------------------------------------------- parts of figures


def pictures(x) -> np.ndarray:
    """Pictures as float `(..., S, S, 3)` in [0, 1], whichever way round they came.

    Args:
        x: tensor or array, `(..., 3, S, S)` or `(..., S, S, 3)`, float in [0, 1] or uint8.
    """
    x = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
    x = x / 255.0 if x.dtype == np.uint8 else x.astype(np.float64)
    return np.clip(x if x.shape[-1] == 3 else np.moveaxis(x, -3, -1), 0, 1)


def label_styles(labels: Sequence[str], limit: int = 10) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each label, in the order of a legend.

    Known kinds keep theirs in every figure; other labels take what is left, the most frequent
    first, and labels beyond `limit` are drawn as `other`.
    """
    counts = pd.Series(list(labels), dtype=object).value_counts()
    known = [kind for kind in KINDS if kind in counts]
    unknown = [name for name in counts.index if name not in KINDS and name != "other"]
    free = [look for kind, look in KINDS.items() if kind not in counts]
    styles = {kind: KINDS[kind] for kind in known}
    styles |= dict(zip(unknown[: max(0, limit - len(known))], free, strict=False))
    return styles | {name: OTHER for name in counts.index if name not in styles}


def _legend_handles(styles: Mapping[str, tuple[str, str]], counts: Mapping[str, int]) -> list:
    """One marker a label; everything drawn as `other` shares one entry."""
    handles = [
        Line2D([], [], ls="", marker=m, color=c, mec="white", mew=0.4, ms=7, label=_words(name))
        for name, (c, m) in styles.items()
        if (c, m) != OTHER and counts.get(name, 0)
    ]
    if any(look == OTHER for look in styles.values()):
        handles.append(Line2D([], [], ls="", marker="o", color=PALE, ms=6, label="other"))
    return handles


def _words(label: str) -> str:
    return str(label).replace("_", " ").replace("centre surround", "centre-surround")


def _degrees(angle: float) -> str:
    return f"{round(float(angle), 1):g}°"


def thumbnails(
    ax: Axes,
    images,
    columns: int | None = None,
    *,
    captions: Sequence[str] | None = None,
    rims: Sequence[str | None] | None = None,
    disc: bool = True,
    gap: float = 0.1,
) -> list[tuple[float, float]]:
    """Tile pictures on one axes, row by row (one axes for all keeps large figures fast).

    Args:
        images: `(k, 3, S, S)` or `(k, S, S, 3)`; may be shorter than the last row.
        columns: pictures a row (default: all in one row).
        captions: a short text under each.
        rims: a colour for the frame of each, or None for no frame.
        disc: show the inscribed disc only, the part that every turn of the picture shares.
        gap: space between pictures, in widths of a picture.

    Returns:
        The centres of the pictures in data coordinates (x, y).
    """
    images = pictures(images)
    columns = columns or max(1, len(images))
    rows = max(1, -(-len(images) // columns))
    step = 1 + gap
    pitch = step + (0.3 if captions is not None else 0)
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
            ax.text(left + 0.5, top + 1.04, captions[i], ha="center", va="top", fontsize=7)
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
    """A block profile around the circle: turned solid, mirrored and turned dashed.

    Args:
        ax: polar axes.
        profile: `(|G|,)` cosines of `V[i, g]` with `V[i, e]`.
        axis_degrees: mirror axis of the stabiliser, drawn through the centre; NaN for none.
        floor: cosine at the centre of the circle (default: the profile's own, in halves).
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
    turned = np.append(profile[: group.n], profile[0])
    ax.plot(closed, turned, color=colour, marker="." if dots else None, ms=4)
    if group.dihedral:
        mirrored = np.append(profile[group.n :], profile[group.n])
        ax.plot(closed, mirrored, ls=DASHED, lw=1.2, color=OKABE_ITO["orange"])
    ax.set_rlim(floor, 1.0)
    ax.set_rticks([r for r in (-0.5, 0, 0.5, 1) if r > floor])
    polar_axes(ax)


def polar_axes(ax: Axes) -> None:
    """A quiet circle, marked at the quarter turns."""
    ax.set_yticklabels([])
    ax.set_thetagrids([0, 90, 180, 270], ["0°", "90°", "180°", "270°"])
    ax.tick_params(pad=-3, labelsize=7)
    ax.grid(color="#E0E0E0", lw=0.6)
    ax.spines["polar"].set(color=PALE, linewidth=0.8)


def radial_floor(profiles) -> float:
    """The largest of 0, -0.5, -1 that is below every cosine: one scale for figures compared."""
    lowest = min(float(np.min(p)) for p in profiles)
    return next(f for f in (0.0, -0.5, -1.0) if lowest >= f or f == -1.0)


def over_angle(ax: Axes) -> None:
    """An x axis over a full turn."""
    ax.set(xlim=(0, 360), xticks=range(0, 361, 90), xlabel="turned by")
    ax.set_xticklabels([f"{a}°" for a in range(0, 361, 90)])
    ax.grid(True)


def _wrapped(values, group: Group) -> tuple[np.ndarray, list[np.ndarray]]:
    """Angles from 0 to 360 and the values over them: turned, then mirrored and turned."""
    values = np.asarray(values, dtype=float)
    halves = [values[: group.n], values[group.n :]] if group.dihedral else [values]
    angles = np.append(group.angles[: group.n].numpy(), 360.0)
    return angles, [np.append(half, half[0]) for half in halves]


def _dot_panels(
    table: pd.DataFrame, *, rows: str, columns: str, value: str, titles: Mapping
) -> Figure:
    """A dot plot for each of `columns`, categories down the side.

    Every run is a small dot, their mean a large one, a bar goes from the least to the most.
    """
    order = list(dict.fromkeys(table[rows]))
    panels = list(dict.fromkeys(table[columns]))
    colours = [OKABE_ITO[c] for c in ("blue", "vermilion", "purple", "black", "green", "orange")]
    figure, axes = plt.subplots(
        1,
        len(panels),
        figsize=(1.8 + 1.9 * len(panels), 0.75 + 0.36 * len(order)),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for ax, panel in zip(axes[0], panels, strict=True):
        for y, name in enumerate(order):
            here = table[(table[columns] == panel) & (table[rows] == name)]
            values = here[value].dropna().to_numpy(dtype=float)
            if len(values):
                look = {"color": colours[y % len(colours)], "clip_on": False}
                ax.plot([values.min(), values.max()], [y, y], lw=1.4, alpha=0.6, **look)
                ax.plot(values, [y] * len(values), ".", ms=4, alpha=0.6, **look)
                ax.plot(values.mean(), y, "o", ms=7, **look)
        ax.set_title(titles.get(panel, _words(panel)))
        ax.grid(axis="x")
        ax.set(ylim=(len(order) - 0.5, -0.5), yticks=range(len(order)))
        ax.set_yticklabels(order)
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
        ax.margins(x=0.08)
    return figure


# ------------------------------------------------------------------------------ 01: the orbit


@styled
def orbit_figure(crops, group: Group, *, most: int = 16) -> Figure:
    """One patch under every group element.

    Args:
        crops: `(|G|, 3, S, S)`, the orbit of one patch.
        group: its group; `r^k` at index `k`, `r^k s` at `n + k`.
        most: at most so many rotations are drawn, evenly spaced.
    """
    images = pictures(crops)
    stride = max(1, -(-group.n // most))
    shown = list(range(0, group.n, stride))
    rows = [("turned", 0), ("mirrored,\nthen turned", group.n)][: 1 + group.dihedral]
    width = 0.62 * len(shown) + 0.9
    figure, axes = plt.subplots(
        len(rows), 1, figsize=(width, 0.86 * len(rows) + 0.35), squeeze=False
    )
    for ax, (name, start) in zip(axes[:, 0], rows, strict=True):
        elements = [start + k for k in shown]
        captions = [_degrees(group.angles[g]) for g in elements]
        thumbnails(ax, images[elements], captions=captions, disc=False)
        ax.text(-0.15, 0.5, name, ha="right", va="center", fontsize=8.5)
    note = "" if stride == 1 else f" (every {stride}th of {group.n} rotations)"
    figure.suptitle(f"One patch under {group.name}{note}", x=0.01, y=0.995, ha="left", va="top")
    figure.subplots_adjust(
        left=0.95 / width,
        right=0.995,
        bottom=0.01,
        top=1 - 0.3 / figure.get_figheight(),
        hspace=0.05,
    )
    return figure


@styled
def orbit_variance(invariant_share, before, after=None, *, names=("no low-pass", "low-pass")):
    """How much of the activations' variance a turn leaves alone, and how fast the rest turns.

    Args:
        invariant_share: `(C,)`, each channel's share of variance that its orbit mean explains.
        before: `(F,)`, share of the orientation part at angular frequencies 1, 2, …, F.
        after: the same with the other sampling; None to draw one set of bars.
        names: what the two sets of bars are.
    """
    share = np.asarray(invariant_share, dtype=float)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 2.7), layout="constrained")
    left.hist(share, bins=np.linspace(0, 1, 26), color=OKABE_ITO["blue"], ec="white", lw=0.5)
    left.axvline(share.mean(), color="black", lw=1)
    high = share.mean() > 0.5
    left.annotate(
        f"mean {share.mean():.2f}",
        (share.mean(), 0.97),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if high else 4, 0),
        textcoords="offset points",
        ha="right" if high else "left",
        va="top",
        fontsize=8,
    )
    left.set(xlim=(0, 1), xlabel="invariant share of a channel's variance", ylabel="channels")
    left.set_title("What does turning leave alone?")
    spectra = [np.asarray(s, dtype=float) for s in (before, after) if s is not None]
    colours = [PALE, OKABE_ITO["vermilion"]][-len(spectra) :]
    frequencies = np.arange(1, len(spectra[0]) + 1)
    bar = 0.8 / len(spectra)
    for i, (spectrum, name) in enumerate(zip(spectra, names, strict=False)):
        offset = (i - (len(spectra) - 1) / 2) * bar
        right.bar(frequencies + offset, 100 * spectrum, bar, color=colours[i], label=name)
    right.set(xlabel="cycles per turn", ylabel="% of the orientation part", xticks=frequencies)
    right.set_title("How fast does the rest turn?")
    right.grid(axis="y")
    if len(spectra) > 1:
        right.legend()
    return figure


# --------------------------------------------------------------------------------- 02: training


@styled
def training_curves(
    history: pd.DataFrame, *, k: float | None = None, features: int | None = None
) -> Figure:
    """Held-out FVU in its three parts, L0 and dead features over training.

    Args:
        history: as training returns it: one row a logged step, with `samples`, `l0` and, where the
            held-out samples were evaluated, `held_out_fvu`, `held_out_fvu_invariant`,
            `held_out_fvu_orientation`, `held_out_l0`, `held_out_dead`.
        k: the L0 aimed at, drawn as a line.
        features: size of the dictionary, to give dead features as a share.
    """
    seen = history.dropna(subset=["held_out_fvu"])
    figure, axes = plt.subplots(
        1, 3, figsize=(9.6, 2.6), layout="constrained", gridspec_kw={"width_ratios": [1.5, 1, 1]}
    )
    dots = {"marker": "o", "ms": 3} if len(seen) < 40 else {}
    for part, colour in PARTS.items():
        y = seen["held_out_fvu" if part == "total" else f"held_out_fvu_{part}"]
        label = f"{part}  {y.iloc[-1]:.2f}"
        axes[0].plot(seen["samples"], y, color=colour, label=label, **dots)
    axes[0].set_title("How much is left unexplained?")
    axes[0].set_ylabel("FVU, held-out photographs")
    top = np.nanmax(seen.filter(like="held_out_fvu").to_numpy())
    axes[0].set_ylim(0, 1.05 * min(top, 2.0))
    axes[0].legend()
    green = OKABE_ITO["green"]
    if "l0" in history:
        axes[1].plot(history["samples"], history["l0"], color=PALE, label="training batches")
    axes[1].plot(seen["samples"], seen["held_out_l0"], color=green, label="held-out", **dots)
    highest = max(seen["held_out_l0"].max(), k or 0)
    if k is not None:
        axes[1].axhline(k, color=GREY, lw=1, ls="--", label=f"k = {k:g}")
    axes[1].set_ylim(0, 1.5 * highest or 1)
    axes[1].set_title("How many features at once?")
    axes[1].set_ylabel("L0")
    axes[1].legend(loc="lower right")
    dead = seen["held_out_dead"] * (100 / features if features else 1)
    axes[2].plot(seen["samples"], dead, color=OKABE_ITO["purple"], **dots)
    axes[2].set_ylim(0, max(5.0, 1.05 * dead.max()))
    axes[2].set_title("How many never fire?")
    axes[2].set_ylabel("dead features" + (" (%)" if features else ""))
    for ax in axes:
        ax.set_xlabel("orbits seen")
        ax.xaxis.set_major_formatter(mpl.ticker.EngFormatter(sep=""))
        ax.grid(True)
    return figure


@styled
def fvu_per_element(
    per_element,
    group: Group,
    baselines: Mapping[str, Sequence[float]] | None = None,
    *,
    name: str = "crosscoder",
) -> Figure:
    """FVU of every group element: is a turned input explained as well as the encoder's own?

    Args:
        per_element: `(|G|,)` FVU of the crosscoder.
        group: its group.
        baselines: name → `(|G|,)` FVU of other methods.
        name: what the crosscoder is called.
    """
    looks = {name: (per_element, OKABE_ITO["blue"], "-")}
    greys = [(GREY, (0, (4, 2))), ("#555555", (0, (1, 1.2))), (OKABE_ITO["orange"], "-.")]
    for (other, values), (colour, dash) in zip((baselines or {}).items(), greys, strict=False):
        looks[other] = (values, colour, dash)
    count = 1 + group.dihedral
    figure, axes = plt.subplots(
        1, count, figsize=(3.6 * count + 1.2, 2.6), sharey=True, squeeze=False, layout="constrained"
    )
    highest = 0.0
    for label, (values, colour, dash) in looks.items():
        angles, halves = _wrapped(values, group)
        for ax, half in zip(axes[0], halves, strict=True):
            ax.plot(angles, half, color=colour, ls=dash, label=label)
            highest = max(highest, half.max())
    for ax, title in zip(axes[0], ["Turned", "Mirrored, then turned"], strict=False):
        over_angle(ax)
        ax.set_title(title)
    axes[0, 0].set(ylabel="FVU, held-out photographs", ylim=(0, 1.08 * highest))
    if len(looks) > 1:
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right upper")
    return figure


@styled
def fvu_comparison(table: pd.DataFrame) -> Figure:
    """Crosscoders beside their baselines, a dot a fold.

    Args:
        table: columns `method`, `part` (total, invariant, orientation), `fold`, `fvu`.
    """
    titles = {p: f"{p.capitalize()}" for p in PARTS}
    figure = _dot_panels(table, rows="method", columns="part", value="fvu", titles=titles)
    for ax in figure.axes:
        ax.set_xlim(left=0)
    figure.supxlabel("FVU on held-out photographs (small dots: folds; lower is better)", fontsize=9)
    return figure


# --------------------------------------------------------------------------------- 03: families


@styled
def embedding(
    xy,
    labels: Sequence[str],
    sae_xy,
    sae_labels: Sequence[str],
    thumbnails_of: Mapping[str | int, tuple[Sequence[int], object]] | None = None,
) -> Figure:
    """UMAP of the crosscoder's features beside the SAE's, coloured by label.

    Args:
        xy: `(m, 2)` coordinates of the crosscoder's features.
        labels: their labels.
        sae_xy: `(m', 2)` coordinates of the SAE's.
        sae_labels: their labels.
        thumbnails_of: family name → (features, their pictures); a strip a family, joined to the
            features' place in the crosscoder's map.
    """
    xy, sae_xy = np.asarray(xy, dtype=float), np.asarray(sae_xy, dtype=float)
    labels, sae_labels = np.asarray(labels, dtype=object), np.asarray(sae_labels, dtype=object)
    styles = label_styles([*labels, *sae_labels])
    strips = dict(thumbnails_of or {})
    ratios = [1.05, 2.2, 1.05, 0.08, 2.2] if strips else [1, 0.05, 1]
    figure = plt.figure(figsize=(1.75 * sum(ratios) if strips else 8.4, 4.5))
    figure.subplots_adjust(left=0.005, right=0.995, top=0.9, bottom=0.15, wspace=0.06)
    grid = figure.add_gridspec(1, len(ratios), width_ratios=ratios)
    ax = figure.add_subplot(grid[1 if strips else 0])
    sae_ax = figure.add_subplot(grid[-1])
    for axes, points, names, title in (
        (ax, xy, labels, "Crosscoder, orbit distance"),
        (sae_ax, sae_xy, sae_labels, "SAE, cosine distance"),
    ):
        for name in [n for n, look in styles.items() if look == OTHER] + [
            n for n, look in styles.items() if look != OTHER
        ]:
            colour, marker = styles[name]
            here = points[names == name]
            size = 15 if (colour, marker) == OTHER else 26
            axes.scatter(*here.T, s=size, c=colour, marker=marker, ec="white", lw=0.4)
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"{title} ({len(points)} features)")
        for spine in axes.spines.values():
            spine.set(visible=True, color=PALE)
        axes.margins(0.05)
    handles = _legend_handles(styles, pd.Series([*labels, *sae_labels]).value_counts())
    figure.legend(handles=handles, loc="lower center", ncols=11 if strips else 6)
    if strips:
        _strips(figure, grid, ax, xy, labels, styles, strips)
    return figure


def _strips(figure, grid, ax, xy, labels, styles, strips) -> None:
    """A strip of thumbnails a family, left or right of the map, each joined to its features."""
    middle = {name: np.median(xy[list(members)], axis=0) for name, (members, _) in strips.items()}
    by_x = sorted(strips, key=lambda name: middle[name][0])
    half = -(-len(by_x) // 2)
    most = max(len(members) for members, _ in strips.values())
    for names, column, left in ((by_x[:half], 0, True), (by_x[half:], 2, False)):
        names = sorted(names, key=lambda name: -middle[name][1])
        inner = grid[column].subgridspec(max(half, 4), 1, hspace=0.35)
        for row, name in enumerate(names):
            members, images = strips[name]
            side = figure.add_subplot(inner[row])
            kind = pd.Series(labels[list(members)]).mode().iloc[0]
            colour = styles[kind][0]
            thumbnails(side, images, most, rims=[colour] * len(members))
            side.set_anchor("W" if left else "E")
            side.set_title(f"{name} · {_words(kind)}" if isinstance(name, int) else _words(name))
            side.title.set(fontsize=7.5, fontweight="normal", color="#333333")
            end = (len(members) * 1.1 - 0.1 if left else 0, 0.5)
            line = mpl.patches.ConnectionPatch(
                end, middle[name], "data", "data", axesA=side, axesB=ax, color=GREY, lw=0.7
            )
            figure.add_artist(line)
            ax.plot(*middle[name], "o", ms=9, mfc="none", mec="#333333", mew=0.8)


SCORES = {
    "silhouette": "silhouette",
    "silhouette_embedding": "silhouette, UMAP",
    "knn_purity": "k-NN purity",
    "adjusted_rand": "adjusted Rand",
    "adjusted_mutual_information": "adjusted MI",
}


@styled
def separation_table(table: pd.DataFrame) -> Figure:
    """Separation scores of the competing dictionaries, a dot a seed.

    Args:
        table: one row a competitor and seed, columns `competitor`, `seed` and the scores by the
            names that `families.separation` gives them; `knn_chance`, where there, is drawn as a
            bar beside the purity.
    """
    scores = [name for name in SCORES if name in table]
    tidy = table.melt(["competitor", "seed"], scores, "score", "value")
    figure = _dot_panels(tidy, rows="competitor", columns="score", value="value", titles=SCORES)
    note = "small dots: seeds; higher is better"
    if "knn_chance" in table and "knn_purity" in scores:
        ax = figure.axes[scores.index("knn_purity")]
        chance = table.groupby("competitor", sort=False)["knn_chance"].mean()
        ax.plot(chance, range(len(chance)), "|", color="#444444", ms=11, mew=1.2)
        note += "; ticks: chance"
    figure.supxlabel(f"score ({note})", fontsize=9)
    return figure


@styled
def family_rows(rows: Sequence[tuple[str, Sequence[int], object]], *, most: int = 12) -> Figure:
    """Families as rows of thumbnails, each with its feature's number.

    Args:
        rows: (title of the family, features, their pictures).
        most: thumbnails a row at most; the title says how many there are.
    """
    columns = min(most, max(len(features) for _, features, _ in rows))
    width, height = 1.75 + 0.72 * columns, 0.92 * len(rows) + 0.05
    figure, axes = plt.subplots(len(rows), 1, figsize=(width, height), squeeze=False)
    figure.subplots_adjust(left=1.7 / width, right=0.995, top=0.995, bottom=0.005, hspace=0.04)
    for ax, (title, features, images) in zip(axes[:, 0], rows, strict=True):
        captions = [str(f) for f in features[:most]]
        thumbnails(ax, pictures(images)[:most], columns, captions=captions)
        ax.set_anchor("W")
        count = "feature" if len(features) == 1 else "features"
        ax.text(-0.15, 0.4, _words(title), ha="right", va="center", fontsize=8.5, weight="bold")
        ax.text(-0.15, 0.72, f"{len(features)} {count}", ha="right", va="center", fontsize=7.5)
    return figure


# --------------------------------------------------------------------------------- 04: symmetry


@dataclass(frozen=True)
class Card:
    """What a feature card shows.

    Attributes:
        feature: the feature's number.
        profile: `(|G|,)` cosines of its blocks with its block at the identity.
        patches: its top patches, or None.
        blocks: element → visualisation of that transform block; may be empty.
        stabiliser: the name of its stabiliser, such as `D1@90`.
        axis_degrees: mirror axis of the stabiliser, NaN for none.
        label: its kind, or an empty string.
    """

    feature: int
    profile: object
    patches: object = None
    blocks: Mapping[int, object] | None = None
    stabiliser: str = ""
    axis_degrees: float = np.nan
    label: str = ""

    @property
    def title(self) -> str:
        """Number, kind and symmetry in a line."""
        name = {"G": "invariant", "": ""}.get(self.stabiliser, self.stabiliser.split("@")[0])
        axis = (
            f"mirror axis {_degrees(self.axis_degrees)}" if np.isfinite(self.axis_degrees) else ""
        )
        return " · ".join(
            p for p in (f"feature {self.feature}", _words(self.label), name, axis) if p
        )


@styled
def feature_cards(cards: Sequence[Card], group: Group) -> Figure:
    """Features as cards: block profile, top patches and the visualisations of the blocks.

    The stabiliser's mirror axis is dotted, in the profile and across the block at the identity: a
    picture that excites the feature looks the same in that mirror. All profiles share one scale.
    """
    floor = radial_floor([card.profile for card in cards])
    patches = max((0 if c.patches is None else len(c.patches) for c in cards), default=0)
    elements = [list(c.blocks or {}) for c in cards]
    turned = max((sum(g < group.n for g in some) for some in elements), default=0)
    # Inches: what a square profile, two rows of patches and the rows of blocks take.
    columns = -(-patches // 2)
    widths = [1.75] + [0.77 * columns + 0.1] * (columns > 0) + [0.6 * turned + 0.4] * (turned > 0)
    height, foot = 1.95, 0.46
    figure = plt.figure(figsize=(sum(widths) + 0.3, height * len(cards) + foot))
    ratios = [height] * len(cards) + [foot]
    *rows, last = figure.subfigures(len(ratios), 1, height_ratios=ratios, squeeze=False)[:, 0]
    for row, card in zip(rows, cards, strict=True):
        grid = row.add_gridspec(
            1, len(widths), width_ratios=widths, left=0.03, right=0.995, top=0.78, bottom=0.07
        )
        grid.update(wspace=0.08)
        row.suptitle(card.title, x=0.01, y=0.985, ha="left", va="top", fontsize=9.5)
        polar = row.add_subplot(grid[0], projection="polar")
        polar_profile(polar, card.profile, group, axis_degrees=card.axis_degrees, floor=floor)
        if card.patches is not None and len(card.patches):
            ax = row.add_subplot(grid[1])
            thumbnails(ax, card.patches, columns)
            _left_title(ax, "top patches")
        if card.blocks:
            _block_rows(row.add_subplot(grid[-1]), card, group)
    handles = [Line2D([], [], color=OKABE_ITO["blue"], marker=".", label="turned")]
    if group.dihedral:
        handles.append(
            Line2D([], [], color=OKABE_ITO["orange"], ls=DASHED, label="mirrored, then turned")
        )
    if any(np.isfinite(card.axis_degrees) for card in cards):
        handles.append(Line2D([], [], color=GREY, ls=":", label="mirror axis"))
    note = f"circle: cosine with the block at 0°, from {floor:g} (centre) to 1 (rim)"
    last.text(0.012, 0.2, note, ha="left", va="center", fontsize=8)
    last.legend(handles=handles, loc="upper left", ncols=3, borderaxespad=0.1)
    return figure


def _left_title(ax: Axes, text: str) -> None:
    """A quiet heading over a block of thumbnails, which stands at the left of its place."""
    ax.set_anchor("NW")
    ax.set_title(text, fontsize=8, fontweight="normal", loc="left", pad=3)


def _block_rows(ax: Axes, card: Card, group: Group) -> None:
    """Visualisations of blocks: a row for turned, a row for mirrored elements."""
    rows = [[g for g in card.blocks if (g >= group.n) == mirrored] for mirrored in (False, True)]
    rows = [row for row in rows if row]
    columns = max(map(len, rows))
    blank = np.ones_like(pictures(next(iter(card.blocks.values()))))
    images, captions = [], []
    for row in rows:
        images += [pictures(card.blocks[g]) for g in row] + [blank] * (columns - len(row))
        captions += [_degrees(group.angles[g]) for g in row] + [""] * (columns - len(row))
    centres = thumbnails(ax, np.stack(images), columns, captions=captions)
    for i, row in enumerate(rows):
        name = "mirrored" if row[0] >= group.n else "turned"
        y = centres[i * columns][1]
        ax.text(-0.08, y, name, rotation=90, ha="right", va="center", fontsize=7, clip_on=False)
    _left_title(ax, "its blocks, visualised")
    if np.isfinite(card.axis_degrees) and 0 in card.blocks:
        x, y = centres[rows[0].index(0)]
        dx, dy = np.cos(np.deg2rad(card.axis_degrees)), -np.sin(np.deg2rad(card.axis_degrees))
        for colour, lw in (("white", 2.0), ("#333333", 1.0)):
            ax.plot(
                [x - 0.5 * dx, x + 0.5 * dx], [y - 0.5 * dy, y + 0.5 * dy], ":", color=colour, lw=lw
            )


def feature_card(card: Card, group: Group) -> Figure:
    """One feature: block profile, top patches and the visualisations of its blocks."""
    return feature_cards([card], group)


def stabiliser_counts(report: pd.DataFrame, labels: Sequence[str] | None = None) -> pd.DataFrame:
    """How many features of each kind have each stabiliser, axes taken together.

    Args:
        report: the per-feature table, with a column `stabiliser` such as `D1@45`.
        labels: a kind for each row (default: the column `label`, or one column `features`).

    Returns:
        Counts, a row a stabiliser type from the smallest subgroup to `G`, a column a kind.
    """
    if labels is None:
        labels = report["label"] if "label" in report else ["features"] * len(report)
    names = report["stabiliser"].fillna("none").str.split("@").str[0].to_numpy()
    counts = pd.crosstab(pd.Series(names, name="stabiliser"), pd.Series(list(labels), name="label"))

    def order(name: str) -> tuple[int, int, str]:
        if name in ("G", "none"):  # none: a feature without norm has no symmetry to speak of
            return (1, name == "none", name)
        return (0, int(name[1:]) * (2 if name[0] == "D" else 1), name)

    columns = list(label_styles(list(labels)))
    return counts.loc[sorted(counts.index, key=order), columns]


@styled
def stabiliser_table(counts: pd.DataFrame) -> Figure:
    """How many features have each stabiliser, stacked by kind.

    Args:
        counts: from `stabiliser_counts`.
    """
    styles = label_styles(np.repeat(counts.columns, counts.sum()))
    figure, ax = plt.subplots(figsize=(6.8, 0.9 + 0.34 * len(counts)), layout="constrained")
    left = np.zeros(len(counts))
    y = np.arange(len(counts))
    labelled = len(counts.columns) > 1
    for name in counts.columns:
        colour = styles[name][0] if labelled else OKABE_ITO["blue"]
        ax.barh(y, counts[name], 0.72, left=left, color=colour, ec="white", lw=0.6)
        left += counts[name].to_numpy()
    for i, total in enumerate(left):
        ax.annotate(
            f"{total:.0f}", (total, i), xytext=(4, 0), textcoords="offset points", va="center"
        )
    names = ["invariant (G)" if name == "G" else name for name in counts.index]
    ax.set(yticks=y, ylim=(len(counts) - 0.4, -0.6), xlabel="features")
    ax.set_yticklabels(names)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x")
    ax.margins(x=0.08)
    ax.set_title("Which turns and mirrors leave a feature as it is?")
    if labelled:
        handles = [
            Patch(color=styles[name][0], label=_words(name))
            for name in counts.columns
            if styles[name] != OTHER
        ]
        if any(styles[name] == OTHER for name in counts.columns):
            handles.append(Patch(color=PALE, label="other"))
        figure.legend(handles=handles, loc="outside right upper")
    return figure


@styled
def irrep_spectra(
    spectrum, frequencies: Sequence[int], labels: Sequence[str] | None = None, *, names=None
) -> Figure:
    """Power of every feature in every irrep, features sorted by their dominant frequency.

    Args:
        spectrum: `(m, irreps)` shares, rows summing to one.
        frequencies: angular frequency of each irrep.
        labels: a kind for each feature, drawn as a strip beside the map.
        names: names of the irreps, drawn where two share a frequency.
    """
    spectrum = np.asarray(spectrum, dtype=float)
    frequencies = np.asarray(frequencies)
    columns = np.argsort(frequencies, kind="stable")
    best = spectrum[:, columns].argmax(1)
    order = np.lexsort((-spectrum[:, columns].max(1), best))
    names = (
        [str(f) for f in frequencies]
        if names is None
        else [
            f"{f}\n{name}" if (frequencies == f).sum() > 1 else str(f)
            for f, name in zip(frequencies, names, strict=True)
        ]
    )
    ratios = [0.013 * len(frequencies), 1] if labels is not None else [1]
    figure, axes = plt.subplots(
        1,
        len(ratios),
        figsize=(max(5.6, 3.2 + 0.36 * len(frequencies)), 4.2),
        layout="constrained",
        sharey=True,
        squeeze=False,
        gridspec_kw={"width_ratios": ratios},
    )
    strip, ax = axes[0, 0], axes[0, -1]
    # The square root keeps weak harmonics visible beside the dominant one.
    shown = ax.imshow(
        spectrum[order][:, columns],
        aspect="auto",
        cmap="magma",
        interpolation="nearest",
        norm=mpl.colors.PowerNorm(0.5, 0, 1),
    )
    bar = figure.colorbar(shown, ax=ax, shrink=0.7, pad=0.02, ticks=[0, 0.1, 0.25, 0.5, 1])
    bar.set_label("share of the feature's power")
    bar.outline.set_visible(False)
    ax.set(xticks=range(len(frequencies)), xlabel="cycles per turn")
    ax.set_xticklabels([names[c] for c in columns])
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    ax.set_yticks([])
    for edge in np.flatnonzero(np.diff(best[order])) + 0.5:
        ax.axhline(edge, color="white", lw=0.6)
    ax.set_title("At which frequency does each feature turn?")
    strip.set_ylabel(f"{len(spectrum)} features, by dominant frequency")
    if labels is None:
        return figure
    strip.set(xticks=[], yticks=[])
    strip.spines[:].set_visible(False)
    labels = np.asarray(labels, dtype=object)
    styles = label_styles(labels)
    colours = np.array([mpl.colors.to_rgb(styles[name][0]) for name in labels[order]])
    strip.imshow(colours[:, None], aspect="auto", interpolation="nearest")
    handles = [
        Patch(color=colour, label=_words(name))
        for name, (colour, marker) in styles.items()
        if (colour, marker) != OTHER
    ]
    if any(look == OTHER for look in styles.values()):
        handles.append(Patch(color=PALE, label="other"))
    figure.legend(handles=handles, loc="outside right center")
    return figure


# ------------------------------------------------------------------------- 04b: ground truth

RECOVERY = {
    "cosine_max": "cosine",
    "cosine_one_to_one": "cosine, one to one",
    "recall": "features found",
    "precision": "features that are real",
    "template": "template cosine",
    "stabiliser_exact": "symmetry right",
    "ari": "families (ARI)",
    "code_correlation": "code correlation",
}


@styled
def planted_profiles(profiles, names: Sequence[str], group: Group) -> Figure:
    """Block profiles side by side, one polar plot a feature.

    Args:
        profiles: `(m, |G|)`.
        names: a title for each.
        group: the group.
    """
    figure = plt.figure(figsize=(1.55 * len(names), 1.9), layout="constrained")
    floor = radial_floor(profiles)
    for i, (profile, name) in enumerate(zip(profiles, names, strict=True)):
        ax = figure.add_subplot(1, len(names), i + 1, projection="polar")
        polar_profile(ax, profile, group, floor=floor)
        ax.set_title(name, loc="center")
    return figure


@styled
def recovery_scores(table: pd.DataFrame, scores: Sequence[str]) -> Figure:
    """What each method recovers of a planted dictionary, a dot a seed.

    Args:
        table: one row a trial, columns `method` and the scores.
        scores: those to draw; a method without one has no dot there.
    """
    tidy = table.melt(["method"], list(scores), "score", "value")
    figure = _dot_panels(tidy, rows="method", columns="score", value="value", titles=RECOVERY)
    for ax in figure.axes:
        ax.set_xlim(-0.05, 1.05)
    figure.supxlabel("score (small dots: seeds; 1 is best)", fontsize=9)
    return figure


_SERIES = [OKABE_ITO[c] for c in ("blue", "vermilion", "purple", "black", "green", "orange")]


@styled
def recovery_curves(
    table: pd.DataFrame,
    x: str,
    xlabel: str,
    *,
    scores: Sequence[str] = ("cosine_max", "stabiliser_exact", "ari"),
    log: bool = False,
) -> Figure:
    """Recovery against one setting, a line a method, with bootstrap intervals over seeds.

    Args:
        table: one row a trial, columns `method`, `x` and the scores.
        x: the setting.
        xlabel: what it is called.
        scores: a panel each.
        log: a logarithmic axis.
    """
    found = summary(table, ["method", x], scores)
    figure, axes = plt.subplots(
        1, len(scores), figsize=(2.9 * len(scores), 2.8), sharey=True, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    for ax, score in zip(axes[0], scores, strict=True):
        for i, (method, rows) in enumerate(found.groupby("method", sort=False)):
            look = {"color": _SERIES[i % len(_SERIES)]}
            marker = "osD^vP"[i % 6]
            ax.plot(rows[x], rows[score], marker=marker, ms=4, label=method, **look)
            low, high = rows[f"{score}_low"], rows[f"{score}_high"]
            ax.fill_between(rows[x], low, high, alpha=0.18, lw=0, **look)
        if log:
            ax.set_xscale("log", base=2)
            ticks = sorted(found[x].unique())
            ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
            ax.minorticks_off()
        ax.set_title(RECOVERY.get(score, _words(score)))
        ax.set_ylim(-0.03, 1.03)
        ax.grid(axis="y")
        ax.set_xlabel(xlabel)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


@styled
def calibration(
    bins: Mapping[str, pd.DataFrame], trend: pd.DataFrame, x: str, xlabel: str
) -> Figure:
    """Confidence stated against how often it is right, and both as a setting gets worse.

    Args:
        bins: for each method, the table of `recovery.reliability`.
        trend: one row a value of the setting and method: `method`, `x`, mean `stated`, share
            `right`.
        x: the setting.
        xlabel: what it is called.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.6, 3.2), layout="constrained")
    left.plot([0, 1], [0, 1], color="0.6", lw=1, ls=":", label="calibrated")
    for i, (method, table) in enumerate(bins.items()):
        look = {"color": _SERIES[i % len(_SERIES)], "marker": "osD^vP"[i % 6]}
        error = [table.right - table.low, table.high - table.right]
        left.errorbar(
            table.stated, table.right, error, label=method, ms=5, lw=1.2, elinewidth=1, **look
        )
        rows = trend[trend.method == method].sort_values(x)
        right.plot(rows[x], rows.right, label="right", ms=5, **look)
        right.plot(rows[x], rows.stated, label="stated", ms=5, ls="--", mfc="white", **look)
    left.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="confidence stated")
    left.set_ylabel("share of names that are right")
    right.set(ylim=(-0.02, 1.02), xlabel=xlabel, ylabel="mean")
    right.set_title("solid: right, dashed: stated")
    left.set_title("bars: 95 % intervals")
    for ax in (left, right):
        ax.grid()
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


# ------------------------------------------------------------------ 04c: tied and equivariant


@styled
def equivariance_by_layer(actions: Mapping[str, Equivariance], group: Group) -> Figure:
    """How well turned responses follow by a linear map on channels, layer by layer.

    Args:
        actions: for each layer, what `equivariance` found.
        group: the group.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.3), layout="constrained")
    angles = group.angles.numpy()[: group.n]
    colours = plt.get_cmap("viridis")(np.linspace(0.05, 0.85, len(actions)))
    for (name, found), colour in zip(actions.items(), colours, strict=True):
        look = {"color": colour, "lw": 1.5}
        left.plot(angles, found.powers[: group.n], label=name, **look)
        left.plot(angles, found.free[: group.n], ls="--", **look)
        values = np.sort(found.channels_free[np.isfinite(found.channels_free)])[::-1]
        right.plot(np.linspace(0, 1, len(values)), values, ls="--", **look)
        values = np.sort(found.channels_powers[np.isfinite(found.channels_powers)])[::-1]
        right.plot(np.linspace(0, 1, len(values)), values, **look)
    over_angle(left)
    left.set(xlabel="turn", ylabel="variance predicted, $R^2$")
    right.set(xlabel="channels, best first", ylabel="variance predicted, $R^2$")
    for ax in (left, right):
        ax.set_ylim(-0.05, 1.03)
        ax.grid(axis="y")
    left.set_title("all channels")
    right.set_title("each channel, mean over elements")
    handles, labels = left.get_legend_handles_labels()
    handles = [Line2D([], [], color="0.3"), Line2D([], [], color="0.3", ls="--"), *handles]
    labels = ["powers of one matrix", "a matrix for each", *labels]
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


@styled
def dictionary_growth(table: pd.DataFrame, tied_families: float) -> Figure:
    """Families, features in each, and the orientation part against the size of the dictionary.

    Args:
        table: columns `features`, `families`, `features a family`, `orientation part`.
        tied_families: families of a tied crosscoder that fire, for comparison.
    """
    columns = ("families", "features a family", "orientation part")
    figure, axes = plt.subplots(1, 3, figsize=(8.2, 2.7), layout="constrained")
    for ax, column in zip(axes, columns, strict=True):
        ax.plot(table.features, table[column], "o-", color=OKABE_ITO["blue"], label="untied")
        ax.set_xscale("log", base=2)
        ax.set_xticks(table.features, [f"{f:g}" for f in table.features])
        ax.minorticks_off()
        ax.set_ylim(0, 1.15 * table[column].max())
        ax.set_title(column + (", FVU" if column == "orientation part" else ""))
        ax.set_xlabel("features of the dictionary")
        ax.grid(axis="y")
    axes[0].axhline(tied_families, color=OKABE_ITO["vermilion"], ls="--", label="tied")
    axes[0].set_ylim(0, 1.15 * max(table.families.max(), tied_families))
    axes[0].legend()
    return figure
