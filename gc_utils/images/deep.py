"""Colour images of 16 bits a channel, of which Pillow gives the upper 8, or nonsense."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from PIL import Image

_PLANAR = 284
_BITS = 258
_SHARE = 64  # upper bytes below this: the file holds the 10, 12 or 14 bits of a sensor
_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def white(highest: float, mode: str) -> float:
    """What stands for white: files of 16 bits often hold the 10, 12 or 14 bits of a sensor.

    Args:
        highest: the largest value of an image.
        mode: Pillow's name for the kind of its pixels.
    """
    if mode.startswith("F"):
        return max(1.0, highest)
    return next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if highest < 2**bits), highest)


@dataclass(frozen=True)
class Deep:
    """How to read all bits of an image.

    Attributes:
        mode: Pillow's name for what the channels are: "RGB", "RGBA" or "RGBa" (multiplied by
            alpha), "L" or "LA".
        passes: the kind of pixels and the tiles for each time that the file is read.
        layout: what a pass gives: "upper", the upper or the lower bytes of all channels; "pairs",
            both; "plane", all bits of one channel; "upper only", the upper bytes, never the lower.
    """

    mode: str
    passes: list[tuple[str, list]]
    layout: str

    @classmethod
    def of(cls, image: Image.Image) -> Deep | None:
        """How to read an image that has been opened and not loaded; None if Pillow gives all."""
        tiles = list(getattr(image, "tile", []))
        raws = {_raw(tile) for tile in tiles}
        if _is_planar(image) and image.mode in ("LA", "La"):  # Pillow loses the transparency
            raise ValueError("grey and transparency in separate planes, which are not read")
        deep_planes = _is_planar(image) and 16 in image.tag_v2.get(_BITS, ())
        if deep_planes and {tile[0] for tile in tiles} == {"raw"}:
            # Pillow has one list of tiles for all planes, plane after plane.
            raw = "I;16B" if image.tag_v2.prefix == b"MM" else "I;16"
            planes = [list(plane) for _, plane in groupby(tiles, key=_raw)]
            mode = {1: "L", 3: "RGB", 4: "RGBA"}.get(len(planes))
            if mode is None or image.mode not in ("RGB", "RGBA"):
                raise ValueError(f"{len(planes)} separate planes of 16 bits, which are not read")
            if len(planes) == 4 and 1 in image.tag_v2.get(338, ()):
                mode = "RGBa"
            return cls(
                mode, [("I;16", [_with(t, raw) for t in plane]) for plane in planes], "plane"
            )
        if len(raws) != 1:
            return None
        kind, _, bits = raws.pop().partition(";16")
        if kind == "LA" and bits:  # two bytes of grey, two of alpha
            return cls("LA", [("RGBA", [_with(tile, "RGBA") for tile in tiles])], "pairs")
        if kind not in ("RGB", "RGBX", "RGBA", "RGBa") or bits not in _SWAPPED:
            return None
        plain = kind.upper()  # as stored: the bytes of a product are no product of bytes
        passes = [
            (image.mode, [_with(tile, f"{plain};16{order}") for tile in tiles])
            for order in (bits, _SWAPPED[bits])
        ]
        # Of planes that libtiff unpacks, Pillow gives the upper bytes whatever is asked for.
        layout = "upper only" if deep_planes else "upper"
        return cls("RGB" if kind == "RGBX" else kind, passes, layout)

    def misread(self, image: Image.Image) -> bool:
        """Whether what Pillow made of the file is not the picture."""
        if self.layout == "plane":
            return True
        highest = [high for _, high in image.getextrema()]
        return max(highest[:3]) < _SHARE or (self.mode == "RGBa" and highest[3] < _SHARE)

    def read(self, opened: Callable[[], AbstractContextManager[Image.Image]]) -> Image.Image:
        """The image with 8 bits a channel, made from all that the file uses.

        Args:
            opened: opens the file.
        """
        if self.layout == "upper only":
            raise ValueError("14 bits or fewer in separate compressed planes, which are not read")
        found = []
        for mode, tiles in self.passes:
            with opened() as again:
                again._mode = mode
                again.tile = tiles
                found.append(np.asarray(again, np.float32))
        if self.layout == "upper":
            values = found[0] * 256 + found[1]
        elif self.layout == "pairs":
            values = found[0][..., ::2] * 256 + found[0][..., 1::2]
        else:
            values = np.stack(found, 2)
        colours = 1 if self.mode[0] == "L" else 3
        scale = white(float(values[..., :colours].max()), "I")
        highest = float(values[..., colours:].max(initial=0))
        if highest > scale:  # transparency may use all bits, though colours do not
            values[..., colours:] *= scale / white(highest, "I")
        pixels = (values * (255 / scale)).round().astype(np.uint8)
        return Image.frombytes(self.mode, pixels.shape[1::-1], pixels.tobytes())


def _is_planar(image: Image.Image) -> bool:
    """Whether each channel of a TIFF file lies by itself."""
    return image.format == "TIFF" and image.tag_v2.get(_PLANAR) == 2


def _raw(tile: tuple) -> str:
    """Pillow's name for how the pixels of a tile are stored."""
    args = tile[3]
    return args if isinstance(args, str) else str([*(args or ()), ""][0])


def _with(tile: tuple, raw: str):
    """The tile, read as if its pixels were stored in another way."""
    codec, extents, offset, args = tile
    args = raw if isinstance(args, str) else (raw, *args[1:])
    made = (codec, extents, offset, args)
    return type(tile)._make(made) if hasattr(tile, "_make") else made
