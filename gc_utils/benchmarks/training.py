"""Training against the step that one would write first, with the same objective."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from gc_utils.benchmarks.comparing import Row, compare
from gc_utils.crosscoder import GroupCrosscoder, TrainConfig, evaluate, train
from gc_utils.groups import Group, group, translate


def slow_orbits(
    g: Group, channels: int, samples: int, *, templates: int = 24, active: int = 24, seed: int = 0
) -> Tensor:
    """Made-up orbits that vary slowly with the rotation, as those of networks do.

    Sparse sums of templates and their translates, whose Fourier coefficients fall with the angular
    frequency and whose channels are mixtures of few, with a little noise.

    Args:
        g: the group.
        channels: channels `C`.
        samples: orbits `N`.
        templates: how many there are.
        active: translates of templates that make an orbit.
        seed: of all of it.

    Returns:
        float32 `(N, |G|, C)`.
    """
    draw = torch.Generator().manual_seed(seed)
    few = max(4, channels // 8)
    shapes = torch.zeros(templates, g.order, few)
    for irrep in g.irreps():
        F = torch.randn(templates, irrep.dim, irrep.dim, few, generator=draw)
        weight = (irrep.dim**0.5) * 2.0 ** -max(0, irrep.frequency - 1)
        shapes += weight * torch.einsum("gab,nabc->ngc", irrep.matrices.float(), F)
    mixing = torch.randn(few, channels, generator=draw) / few**0.5
    A = torch.zeros(samples, g.order, few)
    for _ in range(active):
        which = torch.randint(templates, (samples,), generator=draw)
        moved = translate(shapes[which], g, torch.randint(g.order, (samples,), generator=draw))
        A += torch.rand(samples, 1, 1, generator=draw) * moved
    A = A @ mixing
    return A + 0.05 * A.std() * torch.randn(A.shape, generator=draw)


class PlainCrosscoder(nn.Module):
    """The same crosscoder as one would write it first: dense products, autograd, float32.

    Args:
        like: a crosscoder, whose normalisation and first weights it takes.
    """

    def __init__(self, like: GroupCrosscoder) -> None:
        super().__init__()
        self.like, self.k = like, like.config.k
        self.V = nn.Parameter(like.V.detach().clone())
        self.W = nn.Parameter(like.W_enc.detach().clone())
        self.b_enc = nn.Parameter(like.b_enc.detach().clone())
        self.b_dec = nn.Parameter(like.b_dec.detach().clone())

    def forward(self, A: Tensor, k: int) -> Tensor:
        """The loss of normalised orbits `(N, |G|, C)` with `k` active features a sample."""
        f = (A[:, : self.W.shape[1]].flatten(1) @ self.W.flatten(1).T + self.b_enc).relu()
        score = f * self.V.flatten(1).norm(dim=1)
        kept = score.flatten().topk(k * len(A)).indices
        mask = torch.zeros(score.numel()).index_fill_(0, kept, 1.0).view_as(score)
        made = torch.einsum("nm,mgc->ngc", f * mask, self.V) + self.b_dec
        return (A - made).square().sum((1, 2)).mean()

    def give_back(self) -> GroupCrosscoder:
        """The crosscoder with what has been learned."""
        with torch.no_grad():
            for own, there in (("V", "V"), ("W", "W_enc"), ("b_enc", "b_enc"), ("b_dec", "b_dec")):
                getattr(self.like, there).copy_(getattr(self, own))
        return self.like


def train_plainly(
    coder: GroupCrosscoder, A: Tensor, config: TrainConfig, start: GroupCrosscoder, steps: int
) -> GroupCrosscoder:
    """Train with a dense step: the same schedule, starts and batch, no basis and no sparsity.

    Args:
        coder: takes what has been learned.
        A: training orbits `(N, |G|, C)`.
        config: as for `train`; its `steps` set the schedule.
        start: where to begin: a crosscoder that `train` has normalised.
        steps: how many of the steps to take.
    """
    coder.load_state_dict(start.state_dict())
    coder.fresh = False
    plain, g = PlainCrosscoder(coder), coder.group
    optimiser = torch.optim.Adam(plain.parameters(), lr=config.lr)
    draw = torch.Generator().manual_seed(config.seed)
    for step in range(steps):
        some = torch.randint(len(A), (config.batch_size,), generator=draw)
        h = torch.randint(g.order, (config.batch_size,), generator=draw)
        batch = (translate(A[some], g, h) - coder.mean) / coder.scale
        fallen = min(1.0, step / max(1.0, config.k_fall * config.steps))
        loss = plain(
            batch, round(coder.config.k * (config.first_k + (1 - config.first_k) * fallen))
        )
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 100.0)
        left = min(1.0, (config.steps - step) / max(1.0, config.decay * config.steps))
        for pars in optimiser.param_groups:
            pars["lr"] = config.lr * min(1.0, (step + 1) / max(1, config.warmup)) * left
        optimiser.step()
    return plain.give_back()


def benchmark_training(
    name: str = "D16",
    channels: int = 480,
    features: int = 512,
    *,
    k: int = 32,
    samples: int = 1024,
    steps: int = 60,
    encode_from: str = "orbit",
    keep: float = 0.9,
    repeats: int = 2,
    other_steps: int | None = None,
) -> Row:
    """Training in a basis, the making of the basis counted, samples a second.

    Args:
        name: of the group.
        channels: channels `C`.
        features: size of the dictionary.
        k: active features a sample.
        samples: made-up orbits, a quarter of them held out.
        steps: of a training.
        encode_from: `"identity"` or `"orbit"`.
        keep: share of the variance in the basis.
        repeats: of both.
        other_steps: steps that the plain training is timed for; FVU is compared only after all.
    """
    g = group(name)
    A = slow_orbits(g, channels, samples)
    rows, held = np.arange(len(A) * 3 // 4), A[len(A) * 3 // 4 :]
    config = TrainConfig(
        steps=steps, warmup=max(1, steps // 8), evaluate_every=10 * steps, keep=keep
    )
    fresh = GroupCrosscoder(name, channels, features, k=k, encode_from=encode_from)
    start = copy.deepcopy(fresh)
    train(start, A, rows, held, TrainConfig(steps=1, lr=0.0), progress=False)

    def ours() -> GroupCrosscoder:
        coder = copy.deepcopy(fresh)
        train(coder, A, rows, held[:1], config, progress=False)
        return coder

    def others() -> GroupCrosscoder:
        coder = copy.deepcopy(fresh)
        return train_plainly(coder, A[: len(rows)], config, start, other_steps or steps)

    mean = A[: len(rows)].mean((0, 1))

    def differ(found: GroupCrosscoder, expected: GroupCrosscoder) -> float:
        for coder in (found, expected):
            coder.calibrate(held)
        return evaluate(found, held, mean).fvu - evaluate(expected, held, mean).fvu

    same = other_steps in (None, steps)
    return compare(
        f"training, {name} × {channels}, {features} features",
        ours,
        others,
        differ,
        count=steps * config.batch_size,
        other_count=(other_steps or steps) * config.batch_size,
        unit="samples",
        other="dense products and autograd in float32",
        measure="held-out FVU, ours less the other's" if same else "FVU after unlike steps",
        repeats=repeats,
        note=f"{encode_from} encoder, {steps} steps, basis included",
    )
