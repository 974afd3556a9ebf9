"""Run folders and their products, files written whole, and checkpoints.

    run_dir = find_run("runs/demo")
    report = pd.read_csv(product(run_dir, "features.csv", made_by="04_symmetry"))

Jupyter starts a notebook in the notebook's own folder, and a person starts the runner in the
repository's root: `runs/demo` has to mean the same folder in both.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gc_utils.errors import Damaged, DiskFull, UserError, brief
from gc_utils.opened_alone import NAMED, make_up_to, named_run, small_run
from gc_utils.removal import delete, draft_beside

if TYPE_CHECKING:  # the command line reads and writes files without waiting for torch
    import torch

LEFT_BEHIND = frozenset(
    {"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "system volume information"}
    | {"@eadir", "@tmp", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "lost+found"}
    | {"network trash folder", "temporary items"}
)
"""Names, in lower case, of what systems and network drives leave beside a person's files."""
# Of a file that somebody edited, or that is being copied here: never one of the run's own.
BACKUPS = ("~", ".bak", ".orig", ".rej", ".swp", ".tmp", ".part", ".partial", ".filepart")
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def typed_path(text: str | os.PathLike, what: str = "path") -> Path:
    """A path as a person typed it: `~` is a home folder, which no shell expands in `--output=~/x`.

    Args:
        text: the path, absolute or relative.
        what: where it was typed, for the message (`"--output"`).

    Returns:
        The path with `~` expanded, no more: it need not exist.

    Raises:
        UserError: the home folder is nobody's, or the text cannot be a path.
    """
    if "\0" in str(text):
        raise UserError(f"{what} {brief(repr(str(text)))} holds a null character: leave it out.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{what} {brief(repr(str(text)))}: there is no such home folder; write ./~… for a "
            "folder that is called so, or the path in full."
        ) from error


def find_run(
    run_dir: str | os.PathLike,
    *,
    create: bool = False,
    remedy: str = "set run_dir to a run that exists",
) -> Path:
    """The run folder that a path stands for.

    An absolute path is taken as it is. A relative one is looked for in the current folder, then
    in the repository's root (the folder that holds `gc_utils/` and `notebooks/`); the first folder
    that exists is used. If neither exists and `create` is set, the folder is made in the current
    folder, except that from the repository's `notebooks/` it is made in the root, where
    `python -m gc_utils run` finds it too. A path that leads upwards (`../runs/demo`) counts from
    the current folder only.

    In a notebook whose `run_dir` is left at "runs/demo", the environment variable `GC_UTILS_RUN`
    names the folder instead; in Colab, where there is none, it is that of a small run, which
    `product` then fills (see `gc_utils.opened_alone`).

    Args:
        run_dir: the path asked for, such as "runs/demo"; `~` is the home folder.
        create: make the folder if there is none, as a notebook does that reads no earlier product.
        remedy: what a person can do who did not mean to make a run, in the words of the place
            where they named it: a notebook's parameter, or an option of the command line.

    Returns:
        The absolute path of a folder that exists.

    Raises:
        UserError: there is no such folder (names the places looked at, and the runs that exist),
            it is a file, or it cannot be made.
    """
    if named := named_run(run_dir):
        folder = find_run(named, create=create, remedy=f"set {NAMED} to a run that exists")
        print(f"Run folder: {folder} ({NAMED})")
        return folder
    places = _places(run_dir)
    for place in places:
        if place.is_dir():
            return place
    for place in places:
        if place.is_file():
            folder = place.parent if place.name == "run.json" else None
            named = f" that holds it, {str(folder)!r}" if folder else " of a run"
            raise UserError(f"{str(place)!r} is a file, not a run folder: name the folder{named}.")
    if not create:
        if small := small_run(run_dir):
            return small
        raise UserError(
            f"no run folder {str(run_dir)!r}: looked for {_and(places)}. Make one with "
            f"`python -m gc_utils run`, or {remedy}{_existing(places)}"
        )
    root = _repository()
    from_notebooks = root is not None and Path.cwd() == root / "notebooks"
    new = places[-1 if from_notebooks else 0]
    try:
        new.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the run folder {str(new)!r}: {error}") from error
    return new


def product(run_dir: str | os.PathLike, name: str, made_by: str) -> Path:
    """What an earlier notebook left in the run folder.

    Args:
        run_dir: the run folder, as `find_run` returns it.
        name: the product's path in the run folder, such as "features.csv".
        made_by: the notebook that makes it, such as "04_symmetry".

    Returns:
        The absolute path of a file or folder that exists.

    Raises:
        UserError: it is not there; names the path looked at, the notebook that makes it, and the
            runs that exist.
    """
    folder = Path(os.path.abspath(typed_path(run_dir, "run folder")))
    path = folder / name
    if not path.exists():
        make_up_to(folder, made_by)
    if path.exists():
        return path
    raise UserError(
        f"no {name} in this run folder: looked for {str(path)!r}. Run the notebook {made_by} with "
        f"the same run_dir first, or set run_dir to another run{_existing([folder], name)}"
    )


def _repository() -> Path | None:
    """The repository's root; None for a package that was installed without its notebooks."""
    # The current folder first: the package may be that of another checkout, or an installed one.
    for root in (Path.cwd(), Path.cwd().parent, Path(__file__).resolve().parents[1]):
        notebooks = (root / "notebooks").glob("[0-9][0-9]_*.ipynb")
        if (root / "gc_utils" / "__init__.py").is_file() and any(notebooks):
            return root
    return None


def _places(run_dir: str | os.PathLike) -> list[Path]:
    """The absolute paths that a run folder's path may stand for, in the order of preference."""
    asked = Path(os.path.normpath(typed_path(run_dir, "run folder")))
    places, root = [Path(os.path.abspath(asked))], _repository()
    if root and not asked.is_absolute() and ".." not in asked.parts and root / asked not in places:
        places.append(root / asked)
    return places


def _existing(places: list[Path], name: str = "") -> str:
    """The end of a message: what has a `run.json`, beside `places` and under `runs/`."""
    roots = [root for root in (Path.cwd(), _repository()) if root]
    folders = dict.fromkeys([*(p.parent for p in places), *(root / "runs" for root in roots)])
    runs = {path.parent for folder in folders for path in folder.glob("*/run.json")}
    if not (runs := sorted(runs - set(places))):
        return "; there is no other yet."
    names = [
        f"{str(run)!r}" + (f" (without {name})" if name and not (run / name).exists() else "")
        for run in runs
    ]
    return f". Runs that exist: {', '.join(names)}."


def _and(places: list[Path]) -> str:
    return " and ".join(repr(str(place)) for place in places)


def is_hidden(path: str | os.PathLike) -> bool:
    """Whether a file is one that programs leave beside a person's own.

    Those are what begins with a dot (`.ipynb_checkpoints`, `.DS_Store`, the `._name` files of a
    Mac), what lies in the `__MACOSX` of a zip file or in the `@eaDir` of a network drive, waste
    bins and snapshots, and the `Thumbs.db` and `desktop.ini` of Windows.

    Args:
        path: relative to the folder that a person named: the folders above it do not count, as
            in `~/.cache/photos`.

    Returns:
        True if any component of the path is such a name.
    """
    return any(p.startswith(".") or p.lower() in LEFT_BEHIND for p in Path(path).parts)


def is_run(folder: str | os.PathLike) -> bool:
    """Whether a folder is one that notebooks write to.

    Args:
        folder: a folder that exists.

    Returns:
        True if it holds `run.json`, activations or the findings of a notebook: notebooks that are
        opened by hand write no `run.json`.
    """
    folder = Path(folder)
    if any((folder / name).exists() for name in ("run.json", "activations.zarr")):
        return True
    names = (path.name for path in folder.glob("results/*.json"))
    return any(re.fullmatch(r"\d\d[a-z]?_.+", name) for name in names)


def is_stray(path: str | os.PathLike) -> bool:
    """Whether a file among a run's products is none of them: hidden, a backup or half a copy.

    Args:
        path: relative to the run folder or the product, as for `is_hidden`.

    Returns:
        True for what `is_hidden` names, and for what editors and copying programs leave beside a
        file: `zarr.json~`, `#zarr.json#`, `~$table.csv`, `0.bak`, `0.partial`.
    """
    name = Path(path).name
    edited = name.startswith("~$") or (name.startswith("#") and name.endswith("#"))
    return edited or name.lower().endswith(BACKUPS) or is_hidden(path)


@contextmanager
def write_whole(path: str | os.PathLike, *, shared: bool = False) -> Iterator[Path]:
    """Write a file or a folder so that a reader finds the old one or the new one, never a part.

        with write_whole(path) as draft:
            draft.write_text(text, encoding="utf-8")

    The draft lies beside the path, under a hidden name that no person gives, in a folder that is
    made if there is none. It takes the path's name
    when the block ends, and is deleted when the block raises. A draft that a killed process left
    behind is deleted first.

    Args:
        path: the file or folder. A file of that name is replaced; a folder must not exist yet.
        shared: other processes may write the same path at the same time, as in a cache that all
            runs share. The draft then carries the number of this process.

    Yields:
        The path to write to.

    Raises:
        DiskFull: there is no room for it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = draft_beside(path, shared=shared)
    delete(draft)
    try:
        with room_for(path):
            yield draft
            os.replace(draft, path)
    except BaseException:
        delete(draft)
        raise


@contextmanager
def room_for(path: str | os.PathLike) -> Iterator[None]:
    """Say it in a person's words if a block that writes fails because the disk is full.

    Args:
        path: what the block writes.

    Raises:
        DiskFull: the block ran out of room or quota, or the file is larger than one may be.
    """
    try:
        yield
    except DiskFull:
        raise
    except Exception as error:
        if not out_of_room(error):
            raise
        raise DiskFull(
            f"no room on the disk for {os.fspath(path)} ({error}): it was not written, and what "
            "was there is as it was. Make room, and do the same again."
        ) from error


def out_of_room(error: BaseException) -> bool:
    """Whether an error says that the disk, a quota or the largest file size is used up."""
    if isinstance(error, OSError):
        return isinstance(error, DiskFull) or error.errno in NO_ROOM
    # The safetensors library has errors of its own, with the system's number in the text.
    return any(f"(os error {number})" in str(error) for number in NO_ROOM)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write JSON with `write_whole`.

    Args:
        path: the file.
        content: what to write; numbers must be finite.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with write_whole(path) as draft:
        draft.write_text(text + "\n", encoding="utf-8")


def write_table(path: str | os.PathLike, table: pd.DataFrame, **settings: Any) -> None:
    """Write a table as CSV with `write_whole`.

    Args:
        path: the file.
        table: what to write.
        settings: as for `DataFrame.to_csv`, such as `index=False`.
    """
    with write_whole(path) as draft:
        table.to_csv(draft, **settings)


# Tensors in safetensors files, and checkpoints with the state of an optimiser

_STATE = "adam."  # prefix of the optimiser's tensors in a file


def git_blob_id(data: bytes) -> str:
    """The id under which git stores a file: `sha1("blob <size>\\0" + bytes)`."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def save_tensors(
    path: str | os.PathLike, tensors: Mapping[str, torch.Tensor], notes: Mapping[str, str]
) -> None:
    """Write tensors as a safetensors file with `write_whole`; equal content gives equal bytes.

    Args:
        path: the file.
        tensors: by name, on any device.
        notes: text for the file's metadata.
    """
    from safetensors.torch import save_file

    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with write_whole(path) as draft:
        save_file(whole, draft, dict(notes))
        _sort_notes(draft)


def _sort_notes(path: Path) -> None:
    """Put a safetensors file's metadata in order: the library writes them in a random one."""
    with path.open("r+b") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
        if len(text) <= size:  # the rest is padding, as the format has it
            file.seek(8)
            file.write(text.ljust(size))


def save_checkpoint(
    path: str | os.PathLike,
    tensors: Mapping[str, torch.Tensor],
    optimiser: torch.optim.Optimizer,
    notes: Mapping[str, str],
) -> None:
    """Write everything that the next step of a training depends on, in one safetensors file.

    Args:
        path: the file; it is written whole or not at all.
        tensors: parameters and whatever else the training needs, by name. No name begins with
            "adam.", which marks the state of the optimiser.
        optimiser: its state is saved as far as it consists of tensors, as that of Adam does. Its
            settings (learning rate and so on) are not saved.
        notes: text for the file's metadata, such as the number of steps done.
    """
    state = optimiser.state_dict()["state"]
    tensors = dict(tensors) | {
        f"{_STATE}{i}.{name}": value for i, one in state.items() for name, value in one.items()
    }
    save_tensors(path, tensors, notes)


def load_checkpoint(
    path: str | os.PathLike, optimiser: torch.optim.Optimizer, *, device: str = "cpu"
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a file written by `save_checkpoint`.

    Args:
        path: the file.
        optimiser: takes over the state that was saved; it keeps its own settings.
        device: where the tensors go.

    Returns:
        The tensors by name, without those of the optimiser, and the notes.

    Raises:
        Damaged: the file is cut short or is not a safetensors file.
    """
    from safetensors.torch import load_file

    notes = read_notes(path)
    tensors, state = {}, {}
    for name, value in load_file(path, device=device).items():
        if name.startswith(_STATE):
            i, key = name.removeprefix(_STATE).split(".")
            state.setdefault(int(i), {})[key] = value
        else:
            tensors[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    return tensors, notes


def read_notes(path: str | os.PathLike) -> dict[str, str]:
    """The metadata of a safetensors file; no tensor is read.

    Args:
        path: the file.

    Returns:
        Texts by name; empty if the file has no metadata.

    Raises:
        Damaged: the file is cut short or is not a safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise Damaged(f"{path} is not a safetensors file: {error}; delete it.") from error


def is_inside(path: str) -> bool:
    """Whether a path that a file names stays in the folder that it counts from.

    It does if it is relative, leads nowhere upwards, and means the same on every system:
    backslashes and drives are refused everywhere.
    """
    parts = path.split("/")
    return bool(path) and not {"", ".", ".."} & set(parts) and not set("\\:\0") & set(path)
