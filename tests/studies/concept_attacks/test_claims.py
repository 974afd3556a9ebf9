"""Every claim about attacks on concepts: what holds and what does not, and the sentences."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gc_utils.evidence import Evidence, Findings, sentence
from gc_utils.studies.concept_attacks import claims
from gc_utils.studies.concept_attacks.claims import Attacked, CleanDecisions
from gc_utils.studies.concept_attacks.steered_facets import Steering

RIGHT = CleanDecisions([True] * 5, [False] * 20, runs=20, pairs=45)
WRONG = CleanDecisions([True, True, False, False, False], [False] * 20, runs=20, pairs=45)
FEW = CleanDecisions([False] * 5, [False] * 20, runs=4, pairs=45)
WORDS = {
    Evidence.PAPER: "reproduced",
    Evidence.DEFAULT: "only on the embedded default",
    Evidence.PHOTOGRAPHS: "reproduced on another network trained on photographs",
    Evidence.UNTRAINED: "not tested here",
}


def attempts(induce=4, hide=2, noise=0, weak=0):
    """Four attempts to induce and two to hide, of which so many succeed."""
    rows = []
    for condition, bound, won in (
        ("noise", 8.0, (noise, noise)),
        ("attack", 2.0, (weak, weak)),
        ("attack", 8.0, (induce, hide)),
        ("explained at mixed3b", 8.0, (induce, hide)),
    ):
        for aim, count, most in (("induce", won[0], 4), ("hide", won[1], 2)):
            rows += [
                {"condition": condition, "bound": bound, "aim": aim, "success": i < count}
                for i in range(most)
            ]
    return pd.DataFrame(rows)


def defences(more=0.0, features=0.9, found=1.0):
    return pd.DataFrame(
        {
            "defence": ["none", "more examples", "crosscoder features"],
            "succeed": [2 / 3, more, features],
            "causal found": [1.0, found, found],
            "false positives": 0.0,
            "passes": [1, 3, 1],
        }
    )


def outcomes(more=0, features=11):
    return {
        "none": [True] * 8 + [False] * 4,
        "more examples": [i < more for i in range(12)],
        "crosscoder features": [i < features for i in range(12)],
    }


def recordable(finding, folder):
    """Record a finding; its sentence, after a look at the reason's length."""
    assert len(finding.why.split()) <= 25, finding.why
    said = Findings(folder, "10_concept_attacks").record(finding)
    assert finding.verdict in said and finding.why in said
    return said


def knowing(won: int, by: str = "more examples"):
    """Attackers who know a defence and all succeed, and one who knows another and does not."""
    defence = [by] * won + ["orbit average"]
    return pd.DataFrame({"defence": defence, "success": [True] * won + [False]})


ALL = {
    "CA1": lambda e: claims.induced(Attacked(attempts(), e, RIGHT)),
    "CA2": lambda e: claims.hidden(Attacked(attempts(), e, RIGHT)),
    "CA3": lambda e: claims.steered(
        Steering(np.array([1.6, 1.7]), 1.0), Steering(np.array([0.1, 0.0]), 0.0), e
    ),
    "CT2": lambda e: claims.defended(defences(), outcomes(), knowing(1), RIGHT, e),
    "CT3": lambda e: claims.features_resist(defences(features=0), outcomes(features=0), RIGHT, e),
}


@pytest.mark.parametrize("evidence", WORDS)
@pytest.mark.parametrize("id", ALL)
def test_what_was_looked_at_changes_the_word(id, evidence, tmp_path):
    finding = ALL[id](evidence)
    assert finding.claim.id == id and finding.evidence is evidence
    assert finding.verdict == WORDS[evidence]
    recordable(finding, tmp_path)


def test_a_head_that_was_trained_here_is_the_embedded_default():
    assert claims.head_evidence("inceptionv1", "demo") is Evidence.DEFAULT
    assert claims.head_evidence("inceptionv1", "inception5h") is Evidence.DEFAULT
    assert claims.head_evidence("googlenet", "IMAGENET1K_V1") is Evidence.DEFAULT
    assert claims.head_evidence("filter_bank", "analytic") is Evidence.UNTRAINED


@pytest.mark.parametrize(
    ("find", "most"), [(claims.induced, 4), (claims.hidden, 2)], ids=["induce", "hide"]
)
def test_attacks_have_to_succeed_where_noise_does_not(find, most, tmp_path):
    def found(clean=RIGHT, **counts):
        return find(Attacked(attempts(**counts), Evidence.DEFAULT, clean))

    yes, no = found(), found(induce=1, hide=1)
    assert yes.verdict == "only on the embedded default" and yes.value == 1
    assert no.verdict == "not reproduced" and no.value == 1 / most
    assert f"succeeds for {most} of {most} pairs" in yes.why
    assert f"succeeds for 1 of {most} pairs" in no.why
    noisy = found(noise=1)
    assert noisy.verdict == "not reproduced" and f"noise of 8/255 for 1 of {most}" in noisy.why
    assert f"for 1 of {most} within 2/255" in found(weak=1).why
    few, wrong = found(FEW), found(WRONG)
    assert few.verdict == wrong.verdict == "not tested here"
    assert "4 runs are too few" in few.why and "2 of 5 causes" in wrong.why
    assert yes.why.endswith("; few pairs"), "an interval of four pairs is wide"
    many = find(Attacked(pd.concat([attempts()] * 5), Evidence.DEFAULT, RIGHT))
    assert "few pairs" not in many.why
    nothing = find(Attacked(attempts().query("condition == 'noise'"), Evidence.DEFAULT, RIGHT))
    assert nothing.verdict == "not tested here" and nothing.value == "no attempt"
    for finding in (yes, no, noisy, few, wrong, nothing):
        recordable(finding, tmp_path)


def test_a_persons_own_images_count_instead_where_they_have_the_aim(tmp_path):
    own = attempts().query("aim == 'hide' and bound == 8").groupby("condition").head(1)
    drawn = Attacked(attempts(), Evidence.PHOTOGRAPHS, FEW)
    hidden = claims.hidden(drawn, Attacked(own, Evidence.PAPER))
    assert hidden.verdict == "reproduced" and "1 of 1 pairs" in hidden.why
    failed = Attacked(own.assign(success=False), Evidence.PAPER)
    assert claims.hidden(drawn, failed).verdict == "not reproduced"
    assert claims.induced(drawn, Attacked(own, Evidence.PAPER)).verdict == "not tested here"
    recordable(hidden, tmp_path)


def test_steering_has_to_exceed_noise_and_turn_most_images(tmp_path):
    still = Steering(np.zeros(3), 0.0)

    def found(moved, crossed, noise=still):
        return claims.steered(Steering(np.array(moved), crossed), noise, Evidence.DEFAULT)

    yes = found([1.6, 1.7, 1.65], 1.0)
    assert yes.verdict == "only on the embedded default" and yes.value == pytest.approx(1.65)
    assert yes.interval[0] < yes.value < yes.interval[1] and "100% and 0%" in yes.why
    half = found([0.05, 0.06, 0.05], 0.5)
    spread = found([2.0, -1.0, 1.0], 1.0)
    drowned = found([0.5, 0.5, 0.51], 1.0, Steering(np.ones(3), 0.2))
    assert {f.verdict for f in (half, spread, drowned)} == {"not reproduced"}
    assert "50% and 0%" in half.why and "+1.00 under noise" in drowned.why
    one = found([1.6], 1.0, Steering(np.zeros(1), 0.0))
    assert one.verdict == "not tested here" and one.interval is None and "one start" in one.why
    for finding in (yes, half, spread, drowned, one):
        recordable(finding, tmp_path)


@pytest.mark.parametrize("nothing", [[], [np.nan, 1.0], [np.inf, 1.0]])
def test_steering_that_is_not_a_number_is_not_tested(tmp_path, nothing):
    known, unknown = Steering(np.ones(2), 1.0), Steering(np.array(nothing), 1.0)
    for attack, noise in [
        (unknown, known),
        (known, unknown),
        (Steering(np.ones(2), np.nan), known),
    ]:
        finding = claims.steered(attack, noise, Evidence.DEFAULT)
        recordable(finding, tmp_path)
        assert finding.verdict == "not tested here" and finding.interval is None
        assert finding.value == "undefined" and "is undefined" in finding.why
        assert "is undefined" in claims.steering_sentence(attack, noise)


def test_causes_have_to_be_found_and_the_rest_left_alone(tmp_path):
    false = CleanDecisions([True] * 5, [True] * 3 + [False] * 17, runs=20, pairs=45)
    findings = [claims.causes(c, [False] * 20, [True] * 6) for c in (RIGHT, WRONG, false, FEW)]
    yes, missed, too_many, few = findings
    assert yes.verdict == "reproduced" and yes.evidence is Evidence.KNOWN
    assert "5 of 5 causes" in yes.why and "0 of 20" in yes.why
    assert yes.value["the same from one pool"] == "6 of 6"
    assert missed.verdict == "not reproduced" and "2 of 5 causes" in missed.why
    assert too_many.verdict == "not reproduced" and "3 of 20 irrelevant" in too_many.why
    assert few.verdict == "not tested here" and "4 runs are too few for any of 45" in few.why
    nothing = claims.causes(CleanDecisions([], [], runs=20, pairs=0), [], [])
    assert nothing.verdict == "not tested here"
    for finding in (*findings, nothing):
        recordable(finding, tmp_path)


def test_few_runs_that_find_something_are_not_too_few():
    assert not CleanDecisions([True] * 5, [False] * 20, runs=6, pairs=45).too_few


def test_a_defence_has_to_stop_attacks_and_keep_decisions_right(tmp_path):
    def found(table=None, out=None, clean=RIGHT):
        table, out = defences() if table is None else table, out or outcomes()
        return claims.defended(table, out, knowing(2), clean, Evidence.DEFAULT)

    yes = found()
    assert yes.verdict == "only on the embedded default" and yes.value["more examples"] == 0
    assert "success 67% without, 0% with more examples" in yes.why and "2 of 2" in yes.why
    unknown = claims.defended(
        defences(), outcomes(), knowing(2, "smoothing"), RIGHT, Evidence.DEFAULT
    )
    assert "knowing" not in unknown.why, "nobody attacked the best defence knowingly"
    weak = found(defences(more=7 / 12), outcomes(more=7))
    assert weak.verdict == "not reproduced" and "58% with more examples" in weak.why
    unusable = found(defences(found=0.4))
    assert unusable.verdict == "not reproduced" and "no defence keeps" in unusable.why
    harmless = found(out=outcomes() | {"none": [False] * 12})
    few, wrong = found(clean=FEW), found(clean=WRONG)
    assert {f.verdict for f in (harmless, few, wrong)} == {"not tested here"}
    assert "none of 12 attempts" in harmless.why and "4 runs are too few" in few.why
    for finding in (yes, weak, unusable, harmless, few, wrong):
        recordable(finding, tmp_path)


def test_features_have_to_resist_better_than_concept_vectors(tmp_path):
    def found(table, out, clean=RIGHT):
        return claims.features_resist(table, out, clean, Evidence.DEFAULT)

    yes = found(defences(features=0.0), outcomes(features=0))
    assert yes.verdict == "only on the embedded default" and "success 0% against" in yes.why
    no = found(defences(features=11 / 12), outcomes())
    assert no.verdict == "not reproduced" and "success 92% against features, 67%" in no.why
    blind = found(defences(features=0.0, found=0.2), outcomes(features=0))
    assert blind.verdict == "not reproduced" and "find 20% of the causes" in blind.why
    few = found(defences(features=0.0), outcomes(features=0), FEW)
    assert few.verdict == "not tested here" and "4 runs" in few.why
    for finding in (yes, no, blind, few):
        recordable(finding, tmp_path)


def test_the_longest_reasons_are_short_enough(tmp_path):
    """Two-word names and long counts everywhere."""
    many = pd.concat([attempts(weak=1)] * 30)
    recordable(claims.induced(Attacked(many, Evidence.DEFAULT, RIGHT)), tmp_path)
    recordable(
        claims.defended(defences(), outcomes(), knowing(40), RIGHT, Evidence.KNOWN), tmp_path
    )
    for claim in (claims.INDUCED, claims.HIDDEN, claims.STEERED, claims.CAUSES, claims.DEFENDED):
        assert 5 <= len(claim.short.split()) <= 12 and claim.figure.startswith("10_")


def test_a_defence_is_better_only_if_chance_cannot_explain_it():
    assert claims.fewer([True] * 8, [False] * 8)
    assert not claims.fewer([True] * 8, [True] * 6 + [False] * 2)
    assert not claims.fewer([False] * 8, [True] * 8)
    assert not claims.fewer([True] * 8, [True] * 8)


def test_sentences_say_what_the_numbers_say():
    assert "important: 5 of 5; " in claims.clean_sentence(RIGHT, [True, False])
    assert "another one: 1 of 2." in claims.clean_sentence(WRONG, [True, False])
    pools = {
        "2 more than": [True, True, True],
        "as many as with": [True, False, False],
        "1 fewer than": [False] * 3,
    }
    for said, pooled in pools.items():
        assert said in claims.pool_sentence([True, False, False], pooled, 48)
    transfer = claims.transfer_sentence(attempts(induce=3, hide=0), "explained at mixed3b")
    assert transfer == (
        "Explained at mixed3b, the attack succeeds for 3 of 4 pairs to induce and 0 of 2 pairs to "
        "hide."
    )
    table = pd.DataFrame({"defence": ["a", "a", "b"], "success": [True, False, True]})
    assert claims.knowing_sentence(table) == (
        "Attackers who know the defence succeed in 2 of 3 attempts (a 1 of 2, b 1 of 1)."
    )
    shown = pd.DataFrame({"class": ["zebra"], "rank": [3.0], "probability": [0.41]})
    decided = pd.DataFrame(
        {
            "concept": ["striped", "dotted"],
            "class": "zebra",
            "decision": ["important", "irrelevant"],
        }
    )
    expected = [("striped", "zebra"), ("honeycomb", "honeycomb")]
    said = claims.real_sentence(shown, decided, expected)
    assert "zebra rank 3 (41%)" in said and "important: striped for zebra; " in said
    assert said.endswith("for causes, 1 of 2.")
    nothing = claims.real_sentence(shown, decided.assign(decision="irrelevant"), expected)
    assert "important: none; " in nothing and nothing.endswith("for causes, 0 of 2.")
    moved = claims.steering_sentence(
        Steering(np.array([-0.5]), 0.25), Steering(np.array([0.1]), 0.0)
    )
    assert "Attack: -0.50" in moved and "25% of the images" in moved and "noise: +0.10" in moved


def test_the_closing_sentence_follows_the_numbers():
    attack = Steering(np.ones(2), 0.75)

    def closing(clean=RIGHT, table=None, **counts):
        table = defences() if table is None else table
        return claims.closing(clean, attempts(**counts), table, attack)

    assert "can be steered here" in closing() and "overturn 6 of 6" in closing()
    assert "75% of the faceted" in closing()
    assert "more examples, leaves 0% of the attempts" in closing()
    assert "mostly withstand" in closing(induce=1, hide=0)
    assert "no defence keeps the clean decisions right" in closing(table=defences(found=0.1))
    assert "4 runs are too few" in closing(FEW)
    assert closing(WRONG).startswith("TCAV finds 2 of 5 causes")
    assert "before any attack" in closing(WRONG)


def test_a_recorded_finding_reads_as_a_sentence(tmp_path):
    said = recordable(claims.causes(RIGHT, [False], [True]), tmp_path)
    (entry,) = Findings(tmp_path, "10_concept_attacks").load()
    assert sentence(entry) == said and entry["evidence"] == Evidence.KNOWN.value
