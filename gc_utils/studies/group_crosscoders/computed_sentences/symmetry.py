"""Sentences that notebook 04 prints, computed from its tables."""

from __future__ import annotations

import math

import pandas as pd

from gc_utils.studies.group_crosscoders.half_turn import HalfTurn


def counterparts_sentence(report: pd.DataFrame) -> str:
    """Say how many features another dictionary has, and what that means for their names.

    Args:
        report: From `calibrated_report` with replicates.

    Returns:
        Two sentences.
    """
    there = int(report.corrected_rho.notna().sum())
    without = len(report) - there
    middle = float(report.reproducibility.median())
    if not there:
        return (
            "No feature has a counterpart in another fold's dictionary, so nothing is corrected "
            "for noise: all names are to be taken with caution."
        )
    text = f"{there} of {len(report)} features have a counterpart in another fold's dictionary"
    if without:
        text += f"; names of the other {without} follow ρ with its noise and may miss a symmetry"
    near = "most are found again nearly as they are" if middle >= 0.9 else (
        "what is found again differs much from fold to fold, and one feature alone proves little"
    )  # fmt: skip
    return f"{text}. Reproducibility is {middle:.2f} in the median: {near}."


def confidence_sentence(report: pd.DataFrame) -> str:
    """Say how often a stabiliser's name can be expected to be right.

    Args:
        report: From `calibrated_report`.

    Returns:
        Two sentences, with the mean confidence of every stabiliser that three features have.
    """
    kinds = report.stabiliser.str.split("@").str[0]
    found = report.groupby(kinds).confidence.agg(["mean", "size"])
    found = found[found["size"] >= 3]["mean"].dropna()
    if not len(found):
        return "No stabiliser has three features, so no mean confidence is given."
    by_name = ", ".join(f"{name} {value:.2f}" for name, value in found.items())
    sure = [name for name, value in found.items() if value > 0.5]
    said = f"names of {' and '.join(sure)} are" if sure else "no name is"
    return f"Mean confidence by stabiliser: {by_name}. By that {said} more often right than wrong."


def members_sentence(pairs: pd.DataFrame) -> str:
    """Say how near the members of a family are to being one feature, rotated.

    Args:
        pairs: One row a pair of members: `distance`, 0 for rotated copies, and `family`.

    Returns:
        The median distance over all pairs, and what follows from it.
    """
    if not len(pairs):
        return "No family has two members, so no distances within families can be given."
    share = float((pairs.distance <= 0.1).mean())
    return (
        f"The median orbit distance within {pairs.family.nunique()} families is "
        f"{pairs.distance.median():.2f}; {100 * share:.0f} % of {len(pairs)} pairs are rotated "
        "copies of one feature (distance 0.1 or less). So the members of a family are "
        + ("mostly one feature, rotated." if share > 0.5 else "similar, not one feature, rotated.")
    )


def shrinkage_sentence(table: pd.DataFrame, penalised: str = "l1", other: str = "top-k") -> str:
    """Say whether the L1 penalty shrank blocks more than the fixed sparsity did.

    Args:
        table: A column a crosscoder, with the row "median stretch".
        penalised: The column of the crosscoder with the penalty.
        other: The column of the crosscoder without.

    Returns:
        One sentence with both numbers.
    """
    a, b = float(table.loc["median stretch", penalised]), float(table.loc["median stretch", other])
    if not (math.isfinite(a) and math.isfinite(b)):
        return "Too few features fire to say how far the L1 penalty shrank their blocks."
    more = "further" if abs(a - 1) > abs(b - 1) else "no further"
    return (
        f"Blocks would have to be stretched by {a:.2f} in the median under the L1 penalty and by "
        f"{b:.2f} under {other}: the penalised lengths are {more} from what the data ask for."
    )


def half_turn_sentence(one: HalfTurn, encoder: str) -> str:
    """Say how lines and curves of one encoder's dictionaries repeat, fold by fold.

    Args:
        one: The comparison.
        encoder: What the encoder is called.

    Returns:
        One sentence with the counts of every fold.
    """
    parts = [
        f"fold {fold}: {row['repeat']} of {row.lines} lines repeat after 180°, {row.whole} of "
        f"{row.curves} curves only after 360°"
        for fold, row in one.counts.iterrows()
    ]
    return f"{encoder}: " + ("; ".join(parts) or "the group has no half turn") + "."


def closing_symmetry(orbit: HalfTurn, identity: HalfTurn) -> str:
    """Close notebook 04: do curves and lines show different periods, and for both encoders?

    Args:
        orbit: The comparison with the orbit encoder.
        identity: The comparison with the identity encoder.

    Returns:
        One sentence.
    """
    said = {True: "do", False: "do not", None: "cannot be said to"}
    both = {"identity": identity.holds(), "orbit": orbit.holds()}
    parts = [f"{said[holds]} with the {name} encoder" for name, holds in both.items()]
    return (
        "Most lines repeat after 180° and most curves only after 360°, in every fold: they "
        + ", they ".join(parts)
        + "."
    )
