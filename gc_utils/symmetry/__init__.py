"""The symmetry of features: stabilisers, spectra, calibration."""

from gc_utils.symmetry.calibration import SLACK, SYMMETRIC, SymmetryNull, calibrated_report
from gc_utils.symmetry.elements import family_elements
from gc_utils.symmetry.equivariance import Equivariance, equivariance, fitted_action, free_action
from gc_utils.symmetry.latent_scaling import latent_scaling, refit_blocks
from gc_utils.symmetry.noise_corrected import NoiseCorrected, noise_corrected
from gc_utils.symmetry.null import null_features, unrelated_cut
from gc_utils.symmetry.report import stabilisers, symmetry_report
from gc_utils.symmetry.spectra import (
    autocorrelation,
    block_profile,
    chirality,
    frequency_spectrum,
    invariance,
    irrep_spectrum,
    norm_profile,
)
from gc_utils.symmetry.telling import (
    FIRST_KINDS,
    PARTLY,
    clearest,
    half_turn_grades,
    of_their_kind,
    repeats_after_half_turn,
    telling_features,
)
from gc_utils.symmetry.variance import variance

__all__ = [
    "Equivariance",
    "FIRST_KINDS",
    "NoiseCorrected",
    "PARTLY",
    "SLACK",
    "SYMMETRIC",
    "SymmetryNull",
    "autocorrelation",
    "block_profile",
    "calibrated_report",
    "chirality",
    "clearest",
    "equivariance",
    "family_elements",
    "fitted_action",
    "free_action",
    "frequency_spectrum",
    "half_turn_grades",
    "invariance",
    "irrep_spectrum",
    "latent_scaling",
    "noise_corrected",
    "norm_profile",
    "null_features",
    "of_their_kind",
    "refit_blocks",
    "repeats_after_half_turn",
    "stabilisers",
    "symmetry_report",
    "telling_features",
    "unrelated_cut",
    "variance",
]
