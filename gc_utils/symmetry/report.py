"""The symmetry report: one row a feature, with its stabiliser and mirror axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from gc_utils.errors import UserError
from gc_utils.families.distance import as_group, check_blocks
from gc_utils.groups import Group, Subgroup
from gc_utils.symmetry.spectra import (
    above_zero,
    autocorrelation,
    chirality_of,
    frequency_shares,
    irrep_shares,
    norm_profile,
)

# --- stabilisers ---------------------------------------------------------------------------------


def stabilisers(
    V: torch.Tensor, group: Group | str, threshold: float = 0.9
) -> list[Subgroup | None]:
    """The largest subgroup on which `ρ_i ≥ threshold`; ties go to the highest mean `ρ`.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        threshold: in (0, 1].

    Returns:
        One subgroup a feature; None for a feature without norm.

    Raises:
        UserError: if the threshold is out of range or the shapes do not fit.
    """
    group = as_group(group)
    subgroups = group.subgroups()
    chosen, _, _ = group.largest_subgroups(autocorrelation(V, group), threshold)
    return [None if i < 0 else subgroups[i] for i in chosen.tolist()]


# --- the report ----------------------------------------------------------------------------------


def symmetry_report(
    V: torch.Tensor,
    group: Group | str,
    threshold: float | torch.Tensor = 0.9,
    labels: Sequence | None = None,
) -> pd.DataFrame:
    """The symmetry of every feature, one row each (claim GC3).

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        threshold: least autocorrelation on the stabiliser, in (0, 1]; or one for every subgroup,
            `(subgroups,)` or `(m, subgroups)` (`calibrated_report` has some with reasons).
        labels: what to put into a column `label`, one a feature.

    Returns:
        A table with the columns

        - `feature`, and `label` if given;
        - `stabiliser` its name, missing for a feature without norm; `order_of_stabiliser`;
        - `axis_degrees` its smallest mirror axis, NaN without mirrors and for the whole group;
        - `period_degrees` the smallest rotation after which the feature repeats;
        - `stabiliser_rho` least `ρ` on the stabiliser, and `next_rho` the largest least `ρ` on a
          subgroup that contains it: how far either side of the threshold the verdict lies;
        - `invariance`, `chirality` as the functions of these names;
        - `dominant_frequency` the angular frequency with most power, and `dominant_harmonic` the
          same without frequency 0 (missing for `C1`);
        - `mean_rho` mean autocorrelation over the rotations other than the identity;
        - `norm` of all blocks, `norm_min` and `norm_max` of the norm profile, `norm_ratio` their
          quotient.

    Raises:
        UserError: if the shapes do not fit, the threshold is out of range, or labels are too few.

    Example:
        >>> V = torch.ones(1, 8, 16)  # the same block for every element
        >>> symmetry_report(V, "D4").stabiliser[0]
        'G'
    """
    V, group = check_blocks(V, group)
    if labels is not None and len(labels) != len(V):
        raise UserError(f"{len(labels)} labels for {len(V)} features: expected one a feature.")
    subgroups = group.subgroups()
    rho = autocorrelation(V, group)
    chosen, least, _ = group.largest_subgroups(rho, threshold)
    live = chosen >= 0
    found = [subgroups[i] if i >= 0 else None for i in chosen.tolist()]

    larger = torch.tensor(  # [s, t]: subgroup t properly contains s
        [[set(s.elements) < set(t.elements) for t in subgroups] for s in subgroups]
    ).to(rho.device)
    next_rho = torch.where(larger[chosen.clamp_min(0)], least, -math.inf).amax(1)

    shares = irrep_shares(rho, group)
    frequencies = frequency_shares(shares, group)
    missing = math.nan
    harmonic = torch.full_like(rho[:, 0], missing)
    if frequencies.shape[1] > 1:
        harmonic = frequencies[:, 1:].argmax(1) + 1.0
    norms = norm_profile(V)
    low, high = norms.amin(1), norms.amax(1)

    def known(values: torch.Tensor) -> np.ndarray:
        return torch.where(live & values.isfinite(), values.double(), missing).cpu().numpy()

    table = pd.DataFrame({"feature": np.arange(len(V))})
    if labels is not None:
        table["label"] = list(labels)
    table["stabiliser"] = pd.Series([s.name if s else None for s in found], dtype=object)
    table["order_of_stabiliser"] = [s.order if s else 0 for s in found]
    table["axis_degrees"] = [s.axis_degrees if s else missing for s in found]
    table["period_degrees"] = [360 / s.rotation_order if s else missing for s in found]
    table["stabiliser_rho"] = known(least.gather(1, chosen.clamp_min(0)[:, None])[:, 0])
    table["next_rho"] = known(next_rho)
    table["invariance"] = known(shares[:, 0])
    table["chirality"] = known(chirality_of(rho, group))
    table["dominant_frequency"] = known(frequencies.argmax(1))
    table["dominant_harmonic"] = known(harmonic)
    table["mean_rho"] = known(rho[:, 1 : group.n].mean(1))
    table["norm"] = V.double().flatten(1).norm(dim=1).cpu().numpy()
    table["norm_min"] = low.cpu().numpy()
    table["norm_max"] = high.cpu().numpy()
    table["norm_ratio"] = known(low / above_zero(high))
    return table
