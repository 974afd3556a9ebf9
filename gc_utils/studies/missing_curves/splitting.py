"""Features that no neuron shows, and neurons with two curves taken apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from gc_utils.statistics import apart
from gc_utils.studies.missing_curves.radial_tuning import RadialTuning

NEW = 0.5  # a feature with a cosine and a correlation below this is similar to no neuron


def neuron_match(decoder: torch.Tensor, A: torch.Tensor, f: torch.Tensor) -> pd.DataFrame:
    """The neuron that is most similar to each feature.

    Args:
        decoder: The decoder vectors of the features, `(m, C)`.
        A: Activations `(N, C)`.
        f: Their codes `(N, m)`.

    Returns:
        A table with one row a feature: `neuron` and `cosine` of the best by decoder vector,
        `correlated` and `correlation` of the best by activation (0 for a feature that never fires).
    """
    norms = decoder.norm(dim=1, keepdim=True).clamp_min(1e-12)
    cosine, neuron = (decoder / norms).max(1)
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


def like_no_neuron(
    match: pd.DataFrame, f: torch.Tensor, *, most: float = NEW, fires: int = 20
) -> np.ndarray:
    """Features that no neuron is similar to, by direction or by activation.

    Args:
        match: From `neuron_match`.
        f: The codes `(N, m)`.
        most: The cosine and the correlation that a new feature stays below.
        fires: The number of positions at which it is on at least.

    Returns:
        One bool a feature `(m,)`.
    """
    new = (match.cosine < most) & (match.correlation < most)
    return new.to_numpy() & ((f > 0).sum(0).numpy() >= fires)


def features_writing_to(
    decoder: torch.Tensor, f: torch.Tensor, neuron: int, drawings: Sequence[int]
) -> pd.DataFrame:
    """Which features write to a neuron while the network is shown given drawings.

    Args:
        decoder: The decoder vectors of the features, `(m, C)`.
        f: The codes of the drawings `(S, m)`.
        neuron: The channel of the neuron.
        drawings: The rows of `f`.

    Returns:
        A table with one row a feature that writes anything, the largest first: `feature`,
        `written`, the mean of `f_i V_i[neuron]`, and its `share` of all that is written with the
        same sign.
    """
    written = (f[list(drawings)] * decoder[:, neuron]).mean(0)
    table = pd.DataFrame({"feature": range(len(written)), "written": written.numpy()})
    table = table[table.written > 0].sort_values("written", ascending=False)
    table["share"] = table.written / table.written.sum()
    return table.reset_index(drop=True)


def split_doubles(
    decoder: torch.Tensor,
    f: torch.Tensor,
    neurons: RadialTuning,
    features: RadialTuning,
    table: pd.DataFrame,
    units: Sequence[int],
    *,
    within: float = 15.0,
) -> pd.DataFrame:
    """Neurons with two preferred orientations, and what writes to them at each.

    A neuron is *taken apart* if different features write most at its one peak and at the other, and
    each of the two responds at its own at least three times as strongly as at the other. It is
    *split* if, besides, each has a single peak, near its own of the neuron's.

    Args:
        decoder: The decoder vectors of the features, `(m, C)`.
        f: The codes of the drawings `(S, m)`.
        neurons, features: The radial tuning of both.
        table: The table of the bank.
        units: The neurons to be split, each with two peaks.
        within: The number of degrees that a feature's peak may be off.

    Returns:
        A table with one row a neuron: `neuron`, `first`, `second` (degrees), `feature1`,
        `feature2`, their `preferred1`, `preferred2`; `own1`, `own2`, a feature's response at its
        own peak over the sum of its responses at both; `own`, the same of the neuron at its larger;
        `apart`; `split`.
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
            wrote = features_writing_to(decoder, f, unit, there)
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
    """A unit's response at each of a few angles, over their sum; zeros if there is none."""
    there = np.interp(ends, tuning.angles, tuning.curves[unit], period=360)
    return there / max(float(there.sum()), 1e-12)


def double_curves(kinds: Sequence[str], tuning: pd.DataFrame, *, least: float = 45.0) -> list[int]:
    """Units that respond most to arcs and have two preferred orientations.

    Args:
        kinds: The kind of drawing that excites each unit most, from `name_units`.
        tuning: `RadialTuning.table` of the units.
        least: The least distance in degrees of the second peak from the preferred orientation.

    Returns:
        The numbers of the units, the strongest response first.
    """
    far = apart(tuning["second"], tuning["preferred"]).abs() >= least
    chosen = (tuning["peaks"] >= 2) & (np.asarray(kinds) == "curve") & far
    return list(tuning[chosen].sort_values("response", ascending=False).index)


def single_peaked(kinds: Sequence[str], tuning: pd.DataFrame) -> float:
    """Share of units with one peak only, of those that respond most to arcs.

    Args:
        kinds: The kind of drawing that excites each unit most, from `name_units`.
        tuning: `RadialTuning.table` of the units.

    Returns:
        The share; NaN if no unit responds most to arcs.
    """
    peaks = tuning["peaks"][np.asarray(kinds) == "curve"]
    peaks = peaks[peaks > 0]
    return float((peaks == 1).mean()) if len(peaks) else float("nan")


def unmatched_features(
    match: pd.DataFrame, names: pd.DataFrame, f: torch.Tensor, norms: torch.Tensor, new: np.ndarray
) -> pd.DataFrame:
    """Features that no neuron is similar to, the strongest at the top.

    Args:
        match: From `neuron_match`.
        names: The names of the features, from `name_units`.
        f: Codes of the features `(N, m)`.
        norms: Norms of their decoder vectors `(m,)`.
        new: Which features no neuron is similar to, bool `(m,)`.

    Returns:
        The rows of `match` of the new features, with `label`; `drawn`, whether a drawing excites
        it; and `strength`, the mean of its code times its norm, by which rows are ordered, those
        that a drawing excites first.
    """
    found = match[new].copy()
    found["label"] = names["label"][found.index]
    found["drawn"] = names["response"][found.index] > 0
    found["strength"] = (f.mean(0) * norms.detach()).numpy()[found.index]
    return found.sort_values(["drawn", "strength"], ascending=False)


def to_be_shown(found: pd.DataFrame, curves: int = 2, others: int = 3) -> list[int]:
    """The first few curve features and the first few others of `unmatched_features`.

    Args:
        found: From `unmatched_features`.
        curves: The number of curve features at most.
        others: The number of other features at most.

    Returns:
        The numbers of the features.
    """
    curved = found["label"] == "curve"
    return [*found[curved].index[:curves], *found[~curved].index[:others]]
