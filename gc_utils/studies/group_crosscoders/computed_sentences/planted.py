"""Sentences that notebook 04b prints, computed from its tables."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from gc_utils.studies.group_crosscoders.claims import PLANTED_BOUND
from gc_utils.studies.group_crosscoders.ground_truth import SCORES


def shortfall(arms: Mapping[str, Mapping[str, float]]) -> str:
    """List the scores that keep each arm from counting as recovery.

    Args:
        arms: The mean scores of each arm.

    Returns:
        One sentence; it names every score below the bound, or says that there is none.
    """
    short = {
        arm: {SCORES[s]: v for s, v in scores.items() if not v >= PLANTED_BOUND}
        for arm, scores in arms.items()
    }

    def number(value: float) -> str:
        return f"{value:.3f}" if math.isfinite(value) else "missing"

    def listed(low: Mapping[str, float]) -> str:
        return ", ".join(f"{score} {number(value)}" for score, value in low.items())

    parts = [f'"{arm}" in {listed(low)}' for arm, low in short.items() if low]
    if not parts:
        return f"Every score of every arm is {PLANTED_BOUND} or more."
    return f"Short of {PLANTED_BOUND} are {'; '.join(parts)}."


def kinds_sentence(cosines: pd.DataFrame) -> str:
    """Say which planted symmetry is recovered best and which worst.

    Args:
        cosines: Mean cosines, a row a method and a column a kind.

    Returns:
        One sentence about the means over methods.
    """
    means = cosines.mean().dropna()
    if len(means) < 2:
        return "Fewer than two kinds were planted, so they cannot be compared."
    return (
        f"In the mean over methods, families of symmetry {means.idxmin()} are recovered worst "
        f"(cosine {means.min():.2f}) and those of symmetry {means.idxmax()} best "
        f"({means.max():.2f})."
    )


def data_sentence(trials: pd.DataFrame, method: str = "tied crosscoder") -> str:
    """Say how much of the data a method needs for a mean cosine at the bound.

    Args:
        trials: One row a trial: `method`, `samples` and `cosine_max`.
        method: The method.

    Returns:
        One sentence with the smallest number of orbits that reaches the bound, if there is one.
    """
    cosine = trials[trials.method == method].groupby("samples").cosine_max.mean().dropna()
    if cosine.empty:
        return f'The method "{method}" was not tried.'
    enough, most = cosine[cosine >= PLANTED_BOUND], cosine.index.max()
    if enough.empty:
        return (
            f'The method "{method}" does not reach a cosine of {PLANTED_BOUND}: {cosine[most]:.2f} '
            f"from {most} orbits."
        )
    least = enough.index.min()
    return (
        f'The method "{method}" reaches a cosine of {cosine[least]:.2f} from {least} orbits, '
        f"{100 * least / most:.0f} % of the largest number tried."
    )


def breaking_sentence(trials: pd.DataFrame) -> str:
    """Say what translating and tying gain where equivariance holds, and where it is broken most.

    Args:
        trials: One row a trial: `method`, `break_equivariance` and `cosine_max`.

    Returns:
        One sentence with the differences of mean cosines, positive for a gain.
    """
    mean = trials.groupby(["method", "break_equivariance"]).cosine_max.mean().unstack()
    pairs = {
        "translating the training orbits": ("crosscoder", "crosscoder, no translation"),
        "tying": ("tied crosscoder", "crosscoder"),
    }
    parts = []
    for name, (with_it, without) in pairs.items():
        if {with_it, without} <= set(mean.index):
            gain = (mean.loc[with_it] - mean.loc[without]).dropna()
            if len(gain):
                low, high = gain.index.min(), gain.index.max()
                parts.append(
                    f"{name} changes the cosine by {gain[low]:+.2f} at a disturbance of {low:g} "
                    f"and by {gain[high]:+.2f} at {high:g}"
                )
    if not parts:
        return "The methods that assume equivariance and those that do not were not both tried."
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]


def controls_sentence(scores: pd.DataFrame) -> str:
    """Say whether planted features are found in data that does not contain them.

    Args:
        scores: Mean `recall`, indexed by control and method.

    Returns:
        One sentence about the control and method with the largest recall.
    """
    recall = scores.recall.dropna()
    if recall.empty:
        return "No control was run."
    control, method = recall.idxmax()
    if recall.max() == 0:
        return f"In none of {len(recall)} controls is a planted feature found."
    return (
        f"Of the planted features {100 * recall.max():.0f} % are found in the worst control, "
        f"{control} ({method})."
    )


def closing_ground_truth(
    arms: Mapping[str, Mapping[str, float]], errors: Mapping[str, float]
) -> str:
    """Close notebook 04b: which arm recovers most, and whose confidence is least off?

    Args:
        arms: The mean scores of each arm.
        errors: The calibration error of each method.

    Returns:
        One sentence.
    """
    cosine = {a: s["cosine_max"] for a, s in arms.items() if math.isfinite(s["cosine_max"])}
    errors = {m: e for m, e in errors.items() if math.isfinite(e)}
    if not cosine:
        return "No arm returned features that could be compared with the planted ones."
    best = max(cosine, key=cosine.get)
    text = f'The arm "{best}" comes nearest to the planted features (cosine {cosine[best]:.2f})'
    if errors:
        method = min(errors, key=errors.get)
        off = f"off by {errors[method]:.2f}"
        text += f'; the best calibrated confidence is that of "{method}" ({off})'
    return text + "."
