import numpy as np
import pandas as pd
import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.images import load_task
from gc_utils.studies import intertwiners as st
from gc_utils.studies import intertwiners as ws
from gc_utils.studies.intertwiners import figures as figures
from gc_utils.studies.intertwiners import read_widths


@pytest.fixture(scope="module")
def task():
    return load_task("digits")


@pytest.fixture(scope="module")
def nets(task):
    return [st.train_net(task, 24, epochs=12, seed=seed) for seed in (0, 1)]


def test_the_digits_are_split_by_class_and_not_shared(task):
    assert task.x.shape[1:] == (1, 8, 8) and float(task.x.max()) == 1
    assert len(task.x) + len(task.test_x) == 1797 and len(task.test_x) == 540
    shares = [np.bincount(y, minlength=10) / len(y) for y in (task.y, task.test_y)]
    assert np.abs(shares[0] - shares[1]).max() < 0.01
    again = load_task("digits", seed=1)
    assert not torch.equal(again.test_y, task.test_y)


def test_training_is_repeatable_and_learns(task, nets):
    assert all(st.accuracy(net, task) > 0.8 for net in nets)
    again = st.train_net(task, 24, epochs=1, seed=0)
    assert torch.equal(again.conv1.weight, st.train_net(task, 24, epochs=1, seed=0).conv1.weight)
    blank = st.train_net(task, 24, epochs=0, seed=0)
    assert st.accuracy(blank, task) < 0.3


def test_a_layer_cuts_the_network_in_two(task, nets):
    x = task.test_x[:7]
    for layer in st.HIDDEN:
        a = nets[0].upto(x, layer)
        assert a.shape[1] == 24 and float(a.min()) >= 0
        assert torch.allclose(nets[0].onward(a, layer), nets[0](x), atol=1e-5)
    assert nets[0].upto(x, "conv1").shape[-1] == 8 and nets[0].upto(x, "conv4").shape[-1] == 4
    assert st.SmallNet(3, 8, 10, side=32).upto(torch.rand(1, 3, 32, 32), "conv4").shape[-1] == 8


@pytest.mark.parametrize("layer", st.HIDDEN)
def test_a_planted_intertwiner_costs_nothing(task, nets, layer):
    changed, change = ws.act_on(nets[0], layer, seed=3)
    seam = st.Seam(nets[0], changed, layer, task, epochs=1)
    found = seam.matched()
    assert found.penalty == 0 and found.matched < 1e-10
    live = nets[0].upto(task.x, layer).sum((0, 2, 3)) > 0
    order = found.M.argmax(1).numpy()
    assert (order == change.order)[live.numpy()[change.order]].all()
    assert seam.identity().penalty > 0.1
    assert seam.learnt().penalty <= 0.01


def test_the_more_a_map_may_do_the_less_is_lost(task, nets):
    identity, group, full = [], [], []
    for layer in st.HIDDEN:
        seam = st.Seam(*nets, layer, task, epochs=3)
        identity.append(seam.identity().penalty)
        group.append(seam.learnt().penalty)
        full.append(seam.full().penalty)
    assert np.mean(full) < np.mean(group) < np.mean(identity)
    assert np.mean(full) < 0.1 and np.mean(identity) > 0.5


def test_learnt_maps_are_what_they_say(task, nets):
    seam = st.Seam(*nets, "conv2", task, epochs=1)
    member = seam.learnt().M
    assert ((member > 0).sum(0) == 1).all() and ((member > 0).sum(1) == 1).all()
    assert (member >= 0).all()
    for rank in (1, 5):
        assert np.linalg.matrix_rank(seam.reduced_rank(rank).M.numpy(), tol=1e-4) == rank
    for most in (1, 4):
        sparse = seam.sparse(most)
        assert ((sparse.M != 0).sum(1) <= most).all() and sparse.entries > 0.8 * most
    losses = [seam.reduced_rank(k).matched for k in (1, 4, 24)]
    assert losses[0] > losses[1] > losses[2]


def test_reduced_rank_begins_at_the_best_map_of_its_rank():
    generator = torch.Generator().manual_seed(0)
    X = torch.rand(50, 6, 2, 2, generator=generator)
    M = torch.randn(6, 6, generator=generator)
    low = torch.linalg.svd(M)
    M = low.U[:, :2] * low.S[:2] @ low.Vh[:2]
    net = st.SmallNet(1, 6, 3)
    seam = st.Seam.__new__(st.Seam)
    seam.given, seam.wanted = X, torch.einsum("ij,bjhw->bihw", M, X)
    seam.upper, seam.layer, seam.epochs, seam.seed = net, "conv3", 0, 0
    seam.joined = lambda made: made
    assert torch.allclose(seam.reduced_rank(2), M, atol=1e-3)


def test_sinkhorn_is_doubly_stochastic():
    P = st.sinkhorn(torch.randn(9, 9, generator=torch.Generator().manual_seed(0)), rounds=60)
    assert torch.allclose(P.sum(0), torch.ones(9), atol=1e-4)
    assert torch.allclose(P.sum(1), torch.ones(9), atol=1e-4)


def test_similarities_of_a_network_with_itself(task, nets):
    table = st.similarities(nets[0], nets[0], task.test_x[:100])
    same = table[table["first"] == table["second"]]
    assert np.allclose(same.value, 1, atol=1e-6)
    assert (table[table["first"] != table["second"]].value < 0.999).all()
    assert len(table) == len(st.MEASURES) * 16


def test_figures_of_stitching(task, nets):
    table = st.similarities(*nets, task.test_x[:60])
    figure = figures.similarity_maps(table)
    assert [ax.get_title() for ax in figure.axes[:4]] == list(st.MEASURES)[:4]
    rows = [
        {"width": w, "pair": p, "layer": name, "map": m, "budget": b, "penalty": 0.1 * k + 0.01 * p}
        for w in (8, 16)
        for p in (0, 1)
        for name in st.HIDDEN
        for k, (m, b) in enumerate(
            [("identity", 1), ("assignment", 1), ("G_ReLU", 1), ("full", w)]
            + [(kind, b) for kind in ("rank", "sparse") for b in (1, 4)]
        )
    ]
    rows = pd.DataFrame(rows)
    figure = figures.stitching_penalties(rows)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["width 8", "width 16"]
    assert len(figures.budgets(rows[rows.width == 16]).axes) == 2


def test_mistakes_are_named(task, nets):
    with pytest.raises(UserError, match="width 24 and 8"):
        st.Seam(nets[0], st.SmallNet(1, 8, 10), "conv1", task)
    with pytest.raises(UserError, match="did you mean 'conv"):
        st.Seam(*nets, "conv9", task)
    with pytest.raises(UserError, match="conv9"):
        nets[0].upto(task.test_x, "conv9")
    with pytest.raises(UserError, match="widths '²'"):
        read_widths("²")
    seam = st.Seam(*nets, "conv4", task)
    with pytest.raises(UserError, match="rank 0"):
        seam.reduced_rank(0)
    with pytest.raises(UserError, match="99 entries"):
        seam.sparse(99)
    with pytest.raises(UserError, match="'16 x'"):
        read_widths("16 x")
    assert read_widths("32 16") == [16, 32] and read_widths(8) == [8]
    with pytest.raises(UserError, match="unknown task 'mnist'"):
        load_task("mnist")
    with pytest.raises(UserError, match="cifar-10-batches-bin"):
        load_task("cifar10:nowhere")
