"""Classifiers whose decisions are explained by concepts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gc_utils._torchvision import torchvision
from gc_utils.errors import UserError, choose
from gc_utils.images.photographs import Photograph, load_images
from gc_utils.models.base import Model
from gc_utils.models.inception import InceptionModel, InceptionV1
from gc_utils.progress import progress_bar
from gc_utils.studies.concept_attacks.textured_images import CLASSES, TexturedImages

BATCH = 24  # images at once: what they need stays small enough to be kept and used again
Activations = Callable[[Tensor], Tensor]
Direction = Callable[[Tensor, Tensor], Tensor]
Pair = tuple[str, str]  # concept, class


# ------------------------------------------------------------------------ a classifier to explain


class Below(nn.Module):
    """A model up to a layer, as a module: RGB in [0, 1] to activations `(B, C, h, w)`."""

    def __init__(self, model: Model, layer: str) -> None:
        super().__init__()
        self.network, self.model, self.layer = model.network, model, model.check_layer(layer)

    def forward(self, x: Tensor) -> Tensor:
        return self.model.activations(x, self.layer)


class Explained(nn.Module):
    """A classifier to explain: a model up to a layer, `below`, and the `head` above it.

    Attributes:
        below: RGB in [0, 1] to the activations `(B, C, h, w)` that are explained.
        classes: names of the classes, in the order of the logits.
    """

    def __init__(self, model: Model, layer: str, classes: Iterable[str]) -> None:
        super().__init__()
        self.below = Below(model, layer).requires_grad_(False)
        self.classes = tuple(classes)

    def head(self, a: Tensor) -> Tensor:
        """Logits `(B, classes)` from activations `(B, C, h, w)`."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(B, classes)`."""
        return self.head(self.below(x))


class TrainedHead(Explained):
    """A frozen model with a head of its own: convolution, ReLU, mean over places, linear.

    The head mixes places and has a hidden layer: with a linear head on pooled activations every
    image would have the same gradient, and every TCAV score would be 0 or 1.

    Args:
        model: The network below the head.
        layer: The layer whose activations are explained.
        classes: The names of the classes.
        hidden: The number of channels of the head's convolution.
        seed: The seed of the head's first weights.
    """

    def __init__(
        self, model: Model, layer: str, classes: Iterable[str], *, hidden: int = 64, seed: int = 0
    ) -> None:
        super().__init__(model, layer, classes)
        channels = model.channels(layer)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.mix = nn.Conv2d(channels, hidden, 3)
            self.logits = nn.Linear(hidden, len(self.classes))
        # Centred, so that the hidden units' thresholds lie amid the data from the start.
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("scale", torch.ones(()))
        self.to(model.device)

    def head(self, a: Tensor) -> Tensor:
        """Logits from activations `(B, C, h, w)`."""
        return self.logits(F.relu(self.mix((a - self.mean) / self.scale)).mean((2, 3)))


class OwnLogits(Explained):
    """A whole InceptionV1, explained at one of its layers by its own logits, as in the paper.

    Args:
        model: InceptionV1 with weights up to the logits.
        layer: The layer whose activations are explained.
        names: Number of a logit → name of its class; a class without a name is its number.

    Raises:
        UserError: The model is another one, or its weights end below the logits.
    """

    def __init__(self, model: Model, layer: str, names: Mapping[int, str] | None = None) -> None:
        if not isinstance(model, InceptionModel) or "logits" not in model.layers:
            raise UserError(
                f"{model.name!r} with weights {model.weights!r} has no logits to explain: take "
                "'inceptionv1' with weights 'inception5h' or 'bvlc_googlenet', or train a head."
            )
        if layer == "logits" or layer not in model.architecture.layers:
            raise UserError(
                f"layer {layer!r} cannot be explained by the logits: choose a whole layer below "
                "them, such as 'mixed4c', and no branch."
            )
        numbers, names = range(model.channels("logits")), names or {}
        super().__init__(model, layer, [names.get(i, str(i)) for i in numbers])
        self.network: InceptionV1 = model.network

    def head(self, a: Tensor) -> Tensor:
        """Logits from activations, averaged over places where the image has several."""
        return self.network.above(a, self.below.layer, "logits").mean((2, 3))


def train_head(
    model: Model,
    layer: str,
    images: TexturedImages,
    *,
    classes: Mapping[str, str] | None = None,
    epochs: int = 12,
    lr: float = 3e-3,
    batch: int = 64,
    seed: int = 0,
    progress: bool = True,
) -> TrainedHead:
    """Train a head on a frozen model's activations (Adam, half a cosine).

    Args:
        model: The network below the head, which is not changed.
        layer: The layer on whose activations the head stands.
        images: The images to learn from.
        classes: Texture → class, where a class has several textures; None for one class each.
        epochs: How often every image is used.
        lr: The largest learning rate.
        batch: The number of images in a step.
        seed: The seed of the weights and of the order of the images.
        progress: Whether to show a progress bar.

    Returns:
        The classifier, in evaluation mode and frozen.

    Raises:
        UserError: The layer has fewer than 3x3 units on images of this size.
    """
    table = classes or {texture: texture for texture in CLASSES}
    names = list(dict.fromkeys(table[t] for t in CLASSES))
    y = torch.tensor([names.index(table[t]) for t in images.table.texture]).to(model.device)
    explained = TrainedHead(model, layer, names, seed=seed)
    a = activations_of(images.x, explained.below)
    if min(a.shape[-2:]) < 3:
        raise UserError(
            f"layer {layer!r} has {a.shape[-2]}x{a.shape[-1]} units on images of "
            f"{images.x.shape[-1]} pixels; the head needs 3x3: explain a lower layer."
        )
    explained.mean.copy_(a.mean((0, 2, 3))[:, None, None])
    explained.scale.fill_(float((a - explained.mean).square().mean().sqrt().clamp_min(1e-12)))
    parameters = [p for p in explained.parameters() if p.requires_grad]
    adam = torch.optim.Adam(parameters, lr=lr)
    steps = max(1, epochs * -(-len(a) // batch))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda t: (1 + math.cos(math.pi * t / steps)) / 2
    )
    order = torch.Generator().manual_seed(seed)
    for _ in progress_bar(range(epochs), desc=f"head on {layer}", disable=not progress):
        for at in torch.randperm(len(a), generator=order).split(batch):
            adam.zero_grad()
            F.cross_entropy(explained.head(a[at]), y[at]).backward()
            adam.step()
            schedule.step()
    return explained.requires_grad_(False).eval()


@torch.no_grad()
def activations_of(images: Tensor, activations: Activations, *, batch: int = BATCH) -> Tensor:
    """Activations of images, computed batch by batch and without gradients.

    Args:
        images: `(N, 3, S, S)`, RGB in [0, 1].
        activations: Any function of images, such as a layer's activations or a classifier.
        batch: The number of images computed at once.

    Returns:
        The function's values, `(N, …)`.
    """
    return torch.cat([activations(x) for x in images.split(batch)])


@torch.no_grad()
def predict(explained: Explained, images: Tensor) -> list[str]:
    """The name of the class with the largest logit, for each of the images `(N, 3, S, S)`."""
    return [explained.classes[i] for i in activations_of(images, explained).argmax(1).tolist()]


def accuracy(explained: Explained, images: TexturedImages) -> float:
    """The share of images whose texture is the class that a classifier puts them into."""
    return float(np.mean(np.array(predict(explained, images.x)) == images.table.texture.to_numpy()))


def gradient_agreement(explained: Explained, images: Tensor, name: str) -> float:
    """The mean cosine of the gradients of a class's logit at two different images.

    At 1 all images have one gradient, and every TCAV score is 0 or 1.

    Args:
        explained: The classifier; gradients are with respect to the explained activations.
        images: Two or more images `(N, 3, S, S)`.
        name: The name of the class.

    Returns:
        The mean over all pairs of different images, in [-1, 1].
    """
    unit = explained.classes.index(choose(name, explained.classes, "class"))
    a = explained.below(images).requires_grad_()
    (gradient,) = torch.autograd.grad(explained.head(a)[:, unit].sum(), a)
    g = F.normalize(gradient.flatten(1), dim=1)
    cosines = (g @ g.T)[~torch.eye(len(g), dtype=torch.bool, device=g.device)]
    return float(cosines.mean())


class Above(nn.Module):
    """A classifier's head, with the explained layer's activations as its input and first module."""

    def __init__(self, explained: Explained) -> None:
        super().__init__()
        self.below, self.head = nn.Identity(), explained.head

    def forward(self, a: Tensor) -> Tensor:
        return self.head(self.below(a))


# --------------------------------------------------------------------------- images of one's own


def cropped_photographs(spec: str, count: int, side: int, *, seed: int = 0) -> Tensor:
    """Random crops of photographs, as examples of a concept or a class.

    Args:
        spec: Where the photographs are, as for `gc_utils.images.load_images` (`"folder:PATH"`).
        count: The number of crops; with fewer photographs, several crops come from each.
        side: The side of a crop in pixels.
        seed: The seed of the crops.

    Returns:
        The crops, `(count, 3, side, side)` float32 in [0, 1].

    Raises:
        UserError: `count` or `side` is below 1, or there are no such photographs.
    """
    if count < 1 or side < 1:
        raise UserError(f"{count} crops of {side} pixels: expected one or more.")
    return random_crops(load_images(spec, seed=seed), count, side, seed=seed)


def random_crops(photographs: Sequence[Photograph], count: int, side: int, *, seed: int) -> Tensor:
    """The same of photographs that are at hand.

    Args:
        photographs: One or more; crops come from each in turn.
        count: The number of crops.
        side: The side of a crop in pixels.
        seed: The seed of the crops.

    Returns:
        The crops, `(count, 3, side, side)` float32 in [0, 1].
    """
    crop = torchvision.transforms.v2.RandomResizedCrop(side, scale=(0.3, 1.0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        crops = [crop(photographs[i % len(photographs)].load()) for i in range(count)]
    return torch.stack(crops).clamp(0, 1)
