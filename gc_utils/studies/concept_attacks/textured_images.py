"""Textured shapes: images whose attributes are known, to test explanations of a classifier.

An image shows a shape (disc, square, triangle) filled with a texture, on a background with another
faint texture. Its class is the texture that fills the shape. Everything else (the shape, the
background, the colours) is drawn independently of the class and cannot be a cause of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from gc_utils.errors import UserError, choose

CLASSES = ("striped", "checked", "dotted", "honeycomb", "plain")
SHAPES = ("disc", "square", "triangle")
BACKGROUNDS = ("none", "wavy", "blotched")
HUES = ("red", "green", "blue")
SIDE = 63
# What `draw_textured` is asked for to show a concept. A texture is the cause of its own class and
# evidence against others; the rest is drawn independently of the class, and irrelevant.
IRRELEVANT = {
    "wavy": {"background": "wavy"},
    "disc": {"shape": "disc"},
    "blotched": {"background": "blotched"},
    "red": {"hue": "red"},
    "square": {"shape": "square"},
    "triangle": {"shape": "triangle"},
    "green": {"hue": "green"},
    "blue": {"hue": "blue"},
}
CONCEPTS = {texture: {"texture": texture} for texture in CLASSES} | IRRELEVANT


def _lattice(u: np.ndarray, period: float) -> np.ndarray:
    return (u / period + 0.5) % 1 - 0.5


def _striped(u, v):
    return np.cos(2 * np.pi * u)


def _checked(u, v):
    return 1.6 * np.cos(np.pi * u) * np.cos(np.pi * v)


def _dotted(u, v):
    return 1 - 6 * np.hypot(_lattice(u, 1), _lattice(v, 1))


def _honeycomb(u, v):
    """Borders of hexagonal cells, as the distance to the nearest of two shifted lattices tells."""
    high = 3**0.5
    first = np.stack([_lattice(u, 1), high * _lattice(v / high, 1)])
    second = np.stack([_lattice(u + 0.5, 1), high * _lattice(v / high + 0.5, 1)])
    x, y = np.where((first**2).sum(0) < (second**2).sum(0), first, second)
    edge = np.max([np.abs(x), np.abs(x / 2 + high / 2 * y), np.abs(x / 2 - high / 2 * y)], 0)
    return 12 * (edge - 0.37)


def _plain(u, v):
    return np.zeros_like(u)


def _wavy(u, v):
    return np.cos(2 * np.pi * (u + 0.35 * np.sin(2 * np.pi * v / 2)))


PATTERNS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "striped": _striped,
    "checked": _checked,
    "dotted": _dotted,
    "honeycomb": _honeycomb,
    "plain": _plain,
    "none": _plain,
    "wavy": _wavy,
}


@dataclass(frozen=True)
class TexturedImages:
    """Images with their attributes.

    Attributes:
        x: float32 `(N, 3, side, side)`, RGB in [0, 1].
        table: one row for each image: `texture` (the class), `shape`, `background`, `hue`.
    """

    x: torch.Tensor
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.x)

    @property
    def y(self) -> torch.Tensor:
        """Numbers of the classes, `(N,)`."""
        return torch.tensor([CLASSES.index(t) for t in self.table.texture])

    def shows(self, texture: str) -> torch.Tensor:
        """Which images show a texture, bool `(N,)`."""
        choose(texture, CLASSES, "texture")
        return torch.tensor((self.table.texture == texture).to_numpy())


def _waves(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blotches: a sum of random waves about one period long."""
    angle, phase = rng.uniform(0, 2 * np.pi, (2, 12))
    k = 2 * np.pi * np.exp(rng.normal(0, 0.3, 12))
    along = u[..., None] * np.cos(angle) + v[..., None] * np.sin(angle)
    return np.cos(k * along + phase).sum(-1) / 2.5


def _pattern(name: str, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A texture of random period, orientation and shift; mean 0, root mean square 0.7."""
    period, angle = rng.uniform(9, 14), rng.uniform(0, 2 * np.pi)
    shift = rng.uniform(0, 1, 2)
    u = (x * np.cos(angle) + y * np.sin(angle)) / period + shift[0]
    v = (y * np.cos(angle) - x * np.sin(angle)) / period + shift[1]
    value = _waves(u, v, rng) if name == "blotched" else PATTERNS[name](u, v)
    value = np.clip(value, -1, 1)
    value = value - value.mean()  # brightness and contrast are to tell nothing about the texture
    return 0.7 * value / max(value.std(), 0.1)


def _mask(shape: str, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A shape of random place, size and orientation, with edges blurred over a pixel."""
    side = len(x)
    cx, cy = rng.uniform(-0.08, 0.08, 2) * side
    size, angle = rng.uniform(0.25, 0.33) * side, rng.uniform(0, 2 * np.pi)
    x, y = x - cx, y - cy
    if shape == "disc":
        inside = size - np.hypot(x, y)
    else:
        corners = {"square": 4, "triangle": 3}[shape]
        apothem = size * (np.pi / (corners * np.tan(np.pi / corners))) ** 0.5  # of equal areas
        at = angle + 2 * np.pi * np.arange(corners) / corners
        inside = np.min([apothem - (x * np.cos(a) + y * np.sin(a)) for a in at], 0)
    return np.clip(inside + 0.5, 0, 1)


def _colour(hue: str, rng: np.random.Generator) -> np.ndarray:
    colour = rng.uniform(0.3, 0.5, 3)
    colour[HUES.index(hue)] += rng.uniform(0.2, 0.3)
    return colour


def draw_textured(
    count: int,
    *,
    texture: str | None = None,
    shape: str | None = None,
    background: str | None = None,
    hue: str | None = None,
    side: int = SIDE,
    seed: int = 0,
) -> TexturedImages:
    """Draw images; attributes that are not given are drawn uniformly and independently.

    Args:
        count: The number of images.
        texture: The texture that fills the shape, one of `CLASSES`.
        shape: The shape, one of `SHAPES`.
        background: The texture of the background, one of `BACKGROUNDS`.
        hue: The hue of the shape, one of `HUES`.
        side: The side of an image in pixels.
        seed: The seed of all random choices.

    Returns:
        The images, with eight bits a colour, and the table of their attributes.

    Raises:
        UserError: An attribute is unknown, or `count` is below 1.
    """
    if count < 1:
        raise UserError(f"{count} images: at least one is needed.")
    given = {"texture": texture, "shape": shape, "background": background, "hue": hue}
    among = {"texture": CLASSES, "shape": SHAPES, "background": BACKGROUNDS, "hue": HUES}
    for name, value in given.items():
        if value is not None:
            choose(value, among[name], name)
    rng = np.random.default_rng(seed)
    at = np.arange(side) - (side - 1) / 2
    y, x = np.meshgrid(-at, at, indexing="ij")
    images, rows = np.empty((count, 3, side, side), np.float32), []
    for i in range(count):
        row = {n: v or str(rng.choice(among[n])) for n, v in given.items()}
        inside = _mask(row["shape"], x, y, rng)
        ground = 0.16 * _pattern(row["background"], x, y, rng)
        filled = rng.uniform(0.25, 0.4) * _pattern(row["texture"], x, y, rng)
        behind, front = rng.uniform(0.35, 0.65), _colour(row["hue"], rng)[:, None, None]
        image = (1 - inside) * (behind + ground) + inside * (front + filled)
        noisy = np.clip(image + rng.normal(0, 0.02, image.shape), 0, 1)
        images[i] = np.round(255 * noisy) / 255  # as a file would have it
        rows.append(row)
    return TexturedImages(torch.from_numpy(images), pd.DataFrame(rows))
