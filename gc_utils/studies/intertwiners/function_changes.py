"""Random intertwiners at every hidden layer of a network: by how much does its output change?"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gc_utils.images.photographs import Photograph
from gc_utils.models import InceptionV1, load_model
from gc_utils.progress import progress_bar
from gc_utils.studies.intertwiners.weight_symmetry import act_on, function_change, once

SIDE = 224  # pixels of the images that both networks see


def whole_network(network: nn.Module, seed: int = 0) -> nn.Module:
    """Complete an InceptionV1 that ends early, with random weights above its last layer.

    Args:
        network: Any network; others than InceptionV1 are only copied.
        seed: The seed of the random weights.

    Returns:
        A copy with logits, on the CPU, in evaluation mode.
    """
    if isinstance(network, InceptionV1) and network.top != "logits":
        whole = InceptionV1(architecture=network.architecture, norm=network.norm, seed=seed)
        whole.load_state_dict(network.state_dict(), strict=False)
        network = whole
    return copy.deepcopy(network).cpu().eval()


@torch.no_grad()
def random_residual(x: Tensor, seed: int = 0) -> nn.Module:
    """A residual network with random weights, whose batch normalisations have statistics.

    Args:
        x: The images `(B, 3, H, W)` on which the statistics are measured.
        seed: The seed of the weights.

    Returns:
        A ResNet-18 in evaluation mode.
    """
    residual = load_model("resnet18", "random", seed=seed).network.cpu()
    residual.train()(x)
    return residual.eval()


def shown_images(photographs: Sequence[Photograph], count: int = 3) -> Tensor:
    """The first photographs at the size of the networks' input.

    Args:
        photographs: The photographs to load.
        count: How many of them at most.

    Returns:
        Images `(count, 3, 224, 224)`.
    """
    return torch.stack(
        [
            F.interpolate(
                photographs[i].load()[None], (SIDE, SIDE), mode="bilinear", antialias=True
            )[0]
            for i in range(min(count, len(photographs)))
        ]
    )


@torch.no_grad()
def act_on_every_layer(
    network: nn.Module, x: Tensor, *, seed: int = 0, title: str = "", progress: bool = True
) -> pd.DataFrame:
    """Apply a random intertwiner to each hidden layer by itself and measure the output's change.

    Where no member may act, a permutation is applied all the same, to see what that changes.

    Args:
        network: InceptionV1, or a network that `torch.fx` can trace.
        x: Images `(B, 3, H, W)`.
        seed: The seed of the first layer's member; the next layer has the next one.
        title: The label of the progress bar.
        progress: Whether to show the bar.

    Returns:
        One row for each hidden layer: `layer`, `changed with it` (how many other layers share its
        channels), `group` (the kind), `change` (largest change of an output over the largest
        output), and `refused` (why no member may act; empty if one may).
    """
    rows = []
    streams = progress_bar(once(network).items(), desc=title, disable=not progress)
    for at, (layer, stream) in enumerate(streams):
        if "output" in stream.refusal:
            continue
        changed, change = act_on(network, layer, seed=seed + at, force=bool(stream.refusal))
        rows.append(
            {
                "layer": layer,
                "changed with it": len(stream.layers) - 1,
                "group": change.kind,
                "change": function_change(network, changed, x),
                "refused": stream.refusal,
            }
        )
    return pd.DataFrame(rows, columns=["layer", "changed with it", "group", "change", "refused"])
