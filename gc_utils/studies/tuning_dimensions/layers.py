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

from gc_utils.activations.store import ActivationStore
from gc_utils.groups import Group
from gc_utils.images.orbits import turn
from gc_utils.inspection.decompositions import BASELINE, METHODS, Decomposition, decompose
from gc_utils.inspection.patches import turn_patch
from gc_utils.studies.tuning_dimensions.attributes import explained_by, measure
from gc_utils.symmetry.spectra import frequency_spectrum, invariance

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
