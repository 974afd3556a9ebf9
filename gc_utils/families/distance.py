"""Distance of two features up to the group: a Fourier transform, and a few matrix products."""

from __future__ import annotations

import math

import torch

from gc_utils import groups
from gc_utils.errors import UserError
from gc_utils.groups import Group

SCORES_AT_ONCE = 2**23  # products <V_i, R_h V_j> to hold at a time
LEAST_CHUNK, LARGEST_CHUNK = 16, 256  # rows with which a matrix product is efficient
FEATURES_AT_ONCE = 256  # transformed at a time
TIE = 1e-5  # cosines this close are equal: a feature with symmetries has several best elements


def as_group(group: Group | str) -> Group:
    """The group itself, or the group of that name."""
    return group if isinstance(group, Group) else groups.group(group)


def check_blocks(V: torch.Tensor, group: Group | str) -> tuple[torch.Tensor, Group]:
    """Transform blocks and group, checked to fit each other.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.

    Returns:
        The blocks, detached and at least float32, and the group.

    Raises:
        UserError: if the shape does not fit the group, or a block is not finite.
    """
    group = as_group(group)
    V = torch.as_tensor(V).detach()
    V = V if V.dtype == torch.float64 else V.float()
    if V.ndim != 3 or V.shape[1] != group.order:
        raise UserError(
            f"transform blocks of shape {tuple(V.shape)} do not fit {group.name}: "
            f"expected (features, {group.order}, channels)."
        )
    bad = (~V.isfinite()).flatten(1).any(1).nonzero().flatten().tolist()
    if bad:
        raise UserError(
            f"{len(bad)} of {len(V)} features have blocks that are not finite (first: feature "
            f"{bad[0]}); expected finite numbers. Did training diverge?"
        )
    return V, group


def unit_features(V: torch.Tensor) -> torch.Tensor:
    """Blocks `(m, |G|, C)` scaled so that every feature has norm 1, or 0 if it had none."""
    tiny = torch.finfo(V.dtype).tiny
    V = V / V.abs().amax((1, 2), keepdim=True).clamp_min(tiny)  # squares must not underflow
    return V / V.square().sum((1, 2), keepdim=True).sqrt().clamp_min(tiny)


# --- orbit distance ------------------------------------------------------------------------------


def _frequencies(group: Group, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The real Fourier transform over the rotations as a matrix, `(2F, n)`, and its inverse.

    The first `F = n // 2 + 1` rows are real parts. At these sizes, and along this dimension, a
    product is several times as fast as an FFT.
    """
    n = group.n
    count = n // 2 + 1
    turns = torch.arange(count)[:, None] * torch.arange(n) % n
    angle = 2 * math.pi * turns.double() / n
    twice = torch.full((count, 1), 2.0, dtype=torch.float64)
    twice[0] = 1
    if n % 2 == 0:
        twice[-1] = 1
    there = torch.cat([angle.cos(), -angle.sin()])
    back = torch.cat([twice * angle.cos(), -twice * angle.sin()]).T / n
    return there.to(like), back.contiguous().to(like)


def _fourier(
    V: torch.Tensor, group: Group, dtype: torch.dtype, transform: torch.Tensor
) -> list[torch.Tensor]:
    """Unit-norm blocks in Fourier space over the rotations, real `(F, m, 2C)` each.

    One tensor (real and imaginary part) for `Cn`. For `Dn` two: sum and difference of the
    rotations' and the mirrors' transforms, which right translation mixes with themselves only.
    """
    count, (m, _, channels) = len(transform) // 2, V.shape
    made = [
        torch.empty(count, m, 2 * channels, dtype=dtype, device=V.device)
        for _ in range(1 + group.dihedral)
    ]
    for start in range(0, m, FEATURES_AT_ONCE):
        rows = slice(start, min(start + FEATURES_AT_ONCE, m))
        part = unit_features(V[rows].to(dtype))
        found = [transform @ part[:, : group.n]]
        if group.dihedral:
            rotations, mirrors = found[0], transform @ part[:, group.n :]
            found = [rotations + mirrors, rotations - mirrors]
        for z, whole in zip(found, made, strict=True):
            whole[:, rows, :channels] = z[:, :count].transpose(0, 1)
            whole[:, rows, channels:] = z[:, count:].transpose(0, 1)
    return made


def _times_i(z: torch.Tensor) -> torch.Tensor:
    """Multiply by the imaginary unit: `[re, im]` to `[-im, re]`."""
    re, im = z.chunk(2, -1)
    return torch.cat([-im, re], -1)


def _all_products(
    left: list[torch.Tensor], right: list[torch.Tensor], group: Group, inverse: torch.Tensor
) -> torch.Tensor:
    """`<V_i, R_h V_j>` for all `h`, `i` and `j`: `(|G|, b, m)`.

    With `X`, `Y` the transforms of the blocks on `r^k` and `r^k s`, the products are the inverse
    transforms of `conj(X_i) X_j + Y_i conj(Y_j)` over the rotations `h = r^l`, and of
    `conj(X_i) Y_j + Y_i conj(X_j)` over the mirrors `h = r^l s`. Written in `X + Y` and `X - Y`
    the eight real products in them become four.
    """
    columns = [z.transpose(1, 2) for z in right]

    def spectrum(re: torch.Tensor, im: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        """Real parts `re @ by` and imaginary parts `im @ by`, `(2F, b · m)`."""
        found = re.new_empty(2 * len(re), re.shape[1], by.shape[2])
        torch.bmm(re, by, out=found[: len(re)])
        torch.bmm(im, by, out=found[len(re) :])
        return found.flatten(1)

    shape = (group.order, left[0].shape[1], right[0].shape[1])
    if not group.dihedral:
        (z,), (w,) = left, columns
        return (inverse @ spectrum(z, _times_i(z), w)).view(shape)
    (p, q), (v, w) = left, columns
    even, odd = spectrum(p, _times_i(q), v), spectrum(q, _times_i(p), w)
    found = even.new_empty(group.order, even.shape[1])
    torch.mm(inverse, even + odd, out=found[: group.n])
    torch.mm(inverse, even.sub_(odd), out=found[group.n :])
    return found.div_(2).view(shape)


def orbit_similarity(
    V: torch.Tensor,
    group: Group | str,
    *,
    other: torch.Tensor | None = None,
    chunk: int | None = None,
    dtype: torch.dtype = torch.float32,
    return_element: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """`max_h <V_i, R_h V_j> / (|V_i| |V_j|)` for all pairs of features.

    Exact. The products over all `h` are circular correlations over the rotations, so that a Fourier
    transform of the blocks leaves a few matrix products a frequency (group conventions). `C1` gives
    the plain cosine.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        other: transform blocks `(k, |G|, C)` to compare with; those of `V` if None.
        chunk: features `i` at a time, which bounds the memory; chosen if None.
        dtype: float32 or float64.
        return_element: return the maximising `h` too.

    Returns:
        Similarities `(m, k)`, at most 1; 0 for a feature without norm, but 1 with itself. With
        `return_element` also the elements `(m, k)`, int64: feature `i` is feature `j` transformed
        by `h`, `V_i ≈ R_h V_j`; of equally good ones the one of lowest index.

    Raises:
        UserError: if the shapes do not fit or a block is not finite.
    """
    V, group = check_blocks(V, group)
    symmetric = other is None
    transform, inverse = _frequencies(group, torch.empty(0, dtype=dtype, device=V.device))
    left = _fourier(V, group, dtype, transform)
    right = left
    columns = len(V)
    if not symmetric:
        other, _ = check_blocks(other, group)
        if other.shape[2] != V.shape[2]:
            raise UserError(
                f"cannot compare blocks of {V.shape[2]} channels with {other.shape[2]} channels."
            )
        right = _fourier(other.to(V.device), group, dtype, transform)
        columns = len(other)
    if chunk is not None and chunk < 1:
        raise UserError(f"chunk {chunk} is not a number of features: expected 1 or more.")
    fitting = SCORES_AT_ONCE // max(1, group.order * columns)
    chunk = chunk or min(LARGEST_CHUNK, max(LEAST_CHUNK, fitting))
    similarity = torch.zeros(len(V), columns, dtype=dtype, device=V.device)
    elements = torch.zeros_like(similarity, dtype=torch.int64) if return_element else None
    for start in range(0, len(V), chunk):
        rows = slice(start, min(start + chunk, len(V)))
        cols = slice(start if symmetric else 0, columns)  # the rest follows by symmetry
        products = _all_products(
            [z[:, rows] for z in left], [z[:, cols] for z in right], group, inverse
        )
        best = products.amax(0)
        similarity[rows, cols] = best.clamp(-1, 1)
        if return_element:
            elements[rows, cols] = (products >= best - TIE).byte().argmax(0)
    if symmetric:
        upper = similarity.triu(1)
        similarity = upper + upper.T
        similarity.fill_diagonal_(1)
        if return_element:
            upper = elements.triu(1)
            elements = upper + group.inverse.to(upper.device)[upper].T
    return (similarity, elements) if return_element else similarity


def orbit_distance(
    V: torch.Tensor,
    group: Group | str,
    *,
    other: torch.Tensor | None = None,
    chunk: int | None = None,
    dtype: torch.dtype = torch.float32,
    return_element: bool = False,
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    """Orbit distance `1 - max_h <V_i, R_h V_j> / (|V_i| |V_j|)` of all pairs of features.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        other: transform blocks `(k, |G|, C)` to compare with; those of `V` if None.
        chunk: features `i` at a time, which bounds the memory; chosen if None.
        dtype: float32 or float64.
        return_element: return the maximising `h` too, see `orbit_similarity`.

    Returns:
        Distances `(m, k)` in [0, 2]; exactly symmetric with a zero diagonal if `other` is None. A
        feature without norm has distance 1 to every other.

    Raises:
        UserError: if the shapes do not fit or a block is not finite.

    Example:
        >>> V = torch.randn(6, 8, 32)
        >>> orbit_distance(V, "C8").shape
        torch.Size([6, 6])
    """
    found = orbit_similarity(
        V, group, other=other, chunk=chunk, dtype=dtype, return_element=return_element
    )
    return (1 - found[0], found[1]) if return_element else 1 - found


def cosine_distance(V: torch.Tensor, *, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Plain cosine distance of all pairs, no maximum over the group.

    Args:
        V: decoder vectors `(m, C)` or transform blocks `(m, |G|, C)`, compared block by block.
        dtype: float32 or float64.

    Returns:
        Distances `(m, m)` in [0, 2].
    """
    V = torch.as_tensor(V)
    return orbit_distance(V.reshape(len(V), 1, -1), "C1", dtype=dtype)
