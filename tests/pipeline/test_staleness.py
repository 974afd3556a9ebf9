"""A report does not mix two runs in silence: what no longer belongs to the rest is said to."""

from __future__ import annotations

import io
import json
import re
import shlex

import pytest

from gc_utils.__main__ import main
from gc_utils.evidence import Claim, Finding, Findings
from gc_utils.pipeline import CODE
from gc_utils.pipeline.presets import PRESETS, Preset
from gc_utils.pipeline.runner import NotebookFailed, run
from gc_utils.reporting import write_report

pytestmark = pytest.mark.slow

RUN_DIR = 'run_dir = "out"  # the run folder\n'
MAKE = (
    "import json, pathlib\nmake = lambda name, text: pathlib.Path(run_dir, name).write_text(text)\n"
)
READ = "read = lambda name: pathlib.Path(run_dir, name).read_text()\n"
NOTEBOOKS = {
    "01_first": (
        'group = "D4"  # of rotations\nseed = 0  # of everything random\n',
        'make("first.csv", f"{group} {seed}")',
    ),
    "02_second": (
        "steps = 5  # how many\n",
        'make("second.csv", f"{read(\'first.csv\')} {steps}")',
    ),
    "03_third": ("seed = 0  # of everything random\n", 'make("third.csv", read("second.csv"))'),
    "07_alone": ("seed = 0  # of everything random\n", 'make("alone.csv", str(seed))'),
}


@pytest.fixture
def go(make_notebook, tmp_path, monkeypatch):
    """Four notebooks, the second and third reading those before, run once; `go(...)` runs again."""
    for name, (parameters, code) in NOTEBOOKS.items():
        make_notebook(name, RUN_DIR + parameters, MAKE + READ + code, heading=f"{name}?")
    monkeypatch.setitem(PRESETS, "demo", Preset("demo", "of this test", {"group": "D4", "seed": 0}))
    monkeypatch.chdir(tmp_path)

    def again(**options) -> str:
        stream = io.StringIO()
        run(output="out", notebooks="notebooks", stream=stream, finish=write_report, **options)
        return stream.getvalue()

    told = again(parameters={"group": "D8", "steps": 7})
    assert "stale" not in told
    assert stale(tmp_path) == {}
    return again


def content(folder) -> dict:
    return json.loads((folder / "out" / "run.json").read_text(encoding="utf-8"))


def stale(folder) -> dict[str, str]:
    records = content(folder)["notebooks"]
    return {name: record["stale"] for name, record in records.items() if "stale" in record}


def report(folder) -> str:
    return (folder / "out" / "report.html").read_text(encoding="utf-8")


def test_what_a_later_run_left_behind_is_stale_until_it_is_run_again(go, tmp_path, capsys):
    told = go(only=["01"], parameters={"group": "D16"})
    reasons = {
        "02_second": "01_first made something else since",
        "03_third": "01_first made something else since",
    }
    assert stale(tmp_path) == reasons, "07 reads nothing of it and stays"
    (line,) = [line for line in told.splitlines() if line.startswith("stale: ")]
    assert line.startswith("stale: 02_second, 03_third (01_first made something else since); ")
    advice = line.partition("; run again with ")[2]
    assert advice == "--only 02 03 -p steps 7 --output out", "with what was chosen for them then"
    # the advice, as it would be typed
    arguments = ["run", "--notebooks", "notebooks", *shlex.split(advice)]
    assert main(arguments) == 0
    assert "stale" not in capsys.readouterr().out
    assert stale(tmp_path) == {}
    assert (tmp_path / "out" / "third.csv").read_text() == "D16 0 7"


def test_what_was_asked_and_what_ran_are_kept_apart(go, tmp_path):
    go(only=["01"], parameters={"group": "D16"})
    found = content(tmp_path)
    assert found["parameters"] == {"group": "D16", "seed": 0}, "what was last asked for, alone"
    assert found["notebooks"]["02_second"]["inputs"]["parameters"] == {"steps": 7}
    assert "<td>7</td>" in report(tmp_path), "what another notebook ran with is shown all the same"


def test_another_value_of_a_shared_parameter_makes_stale(go, tmp_path):
    told = go(only=["07"], parameters={"seed": 1})
    found = stale(tmp_path)
    assert found["01_first"] == "it ran with seed 0, 1 was asked for since"
    assert found["02_second"] == "01_first is stale"
    assert "07_alone" not in found
    assert "run again with --only 01 02 03 -p group D8 -p seed 1 -p steps 7" in told
    page = report(tmp_path)
    assert "seed 1 (07_alone); 0 (01_first, 03_third)" in page, "the heading hides nothing"
    assert "<td>1 (07_alone); 0 (01_first, 03_third)</td>" in page


def test_a_notebook_that_ran_with_another_value_than_what_it_reads_is_stale(go, tmp_path):
    go(only=["03"], parameters={"seed": 1})
    assert stale(tmp_path)["03_third"] == "it ran with seed 1, 01_first with 0"


def test_a_notebook_that_was_not_selected_is_not_stale_for_that(go, tmp_path):
    for only, parameters in {"01": {"group": "D8"}, "02": {"steps": 7}, "07": {}}.items():
        assert "stale" not in go(only=[only], parameters=parameters, force=True)
        assert stale(tmp_path) == {}
        assert 'class="stale"' not in report(tmp_path)


def test_changed_code_is_said_in_other_words(go, tmp_path, make_notebook, monkeypatch):
    parameters, code = NOTEBOOKS["02_second"]
    make_notebook("02_second", RUN_DIR + parameters, MAKE + READ + code + "\nedited = 1")
    told = go(only=["07"])
    assert stale(tmp_path) == {
        "02_second": f"{CODE} since it ran: the notebook",
        "03_third": f"{CODE} since 02_second ran",
    }
    assert f"02_second ({CODE} since it ran: the notebook)" in told
    assert "the code may make something else now" in report(tmp_path)
    for module in ("runner", "staleness"):
        monkeypatch.setattr(
            f"gc_utils.pipeline.{module}.code_of", lambda path, *_: {"gc_utils.groups": "another"}
        )
    go(only=["01"], parameters={"group": "D8"})
    found = stale(tmp_path)
    assert "01_first" not in found, "it ran with the code of today"
    assert found["02_second"] == f"{CODE} since it ran: the notebook and gc_utils.groups"
    assert found["07_alone"] == f"{CODE} since it ran: gc_utils.groups"
    go(only=["02"], parameters={"steps": 7})
    assert "02_second" not in stale(tmp_path)


def test_a_failed_run_leaves_what_comes_after_marked(go, tmp_path, make_notebook):
    parameters, _ = NOTEBOOKS["01_first"]
    make_notebook("01_first", RUN_DIR + parameters, 'raise ValueError("no light")')
    with pytest.raises(NotebookFailed):
        go(parameters={"group": "D8", "steps": 7})
    found = stale(tmp_path)
    assert found["02_second"] == found["03_third"] == "01_first did not finish since"
    assert "01_first" not in found, "it failed, which the report says already"


def test_the_report_marks_what_is_stale_everywhere(go, tmp_path):
    for name in ("02_second", "07_alone"):
        finding = Finding(Claim(f"GC{name[1]}", "a", "a", "b"), 1, "reproduced", "c")
        Findings(tmp_path / "out", name).record(finding)
    go(only=["01"], parameters={"group": "D16"})
    page = report(tmp_path)
    mark = '<span class="stale">stale</span>'
    contents = page[page.index("<nav") : page.index("</nav>")]
    marked = [item for item in contents.split("<li>") if mark in item]
    assert [re.search("#(\\w+)", item)[1] for item in marked] == ["02_second", "03_third"]
    for name in NOTEBOOKS:
        section = page[page.index(f'<section id="{name}">') :].partition("</section>")[0]
        warned = section.partition("</h2>")[2].lstrip().startswith('<p class="stale">')
        assert warned == (name in ("02_second", "03_third")), name
    claims = page[page.index('<section id="claims"') :].partition("</section>")[0]
    cards = {
        re.search("#(\\w+)", card)[1]: mark in card for card in claims.split('class="card v')[1:]
    }
    assert cards == {"gc2": True, "gc7": False}
    settings = page[page.index('<section id="settings">') :]
    rows = {row[:8]: mark in row for row in settings.split('<th scope="row">')[1:5]}
    assert rows == {"01_first": False, "02_secon": True, "03_third": True, "07_alone": False}
