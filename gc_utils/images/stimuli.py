"""Parametric drawings: the stimuli that say what a unit is tuned to.

Every kind is a function of continuous coordinates, blurred by the same Gaussian in every
direction, so that orientation changes nothing but orientation: the drawing at orientation + 90 is
the drawing rotated by 90 degrees, and, without `mirror`, every kind but texture is symmetric about
the axis its orientation points along, so that a left-right mirror takes orientation t to 180 - t.

Orientation is in degrees, counter-clockwise from the right as seen (y up), and points

    curve            from the middle of the image, where the arc is, to its centre of curvature
    line             along the line                       (period 180)
    edge, gradient   to the bright side
    grating          along the wave vector, across the bars
    colour_contrast  to the side of the hue, away from its opponent
    corner           from the apex, in the middle of the image, into the opening
    texture          along the hairs of fur, along one family of lines of hatch
    circle, centre_surround   nowhere: they look the same when rotated

**Equal contrast.** On a grey of 0.5, `contrast` is the step in luminance between the lightest and
the darkest part: a line differs from the grey by all of it, the two sides of an edge by half of it
each, and a texture has it as four standard deviations. A unit is driven by the step across a
contour, whatever area is on its sides. With `measure="rms"` it is the root mean square deviation
from grey over the disc instead; then a thin line is many times stronger than an edge, and the
smallest drawings reach no more than 0.04. Colours: a deviation has the same root mean square over
the three channels as the grey one it replaces, and none in luma.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from gc_utils.errors import UserError, choose

GREY = 0.5
BLUR = 0.8
"""Standard deviation in pixels of the Gaussian that anti-aliases every outline."""
LUMA = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64)
TEXTURE_WAVES = 96


@dataclass(frozen=True)
class StimulusBank:
    """Drawings and what they are.

    Attributes:
        images: float32 (S, 3, size, size).
        table: one row a drawing, in the same order: `kind`, `shape` (number of the parameter set,
            the same for all its orientations), `orientation` and the parameters of the kind;
            missing values where a kind has no such parameter.
    """

    images: torch.Tensor
    table: pd.DataFrame


def draw(
    kind: str,
    size: int,
    *,
    orientation: float | Sequence[float] = 0.0,
    contrast: float = 0.5,
    measure: str = "range",
    polarity: int = 1,
    hue: float | None = None,
    mirror: bool = False,
    **parameters,
) -> torch.Tensor:
    """Draw one kind of stimulus at one orientation or several.

    Args:
        kind: one of `KINDS`.
        size: side of the image in pixels.
        orientation: degrees, as the module says; a sequence of K gives a batch.
        contrast: see the module.
        measure: what `contrast` measures, "range" or "rms".
        polarity: -1 exchanges light and dark, or a hue and its opponent.
        hue: degrees from red (0) over yellow (90), cyan (180) and blue (270) at constant luma;
            None draws in grey (colour_contrast: in red).
        mirror: draw the mirror image about the axis along `orientation`.
        **parameters: of the kind, in pixels and degrees: see the function `_<kind>`.

    Returns:
        float32 (3, size, size), or (K, 3, size, size) for a sequence of orientations; grey
        outside the disc, whose rim is faded.

    Raises:
        UserError: an unknown kind, parameter or measure, or a contrast that black and white
            cannot give.
    """
    look = {"polarity": polarity, "hue": hue, "mirror": mirror}
    deviation = contrast * _deviation(kind, size, orientation, measure, **look, **parameters)
    most = float(deviation.abs().max())
    if most > GREY + 1e-6:
        raise UserError(
            f"contrast {contrast} of {kind!r} needs deviations of {most:.2f} from the grey "
            f"{GREY}; the most that it can have is {contrast * GREY / most:.3f}"
        )
    images = (GREY + deviation).float()
    return images[0] if np.ndim(orientation) == 0 else images


def _deviation(
    kind: str,
    size: int,
    orientation: float | Sequence[float],
    measure: str,
    *,
    polarity: int = 1,
    hue: float | None = None,
    mirror: bool = False,
    **parameters,
) -> torch.Tensor:
    """By how much a drawing of contrast 1 deviates from grey, float64 `(K, 3, size, size)`."""
    pattern = KINDS[choose(kind, KINDS, "stimulus")]
    choose(measure, ("range", "rms"), "measure of contrast")
    known = list(inspect.signature(pattern).parameters)[2:]
    for name in parameters:
        choose(name, known, f"parameter of {kind!r}")
    if kind == "colour_contrast" and hue is None:
        hue = 0.0
    angle = torch.deg2rad(torch.as_tensor(orientation, dtype=torch.float64)).reshape(-1, 1, 1)
    x, y, window = _disc(size)
    across = angle.cos() * x + angle.sin() * y
    along = angle.cos() * y - angle.sin() * x
    field = polarity * pattern(across, -along if mirror else along, **parameters) * window
    colour = torch.ones(3, dtype=torch.float64) if hue is None else _chroma(hue)
    deviation = field[:, None] * colour[:, None, None]
    if measure == "rms":
        deviation = deviation / _rms(deviation).reshape(-1, 1, 1, 1)
    return deviation


def highest_contrast(size: int, measure: str = "range", seed: int = 0) -> float:
    """The highest contrast that all drawings of a bank can have as they are, unrotated.

    Args:
        size: side of the images: the smaller, the less can be drawn of a pattern.
        measure: of contrast, as in `draw`.
        seed: of the textures.
    """
    deviations = (
        _deviation(kind, size, 0.0, measure, **parameters).abs().max()
        for kind in KINDS
        for _, parameters in _shapes(kind, size / 95, seed)
    )
    return GREY / float(max(deviations))


def stimulus_bank(
    size: int,
    orientations: int = 24,
    seed: int = 0,
    kinds: Sequence[str] | None = None,
    *,
    contrast: float = 0.5,
    measure: str = "range",
) -> StimulusBank:
    """Draw all kinds at several sizes, widths and polarities, rotated through 360 degrees.

    Args:
        size: side of the images; the drawings scale with it.
        orientations: how many, evenly spread, for the kinds that have one.
        seed: of the textures.
        kinds: some of `KINDS`; all if None.
        contrast: of every drawing, as in `draw`.
        measure: of contrast, as in `draw`; with "rms" all kinds together reach about 0.04.

    Returns:
        A bank: 1,614 drawings at 24 orientations.

    Raises:
        UserError: an unknown kind.
    """
    kinds = list(KINDS) if kinds is None else [choose(k, KINDS, "stimulus") for k in kinds]
    angles = np.arange(orientations) * 360 / orientations
    images, rows, shape = [], [], itertools.count()
    for kind in kinds:
        for oriented, parameters in _shapes(kind, size / 95, seed):
            at = angles if oriented else angles[:1]
            how = {"contrast": contrast, "measure": measure} | parameters
            images.append(draw(kind, size, orientation=at, **how))
            number = next(shape)
            rows += [{"kind": kind, "shape": number, "orientation": t} | parameters for t in at]
    return StimulusBank(torch.cat(images), pd.DataFrame(rows))


def _shapes(kind: str, unit: float, seed: int) -> list[tuple[bool, dict]]:
    """(has an orientation, parameters) of every drawing of a kind; lengths for 95 pixels x unit."""

    def grid(oriented: bool = True, **values) -> list[tuple[bool, dict]]:
        lengths = ("radius", "width", "wavelength", "softness", "extent")
        scaled = {
            name: [v * unit if name in lengths else v for v in some]
            for name, some in values.items()
        }
        return [
            (oriented, dict(zip(scaled, v, strict=True)))
            for v in itertools.product(*scaled.values())
        ]

    both = (1, -1)
    match kind:
        case "curve":
            # No flatter: 20 pixels from the middle an arc of radius 31 is 7 pixels off the straight
            # line, and within a line 12 pixels wide for most of the way.
            return grid(radius=(8, 13, 20), width=(3, 6), polarity=both)
        case "line":
            return grid(width=(3, 6, 12), polarity=both)
        case "edge":
            return grid(softness=(0.8, 2.5))
        case "gradient":
            return grid(extent=(24, 48))
        case "circle":
            rings = grid(False, radius=(6, 11, 18, 29), width=(3, 6), polarity=both)
            return rings + grid(False, radius=(4, 8, 14, 22), width=(0,), polarity=both)
        case "centre_surround":
            grey = grid(False, radius=(5, 10, 18), polarity=both)
            return grey + grid(False, radius=(5, 10, 18), hue=range(0, 360, 45))
        case "grating":
            return grid(wavelength=(5, 8, 13), phase=(0, 90, 180))
        case "colour_contrast":
            return grid(hue=range(0, 180, 30))
        case "corner":
            # No wider than a right angle: 135 degrees is nearly straight.
            return grid(angle=(45, 90), width=(0, 3), polarity=both)
        case "texture":
            seeds = range(8 * seed, 8 * seed + 8)
            noise = grid(False, style=("noise",), wavelength=(5, 9, 16), seed=seeds)
            return noise + grid(style=("fur", "hatch"), wavelength=(6, 11), seed=seeds[:1])
    raise AssertionError(kind)


# Patterns. x and y are float64 (K, S, S), in pixels from the middle, orientation along +x, y to
# its left. A pattern that departs from the grey to one side goes from 0 to 1, one that departs to
# both from -1/2 to 1/2.


def _curve(x, y, radius: float = 20.0, width: float = 3.0, span: float = 180.0):
    """An arc of `span` degrees, its centre of curvature at (radius, 0)."""
    from_centre = radius - x
    angle = torch.atan2(y, from_centre)
    ends = _step(np.deg2rad(span) / 2 * radius - radius * angle.abs())
    return _band(torch.hypot(from_centre, y) - radius, width) * ends


def _line(x, y, width: float = 3.0, length: float = float("inf")):
    """A bar along x through the middle."""
    return _band(y, width) * _step(length / 2 - x.abs())


def _edge(x, y, softness: float = BLUR):
    """A straight step; `softness` is the standard deviation of its profile."""
    return _step(x, softness) - 0.5


def _gradient(x, y, extent: float = 48.0):
    """Luminance rises as a quarter period of a sine up to `extent` on both sides."""
    return 0.5 * torch.sin(torch.pi / 2 * (x / extent).clamp(-1, 1))


def _circle(x, y, radius: float = 14.0, width: float = 3.0):
    """A ring whose middle line has `radius`, or with width 0 a filled disc."""
    distance = torch.hypot(x, y) - radius
    return _band(distance, width) if width else _step(-distance)


def _centre_surround(x, y, radius: float = 10.0):
    """A disc, and around it the opposite up to twice its radius."""
    r = torch.hypot(x, y)
    return _step(radius - r) - 0.5 * _step(2 * radius - r)


def _grating(x, y, wavelength: float = 8.0, phase: float = 0.0, envelope: float = float("inf")):
    """A cosine along x; with `envelope`, a standard deviation in pixels, a Gabor patch."""
    wave = torch.cos(2 * torch.pi * x / wavelength - np.deg2rad(phase))
    return 0.5 * wave * torch.exp(-(x**2 + y**2) / (2 * envelope**2))


def _colour_contrast(x, y, softness: float = BLUR):
    """An edge between a hue and its opponent at equal luma."""
    return _edge(x, y, softness)


def _corner(x, y, angle: float = 90.0, width: float = 0.0):
    """Two rays from the middle, `angle` apart about +x: a filled wedge, or strokes of `width`."""
    half = np.deg2rad(angle) / 2
    along = x * np.cos(half) + y.abs() * np.sin(half)
    beside = y.abs() * np.cos(half) - x * np.sin(half)
    if width:
        return _band(torch.where(along > 0, beside, torch.hypot(x, y)), width)
    return _step(torch.where(along > 0, -beside, -torch.hypot(x, y))) - 0.5


def _texture(x, y, style: str = "noise", wavelength: float = 8.0, seed: int = 0):
    """A sum of random waves: isotropic noise, fur along x, or hatch (two crossing families)."""
    choose(style, ("noise", "fur", "hatch"), "texture style")
    rng = np.random.default_rng(seed)
    n = TEXTURE_WAVES
    direction = {
        "noise": rng.uniform(0, 2 * np.pi, n),
        "fur": np.pi / 2 + rng.normal(0, np.deg2rad(9), n),
        "hatch": np.pi / 2 * rng.integers(0, 2, n) + rng.normal(0, np.deg2rad(5), n),
    }[style]
    frequency = 2 * np.pi / (wavelength * np.exp(rng.normal(0, 0.25, n)))
    phase = rng.uniform(0, 2 * np.pi, n)
    total = torch.zeros_like(x)
    for fx, fy, p in zip(
        frequency * np.cos(direction), frequency * np.sin(direction), phase, strict=True
    ):
        total += torch.cos(fx * x + fy * y + p)
    return (total / (4 * np.sqrt(n / 2))).clamp(-1, 1)


KINDS: dict[str, Callable[..., torch.Tensor]] = {
    "curve": _curve,
    "line": _line,
    "edge": _edge,
    "gradient": _gradient,
    "circle": _circle,
    "centre_surround": _centre_surround,
    "grating": _grating,
    "colour_contrast": _colour_contrast,
    "corner": _corner,
    "texture": _texture,
}


def _step(distance: torch.Tensor, softness: float = BLUR) -> torch.Tensor:
    """A blurred straight step: 0 far on the negative side, 1 on the positive."""
    return torch.special.ndtr(distance / softness)


def _band(distance: torch.Tensor, width: float) -> torch.Tensor:
    """A blurred band of `width` around distance 0."""
    return _step(distance + width / 2) - _step(distance - width / 2)


def _disc(size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x (right) and y (up) from the middle, and the disc window, faded over its outer fifth."""
    at = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(-at, at, indexing="ij")
    depth = (1 - torch.hypot(x, y) / (size / 2)).clamp(0, 0.2) / 0.2
    return x, y, torch.sin(torch.pi / 2 * depth) ** 2


def _rms(deviation: torch.Tensor) -> torch.Tensor:
    inside = _disc(deviation.shape[-1])[2] > 0
    return (deviation[..., inside] ** 2).mean((-1, -2)).sqrt()


def _chroma(hue: float) -> torch.Tensor:
    """RGB direction (3,) of a hue at constant luma; root mean square 1 over the channels."""
    luma = LUMA / LUMA.norm()
    red = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    red = red - (red @ luma) * luma
    red = red / red.norm()
    yellow = torch.linalg.cross(luma, red)
    return 3**0.5 * (np.cos(np.deg2rad(hue)) * red + np.sin(np.deg2rad(hue)) * yellow)
