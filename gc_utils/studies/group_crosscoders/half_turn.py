"""Lines and curves under a rotation by 180°: the comparison behind claim GC3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import mannwhitneyu

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.groups import Group
from gc_utils.inspection import label_crosscoder
from gc_utils.symmetry import autocorrelation

LEAST = 3  # features of each kind; with fewer the test cannot reach any usual level


@dataclass(frozen=True)
class HalfTurn:
    """The autocorrelation `ρ(180°)` of line features and of curve features.

    Attributes:
        lines: of the features labelled "line", `(n,)`, in [-1, 1].
        curves: of the features labelled "curve", `(m,)`, in [-1, 1].
        p: one-sided Mann–Whitney p-value of "lines have the larger values"; NaN where there are
            fewer than three features of either kind, or the group has no half turn.
    """

    lines: np.ndarray
    curves: np.ndarray
    p: float

    def medians(self) -> dict[str, float]:
        """The median of each kind that has a feature, rounded to three digits."""
        kinds = {"lines": self.lines, "curves": self.curves}
        return {k: round(float(np.median(v)), 3) for k, v in kinds.items() if len(v)}

    def __str__(self) -> str:
        kinds = {"lines": self.lines, "curves": self.curves}
        return str({k: np.round(np.sort(v), 2).tolist() for k, v in kinds.items()})


def compare_half_turn(V: torch.Tensor, labels: Sequence[str], group: Group) -> HalfTurn:
    """Compare how lines and curves correlate with themselves, rotated by 180°.

    Args:
        V: The transform blocks, `(m, |G|, C)`.
        labels: The kind of each feature, of length `m`; "line" and "curve" are compared.
        group: The group; one of odd rotation order has no half turn and yields empty arrays.

    Returns:
        The values of both kinds and the p-value of their difference.
    """
    if group.n % 2:
        return HalfTurn(np.array([]), np.array([]), float("nan"))
    half, labels = autocorrelation(V, group)[:, group.n // 2].numpy(), np.asarray(labels)
    lines, curves = half[labels == "line"], half[labels == "curve"]
    if min(len(lines), len(curves)) < LEAST:
        return HalfTurn(lines, curves, float("nan"))
    p = float(mannwhitneyu(lines, curves, alternative="greater").pvalue)
    return HalfTurn(lines, curves, p)


def compare_half_turn_of_files(
    paths: Iterable[Path], stimuli, A: torch.Tensor, group: Group
) -> HalfTurn:
    """Compare lines and curves over all features of several saved crosscoders.

    One crosscoder has few lines, so the features of all cross-validation folds are put together.

    Args:
        paths: The crosscoders' files.
        stimuli: The drawings from `inspection.stimuli_for` that give each feature its label.
        A: Orbit activations of images, `(N, |G|, C)`, the background of the labels.
        group: The group of the crosscoders.

    Returns:
        The comparison; both arrays are empty if there are no files.
    """
    blocks, labels = [torch.zeros(0, group.order, A.shape[2])], []
    for path in paths:
        coder = GroupCrosscoder.load(path)
        blocks.append(coder.V.detach())
        labels += list(label_crosscoder(coder, stimuli, A).label)
    return compare_half_turn(torch.cat(blocks), labels, group)
