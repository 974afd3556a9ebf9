"""Sharpening a trained dictionary: exact sparse codes in place of the encoder's.

An encoder is one linear map and a threshold. It cannot separate two features that are nearly the
same, such as neighbouring orientations of one shape, and training has little reason to keep them
apart: on planted orbits a dictionary that merges neighbours in pairs reconstructs as well as the
true one *through such an encoder*. Codes that are solved for, sample by sample, do separate them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file

from gc_utils.activations.orbits import Orbits
from gc_utils.crosscoder.basis import OrbitBasis
from gc_utils.crosscoder.batches import ShuffledBatches
from gc_utils.crosscoder.compressed import CompressedCrosscoder, in_basis, orbits_seen
from gc_utils.crosscoder.fitting import digest_of, fitted
from gc_utils.crosscoder.sparse_codes import sparse_codes
from gc_utils.crosscoder.sparse_products import times
from gc_utils.crosscoder.training import TrainConfig, train
from gc_utils.crosscoder.untied import GroupCrosscoder
from gc_utils.errors import Damaged, UserError
from gc_utils.files import read_notes, save_tensors
from gc_utils.linear import ridge_fit
from gc_utils.progress import progress_bar
from gc_utils.ranks import ranks

RIDGE = 0.1  # of the encoder's start, relative to the mean variance of what it sees
ENCODER_SAMPLES = 4096  # at most, for the encoder's start
BLOCK = 128  # features whose update is computed together
FIRST_PENALTY = 0.05  # relative to the mean norm of a sample; found anew from then on


class DictionaryLearner:
    """Online dictionary learning with non-negative codes (Mairal et al. 2010, algorithm 1).

    Every batch is coded exactly, and then every atom in turn is moved to where it fits best all
    codes so far, the others being where they are. Codes of long ago were made with an older
    dictionary and count less: a batch's weight falls in proportion to its age.

    Args:
        atoms: the dictionary to begin with, `(m, D)`, of unit norm.
        active: wanted mean number of active codes; the penalty follows it from batch to batch.

    Attributes:
        atoms: the dictionary, `(m, D)`.
        penalty: `λ` of the last batch.
        usage, views: `Σ f fᵀ (m, m)` and `Σ f xᵀ (m, D)` over the batches, as they count.
        steps: batches seen.
    """

    def __init__(self, atoms: torch.Tensor, active: float) -> None:
        self.atoms, self.active, self.steps = atoms.clone(), active, 0
        self.penalty = 0.0
        self.usage = atoms.new_zeros(len(atoms), len(atoms))
        self.views = torch.zeros_like(atoms)
        self._gram: torch.Tensor | None = None  # of the atoms as they are

    def codes(self, x: torch.Tensor, tolerance: float = 1e-2) -> torch.Tensor:
        """Codes `(N, m)` of samples `(N, D)` under the present penalty."""
        if self._gram is None:
            self._gram = self.atoms @ self.atoms.T
        return sparse_codes(
            x, self.atoms, self.penalty, tolerance=tolerance, most=300, gram=self._gram
        )

    def learn(self, x: torch.Tensor, draw: torch.Generator) -> None:
        """Take in a batch `(N, D)`; `draw` picks samples to replace atoms that no code uses."""
        if not self.steps:
            self._find_penalty(x)
        codes = self.codes(x)
        on = float((codes > 0).float().sum(1).mean())
        older = self.steps / (self.steps + 1)
        self.usage.mul_(older).addmm_(codes.T, codes)
        self.views.mul_(older).add_(times(codes.T.contiguous(), x))
        self.steps += 1
        self._move(x, draw)
        # A sparser dictionary needs a smaller penalty for as many codes: half the way in logs.
        self.penalty *= float(np.clip((on / self.active) ** 0.5, 0.8, 1.25))

    def _find_penalty(self, x: torch.Tensor) -> None:
        self.penalty = FIRST_PENALTY * float(x.norm(dim=1).mean())
        for _ in range(8):
            on = float((self.codes(x) > 0).float().sum(1).mean())
            if abs(on / self.active - 1) < 0.05:
                break
            self.penalty *= float(np.clip((max(on, 0.1) / self.active) ** 0.7, 0.25, 4))

    def _move(self, x: torch.Tensor, draw: torch.Generator) -> None:
        """One sweep of block coordinate descent, several atoms' gradients in one product."""
        self._gram = None
        diagonal = self.usage.diagonal()
        least = 1e-9 * float(diagonal.mean())
        for block in torch.arange(len(self.atoms), device=x.device).split(BLOCK):
            usage = self.usage[block]
            wanted = self.views[block] - usage @ self.atoms  # of all atoms as they are now
            moved = self.atoms[block]
            change = torch.zeros_like(moved)
            for i, atom in enumerate(block.tolist()):
                if not diagonal[atom] > least:
                    new = x[torch.randint(len(x), (), generator=draw)]
                    new = new / new.norm().clamp_min(1e-12)
                else:
                    # Without what those of this block explain that have moved since.
                    left = wanted[i] - usage[i, block[:i]] @ change[:i]
                    new = moved[i] + left / diagonal[atom]
                    new /= new.norm().clamp_min(1)
                change[i] = new - moved[i]
                moved[i] = new
            self.atoms[block] = moved

    def lengthen(self) -> None:
        """Give all atoms unit norm; they may have become shorter."""
        self.atoms = self.atoms / self.atoms.norm(dim=1, keepdim=True).clamp_min(1e-12)
        self._gram = None

    # Checkpoints

    def save(self, path: Path, notes: dict[str, str]) -> None:
        """Write the state, whole or not at all."""
        tensors = {"atoms": self.atoms, "usage": self.usage, "views": self.views}
        done = {"steps": str(self.steps), "penalty": repr(self.penalty)}
        save_tensors(path, tensors, notes | done)

    def restore(self, path: Path, notes: dict[str, str]) -> None:
        """Go on from a saved state, if it was made under the same notes."""
        try:
            there = read_notes(path)
        except Damaged as error:
            print(f"{error} It begins again.")
            return
        if any(there.get(name) != value for name, value in notes.items()):
            return
        for name, value in load_file(path, device=str(self.atoms.device)).items():
            setattr(self, name, value)
        self._gram = None
        self.steps, self.penalty = int(there["steps"]), float(there["penalty"])


@dataclass(frozen=True)
class RefineConfig:
    """How to refine.

    Attributes:
        passes: over the training orbits; each pass sees them under new random elements.
        active: wanted mean number of active features in the exact codes; the crosscoder's `k` if 0.
        encoder: how to train the encoder afterwards, the blocks as they are; `batch_size`,
            `translate` and `seed` are also those of the dictionary learning.
        together: steps of training blocks and encoder together at the end: what the encoder cannot
            read from the sharpened blocks is found by moving them a little. Many steps would undo
            the sharpening.
        together_lr: Adam's step size in these.
    """

    passes: int = 10
    active: float = 0.0
    encoder: TrainConfig = TrainConfig(steps=150)
    together: int = 60
    together_lr: float = 3e-4

    def __post_init__(self) -> None:
        if self.passes < 1 or self.active < 0 or self.together < 0:
            raise UserError(
                f"passes = {self.passes}, active = {self.active}, together = {self.together}: "
                "expected 1 pass or more, and the others not negative."
            )


def refine(
    coder: GroupCrosscoder,
    data: Orbits,
    rows: np.ndarray,
    held_out: Orbits,
    config: RefineConfig,
    *,
    checkpoint: str | Path | None = None,
    basis: Callable[[], OrbitBasis] | None = None,
    progress: bool = True,
    label: str = "refining",
) -> pd.DataFrame:
    """Dictionary learning from where training ended, then the encoder again, then both.

    Online dictionary learning (`DictionaryLearner`) alternates between non-negative sparse codes of
    a batch, `min_f ½‖A - Σ_i f_i V_i‖² + λ Σ_i f_i`, and blocks that fit all codes so far best;
    `λ` is such that as many features are active as the crosscoder has, and features that no code
    uses are replaced by orbits. The encoder starts anew, as the
    ridge regression of the codes on what it sees, and is trained, biases too, with the blocks as
    they are; a few steps of both together end it.

    Args:
        coder: a trained crosscoder that is not tied, or a sparse autoencoder; changed in place.
        data, rows, held_out: as for `train`.
        config: how.
        checkpoint: file to continue from if it is there. The dictionary is written after every
            pass, the encoder as `train` does, beside it.
        basis: as for `train`.
        progress: show bars.
        label: in front of them.

    Returns:
        The history of the encoder's training, and of the steps together (`part`).

    Raises:
        UserError: for a tied crosscoder, or one that has not been trained.
    """
    if not isinstance(coder, GroupCrosscoder) or coder.family is not None:
        raise UserError("a tied crosscoder's features are not free to move: refine an untied one.")
    if coder.fresh:
        raise UserError("this crosscoder has learned nothing yet: train it first.")
    training = config.encoder
    batches = ShuffledBatches(data, rows, training.batch_size, training.seed)
    small = in_basis(coder, batches, training.keep, basis)
    learned = small or coder
    orbits = orbits_seen(learned, batches, training.translate)
    bias = learned.b_dec.detach().clone()

    def batch(step: int) -> torch.Tensor:
        """Orbits as training has them."""
        draw = torch.Generator().manual_seed(hash((training.seed, 1, step)) % 2**63)
        return orbits.batch(step, draw)

    norms = learned.norms.detach()
    learner = DictionaryLearner(
        learned.V.detach().flatten(1) / norms.clamp_min(1e-12)[:, None],
        config.active or coder.config.k,
    )
    each = max(1, len(rows) // training.batch_size)
    settings = {"coder": json.dumps(asdict(coder.config)), "config": json.dumps(asdict(config))}
    notes = settings | {"rows": str(len(rows)), "basis": small.basis.digest() if small else ""}
    together = ranks()  # each learns the same dictionary; the encoder is trained together
    if checkpoint is not None and together.of_first(Path(checkpoint).exists()):
        learner.restore(Path(checkpoint), notes)
    together.wait()  # nobody reads while the first process writes
    count = config.passes * each
    shown = progress and together.first
    bar = progress_bar(
        total=count, initial=learner.steps, disable=not shown, desc=label, unit="batch"
    )
    while learner.steps < count:
        step = learner.steps
        wanted = learned.wanted(batch(step)) - bias
        learner.learn(wanted.flatten(1), torch.Generator().manual_seed(step))
        bar.update()
        bar.set_postfix(penalty=f"{learner.penalty:.3g}")
        if checkpoint is not None and learner.steps % each == 0 and together.first:
            learner.save(Path(checkpoint), notes)
    bar.close()
    _adopt(learned, learner, norms, [count + i for i in range(each)], batch)
    if small:
        small.lift(coder)
    parts = [("encoder", training, False)]
    if config.together:
        finish = {"steps": config.together, "lr": config.together_lr, "first_k": 1.0, "warmup": 10}
        parts.append(("together", replace(training, **finish, seed=training.seed + 1), True))
    histories = []
    for name, how, free in parts:
        coder.V.requires_grad_(free)
        history = train(
            coder,
            data,
            rows,
            held_out,
            how,
            checkpoint=checkpoint and _checkpoint_of(checkpoint, name),
            basis=(lambda: small.basis) if small else None,
            progress=progress,
            label=f"{label}, {name}",
        )
        histories.append(history.assign(part=name))
    coder.V.requires_grad_(True)
    return pd.concat(histories, ignore_index=True)


def _checkpoint_of(checkpoint: str | Path, part: str) -> Path:
    return Path(checkpoint).with_suffix(f".{part}.safetensors")


@torch.no_grad()
def _adopt(
    coder: GroupCrosscoder | CompressedCrosscoder,
    learner: DictionaryLearner,
    norms: torch.Tensor,
    steps: list[int],
    batch: Callable[[int], torch.Tensor],
) -> None:
    """Give the crosscoder the learned blocks, and an encoder that estimates their codes."""
    learner.lengthen()
    seen, codes, samples = [], [], 0
    for step in steps:
        A = batch(step)
        codes.append(learner.codes((coder.wanted(A) - coder.b_dec).flatten(1)))
        read = (coder.read(A) - coder.bias_read()).flatten(1)
        seen.append(torch.cat([read, read.new_ones(len(A), 1)], 1))
        samples += len(A)
        if samples >= ENCODER_SAMPLES:
            break
    read = ridge_fit(torch.cat(seen), torch.cat(codes), RIDGE).T / norms.clamp_min(1e-12)[:, None]
    coder.V.copy_((learner.atoms * norms[:, None]).view_as(coder.V))
    coder.W_enc.copy_(read[:, :-1].reshape(coder.W_enc.shape))
    coder.b_enc.copy_(read[:, -1] - coder.W_enc.flatten(1) @ coder.bias_read().flatten())


def fit_refined(
    path: str | Path,
    trained: str | Path,
    data: Orbits,
    rows: np.ndarray,
    held_out: Orbits,
    config: RefineConfig,
    *,
    basis: Callable[[], OrbitBasis] | None = None,
    device: torch.device | str = "cpu",
    progress: bool = True,
    label: str = "refining",
) -> tuple[GroupCrosscoder, pd.DataFrame]:
    """Refine a saved crosscoder and save it, or load it if that has been done before.

    Args:
        path: the refined crosscoder's file; checkpoints lie beside it until it is done, the history
            after.
        trained: the file that `fit` wrote.
        data, rows, held_out, config, basis, progress, label: as for `refine`; the same data and
            rows as those that it was trained on.
        device: where to compute.

    Returns:
        The crosscoder as read from its file, and the history of its encoder's training.
    """
    before = read_notes(trained).get("training")
    digest = digest_of([before, asdict(config), rows.tolist()])

    def make(checkpoint: Path) -> tuple[GroupCrosscoder, pd.DataFrame]:
        coder = GroupCrosscoder.load(trained, str(device), normalised=True)
        how = {"checkpoint": checkpoint, "basis": basis, "progress": progress, "label": label}
        history = refine(coder, data, rows, held_out, config, **how)
        for part in ("encoder", "together"):
            _checkpoint_of(checkpoint, part).unlink(missing_ok=True)
        return coder, history

    return fitted(path, digest, make, str(device))
