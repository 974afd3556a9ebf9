"""How the variance of orbit activations divides between invariant and orientation part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gc_utils.activations.orbits import AT_ONCE, Orbits, mean_response
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


def variance(A: Orbits, g: Group) -> Variance:
    """Divide the variance of orbit activations by what rotation explains.

    Args:
        A: orbit activations `(N, |G|, C)`; those of a store are read a few at a time.
        g: their group.
    """
    mean = mean_response(A)
    count, _, channels = A.shape
    total, inv = torch.zeros(2, channels, dtype=torch.float64)
    power = torch.zeros(g.n // 2 + 1, dtype=torch.float64)
    for part in A.split(AT_ONCE):
        centred = part.float() - mean
        invariant = centred.mean(1)
        total += centred.square().mean(1).sum(0, dtype=torch.float64)
        inv += invariant.square().sum(0, dtype=torch.float64)
        oriented = centred - invariant[:, None]
        rotations = oriented.reshape(len(part), -1, g.n, channels)  # (n, 1 or 2, n, C)
        waves = torch.fft.rfft(rotations, dim=2).abs().square()
        power += waves.sum((0, 1, 3), dtype=torch.float64)
    total, inv = total / count, inv / count
    if g.n % 2 == 0:
        power[1:-1] *= 2
    else:
        power[1:] *= 2
    return Variance(
        invariant_share=float(inv.sum() / total.sum()),
        per_channel=(inv / total.clamp_min(1e-12)).float().numpy(),
        mean_over_sd=float(mean.norm() / total.sum().sqrt()),
        frequencies=(power / power.sum().clamp_min(1e-12)).float().numpy(),
    )
