"""Sentences that notebook 04 prints, computed from its tables."""

from __future__ import annotations

import math

import pandas as pd

from gc_utils.studies.group_crosscoders.claims import LEVEL
from gc_utils.studies.group_crosscoders.half_turn import HalfTurn


def members_sentence(pairs: pd.DataFrame) -> str:
    """Say how near the members of a family are to being one feature, rotated.

    Args:
        pairs: One row a pair of members: `distance`, 0 for rotated copies, and `family`.

    Returns:
        One sentence with the median distance over all pairs.
    """
    if not len(pairs):
        return "No family has two members, so no distances within families can be given."
    share = float((pairs.distance <= 0.1).mean())
    return (
        f"The median orbit distance within {pairs.family.nunique()} families is "
        f"{pairs.distance.median():.2f}; {100 * share:.0f} % of {len(pairs)} pairs are rotated "
        "copies of one feature (distance 0.1 or less)."
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


def closing_symmetry(orbit: HalfTurn, identity: HalfTurn) -> str:
    """Close notebook 04: do curves and lines differ, and for both encoders?

    Args:
        orbit: The comparison with the orbit encoder.
        identity: The comparison with the identity encoder.

    Returns:
        One sentence.
    """
    asked = {"orbit": orbit, "identity": identity}
    asked = {name: one for name, one in asked.items() if math.isfinite(one.p)}
    if not asked:
        return (
            "Whether lines and curves differ after a rotation by 180° cannot be said here: with "
            "neither encoder are there three features of each kind."
        )
    differ = [name for name, one in asked.items() if one.p < LEVEL]
    values = ", ".join(f"p = {one.p:.2g} with the {name} encoder" for name, one in asked.items())
    verb = {0: "do not differ", len(asked): "differ"}.get(len(differ), "differ in part")
    return f"After a rotation by 180° lines and curves {verb} at the level {LEVEL} ({values})."
