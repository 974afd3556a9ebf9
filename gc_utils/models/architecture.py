"""InceptionV1 as a list of steps, from which channels and receptive fields follow.

The network was trained more than once, and the weights differ in padding, normalisation, input and
a few widths. Each has a description of its own: `INCEPTION5H`, which the demo weights and random
ones follow too, and `BVLC_GOOGLENET`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
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

    TensorFlow's form: the sum is not divided by the number of channels in it, as Caffe's and
    PyTorch's is (`size=11, alpha=11e-4, k=2` there is the same as the constants here, which are
    inception5h's).
    """

    radius: int = 5
    bias: float = 2.0
    alpha: float = 1e-4
    beta: float = 0.5


@dataclass(frozen=True, eq=False)
class Architecture:
    """What has to be known of a set of InceptionV1 weights besides their numbers.

    Attributes:
        name: of the weights that were published with it.
        norm: constants of the response normalisation.
        padding: of the first convolution: left and top, right and bottom.
        mean: what is subtracted from images in 0-255, one number a channel in the network's order.
        order: of the input's channels, `"RGB"` or `"BGR"`.
        stem: channels of the three convolutions below the mixed blocks.
        mixed: channels of each block's 1x1, 3x3 bottleneck, 3x3, 5x5 bottleneck, 5x5 and pool
            branches.
        logits: number of classes.
        modules: step with weights → what the published weights call it.
    """

    name: str
    norm: Norm
    padding: tuple[int, int]
    mean: tuple[float, float, float]
    order: str
    stem: tuple[int, int, int]
    mixed: Mapping[str, tuple[int, int, int, int, int, int]]
    logits: int
    modules: Mapping[str, str]

    def __deepcopy__(self, memo: dict) -> Architecture:
        return self

    @cached_property
    def steps(self) -> dict[str, Step]:
        """Every step by its name, each behind those that it reads."""
        return {step.name: step for step in self._steps()}

    @cached_property
    def layers(self) -> dict[str, int]:
        """Channels of every layer; the branches of blocks are in `steps` (`mixed3b_5x5`)."""
        return {n: s.channels for n, s in self.steps.items() if n.split("_")[0] == n}

    def _steps(self) -> Iterator[Step]:
        # The padding is fixed, whatever the size of the input: were it computed from the size, as
        # TensorFlow's "SAME" is, an odd crop would shift the lattice of units. A column of -inf
        # behind a 3x3 pool with stride 2 is "SAME" for even sizes, and for all sizes what Caffe
        # does when it rounds the number of units up.
        one, two, three = self.stem
        yield Step("conv2d0", "conv", ("input",), one, 7, 2, *self.padding)
        yield Step("maxpool0", "maxpool", ("conv2d0",), one, 3, 2, 0, 1)
        yield Step("localresponsenorm0", "norm", ("maxpool0",), one)
        yield Step("conv2d1", "conv", ("localresponsenorm0",), two)
        yield Step("conv2d2", "conv", ("conv2d1",), three, 3, 1, 1, 1)
        yield Step("localresponsenorm1", "norm", ("conv2d2",), three)
        yield Step("maxpool1", "maxpool", ("localresponsenorm1",), three, 3, 2, 0, 1)
        source, channels = "maxpool1", three
        for name in self.mixed:
            yield from self._block(name, source, channels)
            source, channels = name, self._width(name)
            if pool := {"mixed3b": "maxpool4", "mixed4e": "maxpool10"}.get(name):
                yield Step(pool, "maxpool", (name,), channels, 3, 2, 0, 1)
                source = pool
        yield Step("avgpool", "avgpool", (source,), channels, 7)
        yield Step("logits", "linear", ("avgpool",), self.logits)

    def _block(self, n: str, source: str, channels: int) -> Iterator[Step]:
        one, reduce3, three, reduce5, five, pool = self.mixed[n]
        yield Step(f"{n}_1x1", "conv", (source,), one)
        yield Step(f"{n}_3x3_bottleneck", "conv", (source,), reduce3)
        yield Step(f"{n}_3x3", "conv", (f"{n}_3x3_bottleneck",), three, 3, 1, 1, 1)
        yield Step(f"{n}_5x5_bottleneck", "conv", (source,), reduce5)
        yield Step(f"{n}_5x5", "conv", (f"{n}_5x5_bottleneck",), five, 5, 1, 2, 2)
        yield Step(f"{n}_pool", "maxpool", (source,), channels, 3, 1, 1, 1)
        yield Step(f"{n}_pool_reduce", "conv", (f"{n}_pool",), pool)
        branches = tuple(f"{n}_{b}" for b in ("1x1", "3x3", "5x5", "pool_reduce"))
        yield Step(n, "concat", branches, self._width(n))

    def _width(self, block: str) -> int:
        one, _, three, _, five, pool = self.mixed[block]
        return one + three + five + pool

    def check_layer(self, layer: str) -> str:
        """Return the layer's name if there is such a layer or branch; else raise a `UserError`."""
        return choose(layer, self.steps if "_" in str(layer) else self.layers, "layer")

    @cache  # noqa: B019  descriptions are few and live as long as the program
    def ancestry(self, layer: str) -> tuple[Step, ...]:
        """The steps that a layer needs, itself included, in the order in which to run them."""
        needed = {layer}
        for name in reversed(self.steps):
            if name in needed:
                needed.update(self.steps[name].inputs)
        return tuple(step for name, step in self.steps.items() if name in needed)

    @cache  # noqa: B019
    def parameters(self, layer: str) -> dict[str, tuple[int, ...]]:
        """Shapes of all weights that a layer needs, by their names, in the order of the steps."""
        shapes: dict[str, tuple[int, ...]] = {}
        for step in self.ancestry(layer):
            if step.kind in ("conv", "linear"):
                source = step.inputs[0]
                width = 3 if source == "input" else self.steps[source].channels
                kernel = (step.size, step.size) if step.kind == "conv" else ()
                shapes[f"{self.modules[step.name]}.weight"] = (step.channels, width, *kernel)
                shapes[f"{self.modules[step.name]}.bias"] = (step.channels,)
        return shapes

    def reaches(self, names: Iterable[str]) -> str | None:
        """The highest layer for which weights of these names suffice; None if there is none."""
        names = set(names)
        within = [layer for layer in self.layers if self.parameters(layer).keys() <= names]
        return max(within, key=lambda layer: len(self.parameters(layer)), default=None)

    @cache  # noqa: B019
    def _seen(self, layer: str) -> tuple[int, int, int]:
        """First and last input pixel that unit 0 sees, and the pixels from one unit to the next."""
        if layer == "input":
            return 0, 0, 1
        step = self.steps[layer]
        first, last, stride = zip(*map(self._seen, step.inputs), strict=True)
        return (
            min(first) - step.before * stride[0],
            max(last) + (step.size - 1 - step.before) * stride[0],
            stride[0] * step.stride,
        )

    def needed_span(
        self, layer: str, length: int, units: tuple[int, int] | None
    ) -> dict[str, tuple[int, int]]:
        """First and last unit of every step that a layer's units depend on, along one axis.

        Args:
            layer: the layer asked for.
            length: pixels of the input.
            units: first and last unit asked for; all of them if None.

        Raises:
            UserError: the input is too small for the layer to have any unit.
        """
        steps = self.ancestry(layer)
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

    def multiply_adds(self, layer: str, side: int | None = None) -> int:
        """Multiplications, each with an addition, of the convolutions that a layer needs.

        Args:
            layer: a layer or branch.
            side: pixels of a square image, of which all units are computed; None for the one unit
                at the centre of the smallest crop that shows all it sees.

        Raises:
            UserError: no such layer, or the image is too small for it.
        """
        field = self.receptive_field(layer)
        length = side or field.crop_size
        index = ((length - 1) // 2 - field.offset) // field.stride
        spans = self.needed_span(layer, length, None if side else (index, index))
        total = 0
        for step in self.ancestry(layer):
            if step.kind in ("conv", "linear"):
                first, last = spans[step.name]
                source = step.inputs[0]
                width = 3 if source == "input" else self.steps[source].channels
                total += (last - first + 1) ** 2 * step.channels * width * step.size**2
        return total

    def receptive_field(self, layer: str) -> ReceptiveField:
        """Size, stride and offset of a layer's units in input pixels, composed from the steps.

        Args:
            layer: a layer or branch (`"mixed3b"`, `"mixed3b_5x5"`).

        Raises:
            UserError: no such layer.
        """
        first, last, stride = self._seen(self.check_layer(layer))
        return ReceptiveField(last - first + 1, stride, (first + last) // 2)

    def crop_size(self, layer: str) -> int:
        """Smallest odd crop that shows all that a unit sees, with that unit exactly at its centre.

        Args:
            layer: a layer or branch.

        Raises:
            UserError: no such layer.
        """
        return self.receptive_field(layer).crop_size


_MIXED = {
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
_STEM = {"conv2d0": "conv1/7x7_s2", "conv2d1": "conv2/3x3_reduce", "conv2d2": "conv2/3x3"}
_BRANCHES = {
    "1x1": "1x1",
    "3x3_bottleneck": "3x3_reduce",
    "3x3": "3x3",
    "5x5_bottleneck": "5x5_reduce",
    "5x5": "5x5",
    "pool_reduce": "pool_proj",
}
_WRITERS = [*_STEM, *(f"{block}_{branch}" for block in _MIXED for branch in _BRANCHES)]

INCEPTION5H = Architecture(
    name="inception5h",
    norm=Norm(),
    padding=(2, 3),
    mean=(117.0, 117.0, 117.0),
    order="RGB",
    stem=(64, 64, 192),
    mixed=_MIXED,
    logits=1008,
    modules={name: f"{name}_pre_relu_conv" for name in _WRITERS}
    | {"logits": "softmax2_pre_activation_matmul"},
)
"""The TensorFlow network of the papers; the demo weights and random ones are built like it."""

BVLC_GOOGLENET = Architecture(
    name="bvlc_googlenet",
    # Caffe writes local_size 5, alpha 1e-4, and divides alpha by the size.
    norm=Norm(radius=2, bias=1.0, alpha=2e-5, beta=0.75),
    padding=(3, 3),
    mean=(104.0, 117.0, 123.0),
    order="BGR",
    stem=(64, 64, 192),
    mixed=_MIXED
    | {"mixed4a": (192, 96, 208, 16, 48, 64), "mixed5a": (256, 160, 320, 32, 128, 128)},
    logits=1000,
    modules=_STEM
    | {
        f"{block}_{branch}": f"inception_{block.removeprefix('mixed')}/{theirs}"
        for block in _MIXED
        for branch, theirs in _BRANCHES.items()
    }
    | {"logits": "loss3/classifier"},
)
"""The Caffe network that BVLC trained on ImageNet. Its parameters keep Caffe's names, so that no
file of them can be taken for inception5h's, whose shapes are the same through mixed3b."""

ARCHITECTURES = {each.name: each for each in (INCEPTION5H, BVLC_GOOGLENET)}
