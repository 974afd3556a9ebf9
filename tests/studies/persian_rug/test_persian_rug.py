import numpy as np
import pandas as pd
import pytest
import torch

from gc_utils.closure import code_digests
from gc_utils.errors import UserError
from gc_utils.studies import persian_rug as pr
from gc_utils.studies.persian_rug import steps as training_steps
from gc_utils.studies.persian_rug import training
from gc_utils.studies.persian_rug.closed_form import channel_loss


@pytest.mark.parametrize(
    ("p", "r", "a", "b"),
    [(0.05, 0.25, 0.8, -0.2), (0.2, 0.5, 0.9, -0.05), (0.01, 0.125, 1.1, -0.4), (1, 0.5, 0.5, 0.2)],
)
def test_the_closed_form_is_what_random_draws_give(p, r, a, b):
    rng = np.random.default_rng(0)
    x = rng.random(400_000) * (rng.random(400_000) < p)
    y = a * x + b + np.sqrt(pr.noise_variance(a, p, r)) * rng.standard_normal(len(x))
    lost = (x - np.maximum(y, 0)) ** 2
    error = lost.std() / len(x) ** 0.5
    assert abs(lost.mean() - pr.symmetric_loss(a, b, p, r)) < 3 * error


def test_the_best_symmetric_model_is_the_least_of_a_grid():
    """From rare entries to dense ones, from hardly any units to nearly as many as entries."""
    a, b = np.meshgrid(np.linspace(0.05, 2.5, 160), np.linspace(-1.5, 1.5, 481))
    for p, r in ((0.005, 0.05), (0.01, 0.9), (0.1, 0.5), (0.5, 0.1), (1.0, 0.7)):
        noise = np.sqrt(pr.noise_variance(1, p, r)) * a
        least = channel_loss(a, b, noise, p).min()
        assert 0.99 * least < pr.best_symmetric(p, r).loss <= least


def test_the_best_symmetric_model_is_a_minimum_below_the_linear_one():
    for p, r in ((0.05, 0.5), (0.2, 0.25), (1.0, 0.5)):
        best = pr.best_symmetric(p, r)
        for da, db in ((0.02, 0), (-0.02, 0), (0, 0.02), (0, -0.02)):
            assert pr.symmetric_loss(best.a + da, best.b + db, p, r) >= best.loss
        assert best.loss <= pr.linear_loss(p, r) + 1e-9


def test_the_least_noise_is_a_projectors():
    n_s, n_d = 64, 16
    rug = pr.hadamard_rug(n_s, n_d, 0.1)
    W = rug.W
    a = float(W.diagonal().mean())
    off = float((W.square().sum() - W.diagonal().square().sum()) / n_s)
    assert off == pytest.approx(a**2 * (n_s / n_d - 1), rel=1e-4)
    draw = torch.Generator().manual_seed(0)
    any_ = torch.randn(n_s, n_d, generator=draw) @ torch.randn(n_d, n_s, generator=draw)
    any_ = any_ * (a * n_s / any_.trace())
    power = float((any_.square().sum() - any_.diagonal().square().sum()) / n_s)
    assert power > off


def test_hadamard_rows_have_the_same_statistics():
    rug = pr.hadamard_rug(128, 48, 0.1, seed=3)
    rows = pr.row_statistics(rug, 0.1)
    assert rows.a.std() < 1e-6 and rows.b.std() < 1e-5 and rows.noise.std() < 1e-6
    W = rug.W
    i = torch.arange(128)
    for j in (1, 5, 77):  # W depends on i xor j only
        assert torch.allclose(W[i, i ^ j], W[0, j].expand(128), atol=1e-5)
    best = pr.best_symmetric(0.1, 48 / 128)
    assert rows.a[0] == pytest.approx(best.a, rel=1e-5)
    assert rows.b[0] == pytest.approx(best.b, abs=1e-4)
    assert pr.gaussian_loss(rug, 0.1) == pytest.approx(best.loss, rel=1e-4)


@pytest.mark.parametrize("r", [1 / 8, 1 / 4, 1 / 2, 3 / 4])
@pytest.mark.parametrize("p", [0.05, 0.1, 0.2])
def test_artificial_models_reach_the_closed_form(r, p):
    n_s = 2048
    exact = pr.best_symmetric(p, r).loss
    for make in (pr.hadamard_rug, pr.projector_rug):
        loss, error = pr.monte_carlo(make(n_s, round(r * n_s), p), n_s, p, samples=1500)
        assert abs(loss / exact - 1) < 0.03 + 2 * error / exact


def test_antipodal_pairs_cost_a_sixth_of_p_squared():
    loss, error = pr.monte_carlo(pr.antipodal_rug(128), 128, 0.2, samples=20_000)
    assert abs(loss - pr.antipodal_loss(0.2)) < 3 * error
    assert pr.antipodal_loss(0.05) < pr.best_symmetric(0.05, 0.5).loss
    assert pr.heaviness(pr.antipodal_rug(128))["kurtosis"] > 50


def test_breaking_the_symmetry_raises_the_loss():
    whole = pr.hadamard_rug(256, 128, 0.2)
    losses = {
        (kind, amount): pr.monte_carlo(
            pr.broken_rug(whole, amount, 0.2, kind=kind), 256, 0.2, samples=4000
        )[0]
        for kind in ("diagonal", "spectrum")
        for amount in (0.0, 0.2, 0.5)
    }
    for kind in ("diagonal", "spectrum"):
        assert losses[kind, 0.0] < losses[kind, 0.2] < losses[kind, 0.5]
    with pytest.raises(UserError, match="diagonal or spectrum"):
        pr.broken_rug(whole, 0.1, 0.2, kind="all")


def test_no_function_beats_the_conditional_mean():
    rng = np.random.default_rng(0)
    for p, r in ((0.02, 0.5), (0.2, 0.25)):
        found = pr.best_functions(p, r)
        assert found["any"] <= min(found.values()) + 1e-9
        assert found["JumpReLU"] <= found["threshold"] + 1e-9
        assert found["JumpReLU"] <= found["top-k"] + 1e-9
        c = pr.channel(p, r)
        best = pr.best_symmetric(p, r)  # the same channel, its slope divided out
        relu = np.maximum(best.a * c.y + best.b, 0)
        assert c.loss(relu) == pytest.approx(best.loss, rel=1e-3)
        x = rng.random(300_000) * (rng.random(300_000) < p)
        y = x + c.noise * rng.standard_normal(len(x))
        lost = (x - np.interp(y, c.y, c.mean)) ** 2
        assert abs(lost.mean() - found["any"]) < 4 * lost.std() / len(x) ** 0.5


def test_training_lowers_the_loss_below_the_linear_one():
    model, history = pr.train_rug(32, 16, 0.1, steps=800, lr=5e-3, batch=128, every=100)
    assert history.step.tolist() == list(range(100, 801, 100))
    assert history.loss.iloc[-1] < 0.5 * history.loss.iloc[0]
    loss, _ = pr.monte_carlo(model, 32, 0.1)
    assert loss < pr.linear_loss(0.1, 0.5)


def test_a_stopped_training_goes_on_as_if_nothing_had_happened(tmp_path, monkeypatch, capsys):
    options = {"steps": 60, "every": 25, "keep_every": 20}
    whole, history = pr.train_rug(16, 8, 0.2, **options)

    class Stopped(Exception):
        pass

    drawn, calls = pr.sparse_data, []

    def stop(*arguments):
        calls.append(1)
        if len(calls) == 47:
            raise Stopped
        return drawn(*arguments)

    monkeypatch.setattr(training_steps, "sparse_data", stop)
    with pytest.raises(Stopped):
        pr.train_rug(16, 8, 0.2, keep=tmp_path, **options)
    again, recorded = pr.train_rug(16, 8, 0.2, keep=tmp_path, **options)
    assert len(calls) == 47 + 20  # from step 40 on
    assert torch.equal(again.w_in, whole.w_in) and torch.equal(again.bias, whole.bias)
    pd.testing.assert_frame_equal(recorded, history)
    pr.train_rug(16, 8, 0.2, keep=tmp_path, **options)  # done: read
    assert len(calls) == 67 and len(list(tmp_path.iterdir())) == 1
    pr.train_rug(16, 8, 0.3, keep=tmp_path, **options)  # another one
    assert len(calls) == 127 and len(list(tmp_path.iterdir())) == 2
    with monkeypatch.context() as changed:
        changed.setattr(training, "code_digest", lambda name: "another")
        pr.train_rug(16, 8, 0.3, keep=tmp_path, **options)  # by other code
    assert len(calls) == 187 and len(list(tmp_path.iterdir())) == 3
    for path in tmp_path.iterdir():
        path.write_bytes(b"not one")
    mended, _ = pr.train_rug(16, 8, 0.2, keep=tmp_path, **options)  # trained again, with a word
    assert torch.equal(mended.w_in, whole.w_in) and len(calls) == 247
    assert "not gone on from" in capsys.readouterr().out


def test_a_training_goes_on_from_a_shorter_one(tmp_path, monkeypatch):
    options = {"every": 20, "keep_every": 15}
    whole, history = pr.train_rug(16, 8, 0.2, steps=60, **options)
    pr.train_rug(16, 8, 0.2, steps=40, keep=tmp_path, **options)
    pr.train_rug(16, 8, 0.2, steps=50, keep=tmp_path, **options)  # its last row is none of 60's
    taken, take = [], training_steps.take
    monkeypatch.setattr(training_steps, "take", lambda *a: taken.append(1) or take(*a))
    longer, recorded = pr.train_rug(16, 8, 0.2, steps=60, keep=tmp_path, **options)
    assert len(taken) == 20  # from step 40 on
    assert torch.equal(longer.w_out, whole.w_out)
    pd.testing.assert_frame_equal(recorded, history)
    pr.train_rug(16, 8, 0.2, steps=20, keep=tmp_path, **options)  # no longer one is cut short
    assert len(taken) == 40


def test_only_the_code_of_the_steps_makes_a_new_beginning():
    parts = set(code_digests(training_steps.__name__))
    assert "gc_utils.studies.persian_rug.models" in parts
    assert not parts & {"gc_utils.files", "gc_utils.progress", "gc_utils.closure"}


def test_the_authors_epsilon_and_batch_change_a_training():
    plain, _ = pr.train_rug(16, 8, 0.2, steps=5)
    for changed in ({"eps": 1e-2}, {"batch": 32}):
        assert not torch.equal(pr.train_rug(16, 8, 0.2, steps=5, **changed)[0].w_in, plain.w_in)


def test_pairs_are_found_whatever_their_scale():
    rug = pr.antipodal_rug(16)
    assert pr.paired(rug) == 1
    uneven = torch.tensor([1.0, 3.0]).repeat(8)  # W[i, j] of -3 and -1/3
    scaled = pr.Rug(rug.w_in * uneven, rug.w_out / uneven[:, None], rug.bias)
    assert pr.paired(scaled) == 1
    half = rug.w_in.clone()
    half[:4] = half[:4].abs()  # four units' entries are added, not opposed
    assert pr.paired(pr.Rug(half, half.T.clone(), rug.bias)) == 0.5
    assert pr.paired(pr.hadamard_rug(256, 128, 0.1)) == 0
    assert pr.paired(pr.projector_rug(256, 128, 0.1)) == 0


@pytest.mark.parametrize("p", [1e-6, 1e-4, 0.01, 0.3])
@pytest.mark.parametrize("r", [0.1, 0.5, 0.95])
def test_no_function_is_better_than_the_best(p, r):
    best = pr.best_functions(p, r)
    assert best["any"] > 0
    for name, loss in best.items():
        assert loss >= best["any"] * (1 - 1e-3), name
    assert best["JumpReLU"] <= best["ReLU"] * (1 + 1e-3)
    with pytest.raises(UserError, match="1e-6"):
        pr.best_functions(p * 1e-7, r)


def test_the_same_row_statistics_and_another_loss():
    exact = pr.best_symmetric(0.1, 0.5).loss
    first = pr.hadamard_rug(512, 256, 0.1, seed=None)
    some = pr.hadamard_rug(512, 256, 0.1, seed=0)
    for model in (first, some):
        assert pr.gaussian_loss(model, 0.1) == pytest.approx(exact, rel=1e-3)
    assert pr.monte_carlo(some, 512, 0.1)[0] < 1.05 * exact
    assert pr.monte_carlo(first, 512, 0.1)[0] > 1.5 * exact


def test_bad_sizes_are_refused():
    with pytest.raises(UserError, match="power of two"):
        pr.hadamard_rug(100, 20, 0.1)
    with pytest.raises(UserError, match="hidden units"):
        pr.projector_rug(64, 64, 0.1)
    with pytest.raises(UserError, match="hidden units"):
        pr.train_rug(8, 9, 0.1)
    with pytest.raises(UserError, match="0 steps"):
        pr.train_rug(8, 4, 0.1, steps=0)
    with pytest.raises(UserError, match="p = 0"):
        pr.best_symmetric(0, 0.5)
    with pytest.raises(UserError, match="pair"):
        pr.antipodal_rug(7)
