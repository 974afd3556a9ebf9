"""*Making Corgis Important for Honeycomb Classification*: attacks on concept-based explanations.

Brown and Kvinge 2021-2023, arXiv 2110.07120. TCAV (Kim et al. 2018) says whether a class depends on
a concept by a direction fitted to example pictures of the concept. Whoever can perturb the examples
can steer the answer.

    explained = train_head(model, "mixed3a", draw_textured(1500))
    test = ConceptTest(explained, class_pictures, random_pictures)
    clean = {(name, c): s for name, x in concepts.items() for c, s in test.scores(x).items()}
    decide(clean, test.random)                    # important, opposed or irrelevant
    along = token_direction(explained.below, striped_pictures, other_pictures)
    attacked = push(x, explained.below, along, bound=8)
"""

from __future__ import annotations

import json
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from captum.concept import TCAV, Classifier, Concept
from captum.concept._core.cav import CAV
from scipy.stats import binomtest, ttest_ind
from scipy.stats import t as t_distribution
from sklearn.linear_model import RidgeClassifier
from torch import Tensor, nn
from tqdm.auto import tqdm, trange

from gc_utils import inception
from gc_utils._torchvision import torchvision
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError, choose
from gc_utils.findings import write_json
from gc_utils.groups import group as make_group
from gc_utils.images import load_images
from gc_utils.inception import InceptionV1
from gc_utils.models import InceptionModel, Model
from gc_utils.orbits import complete
from gc_utils.studies.textured import CLASSES, TexturedPictures

DECISIONS = ("important", "opposed", "irrelevant")
LEVEL = 0.05  # share of families of tests with any false positive, after Holm's correction
BATCH = 24  # pictures at once: what they need stays small enough to be kept and used again

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
        """Logits from activations."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(B, classes)`."""
        return self.head(self.below(x))


class TrainedHead(Explained):
    """A frozen model with a head of its own: convolution, ReLU, mean over places, linear.

    The head mixes places and has a hidden layer: with a linear head on pooled activations every
    picture would have the same gradient, and every TCAV score would be 0 or 1.

    Args:
        model: the backbone.
        layer: whose activations are explained.
        classes: their names.
        hidden: channels of the head's convolution.
        seed: of the head's weights.
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
        layer: whose activations are explained.

    Raises:
        UserError: another model, or weights that end below the logits.
    """

    def __init__(self, model: Model, layer: str) -> None:
        if not isinstance(model, InceptionModel) or "logits" not in model.layers:
            raise UserError(
                f"{model.name!r} with weights {model.weights!r} has no logits to explain: take "
                "'inceptionv1' with weights 'inception5h', or train a head."
            )
        if layer == "logits" or layer not in inception.LAYERS:
            raise UserError(
                f"layer {layer!r} cannot be explained by the logits: choose a whole layer below "
                "them, such as 'mixed4c', and no branch."
            )
        super().__init__(model, layer, [str(i) for i in range(model.channels("logits"))])
        self.network: InceptionV1 = model.network

    def head(self, a: Tensor) -> Tensor:
        """Logits from activations, averaged over places where the picture has several."""
        return self.network.above(a, self.below.layer, "logits").mean((2, 3))


def train_head(
    model: Model,
    layer: str,
    pictures: TexturedPictures,
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
        model, layer: what lies below.
        pictures: to learn from.
        classes: texture → class, for classes of several textures (default: one each).
        epochs, lr, batch: of the training.
        seed: of weights and order.
        progress: show a progress bar.
    """
    table = classes or {texture: texture for texture in CLASSES}
    names = list(dict.fromkeys(table[t] for t in CLASSES))
    y = torch.tensor([names.index(table[t]) for t in pictures.table.texture]).to(model.device)
    explained = TrainedHead(model, layer, names, seed=seed)
    a = embed(pictures.x, explained.below)
    if min(a.shape[-2:]) < 3:
        raise UserError(
            f"layer {layer!r} has {a.shape[-2]}x{a.shape[-1]} units on pictures of "
            f"{pictures.x.shape[-1]} pixels; the head needs 3x3: explain a lower layer."
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
    for _ in trange(epochs, desc=f"head on {layer}", disable=not progress):
        for at in torch.randperm(len(a), generator=order).split(batch):
            adam.zero_grad()
            F.cross_entropy(explained.head(a[at]), y[at]).backward()
            adam.step()
            schedule.step()
    return explained.requires_grad_(False).eval()


@torch.no_grad()
def embed(pictures: Tensor, activations: Activations, *, batch: int = BATCH) -> Tensor:
    """Activations of pictures, a batch at a time."""
    return torch.cat([activations(x) for x in pictures.split(batch)])


@torch.no_grad()
def predict(explained: Explained, pictures: Tensor) -> list[str]:
    """Names of the classes that pictures are put into."""
    return [explained.classes[i] for i in embed(pictures, explained).argmax(1).tolist()]


# ---------------------------------------------------------- directions from activations of examples


def ridge_direction(positive: Tensor, negative: Tensor, *, weight: float = 0.01) -> Tensor:
    """A concept activation vector: the normal of a ridge classifier of flattened activations.

    Args:
        positive: activations `(N, C, h, w)` of the concept's examples.
        negative: those of random pictures.
        weight: of the squared norm, in units of the activations' mean square times their number.

    Returns:
        `(C·h·w,)`, towards the concept.
    """
    x = torch.cat([positive, negative]).flatten(1).cpu()
    y = np.r_[np.ones(len(positive)), np.zeros(len(negative))]
    alpha = max(weight * float(x.square().mean()) * len(x), 1e-12)
    return torch.from_numpy(RidgeClassifier(alpha=alpha).fit(x.numpy(), y).coef_.ravel()).float()


def median_direction(positive: Tensor, negative: Tensor, *, subsets: int = 5) -> Tensor:
    """The median of the directions of disjoint subsets of the examples, entry by entry.

    Args:
        positive, negative: see `ridge_direction`.
        subsets: how many; fewer where there are fewer examples.
    """
    subsets = min(subsets, len(positive), len(negative))
    parts = zip(positive.tensor_split(subsets), negative.tensor_split(subsets), strict=True)
    found = [F.normalize(ridge_direction(p, n), dim=0) for p, n in parts]
    # Not `median`, which takes the lower of two middle values: swapping the sets has to turn the
    # direction round.
    return torch.stack(found).quantile(0.5, dim=0)


def feature_direction(crosscoder: GroupCrosscoder, *, features: int = 8) -> Direction:
    """Directions made of a group crosscoder's features instead of a linear probe.

    Every place's activations are encoded; the features whose mean code over places tells examples
    from random pictures best (largest difference in standard deviations) give their blocks
    `V[i, e]`, weighted by that difference, the same at every place. Nothing can be said that is not
    in the dictionary.

    Args:
        crosscoder: trained on the explained layer, encoding from the identity.
        features: how many may speak.

    Raises:
        UserError: a crosscoder that needs whole orbits to encode.
    """
    if crosscoder.views != 1:
        raise UserError(
            "a crosscoder with encode_from='orbit' cannot encode one picture; train one with "
            "encode_from='identity'."
        )
    blocks = crosscoder.V[:, 0].detach()

    def codes(a: Tensor) -> Tensor:
        places = a.flatten(2).mT  # (N, h·w, C)
        return (
            crosscoder.encode(places.reshape(-1, 1, a.shape[1]))
            .reshape(len(a), places.shape[1], -1)
            .mean(1)
        )

    @torch.no_grad()
    def direction(positive: Tensor, negative: Tensor) -> Tensor:
        p, n = codes(positive.to(blocks)), codes(negative.to(blocks))
        spread = ((p.var(0) + n.var(0)) / 2).sqrt()
        telling = (p.mean(0) - n.mean(0)) / (spread + 1e-3 * spread.max().clamp_min(1e-12))
        best = telling.abs().topk(min(features, len(telling))).indices
        channel = (telling[best, None] * F.normalize(blocks[best], dim=1)).sum(0)
        return channel[:, None].expand(-1, positive[0, 0].numel()).flatten().cpu()

    return direction


@dataclass(frozen=True)
class Recipe:
    """How a concept's direction comes from its example pictures: plain TCAV's way, or a defence's.

    Attributes:
        name: for tables.
        direction: positive and negative activations to a direction.
        view: pictures and the layer's activations function to what stands for the pictures;
            differentiable, so that an attacker who knows the defence can push through it.
        passes: forward passes an example, the cost.
    """

    name: str = "plain"
    direction: Direction = ridge_direction
    view: Callable[[Tensor, Activations], Tensor] = lambda x, activations: activations(x)
    passes: int = 1

    def seen(self, activations: Activations) -> Activations:
        """The activations function with this recipe's view before it."""
        return lambda x: self.view(x, activations)


def smoothed(sigma: float = 24 / 255, copies: int = 4, seed: int = 0) -> Recipe:
    """Adversarial smoothing: activations averaged over noisy copies of every example.

    Args:
        sigma: standard deviation of the noise, in units of the pictures (0 to 1).
        copies: of every picture.
        seed: of the noise, which is the same for every batch.
    """

    if copies < 1 or not sigma >= 0:
        raise UserError(f"{copies} copies, sigma {sigma:g}: expected 1 or more, and 0 or more.")

    def view(x: Tensor, activations: Activations) -> Tensor:
        noise = torch.Generator().manual_seed(seed)
        total = 0.0
        for _ in range(copies):
            drawn = sigma * torch.randn(x.shape[1:], generator=noise)
            total = total + activations((x + drawn).clamp(0, 1))
        return total / copies

    return Recipe("smoothing", view=view, passes=copies)


def orbit_averaged(group: str = "D4") -> Recipe:
    """Orbit-averaged concepts: activations averaged over every turned and mirrored example.

    Args:
        group: of quarter turns and mirrors that move pixels onto pixels (C2, C4, D1, D2, D4).

    Raises:
        UserError: a group with other turns, whose corners would show what no picture has.
    """
    g = make_group(group)
    if 4 % g.n:
        raise UserError(f"group {group!r} turns pictures off their pixels: choose D4, C4, D2, D1.")

    def view(x: Tensor, activations: Activations) -> Tensor:
        turned = complete(x[:, None], g)
        return activations(turned.flatten(0, 1)).unflatten(0, (len(x), g.order)).mean(1)

    return Recipe("orbit average", view=view, passes=g.order)


# -------------------------------------------------------------------------------------------- TCAV


class _Directed(Classifier):
    """captum's classifier of concepts, from a function of positive and negative activations."""

    def __init__(self, direction: Direction) -> None:
        self.direction = direction

    def train_and_eval(self, dataloader, **options) -> dict:
        """Fit on `(activations, number of the concept)`, the concept's own examples first."""
        (x, y) = next(iter(dataloader))
        self.numbers = [int(y[0]), int(y[-1])]
        w = self.direction(x[y == self.numbers[0]], x[y == self.numbers[1]])
        self.fitted = torch.stack([w, -w])
        return {}

    def weights(self) -> Tensor:
        return self.fitted

    def classes(self) -> list[int]:
        return self.numbers


class _Above(nn.Module):
    """A classifier's head, with the explained layer's activations as its input and first module."""

    def __init__(self, explained: Explained) -> None:
        super().__init__()
        self.below, self.head = nn.Identity(), explained.head

    def forward(self, a: Tensor) -> Tensor:
        return self.head(self.below(a))


class MemoryTCAV(TCAV):
    """captum's TCAV with activations and directions in memory, none of them kept on disk.

    Concepts and the class's pictures are given by their activations, which are the same for all
    concepts; `interpret` is captum's.

    Args:
        explained: the classifier; its `below` is the layer.
        direction: how positive and negative activations make a direction.
    """

    def __init__(self, explained: Explained, direction: Direction = ridge_direction) -> None:
        with tempfile.TemporaryDirectory() as folder:  # captum makes one, and this is its end
            above, fit = _Above(explained), _Directed(direction)
            super().__init__(above, ["below"], classifier=fit, save_path=folder)
        self.activations: dict[int, Tensor] = {}

    def concept(self, name: str, activations: Tensor) -> Concept:
        """A concept from the activations of its examples, `(N, C, h, w)`."""
        number = len(self.activations)
        self.activations[number] = activations
        return Concept(number, name, None)

    def compute_cavs(self, experimental_sets, force_train=False, processes=None):
        """The direction of every pair of concepts that has none yet."""
        for concepts in experimental_sets:
            known = self.cavs["-".join(str(c.id) for c in concepts)]
            if "below" in known and not force_train:
                continue
            x = [self.activations[c.id] for c in concepts]
            y = [torch.full((len(a),), c.id) for a, c in zip(x, concepts, strict=True)]
            self.classifier.train_and_eval([(torch.cat(x), torch.cat(y))])
            stats = {"weights": self.classifier.weights(), "classes": self.classifier.classes()}
            known["below"] = CAV(concepts, "below", stats)
        return self.cavs


class ConceptTest:
    """TCAV scores of concepts over many runs, each with its own examples and random pictures.

    Run `r` fits a direction to the `r`-th part of a concept's examples against the `r`-th set of
    random pictures. A score is the share of a class's pictures whose logit rises along it. Random
    directions come from random against other random pictures; as neither comes first, each counts
    both ways.

    No two runs share examples: with one pool to draw from, the runs are not independent, and
    Welch's test finds much that is not there.

    Args:
        explained: the classifier.
        class_pictures: class → pictures `(n, 3, S, S)` whose sensitivity is asked.
        random_pictures: `(3 · runs · n, 3, S, S)`, `n` a set: `runs` sets to set examples against,
            and twice as many to set against each other.
        runs: how many.
        recipe: how a direction is made.

    Attributes:
        random: class → scores of random directions, `(2 · runs,)`.
    """

    def __init__(
        self,
        explained: Explained,
        class_pictures: Mapping[str, Tensor],
        random_pictures: Tensor,
        *,
        runs: int = 20,
        recipe: Recipe | None = None,
    ) -> None:
        if runs < 2:
            raise UserError(f"{runs} runs: a test needs two or more.")
        for name in class_pictures:
            choose(name, explained.classes, "class")
        if len(random_pictures) < 3 * runs or len(random_pictures) % (3 * runs):
            raise UserError(
                f"{len(random_pictures)} random pictures: expected a multiple of 3 x {runs} runs."
            )
        self.explained, self.runs, self.recipe = explained, runs, recipe or Recipe()
        self.class_activations = {n: embed(x, explained.below) for n, x in class_pictures.items()}
        sets = self.embed(random_pictures).chunk(3 * runs)
        self.against = sets[:runs]
        pairs = zip(sets[runs : 2 * runs], sets[2 * runs :], strict=True)
        scores = self._interpret(list(pairs), self.class_activations)
        self.random = {name: np.r_[s, 1 - s] for name, s in scores.items()}

    def embed(self, pictures: Tensor) -> Tensor:
        """What stands for pictures: their activations, or what the recipe makes of them."""
        return embed(pictures, self.recipe.seen(self.explained.below))

    def scores(
        self, examples: Tensor, classes: Iterable[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Scores of a concept for classes, one a run.

        Args:
            examples: pictures of the concept, `runs` equal parts one after another.
            classes: names (default: all that pictures were given for).

        Returns:
            class → `(runs,)` in [0, 1].

        Raises:
            UserError: examples that do not divide into the runs, or an unknown class.
        """
        if len(examples) < self.runs or len(examples) % self.runs:
            raise UserError(f"{len(examples)} examples do not divide into {self.runs} runs.")
        known = self.class_activations
        names = list(known if classes is None else classes)
        wanted = {n: known[choose(n, known, "class")] for n in names}
        parts = self.embed(examples).chunk(self.runs)
        return self._interpret(list(zip(parts, self.against, strict=True)), wanted)

    def _interpret(
        self, pairs: list[tuple[Tensor, Tensor]], wanted: Mapping[str, Tensor]
    ) -> dict[str, np.ndarray]:
        tcav = MemoryTCAV(self.explained, self.recipe.direction)
        sets = [[tcav.concept("concept", p), tcav.concept("random", n)] for p, n in pairs]
        keys = ["-".join(str(c.id) for c in concepts) for concepts in sets]
        found = {}
        for name, activations in wanted.items():
            number = self.explained.classes.index(name)
            scores = tcav.interpret(activations, sets, target=number)
            found[name] = np.array([float(scores[k]["below"]["sign_count"][0]) for k in keys])
        return found


def welch(a: np.ndarray, b: np.ndarray) -> float:
    """Welch's two-sided p-value; 1 for equal constants and 0 for different ones."""
    if np.ptp(a) == np.ptp(b) == 0:
        return float(a[0] == b[0])
    with warnings.catch_warnings():  # scores that are all 1 are no accident of rounding
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(ttest_ind(a, b, equal_var=False).pvalue)


def decide(
    scores: Mapping[Pair, np.ndarray],
    random: Mapping[str, np.ndarray],
    *,
    level: float = LEVEL,
) -> pd.DataFrame:
    """Which concepts are important for which classes.

    Welch's test of every pair's scores against those of random directions, Holm's correction over
    all pairs. *Important*: significant and above the random mean; *opposed*: significant and below;
    else *irrelevant*.

    Args:
        scores: (concept, class) → scores `(runs,)`.
        random: class → scores of random directions.
        level: of the family of tests.

    Returns:
        One row a pair: `concept`, `class`, `score`, `random` (means), `p`, `holm`, `decision`.
    """
    if not scores:
        raise UserError("no scores to decide on.")
    for _, name in scores:
        choose(name, random, "class with scores of random directions")
    rows = [
        {"concept": concept, "class": name, "score": s.mean(), "random": random[name].mean(),
         "p": welch(s, random[name])}
        for (concept, name), s in scores.items()
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    order = np.argsort(table.p.to_numpy(), kind="stable")
    stepped = table.p.to_numpy()[order] * np.arange(len(table), 0, -1)
    holm = np.empty(len(table))
    holm[order] = np.maximum.accumulate(stepped).clip(max=1)
    table["holm"] = holm
    above = np.where(table.score > table.random, *DECISIONS[:2])
    table["decision"] = np.where(holm <= level, above, DECISIONS[2])
    return table


# ------------------------------------------------------------------------------------------ attacks


def token_direction(
    activations: Activations,
    own: Tensor,
    others: Tensor,
    *,
    kind: str = "probe",
    weight: float = 30.0,
) -> Tensor:
    """Where a class lies in activation space, seen from all else: what tokens are pushed along.

    `"centroid"`: from the others' centroid to the class's. `"probe"`: the same, discounted where
    pictures vary anyway, which is a ridge classifier with a large weight.

    Args:
        activations: of the attacked layer, pictures to `(B, C, h, w)`.
        own: the attacker's pictures of the class.
        others: and of other things.
        kind: `"probe"` or `"centroid"`.
        weight: of the ridge, see `ridge_direction`.

    Returns:
        `(C·h·w,)`, of unit length.
    """
    choose(kind, ("probe", "centroid"), "kind of target")
    if not len(own) or not len(others):
        raise UserError("pictures of the class and of other things are needed, one at least.")
    a, b = embed(own, activations), embed(others, activations)
    if kind == "centroid":
        return F.normalize((a.mean(0) - b.mean(0)).flatten(), dim=0)
    return F.normalize(ridge_direction(a, b, weight=weight), dim=0)


def push(
    pictures: Tensor,
    activations: Activations,
    direction: Tensor,
    bound: float,
    *,
    steps: int = 8,
    batch: int = BATCH,
    progress: bool = False,
) -> Tensor:
    """Token pushing: perturb pictures so that their activations move along a direction.

    Projected gradient ascent of `⟨a(x), direction⟩` under an L∞ bound, in steps of the gradient's
    sign. Push along the class's direction to make a concept look important, along minus it to hide
    one.

    Args:
        pictures: `(N, 3, S, S)` RGB in [0, 1].
        activations: differentiable, pictures to `(B, C, h, w)`.
        direction: `(C·h·w,)`.
        bound: largest change of a pixel, in 255ths.
        steps: of the gradient.
        batch: pictures at once.
        progress: show a progress bar.

    Returns:
        As `pictures`, in [0, 1], and of eight bits where `pictures` are and the bound is whole.
    """
    if not 0 < bound < 255 or steps < 1:
        raise UserError(f"bound {bound:g}/255, {steps} steps: expected 0 < bound < 255, steps > 0.")
    eps, found = bound / 255, []
    with torch.no_grad():
        length = activations(pictures[:1]).numel()
    if direction.numel() != length:
        raise UserError(f"a direction of {direction.numel()} numbers for {length} activations.")
    for x in tqdm(pictures.split(batch), desc="pushing", disable=not progress, leave=False):
        low, high = (x - eps).clamp(0, 1), (x + eps).clamp(0, 1)
        moved = x.clone()
        for _ in range(steps):
            moved.requires_grad_()
            a = activations(moved).flatten(1)
            along = (a @ direction.flatten().to(a)).sum()
            (gradient,) = torch.autograd.grad(along, moved)
            moved = moved.detach() + 2.5 * eps / steps * gradient.sign()
            moved = torch.minimum(torch.maximum(moved, low), high)
        stored = (255 * moved).round() / 255  # as a file would have it
        found.append(torch.minimum(torch.maximum(stored, low), high))
    return torch.cat(found)


def noise(pictures: Tensor, bound: float, seed: int = 0) -> Tensor:
    """The control: every pixel changed by the bound (in 255ths), up or down at random."""
    if not 0 < bound < 255:
        raise UserError(f"bound {bound:g}/255: expected 0 < bound < 255.")
    drawn = torch.randint(0, 2, pictures.shape, generator=torch.Generator().manual_seed(seed))
    return (pictures + bound / 255 * (2 * drawn - 1)).clamp(0, 1)


def poison(clean: Tensor, perturbed: Tensor, runs: int, count: int) -> Tensor:
    """Examples of which the first `count` in every run are perturbed, the others clean."""
    if runs < 1 or len(clean) % runs or clean.shape != perturbed.shape:
        raise UserError(
            f"{len(clean)} and {len(perturbed)} examples do not divide into {runs} runs."
        )
    if not 0 <= count <= len(clean) // runs:
        raise UserError(f"{count} perturbed of {len(clean) // runs} examples a run.")
    mixed = clean.unflatten(0, (runs, -1)).clone()
    mixed[:, :count] = perturbed.unflatten(0, (runs, -1))[:, :count]
    return mixed.flatten(0, 1)


def judge(
    test: ConceptTest,
    clean: Mapping[Pair, np.ndarray],
    concept: str,
    name: str,
    examples: Tensor,
    aim: str,
) -> dict:
    """What TCAV says of perturbed examples, decided within the clean family of tests.

    Args:
        test: the concept test, with any recipe.
        clean: its clean scores; those of (concept, name) are replaced.
        concept, name: concept and class.
        examples: perturbed, for `test.scores`.
        aim: `"induce"` succeeds if it makes important what was not, `"hide"` if what was important
            no longer is.

    Returns:
        A row of `decide`, with `was` (the clean decision), `low` and `high` (95 % interval of the
        mean score), `aim` and `success`.
    """
    choose(aim, ("induce", "hide"), "aim")
    scores = test.scores(examples, [name])[name]

    def row(of: Mapping[Pair, np.ndarray]) -> dict:
        table = decide(of, test.random)
        return table[(table.concept == concept) & (table["class"] == name)].iloc[0].to_dict()

    was, now = row(clean)["decision"], row({**clean, (concept, name): scores})
    half = t_distribution.ppf(0.975, len(scores) - 1) * scores.std(ddof=1) / len(scores) ** 0.5
    changed = (was == "important", now["decision"] == "important")
    return now | {
        "low": max(now["score"] - half, 0.0),
        "high": min(now["score"] + half, 1.0),
        "was": was,
        "aim": aim,
        "success": changed == ((False, True) if aim == "induce" else (True, False)),
    }


class Ledger:
    """Rows of a long table, kept in a file as they are made, so that a run can be taken up again.

    Args:
        path: a JSON file.
        **settings: what the rows depend on beside their keys; rows of other settings are dropped.
    """

    def __init__(self, path: str | os.PathLike, **settings) -> None:
        self.path = Path(path)
        self.settings = json.loads(json.dumps(settings))
        self.rows: list[dict] = []
        self.asked: list[dict] = []
        if self.path.exists():
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if found["settings"] == self.settings:
                self.rows = found["rows"]

    def row(self, make: Callable[[], Mapping], **key: str | float) -> dict:
        """The row of a key: the one that is there, or what `make` returns, written at once."""
        for row in self.rows:
            if all(row.get(name) == value for name, value in key.items()):
                break
        else:
            row = {**make(), **key}
            self.rows.append(row)
            write_json(self.path, {"settings": self.settings, "rows": self.rows})
        if row not in self.asked:
            self.asked.append(row)
        return row

    def table(self, **key: str | float) -> pd.DataFrame:
        """The rows asked for so far, in that order, whose columns have the given values.

        What an earlier run left and nobody has asked for yet is not among them: a table is the same
        whether its run was interrupted or not.
        """
        return pd.DataFrame([r for r in self.asked if all(r.get(n) == v for n, v in key.items())])


def rate(successes: Iterable[bool]) -> tuple[float, float, float]:
    """Share of successes with its exact 95 % interval (Clopper-Pearson)."""
    tried = [bool(s) for s in successes]
    if not tried:
        return float("nan"), 0.0, 1.0
    interval = binomtest(sum(tried), len(tried)).proportion_ci()
    return sum(tried) / len(tried), float(interval.low), float(interval.high)


# ------------------------------------------------------------------------------- people's pictures


def cropped_pictures(spec: str, count: int, side: int, *, seed: int = 0) -> Tensor:
    """Random crops of photographs, as examples of a concept or a class.

    Args:
        spec: as for `gc_utils.images.load_images`: `"folder:PATH"`, `"photos"`, …
        count: crops, the photographs taken in turn.
        side: pixels.
        seed: of the crops.

    Returns:
        `(count, 3, side, side)` float32 in [0, 1].
    """
    if count < 1 or side < 1:
        raise UserError(f"{count} crops of {side} pixels: expected one or more.")
    found = load_images(spec, seed=seed)
    crop = torchvision.transforms.v2.RandomResizedCrop(side, scale=(0.3, 1.0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        crops = [crop(found[i % len(found)].load()) for i in range(count)]
    return torch.stack(crops).clamp(0, 1)
