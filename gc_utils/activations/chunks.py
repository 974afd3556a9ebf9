"""A zarr store on disk in which a chunk that is not there, or not whole, is never read as zeros.

Zarr takes a chunk without a file for one that was never written, and fills it with zeros: what a
partial copy left out would be trained on. And what is wrong with a chunk that was cut short or
changed is said by the codec that finds out, which knows no file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr
from zarr.codecs import Crc32cCodec, ZstdCodec
from zarr.storage import LocalStore

from gc_utils.errors import Damaged, UserError
from gc_utils.files import room_for

try:  # zarr depends on the first; its early versions on the second
    from google_crc32c import value as crc32c
except ImportError:
    from crc32c import crc32c

SEALED = {"compressors": (ZstdCodec(), Crc32cCodec())}
"""For `create_array`: every chunk ends with its checksum."""


# Stores of earlier versions have no checksums, and no chunks of coordinates that are all zero.
LARGE = ("A/", "patch/")
# Files of a store that are no chunks; zarr looks for those of its earlier format too.
DESCRIPTIONS = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")


class CheckedStore(LocalStore):
    """A folder of zarr arrays all of whose chunks have been written.

    Attributes:
        remedy: what a person can do about a damaged chunk, the end of a message.
    """

    remedy = "make the store again."
    _writing = False

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        """As of any store; a chunk is looked at before it is handed out.

        Raises:
            Damaged: the chunk is missing, was cut short or has changed since it was written.
        """
        place = self.root / key
        if place.exists() and not place.is_file():  # and nobody waits for a pipe
            raise Damaged(f"{key} of {self.root} is no file: {self.remedy}")
        found = await super().get(key, *args, **kwargs)
        # Whatever an array's chunks are called: a damaged description may name them otherwise.
        if self._writing or key.rpartition("/")[2] in DESCRIPTIONS:
            return found
        sealed = self._is_sealed(key.partition("/")[0])
        if found is None and (sealed or key.startswith(LARGE)):
            raise Damaged(f"the chunk {key} of {self.root} is missing: {self.remedy}")
        if found is not None and sealed:
            data = found.to_bytes()
            if crc32c(data[:-4]) != int.from_bytes(data[-4:], "little") or len(data) < 5:
                raise Damaged(
                    f"the chunk {key} of {self.root} was cut short or changed since it was "
                    f"written: {self.remedy}"
                )
        return found

    def _is_sealed(self, name: str) -> bool:
        """Whether the chunks of an array end with their checksums."""
        known = self.__dict__.setdefault("_sealed", {})
        if name not in known:
            try:
                text = (self.root / name / "zarr.json").read_text(encoding="utf-8")
                known[name] = json.loads(text)["codecs"][-1]["name"] == "crc32c"
            except (FileNotFoundError, ValueError, LookupError, TypeError) as error:
                raise Damaged(
                    f"the zarr.json of {name} in {self.root} is missing or not what it was "
                    f"({error}): {self.remedy}"
                ) from error
        return known[name]


@contextmanager
def writing(root: zarr.Group) -> Iterator[None]:
    """Write chunks: also those that hold nothing but zeros, so that none without a file is whole.

    Args:
        root: a group in a `CheckedStore`, or in any other store.

    Raises:
        DiskFull: there is no room for a chunk.
    """
    store = root.store
    before = getattr(store, "_writing", False)
    store._writing = True  # the last chunk is read before it is written, whether it is there or not
    try:
        with zarr.config.set({"array.write_empty_chunks": True}), room_for(store.root):
            yield
    finally:
        store._writing = before


@dataclass(frozen=True)
class RowsOnDisk:
    """An array that stays on disk, indexed by rows like one of NumPy's.

    `rows[3]`, `rows[[3, 1]]`, `rows[mask]` and `rows[2:9]` read those rows and no others;
    `np.asarray(rows)` reads all.

    Attributes:
        array: whose chunks hold whole rows.
    """

    array: zarr.Array

    def __len__(self) -> int:
        return self.array.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """As of an array in memory."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        """As of an array in memory."""
        return self.array.dtype

    def __getitem__(self, rows: int | slice | Sequence[int] | np.ndarray) -> np.ndarray:
        if isinstance(rows, slice) or np.ndim(rows) == 0:
            return read(self.array, rows)
        rows = np.asarray(rows)
        if rows.dtype == bool:
            if rows.shape != (len(self),):
                raise IndexError(f"a mask of shape {rows.shape} for {len(self)} rows")
            rows = np.flatnonzero(rows)
        return gathered(self.array, rows.astype(int))

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(read(self.array), dtype)


def read(array: zarr.Array, where: Any = slice(None)) -> np.ndarray:
    """A part of an array in a store.

    Args:
        array: the array.
        where: rows, or a slice of every dimension.

    Raises:
        Damaged: what is there cannot be decoded, whatever the reason.
    """
    try:
        return np.asarray(array[where])
    except (UserError, OSError, IndexError, MemoryError, TypeError):
        raise
    except Exception as error:  # of a codec, or of NumPy: as many kinds as there are codecs
        store = array.store
        remedy = getattr(store, "remedy", CheckedStore.remedy)
        raise Damaged(
            f"the array {array.basename} of {getattr(store, 'root', store)} cannot be read "
            f"({type(error).__name__}: {error}): {remedy}"
        ) from error


def gathered(array: zarr.Array, rows: np.ndarray, columns: slice = slice(None)) -> np.ndarray:
    """Rows of an array in any order, read in whole chunks: much faster than zarr's own `oindex`.

    Args:
        array: whose chunks hold whole rows.
        rows: row numbers, int `(n,)`, 0 or more.
        columns: of the last dimension.

    Returns:
        `(n, …)`.
    """
    height = array.chunks[0]
    unique, back = np.unique(rows, return_inverse=True)
    if len(unique) and not 0 <= unique[0] <= unique[-1] < array.shape[0]:
        raise IndexError(f"rows {unique[0]} to {unique[-1]} of {array.shape[0]}")
    # Chunks that lie next to each other are read in one go, but no more than 64.
    chunks = unique // height
    ends = np.flatnonzero((np.diff(chunks) > 1) | (np.diff(chunks // 64) > 0)) + 1
    places = (slice(None),) * (array.ndim - 2) + (columns,)
    width = len(range(*columns.indices(array.shape[-1])))
    found = np.empty((len(unique), *array.shape[1:-1], width), array.dtype)
    for start, stop in zip([0, *ends], [*ends, len(unique)], strict=True):
        if stop > start:
            part = unique[start:stop]
            first = part[0] // height * height
            here = read(array, (slice(first, part[-1] + 1), *places))
            found[start:stop] = here[part - first]
    return found if np.array_equal(unique, rows) else found[back]
