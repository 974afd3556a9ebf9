"""One rule for the word that a claim gets: does it hold, and on what was it looked at?"""

from __future__ import annotations

from enum import Enum

REPRODUCED = "reproduced"
ELSEWHERE = "reproduced on another network trained on photographs"
EMBEDDED = "only on the embedded default"
NOT_REPRODUCED = "not reproduced"
NOT_TESTED = "not tested here"
MEANINGS = {
    REPRODUCED: "it holds for the paper's own subject, or for data whose truth is known where the "
    "claim itself is about such data",
    ELSEWHERE: "it holds for another network, trained on photographs by others",
    EMBEDDED: "it holds for the networks that were trained for this project, and only there",
    NOT_REPRODUCED: "what was measured does not agree with it",
    NOT_TESTED: "it could not be asked of what was looked at",
}
VERDICTS = tuple(MEANINGS)


class Evidence(Enum):
    """What a claim was looked at on."""

    KNOWN = "planted, drawn or analytic data whose truth is known"
    PAPER = "the paper's own subject"
    PHOTOGRAPHS = "another network trained on photographs"
    DEFAULT = "the embedded default, which was trained for this project"
    UNTRAINED = "no network that was trained on images"


_WORDS = {
    Evidence.KNOWN: REPRODUCED,
    Evidence.PAPER: REPRODUCED,
    Evidence.PHOTOGRAPHS: ELSEWHERE,
    Evidence.DEFAULT: EMBEDDED,
}


def verdict(holds: bool | None, evidence: Evidence) -> str:
    """The word for a claim; conditions go into the reason that stands beside it.

    Args:
        holds: whether what was measured agrees with the claim; None if it could not be asked, for
            example because there were too few features to compare.
        evidence: what was looked at. `KNOWN` is for claims that are themselves about planted, drawn
            or analytic data. A claim about networks is not tested by `UNTRAINED`, whatever was
            measured.

    Returns:
        One of `VERDICTS`.
    """
    if holds is None or evidence is Evidence.UNTRAINED:
        return NOT_TESTED
    return _WORDS[evidence] if holds else NOT_REPRODUCED


def network_evidence(
    model: str, weights: str, paper: tuple[str, str] | None = ("inceptionv1", "inception5h")
) -> Evidence:
    """What a claim about networks is looked at on when it is measured on this one.

    Args:
        model: the model's name, as `load_model` takes it and a store's settings hold it.
        weights: the name of its weights, as the loaded model has it. Weights from a file of the
            user's own count as trained on photographs: nothing is known of them here.
        paper: model and weights that the claim's paper studied; None if they cannot be had here.

    Returns:
        `PAPER` for the paper's own network, `DEFAULT` for the weights inside the package,
        `UNTRAINED` for random weights, the filter bank and planted orbits, else `PHOTOGRAPHS`:
        for `bvlc_googlenet` too, which has the papers' architecture and not their weights.

    Example:
        >>> network_evidence("inceptionv1", "demo").name
        'DEFAULT'
    """
    if (model, weights) == paper:
        return Evidence.PAPER
    if weights == "random" or model in ("filter_bank", "planted"):
        return Evidence.UNTRAINED
    if (model, weights) == ("inceptionv1", "demo"):
        return Evidence.DEFAULT
    return Evidence.PHOTOGRAPHS
