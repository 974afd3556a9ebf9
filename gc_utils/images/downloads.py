"""Photographs of a public repository: fetched once, checked one by one, kept in a cache.

`imagenet_samples` are 1,000 photographs, one of each class of ImageNet, in the repository
EliSchwartz/imagenet-sample-images. They are not ours to pass on, and the package holds only their
names, sizes and checksums, of one commit.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import torch

from gc_utils.downloads import fetch
from gc_utils.errors import UserError
from gc_utils.files import git_blob_id
from gc_utils.images.listing import typed_folder
from gc_utils.progress import progress_bar

COMMIT = "bc69043e2862758a1906c6a24a792bb28c6bb2ff"
REPOSITORY = "github.com/EliSchwartz/imagenet-sample-images"
ADDRESS = f"https://raw.githubusercontent.com/EliSchwartz/imagenet-sample-images/{COMMIT}"
AT_ONCE = 8  # files; one at a time, a thousand small ones take many minutes


class Published(NamedTuple):
    """A file as it was published: its name, its bytes, and its git blob id."""

    name: str
    size: int
    blob: str


def published() -> list[Published]:
    """The files of `imagenet_samples`, in the order of their names."""
    table = resources.files("gc_utils") / "images" / "imagenet_samples.txt"
    rows = (line.split() for line in table.read_text(encoding="utf-8").splitlines())
    return [Published(name, int(size), blob) for name, size, blob in rows]


def samples_folder() -> Path:
    """Where downloaded photographs are kept, beside torch's weights (`TORCH_HOME` moves both)."""
    return Path(torch.hub.get_dir()) / "images" / "imagenet_samples"


def imagenet_samples(folder: str | os.PathLike = "") -> list[Path]:
    """The 1,000 photographs, each checked against the checksum of its published file.

    Args:
        folder: a copy of the repository's files, of which nothing is changed; if empty, the cache,
            to which files that are missing or damaged are downloaded (110 MB in all). A download
            that was interrupted goes on with the files that it had not reached.

    Returns:
        Their paths, in the order of their names.

    Raises:
        UserError: the folder lacks a file or holds another one in its place (the first is named),
            or a download failed. Whole files that had arrived are kept.
    """
    files = published()
    what = "images 'imagenet_samples:PATH': folder"
    root = typed_folder(folder, what) if folder else samples_folder()
    if folder:
        _check_copy(root, files)
    else:
        _complete(root, files)
    return [root / file.name for file in files]


def _check_copy(root: Path, files: Sequence[Published]) -> None:
    asked = f"images 'imagenet_samples:{root}'"
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "does not exist"
        raise UserError(f"{asked}: folder {str(root)!r} {what}.")
    wrong = [(file, problem) for file in files if (problem := _problem(root, file))]
    if wrong:
        (first, problem), more = wrong[0], len(wrong) - 1
        rest = f" ({more} more of {len(files)} are wrong or missing)" if more else ""
        raise UserError(
            f"{asked}: {first.name} {problem}{rest}. Expected the files of {REPOSITORY} at commit "
            f"{COMMIT}; for other photographs use 'folder:PATH'."
        )


def _problem(root: Path, file: Published) -> str:
    """What is wrong with a file on disk; empty if it is the one published."""
    path = root / file.name
    if not path.is_file():
        return "is missing"
    return _difference(path.read_bytes(), file)


def _difference(data: bytes, file: Published) -> str:
    if len(data) != file.size:
        return f"has {len(data)} bytes, not {file.size}"
    found = git_blob_id(data)
    return "" if found == file.blob else f"has git blob id {found}, not {file.blob}"


def _complete(root: Path, files: Sequence[Published]) -> None:
    """Download what a folder lacks, several files at a time; stops at the first failure."""
    todo = [file for file in files if _problem(root, file)]
    if not todo:
        return
    bar = progress_bar(
        total=sum(f.size for f in todo), unit="B", unit_scale=True, desc="imagenet_samples"
    )
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for done in as_completed([pool.submit(_fetch, root, file) for file in todo]):
            bar.update(done.result())
    finally:  # after an interruption too: files that are on their way arrive whole or not at all
        pool.shutdown(wait=True, cancel_futures=True)
        bar.close()


def _fetch(root: Path, file: Published) -> int:
    data = fetch(
        f"{ADDRESS}/{file.name}",
        root / file.name,
        lambda data: _difference(data, file),
        "The same command goes on with what is missing of the images 'imagenet_samples'. Without a "
        f"network get the files of {REPOSITORY} at commit {COMMIT} elsewhere and name their "
        "folder: 'imagenet_samples:PATH'.",
    )
    return len(data)
