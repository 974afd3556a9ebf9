"""Transform blocks for a dictionary that has none, by regressing orbits on its codes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gc_utils import linear
from gc_utils.errors import UserError

# --- the competitors -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Moments:
    """Sums over samples of codes `f (m,)` and orbit activations `A (|G|, C)`, all float64.

    Attributes:
        count: number of samples.
        f: `Σ f`, `(m,)`.
        ff: `Σ f fᵀ`, `(m, m)`.
        A: `Σ A`, `(|G|, C)`.
        fA: `Σ f A`, `(m, |G|, C)`.
    """

    count: int
    f: torch.Tensor
    ff: torch.Tensor
    A: torch.Tensor
    fA: torch.Tensor


def code_moments(codes: torch.Tensor, A: torch.Tensor, *, chunk: int = 1024) -> Moments:
    """First and second moments of codes and orbit activations, without loading all of `A`.

    Args:
        codes: `(N, m)`.
        A: orbit activations `(N, |G|, C)`, anything that can be sliced (a zarr array too).
        chunk: samples at a time.

    Raises:
        UserError: if the numbers of samples differ, are zero, or a value is not finite.
    """
    if len(codes) != len(A) or len(codes) == 0:
        raise UserError(f"{len(codes)} codes for {len(A)} orbits: expected one a sample, not none.")
    f_sum = ff = A_sum = fA = 0
    for start in range(0, len(codes), chunk):
        f = torch.as_tensor(codes[start : start + chunk]).detach().float()
        a = torch.as_tensor(A[start : start + chunk]).detach().float()
        a, shape = a.flatten(1), a.shape[1:]
        f_sum = f_sum + f.sum(0).double()
        ff = ff + (f.T @ f).double()
        A_sum = A_sum + a.sum(0).double()
        fA = fA + (f.T @ a).double()
    if not (ff.isfinite().all() and fA.isfinite().all()):
        raise UserError("codes or orbit activations are not finite; expected finite numbers.")
    return Moments(len(codes), f_sum, ff, A_sum.view(shape), fA.view(-1, *shape))


def blocks_by_regression(
    codes: torch.Tensor, A: torch.Tensor, *, ridge: float = 1e-3, chunk: int = 1024
) -> torch.Tensor:
    """Transform blocks for a dictionary that has none: regress `A[g]` on its codes.

    Ridge regression with an intercept: minimises `Σ_n |A[n] - a - Σ_i f_ni V_i|² + λ Σ_i |V_i|²`
    with `λ` = `ridge` × the mean over features of `Σ_n (f_ni - mean f_i)²`.

    Args:
        codes: `(N, m)` of a sparse autoencoder that saw the identity element only.
        A: orbit activations `(N, |G|, C)` of the same samples; only sliced, never loaded whole.
        ridge: strength of the penalty, at least 0.
        chunk: samples at a time.

    Returns:
        Blocks `(m, |G|, C)`, float32; zero for a feature whose code never varies.

    Raises:
        UserError: if `ridge` is negative or the samples do not fit.
    """
    if not ridge >= 0:
        raise UserError(f"ridge {ridge} is negative: expected 0 or more.")
    moments = code_moments(codes, A, chunk=chunk)
    mean = moments.f / moments.count
    ff = moments.ff - moments.count * torch.outer(mean, mean)
    fA = moments.fA.flatten(1) - torch.outer(mean, moments.A.flatten())
    live = ff.diagonal() > 1e-9 * moments.ff.diagonal()  # what is left of a constant is rounding
    V = torch.zeros_like(fA)
    if live.any():
        V[live] = linear.ridge(ff[live][:, live], fA[live], ridge)
    return V.view(moments.fA.shape).float()
