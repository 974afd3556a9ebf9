"""A folder of bad images: broken, mutated, strange or no images at all, by seed.

A maker writes one file from a random generator. It returns whether the file has to be read (True),
must not be read (False), or may be either (None), as a file in which a bit was flipped.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

Maker = Callable[[Generator, Path], bool | None]
FORMATS = {"jpg": "jpeg", "png": "png", "gif": "gif", "webp": "webp", "tif": "tiff", "bmp": "bmp"}
FORMATS |= {"jp2": "jpeg2000", "ppm": "ppm"}
FULL = (40, 48)  # height and width


def pixels(rng: Generator, channels: int = 3) -> np.ndarray:
    """Random blobs, uint8 `(height, width, channels)`."""
    coarse = Image.fromarray(rng.integers(0, 256, (6, 7, 3), np.uint8))
    array = np.asarray(coarse.resize(FULL[::-1], Image.Resampling.BICUBIC))
    return array if channels == 3 else array[..., 0]


def encoded(rng: Generator, ending: str = "", **options) -> tuple[bytes, str]:
    """A sound file and its ending."""
    ending = ending or str(rng.choice(list(FORMATS)))
    out = io.BytesIO()
    Image.fromarray(pixels(rng)).save(out, FORMATS[ending], **options)
    return out.getvalue(), ending


def write(path: Path, data: bytes, ending: str) -> None:
    path.with_name(f"{path.name}.{ending}").write_bytes(data)


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(width: int, height: int, content: bytes) -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", content) + png_chunk(b"IEND", b"")


# --- mutations of good files


def truncated(rng, path):
    data, ending = encoded(rng)
    write(path, data[: rng.integers(1, len(data))], ending)


def truncated_early(rng, path):
    data, ending = encoded(rng)
    write(path, data[: rng.integers(1, 24)], ending)
    return False


def bits_flipped(rng, path):
    data, ending = encoded(rng)
    data = bytearray(data)
    for at in rng.integers(0, len(data), rng.integers(1, 40)):
        data[at] ^= 1 << int(rng.integers(8))
    write(path, bytes(data), ending)


def header_flipped(rng, path):
    data, ending = encoded(rng)
    data = bytearray(data)
    for at in rng.integers(0, min(len(data), 120), rng.integers(1, 8)):
        data[at] = rng.integers(256)
    write(path, bytes(data), ending)


def zeroed(rng, path):
    data, ending = encoded(rng)
    a, b = sorted(rng.integers(0, len(data), 2))
    write(path, data[:a] + bytes(int(b - a)) + data[b:], ending)


def bytes_inserted(rng, path):
    data, ending = encoded(rng)
    at = rng.integers(len(data))
    write(path, data[:at] + rng.bytes(int(rng.integers(1, 50))) + data[at:], ending)


def bytes_lost(rng, path):
    data, ending = encoded(rng)
    at = rng.integers(len(data))
    write(path, data[:at] + data[at + rng.integers(1, 30) :], ending)


def two_halves(rng, path):
    (a, ending), (b, _) = encoded(rng), encoded(rng)
    write(path, a[: len(a) // 2] + b[len(b) // 2 :], ending)


def tail_of_junk(rng, path):
    data, ending = encoded(rng, str(rng.choice(["jpg", "png", "bmp", "gif"])))
    write(path, data + rng.bytes(500), ending)
    return True


# --- files that say what is not so


def wrong_ending(rng, path):
    data, _ = encoded(rng, str(rng.choice(["jpg", "png", "gif", "webp", "tif"])))
    write(path, data, str(rng.choice(["png", "jpeg", "tiff", "webp", "PNG", "jfif"])))
    return True


def nothing(rng, path):
    write(path, b"", str(rng.choice(list(FORMATS))))
    return False


def zeros(rng, path):
    write(path, bytes(int(rng.integers(1, 5000))), str(rng.choice(list(FORMATS))))
    return False


def junk(rng, path):
    write(path, b"\x07" + rng.bytes(int(rng.integers(1, 5000))), str(rng.choice(list(FORMATS))))
    return False


def text(rng, path):
    words = ["no image", "<html><b>404</b></html>", "<svg xmlns='http://www.w3.org/2000/svg'/>"]
    words += ["version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"]
    write(path, str(rng.choice(words)).encode(), str(rng.choice(list(FORMATS))))
    return False


def postscript(rng, path):
    write(path, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\nshowpage\n", "jpg")
    return False


def heic(rng, path):
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + rng.bytes(100)
    write(path, data, str(rng.choice(["heic", "HEIC", "jpg"])))
    return False


def huge_png(rng, path):
    side = int(rng.choice([40_000, 2_000_000_000]))
    write(path, png_of(side, side, zlib.compress(bytes(10_000))), "png")
    return False


def huge_others(rng, path):
    size = struct.pack("<ii", 200_000, 200_000)
    if rng.random() < 0.5:
        data, ending = bytearray(encoded(rng, "bmp")[0]), "bmp"
        data[18:26] = size
    else:
        data, ending = b"P6 200000 200000 255\n" + bytes(100), "ppm"
    write(path, bytes(data), ending)
    return False


def no_pixels(rng, path):
    if rng.random() < 0.5:
        write(path, png_of(0, int(rng.integers(2)), zlib.compress(b"")), "png")
    else:
        write(path, b"P5 0 0 255\n", "pgm")
    return False


def too_few_rows(rng, path):
    rows = bytes(int(rng.integers(0, 20)) * (3 * 48 + 1))
    write(path, png_of(48, 40, zlib.compress(rows)), "png")
    return None  # decoders make the missing rows black


def looping_tiff(rng, path):
    data = bytearray(encoded(rng, "tif")[0])
    data[4:8] = struct.pack("<I", int(rng.choice([0, 4, len(data) - 2, 2**32 - 1])))
    write(path, bytes(data), "tif")


# --- sound pixels with metadata that is not


def exif_junk(rng, path):
    ending = str(rng.choice(["jpg", "png", "webp"]))
    exif = [
        b"Exif\0\0II*\0" + rng.bytes(60),
        rng.bytes(30),
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff",
        b"",
    ]
    write(path, encoded(rng, ending, exif=exif[rng.integers(len(exif))])[0], ending)
    return True


def orientation_junk(rng, path):
    kind, count = int(rng.integers(1, 14)), int(rng.integers(0, 5))
    entry = struct.pack("<HHI", 0x0112, kind, count) + rng.bytes(4)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    ending = str(rng.choice(["jpg", "png", "webp"]))
    write(path, encoded(rng, ending, exif=exif)[0], ending)
    return True


def colour_profile_junk(rng, path):
    ending = str(rng.choice(["jpg", "png", "webp", "tif"]))
    write(path, encoded(rng, ending, icc_profile=rng.bytes(200))[0], ending)
    return True


def png_text_junk(rng, path):
    data = encoded(rng, "png")[0]
    bomb = b"k\0\0" + zlib.compress(bytes(80_000_000), 1)
    bad = [b"Title\0" + rng.bytes(40), b"no end", b"", bomb]
    which = int(rng.integers(len(bad)))
    chunk = png_chunk(b"zTXt" if which == 3 else b"iTXt", bad[which])
    write(path, data[:33] + chunk + data[33:], "png")
    return True


def tiff_tag_junk(rng, path):
    exif = Image.Exif()
    exif[0x0112], exif[305] = 1, "x" * 50
    data = encoded(rng, "tif", exif=exif)[0]
    old = struct.pack("<HHIHH", 0x0112, 3, 1, 1, 0)
    new = struct.pack("<HHI", 0x0112, int(rng.integers(1, 13)), int(rng.integers(0, 9)))
    assert old in data
    write(path, data.replace(old, new + rng.bytes(4)), "tif")
    return True


# --- rare kinds, all sound


def converted(mode: str, endings: str, **options) -> Maker:
    def make(rng, path):
        ending = str(rng.choice(endings.split()))
        out = io.BytesIO()
        image = Image.fromarray(pixels(rng)).convert(mode)
        image.save(out, FORMATS[ending], **options)
        write(path, out.getvalue(), ending)
        return True

    return make


def palette_with_transparency(rng, path):
    image = Image.fromarray(pixels(rng)).quantize(int(rng.integers(2, 200)))
    out, ending = io.BytesIO(), str(rng.choice(["png", "gif"]))
    transparency = rng.bytes(2) if ending == "png" and rng.random() < 0.5 else 0
    image.save(out, FORMATS[ending], transparency=transparency)
    write(path, out.getvalue(), ending)
    return True


def animated(rng, path):
    frames = [Image.fromarray(pixels(rng)) for _ in range(3)]
    out, ending = io.BytesIO(), str(rng.choice(["gif", "webp", "png", "tif"]))
    frames[0].save(out, FORMATS[ending], save_all=True, append_images=frames[1:])
    write(path, out.getvalue(), ending)
    return True


def sixteen_bits(rng, path):
    values = pixels(rng, 1).astype(np.uint16) * int(rng.choice([1, 4, 16, 64, 257]))
    out, ending = io.BytesIO(), str(rng.choice(["png", "tif"]))
    Image.fromarray(values).save(out, FORMATS[ending])
    write(path, out.getvalue(), ending)
    return True


def floats(rng, path):
    values = pixels(rng, 1).astype(np.float32) * float(rng.choice([1 / 255, 1, -1, 1e30]))
    broken = rng.random() < 0.4
    if broken:
        values[3, 3] = rng.choice([np.nan, np.inf, -np.inf])
    out = io.BytesIO()
    Image.fromarray(values).save(out, "tiff")
    write(path, out.getvalue(), "tif")
    return not broken and (True if values.max() > 0 else None)


def one_pixel(rng, path):
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (1, 1, 3), np.uint8)).save(out, "png")
    write(path, out.getvalue(), "png")
    return True


# --- names that lead to no file, and odd names


def folder(rng, path):
    path.with_name(f"{path.name}.png").mkdir()
    return None


def link_to_nothing(rng, path):
    os.symlink(path.with_name("nowhere"), path.with_name(f"{path.name}.png"))
    return False


def link_to_itself(rng, path):
    at = path.with_name(f"{path.name}.jpg")
    os.symlink(at, at)
    return False


def pipe(rng, path):
    os.mkfifo(path.with_name(f"{path.name}.png"))
    return False


def forbidden(rng, path):
    data, ending = encoded(rng)
    write(path, data, ending)
    path.with_name(f"{path.name}.{ending}").chmod(0)
    return True if os.geteuid() == 0 else False


def oddly_named(rng, path):
    odd = [
        b"$a_$ %d",
        b"caf\xe9",
        b"two\nlines",
        "🎉👩‍🔬".encode(),
        b"a+b",
        b"\xff\xfe",
        b"<b>'\"&",
    ]
    data, ending = encoded(rng, "png")
    name = os.fsencode(path) + odd[rng.integers(len(odd))] + b".png"
    with open(name, "wb") as file:
        file.write(data)
    return True


MAKERS: dict[str, Maker] = {
    make.__name__: make
    for make in (
        *(truncated, truncated_early, bits_flipped, header_flipped, zeroed, bytes_inserted),
        *(bytes_lost, two_halves, tail_of_junk, wrong_ending, nothing, zeros, junk, text),
        *(postscript, heic, huge_png, huge_others, no_pixels, too_few_rows, looping_tiff),
        *(exif_junk, orientation_junk, colour_profile_junk, png_text_junk, tiff_tag_junk),
        *(palette_with_transparency, animated, sixteen_bits, floats, one_pixel, folder),
    )
}
MAKERS |= {
    "cmyk": converted("CMYK", "jpg tif"),
    "one bit": converted("1", "png tif bmp"),
    "grey with alpha": converted("LA", "png"),
    "alpha": converted("RGBA", "png webp tif"),
    "progressive": converted("RGB", "jpg", progressive=True, quality=5),
    "colours without names": converted("LAB", "tif"),
    "luminance and colour": converted("YCbCr", "jpg tif"),
}
if os.name != "nt":
    MAKERS |= {
        make.__name__: make
        for make in (link_to_nothing, link_to_itself, pipe, forbidden, oddly_named)
    }


def make_bad_images(root: Path, count: int, seed: int = 0) -> dict[str, tuple[str, bool | None]]:
    """Write so many bad images, of every kind in turn.

    Args:
        root: an empty folder.
        count: how many.
        seed: of everything.

    Returns:
        The kind, and whether the image has to be read, by the beginning of the file's name.
    """
    made = {}
    for i in range(count):
        kind = list(MAKERS)[i % len(MAKERS)]
        start = f"{i:04d}"
        expected = MAKERS[kind](np.random.default_rng((seed, i)), root / start)
        made[start] = kind, expected if expected is None else bool(expected)
    return made
