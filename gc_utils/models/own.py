"""A network of one's own, `MODULE:FACTORY`: imported and executed, so name only code you trust."""

from __future__ import annotations

import importlib
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

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
_LIBRARY = sysconfig.get_path("stdlib")


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
        UserError: no such module or function, it fails, calls `sys.exit`, or returns something else
            or a network that cannot be read (TorchScript, modules that are not initialised).
    """
    weights = choose(weights or "own", WEIGHTS, f"{name} weights")
    module_name, _, factory = name.partition(":")
    meant = meant_name(name)
    written_out = module_name.endswith(".py") and meant  # with the ending of its file
    if written_out or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", name):
        raise UserError(
            f"model {name!r}{f': did you mean {meant!r}?' if meant else ':'} A network of your own "
            "is named MODULE:FACTORY, as 'nets:make' for the function make in nets.py."
        )
    module = _module(module_name)
    made = getattr(module, factory, None)
    if not callable(made):
        there = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        if not there:
            raise UserError(
                f"the module {module_name!r} ({module.__file__}) has no functions: the factory "
                f"{factory!r} is to be one that returns the network."
            )
        choose(factory, there, f"factory in {module_name!r}")
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        network = _checked(_executed(made, name), name).float()
        if weights == "random" and file is None:
            _executed(partial(_reset, network), f"{name} (weights 'random')")
    if file is not None:
        found = read_state(file)
        fill(network, found, name)
        weights, checksum = found.name, found.sha256
    else:
        checksum = _checksum(network, name)
    return HookedModel(name, weights, checksum, network, device, ([0.0] * 3, [1.0] * 3))


def meant_name(name: str) -> str | None:
    """What a module of one's own is called as a model, where its file was named: `nets:make`.

    Args:
        name: `"nets"`, `"nets.py"`, `"nets.py:make"` or `"./nets.py:make"`.

    Returns:
        `"nets:make"`, or `"nets:FACTORY"` if no function was named; None if there is no such file
        in the folders where modules are looked for.
    """
    stem, _, factory = name.partition(":")
    bare = stem.removesuffix(".py")
    path = Path(bare if bare != stem or "/" in bare else bare.replace(".", "/"))
    if not path.parts or not all(part.isidentifier() for part in path.parts):
        return None
    if not any(os.path.isfile(os.path.join(folder, f"{path}.py")) for folder in _folders()):
        return None
    return f"{'.'.join(path.parts)}:{factory or 'FACTORY'}"


def _reset(network: nn.Module) -> None:
    for part in network.modules():
        if callable(reset := getattr(part, "reset_parameters", None)):
            reset()


def _checksum(network: nn.Module, name: str) -> str:
    try:
        return _weights.state_sha256(network.state_dict())
    except (RuntimeError, NotImplementedError, TypeError) as error:  # sparse, quantised, meta
        raise UserError(
            f"the parameters of {name!r} cannot be read ({_told(error)}): they have to be plain "
            "tensors."
        ) from error


def _executed(call: Callable[[], Any], name: str) -> Any:
    """What somebody's own code returns; however it fails, the command line goes on to say so."""
    try:
        return call()
    except SystemExit as error:
        raise UserError(
            f"{name!r} called sys.exit ({_told(error)}): it has to return the network, or to raise "
            "an error."
        ) from error
    except Exception as error:
        hint = ""
        if isinstance(error, TypeError) and not _frames(error):  # the call, and nothing inside it
            hint = ". It is called without arguments: give those that it needs a default"
        raise UserError(f"{name!r} failed: {_told(error)}{hint}") from error


def _checked(network: Any, name: str) -> nn.Module:
    """What a factory returned, if it is a network whose modules can be read."""
    if not isinstance(network, nn.Module):
        raise UserError(
            f"{name!r} returned {type(network).__name__}, not a torch.nn.Module: the factory is "
            "called without arguments and returns the network."
        )
    if isinstance(network, torch.jit.ScriptModule):
        raise UserError(
            f"{name!r} returned a TorchScript module, whose modules cannot be read: return the "
            "network without torch.jit.script or torch.jit.trace."
        )
    tensors = [*network.named_parameters(), *network.named_buffers()]
    if lazy := [key for key, value in tensors if is_lazy(value)]:
        raise UserError(
            f"{name!r} returned a network that is not initialised ({', '.join(lazy[:3])}"
            f"{', …' if len(lazy) > 3 else ''}): write its lazy modules with the number of "
            "channels, or apply it once to an image in the factory, as "
            "network(torch.zeros(1, 3, 224, 224))."
        )
    return network


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
    except SystemExit as error:
        raise UserError(
            f"the module {name!r} called sys.exit ({_told(error)}) when it was imported: put what "
            "it does as a program under `if __name__ == '__main__':`."
        ) from error
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise UserError(
                f"no module {error.name!r} (model {name + ':…'!r}): looked in "
                f"{', '.join(map(repr, dict.fromkeys(folders)))} and among the installed packages."
            ) from error
        raise UserError(f"the module {name!r} cannot be imported: {_told(error)}") from error


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Where an error came through, without this file and Python's own importing."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f for f in frames if f.filename != __file__ and not f.filename.startswith("<frozen")]


def _told(error: BaseException) -> str:
    """An error of somebody's own code, with the place where it was raised."""
    if isinstance(error, SyntaxError) and error.filename:
        # Its place is the line that cannot be read, not the import that reads it.
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    frames = _frames(error)
    if isinstance(error, SystemExit):  # raised by the code that called sys.exit, or by argparse
        frames = [f for f in frames if not f.filename.startswith(_LIBRARY)] or frames
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    said = f": {error}" if str(error) else ""
    return f"{type(error).__name__}{said}{place}"
