"""Small groups, odd ones, shallow layers and dictionaries of hardly anything, from 01 to 05.

The notebooks' cells are executed here, in one process, with the values that a plan gives them:
what is refused is refused before the run.
"""

from __future__ import annotations

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from IPython.display import display

from gc_utils.errors import UserError
from gc_utils.evidence import load_findings
from gc_utils.pipeline import RECORDS
from gc_utils.pipeline.runner import make_plan

pytestmark = [pytest.mark.slow, pytest.mark.first]
NUMBERS = ("01", "02", "03", "04", "05")
CLAIMS = {i for r in RECORDS if r.number in NUMBERS for i in (*r.claims, *r.ours)}
LITTLE = {
    "layer": "conv2d1",
    "images": "scenes:6",
    "samples": 64,
    "features": 24,
    "k": 4,
    "steps": 12,
    "passes": 1,
}
LITTLE |= {"visualise_steps": 1, "bank_samples": 24, "bank_steps": 4, "batch_size": 32}


def executed(folder, numbers, **values):
    """Run notebooks' cells with the values of a plan for the preset `smoke`."""
    given = {name: str(value) for name, value in (LITTLE | values).items()}
    plan = make_plan("smoke", folder / "run", numbers, given)
    (folder / "run").mkdir()
    for notebook in plan.chosen:
        space = {"display": display}
        for cell in nbformat.read(notebook.path, as_version=4).cells:
            if cell.cell_type == "code":
                exec(compile(cell.source, f"{notebook.name}, a cell", "exec"), space)
            if "parameters" in cell.metadata.get("tags", []):
                space |= plan.values[notebook.name] | {"run_dir": str(folder / "run")}
        plt.close("all")
    return folder / "run"


@pytest.mark.parametrize(
    "values",
    [
        {"group": "D1"},
        {"group": "C3", "features": 1, "k": 1},
        {"group": "D6", "features": 6, "k": 2, "steps": 1},
        {"group": "C5", "layer": "conv2d0"},  # a unit sees 7 pixels
        {"group": "C2", "model": "resnet18", "weights": "random", "layer": "layer2.0.conv2"},
    ],
    ids=lambda values: " ".join(map(str, values.values())),
)
def test_a_run_at_the_edge_has_a_result(tmp_path, values):
    run_dir = executed(tmp_path, NUMBERS, **values)
    assert {entry["id"] for entry in load_findings(run_dir)} == CLAIMS
    features = pd.read_csv(run_dir / "features.csv")
    assert len(features) == values.get("features", LITTLE["features"])
    assert list((run_dir / "figures").glob("05_feature_*.png"))


def test_a_layer_that_cannot_be_read_is_refused_before_anything_runs(tmp_path):
    given = {"model": "vit_b_32", "weights": "random", "layer": "conv_proj"}
    with pytest.raises(UserError, match="takes only images of 224x224 pixels .* cannot be read"):
        make_plan("smoke", tmp_path / "run", NUMBERS, given)
    assert not list(tmp_path.iterdir())
