"""Notebook 03: how well crosscoders and their competitors separate labels (claim GC2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from gc_utils.activations import ActivationStore
from gc_utils.activations.orbits import Orbits, orbits_of
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.families import blocks_by_regression, cosine_distance, orbit_distance, separation
from gc_utils.groups import Group, translate
from gc_utils.studies.group_crosscoders.families import REFINED, Labels, find_families
from gc_utils.studies.group_crosscoders.folds import ENCODERS, dictionaries, merged
from gc_utils.symmetry import unrelated_cut

SAE = "SAE, cosine"
SAE_BLOCKS = "SAE blocks, orbit distance"
# The scores that decide GC2, and what they are called in its reason.
JUDGED = {
    "silhouette": "silhouette",
    "knn_gain": "neighbours' purity",
    "adjusted_mutual_information": "mutual information",
}
SHOWN = ("silhouette", "knn_purity", "knn_chance", "adjusted_rand", "adjusted_mutual_information")


def crosscoder(encoder: str) -> str:
    """What crosscoders with this encoder are called in the tables, under the orbit distance."""
    return f"{encoder} encoder, orbit distance"


def plain(encoder: str) -> str:
    """What they are called under the cosine distance."""
    return f"{encoder} encoder, cosine"


@dataclass(frozen=True)
class _Translated:
    """Orbits that each start at another element, a slice at a time."""

    orbits: Orbits
    group: Group
    start: torch.Tensor

    def __len__(self) -> int:
        return len(self.orbits)

    def __getitem__(self, rows: slice) -> torch.Tensor:
        return translate(self.orbits[rows].float(), self.group, self.start[rows])


@dataclass(frozen=True)
class _Codes:
    """An autoencoder's codes of the first view of each orbit, a slice at a time."""

    autoencoder: GroupCrosscoder
    orbits: _Translated

    def __len__(self) -> int:
        return len(self.orbits)

    def __getitem__(self, rows: slice) -> torch.Tensor:
        return self.autoencoder.encode(self.orbits[rows][:, :1])


def regressed_blocks(
    autoencoder: GroupCrosscoder, orbits: Orbits, group: Group, seed: int
) -> torch.Tensor:
    """Transform blocks for an autoencoder, from orbits that each start at a random element.

    Args:
        autoencoder: with `k` features, of single views.
        orbits: `(N, |G|, C)`, in memory or on disk.
        group: their group.
        seed: of the elements.

    Returns:
        Blocks `(k, |G|, C)`.
    """
    draw = torch.Generator().manual_seed(seed)
    start = torch.randint(group.order, (len(orbits),), generator=draw)
    moved = _Translated(orbits, group, start)
    with torch.no_grad():
        return blocks_by_regression(_Codes(autoencoder, moved), moved)


def competitor_scores(
    folder: Path,
    labels: Labels,
    store: ActivationStore,
    *,
    rate: float,
    seed: int,
) -> pd.DataFrame:
    """Separation of labelled features by crosscoders and autoencoders, in every fold that has both.

    Like is compared with like: raw dictionaries with raw ones, refined with refined ones. Each
    distance has families of its own, by average linkage at the cut that a share `rate` of unrelated
    pairs come under by that distance: for the cosine distance of blocks the null features are those
    of the orbit distance, for an autoencoder they mix coordinates along principal directions (see
    `unrelated_cut`).

    Args:
        folder: where the dictionaries lie, `checkpoints` of the run folder.
        labels: from `families.label_dictionaries`.
        store: the orbits; blocks are regressed without the fold left out.
        rate: see above.
        seed: of null features.

    Returns:
        One row a competitor, state and fold: `competitor`, `state`, `fold`, `cut`, the numbers of
        `families.separation`, and `knn_gain`, purity less chance.

    Raises:
        UserError: no fold has both crosscoders and an autoencoder.
    """
    rows: list[dict] = []
    group = store.group
    for state in dict.fromkeys(state for *_, state in labels):
        trained = {n: {k for m, k, s in labels if (m, s) == (n, state)} for n in (*ENCODERS, "sae")}
        both = sorted(set.intersection(*trained.values()))
        if not both:
            raise UserError(
                f"no fold has crosscoders of both encoders and an autoencoder in {str(folder)!r}. "
                "Run the notebook 02_train with the same run_dir first."
            )
        for name in trained:
            found = dictionaries(folder, name, refined=state == REFINED)
            for number in both:
                if name == "sae":
                    inside = merged(store.fold, max(found) + 1) != number
                    orbits = orbits_of(store, np.flatnonzero(inside))
                    compared = _of_autoencoder(found[number], orbits, group, number)
                else:
                    compared = _of_crosscoder(found[number], name, group)
                here = {"state": state, "fold": number}
                for one in compared:
                    rows.append(here | _separation(one, labels[name, number, state], rate, seed))
    scores = pd.DataFrame(rows).drop(columns=["reasons", "silhouette_embedding"])
    return scores.assign(knn_gain=scores.knn_purity - scores.knn_chance)


class _Compared(NamedTuple):
    """A dictionary under a distance; `tied` are its families if they were given."""

    competitor: str
    V: torch.Tensor
    group: Group
    cosine: bool = False
    tied: torch.Tensor | None = None


def _of_crosscoder(coder: GroupCrosscoder, encoder: str, group: Group) -> list[_Compared]:
    V = coder.V.detach()
    return [
        _Compared(crosscoder(encoder), V, group, tied=coder.family),
        _Compared(plain(encoder), V, group, cosine=True),
    ]


def _of_autoencoder(
    coder: GroupCrosscoder, orbits: torch.Tensor, group: Group, number: int
) -> list[_Compared]:
    blocks = regressed_blocks(coder, orbits, group, number)
    return [
        _Compared(SAE, coder.V.detach(), coder.group, cosine=True),
        _Compared(SAE_BLOCKS, blocks, group),
    ]


def _separation(one: _Compared, labels: pd.Series, rate: float, seed: int) -> dict:
    D = cosine_distance(one.V) if one.cosine else orbit_distance(one.V, one.group)
    cut = unrelated_cut(one.V, one.group, rate=rate, seed=seed, cosine=one.cosine)
    families = find_families(D, one.tied, cut).labels
    return {"competitor": one.competitor, "cut": cut} | separation(D, labels, clusters=families)


def leads(scores: pd.DataFrame) -> pd.DataFrame:
    """By how much crosscoders lead their competitors, raw against raw and refined against refined.

    Args:
        scores: from `competitor_scores`.

    Returns:
        One row a comparison: `encoder`, `state`, `fold`, `competitor` (the same crosscoder's blocks
        without the maximum over the group, and the two of the autoencoder), and the lead in every
        score judged.
    """
    rows = []
    for (state, fold), here in scores.groupby(["state", "fold"], sort=False):
        by = here.set_index("competitor")[list(JUDGED)]
        for encoder in ENCODERS:
            own = by.loc[crosscoder(encoder)]
            rows += [
                {"encoder": encoder, "state": state, "fold": fold, "competitor": other}
                | (own - by.loc[other]).to_dict()
                for other in (plain(encoder), SAE, SAE_BLOCKS)
            ]
    return pd.DataFrame(rows)


def folds_won(scores: pd.DataFrame) -> pd.DataFrame:
    """In how many folds a crosscoder leads a competitor in all of the scores judged.

    Args:
        scores: from `competitor_scores`.

    Returns:
        One row an encoder and state, one column a competitor, `"3 of 4"`.
    """
    table = leads(scores)
    table["competitor"] = table.competitor.where(
        table.competitor.isin([SAE, SAE_BLOCKS]), "own blocks, cosine"
    )
    table["won"] = (table[list(JUDGED)] > 0).all(axis=1)
    won = table.groupby(["encoder", "state", "competitor"], sort=False).won
    return won.agg(lambda w: f"{w.sum()} of {len(w)}").unstack()


def scores_shown(scores: pd.DataFrame) -> pd.DataFrame:
    """Means over folds, raw and refined side by side, one row a competitor.

    Args:
        scores: from `competitor_scores`.
    """
    mean = scores.groupby(["competitor", "state"], sort=False)[list(SHOWN)].mean()
    order = [(name, state) for name in SHOWN for state in dict.fromkeys(scores.state)]
    return mean.unstack()[order].loc[list(dict.fromkeys(scores.competitor))].round(3)
