"""Figures saved for the report, with their captions inside the file."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gc_utils.errors import UserError
from gc_utils.files import write_whole


def save_figure(figure, run_dir: str | os.PathLike, name: str, caption: str) -> Path:
    """Save a matplotlib figure for the report, with its caption inside the file.

    Args:
        figure: a matplotlib Figure.
        run_dir: the run folder; the file is `figures/<name>.png`, 150 dots an inch.
        name: begins with the notebook's number (`"03_umap"`), which puts it under that notebook.
        caption: what the figure shows, one or two sentences.

    Returns:
        The path of the file.

    Raises:
        UserError: the name does not begin with a notebook's number, or the caption is empty.
    """
    if not re.fullmatch(r"\d\d\w*_[\w-]+", name):
        raise UserError(
            f"figure name {name!r} should be like '03_umap': notebook number, then name"
        )
    if not caption.strip():
        raise UserError(f"figure {name!r} has no caption")
    path = Path(run_dir) / "figures" / f"{name}.png"
    # No Software entry: the same figure gives the same bytes with every version of matplotlib.
    metadata = {"Title": name, "Description": caption.strip(), "Software": None}
    with write_whole(path) as draft:
        figure.savefig(draft, format="png", dpi=150, bbox_inches="tight", metadata=metadata)
    return path


def caption(path: str | os.PathLike) -> str:
    """The caption that `save_figure` stored in a figure.

    Args:
        path: a PNG file.

    Returns:
        The caption; empty for a PNG file that `save_figure` did not write.
    """
    from PIL import Image

    with Image.open(path) as image:
        return image.info.get("Description", "")
