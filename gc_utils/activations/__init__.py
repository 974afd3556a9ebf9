"""Orbit activations: extraction, and the store on disk."""

from gc_utils.activations.extraction import extract, plan_samples
from gc_utils.activations.orbits import (
    Orbits,
    StoredOrbits,
    mean_response,
    orbits_of,
    single_views,
    some_of,
    spread_over,
)
from gc_utils.activations.positions import Positions, sample_layers, sample_positions
from gc_utils.activations.store import ARRAY, CHUNK, PLANTED, ActivationStore, create_store

__all__ = [
    "ARRAY",
    "ActivationStore",
    "CHUNK",
    "Orbits",
    "PLANTED",
    "Positions",
    "StoredOrbits",
    "create_store",
    "extract",
    "mean_response",
    "orbits_of",
    "plan_samples",
    "sample_layers",
    "sample_positions",
    "single_views",
    "some_of",
    "spread_over",
]
