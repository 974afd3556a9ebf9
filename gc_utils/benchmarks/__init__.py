"""How fast it is: rows against the naive way and against peers, growth, a plan for large data."""

from gc_utils.benchmarks.comparing import Row, compare
from gc_utils.benchmarks.growth import GROWTH, grow
from gc_utils.benchmarks.machine import describe_machine
from gc_utils.benchmarks.plan import Rates, imagenet_plan
from gc_utils.benchmarks.suite import ROWS, SIZES, rows_table, run_rows

__all__ = [
    "GROWTH",
    "ROWS",
    "Rates",
    "Row",
    "SIZES",
    "compare",
    "describe_machine",
    "grow",
    "imagenet_plan",
    "rows_table",
    "run_rows",
]
