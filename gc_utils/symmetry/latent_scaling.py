"""Blocks fitted again to the data: was a short block punished, or is it short?"""

from __future__ import annotations

import math

import torch

from gc_utils.errors import UserError
from gc_utils.families.regression import code_moments

# --- what the penalty did ------------------------------------------------------------------------


def refit_blocks(
    A: torch.Tensor,
    codes: torch.Tensor,
    V: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    chunk: int = 1024,
) -> torch.Tensor:
    """Every block refitted by least squares, alone, to what the other features leave.

    With `E = A - Σ_j f_j V_j - bias` the residual, block `V_i[g]` becomes
    `V_i[g] + Σ_n f_ni E_n[g] / Σ_n f_ni²`: what it would be without penalty, all else fixed.

    Args:
        A: orbit activations `(N, |G|, C)` in the units in which `codes @ V + bias` reconstructs
            them (of a crosscoder with its normalisation folded in, as stored); only sliced, never
            loaded whole.
        codes: `(N, m)`.
        V: transform blocks `(m, |G|, C)`.
        bias: decoder bias `(|G|, C)`, 0 if None.
        chunk: samples at a time.

    Returns:
        Blocks `(m, |G|, C)`, float64; those of a feature that never fires are NaN.
    """
    moments = code_moments(codes, A, chunk=chunk)
    V = V.detach().double()
    if moments.fA.shape != V.shape:
        raise UserError(
            f"blocks of shape {tuple(V.shape)} for codes and orbits that need "
            f"{tuple(moments.fA.shape)}."
        )
    correlation = moments.fA - (moments.ff @ V.flatten(1)).view_as(V)
    if bias is not None:
        correlation = correlation - moments.f[:, None, None] * bias.detach().double()
    power = moments.ff.diagonal()
    return V + correlation / torch.where(power > 0, power, math.nan)[:, None, None]


def latent_scaling(
    A: torch.Tensor,
    codes: torch.Tensor,
    V: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    chunk: int = 1024,
) -> torch.Tensor:
    """How far each block was shrunk: latent scaling, one number a feature and element.

    The least-squares scale of `f_i V_i[g]` on what the other features leave of `A[g]`:

        β_i[g] = Σ_n f_ni <V_i[g], A_n[g] - bias[g] - Σ_{j≠i} f_nj V_j[g]> / (Σ_n f_ni² |V_i[g]|²).

    1 where the block has the length that explains most; well above 1 where a penalty such as `l1`
    shrank it, so that its short norm is no sign of a blind orientation; near 0 where a block
    explains nothing. A block shrunk to exactly 0 has no direction to scale: see `refit_blocks`.

    Args:
        A: orbit activations `(N, |G|, C)`, see `refit_blocks`.
        codes: `(N, m)`.
        V: transform blocks `(m, |G|, C)`.
        bias: decoder bias `(|G|, C)`, 0 if None.
        chunk: samples at a time.

    Returns:
        `(m, |G|)`, float64; NaN for a vanishing block and a feature that never fires.
    """
    refitted = refit_blocks(A, codes, V, bias=bias, chunk=chunk)
    V = V.detach().double()
    power = V.square().sum(-1)
    return (V * refitted).sum(-1) / torch.where(power > 0, power, math.nan)
