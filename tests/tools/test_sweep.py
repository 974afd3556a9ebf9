"""A sweep runs what is not finished and gathers what is; the same run twice gives the same."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.torch import load_file

pytestmark = pytest.mark.first
ROOT = Path(__file__).parents[2]
SMALL = "--preset smoke --only 01 02 03 04 -p layer conv2d1 -p images scenes:6 -p samples 96"
SMALL = f"{SMALL} -p features 32 -p steps 30 -p visualise_steps 0 -p bank_samples 0".split()
HIDDEN_GPU = {"CUDA_VISIBLE_DEVICES": ""}  # so that "auto" is the CPU


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Sweep over devices, in a folder that is no repository."""
    folder = tmp_path_factory.mktemp("sweep")

    def go(devices: str) -> subprocess.CompletedProcess:
        start = [sys.executable, str(ROOT / "tools" / "sweep.py"), "out", f"device={devices}"]
        how = ["--at-once", "2", "--", *SMALL, "--notebooks", str(ROOT / "notebooks")]
        environment = os.environ | HIDDEN_GPU | {"PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [*start, *how], cwd=folder, env=environment, capture_output=True, text=True
        )

    go.folder = folder / "out"
    return go


@pytest.fixture(scope="module")
def done(sweep) -> Path:
    """The folder of a sweep of two runs, which have to be the same run: there is no GPU."""
    ended = sweep("cpu,auto")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 runs, 2 to do" in ended.stdout
    return sweep.folder


def checksums(run: Path) -> dict[str, str]:
    """sha256 of a run's tables and findings, and of the tensors of its dictionaries."""
    paths = sorted({p for kind in ("*.csv", "results/*.json") for p in run.rglob(kind)})
    content = {path: path.read_bytes() for path in paths}
    for path in sorted(run.rglob("*.safetensors")):
        tensors = load_file(path)
        content[path] = b"".join(n.encode() + tensors[n].numpy().tobytes() for n in sorted(tensors))
    return {
        path.relative_to(run).as_posix(): hashlib.sha256(data).hexdigest()
        for path, data in content.items()
    }


@pytest.mark.slow
def test_the_same_seed_gives_the_same_tables(done):
    one, two = (checksums(done / f"device={name}") for name in ("cpu", "auto"))
    assert {"families.csv", "features.csv", "separation.csv", "crosscoder.safetensors"} <= set(one)
    assert one == two


@pytest.mark.slow
def test_a_sweep_is_one_table_and_one_figure(done):
    table = pd.read_csv(done / "sweep.csv")
    assert list(table.device) == ["cpu", "auto"] and (table.seconds > 0).all()
    gain = table["TR1: FVU PCA"] - table["TR1: FVU crosscoder"]
    np.testing.assert_allclose(table["TR1: points of variance more"], 100 * gain, atol=0.2)
    assert table["GC1: verdict"].notna().all()
    assert Image.open(done / "sweep.png").width > 1000


@pytest.mark.slow
def test_what_is_finished_is_not_run_again_and_a_failure_is_named(done, sweep):
    runs = [done / f"device={name}" / "run.json" for name in ("cpu", "auto")]
    before = [path.stat().st_mtime_ns for path in runs]
    ended = sweep("cpu,auto,abacus")
    assert ended.returncode == 1 and "3 runs, 1 to do" in ended.stdout, ended.stderr
    assert "not finished, see out/device=abacus.log" in ended.stderr
    assert "abacus" in (done / "device=abacus.log").read_text()
    assert [path.stat().st_mtime_ns for path in runs] == before
    assert len(pd.read_csv(done / "sweep.csv")) == 2
