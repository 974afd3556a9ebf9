"""Trained models of notebook 09: how they are trained, which ones, and when they are symmetric."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from gc_utils.errors import UserError, choose
from gc_utils.parallel import side_by_side
from gc_utils.studies.persian_rug.closed_form import best_symmetric
from gc_utils.studies.persian_rug.experiments import measure_loss
from gc_utils.studies.persian_rug.models import gaussian_loss, heaviness
from gc_utils.studies.persian_rug.plateaus import AUTHORS_STEPS, describe_plateau
from gc_utils.studies.persian_rug.training import train_rug


@dataclass(frozen=True)
class Training:
    """How a model is trained with Adam.

    Attributes:
        rate: the step size, which is constant, for a number of entries.
        batch: the number of samples of a step.
        eps: what Adam adds to the root of the mean squared gradient.
    """

    rate: Callable[[int], float]
    batch: int
    eps: float


def _authors_rate(n: int) -> float:
    return 3e-3 * n**-0.5


AUTHORS = "authors' setting"
QUARTER = "a quarter of the authors' batch"
TRAININGS = {
    AUTHORS: Training(_authors_rate, 1024, 1e-7),
    QUARTER: Training(_authors_rate, 256, 1e-7),
    "rate 3e-3, batch 256": Training(lambda n: 3e-3, 256, 1e-8),
}
SIZES = ("small", "full")  # of the grid
EVERY = 50  # steps between rows of a history


class Setting(NamedTuple):
    """One model to train: entries, r, p, the name of the training, and its steps."""

    entries: int
    r: float
    p: float
    training: str
    steps: int


def training_grid(size: str, steps: int = 0) -> list[Setting]:
    """Which models to train, small ones first.

    Args:
        size: `"small"`, which two cores train in minutes; or `"full"`: 128 to 1,024 entries for as
            many steps as the authors make, and one of 2,048 entries to step 8,000, for which two
            cores need a day.
        steps: The steps of every model, in place of the grid's own; 0 for the grid's own.

    Returns:
        The settings: the authors' setting at several entries and p, and other batches and rates.

    Raises:
        UserError: The size is neither of the two, or the steps are negative.
    """
    if steps < 0:
        raise UserError(f"{steps} steps: expected 1 or more, or 0 for the grid's own.")
    others = [name for name in TRAININGS if name != AUTHORS]
    if choose(size, SIZES, "size") == "small":
        grid = [Setting(64, 0.5, 0.1, AUTHORS, 1200)]
        grid += [Setting(128, 0.5, p, AUTHORS, 2000) for p in (0.1, 0.05, 0.2, 0.3)]
        grid += [Setting(128, 0.25, 0.1, AUTHORS, 2000)]
        grid += [Setting(128, 0.5, 0.1, name, 2000) for name in others]
        grid += [Setting(256, 0.5, 0.1, AUTHORS, 2500), Setting(512, 0.5, 0.1, AUTHORS, 3000)]
    else:
        grid = []
        for n in (128, 256, 512, 1024):
            pairs = [(0.5, p) for p in (0.1, 0.05, 0.2, 0.3)] + [(0.25, 0.1)]
            if n == 512:  # the authors' tutorial, and rarer pairs
                pairs += [(0.25, 0.045), (0.3, 0.3), (0.3, 0.5)]
            grid += [Setting(n, r, p, AUTHORS, AUTHORS_STEPS) for r, p in pairs]
            if n in (128, 512):
                grid += [Setting(n, 0.5, 0.1, name, AUTHORS_STEPS) for name in others]
        grid += [Setting(2048, 0.5, 0.1, AUTHORS, 8000)]
    return [setting._replace(steps=steps or setting.steps) for setting in grid]


def measure_trained(
    grid: Iterable[Setting],
    *,
    samples: int = 4000,
    seed: int = 0,
    keep: Path | None = None,
    workers: int = 2,
    progress: bool = True,
) -> tuple[pd.DataFrame, dict[Setting, pd.DataFrame]]:
    """Train the models of a grid, several at a time, and measure them.

    Args:
        grid: The settings, no two of them equal.
        samples: The number of samples for a loss on fresh data.
        seed: The seed of the trainings; the data of the losses have the next one.
        keep: The folder of checkpoints, from which a stopped run goes on; None for none.
        workers: The number of processes, each with one thread.
        progress: Whether to show a bar.

    Returns:
        A table with one row for each setting, in their order, and the trainings' histories by
        setting. Columns: `model`, the fields of `Setting`; `loss` on fresh data after training,
        `gap` and `error` (relative to the closed form); `row statistics off by` (relative to the
        loss), `kurtosis` and `diagonal_spread` of the trained weights; and those of
        `describe_plateau`, judged by the history.

    Raises:
        UserError: A training's name is unknown.
    """
    grid = list(grid)
    for setting in grid:
        choose(setting.training, TRAININGS, "training")
    longest = sorted(grid, key=_work, reverse=True)  # first, so that no worker waits for it
    calls = [(setting, samples, seed, keep) for setting in longest]
    trainings = side_by_side(
        _train, calls, workers=workers, label="trained models", progress=progress
    )
    found = {longest[i]: made for i, made in trainings}
    rows = [found[setting][0] for setting in grid]
    histories = {setting: found[setting][1] for setting in grid}
    return pd.DataFrame(rows, columns=None if rows else COLUMNS), histories


COLUMNS = [
    *("model", *Setting._fields, "loss", "gap", "error"),
    *("row statistics off by", "kurtosis", "diagonal_spread"),
    *("first", "last", "left", "end", "fate"),
    *("rows off on it", "paired at last", "paired in the end"),
]


def _work(setting: Setting) -> float:
    """How long a training takes, up to a factor: the products of its matrices."""
    n, r, _, name, steps = setting
    return r * n**2 * TRAININGS[name].batch * steps


def _train(
    setting: Setting, samples: int, seed: int, keep: Path | None
) -> tuple[dict[str, float | str | None], pd.DataFrame]:
    """One row of `measure_trained`, and the history."""
    n, r, p, name, steps = setting
    how = TRAININGS[name]
    options = {"steps": steps, "lr": how.rate(n), "batch": how.batch, "eps": how.eps}
    model, history = train_rug(
        n, round(r * n), p, **options, seed=seed, every=EVERY, keep=keep and Path(keep)
    )
    row = {"model": "trained"} | setting._asdict() | measure_loss(model, n, r, p, samples, seed + 1)
    row |= {"row statistics off by": gaussian_loss(model, p) / row["loss"] - 1}
    row |= heaviness(model) | describe_plateau(history, best_symmetric(p, r).loss)
    return {column: row[column] for column in COLUMNS}, history
