"""Labelled images for small classifiers, and how wide those are."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

from gc_utils.downloads import fetch
from gc_utils.errors import UserError, brief
from gc_utils.images.listing import typed_folder
from gc_utils.progress import progress_bar

TASKS = "digits, cifar10 or cifar10:FOLDER"
# CIFAR-10 for programs in C: plain bytes, the same images as in the version for Python, which is
# pickled.
ARCHIVE, BATCHES = "cifar-10-binary.tar.gz", "cifar-10-batches-bin"
ADDRESS = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
RECORD = 1 + 3 * 32 * 32  # bytes


@dataclass(frozen=True)
class Task:
    """Images to classify.

    Attributes:
        name: of the data.
        x, y: images to train on `(N, channels, side, side)` and their classes `(N,)`.
        test_x, test_y: to measure on.
        classes: how many.
    """

    name: str
    x: Tensor
    y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: int


def load_task(name: str = "digits", *, samples: int = 5000, seed: int = 0) -> Task:
    """A task by name.

    Args:
        name: `digits` (scikit-learn's 1797 images of 8 x 8, part of the package), `cifar10`
            (downloaded once, its checksum compared) or `cifar10:FOLDER` (that holds a copy of its
            binary version).
        samples: of CIFAR-10, to train on.
        seed: of the split, and of the choice of samples.

    Raises:
        UserError: an unknown name, or CIFAR-10 that is damaged, or neither there nor can be had.
    """
    check_task(name)
    if name == "digits":
        from sklearn.datasets import load_digits  # takes a second, which all others save
        from sklearn.model_selection import train_test_split

        data = load_digits()
        x = torch.from_numpy(data.images[:, None] / 16).float()
        y = torch.from_numpy(data.target).long()
        train, test = train_test_split(
            np.arange(len(x)), test_size=0.3, stratify=data.target, random_state=seed
        )
        return Task(name, x[train], y[train], x[test], y[test], 10)
    return _cifar10(name.partition(":")[2], samples, seed)


def check_task(name: str) -> None:
    """Refuse a task that is unknown, or whose folder is not there, without loading it.

    Raises:
        UserError: so.
    """
    kind, _, folder = str(name).partition(":")
    if kind not in ("digits", "cifar10") or (kind == "digits" and folder):
        raise UserError(f"unknown task {brief(repr(name))}: expected {TASKS}.")
    if folder:
        _check_folder(name, typed_folder(folder, "task 'cifar10:PATH': folder"))


def _check_folder(name: str, folder: Path) -> None:
    if (folder / BATCHES).is_dir() or (folder / ARCHIVE).is_file():
        return
    pickled = (folder / "cifar-10-batches-py").is_dir()
    raise UserError(
        f"task {brief(repr(name))}: {folder} does not hold {BATCHES} or {ARCHIVE}"
        + (", only the version for Python, which is pickled and never opened" if pickled else "")
        + f". Get the binary version ({ADDRESS}), or leave the folder out to download it."
    )


def _cifar10(folder: str, samples: int, seed: int) -> Task:
    rng = np.random.default_rng(seed)
    found = []
    with _batches(typed_folder(folder, "task 'cifar10:PATH': folder") if folder else None) as batch:
        parts = [[batch(f"data_batch_{i}.bin") for i in range(1, 6)], [batch("test_batch.bin")]]
    for part, most in zip(parts, (samples, max(1, samples // 5)), strict=True):
        records = np.concatenate(part)
        chosen = rng.permutation(len(records))[:most]
        pixels = torch.from_numpy(records[chosen, 1:]).view(-1, 3, 32, 32)
        found += [pixels.float() / 255, torch.from_numpy(records[chosen, 0]).long()]
    return Task("cifar10", *found, 10)


@contextmanager
def _batches(folder: Path | None) -> Iterator[Callable[[str], np.ndarray]]:
    """What reads a file of CIFAR-10 by its name: uint8 `(N, 3073)`, class and pixels of an image.

    Files of an archive are read where they are: nothing is unpacked, whatever they are called.
    """
    if folder is not None and (folder / BATCHES).is_dir():
        yield lambda name: _records(name, (folder / BATCHES / name).open("rb"))
        return
    path = (folder or Path(torch.hub.get_dir()) / "datasets") / ARCHIVE
    if folder is not None:
        if problem := _not_cifar10(path.read_bytes()):
            raise UserError(f"{path} {problem}. Get it from {ADDRESS}.")
    elif not path.is_file() or _not_cifar10(path.read_bytes()):
        otherwise = (
            f"Get {ADDRESS} where there is a network and give its folder (cifar10:FOLDER), or use "
            "'digits'."
        )
        with progress_bar(desc=ARCHIVE, unit="B", unit_scale=True) as bar:
            fetch(ADDRESS, path, _not_cifar10, otherwise, bar)
    with tarfile.open(path) as archive:
        yield lambda name: _records(name, archive.extractfile(f"{BATCHES}/{name}"))


def _not_cifar10(data: bytes) -> str:
    found = hashlib.sha256(data).hexdigest()
    return "" if found == SHA256 else f"is not the file expected: its sha256 is {found}"


def _records(name: str, file: IO[bytes]) -> np.ndarray:
    with file:
        data = np.frombuffer(file.read(), np.uint8)
    if not len(data) or len(data) % RECORD or data[::RECORD].max() > 9:
        raise UserError(
            f"CIFAR-10's {name} is damaged: expected records of {RECORD} bytes that begin with a "
            f"class from 0 to 9. Get it again from {ADDRESS}."
        )
    return data.reshape(-1, RECORD)
