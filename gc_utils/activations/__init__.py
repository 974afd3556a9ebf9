"""Orbit activations: extraction, and the store on disk."""

from gc_utils.activations.extraction import extract, plan_samples
from gc_utils.activations.positions import Positions, sample_layers, sample_positions
from gc_utils.activations.store import ARRAY, CHUNK, PLANTED, ActivationStore, create_store

__all__ = [
    "ARRAY",
    "ActivationStore",
    "CHUNK",
    "PLANTED",
    "Positions",
    "create_store",
    "extract",
    "plan_samples",
    "sample_layers",
    "sample_positions",
]
