"""`run.json`: what was made of what, and whether it still is."""

from __future__ import annotations

import time

import pytest

from gc_utils.errors import UserError
from gc_utils.pipeline.manifest import Manifest, checksum, folder_checksum


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
