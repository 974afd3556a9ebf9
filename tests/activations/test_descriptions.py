"""A store whose descriptions are not what its settings say is refused when it is opened."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from gc_utils.activations import ActivationStore
from gc_utils.activations.chunks import CheckedStore
from gc_utils.activations.extraction import _reopened
from gc_utils.errors import Damaged, UserError

A = np.random.default_rng(0).normal(size=(40, 4, 5)).astype(np.float32)
A[::2] *= 1e-5  # kept with exponents
ARRAYS = ("A", "patch", "exponent", "filled", "photograph", "x", "y", "scale", "fold")
ARRAYS += ("angle", "mirror")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "a.zarr"
    ids = np.repeat(np.arange(8), 5)
    return ActivationStore.from_array(A, "C4", path, images=ids, folds=2).path


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "a.zarr"))


def change(path: Path, *keys_and_value) -> None:
    """Put a value into a `zarr.json`, below its keys."""
    *keys, last, value = keys_and_value
    content = json.loads((path / "zarr.json").read_text())
    place = content
    for key in keys:
        place = place[key]
    place[last] = value
    (path / "zarr.json").write_text(json.dumps(content))


def read_all(path: Path) -> None:
    """Everything that a store hands out."""
    store = ActivationStore.open(path)
    assert store.read().any() and store[[3, 1]].any() and store.samples and store.checksum()
    assert np.asarray(store.patches).any() and store.group.order == 4
    assert [store.root[name][:] for name in ("angle", "mirror")]


def test_a_whole_store_is_read(copy):
    read_all(copy)


@pytest.mark.parametrize("name", ARRAYS)
def test_keys_of_chunks_that_are_written_otherwise_are_no_zeros(copy, name):
    change(copy / name, "chunk_key_encoding", "configuration", "separator", ".")
    with pytest.raises(Damaged, match=rf"the chunk keys of {name}: found .*expected"):
        ActivationStore.open(copy)


@pytest.mark.parametrize("encoding", ["default", "v2"])
def test_a_chunk_is_one_whatever_it_is_called(copy, encoding):
    """Also where nobody has looked at the descriptions."""
    import zarr

    told = {"name": encoding, "configuration": {"separator": "."}}
    change(copy / "A", "chunk_key_encoding", told)
    root = zarr.open_group(CheckedStore(copy), mode="r")
    with pytest.raises(Damaged, match=r"the chunk A/(c\.)?\d\.0\.0 of .* is missing"):
        root["A"][:]


def test_exponents_that_are_lost_are_missed(copy):
    change(copy / "exponent", "shape", [0])
    with pytest.raises(Damaged, match=r"the shape of exponent: found \(0,\), expected \(40,\)"):
        ActivationStore.open(copy)
    (copy / "exponent" / "zarr.json").write_text("{")
    with pytest.raises(Damaged, match="a zarr.json is missing, or is not what it was"):
        ActivationStore.open(copy)
    shutil.rmtree(copy / "exponent")
    with pytest.raises(Damaged, match="exponent"):
        ActivationStore.open(copy)


def test_a_store_of_an_earlier_version_has_no_exponents(copy, as_before):
    as_before(copy)
    assert np.isfinite(ActivationStore.open(copy).read().numpy()).all()


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("length", [0, 1, 2, 39, 100])
def test_a_length_that_is_not_that_of_the_settings_is_named(copy, name, length):
    change(copy / name, "shape", 0, length)
    with pytest.raises(Damaged, match=rf"the shape of {name}"):
        ActivationStore.open(copy)


TYPES = {"A": "float16", "patch": "uint8", "exponent": "uint8", "filled": "uint8"}
TYPES |= {"photograph": "int32", "fold": "int32", "x": "float32", "angle": "float64"}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        (name, dtype)
        for name, its in TYPES.items()
        for dtype in ("int16", "float32", "uint8", "int8", "uint32", "float64")
        if dtype != its
    ],
)
def test_numbers_of_another_kind_are_never_read(copy, name, dtype):
    change(copy / name, "data_type", dtype)
    change(copy / name, "fill_value", 0)
    with pytest.raises(Damaged):
        store = ActivationStore.open(copy)
        assert store.samples and np.asarray(store.root[name])


@pytest.mark.parametrize("name", ARRAYS)
def test_a_checksum_less_is_noticed(copy, name):
    codecs = json.loads((copy / name / "zarr.json").read_text())["codecs"]
    change(copy / name, "codecs", codecs[:-1])
    with pytest.raises(Damaged):
        ActivationStore.open(copy)


def test_bytes_in_another_order_and_numbers_that_fill_are_named(copy):
    change(copy / "x", "fill_value", 3.0)
    with pytest.raises(Damaged, match="the fill value of x is 3.0, expected 0"):
        ActivationStore.open(copy)
    change(copy / "x", "fill_value", 0.0)
    change(copy / "x", "codecs", 0, "configuration", "endian", "big")
    with pytest.raises(Damaged, match="the order of bytes of x"):
        ActivationStore.open(copy)


def test_channels_that_chunks_do_not_have_are_named_by_whoever_reads(copy):
    change(copy / "A", "shape", [40, 4, 7])
    change(copy / "A", "chunk_grid", "configuration", "chunk_shape", [16, 4, 7])
    store = ActivationStore.open(copy)
    for rows in (slice(None), [3, 1], slice(2, 9)):
        with pytest.raises(Damaged, match="the array A of .*a.zarr cannot be read"):
            store.rows(rows)
    with pytest.raises(Damaged, match="cannot be read"):
        store.checksum()


@pytest.mark.parametrize("name", ["model", "group", "dtype", "samples", "size", "layer"])
@pytest.mark.parametrize("value", [None, 0, True, {}, [1]])
def test_settings_that_are_none_are_named(copy, name, value):
    change(copy, "attributes", "settings", name, value)
    with pytest.raises(Damaged, match="a zarr.json is missing, or is not what it was"):
        ActivationStore.open(copy)


@pytest.mark.parametrize(("name", "value"), [("group", "D4"), ("group", "nix"), ("dtype", "D4")])
def test_settings_that_the_arrays_are_not_of_are_named(copy, name, value):
    change(copy, "attributes", "settings", name, value)
    with pytest.raises(Damaged, match="is not what it was .*expected|unknown group 'nix'"):
        ActivationStore.open(copy)


@pytest.mark.parametrize("value", [None, "abc", 5, [3], {"a": 1}])
def test_photographs_that_are_no_names_are_named(copy, value):
    change(copy, "attributes", "photographs", value)
    with pytest.raises(Damaged, match="the photographs are no list of names"):
        ActivationStore.open(copy)


def test_photographs_that_are_too_few_are_named(copy):
    change(copy, "attributes", "photographs", ["a", "b"])
    with pytest.raises(Damaged, match="a sample is of photograph 2, expected less than 2"):
        _ = ActivationStore.open(copy).samples
    change(copy, "attributes", "settings", "pictures", "3 (0123abcd)")
    with pytest.raises(Damaged, match="the number of photographs: found 2, expected 3"):
        ActivationStore.open(copy)


@pytest.mark.parametrize("file", ["zarr.json", "A/zarr.json", "A/c/0/0/0"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_named_and_not_waited_for(copy, file, make):
    (copy / file).unlink()
    make(copy / file)
    with pytest.raises(Damaged, match=f"{file} of .*a.zarr is no file"):
        ActivationStore.open(copy).read()


def test_settings_of_another_kind_are_left_to_a_person(copy):
    change(copy, "attributes", "settings", ["a"])
    with pytest.raises(Damaged, match="Delete the store"):
        _reopened(copy, {"samples": 40})
    assert (copy / "A").exists()


def test_of_a_linked_store_the_link_is_deleted(copy, tmp_path):
    (tmp_path / "run").mkdir()
    link = tmp_path / "run" / "a.zarr"
    link.symlink_to("../a.zarr")
    (copy / "fold" / "c" / "0").unlink()  # beyond repair
    settings = ActivationStore._open(link).settings
    assert _reopened(link, settings) is None
    assert not link.is_symlink() and (copy / "A" / "c" / "0").exists()
    link.symlink_to("../nowhere")
    with pytest.raises(UserError, match="is a link to ../nowhere, which is not there"):
        ActivationStore.open(link)
