"""Orbit activations `A[sample, element, channel]`: extraction, and the store that it fills.

A store is a zarr v3 group on disk. It is planned whole before anything is computed (which
photograph, point and scale each sample is), then filled chunk by chunk; an interrupted extraction
goes on where it stopped, and asking for other settings than the store's is an error that names
them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
import zarr

from gc_utils.activations.chunks import (
    SEALED,
    CheckedStore,
    RowsOnDisk,
    gathered,
    read,
    writing,
)
from gc_utils.activations.descriptions import (
    CHUNK,
    OF_ELEMENTS,
    OF_SAMPLES,
    check_descriptions,
    check_numbers,
)
from gc_utils.activations.numbers import AS_IT_IS, from_stored, to_stored
from gc_utils.errors import Damaged, UserError
from gc_utils.files import write_whole
from gc_utils.groups import Group, group
from gc_utils.images.orbits import orbit
from gc_utils.images.photographs import ImageSet, Photograph, load_images
from gc_utils.models.base import Model
from gc_utils.models.load import load_model

PLANTED = "planted"  # the model of a store that planted orbits were written to
ARRAY = "array"  # the model of a store that was made of activations from elsewhere
WITHOUT_NETWORK = (PLANTED, ARRAY)
FORMAT = 1


@dataclass(frozen=True)
class ActivationStore:
    """Orbit activations on disk, read lazily.

    `store[rows]` reads those rows as float32 `(len(rows), |G|, C)`. Coordinates of the samples are
    arrays of length `N`: `photograph`, `x`, `y`, `scale`, `fold`; of the elements, of length `|G|`:
    `angle` (degrees), `mirror`. `patches` are the crops at the identity.

    Attributes:
        path: the zarr group's folder.
        root: the open zarr group.
    """

    path: Path
    root: zarr.Group

    @classmethod
    def open(cls, path: str | Path) -> ActivationStore:
        """Open a finished store.

        Raises:
            UserError: if there is none, it is unfinished or was written by another version.
        """
        store = cls._open(Path(path))
        if not store.finished:
            raise UserError(
                f"the activation store {path} is unfinished ({store.filled.sum()} of "
                f"{len(store.filled)} chunks); "
                + (
                    "delete it and write the array again."
                    if store.settings["model"] == ARRAY
                    else "run the extraction again to complete it."
                )
            )
        return store

    @classmethod
    def _open(cls, path: Path) -> ActivationStore:
        if path.is_symlink() and not path.exists():
            raise UserError(
                f"{path} is a link to {path.readlink()}, which is not there: see to it that its "
                "disk can be read, or delete the link."
            )
        if not path.is_dir() or not any(path.iterdir()):
            raise UserError(f"no activation store at {path.absolute()}; fill one with `extract`.")
        try:
            root = zarr.open_group(
                CheckedStore(path), mode="r+", zarr_format=3, use_consolidated=False
            )
            if root.attrs.get("format") == FORMAT:
                check_descriptions(root, path)
        except Exception as error:  # whatever a damaged zarr.json makes of itself
            lacking = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
            if isinstance(error, OSError) and not isinstance(error, lacking):
                raise  # it could not be read just now
            raise Damaged(
                f"the activation store {path} is damaged: a zarr.json is missing, or is not what "
                f"it was ({type(error).__name__}: {error}). Delete the store and make it again."
            ) from error
        if root.attrs.get("format") != FORMAT:
            raise UserError(
                f"the store {path} has format {root.attrs.get('format')!r}, expected {FORMAT}; "
                "delete it and extract again."
            )
        root.store.remedy = (
            "delete the store and write it again."
            if root.attrs["settings"]["model"] in WITHOUT_NETWORK
            else "run the extraction again (notebook 01_extract), which computes it anew."
        )
        return cls(path, root)

    @classmethod
    def from_array(
        cls,
        A: np.ndarray | torch.Tensor,
        g: Group | str,
        path: str | Path,
        *,
        images: Sequence | np.ndarray | None = None,
        patches: np.ndarray | None = None,
        folds: int = 4,
        layer: str = ARRAY,
        weights: str = ARRAY,
        dtype: str = "float16",
        seed: int = 0,
    ) -> ActivationStore:
        """A store of activations that were extracted elsewhere, for notebooks 02 to 05.

        No network comes with them: features get no labels from drawings, and no images are
        optimised. Everything else is as for activations that were extracted here.

        Args:
            A: `(N, |G|, C)`; `A[n, i]` are the responses to sample `n` under element `i` of the
                group, in this package's order: element `k` rotates the image by `360·k/n` degrees
                counter-clockwise, element `n + k` of a `Dn` mirrors it left-right before that.
            g: the group or its name.
            path: the store's folder, `activations.zarr` in a run folder.
            images: which image each sample comes from, `N` numbers or names. Folds then hold out
                whole images; without them neighbouring samples share a fold.
            patches: what each sample looks like under the identity, uint8 `(N, S, S, 3)`; without
                them its activations are drawn, elements by channels.
            folds: of the cross-validation.
            layer: the layer's name, for titles.
            weights: name of the network's weights. They count as trained on photographs, unless
                the name is `"random"`: no claim about networks is then tested.
            dtype: of the stored activations, `"float16"` or `"float32"`.
            seed: of the assignment of images to folds.

        Raises:
            UserError: a wrong shape, number or type, too few images for the folds, or something
                is at `path` already.
        """
        made = {"model": ARRAY, "weights": weights, "layer": layer, "dtype": dtype, "seed": seed}
        from gc_utils.activations.arrays import store_array

        return store_array(A, g, path, made, images=images, patches=patches, folds=folds)

    def __len__(self) -> int:
        return self.root["A"].shape[0]

    def __getitem__(self, rows: np.ndarray | slice | list[int]) -> torch.Tensor:
        return self.rows(rows).float()

    def rows(
        self, rows: np.ndarray | slice | list[int], channels: slice = slice(None)
    ) -> torch.Tensor:
        """Those rows in the type that holds them (`dtype`), `(len(rows), |G|, C)`."""
        scale = self._exponents
        if isinstance(rows, slice):
            found = read(self.root["A"], (rows, slice(None), channels))
            return from_stored(found, None if scale is None else scale[rows])
        rows = self._numbers(rows)
        found = gathered(self.root["A"], rows, channels)
        return from_stored(found, None if scale is None else scale[rows])

    def split(self, size: int) -> Iterator[torch.Tensor]:
        """All rows in order, `size` at a time, in the type that holds them."""
        for start in range(0, len(self), size):
            yield self.rows(slice(start, start + size))

    def _numbers(self, rows: np.ndarray | list[int]) -> np.ndarray:
        """Row numbers, also from a mask."""
        rows = np.asarray(rows)
        if rows.dtype != bool:
            return rows.astype(int)
        if rows.shape != (len(self),):
            raise UserError(f"a mask of shape {rows.shape} for {len(self)} samples.")
        return np.flatnonzero(rows)

    @property
    def settings(self) -> dict:
        """What the activations depend on: model, layer, group, window, blur, images, seed, …"""
        return dict(self.root.attrs["settings"])

    @property
    def weights_file(self) -> str | None:
        """Where the weights were read from, if not by their name."""
        return self.root.attrs.get("weights_file")

    @property
    def group(self) -> Group:
        """The group whose orbits these are."""
        return group(self.settings["group"])

    @cached_property
    def _exponents(self) -> np.ndarray | None:
        """By which power of two every orbit is enlarged; None if none is."""
        if "exponent" not in self.root:
            return None
        found = read(self.root["exponent"])
        if (found == 0).any():
            raise UserError(
                f"the store {self.path} has lost the exponents of {int((found == 0).sum())} "
                f"samples (first: {int((found == 0).argmax())}); delete it and extract again."
            )
        return found if (found != AS_IT_IS).any() else None

    @property
    def dtype(self) -> torch.dtype:
        """Type that holds the activations: the stored one, or float32 if some are enlarged."""
        stored = getattr(torch, self.settings["dtype"])
        return stored if self._exponents is None else torch.float32

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(N, |G|, C)`."""
        return self.root["A"].shape

    @property
    def channels(self) -> int:
        """Number of channels `C`."""
        return self.root["A"].shape[2]

    @property
    def filled(self) -> np.ndarray:
        """Which chunks have been computed, bool; one whose flag is damaged has not."""
        flags = self.root["filled"]
        try:
            with writing(self.root):  # a flag that was never written is none that is missing
                return flags[:] == 1
        except Exception:
            found = np.zeros(flags.shape[0], bool)
            for i in range(len(found)):
                try:
                    found[i] = flags[i] == 1
                except Exception:
                    continue
            return found

    @property
    def finished(self) -> bool:
        """Whether every chunk has been computed."""
        return bool(self.filled.all())

    @property
    def photograph_names(self) -> list[str]:
        """Names of the photographs that `photograph` counts."""
        return list(self.root.attrs["photographs"])

    @cached_property
    def samples(self) -> dict[str, np.ndarray]:
        """Coordinates of every sample: photograph, x, y, scale, fold, each `(N,)`."""
        found = {n: read(self.root[n]) for n in OF_SAMPLES}
        try:
            check_numbers(found["photograph"], self.photograph_names)
        except ValueError as error:
            raise Damaged(
                f"the activation store {self.path} is damaged: {error}. {self.root.store.remedy}"
            ) from error
        return found

    @property
    def fold(self) -> np.ndarray:
        """Cross-validation fold of every sample, by whole photograph, `(N,)`."""
        return self.samples["fold"]

    @property
    def patches(self) -> RowsOnDisk:
        """Crops at the identity, uint8 `(N, S, S, 3)`: on disk, as all may not fit in memory."""
        return RowsOnDisk(self.root["patch"])

    def images(self) -> ImageSet:
        """The photographs that the samples come from, loaded from their spec again."""
        made = self.settings
        images = load_images(
            made["images"], seed=made["seed"], limit=made["limit"], min_size=made["size"]
        )
        if [p.name for p in images] != self.photograph_names:
            raise UserError(f"the images {made['images']!r} are no longer those of the store.")
        return images

    def crops(
        self, rows: np.ndarray, images: Sequence[Photograph], *, blur: float | None = None
    ) -> torch.Tensor:
        """The images that those rows are responses to, `(len(rows), |G|, 3, S, S)`.

        Args:
            rows: row numbers.
            images: the store's photographs, from `images()`.
            blur: another low-pass than the store's.
        """
        made, rows = self.settings, self._numbers(rows)
        size = made["size"]
        crops = torch.empty(len(rows), self.group.order, 3, size, size)
        of = self.samples["photograph"][rows]
        for i in np.unique(of):
            here = np.flatnonzero(of == i)
            at = {name: torch.from_numpy(self.samples[name][rows[here]]) for name in "xy"}
            crops[here] = orbit(
                _load(images[int(i)]),
                torch.stack([at["x"], at["y"]], 1),
                torch.from_numpy(self.samples["scale"][rows[here]]),
                self.group,
                size,
                blur=made["blur"] if blur is None else blur,
                window=made["window"],
            )
        return crops

    def model(self, device: str = "auto") -> Model | None:
        """The network that the activations are of; None if they came without one.

        Raises:
            UserError: if its weights are no longer the ones that they were made with.
        """
        made = self.settings
        if made["model"] in WITHOUT_NETWORK:
            return None
        model = load_model(
            made["model"],
            made["weights"] if self.weights_file is None else None,
            self.weights_file,
            device,
            group=made["group"],
        )
        if model.checksum != made["weights_sha256"]:
            raise UserError(
                f"the weights {made['weights']!r} have changed since {self.path} was made (sha256 "
                f"{model.checksum[:12]}… now, {made['weights_sha256'][:12]}… then); extract again."
            )
        return model

    def describe(self) -> str:
        """A sentence for a reader: what the activations are of, and what cannot be done."""
        made = self.settings
        what = f"{len(self)} orbits under {self.group.name} of {self.channels} channels"
        if made["model"] == PLANTED:
            return f"{what}, planted: features are named by the planted templates."
        if made["model"] == ARRAY:
            return (
                f"{what}, extracted elsewhere, without the network: features cannot be shown "
                'drawings, so that all are labelled "other", and no images are optimised.'
            )
        return f"{what}: {made['layer']} of {made['model']}, weights {made['weights']}."

    def read(self, *, channels: slice = slice(None)) -> torch.Tensor:
        """All of it in memory, of the type that holds it (`dtype`), `(N, |G|, C)`."""
        return self.rows(slice(None), channels)

    def checksum(self) -> str:
        """sha256 of settings and activations, 16 hexadecimal digits."""
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode())
        for start in range(0, len(self), 64 * CHUNK):
            digest.update(read(self.root["A"], slice(start, start + 64 * CHUNK)).tobytes())
        if self._exponents is not None:
            digest.update(self._exponents.tobytes())
        return digest.hexdigest()[:16]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write activations, patches and flags in this block.

        Raises:
            DiskFull: there is no room for them.
        """
        with writing(self.root):
            yield

    def forget_damaged(self) -> list[int]:
        """Mark the chunks that are no longer whole as not computed.

        Returns:
            Their numbers.

        Raises:
            Damaged: what is damaged are the coordinates of samples or elements.
        """
        for name in (*OF_SAMPLES, *OF_ELEMENTS):
            try:
                read(self.root[name])
            except Damaged as error:
                raise Damaged(f"the array {name} of {self.path} is damaged: {error}") from error
        arrays = [self.root[name] for name in ("A", "patch", "exponent") if name in self.root]
        damaged = []
        for chunk in np.flatnonzero(self.filled).tolist():
            try:
                for array in arrays:
                    array[chunk * CHUNK : (chunk + 1) * CHUNK]
            except Exception:
                damaged.append(chunk)
        with self.writing():
            for chunk in damaged:
                self.root["filled"][chunk] = 0
        for left in self.path.rglob("*.partial"):  # of a process that was killed while it wrote
            left.unlink()
        return damaged


@lru_cache(maxsize=2)
def _load(photograph: Photograph) -> torch.Tensor:
    """Samples come sorted by photograph, and a chunk ends within one."""
    return photograph.load()


def create_store(
    path: Path, settings: dict, plan: dict, names: Sequence[str], g: Group, channels: int
) -> ActivationStore:
    """An empty store, there whole or not at all.

    Args:
        path: its folder.
        settings, plan, names, g, channels: as for `lay_out`.
    """
    with write_whole(path) as draft:
        lay_out(draft, settings, plan, names, g, channels)
    return ActivationStore._open(path)


def lay_out(
    path: Path, settings: dict, plan: dict, names: Sequence[str], g: Group, channels: int
) -> ActivationStore:
    """Write an empty store.

    Args:
        path: its folder, which does not exist.
        settings: what the activations depend on, with `samples`, `size` (of a patch) and `dtype`.
        plan: coordinates of the samples, as from `plan_samples`.
        names: of the photographs.
        g: the group.
        channels: `C`.
    """
    count, size = settings["samples"], settings["size"]
    root = zarr.open_group(path, mode="w", zarr_format=3)
    with writing(root):
        root.create_array(
            "A",
            shape=(count, g.order, channels),
            chunks=(CHUNK, g.order, channels),
            dtype=settings["dtype"],
            attributes={"dimensions": ["sample", "element", "channel"]},
            **SEALED,
        )
        root.create_array(
            "patch",
            shape=(count, size, size, 3),
            chunks=(CHUNK, size, size, 3),
            dtype="uint8",
            **SEALED,
        )
        if settings["dtype"] == "float16":
            root.create_array("exponent", shape=(count,), chunks=(CHUNK,), dtype="uint8", **SEALED)
        # One chunk a flag: each is written by itself, after its activations.
        flags = {"shape": (-(-count // CHUNK),), "chunks": (1,), "dtype": "uint8"}
        root.create_array("filled", **flags, **SEALED)
        elements = {"angle": g.angles.numpy(), "mirror": g.mirrored.numpy()}
        for name, values in (plan | elements).items():
            root.create_array(name, data=values, **SEALED)
        root.attrs.update({"format": FORMAT, "settings": settings, "photographs": list(names)})
    return ActivationStore._open(path)


def write_rows(store: ActivationStore, rows: slice, A: torch.Tensor) -> None:
    """Store the activations `A (n, |G|, C)` of those rows, which `check_fits` has passed.

    Args:
        store: an unfinished store.
        rows: which rows.
        A: their activations.
    """
    dtype = store.settings["dtype"]
    if "exponent" not in store.root:  # of float32, or begun before there were any
        store.root["A"][rows] = A.numpy().astype(dtype)
        return
    store.root["A"][rows], store.root["exponent"][rows] = to_stored(A, dtype)
