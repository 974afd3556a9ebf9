"""Training a crosscoder, judging it on held-out orbits, and what it must beat.

`train` runs from any checkpoint exactly as if it had not stopped: what a step does depends on the
seed and the number of the step only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gc_utils.activations.numbers import check_finite
from gc_utils.activations.orbits import Orbits
from gc_utils.crosscoder.base import Crosscoder
from gc_utils.crosscoder.basis import OrbitBasis
from gc_utils.crosscoder.batches import ShuffledBatches
from gc_utils.crosscoder.compressed import CompressedCrosscoder, in_basis, orbits_seen
from gc_utils.crosscoder.metrics import evaluate
from gc_utils.crosscoder.tied import TiedCrosscoder
from gc_utils.crosscoder.views import views_for
from gc_utils.errors import Damaged, UserError, choose
from gc_utils.files import load_checkpoint, read_notes, save_checkpoint
from gc_utils.precision import low_precision
from gc_utils.progress import progress_bar
from gc_utils.ranks import ranks

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        steps: optimiser steps.
        batch_size: orbits a step.
        lr: Adam's step size, after a warm-up of `warmup` steps and until the last
            `decay` share of training, over which it falls to 0 in a straight line.
        first_k: how many times `k` features may be active in the first step; this falls to 1 over
            the first `k_fall` share of training. More features find something to do before they
            have to compete, and hardly any die.
        l1: weight `λ` of the penalty `λ Σ_i f_i Σ_g ‖V_i[g]‖` (sparsity "l1").
        translate: use `R_h A` for a random `h` a sample: the orbit seen from another start.
            One stored orbit is `|G|` exact samples.
        clip: largest gradient norm, relative to a running mean of it.
        dead_window: a feature that has not fired for this many samples is dead.
        revive: weight of the revival loss: what dead features leave of the residual, which is
            detached (after Gao et al. 2024, appendix A.2; see `Trainer.revival`).
        merge_every: steps between attempts to give a tied crosscoder's families more symmetry (see
            `TiedCrosscoder.merge`) once it is warm; 0 leaves them as they are.
        precision: of the matrix products; "auto" is bfloat16 where the hardware has it.
        keep: share of the variance of the orbits that training looks at, in (0, 1]. Less than 1
            trains in a basis of few numbers, closed under the group, several times as fast (see
            `OrbitBasis`), where that is possible (see `compressible`); 1 trains all numbers.
        log_every, evaluate_every: in steps.
        seed: of batches and translations.
    """

    steps: int = 500
    batch_size: int = 256
    lr: float = 1e-3
    warmup: int = 50
    decay: float = 0.7
    first_k: float = 2.0
    k_fall: float = 0.4
    l1: float = 0.05
    translate: bool = True
    clip: float = 3.0
    dead_window: int = 8192
    revive: float = 1 / 8
    merge_every: int = 50
    precision: str = "auto"
    keep: float = 1.0
    log_every: int = 10
    evaluate_every: int = 100
    seed: int = 0


class Trainer:
    """A crosscoder in training: the state of a run between two steps.

    Args:
        coder: the crosscoder; a fresh one takes normalisation and its first decoder from the
            first batches.
        batches: training orbits.
        config: how to train.

    Attributes:
        step: steps done.
        since_fired: samples seen since each feature last fired, `(m,)`.
        history: one dict a logged step.
    """

    def __init__(self, coder: Crosscoder, batches: ShuffledBatches, config: TrainConfig) -> None:
        choose(config.precision, PRECISIONS, "precision")
        self.coder, self.batches, self.config = coder, batches, config
        self.ranks = ranks()
        if batches.batch_size < self.ranks.size:
            raise UserError(
                f"a batch of {batches.batch_size} cannot be divided among {self.ranks.size} "
                "processes: raise batch_size, or start fewer."
            )
        self.step = 0
        device = coder.device
        self.since_fired = torch.zeros(coder.config.features, device=device)
        self.gradient_norm = torch.zeros((), device=device)
        self.history: list[dict] = []
        fused = device.type in ("cpu", "cuda")
        self.optimiser = torch.optim.Adam(coder.parameter_groups(), lr=config.lr, fused=fused)
        self.orbits = orbits_seen(coder, batches, config.translate)
        if coder.fresh:
            self._start_from_data()
            coder.fresh = False
        if not self.ranks.alone:  # on unlike machines, a start may differ by rounding
            coder.load_state_dict(self.ranks.of_first(coder.state_dict()))
        self._low = None if config.precision == "auto" else config.precision == "bfloat16"

    @torch.no_grad()
    def _start_from_data(self) -> None:
        """Decoder: random mixtures of training orbits; encoder: the decoder, as it stands.

        Noise of unit norm in |G|·C dimensions is nearly orthogonal to the data, and most features
        would die before they meet a sample that they explain.
        """
        coder, draw = self.coder, torch.Generator().manual_seed(self.config.seed)
        A = self.orbits.batch(0, draw)
        mix = torch.randn(coder.starts, len(A), generator=draw).to(A)
        V = (mix @ A.flatten(1)).view(-1, *A.shape[1:])
        coder.start(V / coder.wanted(V).flatten(1).norm(dim=1)[:, None, None])
        # Features that share a direction add up: start with the length that explains most.
        with coder.fixed():
            made = coder.decode_normalised(coder.training_codes(A)[0])
        explained = (coder.wanted(A) * made).sum()
        coder.stretch_encoder(explained / made.square().sum().clamp_min(1e-12))

    def loss(
        self, A: torch.Tensor, samples: int | None = None
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss of a normalised batch, and its parts; counts which features fire.

        Args:
            A: the batch as training has it, or this process's part of it, `(N, |G|, C)`.
            samples: of the whole batch; those of `A` if None.

        Returns:
            What this process's part adds to the loss, and the parts of the whole batch's.
        """
        with self.coder.fixed():
            return self._loss(A, samples or len(A))

    def _loss(self, A: torch.Tensor, samples: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        coder, config = self.coder, self.config

        def mean(x: torch.Tensor) -> torch.Tensor:
            """What this process adds to the mean over the whole batch."""
            return x.mean() if self.ranks.alone else x.sum() / samples

        with low_precision(A.device, wanted=self._low):
            f, pre = coder.training_codes(A, self.active(), self.ranks, samples)
            A = coder.wanted(A)
            residual = A - coder.decode_normalised(f, on_only=True)
        error = mean(residual.square().sum((1, 2)))
        parts = {"loss": error, "l0": mean((f > 0).float().sum(1))}
        total = error
        if coder.config.sparsity == "l1":
            total = total + config.l1 * mean((f * coder.V.norm(dim=2).sum(1)).sum(1))
        fired = self.ranks.any((f > 0).any(0))
        self.since_fired = torch.where(fired, 0, self.since_fired + samples)
        dead = self.since_fired >= config.dead_window
        parts["revival"] = torch.zeros(())
        if dead.any() and config.revive > 0:
            parts["revival"] = self.revival(coder, pre, residual.detach(), dead, samples)
            total = total + config.revive * parts["revival"]
        parts["power"] = mean(A.square().sum((1, 2)))
        if not self.ranks.alone:
            summed = self.ranks.sum(torch.stack([p.detach().to(A) for p in parts.values()]))
            parts = dict(zip(parts, summed, strict=True))
        missed, power = parts["loss"] + coder.outside, parts.pop("power") + coder.outside
        parts["dead"], parts["fvu_batch"] = dead.sum(), missed / power
        return total, {name: value.detach() for name, value in parts.items()}

    def revival(
        self,
        coder: Crosscoder,
        pre: torch.Tensor,
        residual: torch.Tensor,
        dead: torch.Tensor,
        samples: int | None = None,
    ) -> torch.Tensor:
        """What dead features leave of the residual, in units of the data's variance.

        A dead feature's pre-activations are negative and a ReLU passes no gradient to revive it
        by. Here each fires on the samples of the batch that excite it most, as many as a living
        feature would, as if its bias were that much higher.

        Args:
            coder: the crosscoder.
            pre: pre-activations `(N, m)`.
            residual: `A - Â`, detached, `(N, |G|, C)`.
            dead: which features are, bool `(m,)`.
            samples: of the whole batch; those of `pre` if None.

        Returns:
            The loss, or what this process's part of the batch adds to it.
        """
        samples = samples or len(pre)
        pre = pre[:, dead].float()
        share = (coder.config.k if coder.config.sparsity != "l1" else 8) / len(dead)
        firing = min(samples - 1, max(1, round(share * samples)))
        lowest = self.ranks.highest(pre.detach(), firing + 1)[-1]
        with low_precision(pre.device, wanted=self._low):
            made = (pre - lowest).relu() @ coder.V[dead].flatten(1)
        left = (residual.flatten(1) - made).square().sum(1)
        whole = residual.square().sum((1, 2))
        if self.ranks.alone:
            left, whole = left.mean(), whole.mean()
        else:
            left, whole = left.sum() / samples, self.ranks.sum(whole.sum()) / samples
        # Relative to the residual, so that the weight needs no tuning; a block's variance is 1.
        return left / whole.clamp_min(1e-12) * coder.group.order

    def active(self) -> int:
        """Active features a sample in the step to come."""
        config, k = self.config, self.coder.config.k
        fallen = min(1.0, self.step / max(1.0, config.k_fall * config.steps))
        return min(
            round(k * (config.first_k + (1 - config.first_k) * fallen)), len(self.since_fired)
        )

    def rate(self) -> float:
        """The learning rate of the step to come."""
        config, left = self.config, self.config.steps - self.step
        warm = min(1.0, (self.step + 1) / max(1, config.warmup))
        return config.lr * warm * min(1.0, left / max(1.0, config.decay * config.steps))

    def advance(self) -> dict[str, torch.Tensor]:
        """One step; returns the parts of its loss."""
        draw = torch.Generator().manual_seed(hash((self.config.seed, self.step)) % 2**63)
        samples = self.batches.batch_size
        A = self.orbits.batch(self.step, draw, self.ranks.share(samples))
        loss, parts = self.loss(A, samples)
        if not torch.isfinite(parts["loss"] + parts["revival"]):
            check_finite(A, f"training data of step {self.step}")
            raise UserError(
                f"the loss is {float(parts['loss'])} at step {self.step}, though all activations "
                "are finite: lower the learning rate (parameter learning_rate, "
                f"{self.config.lr:g})."
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._add_up()
        self._clip()
        for pars in self.optimiser.param_groups:
            pars["lr"] = self.rate() * pars["faster"]
        self.optimiser.step()
        self.step += 1
        every, config = self.config.merge_every, self.config
        due = every and self.step % every == 0 and self.step > config.warmup
        if due and isinstance(self.coder, TiedCrosscoder):
            # Translates that have become the same are one feature from now on.
            before = self.coder.subgroup.clone()
            self.coder.merge()  # one decision for all processes, whatever they round
            self.coder.subgroup.copy_(self.ranks.of_first(self.coder.subgroup))
            if not torch.equal(before, self.coder.subgroup):
                self.since_fired = torch.zeros(self.coder.config.features, device=A.device)
        return parts

    def _add_up(self) -> None:
        """The gradient of the whole batch: the sum of what the processes have of theirs."""
        if self.ranks.alone:
            return
        gradients = [p.grad for p in self.coder.parameters() if p.requires_grad]
        summed = self.ranks.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, part in zip(
            gradients, summed.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))

    def _clip(self) -> None:
        """Bound the gradient by `clip` times its running mean: spikes are cut, nothing else."""
        parameters = list(self.coder.parameters())
        usual = self.gradient_norm if self.step else torch.tensor(math.inf)
        norm = torch.nn.utils.clip_grad_norm_(parameters, float(usual * self.config.clip))
        norm = torch.minimum(norm, usual * self.config.clip)
        self.gradient_norm = norm if self.step == 0 else 0.95 * usual + 0.05 * norm

    # Checkpoints

    def save(self, path: str | Path) -> None:
        """Write everything that the next step depends on, in one safetensors file."""
        tensors = {f"coder.{k}": v for k, v in self.coder.state_dict().items()}
        tensors |= {"since_fired": self.since_fired, "gradient_norm": self.gradient_norm}
        notes = {
            "step": str(self.step),
            "config": json.dumps(asdict(self.config)),
            "coder": json.dumps(asdict(self.coder.config)),
            "history": json.dumps(self.history),
        }
        save_checkpoint(path, tensors, self.optimiser, notes)

    def restore(self, path: str | Path) -> None:
        """Go on from a checkpoint of the same settings.

        Raises:
            UserError: if it was made with others; it names them.
        """
        try:
            notes = read_notes(path)
            made = {name: json.loads(notes[name]) for name in ("config", "coder", "history")}
        except (Damaged, KeyError, ValueError) as error:
            print(f"the checkpoint {path} is damaged ({error}): training begins again.")
            return
        for name, mine in (("config", self.config), ("coder", self.coder.config)):
            there, asked = made[name], asdict(mine)
            if asked.get("families"):  # symmetries found since make features fewer
                del asked["features"]
            different = [
                f"{k} is {there.get(k)!r} there, {v!r} asked for"
                for k, v in asked.items()
                if there.get(k) != v
            ]
            if different:
                raise UserError(f"the checkpoint {path} is another run's: {'; '.join(different)}.")
        device = str(self.coder.device)
        before = self.optimiser.state_dict()
        tensors, _ = load_checkpoint(path, self.optimiser, device=device)
        state = {k[6:]: v for k, v in tensors.items() if k.startswith("coder.")}
        small = isinstance(self.coder, CompressedCrosscoder)
        if small and not self.coder.fits(state):  # another machine's rounding has moved its size
            print(f"the checkpoint {path} is in another basis: training begins again.")
            self.optimiser.load_state_dict(before)
            return
        self.coder.load_state_dict(state)
        if small:  # orbits in the coordinates of the checkpoint
            self.orbits = orbits_seen(self.coder, self.batches, self.config.translate)
        self.since_fired, self.gradient_norm = tensors["since_fired"], tensors["gradient_norm"]
        self.step = int(notes["step"])
        self.history = made["history"]


def train(
    coder: Crosscoder,
    data: Orbits,
    rows: np.ndarray,
    held_out: Orbits,
    config: TrainConfig,
    *,
    checkpoint: str | Path | None = None,
    basis: Callable[[], OrbitBasis] | None = None,
    progress: bool = True,
    callback: Callable[[Trainer], None] | None = None,
    label: str = "training",
) -> pd.DataFrame:
    """Train a crosscoder and calibrate its threshold.

    Under `torchrun` every process trains on a part of each batch (see `gc_utils.ranks`).

    Args:
        coder: what to train, in place.
        data: orbit activations `(N, |G|, C)`: a tensor, or what stays on disk (`StoredOrbits`,
            `ActivationStore`). A crosscoder on `"C1"` is trained on their single views.
        rows: the rows to train on; no photograph of theirs may be among the held-out.
        held_out: orbit activations of other photographs, `(M, |G|, C)`, as `data`.
        config: how to train.
        checkpoint: file to continue from if it is there, written at every evaluation.
        basis: what makes the basis that `config.keep` asks for, where several trainings share it;
            found from `rows` if not given.
        progress: show a bar.
        callback: called after every evaluation, by the first process.
        label: in front of the bar.

    Returns:
        The history: step, samples, loss parts, and held-out FVU (three parts), L0, dead features.
    """
    batches = ShuffledBatches(data, rows, config.batch_size, config.seed)
    small = in_basis(coder, batches, config.keep, basis)
    trainer = Trainer(small or coder, batches, config)
    together = trainer.ranks
    if checkpoint is not None and together.of_first(Path(checkpoint).exists()):
        trainer.restore(checkpoint)
    held_out = views_for(coder, held_out)
    mean = trainer.coder.mean.cpu()
    bar = progress_bar(
        total=config.steps,
        initial=trainer.step,
        disable=not (progress and together.first),
        desc=label,
        unit="step",
        mininterval=1.0,
    )
    while trainer.step < config.steps:
        parts = trainer.advance()
        step = trainer.step
        last = step == config.steps
        judged = last or step % config.evaluate_every == 0
        if judged or step % config.log_every == 0 or step == 1:
            row = {"step": step, "samples": step * config.batch_size}
            row |= {k: float(v) for k, v in parts.items()}
            if judged:
                if small:
                    small.lift(coder)
                coder.calibrate(held_out)
                found = evaluate(coder, held_out, mean).scalars()
                row |= {f"held_out_{k}": v for k, v in found.items() if k != "features"}
                bar.set_postfix(fvu=f"{found['fvu']:.3f}", dead=int(found["dead"]))
                trainer.coder.threshold.copy_(coder.threshold)
            trainer.history.append(row)
            if "held_out_fvu" in row and together.first:
                if checkpoint is not None:
                    trainer.save(checkpoint)
                if callback is not None:
                    callback(trainer)
        bar.update()
    bar.close()
    if small:
        small.lift(coder)
    return pd.DataFrame(trainer.history)
