"""Networks of others, cut at a layer: what they share, and how one is cut at its modules."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from gc_utils.errors import UserError
from gc_utils.models.base import Model
from gc_utils.models.receptive_field import ReceptiveField, probe_receptive_field


class CutModel(Model):
    """A network that others have made, of which any layer can be read.

    What does not work: `unit`, `receptive_field` and `crop_size` where a unit sees the whole image
    (attention, squeeze-and-excitation, anything after global pooling) or more than
    `LARGEST_FIELD` pixels, where units are not laid out as channels x rows x columns, or where
    the network takes images of one size only. `activations` of such layers work, if the network
    takes images of that size.

    Args:
        name, weights, checksum, network, device: as for `Model`.
        scale: mean and standard deviation of RGB, which the network expects to be removed.
        side: pixels of an image that the whole network takes.
    """

    failures: tuple[type[Exception], ...] = (RuntimeError, AssertionError)
    """What the network raises for an image that it cannot take."""

    def __init__(
        self,
        name: str,
        weights: str,
        checksum: str,
        network: nn.Module,
        device: torch.device,
        scale: tuple[Sequence[float], Sequence[float]],
        side: int = 224,
    ):
        super().__init__(name, weights, checksum, network, device)
        self._mean, self._std = (torch.tensor(v, device=device)[:, None, None] for v in scale)
        self._side = side
        self._parts: dict[str, Callable[[Tensor], Any]] = {}
        self._fields: dict[str, ReceptiveField] = {}

    @property
    @abstractmethod
    def nodes(self) -> tuple[str, ...]:
        """Every node that can be read, at every depth."""

    @abstractmethod
    def _cut(self, network: nn.Module, layer: str) -> Callable[[Tensor], Any]:
        """The part of the network, or of a copy of it, that leads from images to a node."""

    @property
    def layers(self) -> tuple[str, ...]:
        """The outermost nodes; the nodes inside them (`layer1.0.conv1`) can be read too."""
        return tuple(n for n in self.nodes if "." not in n)

    def check_layer(self, layer: str) -> str:
        """Return `layer` if there is such a node, else raise a `UserError`."""
        if layer in self.nodes:
            return layer
        # Where a list of modules is never applied itself, no node is an outermost one.
        inner = "." in str(layer) or not self.layers
        return self._choose_layer(layer, self.nodes if inner else self.layers)

    def channels(self, layer: str) -> int:
        """Number of channels of a layer."""
        return self.activations(torch.zeros(1, 3, self._side, self._side), layer).shape[1]

    def receptive_field(self, layer: str) -> ReceptiveField:
        """Measured, see `probe_receptive_field`.

        Raises:
            UserError: where there is no bounded one.
        """
        if layer not in self._fields:
            self.check_layer(layer)
            self._fields[layer] = self._probed(layer)
        return self._fields[layer]

    def _probed(self, layer: str) -> ReceptiveField:
        refused = f"layer {layer!r} of {self.name!r} has no receptive field that can be used: "
        # A network that names a type inside (`x.float()`) cannot be computed in double precision.
        for dtype in (torch.float64, torch.float32):
            try:
                network = copy.deepcopy(self.network).cpu()
                part = self._cut(network.double() if dtype == torch.float64 else network, layer)
                return probe_receptive_field(part, dtype=dtype)
            except UserError as error:
                raise UserError(f"{refused}{error}") from error
            except self.failures as error:
                failure = error
        side = self._side
        if self._takes(side, layer):
            only = f"takes only images of {side}x{side} pixels"
            if self._takes(2 * side, layer):
                only = "does not take images of all sizes"
            raise UserError(
                f"{refused}the network {only} ({failure}), so that it cannot be read here: where "
                "units look is measured on images of several sizes, and each is read from a crop "
                "of the size that it sees."
            ) from failure
        raise UserError(f"{refused}{failure}") from failure

    def _takes(self, side: int, layer: str) -> bool:
        """Whether the layer can be computed of images of that size."""
        try:
            self.activations(torch.zeros(1, 3, side, side), layer)
        except UserError as error:
            return not isinstance(error.__cause__, self.failures)
        return True

    def _activations(self, x: Tensor, layer: str) -> Tensor:
        if layer not in self._parts:
            self._parts[layer] = self._cut(self.network, layer)
        try:
            found = self._parts[layer]((x - self._mean) / self._std)
        except self.failures as error:
            raise UserError(
                f"{self.name!r} cannot compute {layer!r} of images of {x.shape[-2]}x{x.shape[-1]} "
                f"pixels: {error}"
            ) from error
        if not isinstance(found, Tensor) or found.ndim != 4:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise UserError(
                f"layer {layer!r} of {self.name!r} is not a map of units (B, C, h, w) but {shape}."
            )
        return found


class HookedModel(CutModel):
    """A network whose layers are its modules, read by a hook: any control flow will do.

    A module that is applied several times has several outputs, and cannot be read; nor can one
    that the network never applies. What lies above the layer is not computed.
    """

    failures = (Exception,)  # somebody's own code may raise anything

    @cached_property
    def _applied(self) -> Counter[str]:
        """How often each module is applied to an image, in the order in which they finish."""
        applied: Counter[str] = Counter()
        hooks = [
            module.register_forward_hook(lambda *_, name=name: applied.update([name]))
            for name, module in self.network.named_modules()
            if name
        ]
        try:
            with torch.no_grad():
                self.network(torch.zeros(1, 3, self._side, self._side, device=self.device))
        except Exception as error:
            raise UserError(
                f"{self.name!r} cannot process an image of {self._side}x{self._side} pixels, "
                f"(1, 3, {self._side}, {self._side}): {type(error).__name__}: {error}. It has to "
                "take RGB images of any size: if its head fixes the size (a linear layer behind a "
                "flattening), return the network without its head."
            ) from error
        finally:
            for hook in hooks:
                hook.remove()
        return applied

    @property
    def nodes(self) -> tuple[str, ...]:
        """The modules that the network applies once, by their names, from the input upwards."""
        return tuple(name for name, times in self._applied.items() if times == 1)

    def check_layer(self, layer: str) -> str:
        """Return `layer` if there is such a module, else raise a `UserError`."""
        if (times := self._applied.get(layer, 0)) > 1:
            raise UserError(
                f"the module {layer!r} of {self.name!r} is applied {times} times to an image: name "
                "the module around it, or give each place a module of its own."
            )
        if not self.nodes:
            raise UserError(
                f"{self.name!r} has no modules to read: a layer is a module inside the network "
                "(an attribute that is a torch.nn.Module) that it applies once to an image. A "
                "single module can be put in one: torch.nn.Sequential(module)."
            )
        return super().check_layer(layer)

    def _cut(self, network: nn.Module, layer: str) -> Callable[[Tensor], Any]:
        return partial(_output_of, network, network.get_submodule(layer))


class _Reached(BaseException):
    """The layer that was asked for has been computed."""


def _output_of(network: nn.Module, module: nn.Module, x: Tensor) -> Any:
    """What a module of a network returns for images, before anything changes it in place."""
    found = []

    def keep(module: nn.Module, arguments: tuple, output: Any) -> None:
        found.append(output)
        raise _Reached

    hook = module.register_forward_hook(keep)
    try:
        network(x)
    except _Reached:
        return found[0]
    finally:
        hook.remove()
    raise RuntimeError("for images of this size the network does not apply that module.")
