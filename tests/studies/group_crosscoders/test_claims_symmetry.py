"""Claims GC3, FB1, FB2, GC4, TC1 and EQ1: verdict and sentence follow the numbers, both ways."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest

from gc_utils.evidence import Evidence, Finding, Findings
from gc_utils.groups import group
from gc_utils.studies.group_crosscoders import (
    Agreement,
    HalfTurn,
    claims,
    half_turn_of_features,
)
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


def features(line_period: float, curve_period: float, count: int = 5, fold: int = 0):
    """One fold's features of either kind, all of one period."""
    half = {180: 0.97, 360: -0.2}
    return pd.DataFrame(
        {
            "fold": fold,
            "label": ["line"] * count + ["curve"] * count + ["other"],
            "period_degrees": [line_period] * count + [curve_period] * count + [90],
            "stabiliser": ["C2"] * count + ["C1"] * count + ["G"],
            "rho_180": [half[line_period]] * count + [half[curve_period]] * count + [1.0],
        }
    )


def half_turn(*folds: tuple[float, float, int]) -> HalfTurn:
    """The comparison of folds with these periods of lines and curves, and numbers of each."""
    found = [features(*periods, count, i) for i, (*periods, count) in enumerate(folds)]
    return half_turn_of_features(pd.concat(found, ignore_index=True))


YES, LINES_DO_NOT, CURVES_DO, FEW = (180, 360, 5), (360, 360, 5), (180, 180, 5), (180, 360, 2)
REPORT = features(180, 360)

# --- GC3 ------------------------------------------------------------------------------------------


def test_lines_and_curves_that_differ_in_every_fold_are_what_gc3_claims(check):
    both = half_turn(YES, YES)
    entry = check(claims.half_turn_patterns(both, both, REPORT, Evidence.PAPER))
    assert entry["verdict"] == "reproduced"
    assert "in 2 of 2 folds (identity encoder), 2 of 2 (orbit)" in entry["why"]
    value = entry["value"]
    assert value["identity encoder (the paper's), lines that repeat after 180°, by fold"] == (
        "5 of 5, 5 of 5"
    )
    assert value["orbit encoder, median ρ(180°), curves"] == -0.2
    assert value["orbit encoder, p (Mann–Whitney)"] < 0.001
    assert value["invariant features"] == 1


def test_rho_decides_where_it_is_known_and_the_name_elsewhere():
    """A line whose mirror fits better than its half turn is called D1, and repeats all the same."""
    here = features(360, 360, 3).assign(rho_180=[0.93, 0.91, 0.89, 0.95, 0.2, -0.1, 1.0])
    assert half_turn_of_features(here).counts.repeat.item() == 2
    assert half_turn_of_features(here).counts.whole.item() == 2
    unknown = features(180, 360, 3).assign(rho_180=np.nan)
    assert half_turn_of_features(unknown).counts[["repeat", "whole"]].to_numpy().tolist() == [
        [3, 3]
    ]


def test_features_with_a_counterpart_are_counted_by_themselves(check):
    here = features(180, 360, 4)
    here.loc[[0, 1, 4], "rho_180"] = np.nan
    both = half_turn_of_features(pd.concat([here, here.assign(fold=1)], ignore_index=True))
    assert both.counts.lines.tolist() == [4, 4] and both.counts.lines_known.tolist() == [2, 2]
    assert both.holds() is True  # all features are asked
    value = check(claims.half_turn_patterns(both, both, REPORT, Evidence.PAPER))["value"]
    known = "orbit encoder, curves that do not, by fold, with a counterpart in another fold"
    assert value[known] == "3 of 3, 3 of 3"


@pytest.mark.parametrize("bad", [LINES_DO_NOT, CURVES_DO])
def test_one_fold_of_another_pattern_is_too_many(check, bad):
    yes, no = half_turn(YES, YES), half_turn(YES, bad)
    entry = check(claims.half_turn_patterns(yes, no, REPORT, Evidence.PAPER))
    assert entry["verdict"] == NOT and "1 of 2 folds (identity encoder)" in entry["why"]
    # The identity encoder decides; the other is shown.
    entry = check(claims.half_turn_patterns(no, yes, REPORT, Evidence.PAPER))
    assert entry["verdict"] == "reproduced" and "1 of 2 (orbit)" in entry["why"]


def test_half_of_the_lines_are_no_majority():
    mixed = pd.concat([features(180, 360, 3), features(360, 360, 3)], ignore_index=True)
    assert not half_turn_of_features(mixed).counts.holds.any()
    more = pd.concat([features(180, 360, 4), features(360, 360, 3)], ignore_index=True)
    assert half_turn_of_features(more).counts.holds.all()


@pytest.mark.parametrize(
    ("folds", "holds"),
    [
        ([YES, YES, FEW], True),  # a fold that cannot be asked takes nothing away
        ([YES, LINES_DO_NOT, FEW], False),
        ([YES, FEW, FEW], None),  # one fold is not enough
        ([FEW], None),
    ],
)
def test_folds_with_few_lines_or_curves_are_not_asked(check, folds, holds):
    one = half_turn(*folds)
    assert one.holds() is holds
    entry = check(claims.half_turn_patterns(half_turn(YES, YES), one, REPORT, Evidence.PAPER))
    assert entry["verdict"] == {True: "reproduced", False: NOT, None: ASKED_NOT}[holds]
    if holds is None:
        assert f"of {len(folds)} folds have three lines" in entry["why"]


def test_without_features_gc3_cannot_be_asked(check):
    nothing = half_turn_of_features(REPORT[:0])
    entry = check(claims.half_turn_patterns(nothing, nothing, REPORT, Evidence.PAPER))
    assert entry["verdict"] == ASKED_NOT
    assert entry["value"]["orbit encoder, p (Mann–Whitney)"] == "undefined"


@pytest.mark.parametrize(("evidence", "word"), WORDS.items())
def test_the_network_decides_the_word(check, evidence, word):
    both = half_turn(YES, YES)
    assert check(claims.half_turn_patterns(both, both, REPORT, evidence))["verdict"] == word


def test_notebook_04_closes_with_what_both_encoders_show():
    yes, no, few = half_turn(YES, YES), half_turn(YES, CURVES_DO), half_turn(FEW)
    text = sentences.closing_symmetry(yes, no)
    assert "do not with the identity encoder" in text and "do with the orbit encoder" in text
    assert "cannot be said to with the identity" in sentences.closing_symmetry(yes, few)
    said = sentences.half_turn_sentence(no, "one")
    assert "fold 1: 5 of 5 lines repeat after 180°, 0 of 5 curves only after 360°" in said
    assert "no half turn" in sentences.half_turn_sentence(half_turn_of_features(REPORT[:0]), "one")


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


def test_weak_features_are_counted_by_themselves():
    trials = pd.DataFrame(
        {
            "arm": ["unequal norms", "unequal norms", "as assumed"],
            "method": [REFINED, REFINED, REFINED],
            "weak": [0.2, 0.4, 0.0],
            "recall_weak": [0.0, 0.5, math.nan],
            "recall_strong": [1.0, 0.9, 1.0],
        }
    )
    text = sentences.weak_sentence(trials)
    assert "30 % of planted features" in text
    assert text.endswith("finds 0.25 of them and 0.95 of the others.")
    assert sentences.weak_sentence(trials[2:]) == ""


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


def test_what_is_printed_of_a_report_is_followed_by_what_it_means():
    report = pd.DataFrame(
        {
            "stabiliser": ["C1"] * 3 + ["D1@0", "D1@45", "D1@90", "G"],
            "confidence": [0.9, 0.8, 0.7, 0.2, 0.3, 0.4, 1.0],
            "corrected_rho": [1.0, 0.9, None, 0.95, 0.9, None, 1.0],
            "reproducibility": [0.95, 0.95, 0.9, 0.95, 0.95, 0.2, 0.9],
        }
    )
    text = sentences.counterparts_sentence(report)
    assert text.startswith("5 of 7 features have a counterpart") and "the other 2" in text
    assert "0.95 in the median: most are found again" in text
    assert "proves little" in sentences.counterparts_sentence(report.assign(reproducibility=0.5))
    assert "with caution" in sentences.counterparts_sentence(report.assign(corrected_rho=None))
    text = sentences.confidence_sentence(report)
    assert "C1 0.80, D1 0.30." in text and "names of C1 are" in text  # one G is no mean
    assert "no name is more often" in sentences.confidence_sentence(report.assign(confidence=0.4))
    assert "three features" in sentences.confidence_sentence(report[3:5])
