"""Image files become upright RGB pixels, or an error that says what is wrong with them.

Whatever a camera, a browser or a broken disk wrote: the pixels of a sound image are never lost to
metadata that is not sound, and a damaged file raises `Unreadable`, whatever Pillow makes of it.
"""

from __future__ import annotations

import io
import logging
import os
import stat
import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image

Source = Path | io.BytesIO

SUFFIXES = frozenset(
    ".apng .avif .bmp .dib .gif .j2k .jfif .jp2 .jpe .jpeg .jpg .jpx .mpo .pbm .pgm .png .pnm .ppm "
    ".tif .tiff .webp".split()
)
"""The endings of files that are read."""
UNREAD = frozenset(
    ".arw .cr2 .cr3 .dng .exr .hdr .heic .heif .hif .jxl .nef .orf .pef .psd .raf .raw .rw2 .srw "
    ".svg .tga .xcf".split()
)
"""The endings of files that are images too, but are not read."""
READ = "JPEG, PNG, TIFF, WebP, GIF, BMP, JPEG 2000, AVIF and PPM files are read"
# Not all that Pillow knows: it would start Ghostscript for what begins like PostScript.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF")
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
_ORIENTATION = 0x0112
# Size, bits, compression, strips, tiles, palette, planes, predictor, alpha, JPEG and YCbCr.
_TIFF_PIXELS = frozenset(
    (256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324)
    + (325, 338, 339, 347, 512, 513, 514, 519, 520, 521, 529, 530, 531, 532)
)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Unreadable(ValueError):
    """A file that holds no image which can be read; the message says why."""


def begins_like_an_image(path: Path) -> bool:
    """Whether a file without an ending begins like an image of the usual kinds."""
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    return start.startswith(_BEGINNINGS) or (start[:4] == b"RIFF" and start[8:] == b"WEBP")


def upright_size(source: Source, largest: int) -> tuple[int, int]:
    """Size of an image, once its pixels have been decoded (those of a JPEG at an eighth).

    Args:
        source: the file.
        largest: a shorter side with more pixels is reduced to this.

    Returns:
        Height and width for `upright_pixels`.

    Raises:
        Unreadable: the file is no image, damaged, or far too large.
    """

    def look(image: Image.Image) -> tuple[int, int]:
        if isinstance(source, Path) and _is_figure(image, source.stem):
            raise Unreadable("a figure that a notebook made")
        width, height = image.size
        image.draft("RGB", (max(width // 8, 1), max(height // 8, 1)))
        reduced = image.size != (width, height)
        rgb, sideways = _upright(image, source)
        if not reduced:
            width, height = rgb.size
        elif sideways:
            width, height = height, width
        shrink = max(min(height, width) / largest, 1)
        return round(height / shrink), round(width / shrink)

    return _read(source, look)


def upright_pixels(source: Source, height: int, width: int) -> torch.Tensor:
    """An image as a camera's holder saw it, reduced to a size.

    Args:
        source: the file.
        height: pixels wanted, as `upright_size` returns them.
        width: the same.

    Returns:
        float32 `(3, height, width)`, RGB in [0, 1].

    Raises:
        Unreadable: the file is no image, damaged, or far too large.
    """

    def look(image: Image.Image) -> Image.Image:
        image.draft("RGB", (min(height, width),) * 2)  # JPEG only: never below the size asked for
        return _upright(image, source)[0]

    rgb = _read(source, look)
    if rgb.size != (width, height):
        rgb = rgb.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3)
    pixels = np.array(rgb, dtype=np.float32).transpose(2, 0, 1) / 255
    return torch.from_numpy(np.ascontiguousarray(pixels))


def _read(source: Source, look):
    """What `look` returns of the opened image; tried again without metadata if that fails."""
    try:
        if isinstance(source, Path) and not stat.S_ISREG(source.stat().st_mode):
            raise Unreadable("not a file with contents")  # a pipe would be waited for, for ever
        with _opened(source) as image:
            return look(image)
    except Unreadable:
        raise
    except (Image.DecompressionBombError, MemoryError) as error:
        raise Unreadable(f"far too large: {error}") from error
    except Exception as error:  # a damaged file makes Pillow raise about anything
        try:
            if (bare := _without_metadata(source)) is not None:
                with _opened(bare) as image:
                    return look(image)
        except Exception:  # noqa: S110  the first error says more
            pass
        raise Unreadable(_reason(error, source)) from error


@contextmanager
def _opened(source: Source) -> Iterator[Image.Image]:
    """An image of one of our formats, without the warnings of what is wrong with its metadata."""
    Image.init()
    if isinstance(source, io.BytesIO):
        source.seek(0)
    logger = logging.getLogger("PIL")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source, formats=[f for f in FORMATS if f in Image.OPEN]) as image:
                yield image
    finally:
        logger.setLevel(level)


def _is_figure(image: Image.Image, stem: str) -> bool:
    """Whether a PNG file is one of `gc_utils.figures.save_figure`, by what is written in it."""
    texts = image.info
    return stem[:2].isdigit() and texts.get("Title") == stem and "Description" in texts


def _upright(image: Image.Image, source: Source) -> tuple[Image.Image, bool]:
    """RGB, turned once, and whether it lay on its side as it was stored."""
    swapped = _swapped(image)
    image.load()
    turn = None
    if image.format != "TIFF":  # which Pillow has turned while it loaded
        with suppress(Exception):  # a tag that cannot be read says nothing
            turn = _TURNS.get(image.getexif().get(_ORIENTATION))
    if swapped and max(high for _, high in image.getextrema()) < 64:  # 14 bits or fewer
        rgb = _all_bits(image, source, swapped)
    else:
        rgb = _to_rgb(image)
    if turn is not None:
        rgb = rgb.transpose(turn)
    return rgb, turn in [_TURNS[k] for k in (5, 6, 7, 8)]


def _swapped(image: Image.Image) -> list[tuple]:
    """How to read the lower bytes of an RGB image of 16 bits, of which Pillow gives the upper."""
    native = "RGB;16B" if sys.byteorder == "little" else "RGB;16L"
    other = {"RGB;16B": "RGB;16L", "RGB;16L": "RGB;16B", "RGB;16N": native}
    tiles = []
    for codec, extents, offset, args in getattr(image, "tile", []):
        raw = args if isinstance(args, str) else [*(args or ()), ""][0]
        if image.mode != "RGB" or raw not in other:
            return []
        args = other[raw] if isinstance(args, str) else (other[raw], *args[1:])
        tiles.append((codec, extents, offset, args))
    return tiles


def _all_bits(image: Image.Image, source: Source, swapped: list[tuple]) -> Image.Image:
    """RGB of 8 bits from the 10, 12 or 14 that an image of 16 bits uses, and not from 2, 4 or 6."""
    with _opened(source) as again:
        kind = type(again.tile[0])
        make = kind._make if hasattr(kind, "_make") else kind
        again.tile = [make(tile) for tile in swapped]
        values = np.asarray(image, np.float32) * 256 + np.asarray(again, np.float32)
    values = values / _ceiling(float(values.max()), "I")
    return Image.fromarray((values * 255).round().astype(np.uint8))


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: transparency over mid-grey, more than 8 bits scaled down to 8."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float32)
        if not np.isfinite(values).all():
            raise Unreadable("pixels that are not finite")
        values = values / _ceiling(float(values.max(initial=0)), image.mode)
        values = (values.clip(0, 1) * 255).round().astype(np.uint8)
        return Image.fromarray(values).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        over = Image.new("RGBA", image.size, (128, 128, 128, 255))
        return Image.alpha_composite(over, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _ceiling(highest: float, mode: str) -> float:
    """What stands for white: files of 16 bits often hold the 10, 12 or 14 bits of a sensor."""
    if mode.startswith("F"):
        return max(1.0, highest)
    return next((2.0**bits - 1 for bits in (8, 10, 12, 14, 16) if highest < 2**bits), highest)


def _reason(error: Exception, source: Source) -> str:
    """What is wrong with a file, in words without its path."""
    if isinstance(error, Image.UnidentifiedImageError):
        start = _bytes(source, 12)
        if start[4:8] == b"ftyp" and start[8:] in _HEIC:
            return "a HEIC image, which is not read; save it as JPEG"
        return "not an image, or damaged" if start else "empty"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower().replace("no such file or directory", "no such file")
    if isinstance(error, (OSError, ValueError, SyntaxError, EOFError)) and str(error):
        return str(error)
    return f"damaged ({type(error).__name__})"


def _bytes(source: Source, count: int = -1) -> bytes:
    if isinstance(source, io.BytesIO):
        return source.getvalue()[: None if count < 0 else count]
    with open(os.fspath(source), "rb") as file:
        return file.read(count)


# --- metadata ------------------------------------------------------------------------------------


def _without_metadata(source: Source) -> io.BytesIO | None:
    """A PNG, JPEG or TIFF file less all that pixels do not depend on; None of other files."""
    data = _bytes(source)
    if data.startswith(b"\x89PNG"):
        return io.BytesIO(data[:8] + b"".join(_png_chunks(data)))
    if data.startswith(b"\xff\xd8"):
        return io.BytesIO(b"".join(_jpeg_segments(data)))
    if data[:4] in (b"II*\0", b"MM\0*"):
        return io.BytesIO(_plain_tiff(data))
    return None


def _png_chunks(data: bytes) -> Iterator[bytes]:
    """The chunks that pixels depend on."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        if data[at + 4 : at + 8] in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            yield data[at : at + 12 + length]
        at += 12 + length


def _jpeg_segments(data: bytes) -> Iterator[bytes]:
    """All but comments and applications' segments, of which Adobe's says how colours are stored."""
    yield data[:2]
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, (length,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        if marker == 0xDA:  # the pixels follow
            break
        if not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker == 0xEE:
            yield data[at : at + 2 + length]
        at += 2 + length
    yield data[at:]


def _plain_tiff(data: bytes) -> bytes:
    """The file with a zero for every tag of its first page that says nothing of the pixels."""
    order, plain = "<" if data[:2] == b"II" else ">", bytearray(data)
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from(f"{order}H", data, entry)
        if tag not in _TIFF_PIXELS:
            struct.pack_into(f"{order}HII", plain, entry + 2, 1, 1, 0)
    return bytes(plain)
