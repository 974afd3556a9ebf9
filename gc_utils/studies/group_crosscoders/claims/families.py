"""Claims GC1 and GC2 of notebook 03: families of features.

Pure functions of numbers and tables: each returns a `Finding`, or a sentence for a reader.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, verdict
from gc_utils.studies.group_crosscoders.claims.shared import ABSTRACT, percent
from gc_utils.studies.group_crosscoders.competitors import CROSSCODER, JUDGED
from gc_utils.studies.group_crosscoders.families import LabelMatch

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


def families_match(match: LabelMatch, evidence: Evidence) -> Finding:
    """GC1: labels and families share more than chance, and most members have their family's label.

    Args:
        match: from `families.label_match`.
        evidence: from `store_evidence`.
    """
    known = bool(np.isfinite(match.information))
    share_more, most = match.p < 0.01, match.purity > 0.5
    value = {
        "families": match.families,
        "features in one": match.in_family,
        "features": match.features,
        "labelled": match.labelled,
        "adjusted mutual information": round(match.information, 3) if known else "undefined",
        "p against shuffled labels": round(match.p, 4),
        "labelled features that share the commonest label of their family": round(match.purity, 3),
        "the same if all were one family": round(match.base, 3),
    }
    more = "families and labels share more than shuffled labels do"
    if not share_more:
        more = "families and labels share no more than shuffled labels do"
    why = (
        f"{more} (p = {match.p:.3f}); {percent(match.purity)} of labelled features have their "
        "family's commonest label"
    )
    if not known:
        why = f"{match.labelled} labelled features do not have two kinds of labels to compare"
    holds = (share_more and most) if known else None
    return Finding(GC1, value, verdict(holds, evidence), why, evidence=evidence)


def families_separated(scores: pd.DataFrame, evidence: Evidence) -> Finding:
    """GC2: in the mean of the seeds the crosscoder leads every competitor in every score judged.

    One comparison lost is enough against the claim; one that is undefined leaves it open.

    Args:
        scores: from `competitors.competitor_scores`.
        evidence: from `store_evidence`.
    """
    mean = scores.groupby("competitor", sort=False)[list(JUDGED)].mean()
    lead = mean.loc[CROSSCODER] - mean.drop(CROSSCODER)
    lost, undefined, count = (lead <= 0).sum(), lead.isna().sum(), len(lead)
    seeds = f"mean of {scores.seed.nunique()} seeds"
    if lost.any():
        behind = [f"{JUDGED[s]} ({lost[s]} of {count})" for s in JUDGED if lost[s]]
        holds, why = False, f"{seeds}: no lead over competitors in {', '.join(behind)}"
    elif undefined.any():
        missing = [f"{JUDGED[s]} ({undefined[s]} of {count})" for s in JUDGED if undefined[s]]
        holds, why = None, f"{seeds}: too few labels to compare {', '.join(missing)}"
    else:
        holds = True
        why = f"{seeds}: lead over all {count} competitors in {', '.join(JUDGED.values())}"
    value = {
        f"{c}: {s.replace('_', ' ')}": round(float(mean.loc[c, s]), 3)
        for c in mean.index
        for s in JUDGED
        if np.isfinite(mean.loc[c, s])
    }
    return Finding(GC2, value or "undefined", verdict(holds, evidence), why, evidence=evidence)


def families_sentence(match: LabelMatch, scores: pd.DataFrame) -> str:
    """The closing sentence of notebook 03.

    Args:
        match: from `families.label_match`.
        scores: from `competitors.competitor_scores`.
    """
    silhouettes = scores.groupby("competitor", sort=False).silhouette.mean()
    own = float(silhouettes[CROSSCODER])
    found = (
        f"There are {match.families} families of two features or more, and {match.in_family} of "
        f"{match.features} features are in a family; "
    )
    if not np.isfinite(own):
        return found + "with these labels their separation is undefined."
    others = silhouettes.drop(CROSSCODER)
    place = "the highest" if not (others >= own).any() else f"below {others.idxmax()}"
    return found + (
        f"their silhouette by label is {own:.2f}, {place} of the dictionaries compared, which "
        f"Kaufman and Rousseeuw (1990) would call {silhouette_words(own)}."
    )


def silhouette_words(silhouette: float) -> str:
    """What a mean silhouette says of a structure, by the table of Kaufman and Rousseeuw (1990).

    Args:
        silhouette: in [-1, 1].
    """
    steps = {0.70: "a strong structure", 0.50: "a reasonable structure", 0.25: "a weak structure"}
    words = (name for least, name in steps.items() if silhouette > least)
    return next(words, "no substantial structure")
