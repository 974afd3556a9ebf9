"""Errors that a person can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in what was asked: the command line prints its message without a traceback."""


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
    near = difflib.get_close_matches(str(value).lower(), [c.lower() for c in choices], 1, 0.4)
    near = [c for c in choices if c.lower() in near][:1]
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise UserError(f"unknown {what} {value!r}{hint} Choices: {', '.join(choices)}.")
