"""Orbit activations `A[sample, element, channel]`: extraction, and the store that it fills.

A store is a zarr v3 group on disk. It is planned whole before anything is computed (which
photograph, point and scale each sample is), then filled chunk by chunk; an interrupted extraction
goes on where it stopped, and asking for other settings than the store's is an error that names
them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import zarr
from tqdm.auto import tqdm

from gc_utils.errors import UserError
from gc_utils.groups import Group, group
from gc_utils.images import ImageSet, Photograph, assign_folds, load_images, sample_points
from gc_utils.models import Model, load_model
from gc_utils.orbits import BLUR, orbit

SCALES = (1.0, 1.5, 2.0, 3.0)
PLANTED = "planted"  # the model of a store that planted orbits were written to
CHUNK = 16  # samples; D16 × 480 channels in float16 make half a megabyte
FORMAT = 1


class Rows(Protocol):
    """Orbit activations that can be read by row: a tensor, or an `ActivationStore`."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray) -> torch.Tensor: ...


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
                f"{len(store.filled)} chunks); run the extraction again to complete it."
            )
        return store

    @classmethod
    def _open(cls, path: Path) -> ActivationStore:
        try:
            root = zarr.open_group(path, mode="r+")
        except (FileNotFoundError, ValueError) as error:
            raise UserError(
                f"no activation store at {path.absolute()}; fill one with `extract`."
            ) from error
        if root.attrs.get("format") != FORMAT:
            raise UserError(
                f"the store {path} has format {root.attrs.get('format')!r}, expected {FORMAT}; "
                "delete it and extract again."
            )
        return cls(path, root)

    def __len__(self) -> int:
        return self.root["A"].shape[0]

    def __getitem__(self, rows: np.ndarray | slice | list[int]) -> torch.Tensor:
        if isinstance(rows, slice):
            return torch.from_numpy(self.root["A"][rows]).float()
        rows = self._numbers(rows)
        unique, back = np.unique(rows, return_inverse=True)  # zarr wants them in order
        return torch.from_numpy(self.root["A"].oindex[unique][back]).float()

    def _numbers(self, rows: np.ndarray | list[int]) -> np.ndarray:
        """Row numbers, also from a mask."""
        rows = np.asarray(rows)
        if rows.dtype != bool:
            return rows
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

    @property
    def channels(self) -> int:
        """Number of channels `C`."""
        return self.root["A"].shape[2]

    @property
    def filled(self) -> np.ndarray:
        """Which chunks have been computed, bool."""
        return self.root["filled"][:].astype(bool)

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
        return {n: self.root[n][:] for n in ("photograph", "x", "y", "scale", "fold")}

    @property
    def fold(self) -> np.ndarray:
        """Cross-validation fold of every sample, by whole photograph, `(N,)`."""
        return self.samples["fold"]

    @property
    def patches(self) -> np.ndarray:
        """Crops at the identity, uint8 `(N, S, S, 3)`."""
        return self.root["patch"][:]

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
        """The pictures that those rows are responses to, `(len(rows), |G|, 3, S, S)`.

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
        """The network that the activations are of; None for planted ones.

        Raises:
            UserError: if its weights are no longer the ones that they were made with.
        """
        made = self.settings
        if made["model"] == PLANTED:
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

    def read(self, *, channels: slice = slice(None)) -> torch.Tensor:
        """All of it in memory, float16 `(N, |G|, C)`."""
        return torch.from_numpy(self.root["A"][:, :, channels])

    def checksum(self) -> str:
        """sha256 of settings and activations, 16 hexadecimal digits."""
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode())
        for start in range(0, len(self), 64 * CHUNK):
            digest.update(self.root["A"][start : start + 64 * CHUNK].tobytes())
        return digest.hexdigest()[:16]


@dataclass
class ShuffledBatches:
    """Batches without end in shuffled order, the same for the same seed, from any step on.

    Every row is seen once an epoch. A store larger than memory is shuffled in blocks: whole chunks
    in random order, rows within a buffer of them.

    Attributes:
        data: a tensor `(N, |G|, C)` or an `ActivationStore`.
        rows: the rows to use (a training fold), int `(n,)`.
        batch_size: rows a batch.
        seed: of the order.
        buffer: rows held in memory at once; at most this many are shuffled together.
        chunk: rows that lie together on disk.
    """

    data: Rows
    rows: np.ndarray
    batch_size: int
    seed: int
    buffer: int = 16_384
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        if len(self.rows) == 0:
            raise UserError("there are no rows to train on: every sample is held out.")
        self._orders: dict[int, np.ndarray] = {}
        self._block: tuple[tuple[int, int], dict[int, int], torch.Tensor] | None = None

    def order(self, epoch: int) -> np.ndarray:
        """The rows in the order of an epoch, `(n,)`."""
        if epoch not in self._orders:
            rng = np.random.default_rng((self.seed, epoch))
            chunks = np.array_split(self.rows, max(1, len(self.rows) // self.chunk))
            shuffled = np.concatenate([chunks[i] for i in rng.permutation(len(chunks))])
            blocks = np.split(shuffled, range(self.buffer, len(shuffled), self.buffer))
            self._orders = {epoch: np.concatenate([rng.permutation(b) for b in blocks])}
        return self._orders[epoch]

    def batch(self, step: int) -> torch.Tensor:
        """The batch of a step, float32 `(batch_size, |G|, C)`."""
        n, parts, position = len(self.rows), [], step * self.batch_size
        missing = self.batch_size
        while missing:
            epoch, start = divmod(position, n)
            block = start // self.buffer
            stop = min(start + missing, (block + 1) * self.buffer, n)
            parts.append(self._read(epoch, block, start, stop))
            position += stop - start
            missing -= stop - start
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _read(self, epoch: int, block: int, start: int, stop: int) -> torch.Tensor:
        order = self.order(epoch)
        if isinstance(self.data, torch.Tensor):
            return self.data[torch.from_numpy(order[start:stop])].float()
        if self._block is None or self._block[0] != (epoch, block):
            first = block * self.buffer
            held = self.data[order[first : first + self.buffer]].half()
            self._block = ((epoch, block), first, held)
        _, first, held = self._block
        return held[start - first : stop - first].float()


@lru_cache(maxsize=2)
def _load(photograph: Photograph) -> torch.Tensor:
    """Samples come sorted by photograph, and a chunk ends within one."""
    return photograph.load()


def plan_samples(
    images: ImageSet,
    count: int,
    *,
    size: int,
    scales: Sequence[float] = SCALES,
    folds: int = 4,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Choose photograph, point and scale of every sample, before anything is computed.

    Photographs get a share by the square root of their area, so that a large one gets more
    points without drowning the others.

    Returns:
        Arrays of length `count`: photograph, x, y, scale, fold; sorted by photograph.
    """
    if count < len(images):
        raise UserError(
            f"{count} samples cannot cover {len(images)} photographs; ask for more samples, or "
            "fewer images."
        )
    weight = np.sqrt([float(p.height * p.width) for p in images])
    ideal = np.cumsum(weight) / weight.sum() * (count - len(images))
    shares = np.diff(np.round(ideal), prepend=0).astype(int) + 1  # each gets one at least
    fold = assign_folds(images, folds, seed)
    columns: dict[str, list] = {n: [] for n in ("photograph", "x", "y", "scale", "fold")}
    for i, (photograph, share) in enumerate(zip(images, shares, strict=True)):
        points, at = sample_points(
            photograph.load(),
            int(share),
            scales=scales,
            crop_size=size,
            rng=np.random.default_rng((seed, i)),
        )
        columns["photograph"].append(np.full(share, i, np.int32))
        columns["x"].append(np.asarray(points[:, 0], np.float32))
        columns["y"].append(np.asarray(points[:, 1], np.float32))
        columns["scale"].append(np.asarray(at, np.float32))
        columns["fold"].append(np.full(share, fold[i], np.int32))
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def extract(
    path: str | Path,
    model: Model,
    layer: str,
    g: Group | str,
    images: ImageSet,
    *,
    samples: int,
    limit: int | None = None,
    scales: Sequence[float] = SCALES,
    folds: int = 4,
    blur: float = BLUR,
    window: str = "none",
    dtype: str = "float16",
    seed: int = 0,
    weights_file: str | None = None,
    batch: int = 128,
    overwrite: bool = False,
    progress: bool = True,
) -> ActivationStore:
    """Fill a store with the orbit activations of one layer's centre unit.

    Args:
        path: folder of the store; one that is there with the same settings is completed.
        model: from `load_model`.
        layer: the layer to read; the crop is the smallest that shows its whole receptive field.
        g: the group or its name.
        images: from `load_images`, with the same `seed` and a `min_size` of the crop.
        samples: number of orbits `N`.
        limit: what `load_images` was given, so that the store can load them again.
        scales: photograph pixels per crop pixel, mixed in equal parts.
        folds: cross-validation folds, of whole photographs.
        blur: low-pass in crop pixels.
        window: `"none"` or `"disc"`.
        dtype: `"float16"` or `"float32"`, of the stored activations.
        seed: of points, scales and folds.
        weights_file: what `load_model` was given, so that `ActivationStore.model` can load it.
        batch: crops a forward pass.
        overwrite: delete what is there first.
        progress: show a bar with the time left.

    Raises:
        UserError: if the store at `path` was made with other settings (it names them), or the
            activations do not fit the storage type.
    """
    path, g = Path(path), group(g) if isinstance(g, str) else g
    size = model.crop_size(layer)
    settings = {
        "model": model.name,
        "weights": model.weights,
        "weights_sha256": model.checksum,
        "layer": layer,
        "group": g.name,
        "images": images.spec,
        "limit": limit,
        "pictures": _listing(images),
        "samples": samples,
        "size": size,
        "scales": [float(s) for s in scales],
        "folds": folds,
        "blur": float(blur),
        "window": window,
        "dtype": dtype,
        "seed": seed,
    }
    if overwrite and path.exists():
        shutil.rmtree(path)
    if path.exists():
        store = ActivationStore._open(path)
        _check_same(path, store.settings, settings)
    else:
        plan = plan_samples(images, samples, size=size, scales=scales, folds=folds, seed=seed)
        names = [p.name for p in images]
        store = create_store(path, settings, plan, names, g, model.channels(layer))
    store.root.attrs["weights_file"] = weights_file and str(Path(weights_file).resolve())
    if not store.finished:
        _fill(store, model, images, batch, progress)
    return store


def _listing(images: ImageSet) -> str:
    """Which pictures a spec stood for: a folder may have changed since."""
    names = json.dumps([[p.name, p.height, p.width] for p in images])
    return f"{len(images)} ({hashlib.sha256(names.encode()).hexdigest()[:8]})"


def _check_same(path: Path, there: dict, asked: dict) -> None:
    different = [
        f"{name} is {there.get(name)!r} there, {value!r} asked for"
        for name, value in asked.items()
        if there.get(name) != value
    ]
    if different:
        raise UserError(
            f"the store {path} was made with other settings: {'; '.join(different)}. "
            "Choose another path, or overwrite it (overwrite=True)."
        )


def create_store(
    path: Path, settings: dict, plan: dict, names: Sequence[str], g: Group, channels: int
) -> ActivationStore:
    """An empty store, there whole or not at all.

    Args:
        path: its folder.
        settings: what the activations depend on, with `samples`, `size` (of a patch) and `dtype`.
        plan: coordinates of the samples, as from `plan_samples`.
        names: of the photographs.
        g: the group.
        channels: `C`.
    """
    count, size = settings["samples"], settings["size"]
    unfinished = path.with_name(path.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    root = zarr.open_group(unfinished, mode="w", zarr_format=3)
    root.create_array(
        "A",
        shape=(count, g.order, channels),
        chunks=(CHUNK, g.order, channels),
        dtype=settings["dtype"],
        attributes={"dimensions": ["sample", "element", "channel"]},
    )
    root.create_array(
        "patch", shape=(count, size, size, 3), chunks=(CHUNK, size, size, 3), dtype="uint8"
    )
    # One chunk a flag: each is written by itself, after its activations.
    root.create_array("filled", shape=(-(-count // CHUNK),), chunks=(1,), dtype="uint8")
    for name, values in plan.items():
        root.create_array(name, data=values)
    root.create_array("angle", data=g.angles.numpy())
    root.create_array("mirror", data=g.mirrored.numpy())
    root.attrs.update({"format": FORMAT, "settings": settings, "photographs": list(names)})
    unfinished.rename(path)  # a store is there whole, or not at all
    return ActivationStore._open(path)


def _fill(
    store: ActivationStore, model: Model, images: Sequence[Photograph], batch: int, progress: bool
) -> None:
    todo = np.flatnonzero(~store.filled)
    started = time.monotonic()
    bar = tqdm(total=len(todo) * CHUNK, unit="orbit", disable=not progress, desc="orbits")
    limit = torch.finfo(getattr(torch, store.settings["dtype"])).max
    for chunk in todo.tolist():
        rows = np.arange(chunk * CHUNK, min((chunk + 1) * CHUNK, len(store)))
        crops = store.crops(rows, images)
        flat = crops.flatten(0, 1)
        parts = [_unit(model, flat[i : i + batch], store) for i in range(0, len(flat), batch)]
        A = torch.cat(parts).reshape(*crops.shape[:2], -1)
        if not A.abs().max() <= limit:
            raise UserError(
                f"activations up to {float(A.abs().max()):.3g} of layer "
                f"{store.settings['layer']!r} do not fit {store.settings['dtype']}; "
                "extract with dtype='float32'."
            )
        at = slice(rows[0], rows[-1] + 1)
        store.root["A"][at] = A.numpy().astype(store.settings["dtype"])
        patches = (crops[:, 0] * 255).round().byte().permute(0, 2, 3, 1)
        store.root["patch"][at] = patches.numpy()
        store.root["filled"][chunk] = 1
        bar.update(CHUNK)
    bar.close()
    store.root.attrs["seconds"] = store.root.attrs.get("seconds", 0) + time.monotonic() - started


def _unit(model: Model, crops: torch.Tensor, store: ActivationStore) -> torch.Tensor:
    with torch.inference_mode():
        return model.unit(crops, store.settings["layer"]).float().cpu()


@dataclass(frozen=True)
class Variance:
    """How the variance of orbit activations divides between invariant and orientation parts.

    Attributes:
        invariant_share: variance of the orbit mean over all variance, one number.
        per_channel: the same for every channel, `(C,)`.
        mean_over_sd: `‖μ‖ / ‖σ‖`: how far the data are from being centred.
        frequencies: share of the orientation part's power at angular frequency `0 … n/2` over the
            turns, `(n//2 + 1,)`; frequency 0 is what mirrors alone change.
    """

    invariant_share: float
    per_channel: np.ndarray
    mean_over_sd: float
    frequencies: np.ndarray


def variance(A: torch.Tensor, g: Group) -> Variance:
    """Divide the variance of orbit activations by what rotation explains.

    Args:
        A: orbit activations `(N, |G|, C)`.
        g: their group.
    """
    A = A.float()
    mean = A.mean((0, 1))
    centred = A - mean
    invariant = centred.mean(1)
    total, inv = centred.square().mean((0, 1)), invariant.square().mean(0)
    oriented = centred - invariant[:, None]
    turns = oriented.reshape(len(A), -1, g.n, A.shape[2])  # (N, 1 or 2, n, C)
    power = torch.fft.rfft(turns, dim=2).abs().square().sum((0, 1, 3))
    if g.n % 2 == 0:
        power[1:-1] *= 2
    else:
        power[1:] *= 2
    return Variance(
        invariant_share=float(inv.sum() / total.sum()),
        per_channel=(inv / total.clamp_min(1e-12)).numpy(),
        mean_over_sd=float(mean.norm() / total.sum().sqrt()),
        frequencies=(power / power.sum().clamp_min(1e-12)).numpy(),
    )
