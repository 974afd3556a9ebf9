"""One row of a benchmark: the same task done in two ways in turn, several times, and compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """What a comparison has measured.

    Attributes:
        name: of the task.
        unit: what is counted, such as "crops".
        ours: units a second of this package, the median over repeats.
        other: what it is compared with.
        others: units a second of that.
        ratio: how many times as fast ours is, the median over repeats.
        low, high: the smallest and the largest ratio of a repeat.
        agreement: how far the two results differ, as `measure` says.
        measure: what `agreement` is, in words.
        repeats: how often both were run.
        note: what else there is to know.
    """

    name: str
    unit: str
    ours: float
    other: str
    others: float
    ratio: float
    low: float
    high: float
    agreement: float
    measure: str
    repeats: int
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """All of it, as JSON holds it."""
        return asdict(self)


def timed(function: Callable[[], T]) -> tuple[float, T]:
    """Seconds that a call took, and what it returned."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def compare(
    name: str,
    ours: Callable[[], T],
    others: Callable[[], T],
    differ: Callable[[T, T], float],
    *,
    count: float,
    unit: str,
    other: str,
    measure: str,
    repeats: int = 3,
    other_count: float | None = None,
    note: str = "",
) -> Row:
    """Run two ways of doing the same in turn, so that both meet the same machine.

    Args:
        name: of the task.
        ours, others: do it; what they return is compared.
        differ: the difference of two results.
        count: units that a call of `ours` does.
        unit: their name.
        other: name of what it is compared with.
        measure: what `differ` returns, in words.
        repeats: how often both run, after a first run of each that is not counted.
        other_count: units that a call of `others` does, if it does less, being slow.
        note: for the reader.

    Returns:
        The row.
    """
    found, expected = ours(), others()  # memory, caches and threads are there from now on
    mine, theirs = [], []
    for _ in range(repeats):
        mine.append(timed(ours)[0] / count)
        theirs.append(timed(others)[0] / (other_count or count))
    ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
    return Row(
        name,
        unit,
        1 / statistics.median(mine),
        other,
        1 / statistics.median(theirs),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        float(differ(found, expected)),
        measure,
        repeats,
        note,
    )
