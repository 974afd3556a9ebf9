"""A basis of few numbers, closed under the group, that holds most of the variance of orbits.

An orbit of `|G|` views with `C` channels has `|G|·C` numbers, and most of them are nearly
determined by a few: what varies fast with the rotation is weak, and channels go together. The
group acts on orbits by right translation, `(R_h A)[g] = A[g·h]`, and a dictionary may be trained in
a subspace without any loss of symmetry if every translate of a vector of it lies in it again.
Fourier analysis on the group finds those subspaces. For an irreducible representation `ρ` of
dimension `d` the coefficients of an orbit,

    F[a, c, b] = √(d/|G|) Σ_g A[g, c] ρ(g)[a, b],

are vectors over `b` that translation by `h` multiplies by `ρ(h)`, one for each `(a, c)`. Any
mixture of them over `(a, c)` spans a closed subspace of `d` dimensions. The mixtures kept are
principal components: of those of all irreps the ones with most variance a number.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import nn

from gc_utils.activations.orbits import Orbits, mean_response
from gc_utils.errors import UserError
from gc_utils.groups import Group, Irrep, group

ENOUGH = 2048  # orbits from which the directions are found
PART = 256  # orbits that are transformed at once


class OrbitBasis(nn.Module):
    """An orthonormal basis of a subspace of orbits `(|G|, C)` that is closed under the group.

    Args:
        group: name of the group.
        mixtures: for every irrep of the group the mixtures kept, orthonormal rows
            `(p, rows · C)`, `p` may be 0; `rows` is the irrep's dimension, or 1 where its rows
            determine each other (the two-dimensional irreps of `Cn`).
        channels: channels `C`.
        held: share of the variance that the subspace holds.

    Attributes:
        size: dimension `r` of the subspace.
        numbers: `|G|·C`.
        held: as given.
    """

    def __init__(
        self, group: str, mixtures: Iterable[torch.Tensor], channels: int, held: float
    ) -> None:
        super().__init__()
        self.group_name, self.channels = group, channels
        g = self.group
        self.numbers = g.order * channels
        for i, mixture in enumerate(mixtures):
            self.register_buffer(f"mixture{i}", mixture)
        self.register_buffer("held_share", torch.tensor(float(held)))
        functions = [_functions(irrep, g) for irrep in g.irreps()]
        self._shapes = [f.shape[1:] for f in functions]  # rows and dimension of every irrep
        transform = torch.cat([f.flatten(1) for f in functions], 1)  # (|G|, |G|), orthogonal
        self.register_buffer("transform", transform.float(), persistent=False)
        for i, irrep in enumerate(g.irreps()):
            self.register_buffer(f"irrep{i}", irrep.matrices.float(), persistent=False)
        kept = zip(g.irreps(), self.mixtures, strict=True)
        self.size = sum(irrep.dim * len(mixture) for irrep, mixture in kept)

    @property
    def group(self) -> Group:
        """The group."""
        return group(self.group_name)

    @property
    def mixtures(self) -> list[torch.Tensor]:
        """The mixtures of every irrep, `(p, rows · C)` each."""
        return [getattr(self, f"mixture{i}") for i in range(len(self.group.irreps()))]

    @property
    def held(self) -> float:
        """Share of the variance that the subspace holds."""
        return float(self.held_share)

    def digest(self) -> str:
        """A short name of these very coordinates."""
        parts = b"".join(m.cpu().contiguous().numpy().tobytes() for m in self.mixtures)
        return hashlib.sha256(parts).hexdigest()[:16]

    @classmethod
    @torch.no_grad()
    def of(cls, A: torch.Tensor, g: Group, *, keep: float = 0.9, seed: int = 0) -> OrbitBasis:
        """The smallest such basis that holds a share of the variance of some orbits.

        Within each irrep the principal components are mixed by a random orthogonal matrix: an
        optimiser with a step size for every coordinate, such as Adam, learns fastest where all
        coordinates vary alike.

        Args:
            A: orbit activations `(N, |G|, C)`; variance counts from their mean over samples and
                elements.
            g: their group.
            keep: the share, in (0, 1].
            seed: of the mixing.

        Returns:
            The basis.

        Raises:
            UserError: `keep` is out of range, or the orbits are all alike.
        """
        if not 0 < keep <= 1:
            raise UserError(f"keep = {keep}: expected a share of the variance, 0 < keep ≤ 1.")
        draw = torch.Generator().manual_seed(seed)
        mean = mean_response(A)
        irreps = g.irreps()
        functions = [_functions(irrep, g).float() for irrep in irreps]
        moments = [0.0] * len(irreps)
        for part in A.split(PART):
            centred = part.float() - mean
            for i, parts in enumerate(_coefficients(centred, functions)):
                flat = parts.flatten(0, 1)
                moments[i] = moments[i] + flat.T @ flat
        values, vectors = [], []
        for moment in moments:
            λ, Q = torch.linalg.eigh(moment)
            values.append(λ.clamp_min(0).double())
            vectors.append(Q.T)
        total = float(sum(v.sum() for v in values))
        if not total > 0:
            raise UserError("all orbits are the same: there is no direction in which they vary.")
        cut = _cut(values, [irrep.dim for irrep in irreps], keep * total)
        mixtures, held = [], 0.0
        for λ, Q, irrep in zip(values, vectors, irreps, strict=True):
            chosen = λ / irrep.dim >= cut
            held += float(λ[chosen].sum())
            mixtures.append(_mixed(Q[chosen], draw))
        return cls(g.name, mixtures, A.shape[2], held / total)

    def project(self, A: torch.Tensor) -> torch.Tensor:
        """Coordinates `(N, r)` of orbits `(N, |G|, C)`; the mean is not taken off."""
        parts = (self.transform.T @ A).split([math.prod(shape) for shape in self._shapes], 1)
        made = [
            (_as_vectors(part, shape) @ mixture.T).flatten(1)
            for part, shape, mixture in zip(parts, self._shapes, self.mixtures, strict=True)
        ]
        return torch.cat(made, 1)

    def lift(self, x: torch.Tensor) -> torch.Tensor:
        """Orbits `(N, |G|, C)` of coordinates `(N, r)`: `project(lift(x))` is `x`."""
        made = []
        for irrep, mixture, part in self._blocks(x):
            rows = mixture.shape[1] // self.channels
            F = part.unflatten(1, (irrep.dim, -1)) @ mixture  # (N, d, rows·C)
            made.append(F.unflatten(2, (rows, self.channels)).transpose(1, 2).flatten(1, 2))
        return self.transform @ torch.cat(made, 1)

    def translate(self, x: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        """Coordinates of `R_h A` from those of `A`.

        Args:
            x: `(N, r)`.
            h: an element for each, int `(N,)`.
        """
        made = []
        for i, (irrep, _, part) in enumerate(self._blocks(x)):
            by = getattr(self, f"irrep{i}")[h]
            made.append((by @ part.unflatten(1, (irrep.dim, -1))).flatten(1))
        return torch.cat(made, 1)

    def _blocks(self, x: torch.Tensor) -> Iterator[tuple[Irrep, torch.Tensor, torch.Tensor]]:
        """Each irrep with its mixtures and its part of coordinates, ordered by `(b, mixture)`."""
        start = 0
        for irrep, mixture in zip(self.group.irreps(), self.mixtures, strict=True):
            stop = start + irrep.dim * len(mixture)
            yield irrep, mixture, x[:, start:stop]
            start = stop


def orbit_basis(data: Orbits, rows: np.ndarray, g: Group, keep: float) -> OrbitBasis:
    """The basis of training orbits, found from at most `ENOUGH` of them.

    Args:
        data: orbit activations `(N, |G|, C)`: a tensor, or what stays on disk.
        rows: those to train on, int `(n,)`.
        g: their group.
        keep: share of the variance that the basis holds.
    """
    some = np.random.default_rng(0).permutation(len(rows))[:ENOUGH]
    return OrbitBasis.of(data[np.sort(np.asarray(rows)[some])], g, keep=keep)


def _functions(irrep: Irrep, g: Group) -> torch.Tensor:
    """Orthonormal functions `√(d/|G|) ρ(g)[a, b]` on the group, `(|G|, rows, d)`."""
    rows = irrep.dim // irrep.endomorphism if irrep.dim > 1 else 1
    return irrep.matrices[:, :rows] * math.sqrt(irrep.dim / g.order)


def _coefficients(A: torch.Tensor, functions: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Fourier coefficients of orbits, `(N, d, rows·C)` for each irrep."""
    for f in functions:
        yield _as_vectors(f.flatten(1).T @ A, f.shape[1:])


def _as_vectors(part: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """`(N, rows·d, C)` as `(N, d, rows·C)`."""
    return part.unflatten(1, tuple(shape)).transpose(1, 2).flatten(2)


def _cut(values: list[torch.Tensor], dims: list[int], wanted: float) -> float:
    """The least variance a number of a direction that is kept."""
    each = torch.cat([v / d for v, d in zip(values, dims, strict=True)])
    whole = torch.cat(values)
    order = each.argsort(descending=True)
    count = int((whole[order].cumsum(0) < wanted * (1 - 1e-9)).sum())
    return float(each[order[min(count, len(order) - 1)]])


def _mixed(rows: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """The same subspace, in random coordinates."""
    if len(rows) < 2:
        return rows
    Q, R = torch.linalg.qr(torch.randn(len(rows), len(rows), generator=draw))
    return (Q * R.diagonal().sign()).to(rows) @ rows
