"""*Identifying and interpreting tuning dimensions in deep networks* (Dey et al. 2020), 07."""

from gc_utils.studies.tuning_dimensions.attributes import explained_by, measure
from gc_utils.studies.tuning_dimensions.gabor import gabor_bank, gabor_patches, gabor_stimuli
from gc_utils.studies.tuning_dimensions.information import mutual_information, recovered_dimensions
from gc_utils.studies.tuning_dimensions.layers import group_directions, study_layer
from gc_utils.studies.tuning_dimensions.walks import QUANTILES, nearest_patches, reach, walk

__all__ = [
    "QUANTILES",
    "explained_by",
    "gabor_bank",
    "gabor_patches",
    "gabor_stimuli",
    "group_directions",
    "measure",
    "mutual_information",
    "nearest_patches",
    "reach",
    "recovered_dimensions",
    "study_layer",
    "walk",
]
