"""What one run found, as the columns of the page of claims hold it: numbers and how to repeat them.

The page has two columns, the embedded default and a real network. What the run on the real network
found is kept in the repository (`docs/real_findings.json`), so that the page can be written again
without that run.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gc_utils.errors import UserError
from gc_utils.evidence.findings import load_findings
from gc_utils.evidence.verdicts import Evidence, network_evidence
from gc_utils.files import write_json
from gc_utils.images.photographs import ours_to_show, without_paths
from gc_utils.pipeline import PRESETS, preset_values
from gc_utils.pipeline.notebooks import with_needed
from gc_utils.pipeline.record import image_parameters, rules_of
from gc_utils.pipeline.runfile import read_run
from gc_utils.pipeline.staleness import ran_with

if TYPE_CHECKING:
    from gc_utils.pipeline.notebooks import Notebook

KEPT = "real_findings.json"  # in docs/
SETTING = ("model", "weights", "layer", "group", "images", "seed")
NETWORK = ("model", "weights", "layer", "group")
PLACES = {"data": "FOLDER", "path": "PATH"}  # said in place of folders of one machine


@dataclass(frozen=True)
class Column:
    """One column of the page.

    Attributes:
        setting: what the run was made with, in a line.
        findings: the run's findings, each with `network`, `images` (what it was looked at on, empty
            where there is none) and `command` (what repeats it).
        figures: by the name of a figure, its `caption`, the `network` and `images` that it was
            made from, and the images that the dictionary was `trained_on` if these are others;
            only those that may be shown by anybody.
        cards: the same, but for the caption, of the figure at the top of the README; empty if there
            is none that may be shown.
    """

    setting: str
    findings: list[dict] = field(default_factory=list)
    figures: dict[str, dict[str, str]] = field(default_factory=dict)
    cards: dict[str, str] = field(default_factory=dict)

    @property
    def by_id(self) -> dict[str, dict]:
        """The findings by the ids of their claims."""
        return {entry["id"]: entry for entry in self.findings}


def column_of(run_dir: str | os.PathLike, notebooks: Sequence[Notebook]) -> Column:
    """The column of a run, without figures.

    Args:
        run_dir: A finished run.
        notebooks: The notebooks, with their records, in their order.

    Returns:
        The column. Nothing in it names a folder of this machine.

    Raises:
        UserError: The run has no findings or a damaged file of them, or is no run.
    """
    run_dir = Path(run_dir)
    manifest = read_manifest(run_dir)
    found = load_findings(run_dir)
    if not found:
        raise UserError(f"{run_dir.resolve()} has no findings: run the notebooks first.")
    by_name = {n.name: n for n in notebooks}
    findings = []
    for entry in found:
        notebook = by_name.get(entry["notebook"])
        seen = looked_at(manifest, notebook, notebooks) if notebook else {}
        findings.append(entry | {"network": "", "images": "", "command": ""} | seen)
    return Column(setting(manifest), findings)


def looked_at(
    manifest: Mapping[str, Any], notebook: Notebook, notebooks: Sequence[Notebook]
) -> dict[str, str]:
    """What a notebook looked at, `network` and `images`, and the `command` that repeats it.

    Args:
        manifest: The content of the run's `run.json`.
        notebook: The notebook.
        notebooks: All notebooks, in their order.
    """
    wanted = with_needed([notebook], notebooks)
    values: dict[str, Any] = {}
    for other in wanted:
        values |= _values(manifest, other)
    return subject(values) | {"command": repeat(manifest, notebook, notebooks)}


def subject(values: Mapping[str, Any]) -> dict[str, str]:
    """What was looked at, `network` and `images`: in words, empty where there was none.

    Args:
        values: Parameters by name.
    """
    network = [str(values["model"])] if "model" in values else []
    network += [f"{name} {values[name]}" for name in NETWORK[1:] if network and values.get(name)]
    return {
        "network": ", ".join(network),
        "images": without_paths(values.get("images") or ""),
    }


def _values(manifest: Mapping[str, Any], notebook: Notebook) -> dict[str, Any]:
    """What a notebook ran with; what was last asked for, if it is not known."""
    record = manifest.get("notebooks", {}).get(notebook.name)
    if record:
        return ran_with(notebook, record)
    return {n: v for n, v in manifest["parameters"].items() if n in notebook.parameters}


def repeat(manifest: Mapping[str, Any], notebook: Notebook, notebooks: Sequence[Notebook]) -> str:
    """The command that makes a notebook's findings again, with the notebooks that it needs.

    Args:
        manifest: The content of the run's `run.json`.
        notebook: The notebook.
        notebooks: All notebooks, in their order.

    Returns:
        A line for a shell, with every parameter that was not the preset's own. Weights that were
        read from a copy at hand are those of their name, and are left out; where a folder of one's
        own has to be named it says PATH.
    """
    wanted, preset = with_needed([notebook], notebooks), manifest["preset"]
    words = ["--preset", preset, "--only", *(n.number for n in wanted)]
    if preset in PRESETS:
        usual = preset_values(preset, [n.record for n in notebooks])
        for name, value in _chosen(manifest, wanted, usual).items():
            words += ["-p", name, value]
    return f"python -m gc_utils run {shlex.join(words)}"


def _chosen(
    manifest: Mapping[str, Any], wanted: Iterable[Notebook], usual: Mapping[str, Any]
) -> dict[str, str]:
    """By parameter the values that a preset and the notebooks do not have by themselves."""
    chosen: dict[str, str] = {}
    for notebook in wanted:
        rules = rules_of([notebook.record])
        defaults = {name: p.default for name, p in notebook.parameters.items()} | dict(usual)
        for name, value in _values(manifest, notebook).items():
            # A preset's weights are left out when another model is asked for.
            if value == defaults.get(name) or value == "" or name == "weights_file":
                continue
            holds = rules[name].holds if name in rules else ""
            if holds == "images":
                value = without_paths(value)
            elif holds:
                kind, colon, _ = str(value).partition(":")
                value = f"{kind}:{PLACES[holds]}" if colon else PLACES.get(holds, value)
            if isinstance(value, (list, tuple)):
                value = ",".join(map(str, value))
            chosen[name] = str(value)
    return chosen


def parameters_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """By name the parameters that a run's notebooks ran with, the first one's where they differ.

    What was last asked for stands where no notebook says: when a part of a run is made again, that
    is not what the others ran with.

    Args:
        manifest: The content of the run's `run.json`.
    """
    found: dict[str, Any] = {}
    for _, record in sorted(manifest.get("notebooks", {}).items()):
        for name, value in record.get("inputs", {}).get("parameters", {}).items():
            found.setdefault(name, value)
    return {**manifest["parameters"], **found}


def setting(manifest: Mapping[str, Any]) -> str:
    """What a run was made with, in a line."""
    asked = parameters_of(manifest)
    if asked.get("images"):
        asked["images"] = without_paths(asked["images"])
    parts = [f"{name} {asked[name]}" for name in SETTING if asked.get(name, "") != ""]
    return ", ".join([f"preset {manifest['preset']}", *parts])


def read_manifest(run_dir: str | os.PathLike) -> dict[str, Any]:
    """The content of a run folder's `run.json`.

    Raises:
        UserError: There is none, or it cannot be read.
    """
    path = Path(run_dir) / "run.json"
    try:
        return read_run(path, ("preset", "parameters"), whole=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path.resolve()} is no run's record: {error}") from error


def evidence_of(parameters: Mapping[str, Any]) -> Evidence | None:
    """What claims about networks are looked at on in a run; None where it has no network.

    Args:
        parameters: The run's, from `parameters_of`.
    """
    if "model" not in parameters:
        return None
    return network_evidence(parameters["model"], _weights(parameters))


def _weights(parameters: Mapping[str, Any]) -> str:
    """The name of a run's weights; those of a file of one's own are known by no name."""
    return "a file" if parameters.get("weights_file") else parameters.get("weights", "")


def check_network(run_dir: str | os.PathLike, option: str, *, real: bool) -> None:
    """Refuse a run that belongs in the other column.

    Args:
        run_dir: A finished run.
        option: The command line's option that named it, for the message.
        real: Whether the column is the one of a real network.

    Raises:
        UserError: The run looked at the embedded default (or at no trained network) and `real` is
            set, or the other way round. A run that names no model is let through.
    """
    asked = parameters_of(read_manifest(run_dir))
    evidence, weights = evidence_of(asked), _weights(asked)
    if evidence is None:
        return
    if real == (evidence in (Evidence.DEFAULT, Evidence.UNTRAINED)):
        wanted = "a network trained on photographs" if real else "the embedded default"
        raise UserError(
            f"{option} {str(run_dir)!r} is a run on {asked['model']} with weights {weights!r}: "
            f"expected one on {wanted}. The embedded default goes with --run, a real network with "
            "--real."
        )


def shows_only_ours(run_dir: str | os.PathLike, notebooks: Iterable[Notebook]) -> bool:
    """Whether all images of a run are bundled or made here: figures with crops may be passed on.

    Args:
        run_dir: A finished run.
        notebooks: The notebooks, with their records.

    Returns:
        Whether no notebook of the run was ever given other images.

    Raises:
        UserError: The folder is no run.
    """
    manifest = read_manifest(run_dir)
    names = image_parameters(n.record for n in notebooks)
    return all(
        ours_to_show(values.get(name) or "") for values in _all_values(manifest) for name in names
    )


def _all_values(manifest: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield manifest["parameters"]
    for record in manifest.get("notebooks", {}).values():
        yield record.get("inputs", {}).get("parameters", {})


def keep(column: Column, docs: str | os.PathLike) -> Path:
    """Write a column into the repository; returns the file's path."""
    path = Path(docs) / KEPT
    write_json(path, asdict(column))
    return path


def kept(docs: str | os.PathLike) -> Column | None:
    """The column that was kept in the repository, None if there is none.

    Args:
        docs: The folder of the page of claims.

    Raises:
        UserError: The file is damaged.
    """
    path = Path(docs) / KEPT
    if not path.is_file():
        return None
    try:
        column = Column(**json.loads(path.read_text(encoding="utf-8")))
        column.by_id  # noqa: B018  reading it is the check
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{path.resolve()} cannot be read ({error}): write it again with --real DIR, or "
            "delete it."
        ) from error
    return column
