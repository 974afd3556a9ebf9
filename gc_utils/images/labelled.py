"""Labelled images for small classifiers, and how wide those are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from gc_utils.errors import UserError

TASKS = "digits, cifar10 or cifar10:FOLDER"


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
            (downloaded by torchvision to its usual folder) or `cifar10:FOLDER` (a copy of it).
        samples: of CIFAR-10, to train on.
        seed: of the split, and of the choice of samples.

    Raises:
        UserError: an unknown name, or CIFAR-10 that is neither there nor can be downloaded.
    """
    check_task(name)
    if name == "digits":
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
        raise UserError(f"unknown task {name!r}: expected {TASKS}.")
    if folder and not (Path(folder).expanduser() / "cifar-10-batches-py").is_dir():
        raise UserError(
            f"task {name!r}: {folder} does not hold cifar-10-batches-py; leave the folder out to "
            "download CIFAR-10."
        )


def _cifar10(folder: str, samples: int, seed: int) -> Task:
    from gc_utils._torchvision import torchvision

    at = Path(folder).expanduser() if folder else Path(torch.hub.get_dir()) / "datasets"
    try:
        parts = [
            torchvision.datasets.CIFAR10(at, train=train, download=not folder)
            for train in (True, False)
        ]
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"CIFAR-10 is not in {at} and could not be had ({error}). Give a folder that holds "
            "cifar-10-batches-py (cifar10:FOLDER), or use 'digits'."
        ) from error
    rng = np.random.default_rng(seed)
    found = []
    for part, most in zip(parts, (samples, max(1, samples // 5)), strict=True):
        chosen = rng.permutation(len(part.data))[:most]
        found += [
            torch.from_numpy(part.data[chosen]).permute(0, 3, 1, 2).float() / 255,
            torch.tensor(part.targets)[chosen],
        ]
    return Task("cifar10", *found, 10)
