"""*Making Corgis Important for Honeycomb Classification* (Brown & Kvinge 2021), 10."""

from gc_utils.studies.concept_attacks.attacks import judge, noise, poison, push, token_direction
from gc_utils.studies.concept_attacks.directions import (
    Recipe,
    feature_direction,
    median_direction,
    orbit_averaged,
    ridge_direction,
    smoothed,
)
from gc_utils.studies.concept_attacks.explained import (
    OwnLogits,
    cropped_pictures,
    embed,
    predict,
    train_head,
)
from gc_utils.studies.concept_attacks.facets import detect, facet_probe, faceted, visualise_facets
from gc_utils.studies.concept_attacks.tcav import LEVEL, ConceptTest, decide
from gc_utils.studies.concept_attacks.textured import (
    CLASSES,
    CONCEPTS,
    IRRELEVANT,
    SHAPES,
    SIDE,
    draw_textured,
)

__all__ = [
    "CLASSES",
    "CONCEPTS",
    "ConceptTest",
    "IRRELEVANT",
    "LEVEL",
    "OwnLogits",
    "Recipe",
    "SHAPES",
    "SIDE",
    "cropped_pictures",
    "decide",
    "detect",
    "draw_textured",
    "embed",
    "facet_probe",
    "faceted",
    "feature_direction",
    "judge",
    "median_direction",
    "noise",
    "orbit_averaged",
    "poison",
    "predict",
    "push",
    "ridge_direction",
    "smoothed",
    "token_direction",
    "train_head",
    "visualise_facets",
]
