"""What ImageNet at D32 would cost, from rates that were measured."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from gc_utils.groups import group
from gc_utils.models.architecture import INCEPTION5H

IMAGES = 1_281_167  # of the training set of ILSVRC 2012
GPU, GPU_FLOPS = "H100 SXM, dense bfloat16", 9.9e14  # as its maker says


@dataclass(frozen=True)
class Rates:
    """Measured on the machine at hand.

    Attributes:
        crops: a second.
        samples: of training, a second, at `features` and `numbers`.
        flops: of large float32 products, a second.
        products: multiply-adds that a training sample takes.
    """

    crops: float
    samples: float
    flops: float
    products: float = 0.0


def imagenet_plan(
    rates: Rates,
    *,
    layer: str = "mixed3b",
    name: str = "D32",
    images: int = IMAGES,
    passes: int = 2,
    share: float = 0.3,
) -> pd.DataFrame:
    """Crops, operations, bytes and hours of one orbit an image.

    Args:
        rates: measured.
        layer: the layer.
        name: the group.
        images: how many, an orbit each.
        passes: of training over all orbits.
        share: of its peak that the named GPU is assumed to reach.

    Returns:
        A table with `quantity`, `value` and `how`.
    """
    g = group(name)
    products = INCEPTION5H.multiply_adds(layer)
    channels = INCEPTION5H.steps[layer].channels
    crops = images * g.order
    flops = 2 * products * crops
    training = images * passes
    rows = [
        ("images", f"{images:,}", "the training set of ILSVRC 2012"),
        ("crops", f"{crops:,}", f"{g.order} an image"),
        ("operations of extraction", f"{flops:.2g}", f"{products / 1e6:.1f} M products a crop"),
        ("store", f"{2 * crops * channels / 1e12:.2f} TB", "float16"),
        (
            "extraction, here",
            f"{crops / rates.crops / 3600:,.0f} hours",
            f"{rates.crops:,.0f} crops/s measured, "
            f"{2 * products * rates.crops / rates.flops:.0%} of the float32 peak",
        ),
        (
            f"extraction, {GPU}",
            f"{flops / (share * GPU_FLOPS) / 3600:.1f} hours",
            f"assumed: {share:.0%} of {GPU_FLOPS:.2g} operations/s; not measured",
        ),
        (
            "training, here",
            f"{training / rates.samples / 3600:,.1f} hours",
            f"{rates.samples:,.0f} samples/s measured, {passes} passes",
        ),
    ]
    return pd.DataFrame(rows, columns=["quantity", "value", "how"]).set_index("quantity")
