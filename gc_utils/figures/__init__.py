"""Figures of the notebooks, one module a topic."""

from gc_utils.figures.autocorrelations import Autocorrelation, autocorrelation_panels
from gc_utils.figures.cards import Card, feature_card, feature_cards
from gc_utils.figures.equivariance import dictionary_growth, equivariance_by_layer
from gc_utils.figures.extraction import image_sheet, orbit_figure, orbit_variance, spread
from gc_utils.figures.families import FamilyStrip, embedding, family_rows, separation_table
from gc_utils.figures.methods import METHODS, Look, method_look
from gc_utils.figures.motifs import STABILISERS, draw_motif, symmetry_table
from gc_utils.figures.parts import (
    KINDS,
    OTHER,
    as_images,
    label_styles,
    over_angle,
    polar_axes,
    polar_profile,
    radial_floor,
    thumbnails,
)
from gc_utils.figures.planted import (
    RECOVERY,
    calibration,
    planted_profiles,
    recovery_by_arm,
    recovery_curves,
    recovery_scores,
)
from gc_utils.figures.quantities import Quantities, symmetry_quantities
from gc_utils.figures.saving import caption, save_figure
from gc_utils.figures.style import GREY, OKABE_ITO, PALE, SMALL, WIDTH, style, styled
from gc_utils.figures.symmetry import half_turn, irrep_spectra, stabiliser_counts, stabiliser_table
from gc_utils.figures.training import (
    PARTS,
    fvu_comparison,
    fvu_per_element,
    reproducibility,
    training_curves,
)
from gc_utils.figures.walkthrough import (
    CodeExample,
    OrbitExample,
    code_walkthrough,
    orbit_walkthrough,
)

__all__ = [
    "Autocorrelation",
    "Card",
    "CodeExample",
    "FamilyStrip",
    "GREY",
    "KINDS",
    "Look",
    "METHODS",
    "OKABE_ITO",
    "OTHER",
    "OrbitExample",
    "PALE",
    "PARTS",
    "Quantities",
    "RECOVERY",
    "SMALL",
    "STABILISERS",
    "WIDTH",
    "as_images",
    "autocorrelation_panels",
    "calibration",
    "caption",
    "code_walkthrough",
    "dictionary_growth",
    "draw_motif",
    "embedding",
    "equivariance_by_layer",
    "family_rows",
    "feature_card",
    "feature_cards",
    "fvu_comparison",
    "fvu_per_element",
    "half_turn",
    "image_sheet",
    "irrep_spectra",
    "label_styles",
    "method_look",
    "orbit_figure",
    "orbit_variance",
    "orbit_walkthrough",
    "over_angle",
    "planted_profiles",
    "polar_axes",
    "polar_profile",
    "radial_floor",
    "recovery_by_arm",
    "recovery_curves",
    "recovery_scores",
    "reproducibility",
    "save_figure",
    "separation_table",
    "spread",
    "stabiliser_counts",
    "stabiliser_table",
    "style",
    "styled",
    "symmetry_quantities",
    "symmetry_table",
    "thumbnails",
    "training_curves",
]
