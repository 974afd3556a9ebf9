"""*The Missing Curve Detectors of InceptionV1* (Gorton 2024, arXiv 2406.03662).

Radial tuning: a unit is shown arcs at all orientations, and its response is drawn over the angle.
Units are neurons, features of a sparse autoencoder, or any other directions: everything here takes
their responses `(S, U)` to the `S` drawings of `curve_bank`. Angles are degrees, counter-clockwise
from the right, and an arc's points from its middle to its centre of curvature.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.signal import find_peaks

from gc_utils.crosscoder.untied import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.families.labels import label_features
from gc_utils.images.stimuli import StimulusBank, draw, stimulus_bank
from gc_utils.statistics import apart

UNITS = ("neurons", "features")
ORIENTATIONS = 36
HALF = 0.5  # of the highest response: where a peak's width is measured
PROMINENT = 0.3  # of the highest response: what makes a second peak


def curve_bank(
    size: int, orientations: int = ORIENTATIONS, *, contrast: float = 0.5
) -> StimulusBank:
    """Drawings that separate a detector of curvature from one of lines, edges, blobs and the rest.

    All kinds of `stimulus_bank`, by which units are named, and a finer sweep of arcs for tuning: of
    more radii, and of half the contrast.

    Args:
        size: The side of the images in pixels; lengths scale with it.
        orientations: The number of orientations of every drawing that has one.
        contrast: The contrast of the drawings by which units are named.

    Returns:
        A `StimulusBank`. The table's column `sweep` is true for the finer sweep, `shape` counts the
        shapes, and `curvature` is 1/radius in units of 1/(half the image), 0 for lines.
    """
    named = stimulus_bank(size, orientations, contrast=contrast)
    images, tables = [named.images], [named.table.assign(contrast=contrast, sweep=False)]
    angles = np.arange(orientations) * 360 / orientations
    shape = int(named.table["shape"].max()) + 1
    for radius in (8, 13, 20, 31, 60):
        for width in (3, 6):
            for polarity in (1, -1):
                for share in (1.0, 0.5):
                    if share == 1 and radius <= 20:
                        continue  # among the others
                    how = {
                        "radius": radius * size / 95,
                        "width": width * size / 95,
                        "polarity": polarity,
                        "contrast": share * contrast,
                    }
                    images.append(draw("curve", size, orientation=angles, **how))
                    row = {"kind": "curve", "shape": shape, "sweep": True} | how
                    tables.append(pd.DataFrame([row | {"orientation": a} for a in angles]))
                    shape += 1
    table = pd.concat(tables, ignore_index=True)
    table["curvature"] = (size / 2 / table["radius"]).where(table.kind == "curve")
    table.loc[table.kind == "line", "curvature"] = 0.0
    return StimulusBank(torch.cat(images), table)


@torch.no_grad()
def codes(coder: GroupCrosscoder, A: torch.Tensor, batch: int = 4096) -> torch.Tensor:
    """Codes of a sparse autoencoder.

    Args:
        coder: A sparse autoencoder of `m` features.
        A: Activations `(N, C)`.
        batch: The number of samples that are encoded at a time.

    Returns:
        The codes `(N, m)`.
    """
    return torch.cat([coder.encode(part[:, None]) for part in A.split(batch)])


def usual_responses(A: torch.Tensor) -> torch.Tensor:
    """The mean response of units `(N, C)` where they are on, `(C,)`."""
    return A.sum(0) / (A > 0).sum(0).clamp_min(1)


def name_units(
    responses: torch.Tensor,
    table: pd.DataFrame,
    *,
    ratio: float = 1.5,
    minimum: float | torch.Tensor = 0.0,
) -> pd.DataFrame:
    """`families.label_features` by the drawings of a bank that are not part of the sweep.

    Args:
        responses: Responses `(S, U)` to all drawings of the bank.
        table: The table of the bank.
        ratio: How many times stronger than any other kind the best kind has to be.
        minimum: The least response of a named unit, one number or `(U,)`.

    Returns:
        The table of `label_features`, one row a unit; `best_stimulus` counts all drawings.
    """
    rows = np.flatnonzero(~table["sweep"].to_numpy(dtype=bool))
    there = table.iloc[rows].reset_index(drop=True)
    named = label_features(responses[rows].clamp_min(0), there, ratio=ratio, minimum=minimum)
    named["best_stimulus"] = rows[named["best_stimulus"]]
    return named


@dataclass(frozen=True)
class RadialTuning:
    """Responses to arcs over the angle.

    Attributes:
        angles: The angles in degrees `(K,)`.
        curves: The mean response at each angle over the shapes that a unit responds to, `(U, K)`.
        table: One row a unit: `preferred` angle and the ends of its 95 % interval `low`, `high`
            (degrees; `low` may be below 0); full `width` at half height; `curvature` preferred,
            with `curvature_low`, `curvature_high`; `echo`, the response to the arc rotated by 180
            degrees over that to the preferred one; `peaks`, their number, and `second`, the angle
            of the second largest (NaN without one); `response` at the peak. NaN for a unit that
            never responds.
    """

    angles: np.ndarray
    curves: np.ndarray
    table: pd.DataFrame


def radial_tuning(
    responses: torch.Tensor, table: pd.DataFrame, *, resamples: int = 200, seed: int = 0
) -> RadialTuning:
    """Radial tuning curves, and numbers that describe them, with bootstrap intervals.

    A unit's curve is the mean over the shapes (radius, thickness, polarity, contrast) whose best
    orientation gets at least half of its strongest response. Intervals come from drawing these
    shapes with replacement, where one of a unit's own is among those drawn.

    Args:
        responses: The responses `(S, U)`; below 0 counts as 0.
        table: The table of the bank: `kind`, `shape`, `orientation`, `curvature`.
        resamples: The number of resamples of the bootstrap.
        seed: The seed of the bootstrap.

    Returns:
        A `RadialTuning`.

    Raises:
        UserError: The table has no arcs, or not every shape at the same orientations.
    """
    arcs = np.flatnonzero((table["kind"] == "curve").to_numpy())
    if not len(arcs):
        raise UserError(
            "no curve among the drawings: radial tuning is measured with arcs. Pass the responses "
            "to curve_bank and its table."
        )
    there = table.iloc[arcs].reset_index(drop=True)
    there = there.sort_values(["shape", "orientation"])
    angles = np.unique(there["orientation"].to_numpy(dtype=float))
    if len(there) != len(angles) * there["shape"].nunique():
        raise UserError(
            f"{len(there)} arcs of {there['shape'].nunique()} shapes, {len(angles)} orientations: "
            "every shape of arc must be shown at the same orientations. Pass all rows of the bank."
        )
    cube = torch.as_tensor(responses)[arcs[there.index]].detach().double().clamp_min(0).numpy()
    cube = cube.reshape(-1, len(angles), cube.shape[1])  # (shapes, K, U)
    best = cube.max(1)
    cares = (best >= HALF * best.max(0)) & (best > 0)
    curves = _mean_curves(cube, cares[None].astype(float))[0]
    found = _describe(curves, angles)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(cube), np.full(len(cube), 1 / len(cube)), resamples)
    again = _preferred(_mean_curves(cube, drawn[:, :, None] * cares), angles)
    off = apart(again, found["preferred"].to_numpy())
    # None of its shapes was ever drawn, or it never responds.
    off[:, np.isnan(off).all(0)] = 0.0
    found["low"] = found["preferred"] + np.nanquantile(off, 0.025, axis=0)
    found["high"] = found["preferred"] + np.nanquantile(off, 0.975, axis=0)
    bends = there["curvature"].to_numpy(dtype=float)[:: len(angles)]
    found["curvature"], *ends = _curvature(best, bends, drawn)
    found["curvature_low"], found["curvature_high"] = ends
    found.loc[~(curves.max(0) > 0), found.columns.difference(["unit", "peaks", "response"])] = (
        np.nan
    )
    return RadialTuning(angles, curves.T, found)


def _mean_curves(cube: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted means over shapes: `(P, K, U)`, `(B, P, U)` to `(B, K, U)`."""
    total = np.einsum("pku,bpu->bku", cube, weight, optimize=True)
    return total / np.maximum(weight.sum(1), 1e-12)[:, None]


def _preferred(curves: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """Circular mean of what exceeds half height in the peak's own lobe: `(…, K, U)` to `(…, U)`.

    NaN for a curve that is 0.
    """
    count = len(angles)
    at = curves.argmax(-2)[..., None, :]
    ahead = (np.arange(count)[:, None] + at) % count  # samples from the peak on
    over = np.take_along_axis(curves, ahead, -2) - HALF * curves.max(-2, keepdims=True)
    right = np.logical_and.accumulate(over >= 0, -2)
    left = np.logical_and.accumulate(np.roll((over >= 0)[..., ::-1, :], 1, -2), -2)
    lobe = right | np.roll(left[..., ::-1, :], 1, -2)
    phase = np.exp(1j * np.deg2rad(angles - angles[0]))
    mean = np.einsum("...ku,k->...u", np.where(lobe, over, 0.0), phase)
    found = (np.rad2deg(np.angle(mean)) + angles[at[..., 0, :]]) % 360
    return np.where(curves.max(-2) > 0, found, np.nan)


def _describe(curves: np.ndarray, angles: np.ndarray) -> pd.DataFrame:
    step, rows = 360 / len(angles), []
    preferred = _preferred(curves, angles)
    for u, curve in enumerate(curves.T):
        high = float(curve.max())
        row = {"unit": u, "response": high, "preferred": preferred[u], "peaks": 0}
        row |= {"second": np.nan, "width": np.nan, "echo": np.nan}
        if high > 0:
            tops = peaks(curve)
            row["peaks"] = len(tops)
            if len(tops) > 1:
                row["second"] = angles[tops[1]]
            opposite = (preferred[u] + 180) % 360
            row["echo"] = float(np.interp(opposite, angles, curve, period=360)) / high
            row["width"] = step * _width(np.roll(curve, -int(curve.argmax())))
        rows.append(row)
    return pd.DataFrame(rows)


def _width(curve: np.ndarray) -> float:
    """Full width at half height, in samples, of a circular curve whose peak is at 0."""
    half, total = HALF * curve[0], 0.0
    for side in (curve, np.roll(curve[::-1], 1)):
        below = np.flatnonzero(side < half)
        if not len(below):
            return float(len(curve))
        k = below[0]
        total += k - 1 + (side[k - 1] - half) / (side[k - 1] - side[k])
    return min(total, float(len(curve)))


def _curvature(
    best: np.ndarray, bends: np.ndarray, drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Curvature at which units respond most: mean of the bends, weighted by what exceeds half."""
    weight = np.clip(best - HALF * best.max(0), 0, None)
    middle = bends @ weight / np.maximum(weight.sum(0), 1e-12)
    # Bends come in equal numbers only if all shapes are drawn: normalise by what was drawn of each.
    total = np.einsum("bp,pu->bu", drawn.astype(float), weight)
    again = np.einsum("bp,p,pu->bu", drawn.astype(float), bends, weight) / np.maximum(total, 1e-12)
    again = np.where(total > 0, again, middle)
    return middle, np.quantile(again, 0.025, axis=0), np.quantile(again, 0.975, axis=0)


def peaks(curve: np.ndarray) -> np.ndarray:
    """Where a circular curve peaks.

    Args:
        curve: Responses `(K,)` at equal steps around the circle.

    Returns:
        The indices of its peaks, the highest first; none if the curve is 0.
    """
    high, count = float(curve.max()), len(curve)
    if not high > 0:
        return np.empty(0, dtype=int)
    tops, _ = find_peaks(np.tile(curve, 3), prominence=PROMINENT * high)
    tops = tops[(tops >= count) & (tops < 2 * count)] - count
    return tops[np.argsort(-curve[tops], kind="stable")]
