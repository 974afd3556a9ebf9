"""Claims EX1, TR1, TR2, GC1, GC2: what depends on rotation, what dictionaries explain, families.

Pure functions of numbers and tables: each returns a `Finding`, or a sentence for a reader.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, network_evidence, verdict
from gc_utils.studies.group_crosscoders.competitors import CROSSCODER, JUDGED
from gc_utils.studies.group_crosscoders.families import LabelMatch
from gc_utils.studies.group_crosscoders.folds import RIDGE, crosscoder_name, fvu_by_fold, pca_name
from gc_utils.symmetry.variance import Variance

ABSTRACT = "Gorton 2024, abstract"

EX1 = Claim(
    "EX1",
    short="A layer's response depends on how the image is rotated",
    claim="the response of a layer to a photograph depends on how the photograph is rotated",
    source="the premise of Gorton 2024",
    figure="01_variance",
)
TR1 = Claim(
    "TR1",
    short="A sparse code explains more of an orbit than PCA",
    claim="a sparse code explains more of a whole orbit than as many principal components",
    source="ours",
    figure="02_fvu",
)
TR2 = Claim(
    "TR2",
    short="A sparse code of one view predicts the others like ridge",
    claim="from the unrotated view alone, a sparse code predicts the orientation part at least as "
    "well as ridge regression",
    source="ours",
    figure="02_per_element",
)
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


def store_evidence(settings: Mapping, *, about_method: bool = False) -> Evidence:
    """What a claim is looked at on when it is measured on an activation store.

    Args:
        settings: the store's settings, with `model` and `weights`.
        about_method: whether the claim is about what a method does with data, as TR1 and TR2 are,
            and not about networks. Planted orbits are then data whose truth is known.

    Returns:
        `KNOWN` for such a claim on planted orbits, else what `network_evidence` says.
    """
    if about_method and settings["model"] == "planted":
        return Evidence.KNOWN
    return network_evidence(settings["model"], settings["weights"])


def percent(share: float) -> str:
    """A share as a percentage without decimals (`"48 %"`), `"unknown"` if it is not a number."""
    return f"{100 * share:.0f} %" if math.isfinite(share) else "unknown"


# --------------------------------------------------------------------------------- 01: the premise


def depends_on_rotation(
    whole: Variance, sampled: Mapping[str, Variance], evidence: Evidence
) -> Finding:
    """EX1: more than a twentieth of the variance depends on the rotation.

    Args:
        whole: how the variance of all orbits divides.
        sampled: the same of a few orbits, by how they were sampled (`"with low-pass"`); the share
            of angular frequency 4 is recorded where the group has it.
        evidence: from `store_evidence`.
    """
    share = 1 - whole.invariant_share
    asked = bool(np.isfinite([share, whole.mean_over_sd]).all())
    value: dict | str = "undefined"
    why = "the responses do not vary at all, so that no share can depend on the rotation"
    if asked:
        why = f"{percent(share)} of the variance depends on the rotation"
        value = {
            "orientation share of variance": round(share, 3),
            "mean over channels": round(float(1 - whole.per_channel.mean()), 3),
            "mean over sd": round(whole.mean_over_sd, 3),
        } | {
            f"frequency 4 {name}": round(float(found.frequencies[4]), 3)
            for name, found in sampled.items()
            if len(found.frequencies) > 4  # fewer rotations cannot show it
        }
    return Finding(
        EX1, value, verdict(share > 0.05 if asked else None, evidence), why, evidence=evidence
    )


def extraction_sentence(whole: Variance, layer: str) -> str:
    """The closing sentence of notebook 01.

    Args:
        whole: how the variance of all orbits divides.
        layer: the layer's name.
    """
    share = 1 - whole.invariant_share
    if not np.isfinite(share):
        return f"The responses of {layer} do not vary: there is nothing to divide."
    end = "this is what a group crosscoder adds to an autoencoder of orbit means."
    if share <= 0.05:
        end = "a group crosscoder has next to nothing to add to an autoencoder of orbit means."
    return (
        f"{percent(whole.invariant_share)} of the variance of {layer} does not depend on the "
        f"rotation (mean over channels {percent(float(whole.per_channel.mean()))}) and "
        f"{percent(share)} does; {end}"
    )


# ------------------------------------------------------------------------------------ 02: training


def beats_pca(
    table: pd.DataFrame, k: int, encoder: str, channels: int, evidence: Evidence
) -> Finding:
    """TR1: in every fold the crosscoder leaves less unexplained than PCA.

    Args:
        table: from `folds.compare`.
        k: active features a sample, and principal components.
        encoder: of the crosscoder that is compared.
        channels: numbers in one view.
        evidence: from `store_evidence`, about a method.
    """
    own, pca, ridge = (
        fvu_by_fold(table, name) for name in (crosscoder_name(encoder), pca_name(k), RIDGE)
    )
    gain = 100 * (pca - own)
    if not np.isfinite([*gain, *ridge]).all() or not len(gain):
        return _unasked(
            TR1, evidence, "held-out images of a fold do not vary, so nothing is explained"
        )
    return Finding(
        TR1,
        {
            "points of variance more": round(gain.mean(), 1),
            "FVU crosscoder": round(own.mean(), 3),
            "FVU PCA": round(pca.mean(), 3),
            "encoder": encoder,
        },
        verdict(bool(gain.min() > 0), evidence),
        f"over {len(gain)} folds the gain lies between {gain.min():.1f} and {gain.max():.1f} "
        f"points; ridge regression on all {channels} unrotated channels leaves {ridge.mean():.3f}",
        _ends(gain),
        evidence,
    )


def matches_ridge(table: pd.DataFrame, evidence: Evidence) -> Finding:
    """TR2: the identity encoder explains as much of the orientation part as ridge regression does.

    Args:
        table: from `folds.compare`, with both encoders.
        evidence: from `store_evidence`, about a method.
    """
    ridge, identity, orbit = (
        fvu_by_fold(table, name, "orientation")
        for name in (RIDGE, crosscoder_name("identity"), crosscoder_name("orbit"))
    )
    lead = 100 * (ridge - identity)
    if not np.isfinite([*lead, *orbit]).all() or not len(lead):
        return _unasked(
            TR2, evidence, "held-out images of a fold have no orientation part to predict"
        )
    return Finding(
        TR2,
        {
            "explained by ridge": round(1 - ridge.mean(), 3),
            "explained by the identity encoder": round(1 - identity.mean(), 3),
            "explained by the orbit encoder": round(1 - orbit.mean(), 3),
        },
        verdict(bool(lead.mean() >= 0), evidence),
        f"compared with ridge the identity encoder explains {lead.mean():+.1f} points, the orbit "
        f"encoder, which sees every view, {100 * (ridge - orbit).mean():+.1f}",
        _ends(lead),
        evidence,
    )


def training_sentence(table: pd.DataFrame, k: int, encoder: str) -> str:
    """The closing sentence of notebook 02.

    Args:
        table: from `folds.compare`.
        k: active features a sample.
        encoder: the encoder whose crosscoder goes on to the next notebooks.
    """
    own = fvu_by_fold(table, crosscoder_name(encoder)).mean()
    more = 100 * (fvu_by_fold(table, pca_name(k)).mean() - own)
    dead = table[table.method == crosscoder_name(encoder)].dead.mean()
    if not np.isfinite(own):
        return "The held-out images do not vary: the crosscoders cannot be compared on them."
    return (
        f"On images that training never saw, the {encoder} encoder's crosscoder leaves "
        f"{percent(own)} of the variance unexplained, {abs(more):.1f} points "
        f"{'less' if more >= 0 else 'more'} than {k} principal components, and {percent(dead)} of "
        "its features never fire; it goes on to the next notebooks."
    )


def _unasked(claim: Claim, evidence: Evidence, why: str) -> Finding:
    """A finding about a claim that these data cannot decide."""
    return Finding(claim, "undefined", verdict(None, evidence), why, evidence=evidence)


def _ends(points: np.ndarray) -> tuple[float, float]:
    return round(points.min(), 1), round(points.max(), 1)


# ------------------------------------------------------------------------------------ 03: families


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
