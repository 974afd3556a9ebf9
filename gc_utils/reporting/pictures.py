"""Pictures in the outputs of a notebook, made small enough for a repository."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from PIL import Image

# One after the other until a notebook is small enough: pixels of width at most, and the quality of
# a JPEG. It is taken where it is smaller than a PNG of 256 colours: of photographs it is also truer
# then, and drawings stay PNGs. A page shows 900 pixels.
LEVELS = ((1200, 90), (1200, 84), (1000, 84), (900, 80), (800, 76), (700, 72))
COLOURS = 256
_EMBEDDED = re.compile(r"data:(image/(?:png|jpeg));base64,([A-Za-z0-9+/=\s]+)")


@dataclass
class Picture:
    """A picture of an output.

    Attributes:
        name: Where it stands, for a message.
        original: The bytes of the PNG or JPEG as it was drawn.
        put: Puts a MIME type and a base64 text into the output, in place of what is there.
        level: The last of `LEVELS` that it was made at; -1 as it was drawn.
        size: Bytes of the base64 text that is in the output.
    """

    name: str
    original: bytes
    put: Callable[[str, str], None]
    level: int = -1
    size: int = 0

    def shrink(self) -> None:
        """Put the picture at the next level, or at a further one that is smaller, if there is."""
        before = self.size or len(self.original) * 4 // 3
        while self.level + 1 < len(LEVELS):
            self.level += 1
            mime, data = reduced(self.original, *LEVELS[self.level])
            text = base64.b64encode(data).decode("ascii")
            if self.level == 0 or len(text) < before:
                self.put(mime, text)
                self.size = len(text)
                return


def reduced(original: bytes, widest: int, quality: int) -> tuple[str, bytes]:
    """A picture with fewer pixels and colours.

    Args:
        original: A PNG or JPEG.
        widest: Pixels of width at most.
        quality: Of a JPEG, 1 to 95.

    Returns:
        A MIME type, and the bytes: the smallest of the forms allowed and, if it is no wider than
        asked, the original.
    """
    with Image.open(io.BytesIO(original)) as image:
        mime = Image.MIME[image.format]
        found = [(mime, original)] if image.width <= widest else []
        flat = Image.new("RGBA", image.size, "white")
        flat.alpha_composite(image.convert("RGBA"))
    small = flat.convert("RGB")
    if small.width > widest:
        height = max(1, round(small.height * widest / small.width))
        small = small.resize((widest, height), Image.Resampling.LANCZOS)
    found.append(("image/png", _bytes(small.quantize(COLOURS), "PNG", optimize=True)))
    found.append(("image/jpeg", _bytes(small, "JPEG", quality=quality, optimize=True)))
    return min(found, key=lambda form: len(form[1]))


def _bytes(image: Image.Image, form: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def pictures(outputs: Iterable[tuple[str, dict]]) -> list[Picture]:
    """The pictures in outputs: those that an output is, and those embedded in its HTML.

    Args:
        outputs: Of each a name for messages, and the output, which has `data` and `metadata`.

    Returns:
        The pictures, which change the outputs when they shrink.
    """
    found = []
    for name, output in outputs:
        for mime in ("image/png", "image/jpeg"):
            if mime in output.get("data", {}):
                data = base64.b64decode(output["data"][mime])
                found.append(Picture(name, data, _Whole(output, mime)))
        html = output.get("data", {}).get("text/html", "")
        for number, embedded in enumerate(_EMBEDDED.finditer(html)):
            data = base64.b64decode(embedded[2])
            found.append(Picture(f"{name}, in HTML", data, _Embedded(output, number)))
    return found


@dataclass
class _Whole:
    """Replaces the picture that an output is; what is said of it (its alt text) goes along."""

    output: dict
    mime: str

    def __call__(self, mime: str, text: str) -> None:
        del self.output["data"][self.mime]
        self.output["data"][mime] = text
        if self.mime in self.output.get("metadata", {}):
            self.output["metadata"][mime] = self.output["metadata"].pop(self.mime)
        self.mime = mime


@dataclass
class _Embedded:
    """Replaces a picture in an output's HTML, and nothing around it."""

    output: dict
    number: int

    def __call__(self, mime: str, text: str) -> None:
        html = self.output["data"]["text/html"]
        at = list(_EMBEDDED.finditer(html))[self.number]
        new = f"data:{mime};base64,{text}"
        self.output["data"]["text/html"] = html[: at.start()] + new + html[at.end() :]
