"""Notebooks 01 and 02: the orbit that is followed from its photograph to what is made of it."""

from __future__ import annotations

import numpy as np
import torch

from gc_utils.activations import ActivationStore
from gc_utils.activations.orbits import AT_ONCE
from gc_utils.activations.store import WITHOUT_NETWORK
from gc_utils.figures import OrbitExample
from gc_utils.images import ImageSet, is_scene


def contrasting(store: ActivationStore, among: np.ndarray | None = None) -> int:
    """The sample whose patch has most contrast, which is easily recognised when it is rotated.

    Args:
        store: The activation store.
        among: Choose among the samples where this is true, bool `(N,)`; None for all.

    Returns:
        Its row number. A sample of a photograph, if there is one, and not of a drawn scene.
    """
    inside = np.arange(len(store)) if among is None else np.flatnonzero(among)
    drawn = np.array([is_scene(name) for name in store.photograph_names])
    real = inside[~drawn[store.samples["photograph"][inside]]]
    inside = real if len(real) else inside
    # Over pixels: a patch of one saturated colour has none.
    best, found = -1.0, int(inside[0])
    for start in range(0, len(inside), AT_ONCE):
        rows = inside[start : start + AT_ONCE]
        contrast = store.patches[rows].astype(float).std((1, 2)).mean(1)
        if contrast.max() > best:
            best, found = float(contrast.max()), int(rows[contrast.argmax()])
    return found


def example_orbit(
    store: ActivationStore, row: int, mean: torch.Tensor, images: ImageSet | None = None
) -> OrbitExample:
    """One orbit of a store, with the photograph that it is from where there is one.

    Args:
        store: The activation store.
        row: Its row number.
        mean: `(C,)`, the mean responses that activations are shown relative to.
        images: The store's images, if they are loaded already.

    Returns:
        What `figures.orbit_walkthrough` draws.
    """
    A = (store[[row]][0] - mean).numpy()
    if store.settings["model"] in WITHOUT_NETWORK:
        return OrbitExample(A)
    images = store.images() if images is None else images
    at = {name: store.samples[name][row] for name in ("photograph", "x", "y", "scale")}
    photograph = images[int(at["photograph"])]
    side = float(store.settings["size"] * at["scale"])
    corner = (float(at["x"]) - side / 2, float(at["y"]) - side / 2)
    crops = store.crops([row], images)[0].numpy()
    return OrbitExample(A, crops, photograph.load().numpy(), photograph.name, corner, side)
