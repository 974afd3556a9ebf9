"""Claim GC4 of notebook 04b: planted orbits.

Pure functions of numbers and tables: each returns a `Finding`, or a sentence for a reader.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, verdict
from gc_utils.studies.group_crosscoders.planted_arms import ARM_METHODS, REFINED

GC4 = Claim(
    "GC4",
    short="Planted symmetry is recovered, with calibrated confidence",
    claim="planted symmetry is recovered, with calibrated confidence",
    source="ours",
    figure="04b_arms",
)
PLANTED_BOUND = 0.95  # least mean cosine with a planted dictionary that counts as its recovery
NAMED_BOUND = 0.9  # least share of all planted features that is to be found and rightly named
CALIBRATION_BOUND = 0.1  # largest mean difference of stated and measured confidence


def arms_that_fail(scores: pd.DataFrame, method: str = REFINED) -> dict[str, list[str]]:
    """The arms in which a method does not do what GC4 says.

    Args:
        scores: From `planted_arms.arm_scores`.
        method: The method.

    Returns:
        `"recovery"`: the arms in which less than `NAMED_BOUND` of all planted features are found
        and rightly named; `"confidence"`: those in which stated and measured confidence differ by
        more than `CALIBRATION_BOUND`, or none is stated. A score that is missing fails.
    """
    rows = scores[scores.method == method]
    return {
        "recovery": rows.arm[~(rows.found_and_named >= NAMED_BOUND)].tolist(),
        "confidence": rows.arm[~(rows.confidence_error <= CALIBRATION_BOUND)].tolist(),
    }


def planted_recovery(
    scores: pd.DataFrame, errors: Mapping[str, float], controls: pd.DataFrame, problems: int
) -> Finding:
    """Judge GC4 by the refined crosscoder with the orbit encoder, which the notebooks recommend.

    It has to find and rightly name `NAMED_BOUND` of all planted features in *every* arm, and its
    confidence may be off by `CALIBRATION_BOUND` at most in every arm.

    Args:
        scores: What methods find and name, from `planted_arms.arm_scores`.
        errors: The calibration error of each method where equivariance is broken.
        controls: One row a trial of a control: `control`, `method`, `recall`, `symmetric`.
        problems: The number of planted problems of each arm.

    Returns:
        The finding; it cannot be asked if the refined crosscoder was not tried, or states no
        confidence in any arm.
    """
    rows = scores[scores.method == REFINED]
    worst = rows.confidence_error.max()
    failing = arms_that_fail(scores)
    holds = None if math.isnan(worst) else not (failing["recovery"] or failing["confidence"])
    value: dict[str, object] = {}
    for arm, some in scores.groupby("arm", sort=False):
        value[f"{arm}: found, and rightly named too"] = "; ".join(
            f"{ARM_METHODS[r.method]} {r.recall:.2f}, {r.found_and_named:.2f}"
            for r in some.itertuples()
        )
    numbers = {
        f"confidence off by, refined, {r.arm}": r.confidence_error for r in rows.itertuples()
    }
    numbers |= {f"confidence off by, equivariance broken, {m}": e for m, e in errors.items()}
    nothing = controls[controls.control == "no orbits"].recall.mean()
    numbers["planted features found where there are none"] = nothing
    given = controls.groupby("method").symmetric.mean()
    numbers |= {f"given a symmetry in controls, {m}": v for m, v in given.items()}
    value |= {name: round(float(v), 3) for name, v in numbers.items() if math.isfinite(v)}
    value["planted problems of each arm"] = problems
    if math.isnan(worst):
        why = "the refined crosscoder was not tried, or states no confidence"
    else:
        why = f"refined names {NAMED_BOUND} or more of all planted in "
        why += _arms(len(rows), failing["recovery"]) + f"; confidence off by {worst:.2f} at most"
        silent = int(rows.confidence_error.isna().sum())
        why += f", none stated in {silent} arm{'s' * (silent != 1)}" if silent else ""
    return Finding(GC4, value, verdict(holds, Evidence.KNOWN), why, evidence=Evidence.KNOWN)


def _arms(count: int, failing: list[str]) -> str:
    """So many of all arms, and which not: two by name."""
    text = f"{count - len(failing)} of {count} arms"
    if not failing:
        return text
    named = failing if len(failing) < 3 else [failing[0], f"{len(failing) - 1} more"]
    return f"{text}, not {', '.join(named)}"
