"""Tables of notebook 08 in a few numbers: pure functions, from table to table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gc_utils.statistics import interval

STEPS = ("identity - G_ReLU", "G_ReLU - full")
SELECTIVITY = ("kurtosis", "sparsity", "best AUC")
IMAGES = ("drawings", "photographs", "classes")  # that units are dissected on


def map_penalties(stitched: pd.DataFrame) -> pd.DataFrame:
    """Mean penalties of each kind of map, over layers.

    Args:
        stitched: Rows of `width`, `pair`, `layer`, `map`, `penalty` (share of test images).

    Returns:
        One row for each width and pair (the index), one column for each map, and the two steps
        between maps that may do more and more, `STEPS`.
    """
    means = stitched.groupby(["width", "pair", "map"]).penalty.mean().unstack()
    for step in STEPS:
        first, second = step.split(" - ")
        means[step] = means[first] - means[second]
    return means


def map_steps(stitched: pd.DataFrame) -> dict[tuple[int, str], tuple[float, float, float]]:
    """How much each step between kinds of maps is worth, over pairs of networks.

    Args:
        stitched: As in `map_penalties`.

    Returns:
        For each width and step of `STEPS` the mean and the ends of its 95 % bootstrap interval.
    """
    return {
        (width, step): (float(here[step].mean()), *interval(here[step]))
        for width, here in map_penalties(stitched).groupby("width")
        for step in STEPS
    }


def lost_by_rotation(similar: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float, float]]:
    """What measures of similarity lose when the units of one of two networks are rotated.

    Args:
        similar: Rows of `compare_pairs`: `measure`, `networks`, `pair`, `first`, `second`, `value`
            and `rotated`.

    Returns:
        For each measure and state of the networks the mean over layers and pairs, and the ends of
        its 95 % bootstrap interval over pairs.
    """
    same = similar[similar["first"] == similar["second"]]
    same = same.assign(lost=same.value - same.rotated)
    by_pair = same.groupby(["measure", "networks", "pair"], sort=False).lost.mean()
    groups = by_pair.groupby(level=[0, 1], sort=False)
    return {key: (float(v.mean()), *interval(v)) for key, v in groups}


def own_depth(similar: pd.DataFrame) -> dict[str, float]:
    """How often the most similar layer of the other network is the one of the same depth.

    Args:
        similar: As in `lost_by_rotation`.

    Returns:
        For each measure the share of trained networks' layers.
    """
    trained = similar[similar.networks == "trained"]
    shares = {}
    for measure, here in trained.groupby("measure", sort=False):
        best = here.loc[here.groupby(["pair", "first"]).value.idxmax()]
        shares[measure] = float((best["first"] == best["second"]).mean())
    return shares


def basis_means(compared: pd.DataFrame) -> pd.DataFrame:
    """Selectivity in each basis, averaged over draws.

    Args:
        compared: Rows of `network`, `layer`, `basis` and the measures of `SELECTIVITY`.

    Returns:
        One row for each network and layer (the index), columns `(measure, basis)`.
    """
    keys = ["network", "layer", "basis"]
    return compared.groupby(keys, sort=False)[list(SELECTIVITY)].mean().unstack("basis")


def basis_losses(in_basis: pd.DataFrame) -> dict[str, dict[str, float]]:
    """What selectivity loses when the basis is rotated, averaged over layers.

    Args:
        in_basis: From `basis_means`.

    Returns:
        For each measure and network, the value in the basis of units less the rotated one's.
    """
    networks = in_basis.index.unique("network")
    return {
        measure: {
            net: float(np.mean(here[measure, "units"] - here[measure, "rotated"]))
            for net in networks
            for here in (in_basis.loc[net],)
        }
        for measure in SELECTIVITY
    }


def iou_gains(compared: pd.DataFrame) -> pd.DataFrame:
    """By how much units match concepts better than rotated bases, for each layer.

    Args:
        compared: Rows of `network`, `net` (the number of a network among several of the kind),
            `layer`, `basis`, `draw` and `IoU, …` for some of `IMAGES`.

    Returns:
        One row for each network, layer and kind of images (the index): `units` and `rotated` (mean
        over draws and networks), `gain` (their difference), and the ends of its 95 % interval:
        over networks where there are several of the kind (bootstrap of the mean), over rotations
        of the one network otherwise (percentiles: within it lie 95 % of the rotations). `nets` and
        `rotations` are their numbers.
    """
    rows = []
    for (network, layer), here in compared.groupby(["network", "layer"], sort=False):
        for images in IMAGES:
            column = f"IoU, {images}"
            if column not in here or here[column].isna().all():
                continue
            units = here[here.basis == "units"].set_index("net")[column]
            rotated = here[here.basis == "rotated"].set_index("net")[column]
            gains = units - rotated.groupby(level=0).mean()
            if len(gains) > 1:
                low, high = interval(gains)
            else:
                low, high = np.percentile(units.iloc[0] - rotated, [2.5, 97.5])
            rows.append(
                {
                    "network": network,
                    "layer": layer,
                    "images": images,
                    "units": float(units.mean()),
                    "rotated": float(rotated.mean()),
                    "gain": float(gains.mean()),
                    "low": float(low),
                    "high": float(high),
                    "nets": len(gains),
                    "rotations": len(rotated) // len(gains),
                }
            )
    return pd.DataFrame(rows).set_index(["network", "layer", "images"])


def layers_hold(gains: pd.DataFrame, studied: str, untrained: str) -> pd.DataFrame:
    """For which layers of a network the basis of units is special, and more so than untrained.

    It is where the whole interval of the gain lies above 0, and above the whole interval of the
    gain before training.

    Args:
        gains: From `iou_gains`.
        studied: The network's title.
        untrained: The title of such networks before training.

    Returns:
        One row for each layer and kind of images (the index): `units`, `rotated`, `gain`, `low`,
        `high`, the same three of untrained networks (`before`, `before low`, `before high`), and
        `holds`.
    """
    table = gains.loc[studied, ["units", "rotated", "gain", "low", "high"]].copy()
    before = gains.loc[untrained].reindex(table.index)
    for column, name in {"gain": "before", "low": "before low", "high": "before high"}.items():
        table[name] = before[column]
    table["holds"] = table.low > table["before high"].clip(lower=0)
    return table
