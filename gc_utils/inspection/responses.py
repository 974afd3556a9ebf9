"""Responses of features to parametric stimuli, transformed by the group.

A stimulus is drawn once and transformed by every element; under `h` it has the orbit
`R_h A`, so one orbit of network responses serves as `|G|` stimuli of all orientations, and the
drawings pass the same low-pass as the photographs did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from gc_utils.activations.store import PLANTED, ActivationStore
from gc_utils.crosscoder.untied import GroupCrosscoder
from gc_utils.crosscoder.views import views_for
from gc_utils.families.labels import label_features
from gc_utils.groups import Group, translate
from gc_utils.images.orbits import BLUR, image_orbit
from gc_utils.images.stimuli import highest_contrast, stimulus_bank
from gc_utils.models.base import Model


@dataclass(frozen=True)
class StimulusOrbits:
    """Network responses to the orbits of parametric stimuli.

    Attributes:
        A: orbit activations of the drawings, `(S, |G|, C)`.
        images: the drawings, `(S, 3, size, size)`.
        table: one row a transformed drawing, `S·|G|` rows in the order of `(drawing, h)`: the
            columns of `stimulus_bank`, `drawing`, `element` and the `orientation` it then has.
        group: the group.
    """

    A: torch.Tensor
    images: torch.Tensor
    table: pd.DataFrame
    group: Group


@torch.inference_mode()
def unit_responses(
    model: Model, layer: str, images: torch.Tensor, batch: int = 128
) -> torch.Tensor:
    """Responses of the unit at the centre to images, `(S, C)`, `batch` images a forward pass."""
    return torch.cat([model.unit(x, layer).float().cpu() for x in images.split(batch)])


def stimulus_orbits(
    model: Model,
    layer: str,
    g: Group,
    *,
    blur: float = BLUR,
    measure: str = "range",
    batch: int = 128,
) -> StimulusOrbits:
    """Show a network every kind of stimulus under every element of a group.

    Args:
        model: from `load_model`.
        layer: its layer.
        g: the group.
        blur: low-pass in pixels, as for the photographs.
        measure: how contrast is made equal, see `stimuli.draw`.
        batch: crops a forward pass.
    """
    size = model.crop_size(layer)
    # Of root mean square contrast, little can be had of a small drawing of a few thin lines.
    contrast = 0.5 if measure == "range" else min(0.035, highest_contrast(size, measure))
    bank = stimulus_bank(size, orientations=1, contrast=contrast, measure=measure)
    found = []
    for drawings in bank.images.split(max(1, batch // g.order)):
        crops = image_orbit(drawings, g, blur=blur).flatten(0, 1)
        found.append(unit_responses(model, layer, crops, batch))
    A = torch.cat(found).reshape(len(bank.images), g.order, -1)
    table = bank.table.loc[bank.table.index.repeat(g.order)].reset_index(drop=True)
    table["drawing"] = np.repeat(np.arange(len(bank.images)), g.order)
    table["element"] = np.tile(np.arange(g.order), len(bank.images))
    at = table["orientation"].to_numpy(dtype=float)
    mirrored = np.tile(g.mirrored.numpy(), len(bank.images))
    at = np.where(mirrored, 180 - at, at) + np.tile(g.angles.numpy(), len(bank.images))
    table["orientation"] = at % 360
    return StimulusOrbits(A, bank.images, table, g)


def stimuli_for(
    store: ActivationStore, model: Model | None, *, measure: str = "range"
) -> StimulusOrbits:
    """What to show the features learned from a store.

    Drawings, through the store's network; for planted orbits the planted templates themselves, a
    kind for each kind of symmetry; nothing for activations from elsewhere.

    Args:
        store: the store.
        model: its network, None if it came without one.
        measure: how contrast is made equal, see `stimuli.draw`.
    """
    made, g = store.settings, store.group
    if model is not None:
        return stimulus_orbits(model, made["layer"], g, blur=made["blur"], measure=measure)
    A, kinds = torch.zeros(0, g.order, store.channels), []
    if made["model"] == PLANTED:
        A, kinds = torch.from_numpy(store.root["template"][:]), store.root.attrs["kinds"]
    count = len(A)
    table = pd.DataFrame(
        {
            "kind": np.repeat(kinds, g.order),
            "contrast": 1.0,
            "orientation": np.tile(g.angles.numpy(), count),
            "drawing": np.repeat(np.arange(count), g.order),
            "element": np.tile(np.arange(g.order), count),
        }
    )
    return StimulusOrbits(A, torch.zeros(count, 3, 1, 1), table, g)


def stimulus_responses(
    coder: GroupCrosscoder, stimuli: StimulusOrbits, *, graded: bool = False
) -> torch.Tensor:
    """How strongly every feature responds to every transformed stimulus, `(S·|G|, m)`.

    Args:
        coder: a crosscoder of the stimuli's group, or a sparse autoencoder.
        stimuli: from `stimulus_orbits`.
        graded: the encoder's rectified output in place of the code, for stimuli so faint that
            few features would pass a threshold calibrated on photographs.
    """
    A, g = stimuli.A, stimuli.group
    found = []
    with torch.no_grad():
        for h in range(g.order):
            moved = translate(A, g, torch.full((len(A),), h))
            if coder.group.order == 1:
                moved = moved[:, :1]
            if graded:
                found.append(coder.pre_activations(coder.normalised(moved)).relu())
            else:
                found.append(coder.encode(moved))
    return torch.stack(found, 1).flatten(0, 1)


def label_crosscoder(
    coder: GroupCrosscoder, stimuli: StimulusOrbits, usual: torch.Tensor, *, ratio: float = 1.5
) -> pd.DataFrame:
    """Name every feature of a dictionary after the kind of stimulus that it responds to most.

    Args:
        coder: a crosscoder of the stimuli's group, or a sparse autoencoder.
        stimuli: from `stimulus_orbits`, at an equal step in luminance.
        usual: orbit activations of photographs `(N, |G|, C)`; a response weaker than a tenth of a
            feature's mean response to those of them that it fires on names nothing.
        ratio: least ratio of the response to that to any other kind.

    Returns:
        The table of `families.label_features`.
    """
    with torch.no_grad():
        codes = coder.encode(views_for(coder, usual))
    typical = codes.sum(0) / (codes > 0).sum(0).clamp_min(1)
    responses = stimulus_responses(coder, stimuli)
    return label_features(responses, stimuli.table, ratio=ratio, minimum=0.1 * typical)
