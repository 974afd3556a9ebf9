"""Does rotating the activation basis cost interpretability?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import kurtosis, rankdata

from gc_utils.errors import UserError
from gc_utils.images.labelled import Task
from gc_utils.inspection.decompositions import rotated_basis
from gc_utils.models.base import Model
from gc_utils.studies.intertwiners.dissection import (
    LEAST,
    best_iou,
    label_concepts,
    labelled_drawings,
)
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


def best_auc(responses: torch.Tensor, concepts: torch.Tensor, least: int = LEAST) -> torch.Tensor:
    """How well each direction tells one concept from all others: its best area under the curve.

    The area under the ROC curve is the chance that a sample with the concept has a larger response
    than one without it (0.5 if the direction knows nothing; with many concepts the best is more by
    chance alone). It depends on no scale, offset or, since both signs count, sign of the direction.
    It ranks all samples, where `best_iou` looks at the largest responses: a unit that is silent for
    most samples cannot rank those, a mixture of many units nearly always responds. So it favours
    mixtures, in networks before training, too, and decides nothing here.

    Args:
        responses: Responses `(S, C)`.
        concepts: Which samples show which concept, bool `(S, K)`.
        least: The number of samples that a concept needs; others are left out.

    Returns:
        The area of the best concept and sign, `(C,)`.

    Raises:
        UserError: No concept has enough samples, or all samples have it.
    """
    n = concepts.sum(0).numpy()
    tested = (n >= least) & (n < len(concepts))
    if not tested.any():
        raise UserError(f"no concept has {least} samples, or all samples have it.")
    member, n = concepts.numpy().T[tested].astype(float), n[tested][:, None]
    # Mann and Whitney's U for all concepts from one ranking; scipy.stats.mannwhitneyu would rank
    # again for each, which takes over twenty times as long.
    ranks = rankdata(responses.double().numpy(), axis=0)
    area = (member @ ranks - n * (n + 1) / 2) / (n * (len(concepts) - n))
    return torch.from_numpy(np.maximum(area, 1 - area).max(0))


def compare_bases(
    A: torch.Tensor,
    labelled: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
    *,
    draws: int = 5,
    members: int = 2,
    seed: int = 0,
) -> pd.DataFrame:
    """How units stand out in their own basis, permuted and scaled, and rotated.

    Args:
        A: Activations of photographs, `(N, C)`.
        labelled: What images are (`drawings`) → responses to them `(S, C)`, and which of them shows
            which concept, bool `(S, K)`; the first of them is what `best AUC` is measured on.
        draws: The number of random rotations.
        members: The number of random members of ReLU's group, which cannot change anything.
        seed: The seed of the draws.

    Returns:
        One row for each basis and draw: `basis` (`units`, `permuted and scaled`, `rotated`),
        `draw`, medians over live units of `kurtosis` and `sparsity` (see `selectivity`) and of
        `best AUC`, means over live units of `best_iou` (`IoU, drawings`), and the share of `dead`
        ones.
    """
    width, first = A.shape[1], next(iter(labelled))
    bases = [("units", 0, torch.eye(width))]
    bases += [("permuted and scaled", k, relu_member(width, seed + k)) for k in range(members)]
    bases += [("rotated", k, rotated_basis(width, seed + k)) for k in range(draws)]
    rows = []
    for basis, draw, M in bases:
        moved = A @ M.T
        live = live_units(moved)
        measures = selectivity(moved)
        for name, (responses, concepts) in labelled.items():
            of_images = moved if responses is A else responses @ M.T
            measures[f"IoU, {name}"] = float(best_iou(of_images, concepts)[live].mean())
            if name == first:
                measures["best AUC"] = float(best_auc(of_images, concepts)[live].median())
        rows.append({"basis": basis, "draw": draw} | measures)
    return pd.DataFrame(rows)


def compare_layers(
    model: Model,
    activations: Mapping[str, torch.Tensor],
    concepts: Mapping[str, pd.DataFrame],
    *,
    draws: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """`compare_bases` for layers of a network, with drawings and photographs.

    Args:
        model: The network.
        activations: Layer → activations of crops of photographs, `(N, C)`.
        concepts: Layer → concepts of the same crops, from `crop_concepts`.
        draws: The number of random rotations.
        seed: The seed of the draws.

    Returns:
        The rows of `compare_bases` with the column `layer`.
    """
    tables = []
    for layer, A in activations.items():
        responses, labels = labelled_drawings(model, layer)
        labelled = {
            "drawings": (responses, label_concepts(labels)),
            "photographs": (A, torch.tensor(concepts[layer].to_numpy(bool))),
        }
        compared = compare_bases(A, labelled, draws=draws, seed=seed)
        tables.append(compared.assign(layer=layer))
    return pd.concat(tables, ignore_index=True)


def compare_small_nets(
    nets: Sequence[SmallNet], task: Task, *, draws: int = 5, seed: int = 0
) -> pd.DataFrame:
    """`compare_bases` for all layers but the first of small networks; concepts are the classes.

    Args:
        nets: The networks.
        task: The task whose test images are used.
        draws: The number of random rotations.
        seed: The seed of the draws.

    Returns:
        The rows of `compare_bases` with the columns `net` (its number) and `layer`. Activations are
        means over positions.
    """
    classes, tables = label_concepts(task.test_y.tolist()), []
    for number, net in enumerate(nets):
        for layer in HIDDEN[1:]:
            A = net.upto(task.test_x, layer).detach().mean((2, 3))
            compared = compare_bases(A, {"classes": (A, classes)}, draws=draws, seed=seed)
            tables.append(compared.assign(net=number, layer=layer))
    return pd.concat(tables, ignore_index=True)
