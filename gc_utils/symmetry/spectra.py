"""Profiles and spectra of transform blocks over the group."""

from __future__ import annotations

import math

import torch

from gc_utils.families.distance import as_group, check_blocks, unit_features
from gc_utils.groups import Group

FEATURES_AT_ONCE = 256  # 63 MB of float64 blocks for D32 and 480 channels


def above_zero(x: torch.Tensor) -> torch.Tensor:
    """`x` to divide by: not quite 0, so that 0 / 0 becomes 0."""
    return x.clamp_min(torch.finfo(x.dtype).tiny)


def block_profile(V: torch.Tensor) -> torch.Tensor:
    """Cosine of every block with the identity's, as a function of `g`.

    Args:
        V: transform blocks `(m, |G|, C)`.

    Returns:
        `(m, |G|)` in [-1, 1]; 0 where either block vanishes.
    """
    V = V.detach().double()
    unit = V / above_zero(V.norm(dim=-1, keepdim=True))
    return (unit * unit[:, :1]).sum(-1)


def norm_profile(V: torch.Tensor) -> torch.Tensor:
    """Norm of every block relative to the feature's mean over blocks.

    Args:
        V: transform blocks `(m, |G|, C)`.

    Returns:
        `(m, |G|)`, mean 1 over `g`; 0 for a feature without norm.
    """
    norms = V.detach().double().norm(dim=-1)
    return norms / above_zero(norms.mean(1, keepdim=True))


def autocorrelation(V: torch.Tensor, group: Group | str) -> torch.Tensor:
    """`ρ_i(h) = <V_i, R_h V_i> / |V_i|²` (group conventions).

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.

    Returns:
        `(m, |G|)`, float64, at most 1, exactly 1 at the identity; 0 for a feature without norm.

    Raises:
        UserError: if the shapes do not fit or a block is not finite.
    """
    V, group = check_blocks(V, group)
    table = group.table.to(V.device)
    rho = [torch.zeros(0, group.order, dtype=torch.float64, device=V.device)]
    for some in V.split(FEATURES_AT_ONCE):
        some = unit_features(some.double())
        products = some @ some.transpose(1, 2)  # <V[g], V[g']>
        rho.append(products.gather(2, table.expand(len(some), -1, -1)).sum(1))  # g' = g·h
    rho = torch.cat(rho)
    return (rho / above_zero(rho[:, :1])).clamp(-1, 1)


# --- spectra -------------------------------------------------------------------------------------


def irrep_spectrum(V: torch.Tensor, group: Group | str) -> torch.Tensor:
    """Share of every feature's power in each real irrep under right translation.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.

    Returns:
        `(m, number of irreps)`, float64, columns as in `group.irreps()`, rows summing to 1; all 0
        for a feature without norm. It is the same for `R_h V` as for `V`.
    """
    return irrep_shares(autocorrelation(V, group), as_group(group))


def irrep_shares(rho: torch.Tensor, group: Group) -> torch.Tensor:
    weights = [irrep.characters * irrep.dim / irrep.endomorphism for irrep in group.irreps()]
    weights = torch.stack(weights, 1).to(rho.device)
    return (rho @ weights / group.order).clamp_min(0)


def frequency_spectrum(V: torch.Tensor, group: Group | str) -> torch.Tensor:
    """Share of every feature's power at each angular frequency.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.

    Returns:
        `(m, n // 2 + 1)`, float64: the irrep spectrum summed over the irreps of one frequency.
        Features that repeat after 180° have even frequencies only, polar ones odd frequencies.
    """
    return frequency_shares(irrep_spectrum(V, group), as_group(group))


def frequency_shares(shares: torch.Tensor, group: Group) -> torch.Tensor:
    out = shares.new_zeros(len(shares), group.n // 2 + 1)
    frequencies = torch.tensor([irrep.frequency for irrep in group.irreps()], device=out.device)
    return out.index_add_(1, frequencies, shares)


def invariance(V: torch.Tensor, group: Group | str) -> torch.Tensor:
    """Invariance index: share of power in the trivial irrep, `(m,)` in [0, 1]."""
    return irrep_spectrum(V, group)[:, 0]


def chirality(V: torch.Tensor, group: Group | str) -> torch.Tensor:
    """`1 - max ρ` over the mirrors, `(m,)`: 0 for a feature that is its own mirror image.

    NaN for a group without mirrors, and for a feature without norm.
    """
    return chirality_of(autocorrelation(V, group), as_group(group))


def chirality_of(rho: torch.Tensor, group: Group) -> torch.Tensor:
    if not group.dihedral:
        return torch.full((len(rho),), math.nan, dtype=rho.dtype, device=rho.device)
    return torch.where(rho[:, 0] > 0, 1 - rho[:, group.n :].amax(1), math.nan)
