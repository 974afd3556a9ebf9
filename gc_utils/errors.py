"""Errors that a person can act on."""

from __future__ import annotations

import difflib
import os.path
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what was asked: the command line prints its message without a traceback."""


class Damaged(UserError):
    """A file that was written whole is no longer whole: it is named, and can be made again."""


class DiskFull(UserError, OSError):
    """There is no room for what was to be written; what was there before is as it was."""


def choose(value: str, choices: Iterable[str], what: str) -> str:
    """Return `value` if it is one of `choices`.

    Args:
        value: what the user gave.
        choices: the valid names, in the order in which to list them.
        what: what is being chosen, for the message (`"layer"`).

    Raises:
        UserError: names the value, the nearest valid choice and all of them.
    """
    choices = list(choices)
    if value in choices:
        return value

    def likeness(choice: str) -> tuple[float, int]:
        a, b = str(value).lower(), choice.lower()
        # Of equally good matches the one that begins the same: mixed3c was meant as mixed3b.
        return difflib.SequenceMatcher(None, a, b).ratio(), len(os.path.commonprefix([a, b]))

    near = max(choices, key=likeness, default=None)
    close = near is not None and likeness(near)[0] >= 0.4
    hint = f"; did you mean {near!r}?" if close else "."
    raise UserError(f"unknown {what} {value!r}{hint} Choices: {', '.join(choices)}.")


def whole_numbers(text: str | int, what: str, *, least: int, example: str) -> list[int]:
    """Read several whole numbers from a text, `"16 32"`, smallest first and each once.

    Args:
        text: what the user gave.
        what: what the numbers are, for the message (`"widths"`).
        least: the smallest that makes sense.
        example: a text that would do, for the message.

    Raises:
        UserError: names the text and what is expected.
    """
    words = str(text).split()
    if not words or not all(w.isascii() and w.isdigit() and int(w) >= least for w in words):
        raise UserError(
            f"{what} {text!r}: expected whole numbers of {least} or more, as {example!r}."
        )
    return sorted({int(w) for w in words})
