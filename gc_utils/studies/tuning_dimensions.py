"""*Identifying and interpreting tuning dimensions in deep networks* (Dey et al. 2020, 2011.03043).

A tuning dimension is a stimulus attribute that accounts for much of a population's activation
variance. It is looked for without naming attributes: activations are decomposed, and each basis
direction is walked along and looked at. Here attributes are also measured, so that a dimension's
name is a number and not an opinion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import GroupKFold, cross_val_predict

from gc_utils.activations import ActivationStore
from gc_utils.decompositions import BASELINE, METHODS, Decomposition, decompose
from gc_utils.errors import UserError
from gc_utils.groups import Group
from gc_utils.models import Model
from gc_utils.orbits import turn
from gc_utils.stimuli import LUMA
from gc_utils.symmetry import frequency_spectrum, invariance
from gc_utils.visualise import Objective, turn_patch

QUANTILES = (0.02, 0.5, 0.9, 0.98, 0.998)  # of a walk


# --------------------------------------------------------------------------- the synthetic test


def gabor_stimuli(
    count: int, size: int = 33, *, colour: bool = True, seed: int = 0
) -> tuple[torch.Tensor, pd.DataFrame]:
    """Gabor patches with random attributes: what the synthetic bank is shown.

    Args:
        count: patches.
        size: their side in pixels.
        colour: whether half of them are coloured (red against green, or blue against yellow).
        seed: of the draw.

    Returns:
        `(count, 3, size, size)`, and a table: `orientation` (degrees, period 180), `frequency`
        (cycles a pixel), `phase` (degrees) and, if wanted, `hue` (name).
    """
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "orientation": rng.uniform(0, 180, count),
            "frequency": 1 / np.exp(rng.uniform(np.log(5), np.log(14), count)),
            "phase": rng.uniform(0, 360, count),
        }
    )
    if colour:
        table["hue"] = rng.choice(["grey", "red", "blue"], count, p=[0.5, 0.25, 0.25])
    images = gabor_patches(table, size)
    return images, table


def gabor_patches(table: pd.DataFrame, size: int, contrast: float = 0.9) -> torch.Tensor:
    """Patches of given attributes, `(len(table), 3, size, size)`; see `gabor_stimuli`."""
    at = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    y, x = torch.meshgrid(-at, at, indexing="ij")
    turn = torch.deg2rad(torch.tensor(table["orientation"].to_numpy(dtype=float)))[:, None, None]
    frequency = torch.tensor(table["frequency"].to_numpy(dtype=float))[:, None, None]
    phase = torch.deg2rad(torch.tensor(table["phase"].to_numpy(dtype=float)))[:, None, None]
    wave = torch.cos(2 * torch.pi * frequency * (turn.cos() * x + turn.sin() * y) - phase)
    field = 0.5 * contrast * wave * torch.exp(-(x**2 + y**2) / (2 * (size / 6) ** 2))
    colours = {"grey": (1, 1, 1), "red": (1, -1, 0), "blue": (-0.5, -0.5, 1)}
    hues = table["hue"] if "hue" in table else ["grey"] * len(table)
    weight = torch.tensor([colours[h] for h in hues], dtype=torch.float64)
    return (0.5 + field[:, None] * weight[:, :, None, None]).float()


@dataclass(frozen=True)
class GaborBank:
    """Rectified Gabor filters at a grid of attributes.

    Attributes:
        weight: `(F, 3, S, S)`.
        table: attributes of the filters.
    """

    weight: torch.Tensor
    table: pd.DataFrame

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Answers `(B, F)` to patches `(B, 3, S, S)` in [0, 1]."""
        return F.relu((x - 0.5).flatten(1) @ self.weight.flatten(1).T)


def gabor_bank(
    size: int = 33, *, orientations: int = 8, frequencies: int = 3, phases: int = 4,
    colour: bool = True,
) -> GaborBank:  # fmt: skip
    """A bank at all combinations of orientation, spatial frequency, phase and colour."""
    waves = np.exp(np.linspace(np.log(5.5), np.log(13), frequencies))
    rows = [
        {"orientation": 180 * o / orientations, "frequency": 1 / w, "phase": 360 * p / phases,
         "hue": h}
        for h in (("grey", "red", "blue") if colour else ("grey",))
        for w in waves
        for o in range(orientations)
        for p in range(phases)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    weight = gabor_patches(table, size) - 0.5
    weight = weight / weight.flatten(1).norm(dim=1)[:, None, None, None]
    return GaborBank(weight, table)


def mutual_information(codes: np.ndarray, attribute: Sequence, bins: int = 8) -> np.ndarray:
    """Mutual information of each column with an attribute, both binned, in nats, `(d,)`.

    Numbers are binned into equally full bins (a code's zeros are one bin), names are bins already.
    """
    return _information(_binned_columns(codes, bins), _binned(attribute, bins))


def _binned(values: Sequence, bins: int) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "fiu":
        return np.unique(values, return_inverse=True)[1]
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right")


def _binned_columns(codes: np.ndarray, bins: int) -> np.ndarray:
    return np.stack([_binned(column, bins) for column in codes.T], 1)


def _information(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of binned columns `(N, d)` with a binned vector `(N,)`."""
    kinds, others, columns = int(x.max()) + 1, int(y.max()) + 1, x.shape[1]
    cell = (np.arange(columns) * kinds + x) * others + y[:, None]
    joint = np.bincount(cell.ravel(), minlength=columns * kinds * others)
    p = joint.reshape(columns, kinds, others) / len(y)
    alone = p.sum(2, keepdims=True) * p.sum(1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p > 0, p * np.log(p / alone), 0.0).sum((1, 2))


def recovered_dimensions(
    codes: np.ndarray,
    attributes: pd.DataFrame,
    *,
    bins: int = 8,
    permutations: int = 999,
    seed: int = 0,
) -> pd.DataFrame:
    """Which attributes a decomposition's dimensions carry, against chance.

    For every attribute the largest mutual information of any dimension is compared with that after
    shuffling the attribute over samples: the p-value is for the largest, so that many dimensions
    do not help. `share` is what it is of the attribute's entropy, without the mean of the shuffled;
    `gap` how much more that dimension says about it than the next, also of the entropy: 1 if the
    dimension stands for the attribute alone (the mutual information gap of Chen et al. 2018).

    Returns:
        One row an attribute: `attribute`, `dimension`, `information` (nats), `chance` (95 %
        quantile of the shuffled), `share`, `gap`, `p_value`.
    """
    x, rows = _binned_columns(codes, bins), []
    rng = np.random.default_rng(seed)
    for name in attributes:
        y = _binned(attributes[name].to_numpy(), bins)
        found = _information(x, y)
        shuffled = [_information(x, rng.permutation(y)) for _ in range(permutations)]
        most = np.max(shuffled, 1)
        share = np.bincount(y) / len(y)
        entropy = float(-(share[share > 0] * np.log(share[share > 0])).sum())
        best = np.sort(found)[::-1]
        rows.append(
            {
                "attribute": name,
                "dimension": int(found.argmax()),
                "information": float(found.max()),
                "chance": float(np.quantile(most, 0.95)),
                "share": float(found.max() - np.mean(shuffled)) / entropy,
                "gap": float(best[0] - best[1]) / entropy if len(best) > 1 else np.nan,
                "p_value": (1 + int((most >= found.max()).sum())) / (1 + permutations),
            }
        )
    return pd.DataFrame(rows)


def holm(p_values: Sequence[float], level: float, families: Sequence | None = None) -> np.ndarray:
    """Which of many p-values are below a level, by Holm's step-down rule; bool, in their order.

    Args:
        p_values: one a test.
        level: of the family-wise error.
        families: tests that are corrected together; None for all.
    """
    p = np.asarray(p_values, dtype=float)
    families = np.zeros(len(p)) if families is None else np.asarray(families)
    out = np.zeros(len(p), dtype=bool)
    for family in np.unique(families):
        rows = np.flatnonzero(families == family)
        order = rows[np.argsort(p[rows], kind="stable")]
        passed = p[order] <= level / np.arange(len(order), 0, -1)
        out[order] = np.cumprod(passed).astype(bool)
    return out


# -------------------------------------------------------------------------------------- walks


def _spread(at: np.ndarray) -> np.ndarray:
    """The unit of each coordinate: its standard deviation over the samples `(N, d)`."""
    return np.maximum(at.std(0), 1e-12)


def walk(at: np.ndarray, dimension: int, quantiles: Sequence[float] = QUANTILES) -> np.ndarray:
    """Points of a walk along a dimension, `(len(quantiles), d)` coordinates.

    Along the dimension they lie at quantiles of the samples' coordinates (many dimensions have a
    long tail, of which steps in standard deviations would show little), along all others at the
    median.

    Args:
        at: coordinates of the samples `(N, d)`, from `Decomposition.coordinates`.
        dimension: to walk along.
        quantiles: of the samples' coordinates, in [0, 1].
    """
    points = np.tile(np.median(at, 0), (len(quantiles), 1))
    points[:, dimension] = np.quantile(at[:, dimension], quantiles)
    return points


def nearest_patches(at: np.ndarray, points: np.ndarray, count: int = 1) -> np.ndarray:
    """Samples that lie nearest to the points of a walk, `(len(points), count)`, each once.

    Distances are in standard deviations of each coordinate. Points far out choose first: samples
    are rare there.

    Args:
        at: coordinates of the samples `(N, d)`.
        points: from `walk`.
        count: samples at each point.

    Raises:
        UserError: if there are fewer samples than places.
    """
    if len(at) < len(points) * count:
        raise UserError(
            f"{len(at)} samples are too few for {count} at each of {len(points)} points."
        )
    spread = _spread(at)
    rows = np.empty((len(points), count), dtype=int)
    free = np.ones(len(at), dtype=bool)
    far = np.linalg.norm((points - np.median(at, 0)) / spread, axis=1)
    for n in np.argsort(-far, kind="stable"):
        off = np.linalg.norm((at - points[n]) / spread, axis=1)
        rows[n] = np.argsort(np.where(free, off, np.inf), kind="stable")[:count]
        free[rows[n]] = False
    return rows


def reach(
    model: Model,
    layer: str,
    found: Decomposition,
    points: np.ndarray,
    at: np.ndarray,
    *,
    smooth: float = 2000.0,
) -> Objective:
    """Objective for `visualise.optimise`: coordinates as near as can be to points `(B, d)`.

    What the dimensions do not hold is left free, but for a penalty on rough pictures: the mean of
    photographs' activations is not that of any picture, and to ask for all of it makes noise.

    Args:
        model, layer: where the activations come from.
        found: their decomposition.
        points: from `walk`.
        at: coordinates of the samples `(N, d)`, whose spread is the unit of each.
        smooth: weight of the mean square of differences between neighbouring pixels.
    """
    there, readout, mean, spread = (
        torch.as_tensor(v, dtype=torch.float32, device=model.device)
        for v in (points, found.readout(), found.mean, _spread(at))
    )

    def objective(x: torch.Tensor) -> torch.Tensor:
        off = ((model.unit(x, layer) - mean) @ readout - there) / spread
        rough = x.diff(dim=2).square().mean((1, 2, 3)) + x.diff(dim=3).square().mean((1, 2, 3))
        return -off.square().sum(1) - smooth * rough

    return objective


# ---------------------------------------------------------------------------------- attributes


def measure(patches: torch.Tensor, sigma: float = 1.0, *, batch: int = 512) -> pd.DataFrame:
    """Attributes of patches, measured in the inscribed disc.

    Args:
        patches: `(N, 3, S, S)` in [0, 1].
        sigma: pixels, of the Gaussian derivative.
        batch: patches at once.

    Returns:
        One row a patch:

        - `cos2`, `sin2`: orientation energy, the structure tensor's direction (of the gradient) at
          twice the angle, times its coherence: 0 if there is no one orientation;
        - `cos1`, `sin1`: mean gradient over its mean length: to the bright side;
        - `coherence` in [0, 1];
        - `frequency`: log of the spectral centroid of luminance, cycles a pixel;
        - `contrast`: log of the root mean square of luminance;
        - `luminance`: mean;
        - `red_green`, `blue_yellow`: mean opponent colours; `saturation`: their mean length;
        - `curvature`: how fast the gradient's direction changes along the contour, weighted by its
          squared length, per half patch.
    """
    parts = [_measured(part.float(), sigma) for part in patches.split(batch)]
    return pd.concat(parts, ignore_index=True)


def _measured(x: torch.Tensor, sigma: float) -> pd.DataFrame:
    size = x.shape[-1]
    luma = torch.einsum("nchw,c->nhw", x, LUMA.float())
    at = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    row, column = torch.meshgrid(-at, at, indexing="ij")
    inside = torch.hypot(row, column) <= size / 2
    weight = inside.float() / inside.sum()

    def mean(field: torch.Tensor) -> torch.Tensor:
        return (field * weight).sum((1, 2))

    gx, gy, gxx, gyy, gxy = _derivatives(luma, sigma)
    energy = gx.square() + gy.square()
    total = mean(energy).clamp_min(1e-12)
    cos2, sin2 = mean(gx.square() - gy.square()) / total, mean(2 * gx * gy) / total
    length = mean(energy.sqrt()).clamp_min(1e-9)
    bend = (gxx * gy.square() - 2 * gxy * gx * gy + gyy * gx.square()) / energy.clamp_min(1e-9)
    centred = (luma - mean(luma)[:, None, None]) * inside
    window = (1 - (torch.hypot(row, column) / (size / 2)).square()).clamp_min(0)
    power = torch.fft.fft2(centred * window).abs().square()
    fy, fx = torch.fft.fftfreq(size)[:, None], torch.fft.fftfreq(size)[None]
    where = torch.hypot(fy, fx)
    centroid = (power * where).sum((1, 2)) / power.sum((1, 2)).clamp_min(1e-12)
    red_green, blue_yellow = x[:, 0] - x[:, 1], x[:, 2] - (x[:, 0] + x[:, 1]) / 2
    return pd.DataFrame(
        {
            "cos2": cos2,
            "sin2": sin2,
            "cos1": mean(gx) / length,
            "sin1": mean(gy) / length,
            "coherence": torch.hypot(cos2, sin2),
            "frequency": centroid.clamp_min(1e-3).log(),
            "contrast": (mean(centred.square()).sqrt() + 1e-3).log(),
            "luminance": mean(luma),
            "red_green": mean(red_green),
            "blue_yellow": mean(blue_yellow),
            "saturation": mean(torch.hypot(red_green, blue_yellow)),
            # Along the contour the direction turns by bend/|gradient| a pixel; weighted by energy.
            "curvature": (mean(bend.abs() * energy.sqrt()) / total) * size / 2,
        }
    )


def _derivatives(picture: torch.Tensor, sigma: float) -> tuple[torch.Tensor, ...]:
    """Gaussian derivatives by x, y, xx, yy and xy of `(N, S, S)`, x right and y up."""
    radius = int(np.ceil(4 * sigma))
    at = torch.arange(-radius, radius + 1, dtype=torch.float32)
    smooth = torch.exp(-at.square() / (2 * sigma**2))
    smooth = smooth / smooth.sum()
    # As correlations, in the order of the derivative; rows count down.
    across = smooth, at / sigma**2 * smooth, (at.square() / sigma**4 - 1 / sigma**2) * smooth
    up = [kernel.flip(0) for kernel in across]
    orders = (1, 0), (0, 1), (2, 0), (0, 2), (1, 1)
    kernels = torch.stack([torch.outer(up[y], across[x]) for x, y in orders])
    padded = F.pad(picture[:, None], [radius] * 4, mode="replicate")
    return F.conv2d(padded, kernels[:, None]).unbind(1)


ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "orientation": ("cos2", "sin2", "coherence"),
    "direction": ("cos1", "sin1"),
    "frequency": ("frequency",),
    "contrast": ("contrast",),
    "luminance": ("luminance",),
    "colour": ("red_green", "blue_yellow", "saturation"),
    "curvature": ("curvature",),
}


def explained_by(
    codes: np.ndarray, measured: pd.DataFrame, groups: Sequence, *, folds: int = 3, seed: int = 0
) -> pd.DataFrame:
    """How well measured attributes predict each dimension: cross-validated R².

    Extremely randomised trees; samples of one photograph are never on both sides of a split.

    Args:
        codes: coordinates `(N, d)`.
        measured: from `measure`, `N` rows.
        groups: the photograph of each sample.
        folds: of the cross-validation.
        seed: of the trees.

    Returns:
        One row a dimension: `all`, R² from all attributes, and one column for each of
        `ATTRIBUTES`, from that alone. Below 0 where the prediction is worse than the mean, and
        `all` can be less than one attribute alone: the others are noise to it.
    """
    groups = np.asarray(groups)
    splits = GroupKFold(min(folds, len(np.unique(groups))))
    y = (codes - codes.mean(0)) / np.maximum(codes.std(0), 1e-12)
    found = {}
    for name, parts in {"all": tuple(measured), **ATTRIBUTES}.items():
        model = ExtraTreesRegressor(30, min_samples_leaf=8, random_state=seed, n_jobs=2)
        x = measured[list(parts)].to_numpy()
        guess = cross_val_predict(model, x, y, groups=groups, cv=splits)
        left = np.square(y - guess.reshape(y.shape)).sum(0) / np.square(y).sum(0)
        found[name] = 1 - left
    return pd.DataFrame(found)


# ------------------------------------------------------------------------------ group directions


def group_directions(A: torch.Tensor, g: Group, found: Decomposition) -> pd.DataFrame:
    """How much of each dimension turning the picture explains, and at which frequency.

    The coordinates of orbit activations along a dimension are a function on the group, one channel
    for each picture: its irrep spectrum is that of a feature's blocks.

    Args:
        A: orbit activations `(N, |G|, C)`.
        g: their group.
        found: the decomposition.

    Returns:
        One row a dimension: `turning`, the share of variance within orbits (what the trivial irrep
        does not hold), and `frequency m`, shares of all variance by angular frequency.
    """
    z = torch.from_numpy(found.coordinates(A.flatten(0, 1))).unflatten(0, A.shape[:2])
    z = z.permute(2, 1, 0)  # (d, |G|, N)
    z = z - z.mean((1, 2), keepdim=True)
    table = {"turning": 1 - invariance(z, g).numpy()}
    spectrum = frequency_spectrum(z, g)
    return pd.DataFrame(
        table | {f"frequency {m}": share.numpy() for m, share in enumerate(spectrum.T)}
    )


# --------------------------------------------------------------------------------- one layer


@dataclass(frozen=True)
class LayerStudy:
    """Tuning dimensions of one layer, by every method.

    Attributes:
        store: orbit activations.
        rows: sample and element of every crop that was decomposed, `(N, 2)`.
        found: method → decomposition.
        coordinates: method → where the crops lie along its basis, `(N, d)`.
        named: method → R² of measured attributes, from `explained_by`.
        chance: the same with the attributes shuffled over the samples.
        turning: method → table of `group_directions`.
    """

    store: ActivationStore
    rows: np.ndarray
    found: dict[str, Decomposition]
    coordinates: dict[str, np.ndarray]
    named: dict[str, pd.DataFrame]
    chance: dict[str, pd.DataFrame]
    turning: dict[str, pd.DataFrame]

    def crops(self, rows: Sequence[int]) -> np.ndarray:
        """The crops behind some rows, turned as they were, uint8 `(k, S, S, 3)`."""
        patches = self.store.patches
        return np.stack(
            [turn_patch(patches[n], self.store.group, int(e)) for n, e in self.rows[list(rows)]]
        )

    def best(self) -> pd.DataFrame:
        """R² of the dimension that each attribute predicts best, one row a method."""
        return pd.DataFrame({m: t.max() for m, t in self.named.items()}).T


def study_layer(
    store: ActivationStore,
    count: int,
    *,
    methods: Sequence[str] = (*METHODS, BASELINE),
    most: int = 2400,
    seed: int = 0,
) -> LayerStudy:
    """Decompose a layer's activations and say what its dimensions are.

    Args:
        store: orbit activations.
        count: dimensions.
        methods: see `decompose`; NMF is left out if an activation is negative.
        most: crops that are decomposed and measured, drawn from all samples at all turns.
        seed: of the draw and the methods.
    """
    A, g = store.read().float(), store.group
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(A) * g.order)[:most]
    rows = np.stack(np.divmod(drawn, g.order), 1)
    x = A.flatten(0, 1)[drawn]
    methods = [m for m in methods if m != "NMF" or float(x.min()) >= 0]
    found = {m: decompose(x, m, count, seed=seed) for m in methods}
    patches = torch.from_numpy(store.patches).permute(0, 3, 1, 2).float() / 255
    crops = torch.empty(len(rows), *patches.shape[1:])
    for sample in np.unique(rows[:, 0]):
        here = np.flatnonzero(rows[:, 0] == sample)
        crops[here] = turn(patches[sample], g, blur=0.0)[rows[here, 1]]
    measured = measure(crops)
    pictures = store.samples["photograph"][rows[:, 0]]
    shuffled = measured.iloc[rng.permutation(len(measured))].reset_index(drop=True)
    # What is named is what walks go along and what turning is measured of: coordinates.
    coordinates = {m: f.coordinates(x) for m, f in found.items()}
    every = np.concatenate(list(coordinates.values()), 1)

    def each(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
        return {
            m: table.iloc[n * count : (n + 1) * count].reset_index(drop=True)
            for n, m in enumerate(methods)
        }

    return LayerStudy(
        store,
        rows,
        found,
        coordinates,
        each(explained_by(every, measured, pictures, seed=seed)),
        each(explained_by(every, shuffled, pictures, seed=seed)),
        {m: group_directions(A, g, f) for m, f in found.items()},
    )
