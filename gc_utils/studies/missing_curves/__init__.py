"""*The Missing Curve Detectors of InceptionV1* (Gorton 2024), notebook 06."""

from gc_utils.studies.missing_curves.baselines import Baselines, compare_dictionaries
from gc_utils.studies.missing_curves.coverage import (
    Filling,
    chance_of_filling,
    compare_coverage,
    coverage,
    fill_gaps,
    filled,
    gaps,
    gaps_by_layer,
    remeasured,
)
from gc_utils.studies.missing_curves.group_crosscoder import (
    CrosscoderCurves,
    crosscoder_curves,
    curve_features,
)
from gc_utils.studies.missing_curves.hidden_bank import (
    bank_responses,
    bright_orientations,
    hidden_bank,
    hidden_trial,
    hidden_trials,
    trial_table,
)
from gc_utils.studies.missing_curves.layers import (
    echoes,
    family_rotations,
    published_check,
    sparse_autoencoder,
    study_layer,
    summary,
)
from gc_utils.studies.missing_curves.manifold import (
    compared_dimensions,
    curve_ring,
    dimensions,
    ring_share,
    ring_spans,
)
from gc_utils.studies.missing_curves.radial_tuning import (
    UNITS,
    RadialTuning,
    curve_bank,
    name_units,
    radial_tuning,
    usual_responses,
)
from gc_utils.studies.missing_curves.random_directions import as_many_as_features, rotated_detectors
from gc_utils.studies.missing_curves.splitting import (
    double_curves,
    features_writing_to,
    neuron_match,
    single_peaked,
    split_doubles,
    to_be_shown,
    unmatched_features,
)
from gc_utils.studies.missing_curves.unit_images import (
    clearest_detectors,
    exciting_images,
    unmatched_cards,
)

__all__ = [
    "Baselines",
    "CrosscoderCurves",
    "Filling",
    "RadialTuning",
    "UNITS",
    "as_many_as_features",
    "bank_responses",
    "bright_orientations",
    "chance_of_filling",
    "clearest_detectors",
    "compare_coverage",
    "compare_dictionaries",
    "compared_dimensions",
    "coverage",
    "crosscoder_curves",
    "curve_bank",
    "curve_features",
    "curve_ring",
    "dimensions",
    "double_curves",
    "echoes",
    "exciting_images",
    "family_rotations",
    "features_writing_to",
    "fill_gaps",
    "filled",
    "gaps",
    "gaps_by_layer",
    "hidden_bank",
    "hidden_trial",
    "hidden_trials",
    "name_units",
    "neuron_match",
    "published_check",
    "radial_tuning",
    "remeasured",
    "ring_share",
    "ring_spans",
    "rotated_detectors",
    "single_peaked",
    "sparse_autoencoder",
    "split_doubles",
    "study_layer",
    "summary",
    "to_be_shown",
    "trial_table",
    "unmatched_cards",
    "unmatched_features",
    "usual_responses",
]
