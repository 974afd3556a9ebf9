"""Does rotating the activation basis cost interpretability?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata

from gc_utils.errors import UserError
from gc_utils.inspection.decompositions import rotated_basis
from gc_utils.studies.intertwiners.members import sample_member


def relu_member(n: int, seed: int = 0) -> torch.Tensor:
    """A random member of ReLU's group `(n, n)`."""
    return torch.from_numpy(sample_member("positive", n, seed=seed)).float()


def selectivity(A: torch.Tensor) -> dict[str, float]:
    """How much units of `(N, C)` stand out: medians over units that answer to anything.

    Returns:
        `kurtosis` (excess, of the activations), `sparsity` (Treves and Rolls: 1 for a unit that
        answers to one sample, 0 for one that answers to all alike; of absolute values), and `dead`,
        the share of units that never vary, which are left out of both.

    Raises:
        UserError: if all are dead.
    """
    x = A.double()
    live = live_units(x)
    if not live.any():
        raise UserError("no unit answers to anything: there is nothing to compare.")
    x = x[:, live]
    off = x - x.mean(0)
    heavy = off.pow(4).mean(0) / off.square().mean(0).square() - 3
    sparse = 1 - x.abs().mean(0).square() / x.square().mean(0)
    return {
        "kurtosis": float(heavy.median()),
        "sparsity": float(sparse.median()),
        "dead": float((~live).double().mean()),
    }


def live_units(A: torch.Tensor) -> torch.Tensor:
    """Which units of `(N, C)` vary, against the most variable one; bool `(C,)`."""
    spread = A.double().var(0, correction=0)
    return spread > 1e-9 * spread.max()


def best_auc(answers: torch.Tensor, labels: Sequence[Hashable], least: int = 4) -> torch.Tensor:
    """How well each direction tells one label from all others: its best area under the curve.

    The area under the ROC curve is the chance that a sample with the label is answered to more than
    one without it (0.5 if the direction knows nothing; with many labels the best is more by chance
    alone). It depends on no scale, offset or, since both signs count, sign of the direction.

    Args:
        answers: `(S, C)`.
        labels: of the samples; those of fewer than `least` samples are not asked about.
        least: samples that a label needs.

    Returns:
        `(C,)`, of the best label and sign.
    """
    labels = pd.Series(list(labels)).astype(str)
    counts = labels.value_counts()
    asked = [name for name, n in counts.items() if least <= n < len(labels)]
    if not asked:
        raise UserError(f"no label has {least} samples, or all have the same one.")
    member = np.stack([(labels == name).to_numpy() for name in asked]).astype(float)
    n = member.sum(1, keepdims=True)
    ranks = rankdata(answers.double().numpy(), axis=0)  # equal answers share a rank
    area = (member @ ranks - n * (n + 1) / 2) / (n * (len(labels) - n))
    return torch.from_numpy(np.maximum(area, 1 - area).max(0))


def compare_bases(
    A: torch.Tensor,
    answers: torch.Tensor,
    labels: Sequence[Hashable],
    *,
    draws: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """How units stand out in their own basis, permuted and scaled, and rotated.

    Args:
        A: activations of photographs `(N, C)`.
        answers: to labelled stimuli, `(S, C)`.
        labels: of the stimuli.
        draws: of random members and rotations.
        seed: of the draws.

    Returns:
        A row a basis and draw: `basis` (`units`, `permuted and scaled`, `rotated`), `draw`,
        medians over live units of `kurtosis` and `sparsity` (see `selectivity`) and of `best AUC`,
        and the share of `dead` ones.
    """
    width = A.shape[1]
    bases = [("units", 0, torch.eye(width))]
    for draw in range(draws):
        bases += [
            ("permuted and scaled", draw, relu_member(width, seed + draw)),
            ("rotated", draw, rotated_basis(width, seed + draw)),
        ]
    return pd.DataFrame(
        [
            {"basis": basis, "draw": draw}
            | selectivity(A @ M.T)
            | {"best AUC": float(best_auc(answers @ M.T, labels)[live_units(A @ M.T)].median())}
            for basis, draw, M in bases
        ]
    )
