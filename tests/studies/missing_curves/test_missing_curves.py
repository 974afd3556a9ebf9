import numpy as np
import pandas as pd
import pytest
import torch

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.families import CURVE_ORIENTATIONS
from gc_utils.groups import group
from gc_utils.inspection import rotated_basis
from gc_utils.models import FilterBank
from gc_utils.studies import missing_curves as mc

ANGLES = np.arange(36) * 10.0


def bump(at, width=20.0, height=1.0):
    """Answers over the angle, a von Mises bump."""
    kappa = 1 / np.deg2rad(width) ** 2
    return height * np.exp(kappa * (np.cos(np.deg2rad(ANGLES - at)) - 1))


def arcs(*curves, shapes=3):
    """Answers to arcs, alike for every shape, and the table of the arcs."""
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


def test_tuning_turns_with_the_unit():
    at = [5.0, 95.0, 185.0, 359.0]
    tuning = mc.radial_tuning(*arcs(*map(bump, at)))
    off = (tuning.table.preferred - at + 180) % 360 - 180
    assert off.abs().max() < 1 and np.ptp(tuning.table.width) < 1


def test_the_interval_is_wide_where_shapes_disagree():
    answers, table = arcs(bump(100), bump(100))
    answers[36:72, 1] = torch.from_numpy(bump(130))
    tuning = mc.radial_tuning(answers, table)
    span = tuning.table.high - tuning.table.low
    assert span[0] < 1 and span[1] > 15


def test_the_interval_is_sure_of_a_unit_that_cares_for_one_shape():
    answers, table = arcs(bump(200))
    answers[torch.tensor((table["shape"] != table["shape"].max()).to_numpy())] = 0
    found = mc.radial_tuning(answers, table).table.loc[0]
    assert found.preferred == pytest.approx(200, abs=1)
    assert found.low == pytest.approx(found.high, abs=1e-6)


def test_preferred_curvature_is_that_of_the_shapes_it_answers_to():
    answers, table = arcs(bump(0), bump(0))
    answers[:72, 0] *= 0.1  # only the third shape
    tuning = mc.radial_tuning(answers, table).table
    assert tuning.curvature[0] == pytest.approx(4.0)
    assert tuning.curvature[1] == pytest.approx(7 / 3, abs=0.01)
    assert tuning.curvature_low[1] <= 7 / 3 <= tuning.curvature_high[1]


def test_tuning_needs_arcs_at_the_same_orientations():
    answers, table = arcs(bump(0))
    with pytest.raises(UserError, match="same orientations"):
        mc.radial_tuning(answers[1:], table.iloc[1:])
    with pytest.raises(UserError, match="no curve"):
        mc.radial_tuning(answers, table.assign(kind="line"))


def test_the_bank_of_drawings_names_units_by_what_they_answer_to():
    drawings = mc.curve_bank(31, 12)
    table = drawings.table
    assert len(table) == len(drawings.images) and table.sweep.any()
    assert table.groupby("shape").kind.nunique().max() == 1
    answers = torch.zeros(len(table), 3)
    answers[torch.tensor((table.kind == "curve").to_numpy()), 0] = 1.0
    answers[(table.kind == "line").to_numpy(), 1] = 1.0
    answers[:, 2] = 1.0
    assert mc.name_units(answers, table).label.tolist() == ["curve", "line", "other"]


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
    match = mc.neuron_match(coder, A, torch.stack([A[:, 1], A.mean(1)], 1))
    assert match.neuron[0] == match.correlated[0] == 1
    assert match.cosine[0] == pytest.approx(1) and match.correlation[0] == pytest.approx(1)
    assert match.cosine[1] == pytest.approx(3**-0.5) and match.correlation[1] < 0.8


def test_a_neuron_is_split_only_by_features_with_one_peak_each():
    coder = sae(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    both = bump(40) + 0.9 * bump(200)
    answers, table = arcs(both, both)
    neurons = mc.radial_tuning(answers, table)
    parted, _ = arcs(bump(40), 0.9 * bump(200), both)
    features = mc.radial_tuning(parted, table)
    found = mc.split_doubles(coder, parted.float(), neurons, features, table, [0, 1])
    assert found.split.tolist() == [True, False]  # neuron 1 is written to by one feature, twice
    assert (found.feature1[0], found.feature2[0]) == (0, 1)
    assert found.preferred2[0] == pytest.approx(200, abs=1)


def test_directions_that_depend_on_each_other_span_no_more():
    ring = torch.randn(20, 6, generator=torch.Generator().manual_seed(0))
    one = torch.randn(1, 6, generator=torch.Generator().manual_seed(1))
    assert mc.ring_share(ring, torch.cat([one, one])) == pytest.approx(mc.ring_share(ring, one))
    assert mc.ring_share(ring, torch.eye(6)) == pytest.approx(1)


def test_dimensions_and_the_share_of_a_ring():
    turn = torch.deg2rad(torch.arange(0, 360, 10, dtype=torch.float64))
    circle = torch.stack([turn.cos(), turn.sin(), 0 * turn, 0 * turn], 1)
    assert mc.dimensions(circle)[0] == 2
    assert mc.dimensions(circle)[1] == pytest.approx(2)
    axes = torch.eye(4)
    assert mc.ring_share(circle, axes[:1]) == pytest.approx(0.5)
    assert mc.ring_share(circle, axes[:2]) == pytest.approx(1)
    assert mc.ring_share(circle, axes[2:]) == pytest.approx(0)


def test_turned_features_of_a_family_agree_with_their_orientations():
    G = group("D8")
    template = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
    moves = [0, 3, 9]  # identity, a turn, a mirror
    V = torch.stack([template[G.table[:, h]] for h in moves])
    start = 30.0
    at = [start, start + 135, 180 - start + 45]
    turns = mc.family_turns(V, G, [0, 0, 0], at)
    assert len(turns) == 3 and turns.off.max() < 1e-6
    assert mc.family_turns(V, G, [0, 0, 0], [at[0], at[1] + 40, at[2]]).off.max() > 30
    assert len(mc.family_turns(V, G, [-1, 0, -1], at)) == 0


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
    z = mc.bank_answers(bank, 400, places=1, noise=0.0)
    strongest = z.argmax(1)
    assert len(strongest.unique()) > 60  # of 72
    assert float(z.max()) <= 1.001 and torch.equal(z, mc.bank_answers(bank, 400, places=1, noise=0))


@pytest.mark.slow
def test_hidden_orientations_are_found_and_only_if_they_are_there(bank):
    z = mc.bank_answers(bank, 20_000, seed=0)
    there = mc.hidden_trial(mc.hidden_bank(bank, seed=0), z)
    control = mc.hidden_trial(mc.hidden_bank(bank, superposed=False, seed=0), z)
    assert all(there["found"]) and not any(there["units_found"]) and all(there["split"])
    assert not any(control["found"]) and not any(control["units_found"])
    assert there["fvu"] < 0.1
