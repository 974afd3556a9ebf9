"""What a run says while it works, on any stream, whatever letters the stream can write."""

from __future__ import annotations

from typing import TextIO

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

    Args:
        stream: where it is written.
        head: how the line begins.
    """

    def __init__(self, stream: TextIO, head: str):
        self.stream, self.head = stream, head
        isatty = getattr(stream, "isatty", None)
        self.terminal = bool(isatty and isatty())
        self.dots = 0
        self._say(head)

    def note(self, text: str) -> None:
        """Add a remark in brackets to the head."""
        self.head += f" ({text})"
        self._say(f" ({text})")

    def update(self, done: int, cells: int, seconds: float) -> None:
        """Say that `done` of `cells` cells are done after `seconds`."""
        if self.terminal:
            self._say(f"\r\x1b[2K{self.head}  cell {done}/{cells}  {clock(seconds)}")
        elif done > self.dots:
            self._say((" " if not self.dots else "") + "." * (done - self.dots))
            self.dots = done

    def finish(self, text: str) -> None:
        """End the line with `text`."""
        self._say(f"\r\x1b[2K{self.head}  {text}\n" if self.terminal else f"  {text}\n")

    def _say(self, text: str) -> None:
        say(self.stream, text, end="")
