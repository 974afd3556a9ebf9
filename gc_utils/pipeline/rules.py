"""Rules: which values a parameter may have, and how a mistake is said.

A rule is bounds, choices, or a check that looks further: at the model that the values name, or at
the folder with the images. A parameter means the same in every notebook, so that a rule which
several records share is a constant here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from gc_utils.errors import UserError, brief, choose, whole_numbers

if TYPE_CHECKING:
    from gc_utils.models import Model


class Asked:
    """Values that were asked for, by parameter, and the model they name, loaded when needed."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    @property
    def names_a_model(self) -> bool:
        """Whether the values say anything about a model."""
        return not {"model", "layer"}.isdisjoint(self.values)

    @cached_property
    def model(self) -> Model:
        """The model, with its weights: fetched even, as a download that fails should fail now.

        Weights that come in parts are fetched by `Model.prepare`, when a layer is checked.

        Raises:
            UserError: an unknown model, unknown weights, or weights that cannot be had.
        """
        from gc_utils.models.load import load_model

        file = self.values.get("weights_file") or None
        try:
            return load_model(
                self.values.get("model", "inceptionv1"),
                self.values.get("weights") or None,
                file,
                device="cpu",
                group=self.values.get("group"),
            )
        except OSError as error:  # a name too long, a file that may not be read
            if file is None:
                raise
            raise UserError(
                f"parameter 'weights_file' is {brief(repr(file))}: {error.strerror or error}."
            ) from error

    @property
    def seed(self) -> int:
        """Of the choice of images."""
        return self.values.get("seed", 0)


@dataclass(frozen=True)
class Rule:
    """Which values a parameter may have.

    Attributes:
        least: the smallest value; of a list, of each of its items. None for no bound.
        most: the largest value, in the same way.
        over: a number that a value has to be larger than.
        choices: the names that there are, or where a module lists them
            (`"gc_utils.images.orbits:WINDOWS"`), looked up only when a value is checked: `--help`
            and a misspelt preset should not wait for torch.
        check: called with the parameter's name, its value and everything that was asked for, after
            the bounds and choices of all parameters; raises UserError.
        holds: "images" if the value says where images come from, "path" if it is a path, "data" if
            it is a name with a folder behind it, as `cifar10:FOLDER`. Such paths are made absolute,
            and images that change make a notebook stale.
    """

    least: float | None = None
    most: float | None = None
    over: float | None = None
    choices: tuple[str, ...] | str = ()
    check: Callable[[str, Any, Asked], None] | None = None
    holds: Literal["", "images", "path", "data"] = ""

    @property
    def bounds(self) -> str:
        """The bounds in words, empty without any."""
        over, least, most = (
            "" if bound is None else f"{bound:,}" for bound in (self.over, self.least, self.most)
        )
        if over:
            return f"more than {over}" + (f" and at most {most}" if most else "")
        if least and most:
            return f"{least} to {most}"
        if least:
            return f"{least} or more"
        return f"{most} or less" if most else ""

    def check_bounds(self, name: str, value: Any) -> None:
        """Refuse a value that is out of bounds, not finite, or none of the choices.

        Args:
            name: of the parameter, for the message.
            value: as its notebook takes it.

        Raises:
            UserError: names the parameter, the value, and the bounds or choices.
        """
        if self.choices:
            choose(value, self._listed(), name)
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, str) or self._within(item):
                continue
            expected = self.bounds or "a finite number"
            raise UserError(f"parameter {name!r} is {brief(value)}: expected {expected}.")

    def _within(self, number: float) -> bool:
        return (
            (isinstance(number, int) or math.isfinite(number))  # ints may be too large for a float
            and (self.least is None or number >= self.least)
            and (self.most is None or number <= self.most)
            and (self.over is None or number > self.over)
        )

    def _listed(self) -> tuple[str, ...]:
        if not isinstance(self.choices, str):
            return self.choices
        module, _, name = self.choices.partition(":")
        return tuple(getattr(import_module(module), name))


# --- checks --------------------------------------------------------------------------------------


def _can_be_loaded(name: str, value: str, asked: Asked) -> None:
    if asked.names_a_model:
        asked.model  # noqa: B018  loading it is the check


def _has_symmetry(name: str, value: str, asked: Asked) -> None:
    from gc_utils.groups import group

    if value == "C1":
        raise UserError("group 'C1' has no symmetry to study: choose C2 or more, or D1 or more.")
    group(value)


def _are_layers(name: str, value: str, asked: Asked) -> None:
    if not asked.names_a_model:
        return  # 04c alone: its model is the one that the store in the run folder was made with
    for layer in str(value).split():
        asked.model.prepare(layer)


def _is_a_layer(name: str, value: str, asked: Asked) -> None:
    asked.model.prepare(value)


def _are_images(name: str, value: str, asked: Asked) -> None:
    from gc_utils.images.photographs import load_images

    smallest = asked.model.crop_size(asked.values["layer"]) if "layer" in asked.values else 0
    limit = min(8, asked.values.get("limit") or 8)
    found = load_images(value, seed=asked.seed, limit=limit, min_size=smallest)
    if len(found) < 2:
        raise UserError(
            f"parameter {name!r} is {value!r}: {found.summary().removesuffix('.')}; expected at "
            "least 2 photographs, so that whole ones can be held out."
        )


def _no_more_than_features(name: str, value: int, asked: Asked) -> None:
    if asked.values.get("features", value) < value:
        raise UserError(
            f"{name} = {value} active features of {asked.values['features']}: lower {name}."
        )


def _are_families(name: str, value: str, asked: Asked) -> None:
    from gc_utils.crosscoder.tied import parse_families
    from gc_utils.groups import group

    if not value:
        return
    stabilisers = parse_families(value)
    if "group" in asked.values:
        known = {s.name: s for s in group(asked.values["group"]).subgroups()}
        order = group(asked.values["group"]).order
        features = sum(
            order // known[choose(one, known, f"stabiliser in {asked.values['group']}")].order
            for one in stabilisers
        )
        FEATURES.check_bounds(f"{name} (features of all templates)", features)
        if asked.values.get("k", 1) > features:
            raise UserError(
                f"k = {asked.values['k']} active features of {features}, which {name} "
                f"{brief(repr(value))} stands for under {asked.values['group']}: lower k."
            )


def _are_sizes(name: str, value: list[float], asked: Asked) -> None:
    if len(value) > 16:
        raise UserError(f"parameter {name!r} holds {len(value)} numbers: expected 16 or fewer.")


def _is_a_feature(name: str, value: int, asked: Asked) -> None:
    if asked.values.get("tied"):
        return  # how many there are depends on what training merges
    features = asked.values.get("features")
    if features and value >= features:
        raise UserError(
            f"parameter {name!r} is {value}: this crosscoder has features 0 to {features - 1}."
        )


def _is_a_device(name: str, value: str, asked: Asked) -> None:
    from gc_utils.models.base import pick_device

    pick_device(value)


def _is_a_task(name: str, value: str, asked: Asked) -> None:
    from gc_utils.images.labelled import check_task

    check_task(value)


def _are_widths(name: str, value: str, asked: Asked) -> None:
    whole_numbers(value, name, least=4, most=4096, example="16 32 64")


def _is_a_power_of_two(name: str, value: int, asked: Asked) -> None:
    if value & (value - 1):
        raise UserError(f"parameter {name!r} is {value}: expected a power of two, as 1024.")


def _can_be_explained(name: str, value: str, asked: Asked) -> None:
    if not value:
        return
    if min(asked.model.map_size(value, 63)) < 3:  # the images' side, and the head's kernel
        raise UserError(
            f"parameter {name!r} is {value!r}, which has fewer than 3x3 units on images "
            "of 63 pixels: choose a lower layer."
        )


def _is_below_logits(name: str, value: str, asked: Asked) -> None:
    if "logits" not in asked.model.layers:
        return  # it is not used
    asked.model.check_layer(value)
    if "_" in value or value == "logits":
        raise UserError(
            f"parameter {name!r} is {value!r}: expected a whole layer below the logits, such as "
            "'mixed4c', and no branch."
        )


def _own_pictures(asked: Asked) -> list[str]:
    """Which of the two folders of a person's own concept and class are given."""
    return [n for n in ("concept_pictures", "class_pictures") if asked.values.get(n)]


def _belong_together(name: str, value: str, asked: Asked) -> None:
    if not value:
        return
    if len(_own_pictures(asked)) < 2:
        raise UserError(
            f"parameter {name!r} is given alone: 'concept_pictures' and 'class_pictures' belong "
            "together."
        )
    if "logits" not in asked.model.layers:
        raise UserError(
            f"parameter {name!r} needs the logits of InceptionV1 with weights 'inception5h' or "
            f"'bvlc_googlenet'; these are {asked.model.name!r}, {asked.model.weights!r}."
        )
    from gc_utils.images.photographs import load_images

    load_images(value, seed=asked.seed, limit=8)


def _is_a_logit(name: str, value: int, asked: Asked) -> None:
    if len(_own_pictures(asked)) == 2 and "logits" in asked.model.layers:
        Rule(least=0, most=asked.model.channels("logits") - 1).check_bounds(name, value)


# --- rules that records share --------------------------------------------------------------------

# The largest values are beyond what any machine would finish: what is larger is a slip of the hand.
MILLIONS = 10_000_000
COUNT = Rule(least=1, most=MILLIONS)
COUNT_OR_NONE = Rule(least=0, most=MILLIONS)
FEATURES = Rule(least=1, most=1_000_000)
FEW = Rule(least=1, most=1000)
FEW_OR_NONE = Rule(least=0, most=1000)
LEARNING_RATE = Rule(over=0, most=1)
RATE = Rule(over=0, most=0.5)
# Notebooks derive 32-bit seeds from it, such as 1000 · seed + 1.
SEED = Rule(least=0, most=1_000_000)

MODEL = Rule(check=_can_be_loaded)
WEIGHTS = Rule(check=_can_be_loaded)
WEIGHTS_FILE = Rule(check=_can_be_loaded, holds="path")
LAYER = Rule(check=_is_a_layer)
LAYERS = Rule(check=_are_layers)
EXPLAINED_LAYER = Rule(check=_can_be_explained)
LOGITS_LAYER = Rule(check=_is_below_logits)
GROUP = Rule(check=_has_symmetry)
IMAGES = Rule(check=_are_images, holds="images")
OWN_PICTURES = Rule(check=_belong_together, holds="images")
CLASS_NUMBER = Rule(least=0, most=999_999, check=_is_a_logit)
DTYPE = Rule(choices="gc_utils.activations.numbers:DTYPES")
WINDOW = Rule(choices="gc_utils.images.orbits:WINDOWS")

ACTIVE = Rule(least=1, most=MILLIONS, check=_no_more_than_features)
TIED = Rule(check=_are_families)
SPARSITY = Rule(choices="gc_utils.crosscoder.untied:SPARSITY")
DEVICE = Rule(check=_is_a_device)
PRECISION = Rule(choices="gc_utils.crosscoder.training:PRECISIONS")

SIZE = Rule(choices=("small", "full"))
METHOD = Rule(choices="gc_utils.inspection.decompositions:METHODS")
TASK = Rule(check=_is_a_task, holds="data")
WIDTHS = Rule(check=_are_widths)
FEATURE = Rule(least=-1, most=FEATURES.most - 1, check=_is_a_feature)
SIZES = Rule(over=0, most=64, check=_are_sizes)
ENTRIES = Rule(least=512, most=65_536, check=_is_a_power_of_two)
