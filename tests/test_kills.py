"""Whoever is killed at any moment goes on, loses no finished work, and ends with the same files.

`GC_UTILS_KILLS` sets how often each job is killed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.first
KILLS = os.environ.get("GC_UTILS_KILLS", "6")
SCRIPT = Path(__file__).with_name("kills.py")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="jobs are forked")
@pytest.mark.parametrize("job", ["research", "pipeline"])
def test_a_killed_job_ends_as_an_undisturbed_one(job):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), job, KILLS, "18"],
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{job}: {KILLS} kills in " in done.stdout
