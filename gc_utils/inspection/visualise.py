"""Seeing a feature: the patches that excite it most, and images optimised to excite it.

A transform block `V[i, g]` is a direction in activation space: where feature `i` says that the
activations of `g·x` lie. It can be looked at like a neuron can.

Optimised images follow Olah, Mordvintsev & Schubert, *Feature Visualization* (Distill 2017): a
decorrelated Fourier image, transformation robustness, and an objective that is a plain callable
from images `(B, 3, S, S)` to one number each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from gc_utils.errors import UserError
from gc_utils.progress import progress_bar

if TYPE_CHECKING:
    from gc_utils.crosscoder.untied import GroupCrosscoder
    from gc_utils.models.base import Model


Objective = Callable[[torch.Tensor], torch.Tensor]
# Square root of the colour covariance of natural images (Lucid, Apache-2.0), largest column 1.
COLOURS = torch.tensor([[0.26, 0.09, 0.02], [0.27, 0.0, -0.05], [0.27, -0.09, 0.03]])
COLOURS = COLOURS / COLOURS.norm(dim=0).max()


# --------------------------------------------------------------------------- optimised images


def toward(
    model: Model, layer: str, directions: torch.Tensor, *, mean: torch.Tensor | float = 0.0, p=1.0
) -> Objective:
    """Objective: the unit's activations lie far along a direction, and along little else.

    `⟨a - mean, v⟩ · max(0.1, cos(a - mean, v))^p` with `v` of unit length: the product of dot and
    cosine of Olah et al. 2017. `p = 0` is the plain projection, for a neuron.

    Args:
        model: the model; its `unit(x, layer)` is differentiated.
        layer: which layer.
        directions: `(B, C)`, one an image; `torch.eye(C)[units]` for neurons.
        mean: `(C,)` or `(B, C)`, what the directions are deviations from. For crosscoder blocks
            the reconstruction of a zero code.
        p: power of the cosine.
    """
    v = F.normalize(directions.detach().float(), dim=1).to(model.device)
    mean = torch.as_tensor(mean, dtype=torch.float32, device=model.device)

    def objective(x: torch.Tensor) -> torch.Tensor:
        a = model.unit(x, layer) - mean
        along = (a * v).sum(1)
        cosine = along / a.norm(dim=1).clamp_min(1e-6)
        return along * cosine.clamp_min(0.1) ** p

    return objective


def fourier_scale(size: int, decay: float = 1.0) -> torch.Tensor:
    """Amplitude of every Fourier coefficient, `(size, size // 2 + 1)`: 1/f as in photographs."""
    fy, fx = torch.fft.fftfreq(size)[:, None], torch.fft.rfftfreq(size)[None]
    frequency = (fy.square() + fx.square()).sqrt()
    return size / frequency.clamp_min(1.0 / size) ** decay


def decode_image(spectrum: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Images `(B, 3, S, S)` in (0, 1) of decorrelated coefficients `(B, 3, S, S // 2 + 1, 2)`.

    Optimised in this space, every frequency and every colour direction moves equally fast.
    """
    size = scale.shape[0]
    plain = torch.fft.irfft2(torch.view_as_complex(spectrum) * scale, s=(size, size)) / 4
    return torch.einsum("rk,bkij->brij", COLOURS.to(plain), plain).sigmoid()


def wobble(
    x: torch.Tensor, generator: torch.Generator, *, jitter: float, angle: float, zoom: float
) -> torch.Tensor:
    """Shift, rotate and scale images a little at random, all of them in the same way.

    Without it optimisation finds noise that excites the unit at one exact position only. Rotations
    stay small: orientation is what is studied.

    Args:
        x: `(B, 3, S, S)`.
        jitter: largest shift, pixels.
        angle: largest rotation, degrees.
        zoom: largest change of scale, as a share.
    """
    draw = 2 * torch.rand(4, generator=generator, dtype=torch.float64) - 1
    turn_by, scale = torch.deg2rad(draw[0] * angle), 1 + draw[1] * zoom
    cos, sin = scale * turn_by.cos(), scale * turn_by.sin()
    shift = 2 * draw[2:] * jitter / (x.shape[-1] - 1)
    theta = torch.stack([torch.stack([cos, -sin, shift[0]]), torch.stack([sin, cos, shift[1]])])
    theta = theta.to(x).expand(len(x), 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=True)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=True)


def optimise(
    objective: Objective,
    batch: int,
    size: int,
    *,
    steps: int = 64,
    seed: int = 0,
    rate: float = 0.05,
    decay: float = 1.0,
    jitter: float | None = None,
    angle: float = 4.0,
    zoom: float = 0.05,
    colour: bool = True,
    progress: bool = False,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Images that make an objective large.

    All images start from the same noise and are wobbled in the same way, so that they differ only
    by what the objective asks of each: rows compare.

    Args:
        objective: images `(B, 3, S, S)` in [0, 1] → `(B,)`.
        batch: number of images `B`.
        size: their side `S`, pixels.
        steps: steps of Adam.
        seed: of the first noise and of all wobbles.
        rate: learning rate.
        decay: see `fourier_scale`.
        jitter, angle, zoom: see `wobble`; jitter is a twenty-fourth of the side unless given.
        colour: False keeps the images grey, for what is a matter of shape.
        progress: show a progress bar.

    Returns:
        `(B, 3, S, S)` float32 in [0, 1], on the CPU.
    """
    jitter = size / 24 if jitter is None else jitter
    generator = torch.Generator().manual_seed(seed)
    scale = fourier_scale(size, decay).to(device)
    shape = (1, 3, size, size // 2 + 1, 2)
    start = 0.01 * torch.randn(shape, generator=generator)
    spectrum = start.repeat(batch, 1, 1, 1, 1).to(device).requires_grad_()

    def decoded() -> torch.Tensor:
        x = decode_image(spectrum, scale)
        return x if colour else x.mean(1, keepdim=True).expand_as(x)

    adam = torch.optim.Adam([spectrum], lr=rate)
    idle = torch.zeros(batch, dtype=torch.long)
    for _ in progress_bar(range(steps), desc="visualising", disable=not progress, leave=False):
        x = decoded()
        value = objective(wobble(x, generator, jitter=jitter, angle=angle, zoom=zoom))
        (gradient,) = torch.autograd.grad(-value.sum(), spectrum)
        spectrum.grad = gradient
        adam.step()
        # Behind a ReLU that is off there is no gradient. A wobble may switch it on again; if not,
        # start over from other noise, of any contrast.
        idle = (idle + 1) * (gradient.flatten(1).abs().amax(1) == 0).cpu()
        lost = idle >= 3
        if lost.any():
            contrast = 0.3 * torch.rand(1, generator=generator)
            noise = contrast * torch.randn(shape, generator=generator)
            spectrum.data[lost] = noise.to(device)
            idle[lost] = 0
    with torch.no_grad():
        return decoded().cpu()


def visualise_directions(
    model: Model,
    layer: str,
    directions: torch.Tensor,
    *,
    mean: torch.Tensor | float = 0.0,
    p: float = 1.0,
    size: int | None = None,
    chunk: int = 32,
    **options,
) -> torch.Tensor:
    """One image for each direction in a layer's activation space.

    Args:
        model, layer, directions, mean, p: see `toward`.
        options: `steps`, `seed`, `progress` and the others of `optimise`.
        size: side in pixels (default: the crop that shows the whole receptive field).
        chunk: images at once; every one has the same start and wobbles, whatever the chunk.

    Returns:
        `(B, 3, S, S)` float32 in [0, 1].

    Example:
        >>> model = load_model("inceptionv1", weights="demo")
        >>> unit = torch.eye(model.channels("mixed3b"))[[379]]
        >>> visualise_directions(model, "mixed3b", unit, p=0).shape
        torch.Size([1, 3, 95, 95])
    """
    if directions.ndim != 2 or directions.shape[1] != model.channels(layer):
        raise UserError(
            f"directions of shape {tuple(directions.shape)}: {layer} has "
            f"{model.channels(layer)} channels, expected (B, {model.channels(layer)})."
        )
    size = size or model.crop_size(layer)
    mean = torch.as_tensor(mean, dtype=torch.float32)
    images = []
    for i in range(0, len(directions), chunk):
        here = directions[i : i + chunk]
        middle = mean[i : i + chunk] if mean.ndim == 2 else mean
        objective = toward(model, layer, here, mean=middle, p=p)
        images.append(optimise(objective, len(here), size, device=model.device, **options))
    return torch.cat(images)


def visualise_blocks(
    model: Model,
    layer: str,
    crosscoder: GroupCrosscoder,
    feature: int,
    elements: Sequence[int] | None = None,
    **options,
) -> dict[int, torch.Tensor]:
    """A row of images: one feature's transform blocks over the group.

    Args:
        crosscoder: trained on that layer of that model.
        feature: which feature.
        elements: indices of the blocks (default: all).
        options: of `visualise_directions`.

    Returns:
        element → image `(3, S, S)`.
    """
    V = crosscoder.V.detach()
    elements = list(range(V.shape[1])) if elements is None else list(elements)
    with torch.no_grad():
        mean = crosscoder.decode(V.new_zeros(1, len(V)))[0, elements]
    images = visualise_directions(model, layer, V[feature, elements], mean=mean, **options)
    return dict(zip(elements, images, strict=True))
