"""What a run says can be written to any stream, and nothing is deleted before it is said."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gc_utils.evidence import Findings
from gc_utils.pipeline import Line, encodable, never_raise, say
from gc_utils.pipeline.presets import PRESETS, Preset
from gc_utils.pipeline.runner import run

ROOT = str(Path(__file__).parents[2])
PARAMETERS = 'run_dir = "out"  # the run folder\nseed = 0  # of everything random\n'
WRITE = 'import pathlib\npathlib.Path(run_dir, "features.csv").write_text(str(seed))'


def narrow(encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors)


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode(stream.encoding)


@pytest.mark.parametrize(
    ("encoding", "text", "said"),
    [
        ("utf-8", "k 3 → 4, ρ", "k 3 → 4, ρ"),
        ("cp1252", "k 3 → 4, café", "k 3 -> 4, café"),
        ("cp1252", "median ρ", "median ?"),
        ("ascii", "café", "caf?"),
        ("utf-8", "caf\udce9", "caf?"),
    ],
)
def test_what_an_encoding_lacks_is_replaced(encoding, text, said):
    assert encodable(text, encoding) == said
    stream = narrow(encoding)
    say(stream, text, end="")
    assert written(stream) == said


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
def test_a_line_of_progress_is_said_on_a_narrow_stream(encoding):
    stream = narrow(encoding)
    line = Line(stream, "[1/1] 01_first")
    line.note("changed: k 3 → 4")
    line.update(2, 3, 1.0)
    line.finish("0:01")
    assert written(stream) == "[1/1] 01_first (changed: k 3 -> 4) ..  0:01\n"


def test_a_stream_that_only_writes_will_do():
    class Bare:
        text = ""

        def write(self, text: str) -> None:
            text.encode("ascii")
            self.text += text

        def flush(self) -> None:
            pass

    bare = Bare()
    Line(bare, "01").finish("3 → 4")
    assert bare.text == "01  3 -> 4\n"


def test_standard_streams_keep_their_encoding_and_stop_raising():
    strict, escaping = narrow("cp1252"), narrow("ascii", "backslashreplace")
    never_raise(strict, escaping, None, io.StringIO())
    print("→", file=strict)
    print("→", file=escaping)
    assert (strict.encoding, written(strict)) == ("cp1252", "?\n")
    assert written(escaping) == "\\u2192\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["cp1252", "C"],
)
def test_a_second_run_goes_through_where_output_is_narrow(make_notebook, tmp_path, setting):
    make_notebook("01_first", PARAMETERS, WRITE, heading="What → is there?")
    command = [sys.executable, "-m", "gc_utils", "run", "--preset", "smoke"]
    command += ["--notebooks", "notebooks", "--output", "out"]
    environment = {n: v for n, v in os.environ.items() if n not in ("LANG", "PYTHONIOENCODING")}
    environment |= {"PYTHONPATH": ROOT} | setting
    for seed in ("0", "1"):
        done = subprocess.run(
            [*command, "-p", "seed", seed], cwd=tmp_path, capture_output=True, env=environment
        )
        assert done.returncode == 0, done.stderr
    assert b"changed: seed 0 -> 1" in done.stdout
    assert (tmp_path / "out" / "features.csv").read_text() == "1"
    assert "What → is there?" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_nothing_is_deleted_before_it_is_said(make_notebook, tmp_path, monkeypatch):
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            if "changed" in text:
                raise OSError("the disk of the log is full")
            return super().write(text)

    make_notebook("01_first", PARAMETERS, WRITE)
    monkeypatch.setitem(PRESETS, "demo", Preset("demo", "of this test", {"seed": 0}))
    monkeypatch.chdir(tmp_path)
    run(output="out", notebooks="notebooks", stream=io.StringIO())
    with pytest.raises(OSError, match="full"):
        run(output="out", notebooks="notebooks", parameters={"seed": 1}, stream=Broken())
    assert (tmp_path / "out" / "features.csv").read_text() == "0"
    record = json.loads((tmp_path / "out" / "run.json").read_text())["notebooks"]["01_first"]
    assert record["status"] == "done"
    assert record["inputs"]["parameters"] == {"seed": 0}


def test_files_are_utf8_whatever_the_locale(tmp_path):
    code = (
        "import sys, locale\n"
        "from gc_utils.evidence import Claim, Finding, Findings, load_findings\n"
        "findings = Findings(sys.argv[1], '04_symmetry')\n"
        "claim = Claim('GC3', 'blocks', 'blocks', 'x')\n"
        "value, why = {'\\u03c1': 0.5}, 'p \\u2264 0.01'\n"
        "findings.record(Finding(claim, value, 'reproduced', why))\n"
        "assert load_findings(sys.argv[1])[0]['why'] == 'p \\u2264 0.01'\n"
        "print(locale.getencoding())\n"
    )
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": ROOT}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | locale,
    )
    assert done.returncode == 0, done.stderr
    assert "utf" not in done.stdout.lower(), "the locale under test is not UTF-8"
    assert Findings(tmp_path, "04_symmetry").load()[0]["value"] == {"ρ": 0.5}


def test_a_long_notebook_says_how_far_it_is_now_and_then():
    stream = io.StringIO()
    line = Line(stream, "[1/2] 01_extract")
    for seconds in range(0, 200, 5):
        line.update(2 + seconds // 90, 9, seconds, f"orbits {seconds}/2000, 01:00 left")
    line.finish("3:20, 100 MB")
    assert stream.getvalue().splitlines() == [
        "[1/2] 01_extract ..",
        "    cell 2/9  1:00  orbits 60/2000, 01:00 left",
        "    .",
        "    cell 3/9  2:00  orbits 120/2000, 01:00 left",
        "    .",
        "    cell 4/9  3:00  orbits 180/2000, 01:00 left",
        "    3:20, 100 MB",
    ]
    assert "\r" not in stream.getvalue()


def test_a_terminals_line_is_no_wider_than_the_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    line = Line(stream, "[1/2] 01_extract")
    line.update(2, 9, 65.0, "orbits 60/2000, 01:00 left")
    shown = stream.getvalue().rpartition("\x1b[2K")[2]
    assert shown == "[1/2] 01_extract  cell 2/9  1:05  orbits 60/2000, 01:00 left"[:39]
