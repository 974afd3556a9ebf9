"""Files without the metadata that keeps their pixels from being read."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

ORIENTATION = 0x0112
# Size, bits, compression, strips, tiles, palette, planes, predictor, alpha, JPEG and YCbCr.
_TIFF_PIXELS = frozenset(
    (256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324)
    + (325, 338, 339, 347, 512, 513, 514, 519, 520, 521, 529, 530, 531, 532)
)
# Where PNG files keep an orientation: EXIF as such, as ImageMagick writes it, and XMP.
_PNG_TURNED = (
    b"eXIf",
    b"tEXtRaw profile type ",
    b"zTXtRaw profile type ",
    b"iTXtXML:com.adobe.xmp",
)


def without_metadata(data: bytes) -> Iterator[io.BytesIO]:
    """A PNG, JPEG or TIFF file less what its pixels do not depend on; nothing of other files.

    Args:
        data: the file's content.

    Yields:
        First a copy that keeps what says which side is up: a sound picture must not be read
        sideways because its caption is damaged. Then one without that, which may be the damage.
    """
    for turned in (True, False):
        if data.startswith(b"\x89PNG"):
            yield io.BytesIO(data[:8] + b"".join(_png_chunks(data, turned)))
        elif data.startswith(b"\xff\xd8"):
            yield io.BytesIO(b"".join(_jpeg_segments(data, turned)))
        elif data[:4] in (b"II*\0", b"MM\0*"):
            yield io.BytesIO(_plain_tiff(data, turned))


def _png_chunks(data: bytes, turned: bool) -> Iterator[bytes]:
    """The chunks that pixels depend on."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name = data[at + 4 : at + 8]
        kept = name in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
        if kept or (turned and data.startswith(_PNG_TURNED, at + 4)):
            yield data[at : at + 12 + length]
        at += 12 + length


def _jpeg_segments(data: bytes, turned: bool) -> Iterator[bytes]:
    """All but comments and applications' segments, of which Adobe's says how colours are stored."""
    yield data[:2]
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, (length,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        if marker == 0xDA:  # the pixels follow
            break
        kept = not (0xE0 <= marker <= 0xEF or marker == 0xFE) or marker == 0xEE
        if kept or (turned and marker == 0xE1):  # EXIF or XMP
            yield data[at : at + 2 + length]
        at += 2 + length
    yield data[at:]


def _plain_tiff(data: bytes, turned: bool) -> bytes:
    """The file with a zero for every tag of its first page that says nothing of the pixels."""
    order, plain = "<" if data[:2] == b"II" else ">", bytearray(data)
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from(f"{order}H", data, entry)
        if tag not in _TIFF_PIXELS and not (turned and tag == ORIENTATION):
            struct.pack_into(f"{order}HII", plain, entry + 2, 1, 1, 0)
    return bytes(plain)
