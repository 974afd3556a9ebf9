"""The generated tables of the README: its notebooks, and one line a claim."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gc_utils.errors import UserError
from gc_utils.evidence.findings import load_findings
from gc_utils.files import write_whole
from gc_utils.reporting.claims import (
    arxiv_link,
    cell,
    read_manifest,
    reduce_figure,
    setting,
    write_claims,
)

if TYPE_CHECKING:
    from gc_utils.pipeline.notebooks import Notebook

CARDS = "04_telling"  # the figure at the top of the README


def claims_table(findings: Iterable[dict]) -> str:
    """One line a claim, with a link to its section in `docs/claims.md`."""
    lines = ["| id | claim | verdict | |", "|---|---|---|---|"]
    for entry in findings:
        link = f"[numbers](docs/claims.md#{entry['id'].lower()})"
        cells = [entry["id"], entry.get("short") or entry["claim"], entry["verdict"], link]
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    return "\n".join(lines) + "\n"


def notebooks_table(notebooks: Iterable[Notebook]) -> str:
    """One line a notebook: the question it answers, and its paper."""
    lines = ["| notebook | answers | paper |", "|---|---|---|"]
    for notebook in notebooks:
        paper = notebook.record.paper
        link = arxiv_link(paper) if paper else ""
        question = notebook.title.partition("·")[2].strip() or notebook.title
        lines.append(f"| `{notebook.name}` | {cell(question)} | {link} |")
    return "\n".join(lines) + "\n"


def update_readme(
    root: str | os.PathLike, run_dir: str | os.PathLike, notebooks: Sequence[Notebook]
) -> list[Path]:
    """Write what the repository says of a run: the README's tables, `docs/claims.md`, its figures.

    Args:
        root: The repository's folder, with `README.md`.
        run_dir: A finished run.
        notebooks: The notebooks, with their records, in their order.

    Returns:
        The files that were written.

    Raises:
        UserError: The README lacks the marks `<!-- notebooks -->` or `<!-- claims -->` with their
            ends, or the run has no findings or a damaged file of them. Nothing is written then.
    """
    root, run_dir = Path(root), Path(run_dir)
    manifest = read_manifest(run_dir)
    readme = root / "README.md"
    if not readme.is_file():
        raise UserError(f"there is no README.md in {root.resolve()}: name the repository's folder.")
    text, found = readme.read_text(encoding="utf-8"), load_findings(run_dir)
    tables = {
        "notebooks": notebooks_table(notebooks),
        "claims": f"From one run: {setting(manifest)}.\n\n{claims_table(found)}",
    }
    for name, table in tables.items():
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not marks.search(text):
            raise UserError(f"{readme} has no <!-- {name} --> and <!-- /{name} --> marks")
        text = marks.sub(lambda place, table=table: place[1] + table + place[2], text)
    written = [write_claims(root / "docs", run_dir, notebooks)]
    cards = run_dir / "figures" / f"{CARDS}.png"
    if cards.is_file():
        written.append(root / "docs" / "telling.png")
        reduce_figure(cards, written[-1])
    with write_whole(readme) as draft:
        draft.write_text(text, encoding="utf-8")
    return [readme, *written]
