"""Families of features: distance up to the group, clusters, how well they separate, labels.

Two features are the same feature turned when some right translation `(R_h A)[g] = A[g·h]` takes
one's transform blocks to the other's. The orbit distance of features `i` and `j` is

    d(i, j) = 1 - max_h <V_i, R_h V_j> / (|V_i| |V_j|),

and a family is a cluster under it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.cluster import HDBSCAN
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    normalized_mutual_info_score,
    silhouette_score,
)

from gc_utils import groups
from gc_utils.errors import UserError
from gc_utils.groups import Group

OTHER = "other"  # the label of a feature that no kind of stimulus and no family claims
SCORES_AT_ONCE = 2**20  # products <V_i, R_h V_j> to hold at a time, so that they stay in cache
LEAST_CHUNK = 32  # but as many rows as a matrix product needs to be efficient
TIE = 1e-5  # cosines this close are equal: a feature with symmetries has several best elements


def as_group(group: Group | str) -> Group:
    """The group itself, or the group of that name."""
    return group if isinstance(group, Group) else groups.group(group)


def check_blocks(V: torch.Tensor, group: Group | str) -> tuple[torch.Tensor, Group]:
    """Transform blocks and group, checked to fit each other.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.

    Returns:
        The blocks, detached and at least float32, and the group.

    Raises:
        UserError: if the shape does not fit the group, or a block is not finite.
    """
    group = as_group(group)
    V = torch.as_tensor(V).detach()
    V = V if V.dtype == torch.float64 else V.float()
    if V.ndim != 3 or V.shape[1] != group.order:
        raise UserError(
            f"transform blocks of shape {tuple(V.shape)} do not fit {group.name}: "
            f"expected (features, {group.order}, channels)."
        )
    bad = (~V.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
    if bad:
        raise UserError(
            f"{len(bad)} of {len(V)} features have blocks that are not finite (first: feature "
            f"{bad[0]}); expected finite numbers. Did training diverge?"
        )
    return V, group


def unit_features(V: torch.Tensor) -> torch.Tensor:
    """Blocks `(m, |G|, C)` scaled so that every feature has norm 1, or 0 if it had none."""
    tiny = torch.finfo(V.dtype).tiny
    V = V / V.abs().amax((1, 2), keepdim=True).clamp_min(tiny)  # squares must not underflow
    return V / V.square().sum((1, 2), keepdim=True).sqrt().clamp_min(tiny)


# --- orbit distance ------------------------------------------------------------------------------


def _fourier(V: torch.Tensor, group: Group, dtype: torch.dtype) -> list[torch.Tensor]:
    """Unit-norm blocks in Fourier space over the rotations, real `(F, m, 2C)` each.

    One tensor (real and imaginary part) for `Cn`. For `Dn` two: sum and difference of the
    rotations' and the mirrors' transforms, which right translation mixes with themselves only.
    """
    V = unit_features(V.to(dtype))
    turns = torch.fft.rfft(V[:, : group.n], dim=1).transpose(0, 1)
    if not group.dihedral:
        return [torch.cat([turns.real, turns.imag], -1)]
    mirrors = torch.fft.rfft(V[:, group.n :], dim=1).transpose(0, 1)
    return [torch.cat([z.real, z.imag], -1) for z in (turns + mirrors, turns - mirrors)]


def _times_i(z: torch.Tensor) -> torch.Tensor:
    """Multiply by the imaginary unit: `[re, im]` to `[-im, re]`."""
    re, im = z.chunk(2, -1)
    return torch.cat([-im, re], -1)


def _all_products(
    left: list[torch.Tensor], right: list[torch.Tensor], group: Group
) -> torch.Tensor:
    """`<V_i, R_h V_j>` for all `h`, `i` and `j`: `(|G|, b, m)`.

    With `X`, `Y` the transforms of the blocks on `r^k` and `r^k s`, the products are the inverse
    transforms of `conj(X_i) X_j + Y_i conj(Y_j)` over the rotations `h = r^l`, and of
    `conj(X_i) Y_j + Y_i conj(X_j)` over the mirrors `h = r^l s`. Written in `X + Y` and `X - Y`
    the eight real products in them become four.
    """
    columns = [z.transpose(1, 2) for z in right]
    if not group.dihedral:
        (z,), (w,) = left, columns
        return torch.fft.irfft(torch.complex(z @ w, _times_i(z) @ w), n=group.n, dim=0)
    (p, q), (v, w) = left, columns
    even, odd = p @ v, q @ w
    even_imag, odd_imag = _times_i(q) @ v, _times_i(p) @ w
    turns = torch.complex(even + odd, even_imag + odd_imag)
    mirrors = torch.complex(even - odd, even_imag - odd_imag)
    return torch.cat([torch.fft.irfft(z, n=group.n, dim=0) / 2 for z in (turns, mirrors)])


def orbit_similarity(
    V: torch.Tensor,
    group: Group | str,
    *,
    other: torch.Tensor | None = None,
    chunk: int | None = None,
    dtype: torch.dtype = torch.float32,
    return_element: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """`max_h <V_i, R_h V_j> / (|V_i| |V_j|)` for all pairs of features.

    Exact. The products over all `h` are circular correlations over the rotations, so that one FFT
    over the blocks leaves a few matrix products a frequency (group conventions). `C1` gives the
    plain cosine.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        other: transform blocks `(k, |G|, C)` to compare with; those of `V` if None.
        chunk: features `i` at a time, which bounds the memory; chosen if None.
        dtype: float32 or float64.
        return_element: return the maximising `h` too.

    Returns:
        Similarities `(m, k)`, at most 1; 0 for a feature without norm, but 1 with itself. With
        `return_element` also the elements `(m, k)`, int64: feature `i` is feature `j` turned by
        `h`, `V_i ≈ R_h V_j`; of equally good ones the one of lowest index.

    Raises:
        UserError: if the shapes do not fit or a block is not finite.
    """
    V, group = check_blocks(V, group)
    symmetric = other is None
    left = _fourier(V, group, dtype)
    right = left
    columns = len(V)
    if not symmetric:
        other, _ = check_blocks(other, group)
        if other.shape[2] != V.shape[2]:
            raise UserError(
                f"cannot compare blocks of {V.shape[2]} channels with {other.shape[2]} channels."
            )
        right = _fourier(other.to(V.device), group, dtype)
        columns = len(other)
    if chunk is not None and chunk < 1:
        raise UserError(f"chunk {chunk} is not a number of features: expected 1 or more.")
    chunk = chunk or max(LEAST_CHUNK, SCORES_AT_ONCE // max(1, group.order * columns))
    similarity = torch.zeros(len(V), columns, dtype=dtype, device=V.device)
    elements = torch.zeros_like(similarity, dtype=torch.int64) if return_element else None
    for start in range(0, len(V), chunk):
        rows = slice(start, min(start + chunk, len(V)))
        cols = slice(start if symmetric else 0, columns)  # the rest follows by symmetry
        products = _all_products([z[:, rows] for z in left], [z[:, cols] for z in right], group)
        best = products.amax(0)
        similarity[rows, cols] = best.clamp(-1, 1)
        if return_element:
            elements[rows, cols] = (products >= best - TIE).byte().argmax(0)
    if symmetric:
        upper = similarity.triu(1)
        similarity = upper + upper.T
        similarity.fill_diagonal_(1)
        if return_element:
            upper = elements.triu(1)
            elements = upper + group.inverse.to(upper.device)[upper].T
    return (similarity, elements) if return_element else similarity


def orbit_distance(
    V: torch.Tensor,
    group: Group | str,
    *,
    other: torch.Tensor | None = None,
    chunk: int | None = None,
    dtype: torch.dtype = torch.float32,
    return_element: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Orbit distance `1 - max_h <V_i, R_h V_j> / (|V_i| |V_j|)` of all pairs of features.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        other: transform blocks `(k, |G|, C)` to compare with; those of `V` if None.
        chunk: features `i` at a time, which bounds the memory; chosen if None.
        dtype: float32 or float64.
        return_element: return the maximising `h` too, see `orbit_similarity`.

    Returns:
        Distances `(m, k)` in [0, 2]; exactly symmetric with a zero diagonal if `other` is None. A
        feature without norm has distance 1 to every other.

    Raises:
        UserError: if the shapes do not fit or a block is not finite.

    Example:
        >>> V = torch.randn(6, 8, 32)
        >>> orbit_distance(V, "C8").shape
        torch.Size([6, 6])
    """
    found = orbit_similarity(
        V, group, other=other, chunk=chunk, dtype=dtype, return_element=return_element
    )
    return (1 - found[0], found[1]) if return_element else 1 - found


def cosine_distance(V: torch.Tensor, *, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Plain cosine distance of all pairs, no maximum over the group.

    Args:
        V: decoder vectors `(m, C)` or transform blocks `(m, |G|, C)`, compared block by block.
        dtype: float32 or float64.

    Returns:
        Distances `(m, m)` in [0, 2].
    """
    V = torch.as_tensor(V)
    return orbit_distance(V.reshape(len(V), 1, -1), "C1", dtype=dtype)


# --- the competitors -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Moments:
    """Sums over samples of codes `f (m,)` and orbit activations `A (|G|, C)`, all float64.

    Attributes:
        count: number of samples.
        f: `Σ f`, `(m,)`.
        ff: `Σ f fᵀ`, `(m, m)`.
        A: `Σ A`, `(|G|, C)`.
        fA: `Σ f A`, `(m, |G|, C)`.
    """

    count: int
    f: torch.Tensor
    ff: torch.Tensor
    A: torch.Tensor
    fA: torch.Tensor


def code_moments(codes: torch.Tensor, A: torch.Tensor, *, chunk: int = 1024) -> Moments:
    """First and second moments of codes and orbit activations, without loading all of `A`.

    Args:
        codes: `(N, m)`.
        A: orbit activations `(N, |G|, C)`, anything that can be sliced (a zarr array too).
        chunk: samples at a time.

    Raises:
        UserError: if the numbers of samples differ, are zero, or a value is not finite.
    """
    if len(codes) != len(A) or len(codes) == 0:
        raise UserError(f"{len(codes)} codes for {len(A)} orbits: expected one a sample, not none.")
    f_sum = ff = A_sum = fA = 0
    for start in range(0, len(codes), chunk):
        f = torch.as_tensor(codes[start : start + chunk]).detach().float()
        a = torch.as_tensor(A[start : start + chunk]).detach().float()
        a, shape = a.flatten(1), a.shape[1:]
        f_sum = f_sum + f.sum(0).double()
        ff = ff + (f.T @ f).double()
        A_sum = A_sum + a.sum(0).double()
        fA = fA + (f.T @ a).double()
    if not (ff.isfinite().all() and fA.isfinite().all()):
        raise UserError("codes or orbit activations are not finite; expected finite numbers.")
    return Moments(len(codes), f_sum, ff, A_sum.view(shape), fA.view(-1, *shape))


def blocks_by_regression(
    codes: torch.Tensor, A: torch.Tensor, *, ridge: float = 1e-3, chunk: int = 1024
) -> torch.Tensor:
    """Transform blocks for a dictionary that has none: regress `A[g]` on its codes.

    Ridge regression with an intercept: minimises `Σ_n |A[n] - a - Σ_i f_ni V_i|² + λ Σ_i |V_i|²`
    with `λ` = `ridge` × the mean over features of `Σ_n (f_ni - mean f_i)²`.

    Args:
        codes: `(N, m)` of a sparse autoencoder that saw the identity element only.
        A: orbit activations `(N, |G|, C)` of the same samples; only sliced, never loaded whole.
        ridge: strength of the penalty, at least 0.
        chunk: samples at a time.

    Returns:
        Blocks `(m, |G|, C)`, float32; zero for a feature whose code never varies.

    Raises:
        UserError: if `ridge` is negative or the samples do not fit.
    """
    if not ridge >= 0:
        raise UserError(f"ridge {ridge} is negative: expected 0 or more.")
    moments = code_moments(codes, A, chunk=chunk)
    mean = moments.f / moments.count
    ff = moments.ff - moments.count * torch.outer(mean, mean)
    fA = moments.fA.flatten(1) - torch.outer(mean, moments.A.flatten())
    live = ff.diagonal() > 1e-9 * moments.ff.diagonal()  # what is left of a constant is rounding
    V = torch.zeros_like(fA)
    if live.any():
        ff = ff[live][:, live]
        ff = ff + ridge * ff.diagonal().mean() * torch.eye(len(ff)).to(ff)
        if ridge > 0:
            V[live] = torch.linalg.solve(ff, fA[live])
        else:  # two features that always fire together leave it singular
            V[live] = torch.linalg.pinv(ff, hermitian=True) @ fA[live]
    return V.view(moments.fA.shape).float()


def competitor_distances(
    V: torch.Tensor,
    group: Group | str,
    *,
    sae: torch.Tensor | None = None,
    sae_blocks: torch.Tensor | None = None,
) -> dict[str, torch.Tensor]:
    """The group crosscoder's orbit distance and what it has to beat (claim GC2).

    Args:
        V: the crosscoder's transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        sae: decoder vectors `(k, C)` or `(k, 1, C)` of the sparse autoencoder.
        sae_blocks: its transform blocks `(k, |G|, C)`, from `blocks_by_regression`.

    Returns:
        Distance matrices by name: `crosscoder, orbit distance`; `crosscoder, cosine` (no maximum
        over `h`); `SAE, cosine`; `SAE blocks, orbit distance`. The last two where given.
    """
    distances = {
        "crosscoder, orbit distance": orbit_distance(V, group),
        "crosscoder, cosine": cosine_distance(V),
    }
    if sae is not None:
        distances["SAE, cosine"] = cosine_distance(sae)
    if sae_blocks is not None:
        distances["SAE blocks, orbit distance"] = orbit_distance(sae_blocks, group)
    return distances


# --- clusters, embedding, separation -------------------------------------------------------------


class Clusters(NamedTuple):
    """Clusters of features.

    Attributes:
        labels: int64 `(m,)`, every noise point a cluster of its own; 0 is the largest cluster.
        noise: which features belong to no cluster of two or more, bool `(m,)`.
    """

    labels: np.ndarray
    noise: np.ndarray


def _distances(D: torch.Tensor | np.ndarray) -> np.ndarray:
    """A distance matrix as float64 `(m, m)`, checked."""
    if isinstance(D, torch.Tensor):
        D = D.detach().cpu().numpy()
    D = np.asarray(D, dtype=np.float64)
    if D.ndim != 2 or D.shape[0] != D.shape[1]:
        raise UserError(f"distances of shape {D.shape}: expected a square matrix.")
    if not np.isfinite(D).all() or (D < -1e-6).any() or not np.allclose(D, D.T, atol=1e-5):
        raise UserError("distances must be finite, symmetric and not negative.")
    D = np.maximum((D + D.T) / 2, 0)
    np.fill_diagonal(D, 0)
    return D


def cluster(
    D: torch.Tensor | np.ndarray,
    *,
    min_cluster_size: int = 4,
    min_samples: int | None = 2,
    epsilon: float = 0.0,
) -> Clusters:
    """Families: HDBSCAN on a distance matrix, noise points one cluster each.

    Args:
        D: distances `(m, m)`.
        min_cluster_size: fewest features in a family, at least 2.
        min_samples: neighbours that make a dense place; `min_cluster_size` if None. Families are
            small, and more than 2 chains them into one.
        epsilon: families nearer than this are not split.

    Returns:
        `Clusters(labels, noise)`. Families are numbered by size, the largest first, then the noise
        points.

    Raises:
        UserError: if `D` is no distance matrix or a setting makes no sense.
    """
    D = _distances(D)
    for name, value, least in [
        ("min_cluster_size", min_cluster_size, 2),
        ("min_samples", 1 if min_samples is None else min_samples, 1),
        ("epsilon", epsilon, 0),
    ]:
        if not value >= least:
            raise UserError(f"{name} {value} is too small: expected {least} or more.")
    found = np.full(len(D), -1)
    if len(D) >= max(min_cluster_size, min_samples or 0):
        found = HDBSCAN(
            metric="precomputed",
            min_cluster_size=min_cluster_size,
            min_samples=min_samples,
            cluster_selection_epsilon=float(epsilon),
            copy=True,  # otherwise it overwrites the distances
        ).fit_predict(D)
    return _numbered(found)


def linked(D: torch.Tensor | np.ndarray, cut: float) -> Clusters:
    """Families by average linkage, cut at a distance that means something.

    Where it is known how near features of one family lie, as for planted ones: HDBSCAN has no
    distance beyond which nothing belongs together, and splits copies by their rounding errors.

    Args:
        D: distances `(m, m)`.
        cut: the largest mean distance between two parts of a family.

    Raises:
        UserError: if `D` is no distance matrix.
    """
    D = _distances(D)
    if len(D) < 2:
        return _numbered(np.full(len(D), -1))
    found = fcluster(linkage(squareform(D, checks=False), "average"), cut, "distance")
    sizes = np.bincount(found)
    return _numbered(np.where(sizes[found] > 1, found, -1))


def given_families(family: torch.Tensor | np.ndarray) -> Clusters:
    """Families that are known, as those of a tied crosscoder, numbered by size; none is noise.

    Args:
        family: int `(m,)`.
    """
    return _numbered(np.asarray(family))


def _numbered(found: np.ndarray) -> Clusters:
    """Clusters from any numbers, noise negative."""
    noise = found < 0
    # Largest first, ties by first member, so that the numbers do not depend on the algorithm.
    names, first, sizes = np.unique(found[~noise], return_index=True, return_counts=True)
    order = names[np.lexsort((first, -sizes))]
    labels = np.empty(len(found), dtype=np.int64)
    for number, name in enumerate(order):
        labels[found == name] = number
    labels[noise] = len(order) + np.arange(noise.sum())
    return Clusters(labels, noise)


def embed(
    D: torch.Tensor | np.ndarray, seed: int, *, n_neighbors: int = 15, min_dist: float = 0.1
) -> np.ndarray:
    """A picture of a distance matrix, for the eye: UMAP, the same for the same seed.

    Args:
        D: distances `(m, m)`.
        seed: of UMAP's random choices.
        n_neighbors: neighbours kept, at most `m - 1`.
        min_dist: how tightly points may be packed.

    Returns:
        Coordinates `(m, 2)`, float32. Of fewer than 6 features, too few for UMAP's spectral start,
        by classical scaling.

    Raises:
        UserError: if `D` is no distance matrix.
    """
    D = _distances(D)
    if len(D) < 6:
        return _classical_scaling(D).astype(np.float32)
    from umap import UMAP

    with warnings.catch_warnings():
        # We never transform new points, one job is what a seed asks for, and families with
        # nothing between them are what we hope to see.
        warnings.filterwarnings("ignore", "using precomputed metric", UserWarning)
        warnings.filterwarnings("ignore", ".*not fully connected", UserWarning)
        warnings.filterwarnings("ignore", ".*separate connected components", UserWarning)
        reducer = UMAP(
            metric="precomputed",
            n_neighbors=min(n_neighbors, len(D) - 1),
            min_dist=min_dist,
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(reducer.fit_transform(D), dtype=np.float32)


def _classical_scaling(D: np.ndarray) -> np.ndarray:
    """Coordinates `(m, 2)` whose distances come nearest to `D` in strain."""
    out = np.zeros((len(D), 2))
    if len(D) > 1:
        centre = np.eye(len(D)) - 1 / len(D)
        power, axes = np.linalg.eigh(-0.5 * centre @ D**2 @ centre)
        out = (axes * np.sqrt(np.maximum(power, 0)))[:, ::-1][:, :2]
    return out


def _labelled(labels: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Which labels say something (not None, NaN or "other"), and all of them as strings."""
    labels = pd.Series(list(labels), dtype=object)
    return (labels.notna() & (labels != OTHER)).to_numpy(dtype=bool), labels.astype(str).to_numpy()


def separation(
    D: torch.Tensor | np.ndarray,
    labels: Sequence,
    embedding: np.ndarray | None = None,
    *,
    clusters: Sequence[int] | None = None,
    k: int = 10,
    exclude_below: float = 0.1,
) -> dict:
    """How well a distance keeps features of different labels apart (claims GC1, GC2).

    Args:
        D: distances `(m, m)`.
        labels: `(m,)`; None, NaN and "other" mean unlabelled, and such features are left out.
        embedding: coordinates `(m, 2)`, from `embed`.
        clusters: cluster of each feature `(m,)`, from `cluster`.
        k: neighbours for the purity.
        exclude_below: neighbours nearer than this are no neighbours: they are the feature itself,
            turned.

    Returns:
        Numbers by name, NaN where undefined, with the cause in `reasons`:
        `features`, `labelled`, `unlabelled`, `classes` counts;
        `silhouette`, `silhouette_embedding` in [-1, 1];
        `knn_purity` mean share of a feature's neighbours with its label, `knn_chance` the same
        over all features that could have been neighbours, `knn_features` the number averaged over;
        `adjusted_rand`, `adjusted_mutual_information`, `normalised_mutual_information` of clusters
        and labels.

    Raises:
        UserError: if the lengths differ.
    """
    D = _distances(D)
    for name, values in [("labels", labels), ("embedding", embedding), ("clusters", clusters)]:
        if values is not None and len(values) != len(D):
            raise UserError(f"{len(values)} {name} for {len(D)} features: expected one a feature.")
    keep, names = _labelled(labels)
    D, names = D[np.ix_(keep, keep)], names[keep]
    classes = len(np.unique(names))
    scores: dict = {
        "features": len(keep),
        "labelled": int(keep.sum()),
        "unlabelled": int((~keep).sum()),
        "classes": classes,
    }
    reasons: dict[str, str] = {}
    few = ""
    if classes < 2:
        few = f"{classes} label among {len(names)} labelled features: 2 are needed"
    elif classes == len(names):
        few = f"all {classes} labelled features have labels of their own"

    def put(name: str, missing: str, value) -> None:
        scores[name] = math.nan if missing else float(value())
        if missing:
            reasons[name] = missing

    put("silhouette", few, lambda: silhouette_score(D, names, metric="precomputed"))
    no_points = "no embedding was given" if embedding is None else few
    put(
        "silhouette_embedding",
        no_points,
        lambda: silhouette_score(np.asarray(embedding)[keep], names),
    )

    away = (exclude_below <= D) & ~np.eye(len(D), dtype=bool)
    same = names[:, None] == names[None]
    purity, chance = [], []
    for i in np.flatnonzero(away.any(1)):
        candidates = np.flatnonzero(away[i])
        nearest = candidates[np.argsort(D[i, candidates], kind="stable")[:k]]
        purity.append(same[i, nearest].mean())
        chance.append(same[i, candidates].mean())
    alone = few or ("" if purity else f"all labelled features are within {exclude_below}")
    scores["knn_features"] = len(purity)
    put("knn_purity", alone, lambda: np.mean(purity))
    put("knn_chance", alone, lambda: np.mean(chance))

    no_clusters = "no clusters were given" if clusters is None else few
    found = None if clusters is None else np.asarray(clusters)[keep]
    for name, score in [
        ("adjusted_rand", adjusted_rand_score),
        ("adjusted_mutual_information", adjusted_mutual_info_score),
        ("normalised_mutual_information", normalized_mutual_info_score),
    ]:
        put(name, no_clusters, lambda score=score: score(names, found))
    return scores | {"reasons": reasons}


# --- labels --------------------------------------------------------------------------------------


def label_features(
    responses: torch.Tensor,
    table: pd.DataFrame,
    *,
    ratio: float = 1.5,
    minimum: float | torch.Tensor = 0.0,
) -> pd.DataFrame:
    """Name features by what they answer to: the kind of stimulus with the strongest response.

    A feature takes the kind of its strongest response at equal contrast if that is at least
    `ratio` times the strongest response to any other kind, else the label "other".

    Args:
        responses: codes `(S, m)`, not negative, to `S` parametric stimuli.
        table: `S` rows with the columns `kind` and, where there is one, `orientation` (degrees)
            and `contrast`. With several contrasts only the largest that all kinds share counts.
        ratio: how clearly a kind has to win.
        minimum: smallest response that counts, one number or one a feature `(m,)`.

    Returns:
        One row a feature: `feature`, `label`, `kind` (the strongest whether or not it won),
        `response`, `kind2` and `response2` (the next kind), `margin` (`response / response2`),
        `best_orientation` (degrees, of the strongest stimulus), `best_stimulus` (row of `table`).
        A feature that never answers is "other" with NaN margin.

    Raises:
        UserError: if the table does not fit, a response is negative or not finite, or the kinds
            share no contrast.
    """
    responses = torch.as_tensor(responses).detach().cpu().double().numpy()
    if responses.ndim != 2 or len(responses) != len(table) or "kind" not in table:
        raise UserError(
            f"responses of shape {responses.shape} and a table of {len(table)} rows with columns "
            f"{', '.join(map(str, table.columns))}: expected one row a stimulus and a column kind."
        )
    if not (responses >= 0).all() or not np.isfinite(responses).all():
        raise UserError("responses must be finite and not negative.")
    rows = _equal_contrast(table)
    kinds = table["kind"].astype(str).to_numpy()[rows]
    names = np.array(sorted(set(kinds)))
    if len(names) < 2:
        raise UserError(f"only {len(names)} kind of stimulus: 2 are needed to tell them apart.")
    values = responses[rows]
    strongest = np.stack([values[kinds == name].max(0) for name in names])  # (kinds, m)
    order = np.argsort(-strongest, axis=0, kind="stable")
    feature = np.arange(responses.shape[1])
    top, second = strongest[order[0], feature], strongest[order[1], feature]
    minimum = np.broadcast_to(np.asarray(minimum, dtype=float), top.shape)
    live = (top > 0) & (top >= minimum)
    with np.errstate(divide="ignore", invalid="ignore"):
        margin = np.where(top > 0, top / second, np.nan)
    best = rows[values.argmax(0)]
    orientation = np.full(len(table), np.nan)
    if "orientation" in table:
        orientation = pd.to_numeric(table["orientation"]).to_numpy(dtype=float)
    return pd.DataFrame(
        {
            "feature": feature,
            "label": np.where(live & (margin >= ratio), names[order[0]], OTHER),
            "kind": names[order[0]],
            "response": top,
            "kind2": names[order[1]],
            "response2": second,
            "margin": margin,
            "best_orientation": np.where(top > 0, orientation[best], np.nan),
            "best_stimulus": best,
        }
    )


def _equal_contrast(table: pd.DataFrame) -> np.ndarray:
    """Positions of the stimuli with the largest contrast that all kinds share."""
    if "contrast" not in table:
        return np.arange(len(table))
    contrast = table["contrast"].abs().round(6)  # dark on bright is no weaker
    shared = set.intersection(*(set(c) for _, c in contrast.groupby(table["kind"])))
    if not shared:
        raise UserError("the kinds of stimuli share no contrast; expected one that all have.")
    return np.flatnonzero(contrast == max(shared))


def _units(text: str) -> tuple[int, ...]:
    return tuple(int(unit) for unit in text.split())


# Unit numbers of mixed3b in inception5h, hypothesised by looking: Olah et al., "An Overview of
# Early Vision in InceptionV1", Distill 2020.
PUBLISHED_FAMILIES: dict[str, tuple[int, ...]] = {
    name: _units(units)
    for name, units in {
        "curves": "379 406 385 343 342 388 340 330 349 324",
        "double curves": "359 337 380",
        "shallow curves": "403 353 355 336",
        "lines": "377 326 95 38 307 1 19 209 210",
        "brightness gradients": "0 317 136 455 417 469",
        "circle cluster": "446 462 82",
        "eyes": "370 352 363 322 83 199",
        "divots": "395 159 237 409 357 190 212 211 198 218",
        "cross/corner": "108 47 339 344 374 99 369 236 408",
        "oriented fur": "57 387 404 333 375 381 335 378 62 52",
        "circles/loops": "389 384 346 323",
        "evolute": "373",
        "curve shapes": "325 338 327 347",
        "curves misc.": "348 407 365 367",
        "square/grid": "392 361 401 68 341 382 397 66 125",
        "line gradient": "21 63 102 423 175",
        "double boundary": "318 332 286 258 229 138 314",
        "proto-head": "362 413 334 331 174 225 393 185 435 180 441 163",
        "colour contrast": (
            "4 217 450 191 287 49 196 473 430 305 447 277 165 279 226 303 224 269 264 189 156 463 "
            "270 272"
        ),
        "colour centre-surround": (
            "285 451 208 122 93 75 46 294 44 247 91 14 10 271 60 80 84 70 202 422 48 436 65 300 "
            "105 34 121 424 457 186 23 479 89 283 22 124 6 9 50 5 71 59 182 87 308 428 109 141 12 "
            "474 112 192 2 177 249 281 284 30 27 255 53 432 475 79 67 25 351 420 152 26 193 448 "
            "153 164 113 216 259"
        ),
        "boundary": (
            "220 402 364 293 356 151 203 394 376 400 328 219 320 313 329 321 251 298 257 143 366 "
            "345 405 414 301 368 398 383 396 261 184 144 360 183 239 386"
        ),
    }.items()
}
PUBLISHED_CHANNELS = 480  # of mixed3b

# Preferred orientations (degrees) of the ten curve units, from the radial tuning curves published
# with the Distill article.
CURVE_ORIENTATIONS: dict[int, float] = {
    379: 243.0,
    406: 268.5,
    385: 290.0,
    343: 358.0,
    342: 22.5,
    388: 66.5,
    324: 91.5,
    340: 110.0,
    330: 145.0,
    349: 181.0,
}


def published_family(
    V: torch.Tensor,
    *,
    families: Mapping[str, Sequence[int]] = PUBLISHED_FAMILIES,
    share: float = 1 / 3,
    ratio: float = 2.0,
) -> pd.DataFrame:
    """The hypothesised family of inception5h's `mixed3b` units that holds a feature's power.

    A feature takes the family that holds the largest share of `Σ_g V[i,g,c]²`, if that is at
    least `share` and `ratio` times the next one's.

    Args:
        V: transform blocks `(m, |G|, 480)`, or decoder vectors `(m, 480)`.
        families: unit numbers by family.
        share: smallest share of the power.
        ratio: how clearly a family has to win.

    Returns:
        One row a feature: `feature`, `label` ("other" if none won), `family` (the largest whether
        or not it won), `share`, `family2`, `share2`.

    Raises:
        UserError: if `V` has another number of channels than `mixed3b`.
    """
    V = torch.as_tensor(V).detach().cpu().double()
    if V.ndim not in (2, 3) or V.shape[-1] != PUBLISHED_CHANNELS:
        raise UserError(
            f"blocks of shape {tuple(V.shape)}: the published families are of mixed3b with "
            f"{PUBLISHED_CHANNELS} channels."
        )
    power = V.reshape(len(V), -1, PUBLISHED_CHANNELS).square().sum(1)
    power = power / power.sum(1, keepdim=True).clamp_min(torch.finfo(power.dtype).tiny)
    shares = torch.stack([power[:, list(units)].sum(1) for units in families.values()], 1)
    top, order = shares.topk(2, dim=1)
    names = np.array(list(families))[order.numpy()]
    won = (top[:, 0] >= share) & (top[:, 0] >= ratio * top[:, 1])
    return pd.DataFrame(
        {
            "feature": np.arange(len(V)),
            "label": np.where(won.numpy(), names[:, 0], OTHER),
            "family": names[:, 0],
            "share": top[:, 0].numpy(),
            "family2": names[:, 1],
            "share2": top[:, 1].numpy(),
        }
    )
