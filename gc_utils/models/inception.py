"""InceptionV1 ("GoogLeNet", Szegedy et al. 2014), as the description of its weights has it.

The network is a table of steps, `Architecture.steps`. One loop runs it: it asks each step which
units of the steps before it are needed, and computes those. Everything else is read off the same
table: channel counts, receptive fields, which crop shows a unit all that it sees, which weights a
layer needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gc_utils.errors import UserError
from gc_utils.models.architecture import INCEPTION5H, Architecture, Norm, Step
from gc_utils.models.base import Model
from gc_utils.models.receptive_field import ReceptiveField


def local_response_norm(x: Tensor, norm: Norm) -> Tensor:
    """Normalise activations (B, C, H, W) over neighbouring channels, see `Norm`."""
    ones = x.new_ones(x.shape[1], x.shape[1])
    band = ones.triu(-norm.radius).tril(norm.radius)  # sums as a 1x1 convolution: fast everywhere
    power = F.conv2d(x.square(), band[..., None, None])
    scale = norm.bias + norm.alpha * power
    if norm.beta == 0.5:  # roots, because pow is slow
        return x * scale.rsqrt()
    if norm.beta == 0.75:
        root = scale.rsqrt()
        return x * (root * root.sqrt())
    return x * scale**-norm.beta


class InceptionV1(nn.Module):
    """The network, or its first part, with the parameter names of the published weights.

    Args:
        top: the last layer to have; layers above it cannot be asked for.
        architecture: which of the published networks it is built like.
        norm: constants of the local response normalisation, if not the architecture's.
        seed: of the initial weights (He normal, zero bias).
    """

    def __init__(
        self,
        top: str = "logits",
        *,
        architecture: Architecture = INCEPTION5H,
        norm: Norm | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.top = architecture.check_layer(top)
        self.norm = norm or architecture.norm
        mean = torch.tensor(architecture.mean)[:, None, None]
        self.register_buffer("mean", mean, persistent=False)
        generator = torch.Generator().manual_seed(seed)
        shapes = architecture.parameters(top)
        for step in architecture.ancestry(top):
            if step.kind not in ("conv", "linear"):
                continue
            name = architecture.modules[step.name]
            source = shapes[f"{name}.weight"][1]
            if step.kind == "conv":
                module: nn.Module = nn.Conv2d(source, step.channels, step.size, step.stride)
            else:
                module = nn.Linear(source, step.channels)
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
            nn.init.zeros_(module.bias)
            self.add_module(name, module)

    @classmethod
    def from_state_dict(
        cls,
        state: Mapping[str, Tensor],
        *,
        architecture: Architecture = INCEPTION5H,
        norm: Norm | None = None,
    ) -> InceptionV1:
        """The network that the weights make: all of it, or as far up as they reach.

        Args:
            state: parameters by name.
            architecture: the network that they belong to.
            norm: constants of the local response normalisation, if not the architecture's.

        Raises:
            UserError: the weights are not InceptionV1's, with a name that is missing or unknown.
        """
        top = architecture.reaches(state)
        wanted = architecture.parameters(top) if top else {}
        extra = sorted(state.keys() - wanted.keys())
        if extra or not top:
            first = next(iter(architecture.parameters("conv2d0")))
            raise UserError(
                "these are not the weights of InceptionV1, nor of its first layers: they reach "
                f"{top or 'no layer'!r} and go on with {', '.join(extra[:3]) or 'nothing'}. The "
                f"names expected are those of {architecture.name} ({first!r})."
            )
        for name, shape in wanted.items():
            if tuple(state[name].shape) != shape:
                raise UserError(
                    f"weight {name!r} has shape {tuple(state[name].shape)}, that of InceptionV1 "
                    f"({architecture.name}) has {shape}."
                )
        network = cls(top, architecture=architecture, norm=norm)
        network.load_state_dict({name: state[name].to(torch.float32) for name in wanted})
        return network

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers and branches that can be asked for, from the input upwards."""
        return tuple(step.name for step in self.architecture.ancestry(self.top))

    def module_name(self, layer: str) -> str:
        """Name of the module that holds a convolution's or the logits' weights."""
        return self.architecture.modules[layer]

    def forward(self, x: Tensor, until: str | None = None) -> Tensor:
        """Activations of a layer on whole images.

        Args:
            x: images (B, 3, H, W), RGB in [0, 1].
            until: a layer or branch, whose output after its ReLU is returned; the top if not given.

        Returns:
            (B, C, h, w). The logits too: 1 x 1 for an image of 224 pixels, a map for larger ones.

        Raises:
            UserError: no such layer, or not in these weights, or the images are too small for it.
        """
        return self._run(x, until or self.top, None)

    def unit(self, x: Tensor, layer: str) -> Tensor:
        """The unit whose receptive field is centred on the centre of the crop, and only that.

        Equal to `forward(x, layer)` at that unit, for about half the work at `mixed3b`.

        Args:
            x: square crops (B, 3, S, S), RGB in [0, 1], `S = crop_size(layer)` or larger by a
                multiple of twice the layer's stride.
            layer: a layer or branch.

        Returns:
            (B, C).

        Raises:
            UserError: as in `forward`, or no unit is centred on the crop's centre.
        """
        field = self.architecture.receptive_field(layer)
        size, stride, offset = field.crop_size, field.stride, field.offset
        index, left = divmod((x.shape[-1] - 1) // 2 - offset, stride)
        if x.shape[-1] != x.shape[-2] or x.shape[-1] % 2 == 0 or left or index < 0:
            raise UserError(
                f"no unit of {layer!r} is centred on a crop of {x.shape[-2]}x{x.shape[-1]} pixels; "
                f"give it {size}x{size}, or larger by a multiple of {2 * stride}."
            )
        return self._run(x, layer, (index, index))[:, :, 0, 0]

    def above(self, a: Tensor, layer: str, until: str | None = None) -> Tensor:
        """Go on from a layer's activations: `above(forward(x, layer), layer)` is `forward(x)`.

        Args:
            a: activations (B, C, h, w) of all units of `layer`.
            layer: a layer, not a branch.
            until: a layer or branch above it; the top if not given.

        Returns:
            (B, C', h', w').

        Raises:
            UserError: no such layers, `until` not above `layer`, or activations of another shape.
        """
        until = until or self.top
        for name in (layer, until):
            if self.architecture.check_layer(name) not in self.layers:
                raise UserError(f"layer {name!r} is above {self.top!r}, where these weights end.")
        above = self.architecture.ancestry(until)
        if layer not in self.architecture.layers or layer not in {step.name for step in above}:
            raise UserError(f"{until!r} does not lie above the layer {layer!r}.")
        channels = self.architecture.layers[layer]
        if a.ndim != 4 or a.shape[1] != channels:
            expected = f"(B, {channels}, h, w)"
            raise UserError(f"activations of shape {tuple(a.shape)}: expected {expected}.")
        done = {layer: a}
        for step in above[len(self.architecture.ancestry(layer)) :]:
            edges = [step.before, step.after] * 2
            fill = float("-inf") if step.kind == "maxpool" else 0.0
            inputs = [F.pad(done[name], edges, value=fill) for name in step.inputs]
            if min(inputs[0].shape[-2:]) < step.size:
                raise UserError(f"these images are too small for layer {until!r}.")
            done[step.name] = self._compute(step, inputs)
        return done[until]

    def _run(self, x: Tensor, layer: str, units: tuple[int, int] | None) -> Tensor:
        """Compute the units `first … last` of a layer along both axes (all units if None)."""
        if self.architecture.check_layer(layer) not in self.layers:
            raise UserError(
                f"layer {layer!r} is above {self.top!r}, where these weights end. The weights "
                "'inception5h' and 'bvlc_googlenet' have all layers."
            )
        steps = self.architecture.ancestry(layer)
        spans = [self.architecture.needed_span(layer, length, units) for length in x.shape[-2:]]
        (top, bottom), (left, right) = (span["input"] for span in spans)
        window = x[..., top : bottom + 1, left : right + 1]
        if self.architecture.order == "BGR":
            window = window.flip(-3)
        window = 255 * window - self.mean
        # On CPUs pooling is several times faster with channels last.
        done = {"input": window.contiguous(memory_format=torch.channels_last)}
        last_use = {source: step.name for step in steps for source in step.inputs}
        for step in steps:
            # Padding that is negative crops: what is computed of a step is what the greediest of
            # its readers needs, and zeros (or -inf) stand for units beyond the grid.
            edges = []
            for span in reversed(spans):
                first, last = span[step.name]
                have_first, have_last = span[step.inputs[0]]
                start = first * step.stride - step.before
                stop = last * step.stride - step.before + step.size - 1
                edges += [have_first - start, stop - have_last]
            fill = float("-inf") if step.kind == "maxpool" else 0.0
            inputs = [
                F.pad(done[name], edges, value=fill) if any(edges) else done[name]
                for name in step.inputs
            ]
            done[step.name] = self._compute(step, inputs)
            for name in step.inputs:
                if last_use[name] == step.name:
                    del done[name]
        return done[layer]

    def _compute(self, step: Step, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        match step.kind:
            case "conv":
                return F.relu(getattr(self, self.module_name(step.name))(x), inplace=True)
            case "maxpool":
                return F.max_pool2d(x, step.size, step.stride)
            case "norm":
                return local_response_norm(x, self.norm)
            case "concat":
                return torch.cat(inputs, 1)
            case "avgpool":
                return F.avg_pool2d(x, step.size, step.stride)
        return getattr(self, self.module_name(step.name))(x.movedim(1, -1)).movedim(-1, 1)


class InceptionModel(Model):
    """InceptionV1, as far up as its weights reach."""

    network: InceptionV1

    @property
    def architecture(self) -> Architecture:
        """The description of its weights: steps, widths, padding, normalisation, input."""
        return self.network.architecture

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers and branches (`mixed3b_5x5`), from the input upwards."""
        return self.network.layers

    def check_layer(self, layer: str) -> str:
        """Return `layer` if these weights have it, else raise a `UserError`."""
        if self.architecture.check_layer(layer) not in self.layers:
            raise UserError(
                f"layer {layer!r} is above {self.network.top!r}, where the weights "
                f"{self.weights!r} end; 'inception5h' and 'bvlc_googlenet' have all layers."
            )
        return layer

    def channels(self, layer: str) -> int:
        """Number of channels of a layer or branch."""
        return self.architecture.steps[self.check_layer(layer)].channels

    def receptive_field(self, layer: str) -> ReceptiveField:
        """Composed from the kernels, strides and paddings."""
        return self.architecture.receptive_field(self.check_layer(layer))

    def _activations(self, x: Tensor, layer: str) -> Tensor:
        return self.network(x, layer)

    def _unit(self, x: Tensor, layer: str) -> Tensor:
        return self.network.unit(x, layer)


class PartwiseInception(InceptionModel):
    """InceptionV1 whose weights come in parts, loaded as far as the layers asked for need them.

    Whoever takes its `network` takes all of it.

    Args:
        weights: name of the weights.
        checksum: of the whole set of weights, however far they are loaded.
        architecture: the network that they belong to.
        parts: layer → all parameters that it needs, by name, float32.
        device: where to compute.
    """

    def __init__(
        self,
        weights: str,
        checksum: str,
        architecture: Architecture,
        parts: Callable[[str], Mapping[str, Tensor]],
        device: torch.device,
    ) -> None:
        self._architecture, self._parts = architecture, parts
        super().__init__("inceptionv1", weights, checksum, nn.Identity(), device)
        self._network: InceptionV1 | None = None  # the part that is loaded

    @property
    def network(self) -> InceptionV1:  # type: ignore[override]
        """The whole network."""
        return self._reach("logits")

    @network.setter
    def network(self, network: InceptionV1) -> None:
        self._network = network

    @property
    def architecture(self) -> Architecture:
        """The description of its weights."""
        return self._architecture

    @property
    def layers(self) -> tuple[str, ...]:
        """All layers and branches, loaded or not."""
        return tuple(self._architecture.steps)

    def prepare(self, layer: str) -> None:
        """Load what the layer needs.

        Raises:
            UserError: no such layer, or its weights cannot be had.
        """
        self._reach(self.check_layer(layer))

    def _reach(self, layer: str) -> InceptionV1:
        """The network, grown as far as the layer if it ended below."""
        if self._network is None or layer not in self._network.layers:
            whole = layer.split("_")[0]  # all branches of a block
            # Weights made where nobody asks for gradients could not pass any later.
            with torch.inference_mode(False):
                network = InceptionV1(whole, architecture=self._architecture)
                network.load_state_dict(dict(self._parts(whole)))
                self._network = network.eval().requires_grad_(False).to(self.device)
        return self._network

    def _activations(self, x: Tensor, layer: str) -> Tensor:
        return self._reach(layer)(x, layer)

    def _unit(self, x: Tensor, layer: str) -> Tensor:
        return self._reach(layer).unit(x, layer)
