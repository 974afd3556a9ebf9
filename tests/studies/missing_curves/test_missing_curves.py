from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from gc_utils.activations.positions import Positions
from gc_utils.crosscoder import GroupCrosscoder, evaluate
from gc_utils.errors import UserError
from gc_utils.families import CURVE_ORIENTATIONS
from gc_utils.groups import group
from gc_utils.inspection import rotated_basis
from gc_utils.models import FilterBank
from gc_utils.studies import missing_curves as mc
from gc_utils.studies.missing_curves import baselines
from gc_utils.studies.missing_curves.layers import LayerStudy
from gc_utils.studies.missing_curves.radial_tuning import codes

ANGLES = np.arange(36) * 10.0


def bump(at, width=20.0, height=1.0):
    """Responses over the angle, a von Mises bump."""
    kappa = 1 / np.deg2rad(width) ** 2
    return height * np.exp(kappa * (np.cos(np.deg2rad(ANGLES - at)) - 1))


def arcs(*curves, shapes=3):
    """Responses to arcs, the same for every shape, and the table of the arcs."""
    table = pd.DataFrame(
        {
            "kind": "curve",
            "shape": np.repeat(np.arange(shapes), 36),
            "orientation": np.tile(ANGLES, shapes),
            "curvature": np.repeat([1.0, 2.0, 4.0][:shapes], 36),
        }
    )
    return torch.from_numpy(np.tile(np.stack(curves, 1), (shapes, 1))), table


def test_tuning_finds_orientation_width_echo_and_peaks():
    tuning = mc.radial_tuning(*arcs(bump(123.0), bump(350) + 0.5 * bump(170), 0 * bump(0)))
    one, two, silent = (tuning.table.loc[u] for u in range(3))
    assert one.preferred == pytest.approx(123, abs=1) and one.peaks == 1
    assert one.low <= 123.5 and one.high >= 122.5
    # Half height of exp(κ (cos θ - 1)): cos θ = 1 - ln 2 / κ.
    half = np.rad2deg(np.arccos(1 - np.log(2) * np.deg2rad(20) ** 2))
    assert one.width == pytest.approx(2 * half, abs=2)
    assert one.echo < 0.01 and two.echo == pytest.approx(0.5, abs=0.02)
    assert two.peaks == 2 and two.second == 170 and two.preferred == pytest.approx(350, abs=1)
    assert silent.peaks == 0 and np.isnan(silent.preferred) and np.isnan(silent.echo)
    assert tuning.curves.shape == (3, 36)


def test_tuning_rotates_with_the_unit():
    at = [5.0, 95.0, 185.0, 359.0]
    tuning = mc.radial_tuning(*arcs(*map(bump, at)))
    off = (tuning.table.preferred - at + 180) % 360 - 180
    assert off.abs().max() < 1 and np.ptp(tuning.table.width) < 1


def test_the_interval_is_wide_where_shapes_disagree():
    responses, table = arcs(bump(100), bump(100))
    responses[36:72, 1] = torch.from_numpy(bump(130))
    tuning = mc.radial_tuning(responses, table)
    span = tuning.table.high - tuning.table.low
    assert span[0] < 1 and span[1] > 15


def test_the_interval_is_sure_of_a_unit_that_cares_for_one_shape():
    responses, table = arcs(bump(200))
    responses[torch.tensor((table["shape"] != table["shape"].max()).to_numpy())] = 0
    found = mc.radial_tuning(responses, table).table.loc[0]
    assert found.preferred == pytest.approx(200, abs=1)
    assert found.low == pytest.approx(found.high, abs=1e-6)


def test_preferred_curvature_is_that_of_the_shapes_it_responds_to():
    responses, table = arcs(bump(0), bump(0))
    responses[:72, 0] *= 0.1  # only the third shape
    tuning = mc.radial_tuning(responses, table).table
    assert tuning.curvature[0] == pytest.approx(4.0)
    assert tuning.curvature[1] == pytest.approx(7 / 3, abs=0.01)
    assert tuning.curvature_low[1] <= 7 / 3 <= tuning.curvature_high[1]


def test_tuning_needs_arcs_at_the_same_orientations():
    responses, table = arcs(bump(0))
    with pytest.raises(UserError, match="same orientations"):
        mc.radial_tuning(responses[1:], table.iloc[1:])
    with pytest.raises(UserError, match="no curve"):
        mc.radial_tuning(responses, table.assign(kind="line"))


def test_the_bank_of_drawings_names_units_by_what_they_respond_to():
    drawings = mc.curve_bank(31, 12)
    table = drawings.table
    assert len(table) == len(drawings.images) and table.sweep.any()
    assert table.groupby("shape").kind.nunique().max() == 1
    responses = torch.zeros(len(table), 3)
    responses[torch.tensor((table.kind == "curve").to_numpy()), 0] = 1.0
    responses[(table.kind == "line").to_numpy(), 1] = 1.0
    responses[:, 2] = 1.0
    assert mc.name_units(responses, table).label.tolist() == ["curve", "line", "other"]


def test_coverage_of_the_circle():
    even = mc.coverage(np.arange(16) * 22.5)
    assert even["gap"] == pytest.approx(22.5) and even["entropy"] == pytest.approx(1.0)
    half = mc.coverage([350, 10, 30, np.nan])
    assert half["gap"] == pytest.approx(320) and half["count"] == 3
    assert mc.coverage([])["gap"] == 360 and mc.coverage([40])["gap"] == 360


def test_gaps_and_what_fills_them():
    gaps = mc.gaps([350, 10, 100])
    assert gaps == [(10, 100), (100, 350)]
    assert mc.filled(gaps, [55.0]) == [True, False]
    assert mc.filled(gaps, [15.0, 345.0]) == [False, False]  # too near the ends
    assert mc.filled([(300.0, 400.0)], [10.0]) == [True]
    assert mc.gaps([]) == [(0.0, 360.0)]


def test_gaps_are_filled_by_chance_as_often_as_they_are_wide():
    filled = mc.chance_of_filling([(0.0, 110.0), (200.0, 240.0)], 1, draws=20_000)
    assert filled.mean() == pytest.approx((90 + 20) / 360, abs=0.01) and filled.max() == 1
    assert mc.chance_of_filling([(0.0, 110.0)], 200, draws=20).all()


def test_orientations_are_drawn_again_within_their_intervals():
    table = pd.DataFrame({"preferred": [10.0, 350.0], "low": [10.0, 330.4], "high": [10.0, 369.6]})
    drawn = np.array(mc.remeasured(table, 4000))
    assert (drawn[:, 0] == 10).all()
    off = (drawn[:, 1] - 350 + 180) % 360 - 180
    assert off.std() == pytest.approx(10, abs=0.5) and abs(off.mean()) < 1


def test_a_rotated_basis_is_orthogonal():
    Q = rotated_basis(12, seed=3)
    assert torch.allclose(Q @ Q.T, torch.eye(12), atol=1e-5)


def sae(V):
    """A sparse autoencoder that reads along its decoder."""
    coder = GroupCrosscoder("C1", V.shape[1], len(V), k=1)
    with torch.no_grad():
        coder.V.copy_(V[:, None])
        coder.W_enc.copy_(V[:, None])
        coder.threshold.zero_()
    return coder


def test_the_neuron_of_a_feature():
    coder = sae(torch.tensor([[0.0, 2.0, 0.0], [1.0, 1.0, 1.0]]))
    A = torch.rand(200, 3, generator=torch.Generator().manual_seed(0))
    match = mc.neuron_match(coder.V.detach()[:, 0], A, torch.stack([A[:, 1], A.mean(1)], 1))
    assert match.neuron[0] == match.correlated[0] == 1
    assert match.cosine[0] == pytest.approx(1) and match.correlation[0] == pytest.approx(1)
    assert match.cosine[1] == pytest.approx(3**-0.5) and match.correlation[1] < 0.8


def test_a_neuron_is_split_only_by_features_with_one_peak_each():
    coder = sae(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    both = bump(40) + 0.9 * bump(200)
    responses, table = arcs(both, both)
    neurons = mc.radial_tuning(responses, table)
    parted, _ = arcs(bump(40), 0.9 * bump(200), both)
    features = mc.radial_tuning(parted, table)
    found = mc.split_doubles(
        coder.V.detach()[:, 0], parted.float(), neurons, features, table, [0, 1]
    )
    assert found.split.tolist() == [True, False]  # neuron 1 is written to by one feature, twice
    assert (found.feature1[0], found.feature2[0]) == (0, 1)
    assert found.preferred2[0] == pytest.approx(200, abs=1)


def test_directions_that_depend_on_each_other_span_no_more():
    ring = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    one = torch.randn(1, 6, generator=torch.Generator().manual_seed(1))
    assert mc.ring_share(ring, torch.cat([one, one])) == pytest.approx(mc.ring_share(ring, one))
    assert mc.ring_share(ring, torch.eye(6)) == pytest.approx(1)


def test_dimensions_and_the_share_of_a_ring():
    theta = torch.deg2rad(torch.arange(0, 360, 10, dtype=torch.float64))
    circle = torch.stack([theta.cos(), theta.sin(), 0 * theta, 0 * theta], 1)
    assert mc.dimensions(circle)[0] == 2
    assert mc.dimensions(circle)[1] == pytest.approx(2)
    axes = torch.eye(4)
    assert mc.ring_share(circle, axes[:1]) == pytest.approx(0.5)
    assert mc.ring_share(circle, axes[:2]) == pytest.approx(1)
    assert mc.ring_share(circle, axes[2:]) == pytest.approx(0)


def test_rotated_features_of_a_family_agree_with_their_orientations():
    G = group("D8")
    template = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
    moves = [0, 3, 9]  # identity, a rotation, a mirror
    V = torch.stack([template[G.table[:, h]] for h in moves])
    start = 30.0
    at = [start, start + 135, 180 - start + 45]
    pairs = mc.family_rotations(V, G, [0, 0, 0], at)
    assert len(pairs) == 3 and pairs.off.max() < 1e-6
    assert mc.family_rotations(V, G, [0, 0, 0], [at[0], at[1] + 40, at[2]]).off.max() > 30
    assert len(mc.family_rotations(V, G, [-1, 0, -1], at)) == 0


def test_the_published_orientations_are_recognised():
    units = 480
    curves = np.zeros((units, 36))
    preferred = np.full(units, np.nan)
    preferred[list(CURVE_ORIENTATIONS)] = np.array(list(CURVE_ORIENTATIONS.values())) + 5
    table = pd.DataFrame({"preferred": preferred, "width": 40.0})
    found, said = mc.published_check(mc.RadialTuning(ANGLES, curves, table))
    assert said["median off"] == pytest.approx(5) and said["p"] < 0.01
    assert found.off.abs().max() == pytest.approx(5)
    table["preferred"] = np.random.default_rng(0).uniform(0, 360, units)
    assert mc.published_check(mc.RadialTuning(ANGLES, curves, table))[1]["p"] > 0.01


@pytest.fixture(scope="module")
def bank():
    return FilterBank("C16")


def test_a_hidden_bank_hides_what_it_says(bank):
    hidden = mc.hidden_bank(bank, seed=5)
    control = mc.hidden_bank(bank, superposed=False, seed=5)
    assert hidden.missing == control.missing and hidden.pairs == control.pairs
    assert len(hidden.missing) == 3 and len({i for p in hidden.pairs for i in p}) == 6
    gone = {*hidden.missing, *(b for _, b in hidden.pairs)}
    assert hidden.mix.shape == (len(bank.kinds) - len(gone), len(bank.kinds))
    for i in hidden.missing:
        assert hidden.mix[:, i].norm() == pytest.approx(1) and (hidden.mix[:, i] > 0).sum() == 8
        assert (control.mix[:, i] == 0).all()
    for a, b in hidden.pairs:  # one unit reads both
        assert ((hidden.mix[:, a] >= 1) & (hidden.mix[:, b] >= 1)).sum() == 1
    with pytest.raises(UserError, match="too few"):
        mc.hidden_bank(FilterBank("C4"))


def test_pictures_of_the_bank_hold_a_pattern_at_every_place(bank):
    z = mc.bank_responses(bank, 400, places=1, noise=0.0)
    strongest = z.argmax(1)
    assert len(strongest.unique()) > 60  # of 72
    assert float(z.max()) <= 1.001 and torch.equal(
        z, mc.bank_responses(bank, 400, places=1, noise=0)
    )


@pytest.mark.slow
def test_hidden_orientations_are_found_and_only_if_they_are_there(bank):
    z = mc.bank_responses(bank, 20_000, seed=0)
    there = mc.hidden_trial(mc.hidden_bank(bank, seed=0), z)
    control = mc.hidden_trial(mc.hidden_bank(bank, superposed=False, seed=0), z)
    assert all(there["found"]) and not any(there["units_found"]) and all(there["split"])
    assert not any(control["found"]) and not any(control["units_found"])
    assert there["fvu"] < 0.1


@pytest.mark.slow
def test_trials_in_worker_processes_are_those_of_this_process():
    threads = torch.get_num_threads()
    alone = mc.hidden_trials([3], workers=1, progress=False)
    assert torch.get_num_threads() == threads
    several = mc.hidden_trials([3, 4], workers=2, progress=False)
    assert [(r["seed"], r["superposed"]) for r in several] == [
        (3, True),
        (3, False),
        (4, True),
        (4, False),
    ]
    for one, other in zip(alone, several, strict=False):
        assert one["found"] == other["found"] and one["split"] == other["split"]
        assert one["fvu"] == pytest.approx(other["fvu"], abs=1e-6)


def test_trials_are_counted_by_whether_curves_are_there():
    results = [
        {
            "seed": 3,
            "superposed": there,
            "found": [there, there, False],
            "units_found": [False] * 3,
            "split": [True, there],
            "fvu": 0.1,
        }
        for there in (True, False)
    ]
    table = mc.trial_table(results)
    assert table["missing curves are"].tolist() == ["superposed", "left out (control)"]
    assert table["found by features"].tolist() == [2, 0] and table["of"].tolist() == [3, 3]
    assert table["pairs split"].tolist() == [2, 1] and table["pairs"].tolist() == [2, 2]


def test_orientations_with_and_without_a_unit(bank):
    own, missing = mc.bright_orientations(mc.hidden_bank(bank, seed=2))
    assert len(own) == 13 and len(missing) == 3 and not set(own) & set(missing)


def test_chance_is_compared_with_what_was_measured():
    def tuned(angles):
        angles = np.asarray(angles, dtype=float)
        return pd.DataFrame({"preferred": angles, "low": angles, "high": angles})

    units = {"neurons": tuned([0, 90, 100]), "features": tuned(np.arange(12) * 30)}
    rotated = [np.array([0.0, 180.0]), np.array([0.0, 120.0, 240.0])]
    joined = mc.as_many_as_features(rotated, 2.0)
    assert [len(some) for some in joined] == [5, 5]
    assert [len(some) for some in mc.as_many_as_features(rotated, 0.3)] == [2, 3]
    table = mc.compare_coverage(units, rotated, joined, resamples=50)
    assert table.loc["neurons", "gap"] == pytest.approx(260)
    assert table.loc["neurons", "low"] == pytest.approx(260)
    assert table.loc["features", "gap"] == pytest.approx(30)
    assert table.loc["random directions, as many as neurons", "gap"] == pytest.approx(150)
    fewer = table.loc["features, as few as the smaller set"]
    assert fewer["count"] == 3 and fewer.low <= fewer.gap <= fewer.high
    assert table.loc["even draws, as many as curve features", "count"] == 12
    none = [np.zeros(0)] * 2
    empty = mc.compare_coverage({w: tuned([]) for w in units}, none, none, resamples=3)
    assert (empty["count"] == 0).all() and (empty.gap == 360).all()


def test_filling_of_gaps_beside_chance():
    filling = mc.fill_gaps([0, 20, 180], [90.0, 100.0], [[90.0, 270.0], [10.0]])
    assert filling.gaps == [(20, 180), (180, 360)] and filling.filled == [True, False]
    assert filling.count == 1 and filling.random == 1.0
    assert 0 < filling.even < 2 and 0 < filling.chance <= 1
    none = mc.fill_gaps([], [90.0], [])
    assert none.gaps == [] and none.count == 0 and none.chance == 1.0
    even = mc.fill_gaps(np.arange(36) * 10, [5.0], [[5.0]])
    assert even.gaps == [] and even.random == 0.0


def test_gaps_are_counted_with_three_neurons_or_more():
    def layer(*neurons):
        angles = {"neurons": np.array(neurons), "features": np.array([100.0])}
        return SimpleNamespace(preferred=angles.get)

    table = mc.gaps_by_layer({"few": layer(0.0, 10.0), "more": layer(0.0, 20.0, 180.0)})
    assert table.loc["few", "gaps"] == 0 and table.loc["few", "widest"] == 0
    assert table.loc["more", "gaps"] == 2 and table.loc["more", "filled"] == 1
    assert table.loc["more", "widest"] == pytest.approx(180)


@pytest.fixture(scope="module")
def studied():
    """A layer of eight neurons: one that detects curves, one of two curves, the rest noise."""
    draw = torch.Generator().manual_seed(0)
    drawings = mc.curve_bank(31, 12)
    table = drawings.table
    arc = torch.tensor((table.kind == "curve").to_numpy(), dtype=torch.float32)
    angle = torch.deg2rad(torch.tensor(table.orientation.fillna(0).to_numpy(dtype=float)))
    neurons = 0.1 * torch.rand(len(table), 8, generator=draw)
    neurons[:, 0] += arc * (4 * (angle.cos() - 1)).exp().float()
    two = (6 * (angle.cos() - 1)).exp() + 0.9 * (6 * ((angle - np.pi / 2).cos() - 1)).exp()
    neurons[:, 1] += arc * two.float()
    coder = GroupCrosscoder("C1", 8, 12, k=2, sparsity="topk")
    A = torch.rand(300, 8, generator=draw)
    f = codes(coder, A)
    responses = {"neurons": neurons, "features": codes(coder, neurons)}
    positions = Positions(
        A, np.arange(300) % 10, np.full(300, 15.0), np.full(300, 15.0), np.ones(300), 9
    )
    return LayerStudy(
        "here",
        positions,
        coder,
        evaluate(coder, A[:, None], coder.mean),
        f,
        drawings,
        responses,
        {who: mc.name_units(r, table) for who, r in responses.items()},
        {who: mc.radial_tuning(r, table, resamples=5) for who, r in responses.items()},
        mc.neuron_match(coder.V.detach()[:, 0], A, f),
    )


def test_a_layer_is_summarised(studied):
    row = mc.summary({"here": studied}).loc["here"]
    assert row.channels == 8 and row.features == 12 and 0 <= row["without a neuron"] <= 1
    assert row["curve neurons"] == len(studied.detectors("neurons")) >= 1
    assert 0 in studied.detectors("neurons")
    echo = mc.echoes({"here": studied})
    assert set(echo.columns) == {"layer", "units", "echo"} and echo.echo.between(0, 1).all()
    assert (echo.units == "neurons").sum() == len(studied.detectors("neurons"))
    table = studied.tuned("neurons")
    assert np.allclose(table.preferred, studied.preferred("neurons"))


def test_rotated_bases_are_named_as_the_neurons_are(studied):
    found = mc.rotated_detectors(studied, bases=3, seed=1)
    assert len(found) == 3
    again = mc.rotated_detectors(studied, bases=1, seed=2)[0]
    assert np.allclose(found[1], again)
    assert all(((0 <= angles) & (angles < 360)).all() for angles in found)


def test_dictionaries_of_one_size_are_asked_the_same(studied, monkeypatch):
    held_out = np.arange(300) % 4 == 0
    options = {"expansion": 1.5, "k": 2, "steps": 3, "bases": 2, "seed": 0}
    found = mc.compare_dictionaries(studied, held_out, [1], **options)
    assert set(found.like_none) == set(found.apart)
    assert set(found.apart) == {"features", "second SAE", "random directions"}
    assert found.like_none["features"] == studied.unmatched().mean()
    assert all(0 <= share <= 1 for share in found.like_none.values())
    assert all(0 <= count <= 1 for count in found.apart.values())
    # A second SAE that is the first has all of its features.
    monkeypatch.setattr(baselines, "sparse_autoencoder", lambda *_, **__: studied.coder)
    monkeypatch.setattr(LayerStudy, "unmatched", lambda self: np.arange(12) < 3)
    same = mc.compare_dictionaries(studied, held_out, [1], **options)
    assert same.again == 1 and same.apart["second SAE"] == same.apart["features"]
    monkeypatch.setattr(LayerStudy, "unmatched", lambda self: np.zeros(12, dtype=bool))
    nothing = mc.compare_dictionaries(studied, held_out, [], **options)
    assert np.isnan(nothing.again) and set(nothing.apart.values()) == {0.0}


def test_neurons_with_two_curves_are_picked(studied):
    names, tuning = studied.names["neurons"], studied.tuning["neurons"].table
    assert 1 in mc.double_curves(names.kind, tuning)
    assert 0 not in mc.double_curves(names.kind, tuning)
    assert 1 not in mc.double_curves(names.kind, tuning, least=120)
    assert mc.double_curves(["line"] * 8, tuning) == []
    peaks = pd.DataFrame({"peaks": [1, 2, 1, 0]})
    assert mc.single_peaked(["curve"] * 4, peaks) == pytest.approx(2 / 3)
    assert mc.single_peaked(["curve", "curve", "line", "curve"], peaks) == 0.5
    assert np.isnan(mc.single_peaked(["line"] * 4, peaks)), "a share of nothing"


def test_features_without_a_neuron_are_ordered_by_strength(studied):
    norms = studied.coder.norms
    everything = np.ones(12, dtype=bool)
    found = mc.unmatched_features(
        studied.match, studied.names["features"], studied.codes, norms, everything
    )
    assert len(found) == 12
    for _, part in found.groupby("drawn"):
        assert part.strength.is_monotonic_decreasing
    assert found.drawn.is_monotonic_decreasing
    table = pd.DataFrame({"label": ["line", "curve", "edge", "curve", "curve"]})
    assert mc.to_be_shown(table, curves=2, others=1) == [1, 3, 0]


def test_the_clearest_detectors_are_spread_over_the_circle():
    tuned = pd.DataFrame(
        {
            "preferred": [2.0, 5.0, 118.0, 240.0],
            "peaks": [1, 1, 1, 2],
            "response": [1.0, 2.0, 1.0, 9.0],
        },
        index=[10, 11, 12, 13],
    )
    assert mc.clearest_detectors(tuned, 3) == [11, 12]  # 13 has two peaks
    assert mc.clearest_detectors(tuned[:0]) == []


class Grey:
    """A photograph of one grey value."""

    def load(self):
        return torch.full((3, 40, 40), 0.5)


def test_units_are_illustrated_by_crops(studied):
    photographs = [Grey() for _ in range(10)]
    for who, values in (("neurons", studied.positions.A), ("features", studied.codes)):
        most = int(values.sum(0).argmax())
        shown = mc.exciting_images(None, studied, who, [most], photographs, steps=0)
        assert len(shown) == 1 and shown[0].shape == (1, 3, 9, 9)
        assert shown[0].min() >= 0 and shown[0].max() <= 1
    found = mc.unmatched_features(
        studied.match,
        studied.names["features"],
        studied.codes,
        studied.coder.norms,
        np.ones(12, dtype=bool),
    )
    chosen = mc.to_be_shown(found)
    cards = mc.unmatched_cards(studied, found, chosen, photographs)
    assert [card["feature"] for card in cards] == chosen
    assert cards[0]["cosine"] == studied.match.cosine[chosen[0]]


def test_curve_features_that_share_a_plane_take_up_fewer_dimensions():
    decoder = torch.randn(30, 20, generator=torch.Generator().manual_seed(0))
    decoder[:6, 2:] = 0
    found = mc.compared_dimensions(decoder, range(6), seed=1)
    assert found["features"] == 6 and found["dimensions"] <= 2 < found["any dimensions"]


def test_curve_features_of_a_group_crosscoder(tmp_path):
    G = group("D8")
    template = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
    coder = GroupCrosscoder("D8", 5, 4, k=2)
    with torch.no_grad():
        coder.V.copy_(torch.stack([template[G.table[:, h]] for h in (0, 3, 0, 5)]))
    report = pd.DataFrame(
        {
            "feature": range(4),
            "label": ["curve", "curve", "line", "curve"],
            "best_orientation": [30.0, 165.0, 0.0, 90.0],
            "family": [0, 0, 1, -1],
        }
    )
    found = mc.curve_features(coder, report)
    assert found.values["crosscoder, count"] == 3 and found.values["pairs"] == 1
    assert found.values["off by, median degrees"] == pytest.approx(0, abs=1e-4)
    assert found.values["share in the largest"] == pytest.approx(2 / 3)
    assert found.profiles.shape == (3, 8) and len(found.angles) == 8
    assert np.allclose(found.profiles[:, 0], 1, atol=1e-6)
    assert mc.curve_features(coder, report[:1]).values == {}
    assert mc.crosscoder_curves(tmp_path) is None
    coder.save(tmp_path / "crosscoder.safetensors")
    report.to_csv(tmp_path / "features.csv", index=False)
    assert mc.crosscoder_curves(tmp_path).values == found.values
