"""Notebook 02: crosscoders that each miss one fold of images, and what they explain of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gc_utils.activations import (
    ActivationStore,
    StoredOrbits,
    mean_response,
    orbits_of,
    some_of,
)
from gc_utils.crosscoder import (
    GroupCrosscoder,
    Metrics,
    RefineConfig,
    TiedCrosscoder,
    TrainConfig,
    evaluate,
    fit,
    fit_refined,
    parse_families,
    pca_baseline,
    ridge_baseline,
)
from gc_utils.crosscoder.basis import OrbitBasis, orbit_basis
from gc_utils.crosscoder.compressed import worthwhile
from gc_utils.errors import UserError
from gc_utils.groups import Group
from gc_utils.images import is_scene

ENCODERS = ("identity", "orbit")
ENCODER_STEPS, TOGETHER_STEPS = 20, 12  # of refining, in percent of the steps of training
RIDGE = "ridge from the identity"
Coders = Mapping[tuple[str, int], GroupCrosscoder]  # by encoder and the fold left out


def crosscoder_name(encoder: str) -> str:
    """What the crosscoders with this encoder are called in tables."""
    return f"crosscoder, {encoder} encoder"


def pca_name(k: int) -> str:
    """What PCA with that number of components is called in tables."""
    return f"PCA, {k} components"


@dataclass(frozen=True)
class Folds:
    """Orbit activations, divided by whole images.

    Attributes:
        A: orbit activations, `(N, |G|, C)`: a tensor, or what stays on disk if that is large.
        of: the fold of every sample, int `(N,)`.
        group: the group of the orbits.
        count: how many folds there are.
    """

    A: torch.Tensor | StoredOrbits
    of: np.ndarray
    group: Group
    count: int
    _means: dict[int, torch.Tensor] = field(default_factory=dict, init=False, repr=False)
    _bases: dict[tuple[int, float], OrbitBasis] = field(
        default_factory=dict, init=False, repr=False
    )

    @classmethod
    def of_store(cls, store: ActivationStore, folds: int) -> Folds:
        """The folds of an activation store, put together to be at most `folds` (see `merged`).

        Raises:
            UserError: fewer than 2 folds are asked for or there.
        """
        there = int(store.fold.max()) + 1
        if min(folds, there) < 2:
            raise UserError(
                f"{folds} folds asked for and {there} in the store: at least 2 are needed to hold "
                "images out. Set folds to 2 or more, or extract from more images in 01_extract."
            )
        count = min(folds, there)
        return cls(orbits_of(store), merged(store.fold, count), store.group, count)

    def training(self, number: int) -> torch.Tensor | StoredOrbits:
        """Orbits of all folds but one, `(n, |G|, C)`, of the type that holds them."""
        return some_of(self.A, self.of != number)

    def held_out(self, number: int) -> torch.Tensor | StoredOrbits:
        """Orbits of one fold, `(n, |G|, C)`, of the type that holds them."""
        return some_of(self.A, self.of == number)

    def mean(self, number: int) -> torch.Tensor:
        """Mean of the training data, `(C,)`, which the fraction of variance counts from."""
        if number not in self._means:
            self._means[number] = mean_response(self.training(number))
        return self._means[number]

    def basis(self, number: int, keep: float) -> OrbitBasis:
        """A basis that holds a share of the training data's variance, see `OrbitBasis`."""
        if (number, keep) not in self._bases:
            rows = np.flatnonzero(self.of != number)
            self._bases[number, keep] = orbit_basis(self.A, rows, self.group, keep)
        return self._bases[number, keep]


def forget_further_folds(folder: Path, count: int) -> None:
    """Remove dictionaries of folds beyond `count`, which an earlier training with more has left.

    Args:
        folder: where the dictionaries lie, `checkpoints` of the run folder.
        count: folds used now.
    """
    for path in Path(folder).glob("*_[0-9]*.safetensors"):
        name, number = path.stem.rsplit("_", 1)
        known = name.startswith(("crosscoder_", "refined_")) or name == "sae"
        if known and number.isdigit() and int(number) >= count:
            path.unlink()
            path.with_suffix(".history.csv").unlink(missing_ok=True)


def merged(fold: np.ndarray, count: int) -> np.ndarray:
    """Fewer folds than a store has: every `count`-th of them together.

    With two folds the dictionaries that miss one or the other are trained on different images
    altogether, and what both have learned is no chance of the images.

    Args:
        fold: of every sample, int `(N,)`.
        count: folds wanted.
    """
    return np.asarray(fold) % count


@dataclass(frozen=True)
class FoldTrainer:
    """Trains dictionaries without one of the folds, or reads those that were trained before.

    Attributes:
        data: the folds.
        folder: where the dictionaries are written.
        checksum: of the activation store; another one makes earlier dictionaries invalid.
        config: how to train; fold `n` uses its seed plus `n`.
        features: size of the dictionary.
        tied: templates of tied crosscoders as `parse_families` reads them; empty for untied ones.
        sparsity: `"batchtopk"`, `"topk"` or `"l1"`.
        k: active features a sample.
        passes: over the training orbits when a dictionary is refined.
        device: where to train.
    """

    data: Folds
    folder: Path
    checksum: str
    config: TrainConfig
    features: int
    tied: str
    sparsity: str
    k: int
    passes: int = 10
    device: torch.device | str = "cpu"

    def crosscoder(
        self, name: str, number: int, encoder: str, *, sparsity: str = "", steps: int = 0
    ) -> tuple[GroupCrosscoder, pd.DataFrame]:
        """A group crosscoder that has not seen fold `number`.

        Args:
            name: of its file.
            number: the fold left out.
            encoder: `"identity"` reads the unrotated view only, `"orbit"` all views.
            sparsity: another kind than the trainer's.
            steps: another number than the configuration's.

        Returns:
            The crosscoder, and the history of its training, one row a logged step.
        """
        return self._fit(name, number, self.data.group.name, encoder, sparsity, steps, self.tied)

    def autoencoder(self, number: int) -> tuple[GroupCrosscoder, pd.DataFrame]:
        """A sparse autoencoder of single views that has not seen fold `number`.

        Returns:
            The autoencoder, a crosscoder of the trivial group, and the history of its training.
        """
        return self._fit("sae", number, "C1", "identity", "", 0, "")

    def refined(self, encoder: str, number: int) -> GroupCrosscoder:
        """The refined form of a dictionary that has been trained.

        Args:
            encoder: `"identity"`, `"orbit"`, or `"sae"` for the sparse autoencoder.
            number: the fold left out.

        Returns:
            The refined dictionary.

        Raises:
            UserError: it is a tied crosscoder, which cannot be refined.
        """
        plain = self.folder / f"{_plain_name(encoder)}_{number}.safetensors"
        data = self.data
        training = replace(
            self.config,
            steps=max(1, self.config.steps * ENCODER_STEPS // 100),
            seed=self.config.seed + number,
        )
        coder, _ = fit_refined(
            self.folder / f"refined_{encoder}_{number}.safetensors",
            plain,
            data.A,
            np.flatnonzero(data.of != number),
            data.held_out(number),
            RefineConfig(
                passes=self.passes,
                encoder=training,
                together=max(1, self.config.steps * TOGETHER_STEPS // 100),
            ),
            basis=self._basis(number),
            device=self.device,
            label=f"refined {encoder} without fold {number}",
        )
        return coder

    def forget_refined(self, encoder: str, number: int) -> None:
        """Remove the refined form of a dictionary, which an earlier training has left.

        Args:
            encoder: as for `refined`.
            number: the fold left out.
        """
        path = self.folder / f"refined_{encoder}_{number}.safetensors"
        path.unlink(missing_ok=True)
        path.with_suffix(".history.csv").unlink(missing_ok=True)

    def basis(self, number: int) -> OrbitBasis | None:
        """The basis that crosscoders without a fold are trained in; None for all numbers."""
        keep = self.config.keep
        if keep == 1 or self.tied or self.sparsity == "l1" or self.data.group.order == 1:
            return None
        found = self.data.basis(number, keep)
        return found if worthwhile(found) else None

    def _fit(self, name, number, group, encoder, sparsity, steps, tied):
        data, seed = self.data, self.config.seed + number
        settings = {"sparsity": sparsity or self.sparsity, "k": self.k, "encode_from": encoder}
        channels = data.A.shape[2]
        if tied and group != "C1":
            families = parse_families(tied)
            coder = TiedCrosscoder(
                group, channels, len(families), stabilisers=families, seed=seed, **settings
            )
        else:
            coder = GroupCrosscoder(group, channels, self.features, seed=seed, **settings)
        return fit(
            self.folder / f"{name}_{number}.safetensors",
            coder.to(self.device),
            data.A,
            np.flatnonzero(data.of != number),
            data.held_out(number),
            replace(self.config, steps=steps or self.config.steps, seed=seed),
            data_checksum=self.checksum,
            basis=self._basis(number),
            label=f"{name} without fold {number}",
        )

    def _basis(self, number: int) -> Callable[[], OrbitBasis]:
        """The basis of a fold, made once for all that is trained without that fold."""
        return lambda: self.data.basis(number, self.config.keep)


def _plain_name(encoder: str) -> str:
    return "sae" if encoder == "sae" else f"crosscoder_{encoder}"


def dictionaries(folder: Path, encoder: str, *, refined: bool = True) -> dict[int, GroupCrosscoder]:
    """The dictionaries that notebook 02 has trained, by the fold that each has not seen.

    Args:
        folder: where they lie, `checkpoints` of the run folder.
        encoder: `"identity"`, `"orbit"`, or `"sae"` for the sparse autoencoders.
        refined: the refined ones, where there are any; a tied crosscoder is not refined.

    Raises:
        UserError: there is none.
    """
    plain = _plain_name(encoder)
    for name in [f"refined_{encoder}"] * refined + [plain]:
        found = sorted(Path(folder).glob(f"{name}_[0-9]*.safetensors"))
        found = [path for path in found if path.stem.removeprefix(f"{name}_").isdigit()]
        if found:
            return {int(p.stem.removeprefix(f"{name}_")): GroupCrosscoder.load(p) for p in found}
    raise UserError(
        f"there are no dictionaries {plain}_N.safetensors in {str(folder)!r}: run 02_train first."
    )


def compare(
    coders: Coders, data: Folds, k: int, *, baselines: bool = True
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """What crosscoders, PCA and ridge regression leave unexplained of the images held out.

    Args:
        coders: by encoder and fold left out, for every fold and encoder.
        data: the folds.
        k: principal components, as many as the code has active features.
        baselines: whether PCA and ridge regression are compared.

    Returns:
        A table with the columns `method`, `part` (total, invariant, orientation), `fold`, `fvu`
        and, where they apply, `l0` and `dead` (a share of the dictionary); and FVU of every group
        element by encoder and for `"ridge"`, mean over folds, `(|G|,)` each.
    """
    rows: list[dict] = []
    by_element: dict[str, list[np.ndarray]] = {}
    encoders = list(dict.fromkeys(encoder for encoder, _ in coders))
    for number in range(data.count):
        inside, outside, mean = data.training(number), data.held_out(number), data.mean(number)
        for encoder in encoders:
            found = evaluate(coders[encoder, number], outside, mean)
            rows += _parts(crosscoder_name(encoder), number, found)
            by_element.setdefault(encoder, []).append(found.fvu_per_element)
        if not baselines:
            continue
        pca = pca_baseline(inside, outside, data.group, components=min(k, len(inside)))
        ridge = ridge_baseline(inside, outside, data.group)
        rows += _parts(pca_name(k), number, pca) + _parts(RIDGE, number, ridge)
        by_element.setdefault("ridge", []).append(ridge.fvu_per_element)
    return pd.DataFrame(rows), {name: np.mean(each, 0) for name, each in by_element.items()}


def _parts(method: str, number: int, found: Metrics) -> list[dict]:
    shares = {
        "total": found.fvu,
        "invariant": found.fvu_invariant,
        "orientation": found.fvu_orientation,
    }
    dictionary = {"l0": found.l0, "dead": found.dead / max(1, found.features)}
    return [
        {"method": method, "part": part, "fold": number, "fvu": value} | dictionary
        for part, value in shares.items()
    ]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means over folds: one row a method, columns total, invariant, orientation, l0, dead.

    Args:
        table: from `compare`.
    """
    parts = list(dict.fromkeys(table.part))
    means = table.groupby(["method", "part"]).fvu.mean().unstack()[parts]
    return means.join(table.groupby("method")[["l0", "dead"]].mean())


def fvu_by_fold(table: pd.DataFrame, method: str, part: str = "total") -> np.ndarray:
    """FVU of one method and part, one number a fold in the folds' order.

    Args:
        table: from `compare`.
        method: as the table names it.
        part: `"total"`, `"invariant"` or `"orientation"`.
    """
    here = table[(table.method == method) & (table.part == part)]
    return here.sort_values("fold").fvu.to_numpy(dtype=float)


def better_encoder(table: pd.DataFrame, encoders: Sequence[str] = ENCODERS) -> str:
    """The encoder that leaves least of the orientation part, or of everything if there is none.

    Args:
        table: from `compare`.
        encoders: to choose from.
    """
    means = summary(table).loc[[crosscoder_name(encoder) for encoder in encoders]]
    part = "orientation" if means.orientation.notna().all() else "total"
    return min(encoders, key=lambda encoder: means.loc[crosscoder_name(encoder), part])


def fvu_by_image(
    coders: Coders, data: Folds, image: np.ndarray, names: Sequence[str]
) -> pd.DataFrame:
    """FVU of every image, by crosscoders that never saw it.

    Args:
        coders: by encoder and fold left out.
        data: the folds.
        image: which image every sample comes from, int `(N,)`.
        names: of the images.

    Returns:
        A table with one row an image, its name as index and one column an encoder, best first
        under the last encoder.
    """
    encoders = list(dict.fromkeys(encoder for encoder, _ in coders))
    rows = []
    for number in range(data.count):
        mean = data.mean(number)
        for i in np.unique(image[data.of == number]):
            own = some_of(data.A, image == i)
            found = {e: evaluate(coders[e, number], own, mean).fvu for e in encoders}
            rows.append({"picture": names[i]} | found)
    pd.set_option("display.html.use_mathjax", False)  # where it is shown: a name is no formula
    return pd.DataFrame(rows).set_index("picture").sort_values(encoders[-1])


def image_means(by_image: pd.DataFrame) -> str:
    """Mean FVU of photographs and of drawn scenes, as a sentence.

    Args:
        by_image: from `fvu_by_image`.
    """
    scene = by_image.index.map(is_scene).astype(bool)
    parts = []
    for name, here in (("photograph", by_image[~scene]), ("drawn scene", by_image[scene])):
        if len(here):
            means = ", ".join(f"{encoder} encoder {here[encoder].mean():.3f}" for encoder in here)
            parts.append(f"{len(here)} {name}{'s' * (len(here) > 1)}: {means}")
    return "Mean FVU of unseen images. " + "; ".join(parts) + "."
