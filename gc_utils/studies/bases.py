"""Is the basis that units make special? Units against rotated and against rescaled ones.

Godfrey et al. 2022 (arXiv 2205.14258), section 6: the intertwiner group of ReLU keeps the axes of
the activation space, a rotation does not. If units are easier to interpret than rotated directions,
that speaks for reading a network in its activation basis.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata

from gc_utils.decompositions import rotated_basis
from gc_utils.errors import UserError
from gc_utils.studies.intertwiners import live_units, relu_member, selectivity


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
