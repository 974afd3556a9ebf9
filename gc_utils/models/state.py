"""Weights of any network from a file at hand."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
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
    if not path.is_file():
        raise UserError(f"there is no weights file {str(path)!r}.")
    data = path.read_bytes()
    try:
        if path.suffix == ".safetensors":
            state: Any = safetensors.torch.load(data)
        else:
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (safetensors.SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"the weights {str(path)!r} cannot be read ({reason}): expected a .safetensors, or a "
            "state dict that torch.load opens with weights_only=True."
        ) from error
    for name in WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(name), dict):
            state = state[name]
    if not isinstance(state, dict) or not state or not all(map(_is_tensor, state.values())):
        raise UserError(f"{str(path)!r} holds no state dict, that is, no tensors by name.")
    if all(key.startswith("module.") for key in state):  # trained on several GPUs
        state = {key.removeprefix("module."): value for key, value in state.items()}
    return Weights(path.name, dict(state), hashlib.sha256(data).hexdigest())


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def fill(network: nn.Module, weights: Weights, name: str) -> None:
    """Give a network the weights of a file, all of them.

    Args:
        network: changed in place.
        weights: from `read_state`.
        name: of the model, for the message.

    Raises:
        UserError: parameters are missing, unexpected, or of another shape; names some.
    """
    own, state = network.state_dict(), weights.state
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
    said = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})"
        for what, keys in faults.items()
        if keys
    ]
    if said:
        raise UserError(f"{weights.name!r} has not the weights of {name!r}: {'; '.join(said)}.")
    network.load_state_dict(state, strict=False)
