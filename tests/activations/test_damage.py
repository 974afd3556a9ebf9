"""What is missing or damaged in a store is named, never read as zeros, and can be made again."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from zarr.storage import LocalStore

from gc_utils.activations import CHUNK, ActivationStore, extract
from gc_utils.activations.chunks import CheckedStore, writing
from gc_utils.errors import Damaged, DiskFull, UserError
from gc_utils.images import load_images
from gc_utils.models import load_model
from gc_utils.pipeline.fingerprints import checksum

COUNT = 3 * CHUNK + 5


@pytest.fixture(scope="module")
def network():
    model = load_model("filter_bank", group="C4")
    return model, load_images("scenes:4", min_size=model.crop_size("filters"))


@pytest.fixture(scope="module")
def whole(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "a.zarr"
    return make(path, network)


@pytest.fixture
def copy(whole, tmp_path):
    return Path(shutil.copytree(whole.path, tmp_path / "a.zarr"))


def make(path, network) -> ActivationStore:
    model, images = network
    return extract(path, model, "filters", "C4", images, samples=COUNT, progress=False)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    file.write_bytes(data)


DAMAGES = {"missing": Path.unlink, "cut": cut, "empty": lambda f: f.write_bytes(b""), "flip": flip}
READ = {
    "A/c/1/0/0": lambda store: store[CHUNK : 2 * CHUNK],
    "A/c/3/0/0": lambda store: store[[0, COUNT - 1]],
    "patch/c/2/0/0/0": lambda store: np.asarray(store.patches),
    "fold/c/0": lambda store: store.fold,
    "x/c/0": lambda store: store.samples,
}


@pytest.mark.parametrize(
    ("file", "damage"),
    [*((file, damage) for file in list(READ)[:1] for damage in DAMAGES)]
    + [(file, damage) for file in list(READ)[1:] for damage in ("missing", "flip")],
)
def test_a_damaged_chunk_is_named(copy, file, damage):
    DAMAGES[damage](copy / file)
    what = "is missing: run the" if damage == "missing" else "was cut short or changed since"
    with pytest.raises(Damaged, match=rf"the chunk {file} of .*a.zarr {what}"):
        READ[file](ActivationStore.open(copy))


def test_every_way_of_reading_all_of_a_store_sees_it(copy):
    (copy / "A" / "c" / "2" / "0" / "0").unlink()
    store = ActivationStore.open(copy)
    for read in (store.read, store.checksum, lambda: store[:], lambda: store[np.arange(COUNT)]):
        with pytest.raises(Damaged, match="A/c/2/0/0"):
            read()
    assert torch.isfinite(store[: 2 * CHUNK]).all(), "what is whole can be read"


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("A/c/1/0/0", "missing"),
        ("A/c/3/0/0", "flip"),
        ("patch/c/2/0/0/0", "cut"),
        ("filled/c/2", "flip"),
        ("filled/c/1", "missing"),
        ("fold/c/0", "missing"),
        ("angle/c/0", "empty"),
    ],
)
def test_extracting_again_makes_it_whole(copy, whole, network, file, damage, capsys):
    DAMAGES[damage](copy / file)
    (copy / "A" / "c" / "1" / "0" / "0.0123abcd.partial").write_bytes(b"left by a kill")
    again = make(copy, network)
    assert torch.equal(again.read(), whole.read()) and np.array_equal(again.patches, whole.patches)
    assert checksum(copy) == checksum(whole.path)
    made_anew = file.split("/")[0] in ("fold", "angle")
    assert ("It is made again" in capsys.readouterr().out) == made_anew


def test_only_what_is_damaged_is_computed_again(copy, network, monkeypatch, capsys):
    model, images = network
    unit, calls = model.unit, []
    monkeypatch.setattr(model, "unit", lambda x, layer: (calls.append(len(x)), unit(x, layer))[1])
    make(copy, network)
    assert not calls
    flip(copy / "A" / "c" / "0" / "0" / "0")
    (copy / "patch" / "c" / "2" / "0" / "0" / "0").unlink()
    cut(copy / "filled" / "c" / "1")
    make(copy, network)
    assert sum(calls) == 3 * CHUNK * 4
    assert "2 damaged chunks are computed again" in capsys.readouterr().out


@pytest.mark.parametrize("file", ["zarr.json", "A/zarr.json", "patch/zarr.json", "fold/zarr.json"])
@pytest.mark.parametrize("how", ["missing", "cut"])
def test_a_store_without_its_descriptions_is_named(copy, network, whole, file, how):
    DAMAGES[how](copy / file)
    with pytest.raises(Damaged, match="a.zarr is damaged: a zarr.json is missing, or is not"):
        ActivationStore.open(copy)
    if file == "zarr.json":  # nobody knows what it was
        with pytest.raises(Damaged, match="Delete the store"):
            make(copy, network)
    else:
        assert torch.equal(make(copy, network).read(), whole.read())


def test_a_damaged_store_of_other_settings_is_left_alone(copy, network):
    (copy / "fold" / "c" / "0").unlink()
    model, images = network
    with pytest.raises(UserError, match="samples is 53 there, 20 asked for"):
        extract(copy, model, "filters", "C4", images, samples=20, progress=False)
    assert (copy / "A" / "c" / "1" / "0" / "0").exists()


def test_zeros_that_were_computed_are_no_missing_chunk(network, tmp_path, monkeypatch):
    model, images = network
    unit = model.unit
    monkeypatch.setattr(model, "unit", lambda x, layer: unit(x, layer) * 0)
    store = make(tmp_path / "a.zarr", network)
    assert not store.read().any() and not store[[3, 40]].any()


def test_equal_stores_have_equal_bytes(whole, network, tmp_path):
    assert checksum(make(tmp_path / "b.zarr", network).path) == checksum(whole.path)
    made = json.loads((whole.path / "zarr.json").read_text())["attributes"]
    assert "seconds" not in made
    before = checksum(whole.path)
    make(whole.path, network)
    assert checksum(whole.path) == before, "looking at it changes nothing"


def test_an_array_that_was_not_written_to_its_end_is_not_there(tmp_path, monkeypatch):
    A = torch.randn(2 * CHUNK, 4, 3)
    path = tmp_path / "a.zarr"
    monkeypatch.setattr("gc_utils.activations.arrays.draw_orbits", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ActivationStore.from_array(A, "C4", path)
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    store = ActivationStore.from_array(A, "C4", path)
    assert torch.equal(store.read(), A.half())
    (path / "A" / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(Damaged, match="delete the store and write it again"):
        ActivationStore.open(path)[:4]


def test_a_full_disk_is_said_and_the_rest_goes_on_from_there(network, whole, tmp_path, monkeypatch):
    written, put = [], LocalStore.set

    async def full(self, key, value):
        written.append(key)
        if key.startswith("A/c/2"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return await put(self, key, value)

    monkeypatch.setattr(LocalStore, "set", full)
    path = tmp_path / "a.zarr"
    with pytest.raises(DiskFull, match="no room on the disk for .*a.zarr.*Make room"):
        make(path, network)
    with pytest.raises(UserError, match="unfinished .2 of 4 chunks"):
        ActivationStore.open(path)
    monkeypatch.undo()
    assert torch.equal(make(path, network).read(), whole.read())


def test_a_store_of_before_has_no_checksums_and_can_be_read(tmp_path):
    root = zarr.open_group(tmp_path / "a", mode="w", zarr_format=3)
    root.create_array("A", data=np.arange(20.0), chunks=(5,))
    checked = zarr.open_group(CheckedStore(tmp_path / "a"), mode="r+")
    assert checked["A"][7] == 7
    (tmp_path / "a" / "A" / "c" / "1").unlink()
    with pytest.raises(Damaged, match="make the store again"):
        checked["A"][7]
    with writing(checked):
        checked["A"][5:10] = 0.0
    assert checked["A"][7] == 0


def test_coordinates_that_an_earlier_version_left_out_as_zeros_are_read(copy, as_before):
    """Its arrays had no checksums; of activations and patches a missing chunk is still named."""
    as_before(copy)
    shutil.rmtree(copy / "x" / "c")  # as of one whose numbers were all zero
    store = ActivationStore.open(copy)
    assert (store.samples["x"] == 0).all() and store.dtype == torch.float16
    assert store.samples["y"].any() and store[:4].any()
    (copy / "A/c/0/0/0").unlink()
    with pytest.raises(Damaged, match="A/c/0/0/0 .* is missing"):
        store[:4]
