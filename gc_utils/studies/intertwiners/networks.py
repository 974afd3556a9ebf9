"""Small networks to stitch, trained here on labelled images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gc_utils.errors import choose, whole_numbers
from gc_utils.images.labelled import Task
from gc_utils.parallel import side_by_side

HIDDEN = ("conv1", "conv2", "conv3", "conv4")
BATCH = 128  # samples a step of a map that is learnt
WORKERS = 2  # networks that are trained at a time, with one thread each


class SmallNet(nn.Module):
    """Four convolutions of one width with ReLU, pooling after the first, and a linear layer.

    Args:
        channels: The number of colour channels of the images.
        width: The units of every hidden layer.
        classes: The number of logits.
        side: The side of the images; those over 16 pixels are pooled once more.
        seed: The seed of the weights.
    """

    def __init__(
        self, channels: int, width: int, classes: int, *, side: int = 8, seed: int = 0
    ) -> None:
        super().__init__()
        self.pooled = ("conv2",) if side <= 16 else ("conv2", "conv3")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for i, name in enumerate(HIDDEN):
                self.add_module(name, nn.Conv2d(width if i else channels, width, 3, padding=1))
            self.head = nn.Linear(width, classes)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.mean = nn.AdaptiveAvgPool2d(1)

    @property
    def width(self) -> int:
        """Units of every hidden layer."""
        return self.head.in_features

    def upto(self, x: Tensor, layer: str) -> Tensor:
        """Activations of a hidden layer after its ReLU, `(B, width, h, w)`."""
        for name in HIDDEN[: HIDDEN.index(choose(layer, HIDDEN, "layer")) + 1]:
            x = self._step(x, name)
        return x

    def onward(self, a: Tensor, layer: str) -> Tensor:
        """Logits from a hidden layer's activations."""
        for name in HIDDEN[HIDDEN.index(layer) + 1 :]:
            a = self._step(a, name)
        return self.head(torch.flatten(self.mean(a), 1))

    def _step(self, x: Tensor, name: str) -> Tensor:
        x = self.pool(x) if name in self.pooled else x
        return self.relu(getattr(self, name)(x))

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(B, classes)`."""
        return self.onward(self.upto(x, HIDDEN[0]), HIDDEN[0])


def train_net(
    task: Task, width: int, *, epochs: int = 30, lr: float = 5e-3, batch: int = 64, seed: int = 0
) -> SmallNet:
    """Train a network from scratch with Adam.

    Args:
        task: The labelled images, `(N, channels, side, side)`.
        width: The units of every hidden layer.
        epochs: How often every image is seen; 0 gives the network before training.
        lr: The largest step size.
        batch: The number of samples of a step.
        seed: The seed of the weights and of the order of samples.

    Returns:
        The network in evaluation mode, without gradients.
    """
    channels, side = task.x.shape[1:3]
    net = SmallNet(channels, width, task.classes, side=side, seed=seed)
    minimise(
        net.parameters(),
        lambda at: F.cross_entropy(net(task.x[at]), task.y[at]),
        len(task.x),
        epochs=epochs,
        lr=lr,
        batch=batch,
        seed=seed,
    )
    return net.requires_grad_(False).eval()


def minimise(
    parameters: Iterable[Tensor],
    loss: Callable[[Tensor], Tensor],
    count: int,
    *,
    epochs: int,
    lr: float,
    batch: int,
    seed: int,
    after: Callable[[], None] = lambda: None,
) -> None:
    """Adam over shuffled batches, step size up and down in half a cosine; `after` every step."""
    optimiser = torch.optim.Adam(list(parameters), lr=lr)
    steps = max(1, epochs * -(-count // batch))
    rise = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda t: min(1, (t + 1) / rise) * (1 + math.cos(math.pi * t / steps)) / 2
    )
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for at in torch.randperm(count, generator=order).split(batch):
            optimiser.zero_grad()
            loss(at).backward()
            optimiser.step()
            after()
            schedule.step()


Pairs = Mapping[tuple[int, int], Sequence[SmallNet]]


def train_pairs(
    task: Task,
    widths: Sequence[int],
    pairs: int,
    *,
    epochs: int = 30,
    seed: int = 0,
    workers: int = WORKERS,
    progress: bool = True,
) -> dict[tuple[int, int], list[SmallNet]]:
    """Train pairs of networks that differ by their seeds; no network belongs to two pairs.

    Args:
        task: The labelled images.
        widths: The widths of the networks.
        pairs: The number of pairs of each width.
        epochs: How often every image is seen; 0 gives the networks before training.
        seed: The seed of the first network; the others have the following ones.
        workers: The number of networks at a time; the result does not depend on it.
        progress: Whether to show a bar.

    Returns:
        `(width, pair)` → two networks.
    """
    seeds = [seed + i for i in range(2 * pairs)]
    calls = [(task, width, epochs, one) for width in sorted(widths, reverse=True) for one in seeds]
    workers = workers if epochs else 1
    options = {"workers": workers, "label": "networks", "progress": progress}
    trained = {calls[i][1::2]: net for i, net in side_by_side(_train, calls, **options)}
    return {
        (width, pair): [trained[width, seed + 2 * pair + side] for side in (0, 1)]
        for width in widths
        for pair in range(pairs)
    }


def _train(task: Task, width: int, epochs: int, seed: int) -> SmallNet:
    return train_net(task, width, epochs=epochs, seed=seed)


def accuracies(nets: Pairs, task: Task) -> pd.DataFrame:
    """Test accuracy of every network.

    Args:
        nets: `(width, pair)` → networks, as from `train_pairs`.
        task: The task whose test images are used.

    Returns:
        One row for each network: `width`, `pair`, `side` (0 or 1), `accuracy`.
    """
    return pd.DataFrame(
        [
            {"width": width, "pair": pair, "side": side, "accuracy": accuracy(net, task)}
            for (width, pair), both in nets.items()
            for side, net in enumerate(both)
        ]
    )


@torch.no_grad()
def accuracy(net: SmallNet, task: Task, layer: str | None = None, a: Tensor | None = None) -> float:
    """Share of test images classified correctly.

    Args:
        net: The network.
        task: Its test images and labels.
        layer: The layer to start from; None for the images.
        a: The layer's activations of the test images, `(N, width, h, w)`.

    Returns:
        A share between 0 and 1.
    """
    logits = net(task.test_x) if layer is None else net.onward(a, layer)
    return float((logits.argmax(1) == task.test_y).float().mean())


def read_widths(text: str | int) -> list[int]:
    """Widths of networks from a parameter, such as `"16 32"`.

    Args:
        text: Whole numbers with spaces between them, or one number.

    Returns:
        The widths, smallest first.

    Raises:
        UserError: The text is no list of whole numbers of 4 or more.
    """
    return whole_numbers(text, "widths", least=4, example="16 32 64")
