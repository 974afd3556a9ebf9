"""Files of other people's sites: asked for more than once, checked, and only then given a name."""

from __future__ import annotations

import http.client
import io
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tqdm.std import tqdm

from gc_utils.errors import UserError
from gc_utils.files import write_whole

ATTEMPTS = 3
PAUSE = 1.0  # seconds before the second attempt, twice as long before the third
TIMEOUT = 60.0  # seconds without a byte
CHUNK = 1 << 18  # bytes between two updates of a bar


def fetch(
    url: str, path: Path, problem: Callable[[bytes], str], otherwise: str, bar: tqdm | None = None
) -> bytes:
    """Download a file, check it, and only then give it its name.

    A connection that fails and bytes that arrive damaged are tried again (`ATTEMPTS` in all); a
    server that says that the file is not there, or not for us, is not asked again.

    Args:
        url: its address.
        path: where to keep it; its folder is made.
        problem: says of its bytes what is wrong with them, as the end of a sentence that begins
            with the file; empty if they are the ones expected.
        otherwise: what a person can do instead, in sentences; ends every message.
        bar: moves on with every byte, if given.

    Returns:
        Its bytes.

    Raises:
        UserError: if it cannot be had, is not the file expected or cannot be kept. Nothing is
            left behind.
    """
    failure = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(PAUSE * attempt)
        try:
            data = _read(url, bar)
        except (OSError, http.client.HTTPException) as error:
            failure = f"cannot download {url} ({error})"
            if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                break
            continue
        if found := problem(data):
            failure = f"the download of {url} {found}"
            if bar is not None:
                bar.update(-len(data))
            continue
        keep(path, data)
        return data
    raise UserError(f"{failure}. {otherwise}")


def keep(path: Path, data: bytes) -> None:
    """Write a file of the cache whole.

    Raises:
        UserError: if there is no room for it, or its folder cannot be written.
    """
    try:
        with write_whole(path, shared=True) as draft:
            draft.write_bytes(data)
    except OSError as error:
        raise cannot_keep(path, error) from error


def cannot_keep(path: Path, error: OSError) -> UserError:
    """What to say when a file of the cache cannot be written."""
    return UserError(
        f"cannot keep {path.name!r} in {str(path.parent)!r} ({error}): make room there, or set "
        "TORCH_HOME to another folder."
    )


def _read(url: str, bar: tqdm | None) -> bytes:
    """All bytes of an address; a bar is where it was if they do not arrive."""
    data = io.BytesIO()
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            whole = response.headers.get("Content-Length")  # None if the server does not say
            while chunk := response.read(CHUNK):
                data.write(chunk)
                if bar is not None:
                    bar.update(len(chunk))
        if whole is not None and data.tell() < int(whole):  # a read in pieces does not say so
            raise http.client.IncompleteRead(data.getvalue(), int(whole) - data.tell())
    except BaseException:
        if bar is not None:
            bar.update(-data.tell())
        raise
    return data.getvalue()
