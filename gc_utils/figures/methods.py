"""One table of the methods that figures compare: colour, mark and name of each.

A colour is a method, whatever the notebook: blue the crosscoder that reads the orbit, vermilion the
one that reads the unrotated view (the paper's), purple the tied one, green the sparse autoencoder.
A filled mark is a refined dictionary, a hollow one a dictionary as it was trained, so that the two
can stand side by side. Every method has a mark of its own, too, and can be read without colour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from matplotlib.lines import Line2D

from gc_utils.figures.style import DASHED, GREY, OKABE_ITO

BROWN, VIOLET = "#8B5A2B", "#5B3A8C"


@dataclass(frozen=True)
class Look:
    """How a method is drawn.

    Attributes:
        name: What a reader calls it.
        colour: Its colour.
        marker: Its mark, as matplotlib names it.
        filled: Whether the mark is filled; hollow is a dictionary that is not refined, and a line
            of it is dashed.
    """

    name: str
    colour: str
    marker: str
    filled: bool = True

    @property
    def mark(self) -> dict[str, object]:
        """Arguments of `plot` for marks without a line."""
        return self._face() | {"ls": ""}

    @property
    def line(self) -> dict[str, object]:
        """Arguments of `plot` for a line with marks."""
        return self._face() | {"ls": "-" if self.filled else DASHED}

    def handle(self, *, line: bool = False) -> Line2D:
        """The method's entry in a legend.

        Args:
            line: Whether it is drawn as a line with marks.
        """
        return Line2D([], [], ms=6.5, label=self.name, **(self.line if line else self.mark))

    def _face(self) -> dict[str, object]:
        face = self.colour if self.filled else "white"
        return {"color": self.colour, "marker": self.marker, "mfc": face, "mec": self.colour}


_BLUE, _RED, _GREEN = OKABE_ITO["blue"], OKABE_ITO["vermilion"], OKABE_ITO["green"]
_PURPLE, _ORANGE, _SKY = OKABE_ITO["purple"], OKABE_ITO["orange"], OKABE_ITO["sky"]

# By the names that tables give the methods, planted trials' among them.
METHODS: dict[str, Look] = {
    "crosscoder, refined": Look("crosscoder, orbit encoder, refined", _BLUE, "o"),
    "crosscoder": Look("crosscoder, orbit encoder", _BLUE, "o", filled=False),
    "crosscoder, no translation": Look("crosscoder, no translation", _SKY, "h", filled=False),
    "refined, identity encoder": Look("crosscoder, identity encoder, refined", _RED, "s"),
    "crosscoder, identity encoder": Look("crosscoder, identity encoder", _RED, "s", filled=False),
    "tied crosscoder": Look("tied crosscoder, orbit encoder", _PURPLE, "D"),
    "tied, identity encoder": Look("tied crosscoder, identity encoder", _PURPLE, "d"),
    "sparse autoencoder": Look("sparse autoencoder", _GREEN, "^"),
    "SAE, regressed blocks": Look("SAE, blocks by regression", _GREEN, "^"),
    "SAE, one fitted rotation": Look("SAE, one fitted rotation", _GREEN, ">"),
    "blocks of width 2": Look("subspaces of 2 dimensions", BROWN, "p"),
    "blocks of width 4": Look("subspaces of 4 dimensions", BROWN, "P"),
    "ridge": Look("ridge from the unrotated view", _ORANGE, "*"),
    "PCA": Look("PCA", OKABE_ITO["black"], "X"),
    "NMF": Look("NMF", "#9A8700", "v"),
    "ICA": Look("ICA", VIOLET, "<"),
    "sparse dictionary": Look("sparse dictionary", _BLUE, "o"),
    "random directions": Look("random directions", GREY, "."),
}
# Where only whether it is refined is compared.
STATES: Mapping[str, Look] = {
    "raw": Look("as trained", _BLUE, "o", filled=False),
    "refined": Look("refined", _BLUE, "o"),
}
BEFORE = ", before refining"  # ends the name of a dictionary beside its refined form
_FALLBACK = (
    (_BLUE, "o"),
    (_RED, "s"),
    (_GREEN, "^"),
    (_PURPLE, "D"),
    (_ORANGE, "v"),
    (_SKY, "h"),
    (OKABE_ITO["black"], "X"),
)


def method_look(name: str, *, refined: bool | None = None, order: int = 0) -> Look:
    """The look of a method, by the name that a table gives it.

    Args:
        name: A key of `METHODS`, or a name that begins with one ("PCA, 32 components"); a
            crosscoder "…, orbit encoder" is the one that is called "crosscoder" in `METHODS`. With
            the suffix ", before refining" it is drawn hollow.
        refined: Whether the dictionary is refined, where the name does not say so; None leaves
            what `METHODS` says.
        order: Where the method stands among several that are in no table: their looks differ.

    Returns:
        The look; its name is `name`, unless `METHODS` has a better one for it.
    """
    stem = name.removesuffix(BEFORE)
    if stem != name:
        refined = False
    key = "crosscoder" if stem == "crosscoder, orbit encoder" else stem
    if key not in METHODS:
        key = next((known for known in METHODS if key.startswith((f"{known} ", f"{known},"))), "")
    if not key:
        colour, marker = _FALLBACK[order % len(_FALLBACK)]
        found = Look(name, colour, marker)
    else:
        found = METHODS[key] if key == name else replace(METHODS[key], name=name)
    return found if refined is None else replace(found, filled=refined)
