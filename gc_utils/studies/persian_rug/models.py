"""Models with weights that were written down, not trained, and statistics of their rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.linalg import hadamard
from scipy.stats import kurtosis

from gc_utils.errors import UserError
from gc_utils.studies.persian_rug.closed_form import best_symmetric, channel_loss, entry_variance

# ------------------------------------------------------------------------------------- models


@dataclass(frozen=True)
class Rug:
    """A model `ReLU(W_out W_in x + b)`.

    Attributes:
        w_in: `(n_d, n_s)`.
        w_out: `(n_s, n_d)`.
        bias: `(n_s,)`.
    """

    w_in: torch.Tensor
    w_out: torch.Tensor
    bias: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Reconstructions of data `(N, n_s)`."""
        return torch.relu(x @ self.w_in.T @ self.w_out.T + self.bias)

    @property
    def W(self) -> torch.Tensor:
        """`W_out W_in`, `(n_s, n_s)`."""
        return self.w_out @ self.w_in


def sparse_data(
    samples: int, n_s: int, p: float, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Data `(samples, n_s)`: each entry 0 with probability `1 - p`, else uniform on [0, 1]."""
    value = torch.rand(samples, n_s, generator=generator)
    on = torch.rand(samples, n_s, generator=generator) < p
    return value * on


@torch.no_grad()
def monte_carlo(
    model: Callable[[torch.Tensor], torch.Tensor],
    n_s: int,
    p: float,
    *,
    samples: int = 20_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Loss of a model on fresh data, and its standard error (over samples)."""
    draw, losses = torch.Generator().manual_seed(seed), []
    batch = max(1, 4_000_000 // n_s)
    for start in range(0, samples, batch):
        x = sparse_data(min(batch, samples - start), n_s, p, draw)
        losses.append((x - model(x)).square().mean(1).double())
    loss = torch.cat(losses)
    return float(loss.mean()), float(loss.std() / len(loss) ** 0.5)


def _from_others(W: torch.Tensor, p: float) -> torch.Tensor:
    """What all other entries add to each pre-activation in the mean, `(n_s,)`."""
    return (W.sum(1) - W.diagonal()) * p / 2


def _shifted(w_in: torch.Tensor, w_out: torch.Tensor, b: float, p: float) -> Rug:
    """A model whose pre-activations have mean `b` where their own entry is 0."""
    return Rug(w_in, w_out, b - _from_others(w_out @ w_in, p))


def _projecting(rows: torch.Tensor, p: float) -> Rug:
    """The model with the best symmetric loss whose W projects on orthonormal rows `(n_d, n_s)`."""
    n_d, n_s = rows.shape
    best = best_symmetric(p, n_d / n_s)
    return _shifted(rows, rows.T * (best.a * n_s / n_d), best.b, p)


def check_units(n_s: int, n_d: int) -> None:
    if not 0 < n_d < n_s:
        raise UserError(f"{n_d} hidden units for {n_s} entries: expected fewer, and at least one.")


def hadamard_rug(n_s: int, n_d: int, p: float, *, seed: int | None = 0) -> Rug:
    """The artificial model: rows of a Hadamard matrix, scaled to the best symmetric loss.

    `W = (a / r) R^T R / n_s` is `a / r` times a projector, whose diagonal is exactly `a` and whose
    rows hold the same numbers in another order: `W[i, j]` depends on `i xor j`.

    Args:
        n_s: The number of entries, a power of two.
        n_d: The number of hidden units.
        p: The probability of an entry to be on.
        seed: The seed of the choice of rows; None takes the first `n_d`, in order.

    Returns:
        The model.

    Raises:
        UserError: `n_s` is no power of two, or `n_d` is not between 0 and `n_s`.
    """
    if n_s < 2 or n_s & (n_s - 1):
        raise UserError(f"{n_s} entries: Hadamard's matrices here have a power of two.")
    check_units(n_s, n_d)
    rows = np.arange(n_d)
    if seed is not None:
        rows = np.sort(np.random.default_rng(seed).choice(n_s, n_d, replace=False))
    R = torch.from_numpy(hadamard(n_s)[rows].astype(np.float32)) / n_s**0.5
    return _projecting(R, p)


def projector_rug(n_s: int, n_d: int, p: float, *, seed: int = 0) -> Rug:
    """A random projector in place of the Hadamard rows: symmetric on average only."""
    check_units(n_s, n_d)
    draw = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(n_s, n_d, generator=draw, dtype=torch.float64))[0].float()
    return _projecting(Q.T, p)


def antipodal_rug(n_s: int) -> Rug:
    """Pairs of entries that share a unit with opposite signs; `r = 1/2`, no bias."""
    if n_s % 2:
        raise UserError(f"{n_s} entries do not pair up.")
    w_in = torch.zeros(n_s // 2, n_s)
    unit = torch.arange(n_s // 2)
    w_in[unit, 2 * unit], w_in[unit, 2 * unit + 1] = 1.0, -1.0
    return Rug(w_in, w_in.T.clone(), torch.zeros(n_s))


def broken_rug(rug: Rug, amount: float, p: float, *, kind: str = "diagonal", seed: int = 0) -> Rug:
    """A rug whose statistical symmetry is broken by an amount.

    Args:
        rug: A symmetric model.
        amount: The standard deviation of the logarithm of the scales.
        p: The probability of an entry to be on; biases keep the pre-activations' mean.
        kind: "diagonal" scales every entry's row, so that diagonals differ; "spectrum" scales the
            hidden units, with the mean diagonal kept, so that the matrix is no projector.
        seed: The seed of the scales.

    Returns:
        The broken model.

    Raises:
        UserError: The kind is neither of the two.
    """
    draw = torch.Generator().manual_seed(seed)
    if kind not in ("diagonal", "spectrum"):
        raise UserError(f"unknown kind {kind!r}; choose diagonal or spectrum.")
    mean = float((rug.bias + _from_others(rug.W, p)).mean())
    count = len(rug.bias) if kind == "diagonal" else len(rug.w_in)
    scale = (amount * torch.randn(count, generator=draw)).exp()
    scale = scale / scale.mean()
    w_out = rug.w_out * (scale[:, None] if kind == "diagonal" else scale)
    return _shifted(rug.w_in, w_out, mean, p)


def row_statistics(rug: Rug, p: float) -> pd.DataFrame:
    """What the limit of many entries knows of a model, one row for each entry.

    Returns:
        `a`, the diagonal; `b`, mean of the pre-activation where the entry is 0; `noise`, standard
        deviation of what the others add.
    """
    W = rug.W.double()
    a = W.diagonal()
    return pd.DataFrame(
        {
            "a": a.numpy(),
            "b": (rug.bias + _from_others(W, p)).numpy(),
            "noise": ((W.square().sum(1) - a.square()) * entry_variance(p)).sqrt().numpy(),
        }
    )


def gaussian_loss(rug: Rug, p: float) -> float:
    """Loss if a model mattered through its row statistics only, and its noise were Gaussian."""
    rows = row_statistics(rug, p)
    a = np.where(np.abs(rows.a) < 1e-4, 1e-4, rows.a)
    return float(channel_loss(a, rows.b, np.maximum(rows.noise, 1e-4), p).mean())


def heaviness(rug: Rug) -> dict[str, float]:
    """How far a model is from symmetric: excess kurtosis off the diagonal, spread of the diagonal.

    Returns:
        `kurtosis` (0 for a Gaussian) and `diagonal_spread`, standard deviation over mean.
    """
    W = rug.W.numpy()
    off = W[~np.eye(len(W), dtype=bool)]
    a = W.diagonal()
    return {"kurtosis": float(kurtosis(off)), "diagonal_spread": float(a.std() / abs(a.mean()))}


def paired(rug: Rug, least: float = 0.5) -> float:
    """The share of entries that are in antipodal pairs: two that share a unit, signs opposed.

    The strength of a pair is `sqrt(W[i, j] W[j, i] / (W[i, i] W[j, j]))` where both weights between
    the two are negative, else 0. It is 1 if the pair has one hidden unit of its own, however the
    scale is split between the two; in a symmetric model it is at most a few times
    `sqrt((1/r - 1) / n_s)`.

    Args:
        rug: A model.
        least: The strength from which on two entries count as a pair.

    Returns:
        The share, from 0 to 1, of entries that are the strongest partner of their strongest
        partner, at that strength or more.
    """
    W = rug.W.detach().double().numpy()
    a = W.diagonal()
    opposed = (W < 0) & (W.T < 0) & (a > 0)[:, None] & (a > 0)
    scale = np.sqrt(np.where(opposed, np.outer(a, a), 1.0))
    strength = np.where(opposed, np.sqrt(np.abs(W * W.T)), 0.0) / scale
    np.fill_diagonal(strength, 0.0)
    partner = strength.argmax(1)
    mutual = partner[partner] == np.arange(len(W))
    return float((mutual & (strength.max(1) >= least)).mean())
