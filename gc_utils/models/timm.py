"""Networks of timm, `timm:NAME`, cut at any of their modules.

timm is an extra of this package (`gc_utils[timm]`). Nothing is downloaded but weights that are
asked for.
"""

from __future__ import annotations

import difflib
import os
import re
from functools import partial
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gc_utils.errors import UserError, choose
from gc_utils.models import weights as _weights
from gc_utils.models.base import Model
from gc_utils.models.cut import HookedModel
from gc_utils.models.state import fill, read_state, without_prefix

PREFIX = "timm:"


def load_timm(
    name: str,
    weights: str | None,
    file: str | os.PathLike[str] | None,
    device: torch.device,
    seed: int = 0,
) -> Model:
    """A network of timm, with the mean and the standard deviation that it was trained with.

    Args:
        name: `"timm:resnet18"`, or with the tag of its weights, `"timm:resnet18.a1_in1k"`.
        weights: `"DEFAULT"` for timm's pretrained ones, the tag of others, or `"random"`.
        file: weights at hand in their place, see `read_state`; those of an EfficientNet with the
            names of the package efficientnet_pytorch are renamed.
        device: where it computes.
        seed: of random weights.

    Raises:
        UserError: no timm, no such network or weights, weights that cannot be had or do not fit.
    """
    timm = _timm()
    known, dot, tag = name.removeprefix(PREFIX).partition(".")
    if known not in timm.list_models():
        near = difflib.get_close_matches(known, timm.list_models(), n=5, cutoff=0.4)
        raise UserError(
            f"unknown timm model {known!r}; the nearest of {len(timm.list_models())}: "
            f"{', '.join(near) or 'none'}."
        )
    tags = [n.partition(".")[2] for n in timm.list_models(f"{known}.*", pretrained=True)]
    if dot:
        choose(tag, tags, f"tag of timm's {known}")
    if file is not None:
        found = read_state(file)
        # No network of timm has a part of the name `model`.
        found = found._replace(state=without_prefix(found.state))
        network = _network(timm, known, tag, seed, _renamed(found.state))
        fill(network, found._replace(state=_renamed(found.state, network)), name)
        weights, checksum = found.name, found.sha256
    elif choose(weights or "DEFAULT", ["DEFAULT", *tags, "random"], f"{name} weights") == "random":
        network, weights = _network(timm, known, tag, seed), "random"
        checksum = _weights.state_sha256(network.state_dict())
    else:
        asked = tag if weights in (None, "DEFAULT") else weights
        network = _pretrained(timm, f"{known}.{asked}" if asked else known)
        weights = network.pretrained_cfg.get("tag") or "DEFAULT"
        checksum = _weights.state_sha256(network.state_dict())
    made = network.pretrained_cfg
    _fix_padding(network)
    scale = made["mean"], made["std"]
    return HookedModel(name, weights, checksum, network, device, scale, made["input_size"][-1])


def _timm() -> ModuleType:
    # timm imports torchvision, which needs help beside a CPU build of torch.
    import gc_utils._torchvision  # noqa: F401

    try:
        import timm
    except ImportError as error:
        raise UserError(
            f"models named 'timm:NAME' need the package timm ({error}): "
            "pip install timm, or the extra 'gc_utils[timm]'."
        ) from error
    return timm


def _network(
    timm: ModuleType, known: str, tag: str, seed: int, state: dict[str, Tensor] | None = None
) -> nn.Module:
    """The network with random weights, with as many classes as a state dict has."""
    name, options = f"{known}.{tag}" if tag else known, {}
    head = timm.get_pretrained_cfg_value(name, "classifier")
    if state and isinstance(head, str) and f"{head}.weight" in state:
        options["num_classes"] = len(state[f"{head}.weight"])
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return timm.create_model(name, **options)


def _pretrained(timm: ModuleType, name: str) -> nn.Module:
    try:
        return timm.create_model(name, pretrained=True)
    except Exception as error:  # what a failed download raises depends on the hub's version
        reason = (str(error).strip().splitlines() or [""])[0]
        raise UserError(
            f"cannot get timm's weights of {name!r} ({type(error).__name__}: {reason}). Get them "
            "where there is a network and give the file with --weights-file FILE "
            "(weights_file=...). Without it: weights 'random'."
        ) from error


# --- padding -------------------------------------------------------------------------------------


# timm's modules that pad by the image's size, and what they pad with; not all are public there.
_SAME = {"Conv2dSame": 0.0, "MaxPool2dSame": -torch.inf, "AvgPool2dSame": 0.0}


def _fix_padding(network: nn.Module) -> None:
    """Make TensorFlow's "SAME" padding the one for even sizes, whatever the size of the image.

    Computed from the size, it would shift the units' lattice between even and odd sizes, and no
    unit would be at the centre of an odd crop. For images whose sides all strides divide, nothing
    changes.
    """
    for name, module in list(network.named_modules()):
        if type(module).__name__ in _SAME:
            size, stride = _two(module.kernel_size), _two(module.stride)
            dilation = _two(getattr(module, "dilation", 1))
            amounts = []
            for k, s, d in reversed(list(zip(size, stride, dilation, strict=True))):
                total = max((k - 1) * d + 1 - s, 0)
                amounts += [total // 2, total - total // 2]
            plain = _without_padding(module)
            plain.register_forward_pre_hook(partial(_pad, amounts, _SAME[type(module).__name__]))
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, plain)


def _two(value: Any) -> tuple[int, int]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def _without_padding(module: Any) -> nn.Module:
    if isinstance(module, nn.MaxPool2d):
        return nn.MaxPool2d(module.kernel_size, module.stride, 0, module.dilation)
    if isinstance(module, nn.AvgPool2d):
        return nn.AvgPool2d(module.kernel_size, module.stride, 0)
    plain = nn.Conv2d(
        *(module.in_channels, module.out_channels, module.kernel_size, module.stride),
        dilation=module.dilation,
        groups=module.groups,
        bias=module.bias is not None,
    )
    plain.weight, plain.bias = module.weight, module.bias
    return plain


def _pad(amounts: list[int], value: float, module: nn.Module, arguments: tuple) -> Tensor:
    return F.pad(arguments[0], amounts, value=value)


# --- names ---------------------------------------------------------------------------------------

# The package efficientnet_pytorch numbers the blocks through, and counts normalisations from 0
# where a block expands, from 1 where it does not.
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
_OUTSIDE |= {"_fc": "classifier"}
_EXPANDED = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw"}
_EXPANDED |= {"_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}
_PLAIN = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_SQUEEZE = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}


def _renamed(state: dict[str, Tensor], network: nn.Module | None = None) -> dict[str, Tensor]:
    """Weights of efficientnet_pytorch under timm's names; others as they are.

    Args:
        state: weights by name.
        network: timm's, which divides the blocks into stages; None leaves the blocks' numbers.
    """
    if not any(key.startswith("_blocks.") for key in state):
        return state
    own = network.state_dict() if network else {}
    blocks = list(dict.fromkeys(m[0] for k in own if (m := re.match(r"blocks\.\d+\.\d+", k))))
    found = {}
    for key, value in state.items():
        inside = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
        if inside is None:
            part, _, rest = key.partition(".")
            found[f"{_OUTSIDE.get(part, part)}.{rest}"] = value
            continue
        number, part, rest = inside.groups()
        expanded = f"_blocks.{number}._expand_conv.weight" in state
        names = (_EXPANDED if expanded else _PLAIN) | _SQUEEZE
        block = blocks[int(number)] if int(number) < len(blocks) else f"blocks.{number}"
        found[f"{block}.{names.get(part, part)}.{rest}"] = value
    return found
