"""InceptionV1 as a list of steps, from which channels and receptive fields follow."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from gc_utils.errors import UserError, choose
from gc_utils.models.receptive_field import ReceptiveField


class Step(NamedTuple):
    """One operation. Unit `k` reads units `stride·k - before … stride·k - before + size - 1`."""

    name: str
    kind: str  # conv (with ReLU), maxpool, norm, concat, avgpool, linear
    inputs: tuple[str, ...]
    channels: int
    size: int = 1
    stride: int = 1
    before: int = 0  # padding on the left and top
    after: int = 0  # padding on the right and bottom


class Norm(NamedTuple):
    """Local response normalisation, `x / (bias + alpha · Σ x²)^beta` over `2·radius + 1` channels.

    TensorFlow's form and constants: the sum is not divided by the number of channels in it, as
    PyTorch's is (`size=11, alpha=11e-4, k=2` there is the same).
    """

    radius: int = 5
    bias: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.5


# Channels of the 1x1, 3x3 bottleneck, 3x3, 5x5 bottleneck, 5x5 and pool branches.
MIXED = {
    "mixed3a": (64, 96, 128, 16, 32, 32),
    "mixed3b": (128, 128, 192, 32, 96, 64),
    "mixed4a": (192, 96, 204, 16, 48, 64),
    "mixed4b": (160, 112, 224, 24, 64, 64),
    "mixed4c": (128, 128, 256, 24, 64, 64),
    "mixed4d": (112, 144, 288, 32, 64, 64),
    "mixed4e": (256, 160, 320, 32, 128, 128),
    "mixed5a": (256, 160, 320, 48, 128, 128),
    "mixed5b": (384, 192, 384, 48, 128, 128),
}


def _mixed(name: str, source: str) -> Iterator[Step]:
    one, reduce3, three, reduce5, five, pool = MIXED[name]
    n = name
    yield Step(f"{n}_1x1", "conv", (source,), one)
    yield Step(f"{n}_3x3_bottleneck", "conv", (source,), reduce3)
    yield Step(f"{n}_3x3", "conv", (f"{n}_3x3_bottleneck",), three, 3, 1, 1, 1)
    yield Step(f"{n}_5x5_bottleneck", "conv", (source,), reduce5)
    yield Step(f"{n}_5x5", "conv", (f"{n}_5x5_bottleneck",), five, 5, 1, 2, 2)
    yield Step(f"{n}_pool", "maxpool", (source,), _channels(source), 3, 1, 1, 1)
    yield Step(f"{n}_pool_reduce", "conv", (f"{n}_pool",), pool)
    branches = tuple(f"{n}_{b}" for b in ("1x1", "3x3", "5x5", "pool_reduce"))
    yield Step(n, "concat", branches, _channels(n))


def _channels(name: str) -> int:
    """Channels out of a mixed block, or of the pool before one."""
    before = {"maxpool1": 192, "maxpool4": 480, "maxpool10": 832}
    if name in before:
        return before[name]
    one, _, three, _, five, pool = MIXED[name]
    return one + three + five + pool


def _steps() -> Iterator[Step]:
    # The padding is TensorFlow's "SAME" for even sizes, whatever the size of the input: were it
    # computed from the size, an odd crop would shift the lattice of units.
    yield Step("conv2d0", "conv", ("input",), 64, 7, 2, 2, 3)
    yield Step("maxpool0", "maxpool", ("conv2d0",), 64, 3, 2, 0, 1)
    yield Step("localresponsenorm0", "norm", ("maxpool0",), 64)
    yield Step("conv2d1", "conv", ("localresponsenorm0",), 64)
    yield Step("conv2d2", "conv", ("conv2d1",), 192, 3, 1, 1, 1)
    yield Step("localresponsenorm1", "norm", ("conv2d2",), 192)
    yield Step("maxpool1", "maxpool", ("localresponsenorm1",), 192, 3, 2, 0, 1)
    source = "maxpool1"
    for name in MIXED:
        yield from _mixed(name, source)
        source = name
        if name in ("mixed3b", "mixed4e"):
            source = {"mixed3b": "maxpool4", "mixed4e": "maxpool10"}[name]
            yield Step(source, "maxpool", (name,), _channels(name), 3, 2, 0, 1)
    yield Step("avgpool", "avgpool", ("mixed5b",), 1024, 7)
    yield Step("logits", "linear", ("avgpool",), 1008)


STEPS: dict[str, Step] = {step.name: step for step in _steps()}
LAYERS: dict[str, int] = {n: s.channels for n, s in STEPS.items() if n.split("_")[0] == n}
"""Channels of every layer; the branches of the mixed blocks are in `STEPS` (`mixed3b_5x5`)."""


@cache
def ancestry(layer: str) -> tuple[Step, ...]:
    """The steps that a layer needs, itself included, in the order in which to run them."""
    needed = {layer}
    for name in reversed(STEPS):
        if name in needed:
            needed.update(STEPS[name].inputs)
    return tuple(step for name, step in STEPS.items() if name in needed)


@cache
def _seen(layer: str) -> tuple[int, int, int]:
    """First and last input pixel that unit 0 sees, and the pixels from one unit to the next."""
    if layer == "input":
        return 0, 0, 1
    step = STEPS[layer]
    first, last, stride = zip(*map(_seen, step.inputs), strict=True)
    return (
        min(first) - step.before * stride[0],
        max(last) + (step.size - 1 - step.before) * stride[0],
        stride[0] * step.stride,
    )


def needed_span(
    layer: str, length: int, units: tuple[int, int] | None
) -> dict[str, tuple[int, int]]:
    """First and last unit of every step that a layer's units depend on, along one axis.

    Args:
        layer: the layer asked for.
        length: pixels of the input.
        units: first and last unit asked for; all of them if None.
    """
    steps = ancestry(layer)
    lengths = {"input": length}
    for step in steps:
        padded = lengths[step.inputs[0]] + step.before + step.after
        lengths[step.name] = (padded - step.size) // step.stride + 1
        if lengths[step.name] < 1:
            raise UserError(f"an image of {length} pixels is too small for layer {layer!r}.")
    spans = {layer: units or (0, lengths[layer] - 1)}
    for step in reversed(steps):
        first, last = spans[step.name]
        start = max(first * step.stride - step.before, 0)
        stop = last * step.stride - step.before + step.size - 1
        for name in step.inputs:
            low, high = spans.get(name, (start, stop))
            spans[name] = min(low, start), min(max(high, stop), lengths[name] - 1)
    return spans


def check_layer(layer: str) -> str:
    """Return the layer's name if there is such a layer or branch; else raise a `UserError`."""
    return choose(layer, STEPS if "_" in str(layer) else LAYERS, "layer")


def receptive_field(layer: str) -> ReceptiveField:
    """Size, stride and offset of a layer's units in input pixels, composed from the steps.

    Args:
        layer: a layer or branch (`"mixed3b"`, `"mixed3b_5x5"`).
    """
    first, last, stride = _seen(check_layer(layer))
    return ReceptiveField(last - first + 1, stride, (first + last) // 2)


def crop_size(layer: str) -> int:
    """Smallest odd crop that shows all that a unit sees, with that unit exactly at its centre."""
    return receptive_field(layer).crop_size
