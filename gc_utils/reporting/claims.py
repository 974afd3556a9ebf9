"""`docs/claims.md`: a section for every claim, from the findings of one run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from gc_utils.errors import UserError
from gc_utils.evidence.findings import load_findings, shown
from gc_utils.evidence.verdicts import MEANINGS, VERDICTS
from gc_utils.figures.saving import caption
from gc_utils.files import write_whole
from gc_utils.pipeline import RECORDS, Record, papers
from gc_utils.reporting.rendering import render

if TYPE_CHECKING:
    from gc_utils.pipeline.notebooks import Notebook
    from gc_utils.pipeline.record import Paper

WIDEST = 1400  # pixels of a figure on the page
LONGEST = 12  # rows of a table of numbers that is shown unfolded
SETTING = ("model", "weights", "layer", "group", "images", "seed")


def write_claims(
    docs: str | os.PathLike, run_dir: str | os.PathLike, notebooks: Sequence[Notebook]
) -> Path:
    """Write `claims.md`, and a reduced copy of every figure that it shows, into a folder.

    Args:
        docs: The folder of the page; figures go to `claims/` in it, where those of an earlier
            page that are no longer shown are deleted.
        run_dir: A finished run.
        notebooks: The notebooks, with their records, in their order.

    Returns:
        Where the page was written.

    Raises:
        UserError: The run has no findings or a damaged file of them, or is no run.
    """
    docs, run_dir = Path(docs), Path(run_dir)
    manifest = read_manifest(run_dir)
    found = load_findings(run_dir)
    if not found:
        raise UserError(f"{run_dir.resolve()} has no findings: run the notebooks first.")
    by_notebook = {n.name: n for n in notebooks}
    figures = docs / "claims"
    by_paper: dict[Paper | None, list[dict]] = {}
    for entry in found:
        notebook = by_notebook.get(entry["notebook"])
        section = _section(entry, run_dir, figures, manifest, notebook, notebooks)
        by_paper.setdefault(notebook.record.paper if notebook else None, []).append(section)
    kept = {Path(s["figure"]).name for sections in by_paper.values() for s in sections}
    for old in figures.glob("*.png"):
        if old.name not in kept:
            old.unlink()
    page = render(
        "claims.md",
        setting=setting(manifest),
        meanings=MEANINGS,
        overview=papers_table(found, [n.record for n in notebooks]),
        papers=[
            {
                "title": paper.title if paper else "Other claims",
                "link": arxiv_link(paper) if paper else "",
                "claims": sections,
            }
            for paper, sections in by_paper.items()
        ],
    )
    path = docs / "claims.md"
    with write_whole(path) as draft:
        draft.write_text(page, encoding="utf-8")
    return path


def papers_table(findings: Iterable[dict], records: Iterable[Record] = RECORDS) -> str:
    """One row a paper: its notebooks, and its claims by verdict, as a Markdown table.

    Args:
        findings: The findings of a run; those of claims of our own are left out.
        records: Which notebooks are about which paper and its claims.
    """
    entries, rows = list(findings), []
    for paper, chapters in papers(records).items():
        claims = {id for record in chapters for id in record.claims}
        mine = [e for e in entries if e["id"] in claims]
        by_verdict = [
            ", ".join(e["id"] for e in mine if e["verdict"] == verdict) or "–"
            for verdict in VERDICTS
        ]
        link = f"[{paper.title}](https://arxiv.org/abs/{paper.arxiv})"
        numbers = " to ".join(dict.fromkeys([chapters[0].number, chapters[-1].number]))
        rows.append([link, numbers, *by_verdict])
    return _table(["paper", "notebooks", *VERDICTS], rows) + "\n"


def read_manifest(run_dir: Path) -> dict[str, Any]:
    """The content of a run folder's `run.json`.

    Raises:
        UserError: There is none, or it cannot be read.
    """
    path = run_dir / "run.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path.resolve()} is no run's record: {error}") from error
    if not isinstance(manifest, dict) or not {"preset", "parameters"} <= manifest.keys():
        raise UserError(f"{path.resolve()} is no run's record: it names no preset or parameters.")
    return manifest


def setting(manifest: Mapping[str, Any]) -> str:
    """What a run was made with, in a line."""
    asked = manifest["parameters"]
    parts = [f"{name} {asked[name]}" for name in SETTING if name in asked]
    return ", ".join([f"preset {manifest['preset']}", *parts])


def numbers_table(value: Any, interval: Sequence[float] | None = None) -> str:
    """What was measured, as a Markdown table.

    Args:
        value: A finding's value: one number or text, or a dictionary of them. Keys that all have
            the form `"row: column"` make a table of rows and columns.
        interval: Low and high end of the number's interval.
    """
    values = value if isinstance(value, dict) else {"measured": value}
    if len(values) > 3 and all(key.count(": ") == 1 for key in values):
        table = _crossed(values)
    else:
        rows = [[key, shown(item)] for key, item in values.items()]
        table = _table(["number", "value"], rows)
    if interval is not None:
        table += f"\n\nInterval: {shown(interval[0])} to {shown(interval[1])}"
    if len(values) <= LONGEST:
        return table
    return f"<details><summary>{len(values)} numbers</summary>\n\n{table}\n\n</details>"


def _crossed(values: Mapping[str, Any]) -> str:
    cells = {tuple(key.split(": ")): shown(item) for key, item in values.items()}
    columns = list(dict.fromkeys(column for _, column in cells))
    rows = [
        [row, *(cells.get((row, column), "") for column in columns)]
        for row in dict.fromkeys(row for row, _ in cells)
    ]
    return _table(["", *columns], rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(cell, line)) + " |" for line in lines)


def cell(text: str) -> str:
    """A text as the cell of a Markdown table."""
    return re.sub(r"\s+", " ", str(text)).replace("|", "\\|")


def arxiv_link(paper: Paper) -> str:
    """A link to a paper, as Markdown."""
    return f"[arXiv {paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})"


def repeat(preset: str, notebook: Notebook, notebooks: Sequence[Notebook]) -> str:
    """The command that makes a notebook's findings again, with the notebooks that it needs."""
    wanted = {notebook.number}
    for other in reversed(notebooks):  # a notebook needs earlier ones only
        if other.number in wanted:
            wanted |= set(other.record.needs)
    numbers = " ".join(n.number for n in notebooks if n.number in wanted)
    return f"python -m gc_utils run --preset {preset} --only {numbers}"


def _section(
    entry: dict,
    run_dir: Path,
    figures: Path,
    manifest: Mapping[str, Any],
    notebook: Notebook | None,
    notebooks: Sequence[Notebook],
) -> dict[str, Any]:
    source = run_dir / "figures" / f"{entry.get('figure') or '-'}.png"
    there = source.is_file()
    if there:
        reduce_figure(source, figures / source.name)
    return entry | {
        "short": entry.get("short") or entry["claim"],
        "words": entry.get("words", ""),
        "evidence": entry.get("evidence", ""),
        "numbers": numbers_table(entry["value"], entry["interval"]),
        "command": repeat(manifest["preset"], notebook, notebooks) if notebook else "",
        "figure": f"claims/{source.name}" if there else "",
        "caption": re.sub(r"[\[\]]", "", caption(source)) if there else "",
    }


def reduce_figure(source: Path, target: Path) -> None:
    """Copy a figure in 256 colours and at most `WIDEST` pixels wide, for a repository.

    Args:
        source: A PNG of a run.
        target: Where the copy goes; its folder is made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as image:
        small = image.convert("RGB")
        if small.width > WIDEST:
            height = round(small.height * WIDEST / small.width)
            small = small.resize((WIDEST, height), Image.Resampling.LANCZOS)
        with write_whole(target) as draft:
            small.quantize(256).save(draft, format="PNG", optimize=True)
