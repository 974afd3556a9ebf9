"""What notebooks 01 and 02 compute, on small inputs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from gc_utils.crosscoder import TrainConfig
from gc_utils.errors import UserError
from gc_utils.figures.extraction import image_sheet, spread
from gc_utils.groups import group
from gc_utils.images import load_images
from gc_utils.studies.group_crosscoders import folds, sampling
from gc_utils.symmetry.variance import Variance

STEPS = 12


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
    assert data.count == 2  # of the store's four, put together in pairs
    assert len(data.held_out(1)) == 80 and len(data.training(1)) == 80
    torch.testing.assert_close(data.mean(1), data.training(1).float().mean((0, 1)))
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
    assert counts == [80, 80]


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
    assert set(found.index) == {f"planted {n}" for n in range(4)}
    assert list(found) == ["identity", "orbit"] and found.orbit.is_monotonic_increasing
    table, _ = folds.compare(coders, trainer.data, 3)
    own = folds.fvu_by_fold(table, folds.crosscoder_name("orbit"))
    first, second = sorted(found.orbit[["planted 1", "planted 3"]])  # fold 1's
    assert first <= own[1] <= second


def test_scenes_and_photographs_have_means_of_their_own():
    table = pd.DataFrame({"orbit": [0.1, 0.2, 0.6]}, index=["cat", "scene-0-0", "scene-0-1"])
    assert folds.image_means(table) == (
        "Mean FVU of unseen images. 1 photograph: orbit encoder 0.100; "
        "2 drawn scenes: orbit encoder 0.400."
    )
    assert "scenes" not in folds.image_means(table[:1])
