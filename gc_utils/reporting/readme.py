"""The tables of papers and claims in the README, from a run's findings."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from gc_utils.errors import UserError
from gc_utils.evidence.findings import VERDICTS, finding_cells, load_findings

# Papers whose claims are tested: title, arXiv number, beginning of the claims' ids, notebooks.
PAPERS = (
    ("Group Crosscoders for Mechanistic Analysis of Symmetry", "2410.24184", "GC", "01 to 05"),
    ("The Missing Curve Detectors of InceptionV1", "2406.03662", "MC", "06"),
    ("Identifying and interpreting tuning dimensions in deep networks", "2011.03043", "TD", "07"),
    ("On the Symmetries of Deep Learning Models", "2205.14258", "IG", "08"),
    ("The Persian Rug", "2410.12101", "PR", "09"),
    ("Making Corgis Important for Honeycomb Classification", "2110.07120", "CA", "10"),
)


def markdown_table(findings: Iterable[dict]) -> str:
    """Findings as a Markdown table, one row a claim (the README's table)."""
    lines = [
        "| id | claim | source | measured | verdict | notebook |",
        "|---|---|---|---|---|---|",
    ]
    for entry in findings:
        cells = [entry["id"], *finding_cells(entry)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def papers_table(findings: Iterable[dict]) -> str:
    """One row a paper: its notebooks, and its claims by verdict (the README's table of papers).

    Claims of our own, which the findings' `source` says, are left out.
    """
    entries = [e for e in findings if not e["source"].startswith("our")]
    heads = ["paper", "notebooks", *VERDICTS]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for title, number, prefix, notebooks in PAPERS:
        mine = [e for e in entries if re.fullmatch(rf"{prefix}\d+", e["id"])]
        by_verdict = [
            ", ".join(e["id"] for e in mine if e["verdict"] == verdict) or "–"
            for verdict in VERDICTS
        ]
        link = f"[{title}](https://arxiv.org/abs/{number})"
        lines.append("| " + " | ".join([link, notebooks, *by_verdict]) + " |")
    return "\n".join(lines) + "\n"


def update_readme(readme: str | os.PathLike, run_dir: str | os.PathLike) -> None:
    """Put a run's tables of papers and claims between the README's marks.

    Raises:
        UserError: no `<!-- papers -->` or `<!-- claims -->` marks.
    """
    path = Path(readme)
    text, found = path.read_text(encoding="utf-8"), load_findings(run_dir)
    for name, table in (("papers", papers_table(found)), ("claims", markdown_table(found))):
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not marks.search(text):
            raise UserError(f"{path} has no <!-- {name} --> and <!-- /{name} --> marks")
        text = marks.sub(lambda place, table=table: place[1] + table + place[2], text)
    path.write_text(text, encoding="utf-8")
