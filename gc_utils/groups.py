"""Finite groups of the plane: rotations `Cn`, and rotations with reflections `Dn`.

Elements have a fixed order. With `r` the rotation by 360/n degrees counter-clockwise and `s` the
left-right mirror, `r^k` has index `k` and `r^k s` has index `n + k`; index 0 is the identity.
The product rule is `s r = r^-1 s`:

    r^a · r^b = r^(a+b)        r^a · r^b s = r^(a+b) s
    r^a s · r^b = r^(a-b) s    r^a s · r^b s = r^(a-b)
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch

from gc_utils.errors import UserError, brief

MAX_ROTATIONS = 720  # a table of 2 million products; nobody samples an orbit more finely


@dataclass(frozen=True, eq=False)
class Irrep:
    """A real irreducible representation.

    Attributes:
        name: `A…` and `B…` are one-dimensional, `E{j}` rotates the plane `j` times as fast.
        frequency: angular frequency `j`: the representation of `r` has eigenvalues exp(±2πij/n).
        dim: its dimension, 1 or 2.
        endomorphism: dimension of the algebra of commuting matrices: 2 for the two-dimensional
            irreps of `Cn` (complex type), else 1. `Σ dim²/endomorphism = |G|`.
        matrices: float64 `(|G|, dim, dim)`, orthogonal.
    """

    name: str
    frequency: int
    dim: int
    endomorphism: int
    matrices: torch.Tensor

    @property
    def characters(self) -> torch.Tensor:
        """Traces, float64 `(|G|,)`."""
        return self.matrices.diagonal(dim1=1, dim2=2).sum(-1)


@dataclass(frozen=True)
class Subgroup:
    """A subgroup, identified by its rotation order and its smallest mirror axis.

    Attributes:
        name: `C{d}`, or `D{d}@axis` with the axis in degrees; `G` for the whole group.
        elements: sorted indices of its elements.
        rotation_order: number of rotations in it.
        axis_degrees: the smallest of its mirrors' axes, in [0, 180) degrees counter-clockwise from
            horizontal; NaN without mirrors and for the whole group, which prefers no axis.
    """

    name: str
    elements: tuple[int, ...]
    rotation_order: int
    axis_degrees: float

    @property
    def order(self) -> int:
        """Number of elements."""
        return len(self.elements)


@dataclass(frozen=True)
class Group:
    """`Cn` or `Dn`; make one with `group("D16")`.

    Attributes:
        n: number of rotations.
        dihedral: whether it has mirrors.
    """

    n: int
    dihedral: bool

    @property
    def name(self) -> str:
        """`"C8"`, `"D16"`, …"""
        return f"{'D' if self.dihedral else 'C'}{self.n}"

    @property
    def order(self) -> int:
        """Number of elements `|G|`: `n` for `Cn`, `2n` for `Dn`."""
        return 2 * self.n if self.dihedral else self.n

    @cached_property
    def mirrored(self) -> torch.Tensor:
        """Which elements mirror, bool `(|G|,)`."""
        return torch.arange(self.order) >= self.n

    @cached_property
    def angles(self) -> torch.Tensor:
        """Degrees of the rotation part of each element, float64 `(|G|,)`."""
        return torch.arange(self.order, dtype=torch.float64) % self.n * (360 / self.n)

    @cached_property
    def names(self) -> list[str]:
        """`["e", "r", "r2", …, "s", "rs", "r2s", …]`."""
        rotations = ["", "r", *(f"r{k}" for k in range(2, self.n))][: self.n]
        return ["e", *rotations[1:]] + [f"{r}s" for r in rotations if self.dihedral]

    @cached_property
    def table(self) -> torch.Tensor:
        """Products, int64 `(|G|, |G|)`: `table[g, h]` is the index of `g·h`."""
        index = torch.arange(self.order)
        k, m = index % self.n, (index >= self.n).long()
        sign = 1 - 2 * m[:, None]  # a mirror on the left reverses the rotation to its right
        rotation = (k[:, None] + sign * k[None]) % self.n
        return rotation + self.n * (m[:, None] ^ m[None])

    @cached_property
    def inverse(self) -> torch.Tensor:
        """Index of every element's inverse, int64 `(|G|,)`."""
        return (self.table == 0).int().argmax(1)

    @cached_property
    def matrices(self) -> torch.Tensor:
        """Action on the plane (x right, y up), float64 `(|G|, 2, 2)`."""
        return self._planar(1)

    def right(self, h: int) -> torch.Tensor:
        """Indices `g·h` over `g`: right translation is `(R_h A)[g] = A[right(h)[g]]`."""
        return self.table[:, h]

    def axis(self, element: int) -> float:
        """Axis of a mirror in degrees, in [0, 180); NaN for a rotation."""
        if element < self.n:
            return math.nan
        return (90 + 180 * (element - self.n) / self.n) % 180

    def irreps(self) -> list[Irrep]:
        """All real irreducible representations, by frequency; the first is the trivial one."""
        return list(self._irreps)

    def subgroups(self) -> list[Subgroup]:
        """All subgroups, by order: every `C{d}` and every `D{d}@axis` with `d` dividing `n`."""
        return list(self._subgroups)

    def largest_subgroups(
        self, rho: torch.Tensor, threshold: float | torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The largest subgroup on which a function of the group stays at or above a threshold.

        Args:
            rho: `(m, |G|)`, positive at the identity where it means anything.
            threshold: in (0, 1]; or one for every subgroup, `(subgroups,)` or `(m, subgroups)`, of
                which the trivial one's does not count.

        Returns:
            Index among `subgroups()` `(m,)`, the highest mean deciding between equals, -1 where
            `rho` is not positive at the identity; and least and mean of `rho` on every subgroup,
            `(m, subgroups)` each.

        Raises:
            UserError: if the threshold is out of range.
        """
        if not torch.is_tensor(threshold) and not 0 < threshold <= 1:
            raise UserError(
                f"threshold {threshold} is out of range: expected more than 0, at most 1."
            )
        subgroups = self.subgroups()
        least = torch.stack([rho[:, list(s.elements)].amin(1) for s in subgroups], 1)
        mean = torch.stack([rho[:, list(s.elements)].mean(1) for s in subgroups], 1)
        orders = torch.tensor([float(s.order) for s in subgroups], device=rho.device)
        # Orders differ by 1 or more and mean ρ by less than 1 above the threshold: one sort key.
        reached = least >= torch.as_tensor(threshold, dtype=least.dtype, device=least.device)
        key = torch.where(reached | (orders == 1), orders + mean / 2, -math.inf)
        return torch.where(rho[:, 0] > 0, key.argmax(1), -1), least, mean

    def cosets(self, subgroup: Subgroup) -> list[int]:
        """One element of every left coset `h·S` of a subgroup, the smallest; ascending."""
        return sorted(set(self.table[:, list(subgroup.elements)].amin(1).tolist()))

    @cached_property
    def conjugates(self) -> torch.Tensor:
        """Index among `subgroups()` of `h S h^-1`, `(|G|, subgroups)`.

        The stabiliser of `R_h V`, if `S` is that of `V`.
        """
        found = self.subgroups()
        index = {frozenset(s.elements): i for i, s in enumerate(found)}
        moved = torch.zeros(self.order, len(found), dtype=torch.int64)
        for h in range(self.order):
            conjugate = self.table[self.table[h], self.inverse[h]].tolist()  # of every element
            for i, s in enumerate(found):
                moved[h, i] = index[frozenset(conjugate[e] for e in s.elements)]
        return moved

    def _planar(self, frequency: int) -> torch.Tensor:
        """`r^k` rotates by `frequency` times its angle; `s` is the left-right mirror."""
        # Exact zeros and ones at multiples of 90 degrees, so that these compose without rounding.
        k = torch.arange(self.n) * frequency % self.n
        theta = 2 * math.pi * k.double() / self.n
        cos, sin = theta.cos(), theta.sin()
        quarter = (4 * k) % self.n == 0
        cos, sin = (torch.where(quarter, v.round(), v) for v in (cos, sin))
        rotations = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
        if not self.dihedral:
            return rotations
        mirror = torch.tensor([[-1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
        return torch.cat([rotations, rotations @ mirror])

    @cached_property
    def _irreps(self) -> tuple[Irrep, ...]:
        n, k = self.n, torch.arange(self.order) % self.n
        mirror = 1.0 - 2.0 * self.mirrored.double()
        alternate = 1.0 - 2.0 * (k % 2).double()

        def line(name: str, frequency: int, signs: torch.Tensor) -> Irrep:
            return Irrep(name, frequency, 1, 1, signs[:, None, None])

        ones = torch.ones(self.order, dtype=torch.float64)
        found = [line("A1", 0, ones), line("A2", 0, mirror)] if self.dihedral else []
        found = found or [line("A", 0, ones)]
        kind = 1 if self.dihedral else 2
        for j in range(1, (n + 1) // 2):
            found.append(Irrep(f"E{j}", j, 2, kind, self._planar(j)))
        if n % 2 == 0:
            found.append(line("B1" if self.dihedral else "B", n // 2, alternate))
            if self.dihedral:
                found.append(line("B2", n // 2, alternate * mirror))
        return tuple(found)

    @cached_property
    def _subgroups(self) -> tuple[Subgroup, ...]:
        found = []
        for d in (d for d in range(1, self.n + 1) if self.n % d == 0):
            step = self.n // d
            rotations = tuple(range(0, self.n, step))
            found.append(self._subgroup(rotations, d))
            if self.dihedral:
                for offset in range(step):
                    mirrors = tuple(self.n + (offset + k) for k in rotations)
                    found.append(self._subgroup(rotations + mirrors, d))
        return tuple(sorted(found, key=lambda s: (s.order, s.elements)))

    def _subgroup(self, elements: tuple[int, ...], rotation_order: int) -> Subgroup:
        if len(elements) == self.order > 1:
            return Subgroup("G", elements, rotation_order, math.nan)
        axes = [self.axis(g) for g in elements if g >= self.n]
        if not axes:
            return Subgroup(f"C{rotation_order}", elements, rotation_order, math.nan)
        axis = min(axes)
        name = f"D{rotation_order}@{round(axis, 3):g}"
        return Subgroup(name, elements, rotation_order, axis)


@lru_cache
def group(name: str) -> Group:
    """The group of that name.

    Args:
        name: `"Cn"` for `n` rotations or `"Dn"` for `n` rotations and `n` mirrors. `"C1"` is the
            trivial group, under which a group crosscoder is a sparse autoencoder.

    Raises:
        UserError: if the name is no such group.

    Example:
        >>> g = group("D4")
        >>> g.order, g.names[g.table[4, 1]]  # s·r = r^-1·s
        (8, 'r3s')
    """
    match = re.fullmatch(r"([CD])([1-9]\d*)", str(name))
    if match is None or len(match[2]) > 9 or int(match[2]) > MAX_ROTATIONS:
        raise UserError(
            f"unknown group {brief(repr(name))}: expected 'Cn' (n rotations) or 'Dn' (n rotations "
            f"and n mirrors) with n from 1 to {MAX_ROTATIONS}, such as 'C1', 'C8', 'D4', 'D16', "
            "'D32'."
        )
    return Group(int(match[2]), match[1] == "D")


def translate(A: torch.Tensor, g: Group, h: torch.Tensor) -> torch.Tensor:
    """Right translations `(R_h A)[g] = A[g·h]`, with one `h` a sample.

    Args:
        A: `(N, |G|, C)`.
        g: the group.
        h: element indices `(N,)`.
    """
    index = g.table.to(A.device)[:, h.to(A.device)].T  # (N, |G|)
    return A[torch.arange(len(A), device=A.device)[:, None], index]
