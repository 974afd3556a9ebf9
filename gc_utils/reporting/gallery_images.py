"""The gallery's images: a strip of patches a feature, and the frames of a full turn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.explorer.exhibit import Exhibit
from gc_utils.files import write_whole

SIDE = 88  # pixels of a patch at most
ACROSS = 12  # frames in a row of a sheet
QUALITY = 72  # of the WebP files
LEAST = 48  # angles of a full turn at least


def write_strip(patches: np.ndarray, samples: Sequence[int], path: Path) -> None:
    """Patches side by side as one image.

    Args:
        patches: uint8 `(N, S, S, 3)`.
        samples: Which ones.
        path: The file.
    """
    _save(_sheet(patches[list(samples)], len(samples)), path)


def write_turn(
    store: ActivationStore, exhibit: Exhibit, entry: dict[str, Any], path: Path
) -> dict[str, Any]:
    """A patch as the network saw it under a full turn, and the code that it gave each time.

    Args:
        store: The orbits.
        exhibit: What rotates a patch and encodes it.
        entry: The feature's entry in the gallery; its strongest patch is rotated.
        path: The file of the frames, a sheet of `ACROSS` columns.

    Returns:
        `n` rotations a turn; `codes` of the rotations, then of the mirrored patch rotated; and
        how the sheet is laid out (`columns`, `rows`).
    """
    shown, codes = exhibit.rotations(entry["strip"][0])
    sheet = _sheet(shown, ACROSS)
    _save(sheet, path)
    return {
        "n": exhibit.fine.n,
        "codes": [float(f"{value:.3g}") for value in codes[:, entry["feature"]]],
        "columns": ACROSS,
        "rows": sheet.height // SIDE,
    }


def turning(store: ActivationStore, coder: GroupCrosscoder) -> Exhibit | None:
    """What rotates patches and encodes them again; None without the network.

    Raises:
        UserError: The network's weights cannot be had, or have changed.
    """
    network = store.model("cpu")
    if network is None:
        return None
    return Exhibit(network, store.settings["layer"], coder, store.patches, least=LEAST)


def _sheet(images: np.ndarray, across: int) -> Image.Image:
    rows = -(-len(images) // across)
    sheet = Image.new("RGB", (SIDE * across, SIDE * rows))
    for k, image in enumerate(images):
        tile = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        sheet.paste(tile, (k % across * SIDE, k // across * SIDE))
    return sheet


def _save(image: Image.Image, path: Path) -> None:
    with write_whole(path) as draft:
        image.save(draft, "WEBP", quality=QUALITY, method=4)
