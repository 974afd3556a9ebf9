"""The same pixels are the same picture, whatever else the file holds; others are others."""

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from gc_utils.images import decoding, load_images


def picture(seed=0, size=(120, 160)):
    blobs = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8))
    return blobs.resize(size[::-1], Image.Resampling.BICUBIC)


def turned(image, **options):
    """Stored lying, with a tag that has it turned back."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return image.rotate(90, expand=True), {"exif": exif, **options}


def jpeg(image=None, **options):
    out = io.BytesIO()
    (image or picture()).save(out, "jpeg", quality=92, **options)
    return out.getvalue()


def listed(folder):
    images = load_images(f"folder:{folder}")
    return [p.name for p in images], dict(images.skipped)


def test_metadata_and_what_follows_make_no_other_picture_of_a_jpeg_file(tmp_path):
    data = jpeg()
    (tmp_path / "a.jpg").write_bytes(data)
    (tmp_path / "comment.jpg").write_bytes(data[:2] + b"\xff\xfe\0\x06copy" + data[2:])
    (tmp_path / "trailing.jpg").write_bytes(data + b"\0")
    (tmp_path / "whole.jpg").write_bytes(data)
    (tmp_path / "other.jpg").write_bytes(jpeg(picture(1)))
    names, skipped = listed(tmp_path)
    assert names == ["a.jpg", "other.jpg"]
    same = "the same picture as 'a.jpg'"
    assert skipped == {"comment.jpg": same, "trailing.jpg": same, "whole.jpg": same}


def test_a_picture_saved_without_loss_is_no_other_one(tmp_path):
    image = picture()
    image.save(tmp_path / "a.png")
    image.save(tmp_path / "b.bmp")
    image.save(tmp_path / "c.webp", lossless=True)
    image.save(tmp_path / "d.tif", compression="tiff_lzw")
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "x")
    image.save(tmp_path / "e.png", pnginfo=text)
    lying, options = turned(image)
    lying.save(tmp_path / "f.png", **options)
    lying.save(tmp_path / "other.png")  # is shown lying
    names, skipped = listed(tmp_path)
    assert names == ["a.png", "other.png"]
    assert set(skipped.values()) == {"the same picture as 'a.png'"} and len(skipped) == 5


@pytest.mark.parametrize("first", ["a.png", "z.png"])
@pytest.mark.parametrize("size", [(37, 203), (257, 403), (300, 1100)])
def test_the_pixels_of_a_jpeg_file_saved_without_loss_are_no_other_picture(tmp_path, first, size):
    (tmp_path / "m.jpg").write_bytes(jpeg(picture(0, size)))
    Image.open(tmp_path / "m.jpg").save(tmp_path / first)
    picture(1, size).save(tmp_path / "zz.png")
    names, skipped = listed(tmp_path)
    kept, copy = sorted(["m.jpg", first])
    assert names == [kept, "zz.png"] and skipped == {copy: f"the same picture as {kept!r}"}


def test_pictures_that_differ_in_a_pixel_are_two(tmp_path):
    array = np.array(picture())
    Image.fromarray(array).save(tmp_path / "a.png")
    array[60, 80, 1] ^= 1
    Image.fromarray(array).save(tmp_path / "b.png")
    # Two JPEG files that are one flat grey at an eighth, and differ inside its squares.
    y, x = np.mgrid[:256, :256]
    for name, waves in (("c.jpg", x), ("d.jpg", y)):
        stripes = (np.where(waves % 2, 100, 156)).astype(np.uint8)
        (tmp_path / name).write_bytes(jpeg(Image.fromarray(stripes)))
    eighths = [decoding.upright_look(tmp_path / name, 1024).digest for name in ("c.jpg", "d.jpg")]
    assert eighths[0] == eighths[1], "or the test tests nothing"
    assert listed(tmp_path) == (["a.png", "b.png", "c.jpg", "d.jpg"], {})


def test_no_picture_without_a_likeness_is_decoded_twice(tmp_path, monkeypatch):
    for i in range(6):
        (tmp_path / f"{i}.jpg").write_bytes(jpeg(picture(i, (260, 300))))
        picture(10 + i, (260, 300)).save(tmp_path / f"{i}.png")
    again = []
    monkeypatch.setattr("gc_utils.images.copies.pixel_digest", lambda path: again.append(path))
    opened = []
    plain = Image.open
    monkeypatch.setattr(Image, "open", lambda *a, **k: opened.append(1) or plain(*a, **k))
    assert len(load_images(f"folder:{tmp_path}")) == 12
    assert again == [] and len(opened) == 12
    opened.clear()
    assert len(load_images(f"folder:{tmp_path}", limit=3)) == 3
    assert len(opened) == 3, "no more than the limit lets through"
