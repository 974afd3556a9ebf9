"""The main story's notebooks on networks and orbits whose symmetry is known."""

from pathlib import Path

import pandas as pd
import pytest

from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.evidence import load_findings
from gc_utils.pipeline import execute
from gc_utils.planted import planted_orbits, recovery, write_store

pytestmark = [pytest.mark.slow, pytest.mark.first]


def test_a_network_of_known_symmetry_goes_through_the_same_notebooks(tmp_path, command):
    done = command(
        *("run", "--preset", "smoke", "--output", "bank", "--only", "01", "02"),
        *("-p", "model", "filter_bank", "-p", "layer", "filters", "-p", "images", "scenes:12"),
        *("-p", "samples", "96", "-p", "steps", "20", "-p", "features", "48"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    made = ActivationStore.open(tmp_path / "bank" / "activations.zarr").settings
    assert made["model"] == "filter_bank" and made["group"] == "D4"


@pytest.mark.parametrize("tied", ["", "C1:12 G:3"], ids=["untied", "tied"])
def test_planted_orbits_run_through_them_unchanged(tmp_path, tied):
    planted = planted_orbits("D4", 24, 3, samples=1200, l0=4, seed=0)
    write_store(tmp_path / "activations.zarr", planted)
    told = {
        "02_train": {"features": 96, "tied": tied, "k": 4, "steps": 500, "folds": 2},
        "03_cluster": {},
        "04_symmetry": {"visualise_steps": 4, "bank_samples": 0},
    }
    for name, parameters in told.items():
        notebook = Path(__file__).parents[1] / "notebooks" / f"{name}.ipynb"
        parameters |= {"run_dir": str(tmp_path)}
        done = execute(notebook, tmp_path / f"{name}.ipynb", parameters, lambda *_: None)
        assert done.error is None, done.error
    features = pd.read_csv(tmp_path / "features.csv")
    assert set(features.label) - {"other"} <= set(planted.kinds)
    found = {entry["id"]: entry for entry in load_findings(tmp_path)}
    assert found["TR1"]["verdict"] == "reproduced"
    coder = GroupCrosscoder.load(tmp_path / "crosscoder.safetensors")
    assert (coder.family is not None) == bool(tied)
    judged = recovery(planted, coder.V, families=coder.family)
    assert judged.cosine_max > 0.8
