"""Intertwiners of real networks: changes of weights that leave the function as it is.

Godfrey et al. 2022 (arXiv 2205.14258), section 3: if a hidden layer's units are permuted and scaled
by a member of its nonlinearity's intertwiner group, and whatever reads them by the inverse, the
network computes what it did. Which layers that is possible for is read off the network's graph.

A **stream** is what has to be changed together: the channels that one or more layers write (layers
whose outputs are added share one, as in a residual network) and all layers that read them.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from gc_utils.errors import UserError, choose
from gc_utils.models.inception import InceptionV1
from gc_utils.studies.intertwiners.members import KINDS, sample_member

# What a kind of group allows besides permutations: positive scales, flips of sign.
ALLOWS = {
    "scales": (True, True),
    "positive": (True, False),
    "signs": (False, True),
    "permutations": (False, False),
}
ACTIVATIONS: dict[type, str] = {
    nn.ReLU: "positive",
    nn.LeakyReLU: "positive",
    nn.Tanh: "signs",
    nn.GELU: "permutations",
    nn.SiLU: "permutations",
    nn.Sigmoid: "permutations",
    nn.Softplus: "permutations",
    nn.Hardswish: "permutations",
    nn.ReLU6: "permutations",
}
POOLS = (nn.MaxPool2d, nn.AdaptiveMaxPool2d)
PASSES = (
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.Dropout,
    nn.Dropout2d,
    nn.Identity,
    nn.Flatten,
)
FUNCTIONS = {
    torch.relu: "relu",
    F.relu: "relu",
    F.adaptive_avg_pool2d: "pass",
    F.avg_pool2d: "pass",
    F.dropout: "pass",
    F.max_pool2d: "maxpool",
    torch.cat: "concat",
    torch.add: "add",
    operator.add: "add",
    operator.iadd: "add",
}


@dataclass
class Stream:
    """Channels that are changed together.

    Attributes:
        channels: how many.
        layers: who writes them, names of modules or steps.
        writers: their modules, with the batch normalisation that each feeds, or None.
        readers: modules that read them, the first input channel that they read them at, and how
            many channels each reads of all streams.
        kinds: groups of the nonlinearities in between.
        reasons: why no member may act; empty if one may.
    """

    channels: int
    layers: list[str] = field(default_factory=list)
    writers: list[tuple[str, str | None]] = field(default_factory=list)
    readers: list[tuple[str, int, int]] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    reasons: list[str] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """The group that all nonlinearities in between share, one of `KINDS`."""
        shared = tuple(all(allowed) for allowed in zip(*map(ALLOWS.get, self.kinds), strict=True))
        return next(k for k, allowed in ALLOWS.items() if allowed == (shared or (True, True)))

    @property
    def refusal(self) -> str:
        """Why no member may act, in words that go on after "it"; empty if one may."""
        why = "; ".join(dict.fromkeys(self.reasons))
        return "is " + why if why.startswith("the network") else why

    def absorb(self, other: Stream) -> None:
        """Become one with another."""
        if other is self:
            return
        if other.channels != self.channels:
            self.reasons.append(f"added to {other.channels} channels")
        for name in ("layers", "writers", "readers", "reasons"):
            getattr(self, name).extend(getattr(other, name))
        self.kinds |= other.kinds


class _Graph:
    """Follows channels through a network, operation by operation."""

    def __init__(self) -> None:
        self.parent: dict[int, int] = {}
        self.streams: dict[int, Stream] = {}
        self.slots: dict[str, tuple[int, ...]] = {}  # of what every operation gives

    def find(self, i: int) -> int:
        while self.parent[i] != i:
            i = self.parent[i]
        return i

    def at(self, name: str) -> list[Stream]:
        return [self.streams[self.find(i)] for i in self.slots[name]]

    def write(self, name: str, module: str, weight: Tensor, groups: int, source: str) -> None:
        """A convolution or linear layer: reads one thing, begins another."""
        start, wide = 0, sum(s.channels for s in self.at(source))
        for stream in self.at(source):
            if groups > 1:
                stream.reasons.append(f"feeds {name}, a convolution in groups")
            stream.readers.append((module, start, wide))
            start += stream.channels
        if wide and weight.shape[1] * groups % wide:
            for stream in self.at(source):
                stream.reasons.append(f"{name} reads {weight.shape[1]} inputs, not {wide} channels")
        new = len(self.parent)
        self.parent[new] = new
        self.streams[new] = Stream(weight.shape[0], [name], [(module, None)])
        if groups > 1:
            self.streams[new].reasons.append(f"{name} is a convolution in groups")
        self.slots[name] = (new,)

    def norm(self, name: str, module: str, source: str, alone: bool) -> None:
        """A batch normalisation: carried along if it alone reads what it follows."""
        streams = self.at(source)
        stream = streams[0] if len(streams) == 1 and alone else None
        if stream and len(stream.writers) == 1 and not stream.readers and not stream.kinds:
            writer, there = stream.writers[0]
            if there is None:
                stream.writers[0] = (writer, module)
                self.slots[name] = self.slots[source]
                return
        for s in streams:
            s.reasons.append(f"feeds {name}, a batch normalisation of its own")
        self.slots[name] = self.slots[source]

    def through(self, name: str, source: str, kind: str | None = None) -> None:
        """An operation on each channel alone."""
        if kind:
            for stream in self.at(source):
                stream.kinds.add(kind)
        self.slots[name] = self.slots[source]

    def concat(self, name: str, sources: Iterable[str]) -> None:
        self.slots[name] = sum((self.slots[s] for s in sources), ())

    def add(self, name: str, first: str, second: str) -> None:
        a, b = self.slots[first], self.slots[second]
        if len(a) != len(b):
            self.block(first, f"{name} adds other channels to it")
            self.block(second, f"{name} adds other channels to it")
        for i, j in zip(map(self.find, a), map(self.find, b), strict=False):
            if i != j:
                self.streams[i].absorb(self.streams.pop(j))
                self.parent[j] = i
        self.slots[name] = a

    def block(self, source: str, reason: str) -> None:
        for stream in self.at(source):
            stream.reasons.append(reason)

    def layers(self) -> dict[str, Stream]:
        return {name: stream for stream in self.streams.values() for name in stream.layers}


def _inception(network: InceptionV1) -> _Graph:
    graph = _Graph()
    graph.slots["input"] = ()
    steps = [network.architecture.steps[name] for name in network.layers]
    for step in steps:
        source = step.inputs[0]
        match step.kind:
            case "conv" | "linear":
                module = network.module_name(step.name)
                weight = network.get_submodule(module).weight
                graph.write(step.name, module, weight, 1, source)
                if step.kind == "conv":
                    graph.through(step.name, step.name, "positive")
            case "norm":
                graph.block(source, f"feeds {step.name}, a normalisation across channels")
                graph.through(step.name, source)
            case "concat":
                graph.concat(step.name, step.inputs)
            case "maxpool":
                graph.through(step.name, source, "positive")
            case _:
                graph.through(step.name, source)
    graph.block(steps[-1].name, "the network's output")
    return graph


def _traced(network: nn.Module) -> _Graph:
    graph, traced = _Graph(), fx.symbolic_trace(network)
    modules = dict(traced.named_modules())
    weights: dict[int, list[str]] = {}  # whose weight is used where
    for node in traced.graph.nodes:
        if node.op == "call_module" and hasattr(modules[node.target], "weight"):
            weights.setdefault(id(modules[node.target]._parameters.get("weight")), []).append(
                node.target
            )
        inputs = [str(n) for n in node.all_input_nodes]
        name = str(node)
        if node.op == "placeholder":
            graph.slots[name] = ()
        elif node.op == "output":
            for source in inputs:
                graph.block(source, "the network's output")
        elif node.op == "call_module":
            module = modules[node.target]
            if isinstance(module, nn.Conv2d | nn.Linear):
                groups = getattr(module, "groups", 1)
                graph.write(name, node.target, module.weight, groups, inputs[0])
                if "weight" not in module._parameters:
                    reason = f"{name} computes its weight from other parameters"
                    graph.block(inputs[0], reason)
                    graph.block(name, reason)
            elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                alone = len(node.all_input_nodes[0].users) == 1
                graph.norm(name, node.target, inputs[0], alone)
                if module.weight is None or module.running_mean is None:
                    graph.block(name, f"feeds {name}, which keeps no scales or no statistics")
            elif isinstance(module, nn.Flatten) and module.start_dim != 1:
                graph.block(inputs[0], f"feeds {name}, which keeps more than one dimension")
                graph.through(name, inputs[0])
            elif type(module) in ACTIVATIONS:
                graph.through(name, inputs[0], ACTIVATIONS[type(module)])
            elif isinstance(module, POOLS):
                graph.through(name, inputs[0], "positive")
            elif isinstance(module, PASSES):
                graph.through(name, inputs[0])
            else:
                what = type(module).__name__
                graph.block(inputs[0], f"feeds {name} ({what}), which mixes channels")
                graph.through(name, inputs[0])
        else:
            target = node.target
            kind = FUNCTIONS.get(target) if node.op == "call_function" else None
            if kind == "concat":
                graph.concat(name, [str(n) for n in node.args[0]])
            elif kind == "add" and len(inputs) == 2:
                graph.add(name, *inputs)
            elif kind in ("relu", "maxpool"):
                graph.through(name, inputs[0], "positive")
            elif node.op == "call_method" and target == "size":
                graph.slots[name] = ()
            elif target in (torch.flatten, "flatten", "view"):
                if not _one_row_a_sample(node):
                    graph.block(inputs[0], f"feeds {name}, which keeps more than one dimension")
                graph.through(name, inputs[0])
            elif kind == "pass":
                graph.through(name, inputs[0])
            else:
                for source in inputs:
                    graph.block(source, f"feeds {name}, which is not known to keep channels apart")
                graph.slots[name] = graph.slots[inputs[0]] if inputs else ()
    repeated = {name for names in weights.values() if len(names) > 1 for name in names}
    for stream in graph.streams.values():
        used = {n for writer in stream.writers for n in writer} | {r[0] for r in stream.readers}
        for name in sorted(repeated & used):
            stream.reasons.append(f"shares {name}, whose weights are used more than once")
    return graph


def _one_row_a_sample(node: fx.Node) -> bool:
    """Does a flattening or view leave one row a sample, channels outermost?"""
    if node.target == "view":
        return len(node.args) == 3 and node.args[2] == -1
    start = node.kwargs.get("start_dim", node.args[1] if len(node.args) > 1 else 0)
    end = node.kwargs.get("end_dim", node.args[2] if len(node.args) > 2 else -1)
    return start == 1 and end == -1


def streams(network: nn.Module) -> dict[str, Stream]:
    """The streams of a network, by the names of the layers that write them.

    Args:
        network: InceptionV1, or a network that `torch.fx` can trace.

    Returns:
        Name of a layer → the stream that it writes; several layers may write the same one.

    Raises:
        UserError: The network cannot be traced.
    """
    if isinstance(network, InceptionV1):
        return _inception(network).layers()
    try:
        return _traced(network).layers()
    except (fx.proxy.TraceError, TypeError, RuntimeError) as error:
        raise UserError(
            f"the graph of {type(network).__name__} cannot be traced ({error}); give a network "
            "without control flow that depends on its input."
        ) from error


def once(network: nn.Module) -> dict[str, Stream]:
    """Every stream of a network once, by the name of the first layer that writes it."""
    return {stream.layers[0]: stream for stream in streams(network).values()}


@dataclass(frozen=True)
class Change:
    """What was done to a stream.

    Attributes:
        layers: that write it.
        kind: of the group.
        order: for each new channel the old one.
        scale: of each new channel.
    """

    layers: tuple[str, ...]
    kind: str
    order: np.ndarray
    scale: np.ndarray


@torch.no_grad()
def act_on(
    network: nn.Module,
    layer: str,
    *,
    low: float = 0.5,
    high: float = 2.0,
    seed: int = 0,
    force: bool = False,
) -> tuple[nn.Module, Change]:
    """A copy of a network with a random intertwiner applied to one of its hidden layers.

    Args:
        network: InceptionV1, or a network that `torch.fx` can trace.
        layer: A layer that writes a stream; all that write the same one are changed together.
        low, high: The range of the scales, where the nonlinearities let any pass.
        seed: The seed of the member.
        force: Whether to permute (without scales) even where that changes the function, to see by
            how much.

    Returns:
        The changed copy, and what was done to it.

    Raises:
        UserError: The layer is unknown, or admits no intertwiner (with the reason).
    """
    found = streams(network)
    if not found:
        raise UserError(f"{type(network).__name__} has no Conv2d and no Linear layer to act on.")
    stream = found[choose(layer, found, "layer")]
    if stream.reasons and not force:
        raise UserError(f"{layer} admits no intertwiner: it {stream.refusal}.")
    kind = "permutations" if stream.reasons else stream.kind
    M = sample_member(kind, stream.channels, low=low, high=high, seed=seed)
    order = np.abs(M).argmax(1)
    scale = M[np.arange(len(M)), order]
    changed = copy.deepcopy(network)
    at, by = torch.from_numpy(order), torch.from_numpy(scale).float()
    for name, norm in stream.writers:
        module = changed.get_submodule(name)
        on = torch.ones_like(by) if norm else by  # batch normalisation would undo it
        _rewrite(module, at, on)
        if norm:
            _carry(changed.get_submodule(norm), at, by)
    for name, start, wide in stream.readers:
        weight = changed.get_submodule(name).weight
        part = weight.unflatten(1, (wide, -1))[:, start : start + len(at)]
        by_ = by.view(1, -1, *[1] * (part.ndim - 2))
        part.copy_(part[:, at] / by_)
    return changed, Change(tuple(stream.layers), kind, order, scale)


def _rewrite(module: nn.Module, order: Tensor, scale: Tensor) -> None:
    module.weight.copy_(module.weight[order] * scale.view(-1, *[1] * (module.weight.ndim - 1)))
    if module.bias is not None:
        module.bias.copy_(module.bias[order] * scale)


def _carry(norm: nn.Module, order: Tensor, scale: Tensor) -> None:
    for name in ("running_mean", "running_var"):
        value = getattr(norm, name)
        value.copy_(value[order])
    norm.weight.copy_(norm.weight[order] * scale)
    norm.bias.copy_(norm.bias[order] * scale)


@torch.no_grad()
def function_change(network: nn.Module, changed: nn.Module, x: Tensor) -> float:
    """Largest difference of two networks' outputs, over the largest output of the first."""
    before, after = network(x), changed(x)
    return float((after - before).abs().max() / before.abs().max().clamp_min(1e-12))


def table(network: nn.Module) -> list[dict[str, object]]:
    """One row a stream: `layers`, `channels`, `group` in words, or `refused` with the reason."""
    return [
        {
            "layers": ", ".join(stream.layers),
            "channels": stream.channels,
            "group": "" if stream.refusal else KINDS[stream.kind],
            "refused": stream.refusal,
        }
        for stream in once(network).values()
    ]
