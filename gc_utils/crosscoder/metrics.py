"""How well orbits are reconstructed: FVU in three parts, L0, dead features."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import torch

from gc_utils.activations.orbits import AT_ONCE, Orbits, StoredViews
from gc_utils.crosscoder.base import Crosscoder


@dataclass(frozen=True)
class Metrics:
    """How well orbits are reconstructed.

    Attributes:
        fvu: share of all variance that is left unexplained.
        fvu_invariant: the same of the orbit means.
        fvu_orientation: the same of what is left without them.
        fvu_per_element: `(|G|,)`.
        l0: mean active features a sample; NaN where it does not apply.
        dead: features that never fire on these samples; NaN where it does not apply.
        features: size of the dictionary.
    """

    fvu: float
    fvu_invariant: float
    fvu_orientation: float
    fvu_per_element: np.ndarray = field(repr=False)
    l0: float = math.nan
    dead: float = math.nan
    features: int = 0

    def scalars(self) -> dict[str, float]:
        """All but the values per element, for a table."""
        return {k: v for k, v in asdict(self).items() if k != "fvu_per_element"}


def fvu(
    A: Orbits,
    reconstruction: torch.Tensor | Callable[[torch.Tensor], torch.Tensor],
    mean: torch.Tensor,
) -> Metrics:
    """Fraction of variance unexplained, in its three parts and for each element.

    `Σ‖A-Â‖² / Σ‖A-μ‖²` of everything; of the orbit means of `A`, `Â` and `μ`; and of what is
    left without the orbit means.

    Args:
        A: orbit activations `(N, |G|, C)`.
        reconstruction: `Â`, the same shape; or what makes it of float32 orbits `(n, |G|, C)`, which
            come a few at a time.
        mean: `μ`, `(|G|, C)` or `(C,)`: the training mean, not that of `A`.
    """
    squares = _Squares(mean)
    if isinstance(reconstruction, torch.Tensor):
        squares.add(A, reconstruction)
        return squares.metrics()
    for part in A.split(AT_ONCE):
        squares.add(part.float(), reconstruction(part.float()))
    return squares.metrics()


class _Squares:
    """The sums of squares behind `fvu`, of orbits that come in batches."""

    def __init__(self, mean: torch.Tensor) -> None:
        self.mean = mean
        self.sums: tuple[np.ndarray, np.ndarray] | None = None

    def add(self, A: torch.Tensor, reconstruction: torch.Tensor) -> None:
        A = A.float()
        new = tuple(self._parts(x) for x in (A - reconstruction, A - self.mean.to(A.device)))
        self.sums = tuple(map(np.add, self.sums, new)) if self.sums else new

    @staticmethod
    def _parts(x: torch.Tensor) -> np.ndarray:
        """Squares of every element, and of the orbit means `(|G| + 1,)`."""
        # Added up on the CPU: Apple's GPUs have no float64.
        each = x.square().sum(2).cpu().sum(0, dtype=torch.float64)
        means = x.mean(1).square().sum(1).cpu().sum(dtype=torch.float64) * x.shape[1]
        return torch.cat([each, means[None]]).numpy()

    def metrics(self) -> Metrics:
        error, centred = self.sums
        # An orbit's mean and the rest of it are orthogonal: what is not in the one is in the other.
        parts = [(x[:-1].sum(), x[-1], x[:-1].sum() - x[-1]) for x in (error, centred)]
        least = 1e-7 * centred[:-1].sum()  # less than that is rounding
        values = [float(e / c) if c > least else math.nan for e, c in zip(*parts, strict=True)]
        return Metrics(*values, error[:-1] / np.where(centred[:-1] > 0, centred[:-1], math.nan))


@torch.no_grad()
def evaluate(
    coder: Crosscoder, A: Orbits | StoredViews, mean: torch.Tensor, batch: int = 1024
) -> Metrics:
    """Metrics of a crosscoder on held-out orbits `A (N, |G|, C)`; `mean` as for `fvu`."""
    squares, fired = _Squares(mean), 0
    with coder.fixed():
        for part in A.split(batch):
            part = part.to(coder.device)
            f = coder.encode(part)
            squares.add(part, coder.decode(f))
            fired = fired + (f > 0).sum(0)
    return replace(
        squares.metrics(),
        l0=float(fired.sum()) / len(A),
        dead=float((fired == 0).sum()),
        features=len(fired),
    )
