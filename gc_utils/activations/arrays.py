"""Activations that were extracted elsewhere, as a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from gc_utils.activations.chunks import SEALED
from gc_utils.activations.numbers import DTYPES, check_finite, check_fits
from gc_utils.activations.store import CHUNK, ActivationStore, lay_out, write_rows
from gc_utils.errors import UserError, choose
from gc_utils.files import write_whole
from gc_utils.groups import Group, group

DRAWN = 48  # pixels of the drawing of an orbit


def draw_orbits(A: torch.Tensor, mean: float, spread: float) -> np.ndarray:
    """Orbits as images, elements by channels, for samples of which there is no image.

    Args:
        A: orbit activations, `(N, |G|, C)`.
        mean: drawn as mid-grey.
        spread: three times it above the mean is white.

    Returns:
        uint8 `(N, 48, 48, 3)`.
    """
    grey = (0.5 + (A.float() - mean) / (6 * spread)).clamp(0, 1)[:, None]
    grey = torch.nn.functional.interpolate(grey, size=(DRAWN, DRAWN), mode="nearest")
    return (255 * grey[:, 0, :, :, None]).byte().expand(-1, -1, -1, 3).numpy()


def store_array(
    A: np.ndarray | torch.Tensor,
    g: Group | str,
    path: str | Path,
    made: dict,
    *,
    images: Sequence | np.ndarray | None = None,
    patches: np.ndarray | None = None,
    folds: int = 4,
    names: Sequence[str] | None = None,
    further: Mapping[str, np.ndarray] | None = None,
    notes: Mapping[str, object] | None = None,
) -> ActivationStore:
    """Write an array of activations as a store; see `ActivationStore.from_array`.

    Args:
        A, g, path, images, patches, folds: as there.
        made: settings: `model`, `weights`, `layer`, `dtype`, `seed`.
        names: of the images; None for the numbers or names in `images`.
        further: arrays to keep beside the activations, by name.
        notes: attributes to keep, by name.

    Raises:
        UserError: as there.
    """
    if not isinstance(g, (str, Group)):
        raise UserError(f"group {g!r}: expected its name, such as 'D8', or a Group.")
    path, g = Path(path), group(g) if isinstance(g, str) else g
    if g.order < 2:
        raise UserError("group C1 has no rotation: an orbit needs two elements or more.")
    if path.exists():
        raise UserError(f"{path} is there already: delete it, or choose another path.")
    blocked = next((p for p in path.parents if p.exists() and not p.is_dir()), None)
    if blocked is not None:
        raise UserError(f"{path} cannot be made: {blocked} is a file, not a folder.")
    A = _checked(A, g, made["dtype"])
    if patches is not None:
        patches = _checked_patches(patches, len(A))
    of, fold, found = _dealt(images, len(A), folds, made["seed"])
    flat = np.zeros(len(A), np.float32)
    plan = {"photograph": of, "x": flat, "y": flat, "scale": flat + 1, "fold": fold}
    settings = {
        "weights_sha256": "",
        "group": g.name,
        "images": "",
        "limit": None,
        "pictures": "drawn" if patches is None else "given",
        "samples": len(A),
        "size": DRAWN if patches is None else patches.shape[1],
        "scales": [1.0],
        "folds": folds,
        "blur": 0.0,
        "window": "none",
    }
    mean, spread = float(A.mean()), max(float(A.std()), 1e-12)
    with write_whole(path) as draft:  # it is there once it is whole
        store = lay_out(draft, made | settings, plan, names or found, g, A.shape[2])
        with store.writing():
            for start in range(0, len(A), 16 * CHUNK):
                rows = slice(start, min(start + 16 * CHUNK, len(A)))
                write_rows(store, rows, A[rows])
                drawn = draw_orbits(A[rows], mean, spread) if patches is None else patches[rows]
                store.root["patch"][rows] = drawn
            for name, values in (further or {}).items():
                store.root.create_array(name, data=values, **SEALED)
            store.root.attrs.update(dict(notes or {}))
            store.root["filled"][:] = 1
    return ActivationStore.open(path)


def _checked(A: np.ndarray | torch.Tensor, g: Group, dtype: str) -> torch.Tensor:
    """The activations as float32, if they are such."""
    choose(dtype, DTYPES, "dtype")
    try:
        # A tensor cannot share the memory of an array that is read backwards.
        same = A if isinstance(A, torch.Tensor) else np.ascontiguousarray(A)
        found = torch.as_tensor(same).detach().cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"activations of type {type(A).__name__}: expected an array or tensor of real numbers, "
            f"(N, {g.order}, C) for {g.name} ({error})."
        ) from error
    if found.ndim != 3 or found.shape[1] != g.order or 0 in found.shape:
        mirrored = f", then the {g.n} of the mirrored image" if g.dihedral else ""
        raise UserError(
            f"activations of shape {tuple(found.shape)}: expected (N, {g.order}, C) for "
            f"{g.name}, for each sample the {g.n} rotations in steps of {360 / g.n:g} degrees "
            f"counter-clockwise{mirrored}."
        )
    if found.dtype == torch.bool or found.is_complex():
        raise UserError(f"activations of type {found.dtype}: expected real numbers.")
    found = found.float()
    check_finite(found, "activations")
    check_fits(found, dtype, "activations", "give dtype='float32'.")
    if not float(found.std()) > 0:
        raise UserError("all activations are the same: there is nothing to learn.")
    return found


def _checked_patches(patches: np.ndarray, count: int) -> np.ndarray:
    patches = np.asarray(patches)
    square = patches.ndim == 4 and patches.shape[1] == patches.shape[2] and patches.shape[3] == 3
    if not square or 0 in patches.shape or len(patches) != count or patches.dtype != np.uint8:
        raise UserError(
            f"patches of shape {patches.shape} and type {patches.dtype}: expected uint8 "
            f"({count}, S, S, 3)."
        )
    return patches


def _dealt(
    images: Sequence | np.ndarray | None, count: int, folds: int, seed: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Which image and fold every sample belongs to, and the names of the images."""
    if isinstance(folds, bool) or not isinstance(folds, (int, np.integer)):
        raise UserError(f"folds {folds!r}: expected a whole number, 2 or more.")
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise UserError(f"seed {seed!r}: expected a whole number, 0 or more.")
    if not 2 <= folds <= count:
        raise UserError(f"{folds} folds of {count} samples: expected 2 or more, and no more.")
    if images is None:  # neighbours may be of one image
        block = (np.arange(count) * folds // count).astype(np.int32)
        return block, block, [f"block {i} of the samples" for i in range(folds)]
    ids = np.asarray(images)
    if ids.shape != (count,):
        raise UserError(f"images of shape {ids.shape}: expected one for each of {count} samples.")
    try:
        unique, of, sizes = np.unique(ids, return_inverse=True, return_counts=True)
    except TypeError as error:  # None among names
        raise UserError(
            "images of several types: expected all numbers or all names, one a sample."
        ) from error
    if len(unique) < folds:
        raise UserError(f"{len(unique)} images cannot be dealt into {folds} folds: lower folds.")
    # The image with the most samples goes to the fold with the fewest.
    order = np.random.default_rng(seed).permutation(len(unique))
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold, load = np.empty(len(unique), np.int32), np.zeros(folds)
    for image in order:
        fold[image] = load.argmin()
        load[fold[image]] += sizes[image]
    return of.astype(np.int32), fold[of], [str(name) for name in unique]
