"""Activations as numbers on disk: what is refused, and how float16 holds what is small.

float16 counts in steps of 6e-8 and ends at 65504. An orbit whose largest activation is far below 1
would lose most of its digits, or all of them. So it is multiplied by a power of two before it is
stored, which changes no digit, and its exponent is stored beside it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from gc_utils.errors import UserError

DTYPES = ("float16", "float32")  # of stored activations
SMALL = 2.0**-10  # an orbit whose largest activation is below that is stored enlarged
AS_IT_IS = 128  # the stored exponent of an orbit that is not: 0 means that none has been written


def check_finite(A: torch.Tensor, what: str, name: Callable[[int], str] = str) -> None:
    """Refuse activations that are NaN or infinite, and say which it is and where.

    Args:
        A: orbit activations `(N, |G|, C)`.
        what: what they are of, for the message (`"layer 'mixed3b'"`).
        name: of a sample, by its place in `A`.

    Raises:
        UserError: names the first sample, element and channel with such a number.
    """
    wrong = ~A.isfinite()
    if not wrong.any():
        return
    sample, element, channel = wrong.nonzero()[0].tolist()
    nan = bool(A[sample, element, channel].isnan())
    counts = [int(A.isnan().flatten(1).any(1).sum()), int(A.isinf().flatten(1).any(1).sum())]
    cause = (
        "NaN (not a number) comes from weights that hold it, or from 0/0 in the network"
        if nan
        else "infinity comes from weights that hold it, or from numbers too large for the "
        "network's own arithmetic"
    )
    raise UserError(
        f"{what}: the activation of sample {name(sample)} at element {element}, channel {channel} "
        f"is {'NaN' if nan else 'infinite'}, expected a finite number ({counts[0]} of {len(A)} "
        f"samples looked at hold NaN, {counts[1]} infinity). {cause}; no storage type holds it: "
        "check the weights, or leave that image out."
    )


def check_fits(
    A: torch.Tensor, dtype: str, what: str, advice: str, name: Callable[[int], str] = str
) -> None:
    """Refuse activations that are too large for the stored type.

    Args:
        A: finite orbit activations `(N, |G|, C)`.
        dtype: `"float16"` or `"float32"`.
        what, name: as for `check_finite`.
        advice: what to do.

    Raises:
        UserError: names the sample with the largest.
    """
    most = float(np.finfo(dtype).max)
    largest = A.abs().amax((1, 2))
    if float(largest.max()) > most:
        sample = int(largest.argmax())
        raise UserError(
            f"{what}: activations up to {float(largest[sample]):.3g} (sample {name(sample)}) do "
            f"not fit {dtype}; {advice}"
        )


def to_stored(A: torch.Tensor, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Activations as they are stored, and the exponent of every orbit.

    Args:
        A: orbit activations `(N, |G|, C)` that fit the type.
        dtype: `"float16"` or `"float32"`.

    Returns:
        `A[n] · 2^(e[n] − 128)` of that type, and `e`, uint8 `(N,)`: 128 for an orbit that is as it
        is, more for one whose activations are all small.
    """
    values = A.float().numpy()
    exponents = np.full(len(A), AS_IT_IS, np.uint8)
    largest = np.abs(values).max((1, 2))
    small = (largest > 0) & (largest < SMALL)
    if dtype == "float16" and small.any():
        exponents[small] += np.minimum(-np.frexp(largest[small])[1], 127).astype(np.uint8)
        values = np.ldexp(values, exponents.astype(np.int32)[:, None, None] - AS_IT_IS)
    return values.astype(dtype), exponents


def from_stored(stored: np.ndarray, exponents: np.ndarray | None) -> torch.Tensor:
    """Activations as they were: the inverse of `to_stored`.

    Args:
        stored: `(n, |G|, C)`.
        exponents: of these orbits, `(n,)`; None if all are stored as they are.

    Returns:
        `(n, |G|, C)` of the stored type; float32 where there are exponents.
    """
    if exponents is None:
        return torch.from_numpy(stored)
    powers = AS_IT_IS - exponents.astype(np.int32)[:, None, None]
    return torch.from_numpy(np.ldexp(stored.astype(np.float32), powers))
