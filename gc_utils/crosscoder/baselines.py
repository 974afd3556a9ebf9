"""What a crosscoder must beat: PCA with as many components, ridge regression from one view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from gc_utils.activations.orbits import AT_ONCE, Orbits, mean_response
from gc_utils.crosscoder.metrics import Metrics, fvu
from gc_utils.groups import Group, translate
from gc_utils.linear import ridge


def pca_baseline(
    A: Orbits,
    held_out: Orbits,
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
    from sklearn.decomposition import PCA  # takes a second, which many processes can save

    draw = torch.Generator().manual_seed(seed)
    count = min(rows, translates * len(A))
    pick = torch.cat([torch.randperm(len(A), generator=draw) for _ in range(translates)])[:count]
    h = torch.randint(g.order, (count,), generator=draw)
    mean = mean_response(A)
    x = translate(A[pick].float() - mean, g, h).flatten(1)
    pca = PCA(components, svd_solver="auto", random_state=seed, copy=False).fit(x.numpy())
    basis = torch.from_numpy(pca.components_).to(x)

    def made(part: torch.Tensor) -> torch.Tensor:
        return ((part - mean).flatten(1) @ basis.T @ basis).view_as(part) + mean

    return replace(fvu(held_out, made, mean), l0=float(components))


def ridge_baseline(
    A: Orbits,
    held_out: Orbits,
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
    mean = mean_response(A)
    channels = len(mean)
    gram = torch.zeros(channels, channels, dtype=torch.float64)
    cross = torch.zeros(channels, g.order, channels, dtype=torch.float64)
    for part in A.split(AT_ONCE):
        x = part.float() - mean
        flat = x.flatten(0, 1)
        gram += flat.T @ flat
        # (R_h A)[g] = A[g·h] is to be predicted from (R_h A)[e] = A[h], over all samples and h.
        for e, back in enumerate(g.inverse.tolist()):
            if back >= e:
                product = flat.T @ x[:, g.table[e]].flatten(0, 1)
                cross[:, e] += product
                if back > e:  # the products of e and of its inverse are transposes
                    cross[:, back] += product.T
    found = []
    for penalty in penalties:
        weight = ridge(gram, cross.flatten(1), penalty)

        def made(part: torch.Tensor, weight: torch.Tensor = weight) -> torch.Tensor:
            return ((part[:, 0] - mean).double() @ weight).view_as(part).float() + mean

        found.append(fvu(held_out, made, mean))
    return min(found, key=lambda m: m.fvu_orientation)
