"""Sentences that notebook 04c prints, computed from its tables."""

from __future__ import annotations

import math

import pandas as pd

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
