"""What a unit or a feature responds to."""

from gc_utils.inspection.decompositions import (
    BASELINE,
    METHODS,
    Decomposition,
    decompose,
    rotated_basis,
)
from gc_utils.inspection.patches import rotate_patch, top_patches, top_samples
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
    "decompose",
    "label_crosscoder",
    "optimise",
    "rotated_basis",
    "stimuli_for",
    "stimulus_orbits",
    "stimulus_responses",
    "top_patches",
    "top_samples",
    "rotate_patch",
    "unit_responses",
    "visualise_blocks",
    "visualise_directions",
]
