"""Any torchvision classifier, cut at any node of its graph."""

from __future__ import annotations

import hashlib
import http.client
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gc_utils.errors import UserError, choose
from gc_utils.models import weights as _weights
from gc_utils.models.base import Model
from gc_utils.models.cut import CutModel


class TorchvisionModel(CutModel):
    """A torchvision classifier, cut at any node of its graph; see `CutModel` for what cannot be."""

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

    def _cut(self, network: nn.Module, layer: str) -> Callable[[Tensor], Any]:
        from gc_utils._torchvision import torchvision

        part = torchvision.models.feature_extraction.create_feature_extractor(
            network, [layer], suppress_diff_warning=True
        ).eval()
        return lambda x: part(x)[layer]


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
