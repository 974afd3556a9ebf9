"""Claims GC3, FB1, FB2, GC4, TC1 and EQ1: verdict and sentence follow the numbers, both ways."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from gc_utils.evidence import Evidence, Finding, Findings
from gc_utils.groups import group
from gc_utils.studies.group_crosscoders import Agreement, HalfTurn, claims
from gc_utils.studies.group_crosscoders import computed_sentences as sentences
from gc_utils.symmetry import Equivariance

NOT = "not reproduced"
ASKED_NOT = "not tested here"
WORDS = {
    Evidence.PAPER: "reproduced",
    Evidence.PHOTOGRAPHS: "reproduced on another network trained on photographs",
    Evidence.DEFAULT: "only on the embedded default",
    Evidence.UNTRAINED: ASKED_NOT,
}


@pytest.fixture
def check(tmp_path):
    """Record a finding as a notebook does, and hand back its entry."""

    def record(finding: Finding) -> dict:
        assert finding.why and len(finding.why.split()) <= 25, finding.why
        findings = Findings(tmp_path, "04_symmetry")
        assert finding.why in findings.record(finding)
        (entry,) = [e for e in findings.load() if e["id"] == finding.claim.id]
        assert json.dumps(entry, allow_nan=False)
        return entry

    return record


def features(line_period: float, curve_period: float, count: int = 5) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "label": ["line"] * count + ["curve"] * count + ["other"],
            "period_degrees": [line_period] * count + [curve_period] * count + [90],
            "stabiliser": ["C2"] * count + ["C1"] * count + ["G"],
        }
    )


def halves(lines: float, curves: float, p: float, count: int = 5) -> HalfTurn:
    spread = np.linspace(-0.01, 0.01, count)
    return HalfTurn(lines + spread, curves + spread, p)


NONE = HalfTurn(np.array([]), np.array([]), math.nan)

# --- GC3 ------------------------------------------------------------------------------------------


def test_lines_and_curves_that_differ_are_what_gc3_claims(check):
    differ = halves(0.97, -0.2, 0.004)
    entry = check(claims.half_turn_patterns(features(180, 360), differ, differ, Evidence.PAPER))
    assert entry["verdict"] == "reproduced"
    assert "5 of 5 lines repeat after 180°, 5 of 5 curves only after 360°" in entry["why"]
    assert "p = 0.004" in entry["why"]
    assert entry["value"]["lines"] == entry["value"]["curves"] == 5
    assert entry["value"]["median ρ(180°), lines"] == 0.97
    assert entry["value"]["identity encoders, median ρ(180°) of 5 curves"] == -0.2
    assert entry["value"]["invariant features"] == 1


@pytest.mark.parametrize(
    ("report", "p"),
    [
        (features(180, 360), 0.3),  # no difference
        (features(360, 360), 0.004),  # lines that do not repeat
        (features(180, 180), 0.004),  # curves that do
    ],
)
def test_lines_and_curves_of_one_pattern_are_not(check, report, p):
    finding = claims.half_turn_patterns(report, halves(0.9, 0.8, p), NONE, Evidence.PAPER)
    entry = check(finding)
    assert entry["verdict"] == NOT
    lines = report[report.label == "line"]
    assert f"{(lines.period_degrees <= 180).sum()} of 5 lines" in entry["why"]
    assert entry["value"]["identity encoders, p"] == "undefined"  # could not be asked


def test_without_lines_gc3_cannot_be_asked(check):
    few = HalfTurn(np.array([]), np.array([0.1, 0.2]), math.nan)
    finding = claims.half_turn_patterns(features(180, 360, 0), few, NONE, Evidence.PAPER)
    entry = check(finding)
    assert entry["verdict"] == ASKED_NOT
    assert "0 lines and 2 curves" in entry["why"]
    assert entry["value"]["p (Mann–Whitney)"] == "undefined"


@pytest.mark.parametrize(("evidence", "word"), WORDS.items())
def test_the_network_decides_the_word(check, evidence, word):
    differ = halves(0.97, -0.2, 0.004)
    finding = claims.half_turn_patterns(features(180, 360), differ, differ, evidence)
    assert check(finding)["verdict"] == word


def test_notebook_04_closes_with_what_both_encoders_show():
    yes, no = halves(0.97, -0.2, 0.004), halves(0.9, 0.8, 0.4)
    assert "curves differ at the level" in sentences.closing_symmetry(yes, yes)
    assert "curves do not differ at the level" in sentences.closing_symmetry(no, no)
    assert "curves differ in part" in sentences.closing_symmetry(yes, no)
    only = sentences.closing_symmetry(yes, NONE)
    assert "curves differ at" in only and "identity" not in only
    assert "cannot be said" in sentences.closing_symmetry(NONE, NONE)


# --- FB1, FB2 -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "word"), [([True] * 4, "reproduced"), ([True, False], NOT), ([], ASKED_NOT)]
)
def test_one_filter_with_wrong_symmetry_is_one_too_many(check, right, word):
    exact = pd.DataFrame({"right": np.array(right, dtype=bool)})
    entry = check(claims.filter_symmetry(exact, group("D4")))
    assert entry["verdict"] == word
    assert entry["why"].startswith(f"{sum(right)} of {len(right)} filters")
    assert entry["value"] == {"right": sum(right), "filters": len(right)}


@pytest.mark.parametrize(
    ("nearest", "word", "share", "why"),
    [
        ([0.95] * 9 + [0.5], "reproduced", 0.9, "90 % of 10 filters"),
        ([0.95] * 8 + [0.89] * 2, NOT, 0.8, "80 % of 10 filters"),
        ([], ASKED_NOT, "undefined", "no filters to recover"),
    ],
)
def test_nine_of_ten_filters_are_recovered_or_not(check, nearest, word, share, why):
    kinds = ["ring", "blob"] * (len(nearest) // 2)
    entry = check(claims.filter_recovery(kinds, np.array(nearest)))
    assert entry["verdict"] == word
    assert why in entry["why"]
    assert entry["value"]["share of filters recovered at cosine 0.9"] == share
    assert ("mean best cosine, ring" in entry["value"]) == bool(nearest)


def test_members_of_a_family_are_copies_or_only_similar():
    same = pd.DataFrame({"family": [0, 0, 1], "distance": [0.01, 0.02, 0.05]})
    text = sentences.members_sentence(same)
    assert "is 0.02; 100 % of 3 pairs" in text and "2 families" in text
    far = sentences.members_sentence(same.assign(distance=[0.5, 0.6, 0.7]))
    assert "is 0.60; 0 % of 3 pairs" in far
    assert "No family" in sentences.members_sentence(same[:0])


@pytest.mark.parametrize(
    ("penalised", "other", "part"),
    [(1.5, 1.02, "are further from"), (1.01, 1.2, "are no further from"), (math.nan, 1, "Too few")],
)
def test_a_penalty_shrinks_blocks_or_does_not(penalised, other, part):
    table = pd.DataFrame({"top-k": [other], "l1": [penalised]}, index=["median stretch"])
    assert part in sentences.shrinkage_sentence(table)


# --- GC4 ------------------------------------------------------------------------------------------


ARMS = ("as assumed", "unequal norms", "heavy tails", "chiral part")
REFINED = "crosscoder, refined"


def arm_scores(named=(0.99, 0.95, 0.92, 0.9), errors=(0.05, 0.1, 0.02, 0.08)) -> pd.DataFrame:
    refined = {"arm": ARMS, "method": REFINED, "recall": 0.99}
    plain = {"arm": ARMS, "method": "crosscoder", "recall": 0.5, "found_and_named": 0.4}
    tables = [refined | {"found_and_named": named, "confidence_error": errors}]
    tables.append(plain | {"confidence_error": 0.3})
    return pd.concat([pd.DataFrame(t) for t in tables], ignore_index=True)


def controls(recall: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "control": ["no orbits", "single"],
            "method": ["crosscoder", "tied crosscoder"],
            "recall": [recall, 0.2],
            "symmetric": [0.1, math.nan],
        }
    )


def test_all_arms_named_and_a_calibrated_confidence_recover_planted_symmetry(check):
    errors = {"crosscoder": 0.3, REFINED: 0.06, "SAE, regressed blocks": math.nan}
    entry = check(claims.planted_recovery(arm_scores(), errors, controls(), 3))
    assert entry["verdict"] == "reproduced" and entry["evidence"] == Evidence.KNOWN.value
    assert entry["why"].startswith("refined names 0.9 or more of all planted in 4 of 4 arms;")
    assert "confidence off by 0.10 at most" in entry["why"]
    value = entry["value"]
    found = value["unequal norms: found, and rightly named too"]
    assert found == "refined 0.99, 0.95; plain 0.50, 0.40"
    assert value["confidence off by, refined, chiral part"] == 0.08
    assert value["confidence off by, equivariance broken, crosscoder"] == 0.3
    assert value["given a symmetry in controls, crosscoder"] == 0.1
    assert "given a symmetry in controls, tied crosscoder" not in value  # not a number


@pytest.mark.parametrize(
    ("named", "errors", "word", "part"),
    [
        ((1, 0.89, 1, 1), (0.1,) * 4, NOT, "3 of 4 arms, not unequal norms;"),
        ((1, 0.8, 0.7, 1), (0.1,) * 4, NOT, "2 of 4 arms, not unequal norms, heavy tails;"),
        ((0.1,) * 4, (0.1,) * 4, NOT, "0 of 4 arms, not as assumed, 3 more;"),
        ((1, math.nan, 1, 1), (0.1,) * 4, NOT, "3 of 4"),  # what found nothing is short of it
        ((1,) * 4, (0.1, 0.1, 0.12, 0.1), NOT, "4 of 4 arms; confidence off by 0.12"),
        ((1,) * 4, (0.1, math.nan, 0.1, 0.1), NOT, "none stated in 1 arm"),
        ((1,) * 4, (math.nan,) * 4, ASKED_NOT, "no confidence"),
        ((0.9,) * 4, (0.1,) * 4, "reproduced", "4 of 4"),
    ],
)
def test_one_arm_short_or_a_confidence_that_is_off_is_enough(check, named, errors, word, part):
    entry = check(claims.planted_recovery(arm_scores(named, errors), {}, controls(), 5))
    assert entry["verdict"] == word and part in entry["why"]


def test_only_the_refined_crosscoder_decides(check):
    scores = arm_scores()
    plain = scores[scores.method == "crosscoder"]
    entry = check(claims.planted_recovery(plain, {}, controls()[:0], 1))
    assert entry["verdict"] == ASKED_NOT and "was not tried" in entry["why"]
    failing = claims.arms_that_fail(scores, "crosscoder")
    assert failing == {"recovery": list(ARMS), "confidence": list(ARMS)}


def test_the_arms_that_are_short_are_named():
    text = sentences.arms_sentence(arm_scores((1, 0.8, math.nan, 1), (0.05, 0.2, 0.05, 0.05)))
    assert "not in these arms: unequal norms (0.80), heavy tails (missing)." in text
    assert text.endswith("Its confidence is not calibrated in these: unequal norms (0.20).")
    good = sentences.arms_sentence(arm_scores())
    assert "in each of 4 arms" in good and "calibrated in all, off by 0.10 at most" in good
    assert "not tried" in sentences.arms_sentence(arm_scores()[4:])


def test_encoders_are_compared_over_arms():
    text = sentences.encoders_sentence(arm_scores())
    assert "refined 0.94; plain 0.40." in text
    assert "No method" in sentences.encoders_sentence(arm_scores()[:0])


def test_names_by_the_symmetric_part_are_counted():
    index = pd.MultiIndex.from_product([["refined", "plain"], ["raw", "corrected"]])
    part = "its symmetric part's"
    names = pd.DataFrame(
        {part: [0.4, 0.1, math.nan, math.nan], "ρ true": 0.7, "ρ estimate": 0.74}, index=index
    )
    text = sentences.chiral_sentence(names)
    assert "refined: 40 % are named by their symmetric part (10 % by" in text
    assert "0.74 where it is 0.70" in text and "plain" not in text
    assert "No feature" in sentences.chiral_sentence(names[2:])


def test_the_hardest_kind_is_named():
    cosines = pd.DataFrame({"C1": [0.9, 0.8], "D1": [0.5, 0.6], "G": [0.7, 0.7]})
    assert "symmetry D1 are recovered worst (cosine 0.55)" in sentences.kinds_sentence(cosines)
    assert "symmetry C1 best" in sentences.kinds_sentence(cosines)
    opposite = sentences.kinds_sentence(1 - cosines)
    assert "symmetry C1 are recovered worst" in opposite and "symmetry D1 best" in opposite
    assert "cannot be compared" in sentences.kinds_sentence(cosines[["C1"]])


def test_how_much_data_is_enough_follows_from_the_trials():
    trials = pd.DataFrame(
        {
            "method": "tied crosscoder",
            "samples": [250, 1000, 2000],
            "cosine_max": [0.97, 0.98, 0.99],
        }
    )
    text = sentences.data_sentence(trials)
    assert "0.97 from 250 orbits, 12 % of" in text
    more = sentences.data_sentence(trials.assign(cosine_max=[0.5, 0.96, 0.99]))
    assert "0.96 from 1000 orbits, 50 % of" in more
    never = sentences.data_sentence(trials.assign(cosine_max=[0.5, 0.6, 0.7]))
    assert "does not reach a cosine of 0.95: 0.70 from 2000 orbits" in never
    assert "was not tried" in sentences.data_sentence(trials, "PCA")


def test_what_an_assumption_gains_and_loses_follows_from_the_trials():
    methods = ["crosscoder", "crosscoder, no translation", "tied crosscoder"]
    rows = [(m, b) for m in methods for b in (0.0, 0.8)]
    trials = pd.DataFrame(rows, columns=["method", "break_equivariance"])
    trials["cosine_max"] = [0.9, 0.5, 0.7, 0.6, 0.95, 0.4]
    text = sentences.breaking_sentence(trials)
    assert "Translating the training orbits changes the cosine by +0.20" in text
    assert "by -0.10 at 0.8" in text and "tying changes the cosine by +0.05" in text
    opposite = sentences.breaking_sentence(trials.assign(cosine_max=1 - trials.cosine_max))
    assert "by -0.20 at a disturbance of 0" in opposite and "by +0.10 at 0.8" in opposite
    assert "not both tried" in sentences.breaking_sentence(trials[trials.method == "crosscoder"])


def test_what_is_found_in_controls_is_named():
    index = pd.MultiIndex.from_tuples([("no orbits", "crosscoder"), ("single", "tied crosscoder")])
    scores = pd.DataFrame({"recall": [0.0, 0.25]}, index=index)
    text = sentences.controls_sentence(scores)
    assert "25 % are found" in text and "single (tied crosscoder)" in text
    assert "In none of 2 controls" in sentences.controls_sentence(scores * 0)
    assert "No control" in sentences.controls_sentence(scores[:0])


def test_notebook_04b_closes_with_what_refining_gains():
    text = sentences.closing_ground_truth(arm_scores((1, 0.5, 0.9, 1)))
    assert "by +0.45 in the mean over arms, from 0.40 to 0.85" in text
    assert "with unequal norms (0.50)" in text
    worse = sentences.closing_ground_truth(arm_scores((0.2, 0.2, 0.2, math.nan)))
    assert "by -0.25" in worse and "with chiral part (0.00)" in worse
    assert "not both tried" in sentences.closing_ground_truth(arm_scores()[:4])


# --- TC1, EQ1 -------------------------------------------------------------------------------------


def beside(tied: float, untied: float) -> pd.DataFrame:
    rows = {
        "FVU": (tied, untied),
        "orientation part": (tied + 0.1, untied + 0.1),
        "features": (128.0, 128.0),
        "parameters": (100.0, 400.0),
        "seconds a step": (0.2, 0.1),
        "families": (30.0, 80.0),
        "found again, median cosine": (0.5, 0.6),
    }
    return pd.DataFrame(rows, index=["tied", "untied"]).T


AGREEMENT = Agreement(0.27, 0.5, {1: 3})


@pytest.mark.parametrize(
    ("tied", "untied", "word"),
    [
        (0.30, 0.33, "only on the embedded default"),
        (0.334, 0.33, "only on the embedded default"),  # within the margin
        (0.34, 0.33, NOT),
        (math.nan, 0.33, ASKED_NOT),
    ],
)
def test_tying_costs_no_variance_or_it_does(check, tied, untied, word):
    entry = check(claims.tied_explains(beside(tied, untied), AGREEMENT, 32, Evidence.DEFAULT))
    assert entry["verdict"] == word
    assert f"{tied:.3f} tied" in entry["why"] and "0.330 untied" in entry["why"]
    assert ("FVU tied" in entry["value"]) == math.isfinite(tied)
    assert entry["value"]["parameters, untied over tied"] == 4.0
    assert entry["value"]["agreement with clusters"] == 0.27


@pytest.mark.parametrize(("evidence", "word"), WORDS.items())
def test_tying_is_judged_on_the_network_that_was_measured(check, evidence, word):
    finding = claims.tied_explains(beside(0.3, 0.4), AGREEMENT, 32, evidence)
    assert check(finding)["verdict"] == word


def layer(powers: float, free: float = 0.9) -> Equivariance:
    def over(x):
        return np.array([1.0, x, x, x])

    return Equivariance(over(powers), over(free), over(0.0), np.array([powers]), np.array([free]))


@pytest.mark.parametrize(
    ("last", "word"),
    [(0.95, "reproduced"), (0.89, NOT), (math.nan, ASKED_NOT)],
)
def test_the_last_layer_decides_whether_it_is_equivariant(check, last, word):
    found = {"conv2d0": layer(0.99), "mixed3a, all 600 orbits": layer(last, last)}
    entry = check(claims.layer_is_equivariant(found, Evidence.PAPER))
    assert entry["verdict"] == word
    assert entry["value"]["conv2d0, powers"] == 0.99
    share = "unknown" if math.isnan(last) else f"{100 * last:.0f} %"
    assert f"mixed3a, all 600 orbits powers of one matrix predict {share}" in entry["why"]


def test_without_a_network_no_layer_is_equivariant(check):
    assert check(claims.layer_is_equivariant({}, Evidence.UNTRAINED))["verdict"] == ASKED_NOT


def test_a_dictionary_grows_in_families_or_in_copies():
    growth = pd.DataFrame(
        {"features": [32, 256], "families": [20, 120], "features a family": [1.5, 1.8]}
    )
    assert "mainly more families" in sentences.growth_sentence(growth)
    copies = growth.assign(**{"families": [20, 22], "features a family": [1.5, 9.0]})
    text = sentences.growth_sentence(copies)
    assert "mainly more features in each family" in text and "by a factor 1.10" in text
    assert "cannot be judged" in sentences.growth_sentence(growth[:1])
    nothing = growth.assign(**{"features a family": [math.nan, 1.0]})
    assert "no families" in sentences.growth_sentence(nothing)


def test_notebook_04c_closes_with_what_tying_changes():
    text = sentences.closing_tied(beside(0.34, 0.31), AGREEMENT)
    assert "With 25 % of the parameters" in text
    assert "leaves more variance unexplained" in text and "FVU +0.030" in text
    less = sentences.closing_tied(beside(0.30, 0.31), AGREEMENT)
    assert "leaves no more variance unexplained" in less and "FVU -0.010" in less
    assert "cannot be said" in sentences.closing_tied(beside(math.nan, 0.3), AGREEMENT)
