"""Presets: a name, what it is for, what all notebooks share; the records add the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gc_utils.errors import choose
from gc_utils.pipeline.record import Record, union

DEFAULT_PRESET = "demo"


@dataclass(frozen=True)
class Preset:
    """A setting of all notebooks: `about` is what it is for, `values` what they share.

    The records add values of their own. None: the person has to give it.
    """

    name: str
    about: str
    values: Mapping[str, Any]


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "smoke",
            "does everything work? small and quick, no result to trust",
            {
                "model": "inceptionv1",
                "weights": "demo",
                "layer": "mixed3a",
                "group": "D4",
                "images": "photos+scenes:16",
                "samples": 600,
                "features": 128,
                "k": 16,
                "steps": 150,
                "seeds": 2,
                "seed": 0,
            },
        ),
        Preset(
            "demo",
            "the story with real numbers on a laptop",
            {
                "model": "inceptionv1",
                "weights": "demo",
                "layer": "mixed3b",
                "group": "D16",
                "images": "photos+scenes:64",
                "samples": 2000,
                "features": 512,
                "k": 32,
                "steps": 800,
                "seeds": 3,
                "seed": 0,
            },
        ),
        # The paper's D32 may count elements or rotations; here it has 32 rotations, 64 elements.
        Preset(
            "paper",
            "the paper's setting, with -p images imagenet:PATH or folder:PATH; not yet tried",
            {
                "model": "inceptionv1",
                "weights": "inception5h",
                "layer": "mixed3b",
                "group": "D32",
                "images": None,
                "samples": 200_000,
                "features": 4096,
                "k": 32,
                "steps": 40_000,
                "seeds": 3,
                "seed": 0,
            },
        ),
    )
}


def preset_values(preset: str, records: Iterable[Record]) -> dict[str, Any]:
    """Values by parameter: those that a preset has for all notebooks and those of the records.

    Raises:
        UserError: an unknown preset.
        ValueError: two records disagree.
    """
    chosen = PRESETS[choose(preset, PRESETS, "preset")]
    found = [chosen.values, *(record.presets.get(preset, {}) for record in records)]
    return union(found, f"values for preset {preset!r}")
