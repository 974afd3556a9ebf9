"""Lost pixels are named where they can be told, and no sound file is taken for a damaged one."""

import io

import numpy as np
import pytest
from PIL import Image, features

from gc_utils.images.decoding import Unreadable, upright_size


def noisy(side=320):
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((side, side))
    return np.clip(np.asarray(smooth) + rng.normal(0, 25, (side, side, 3)), 0, 255).astype(np.uint8)


def encoded(array, form, mode=None, **options):
    out, image = io.BytesIO(), Image.fromarray(array)
    (image.convert(mode) if mode else image).save(out, form, **options)
    return out.getvalue()


DAMAGED = {
    "zeros in the middle": lambda d, n: d[: n // 3] + bytes(n // 3) + d[n // 3 * 2 :],
    "zeros at the end": lambda d, n: d[: n // 2] + bytes(n - n // 2),
    "an end in the middle": lambda d, n: d[: n // 2] + b"\xff\xd9" + d[n // 2 :],
    "cut and ended": lambda d, n: d[: n // 2] + b"\xff\xd9",
    "a lost block": lambda d, n: d[: n // 3] + d[n // 3 + 4096 :],
}


@pytest.mark.parametrize("options", [{}, {"quality": 95, "subsampling": 0}, {"mode": "L"}])
@pytest.mark.parametrize("side", [200, 320, 1000])
@pytest.mark.parametrize("how", DAMAGED)
def test_jpeg_files_with_lost_blocks_are_named(how, side, options):
    data = encoded(noisy(side), "jpeg", **options)
    upright_size(io.BytesIO(data), 1024)
    with pytest.raises(Unreadable, match="damaged|truncated"):
        upright_size(io.BytesIO(DAMAGED[how](data, len(data))), 1024)


def test_scans_and_parts_that_are_missing_are_named():
    data = encoded(noisy(), "jpeg", progressive=True)
    with pytest.raises(Unreadable, match="end before its last pixels"):
        upright_size(io.BytesIO(data[: len(data) // 4] + b"\xff\xd9"), 1024)
    data = encoded(noisy(), "jpeg", restart_marker_rows=1)
    at, after = data.index(b"\xff\xd3"), data.index(b"\xff\xd4")
    with pytest.raises(Unreadable, match="parts of it are missing"):
        upright_size(io.BytesIO(data[:at] + data[after:]), 1024)


@pytest.mark.parametrize("form", ["webp", "avif"])
@pytest.mark.parametrize("how", ["zeros in the middle", "zeros at the end"])
def test_webp_and_avif_files_with_zeros_are_named(form, how):
    if not features.check(form):
        pytest.skip(f"this Pillow reads no {form}")
    data = encoded(noisy(), form)
    upright_size(io.BytesIO(data), 1024)
    with pytest.raises(Unreadable):
        upright_size(io.BytesIO(DAMAGED[how](data, len(data))), 1024)


FLAT = {"black": 0, "grey below": 127, "grey": 128, "white": 255}


@pytest.mark.parametrize("shade", FLAT)
def test_sound_files_of_plain_surfaces_are_read(shade):
    """Their codes repeat, and the grey ones end as if pixels were missing."""
    plain = np.full((300, 900, 3), FLAT[shade], np.uint8)
    half = plain.copy()
    half[:150] = noisy(900)[:150]
    for array in (plain, half):
        for options in ({}, {"optimize": True}, {"progressive": True}, {"mode": "L"}):
            for more in ({}, {"restart_marker_blocks": 3}, {"quality": 100}, {"subsampling": 0}):
                data = encoded(array, "jpeg", **options, **more)
                assert upright_size(io.BytesIO(data + b"\0junk"), 1024) == (300, 900)
        assert upright_size(io.BytesIO(encoded(array, "jpeg", mode="CMYK")), 1024) == (300, 900)
        for form in ("webp", "avif"):
            for options in ({}, {"lossless": True}) if form == "webp" else ({},):
                if features.check(form):
                    data = encoded(array, form, **options)
                    assert upright_size(io.BytesIO(data), 1024) == (300, 900)
