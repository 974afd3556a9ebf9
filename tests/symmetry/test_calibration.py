"""Null features have the dictionary's spectra and no symmetry; thresholds keep the stated rate."""

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from gc_utils.errors import UserError
from gc_utils.families import cosine_distance, linked, orbit_distance
from gc_utils.groups import group
from gc_utils.planted import planted_orbits
from gc_utils.symmetry import (
    SymmetryNull,
    autocorrelation,
    calibrated_report,
    irrep_spectrum,
    null_features,
    symmetry_report,
    unrelated_cut,
)


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
        named = symmetry_report(fresh, "D8", null.thresholds(rate)).stabiliser
        assert (named != "C1").mean() == pytest.approx(rate, abs=0.025)
        # No kind is favoured: each alone is reached about as often as another.
        each = []
        for kind in ("C2", "D1", "G"):
            where = [  # out of reach for the others
                t if s.name.split("@")[0] == kind else 2.0
                for s, t in zip(
                    group("D8").subgroups(), null.thresholds(rate).tolist(), strict=True
                )
            ]
            named = symmetry_report(fresh, "D8", torch.tensor(where)).stabiliser
            each.append((named != "C1").mean())
        assert 0 < min(each) and max(each) < rate and max(each) - min(each) < 0.4 * rate + 0.01


def test_p_values_are_uniform_without_symmetry_and_small_with_it(planted, chiral):
    null = SymmetryNull(chiral, "D8")
    fresh = null_features(chiral, "D8", 2000, seed=3)
    best = {k: v.numpy() for k, v in null._best(autocorrelation(fresh, "D8")).items()}
    each = [null.p_values([k] * 2000, v) for k, v in best.items() if k != "C1"]
    p = np.min(each, 0)  # of the symmetry that suits a feature best
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
    assert right > 0.95 - amount / 3  # less is beyond chance
    assert right >= fixed - 0.02
    assert report.reproducibility.mean() == pytest.approx(1 / (1 + amount**2), abs=0.03)


def test_a_copy_in_another_dictionary_is_found_whatever_its_turn(planted):
    turned = planted.V[:, planted.group.right(5)]
    report = calibrated_report(planted.V, "D8", replicates=[turned, turned])
    assert np.allclose(report.reproducibility, 1, atol=1e-5)
    # Every feature has the vote of both copies, of their own turned copies, and of its own.
    assert (report.relatives >= 2).all()
    assert (report.confidence > 0.7).all() and report.confidence.mean() > 0.85


def test_siblings_are_relatives_and_singles_have_no_vote(planted):
    report = calibrated_report(planted.V, "D8")
    sizes = planted.family.bincount()[planted.family].numpy()
    assert (report.relatives == sizes - 1).all()
    assert (report.confidence > 0.99).all()  # all agree: singles are believed like the others
    assert report.reproducibility[sizes == 1].isna().all()
    tied = calibrated_report(planted.V, "D8", siblings=False)
    assert (tied.confidence == 0.5).all() and (tied.relatives == 0).all()


@pytest.mark.parametrize("amount", [0.2, 0.5, 0.6])
def test_confidence_falls_with_correctness(planted, amount):
    """Stated and measured agree, from always right to often wrong."""
    copies = [noisy(planted.V, amount, seed) for seed in range(4)]
    report = calibrated_report(copies[0], "D8", replicates=copies[1:])
    right = report.stabiliser == list(planted.stabilisers)
    assert report.confidence.mean() == pytest.approx(right.mean(), abs=0.12)
    if right.mean() < 0.95:
        assert report.confidence[right].mean() > report.confidence[~right].mean() + 0.1


def test_half_noise_is_corrected_for_and_what_it_hides_is_not_believed(planted):
    """Two dictionaries see through it; without a counterpart, less is claimed."""
    copies = [noisy(planted.V, 1.0, seed) for seed in range(2)]
    both = calibrated_report(copies[0], "D8", replicates=copies[1:])
    right = (both.stabiliser == list(planted.stabilisers)).mean()
    assert right > 0.9 and both.confidence.mean() == pytest.approx(right, abs=0.05)
    assert both.corrected_rho.notna().mean() > 0.95
    one = calibrated_report(copies[0], "D8")
    right = (one.stabiliser == list(planted.stabilisers)).mean()
    assert right < 0.6 and one.corrected_rho.isna().all() and one.rho_180.isna().all()


def test_a_name_does_not_depend_on_the_noise_of_training(planted):
    """Templates with a chiral part of 15 % of their power, learned well and badly."""
    chiral = planted_orbits("D8", 48, {"C1": 100}, samples=1, l0=1, seed=5).V[:: group("D8").order]
    some = (planted.V[planted.family >= 6])[:100]
    V = 0.85**0.5 * some + 0.15**0.5 * chiral[: len(some)]
    names, raw = [], []
    for amount in (0.3, 0.85):
        copies = [noisy(V, amount, int(100 * amount) + seed) for seed in range(2)]
        report = calibrated_report(copies[0], "D8", replicates=copies[1:])
        names.append(report.stabiliser)
        raw.append(symmetry_report(copies[0], "D8", 0.7).stabiliser)
        found = report[report.corrected_rho.notna()]
        assert (found.corrected_low <= found.corrected_rho).all() and len(found) > 80
    assert (names[0] == names[1]).mean() > 0.6 > 0.1 > (raw[0] == raw[1]).mean()


def test_the_half_turn_has_columns_of_its_own(planted):
    report = calibrated_report(
        noisy(planted.V, 0.5, 0), "D8", replicates=[noisy(planted.V, 0.5, 1)]
    )
    twofold = report[np.isin(planted.stabilisers, ["C2", "C4", "G"])]
    assert (twofold.rho_180 > 0.9).all() and (twofold.rho_180_high >= twofold.rho_180).all()
    assert report.rho_180.corr(report.period_degrees) < -0.5
    odd = planted_orbits("C3", 8, {"C1": 12}, samples=1, l0=1, seed=0).V
    assert calibrated_report(odd, "C3", replicates=[odd]).rho_180.isna().all()


def test_unrelated_features_lie_beyond_the_cut(chiral):
    cut = unrelated_cut(chiral, "D8", rate=0.05)
    assert 0.1 < cut < 0.9
    other = planted_orbits("D8", 48, {"C1": 12}, samples=1, l0=1, seed=9).V
    near = orbit_distance(chiral[:1], "D8", other=other)
    assert float(near.median()) > cut


def vectors(families, members, channels=40, noise=0.4, seed=0):
    """Unit vectors in families, of channels that are used unequally, as a dictionary's are."""
    draw = torch.Generator().manual_seed(seed)
    scale = torch.linspace(0.2, 1, channels)
    centres = scale * torch.randn(families, 1, channels, generator=draw)
    centres = centres / centres.norm(dim=2, keepdim=True)
    spread = scale * torch.randn(families, members, channels, generator=draw)
    V = centres + noise * spread / spread.norm(dim=2, keepdim=True)
    return (V / V.norm(dim=2, keepdim=True)).flatten(0, 1)[:, None]


@pytest.mark.parametrize("members", [2, 10])
def test_an_autoencoders_families_are_found_at_its_own_cut(members):
    """However large families are: the cut is no quantile of the dictionary's own distances."""
    V = vectors(60 // members * 2, members)
    D = cosine_distance(V)
    cut = unrelated_cut(V, "C1", cosine=True)
    assert cut == unrelated_cut(V, "C1"), "of one view both distances are the same"
    of = torch.arange(len(V)) // members
    same = (of[:, None] == of[None]) & ~torch.eye(len(V), dtype=torch.bool)
    assert (D[same] < cut).float().mean() > 0.95
    assert (D[of[:, None] != of[None]] < cut).float().mean() < 0.03
    found = linked(D, cut)
    assert adjusted_rand_score(of, found.labels) > 0.9


def test_a_null_vector_has_the_dictionarys_mean_and_spectrum_and_no_parts_in_common():
    V = vectors(1, 300, noise=3.0)
    null = null_features(V, "C1", 4000, seed=1)[:, 0]
    torch.testing.assert_close(null.mean(0), V[:, 0].mean(0), atol=0.02, rtol=0)
    spectra = [torch.linalg.svdvals(W) / len(W) ** 0.5 for W in (null, V[:, 0])]
    torch.testing.assert_close(*spectra, atol=0.03, rtol=0)
    assert cosine_distance(torch.cat([null[:50, None], V]))[:50, 50:].min() > 0.05


def test_the_cut_of_the_plain_cosine_is_nearer_to_unrelated_than_that_of_the_maximum(chiral):
    near, plain = (unrelated_cut(chiral, "D8", cosine=cosine) for cosine in (False, True))
    assert near < plain < 1
    turned = chiral[:, group("D8").right(3)]
    V = torch.cat([chiral, turned])
    D = cosine_distance(V)
    own = D[: len(chiral), len(chiral) :].diagonal()  # each feature and itself, rotated
    assert unrelated_cut(V, "D8", cosine=True) < float(own.median())


def test_mistakes_are_named(chiral):
    with pytest.raises(UserError, match="rate 0: expected"):
        SymmetryNull(chiral, "D8", count=100).thresholds(0)
    with pytest.raises(UserError, match="no feature has a norm"):
        null_features(0 * chiral, "D8")


def test_a_dictionary_of_one_feature_has_a_null_of_its_own_parts():
    V = torch.randn(1, 8, 6, generator=torch.Generator().manual_seed(0))
    null = null_features(V, "D4", count=50)
    assert null.isfinite().all() and float(null.flatten(1).std(0).mean()) > 0
    assert unrelated_cut(V, "D4") == 0.0, "it has no pairs"
    with pytest.raises(UserError, match="no feature has a norm"):
        null_features(torch.zeros(2, 8, 6), "D4")
