"""Image files become upright RGB pixels, or an error that says what is wrong with them.

Whatever a camera, a browser or a broken disk wrote: the pixels of a sound image are never lost to
metadata that is not sound, and a file raises `Unreadable` if Pillow or `gc_utils.images.damage` can
tell that it is damaged: not every lost block can be told from a picture.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gc_utils.images.damage import damage
from gc_utils.images.deep import Deep, white
from gc_utils.images.metadata import ORIENTATION, without_metadata

Source = Path | io.BytesIO

SUFFIXES = frozenset(
    ".apng .avif .bmp .dib .gif .j2k .jfif .jp2 .jpe .jpeg .jpg .jpx .mpo .pbm .pgm .png .pnm .ppm "
    ".tif .tiff .webp".split()
)
"""The endings of files that are read."""
UNREAD = frozenset(
    ".3fr .arw .cr2 .cr3 .crw .dng .erf .exr .fff .hdr .heic .heif .hif .iiq .jxl .nef .nrw .orf "
    ".pef .psd .raf .raw .rw2 .rwl .sr2 .srw .svg .tga .thm .xcf".split()
)
"""The endings of files that are images too, but are not read."""
READ = "JPEG, PNG, TIFF, WebP, GIF, BMP, JPEG 2000, AVIF and PPM files are read"
# Not all that Pillow knows: it would start Ghostscript for what begins like PostScript.
FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "DIB", "PPM", "JPEG2000", "AVIF")
_BEGINNINGS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*"),
    *(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
)
_LARGE = 256  # JPEG files with a shorter side are decoded whole: an eighth would show too little
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
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
    """Whether a file with an unknown ending or none begins like an image of the usual kinds."""
    try:
        with path.open("rb") as file:
            start = file.read(12)
    except OSError:
        return False
    riff = start[:4] == b"RIFF" and start[8:] == b"WEBP"
    boxes = start[4:8] == b"ftyp" and start[8:] in (b"avif", b"avis", *_HEIC)
    bitmap = start[:2] == b"BM" and start[6:10] == bytes(4)  # "BM" alone may begin a text
    return start.startswith(_BEGINNINGS) or riff or boxes or bitmap


@dataclass(frozen=True)
class Look:
    """What is known of an image once its pixels are decoded (those of a large JPEG at an eighth).

    Attributes:
        height: for `upright_pixels`.
        width: for `upright_pixels`.
        size: height and width of the upright image, before it is reduced.
        whole: whether all pixels were decoded.
        digest: of the pixels that were decoded and their size.
        thumbnail: 4 by 4 pixels.
    """

    height: int
    width: int
    size: tuple[int, int]
    whole: bool
    digest: bytes
    thumbnail: bytes


def upright_look(source: Source, largest: int) -> Look:
    """Look at an image: whether it can be read, how large it is, and what tells it from others.

    Args:
        source: the file.
        largest: a shorter side with more pixels is reduced to this.

    Raises:
        Unreadable: the file is no image, damaged, or far too large.
    """

    def look(image: Image.Image) -> Look:
        if isinstance(source, Path) and _is_figure(image, source.stem):
            raise Unreadable("a figure that a notebook made")
        width, height = image.size
        if min(width, height) >= _LARGE:
            image.draft("RGB", (width // 8, height // 8))
        reduced = image.size != (width, height)
        rgb, sideways = _upright(image, source)
        _refuse_lost_pixels(image, source)
        if not reduced:
            width, height = rgb.size
        elif sideways:
            width, height = height, width
        shrink = max(min(height, width) / largest, 1)
        # The squares at the edges of an eighth reach beyond the image.
        box = (0, 0, width / 8, height / 8) if reduced else None
        return Look(
            round(height / shrink),
            round(width / shrink),
            (height, width),
            not reduced,
            _digest(rgb, (height, width)),
            rgb.resize((4, 4), Image.Resampling.BOX, box).tobytes(),
        )

    return _read(source, look)


def _refuse_lost_pixels(image: Image.Image, source: Source) -> None:
    """Raise `Unreadable` for an image that was decoded though it lacks pixels, if that is told."""
    if image.format not in ("JPEG", "MPO", "WEBP", "AVIF"):
        return

    def same(data: bytes) -> bool:
        with _opened(io.BytesIO(data)) as other:
            if other.size != image.size:
                other.draft("RGB", image.size)
            return other.size != image.size or other.tobytes() == image.tobytes()

    last = image.getpixel((image.width - 1, image.height - 1))
    last = last if isinstance(last, tuple) else (last,)
    why = None
    with suppress(Exception):  # a file that is built in another way tells nothing
        why = damage(_bytes(source), image.format, last, same)
    if why is not None:
        raise Unreadable(why)


def upright_size(source: Source, largest: int) -> tuple[int, int]:
    """Height and width for `upright_pixels`; see `upright_look`."""
    look = upright_look(source, largest)
    return look.height, look.width


def pixel_digest(source: Source) -> bytes:
    """Digest of all pixels of an image, as the one of a `Look` that is whole.

    Raises:
        Unreadable: the file is no image, damaged, or far too large.
    """

    def look(image: Image.Image) -> bytes:
        rgb = _upright(image, source)[0]
        return _digest(rgb, rgb.size[::-1])

    return _read(source, look)


def _digest(rgb: Image.Image, size: tuple[int, int]) -> bytes:
    found = hashlib.sha256(repr((size, rgb.size)).encode())
    width, height = rgb.size
    for top in range(0, height, 64):  # a copy of all pixels would take as much memory again
        found.update(rgb.crop((0, top, width, min(top + 64, height))).tobytes())
    return found.digest()


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
        with suppress(Exception):  # the first error says more
            for bare in without_metadata(_bytes(source)):
                with suppress(Exception), _opened(bare) as image:
                    return look(image)
        raise Unreadable(_reason(error, source)) from error


@contextmanager
def _opened(source: Source) -> Iterator[Image.Image]:
    """An image of one of our formats, without the warnings of what is wrong with its metadata."""
    Image.init()
    logger = logging.getLogger("PIL")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    formats = [f for f in FORMATS if f in Image.OPEN]
    try:
        with warnings.catch_warnings(), ExitStack() as stack:
            warnings.simplefilter("ignore")
            # Never by its path: Pillow would map an uncompressed TIFF file into memory, with height
            # and width exchanged if an orientation lays it on its side.
            file = (
                source
                if isinstance(source, io.BytesIO)
                else stack.enter_context(open(source, "rb"))
            )
            file.seek(0)
            yield stack.enter_context(Image.open(file, formats=formats))
    finally:
        logger.setLevel(level)


def _is_figure(image: Image.Image, stem: str) -> bool:
    """Whether a PNG file is one of `gc_utils.figures.save_figure`, by what is written in it."""
    texts = image.info
    return stem[:2].isdigit() and texts.get("Title") == stem and "Description" in texts


def _upright(image: Image.Image, source: Source) -> tuple[Image.Image, bool]:
    """RGB, turned once, and whether it lay on its side as it was stored."""
    deep = Deep.of(image)
    image.load()
    turn = None
    if image.format != "TIFF":  # which Pillow has turned while it loaded
        with suppress(Exception):  # a tag that cannot be read says nothing
            turn = _TURNS.get(image.getexif().get(ORIENTATION))
    if deep is not None and deep.misread(image):
        image = deep.read(lambda: _opened(source))
    rgb = _to_rgb(image)
    if turn is not None:
        rgb = rgb.transpose(turn)
    return rgb, turn in [_TURNS[k] for k in (5, 6, 7, 8)]


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB: transparency over mid-grey, more than 8 bits scaled down to 8."""
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image, dtype=np.float32)
        if not np.isfinite(values).all():
            raise Unreadable("pixels that are not finite")
        values = values / white(float(values.max(initial=0)), image.mode)
        values = (values.clip(0, 1) * 255).round().astype(np.uint8)
        return Image.fromarray(values).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        over = Image.new("RGBA", image.size, (128, 128, 128, 255))
        return Image.alpha_composite(over, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


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
