"""Weights published as raw files, one a parameter: read from a folder, or fetched and cached.

BVLC GoogLeNet can be had in this form. Filters lie as (out, y, x, in), biases as (out,), both in
little-endian float32 and without a header, so that the description of the network gives the shapes
and a table of sha256 says which bytes are the right ones. Only the files that a layer needs are
read or fetched. In the cache they are kept as one safetensors whose metadata names the network
and its normalisation.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gc_utils.downloads import cannot_keep, fetch
from gc_utils.errors import UserError
from gc_utils.files import write_whole
from gc_utils.models.architecture import ARCHITECTURES, BVLC_GOOGLENET, Architecture, Norm
from gc_utils.progress import progress_bar


@dataclass(frozen=True)
class RawWeights:
    """A published set of raw files.

    Attributes:
        architecture: the network that they belong to; its name is that of the weights.
        sums: file's path in the set → its sha256.
        url: address of the folder that holds them.
        licence: what their authors allow.
    """

    architecture: Architecture
    sums: Mapping[str, str]
    url: str
    licence: str

    @property
    def checksum(self) -> str:
        """sha256 of the table of checksums: the same from wherever and as far as files are read."""
        table = "".join(f"{self.sums[path]}  {path}\n" for path in sorted(self.sums))
        return hashlib.sha256(table.encode()).hexdigest()

    def file_of(self, parameter: str) -> str:
        """Path in the set of the file that holds a parameter."""
        module, _, part = parameter.rpartition(".")
        return f"{module}_{'filter' if part == 'weight' else 'bias'}.bin"

    def folder_of(self, file: Path) -> Path | None:
        """The folder of the whole set, from one of its files; None for other files."""
        file = file.absolute()
        for path in self.sums:
            if file.as_posix().endswith(f"/{path}"):
                return file.parents[path.count("/")]
        return None

    def from_folder(self, folder: Path, layer: str) -> dict[str, Tensor]:
        """All parameters that a layer needs, from a folder that holds the files.

        Args:
            folder: laid out like the published one.
            layer: the layer to reach.

        Raises:
            UserError: a file is missing, or is not the one expected.
        """
        state = {}
        for name, shape in self.architecture.parameters(layer).items():
            path = folder / self.file_of(name)
            if not path.is_file():
                raise UserError(
                    f"there is no {self.file_of(name)!r} in {str(folder)!r}, which {layer!r} needs "
                    f"of the weights {self.architecture.name!r}: expected a copy of {self.url} "
                    f"({len(self.sums)} files)."
                )
            data = path.read_bytes()
            if problem := self._problem(name, data):
                raise UserError(f"{path} {problem}. Get it from {self.url}.")
            state[name] = _decoded(data, shape)
        return state

    def from_cache(self, layer: str, file: Path, progress: bool = True) -> dict[str, Tensor]:
        """All parameters that a layer needs, fetched as far as the cached file lacks them.

        Files that were fetched before an interruption are not fetched again.

        Args:
            layer: the layer to reach.
            file: the safetensors in which they are kept.
            progress: show a bar.

        Raises:
            UserError: a file cannot be had, or is not the one expected. What was fetched before it
                is kept.
        """
        state = self.cached(file)
        shapes = self.architecture.parameters(layer)
        missing = [name for name in shapes if name not in state]
        if missing:
            parts = file.with_name(f"{file.name}.parts")
            try:
                state |= self._fetched(missing, parts, file, progress)
                # Another process may have brought more in the meantime.
                state = self.cached(file) | state
                write_weights(file, state, self.architecture, licence=self.licence, source=self.url)
            except OSError as error:
                raise cannot_keep(file, error) from error
            _clear(parts, [self.sums[self.file_of(name)] for name in missing])
        return {name: state[name] for name in shapes}

    def cached(self, file: Path) -> dict[str, Tensor]:
        """The parameters in the cached file whose bytes are the published ones."""
        with suppress(OSError, safetensors.SafetensorError, UserError):
            with safetensors.safe_open(file, "pt") as opened:
                metadata = opened.metadata() or {}
                state = {name: opened.get_tensor(name) for name in opened.keys()}
            architecture, norm = declared(metadata, str(file))
            if architecture and architecture.name == self.architecture.name:
                if norm == self.architecture.norm:
                    return {n: value for n, value in state.items() if self.is_own(n, value)}
        return {}

    def is_own(self, name: str, value: Tensor) -> bool:
        """Whether a parameter is the published one, to the last bit."""
        expected = self.sums.get(self.file_of(name))
        return expected is not None and hashlib.sha256(_encoded(value)).hexdigest() == expected

    def _fetched(
        self, names: list[str], parts: Path, file: Path, progress: bool
    ) -> dict[str, Tensor]:
        shapes = self.architecture.parameters("logits")
        sizes = {name: 4 * math.prod(shapes[name]) for name in names}
        state = {}
        with progress_bar(
            desc=f"{self.architecture.name} weights",
            total=sum(sizes.values()),
            unit="B",
            unit_scale=True,
            disable=not progress,
        ) as bar:
            for name in names:
                # By its checksum: what an interrupted fetch left is used only if it is right.
                part = parts / self.sums[self.file_of(name)]
                data = part.read_bytes() if part.is_file() else b""
                if hashlib.sha256(data).hexdigest() != part.name:
                    url = f"{self.url}/{self.file_of(name)}"
                    problem = partial(self._problem, name)
                    data = fetch(url, part, problem, self._otherwise(name, file))
                state[name] = _decoded(data, shapes[name])
                bar.update(sizes[name])
        return state

    def _problem(self, name: str, data: bytes) -> str:
        """What is wrong with the bytes of a file; empty if they are the published ones."""
        expected, found = self.sums[self.file_of(name)], hashlib.sha256(data).hexdigest()
        if found == expected:
            return ""
        size = 4 * math.prod(self.architecture.parameters("logits")[name])
        return (
            f"is not the file expected: it has {len(data):,} bytes of {size:,}, its sha256 is "
            f"{found}, not {expected}"
        )

    def _otherwise(self, name: str, file: Path) -> str:
        return (
            f"Its sha256 is {self.sums[self.file_of(name)]}. Ask again to go on where this "
            f"stopped; or get the folder {self.url} where there is a network and give it with "
            f"--weights-file FOLDER (weights_file=...), or put a copy of {file.name} from another "
            f"computer at {file}. Without it: weights 'demo'."
        )


@cache
def bvlc_googlenet() -> RawWeights:
    """BVLC GoogLeNet, trained on ImageNet by Sergio Guadarrama (BVLC, Caffe's model zoo).

    Raises:
        UserError: if this installation lacks the table of checksums.
    """
    # The name in full: `gc_utils.closure` sees by it that results depend on this file.
    table = resources.files("gc_utils") / "weights" / "bvlc_googlenet.sha256"
    if not table.is_file():
        raise UserError(
            "this installation lacks gc_utils/weights/bvlc_googlenet.sha256; install the package "
            "again."
        )
    lines = (line.split(maxsplit=1) for line in table.read_text(encoding="utf-8").splitlines())
    return RawWeights(
        BVLC_GOOGLENET,
        {path: sha256 for sha256, path in lines},
        "https://raw.githubusercontent.com/chaosmail/caffejs/"
        "d161d610145d6ce1ee4b9e44b10de780e8ecec2d/models/bvlc_googlenet/weights",
        "released for unrestricted use, say its authors (BVLC/caffe, models/bvlc_googlenet)",
    )


def write_weights(
    path: str | os.PathLike[str],
    state: Mapping[str, Tensor],
    architecture: Architecture,
    norm: Norm | None = None,
    **notes: str,
) -> None:
    """Write weights as a safetensors file that says which network they are of.

    Args:
        path: the file; it is written whole or not at all.
        state: parameters by name.
        architecture: the network that they belong to.
        norm: constants of the response normalisation, if not the architecture's.
        notes: further texts for the metadata.
    """
    metadata = {
        **notes,
        "architecture": architecture.name,
        "norm": json.dumps((norm or architecture.norm)._asdict()),
    }
    whole = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    with write_whole(path, shared=True) as draft:
        safetensors.torch.save_file(whole, draft, metadata)


def declared(metadata: Mapping[str, str], name: str) -> tuple[Architecture | None, Norm | None]:
    """Architecture and normalisation that a file's metadata names; None where it says nothing.

    Args:
        metadata: texts by name.
        name: of the file, for the message.

    Raises:
        UserError: an architecture that is not known here, or constants that cannot be read.
    """
    architecture, norm = metadata.get("architecture"), metadata.get("norm")
    if architecture is not None and architecture not in ARCHITECTURES:
        raise UserError(
            f"{name!r} says that its architecture is {architecture!r}; expected one of "
            f"{', '.join(ARCHITECTURES)}."
        )
    try:
        constants = None if norm is None else Norm(**json.loads(norm))
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{name!r} says that its normalisation is {norm!r}; expected the constants "
            f"{', '.join(Norm._fields)} as JSON ({error})."
        ) from error
    return ARCHITECTURES[architecture] if architecture else None, constants


def _decoded(data: bytes, shape: tuple[int, ...]) -> Tensor:
    """A parameter (out, in, y, x) from a file's bytes (out, y, x, in)."""
    theirs = (shape[0], *shape[2:], *shape[1:2])
    values = np.frombuffer(data, "<f4").reshape(theirs).astype(np.float32)
    tensor = torch.from_numpy(values)
    return tensor.movedim(-1, 1).contiguous() if len(shape) > 1 else tensor


def _encoded(value: Tensor) -> bytes:
    """The bytes of a published file that holds this parameter."""
    theirs = value.movedim(1, -1) if value.ndim > 1 else value
    return theirs.contiguous().float().numpy().astype("<f4").tobytes()


def _clear(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        with suppress(OSError):
            (folder / name).unlink(missing_ok=True)
    with suppress(OSError):  # another process is still fetching into it
        folder.rmdir()
