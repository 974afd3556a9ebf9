"""A small store of planted orbits, for what notebooks 02 and 03 compute."""

from __future__ import annotations

import pytest

from gc_utils.planted import planted_orbits, write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    planted = planted_orbits("C4", 6, 3, samples=160, l0=2, seed=0)
    return write_store(tmp_path_factory.mktemp("planted") / "activations.zarr", planted)
