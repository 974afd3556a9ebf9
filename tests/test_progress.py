"""Progress bars: in a saved notebook they stand as they ended."""

import sys

import nbformat
import pytest
from nbclient import NotebookClient

from gc_utils import progress
from gc_utils.progress import progress_bar

CELL = """
from gc_utils.progress import progress_bar

for _ in progress_bar(range(7), desc="samples", unit="sample"):
    pass
for _ in progress_bar(range(7), desc="on the way", leave=False):
    pass
bar = progress_bar(total=100, initial=40, desc="steps", unit="step", mininterval=0)
bar.set_postfix(fvu="0.3")
bar.update(60)
bar.close()
progress_bar(range(3), disable=True)
"""


@pytest.fixture(scope="module")
def outputs():
    cell = nbformat.v4.new_code_cell(CELL)
    NotebookClient(nbformat.v4.new_notebook(cells=[cell]), timeout=120).execute()
    return cell.outputs


def test_a_saved_bar_is_the_finished_one(outputs):
    shown = [o["data"]["text/plain"] for o in outputs if o.output_type == "display_data"]
    samples, gone, steps = shown
    assert samples.startswith("samples: 100%") and "7/7" in samples
    assert gone == ""
    assert steps.startswith("steps: 100%") and "100/100" in steps and "fvu=0.3" in steps
    assert max(map(len, shown)) <= 88


def test_nothing_else_is_shown(outputs):
    assert {o.output_type for o in outputs} <= {"display_data", "execute_result"}
    assert not any("widget" in key for o in outputs for key in o["data"])


def test_in_a_terminal_it_is_tqdms_own(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress_bar(range(3), desc="samples")) == [0, 1, 2]
    assert "samples: 100%" in capsys.readouterr().err


def test_a_log_is_given_a_line_now_and_then(capsys, monkeypatch):
    now = iter(range(0, 10_000, 20))  # seconds
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    for _ in progress_bar(range(6), desc="samples", mininterval=0):
        pass
    told = capsys.readouterr().err
    assert "\r" not in told and told.endswith("\n")
    lines = told.splitlines()
    assert 2 <= len(lines) <= 4 and all(line.startswith("samples: ") for line in lines)
    assert "6/6" in lines[-1]


def test_a_quick_bar_is_one_line_of_a_log(capsys):
    assert list(progress_bar(range(500), desc="samples", mininterval=0)) == list(range(500))
    told = capsys.readouterr().err
    assert told.startswith("samples: 100%") and told.count("\n") == 1 and "\r" not in told
    assert list(progress_bar(range(5), desc="on the way", leave=False)) == list(range(5))
    assert capsys.readouterr().err == ""
