"""A narrow GoogLeNet in BVLC's raw files, with random weights."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from gc_utils.models import BVLC_GOOGLENET, Architecture
from gc_utils.models.raw_files import RawWeights

# Caffe's names, kernels and inputs, written down apart from the package's description.
BRANCHES = (("1x1", 1), ("3x3_reduce", 1), ("3x3", 3), ("5x5_reduce", 1), ("5x5", 5))
BLOCKS = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")


class Small(NamedTuple):
    """A folder with raw files, and what the package has to know to read it."""

    architecture: Architecture
    folder: Path
    weights: RawWeights


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Small:
    """All widths of a stage differ, so that branches that change places are noticed."""
    folder = tmp_path_factory.mktemp("small")
    rng = np.random.default_rng(0)

    def write(name: str, out: int, kernel: int, channels: int) -> None:
        path = folder / f"{name}_filter.bin"
        path.parent.mkdir(exist_ok=True)
        spread = (2 / (kernel * kernel * channels)) ** 0.5
        values = spread * rng.standard_normal((out, kernel, kernel, channels))
        values.astype("<f4").tofile(path)
        (10 * rng.standard_normal(out)).astype("<f4").tofile(folder / f"{name}_bias.bin")

    write("conv1/7x7_s2", 6, 7, 3)
    write("conv2/3x3_reduce", 5, 1, 6)
    write("conv2/3x3", 9, 3, 5)
    mixed, channels = {}, 9
    for i, block in enumerate(BLOCKS):
        widths = (2 + i % 3, 3, 4 + i % 2, 2, 3, 1 + i % 4)
        mixed[f"mixed{block}"] = widths
        source = {"3x3": 3, "5x5": 2}
        for (branch, kernel), out in zip(BRANCHES, widths, strict=False):
            write(f"inception_{block}/{branch}", out, kernel, source.get(branch, channels))
        write(f"inception_{block}/pool_proj", widths[5], 1, channels)
        channels = widths[0] + widths[2] + widths[4] + widths[5]
    write("loss3/classifier", 7, 1, channels)
    architecture = replace(BVLC_GOOGLENET, stem=(6, 5, 9), mixed=mixed, logits=7)
    files = sorted(folder.rglob("*.bin"))
    sums = {
        f.relative_to(folder).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files
    }
    weights = RawWeights(architecture, sums, folder.as_uri(), "for tests")
    return Small(architecture, folder, weights)
