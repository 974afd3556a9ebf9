import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from gc_utils.activations import extract
from gc_utils.errors import UserError
from gc_utils.groups import group
from gc_utils.images import load_images
from gc_utils.models import load_model
from gc_utils.studies.intertwiners import (
    best_auc,
    compare_bases,
    label_concepts,
    layer_responses,
    negated,
    unit_actions,
)
from gc_utils.studies.intertwiners import figures as figures


def permuted_orbits(g, copies=2, samples=60, seed=0, scale=None):
    """Units that a rotation of the image permutes: A[n, a, (i, h)] = x[n, i, a·h]."""
    x = torch.rand(samples, copies, g.order, generator=torch.Generator().manual_seed(seed))
    A = torch.stack([x[:, :, g.table[:, a]].flatten(1) for a in range(g.order)], 1)
    # A[h·a] holds x at g.table[:, h·a]; columns run over (copy, element)
    return A if scale is None else A * scale


@pytest.mark.parametrize("name", ["C4", "D4"])
def test_units_that_rotations_permute_are_found(name):
    g = group(name)
    held = np.arange(60) >= 40
    found = unit_actions(permuted_orbits(g), g, held)
    by_map = found.table.groupby("map").explained.mean()
    assert by_map["permutation"] > 1 - 1e-9 and by_map["orthogonal"] > 1 - 1e-9
    assert by_map["unchanged"] < 0.1
    assert found.composes == 1 and found.composes_by_chance < 0.5
    assert np.nanmin(found.units) > 1 - 1e-9
    assert len(found.table) == 4 * (g.order - 1)


def test_scales_and_signs_pass_only_where_they_are_allowed():
    g = group("C4")
    held = np.arange(60) >= 40
    A = permuted_orbits(g, copies=1)
    A[..., 1] *= -3
    signed = unit_actions(A, g, held, signed=True).table
    unsigned = unit_actions(A, g, held).table
    assert signed[signed["map"] == "permutation"].explained.min() > 1 - 1e-9
    assert unsigned[unsigned["map"] == "permutation"].explained.mean() < 0.5
    assert signed[signed["map"] == "orthogonal"].explained.mean() < 0.9  # scales differ
    assert signed[signed["map"] == "linear"].explained.min() > 0.99


def test_units_that_rotating_mixes_are_no_permutation():
    g = group("C8")
    draw = torch.Generator().manual_seed(0)
    angles = torch.deg2rad(g.angles.float())
    rotations = torch.stack(
        [torch.stack([a.cos(), -a.sin(), a.sin(), a.cos()]).view(2, 2) for a in angles]
    )
    x = torch.randn(200, 2, generator=draw)
    A = torch.einsum("gij,nj->ngi", rotations, x)
    found = unit_actions(A, g, np.arange(200) >= 150, signed=True)
    by_map = found.table.groupby(["map", "angle"]).explained.mean()
    assert by_map["linear"].min() > 0.99 and by_map["orthogonal"].min() > 0.99
    assert by_map["permutation", 90.0] > 0.99  # one coordinate takes the other's place
    assert by_map["permutation", 45.0] < 0.8


def test_a_dead_unit_is_not_counted():
    g = group("C4")
    A = permuted_orbits(g)
    A[..., 3] = 0
    found = unit_actions(A, g, np.arange(60) >= 40)
    assert np.isnan(found.units[3]) and np.isfinite(np.delete(found.units, 3)).all()


def test_wrong_shapes_are_named():
    A = torch.rand(10, 4, 3)
    with pytest.raises(UserError, match="expected \\(samples, 8"):
        unit_actions(A, group("C8"), np.zeros(10))
    with pytest.raises(UserError, match="not finite"):
        unit_actions(torch.full((10, 4, 3), torch.nan), group("C4"), np.arange(10) > 5)
    with pytest.raises(UserError, match="no unit varies"):
        unit_actions(torch.ones(10, 4, 3), group("C4"), np.arange(10) > 5)
    with pytest.raises(UserError, match="C1"):
        unit_actions(torch.rand(10, 1, 3), group("C1"), np.arange(10) > 5)
    with pytest.raises(UserError, match="held out"):
        unit_actions(A, group("C4"), np.zeros(10))


def test_the_filter_bank_is_permuted(tmp_path):
    bank, g = load_model("filter_bank", group="D4"), group("D4")
    store = extract(
        tmp_path / "a.zarr", bank, "filters", g, load_images("scenes:6", min_size=60), samples=60
    )
    found = unit_actions(store[:], g, store.fold == 0)
    explained = found.table.groupby("map").explained.mean()
    assert explained["permutation"] > 0.99
    assert found.composes == 1


def test_pre_activations_are_what_relu_reads():
    model = load_model("inceptionv1", "demo")
    crop = torch.rand(2, 3, 95, 95, generator=torch.Generator().manual_seed(0))
    for layer in ("conv2d0", "mixed3a", "mixed3b_5x5"):
        x = crop[..., : model.crop_size(layer), : model.crop_size(layer)]
        z = model.unit(x, layer) - negated(model, layer).unit(x, layer)
        assert torch.equal(z.relu(), model.unit(x, layer)) and float(z.min()) < 0
    with pytest.raises(UserError, match="no pre-activations"):
        negated(model, "maxpool0")
    with pytest.raises(UserError, match="filter_bank"):
        negated(load_model("filter_bank"), "filters")


def test_members_keep_and_rotations_lose_what_units_show():
    draw = torch.Generator().manual_seed(0)
    A = torch.rand(500, 30, generator=draw) ** 8  # sparse and heavy-tailed
    concepts = label_concepts([f"label {i % 10}" for i in range(300)])
    responses = torch.eye(10).repeat(30, 3) + 2 * torch.rand(300, 30, generator=draw)
    found = compare_bases(A, {"made-up": (responses, concepts)}, draws=3).groupby("basis").mean()
    assert found.loc["permuted and scaled"].drop("draw").to_numpy() == pytest.approx(
        found.loc["units"].drop("draw").to_numpy(), rel=1e-3
    )
    for measure in ("kurtosis", "sparsity"):
        assert found.loc["rotated", measure] < 0.8 * found.loc["units", measure]
    assert found.loc["rotated", "best AUC"] < found.loc["units", "best AUC"] - 0.05
    assert found.loc["rotated", "IoU, made-up"] < found.loc["units", "IoU, made-up"]


def test_the_area_under_the_curve():
    x = torch.tensor([[1.0, 5, 0], [2, 5, 0], [3, 1, 0], [4, 1, 1]])
    labels = ["a", "a", "b", "b"]
    assert best_auc(x, label_concepts(labels), least=2).tolist() == [1, 1, 0.75]
    draw = torch.Generator().manual_seed(1)
    responses, labels = torch.randn(200, 5, generator=draw), [i % 3 for i in range(200)]
    expected = [
        max(abs(roc_auc_score(np.equal(labels, k), responses[:, c]) - 0.5) + 0.5 for k in range(3))
        for c in range(5)
    ]
    concepts = label_concepts(labels)
    assert best_auc(responses, concepts).numpy() == pytest.approx(expected)
    assert torch.allclose(best_auc(-3 * responses + 7, concepts), best_auc(responses, concepts))
    with pytest.raises(UserError, match="no concept"):
        best_auc(responses, label_concepts(list(range(200))))


def test_layers_share_the_rotated_crops(tmp_path):
    model, g, images = load_model("inceptionv1", "demo"), group("D4"), load_images("scenes:4")
    store = extract(tmp_path / "a", model, "mixed3a", g, images, samples=8, dtype="float32")
    places = {"same": (model, "mixed3a"), "less": (model, "conv2d0")}
    found = layer_responses(store, images, places, progress=False)
    assert torch.allclose(found["same"], store[:], atol=1e-3 * float(store[:].max()))
    crop = store.crops(np.array([5]), images)[0]
    margin = (crop.shape[-1] - model.crop_size("conv2d0")) // 2
    inner = crop[..., margin:-margin, margin:-margin]
    assert torch.allclose(found["less"][5], model.unit(inner, "conv2d0"), atol=1e-3)
    small = extract(tmp_path / "b", model, "conv2d0", g, images, samples=8)
    with pytest.raises(UserError, match="no centre"):
        layer_responses(small, images, places, progress=False)


def test_figures_of_units():
    g = group("C4")
    found = unit_actions(permuted_orbits(g), g, np.arange(60) >= 40).table
    figure = figures.rotated_units({"one": found, "two": found})
    assert figure.axes[0].get_title() == "one"
    bases = pd.DataFrame(
        [
            {"network": "n", "layer": "l", "basis": b, "draw": d, "kurtosis": d, "named": 0.5}
            for b in figures.BASES
            for d in (0, 1)
        ]
    )
    assert len(figures.bases(bases, ["kurtosis", "named"]).axes) == 2
    errors = pd.DataFrame({"any matrix": [1e-12, 0.3], "sign": [0.1, 0.2]}, index=["a", "b"])
    figure = figures.passing(errors)
    assert [t.get_text() for t in figure.axes[0].texts] == ["yes", "no", "no", "no"]
    changes = pd.DataFrame({"layer": ["a", "b"], "change": [1e-7, 0.1], "refused": ["", "mixes"]})
    assert figures.function_changes({"net": changes}).axes[0].get_title(loc="left") == "net"


def test_what_leaves_the_axis_of_explained_variance_is_named():
    table = pd.DataFrame(
        [
            {"map": name, "angle": a, "explained": low, "mirrored": False}
            for name, low in zip(figures.ACTIONS, (-2.2, 0.3, 0.5, 0.9), strict=True)
            for a in (90, 180)
        ]
    )
    ax = figures.rotated_units({"one": table}).axes[0]
    assert [t.get_text() for t in ax.texts] == ["down to -2.2"]
    assert ax.get_ylim()[0] == -1
