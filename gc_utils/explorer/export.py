"""What the explorer shows as files: one view as a PNG, a full turn as an animated GIF."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from gc_utils.errors import choose
from gc_utils.explorer.drawing import INK, MIRRORED, ROTATED
from gc_utils.explorer.exhibit import OWN, Exhibit
from gc_utils.explorer.static import draw_response, response_handles, trust_line
from gc_utils.figures.parts import polar_profile
from gc_utils.figures.style import style
from gc_utils.files import write_whole

KINDS = ("png", "gif")
DPI = 100
EVERY = 120  # milliseconds a frame


class TurnFrames:
    """Frames of one feature and one patch: what does not move is drawn once and pasted.

    Args:
        exhibit: The data to draw from.
        feature: The feature's number.
        patch: The patch's number; `OWN` for the one from an image of one's own.
    """

    def __init__(self, exhibit: Exhibit, feature: int, patch: int) -> None:
        self.exhibit, self.feature = exhibit, feature
        self.crops, codes = exhibit.rotations(patch)
        self.response = codes[:, feature]
        card, g = exhibit.card(feature), exhibit.group
        with style():
            figure = Figure(figsize=(9.4, 3.3), dpi=DPI)
            grid = figure.add_gridspec(
                1, 3, width_ratios=[1.1, 2.1, 1.1], left=0.015, right=0.975, top=0.76, bottom=0.26
            )
            grid.update(wspace=0.24)
            figure.suptitle(card.title, x=0.015, y=0.985, ha="left", va="top")
            said = trust_line(exhibit, feature)
            figure.text(0.015, 0.905, said, va="top", fontsize=8, color="#444444")
            picture = figure.add_subplot(grid[0])
            picture.set_axis_off()
            curve = figure.add_subplot(grid[1])
            draw_response(curve, exhibit, feature, patch)
            polar = figure.add_subplot(grid[2], projection="polar")
            polar_profile(polar, card.profile, g, axis_degrees=card.axis_degrees)
            polar.set_title("block profile", pad=9, fontsize=8.5)
            handles = response_handles(exhibit)
            figure.legend(handles=handles, loc="lower right", ncols=2, fontsize=7.5)
            self._image = picture.imshow(self.crops[0])
            dot = {"marker": "o", "ms": 8, "mec": "white", "mew": 1.2, "ls": ""}
            self._line = curve.axvline(0, color=INK, lw=1)
            self._dot, self._on_circle = (ax.plot([0], [0], **dot)[0] for ax in (curve, polar))
            self._said = figure.text(0.015, 0.13, "", fontsize=9, va="center")
            self._moving = [self._image, self._line, self._dot, self._on_circle, self._said]
            for artist in self._moving:
                artist.set_animated(True)
            self._canvas = FigureCanvasAgg(figure)
            self._canvas.draw()
        self._still = self._canvas.copy_from_bbox(figure.bbox)

    def frame(self, angle: float, mirror: bool) -> np.ndarray:
        """One frame, uint8 `(H, W, 3)`.

        Args:
            angle: Degrees counter-clockwise.
            mirror: Whether the patch is mirrored first.
        """
        exhibit, g = self.exhibit, self.exhibit.group
        element = exhibit.element(angle, mirror)
        mirrored = element >= exhibit.fine.n
        shown = element % exhibit.fine.n * 360 / exhibit.fine.n
        value, colour = float(self.response[element]), MIRRORED if mirrored else ROTATED
        self._image.set_data(self.crops[element])
        self._line.set_xdata([shown] * 2)
        self._dot.set_data([shown], [value])
        nearest = round(shown * g.n / 360) % g.n
        cosine = exhibit.profiles[self.feature][nearest + g.n * mirrored]
        self._on_circle.set_data([2 * np.pi * nearest / g.n], [cosine])
        for dot in (self._dot, self._on_circle):
            dot.set_color(colour)
        first = "mirrored, then " if mirrored else ""
        self._said.set_text(f"{first}rotated by {shown:g}°: code {value:.2f}")
        self._canvas.restore_region(self._still)
        with style():
            for artist in self._moving:
                (artist.axes or artist.figure).draw_artist(artist)
        return np.asarray(self._canvas.buffer_rgba())[..., :3].copy()


def view_png(exhibit: Exhibit, feature: int, patch: int, angle: float, mirror: bool) -> bytes:
    """The view at one angle as the bytes of a PNG file.

    Args:
        exhibit: The data to draw from.
        feature: The feature's number.
        patch: The patch's number.
        angle: Degrees counter-clockwise.
        mirror: Whether the patch is mirrored first.

    Returns:
        The file's content.
    """
    buffer = io.BytesIO()
    frame = TurnFrames(exhibit, feature, patch).frame(angle, mirror)
    Image.fromarray(frame).save(buffer, "png", optimize=True)
    return buffer.getvalue()


def turn_gif(exhibit: Exhibit, feature: int, patch: int, *, mirror: bool = False) -> bytes:
    """A full turn as the bytes of an animated GIF file that repeats for ever.

    Args:
        exhibit: The data to draw from.
        feature: The feature's number.
        patch: The patch's number.
        mirror: Whether the patch is mirrored first.

    Returns:
        The file's content, a frame for each angle of the exhibit.
    """
    frames, n = TurnFrames(exhibit, feature, patch), exhibit.fine.n
    images = [
        Image.fromarray(frames.frame(360 * k / n, mirror)).quantize(128, dither=Image.Dither.NONE)
        for k in range(n)
    ]
    buffer = io.BytesIO()
    options = {"duration": EVERY, "loop": 0, "optimize": True}
    images[0].save(buffer, "gif", save_all=True, append_images=images[1:], **options)
    return buffer.getvalue()


def file_name(kind: str, feature: int, patch: int, angle: float, mirror: bool) -> str:
    """The name of a file that says what it shows.

    Args:
        kind: `"png"` or `"gif"`.
        feature, patch, angle, mirror: What is shown; a full turn has no angle.

    Returns:
        Such as `feature_37_patch_12_90deg.png`.

    Raises:
        UserError: Another kind.
    """
    choose(kind, KINDS, "kind of file")
    parts = [f"feature_{feature}", "own_image" if patch == OWN else f"patch_{patch}"]
    parts += ["mirrored"] * mirror + ([f"{angle:g}deg"] if kind == "png" else ["turn"])
    return "_".join(parts) + f".{kind}"


def write_export(folder: str | Path, name: str, content: bytes) -> Path:
    """Write a file into a folder, which is made if there is none; returns its path."""
    path = Path(folder) / name
    with write_whole(path) as draft:
        draft.write_bytes(content)
    return path
