"""What notebooks 01 to 03 compute, on small inputs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import adjusted_mutual_info_score

from gc_utils.crosscoder import TrainConfig
from gc_utils.errors import UserError
from gc_utils.families import separation
from gc_utils.families.clusters import Clusters
from gc_utils.figures.extraction import image_sheet, spread
from gc_utils.groups import group
from gc_utils.images import load_images
from gc_utils.inspection import stimuli_for
from gc_utils.planted import planted_orbits, write_store
from gc_utils.studies.group_crosscoders import competitors, families, folds, sampling
from gc_utils.symmetry.variance import Variance

STEPS = 12


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    planted = planted_orbits("C4", 6, 3, samples=160, l0=2, seed=0)
    return write_store(tmp_path_factory.mktemp("planted") / "activations.zarr", planted)


@pytest.fixture(scope="module")
def trainer(store, tmp_path_factory):
    return folds.FoldTrainer(
        folds.Folds.of_store(store, 2),
        tmp_path_factory.mktemp("checkpoints"),
        store.checksum(),
        TrainConfig(steps=STEPS, batch_size=32, evaluate_every=STEPS, seed=5),
        features=16,
        tied="",
        sparsity="batchtopk",
        k=3,
    )


@pytest.fixture(scope="module")
def coders(trainer):
    return {
        (encoder, number): trainer.crosscoder(f"crosscoder_{encoder}", number, encoder)[0]
        for encoder in folds.ENCODERS
        for number in range(2)
    }


# ------------------------------------------------------------------------------------- 01: sampling


def test_images_shown_are_of_every_source():
    assert spread(["a"] * 9 + ["b"] * 2, 6) == [0, 4, 8, 9, 10]
    assert spread(list("abc"), 2) == [0, 1, 2]


def test_the_sheet_of_images_names_each():
    figure = image_sheet(load_images("scenes:3", min_size=32), most=2)
    (ax,) = figure.axes
    assert len(ax.images) == 2
    assert [text.get_text() for text in ax.texts] == ["scene-0-0", "scene-0-2"]


def test_the_low_pass_is_compared_on_the_same_orbits():
    images = load_images("scenes:2", min_size=32)
    crops = torch.rand(3, 8, 3, 4, 4)
    asked = []

    class Store:
        group = group("C8")
        settings = {"layer": "a"}

        def __len__(self):
            return 3

        def __getitem__(self, rows):
            return crops[rows].mean((3, 4))

        def crops(self, rows, images, blur):
            asked.append((list(rows), blur))
            return crops[rows]

    network = SimpleNamespace(unit=lambda crops, layer: 2 * crops.mean((2, 3)))
    rows, sampled = sampling.low_pass_compared(Store(), network, images, seed=0, most=2)
    assert asked == [(list(rows), 0)] and len(rows) == 2
    before, after = sampled[sampling.WITHOUT], sampled[sampling.WITH]
    np.testing.assert_allclose(before.frequencies, after.frequencies, rtol=1e-5)


@pytest.mark.parametrize(("after", "verb"), [(0.1, "lowers"), (0.4, "does not lower")])
def test_the_low_pass_lowers_frequency_4_or_does_not(after, verb):
    found = [
        Variance(0.5, np.ones(1), 1.0, np.array([0, 0, 0, 0, share])) for share in (0.3, after)
    ]
    sentence = sampling.low_pass_sentence(
        dict(zip((sampling.WITHOUT, sampling.WITH), found, strict=True)), 7
    )
    assert f"On 7 orbits the low-pass {verb} the share" in sentence
    assert f"30.0 % without it, {100 * after:.1f} % with it" in sentence


def test_few_rotations_cannot_show_frequency_4():
    found = Variance(0.5, np.ones(1), 1.0, np.ones(3))
    sampled = {sampling.WITHOUT: found, sampling.WITH: found}
    assert "cannot show" in sampling.low_pass_sentence(sampled, 3)


# ---------------------------------------------------------------------------------------- 02: folds


def test_folds_hold_whole_images_out(store):
    data = folds.Folds.of_store(store, 2)
    assert data.count == 2  # of the store's four
    assert len(data.held_out(1)) == 40 and len(data.training(1)) == 120
    torch.testing.assert_close(data.mean(1), data.training(1).mean((0, 1)))
    with pytest.raises(UserError, match="1 folds asked for"):
        folds.Folds.of_store(store, 1)


def test_a_trainer_trains_each_fold_with_its_own_seed(trainer, monkeypatch):
    asked = []

    def fit(path, coder, data, rows, held_out, config, **_):
        asked.append((path.name, coder.config, config, len(rows), len(held_out)))
        return coder, pd.DataFrame()

    monkeypatch.setattr(folds, "fit", fit)
    trainer.crosscoder("l1", 0, "orbit", sparsity="l1", steps=4)
    trainer.autoencoder(1)
    (name, coder, config, *counts), (sae_name, sae, sae_config, *_) = asked
    assert (name, sae_name) == ("l1_0.safetensors", "sae_1.safetensors")
    assert (coder.sparsity, coder.encode_from, coder.group) == ("l1", "orbit", "C4")
    assert (sae.sparsity, sae.encode_from, sae.group) == ("batchtopk", "identity", "C1")
    assert (config.seed, config.steps, sae_config.seed, sae_config.steps) == (5, 4, 6, STEPS)
    assert counts == [120, 40]


def test_a_tied_trainer_ties_crosscoders_and_no_autoencoder(trainer, tmp_path):
    values = {**vars(trainer), "folder": tmp_path, "tied": "C1:3"}
    tied = folds.FoldTrainer(**values)
    assert tied.crosscoder("a", 0, "orbit")[0].family is not None
    assert tied.autoencoder(0)[0].family is None


def test_methods_are_compared_in_every_fold_and_part(trainer, coders):
    table, by_element = folds.compare(coders, trainer.data, 3)
    assert len(table) == 4 * 3 * 2
    assert set(by_element) == {"identity", "orbit", "ridge"}
    assert all(values.shape == (4,) for values in by_element.values())
    means = folds.summary(table)
    assert list(means) == ["total", "invariant", "orientation", "l0", "dead"]
    assert means.loc[folds.pca_name(3), "l0"] == 3
    assert np.isnan(means.loc[folds.RIDGE, "dead"])
    own = folds.fvu_by_fold(table, folds.crosscoder_name("orbit"))
    assert own.mean() == pytest.approx(means.loc[folds.crosscoder_name("orbit"), "total"])


@pytest.mark.parametrize("missing", [False, True])
def test_the_better_encoder_leaves_least_of_the_orientation_part(missing):
    orientation = [np.nan, np.nan] if missing else [0.2, 0.3]
    table = pd.DataFrame(
        [
            {"method": folds.crosscoder_name(e), "part": part, "fold": 0, "fvu": v}
            for e, o, total in zip(folds.ENCODERS, orientation, (0.5, 0.4), strict=True)
            for part, v in (("total", total), ("invariant", 0.1), ("orientation", o))
        ]
    ).assign(l0=1.0, dead=0.0)
    assert folds.better_encoder(table) == ("orbit" if missing else "identity")


def test_every_image_is_judged_by_a_crosscoder_that_never_saw_it(trainer, coders, store):
    found = folds.fvu_by_image(
        coders, trainer.data, store.samples["photograph"], store.photograph_names
    )
    assert set(found.index) == {"planted 0", "planted 1"}
    assert list(found) == ["identity", "orbit"] and found.orbit.is_monotonic_increasing
    table, _ = folds.compare(coders, trainer.data, 3)
    own = folds.fvu_by_fold(table, folds.crosscoder_name("orbit"))
    assert found.orbit["planted 1"] == pytest.approx(own[1])  # an image a fold


def test_scenes_and_photographs_have_means_of_their_own():
    table = pd.DataFrame({"orbit": [0.1, 0.2, 0.6]}, index=["cat", "scene 0", "scene 1"])
    assert folds.image_means(table) == (
        "Mean FVU of unseen images. 1 photograph: orbit encoder 0.100; "
        "2 drawn scenes: orbit encoder 0.400."
    )
    assert "scenes" not in folds.image_means(table[:1])


# ------------------------------------------------------------------------------------- 03: families

LABELS = pd.Series(["curve", "curve", "line", "line", "line", "other", "other"])
FOUND = Clusters(np.array([1, 1, 0, 0, 0, 2, 3]), np.array([False] * 5 + [True] * 2))


def test_a_tied_crosscoder_brings_its_own_families():
    D = np.ones((6, 6)) - np.eye(6)
    given = families.find_families(D, torch.tensor([0, 0, 0, 1, 1, 2]), 4)
    assert given.labels.tolist() == [0, 0, 0, 1, 1, 2]
    D = np.kron(np.eye(2), np.full((6, 6), -0.9)) + 1
    np.fill_diagonal(D, 0)
    assert len(families.family_numbers(families.find_families(D, None, 4))) == 2


def test_families_are_shown_with_their_most_typical_members_that_fire():
    D = np.full((7, 7), 0.9)
    D[2:5, 2:5] = [[0, 0.1, 0.5], [0.1, 0, 0.3], [0.5, 0.3, 0]]
    codes = torch.zeros(3, 7)
    codes[0, 3], codes[1, 2], codes[2, 0] = 1, 1, 1  # feature 4 and 1 never fire
    patches = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    rows = families.largest_families(FOUND, D, LABELS, codes, patches)
    assert [(row.number, row.size, row.label) for row in rows] == [(0, 3, "line"), (1, 2, "curve")]
    assert rows[0].members == [3, 2]
    assert rows[0].patches[:, 0, 0, 0].tolist() == [0, 1]
    assert list(families.strips(rows, most=1)) == ["0 · line"]
    assert families.titled(rows)[1][0] == "family 1 · 2 features · curve"
    assert families.largest_families(FOUND, D, LABELS, 0 * codes, patches) == []


def test_label_agreement_counts_features_with_two_labels():
    other = pd.Series(["curve", "line", "line", "other", "other", "line", "other"])
    sentence = families.label_agreement(LABELS, other)
    assert sentence.startswith("5 of 7 features have a label")
    assert "of 3 that have one under both measures of contrast, 67 % keep it" in sentence
    assert "none has one" in families.label_agreement(LABELS, pd.Series(["other"] * 7))


def test_pairs_beyond_chance_are_counted_within_and_across_families():
    D = np.full((7, 7), 0.9)
    D[:2, :2], D[2:5, 2:5] = 0.1, 0.1
    np.fill_diagonal(D, 0)
    text = families.beyond_chance(FOUND, D, 0.5)
    assert "Nearer than that are 100% of the pairs within families, and 0.0% across." in text
    assert "4 families, of which 2 have two members or more" in text
    assert "is 1.00." in text
    alone = Clusters(np.arange(7), np.ones(7, dtype=bool))
    assert "% of the pairs across families" in families.beyond_chance(alone, D, 0.5)


def test_labels_that_are_families_match_beyond_chance():
    labels = pd.Series(["curve"] * 12 + ["line"] * 12 + ["other"] * 2)
    found = Clusters(np.r_[np.repeat([0, 1], 12), 2, 3], np.arange(26) >= 24)
    match = families.label_match(found, labels, seed=0)
    assert (match.families, match.in_family, match.features, match.labelled) == (2, 24, 26, 24)
    assert match.information == pytest.approx(1) and match.purity == 1 and match.base == 0.5
    assert match.p == pytest.approx(1 / 201)
    mixed = families.label_match(found, pd.Series(["curve", "line"] * 13), seed=0)
    assert mixed.p > 0.05 and mixed.purity == pytest.approx(0.5)


def test_the_information_is_that_of_the_separation():
    match = families.label_match(FOUND, LABELS, seed=0)
    D = np.ones((7, 7)) - np.eye(7)
    whole = separation(D, LABELS, clusters=FOUND.labels)
    assert match.information == pytest.approx(whole["adjusted_mutual_information"])
    assert match.information == adjusted_mutual_info_score(LABELS[:5], FOUND.labels[:5])


@pytest.mark.parametrize("labels", [["curve"] * 5 + ["other"] * 2, ["other"] * 7])
def test_one_kind_of_label_matches_nothing(labels):
    match = families.label_match(FOUND, pd.Series(labels), seed=0)
    assert np.isnan(match.information) and match.p == 1.0


# -------------------------------------------------------------------------------- GC2's competitors


def test_competitors_are_scored_for_every_seed_that_was_trained(store, trainer, coders):
    trainer.autoencoder(0)
    trainer.autoencoder(1)
    assert [n for n, *_ in competitors.read_pairs(trainer.folder, "orbit", 1)] == [0]
    pairs = competitors.read_pairs(trainer.folder, "orbit", 3)  # the third was not trained
    data, g = trainer.data, store.group
    scores = competitors.competitor_scores(
        pairs,
        data.A,
        data.of,
        g,
        stimuli_for(store, None),
        data.A[::4].float(),
        ratio=1.1,
        min_cluster_size=3,
    )
    assert len(scores) == 4 * 2 and set(scores.seed) == {0, 1}
    assert competitors.CROSSCODER in set(scores.competitor)
    gain = scores.knn_purity - scores.knn_chance
    pd.testing.assert_series_equal(scores.knn_gain, gain, check_names=False)
    assert {*competitors.SHOWN, *competitors.JUDGED} <= set(scores)


def test_no_pair_is_an_error_that_names_the_folder(tmp_path):
    with pytest.raises(UserError, match="02_train"):
        competitors.read_pairs(tmp_path, "orbit", 3)


def test_blocks_are_regressed_from_orbits_that_start_anywhere(trainer):
    autoencoder, _ = trainer.autoencoder(0)
    orbits, g = trainer.data.training(0), trainer.data.group
    blocks = competitors.regressed_blocks(autoencoder, orbits, g, seed=0)
    assert blocks.shape == (16, 4, 6)
    assert torch.equal(blocks, competitors.regressed_blocks(autoencoder, orbits, g, seed=0))


def test_a_seed_is_won_on_all_scores_or_not():
    values = [(competitors.CROSSCODER, 0, 0.5), (competitors.CROSSCODER, 1, 0.5)]
    values += [("SAE, cosine", 0, 0.4), ("SAE, cosine", 1, 0.5)]
    scores = pd.DataFrame(
        [{"competitor": c, "seed": s} | dict.fromkeys(competitors.JUDGED, v) for c, s, v in values]
    )
    assert competitors.seed_wins(scores) == {"SAE, cosine": 1}
    assert competitors.wins_sentence(scores).endswith("by competitor: SAE, cosine: 1.")
    scores.loc[(scores.seed == 0) & (scores.competitor == "SAE, cosine"), "knn_gain"] = 0.9
    assert competitors.seed_wins(scores) == {"SAE, cosine": 0}
