"""Extraction: the plan of all samples, and the loop that fills a store chunk by chunk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from gc_utils.activations.numbers import DTYPES, check_finite, check_fits
from gc_utils.activations.store import CHUNK, ActivationStore, create_store, write_rows
from gc_utils.errors import Damaged, UserError, choose
from gc_utils.groups import Group, group
from gc_utils.images.orbits import BLUR
from gc_utils.images.photographs import ImageSet, Photograph
from gc_utils.images.points import assign_folds, sample_points
from gc_utils.models.base import Model
from gc_utils.progress import progress_bar
from gc_utils.ranks import Ranks, ranks
from gc_utils.removal import delete

SCALES = (1.0, 1.5, 2.0, 3.0)
TOO_LARGE = (
    "extract with dtype='float32' (the parameter dtype of 01_extract, `-p dtype float32` on the "
    "command line), in a new run folder."
)


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
    points without drowning the others. Of more photographs than samples, as many as there are
    samples are drawn, and the others get none.

    Args:
        images: the photographs.
        count: number of samples.
        size: side of the crops in their own pixels.
        scales: photograph pixels per crop pixel.
        folds: of the cross-validation; fewer if fewer photographs are looked at.
        seed: of points, scales, folds and the draw of photographs.

    Returns:
        Arrays of length `count`: photograph, x, y, scale, fold; sorted by photograph.

    Raises:
        UserError: one photograph only, so that none can be held out.
    """
    drawn = drawn_photographs(len(images), count, seed)
    weight = np.sqrt([float(images[i].height * images[i].width) for i in drawn])
    ideal = np.cumsum(weight) / weight.sum() * (count - len(drawn))
    shares = np.diff(np.round(ideal), prepend=0).astype(int) + 1  # each gets one at least
    fold = assign_folds([images[i] for i in drawn], folds, seed)
    columns: dict[str, list] = {n: [] for n in ("photograph", "x", "y", "scale", "fold")}
    for i, share, its_fold in zip(drawn.tolist(), shares, fold, strict=True):
        points, at = sample_points(
            images[i].load(),
            int(share),
            scales=scales,
            crop_size=size,
            rng=np.random.default_rng((seed, i)),
        )
        columns["photograph"].append(np.full(share, i, np.int32))
        columns["x"].append(np.asarray(points[:, 0], np.float32))
        columns["y"].append(np.asarray(points[:, 1], np.float32))
        columns["scale"].append(np.asarray(at, np.float32))
        columns["fold"].append(np.full(share, its_fold, np.int32))
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def drawn_photographs(count: int, samples: int, seed: int = 0) -> np.ndarray:
    """Numbers of the photographs that samples are taken of, in order.

    Args:
        count: photographs that there are.
        samples: samples wanted.
        seed: of the draw.

    Returns:
        All of them, or a random `samples` of them if there are more.
    """
    if samples >= count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).permutation(count)[:samples])


def plan_sentence(count: int, samples: int, folds: int) -> str:
    """What is done about more photographs than samples, or fewer than folds; empty for neither.

    Args:
        count: photographs that there are.
        samples: samples wanted.
        folds: folds wanted.
    """
    used, said = min(count, samples), ""
    if used < count:
        said = f"{samples} orbits of {count:,} images: {used} images are drawn, one orbit of each. "
    if used < folds:
        said += f"{used} images make {used} folds in place of {folds}, one image in each. "
    return said.strip()


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

    Under `torchrun` every process computes a part of the chunks (see `gc_utils.ranks`).

    Args:
        path: folder of the store; one that is there with the same settings is completed, and
            what is damaged in it is computed again.
        model: from `load_model`.
        layer: the layer to read; the crop is the smallest that shows its whole receptive field.
        g: the group or its name.
        images: from `load_images`, with the same `seed` and a `min_size` of the crop.
        samples: number of orbits `N`; of more images than that, some are drawn.
        limit: what `load_images` was given, so that the store can load them again.
        scales: photograph pixels per crop pixel, mixed in equal parts.
        folds: cross-validation folds, of whole photographs; fewer for fewer photographs.
        blur: low-pass in crop pixels.
        window: `"none"` or `"disc"`.
        dtype: `"float16"` or `"float32"`, of the stored activations. float16 holds numbers up to
            65504; orbits of small ones are enlarged, and reading undoes that.
        seed: of points, scales and folds.
        weights_file: what `load_model` was given, so that `ActivationStore.model` can load it.
        batch: crops a forward pass.
        overwrite: delete what is there first.
        progress: show a bar with the time left.

    Raises:
        UserError: if the store at `path` was made with other settings (it names them), the
            activations are not finite or too large for the storage type, or there is only one
            photograph.
    """
    choose(dtype, DTYPES, "dtype")
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
    together = ranks()
    if together.first:
        if overwrite:
            delete(path)
        there = path.exists() or path.is_symlink()
        store = _reopened(path, settings) if there else None
        if store is None:
            plan = plan_samples(images, samples, size=size, scales=scales, folds=folds, seed=seed)
            if said := plan_sentence(len(images), samples, folds):
                print(said)
            names = [p.name for p in images]
            store = create_store(path, settings, plan, names, g, model.channels(layer))
        weights_file = weights_file and str(Path(weights_file).resolve())
        if store.weights_file != weights_file:
            store.root.attrs["weights_file"] = weights_file
    together.wait()
    if not together.first:
        store = ActivationStore._open(path)
        _check_same(path, store.settings, settings)
    todo = together.of_first(np.flatnonzero(~store.filled))
    if len(todo):
        with store.writing():
            _fill(store, model, images, batch, progress, todo, together)
    return store


def _reopened(path: Path, settings: dict) -> ActivationStore | None:
    """A store with the same settings, without its damaged chunks; None if it was beyond that."""
    try:
        store = ActivationStore._open(path)
        _check_same(path, store.settings, settings)
        if damaged := store.forget_damaged():
            print(f"{path}: {len(damaged)} damaged chunks are computed again.")
        return store
    except Damaged as error:
        try:
            text = (path / "zarr.json").read_text(encoding="utf-8")
            there = json.loads(text)["attributes"]["settings"]
        except (OSError, ValueError, KeyError, TypeError):
            raise error from None  # nobody knows what it was: a person has to delete it
        if not isinstance(there, dict):
            raise
        _check_same(path, there, settings)
        print(f"{error} It is made again.")
        delete(path)
        return None


def _listing(images: ImageSet) -> str:
    """Which images a spec stood for: a folder may have changed since."""
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


def _fill(
    store: ActivationStore,
    model: Model,
    images: Sequence[Photograph],
    batch: int,
    progress: bool,
    todo: np.ndarray,
    together: Ranks,
) -> None:
    """Compute the chunks `todo`: of several processes, each its own, so that none share a file."""
    todo = todo[together.share(len(todo))]
    shown = progress and together.first
    bar = progress_bar(total=len(todo) * CHUNK, unit="orbit", disable=not shown, desc="orbits")
    layer, dtype = f"layer {store.settings['layer']!r}", store.settings["dtype"]
    for chunk in todo.tolist():
        rows = np.arange(chunk * CHUNK, min((chunk + 1) * CHUNK, len(store)))
        crops = store.crops(rows, images)
        flat = crops.flatten(0, 1)
        parts = [_unit(model, flat[i : i + batch], store) for i in range(0, len(flat), batch)]
        A = torch.cat(parts).reshape(*crops.shape[:2], -1)
        name = _namer(store, rows)
        check_finite(A, layer, name)
        check_fits(A, dtype, layer, TOO_LARGE, name)
        at = slice(rows[0], rows[-1] + 1)
        write_rows(store, at, A)
        patches = (crops[:, 0] * 255).round().byte().permute(0, 2, 3, 1)
        store.root["patch"][at] = patches.numpy()
        store.root["filled"][chunk] = 1
        bar.update(CHUNK)
    bar.close()
    together.wait()


def _namer(store: ActivationStore, rows: np.ndarray) -> Callable[[int], str]:
    """Names of samples for messages, by their place in a chunk."""
    names, of = store.photograph_names, store.samples["photograph"]
    return lambda i: f"{rows[i]} (image {names[of[rows[i]]]!r})"


def _unit(model: Model, crops: torch.Tensor, store: ActivationStore) -> torch.Tensor:
    with torch.inference_mode():
        return model.unit(crops, store.settings["layer"]).float().cpu()
