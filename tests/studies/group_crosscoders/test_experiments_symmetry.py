"""The experiments of notebooks 04, 04b and 04c on small inputs whose outcome is known."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from gc_utils.activations import ActivationStore, extract
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.figures import Card
from gc_utils.groups import group, translate
from gc_utils.images import load_images
from gc_utils.inspection import stimuli_for
from gc_utils.models import load_model
from gc_utils.planted import planted_orbits, write_store
from gc_utils.studies import group_crosscoders as study
from gc_utils.studies.group_crosscoders.example_cards import trust
from gc_utils.symmetry import NoiseCorrected, autocorrelation, calibrated_report, noise_corrected


@pytest.fixture(scope="module")
def planted():
    return planted_orbits("D4", 16, 1, samples=240, l0=3, seed=0)


@pytest.fixture(scope="module")
def store(planted, tmp_path_factory) -> ActivationStore:
    return write_store(tmp_path_factory.mktemp("planted") / "activations.zarr", planted, folds=4)


# --- half turn ------------------------------------------------------------------------------------


def dictionaries(planted, count: int) -> dict[int, GroupCrosscoder]:
    """Crosscoders of the planted features, each with errors of its own."""
    found = {}
    for i in range(count):
        coder = GroupCrosscoder(
            planted.group.name, planted.V.shape[2], len(planted.V), sparsity="l1", seed=i
        )
        draw = torch.Generator().manual_seed(i)
        with torch.no_grad():
            coder.V.copy_(planted.V + 0.1 * torch.randn(planted.V.shape, generator=draw))
            coder.W_enc.copy_(planted.V[:, :1])
        found[i] = coder
    return found


@pytest.fixture(scope="module")
def shapes():
    """Two-fold symmetric and chiral features, enough of each to be asked."""
    return planted_orbits("D4", 16, {"C2": 3, "C1": 3}, samples=240, l0=3, seed=1)


@pytest.fixture(scope="module")
def drawings(shapes, tmp_path_factory):
    path = tmp_path_factory.mktemp("shapes") / "activations.zarr"
    stimuli = stimuli_for(write_store(path, shapes), None)
    kinds = stimuli.table.kind.replace({"C2": "line", "C1": "curve"})
    return replace(stimuli, table=stimuli.table.assign(kind=kinds))


def test_every_folds_dictionary_is_asked_by_itself(shapes, drawings):
    coders = dictionaries(shapes, 3)
    found = study.compare_half_turn(coders, drawings, shapes.A, shapes.group)
    assert found.counts.index.tolist() == [0, 1, 2] and found.counts.asked.all()
    assert found.holds() is True and found.held == found.asked == 3
    assert found.p < 0.01 and found.medians()["lines"] > 0.9 > found.medians()["curves"]
    assert (found.features.rho_180_low <= found.features.rho_180_high).all()
    # With labels the other way round the claim fails.
    kinds = drawings.table.kind.replace({"line": "curve", "curve": "line"})
    swapped = replace(drawings, table=drawings.table.assign(kind=kinds))
    found = study.compare_half_turn(coders, swapped, shapes.A, shapes.group)
    assert found.holds() is False and found.held == 0 and found.p > 0.9


def test_one_dictionary_has_nothing_to_correct_by_and_is_one_fold(shapes, drawings):
    found = study.compare_half_turn(dictionaries(shapes, 1), drawings, shapes.A, shapes.group)
    assert found.holds() is None and math.isnan(found.p) and found.medians() == {}
    assert len(study.kinds_of(found.features)) == 0


def test_a_group_without_a_half_turn_is_not_compared(shapes, drawings):
    found = study.compare_half_turn(dictionaries(shapes, 2), drawings, shapes.A, group("C3"))
    assert len(found.counts) == len(found.features) == 0 and found.holds() is None


def test_lines_and_curves_come_first_of_the_kinds():
    labels = ["edge"] * 5 + ["curve", "line", "other", "circle"]
    features = pd.DataFrame({"label": labels, "rho_180": [0.5] * 8 + [math.nan]})
    assert study.kinds_of(features) == ["line", "curve", "edge"]
    assert study.kinds_of(features, 2) == ["line", "curve"]


# --- the filter bank ------------------------------------------------------------------------------


def test_every_filter_has_its_own_symmetry_and_a_wrong_one_is_noticed():
    bank = load_model("filter_bank", group="D4").network
    exact = study.exact_symmetry(bank)
    assert exact.right.all() and len(exact) == len(bank.kinds)
    assert (exact.found == exact.expected).all()
    table = study.right_by_kind(exact)
    assert table.filters.sum() == table.right.sum() == len(exact)
    bank.stabilisers[0] = "C1"
    assert study.exact_symmetry(bank).right.sum() == len(exact) - 1


@pytest.mark.slow
def test_a_crosscoder_that_learns_the_bank_is_scored_by_kind(tmp_path):
    bank = load_model("filter_bank", group="D4")
    images = load_images("scenes:4", min_size=96)
    learned = study.learn_bank(tmp_path, bank, images, samples=64, steps=10)
    assert learned.nearest.shape == (len(bank.network.kinds),)
    assert (np.abs(learned.nearest) <= 1).all() and 0 < learned.held_out.fvu
    table = learned.by_kind()
    assert table.filters.sum() == len(learned.nearest)
    assert table["recovered at 0.9"].between(0, 1).all()
    again = study.learn_bank(tmp_path, bank, images, samples=64, steps=10)
    np.testing.assert_array_equal(again.nearest, learned.nearest)  # read, not trained


# --- shrinkage ------------------------------------------------------------------------------------


def test_halved_blocks_ask_to_be_stretched(planted):
    def coder(scale: float) -> GroupCrosscoder:
        one = GroupCrosscoder("D4", 16, len(planted.V), sparsity="l1")
        one.encode = lambda A: planted.codes
        with torch.no_grad():
            one.V.copy_(scale * planted.V)
            one.b_dec.zero_()
        return one

    table = study.block_shrinkage({"top-k": coder(1.0), "l1": coder(0.5)}, planted.A)
    stretch = table.loc["median stretch"]
    assert stretch["top-k"] == pytest.approx(1, abs=0.1)
    assert stretch["l1"] > 1.3
    assert (table.loc["shortest block / longest, median"] <= 1).all()


# --- example cards --------------------------------------------------------------------------------


def test_cards_of_planted_features_have_no_optimised_images(planted, store):
    coder = GroupCrosscoder("D4", 16, 4, sparsity="l1")
    row = pd.Series(
        {"feature": 2, "stabiliser": "D1@0", "axis_degrees": 0.0, "label": "D1"}, dtype=object
    )
    codes = torch.rand(len(store), 4)
    (card,) = study.example_cards([row], coder, store, codes, None, steps=4)
    assert isinstance(card, Card) and card.feature == 2 and card.blocks is None
    assert card.profile.shape == (8,) and len(card.patches) > 0
    assert card.facts == []  # nothing is known of its trustworthiness
    known = {"rho_180": 0.912, "rho_180_low": 0.84, "rho_180_high": 1.03, "confidence": 0.8}
    (card,) = study.example_cards(
        [pd.concat([row, pd.Series(known | {"reproducibility": math.nan})])],
        coder,
        store,
        codes,
        None,
        steps=0,
    )
    assert card.facts[0] == "ρ(180°) 0.91 [0.84, 1.03], noise-corrected"
    assert card.facts[1:] == ["confidence of the name 0.80"]
    (card,) = study.example_cards(
        [row], coder, store, codes, None, steps=0, counted={2: "3 of 11 lines repeat"}
    )
    assert card.facts == ["3 of 11 lines repeat"]
    assert trust(pd.Series(known | {"rho_180": 1.02}))[0].startswith("ρ(180°) 1.02 [0.84, ")


def test_a_card_says_that_no_other_fold_has_the_feature_and_how_sure_the_name_is():
    row = pd.Series({"rho_180": math.nan, "p_value": 0.0005, "family": 4, "noise": False})
    found = trust(row, 0.54)
    assert found[0] == "ρ(180°) 0.54, not noise-corrected: no other fold has this feature"
    assert found[1:] == ["p < 0.001", "family 4"]
    assert trust(row)[0] == "p < 0.001"
    assert trust(pd.Series({"family": 4, "noise": True, "p_value": 0.05})) == [
        "p = 0.050",
        "in no family",
    ]


def test_all_lines_and_curves_are_shown_those_that_behave_first():
    g = group("D4")
    report = pd.DataFrame(
        {
            "feature": range(5),
            "label": ["line", "line", "curve", "other", "line"],
            "stabiliser": ["D1@0", "C2", "D1@0", "G", "C2"],
            "period_degrees": [360.0, 180.0, 360.0, 90.0, 180.0],
            "rho_180": [0.2, 0.95, 0.1, 1.0, math.nan],
            "reproducibility": [0.9, 0.7, 0.8, 0.9, 0.95],
        }
    )
    rho = torch.rand(5, 8, dtype=torch.float64)
    corrected = NoiseCorrected(rho, rho - 1, rho + 1, torch.tensor([1, 1, 1, 1, 0]), rho[..., None])
    V = torch.randn(5, 8, 6)
    found = study.lines_and_curves(report, corrected, V, g)
    lines, curves = found.values()
    assert list(found)[0] == "2 of 3 lines repeat after 180° (1 of 2 by noise-corrected values)"
    assert [one.feature for one in lines] == [1, 4, 0] and [one.feature for one in curves] == [2]
    assert [one.behaves for one in lines] == [True, True, False]
    assert [one.corrected for one in lines] == [True, False, True]
    np.testing.assert_array_equal(lines[0].rho, rho[1, :4])
    np.testing.assert_allclose(lines[1].rho, autocorrelation(V, g)[4, :4], atol=1e-6)
    assert np.isnan(lines[1].low).all()


def test_the_quantities_of_a_feature_are_those_of_its_row_and_its_blocks():
    g = group("D4")
    V = torch.randn(3, 8, 5, generator=torch.Generator().manual_seed(0))
    report = calibrated_report(V, g, replicates=[V + 0.01], labels=["line", "curve", "other"])
    corrected = noise_corrected(V, [V + 0.01], g)
    found = study.quantities_of(report.loc[1], V, corrected, g)
    assert (found.feature, found.label, found.stabiliser) == (1, "curve", report.stabiliser[1])
    np.testing.assert_allclose(found.raw, autocorrelation(V, g)[1], atol=1e-6)
    np.testing.assert_allclose(found.rho, corrected.rho[1])
    assert found.profile[0] == pytest.approx(1) and found.spectrum.sum() == pytest.approx(1)
    assert found.chirality == pytest.approx(1 - found.raw[4:].max(), abs=1e-6)


# --- ground truth ---------------------------------------------------------------------------------


def trials() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "method": ["a", "a", "b"],
            "samples": [100, 200, 100],
            "cosine_max": [0.5, 0.9, 0.2],
            "stabiliser_exact": [1.0, math.nan, 0.0],
            "break_equivariance": [0.0, 0.0, 0.0],
            "stated": [[0.9] * 10, [0.9] * 10, None],
            "right": [[1] * 9 + [0], [1] * 9 + [0], None],
            "kind C1": [0.5, 0.7, math.nan],
            "kind G": [1.0, 0.8, math.nan],
        }
    )


def test_columns_that_no_method_reports_are_there_and_empty():
    found = study.with_columns(trials(), ["ari", "cosine_max"])
    assert found.ari.isna().all() and found.cosine_max.equals(trials().cosine_max)


def test_confidence_is_calibrated_only_if_it_is_as_often_right():
    found = study.calibrate(trials())
    assert list(found.errors) == ["a"]  # the other states none
    assert found.errors["a"] == pytest.approx(0, abs=1e-9)
    assert found.trend.right.tolist() == [pytest.approx(0.9)]
    wrong = trials().assign(right=[[0] * 10, [0] * 10, None])
    assert study.calibrate(wrong).errors["a"] == pytest.approx(0.9)


def test_cosines_by_kind_leave_out_methods_without_them():
    table = study.by_kind(trials(), ["C1", "G", "C1"])
    assert list(table.index) == ["a"] and list(table.columns) == ["C1", "G"]
    assert table.loc["a", "C1"] == pytest.approx(0.6)


def test_controls_are_averaged_by_control_and_method():
    failing = pd.DataFrame(
        {
            "control": ["single", "single"],
            "method": ["a", "a"],
            "recall": [0.0, 0.2],
            "symmetric": [0.1, 0.3],
            "stated": [[0.5, 0.7], math.nan],
            "fvu": [0.9, 0.7],
        }
    )
    found = study.control_scores(failing).loc[("single", "a")]
    assert found.recall == pytest.approx(0.1) and found.stated == pytest.approx(0.6)


# --- equivariance ---------------------------------------------------------------------------------


def test_layers_up_to_the_runs_own_are_measured():
    network = load_model("inceptionv1", "demo", device="cpu")
    names = study.layers_to_measure(network, "mixed3a")
    assert names == ["conv2d0", "conv2d1", "conv2d2", "mixed3a"]
    assert study.layers_to_measure(network, "conv2d1") == ["conv2d0", "conv2d1"]
    assert study.layers_to_measure(network, "mixed3a", "conv2d2 mixed3b") == ["conv2d2", "mixed3b"]
    assert study.layers_to_measure(None, "planted") == []


def test_no_layer_is_no_measurement(store, tmp_path):
    assert study.measure_layers(tmp_path, store, None, [], samples=10) == {}
    assert list((tmp_path).iterdir()) == []


def test_the_runs_own_layer_is_measured_on_its_orbits(store):
    found = study.measure_all_orbits(store)
    assert list(found) == ["planted, all 240 orbits"]
    table = study.equivariance_table(found)
    assert list(table) == ["powers", "free", "unchanged", "channels over 0.5, free"]
    assert table["free"].iloc[0] <= 1 and 0 <= table["channels over 0.5, free"].iloc[0] <= 1


def test_of_a_large_store_only_some_orbits_are_measured(store, monkeypatch):
    monkeypatch.setattr("gc_utils.studies.group_crosscoders.layer_equivariance.MOST", 200)
    assert list(study.measure_all_orbits(store)) == ["planted, 200 orbits"]


@pytest.mark.slow
def test_a_further_layer_gets_orbits_of_its_own(tmp_path):
    bank, g = load_model("filter_bank", group="C4"), group("C4")
    images = load_images("scenes:4", seed=0, limit=None, min_size=bank.crop_size("filters"))
    own = extract(tmp_path / "a.zarr", bank, "filters", g, images, samples=32)
    (found,) = study.measure_layers(tmp_path, own, bank, ["filters"], samples=24).values()
    # The bank is closed under the group: rotating an image permutes its channels.
    assert found.mean("free") > found.mean("unchanged")


def test_more_images_than_orbits_are_drawn_from(tmp_path):
    bank, g = load_model("filter_bank", group="C4"), group("C4")
    images = load_images("scenes:12", seed=0, limit=None, min_size=bank.crop_size("filters"))
    own = extract(tmp_path / "a.zarr", bank, "filters", g, images, samples=24)
    # So that `filters` is a further layer.
    own.root.attrs["settings"] = own.settings | {"layer": "another"}
    found = study.measure_layers(tmp_path, own, bank, ["filters"], samples=8)
    further = ActivationStore.open(tmp_path / "equivariance" / "filters.zarr")
    assert list(found) == ["filters"] and len(further) == 8
    assert len(further.photograph_names) == 4 and set(further.fold) >= {0, 1}


# --- tied beside untied ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def setting(store, tmp_path_factory) -> study.Comparison:
    return study.Comparison(
        tmp_path_factory.mktemp("tied"),
        store,
        features=24,
        k=3,
        steps=12,
        batch_size=64,
        lr=1e-3,
        device="cpu",
        precision="float32",
    )


@pytest.fixture(scope="module")
def coders(setting):
    first = setting.run_dir / "checkpoints" / "crosscoder_orbit_0.safetensors"
    setting.trained("crosscoder_orbit_0", setting.untied(0), 0)
    return setting.pairs(first, 0)


def test_seven_eighths_of_the_tied_features_have_no_symmetry(setting):
    assert setting.stabilisers == ["C1"] * 3 + ["G"]
    assert setting.tied(0).config.features >= 24
    assert setting.untied(0, 40).config.features == 40
    with pytest.raises(UserError, match="take 16 or more"):
        study.Comparison(setting.run_dir, setting.store, 15, 3, 1, 8, 1e-3)


def test_a_first_crosscoder_of_another_size_is_refused(setting, coders):
    path = setting.run_dir / "other.safetensors"
    setting.untied(0, 40).save(path)
    with pytest.raises(UserError, match="features = 40"):
        setting.pairs(path, 0)


def test_tied_and_untied_are_compared_in_what_they_explain_and_cost(setting, coders):
    table = study.compare_tied(setting, coders)
    assert list(table) == ["tied", "untied"]
    assert (table.loc["parameters", "tied"]) < table.loc["parameters", "untied"]
    assert table.loc["FVU"].between(0, 1.5).all() and (table.loc["seconds a step"] > 0).all()
    assert table.loc["families", "tied"] <= len(setting.stabilisers)
    share, median = "found again, share over 0.9", "found again, median cosine"
    assert table.loc[share].between(0, 1).all() and table.loc[median].between(-1, 1).all()


def test_a_crosscoder_found_again_is_found_exactly(setting, coders):
    same = {key: coders[kind, 0] for key in coders for kind in key[:1]}
    table = study.compare_tied(setting, same)
    assert table.loc["found again, median cosine"].tolist() == pytest.approx([1, 1], abs=1e-5)
    assert table.loc["found again, share over 0.9"].tolist() == [1, 1]


def test_families_agree_with_clusters_of_the_same_dictionary(setting, coders):
    tied = coders["tied", 0]
    same = study.family_agreement(setting, tied, tied)
    assert same.nearest == pytest.approx(1, abs=1e-5)
    other = study.family_agreement(setting, tied, coders["untied", 0])
    assert other.nearest < same.nearest
    assert sum(other.firing.values()) <= len(setting.stabilisers)


def test_growing_dictionaries_are_trained_in_order_of_size(setting, coders):
    growth = study.dictionary_growth(setting, coders["untied", 0], [2.0, 0.5], 0)
    assert growth.features.tolist() == [12, 24, 48]
    assert (growth.alive <= growth.features).all() and (growth.families <= growth.alive).all()
    np.testing.assert_allclose(growth["features a family"], growth.alive / growth.families)


def test_translates_of_one_feature_are_one_family(setting, planted):
    """A dictionary that is one orbit has one family, whatever the number of its features."""
    g = planted.group
    i = planted.stabilisers.index("C1")
    V = torch.cat([translate(planted.V[i : i + 1], g, torch.tensor([h])) for h in range(g.order)])
    coder = GroupCrosscoder("D4", 16, g.order, sparsity="l1", encode_from="orbit")
    with torch.no_grad():
        coder.V.copy_(V)
        coder.W_enc.copy_(V)
    alone = replace(setting, features=16)
    object.__setattr__(alone, "features", g.order)  # smaller than the class allows to train
    growth = study.dictionary_growth(alone, coder, [], 0)
    assert growth.families.tolist() == [1] and growth["features a family"].iloc[0] > 1
