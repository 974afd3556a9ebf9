"""Files where folders belong, pipes, permissions, Ctrl-C: said in a line, and nobody hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import gc_utils.__main__ as command
from gc_utils.__main__ import main
from gc_utils.errors import UserError
from gc_utils.evidence.findings import load_readable
from gc_utils.pipeline import fingerprints
from gc_utils.pipeline.fingerprints import checksum
from gc_utils.pipeline.lock import alone
from gc_utils.pipeline.manifest import Manifest
from gc_utils.pipeline.notebooks import read_notebook
from gc_utils.reporting.columns import read_manifest
from gc_utils.reporting.gallery import gallery_of

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_hang():
    """Whoever waits for the other end of a pipe fails after a while."""

    def stop(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        *((name, Path.touch) for name in ("results", "figures", "checkpoints")),
        *((name, Path.mkdir) for name in ("report.html", ".lock")),
        *((name, os.mkfifo) for name in ("report.html", ".lock", "figures")),
    ],
)
def test_what_stands_in_the_way_is_named_before_a_notebook_runs(story, capsys, name, make):
    Path("out").mkdir()
    Path("out/run.json").write_text('{"notebooks": {}}', encoding="utf-8")
    make(Path("out", name))
    assert main(["run", "--notebooks", "notebooks", "--output", "out"]) == 2
    told = capsys.readouterr()
    kind = "file" if name in ("report.html", ".lock") else "folder"
    assert f"out/{name}' is no {kind}" in told.err and told.err.count("\n") == 1
    assert "01_first" not in told.out


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_run_json_that_is_no_file_is_named(tmp_path, make):
    make(tmp_path / "run.json")
    for read in (Manifest, read_manifest):
        with pytest.raises(UserError, match="run.json .*it is no file"):
            read(tmp_path)


def test_pipes_are_no_products_and_no_locks(tmp_path, capsys):
    for name in ("a.zarr", ".lock"):
        os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match="a.zarr is neither a file nor a folder"):
        checksum(tmp_path / "a.zarr")
    with alone(tmp_path):
        assert ".lock is no file" in capsys.readouterr().out
    (tmp_path / "results").mkdir()
    os.mkfifo(tmp_path / "results" / "01_a.json")
    assert "it is no file" in load_readable(tmp_path)[1][0]


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "5",
        "{",
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": 5}',
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [5]}',
        '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"}]}',
        '{"nbformat": [], "metadata": {}, "cells": []}',
    ],
)
def test_what_is_no_notebook_is_named(story, capsys, text):
    path = Path("notebooks/03_broken.ipynb")
    path.write_text(text, encoding="utf-8")
    assert main(["list", "--notebooks", "notebooks"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1
    assert "03_broken.ipynb' cannot be read as a notebook" in told
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match="it is no file"):
        read_notebook(path)


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "Permission denied", "out/figures/01_a.png"),
        IsADirectoryError(21, "Is a directory", "out/figures/01_a.png"),
        OSError(5, "Input/output error", "out/figures/01_a.png"),
    ],
)
def test_whatever_a_system_refuses_is_a_line_that_names_the_file(capsys, monkeypatch, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr(command, "_list", refuse)
    assert main(["list"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ") and told.count("\n") == 1
    assert "'out/figures/01_a.png'" in told and error.strerror in told


def test_a_product_that_may_not_be_read_is_named(story, capsys, monkeypatch):
    Path("out").mkdir()
    record = {"status": "done", "inputs": {"parameters": {}, "upstream": {}}}
    record |= {"outputs": {"features.csv": {"sha256": "0"}}}
    manifest = Manifest(Path("out"))
    manifest.records["01_first"] = record
    manifest.begin("demo", {})
    Path("out/features.csv").write_text("x")

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(fingerprints, "_digest", refuse)
    assert main(["run", "--notebooks", "notebooks", "--output", "out", "--only", "01"]) == 1
    told = capsys.readouterr().err
    assert "features.csv'" in told and told.startswith("error: ") and told.count("\n") == 1


def test_a_folder_that_may_not_be_looked_into_is_not_empty(tmp_path, monkeypatch):
    (tmp_path / "a.zarr").mkdir()

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(fingerprints.os, "scandir", refuse)
    with pytest.raises(PermissionError, match="a.zarr"):
        checksum(tmp_path / "a.zarr")


def test_a_gallery_whose_note_is_damaged_is_an_old_one(tmp_path):
    (tmp_path / "gallery").mkdir()
    (tmp_path / "gallery" / "index.html").touch()
    (tmp_path / "gallery" / "made_from.json").write_text("{")
    assert gallery_of(tmp_path) == (True, False)


def test_ctrl_c_while_a_command_is_read_is_no_traceback(monkeypatch, capsys):
    def stopped():
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "parser", stopped)
    assert main(["list"]) == 130 and capsys.readouterr().err == ""


@pytest.mark.parametrize("module", ["argparse", "gc_utils.errors", "gc_utils.pipeline", "pandas"])
def test_ctrl_c_while_modules_are_imported_is_no_traceback(module):
    code = (
        "import runpy, sys\n"
        "class Stop:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            raise KeyboardInterrupt\n"
        "sys.argv = ['gc_utils', 'list']\n"
        "import gc_utils, lazy_loader\n"
        f"sys.modules.pop({module!r}, None)\n"
        "sys.meta_path.insert(0, Stop())\n"
        "runpy.run_module('gc_utils', run_name='__main__')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment
    )
    assert (done.returncode, done.stderr) == (130, "")
