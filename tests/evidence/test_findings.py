"""Findings: one a claim, kept in the run folder, read as a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from gc_utils.errors import UserError
from gc_utils.evidence import Findings, load_findings


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
