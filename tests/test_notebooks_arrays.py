"""The main story's notebooks on activations that were extracted elsewhere."""

import pandas as pd
import pytest

from gc_utils.activations import ActivationStore
from gc_utils.evidence import load_findings
from gc_utils.planted import planted_orbits

pytestmark = [pytest.mark.slow, pytest.mark.first]


def test_activations_from_elsewhere_run_through_02_to_05(tmp_path, command):
    made = planted_orbits("C8", 16, 3, samples=640, l0=3, seed=0)
    ids = [f"image {i // 16}" for i in range(640)]
    path = tmp_path / "run" / "activations.zarr"
    ActivationStore.from_array(made.A, made.group, path, images=ids)
    done = command(
        *("run", "--preset", "smoke", "--output", "run", "--only", "02", "03", "04", "05"),
        *("-p", "features", "48", "-p", "k", "4", "-p", "steps", "120", "-p", "bank_samples", "0"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    features = pd.read_csv(tmp_path / "run" / "features.csv")
    assert set(features.label) == {"other"} and features.stabiliser.notna().all()
    found = {entry["id"]: entry for entry in load_findings(tmp_path / "run")}
    assert {found[id]["verdict"] for id in ("GC1", "GC2", "GC3")} == {"not tested here"}
    assert found["TR1"]["value"]["FVU crosscoder"] < found["TR1"]["value"]["FVU PCA"]
    assert list((tmp_path / "run" / "figures").glob("05_feature_*.png"))
    again = command(
        *("run", "--preset", "smoke", "--output", "run", "--only", "02"),
        *("-p", "features", "48", "-p", "k", "4", "-p", "steps", "120"),
        cwd=tmp_path,
    )
    assert "up to date" in again.stdout, again.stdout + again.stderr
