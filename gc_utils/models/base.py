"""Names become models with weights: InceptionV1, the filter bank, or any torchvision classifier.

    model = load_model("inceptionv1", weights="demo")
    model.unit(crops, "mixed3b")          # (B, 480), from crops of model.crop_size("mixed3b")
    model.activations(images, "mixed3b")  # (B, 480, H/8, W/8)

All models take RGB images in [0, 1] and scale them themselves. Parameters are frozen and modules in
evaluation mode, but nothing is hidden from autograd: a gradient flows to any image that asks for
one. Without one, nothing is recorded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from gc_utils.errors import UserError, brief, choose
from gc_utils.models.architecture import INCEPTION5H
from gc_utils.models.receptive_field import ReceptiveField
from gc_utils.ranks import own_gpu

PART = 2**18  # pixels that a CPU passes through a network at once


class Model(ABC):
    """A network in which any layer can be asked what it sees.

    Attributes:
        name: the name it was loaded by.
        weights: name of its weights.
        checksum: sha256 of the weights file; of the table of checksums if there are several files;
            of the parameters if there is none.
        layers: names of the layers, from the input upwards.
        network: the module, frozen.
        device: where it computes; images are brought there.
    """

    def __init__(
        self, name: str, weights: str, checksum: str, network: nn.Module, device: torch.device
    ):
        self.name, self.weights, self.checksum = name, weights, checksum
        self.device = device
        self.network = network.eval().requires_grad_(False).to(device)

    @property
    @abstractmethod
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, from the input upwards."""

    @abstractmethod
    def channels(self, layer: str) -> int:
        """Number of channels of a layer."""

    @abstractmethod
    def receptive_field(self, layer: str) -> ReceptiveField:
        """Input pixels that a layer's units see: unit `k` is centred on `offset + stride·k`."""

    @abstractmethod
    def _activations(self, x: Tensor, layer: str) -> Tensor:
        """As `activations`, for images that have been checked and moved."""

    def check_layer(self, layer: str) -> str:
        """Return `layer` if there is one of that name, else raise a `UserError`."""
        return self._choose_layer(layer, self.layers)

    def _choose_layer(self, layer: str, choices: Sequence[str]) -> str:
        try:
            return choose(layer, choices, f"{self.name} layer")
        except UserError as error:
            if str(layer) not in INCEPTION5H.steps:
                raise
            # Presets name a layer of InceptionV1, so that it need not have been typed.
            raise UserError(
                f"{error} {layer!r} is a layer of InceptionV1, as the default of -p layer is: "
                f"choose one of {self.name} with -p layer LAYER."
            ) from error

    def prepare(self, layer: str) -> None:
        """Fetch what the layer needs, so that what is missing shows now and not at its first use.

        Most models have all their weights from the start.

        Raises:
            UserError: no such layer, or its weights cannot be had.
        """
        self.check_layer(layer)

    def crop_size(self, layer: str) -> int:
        """Smallest crop that shows all that a unit sees, with that unit exactly at its centre.

        Odd, unless the network centres its units between pixels (even kernels or strides).
        """
        return self.receptive_field(layer).crop_size

    def activations(self, x: Tensor, layer: str) -> Tensor:
        """Activations of a layer on whole images; differentiable in `x`.

        Args:
            x: `(B, 3, H, W)` RGB in [0, 1]. Images smaller than the receptive field will do as
                long as the network computes any unit; those units see the network's padding.
            layer: the layer's name.

        Returns:
            `(B, C, h, w)`.

        Raises:
            UserError: no such layer, no such images, or too small ones.
        """
        return self._in_parts(self._activations, self._check(x), self.check_layer(layer))

    def map_size(self, layer: str, side: int) -> tuple[int, int]:
        """Rows and columns of units that a layer has on an image of `side` pixels."""
        rows, columns = self.activations(torch.zeros(1, 3, side, side), layer).shape[-2:]
        return rows, columns

    def unit(self, x: Tensor, layer: str) -> Tensor:
        """The unit whose receptive field is centred on the crop's centre; differentiable in `x`.

        Args:
            x: `(B, 3, H, W)` RGB in [0, 1], `crop_size(layer)` pixels high and wide, or larger by
                an even number: only the middle is looked at.
            layer: the layer's name.

        Returns:
            `(B, C)`.

        Raises:
            UserError: no such layer, or the crop shows less than the unit sees, or has no unit at
                its centre.
        """
        x = self._check(x)
        size = self.crop_size(self.check_layer(layer))
        spare = [length - size for length in x.shape[-2:]]
        if min(spare) < 0 or any(s % 2 for s in spare):
            raise UserError(
                f"a unit of {layer!r} needs a crop of {size}x{size} pixels, or larger by an even "
                f"number; these are {x.shape[-2]}x{x.shape[-1]}."
            )
        top, left = (s // 2 for s in spare)
        return self._in_parts(self._unit, x[..., top : top + size, left : left + size], layer)

    def _in_parts(self, compute: Callable[[Tensor, str], Tensor], x: Tensor, layer: str) -> Tensor:
        """Compute a batch part by part on a CPU, whose cache holds the activations of a part only.

        Of InceptionV1's crops, parts of this size pass 1.5 times as fast as all 128 at once.
        """
        count = max(1, PART // (x.shape[-2] * x.shape[-1]))
        if self.device.type != "cpu" or len(x) <= count:
            return compute(x, layer)
        return torch.cat([compute(part, layer) for part in x.split(count)])

    def _unit(self, x: Tensor, layer: str) -> Tensor:
        _, stride, offset = self.receptive_field(layer)
        k = round(((x.shape[-1] - 1) / 2 - offset) / stride)
        return self._activations(x, layer)[..., k, k]

    def _check(self, x: Tensor) -> Tensor:
        if not isinstance(x, Tensor) or x.ndim != 4 or x.shape[1] != 3 or not x.numel():
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise UserError(f"expected images of shape (B, 3, H, W), got {got}.")
        low, high = (float(v) for v in x.detach().aminmax())
        # Sampling and optimising may overshoot; a range of 255 or normalised colours go beyond.
        if not (x.is_floating_point() and low >= -0.25 and high <= 1.25):
            raise UserError(
                f"expected floating-point RGB in [0, 1], got {x.dtype} from {low:g} to {high:g}; "
                "models scale their own input."
            )
        return x.to(self.device, torch.float32)


def choose_layers(model: Model, named: str, usual: Sequence[str], last: str) -> list[str]:
    """Layers to study: those named, or the usual ones that the model has, up to the last.

    Args:
        model: from `load_model`.
        named: names with spaces between; empty for the usual ones.
        usual: in the model's order; those that it does not have are left out.
        last: the layer at which to stop; always among the usual ones.

    Raises:
        UserError: for a layer that the model does not have.
    """
    if named.split():
        return [model.check_layer(layer) for layer in named.split()]
    model.check_layer(last)
    order = list(model.layers)
    below = order[: order.index(last)] if last in order else []
    return [layer for layer in usual if layer in below] + [last]


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """The device of that name; `"auto"` is a CUDA GPU if there is one, else the CPU.

    Under `torchrun` each process has a GPU of its own, if there are enough.

    Raises:
        UserError: no such device here.
    """
    if device in ("auto", "cuda") and (own := own_gpu()):
        return torch.device(own)
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(1, device=device).cpu()  # "meta" has no numbers to bring back
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise UserError(
            f"there is no device {brief(repr(str(device)))} here ({brief(reason)}): "
            "name 'auto' or 'cpu'."
        ) from error
    return torch.device(device)
