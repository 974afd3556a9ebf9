"""Every notebook in Colab's layout: its file alone, and the package installed by its first cell.

A new environment sees the packages of this one, torch among them, but not ours; each notebook is
executed by plain papermill, in a folder of its own, on what the preset `smoke` sets. Those that
another test executes from the first cell to the last (`test_notebooks.py`) stop after their first
figure here: what can fail in this layout is that something is not found. The environment variable
`GC_UTILS_COLAB=whole` lets them go on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from gc_utils.pipeline import RECORDS, find_notebooks, preset_values

pytestmark = [pytest.mark.slow, pytest.mark.first]

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = {notebook.number: notebook for notebook in find_notebooks(ROOT / "notebooks")}
READERS = ("02", "03", "04", "04c")  # of what others made; 05 is opened before them
LIGHTER = {"resamples": 20, "visualise_steps": 2, "bank_seeds": 1}  # than `smoke`


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """The environment: its Python, a kernel of it, and a wheel to install from."""
    folder = tmp_path_factory.mktemp("colab")
    source = folder / "source"
    for name in ("gc_utils", "notebooks"):
        left_out = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        shutil.copytree(ROOT / name, source / name, ignore=left_out)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    built = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source]
    subprocess.run(built, check=True)
    subprocess.run([sys.executable, "-m", "venv", folder / "v"], check=True)
    (site,) = (folder / "v" / "lib").glob("python*/site-packages")
    # Added this way, the packages are seen, but not the editable install of ours among them.
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    python, (wheel,) = folder / "v" / "bin" / "python", folder.glob("*.whl")
    kernel = folder / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Colab", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    environment = os.environ | {
        "GC_UTILS_SOURCE": str(wheel),
        "COLAB_RELEASE_TAG": "release-colab-external",
        "JUPYTER_PATH": str(folder),
    }
    for name in ("PYTHONPATH", "GC_UTILS_RUN"):
        environment.pop(name, None)
    return SimpleNamespace(python=python, site=site, folder=folder, environment=environment)


@pytest.fixture(scope="module")
def opened(colab):
    """Open a notebook alone, run all its cells; returns it, and the folder that it was in."""

    def open_alone(number: str, *, first_figure: bool = False, **environment: str):
        path = NOTEBOOKS[number].path
        folder = colab.folder / path.stem
        folder.mkdir()
        notebook = nbformat.read(path, as_version=4)
        if first_figure and os.environ.get("GC_UTILS_COLAB") != "whole":
            saves = ["save_figure(" in cell.source for cell in notebook.cells]
            notebook.cells = notebook.cells[: saves.index(True) + 1]
        nbformat.write(notebook, folder / path.name)
        values = preset_values("smoke", RECORDS) | LIGHTER
        words = [
            word
            for name, value in values.items()
            if name in NOTEBOOKS[number].parameters
            for word in ("-p", name, str(value))
        ]
        done = subprocess.run(
            [sys.executable, "-m", "papermill", path.name, "out.ipynb", *words, "--log-output"],
            cwd=folder,
            env=colab.environment | environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return nbformat.read(folder / "out.ipynb", as_version=4), folder

    return open_alone


@pytest.fixture(scope="module")
def alone(opened):
    """05, which looks at what 01 to 04 make, opened in an empty folder."""
    return opened("05")


def check(notebook) -> str:
    """A notebook ran, quietly, and shows a figure; returns its text."""
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert any("image/png" in o.get("data", {}) for o in outputs)
    assert "Warning" not in "".join(o.text for o in outputs if o.get("name") == "stderr")
    return "".join(o.get("text", "") for o in outputs)


def test_the_first_cell_installs_the_package_and_keeps_torch(colab):
    first = (ROOT / "notebooks" / "_first_cell.py").read_text()
    told = "import gc_utils, torch; print(gc_utils.__file__, torch.__file__)"
    empty = colab.folder / "empty"
    empty.mkdir()
    environment = dict(colab.environment)
    for _ in range(2):  # the second time there is nothing to do
        result = subprocess.run(
            [colab.python, "-c", f"{first}\n{told}"],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        ours, torch = map(Path, result.stdout.split())
        assert ours.is_relative_to(colab.site)
        assert torch.is_relative_to(sysconfig.get_path("purelib"))
        environment["GC_UTILS_SOURCE"] = "/nowhere"
    assert list(empty.iterdir()) == []
    shipped = {p.name for p in (ROOT / "gc_utils" / "weights").iterdir() if p.is_file()}
    assert shipped == {p.name for p in (ours.parent / "weights").iterdir() if p.is_file()}
    notebooks = sorted((ours.parent / "_notebooks").iterdir())
    assert [path.name for path in notebooks] == [n.path.name for n in NOTEBOOKS.values()]
    assert all('"image/png":' not in path.read_text() for path in notebooks), "no outputs"


def test_05_opened_alone_makes_a_small_run_and_says_so(alone):
    notebook, folder = alone
    said = check(notebook)
    small = folder / "runs" / "small"
    assert f"looks at a small run, {small}" in said and "04_symmetry" in said
    run = json.loads((small / "run.json").read_text())
    assert run["preset"] == "smoke"
    assert {name[:2]: r["status"] for name, r in run["notebooks"].items()} == dict.fromkeys(
        ("01", "02", "03", "04"), "done"
    )
    assert sorted(p.name for p in folder.iterdir()) == ["05_explore.ipynb", "out.ipynb", "runs"]


@pytest.mark.parametrize("number", READERS)
def test_a_notebook_takes_the_run_that_is_named(alone, opened, number):
    run = alone[1] / "runs" / "small"
    notebook, folder = opened(number, first_figure=True, GC_UTILS_RUN=str(run))
    assert f"Run folder: {run} (GC_UTILS_RUN)" in check(notebook)
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("number", [n for n in NOTEBOOKS if n not in (*READERS, "05")])
def test_a_notebook_that_needs_no_other_runs_alone(opened, number):
    notebook, folder = opened(number, first_figure=True)
    check(notebook)
    assert list((folder / "runs" / "demo" / "figures").glob(f"{number}_*.png"))
