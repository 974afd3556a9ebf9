"""Runs where something about the machine is odd: they work, or say what is wrong in a line."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gc_utils.__main__ import main
from gc_utils.errors import UserError
from gc_utils.pipeline import RECORDS, find_notebooks, runner
from gc_utils.pipeline.manifest import Manifest

ROOT = Path(__file__).parents[2]


def one_line(capsys) -> str:
    """The mistake that was said, and nothing else."""
    told = capsys.readouterr()
    assert told.out.count("\n") <= 1 and told.err.startswith("error: ")
    assert told.err.count("\n") == 1, told.err
    return told.err


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_tilde_is_the_home_folder(story, home, capsys):
    plan = runner.make_plan("demo", "~/runs/mine", notebooks="notebooks")
    assert plan.manifest.run_dir == home / "runs" / "mine"
    assert main(["run", "--notebooks", "notebooks", "--output=~nobody-is-called-so/x"]) == 2
    assert "no such home folder" in one_line(capsys)
    (home / "book").symlink_to(Path("notebooks").resolve())
    assert [n.number for n in find_notebooks("~/book")] == ["01", "02"]
    for command in (["readme", "--run", "~/none"], ["gallery", "~/none"]):
        assert main(command) == 2
        assert repr(str(home / "none")) in one_line(capsys)
    assert not Path("~").exists()


@pytest.mark.parametrize("output", ["a" * 300, "notebooks/01_first.ipynb/x", "circle", "a\0b"])
def test_an_output_that_can_be_no_folder_is_said_in_a_line(story, capsys, output):
    Path("circle").symlink_to("circle")
    assert main(["run", "--notebooks", "notebooks", "--output", output]) == 2
    assert repr(output[:20])[1:-1] in one_line(capsys)


@pytest.fixture
def nobody():
    """Become a user who may write nowhere, for as long as it takes; root may write anywhere."""
    if os.name != "posix":
        pytest.skip("permissions are another matter here")
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    yield
    os.seteuid(before)


@pytest.fixture
def open_folder():
    """A folder that everybody may look into; those of pytest belong to one user."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.parametrize("closed", [".", "figures"])
def test_a_run_folder_that_cannot_be_written_is_found_before_a_notebook_runs(
    story, open_folder, request, closed
):
    run_dir = open_folder / "out"
    (run_dir / closed).mkdir(parents=True)
    (run_dir / "run.json").write_text('{"notebooks": {}}', encoding="utf-8")
    plan = runner.make_plan("demo", run_dir, notebooks="notebooks")
    for folder in {run_dir, run_dir / closed}:
        os.chmod(folder, 0o777 if closed != "." and folder == run_dir else 0o555)
    request.getfixturevalue("nobody")
    stream = io.StringIO()
    with pytest.raises(UserError, match="cannot write in the run folder.*--output"):
        runner.carry_out(plan, False, stream)
    assert stream.getvalue().startswith("Run folder: ") and "01_first" not in stream.getvalue()


def test_without_a_folder_for_temporary_files_nothing_is_begun(story, capsys, monkeypatch):
    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    assert main(["run", "--notebooks", "notebooks", "--output", "out"]) == 2
    assert "set TMPDIR" in one_line(capsys) and not Path("out").exists()


def test_a_file_that_is_no_notebook_is_named(story, capsys):
    Path("notebooks/03_broken.ipynb").write_text('{"cells": [', encoding="utf-8")
    assert main(["list", "--notebooks", "notebooks"]) == 2
    assert "03_broken.ipynb' cannot be read as a notebook" in one_line(capsys)


@pytest.mark.parametrize("value", ["-1e-3", "-inf", "--force", "-x"])
def test_a_value_that_begins_with_a_minus_is_a_value(story, capsys, value):
    assert main(["run", "--notebooks", "notebooks", "--output", "out", "-p", "k", value]) == 2
    assert f"parameter 'k' takes a whole number (default 3), not {value!r}" in (
        one_line(capsys).replace("-0.001", "'-1e-3'")
    )


def test_what_ran_before_has_a_say(tmp_path):
    """05 alone: how many features there are is known from 02, which does not run again."""
    manifest = Manifest(tmp_path / "out", RECORDS)
    for name in ("01_extract", "02_train", "03_cluster", "04_symmetry"):
        values = {"02_train": {"features": 128}, "01_extract": {"group": "D4"}}.get(name, {})
        inputs = {"parameters": values, "upstream": {}}
        manifest.records[name] = {"status": "done", "inputs": inputs, "outputs": {}}
    manifest.run_dir.mkdir()
    manifest.begin("smoke", {})
    chosen = {"output": manifest.run_dir, "notebooks": ROOT / "notebooks", "only": ["05"]}
    assert runner.make_plan("smoke", parameters={"feature": "127"}, **chosen).used["feature"] == 127
    with pytest.raises(UserError, match="'feature' is 128: this crosscoder has features 0 to 127"):
        runner.make_plan("smoke", parameters={"feature": "128"}, **chosen)


@pytest.mark.slow
def test_umap_is_imported_where_numba_can_keep_nothing():
    code = (
        "from numba.core import caching as c\n"
        "c.CacheImpl._locator_classes[:] = [c.UserProvidedCacheLocator]\n"
        "from gc_utils.families.clusters import _umap\n"
        "print(_umap().__name__)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout == "UMAP\n", done.stderr
