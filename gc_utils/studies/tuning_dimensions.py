"""*Identifying and interpreting tuning dimensions in deep networks* (Dey et al. 2020, 2011.03043).

A tuning dimension is a stimulus attribute that accounts for much of a population's activation
variance. It is looked for without naming attributes: activations are decomposed, and each basis
direction is walked along and looked at. Here attributes are also measured, so that a dimension's
name is a number and not an opinion.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.decomposition import NMF, PCA, FastICA, MiniBatchDictionaryLearning
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupKFold, cross_val_predict

from gc_utils.activations import ActivationStore
from gc_utils.errors import UserError, choose
from gc_utils.groups import Group
from gc_utils.orbits import turn
from gc_utils.stimuli import LUMA
from gc_utils.symmetry import frequency_spectrum, invariance
from gc_utils.visualise import turn_patch

METHODS = ("PCA", "ICA", "NMF", "sparse dictionary")


# -------------------------------------------------------------------------------- decompositions


@dataclass(frozen=True)
class Decomposition:
    """Basis directions of a population, and where samples lie along them.

    Attributes:
        method: one of `METHODS`.
        basis: directions `(d, C)`, of unit length.
        codes: coordinates of the samples `(N, d)`, with the sign that makes their skewness
            positive where a method leaves it open.
        mean: `(C,)`, the point that walks set out from.
        explained: share of variance that the samples' reconstructions hold.
    """

    method: str
    basis: np.ndarray
    codes: np.ndarray
    mean: np.ndarray
    explained: float

    def spread(self) -> np.ndarray:
        """Standard deviation of the coordinates, `(d,)`."""
        return self.codes.std(0)


def decompose(A: torch.Tensor, method: str, count: int, *, seed: int = 0) -> Decomposition:
    """Basis directions of activations, by one method.

    Args:
        A: activations `(N, C)`.
        method: "PCA", "ICA" (whitened by PCA to `count`), "NMF" (activations are not negative) or
            "sparse dictionary" (non-negative codes, any directions).
        count: directions wanted, at most C.
        seed: of the methods that draw.

    Raises:
        UserError: an unknown method, too many directions, or NMF of negative activations.
    """
    choose(method, METHODS, "method")
    x = A.double().numpy()
    if not 1 <= count <= min(x.shape):
        raise UserError(f"{count} dimensions of activations of shape {x.shape}: too many or none.")
    mean = x.mean(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # judged by the variance explained
        if method == "PCA":
            found = PCA(count, random_state=seed).fit(x)
            basis, codes = found.components_, found.transform(x)
        elif method == "ICA":
            found = FastICA(count, whiten="unit-variance", random_state=seed, max_iter=400)
            codes = found.fit_transform(x)
            basis = found.mixing_.T
        elif method == "NMF":
            if x.min() < 0:
                raise UserError(
                    "NMF takes activations that are not negative: choose another layer."
                )
            found = NMF(count, init="nndsvda", random_state=seed, max_iter=400)
            codes = found.fit_transform(x)
            basis, mean = found.components_, np.zeros_like(mean)
        else:
            found = MiniBatchDictionaryLearning(
                count, alpha=0.1 * float(np.linalg.norm(x - mean, axis=1).mean()), max_iter=20,
                fit_algorithm="cd", transform_algorithm="lasso_cd", positive_code=True,
                batch_size=256, random_state=seed,
            )  # fmt: skip
            found.set_params(transform_alpha=found.alpha)
            codes = found.fit(x - mean).transform(x - mean)
            basis = found.components_
    left = x - mean - codes @ basis
    explained = 1 - float(np.square(left).sum() / np.square(x - x.mean(0)).sum())
    length = np.linalg.norm(basis, axis=1)
    basis, codes = basis / np.maximum(length, 1e-12)[:, None], codes * length
    if method in ("PCA", "ICA"):
        skew = np.sign(((codes - codes.mean(0)) ** 3).mean(0))
        skew[skew == 0] = 1
        basis, codes = basis * skew[:, None], codes * skew
    order = np.argsort(-codes.var(0), kind="stable")
    return Decomposition(method, basis[order], codes[:, order], mean, explained)


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


def walk(found: Decomposition, dimension: int, steps: Sequence[float] = (-2, -1, 0, 1, 2)):
    """Points of a walk along a dimension through the mean, `(len(steps), C)`.

    Steps are in standard deviations of the samples' coordinates.
    """
    at = np.asarray(steps, dtype=float)[:, None] * found.spread()[dimension]
    middle = found.mean + found.codes.mean(0) @ found.basis
    points = middle + at * found.basis[dimension]
    return torch.from_numpy(points).float()


def nearest_patches(
    found: Decomposition, dimension: int, steps: Sequence[float], A: torch.Tensor, count: int = 1
) -> np.ndarray:
    """Samples that lie nearest to the points of a walk, `(len(steps), count)`.

    Of the samples whose coordinate is closest to the point's (a tenth of all), those with the
    largest share of their deviation along the dimension.
    """
    codes = found.codes[:, dimension]
    off = codes - codes.mean()
    middle = A.double().numpy().mean(0)
    length = np.linalg.norm(A.double().numpy() - middle, axis=1)
    share = np.abs(off) / np.maximum(length, 1e-12)
    rows, used = [], set()
    for step in steps:
        target = step * found.spread()[dimension]
        near = np.argsort(np.abs(off - target), kind="stable")[: max(count * 4, len(codes) // 10)]
        score = -length[near] if step == 0 else share[near]
        order = [int(i) for i in near[np.argsort(-score, kind="stable")] if int(i) not in used]
        rows.append(order[:count])
        used |= set(order[:count])
    return np.asarray(rows)


def reach(model, layer: str, points: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Objective for `visualise.optimise`: activations as near as can be to points `(B, C)`."""
    points = points.to(model.device)
    scale = points.norm(dim=1).clamp_min(1e-6)

    def objective(x: torch.Tensor) -> torch.Tensor:
        return -(model.unit(x, layer) - points).norm(dim=1) / scale

    return objective


# ---------------------------------------------------------------------------------- attributes


def measure(patches: torch.Tensor, sigma: float = 1.0) -> pd.DataFrame:
    """Attributes of patches, measured in the inscribed disc.

    Args:
        patches: `(N, 3, S, S)` in [0, 1].
        sigma: pixels, of the Gaussian derivative.

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
    x = patches.float()
    size = x.shape[-1]
    luma = torch.einsum("nchw,c->nhw", x, LUMA.float())
    at = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    row, column = torch.meshgrid(-at, at, indexing="ij")
    inside = torch.hypot(row, column) <= size / 2
    weight = inside.float() / inside.sum()

    def mean(field: torch.Tensor) -> torch.Tensor:
        return (field * weight).sum((1, 2))

    gx, gy, gxx, gyy, gxy = (_derivative(luma, sigma, o) for o in ("x", "y", "xx", "yy", "xy"))
    energy = gx.square() + gy.square()
    total = mean(energy).clamp_min(1e-12)
    cos2, sin2 = mean(gx.square() - gy.square()) / total, mean(2 * gx * gy) / total
    length = mean(energy.sqrt()).clamp_min(1e-9)
    bend = (gxx * gy.square() - 2 * gxy * gx * gy + gyy * gx.square()) / energy.clamp_min(1e-9)
    centred = (luma - mean(luma)[:, None, None]) * inside
    window = (1 - (torch.hypot(row, column) / (size / 2)).square()).clamp_min(0)
    power = torch.fft.rfft2(centred * window).abs().square()
    fy, fx = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]
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


def _derivative(picture: torch.Tensor, sigma: float, order: str) -> torch.Tensor:
    """Gaussian derivatives, x right and y up."""
    radius = int(np.ceil(4 * sigma))
    at = torch.arange(-radius, radius + 1, dtype=torch.float32)
    smooth = torch.exp(-at.square() / (2 * sigma**2))
    smooth = smooth / smooth.sum()
    kernels = {
        0: smooth,
        1: at / sigma**2 * smooth,  # correlation: the derivative to the right
        2: (at.square() / sigma**4 - 1 / sigma**2) * smooth,
    }
    across, up = kernels[order.count("x")], kernels[order.count("y")]
    up = up.flip(0)  # rows count down
    padded = F.pad(picture[:, None], [radius] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, across[None, None, None]), up[None, None, :, None])[:, 0]


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
        `ATTRIBUTES`, from that alone. At least 0.
    """
    groups = np.asarray(groups)
    splits = GroupKFold(min(folds, len(np.unique(groups))))
    y = (codes - codes.mean(0)) / np.maximum(codes.std(0), 1e-12)
    found = {}
    for name, parts in {"all": tuple(measured), **ATTRIBUTES}.items():
        model = ExtraTreesRegressor(50, min_samples_leaf=8, random_state=seed, n_jobs=2)
        x = measured[list(parts)].to_numpy()
        guess = cross_val_predict(model, x, y, groups=groups, cv=splits)
        left = np.square(y - guess.reshape(y.shape)).sum(0) / np.square(y).sum(0)
        found[name] = np.maximum(0.0, 1 - left)
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
    z = torch.einsum("ngc,dc->dgn", A.double(), torch.from_numpy(found.basis))
    z = z - z.mean((1, 2), keepdim=True)
    table = {"turning": 1 - invariance(z, g).numpy()}
    spectrum = frequency_spectrum(z, g)
    return pd.DataFrame(
        table | {f"frequency {m}": share.numpy() for m, share in enumerate(spectrum.T)}
    )


# --------------------------------------------------------------------------------- one layer


@dataclass(frozen=True)
class LayerStudy:
    """Tuning dimensions of one layer.

    Attributes:
        store: orbit activations.
        rows: sample and element of every row of `activations`, `(N, 2)`.
        activations: `(N, C)`, what was decomposed.
        found: the decomposition.
        named: R² of measured attributes, from `explained_by`.
        chance: the same with pictures' attributes shuffled over the samples.
        turning: from `group_directions`.
    """

    store: ActivationStore
    rows: np.ndarray
    activations: torch.Tensor
    found: Decomposition
    named: pd.DataFrame
    chance: pd.DataFrame
    turning: pd.DataFrame

    def crops(self, rows: Sequence[int]) -> np.ndarray:
        """The crops behind some rows, turned as they were, uint8 `(k, S, S, 3)`."""
        patches = self.store.patches
        return np.stack(
            [turn_patch(patches[n], self.store.group, int(e)) for n, e in self.rows[list(rows)]]
        )


def study_layer(
    store: ActivationStore,
    count: int,
    *,
    method: str = "ICA",
    most: int = 2400,
    seed: int = 0,
) -> LayerStudy:
    """Decompose a layer's activations and say what its dimensions are.

    Args:
        store: orbit activations.
        count: dimensions.
        method: see `decompose`.
        most: crops that are decomposed and measured, drawn from all samples at all turns.
        seed: of the draw and the method.
    """
    A, g = store.read().float(), store.group
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(A) * g.order)[:most]
    rows = np.stack(np.divmod(drawn, g.order), 1)
    x = A.flatten(0, 1)[drawn]
    found = decompose(x, method, count, seed=seed)
    patches = torch.from_numpy(store.patches).permute(0, 3, 1, 2).float() / 255
    crops = torch.empty(len(rows), *patches.shape[1:])
    for sample in np.unique(rows[:, 0]):
        here = np.flatnonzero(rows[:, 0] == sample)
        crops[here] = turn(patches[sample], g, blur=0.0)[rows[here, 1]]
    measured = measure(crops)
    pictures = store.samples["photograph"][rows[:, 0]]
    shuffled = measured.iloc[rng.permutation(len(measured))].reset_index(drop=True)
    return LayerStudy(
        store,
        rows,
        x,
        found,
        explained_by(found.codes, measured, pictures, seed=seed),
        explained_by(found.codes, shuffled, pictures, seed=seed),
        group_directions(A, g, found),
    )
