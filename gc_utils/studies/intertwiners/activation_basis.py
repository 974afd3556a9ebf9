"""Does rotating the activation basis cost interpretability?"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import kurtosis, rankdata

from gc_utils import groups
from gc_utils.errors import UserError
from gc_utils.images.labelled import Task
from gc_utils.inspection.decompositions import rotated_basis
from gc_utils.inspection.responses import stimulus_orbits
from gc_utils.models.base import Model
from gc_utils.studies.intertwiners.members import relu_member
from gc_utils.studies.intertwiners.networks import HIDDEN, SmallNet


def selectivity(A: torch.Tensor) -> dict[str, float]:
    """How much units stand out: medians over units that respond to anything.

    Args:
        A: Activations `(N, C)`.

    Returns:
        `kurtosis` (excess, of the activations), `sparsity` (Treves and Rolls: 1 for a unit that
        responds to one sample, 0 for one with equal responses to all; of absolute values), and
        `dead`, the share of units that never vary, which are left out of both.

    Raises:
        UserError: All units are dead.
    """
    x = A.double()
    live = live_units(x)
    if not live.any():
        raise UserError("no unit responds to anything: there is nothing to compare.")
    x = x[:, live]
    sparse = 1 - x.abs().mean(0).square() / x.square().mean(0)
    return {
        "kurtosis": float(torch.from_numpy(kurtosis(x.numpy(), axis=0)).median()),
        "sparsity": float(sparse.median()),
        "dead": float((~live).double().mean()),
    }


def live_units(A: torch.Tensor) -> torch.Tensor:
    """Which units of `(N, C)` vary, compared with the most variable one; bool `(C,)`."""
    spread = A.double().var(0, correction=0)
    return spread > 1e-9 * spread.max()


def best_auc(responses: torch.Tensor, labels: Sequence[Hashable], least: int = 4) -> torch.Tensor:
    """How well each direction tells one label from all others: its best area under the curve.

    The area under the ROC curve is the chance that a sample with the label has a larger response
    than one without it (0.5 if the direction knows nothing; with many labels the best is more by
    chance alone). It depends on no scale, offset or, since both signs count, sign of the direction.

    Args:
        responses: Responses `(S, C)`.
        labels: The labels of the samples; those of fewer than `least` samples are left out.
        least: The number of samples that a label needs.

    Returns:
        The area of the best label and sign, `(C,)`.

    Raises:
        UserError: No label has enough samples, or all samples have the same label.
    """
    labels = pd.Series(list(labels)).astype(str)
    counts = labels.value_counts()
    tested = [name for name, n in counts.items() if least <= n < len(labels)]
    if not tested:
        raise UserError(f"no label has {least} samples, or all have the same one.")
    member = np.stack([(labels == name).to_numpy() for name in tested]).astype(float)
    n = member.sum(1, keepdims=True)
    # Mann and Whitney's U for all labels from one ranking; scipy.stats.mannwhitneyu would rank
    # again for each label, which takes over twenty times as long.
    ranks = rankdata(responses.double().numpy(), axis=0)
    area = (member @ ranks - n * (n + 1) / 2) / (n * (len(labels) - n))
    return torch.from_numpy(np.maximum(area, 1 - area).max(0))


def compare_bases(
    A: torch.Tensor,
    responses: torch.Tensor,
    labels: Sequence[Hashable],
    *,
    draws: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """How units stand out in their own basis, permuted and scaled, and rotated.

    Args:
        A: Activations of photographs, `(N, C)`.
        responses: Responses to labelled stimuli, `(S, C)`.
        labels: The labels of the stimuli.
        draws: The number of random members and rotations.
        seed: The seed of the draws.

    Returns:
        One row for each basis and draw: `basis` (`units`, `permuted and scaled`, `rotated`),
        `draw`, medians over live units of `kurtosis` and `sparsity` (see `selectivity`) and of
        `best AUC`, and the share of `dead` ones.
    """
    width = A.shape[1]
    bases = [("units", 0, torch.eye(width))]
    for draw in range(draws):
        bases += [
            ("permuted and scaled", draw, relu_member(width, seed + draw)),
            ("rotated", draw, rotated_basis(width, seed + draw)),
        ]
    rows = []
    for basis, draw, M in bases:
        auc = best_auc(responses @ M.T, labels)[live_units(A @ M.T)]
        measures = selectivity(A @ M.T) | {"best AUC": float(auc.median())}
        rows.append({"basis": basis, "draw": draw} | measures)
    return pd.DataFrame(rows)


def compare_layers(
    model: Model,
    activations: Mapping[str, torch.Tensor],
    *,
    draws: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """`compare_bases` for layers of a network, with drawings of known kind and orientation.

    Args:
        model: The network.
        activations: Layer → activations of photographs, `(N, C)`.
        draws: The number of random members and rotations.
        seed: The seed of the draws.

    Returns:
        The rows of `compare_bases` with the column `layer`. Labels are kinds of drawings at one of
        eight orientations, such as a curve that opens to the left.
    """
    tables = []
    for layer, A in activations.items():
        drawn = stimulus_orbits(model, layer, groups.group("C8"))
        at = drawn.table.orientation.fillna(0).round().astype(int).astype(str)
        labels = drawn.table.kind + " " + at
        compared = compare_bases(A, drawn.A.flatten(0, 1), labels, draws=draws, seed=seed)
        tables.append(compared.assign(layer=layer))
    return pd.concat(tables, ignore_index=True)


def compare_small_net(net: SmallNet, task: Task, *, draws: int = 5, seed: int = 0) -> pd.DataFrame:
    """`compare_bases` for all layers but the first of a small network; labels are the classes.

    Args:
        net: The network.
        task: The task whose test images are used.
        draws: The number of random members and rotations.
        seed: The seed of the draws.

    Returns:
        The rows of `compare_bases` with the column `layer`. Activations are means over positions.
    """
    tables = []
    for layer in HIDDEN[1:]:
        A = net.upto(task.test_x, layer).detach().mean((2, 3))
        compared = compare_bases(A, A, task.test_y.tolist(), draws=draws, seed=seed)
        tables.append(compared.assign(layer=layer))
    return pd.concat(tables, ignore_index=True)
