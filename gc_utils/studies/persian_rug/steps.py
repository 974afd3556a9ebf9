"""The steps of a training: where it begins, one step of Adam, and what its history says.

All that the weights and the history of a kept training depend on is here or imported here; files
and bars are not. `train_rug` goes on from a checkpoint as long as none of this has changed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gc_utils.studies.persian_rug.models import (
    Rug,
    gaussian_loss,
    heaviness,
    paired,
    sparse_data,
)


def begin(n_s: int, n_d: int, draw: torch.Generator) -> list[torch.Tensor]:
    """Weights as `torch.nn.Linear` begins with: uniform, up to one over the root of its inputs.

    Args:
        n_s: The number of entries.
        n_d: The number of hidden units.
        draw: The generator of the numbers.

    Returns:
        `w_in` `(n_d, n_s)`, `w_out` `(n_s, n_d)` and the bias `(n_s,)`, which ask for gradients.
    """

    def uniform(*shape: int) -> torch.Tensor:
        bound = shape[-1] ** -0.5
        return (2 * torch.rand(*shape, generator=draw) - 1) * bound

    w_in, w_out = uniform(n_d, n_s), uniform(n_s, n_d)
    bias = (2 * torch.rand(n_s, generator=draw) - 1) * n_d**-0.5
    return [w.requires_grad_() for w in (w_in, w_out, bias)]


def take(
    parameters: Sequence[torch.Tensor],
    adam: torch.optim.Adam,
    p: float,
    batch: int,
    draw: torch.Generator,
) -> torch.Tensor:
    """One step of Adam on fresh data.

    Args:
        parameters: From `begin`; they are changed.
        adam: The optimiser of these parameters.
        p: The probability of an entry to be on.
        batch: The number of samples.
        draw: The generator of the data.

    Returns:
        The loss before the step, the mean squared error of an entry.
    """
    x = sparse_data(batch, parameters[0].shape[1], p, draw)
    loss = (x - Rug(*parameters)(x)).square().mean()
    adam.zero_grad()
    loss.backward()
    adam.step()
    return loss.detach()


def describe(parameters: Sequence[torch.Tensor], p: float) -> dict[str, float]:
    """What a row of the history says of the weights.

    Args:
        parameters: From `begin`.
        p: The probability of an entry to be on.

    Returns:
        `foreseen` (the loss that the row statistics give), `kurtosis` of W off the diagonal, and
        `paired` (the share of entries in antipodal pairs).
    """
    rug = Rug(*(w.detach() for w in parameters))
    return {
        "foreseen": gaussian_loss(rug, p),
        "kurtosis": heaviness(rug)["kurtosis"],
        "paired": paired(rug),
    }
