"""The rule of verdicts, and the record of a finding."""

from __future__ import annotations

import json

import pytest

from gc_utils.errors import UserError
from gc_utils.evidence import (
    VERDICTS,
    Claim,
    Evidence,
    Finding,
    Findings,
    load_findings,
    network_evidence,
    verdict,
)

CLAIM = Claim("XX1", "Things are so", "things are so", "Somebody 2024", "they are so", "01_things")


@pytest.mark.parametrize(
    ("holds", "evidence", "word"),
    [
        (True, Evidence.KNOWN, "reproduced"),
        (True, Evidence.PAPER, "reproduced"),
        (True, Evidence.PHOTOGRAPHS, "reproduced on another network trained on photographs"),
        (True, Evidence.DEFAULT, "only on the embedded default"),
        (True, Evidence.UNTRAINED, "not tested here"),
        (False, Evidence.KNOWN, "not reproduced"),
        (False, Evidence.PAPER, "not reproduced"),
        (False, Evidence.PHOTOGRAPHS, "not reproduced"),
        (False, Evidence.DEFAULT, "not reproduced"),
        (False, Evidence.UNTRAINED, "not tested here"),
        *((None, evidence, "not tested here") for evidence in Evidence),
    ],
)
def test_the_word_follows_from_what_holds_and_what_was_looked_at(holds, evidence, word):
    assert verdict(holds, evidence) == word
    assert word in VERDICTS


@pytest.mark.parametrize("evidence", Evidence)
@pytest.mark.parametrize("holds", [True, False, None])
def test_a_finding_says_whether_its_claim_held(holds, evidence):
    finding = Finding(CLAIM, 1, verdict(holds, evidence), "so", evidence=evidence)
    assert finding.held is (None if evidence is Evidence.UNTRAINED else holds)


@pytest.mark.parametrize(
    ("model", "weights", "evidence"),
    [
        ("inceptionv1", "inception5h", Evidence.PAPER),
        ("inceptionv1", "bvlc_googlenet", Evidence.PHOTOGRAPHS),
        ("inceptionv1", "demo", Evidence.DEFAULT),
        ("inceptionv1", "random", Evidence.UNTRAINED),
        ("inceptionv1", "my-weights.safetensors", Evidence.PHOTOGRAPHS),
        ("googlenet", "IMAGENET1K_V1", Evidence.PHOTOGRAPHS),
        ("resnet18", "random", Evidence.UNTRAINED),
        ("filter_bank", "analytic", Evidence.UNTRAINED),
        ("planted", "", Evidence.UNTRAINED),
    ],
)
def test_a_network_says_what_it_is_evidence_of(model, weights, evidence):
    assert network_evidence(model, weights) is evidence


def test_a_paper_may_have_studied_another_network_or_none_that_can_be_had():
    assert network_evidence("resnet18", "V1", paper=("resnet18", "V1")) is Evidence.PAPER
    assert network_evidence("inceptionv1", "inception5h", paper=None) is Evidence.PHOTOGRAPHS


def test_a_finding_is_kept_with_its_claim(tmp_path):
    word = verdict(True, Evidence.DEFAULT)
    finding = Finding(CLAIM, {"share": 0.5}, word, "a half of all", (0.4, 0.6), Evidence.DEFAULT)
    said = Findings(tmp_path, "01_first").record(finding)
    assert said == (
        "XX1, things are so (Somebody 2024): measured share 0.5 [0.4, 0.6]; "
        "only on the embedded default: a half of all."
    )
    (entry,) = load_findings(tmp_path)
    assert entry["words"] == "they are so" and entry["figure"] == "01_things"
    assert entry["evidence"] == Evidence.DEFAULT.value and entry["short"] == "Things are so"
    assert json.loads((tmp_path / "results" / "01_first.json").read_text()) == [entry]
    Findings(tmp_path, "01_first").record(Finding(CLAIM, 1, verdict(False, Evidence.PAPER), "no"))
    (entry,) = load_findings(tmp_path)
    assert entry["verdict"] == "not reproduced" and entry["value"] == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"verdict": "maybe"}, "verdict"),
        ({"why": " "}, "why"),
        ({"value": float("nan")}, "finite"),
        ({"interval": (2, 1)}, "interval"),
    ],
)
def test_a_finding_that_says_nothing_is_refused(tmp_path, changes, named):
    parts = {"claim": CLAIM, "value": 1, "verdict": VERDICTS[0], "why": "so"} | changes
    with pytest.raises(UserError, match=named):
        Findings(tmp_path, "01_first").record(Finding(**parts))
    assert load_findings(tmp_path) == []


def test_claims_of_our_own_are_known_by_their_source():
    assert not CLAIM.ours
    assert Claim("YY1", "a", "a", "ours").ours and Claim("YY2", "a", "a", "our question").ours
