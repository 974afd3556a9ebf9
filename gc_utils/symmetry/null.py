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
from gc_utils.families.distance import as_group, check_blocks, orbit_similarity, unit_features
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
        UserError: if the shapes do not fit, or no feature has a norm.
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
        The features `(count, |G|, C)` and the donors `(count, parts)`.
    """
    V, group = check_blocks(V, group)
    V = unit_features(V)
    V = V[V.flatten(1).norm(dim=1) > 0.5]
    if not len(V):
        raise UserError(
            "no feature has a norm: this dictionary holds nothing. Train it for more steps, or on "
            "activations that vary."
        )
    draw = torch.Generator().manual_seed(seed)
    if group.order == 1:
        return _null_vectors(V[:, 0], count, draw)
    made = torch.zeros(count, *V.shape[1:], dtype=V.dtype)
    table, donors = group.table, []
    for projection in _projections(group).to(V):
        i = torch.randint(len(V), (count,), generator=draw)
        h = torch.randint(group.order, (count,), generator=draw)
        made += torch.einsum("gh,nhc->ngc", projection, V[i[:, None], table[:, h].T])
        donors.append(i)
    return made, torch.stack(donors, 1)


def _null_vectors(
    W: torch.Tensor, count: int, draw: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Null features of the trivial group, whose one irreducible representation has no parts to mix.

    The parts are the coordinates along the principal directions of the unit vectors `W (m, C)`
    about the origin: a null vector has the dictionary's mean, channels and spectrum, and what
    relates the coordinates of a feature to each other is lost (as in Horn's parallel analysis).
    """
    directions = torch.linalg.svd(W.double(), full_matrices=False).Vh
    coordinates = W.double() @ directions.T
    i = torch.randint(len(W), (count, len(directions)), generator=draw).to(W.device)
    mixed = coordinates.gather(0, i) @ directions
    return mixed[:, None].to(W.dtype), i


def unrelated_cut(
    V: torch.Tensor,
    group: Group | str,
    *,
    rate: float = 0.01,
    count: int = 500,
    seed: int = 0,
    cosine: bool = False,
) -> float:
    """The orbit distance that a share `rate` of unrelated pairs stays under.

    Unrelated: a feature and a null feature, which has the dictionary's spectrum and channels. Of
    the trivial group, a sparse autoencoder's, null features mix coordinates along principal
    directions: with parts by irreducible representations each would be a feature of the dictionary
    again, and the cut a quantile of the very distances that are to be cut.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        rate: false-positive rate of a pair.
        count: null features to draw.
        seed: of the draw.
        cosine: the same for the cosine distance, without the maximum over the group.

    Returns:
        The distance; 0 for a dictionary so small that null features have a part of every feature,
        and for one without any feature that has a norm.
    """
    V, group = check_blocks(V, group)
    V = V[V.flatten(1).norm(dim=1) > 0]
    if not len(V):
        return 0.0
    null, donors = draw_null(V, group, count, seed)
    if cosine:
        V, null, group = V.flatten(1)[:, None], null.flatten(1)[:, None], as_group("C1")
    near = orbit_similarity(V, group, other=null).cpu()
    unrelated = torch.ones_like(near, dtype=torch.bool)
    unrelated.scatter_(0, donors.T, False)  # it holds a part of those
    near = near[unrelated].numpy()
    if not len(near):  # a dictionary so small that each null feature is made from all of it
        return 0.0
    return float(1 - np.quantile(near, 1 - rate))
