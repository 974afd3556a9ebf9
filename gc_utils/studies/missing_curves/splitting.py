"""Features that no neuron shows, and neurons with two curves taken apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from gc_utils.crosscoder.untied import GroupCrosscoder
from gc_utils.statistics import apart
from gc_utils.studies.missing_curves.radial_tuning import RadialTuning

# --------------------------------------------------------------------------- neurons and features


def neuron_match(coder: GroupCrosscoder, A: torch.Tensor, f: torch.Tensor) -> pd.DataFrame:
    """The neuron that is most like each feature.

    Args:
        coder: a sparse autoencoder.
        A: activations `(N, C)`.
        f: their codes `(N, m)`.

    Returns:
        One row a feature: `neuron` and `cosine` of the best by decoder vector, `correlated` and
        `correlation` of the best by activation (0 for a feature that never fires).
    """
    V = coder.V.detach()[:, 0]
    cosine, neuron = (V / V.norm(dim=1, keepdim=True).clamp_min(1e-12)).max(1)
    x, y = (v.double() - v.double().mean(0) for v in (f, A))
    x, y = (v / v.norm(dim=0).clamp_min(1e-12) for v in (x, y))
    correlation, correlated = (x.T @ y).max(1)
    return pd.DataFrame(
        {
            "neuron": neuron.numpy(),
            "cosine": cosine.numpy(),
            "correlated": correlated.numpy(),
            "correlation": correlation.numpy(),
        }
    )


def decompose(
    coder: GroupCrosscoder, f: torch.Tensor, neuron: int, drawings: Sequence[int]
) -> pd.DataFrame:
    """Which features write to a neuron while it looks at given drawings.

    Args:
        coder: a sparse autoencoder.
        f: codes of the drawings `(S, m)`.
        neuron: which channel.
        drawings: rows of `f`.

    Returns:
        One row a feature that writes anything, the largest first: `feature`, `written`, the mean
        of `f_i V_i[neuron]`, and its `share` of all that is written with the same sign.
    """
    written = (f[list(drawings)] * coder.V.detach()[:, 0, neuron]).mean(0)
    table = pd.DataFrame({"feature": range(len(written)), "written": written.numpy()})
    table = table[table.written > 0].sort_values("written", ascending=False)
    table["share"] = table.written / table.written.sum()
    return table.reset_index(drop=True)


def split_doubles(
    coder: GroupCrosscoder,
    f: torch.Tensor,
    neurons: RadialTuning,
    features: RadialTuning,
    table: pd.DataFrame,
    units: Sequence[int],
    *,
    within: float = 15.0,
) -> pd.DataFrame:
    """Neurons with two preferred orientations, and what writes to them at each.

    A neuron is *taken apart* if other features write most at its one peak than at the other, and
    each of the two answers at its own at least three times as much as at the other. It is *split*
    if, besides, each has a single peak, near its own of the neuron's.

    Args:
        coder: a sparse autoencoder.
        f: codes of the drawings `(S, m)`.
        neurons, features: radial tuning of both.
        table: of the bank.
        units: neurons to look at, each with two peaks.
        within: degrees that a feature's peak may be off.

    Returns:
        One row a neuron: `neuron`, `first`, `second` (degrees), `feature1`, `feature2`, their
        `preferred1`, `preferred2`; `own1`, `own2`, what a feature answers at its own peak over the
        sum of its answers at both; `own`, the same of the neuron at its larger; `apart`; `split`.
    """
    rows = []
    for unit in units:
        ends = [neurons.table.preferred[unit], neurons.table.second[unit]]
        row = {"neuron": unit, "first": ends[0], "second": ends[1]}
        row["own"] = max(_own(neurons, unit, ends))
        single = []
        for name, at in zip("12", ends, strict=True):
            off = np.abs(apart(table["orientation"], at))
            there = np.flatnonzero((table["kind"] == "curve") & (off <= within / 2 + 1e-9))
            wrote = decompose(coder, f, unit, there)
            best = int(wrote.feature[0]) if len(wrote) else -1
            row[f"feature{name}"] = best
            seen = features.table.loc[best] if best >= 0 else None
            row[f"preferred{name}"] = np.nan if seen is None else seen.preferred
            row[f"own{name}"] = _own(features, best, ends)[int(name) - 1] if best >= 0 else 0.0
            near = seen is not None and abs(apart(seen.preferred, at)) <= within
            single.append(bool(near and seen.peaks == 1))
        row["apart"] = row["feature1"] != row["feature2"] and min(row["own1"], row["own2"]) >= 0.75
        row["split"] = all(single) and row["apart"]
        rows.append(row)
    columns = ["neuron", "first", "second", "own", "feature1", "preferred1", "own1", "feature2"]
    return pd.DataFrame(rows, columns=[*columns, "preferred2", "own2", "apart", "split"])


def _own(tuning: RadialTuning, unit: int, ends: Sequence[float]) -> np.ndarray:
    """What a unit answers at each of a few angles, over the sum; zeros if at none."""
    there = np.interp(ends, tuning.angles, tuning.curves[unit], period=360)
    return there / max(float(there.sum()), 1e-12)
