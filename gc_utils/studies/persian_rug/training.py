"""Models trained on sparse data, resumable."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from tqdm.auto import tqdm

from gc_utils.closure import code_digest
from gc_utils.errors import UserError
from gc_utils.studies.persian_rug.models import Rug, check_units, sparse_data


class _Checkpoint:
    """What the next step of a training depends on, in one file named by the settings."""

    def __init__(self, folder: Path, settings: dict[str, float | str]) -> None:
        named = json.dumps(settings, sort_keys=True)
        digest = hashlib.sha256(named.encode()).hexdigest()[:12]
        self.path = folder / f"{settings['n_s']}_{settings['n_d']}_{digest}.safetensors"

    def write(self, step, parameters, adam, draw, rows, seen) -> None:
        tensors = {f"parameter.{i}": w.detach().contiguous() for i, w in enumerate(parameters)}
        for i, state in adam.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{name}": v for name, v in state.items()}
        tensors |= {"draw": draw.get_state(), "seen": torch.tensor([float(v) for v in seen])}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        save_file(tensors, part, {"step": str(step), "rows": json.dumps(rows)})
        part.replace(self.path)

    def read(self, parameters, adam, draw, rows, seen) -> int:
        """Put everything back; the step that was reached."""
        if not self.path.exists():
            return 0
        try:
            with safe_open(self.path, "pt") as file:
                notes = file.metadata()
            tensors = load_file(self.path)
        except SafetensorError as error:
            raise UserError(f"{self.path} is not a checkpoint: {error}; delete it.") from error
        state: dict[int, dict[str, torch.Tensor]] = {}
        with torch.no_grad():
            for name, value in tensors.items():
                kind, *where = name.split(".")
                if kind == "parameter":
                    parameters[int(where[0])].copy_(value)
                elif kind == "adam":
                    state.setdefault(int(where[0]), {})[where[1]] = value
        adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})
        draw.set_state(tensors["draw"])
        rows += json.loads(notes["rows"])
        seen += list(tensors["seen"])
        return int(notes["step"])


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
    checkpoint = keep and _Checkpoint(Path(keep), settings)
    done = checkpoint.read(parameters, adam, draw, rows, seen) if checkpoint else 0
    at = range(done + 1, steps + 1)
    for step in tqdm(
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
        if checkpoint and (step == steps or step % keep_every == 0):
            checkpoint.write(step, parameters, adam, draw, rows, seen)
    return Rug(*(w.detach() for w in parameters)), pd.DataFrame(rows)


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
