"""The image files below a folder: what is listed, in which order, and what is passed over."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from gc_utils.errors import UserError, brief
from gc_utils.files import is_hidden, is_run, typed_path
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
    are files that do not look like images: of those without an ending of `SUFFIXES` or `UNREAD` the
    first bytes are looked at.

    Args:
        root: the folder. Of a run folder the photographs are listed that a person has put there,
            beside the folders that the run made, which are skipped, as run folders below it are.

    Raises:
        OSError: the folder itself cannot be read.
    """
    tree, seen, linked = Tree(), {_identity(root): "."}, []
    waiting = _list_folder(root, "", tree, linked)  # no recursion: folders nest a thousand deep
    while waiting or linked:
        path, name = waiting.pop() if waiting else linked.pop(0)
        waiting += _enter(path, name, tree, seen, linked)
    return tree


def typed_folder(text: str | os.PathLike, what: str) -> Path:
    """A folder as a person typed it, that the file system can at least be asked for.

    Args:
        text: the path; `~` is a home folder. It need not exist.
        what: where it was typed, for the message.

    Raises:
        UserError: the home folder is nobody's, or the text is no path or one that is too long.
    """
    folder = typed_path(text, what)
    try:
        folder.is_dir()
    except (OSError, ValueError) as error:
        why = str(getattr(error, "strerror", None) or error).lower()
        raise UserError(
            f"{what} {brief(repr(str(text)))} cannot be looked for ({why}): "
            "give the path of a folder."
        ) from error
    return folder


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


def _list_folder(folder: Path, name: str, tree: Tree, linked: list) -> list[tuple[Path, str]]:
    """List the files right in a folder; returns the folders in it, the first to enter last."""
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
            elif count := _count_images(path):
                files = "1 image file" if count == 1 else f"{count} image files"
                why = f"{files} in a folder that notebooks make; put photographs into another one"
                tree.skipped.append((shown_name(inside), why))
        else:
            _list_file(path, inside, tree)
    return folders[::-1]


def _enter(path: Path, name: str, tree: Tree, seen: dict, linked: list) -> list[tuple[Path, str]]:
    """List a folder below another, unless it is one that must not be; returns those in it."""
    shown = shown_name(name)
    try:
        identity = _identity(path)
        if identity in seen:
            tree.skipped.append((shown, f"the same folder as {seen[identity]!r}"))
            return []
        seen[identity] = shown
        if is_run(path):
            tree.skipped.append((shown, "a run folder"))
            return []
        return _list_folder(path, f"{name}/", tree, linked)
    except OSError as error:
        tree.skipped.append((shown, f"a folder that cannot be read: {error.strerror}"))
        return []


def _list_file(path: Path, name: str, tree: Tree) -> None:
    suffix, shown = path.suffix.lower(), shown_name(name)
    if suffix in UNREAD:
        tree.skipped.append((shown, f"{suffix} files are not read; save it as JPEG or PNG"))
        return
    known = suffix in SUFFIXES
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        kind = None
    except OSError as error:  # a link to itself
        if known or not suffix:
            tree.skipped.append((shown, str(error.strerror).lower()))
        return
    if kind is not None and stat.S_ISREG(kind):
        # Browsers, sync programs and people write ".jpg_large", ".JPG.1" or "2019-05-01 12.30.45".
        if known or begins_like_an_image(path):
            tree.files.append((shown, path))
    elif known:
        what = "a link to nothing" if kind is None else "no file, but a pipe, socket or device"
        tree.skipped.append((shown, what))


def _identity(folder: Path) -> tuple:
    """Equal for two paths of one folder."""
    found = folder.stat()
    return (found.st_dev, found.st_ino) if found.st_ino else (os.path.realpath(folder),)


def _made_by_run(name: str) -> bool:
    """Whether a folder in a run folder is one that notebooks make there."""
    return name in MADE or name.endswith(".zarr")


def _count_images(folder: Path) -> int:
    """How many files below a folder have the ending of an image; 0 for arrays, which have none."""
    if folder.name.endswith(".zarr"):
        return 0
    return sum(
        Path(name).suffix.lower() in SUFFIXES and not is_hidden(name)
        for _, _, names in os.walk(folder)
        for name in names
    )
