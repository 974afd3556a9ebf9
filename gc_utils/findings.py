"""What a notebook leaves behind for the report: findings, one a claim, and figures with captions.

findings = Findings(run_dir, "03_cluster")
findings.record(
    "GC2",
    claim="separates feature families better than standard sparse autoencoders",
    source="Gorton 2024, section 4",
    value={"crosscoder": 0.41, "SAE": 0.22},
    interval=(0.12, 0.26),
    verdict="only on the embedded default",
    why="with the paper's network there was no data to train on",
)
print(findings.sentence("GC2"))
save_figure(figure, run_dir, "03_umap", "Features of the crosscoder, coloured by label.")
"""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gc_utils.errors import UserError, choose

VERDICTS = ("reproduced", "only on the embedded default", "not reproduced")
# Papers whose claims are tested: title, arXiv number, beginning of the claims' ids, notebooks.
PAPERS = (
    ("Group Crosscoders for Mechanistic Analysis of Symmetry", "2410.24184", "GC", "01 to 05"),
    ("The Missing Curve Detectors of InceptionV1", "2406.03662", "MC", "06"),
    ("Identifying and interpreting tuning dimensions in deep networks", "2011.03043", "TD", "07"),
    ("On the Symmetries of Deep Learning Models", "2205.14258", "IG", "08"),
    ("The Persian Rug", "2410.12101", "PR", "09"),
    ("Making Corgis Important for Honeycomb Classification", "2110.07120", "CA", "10"),
)
COLUMNS = ("claim", "source", "measured", "verdict", "notebook")


class Findings:
    """The findings of one notebook, kept in `results/<notebook>.json` of the run folder.

    Args:
        run_dir: the run folder.
        notebook: the notebook's name without ending (`"03_cluster"`).
    """

    def __init__(self, run_dir: str | os.PathLike, notebook: str):
        self.notebook = notebook
        self.path = Path(run_dir) / "results" / f"{notebook}.json"

    def record(
        self,
        id: str,
        claim: str,
        source: str,
        value: Any,
        interval: Sequence[float] | None = None,
        *,
        verdict: str,
        why: str,
    ) -> str:
        """Write one finding; an earlier one of the same id is replaced.

        Args:
            id: the claim's id (`"GC1"`).
            claim: what is claimed, so that it reads on after "The paper claims that features …".
            source: where the paper says it.
            value: what was measured: a number, a string, or a small dictionary of them.
            interval: low and high end of the number's interval, in the number's unit.
            verdict: one of `VERDICTS`.
            why: the reason for the verdict, a sentence without its full stop.

        Returns:
            The finding as a sentence.

        Raises:
            UserError: unknown verdict, an interval that is not (low, high), a value that is not
                finite, an empty text.
        """
        for name, text in {"id": id, "claim": claim, "source": source, "why": why}.items():
            if not text.strip():
                raise UserError(f"finding {id!r}: {name} is empty")
        entry = {
            "id": id,
            "claim": claim.strip().rstrip("."),
            "source": source.strip().rstrip("."),
            "value": _plain(value, id),
            "interval": None if interval is None else [_plain(end, id) for end in interval],
            "verdict": choose(verdict, VERDICTS, "verdict"),
            "why": why.strip().rstrip("."),
            "notebook": self.notebook,
        }
        ends = entry["interval"]
        if ends is not None and not (len(ends) == 2 and ends[0] <= ends[1]):
            raise UserError(f"finding {id!r}: an interval is (low, high), not {tuple(ends)}")
        others = [old for old in self.load() if old["id"] != id]
        write_json(self.path, [*others, entry])
        return sentence(entry)

    def load(self) -> list[dict]:
        """This notebook's findings so far, in the order in which they were made."""
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else []

    def sentence(self, id: str) -> str:
        """The finding `id` as a sentence for a reader."""
        found = {entry["id"]: entry for entry in self.load()}
        return sentence(found[choose(id, found, "finding")])


def load_findings(run_dir: str | os.PathLike) -> list[dict]:
    """All findings of a run folder, in the order of its notebooks."""
    paths = sorted((Path(run_dir) / "results").glob("*.json"))
    return [entry for path in paths for entry in json.loads(path.read_text(encoding="utf-8"))]


def sentence(entry: dict) -> str:
    """One finding in words: claim, source, what was measured, verdict and reason."""
    return (
        f"{entry['id']}, {entry['claim']} ({entry['source']}): measured {measured(entry)}; "
        f"{entry['verdict']}: {entry['why']}."
    )


def measured(entry: dict) -> str:
    """The value of a finding with its interval, as text."""
    ends = entry["interval"]
    text = _show(entry["value"])
    return text if ends is None else f"{text} [{_show(ends[0])}, {_show(ends[1])}]"


def markdown_table(findings: Iterable[dict]) -> str:
    """Findings as a Markdown table, one row a claim (the README's table)."""
    lines = [
        "| id | claim | source | measured | verdict | notebook |",
        "|---|---|---|---|---|---|",
    ]
    for entry in findings:
        cells = [entry["id"], *_cells(entry)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def html_table(findings: Iterable[dict], marks: Mapping[str, str] | None = None) -> str:
    """Findings as an HTML table, one row a claim (the report's table).

    Args:
        findings: the findings, in the order of the rows.
        marks: HTML to put behind a notebook's name in its rows, by that name.
    """
    rows, marks = [], marks or {}
    for entry in findings:
        mark = VERDICTS.index(entry["verdict"])
        cells = "".join(
            f'<td class="verdict v{mark}">{html.escape(cell)}</td>'
            if name == "verdict"
            else f"<td>{html.escape(cell)}{marks.get(cell, '') if name == 'notebook' else ''}</td>"
            for name, cell in zip(COLUMNS, _cells(entry), strict=True)
        )
        rows.append(f'<tr><th scope="row">{html.escape(entry["id"])}</th>{cells}</tr>')
    head = "".join(f'<th scope="col">{name}</th>' for name in ("id", *COLUMNS))
    body = "\n".join(rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


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


def save_figure(figure, run_dir: str | os.PathLike, name: str, caption: str) -> Path:
    """Save a matplotlib figure for the report, its caption inside the file.

    Args:
        figure: a matplotlib Figure.
        run_dir: the run folder; the file is `figures/<name>.png`, 150 dots an inch.
        name: begins with the notebook's number (`"03_umap"`), which puts it under that notebook.
        caption: what the figure shows, one or two sentences.

    Returns:
        Where it was saved.

    Raises:
        UserError: no number in the name, or no caption.
    """
    if not re.fullmatch(r"\d\d\w*_[\w-]+", name):
        raise UserError(
            f"figure name {name!r} should be like '03_umap': notebook number, then name"
        )
    if not caption.strip():
        raise UserError(f"figure {name!r} has no caption")
    path = Path(run_dir) / "figures" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    # No Software entry: the same figure gives the same bytes whatever wrote it.
    metadata = {"Title": name, "Description": caption.strip(), "Software": None}
    figure.savefig(path, dpi=150, bbox_inches="tight", metadata=metadata)
    return path


def caption(path: str | os.PathLike) -> str:
    """The caption that `save_figure` stored in a figure, empty for any other PNG."""
    from PIL import Image

    with Image.open(path) as image:
        return image.info.get("Description", "")


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    draft.write_text(text + "\n", encoding="utf-8")
    os.replace(draft, path)


def _cells(entry: dict) -> list[str]:
    verdict = f"{entry['verdict']}: {entry['why']}"
    return [entry["claim"], entry["source"], measured(entry), verdict, entry["notebook"]]


def _plain(value: Any, id: str) -> Any:
    """Numbers of any library as Python's own, refusing what JSON cannot say."""
    if isinstance(value, dict):
        return {str(key): _plain(item, id) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, id) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not -float("inf") < value < float("inf"):
        raise UserError(f"finding {id!r}: {value} is not a finite number")
    if not isinstance(value, (str, int, float, bool)):
        raise UserError(f"finding {id!r}: cannot record a {type(value).__name__}")
    return value


def _show(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_show(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_show, value))
    if isinstance(value, float):
        # Three significant digits, but integers above 1000 keep theirs.
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
