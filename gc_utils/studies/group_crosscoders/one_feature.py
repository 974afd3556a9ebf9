"""All that notebook 04 computes of one feature's symmetry, for a figure."""

from __future__ import annotations

import pandas as pd
import torch

from gc_utils.figures import Quantities
from gc_utils.groups import Group
from gc_utils.symmetry import NoiseCorrected, autocorrelation, block_profile, irrep_spectrum


def quantities_of(
    row: pd.Series, V: torch.Tensor, corrected: NoiseCorrected, group: Group
) -> Quantities:
    """The quantities of one feature.

    Args:
        row: Its row of `calibrated_report`, with `label`.
        V: Transform blocks of all features, `(m, |G|, C)`.
        corrected: The noise-corrected autocorrelations of all features.
        group: The group.
    """
    i = int(row.feature)
    one = V[i : i + 1].detach()
    found = (
        block_profile(one)[0],
        autocorrelation(one, group)[0],
        corrected.rho[i],
        corrected.low[i],
        corrected.high[i],
        irrep_spectrum(one, group)[0],
    )
    name = row.stabiliser if isinstance(row.stabiliser, str) else ""
    trust = (float(row[name]) for name in ("p_value", "confidence", "reproducibility"))
    return Quantities(
        i,
        str(row.label),
        *(values.double().cpu().numpy() for values in found),
        name,
        float(row.axis_degrees),
        float(row.chirality),
        *trust,
    )
