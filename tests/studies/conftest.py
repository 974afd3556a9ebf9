"""What the tests of the studies share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gc_utils.evidence import Finding, Findings


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[[Finding], Finding]:
    """Record a finding as a notebook does, after a look at its reason's length; returns it."""

    def record(finding: Finding) -> Finding:
        assert finding.why and len(finding.why.split()) <= 25, finding.why
        said = Findings(tmp_path, "00_any").record(finding)
        assert finding.claim.id in said and finding.verdict in said and finding.why in said
        return finding

    return record
