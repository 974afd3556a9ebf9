"""Models trained on sparse data, resumable."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import torch

from gc_utils.closure import code_digest
from gc_utils.errors import UserError
from gc_utils.files import load_checkpoint, save_checkpoint
from gc_utils.progress import progress_bar
from gc_utils.studies.persian_rug.models import Rug, check_units, sparse_data


def train_rug(
    n_s: int,
    n_d: int,
    p: float,
    *,
    steps: int = 4000,
    lr: float = 3e-3,
    batch: int = 256,
    seed: int = 0,
    every: int = 0,
    keep: Path | None = None,
    keep_every: int = 1000,
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
        seed: The seed of initialisation and data.
        every: The steps between rows of the history; 0 for the end only.
        keep: The folder of checkpoints: a training that was stopped goes on, one that is done is
            read.
        keep_every: The steps between checkpoints.
        progress: Whether to show a bar.

    Returns:
        The model, and a history: `step`, `loss` (mean of the batches since the last row).

    Raises:
        UserError: The sizes are no model's, the steps are none, or a file in the folder is no
            checkpoint.
    """
    check_units(n_s, n_d)
    if steps < 1 or lr <= 0:
        raise UserError(f"{steps} steps of size {lr}: expected 1 or more, of a size above 0.")
    draw = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        """As `torch.nn.Linear` begins: up to one over the root of its inputs."""
        bound = shape[-1] ** -0.5
        return (2 * torch.rand(*shape, generator=draw) - 1) * bound

    w_in, w_out = uniform(n_d, n_s), uniform(n_s, n_d)
    bias = (2 * torch.rand(n_s, generator=draw) - 1) * n_d**-0.5
    parameters = [w.requires_grad_() for w in (w_in, w_out, bias)]
    adam = torch.optim.Adam(parameters, lr=lr)
    rows: list[dict[str, float]] = []
    seen: list[torch.Tensor] = []
    settings = {
        **{"n_s": n_s, "n_d": n_d, "p": p, "steps": steps, "lr": lr},
        **{"batch": batch, "seed": seed, "every": every},
        "code": code_digest(__name__),  # steps of other code are not gone on from
    }
    path = keep and _checkpoint_path(Path(keep), settings)
    done = 0
    if path and path.exists():
        tensors, notes = load_checkpoint(path, adam)
        with torch.no_grad():
            for i, w in enumerate(parameters):
                w.copy_(tensors[f"parameter.{i}"])
        draw.set_state(tensors["draw"])
        done, rows, seen = int(notes["step"]), json.loads(notes["rows"]), list(tensors["seen"])
    at = range(done + 1, steps + 1)
    for step in progress_bar(
        at, f"{n_s} entries", initial=done, total=steps, disable=not progress, leave=False
    ):
        x = sparse_data(batch, n_s, p, draw)
        loss = (x - Rug(*parameters)(x)).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        seen.append(loss.detach())
        if step == steps or (every and step % every == 0):
            rows.append({"step": step, "loss": float(torch.stack(seen).mean())})
            seen.clear()
        if path and (step == steps or step % keep_every == 0):
            tensors = {f"parameter.{i}": w for i, w in enumerate(parameters)}
            tensors |= {"draw": draw.get_state(), "seen": torch.tensor(seen)}
            save_checkpoint(path, tensors, adam, {"step": str(step), "rows": json.dumps(rows)})
    return Rug(*(w.detach() for w in parameters)), pd.DataFrame(rows)


def _checkpoint_path(folder: Path, settings: dict[str, float | str]) -> Path:
    """The file of a training, named by everything that its steps depend on."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    return folder / f"{settings['n_s']}_{settings['n_d']}_{digest}.safetensors"


def plateau(history: pd.DataFrame, least: float, within: float = 0.05) -> tuple[int, int] | None:
    """First and last step at which a training's loss is near the closed form; None if never.

    Args:
        history: The history that `train_rug` gives.
        least: The closed form.
        within: The relative distance that counts as near.

    Returns:
        The two steps, or None.
    """
    near = history.step[(history.loss / least - 1).abs() <= within]
    return (int(near.iloc[0]), int(near.iloc[-1])) if len(near) else None
