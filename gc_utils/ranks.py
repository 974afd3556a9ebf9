"""Several processes that extract or train together, as `torchrun` starts them.

    torchrun --nproc-per-node 4 script.py

`torchrun` starts the same script several times, on one machine or on many, and numbers the
processes: their *ranks*. `extract` and `train` ask `ranks()` what part of the work is theirs.
Lightning Fabric (the extra `many`) connects the processes; without `torchrun` it is not needed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from gc_utils.errors import UserError

if TYPE_CHECKING:  # the command line asks how many processes there are without waiting for torch
    import torch

T = TypeVar("T")

# A process that a rank starts (a worker of joblib, a notebook's kernel) inherits the variables of
# torchrun and is no rank: the first process that comes here writes its number down.
_RANK_PROCESS = "GC_UTILS_RANK_PROCESS"


def _started_together() -> int:
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return 1
    if os.environ.setdefault(_RANK_PROCESS, str(os.getpid())) != str(os.getpid()):
        return 1
    return int(os.environ.get("WORLD_SIZE", "1"))


_SIZE = _started_together()


@dataclass(frozen=True)
class Ranks:
    """The processes that work together, and which of them this is.

    Attributes:
        rank: number of this process.
        size: how many there are.
        fabric: a launched `lightning_fabric.Fabric`; None for a process that is alone.
    """

    rank: int = 0
    size: int = 1
    fabric: Any = None

    @property
    def alone(self) -> bool:
        """Whether there is one process only."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes files and shows progress."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """The part of `count` things that is this process's: a run of them, equal within one.

        The first process's part is never smaller than another's.
        """
        each, more = divmod(count, self.size)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def largest_share(self, count: int) -> int:
        """Length of the longest part that `share(count)` gives to a process."""
        return -(-count // self.size)

    def wait(self) -> None:
        """Go on when every process has come here."""
        if not self.alone:
            self.fabric.barrier()

    def of_first(self, thing: T) -> T:
        """What the first process has under that name, for all: a decision, a list, tensors."""
        return thing if self.alone else self.fabric.broadcast(thing)

    def sum(self, x: torch.Tensor) -> torch.Tensor:
        """The sum of one tensor of each process, all of the same shape; no gradient passes."""
        if self.alone:
            return x
        there = x.detach().to(self.fabric.device, copy=True)  # Fabric adds up in place
        return self.fabric.all_reduce(there, reduce_op="sum").to(x.device)

    def any(self, x: torch.Tensor) -> torch.Tensor:
        """Where a bool tensor is true in at least one process."""
        return x if self.alone else self.sum(x.float()) > 0

    def gather(self, x: torch.Tensor) -> torch.Tensor:
        """One tensor of each process, all of the same shape, `(size, *x.shape)`."""
        # As a sum: Fabric's own all_gather calls a function that torch has deprecated.
        rows = x.new_zeros(self.size, *x.shape)
        rows[self.rank] = x.detach()
        return self.sum(rows)

    def largest(self, x: torch.Tensor, count: int, most: int) -> torch.Tensor:
        """Which entries of this process are among the largest of all processes.

        Args:
            x: `(n,)`, not negative; `n` may differ between processes.
            count: how many are chosen over all processes.
            most: the largest `n` of any process.

        Returns:
            Indices into `x`, int `(chosen here,)`.
        """
        if self.alone:
            return x.topk(count).indices
        values, indices = x.topk(min(count, len(x)))
        candidates = x.new_full((min(count, most),), -1.0)
        candidates[: len(values)] = values
        chosen = self.gather(candidates).flatten().topk(count).indices
        # They are in order: of those of this process the first are chosen, also if some are equal.
        return indices[: int((chosen // len(candidates) == self.rank).sum())]

    def highest(self, x: torch.Tensor, count: int) -> torch.Tensor:
        """The `count` highest of each column over all processes' rows, `(count, columns)`.

        Args:
            x: `(rows, columns)`; the number of rows may differ between processes.
            count: at most as many as there are rows in all processes together.
        """
        if self.alone:
            return x.topk(count, dim=0).values
        own = x.topk(min(count, len(x)), dim=0).values
        candidates = x.new_full((count, x.shape[1]), float("-inf"))
        candidates[: len(own)] = own
        return self.gather(candidates).flatten(0, 1).topk(count, dim=0).values


ALONE = Ranks()


@lru_cache(maxsize=1)
def ranks() -> Ranks:
    """The processes that `torchrun` has started together with this one; `ALONE` without it.

    The first call in each process waits for the others.

    Raises:
        UserError: there are several, and Lightning Fabric is not installed.
    """
    if _SIZE == 1:
        return ALONE
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.plugins.environments import TorchElasticEnvironment
        from lightning_fabric.strategies import DDPStrategy
    except ImportError as error:
        raise UserError(
            f"torchrun has started {_SIZE} processes, and they work together through Lightning "
            "Fabric, which is not installed: pip install lightning-fabric (the extra 'many' of "
            "gc_utils), or start one process without torchrun."
        ) from error
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    # The first process decodes all images and looks through the store while the others wait.
    fabric = Fabric(
        accelerator="cpu" if own_gpu() is None else "cuda",
        strategy=DDPStrategy(timeout=timedelta(days=7)),
        devices=here,
        num_nodes=_SIZE // here,
        plugins=TorchElasticEnvironment(),  # also within a job of SLURM
    )
    fabric.launch()
    return Ranks(fabric.global_rank, fabric.world_size, fabric)


def started_together() -> int:
    """How many processes `torchrun` has started together with this one, itself included."""
    return _SIZE


def own_gpu() -> str | None:
    """The GPU of this process where `torchrun` started one process for each; else None."""
    if _SIZE == 1:
        return None
    import torch

    enough = torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
    return f"cuda:{os.environ['LOCAL_RANK']}" if enough else None
