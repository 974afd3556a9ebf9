"""*Group Crosscoders* (Gorton 2024, arXiv 2410.24184), notebooks 01 to 05."""

from gc_utils.studies.group_crosscoders.example_cards import example_cards
from gc_utils.studies.group_crosscoders.filter_bank_truth import (
    BankRecovery,
    exact_symmetry,
    learn_bank,
    right_by_kind,
)
from gc_utils.studies.group_crosscoders.ground_truth import (
    Calibration,
    by_kind,
    calibrate,
    control_scores,
    with_columns,
)
from gc_utils.studies.group_crosscoders.half_turn import (
    HalfTurn,
    compare_half_turn,
    half_turn_of_features,
    kinds_of,
    lines_and_curves,
)
from gc_utils.studies.group_crosscoders.layer_equivariance import (
    equivariance_table,
    layers_to_measure,
    measure_all_orbits,
    measure_layers,
)
from gc_utils.studies.group_crosscoders.one_feature import quantities_of
from gc_utils.studies.group_crosscoders.planted_arms import (
    ARM_METHODS,
    arm_problem,
    arm_scores,
    chiral_names,
    run_arms,
)
from gc_utils.studies.group_crosscoders.shrinkage import block_shrinkage
from gc_utils.studies.group_crosscoders.tied_beside_untied import (
    Agreement,
    Comparison,
    compare_tied,
    dictionary_growth,
    family_agreement,
)

__all__ = [
    "ARM_METHODS",
    "Agreement",
    "BankRecovery",
    "Calibration",
    "Comparison",
    "HalfTurn",
    "arm_problem",
    "arm_scores",
    "block_shrinkage",
    "by_kind",
    "calibrate",
    "chiral_names",
    "compare_half_turn",
    "compare_tied",
    "control_scores",
    "dictionary_growth",
    "equivariance_table",
    "exact_symmetry",
    "example_cards",
    "family_agreement",
    "half_turn_of_features",
    "kinds_of",
    "layers_to_measure",
    "learn_bank",
    "lines_and_curves",
    "measure_all_orbits",
    "measure_layers",
    "quantities_of",
    "right_by_kind",
    "run_arms",
    "with_columns",
]
