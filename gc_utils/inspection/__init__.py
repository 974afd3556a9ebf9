"""What a unit or a feature responds to."""

from gc_utils.inspection.decompositions import (
    BASELINE,
    METHODS,
    Decomposition,
    decompose,
    rotated_basis,
)
from gc_utils.inspection.patches import rotate_patch, top_patches, top_samples
from gc_utils.inspection.relations import (
    QUANTILES,
    Relation,
    agreement,
    certainty,
    codes_over_group,
    half_turn_text,
    predicted_codes,
    relations,
    samples_at_quantiles,
)
from gc_utils.inspection.responses import (
    label_crosscoder,
    stimuli_for,
    stimulus_orbits,
    stimulus_responses,
    unit_responses,
)
from gc_utils.inspection.visualise import (
    Objective,
    optimise,
    visualise_blocks,
    visualise_directions,
)

__all__ = [
    "BASELINE",
    "Decomposition",
    "METHODS",
    "Objective",
    "QUANTILES",
    "Relation",
    "agreement",
    "certainty",
    "codes_over_group",
    "decompose",
    "half_turn_text",
    "label_crosscoder",
    "optimise",
    "predicted_codes",
    "relations",
    "rotate_patch",
    "rotated_basis",
    "samples_at_quantiles",
    "stimuli_for",
    "stimulus_orbits",
    "stimulus_responses",
    "top_patches",
    "top_samples",
    "unit_responses",
    "visualise_blocks",
    "visualise_directions",
]
