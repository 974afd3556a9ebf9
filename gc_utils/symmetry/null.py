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

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from gc_utils.errors import UserError
from gc_utils.families.distance import check_blocks, orbit_similarity, unit_features
from gc_utils.groups import Group, Subgroup
from gc_utils.symmetry.spectra import autocorrelation

BEYOND_DOUBT = 0.9  # ρ of features that no null feature is made from
LEAST_POOL = 16  # features to make them from


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
    return _null_features(V, group, count, seed)[0]


def _null_features(
    V: torch.Tensor, group: Group | str, count: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Also which features, of those with a norm, the parts are from, `(count, irreps)`."""
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


def kind_of(subgroup: Subgroup) -> str:
    """A subgroup's name without its axis: conjugates have the same."""
    return subgroup.name.split("@")[0]


class SymmetryNull:
    """How symmetric null features look, subgroup by subgroup.

    Features that are symmetric beyond doubt (`ρ` of 0.9 and more on some subgroup) are left out of
    those that null features are made from.

    Args:
        V: transform blocks of a dictionary, `(m, |G|, C)`.
        group: the group, or its name.
        count: null features to draw.
        seed: of the draw.

    Attributes:
        least: by the kind of subgroup (`"C2"`, `"D1"`, `"G"`), for every null feature the least
            `ρ` on the best subgroup of that kind, sorted, `(count,)`.
        rarest: for every null feature, the smallest share of null features that are as symmetric as
            it is on some subgroup of a kind, over all kinds, sorted, `(count,)`: a feature is tried
            on many subgroups, and one of them fits best by chance.
    """

    def __init__(
        self, V: torch.Tensor, group: Group | str, *, count: int = 2000, seed: int = 0
    ) -> None:
        V, self.group = check_blocks(V, group)
        rho = autocorrelation(V, self.group)
        best = [v for k, v in self._best(rho).items() if k != "C1"]
        beyond_doubt = torch.stack(best).amax(0) if best else torch.zeros(len(V))
        pool = V[(beyond_doubt < BEYOND_DOUBT) & (rho[:, 0] > 0)]
        if len(pool) < LEAST_POOL:  # nearly all are symmetric: nothing better is there
            pool = V
        drawn = null_features(pool, self.group, count, seed)
        best = self._best(autocorrelation(drawn, self.group))
        self.least = {kind: np.sort(values.numpy()) for kind, values in best.items()}
        alone = [self._alone(kind, values.numpy()) for kind, values in best.items() if kind != "C1"]
        self.rarest = np.sort(np.min(alone or [np.ones(count)], 0))

    def _best(self, rho: torch.Tensor) -> dict[str, torch.Tensor]:
        """By kind of subgroup, the least `ρ` on the best of that kind, `(m,)`."""
        kinds: dict[str, list[torch.Tensor]] = {}
        for subgroup in self.group.subgroups():
            least = rho[:, list(subgroup.elements)].amin(1).cpu()
            kinds.setdefault(kind_of(subgroup), []).append(least)
        return {kind: torch.stack(values, 1).amax(1) for kind, values in kinds.items()}

    def _alone(self, kind: str, values: np.ndarray) -> np.ndarray:
        """The share of null features that are as symmetric on a subgroup of this kind."""
        null = self.least[kind]
        return (len(null) - np.searchsorted(null, values, side="left")) / len(null)

    def thresholds(self, rate: float = 0.05) -> torch.Tensor:
        """For every subgroup, the least `ρ` that counts, `(subgroups,)`; 0 for the trivial one.

        A share `rate` of null features reaches it on any subgroup at all; all kinds of subgroups
        are equally hard to reach.

        Raises:
            UserError: for a rate that this number of null features cannot resolve, or out of range.
        """
        count = len(self.rarest)
        if not 1 / count <= rate < 1:
            raise UserError(f"rate {rate}: expected from 1/{count} (one null feature) to 1.")
        level = float(np.quantile(self.rarest, rate, method="lower"))
        reached = {
            k: v[max(0, len(v) - max(1, round(level * len(v))))] for k, v in self.least.items()
        }
        return torch.tensor(
            [0.0 if s.order == 1 else reached[kind_of(s)] for s in self.group.subgroups()],
            dtype=torch.float64,
        )

    def p_values(self, kinds: Sequence[str], least: Sequence[float]) -> np.ndarray:
        """How often a null feature is as symmetric, on whatever subgroup suits it best, `(m,)`.

        Args:
            kinds: of the stabilisers found, with or without axis; `"C1"` has a p-value of 1.
            least: the features' least `ρ` on them.
        """
        found = []
        for kind, value in zip(kinds, least, strict=True):
            if kind in (None, "C1"):
                found.append(1.0)
                continue
            alone = self._alone(str(kind).split("@")[0], np.array(value))
            as_rare = np.searchsorted(self.rarest, alone, side="right")
            found.append((1 + as_rare) / (1 + len(self.rarest)))
        return np.array(found)


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
    null, donors = _null_features(V, group, count, seed)
    near = orbit_similarity(V, group, other=null).cpu()
    unrelated = torch.ones_like(near, dtype=torch.bool)
    unrelated.scatter_(0, donors.T, False)  # it holds a part of those
    near = near[unrelated].numpy()
    if not len(near):  # a dictionary so small that each null feature is made from all of it
        return 0.0
    return float(1 - np.quantile(near, 1 - rate))
