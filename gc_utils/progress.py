"""Progress bars that a saved notebook keeps as they ended.

The widget of `tqdm.auto` is saved as it began, "0%". In a kernel these bars are one line of text
that is replaced in place, so that the saved output is the last; in a terminal they are tqdm's own;
in a file they are a plain line now and then.
"""

from __future__ import annotations

import io
import math
import sys
import time
from typing import Any

from tqdm.std import tqdm

COLUMNS = 88  # of a bar in a notebook
EVERY = 30.0  # seconds between two lines in a file


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


class _Plain(tqdm):
    """A bar whose output goes to a file, in which nothing can be painted over."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._said = time.monotonic()
        often = {"mininterval": EVERY, "maxinterval": EVERY, "ncols": COLUMNS}
        super().__init__(*args, **settings | often | {"file": io.StringIO()})

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Write a line, but none of a bar that has just begun or is taken away."""
        now = time.monotonic()
        if msg is None and self.n > self.initial and now - self._said >= EVERY:
            print(str(self), file=sys.stderr, flush=True)
            self._said = now
        return True

    def close(self) -> None:
        """Write the last line."""
        self._said = -math.inf
        super().close()


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
    isatty = getattr(sys.stderr, "isatty", None)
    painted = bool(isatty and isatty())
    return (tqdm if painted else _Plain)(*args, **settings)


def in_kernel() -> bool:
    """Whether this is a notebook's kernel, and no plain Python or IPython."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return getattr(get_ipython(), "kernel", None) is not None
