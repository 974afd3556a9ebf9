"""Whether a picture has been seen before, whatever its file is called and holds besides."""

from __future__ import annotations

import filecmp
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np

from gc_utils.images.decoding import Look, Unreadable, pixel_digest

_NEAR = (
    8  # levels between the thumbnails of a JPEG file at an eighth and of its pixels at full size
)


class _File(Protocol):
    @property
    def path(self) -> Path | None: ...


Seen = TypeVar("Seen", bound=_File)


@dataclass
class _Shelf(Generic[Seen]):
    """Pictures of one size, with their thumbnails in one array."""

    pictures: list[tuple[Seen, Look]] = field(default_factory=list)
    thumbnails: bytearray = field(default_factory=bytearray)

    def add(self, picture: Seen, look: Look) -> None:
        self.pictures.append((picture, look))
        self.thumbnails += look.thumbnail

    def near(self, look: Look) -> list[tuple[Seen, Look]]:
        """Those whose thumbnails are about the same."""
        if not self.pictures:
            return []
        all_of_them = np.frombuffer(bytes(self.thumbnails), np.uint8).reshape(
            len(self.pictures), -1
        )
        apart = all_of_them.astype(np.int16) - np.frombuffer(look.thumbnail, np.uint8)
        return [self.pictures[i] for i in np.flatnonzero(np.abs(apart).max(1) <= _NEAR)]


class Copies(Generic[Seen]):
    """The pictures found so far, to tell whether another file holds one of them.

    Two files hold the same picture if all upright pixels are equal: metadata, what follows the
    image, and how it is compressed without loss do not count. A copy that was compressed with loss
    once more, or a JPEG file that was turned without loss, has other pixels and is not told.

    Little is kept of each, and what was decoded when a file was looked at is used. Decoded again
    are JPEG files alone, of which only an eighth was looked at: those that agree in that with
    another one and have other bytes, or look like a file of the same size that is no JPEG.
    """

    def __init__(self) -> None:
        self._by_digest: dict[bytes, list[tuple[Seen, Look]]] = {}
        self._shelves: dict[tuple[int, int, bool], _Shelf[Seen]] = {}
        self._pixels: dict[Path, bytes | None] = {}

    def first(self, picture: Seen, look: Look) -> Seen:
        """The picture with these pixels that was found first: this one, if there is none.

        Args:
            picture: something with the path of the file.
            look: what `upright_look` returned of it.
        """
        same = self._by_digest.setdefault(look.digest, [])
        other_kind = self._shelves.get((*look.size, not look.whole))
        near = other_kind.near(look) if other_kind else []
        for other, its_look in same + near:
            if self._equal(picture.path, look, other.path, its_look):
                return other
        same.append((picture, look))
        shelf = self._shelves.setdefault((*look.size, look.whole), _Shelf())
        shelf.add(picture, look)
        return picture

    def _equal(self, a: Path, look_a: Look, b: Path, look_b: Look) -> bool:
        if look_a.whole and look_b.whole:
            return look_a.digest == look_b.digest
        try:
            if filecmp.cmp(a, b, shallow=False):
                return True
        except OSError:  # it went: reading it will say so
            return False
        pixels = self._digest(a, look_a)
        return pixels is not None and pixels == self._digest(b, look_b)

    def _digest(self, path: Path, look: Look) -> bytes | None:
        """Of all pixels; None if they can no longer be read."""
        if look.whole:
            return look.digest
        if path not in self._pixels:
            try:
                self._pixels[path] = pixel_digest(path)
            except Unreadable:
                self._pixels[path] = None
        return self._pixels[path]
