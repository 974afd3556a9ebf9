"""The runner: what it runs, what it skips, what it says when a notebook stops."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from gc_utils.__main__ import main
from gc_utils.errors import DiskFull, UserError
from gc_utils.pipeline import PRESETS
from gc_utils.pipeline.fingerprints import checksum
from gc_utils.pipeline.lock import alone
from gc_utils.pipeline.record import Record
from gc_utils.pipeline.rules import Rule
from gc_utils.pipeline.runner import NotebookFailed, run

slow = pytest.mark.slow


@slow
def test_a_run_leaves_everything_in_order(story, tmp_path, monkeypatch):
    # Somebody registered another interpreter as `python3`; it must not be used.
    other = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    other.parent.mkdir(parents=True)
    other.write_text('{"argv": ["false"], "display_name": "another", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    told = story()
    lines = told.splitlines()
    assert lines[0] == "Run folder: out"
    assert re.fullmatch(r"\[1/2\] 01_first \.{4}  \d:\d\d, \d+ MB", lines[1]), "a dot for each cell"
    assert lines[-1] == "Report: out/report.html"
    content = json.loads((tmp_path / "out" / "run.json").read_text())
    assert content["preset"] == "demo"
    assert content["parameters"] == {"seed": 0, "k": 3}
    assert content["versions"]["torch"]
    first = content["notebooks"]["01_first"]
    assert first["status"] == "done"
    assert first["peak_memory_mb"] > 10
    made = tmp_path / "out" / "features.csv"
    assert first["outputs"]["features.csv"]["sha256"] == checksum(made)
    assert (tmp_path / "out" / "made.csv").read_text() == "0 3" + sys.executable
    assert (tmp_path / "out" / "02_second.ipynb").exists()
    further = replace(PRESETS["demo"], afterwards="Then see the other.")
    monkeypatch.setitem(PRESETS, "demo", further)
    assert story().splitlines()[-2:] == ["Report: out/report.html", "Then see the other."]


@slow
def test_only_what_changed_runs_again(story, tmp_path, make_notebook):
    out = tmp_path / "out"
    assert "up to date" not in story()
    assert story().count("up to date") == 2
    # another parameter: it and what reads from it, and the reason is told
    assert "(changed: k 3 → 4)" in (told := story(parameters={"k": 4}))
    assert "(01_first made something else)" in told
    assert (out / "made.csv").read_text().startswith("0 4")
    # a product that was tampered with is made again
    (out / "made.csv").unlink()
    told = story(parameters={"k": 4})
    assert re.search(r"01_first  up to date", told)
    assert re.search(r"02_second \(made.csv is gone\)", told)
    # an edited notebook; its outcome is the same, so the next one need not run
    make_notebook("01_first", story.parameters + "k = 3  # how many", story.first, "a_new_cell = 1")
    told = story(parameters={"k": 4})
    assert "01_first (the notebook changed)" in told
    assert re.search(r"02_second  up to date", told)
    assert "up to date" not in story(parameters={"k": 4}, force=True)
    assert "02_second" not in story(parameters={"k": 4}, only=["1"])


@slow
def test_a_failing_notebook_is_named_and_later_ones_are_not_run(
    story, make_notebook, capsys, tmp_path
):
    bad = 'a = 1\nraise ValueError("no light")\nb = 2'
    make_notebook("01_first", story.parameters + "k = 3  # how many", bad)
    assert main(["run", "--notebooks", "notebooks", "--output", "out"]) == 1
    told = capsys.readouterr().err
    assert "01_first stopped in cell 4 of 4:" in told
    assert '> raise ValueError("no light")' in told
    assert "ValueError: no light" in told
    assert "Not run: 02_second" in told
    assert "Traceback" not in told
    content = json.loads((tmp_path / "out" / "run.json").read_text())["notebooks"]
    assert list(content) == ["01_first"]
    assert content["01_first"]["status"] == "failed"
    assert "no light" in (tmp_path / "out" / "report.html").read_text()


@slow
def test_a_kernel_that_dies_is_a_failing_notebook(story, make_notebook):
    make_notebook("01_first", story.parameters + "k = 3  # how many", "import os", "os._exit(9)")
    with pytest.raises(NotebookFailed, match="cell 5 of 5: the kernel died"):
        story()


@slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_from_there(story, make_notebook, tmp_path, how):
    wait = (
        story.make + 'done = pathlib.Path(run_dir, "made.csv")\n'
        'if not done.exists():\n    done.write_text("part")\n    import time; time.sleep(600)\n'
        'done.write_text(done.read_text() + " and rest")'
    )
    make_notebook("02_second", story.parameters, wait)
    # presets are those of the package in another process, so nothing is set for `k`
    command = [sys.executable, "-m", "gc_utils", "run", "--preset", "smoke"]
    command += ["--notebooks", "notebooks", "--output", "out"]
    path = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        # A shell that starts us in the background has told us to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    made = tmp_path / "out" / "made.csv"
    while not (made.exists() and made.read_text()):
        assert process.poll() is None, "it ended before it was interrupted"
        time.sleep(0.1)
    process.send_signal(how)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted" in told
    content = json.loads((tmp_path / "out" / "run.json").read_text())["notebooks"]
    assert [content[name]["status"] for name in content] == ["done", "interrupted"]
    assert (tmp_path / "out" / "report.html").exists()
    again = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert again.returncode == 0, again.stderr
    assert re.search(r"01_first  up to date", again.stdout)
    assert made.read_text() == "part and rest", "what was there was built upon"


@slow
@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_a_killed_run_goes_on_and_its_kernel_does_not(story, make_notebook, tmp_path):
    wait = (
        story.make + 'import os\ndone = pathlib.Path(run_dir, "made.csv")\n'
        "if not done.exists():\n    done.write_text(str(os.getpid()))\n"
        "    import time; time.sleep(600)\n"
        'pathlib.Path(run_dir, "last.csv").write_text("and rest")'
    )
    make_notebook("02_second", story.parameters, wait)
    command = [sys.executable, "-m", "gc_utils", "run", "--preset", "smoke"]
    command += ["--notebooks", "notebooks", "--output", "out"]
    settings = {"cwd": tmp_path, "text": True}
    settings["env"] = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, **settings)
    made = tmp_path / "out" / "made.csv"
    while not (made.exists() and made.read_text()):
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.1)
    process.kill()
    process.communicate()
    kernel = int(made.read_text())
    again = subprocess.run(command, capture_output=True, **settings)
    assert again.returncode == 0, again.stderr
    assert re.search(r"01_first  up to date", again.stdout)
    assert "02_second (interrupted last time)" in again.stdout
    assert (tmp_path / "out" / "last.csv").read_text() == "and rest"
    assert not psutil.pid_exists(kernel) or psutil.Process(kernel).status() == "zombie"


@slow
def test_a_full_disk_is_said_and_leaves_no_half_table(story, make_notebook, tmp_path, capsys):
    full = 'import errno\nraise OSError(errno.ENOSPC, "No space left on device")'
    half = 'pathlib.Path(run_dir, "made.csv").write_text("a,b\\n1")'
    make_notebook("02_second", story.parameters, story.make + half, full)
    assert main(["run", "--notebooks", "notebooks", "--output", "out"]) == 1
    said = capsys.readouterr().err
    assert "No space left on device" in said and "The disk is full: make room" in said
    assert not (tmp_path / "out" / "made.csv").exists()
    assert (tmp_path / "out" / "features.csv").exists()
    content = json.loads((tmp_path / "out" / "run.json").read_text())["notebooks"]
    assert [content[name]["status"] for name in content] == ["done", "failed"]
    assert not list((tmp_path / "out").glob("*.part"))


def test_a_full_disk_of_the_command_line_itself_is_no_traceback(monkeypatch, capsys):
    def full(*_):
        raise DiskFull("no room on the disk for run.json")

    monkeypatch.setattr("gc_utils.__main__._list", full)
    assert main(["list"]) == 1
    assert capsys.readouterr().err == "error: no room on the disk for run.json\n"


@slow
def test_a_run_that_was_killed_before_its_first_word_can_be_begun_again(story, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name in (".lock", "run.json.part", ".DS_Store"):
        (out / name).touch()
    story(only=["01"])
    assert (out / "features.csv").read_text() == "0 3"


def test_two_runs_do_not_share_a_folder(tmp_path):
    with alone(tmp_path), pytest.raises(UserError, match="another run is at work"):
        with alone(tmp_path):
            pass


@pytest.mark.parametrize("name", ["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EINVAL", "EIO"])
def test_a_file_system_without_locks_is_no_other_run(tmp_path, name):
    def refuse(handle):
        raise OSError(getattr(errno, name), "no such thing here")

    stream, went_on = io.StringIO(), False
    with alone(tmp_path, stream, refuse):
        went_on = True
    assert went_on and "cannot be locked (no such thing here)" in stream.getvalue()


@pytest.mark.parametrize("name", ["EAGAIN", "EACCES", "EDEADLK"])
def test_a_lock_that_is_held_is_another_run(tmp_path, name):
    def refuse(handle):  # the last two are what Windows and some network drives say
        raise OSError(getattr(errno, name), "held")

    with pytest.raises(UserError, match="another run is at work"), alone(tmp_path, lock=refuse):
        pass


def test_a_lock_file_that_cannot_be_opened_is_no_other_run(tmp_path):
    (tmp_path / ".lock").mkdir()
    stream = io.StringIO()
    with alone(tmp_path, stream):
        assert "cannot be locked (Is a directory)" in stream.getvalue()


@slow
def test_what_a_person_has_put_there_stands_for_the_notebook_that_makes_it(
    story, tmp_path, make_notebook
):
    """As `ActivationStore.from_array` writes it."""
    make_notebook("02_second", story.parameters, "x = 1")
    given = tmp_path / "out" / "activations.zarr" / "A"
    given.parent.mkdir(parents=True)
    given.write_text("1")
    note = tmp_path / "out" / "note.txt"
    note.touch()
    with pytest.raises(UserError, match="holds other things than a run"):
        story(only=["02"])
    note.unlink()
    for only, said in ((["01"], ""), ([], "use --only 02, or ")):  # it would be replaced
        match = f"activations.zarr in .* was put there and not made by 01_first.*: {said}name"
        with pytest.raises(UserError, match=match):
            story(only=only)
    assert given.read_text() == "1"
    assert "up to date" not in (told := story(only=["02"])) and "stale" not in told
    assert "up to date" in story(only=["02"])
    given.write_text("22")
    assert "(01_first made something else)" in story(only=["02"])
    given.unlink()
    given.parent.rmdir()
    with pytest.raises(UserError, match="needs what 01_first makes"):
        story(only=["02"])


@slow
def test_a_weights_file_that_changed_makes_a_notebook_run_again(tmp_path, make_notebook):
    make_notebook("01_first", 'run_dir = "out"  # there\nweights_file = ""  # a copy\n', "x = 1")
    weights, stream = tmp_path / "my.pth", io.StringIO()
    weights.write_bytes(b"one")
    record = Record("01", rules={"weights_file": Rule(holds="path")})

    def again() -> str:
        stream.truncate(stream.seek(0))
        run(
            "demo",
            tmp_path / "out",
            parameters={"weights_file": str(weights)},
            notebooks=tmp_path / "notebooks",
            stream=stream,
            records=[record],
        )
        return stream.getvalue()

    assert "up to date" not in again() and "up to date" in again()
    weights.write_bytes(b"another")
    assert "(the file of its weights changed)" in again()
    assert "up to date" in again()
