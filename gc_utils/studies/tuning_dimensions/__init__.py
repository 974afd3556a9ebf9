"""*Identifying and interpreting tuning dimensions in deep networks* (Dey et al. 2020), 07."""

from gc_utils.studies.tuning_dimensions.attributes import explained_by, measure
from gc_utils.studies.tuning_dimensions.bank_trials import bank_trials
from gc_utils.studies.tuning_dimensions.gabor import gabor_bank, gabor_patches, gabor_stimuli
from gc_utils.studies.tuning_dimensions.illustrations import (
    clearest_dimensions,
    illustrated_walks,
    point_labels,
)
from gc_utils.studies.tuning_dimensions.information import mutual_information, recovered_dimensions
from gc_utils.studies.tuning_dimensions.layers import (
    LayerStudy,
    group_directions,
    methods_table,
    rotation_summary,
    study_layer,
)
from gc_utils.studies.tuning_dimensions.walks import QUANTILES, nearest_patches, reach, walk

__all__ = [
    "LayerStudy",
    "QUANTILES",
    "bank_trials",
    "clearest_dimensions",
    "explained_by",
    "gabor_bank",
    "gabor_patches",
    "gabor_stimuli",
    "group_directions",
    "illustrated_walks",
    "measure",
    "methods_table",
    "mutual_information",
    "nearest_patches",
    "point_labels",
    "reach",
    "recovered_dimensions",
    "rotation_summary",
    "study_layer",
    "walk",
]
