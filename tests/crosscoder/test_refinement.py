"""Exact sparse codes tell apart what an encoder merges."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gc_utils.crosscoder import (
    DictionaryLearner,
    GroupCrosscoder,
    RefineConfig,
    TiedCrosscoder,
    TrainConfig,
    Trainer,
    evaluate,
    fit,
    fit_refined,
    refine,
    train,
)
from gc_utils.errors import UserError
from gc_utils.planted import cosines, planted_orbits

QUICK = TrainConfig(steps=60, batch_size=128, evaluate_every=60, lr=2e-3)


def quick(passes):
    return RefineConfig(passes=passes, encoder=QUICK, together=10)


@pytest.fixture(scope="module")
def planted():
    return planted_orbits("D8", 24, {"C1": 2, "D1": 1}, samples=1200, l0=2, seed=0).split(200)


def trained(planted, **settings):
    seen, held_out = planted
    coder = GroupCrosscoder("D8", 24, 60, k=2, encode_from="orbit", **settings)
    train(coder, seen.A, np.arange(len(seen.A)), held_out.A, QUICK, progress=False)
    return coder


def test_the_dictionary_comes_nearer_to_the_truth_and_explains_more(planted):
    seen, held_out = planted
    coder = trained(planted)
    before = cosines(seen.V, coder.V.detach()).amax(1).mean()
    fvu = evaluate(coder, held_out.A, coder.mean).fvu
    history = refine(
        coder, seen.A, np.arange(len(seen.A)), held_out.A, quick(passes=4), progress=False
    )
    after = cosines(seen.V, coder.V.detach()).amax(1).mean()
    found = evaluate(coder, held_out.A, coder.mean)
    assert after > before + 0.02 and after > 0.9
    assert found.fvu < fvu and found.l0 == pytest.approx(2, abs=0.01)
    assert coder.V.requires_grad
    assert list(history.part.unique()) == ["encoder", "together"]


def test_merged_neighbours_are_told_apart(planted):
    """Every feature begins halfway between two translates: the encoder's loss would let it stay."""
    seen, held_out = planted
    coder = GroupCrosscoder("D8", 24, len(seen.V), k=2, encode_from="orbit")
    coder.normalise(seen.A)
    coder.start((seen.V + 0.8 * seen.V[:, seen.group.right(1)]) / 10)
    coder.fresh = False
    before = cosines(seen.V, coder.V.detach()).amax(1)
    refine(coder, seen.A, np.arange(len(seen.A)), held_out.A, quick(passes=6), progress=False)
    after = cosines(seen.V, coder.V.detach()).amax(1)
    assert before.mean() < 0.95 < 0.98 < after.median()


def test_a_sparse_autoencoder_is_refined_on_single_views(planted):
    seen, held_out = planted
    rows = np.arange(len(seen.A))
    coder = GroupCrosscoder("C1", 24, 60, k=2)
    train(coder, seen.A, rows, held_out.A, QUICK, progress=False)
    refine(coder, seen.A, rows, held_out.A, quick(passes=2), progress=False)
    single = seen.V.flatten(0, 1)[:, None]  # what single views are made of
    found = cosines(single / single.norm(dim=(1, 2), keepdim=True), coder.V.detach())
    assert found.amax(0).median() > 0.9  # every atom is one of them


@pytest.mark.parametrize("stop", ["dictionary", "encoder"])
def test_it_goes_on_where_it_was_interrupted(planted, tmp_path, monkeypatch, stop):
    seen, held_out = planted
    rows = np.arange(len(seen.A))
    whole, again, coder = (trained(planted) for _ in range(3))
    config = RefineConfig(passes=3, encoder=replace(QUICK, evaluate_every=30), together=10)
    refine(whole, seen.A, rows, held_out.A, config, progress=False)

    class Interrupted(Exception):
        pass

    kept = DictionaryLearner.learn, Trainer.advance
    calls = {"dictionary": 0, "encoder": 0}

    def count(name, most, method):
        def counted(*args):
            calls[name] += 1
            if calls[name] > most:
                raise Interrupted
            return method(*args)

        return counted

    if stop == "dictionary":
        monkeypatch.setattr(DictionaryLearner, "learn", count("dictionary", 20, kept[0]))
    else:
        monkeypatch.setattr(Trainer, "advance", count("encoder", 45, kept[1]))
    with pytest.raises(Interrupted):
        refine(coder, seen.A, rows, held_out.A, config, checkpoint=tmp_path / "c", progress=False)
    monkeypatch.setattr(DictionaryLearner, "learn", count("dictionary", 1000, kept[0]))
    monkeypatch.setattr(Trainer, "advance", kept[1])
    calls["dictionary"] = 0
    refine(again, seen.A, rows, held_out.A, config, checkpoint=tmp_path / "c", progress=False)
    assert calls["dictionary"] < 3 * (len(rows) // QUICK.batch_size)  # not all of it anew
    assert torch.allclose(again.V, whole.V, atol=1e-5)
    assert torch.allclose(again.W_enc, whole.W_enc, atol=1e-5)
    assert torch.allclose(again.threshold, whole.threshold, rtol=1e-4)


def test_a_saved_crosscoder_is_refined_once(planted, tmp_path):
    seen, held_out = planted
    rows = np.arange(len(seen.A))
    coder = GroupCrosscoder("D8", 24, 60, k=2, encode_from="orbit")
    fit(tmp_path / "plain", coder, seen.A, rows, held_out.A, QUICK, data_checksum="one")
    files = tmp_path / "refined.safetensors", tmp_path / "plain"
    rest = (seen.A, rows, held_out.A, quick(passes=1))
    refined, _ = fit_refined(*files, *rest, progress=False)
    made = files[0].stat().st_mtime_ns
    again, _ = fit_refined(*files, *rest, progress=False)
    assert files[0].stat().st_mtime_ns == made and torch.equal(refined.V, again.V)
    assert not list(tmp_path.glob("*checkpoint*"))
    direct = GroupCrosscoder.load(tmp_path / "plain", normalised=True)
    refine(direct, *rest, progress=False)
    assert torch.allclose(direct.fold().V, refined.V, atol=1e-5)
    fit_refined(*files, *rest[:3], quick(passes=2), progress=False)  # other settings: anew
    assert files[0].stat().st_mtime_ns != made


def test_the_same_seed_gives_the_same_dictionary(planted):
    seen, held_out = planted
    rows = np.arange(len(seen.A))
    both = [trained(planted) for _ in range(2)]
    for coder in both:
        refine(coder, seen.A, rows, held_out.A, quick(passes=1), progress=False)
    assert torch.allclose(both[0].V, both[1].V, atol=1e-5)


def test_a_sweep_lowers_the_loss_as_coordinate_descent_one_by_one_does():
    """Blocks of atoms are an arrangement of the arithmetic; each atom still sees the last ones."""
    draw = torch.Generator().manual_seed(0)
    atoms = torch.randn(70, 30, generator=draw).double()
    atoms /= atoms.norm(dim=1, keepdim=True)
    x = torch.rand(200, 70, generator=draw).double() @ atoms / 70
    learner = DictionaryLearner(atoms, active=8)
    learner.learn(x, torch.Generator())
    used = (learner.usage.diagonal() > 0).nonzero().flatten().tolist()
    expected = atoms.clone()
    assert len(used) > 35  # more than one block
    for j in used:
        u = expected[j] + (learner.views[j] - learner.usage[j] @ expected) / learner.usage[j, j]
        expected[j] = u / u.norm().clamp_min(1)
    assert torch.allclose(learner.atoms[used], expected[used], atol=1e-9)


def test_the_penalty_finds_the_number_of_active_features(planted):
    seen, _ = planted
    atoms = torch.randn(60, 16 * 24, generator=torch.Generator().manual_seed(0))
    learner = DictionaryLearner(atoms / atoms.norm(dim=1, keepdim=True), active=3)
    x = (seen.A - seen.A.mean((0, 1))).flatten(1)
    for step in range(12):
        learner.learn(x[step % 4 * 250 :][:250], torch.Generator().manual_seed(step))
    assert float((learner.codes(x) > 0).float().sum(1).mean()) == pytest.approx(3, rel=0.25)


def test_mistakes_are_named(planted):
    seen, held_out = planted
    rest = (seen.A, np.arange(len(seen.A)), held_out.A)
    with pytest.raises(UserError, match="refine an untied one"):
        refine(TiedCrosscoder("D8", 24, 3, k=2), *rest, quick(passes=1))
    with pytest.raises(UserError, match="train it first"):
        refine(GroupCrosscoder("D8", 24, 30, k=2), *rest, quick(passes=1))
    with pytest.raises(UserError, match="passes = 0"):
        quick(passes=0)
