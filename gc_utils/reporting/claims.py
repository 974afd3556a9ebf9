"""`docs/claims.md`: a section for every claim, the embedded default beside a real network."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from gc_utils.evidence.findings import shown
from gc_utils.evidence.verdicts import MEANINGS, VERDICTS
from gc_utils.figures.saving import caption
from gc_utils.files import write_whole
from gc_utils.pipeline import RECORDS, Record, papers
from gc_utils.reporting.columns import Column, parameters_of, read_manifest, subject
from gc_utils.reporting.rendering import render

if TYPE_CHECKING:
    from gc_utils.pipeline.notebooks import Notebook
    from gc_utils.pipeline.record import Paper

WIDEST = 1400  # pixels of a figure on the page
LONGEST = 12  # rows of a table of numbers that is shown unfolded
COLUMNS = ("embedded default", "real network")
REAL = "real_"  # figures of the real network begin so


def write_claims(
    docs: str | os.PathLike,
    default: Column,
    real: Column | None,
    notebooks: Sequence[Notebook],
) -> Path:
    """Write `claims.md`; figures of an earlier page that are no longer shown are deleted.

    Args:
        docs: The folder of the page; its figures are in `claims/` there, those of the real network
            under names that begin with `REAL`.
        default: What was found on the embedded default.
        real: What was found on a real network; None if nothing was.
        notebooks: The notebooks, with their records, in their order.

    Returns:
        Where the page was written.
    """
    docs = Path(docs)
    by_notebook = {n.name: n for n in notebooks}
    by_paper: dict[Paper | None, list[dict]] = {}
    kept: set[str] = set()
    for pair in pairs(default, real):
        section = _section(*pair, default, real)
        kept |= {Path(figure["path"]).name for figure in section["figures"]}
        notebook = by_notebook.get(section["notebook"])
        by_paper.setdefault(notebook.record.paper if notebook else None, []).append(section)
    for old in (docs / "claims").glob("*.png"):
        if old.name not in kept:
            old.unlink()
    page = render(
        "claims.md",
        setting=default.setting,
        real=real.setting if real else "",
        columns=COLUMNS,
        meanings=MEANINGS,
        overview=papers_table(
            default.findings, [n.record for n in notebooks], real.findings if real else ()
        ),
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


def pairs(
    default: Column, real: Column | None, records: Iterable[Record] = RECORDS
) -> list[tuple[dict | None, dict | None]]:
    """The findings of both columns, a claim each, in the default's order; None for what lacks.

    What is found of networks that a notebook trains itself (`Record.own_networks`) is nothing of a
    real network: it is said once, on the left.
    """
    left, right = default.by_id, real.by_id if real else {}
    found = [
        (left.get(id), right.get(id)) for id in [*left, *(id for id in right if id not in left)]
    ]
    own = {id for record in records for id in record.own_networks}
    return [(one, None if one and one["id"] in own else other) for one, other in found]


def papers_table(
    findings: Iterable[dict],
    records: Iterable[Record] = RECORDS,
    real: Iterable[dict] = (),
) -> str:
    """One row a paper: its notebooks, and its claims by verdict, as a Markdown table.

    Args:
        findings: The findings of a run; those of claims of our own are left out.
        records: Which notebooks are about which paper and its claims.
        real: Those of a run on a real network: a second row for each paper that it looked at.
    """
    found = pairs(Column("", list(findings)), Column("", list(real)))
    entries, others = [one for one, _ in found if one], [other for _, other in found if other]
    rows = []
    for paper, chapters in papers(records).items():
        claims = {id for record in chapters for id in record.claims}
        link = f"[{paper.title}](https://arxiv.org/abs/{paper.arxiv})"
        numbers = " to ".join(dict.fromkeys([chapters[0].number, chapters[-1].number]))
        rows.append([link, numbers, *_by_verdict(entries, claims)])
        if any(e["id"] in claims for e in others):
            rows.append([f"the same, on the {COLUMNS[1]}", "", *_by_verdict(others, claims)])
    return _table(["paper", "notebooks", *VERDICTS], rows) + "\n"


def _by_verdict(entries: Sequence[dict], claims: set[str]) -> list[str]:
    mine = [e for e in entries if e["id"] in claims]
    return [", ".join(e["id"] for e in mine if e["verdict"] == v) or "–" for v in VERDICTS]


def numbers_table(value: Any, interval: Sequence[float] | None = None) -> str:
    """What was measured, as a Markdown table; a long one is folded.

    Args:
        value: A finding's value: one number or text, or a dictionary of them. Keys that all have
            the form `"row: column"` make a table of rows and columns.
        interval: Low and high end of the number's interval.
    """
    return _folded(plain_numbers(value, interval), len(_named(value)))


def plain_numbers(value: Any, interval: Sequence[float] | None = None) -> str:
    """The same, never folded. Numbers that two subjects share stand side by side."""
    values = _named(value)
    if len(values) > 3 and all(key.count(": ") == 1 for key in values):
        tables = [_crossed({tuple(key.split(": ")): item for key, item in values.items()})]
    else:
        beside, left = _side_by_side(values)
        rows = [[key, _listed(item)] for key, item in left.items()]
        tables = [_crossed(beside)] if beside else []
        tables += [_table(["number", "value"], rows)] if rows else []
    if interval is not None:
        tables.append(f"Interval: {_ends(interval)}")
    return "\n\n".join(tables)


def _side_by_side(
    values: Mapping[str, Any],
) -> tuple[dict[tuple[str, str], Any], dict[str, Any]]:
    """Numbers named `"subject, number"` that are the same for two subjects or more; and the rest.

    Returns:
        The numbers by name and subject, and those that stand alone, by key.
    """
    by_subject: dict[str, list[str]] = {}
    for key in values:
        subject, comma, name = key.partition(", ")
        if comma:
            by_subject.setdefault(subject, []).append(name)
    sets = [tuple(names) for names in by_subject.values()]
    shared = {s for s, names in by_subject.items() if len(names) > 2 and sets.count((*names,)) > 1}
    beside, left = {}, {}
    for key, item in values.items():
        subject, comma, name = key.partition(", ")
        if comma and subject in shared:
            beside[name, subject] = item
        else:
            left[key] = item
    return beside, left


def is_long(value: Any) -> bool:
    """Whether a finding has so many numbers that a reader is shown them on demand."""
    return len(_named(value)) > LONGEST


def both_numbers(default: Mapping[str, Any], real: Mapping[str, Any]) -> str:
    """What was measured for a claim on either network, side by side, as a Markdown table.

    Args:
        default: The finding on the embedded default.
        real: The one on the real network. A number that only one of them has leaves a cell empty.
    """
    values = [_named(entry["value"]) for entry in (default, real)]
    names = list(dict.fromkeys([*values[0], *values[1]]))
    rows = [[name, *(_listed(v[name]) if name in v else "" for v in values)] for name in names]
    ends = [entry["interval"] for entry in (default, real)]
    if any(end is not None for end in ends):
        rows.append(["interval", *("" if end is None else _ends(end) for end in ends)])
    return _folded(_table(["number", *COLUMNS], rows), len(names))


def _named(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"measured": value}


def _ends(interval: Sequence[float]) -> str:
    return f"{shown(interval[0])} to {shown(interval[1])}"


def _folded(table: str, rows: int) -> str:
    if rows <= LONGEST:
        return table
    return f"<details><summary>{rows} numbers</summary>\n\n{table}\n\n</details>"


def _crossed(values: Mapping[tuple[str, str], Any]) -> str:
    """A table of numbers by row and column."""
    rows, columns = (list(dict.fromkeys(key[side] for key in values)) for side in (0, 1))
    cells = {key: _listed(item) for key, item in values.items()}
    return _table(["", *columns], [[r, *(cells.get((r, c), "") for c in columns)] for r in rows])


def _listed(item: Any) -> str:
    """A number as the cell of a table; a list of several results has a line for each."""
    text = shown(item)
    return text.replace("; ", "<br>") if text.count("; ") > 1 else text


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


def _section(
    left: dict | None, right: dict | None, default: Column, real: Column | None
) -> dict[str, Any]:
    """What the page says of a claim; `left` and `right` are its findings, one at least."""
    entry = left or right
    looked_at = [entry.get("evidence", ""), entry["network"]]
    looked_at += [f"images {entry['images']}"] if entry["images"] else []
    if left and right:
        verdicts = [("verdict", *(f"**{e['verdict']}**" for e in (left, right)))]
        verdicts += [(name, left[name], right[name]) for name in ("why", "network", "images")]
        verdicts += [("repeat it", *(f"`{e['command']}`" for e in (left, right)))]
        table = _table(["", *COLUMNS], [row for row in verdicts if any(row[1:])])
        numbers = both_numbers(left, right)
    else:
        table, numbers = "", numbers_table(entry["value"], entry["interval"])
    return entry | {
        "short": entry.get("short") or entry["claim"],
        "words": entry.get("words", ""),
        "column": COLUMNS[0] if left else COLUMNS[1],
        "both": table,
        "looked_at": "; ".join(part for part in looked_at if part),
        "numbers": numbers,
        "figures": _figures(left, right, default, real),
    }


def _figures(
    left: dict | None, right: dict | None, default: Column, real: Column | None
) -> list[dict[str, str]]:
    """The figures of a claim that may be shown, those of the real network as `real_NAME`."""
    found = []
    for entry, column, name, start in (
        (left, default, COLUMNS[0], ""),
        (right, real, COLUMNS[1], REAL),
    ):
        if entry and column and (there := column.figures.get(entry.get("figure") or "")):
            whose = f"{name.capitalize()}{shown_on(there)}. " if right else ""
            path = f"claims/{start}{entry['figure']}.png"
            found.append({"path": path, "caption": f"{whose}{there['caption']}"})
    return found


def shown_on(there: Mapping[str, str]) -> str:
    """The images that a figure shows, and those that its dictionary saw, if these are others.

    Args:
        there: `images`, and `trained_on` or nothing.

    Returns:
        To be read on after the name of a network; empty where there are no images.
    """
    if not there.get("images"):
        return ""
    if trained_on := there.get("trained_on"):
        return f", trained on images {trained_on}, shown on images {there['images']}"
    return f", images {there['images']}"


def copy_figures(
    run_dir: str | os.PathLike,
    column: Column,
    folder: Path,
    start: str = "",
    *,
    trained_on: str = "",
    only: Container[str] | None = None,
) -> dict[str, dict[str, str]]:
    """Copy the figures that a column's claims name from a run to the page's folder, reduced.

    Args:
        run_dir: The run that has them, of images that may be shown by anybody.
        column: Which claims are on the page.
        folder: The folder of the page's figures; it is made.
        start: What the copies' names begin with.
        trained_on: The images that the run's dictionary was trained on, if these are others.
        only: Names of figures; others are passed over.

    Returns:
        For each that was there, its caption, and the network and images that it was made from.
    """
    found, of = {}, subject(parameters_of(read_manifest(run_dir))) | {"trained_on": trained_on}
    for name in dict.fromkeys(e.get("figure") or "" for e in column.findings):
        source = Path(run_dir) / "figures" / f"{name}.png"
        if name and source.is_file() and (only is None or name in only):
            reduce_figure(source, folder / f"{start}{name}.png")
            found[name] = {"caption": re.sub(r"[\[\]]", "", caption(source))} | of
    return found


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
