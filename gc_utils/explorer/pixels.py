"""Images as bytes that travel from the kernel to the browser."""

from __future__ import annotations

import io
from base64 import b64encode

import numpy as np
from PIL import Image


def png_bytes(image: np.ndarray) -> bytes:
    """An image, uint8 `(H, W, 3)`, as the bytes of a PNG file."""
    buffer = io.BytesIO()
    # Speed matters here, size does not: the image travels from kernel to browser.
    Image.fromarray(image).save(buffer, "png", compress_level=1)
    return buffer.getvalue()


def thumbnail(image: np.ndarray, side: int | None = None) -> str:
    """An image, uint8 `(H, W, 3)`, as a `data:` address of a JPEG that a page shows.

    Args:
        image: The image.
        side: Its width in pixels, the height in proportion; as it is if None.

    Returns:
        The address.
    """
    drawn = Image.fromarray(image)
    if side is not None:
        height = max(1, round(side * drawn.height / drawn.width))
        drawn = drawn.resize((side, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    drawn.save(buffer, "jpeg", quality=88)
    return data_address(buffer.getvalue(), "image/jpeg")


def data_address(content: bytes, kind: str) -> str:
    """The content of a file as a `data:` address."""
    return f"data:{kind};base64,{b64encode(content).decode()}"
