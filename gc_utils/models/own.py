"""A network of one's own, `MODULE:FACTORY`: imported and executed, so name only code you trust."""

from __future__ import annotations

import importlib
import os
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from gc_utils.errors import UserError, choose
from gc_utils.models import weights as _weights
from gc_utils.models.base import Model
from gc_utils.models.cut import HookedModel
from gc_utils.models.state import fill, read_state

FOLDER = "GC_UTILS_MODULES"
"""Environment variable with the folder that modules are looked for in, before the current one.

The runner sets it to the folder that the command runs in: a notebook's kernel starts elsewhere.
"""
WEIGHTS = ("own", "random")


def load_own(
    name: str,
    weights: str | None,
    file: str | os.PathLike[str] | None,
    device: torch.device,
    seed: int = 0,
) -> Model:
    """The network that a person's own function makes.

    The function is called without arguments, after `torch.manual_seed(seed)`, and returns a module
    that takes RGB in [0, 1], `(B, 3, H, W)` float32 of any size, and scales it itself. Each
    module inside that it applies once is a layer.

    Args:
        name: `"MODULE:FACTORY"`, such as `"nets:make"` for the function `make` in `nets.py`.
        weights: `"own"` for those that the function gives, which count as trained on photographs:
            nothing is known of them here; `"random"` to initialise every module that can be
            (`reset_parameters`) anew, and no claim about networks is tested then.
        file: a state dict that is loaded into the network, see `read_state`.
        device: where it computes.
        seed: of the random numbers that the function may draw, and of random weights.

    Raises:
        UserError: no such module or function, it fails, or returns something else.
    """
    weights = choose(weights or "own", WEIGHTS, f"{name} weights")
    module_name, _, factory = name.partition(":")
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", name):
        raise UserError(
            f"model {name!r}: a network of your own is named MODULE:FACTORY, as 'nets:make' for "
            "the function make in nets.py."
        )
    module = _module(module_name)
    made = getattr(module, factory, None)
    if not callable(made):
        there = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        choose(factory, there, f"factory in {module_name!r}")
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        try:
            network: Any = made()
        except Exception as error:
            raise UserError(f"{name!r} failed: {_told(error)}") from error
        if weights == "random" and file is None and isinstance(network, nn.Module):
            for part in network.modules():
                if callable(reset := getattr(part, "reset_parameters", None)):
                    reset()
    if not isinstance(network, nn.Module):
        raise UserError(
            f"{name!r} returned {type(network).__name__}, not a torch.nn.Module: the factory is "
            "called without arguments and returns the network."
        )
    network = network.float()
    checksum = None
    if file is not None:
        found = read_state(file)
        fill(network, found, name)
        weights, checksum = found.name, found.sha256
    checksum = checksum or _weights.state_sha256(network.state_dict())
    return HookedModel(name, weights, checksum, network, device, ([0.0] * 3, [1.0] * 3))


def _folders() -> list[str]:
    """Where modules are looked for: the command's folder, the current one, the repository's."""
    here = Path.cwd()
    # Opened by hand in JupyterLab, a notebook runs in its own folder.
    beside = [str(here.parent)] if here.name == "notebooks" else []
    given = os.environ.get(FOLDER)
    return [*([given] if given else []), str(here), *beside]


def _module(name: str) -> ModuleType:
    folders = _folders()
    for folder in reversed(folders):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise UserError(
                f"no module {error.name!r} (model {name + ':…'!r}): looked in "
                f"{', '.join(map(repr, dict.fromkeys(folders)))} and among the installed packages."
            ) from error
        raise UserError(f"the module {name!r} cannot be imported: {_told(error)}") from error


def _told(error: Exception) -> str:
    """An error of somebody's own code, with the place where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
