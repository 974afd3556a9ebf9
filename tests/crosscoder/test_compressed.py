"""Training in a basis: the same loss up to a constant, lifted exactly, stopped anywhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gc_utils.crosscoder import (
    GroupCrosscoder,
    RefineConfig,
    ShuffledBatches,
    TiedCrosscoder,
    TrainConfig,
    Trainer,
    evaluate,
    fit,
    fit_refined,
    refine,
    train,
)
from gc_utils.crosscoder.basis import OrbitBasis, orbit_basis
from gc_utils.crosscoder.compressed import CompressedCrosscoder, compressible, in_basis
from gc_utils.errors import UserError
from gc_utils.groups import group, translate

G, CHANNELS, FEATURES, ACTIVE = "D8", 16, 60, 3
FAST = TrainConfig(
    steps=60, batch_size=64, lr=2e-3, warmup=5, evaluate_every=20, precision="float32", keep=0.95
)
ROWS = np.arange(900)


@pytest.fixture(scope="module")
def orbits():
    """Sparse combinations of templates that vary slowly with the rotation: `(1200, 16, 16)`."""
    g, draw = group(G), torch.Generator().manual_seed(0)
    templates = torch.zeros(6, g.order, CHANNELS)
    for irrep in g.irreps():
        F = torch.randn(6, irrep.dim, irrep.dim, CHANNELS, generator=draw)
        slow = 3.0 ** -max(0, irrep.frequency - 1)
        templates += slow * torch.einsum("gab,nabc->ngc", irrep.matrices.float(), F)
    V = torch.cat([translate(templates, g, torch.full((6,), h)) for h in range(g.order)])
    codes = torch.rand(1200, len(V), generator=draw)
    codes = codes * (torch.rand(1200, len(V), generator=draw) < ACTIVE / len(V))
    A = torch.einsum("nm,mgc->ngc", codes, V)
    return A + 0.05 * torch.randn(A.shape, generator=draw) + 2


def fresh(encode_from="orbit", **settings) -> GroupCrosscoder:
    how = {"k": ACTIVE, "encode_from": encode_from} | settings
    return GroupCrosscoder(G, CHANNELS, FEATURES, **how)


def batches_of(orbits) -> ShuffledBatches:
    return ShuffledBatches(orbits, ROWS, FAST.batch_size, FAST.seed)


@pytest.mark.parametrize("encode_from", ["identity", "orbit"])
def test_the_loss_is_that_of_the_lifted_crosscoder_but_for_a_constant(orbits, encode_from):
    small = in_basis(fresh(encode_from), batches_of(orbits), 0.9)
    run = Trainer(small, batches_of(orbits), FAST)
    assert small.basis.size < small.basis.numbers / 2
    for _ in range(5):
        run.advance()
    whole = small.untied()
    other = Trainer(whole, batches_of(orbits), FAST)
    other.step = run.step
    losses, ours = [], []
    for step in range(20):  # the same orbits from the same starts
        draws = [torch.Generator().manual_seed(step) for _ in range(2)]
        ours.append(run.loss(run.orbits.batch(step, draws[0]))[1])
        losses.append(other.loss(other.orbits.batch(step, draws[1]))[1])
        assert float(ours[-1]["l0"]) == pytest.approx(float(losses[-1]["l0"]), abs=0.1)
    found = np.mean([float(parts["loss"]) for parts in ours]) + small.outside
    expected = np.mean([float(parts["loss"]) for parts in losses])
    assert small.outside > 0.02 * expected
    assert found == pytest.approx(expected, rel=0.01)
    found, expected = (np.mean([float(p["fvu_batch"]) for p in all_]) for all_ in (ours, losses))
    assert found == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("encode_from", ["identity", "orbit"])
def test_what_is_learned_lies_in_the_basis(orbits, encode_from):
    coder = fresh(encode_from)
    basis = orbit_basis(orbits, ROWS, coder.group, 0.9)
    train(coder, orbits, ROWS, orbits[900:], FAST, basis=lambda: basis, progress=False)
    V = coder.V.detach()
    assert torch.allclose(basis.lift(basis.project(V)), V, atol=1e-4)
    if encode_from == "orbit":
        W = coder.W_enc.detach()
        assert torch.allclose(basis.lift(basis.project(W)), W, atol=1e-4)
    assert coder.W_enc.shape == fresh(encode_from).W_enc.shape
    assert not coder.fresh and not coder.threshold.isnan()


@pytest.mark.parametrize("sparsity", ["topk", "batchtopk"])
@pytest.mark.parametrize("encode_from", ["identity", "orbit"])
def test_it_explains_as_much_as_training_all_numbers(orbits, encode_from, sparsity):
    """Averaged over seeds: which optimum a training of this size finds is a matter of chance."""
    config, unexplained = replace(FAST, steps=300, evaluate_every=300), {}
    for keep in (1.0, 0.95):
        found = []
        for seed in range(3):
            coder = fresh(encode_from, sparsity=sparsity, seed=seed)
            how = replace(config, keep=keep, seed=seed)
            history = train(coder, orbits, ROWS, orbits[900:], how, progress=False)
            found.append(history.held_out_fvu.iloc[-1])
            assert history.held_out_l0.iloc[-1] == pytest.approx(ACTIVE, rel=0.05)
        unexplained[keep] = np.mean(found)
    assert unexplained[0.95] < unexplained[1.0] + 0.02


def test_it_can_be_stopped_anywhere(orbits, tmp_path):
    class Stop(Exception):
        pass

    def stop(trainer):
        if trainer.step == 40:
            raise Stop

    held, path = orbits[900:], tmp_path / "x.safetensors"
    whole, parts = fresh("identity"), fresh("identity")
    train(whole, orbits, ROWS, held, FAST, progress=False)
    with pytest.raises(Stop):
        train(parts, orbits, ROWS, held, FAST, checkpoint=path, progress=False, callback=stop)
    again = fresh("identity", seed=7)
    history = train(again, orbits, ROWS, held, FAST, checkpoint=path, progress=False)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert history.step.iloc[-1] == FAST.steps


def test_a_finished_training_read_from_its_checkpoint_is_lifted(orbits, tmp_path):
    path = tmp_path / "x.safetensors"
    first, second = fresh(), fresh(seed=3)
    for coder in (first, second):
        train(coder, orbits, ROWS, orbits[900:], FAST, checkpoint=path, progress=False)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_a_checkpoint_in_a_basis_of_another_size_is_no_use(orbits, tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    bases = [orbit_basis(orbits, ROWS, group(G), keep) for keep in (0.8, 0.95)]
    results = []
    for basis in bases:
        coder = fresh()
        how = {"basis": lambda basis=basis: basis, "checkpoint": path, "progress": False}
        results.append(train(coder, orbits, ROWS, orbits[900:], FAST, **how))
    assert "begins again" in capsys.readouterr().out
    assert all(len(history) == len(results[0]) for history in results)


def test_orbits_on_disk_are_trained_on_as_those_in_memory(orbits):
    class OnDisk:
        shape = orbits.shape

        def __len__(self):
            return len(orbits)

        def __getitem__(self, rows):
            return orbits[torch.as_tensor(rows)]

    for encode_from in ("identity", "orbit"):
        first, second = fresh(encode_from), fresh(encode_from)
        for coder, data in ((first, orbits), (second, OnDisk())):
            train(coder, data, ROWS, orbits[900:], FAST, progress=False)
        assert torch.equal(first.V, second.V)


@pytest.mark.parametrize("encode_from", ["identity", "orbit"])
def test_it_is_refined_in_its_basis(orbits, tmp_path, encode_from):
    plain, held = tmp_path / "plain.safetensors", orbits[900:]
    basis = orbit_basis(orbits, ROWS, group(G), 0.95)
    how = {"basis": lambda: basis, "progress": False}
    made, _ = fit(
        plain, fresh(encode_from), orbits, ROWS, held, FAST, data_checksum="of a test", **how
    )
    config = RefineConfig(passes=3, encoder=FAST, together=20)
    refined, _ = fit_refined(
        tmp_path / "refined.safetensors", plain, orbits, ROWS, held, config, **how
    )
    V = refined.V.detach()
    assert torch.allclose(basis.lift(basis.project(V)), V, atol=1e-3)
    mean = orbits[:900].mean((0, 1))
    assert evaluate(refined, held, mean).fvu < evaluate(made, held, mean).fvu


def test_refining_goes_on_from_its_checkpoint(orbits, tmp_path):
    coder = fresh()
    train(coder, orbits, ROWS, orbits[900:], FAST, progress=False)
    config = RefineConfig(passes=2, encoder=FAST, together=5)
    found = []
    for _ in range(2):  # the second reads everything from the files of the first
        copy = coder.untied()
        path = tmp_path / "refine.safetensors"
        refine(copy, orbits, ROWS, orbits[900:], config, checkpoint=path, progress=False)
        found.append(copy.V.detach())
    assert torch.equal(*found)


def test_what_is_not_compressed(orbits):
    autoencoder = GroupCrosscoder("C1", CHANNELS, FEATURES, k=ACTIVE)
    tied = TiedCrosscoder(G, CHANNELS, 4, k=ACTIVE)
    for coder in (autoencoder, tied, tied.untied(), fresh(sparsity="l1")):
        assert not compressible(coder)
        assert in_basis(coder, batches_of(orbits), 0.9) is None
    assert in_basis(fresh(), batches_of(orbits), 1.0) is None
    white = torch.randn(1200, *orbits.shape[1:])  # no direction is better than another
    assert in_basis(fresh(), batches_of(white), 0.9) is None
    assert isinstance(in_basis(fresh(), batches_of(orbits), 0.9), CompressedCrosscoder)


def test_keeping_all_is_training_as_ever(orbits):
    first, second = fresh(sparsity="l1"), fresh(sparsity="l1")
    for coder, keep in ((first, 1.0), (second, 0.9)):
        config = replace(FAST, keep=keep)
        train(coder, orbits, ROWS, orbits[900:], config, progress=False)
    assert torch.equal(first.V, second.V)


@pytest.mark.parametrize("keep", [0.0, 1.1, float("nan")])
def test_a_share_out_of_range(orbits, keep):
    with pytest.raises(UserError, match="keep"):
        train(fresh(), orbits, ROWS, orbits[900:], replace(FAST, keep=keep), progress=False)


def test_frozen_blocks_stay(orbits):
    coder = fresh()
    basis = OrbitBasis.of(orbits[:900], coder.group, keep=0.95)
    train(coder, orbits, ROWS, orbits[900:], FAST, basis=lambda: basis, progress=False)
    before = coder.V.detach().clone()
    coder.V.requires_grad_(False)
    how = {"basis": lambda: basis, "progress": False}
    train(coder, orbits, ROWS, orbits[900:], replace(FAST, seed=1), **how)
    assert torch.allclose(coder.V, before, atol=1e-5)
