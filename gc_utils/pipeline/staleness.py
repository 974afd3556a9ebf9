"""Which notebooks of a run folder no longer belong to what is there, and why.

A run may execute some notebooks only. What the others made before stays in the folder and in the
report, and may be of other settings: it is kept, and said to be stale.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Any

from gc_utils.closure import changed_parts
from gc_utils.errors import UserError
from gc_utils.pipeline.fingerprints import outside
from gc_utils.pipeline.manifest import (
    Manifest,
    code_of,
    notebook_checksum,
    short_path,
    upstream,
)
from gc_utils.pipeline.notebooks import Notebook, default_output
from gc_utils.pipeline.presets import DEFAULT_PRESET, preset_values
from gc_utils.pipeline.record import Record

CODE = "code changed"


def find_stale(
    manifest: Manifest, notebooks: Iterable[Notebook], settled: Iterable[str]
) -> dict[str, str]:
    """Which notebooks of a run folder are stale, and why.

    Args:
        manifest: what was run; its `parameters` are those last asked for.
        notebooks: all notebooks, in the story's order.
        settled: names of those that this run executed or found up to date. Whether the code or the
            parameters asked for have changed is looked at for the others only.

    Returns:
        Reasons by name, in the story's order. A reason that is the code alone begins with `CODE`.
    """
    notebooks, settled = list(notebooks), set(settled)
    reasons: dict[str, str] = {}
    for notebook in notebooks:
        record = manifest.records.get(notebook.name)
        if record is None:
            continue
        reads = upstream(notebook, notebooks, manifest)
        found = _disagreements(notebook, reads, manifest, notebook.name in settled)
        if notebook.name not in settled:
            found += _changed_outside(record["inputs"], manifest.chapters)
        found = found or _inherited(reads, reasons, code=False)
        # Whoever runs one notebook while working on the code knows that what it reads is older.
        if notebook.name not in settled:
            found = found or _code(notebook, record["inputs"])
            found = found or _inherited(reads, reasons, code=True)
        if found:
            reasons[notebook.name] = "; ".join(found)
    return reasons


def ran_with(notebook: Notebook, record: dict) -> dict[str, Any]:
    """The parameters that a notebook ran with, its defaults among them, without the run folder."""
    values = {name: p.default for name, p in notebook.parameters.items() if name != "run_dir"}
    return values | record["inputs"]["parameters"]


def advice(
    manifest: Manifest, notebooks: Iterable[Notebook], reasons: dict[str, str], given: dict
) -> str:
    """One line: what is stale and the options that run it again.

    Args:
        manifest: what was run.
        notebooks: all notebooks.
        reasons: of `find_stale`; not empty.
        given: the parameters that the person gave this time.
    """
    stale = [n for n in notebooks if n.name in reasons]
    asked, preset = manifest.content["parameters"], manifest.content["preset"]
    values = preset_values(preset, manifest.chapters)
    options = {}
    for notebook in stale:
        then = manifest.records[notebook.name]["inputs"]["parameters"]
        usual = {n: p.default for n, p in notebook.parameters.items()} | values
        for name in notebook.parameters:
            if name in given:
                options[name] = given[name]
            elif name in then and name not in asked and then[name] != usual.get(name):
                options[name] = then[name]  # it was chosen then, and nothing said against it now
    words = ["--only", *dict.fromkeys(n.number for n in stale)]
    for name, value in options.items():
        words += ["-p", name, str(value)]
    if preset != DEFAULT_PRESET:
        words += ["--preset", preset]
    if manifest.run_dir != default_output(preset):
        words += ["--output", short_path(manifest.run_dir)]
    same = {reason: [n for n in reasons if reasons[n] == reason] for reason in reasons.values()}
    what = ", ".join(f"{', '.join(names)} ({reason})" for reason, names in same.items())
    return f"stale: {what}; run again with {shlex.join(words)}"


def _disagreements(
    notebook: Notebook, reads: list[Notebook], manifest: Manifest, settled: bool
) -> list[str]:
    """Where a notebook's inputs and parameters disagree with what is there."""
    records = manifest.records
    record = records[notebook.name]
    values, then = ran_with(notebook, record), record["inputs"].get("upstream", {})
    found = [
        f"{other.name} made something else since"
        if manifest.records.get(other.name, {}).get("status") == "done"
        else f"{other.name} did not finish since"
        for other in reads
        if other.name in then and then[other.name] != manifest.outputs_checksum(other.name)
    ]
    found += [f"{other.name} was not there then" for other in reads if other.name not in then]
    differ: dict[str, str] = {}
    for other in reads:
        if other.name in records:
            theirs = ran_with(other, records[other.name])
            for name in values.keys() & theirs.keys():
                if values[name] != theirs[name]:
                    differ[name] = f"{other.name} with {_show(theirs[name])}"
    if not settled:
        asked = manifest.content["parameters"]
        for name in values.keys() & asked.keys():
            if values[name] != asked[name]:
                differ.setdefault(name, f"{_show(asked[name])} was asked for since")
    found += [f"it ran with {n} {_show(values[n])}, {differ[n]}" for n in sorted(differ)]
    return found


def _inherited(reads: list[Notebook], reasons: dict[str, str], code: bool) -> list[str]:
    """Whether what it reads is stale: for its inputs or, if `code`, for its code alone."""
    names = [n.name for n in reads if n.name in reasons]
    names = [name for name in names if reasons[name].startswith(CODE) == code]
    if not names:
        return []
    if code:
        return [f"{CODE} since {' and '.join(names)} ran"]
    return [f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} stale"]


def _changed_outside(inputs: dict, records: Iterable[Record]) -> list[str]:
    """Whether the images or files that a notebook was given are others now."""
    try:
        now = outside(inputs["parameters"], records)
    except (UserError, OSError):
        return ["the folder of its images cannot be read now"]
    said = {"pictures": "the folder of its images", "files": "a file that it was given"}
    return [
        f"{what} changed since" for kind, what in said.items() if inputs.get(kind, "") != now[kind]
    ]


def _code(notebook: Notebook, inputs: dict) -> list[str]:
    """Whether a notebook's own code, or the modules it imports, are others than when it ran."""
    changed = []
    if inputs.get("notebook", "") != notebook_checksum(notebook.path):
        changed.append("the notebook")
    if modules := changed_parts(
        inputs.get("code", {}), code_of(notebook.path, inputs["parameters"])
    ):
        changed.append(modules)
    return [f"{CODE} since it ran: {' and '.join(changed)}"] if changed else []


def _show(value: Any) -> str:
    return repr(value) if value == "" else str(value)
