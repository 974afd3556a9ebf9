"""Bad images do no harm: no crash, no warning, every one read soundly or named and skipped.

60 of them by default; `GC_UTILS_BAD_IMAGES=500` tries as many.
"""

import os
import runpy
import time
import warnings
from pathlib import Path

import pytest
import torch

from gc_utils.images import image_files, load_images
from gc_utils.images.decoding import SUFFIXES, UNREAD

# Tests are no package: pytest imports each file by itself.
made_by = runpy.run_path(str(Path(__file__).with_name("bad_images.py")))
MAKERS, make_bad_images = made_by["MAKERS"], made_by["make_bad_images"]

COUNT = int(os.environ.get("GC_UTILS_BAD_IMAGES", 60))
LONGEST = 20  # seconds for one image on a busy machine: a hang would be longer


def test_there_are_more_than_twenty_kinds():
    assert len(MAKERS) >= 30 and COUNT >= len(MAKERS)


def test_bad_images_are_read_or_named_and_do_no_harm(tmp_path):
    made = make_bad_images(tmp_path, COUNT)
    started = time.monotonic()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = load_images(f"folder:{tmp_path}")
        assert time.monotonic() - started < LONGEST * COUNT / 10
        assert len(image_files(f"folder:{tmp_path}")) >= len(images)
        for photograph in images:
            pixels = photograph.load()
            assert pixels.shape == (3, photograph.height, photograph.width), photograph.name
            assert pixels.isfinite().all() and 0 <= pixels.min() and pixels.max() <= 1
    read = {p.name[:4] for p in images}
    skipped = {name[:4]: reason for name, reason in images.skipped}
    assert len(images) == len(read) and len(images.skipped) == len(skipped)
    assert not read & skipped.keys()
    wrong = []
    for start, (kind, expected) in made.items():
        if kind == "folder":
            accounted = start not in read and start not in skipped
        else:
            accounted = start in read or start in skipped
        same = skipped.get(start, "").startswith("the same picture")
        right = expected is None or same or expected == (start in read)
        if not (accounted and right):
            wrong.append((start, kind, expected, skipped.get(start, "read")))
    assert not wrong, wrong
    for reason in skipped.values():
        reason.encode()
        assert reason and "\n" not in reason and str(tmp_path) not in reason and len(reason) < 200
    assert images.summary().encode()


@pytest.mark.parametrize("suffix", sorted(SUFFIXES))
def test_every_ending_that_is_read_is_tried(tmp_path, suffix):
    """An image is known by its contents, whatever its ending."""
    from PIL import Image

    Image.new("RGB", (9, 9), "red").save(tmp_path / "a", "png")
    (tmp_path / "a").rename(tmp_path / f"a{suffix}")
    (photograph,) = load_images(f"folder:{tmp_path}")
    assert torch.equal(photograph.load()[:, 0, 0], torch.tensor([1.0, 0, 0]))
    assert suffix not in UNREAD
