"""Independent trials side by side, with one thread each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from joblib import Parallel, delayed, parallel_config
from threadpoolctl import threadpool_limits

from gc_utils.progress import progress_bar

IDLE = 10  # seconds after which a worker without work ends and frees its memory


def side_by_side(
    function: Callable[..., Any],
    calls: Sequence[tuple],
    *,
    workers: int = 2,
    label: str = "trials",
    progress: bool = True,
) -> Iterator[tuple[int, Any]]:
    """Call a function on many arguments, several calls at a time, and yield each result at once.

    Every call runs with one thread, so that the workers do not compete for cores, and so that a
    result does not depend on how many run. Several workers are processes of their own; a single
    worker, or a single call, runs in the caller's process, whose number of threads is afterwards
    what it was. If the loop over the results ends early, or a call raises, calls that have not
    begun are dropped.

    Args:
        function: what to call.
        calls: the positional arguments of each call.
        workers: processes, at most one a call.
        label: text in front of the progress bar.
        progress: show a bar.

    Yields:
        The number of a call in `calls` and its result, in the order in which calls end.

    Raises:
        Exception: whatever a call raised.
    """
    if not calls:
        return
    jobs = (delayed(_alone)(i, function, call) for i, call in enumerate(calls))
    workers = max(1, min(workers, len(calls)))
    with (
        parallel_config("loky", inner_max_num_threads=1, idle_worker_timeout=IDLE),
        progress_bar(total=len(calls), disable=not progress, desc=label, unit="trial") as bar,
    ):
        # Arguments are sent as they are: as memory maps, which is the default, they are read-only.
        pool = Parallel(workers, return_as="generator_unordered", max_nbytes=None)
        for result in pool(jobs):
            bar.update()
            yield result


def _alone(i: int, function: Callable[..., Any], call: tuple) -> tuple[int, Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            return i, function(*call)
    finally:  # a single worker is the caller's own process
        torch.set_num_threads(threads)
