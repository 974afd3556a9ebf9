"""The notebooks of the repository with the outputs of a run, so that GitHub shows what they find.

    python -m gc_utils publish runs/demo

A notebook keeps its own cells and takes the outputs of the run's executed copy, without what is
only of one machine or one moment. What it holds then is noted in its metadata
(`gc_utils.published`): a notebook whose code has changed since has outputs of other code, which
`published_state` says.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import nbformat

from gc_utils._imports import read_cells
from gc_utils.errors import UserError
from gc_utils.figures.saving import caption
from gc_utils.files import write_whole
from gc_utils.pipeline.notebooks import read_content, select
from gc_utils.pipeline.parameters import defaults_of
from gc_utils.pipeline.staleness import ran_with
from gc_utils.reporting.columns import looked_at, read_manifest, shows_only_ours
from gc_utils.reporting.pictures import LEVELS, pictures

if TYPE_CHECKING:
    from gc_utils.pipeline.notebooks import Notebook

LIMIT = 1_000_000  # bytes of a notebook with its outputs
NONE, CURRENT, OUTDATED = "none", "current", "outdated"  # of `published_state`
INSTALL = "# Install gc_utils where it is missing"  # how the first code cell begins
VIEW = "application/vnd.jupyter.widget-view+json"
_BAR = re.compile(r"\[\d+:\d\d(?::\d\d)?(?:<|, )|\b0%\|")  # "[00:03<00:12, 4.0it/s]"
_ADDRESS = re.compile(r"\b(at )0x[0-9a-fA-F]{6,}")
# Two folders or more from the root, as "/home/ada/project/file" or "C:\Users\Ada\file"; neither a
# part of a web address nor of a relative path.
_PATH = re.compile(r"(?<![\w/:.<~-])/(?:[\w.@+-]+/)+[\w.@+-]*|\b[A-Z]:\\(?:[\w.@+ -]+\\)+[\w.@+-]*")
_EMBEDDED = re.compile(r"(data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]+)")


class Published(NamedTuple):
    """What `publish` wrote, and what a person should know about it, in sentences."""

    written: list[Path]
    notes: list[str]


def published_state(notebook: Mapping[str, Any]) -> str:
    """Whether a notebook's outputs are those that its code made in a published run.

    Args:
        notebook: As `nbformat.read` gives it.

    Returns:
        "none": it has no outputs; "current": they were published, for the code as it is now;
        "outdated": they were made by other code, or in another way than by `publish`.
    """
    cells = code_cells(notebook)
    if not any(cell["outputs"] for cell in cells):
        return NONE
    noted = notebook["metadata"].get("gc_utils", {}).get("published", {})
    current = noted.get("cells") == cells_digest(cells)
    return CURRENT if current and noted.get("outputs") == outputs_digest(cells) else OUTDATED


def publish(
    run_dir: str | os.PathLike, notebooks: Sequence[Notebook], only: Iterable[str] = ()
) -> Published:
    """Write the outputs of a run into the repository's notebooks.

    Args:
        run_dir: The run folder, with the executed notebooks.
        notebooks: The notebooks to write to, in their order.
        only: Numbers or names of those that are meant; none for all that the run has.

    Returns:
        The notebooks that were written, and what else there is to say.

    Raises:
        UserError: The run is on images that are not ours to pass on; it lacks a notebook that was
            named; a notebook failed, is stale, has other code than the repository's, or does not
            get small enough. All such notebooks are named, and none is written.
    """
    run_dir, only = Path(run_dir).resolve(), list(only)
    manifest = read_manifest(run_dir)
    chosen = select(notebooks, only)
    if not shows_only_ours(run_dir, notebooks):
        raise UserError(
            f"{run_dir} is a run on images that are not ours to pass on, and its notebooks show "
            "them: publish a run on 'photos' and 'scenes:N' only."
        )
    notes, wrong, texts = [], [], {}
    for notebook in chosen:
        if not only and notebook.name not in manifest["notebooks"]:
            notes.append(f"{notebook.name}: not in this run, and left as it is")
            continue
        try:
            made, said = _published(notebook, notebooks, run_dir, manifest)
        except UserError as error:
            wrong.append(f"{notebook.name}: {error}")
            continue
        texts[notebook.path] = made
        notes += [f"{notebook.name}: {note}" for note in said]
    if wrong:
        raise UserError("nothing was published. " + " ".join(wrong))
    for path, text in texts.items():
        with write_whole(path) as draft:
            draft.write_text(text, encoding="utf-8")
    return Published(list(texts), notes)


def clear(notebooks: Sequence[Notebook], only: Iterable[str] = ()) -> list[Path]:
    """Take the outputs out of notebooks.

    Args:
        notebooks: The notebooks, in their order.
        only: Numbers or names of those that are meant; none for all that are outdated.

    Returns:
        The notebooks that were written.
    """
    only, written = list(only), []
    for notebook in select(notebooks, only):
        content = read_content(notebook.path)
        state = published_state(content)
        if state == OUTDATED or (only and state != NONE):
            with write_whole(notebook.path) as draft:
                draft.write_text(_text(_without_outputs(content)), encoding="utf-8")
            written.append(notebook.path)
    return written


def code_cells(notebook: Mapping[str, Any]) -> list[dict]:
    """A notebook's code cells, less the one that papermill writes parameters into."""
    return [
        cell
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
        and "injected-parameters" not in cell["metadata"].get("tags", [])
    ]


def cells_digest(cells: Iterable[Mapping[str, Any]]) -> str:
    """sha256 of code, whatever comments it has; the cell that installs the package is left out."""
    sources = [str(cell["source"]) for cell in cells]
    return read_cells(tuple(s for s in sources if not s.startswith(INSTALL)), "gc_utils").digest


def outputs_digest(cells: Iterable[Mapping[str, Any]]) -> str:
    """sha256 of outputs: another person's run of the same code has others."""
    outputs = json.dumps([cell["outputs"] for cell in cells], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(outputs.encode("utf-8")).hexdigest()


def _published(
    notebook: Notebook, notebooks: Sequence[Notebook], run_dir: Path, manifest: dict
) -> tuple[str, list[str]]:
    """A notebook's text with the outputs of a run, and what there is to say."""
    record = manifest["notebooks"].get(notebook.name)
    source = run_dir / f"{notebook.name}.ipynb"
    if record is None or not source.is_file():
        raise UserError(f"not in {run_dir}; run it there first.")
    if record["status"] != "done" or record.get("stale"):
        state = record.get("stale") or record["status"]
        raise UserError(f"it is not up to date in {run_dir} ({state}); run it again.")
    executed = read_content(source)
    result = _without_outputs(read_content(notebook.path))
    cells, ran = code_cells(result), code_cells(executed)
    _check_same(cells, ran)
    notes, cleaned = [], _Words(run_dir, executed, manifest["preset"])
    for cell, done in zip(cells, ran, strict=True):
        for output in copy.deepcopy(done["outputs"]):
            if output["output_type"] == "error":
                raise UserError(f"a cell ends in {output['ename']}; run it again.")
            if output.get("name") == "stderr" and not _without_bars(output["text"]).strip():
                continue
            if output.get("name") == "stderr":
                first = _without_bars(output["text"]).strip().splitlines()[0]
                notes.append(f"its outputs have a warning, which readers will see: {first[:90]}")
            if kept := cleaned(output):
                cell["outputs"].append(kept)
        _name_pictures(cell, run_dir)
    about = looked_at(manifest, notebook, notebooks)
    _say_where_from(cells, notebook, record, about)
    for number, cell in enumerate(cells, 1):
        cell["execution_count"] = number if cell["outputs"] else None
        for output in cell["outputs"]:
            if output["output_type"] == "execute_result":
                output["execution_count"] = number
    _fit(result, cells)
    result["metadata"]["gc_utils"] = {
        "published": {
            "cells": cells_digest(cells),
            "outputs": outputs_digest(cells),
            "preset": manifest["preset"],
            **about,
        }
    }
    return _text(result), notes


def _check_same(cells: list[dict], ran: list[dict]) -> None:
    """Refuse outputs of other code."""
    for number, (cell, done) in enumerate(zip(cells, ran, strict=False), 1):
        if cells_digest([cell]) != cells_digest([done]) and not (
            cell["source"].startswith(INSTALL) and done["source"].startswith(INSTALL)
        ):
            line = cell["source"].strip().partition("\n")[0]
            raise UserError(
                f"its code cell {number} ({line[:60]!r}) is not the one that ran; run it again."
            )
    if len(cells) != len(ran):
        raise UserError(
            f"it has {len(cells)} code cells, and {len(ran)} when it ran; run it again."
        )


def _without_outputs(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A notebook's cells alone."""
    for cell in code_cells(notebook):
        cell["outputs"], cell["execution_count"] = [], None
        cell["metadata"].pop("execution", None)
    ours = notebook["metadata"].get("gc_utils", {})
    ours.pop("published", None)
    if not ours:
        notebook["metadata"].pop("gc_utils", None)
    notebook["metadata"].pop("widgets", None)
    return notebook


class _Words:
    """Takes out of an output what is only of one machine or one moment.

    Args:
        run_dir: The run folder, which becomes `runs/<preset>`.
        executed: The executed notebook, which knows where the repository was.
        preset: Of the run.
    """

    def __init__(self, run_dir: Path, executed: Mapping[str, Any], preset: str) -> None:
        self.folders = {str(run_dir): f"runs/{preset}"}
        ran = executed["metadata"].get("papermill", {})
        if path := ran.get("output_path"):
            self.folders[str(Path(path).parent)] = f"runs/{preset}"
        if path := ran.get("input_path"):
            self.folders[str(Path(path).parents[1])] = ""

    def __call__(self, output: dict) -> dict | None:
        """The output as it may be published; None if nothing is left of it."""
        output.pop("transient", None)
        if output["output_type"] == "stream":
            output["text"] = self.plain(_without_bars(output["text"]))
            return output if output["text"].strip() else None
        data = output["data"]
        if VIEW in data:  # without its widget a view shows nothing, but there may be a picture
            del data[VIEW]
            output["metadata"].pop(VIEW, None)
            if not any(kind.startswith("image/") or kind == "text/html" for kind in data):
                return None
        if set(data) == {"text/plain"}:
            data["text/plain"] = _without_bars(data["text/plain"])
            if not data["text/plain"].strip():
                return None
        for kind in data:
            if kind.startswith("text/"):
                parts = _EMBEDDED.split(data[kind])  # every other one is a picture's data
                data[kind] = "".join(
                    part if number % 2 else self.plain(part) for number, part in enumerate(parts)
                )
        return output

    def plain(self, text: str) -> str:
        """A text without the folders of a machine and the addresses in its memory."""
        for folder, name in sorted(self.folders.items(), key=lambda pair: -len(pair[0])):
            if len(folder) > 1:
                text = text.replace(folder + os.sep, f"{name}/" if name else "")
                text = text.replace(folder, name or ".")
        text = _PATH.sub(lambda at: re.split(r"[/\\]", at[0].rstrip("/\\"))[-1], text)
        return _ADDRESS.sub(r"\g<1>0x…", text)


def _without_bars(text: str) -> str:
    """A text less the lines that are progress bars."""
    lines = re.split(r"(?<=[\n\r])", text)
    return "".join(line for line in lines if line != "\r" and not _BAR.search(line))


def _name_pictures(cell: dict, run_dir: Path) -> None:
    """Give pictures without an alt text the caption that the cell saves them with."""
    shown = [o for o in cell["outputs"] if {"image/png", "image/jpeg"} & set(o.get("data", {}))]
    named = [run_dir / "figures" / f"{n}.png" for n in re.findall(r'"(\d\d\w?_\w+)"', cell.source)]
    saved = [path for path in named if path.is_file()]
    if len(shown) != len(saved):
        return  # which is which cannot be told from the code
    for output, path in zip(shown, saved, strict=True):
        mime = next(kind for kind in output["data"] if kind.startswith("image/"))
        if text := caption(path):
            output["metadata"].setdefault(mime, {}).setdefault("alt", text)


def _say_where_from(
    cells: list[dict], notebook: Notebook, record: Mapping[str, Any], about: Mapping[str, str]
) -> None:
    """Say under the parameters which run the outputs are of, and what it set."""
    ran, usual = ran_with(notebook, dict(record)), defaults_of(notebook)
    others = [
        f"{n} = {v!r}" for n, v in ran.items() if v != usual.get(n) and not n.endswith("_file")
    ]
    told = f"The outputs in this notebook are those of\n{about['command']}\n"
    looked = "; ".join(about[name] for name in ("network", "images") if about[name])
    told += f"which looks at {looked}.\n" if looked else ""
    told += f"Set by that run: {', '.join(others)}.\n" if others else ""
    for cell in cells:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["outputs"].append(nbformat.v4.new_output("stream", name="stdout", text=told))


def _fit(notebook: nbformat.NotebookNode, cells: list[dict]) -> None:
    """Shrink the pictures, the largest first, until the notebook is small enough."""
    found = pictures(_outputs(cells))
    for picture in found:
        picture.shrink()
    while (size := len(_text(notebook).encode("utf-8")) + 1000) > LIMIT:  # 1000: its metadata
        larger = [picture for picture in found if picture.level + 1 < len(LEVELS)]
        if not larger:
            told = ", ".join(f"{p.name} {p.size // 1000} kB" for p in found) or "no pictures"
            raise UserError(
                f"it has {size // 1000} kB with its outputs, and {LIMIT // 1000} kB are allowed; "
                f"as small as they get: {told}. Show fewer or smaller figures."
            )
        max(larger, key=lambda picture: picture.size).shrink()


def _outputs(cells: list[dict]) -> Iterator[tuple[str, dict]]:
    for number, cell in enumerate(cells, 1):
        for output in cell["outputs"]:
            yield f"code cell {number}", output


def _text(notebook: nbformat.NotebookNode) -> str:
    return nbformat.writes(notebook) + "\n"
