"""Parameters: read as their types, checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gc_utils.errors import UserError, choose
from gc_utils.pipeline.notebooks import LEAST, PICTURES, PRESETS, SIZES, Notebook, literal


def parameter_values(
    notebooks: Iterable[Notebook],
    preset: str,
    given: dict[str, Any],
    selected: Iterable[str] | None = None,
) -> dict[str, dict[str, Any]]:
    """What each notebook is told: of the preset and of what was given, the names it declares.

    Args:
        notebooks: all notebooks.
        preset: a name from `PRESETS`.
        given: parameters by name; texts, as from a command line, are read as the type of the
            notebook's default.
        selected: names of the notebooks to run, None for all.

    Returns:
        For each selected notebook, values by parameter name.

    Raises:
        UserError: an unknown preset or parameter, a value of the wrong type, a value that the
            preset leaves to the person.
    """
    values = dict(PRESETS[choose(preset, PRESETS, "preset")])
    notebooks = list(notebooks)
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
    for name in PICTURES:
        if isinstance(values.get(name), str) and values[name]:
            values[name] = _absolute_images(values[name])
    if values.get("weights_file"):
        values["weights_file"] = str(Path(values["weights_file"]).expanduser().resolve())
    told = {
        n.name: {name: values[name] for name in n.parameters if name in values}
        for n in notebooks
        if n.name in selected
    }
    missing = sorted({name for each in told.values() for name, v in each.items() if v is None})
    if missing:
        raise UserError(
            f"preset {preset!r} leaves {', '.join(missing)} to you; for example "
            f"-p images imagenet:PATH"
        )
    return told


def convert(name: str, value: Any, default: Any) -> Any:
    """Read `value` as the type of a parameter's default.

    Raises:
        UserError: it cannot be read so; says what is expected.
    """
    kind = type(default)
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
    if kind is float and type(result) is int:
        result = float(result)
    if kind in (list, tuple) and isinstance(result, (list, tuple)):
        wanted = {type(item) for item in default}
        if wanted == {float}:
            result = [float(item) if type(item) is int else item for item in result]
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
        raise UserError(f"parameter {name!r} takes {expected} (default {default!r}), not {value!r}")
    return result


def check_values(values: dict[str, Any]) -> None:
    """Find a person's mistakes in the names before anything is computed.

    Args:
        values: parameters by name; those that are not there are not looked at.

    Raises:
        UserError: unknown group, model, weights or layer; images that are not there or too small.
    """
    for name, least in LEAST.items():
        if name in values and values[name] < least:
            raise UserError(f"parameter {name!r} is {values[name]}: expected {least} or more.")
    if "k" in values and values.get("features", values["k"]) < values["k"]:
        raise UserError(f"k = {values['k']} active features of {values['features']}: lower k.")
    if "sparsity" in values:
        from gc_utils.crosscoder.untied import SPARSITY

        choose(values["sparsity"], SPARSITY, "sparsity")
    if values.get("group") == "C1":
        raise UserError("group 'C1' has no symmetry to study: choose C2 or more, or D1 or more.")
    # Imported here: `--help` and a misspelt preset should not wait for torch.
    if "group" in values:
        from gc_utils.groups import group

        group(values["group"])
    smallest = 0
    if "model" in values or "layer" in values:
        from gc_utils.models.load import load_model

        # Weights are loaded, fetched even: a download that fails should fail now.
        name = values.get("model", "inceptionv1")
        model = load_model(
            name,
            values.get("weights") or None,
            values.get("weights_file") or None,
            device="cpu",
            group=values.get("group"),
        )
        if "layer" in values:
            model.check_layer(values["layer"])
            smallest = model.crop_size(values["layer"])
        _check_explained(model, values)
        for name in ("study_layers", "dimension_layers", "action_layers"):
            for layer in str(values.get(name, "")).split():
                model.check_layer(layer)
    if "size" in values:
        choose(values["size"], SIZES, "size")
    if "task" in values:
        from gc_utils.images.labelled import check_task

        check_task(values["task"])
    if "widths" in values:
        from gc_utils.studies.intertwiners.networks import read_widths

        read_widths(values["widths"])
    if "entries" in values and values["entries"] & (values["entries"] - 1):
        raise UserError(
            f"parameter 'entries' is {values['entries']}: expected a power of two, as 1024."
        )
    if "method" in values:
        from gc_utils.inspection.decompositions import METHODS

        choose(values["method"], METHODS, "method")
    if "images" in values:
        from gc_utils.images.photographs import load_images

        load_images(values["images"], seed=values.get("seed", 0), limit=8, min_size=smallest)


def _check_explained(model: Any, values: dict[str, Any]) -> None:
    """Find mistakes in what is to be explained by concepts."""
    layer = values.get("explained_layer", "")
    if layer and min(model.map_size(layer, 63)) < 3:  # the pictures' side, and the head's kernel
        raise UserError(
            f"parameter 'explained_layer' is {layer!r}, which has fewer than 3x3 units on pictures "
            "of 63 pixels: choose a lower layer."
        )
    specs = {n: values[n] for n in ("concept_pictures", "class_pictures") if values.get(n)}
    if not specs:
        return
    if len(specs) < 2:
        raise UserError(
            f"parameter {next(iter(specs))!r} is given alone: 'concept_pictures' and "
            "'class_pictures' belong together."
        )
    if "logits" not in model.layers:
        raise UserError(
            "parameter 'concept_pictures' needs the logits of InceptionV1 with weights "
            f"'inception5h'; these are {model.name!r}, {model.weights!r}."
        )
    if "_" in layer:
        raise UserError(
            f"parameter 'explained_layer' is {layer!r}: with your own pictures expected a whole "
            "layer, such as 'mixed4c', and no branch."
        )
    count = model.channels("logits")
    if values.get("class_number", 0) >= count:
        raise UserError(
            f"parameter 'class_number' is {values['class_number']}: expected 0 to {count - 1}."
        )
    from gc_utils.images.photographs import load_images

    for spec in specs.values():
        load_images(spec, seed=values.get("seed", 0), limit=8)


def defaults_of(notebook: Notebook) -> dict[str, Any]:
    return {name: p.default for name, p in notebook.parameters.items() if name != "run_dir"}


def _absolute_images(spec: str) -> str:
    """The spec with its paths made absolute: notebooks run in a folder of their own."""
    from gc_utils.images.photographs import _parse

    parts = []
    for kind, value in _parse(spec):
        if kind in ("folder", "imagenet"):
            value = str(Path(value).expanduser().resolve())
        parts.append(f"{kind}:{value}" if value else kind)
    return "+".join(parts)
