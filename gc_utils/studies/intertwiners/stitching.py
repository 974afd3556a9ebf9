"""Stitching: the bottom of one network, a linear map, the top of another.

Godfrey et al. 2022 (arXiv 2205.14258), section 4, after Lenc and Vedaldi 2015 and Bansal et al.
2021. If two trained networks differ by an intertwiner only, then a map from its group is enough to
join them; how much worse that does than any linear map says how far that is from the truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import lars_path_gram
from torch import Tensor

from gc_utils.errors import UserError, choose
from gc_utils.images.labelled import Task
from gc_utils.linear import ridge
from gc_utils.parallel import side_by_side
from gc_utils.studies.intertwiners.networks import (
    BATCH,
    HIDDEN,
    WORKERS,
    Pairs,
    SmallNet,
    accuracy,
    minimise,
)
from gc_utils.studies.intertwiners.similarity import as_rows, procrustes_positive
from gc_utils.studies.intertwiners.weight_symmetry import act_on


@dataclass(frozen=True)
class Stitch:
    """A network made of two.

    Attributes:
        M: the map in between, `(C, C)`: what the upper network reads is `M` times what the lower
            one gives.
        accuracy: of the whole, on test images.
        penalty: accuracy of the upper network by itself less that of the whole.
        matched: share of the squared activations of the upper network that the map leaves
            unexplained, on test images.
        entries: non-zero entries of `M` for each unit.
    """

    M: Tensor
    accuracy: float
    penalty: float
    matched: float
    entries: float


class Seam:
    """Where two networks meet: activations of both at one layer, and the ways to join them.

    Args:
        lower: The network that gives the activations.
        upper: The network that takes them.
        layer: One of `HIDDEN`.
        task: The task on whose training images the maps are learnt.
        epochs: How often a learnt map sees every image.
        seed: The seed of the order of samples.

    Raises:
        UserError: The layer is unknown, or the networks have different widths.
    """

    def __init__(
        self,
        lower: SmallNet,
        upper: SmallNet,
        layer: str,
        task: Task,
        *,
        epochs: int = 6,
        seed: int = 0,
    ) -> None:
        choose(layer, HIDDEN, "layer")
        if lower.width != upper.width:
            raise UserError(f"networks of width {lower.width} and {upper.width}: expected one.")
        self.upper, self.layer, self.task = upper, layer, task
        self.epochs, self.seed = epochs, seed
        with torch.no_grad():
            self.given, self.wanted = lower.upto(task.x, layer), upper.upto(task.x, layer)
            self.test = lower.upto(task.test_x, layer), upper.upto(task.test_x, layer)
        self.whole = accuracy(upper, task)

    def joined(self, M: Tensor) -> Stitch:
        """The network joined by a map `M`, `(C, C)`."""
        given, wanted = self.test
        made = _mapped(given, M)
        right = accuracy(self.upper, self.task, self.layer, made)
        left = float((made - wanted).square().sum() / wanted.square().sum().clamp_min(1e-12))
        entries = float((M.abs() > 1e-6).sum() / len(M))
        return Stitch(M, right, self.whole - right, left, entries)

    def identity(self) -> Stitch:
        """No map at all."""
        return self.joined(torch.eye(self.upper.width))

    def matched(self) -> Stitch:
        """A member of ReLU's group, by the best assignment of units to units.

        A scale may be 0 where no unit of the lower network stands for one of the upper.
        """
        order, scale, _ = procrustes_positive(as_rows(self.given), as_rows(self.wanted))
        return self.joined(_member(order, scale))

    def least_squares(self) -> Tensor:
        """The linear map that leaves least of the upper network's activations, `(C, C)`."""
        x, y = as_rows(self.given).double(), as_rows(self.wanted).double()
        return ridge(x.T @ x, x.T @ y, 1e-6, floor=1e-12).T.float()

    def full(self) -> Stitch:
        """Any linear map, learnt on the task from least squares on.

        Learnt twice over, as `learnt` is, and as all others are.
        """
        M = self.least_squares().requires_grad_()
        for _ in range(2):
            self._learn([M], lambda: M)
        return self.joined(M.detach())

    def reduced_rank(self, rank: int) -> Stitch:
        """A map of a rank, learnt on the task from the reduced-rank regression on."""
        if not 1 <= rank <= self.upper.width:
            raise UserError(f"rank {rank}: expected 1 to {self.upper.width}.")
        M, y = self.least_squares(), _mapped_rows(self.given, self.least_squares())
        top = torch.linalg.eigh(y.T @ y).eigenvectors[:, -rank:]
        left, right = top.clone().requires_grad_(), (top.T @ M).requires_grad_()
        for _ in range(2):
            self._learn([left, right], lambda: left @ right)
        return self.joined((left @ right).detach())

    def sparse(self, most: int) -> Stitch:
        """A map with few entries a unit, chosen by an L1 penalty and then learnt on the task.

        For every unit of the upper network the lasso's path over the units of the lower one is
        followed until it takes more than `most` of them; what it took is fitted by least squares
        and learnt from there.
        """
        if not 1 <= most <= self.upper.width:
            raise UserError(f"{most} entries a unit: expected 1 to {self.upper.width}.")
        x, y = as_rows(self.given).double(), as_rows(self.wanted).double()
        size = x.norm(dim=0).clamp_min(1e-12)  # the lasso is not to prefer loud units
        gram, product = (x.T @ x / size / size[:, None]).numpy(), (x.T @ y / size[:, None]).numpy()
        M = np.zeros((len(gram), len(gram)))
        for i in range(len(M)):
            taken = _lasso(gram, product[:, i], most)
            if len(taken):
                M[i, taken] = np.linalg.lstsq(
                    gram[np.ix_(taken, taken)], product[taken, i], rcond=None
                )[0]
        start = (torch.from_numpy(M) / size).float()
        support = start != 0
        weights = start.clone().requires_grad_()
        for _ in range(2):
            self._learn([weights], lambda: weights * support)
        return self.joined((weights * support).detach())

    def learnt(self) -> Stitch:
        """A member of ReLU's group, learnt on the task through doubly stochastic matrices.

        `M` is a doubly stochastic matrix (Sinkhorn's algorithm on a matrix of logits) times
        positive scales; it starts near the best assignment, its entries get sharper as training
        goes on, and it ends as the permutation nearest to it, whose scales are learnt once more.
        """
        order, scale, _ = procrustes_positive(as_rows(self.given), as_rows(self.wanted))
        # so that most of every row lies on the assigned unit, at any width
        sure = math.log(len(order)) + 2
        logits = (sure * _member(order, np.ones_like(scale))).requires_grad_()
        log_scale = torch.from_numpy(np.log(np.maximum(scale, 0.05))).float().requires_grad_()
        heat = [1.0]

        def soft() -> Tensor:
            return sinkhorn(logits / heat[0]) * log_scale.exp()[:, None]

        steps = self.epochs * -(-len(self.given) // BATCH)

        def cool() -> None:
            heat[0] *= 0.1 ** (1 / steps)

        self._learn([logits, log_scale], soft, after=cool)
        with torch.no_grad():
            nearest = sinkhorn(logits / heat[0]).numpy()
        rows, order = linear_sum_assignment(nearest, maximize=True)
        hard = torch.eye(len(order))[order]
        self._learn([log_scale], lambda: hard * log_scale.exp()[:, None])
        return self.joined((hard * log_scale.exp()[:, None]).detach())

    def _loss(self, M: Tensor, at: Tensor) -> Tensor:
        logits = self.upper.onward(_mapped(self.given[at], M), self.layer)
        return F.cross_entropy(logits, self.task.y[at])

    def _learn(self, parameters: Sequence[Tensor], M: Callable[[], Tensor], **options) -> None:
        minimise(
            parameters,
            lambda at: self._loss(M(), at),
            len(self.given),
            epochs=self.epochs,
            lr=1e-2,
            batch=BATCH,
            seed=self.seed,
            **options,
        )


def stitch_planted(net: SmallNet, task: Task, *, seed: int = 0) -> pd.DataFrame:
    """Stitch a network to itself after a random member of ReLU's group acted on one layer.

    Args:
        net: The network.
        task: Its task.
        seed: The seed of the member.

    Returns:
        One row for each layer (the index): `penalty` of the best member, `left of activations`
        (share that it leaves unexplained) and `penalty without a map`; penalties are shares of test
        images.
    """
    rows = []
    for layer in HIDDEN:
        seam = Seam(net, act_on(net, layer, seed=seed)[0], layer, task)
        found, none = seam.matched(), seam.identity()
        rows.append(
            {
                "layer": layer,
                "penalty": found.penalty,
                "left of activations": found.matched,
                "penalty without a map": none.penalty,
            }
        )
    return pd.DataFrame(rows).set_index("layer")


def stitch_pairs(
    nets: Pairs,
    task: Task,
    *,
    epochs: int = 6,
    seed: int = 0,
    workers: int = WORKERS,
    progress: bool = True,
) -> pd.DataFrame:
    """Stitch every pair of networks at every layer by every kind of map.

    Maps of low rank and of few entries for each unit (1, 4, 16 and 64, below the width) are learnt
    for the widest networks only.

    Args:
        nets: `(width, pair)` → two networks.
        task: Their task.
        epochs: How often a learnt map sees every image.
        seed: The seed of the order of samples.
        workers: The number of pairs at a time.
        progress: Whether to show a bar.

    Returns:
        One row for each pair, layer and map: `width`, `pair`, `layer`, `map`, `budget` (rank or
        entries), `penalty` and `accuracy` (shares of test images), `matched` (share of activations
        left unexplained), `entries` (non-zero ones for each unit).
    """
    widest = max(width for width, _ in nets)
    calls = [(*both, task, epochs, seed, width == widest) for (width, _), both in nets.items()]
    order = sorted(range(len(calls)), key=lambda i: -list(nets)[i][0])  # the longest ones first
    options = {"workers": workers, "label": "stitching", "progress": progress}
    found = dict(side_by_side(_stitch_pair, [calls[i] for i in order], **options))
    tables = {
        key: found[order.index(i)].assign(width=key[0], pair=key[1]) for i, key in enumerate(nets)
    }
    return pd.concat(tables.values(), ignore_index=True)


def _stitch_pair(
    first: SmallNet, second: SmallNet, task: Task, epochs: int, seed: int, budgets: bool
) -> pd.DataFrame:
    """The rows of `stitch_pairs` for one pair; `budgets` adds the maps of low rank, few entries."""
    rows = []
    for layer in HIDDEN:
        seam = Seam(first, second, layer, task, epochs=epochs, seed=seed)
        maps = {
            ("identity", 1): seam.identity(),
            ("assignment", 1): seam.matched(),
            ("G_ReLU", 1): seam.learnt(),
            ("full", first.width): seam.full(),
        }
        if budgets:
            for k in (4**e for e in range(4) if 4**e < first.width):
                maps |= {("rank", k): seam.reduced_rank(k), ("sparse", k): seam.sparse(k)}
        rows += [
            {
                "layer": layer,
                "map": kind,
                "budget": budget,
                "penalty": joined.penalty,
                "matched": joined.matched,
                "entries": joined.entries,
                "accuracy": joined.accuracy,
            }
            for (kind, budget), joined in maps.items()
        ]
    return pd.DataFrame(rows)


def sinkhorn(logits: Tensor, rounds: int = 10) -> Tensor:
    """A doubly stochastic matrix: rows and columns of `exp(logits)` are normalised in turn."""
    for _ in range(rounds):
        logits = logits - logits.logsumexp(1, keepdim=True)
        logits = logits - logits.logsumexp(0, keepdim=True)
    return logits.exp()


def _lasso(gram: np.ndarray, product: np.ndarray, most: int) -> np.ndarray:
    """The units that the lasso takes last before they are more than `most`."""
    if np.abs(product).max() < 1e-9:  # a dead unit
        return np.zeros(0, int)
    _, _, path = lars_path_gram(
        Xy=product.copy(),
        Gram=gram.copy(order="F"),
        n_samples=1,
        method="lasso",
        max_iter=4 * most,
    )
    counts = (path != 0).sum(0)
    over = np.flatnonzero(counts > most)
    last = over[0] - 1 if len(over) else path.shape[1] - 1
    return np.flatnonzero(path[:, last])


def _member(order: np.ndarray, scale: np.ndarray) -> Tensor:
    """The matrix that takes unit `order[i]` times `scale[i]` to unit `i`."""
    return torch.eye(len(order))[order] * torch.from_numpy(np.asarray(scale)).float()[:, None]


def _mapped(a: Tensor, M: Tensor) -> Tensor:
    return F.conv2d(a, M[:, :, None, None])


def _mapped_rows(a: Tensor, M: Tensor) -> Tensor:
    return as_rows(a) @ M.T
