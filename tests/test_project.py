"""The files around the package agree with each other, and every notebook keeps the house rules."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from nbconvert import HTMLExporter
from packaging.requirements import Requirement

import gc_utils
from gc_utils.evidence import VERDICTS
from gc_utils.images.photographs import ours_to_show
from gc_utils.pipeline import PRESETS, RECORDS, papers, preset_values
from gc_utils.pipeline.notebooks import read_notebook
from gc_utils.reporting import published_state

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = (ROOT / "README.md").read_text()
CLAIMS = (ROOT / "docs" / "claims.md").read_text()
FIRST_CELL = (ROOT / "notebooks" / "_first_cell.py").read_text().strip()
SOURCE = "GC_UTILS_SOURCE"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def pins(file: str) -> list[str]:
    lines = (ROOT / file).read_text().splitlines()
    stripped = [line.strip().removeprefix("- ") for line in lines]
    return [line for line in stripped if re.fullmatch(r"[\w-]+==[\w.]+|-e \.", line)]


def test_the_three_lists_of_packages_agree():
    needed = PROJECT["project"]["dependencies"]
    assert needed == sorted(needed)
    lab = PROJECT["project"]["optional-dependencies"]["lab"]  # what Colab does without
    wanted = {r.name: r for r in map(Requirement, sorted([*needed, *lab]))}
    pinned = pins("requirements.txt")
    assert pinned == pins("environment.yml")
    assert pinned[-1] == "-e ."
    exact = dict(line.split("==") for line in pinned[:-1])
    assert list(exact) == list(wanted) == sorted(wanted)
    for name, version in exact.items():
        assert version in wanted[name].specifier, name
        assert [s.operator for s in wanted[name].specifier] == [">="], f"{name}: lower bounds only"


def test_the_readme_installs_and_runs_in_a_fresh_environment():
    for name in ("run", "test"):
        command = readme_command(name)
        assert command.startswith("python3.11 -m venv .venv &&")
        assert "pip install -r requirements.txt" in command
    assert readme_command("run").endswith("-m gc_utils run")
    assert "-m 'slow or not slow'" in readme_command("test"), "it leaves no test out"


def test_ci_types_what_the_readme_says():
    script = (ROOT / ".ci" / "run").read_text()
    function = re.search(r"readme_command\(\) \{.*?\n\}", script, re.DOTALL)[0]
    for name in ("run", "test"):
        shell = ["bash", "-euc", f"{function}\nreadme_command {name}"]
        printed = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, check=True)
        assert printed.stdout.strip() == readme_command(name)
    assert "$test_command" in script


def test_coverage_has_a_floor():
    assert PROJECT["tool"]["coverage"]["report"]["fail_under"] >= 90
    assert "--cov" in readme_command("test")


def test_colab_keeps_its_front_end():
    """Its sliders are those of ipywidgets 7, and it has no use for JupyterLab."""
    floors = {r.name: r.specifier for r in map(Requirement, PROJECT["project"]["dependencies"])}
    assert "7.7.1" in floors["ipywidgets"] and "jupyterlab" not in floors
    assert [name for name in pins("requirements.txt") if name.startswith("jupyterlab==")]


def test_no_address_is_made_up():
    """The project is nowhere on GitHub until somebody says where (`python -m gc_utils badges`)."""
    (address,) = re.findall(r'GC_UTILS_SOURCE = "(.*)"$', FIRST_CELL, re.MULTILINE)
    badges = re.search(r"<!-- badges -->\n(.*?)<!-- /badges -->", README, re.DOTALL)[1]
    assert bool(address) == bool(badges)
    assert "urls" not in PROJECT["project"] or address


def test_the_citation_is_of_this_version_and_of_the_papers():
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert told["cff-version"] == "1.2.0" and {"message", "title", "authors"} <= set(told)
    assert told["version"] == gc_utils.__version__ and told["license"] == "MIT"
    cited = " ".join(reference["url"] for reference in told["references"])
    assert all(f"arxiv.org/abs/{paper.arxiv}" in cited for paper in papers(RECORDS))
    assert "CITATION.cff" in README


def test_the_first_cell_asks_where_the_package_is(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "v"], check=True)
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", SOURCE)}
    asked = re.sub(rf"^(\s+{SOURCE} = ).*$", r'\1""', FIRST_CELL, flags=re.MULTILINE)
    told = subprocess.run(
        [tmp_path / "v" / "bin" / "python", "-c", asked],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 1
    said = told.stderr.splitlines()[-1]
    assert said.startswith("ModuleNotFoundError: gc_utils is not installed here")
    assert all(word in said for word in (SOURCE, "wheel", "copy of the repository", "git+https"))


def test_the_readme_lists_every_notebook():
    listed = re.findall(r"^\| `(\d\d\w*)` \|", README, re.MULTILINE)
    assert set(listed) >= {path.stem for path in NOTEBOOKS}


def test_presets_set_only_what_notebooks_declare():
    declared = {name for path in NOTEBOOKS for name in read_notebook(path).parameters} - {"run_dir"}
    for preset in PRESETS:
        assert set(preset_values(preset, RECORDS)) <= declared


def test_a_parameter_means_the_same_in_every_notebook():
    seen = {}
    for path in NOTEBOOKS:
        for name, parameter in read_notebook(path).parameters.items():
            assert seen.setdefault(name, parameter.default) == parameter.default, (path.stem, name)


@every_notebook
def test_a_notebook_begins_with_a_question_and_the_first_cell(path):
    notebook = nbformat.read(path, as_version=4)
    assert re.match(r"# .+\n\n\S", notebook.cells[0].source), "a heading, then a paragraph"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code[0].source.strip() == FIRST_CELL
    assert notebook.metadata.kernelspec.language == "python"


@every_notebook
def test_a_notebook_says_what_can_be_set(path):
    cells = nbformat.read(path, as_version=4).cells
    assert sum("parameters" in cell.metadata.get("tags", []) for cell in cells) == 1
    parameters = read_notebook(path).parameters
    assert "run_dir" in parameters
    assert [name for name, p in parameters.items() if not p.help] == [], "a comment for each"


@every_notebook
def test_a_parameter_keeps_its_meaning(path):
    """What is assigned to its name comes of it: a later cell reads what a person has set."""
    parameters = read_notebook(path).parameters
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code" or "parameters" in cell.metadata.get("tags", []):
            continue
        for node in ast.walk(ast.parse(cell.source)):
            targets = node.targets if isinstance(node, ast.Assign) else []
            names = {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
            for name in names & set(parameters):
                used = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
                assert name in used, f"{name} becomes something else in: {ast.unparse(node)}"


@every_notebook
def test_a_notebook_can_be_read(path):
    """Short cells, the first one folded, a formula, exercises, an end that says what was found."""
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert code[0].metadata["jupyter"]["source_hidden"] is True
    for cell in code:
        assert len(cell.source.splitlines()) <= 30, cell.source
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert "$$" in prose
    assert prose.index("## What happens if …?") < prose.index("## What was found")


@every_notebook
def test_a_notebook_has_no_outputs_or_those_of_a_published_run(path):
    """After a change of its code it is published again, or cleared; see their `--help`."""
    state = published_state(nbformat.read(path, as_version=4))
    assert state in ("none", "current"), "python -m gc_utils publish RUN, or publish --clear"


@every_notebook
def test_a_published_notebook_shows_its_figures_on_a_page(path):
    notebook = nbformat.read(path, as_version=4)
    kinds = [k for c in notebook.cells for o in c.get("outputs", []) for k in o.get("data", {})]
    pictures = [kind for kind in kinds if kind in ("image/png", "image/jpeg")]
    if published_state(notebook) != "none":
        page, _ = HTMLExporter().from_notebook_node(notebook)
        assert pictures and page.count('src="data:image/') >= len(pictures)
        ran = notebook.metadata.gc_utils.published
        assert not ran.images or ours_to_show(ran.images), "photographs that are not ours"


@every_notebook
def test_a_notebook_leaves_the_word_of_a_verdict_to_its_claims(path):
    source = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    assert [word for word in VERDICTS if re.search(rf"\b{word}\b", source)] == []


def test_words_of_verdicts_stand_where_verdicts_are_made():
    package = ROOT / "gc_utils"
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package).parts
        made = inside[0] in ("evidence", "reporting") or "claims" in path.with_suffix("").parts
        if not made:
            text = path.read_text("utf-8")
            assert [word for word in VERDICTS if re.search(rf"\b{word}\b", text)] == [], path


@every_notebook
def test_a_notebook_is_light(path):
    assert path.stat().st_size < 1_000_000
    notebook = nbformat.read(path, as_version=4)
    state = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json")
    widgets = [
        output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    ]
    known = set((state or {}).get("state", {}))
    for output in widgets:  # a view without its state shows nothing
        view = output["data"]["application/vnd.jupyter.widget-view+json"]
        assert view["model_id"] in known


@every_notebook
def test_a_notebook_belongs_to_a_test(path):
    """The test of the smoke run has one case for each record."""
    assert path.stem.split("_")[0] in {record.number for record in RECORDS}


def readme_command(name: str) -> str:
    """The code block below `<!-- command: NAME -->`."""
    return re.search(rf"<!-- command: {name} -->\n```sh\n(.*?)\n```", README, re.DOTALL)[1]


def test_every_claim_of_every_paper_is_in_the_table_of_papers():
    """Papers' claims with their verdicts, as the README and the claims' own sections have them."""
    table = CLAIMS[CLAIMS.index("| paper |") : CLAIMS.index("\n\n## ")]
    lines = [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]
    rows = {False: [], True: []}  # True: on the real network
    for line in lines:
        rows[line[0].startswith("the same")].append(line)
    assert len(rows[False]) == len(papers(RECORDS))
    every = {id for record in RECORDS for id in record.claims}
    for real in (False, True):
        listed = {}
        for _, _, *by_verdict in rows[real]:
            for verdict, cell in zip(VERDICTS, by_verdict, strict=True):
                listed |= dict.fromkeys(re.findall(r"[A-Z]{2}\d+", cell), verdict)
        assert listed.keys() <= every and (real or listed.keys() == every)
        for id, verdict in listed.items():
            row = next(line for line in README.splitlines() if line.startswith(f"| {id} |"))
            assert row.split(" | ")[2 + real] == verdict, id
            assert verdict in [word for word, _ in verdicts(id)], id


def section(id: str) -> str:
    """What `docs/claims.md` says of a claim."""
    start = CLAIMS.index(f'<a id="{id.lower()}"></a>')
    return CLAIMS[start : CLAIMS.find("<a id=", start + 1)]


def verdicts(id: str) -> list[tuple[str, str]]:
    """The verdicts and reasons in a claim's section: one, or one for either network."""
    text = section(id)
    if one := re.search(r"^\*\*(.+?)\*\*: (.+)$", text, re.MULTILINE):
        return [one.groups()]
    rows = {
        name: re.search(rf"^\| {name} \| (.+) \|$", text, re.M)[1] for name in ("verdict", "why")
    }
    words = [word.strip("*") for word in rows["verdict"].split(" | ")]
    return list(zip(words, rows["why"].split(" | "), strict=True))


def test_every_claim_is_in_the_table_of_claims():
    table = re.search(r"<!-- claims -->\n(.*?)<!-- /claims -->", README, re.DOTALL)[1]
    listed = re.findall(r"^\| ([A-Z]{2}\d+) \|", table, re.MULTILINE)
    assert sorted(listed) == sorted(id for r in RECORDS for id in (*r.claims, *r.ours))
    assert sorted(re.findall(r"claims.md#(\w+)", table)) == sorted(id.lower() for id in listed)
    for id in listed:
        for verdict, why in verdicts(id):
            assert verdict in VERDICTS
            assert len(why.split()) <= 25, f"{id}: a reason is at most 25 words"
        assert "| number | " in section(id) or "|  | " in section(id), "a table of numbers"
    for row in re.findall(r"^\| [A-Z]{2}\d+ \| ([^|]*) \|", table, re.MULTILINE):
        assert len(row.split()) <= 14, f"{row!r}: about ten words"


def test_every_figure_of_the_page_of_claims_is_there_and_no_other():
    shown = set(re.findall(r"\]\((claims/[^)]+)\)", CLAIMS))
    assert shown and shown == {f"claims/{p.name}" for p in (ROOT / "docs" / "claims").iterdir()}


def test_what_is_kept_of_the_real_network_may_be_passed_on():
    """No figure of photographs that are not ours, no folder of one machine."""
    from gc_utils.reporting.columns import kept
    from gc_utils.reporting.readme import WITHOUT_IMAGES

    column = kept(ROOT / "docs")
    figures = column.figures if column else {}
    shown = {name: of for name, of in figures.items() if name not in WITHOUT_IMAGES}
    assert [name for name, of in shown.items() if not ours_to_show(of["images"])] == []
    real = {p.stem for p in (ROOT / "docs" / "claims").glob("real_*.png")}
    assert real <= {f"real_{name}" for name in figures}
    for entry in column.findings if column else []:
        assert not re.search(r"[ :]/", entry["images"] + entry["command"]), entry["id"]


PAGES = ("README.md", "docs/settings.md", "docs/parts.md", "docs/many_machines.md")


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page):
    path = ROOT / page
    links = re.findall(r"\]\(([^):#]+)(?:#[\w-]+)?\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("page", ["docs/parts.md", "docs/many_machines.md"])
def test_examples_can_be_read(page):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    compile(code, page, "exec")


def test_the_readme_says_what_the_real_network_is_and_is_not():
    for words in ("--preset real", "imagenet_samples", "--weights-file", "unrestricted use"):
        assert words in README
    assert "not `inception5h`" in README and "docs/settings.md" in README


def test_the_readme_is_short():
    assert len(README.splitlines()) < 160


def opened_without_encoding(source: str) -> list[str]:
    """Calls in some code that read or write text in the encoding of wherever they run."""
    places = {"open": 2, "read_text": 0, "write_text": 1}  # of the encoding among the arguments
    found = []
    for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
        function = isinstance(call.func, ast.Name)
        name = call.func.id if function else getattr(call.func, "attr", "")
        given = [*call.args, *(word.value for word in call.keywords if word.arg == "mode")]
        binary = any(re.fullmatch("[rwxa+]*b[rwxa+]*", str(getattr(a, "value", ""))) for a in given)
        encoded = any(word.arg == "encoding" for word in call.keywords)
        if name not in places or encoded or len(call.args) > places[name] + function:
            continue
        owner = getattr(getattr(call.func, "value", None), "id", "")
        if name == "open" and (binary or owner in ("Image", "ActivationStore", "tarfile")):
            continue
        found.append(f"line {call.lineno}: {ast.unparse(call)}")
    return found


def test_files_are_utf8_whatever_the_machine_speaks():
    assert len(opened_without_encoding("open(a)\na.open()\na.read_text()\na.write_text(b)")) == 4
    assert not opened_without_encoding("open(a, 'rb')\na.open('wb')\na.read_text('utf-8')")
    folders = (ROOT / "gc_utils", ROOT / "tools")
    code = {p: p.read_text("utf-8") for folder in folders for p in folder.rglob("*.py")}
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        code |= {(path, i): c.source for i, c in enumerate(cells) if c.cell_type == "code"}
    wrong = {str(place): opened_without_encoding(source) for place, source in code.items()}
    assert {place: calls for place, calls in wrong.items() if calls} == {}
