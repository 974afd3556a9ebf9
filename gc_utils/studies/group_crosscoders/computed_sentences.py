"""Sentences that notebooks 04, 04b and 04c print, computed from their tables."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from gc_utils.studies.group_crosscoders.claims import LEVEL, PLANTED_BOUND
from gc_utils.studies.group_crosscoders.ground_truth import SCORES
from gc_utils.studies.group_crosscoders.half_turn import HalfTurn
from gc_utils.studies.group_crosscoders.tied_beside_untied import Agreement


def members_sentence(pairs: pd.DataFrame) -> str:
    """Say how near the members of a family are to being one feature, rotated.

    Args:
        pairs: One row a pair of members: `distance`, 0 for rotated copies, and `family`.

    Returns:
        One sentence with the median distance over all pairs.
    """
    if not len(pairs):
        return "No family has two members, so no distances within families can be given."
    share = float((pairs.distance <= 0.1).mean())
    return (
        f"The median orbit distance within {pairs.family.nunique()} families is "
        f"{pairs.distance.median():.2f}; {100 * share:.0f} % of {len(pairs)} pairs are rotated "
        "copies of one feature (distance 0.1 or less)."
    )


def shrinkage_sentence(table: pd.DataFrame, penalised: str = "l1", other: str = "top-k") -> str:
    """Say whether the L1 penalty shrank blocks more than the fixed sparsity did.

    Args:
        table: A column a crosscoder, with the row "median stretch".
        penalised: The column of the crosscoder with the penalty.
        other: The column of the crosscoder without.

    Returns:
        One sentence with both numbers.
    """
    a, b = float(table.loc["median stretch", penalised]), float(table.loc["median stretch", other])
    if not (math.isfinite(a) and math.isfinite(b)):
        return "Too few features fire to say how far the L1 penalty shrank their blocks."
    more = "further" if abs(a - 1) > abs(b - 1) else "no further"
    return (
        f"Blocks would have to be stretched by {a:.2f} in the median under the L1 penalty and by "
        f"{b:.2f} under {other}: the penalised lengths are {more} from what the data ask for."
    )


def closing_symmetry(orbit: HalfTurn, identity: HalfTurn) -> str:
    """Close notebook 04: do curves and lines differ, and for both encoders?

    Args:
        orbit: The comparison with the orbit encoder.
        identity: The comparison with the identity encoder.

    Returns:
        One sentence.
    """
    asked = {"orbit": orbit, "identity": identity}
    asked = {name: one for name, one in asked.items() if math.isfinite(one.p)}
    if not asked:
        return (
            "Whether lines and curves differ after a rotation by 180° cannot be said here: with "
            "neither encoder are there three features of each kind."
        )
    differ = [name for name, one in asked.items() if one.p < LEVEL]
    values = ", ".join(f"p = {one.p:.2g} with the {name} encoder" for name, one in asked.items())
    verb = {0: "do not differ", len(asked): "differ"}.get(len(differ), "differ in part")
    return f"After a rotation by 180° lines and curves {verb} at the level {LEVEL} ({values})."


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


def growth_sentence(growth: pd.DataFrame) -> str:
    """Say whether a larger dictionary has more families, or more features in each.

    Args:
        growth: One row a size: `features`, `families` and `features a family`.

    Returns:
        One sentence that compares the smallest and the largest dictionary.
    """
    if len(growth) < 2:
        return "Only one size of dictionary was trained, so its growth cannot be judged."
    rows = growth.sort_values("features")
    first, last = rows.iloc[0], rows.iloc[-1]
    families = last["families"] / first["families"]
    copies = last["features a family"] / first["features a family"]
    if not (math.isfinite(families) and math.isfinite(copies)):
        return "A dictionary without features that fire has no families to count."
    more = "families" if families > copies else "features in each family"
    return (
        f"From {first['features']:.0f} to {last['features']:.0f} features, the number of families "
        f"grows by a factor {families:.2f} and the features in each by {copies:.2f}: the larger "
        f"dictionary has mainly more {more}."
    )


def closing_tied(table: pd.DataFrame, agreement: Agreement) -> str:
    """Close notebook 04c: what tying changes, beside a dictionary of the same size.

    Args:
        table: The columns `tied` and `untied` of `compare_tied`.
        agreement: Of the tied families with clusters of the untied features.

    Returns:
        One sentence with the change of the FVU, of its orientation part, and of the parameters.
    """
    t, u = table["tied"], table["untied"]
    gap, orientation = t["FVU"] - u["FVU"], t["orientation part"] - u["orientation part"]
    if not math.isfinite(gap):
        return "What tying changes cannot be said: an FVU is missing."
    word = "more" if gap > 0 else "no more"
    part = "more" if orientation > 0 else "no more"
    return (
        f"With {100 * t['parameters'] / u['parameters']:.0f} % of the parameters, the tied "
        f"crosscoder leaves {word} variance unexplained than the untied one (FVU {gap:+.3f}), "
        f"and {part} of the orientation part ({orientation:+.3f}); its families agree with "
        f"clusters of untied features by {agreement.mutual_information:.2f} (adjusted mutual "
        "information)."
    )
