"""What a record says of a notebook, and what several of them say together.

Everything that has to know about a notebook reads it from its record: the runner, the checks of
parameters, what is stale, the tables of the README, the report and the tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from gc_utils.pipeline.rules import Rule

# What any notebook may leave at the top of a run folder, whether its record names it or not: a
# table that a person adds to a notebook counts. Whatever else is in a run folder is left alone.
ALWAYS = (
    "*.zarr",
    "*.safetensors",
    "*.csv",
    "*.parquet",
    "*.npz",
    "checkpoints/*",
    "figures/*.png",
    "results/*.json",
)


@dataclass(frozen=True)
class Paper:
    """A paper whose claims are tested: `study` is its folder in `gc_utils/studies`."""

    title: str
    arxiv: str
    study: str


@dataclass(frozen=True)
class Record:
    """What has to be known about a notebook.

    Attributes:
        number: the beginning of its name, "04b" of `04b_ground_truth`.
        needs: numbers of the notebooks whose products it reads.
        uses: numbers of further ones, read if they are there.
        makes: patterns of its products, relative to the run folder, less figures and findings.
        paper: the paper that it is about.
        claims: ids of the paper's claims that it tests.
        ours: ids of the claims that are our own.
        own_networks: ids of claims that it looks at on networks which it trains itself, the same
            whatever network a run names.
        presets: by preset, values of its parameters beyond those that all notebooks share.
        rules: by parameter, which values make sense.
    """

    number: str
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    paper: Paper | None = None
    claims: tuple[str, ...] = ()
    ours: tuple[str, ...] = ()
    own_networks: tuple[str, ...] = ()
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rules: Mapping[str, Rule] = field(default_factory=dict)


def rules_of(records: Iterable[Record]) -> dict[str, Rule]:
    """The rules of all records, by parameter; they hold in notebooks without a record too.

    Raises:
        ValueError: two records disagree.
    """
    return union((record.rules for record in records), "rules")


def parameters_that_hold(kind: str, records: Iterable[Record]) -> list[str]:
    """Names of the parameters whose values are of a kind, such as `"images"` (see `Rule.holds`)."""
    return [name for name, rule in rules_of(records).items() if rule.holds == kind]


def image_parameters(records: Iterable[Record]) -> list[str]:
    """Names of the parameters that say where images come from."""
    return parameters_that_hold("images", records)


def number_of(name: str) -> str:
    """The number that a notebook's name begins with, "04b" of "04b_ground_truth"."""
    return name.split("_")[0]


def record_of(number: str, records: Iterable[Record]) -> Record:
    """The record of a notebook's number; without one it is somebody's own, and needs nothing."""
    return next((record for record in records if record.number == number), Record(number))


def is_named(product: str, patterns: Iterable[str]) -> bool:
    """Whether one of some patterns, as in `Record.makes`, names a product of a run folder."""
    parts = product.split("/")
    return any(
        len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))
        for wanted in (pattern.split("/") for pattern in patterns)
    )


def papers(records: Iterable[Record]) -> dict[Paper, list[Record]]:
    """The papers in the notebooks' order, and the records of each."""
    found: dict[Paper, list[Record]] = {}
    for record in records:
        if record.paper:
            found.setdefault(record.paper, []).append(record)
    return found


def union(parts: Iterable[Mapping[str, Any]], what: str) -> dict[str, Any]:
    """Several mappings as one; a parameter means the same in all notebooks."""
    whole: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            if whole.setdefault(name, value) != value:
                raise ValueError(f"two {what} of {name!r}: {whole[name]!r} and {value!r}")
    return whole
