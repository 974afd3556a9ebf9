"""A feature's code over the rotations of one patch, beside what its blocks say."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.explorer.exhibit import Exhibit
from gc_utils.inspection import agreement, codes_over_group


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
    return codes_over_group(coder, orbit)[: coder.group.n, feature]


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


def how_codes_follow(
    exhibit: Exhibit, features: Sequence[int], *, patches: int = 3
) -> pd.DataFrame:
    """How much of the variation of features' codes over the group their blocks account for.

    Args:
        exhibit: The data of the explorer.
        features: The numbers of the features.
        patches: The number of strongest patches of each that are rotated.

    Returns:
        One row a feature: `feature`, `label`, `symmetry`, and means over its patches: `follows`,
        from `inspection.agreement`, NaN where no code varies; `least` and `most`, the least and the
        largest code over the group relative to that of the patch as it is, NaN where that is off.
    """
    rows = []
    for feature in map(int, features):
        ratios, shares = [], []
        for patch in map(int, exhibit.ranked(feature)[:patches]):
            measured = exhibit.measured(feature, patch)
            ratios.append(agreement(measured, exhibit.predicted(feature, patch)))
            if measured[0] > 0:
                shares.append((measured.min() / measured[0], measured.max() / measured[0]))
        known = [ratio for ratio in ratios if np.isfinite(ratio)]
        least, most = np.mean(shares, 0) if shares else (np.nan, np.nan)
        row = exhibit.row(feature)
        rows.append(
            {
                "feature": feature,
                "label": row.get("label", ""),
                "symmetry": row.get("stabiliser", ""),
                "follows": float(np.mean(known)) if known else np.nan,
                "least": float(least),
                "most": float(most),
            }
        )
    return pd.DataFrame(rows)


def closing_followed(followed: pd.DataFrame) -> str:
    """Close notebook 05: for how many features do the blocks predict the code?

    Args:
        followed: From `how_codes_follow`.

    Returns:
        A sentence or two with the feature that follows its blocks best and the one that does least,
        and how far the code of invariant features varies.
    """
    known = followed[followed.symmetry != "G"].dropna(subset="follows")
    if not len(known):
        return "None of these features is one whose code should vary over the group, and does."
    best, worst = (known.loc[at] for at in (known.follows.idxmax(), known.follows.idxmin()))
    half = int((known.follows >= 0.5).sum())
    text = (
        f"The blocks account for half or more of the variation of {half} of {len(known)} features"
    )
    if len(known) > 1:
        text += f": most for feature {best.feature} ({best.label}, {best.follows:.2f}), least for "
        text += f"feature {worst.feature} ({worst.label}, {worst.follows:.2f})"
    invariant = followed[(followed.symmetry == "G") & followed.least.notna()]
    if len(invariant):
        low, high = invariant.least.min(), invariant.most.max()
        text += f". Features that the blocks call invariant vary between {100 * low:.0f} % and "
        text += f"{100 * high:.0f} % of the code of the unrotated patch"
    return text + "."
