"""The arms of notebook 04b: each plants what it says, and its scores are of its own trials."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from gc_utils.planted import METHODS, Problem
from gc_utils.planted.methods import Found
from gc_utils.studies import group_crosscoders as study
from gc_utils.studies.group_crosscoders.planted_arms import ARMS, AS_ASSUMED, CHIRAL

TINY = Problem(
    group="D4", channels=24, families=2, samples=100, held_out=60, l0=2, steps=5, batch_size=32
)


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_plants_something_else(arm):
    base, problem = TINY, study.arm_problem(TINY, arm)
    assert (problem == base) == (arm == AS_ASSUMED)
    planted, plain = problem.draw()[0], base.draw()[0]
    if arm == CHIRAL:
        assert planted.kinds == ("C1", "C1", "D1", "D1", "C2", "C2") and problem.replicates == 1
        assert set(planted.stabilisers) == {"C1"} != set(planted.symmetric_parts)
    elif arm != AS_ASSUMED:
        assert planted.A.shape == plain.A.shape and not planted.A.equal(plain.A)


def truth(problem, seen, held_out):
    """A method that finds all there is, but for the arm with heavy tails."""
    return Found(seen.V[:5] if problem.tail else seen.V)


def test_the_arms_are_run_and_scored(tmp_path, monkeypatch):
    for method in study.ARM_METHODS:
        monkeypatch.setitem(METHODS, method, truth)
    trials = study.run_arms(tmp_path / "trials.jsonl", TINY, 2, workers=1)
    assert len(trials) == len(ARMS) * len(study.ARM_METHODS) * 2
    assert list(dict.fromkeys(trials.arm)) == list(ARMS) and set(trials.seed) == {0, 1}
    scores = study.arm_scores(trials)
    assert len(scores) == len(ARMS) * len(study.ARM_METHODS)
    recall = scores.groupby("arm").recall.mean()
    assert recall["heavy tails"] < 0.5 and recall[AS_ASSUMED] == recall["incomplete orbits"] == 1
    assert (scores.found_and_named <= scores.recall).all()
    assert scores.confidence_error.between(0, 1).all()
    names = study.chiral_names(trials)
    assert list(names.loc["refined"].index) == ["raw", "corrected"]
    assert names["ρ true"].between(0.69, 0.71).all() and (names.found == 1).all()


def test_scores_are_means_of_an_arm_and_confidence_over_all_its_features():
    lists = {"stated": [[0.9] * 4, [0.9] * 4, None], "right": [[1] * 4, [0] * 4, None]}
    trials = pd.DataFrame(
        {"arm": ["a", "a", "b"], "method": "m", "recall": [1, 0.5, 1], "found_and_named": 0.25}
        | lists
    )
    scores = study.arm_scores(trials).set_index("arm")
    assert scores.recall["a"] == 0.75 and scores.found_and_named["a"] == 0.25
    assert scores.confidence_error["a"] == pytest.approx(0.4)
    assert math.isnan(scores.confidence_error["b"])


def test_a_method_that_found_nothing_has_no_names():
    trials = pd.DataFrame({"arm": [CHIRAL, "other"], "method": ["PCA", "NMF"], "recall": 0.0})
    names = study.chiral_names(trials)
    assert list(names.index) == [("PCA", "raw"), ("PCA", "corrected")]
    assert names["true name"].isna().all()


def test_the_second_dictionary_is_of_the_same_planted_one():
    problem = replace(study.arm_problem(TINY, CHIRAL), seed=5)
    (other,) = problem.others()
    assert other.dictionary_seed == 5 and other.seed != 5
