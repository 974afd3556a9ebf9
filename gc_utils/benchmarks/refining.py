"""Exact codes of a dictionary that is refined, against a solver that takes sample by sample."""

from __future__ import annotations

import torch
from torch import Tensor

from gc_utils.benchmarks.comparing import Row, compare
from gc_utils.benchmarks.training import slow_orbits
from gc_utils.crosscoder.sparse_codes import sparse_codes
from gc_utils.groups import group


def benchmark_refining(
    name: str = "D16", channels: int = 480, *, features: int = 512, repeats: int = 2, few: int = 64
) -> Row:
    """Non-negative sparse codes of a batch, against scikit-learn's coordinate descent.

    Args:
        name: of the group.
        channels: channels `C`.
        features: size of the dictionary.
        repeats: of both.
        few: samples that the slower one codes.
    """
    from sklearn.decomposition import sparse_encode

    A = slow_orbits(group(name), channels, 256 + features).flatten(1)
    A = A - A.mean(0)
    atoms = torch.nn.functional.normalize(A[256:], dim=1)
    x = A[:256]
    penalty = 0.1 * float((x @ atoms.T).amax(1).mean())

    def ours() -> Tensor:
        return sparse_codes(x, atoms, penalty, tolerance=1e-2, most=1000)

    def others() -> Tensor:
        codes = sparse_encode(
            x[:few].double().numpy(),
            atoms.double().numpy(),
            algorithm="lasso_cd",
            alpha=penalty,
            positive=True,
            max_iter=10_000,
        )
        return torch.from_numpy(codes).float()

    def loss(f: Tensor) -> float:
        left = (x[:few] - f[:few] @ atoms).square().sum(1) / 2 + penalty * f[:few].sum(1)
        return float(left.mean())

    return compare(
        f"exact codes, {features} atoms of {atoms.shape[1]:,} numbers",
        ours,
        others,
        lambda found, expected: abs(loss(found) / loss(expected) - 1),
        count=len(x),
        other_count=few,
        unit="samples",
        other="coordinate descent, sample by sample (scikit-learn)",
        measure="difference of the loss, relative",
        repeats=repeats,
    )
