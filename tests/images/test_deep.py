"""Images of 10 to 16 bits a channel fill the range, however their channels are stored."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from gc_utils.images.decoding import Unreadable, upright_pixels, upright_size

tifffile = pytest.importorskip("tifffile")


def read(data):
    height, width = upright_size(io.BytesIO(data), 1024)
    pixels = upright_pixels(io.BytesIO(data), height, width)
    return (pixels * 255).round().byte().permute(1, 2, 0).numpy()


def chunk(name, data):
    crc = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)


def sixteen_bits(values):
    """A PNG file of 16 bits a channel, which Pillow reads and does not write."""
    height, width = values.shape[:2]
    kind = {2: 4, 3: 2, 4: 6}[values.shape[2]]  # grey and alpha, colours, colours and alpha
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["grey png", "grey tif", "colour png", "colour tif", "deflated"])
def test_the_bits_of_a_sensor_fill_the_range(kind, bits):
    values = np.random.default_rng(0).integers(0, 2**bits, (20, 30, 3)).astype(np.uint16)
    values[0, 0] = 2**bits - 1
    values = values[..., 0] if "grey" in kind else values
    out = io.BytesIO()
    if kind == "grey png":
        Image.fromarray(values).save(out, "png")
    elif kind == "colour png":
        out.write(sixteen_bits(values))
    else:
        tifffile.imwrite(out, values, compression="deflate" if kind == "deflated" else None)
    expected = values if values.ndim == 3 else values[..., None]
    # Of 16 bits in colour Pillow gives the upper byte.
    expected = np.broadcast_to(expected / (2**bits - 1), (20, 30, 3))
    np.testing.assert_allclose(read(out.getvalue()) / 255, expected, atol=1.01 / 255)


def test_colours_of_12_bits_can_lie_on_their_side():
    values = np.arange(20 * 30 * 3, dtype=np.uint16).reshape(20, 30, 3) * 2
    out = io.BytesIO()
    tifffile.imwrite(out, values, extratags=[(0x0112, 3, 1, 6, True)])
    expected = np.rot90(values, -1) / 4095
    np.testing.assert_allclose(read(out.getvalue()) / 255, expected, atol=0.6 / 255)


def colours(bits, channels=3):
    values = np.random.default_rng(1).integers(0, 2**bits, (20, 30, channels)).astype(np.uint16)
    values[0, 0] = 2**bits - 1
    return values


@pytest.mark.parametrize("opaque", ["all bits", "as many bits as colours"])
@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["png", "tif", "tif, multiplied", "tif, deflated"])
def test_colours_beside_transparency_fill_the_range(kind, bits, opaque):
    values = colours(bits, 4)
    values[..., 3] = 65535 if opaque == "all bits" else 2**bits - 1
    if kind == "png":
        data = sixteen_bits(values)
    else:
        out = io.BytesIO()
        extra = "assocalpha" if "multiplied" in kind else "unassalpha"
        how = "deflate" if "deflated" in kind else None
        if extra == "assocalpha" and opaque == "all bits":
            values[..., 3] = 2**bits - 1  # no colour of a product fills what its alpha does not
        tifffile.imwrite(out, values, extrasamples=[extra], photometric="rgb", compression=how)
        data = out.getvalue()
    expected = values[..., :3] / (2**bits - 1)
    np.testing.assert_allclose(read(data) / 255, expected, atol=1.01 / 255)


@pytest.mark.parametrize("bits", [12, 16])
def test_grey_beside_transparency_fills_the_range_and_lies_over_mid_grey(bits):
    values = colours(bits, 2)
    values[:10, :, 1], values[10:, :, 1] = 65535, 0
    found = read(sixteen_bits(values))
    expected = values[:10, :, :1].repeat(3, 2) / (2**bits - 1)
    np.testing.assert_allclose(found[:10] / 255, expected, atol=1.01 / 255)
    assert (found[10:] == 128).all()


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [12, 16])
@pytest.mark.parametrize("channels", [3, 4])
def test_colours_in_planes_of_their_own_are_read(channels, bits, order):
    values, out = colours(bits, channels), io.BytesIO()
    values[..., 3:] = 65535
    options = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tags = [(0x0112, 3, 1, 6, True)]
    planes = np.moveaxis(values, 2, 0)
    options |= {"photometric": "rgb", "planarconfig": "separate", "rowsperstrip": 7}
    tifffile.imwrite(out, planes, byteorder=order, extratags=tags, **options)
    expected = np.rot90(values[..., :3], -1) / (2**bits - 1)
    np.testing.assert_allclose(read(out.getvalue()) / 255, expected, atol=1.01 / 255)


def test_planes_of_which_half_the_bits_are_lost_are_named():
    out = io.BytesIO()
    planes = np.moveaxis(colours(12), 2, 0)
    options = {"photometric": "rgb", "planarconfig": "separate", "compression": "deflate"}
    tifffile.imwrite(out, planes, **options)
    with pytest.raises(Unreadable, match="separate compressed planes"):
        read(out.getvalue())
    out = io.BytesIO()
    grey = np.zeros((2, 20, 30), np.uint8)
    tifffile.imwrite(out, grey, extrasamples=["unassalpha"], **options | {"photometric": 1})
    with pytest.raises(Unreadable, match="grey and transparency in separate planes"):
        read(out.getvalue())
