"""Orbits by rows: in memory where they fit, read from their store again and again where not.

What is computed of many orbits takes any of three: a tensor `(N, |G|, C)`, an `ActivationStore`, or
some of a store's rows (`StoredOrbits`). All three have a length and a shape, give rows by their
numbers, and come apart by `split`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gc_utils.activations.store import ActivationStore

HELD = 2**30  # bytes of activations that are held in memory; more are read as they are needed
FEW = 2000  # orbits from which something is estimated that needs no more
AT_ONCE = 512  # orbits that a sum is taken over at a time


@dataclass(frozen=True)
class StoredOrbits:
    """Rows of a store that stay on disk.

    Attributes:
        store: the activation store.
        numbers: the rows, int `(n,)`, in rising order.
    """

    store: ActivationStore
    numbers: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(n, |G|, C)`."""
        return (len(self), *self.store.shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        """Type that holds the activations."""
        return self.store.dtype

    def __getitem__(self, rows: np.ndarray | torch.Tensor | slice) -> torch.Tensor:
        if isinstance(rows, list) and not rows:
            rows = np.array([], int)
        return self.store.rows(self.numbers[rows])

    def split(self, size: int) -> Iterator[torch.Tensor]:
        """All rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]


@dataclass(frozen=True)
class StoredViews:
    """The single views of orbits that stay on disk, as a sparse autoencoder sees them.

    Attributes:
        orbits: of which.
    """

    orbits: ActivationStore | StoredOrbits

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(n · |G|, 1, C)`."""
        count, order, channels = self.orbits.shape
        return count * order, 1, channels

    def split(self, size: int) -> Iterator[torch.Tensor]:
        """All views in order, `size` at a time: of as many orbits as that in one go."""
        for part in self.orbits.split(size):
            yield from part.reshape(-1, 1, part.shape[2]).split(size)


Orbits = torch.Tensor | ActivationStore | StoredOrbits


def orbits_of(
    store: ActivationStore, numbers: np.ndarray | None = None, *, most: int = HELD
) -> torch.Tensor | StoredOrbits:
    """Rows of a store: a tensor of the type that holds them, or left on disk if that is large.

    Args:
        store: the activation store.
        numbers: the rows, int `(n,)`, in rising order; None for all.
        most: bytes to hold in memory.
    """
    numbers = np.arange(len(store)) if numbers is None else numbers
    found = StoredOrbits(store, numbers)
    held = np.prod(found.shape, dtype=float) * found.dtype.itemsize
    return found[:] if held <= most else found


def spread_over(
    store: ActivationStore, step: int, numbers: np.ndarray | None = None, *, most: int = FEW
) -> torch.Tensor:
    """Orbits spread over a store, in memory: every `step`-th, or fewer of a large store.

    Args:
        store: the activation store.
        step: 8 for every eighth orbit.
        numbers: of the rows to choose from, int `(n,)`; None for all.
        most: orbits at most.

    Returns:
        float32 `(≤ most, |G|, C)`.
    """
    numbers = np.arange(len(store)) if numbers is None else numbers
    return store[numbers[:: max(step, -(-len(numbers) // most))]]


def some_of(orbits: torch.Tensor | StoredOrbits, mask: np.ndarray) -> torch.Tensor | StoredOrbits:
    """Some of the orbits: a tensor if they are one, or if they are few enough to be held.

    Args:
        orbits: from `orbits_of`.
        mask: which, bool `(n,)`.
    """
    if isinstance(orbits, torch.Tensor):
        return orbits[mask]
    return orbits_of(orbits.store, orbits.numbers[mask])


def single_views(orbits: Orbits) -> torch.Tensor | StoredViews:
    """The views of all orbits one by one, `(N · |G|, 1, C)`."""
    if isinstance(orbits, torch.Tensor):
        return orbits.reshape(-1, 1, orbits.shape[2])
    return StoredViews(orbits)


def mean_response(orbits: Orbits) -> torch.Tensor:
    """The mean over all orbits and elements, float32 `(C,)`; summed in double precision."""
    total = torch.zeros(orbits.shape[2], dtype=torch.float64)
    for part in orbits.split(AT_ONCE):
        total += part.cpu().float().sum((0, 1), dtype=torch.float64)
    return (total / (orbits.shape[0] * orbits.shape[1])).float()
