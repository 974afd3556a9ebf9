"""The explorer's curves as SVG: a string a tick, drawn by the browser at any width.

Everything that does not move with the angle is drawn once; a tick adds a line and two dots. All
angles are degrees counter-clockwise from 0 to 360.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from matplotlib.ticker import MaxNLocator

from gc_utils.figures.parts import radial_floor
from gc_utils.figures.style import GREY, OKABE_ITO
from gc_utils.groups import Group

ROTATED, MIRRORED, INK = OKABE_ITO["blue"], OKABE_ITO["orange"], "#333333"
LINES = [OKABE_ITO[c] for c in ("blue", "vermilion", "green", "purple", "orange", "sky", "black")]
DASHES = ("", "7 3", "2 3")
FONT = "font-family='system-ui, sans-serif'"


def _svg(width: float, height: float, label: str, body: str, most: int, margin: float = 0) -> str:
    """A drawing with its text for those who do not see it; never wider than `most` pixels."""
    box = f"{-margin:g} 0 {width + 2 * margin:g} {height:g}"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='{box}' role='img' "
        f"aria-label='{escape(label, quote=True)}' style='width:100%;max-width:{most}px;"
        f"display:block;background:#fff' {FONT} font-size='12' fill='{INK}'>{body}</svg>"
    )


def _line(points: Sequence[tuple[float, float]], colour: str, width: float, dash: str = "") -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = f" stroke-dasharray='{dash}'" if dash else ""
    return (
        f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='{width:g}'{dash} "
        "stroke-linejoin='round'/>"
    )


def _text(x: float, y: float, text: str, anchor: str = "start", **style: object) -> str:
    more = "".join(f" {name.replace('_', '-')}='{value}'" for name, value in style.items())
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}'{more}>{escape(text)}</text>"


def _dot(x: float, y: float, colour: str, radius: float = 5.5) -> str:
    return (
        f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius:g}' fill='{colour}' stroke='#fff' "
        "stroke-width='1.5'/>"
    )


class ResponseDrawing:
    """A feature's code as the patch rotates: measured beside what its blocks predict.

    Args:
        measured: The code under every element of `fine`, `(|fine|,)`.
        predicted: What the blocks predict under every element of `g`, `(|G|,)`.
        fine: The group whose angles are measured.
        g: The crosscoder's group.
    """

    WIDTH, HEIGHT = 520, 268
    LEFT, RIGHT, TOP, BOTTOM = 44, 500, 14, 190

    def __init__(self, measured: np.ndarray, predicted: np.ndarray, fine: Group, g: Group) -> None:
        self.measured, self.predicted = np.asarray(measured), np.asarray(predicted)
        self.fine, self.g = fine, g
        self.top = 1.08 * float(max(self.measured.max(), self.predicted.max(), 0)) or 1.0
        self._still: dict[bool, str] = {}

    def _at(self, angle: float, value: float) -> tuple[float, float]:
        x = self.LEFT + (self.RIGHT - self.LEFT) * angle / 360
        return x, self.BOTTOM - (self.BOTTOM - self.TOP) * min(float(value), self.top) / self.top

    def _curve(self, values: np.ndarray, mirrored: bool) -> list[tuple[float, float]]:
        g = self.fine if values is self.measured else self.g
        half = values[g.n :] if mirrored else values[: g.n]
        return [self._at(360 * k / g.n, half[k % g.n]) for k in range(g.n + 1)]

    def _frame(self) -> str:
        parts = []
        for value in MaxNLocator(4).tick_values(0, self.top):
            if 0 <= value <= self.top:
                x, y = self._at(0, value)
                parts.append(f"<path d='M{x} {y:.1f}H{self.RIGHT}' stroke='#E4E4E4'/>")
                parts.append(_text(x - 6, y + 4, f"{value:g}", "end"))
        for angle in range(0, 361, 45):
            x, y = self._at(angle, 0)
            parts.append(f"<path d='M{x:.1f} {y}V{self.TOP}' stroke='#EFEFEF'/>")
            if angle % 90 == 0:
                parts.append(_text(x, y + 16, f"{angle}°", "middle"))
        parts.append(f"<path d='M{self.LEFT} {self.BOTTOM}H{self.RIGHT}' stroke='#444'/>")
        middle = (self.LEFT + self.RIGHT) / 2
        parts.append(_text(middle, self.BOTTOM + 31, "rotated counter-clockwise by", "middle"))
        turn = f"rotate(-90 11 {(self.TOP + self.BOTTOM) / 2:g})"
        parts.append(_text(11, (self.TOP + self.BOTTOM) / 2, "code", "middle", transform=turn))
        return "".join(parts)

    def _legend(self) -> str:
        rows = [("rotated", ROTATED)] + [("mirrored, then rotated", MIRRORED)] * self.fine.dihedral
        parts = []
        for k, (name, colour) in enumerate(rows):
            y = self.BOTTOM + 50 + 19 * k
            parts.append(_line([(46, y), (74, y)], colour, 2.2))
            parts.append(_text(80, y + 4, f"{name}: measured"))
            parts.append(_line([(288, y), (316, y)], colour, 1.6, "5 3"))
            parts.append(f"<circle cx='302' cy='{y}' r='3' fill='#fff' stroke='{colour}'/>")
            parts.append(_text(322, y + 4, "predicted by its blocks"))
        return "".join(parts)

    def _background(self, mirror: bool) -> str:
        if mirror not in self._still:
            parts = [self._frame()]
            kinds = [(not mirror, 0.3), (mirror, 1)] if self.fine.dihedral else [(False, 1)]
            for mirrored, opacity in kinds:  # what is shown now is drawn last, and strongly
                colour = MIRRORED if mirrored else ROTATED
                guess = self._curve(self.predicted, mirrored)
                rings = "".join(
                    f"<circle cx='{x:.1f}' cy='{y:.1f}' r='2.6' fill='#fff' stroke='{colour}'/>"
                    for x, y in guess
                )
                lines = _line(guess, colour, 1.4, "5 3") + rings
                lines += _line(self._curve(self.measured, mirrored), colour, 2.2)
                parts.append(f"<g opacity='{opacity}'>{lines}</g>")
            self._still[mirror] = "".join(parts) + self._legend()
        return self._still[mirror]

    def at(self, angle: float, mirror: bool, element: int) -> str:
        """The drawing with the mark of an angle.

        Args:
            angle: Degrees counter-clockwise, in [0, 360).
            mirror: Whether the patch is mirrored first.
            element: The element of `fine` at that angle.

        Returns:
            The SVG.
        """
        value = float(self.measured[element])
        x, y = self._at(angle, value)
        mark = f"<path d='M{x:.1f} {self.TOP}V{self.BOTTOM}' stroke='{INK}'/>"
        mark += _dot(x, y, MIRRORED if mirror else ROTATED)
        label = f"The feature's code at {angle:g} degrees is {value:.2f}; between 0 and 360 degrees"
        label += f" it is {self.measured.min():.2f} to {self.measured.max():.2f}."
        body = self._background(mirror) + mark
        return _svg(self.WIDTH, self.HEIGHT, label, body, 620)


class _Polar:
    """Polar axes: 0° at the right, counter-clockwise."""

    SIZE, MIDDLE, RADIUS = 240, 120, 92

    def __init__(self, floor: float, ceiling: float = 1.0) -> None:
        self.floor, self.ceiling = floor, ceiling

    def at(self, angle: float, value: float) -> tuple[float, float]:
        share = (float(value) - self.floor) / (self.ceiling - self.floor)
        r, t = self.RADIUS * float(np.clip(share, 0, 1.12)), np.deg2rad(angle)
        return self.MIDDLE + r * np.cos(t), self.MIDDLE - r * np.sin(t)

    def closed(self, values: np.ndarray) -> list[tuple[float, float]]:
        n = len(values)
        return [self.at(360 * k / n, values[k % n]) for k in range(n + 1)]

    def frame(self, ticks: Sequence[float]) -> str:
        parts = []
        for tick in ticks:
            r = self.RADIUS * (tick - self.floor) / (self.ceiling - self.floor)
            colour = GREY if tick == 0 and self.floor < 0 else "#DDDDDD"
            parts.append(
                f"<circle cx='{self.MIDDLE}' cy='{self.MIDDLE}' r='{r:.1f}' fill='none' "
                f"stroke='{colour}'/>"
            )
            x, y = self.at(67.5, tick)
            parts.append(_text(x + 2, y + 3, f"{tick:g}", font_size=10, fill="#666"))
        for angle in range(0, 360, 45):
            (x0, y0), (x1, y1) = self.at(angle, self.floor), self.at(angle, self.ceiling)
            parts.append(f"<path d='M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}' stroke='#EEEEEE'/>")
        for angle, dx, dy, anchor in ((0, 4, 4, "start"), (90, 0, -5, "middle")):
            x, y = self.at(angle, self.ceiling)
            parts.append(_text(x + dx, y + dy, f"{angle}°", anchor))
        for angle, dx, dy, anchor in ((180, -4, 4, "end"), (270, 0, 14, "middle")):
            x, y = self.at(angle, self.ceiling)
            parts.append(_text(x + dx, y + dy, f"{angle}°", anchor))
        return "".join(parts)


class ProfileDrawing:
    """A block profile around a circle: cosine of every block with the one at 0°.

    Args:
        profile: The cosines, `(|G|,)`.
        g: The group.
        axis_degrees: The stabiliser's mirror axis, drawn through the centre; NaN for none.
    """

    def __init__(self, profile: np.ndarray, g: Group, axis_degrees: float = float("nan")) -> None:
        self.profile, self.g = np.asarray(profile), g
        self.polar = _Polar(radial_floor([self.profile]))
        self.axis = axis_degrees
        ticks = [t for t in (-0.5, 0, 0.5, 1) if t > self.polar.floor]
        rows = [("rotated", ROTATED, "")] + [("mirrored", MIRRORED, "5 3")] * g.dihedral
        parts = [self.polar.frame(ticks)]
        if np.isfinite(axis_degrees):
            ends = [self.polar.at(axis_degrees + turn, 1.1) for turn in (0, 180)]
            parts.append(_line(ends, INK, 1.2, "2 3"))
            rows.append(("mirror axis", INK, "2 3"))
        if g.dihedral:
            parts.append(_line(self.polar.closed(self.profile[g.n :]), MIRRORED, 1.4, "5 3"))
        parts.append(_line(self.polar.closed(self.profile[: g.n]), ROTATED, 2.2))
        for k, (name, colour, dash) in enumerate(rows):
            x, y = (14, 152, 14)[k], (246, 246, 263)[k]
            parts.append(_line([(x, y), (x + 24, y)], colour, 2, dash))
            parts.append(_text(x + 29, y + 4, name))
        self._still = "".join(parts)

    def at(self, angle: float, mirror: bool) -> str:
        """The drawing with the mark of the block nearest to an angle.

        Args:
            angle: Degrees counter-clockwise.
            mirror: Whether the patch is mirrored first.

        Returns:
            The SVG.
        """
        nearest = round(angle * self.g.n / 360) % self.g.n
        value = float(self.profile[nearest + self.g.n * (bool(mirror) and self.g.dihedral)])
        degrees = 360 * nearest / self.g.n
        mark = _dot(*self.polar.at(degrees, value), MIRRORED if mirror else ROTATED)
        label = f"Block profile: the block at {degrees:g} degrees has cosine {value:.2f} with the "
        label += "block at 0 degrees."
        return _svg(240, 270, label, self._still + mark, 250, margin=20)


def tuning_drawing(curves: dict[str, np.ndarray]) -> str:
    """Codes of several features over the rotations of one patch, each relative to its largest.

    Args:
        curves: Codes `(n,)` by the name of the line; the first is drawn boldest.

    Returns:
        The SVG.
    """
    polar = _Polar(0.0)
    parts, legend, peaks = [polar.frame([0.5, 1])], [], []
    for k, (name, values) in enumerate(curves.items()):
        most = float(np.max(values))
        colour, dash = LINES[k % len(LINES)], DASHES[k // len(LINES) % len(DASHES)]
        y = 26 + 20 * k
        legend.append(_line([(258, y), (286, y)], colour, 2.6 if k == 0 else 1.6, dash))
        if most > 0:
            parts.append(_line(polar.closed(values / most), colour, 2.6 if k == 0 else 1.6, dash))
            peak = f"{360 * int(np.argmax(values)) / len(values):g}°"
            legend.append(_text(292, y + 4, f"{name}: most at {peak}"))
            peaks.append(f"{name} at {peak}")
        else:
            legend.append(_text(292, y + 4, f"{name}: off at every angle"))
    label = f"Radial tuning; largest code: {', '.join(peaks) or 'none is on'}."
    height = max(240, 26 + 20 * len(curves))
    return _svg(520, height, label, "".join(parts + legend), 620, margin=20)
