"""Where run folders are looked for and made, and what is said when something is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from gc_utils import files
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.files import find_run, git_blob_id, product
from gc_utils.planted import planted_orbits, write_store

ROOT = Path(__file__).resolve().parents[1]
READERS = ("02_train", "03_cluster", "04_symmetry", "04c_tied", "05_explore")


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository's root, whose package is the one in use; `away` is an unrelated folder."""
    root = tmp_path / "repository"
    for folder in (root / "gc_utils", root / "notebooks", tmp_path / "away"):
        folder.mkdir(parents=True)
    (root / "gc_utils" / "__init__.py").touch()
    (root / "notebooks" / "01_extract.ipynb").touch()
    monkeypatch.setattr(files, "__file__", str(root / "gc_utils" / "files.py"))
    return root


def make_run(path: Path, *names: str) -> Path:
    path.mkdir(parents=True)
    for name in ("run.json", *names):
        (path / name).touch()
    return path


@pytest.mark.parametrize("current", ["repository", "repository/notebooks", "away"])
def test_a_run_of_the_repository_is_found_from_anywhere(repository, monkeypatch, current):
    made = make_run(repository / "runs" / "demo")
    monkeypatch.chdir(repository.parent / current)
    for create in (False, True):
        assert find_run("runs/demo", create=create) == made
        assert find_run(made, create=create) == made, "again, as a cell that is run twice does"
    own = make_run(Path.cwd() / "runs" / "mine")
    assert find_run("runs/mine") == own
    assert find_run(Path("runs", "..", "runs", "mine")) == own


def test_a_run_where_it_was_asked_for_comes_first(repository, monkeypatch):
    make_run(repository / "runs" / "demo")
    for current in (repository / "notebooks", repository.parent / "away"):
        own = make_run(current / "runs" / "demo")
        monkeypatch.chdir(current)
        assert find_run("runs/demo") == find_run("runs/demo", create=True) == own


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ("repository", "repository/runs/demo"),
        ("repository/notebooks", "repository/runs/demo"),
        ("away", "away/runs/demo"),
    ],
)
def test_a_new_run_is_made_where_the_next_notebook_finds_it(
    repository, monkeypatch, current, expected
):
    monkeypatch.chdir(repository.parent / current)
    made = find_run("runs/demo", create=True)
    assert made == repository.parent / expected and made.is_dir()
    assert find_run("runs/demo") == made
    assert len(list(repository.parent.rglob("demo"))) == 1


def test_a_path_upwards_never_leaves_the_repository_by_itself(repository, monkeypatch):
    monkeypatch.chdir(repository / "notebooks")
    assert find_run("../runs/new", create=True) == repository / "runs" / "new"


def test_an_absolute_path_is_taken_as_it_is(repository, monkeypatch, tmp_path):
    monkeypatch.chdir(repository / "notebooks")
    asked = tmp_path / "elsewhere" / "run"
    with pytest.raises(UserError, match=f"looked for {re.escape(repr(str(asked)))}. Make"):
        find_run(asked)
    assert find_run(asked, create=True) == asked and asked.is_dir()


def test_an_installed_package_has_no_repository(repository, monkeypatch):
    (repository / "notebooks" / "01_extract.ipynb").unlink()
    make_run(repository / "runs" / "demo")
    monkeypatch.chdir(repository.parent / "away")
    with pytest.raises(UserError) as told:
        find_run("runs/demo")
    assert str(repository) not in str(told.value)
    # Its notebooks are in a repository all the same if that is where Jupyter was started.
    (repository / "notebooks" / "01_extract.ipynb").touch()
    monkeypatch.setattr(files, "__file__", "/nowhere/gc_utils/files.py")
    monkeypatch.chdir(repository / "notebooks")
    assert find_run("runs/demo") == repository / "runs" / "demo"


def test_a_missing_run_names_the_places_and_the_runs_that_exist(repository, monkeypatch):
    here = repository / "notebooks"
    monkeypatch.chdir(here)
    with pytest.raises(UserError, match="there is no other yet"):
        find_run("runs/demo")
    others = [make_run(here / "runs" / "a"), make_run(repository / "runs" / "b")]
    (repository / "runs" / "no run").mkdir()
    with pytest.raises(UserError) as told:
        find_run("runs/demo")
    said = str(told.value)
    for path in (here / "runs" / "demo", repository / "runs" / "demo", *others):
        assert repr(str(path)) in said
    assert "no run'" not in said


def test_a_missing_product_names_its_notebook_and_the_runs_that_exist(repository, monkeypatch):
    monkeypatch.chdir(repository / "notebooks")
    run = make_run(repository / "runs" / "demo", "crosscoder.safetensors")
    whole = make_run(repository / "runs" / "whole", "features.csv")
    part = make_run(repository / "runs" / "part")
    assert product(run, "crosscoder.safetensors", "02_train") == run / "crosscoder.safetensors"
    with pytest.raises(UserError) as told:
        product(find_run("runs/demo"), "features.csv", made_by="04_symmetry")
    said = str(told.value)
    assert f"no features.csv in this run folder: looked for {str(run / 'features.csv')!r}" in said
    assert "04_symmetry" in said
    assert f"Runs that exist: {str(part)!r} (without features.csv), {str(whole)!r}." in said


def test_a_run_folder_that_cannot_be_made_is_a_user_error(repository, monkeypatch):
    monkeypatch.chdir(repository)
    (repository / "runs").touch()
    with pytest.raises(UserError, match=r"cannot make the run folder '.*runs/demo'"):
        find_run("runs/demo", create=True)


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/*.ipynb")), ids=lambda p: p.stem)
def test_every_notebook_finds_its_run_folder_so(path):
    cells = nbformat.read(path, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    call = "find_run(run_dir)" if path.stem in READERS else "find_run(run_dir, create=True)"
    assert code.count("find_run(") == code.count(f"run_dir = {call}") == 1
    assert "Path(run_dir)" not in code


def code_of(name: str) -> str:
    """A notebook's parameters and its first cell of code after them, without the Colab cell."""
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    return "\n".join(code[1:3])


def run_code(code: str, root: Path, current: Path) -> str:
    """Standard output or error of code run as a kernel does, with the package below `root`."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=current,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    return done.stdout if done.returncode == 0 else done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the repository with the products of a run in `runs/demo`, less `features.csv`."""
    root = tmp_path_factory.mktemp("copy") / "repository"
    for name in ("gc_utils", "notebooks"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    run = make_run(root / "runs" / "demo")
    planted = planted_orbits("D4", 8, 3, samples=64, l0=2, seed=0)
    write_store(run / "activations.zarr", planted)
    GroupCrosscoder("D4", 24, 6, k=2).save(run / "crosscoder.safetensors", layer="planted")
    return root


@pytest.mark.slow
@pytest.mark.parametrize("current", ["repository", "repository/notebooks", "away"])
def test_the_explorer_opens_the_run_of_the_repository(copy, current):
    """As the README has it: run in the root, then 05 in Jupyter, whose folder is `notebooks/`."""
    folder = copy.parent / current
    folder.mkdir(exist_ok=True)
    run = copy / "runs" / "demo"
    (run / "features.csv").unlink(missing_ok=True)
    said = run_code(code_of("05_explore"), copy, folder)
    missing = f"UserError: no features.csv in this run folder: looked for {str(run)!r}"
    assert missing.rstrip("'") in said and "04_symmetry" in said
    (run / "features.csv").write_text("feature\n0\n")
    code = code_of("05_explore") + "\nprint(run_dir, len(store), len(report))"
    assert run_code(code, copy, folder).endswith(f"\n{run} 64 1\n")


@pytest.mark.slow
def test_the_first_notebook_writes_where_the_second_reads(copy):
    new = 'run_dir = "runs/by_hand"\n'
    first, second = (
        code_of(name).replace('run_dir = "runs/demo"', new + "#")
        for name in ("01_extract", "02_train")
    )
    said = run_code(second, copy, copy / "notebooks")
    assert f"looked for {str(copy / 'notebooks/runs/by_hand')!r} and" in said
    assert f"Runs that exist: {str(copy / 'runs/demo')!r}." in said
    run_code(first, copy, copy / "notebooks")
    said = run_code(second, copy, copy / "notebooks")
    store = copy / "runs" / "by_hand" / "activations.zarr"
    assert f"no activations.zarr in this run folder: looked for {str(store)!r}" in said
    assert "01_extract" in said
    assert not (copy / "notebooks" / "runs").exists()


def test_git_blob_id_is_gits():
    assert git_blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"
