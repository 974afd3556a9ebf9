"""Features without symmetry, as smooth as those of a dictionary: what looks symmetric by chance.

A smooth feature resembles itself after a small rotation, and one with a large invariant part after
any: neither is a symmetry. A *null feature* takes its part in every irreducible representation from
another feature of the dictionary, transformed at random. It has the dictionary's frequencies and
channels, but no relation between its parts: if they agree on a symmetry, they do so by chance.

What is stated relative to null features is relative to the dictionary's mean spectrum. A feature
whose own is unusual, with a larger invariant part than the others, passes more often (on chiral
features with invariant parts from 0 to 85 %, a fifth do at a stated rate of 5 %). A null with a
feature's own spectrum is no way out: to have even frequencies only is to repeat after 180 degrees.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from gc_utils.errors import UserError
from gc_utils.families.distance import check_blocks, orbit_similarity, unit_features
from gc_utils.groups import Group


@lru_cache
def _projections(g: Group) -> torch.Tensor:
    """Projections on the isotypic components under right translation, `(irreps, |G|, |G|)`."""
    found = torch.zeros(len(g.irreps()), g.order, g.order, dtype=torch.float64)
    for j, irrep in enumerate(g.irreps()):
        weight = irrep.characters * irrep.dim / irrep.endomorphism / g.order
        for h in range(g.order):
            found[j, torch.arange(g.order), g.table[:, h]] += weight[h]
    return found


def null_features(
    V: torch.Tensor, group: Group | str, count: int = 1000, seed: int = 0
) -> torch.Tensor:
    """Features with the dictionary's spectra and channels but no symmetry, `(count, |G|, C)`.

    Args:
        V: transform blocks `(m, |G|, C)`; features without norm are left out.
        group: the group, or its name.
        count: how many to draw.
        seed: of the draw.

    Raises:
        UserError: if the shapes do not fit, or fewer than two features have a norm.
    """
    return draw_null(V, group, count, seed)[0]


def draw_null(
    V: torch.Tensor, group: Group | str, count: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """As `null_features`; also which features, of those with a norm, the parts are from.

    Dictionaries of equally many features, all with a norm, get the same donors and elements.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        count: how many to draw.
        seed: of the draw.

    Returns:
        The features `(count, |G|, C)` and the donors `(count, irreps)`.
    """
    V, group = check_blocks(V, group)
    V = unit_features(V)
    V = V[V.flatten(1).norm(dim=1) > 0.5]
    if len(V) < 2:
        raise UserError(f"{len(V)} features with a norm: two are needed to mix their parts.")
    draw = torch.Generator().manual_seed(seed)
    made = torch.zeros(count, *V.shape[1:], dtype=V.dtype)
    table, donors = group.table, []
    for projection in _projections(group).to(V):
        i = torch.randint(len(V), (count,), generator=draw)
        h = torch.randint(group.order, (count,), generator=draw)
        made += torch.einsum("gh,nhc->ngc", projection, V[i[:, None], table[:, h].T])
        donors.append(i)
    return made, torch.stack(donors, 1)


def unrelated_cut(
    V: torch.Tensor, group: Group | str, *, rate: float = 0.01, count: int = 500, seed: int = 0
) -> float:
    """The orbit distance that a share `rate` of unrelated pairs stays under.

    Unrelated: a feature and a null feature, which has the dictionary's spectrum and channels.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        rate: false-positive rate of a pair.
        count: null features to draw.
        seed: of the draw.
    """
    V, group = check_blocks(V, group)
    V = V[V.flatten(1).norm(dim=1) > 0]
    null, donors = draw_null(V, group, count, seed)
    near = orbit_similarity(V, group, other=null).cpu()
    unrelated = torch.ones_like(near, dtype=torch.bool)
    unrelated.scatter_(0, donors.T, False)  # it holds a part of those
    near = near[unrelated].numpy()
    if not len(near):  # a dictionary so small that each null feature is made from all of it
        return 0.0
    return float(1 - np.quantile(near, 1 - rate))
