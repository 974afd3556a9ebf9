"""Are the curves of all orientations one thing? The subspace that their features span."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from gc_utils.crosscoder.block_sparse import BlockCrosscoder
from gc_utils.crosscoder.training import TrainConfig, train
from gc_utils.studies.missing_curves.layers import BATCH, LR, LayerStudy

PRINCIPAL, SINGLE, BLOCK = "principal directions", "SAE features", "the best block"


def curve_ring(A: torch.Tensor, table: pd.DataFrame) -> torch.Tensor:
    """Mean activations for arcs of every orientation, without their common mean.

    Args:
        A: Activations for the drawings of a bank `(S, C)`.
        table: The table of the bank.

    Returns:
        The loop of mean activations, one row an orientation, `(K, C)`.
    """
    arcs = np.flatnonzero((table["kind"] == "curve").to_numpy())
    angle = table["orientation"].to_numpy(dtype=float)[arcs]
    ring = torch.stack([A[arcs[angle == a]].mean(0) for a in np.unique(angle)])
    return ring - ring.mean(0)


def ring_share(ring: torch.Tensor, directions: torch.Tensor) -> float:
    """Share of the ring's variance in the span of some directions.

    Args:
        ring: From `curve_ring`, `(K, C)`.
        directions: The directions `(w, C)`, of any length; they may depend on each other.

    Returns:
        The share, in [0, 1].
    """
    _, size, rows = torch.linalg.svd(directions.double(), full_matrices=False)
    span = rows[size > 1e-6 * size.max()]
    return float((ring.double() @ span.T).square().sum() / ring.double().square().sum())


def ring_spans(
    ring: torch.Tensor,
    study: LayerStudy,
    *,
    expansion: float = 2.0,
    k: int = 16,
    steps: int = 1000,
    widths: Sequence[int] = (2, 3, 4),
    seed: int = 0,
) -> pd.DataFrame:
    """Share of a ring that a few directions span: principal ones, features, blocks learned as one.

    Args:
        ring: From `curve_ring`, `(K, C)`.
        study: The study of the layer; blocks are trained on all of its positions.
        expansion: The dimensions of all blocks together, relative to the channels.
        k: The number of active dimensions of a position.
        steps: The steps of the blocks' training.
        widths: The widths of the blocks.
        seed: The seed of the blocks' training.

    Returns:
        A table with rows of `kind` (`PRINCIPAL`, `SINGLE` or `BLOCK`), `dimensions`, `share`.
    """
    principal = torch.linalg.svd(ring, full_matrices=False)[2]
    most = min(8, len(principal))
    rows = [
        {"kind": PRINCIPAL, "dimensions": w, "share": ring_share(ring, principal[:w])}
        for w in range(1, most + 1)
    ]
    V = study.decoder
    V = V[V.norm(dim=1) > 0]
    likely = (ring @ V.T).square().sum(0) / V.square().sum(1)
    candidates = likely.topk(min(60, len(V))).indices.tolist()
    chosen: list[int] = []
    for w in range(1, min(most, len(candidates)) + 1):  # greedily, whichever adds most
        gains = {i: ring_share(ring, V[[*chosen, i]]) for i in candidates if i not in chosen}
        chosen.append(max(gains, key=gains.get))
        rows.append({"kind": SINGLE, "dimensions": w, "share": max(gains.values())})
    A, channels = study.positions.A, V.shape[1]
    every = np.arange(len(A))
    for width in widths:
        kind = type(f"Blocks{width}", (BlockCrosscoder,), {"width": width})
        count = max(1, round(expansion * channels) // width)
        active = max(1, min(k, channels // 4) // width)
        coder = kind("C1", channels, count * width, k=active, seed=seed)
        config = TrainConfig(
            steps=steps, batch_size=BATCH, lr=LR, revive=0.0, evaluate_every=steps, seed=seed
        )
        train(coder, A[:, None], every, A[:1024, None], config, label=f"blocks of {width}")
        blocks = coder.V.detach()[:, 0].unflatten(0, (count, width))
        share = max(ring_share(ring, block) for block in blocks)
        rows.append({"kind": BLOCK, "dimensions": width, "share": share})
    return pd.DataFrame(rows)


def dimensions(vectors: torch.Tensor, share: float = 0.9) -> tuple[int, float]:
    """How many dimensions vectors take up, their lengths aside.

    Args:
        vectors: The vectors `(n, C)`.
        share: The share of their squares that the dimensions should hold.

    Returns:
        How many principal ones hold `share` of the squares, and the participation ratio
        `(Σλ)² / Σλ²`.
    """
    unit = vectors.double() / vectors.double().norm(dim=1, keepdim=True).clamp_min(1e-12)
    power = torch.linalg.svdvals(unit).square()
    total = power.cumsum(0) / power.sum()
    return int((total < share - 1e-12).sum()) + 1, float(power.sum() ** 2 / power.square().sum())


def compared_dimensions(
    decoder: torch.Tensor, chosen: Sequence[int], *, seed: int = 0
) -> dict[str, float]:
    """How many dimensions some features take up, beside as many features of any kind.

    Args:
        decoder: Decoder vectors of all features `(m, C)`.
        chosen: The numbers of the features.
        seed: The seed of the draw of the others.

    Returns:
        A dictionary of `features`, their number; `dimensions` and `ratio`, from `dimensions`; and
        `any dimensions` and `any ratio`, the same of as many features that are drawn from all.
    """
    rng = np.random.default_rng(seed)
    other = rng.choice(len(decoder), len(chosen), replace=False)
    needed, ratio = dimensions(decoder[list(chosen)])
    any_needed, any_ratio = dimensions(decoder[other])
    return {
        "features": len(chosen),
        "dimensions": needed,
        "ratio": ratio,
        "any dimensions": any_needed,
        "any ratio": any_ratio,
    }
