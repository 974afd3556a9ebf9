"""One layer studied: its neurons and the features of a sparse autoencoder on it."""

from __future__ import annotations

from collections.abc import Sequence
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
from gc_utils.studies.missing_curves.radial_tuning import (
    UNITS,
    RadialTuning,
    codes,
    curve_bank,
    name_units,
    radial_tuning,
    usual_answers,
)
from gc_utils.studies.missing_curves.splitting import neuron_match
from gc_utils.symmetry.elements import family_elements

LR, BATCH = 3e-3, 256  # of a short training; smaller steps or larger batches left more, held out


@dataclass(frozen=True)
class LayerStudy:
    """Neurons and features of one layer; `UNITS` are the keys of the dictionaries.

    Attributes:
        layer: its name.
        positions: the activations that the features were learned from.
        coder: the sparse autoencoder.
        metrics: held-out.
        codes: of all positions `(N, m)`.
        drawings: what the units were shown.
        answers: to the drawings.
        names: from `name_units`.
        tuning: from `radial_tuning`.
        match: from `neuron_match`.
    """

    layer: str
    positions: Positions
    coder: GroupCrosscoder
    metrics: Metrics
    codes: torch.Tensor
    drawings: StimulusBank
    answers: dict[str, torch.Tensor]
    names: dict[str, pd.DataFrame]
    tuning: dict[str, RadialTuning]
    match: pd.DataFrame

    @property
    def decoder(self) -> torch.Tensor:
        """Decoder vectors of the features `(m, C)`."""
        return self.coder.V.detach()[:, 0]

    def detectors(self, who: str) -> np.ndarray:
        """Numbers of the neurons or features that are curve detectors."""
        return np.flatnonzero((self.names[who].label == "curve").to_numpy())

    def preferred(self, who: str) -> np.ndarray:
        """Preferred orientations of those, degrees."""
        return self.tuning[who].table.preferred.to_numpy()[self.detectors(who)]

    def unmatched(self, most: float = 0.5, fires: int = 20) -> np.ndarray:
        """Features that no neuron is like, by direction or by activation; bool `(m,)`."""
        new = (self.match.cosine < most) & (self.match.correlation < most)
        return new.to_numpy() & ((self.codes > 0).sum(0).numpy() >= fires)


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
        model: from `load_model`.
        layer: its layer or branch.
        positions: activations, from `sample_positions`.
        held_out: those to measure on, bool `(N,)`, of other pictures.
        features: relative to the channels.
        k: active at a time, at most a quarter of the channels.
        steps: of training.
        resamples: of the bootstrap of `radial_tuning`.
        seed: of the autoencoder and the bootstrap.
    """
    A, channels = positions.A, positions.A.shape[1]
    k = max(1, min(k, channels // 4))
    coder = GroupCrosscoder("C1", channels, round(features * channels), k=k, seed=seed)
    config = TrainConfig(steps=steps, batch_size=BATCH, lr=LR, evaluate_every=steps, seed=seed)
    train(coder, A[:, None], np.flatnonzero(~held_out), A[held_out, None], config, label=layer)
    drawings = curve_bank(model.crop_size(layer))
    answers = {"neurons": unit_responses(model, layer, drawings.images)}
    answers["features"] = codes(coder, answers["neurons"])
    f = codes(coder, A)
    usual = {"neurons": usual_answers(A), "features": usual_answers(f)}
    table = drawings.table
    return LayerStudy(
        layer, positions, coder, evaluate(coder, A[held_out, None], coder.mean), f, drawings,
        answers,
        {w: name_units(answers[w], table, minimum=0.1 * usual[w]) for w in UNITS},
        {w: radial_tuning(answers[w], table, resamples=resamples, seed=seed) for w in UNITS},
        neuron_match(coder, A, f),
    )  # fmt: skip


def family_turns(
    V: torch.Tensor, g: Group, families: Sequence[int], preferred: Sequence[float]
) -> pd.DataFrame:
    """Are a family's features turned against each other by what their orientations differ by?

    Args:
        V: transform blocks of curve features `(n, |G|, C)`.
        g: their group.
        families: of the features, negative for none.
        preferred: their preferred orientations, degrees.

    Returns:
        One row a pair of a family: `off`, degrees in [0, 180] between the angle that maps one
        feature's blocks on the other's, and that between their orientations.
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
    """Preferred orientations of mixed3b's published curve neurons, against what was published.

    Args:
        tuning: of all neurons of mixed3b, with the original weights.
        draws: permutations of the orientations over the neurons.
        seed: of the permutations.

    Returns:
        One row a neuron: `preferred`, `published`, `off` (degrees), `width`; and `median off`
        with its permutation `p`.
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
