"""The notebooks: what each needs, makes and takes as parameters, and the presets."""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gc_utils
from gc_utils.errors import UserError

DEFAULT_PRESET = "demo"
SIZES = ("small", "full")
# Each name is a parameter of some notebook; a name means the same in all notebooks that declare it.
# None: the person has to give it.
PRESETS: dict[str, dict[str, Any]] = {
    "smoke": {
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
        "folds": 2,
        "visualise_steps": 16,
        "bank_samples": 160,
        "bank_steps": 100,
        "trial_seeds": 1,
        "trial_steps": 40,
        "layer_samples": 60,
        "positions": 1500,
        "sae_steps": 60,
        "resamples": 40,
        "bank_seeds": 1,
        "dimensions": 6,
        "orbits": 150,
        "patches_shown": 800,
        "widths": "8 16",
        "net_pairs": 2,
        "net_epochs": 8,
        "stitch_epochs": 1,
        "rotations": 2,
        "turned_crops": 100,
        "entries": 512,
        "loss_samples": 2000,
        "train_steps": 300,
        "head_pictures": 200,
        "examples": 5,
        "concept_runs": 4,
        "attack_steps": 2,
        "dictionary_samples": 200,
        "dictionary_steps": 40,
        "facet_starts": 2,
        "facet_steps": 6,
        "seed": 0,
    },
    "demo": {
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
    # The paper's D32 may count elements or rotations; here it has 32 rotations, 64 elements.
    "paper": {
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
        "positions": 200_000,
        "sae_steps": 40_000,
        "orbits": 5000,
        "turned_crops": 5000,
        "size": "full",
        "seed": 0,
    },
}
ABOUT = {
    "smoke": "does everything work? small and quick, no result to trust",
    "demo": "the story with real numbers on a laptop",
    "paper": "the paper's setting, with -p images imagenet:PATH or folder:PATH; not yet tried",
}
# The least value of a parameter that makes sense.
LEAST = {
    "layer_samples": 8,
    "expansion": 1,
    "positions": 100,
    "resamples": 2,
    "dimensions": 2,
    "bank_dimensions": 2,
    "orbits": 100,
    "patches_shown": 100,
    "entries": 512,
    "loss_samples": 100,
    "train_steps": 0,
    "seed": 0,
    "examples": 5,
    "concept_runs": 2,
    "head_pictures": 100,
    "dictionary_samples": 50,
    "facet_starts": 1,
    "class_number": 0,
    "folds": 2,
    "visualise_steps": 0,
    "bank_samples": 0,
    "trial_seeds": 0,
} | dict.fromkeys(
    ("samples", "features", "k", "steps", "seeds", "batch_size", "bank_steps")
    + ("trial_steps", "workers", "sae_k", "sae_steps", "bank_seeds")
    + ("net_pairs", "net_epochs", "stitch_epochs", "rotations", "turned_crops")
    + ("attack_steps", "dictionary_steps", "facet_steps"),
    1,
)
# Parameters that say where pictures come from.
PICTURES = ("images", "concept_pictures", "class_pictures")
# Which notebooks' products a notebook reads.
NEEDS: dict[str, tuple[str, ...]] = {
    "02": ("01",),
    "03": ("01", "02"),
    "04": ("01", "02", "03"),
    "04c": ("01", "02"),
    "05": ("01", "02", "03", "04"),
}
# Which further ones it reads if they are there.
USES: dict[str, tuple[str, ...]] = {"06": ("04",)}
# What counts as a notebook's product. Anything else in a run folder is left alone.
PRODUCTS = (
    "*.zarr",
    "equivariance/*.zarr",
    "dimensions/*.zarr",
    "intertwiners/*.zarr",
    "rugs/*.safetensors",
    "concepts/*.zarr",
    "concepts/*.safetensors",
    "concepts/*.csv",
    "concepts/*.json",
    "*.safetensors",
    "*.csv",
    "*.parquet",
    "*.npz",
    "checkpoints/*",
    "figures/*.png",
    "results/*.json",
)


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's `parameters` cell: its default, and the comment behind it."""

    default: Any
    help: str


@dataclass(frozen=True)
class Notebook:
    """A notebook of the story: `name` "03_cluster", `number` "03", `title` its first heading.

    `lead` is the Markdown below that heading, to the end of the first cell.
    """

    path: Path
    name: str
    title: str
    lead: str
    parameters: dict[str, Parameter]

    @property
    def number(self) -> str:
        return self.name.split("_")[0]


def find_notebooks(folder: str | os.PathLike | None = None) -> list[Notebook]:
    """The notebooks of a folder, in order.

    Args:
        folder: where they are; None for `notebooks/` beside the package or in the current folder.

    Raises:
        UserError: there is none.
    """
    beside = Path(gc_utils.__file__).resolve().parents[1] / "notebooks"
    places = [Path(folder)] if folder else [beside, Path("notebooks")]
    for place in places:
        found = sorted(place.glob("[0-9][0-9]*_*.ipynb"))
        if found:
            return [read_notebook(path.resolve()) for path in found]
    looked = " and ".join(repr(str(place)) for place in places)
    raise UserError(
        f"no notebooks in {looked}. The installed package does not carry them: run this in a copy "
        "of the repository, or name their folder with --notebooks DIR."
    )


def read_notebook(path: Path) -> Notebook:
    """A notebook's heading, introduction (the rest of the first cell) and parameters."""
    import nbformat
    import papermill

    cells = nbformat.read(path, as_version=4).cells
    words = next((cell.source for cell in cells if cell.cell_type == "markdown"), "")
    heading, _, rest = words.strip().partition("\n")
    parameters = {
        name: Parameter(literal(found["default"]), found["help"])
        for name, found in papermill.inspect_notebook(path).items()
    }
    return Notebook(
        path=path,
        name=path.stem,
        title=heading.lstrip("# ").strip() or path.stem,
        lead=rest.strip(),
        parameters=parameters,
    )


def default_output(preset: str) -> Path:
    """The run folder of a preset where none is named."""
    return (Path("runs") / preset).resolve()


def literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
