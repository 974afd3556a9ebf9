"""The group crosscoder: one sparse code for all views of an orbit, a decoder block for each.

    f     = act(W_enc A[e] + b_enc)             (encode_from="identity", the paper's)
    f     = act(Σ_g W_enc[:, g] A[g] + b_enc)   (encode_from="orbit")
    Â[g]  = V[:, g]ᵀ f + b_dec[g]

On the trivial group `"C1"` it is a sparse autoencoder. Sparsity is a penalty (`"l1"`) or a choice
of the `k` strongest features of each sample (`"topk"`) or of `k` a sample over a whole batch
(`"batchtopk"`; Bussmann et al. 2024). The choice ranks features by `f_i ‖V_i‖`, what they add to
the reconstruction, which does not change when scale moves from decoder to code. Outside training,
batchtopk compares with one fixed threshold, so that a code never depends on its batch.

The *tied* crosscoder has the same codes and blocks, but its dictionary is closed under the group by
construction: its features are the translates of a few templates (see `TiedCrosscoder`).
"""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from gc_utils.activations.numbers import check_finite
from gc_utils.activations.orbits import Orbits, StoredViews
from gc_utils.crosscoder import sparse_products
from gc_utils.errors import UserError, choose
from gc_utils.files import save_tensors
from gc_utils.groups import Group, group
from gc_utils.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from gc_utils.crosscoder.untied import GroupCrosscoder

SPARSITY = ("batchtopk", "topk", "l1")
ENCODERS = ("identity", "orbit")
FORMAT = "group-crosscoder-1"
ENOUGH = 2**16  # orbits for a threshold


@dataclass(frozen=True)
class Config:
    """All that it takes, besides the weights, to build a crosscoder again."""

    group: str
    channels: int
    features: int
    sparsity: str = "batchtopk"
    k: int = 32
    encode_from: str = "identity"
    families: int = 0  # templates of a tied crosscoder; 0: untied

    def __post_init__(self) -> None:
        group(self.group)
        choose(self.sparsity, SPARSITY, "sparsity")
        choose(self.encode_from, ENCODERS, "encoder input")
        if not 1 <= self.k <= self.features and self.sparsity != "l1":
            raise UserError(
                f"k = {self.k} active features of {self.features}: expected 1 ≤ k ≤ features."
            )


class Crosscoder(nn.Module, ABC):
    """What all crosscoders share: codes and reconstructions, normalisation, the threshold, files.

    All of it is written in terms of the attributes below, which a subclass holds as parameters or
    computes from others.

    Args:
        channels: channels `C` of the activations.

    Attributes:
        config: all that it takes, besides the weights, to build the crosscoder again.
        V: transform blocks, `(m, |G|, C)`.
        W_enc: encoder, `(m, E, C)` with `E` = 1 or `|G|` views read.
        encoder_bias: `(m,)`.
        decoder_bias: `(|G|, C)`.
        mean, scale: activations are centred by `mean (C,)` and divided by `scale` before all
            else; 0 and 1 unless set by `normalise`.
        threshold: least `f_i ‖V_i‖` of an active feature outside training (batchtopk), in units
            of the normalised activations; NaN before `calibrate`.
        family, element: int `(m,)`, of a crosscoder that is or was tied: the family of every
            feature, and the element by which its template is translated; None otherwise.
        fresh: nothing has been learned yet, and training may choose where to start.
    """

    config: Config
    V: torch.Tensor
    W_enc: torch.Tensor
    family: torch.Tensor | None
    element: torch.Tensor | None

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("threshold", torch.tensor(math.nan))
        self.fresh = True

    @property
    @abstractmethod
    def encoder_bias(self) -> torch.Tensor:
        """One number a feature, `(m,)`."""

    @property
    @abstractmethod
    def decoder_bias(self) -> torch.Tensor:
        """Reconstruction of an empty code, `(|G|, C)`, normalised."""

    @property
    @abstractmethod
    def starts(self) -> int:
        """How many directions `start` takes."""

    @abstractmethod
    def start(self, V: torch.Tensor) -> None:
        """Begin with decoder blocks `(starts, |G|, C)`, and an encoder along them."""

    @abstractmethod
    def stretch_encoder(self, factor: torch.Tensor | float) -> None:
        """Multiply the encoder's weights."""

    @abstractmethod
    def untied(self) -> GroupCrosscoder:
        """A copy, detached, in which every feature has parameters of its own."""

    @contextmanager
    def fixed(self) -> Iterator[None]:
        """A block within which no weight changes, so that `V` and `W_enc` are computed once."""
        yield

    @property
    def group(self) -> Group:
        """The group of the orbits."""
        return group(self.config.group)

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return self.mean.device

    @property
    def views(self) -> int:
        """Number of views that the encoder reads: 1 or `|G|`."""
        return 1 if self.config.encode_from == "identity" else self.group.order

    @property
    def norms(self) -> torch.Tensor:
        """`‖V_i‖` over all blocks, `(m,)`."""
        return self.V.flatten(1).norm(dim=1)

    # What training has of each orbit

    def read(self, A: torch.Tensor) -> torch.Tensor:
        """The part of training's orbits that the encoder reads, `(N, E, C)`."""
        return A[:, : self.views]

    def wanted(self, A: torch.Tensor) -> torch.Tensor:
        """The part of training's orbits that the decoder has to make, `(N, |G|, C)`."""
        return A

    def bias_read(self) -> torch.Tensor:
        """The part of the decoder bias that the encoder reads, `(E, C)`."""
        return self.decoder_bias[: self.views]

    @property
    def outside(self) -> float:
        """Mean square of what the decoder cannot make whatever it learns, which no loss counts."""
        return 0.0

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters for an optimiser, with `faster`: relative to the step size of the others."""
        return [{"params": list(self.parameters()), "faster": 1.0}]

    def extra_repr(self) -> str:
        """The configuration, for `print`."""
        return ", ".join(f"{name}={value!r}" for name, value in asdict(self.config).items())

    # Codes and reconstructions of raw activations

    def encode(self, A: torch.Tensor) -> torch.Tensor:
        """Codes of orbit activations; training, evaluation and a loaded file agree on them.

        Args:
            A: `(N, |G|, C)`; for the identity encoder `(N, 1, C)` will do, and for a sparse
                autoencoder `(N, C)`.

        Returns:
            `f`, `(N, m)`, non-negative.

        Raises:
            UserError: for another shape, or before `calibrate` (batchtopk).
        """
        with self.fixed():
            pre = self.pre_activations(self.normalised(A))
            if self.config.sparsity == "l1":
                return pre.relu()
            if self.config.sparsity == "topk":
                return self.strongest(pre, self.config.k)
            if self.threshold.isnan():
                raise UserError(
                    "this batchtopk crosscoder has no threshold yet: train it, or call calibrate()."
                )
            f = pre.relu()
            return f * (f * self.norms >= self.threshold)

    def decode(self, f: torch.Tensor) -> torch.Tensor:
        """Reconstructions `Â`, `(N, |G|, C)`, of codes `(N, m)`."""
        return self.denormalised(self.decode_normalised(f))

    def forward(self, A: torch.Tensor) -> torch.Tensor:
        """Reconstructions `Â` of orbit activations."""
        with self.fixed():
            return self.decode(self.encode(A))

    # The parts, on normalised activations

    def normalised(self, A: torch.Tensor) -> torch.Tensor:
        """`(A - mean) / scale`, of as many views as the encoder reads, `(N, E, C)`."""
        if A.ndim == 2 and self.group.order == 1:
            A = A[:, None]
        expected = (self.group.order, self.config.channels)
        readable = A.ndim == 3 and A.shape[2] == expected[1]
        if not readable or (A.shape[1] != expected[0] and A.shape[1] != self.views):
            raise UserError(
                f"activations of shape {tuple(A.shape)}: this crosscoder takes (N, |G| = "
                f"{expected[0]}, C = {expected[1]})."
            )
        return (A[:, : self.views].to(self.mean) - self.mean) / self.scale

    def denormalised(self, A: torch.Tensor) -> torch.Tensor:
        """The inverse: `A · scale + mean`."""
        return A * self.scale + self.mean

    def pre_activations(self, A: torch.Tensor) -> torch.Tensor:
        """Encoder before the nonlinearity, `(N, m)`, of normalised views `(N, E, C)`."""
        return sparse_products.linear(A.flatten(1), self.W_enc.flatten(1), self.encoder_bias)

    def decode_normalised(
        self, f: torch.Tensor, *, bias: bool = True, on_only: bool = False
    ) -> torch.Tensor:
        """`Σ_i f_i V_i`, with the decoder bias if `bias`, `(N, |G|, C)`.

        Args:
            f: codes `(N, m)`.
            bias: add the decoder bias.
            on_only: pass gradients to codes that are on and no others, as training may (see
                `sparse_products.decode`).
        """
        V = self.V.flatten(1)
        if on_only:
            made = sparse_products.decode(f, V)
        else:
            made = f @ V if torch.is_grad_enabled() else sparse_products.times(f, V)
        A = made.unflatten(1, self.V.shape[1:])
        return A + self.decoder_bias if bias else A

    def strongest(
        self,
        pre: torch.Tensor,
        k: int,
        *,
        per_batch: bool = False,
        together: Ranks = ALONE,
        samples: int | None = None,
    ) -> torch.Tensor:
        """Keep `k` features a sample by `f_i ‖V_i‖` (`per_batch`: `k` a sample on average).

        Args:
            pre: pre-activations `(N, m)`.
            k: how many features.
            per_batch: choose them over the whole batch.
            together: the processes that have a part of the batch each.
            samples: of the whole batch; those of `pre` if None.
        """
        f = pre.relu()
        score = (f * self.norms).detach()  # ranking passes no gradient
        if per_batch:
            samples = samples or len(f)
            most = together.largest_share(samples) * f.shape[1]
            kept = together.largest(score.flatten(), k * samples, most)
            mask = torch.zeros_like(score).flatten().index_fill_(0, kept, 1).view_as(score)
        else:
            mask = torch.zeros_like(score).scatter_(1, score.topk(k, dim=1).indices, 1)
        return f * mask

    def training_codes(
        self,
        A: torch.Tensor,
        k: int | None = None,
        together: Ranks = ALONE,
        samples: int | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes as training makes them, and their pre-activations.

        Args:
            A: orbits as training has them, `(N, |G|, C)`.
            k: active features a sample; as configured if None.
            together, samples: as for `strongest`, if `A` is a part of the batch.

        Returns:
            Codes and pre-activations, `(N, m)` each.
        """
        pre = self.pre_activations(self.read(A))
        if self.config.sparsity == "l1":
            return pre.relu(), pre
        over = {"per_batch": self.config.sparsity == "batchtopk", "together": together}
        return self.strongest(pre, k or self.config.k, **over, samples=samples), pre

    # Setting up and finishing

    @torch.no_grad()
    def normalise(self, A: torch.Tensor) -> None:
        """Set `mean` and `scale` from training orbits `(N, |G|, C)`.

        The mean is averaged over the group, the scale is one number: both leave the action of the
        group on the data as it was. A normalised block has unit mean square norm.
        """
        A = A.to(self.mean)
        check_finite(A, "training data")
        self.mean.copy_(A.mean((0, 1)))
        spread = (A - self.mean).square().sum(-1).mean().sqrt()
        if not spread > 0 or spread.isinf():  # their squares may be beyond float32 at either end
            largest = (A - self.mean).abs().max().clamp_min(torch.finfo(A.dtype).tiny)
            spread = ((A - self.mean) / largest).square().sum(-1).mean().sqrt() * largest
        if not spread > 0:
            raise UserError("all activations are the same: there is nothing to learn.")
        self.scale.copy_(spread)

    @torch.no_grad()
    def calibrate(self, A: Orbits | StoredViews, batch: int = 1024) -> None:
        """Set the threshold so that the mean L0 over the orbits `A (N, |G|, C)` is `k`.

        Of more than `ENOUGH` orbits, as many as that are drawn. Does nothing for the other kinds of
        sparsity.
        """
        if self.config.sparsity != "batchtopk":
            return
        share, drawn = min(1.0, ENOUGH / len(A)), torch.Generator().manual_seed(0)
        most = self.config.k * (min(len(A), ENOUGH) + len(A) // batch + 1)  # on, of as many orbits
        count = 0
        highest = torch.zeros(0).to(self.mean)  # the scores that may decide, and no more of them
        new: list[torch.Tensor] = []
        with self.fixed():
            for part in A.split(batch):
                if share < 1:
                    some = torch.randperm(len(part), generator=drawn)[: round(share * len(part))]
                    part = part[some.sort().values]
                count += len(part)
                scores = self.pre_activations(self.normalised(part)).relu() * self.norms
                new.append(scores.flatten())
                if sum(map(len, new)) > most:  # seldom: it takes longer, the more there are
                    highest, new = _largest(most + 1, highest, *new), []
        highest = _largest(most + 1, highest, *new)
        active = min(self.config.k * count, int((highest > 0).sum()))
        if active == 0:
            raise UserError("no feature is on for any of these orbits: there is no threshold.")
        # Halfway to the next score, so that rounding (folding, another device) flips no feature.
        self.threshold.copy_((highest[active - 1] + highest[min(active, len(highest) - 1)]) / 2)

    @torch.no_grad()
    def fold(self) -> GroupCrosscoder:
        """The same function with normalisation folded into the weights (a new crosscoder)."""
        folded = self.untied()
        folded.b_enc.sub_((folded.W_enc.sum(1) @ self.mean) / self.scale)
        folded.b_dec.mul_(self.scale).add_(self.mean)
        folded.V.mul_(self.scale)
        folded.W_enc.div_(self.scale)
        folded.threshold.mul_(self.scale)
        folded.mean.zero_()
        folded.scale.fill_(1)
        return folded

    @torch.no_grad()
    def renormalise(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        """Take normalisation out of the weights again, in place: the inverse of `fold`.

        Args:
            mean: as `mean` was before, `(C,)`.
            scale: as `scale` was before.
        """
        self.b_enc.add_(self.W_enc.sum(1) @ mean)
        self.b_dec.sub_(mean).div_(scale)
        self.V.div_(scale)
        self.W_enc.mul_(scale)
        self.threshold.div_(scale)
        self.mean.copy_(mean)
        self.scale.copy_(scale)

    def save(self, path: str | Path, **notes: str) -> None:
        """Write one safetensors file that `load` needs nothing beside.

        Normalisation is folded, so that the file's weights act on raw activations; it is also
        stored, as `normalisation.mean` and `normalisation.scale`.

        Args:
            path: the file; written whole or not at all.
            notes: further text for the file's metadata (where it was trained, on what).
        """
        tensors = dict(self.fold().state_dict())
        del tensors["mean"], tensors["scale"]
        tensors["normalisation.mean"] = self.mean
        tensors["normalisation.scale"] = self.scale
        metadata = {"format": FORMAT, "config": json.dumps(asdict(self.config)), **notes}
        save_tensors(path, tensors, metadata)


def _largest(count: int, *parts: torch.Tensor) -> torch.Tensor:
    """The largest of all numbers, in falling order."""
    numbers = torch.cat(parts)
    return numbers.topk(min(count, len(numbers))).values
