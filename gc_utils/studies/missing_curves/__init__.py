"""*The Missing Curve Detectors of InceptionV1* (Gorton 2024), notebook 06."""

from gc_utils.studies.missing_curves.coverage import (
    chance_of_filling,
    coverage,
    filled,
    gaps,
    remeasured,
)
from gc_utils.studies.missing_curves.hidden_bank import (
    bank_answers,
    hidden_bank,
    hidden_trial,
    hidden_trials,
)
from gc_utils.studies.missing_curves.layers import family_turns, published_check, study_layer
from gc_utils.studies.missing_curves.manifold import curve_ring, dimensions, ring_share, ring_spans
from gc_utils.studies.missing_curves.radial_tuning import (
    UNITS,
    RadialTuning,
    curve_bank,
    name_units,
    radial_tuning,
    usual_answers,
)
from gc_utils.studies.missing_curves.splitting import neuron_match, split_doubles

__all__ = [
    "RadialTuning",
    "UNITS",
    "bank_answers",
    "chance_of_filling",
    "coverage",
    "curve_bank",
    "curve_ring",
    "dimensions",
    "family_turns",
    "filled",
    "gaps",
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
    "split_doubles",
    "study_layer",
    "usual_answers",
]
