"""Names become models with weights: InceptionV1, the filter bank, or any torchvision classifier.

    model = load_model("inceptionv1", weights="demo")
    model.unit(crops, "mixed3b")          # (B, 480), from crops of model.crop_size("mixed3b")
    model.activations(images, "mixed3b")  # (B, 480, H/8, W/8)

All models take RGB images in [0, 1] and scale them themselves. Parameters are frozen and modules in
evaluation mode, but nothing is hidden from autograd: a gradient flows to any image that asks for
one. Without one, nothing is recorded.
"""

from __future__ import annotations

import copy
import hashlib
import http.client
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gc_utils import _weights, inception
from gc_utils.errors import UserError, choose
from gc_utils.filter_bank import SIZE, STRIDE, FilterBank
from gc_utils.inception import InceptionV1, ReceptiveField

OWN = ("inceptionv1", "filter_bank")
INCEPTION_WEIGHTS = ("demo", "inception5h", "random")
LARGEST_FIELD = 2048  # pixels: the largest bounded fields of torchvision's networks are below


class Model(ABC):
    """A network in which any layer can be asked what it sees.

    Attributes:
        name: the name it was loaded by.
        weights: name of its weights.
        checksum: sha256 of the weights file, or of the parameters if they come from no file.
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
        return choose(layer, self.layers, f"{self.name} layer")

    def crop_size(self, layer: str) -> int:
        """Smallest crop that shows all that a unit sees, with that unit exactly at its centre.

        Odd, unless the network centres its units between pixels (even kernels or strides).
        """
        size, stride, offset = self.receptive_field(layer)
        steps = max(0, -(-((size - 1) / 2 - offset) // stride))
        return int(2 * (offset + stride * steps) + 1)

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
        return self._activations(self._check(x), self.check_layer(layer))

    def map_size(self, layer: str, side: int) -> tuple[int, int]:
        """Rows and columns of units that a layer has on a picture of `side` pixels."""
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
        return self._unit(x[..., top : top + size, left : left + size], layer)

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


class InceptionModel(Model):
    """InceptionV1, as far up as its weights reach."""

    network: InceptionV1

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers and branches (`mixed3b_5x5`), from the input upwards."""
        return self.network.layers

    def check_layer(self, layer: str) -> str:
        """Return `layer` if these weights have it, else raise a `UserError`."""
        if inception.check_layer(layer) not in self.layers:
            raise UserError(
                f"layer {layer!r} is above {self.network.top!r}, where the weights "
                f"{self.weights!r} end; 'inception5h' has all layers."
            )
        return layer

    def channels(self, layer: str) -> int:
        """Number of channels of a layer or branch."""
        return inception.STEPS[self.check_layer(layer)].channels

    def receptive_field(self, layer: str) -> ReceptiveField:
        """Composed from the kernels, strides and paddings."""
        return inception.receptive_field(self.check_layer(layer))

    def _activations(self, x: Tensor, layer: str) -> Tensor:
        return self.network(x, layer)

    def _unit(self, x: Tensor, layer: str) -> Tensor:
        return self.network.unit(x, layer)


class FilterBankModel(Model):
    """The filter bank: one layer, `filters`, of known symmetry."""

    network: FilterBank
    layers = ("filters",)

    def channels(self, layer: str) -> int:
        """Number of filters."""
        self.check_layer(layer)
        return len(self.network.kinds)

    def receptive_field(self, layer: str) -> ReceptiveField:
        """The size of the filters."""
        self.check_layer(layer)
        return ReceptiveField(SIZE, STRIDE, (SIZE - 1) // 2)

    def _activations(self, x: Tensor, layer: str) -> Tensor:
        if min(x.shape[-2:]) < SIZE:
            raise UserError(f"filters of {SIZE} pixels do not fit {x.shape[-2]}x{x.shape[-1]}.")
        return self.network(x)


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


def probe_receptive_field(run: Callable[[Tensor], Any], height: int = 96) -> ReceptiveField:
    """Receptive field of a layer of any network, from what depends on what.

    A NaN in the input reaches exactly the units that see it, whatever the weights and whichever
    input a ReLU or a maximum lets through (a gradient would miss the rest). Columns of NaN, one
    after another, show the first and last unit that sees each column; so do rows.

    Args:
        run: float64 `(B, 3, H, W)` to `(B, C, h, w)` on the CPU, where double precision means
            plain convolutions: the fast ones mix neighbouring pixels, and their NaNs.
        height: pixels of the side that is not probed.

    Raises:
        UserError: if the field is unbounded, larger than `LARGEST_FIELD`, or if the layer does not
            treat all places alike.
    """
    fields = [_probe_axis(run, height, axis) for axis in (-1, -2)]
    if fields[0][1:] != fields[1][1:]:
        raise UserError(f"it differs between columns and rows ({fields[0]}, {fields[1]}).")
    return max(fields)


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
        x = torch.zeros(1, 3, height, length, dtype=torch.float64)
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


def pick_device(device: str | torch.device = "auto") -> torch.device:
    """The device of that name; `"auto"` is a CUDA GPU if there is one, else the CPU.

    Raises:
        UserError: no such device here.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"there is no device {str(device)!r} here ({error}).") from error
    return torch.device(device)


def load_model(
    name: str = "inceptionv1",
    weights: str | None = None,
    weights_file: str | os.PathLike[str] | None = None,
    device: str | torch.device = "auto",
    *,
    group: str | None = None,
    **options: Any,
) -> Model:
    """A model by name.

    Args:
        name: `"inceptionv1"`, `"filter_bank"`, or a torchvision classifier such as `"googlenet"`.
        weights: for InceptionV1 `"demo"` (in the package; its first layers, through mixed3b),
            `"inception5h"` (downloaded when first asked for) or `"random"`; for torchvision
            `"DEFAULT"`, the name of an entry of its weights (`"IMAGENET1K_V1"`), or `"random"`;
            for the filter bank `"analytic"`. The first of these is the default.
        weights_file: for InceptionV1, a copy of inception5h.pth, or a `.safetensors` with its
            parameter names; takes the place of `weights`.
        device: `"auto"`, or a name that torch knows.
        group: what the filter bank is closed under (D16 unless given); other models ignore it.
        options: `seed=0` for random weights; `norm=Norm(…)` for InceptionV1's response
            normalisation.

    Raises:
        UserError: unknown name, weights, device or option; weights that cannot be had or read.

    Example:
        >>> model = load_model("filter_bank", group="D4")
        >>> model.unit(torch.rand(5, 3, 35, 35), "filters").shape
        torch.Size([5, 24])
    """
    choose(name, OWN if name in OWN else (*OWN, *_torchvision_names()), "model")
    taken = {"inceptionv1": ("seed", "norm"), "filter_bank": ("group",)}.get(name, ("seed",))
    for option in options:
        choose(option, taken, f"{name} option")
    target = pick_device(device)
    if name == "inceptionv1":
        return _load_inception(weights, weights_file, target, **options)
    if weights_file is not None:
        raise UserError(f"weights_file is for 'inceptionv1', not for {name!r}.")
    if name == "filter_bank":
        choose(weights or "analytic", ["analytic"], f"{name} weights")
        bank = FilterBank(group) if group else FilterBank()
        return FilterBankModel(
            name, "analytic", _weights.state_sha256(bank.state_dict()), bank, target
        )
    return _load_torchvision(name, weights or "DEFAULT", target, **options)


def _load_inception(
    weights: str | None, file: Any, device: torch.device, seed: int = 0, norm: Any = None
) -> Model:
    weights = choose(weights or "demo", INCEPTION_WEIGHTS, "inceptionv1 weights")
    if file is None and weights == "random":
        network = InceptionV1(norm=norm, seed=seed)
        checksum = _weights.state_sha256(network.state_dict())
        return InceptionModel("inceptionv1", "random", checksum, network, device)
    if file is not None:
        found = _weights.from_file(file)
    else:
        found = _weights.demo() if weights == "demo" else _weights.inception5h()
    network = InceptionV1.from_state_dict(found.state, norm=norm)
    return InceptionModel("inceptionv1", found.name, found.sha256, network, device)


@cache
def _torchvision_names() -> list[str]:
    from gc_utils._torchvision import torchvision

    return torchvision.models.list_models(module=torchvision.models)


def _torchvision_file(entry: Any) -> Path:
    return _weights.cache_folder() / entry.url.rsplit("/", 1)[-1]


def _load_torchvision(name: str, weights: str, device: torch.device, seed: int = 0) -> Model:
    from gc_utils._torchvision import torchvision

    entries = torchvision.models.get_model_weights(name)
    choose(weights, [*entries.__members__, "random"], f"{name} weights")
    scale = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
    if weights == "random":
        # These two warn unless told how to start.
        extra = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            network = torchvision.models.get_model(name, weights=None, **extra)
        checksum = _weights.state_sha256(network.state_dict())
    else:
        entry = entries[weights]
        path = _torchvision_file(entry)
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


class AvailableWeights(NamedTuple):
    """One line of `python -m gc_utils weights`."""

    model: str
    weights: str
    status: str  # in the package, missing, cached, to download, made on the spot
    path: str  # where it is, or will be cached
    checksum: str  # what the file's is, or must be
    source: str


def available_weights() -> list[AvailableWeights]:
    """Which weights there are, where they are cached, their checksums.

    Of torchvision's weights those that are cached are listed, and one line stands for the rest.
    """
    from gc_utils._torchvision import torchvision

    try:
        status, checksum = "in the package", f"sha256 {_weights.demo().sha256}"
    except UserError:
        status, checksum = "missing", ""
    path = _weights.cache_folder() / "inception5h.pth"
    cached = path.is_file() and _weights.git_blob_id(path.read_bytes()) == _weights.INCEPTION5H_BLOB
    rows = [
        ("inceptionv1", "demo", status, "", checksum, "trained for this project"),
        (
            "inceptionv1",
            "inception5h",
            "cached" if cached else "to download",
            str(path),
            f"git blob {_weights.INCEPTION5H_BLOB}",
            _weights.INCEPTION5H_URL,
        ),
        ("inceptionv1", "random", "made on the spot", "", "", "He normal, by seed"),
        ("filter_bank", "analytic", "made on the spot", "", "", "formulas"),
    ]
    for name in _torchvision_names():
        for entry in torchvision.models.get_model_weights(name):
            path = _torchvision_file(entry)
            if path.is_file():
                checksum = f"sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}"
                rows.append((name, entry.name, "cached", str(path), checksum, entry.url))
    rows.append(
        (
            "any torchvision classifier",
            "DEFAULT, or random",
            "to download",
            str(_weights.cache_folder()),
            "sha256, its beginning in the file's name",
            "download.pytorch.org",
        )
    )
    return [AvailableWeights(*row) for row in rows]
