"""`run.json`: what was run with what, how long it took, and what it made."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import gc_utils
from gc_utils.closure import cells_digest, changed_parts, code_digests
from gc_utils.errors import UserError
from gc_utils.files import is_hidden, write_json
from gc_utils.pipeline.execution import MODULES, Execution
from gc_utils.pipeline.notebooks import Notebook
from gc_utils.pipeline.record import ALWAYS, Record, number_of, record_of
from gc_utils.pipeline.records import RECORDS

PACKAGES = (
    "captum gc_utils jupyterlab matplotlib numpy pandas papermill pillow safetensors scikit-image "
    "scikit-learn scipy torch torchvision umap-learn zarr"
).split()


class Manifest:
    """`run.json`: what was run with what, how long it took, and what it made.

    Args:
        run_dir: the run folder.
        chapters: the notebooks' records, which say what each makes.
    """

    def __init__(self, run_dir: Path, chapters: Iterable[Record] = RECORDS):
        import json

        self.run_dir = run_dir
        self.chapters = list(chapters)
        self.path = run_dir / "run.json"
        self.content: dict[str, Any] = {"notebooks": {}}
        if self.path.exists():
            try:
                self.content = json.loads(self.path.read_text(encoding="utf-8"))
                self.records = self.content["notebooks"]
                for record in self.records.values():
                    record["status"]  # noqa: B018
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise UserError(
                    f"{short_path(self.path)} cannot be read; delete it or name a new --output"
                ) from error
        self.records: dict[str, dict] = self.content["notebooks"]
        for name, record in self.records.items():
            if record["status"] == "running":  # it was killed and could not say what it had made
                record["status"] = "interrupted"
                record["outputs"] = self._made_since(name, record["started_ns"], {})

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
        record["outputs"] = self._made_since(name, record["started_ns"], record["outputs"])
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

    def given(self, name: str) -> dict[str, str]:
        """The products of a notebook that never ran here, if a person has put all of them here.

        Returns:
            Size and time of change by path; empty if the notebook ran or a product is missing.
        """
        makes = record_of(number_of(name), self.chapters).makes
        found = [sorted(self.run_dir.glob(pattern)) for pattern in makes]
        if name in self.records or not makes or not all(found):
            return {}
        paths = [path for group in found for path in group]
        return {
            path.relative_to(self.run_dir).as_posix(): f"{_size(path)} {_modified(path)}"
            for path in paths
        }

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

    def _made_since(self, name: str, started_ns: int, before: dict) -> dict:
        """A notebook's products written since then, and those of `before` that are still there."""
        made = {}
        makes = record_of(number_of(name), self.chapters).makes
        for pattern in dict.fromkeys((*makes, *ALWAYS)):
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


def folder_checksum(spec: str) -> str:
    """The images in the folders of a spec as they are now, as a checksum; empty without folders."""
    if "folder:" not in spec and "imagenet:" not in spec:
        return ""  # and nothing is imported
    from gc_utils.images.photographs import image_files

    facts = "\n".join(f"{f} {_size(f)} {_modified(f)}" for f in image_files(spec))
    return hashlib.sha256(facts.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def file_checksum(path: str) -> str:
    """A file, or the files of a folder, as they are now, as a checksum; empty without one."""
    if not path or not Path(path).exists():
        return ""
    facts = "\n".join(f"{f} {_size(f)} {_modified(f)}" for f in _files(Path(path)))
    return hashlib.sha256(facts.encode()).hexdigest()[:16]


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
