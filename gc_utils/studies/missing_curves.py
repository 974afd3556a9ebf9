"""*The Missing Curve Detectors of InceptionV1* (Gorton 2024, arXiv 2406.03662).

Radial tuning: a unit is shown arcs at all orientations, and its answer drawn over the angle. Units
are neurons, features of a sparse autoencoder, or any other directions: everything here takes
their answers `(S, U)` to the `S` drawings of `curve_bank`. Angles are degrees, counter-clockwise
from the right, and an arc's points from its middle to its centre of curvature.
"""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.signal import find_peaks
from tqdm.auto import tqdm

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.families import CURVE_ORIENTATIONS, label_features
from gc_utils.filter_bank import KINDS, FilterBank, draw_filter
from gc_utils.ground_truth import BlockCrosscoder
from gc_utils.groups import Group
from gc_utils.models import Model
from gc_utils.positions import Positions
from gc_utils.stimuli import StimulusBank, draw, stimulus_bank
from gc_utils.symmetry import family_elements
from gc_utils.training import Metrics, TrainConfig, evaluate, train
from gc_utils.tuning import unit_responses

UNITS = ("neurons", "features")
ORIENTATIONS = 36
HALF = 0.5  # of the highest answer: where a peak's width is measured
PROMINENT = 0.3  # of the highest answer: what makes a second peak
LR, BATCH = 3e-3, 256  # of a short training; smaller steps or larger batches left more, held out


def curve_bank(
    size: int, orientations: int = ORIENTATIONS, *, contrast: float = 0.5
) -> StimulusBank:
    """Drawings that tell a detector of curvature from one of lines, edges, blobs and the rest.

    All kinds of `stimulus_bank`, by which units are named, and a finer sweep of arcs for tuning: of
    more radii, and of half the contrast. The table's column `sweep` is true for those, `shape`
    counts the shapes; `curvature` is 1/radius in units of 1/(half the picture), 0 for lines.

    Args:
        size: side of the pictures; lengths scale with it.
        orientations: of every drawing that has one.
        contrast: of the drawings by which units are named.
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
    """Codes of a sparse autoencoder, `(N, C)` to `(N, m)`."""
    return torch.cat([coder.encode(part[:, None]) for part in A.split(batch)])


def usual_answers(A: torch.Tensor) -> torch.Tensor:
    """What units `(N, C)` answer in the mean where they are on, `(C,)`."""
    return A.sum(0) / (A > 0).sum(0).clamp_min(1)


def name_units(
    answers: torch.Tensor,
    table: pd.DataFrame,
    *,
    ratio: float = 1.5,
    minimum: float | torch.Tensor = 0.0,
) -> pd.DataFrame:
    """`families.label_features` by the drawings of a bank that are not part of the sweep."""
    rows = np.flatnonzero(~table["sweep"].to_numpy(dtype=bool))
    there = table.iloc[rows].reset_index(drop=True)
    named = label_features(answers[rows].clamp_min(0), there, ratio=ratio, minimum=minimum)
    named["best_stimulus"] = rows[named["best_stimulus"]]
    return named


@dataclass(frozen=True)
class RadialTuning:
    """Answers to arcs over the angle.

    Attributes:
        angles: degrees `(K,)`.
        curves: mean answer at each angle over the shapes that a unit cares for, `(U, K)`.
        table: one row a unit: `preferred` angle and the ends of its 95 % interval `low`, `high`
            (degrees; `low` may be below 0); full `width` at half height; `curvature` preferred,
            with `curvature_low`, `curvature_high`; `echo`, the answer to the arc turned by 180
            degrees over that to the preferred one; `peaks`, their number, and `second`, the angle
            of the second largest (NaN without one); `response` at the peak. NaN for a unit that
            never answers.
    """

    angles: np.ndarray
    curves: np.ndarray
    table: pd.DataFrame


def radial_tuning(
    answers: torch.Tensor, table: pd.DataFrame, *, resamples: int = 200, seed: int = 0
) -> RadialTuning:
    """Radial tuning curves, and numbers that describe them, with bootstrap intervals.

    A unit's curve is the mean over the shapes (radius, thickness, polarity, contrast) whose best
    orientation gets at least half of its strongest answer. Intervals come from drawing these
    shapes with replacement, where one of a unit's own is among those drawn.

    Args:
        answers: `(S, U)`; below 0 counts as nothing.
        table: of the bank: `kind`, `shape`, `orientation`, `curvature`.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        UserError: if the table has no arcs, or not every shape at the same orientations.
    """
    arcs = np.flatnonzero((table["kind"] == "curve").to_numpy())
    if not len(arcs):
        raise UserError("no curve among the drawings: radial tuning is measured with arcs.")
    there = table.iloc[arcs].reset_index(drop=True)
    there = there.sort_values(["shape", "orientation"])
    angles = np.unique(there["orientation"].to_numpy(dtype=float))
    if len(there) != len(angles) * there["shape"].nunique():
        raise UserError("every shape of arc must be shown at the same orientations.")
    cube = torch.as_tensor(answers)[arcs[there.index]].detach().double().clamp_min(0).numpy()
    cube = cube.reshape(-1, len(angles), cube.shape[1])  # (shapes, K, U)
    best = cube.max(1)
    cares = (best >= HALF * best.max(0)) & (best > 0)
    curves = _mean_curves(cube, cares[None].astype(float))[0]
    found = _describe(curves, angles)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(cube), np.full(len(cube), 1 / len(cube)), resamples)
    again = _preferred(_mean_curves(cube, drawn[:, :, None] * cares), angles)
    off = apart(again, found["preferred"].to_numpy())
    # None of its shapes was ever drawn, or it never answers.
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


def apart(a, b):
    """By how many degrees one angle is ahead of another, in [-180, 180)."""
    return (a - b + 180) % 360 - 180


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
    turn = np.exp(1j * np.deg2rad(angles - angles[0]))
    mean = np.einsum("...ku,k->...u", np.where(lobe, over, 0.0), turn)
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
    """Curvature at which units answer most: mean of the bends, weighted by what exceeds half."""
    weight = np.clip(best - HALF * best.max(0), 0, None)
    middle = bends @ weight / np.maximum(weight.sum(0), 1e-12)
    # Bends come in equal numbers only if all shapes are drawn: normalise by what was drawn of each.
    total = np.einsum("bp,pu->bu", drawn.astype(float), weight)
    again = np.einsum("bp,p,pu->bu", drawn.astype(float), bends, weight) / np.maximum(total, 1e-12)
    again = np.where(total > 0, again, middle)
    return middle, np.quantile(again, 0.025, axis=0), np.quantile(again, 0.975, axis=0)


# ------------------------------------------------------------------------- families of curves


def coverage(angles: Sequence[float], bins: int = 16) -> dict[str, float]:
    """How well angles cover the circle.

    Args:
        angles: degrees, NaN ignored.
        bins: of the entropy.

    Returns:
        `count`; `gap`, the largest arc without one, degrees (360 if there are none); `entropy` of
        the histogram over its maximum `log bins`, 1 for even cover.
    """
    angles = np.asarray(angles, dtype=float)
    angles = angles[~np.isnan(angles)]
    if not len(angles):
        return {"count": 0, "gap": 360.0, "entropy": 0.0}
    share = np.histogram(angles % 360, bins, (0, 360))[0] / len(angles)
    share = share[share > 0]
    return {
        "count": len(angles),
        "gap": max(b - a for a, b in gaps(angles, least=0)),
        "entropy": float(-(share * np.log(share)).sum() / np.log(bins)),
    }


def gaps(angles: Sequence[float], least: float = 30.0) -> list[tuple[float, float]]:
    """Arcs of at least so many degrees without an angle, as (from, to), counter-clockwise."""
    angles = np.sort(np.asarray(angles, dtype=float) % 360)
    if not len(angles):
        return [(0.0, 360.0)]
    ends = np.r_[angles[1:], angles[0] + 360]
    return [(float(a), float(b)) for a, b in zip(angles, ends, strict=True) if b - a >= least]


def filled(found: Sequence[tuple[float, float]], angles: Sequence[float], margin: float = 10.0):
    """Which gaps have an angle inside, at least `margin` degrees from their ends; bool a gap."""
    angles = np.asarray(angles, dtype=float) % 360
    return [
        bool((((angles - a) % 360 >= margin) & ((b - angles) % 360 >= margin)
              & ((angles - a) % 360 <= b - a)).any())
        for a, b in found
    ]  # fmt: skip


def chance_of_filling(
    found: Sequence[tuple[float, float]], count: int, *, draws: int = 2000, seed: int = 0
) -> np.ndarray:
    """How many of some gaps angles drawn at random fill, `(draws,)`; `count` angles a draw."""
    rng = np.random.default_rng(seed)
    return np.array([sum(filled(found, rng.uniform(0, 360, count))) for _ in range(draws)])


def remeasured(tuning: pd.DataFrame, draws: int, *, seed: int = 0) -> list[np.ndarray]:
    """Preferred orientations as they might have come out, given their intervals.

    To draw units with replacement would not do for the largest gap: it leaves some out, and can
    only widen it.

    Args:
        tuning: rows of `RadialTuning.table`; a normal error with their 95 % interval is assumed.
        draws: how many.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    middle = tuning["preferred"].to_numpy()
    spread = (tuning["high"] - tuning["low"]).to_numpy() / 3.92
    return [(middle + spread * rng.standard_normal(len(middle))) % 360 for _ in range(draws)]


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


@dataclass(frozen=True)
class LayerStudy:
    """Neurons and features of one layer; `UNITS` are the keys of the dictionaries.

    Attributes:
        layer: its name.
        positions: the activations that the features were learned from.
        coder: the sparse autoencoder.
        metrics: held-out.
        codes: of all positions `(N, m)`.
        drawings: what the units were shown.
        answers: to the drawings.
        names: from `name_units`.
        tuning: from `radial_tuning`.
        match: from `neuron_match`.
    """

    layer: str
    positions: Positions
    coder: GroupCrosscoder
    metrics: Metrics
    codes: torch.Tensor
    drawings: StimulusBank
    answers: dict[str, torch.Tensor]
    names: dict[str, pd.DataFrame]
    tuning: dict[str, RadialTuning]
    match: pd.DataFrame

    @property
    def decoder(self) -> torch.Tensor:
        """Decoder vectors of the features `(m, C)`."""
        return self.coder.V.detach()[:, 0]

    def detectors(self, who: str) -> np.ndarray:
        """Numbers of the neurons or features that are curve detectors."""
        return np.flatnonzero((self.names[who].label == "curve").to_numpy())

    def preferred(self, who: str) -> np.ndarray:
        """Preferred orientations of those, degrees."""
        return self.tuning[who].table.preferred.to_numpy()[self.detectors(who)]

    def unmatched(self, most: float = 0.5, fires: int = 20) -> np.ndarray:
        """Features that no neuron is like, by direction or by activation; bool `(m,)`."""
        new = (self.match.cosine < most) & (self.match.correlation < most)
        return new.to_numpy() & ((self.codes > 0).sum(0).numpy() >= fires)


def study_layer(
    model: Model,
    layer: str,
    positions: Positions,
    held_out: np.ndarray,
    *,
    features: float = 2.0,
    k: int = 16,
    steps: int = 1000,
    resamples: int = 200,
    seed: int = 0,
) -> LayerStudy:
    """Train a sparse autoencoder on a layer, and show drawings to its neurons and features.

    Args:
        model: from `load_model`.
        layer: its layer or branch.
        positions: activations, from `sample_positions`.
        held_out: those to measure on, bool `(N,)`, of other pictures.
        features: relative to the channels.
        k: active at a time, at most a quarter of the channels.
        steps: of training.
        resamples: of the bootstrap of `radial_tuning`.
        seed: of the autoencoder and the bootstrap.
    """
    A, channels = positions.A, positions.A.shape[1]
    k = max(1, min(k, channels // 4))
    coder = GroupCrosscoder("C1", channels, round(features * channels), k=k, seed=seed)
    config = TrainConfig(steps=steps, batch_size=BATCH, lr=LR, evaluate_every=steps, seed=seed)
    train(coder, A[:, None], np.flatnonzero(~held_out), A[held_out, None], config, label=layer)
    drawings = curve_bank(model.crop_size(layer))
    answers = {"neurons": unit_responses(model, layer, drawings.images)}
    answers["features"] = codes(coder, answers["neurons"])
    f = codes(coder, A)
    usual = {"neurons": usual_answers(A), "features": usual_answers(f)}
    table = drawings.table
    return LayerStudy(
        layer, positions, coder, evaluate(coder, A[held_out, None], coder.mean), f, drawings,
        answers,
        {w: name_units(answers[w], table, minimum=0.1 * usual[w]) for w in UNITS},
        {w: radial_tuning(answers[w], table, resamples=resamples, seed=seed) for w in UNITS},
        neuron_match(coder, A, f),
    )  # fmt: skip


def family_turns(
    V: torch.Tensor, g: Group, families: Sequence[int], preferred: Sequence[float]
) -> pd.DataFrame:
    """Are a family's features turned against each other by what their orientations differ by?

    Args:
        V: transform blocks of curve features `(n, |G|, C)`.
        g: their group.
        families: of the features, negative for none.
        preferred: their preferred orientations, degrees.

    Returns:
        One row a pair of a family: `off`, degrees in [0, 180] between the angle that maps one
        feature's blocks on the other's, and that between their orientations.
    """
    families, at = np.asarray(families, dtype=int), np.asarray(preferred, dtype=float)
    inside = families >= 0
    pairs = family_elements(V[torch.from_numpy(inside)], g, families[inside])
    at = at[inside]
    one, other = (at[pairs[name].to_numpy(dtype=int)] for name in ("feature", "other"))
    start = np.where(pairs["mirrored"].to_numpy(dtype=bool), 180 - other, other)
    off = np.abs(apart(start + pairs["angle"].to_numpy(dtype=float), one))
    return pairs.assign(off=off)


def published_check(
    tuning: RadialTuning, *, draws: int = 2000, seed: int = 0
) -> tuple[pd.DataFrame, dict[str, float]]:
    """Preferred orientations of mixed3b's published curve neurons, against what was published.

    Args:
        tuning: of all neurons of mixed3b, with the original weights.
        draws: permutations of the orientations over the neurons.
        seed: of the permutations.

    Returns:
        One row a neuron: `preferred`, `published`, `off` (degrees), `width`; and `median off`
        with its permutation `p`.
    """
    theirs = tuning.table.loc[list(CURVE_ORIENTATIONS), ["preferred", "width"]]
    published = np.array(list(CURVE_ORIENTATIONS.values()))
    found = theirs.preferred.to_numpy()

    def off(angles: np.ndarray) -> np.ndarray:
        return apart(angles, published)

    median = float(np.nanmedian(np.abs(off(found))))
    rng = np.random.default_rng(seed)
    shuffled = [np.nanmedian(np.abs(off(rng.permutation(found)))) for _ in range(draws)]
    p = (1 + int((np.asarray(shuffled) <= median).sum())) / (1 + draws)
    return theirs.assign(published=published, off=off(found)), {"median off": median, "p": p}


# ------------------------------------------------------------------------ one continuous thing?


def curve_ring(A: torch.Tensor, table: pd.DataFrame) -> torch.Tensor:
    """Mean activations for arcs of every orientation, without their common mean, `(K, C)`."""
    arcs = np.flatnonzero((table["kind"] == "curve").to_numpy())
    angle = table["orientation"].to_numpy(dtype=float)[arcs]
    ring = torch.stack([A[arcs[angle == a]].mean(0) for a in np.unique(angle)])
    return ring - ring.mean(0)


def ring_share(ring: torch.Tensor, directions: torch.Tensor) -> float:
    """Share of the ring's variance in the span of some directions `(w, C)`."""
    _, size, rows = torch.linalg.svd(directions.double(), full_matrices=False)
    span = rows[size > 1e-6 * size.max()]  # directions may depend on each other
    return float((ring.double() @ span.T).square().sum() / ring.double().square().sum())


def ring_spans(
    ring: torch.Tensor,
    study: LayerStudy,
    *,
    expansion: float = 2.0,
    k: int = 16,
    steps: int = 1000,
    widths: Sequence[int] = (2, 3, 4),
    seed: int = 0,
) -> pd.DataFrame:
    """Share of a ring that a few directions span: principal ones, features, blocks learned as one.

    Args:
        ring: from `curve_ring`.
        study: of the layer; blocks are trained on its positions, all of them.
        expansion: dimensions of all blocks together, relative to the channels.
        k: active dimensions a position.
        steps: of the blocks' training.
        widths: of blocks.
        seed: of the blocks' training.

    Returns:
        Rows of `kind`, `dimensions`, `share`.
    """
    principal = torch.linalg.svd(ring, full_matrices=False)[2]
    most = min(8, len(principal))
    rows = [
        {"kind": "principal directions", "dimensions": w, "share": ring_share(ring, principal[:w])}
        for w in range(1, most + 1)
    ]
    V = study.decoder
    V = V[V.norm(dim=1) > 0]
    likely = (ring @ V.T).square().sum(0) / V.square().sum(1)
    candidates = likely.topk(min(60, len(V))).indices.tolist()
    chosen: list[int] = []
    for w in range(1, min(most, len(candidates)) + 1):  # greedily, whichever adds most
        gains = {i: ring_share(ring, V[[*chosen, i]]) for i in candidates if i not in chosen}
        chosen.append(max(gains, key=gains.get))
        rows.append({"kind": "SAE features", "dimensions": w, "share": max(gains.values())})
    A, channels = study.positions.A, V.shape[1]
    every = np.arange(len(A))
    for width in widths:
        kind = type(f"Blocks{width}", (BlockCrosscoder,), {"width": width})
        count = max(1, round(expansion * channels) // width)
        active = max(1, min(k, channels // 4) // width)
        coder = kind("C1", channels, count * width, k=active, seed=seed)
        config = TrainConfig(
            steps=steps, batch_size=BATCH, lr=LR, revive=0.0, evaluate_every=steps, seed=seed
        )
        train(coder, A[:, None], every, A[:1024, None], config, label=f"blocks of {width}")
        blocks = coder.V.detach()[:, 0].unflatten(0, (count, width))
        share = max(ring_share(ring, block) for block in blocks)
        rows.append({"kind": "the best block", "dimensions": width, "share": share})
    return pd.DataFrame(rows)


def dimensions(vectors: torch.Tensor, share: float = 0.9) -> tuple[int, float]:
    """How many dimensions vectors `(n, C)` of unit length take up.

    Returns:
        How many principal ones hold `share` of their squares, and the participation ratio
        `(Σλ)² / Σλ²`.
    """
    unit = vectors.double() / vectors.double().norm(dim=1, keepdim=True).clamp_min(1e-12)
    power = torch.linalg.svdvals(unit).square()
    total = power.cumsum(0) / power.sum()
    return int((total < share - 1e-12).sum()) + 1, float(power.sum() ** 2 / power.square().sum())


# --------------------------------------------------------------------------- the hidden bank


@dataclass(frozen=True)
class HiddenBank:
    """Units that hide orientations: known mixtures of the answers of a filter bank.

    Attributes:
        bank: the filters, closed under rotation: every orientation is there.
        mix: `(units, filters)`, what each unit adds up.
        missing: filters without a unit of their own.
        pairs: filters that share one.
        superposed: whether the missing ones are written onto other units, or left out.
    """

    bank: FilterBank
    mix: torch.Tensor
    missing: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    superposed: bool

    def units(self, z: torch.Tensor) -> torch.Tensor:
        """Activations of the units, from the filters' answers `(…, filters)`."""
        return z @ self.mix.T


def _curved(bank: FilterBank) -> tuple[list[int], list[int]]:
    """The filters that look for bright curves, and those for dark ones."""
    curved = [i for i, kind in enumerate(bank.kinds) if kind == "curved_gabor"]
    return curved[: len(curved) // 2], curved[len(curved) // 2 :]


def hidden_bank(
    bank: FilterBank,
    *,
    gap: int = 2,
    single: int = 1,
    pairs: int = 3,
    spread: int = 8,
    beside: float = 1.0,
    superposed: bool = True,
    seed: int = 0,
) -> HiddenBank:
    """Take the units of some curved Gabors away, and let others share one.

    Args:
        bank: a filter bank.
        gap: neighbouring orientations that are missing together.
        single: further ones, two steps apart from those and each other.
        pairs: how many units carry two orientations, 135 degrees apart.
        spread: units that a missing filter is written onto, with random weights of unit norm.
        beside: norm of what each filter of a pair is written with onto `spread` other units.
        superposed: False leaves the missing filters out: the control.
        seed: of all choices; the same ones are missing with and without superposition.

    Raises:
        UserError: if there are not enough orientations for it.
    """
    rng = np.random.default_rng(seed)
    bright, dark = _curved(bank)
    count = len(bright)
    if count < gap + 3 * single + 4 or pairs > count // 4:
        raise UserError(f"{count} orientations are too few for that many missing and pairs.")
    start = int(rng.integers(count))
    missing = [bright[(start + k) % count] for k in range(gap)]
    at = start + gap + 2
    for _ in range(single):
        missing.append(bright[at % count])
        at += 3
    turn = int(rng.integers(count))
    first = rng.permutation(count // 4)[:pairs]
    shared = [(dark[(turn + a) % count], dark[(turn + a + 3 * count // 8) % count]) for a in first]
    gone = {*missing, *(b for _, b in shared)}
    kept = [i for i in range(len(bank.kinds)) if i not in gone]
    mix = torch.eye(len(bank.kinds))[kept]

    def spread_over(avoid: int | None = None) -> torch.Tensor:
        """A direction of unit norm, on a few units."""
        onto = rng.choice([u for u in range(len(kept)) if u != avoid], spread, replace=False)
        weight = np.zeros(len(kept), np.float32)
        weight[onto] = np.abs(rng.normal(size=spread)) + 0.5
        return torch.from_numpy(weight / np.linalg.norm(weight))

    for a, b in shared:
        unit = kept.index(a)
        mix[unit, b] = 1
        for j in (a, b):  # on one unit alone, nothing could tell them apart
            mix[:, j] += beside * spread_over(unit)
    for j in missing:
        direction = spread_over()
        if superposed:
            mix[:, j] = direction
    return HiddenBank(bank, mix, tuple(missing), tuple(shared), superposed)


def bank_answers(
    bank: FilterBank, samples: int, *, places: int = 2, noise: float = 0.02, seed: int = 0
) -> torch.Tensor:
    """Answers of a filter bank to pictures of its own patterns, added up over a few places.

    At every place stands one pattern, of any kind that is equally likely, at one of the bank's
    orientations give or take a quarter step, with a contrast between 0 and 1.

    Args:
        bank: the filters.
        samples: pictures.
        places: patterns a picture; they do not overlap, as if pooled over neighbouring units.
        noise: standard deviation of what is added to every answer.
        seed: of everything.

    Returns:
        `(samples, filters)`.
    """
    draw = torch.Generator().manual_seed(seed)
    tremble = np.linspace(-0.25, 0.25, 7) * 360 / bank.group.n
    answers = torch.stack([_turned_answers(bank, i, tremble) for i in range(len(bank.kinds))])
    total = torch.zeros(samples, len(bank.kinds))
    for _ in range(places):
        which = torch.randint(len(bank.kinds), (samples,), generator=draw)
        turned = torch.randint(len(tremble), (samples,), generator=draw)
        contrast = torch.rand(samples, 1, generator=draw)
        total += contrast * answers[which, turned]
    return (total + noise * torch.randn(total.shape, generator=draw)).relu()


@torch.no_grad()
def _turned_answers(bank: FilterBank, i: int, turns: Sequence[float]) -> torch.Tensor:
    """Answers of all filters to the pattern of one, turned a little, `(len(turns), filters)`."""
    pattern = 2 * bank.patterns[i].double() - 1
    orientation = bank.orientations[i]
    if math.isnan(orientation):
        drawn = pattern.expand(len(turns), -1, -1, -1)
    else:
        kind = next(k for k in KINDS if k.name == bank.kinds[i])
        there = draw_filter(kind, orientation)
        again = torch.stack([draw_filter(kind, orientation + t) for t in turns])
        colour = (pattern * there).sum((1, 2)) / there.square().sum()
        drawn = again[:, None] * colour[:, None, None]
    return bank((0.5 + drawn / 2).float())[:, :, 0, 0]


def curved_ring(
    bank: FilterBank, polarity: int, steps: int = 72
) -> tuple[torch.Tensor, np.ndarray]:
    """Patterns of a curved Gabor at many orientations, `(steps, 3, S, S)`, and the degrees."""
    kind = next(k for k in KINDS if k.name == "curved_gabor")
    angles = np.arange(steps) * 360 / steps
    drawn = torch.stack([draw_filter(kind, float(a)) for a in angles])
    drawn = polarity * drawn / drawn.abs().amax((1, 2), keepdim=True)
    return (0.5 + drawn / 2).float()[:, None].repeat(1, 3, 1, 1), angles


def hidden_trial(
    hidden: HiddenBank,
    z: torch.Tensor,
    *,
    features: float = 8.0,
    k: int = 2,
    steps: int = 600,
    seed: int = 0,
) -> dict[str, object]:
    """Train a sparse autoencoder on the units, and see which hidden orientations it finds.

    A feature counts as found for an orientation if its strongest answer, among all patterns of the
    bank and curved Gabors of all angles, is to a curve of that polarity, with a single peak no
    more than half a step of the group from it; and if what it adds there is at least half of what
    features add for orientations that do have a unit. (Where an orientation is left out, its
    neighbours' faint answers to it remain, and can be learned.) A unit that carries two is split if
    both are found, in different features.

    Args:
        hidden: the units.
        z: answers of the filters, from `bank_answers`.
        features: of the autoencoder, relative to the units. With few one feature sometimes stands
            for two unrelated patterns, and no other is left to mend it.
        k: active at a time, exactly.
        steps: of training.
        seed: of the autoencoder.

    Returns:
        `found`, a bool for each of `hidden.missing`, and `units_found`, the same asked of the
        units; `split`, a bool for each pair; `fvu` on a quarter that was held out; and for figures
        `angles` and `curves`, what the features add for bright curves `(m, K)`.
    """
    A = hidden.units(z)
    held = len(A) // 4
    # Exactly k a picture: with k in the mean over a batch, unrelated patterns share features.
    coder = GroupCrosscoder(
        "C1", A.shape[1], round(features * A.shape[1]), k=k, sparsity="topk", seed=seed
    )
    config = TrainConfig(
        steps=steps, batch_size=512, lr=1e-2, k_fall=0.3, evaluate_every=steps, seed=seed
    )
    train(coder, A[:, None], np.arange(held, len(A)), A[:held, None], config, progress=False)
    bank, step = hidden.bank, 360 / hidden.bank.group.n
    straight = [i for i, kind in enumerate(bank.kinds) if kind != "curved_gabor"]
    rings = {polarity: curved_ring(bank, polarity) for polarity in (1, -1)}
    angles = rings[1][1]
    with torch.no_grad():
        seen = {p: hidden.units(bank(x)[:, :, 0, 0]) for p, (x, _) in rings.items()}
        other = hidden.units(bank(bank.patterns[straight])[:, :, 0, 0])
        units = _Shown({p: y.numpy() for p, y in seen.items()}, other.numpy(), angles, step)
        adds = coder.norms
        found = _Shown(
            {p: (codes(coder, y) * adds).numpy() for p, y in seen.items()},
            (codes(coder, other) * adds).numpy(),
            angles,
            step,
        )
    bright, dark = _curved(bank)
    polarity = dict.fromkeys(bright, 1) | dict.fromkeys(dark, -1)
    gone = {*hidden.missing, *(i for pair in hidden.pairs for i in pair)}

    def least(shown: _Shown) -> float:
        """Half of what is usual for an orientation that has a unit of its own."""
        own = [i for i in polarity if i not in gone]
        usual = [shown.highest(bank.orientations[i], polarity[i]) for i in own]
        return 0.5 * float(np.median(usual))

    def finders(shown: _Shown) -> dict[int, set[int]]:
        """Who finds each hidden orientation."""
        enough = least(shown)
        return {i: shown.who(bank.orientations[i], polarity[i], enough) for i in gone}

    by_features, by_units = finders(found), finders(units)
    return {
        "found": [bool(by_features[i]) for i in hidden.missing],
        "units_found": [bool(by_units[i]) for i in hidden.missing],
        "split": [
            bool(a and b and len(a | b) > 1)
            for a, b in ((by_features[i], by_features[j]) for i, j in hidden.pairs)
        ],
        "fvu": evaluate(coder, A[:held, None], coder.mean).fvu,
        "angles": angles,
        "curves": found.rings[1].T,
    }


def hidden_trials(seeds: Sequence[int], *, workers: int = 2, progress: bool = True) -> list[dict]:
    """`hidden_trial` on banks of many seeds, with the missing filters superposed and left out.

    Args:
        seeds: of bank, pictures and autoencoder.
        workers: processes.
        progress: show a bar.

    Returns:
        Two results a seed, of `hidden_trial`, with `seed` and `superposed`.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(seeds)), mp_context=context) as pool:
        bar = tqdm(
            pool.map(_hidden_pair, seeds),
            desc="hidden banks",
            total=len(seeds),
            disable=not progress,
        )
        try:
            return [result for pair in bar for result in pair]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _hidden_pair(seed: int) -> list[dict[str, object]]:
    torch.set_num_threads(1)  # trials run side by side
    bank = FilterBank("C16")
    z = bank_answers(bank, 20_000, seed=seed)
    results = []
    for superposed in (True, False):
        hidden = hidden_bank(bank, superposed=superposed, seed=seed)
        found = hidden_trial(hidden, z, seed=seed)
        results.append(found | {"seed": seed, "superposed": superposed})
    return results


@dataclass(frozen=True)
class _Shown:
    """What units answer to curved Gabors of both polarities `(K, U)`, and to the other patterns."""

    rings: dict[int, np.ndarray]
    others: np.ndarray
    angles: np.ndarray
    step: float

    def highest(self, at: float, polarity: int) -> float:
        """The strongest answer of any unit to one curve."""
        off = np.abs(apart(self.angles, at))
        return float(self.rings[polarity][off.argmin()].max())

    def who(self, at: float, polarity: int, least: float) -> set[int]:
        """Units that prefer curves there to everything else, and answer with `least` or more."""
        ring = self.rings[polarity]
        high = ring.max(0)
        near = np.abs(apart(self.angles[ring.argmax(0)], at)) <= self.step / 2
        most = np.maximum(self.rings[-polarity].max(0), self.others.max(0))
        fit = near & (high > most) & (high >= least)
        return {int(u) for u in np.flatnonzero(fit) if len(peaks(ring[:, u])) == 1}


def peaks(curve: np.ndarray) -> np.ndarray:
    """Where a circular curve peaks, the highest first; none if it is 0."""
    high, count = float(curve.max()), len(curve)
    if not high > 0:
        return np.empty(0, dtype=int)
    tops, _ = find_peaks(np.tile(curve, 3), prominence=PROMINENT * high)
    tops = tops[(tops >= count) & (tops < 2 * count)] - count
    return tops[np.argsort(-curve[tops], kind="stable")]
