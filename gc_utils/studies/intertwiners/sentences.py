"""Sentences of notebook 08, computed from its tables."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from gc_utils.studies.intertwiners.claims import HALVES, half_holds
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


def half_readings(lost: Mapping[tuple[str, str], tuple[float, float, float]]) -> list[str]:
    """What rotating units costs each measure modulo the group, in trained and untrained networks.

    Args:
        lost: From `lost_by_rotation`.

    Returns:
        One sentence for each of `HALVES`.
    """
    said = []
    for name, half in HALVES.items():
        measure, counterpart = half
        (mean, low, high), (before, *_) = (lost[measure, s] for s in ("trained", "untrained"))
        if low > 0:
            effect = "loses"
        else:
            effect = "gains" if high < 0 else "neither loses nor gains"
        amount = f"{abs(mean):.3f}" if effect in ("loses", "gains") else f"({mean:.3f})"
        seen = "sees" if half_holds(lost, half) else "does not see"
        said.append(
            f"{name}: {measure} {effect} {amount} when units of trained networks are rotated "
            f"(before training the loss is {before:.3f}), and {seen} what {counterpart} cannot."
        )
    return said


def dissection_reading(table: pd.DataFrame) -> list[str]:
    """Where units match concepts better than rotated bases, layer by layer.

    Args:
        table: From `layers_hold`.

    Returns:
        One sentence for each layer and kind of images.
    """
    said = []
    for (layer, images), row in table.iterrows():
        if row.low > 0:
            order = "better than"
        else:
            order = "worse than" if row.high < 0 else "about as well as"
        control = "more than" if row.holds else "not clearly more than"
        said.append(
            f"{layer}, {images}: units match concepts {order} rotated bases (IoU {row.units:.3f} "
            f"against {row.rotated:.3f}), {control} before training (gain {row.gain:+.3f} against "
            f"{row.before:+.3f})."
        )
    return said


def ranking_reading(in_basis: pd.DataFrame, studied: str, untrained: str) -> str:
    """What the area under the ROC curve says of the same bases, and of untrained networks.

    Args:
        in_basis: From `basis_means`.
        studied: The network's title in the table.
        untrained: The title of such networks before training.

    Returns:
        A sentence; where it favours rotated directions before training, too, with a reason.
    """
    fall = basis_losses(in_basis)["best AUC"]
    place = {net: "ahead" if lost > 0 else "behind" for net, lost in fall.items()}
    said = (
        f"By the best area under the ROC curve units are {place[studied]} "
        f"by {abs(fall[studied]):.3f} (mean over layers), before training "
        f"{place[untrained]} by {abs(fall[untrained]):.3f}."
    )
    if fall[studied] < 0 and fall[untrained] < 0:
        said += (
            " A measure that favours mixtures in networks that have learnt nothing says little "
            "about the basis: a unit that is silent for most images cannot rank them, a mixture of "
            "many units nearly always responds."
        )
    return said
