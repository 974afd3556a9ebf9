"""A photograph and a point become the crop under every group element.

Elements act on images by `(g·x)(p) = x(g^-1 p)`, `p` measured from the centre of the crop, which
is the centre of the receptive field of the unit that will look at it.

A rotation by 90 degrees lands on the pixel lattice and most others do not, so that interpolation
blurs all elements but four and plants a false 4-fold symmetry. Two things prevent it: the
photograph is low-passed before it is sampled, for every element, the identity included; and only
the rotations smaller than the lattice's own symmetry are sampled, the rest are rotations by 90
degrees and mirrors of these crops, exact to the last bit (and four to eight times cheaper).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from gc_utils.errors import UserError, choose
from gc_utils.groups import Group, group

WINDOWS = ("none", "disc")
BLUR = 1.0  # pixels of the crop; the tests say what it buys


def low_pass(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian low-pass of `sigma` pixels, reflected at the borders.

    One dimension after the other: torchvision's `gaussian_blur`, which is the same, takes all
    products of a two-dimensional kernel, and 3 to 8 times as long.

    Args:
        image: `(3, H, W)`.
        sigma: standard deviation in pixels; 0 returns the image.
    """
    if sigma <= 0:
        return image
    radius = min(math.ceil(4 * sigma), min(image.shape[-2:]) - 1)
    reach = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.softmax(-((reach / sigma) ** 2) / 2, 0)
    padded = F.pad(image[None], [radius] * 4, mode="reflect")
    along = F.conv2d(
        padded.contiguous(memory_format=torch.channels_last),
        kernel.expand(len(image), 1, 1, -1),
        groups=len(image),
    )
    return F.conv2d(along, kernel[:, None].expand(len(image), 1, -1, 1), groups=len(image))[0]


def sample(
    image: torch.Tensor,
    points: torch.Tensor,
    scale: float,
    matrices: torch.Tensor,
    size: int,
    *,
    blur: float = BLUR,
) -> torch.Tensor:
    """Crops of one scale around points, each under each of the given linear maps.

    Args:
        image: `(3, H, W)` in [0, 1].
        points: `(P, 2)` pixel coordinates, x right and y down.
        scale: photograph pixels per crop pixel.
        matrices: `(K, 2, 2)` maps of the plane (x right, y up); any angle will do.
        size: side of the crop in pixels.
        blur: low-pass in pixels of the crop (never less than this many of the photograph).

    Returns:
        `(P, K, 3, size, size)` float32, bicubic, photograph reflected at its borders.
    """
    image = low_pass(image, blur * max(scale, 1.0))
    height, width = image.shape[-2:]
    reach = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    up, right = torch.meshgrid(-reach, reach, indexing="ij")
    target = torch.stack([right, up], -1)  # (S, S, 2)
    inverse = torch.linalg.inv(matrices.double())  # (g·x)(p) = x(g^-1 p)
    source = scale * torch.einsum("kab,ijb->kija", inverse, target)
    source = source * torch.tensor([1.0, -1.0], dtype=torch.float64)  # to y down
    at = points.double()[:, None, None, None] + source[None]
    extent = torch.tensor([width - 1, height - 1], dtype=torch.float64)
    grid = (2 * at / extent - 1).to(image.dtype).to(image.device)
    crops = F.grid_sample(
        image[None],
        grid.reshape(1, -1, size, 2),
        mode="bicubic",
        padding_mode="reflection",
        align_corners=True,
    )
    crops = crops.reshape(3, len(points), len(matrices), size, size)
    return crops.permute(1, 2, 0, 3, 4).clamp(0, 1)


def disc(size: int, softness: float = 4.0) -> torch.Tensor:
    """Disc window: 1 inside the inscribed circle, a cosine edge of `softness` pixels, 0 outside.

    Returns:
        `(size, size)` float32.
    """
    reach = torch.arange(size) - (size - 1) / 2
    radius = (reach[:, None] ** 2 + reach[None] ** 2).sqrt()
    edge = ((size / 2 - radius) / softness).clamp(0, 1)
    return 0.5 - 0.5 * torch.cos(math.pi * edge)


def complete(base: torch.Tensor, g: Group) -> torch.Tensor:
    """All elements' images from those of the rotations smaller than the lattice's symmetry.

    Args:
        base: `(P, n/q, 3, S, S)` images rotated by `r^0 … r^(n/q - 1)`, where `q = gcd(n, 4)` of
            the group's rotations are multiples of 90 degrees.

    Returns:
        `(P, |G|, 3, S, S)`.
    """
    quarters = math.gcd(g.n, 4)
    rotated = [torch.rot90(base, m * 4 // quarters, (-2, -1)) for m in range(quarters)]
    rotated = torch.cat(rotated, 1)
    if not g.dihedral:
        return rotated
    back = -torch.arange(g.n) % g.n  # r^k s = s r^-k
    return torch.cat([rotated, rotated[:, back].flip(-1)], 1)


def orbit(
    image: torch.Tensor,
    points: torch.Tensor,
    scales: torch.Tensor | float,
    g: Group | str,
    size: int,
    *,
    blur: float = BLUR,
    window: str = "none",
) -> torch.Tensor:
    """The crop around each point under every group element.

    Args:
        image: `(3, H, W)` in [0, 1].
        points: `(P, 2)` pixel coordinates, x right and y down.
        scales: photograph pixels per crop pixel, one number or `(P,)`.
        g: the group or its name.
        size: side of the crop; the rotation is about its very centre.
        blur: low-pass in pixels of the crop.
        window: `"disc"` fades to mid-grey outside the inscribed circle, so that every element
            shows the same part of the scene; `"none"` shows corners that come and go.

    Returns:
        `(P, |G|, 3, size, size)` float32 in [0, 1].

    Raises:
        UserError: for an unknown window or group, or an image that is not `(3, H, W)`.
    """
    choose(window, WINDOWS, "window")
    if image.ndim != 3 or image.shape[0] != 3:
        raise UserError(f"expected one RGB image (3, H, W), got shape {tuple(image.shape)}")
    g = group(g) if isinstance(g, str) else g
    scales = torch.as_tensor(scales, dtype=torch.float64).expand(len(points))
    base = g.matrices[: g.n // math.gcd(g.n, 4)]
    crops = torch.empty(len(points), g.order, 3, size, size, device=image.device)
    for scale in scales.unique().tolist():
        here = scales == scale
        rotated = sample(image, points[here], scale, base, size, blur=blur)
        crops[here.to(image.device)] = complete(rotated, g)
    if window == "disc":
        crops = 0.5 + (crops - 0.5) * disc(size).to(crops)
    return crops


def image_orbit(images: torch.Tensor, g: Group | str, *, blur: float = BLUR) -> torch.Tensor:
    """Square images under every group element, about their centre.

    Args:
        images: `(..., 3, S, S)`.
        g: the group or its name.
        blur: low-pass in pixels.

    Returns:
        `(..., |G|, 3, S, S)`.
    """
    size = images.shape[-1]
    centre = torch.full((1, 2), (size - 1) / 2)
    flat = images.reshape(-1, 3, size, size)
    g = group(g) if isinstance(g, str) else g
    rotated = torch.cat([orbit(p, centre, 1.0, g, size, blur=blur) for p in flat])
    return rotated.reshape(*images.shape[:-3], g.order, 3, size, size)
