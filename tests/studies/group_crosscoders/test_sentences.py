"""Numbers that the main story prints come with what to conclude from them."""

import numpy as np
import pandas as pd
import pytest
import torch

from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.figures.methods import BEFORE
from gc_utils.planted import planted_orbits
from gc_utils.studies.group_crosscoders import Agreement
from gc_utils.studies.group_crosscoders import computed_sentences as sentences
from gc_utils.studies.group_crosscoders.code_of_orbit import example_code
from gc_utils.studies.group_crosscoders.folds import crosscoder_name, pca_name
from gc_utils.studies.group_crosscoders.sampling import centring_sentence
from gc_utils.studies.group_crosscoders.walkthrough import contrasting, example_orbit


@pytest.mark.parametrize(("ratio", "end"), [(0.8, "taken out"), (0.01, "hardly anything")])
def test_centring_is_explained(ratio, end):
    assert end in centring_sentence(ratio)


def again(median, share):
    rows = []
    for encoder in ("identity", "orbit"):
        name = crosscoder_name(encoder)
        rows += [(name, 0, median, share), (name + BEFORE, 0, median - 0.2, 0.0)]
    return pd.DataFrame(rows, columns=["method", "fold", "reproducibility", "share"])


def test_reproducibility_says_how_far_to_trust_a_feature():
    text = sentences.reproducibility_sentence(again(0.7, 0.004))
    assert "crosscoder, orbit encoder 0.50 to 0.70" in text
    assert "at most 0.4 % of them" in text and "kinds of features" in text
    assert "found again from other images." in sentences.reproducibility_sentence(again(0.95, 0.8))


def compared(orbit, pca):
    methods = {crosscoder_name("orbit"): orbit, pca_name(32): pca}
    parts = ("total", "invariant", "orientation")
    return pd.DataFrame(
        [(m, p, 0, fvu, 32.0, 0.0) for m, fvu in methods.items() for p in parts],
        columns=["method", "part", "fold", "fvu", "l0", "dead"],
    )


def test_the_orbit_encoder_is_compared_with_what_reads_as_much():
    text = sentences.orbit_encoder_sentence(compared(0.32, 0.40), 32, 512, 32, 480)
    assert "32 × 480 = 15,360 numbers" in text and "0.2 % of them" in text
    assert "(169 bits at most)" in text  # log2 of 512 choose 32
    assert "0.320" in text and "0.400" in text and "the choice of features pays" in text
    assert "No less" in sentences.orbit_encoder_sentence(compared(0.40, 0.40), 32, 512, 32, 480)


def test_images_are_counted_for_which_an_encoder_is_better():
    table = pd.DataFrame({"identity": [0.4, 0.3, 0.5], "orbit": [0.3, 0.35, 0.4]})
    text = sentences.images_sentence(table)
    assert "0.30 to 0.40" in text and "2 of 3 images" in text


def test_a_longer_code_is_called_one():
    assert "5.0 times as many" in sentences.penalised_sentence(160.0, 32)
    assert "about as many" in sentences.penalised_sentence(33.0, 32)


def test_methods_are_judged_by_what_they_name_and_not_by_fvu():
    means = pd.DataFrame(
        {
            "method": ["crosscoder, refined", "PCA", "blocks of width 2"],
            "found_and_named": [0.98, 0.0, np.nan],
            "fvu": [0.08, 0.05, 0.2],
        }
    )
    text = sentences.methods_sentence(means, 0.047)
    assert text.startswith("0.9 or more of all planted features are found and rightly named by ")
    assert "crosscoder, orbit encoder, refined. " in text
    assert "0.050, is left by PCA, which finds and rightly names 0.00" in text
    assert "by no method" in sentences.methods_sentence(means.assign(found_and_named=0.1), 0.047)


def test_confidence_is_taken_at_its_word_up_to_the_bound():
    text = sentences.calibration_sentence({"crosscoder": 0.08, "SAE, regressed blocks": 0.3})
    good, bad = text.split(" It cannot ")
    assert "crosscoder, orbit encoder (0.08)" in good and "SAE" not in good
    assert "(0.30)" in bad
    assert "no method." in sentences.calibration_sentence({"PCA": 0.3})
    assert sentences.calibration_sentence({}) == "No method states a confidence."


def test_equivariance_is_followed_through_the_layers():
    table = pd.DataFrame({"powers": [0.9, 0.5], "free": [0.95, 0.6]}, index=["conv2d0", "mixed3b"])
    text = sentences.equivariance_sentence(table)
    assert "From conv2d0 to mixed3b" in text and "0.95 to 0.60" in text
    assert "missing 0.40" in text and "costs 0.10 more" in text
    assert "nearly follow" in sentences.equivariance_sentence(table[:1])
    assert sentences.equivariance_sentence(table[:0]) == "No layer was measured."


def test_agreement_names_what_its_numbers_mean():
    text = sentences.agreement_sentence(Agreement(0.25, 0.41, {}))
    assert "0.25" in text and "0 is chance" in text and "not the same features" in text
    assert "hold the same features." in sentences.agreement_sentence(Agreement(0.9, 0.95, {}))
    fires = sentences.firing_sentence(Agreement(0.2, 0.4, {32: 14, 1: 64}))
    assert fires == "Tied families that fire: 64 of 1 feature, 14 of 32 features."


def test_numbers_of_different_size_are_readable_in_one_table():
    table = pd.DataFrame({"tied": [0.33612, 512.0, 2396718.0, np.nan]})
    assert sentences.readable(table).tied.tolist() == ["0.336", "512", "2,396,718", "none"]


def test_the_orbit_that_is_followed_is_the_store_s(tmp_path):
    made = planted_orbits("C8", 16, 3, samples=64, l0=3, seed=0)
    patches = np.full((64, 4, 4, 3), 100, dtype=np.uint8)
    patches[9, :2] = 255  # the one with contrast
    patches[20, ..., 0] = 255  # colour alone is none
    images = [f"image {i // 8}" for i in range(64)]
    options = {"images": images, "patches": patches}
    store = ActivationStore.from_array(made.A, made.group, tmp_path / "a.zarr", **options)
    row = contrasting(store)
    assert row == 9 and store.fold[contrasting(store, store.fold == 1)] == 1
    mean = store.read().float().mean((0, 1))
    orbit = example_orbit(store, row, mean)
    assert orbit.photograph is None
    np.testing.assert_allclose(orbit.activations, (store[[9]][0] - mean).numpy())

    coder = GroupCrosscoder("C8", 16, 12, k=3, sparsity="topk", encode_from="orbit", seed=0)
    coded = example_code(coder, store, row, mean)
    with torch.inference_mode():
        whole = coder(store[[9]])[0] - mean
        rest = coder.encode(store[[9]])
        rest[0, coded.feature] = 0
        without = coder.decode(rest)[0] - mean
    assert (coded.code > 0).sum() == 3 and coded.code[coded.feature] > 0
    np.testing.assert_allclose(coded.reconstruction, whole, atol=1e-5)
    np.testing.assert_allclose(coded.part, whole - without, atol=1e-5)
