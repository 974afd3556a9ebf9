"""The synthetic test: which methods recover the attributes of a Gabor filter bank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gc_utils.inspection.decompositions import BASELINE, METHODS, decompose
from gc_utils.statistics import holm
from gc_utils.studies.tuning_dimensions.gabor import gabor_bank, gabor_stimuli
from gc_utils.studies.tuning_dimensions.information import recovered_dimensions

CONTROL = "nothing"  # an attribute that the patches do not have: random numbers


def bank_trials(
    draws: int,
    patches: int,
    dimensions: int,
    *,
    methods: Sequence[str] = (*METHODS, BASELINE),
    permutations: int = 999,
    level: float = 0.05,
    seed: int = 0,
) -> pd.DataFrame:
    """Show a Gabor bank patches of random attributes, and ask which attributes methods recover.

    Args:
        draws: The number of draws of patches.
        patches: The number of patches of a draw.
        dimensions: The number of dimensions that each method finds.
        methods: The methods, as `decompose` takes them.
        permutations: The number of shuffles of each test.
        level: The family-wise error, by Holm's correction over attributes and methods of a draw.
        seed: The seed of the first draw; the others follow it.

    Returns:
        The rows of `recovered_dimensions`, one a draw, method and attribute, with `method`, `seed`,
        `explained` (the share of variance) and `significant`; the attribute `CONTROL` is random.
    """
    bank, rows = gabor_bank(), []
    for number in range(seed, seed + draws):
        shown, attributes = gabor_stimuli(patches, seed=number)
        attributes[CONTROL] = np.random.default_rng((number, 1)).uniform(size=len(attributes))
        responses = bank(shown)
        for method in methods:
            found = decompose(responses, method, dimensions, seed=number)
            table = recovered_dimensions(
                found.codes, attributes, permutations=permutations, seed=number
            )
            rows.append(table.assign(method=method, seed=number, explained=found.explained))
    table = pd.concat(rows, ignore_index=True)
    table["significant"] = holm(table["p_value"], level, table["seed"])
    return table
