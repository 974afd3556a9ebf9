"""Families of features: distance up to the group, clusters, labels."""

from gc_utils.families.clusters import (
    cluster,
    embed,
    given_families,
    linked,
    separation,
)
from gc_utils.families.distance import (
    as_group,
    check_blocks,
    cosine_distance,
    orbit_distance,
    orbit_similarity,
    unit_features,
)
from gc_utils.families.labels import label_features
from gc_utils.families.published import CURVE_ORIENTATIONS, published_family
from gc_utils.families.regression import blocks_by_regression, code_moments

__all__ = [
    "CURVE_ORIENTATIONS",
    "as_group",
    "blocks_by_regression",
    "check_blocks",
    "cluster",
    "code_moments",
    "cosine_distance",
    "embed",
    "given_families",
    "label_features",
    "linked",
    "orbit_distance",
    "orbit_similarity",
    "published_family",
    "separation",
    "unit_features",
]
