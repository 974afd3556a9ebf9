"""Which attributes a dimension carries: mutual information against shuffles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import entropy


def mutual_information(codes: np.ndarray, attribute: Sequence, bins: int = 8) -> np.ndarray:
    """Mutual information of each column with an attribute, both binned.

    Numbers are binned into equally full bins, names are bins already.

    Args:
        codes: The columns `(N, d)`.
        attribute: The attribute of each sample `(N,)`, numbers or names.
        bins: The number of bins of numbers at most.

    Returns:
        The information in nats `(d,)`.
    """
    return _information(_binned_columns(codes, bins), _binned(attribute, bins))


def _binned(values: Sequence, bins: int) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype.kind not in "fiu":
        return np.unique(values, return_inverse=True)[1]
    # Not KBinsDiscretizer: its quantiles are computed differently from version to version.
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.digitize(values, edges)


def _binned_columns(codes: np.ndarray, bins: int) -> np.ndarray:
    return np.stack([_binned(column, bins) for column in codes.T], 1)


def _information(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mutual information of binned columns `(N, d)` with a binned vector `(N,)`, in nats.

    All columns at once: scikit-learn's `mutual_info_score`, which gives the same, takes one, and
    the thousand shuffles of `recovered_dimensions` would take it minutes.
    """
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
    `gap` how much more that dimension carries of it than the next, also of the entropy: 1 if the
    dimension stands for the attribute alone (the mutual information gap of Chen et al. 2018).

    Args:
        codes: The coordinates of the samples `(N, d)`.
        attributes: Their attributes, one column each, `N` rows.
        bins: The number of bins of numbers at most.
        permutations: The number of shuffles.
        seed: The seed of the shuffles.

    Returns:
        A table with one row an attribute: `attribute`, `dimension`, `information` (nats), `chance`
        (95 % quantile of the shuffled), `share`, `gap`, `p_value`.
    """
    x, rows = _binned_columns(codes, bins), []
    rng = np.random.default_rng(seed)
    for name in attributes:
        y = _binned(attributes[name].to_numpy(), bins)
        found = _information(x, y)
        shuffled = [_information(x, rng.permutation(y)) for _ in range(permutations)]
        most = np.max(shuffled, 1)
        whole = float(entropy(np.bincount(y)))
        best = np.sort(found)[::-1]
        rows.append(
            {
                "attribute": name,
                "dimension": int(found.argmax()),
                "information": float(found.max()),
                "chance": float(np.quantile(most, 0.95)),
                "share": float(found.max() - np.mean(shuffled)) / whole,
                "gap": float(best[0] - best[1]) / whole if len(best) > 1 else np.nan,
                "p_value": (1 + int((most >= found.max()).sum())) / (1 + permutations),
            }
        )
    return pd.DataFrame(rows)


def spread_of(at: np.ndarray) -> np.ndarray:
    """The unit of each coordinate: its standard deviation over samples `(N, d)`, `(d,)`."""
    return np.maximum(at.std(0), 1e-12)
