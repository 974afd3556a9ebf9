"""A crosscoder that is trained once: saved under its settings, and from then on read."""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from gc_utils.activations.orbits import Orbits
from gc_utils.crosscoder.base import Crosscoder
from gc_utils.crosscoder.basis import OrbitBasis
from gc_utils.crosscoder.training import TrainConfig, train
from gc_utils.crosscoder.untied import GroupCrosscoder
from gc_utils.errors import Damaged
from gc_utils.files import read_notes, write_whole
from gc_utils.ranks import ranks


def fit(
    path: str | Path,
    coder: Crosscoder,
    data: Orbits,
    rows: np.ndarray,
    held_out: Orbits,
    config: TrainConfig,
    *,
    data_checksum: str,
    basis: Callable[[], OrbitBasis] | None = None,
    progress: bool = True,
    label: str = "training",
) -> tuple[GroupCrosscoder, pd.DataFrame]:
    """Train and save a crosscoder, or load it if the same training has been done before.

    Args:
        path: the crosscoder's file. Checkpoints lie beside it until training is done, the
            history after.
        coder, data, rows, held_out, config, basis, progress, label: as for `train`.
        data_checksum: what the activations are; with the settings it decides what "the same" is.

    Returns:
        The crosscoder as read from its file, where `coder` was, and the history of its training.
    """
    settings = [asdict(coder.config), asdict(config), data_checksum, rows.tolist()]
    settings.append(getattr(coder, "stabilisers", None))

    def make(checkpoint: Path) -> tuple[Crosscoder, pd.DataFrame]:
        how = {"checkpoint": checkpoint, "basis": basis, "progress": progress, "label": label}
        return coder, train(coder, data, rows, held_out, config, **how)

    return fitted(path, digest_of(settings), make, str(coder.device))


def digest_of(settings: object) -> str:
    """A short name for settings that JSON can hold: the same settings, the same name."""
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]


def fitted(
    path: str | Path,
    digest: str,
    make: Callable[[Path], tuple[Crosscoder, pd.DataFrame]],
    device: str,
) -> tuple[GroupCrosscoder, pd.DataFrame]:
    """The crosscoder in a file if it was made with these settings, else made and saved there.

    Args:
        path: the crosscoder's file; the history lies beside it.
        digest: of the settings, from `digest_of`.
        make: trains it; gets the file for its checkpoint, which is removed when all is saved, and
            returns the crosscoder and the history.
        device: where the crosscoder goes.
    """
    path, together = Path(path), ranks()
    history_path = path.with_suffix(".history.csv")
    notes = _notes_of(path)
    done = notes.get("training") == digest and ("history" in notes or history_path.exists())
    if not together.of_first(done):
        path.parent.mkdir(parents=True, exist_ok=True)
        checkpoint = path.with_name(f"{path.stem}.{digest}.checkpoint.safetensors")
        coder, history = make(checkpoint)
        if together.first:
            coder.save(path, training=digest, history=history.to_csv(index=False))
    if together.first:
        _tidy(path, digest)
    together.wait()
    return GroupCrosscoder.load(path, device), pd.read_csv(history_path)


def _tidy(path: Path, digest: str) -> None:
    """Lay a crosscoder's history beside it, and take its checkpoints away."""
    history_path, notes = path.with_suffix(".history.csv"), _notes_of(path)
    if "history" in notes:  # the table can be lost without the training
        history = notes["history"].encode("utf-8")
        if not history_path.exists() or history_path.read_bytes() != history:
            with write_whole(history_path) as draft:
                draft.write_bytes(history)
    for left in path.parent.glob(f"{glob.escape(path.stem)}.{digest}.checkpoint*"):
        left.unlink()  # also after a process that was killed here


def _notes_of(path: Path) -> dict[str, str]:
    """The notes of a crosscoder's file; none if it is not there or damaged."""
    try:
        return read_notes(path) if path.exists() else {}
    except Damaged as error:
        print(f"{error} It is made again.")
        return {}
