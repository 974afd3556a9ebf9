"""Notebook 01: what the low-pass before sampling changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from gc_utils.activations import ActivationStore
from gc_utils.images import Photograph
from gc_utils.models.base import Model
from gc_utils.symmetry.variance import Variance, variance

WITHOUT, WITH = "without low-pass", "with low-pass"


def low_pass_compared(
    store: ActivationStore,
    network: Model,
    images: Sequence[Photograph],
    *,
    seed: int,
    most: int = 48,
) -> tuple[np.ndarray, dict[str, Variance]]:
    """How the variance of a few orbits divides without and with the store's low-pass.

    Args:
        store: the activation store.
        network: its network.
        images: its images.
        seed: which orbits.
        most: orbits at most.

    Returns:
        The orbits' row numbers, and the divided variance by how the orbits were sampled.
    """
    rows = np.sort(
        np.random.default_rng(seed).choice(len(store), min(most, len(store)), replace=False)
    )
    layer = store.settings["layer"]
    with torch.inference_mode():
        sharp = [network.unit(crops, layer).cpu() for crops in store.crops(rows, images, blur=0)]
    return rows, {
        WITHOUT: variance(torch.stack(sharp), store.group),
        WITH: variance(store[rows], store.group),
    }


def low_pass_sentence(sampled: Mapping[str, Variance], orbits: int) -> str:
    """What the low-pass does to angular frequency 4, which interpolation plants.

    Args:
        sampled: from `low_pass_compared`.
        orbits: how many it was measured on.
    """
    if len(sampled[WITH].frequencies) <= 4:
        return "A group with fewer than 8 rotations cannot show angular frequency 4."
    before, after = (100 * float(sampled[name].frequencies[4]) for name in (WITHOUT, WITH))
    verb = "lowers" if after < before else "does not lower"
    return (
        f"On {orbits} orbits the low-pass {verb} the share of angular frequency 4 in the "
        f"orientation part: {before:.1f} % without it, {after:.1f} % with it."
    )


def centring_sentence(mean_over_sd: float) -> str:
    """Say why the activations are centred.

    Args:
        mean_over_sd: Norm of the mean responses over that of their standard deviations.
    """
    if mean_over_sd < 0.1:
        end = "so that hardly anything would change without centring."
    else:
        end = (
            "so without centring a feature of every code would be spent on what all orbits have "
            "in common. The mean is taken out before training."
        )
    return f"The mean response is {mean_over_sd:.2f} times as long as the standard deviation, {end}"
