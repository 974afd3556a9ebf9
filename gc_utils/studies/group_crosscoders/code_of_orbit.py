"""Notebook 02: what a crosscoder makes of the orbit that is followed."""

from __future__ import annotations

import torch

from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.figures import CodeExample


def example_code(
    coder: GroupCrosscoder, store: ActivationStore, row: int, mean: torch.Tensor
) -> CodeExample:
    """What a crosscoder makes of one orbit: its code, and the part of one feature in the views.

    Args:
        coder: The crosscoder.
        store: The activation store.
        row: The orbit's row number.
        mean: `(C,)`, the mean responses that reconstructions are shown relative to.

    Returns:
        What `figures.code_walkthrough` draws. The feature shown is that whose part in the
        reconstruction changes most over the orbit: most depends on the rotation.
    """
    with torch.inference_mode():
        code = coder.encode(store[[row]])
        changes = (coder.V - coder.V.mean(1, keepdim=True)).flatten(1).norm(dim=1)
        chosen = int((code[0] * changes).argmax())
        alone = torch.zeros_like(code)
        alone[0, chosen] = code[0, chosen]
        made, part = coder.decode(code), coder.decode(alone) - coder.decode(torch.zeros_like(code))
    return CodeExample(code[0].numpy(), chosen, part[0].numpy(), (made[0] - mean).numpy())
