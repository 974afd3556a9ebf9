"""*The Persian Rug* (Cowsik et al. 2024), notebook 09."""

from gc_utils.studies.persian_rug.closed_form import (
    antipodal_loss,
    best_functions,
    best_symmetric,
    channel,
    linear_loss,
    noise_variance,
    symmetric_loss,
)
from gc_utils.studies.persian_rug.models import (
    antipodal_rug,
    broken_rug,
    gaussian_loss,
    hadamard_rug,
    heaviness,
    monte_carlo,
    projector_rug,
    row_statistics,
    sparse_data,
)
from gc_utils.studies.persian_rug.training import plateau, train_rug

__all__ = [
    "antipodal_loss",
    "antipodal_rug",
    "best_functions",
    "best_symmetric",
    "broken_rug",
    "channel",
    "gaussian_loss",
    "hadamard_rug",
    "heaviness",
    "linear_loss",
    "monte_carlo",
    "noise_variance",
    "plateau",
    "projector_rug",
    "row_statistics",
    "sparse_data",
    "symmetric_loss",
    "train_rug",
]
