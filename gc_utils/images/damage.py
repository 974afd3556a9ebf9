"""Lost pixels that decoders fill without a word, as far as the bytes of a file tell them.

Told are, of JPEG files: data that end too early (cut, with an end mark in the middle, or with a
block missing so that too little is left), zeros where the usual tables of codes allow none, restart
marks out of order, and progressive files without their last scans. Of WebP files with loss and of
AVIF files: long runs of zeros. Other bytes that changed can be told only from the picture.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

ZEROS = bytes(256)
"""No code of a picture is that long a run of zeros, where one is looked for."""
_PADDING = bytes(8192)  # EXIF blocks are padded, and lie among the pixels of AVIF files
_EARLY = "damaged: its data end before its last pixels"
# Taken for pixels if a file lacks some, and passed over if it lacks none.
_FILLER = bytes(range(1, 255)) * 4


def damage(
    data: bytes, form: str, last: tuple[int, ...], same: Callable[[bytes], bool]
) -> str | None:
    """What is wrong with a file that was decoded; None if nothing can be told.

    Args:
        data: the file's content.
        form: Pillow's name for the format.
        last: the last pixel as it was stored and decoded.
        same: whether another file has the same pixels.
    """
    if form in ("JPEG", "MPO"):
        jpeg = _Jpeg.of(data)
        if (why := jpeg.damage(data)) is not None:
            return why
        # Decoders fill what is missing with mid-grey; a sound picture may be grey there, too.
        if jpeg.end is not None and not jpeg.progressive and set(last) <= {127, 128}:
            longer = data[: jpeg.end] + _FILLER + data[jpeg.end :]
            return None if same(longer) else _EARLY
        return None
    zeros = any(ZEROS in chunk for chunk in _lossy_webp(data)) if form == "WEBP" else False
    if form == "AVIF":
        zeros = (_PADDING if b"Exif" in data else ZEROS) in data
    return "damaged: a part of it was replaced by zeros" if zeros else None


@dataclass
class _Jpeg:
    """What the markers of a JPEG file say.

    Attributes:
        coded: where the codes of each scan begin and end.
        end: where the end mark is; None if there is none.
        progressive: whether each scan adds to all pixels.
        first_codes: the meaning of the code of zeros in each table for what is no mean.
        restarts: whether there are marks to start again from.
        missing: the bits that no scan has given yet, for each coefficient of the first component.
    """

    coded: list[tuple[int, int]] = field(default_factory=list)
    end: int | None = None
    progressive: bool = False
    first_codes: list[int] = field(default_factory=list)
    restarts: bool = False
    missing: list[int] = field(default_factory=lambda: [99] * 64)

    @classmethod
    def of(cls, data: bytes) -> _Jpeg:
        jpeg, at, component = cls(), 2, None
        while at + 4 <= len(data):
            if data[at] != 0xFF or data[at + 1] == 0xFF:  # marks may have bytes before them
                at += 1
                continue
            marker = data[at + 1]
            if marker == 0xD9:
                jpeg.end = at
                return jpeg
            (length,) = struct.unpack_from(">H", data, at + 2)
            content = data[at + 4 : at + 2 + length]
            at += 2 + length
            if marker == 0xC4:
                jpeg.first_codes += _first_codes(content)
            elif marker in (0xC0, 0xC1, 0xC2) and len(content) > 6:
                jpeg.progressive, component = marker == 0xC2, content[6]
            elif marker == 0xDD:
                jpeg.restarts = any(content)
            elif marker == 0xDA:
                count = content[0] if content else 0
                if component in content[1 : 1 + 2 * count : 2] and len(content) == 2 * count + 4:
                    start, stop, bits = content[-3:]
                    for k in range(start, min(stop, 63) + 1):
                        jpeg.missing[k] = bits & 15
                mark = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]").search(data, at)
                stop = mark.start() if mark else len(data)
                jpeg.coded.append((at, stop))
                at = stop
        if data[at:] == b"\xff\xd9":
            jpeg.end = at
        return jpeg

    def damage(self, data: bytes) -> str | None:
        # With the usual tables zeros are noise; with others they may be a plain surface.
        if not self.progressive and any(self.first_codes):
            if any(data.find(ZEROS, start, stop) >= 0 for start, stop in self.coded):
                return "damaged: a part of it was replaced by zeros"
        if self.restarts:
            for start, stop in self.coded:
                marks = re.findall(rb"\xff([\xd0-\xd7])", data[start:stop])
                if any(mark[0] != 0xD0 + i % 8 for i, mark in enumerate(marks)):
                    return "damaged: parts of it are missing"
        if self.progressive and self.coded and any(self.missing):
            return _EARLY
        return None


def _first_codes(tables: bytes) -> list[int]:
    """The meaning of the code that is all zeros, of each table but those for means."""
    found, at = [], 0
    while at + 17 < len(tables):
        if tables[at] >> 4:
            found.append(tables[at + 17])
        at += 17 + sum(tables[at + 1 : at + 17])
    return found


def _lossy_webp(data: bytes) -> Iterator[bytes]:
    """The chunks in which pixels are coded with loss: those without may hold zeros."""
    at = 12
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        if data[at : at + 4] == b"VP8 ":
            yield data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
