"""Findings, one a claim, and the one rule that decides each verdict."""

from gc_utils.evidence.findings import (
    COLUMNS,
    Claim,
    Finding,
    Findings,
    load_findings,
    load_readable,
    measured,
    sentence,
)
from gc_utils.evidence.verdicts import VERDICTS, Evidence, network_evidence, verdict

__all__ = [
    "COLUMNS",
    "Claim",
    "Evidence",
    "Finding",
    "Findings",
    "VERDICTS",
    "load_findings",
    "load_readable",
    "measured",
    "network_evidence",
    "sentence",
    "verdict",
]
