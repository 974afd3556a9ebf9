"""The experiments of notebook 08 on small inputs, and library calls in place of own code."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import mannwhitneyu
from torch import nn

from gc_utils.groups import group
from gc_utils.images import load_images, load_task
from gc_utils.models import InceptionV1, load_model
from gc_utils.studies import intertwiners as it


@pytest.fixture(scope="module")
def task():
    return load_task("digits")


@pytest.fixture(scope="module")
def pairs(task):
    return it.train_pairs(task, [6, 8], 2, epochs=1, workers=1, progress=False)


def test_the_table_is_checked_in_both_directions():
    table = it.check_table()
    assert list(table.index) == list(it.TABLE)
    assert (table["the solver says"] == table["the table says"]).all()
    assert table["members miss by"].max() < 1e-12
    errors = it.passing_errors()
    passing = errors < 1e-6
    assert passing.loc["ReLU"].to_dict() == {
        "any matrix": False,
        "permutation": True,
        "scales > 0": True,
        "sign": False,
        "scales < 0": False,
    }
    assert passing.loc["tanh", "sign"] and not passing.loc["tanh", "scales > 0"]


def test_functions_that_mix_units_are_refused_and_tried_with_a_permutation():
    table = it.refusals()
    assert table["the solver says"].str.contains("not elementwise").all()
    misses = table["a permutation misses by"]
    assert misses["softmax"] < 1e-9 and misses["normalisation by all units"] < 1e-9
    assert misses["normalisation by neighbouring units"] > 1e-2


def test_pairs_share_no_network_and_can_be_repeated(task, pairs):
    assert list(pairs) == [(6, 0), (6, 1), (8, 0), (8, 1)]
    again = it.train_net(task, 8, epochs=1, seed=3)
    assert torch.equal(pairs[8, 1][1].conv1.weight, again.conv1.weight)
    table = it.accuracies(pairs, task)
    assert len(table) == 8 and table.accuracy.between(0, 1).all()
    assert table.accuracy[0] == it.accuracy(pairs[6, 0][0], task)


def test_every_layer_is_changed_by_itself():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1), nn.Conv2d(5, 2, 1)

        def forward(self, x):
            return self.c(torch.softmax(self.b(torch.relu(self.a(x))), 1))

    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    table = it.act_on_every_layer(Net().eval(), x, progress=False).set_index("layer")
    assert list(table.index) == ["a", "b"]  # c is the output
    assert table.change["a"] < 1e-5 and table.refused["a"] == "" and table.group["a"] == "positive"
    assert "mixes" in table.refused["b"] or "keep channels apart" in table.refused["b"]


def test_a_network_that_ends_early_is_completed():
    short = InceptionV1("mixed3a", seed=1)
    whole = it.whole_network(short, seed=0)
    assert whole.top == InceptionV1().top and not whole.training
    name = short.module_name("conv2d0")
    ours, theirs = (n.get_submodule(name).weight for n in (whole, short))
    assert torch.equal(ours, theirs) and ours is not theirs
    linear = nn.Linear(2, 2)
    assert torch.equal(it.whole_network(linear).weight, linear.weight)


def test_images_and_statistics_of_a_random_network():
    shown = it.shown_images(load_images("scenes:4"), count=2)
    assert shown.shape == (2, 3, 224, 224) and -1e-5 < shown.min() and shown.max() < 1 + 1e-5
    residual = it.random_residual(shown[..., :64, :64])
    assert not residual.training and float(residual.bn1.running_mean.abs().max()) > 0


def test_planted_relations_are_seen_by_the_right_measures():
    X = torch.rand(50, 12, 2, 2, generator=torch.Generator().manual_seed(0)).square()
    planted = it.plant_relations(torch.cat([X, torch.zeros(50, 3, 2, 2)], 1), seed=3)
    assert planted.exact and planted.left < 1e-12
    table = planted.table
    for name in ("G_ReLU-Procrustes", "µCKA"):
        assert table.loc["permuted and scaled", name] == pytest.approx(1, abs=1e-6)
        assert table.loc["rotated", name] < 0.95
    for name in ("orthogonal Procrustes", "linear CKA"):
        assert table.loc["rotated", name] == pytest.approx(1, abs=1e-6)
        assert table.loc["permuted and scaled", name] < 0.999


def test_pairs_are_compared_and_summarised(task, pairs):
    states = {"trained": [pairs[8, 0], pairs[8, 1]], "untrained": [pairs[8, 0], pairs[8, 0]]}
    table = it.compare_pairs(states, task.test_x[:40], rotations=2)
    assert len(table) == 2 * 2 * len(it.MEASURES) * 16
    lost = it.lost_by_rotation(table)
    assert set(lost) == {(m, s) for m in it.MEASURES for s in states}
    assert abs(lost["orthogonal Procrustes", "trained"][0]) < 1e-6
    mean, low, high = lost["G_ReLU-Procrustes", "trained"]
    assert low <= mean <= high
    same = table[(table["first"] == table["second"]) & (table.networks == "trained")]
    same = same[same.measure == "G_ReLU-Procrustes"]
    assert mean == pytest.approx((same.value - same.rotated).mean())
    shares = it.own_depth(table)
    assert set(shares) == set(it.MEASURES) and all(0 <= v <= 1 for v in shares.values())


def test_stitching_experiments_have_a_row_for_everything(task, pairs):
    planted = it.stitch_planted(pairs[6, 0][0], task, seed=7)
    assert list(planted.index) == list(it.HIDDEN) and planted.penalty.abs().max() == 0
    table = it.stitch_pairs({(6, 0): pairs[6, 0]}, task, epochs=1, workers=1, progress=False)
    assert len(table) == 4 * (4 + 4)  # ranks and entries 1 and 4
    assert set(table["map"]) == {"identity", "assignment", "G_ReLU", "full", "rank", "sparse"}
    whole = it.accuracy(pairs[6, 0][1], task)
    assert np.allclose(table.accuracy + table.penalty, whole)
    steps = it.map_steps(table)
    means = table.groupby("map").penalty.mean()
    assert steps[6, "G_ReLU - full"][0] == pytest.approx(means["G_ReLU"] - means["full"])


def test_bases_of_small_networks_and_of_models(task, pairs):
    table = it.compare_small_nets(pairs[8, 0], task, draws=3)
    assert list(table.layer.unique()) == list(it.HIDDEN[1:]) and table.net.unique().tolist() == [
        0,
        1,
    ]
    assert len(table) == 2 * 3 * (1 + 2 + 3)
    falls = it.basis_losses(it.basis_means(table.assign(network="n")))
    for measure in it.SELECTIVITY:
        means = table.groupby(["layer", "basis"])[measure].mean().unstack()
        assert falls[measure]["n"] == pytest.approx((means.units - means.rotated).mean())
    gains = it.iou_gains(table.assign(network="n"))
    assert gains.nets.tolist() == [2] * 3 and gains.rotations.tolist() == [3] * 3
    bank = load_model("filter_bank", group="C8")
    A = torch.rand(300, bank.channels("filters"), generator=torch.Generator().manual_seed(0))
    concepts = {"filters": pd.DataFrame({"large": A[:, 0] > 0.98})}
    table = it.compare_layers(bank, {"filters": A}, concepts, draws=1)
    assert table.basis.tolist() == ["units", *["permuted and scaled"] * 2, "rotated"]
    for measure in ("best AUC", "IoU, drawings", "IoU, photographs"):
        kept = table.groupby("basis")[measure].mean()
        assert kept["units"] == pytest.approx(kept["permuted and scaled"], abs=1e-6)


def test_several_workers_make_the_same_networks_and_tables(task, pairs):
    again = it.train_pairs(task, [6, 8], 1, epochs=1, workers=2, progress=False)
    assert list(again) == [(6, 0), (8, 0)]
    for key, nets in again.items():
        for one, other in zip(nets, pairs[key], strict=True):
            assert torch.equal(one.conv2.weight, other.conv2.weight)
    options = {"epochs": 1, "progress": False}
    both = {key: pairs[key] for key in ((6, 0), (8, 0))}
    table, alone = (it.stitch_pairs(both, task, workers=n, **options) for n in (2, 1))
    pd.testing.assert_frame_equal(table, alone)
    assert table.width.tolist() == sorted(table.width)


def test_actions_are_summarised():
    g = group("C4")
    x = torch.rand(40, 2, g.order, generator=torch.Generator().manual_seed(0))
    A = torch.stack([x[:, :, g.table[:, a]].flatten(1) for a in range(g.order)], 1)
    acted = it.unit_actions(A, g, np.arange(40) >= 20)
    table = it.summarise_actions({"one": acted})
    assert table.loc["one", "permutation"] > 1 - 1e-9 > table.loc["one", "unchanged"]
    assert table.loc["one", "units at 0.9 or more"] == 1
    assert table.loc["one", "permutations compose"] == acted.composes


# ------------------------------------------------------------- libraries in place of own code


def test_orthogonal_procrustes_is_the_singular_values_one():
    draw = torch.Generator().manual_seed(0)
    g = group("C2")
    A = torch.randn(40, g.order, 5, generator=draw)
    fit, test = A.double()[:20], A.double()[20:]
    left, _, right = torch.linalg.svd(fit.flatten(0, 1).T @ fit[:, g.table[1]].flatten(0, 1))
    error = (test.flatten(0, 1) @ (left @ right) - test[:, g.table[1]].flatten(0, 1)).square().sum()
    given = test.flatten(0, 1)
    expected = float(1 - error / (given - given.mean(0)).square().sum())
    table = it.unit_actions(A, g, np.arange(40) >= 20).table.set_index("map")
    assert table.explained["orthogonal"] == pytest.approx(expected, abs=1e-9)


def test_kurtosis_is_the_fourth_moments():
    x = torch.randn(300, 7, generator=torch.Generator().manual_seed(0)).double() ** 3
    off = x - x.mean(0)
    expected = off.pow(4).mean(0) / off.square().mean(0).square() - 3
    assert it.selectivity(x)["kurtosis"] == pytest.approx(float(expected.median()), abs=1e-6)


def test_the_area_under_the_curve_is_mann_and_whitneys():
    draw = torch.Generator().manual_seed(0)
    responses = torch.randn(90, 6, generator=draw).round(decimals=1).numpy()  # with ties
    labels = pd.Series([i % 4 for i in range(90)])
    areas = [
        mannwhitneyu(responses[on], responses[~on], axis=0).statistic / (on.sum() * (~on).sum())
        for on in ((labels == k).to_numpy() for k in range(4))
    ]
    expected = np.maximum(areas, 1 - np.array(areas)).max(0)
    assert it.best_auc(
        torch.from_numpy(responses), it.label_concepts(labels)
    ).numpy() == pytest.approx(expected, abs=1e-6)
