"""What the descriptions of a store's arrays have to say, looked at when the store is opened.

Chunks end with checksums, and the `zarr.json` of an array has none: with a bit of it changed, the
chunks are looked for under other names, or read as numbers of another kind. But what it has to say
follows from the store's settings.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from gc_utils.activations.numbers import DTYPES
from gc_utils.groups import group

CHUNK = 16  # samples; D16 × 480 channels in float16 make half a megabyte
KINDS = {"photograph": "i", "x": "f", "y": "f", "scale": "f", "fold": "i"}
ELEMENT_TYPES = {"angle": "float64", "mirror": "bool"}
OF_SAMPLES, OF_ELEMENTS = tuple(KINDS), tuple(ELEMENT_TYPES)
TEXTS = ("model", "weights", "layer", "group", "dtype")
KEYS = {"name": "default", "configuration": {"separator": "/"}}
BEFORE = ["bytes", "zstd"]  # the codecs of stores of earlier versions
CODECS = [*BEFORE, "crc32c"]


def check_descriptions(root: zarr.Group, path: Path) -> None:
    """Refuse a store whose arrays are not what its settings say.

    Args:
        root: the open group, of the present format.
        path: its folder.

    Raises:
        ValueError: names the array, what it has and what was expected.
        KeyError: an array or a setting is missing.
    """
    made = root.attrs["settings"]
    for name in TEXTS:
        _expect(f"the setting {name}", type(made[name]).__name__, "str")
    if made["dtype"] not in DTYPES:
        raise ValueError(f"the setting dtype is {made['dtype']!r}, expected one of {DTYPES}")
    count, size = _count(made, "samples"), _count(made, "size")
    order = group(made["group"]).order
    channels = root["A"].shape[-1]
    sealed = _codecs(path, "A") == CODECS
    shapes = {"A": (count, order, channels), "patch": (count, size, size, 3)}
    shapes |= {"filled": (-(-count // CHUNK),)}
    if "exponent" in root or (sealed and made["dtype"] == "float16"):
        shapes |= {"exponent": (count,)}  # stores of earlier versions had none
    for name, shape in shapes.items():
        chunks = (1 if name == "filled" else CHUNK, *shape[1:])
        _expect(f"the shape of {name}", tuple(root[name].shape), shape)
        _expect(f"the chunks of {name}", tuple(root[name].chunks), chunks)
        dtype = made["dtype"] if name == "A" else "uint8"
        _expect(f"the type of {name}", str(root[name].dtype), dtype)
    for name, kind in KINDS.items():
        _expect(f"the shape of {name}", tuple(root[name].shape), (count,))
        _expect(f"the kind of numbers of {name}", root[name].dtype.kind, kind)
    for name, dtype in ELEMENT_TYPES.items():
        _expect(f"the shape of {name}", tuple(root[name].shape), (order,))
        _expect(f"the type of {name}", str(root[name].dtype), dtype)
    for name in (*shapes, *KINDS, *ELEMENT_TYPES):
        _check_layout(path, name, sealed)
    _check_photographs(root.attrs["photographs"], made)


def check_numbers(photograph: np.ndarray, names: list[str]) -> None:
    """Refuse samples of photographs that the store does not name.

    Args:
        photograph: the number of every sample's photograph.
        names: of the photographs.

    Raises:
        ValueError: names the first such number.
    """
    wrong = photograph[(photograph < 0) | (photograph >= len(names))]
    if len(wrong):
        raise ValueError(f"a sample is of photograph {wrong[0]}, expected less than {len(names)}")


def _check_layout(path: Path, name: str, sealed: bool) -> None:
    """Refuse an array whose chunks would be looked for, filled or decoded in another way."""
    told = json.loads((path / name / "zarr.json").read_text(encoding="utf-8"))
    _expect(f"the chunk keys of {name}", told["chunk_key_encoding"], KEYS)
    if told["fill_value"]:
        raise ValueError(f"the fill value of {name} is {told['fill_value']!r}, expected 0")
    _expect(f"the codecs of {name}", _codecs(path, name), CODECS if sealed else BEFORE)
    endian = told["codecs"][0].get("configuration", {}).get("endian", "little")
    _expect(f"the order of bytes of {name}", endian, "little")


def _codecs(path: Path, name: str) -> list[str]:
    told = json.loads((path / name / "zarr.json").read_text(encoding="utf-8"))
    return [codec["name"] for codec in told["codecs"]]


def _check_photographs(names: Any, made: dict) -> None:
    """Refuse names of photographs that are no texts, or are not as many as were looked at."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("the photographs are no list of names")
    counted = re.match(r"(\d+) \(", str(made.get("pictures", "")))
    if counted:
        _expect("the number of photographs", len(names), int(counted[1]))


def _count(made: dict, name: str) -> int:
    value = made[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"the setting {name} is {value!r}, expected a whole number, 1 or more")
    return value


def _expect(what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        raise ValueError(f"{what}: found {found!r}, expected {wanted!r}")
