"""Sentences of notebook 08, computed from its tables."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from gc_utils.studies.intertwiners.similarity import PlantedSimilarity
from gc_utils.studies.intertwiners.summaries import basis_losses

SAME = 0.999  # a similarity from which on two representations count as the same
ROUNDING = 1e-6  # a relative error that rounding may make


def table_checked(table: pd.DataFrame) -> str:
    """Whether the table of groups stood the test in both directions.

    Args:
        table: From `check_table`, the identity among its functions.

    Returns:
        A sentence. The identity has no near-members, as every matrix is a member of its group.
    """
    right = (table["the solver says"] == table["the table says"]).sum()
    near = table.drop(index="identity", errors="ignore")["near-members miss by"]
    return (
        f"The solver names {right} of {len(table)} groups as the table has them. Members miss by "
        f"{table['members miss by'].max():.0e} at most, matrices near them by {near.min():.2f} at "
        "least (relative errors)."
    )


def refused_functions(refused: pd.DataFrame) -> list[str]:
    """Which functions the solver refuses, why, and what a permutation does to them.

    Args:
        refused: From `refusals`.

    Returns:
        One sentence for each function.
    """
    return [
        f"{name}: a permutation misses by {row['a permutation misses by']:.1g}"
        f"{', which is rounding' if row['a permutation misses by'] < ROUNDING else ''}. The solver "
        f"says: {row['the solver says']}"
        for name, row in refused.iterrows()
    ]


def planted_stitch(table: pd.DataFrame) -> str:
    """Whether stitching finds a planted member of the group.

    Args:
        table: From `stitch_planted`, one row a layer.

    Returns:
        A sentence.
    """
    found = (table["penalty"].abs() < ROUNDING).all()
    where = "found at every layer" if found else "not found at every layer"
    return (
        f"The planted member of the group is {where}: stitching with the matrix found costs "
        f"at most {table['penalty'].max():.1%} of accuracy, without a map at least "
        f"{table['penalty without a map'].min():.0%}."
    )


def change_sentences(changes: Mapping[str, pd.DataFrame]) -> list[str]:
    """What random intertwiners did to networks' outputs, and where none was allowed.

    Args:
        changes: Name of the network → rows of `act_on_every_layer`.

    Returns:
        One sentence for each network, and one for each layer that refuses.
    """
    said = []
    for name, table in changes.items():
        allowed, refused = table[table.refused == ""], table[table.refused != ""]
        if len(allowed):
            said.append(
                f"{name}: {len(allowed)} hidden layers changed, each by itself; the output changes "
                f"by at most {allowed.change.max():.1e} of the largest."
            )
        else:
            said.append(f"{name}: no hidden layer may be changed.")
        said += [
            f"{name}: {row.layer} is refused, as it {row.refused}; a permutation applied all the "
            f"same changes the output by {row.change:.1%}."
            for _, row in refused.iterrows()
        ]
    return said


def planted_similarity(planted: PlantedSimilarity) -> str:
    """What measures gave for a planted member of the group and a planted rotation."""

    def named(relation: str, same: bool) -> str:
        row = planted.table.loc[relation]
        return ", ".join(f"{m} ({v:.3f})" for m, v in row.items() if (v >= SAME) == same) or "none"

    found = "is" if planted.exact else "is not"
    return (
        f"The planted permutation {found} found exactly, with its scales; {abs(planted.left):.1e} "
        "of the power is left. Measures that do not see the member of the group: "
        f"{named('permuted and scaled', True)}; that see it: "
        f"{named('permuted and scaled', False)}. Measures that do not see the rotation: "
        f"{named('rotated', True)}; that see it: {named('rotated', False)}."
    )


def without_map(stitched: pd.DataFrame, classes: int) -> str:
    """Accuracy of stitched networks without a map in between, compared with chance.

    Args:
        stitched: Rows of `stitch_pairs`, with `map` and `accuracy`.
        classes: The number of classes.

    Returns:
        A sentence.
    """
    kept = float(stitched[stitched["map"] == "identity"].accuracy.mean())
    chance = 1 / classes
    near = "about the accuracy of chance" if kept <= 2 * chance else "well above chance"
    return (
        f"Without a map the stitched networks classify {kept:.1%} of the test images correctly "
        f"(chance {chance:.1%}): {near}."
    )


def label_reading(in_basis: pd.DataFrame, studied: str) -> str:
    """Whether units or rotated directions of a network tell labels apart better.

    Args:
        in_basis: From `basis_means`.
        studied: The network's title in the table.

    Returns:
        A sentence; where rotated directions are better, with a possible reason.
    """
    fall = basis_losses(in_basis)["best AUC"][studied]
    if fall > 0:
        return (
            f"Units of {studied} tell labels apart better than rotated directions do: their best "
            f"area under the curve is larger by {fall:.3f} (mean over layers)."
        )
    return (
        f"Rotated directions of {studied} tell labels apart at least as well as units do: their "
        f"best area under the curve is larger by {-fall:.3f} (mean over layers). A possible reason "
        "is the ReLU: a unit that does not respond cannot tell stimuli apart, a mixture of many "
        "units nearly always responds."
    )
