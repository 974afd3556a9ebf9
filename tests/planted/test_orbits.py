"""The planted truth is what it says, and the scores say what was found of it."""

import numpy as np
import pytest
import torch

from gc_utils.activations import ActivationStore
from gc_utils.errors import UserError
from gc_utils.groups import group
from gc_utils.inspection import stimuli_for
from gc_utils.planted import planted_orbits
from gc_utils.planted.orbits import NEARLY, no_orbits, shuffled_blocks, single_blocks, write_store
from gc_utils.planted.recovery import (
    axis_error,
    coherence,
    cosines,
    oracle_fvu,
    recovery,
    reliability,
)
from gc_utils.statistics import calibration_error, interval
from gc_utils.symmetry import autocorrelation, symmetry_report


@pytest.fixture(scope="module")
def truth():
    return planted_orbits("D8", channels=32, families=2, samples=3000, l0=5, seed=1)


@pytest.mark.parametrize("name", ["C1", "C6", "D4", "D6", "D16"])
def test_every_feature_has_the_stabiliser_stated(name):
    made = planted_orbits(name, channels=48, families=2, samples=1, l0=1, seed=3)
    found = symmetry_report(made.V, made.group, 0.95)
    assert list(found.stabiliser) == list(made.stabilisers)
    np.testing.assert_allclose(found.axis_degrees, made.axes.numpy())
    assert torch.allclose(made.V.flatten(1).norm(dim=1), torch.tensor(made.group.order**0.5))


@pytest.mark.parametrize("name", ["C5", "D3", "D4", "D12"])
def test_any_subgroup_can_be_planted(name):
    g = group(name)
    for subgroup in g.subgroups():
        made = planted_orbits(g, 64, {subgroup.name: 1}, samples=1, l0=1, seed=0)
        assert len(made.V) == g.order // subgroup.order
        assert subgroup.name in made.stabilisers


def test_features_are_all_translates_and_no_two_are_the_same(truth):
    g = truth.group
    rho = autocorrelation(truth.templates, g)
    for k, kind in enumerate(truth.kinds):
        own = truth.V[truth.family == k]
        translates = truth.templates[k][g.table.T]  # (h, g, C)
        near = cosines(translates, own)
        assert torch.allclose(near.amax(1), torch.ones(g.order), atol=1e-5), kind
        alike = cosines(own, own).fill_diagonal_(0)
        assert len(own) == 1 or alike.max() <= NEARLY + 1e-5
        assert int((rho[k] > 0.95).sum()) == g.order // len(own)


def test_orbits_are_sparse_sums_with_the_noise_asked_for():
    quiet = planted_orbits("C4", 16, {"C1": 4}, samples=4000, l0=3, noise=0, seed=5)
    assert torch.allclose(quiet.A, (quiet.codes @ quiet.V.flatten(1)).view_as(quiet.A), atol=1e-5)
    assert float((quiet.codes > 0).float().sum(1).mean()) == pytest.approx(3, rel=0.05)
    on = quiet.codes[quiet.codes > 0]
    assert 0.5 <= on.min() and on.max() <= 1.5
    loud = planted_orbits("C4", 16, {"C1": 4}, samples=4000, l0=3, noise=0.25, seed=5)
    assert torch.equal(loud.V, quiet.V) and torch.equal(loud.codes, quiet.codes)
    assert oracle_fvu(loud) == pytest.approx(0.2, rel=0.03)
    assert loud.noise == pytest.approx(0.2)
    assert oracle_fvu(quiet) < 1e-10


def test_smooth_in_the_angle(truth):
    # Frequencies 0 to 4 of a possible 4: nothing to see; on D16 those above 4 are empty.
    made = planted_orbits("D16", 32, {"C1": 3, "D1": 2, "C4": 2}, samples=1, l0=1, seed=0)
    turns = torch.fft.rfft(made.templates[:, :16], dim=1).abs()
    assert float(turns[:, 5:].max()) < 1e-4 * float(turns.max())


def test_correlation_makes_features_fire_together():
    def excess(correlation):
        made = planted_orbits(
            "C4", 16, {"C1": 8}, samples=20_000, l0=3, correlation=correlation, seed=2
        )
        on = (made.codes > 0).float()
        assert float(on.sum(1).mean()) == pytest.approx(3, rel=0.1)
        first, last = on[:, 0], on[:, 4 * 7]  # other families, the same turn
        return float((first * last).mean() / (first.mean() * last.mean()))

    assert excess(0.0) < 1.5
    assert excess(0.6) > 2.5


def test_broken_equivariance_moves_features_by_the_amount_asked_for():
    exact, broken = (
        planted_orbits("D8", 32, {"C2": 2}, samples=1, l0=1, break_equivariance=b, seed=4)
        for b in (0.0, 0.3)
    )
    assert exact.stabilisers == broken.stabilisers
    near = cosines(broken.V, broken.V[:1])[broken.family == 0]
    turned = cosines(exact.V, exact.V[:1])[exact.family == 0]
    assert not torch.allclose(near, turned, atol=0.01)
    rho = autocorrelation(broken.V, broken.group)[:, 4]  # half a turn
    assert torch.all(rho < 0.99) and torch.all(rho > 0.8)


def test_the_dictionary_can_stay_while_samples_change():
    one = planted_orbits("C4", 8, 2, samples=5, l0=2, seed=0, dictionary_seed=7)
    two = planted_orbits("C4", 8, 2, samples=5, l0=2, seed=1, dictionary_seed=7)
    assert torch.equal(one.V, two.V) and not torch.equal(one.codes, two.codes)


# Data that are less tidy


def test_settings_that_are_not_used_change_nothing():
    plain = planted_orbits("D4", 8, 2, samples=50, l0=2, correlation=0.5, seed=1)
    # As it was before there were these settings.
    assert plain.V[5, 3, :3].tolist() == pytest.approx([0.0266226, -0.5042394, 0.3141280], abs=1e-6)
    assert plain.codes[:3].nonzero().tolist() == [[0, 30], [1, 13], [2, 27], [2, 31]]
    assert float(plain.codes.sum()) == pytest.approx(96.258873, abs=1e-4)
    assert plain.A[2, 1, :3].tolist() == pytest.approx(
        [-0.3370387, -0.1067739, 0.0737396], abs=1e-5
    )
    assert plain.stabilisers[16:20] == ("D1@0", "D1@90", "D1@0", "D1@90")
    off = {"family_correlation": 0, "norm_spread": 0, "tail": 0, "orientations": 1}
    same = planted_orbits(
        "D4", 8, 2, samples=50, l0=2, correlation=0.5, seed=1, chiral_power=0, **off
    )
    assert all(torch.equal(getattr(plain, x), getattr(same, x)) for x in ("V", "codes", "A"))
    assert plain.symmetric_parts == plain.stabilisers
    assert not len(plain.absent) and not plain.absent_stabilisers


def untidy(**settings):
    return planted_orbits("D8", 32, {"C1": 2, "D1": 2, "C2": 2}, samples=4000, l0=4, **settings)


def test_families_differ_in_norm_and_their_features_do_not():
    even, uneven = untidy(), untidy(norm_spread=0.5)
    norms = uneven.V.flatten(1).norm(dim=1) / 4
    assert torch.allclose(even.V * norms[:, None, None], uneven.V, atol=1e-5)
    of_family = [norms[uneven.family == k] for k in range(6)]
    assert all(float(x.max() - x.min()) < 1e-5 for x in of_family)
    assert len({round(float(x[0]), 3) for x in of_family}) == 6
    many = planted_orbits("C1", 4, {"C1": 4000}, samples=1, l0=1, norm_spread=0.5)
    norms = many.V.flatten(1).norm(dim=1)
    assert float(norms.square().mean()) == pytest.approx(1, rel=0.1)
    assert float(norms.log().std()) == pytest.approx(0.5, rel=0.05)


def test_heavy_tails_keep_the_mean_and_what_is_on():
    even, heavy = untidy(), untidy(tail=1.0)
    assert torch.equal(even.codes > 0, heavy.codes > 0)
    on = heavy.codes[heavy.codes > 0]
    assert float(on.mean()) == pytest.approx(1.0, rel=0.05)
    assert float(on.log().std()) == pytest.approx(1.0, rel=0.05) and float(on.max()) > 5


def test_features_of_a_family_fire_together():
    def excess(share):
        planted = untidy(family_correlation=share)
        on = (planted.codes > 0).float()
        assert float(on.sum(1).mean()) == pytest.approx(4, rel=0.15)
        ratio = (on.T @ on) / len(on) / (on.mean(0)[:, None] * on.mean(0))
        same = planted.family[:, None] == planted.family
        return float(ratio[same.fill_diagonal_(False)].mean()), float(ratio[~same].mean())

    assert max(excess(0.0)) < 1.3
    inside, outside = excess(0.7)
    assert inside > 4 and outside < 1.5


def test_of_incomplete_orbits_the_others_are_absent():
    whole, half = untidy(), untidy(orientations=0.5)
    assert len(half.V) == len(half.absent) == len(whole.V) // 2
    together = torch.cat([half.V, half.absent])
    index = cosines(whole.V, together).argmax(1)
    assert sorted(index.tolist()) == list(range(len(whole.V)))
    assert torch.allclose(together[index], whole.V, atol=1e-6)
    names = half.stabilisers + half.absent_stabilisers
    assert [names[i] for i in index] == list(whole.stabilisers)
    few = planted_orbits("D4", 16, {"C1": 1, "G": 2}, samples=1, l0=1, orientations=0.1)
    assert few.family.tolist() == [0, 1, 2]


def test_a_chiral_part_takes_the_name_and_leaves_it_to_the_symmetric_part():
    g = group("D8")
    planted = untidy(chiral_power=0.15)
    assert len(planted.V) == 6 * g.order and set(planted.stabilisers) == {"C1"}
    assert planted.kinds == ("C1", "C1", "D1", "D1", "C2", "C2")
    rho = autocorrelation(planted.V, g)
    by_name = {s.name: s for s in g.subgroups()}
    for i, part in enumerate(planted.symmetric_parts):
        inside = [e for e in by_name[part].elements if e]
        assert torch.allclose(rho[i, inside], torch.tensor(0.7, dtype=rho.dtype), atol=1e-4)
        assert part.split("@")[0] == planted.kinds[planted.family[i]]
    # What hardly changes keeps the name, but the translates are two.
    nearly = untidy(chiral_power=0.02)
    assert nearly.stabilisers == nearly.symmetric_parts and len(nearly.V) == len(planted.V)
    # The symmetric part is what the two have in common.
    V, part = planted.V[2 * g.order :], planted.symmetric_parts[2 * g.order :]
    inside = [list(by_name[p].elements) for p in part]
    merged = torch.stack([v[g.table[:, e]].mean(1) for v, e in zip(V, inside, strict=True)])
    power = merged.square().sum((1, 2)) / V.square().sum((1, 2))
    assert torch.allclose(power, torch.tensor(0.85), atol=1e-4)
    assert list(symmetry_report(merged, g, 0.95).stabiliser) == list(part)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"families": {"D3": 1}}, "D8 has no stabiliser 'D3'; it has C1, C2, C4, C8, D1"),
        ({"families": {}}, "no families"),
        ({"families": {"C1": -1}}, "-1 families"),
        ({"group": "Q8"}, "unknown group 'Q8'"),
        ({"channels": 0}, "channels = 0"),
        ({"l0": 0}, "l0 = 0 active features"),
        ({"noise": -1}, "noise = -1"),
        ({"correlation": 1}, "correlation = 1"),
        ({"correlation": 0.5, "family_correlation": 0.5}, "correlation \\+ family_correlation = 1"),
        ({"norm_spread": -1}, "norm_spread = -1"),
        ({"tail": float("nan")}, "tail = nan"),
        ({"orientations": 0}, "orientations = 0"),
        ({"chiral_power": 1}, "chiral_power = 1"),
        ({"amplitudes": (0, 1)}, "amplitudes"),
    ],
)
def test_mistakes_are_named(given, message):
    with pytest.raises(UserError, match=message):
        planted_orbits(**({"group": "D8", "samples": 3, "l0": 1} | given))


def test_controls_have_no_symmetry_to_find(truth):
    dense = no_orbits(truth)

    def covariance(A):
        return torch.cov((A[:, :4] - A[:, :4].mean(0)).flatten(1).T)

    apart = (covariance(dense.A) - covariance(truth.A)).norm() / covariance(truth.A).norm()
    assert apart < 0.25  # as far as 3,000 samples go
    kurtosis = [float(((x - x.mean()) / x.std()).pow(4).mean()) for x in (truth.A, dense.A)]
    assert kurtosis[0] > 3.5 > kurtosis[1]

    shuffled = shuffled_blocks(truth)
    assert set(symmetry_report(shuffled.V, truth.group, 0.9).stabiliser) <= {"C1", "G"}
    single = single_blocks(truth)
    assert int((single.V.norm(dim=2) > 0).sum()) == len(single.V)


def test_a_store_holds_the_orbits_and_the_templates(tmp_path, truth):
    store = write_store(tmp_path / "a.zarr", truth)
    assert ActivationStore.open(tmp_path / "a.zarr").model() is None
    assert torch.allclose(store.read().float(), truth.A, atol=2e-3)
    assert store.group == truth.group and set(store.fold) == {0, 1, 2, 3}
    stimuli = stimuli_for(store, None)
    assert torch.equal(stimuli.A, truth.templates)
    assert list(stimuli.table.kind[:: truth.group.order]) == list(truth.kinds)
    with pytest.raises(UserError, match="there already"):
        write_store(tmp_path / "a.zarr", truth)


# Scores


def test_the_truth_scores_full_marks_in_any_order_and_turn(truth):
    order = torch.randperm(len(truth.V), generator=torch.Generator().manual_seed(0))
    found = recovery(truth, 3 * truth.V[order], codes=truth.codes[:, order])
    scores = found.scalars()
    assert scores.pop("axis_error") == 0
    assert scores.pop("symmetric") == np.mean([s != "C1" for s in truth.stabilisers])
    assert all(value > 0.999 for value in scores.values()), scores
    assert set(found.by_kind) == set(truth.kinds)


def test_scores_fall_with_what_is_missing(truth):
    half = len(truth.V) // 2
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(truth.V.shape, generator=draw)
    learned = torch.cat([truth.V[:half], noise[half:]])
    found = recovery(truth, learned)
    assert found.recall == pytest.approx(half / len(truth.V), abs=0.05)
    assert found.precision == pytest.approx(half / len(truth.V), abs=0.05)
    assert found.cosine_one_to_one < found.cosine_max < 0.85
    twice = recovery(truth, torch.cat([truth.V, truth.V]))
    assert twice.cosine_one_to_one > 0.999 and twice.precision == 1
    dead = recovery(truth, learned, used=torch.arange(len(learned)) < half)
    assert dead.precision == 1 and dead.recall == found.recall


def test_families_and_stabilisers_are_judged(truth):
    own = recovery(truth, truth.V, families=truth.family.numpy())
    assert own.ari == own.nmi == 1
    mixed = recovery(truth, truth.V, families=np.arange(len(truth.V)) % 5)
    assert mixed.ari < 0.1 and mixed.template < 0.5  # five families for twelve
    assert own.stabiliser_exact == own.stabiliser_kind == 1 and np.isnan(own.confidence)
    blind = recovery(truth, truth.V[:, truth.group.right(1)].roll(1, 0))
    assert len(blind.learned) == len(truth.V) and blind.learned.right.mean() > 0.9


def test_found_and_named_is_of_all_that_was_planted(truth):
    known = torch.tensor([s != "C1" for s in truth.stabilisers])
    found = recovery(truth, truth.V[~known])  # those without symmetry only
    share = pytest.approx(float((~known).float().mean()))
    assert found.recall == share and found.found_and_named == share
    assert found.stabiliser_exact == 1
    # Mirrored and merged with its mirror image, a chiral feature is still found, but has a name.
    g = truth.group
    near = [1.0 * v + 0.6 * v[g.right(g.n)] for v in truth.V[~known]]
    merged = recovery(truth, torch.stack(near))
    named = merged.nearest[merged.nearest.cosine >= 0.9]
    wrong = int((named.named != named.stabiliser).sum())
    assert merged.found_and_named == pytest.approx(merged.recall - wrong / len(truth.V))


def test_orientations_that_were_not_planted_are_no_mistake():
    half = planted_orbits("D8", 32, {"C1": 2, "D1": 3}, samples=1, l0=1, orientations=0.5, seed=2)
    found = recovery(half, torch.cat([half.V, half.absent]))
    assert found.recall == found.precision == found.found_and_named == 1
    assert found.learned.right.all()


def test_axis_error_is_the_angle_between_nearest_mirrors():
    g = group("D8")
    assert axis_error(g, "D1@0", "D1@22.5") == 22.5
    assert axis_error(g, "D1@0", "D1@157.5") == 22.5
    assert axis_error(g, "D2@0", "D1@90") == 0
    assert np.isnan(axis_error(g, "D1@0", "C2"))


def test_subspaces_hold_what_they_span(truth):
    pairs = torch.stack([truth.V[:10], truth.V[10:20]], 1)  # (10, 2, |G|, C)
    near = cosines(truth.V[:20], pairs)
    assert torch.allclose(near.amax(1), torch.ones(20), atol=1e-5)
    assert near.shape == (20, 10)


def test_coherence_tells_one_view_from_all():
    W = torch.zeros(2, 8, 3)
    W[0, :, 0], W[1, 2, 0] = 1.0, 1.0
    A, codes = torch.ones(5, 8, 3), torch.ones(5, 2)
    assert torch.allclose(coherence(W, A, codes), torch.tensor([1.0, 1 / 8]))


def test_intervals_hold_the_mean_and_narrow_with_agreement():
    low, high = interval([0.9, 0.92, 0.88, 0.91, 0.9])
    assert low < 0.902 < high and high - low < 0.05
    assert interval([0.5]) == (0.5, 0.5)
    assert all(np.isnan(interval([np.nan])))


def test_reliability_is_the_share_that_is_right():
    rng = np.random.default_rng(0)
    stated = rng.uniform(0, 1, 4000)
    honest = reliability(stated, rng.uniform(0, 1, 4000) < stated)
    assert honest["count"].sum() == 4000 and calibration_error(honest) < 0.03
    assert ((honest.low < honest.stated) & (honest.stated < honest.high)).mean() >= 0.8
    boasting = reliability(np.full(100, 0.95), np.arange(100) < 40)
    assert calibration_error(boasting) == pytest.approx(0.55)
    assert len(reliability([np.nan, 1.0], [True, True])) == 1
