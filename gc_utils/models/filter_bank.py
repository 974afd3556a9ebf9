"""A bank of oriented filters that is closed under a group: a network whose symmetry is known.

Every filter is drawn from a formula at its own orientation, never by rotating pixels, so that the
bank contains `g·w` for each of its filters `w` and each group element `g`. With `R_ij` the response
of filter `j` to the pattern of filter `i`, filter `i`'s transform blocks are the rows of `R` at
the filters that the group makes of `i`, and its stabiliser is that of its pattern:

    even Gabor              stripes, a bright (or dark) one in the middle    D2, along and across
    odd Gabor               an edge: bright on one side, dark on the other   D1, across its stripes
    curved Gabor            bent stripes                                     D1, through its apex
    ring, blob, colour blob                                                  the whole group

An orientation is the direction across the stripes, in degrees counter-clockwise from horizontal:
for odd Gabors the way to the bright side, for curved ones the way out of the bend. The mirrors
named above are those of the plane; under a group without them the stabiliser is what is left.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gc_utils.errors import UserError
from gc_utils.groups import Group, group
from gc_utils.models.base import Model
from gc_utils.models.receptive_field import ReceptiveField

WAVELENGTH = 6.0  # pixels: long enough to survive an orbit's low-pass
SIZE = 35  # pixels: 2.8 wavelengths either side, where every envelope has faded
STRIDE = 4
# Lengths in wavelengths. Long stripes tune sharply: under D32 the closest transformed copies of a
# filter still have responses with a cosine of 0.82 at most, so that a threshold of 0.9 finds its
# stabiliser.
WIDTH, LENGTH = 0.5, 1.2  # standard deviations across and along the stripes of a Gabor
BEND, ARC = 2.5, 1.8  # radius of a curved Gabor, and its standard deviation along the arc
RADIUS, RIM = 1.25, 0.35  # of a ring, and the standard deviation across it
SPOT = 0.45  # standard deviation of a blob
GREY = (1.0, 1.0, 1.0)
RED_GREEN, BLUE_YELLOW = (1.0, -1.0, 0.0), (-0.5, -0.5, 1.0)


def _gabor(u: torch.Tensor, v: torch.Tensor, phase: float) -> tuple[torch.Tensor, torch.Tensor]:
    envelope = torch.exp(-((u / WIDTH) ** 2 + (v / LENGTH) ** 2) / 2)
    return envelope, torch.cos(2 * math.pi * u - phase)


def _even(u: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return _gabor(u, v, 0)


def _odd(u: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return _gabor(u, v, math.pi / 2)


def _curved(u: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    u = u + 0.65 * BEND  # of the arc's height over its circle's centre: the arc fills the disc
    across, angle = torch.hypot(u, v) - BEND, torch.atan2(v, u)
    envelope = torch.exp(-((across / WIDTH) ** 2 + (BEND * angle / ARC) ** 2) / 2)
    return envelope, torch.cos(2 * math.pi * across)


def _ring(u: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    across = torch.hypot(u, v) - RADIUS
    return torch.exp(-((across / RIM) ** 2) / 2), torch.cos(2 * math.pi * across)


def _blob(u: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    square = (u**2 + v**2) / SPOT**2
    return torch.exp(-square / 2), 1 - square / 2


def _spot(u: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    envelope = torch.exp(-(u**2 + v**2) / SPOT**2 / 2)
    return envelope, torch.ones_like(u)


@dataclass(frozen=True)
class Kind:
    """One formula, and the orbits of filters it gives rise to.

    Attributes:
        name: what the filters are called.
        formula: `(u, v)` across and along the stripes in wavelengths to `(envelope, carrier)`,
            unchanged by `v -> -v`.
        period: degrees of orientation after which the pattern repeats; 0 if it has none.
        colours: weights of red, green and blue, one orbit for each.
    """

    name: str
    formula: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
    period: int
    colours: tuple[tuple[float, float, float], ...]


def _both(*colours: tuple[float, float, float]) -> tuple[tuple[float, float, float], ...]:
    """Both signs, or rectification would lose half of what a filter sees."""
    return tuple(tuple(sign * c for c in colour) for colour in colours for sign in (1, -1))


KINDS = (
    Kind("even_gabor", _even, 180, _both(GREY)),
    Kind("odd_gabor", _odd, 360, (GREY,)),  # its negative is itself rotated by 180 degrees
    Kind("curved_gabor", _curved, 360, _both(GREY)),
    Kind("ring", _ring, 0, _both(GREY)),
    Kind("blob", _blob, 0, _both(GREY)),
    Kind("colour_blob", _spot, 0, _both(RED_GREEN, BLUE_YELLOW)),
)


def draw_filter(kind: Kind, orientation: float) -> torch.Tensor:
    """One filter in a disc, without colour.

    Args:
        kind: its formula.
        orientation: degrees counter-clockwise.

    Returns:
        `(SIZE, SIZE)` float64; of zero mean, except for colour blobs, whose colours cancel.
    """
    reach = (torch.arange(SIZE, dtype=torch.float64) - (SIZE - 1) / 2) / WAVELENGTH
    y, x = torch.meshgrid(-reach, reach, indexing="ij")  # y up
    cos, sin = math.cos(math.radians(orientation)), math.sin(math.radians(orientation))
    envelope, carrier = kind.formula(x * cos + y * sin, y * cos - x * sin)
    rim = torch.hypot(x, y) * WAVELENGTH / ((SIZE - 1) / 2)
    envelope = envelope * torch.cos(math.pi / 2 * ((rim - 0.7) / 0.3).clamp(0, 1)) ** 2
    if kind.colours[0] == GREY:
        carrier = carrier - (envelope * carrier).sum() / envelope.sum()
    return envelope * carrier


class FilterBank(nn.Module):
    """Rectified filters, `relu(w_i * x)`, closed under a group.

    Args:
        name: the group, such as `"D16"`.

    Attributes:
        group: the `Group`.
        kinds: names, one a filter: `even_gabor`, `odd_gabor`, `curved_gabor`, `ring`, `blob`,
            `colour_blob`. `F` filters in all.
        orientations: degrees in [0, 360), one a filter; NaN for those without one.
        orbits: int64 `(F,)`, which filters are transformed copies of each other.
        patterns: `(F, 3, SIZE, SIZE)` in [0, 1], what each filter looks for; a filter's response to
            its own pattern is 1.
        moves: int64 `(|G|, F)`: filter `i` transformed by `g` is filter `moves[g, i]`, so that
            `responses(g·x)[moves[g, i]] = responses(x)[i]` (group convention).
        stabilisers: names of the subgroups that leave each filter as it is.
        axes: their mirror axes in degrees; NaN without mirrors and for the whole group.

    Example:
        >>> bank = FilterBank("D16")
        >>> i = bank.kinds.index("even_gabor")
        >>> bank.stabilisers[i], bank.axes[i]
        ('D2@0', 0.0)
    """

    def __init__(self, name: str = "D16"):
        super().__init__()
        self.group: Group = group(name)
        self.kinds: list[str] = []
        self.orientations: list[float] = []
        orbits, patterns, moves = [], [], []
        for kind in KINDS:
            orientations, moved = _orbit(self.group, kind.period)
            drawn = torch.stack([draw_filter(kind, float(a)) for a in orientations])
            drawn = drawn / drawn.abs().max()  # one scale an orbit: rotating keeps contrast
            for colour in kind.colours:
                moves.append(moved + len(self.kinds))
                orbits += [orbits[-1] + 1 if orbits else 0] * len(orientations)
                self.kinds += [kind.name] * len(orientations)
                self.orientations += [float(a) if kind.period else math.nan for a in orientations]
                patterns.append(drawn[:, None] * drawn.new_tensor(colour)[:, None, None])
        pattern = torch.cat(patterns)
        weight = 2 * pattern / pattern.square().sum((1, 2, 3), keepdim=True)
        self.register_buffer("patterns", (0.5 + pattern / 2).float())
        self.register_buffer("weight", weight.float())
        self.register_buffer("orbits", torch.tensor(orbits))
        self.register_buffer("moves", torch.cat(moves, 1))
        named = {s.elements: s for s in self.group.subgroups()}
        still = self.moves == torch.arange(len(self.kinds))
        found = [named[tuple(column.nonzero()[:, 0].tolist())] for column in still.T]
        self.stabilisers = [subgroup.name for subgroup in found]
        self.axes = [subgroup.axis_degrees for subgroup in found]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Responses of every filter at every `STRIDE`-th place where it fits.

        Args:
            x: `(B, 3, H, W)` RGB in [0, 1].

        Returns:
            `(B, F, (H - SIZE) // STRIDE + 1, (W - SIZE) // STRIDE + 1)`, at least 0.
        """
        return F.relu(F.conv2d(x, self.weight, stride=STRIDE))

    @torch.no_grad()
    def transform_blocks(self) -> torch.Tensor:
        """Transform blocks with known symmetry: responses to every transformed pattern.

        Returns:
            `(F, |G|, F)`: `V[i, g]` are all filters' responses to `g` times the pattern of `i`.
        """
        return self(self.patterns)[:, :, 0, 0][self.moves.T]


def _orbit(g: Group, period: int) -> tuple[list[Fraction], torch.Tensor]:
    """Orientations that the group makes of "upwards", and what each element makes of them.

    Upwards because the filter then shares its mirror with `s`, the group's own left-right mirror.

    Returns:
        `O` orientations in degrees, exact; int64 `(|G|, O)` indices into them.
    """
    if not period:
        return [Fraction(0)], torch.zeros(g.order, 1, dtype=torch.long)

    def move(element: int, orientation: Fraction) -> Fraction:
        k, mirrored = element % g.n, element >= g.n
        return (Fraction(360 * k, g.n) + (180 - orientation if mirrored else orientation)) % period

    found = sorted({move(e, Fraction(90)) for e in range(g.order)})
    index = [[found.index(move(e, a)) for a in found] for e in range(g.order)]
    return found, torch.tensor(index)


class FilterBankModel(Model):
    """The filter bank: one layer, `filters`, of known symmetry."""

    network: FilterBank
    layers = ("filters",)

    def channels(self, layer: str) -> int:
        """Number of filters."""
        self.check_layer(layer)
        return len(self.network.kinds)

    def receptive_field(self, layer: str) -> ReceptiveField:
        """The size of the filters."""
        self.check_layer(layer)
        return ReceptiveField(SIZE, STRIDE, (SIZE - 1) // 2)

    def _activations(self, x: Tensor, layer: str) -> Tensor:
        if min(x.shape[-2:]) < SIZE:
            raise UserError(f"filters of {SIZE} pixels do not fit {x.shape[-2]}x{x.shape[-1]}.")
        return self.network(x)
