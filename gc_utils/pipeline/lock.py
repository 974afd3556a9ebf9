"""One run at a time in a folder, where the file system can tell."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TextIO

from gc_utils.errors import UserError
from gc_utils.pipeline.manifest import short_path
from gc_utils.pipeline.progress import say

# What a lock that somebody else holds is said with. Anything else that goes wrong says that this
# file system has no locks: ENOLCK, ENOTSUP, ENOSYS, EINVAL, ... on network and cloud drives.
HELD = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK})


@contextlib.contextmanager
def alone(
    run_dir: Path, stream: TextIO | None = None, lock: Callable[[IO], None] | None = None
) -> Iterator[None]:
    """Hold the run folder; a second run in it would spoil both.

    Args:
        run_dir: the folder.
        stream: where it is said that the file system has no locks; None for standard output.
        lock: takes the lock of an open file at once or raises `OSError`; None for the system's.

    Raises:
        UserError: another run holds it.
    """
    with contextlib.ExitStack() as until_the_end:
        if missing := _take(until_the_end, run_dir / ".lock", lock or system_lock):
            say(
                stream or sys.stdout,
                f"warning: {short_path(run_dir)} cannot be locked ({missing}): see to it that no "
                "other run works in it",
            )
        yield


def _take(until_the_end: contextlib.ExitStack, path: Path, lock: Callable[[IO], None]) -> str:
    """Hold a lock file; returns why it cannot be held, or nothing."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        return f"{path.name} is no file"  # whoever opens a pipe waits for its other end
    try:
        handle = until_the_end.enter_context(path.open("a", encoding="utf-8"))
    except OSError as error:
        return error.strerror or str(error)
    try:
        lock(handle)
    except OSError as error:
        if error.errno in HELD:
            raise UserError(f"another run is at work in {short_path(path.parent)}") from error
        return error.strerror or str(error)
    return ""


def system_lock(handle: IO) -> None:
    """Take the lock of an open file at once, until it is closed or the process ends.

    Raises:
        OSError: it is held, or there are no locks; `errno` tells which.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        return
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
