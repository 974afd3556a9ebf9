"""The gallery of a run: every feature with its patches, its full turn, and who is like it.

A folder of files that a browser opens from disk, or any server of files shows: `index.html`, the
numbers of all features for it (`features.js`), a strip of patches a feature (`strips/`), the frames
of a full turn for the telling ones (`frames/`), and the same numbers as one JSON a feature
(`features/`) and as a table (`features.csv`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.evidence.findings import load_readable
from gc_utils.evidence.verdicts import Evidence
from gc_utils.figures.parts import radial_floor
from gc_utils.files import write_json
from gc_utils.pipeline.fingerprints import files_of
from gc_utils.progress import progress_bar
from gc_utils.removal import delete, draft_beside
from gc_utils.reporting.columns import evidence_of, parameters_of, read_manifest, subject
from gc_utils.reporting.gallery_entries import (
    TELLING,
    dictionary_entries,
    feature_entries,
    group_entry,
    kind_entries,
    related_from,
)
from gc_utils.reporting.gallery_images import SIDE, turning, write_strip, write_turn
from gc_utils.reporting.rendering import render
from gc_utils.symmetry import PARTLY, SYMMETRIC, telling_features

FOLDER = "gallery"  # in a run folder
MADE_FROM = "made_from.json"  # what the run was when its gallery was made
CLAIM = "GC3"  # that curves and lines differ
READS = ("01_extract", "02_train", "04_symmetry")  # notebooks whose products a gallery shows
WITH = "05_explore"  # a run that has made it gets its gallery


def write_gallery(
    run_dir: str | os.PathLike,
    folder: str | os.PathLike | None = None,
    *,
    features: int | None = None,
    back: tuple[str, str] = ("../report.html", "the report of the run"),
    progress: bool = True,
) -> Path:
    """Write the gallery of a run in which notebooks 01 to 04 are done.

    Args:
        run_dir: The run folder.
        folder: Where the gallery goes, `gallery` in the run folder if None; a gallery that is there
            is replaced.
        features: How many features it has: the telling ones, then those of the highest
            reproducibility. None for all that fire.
        back: The address and name of the page that the gallery belongs to.
        progress: Show a bar.

    Returns:
        The path of `index.html`.

    Raises:
        UserError: The run lacks a product, which is named with the notebook that makes it; the
            folder holds something else; or `features` is no number of features.
    """
    run_dir = Path(run_dir)
    folder = run_dir / FOLDER if folder is None else Path(folder)
    manifest = read_manifest(run_dir)
    store, coder, report = _read(run_dir)
    if features is not None and features < 1:
        raise UserError(f"features {features}: expected 1 or more, or nothing for all features.")
    if folder.exists() and not is_gallery(folder):
        raise UserError(f"{folder.resolve()} holds other things than a gallery: name a new folder.")
    with _replacing(folder) as draft:
        first = telling_features(report, TELLING)
        chosen = None if features is None else _best(report, first, features)
        V = coder.V.detach()
        related = related_from(V, store.group)
        entries = feature_entries(store, coder, report, chosen, related=related, progress=progress)
        _write_features(draft, store, coder, entries, first, progress)
        there = subject(parameters_of(manifest))
        data = {
            "group": group_entry(store.group),
            "encoder": coder.config.encode_from,
            "dictionary": len(report),
            "side": SIDE,
            "related": related,
            "symmetric": SYMMETRIC,
            "partly": PARTLY,
            "centre": radial_floor([entry["turn"]["profile"] for entry in entries] or [[0.0]]),
            "telling": [i for i in first if i in {e["feature"] for e in entries}],
            "dictionaries": _dictionaries(run_dir),
            "kinds": kind_entries(report, V, store.group, [e["feature"] for e in entries]),
            "features": entries,
        }
        text = json.dumps(data, allow_nan=False, separators=(",", ":"))
        (draft / "features.js").write_text(f"const GALLERY = {text};\n", encoding="utf-8")
        for name in ("gallery.css", "gallery.js"):
            source = files("gc_utils.reporting") / "templates" / name
            (draft / name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
        shown = report.loc[[entry["feature"] for entry in entries]]
        shown.to_csv(draft / "features.csv", index=False)
        page = render(
            "gallery.html",
            network=there["network"],
            images=there["images"],
            data=data,
            taught=evidence_of(parameters_of(manifest)) is Evidence.DEFAULT,
            claim=next((c for c in load_readable(run_dir)[0] if c["id"] == CLAIM), None),
            back=back,
        )
        (draft / "index.html").write_text(page, encoding="utf-8")
        write_json(draft / MADE_FROM, _state(manifest))
    return folder / "index.html"


@contextmanager
def _replacing(folder: Path) -> Iterator[Path]:
    """A folder to write to, which takes another's place when the block ends without an error."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_beside(folder)
    delete(draft)
    try:
        draft.mkdir()
        yield draft
        delete(folder)
        draft.replace(folder)
    except BaseException:
        delete(draft)
        raise


def is_gallery(folder: Path) -> bool:
    """Whether a folder is one that `write_gallery` wrote, or empty."""
    return folder.is_dir() and ((folder / "features.js").is_file() or not any(folder.iterdir()))


def gallery_of(run_dir: str | os.PathLike) -> tuple[bool, bool]:
    """Whether a run folder has a gallery, and whether that belongs to what is in the folder."""
    run_dir = Path(run_dir)
    page = run_dir / FOLDER / "index.html"
    made = run_dir / FOLDER / MADE_FROM
    if not page.is_file():
        return False, False
    if not made.is_file():
        return True, False
    try:
        then = json.loads(made.read_text("utf-8"))
    except ValueError:  # it is damaged, and the gallery is made again
        return True, False
    return True, then == _state(read_manifest(run_dir))


def refresh_gallery(run_dir: str | os.PathLike) -> Path | None:
    """Write the gallery of a run that has made notebook 05, unless it is up to date.

    Args:
        run_dir: The run folder.

    Returns:
        The path of its `index.html` if there is a gallery now that belongs to the run.

    Raises:
        UserError: As for `write_gallery`.
    """
    records = read_manifest(run_dir).get("notebooks", {})
    there, current = gallery_of(run_dir)
    if there and current:
        return Path(run_dir) / FOLDER / "index.html"
    done = all(records.get(name, {}).get("status") == "done" for name in (*READS, WITH))
    stale = any("stale" in records.get(name, {}) for name in READS)
    return write_gallery(run_dir) if done and not stale else None


def _state(manifest: dict[str, Any]) -> dict[str, str]:
    """A checksum of what each notebook made that a gallery reads."""
    records = manifest.get("notebooks", {})
    made = {name: records.get(name, {}).get("outputs", {}) for name in READS}
    return {
        name: hashlib.sha256(json.dumps(outputs, sort_keys=True).encode()).hexdigest()
        for name, outputs in made.items()
    }


def _dictionaries(run_dir: Path) -> list[dict[str, Any]]:
    """What all dictionaries of the run say of lines and curves; nothing where 04 is an old one."""
    table = run_dir / "half_turn.csv"
    return dictionary_entries(pd.read_csv(table)) if table.exists() else []


def _read(run_dir: Path) -> tuple[ActivationStore, GroupCrosscoder, pd.DataFrame]:
    """The products that a gallery shows."""
    for name, notebook in (
        ("activations.zarr", "01_extract"),
        ("crosscoder.safetensors", "02_train"),
        ("features.csv", "04_symmetry"),
    ):
        if not (run_dir / name).exists():
            raise UserError(
                f"{run_dir.resolve()} has no {name}: run the notebook {notebook} first."
            )
        files_of(run_dir / name)  # and nobody waits for a pipe
    store = ActivationStore.open(run_dir / "activations.zarr")
    coder = GroupCrosscoder.load(run_dir / "crosscoder.safetensors")
    report = pd.read_csv(run_dir / "features.csv")
    if len(report) != len(coder.V):
        raise UserError(
            f"{run_dir.resolve()}: features.csv has {len(report)} features, the crosscoder "
            f"{len(coder.V)}: run the notebook 04_symmetry again."
        )
    return store, coder, report


def _best(report: pd.DataFrame, first: list[int], count: int) -> list[int]:
    """The telling features, then those of the highest reproducibility, `count` in all."""
    worth = report.get("reproducibility", pd.Series(0.0, report.index)).astype(float).fillna(0)
    if "fires_on" in report:
        worth = worth[report.fires_on > 0]
    ranked = worth.sort_values(ascending=False, kind="stable").index
    return [int(i) for i in dict.fromkeys([*first, *ranked])][:count]


def _write_features(
    folder: Path,
    store: ActivationStore,
    coder: GroupCrosscoder,
    entries: list[dict[str, Any]],
    first: list[int],
    progress: bool,
) -> None:
    """Write the images and the JSON of every feature; the telling ones are given their frames."""
    for sub in ("strips", "features", "frames"):
        (folder / sub).mkdir()
    patches = store.patches
    try:
        exhibit = turning(store, coder)
    except UserError as missing:
        exhibit = None
        print(f"The gallery shows no frames of the network's own images: {missing}")
    bar = progress_bar(entries, desc="gallery", unit="feature", disable=not progress)
    for entry in bar:
        name = entry["feature"]
        write_strip(patches, entry["strip"], folder / "strips" / f"{name}.webp")
        if exhibit is not None and name in first[:TELLING]:
            path = folder / "frames" / f"{name}.webp"
            entry["turn"]["frames"] = write_turn(store, exhibit, entry, path)
        write_json(folder / "features" / f"{name}.json", entry)
