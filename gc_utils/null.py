"""Features without symmetry, as smooth as those of a dictionary: what looks symmetric by chance.

A smooth feature resembles itself after a small turn, and one with a large invariant part after any:
neither is a symmetry. A *null feature* takes its part in every irreducible representation from
another feature of the dictionary, turned at random. It has the dictionary's frequencies and
channels, but no relation between its parts: if they agree on a symmetry, they do so by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
import torch

from gc_utils.errors import UserError
from gc_utils.families import check_blocks, orbit_similarity, unit_features
from gc_utils.groups import Group, Subgroup
from gc_utils.symmetry import autocorrelation, symmetry_report

BEYOND_DOUBT = 0.9  # ρ of features that no null feature is made from
LEAST_POOL = 16  # features to make them from
SLACK = 0.05  # by which ρ may fall short of a feature's likeness to itself, learned again


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
    V, group = check_blocks(V, group)
    V = unit_features(V)
    V = V[V.flatten(1).norm(dim=1) > 0.5]
    if len(V) < 2:
        raise UserError(f"{len(V)} features with a norm: two are needed to mix their parts.")
    draw = torch.Generator().manual_seed(seed)
    made = torch.zeros(count, *V.shape[1:], dtype=V.dtype)
    table = group.table
    for projection in _projections(group).to(V):
        i = torch.randint(len(V), (count,), generator=draw)
        h = torch.randint(group.order, (count,), generator=draw)
        turned = V[i[:, None], table[:, h].T]
        made += torch.einsum("gh,nhc->ngc", projection, turned)
    return made


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
    """

    def __init__(
        self, V: torch.Tensor, group: Group | str, *, count: int = 2000, seed: int = 0
    ) -> None:
        V, self.group = check_blocks(V, group)
        rho = autocorrelation(V, self.group)
        beyond_doubt = torch.stack([v for k, v in self._best(rho).items() if k != "C1"]).amax(0)
        pool = V[(beyond_doubt < BEYOND_DOUBT) & (rho[:, 0] > 0)]
        if len(pool) < LEAST_POOL:  # nearly all are symmetric: nothing better is there
            pool = V
        drawn = null_features(pool, self.group, count, seed)
        self.least = {
            kind: np.sort(values.numpy())
            for kind, values in self._best(autocorrelation(drawn, self.group)).items()
        }

    def _best(self, rho: torch.Tensor) -> dict[str, torch.Tensor]:
        """By kind of subgroup, the least `ρ` on the best of that kind, `(m,)`."""
        kinds: dict[str, list[torch.Tensor]] = {}
        for subgroup in self.group.subgroups():
            least = rho[:, list(subgroup.elements)].amin(1).cpu()
            kinds.setdefault(kind_of(subgroup), []).append(least)
        return {kind: torch.stack(values, 1).amax(1) for kind, values in kinds.items()}

    def thresholds(self, rate: float = 0.05) -> torch.Tensor:
        """For every subgroup, the least `ρ` that a share `rate` of null features reach on one of
        its kind, `(subgroups,)`; 0 for the trivial one.

        Raises:
            UserError: for a rate that so few null features cannot tell, or out of range.
        """
        count = len(next(iter(self.least.values())))
        if not 1 / count <= rate < 1:
            raise UserError(f"rate {rate}: expected from 1/{count} (one null feature) to 1.")
        reached = {k: np.quantile(v, 1 - rate, method="higher") for k, v in self.least.items()}
        return torch.tensor(
            [0.0 if s.order == 1 else reached[kind_of(s)] for s in self.group.subgroups()],
            dtype=torch.float64,
        )

    def p_values(self, kinds: Sequence[str], least: Sequence[float]) -> np.ndarray:
        """How often a null feature is as symmetric on some subgroup of the kind, `(m,)`.

        Args:
            kinds: of the stabilisers found, with or without axis; `"C1"` has a p-value of 1.
            least: the features' least `ρ` on them.
        """
        found = []
        for kind, value in zip(kinds, least, strict=True):
            null = self.least.get(str(kind).split("@")[0], np.array([]))
            above = len(null) - np.searchsorted(null, value, side="left")
            found.append(1.0 if kind in (None, "C1") else (1 + above) / (1 + len(null)))
        return np.array(found)


def reproducibility(
    V: torch.Tensor, group: Group | str, replicates: Iterable[torch.Tensor]
) -> torch.Tensor:
    """Cosine of every feature with the nearest of other dictionaries of the same data, `(m,)`.

    Up to the group, the mean over the dictionaries. A feature learned twice differs from itself by
    what training adds; a symmetric feature differs by as much from itself, turned. So `ρ` on its
    stabiliser is to be expected near this, not near 1.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        replicates: blocks of the other dictionaries, `(m', |G|, C)` each.
    """
    V, group = check_blocks(V, group)
    near = [orbit_similarity(V, group, other=other.detach()).amax(1) for other in replicates]
    if not near:
        raise UserError("no other dictionary: reproducibility needs one at least.")
    return torch.stack(near).mean(0)


def calibrated_report(
    V: torch.Tensor,
    group: Group | str,
    *,
    replicates: Iterable[torch.Tensor] = (),
    rate: float = 0.05,
    least: float = 0.7,
    labels: Sequence | None = None,
    null: SymmetryNull | None = None,
) -> pd.DataFrame:
    """`symmetry_report` with thresholds that have a reason, and what each name is worth.

    A feature has the largest symmetry on which its `ρ` is (1) more than a share `rate` of null
    features reach on any subgroup of that kind, (2) at least `least`, for a resemblance beyond
    chance may still be small, and (3) no less than the feature resembles itself in other
    dictionaries, up to `SLACK`.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        replicates: blocks of other dictionaries of the same data; without any, (3) is left out.
        rate: false-positive rate of each kind of stabiliser.
        least: see (2).
        labels: as for `symmetry_report`.
        null: the null distribution, if it has been drawn.

    Returns:
        The table of `symmetry_report` with the columns `p_value` (of the stabiliser named, 1 for
        none), and with replicates `reproducibility`.
    """
    V, group = check_blocks(V, group)
    null = null or SymmetryNull(V, group)
    thresholds = null.thresholds(rate).clamp_min(least).expand(len(V), -1)
    replicates = list(replicates)
    if replicates:
        again = reproducibility(V, group, replicates)
        thresholds = torch.maximum(thresholds, again.double()[:, None].cpu() - SLACK)
    report = symmetry_report(V, group, thresholds.clamp_max(1 - 1e-6), labels)
    report["p_value"] = null.p_values(report.stabiliser, report.stabiliser_rho)
    if replicates:
        report["reproducibility"] = again.cpu().numpy()
    return report


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
    near = orbit_similarity(V, group, other=null_features(V, group, count, seed))
    return float(1 - np.quantile(near.cpu().numpy(), 1 - rate))
