"""What a crosscoder must beat: PCA with as many components, ridge regression from one view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from sklearn.decomposition import PCA

from gc_utils.crosscoder.metrics import Metrics, fvu
from gc_utils.groups import Group, translate
from gc_utils.linear import ridge


def pca_baseline(
    A: torch.Tensor,
    held_out: torch.Tensor,
    g: Group,
    *,
    components: int,
    translates: int = 2,
    rows: int = 4096,
    seed: int = 0,
) -> Metrics:
    """Metrics of the first principal components of whole orbits, translates included.

    A dense code of `components` numbers that sees all views: what a sparse code of the same
    length must beat.

    Args:
        A: training orbits `(N, |G|, C)`.
        held_out: `(M, |G|, C)`.
        g: their group.
        components: number of principal components.
        translates: random translates of every orbit that the components are fitted to.
        rows: the most translates to fit in all.
        seed: of the translates.
    """
    draw = torch.Generator().manual_seed(seed)
    count = min(rows, translates * len(A))
    pick = torch.cat([torch.randperm(len(A), generator=draw) for _ in range(translates)])[:count]
    h = torch.randint(g.order, (count,), generator=draw)
    mean = A.float().mean((0, 1))
    x = translate(A[pick].float() - mean, g, h).flatten(1)
    pca = PCA(components, svd_solver="auto", random_state=seed).fit(x.numpy())
    basis = torch.from_numpy(pca.components_).to(x)
    test = (held_out.float() - mean).flatten(1)
    made = (test @ basis.T @ basis).view_as(held_out) + mean
    return replace(fvu(held_out, made, mean), l0=float(components))


def ridge_baseline(
    A: torch.Tensor,
    held_out: torch.Tensor,
    g: Group,
    penalties: Sequence[float] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
) -> Metrics:
    """Metrics of ridge regression of all views on the identity's, fitted on all translates.

    The linear map from what the identity encoder sees, without a bottleneck. The penalty (relative
    to the mean variance of a channel) is the best on the held-out data, to the baseline's favour.

    Args:
        A: training orbits `(N, |G|, C)`.
        held_out: `(M, |G|, C)`.
        g: their group.
        penalties: to choose from.
    """
    mean = A.float().mean((0, 1))
    x = A.float() - mean
    flat = x.flatten(0, 1)
    gram = (flat.T @ flat).double()
    # (R_h A)[g] = A[g·h] is to be predicted from (R_h A)[e] = A[h], over all samples and h.
    products: dict[int, torch.Tensor] = {}
    for e, back in enumerate(g.inverse.tolist()):
        other = products.get(back)  # the products of e and of its inverse are transposes
        products[e] = flat.T @ x[:, g.table[e]].flatten(0, 1) if other is None else other.T
    cross = torch.stack([products[e] for e in range(g.order)], 1).double()  # (C, |G|, C)
    seen = (held_out[:, 0].float() - mean).double()
    found = []
    for penalty in penalties:
        made = (seen @ ridge(gram, cross.flatten(1), penalty)).view_as(held_out).float() + mean
        found.append(fvu(held_out, made, mean))
    return min(found, key=lambda m: m.fvu_orientation)
