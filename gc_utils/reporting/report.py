"""The report of a run: one HTML page with everything inside, to be opened without a server."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape
from PIL import Image

from gc_utils.evidence.findings import VERDICTS, load_readable
from gc_utils.figures.saving import caption
from gc_utils.files import write_whole
from gc_utils.pipeline.presets import PRESETS
from gc_utils.pipeline.staleness import CODE, ran_with
from gc_utils.reporting.claims import is_long, plain_numbers
from gc_utils.reporting.gallery import gallery_of
from gc_utils.reporting.markdown import markdown_to_html
from gc_utils.reporting.rendering import render

if TYPE_CHECKING:
    from gc_utils.pipeline.notebooks import Notebook

QUALITY = 88  # of the figures
# By parameter: each value, and the notebooks that ran with it.
Values = dict[str, list[tuple[object, list[str]]]]


def write_report(run_dir: Path, notebooks: Iterable[Notebook]) -> Path:
    """Write `report.html` of a run folder from what is in it.

    Args:
        run_dir: The run folder, with `run.json`, `figures/` and `results/`.
        notebooks: The story's notebooks, for their order, questions and introductions.

    Returns:
        Where the report was written.
    """
    run_dir = Path(run_dir)
    manifest = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    records = manifest["notebooks"]
    # A report is written after every run, one that failed too: a damaged file must not stop it.
    findings, damaged = load_readable(run_dir)
    known = [n for n in notebooks if n.name in records]
    values = _values(manifest["parameters"], {n.name: ran_with(n, records[n.name]) for n in known})
    preset = PRESETS.get(manifest["preset"])
    gallery, current = gallery_of(run_dir)
    page = render(
        "report.html",
        setting=_setting(manifest["preset"], values),
        about=f"{preset.name}: {preset.about}." if preset else "",
        afterwards=preset.afterwards if preset else "",
        stale={name: record["stale"] for name, record in records.items() if "stale" in record},
        sections=[_section(n, records[n.name], findings, run_dir) for n in known],
        claims=[_claim(entry) for entry in findings],
        counts=[
            (word, VERDICTS.index(word), number)
            for word in VERDICTS
            if (number := sum(entry["verdict"] == word for entry in findings))
        ],
        damaged=damaged,
        gallery=gallery,
        gallery_current=current,
        records={name: _times(record) for name, record in records.items()},
        parameters={name: _say(found) for name, found in values.items()},
        versions=manifest["versions"],
        platform=manifest["platform"],
    )
    path = run_dir / "report.html"
    with write_whole(path) as draft:
        draft.write_text(page, encoding="utf-8")
    return path


def _section(
    notebook: Notebook, record: dict, findings: list[dict], run_dir: Path
) -> dict[str, Any]:
    """What the report shows of one notebook."""
    file = f"{notebook.name}.ipynb"
    return {
        "name": notebook.name,
        "title": _prose(notebook.title),
        "lead": Markup(markdown_to_html(notebook.lead)) if notebook.lead else "",
        "status": record["status"],
        "error": record.get("error", ""),
        "meaning": _meaning(record.get("stale", "")),
        "findings": [_claim(e) for e in findings if e["notebook"] == notebook.name],
        "figures": [_figure(path) for path in _figures(notebook, run_dir)],
        "file": file if (run_dir / file).exists() else "",
    }


def _claim(entry: dict) -> dict[str, Any]:
    """What the report shows of one finding: its card, and its numbers."""
    table = markdown_to_html(plain_numbers(entry["value"], entry["interval"]))
    return entry | {
        "anchor": entry["id"].lower(),
        "short": entry.get("short") or entry["claim"],
        "mark": VERDICTS.index(entry["verdict"]),
        "numbers": Markup(table.replace("&lt;br&gt;", "<br>")),  # lines of a cell, no other HTML
        "long": is_long(entry["value"]),
    }


def _times(record: dict) -> dict[str, Any]:
    """One row of the table of times."""
    made = ", ".join(p for p in record["outputs"] if "/" not in p)
    return {
        "status": record["status"],
        "seconds": record.get("seconds", ""),
        "peak_memory_mb": record.get("peak_memory_mb", ""),
        "made": made,
    }


def _figures(notebook: Notebook, run_dir: Path) -> list[Path]:
    """A notebook's figures in the order in which its text names them."""
    text = notebook.path.read_text(encoding="utf-8")
    paths = sorted((run_dir / "figures").glob(f"{notebook.number}_*.png"))
    last = len(text)
    return sorted(paths, key=lambda path: (text.find(path.stem) % (last + 1), path.stem))


def _figure(path: Path) -> dict[str, Any]:
    """A figure as the page holds it: a quarter of the size of its PNG, or the page opens late."""
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("RGB").save(buffer, "WEBP", quality=QUALITY, method=2)
        width, height = image.size
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"caption": caption(path) or path.stem, "data": data, "width": width, "height": height}


def _values(asked: dict, ran: dict[str, dict]) -> Values:
    """By parameter what it was, and in which notebooks; first what was last asked for."""
    names = dict.fromkeys([*asked, *(name for values in ran.values() for name in values)])
    found: Values = {}
    for name in names:
        found[name] = [(asked[name], [])] if name in asked else []
        for notebook, values in ran.items():
            if name not in values:
                continue
            same = next((where for value, where in found[name] if value == values[name]), None)
            if same is None:
                found[name].append((values[name], same := []))
            same.append(notebook)
    return found


def _say(found: list[tuple[object, list[str]]]) -> str:
    """A parameter's value; its values with the notebooks that ran with each, if they differ."""
    if len(found) == 1:
        return str(found[0][0])
    return "; ".join(
        f"{_shown(value)} ({', '.join(where) if where else 'last asked for'})"
        for value, where in found
    )


def _shown(value: object) -> str:
    return str(value) or "none"


def _meaning(reason: str) -> str:
    """What it means for a reader that a section's products do not belong to the others."""
    if reason.startswith(CODE):
        return "What follows was made before that; the code may make something else now."
    return "What follows was made before, and does not belong to the rest of this report."


def _setting(preset: str, values: Values) -> str:
    names = [n for n in ("model", "weights", "layer", "group", "images", "seed") if n in values]
    return "; ".join([f"preset {preset}", *(f"{name} {_say(values[name])}" for name in names)])


def _prose(markdown: str) -> Markup:
    """The little Markdown of a heading as HTML, without a paragraph around it."""
    text = str(escape(markdown))
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\[([^]]+)\]\((https?://[^)\s]+)\)", r'<a href="\2">\1</a>', text)
    return Markup(re.sub(r"(?<!\w)\*\*?([^*\s][^*]*)\*\*?(?!\w)", r"<em>\1</em>", text))
