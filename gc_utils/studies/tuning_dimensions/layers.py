"""*Identifying and interpreting tuning dimensions in deep networks* (Dey et al. 2020, 2011.03043).

A tuning dimension is a stimulus attribute that accounts for much of a population's activation
variance. It is searched for without naming attributes: activations are decomposed, and each basis
direction is walked along and shown. Here attributes are also measured, so that a dimension's name
is a number and not an opinion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from gc_utils.activations.orbits import spread_over
from gc_utils.activations.store import ActivationStore
from gc_utils.groups import Group
from gc_utils.images.orbits import image_orbit
from gc_utils.inspection.decompositions import BASELINE, METHODS, Decomposition, decompose
from gc_utils.inspection.patches import rotate_patch
from gc_utils.studies.tuning_dimensions.attributes import explained_by, measure
from gc_utils.symmetry.spectra import frequency_spectrum, invariance


def group_directions(A: torch.Tensor, g: Group, found: Decomposition) -> pd.DataFrame:
    """How much of each dimension rotating the image explains, and at which frequency.

    The coordinates of orbit activations along a dimension are a function on the group, one channel
    for each image: its irrep spectrum is that of a feature's blocks.

    Args:
        A: Orbit activations `(N, |G|, C)`.
        g: Their group.
        found: The decomposition.

    Returns:
        A table with one row a dimension: `rotation`, the share of variance within orbits (what the
        trivial irrep does not hold, rotations and mirrors together), and `frequency m`, shares of
        all variance by angular frequency.
    """
    z = torch.from_numpy(found.coordinates(A.flatten(0, 1))).unflatten(0, A.shape[:2])
    z = z.permute(2, 1, 0)  # (d, |G|, N)
    z = z - z.mean((1, 2), keepdim=True)
    table = {"rotation": 1 - invariance(z, g).numpy()}
    spectrum = frequency_spectrum(z, g)
    return pd.DataFrame(
        table | {f"frequency {m}": share.numpy() for m, share in enumerate(spectrum.T)}
    )


@dataclass(frozen=True)
class LayerStudy:
    """Tuning dimensions of one layer, by every method.

    Attributes:
        store: The orbit activations.
        rows: The sample and the element of every crop that was decomposed, `(N, 2)`.
        found: The decomposition by each method.
        coordinates: Where the crops lie along each method's basis, `(N, d)`.
        named: R² of measured attributes for each method, from `explained_by`.
        chance: The same with the attributes shuffled over the samples.
        rotation: The table of `group_directions` for each method.
    """

    store: ActivationStore
    rows: np.ndarray
    found: dict[str, Decomposition]
    coordinates: dict[str, np.ndarray]
    named: dict[str, pd.DataFrame]
    chance: dict[str, pd.DataFrame]
    rotation: dict[str, pd.DataFrame]

    def crops(self, rows: Sequence[int]) -> np.ndarray:
        """The crops behind some rows, rotated as they were, uint8 `(k, S, S, 3)`."""
        patches = self.store.patches
        return np.stack(
            [rotate_patch(patches[n], self.store.group, int(e)) for n, e in self.rows[list(rows)]]
        )

    def best(self) -> pd.DataFrame:
        """R² of the dimension that each attribute predicts best, one row a method."""
        return pd.DataFrame({m: t.max() for m, t in self.named.items()}).T

    def most_by_chance(self) -> dict[str, float]:
        """The largest R² of any dimension of any method for each attribute when it is shuffled."""
        return pd.concat(self.chance).max().to_dict()


def study_layer(
    store: ActivationStore,
    count: int,
    *,
    methods: Sequence[str] = (*METHODS, BASELINE),
    most: int = 2400,
    seed: int = 0,
) -> LayerStudy:
    """Decompose a layer's activations and measure what its dimensions are.

    Args:
        store: The orbit activations.
        count: The number of dimensions.
        methods: The methods, as `decompose` takes them; NMF is left out if an activation is
            negative.
        most: The number of crops that are decomposed and measured, drawn from all samples under
            all group elements.
        seed: The seed of the draw and of the methods.

    Returns:
        A `LayerStudy`.
    """
    g = store.group
    rng = np.random.default_rng(seed)
    drawn = rng.permutation(len(store) * g.order)[:most]
    rows = np.stack(np.divmod(drawn, g.order), 1)
    samples, of = np.unique(rows[:, 0], return_inverse=True)
    x = store[samples][of, rows[:, 1]]
    methods = [m for m in methods if m != "NMF" or float(x.min()) >= 0]
    found = {m: decompose(x, m, count, seed=seed) for m in methods}
    size = store.patches.shape[1]
    crops = torch.empty(len(rows), 3, size, size)
    for i, patch in enumerate(store.patches[samples]):
        image = torch.from_numpy(patch).permute(2, 0, 1).float() / 255
        crops[of == i] = image_orbit(image, g, blur=0.0)[rows[of == i, 1]]
    measured = measure(crops)
    photographs = store.samples["photograph"][rows[:, 0]]
    shuffled = measured.iloc[rng.permutation(len(measured))].reset_index(drop=True)
    # Coordinates are what is named, what walks go along and what rotation is measured of.
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
        each(explained_by(every, measured, photographs, seed=seed)),
        each(explained_by(every, shuffled, photographs, seed=seed)),
        {m: group_directions(spread_over(store, 1), g, f) for m, f in found.items()},
    )


def methods_table(layers: Mapping[str, LayerStudy]) -> pd.DataFrame:
    """What each method's dimensions hold, layer by layer.

    Args:
        layers: The studies of the layers by name.

    Returns:
        A table with one row a layer and method: R² of the dimension that each attribute predicts
        best; `variance explained` by the decomposition; `variance from rotation, mean` over its
        dimensions; and `most by chance`, the largest R² of shuffled attributes.
    """
    table = pd.concat({name: s.best() for name, s in layers.items()}, names=["layer", "method"])
    rows = [(layers[name], method) for name, method in table.index]
    table["variance explained"] = [s.found[m].explained for s, m in rows]
    table["variance from rotation, mean"] = [s.rotation[m]["rotation"].mean() for s, m in rows]
    table["most by chance"] = [s.chance[m].to_numpy().max() for s, m in rows]
    return table


def rotation_summary(layers: Mapping[str, LayerStudy], method: str) -> pd.DataFrame:
    """How much of the variance of one method's dimensions rotation makes, beside random directions.

    A dimension is a group direction if rotation makes more than half of its variance.

    Args:
        layers: The studies of the layers by name.
        method: The method whose dimensions are summarised.

    Returns:
        A table with one column a layer: shares of variance, numbers of group directions, and the
        mean R² with which orientation or direction predict group directions and the others (NaN
        if there are none).
    """
    summary = {}
    for name, s in layers.items():
        rotation, named = s.rotation[method]["rotation"], s.named[method]
        random = s.rotation[BASELINE]["rotation"]
        oriented = named[["orientation", "direction"]].max(axis=1)
        summary[name] = {
            "variance from rotation, mean": rotation.mean(),
            "dimensions over 0.5": (rotation > 0.5).sum(),
            "the same of random directions": (random > 0.5).sum(),
            "variance from rotation, random directions": random.mean(),
            "predicted by orientation or direction, those": oriented[rotation > 0.5].mean(),
            "the others": oriented[rotation <= 0.5].mean(),
            "explained variance": s.found[method].explained,
        }
    return pd.DataFrame(summary)
