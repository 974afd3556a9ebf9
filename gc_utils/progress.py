"""Progress bars that a saved notebook keeps as they ended.

The widget of `tqdm.auto` is saved as it began, "0%". In a kernel these bars are one line of text
that is replaced in place, so that the saved output is the last; in a terminal they are tqdm's own.
A log, which keeps every state of a line that is rewritten, is given a line now and then.
"""

from __future__ import annotations

import io
import sys
import time
from typing import Any

from tqdm.std import tqdm

COLUMNS = 88  # of a bar in a notebook or a log
EVERY = 30.0  # seconds between two lines of a log


class _Line(tqdm):
    """A bar that is shown as the output of a notebook's cell."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._shown = None
        super().__init__(*args, file=io.StringIO(), **{"ncols": COLUMNS} | settings)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Replace the line; tqdm calls this, at most ten times a second."""
        from IPython.display import display

        text = {"text/plain": str(self) if msg is None else msg}
        if self._shown is None:
            self._shown = display(text, raw=True, display_id=True)
        else:
            self._shown.update(text, raw=True)
        return True


class _Log(tqdm):
    """A bar in a log or a pipe: a line at most every `EVERY` seconds, and the last."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._said = time.monotonic()
        super().__init__(*args, file=io.StringIO(), **{"ncols": COLUMNS} | settings)

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Write a line if it is time for one; tqdm calls this to refresh, and when it closes."""
        text, now = str(self) if msg is None else msg, time.monotonic()
        if text and (self.disable or now - self._said >= EVERY):  # closing, it is disabled first
            self._said = now
            print(text, file=sys.stderr, flush=True)
        return True


def progress_bar(*args: Any, **settings: Any) -> tqdm:
    """tqdm's bar, in a form that suits where it is shown.

    Args:
        args, settings: as for `tqdm.tqdm`: something to iterate over, or `total`, and `desc`,
            `unit`, `disable` and so on.

    Example:
        >>> sum(progress_bar([1, 2, 3], disable=True))
        6
    """
    if in_kernel():
        return _Line(*args, **settings)
    terminal = sys.stderr is not None and sys.stderr.isatty()
    return (tqdm if terminal else _Log)(*args, **settings)


def in_kernel() -> bool:
    """Whether this is a notebook's kernel, and no plain Python or IPython."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None
