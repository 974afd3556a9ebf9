"""The claims of notebooks 01 to 05, and what decides them: a module a notebook.

A notebook depends on the module of its own claims only, so that mending one study leaves what the
others made fresh.
"""

from gc_utils.studies.group_crosscoders.claims.extraction import (
    EX1,
    depends_on_rotation,
    extraction_sentence,
)
from gc_utils.studies.group_crosscoders.claims.families import (
    GC1,
    GC2,
    families_match,
    families_sentence,
    families_separated,
    silhouette_words,
)
from gc_utils.studies.group_crosscoders.claims.planted import (
    CALIBRATION_BOUND,
    GC4,
    NAMED_BOUND,
    PLANTED_BOUND,
    arms_that_fail,
    planted_recovery,
)
from gc_utils.studies.group_crosscoders.claims.shared import (
    ABSTRACT,
    ENCODER_TITLES,
    percent,
    store_evidence,
)
from gc_utils.studies.group_crosscoders.claims.symmetry import (
    FB1,
    FB2,
    GC3,
    RECOVERED,
    filter_recovery,
    filter_symmetry,
    half_turn_patterns,
)
from gc_utils.studies.group_crosscoders.claims.tied import (
    EQ1,
    EQUIVARIANT,
    FVU_MARGIN,
    TC1,
    layer_is_equivariant,
    tied_explains,
)
from gc_utils.studies.group_crosscoders.claims.training import (
    TR1,
    TR2,
    beats_pca,
    matches_ridge,
    training_sentence,
)

__all__ = [
    "ABSTRACT",
    "CALIBRATION_BOUND",
    "ENCODER_TITLES",
    "EQ1",
    "EQUIVARIANT",
    "EX1",
    "FB1",
    "FB2",
    "FVU_MARGIN",
    "GC1",
    "GC2",
    "GC3",
    "GC4",
    "NAMED_BOUND",
    "PLANTED_BOUND",
    "RECOVERED",
    "TC1",
    "TR1",
    "TR2",
    "arms_that_fail",
    "beats_pca",
    "depends_on_rotation",
    "extraction_sentence",
    "families_match",
    "families_sentence",
    "families_separated",
    "filter_recovery",
    "filter_symmetry",
    "half_turn_patterns",
    "layer_is_equivariant",
    "matches_ridge",
    "percent",
    "planted_recovery",
    "silhouette_words",
    "store_evidence",
    "tied_explains",
    "training_sentence",
]
