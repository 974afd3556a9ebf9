"""Models trained on sparse data, resumable."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import torch

from gc_utils.closure import code_digest
from gc_utils.errors import Damaged, UserError
from gc_utils.files import load_checkpoint, read_notes, save_checkpoint
from gc_utils.progress import progress_bar
from gc_utils.studies.persian_rug import steps as training_steps
from gc_utils.studies.persian_rug.models import Rug, check_units


def train_rug(
    n_s: int,
    n_d: int,
    p: float,
    *,
    steps: int = 4000,
    lr: float = 3e-3,
    batch: int = 256,
    eps: float = 1e-8,
    seed: int = 0,
    every: int = 0,
    keep: Path | None = None,
    keep_every: int = 250,
    progress: bool = False,
) -> tuple[Rug, pd.DataFrame]:
    """Train a model with Adam on fresh data, from the default initialisation of linear layers.

    Args:
        n_s: The number of entries.
        n_d: The number of hidden units.
        p: The probability of an entry to be on.
        steps: The number of Adam's steps.
        lr: Adam's step size, which is constant.
        batch: The number of samples of a step.
        eps: What Adam adds to the root of the mean squared gradient.
        seed: The seed of initialisation and data.
        every: The steps between rows of the history; 0 for the end only.
        keep: The folder of checkpoints: a training that was stopped goes on, one that is done is
            read, and one that has been done for fewer steps, a multiple of `every`, is gone on
            from. Only a change of the code of the steps themselves makes a new beginning.
        keep_every: The steps between checkpoints.
        progress: Whether to show a bar.

    Returns:
        The model, and a history: `step`, `loss` (mean of the batches since the last row), and
        `foreseen`, `kurtosis` and `paired` of the weights at that step (see `steps.describe`).

    Raises:
        UserError: The sizes are no model's, the steps are none, or a file in the folder is no
            checkpoint.
    """
    check_units(n_s, n_d)
    if steps < 1 or lr <= 0:
        raise UserError(f"{steps} steps of size {lr}: expected 1 or more, of a size above 0.")
    draw = torch.Generator().manual_seed(seed)
    parameters = training_steps.begin(n_s, n_d, draw)
    adam = torch.optim.Adam(parameters, lr=lr, eps=eps)
    rows: list[dict[str, float]] = []
    seen: list[torch.Tensor] = []
    done = 0
    settings = {
        **{"n_s": n_s, "n_d": n_d, "p": p, "lr": lr, "batch": batch, "eps": eps},
        **{"seed": seed, "every": every},
        "code": code_digest(training_steps.__name__),  # steps of other code are not gone on from
    }
    path = keep and _checkpoint_path(Path(keep), settings, steps)
    if path and (kept := _furthest(path, steps, every)):
        tensors, notes = load_checkpoint(kept, adam)
        with torch.no_grad():
            for i, w in enumerate(parameters):
                w.copy_(tensors[f"parameter.{i}"])
        draw.set_state(tensors["draw"])
        done, rows, seen = int(notes["step"]), json.loads(notes["rows"]), list(tensors["seen"])
    for step in progress_bar(
        range(done + 1, steps + 1),
        f"{n_s} entries",
        initial=done,
        total=steps,
        disable=not progress,
        leave=False,
    ):
        seen.append(training_steps.take(parameters, adam, p, batch, draw))
        if step == steps or (every and step % every == 0):
            row = {"step": step, "loss": float(torch.stack(seen).mean())}
            rows.append(row | training_steps.describe(parameters, p))
            seen.clear()
        if path and (step == steps or step % keep_every == 0):
            tensors = {f"parameter.{i}": w for i, w in enumerate(parameters)}
            tensors |= {"draw": draw.get_state(), "seen": torch.tensor(seen)}
            save_checkpoint(path, tensors, adam, {"step": str(step), "rows": json.dumps(rows)})
    return Rug(*(w.detach() for w in parameters)), pd.DataFrame(rows)


def _checkpoint_path(folder: Path, settings: dict[str, float | str], steps: int) -> Path:
    """The file of a training, named by everything that its steps depend on and by their number."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    return folder / f"{settings['n_s']}_{settings['n_d']}_{digest}_{steps}.safetensors"


def _furthest(path: Path, steps: int, every: int) -> Path | None:
    """The checkpoint of the same training that is furthest, but no further than asked; or None.

    A shorter training ends with a row of its history: it is gone on from only where the longer one
    has this row too.
    """
    reached = {}
    for file in path.parent.glob(f"{path.stem.rpartition('_')[0]}_*.safetensors"):
        try:
            done = int(read_notes(file).get("step", 0))
        except Damaged as error:
            print(f"{error} It is not gone on from.")
            continue
        asked = int(file.stem.rpartition("_")[2])
        if file == path or (done <= steps and every and (done < asked or done % every == 0)):
            reached[done] = file
    return reached[max(reached)] if reached else None
