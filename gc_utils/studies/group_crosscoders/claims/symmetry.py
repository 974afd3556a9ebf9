"""Claims GC3, FB1, FB2, GC4, TC1, EQ1: symmetry of features, planted symmetry, equivariance.

Pure functions of numbers and tables: each returns a `Finding`, or a sentence for a reader.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, verdict
from gc_utils.groups import Group
from gc_utils.studies.group_crosscoders.claims.dictionaries import ABSTRACT, percent
from gc_utils.studies.group_crosscoders.ground_truth import SCORES
from gc_utils.studies.group_crosscoders.half_turn import HalfTurn
from gc_utils.studies.group_crosscoders.tied_beside_untied import Agreement
from gc_utils.symmetry import Equivariance

# --- GC3, FB1, FB2: symmetry ---------------------------------------------------------------------

GC3 = Claim(
    "GC3",
    short="Transform blocks show different symmetry for curves and for lines",
    claim="transform blocks characterise symmetry by themselves: curves and lines show distinct "
    "patterns of invariance and equivariance",
    words="our transform block analysis enables the automatic characterisation of feature "
    "symmetries, revealing how different geometric features (such as curves versus lines) exhibit "
    "distinct patterns of invariance and equivariance",
    source=ABSTRACT,
    figure="04_telling",
)
FB1 = Claim(
    "FB1",
    short="The known symmetry of every filter of a bank is found",
    claim="the stabiliser and mirror axis of every filter of a bank with known symmetry are found",
    source="ours",
)
FB2 = Claim(
    "FB2",
    short="A trained crosscoder recovers the filters behind its data",
    claim="a trained crosscoder recovers the orbits of the filters behind its data",
    source="ours",
)
LEVEL = 0.01  # of the test that lines and curves differ after half a turn
RECOVERED = 0.9  # least cosine of a recovered filter, and least share of them for FB2


def half_turn_patterns(
    report: pd.DataFrame, orbit: HalfTurn, identity: HalfTurn, evidence: Evidence
) -> Finding:
    """Judge GC3: do lines repeat after a rotation by 180° and curves only after a full one?

    Args:
        report: One row a feature: `label`, `period_degrees` and `stabiliser`.
        orbit: The comparison of lines and curves in the same crosscoder.
        identity: The comparison in the crosscoders with identity encoders, whose labels and blocks
            are independent.
        evidence: What network the features are of.

    Returns:
        The finding; it cannot be asked with fewer than three lines or three curves, or of a group
        without a half turn.
    """
    lines, curves = report[report.label == "line"], report[report.label == "curve"]
    repeat = int((lines.period_degrees <= 180).sum())
    whole = int((curves.period_degrees == 360).sum())
    asked = math.isfinite(orbit.p)
    holds = bool(orbit.p < LEVEL and repeat and whole) if asked else None
    value = {
        "lines": len(lines),
        "curves": len(curves),
        "lines that repeat after 180° or sooner": repeat,
        "curves that repeat only after 360°": whole,
    }
    value |= {f"median ρ(180°), {name}": m for name, m in orbit.medians().items()}
    value["p (Mann–Whitney)"] = round(orbit.p, 5) if asked else 1.0
    sizes = {"lines": len(identity.lines), "curves": len(identity.curves)}
    value |= {
        f"identity encoders, median ρ(180°) of {sizes[name]} {name}": m
        for name, m in identity.medians().items()
    }
    value["identity encoders, p"] = round(identity.p, 5) if math.isfinite(identity.p) else 1.0
    value["invariant features"] = int((report.stabiliser == "G").sum())
    if asked:
        why = (
            f"{repeat} of {len(lines)} lines repeat after 180°, {whole} of {len(curves)} curves "
            f"only after 360°; Mann–Whitney p = {orbit.p:.2g}, {LEVEL} needed"
        )
    else:
        why = (
            f"{len(orbit.lines)} lines and {len(orbit.curves)} curves can be compared after half "
            "a turn; three of each are needed"
        )
    return Finding(GC3, value, verdict(holds, evidence), why, evidence=evidence)


def filter_symmetry(exact: pd.DataFrame, group: Group) -> Finding:
    """Judge FB1: is the symmetry of every filter reported, with its axis exact?

    Args:
        exact: One row a filter, with the boolean column `right`.
        group: The group of the bank.

    Returns:
        The finding; it cannot be asked without filters.
    """
    right, count = int(exact.right.sum()), len(exact)
    word = verdict(right == count if count else None, Evidence.KNOWN)
    why = f"{right} of {count} filters have the expected name and exact axis under {group.name}"
    return Finding(FB1, {"right": right, "filters": count}, word, why, evidence=Evidence.KNOWN)


def filter_recovery(kinds: list[str], nearest: np.ndarray) -> Finding:
    """Judge FB2: do nine of ten filters have a feature with a cosine of 0.9?

    Args:
        kinds: The kind of every filter.
        nearest: The cosine of every filter with its nearest feature, `(filters,)`.

    Returns:
        The finding; it cannot be asked without filters.
    """
    nearest = np.asarray(nearest, dtype=float)
    share = float((nearest >= RECOVERED).mean()) if len(nearest) else None
    means = pd.Series(nearest, dtype=float).groupby(list(kinds)).mean()
    value = {f"share of filters recovered at cosine {RECOVERED}": round(share or 0.0, 3)}
    value |= {f"mean best cosine, {kind}": round(float(m), 3) for kind, m in means.items()}
    word = verdict(None if share is None else share >= RECOVERED, Evidence.KNOWN)
    why = (
        f"{100 * (share or 0):.0f} % of {len(nearest)} filters have a feature of their own, up to "
        f"the group; {100 * RECOVERED:.0f} % needed"
    )
    return Finding(FB2, value, word, why, evidence=Evidence.KNOWN)


# --- GC4: planted orbits -------------------------------------------------------------------------

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


# --- TC1, EQ1: tied crosscoders, equivariance -----------------------------------------------------

TC1 = Claim(
    "TC1",
    short="A tied dictionary explains as much as an untied one",
    claim="a dictionary closed under the group explains as much as an untied one of its size",
    source="ours",
    figure="04c_growth",
)
EQ1 = Claim(
    "EQ1",
    short="The layer is equivariant under rotation",
    claim="the layer is equivariant: rotating an image acts on its responses as a matrix on "
    "channels, and rotations are powers of one matrix",
    source="ours",
    figure="04c_equivariance",
)
FVU_MARGIN = 0.005  # by which the tied crosscoder may explain less
EQUIVARIANT = 0.9  # least share of variance that powers of one matrix must predict


def tied_explains(table: pd.DataFrame, agreement: Agreement, k: int, evidence: Evidence) -> Finding:
    """Judge TC1: does the tied crosscoder leave no more variance unexplained?

    Args:
        table: The columns `tied` and `untied` of `compare_tied`.
        agreement: Of the tied families with clusters of the untied features.
        k: Active features a sample.
        evidence: What network the activations are of.

    Returns:
        The finding; it cannot be asked if either FVU is not a number.
    """
    t, u = table["tied"], table["untied"]
    value = {
        "FVU tied": round(t["FVU"], 3),
        "FVU untied": round(u["FVU"], 3),
        "orientation part, tied": round(t["orientation part"], 3),
        "orientation part, untied": round(u["orientation part"], 3),
        "parameters, untied over tied": round(u["parameters"] / t["parameters"], 1),
        "seconds a step, tied over untied": round(t["seconds a step"] / u["seconds a step"], 1),
        "found again, tied": round(t["found again, median cosine"], 2),
        "found again, untied": round(u["found again, median cosine"], 2),
        "agreement with clusters": round(agreement.mutual_information, 2),
    }
    value = {name: number for name, number in value.items() if math.isfinite(number)}
    asked = math.isfinite(t["FVU"]) and math.isfinite(u["FVU"])
    holds = bool(t["FVU"] <= u["FVU"] + FVU_MARGIN) if asked else None
    why = (
        f"held-out FVU {t['FVU']:.3f} tied ({t['features']:.0f} features, {t['families']:.0f} "
        f"families fire), {u['FVU']:.3f} untied ({u['features']:.0f} features), L0 {k}; "
        f"{FVU_MARGIN} more allowed"
    )
    return Finding(TC1, value, verdict(holds, evidence), why, evidence=evidence)


def layer_is_equivariant(found: Mapping[str, Equivariance], evidence: Evidence) -> Finding:
    """Judge EQ1: do powers of one matrix predict nine tenths of the variance in the last layer?

    Args:
        found: The equivariance of each layer; the last entry decides.
        evidence: What network the layers are of.

    Returns:
        The finding; it cannot be asked without a layer, or if the share is not a number.
    """
    means = {
        f"{name}, {which}": round(one.mean(which), 3)
        for name, one in found.items()
        for which in ("powers", "free")
    }
    value = {name: r2 for name, r2 in means.items() if math.isfinite(r2)}
    if not found:
        word = verdict(None, evidence)
        return Finding(EQ1, {"layers": 0}, word, "no layer was measured", evidence=evidence)
    name, last = list(found.items())[-1]
    powers, free = last.mean("powers"), last.mean("free")
    holds = bool(powers >= EQUIVARIANT) if math.isfinite(powers) else None
    why = (
        f"in {name} powers of one matrix predict {percent(powers)} of rotated responses' "
        f"variance, a matrix each {percent(free)}; {100 * EQUIVARIANT:.0f} % needed"
    )
    return Finding(EQ1, value, verdict(holds, evidence), why, evidence=evidence)
