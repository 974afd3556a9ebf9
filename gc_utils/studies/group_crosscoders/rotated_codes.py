"""A feature's code over the rotations of one patch, beside what its blocks say."""

from __future__ import annotations

import math

import torch

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.groups import translate


@torch.no_grad()
def code_under_rotations(coder: GroupCrosscoder, orbit: torch.Tensor, feature: int) -> torch.Tensor:
    """The code of one feature for a patch under every rotation of the group.

    The rotated patch `r·x` has the orbit `R_r A`, so that nothing passes through the network again.

    Args:
        coder: A crosscoder of the orbit's group.
        orbit: The orbit activations of the patch, `(|G|, C)`.
        feature: The number of the feature.

    Returns:
        Codes `(n,)`, first that of the patch as it is; mirrored views are left out.
    """
    g = coder.group
    rotations = torch.arange(g.n)
    A = translate(orbit.float().expand(g.n, -1, -1), g, rotations)
    return coder.encode(A)[:, feature]


def closing_explorer(feature: int, label: str, period: float, codes: torch.Tensor) -> str:
    """Close notebook 05: does the code return after the period that the blocks report?

    Args:
        feature: The number of the feature.
        label: Its label.
        period: The period in degrees that the stabiliser of its blocks gives.
        codes: Its code under every rotation, from `code_under_rotations`.

    Returns:
        One sentence with the share of the code that is left after the period, or after 180° where
        the period is a full rotation, and the least share over all rotations.
    """
    name, first = f"Feature {feature} ({label})", float(codes[0])
    if not first > 0:
        return f"{name} does not fire on this patch, so its code cannot be followed."
    step = 360 / len(codes)
    share = (codes / first).tolist()
    least = min(range(len(share)), key=share.__getitem__)
    lowest = f"the least of all rotations is {100 * share[least]:.0f} % at {least * step:.0f}°"
    whole = not math.isfinite(period) or period >= 360
    at = 180.0 if whole else period
    if not math.isclose(at / step, round(at / step)):
        return f"{name}: the rotations of this group do not include {at:g}°; {lowest}."
    left = share[round(at / step) % len(share)]
    kept = left >= 0.5
    agrees = "as its blocks say" if kept != whole else "although its blocks say otherwise"
    verb = "returns" if kept else "does not return"
    return (
        f"{name}, of period {period:.0f}° by its blocks: rotated by {at:.0f}° its strongest patch "
        f"keeps {100 * left:.0f} % of the code, which {verb} there, {agrees}; {lowest}."
    )
