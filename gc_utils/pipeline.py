"""Presets, and the runner that executes the notebooks in order into a run folder.

    run("smoke", "runs/first", parameters={"group": "D8"})

A notebook is run again only if something that went into it has changed: its code, its parameters,
the package, or what the notebooks before it made.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import platform
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TextIO

import gc_utils
from gc_utils.errors import UserError, choose
from gc_utils.execution import Execution, execute
from gc_utils.files import is_hidden
from gc_utils.findings import write_json
from gc_utils.progress import Line, clock, say

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
PACKAGES = (
    "captum gc_utils jupyterlab matplotlib numpy pandas papermill pillow safetensors scikit-image "
    "scikit-learn scipy torch torchvision umap-learn zarr"
).split()
# Changes here cannot change what a notebook computes.
_RUNNERS = {
    *("__main__.py", "pipeline.py", "execution.py", "markdown.py", "progress.py", "report.py"),
    "staleness.py",
}


class NotebookFailed(RuntimeError):
    """A notebook stopped with an error; the message says where and why."""


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
        name: Parameter(_literal(found["default"]), found["help"])
        for name, found in papermill.inspect_notebook(path).items()
    }
    return Notebook(
        path=path,
        name=path.stem,
        title=heading.lstrip("# ").strip() or path.stem,
        lead=rest.strip(),
        parameters=parameters,
    )


def parameter_values(
    notebooks: Iterable[Notebook],
    preset: str,
    given: dict[str, Any],
    selected: Iterable[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """What each notebook is told: of the preset and of what was given, the names it declares.

    Args:
        notebooks: all notebooks.
        preset: a name from `PRESETS`.
        given: parameters by name; texts, as from a command line, are read as the type of the
            notebook's default.
        selected: names of the notebooks to run, None for all.

    Returns:
        For each selected notebook, values by parameter name.

    Raises:
        UserError: an unknown preset or parameter, a value of the wrong type, a value that the
            preset leaves to the person.
    """
    values = dict(PRESETS[choose(preset, PRESETS, "preset")])
    notebooks = list(notebooks)
    selected = [n.name for n in notebooks] if selected is None else list(selected)
    defaults: dict[str, Any] = {}
    owners: dict[str, list[str]] = {}
    for notebook in notebooks:
        for name, parameter in notebook.parameters.items():
            defaults.setdefault(name, parameter.default)
            owners.setdefault(name, []).append(notebook.name)
    for name, value in given.items():
        if name == "run_dir":
            raise UserError("the run folder is set with --output, not with -p run_dir")
        choose(name, [known for known in defaults if known != "run_dir"], "parameter")
        if not set(owners[name]) & set(selected):
            raise UserError(
                f"parameter {name!r} is for {', '.join(owners[name])}, which would not run"
            )
        values[name] = convert(name, value, defaults[name])
    if "model" in given and "weights" not in given and "weights" in values:
        values["weights"] = ""  # a preset's weights are InceptionV1's: take the model's own
    for name in PICTURES:
        if isinstance(values.get(name), str) and values[name]:
            values[name] = _absolute_images(values[name])
    if values.get("weights_file"):
        values["weights_file"] = str(Path(values["weights_file"]).expanduser().resolve())
    told = {
        n.name: {name: values[name] for name in n.parameters if name in values}
        for n in notebooks
        if n.name in selected
    }
    missing = sorted({name for each in told.values() for name, v in each.items() if v is None})
    if missing:
        raise UserError(
            f"preset {preset!r} leaves {', '.join(missing)} to you; for example "
            f"-p images imagenet:PATH"
        )
    return told


def convert(name: str, value: Any, default: Any) -> Any:
    """Read `value` as the type of a parameter's default.

    Raises:
        UserError: it cannot be read so; says what is expected.
    """
    kind = type(default)
    if default is None:
        return _literal(value) if isinstance(value, str) else value
    result = value
    if isinstance(value, str) and kind is not str:
        if kind is bool:
            result = {"true": True, "yes": True, "1": True}.get(value.lower(), None)
            if value.lower() in ("false", "no", "0"):
                result = False
        else:
            result = _literal(value)
            if kind in (list, tuple) and not isinstance(result, (list, tuple)):
                result = [_literal(part.strip()) for part in value.split(",")]
    if kind is float and type(result) is int:
        result = float(result)
    if kind in (list, tuple) and isinstance(result, (list, tuple)):
        wanted = {type(item) for item in default}
        if wanted == {float}:
            result = [float(item) if type(item) is int else item for item in result]
        if wanted and any(type(item) not in wanted for item in result):
            result = None
        else:
            result = kind(result)
    if type(result) is not kind:
        expected = {
            bool: "true or false",
            int: "a whole number",
            float: "a number",
            list: "a list such as 1,2,3",
            tuple: "a list such as 1,2,3",
            str: "a text",
        }.get(kind, f"a {kind.__name__}")
        raise UserError(f"parameter {name!r} takes {expected} (default {default!r}), not {value!r}")
    return result


def check_values(values: dict[str, Any]) -> None:
    """Find a person's mistakes in the names before anything is computed.

    Args:
        values: parameters by name; those that are not there are not looked at.

    Raises:
        UserError: unknown group, model, weights or layer; images that are not there or too small.
    """
    for name, least in LEAST.items():
        if name in values and values[name] < least:
            raise UserError(f"parameter {name!r} is {values[name]}: expected {least} or more.")
    if "k" in values and values.get("features", values["k"]) < values["k"]:
        raise UserError(f"k = {values['k']} active features of {values['features']}: lower k.")
    if "sparsity" in values:
        from gc_utils.crosscoder import SPARSITY

        choose(values["sparsity"], SPARSITY, "sparsity")
    if values.get("group") == "C1":
        raise UserError("group 'C1' has no symmetry to study: choose C2 or more, or D1 or more.")
    # Imported here: `--help` and a misspelt preset should not wait for torch.
    if "group" in values:
        from gc_utils.groups import group

        group(values["group"])
    smallest = 0
    if "model" in values or "layer" in values:
        from gc_utils.models import load_model

        # Weights are loaded, fetched even: a download that fails should fail now.
        name = values.get("model", "inceptionv1")
        model = load_model(
            name,
            values.get("weights") or None,
            values.get("weights_file") or None,
            device="cpu",
            group=values.get("group"),
        )
        if "layer" in values:
            model.check_layer(values["layer"])
            smallest = model.crop_size(values["layer"])
        _check_explained(model, values)
        for name in ("study_layers", "dimension_layers", "action_layers"):
            for layer in str(values.get(name, "")).split():
                model.check_layer(layer)
    if "size" in values:
        choose(values["size"], SIZES, "size")
    if "task" in values:
        from gc_utils.tasks import check_task

        check_task(values["task"])
    if "widths" in values:
        from gc_utils.tasks import read_widths

        read_widths(values["widths"])
    if "entries" in values and values["entries"] & (values["entries"] - 1):
        raise UserError(
            f"parameter 'entries' is {values['entries']}: expected a power of two, as 1024."
        )
    if "method" in values:
        from gc_utils.decompositions import METHODS

        choose(values["method"], METHODS, "method")
    if "images" in values:
        from gc_utils.images import load_images

        load_images(values["images"], seed=values.get("seed", 0), limit=8, min_size=smallest)


def _check_explained(model: Any, values: dict[str, Any]) -> None:
    """Find mistakes in what is to be explained by concepts."""
    layer = values.get("explained_layer", "")
    if layer and min(model.map_size(layer, 63)) < 3:  # the pictures' side, and the head's kernel
        raise UserError(
            f"parameter 'explained_layer' is {layer!r}, which has fewer than 3x3 units on pictures "
            "of 63 pixels: choose a lower layer."
        )
    specs = {n: values[n] for n in ("concept_pictures", "class_pictures") if values.get(n)}
    if not specs:
        return
    if len(specs) < 2:
        raise UserError(
            f"parameter {next(iter(specs))!r} is given alone: 'concept_pictures' and "
            "'class_pictures' belong together."
        )
    if "logits" not in model.layers:
        raise UserError(
            "parameter 'concept_pictures' needs the logits of InceptionV1 with weights "
            f"'inception5h'; these are {model.name!r}, {model.weights!r}."
        )
    if "_" in layer:
        raise UserError(
            f"parameter 'explained_layer' is {layer!r}: with your own pictures expected a whole "
            "layer, such as 'mixed4c', and no branch."
        )
    count = model.channels("logits")
    if values.get("class_number", 0) >= count:
        raise UserError(
            f"parameter 'class_number' is {values['class_number']}: expected 0 to {count - 1}."
        )
    from gc_utils.images import load_images

    for spec in specs.values():
        load_images(spec, seed=values.get("seed", 0), limit=8)


def run(
    preset: str = DEFAULT_PRESET,
    output: str | os.PathLike | None = None,
    only: Iterable[str] = (),
    parameters: dict[str, Any] | None = None,
    force: bool = False,
    *,
    notebooks: str | os.PathLike | None = None,
    stream: TextIO | None = None,
) -> Path:
    """Execute the notebooks in order and write `run.json` and `report.html`.

    Args:
        preset: a name from `PRESETS`.
        output: the run folder; None for `runs/<preset>`.
        only: numbers or names of the notebooks to run; none for all.
        parameters: overrides of the preset, values or texts.
        force: run also what is up to date.
        notebooks: the notebooks' folder; None to find it.
        stream: where progress is told; None for standard output.

    Returns:
        The run folder.

    Raises:
        UserError: a mistake in what was asked, found before anything runs.
        NotebookFailed: a notebook stopped; those after it were not run.
        KeyboardInterrupt: the run folder is in order, and the same call goes on from there.
    """
    stream = stream or sys.stdout
    choose(preset, PRESETS, "preset")
    found = find_notebooks(notebooks)
    chosen = _select(found, only)
    told = parameter_values(found, preset, parameters or {}, [n.name for n in chosen])
    used = {
        name: value
        for notebook in chosen
        for name, value in (_defaults(notebook) | told[notebook.name]).items()
    }
    check_values(used)
    run_dir = Path(output).resolve() if output else default_output(preset)
    if run_dir.exists() and not run_dir.is_dir():
        raise UserError(f"output {str(run_dir)!r} is a file, not a folder")
    if run_dir.is_dir() and any(run_dir.iterdir()) and not (run_dir / "run.json").exists():
        raise UserError(
            f"folder {str(run_dir)!r} holds other things than a run; name a new one with --output"
        )
    manifest = Manifest(run_dir)
    _check_upstream(manifest, found, chosen, run_dir)
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the run folder {str(run_dir)!r}: {error}") from error
    with _alone(run_dir), _terminate_as_interrupt():
        from gc_utils.report import write_report
        from gc_utils.staleness import advice, find_stale

        manifest.begin(preset, used)
        package = package_checksum()
        settled: set[str] = set()
        try:
            _run_all(manifest, found, chosen, told, force, stream, package, settled)
        finally:
            stale = find_stale(manifest, found, settled, package)
            manifest.mark_stale(stale)
            report = write_report(run_dir, found)
            if stale:
                say(stream, advice(manifest, found, stale, parameters or {}))
    say(stream, f"Report: {short_path(report)}")
    return run_dir


def _run_all(
    manifest: Manifest,
    found: list[Notebook],
    chosen: list[Notebook],
    told: dict[str, dict],
    force: bool,
    stream: TextIO,
    package: str,
    settled: set[str],
) -> None:
    """Execute what has to be; `settled` is given the names of what ran or was up to date."""
    say(stream, f"Run folder: {short_path(manifest.run_dir)}")
    for place, notebook in enumerate(chosen, start=1):
        line = Line(stream, f"[{place}/{len(chosen)}] {notebook.name}")
        inputs = {
            "notebook": notebook_checksum(notebook.path),
            "parameters": told[notebook.name],
            "pictures": "".join(
                folder_checksum(told[notebook.name].get(name) or "") for name in PICTURES
            ),
            "package": package,
            "upstream": {
                other.name: manifest.outputs_checksum(other.name)
                for other in upstream(notebook, found, manifest)
            },
        }
        settled.add(notebook.name)
        stale = manifest.why_stale(notebook.name, inputs)
        if stale is None and not force:
            line.finish("up to date")
            continue
        # Said first: nothing is deleted before a person can read why.
        if stale and manifest.known(notebook.name):
            line.note(stale)
        if force or not manifest.resumable(notebook.name, inputs):
            manifest.clear(notebook.name)
        manifest.start(notebook.name, inputs)
        output = manifest.run_dir / f"{notebook.name}.ipynb"
        try:
            parameters = dict(told[notebook.name])
            if "run_dir" in notebook.parameters:
                parameters["run_dir"] = str(manifest.run_dir)
            done = execute(notebook.path, output, parameters, line.update)
        except BaseException:
            manifest.stop(notebook.name, "interrupted")
            line.finish("interrupted; the same command goes on from here")
            raise
        manifest.stop(notebook.name, "failed" if done.error else "done", done)
        line.finish(
            f"{'failed after ' if done.error else ''}{clock(done.seconds)}, "
            f"{done.peak_memory_mb} MB"
        )
        if done.error:
            later = ", ".join(n.name for n in chosen[place:])
            raise NotebookFailed(
                f"{notebook.name} stopped in {done.error}\n"
                f"The notebook as far as it got: {short_path(output)}"
                + (f"\nNot run: {later}" if later else "")
            )


class Manifest:
    """`run.json`: what was run with what, how long it took, and what it made."""

    def __init__(self, run_dir: Path):
        import json

        self.run_dir = run_dir
        self.path = run_dir / "run.json"
        self.content: dict[str, Any] = {"notebooks": {}}
        if self.path.exists():
            try:
                self.content = json.loads(self.path.read_text(encoding="utf-8"))
                self.records = self.content["notebooks"]
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"{short_path(self.path)} cannot be read; delete it or name a new --output"
                ) from error
        self.records: dict[str, dict] = self.content["notebooks"]
        for record in self.records.values():
            if record["status"] == "running":  # it was killed and could not say what it had made
                record["status"] = "interrupted"
                record["outputs"] = self._made_since(record["started_ns"], {})

    def begin(self, preset: str, parameters: dict[str, Any]) -> None:
        """Note what was asked and on what machine.

        What notebooks that are not asked for ran with stands in their records.
        """
        self.content = {
            "preset": preset,
            "parameters": parameters,
            "seed": parameters.get("seed"),
            "versions": {"python": platform.python_version(), **_versions()},
            "platform": {
                "system": platform.platform(),
                "machine": platform.machine(),
                "cores": os.cpu_count(),
            },
            "notebooks": self.records,
        }
        self._write()

    def known(self, name: str) -> bool:
        return name in self.records

    def start(self, name: str, inputs: dict) -> None:
        outputs = self.records.get(name, {}).get("outputs", {})
        self.records[name] = {
            "status": "running",
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "started_ns": time.time_ns(),
            "inputs": inputs,
            "outputs": outputs,
        }
        self._write()

    def stop(self, name: str, status: str, done: Execution | None = None) -> None:
        """Note how a notebook ended, and what it made."""
        record = self.records[name]
        record["status"] = status
        record["finished_ns"] = time.time_ns()
        if done:
            record |= {
                "seconds": done.seconds,
                "cells": done.cells,
                "peak_memory_mb": done.peak_memory_mb,
            }
            if done.error:
                record["error"] = done.error
        record["outputs"] = self._made_since(record["started_ns"], record["outputs"])
        self._write()

    def why_stale(self, name: str, inputs: dict) -> str | None:
        """Why a notebook has to run (again), None if it is up to date."""
        record = self.records.get(name)
        if record is None:
            return "not run before"
        if record["status"] != "done":
            return f"{record['status']} last time"
        then = record["inputs"]
        if then["parameters"] != inputs["parameters"]:
            names = sorted({*then["parameters"], *inputs["parameters"]})
            before, now = then["parameters"], inputs["parameters"]
            changed = [
                f"{n} {before.get(n)!r} → {now.get(n)!r}"
                for n in names
                if before.get(n) != now.get(n)
            ]
            return "changed: " + ", ".join(changed)
        whole = {
            "notebook": "the notebook",
            "package": "gc_utils",
            "pictures": "the picture folder",
        }
        for part, what in whole.items():
            if then.get(part) != inputs[part]:
                return f"{what} changed"
        for other, checksum in inputs["upstream"].items():
            if then["upstream"].get(other) != checksum:
                return f"{other} made something else"
        return self._damage(name)

    def mark_stale(self, reasons: dict[str, str]) -> None:
        """Note which notebooks are stale and why; the others are not, whatever was noted before."""
        for name, record in self.records.items():
            record.pop("stale", None)
            if name in reasons:
                record["stale"] = reasons[name]
        self._write()

    def resumable(self, name: str, inputs: dict) -> bool:
        """Whether what a stopped notebook left behind is of the same inputs."""
        record = self.records.get(name)
        return record is not None and record["status"] != "done" and record["inputs"] == inputs

    def clear(self, name: str) -> None:
        """Delete what an earlier run of a notebook made."""
        for product in self.records.get(name, {}).pop("outputs", {}):
            path = self.run_dir / product
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def complete(self, name: str) -> bool:
        """Whether a notebook is done and its products are there."""
        record = self.records.get(name)
        return record is not None and record["status"] == "done" and self._damage(name) is None

    def outputs_checksum(self, name: str) -> str:
        """One checksum of what a notebook made; figures are for the eye and do not count."""
        outputs = self.records.get(name, {}).get("outputs", {})
        text = "".join(
            f"{path} {made['sha256']}\n"
            for path, made in sorted(outputs.items())
            if not path.startswith("figures/")
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def _damage(self, name: str) -> str | None:
        """What is wrong with a notebook's products; a later notebook may have added to them."""
        record = self.records[name]
        for product, made in record["outputs"].items():
            path = self.run_dir / product
            if not path.exists():
                return f"{product} is gone"
            writers = [n for n, r in self.records.items() if product in r.get("outputs", {})]
            last = max(writers, key=lambda n: self.records[n].get("finished_ns", 0))
            if last < name or (last == name and _size(path) != made["bytes"]):
                return f"{product} was changed since"
        return None

    def _made_since(self, started_ns: int, before: dict) -> dict:
        """Products written since then, and those of `before` that are still there."""
        made = {}
        for pattern in PRODUCTS:
            for path in sorted(self.run_dir.glob(pattern)):
                product = path.relative_to(self.run_dir).as_posix()
                if is_hidden(product):
                    continue
                if _modified(path) >= started_ns or product in before:
                    made[product] = {"bytes": _size(path), "sha256": checksum(path)}
        return made

    def _write(self) -> None:
        write_json(self.path, self.content)


def checksum(path: Path) -> str:
    """SHA-256 of a file, or of a folder's relative paths and contents."""
    total = hashlib.sha256()
    for file in _files(path):
        if path.is_dir():
            total.update(f"{file.relative_to(path).as_posix()}\n".encode())
        with file.open("rb") as handle:
            total.update(hashlib.file_digest(handle, "sha256").digest())
    return total.hexdigest()


def notebook_checksum(path: Path) -> str:
    """SHA-256 of a notebook's cells, whatever outputs or metadata it carries."""
    import nbformat

    cells = nbformat.read(path, as_version=4).cells
    text = "\0".join(f"{cell.cell_type}\0{cell.source}" for cell in cells)
    return hashlib.sha256(text.encode()).hexdigest()


def package_checksum() -> str:
    """SHA-256 of the package's code and weights, less what only runs notebooks."""
    root = Path(gc_utils.__file__).parent
    total = hashlib.sha256()
    for path in sorted([*root.rglob("*.py"), *root.glob("weights/*.safetensors")]):
        inside = path.relative_to(root)
        if path.name in _RUNNERS or path.match("weights/*.py") or is_hidden(inside):
            continue
        total.update(f"{inside.as_posix()} {checksum(path)}\n".encode())
    return total.hexdigest()


def _select(found: list[Notebook], only: Iterable[str]) -> list[Notebook]:
    """The notebooks named by number, name or file name, in the story's order."""
    wanted = set()
    for text in only:
        name = Path(text).name.removesuffix(".ipynb")
        if name in {n.number for n in found}:
            wanted |= {n.name for n in found if n.number == name}
        elif name.isdecimal() and name.zfill(2) in {n.number for n in found}:
            wanted |= {n.name for n in found if n.number == name.zfill(2)}
        else:
            wanted.add(choose(name, [n.name for n in found], "notebook"))
    return [n for n in found if not wanted or n.name in wanted]


def _defaults(notebook: Notebook) -> dict[str, Any]:
    return {name: p.default for name, p in notebook.parameters.items() if name != "run_dir"}


def _needed(notebook: Notebook, found: list[Notebook]) -> list[Notebook]:
    return [other for other in found if other.number in NEEDS.get(notebook.number, ())]


def upstream(notebook: Notebook, found: list[Notebook], manifest: Manifest) -> list[Notebook]:
    """The notebooks whose products a notebook reads: `NEEDS`, and of `USES` what is there."""
    numbers = USES.get(notebook.number, ())
    used = [n for n in found if n.number in numbers and manifest.complete(n.name)]
    return [*_needed(notebook, found), *used]


def default_output(preset: str) -> Path:
    """The run folder of a preset where none is named."""
    return (Path("runs") / preset).resolve()


def _check_upstream(
    manifest: Manifest, found: list[Notebook], chosen: list[Notebook], run_dir: Path
) -> None:
    names = {n.name for n in chosen}
    for notebook in chosen:
        missing = [
            other
            for other in _needed(notebook, found)
            if other.name not in names and not manifest.complete(other.name)
        ]
        if missing:
            numbers = " ".join(n.number for n in found if n in missing or n in chosen)
            raise UserError(
                f"{notebook.name} needs what {', '.join(n.name for n in missing)} makes, and "
                f"{short_path(run_dir)} does not have it; use --only {numbers}"
            )


def folder_checksum(spec: str) -> str:
    """The images in the folders of a spec as they are now, as a checksum; empty without folders."""
    if "folder:" not in spec and "imagenet:" not in spec:
        return ""  # and nothing is imported
    from gc_utils.images import image_files

    facts = "\n".join(f"{f} {_size(f)} {_modified(f)}" for f in image_files(spec))
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


def _absolute_images(spec: str) -> str:
    """The spec with its paths made absolute: notebooks run in a folder of their own."""
    from gc_utils.images import _parse

    parts = []
    for kind, value in _parse(spec):
        if kind in ("folder", "imagenet"):
            value = str(Path(value).expanduser().resolve())
        parts.append(f"{kind}:{value}" if value else kind)
    return "+".join(parts)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions | {"gc_utils": gc_utils.__version__}


def _files(path: Path) -> list[Path]:
    """A file itself, or the files of a folder, less those that a file browser left there."""
    if not path.is_dir():
        return [path]
    inside = (p for p in path.rglob("*") if p.is_file())
    return sorted(p for p in inside if not is_hidden(p.relative_to(path)))


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))


def _modified(path: Path) -> int:
    return max((file.stat().st_mtime_ns for file in _files(path)), default=0)


def short_path(path: Path) -> str:
    """A path as a person in this folder would write it."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


@contextlib.contextmanager
def _alone(run_dir: Path) -> Iterator[None]:
    """Hold the run folder; a second run in it would spoil both."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (run_dir / ".lock").open("w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"another run is at work in {short_path(run_dir)}") from error
        yield


@contextlib.contextmanager
def _terminate_as_interrupt() -> Iterator[None]:
    """Let a polite `kill` stop a run the way Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
