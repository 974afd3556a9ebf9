"""The runner, which executes the notebooks in order into a run folder.

    run("smoke", "runs/first", parameters={"group": "D8"})

A notebook is run again only if something that went into it has changed: its code, its parameters,
the modules that it imports, or what the notebooks before it made.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from gc_utils.errors import UserError, brief, choose
from gc_utils.files import is_stray, typed_path
from gc_utils.pipeline.execution import execute
from gc_utils.pipeline.fingerprints import outside
from gc_utils.pipeline.lock import alone
from gc_utils.pipeline.manifest import (
    Manifest,
    code_of,
    needed_numbers,
    notebook_checksum,
    short_path,
    upstream,
)
from gc_utils.pipeline.notebooks import (
    Notebook,
    default_output,
    find_notebooks,
    select,
    with_needed,
)
from gc_utils.pipeline.parameters import check_values, defaults_of, parameter_values
from gc_utils.pipeline.presets import DEFAULT_PRESET, PRESETS
from gc_utils.pipeline.progress import Line, clock, say
from gc_utils.pipeline.record import Record
from gc_utils.pipeline.records import RECORDS
from gc_utils.pipeline.staleness import advice, find_stale


class NotebookFailed(RuntimeError):
    """A notebook stopped with an error; the message says where and why."""


def run(
    preset: str = DEFAULT_PRESET,
    output: str | os.PathLike | None = None,
    only: Iterable[str] = (),
    parameters: dict[str, Any] | None = None,
    force: bool = False,
    *,
    needed: bool = False,
    notebooks: str | os.PathLike | None = None,
    stream: TextIO | None = None,
    records: Iterable[Record] = RECORDS,
    finish: Callable[[Path, list[Notebook]], Path] | None = None,
) -> Path:
    """Execute the notebooks in order and write `run.json`.

    Args:
        preset: a name from `PRESETS`.
        output: the run folder; None for `runs/<preset>`.
        only: numbers or names of the notebooks to run; none for all.
        parameters: overrides of the preset, values or texts.
        force: run also what is up to date.
        needed: run also the notebooks that those of `only` need.
        notebooks: the notebooks' folder; None to find it.
        stream: where progress is reported; None for standard output.
        records: what is known about the notebooks.
        finish: writes the run's report, and returns where it is; called with the run folder and
            all notebooks when the run ends, after a failure or an interruption too.

    Returns:
        The run folder.

    Raises:
        UserError: a mistake in what was asked, found before anything runs.
        NotebookFailed: a notebook stopped; those after it were not run.
        KeyboardInterrupt: the run folder is in order, and the same call goes on from there.
    """
    stream = stream or sys.stdout
    plan = make_plan(
        preset, output, only, parameters, needed=needed, notebooks=notebooks, records=records
    )
    return carry_out(plan, force, stream, finish)


@dataclass(frozen=True)
class Plan:
    """A run that was asked for and in which no mistake is left that can be found beforehand.

    Attributes:
        preset: its name.
        given: parameters as they were given.
        found: all notebooks.
        chosen: those to run, in order.
        values: for each of these, parameters by name.
        used: values of all of them together, defaults included.
        manifest: of the run folder, which may not exist yet.
    """

    preset: str
    given: dict[str, Any]
    found: list[Notebook]
    chosen: list[Notebook]
    values: dict[str, dict[str, Any]]
    used: dict[str, Any]
    manifest: Manifest


def make_plan(
    preset: str = DEFAULT_PRESET,
    output: str | os.PathLike | None = None,
    only: Iterable[str] = (),
    parameters: dict[str, Any] | None = None,
    *,
    needed: bool = False,
    notebooks: str | os.PathLike | None = None,
    records: Iterable[Record] = RECORDS,
) -> Plan:
    """Find out what a run would do and whether it can; nothing is written or deleted.

    Weights that are downloaded are fetched into their cache: they may not be there to be had.

    Args:
        preset, output, only, parameters, needed, notebooks, records: as for `run`.

    Raises:
        UserError: a mistake in what was asked.
    """
    choose(preset, PRESETS, "preset")
    if output == "":
        raise UserError(
            f"--output is empty: name a folder, or leave --output out for runs/{preset}."
        )
    records, parameters = list(records), dict(parameters or {})
    found = find_notebooks(notebooks, records)
    chosen = select(found, only)
    if needed:
        chosen = with_needed(chosen, found)
    values = parameter_values(found, preset, parameters, [n.name for n in chosen], records)
    used = {
        name: value
        for notebook in chosen
        for name, value in (defaults_of(notebook) | values[notebook.name]).items()
    }
    try:
        run_dir = typed_path(output, "--output").resolve() if output else default_output(preset)
        manifest = _look_into(run_dir, found, records)
    except (OSError, RuntimeError) as error:  # a name too long, links in a circle, no permission
        raise UserError(f"--output {brief(repr(str(output)))} cannot be used: {error}") from error
    check_values(used, records, _earlier(manifest, found, chosen))
    _check_given(manifest, chosen, run_dir)
    _check_upstream(manifest, found, chosen, run_dir)
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise UserError(
            "there is no folder for temporary files that can be written, which Jupyter's kernels "
            "need: set TMPDIR to one."
        ) from error
    return Plan(preset, parameters, found, chosen, values, used, manifest)


def carry_out(
    plan: Plan,
    force: bool,
    stream: TextIO,
    finish: Callable[[Path, list[Notebook]], Path] | None = None,
) -> Path:
    """Do what was planned; what is going to be done is said before anything is written.

    Args:
        plan: from `make_plan`.
        force, stream, finish: as for `run`.

    Returns:
        The run folder.

    Raises:
        UserError: the run folder cannot be made or written, or another run is at work in it.
        NotebookFailed, KeyboardInterrupt: as for `run`.
    """
    manifest, run_dir = plan.manifest, plan.manifest.run_dir
    say(stream, f"Run folder: {short_path(run_dir)}")
    _make_writable(run_dir)
    with alone(run_dir, stream), _terminate_as_interrupt():
        manifest = Manifest(run_dir, manifest.chapters)  # another run may have ended meanwhile
        _check_given(manifest, plan.chosen, run_dir)
        _check_upstream(manifest, plan.found, plan.chosen, run_dir)
        manifest.begin(plan.preset, plan.used)
        settled: set[str] = set()
        try:
            _run_all(manifest, plan.found, plan.chosen, plan.values, force, stream, settled)
        finally:
            stale = find_stale(manifest, plan.found, settled)
            manifest.mark_stale(stale)
            report = finish(run_dir, plan.found) if finish else None
            if stale:
                say(stream, advice(manifest, plan.found, stale, plan.given))
    if report:
        say(stream, f"Report: {short_path(report)}")
    if PRESETS[plan.preset].afterwards:
        say(stream, PRESETS[plan.preset].afterwards)
    return run_dir


def _look_into(run_dir: Path, found: list[Notebook], records: list[Record]) -> Manifest:
    """The manifest of a folder that is a run's, or may become one."""
    if run_dir.exists() and not run_dir.is_dir():
        raise UserError(f"output {str(run_dir)!r} is a file, not a folder")
    manifest = Manifest(run_dir, records)
    if run_dir.is_dir() and not (run_dir / "run.json").exists():
        given = {product for notebook in found for product in manifest.given(notebook.name)}
        # A run that was killed before its first word has left a lock, and half a run.json.
        if {path.name for path in run_dir.iterdir() if not is_stray(path.name)} - given:
            raise UserError(
                f"folder {str(run_dir)!r} holds other things than a run; name a new one with "
                "--output"
            )
    return manifest


def _earlier(manifest: Manifest, found: list[Notebook], chosen: list[Notebook]) -> dict[str, Any]:
    """What the notebooks ran with that those chosen need and that do not run again."""
    needed = [n for n in with_needed(chosen, found) if n not in chosen]
    earlier: dict[str, Any] = {}
    for notebook in needed:
        if manifest.known(notebook.name):
            ran_with = manifest.records[notebook.name].get("inputs", {}).get("parameters", {})
            earlier |= defaults_of(notebook) | ran_with
    return earlier


LOCK = ".lock"
_WRITTEN = (".", "figures", "results", "checkpoints")  # what all notebooks write into
_FILES = ("run.json", "report.html", LOCK)  # what every run writes


def _make_writable(run_dir: Path) -> None:
    """Make the run folder, and find out now whether files can be written and replaced there.

    Raises:
        UserError: it cannot be made, or it or a folder in it cannot be written.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the run folder {str(run_dir)!r}: {error}") from error
    place = run_dir
    try:
        for name in (*_WRITTEN, *_FILES):
            place, kind = run_dir / name, "file" if name in _FILES else "folder"
            right = place.is_file() if kind == "file" else place.is_dir()
            if place.exists() and not right:  # and whoever opens a pipe waits for its other end
                raise UserError(
                    f"{str(place)!r} is no {kind}, and a run writes a {kind} of that name: delete "
                    "or rename it, or name another folder with --output."
                )
        for place in filter(Path.is_dir, (run_dir / name for name in _WRITTEN)):
            with tempfile.TemporaryFile(dir=place):
                pass
        place = run_dir / LOCK
        with place.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write in the run folder, at {str(place)!r} ({error.strerror}): name another "
            "with --output, or have its permissions changed."
        ) from error


def _run_all(
    manifest: Manifest,
    found: list[Notebook],
    chosen: list[Notebook],
    values: dict[str, dict],
    force: bool,
    stream: TextIO,
    settled: set[str],
) -> None:
    """Execute what has to be; `settled` is given the names of what ran or was up to date."""
    for place, notebook in enumerate(chosen, start=1):
        line = Line(stream, f"[{place}/{len(chosen)}] {notebook.name}")
        inputs = {
            "notebook": notebook_checksum(notebook.path),
            "parameters": values[notebook.name],
            **outside(values[notebook.name], manifest.chapters),
            "code": code_of(notebook.path, values[notebook.name]),
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
        if manifest.known(notebook.name):
            line.note(stale or "again, as --force asks")
        if force or not manifest.resumable(notebook.name, inputs):
            repair = not force and manifest.repairable(notebook.name, inputs)
            manifest.clear(notebook.name, damaged=repair)
        manifest.start(notebook.name, inputs)
        output = manifest.run_dir / f"{notebook.name}.ipynb"
        try:
            parameters = dict(values[notebook.name])
            if "run_dir" in notebook.parameters:
                parameters["run_dir"] = str(manifest.run_dir)
            done = execute(notebook.path, output, parameters, line.update)
        except BaseException:
            manifest.stop(notebook.name, "interrupted")
            line.finish("interrupted; the same command goes on from here")
            raise
        if done.out_of_room:
            manifest.drop_tables(notebook.name)
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


def _check_given(manifest: Manifest, chosen: list[Notebook], run_dir: Path) -> None:
    """Refuse to run what would replace the products that a person has put into the folder."""
    given = {n.name: sorted(manifest.given(n.name)) for n in chosen}
    given = {name: products for name, products in given.items() if products}
    if given:
        others = " ".join(n.number for n in chosen if n.name not in given)
        name, products = next(iter(given.items()))
        raise UserError(
            f"{products[0].split('/')[0]} in {run_dir} was put there and not made by {name}, which "
            "would replace it: "
            + (f"use --only {others}, or " if others else "")
            + "name another folder with --output."
        )


def _check_upstream(
    manifest: Manifest, found: list[Notebook], chosen: list[Notebook], run_dir: Path
) -> None:
    names = {n.name for n in chosen}
    for notebook in chosen:
        missing = [
            other
            for other in needed_numbers(notebook, found)
            if other.name not in names
            and not (manifest.complete(other.name) or manifest.given(other.name))
        ]
        if missing:
            numbers = " ".join(n.number for n in found if n in missing or n in chosen)
            raise UserError(
                f"{notebook.name} needs what {', '.join(n.name for n in missing)} "
                f"{'makes' if len(missing) == 1 else 'make'}, and "
                f"{short_path(run_dir)} does not have it; use --only {numbers}"
            )


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
