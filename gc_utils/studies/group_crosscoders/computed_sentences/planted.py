"""Sentences that notebook 04b prints, computed from its tables."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from gc_utils.figures.methods import METHODS
from gc_utils.studies.group_crosscoders.claims import (
    CALIBRATION_BOUND,
    NAMED_BOUND,
    PLANTED_BOUND,
    arms_that_fail,
)
from gc_utils.studies.group_crosscoders.planted_arms import (
    ARM_METHODS,
    NAMED,
    PLAIN,
    REFINED,
    UNEQUAL,
)


def arms_sentence(scores: pd.DataFrame) -> str:
    """Say in which arms the refined crosscoder recovers what was planted, and knows how well.

    Args:
        scores: From `planted_arms.arm_scores`.

    Returns:
        Two sentences: where less than the bound is found and rightly named, and where the
        confidence is not calibrated.
    """
    rows = scores[scores.method == REFINED].set_index("arm")
    if rows.empty:
        return "The refined crosscoder was not tried."
    failing = arms_that_fail(scores)

    def listed(arms: list[str], column: str) -> str:
        return ", ".join(f"{arm} ({_number(rows[column][arm])})" for arm in arms)

    text = f"The refined crosscoder finds and rightly names {NAMED_BOUND} or more of all planted "
    if failing["recovery"]:
        text += (
            f"features, but not in these arms: {listed(failing['recovery'], 'found_and_named')}."
        )
    else:
        text += f"features in each of {len(rows)} arms."
    if failing["confidence"]:
        off = listed(failing["confidence"], "confidence_error")
        return f"{text} Its confidence is not calibrated in these: {off}."
    worst = rows.confidence_error.max()
    return f"{text} Its confidence is calibrated in all, off by {worst:.2f} at most."


def weak_sentence(trials: pd.DataFrame) -> str:
    """Say whether it is the weak features that are lost where norms are unequal.

    Args:
        trials: From `planted_arms.run_arms`, with `weak`, `recall_weak` and `recall_strong`.

    Returns:
        One sentence, or nothing if no planted feature of that arm is weak.
    """
    some = trials[(trials.arm == UNEQUAL) & (trials.method == REFINED)]
    if some.empty or not (some.weak > 0).any():
        return ""
    return (
        f"Where norms are unequal, {100 * some.weak.mean():.0f} % of planted features are weaker "
        f"than half the root mean square norm: the refined crosscoder finds "
        f"{some.recall_weak.mean():.2f} of them and {some.recall_strong.mean():.2f} of the others."
    )


def encoders_sentence(scores: pd.DataFrame) -> str:
    """Compare the encoders, and refined with plain dictionaries, in the mean over arms.

    Args:
        scores: From `planted_arms.arm_scores`.

    Returns:
        One sentence with the share found and rightly named by each method.
    """
    means = scores.groupby("method", sort=False).found_and_named.mean().dropna()
    if means.empty:
        return "No method found anything."
    parts = [f"{ARM_METHODS.get(m, m)} {v:.2f}" for m, v in means.items()]
    return f"Found and rightly named of all planted, mean over arms: {'; '.join(parts)}."


def chiral_sentence(names: pd.DataFrame) -> str:
    """Say how plain and refined dictionaries name features that are symmetric only in part.

    Args:
        names: From `planted_arms.chiral_names`.

    Returns:
        One sentence for each method that found such features: how many have the name of their
        symmetric part by the raw and by the noise-corrected autocorrelation.
    """
    parts = []
    column = NAMED["part"]
    for method, rows in names.groupby(level=0, sort=False):
        raw, corrected = rows.loc[(method, "raw")], rows.loc[(method, "corrected")]
        if math.isfinite(raw[column]):
            parts.append(
                f"{method}: {100 * raw[column]:.0f} % are named by their symmetric part "
                f"({100 * corrected[column]:.0f} % by the noise-corrected ρ, "
                f"{corrected['ρ estimate']:.2f} where it is {corrected['ρ true']:.2f})"
            )
    return "\n".join(parts) or "No feature with a symmetric part was found."


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "missing"


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


def closing_ground_truth(scores: pd.DataFrame) -> str:
    """Close notebook 04b: what refining gains, and in which arm least is recovered.

    Args:
        scores: From `planted_arms.arm_scores`.

    Returns:
        One sentence.
    """
    table = scores.pivot(index="arm", columns="method", values="found_and_named")
    if not {PLAIN, REFINED} <= set(table):
        return "The plain and the refined crosscoder were not both tried."
    refined, plain = table[REFINED].fillna(0), table[PLAIN].fillna(0)
    gain, hardest = (refined - plain).mean(), refined.idxmin()
    return (
        f"Refining changes the share found and rightly named by {gain:+.2f} in the mean over arms, "
        f"from {plain.mean():.2f} to {refined.mean():.2f}; the least is recovered with {hardest} "
        f"({refined.min():.2f})."
    )


def methods_sentence(means: pd.DataFrame, oracle: float) -> str:
    """Say which method finds and rightly names most where the data are as assumed.

    Args:
        means: A row a method, with `method`, `found_and_named` and `fvu`.
        oracle: FVU of the planted dictionary with the planted codes.

    Returns:
        Two sentences: the methods that reach `NAMED_BOUND`, and what FVU says of them.
    """
    table = means.set_index("method")
    named = table.found_and_named.dropna()
    if named.empty:
        return "No method names a symmetry."
    enough = named[named >= NAMED_BOUND].index.tolist()
    fvu = table.fvu.dropna()
    text = f"{NAMED_BOUND} or more of all planted features are found and rightly named by "
    text += "; ".join(METHODS[m].name if m in METHODS else m for m in enough) or "no method"
    if fvu.empty:
        return text + "."
    low = METHODS[fvu.idxmin()].name if fvu.idxmin() in METHODS else fvu.idxmin()
    found = named.get(fvu.idxmin(), float("nan"))
    return (
        f"{text}. The noise alone leaves FVU {oracle:.3f}; the least of all methods, "
        f"{fvu.min():.3f}, is left by {low}, which finds and rightly names {_number(found)}: "
        "a low FVU does not by itself say that the features are those planted."
    )


def calibration_sentence(errors: Mapping[str, float]) -> str:
    """Say of which methods the confidence can be taken at its word.

    Args:
        errors: For each method, the mean difference of stated and measured confidence.

    Returns:
        One or two sentences.
    """
    if not errors:
        return "No method states a confidence."

    def listed(methods: list[str]) -> str:
        named = ((METHODS[m].name if m in METHODS else m, errors[m]) for m in methods)
        return "; ".join(f"{name} ({error:.2f})" for name, error in named)

    good = [m for m, e in errors.items() if e <= CALIBRATION_BOUND]
    bad = [m for m in errors if m not in good]
    text = f"Stated and measured confidence differ by {CALIBRATION_BOUND} or less, so that it "
    text += f"can be taken at its word, with: {listed(good) or 'no method'}."
    return f"{text} It cannot with: {listed(bad)}." if bad else text
