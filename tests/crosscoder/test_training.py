"""Training: it learns, it can be stopped anywhere, and dead features come back."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from gc_utils.crosscoder import (
    GroupCrosscoder,
    ShuffledBatches,
    TrainConfig,
    Trainer,
    evaluate,
    fit,
    fvu,
    pca_baseline,
    ridge_baseline,
    train,
    views_for,
)
from gc_utils.crosscoder.views import as_seen
from gc_utils.errors import UserError
from gc_utils.files import read_notes
from gc_utils.groups import group, translate

G = "D4"
FAST = TrainConfig(
    steps=60, batch_size=64, lr=3e-3, warmup=5, evaluate_every=20, precision="float32"
)


@pytest.fixture(scope="module")
def orbits():
    """Sparse combinations of templates and all their translates: `(600, 8, 12)`."""
    draw = torch.Generator().manual_seed(0)
    templates = torch.randn(4, 8, 12, generator=draw)
    g = group(G)
    V = torch.cat([translate(templates, g, torch.full((4,), h)) for h in range(8)])
    codes = torch.rand(600, 32, generator=draw)
    codes = codes * (torch.rand(600, 32, generator=draw) < 0.08)
    return torch.einsum("nm,mgc->ngc", codes, V) + 2


def trainer(orbits, config=FAST, **coder):
    coder = GroupCrosscoder(G, 12, 40, **({"k": 4} | coder))
    return Trainer(coder, ShuffledBatches(orbits, np.arange(400), config.batch_size, 0), config)


@pytest.mark.parametrize("sparsity", ["l1", "topk", "batchtopk"])
@pytest.mark.parametrize("encode_from", ["identity", "orbit"])
def test_it_learns(orbits, sparsity, encode_from):
    config = TrainConfig(**{**vars(FAST), "steps": 300, "evaluate_every": 100})
    coder = GroupCrosscoder(G, 12, 64, k=6, sparsity=sparsity, encode_from=encode_from)
    history = train(coder, orbits, np.arange(400), orbits[400:], config, progress=False)
    at = history.dropna(subset="held_out_fvu").held_out_fvu
    assert at.iloc[-1] < (0.35 if encode_from == "orbit" else 0.7)
    assert history.fvu_batch.iloc[-1] < 0.5 * history.fvu_batch.iloc[0]
    l0 = history.held_out_l0.iloc[-1]
    if sparsity == "batchtopk":
        assert l0 == pytest.approx(6, abs=0.1)
    elif sparsity == "topk":  # at most k: a sample may have fewer features with anything to say
        assert 3 < l0 <= 6


def test_stopping_and_going_on_changes_nothing(orbits, tmp_path):
    """Bit for bit, and wherever it is stopped."""
    whole, parts = GroupCrosscoder(G, 12, 40, k=4), GroupCrosscoder(G, 12, 40, k=4)
    data = (orbits, np.arange(400), orbits[400:], FAST)
    expected = train(whole, *data, progress=False)

    class Stop(Exception):
        pass

    def stop(trainer):
        if trainer.step == 40:
            raise Stop

    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Stop):
        train(parts, *data, checkpoint=path, progress=False, callback=stop)
    again = GroupCrosscoder(G, 12, 40, k=4, seed=99)  # nothing of its own may survive
    history = train(again, *data, checkpoint=path, progress=False)
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    pd.testing.assert_frame_equal(history, expected)


def test_a_fit_is_done_once(orbits, tmp_path, capsys):
    path = tmp_path / "models" / "c.safetensors"
    data = (orbits, np.arange(400), orbits[400:])

    def again(config=FAST, checksum="x"):
        coder = GroupCrosscoder(G, 12, 40, k=4)
        done = fit(path, coder, *data, config, data_checksum=checksum, label="one")
        return *done, "one:" in capsys.readouterr().err

    first, history, trained = again()
    assert trained and history.step.iloc[-1] == FAST.steps
    second, same, trained = again()
    assert not trained and torch.equal(first.V, second.V)
    pd.testing.assert_frame_equal(same, history)
    assert again(checksum="y")[2]
    assert again(TrainConfig(**{**vars(FAST), "seed": 1}))[2]
    assert sorted(p.name for p in path.parent.iterdir()) == ["c.history.csv", "c.safetensors"]


def test_a_checkpoint_of_another_run_is_refused(orbits, tmp_path):
    first = trainer(orbits)
    first.advance()
    first.save(tmp_path / "c.safetensors")
    other = trainer(orbits, TrainConfig(**{**vars(FAST), "lr": 1e-4}))
    with pytest.raises(UserError, match=r"another run's: lr is 0.003 there, 0.0001 asked for"):
        other.restore(tmp_path / "c.safetensors")


def test_normalisation_is_used_in_training_and_evaluation_alike(orbits):
    """The same data in other units give the same training and the same FVU."""
    found = []
    for unit, offset in ((1.0, 0.0), (100.0, 30.0)):
        coder = GroupCrosscoder(G, 12, 40, k=4)
        data = orbits * unit + offset
        train(coder, data, np.arange(400), data[400:], FAST, progress=False)
        found.append(evaluate(coder, data[400:], data[:400].mean(0)).fvu)
    assert found[0] == pytest.approx(found[1], rel=1e-2)


def test_dead_features_are_counted_in_samples(orbits):
    run = trainer(orbits, TrainConfig(**{**vars(FAST), "dead_window": 3 * 64}))
    with torch.no_grad():
        run.coder.b_enc[7] = -100
    dead = [int(run.advance()["dead"]) for _ in range(3)]
    assert run.since_fired[7] == 3 * 64
    assert dead[:2] == [0, 0] and dead[2] >= 1


def test_revival_reaches_the_weights_of_dead_features_and_no_others(orbits):
    run = trainer(orbits)
    A = as_seen(
        run.coder, run.batches.batch(0), run.config.translate, torch.Generator().manual_seed(0)
    )
    dead = torch.zeros(40, dtype=torch.bool)
    dead[:5] = True
    with torch.no_grad():
        run.coder.b_enc[:5] = -3.0  # off for every sample
    f, pre = run.coder.training_codes(A)
    residual = A - run.coder.decode_normalised(f)
    assert not f[:, :5].any()
    loss = run.revival(run.coder, pre, residual.detach(), dead)
    assert loss > 0
    loss.backward()
    for name in ("V", "W_enc", "b_enc"):
        gradient = getattr(run.coder, name).grad
        assert (gradient[:5].flatten(1) if gradient.ndim > 1 else gradient[:5]).abs().max() > 0
        assert not gradient[5:].any(), name
    assert run.coder.b_dec.grad is None  # the residual is detached, the bias not added again


def test_dead_features_come_back(orbits):
    alive = {}
    for revive in (0.0, 0.5):
        config = TrainConfig(**{**vars(FAST), "steps": 200, "dead_window": 256, "revive": revive})
        run = trainer(orbits, config)
        with torch.no_grad():
            run.coder.b_enc[:20] = -1.0
        for _ in range(200):
            run.advance()
        run.coder.calibrate(orbits[400:])
        fired = (run.coder.encode(orbits) > 0).any(0)
        alive[revive] = int(fired[:20].sum())
    assert alive[0.5] >= alive[0.0] + 5, alive


def test_learning_rate_warms_up_and_ends_at_nothing(orbits):
    run = trainer(orbits)
    rates = []
    for run.step in range(FAST.steps + 1):
        rates.append(run.rate())
    assert rates[0] < rates[4] == FAST.lr == max(rates)
    assert rates[-1] == 0 and rates[-2] < 0.1 * FAST.lr
    falling = np.diff(rates[int(FAST.steps * (1 - FAST.decay)) + 1 :])
    assert np.allclose(falling, falling[0])


def test_gradient_spikes_are_clipped(orbits):
    run = trainer(orbits)
    for _ in range(10):
        run.advance()
    usual = float(run.gradient_norm)
    for p in run.coder.parameters():
        p.grad = torch.full_like(p, 1e3)
    run._clip()
    norm = torch.stack([p.grad.norm() for p in run.coder.parameters()]).norm()
    assert float(norm) == pytest.approx(usual * FAST.clip, rel=1e-3)


def test_translate_is_right_translation():
    g = group("D5")
    A = torch.randn(10, 10, 3)
    h = torch.arange(10)
    moved = translate(A, g, h)
    for n in range(10):
        for e in range(10):
            assert torch.equal(moved[n, e], A[n, g.table[e, h[n]]])


def test_translation_makes_more_of_few_orbits(orbits):
    found = {}
    for moved in (False, True):
        config = TrainConfig(**{**vars(FAST), "steps": 300, "translate": moved})
        coder = GroupCrosscoder(G, 12, 64, k=6, encode_from="orbit")
        train(coder, orbits, np.arange(60), orbits[400:], config, progress=False)
        found[moved] = evaluate(coder, orbits[400:], orbits[:60].mean((0, 1))).fvu
    assert found[True] < found[False] - 0.05, found


def test_fvu_is_its_definition_and_its_parts_add_up():
    draw = torch.Generator().manual_seed(0)
    A, Â = torch.randn(2, 20, 8, 3, generator=draw)
    mean = torch.randn(8, 3, generator=draw)
    found = fvu(A, Â, mean)
    assert found.fvu == pytest.approx(
        float((A - Â).square().sum() / (A - mean).square().sum()), rel=1e-5
    )

    def split(x):
        return x.mean(1, keepdim=True).expand_as(x), x - x.mean(1, keepdim=True)

    (inv, ori), (inv0, ori0) = split(A - Â), split(A - mean)
    assert found.fvu_invariant == pytest.approx(
        float(inv.square().sum() / inv0.square().sum()), rel=1e-5
    )
    assert found.fvu_orientation == pytest.approx(
        float(ori.square().sum() / ori0.square().sum()), rel=1e-5
    )
    whole = (A - mean).square().sum()
    total = found.fvu_invariant * inv0.square().sum() + found.fvu_orientation * ori0.square().sum()
    assert found.fvu == pytest.approx(float(total / whole), rel=1e-5)
    assert fvu(A, A, mean).fvu == 0
    assert fvu(A, mean.expand_as(A), mean).fvu_per_element == pytest.approx(np.ones(8), rel=1e-5)


def test_l0_is_the_same_everywhere(orbits, tmp_path):
    run = trainer(orbits)
    for _ in range(30):
        parts = run.advance()
    held = orbits[400:]
    run.coder.calibrate(held)
    mean = run.coder.mean
    assert float(parts["l0"]) == pytest.approx(4)
    assert evaluate(run.coder, held, mean).l0 == pytest.approx(4, abs=0.02)
    run.coder.save(tmp_path / "c.safetensors")
    loaded = GroupCrosscoder.load(tmp_path / "c.safetensors")
    assert evaluate(loaded, held, mean).l0 == pytest.approx(4, abs=0.02)


def test_the_sparse_autoencoder_is_the_same_class_on_single_views(orbits):
    sae = GroupCrosscoder("C1", 12, 64, k=6)
    config = TrainConfig(**{**vars(FAST), "steps": 300})
    train(sae, orbits, np.arange(400), orbits[400:], config, progress=False)
    views = views_for(sae, orbits[400:])
    assert views.shape == (200 * 8, 1, 12)
    assert evaluate(sae, views, sae.mean).fvu < 0.6


def test_pca_baseline_is_pca(orbits):
    found = pca_baseline(orbits[:400], orbits[400:], group(G), components=5, translates=1, seed=0)
    mean = orbits[:400].mean((0, 1))
    x = (orbits[400:] - mean).flatten(1)
    assert found.l0 == 5
    # No five directions do better than the held-out data's own, and all of them leave nothing.
    best = torch.linalg.svdvals(x)
    floor = float(best[5:].square().sum() / best.square().sum())
    assert floor <= found.fvu < floor + 0.1
    whole = pca_baseline(orbits[:400], orbits[400:], group(G), components=96, translates=4, seed=0)
    assert whole.fvu < 1e-4


def test_ridge_baseline_finds_a_linear_map():
    """Where all views are linear in the first, ridge explains them, by translates too."""
    g, draw = group("D4"), torch.Generator().manual_seed(0)
    x = torch.randn(500, 6, generator=draw)
    swap = g.irreps()[-3].matrices.float()  # any representation will do
    lift = torch.block_diag(*[torch.eye(swap.shape[1])] * (6 // swap.shape[1]))
    rho = torch.stack([torch.kron(torch.eye(6 // swap.shape[1]), m) for m in swap])
    A = torch.einsum("gab,nb->nga", rho @ lift, x) + 1
    found = ridge_baseline(A[:300], A[300:], g)
    assert found.fvu < 1e-3 and found.fvu_orientation < 1e-3
    noise = torch.randn(500, 8, 6, generator=draw)
    assert ridge_baseline(noise[:300], noise[300:], g).fvu_orientation > 0.8


def test_mistakes_are_named(orbits):
    with pytest.raises(UserError, match="no rows to train on"):
        ShuffledBatches(orbits, np.arange(0), 4, 0)
    with pytest.raises(UserError, match="unknown precision 'bf16'"):
        trainer(orbits, TrainConfig(**{**vars(FAST), "precision": "bf16"}))
    broken = orbits.clone()
    broken[0] = math.nan
    with pytest.raises(UserError, match="at element 0, channel 0 is NaN, expected a finite"):
        train(GroupCrosscoder(G, 12, 40, k=4), broken, np.arange(400), orbits[400:], FAST)


def test_a_cut_checkpoint_is_said_and_training_begins_again(orbits, tmp_path, capsys):
    path, data = tmp_path / "c.safetensors", (orbits, np.arange(400), orbits[400:])
    config = TrainConfig(**{**vars(FAST), "steps": 8, "evaluate_every": 4})
    coders = [GroupCrosscoder(G, 12, 40, k=4) for _ in range(2)]
    expected = train(coders[0], *data, config, checkpoint=path, progress=False)
    path.write_bytes(path.read_bytes()[:-100])
    found = train(coders[1], *data, config, checkpoint=path, progress=False)
    assert "c.safetensors is damaged" in capsys.readouterr().out
    pd.testing.assert_frame_equal(found, expected)
    assert torch.equal(coders[0].W_enc, coders[1].W_enc)


def test_a_damaged_fit_is_made_again_and_a_lost_history_is_not(orbits, tmp_path, capsys):
    path, data = tmp_path / "c.safetensors", (orbits, np.arange(400), orbits[400:])
    config = TrainConfig(**{**vars(FAST), "steps": 8, "evaluate_every": 4})

    def again():
        coder = GroupCrosscoder(G, 12, 40, k=4)
        return fit(path, coder, *data, config, data_checksum="x", label="one")

    _, history = again()
    whole = path.read_bytes()
    capsys.readouterr()
    for damage in (lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:50])):
        damage(path.with_suffix(".history.csv"))
        left = path.with_name(f"c.{read_notes(path)['training']}.checkpoint.safetensors")
        left.write_bytes(b"of a process that was killed before it could delete it")
        pd.testing.assert_frame_equal(again()[1], history)
        assert not left.exists() and "one:" not in capsys.readouterr().err
    path.write_bytes(whole[:-5])
    again()
    said = capsys.readouterr()
    assert "It is made again" in said.out and "one:" in said.err
    assert path.read_bytes() == whole, "equal weights and notes are equal bytes"


def test_every_evaluation_is_kept_whatever_is_logged(orbits, tmp_path):
    """Or a training that is killed begins again from a checkpoint of long ago, or from nothing."""
    config = TrainConfig(**{**vars(FAST), "steps": 8, "evaluate_every": 3, "log_every": 10})
    path, kept = tmp_path / "c.safetensors", []
    train(
        GroupCrosscoder(G, 12, 40, k=4),
        *(orbits, np.arange(400), orbits[400:], config),
        checkpoint=path,
        progress=False,
        callback=lambda _: kept.append(int(read_notes(path)["step"])),
    )
    assert kept == [3, 6, 8]
