"""How the variance of orbit activations divides between invariant and orientation part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gc_utils.groups import Group


@dataclass(frozen=True)
class Variance:
    """How the variance of orbit activations divides between invariant and orientation parts.

    Attributes:
        invariant_share: variance of the orbit mean over all variance, one number.
        per_channel: the same for every channel, `(C,)`.
        mean_over_sd: `‖μ‖ / ‖σ‖`: how far the data are from being centred.
        frequencies: share of the orientation part's power at angular frequency `0 … n/2` over the
            rotations, `(n//2 + 1,)`; frequency 0 is what mirrors alone change.
    """

    invariant_share: float
    per_channel: np.ndarray
    mean_over_sd: float
    frequencies: np.ndarray


def variance(A: torch.Tensor, g: Group) -> Variance:
    """Divide the variance of orbit activations by what rotation explains.

    Args:
        A: orbit activations `(N, |G|, C)`.
        g: their group.
    """
    A = A.float()
    mean = A.mean((0, 1))
    centred = A - mean
    invariant = centred.mean(1)
    total, inv = centred.square().mean((0, 1)), invariant.square().mean(0)
    oriented = centred - invariant[:, None]
    rotations = oriented.reshape(len(A), -1, g.n, A.shape[2])  # (N, 1 or 2, n, C)
    power = torch.fft.rfft(rotations, dim=2).abs().square().sum((0, 1, 3))
    if g.n % 2 == 0:
        power[1:-1] *= 2
    else:
        power[1:] *= 2
    return Variance(
        invariant_share=float(inv.sum() / total.sum()),
        per_channel=(inv / total.clamp_min(1e-12)).numpy(),
        mean_over_sd=float(mean.norm() / total.sum().sqrt()),
        frequencies=(power / power.sum().clamp_min(1e-12)).numpy(),
    )
