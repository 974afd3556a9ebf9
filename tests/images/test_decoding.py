"""Any container and any orientation tag is read upright once; metadata costs no pixels."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gc_utils.images import load_images
from gc_utils.images.decoding import FORMATS, Unreadable, upright_pixels, upright_size

SHAPE = (36, 60)  # stored lying
CONTAINERS = ("jpg", "png", "webp", "tif", "tif, deflate")
SIDEWAYS = (5, 6, 7, 8)
# Type and content of the tag, as a little-endian IFD has them: SHORT is 3, ASCII 2, RATIONAL 5.
NONSENSE = {
    "0": (3, 1, struct.pack("<HH", 0, 0)),
    "9": (3, 1, struct.pack("<HH", 9, 0)),
    "65535": (3, 1, struct.pack("<HH", 65535, 0)),
    "text": (2, 4, b"top\0"),
    "digits": (2, 2, b"6\0\0\0"),
    "two numbers": (3, 2, struct.pack("<HH", 6, 8)),
    "none": (3, 0, bytes(4)),
    "bytes": (7, 4, b"\x06\x00\x06\x00"),
    "a fraction beyond the end": (5, 1, struct.pack("<I", 90_000)),
    "an unknown type": (77, 1, bytes(4)),
}


def picture():
    """A white disc in the upper left, on ramps that tell every orientation from the others."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    disc = (x - 16) ** 2 + (y - 16) ** 2 < 10**2
    return np.stack([255 * disc, 4 * x, 7 * y], 2).astype(np.uint8)


def block(kind, count, value):
    """EXIF with one tag, the orientation."""
    entry = struct.pack("<HHI", 0x0112, kind, count) + value
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)


def stored(container, tag, array=None):
    """The bytes of a file with an orientation tag: type, count and value."""
    image, out = Image.fromarray(picture() if array is None else array), io.BytesIO()
    if container == "jpg":
        image.save(out, "jpeg", quality=98, subsampling=0, exif=block(*tag))
    elif container == "png":
        image.save(out, "png", exif=block(*tag))
    elif container == "webp":
        image.save(out, "webp", lossless=True, exif=block(*tag))
    else:
        exif = Image.Exif()
        exif[0x0112] = 1
        how = "tiff_adobe_deflate" if "deflate" in container else "raw"
        image.save(out, "tiff", exif=exif, compression=how)
        old = struct.pack("<HHIHH", 0x0112, 3, 1, 1, 0)
        assert out.getvalue().count(old) == 1
        new = struct.pack("<HHI", 0x0112, *tag[:2]) + tag[2]
        return out.getvalue().replace(old, new)
    return out.getvalue()


def read(data):
    height, width = upright_size(io.BytesIO(data), 1024)
    pixels = upright_pixels(io.BytesIO(data), height, width)
    assert pixels.shape == (3, height, width)
    return (pixels * 255).round().byte().permute(1, 2, 0).numpy()


def upright(array, tag):
    """What a viewer shows, by the standard's words, and not by Pillow's."""
    if tag in SIDEWAYS:
        array = array.swapaxes(0, 1)
    bottom, right = tag in (3, 4, 7, 8), tag in (2, 3, 6, 7)
    array = array[::-1] if bottom else array
    return array[:, ::-1] if right else array


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_orientation_of_every_container_is_read_upright_once(container):
    for tag in range(1, 9):
        found = read(stored(container, (3, 1, struct.pack("<HH", tag, 0)))).astype(int)
        expected = upright(picture(), tag)
        assert found.shape == expected.shape
        assert np.abs(found - expected).mean() < (2 if container == "jpg" else 1e-9)


@pytest.mark.parametrize("container", CONTAINERS)
def test_an_orientation_that_makes_no_sense_squashes_and_loses_nothing(container):
    for nonsense, tag in NONSENSE.items():
        found = read(stored(container, tag)).astype(int)
        # Two numbers may count as their first; all else says nothing.
        allowed = [upright(picture(), tag) for tag in (1, 6)[: 1 + (nonsense == "two numbers")]]
        errors = [np.abs(found - a).mean() for a in allowed if a.shape == found.shape]
        assert min(errors, default=255) < (2 if container == "jpg" else 1e-9), nonsense


@pytest.mark.parametrize("exif", [b"", b"\0", b"Exif\0\0", b"Exif\0\0II*\0", b"junk" * 50, b"MM"])
@pytest.mark.parametrize("container", ["jpeg", "png", "webp"])
def test_malformed_exif_costs_no_pixels(container, exif):
    out = io.BytesIO()
    options = {"quality": 98, "subsampling": 0} if container == "jpeg" else {"lossless": True}
    Image.fromarray(picture()).save(out, container, exif=exif, **options)
    assert np.abs(read(out.getvalue()).astype(int) - picture()).mean() < 2


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "L", "P", "1", "I;16"])
def test_a_tiff_file_read_by_its_path_is_upright(tmp_path, mode):
    """Pillow maps uncompressed files that it opens by path, and did so with the turned size."""
    image = Image.fromarray(picture())
    if mode == "I;16":
        image = Image.fromarray(picture()[..., 0].astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    for tag in range(1, 9):
        image.save(tmp_path / f"{tag}.tif", tiffinfo={0x0112: tag})
        height, width = upright_size(tmp_path / f"{tag}.tif", 1024)
        found = upright_pixels(tmp_path / f"{tag}.tif", height, width).permute(1, 2, 0) * 255
        if mode == "I;16":
            stored_as = np.repeat(picture()[..., :1], 3, 2)
        else:
            stored_as = np.asarray(image.convert("RGB"))
        assert np.array_equal(found.round().numpy(), upright(stored_as, tag)), tag


def chunk(name, data, crc=None):
    crc = zlib.crc32(name + data) if crc is None else crc
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


@pytest.mark.parametrize(
    "bad",
    [
        chunk(b"eXIf", b"MM\0*", crc=7),
        chunk(b"tEXt", b"Title\0" + b"x" * 9, crc=0),
        chunk(b"iCCP", b"profile\0\0not compressed"),
        chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(70_000_000), 9)),
        chunk(b"pHYs", b"\0"),
        chunk(b"acTL", b"\0"),
    ],
    ids=lambda bad: bad[4:8].decode(),
)
def test_a_png_chunk_that_pixels_do_not_depend_on_costs_none(bad):
    out = io.BytesIO()
    Image.fromarray(picture()).save(out, "png")
    data = out.getvalue()
    assert np.array_equal(read(data[:33] + bad + data[33:]), picture())  # after the header


def test_a_jpeg_segment_that_pixels_do_not_depend_on_costs_none():
    out = io.BytesIO()
    Image.fromarray(picture()).save(out, "jpeg", quality=98)
    data = out.getvalue()
    for marker, content in ((0xE2, b"MPF\0junk"), (0xED, b"Photoshop 3.0\0" + b"8BIM\x04")):
        segment = struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
        assert np.array_equal(read(data[:2] + segment + data[2:]), read(data))


def test_a_picture_with_a_damaged_caption_is_still_turned():
    """What says which side is up is kept when the rest of the metadata is dropped."""
    turned = (3, 1, struct.pack("<HH", 6, 0))
    expected = upright(picture(), 6).astype(int)
    png, jpg, tif = (stored(container, turned) for container in ("png", "jpg", "tif"))
    png = png[:33] + chunk(b"tEXt", b"Comment\0hello", crc=1) + png[33:]
    (length,) = struct.unpack_from(">H", jpg, 4)
    assert jpg[2:4] == b"\xff\xe0"
    jpg = jpg[:2] + b"\xff\xe0\0\x06JFIF" + jpg[4 + length :]
    for data, error in ((png, 0), (jpg, 2), (tif, 0)):
        found = read(data).astype(int)
        assert found.shape == expected.shape and np.abs(found - expected).mean() <= error


@pytest.mark.parametrize("name", [b"tEXt", b"iTXt"])
def test_an_orientation_in_a_text_of_a_png_file_outlives_another_damaged_text(name):
    if name == b"tEXt":  # as ImageMagick writes it
        exif = block(3, 1, struct.pack("<HH", 6, 0))
        text = b"Raw profile type exif\0\nexif\n%8d\n%s\n" % (len(exif), exif.hex().encode())
    else:
        text = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="6"/>'
    out = io.BytesIO()
    Image.fromarray(picture()).save(out, "png")
    data = out.getvalue()
    bad = chunk(b"tEXt", b"Comment\0hello", crc=1)
    data = data[:33] + chunk(name, text) + bad + data[33:]
    assert np.array_equal(read(data), upright(picture(), 6))


# Kinds


def test_what_only_begins_like_postscript_starts_no_other_program():
    assert not {"EPS", "WMF", "PSD", "FITS"} & set(FORMATS)
    with pytest.raises(Unreadable, match="not an image, or damaged"):
        upright_size(io.BytesIO(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), 1024)


def test_heic_under_another_name_and_nothing_at_all_are_named(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "good.jfif", "jpeg")
    (tmp_path / "phone.jpg").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (tmp_path / "empty.png").touch()
    images = load_images(f"folder:{tmp_path}")
    assert [p.name for p in images] == ["good.jfif"] and dict(images.skipped) == {
        "phone.jpg": "a HEIC image, which is not read; save it as JPEG",
        "empty.png": "empty",
    }
