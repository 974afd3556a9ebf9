"""`run.json`: what was made of what, and whether it still is."""

from __future__ import annotations

import json
import os
import time

import pytest

from gc_utils.errors import UserError
from gc_utils.pipeline.fingerprints import Checksums, checksum, file_checksum, folder_checksum
from gc_utils.pipeline.manifest import Manifest


def test_a_killed_run_leaves_a_record_that_can_be_resumed(tmp_path):
    manifest = Manifest(tmp_path)
    inputs = {"notebook": "n", "parameters": {}, "code": {"m": "p"}, "upstream": {}}
    manifest.begin("demo", {})
    manifest.start("01_a", inputs)
    time.sleep(0.02)
    (tmp_path / "activations.zarr").mkdir()
    (tmp_path / "activations.zarr" / "c0").write_text("chunk")
    found = Manifest(tmp_path)
    assert found.why_stale("01_a", inputs) == "interrupted last time"
    assert found.resumable("01_a", inputs)
    assert not found.resumable("01_a", inputs | {"parameters": {"group": "D8"}})
    found.clear("01_a")
    assert not (tmp_path / "activations.zarr").exists()


def test_a_folder_has_a_checksum_of_names_and_contents(tmp_path):
    (tmp_path / "z" / "deep").mkdir(parents=True)
    (tmp_path / "z" / "deep" / "a").write_text("1")
    before = checksum(tmp_path / "z")
    (tmp_path / "z" / "deep" / "a").rename(tmp_path / "z" / "a")
    assert checksum(tmp_path / "z") != before


@pytest.mark.parametrize("kind", ["folder", "imagenet"])
def test_only_images_that_are_read_make_a_run_stale(tmp_path, kind):
    from PIL import Image

    root = tmp_path / ".cache" / "a+b"
    (root / "n01").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(root / "n01" / "a.png")
    spec = f"scenes:4+{kind}:{root}+photos"
    before = folder_checksum(spec)
    assert before and folder_checksum("scenes:4+photos") == ""
    for name in (".DS_Store", "n01/Thumbs.db", "n01/._a.png", ".ipynb_checkpoints/a.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("left behind")
    assert folder_checksum(spec) == before
    Image.new("RGB", (9, 9)).save(root / "n01" / "b.png")
    added = folder_checksum(spec)
    Image.new("RGB", (8, 8)).save(root / "n01" / "b.png")
    assert len({before, added, folder_checksum(spec)}) == 3


def test_what_a_file_browser_leaves_in_a_product_does_not_make_it_stale(tmp_path):
    inputs = {"notebook": "n", "parameters": {}, "code": {"m": "p"}, "pictures": "", "upstream": {}}
    manifest = Manifest(tmp_path)
    manifest.begin("demo", {})
    manifest.start("01_a", inputs)
    for folder in ("a.zarr", "checkpoints"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "c0").write_text("chunk")
        (tmp_path / folder / ".DS_Store").write_text("view")
    manifest.stop("01_a", "done")
    assert set(manifest.records["01_a"]["outputs"]) == {"a.zarr", "checkpoints/c0"}
    before = manifest.outputs_checksum("01_a")
    for name in ("a.zarr/.DS_Store", "a.zarr/Thumbs.db", "checkpoints/.DS_Store"):
        (tmp_path / name).write_text("another view")
    assert manifest.why_stale("01_a", inputs) is None
    assert (
        checksum(tmp_path / "a.zarr") == (manifest.records["01_a"]["outputs"]["a.zarr"]["sha256"])
    )
    assert manifest.outputs_checksum("01_a") == before
    (tmp_path / "a.zarr" / "c0").write_text("another chunk")
    assert "a.zarr was changed since" in manifest.why_stale("01_a", inputs)


@pytest.mark.parametrize(
    "text", ["{", "{}", "[]", '{"notebooks": [1]}', '{"notebooks": {"01_a": 3}}']
)
def test_a_record_that_is_none_is_refused(text, tmp_path):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match="cannot be read"):
        Manifest(tmp_path)


INPUTS = {"notebook": "n", "parameters": {}, "code": {}, "pictures": "", "upstream": {}}


@pytest.fixture
def manifest(tmp_path):
    made = Manifest(tmp_path)
    made.begin("demo", {})
    return made


def write(path, text: str, time: float | None = None) -> None:
    """As a file server does whose clock shows `time`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if time is not None:
        os.utime(path, (time, time))


@pytest.mark.parametrize("hours", [-5, 0, 5], ids=["behind", "right", "ahead"])
def test_a_product_belongs_to_its_notebook_whatever_the_clock_of_its_server(
    tmp_path, manifest, hours
):
    now = time.time() + 3600 * hours
    for name, product in (("01_a", "a.csv"), ("02_b", "b.csv")):
        manifest.start(name, INPUTS)
        write(tmp_path / product, "seed 0", now)
        write(tmp_path / "checkpoints" / name, "kept", now)
        manifest.stop(name, "done")
        found = set(manifest.records[name]["outputs"])
        assert found == {product, f"checkpoints/{name}"}
    before = manifest.outputs_checksum("01_a")
    manifest.clear("01_a")
    manifest.start("01_a", INPUTS | {"parameters": {"seed": 1}})
    write(tmp_path / "a.csv", "seed 1", now)  # of the same size and time
    manifest.stop("01_a", "done")
    assert manifest.outputs_checksum("01_a") != before
    assert manifest.why_stale("02_b", INPUTS) is None


def test_a_killed_notebook_owns_what_it_changed_and_nothing_else(tmp_path, manifest):
    manifest.start("01_a", INPUTS)
    write(tmp_path / "a.csv", "a")
    manifest.stop("01_a", "done")
    manifest.start("02_b", INPUTS)
    write(tmp_path / "b.csv", "b", 0)
    again = Manifest(tmp_path)
    assert again.records["02_b"]["status"] == "interrupted"
    assert set(again.records["02_b"]["outputs"]) == {"b.csv"}
    again.clear("02_b")
    assert (tmp_path / "a.csv").exists() and not (tmp_path / "b.csv").exists()


def test_equal_data_are_equal_whenever_they_were_written(tmp_path, manifest):
    write(tmp_path / "a.zarr" / "c0", "1", 0)
    write(tmp_path / "weights.pth", "w", 0)
    before = manifest.outputs_checksum("01_extract"), file_checksum(str(tmp_path / "weights.pth"))
    (tmp_path / "activations.zarr").mkdir()
    write(tmp_path / "a.zarr" / "c0", "1", 10**9)
    write(tmp_path / "weights.pth", "w", 10**9)
    after = manifest.outputs_checksum("01_extract"), file_checksum(str(tmp_path / "weights.pth"))
    assert before[1] == after[1] and "01_extract" not in manifest.records
    write(tmp_path / "weights.pth", "v", 10**9)
    assert file_checksum(str(tmp_path / "weights.pth")) != after[1]


def test_given_products_are_known_by_content(tmp_path, manifest):
    write(tmp_path / "activations.zarr" / "c0", "1", 0)
    before = manifest.outputs_checksum("01_extract")
    write(tmp_path / "activations.zarr" / "c0", "1", 10**9)
    assert manifest.given("01_extract") and manifest.outputs_checksum("01_extract") == before
    write(tmp_path / "activations.zarr" / "c0", "2", 10**9)
    assert manifest.outputs_checksum("01_extract") != before


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path, manifest):
    manifest.start("01_a", INPUTS)
    write(tmp_path / "a.csv", "1.0", 0)
    write(tmp_path / "b.csv", "2.0", 0)
    manifest.stop("01_a", "done")
    assert manifest.why_stale("01_a", INPUTS) is None
    write(tmp_path / "a.csv", "1.1", 0)
    assert manifest.why_stale("01_a", INPUTS) == "a.csv was changed since"
    # It can be made again beside what is whole.
    assert manifest.repairable("01_a", INPUTS)
    manifest.clear("01_a", damaged=True)
    assert not (tmp_path / "a.csv").exists() and (tmp_path / "b.csv").exists()
    assert set(manifest.records["01_a"]["outputs"]) == {"b.csv"}


STRAYS = [
    ".DS_Store",
    "._c0",
    "Thumbs.db",
    "c0~",
    "#c0#",
    ".c0.swp",
    "~$c0",
    "c0.bak",
    "c0.partial",
]
STRAYS += [".nfs0000000000a1", "zarr.json.orig", "c0.tmp"]


def test_what_others_leave_in_a_run_is_nobodys_product(tmp_path, manifest):
    manifest.start("01_a", INPUTS)
    write(tmp_path / "a.zarr" / "c0", "1")
    write(tmp_path / "checkpoints" / "x.safetensors", "1")
    for folder in ("a.zarr", "checkpoints"):
        write(tmp_path / folder / STRAYS[0], "before")
    manifest.stop("01_a", "done")
    before = manifest.outputs_checksum("01_a")
    for name in STRAYS:
        write(tmp_path / "a.zarr" / name, "left")
        write(tmp_path / "checkpoints" / name, "left")
    write(tmp_path / "~$a.csv", "left")
    assert manifest.why_stale("01_a", INPUTS) is None
    manifest.start("02_b", INPUTS)
    manifest.stop("02_b", "done")
    assert manifest.outputs_checksum("01_a") == before
    assert manifest.records["02_b"]["outputs"] == {}


def test_a_checksum_is_of_what_is_there_now(tmp_path, monkeypatch):
    """However fast a file is written twice, and however little the file system says of it."""
    sums, path, clock = Checksums(), tmp_path / "a", [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    read = []
    from gc_utils.pipeline import fingerprints

    digest = fingerprints._digest
    monkeypatch.setattr(fingerprints, "_digest", lambda p: (read.append(p), digest(p))[1])
    path.write_text("1")
    first = sums(path)
    path.write_text("2")
    assert sums(path) != first == checksum_of("1", tmp_path)
    read.clear()
    for clock[0] in (10.0, 20.0, 30.0):
        sums(path)
    assert len(read) == 1, "once it has rested, it is not read again"


def checksum_of(text: str, folder) -> str:
    (folder / "other").write_text(text)
    return checksum(folder / "other")


def test_a_run_of_another_version_is_named(tmp_path, manifest):
    manifest.start("01_a", INPUTS)
    manifest.stop("01_a", "done")
    path = tmp_path / "run.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps(whole | {"format": 7}))
    with pytest.raises(UserError, match=r"another version.*its format is 7, expected 1.*--output"):
        Manifest(tmp_path)
    del whole["notebooks"]["01_a"]["inputs"]
    path.write_text(json.dumps(whole))
    with pytest.raises(UserError, match="cannot be read.*another version.*'inputs'"):
        Manifest(tmp_path)


def test_a_run_json_that_is_cut_anywhere_is_named(tmp_path, manifest):
    manifest.start("01_a", INPUTS)
    manifest.stop("01_a", "done")
    path = tmp_path / "run.json"
    whole = path.read_bytes()
    for length in range(0, len(whole) - 2, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match="run.json cannot be read"):
            Manifest(tmp_path)
