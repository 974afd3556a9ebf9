"""Findings: one a claim, kept in the run folder, read as a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from gc_utils.errors import UserError
from gc_utils.evidence import Findings, load_findings, load_readable
from gc_utils.evidence.findings import shown


def test_a_finding_reads_as_a_sentence(tmp_path, record):
    said = record(Findings(tmp_path, "03_cluster"))
    assert said == Findings(tmp_path, "03_cluster").sentence("GC1")
    assert said == (
        "GC1, features cluster into families (Gorton 2024, section 4): measured 0.25 [0.125, 0.5]; "
        "reproduced: on held-out photographs."
    )


def test_a_finding_recorded_again_replaces_the_old_one(tmp_path, record):
    findings = Findings(tmp_path, "03_cluster")
    record(findings)
    record(findings, "GC2", value={"ours": 1, "theirs": 12345.6}, interval=None)
    record(findings, verdict="not reproduced")
    record(Findings(tmp_path, "04_symmetry"), "GC3")
    found = load_findings(tmp_path)
    assert [entry["id"] for entry in found] == ["GC2", "GC1", "GC3"]
    assert found[1]["verdict"] == "not reproduced"
    assert "ours 1, theirs 12346" in findings.sentence("GC2")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": "reproducd"}, "did you mean 'reproduced'"),
        ({"value": float("nan")}, "not a finite number"),
        ({"value": {"a": np.inf}}, "not a finite number"),
        ({"value": object()}, "cannot record a object"),
        ({"interval": (2, 1)}, "an interval is"),
        ({"why": " "}, "why is empty"),
    ],
)
def test_a_finding_that_says_nothing_is_refused(tmp_path, record, changes, said):
    with pytest.raises(UserError, match=said):
        record(Findings(tmp_path, "03_cluster"), **changes)
    assert load_findings(tmp_path) == []


@pytest.mark.parametrize("text", ["", '[{"id": "GC1"', "{}", "[1]", '[{"id": "GC1"}]', "[\xff]"])
def test_a_damaged_file_is_named_and_its_notebook_records_again(tmp_path, record, text):
    record(Findings(tmp_path, "03_cluster"))
    damaged = tmp_path / "results" / "04_symmetry.json"
    damaged.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError) as told:
        load_findings(tmp_path)
    message = str(told.value)
    assert message.startswith(f"{damaged.resolve()} is no list of findings: ")
    assert message.endswith("Run the notebook 04_symmetry again.") and "\n" not in message
    entries, messages = load_readable(tmp_path)
    assert [entry["id"] for entry in entries] == ["GC1"] and messages == [message]
    record(Findings(tmp_path, "04_symmetry"), "GC3")
    assert [entry["id"] for entry in load_findings(tmp_path)] == ["GC1", "GC3"]
    assert load_readable(tmp_path)[1] == []


def test_what_several_numbers_are_about_is_said_once():
    value = {"fold 0: purity": [0.8, 0.5], "fold 0: p": 0.001, "fold 1: purity": [0.7, 0.5]}
    assert shown(value) == "fold 0: purity 0.8, 0.5, p 0.001; fold 1: purity 0.7, 0.5"
    assert shown({"a": 1, "b": 2.0}) == "a 1, b 2"
    assert shown({"a": 1, "fold 0: b": 2, "c": 3}) == "a 1; fold 0: b 2, c 3"
