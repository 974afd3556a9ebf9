"""Sentences that notebook 04c prints, computed from its tables."""

from __future__ import annotations

import math

import pandas as pd

from gc_utils.studies.group_crosscoders.claims.tied import EQUIVARIANT
from gc_utils.studies.group_crosscoders.tied_beside_untied import Agreement


def growth_sentence(growth: pd.DataFrame) -> str:
    """Say whether a larger dictionary has more families, or more features in each.

    Args:
        growth: One row a size: `features`, `families` and `features a family`.

    Returns:
        One sentence that compares the smallest and the largest dictionary.
    """
    if len(growth) < 2:
        return "Only one size of dictionary was trained, so its growth cannot be judged."
    rows = growth.sort_values("features")
    first, last = rows.iloc[0], rows.iloc[-1]
    families = last["families"] / first["families"]
    copies = last["features a family"] / first["features a family"]
    if not (math.isfinite(families) and math.isfinite(copies)):
        return "A dictionary without features that fire has no families to count."
    more = "families" if families > copies else "features in each family"
    return (
        f"From {first['features']:.0f} to {last['features']:.0f} features, the number of families "
        f"grows by a factor {families:.2f} and the features in each by {copies:.2f}: the larger "
        f"dictionary has mainly more {more}."
    )


def closing_tied(table: pd.DataFrame, agreement: Agreement) -> str:
    """Close notebook 04c: what tying changes, beside a dictionary of the same size.

    Args:
        table: The columns `tied` and `untied` of `compare_tied`.
        agreement: Of the tied families with clusters of the untied features.

    Returns:
        One sentence with the change of the FVU, of its orientation part, and of the parameters.
    """
    t, u = table["tied"], table["untied"]
    gap, orientation = t["FVU"] - u["FVU"], t["orientation part"] - u["orientation part"]
    if not math.isfinite(gap):
        return "What tying changes cannot be said: an FVU is missing."
    word = "more" if gap > 0 else "no more"
    part = "more" if orientation > 0 else "no more"
    return (
        f"With {100 * t['parameters'] / u['parameters']:.0f} % of the parameters, the tied "
        f"crosscoder leaves {word} variance unexplained than the untied one (FVU {gap:+.3f}), "
        f"and {part} of the orientation part ({orientation:+.3f}); its families agree with "
        f"clusters of untied features by {agreement.mutual_information:.2f} (adjusted mutual "
        "information)."
    )


def equivariance_sentence(table: pd.DataFrame) -> str:
    """Say how the layers' equivariance changes with depth, and what limits it.

    Args:
        table: From `layer_equivariance.equivariance_table`; the last row is of the run's layer.

    Returns:
        Two sentences, or one if no layer was measured.
    """
    if table.empty:
        return "No layer was measured."
    first, last = table.iloc[0], table.iloc[-1]
    gap = last.free - last.powers
    text = (
        f"From {table.index[0]} to {table.index[-1]} what a matrix for each rotation predicts goes "
        f"from {first.free:.2f} to {last.free:.2f} of the variance. "
    )
    if last.free < EQUIVARIANT:
        text += (
            f"The missing {1 - last.free:.2f} are in no linear function of the unrotated responses "
            "that so many orbits can fit, so features there need not exist at every orientation"
        )
    else:
        text += "So the responses to a rotated image nearly follow from those to the image"
    return text + f"; that all be powers of one matrix costs {gap:.2f} more."


def agreement_sentence(agreement: Agreement) -> str:
    """Say whether tied families and clusters of untied features are the same things.

    Args:
        agreement: From `family_agreement`.

    Returns:
        Two sentences.
    """
    information, near = agreement.mutual_information, agreement.nearest
    close = "the same features" if near >= 0.9 else "not the same features"
    return (
        f"Families and clusters agree by {information:.2f} (adjusted mutual information: 0 is "
        f"chance, 1 the same groups). The nearest tied feature has a cosine of {near:.2f} with an "
        f"untied one in the median, so the two dictionaries hold {close}"
        + ("." if near >= 0.9 else ", and agreement can only be loose.")
    )


def firing_sentence(agreement: Agreement) -> str:
    """Say how many tied families fire, by their number of features.

    Args:
        agreement: From `family_agreement`.
    """
    parts = [
        f"{families} of {count} feature{'s' * (count != 1)}"
        for count, families in sorted(agreement.firing.items())
    ]
    return f"Tied families that fire: {', '.join(parts) or 'none'}."


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """A table of numbers of very different size, as text: large ones whole, others to 3 digits.

    Args:
        table: From `compare_tied`.
    """

    def text(value: float) -> str:
        if not math.isfinite(value):
            return "none"
        return f"{value:,.0f}" if value == round(value) or value >= 1000 else f"{value:.3f}"

    return table.map(text)
