"""Notebook 03: families of features, and how well labels match them (claim GC1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.special import xlogy
from sklearn.metrics import adjusted_mutual_info_score

from gc_utils.families import cluster, given_families, linked, orbit_distance
from gc_utils.families.clusters import Clusters
from gc_utils.families.labels import OTHER
from gc_utils.groups import Group
from gc_utils.inspection import label_crosscoder
from gc_utils.inspection.responses import StimulusOrbits
from gc_utils.studies.group_crosscoders.folds import ENCODERS, dictionaries
from gc_utils.symmetry import unrelated_cut

LINKAGE = "average linkage"
HDBSCAN = "HDBSCAN"
TIED = "as tied"
RAW, REFINED = "raw", "refined"
Labels = Mapping[tuple[str, int, str], pd.Series]  # by encoder or "sae", fold left out, state


def find_families(
    D: torch.Tensor | np.ndarray, family: torch.Tensor | None, cut: float
) -> Clusters:
    """Families of a crosscoder: those it was tied by, else average linkage at a cut.

    Args:
        D: distances `(m, m)`.
        family: the families of a tied crosscoder, int `(m,)`; None for an untied one.
        cut: the largest mean distance between two parts of a family, from `unrelated_cut`.
    """
    return linked(D, cut) if family is None else given_families(family)


def family_numbers(families: Clusters) -> list[int]:
    """Numbers of the families with two members or more, largest first."""
    return [int(n) for n in np.flatnonzero(np.bincount(families.labels) > 1)]


def families_counted(families: Clusters) -> str:
    """How many features lie in how many families, so that it cannot be read as one family.

    Args:
        families: of `m` features.
    """
    sizes = np.bincount(families.labels)
    many, features = sizes[sizes > 1], len(families.labels)
    if not len(many):
        return f"none of {features} features lies in a family"
    if len(many) == 1:
        return f"{many[0]} of {features} features lie in a family, the only one"
    return (
        f"{many.sum()} of {features} features lie in one of {len(many)} families, the largest of "
        f"{many.max()}"
    )


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
        f"{100 * agree:.0f} % keep it: "
        + ("labels hardly depend" if agree >= 0.9 else "many labels depend")
        + " on that choice."
    )


def states(folder: Path) -> tuple[str, ...]:
    """Which states of its dictionaries 02 has left: raw ones, and refined ones if there are any.

    Args:
        folder: where they lie, `checkpoints` of the run folder.
    """
    refined = any(
        path.stem.rpartition("_")[2].isdigit() for path in folder.glob("refined_*.safetensors")
    )
    return (RAW, REFINED) if refined else (RAW,)


def label_dictionaries(
    folder: Path, stimuli: StimulusOrbits, usual: torch.Tensor, *, ratio: float
) -> dict[tuple[str, int, str], pd.Series]:
    """Labels of the features of every dictionary that notebook 02 has trained.

    Args:
        folder: where they lie, `checkpoints` of the run folder.
        stimuli: what the features are named after.
        usual: orbit activations that say how strongly a feature usually fires, `(n, |G|, C)`.
        ratio: a label needs a response that many times that to any other kind.

    Returns:
        By encoder ("sae" for the autoencoders), fold left out and state, labels `(m,)`.

    Raises:
        UserError: there are no dictionaries of some encoder.
    """
    return {
        (name, number, state): label_crosscoder(coder, stimuli, usual, ratio=ratio).label
        for state in states(folder)
        for name in (*ENCODERS, "sae")
        for number, coder in dictionaries(folder, name, refined=state == REFINED).items()
    }


# ------------------------------------------------------------------------------------- GC1's match


@dataclass(frozen=True)
class LabelMatch:
    """How well families match labels.

    Attributes:
        families: families with two members or more.
        largest: features in the largest family.
        in_family: features that belong to a family.
        features: all features.
        labelled: features with a label.
        purity: share of labelled features in a family that have its commonest label, 0 where there
            are none.
        purity_shuffled: the mean of the same for labels shuffled among these features, so that
            families keep their sizes.
        purity_p: how often shuffled labels are as pure.
        together: share of the pairs of features with the same label that share a family.
        together_by_chance: share of all pairs of labelled features that do.
        information: adjusted mutual information of labels and families over labelled features, NaN
            with fewer than two kinds of labels.
        information_p: how often labels shuffled among the labelled features share as much; 1 where
            the information is undefined.
    """

    families: int
    largest: int
    in_family: int
    features: int
    labelled: int
    purity: float
    purity_shuffled: float
    purity_p: float
    together: float
    together_by_chance: float
    information: float
    information_p: float


def label_match(
    families: Clusters, labels: pd.Series, *, seed: int, shuffles: int = 999
) -> LabelMatch:
    """Compare families with labels, and with shuffled labels.

    Args:
        families: of `m` features.
        labels: `(m,)`, one a feature, "other" for none.
        seed: of the shuffles.
        shuffles: how many.
    """
    names = labels.to_numpy()
    labelled = names != OTHER
    kinds, found = pd.factorize(names[labelled])
    of, numbers = pd.factorize(families.labels[labelled])
    inside = ~families.noise[labelled]
    rng = np.random.default_rng(seed)

    def table(of: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        """Features by family and kind."""
        width = max(1, len(found))
        return np.bincount(of * width + kinds, minlength=len(numbers) * width).reshape(-1, width)

    def as_much(statistic, of, kinds) -> tuple[float, np.ndarray]:
        """The statistic of the table, and of those of shuffled kinds."""
        drawn = [statistic(table(of, rng.permutation(kinds))) for _ in range(shuffles)]
        return statistic(table(of, kinds)), np.array(drawn)

    information, information_p = float("nan"), 1.0
    if 2 <= len(found) < len(kinds):  # as in `families.separation`
        information = float(adjusted_mutual_info_score(kinds, of))
        # Shuffling keeps both margins, and the information grows with this sum.
        own, drawn = as_much(lambda t: xlogy(t, t).sum(), of, kinds)
        information_p = _share_as_high(own, drawn)
    purity, shuffled, purity_p = 0.0, 0.0, 1.0
    if inside.any():
        own, drawn = as_much(lambda t: t.max(1).sum(), of[inside], kinds[inside])
        purity, shuffled = own / inside.sum(), drawn.mean() / inside.sum()
        purity_p = _share_as_high(own, drawn)
    cells = table(of, kinds) if len(kinds) else np.zeros((1, 1))
    pairs = [_pairs(cells), _pairs(cells.sum(0)), _pairs(cells.sum(1)), _pairs(cells.sum())]
    sizes = np.bincount(families.labels)
    return LabelMatch(
        families=len(family_numbers(families)),
        largest=int(sizes.max()),
        in_family=int((~families.noise).sum()),
        features=len(names),
        labelled=int(labelled.sum()),
        purity=float(purity),
        purity_shuffled=float(shuffled),
        purity_p=purity_p,
        together=pairs[0] / max(1.0, pairs[1]),
        together_by_chance=pairs[2] / max(1.0, pairs[3]),
        information=information,
        information_p=information_p,
    )


def _share_as_high(own: float, drawn: np.ndarray) -> float:
    return float((1 + (drawn >= own - 1e-9).sum()) / (1 + len(drawn)))


def _pairs(counts: np.ndarray) -> float:
    return float((counts * (counts - 1) / 2).sum())


def families_by_fold(
    folder: Path, labels: Labels, group: Group, *, rate: float, seed: int
) -> pd.DataFrame:
    """Families of every crosscoder of notebook 02, refined where it was, and how labels match them.

    Args:
        folder: where the dictionaries lie.
        labels: from `label_dictionaries`.
        group: of the crosscoders.
        rate: share of unrelated pairs that come nearer than the cut.
        seed: of null features and shuffles.

    Returns:
        One row an encoder, fold and method (`LINKAGE` and, for comparison, `HDBSCAN`; `TIED` alone
        for tied crosscoders): the columns `encoder`, `fold`, `method`, `cut` and those of
        `LabelMatch`.
    """
    rows = []
    state = states(folder)[-1]
    for encoder in ENCODERS:
        for number, coder in dictionaries(folder, encoder, refined=state == REFINED).items():
            D = orbit_distance(coder.V, group)
            cut = unrelated_cut(coder.V, group, rate=rate, seed=seed)
            found = {LINKAGE: linked(D, cut), HDBSCAN: cluster(D)}
            if coder.family is not None:
                found = {TIED: given_families(coder.family)}
            for method, families in found.items():
                match = label_match(families, labels[encoder, number, state], seed=seed)
                row = {"encoder": encoder, "fold": number, "method": method, "cut": cut}
                rows.append(row | asdict(match))
    return pd.DataFrame(rows)


def methods_compared(by_fold: pd.DataFrame) -> pd.DataFrame:
    """The families of every dictionary by method, for a reader.

    Args:
        by_fold: from `families_by_fold`.

    Returns:
        One row an encoder and fold; for every method the largest family, the number of families,
        the features in one and the adjusted mutual information with the labels.
    """
    columns = {
        "largest": "largest family",
        "families": "families",
        "in_family": "features in one",
        "information": "adjusted MI",
    }
    table = by_fold.pivot(index=["encoder", "fold"], columns="method", values=list(columns))
    methods = list(dict.fromkeys(by_fold.method))
    order = [(name, method) for method in methods for name in columns]
    table = table[order].rename(columns=columns, level=0).swaplevel(axis=1)
    counts = [name for name in table if name[1] != columns["information"]]
    return table.astype(dict.fromkeys(counts, int)).round(3)


# -------------------------------------------------------------------------------- where they end


def beyond_chance(families: Clusters, D: torch.Tensor | np.ndarray, cut: float) -> str:
    """What the families are, and how they compare with the distance of unrelated features.

    Args:
        families: of `m` features.
        D: distances `(m, m)`.
        cut: the distance that few pairs of unrelated features come below, from `unrelated_cut`.

    Returns:
        Sentences, one a line.
    """
    near = np.asarray(D) < cut
    same = families.labels[:, None] == families.labels[None]
    pairs = same & ~np.eye(len(near), dtype=bool)
    counts = families_counted(families)
    lines = [f"{counts[0].upper()}{counts[1:]}.", f"Unrelated features begin at {cut:.2f}."]
    if pairs.any():
        lines.append(f"Nearer than that are {near[pairs].mean():.0%} of the pairs within families")
        lines[-1] += f", and {near[~same].mean():.1%} across." if (~same).any() else "."
        within, across = near[pairs].mean(), near[~same].mean() if (~same).any() else 0.0
        lines.append(
            "So members are mostly nearer to each other than unrelated features are, and features "
            "of different families seldom are."
            if within > 0.5 > 2 * across
            else "So these families say little: members are hardly nearer than other features are."
        )
    elif (~same).any():
        lines.append(f"Nearer than that are {near[~same].mean():.1%} of the pairs across families.")
    return "\n".join(lines)
