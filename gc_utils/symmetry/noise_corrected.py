"""The autocorrelation without the noise of training, from dictionaries that saw different data.

A learned feature is `V = S + e`: what the data ask for, and an error that another dictionary makes
differently. Training noise has no symmetry, so `ρ(h) = <V, R_h V> / |V|²` falls short by the share
of noise in `|V|²`, and a poorly trained dictionary makes every feature look less symmetric than a
good one does. A product of two dictionaries has no such share: with the counterpart `W = S + e'`,

    ρ_nc(h) = <V, R_h W> / <V, W>        symmetrised over h and h⁻¹

has numerator and denominator free of `|e|²` in the mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import combinations

import torch
from scipy.special import ndtri

from gc_utils.families.distance import check_blocks, orbit_similarity, unit_features
from gc_utils.groups import Group
from gc_utils.symmetry.null import unrelated_cut
from gc_utils.symmetry.spectra import FEATURES_AT_ONCE

MUTUAL = 0.05  # by which another feature may be nearer to the counterpart: siblings are as near
LEVEL = 0.95  # of the intervals
TIES = 2.0  # intervals by which an alignment may fall short of the best and be as good
MOST = 0.1  # but no more than this


@dataclass(frozen=True)
class NoiseCorrected:
    """The noise-corrected autocorrelation of every feature.

    Attributes:
        rho: `ρ_nc`, float64 `(m, |G|)`, exactly 1 at the identity; NaN for a feature without a
            counterpart. It is no cosine: noise may take it a little above 1.
        low: lower end of the 95 % interval, `(m, |G|)`.
        high: upper end, `(m, |G|)`.
        pairs: of dictionaries that have the feature, int64 `(m,)`; 0 without a counterpart.
        counterpart: mean over the replicates of the feature's counterparts, each transformed to lie
            upon it and of norm 1, `(m, |G|, C)`; 0 without a counterpart.
    """

    rho: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    pairs: torch.Tensor
    counterpart: torch.Tensor = field(repr=False)


def counterparts(
    V: torch.Tensor, other: torch.Tensor, group: Group | str, within: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every feature's counterpart in another dictionary, transformed to lie upon it.

    It is the nearest feature up to the group, if that is at least `within` similar and the feature
    is in turn the nearest to it, up to `MUTUAL`.

    Args:
        V: transform blocks `(m, |G|, C)`.
        other: those of the other dictionary, `(m', |G|, C)`.
        group: the group, or its name.
        within: least similarity, from 0 to 1.

    Returns:
        Blocks of unit norm `(m, |G|, C)`, zero without a counterpart; and whether there is one,
        bool `(m,)`.
    """
    V, group = check_blocks(V, group)
    other = torch.as_tensor(other).detach().to(V)
    if not len(other) or not len(V):
        return torch.zeros_like(V), torch.zeros(len(V), dtype=torch.bool, device=V.device)
    similarity, element = orbit_similarity(V, group, other=other, return_element=True)
    nearest, j = similarity.max(1)
    rivals = similarity.amax(0)[j]
    there = (nearest >= max(within, 1e-6)) & (nearest >= rivals - MUTUAL)
    h = element.gather(1, j[:, None])[:, 0]
    index = group.table.to(V.device)[:, h].T  # (R_h W)[g] = W[g·h]
    moved = unit_features(other)[j[:, None], index]
    return moved * there[:, None, None], there


def noise_corrected(
    V: torch.Tensor,
    replicates: Iterable[torch.Tensor],
    group: Group | str,
    *,
    within: float | None = None,
) -> NoiseCorrected:
    """The autocorrelation `ρ` of every feature, corrected for the noise of training.

    With several replicates numerator and denominator are means over all pairs of dictionaries that
    have the feature. What the dictionaries have in common, because they share data or because both
    miss the same thing, is not corrected, and no interval covers it.

    The counterpart is rotated to where it fits best. If several elements fit as well, up to the
    errors, as they do for a feature with a symmetry, then the largest of their products would be
    too large a denominator: it is their mean.

    The interval is of the signal's `ρ`, over the errors of training. For a pair of dictionaries,
    half the difference of the two raw autocorrelations is a sample of that error: for independent
    `e`, `e'` of equal covariance and `T = (R_h + R_h⁻¹) / 2 - ρ(h)`, `(<V, T V> - <W, T W>) / 2`
    varies as `<V, T W>` does. One sample a feature and element is too few, so the variance is taken
    as a function of noise and `ρ` with one factor, fitted to the whole dictionary. On planted
    features with noise of several kinds 80 to 99 % of intervals hold the truth (`tests`); they are
    too short for features with more noise than others of equal reproducibility.

    Args:
        V: transform blocks `(m, |G|, C)`.
        replicates: blocks of dictionaries that saw other data, `(m', |G|, C)` each.
        group: the group, or its name.
        within: least similarity of a counterpart; if None, what unrelated features reach in one
            dictionary of twenty (`unrelated_cut`).

    Returns:
        `ρ_nc` with its intervals.

    Raises:
        UserError: if the shapes do not fit or a block is not finite.

    Example:
        >>> T = torch.randn(40, 1, 16).expand(-1, 8, -1)  # invariant features
        >>> noisy = [T + 0.3 * torch.randn(40, 8, 16) for _ in range(2)]
        >>> noise_corrected(noisy[0], noisy[1:], "C8").rho.mean() > 0.95
        tensor(True)
    """
    V, group = check_blocks(V, group)
    if within is None:
        live = int((V.flatten(1).norm(dim=1) > 0).sum())
        within = 1 - unrelated_cut(V, group, rate=0.05 / live) if live > 1 else 1.0
    own = unit_features(V)
    found = [(own, own.flatten(1).norm(dim=1) > 0.5)]
    found += [counterparts(V, other, group, within) for other in replicates]
    m = len(V)
    top = torch.zeros(m, group.order, dtype=torch.float64)
    pairs = torch.zeros(m, dtype=torch.int64)
    for (x, has), (y, too) in combinations(found, 2):
        both = (has & too).cpu()
        top += torch.where(both[:, None], products(x, y, group), 0)
        pairs += both
    # Two replicates may have a pair of counterparts that have nothing in common.
    there = (pairs > 0) & (top[:, 0] > 0)
    pairs = pairs.where(there, 0)
    scale = torch.where(there, top[:, 0], torch.nan)[:, None]
    rho = top / scale
    likeness = (scale[:, 0] / pairs.clamp_min(1)).clamp(max=1)
    raw = [(products(x, x, group), has.cpu()[:, None]) for x, has in found]
    errors = [
        torch.where(has & too, (x - y) / (2 * likeness[:, None]), torch.nan)
        for (x, has), (y, too) in combinations(raw, 2)
    ]
    half = ndtri((1 + LEVEL) / 2) * _deviation(rho, likeness, pairs, errors, group)
    fits = rho >= 1 - (TIES * half).clamp(max=MOST)
    fits[:, 0] = True
    rho = rho * fits.sum(1, keepdim=True) / torch.where(fits, rho, 0).sum(1, keepdim=True)
    rho[:, 0] = torch.where(there, 1.0, torch.nan)
    half[:, 0] = torch.where(there, 0.0, torch.nan)
    others = sum((x for x, _ in found[1:]), torch.zeros_like(own))
    others = others / sum(has.long() for _, has in found).clamp_min(2).sub(1)[:, None, None]
    others = others * there.to(others.device)[:, None, None]
    return NoiseCorrected(rho, rho - half, rho + half, pairs, others)


def products(x: torch.Tensor, y: torch.Tensor, group: Group) -> torch.Tensor:
    """`<x_i, R_h y_i>`, mean over `h` and its inverse.

    Args:
        x: blocks `(m, |G|, C)`.
        y: others of the same shape.
        group: the group.

    Returns:
        Float64 `(m, |G|)`.
    """
    table = group.table.to(x.device)
    found = [torch.zeros(0, group.order, dtype=torch.float64, device=x.device)]
    for some, others in zip(x.split(FEATURES_AT_ONCE), y.split(FEATURES_AT_ONCE), strict=True):
        products = some.double() @ others.double().transpose(1, 2)
        found.append(products.gather(2, table.expand(len(some), -1, -1)).sum(1))
    c = torch.cat(found).cpu()
    return (c + c[:, group.inverse]) / 2


def _deviation(
    rho: torch.Tensor,
    likeness: torch.Tensor,
    pairs: torch.Tensor,
    errors: list[torch.Tensor],
    group: Group,
) -> torch.Tensor:
    """Standard error of `ρ_nc`, `(m, |G|)`.

    With `T = (R_h + R_h⁻¹) / 2 - ρ(h)` and errors `e` of unit signals `S`, `r = |e|²`, that of a
    pair is `<e, T S> + <e', T S> + <e, T e'>`. For errors that are the same in `d` directions its
    variance is `(2 r |T S|² + r² tr(T²) / d) / d`; `d` is fitted.
    """
    squared = group.table.diagonal()  # h²
    is_mirror = (squared == 0).double()[None]
    r = ((1 - likeness) / likeness).clamp_min(0)[:, None]
    first = 2 * r * ((1 + rho[:, squared]) / 2 - rho.square()).clamp_min(0)
    second = r.square() * (1 + is_mirror) / 2  # and that of the denominator, r² ρ²
    ratios = []
    for error in errors:
        known = error.isfinite() & rho.isfinite() & (first + second > 1e-12)
        known[:, 0] = False
        # One dictionary may be noisier than the other, which lowers all its raw values alike.
        shape = torch.where(known, rho, 0)
        along = torch.where(known, error * rho, 0).sum(1) / shape.square().sum(1).clamp_min(1e-12)
        rest = error - along[:, None] * rho
        ratios.append((rest.square() / (first + second))[known])
    ratios = torch.cat(ratios) if ratios else torch.zeros(0)
    if not len(ratios):
        return torch.full_like(rho, torch.nan)
    count = pairs.clamp_min(1)[:, None].double()
    dictionaries = (1 + (1 + 8 * count).sqrt()) / 2  # n of them have n (n - 1) / 2 pairs
    variance = first * 2 / dictionaries + (second + r.square() * rho.square()) / count
    return (ratios.mean() * variance).sqrt()
