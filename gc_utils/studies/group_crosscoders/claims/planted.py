"""Claim GC4 of notebook 04b: planted orbits.

Pure functions of numbers and tables: each returns a `Finding`, or a sentence for a reader.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, verdict
from gc_utils.studies.group_crosscoders.ground_truth import SCORES

GC4 = Claim(
    "GC4",
    short="Planted symmetry is recovered, with calibrated confidence",
    claim="planted symmetry is recovered, with calibrated confidence",
    source="ours",
    figure="04b_methods",
)
PLANTED_BOUND = 0.95  # least score of an arm that counts as recovering the planted dictionary
CALIBRATION_BOUND = 0.1  # largest mean difference of stated and measured confidence


def planted_recovery(
    arms: Mapping[str, Mapping[str, float]],
    errors: Mapping[str, float],
    controls: pd.DataFrame,
    problems: int,
) -> Finding:
    """Judge GC4: do two arms recover the planted dictionary, and is the confidence calibrated?

    Args:
        arms: The mean scores of each arm, by the names in `ground_truth.SCORES`; NaN where an arm
            found too little to be scored, which counts as short of the bound.
        errors: The calibration error of each method.
        controls: One row a trial of a control: `control`, `method`, `recall`, `symmetric`.
        problems: The number of planted problems.

    Returns:
        The finding; it cannot be asked without arms, or if no method states a confidence.
    """
    reached = sum(all(s >= PLANTED_BOUND for s in scores.values()) for scores in arms.values())
    refined = "crosscoder, refined"
    judged = refined if refined in errors else "crosscoder"
    error = errors.get(judged, math.nan)
    enough = reached > 1 and error <= CALIBRATION_BOUND
    holds = enough if arms and math.isfinite(error) else None
    value = {
        arm: ", ".join(f"{SCORES[s]} {v:.3f}" for s, v in scores.items())
        for arm, scores in arms.items()
    }
    numbers = {f"confidence off by, {m}": e for m, e in errors.items()}
    nothing = controls[controls.control == "no orbits"].recall.mean()
    numbers["planted features found where there are none"] = nothing
    given = controls.groupby("method").symmetric.mean()
    numbers |= {f"given a symmetry in controls, {m}": v for m, v in given.items()}
    value |= {name: round(float(v), 3) for name, v in numbers.items() if math.isfinite(v)}
    why = (
        f"{reached} of {len(arms)} arms reach {PLANTED_BOUND} in {', '.join(SCORES.values())}, "
        f"mean of {problems} problem{'s' * (problems != 1)}; "
    )
    if math.isfinite(error):
        why += f"confidence ({judged}) is off by {error:.2f}, {CALIBRATION_BOUND} allowed"
    else:
        why += "no method states a confidence"
    return Finding(GC4, value, verdict(holds, Evidence.KNOWN), why, evidence=Evidence.KNOWN)
