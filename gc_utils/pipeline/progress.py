"""What a run says while it works, on any stream, whatever letters the stream can write."""

from __future__ import annotations

import shutil
from typing import TextIO

EVERY = 60.0  # seconds between two lines of a long notebook where nothing can be repainted

# Said instead of what an old terminal's encoding lacks; anything else becomes a question mark.
_PLAIN = str.maketrans({"→": "->", "–": "-", "’": "'", "“": '"', "”": '"', "×": "x", "…": "..."})


def say(stream: TextIO, text: str, end: str = "\n") -> None:
    """Write `text` and `end` to a stream, in as many of its letters as the stream can write.

    Args:
        stream: any text stream; one without an `encoding` takes all text.
        text: what to write.
        end: what to write behind it.
    """
    text += end
    encoding = getattr(stream, "encoding", None)
    if encoding:
        text = encodable(text, encoding)
    try:
        stream.write(text)
    except UnicodeEncodeError:  # it wraps a narrower stream than it says
        stream.write(encodable(text, "ascii"))
    stream.flush()


def encodable(text: str, encoding: str) -> str:
    """`text` as it is if `encoding` has all its letters, otherwise with others in their place."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    return text


def never_raise(*streams: TextIO | None) -> None:
    """Make standard streams write a question mark for what their encoding lacks.

    Their encoding stays as it is: a person's terminal or log has chosen it.

    Args:
        streams: text streams; those that cannot be set, or that already replace, are left alone.
    """
    for stream in streams:
        strict = getattr(stream, "errors", None) in ("strict", "surrogateescape")
        if strict and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds (`"1:05"`)."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


class Line:
    """A notebook's progress: one line rewritten on a terminal, one dot a cell anywhere else.

    Where it is no terminal, a line is said of a notebook that takes long, once a minute.

    Args:
        stream: where it is written.
        head: how the line begins.
    """

    def __init__(self, stream: TextIO, head: str):
        self.stream, self.head = stream, head
        isatty = getattr(stream, "isatty", None)
        self.terminal = bool(isatty and isatty())
        self.dots = 0
        self.said = 0.0  # when a line was said last, in seconds of the notebook
        self.open = True  # whether dots can follow where the writing ended
        self._say(head)

    def note(self, text: str) -> None:
        """Add a remark in brackets to the head."""
        self.head += f" ({text})"
        self._say(f" ({text})")

    def update(self, done: int, cells: int, seconds: float, doing: str = "") -> None:
        """Say how far the notebook is.

        Args:
            done: cells that are done.
            cells: all of them.
            seconds: since it began.
            doing: how far the running cell is, such as "orbits 90/200, 00:12 left".
        """
        now = "  ".join(filter(None, [f"cell {done}/{cells}", clock(seconds), doing]))
        if self.terminal:
            # A line that is wider than the terminal could not be painted over.
            width = shutil.get_terminal_size().columns - 1
            self._say(f"\r\x1b[2K{f'{self.head}  {now}'[:width]}")
            return
        if done > self.dots:
            start = "    " if not self.open else " " if not self.dots else ""
            self._say(start + "." * (done - self.dots))
            self.dots, self.open = done, True
        if seconds - self.said >= EVERY:
            self._say(("\n" if self.open else "") + f"    {now}\n")
            self.said, self.open = seconds, False

    def finish(self, text: str) -> None:
        """End the line with `text`."""
        start = "    " if not self.open else "  "
        self._say(f"\r\x1b[2K{self.head}  {text}\n" if self.terminal else f"{start}{text}\n")

    def _say(self, text: str) -> None:
        say(self.stream, text, end="")
