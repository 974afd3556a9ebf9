"""Command lines with values that make no sense, for every parameter of every notebook.

Each is refused before anything runs, in a line that a person can act on, or it is accepted; nothing
is written either way. `GC_UTILS_COMMAND_LINES` says how many are tried of about 3,000, and
`GC_UTILS_SHELL_LINES` how many of about 30 through a shell.
"""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch.hub

from gc_utils import downloads
from gc_utils.__main__ import main
from gc_utils.errors import brief
from gc_utils.pipeline import find_notebooks, runner

NOTEBOOKS = find_notebooks(Path(__file__).parents[2] / "notebooks")
TRIED = int(os.environ.get("GC_UTILS_COMMAND_LINES", "120"))
THROUGH_A_SHELL = int(os.environ.get("GC_UTILS_SHELL_LINES", "3"))

NUMBERS = [
    *("-1", "0", "1", "2", "-999999999", "1.5", "1e3", "-1e9", "1e30", "1e-400", "1e999", "-1e999"),
    *("nan", "inf", "-inf", "many", "", " ", "True", "None", "[1]", "0x10", "1_0", "２", "1,2"),
    *(
        "1" + "0" * 30,
        "-1" + "0" * 400,
        "1" + "0" * 400,
        "9" * 5000,
        "4294967296",
        "a\0b",
        "(" * 999,
    ),
]
LISTS = ["[]", "[[1]]", "[0.5", ",", "0.5,,2", "0.5," * 999, "0.5,a", "0.5,inf", "{[]: 1}"]
TEXTS = [
    *(
        "",
        " ",
        "no such thing",
        "../../etc",
        "a" * 10_000,
        "a\0b",
        "é→ρ",
        "\udce9",
        "1",
        "-1",
        "nan",
    ),
    *("None", "[]", "(" * 999, "a\nb", ":", "~nobody-is-called-so/x", "{run_dir}", "'", '"'),
]
ODD = {
    "device": ["gpu", "cuda:99", "mps", "meta", "cpu:99", "xla"],
    "precision": ["float16", "float64", "Auto"],
    "window": ["disk", "Disc"],
    "group": [
        "C1",
        "D0",
        "D-1",
        "d4",
        "D9999999999999999999",
        "C",
        "Z8",
        "D4.5",
        "D721",
        "D1",
        "C3",
    ],
    "tied": ["24x", "0", "C1:0", "G:-1", "Z:3", "C1:99999999999999", "C16:4", "1000001", "D1@0:2"],
    "task": ["mnist", "digits:x", "cifar10:", "cifar10:nowhere"],
    "widths": ["16,32", "0", "-4", "9" * 30, "4097", "16 x"],
    "model": [
        "os:nothing",
        "json:loads",
        "sys:exit",
        "timm:nosuch",
        "timm:",
        "nets.py:make",
        "inceptionv2",
    ],
    "weights": ["dmo", "IMAGENET1K_V1", "bvlc_googlenet", "inception5h"],
    "weights_file": ["nowhere.pth", ".", "plain.txt", "/dev/null", "empty.safetensors"],
    "layer": ["mixd3b", "mixed3a mixed3b", "logits", "mixed5b"],
    "images": [
        *(
            "folder:",
            "folder:nowhere",
            "imagenet:",
            "imagenet:.",
            "scenes:0",
            "scenes:-1",
            "scenes:x",
        ),
        *("scenes:99999999999999999999", "photos+photos", "+", "photos:3", "folder:plain.txt"),
        *("folder:.", "folder:~nobody-is-called-so/x", "imagenet_samples:nowhere", "photo"),
        *("folder:" + "a" * 5000, "folder:a\0b", "scenes:9+"),
    ],
}
ALIKE = {"concept_pictures": "images", "class_pictures": "images"}


def odd_values(name: str, default: object) -> list[str]:
    """Values to try for a parameter, as they may be typed."""
    if isinstance(default, str):
        more = ODD.get(ALIKE.get(name, name), ODD["layer"] if "layer" in name else [])
        return TEXTS + more
    return NUMBERS + (LISTS if isinstance(default, list) else [])


def every_line() -> list[tuple[str, str, str]]:
    """Notebook, parameter and value of every command line to try."""
    return [
        (notebook.number, name, value)
        for notebook in NOTEBOOKS
        for name, parameter in notebook.parameters.items()
        if name != "run_dir"
        for value in odd_values(name, parameter.default)
    ]


ACTION = re.compile(
    "expected|[Cc]hoices|did you mean|takes? |choose|nearest|is named|give |name |lower|leave|set "
    "|does not exist|looked in|is not a folder|too long|belong together|is for|Without it"
    "|write |use |have all layers|no usable image of|has to"
)


class Accepted(Exception):
    """Raised where the run would begin."""


@pytest.fixture
def typed(monkeypatch, tmp_path, capsys) -> Iterator[Callable[..., tuple[int, str]]]:
    """Type a command line, up to where the run would begin; returns exit code and message."""

    def begin(*args, **options):
        raise Accepted

    def offline(address, *args, **options):
        raise urllib.error.URLError("no network in this test")

    monkeypatch.setattr(runner, "find_notebooks", lambda *args: NOTEBOOKS)
    monkeypatch.setattr(runner, "carry_out", begin)
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    here = tmp_path / "here"
    here.mkdir()
    (here / "plain.txt").write_text("no image and no weights")
    (here / "empty.safetensors").write_text("")
    monkeypatch.chdir(here)
    before = sorted(tmp_path.rglob("*"))

    def go(*words: str) -> tuple[int, str]:
        try:
            code = main(["run", "--preset", "smoke", "--output", "out", *words])
        except Accepted:
            code = 0
        told = capsys.readouterr()
        assert told.out == ""
        return code, told.err

    yield go
    assert sorted(tmp_path.rglob("*")) == before, "something was written"


def fault(name: str, value: str, code: int, told: str) -> str:
    """What is wrong with how a command line ended; empty if nothing is."""
    if code == 0:
        return f"accepted, and said {told!r}" if told else ""
    if code != 2:
        return f"exit code {code}"
    told = re.sub(r"^.*B/s\]\n", "", told)  # how far a download came
    if not told.startswith("error: ") or told.count("\n") != 1:
        return f"not one line: {told!r}"
    if len(told) > 900:
        return f"a message of {len(told)} letters"
    shown = brief(value.strip())[:20].encode("ascii", "replace").decode().split("?")[0]
    if name not in told and shown not in told and repr(shown)[1:-1] not in told:
        return f"names neither the parameter nor the value: {told!r}"
    if not ACTION.search(told):
        return f"says neither what was expected nor what to do: {told!r}"
    return ""


def test_a_value_that_makes_no_sense_is_refused_in_a_line_or_accepted(typed):
    lines = every_line()
    assert len(lines) > 1000
    faults, refused = [], 0
    for number, name, value in random.Random(18).sample(lines, min(TRIED, len(lines))):
        try:
            code, told = typed("--only", number, "--with-needed", "-p", name, value)
            wrong = fault(name, value, code, told)
            refused += code == 2
        except Exception as error:  # noqa: BLE001  the test is that there is none
            wrong = f"{type(error).__name__}: {error}"
        if wrong:
            faults.append(f"{number} -p {name} {brief(shlex.quote(value))!r}: {wrong}")
    assert not faults, "\n".join(faults)
    assert refused > TRIED / 2


SURELY_REFUSED = {
    "device": ["gpu", "meta"],
    "group": ["Z8", "D9999999999"],
    "window": ["disk"],
    "precision": ["float16"],
    "tied": ["24x"],
    "images": ["folder:no where", "scenes:0", "photos+photos"],
    "layer": ["mixd3b"],
    "model": ["inceptionv2"],
    "weights_file": ["$HOME/no where.pth"],
    "task": ["mnist"],
    "widths": ["4097"],
    "seed": ["4294967296", "-1"],
    "samples": ["9" * 400, "1e999"],
    "learning_rate": ["-1e-3", "inf"],
    "blur": ["nan"],
    "l1": ["-1"],
    "keep": ["0", "1.01"],
    "rate": ["2.0"],
    "ratio": ["0"],
    "sizes": ["0.5,a", "[]" + "," * 9],
    "feature": ["-2"],
    "bank_seeds": ["many"],
    "workers": ["0"],
}


@pytest.mark.slow
def test_a_shell_is_told_the_same(tmp_path):
    lines = [(name, value) for name, values in SURELY_REFUSED.items() for value in values]
    owner = {name: n.number for n in NOTEBOOKS for name in n.parameters}
    some = random.Random(18).sample(lines, min(THROUGH_A_SHELL, len(lines)))
    for name, value in some:
        words = [sys.executable, "-m", "gc_utils", "run", "--preset", "smoke", "--output", "out"]
        words += ["--only", owner[name], "--with-needed", "-p", name, value]
        done = subprocess.run(
            ["sh", "-c", shlex.join([*words, "--notebooks", str(NOTEBOOKS[0].path.parent)])],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            env=os.environ | {"PYTHONPATH": str(NOTEBOOKS[0].path.parents[1])},
        )
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert fault(name, value, 2, done.stderr) == ""
        assert not list(tmp_path.iterdir())
