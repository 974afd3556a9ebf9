"""Extraction of orbits against the way one would write first: a frame for every rotation."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gc_utils.activations.extraction import plan_samples
from gc_utils.benchmarks.comparing import Row, compare
from gc_utils.groups import group
from gc_utils.images import load_images
from gc_utils.images.orbits import BLUR, low_pass, orbit, sample
from gc_utils.models import load_model
from gc_utils.models.inception import InceptionV1
from gc_utils.precision import low_precision

FRAME = 224  # pixels of the frame that the naive way passes through the network
LAYER, GROUP = "mixed3b", "D16"


def plain_layers(network: InceptionV1, x: Tensor, layer: str) -> Tensor:
    """Activations of a layer on whole images, with torch's own modules as they come.

    Args:
        network: whose weights.
        x: images `(B, 3, H, W)`, RGB in [0, 1].
        layer: its name.
    """
    architecture = network.architecture
    if architecture.order == "BGR":
        x = x.flip(-3)
    norm = network.norm
    done = {"input": 255 * x - network.mean}
    for step in architecture.ancestry(layer):
        fill = float("-inf") if step.kind == "maxpool" else 0.0
        inputs = [done[name] for name in step.inputs]
        if step.before or step.after:
            inputs = [F.pad(y, [step.before, step.after] * 2, value=fill) for y in inputs]
        match step.kind:
            case "conv":
                y = F.relu(getattr(network, network.module_name(step.name))(inputs[0]))
            case "maxpool":
                y = F.max_pool2d(inputs[0], step.size, step.stride)
            case "norm":
                size = 2 * norm.radius + 1  # torch divides alpha by it
                y = F.local_response_norm(
                    inputs[0], size, alpha=norm.alpha * size, beta=norm.beta, k=norm.bias
                )
            case "concat":
                y = torch.cat(inputs, 1)
            case "avgpool":
                y = F.avg_pool2d(inputs[0], step.size, step.stride)
        done[step.name] = y
    return done[layer]


def benchmark_extraction(samples: int = 8, *, repeats: int = 3, naive: int = 16) -> Row:
    """Orbits of `mixed3b` under D16 from photographs, crops a second.

    The naive way samples a frame of 224 pixels around a point for every element of the group,
    passes them through the layers, and keeps the unit at the centre.

    Args:
        samples: orbits of ours.
        repeats: of both.
        naive: views that the naive way makes.
    """
    model, g = load_model("inceptionv1", "demo"), group(GROUP)
    size = model.crop_size(LAYER)
    images = load_images("photos", min_size=size)
    plan = plan_samples(images, 4 * len(images), size=size)
    # Points far enough from the edge that a frame of 224 pixels is inside the photograph.
    inside = [
        n
        for n in range(len(plan["x"]))
        if _inside(images[int(plan["photograph"][n])], plan, n, 1.5 * FRAME)
    ][:samples]
    photographs = [images[int(plan["photograph"][n])].load() for n in inside]
    points = torch.tensor([[float(plan[axis][n]) for axis in ("x", "y")] for n in inside])

    def crops() -> Tensor:
        each = zip(photographs, points.split(1), strict=True)
        return torch.cat([orbit(image, at, 1.0, g, size, blur=BLUR)[0] for image, at in each])

    @torch.inference_mode()
    def ours() -> Tensor:
        return model.unit(crops(), LAYER)

    # A frame, of odd width, that has a unit at its centre.
    field = model.receptive_field(LAYER)
    width = FRAME + 1
    while ((width - 1) // 2 - field.offset) % field.stride:
        width += 2
    unit = ((width - 1) // 2 - field.offset) // field.stride

    @torch.inference_mode()
    def others() -> Tensor:
        blurred = low_pass(photographs[0], BLUR)
        frames = sample(blurred, points[:1], 1.0, g.matrices[:naive], width, blur=0.0)[0]
        return plain_layers(model.network, frames, LAYER)[..., unit, unit]

    def differ(found: Tensor, expected: Tensor) -> float:
        return float((found[: len(expected)] - expected).abs().max() / expected.abs().max())

    with torch.inference_mode(), low_precision(torch.device("cpu")):
        low = model.unit(crops(), LAYER).float()
    exact = ours()
    lower = float((low - exact).abs().max() / exact.abs().max())
    return compare(
        "extraction",
        ours,
        others,
        differ,
        count=g.order * len(inside),
        other_count=naive,
        unit="crops",
        other=f"a frame of {FRAME} pixels a rotation, torch's modules",
        measure="largest difference, relative to the largest activation",
        repeats=repeats,
        note=f"with bfloat16 products the largest difference is {lower:.1g}",
    )


def _inside(photograph: object, plan: dict[str, np.ndarray], n: int, width: float) -> bool:
    x, y, half = float(plan["x"][n]), float(plan["y"][n]), width / 2
    return half <= x < photograph.width - half and half <= y < photograph.height - half
