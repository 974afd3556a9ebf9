"""Progress bars: in a saved notebook they stand as they ended."""

import sys

import nbformat
import pytest
from nbclient import NotebookClient

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


def test_in_a_file_it_is_a_line_now_and_then(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("gc_utils.progress.time.monotonic", lambda: clock[0])
    bar = progress_bar(total=100, desc="steps", unit="step", mininterval=0)
    for clock[0] in range(100):
        bar.update()
        bar.set_postfix(fvu="0.3")
    bar.close()
    lines = capsys.readouterr().err.splitlines()
    assert 3 <= len(lines) <= 5 and not any("\r" in line for line in lines)
    assert lines[0].startswith("steps:") and "100/100" in lines[-1]
    with progress_bar(range(5), leave=False) as gone:
        list(gone)
    progress_bar(total=3).close()
    assert capsys.readouterr().err == ""
