"""Notebook 03: how well a crosscoder and its competitors separate labelled features (claim GC2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.families import (
    blocks_by_regression,
    cluster,
    competitor_distances,
    embed,
    separation,
)
from gc_utils.groups import Group, translate
from gc_utils.inspection import label_crosscoder
from gc_utils.inspection.responses import StimulusOrbits

CROSSCODER = "crosscoder, orbit distance"
# The scores that decide GC2, and what they are called in its reason.
JUDGED = {
    "silhouette": "silhouette",
    "knn_gain": "neighbours' purity",
    "adjusted_mutual_information": "mutual information",
}
SHOWN = (
    "silhouette",
    "silhouette_embedding",
    "knn_purity",
    "knn_chance",
    "adjusted_rand",
    "adjusted_mutual_information",
)
Pair = tuple[int, GroupCrosscoder, GroupCrosscoder]  # seed, crosscoder, autoencoder


def read_pairs(folder: Path, encoder: str, seeds: int) -> list[Pair]:
    """The crosscoders and autoencoders that notebook 02 trained, fold `n` left out for seed `n`.

    Args:
        folder: where they lie.
        encoder: of the crosscoders.
        seeds: pairs at most; those that are not there are passed over.

    Raises:
        UserError: there is no pair.
    """
    pairs = []
    for number in range(seeds):
        paths = [
            folder / f"{name}_{number}.safetensors" for name in (f"crosscoder_{encoder}", "sae")
        ]
        if all(path.exists() for path in paths):
            pairs.append((number, *map(GroupCrosscoder.load, paths)))
    if not pairs:
        raise UserError(
            f"no crosscoder with its autoencoder among the first {seeds} seeds in "
            f"{str(folder)!r}. Run the notebook 02_train with the same run_dir first, and set "
            "seeds to 1 or more."
        )
    return pairs


def regressed_blocks(
    autoencoder: GroupCrosscoder, orbits: torch.Tensor, group: Group, seed: int
) -> torch.Tensor:
    """Transform blocks for an autoencoder, from orbits that each start at a random element.

    Args:
        autoencoder: with `k` features, of single views.
        orbits: `(N, |G|, C)`.
        group: their group.
        seed: of the elements.

    Returns:
        Blocks `(k, |G|, C)`.
    """
    draw = torch.Generator().manual_seed(seed)
    moved = translate(orbits, group, torch.randint(group.order, (len(orbits),), generator=draw))
    with torch.no_grad():
        return blocks_by_regression(autoencoder.encode(moved[:, :1]), moved)


def competitor_scores(
    pairs: Sequence[Pair],
    A: torch.Tensor,
    fold: np.ndarray,
    group: Group,
    stimuli: StimulusOrbits,
    usual: torch.Tensor,
    *,
    ratio: float,
    min_cluster_size: int,
) -> pd.DataFrame:
    """Separation of labelled features by the crosscoder and its three competitors, for each seed.

    Args:
        pairs: from `read_pairs`.
        A: orbit activations `(N, |G|, C)`.
        fold: of every sample, int `(N,)`; blocks are regressed without the fold of the seed.
        group: of the orbits.
        stimuli: what the features are named after.
        usual: orbit activations that say how strongly a feature usually fires, `(n, |G|, C)`.
        ratio: a label needs a response that many times that to any other kind.
        min_cluster_size: fewest features in a family.

    Returns:
        One row a competitor and seed: `competitor`, `seed`, the numbers of
        `families.separation`, and `knn_gain`, purity less chance.
    """
    rows = []
    for number, crosscoder, autoencoder in pairs:
        blocks = regressed_blocks(autoencoder, A[fold != number].float(), group, number)
        V, W = crosscoder.V.detach(), autoencoder.V.detach()
        labels = {
            name: label_crosscoder(one, stimuli, usual, ratio=ratio).label
            for name, one in {"crosscoder": crosscoder, "SAE": autoencoder}.items()
        }
        for name, distance in competitor_distances(V, group, sae=W, sae_blocks=blocks).items():
            found = separation(
                distance,
                labels[name.split()[0].strip(",")],
                embed(distance, number),
                clusters=cluster(distance, min_cluster_size=min_cluster_size).labels,
            )
            rows.append({"competitor": name, "seed": number} | found)
    scores = pd.DataFrame(rows).drop(columns="reasons")
    return scores.assign(knn_gain=scores.knn_purity - scores.knn_chance)


def seed_wins(scores: pd.DataFrame) -> dict[str, int]:
    """In how many seeds the crosscoder leads each competitor in all of the scores judged.

    Args:
        scores: from `competitor_scores`.
    """
    by_seed = scores.set_index(["competitor", "seed"])[list(JUDGED)]
    own = by_seed.loc[CROSSCODER]
    others = [name for name in dict.fromkeys(scores.competitor) if name != CROSSCODER]
    return {name: int((own - by_seed.loc[name] > 0).all(axis=1).sum()) for name in others}


def wins_sentence(scores: pd.DataFrame) -> str:
    """`seed_wins` for a reader.

    Args:
        scores: from `competitor_scores`.
    """
    wins = "; ".join(f"{name}: {count}" for name, count in seed_wins(scores).items())
    return (
        f"Seeds, of {scores.seed.nunique()}, in which the crosscoder leads on all {len(JUDGED)} "
        f"scores judged, by competitor: {wins}."
    )
