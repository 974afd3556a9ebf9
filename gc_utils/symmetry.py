"""What each feature's transform blocks say of its symmetry: stabiliser, spectrum, report.

Everything rests on the autocorrelation over the group, with `(R_h V)[g] = V[g·h]`:

    ρ_i(h) = <V_i, R_h V_i> / |V_i|².

A feature's stabiliser is where `ρ` stays near 1; its power in an irrep of dimension `d` and
character `χ` is `d / (e |G|) Σ_h χ(h) ρ(h)`, `e` being 2 for complex type (Schur orthogonality).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from gc_utils.errors import UserError
from gc_utils.families import (
    as_group,
    check_blocks,
    code_moments,
    orbit_distance,
    unit_features,
)
from gc_utils.groups import Group, Subgroup

FEATURES_AT_ONCE = 256  # 63 MB of float64 blocks for D32 and 480 channels


def _safe(x: torch.Tensor) -> torch.Tensor:
    """`x` to divide by: not quite 0, so that 0 / 0 becomes 0."""
    return x.clamp_min(torch.finfo(x.dtype).tiny)


def block_profile(V: torch.Tensor) -> torch.Tensor:
    """Cosine of every block with the identity's, as a function of `g`.

    Args:
        V: transform blocks `(m, |G|, C)`.

    Returns:
        `(m, |G|)` in [-1, 1]; 0 where either block vanishes.
    """
    V = V.detach().double()
    unit = V / _safe(V.norm(dim=-1, keepdim=True))
    return (unit * unit[:, :1]).sum(-1)


def norm_profile(V: torch.Tensor) -> torch.Tensor:
    """Norm of every block relative to the feature's mean over blocks.

    Args:
        V: transform blocks `(m, |G|, C)`.

    Returns:
        `(m, |G|)`, mean 1 over `g`; 0 for a feature without norm.
    """
    norms = V.detach().double().norm(dim=-1)
    return norms / _safe(norms.mean(1, keepdim=True))


def autocorrelation(V: torch.Tensor, group: Group | str) -> torch.Tensor:
    """`ρ_i(h) = <V_i, R_h V_i> / |V_i|²` (group conventions).

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.

    Returns:
        `(m, |G|)`, float64, at most 1, exactly 1 at the identity; 0 for a feature without norm.

    Raises:
        UserError: if the shapes do not fit or a block is not finite.
    """
    V, group = check_blocks(V, group)
    table = group.table.to(V.device)
    rho = [torch.zeros(0, group.order, dtype=torch.float64, device=V.device)]
    for some in V.split(FEATURES_AT_ONCE):
        some = unit_features(some.double())
        products = some @ some.transpose(1, 2)  # <V[g], V[g']>
        rho.append(products.gather(2, table.expand(len(some), -1, -1)).sum(1))  # g' = g·h
    rho = torch.cat(rho)
    return (rho / _safe(rho[:, :1])).clamp(-1, 1)


# --- spectra -------------------------------------------------------------------------------------


def irrep_spectrum(V: torch.Tensor, group: Group | str) -> torch.Tensor:
    """Share of every feature's power in each real irrep under right translation.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.

    Returns:
        `(m, number of irreps)`, float64, columns as in `group.irreps()`, rows summing to 1; all 0
        for a feature without norm. It is the same for `R_h V` as for `V`.
    """
    return _irrep_shares(autocorrelation(V, group), as_group(group))


def _irrep_shares(rho: torch.Tensor, group: Group) -> torch.Tensor:
    weights = [irrep.characters * irrep.dim / irrep.endomorphism for irrep in group.irreps()]
    weights = torch.stack(weights, 1).to(rho.device)
    return (rho @ weights / group.order).clamp_min(0)


def frequency_spectrum(V: torch.Tensor, group: Group | str) -> torch.Tensor:
    """Share of every feature's power at each angular frequency.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.

    Returns:
        `(m, n // 2 + 1)`, float64: the irrep spectrum summed over the irreps of one frequency.
        Features that repeat after 180° have even frequencies only, polar ones odd frequencies.
    """
    return _frequency_shares(irrep_spectrum(V, group), as_group(group))


def _frequency_shares(shares: torch.Tensor, group: Group) -> torch.Tensor:
    out = shares.new_zeros(len(shares), group.n // 2 + 1)
    frequencies = torch.tensor([irrep.frequency for irrep in group.irreps()], device=out.device)
    return out.index_add_(1, frequencies, shares)


def invariance(V: torch.Tensor, group: Group | str) -> torch.Tensor:
    """Invariance index: share of power in the trivial irrep, `(m,)` in [0, 1]."""
    return irrep_spectrum(V, group)[:, 0]


def chirality(V: torch.Tensor, group: Group | str) -> torch.Tensor:
    """`1 - max ρ` over the mirrors, `(m,)`: 0 for a feature that is its own mirror image.

    NaN for a group without mirrors, and for a feature without norm.
    """
    return _chirality(autocorrelation(V, group), as_group(group))


def _chirality(rho: torch.Tensor, group: Group) -> torch.Tensor:
    if not group.dihedral:
        return torch.full((len(rho),), math.nan, dtype=rho.dtype, device=rho.device)
    return torch.where(rho[:, 0] > 0, 1 - rho[:, group.n :].amax(1), math.nan)


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


def relative_element(V_i: torch.Tensor, V_j: torch.Tensor, group: Group | str) -> tuple[int, float]:
    """The element `h` with `V_i ≈ R_h V_j`: feature `i` is feature `j` turned by `h`.

    Args:
        V_i: transform blocks `(|G|, C)`.
        V_j: transform blocks `(|G|, C)`.
        group: the group, or its name.

    Returns:
        Index of the best element (of equally good ones the lowest) and the orbit distance.
    """
    distance, element = orbit_distance(V_i[None], group, other=V_j[None], return_element=True)
    return int(element), float(distance)


def family_elements(
    V: torch.Tensor, group: Group | str, labels: Sequence[int], *, chunk: int | None = None
) -> pd.DataFrame:
    """For every pair of features in a family, the element that maps one to the other.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        labels: family of each feature `(m,)`, such as `cluster(D).labels`; missing values and
            families of one have no rows.
        chunk: features at a time, see `orbit_distance`.

    Returns:
        One row a pair `feature < other`: `family`, `feature`, `other`, `element` (index `h` with
        `V_feature ≈ R_h V_other`; the inverse maps back), `name`, `angle` (degrees of its rotation
        part), `mirrored`, `distance` (orbit distance).

    Raises:
        UserError: if the lengths differ.
    """
    V, group = check_blocks(V, group)
    families = pd.Series(list(labels))
    if len(families) != len(V):
        raise UserError(f"{len(families)} labels for {len(V)} features: expected one a feature.")
    found = []
    for family, members in families.groupby(families):
        members = np.array(members.index)
        if len(members) < 2:
            continue
        distance, element = orbit_distance(V[members], group, chunk=chunk, return_element=True)
        first, second = np.triu_indices(len(members), 1)
        h = element.cpu().numpy()[first, second]
        found.append(
            pd.DataFrame(
                {
                    "family": family,
                    "feature": members[first],
                    "other": members[second],
                    "element": h,
                    "name": np.array(group.names)[h],
                    "angle": group.angles.numpy()[h],
                    "mirrored": group.mirrored.numpy()[h],
                    "distance": distance.cpu().numpy()[first, second],
                }
            )
        )
    columns = ["family", "feature", "other", "element", "name", "angle", "mirrored", "distance"]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)


# --- what the penalty did ------------------------------------------------------------------------


def refit_blocks(
    A: torch.Tensor,
    codes: torch.Tensor,
    V: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    chunk: int = 1024,
) -> torch.Tensor:
    """Every block refitted by least squares, alone, to what the other features leave.

    With `E = A - Σ_j f_j V_j - bias` the residual, block `V_i[g]` becomes
    `V_i[g] + Σ_n f_ni E_n[g] / Σ_n f_ni²`: what it would be without penalty, all else fixed.

    Args:
        A: orbit activations `(N, |G|, C)` in the units in which `codes @ V + bias` reconstructs
            them (of a crosscoder with its normalisation folded in, as stored); only sliced, never
            loaded whole.
        codes: `(N, m)`.
        V: transform blocks `(m, |G|, C)`.
        bias: decoder bias `(|G|, C)`, 0 if None.
        chunk: samples at a time.

    Returns:
        Blocks `(m, |G|, C)`, float64; those of a feature that never fires are NaN.
    """
    moments = code_moments(codes, A, chunk=chunk)
    V = V.detach().double()
    if moments.fA.shape != V.shape:
        raise UserError(
            f"blocks of shape {tuple(V.shape)} for codes and orbits that need "
            f"{tuple(moments.fA.shape)}."
        )
    correlation = moments.fA - (moments.ff @ V.flatten(1)).view_as(V)
    if bias is not None:
        correlation = correlation - moments.f[:, None, None] * bias.detach().double()
    power = moments.ff.diagonal()
    return V + correlation / torch.where(power > 0, power, math.nan)[:, None, None]


def latent_scaling(
    A: torch.Tensor,
    codes: torch.Tensor,
    V: torch.Tensor,
    *,
    bias: torch.Tensor | None = None,
    chunk: int = 1024,
) -> torch.Tensor:
    """How far each block was shrunk: latent scaling, one number a feature and element.

    The least-squares scale of `f_i V_i[g]` on what the other features leave of `A[g]`:

        β_i[g] = Σ_n f_ni <V_i[g], A_n[g] - bias[g] - Σ_{j≠i} f_nj V_j[g]> / (Σ_n f_ni² |V_i[g]|²).

    1 where the block has the length that explains most; well above 1 where a penalty such as `l1`
    shrank it, so that its short norm is no sign of a blind orientation; near 0 where a block
    explains nothing. A block shrunk to exactly 0 has no direction to scale: see `refit_blocks`.

    Args:
        A: orbit activations `(N, |G|, C)`, see `refit_blocks`.
        codes: `(N, m)`.
        V: transform blocks `(m, |G|, C)`.
        bias: decoder bias `(|G|, C)`, 0 if None.
        chunk: samples at a time.

    Returns:
        `(m, |G|)`, float64; NaN for a vanishing block and a feature that never fires.
    """
    refitted = refit_blocks(A, codes, V, bias=bias, chunk=chunk)
    V = V.detach().double()
    power = V.square().sum(-1)
    return (V * refitted).sum(-1) / torch.where(power > 0, power, math.nan)


def clearest(report: pd.DataFrame) -> dict[str, int]:
    """The telling features of a report: the clearest of each kind that its symmetry suits.

    Args:
        report: from `symmetry_report`, with `label`, `margin` and `fires_on` (share of held-out
            samples).

    Returns:
        Feature numbers by description; a description without a feature is left out. An infinite
        margin, of a feature that answers to one kind only, does not count as clear: such features
        answer to few stimuli of any kind.
    """
    active = report[report.fires_on > 0.002]
    wanted = {
        "invariant": active[active.stabiliser == "G"],
        "line, repeats after 180°": active[
            (active.period_degrees == 180) & (active.label == "line")
        ],
        "curve, repeats after 360°": active[
            (active.period_degrees == 360) & (active.label == "curve")
        ],
    }
    return {
        name: int(rows.feature.loc[rows.margin.where(np.isfinite(rows.margin), 0).idxmax()])
        for name, rows in wanted.items()
        if len(rows)
    }


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
            `(subgroups,)` or `(m, subgroups)` (`null.calibrated_report` has some with reasons).
        labels: what to put into a column `label`, one a feature.

    Returns:
        A table with the columns

        - `feature`, and `label` if given;
        - `stabiliser` its name, missing for a feature without norm; `order_of_stabiliser`;
        - `axis_degrees` its smallest mirror axis, NaN without mirrors and for the whole group;
        - `period_degrees` the smallest turn after which the feature repeats;
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

    shares = _irrep_shares(rho, group)
    frequencies = _frequency_shares(shares, group)
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
    table["chirality"] = known(_chirality(rho, group))
    table["dominant_frequency"] = known(frequencies.argmax(1))
    table["dominant_harmonic"] = known(harmonic)
    table["mean_rho"] = known(rho[:, 1 : group.n].mean(1))
    table["norm"] = V.double().flatten(1).norm(dim=1).cpu().numpy()
    table["norm_min"] = low.cpu().numpy()
    table["norm_max"] = high.cpu().numpy()
    table["norm_ratio"] = known(low / _safe(high))
    return table
