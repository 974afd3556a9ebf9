"""A run executes again what imports a change, says which module it was, and nothing more."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from gc_utils.closure import code_digests
from gc_utils.pipeline.manifest import Manifest, code_of, notebook_checksum
from gc_utils.pipeline.runner import run
from gc_utils.pipeline.staleness import CODE

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = 'run_dir = "out"  # the run folder\n'
INPUTS = {"notebook": "n", "parameters": {}, "pictures": "", "upstream": {}}


def test_the_words_of_a_notebook_are_not_its_code(make_notebook):
    path = make_notebook("01_first", PARAMETERS, "x = 1  # one")
    before = notebook_checksum(path)
    make_notebook("01_first", PARAMETERS, "x = 1", heading="What else?")
    assert notebook_checksum(path) == before
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", text="1")]
    notebook.cells[-1].execution_count = 1
    nbformat.write(notebook, path)
    assert notebook_checksum(path) == before
    make_notebook("01_first", PARAMETERS, "x = 2")
    assert notebook_checksum(path) != before


def test_the_code_of_a_notebook_is_what_it_imports(make_notebook):
    assert code_of(make_notebook("01_first", PARAMETERS, "import json")) == {}
    found = code_of(make_notebook("02_second", PARAMETERS, "from gc_utils.groups import group"))
    assert set(found) == {"gc_utils.groups", "gc_utils.errors"}


def test_a_network_of_ones_own_is_code_too(make_notebook, tmp_path, monkeypatch):
    path, own = make_notebook("01_first", PARAMETERS), {"model": "nets:make"}
    monkeypatch.chdir(tmp_path)
    assert code_of(path, own) == code_of(path, {"model": "timm:nets"}) == {}
    (tmp_path / "nets.py").write_text("one")
    before = code_of(path, own)
    assert set(before) == {"nets:make"}
    (tmp_path / "nets.py").write_text("two")
    assert code_of(path, own) != before


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ({"code": {"a": "1", "b": "2"}}, None),
        ({"code": {"a": "1", "b": "1"}}, "changed: b"),
        ({"code": {"a": "1"}}, "changed: b"),
        # Before there was "code", a record had one checksum of the whole package.
        ({"package": "p"}, "changed: a, b"),
    ],
)
def test_what_changed_is_named(then, said, tmp_path):
    manifest = Manifest(tmp_path)
    manifest.begin("demo", {})
    manifest.start("01_a", INPUTS | then)
    manifest.stop("01_a", "done")
    assert manifest.why_stale("01_a", INPUTS | {"code": {"a": "1", "b": "2"}}) == said


@pytest.fixture
def go(make_notebook, tmp_path, monkeypatch) -> Callable[..., str]:
    """Two notebooks, each with an import of its own, run with a copy of the package's code."""
    make_notebook("01_first", PARAMETERS, "from gc_utils.statistics import holm")
    make_notebook("02_second", PARAMETERS, "def f():\n    from gc_utils.groups import group")
    package = tmp_path / "gc_utils"
    shutil.copytree(ROOT / "gc_utils", package, ignore=shutil.ignore_patterns("__pycache__"))
    for module in ("runner", "staleness"):
        monkeypatch.setattr(
            f"gc_utils.pipeline.{module}.code_of", lambda path, *_: code_digests(path, package)
        )
    monkeypatch.chdir(tmp_path)

    def again(**options) -> str:
        stream = io.StringIO()
        run(output="out", notebooks="notebooks", stream=stream, **options)
        return stream.getvalue()

    again()
    return again


@pytest.mark.slow
def test_a_changed_module_runs_what_imports_it_again(go, tmp_path):
    statistics = tmp_path / "gc_utils" / "statistics.py"
    text = statistics.read_text()
    statistics.write_text("# a comment\n" + text.replace('"""', '"""Again: ', 1))
    assert go().count("up to date") == 2
    statistics.write_text(text + "\nchanged = 1\n")
    told = go()
    assert "01_first (changed: gc_utils.statistics)" in told
    assert told.count("up to date") == 1
    statistics.write_text(text)
    told = go(only=["02"])
    assert f"stale: 01_first ({CODE} since it ran: gc_utils.statistics)" in told
    record = json.loads((tmp_path / "out" / "run.json").read_text())["notebooks"]["02_second"]
    assert set(record["inputs"]["code"]) == {"gc_utils.groups", "gc_utils.errors"}
