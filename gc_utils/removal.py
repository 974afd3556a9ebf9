"""What is deleted or replaced: never through a link, and never what may be a person's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

DRAFT = ".gc_utils.part"  # the end of a draft's name; no person calls a file so


def delete(path: Path) -> None:
    """Delete a file or a folder, if it exists; of a link the link alone, wherever it leads.

    Args:
        path: what is deleted.

    Raises:
        OSError: it cannot be deleted.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def draft_beside(path: Path, *, shared: bool = False) -> Path:
    """Where to write what shall become `path`: beside it, so that it can be renamed.

    The name is hidden and has an ending of this package's own: whatever has it is a draft that a
    killed process left behind, and may be deleted.

    Args:
        path: the file or folder that the draft becomes.
        shared: other processes may write the same path, so that the name holds this one's number.
    """
    number = f".{os.getpid()}" if shared else ""
    return path.with_name(f".{path.name}{number}{DRAFT}")


def leads_inside(folder: Path, path: str) -> bool:
    """Whether a path in a folder stays there when the links on its way are followed.

    The last part may be a link itself: `delete` takes that away, and nothing that it leads to.

    Args:
        folder: the folder that the path counts from, which may be reached by links.
        path: relative to it.
    """
    try:
        return (folder / path).parent.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle lead nowhere
        return False
