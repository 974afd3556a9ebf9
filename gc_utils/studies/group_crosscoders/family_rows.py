"""Notebook 03: families as rows of patches, rotated so that a family looks like one thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from gc_utils import figures
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
        label: the commonest label of its members that have one; "other" if none has.
        share: of the members with a label that have it; 0 if none has a label.
        members: features shown, the family's medoid first, then the nearest to it.
        patches: the strongest patch of each, under the element that maps the feature to the
            medoid, uint8 `(len(members), S, S, 3)`.
        labelled: members with a label.
        everyone: all members, in the order of their distance from the medoid.
        spread: largest distance of a member from the medoid.
        means: mean edge strength of the strongest patches, as they are and under the elements,
            `(2, S, S)`; None without.
    """

    number: int
    size: int
    label: str
    share: float
    members: list[int]
    patches: np.ndarray
    labelled: int = 0
    everyone: Sequence[int] = ()
    spread: float = 0.0
    means: np.ndarray | None = None


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
    patches: np.ndarray | None = None,
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
        patches: of all samples, uint8 `(N, S, S, 3)`, for the means of the edge strength; without
            them rows have none.

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
        order = D[medoid].argsort(stable=True).tolist()
        shown: dict[int, tuple[int, int]] = {}  # feature -> sample, element
        strongest: list[tuple[int, int]] = []  # sample, element
        for k in order:
            top = top_samples(codes[:, members[k]], 4, photograph)
            strongest += [(int(n), int(element[medoid, k])) for n in top]
            if len(top) and len(shown) < each:
                used = {row for row, _ in shown.values()}
                row = next((int(n) for n in top if n not in used), int(top[0]))
                shown[int(members[k])] = row, int(element[medoid, k])
        if shown:
            seen = views(*map(list, zip(*shown.values(), strict=True)))
            named = labels.iloc[members][(labels.iloc[members] != OTHER).to_numpy()]
            share = named.value_counts(normalize=True)
            kind, part = (str(share.index[0]), float(share.iloc[0])) if len(share) else (OTHER, 0.0)
            everyone = [int(members[k]) for k in order]
            row = FamilyRow(number, len(members), kind, part, list(shown), seen, len(named))
            means = None if patches is None else mean_edges(patches, strongest, group)
            row = row._replace(everyone=everyone, spread=spread(D[medoid]), means=means)
            rows.append(row)
    return rows


def spread(distances: torch.Tensor) -> float:
    """The largest distance of a member from the medoid, from those of all members."""
    return max(0.0, float(distances.max()))


def near_families(families: Clusters, D: torch.Tensor | np.ndarray, cut: float) -> list[int]:
    """Families every member of which is nearer to the medoid than unrelated features are.

    Average linkage joins parts by their mean distance, so that a family may reach further.

    Args:
        families: of `m` features.
        D: distances `(m, m)`.
        cut: the distance that few pairs of unrelated features come below, from `unrelated_cut`.

    Returns:
        The numbers of these families, the largest family first.
    """
    D, near = torch.as_tensor(D), []
    for number in family_numbers(families):
        members = np.flatnonzero(families.labels == number)
        within = D[members][:, members]
        if spread(within[within.mean(1).argmin()]) < cut:
            near.append(number)
    return near


def near_sentence(near: Sequence[int], families: Clusters, cut: float) -> str:
    """How many families are shown as one thing, and how many are left out.

    Args:
        near: from `near_families`.
        families: of `m` features.
        cut: as there.

    Returns:
        A sentence.
    """
    count = len(family_numbers(families))
    if not count:
        return "There is no family of two features or more, so none is shown."
    left = count - len(near)
    return (
        f"In {len(near)} of {count} families every member is nearer than {cut:.2f} to the most "
        f"typical one: these may be shown as one thing. {left} reach further and are left out "
        "of the figures: their ends are no more alike than unrelated features are."
    )


def mean_edges(
    patches: np.ndarray, strongest: Sequence[tuple[int, int]], group: Group
) -> np.ndarray:
    """Mean edge strength of patches as they are, and with each under its element.

    What the patches have in common stays, and what is anyhow oriented becomes even. The size of the
    gradient is averaged, not the brightness: light on dark and dark on light would cancel.

    Args:
        patches: of all samples, uint8 `(N, S, S, 3)`.
        strongest: sample and element of each patch.
        group: of the elements.

    Returns:
        `(2, S, S)`, zero outside the disc that all rotations share.
    """
    rows, elements = map(list, zip(*strongest, strict=True))
    images = torch.from_numpy(patches[rows]).float().mean(-1)[:, None]
    size = images.shape[-1]
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    disc = x**2 + y**2 < (size / 2 - 1) ** 2
    flip = torch.diag(torch.tensor([1.0, -1.0]))  # image rows run downwards
    inverse = group.matrices[group.inverse[elements]].float()  # (g·x)(p) = x(g⁻¹ p)
    theta = torch.cat([flip @ inverse @ flip, torch.zeros(len(rows), 2, 1)], 2)
    grid = torch.nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    moved = torch.nn.functional.grid_sample(
        images, grid, padding_mode="border", align_corners=False
    )
    found = []
    for some in (images, moved):
        grey = some[:, 0].numpy()
        grey = grey / np.maximum(grey[:, disc].std(1), 1e-3)[:, None, None]
        found.append(np.hypot(*np.gradient(grey, axis=(1, 2))).mean(0) * disc)
    return np.stack(found)


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
        each: patches of each at most.
    """
    return {
        f"{row.number} · {described(row)}": (row.everyone or row.members, row.patches[:each])
        for row in rows[:most]
    }


def titled(rows: list[FamilyRow]) -> list[figures.FamilyStrip]:
    """The families as `figures.family_rows` takes them.

    Args:
        rows: from `family_rows`.
    """
    return [
        figures.FamilyStrip(
            f"family {r.number}",
            f"{r.size} features\n{described(r)}\nspread {r.spread:.2f}",
            r.members,
            r.patches,
            r.means,
        )
        for r in rows
    ]


def described(row: FamilyRow) -> str:
    """What most of a family's labelled members respond to, and how many of them there are."""
    if not row.labelled:
        return "no label"
    return f"{round(row.share * row.labelled)} of {row.labelled} labelled: {row.label}"
