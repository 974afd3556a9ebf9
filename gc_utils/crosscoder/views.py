"""Orbits as a crosscoder sees them: normalised, from a random start, or as single views."""

from __future__ import annotations

import torch

from gc_utils.activations.orbits import AT_ONCE, Orbits, StoredViews, single_views
from gc_utils.crosscoder.base import Crosscoder
from gc_utils.crosscoder.batches import ShuffledBatches
from gc_utils.groups import translate


def as_seen(
    coder: Crosscoder,
    A: torch.Tensor,
    translated: bool,
    draw: torch.Generator,
    part: slice = slice(None),
) -> torch.Tensor:
    """Orbits as a crosscoder is trained on them: normalised, each seen from a random start.

    Args:
        coder: the crosscoder; one of the trivial group sees a single view of each orbit.
        A: orbit activations `(N, |G|, C)`.
        translated: whether the start is random; the identity if not.
        draw: of the starts.
        part: the orbits that are wanted; each is seen as it is among all.

    Returns:
        `(N, |G|, C)`, for a sparse autoencoder `(N, 1, C)`, on the crosscoder's device.
    """
    if coder.group.order == 1 and A.shape[1] > 1:
        h = torch.randint(A.shape[1], (len(A),), generator=draw)
        h = h if translated else torch.zeros_like(h)
        A = A[torch.arange(len(A)), h][part, None]
    elif translated:
        h = torch.randint(coder.group.order, (len(A),), generator=draw)
        A = translate(A[part], coder.group, h[part])
    else:
        A = A[part]
    return (A.to(coder.device) - coder.mean) / coder.scale


class SeenOrbits:
    """Batches of orbits as a crosscoder is trained on them, see `as_seen`.

    Args:
        coder: the crosscoder; a fresh one takes normalisation from the first batches.
        batches: of training orbits.
        translated: whether every orbit is seen from a random start.
    """

    def __init__(self, coder: Crosscoder, batches: ShuffledBatches, translated: bool) -> None:
        self.coder, self.batches, self.translated = coder, batches, translated
        if coder.fresh:
            normalise(coder, batches)

    def batch(self, step: int, draw: torch.Generator, part: slice = slice(None)) -> torch.Tensor:
        """The orbits of a step, or a part of them, `(N, |G|, C)`; `draw` is of the starts."""
        return as_seen(self.coder, self.batches.batch(step), self.translated, draw, part)


def normalise(coder: Crosscoder, batches: ShuffledBatches) -> None:
    """Set a crosscoder's `mean` and `scale` from about 2,048 orbits, the first batches."""
    count = max(1, 2048 // batches.batch_size)
    coder.normalise(torch.cat([batches.batch(i) for i in range(count)]))


def views_for(coder: Crosscoder, A: Orbits) -> Orbits | StoredViews:
    """Orbits `(N, |G|, C)` as this crosscoder sees them: single views for the trivial group."""
    if coder.group.order == 1 and A.shape[1] > 1:
        return single_views(A)
    return A


@torch.no_grad()
def codes_of(coder: Crosscoder, orbits: Orbits) -> torch.Tensor:
    """Codes of many orbits, some of which are in memory at a time.

    Args:
        coder: the crosscoder.
        orbits: orbit activations `(N, |G|, C)`: a tensor, or what stays on disk.

    Returns:
        `f`, float32 `(N, m)`, on the CPU.
    """
    codes = torch.empty(len(orbits), coder.config.features)
    for start, part in zip(range(0, len(orbits), AT_ONCE), orbits.split(AT_ONCE), strict=True):
        codes[start : start + len(part)] = coder.encode(part.float().to(coder.device))
    return codes
