"""The image files below a folder: what is listed, in which order, and what is passed over."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from gc_utils.files import is_hidden, is_run
from gc_utils.images.decoding import SUFFIXES, UNREAD, begins_like_an_image

MADE = frozenset(
    "checkpoints concepts dimensions equivariance figures gallery intertwiners results rugs".split()
)
"""The folders that notebooks make in a run folder, beside those that end in `.zarr`."""


@dataclass
class Tree:
    """The image files below a folder.

    Attributes:
        files: (name, path) of every file, in a fixed order: a folder's own before those of the
            folders in it, both by name, and what linked folders hold after all others.
        skipped: (name, reason) of what looks like an image or a folder of images and is none.
    """

    files: list[tuple[str, Path]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)


def image_tree(root: Path) -> Tree:
    """List a folder with everything below it, each folder once, whatever links lead to it.

    Hidden files and folders are passed over in silence (see `gc_utils.files.is_hidden`), and so
    are files that do not look like images. Nothing is opened but files without an ending.

    Args:
        root: the folder. Of a run folder the photographs are listed that a person has put there,
            beside what the run made; run folders below it are skipped.

    Raises:
        OSError: the folder itself cannot be read.
    """
    tree, seen, linked = Tree(), {_identity(root): "."}, []
    _list_folder(root, "", tree, seen, linked)
    while linked:
        _enter(*linked.pop(0), tree, seen, linked)
    return tree


def shown_name(name: str) -> str:
    """A file's name as it can be printed, drawn, and written into a UTF-8 file.

    Args:
        name: as the file system has it.

    Returns:
        The name, with `\\xe9` for a byte that is no UTF-8, and `\\n` and the like for what would
        break a line or turn the direction of writing.
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    joiner = "\u200d"  # of emoji
    return "".join(
        c if c.isprintable() or c == joiner else c.encode("unicode_escape").decode() for c in text
    )


def _list_folder(folder: Path, name: str, tree: Tree, seen: dict, linked: list) -> None:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    run, folders = is_run(folder), []
    for entry in entries:
        path, inside = folder / entry.name, f"{name}{entry.name}"
        if is_hidden(entry.name):
            continue
        if entry.is_symlink() and path.is_dir():
            linked.append((path, inside))
        elif entry.is_dir(follow_symlinks=False):
            if not (run and _made_by_run(entry.name)):
                folders.append((path, inside))
        else:
            _list_file(path, inside, tree)
    for path, inside in folders:
        _enter(path, inside, tree, seen, linked)


def _enter(path: Path, name: str, tree: Tree, seen: dict, linked: list) -> None:
    """List a folder below another, unless it is one that must not be."""
    shown = shown_name(name)
    try:
        identity = _identity(path)
        if identity in seen:
            tree.skipped.append((shown, f"the same folder as {seen[identity]!r}"))
            return
        seen[identity] = shown
        if is_run(path):
            tree.skipped.append((shown, "a run folder"))
            return
        _list_folder(path, f"{name}/", tree, seen, linked)
    except OSError as error:
        tree.skipped.append((shown, f"a folder that cannot be read: {error.strerror}"))


def _list_file(path: Path, name: str, tree: Tree) -> None:
    suffix, shown = path.suffix.lower(), shown_name(name)
    if suffix in UNREAD:
        tree.skipped.append((shown, f"{suffix} files are not read; save it as JPEG or PNG"))
        return
    if suffix not in SUFFIXES and suffix:
        return
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        kind = None
    except OSError as error:  # a link to itself
        tree.skipped.append((shown, str(error.strerror).lower()))
        return
    if kind is not None and stat.S_ISREG(kind):
        if suffix or begins_like_an_image(path):
            tree.files.append((shown, path))
    elif suffix:
        what = "a link to nothing" if kind is None else "no file, but a pipe, socket or device"
        tree.skipped.append((shown, what))


def _identity(folder: Path) -> tuple:
    """Equal for two paths of one folder."""
    found = folder.stat()
    return (found.st_dev, found.st_ino) if found.st_ino else (os.path.realpath(folder),)


def _made_by_run(name: str) -> bool:
    """Whether a folder in a run folder is one that notebooks make there."""
    return name in MADE or name.endswith(".zarr")
