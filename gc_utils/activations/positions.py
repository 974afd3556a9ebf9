"""Activations of single units at positions of whole images, drawn in proportion to their norm.

What a sparse autoencoder on one layer learns from (Gorton 2024, arXiv 2406.03662, section 2): most
positions of a photograph show sky and wall, and excite few units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from gc_utils.errors import UserError
from gc_utils.images.photographs import Photograph
from gc_utils.models.base import Model
from gc_utils.progress import progress_bar

SCALES = (1.0, 2.0)


@dataclass(frozen=True)
class Positions:
    """Activations, and where they come from.

    Attributes:
        A: `(N, C)` float32.
        photograph: which image, `(N,)`.
        x, y: centre of the receptive field in pixels of the scaled image, `(N,)`.
        scale: photograph pixels per pixel of the scaled image, `(N,)`.
        size: side of a patch that shows the whole receptive field.
    """

    A: torch.Tensor
    photograph: np.ndarray
    x: np.ndarray
    y: np.ndarray
    scale: np.ndarray
    size: int

    def __len__(self) -> int:
        return len(self.A)

    def patches(self, images: Sequence[Photograph], rows: Sequence[int]) -> np.ndarray:
        """What the units of those rows saw, uint8 `(len(rows), size, size, 3)`."""
        rows = np.asarray(rows, dtype=int)
        out = np.zeros((len(rows), self.size, self.size, 3), np.uint8)
        for i, scale in {(int(self.photograph[r]), float(self.scale[r])) for r in rows}:
            image = _scaled(images[i].load(), scale)
            for n, r in enumerate(rows):
                if self.photograph[r] == i and self.scale[r] == scale:
                    left, top = (round(c - (self.size - 1) / 2) for c in (self.x[r], self.y[r]))
                    part = image[:, top : top + self.size, left : left + self.size]
                    out[n] = (part.permute(1, 2, 0) * 255).round().byte().numpy()
        return out


def sample_positions(
    model: Model,
    layer: str,
    images: Sequence[Photograph],
    count: int,
    *,
    scales: Sequence[float] = SCALES,
    seed: int = 0,
    progress: bool = True,
) -> Positions:
    """As `sample_layers`, of one layer."""
    options = {"scales": scales, "seed": seed, "progress": progress}
    return sample_layers(model, [layer], images, count, **options)[layer]


def sample_layers(
    model: Model,
    layers: Sequence[str],
    images: Sequence[Photograph],
    count: int,
    *,
    scales: Sequence[float] = SCALES,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Positions]:
    """Draw positions of all images without replacement, in proportion to the activation's norm.

    Only units that see nothing beyond the image's border take part. Images are loaded once for
    all layers.

    Args:
        model: from `load_model`.
        layers: its layers or branches.
        images: from `load_images`.
        count: positions wanted of each; fewer if there are not as many.
        scales: photograph pixels per pixel that the network sees; every image at each.
        seed: of the draws.
        progress: show a bar.

    Raises:
        UserError: if no image shows a layer's whole receptive field, or nothing excites its units.
    """
    draws = {layer: _Draw(model, layer, count, seed) for layer in layers}
    for i, photograph in enumerate(
        progress_bar(images, desc="positions", unit="image", disable=not progress)
    ):
        loaded = photograph.load()
        for scale in scales:
            image = _scaled(loaded, scale)
            for draw in draws.values():
                draw.add(image, i, scale)
    return {layer: draw.result() for layer, draw in draws.items()}


class _Draw:
    """The positions of one layer that are kept while the images pass by.

    Efraimidis & Spirakis 2006: the largest of log(u) / w are a sample in proportion to w.
    """

    def __init__(self, model: Model, layer: str, count: int, seed: int) -> None:
        self.model, self.layer, self.count, self.seed = model, layer, count, seed
        self.size, self.stride, self.offset = model.receptive_field(layer)
        self.patch = model.crop_size(layer)
        self.rng = np.random.default_rng(seed)
        self.kept: dict[str, torch.Tensor] = {}

    def add(self, image: torch.Tensor, number: int, scale: float) -> None:
        """Let the positions of an image compete."""
        half, stride, offset = (self.patch - 1) / 2, self.stride, self.offset
        first = max(0, int(-(-(half - offset) // stride)))
        last = [int((length - 1 - half - offset) // stride) for length in image.shape[1:]]
        if min(last) < first:
            return
        with torch.inference_mode():
            found = self.model.activations(image[None], self.layer)[0].float().cpu()
        inside = found[:, first : last[0] + 1, first : last[1] + 1]
        norm = inside.norm(dim=0).flatten().double()
        key = torch.from_numpy(np.log(self.rng.random(len(norm)))) / norm.clamp_min(1e-12)
        best = torch.where(norm > 0, key, -torch.inf).topk(min(self.count, int((norm > 0).sum())))
        row, column = (v + first for v in divmod(best.indices.numpy(), inside.shape[2]))
        row, column = torch.from_numpy(row), torch.from_numpy(column)
        new = {
            "key": best.values,
            "A": found[:, row, column].T.clone(),
            "photograph": torch.full((len(row),), number),
            "y": offset + stride * row.double(),
            "x": offset + stride * column.double(),
            "scale": torch.full((len(row),), float(scale), dtype=torch.float64),
        }
        self.kept = {n: torch.cat([self.kept[n], v]) if self.kept else v for n, v in new.items()}
        if len(self.kept["key"]) > self.count:
            best = self.kept["key"].topk(self.count).indices
            self.kept = {name: value[best] for name, value in self.kept.items()}

    def result(self) -> Positions:
        """What was drawn, in random order."""
        if not self.kept or not len(self.kept["key"]):
            raise UserError(
                f"no position to draw from: {self.layer!r} sees {self.size} pixels, and no "
                "image is as large or excites any unit."
            )
        order = np.random.default_rng((self.seed, 1)).permutation(len(self.kept["key"]))
        kept = {name: value[torch.from_numpy(order)] for name, value in self.kept.items()}
        where = {name: kept[name].numpy() for name in ("photograph", "x", "y", "scale")}
        return Positions(kept["A"].clone(), size=self.patch, **where)


def _scaled(image: torch.Tensor, scale: float) -> torch.Tensor:
    if scale == 1:
        return image
    shape = [max(1, round(length / scale)) for length in image.shape[1:]]
    return F.interpolate(image[None], shape, mode="bilinear", antialias=True)[0].clamp(0, 1)
