"""Which run a notebook looks at that is opened alone, and when a small one is made for it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from gc_utils import opened_alone
from gc_utils.errors import UserError
from gc_utils.files import find_run, product
from gc_utils.pipeline.notebooks import read_notebook

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A notebook's kernel in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(opened_alone, "in_kernel", lambda: True)
    for name in ("COLAB_RELEASE_TAG", "GC_UTILS_RUN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def colab(kernel, monkeypatch):
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab-external")
    return kernel


@pytest.fixture
def started(monkeypatch):
    """The commands that are started: each makes features.csv in its --output, or fails."""
    made = []
    begin = opened_alone.subprocess.Popen

    def popen(command, **options):
        made.append(command[1:])
        folder = command[command.index("--output") + 1]
        code = (
            "import pathlib, sys; print('[1/1] 01_extract ... done');"
            f"pathlib.Path({folder!r}, 'features.csv').touch(); sys.exit({popen.code})"
        )
        return begin([sys.executable, "-c", code], **options)

    popen.code = 0
    monkeypatch.setattr(opened_alone.subprocess, "Popen", popen)
    made.append(popen)
    return made


def test_every_notebook_has_the_default_run_dir():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        assert read_notebook(path).parameters["run_dir"].default == opened_alone.DEFAULT


def test_in_colab_a_small_run_is_made_as_far_as_needed(colab, started, capsys):
    folder = find_run("runs/demo")
    assert folder == colab / "runs" / "small" and list(folder.iterdir()) == []
    said = capsys.readouterr().out
    assert str(folder) in said and "no result to trust" in said and "GC_UTILS_RUN" in said
    assert product(folder, "features.csv", "04_symmetry") == folder / "features.csv"
    assert "[1/1] 01_extract ... done" in capsys.readouterr().out, "its progress is shown"
    assert product(folder, "features.csv", "04_symmetry") and len(started) == 2, "once"
    words = " ".join(started[1])
    assert words == (
        f"-m gc_utils run --preset smoke --output {folder} --only 04_symmetry --with-needed"
    )
    assert find_run("runs/demo") == folder, "the next notebook looks at it too"


def test_a_small_run_that_fails_is_an_error(colab, started):
    started[0].code = 1
    with pytest.raises(UserError, match="the small run in .*small stopped"):
        product(find_run("runs/demo"), "activations.zarr", "01_extract")


@pytest.mark.parametrize("run_dir", ["runs/dmo", "/nowhere/run", "../runs/demo"])
def test_a_run_dir_that_somebody_typed_stays_an_error(colab, started, run_dir):
    with pytest.raises(UserError, match="no run folder"):
        find_run(run_dir)
    assert len(started) == 1 and list(colab.iterdir()) == []


def test_a_run_without_the_product_stays_an_error_in_colab(colab, started):
    (colab / "runs" / "demo").mkdir(parents=True)
    with pytest.raises(UserError, match="no features.csv in this run folder"):
        product(find_run("runs/demo"), "features.csv", "04_symmetry")
    assert len(started) == 1


def test_outside_colab_a_missing_run_stays_an_error(kernel, started):
    with pytest.raises(UserError, match="no run folder 'runs/demo'"):
        find_run("runs/demo")
    (kernel / "runs" / "small").mkdir(parents=True)
    with pytest.raises(UserError, match="no a.csv in this run folder"):
        product(kernel / "runs" / "small", "a.csv", "01_extract")
    assert len(started) == 1


def test_the_command_line_makes_no_small_run(colab, started, monkeypatch):
    monkeypatch.setattr(opened_alone, "in_kernel", lambda: False)
    monkeypatch.setenv("GC_UTILS_RUN", "elsewhere")
    with pytest.raises(UserError, match="no run folder 'runs/demo'"):
        find_run("runs/demo")


def test_gc_utils_run_names_the_run_of_an_untouched_run_dir(kernel, monkeypatch, capsys):
    mine, typed = kernel / "mine", kernel / "runs" / "typed"
    for folder in (mine, typed, kernel / "runs" / "demo"):
        folder.mkdir(parents=True)
    monkeypatch.setenv("GC_UTILS_RUN", str(mine))
    assert find_run("runs/demo") == find_run("runs/demo", create=True) == mine
    assert str(mine) in capsys.readouterr().out
    assert find_run("runs/typed") == typed
    monkeypatch.setenv("GC_UTILS_RUN", "gone")
    with pytest.raises(UserError, match="no run folder 'gone'.*set GC_UTILS_RUN to a run"):
        find_run("runs/demo")
    assert find_run("runs/demo", create=True) == kernel / "gone"
    monkeypatch.setenv("GC_UTILS_RUN", "runs/demo")
    assert find_run("runs/demo") == kernel / "runs" / "demo"


def test_a_run_with_what_it_needs(tmp_path, make_notebook, monkeypatch):
    from gc_utils.pipeline import Record, run

    parameters = 'run_dir = "runs/demo"  # of everything'
    for name in ("01_a", "02_b", "03_c", "04_d"):
        make_notebook(name, parameters, f"open(run_dir + '/{name}.csv', 'w').close()")
    records = [Record("01"), Record("02", needs=("01",)), Record("03"), Record("04", needs=("02",))]
    monkeypatch.chdir(tmp_path)
    options = {
        "notebooks": tmp_path / "notebooks",
        "records": records,
        "stream": io.StringIO(),
    }
    run("smoke", "out", ["04"], needed=True, **options)
    done = json.loads((tmp_path / "out" / "run.json").read_text())["notebooks"]
    assert list(done) == ["01_a", "02_b", "04_d"]
