"""Activations from elsewhere become a store, if they are what they are said to be."""

import numpy as np
import pytest
import torch

from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder, ShuffledBatches
from gc_utils.errors import UserError
from gc_utils.explorer import explore
from gc_utils.explorer.exhibit import Exhibit
from gc_utils.groups import group, translate
from gc_utils.inspection import label_crosscoder, stimuli_for

A = np.random.default_rng(0).normal(size=(40, 8, 6)).astype(np.float32)
IDS = np.repeat(["a", "b", "c", "d", "e"], [12, 10, 8, 6, 4])


@pytest.fixture
def store(tmp_path):
    return ActivationStore.from_array(A, "D4", tmp_path / "a.zarr", images=IDS, folds=2)


def test_what_was_given_is_what_is_read(store):
    again = ActivationStore.open(store.path)
    assert torch.allclose(again.read().float(), torch.from_numpy(A), atol=2e-3)
    assert again.group is group("D4") and again.channels == 6 and again.finished
    assert again.model() is None and "without the network" in again.describe()
    assert again.patches.shape == (40, 48, 48, 3) and np.std(again.patches) > 20


def test_a_fold_holds_whole_images_and_as_many_samples(store):
    names = np.array(store.photograph_names)[store.samples["photograph"]]
    assert (names == IDS).all()
    assert all(len(set(store.fold[IDS == name])) == 1 for name in set(IDS))
    assert sorted(np.bincount(store.fold)) == [18, 22]  # largest image first


def test_without_images_neighbours_share_a_fold(tmp_path):
    store = ActivationStore.from_array(torch.from_numpy(A), "D4", tmp_path / "a.zarr", folds=4)
    assert store.fold.tolist() == sorted(store.fold) and set(np.bincount(store.fold)) == {10}


def test_patches_are_kept(tmp_path):
    patches = np.random.default_rng(1).integers(0, 255, (40, 9, 9, 3), dtype=np.uint8)
    store = ActivationStore.from_array(A, group("D4"), tmp_path / "a.zarr", patches=patches)
    assert np.array_equal(store.patches, patches)


@pytest.mark.parametrize(
    "changes, said",
    [
        (
            {"A": A[:, :7]},
            r"\(40, 7, 6\): expected \(N, 8, C\) for D4, .*4 rotations .* 90 d",
        ),
        ({"A": A[0]}, r"shape \(8, 6\)"),
        ({"A": A[:0]}, r"shape \(0, 8, 6\)"),
        (
            {"A": np.where(A == A[3, 2, 1], np.nan, A)},
            "sample 3 at element 2, channel 1 is NaN, expected a finite number .1 of 40 .* 0 inf",
        ),
        ({"A": np.where(A == A[3, 2, 1], -np.inf, A)}, "sample 3 at element 2, channel 1 is inf"),
        ({"A": A + 0j}, "expected real numbers"),
        ({"A": None}, "activations of type NoneType: expected an array"),
        ({"A": "acts.npy"}, "activations of type str: expected an array"),
        ({"A": [[1.0], [1.0, 2.0]]}, "activations of type list: expected an array"),
        ({"A": 0 * A + 1}, "all activations are the same"),
        ({"g": 8}, "group 8: expected its name"),
        ({"g": "C1", "A": A[:, :1]}, "group C1 has no rotation"),
        ({"folds": 2.5}, "folds 2.5: expected a whole number"),
        ({"folds": "4"}, "folds '4': expected a whole number"),
        ({"seed": -1}, "seed -1: expected a whole number"),
        ({"images": [None, *IDS[1:]]}, "images of several types"),
        ({"patches": np.zeros((40, 0, 0, 3), np.uint8)}, "expected uint8"),
        ({"A": A * 1e5}, r"\(sample \d+\) do not fit float16; give dtype='float32'"),
        ({"g": "E4"}, "unknown group 'E4'"),
        ({"dtype": "int8"}, "unknown dtype 'int8'"),
        ({"images": IDS[1:]}, r"images of shape \(39,\)"),
        ({"images": IDS, "folds": 6}, "5 images cannot be dealt into 6 folds"),
        ({"folds": 1}, "1 folds of 40 samples: expected 2 or more"),
        ({"patches": np.zeros((40, 9, 9, 3))}, "type float64: expected uint8"),
        ({"patches": np.zeros((39, 9, 9, 3), np.uint8)}, r"expected uint8 \(40, S, S, 3\)"),
    ],
)
def test_what_is_refused(tmp_path, changes, said):
    path = tmp_path / "a.zarr"
    with pytest.raises(UserError, match=said):
        ActivationStore.from_array(**{"A": A, "g": "D4", "path": path, **changes})
    assert not path.exists()


@pytest.mark.parametrize("scale", [1e-4, 1e-9, 1e-30])
def test_small_activations_keep_their_digits_in_float16(tmp_path, scale):
    small = A * np.where(np.arange(40) % 2, scale, 1)[:, None, None].astype(np.float32)
    small[7] = 0
    store = ActivationStore.from_array(small, "D4", tmp_path / "a.zarr")
    again = ActivationStore.open(store.path)
    rows = np.array([9, 9, 2, 31])
    assert again.dtype == torch.float32 and again.root["A"].dtype == np.float16
    for found, given in (
        (again.read(), small),
        (again[rows], small[rows]),
        (again[3:5], small[3:5]),
    ):
        off = np.abs(found.numpy() - given).max((1, 2)) / np.maximum(
            np.abs(given).max((1, 2)), 1e-38
        )
        assert off.max() < 2**-11
    batches = ShuffledBatches(again, np.arange(40), 40, seed=0)
    assert torch.equal(batches.batch(0), again[batches.order(0)])
    assert again.checksum() == store.checksum()
    with again.writing():
        again.root["exponent"][7] = 129
    assert ActivationStore.open(store.path).checksum() != store.checksum(), "exponents count"


def test_a_store_of_earlier_days_is_read_as_before(store, as_before):
    checksum, values = store.checksum(), store.read()
    as_before(store.path)
    old = ActivationStore.open(store.path)
    assert old.dtype == torch.float16 and torch.equal(old.read(), values)
    assert old.checksum() == checksum


def test_lost_exponents_are_named_and_not_read_as_none(store):
    with store.writing():
        store.root["exponent"][16:32] = 0  # no exponent: that of an orbit as it is is 128
    with pytest.raises(UserError, match="lost the exponents of 16 samples .first: 16."):
        ActivationStore.open(store.path).read()


def test_a_store_is_not_written_over(store):
    with pytest.raises(UserError, match="there already"):
        ActivationStore.from_array(A, "D4", store.path)


def test_features_have_no_labels_without_a_network(store):
    coder = GroupCrosscoder("D4", 6, 5, sparsity="l1")
    stimuli = stimuli_for(store, None)
    found = label_crosscoder(coder, stimuli, store.read().float())
    assert len(stimuli.A) == 0 and set(found.label) == {"other"} and len(found) == 5
    assert found.margin.isna().all()


@pytest.mark.parametrize("encode_from", ["identity", "orbit"])
@pytest.mark.parametrize("name", ["C8", "D4"])
def test_the_explorer_follows_a_code_through_the_stored_orbit(tmp_path, name, encode_from):
    store = ActivationStore.from_array(A, name, tmp_path / "a.zarr")
    coder = GroupCrosscoder(name, 6, 5, sparsity="l1", encode_from=encode_from)
    with torch.no_grad():
        codes = coder.encode(store.read().float())
    exhibit = Exhibit(None, "x", coder, store.patches, codes=codes, orbits=store.read(), drawn=True)
    shown, response = exhibit.rotations(3)
    assert len(shown) == len(response) == 8 and exhibit.fine is coder.group
    assert np.abs(shown[0].astype(int) - store.patches[3]).max() <= 1  # of another mean
    moved = translate(store[[3]], coder.group, torch.tensor([5]))
    assert np.allclose(response[5], coder.encode(moved)[0].detach(), atol=1e-4)
    view = explore(None, "x", store, coder, codes=codes, interactive=True)
    assert view.mirror.disabled == (name == "C8")
    view.angle.value, view.mirror.value = 90, True
    assert explore(None, "x", store, coder, codes=codes, interactive=False).axes


def test_the_explorer_needs_a_network_or_orbits(store):
    coder = GroupCrosscoder("D4", 6, 5, sparsity="l1")
    with pytest.raises(UserError, match="neither a network nor an orbit"):
        explore(None, "x", store.patches, coder, interactive=False)


def test_an_array_that_is_read_backwards_is_one(tmp_path):
    store = ActivationStore.from_array(A[::-1], "D4", tmp_path / "a.zarr")
    assert torch.allclose(store[:], torch.from_numpy(A[::-1].copy()), atol=2e-3)


@pytest.mark.parametrize("scale", [1e6, 1e-9])
def test_activations_of_any_size_are_trained_on_as_they_are_in_float32(tmp_path, scale):
    store = ActivationStore.from_array(scale * A, "D4", tmp_path / "a.zarr", dtype="float32")
    batches = ShuffledBatches(store, np.arange(40), 40, seed=0)
    assert store.dtype == torch.float32
    largest = batches.batch(0).abs().max()
    torch.testing.assert_close(largest, torch.tensor(scale * np.abs(A).max()).float())


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(UserError, match="run is a file, not a folder"):
        ActivationStore.from_array(A, "D4", tmp_path / "run" / "a.zarr")
