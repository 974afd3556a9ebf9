"""What a page about one feature says of it: its rotation, its examples, its relatives, its trust.

The sliders and the gallery show the same numbers; they are computed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from gc_utils.crosscoder.untied import GroupCrosscoder
from gc_utils.families.distance import orbit_similarity
from gc_utils.groups import Group, translate
from gc_utils.symmetry.spectra import autocorrelation
from gc_utils.symmetry.telling import half_turn_grades

QUANTILES = (0.9, 0.7, 0.5, 0.3, 0.1)  # of a feature's positive codes


@torch.no_grad()
def codes_over_group(coder: GroupCrosscoder, orbit: torch.Tensor) -> torch.Tensor:
    """Codes of a patch under every element of the group, from its stored responses.

    The transformed patch `h·x` has the orbit `R_h A`, so that nothing passes through the network
    again.

    Args:
        coder: A crosscoder of the orbit's group.
        orbit: The orbit activations of the patch, `(|G|, C)`.

    Returns:
        The codes, `(|G|, m)`; row 0 belongs to the patch as it is.
    """
    g = coder.group
    moved = translate(orbit.float().expand(g.order, -1, -1), g, torch.arange(g.order))
    return coder.encode(moved)


def predicted_codes(code: float, V: torch.Tensor, g: Group | str) -> np.ndarray:
    """What a feature's blocks predict of its code under every element.

    Were a patch's orbit `f V_i` alone, that of the patch under `h` would be `f R_h V_i`, in which
    there is `f ρ_i(h)` of the feature; codes are not negative.

    Args:
        code: The code of the patch as it is.
        V: The feature's transform blocks, `(|G|, C)`.
        g: The group.

    Returns:
        The predicted codes, float64 `(|G|,)`, none below 0.
    """
    rho = autocorrelation(V[None], g)[0].cpu().numpy()
    return np.clip(float(code) * rho, 0, None)


def agreement(measured: Sequence[float], predicted: Sequence[float]) -> float:
    """How well codes under the group's elements follow the predicted ones.

    Args:
        measured: Codes under every element, `(|G|,)`.
        predicted: What the blocks predict, `(|G|,)`.

    Returns:
        One less the mean absolute difference over that of predicting the mean of what is measured:
        1 where the two agree, 0 or less where a constant would do as well; NaN where the measured
        code does not vary by more than a thousandth of its largest value.
    """
    measured, predicted = (np.asarray(x, dtype=np.float64) for x in (measured, predicted))
    spread = np.abs(measured - measured.mean()).mean()
    if not spread > 1e-3 * np.abs(measured).max(initial=0):
        return float("nan")
    return float(1 - np.abs(measured - predicted).mean() / spread)


def samples_at_quantiles(
    values: Sequence[float], quantiles: Sequence[float] = QUANTILES
) -> list[int]:
    """Samples whose codes lie at quantiles of a feature's positive codes.

    Args:
        values: The feature's code for each sample, `(N,)`.
        quantiles: In [0, 1].

    Returns:
        The number of a sample for each quantile; empty if the feature never fires.
    """
    values = np.asarray(values)
    on = np.flatnonzero(values > 0)
    order = on[np.argsort(values[on], kind="stable")]
    return [int(order[round(q * (len(order) - 1))]) for q in quantiles] if len(order) else []


@dataclass(frozen=True)
class Relation:
    """Another feature, seen from one feature.

    Attributes:
        feature: The other feature's number.
        similarity: Cosine of the two features' blocks under the element that suits them best.
        element: That element, `h` with `V_this ≈ R_h V_other`: what excites the other feature
            excites this one once it is transformed by `h`.
    """

    feature: int
    similarity: float
    element: int


def relations(V: torch.Tensor, g: Group | str, feature: int) -> list[Relation]:
    """All other features of a dictionary, the most similar up to the group first.

    Args:
        V: Transform blocks `(m, |G|, C)`.
        g: The group.
        feature: The number of the feature that the others are compared with.

    Returns:
        A relation for each of the `m - 1` others.

    Raises:
        UserError: The shapes do not fit, or a block is not finite.
    """
    V = V.detach()
    similarity, element = orbit_similarity(V[[feature]], g, other=V, return_element=True)
    similarity, element = similarity[0].cpu().numpy(), element[0].cpu().numpy()
    order = np.argsort(-similarity, kind="stable")
    return [Relation(int(j), float(similarity[j]), int(element[j])) for j in order if j != feature]


def half_turn_text(row: Mapping[str, Any]) -> str:
    """A feature's noise-corrected `ρ(180°)` with its interval, as text.

    Args:
        row: The feature's row of `calibrated_report`.

    Returns:
        Such as "0.90 [0.84, 0.96]", above 1 where noise takes it there; empty where no other
        dictionary has the feature.
    """
    rho, low, high = (_number(row, f"rho_180{end}") for end in ("", "_low", "_high"))
    if not np.isfinite(rho):
        return ""
    return f"{rho:.2f} [{low:.2f}, {high:.2f}]"


def certainty(row: Mapping[str, Any]) -> dict[str, str]:
    """How far a feature and the name of its symmetry can be trusted, as text.

    Args:
        row: The feature's row of `calibrated_report`; what is not there is said to be unknown.

    Returns:
        Texts under `reproducibility`, `confidence`, `p`, `ρ(180°)` and `repeats after 180°`, in
        that order; the last says what the interval decides, see `half_turn_grades`.
    """

    def text(name: str) -> str:
        value = _number(row, name)
        return f"{value:.2f}" if np.isfinite(value) else "unknown"

    p = _number(row, "p_value")
    grades = half_turn_grades(_number(row, "rho_180_low"), _number(row, "rho_180_high"))
    known = f"{p:.3f}" if p >= 0.001 else "below 0.001"
    return {
        "reproducibility": text("reproducibility"),
        "confidence": text("confidence"),
        "p": known if np.isfinite(p) else "unknown",
        "ρ(180°)": half_turn_text(row) or "unknown",
        "repeats after 180°": " or ".join(grades) or "unknown",
    }


def _number(row: Mapping[str, Any], name: str) -> float:
    """A number of a row; NaN where it is not there or is none."""
    value = row.get(name)
    return float(value) if isinstance(value, (int, float, np.number)) else float("nan")
