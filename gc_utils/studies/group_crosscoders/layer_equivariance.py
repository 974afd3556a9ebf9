"""How equivariant the layers of a network are, on the photographs of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from gc_utils.activations import ActivationStore, extract
from gc_utils.images import ImageSet, load_images
from gc_utils.models.base import Model
from gc_utils.symmetry import Equivariance, equivariance

STEM = ("conv2d0", "conv2d1", "conv2d2", "mixed3a")  # measured by default, up to the run's layer
MOST = 20_000  # orbits that fit into memory, whatever the layer


def layers_to_measure(network: Model | None, layer: str, named: str = "") -> list[str]:
    """Choose the layers whose equivariance is measured.

    Args:
        network: The network; None for planted orbits, which have no layers.
        layer: The layer of the run.
        named: Layer names separated by spaces; they are taken as they are.

    Returns:
        The names, in the order of the network; the run's layer comes last by default.
    """
    if network is None:
        return []
    if named:
        return named.split()
    order = list(network.layers)
    before = order[: order.index(layer)]
    return [name for name in before if name in STEM] + [layer]


def measure_layers(
    run_dir: Path,
    store: ActivationStore,
    network: Model | None,
    names: Sequence[str],
    *,
    samples: int,
    seed: int = 0,
) -> dict[str, Equivariance]:
    """Measure the equivariance of several layers, on equally many orbits of each.

    Args:
        run_dir: The run folder; the orbits of further layers are kept in `equivariance/`.
        store: The orbits of the run's layer; its settings hold for the other layers, too.
        network: The network.
        names: The layers.
        samples: The orbits of each layer. Where the run has more images than that, those of the
            further layers come from a random half as many.
        seed: The seed of the choice of orbits.

    Returns:
        What `equivariance` found for each layer, fitted without fold 0 and measured on it.
    """
    made, found = store.settings, {}
    images, limit = _images(store, samples) if names else ([], None)
    for name in names:
        orbits = store
        if name != made["layer"]:
            orbits = extract(
                run_dir / "equivariance" / f"{name}.zarr",
                network,
                name,
                store.group,
                images,
                samples=samples,
                weights_file=store.weights_file,
                limit=limit,
                **{key: made[key] for key in ("window", "blur", "seed", "dtype")},
            )
        chosen = np.random.default_rng(seed).permutation(len(orbits))[:samples]
        test = orbits.fold[chosen] == 0
        found[name] = equivariance(
            orbits.rows(chosen[~test]), orbits.rows(chosen[test]), store.group
        )
    return found


def _images(store: ActivationStore, samples: int) -> tuple[ImageSet, int | None]:
    """Images of the run that so many orbits can cover, and the limit that draws them."""
    images, made = store.images(), store.settings
    if len(images) <= samples:
        return images, made["limit"]
    sources = len({photograph.source for photograph in images})
    limit = max(1, samples // (2 * sources))
    drawn = load_images(made["images"], seed=made["seed"], limit=limit, min_size=made["size"])
    return drawn, limit


def measure_all_orbits(store: ActivationStore) -> dict[str, Equivariance]:
    """Measure the run's layer on all its orbits: were the few orbits of each layer too few?

    Of a store that is larger than `MOST`, on as many as that.

    Args:
        store: The orbits of the run's layer.

    Returns:
        One entry, named after the layer and the number of orbits.
    """
    chosen = np.random.default_rng(0).permutation(len(store))[:MOST]
    rows, test = np.sort(chosen), store.fold[np.sort(chosen)] == 0
    name = f"{store.settings['layer']}, {'all ' * (len(store) <= MOST)}{len(rows)} orbits"
    return {name: equivariance(store.rows(rows[~test]), store.rows(rows[test]), store.group)}


def equivariance_table(found: Mapping[str, Equivariance]) -> pd.DataFrame:
    """Mean `R²` over the group for each layer.

    Args:
        found: What `equivariance` found, by layer.

    Returns:
        A row a layer: `powers`, `free` and `unchanged`, and the share of channels of which a
        matrix for each element predicts more than half the variance.
    """

    def row(one: Equivariance) -> dict[str, float]:
        finite = one.channels_free[np.isfinite(one.channels_free)]
        means = {name: one.mean(name) for name in ("powers", "free", "unchanged")}
        return means | {"channels over 0.5, free": float(np.mean(finite > 0.5))}

    return pd.DataFrame({name: row(one) for name, one in found.items()}).T
