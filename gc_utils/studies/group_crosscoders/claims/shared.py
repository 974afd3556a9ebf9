"""What the claims of several notebooks have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gc_utils.evidence import Evidence, network_evidence

ABSTRACT = "Gorton 2024, abstract"
ENCODER_TITLES = {"identity": "identity encoder (the paper's)", "orbit": "orbit encoder"}
"""What a reader is told of the encoders, the paper's first."""


def store_evidence(settings: Mapping, *, about_method: bool = False) -> Evidence:
    """What a claim is looked at on when it is measured on an activation store.

    Args:
        settings: the store's settings, with `model` and `weights`.
        about_method: whether the claim is about what a method does with data, as TR1 and TR2 are,
            and not about networks. Planted orbits are then data whose truth is known.

    Returns:
        `KNOWN` for such a claim on planted orbits, else what `network_evidence` says.
    """
    if about_method and settings["model"] == "planted":
        return Evidence.KNOWN
    return network_evidence(settings["model"], settings["weights"])


def percent(share: float) -> str:
    """A share as a percentage without decimals (`"48 %"`), `"unknown"` if it is not a number."""
    return f"{100 * share:.0f} %" if math.isfinite(share) else "unknown"
