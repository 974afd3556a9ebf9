"""Orbit distances against one matrix product for every element of the group."""

from __future__ import annotations

import torch
from torch import Tensor

from gc_utils.benchmarks.comparing import Row, compare
from gc_utils.families.distance import orbit_similarity, unit_features
from gc_utils.groups import group


def benchmark_distances(
    name: str = "D32", channels: int = 480, features: int = 512, *, repeats: int = 3
) -> Row:
    """Similarities up to the group of all pairs of features, pairs a second.

    Args:
        name: of the group.
        channels: channels `C`.
        features: how many features.
        repeats: of both.
    """
    g = group(name)
    V = torch.randn(features, g.order, channels, generator=torch.Generator().manual_seed(0))

    def others() -> Tensor:
        U = unit_features(V)
        best = torch.full((features, features), -1.0)
        for h in range(g.order):
            best = torch.maximum(best, U.flatten(1) @ U[:, g.right(h)].flatten(1).T)
        return best.fill_diagonal_(1.0)

    return compare(
        f"distances, {features} features at {name} × {channels}",
        lambda: orbit_similarity(V, g),
        others,
        lambda found, expected: float((found - expected).abs().max()),
        count=features**2,
        unit="pairs",
        other="one product an element",
        measure="largest difference of a similarity",
        repeats=repeats,
    )
