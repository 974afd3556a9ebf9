"""The noise of training leaves the corrected autocorrelation as it was, its interval holds."""

import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.planted import planted_orbits
from gc_utils.symmetry import autocorrelation, noise_corrected


@pytest.fixture(scope="module")
def planted():
    return planted_orbits("D8", 48, 5, samples=1, l0=1, seed=0)


def white(V, seed):
    return torch.randn(V.shape, generator=torch.Generator().manual_seed(seed))


def smooth(V, seed):
    """Noise of low angular frequencies, as smooth as features are."""
    half = white(V, seed).unflatten(1, (2, -1))
    waves = torch.fft.rfft(half, dim=2)
    waves[:, :, 3:] = 0
    return torch.fft.irfft(waves, n=half.shape[2], dim=2).flatten(1, 2)


def mixed(V, seed):
    """A few of the other features: what a dictionary fails to take apart."""
    draw = torch.Generator().manual_seed(seed)
    weights = torch.randn(len(V), len(V), generator=draw)
    weights *= torch.rand(weights.shape, generator=draw) < 5 / len(V)
    weights.fill_diagonal_(0)
    return torch.einsum("ij,jgc->igc", weights, V) + 1e-3 * white(V, seed)


def learned(V, count, amount, kind=white, first=0):
    """`count` dictionaries with independent errors, `amount` times as long as the features."""
    copies = []
    for seed in range(first, first + count):
        e = kind(V, seed)
        e = e / e.flatten(1).norm(dim=1)[:, None, None] * V.flatten(1).norm(dim=1)[:, None, None]
        copies.append(V + amount * e)
    return copies


def test_without_noise_it_is_the_autocorrelation(planted):
    shuffled = planted.V[torch.randperm(len(planted.V), generator=torch.Generator().manual_seed(0))]
    moved = 3 * shuffled[:, planted.group.right(5)]  # other order, length and orientation
    found = noise_corrected(planted.V, [moved, moved], "D8")
    true = autocorrelation(planted.V, "D8")
    assert torch.allclose(found.rho, true, atol=1e-5)
    assert (found.pairs == 3).all()
    assert torch.allclose(found.low, found.rho, atol=2e-3)


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("amount", [0.3, 0.8])
def test_noise_lowers_the_raw_one_and_not_the_corrected_one(planted, amount, count):
    copies = learned(planted.V, count, amount)
    true, raw = autocorrelation(planted.V, "D8"), autocorrelation(copies[0], "D8")
    found = noise_corrected(copies[0], copies[1:], "D8")
    symmetric = (true > 0.999) & found.rho.isfinite()
    symmetric[:, 0] = False
    short = 1 - 1 / (1 + amount**2)
    assert float((true - raw)[symmetric].mean()) == pytest.approx(short, abs=0.03)
    # The choice of the best element leaves a twentieth of that, at most.
    assert abs(float((true - found.rho)[symmetric].mean())) < 0.05 * short
    other = found.rho.isfinite() & ~symmetric
    assert abs(float((true - found.rho)[other].mean())) < 0.02


@pytest.mark.parametrize("count", [2, 4])
@pytest.mark.parametrize("kind", [white, smooth, mixed])
def test_intervals_hold_the_truth(planted, kind, count):
    copies = learned(planted.V, count, 0.5, kind)
    found = noise_corrected(copies[0], copies[1:], "D8")
    true = autocorrelation(planted.V, "D8")
    asked = found.rho.isfinite()
    asked[:, 0] = False
    inside = ((found.low <= true) & (true <= found.high))[asked].float().mean()
    assert (0.8 if kind is mixed else 0.88) < float(inside) < 0.999
    # And they are no longer than the errors are large.
    error = (found.rho - true)[asked].square().mean().sqrt()
    length = ((found.high - found.low) / 2)[asked].square().mean().sqrt()
    assert float(length / error) == pytest.approx(1.96, rel=0.35)


def test_more_dictionaries_make_shorter_intervals(planted):
    copies = learned(planted.V, 5, 0.6)
    lengths = []
    for count in (2, 3, 5):
        found = noise_corrected(copies[0], copies[1:count], "D8")
        assert found.pairs.max() == count * (count - 1) // 2
        lengths.append(float((found.high - found.low).nanmean()))
    assert lengths[0] > 1.15 * lengths[1] > 1.15 * 1.15 * lengths[2]


def test_a_feature_without_a_counterpart_has_no_value(planted):
    (one,), lost = learned(planted.V, 1, 0.2), planted.family == planted.family.max()
    (two,) = learned(planted.V[~lost], 1, 0.2, first=5)
    found = noise_corrected(one, [two], "D8")
    assert found.rho[lost].isnan().all() and found.low[lost].isnan().all()
    assert (found.pairs[lost] == 0).all() and (found.pairs[~lost] == 1).all()
    assert found.rho[~lost].isfinite().all()
    nobody = noise_corrected(one, [], "D8")
    assert nobody.rho.isnan().all() and nobody.high.isnan().all() and (nobody.pairs == 0).all()
    assert noise_corrected(one, [two[:0]], "D8").rho.isnan().all()


def test_a_neighbour_of_somebody_elses_counterpart_is_none(planted):
    """A dictionary without the feature has one that is alike, whose own counterpart is nearer."""
    template = planted.V[:1]
    alike = template + 0.7 * white(template, 3) * template.norm() / white(template, 3).norm()
    V = torch.cat([template, alike, planted.V[planted.family > 0]])
    found = noise_corrected(V, [V[1:]], "D8", within=0.5)
    assert found.pairs[0] == 0 and found.pairs[1] == 1


def test_a_dead_feature_and_wrong_shapes(planted):
    V = planted.V.clone()
    V[3] = 0
    found = noise_corrected(V, [planted.V], "D8")
    assert found.rho[3].isnan().all() and found.pairs[3] == 0
    with pytest.raises(UserError, match="do not fit"):
        noise_corrected(V, [V[:, :5]], "D8")
