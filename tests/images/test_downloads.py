"""`imagenet_samples` against a local server: whole files, and what happens when they are not."""

from __future__ import annotations

import errno
import io
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gc_utils import downloads as fetching
from gc_utils.errors import UserError
from gc_utils.files import git_blob_id
from gc_utils.images import downloads, image_files, load_images
from gc_utils.images.photographs import ours_to_show, without_paths
from gc_utils.pipeline.parameters import check_values

NAMES = [f"n{i:02d}_thing.JPEG" for i in range(6)]


def jpeg(seed: int) -> bytes:
    """A small photograph: one is greyscale, one has four channels, one is too small for most."""
    side = 24 if seed == 5 else 64
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert({1: "L", 2: "CMYK"}.get(seed, "RGB")).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def site(monkeypatch, tmp_path):
    """A server of six photographs: `files` by name, `cut` those whose bytes stop half way."""

    class Site(BaseHTTPRequestHandler):
        files = {name: jpeg(i) for i, name in enumerate(NAMES)}
        cut: set[str] = set()
        asked: list[str] = []

        def do_GET(self):
            name = self.path.rpartition("/")[2]
            type(self).asked.append(name)
            if name not in self.files:
                return self.send_error(404)
            data = self.files[name]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if name in self.cut else data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    table = [downloads.Published(n, len(d), git_blob_id(d)) for n, d in Site.files.items()]
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(downloads, "published", lambda: table)
    monkeypatch.setattr(downloads, "ADDRESS", f"http://127.0.0.1:{server.server_port}/commit")
    monkeypatch.setattr(fetching, "PAUSE", 0.0)
    monkeypatch.setattr(downloads, "AT_ONCE", 1)  # in the order of the table
    yield Site
    server.shutdown()
    server.server_close()


def kept() -> list[str]:
    return sorted(p.name for p in downloads.samples_folder().glob("*"))


def test_the_table_names_a_thousand_files():
    files = downloads.published()
    assert len({file.name for file in files}) == len(files) == 1000
    assert [file.name for file in files] == sorted(file.name for file in files)
    assert sum(file.size for file in files) == 109_576_417
    assert all(re.fullmatch(r"[0-9a-f]{40}", file.blob) for file in files)
    assert downloads.COMMIT in downloads.ADDRESS


def test_files_are_fetched_once_and_listed_in_their_order(site, monkeypatch):
    monkeypatch.setattr(downloads, "AT_ONCE", 4)
    images = load_images("imagenet_samples+scenes:2", min_size=32)
    assert [p.name for p in images][:5] == NAMES[:5] and images[5].source == "scenes"
    assert images.skipped == [
        (NAMES[5], "too small: 24x24 pixels, at least 32 wanted"),
    ]
    assert sorted(site.asked) == kept() == NAMES
    grey, four = images[1].load(), images[2].load()
    assert grey.shape == four.shape == (3, 64, 64)
    assert (grey[0] == grey[2]).all() and not (four[0] == four[2]).all()
    again = load_images("imagenet_samples+scenes:2", min_size=32)
    assert list(again) == list(images) and len(site.asked) == len(NAMES), "nothing asked again"


@pytest.mark.parametrize(
    ("spoil", "said", "attempts"),
    [
        ("corrupt", "has git blob id", fetching.ATTEMPTS),
        ("cut", "IncompleteRead", fetching.ATTEMPTS),
        ("short", "bytes, not", fetching.ATTEMPTS),
        ("missing", "404", 1),
    ],
)
def test_a_bad_file_is_named_and_not_kept_and_the_next_call_goes_on(site, spoil, said, attempts):
    bad, good = NAMES[3], site.files[NAMES[3]]
    if spoil == "cut":
        site.cut = {bad}
    elif spoil == "missing":
        site.files = {name: data for name, data in site.files.items() if name != bad}
    else:
        site.files = site.files | {bad: good[:-9] if spoil == "short" else good[:-1] + b"?"}
    with pytest.raises(UserError, match=f"{bad} .*{said}.*imagenet_samples:PATH"):
        load_images("imagenet_samples")
    assert site.asked.count(bad) == attempts
    assert kept()[:3] == NAMES[:3] and bad not in kept() and len(kept()) < len(NAMES)
    before = kept()
    site.files, site.cut = site.files | {bad: good}, set()
    site.asked.clear()
    assert len(load_images("imagenet_samples")) == len(NAMES)
    assert site.asked == [name for name in NAMES if name not in before]


def test_a_connection_that_fails_once_is_tried_again(site, monkeypatch):
    read, failed = fetching._read, []

    def unsteady(address, bar):
        if not failed:
            failed.append(address)
            raise ConnectionResetError("reset")
        return read(address, bar)

    monkeypatch.setattr(fetching, "_read", unsteady)
    assert len(load_images("imagenet_samples")) == len(NAMES) and failed


def test_an_interrupted_download_goes_on(site, monkeypatch):
    read = fetching._read

    def interrupted(address, bar):
        if address.endswith(NAMES[2]):
            raise KeyboardInterrupt
        return read(address, bar)

    monkeypatch.setattr(fetching, "_read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load_images("imagenet_samples")
    there = kept()
    assert NAMES[:2] == there[:2] and NAMES[2] not in there and len(there) < len(NAMES)
    monkeypatch.setattr(fetching, "_read", read)
    site.asked.clear()
    load_images("imagenet_samples")
    assert site.asked == [name for name in NAMES if name not in there]


def test_a_cache_without_room_is_named(site, monkeypatch):
    @contextmanager
    def full(path, **options):
        raise OSError(errno.ENOSPC, "No space left on device")
        yield path

    monkeypatch.setattr(fetching, "write_whole", full)
    with pytest.raises(UserError, match="cannot keep .*No space left .*TORCH_HOME"):
        load_images("imagenet_samples")


def test_a_file_that_was_damaged_in_the_cache_is_fetched_again(site):
    load_images("imagenet_samples")
    site.asked.clear()
    (downloads.samples_folder() / NAMES[4]).write_bytes(b"x")
    load_images("imagenet_samples")
    assert site.asked == [NAMES[4]]


@pytest.fixture
def copy(site, tmp_path) -> Path:
    """The six files in a folder, with others beside them."""
    folder = tmp_path / "a+b"
    folder.mkdir()
    for name, data in site.files.items():
        (folder / name).write_bytes(data)
    (folder / "README.md").write_text("of the repository")
    (folder / "other.png").write_bytes(b"none of the published files")
    return folder


def test_a_folder_takes_the_place_of_the_download(site, copy):
    images = load_images(f"imagenet_samples:{copy}+scenes:1")
    assert [p.name for p in images] == [*NAMES, "scene-0-0"]
    assert images[0].path == copy / NAMES[0]
    assert site.asked == [] and not downloads.samples_folder().exists()
    assert image_files(f"imagenet_samples:{copy}") == [], "they are always the same"


def test_a_folder_with_other_files_is_refused_with_the_first_of_them(site, copy):
    asked = f"imagenet_samples:{copy}"
    (copy / NAMES[3]).write_bytes(jpeg(99))
    with pytest.raises(UserError, match=rf"{NAMES[3]} has \d+ bytes, not|{NAMES[3]} has git blob"):
        load_images(asked)
    (copy / NAMES[1]).unlink()
    with pytest.raises(UserError, match=rf"{NAMES[1]} is missing \(1 more of 6 .*folder:PATH"):
        load_images(asked)
    with pytest.raises(UserError, match="does not exist"):
        load_images(f"{asked}/nowhere")
    with pytest.raises(UserError, match="is not a folder"):
        load_images(f"{asked}/README.md")
    assert site.asked == []


def test_without_a_network_it_is_said_before_anything_runs(site, monkeypatch):
    monkeypatch.setattr(downloads, "ADDRESS", "http://127.0.0.1:9/closed")
    with pytest.raises(UserError, match="cannot download .*'imagenet_samples:PATH'"):
        check_values({"images": "photos+imagenet_samples"})
    assert kept() == []


def test_the_same_photographs_twice_are_refused(copy):
    with pytest.raises(UserError, match="twice"):
        load_images(f"imagenet_samples+imagenet_samples:{copy}")


@pytest.mark.parametrize(
    ("spec", "ours", "plain"),
    [
        ("", True, ""),
        ("photos+scenes:8", True, "photos+scenes:8"),
        ("photos+imagenet_samples", False, "photos+imagenet_samples"),
        ("imagenet_samples:/a/b+c", False, "imagenet_samples"),
        ("scenes:8+folder:/a/b+imagenet:/c", False, "scenes:8+folder:PATH+imagenet:PATH"),
    ],
)
def test_what_a_spec_says_to_others(spec, ours, plain):
    assert ours_to_show(spec) is ours
    assert without_paths(spec) == plain
