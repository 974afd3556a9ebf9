"""What a `run.json` has to hold: kinds are looked at once, by everybody who reads it.

Products are deleted by what the file says, and a value of another kind than the one expected would
be found out half-way through.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gc_utils.errors import brief
from gc_utils.pipeline.record import rules_of
from gc_utils.pipeline.records import RECORDS

FORMAT = 1
NUMBER = (int, float)
TOP = {"preset": str, "parameters": dict, "versions": dict, "platform": dict, "notebooks": dict}
RECORD = {"status": str, "inputs": dict, "outputs": dict, "there": dict, "turn": int}
RECORD |= {"started": str, "stale": str, "error": str}
RECORD |= {"seconds": NUMBER, "cells": int, "peak_memory_mb": NUMBER}
INPUTS = {"parameters": dict, "upstream": dict, "code": dict}
INPUTS |= {"notebook": str, "pictures": str, "files": str}
PRODUCT = {"sha256": str, "bytes": int}
# Parameters whose texts are looked into.
TEXTS = {"model", "weights", "layer", "group"}
TEXTS |= {name for name, rule in rules_of(RECORDS).items() if rule.holds}
WORDS = {str: "a text", dict: "names with values", int: "a whole number", NUMBER: "a number"}
MOST = 10**15  # of a number: more bytes, seconds or turns than any run has


class OtherVersion(ValueError):
    """A `run.json` of another format."""


def read_run(path: Path, required: Iterable[str], *, whole: bool) -> dict[str, Any]:
    """The content of a `run.json` in which everything is of the kind that it is written with.

    Args:
        path: the file.
        required: names that it must have at the top.
        whole: refuse records of notebooks that lack something. Otherwise what is lacking is added
            as what is not known, for readers that show what there is.

    Raises:
        OSError: it cannot be read.
        OtherVersion: another version of this package wrote it.
        ValueError: it is damaged; the message names the place.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is no file: delete or rename what has its name")  # a pipe would block
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # What Python reads and cannot write: half of a surrogate pair, NaN.
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("its parts are nested too deeply") from error
    except UnicodeEncodeError as error:
        raise ValueError(f"it holds {error.object[error.start]!r}, which is no letter") from error
    if not isinstance(content, dict):
        raise ValueError(f"it holds {_said(content)}, expected names with values")
    if (written := content.get("format", FORMAT)) != FORMAT:
        raise OtherVersion(f"its format is {_said(written)}, expected {FORMAT}")
    _check(content, "it", TOP, required)
    _check_parameters(content.get("parameters", {}), "parameters")
    for name, record in content.get("notebooks", {}).items():
        where = f"the record of {name!r}"
        if not whole and isinstance(record, dict):
            record |= {"status": "unknown", "inputs": {}, "outputs": {}} | record
        _check_record(record, where)
        if not whole:
            record["inputs"] = {"parameters": {}, "upstream": {}} | record["inputs"]
        _check(record["inputs"], f"{where}, 'inputs',", {}, ("parameters", "upstream"))
    return content


def _check_record(record: Any, where: str) -> None:
    """Refuse the record of a notebook in which something is of another kind."""
    _check(record, where, RECORD, ("status", "inputs", "outputs"))
    for product, made in record["outputs"].items():
        _check(made, f"{where}, output {product!r}", PRODUCT, ("sha256",))
    _check_texts(record.get("there", {}), f"{where}, 'there'")
    given = record["inputs"]
    _check(given, f"{where}, 'inputs',", INPUTS, ())
    for name in ("upstream", "code"):
        _check_texts(given.get(name, {}), f"{where}, {name!r}")
    _check_parameters(given.get("parameters", {}), f"{where}, 'parameters'")


def _check(
    found: Any, where: str, kinds: dict[str, type | tuple[type, ...]], required: Iterable[str]
) -> None:
    """Refuse what does not have the names it must have, or a value of another kind."""
    if not isinstance(found, dict):
        raise ValueError(f"{where} is {_said(found)}, expected names with values")
    for name in required:
        if name not in found:
            raise ValueError(f"{where} has no {name!r}")
    for name, kind in kinds.items():
        if name not in found:
            continue
        value = found[name]
        right = isinstance(value, kind) and not isinstance(value, bool)
        if not right or (isinstance(value, NUMBER) and not 0 <= value < MOST):
            raise ValueError(f"{where} has {name} {_said(value)}, expected {WORDS[kind]}")


def _check_texts(found: dict[str, Any], where: str) -> None:
    for name, value in found.items():
        if not isinstance(value, str):
            raise ValueError(f"{where} has {name} {_said(value)}, expected a text")


def _check_parameters(found: dict[str, Any], where: str) -> None:
    for name, value in found.items():
        if name in TEXTS and value is not None and not isinstance(value, str):
            raise ValueError(f"{where} has {name} {_said(value)}, expected a text")
        if isinstance(value, dict):
            raise ValueError(f"{where} has {name} {_said(value)}, expected a value")


def _said(value: Any) -> str:
    """A value in a message."""
    return brief(repr(value)) if not isinstance(value, int) else brief(value)
