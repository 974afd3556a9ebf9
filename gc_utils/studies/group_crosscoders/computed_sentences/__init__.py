"""Sentences that notebooks 04, 04b and 04c print: a module a notebook."""

from gc_utils.studies.group_crosscoders.computed_sentences.planted import (
    arms_sentence,
    breaking_sentence,
    chiral_sentence,
    closing_ground_truth,
    controls_sentence,
    data_sentence,
    encoders_sentence,
    kinds_sentence,
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
    closing_tied,
    growth_sentence,
)

__all__ = [
    "arms_sentence",
    "breaking_sentence",
    "chiral_sentence",
    "closing_ground_truth",
    "closing_symmetry",
    "closing_tied",
    "confidence_sentence",
    "controls_sentence",
    "counterparts_sentence",
    "data_sentence",
    "encoders_sentence",
    "growth_sentence",
    "half_turn_sentence",
    "kinds_sentence",
    "members_sentence",
    "shrinkage_sentence",
    "weak_sentence",
]
