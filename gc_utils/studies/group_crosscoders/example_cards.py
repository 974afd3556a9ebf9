"""Cards of example features: block profile, top patches, and images optimised for its blocks."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import torch

from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.figures import Card
from gc_utils.inspection import top_patches, visualise_blocks
from gc_utils.models.base import Model
from gc_utils.symmetry import block_profile


def example_cards(
    rows: Iterable[pd.Series],
    coder: GroupCrosscoder,
    store: ActivationStore,
    codes: torch.Tensor,
    network: Model | None,
    *,
    steps: int,
    seed: int = 0,
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
        cards.append(Card(i, profiles[i], top, blocks, row.stabiliser, row.axis_degrees, row.label))
    return cards
