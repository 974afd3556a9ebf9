"""Findings, one a claim."""

from gc_utils.evidence.findings import (
    COLUMNS,
    VERDICTS,
    Findings,
    finding_cells,
    load_findings,
    sentence,
)

__all__ = [
    "COLUMNS",
    "Findings",
    "VERDICTS",
    "finding_cells",
    "load_findings",
    "sentence",
]
