"""Sentences that the notebooks of the main story print: a module a notebook."""

from gc_utils.studies.group_crosscoders.computed_sentences.planted import (
    arms_sentence,
    breaking_sentence,
    calibration_sentence,
    chiral_sentence,
    closing_ground_truth,
    controls_sentence,
    data_sentence,
    encoders_sentence,
    kinds_sentence,
    methods_sentence,
    weak_sentence,
)
from gc_utils.studies.group_crosscoders.computed_sentences.symmetry import (
    closing_symmetry,
    confidence_sentence,
    counterparts_sentence,
    half_turn_sentence,
    members_sentence,
    shrinkage_sentence,
)
from gc_utils.studies.group_crosscoders.computed_sentences.tied import (
    agreement_sentence,
    closing_tied,
    equivariance_sentence,
    firing_sentence,
    growth_sentence,
    readable,
)
from gc_utils.studies.group_crosscoders.computed_sentences.training import (
    basis_sentence,
    images_sentence,
    orbit_encoder_sentence,
    penalised_sentence,
    reproducibility_sentence,
)

__all__ = [
    "agreement_sentence",
    "arms_sentence",
    "basis_sentence",
    "breaking_sentence",
    "calibration_sentence",
    "chiral_sentence",
    "closing_ground_truth",
    "closing_symmetry",
    "closing_tied",
    "confidence_sentence",
    "controls_sentence",
    "counterparts_sentence",
    "data_sentence",
    "encoders_sentence",
    "equivariance_sentence",
    "firing_sentence",
    "growth_sentence",
    "half_turn_sentence",
    "images_sentence",
    "kinds_sentence",
    "members_sentence",
    "methods_sentence",
    "orbit_encoder_sentence",
    "penalised_sentence",
    "readable",
    "reproducibility_sentence",
    "shrinkage_sentence",
    "weak_sentence",
]
