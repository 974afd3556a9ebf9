"""Runs where something about the machine is odd: they work, or say what is wrong in a line."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from PIL import Image

from gc_utils.__main__ import main
from gc_utils.errors import UserError
from gc_utils.pipeline import RECORDS, Record, Rule, find_notebooks, fingerprints, runner
from gc_utils.pipeline.fingerprints import folder_checksum, outside
from gc_utils.pipeline.manifest import Manifest, notebook_checksum
from gc_utils.pipeline.staleness import find_stale

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


def a_run(folder: Path, **inputs) -> Manifest:
    """A run in which 01 is done and has made a table."""
    manifest = Manifest(folder / "out", [Record("01", makes=("a.csv",), rules=HOLDS)])
    manifest.run_dir.mkdir()
    (manifest.run_dir / "a.csv").write_text("1")
    manifest.begin("smoke", {})
    manifest.start("01_first", {"notebook": "", "parameters": {}, "upstream": {}, **inputs})
    manifest.stop("01_first", "done")
    return manifest


HOLDS = {"images": Rule(holds="images"), "weights_file": Rule(holds="path")}


def test_who_is_stopped_while_products_are_deleted_has_a_notebook_that_is_not_done(
    tmp_path, monkeypatch
):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    manifest = a_run(tmp_path)
    (tmp_path / "out" / "a.zarr").mkdir()
    for damaged in (True, False):
        manifest.records["01_first"] |= {"status": "done", "outputs": {"a.zarr": {"sha256": "x"}}}
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", stopped)
            with pytest.raises(KeyboardInterrupt):
                manifest.clear("01_first", damaged=damaged)
        for again in (manifest, Manifest(tmp_path / "out", manifest.chapters)):
            assert again.records["01_first"]["status"] == "interrupted"
            assert not again.complete("01_first")


@pytest.mark.slow
def test_what_another_run_wrote_while_this_one_was_planned_is_kept(story, tmp_path):
    plan = runner.make_plan("demo", tmp_path / "out", ["01"], notebooks=tmp_path / "notebooks")
    story()
    before = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))["notebooks"]
    stream = io.StringIO()
    runner.carry_out(plan, False, stream)
    after = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))["notebooks"]
    assert before.keys() == after.keys() == {"01_first", "02_second"}
    assert "up to date" in stream.getvalue()


def test_an_image_that_cannot_be_read_stops_no_checksum(tmp_path, monkeypatch):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (9, 9)).save(tmp_path / name)
    spec, read = f"folder:{tmp_path}", fingerprints._digest
    whole = folder_checksum(spec)

    def failing(path: Path) -> bytes:
        if path.name == "b.png":
            raise OSError(5, "input/output error")
        return read(path)

    monkeypatch.setattr(fingerprints, "_digest", failing)
    monkeypatch.setattr(fingerprints, "SUMS", fingerprints.Checksums())
    assert folder_checksum(spec) not in ("", whole)


def test_images_that_are_gone_and_weights_that_changed_are_stale_and_no_error(
    tmp_path, make_notebook
):
    make_notebook("01_first", 'images = ""  # of what\nweights_file = ""  # a copy\n', "x = 1")
    notebooks = find_notebooks(tmp_path / "notebooks")
    weights = tmp_path / "my.pth"
    weights.write_bytes(b"one")
    given = {"images": "", "weights_file": str(weights)}
    manifest = a_run(tmp_path, **outside(given, [Record("01", rules=HOLDS)]))
    record = manifest.records["01_first"]["inputs"]
    record |= {"parameters": given, "notebook": notebook_checksum(notebooks[0].path), "code": {}}
    assert "changed since" not in str(find_stale(manifest, notebooks, []))
    weights.write_bytes(b"another")
    assert "a file that it was given changed since" in str(find_stale(manifest, notebooks, []))
    record["parameters"] = {"images": f"folder:{tmp_path}/gone"}
    assert "cannot be read now" in str(find_stale(manifest, notebooks, []))


def test_the_folder_of_a_data_set_counts_as_a_file_that_was_given(tmp_path):
    records = [Record("08", rules={"task": Rule(holds="data")})]
    spec = {"task": f"cifar10:{tmp_path}"}
    (tmp_path / "a").write_text("1")
    before = outside(spec, records)
    (tmp_path / "a").write_text("2")
    assert outside(spec, records)["files"] not in ("", before["files"])
    assert outside({"task": "digits"}, records)["files"] == ""
