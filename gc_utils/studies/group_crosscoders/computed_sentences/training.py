"""Sentences that notebook 02 prints, computed from their tables."""

from __future__ import annotations

import math

import pandas as pd

from gc_utils.crosscoder.basis import OrbitBasis
from gc_utils.figures.methods import BEFORE
from gc_utils.studies.group_crosscoders.folds import crosscoder_name, pca_name, summary
from gc_utils.studies.group_crosscoders.refining import dictionary_name

SAME = 0.005  # a difference of FVU that is not worth a word


def reproducibility_sentence(again: pd.DataFrame) -> str:
    """Say what refining does to reproducibility, and how far a single feature can be trusted.

    Args:
        again: From `refining.before_and_after`.

    Returns:
        One sentence about refining, if there was any, and one about the dictionaries that go on.
    """
    means = again.groupby("method", sort=False)[["reproducibility", "share"]].mean()
    text = ""
    changes = [
        f"{name} {means.reproducibility[name + BEFORE]:.2f} to {means.reproducibility[name]:.2f}"
        for name in means.index
        if name + BEFORE in means.index
    ]
    if changes:
        text = f"Median reproducibility before and after refining: {'; '.join(changes)}. "
    ours = means.loc[[n for n in means.index if not n.endswith(BEFORE)]]
    ours = ours.drop(index=dictionary_name("sae"), errors="ignore")
    best, share = ours.reproducibility.max(), ours.share.max()
    if best >= 0.9:
        return text + f"At {best:.2f} most features are found again from other images."
    some = f"at most {100 * share:.1f} %" if share >= 0.0005 else "none"
    return text + (
        f"At {best:.2f} most features are found again only roughly, {some} of them with a cosine "
        "of 0.9: what follows trusts kinds of features, "
        "and a single feature as far as its own reproducibility."
    )


def orbit_encoder_sentence(
    table: pd.DataFrame, k: int, features: int, order: int, channels: int
) -> str:
    """Say how narrow the orbit encoder's code is, and how it compares with what reads as much.

    Args:
        table: From `folds.compare` or `refining.compared`.
        k: Active features a sample.
        features: Size of the dictionary.
        order: Elements of the group.
        channels: Channels of the layer.

    Returns:
        Two sentences: the size of the code, and the FVU beside that of PCA.
    """
    total = summary(table).total
    own, pca = total[crosscoder_name("orbit")], total[pca_name(k)]
    bits = (math.lgamma(features + 1) - math.lgamma(k + 1) - math.lgamma(features - k + 1)) / (
        math.log(2)
    )
    if own < pca - SAME:
        end = "Less, so the choice of features pays: both see the same"
    else:
        end = "No less, so choosing features gains nothing here, and seeing all views is no merit"
    return (
        f"An orbit has {order} × {channels} = {order * channels:,} numbers; its code has {k} on "
        f"average, {100 * k / (order * channels):.1f} % of them, and the choice of {k} out of "
        f"{features} features ({bits:.0f} bits at most). Of images never seen the orbit encoder "
        f"leaves {own:.3f} unexplained, PCA, which reads the same and passes on as many numbers, "
        f"{pca:.3f}. {end}."
    )


def images_sentence(by_image: pd.DataFrame) -> str:
    """Say how far an image's FVU depends on the image.

    Args:
        by_image: From `folds.fvu_by_image`.

    Returns:
        One sentence: range over images, and whether one encoder is better for every image.
    """
    last, first = by_image.columns[-1], by_image.columns[0]
    better = int((by_image[last] < by_image[first]).sum())
    low, high = by_image[last].min(), by_image[last].max()
    return (
        f"From image to image FVU of the {last} encoder goes from {low:.2f} to {high:.2f}, so "
        f"images differ by more than one number tells; it is below the {first} encoder's for "
        f"{better} of {len(by_image)} images."
    )


def penalised_sentence(l0: float, k: int) -> str:
    """Say why the l1 crosscoder's FVU is not to be compared with the others'.

    Args:
        l0: Features that are on under the penalty, mean over samples.
        k: Those of the others.
    """
    if l0 <= 1.25 * k:
        return "The l1 crosscoder has about as many features on as the others."
    return (
        f"The l1 crosscoder has {l0 / k:.1f} times as many features on as the others, so its lower "
        "FVU is bought with a longer code. It is here for the lengths of its blocks (notebook 04)."
    )


def basis_sentence(basis: OrbitBasis | None) -> str:
    """Say what part of the numbers of an orbit training looked at.

    Args:
        basis: The basis that the crosscoders without the first fold were trained in; None if they
            were trained on all numbers.
    """
    if basis is None:
        return "Training looked at all numbers of every orbit."
    return (
        f"Training looked at {basis.size:,} of the {basis.numbers:,} numbers of an orbit. They "
        f"hold {basis.held:.0%} of the variance; the rest stays unexplained."
    )
