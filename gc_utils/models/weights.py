"""Where weights come from: the package, a file, or a download that is checked and cached."""

from __future__ import annotations

import hashlib
import io
import json
import os
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch

from gc_utils.downloads import fetch
from gc_utils.errors import UserError
from gc_utils.files import git_blob_id
from gc_utils.models.architecture import BVLC_GOOGLENET, INCEPTION5H, Architecture, Norm
from gc_utils.models.raw_files import bvlc_googlenet, declared
from gc_utils.progress import progress_bar

INCEPTION5H_URL = (
    "https://github.com/ProGamerGov/pytorch-old-tensorflow-models/raw/master/inception5h.pth"
)
INCEPTION5H_BLOB = "119f77db85c8352960933e025312b507d9a96ed7"


class Weights(NamedTuple):
    """A state dict, its name, the sha256 of the file that it came from, and the network it is of.

    `norm` is what the file says of its normalisation; None if it says nothing.
    """

    name: str
    state: dict[str, torch.Tensor]
    sha256: str
    architecture: Architecture = INCEPTION5H
    norm: Norm | None = None


def state_sha256(state: dict[str, torch.Tensor]) -> str:
    """sha256 of a state dict's names, types, shapes and bytes: for weights that no file holds."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where torch keeps downloaded weights (`TORCH_HOME` moves it)."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def demo() -> Weights:
    """The weights that the package carries: InceptionV1's first layers, trained for this project.

    Raises:
        UserError: if this installation lacks them.
    """
    # The name in full: `gc_utils.closure` sees by it that results depend on this file.
    file = resources.files("gc_utils") / "weights" / "demo.safetensors"
    if not file.is_file():
        raise UserError(
            "this installation lacks the demo weights (gc_utils/weights/demo.safetensors); "
            "install the package again, or use weights='random'."
        )
    return _safetensors("demo", file.read_bytes())


def inception5h() -> Weights:
    """The public InceptionV1 weights, from the cache or downloaded with a progress bar.

    A cached file that is not, or no longer, the one expected is fetched again.

    Raises:
        UserError: if they cannot be had, with the address, the checksum and what to do.
    """
    path = cache_folder() / "inception5h.pth"
    data = path.read_bytes() if path.is_file() else b""
    if git_blob_id(data) != INCEPTION5H_BLOB:
        with progress_bar(desc=path.name, unit="B", unit_scale=True) as bar:
            data = fetch(INCEPTION5H_URL, path, _not_inception5h, _otherwise(path), bar)
    return _pickled("inception5h", data)


def _not_inception5h(data: bytes) -> str:
    found = git_blob_id(data)
    expected = f"is not the file expected: its git blob id is {found}, not {INCEPTION5H_BLOB}"
    return "" if found == INCEPTION5H_BLOB else expected


def _otherwise(path: Path) -> str:
    return (
        f"Get {INCEPTION5H_URL} (git blob id {INCEPTION5H_BLOB}) where there is a network, then "
        "give it with --weights-file FILE (weights_file=...) or put it at "
        f"{path}. Without it: weights 'demo'."
    )


def from_file(file: str | os.PathLike[str], asked: str | None = None) -> Weights:
    """Weights from a file at hand.

    Args:
        file: a copy of `inception5h.pth`, or a `.safetensors`. Its metadata may name its
            `architecture` (`inception5h` or `bvlc_googlenet`) and `norm` (see `write_weights`);
            without an architecture it has to have inception5h's parameter names and counts as that.
        asked: name of the weights that were asked for, if any: what to do is said first for those.

    Raises:
        UserError: if there is no such file, or it is neither; a copy of `inception5h.pth` must be
            that very file, because a pickle is opened only if we know it. Also if a `.safetensors`
            holds BVLC GoogLeNet's parameters and does not say so, with their normalisation: with
            inception5h's they would compute something else.
    """
    path = Path(file).expanduser()
    if not path.exists():
        raise UserError(
            f"there is no weights file {str(path)!r}: name a copy of inception5h.pth, a "
            ".safetensors or the folder of bvlc_googlenet's files, or leave weights_file out."
        )
    if not path.is_file():
        what = "a folder" if path.is_dir() else "a device"
        raise UserError(f"{str(path)!r} is {what}, not a weights file: name a file.")
    data = path.read_bytes()
    if path.suffix == ".safetensors":
        return _safetensors(path.name, data)
    if (found := git_blob_id(data)) != INCEPTION5H_BLOB:
        if folder := bvlc_googlenet().folder_of(path):
            raise UserError(
                f"{str(path)!r} is one file of the weights 'bvlc_googlenet': give the folder that "
                f"holds them all, {str(folder)!r}."
            )
        if asked == "bvlc_googlenet":
            raise UserError(
                f"{str(path)!r} is not the weights 'bvlc_googlenet': give the folder with their "
                f"files, a copy of {bvlc_googlenet().url}, or a .safetensors that "
                "gc_utils.models.write_weights wrote."
            )
        raise UserError(
            f"{str(path)!r} is not inception5h.pth: its git blob id is {found}, expected "
            f"{INCEPTION5H_BLOB} ({INCEPTION5H_URL}). For weights of your own give a .safetensors "
            "file with the same parameter names, for 'bvlc_googlenet' the folder with its files."
        )
    return _pickled("inception5h", data)


def _safetensors(name: str, data: bytes) -> Weights:
    try:
        state = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise UserError(
            f"the weights {name!r} cannot be read ({error}): name a whole .safetensors."
        ) from error
    architecture, norm = declared(_metadata(data), name)
    published = bvlc_googlenet()
    theirs = state.keys() & BVLC_GOOGLENET.parameters("logits").keys()
    sums = set(published.sums.values())
    biases = (value.float().numpy().tobytes() for value in state.values() if value.ndim == 1)
    copied = any(hashlib.sha256(bias).hexdigest() in sums for bias in biases)  # under other names
    if architecture is not BVLC_GOOGLENET and (theirs or copied):
        says = f"it is of {architecture.name!r}" if architecture else "nothing of its architecture"
        raise UserError(
            f"{name!r} holds parameters of 'bvlc_googlenet', and its metadata says {says}: they "
            "would be run with another padding, input and normalisation. Give the folder with the "
            "published files, which is converted for you, or write the file with "
            "gc_utils.models.write_weights."
        )
    if architecture and norm is None:
        raise UserError(
            f"{name!r} says that it is of {architecture.name!r} and nothing of its normalisation: "
            "write it with gc_utils.models.write_weights."
        )
    if architecture is BVLC_GOOGLENET and all(published.is_own(n, v) for n, v in state.items()):
        if norm != architecture.norm:
            raise UserError(
                f"{name!r} says that the published 'bvlc_googlenet' was trained with {norm}; it "
                f"was with {architecture.norm}."
            )
        return Weights("bvlc_googlenet", state, published.checksum, architecture, norm)
    sha256 = hashlib.sha256(data).hexdigest()
    return Weights(name, state, sha256, architecture or INCEPTION5H, norm)


def _metadata(data: bytes) -> dict[str, str]:
    """The metadata of a safetensors file: its header is JSON, behind eight bytes for the length."""
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return header.get("__metadata__") or {}


def _pickled(name: str, data: bytes) -> Weights:
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return Weights(name, dict(state), hashlib.sha256(data).hexdigest())
