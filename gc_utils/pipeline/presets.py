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
    """A setting of all notebooks.

    Attributes:
        name: what `--preset` takes.
        about: what it is for and what it costs, for `list`.
        values: by parameter, what the notebooks share; the records add values of their own. None:
            the person has to give it.
        afterwards: what a person could run next, said when a run has ended and in its report.
    """

    name: str
    about: str
    values: Mapping[str, Any]
    afterwards: str = ""


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
                "seed": 0,
            },
        ),
        Preset(
            "demo",
            "the story on a laptop, with a network that was trained for this project",
            {
                "model": "inceptionv1",
                "weights": "demo",
                "layer": "mixed3b",
                "group": "D16",
                "images": "photos+scenes:64",
                "samples": 2000,
                "features": 512,
                "k": 32,
                "steps": 400,
                "seed": 0,
            },
            afterwards="The network was trained for this project. A real one, trained on "
            "photographs by others: python -m gc_utils run --preset real",
        ),
        # Two folds: the two dictionaries of an encoder see disjoint images, so that what both hold
        # is no accident of the images.
        Preset(
            "real",
            "a real network: BVLC GoogLeNet, the paper's architecture trained on ImageNet; 01 to "
            "05 in about 90 minutes on two cores; downloads the weights once (3 MB up to mixed3b) "
            "or takes them from --weights-file; -p images imagenet_samples downloads 1,000 "
            "photographs (110 MB)",
            {
                "model": "inceptionv1",
                "weights": "bvlc_googlenet",
                "layer": "mixed3b",
                "group": "D16",
                "images": "photos+scenes:64",
                "samples": 6000,
                "features": 1024,
                "k": 32,
                "steps": 600,
                "batch_size": 256,
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
