"""The symmetric solution as a plateau: when a training reaches it, and when it leaves it.

Pure functions of loss curves and of tables with one row for each trained model.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

WITHIN = 0.05  # relative distance of losses that counts as agreement
AUTHORS_STEPS = 44_000  # of Adam, as the authors train
# What becomes of a training; the last two are not decided by as many steps as were made.
LEFT, STAYED, PASSED, STILL_ON, NOT_YET = "left", "stayed", "passed by", "still on it", "not yet"
DECIDED = (LEFT, STAYED, PASSED)


@dataclass(frozen=True)
class Plateau:
    """When a training is on the plateau, that is, its loss within 5 % of the closed form.

    Attributes:
        first: the first step on the plateau; None if there is none.
        last: the last step on it; None if there is none.
        left: whether the training ends off the plateau after it has been on it.
        end: the relative deviation of the last loss from the closed form.
        fate: "left", "passed by" (never on it, and below it in the end), "stayed" (on it after as
            many steps as the authors make), "still on it" or "not yet" (never on it so far).
    """

    first: int | None
    last: int | None
    left: bool
    end: float
    fate: str


def plateau(history: pd.DataFrame, least: float, within: float = WITHIN) -> Plateau:
    """Judge one loss curve.

    Args:
        history: Columns `step` and `loss`, one row or more, steps increasing.
        least: The closed form.
        within: The relative distance that counts as on the plateau.

    Returns:
        When the training is on the plateau, and what becomes of it.
    """
    off = history.loss.to_numpy() / least - 1
    steps = history.step.to_numpy()
    on = np.flatnonzero(np.abs(off) <= within)
    first, last = (int(steps[on[0]]), int(steps[on[-1]])) if len(on) else (None, None)
    left = last is not None and last < steps[-1]
    end = float(off[-1])
    if left:
        fate = LEFT
    elif last is not None:
        fate = STAYED if steps[-1] >= AUTHORS_STEPS else STILL_ON
    else:
        fate = PASSED if end < -within else NOT_YET
    return Plateau(first, last, left, end, fate)


def describe_plateau(history: pd.DataFrame, least: float) -> dict[str, float | int | str | None]:
    """One training's plateau, and what its weights are like on it and in the end.

    Args:
        history: The history that `train_rug` gives.
        least: The closed form.

    Returns:
        `first`, `last`, `left`, `end`, `fate` (see `Plateau`); `rows off on it`, the median over
        the steps on the plateau of the relative distance between the loss and what the row
        statistics give (NaN if there is none); `paired at last` and `paired in the end`, shares of
        entries in antipodal pairs at the last step on the plateau (NaN if there is none) and at the
        last step.
    """
    found = plateau(history, least)
    on = history[(history.loss / least - 1).abs() <= WITHIN]
    near = (on.foreseen / on.loss - 1).abs().median() if len(on) else np.nan
    at_last = on.paired.iloc[-1] if len(on) else np.nan
    return asdict(found) | {
        "rows off on it": float(near),
        "paired at last": float(at_last),
        "paired in the end": float(history.paired.iloc[-1]),
    }


def lengthens(models: pd.DataFrame) -> bool | None:
    """Whether the last step on the plateau grows with the number of entries.

    A model that is still on the plateau gives a lower bound: it can show that the plateau is
    longer than a smaller model's, and not that it is shorter.

    Args:
        models: Rows with `entries`, `r`, `p`, `training`, `last` and `fate`, one for each model.

    Returns:
        True if, at every r, p and way of training, each larger model stays longer than the smaller
        one; False if one does not; None where no two models can be compared.
    """
    grows = []
    on = models[models["last"].notna()]
    for _, same in on.groupby(["r", "p", "training"], sort=False):
        same = same.sort_values("entries")
        for (_, small), (_, large) in zip(
            list(same.iterrows())[:-1], list(same.iterrows())[1:], strict=True
        ):
            longer = large["last"] > small["last"]
            if small["fate"] == LEFT and (longer or large["fate"] == LEFT):
                grows.append(bool(longer))
    return all(grows) if grows else None


def largest_decided(models: pd.DataFrame) -> pd.DataFrame:
    """The models by which a claim about large models is judged.

    Args:
        models: Rows with `entries` and `fate`, one for each model.

    Returns:
        The rows with the most entries among those whose fate is decided: they left the plateau,
        passed it by, or were on it after as many steps as the authors make.
    """
    known = models[models["fate"].isin(DECIDED)]
    return known[known.entries == known.entries.max()]


def sizes_compared(models: pd.DataFrame) -> pd.DataFrame:
    """The models to compare over sizes: of one r and p, the ones with the most sizes.

    Args:
        models: Rows with `entries`, `r`, `p` and `last`, of one way of training.

    Returns:
        The rows of one r and p that have been on the plateau, by entries; empty if none has.
    """
    on = models[models["last"].notna()]
    groups = [rows for _, rows in on.groupby(["r", "p"], sort=False)]
    return max(groups, key=lambda rows: rows.entries.nunique(), default=on).sort_values("entries")
