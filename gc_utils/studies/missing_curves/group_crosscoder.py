"""Curve features of the run folder's group crosscoder, compared with those of an SAE."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from gc_utils.crosscoder.untied import GroupCrosscoder
from gc_utils.studies.missing_curves.coverage import coverage
from gc_utils.studies.missing_curves.layers import family_rotations
from gc_utils.symmetry.spectra import block_profile


@dataclass(frozen=True)
class CrosscoderCurves:
    """Curve features of a group crosscoder.

    Attributes:
        values: What was measured, by name; empty with fewer than two curve features.
        profiles: The block profiles of the curve features over the rotations, `(n, K)`.
        angles: The angles of the rotations in degrees, `(K,)`.
    """

    values: dict[str, float] = field(default_factory=dict)
    profiles: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    angles: np.ndarray = field(default_factory=lambda: np.zeros(0))


def crosscoder_curves(run_dir: Path) -> CrosscoderCurves | None:
    """Read a run folder's group crosscoder and describe its curve features.

    Args:
        run_dir: The run folder, with `crosscoder.safetensors` and `features.csv` of notebooks 01
            to 04.

    Returns:
        A `CrosscoderCurves`; None if the folder holds no crosscoder.
    """
    weights, report = run_dir / "crosscoder.safetensors", run_dir / "features.csv"
    if not (weights.exists() and report.exists()):
        return None
    return curve_features(GroupCrosscoder.load(weights), pd.read_csv(report))


def curve_features(coder: GroupCrosscoder, report: pd.DataFrame) -> CrosscoderCurves:
    """Describe the curve features of a group crosscoder.

    Args:
        coder: The crosscoder.
        report: One row a feature: `feature`, `label`, `best_orientation` (degrees), `family`
            (negative for none).

    Returns:
        A `CrosscoderCurves`.
    """
    curves = report[report["label"] == "curve"]
    if len(curves) < 2:
        return CrosscoderCurves()
    g, V = coder.group, coder.V.detach()[curves["feature"].tolist()]
    covered = coverage(curves["best_orientation"])
    values = {f"crosscoder, {name}": value for name, value in covered.items()}
    sizes = curves["family"][curves["family"] >= 0].value_counts()
    values["families of curves"] = len(sizes)
    values["share in the largest"] = float(sizes.iloc[0] / len(curves)) if len(sizes) else 0.0
    pairs = family_rotations(V, g, curves["family"], curves["best_orientation"])
    if len(pairs):
        values["off by, median degrees"] = float(pairs["off"].median())
        values["pairs"] = len(pairs)
    profiles = block_profile(V)[:, : g.n]
    angles = g.angles[: g.n].numpy()
    median = profiles.median(0).values.numpy()
    values["block profile at 180°, median"] = float(np.interp(180, angles, median))
    values["its lowest"] = float(median.min())
    return CrosscoderCurves(values, profiles.numpy(), angles)
