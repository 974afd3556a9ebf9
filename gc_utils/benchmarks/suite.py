"""All rows of the benchmark by their names, and the table that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from gc_utils.benchmarks.comparing import Row
from gc_utils.benchmarks.distances import benchmark_distances
from gc_utils.benchmarks.extraction import benchmark_extraction
from gc_utils.benchmarks.refining import benchmark_refining
from gc_utils.benchmarks.training import benchmark_training
from gc_utils.errors import choose

SIZES = ("small", "full")
# What each row runs, by size.
ROWS: dict[str, dict[str, Callable[[], Row]]] = {
    "extraction": {
        "small": lambda: benchmark_extraction(4, repeats=3),
        "full": lambda: benchmark_extraction(16, repeats=5, naive=32),
    },
    "training": {
        "small": lambda: benchmark_training(steps=40, samples=512, repeats=1),
        "full": lambda: benchmark_training(steps=400, samples=2000, repeats=2),
    },
    "identity": {
        "small": lambda: benchmark_training(
            steps=40, samples=512, repeats=1, encode_from="identity"
        ),
        "full": lambda: benchmark_training(
            steps=400, samples=2000, repeats=2, encode_from="identity"
        ),
    },
    "refining": {
        "small": lambda: benchmark_refining("D8", 240, few=16, repeats=1),
        "full": lambda: benchmark_refining(repeats=3),
    },
    "distances": {
        "small": lambda: benchmark_distances(features=256, repeats=3),
        "full": lambda: benchmark_distances(repeats=5),
    },
    "large": {
        "full": lambda: benchmark_training(
            "D32", features=3840, samples=1024, steps=100, other_steps=20, repeats=1
        ),
    },
}


def run_rows(names: Sequence[str] = (), size: str = "small") -> Iterator[Row]:
    """Measure rows one after another.

    Args:
        names: of `ROWS`; empty for all that there are in this size.
        size: `"small"` takes two minutes on two cores, `"full"` about fifteen.

    Yields:
        Each row when it is measured.

    Raises:
        UserError: no such row or size.
    """
    choose(size, SIZES, "size")
    for name in names or [name for name, sizes in ROWS.items() if size in sizes]:
        choose(name, list(ROWS), "benchmark")
        sizes = ROWS[name]
        yield (sizes[size] if size in sizes else sizes["full"])()


def rows_table(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows as a table for readers.

    Args:
        rows: of `run_rows`.

    Returns:
        One row a task: `ours` and `other`, units a second; `times as fast` with its range over
        repeats; `difference` of the results; `compared with`.
    """
    return pd.DataFrame(
        {
            "task": row.name,
            "unit": f"{row.unit}/s",
            "ours": f"{row.ours:,.3g}" if row.ours < 1000 else f"{row.ours:,.0f}",
            "other": f"{row.others:,.3g}" if row.others < 1000 else f"{row.others:,.0f}",
            "times as fast": f"{row.ratio:.1f} ({row.low:.1f} to {row.high:.1f})",
            "difference": f"{row.agreement:.2g}",
            "which is": row.measure,
            "compared with": row.other,
        }
        for row in rows
    ).set_index("task")
