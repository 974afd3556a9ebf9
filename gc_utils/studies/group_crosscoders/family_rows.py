"""Notebook 03: families as rows of patches, rotated so that a family looks like one thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from gc_utils.activations import ActivationStore
from gc_utils.activations.store import PLANTED
from gc_utils.errors import UserError
from gc_utils.families import orbit_distance
from gc_utils.families.clusters import Clusters
from gc_utils.families.labels import OTHER
from gc_utils.groups import Group
from gc_utils.inspection import rotate_patch, top_samples
from gc_utils.studies.group_crosscoders.families import family_numbers

AT_ONCE = 16  # orbits of crops in memory
Views = Callable[[Sequence[int], Sequence[int]], np.ndarray]


class FamilyRow(NamedTuple):
    """One family as figures show it.

    Attributes:
        number: of the family.
        size: features in it.
        label: the commonest label of its members.
        share: of the members that have it.
        members: features shown, the family's medoid first, then the nearest to it.
        patches: the strongest patch of each, under the element that maps the feature to the
            medoid, uint8 `(len(members), S, S, 3)`.
    """

    number: int
    size: int
    label: str
    share: float
    members: list[int]
    patches: np.ndarray


def patch_views(store: ActivationStore) -> Views:
    """Patches of a store under group elements, cut from its images again where these are there.

    Args:
        store: the store; of planted orbits, which have no images, patches stay as they are.

    Returns:
        A function of rows and elements, `(k,)` each, that gives uint8 `(k, S, S, 3)`.
    """
    planted = store.settings["model"] == PLANTED
    try:
        images = None if planted else store.images()
    except UserError:  # the images are elsewhere: the patches were kept
        images = None
    patches, g = store.patches, store.group

    def views(rows: Sequence[int], elements: Sequence[int]) -> np.ndarray:
        found = np.zeros((len(rows), *patches.shape[1:]), np.uint8)
        for start in range(0, len(rows), AT_ONCE):
            at = range(start, min(start + AT_ONCE, len(rows)))
            if images is not None:
                crops = store.crops(np.array([rows[k] for k in at]), images)
                for k, orbit in zip(at, crops, strict=True):
                    view = (255 * orbit[elements[k]]).round().byte()
                    found[k] = view.permute(1, 2, 0).numpy()
                continue
            for k in at:
                patch = patches[rows[k]]
                found[k] = patch if planted else rotate_patch(patch, g, int(elements[k]))
        return found

    return views


def family_rows(
    families: Clusters,
    V: torch.Tensor,
    group: Group,
    labels: pd.Series,
    codes: torch.Tensor,
    views: Views,
    *,
    numbers: Sequence[int] | None = None,
    photograph: np.ndarray | None = None,
    each: int = 8,
) -> list[FamilyRow]:
    """Families, each with the strongest patches of its most typical members, all alike oriented.

    Where `V_m = R_h V_i`, what excites feature `i` excites feature `m` under `h`. So the patches of
    a family's members are shown under the element that maps each member to the family's medoid, the
    member nearest to the others in the mean.

    Args:
        families: of `m` features.
        V: transform blocks `(m, |G|, C)`.
        group: the group.
        labels: `(m,)`, one a feature.
        codes: `(N, m)`.
        views: from `patch_views`.
        numbers: of the families; the twelve largest if None.
        photograph: `(N,)`; of a member's four strongest patches, from different photographs, the
            first is shown that no other member shows.
        each: members shown of each at most; members that never fire are passed over.

    Returns:
        The families that have a member to show, in the order of `numbers`.
    """
    chosen = family_numbers(families)[:12] if numbers is None else numbers
    codes, rows = codes.detach().cpu().numpy(), []
    for number in chosen:
        members = np.flatnonzero(families.labels == number)
        D, element = orbit_distance(V[members], group, return_element=True)
        medoid = int(D.mean(1).argmin())
        D[medoid, medoid] = -1  # the first, before copies of it
        shown: dict[int, tuple[int, int]] = {}  # feature -> sample, element
        for k in D[medoid].argsort(stable=True).tolist():
            top = top_samples(codes[:, members[k]], 4, photograph)
            if len(top) and len(shown) < each:
                used = {row for row, _ in shown.values()}
                row = next((int(n) for n in top if n not in used), int(top[0]))
                shown[int(members[k])] = row, int(element[medoid, k])
        if shown:
            patches = views(*map(list, zip(*shown.values(), strict=True)))
            share = labels.iloc[members].value_counts(normalize=True)
            kind = str(share.index[0])
            rows.append(
                FamilyRow(number, len(members), kind, float(share.iloc[0]), list(shown), patches)
            )
    return rows


def unlabelled_families(families: Clusters, labels: pd.Series, most: int = 8) -> list[int]:
    """Numbers of the largest families whose members mostly respond to no kind of stimulus.

    Args:
        families: of `m` features.
        labels: `(m,)`, one a feature.
        most: families at most.
    """
    other = (labels == OTHER).to_numpy()
    return [n for n in family_numbers(families) if other[families.labels == n].mean() > 0.5][:most]


def strips(rows: list[FamilyRow], *, most: int = 6, each: int = 5) -> dict:
    """The first few families as `figures.embedding` takes them.

    Args:
        rows: from `family_rows`.
        most: families at most.
        each: members of each at most.
    """
    return {
        f"{row.number} · {row.label}": (row.members[:each], row.patches[:each])
        for row in rows[:most]
    }


def titled(rows: list[FamilyRow]) -> list[tuple[str, str, list[int], np.ndarray]]:
    """The families as `figures.family_rows` takes them.

    Args:
        rows: from `family_rows`.
    """
    return [
        (f"family {r.number}", f"{r.size} features\n{r.share:.0%} {r.label}", r.members, r.patches)
        for r in rows
    ]
