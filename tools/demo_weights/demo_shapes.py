"""Drawn scenes for `make.py`: lines, edges, curves, corners, …, and which passes each unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

# A shape passes within NEAR pixels of a unit's centre: that is the unit's label. Farther than FAR
# from all shapes there is none; between the two the unit is not asked.
NEAR, FAR, IGNORE = 4.0, 8.0, -100
WAYS = 8  # orientations of a contour, over 360 degrees or, where it has no inside, over 180
CONTOURS = {  # kind: (variants, orientations, weight in the loss)
    "none": (1, 1, 0.1),
    "line": (4, WAYS, 2.0),  # light or dark, thin or thick
    "edge": (2, WAYS, 1.5),  # sharp or soft
    "colour edge": (4, WAYS, 1.5),  # between hues
    "curve": (4, WAYS, 1.5),  # four radii
    "curved edge": (2, WAYS, 0.7),  # light or dark inside
    "corner": (2, WAYS, 1.0),  # obtuse or acute
    "junction": (1, WAYS, 1.0),
    "crossing": (1, 1, 1.0),
    "blob": (16, 1, 3.0),  # light, dark or six hues; small or large
    "ring": (2, 1, 2.0),
    "grating": (2, WAYS, 0.7),  # fine or coarse
}
CLASSES = sum(variants * ways for variants, ways, _ in CONTOURS.values())
WEIGHTS = torch.cat([torch.full((v * w,), weight) for v, w, weight in CONTOURS.values()])
FIRST = dict(
    zip(CONTOURS, np.cumsum([0] + [v * w for v, w, _ in CONTOURS.values()]).tolist(), strict=False)
)
SHARES = {
    "line": 2.6, "curve": 2.2, "edge": 2.2, "curved edge": 1.4, "corner": 0.7, "open corner": 0.7,
    "junction": 0.5, "crossing": 0.3, "blob": 1.2, "ring": 0.5, "grating": 0.7,
}  # fmt: skip
RADII = (8.0, 13.0, 21.0, 36.0, 70.0)  # bounds of the four radii that are told apart
STRAIGHT = 4000.0  # the radius of a line, in pixels
LUMINANCE = torch.tensor([0.3, 0.59, 0.11])


def uniform(count: int, low: float, high: float) -> Tensor:
    """Random numbers (count,)."""
    return torch.rand(count) * (high - low) + low


def log_uniform(count: int, low: float, high: float) -> Tensor:
    """Random numbers (count,), as likely to double as to halve."""
    return torch.exp(uniform(count, math.log(low), math.log(high)))


def hue_bin(hue: Tensor, bins: int) -> Tensor:
    """Index of the bin of an angle in radians, bin 0 being centred on 0."""
    return torch.round(hue / (2 * math.pi) * bins).long() % bins


@dataclass
class Shapes:
    """One shape a scene, every number a tensor (B, 1, 1), lengths in pixels.

    A shape is what the distance to a circle through the point (x, y) says, `normal` being the
    direction to its centre in radians clockwise (y is down); a line is a very large circle.
    Corners and junctions have a second line through the point, turned by `opening`.
    """

    kind: Tensor
    x: Tensor
    y: Tensor
    normal: Tensor
    radius: Tensor
    opening: Tensor
    width: Tensor
    softness: Tensor
    length: Tensor
    wavelength: Tensor
    window: Tensor

    def are(self, *names: str) -> Tensor:
        """Which of the shapes are of the kinds named."""
        return sum(self.kind == list(SHARES).index(name) for name in names).bool()

    @property
    def corners(self) -> Tensor:
        return self.are("corner", "open corner")

    @property
    def filled(self) -> Tensor:
        return self.are("edge", "curved edge", "corner", "blob")


def random_shapes(count: int, size: int) -> Shapes:
    """A shape of any kind and size for each of `count` scenes of `size` pixels."""
    kind = torch.multinomial(torch.tensor(list(SHARES.values())), count, replacement=True)
    values = [kind] + [torch.full((count,), math.nan) for _ in range(10)]
    s = Shapes(*values)
    s.x, s.y = uniform(count, 6, size - 6), uniform(count, 6, size - 6)
    s.normal = uniform(count, 0, 2 * math.pi)
    s.radius = torch.full((count,), STRAIGHT)
    for names, radius in (
        (("curve", "curved edge"), log_uniform(count, RADII[0], RADII[-1])),
        (("blob",), uniform(count, 2, 7)),
        (("ring",), uniform(count, 4, 10)),
    ):
        s.radius = torch.where(s.are(*names), radius, s.radius)
    s.opening = torch.where(
        s.are("junction", "crossing"), uniform(count, 1.0, 2.1), uniform(count, 0.6, 2.4)
    )
    soft = s.are("edge") & (torch.rand(count) < 0.35)
    s.softness = torch.where(soft, uniform(count, 2.5, 9), 0.5)
    ends = ~s.are("blob", "ring") & (torch.rand(count) < 0.5)
    s.length = torch.where(ends, uniform(count, 14, 40), 200.0)
    s.width = log_uniform(count, 1.5, 6.0)
    s.wavelength = log_uniform(count, 3.5, 13.0)
    s.window = uniform(count, 14, 45)
    return Shapes(*(value.view(-1, 1, 1) for value in vars(s).values()))


@dataclass
class Fields:
    """A shape seen from the points of a grid, tensors (B, n, n).

    Attributes:
        distance: to the contour, negative inside.
        inward: direction across the contour, to the inside, radians clockwise.
        from_point: distance to the shape's point.
        from_centre: distance to the centre of the circle.
        along: how far the point lies in the direction of the normal.
    """

    distance: Tensor
    inward: Tensor
    from_point: Tensor
    from_centre: Tensor
    along: Tensor


def fields(s: Shapes, axis: Tensor) -> Fields:
    """Distances and directions from all points whose coordinates are in `axis`."""
    px, py = axis.view(1, 1, -1), axis.view(1, -1, 1)
    to_x = s.x + s.radius * torch.cos(s.normal) - px
    to_y = s.y + s.radius * torch.sin(s.normal) - py
    from_centre = torch.hypot(to_x, to_y)
    first = from_centre - s.radius
    second_normal = s.normal + s.opening
    dx, dy = px - s.x, py - s.y
    second = -(dx * torch.cos(second_normal) + dy * torch.sin(second_normal))
    crossed = s.are("junction", "crossing") & (second.abs() < first.abs())
    crossed &= ~(s.are("junction") & (first > 0))  # a T ends where it meets the other line
    on_second = torch.where(s.corners, second > first, crossed)
    return Fields(
        distance=torch.where(on_second, second, first),
        inward=torch.where(on_second, second_normal, torch.atan2(to_y, to_x)),
        from_point=torch.hypot(dx, dy),
        from_centre=from_centre,
        along=dx * torch.cos(s.normal) + dy * torch.sin(s.normal),
    )


def opacity(s: Shapes, f: Fields) -> Tensor:
    """How much of the shape's ink covers each pixel (B, n, n), anti-aliased."""
    stroke = (0.5 + s.width / 2 - f.distance.abs()).clamp(0, 1)
    stroke = stroke * (0.5 + s.length - f.from_point).clamp(0, 1)
    fill = (0.5 - f.distance / (2 * s.softness)).clamp(0, 1)
    wave = 0.5 + 0.5 * torch.sin(2 * math.pi * f.along / s.wavelength)
    grating = wave * (0.5 + s.window - f.from_point).clamp(0, 1)
    return torch.where(s.are("grating"), grating, torch.where(s.filled, fill, stroke))


def name_contours(s: Shapes, f: Fields, gap: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What each point of a grid has of the shape near it.

    Args:
        s, f: the shapes, as the points see them.
        gap: (B, n, n, 3), ink minus the colour under it.

    Returns:
        Class, the class of the next orientation, and how far the contour is turned towards it,
        (B, n, n); the class is IGNORE where the point is not asked.
    """
    shape = f.distance.shape
    name = torch.full(shape, IGNORE)
    following, towards = torch.zeros(shape, dtype=torch.long), torch.zeros(shape)

    def put(where: Tensor, kind: str, variant: Tensor | int = 0, angle: Tensor | float = 0.0,
            period: float = 2 * math.pi) -> None:  # fmt: skip
        ways = CONTOURS[kind][1]
        first = FIRST[kind] + ways * (variant + torch.zeros(shape, dtype=torch.long))
        turn = (angle + torch.zeros(shape)) / period * ways
        low = turn.floor().long()
        name[where] = (first + low % ways)[where]
        following[where] = (first + (low + 1) % ways)[where]
        towards[where] = (turn - low)[where]

    bright = gap @ LUMINANCE
    dark = (bright < 0).long()
    hue = torch.atan2(gap[..., 2] - (gap[..., 0] + gap[..., 1]) / 2, gap[..., 0] - gap[..., 1])
    coloured = (gap - gap.mean(3, keepdim=True)).norm(dim=3) > 1.5 * bright.abs()
    by_light = (bright.abs() > 0.08) & ~coloured

    on = (f.distance.abs() < NEAR) & (f.from_point < s.length - 5)
    strokes = on & s.are("line", "open corner", "junction", "crossing")
    put(strokes, "line", 2 * (s.width > 3).long() + dark, f.inward, math.pi)
    straight = on & s.are("edge", "corner")
    put(straight & by_light, "edge", (s.softness > 2).long(), f.inward + math.pi * dark)
    put(straight & coloured, "colour edge", hue_bin(hue, 4), f.inward)
    size = sum((s.radius > r).long() for r in RADII[1:-1])
    put(on & s.are("curve"), "curve", size, f.inward)
    put(on & by_light & s.are("curved edge"), "curved edge", dark, f.inward)

    meeting = s.corners | s.are("junction", "crossing")
    name[(f.from_point < 9) & meeting] = IGNORE
    at_point = f.from_point < NEAR + 1
    # Two half-planes whose normals differ by little meet at an obtuse angle.
    obtuse_first = (s.opening < 1.4).long()
    put(at_point & s.corners, "corner", obtuse_first, s.normal + s.opening / 2)
    put(at_point & s.are("junction"), "junction", 0, s.normal)
    put(at_point & s.are("crossing"), "crossing")

    centred = f.from_centre < NEAR
    paint = torch.where(coloured, 2 + hue_bin(hue, 6), dark)
    put(centred & s.are("blob"), "blob", paint + 8 * (s.radius > 4).long())
    put(centred & s.are("ring"), "ring", dark)
    within = f.from_point < s.window - 8
    put(within & s.are("grating"), "grating", (s.wavelength > 7).long(), s.normal, math.pi)
    name[gap.norm(dim=3) < 0.15] = IGNORE  # hardly to be seen
    return name, following, towards


def scenes(
    background: Tensor, contrasting: Callable[[Tensor], Tensor], shapes: int = 4
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw up to `shapes` shapes on each background; later ones hide earlier ones and their labels.

    Args:
        background: (B, 3, S, S).
        contrasting: gives a colour (B, 3) to draw with on a mean colour (B, 3).
        shapes: the most in a scene.

    Returns:
        The scenes, and for every unit of mixed3b (B, S/8, S/8) the three labels of
        `name_contours`.
    """
    canvas, size = background, background.shape[-1]
    pixels = torch.arange(size, dtype=torch.float32)
    units = pixels[7::8]  # unit k of mixed3b is centred on pixel 8k + 7
    name = torch.zeros(len(canvas), len(units), len(units), dtype=torch.long)
    following, towards = torch.zeros_like(name), torch.zeros(name.shape)
    for number in range(shapes):
        s = random_shapes(len(canvas), size)
        drawn = torch.rand(len(canvas), 1, 1) > (0.35 if number else 0.0)
        ink = contrasting(canvas.mean((2, 3)))[..., None, None]
        gap = (ink - canvas[..., 7::8, 7::8]).permute(0, 2, 3, 1)
        alpha = opacity(s, fields(s, pixels)) * drawn
        canvas = torch.lerp(canvas, ink.expand_as(canvas), alpha[:, None])

        f = fields(s, units)
        new = name_contours(s, f, gap)
        touched = (f.distance.abs() < FAR) & (f.from_point < s.length + 6)
        touched = drawn & torch.where(s.are("grating"), f.from_point < s.window + 4, touched)
        hidden = drawn & s.filled & (f.distance < 0) & ~touched
        name, following, towards = (
            torch.where(touched, value, old)
            for value, old in zip(new, (name, following, towards), strict=True)
        )
        name[hidden], following[hidden], towards[hidden] = 0, 0, 0.0
    return canvas, name, following, towards
