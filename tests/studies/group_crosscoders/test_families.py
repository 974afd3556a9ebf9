"""What notebook 03 computes: families, how labels match them, and the competitors of GC2."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import adjusted_mutual_info_score

from gc_utils.crosscoder import TrainConfig
from gc_utils.errors import UserError
from gc_utils.families import orbit_distance, separation
from gc_utils.families.clusters import Clusters
from gc_utils.inspection import stimuli_for
from gc_utils.planted import planted_orbits
from gc_utils.studies.group_crosscoders import competitors, families, folds
from gc_utils.symmetry import unrelated_cut

STEPS = 12
LABELS = pd.Series(["curve", "curve", "line", "line", "line", "other", "other"])
FOUND = Clusters(np.array([1, 1, 0, 0, 0, 2, 3]), np.array([False] * 5 + [True] * 2))
ALONE = Clusters(np.arange(7), np.ones(7, dtype=bool))


@pytest.fixture(scope="module")
def checkpoints(store, tmp_path_factory):
    """Three folds of crosscoders and two of autoencoders, raw, and the first two folds refined."""
    trainer = folds.FoldTrainer(
        folds.Folds.of_store(store, 3),
        tmp_path_factory.mktemp("checkpoints"),
        store.checksum(),
        TrainConfig(steps=STEPS, batch_size=32, evaluate_every=STEPS, seed=5),
        features=16,
        tied="",
        sparsity="batchtopk",
        k=3,
    )
    for number in range(3):
        for encoder in folds.ENCODERS:
            name = f"crosscoder_{encoder}"
            trainer.crosscoder(name, number, encoder)
            if number < 2:  # refined: the next fold's, so that they are others
                made = trainer.folder / f"{name}_{number}.safetensors"
                shutil.copy(made, trainer.folder / f"refined_{encoder}_{1 - number}.safetensors")
    for number in range(2):
        trainer.autoencoder(number)
        made = trainer.folder / f"sae_{number}.safetensors"
        shutil.copy(made, trainer.folder / f"refined_sae_{1 - number}.safetensors")
    return trainer.folder


@pytest.fixture(scope="module")
def labels(store, checkpoints):
    usual = store.read()[::4].float()
    return families.label_dictionaries(checkpoints, stimuli_for(store, None), usual, ratio=1.1)


@pytest.fixture(scope="module")
def scores(store, checkpoints, labels):
    return competitors.competitor_scores(checkpoints, labels, store, rate=0.05, seed=0)


# ---------------------------------------------------------------------------------------- families


def test_planted_families_are_found_at_the_null_cut_and_counted_in_words():
    planted = planted_orbits("C4", 24, 6, samples=1, l0=1, seed=3)
    D = orbit_distance(planted.V, "C4")
    cut = unrelated_cut(planted.V, "C4", rate=0.01)
    found = families.find_families(D, None, cut)
    own = planted.family.numpy()
    assert adjusted_mutual_info_score(own, found.labels) == pytest.approx(1)


def test_a_tied_crosscoder_brings_its_own_families():
    D = np.ones((6, 6)) - np.eye(6)
    given = families.find_families(D, torch.tensor([0, 0, 0, 1, 1, 2]), 2.0)
    assert given.labels.tolist() == [0, 0, 0, 1, 1, 2]
    assert families.find_families(D, None, 0.5).noise.all()


def test_families_in_words_cannot_be_read_as_one():
    assert families.families_counted(FOUND) == (
        "5 of 7 features lie in one of 2 families, the largest of 3"
    )
    assert families.families_counted(ALONE) == "none of 7 features lies in a family"
    one = Clusters(np.array([0, 0, 1]), np.array([False, False, True]))
    assert families.families_counted(one) == "2 of 3 features lie in a family, the only one"


def test_pairs_beyond_chance_are_counted_within_and_across_families():
    D = np.full((7, 7), 0.9)
    D[:2, :2], D[2:5, 2:5] = 0.1, 0.1
    np.fill_diagonal(D, 0)
    text = families.beyond_chance(FOUND, D, 0.5)
    assert text.startswith("5 of 7 features lie in one of 2 families, the largest of 3.")
    assert "Unrelated features begin at 0.50." in text
    assert "Nearer than that are 100% of the pairs within families, and 0.0% across." in text
    assert "% of the pairs across families" in families.beyond_chance(ALONE, D, 0.5)


# ------------------------------------------------------------------------------------------ labels


def test_label_agreement_counts_features_with_two_labels():
    other = pd.Series(["curve", "line", "line", "other", "other", "line", "other"])
    sentence = families.label_agreement(LABELS, other)
    assert sentence.startswith("5 of 7 features have a label")
    assert "of 3 that have one under both measures of contrast, 67 % keep it" in sentence
    assert "none has one" in families.label_agreement(LABELS, pd.Series(["other"] * 7))


def test_every_dictionary_is_labelled_raw_and_refined(checkpoints, labels, tmp_path):
    assert families.states(checkpoints) == ("raw", "refined")
    assert families.states(tmp_path) == ("raw",)
    assert set(labels) == {
        *((name, fold, "raw") for name in folds.ENCODERS for fold in range(3)),
        *((name, fold, "refined") for name in folds.ENCODERS for fold in range(2)),
        *(("sae", fold, state) for fold in range(2) for state in ("raw", "refined")),
    }
    assert labels["orbit", 0, "raw"].equals(labels["orbit", 1, "refined"])  # the file's own
    assert not labels["orbit", 0, "raw"].equals(labels["orbit", 0, "refined"])


# ------------------------------------------------------------------------------------- GC1's match


def test_labels_that_are_families_match_beyond_chance():
    labels = pd.Series(["curve"] * 12 + ["line"] * 12 + ["other"] * 2)
    found = Clusters(np.r_[np.repeat([0, 1], 12), 2, 3], np.arange(26) >= 24)
    match = families.label_match(found, labels, seed=0)
    assert (match.families, match.largest, match.in_family) == (2, 12, 24)
    assert (match.features, match.labelled) == (26, 24)
    assert match.information == pytest.approx(1) and match.purity == 1
    assert match.information_p == match.purity_p == pytest.approx(1 / 1000)
    assert match.together == 1 and match.together_by_chance == pytest.approx(132 / 276)
    mixed = families.label_match(found, pd.Series(["curve", "line"] * 13), seed=0)
    assert mixed.information_p > 0.05 and mixed.purity_p > 0.05
    assert mixed.purity == pytest.approx(0.5) and mixed.together < mixed.together_by_chance


def test_chance_knows_that_small_families_are_pure_by_accident():
    """Of families of two, labels shuffled among them are pure in more than half the features."""
    rng = np.random.default_rng(0)
    labels = pd.Series(rng.permutation(["curve", "line"] * 40))
    pairs = Clusters(np.arange(80) // 2, np.zeros(80, dtype=bool))
    match = families.label_match(pairs, labels, seed=0)
    assert match.purity_shuffled == pytest.approx(0.75, abs=0.02)  # not the half of one family
    assert match.purity == pytest.approx(match.purity_shuffled, abs=0.1) and match.purity_p > 0.01
    assert match.together_by_chance == pytest.approx(1 / 79)


@pytest.mark.parametrize("seed", [0, 1])
def test_p_is_that_of_the_adjusted_information_itself(seed):
    rng = np.random.default_rng(seed)
    labels = pd.Series(rng.choice(["curve", "line", "edge"], 60))
    found = families.given_families(rng.integers(0, 12, 60))
    match = families.label_match(found, labels, seed=seed, shuffles=400)
    again = [adjusted_mutual_info_score(rng.permutation(labels), found.labels) for _ in range(400)]
    assert match.information_p == pytest.approx(
        np.mean(np.array(again) >= match.information), abs=0.08
    )


def test_the_information_is_that_of_the_separation():
    match = families.label_match(FOUND, LABELS, seed=0)
    D = np.ones((7, 7)) - np.eye(7)
    whole = separation(D, LABELS, clusters=FOUND.labels)
    assert match.information == pytest.approx(whole["adjusted_mutual_information"])
    assert match.information == adjusted_mutual_info_score(LABELS[:5], FOUND.labels[:5])


@pytest.mark.parametrize("labels", [["curve"] * 5 + ["other"] * 2, ["other"] * 7])
def test_one_kind_of_label_matches_nothing(labels):
    match = families.label_match(FOUND, pd.Series(labels), seed=0)
    assert np.isnan(match.information) and match.information_p == match.purity_p == 1.0


def test_no_family_is_no_match():
    match = families.label_match(ALONE, LABELS, seed=0)
    assert match.families == match.in_family == 0 and match.largest == 1
    assert match.purity == 0 and match.purity_p == 1 and match.together == 0


def test_families_of_every_fold_and_encoder_by_both_methods(store, checkpoints, labels):
    table = families.families_by_fold(checkpoints, labels, store.group, rate=0.05, seed=0)
    assert len(table) == 2 * 2 * 2  # refined ones alone: encoders, folds, methods
    assert set(table.method) == {families.LINKAGE, families.HDBSCAN}
    coder = folds.dictionaries(checkpoints, "orbit")[1]
    row = table[(table.encoder == "orbit") & (table.fold == 1)].iloc[0]
    assert row.cut == unrelated_cut(coder.V, "C4", rate=0.05)
    own = families.find_families(orbit_distance(coder.V, "C4"), None, row.cut)
    assert row.largest == np.bincount(own.labels).max() and row.in_family == (~own.noise).sum()
    shown = families.methods_compared(table)
    assert shown.shape == (4, 8)
    assert shown.loc[("orbit", 1), (families.LINKAGE, "largest family")] == row.largest


# -------------------------------------------------------------------------------- GC2's competitors


def test_competitors_are_scored_raw_and_refined_in_the_folds_that_have_both(scores):
    assert len(scores) == 6 * 2 * 2 and set(scores.fold) == {0, 1}  # not the third, without an SAE
    assert list(dict.fromkeys(scores.competitor)) == [
        *("identity encoder, orbit distance", "identity encoder, cosine"),
        *("orbit encoder, orbit distance", "orbit encoder, cosine"),
        *("SAE, cosine", "SAE blocks, orbit distance"),
    ]
    gain = scores.knn_purity - scores.knn_chance
    pd.testing.assert_series_equal(scores.knn_gain, gain, check_names=False)
    assert {*competitors.SHOWN, *competitors.JUDGED} <= set(scores)
    own = scores.set_index(["competitor", "state", "fold"]).silhouette
    sae = "SAE, cosine"  # the refined one of fold 0 is the raw one of fold 1
    assert own[sae, "raw", 1] == own[sae, "refined", 0] != own[sae, "raw", 0]
    assert list(competitors.scores_shown(scores).columns[:2]) == [
        ("silhouette", "raw"),
        ("silhouette", "refined"),
    ]


def test_every_competitor_has_a_cut_of_its_own(scores, checkpoints):
    cuts = scores.set_index(["competitor", "state", "fold"]).cut
    coder = folds.dictionaries(checkpoints, "identity", refined=False)[0]
    sae = folds.dictionaries(checkpoints, "sae", refined=False)[0]
    expected = {
        "identity encoder, orbit distance": unrelated_cut(coder.V, "C4", rate=0.05),
        "identity encoder, cosine": unrelated_cut(coder.V, "C4", rate=0.05, cosine=True),
        "SAE, cosine": unrelated_cut(sae.V, "C1", rate=0.05),
    }
    for name, cut in expected.items():
        assert cuts[name, "raw", 0] == cut


def test_no_fold_with_both_is_an_error_that_names_the_notebook(store, checkpoints, labels):
    alone = {key: value for key, value in labels.items() if key[0] != "sae"}
    with pytest.raises(UserError, match="02_train"):
        competitors.competitor_scores(checkpoints, alone, store, rate=0.05, seed=0)


def test_blocks_are_regressed_from_orbits_that_start_anywhere(store, checkpoints):
    autoencoder = folds.dictionaries(checkpoints, "sae")[0]
    orbits, g = store.read().float(), store.group
    blocks = competitors.regressed_blocks(autoencoder, orbits, g, seed=0)
    assert blocks.shape == (16, 4, 6)
    assert torch.equal(blocks, competitors.regressed_blocks(autoencoder, orbits, g, seed=0))


def test_blocks_of_orbits_on_disk_are_those_of_orbits_in_memory(store, checkpoints, monkeypatch):
    autoencoder = folds.dictionaries(checkpoints, "sae")[0]
    expected = competitors.regressed_blocks(autoencoder, store.read(), store.group, seed=0)
    monkeypatch.setattr(type(store), "read", lambda *_: pytest.fail("all of it was read"))
    found = competitors.regressed_blocks(autoencoder, store, store.group, seed=0)
    torch.testing.assert_close(found, expected)


def test_a_fold_is_won_on_all_scores_or_not():
    values = {
        ("identity encoder, orbit distance", 0): 0.5,
        ("identity encoder, orbit distance", 1): 0.5,
        ("identity encoder, cosine", 0): 0.4,
        ("identity encoder, cosine", 1): 0.5,
        **{(f"orbit encoder, {d}", n): 0.1 for d in ("orbit distance", "cosine") for n in (0, 1)},
        **{(name, n): 0.2 for name in (competitors.SAE, competitors.SAE_BLOCKS) for n in (0, 1)},
    }
    scores = pd.DataFrame(
        [
            {"competitor": c, "fold": n, "state": "raw"} | dict.fromkeys(competitors.JUDGED, v)
            for (c, n), v in values.items()
        ]
    )
    won = competitors.folds_won(scores)
    assert won.loc[("identity", "raw")].to_dict() == {
        "own blocks, cosine": "1 of 2",
        competitors.SAE: "2 of 2",
        competitors.SAE_BLOCKS: "2 of 2",
    }
    assert set(won.loc[("orbit", "raw")]) == {"0 of 2"}
    scores.loc[(scores.fold == 0) & (scores.competitor == competitors.SAE), "knn_gain"] = 0.9
    assert competitors.folds_won(scores).loc[("identity", "raw"), competitors.SAE] == "1 of 2"
