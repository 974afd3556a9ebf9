"""Claims GC1 and GC2 of notebook 03: families of features.

Pure functions of numbers and tables: each returns a `Finding`, or a sentence for a reader.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, verdict
from gc_utils.families.clusters import Clusters
from gc_utils.studies.group_crosscoders.claims.shared import ABSTRACT, ENCODER_TITLES
from gc_utils.studies.group_crosscoders.competitors import (
    JUDGED,
    SAE,
    SAE_BLOCKS,
    crosscoder,
    leads,
    plain,
)
from gc_utils.studies.group_crosscoders.families import HDBSCAN, REFINED, families_counted

GC1 = Claim(
    "GC1",
    short="Features cluster into families of kinds described before",
    claim="features cluster into families that match kinds of features described before",
    words="it naturally clusters features into interpretable families that correspond to "
    "previously hypothesised feature types",
    source=ABSTRACT,
    figure="03_families",
)
GC2 = Claim(
    "GC2",
    short="Families are separated better than a sparse autoencoder's",
    claim="families are separated more precisely than a standard sparse autoencoder's",
    words="providing more precise separation than standard sparse autoencoders",
    source=ABSTRACT,
    figure="03_separation",
)
SHUFFLED = 0.01  # of either comparison with shuffled labels, in every dictionary


def families_match(by_fold: pd.DataFrame, evidence: Evidence) -> Finding:
    """GC1: in every fold, for both encoders, labels and families belong together beyond chance.

    Both must hold at `SHUFFLED`: members of a family share its commonest label more often than if
    labels were shuffled within families' sizes, and labels and families share more information than
    if labels were shuffled. One dictionary without is enough against the claim; one whose features
    have not two kinds of labels leaves it open.

    Args:
        by_fold: from `families.families_by_fold`.
        evidence: from `store_evidence`.
    """
    table = by_fold[by_fold.method != HDBSCAN]  # which is there for comparison
    known = np.isfinite(table.information)
    match = (table.purity_p < SHUFFLED) & (table.information_p < SHUFFLED)
    value = {}
    for row in table.itertuples():
        own = f"{row.encoder} encoder, fold {row.fold}: "
        value |= {
            f"{own}features in a family": f"{row.in_family} of {row.features}, in one of "
            f"{row.families} families, the largest of {row.largest}",
            f"{own}purity, that of shuffled labels": _rounded(row.purity, row.purity_shuffled),
            f"{own}same-label pairs in one family, by chance": _rounded(
                row.together, row.together_by_chance
            ),
            f"{own}adjusted mutual information": _rounded(row.information)[0],
            f"{own}larger p": round(max(row.purity_p, row.information_p), 4),
        }
    counts = [
        f"{int(match[here].sum())} of {int(here.sum())}{' folds' * (i == 0)} for {name}"
        for i, (name, here) in enumerate(_encoders(table.encoder))
    ]
    holds = bool(match.all())
    why = f"families match labels (p < {SHUFFLED}) in {', '.join(counts)}"
    if match[known].all() and not known.all():
        holds = None
        why = f"{(~known).sum()} of {len(table)} dictionaries lack two kinds of labels to compare"
    return Finding(GC1, value, verdict(holds, evidence), why, evidence=evidence)


def families_separated(scores: pd.DataFrame, evidence: Evidence) -> Finding:
    """GC2: in the mean over folds crosscoders lead every competitor in every score judged.

    For both encoders, raw dictionaries against raw ones and refined against refined ones. One
    comparison lost is enough against the claim; one that is undefined leaves it open, as do
    refined dictionaries that are not there.

    Args:
        scores: from `competitors.competitor_scores`.
        evidence: from `store_evidence`.
    """
    table = leads(scores)
    mean = table.groupby(["encoder", "state", "competitor"])[list(JUDGED)].mean()
    lost, undefined = mean <= 0, mean.isna()
    states = list(dict.fromkeys(scores.state))
    encoders = _encoders(mean.index.get_level_values("encoder"))
    judged = f"{scores.fold.nunique()} folds, {' and '.join(states)}"
    if lost.to_numpy().any():
        counts = [
            f"{int(lost[here].to_numpy().sum())} of {lost[here].size}{' comparisons' * (i == 0)} "
            f"for {name}"
            for i, (name, here) in enumerate(encoders)
        ]
        holds, why = False, f"{judged}: no lead in {', '.join(counts)}"
    elif undefined.to_numpy().any():
        missing = [f"{JUDGED[s]} ({n} of {len(mean)})" for s, n in undefined.sum().items() if n]
        holds, why = None, f"{judged}: too few labels to compare {', '.join(missing)}"
    elif REFINED not in states:
        holds, why = None, f"{judged}: a lead everywhere, but there are no refined dictionaries"
    else:
        names = " and ".join(name for name, _ in encoders)
        holds = True
        why = f"mean of {judged}: lead over all competitors in all {len(JUDGED)} scores for {names}"
    means = scores.groupby(["competitor", "state"], sort=False)[list(JUDGED)].mean()
    value = {
        f"{c}: {JUDGED[s]} ({', '.join(states)})": _rounded(*(means.loc[(c, t), s] for t in states))
        for c in dict.fromkeys(scores.competitor)
        for s in JUDGED
    }
    return Finding(GC2, value, verdict(holds, evidence), why, evidence=evidence)


def families_sentence(families: Clusters, scores: pd.DataFrame, encoder: str) -> str:
    """The closing sentence of notebook 03.

    Args:
        families: of the crosscoder that goes on to the next notebooks.
        scores: from `competitors.competitor_scores`.
        encoder: of that crosscoder.
    """
    last = scores[scores.state == list(scores.state)[-1]]
    silhouettes = last.groupby("competitor", sort=False).silhouette.mean()
    own = float(silhouettes[crosscoder(encoder)])
    found = f"Of the crosscoder that goes on, {families_counted(families)}; "
    if not np.isfinite(own):
        return found + "with these labels the separation of families is undefined."
    others = silhouettes[[plain(encoder), SAE, SAE_BLOCKS]]
    place = "the highest" if not (others >= own).any() else f"below {others.idxmax()}"
    return found + (
        f"over folds the silhouette by label is {round(own, 2) + 0.0:.2f} for its encoder, {place} "
        "of what it is compared with, which Kaufman and Rousseeuw (1990) would call "
        f"{silhouette_words(own)}."
    )


def _encoders(column: pd.Series | pd.Index) -> list[tuple[str, np.ndarray]]:
    """Encoders as a reader knows them, the paper's first, and where a column names each."""
    column = np.asarray(column)
    return [
        (f"the {title}", column == encoder)
        for encoder, title in ENCODER_TITLES.items()
        if encoder in column
    ]


def _rounded(*numbers: float) -> list:
    """Numbers as a finding keeps them (no -0, and nothing that is undefined)."""
    return [round(float(n), 3) + 0.0 if np.isfinite(n) else "undefined" for n in numbers]


def silhouette_words(silhouette: float) -> str:
    """What a mean silhouette says of a structure, by the table of Kaufman and Rousseeuw (1990).

    Args:
        silhouette: in [-1, 1].
    """
    steps = {0.70: "a strong structure", 0.50: "a reasonable structure", 0.25: "a weak structure"}
    words = (name for least, name in steps.items() if silhouette > least)
    return next(words, "no substantial structure")
