"""Notebook 03: families of features, how they are shown, and how well labels match them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import adjusted_mutual_info_score

from gc_utils.families import cluster, given_families, linked
from gc_utils.families.clusters import Clusters
from gc_utils.families.labels import OTHER
from gc_utils.inspection import top_patches


def find_families(
    D: torch.Tensor | np.ndarray, family: torch.Tensor | None, min_cluster_size: int
) -> Clusters:
    """Families of a crosscoder: those it was tied by, else clusters under a distance.

    Args:
        D: distances `(m, m)`.
        family: the families of a tied crosscoder, int `(m,)`; None for an untied one.
        min_cluster_size: fewest features in a cluster.
    """
    if family is None:
        return cluster(D, min_cluster_size=min_cluster_size)
    return given_families(family)


# ------------------------------------------------------------------------------------------ labels


def label_agreement(labels: pd.Series, others: pd.Series) -> str:
    """How many features have a label, and how many keep it under another measure of contrast.

    Args:
        labels: `(m,)`, one a feature, "other" for none.
        others: the same under the other measure.

    Returns:
        A sentence.
    """
    named = labels != OTHER
    both = named & (others != OTHER)
    text = f"{int(named.sum())} of {len(labels)} features have a label; "
    if not both.any():
        return text + "none has one under both measures of contrast."
    agree = float((labels == others)[both].mean())
    return text + (
        f"of {int(both.sum())} that have one under both measures of contrast, "
        f"{100 * agree:.0f} % keep it."
    )


# ------------------------------------------------------------------------------------------ images


class FamilyRow(NamedTuple):
    """One family as figures show it.

    Attributes:
        number: of the family.
        size: features in it.
        label: the commonest label of its members.
        members: features shown, the most typical first.
        patches: the strongest patch of each, uint8 `(len(members), S, S, 3)`.
    """

    number: int
    size: int
    label: str
    members: list[int]
    patches: np.ndarray


def largest_families(
    families: Clusters,
    D: torch.Tensor | np.ndarray,
    labels: pd.Series,
    codes: torch.Tensor,
    patches: np.ndarray,
    *,
    most: int = 12,
    each: int = 8,
) -> list[FamilyRow]:
    """The largest families, each with the strongest patches of its most typical members.

    Args:
        families: of `m` features.
        D: distances `(m, m)`; a typical member is near to the others in the mean.
        labels: `(m,)`, one a feature.
        codes: `(N, m)`.
        patches: uint8 `(N, S, S, 3)`.
        most: families at most.
        each: members shown of each at most; members that never fire are passed over.

    Returns:
        The families that have a member to show, largest first.
    """
    D, rows = np.asarray(D), []
    for number in family_numbers(families)[:most]:
        members = np.flatnonzero(families.labels == number)
        typical = members[np.argsort(D[members][:, members].mean(1), kind="stable")]
        found = [(int(i), top_patches(codes, patches, int(i), 1)) for i in typical]
        shown = [(i, patch[0]) for i, patch in found if len(patch)][:each]
        if shown:
            features, images = zip(*shown, strict=True)
            common = str(labels.iloc[members].mode().iloc[0])
            rows.append(FamilyRow(number, len(members), common, list(features), np.stack(images)))
    return rows


def family_numbers(families: Clusters) -> list[int]:
    """Numbers of the families with two members or more, largest first."""
    return [int(n) for n in np.flatnonzero(np.bincount(families.labels) > 1)]


def strips(rows: list[FamilyRow], *, most: int = 6, each: int = 5) -> dict:
    """The first few families as `figures.embedding` takes them.

    Args:
        rows: from `largest_families`.
        most: families at most.
        each: members of each at most.
    """
    return {
        f"{row.number} · {row.label}": (row.members[:each], row.patches[:each])
        for row in rows[:most]
    }


def titled(rows: list[FamilyRow]) -> list[tuple[str, list[int], np.ndarray]]:
    """The families as `figures.family_rows` takes them.

    Args:
        rows: from `largest_families`.
    """
    return [
        (f"family {row.number} · {row.size} features · {row.label}", row.members, row.patches)
        for row in rows
    ]


# -------------------------------------------------------------------------------- where they end


def beyond_chance(families: Clusters, D: torch.Tensor | np.ndarray, cut: float) -> str:
    """How families compare with a distance nearer than which few unrelated features come.

    Args:
        families: of `m` features.
        D: distances `(m, m)`.
        cut: the distance that one pair of unrelated features in a hundred comes below.

    Returns:
        Sentences, one a line.
    """
    near = np.asarray(D) < cut
    same = families.labels[:, None] == families.labels[None]
    pairs = same & ~np.eye(len(near), dtype=bool)
    by_cut = linked(D, cut)
    lines = [f"Unrelated features come nearer than {cut:.2f} in one pair of a hundred."]
    if pairs.any():
        lines.append(f"Nearer than that are {near[pairs].mean():.0%} of the pairs within families")
        lines[-1] += f", and {near[~same].mean():.1%} across." if (~same).any() else "."
    elif (~same).any():
        lines.append(f"Nearer than that are {near[~same].mean():.1%} of the pairs across families.")
    together = adjusted_mutual_info_score(families.labels, by_cut.labels)
    lines.append(
        f"Average linkage cut there finds {by_cut.labels.max() + 1} families, of which "
        f"{len(family_numbers(by_cut))} have two members or more; adjusted mutual information "
        f"with those above is {together:.2f}."
    )
    return "\n".join(lines)


# ------------------------------------------------------------------------------------- GC1's match


@dataclass(frozen=True)
class LabelMatch:
    """How well families match labels.

    Attributes:
        families: families with two members or more.
        in_family: features that belong to a family.
        features: all features.
        labelled: features with a label.
        information: adjusted mutual information of labels and families over labelled features,
            NaN with fewer than two kinds of labels.
        p: how often labels dealt out anew among the labelled features share as much; 1 where the
            information is undefined.
        purity: share of labelled features in a family that have its commonest label.
        base: the same if all were one family.
    """

    families: int
    in_family: int
    features: int
    labelled: int
    information: float
    p: float
    purity: float
    base: float


def label_match(
    families: Clusters, labels: pd.Series, *, seed: int, shuffles: int = 200
) -> LabelMatch:
    """Compare families with labels, and with labels dealt out anew.

    Args:
        families: of `m` features.
        labels: `(m,)`, one a feature, "other" for none.
        seed: of the shuffles.
        shuffles: how many.
    """
    names = labels.to_numpy()
    labelled = names != OTHER
    kinds, of = names[labelled], families.labels[labelled]
    information, p = float("nan"), 1.0
    if 2 <= len(set(kinds)) < len(kinds):  # as in `families.separation`
        information = float(adjusted_mutual_info_score(kinds, of))
        rng = np.random.default_rng(seed)
        chance = [adjusted_mutual_info_score(rng.permutation(kinds), of) for _ in range(shuffles)]
        p = float((1 + np.sum(np.array(chance) >= information)) / (1 + shuffles))
    here = ~families.noise & labelled
    inside = pd.Series(names[here])
    commonest = inside.groupby(families.labels[here]).agg(lambda s: s.value_counts().iloc[0])
    return LabelMatch(
        families=len(family_numbers(families)),
        in_family=int((~families.noise).sum()),
        features=len(names),
        labelled=int(labelled.sum()),
        information=information,
        p=p,
        purity=float(commonest.sum() / max(1, len(inside))),
        base=float(inside.value_counts(normalize=True).max()) if len(inside) else 0.0,
    )
