"""Parameters: read as their types, checked before anything runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gc_utils.errors import UserError, brief, choose
from gc_utils.files import typed_path
from gc_utils.pipeline.notebooks import Notebook, literal
from gc_utils.pipeline.presets import preset_values
from gc_utils.pipeline.record import Record, rules_of
from gc_utils.pipeline.records import RECORDS
from gc_utils.pipeline.rules import Asked


def parameter_values(
    notebooks: Iterable[Notebook],
    preset: str,
    given: dict[str, Any],
    selected: Iterable[str] | None = None,
    records: Iterable[Record] = RECORDS,
) -> dict[str, dict[str, Any]]:
    """The values for each notebook: of the preset and of those given, the names it declares.

    Args:
        notebooks: all notebooks.
        preset: a name from `PRESETS`.
        given: parameters by name; texts, as from a command line, are read as the type of the
            notebook's default.
        selected: names of the notebooks to run, None for all.
        records: with the values of presets and the rules.

    Returns:
        For each selected notebook, values by parameter name.

    Raises:
        UserError: an unknown preset or parameter, a value of the wrong type, a value that the
            preset leaves to the person.
    """
    records, notebooks = list(records), list(notebooks)
    values = preset_values(preset, records)
    selected = [n.name for n in notebooks] if selected is None else list(selected)
    defaults: dict[str, Any] = {}
    owners: dict[str, list[str]] = {}
    for notebook in notebooks:
        for name, parameter in notebook.parameters.items():
            defaults.setdefault(name, parameter.default)
            owners.setdefault(name, []).append(notebook.name)
    for name, value in given.items():
        if name == "run_dir":
            raise UserError("the run folder is set with --output, not with -p run_dir")
        choose(name, [known for known in defaults if known != "run_dir"], "parameter")
        if not set(owners[name]) & set(selected):
            raise UserError(
                f"parameter {name!r} is for {', '.join(owners[name])}, which would not run"
            )
        values[name] = convert(name, value, defaults[name])
    if "model" in given and "weights" not in given and "weights" in values:
        values["weights"] = ""  # a preset's weights are InceptionV1's: take the model's own
    for name, rule in rules_of(records).items():
        if rule.holds and isinstance(values.get(name), str) and values[name]:
            with _said_of(name, values[name]):
                values[name] = _ABSOLUTE[rule.holds](name, values[name])
    chosen = {
        n.name: {name: values[name] for name in n.parameters if name in values}
        for n in notebooks
        if n.name in selected
    }
    missing = sorted({name for each in chosen.values() for name, v in each.items() if v is None})
    if missing:
        raise UserError(
            f"preset {preset!r} leaves {', '.join(missing)} to you; for example "
            f"-p images imagenet:PATH"
        )
    return chosen


def convert(name: str, value: Any, default: Any) -> Any:
    """Read `value` as the type of a parameter's default.

    Raises:
        UserError: it cannot be read so; says what is expected.
    """
    kind = type(default)
    if isinstance(value, str) and "\0" in value:
        raise UserError(
            f"parameter {name!r} is {brief(repr(value))}: expected a text without null characters."
        )
    if default is None:
        return literal(value) if isinstance(value, str) else value
    result = value
    if isinstance(value, str) and kind is not str:
        if kind is bool:
            result = {"true": True, "yes": True, "1": True}.get(value.lower(), None)
            if value.lower() in ("false", "no", "0"):
                result = False
        else:
            result = literal(value)
            if kind in (list, tuple) and not isinstance(result, (list, tuple)):
                result = [literal(part.strip()) for part in value.split(",")]
    if kind is float:
        result = _as_float(result)
    if kind in (list, tuple) and isinstance(result, (list, tuple)):
        wanted = {type(item) for item in default}
        if wanted == {float}:
            result = [_as_float(item) for item in result]
        if wanted and any(type(item) not in wanted for item in result):
            result = None
        else:
            result = kind(result)
    if type(result) is not kind:
        expected = {
            bool: "true or false",
            int: "a whole number",
            float: "a number",
            list: "a list such as 1,2,3",
            tuple: "a list such as 1,2,3",
            str: "a text",
        }.get(kind, f"a {kind.__name__}")
        raise UserError(
            f"parameter {name!r} takes {expected} (default {default!r}), not {brief(repr(value))}"
        )
    return result


def _as_float(value: Any) -> Any:
    """A whole number as a float, what is too large for one as infinity; anything else as it is."""
    if type(value) is not int:
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def check_values(
    values: dict[str, Any],
    records: Iterable[Record] = RECORDS,
    earlier: Mapping[str, Any] | None = None,
) -> None:
    """Find a person's mistakes before anything is computed.

    Args:
        values: parameters by name; those that are not there are not looked at.
        records: with the rules.
        earlier: what notebooks ran with whose products are used and which do not run again, by
            parameter. Nothing is wrong with these, but others may have to agree with them.

    Raises:
        UserError: a value out of bounds; an unknown group, model, weights, layer or other name;
            images that are not there or too small.
    """
    rules = {name: rule for name, rule in rules_of(records).items() if name in values}
    for name, rule in rules.items():
        rule.check_bounds(name, values[name])
    asked = Asked({**(earlier or {}), **values})
    for name, rule in rules.items():
        if rule.check:
            with _said_of(name, values[name], asked.values):
                rule.check(name, values[name], asked)


def defaults_of(notebook: Notebook) -> dict[str, Any]:
    return {name: p.default for name, p in notebook.parameters.items() if name != "run_dir"}


@contextmanager
def _said_of(name: str, value: Any, others: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Name a value in what is said of it, and say what the operating system says of it (a name too
    long, a folder that may not be read) as a mistake.

    Args:
        name: of the parameter.
        value: as it was asked for.
        others: the values of all parameters; a message that names one of them is left as it is.
    """
    try:
        yield
    except UserError as error:
        said = str(error)
        others = others or {}
        texts = [brief(repr(v)) for v in (value, *others.values()) if v and isinstance(v, str)]
        weights = others.get("weights") or name  # in the address that they are fetched from
        if any(text in said for text in (name, weights, *texts)):
            raise
        raise UserError(f"parameter {name!r} is {brief(repr(value))}: {said}") from error
    except OSError as error:
        raise UserError(
            f"parameter {name!r} is {brief(repr(value))}: {error.strerror or error}."
        ) from error
    except UnicodeEncodeError as error:
        raise UserError(
            f"parameter {name!r} is {brief(repr(value))}: this system's encoding "
            f"({error.encoding}) has no such letters; set LC_ALL to a UTF-8 locale."
        ) from error


def _absolute(name: str, path: str) -> str:
    try:
        return str(typed_path(path, f"parameter {name!r} is").resolve())
    except RuntimeError as error:  # links that lead to each other
        raise UserError(f"parameter {name!r} is {brief(repr(path))}: {error}.") from error


def _absolute_data(name: str, value: str) -> str:
    kind, colon, folder = value.partition(":")
    return f"{kind}:{_absolute(name, folder)}" if folder else kind + colon


def _absolute_images(name: str, spec: str) -> str:
    """The spec with its paths made absolute: notebooks run in a folder of their own."""
    from gc_utils.images.photographs import WITH_PATHS, _parse

    parts = []
    for kind, value in _parse(spec):
        if kind in WITH_PATHS and value:
            value = _absolute(name, value)
        parts.append(f"{kind}:{value}" if value else kind)
    return "+".join(parts)


_ABSOLUTE = {"images": _absolute_images, "path": _absolute, "data": _absolute_data}
