"""The report of a run: one HTML page with everything inside, to be opened without a server."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from gc_utils.evidence.findings import COLUMNS, VERDICTS, finding_cells, load_findings, sentence
from gc_utils.figures.saving import caption
from gc_utils.pipeline.staleness import CODE, ran_with
from gc_utils.reporting.markdown import markdown_to_html

if TYPE_CHECKING:
    from gc_utils.pipeline.notebooks import Notebook


# By parameter: each value, and the notebooks that ran with it.
Values = dict[str, list[tuple[object, list[str]]]]
STYLE = """
:root { color-scheme: light dark; --ink: #1c1c1c; --soft: #5c5c5c; --line: #d8d8d8; --paper: #fff;
  --link: #0072b2; --good: #00734f; --part: #8a5a00; --bad: #a83f00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e8; --soft: #a8a8a8; --line: #444;
  --paper: #181818; --link: #6bbdf0; --good: #2fc095; --part: #e6a817; --bad: #ff8a4c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 3rem 0 .25rem; padding-top: 1rem;
  border-top: 1px solid var(--line); }
p { max-width: 46rem; margin: .5rem 0; }
.lead ul, .lead ol { max-width: 46rem; padding-left: 1.4rem; }
math[display="block"] { overflow-x: auto; margin: .75rem 0; max-width: 46rem; }
a { color: var(--link); }
nav ol { padding-left: 1.4rem; }
.soft, figcaption { color: var(--soft); font-size: .92rem; }
figure { margin: 1.5rem 0; }
figcaption { max-width: 46rem; margin-top: .4rem; }
/* Figures are drawn on white. */
img { max-width: 100%; height: auto; display: block; background: #fff; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; margin: .75rem 0; }
th, td { text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0;
  border-bottom: 1px solid var(--line); overflow-wrap: anywhere; min-width: 4rem; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.v0 { color: var(--good); } .v1, .v2 { color: var(--part); } .v3 { color: var(--bad); }
.stale { color: var(--bad); }
p.stale { padding: .6rem .8rem; border: 1px solid; border-left-width: 4px; }
span.stale { font-size: .85em; font-weight: 600; }
ul.findings { padding-left: 1.2rem; max-width: 46rem; }
pre { overflow-x: auto; padding: .6rem .8rem; border-left: 3px solid var(--bad); font-size: .85rem;
  white-space: pre-wrap; overflow-wrap: anywhere; }
"""


def write_report(run_dir: Path, notebooks: Iterable[Notebook]) -> Path:
    """Write `report.html` of a run folder from what is in it.

    Args:
        run_dir: the run folder, with `run.json`, `figures/` and `results/`.
        notebooks: the story's notebooks, for their order, questions and introductions.

    Returns:
        Where it was written.
    """
    run_dir = Path(run_dir)
    manifest = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    records = manifest["notebooks"]
    findings = load_findings(run_dir)
    told = [n for n in notebooks if n.name in records]
    values = _values(manifest["parameters"], {n.name: ran_with(n, records[n.name]) for n in told})
    marks = {name: _mark(record) for name, record in records.items()}
    sections = [_notebook(n, records[n.name], findings, run_dir) for n in told]
    contents = "".join(
        f'<li><a href="#{_text(n.name)}">{_prose(n.title)}</a>{marks[n.name]}</li>' for n in told
    )
    claims = "<p>No findings were recorded.</p>"
    if findings:
        claims = f'<div class="wide">{html_table(findings, marks)}</div>'
    setting = _setting(manifest["preset"], values)
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Group crosscoders: {_text(setting)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>Group crosscoders, a run of the companion notebooks</h1>
<p class="soft">{_text(setting)}</p>
</header>
<nav aria-label="Contents"><ol>{contents}</ol>
<p><a href="#claims">The claims</a> · <a href="#settings">Settings, versions and times</a></p></nav>
<main>
{"".join(sections)}
<section id="claims"><h2>The claims</h2>
<p>What the papers say, what was measured here, and the verdict.</p>
{claims}</section>
{_settings(manifest, records, values)}
</main>
</body>
</html>
"""
    path = run_dir / "report.html"
    draft = path.with_name("report.html.part")
    draft.write_text(page, encoding="utf-8")
    draft.replace(path)
    return path


def _notebook(notebook: Notebook, record: dict, findings: list[dict], run_dir: Path) -> str:
    state = ""
    if "stale" in record:
        state = _stale(record["stale"])
    if record["status"] != "done":
        state += f"<p>This notebook did not finish ({_text(record['status'])}).</p>"
        if "error" in record:
            state += f"<pre>{_text(record['error'])}</pre>"
    said = "".join(
        f"<li>{_text(sentence(entry))}</li>"
        for entry in findings
        if entry["notebook"] == notebook.name
    )
    said = f'<ul class="findings">{said}</ul>' if said else ""
    link = ""
    if (run_dir / f"{notebook.name}.ipynb").exists():
        file = f"{notebook.name}.ipynb"
        link = (
            f'<p class="soft">The executed notebook: <a href="{quote(file)}">{_text(file)}</a></p>'
        )
    figures = "\n".join(_figure(path) for path in _figures(notebook, run_dir))
    lead = f'<div class="lead">{markdown_to_html(notebook.lead)}</div>' if notebook.lead else ""
    return (
        f'<section id="{_text(notebook.name)}"><h2>{_prose(notebook.title)}</h2>\n'
        f"{state}{lead}{said}\n{figures}\n{link}</section>\n"
    )


def _figures(notebook: Notebook, run_dir: Path) -> list[Path]:
    """A notebook's figures in the order in which its text names them."""
    text = notebook.path.read_text(encoding="utf-8")
    paths = sorted((run_dir / "figures").glob(f"{notebook.number}_*.png"))
    last = len(text)
    return sorted(paths, key=lambda path: (text.find(path.stem) % (last + 1), path.stem))


def _figure(path: Path) -> str:
    data = base64.b64encode(path.read_bytes()).decode()
    words = html.escape(caption(path) or path.stem, quote=True)
    return (
        f'<figure><img alt="{words}" src="data:image/png;base64,{data}">'
        f"<figcaption>{words}</figcaption></figure>"
    )


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


def _mark(record: dict) -> str:
    return ' <span class="stale">stale</span>' if "stale" in record else ""


def _stale(reason: str) -> str:
    """The paragraph that warns of a section whose products do not belong to the others."""
    meaning = "What follows was made before, and does not belong to the rest of this report."
    if reason.startswith(CODE):
        meaning = "What follows was made before that; the code may make something else now."
    return f'<p class="stale"><strong>Stale</strong> ({_text(reason)}). {meaning}</p>\n'


def _setting(preset: str, values: Values) -> str:
    names = [n for n in ("model", "weights", "layer", "group", "images", "seed") if n in values]
    return "; ".join([f"preset {preset}", *(f"{name} {_say(values[name])}" for name in names)])


def _settings(manifest: dict, records: dict, values: Values) -> str:
    times = "".join(
        f'<tr><th scope="row">{_text(name)}</th><td>{_text(record["status"])}{_mark(record)}</td>'
        f'<td class="number">{_text(record.get("seconds", ""))}</td>'
        f'<td class="number">{_text(record.get("peak_memory_mb", ""))}</td>'
        f"<td>{_text(', '.join(p for p in record['outputs'] if '/' not in p))}</td></tr>"
        for name, record in sorted(records.items())
    )
    return f"""<section id="settings"><h2>Settings, versions and times</h2>
<div class="wide"><table><thead><tr><th scope="col">notebook</th><th scope="col">state</th>
<th scope="col">seconds</th><th scope="col">peak MB</th><th scope="col">made</th></tr></thead>
<tbody>{times}</tbody></table></div>
{_pairs("Parameters", {name: _say(found) for name, found in values.items()})}
{_pairs("Versions", manifest["versions"])}
{_pairs("Machine", manifest["platform"])}
<p class="soft">Checksums of everything that was made are in <a href="run.json">run.json</a>.</p>
</section>"""


def _pairs(title: str, pairs: dict) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_text(name)}</th><td>{_text(value)}</td></tr>'
        for name, value in pairs.items()
    )
    return f"<h3>{title}</h3><table><tbody>{rows}</tbody></table>"


def _text(value: object) -> str:
    return html.escape(str(value))


def _prose(markdown: str) -> str:
    """The little Markdown of a heading as HTML, without a paragraph around it."""
    text = html.escape(markdown)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"\[([^]]+)\]\((https?://[^)\s]+)\)", r'<a href="\2">\1</a>', text)
    return re.sub(r"(?<!\w)\*\*?([^*\s][^*]*)\*\*?(?!\w)", r"<em>\1</em>", text)


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
            for name, cell in zip(COLUMNS, finding_cells(entry), strict=True)
        )
        rows.append(f'<tr><th scope="row">{html.escape(entry["id"])}</th>{cells}</tr>')
    head = "".join(f'<th scope="col">{name}</th>' for name in ("id", *COLUMNS))
    body = "\n".join(rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
