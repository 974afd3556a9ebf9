"""Batches in a shuffled order that depends on the seed and the step alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from gc_utils.activations.store import CHUNK
from gc_utils.errors import UserError


class Rows(Protocol):
    """Orbit activations that can be read by row: a tensor, or an `ActivationStore`."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray) -> torch.Tensor: ...


@dataclass
class ShuffledBatches:
    """Batches without end in shuffled order, the same for the same seed, from any step on.

    Every row is seen once an epoch. A store larger than memory is shuffled in blocks: whole chunks
    in random order, rows within a buffer of them.

    Attributes:
        data: a tensor `(N, |G|, C)` or an `ActivationStore`.
        rows: the rows to use (a training fold), int `(n,)`.
        batch_size: rows a batch.
        seed: of the order.
        buffer: rows held in memory at once; at most this many are shuffled together.
        chunk: rows that lie together on disk.
    """

    data: Rows
    rows: np.ndarray
    batch_size: int
    seed: int
    buffer: int = 16_384
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        if len(self.rows) == 0:
            raise UserError("there are no rows to train on: every sample is held out.")
        self._orders: dict[int, np.ndarray] = {}
        self._block: tuple[tuple[int, int], np.ndarray, torch.Tensor] | None = None

    def order(self, epoch: int) -> np.ndarray:
        """The rows in the order of an epoch, `(n,)`."""
        if epoch not in self._orders:
            rng = np.random.default_rng((self.seed, epoch))
            chunks = np.array_split(self.rows, max(1, len(self.rows) // self.chunk))
            shuffled = np.concatenate([chunks[i] for i in rng.permutation(len(chunks))])
            blocks = np.split(shuffled, range(self.buffer, len(shuffled), self.buffer))
            self._orders = {epoch: np.concatenate([rng.permutation(b) for b in blocks])}
        return self._orders[epoch]

    def batch(self, step: int) -> torch.Tensor:
        """The batch of a step, float32 `(batch_size, |G|, C)`."""
        parts = [self._read(*where) for where in self._parts(step)]
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def numbers(self, step: int) -> torch.Tensor:
        """Which rows of the data are in the batch of a step, int `(batch_size,)`."""
        found = [self.order(epoch)[start:stop] for epoch, _, start, stop in self._parts(step)]
        return torch.from_numpy(np.concatenate(found))

    def _parts(self, step: int) -> list[tuple[int, int, int, int]]:
        """Epoch, block, start and stop of every part of a step's batch."""
        n, parts, position = len(self.rows), [], step * self.batch_size
        missing = self.batch_size
        while missing:
            epoch, start = divmod(position, n)
            block = start // self.buffer
            stop = min(start + missing, (block + 1) * self.buffer, n)
            parts.append((epoch, block, start, stop))
            position += stop - start
            missing -= stop - start
        return parts

    def _read(self, epoch: int, block: int, start: int, stop: int) -> torch.Tensor:
        order = self.order(epoch)
        if isinstance(self.data, torch.Tensor):
            return self.data[torch.from_numpy(order[start:stop])].float()
        if self._block is None or self._block[0] != (epoch, block):
            self._block = None  # its memory, before the next one takes as much
            wanted = order[block * self.buffer : (block + 1) * self.buffer]
            # Read in the order of the disk: rows are put in theirs a batch at a time.
            read = getattr(self.data, "rows", self.data.__getitem__)
            self._block = ((epoch, block), np.argsort(np.argsort(wanted)), read(np.sort(wanted)))
        _, place, held = self._block
        first = block * self.buffer
        return held[torch.from_numpy(place[start - first : stop - first])].float()
