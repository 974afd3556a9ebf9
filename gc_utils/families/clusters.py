"""Families: clusters of features under a distance, their separation and embedding."""

from __future__ import annotations

import atexit
import math
import shutil
import sys
import tempfile
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy  # its parts are imported when they are used; those of sklearn, in functions
import torch

from gc_utils.errors import UserError
from gc_utils.families.distance import TIE
from gc_utils.families.labels import OTHER

# --- clusters, embedding, separation -------------------------------------------------------------


EQUALLY_FAR = 1e-6  # distances that differ by less than that are equal
SHUFFLES = 20  # of labels, for the silhouette by chance


class Clusters(NamedTuple):
    """Clusters of features.

    Attributes:
        labels: int64 `(m,)`, every noise point a cluster of its own; 0 is the largest cluster.
        noise: which features belong to no cluster of two or more, bool `(m,)`.
    """

    labels: np.ndarray
    noise: np.ndarray


def as_distances(D: torch.Tensor | np.ndarray) -> np.ndarray:
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
    """Clusters by HDBSCAN on a distance matrix, noise points one cluster each.

    For comparison with `linked`: HDBSCAN finds what is denser than its surroundings and knows no
    distance beyond which nothing belongs together, so that its largest cluster may hold most of a
    dictionary, and copies may be split by their rounding errors. Where all features are one family
    there is nothing around it, and HDBSCAN finds none; only copies, all at distance 0, are one.

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
    from sklearn.cluster import HDBSCAN

    D = as_distances(D)
    for name, value, least in [
        ("min_cluster_size", min_cluster_size, 2),
        ("min_samples", 1 if min_samples is None else min_samples, 1),
        ("epsilon", epsilon, 0),
    ]:
        if not value >= least:
            raise UserError(f"{name} {value} is too small: expected {least} or more.")
    found = np.full(len(D), -1)
    enough = len(D) >= max(min_cluster_size, min_samples or 0)
    if enough and not D.any():
        found[:] = 0
    elif enough:
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

    The way in which families are found: with the distance that unrelated features rarely come
    under (`symmetry.unrelated_cut`) it finds planted families again.

    Args:
        D: distances `(m, m)`.
        cut: the largest mean distance between two parts of a family. Features whose distance is
            rounding are the same under any cut.

    Returns:
        `Clusters(labels, noise)`, numbered as by `cluster`; noise are families of one.

    Raises:
        UserError: if `D` is no distance matrix.
    """
    D = as_distances(D)
    if len(D) < 2:
        return _numbered(np.full(len(D), -1))
    hierarchy = scipy.cluster.hierarchy
    tree = hierarchy.linkage(scipy.spatial.distance.squareform(D, checks=False), "average")
    found = hierarchy.fcluster(tree, max(cut, TIE), "distance")
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
    """Points in the plane for a distance matrix, by UMAP; the same for the same seed.

    Args:
        D: distances `(m, m)`.
        seed: of UMAP's random choices.
        n_neighbors: neighbours kept, at most `m - 1`.
        min_dist: how tightly points may be packed.

    Returns:
        Coordinates `(m, 2)`, float32. Of fewer than 6 features, too few for UMAP's spectral start,
        and of features that are all equally far from each other, of which there is no map, by
        classical scaling.

    Raises:
        UserError: if `D` is no distance matrix, or a setting makes no sense.
    """
    D = as_distances(D)
    if not n_neighbors >= 2:
        raise UserError(f"n_neighbors {n_neighbors}: expected 2 or more.")
    if not 0 <= min_dist <= 1:
        raise UserError(f"min_dist {min_dist}: expected 0 to 1.")
    apart = D[~np.eye(len(D), dtype=bool)]
    if len(D) < 6 or np.ptp(apart) <= EQUALLY_FAR:
        return _classical_scaling(D).astype(np.float32)
    UMAP = _umap()
    with warnings.catch_warnings():
        # We never transform new points, one job is what a seed asks for, and families with
        # nothing between them are what we hope to see.
        warnings.filterwarnings("ignore", "using precomputed metric", UserWarning)
        warnings.filterwarnings("ignore", ".*not fully connected", UserWarning)
        warnings.filterwarnings("ignore", ".*separate connected components", UserWarning)
        warnings.filterwarnings("ignore", ".*Spectral initialisation failed", UserWarning)
        warnings.filterwarnings("ignore", "precomputed_knn", UserWarning)
        # The nearest of every feature are in the matrix: UMAP would find the same ones, but first
        # compile for several seconds what finds them.
        count, D = min(n_neighbors, len(D) - 1), D.astype(np.float32)
        nearest = np.argsort(D, axis=1, kind="stable")[:, :count].astype(np.int32)
        reducer = UMAP(
            metric="precomputed",
            precomputed_knn=(nearest, np.take_along_axis(D, nearest, axis=1)),
            n_neighbors=count,
            min_dist=min_dist,
            random_state=seed,
            n_jobs=1,
        )
        found = np.asarray(reducer.fit_transform(D), dtype=np.float32)
    lost = ~np.isfinite(found).all(1)  # features that UMAP leaves without a neighbour
    found[lost] = 0 if lost.all() else found[~lost].mean(0)
    return found


def _umap() -> type:
    """UMAP's class, also where numba may keep the code that it compiles for it nowhere.

    numba tries the package's own folder, which in a container or on a cluster may be read-only, and
    one in the home folder, which may be too; then the import fails.
    """
    try:
        from umap import UMAP
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        import numba

        folder = tempfile.mkdtemp(prefix="gc_utils-numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        numba.config.CACHE_DIR = folder
        for name in [n for n in sys.modules if n.split(".")[0] in ("umap", "pynndescent")]:
            del sys.modules[name]  # the failed import leaves half-made modules behind
        from umap import UMAP
    return UMAP


def _classical_scaling(D: np.ndarray) -> np.ndarray:
    """Coordinates `(m, 2)` whose distances come nearest to `D` in strain."""
    from sklearn.manifold import ClassicalMDS

    if len(D) < 2:
        return np.zeros((len(D), 2))
    with np.errstate(invalid="ignore"):  # D need not be Euclidean: an axis may have no extent
        return np.nan_to_num(ClassicalMDS(2, metric="precomputed").fit_transform(D))


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
            transformed.

    Returns:
        Numbers by name, NaN where undefined, with the cause in `reasons`:
        `features`, `labelled`, `unlabelled`, `classes` counts;
        `silhouette`, `silhouette_embedding` in [-1, 1]; `silhouette_chance` the mean of the first
        over labels shuffled among the labelled features;
        `knn_purity` mean share of a feature's neighbours with its label, `knn_chance` the same
        over all features that could have been neighbours, `knn_features` the number averaged over;
        `adjusted_rand`, `adjusted_mutual_information`, `normalised_mutual_information` of clusters
        and labels.

    Raises:
        UserError: if the lengths differ.
    """
    from sklearn.metrics import (
        adjusted_mutual_info_score,
        adjusted_rand_score,
        normalized_mutual_info_score,
        silhouette_score,
    )

    D = as_distances(D)
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
    rng = np.random.default_rng(0)
    shuffled = [rng.permutation(names) for _ in range(SHUFFLES)]
    put(
        "silhouette_chance",
        few,
        lambda: np.mean([silhouette_score(D, some, metric="precomputed") for some in shuffled]),
    )
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
