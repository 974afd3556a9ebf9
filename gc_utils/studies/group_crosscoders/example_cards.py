"""Cards of example features: block profile, top patches, and images optimised for its blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch

from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.figures import Card
from gc_utils.inspection import half_turn_text, top_patches, visualise_blocks
from gc_utils.models.base import Model
from gc_utils.symmetry import autocorrelation, block_profile


def example_cards(
    rows: Iterable[pd.Series],
    coder: GroupCrosscoder,
    store: ActivationStore,
    codes: torch.Tensor,
    network: Model | None,
    *,
    steps: int,
    seed: int = 0,
    counted: Mapping[int, str] | None = None,
) -> list[Card]:
    """Make a card for each of some features.

    Args:
        rows: The features' rows of the symmetry report.
        coder: The crosscoder.
        store: The activations that it was trained on, for the patches.
        codes: The codes of the store's samples, `(N, m)`.
        network: The network whose layer the store holds; None (planted orbits) for no images.
        steps: The steps of each optimised image; 0 leaves these images out.
        seed: The seed of the optimised images.
        counted: Of a feature, how many of its kind do what it does, from `of_their_kind`.

    Returns:
        One card a row, with optimised images of the blocks at multiples of 45° if the group has
        them, else of all rotations.
    """
    group, patches, photograph = store.group, store.patches, store.samples["photograph"]
    eighths = [group.n * i // 8 for i in range(8)] if group.n % 8 == 0 else list(range(group.n))
    profiles = block_profile(coder.V.detach()).numpy()
    cards = []
    for row in rows:
        i, blocks = int(row.feature), None
        if steps and network is not None:
            layer = store.settings["layer"]
            blocks = visualise_blocks(network, layer, coder, i, eighths, steps=steps, seed=seed)
        top = top_patches(codes, patches, i, 8, photograph)
        symmetry = (row.stabiliser, row.axis_degrees, row.label)
        raw = float(autocorrelation(coder.V[i : i + 1].detach(), group)[0, group.n // 2])
        facts = trust(row, raw if group.n % 2 == 0 else None)
        facts += [counted[i]] if counted and i in counted else []
        cards.append(Card(i, profiles[i], top, blocks, *symmetry, facts))
    return cards


def trust(row: pd.Series, raw: float | None = None) -> list[str]:
    """What a card says of how far a feature and its name can be trusted.

    Args:
        row: The feature's row of `calibrated_report` and of the families; columns that are not
            there are left out.
        raw: Its `ρ(180°)` without correction, said where there is no corrected one.

    Returns:
        Short phrases: `ρ` of a half turn with its interval, or that no other fold has the feature;
        the reproducibility of the feature, the confidence and the p-value of its name, its family.
    """

    def there(name: str) -> bool:
        return name in row and bool(np.isfinite(row[name]))

    found = []
    if rho := half_turn_text(row):
        found.append(f"ρ(180°) {rho}, noise-corrected")
    elif "rho_180" in row and raw is not None:
        found.append(f"ρ(180°) {raw:.2f}, not noise-corrected: no other fold has this feature")
    if there("reproducibility"):
        found.append(f"reproducibility {row.reproducibility:.2f}")
    if there("confidence"):
        found.append(f"confidence of the name {row.confidence:.2f}")
    if there("p_value"):
        found.append(f"p {'<' if row.p_value < 0.001 else '='} {max(row.p_value, 0.001):.3f}")
    if there("family"):
        alone = "noise" in row and bool(row.noise)
        found.append("in no family" if alone else f"family {row.family:.0f}")
    return found
