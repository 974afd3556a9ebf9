"""Any torchvision classifier, cut at any node of its graph."""

from __future__ import annotations

import copy
import hashlib
import http.client
from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gc_utils.errors import UserError, choose
from gc_utils.models import weights as _weights
from gc_utils.models.base import Model
from gc_utils.models.receptive_field import ReceptiveField, probe_receptive_field


class TorchvisionModel(Model):
    """A torchvision classifier, cut at any node of its graph.

    What does not work: `unit`, `receptive_field` and `crop_size` where a unit sees the whole image
    (attention, squeeze-and-excitation, anything after global pooling) or more than
    `LARGEST_FIELD` pixels, or where units are not laid out as channels x rows x columns.
    `activations` of such layers work, if the network takes images of that size.
    """

    def __init__(
        self,
        name: str,
        weights: str,
        checksum: str,
        network: nn.Module,
        device: torch.device,
        scale: tuple[Sequence[float], Sequence[float]],  # mean and standard deviation of RGB
    ):
        super().__init__(name, weights, checksum, network, device)
        self._mean, self._std = (torch.tensor(v, device=device)[:, None, None] for v in scale)
        self._parts: dict[str, nn.Module] = {}
        self._fields: dict[str, ReceptiveField] = {}

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Every node that can be asked for: modules at every depth, and operations."""
        from gc_utils._torchvision import torchvision

        names = torchvision.models.feature_extraction.get_graph_node_names(
            self.network, suppress_diff_warning=True
        )[1]
        paths = (
            name.split(".")[: depth + 1] for name in names for depth in range(name.count(".") + 1)
        )
        return tuple(dict.fromkeys(".".join(path) for path in paths))[1:]  # the first is the input

    @property
    def layers(self) -> tuple[str, ...]:
        """The outermost nodes; the nodes inside them (`layer1.0.conv1`) can be asked for too."""
        return tuple(n for n in self.nodes if "." not in n)

    def check_layer(self, layer: str) -> str:
        """Return `layer` if there is such a node, else raise a `UserError`."""
        if layer in self.nodes:
            return layer
        return choose(layer, self.nodes if "." in str(layer) else self.layers, f"{self.name} layer")

    def channels(self, layer: str) -> int:
        """Number of channels of a layer."""
        return self.activations(torch.zeros(1, 3, 224, 224), layer).shape[1]

    def receptive_field(self, layer: str) -> ReceptiveField:
        """Measured, see `probe_receptive_field`.

        Raises:
            UserError: where there is no bounded one.
        """
        if layer not in self._fields:
            part = _cut(copy.deepcopy(self.network).cpu().double(), self.check_layer(layer))
            try:
                self._fields[layer] = probe_receptive_field(lambda x: part(x)[layer])
            except (UserError, RuntimeError, AssertionError) as error:
                raise UserError(
                    f"layer {layer!r} of {self.name!r} has no receptive field that can be used: "
                    f"{error}"
                ) from error
        return self._fields[layer]

    def _activations(self, x: Tensor, layer: str) -> Tensor:
        if layer not in self._parts:
            self._parts[layer] = _cut(self.network, layer)
        try:
            found = self._parts[layer]((x - self._mean) / self._std)[layer]
        except (RuntimeError, AssertionError) as error:
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


def _cut(network: nn.Module, layer: str) -> nn.Module:
    """The part of a torchvision network that leads to a layer: images to `{layer: output}`."""
    from gc_utils._torchvision import torchvision

    return torchvision.models.feature_extraction.create_feature_extractor(
        network, [layer], suppress_diff_warning=True
    ).eval()


@cache
def torchvision_names() -> list[str]:
    from gc_utils._torchvision import torchvision

    return torchvision.models.list_models(module=torchvision.models)


def torchvision_file(entry: Any) -> Path:
    return _weights.cache_folder() / entry.url.rsplit("/", 1)[-1]


def load_torchvision(name: str, weights: str, device: torch.device, seed: int = 0) -> Model:
    from gc_utils._torchvision import torchvision

    entries = torchvision.models.get_model_weights(name)
    choose(weights, [*entries.__members__, "random"], f"{name} weights")
    scale = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
    if weights == "random":
        # These two warn unless they are given an initialisation.
        extra = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            network = torchvision.models.get_model(name, weights=None, **extra)
        checksum = _weights.state_sha256(network.state_dict())
    else:
        entry = entries[weights]
        path = torchvision_file(entry)
        try:
            network = torchvision.models.get_model(name, weights=entry)
        except (OSError, http.client.HTTPException) as error:
            raise UserError(
                f"cannot download weights {weights!r} of {name!r} ({error}). Get {entry.url} where "
                f"there is a network and put it at {path}. Without it: weights 'random'."
            ) from error
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
        weights = entry.name
        transform = entry.transforms()
        scale = transform.mean, transform.std
    return TorchvisionModel(name, weights, checksum, network, device, scale)
