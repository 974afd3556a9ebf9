"""Weights of any network from a file at hand."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from gc_utils.errors import UserError
from gc_utils.models.weights import Weights

WRAPPERS = ("state_dict", "model", "model_state_dict")  # what training scripts put around weights


def read_state(file: str | os.PathLike[str]) -> Weights:
    """A state dict from a file; nothing in it is executed.

    Args:
        file: a `.safetensors`, or what `torch.save` wrote (`.pth`, `.pt`, `.bin`), the state dict
            itself or under the key `state_dict` or `model`.

    Raises:
        UserError: there is no such file, it cannot be read, or it holds something else.
    """
    path = Path(file).expanduser()
    if path.is_dir():
        raise UserError(f"{str(path)!r} is a folder, not a weights file: name a file in it.")
    if not path.is_file():
        raise UserError(f"there is no weights file {str(path)!r}.")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"the weights {str(path)!r} cannot be read: {error}.") from error
    try:
        if path.suffix == ".safetensors":
            state: Any = safetensors.torch.load(data)
        else:
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes the reader stumble over
        reason = _unreadable(data, error)
        raise UserError(
            f"the weights {str(path)!r} cannot be read: {reason}. Expected a .safetensors, or a "
            "state dict that torch.load opens with weights_only=True."
        ) from error
    for name in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict) or not state or not all(map(_is_named_tensor, state.items())):
        raise UserError(
            f"{str(path)!r} holds no state dict, that is, no tensors by name: save "
            "network.state_dict()."
        )
    if all(key.startswith("module.") for key in state):  # trained on several GPUs
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return Weights(path.name, dict(state), hashlib.sha256(data).hexdigest())


def _is_named_tensor(item: tuple[Any, Any]) -> bool:
    return isinstance(item[0], str) and isinstance(item[1], Tensor)


# How files begin that are taken for weights by mistake, and what they are.
_BEGINNINGS = {
    b"version https://git-lfs": "a pointer of Git LFS: fetch the file that it stands for",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a gzip archive: unpack it",
    b"<": "HTML or XML, as of a download that failed",
    b"{": "JSON or other text",
    b"[": "JSON or other text",
}


def _unreadable(data: bytes, error: Exception) -> str:
    """Why a file is not read.

    torch's own message is not repeated: it advises to open the file without its safeguard, which
    executes what is in it, and does so for pictures too.
    """
    if not data:
        return "it is empty"
    if isinstance(error, safetensors.SafetensorError):
        return " ".join(str(error).split()) or "it is no safetensors file"
    if found := re.search(r"GLOBAL ([\w.]{1,80})", str(error)):
        return (
            f"it holds {found[1]}, which is not a tensor, and is opened only by executing code; "
            "save network.state_dict() alone"
        )
    if "TorchScript" in str(error):
        return "it is a TorchScript archive; save network.state_dict()"
    if data.startswith(b"PK"):
        return "it is a damaged or incomplete file, or a zip archive of something else"
    if data[8:10] == b'{"':
        return "it is no PyTorch weights file; it looks like a .safetensors, and is not named so"
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    kind = next((kind for begin, kind in _BEGINNINGS.items() if start.startswith(begin)), None)
    if kind is None and all(32 <= byte < 127 or byte in b"\t\r\n" for byte in data[:512]):
        kind = "text"
    return f"it is no PyTorch weights file{f'; it looks like {kind}' if kind else ', or damaged'}"


def without_prefix(state: Mapping[str, Tensor], names: Container[str] = ()) -> dict[str, Tensor]:
    """Weights without the `model.` that training frameworks (Lightning) put before each name.

    Args:
        state: weights by name.
        names: of the network's own parameters. If any name is one of them, nothing is changed: the
            network itself has a module of that name.
    """
    if all(key.startswith("model.") and key not in names for key in state):
        return {key.removeprefix("model."): value for key, value in state.items()}
    return dict(state)


def fill(network: nn.Module, weights: Weights, name: str) -> None:
    """Give a network the weights of a file, all of them.

    Names that all begin with `model.` are taken without it, where they fit then.

    Args:
        network: changed in place.
        weights: from `read_state`.
        name: of the model, for the message.

    Raises:
        UserError: parameters are missing, unexpected, or of another shape; names some.
    """
    own = network.state_dict()
    bare = without_prefix(weights.state, own)
    state = bare if bare.keys() & own.keys() else weights.state
    if said := _faults(own, state):
        raise UserError(f"{weights.name!r} has not the weights of {name!r}: {'; '.join(said)}.")
    network.load_state_dict(state, strict=False)


def _faults(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """What keeps weights from being a network's own, in words."""
    faults = {
        "missing": [key for key in own if key not in state],
        "unexpected": [key for key in state if key not in own],
        "of another shape": [
            f"{key} {tuple(state[key].shape)}, not {tuple(value.shape)}"
            for key, value in own.items()
            if key in state and state[key].shape != value.shape
        ],
    }
    # BatchNorm counts its batches, for training only.
    faults["missing"] = [k for k in faults["missing"] if not k.endswith("num_batches_tracked")]
    return [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
        for what, keys in faults.items()
        if keys
    ]
