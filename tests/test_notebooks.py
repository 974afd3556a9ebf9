"""The notebooks run from beginning to end, and what they found is what they should find.

One run of the `smoke` preset serves all tests here, from the command line as a person would.
"""

import json
import math
from fnmatch import fnmatch
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.evidence import load_findings
from gc_utils.figures import caption
from gc_utils.pipeline import RECORDS, find_notebooks

pytestmark = [pytest.mark.slow, pytest.mark.first]

NOTEBOOKS = find_notebooks(Path(__file__).parents[1] / "notebooks")
every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.name)


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory, command):
    folder = tmp_path_factory.mktemp("smoke")
    done = command("run", "--preset", "smoke", "--output", "run", cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "run"


@pytest.fixture(scope="session")
def findings(run_dir):
    return {entry["id"]: entry for entry in load_findings(run_dir)}


@every_notebook
def test_it_runs_and_can_be_shown_anywhere(run_dir, notebook):
    notebook = nbformat.read(run_dir / f"{notebook.name}.ipynb", as_version=4)
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    assert outputs and not [o for o in outputs if o.output_type == "error"]
    assert not [o.text for o in outputs if o.get("name") == "stderr"]
    # Progress bars are widgets: GitHub shows the notebook only if their state is in it.
    assert all("state" in kept for kept in notebook.metadata.get("widgets", {}).values())
    assert any("image/png" in o.get("data", {}) for o in outputs)


@every_notebook
def test_a_notebook_makes_what_its_record_says(run_dir, notebook):
    made = json.loads((run_dir / "run.json").read_text())["notebooks"][notebook.name]["outputs"]
    left = [o for o in made if not o.startswith(("figures/", "results/"))]
    makes = notebook.record.makes
    assert [o for o in left if not any(fnmatch(o, pattern) for pattern in makes)] == []
    assert [pattern for pattern in makes if not any(fnmatch(o, pattern) for o in left)] == []


@every_notebook
def test_a_notebook_judges_the_claims_of_its_record(findings, notebook):
    judged = {id for id, entry in findings.items() if entry["notebook"] == notebook.name}
    assert judged == {*notebook.record.claims, *notebook.record.ours}


def test_the_run_folder_holds_what_scripts_rely_on(run_dir):
    manifest = json.loads((run_dir / "run.json").read_text())
    assert list(manifest["notebooks"]) == [notebook.name for notebook in NOTEBOOKS]
    store = ActivationStore.open(run_dir / "activations.zarr")
    coder = GroupCrosscoder.load(run_dir / "crosscoder.safetensors")
    sae = GroupCrosscoder.load(run_dir / "sae.safetensors")
    assert coder.config.group == store.group.name == "D4" and sae.config.group == "C1"
    assert coder.encode(store[:4]).shape == (4, coder.config.features)
    report = pd.read_csv(run_dir / "features.csv")
    assert list(report.feature) == list(range(coder.config.features))
    assert {"label", "stabiliser", "axis_degrees", "invariance", "family"} <= set(report)
    assert report.invariance.dropna().between(0, 1).all()


def test_every_figure_says_what_it_shows_and_is_in_the_report(run_dir):
    figures = sorted((run_dir / "figures").glob("*.png"))
    assert {f.name[:2] for f in figures} == {notebook.name[:2] for notebook in NOTEBOOKS}
    page = (run_dir / "report.html").read_text()
    for figure in figures:
        assert len(caption(figure)) > 20, figure.name
    assert page.count("data:image/webp;base64,") == len(figures)


def test_every_claim_has_a_verdict(findings):
    assert set(findings) == {id for record in RECORDS for id in record.claims + record.ours}
    for entry in findings.values():
        assert entry["why"] and entry["verdict"]


def test_findings_are_consistent_with_themselves(findings, run_dir):
    share = findings["EX1"]["value"]["orientation share of variance"]
    assert 0.05 < share < 1  # a network that looks at orientation, but not at nothing else
    gain = findings["TR1"]["value"]
    expected = 100 * (gain["FVU PCA"] - gain["FVU crosscoder"])
    assert gain["points of variance more"] == pytest.approx(expected, abs=0.2)
    ends = findings["TR1"]["interval"]
    assert ends[0] <= gain["points of variance more"] <= ends[1]
    scores = pd.read_csv(run_dir / "separation.csv")
    assert set(scores.state) == {"raw", "refined"}
    for name, part in scores.groupby("competitor"):
        told = findings["GC2"]["value"][f"{name}: silhouette (raw, refined)"]
        means = part.groupby("state").silhouette.mean()  # raw before refined
        for number, mean in zip(told, means, strict=True):
            assert not math.isfinite(mean) or number == pytest.approx(mean, abs=1e-3)
    report = pd.read_csv(run_dir / "features.csv")
    invariant = findings["GC3"]["value"]["invariant features"]
    assert invariant == (report.stabiliser == "G").sum()


def test_a_sparse_code_beats_principal_components_even_here(findings):
    assert findings["TR1"]["interval"][0] > 0


def test_known_symmetry_is_found_for_every_filter(findings):
    assert findings["FB1"]["verdict"] == "reproduced"
    assert findings["FB1"]["value"]["right"] == findings["FB1"]["value"]["filters"] > 0


def test_a_second_run_has_nothing_to_do(run_dir, command):
    before = (run_dir / "features.csv").stat().st_mtime_ns
    again = command("run", "--preset", "smoke", "--output", "run", cwd=run_dir.parent)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (run_dir / "features.csv").stat().st_mtime_ns == before
