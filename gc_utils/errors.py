"""Errors that a person can act on."""

from __future__ import annotations

import difflib
import os.path
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what was asked: the command line prints its message without a traceback."""


SHOWN = 80  # letters of a value in a message
LISTED = 40  # choices in a message; of more, the nearest


class Damaged(UserError):
    """A file that was written whole is no longer whole: it is named, and can be made again."""


class DiskFull(UserError, OSError):
    """There is no room for what was to be written; what was there before is as it was."""


def brief(value: object) -> str:
    """A value in as many letters as a message has room for.

    Args:
        value: what the user gave; text as it is, so give `repr(text)` for quotes and no line ends.

    Returns:
        Its text, cut short with an ellipsis.
    """
    try:
        text = str(value)
    except ValueError:  # Python writes no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def choose(value: str, choices: Iterable[str], what: str) -> str:
    """Return `value` if it is one of `choices`.

    Args:
        value: what the user gave.
        choices: the valid names, in the order in which to list them.
        what: what is being chosen, for the message (`"layer"`).

    Raises:
        UserError: names the value, the nearest valid choice and all of them, or the nearest of
            very many.
    """
    choices = list(choices)
    if value in choices:
        return value

    def likeness(choice: str) -> tuple[float, int]:
        a, b = brief(value).lower(), choice.lower()
        # Of equally good matches the one that begins the same: mixed3c was meant as mixed3b.
        return difflib.SequenceMatcher(None, a, b).ratio(), len(os.path.commonprefix([a, b]))

    near = max(choices, key=likeness, default=None)
    close = near is not None and likeness(near)[0] >= 0.4
    hint = f"; did you mean {near!r}?" if close else "."
    listed = f"Choices: {', '.join(choices)}."
    if len(choices) > LISTED:
        nearest = sorted(sorted(choices, key=likeness)[-12:], key=choices.index)
        listed = f"The nearest of {len(choices)} choices: {', '.join(nearest)}."
    raise UserError(f"unknown {what} {brief(repr(value))}{hint} {listed}")


def whole_numbers(
    text: str | int, what: str, *, least: int, most: int | None = None, example: str
) -> list[int]:
    """Read several whole numbers from a text, `"16 32"`, smallest first and each once.

    Args:
        text: what the user gave.
        what: what the numbers are, for the message (`"widths"`).
        least: the smallest that makes sense.
        most: the largest; None for no bound.
        example: a text that would do, for the message.

    Raises:
        UserError: names the text and what is expected.
    """
    words = str(text).split()
    numbers = [int(w) if w.isascii() and w.isdigit() and len(w) < 20 else -1 for w in words]
    wrong = [n for n in numbers if n < least or (most is not None and n > most)]
    if wrong or not numbers:
        bounds = f"of {least} or more" if most is None else f"from {least} to {most}"
        raise UserError(
            f"{what} {brief(repr(text))}: expected whole numbers {bounds}, as {example!r}."
        )
    return sorted(set(numbers))
