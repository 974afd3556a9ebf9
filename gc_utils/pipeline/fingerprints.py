"""Whether files are the ones that they were: by what is in them, never by anybody's clock.

A file server's clock may be behind this machine's or ahead of it, and a copy has a time of its own:
times say nothing about content. What file browsers and editors leave beside a file does not count.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from gc_utils.errors import UserError
from gc_utils.files import is_stray
from gc_utils.pipeline.record import Record, parameters_that_hold

SETTLED = 3.0  # seconds in which two writes may bear the same time, on any file system
READ = 2**30  # bytes of a folder's images that are read whenever somebody asks what they are


def checksum(path: Path, of_file: Callable[[Path], bytes] | None = None) -> str:
    """SHA-256 of a file, or of a folder's relative paths and contents.

    Args:
        path: the file or folder.
        of_file: the SHA-256 of a single file; None to read it.
    """
    total = hashlib.sha256()
    for file in files_of(path):
        if path.is_dir():
            total.update(f"{file.relative_to(path).as_posix()}\n".encode())
        total.update((of_file or _digest)(file))
    return total.hexdigest()


class Checksums:
    """Checksums of the same files again and again; what has not been touched is read only twice.

    A file is taken for untouched if the system says so of its size, place and times of change,
    and has said so for long enough that two writes would have been told apart.
    """

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], float, float, bytes]] = {}

    def __call__(self, path: Path) -> str:
        """As `checksum` of a file or folder."""
        return checksum(path, self._of_file)

    def _of_file(self, path: Path) -> bytes:
        found, now = path.stat(), time.monotonic()
        state = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)
        known = self._known.get(path)
        if known and known[0] == state and known[2] - known[1] > SETTLED:
            return known[3]
        seen = known[1] if known and known[0] == state else now
        digest = _digest(path)
        self._known[path] = (state, seen, now, digest)
        return digest


SUMS = Checksums()
"""Of this process."""


def folder_checksum(spec: str) -> str:
    """The images in the folders of a spec as they are now, as a checksum; empty without folders.

    Up to a gigabyte of images is read. Of more, their sizes and times of change stand for them.
    """
    if "folder:" not in spec and "imagenet:" not in spec:
        return ""  # and nothing is imported
    from gc_utils.images.photographs import image_files

    files = image_files(spec)
    few = sum(map(_size, files)) <= READ
    facts = "\n".join(f"{file} {_fact(file, SUMS if few else _state)}" for file in files)
    return hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def outside(values: Mapping[str, Any], records: Iterable[Record]) -> dict[str, str]:
    """What a notebook takes from outside of its run folder, as it is now: `pictures` and `files`.

    Args:
        values: the notebook's parameters.
        records: whose rules say what each parameter holds.
    """
    records = list(records)

    def all_of(kind: str) -> list[str]:
        return [values.get(name) or "" for name in parameters_that_hold(kind, records)]

    files = all_of("path") + [spec.partition(":")[2] for spec in all_of("data")]
    return {
        "pictures": "".join(map(folder_checksum, all_of("images"))),
        "files": "".join(map(file_checksum, files)),
    }


def file_checksum(path: str) -> str:
    """A file, or the files of a folder, as they are now, as a checksum; empty without one."""
    if not path or not Path(path).exists():
        return ""
    return SUMS(Path(path))[:16]


def files_of(path: Path) -> list[Path]:
    """A file itself, or the files of a folder, less those that are nobody's product."""
    if not path.is_dir():
        if path.exists() and not path.is_file():  # whoever opens a pipe waits for a writer
            raise UserError(f"{path} is neither a file nor a folder: delete it, or rename it.")
        return [path]
    os.scandir(path).close()  # what is in a folder that may not be looked into is not nothing
    inside = (p for p in path.rglob("*") if p.is_file())
    return sorted(p for p in inside if not is_stray(p.relative_to(path)))


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files of a folder."""
    return sum(file.stat().st_size for file in files_of(path))


def _digest(path: Path) -> bytes:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").digest()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _fact(path: Path, of_file: Callable[[Path], str]) -> str:
    """What is known of a file; of one that cannot be read, which is left out later, the reason."""
    try:
        return of_file(path)
    except OSError as error:
        return f"error {error.errno}"


def _state(path: Path) -> str:
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}"
