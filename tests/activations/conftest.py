"""What tests of stores share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import zarr


@pytest.fixture
def as_before() -> Callable[[Path], None]:
    """Make a store one of an earlier version: without checksums and exponents."""

    def change(path: Path) -> None:
        root = zarr.open_group(path, mode="r+")
        if "exponent" in root:
            shutil.rmtree(path / "exponent")
        for name in set(root.array_keys()) - {"exponent"}:
            values, chunks = root[name][:], root[name].chunks
            root.create_array(name, data=values, chunks=chunks, overwrite=True)

    return change
