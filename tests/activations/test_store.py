"""The store: what is in it is what was computed, however often it was interrupted."""

import re

import numpy as np
import pytest
import torch

from gc_utils import pipeline
from gc_utils.activations import CHUNK, ActivationStore, extract, plan_samples
from gc_utils.activations.extraction import drawn_photographs
from gc_utils.crosscoder import ShuffledBatches
from gc_utils.errors import UserError
from gc_utils.groups import group
from gc_utils.images import load_images, orbit
from gc_utils.models import load_model
from gc_utils.symmetry import variance

G, LAYER, COUNT = "D4", "filters", 2 * CHUNK + 5


@pytest.fixture(scope="module")
def model():
    return load_model("filter_bank", group=G)


@pytest.fixture(scope="module")
def images(model):
    return load_images("scenes:5", min_size=model.crop_size(LAYER))


@pytest.fixture(scope="module")
def store(model, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "activations.zarr"
    return extract(path, model, LAYER, G, images, samples=COUNT, progress=False)


def test_a_row_is_the_response_to_the_orbit_of_its_point(store, model, images):
    size = model.crop_size(LAYER)
    assert len(store) == COUNT and store.channels == model.channels(LAYER)
    for n in (0, 17, COUNT - 1):
        at = {k: v[n] for k, v in store.samples.items()}
        photograph = images[int(at["photograph"])].load()
        point = torch.tensor([[at["x"], at["y"]]])
        crops = orbit(photograph, point, float(at["scale"]), G, size)[0]
        assert torch.allclose(store[[n]][0], model.unit(crops, LAYER), rtol=2e-3, atol=1e-3)
        identity = (crops[0] * 255).round().byte().permute(1, 2, 0).numpy()
        assert np.abs(store.patches[n].astype(int) - identity).max() <= 1


def test_rows_come_in_the_order_asked_for(store):
    whole = store.read().float()
    rows = np.array([30, 2, 2, 17, 0])
    assert torch.equal(store[rows], whole[rows])
    assert torch.equal(store[3:9], whole[3:9])


def test_coordinates_of_elements_are_the_group_s(store):
    g = group(G)
    assert np.array_equal(store.root["angle"][:], g.angles.numpy())
    assert np.array_equal(store.root["mirror"][:], g.mirrored.numpy())
    assert store.group is g


def test_no_photograph_is_in_two_folds(store):
    for i in np.unique(store.samples["photograph"]):
        assert len(np.unique(store.fold[store.samples["photograph"] == i])) == 1
    assert set(store.fold) == {0, 1, 2, 3}


def test_stopped_extraction_goes_on(store, model, images, tmp_path, monkeypatch):
    path, calls = tmp_path / "a.zarr", []
    unit = model.unit

    def interrupted(crops, layer):
        calls.append(len(crops))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return unit(crops, layer)

    monkeypatch.setattr(model, "unit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extract(path, model, LAYER, G, images, samples=COUNT, progress=False)
    with pytest.raises(UserError, match="unfinished .*run the extraction again"):
        ActivationStore.open(path)
    before = len(calls)
    again = extract(path, model, LAYER, G, images, samples=COUNT, progress=False)
    assert again.checksum() == store.checksum()
    assert len(calls) - before == 2  # of three chunks one was there
    extract(path, model, LAYER, G, images, samples=COUNT, progress=False)
    assert len(calls) - before == 2  # nothing is left to do


def test_other_settings_are_an_error_that_names_them(store, model, images):
    with pytest.raises(UserError, match=r"group is 'D4' there, 'C8' asked for.*overwrite"):
        extract(store.path, model, LAYER, "C8", images, samples=COUNT, progress=False)
    with pytest.raises(UserError, match=r"seed is 0 there, 1 asked for; blur|blur .*; seed"):
        extract(
            store.path, model, LAYER, G, images, samples=COUNT, seed=1, blur=0.5, progress=False
        )
    assert len(ActivationStore.open(store.path)) == COUNT  # and it is still there


def test_overwriting_is_possible_when_asked_for(store, model, images, tmp_path):
    path = tmp_path / "a.zarr"
    for name in ("C1", "C2"):
        made = extract(path, model, LAYER, name, images, samples=8, overwrite=True, progress=False)
        assert made.group.name == name


def test_stored_photographs_can_be_found_again(store, images):
    assert [p.name for p in store.images()] == [p.name for p in images]


def test_every_photograph_is_sampled(images):
    plan = plan_samples(images, 23, size=63)
    assert len(plan["x"]) == 23 and set(plan["photograph"]) == set(range(5))
    again = plan_samples(images, 23, size=63)
    assert all(np.array_equal(plan[k], again[k]) for k in plan)
    other = plan_samples(images, 23, size=63, seed=1)
    assert not np.array_equal(plan["x"], other["x"])


def test_of_more_photographs_than_samples_some_are_drawn(images, model, tmp_path, capsys):
    plan = plan_samples(images, 3, size=63)
    assert len(set(plan["photograph"])) == 3 and set(plan["fold"]) == {0, 1, 2}
    assert (np.diff(plan["photograph"]) > 0).all()
    assert len({tuple(drawn_photographs(5, 3, seed)) for seed in range(6)}) > 1
    store = extract(tmp_path / "a.zarr", model, LAYER, G, images, samples=3, progress=False)
    said = capsys.readouterr().out
    assert "3 orbits of 5 images: 3 images are drawn" in said and "3 folds in place of 4" in said
    assert len(store.images()) == 5  # of which two are not looked at
    n, of = 1, int(store.samples["photograph"][1])
    at = torch.tensor([[store.samples[name][n] for name in "xy"]])
    size, scale = model.crop_size(LAYER), float(store.samples["scale"][n])
    crops = orbit(images[of].load(), at, scale, G, size)[0]
    assert torch.allclose(store.crops([n], images)[0], crops)


def test_few_photographs_make_few_folds_and_one_is_refused(images):
    assert set(plan_samples(images[:3], 20, size=63)["fold"]) == {0, 1, 2}
    with pytest.raises(UserError, match="at least 2 photographs"):
        plan_samples(images[:1], 20, size=63)


@pytest.mark.parametrize("buffer", [7, 16, 1000])
def test_an_epoch_shows_every_row_once(store, buffer):
    rows = np.flatnonzero(store.fold != 0)
    batches = ShuffledBatches(store, rows, 5, seed=0, buffer=buffer)
    steps = len(rows)  # five epochs
    seen = torch.cat([batches.batch(i) for i in range(steps)])
    memory = ShuffledBatches(store.read(), rows, 5, seed=0, buffer=buffer)
    assert torch.equal(seen, torch.cat([memory.batch(i) for i in range(steps)]))
    whole = store.read().float()
    for epoch in range(5):
        order = batches.order(epoch)
        assert sorted(order) == sorted(rows)
        part = seen[epoch * len(rows) : (epoch + 1) * len(rows)]
        assert torch.equal(part, whole[order])
    assert not np.array_equal(batches.order(0), batches.order(1))


def test_batches_can_be_asked_for_from_any_step(store):
    rows = np.arange(COUNT)
    first, second = (ShuffledBatches(store, rows, 8, seed=3, buffer=12) for _ in range(2))
    walked = [first.batch(i) for i in range(12)]
    assert torch.equal(second.batch(11), walked[11])
    assert torch.equal(second.batch(2), walked[2])


@pytest.mark.parametrize(
    "factor, said",
    [
        (
            1e6,
            r"filters': activations up to .* \(sample \d+ \(image 'scene.*do not fit float16; "
            r"extract with dtype='float32' \(the parameter dtype of 01_extract",
        ),
        (
            float("nan"),
            r"layer 'filters': .* sample 0 \(image '.*is NaN, expected a finite number "
            r"\(8 of 8 .* hold NaN, 0 infinity",
        ),
        (float("inf"), r"is (infinite|NaN), expected a finite number"),
    ],
)
def test_what_cannot_be_stored_is_named(model, images, tmp_path, monkeypatch, factor, said):
    unit = model.unit
    monkeypatch.setattr(model, "unit", lambda x, layer: unit(x, layer) * factor)
    with pytest.raises(UserError, match=said):
        extract(tmp_path / "a.zarr", model, LAYER, G, images, samples=8, progress=False)
    if factor == 1e6:
        made = {"samples": 8, "progress": False, "dtype": "float32"}
        assert extract(tmp_path / "b.zarr", model, LAYER, G, images, **made).dtype == torch.float32


def test_small_activations_are_stored_as_well_as_others(model, images, tmp_path, monkeypatch):
    unit = model.unit
    made = []
    for number, factor in enumerate((1.0, 1e-7, 1e-12)):
        monkeypatch.setattr(model, "unit", lambda x, layer, by=factor: unit(x, layer) * by)
        path = tmp_path / f"{number}.zarr"
        store = extract(path, model, LAYER, G, images, samples=5, progress=False)
        made.append(store.read().double() / factor)
    for small in made[1:]:
        assert (small - made[0]).norm() / made[0].norm() < 1e-3


def test_01_offers_the_storage_type_that_its_advice_names():
    record = next(n for n in pipeline.find_notebooks() if n.number == "01")
    assert record.parameters["dtype"].default == "float16"


def test_a_missing_store_names_its_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    missing = re.escape(str(tmp_path / "a.zarr"))
    with pytest.raises(UserError, match=f"no activation store at {missing}; fill one"):
        ActivationStore.open("a.zarr")


@pytest.mark.parametrize("name", ["C8", "D8"])
def test_variance_finds_what_was_put_in(name):
    """A third invariant, the rest at angular frequency 2 (and none elsewhere)."""
    g, draw = group(name), torch.Generator().manual_seed(0)
    invariant = torch.randn(4000, 1, 3, generator=draw)
    phase = torch.rand(4000, 1, 3, generator=draw) * 6.283
    wave = 2 * torch.cos(2 * torch.deg2rad(g.angles.float())[None, :, None] + phase)
    found = variance(invariant + wave + 10, g)
    assert found.invariant_share == pytest.approx(1 / 3, abs=0.03)
    assert found.per_channel == pytest.approx(np.full(3, 1 / 3), abs=0.04)
    assert found.frequencies[2] == pytest.approx(1, abs=1e-3)
    assert found.mean_over_sd == pytest.approx(10 / 3**0.5, rel=0.05)
