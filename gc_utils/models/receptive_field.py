"""The pixels that a layer's units see: composed from kernels, or probed in any network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gc_utils.errors import UserError


class ReceptiveField(NamedTuple):
    """What a unit sees of the input: unit `k` sees `size` pixels centred on `offset + stride·k`."""

    size: int
    stride: int
    offset: int

    @property
    def crop_size(self) -> int:
        """Smallest crop that shows all that a unit sees, with that unit exactly at its centre.

        Odd, unless the network centres its units between pixels (even kernels or strides).
        """
        steps = max(0, -(-((self.size - 1) / 2 - self.offset) // self.stride))
        return int(2 * (self.offset + self.stride * steps) + 1)


LARGEST_FIELD = 2048  # pixels: the largest bounded fields of torchvision's networks are below


@contextmanager
def _plain_convolutions() -> Iterator[None]:
    # Not `mkldnn.flags`, which sets more than this and warns of it.
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = False
    try:
        with torch.backends.nnpack.flags(enabled=False):
            yield
    finally:
        torch.backends.mkldnn.enabled = before


@_plain_convolutions()
def probe_receptive_field(
    run: Callable[[Tensor], Any], height: int = 96, dtype: torch.dtype = torch.float64
) -> ReceptiveField:
    """Receptive field of a layer of any network, from what depends on what.

    A NaN in the input reaches exactly the units that see it, whatever the weights and whichever
    input a ReLU or a maximum lets through (a gradient would miss the rest). Columns of NaN, one
    after another, show the first and last unit that sees each column; so do rows.

    Args:
        run: `(B, 3, H, W)` of that type to `(B, C, h, w)` on the CPU.
        height: pixels of the side that is not probed.
        dtype: of the images. Double precision means plain convolutions: the fast ones mix
            neighbouring pixels, and their NaNs. For single precision, to which a network may turn
            inside whatever it is given, the fast ones are switched off meanwhile.

    Raises:
        UserError: if the field is unbounded, larger than `LARGEST_FIELD`, or if the layer does not
            treat all places in the same way, or if padding that depends on the size of the image
            leaves a crop without a unit at its centre; or if its units are not numbers anyway.
    """

    def typed(x: Tensor) -> Any:
        return run(x.to(dtype))

    _check_numbers(typed, height)
    fields = {axis: _probe_axis(typed, height, axis) for axis in (-1, -2)}
    if fields[-1][1:] != fields[-2][1:]:
        raise UserError(f"it differs between columns and rows ({fields[-1]}, {fields[-2]}).")
    field = max(fields.values())
    for axis, (size, stride, offset) in fields.items():
        side = field.crop_size
        k, start = round(((side - 1) / 2 - offset) / stride), side // 2 - size // 2
        # Unit k is the last one that sees its first column, and the first that sees its last.
        _, first, last = _who_sees(typed, side, side, axis, [start, start + size - 1])
        if (last[0], first[1]) != (k, k):
            raise UserError(
                f"a crop of {side}x{side} pixels has no unit at its centre: the network's padding "
                "depends on the size of the image."
            )
    return field


@torch.no_grad()
def _check_numbers(run: Callable[[Tensor], Any], height: int) -> None:
    """Refuse units that are NaN without one in the image: each would seem to see all of it."""
    found = run(torch.zeros(1, 3, height, 256))
    if isinstance(found, Tensor) and found.isnan().any():
        raise UserError(
            "its units are not finite numbers (NaN) even for an image of zeros: weights below it "
            "are damaged, or it divides by zero."
        )


def _probe_axis(run: Callable[[Tensor], Any], height: int, axis: int) -> ReceptiveField:
    length = 128
    while True:
        length *= 2
        if length > 2 * LARGEST_FIELD:
            raise UserError(
                f"its units see more than {LARGEST_FIELD} pixels, most likely the whole image "
                "(attention, squeeze-and-excitation, global pooling), or are not laid out as "
                "channels x rows x columns."
            )
        units, first, last = _who_sees(run, height, length, axis, [length // 2])
        if first[0] > 1 and last[0] < units - 2:
            break
    longer, _, _ = _who_sees(run, height, 2 * length, axis, [length])
    if longer == units:
        raise UserError("it has as many units whatever the size of the image.")
    stride = round(length / (longer - units))
    # Over one stride, the first unit that sees a column changes once, behind the last column that
    # the unit before it sees; the last unit changes once, at the first column that it sees.
    columns = list(range(length // 2, length // 2 + stride + 1))
    _, first, last = _who_sees(run, height, length, axis, columns)
    ends = [c - stride * k for c, k, n in zip(columns, first, first[1:], strict=False) if n > k]
    starts = [c - stride * n for c, k, n in zip(columns[1:], last, last[1:], strict=False) if n > k]
    if len(ends) != 1 or len(starts) != 1 or first[-1] - first[0] != 1 or last[-1] - last[0] != 1:
        raise UserError("it differs from place to place.")
    offset = (starts[0] + ends[0]) / 2
    size = ends[0] - starts[0] + 1
    return ReceptiveField(size, stride, int(offset) if offset % 1 == 0 else offset)


@torch.no_grad()
def _who_sees(
    run: Callable[[Tensor], Any], height: int, length: int, axis: int, columns: list[int]
) -> tuple[int, list[int], list[int]]:
    """Number of units along the axis, and the first and the last that see each column."""
    first, last, units = [], [], 0
    for column in columns:  # one by one: a batch would take memory and gain nothing
        x = torch.zeros(1, 3, height, length)
        x[..., column] = torch.nan
        found = run(x if axis == -1 else x.mT)
        if not isinstance(found, Tensor) or found.ndim != 4:
            raise UserError("it is not a map of units (B, C, h, w).")
        lit = found.movedim(axis, -1).isnan().flatten(0, -2).any(0)
        units = len(lit)
        seen = lit.nonzero()[:, 0].tolist()
        if not seen:
            raise UserError("there are pixels that none of its units sees.")
        first.append(seen[0])
        last.append(seen[-1])
    return units, first, last
