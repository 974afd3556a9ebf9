"""A further chapter is a notebook, a record and a study: a toy one goes through everything."""

from __future__ import annotations

import json
import re

import pytest

from gc_utils.__main__ import main
from gc_utils.evidence import load_findings
from gc_utils.pipeline import RECORDS, Paper, Record, Rule
from gc_utils.reporting.claims import papers_table

STUDY = """\
def total(numbers):
    return sum(numbers)
"""
PARAMETERS = """\
run_dir = "out"  # the run folder
numbers = 3  # how many to add
mood = "calm"  # calm, lively
seed = 0  # the first of them
"""
CODE = """\
import sys
from pathlib import Path

from matplotlib.figure import Figure

from gc_utils.evidence import Claim, Finding, Findings
from gc_utils.figures import save_figure

sys.path.insert(0, str(Path.cwd()))
from toy_study import total

before = int(Path(run_dir, "base.csv").read_text())
found = before + total(range(seed, seed + numbers))
Path(run_dir, "toys").mkdir(exist_ok=True)
Path(run_dir, "toys", "total.txt").write_text(f"{found} {mood}")
drawing = Figure(figsize=(3, 2))
drawing.subplots().bar(["before", "total"], [before, found])
save_figure(drawing, run_dir, "11_total", "What was there before, and the total of the toys.")
findings = Findings(run_dir, "11_toy")
claim = Claim("TO1", "toys add up", "toys add up", "Toymaker 2030")
findings.record(Finding(claim, found, "reproduced", "they were counted"))
print(findings.sentence("TO1"))
"""
BASE = 'run_dir = "out"  # the run folder\nbase = 10  # to begin with\n'
WRITE_BASE = 'from pathlib import Path\nPath(run_dir, "base.csv").write_text(str(base))'
RECORD = Record(
    "11",
    needs=("00",),
    makes=("toys/*.txt",),
    paper=Paper("The Sum of All Toys", "3001.00001", "toy"),
    claims=("TO1",),
    presets={"smoke": {"numbers": 2}},
    rules={
        "numbers": Rule(least=1, most=9),
        "mood": Rule(choices=("calm", "lively")),
        "seed": next(r for r in RECORDS if r.number == "01").rules["seed"],
    },
)
CHAPTERS = [Record("00", rules={"base": Rule(least=0)}), *RECORDS, RECORD]


@pytest.fixture
def go(make_notebook, tmp_path, monkeypatch, capsys):
    """A folder with the toy chapter and what it needs; `go(...)` types a command in it."""
    make_notebook("00_base", BASE, WRITE_BASE)
    path = make_notebook("11_toy", PARAMETERS, CODE, heading="Do toys add up?")
    (path.parent / "toy_study.py").write_text(STUDY)
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> tuple[int, str, str]:
        code = main([*words, "--notebooks", "notebooks"], CHAPTERS)
        return code, *capsys.readouterr()

    return command


def run(*words: str) -> tuple[str, ...]:
    return ("run", "--preset", "smoke", "--output", "out", *words)


def test_it_is_listed_with_its_values(go):
    code, told, _ = go("list")
    assert code == 0
    assert "11_toy: Do toys add up?" in told
    assert re.search(r"mood = 'calm' +calm, lively", told)
    smoke = told.partition("smoke: ")[2].partition("demo (default)")[0]
    assert "numbers 2" in smoke and "visualise_steps 16" in smoke, "beside the values of the others"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-p numbers 10", "parameter 'numbers' is 10: expected 1 to 9."),
        ("-p numbers 0", "parameter 'numbers' is 0: expected 1 to 9."),
        ("-p numbers few", "parameter 'numbers' takes a whole number (default 3), not 'few'"),
        ("-p mood livly", "unknown mood 'livly'; did you mean 'lively'? Choices: calm, lively."),
        ("-p seed -1", "parameter 'seed' is -1: expected 0 to 1,000,000."),
        ("--only 11", "11_toy needs what 00_base makes"),
    ],
)
def test_a_mistake_is_refused_before_anything_runs(go, tmp_path, words, said):
    code, told, complaint = go(*run(*words.split()))
    assert (code, told) == (2, "")
    assert said in complaint
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_it_runs_and_is_reported(go, tmp_path):
    out = tmp_path / "out"
    code, told, complaint = go(*run())
    assert code == 0, complaint
    made = out / "toys" / "total.txt"
    assert made.read_text() == "11 calm", "10 and the smoke preset's 0 + 1"
    content = json.loads((out / "run.json").read_text())["notebooks"]
    assert set(content["11_toy"]["outputs"]) == {
        "toys/total.txt",
        "figures/11_total.png",
        "results/11_toy.json",
    }
    page = (out / "report.html").read_text(encoding="utf-8")
    for words in ("Do toys add up?", "What was there before, and the total", "TO1", "They were"):
        assert words in page
    # What it found is in the README, on the page of claims, and in its table of papers.
    marks = "".join(f"<!-- {n} -->\n<!-- /{n} -->\n" for n in ("results", "notebooks", "claims"))
    (tmp_path / "README.md").write_text(marks)
    assert go("readme", "--run", "out")[0] == 0
    readme = (tmp_path / "README.md").read_text(encoding="utf-8")
    row = "| TO1 | toys add up | reproduced | not run | [numbers](docs/claims.md#to1) |"
    assert row in readme
    assert "| `11_toy` | Do toys add up? | [arXiv 3001.00001]" in readme
    claims = (tmp_path / "docs" / "claims.md").read_text(encoding="utf-8")
    assert "Toymaker 2030" in claims and "--preset smoke --only 00 11`" in claims
    row = papers_table(load_findings(out), CHAPTERS).splitlines()[-1]
    link = "[The Sum of All Toys](https://arxiv.org/abs/3001.00001)"
    assert row == f"| {link} | 11 | TO1 | – | – | – | – |"
    # A second run has nothing to do; a product that is gone is made again.
    assert go(*run())[1].count("up to date") == 2
    made.unlink()
    assert "11_toy (toys/total.txt is gone)" in go(*run())[1]
    assert made.read_text() == "11 calm"
    # It is stale when what it needs made something else, until it runs again.
    code, told, _ = go(*run("--only", "00", "-p", "base", "20"))
    assert "stale: 11_toy (00_base made something else since)" in told
    assert '<p class="stale">' in (out / "report.html").read_text(encoding="utf-8")
    code, told, _ = go(*run("-p", "base", "20", "-p", "mood", "lively"))
    assert code == 0 and "stale" not in told
    assert made.read_text() == "21 lively"


@pytest.mark.slow
def test_its_report_is_written_when_it_fails(go, make_notebook, tmp_path):
    make_notebook("11_toy", PARAMETERS, 'raise ValueError("a toy is missing")')
    code, _, complaint = go(*run())
    assert code == 1
    assert "a toy is missing" in complaint
    assert "a toy is missing" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
