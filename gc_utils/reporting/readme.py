"""The tables of papers and claims in the README, from a run's findings."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from gc_utils.errors import UserError
from gc_utils.evidence.findings import VERDICTS, finding_cells, load_findings
from gc_utils.pipeline import RECORDS, Record, papers


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


def papers_table(findings: Iterable[dict], records: Iterable[Record] = RECORDS) -> str:
    """One row a paper: its notebooks, and its claims by verdict (the README's table of papers).

    Args:
        findings: the findings of a run; those of claims of our own are left out.
        records: which notebooks are about which paper and its claims.
    """
    entries = list(findings)
    heads = ["paper", "notebooks", *VERDICTS]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for paper, chapters in papers(records).items():
        claims = {id for record in chapters for id in record.claims}
        mine = [e for e in entries if e["id"] in claims]
        by_verdict = [
            ", ".join(e["id"] for e in mine if e["verdict"] == verdict) or "–"
            for verdict in VERDICTS
        ]
        link = f"[{paper.title}](https://arxiv.org/abs/{paper.arxiv})"
        notebooks = " to ".join(dict.fromkeys([chapters[0].number, chapters[-1].number]))
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
