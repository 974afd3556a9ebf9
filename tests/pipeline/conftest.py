"""A small story to run: two notebooks, the second reading what the first makes."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pytest

from gc_utils.pipeline import PRESETS, Preset, run
from gc_utils.reporting import write_report

PARAMETERS = 'run_dir = "out"  # the run folder\nseed = 0  # of everything random\n'
MAKE = """\
import json, pathlib, sys
results = pathlib.Path(run_dir, "results")
results.mkdir(exist_ok=True)
"""
FIRST = MAKE + 'pathlib.Path(run_dir, "features.csv").write_text(f"{seed} {k}")'
SECOND = (
    MAKE
    + """\
text = pathlib.Path(run_dir, "features.csv").read_text()
pathlib.Path(run_dir, "made.csv").write_text(text + sys.executable)
"""
)


@dataclass(frozen=True)
class Story:
    """Runs its notebooks into `out` when it is called; with the code that they are made of."""

    parameters: str = PARAMETERS
    make: str = MAKE
    first: str = FIRST

    def __call__(self, **options) -> str:
        """Run them; returns what was said."""
        stream = io.StringIO()
        run(output="out", notebooks="notebooks", stream=stream, finish=write_report, **options)
        return stream.getvalue()


@pytest.fixture
def story(make_notebook, tmp_path, monkeypatch) -> Story:
    """Two notebooks, the second reading what the first makes; `story(...)` runs them."""
    make_notebook("01_first", PARAMETERS + "k = 3  # how many", FIRST, heading="What is there?")
    make_notebook("02_second", PARAMETERS, SECOND)
    monkeypatch.setitem(PRESETS, "demo", Preset("demo", "of this test", {"seed": 0, "k": 3}))
    monkeypatch.chdir(tmp_path)
    return Story()
