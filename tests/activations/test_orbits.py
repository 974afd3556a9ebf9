"""What is computed of orbits on disk, a few at a time, is what is computed of all in memory."""

from importlib import import_module

import numpy as np
import pytest
import torch

from gc_utils.activations import (
    ActivationStore,
    StoredOrbits,
    mean_response,
    orbits_of,
    single_views,
    some_of,
    spread_over,
)
from gc_utils.activations.chunks import RowsOnDisk
from gc_utils.crosscoder import (
    GroupCrosscoder,
    ShuffledBatches,
    TrainConfig,
    codes_of,
    evaluate,
    pca_baseline,
    ridge_baseline,
    train,
    views_for,
)
from gc_utils.studies.group_crosscoders.walkthrough import contrasting
from gc_utils.symmetry import variance

COUNT = 90
A = np.random.default_rng(0).normal(size=(COUNT, 8, 6)).astype(np.float32)
A[:, :, 0] += 3


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("orbits") / "a.zarr"
    patches = np.random.default_rng(1).integers(0, 9, (COUNT, 7, 7, 3), dtype=np.uint8)
    patches[71] *= 20
    return ActivationStore.from_array(A, "D4", path, folds=3, patches=patches)


@pytest.fixture
def few_at_once(monkeypatch):
    parts = ("activations.orbits", "crosscoder.metrics", "crosscoder.baselines")
    parts += ("symmetry.variance", "studies.group_crosscoders.walkthrough")
    for part in parts:
        monkeypatch.setattr(import_module(f"gc_utils.{part}"), "AT_ONCE", 16)


def test_rows_on_disk_are_those_in_memory(store):
    whole, lazy = store.read(), StoredOrbits(store, np.arange(COUNT))
    rows = np.array([80, 3, 3, 17, 16])
    assert torch.equal(lazy[rows], whole[rows]) and torch.equal(lazy[5:40], whole[5:40])
    assert torch.equal(torch.cat(list(lazy.split(13))), whole)
    assert torch.equal(torch.cat(list(store.split(13))), whole)
    odd = some_of(lazy, np.arange(COUNT) % 2 == 1)
    assert isinstance(odd, torch.Tensor) and torch.equal(odd, whole[1::2])
    assert isinstance(orbits_of(store, most=10), StoredOrbits)
    with pytest.raises(IndexError, match="rows 3 to 90 of 90"):
        store[[3, 90]]


def test_patches_on_disk_are_indexed_as_in_memory(store):
    patches = store.patches
    whole = np.asarray(patches)
    assert patches.shape == whole.shape == (COUNT, 7, 7, 3) and patches.dtype == np.uint8
    mask = np.arange(COUNT) % 7 == 2
    for rows in (3, np.int64(3), [5, 1, 5], slice(2, 9), slice(0), mask, np.array([], int)):
        assert np.array_equal(patches[rows], whole[rows])
    for wrong in ([0, COUNT], np.ones(10, bool)):
        with pytest.raises(IndexError):
            patches[wrong]


def test_no_rows_are_no_orbits(store):
    for orbits in (store, StoredOrbits(store, np.arange(COUNT))):
        assert orbits[[]].shape == (0, 8, 6)


def test_some_orbits_are_spread_over_a_store(store):
    whole = store.read()
    assert torch.equal(spread_over(store, 8), whole[::8])
    assert torch.equal(spread_over(store, 8, most=5), whole[::18])
    inside = np.flatnonzero(store.fold != 0)
    assert torch.equal(spread_over(store, 3, inside), whole[inside][::3])


def test_codes_of_a_store_are_those_of_its_orbits(store, monkeypatch):
    monkeypatch.setattr("gc_utils.crosscoder.views.AT_ONCE", 16)
    coder = GroupCrosscoder("D4", 6, 12, k=3, sparsity="topk")
    expected = coder.encode(store.read()).detach()
    for orbits in (store, store.read(), StoredOrbits(store, np.arange(COUNT))):
        torch.testing.assert_close(codes_of(coder, orbits), expected)


def test_statistics_of_a_store_are_those_of_its_orbits(store, few_at_once):
    whole = store.read().float()
    torch.testing.assert_close(mean_response(store), whole.mean((0, 1)))
    found, expected = variance(store, store.group), variance(whole, store.group)
    centred = whole - whole.mean((0, 1))
    share = centred.mean(1).square().sum() / centred.square().mean(1).sum()
    assert found.invariant_share == pytest.approx(float(share), rel=1e-5)
    assert found.frequencies == pytest.approx(expected.frequencies, rel=1e-5)


def test_baselines_of_a_store_are_those_of_its_orbits(store, few_at_once):
    inside, outside = store.fold != 0, store.fold == 0
    whole, g = store.read(), store.group
    lazy = [StoredOrbits(store, np.flatnonzero(mask)) for mask in (inside, outside)]
    held = [whole[mask].float() for mask in (inside, outside)]
    for baseline in (
        lambda *x: pca_baseline(*x, g, components=4),
        lambda *x: ridge_baseline(*x, g),
    ):
        assert baseline(*lazy).fvu == pytest.approx(baseline(*held).fvu, rel=1e-4)


@pytest.mark.parametrize("name", ["D4", "C1"])
def test_a_crosscoder_learns_the_same_from_disk(store, name):
    whole, rows = store.read(), np.flatnonzero(store.fold != 0)
    lazy = StoredOrbits(store, np.arange(COUNT))
    held = StoredOrbits(store, np.flatnonzero(store.fold == 0))
    config = TrainConfig(steps=8, batch_size=32, evaluate_every=4, precision="float32")
    found = []
    for data, test in ((whole, whole[store.fold == 0].float()), (lazy, held)):
        coder = GroupCrosscoder(name, 6, 12, k=3)
        history = train(coder, data, rows, test, config, progress=False)
        found.append((coder.V.detach(), coder.threshold, history.held_out_fvu.iloc[-1]))
        metrics = evaluate(coder, views_for(coder, test), coder.mean)
        assert metrics.fvu == pytest.approx(found[-1][2], rel=1e-4)
    assert torch.equal(found[0][0], found[1][0]) and found[0][1] == found[1][1]
    assert found[0][2] == pytest.approx(found[1][2], rel=1e-6)


def test_only_a_buffer_of_rows_is_read_at_a_time(store, monkeypatch):
    memory = ShuffledBatches(store.read(), np.arange(COUNT), 8, seed=0, buffer=32)
    expected = torch.cat([memory.batch(step) for step in range(11)])
    read, rows = [], ActivationStore.rows

    def counted(self, of):
        read.append(len(of))
        return rows(self, of)

    monkeypatch.setattr(ActivationStore, "rows", counted)
    lazy = StoredOrbits(store, np.arange(COUNT))
    for data in (lazy, store):
        batches = ShuffledBatches(data, np.arange(COUNT), 8, seed=0, buffer=32)
        assert torch.equal(torch.cat([batches.batch(step) for step in range(11)]), expected)
        assert max(read) <= 32 and len(read) == 3
        read.clear()


def test_views_come_one_by_one(store):
    views = single_views(StoredOrbits(store, np.arange(COUNT)))
    whole = single_views(store.read())
    parts = list(views.split(50))
    assert len(views) == len(whole) == 8 * COUNT and views.shape == whole.shape
    assert torch.equal(torch.cat(parts), whole) and max(map(len, parts)) == 50


def test_the_patch_of_most_contrast_is_found_without_reading_all(store, few_at_once, monkeypatch):
    monkeypatch.setattr(RowsOnDisk, "__array__", lambda *_, **__: pytest.fail("read all"))
    assert contrasting(store) == 71
    assert contrasting(store, np.arange(COUNT) < 60) < 60


def test_a_threshold_from_some_orbits_is_near_that_from_all(store, monkeypatch):
    coder, found = GroupCrosscoder("C1", 6, 12, k=3), []
    for enough in (2**16, 400):
        monkeypatch.setattr("gc_utils.crosscoder.base.ENOUGH", enough)
        coder.calibrate(views_for(coder, StoredOrbits(store, np.arange(COUNT))), batch=64)
        codes = coder.encode(store.read().reshape(-1, 1, 6))
        found.append(float((codes > 0).float().sum(1).mean()))
    assert found[0] == pytest.approx(3, abs=1e-2) and found[1] == pytest.approx(3, abs=0.25)


def test_a_threshold_does_not_depend_on_how_often_scores_are_sorted(store):
    held = store.read().float()
    found = []
    for batch in (1, 7, 1000):
        coder = GroupCrosscoder("D4", 6, 12, k=3)
        coder.normalise(held)
        coder.calibrate(held, batch=batch)
        found.append(float(coder.threshold))
        assert evaluate(coder, held, coder.mean).l0 == pytest.approx(3, abs=0.05)
    assert found == pytest.approx([found[0]] * 3, rel=1e-6)
