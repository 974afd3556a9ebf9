"""Any torchvision classifier, cut at any node of its graph."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gc_utils.downloads import fetch
from gc_utils.errors import UserError, choose
from gc_utils.models import weights as _weights
from gc_utils.models.base import Model
from gc_utils.models.cut import CutModel
from gc_utils.progress import progress_bar

ONLY_WEIGHTS = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"  # torch's own switch: no pickle is executed


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


def published_hash(url: str) -> str:
    """The first digits of the sha256 of a file of torchvision, which its name ends with."""
    found = re.search(r"-([0-9a-f]{8,64})\.pth$", url)
    return found[1] if found else ""


def _in_cache(name: str, weights: str, entry: Any) -> str:
    """Have the weights' file in the cache as it was published, fetched if need be; its sha256."""
    path, expected = torchvision_file(entry), published_hash(entry.url)

    def problem(data: bytes) -> str:
        found = hashlib.sha256(data).hexdigest()
        return "" if found.startswith(expected) else f"has sha256 {found}, not {expected}…"

    data = path.read_bytes() if path.is_file() else None
    if data is None or problem(data):
        otherwise = (
            f"These are the weights {weights!r} of {name!r}. Get {entry.url} where there is a "
            f"network and put it at {path}. Without it: weights 'random'."
        )
        with progress_bar(desc=path.name, unit="B", unit_scale=True) as bar:
            data = fetch(entry.url, path, problem, otherwise, bar)
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _only_weights() -> Iterator[None]:
    """A block in which torch opens files with `weights_only=True`, whoever asks for them."""
    before = os.environ.get(ONLY_WEIGHTS)
    os.environ[ONLY_WEIGHTS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[ONLY_WEIGHTS]
        else:
            os.environ[ONLY_WEIGHTS] = before


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
        checksum = _in_cache(name, weights, entry)
        try:
            with _only_weights():
                network = torchvision.models.get_model(name, weights=entry)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise UserError(
                f"the weights {weights!r} of {name!r} in {torchvision_file(entry)} cannot be read "
                f"({str(error).splitlines()[0]}). Delete the file, and it is fetched again."
            ) from error
        weights = entry.name
        transform = entry.transforms()
        scale = transform.mean, transform.std
    return TorchvisionModel(name, weights, checksum, network, device, scale)
