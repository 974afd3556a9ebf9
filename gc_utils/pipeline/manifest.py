"""`run.json`: what was run with what, how long it took, and what it made."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import gc_utils
from gc_utils.closure import cells_digest, changed_parts, code_digests
from gc_utils.errors import UserError
from gc_utils.files import is_inside, is_stray, write_json
from gc_utils.pipeline.execution import MODULES, Execution
from gc_utils.pipeline.fingerprints import Checksums, checksum, size_of
from gc_utils.pipeline.notebooks import Notebook
from gc_utils.pipeline.record import ALWAYS, Record, is_named, number_of, record_of
from gc_utils.pipeline.records import RECORDS
from gc_utils.pipeline.runfile import FORMAT, OtherVersion, read_run
from gc_utils.removal import delete, leads_inside

PACKAGES = (
    "captum gc_utils jupyterlab matplotlib numpy pandas papermill pillow safetensors scikit-image "
    "scikit-learn scipy torch torchvision umap-learn zarr"
).split()


TABLES = (".csv", ".parquet", ".npz")


class Manifest:
    """`run.json`: what was run with what, how long it took, and what it made.

    Args:
        run_dir: the run folder.
        chapters: the notebooks' records, which say what each makes.
    """

    def __init__(self, run_dir: Path, chapters: Iterable[Record] = RECORDS):
        self.run_dir = run_dir
        self.chapters = list(chapters)
        self.path = run_dir / "run.json"
        self.content: dict[str, Any] = {"notebooks": {}}
        self._sums = Checksums()
        if self.path.exists():
            self.content = self._read()
        self.records: dict[str, dict] = self.content["notebooks"]
        self._check_paths()
        for name, record in self.records.items():
            if record["status"] == "running":  # it was killed and could not say what it had made
                record["status"] = "interrupted"
                record["outputs"] = self._made(name, record)
                record.pop("there", None)

    def _read(self) -> dict[str, Any]:
        """The file's content.

        Raises:
            UserError: it is damaged, or another version wrote it.
        """
        where = short_path(self.path)
        instead = "name a new --output, or delete the whole folder to begin again"
        try:
            return read_run(self.path, ("notebooks",), whole=True)
        except OtherVersion as error:
            raise UserError(
                f"{where} was written by another version of this package ({error}): use that "
                f"version, or {instead}"
            ) from error
        except (OSError, ValueError) as error:
            raise UserError(
                f"{where} cannot be read: it is damaged, or was written by another version "
                f"({error}); {instead}"
            ) from error

    def _check_paths(self) -> None:
        """Refuse a manifest that names anything outside of its folder: products are deleted."""
        for name, record in self.records.items():
            outputs = record.get("outputs") or {}
            for path in (f"{name}.ipynb", *outputs):
                if path in outputs and path == self.path.name:
                    raise self._no_product(path)
                self._check_path(path)

    def _check_path(self, path: str) -> None:
        """Refuse what is elsewhere, whether its name says so or a link on its way leads there."""
        if not is_inside(path) or not leads_inside(self.run_dir, path):
            raise self._no_product(path)

    def _no_product(self, path: str) -> UserError:
        linked = is_inside(path) and not leads_inside(self.run_dir, path)
        return UserError(
            f"{short_path(self.path)} names {path!r}, which is no product in its run folder: "
            + (
                f"{path.rpartition('/')[0]} leads out of it. Put a folder in the place of the "
                "link, "
                if linked
                else "it is damaged, or somebody else's. Delete it "
            )
            + "or name a new --output."
        )

    def begin(self, preset: str, parameters: dict[str, Any]) -> None:
        """Note what was asked and on what machine.

        What notebooks that are not asked for ran with stands in their records.
        """
        self.content = {
            "format": FORMAT,
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
            "inputs": inputs,
            "outputs": outputs,
            # Which of several notebooks wrote a product last is told by their turns, as what it
            # wrote is by content: a clock may be set back, and a file server has one of its own.
            "turn": 1 + max((r.get("turn", 0) for r in self.records.values()), default=0),
            "there": {p: self._sums(path) for p, path in self._products(name)},
        }
        self._write()

    def stop(self, name: str, status: str, done: Execution | None = None) -> None:
        """Note how a notebook ended, and what it made."""
        record = self.records[name]
        record["status"] = status
        if done:
            record |= {
                "seconds": done.seconds,
                "cells": done.cells,
                "peak_memory_mb": done.peak_memory_mb,
            }
            if done.error:
                record["error"] = done.error
        record["outputs"] = self._made(name, record)
        del record["there"]
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
        if then.get("notebook") != inputs["notebook"]:
            return "the notebook changed"
        if changed := changed_parts(then.get("code", {}), inputs["code"]):
            return f"changed: {changed}"
        if then.get("pictures") != inputs["pictures"]:
            return "the folder of its images changed"
        files = inputs.get("files", "")
        if then.get("files", files) != files:
            return "the file of its weights changed"
        for other, made in inputs["upstream"].items():
            if then["upstream"].get(other) != made:
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

    def repairable(self, name: str, inputs: dict) -> bool:
        """Whether a notebook is done with the same inputs, so that it can make again what is lost.

        What is whole of its products can stay: it finds its checkpoints there.
        """
        record = self.records.get(name)
        return record is not None and record["status"] == "done" and record["inputs"] == inputs

    def drop_tables(self, name: str) -> None:
        """Delete the tables that a running notebook has written, when the last may be cut short.

        They are small and made again; checkpoints, stores and findings are written whole.
        """
        record = self.records[name]
        for product in self._made(name, record):
            if Path(product).suffix in TABLES:
                self._delete(name, product)

    def clear(self, name: str, *, damaged: bool = False) -> None:
        """Delete what an earlier run of a notebook made.

        Args:
            name: the notebook's.
            damaged: delete only what is not as it was made.
        """
        if name not in self.records:
            return
        outputs = self.records[name]["outputs"]
        unwanted = [p for p in outputs if not damaged or self._is_damaged(name, p)]
        # First: whoever is stopped while files are deleted has a notebook that is not done.
        self.records[name]["status"] = "interrupted"
        self._write()
        for product in unwanted:
            self._delete(name, product)
            del outputs[product]

    def _delete(self, name: str, product: str) -> None:
        """Delete a product; what no notebook of that name makes is a person's, and stays.

        Raises:
            UserError: it lies elsewhere, whatever was there when the record was read.
        """
        makes = record_of(number_of(name), self.chapters).makes
        if is_named(product, (*makes, *ALWAYS)) and not is_stray(product):
            self._check_path(product)
            delete(self.run_dir / product)

    def complete(self, name: str) -> bool:
        """Whether a notebook is done and its products are there."""
        record = self.records.get(name)
        return record is not None and record["status"] == "done" and self._damage(name) is None

    def given(self, name: str) -> dict[str, str]:
        """The products of a notebook that never ran here, if a person has put all of them here.

        Returns:
            Checksums by path; empty if the notebook ran or a product is missing.
        """
        makes = record_of(number_of(name), self.chapters).makes
        found = [sorted(self.run_dir.glob(pattern)) for pattern in makes]
        if name in self.records or not makes or not all(found):
            return {}
        paths = [path for group in found for path in group]
        return {path.relative_to(self.run_dir).as_posix(): self._sums(path) for path in paths}

    def outputs_checksum(self, name: str) -> str:
        """One checksum of what a notebook made; figures are for the eye and do not count."""
        if given := self.given(name):
            return hashlib.sha256(str(given).encode()).hexdigest()
        outputs = self.records.get(name, {}).get("outputs", {})
        text = "".join(
            f"{path} {made['sha256']}\n"
            for path, made in sorted(outputs.items())
            if not path.startswith("figures/")
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def _damage(self, name: str) -> str | None:
        """What is wrong with a notebook's products; a later notebook may have added to them."""
        for product in self.records[name]["outputs"]:
            if not (self.run_dir / product).exists():
                return f"{product} is gone"
            if self._is_damaged(name, product):
                return f"{product} was changed since"
        return None

    def _is_damaged(self, name: str, product: str) -> bool:
        """Whether a product is gone, or is not what the notebook that wrote it last left there."""
        path = self.run_dir / product
        if not path.exists():
            return True
        writers = [n for n, r in self.records.items() if product in r.get("outputs", {})]
        last = max(writers, key=lambda n: (self.records[n].get("turn", 0), n))
        if last != name:
            return last < name
        return self._sums(path) != self.records[name]["outputs"][product]["sha256"]

    def _products(self, name: str) -> list[tuple[str, Path]]:
        """What is there of all that a notebook may make: names in the run folder, and paths."""
        makes = record_of(number_of(name), self.chapters).makes
        found = {p for pattern in (*makes, *ALWAYS) for p in self.run_dir.glob(pattern)}
        named = ((path.relative_to(self.run_dir).as_posix(), path) for path in sorted(found))
        return [(product, path) for product, path in named if not is_stray(product)]

    def _made(self, name: str, record: dict) -> dict:
        """A notebook's products: what it has changed, and what it had made before."""
        made, there = {}, record.get("there")
        for product, path in self._products(name):
            found = self._sums(path)
            new = there is not None and there.get(product) != found
            if new or product in record["outputs"]:
                made[product] = {"bytes": size_of(path), "sha256": found}
        return made

    def _write(self) -> None:
        write_json(self.path, self.content)


def notebook_checksum(path: Path) -> str:
    """SHA-256 of a notebook's code, whatever words, outputs or metadata it carries."""
    return cells_digest(path)


def code_of(path: Path, parameters: Mapping[str, Any] | None = None) -> dict[str, str]:
    """A digest for each module and data file that a notebook depends on.

    Args:
        path: of the notebook.
        parameters: its values; a model `MODULE:FACTORY` adds the file of a person's own module,
            if it lies below the folder of the command, but not what that imports.
    """
    found = code_digests(path)
    model = str((parameters or {}).get("model", ""))
    if ":" in model and not model.startswith("timm:"):
        stem = Path(os.environ.get(MODULES) or ".", *model.partition(":")[0].split("."))
        for file in (stem.with_suffix(".py"), stem / "__init__.py"):
            if file.is_file():
                found[model] = checksum(file)[:12]
    return found


def needed_numbers(notebook: Notebook, found: list[Notebook]) -> list[Notebook]:
    return [other for other in found if other.number in notebook.record.needs]


def upstream(notebook: Notebook, found: list[Notebook], manifest: Manifest) -> list[Notebook]:
    """The notebooks whose products a notebook reads: what it needs, and what is there to use."""
    used = [n for n in found if n.number in notebook.record.uses and manifest.complete(n.name)]
    return [*needed_numbers(notebook, found), *used]


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions | {"gc_utils": gc_utils.__version__}


def short_path(path: Path) -> str:
    """A path as a person in this folder would write it."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd()))
    return str(path)
