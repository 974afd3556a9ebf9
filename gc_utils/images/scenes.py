"""Synthetic scenes with the statistics of photographs: endless, seeded, never on disk.

Dead leaves (occluding shapes with power-law sizes, Lee, Mumford & Huang 2001), which give edges,
junctions and an amplitude spectrum of about 1/f, with what plain dead leaves lack: shading and
contact shadows, textures, strokes, defocus, correlated colours and uneven light. Every outline is
a signed distance in pixels, so that anti-aliasing and defocus are one clipped ramp.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.fft

SHAPES = ("ellipse", "polygon", "box", "blob", "leaf", "crescent", "ring")
STROKES = ("arc", "wave", "fork")


def render_scene(seed: int | Sequence[int], size: int = 512) -> np.ndarray:
    """Draw one scene.

    Args:
        seed: of this scene; the same seed gives the same pixels.
        size: side of the square image, in pixels.

    Returns:
        float32 array (3, size, size), RGB in [0, 1].
    """
    rng = np.random.default_rng(seed)
    maps = _texture_maps(rng, size)
    light = rng.uniform(0, 2 * np.pi)
    palette = _colours(rng, 24)
    canvas = _background(rng, size, palette, maps)
    # Scenes differ in what they are made of, and small leaves keep company with their like.
    weights = rng.dirichlet([1.2, 1.2, 1.2, 1.2, 0.8, 0.4, 0.4])
    leaves = int(rng.integers(120, 400) * size / 512)
    radii = _power_law(rng, leaves, 0.012 * size, 0.38 * size)
    groups = max(leaves // 8, 1)
    group_kind = rng.choice(len(SHAPES), groups, p=weights)
    group_centre = rng.uniform(0, size, (groups, 2))
    group_colour = rng.integers(len(palette), size=groups)
    # Large leaves mostly lie below small ones: in a random order they would hide them.
    for r in radii[np.argsort(-np.log(radii) + rng.normal(0, 0.7, leaves))]:
        k = rng.integers(groups)
        kind, colour = SHAPES[group_kind[k]], palette[group_colour[k]]
        centre = group_centre[k] + rng.normal(0, 0.04 * size + r, 2)
        if rng.random() < 0.4:
            kind, colour = SHAPES[rng.choice(len(SHAPES), p=weights)], None
            centre = rng.uniform(-0.05 * size, 1.05 * size, 2)
        rotation = rng.uniform(0, 2 * np.pi)
        _paint(canvas, rng, kind, centre, r, rotation, palette, maps, light, colour=colour)
    for _ in range(rng.integers(2, 9)):
        _paint_strokes(canvas, rng, palette, maps, light)
    return _develop(canvas, rng, maps)


def _power_law(rng: np.random.Generator, n: int, low: float, high: float) -> np.ndarray:
    """n radii with density r^-2.2 in [low, high]: stratified, so that no scene lacks large ones."""
    u = (np.arange(n) + rng.random(n)) / n
    a = -1.2
    return (low**a + u * (high**a - low**a)) ** (1 / a)


def _colours(rng: np.random.Generator, n: int) -> np.ndarray:
    """A scene's palette (n, 3): broad in luminance, few hues, mostly on the blue-orange axis."""
    luminance = np.exp(rng.uniform(np.log(0.05), np.log(0.95), n))
    hues = np.where(rng.random(4) < 0.5, rng.choice([0.45, 3.6], 4), rng.uniform(0, 2 * np.pi, 4))
    hue = rng.choice(hues, n) + rng.normal(0, 0.3, n)
    saturation = rng.beta(1.2, 2.6, n) * rng.uniform(0.3, 1.0)
    phase = np.array([0, 2, 4]) * np.pi / 3
    return (luminance[:, None] * (1 + saturation[:, None] * np.cos(hue[:, None] - phase))).clip(
        0.01, 1.2
    )


def _texture_maps(rng: np.random.Generator, size: int) -> list[np.ndarray]:
    """Six noise fields (size, size) of zero mean and unit variance.

    Cloudy, rough, blotchy, fur (oriented), grain, and last a very smooth one for illumination.
    """
    fy = scipy.fft.fftfreq(size)[:, None].astype(np.float32)
    fx = scipy.fft.fftfreq(size)[None, :].astype(np.float32)
    f = np.hypot(fx, fy)
    f[0, 0] = 1
    along = np.cos(np.arctan2(fy, fx) - rng.uniform(0, np.pi)) ** 2
    bump = np.exp(-0.5 * (np.log(f / rng.uniform(0.03, 0.15)) / 0.35) ** 2)
    fur = np.exp(-(1 - along) / 0.03) * np.exp(-0.5 * (np.log(f / 0.12) / 0.6) ** 2)
    out = []
    for amplitude in (f**-1.5, f**-1.0, bump / f, fur / f, f**-0.6, f**-2.2):
        shape = (2, size, size // 2 + 1)
        noise = rng.standard_normal(shape, dtype=np.float32)
        half = amplitude[:, : size // 2 + 1] * (noise[0] + 1j * noise[1])
        half[0, 0] = 0
        field = scipy.fft.irfft2(half, s=(size, size))
        out.append((field / field.std()).astype(np.float32))
    return out


def _background(rng, size, palette, maps) -> np.ndarray:
    """Far away: a ramp between two colours, sometimes a horizon with a second ramp."""
    y, x = np.mgrid[:size, :size].astype(np.float32) / size - 0.5
    angle = rng.normal(np.pi / 2, 0.5)
    t = x * np.cos(angle) + y * np.sin(angle) + 0.05 * maps[0]
    a, b, c = palette[rng.integers(len(palette), size=3)].astype(np.float32)
    canvas = a[:, None, None] + (b - a)[:, None, None] * (t + 0.5).clip(0, 1)
    if rng.random() < 0.6:
        below = ((t - rng.uniform(-0.3, 0.3)) * size).clip(0, 1)
        canvas += below * (c[:, None, None] * (1 + t) - canvas)
    canvas = canvas * np.exp(rng.uniform(0.03, 0.25) * maps[rng.integers(5)])
    return canvas.astype(np.float32)


def _paint(
    canvas, rng, kind, centre, r, angle, palette, maps, light, *, colour=None, bend=None
) -> None:
    """Paint one shape over the canvas, inside its bounding box only."""
    size, r = canvas.shape[-1], np.float32(r)
    pad = min(0.25 * r, 12) + 3
    x0, y0 = np.maximum(np.floor(centre - r - pad), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(centre + r + pad) + 1, size).astype(int)
    if x0 >= x1 or y0 >= y1:
        return
    x = np.arange(x0, x1, dtype=np.float32)[None, :] - np.float32(centre[0])
    y = np.arange(y0, y1, dtype=np.float32)[:, None] - np.float32(centre[1])
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = x * c + y * s, y * c - x * s
    distance = _distance(kind, u, v, r, rng, bend)
    box = canvas[:, y0:y1, x0:x1]
    lit = (x * np.float32(np.cos(light)) + y * np.float32(np.sin(light))) / r

    if rng.random() < 0.5:  # contact shadow on the side away from the light
        reach = np.float32(pad * rng.uniform(0.3, 1))
        shadow = (1 - distance / reach).clip(0, 1) ** 2 * (-lit).clip(0, 1)
        box *= 1 - np.float32(rng.uniform(0.3, 0.9)) * shadow

    tone = 1 + np.float32(rng.uniform(0, 0.5)) * lit
    choice = rng.random()
    if choice < 0.65:
        field = maps[rng.integers(5)]
        field = field.T if rng.random() < 0.5 else field
        step = rng.choice([-1, 1], 2)
        field = field[:: step[0], :: step[1]][y0:y1, x0:x1]
        tone = tone * np.exp(np.float32(rng.uniform(0.02, 0.35)) * field)
    elif choice < 0.85 and r > 8:
        tone = tone * (1 + _pattern(u, v, r, rng, maps[0][y0:y1, x0:x1]))
    if rng.random() < 0.25:  # rounded: darker or lighter towards the rim
        tone = tone * (
            1 + np.float32(rng.uniform(-0.6, 0.4)) * np.exp(distance * (5 / r)).clip(0, 1)
        )
    if rng.random() < 0.12:  # drawn outline
        width = np.float32(rng.uniform(0.6, 1.5) + 0.02 * r)
        tone = tone * (1 - 0.7 * (width + 0.5 - np.abs(distance + width)).clip(0, 1))
    softness = np.float32(1.1 + max(rng.exponential(1.2) - 1, 0) * min(r / 10, 3))
    alpha = (0.5 - distance / softness).clip(0, 1)
    if colour is None:
        colour = palette[rng.integers(len(palette))]
    colour = colour * np.exp(rng.normal(0, 0.2))
    colour = colour.astype(np.float32)[:, None, None]
    if choice > 0.5 and rng.random() < 0.3:  # a second hue along the shape
        other = palette[rng.integers(len(palette))].astype(np.float32)[:, None, None]
        colour = colour + (other - colour) * (0.5 + 0.5 * u / r).clip(0, 1)
    box += alpha * (colour * tone - box)


def _distance(kind: str, u, v, r, rng, bend=None) -> np.ndarray:
    """Signed distance in pixels (negative inside) to an outline of circumradius about r."""
    match kind:
        case "ellipse":
            b = r * np.float32(rng.uniform(0.35, 1))
            k0 = np.hypot(u / r, v / b)
            return k0 * (k0 - 1) / (np.hypot(u / r**2, v / b**2) + np.float32(1e-6))
        case "polygon":
            n = rng.integers(3, 8)
            angles = 2 * np.pi * (np.arange(n) + rng.uniform(-0.3, 0.3, n)) / n
            reach = r * rng.uniform(0.45, 0.8, n)
            sides = [
                u * np.float32(np.cos(t)) + v * np.float32(np.sin(t)) - np.float32(d)
                for t, d in zip(angles, reach, strict=True)
            ]
            return np.maximum.reduce(sides)
        case "box":
            b = r * np.float32(rng.uniform(0.08, 0.7))
            a, corner = r * np.float32(0.8), b * np.float32(rng.choice([0, 0.3, 0.8]))
            du, dv = np.abs(u) - a + corner, np.abs(v) - b + corner
            outside = np.hypot(np.maximum(du, 0), np.maximum(dv, 0))
            return outside + np.minimum(np.maximum(du, dv), 0) - corner
        case "blob":
            k = np.arange(2, 6)
            size = rng.normal(0, 0.35, 4) / k
            theta = np.arctan2(v, u)
            rim = sum(
                np.float32(s) * np.cos(np.float32(j) * theta + np.float32(p))
                for j, s, p in zip(k, size, rng.uniform(0, 2 * np.pi, 4), strict=True)
            )
            return np.float32(0.85) * (np.hypot(u, v) - r * (np.float32(0.7) + rim).clip(0.3, 1))
        case "leaf":
            d = r * np.float32(rng.uniform(0.4, 2))
            big = np.hypot(r, d)
            return np.maximum(np.hypot(u, v - d), np.hypot(u, v + d)) - big
        case "crescent":
            d, hole = r * rng.uniform(0.2, 0.7), r * rng.uniform(0.6, 0.95)
            bite = np.float32(hole) - np.hypot(u - np.float32(d), v)
            return np.maximum(np.hypot(u, v) - r, bite)
        case "ring":
            w = r * np.float32(rng.uniform(0.04, 0.25))
            return np.abs(np.hypot(u, v) - r + w) - w
        case "arc":  # a stroke from -r to r along u that sags by bend * r
            sag = abs(bend[1]) * r
            if sag < 0.02 * r:
                return np.hypot(np.maximum(np.abs(u) - r, 0), v) - bend[0]
            radius = (r**2 + sag**2) / (2 * sag)
            v = v * np.sign(bend[1]) + (radius - sag)  # from the centre of curvature
            inside = (radius - sag) * np.abs(u) < r * v
            side = np.abs(np.hypot(u, v) - radius)
            ends = np.hypot(np.abs(u) - r, v - (radius - sag))
            width = bend[0] * (1 - bend[2] * np.minimum(np.abs(u / r), 1))
            return np.where(inside, side, ends) - width
        case "wave":
            k = np.float32(bend[2] * 6 + 2) / r
            height = np.float32(bend[1] / 2) * r
            slope = height * k * np.cos(k * u)
            band = np.abs(v - height * np.sin(k * u)) / np.sqrt(1 + slope**2)
            return np.maximum(band - bend[0], np.abs(u) - r)
        case "fork":  # segments that meet in the centre: corner, T, Y and X junctions
            parts = []
            for t in rng.uniform(0, 2 * np.pi, rng.integers(2, 5)):
                c, s = np.float32(np.cos(t)), np.float32(np.sin(t))
                along = (u * c + v * s).clip(0, r)
                parts.append(np.hypot(u - along * c, v - along * s))
            return np.minimum.reduce(parts) - bend[0]
    raise AssertionError(kind)


def _pattern(u, v, r, rng, noise) -> np.ndarray:
    """A regular surface on a shape: stripes, bars, checks or bricks, gently warped."""
    period = np.float32(np.exp(rng.uniform(np.log(4), np.log(max(r / 2, 5)))))
    warp = np.float32(rng.uniform(0, 0.12))
    p, q = u / period + warp * noise, v / period
    strength = np.float32(rng.uniform(0.1, 0.7))
    edge = period / 2  # keeps the ramp of a bar about two pixels wide
    match rng.integers(4):
        case 0:
            wave = np.sin(2 * np.pi * p)
        case 1:
            wave = (edge * np.sin(2 * np.pi * p)).clip(-1, 1)
        case 2:
            wave = (edge * np.sin(2 * np.pi * p) * np.sin(2 * np.pi * q)).clip(-1, 1)
        case _:
            row = np.floor(q)
            joint = np.minimum(np.abs(q - row - 0.5) * -1 + 0.5, 1)
            column = (p / 2 + 0.5 * (row % 2)) % 1
            joint = np.minimum(joint, (0.5 - np.abs(column - 0.5)) * 2)
            wave = 1 - 2 * (1 - (joint * period - 0.5)).clip(0, 1)
    return strength * wave


def _paint_strokes(canvas, rng, palette, maps, light) -> None:
    """A tuft of related strokes: grass, twigs, wires, hair, cracks."""
    size = canvas.shape[-1]
    n = rng.integers(1, 16)
    centre, spread = rng.uniform(0, size, 2), rng.uniform(0.02, 0.3) * size
    angle, wander = rng.uniform(0, 2 * np.pi), rng.choice([0.05, 0.3, 3])
    kind = STROKES[rng.choice(3, p=[0.65, 0.2, 0.15])]
    length = np.exp(rng.uniform(np.log(0.02), np.log(0.25))) * size
    width = np.exp(rng.uniform(np.log(0.6), np.log(4)))
    sag, taper = rng.uniform(-1, 1) * rng.choice([0, 1], p=[0.35, 0.65]), rng.uniform(0, 0.9)
    colour = palette[rng.integers(len(palette))]
    for _ in range(n):
        bend = np.array([width, sag + rng.normal(0, 0.1) * (sag != 0), taper], np.float32)
        bend[1] = bend[1].clip(-0.95, 0.95)
        bend[0] *= np.exp(rng.normal(0, 0.3))
        at = centre + rng.normal(0, spread, 2)
        r = length * np.exp(rng.normal(0, 0.25))
        rotation = angle + rng.normal(0, wander)
        _paint(canvas, rng, kind, at, r, rotation, palette, maps, light, colour=colour, bend=bend)


def _develop(canvas, rng, maps) -> np.ndarray:
    """Uneven light, exposure, tone curve and sensor noise."""
    canvas *= np.exp(rng.uniform(0.05, 0.35) * maps[5])
    canvas *= 0.9 / max(float(np.percentile(canvas[:, ::4, ::4], 98.5)), 0.2)
    canvas = canvas.clip(1e-4, 1.2)
    gamma = np.log(rng.uniform(0.32, 0.5)) / np.log(min(canvas[:, ::4, ::4].mean(), 0.9))
    canvas = canvas ** np.float32(np.clip(gamma, 0.5, 1.2))
    noise = rng.standard_normal(canvas.shape, dtype=np.float32)
    canvas += np.float32(rng.uniform(0.002, 0.015)) * noise
    return canvas.clip(0, 1)
