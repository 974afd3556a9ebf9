"""Null features have the dictionary's spectra and no symmetry; thresholds keep the stated rate."""

import numpy as np
import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.groups import group
from gc_utils.null import (
    SymmetryNull,
    calibrated_report,
    null_features,
    reproducibility,
    unrelated_cut,
)
from gc_utils.planted import planted_orbits
from gc_utils.symmetry import irrep_spectrum, symmetry_report


@pytest.fixture(scope="module")
def planted():
    return planted_orbits("D8", 48, 6, samples=1, l0=1, seed=0)


@pytest.fixture(scope="module")
def chiral():
    return planted_orbits("D8", 48, {"C1": 12}, samples=1, l0=1, seed=1).V


def noisy(V, amount, seed):
    noise = torch.randn(V.shape, generator=torch.Generator().manual_seed(seed))
    return V + amount * noise * V.flatten(1).norm(dim=1)[:, None, None] / noise[0].norm()


@pytest.mark.parametrize("name", ["D8", "C6"])
def test_null_features_have_the_mean_spectrum(name):
    V = planted_orbits(name, 32, {"C1": 12}, samples=1, l0=1, seed=2).V
    drawn = null_features(V, name, 500)
    spectrum, mean = irrep_spectrum(drawn, name).mean(0), irrep_spectrum(V, name).mean(0)
    assert torch.allclose(spectrum, mean, atol=0.02)
    assert drawn.shape == (500, group(name).order, 32)
    assert not torch.equal(drawn, null_features(V, name, 500, seed=1))


def test_the_rate_is_kept_on_features_without_symmetry(chiral):
    """Fresh null features, of other random numbers, pass as often as stated."""
    null = SymmetryNull(chiral, "D8", count=2000)
    fresh = null_features(chiral, "D8", 2000, seed=7)
    for rate in (0.05, 0.2):
        thresholds = null.thresholds(rate)
        for kind in ("C2", "D1", "G"):
            where = [
                t if s.name.split("@")[0] == kind else 2.0
                for s, t in zip(group("D8").subgroups(), thresholds.tolist(), strict=True)
            ]
            named = symmetry_report(fresh, "D8", torch.tensor(where)).stabiliser
            assert (named != "C1").mean() == pytest.approx(rate, abs=0.025), kind


def test_p_values_are_uniform_without_symmetry_and_small_with_it(planted, chiral):
    null = SymmetryNull(chiral, "D8")
    fresh = SymmetryNull(chiral, "D8", seed=3).least["C2"]
    p = null.p_values(["C2"] * len(fresh), fresh)
    assert np.quantile(p, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.05)
    report = calibrated_report(planted.V, "D8", replicates=[planted.V])
    symmetric = report.stabiliser != "C1"
    assert report.p_value[symmetric].max() < 0.05
    assert (report.p_value[~symmetric] == 1).all()


@pytest.mark.parametrize("amount", [0.0, 0.3, 0.6])
def test_noise_does_not_hide_symmetry_that_is_measured_twice(planted, amount):
    one, two = noisy(planted.V, amount, 0), noisy(planted.V, amount, 1)
    report = calibrated_report(one, "D8", replicates=[two])
    right = (report.stabiliser == list(planted.stabilisers)).mean()
    fixed = (symmetry_report(one, "D8", 0.9).stabiliser == list(planted.stabilisers)).mean()
    assert right > 0.9
    assert right >= fixed - 0.02
    assert report.reproducibility.mean() == pytest.approx(1 / (1 + amount**2), abs=0.03)


def test_reproducibility_is_the_cosine_up_to_the_group(planted):
    turned = planted.V[:, planted.group.right(5)]
    again = reproducibility(planted.V, "D8", [turned, turned])
    assert torch.allclose(again, torch.ones_like(again), atol=1e-5)


def test_unrelated_features_lie_beyond_the_cut(chiral):
    cut = unrelated_cut(chiral, "D8", rate=0.05)
    assert 0.1 < cut < 0.9
    other = planted_orbits("D8", 48, {"C1": 12}, samples=1, l0=1, seed=9).V
    near = reproducibility(chiral[:1], "D8", [other[i : i + 1] for i in range(0, 192, 16)])
    assert 1 - float(near) > cut


def test_mistakes_are_named(chiral):
    with pytest.raises(UserError, match="rate 0: expected"):
        SymmetryNull(chiral, "D8", count=100).thresholds(0)
    with pytest.raises(UserError, match="1 features with a norm"):
        null_features(chiral[:1], "D8")
    with pytest.raises(UserError, match="no other dictionary"):
        reproducibility(chiral, "D8", [])
