"""One layer studied: its neurons and the features of a sparse autoencoder on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from gc_utils.activations.positions import Positions
from gc_utils.crosscoder.metrics import Metrics, evaluate
from gc_utils.crosscoder.training import TrainConfig, train
from gc_utils.crosscoder.untied import GroupCrosscoder
from gc_utils.families.published import CURVE_ORIENTATIONS
from gc_utils.groups import Group
from gc_utils.images.stimuli import StimulusBank
from gc_utils.inspection.responses import unit_responses
from gc_utils.models.base import Model
from gc_utils.statistics import apart
from gc_utils.studies.missing_curves.coverage import coverage
from gc_utils.studies.missing_curves.radial_tuning import (
    UNITS,
    RadialTuning,
    codes,
    curve_bank,
    name_units,
    radial_tuning,
    usual_responses,
)
from gc_utils.studies.missing_curves.splitting import NEW, like_no_neuron, neuron_match
from gc_utils.symmetry.elements import family_elements

LR, BATCH = 3e-3, 256  # of a short training; smaller steps or larger batches left more, held out


@dataclass(frozen=True)
class LayerStudy:
    """Neurons and features of one layer; `UNITS` are the keys of the dictionaries.

    Attributes:
        layer: The name of the layer.
        positions: The activations that the features were learned from.
        coder: The sparse autoencoder.
        metrics: Its metrics on held-out positions.
        codes: The codes of all positions `(N, m)`.
        drawings: The drawings that the units were shown, `S` of them.
        responses: The responses to the drawings `(S, U)`.
        names: The names of the units, from `name_units`.
        tuning: Their radial tuning, from `radial_tuning`.
        match: The most similar neuron of each feature, from `neuron_match`.
    """

    layer: str
    positions: Positions
    coder: GroupCrosscoder
    metrics: Metrics
    codes: torch.Tensor
    drawings: StimulusBank
    responses: dict[str, torch.Tensor]
    names: dict[str, pd.DataFrame]
    tuning: dict[str, RadialTuning]
    match: pd.DataFrame

    @property
    def decoder(self) -> torch.Tensor:
        """Decoder vectors of the features `(m, C)`."""
        return self.coder.V.detach()[:, 0]

    def detectors(self, who: str) -> np.ndarray:
        """The numbers of the neurons or features that are curve detectors, `(n,)`."""
        return np.flatnonzero((self.names[who].label == "curve").to_numpy())

    def preferred(self, who: str) -> np.ndarray:
        """The preferred orientations of the curve detectors in degrees, `(n,)`."""
        return self.tuning[who].table.preferred.to_numpy()[self.detectors(who)]

    def tuned(self, who: str) -> pd.DataFrame:
        """The rows of the tuning table of the curve detectors."""
        return self.tuning[who].table.loc[self.detectors(who)]

    def unmatched(self, most: float = NEW, fires: int = 20) -> np.ndarray:
        """Features that no neuron is similar to, see `like_no_neuron`."""
        return like_no_neuron(self.match, self.codes, most=most, fires=fires)


def sparse_autoencoder(
    A: torch.Tensor,
    held_out: np.ndarray,
    *,
    features: float = 2.0,
    k: int = 16,
    steps: int = 1000,
    seed: int = 0,
    label: str = "",
) -> GroupCrosscoder:
    """Train a sparse autoencoder on a layer's activations.

    Args:
        A: Activations `(N, C)`.
        held_out: The positions to measure on, bool `(N,)`.
        features: The number of features, relative to the channels.
        k: The number of features active at a time, at most a quarter of the channels.
        steps: The steps of training.
        seed: The seed of the weights and the batches.
        label: The name of the layer, for the progress bar.

    Returns:
        The trained autoencoder.
    """
    channels = A.shape[1]
    k = max(1, min(k, channels // 4))
    coder = GroupCrosscoder("C1", channels, round(features * channels), k=k, seed=seed)
    config = TrainConfig(steps=steps, batch_size=BATCH, lr=LR, evaluate_every=steps, seed=seed)
    train(coder, A[:, None], np.flatnonzero(~held_out), A[held_out, None], config, label=label)
    return coder


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
        model: A model from `load_model`.
        layer: The layer or branch.
        positions: Activations, from `sample_positions`.
        held_out: The positions to measure on, bool `(N,)`, of images that the others are not of.
        features: The number of features, relative to the channels.
        k: The number of features active at a time, at most a quarter of the channels.
        steps: The steps of training.
        resamples: The number of resamples of the bootstrap of `radial_tuning`.
        seed: The seed of the autoencoder and the bootstrap.

    Returns:
        A `LayerStudy`.
    """
    A = positions.A
    coder = sparse_autoencoder(
        A, held_out, features=features, k=k, steps=steps, seed=seed, label=layer
    )
    drawings = curve_bank(model.crop_size(layer))
    responses = {"neurons": unit_responses(model, layer, drawings.images)}
    responses["features"] = codes(coder, responses["neurons"])
    f = codes(coder, A)
    usual = {"neurons": usual_responses(A), "features": usual_responses(f)}
    table = drawings.table
    return LayerStudy(
        layer,
        positions,
        coder,
        evaluate(coder, A[held_out, None], coder.mean),
        f,
        drawings,
        responses,
        {w: name_units(responses[w], table, minimum=0.1 * usual[w]) for w in UNITS},
        {w: radial_tuning(responses[w], table, resamples=resamples, seed=seed) for w in UNITS},
        neuron_match(coder.V.detach()[:, 0], A, f),
    )


def summary(study: Mapping[str, LayerStudy]) -> pd.DataFrame:
    """What was found in each layer.

    Args:
        study: The studies of the layers by name.

    Returns:
        A table with one row a layer: `channels`; `features`; `FVU` and `L0` of the SAE on held-out
        positions; `dead`, the share of its features that never fire there; `without a neuron`, the
        share that no neuron is similar to; and for neurons and for features the number of curve
        detectors and the widest gap between them in degrees.
    """
    rows = {}
    for name, layer in study.items():
        m = layer.metrics
        rows[name] = {
            "channels": layer.positions.A.shape[1],
            "features": m.features,
            "FVU": m.fvu,
            "L0": m.l0,
            "dead": m.dead / m.features,
            "without a neuron": layer.unmatched().mean(),
        }
        for who in UNITS:
            found = coverage(layer.preferred(who))
            rows[name] |= {f"curve {who}": found["count"], f"gap, {who}": found["gap"]}
    return pd.DataFrame(list(rows.values()), index=pd.Index(rows, name="layer"))


def echoes(study: Mapping[str, LayerStudy]) -> pd.DataFrame:
    """How strongly curve detectors respond to the arc rotated by 180 degrees.

    Args:
        study: The studies of the layers by name.

    Returns:
        A table with one row a curve detector: `layer`, `units`, and `echo`, its response at 180
        degrees over that at the preferred orientation.
    """
    rows = [
        {"layer": name, "units": who, "echo": value}
        for name, layer in study.items()
        for who in UNITS
        for value in layer.tuned(who)["echo"]
    ]
    return pd.DataFrame(rows, columns=["layer", "units", "echo"]).dropna()


def family_rotations(
    V: torch.Tensor, g: Group, families: Sequence[int], preferred: Sequence[float]
) -> pd.DataFrame:
    """Compare the rotation between a family's features with that of their orientations.

    Args:
        V: Transform blocks of curve features `(n, |G|, C)`.
        g: Their group.
        families: The family of each feature, negative for none.
        preferred: The preferred orientation of each feature in degrees.

    Returns:
        A table with one row a pair of a family: `off`, degrees in [0, 180] between the angle that
        maps one feature's blocks on the other's, and that between their orientations.
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
    """Compare the orientations of mixed3b's published curve neurons with what was published.

    Args:
        tuning: The radial tuning of all neurons of mixed3b, with the original weights.
        draws: The number of permutations of the orientations over the neurons.
        seed: The seed of the permutations.

    Returns:
        A table with one row a neuron: `preferred`, `published`, `off` (degrees), `width`; and a
        dictionary of `median off` with its permutation `p`.
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
