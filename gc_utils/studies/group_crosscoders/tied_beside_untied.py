"""Tied and untied crosscoders on the same orbits: training both, and comparing them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import adjusted_mutual_info_score

from gc_utils.activations import ActivationStore
from gc_utils.activations.orbits import AT_ONCE, Orbits, mean_response, orbits_of, some_of
from gc_utils.crosscoder import (
    GroupCrosscoder,
    ShuffledBatches,
    TiedCrosscoder,
    TrainConfig,
    Trainer,
    evaluate,
    fit,
)
from gc_utils.crosscoder.basis import OrbitBasis, orbit_basis
from gc_utils.crosscoder.compressed import in_basis
from gc_utils.errors import UserError
from gc_utils.families import linked, orbit_distance, orbit_similarity
from gc_utils.models import pick_device
from gc_utils.symmetry import unrelated_cut

Coder = GroupCrosscoder | TiedCrosscoder
FOUND_AGAIN = 0.9  # least cosine of a feature that another seed has found, too


@dataclass(frozen=True)
class Comparison:
    """The setting that tied and untied crosscoders share: data, size, sparsity and training.

    Attributes:
        run_dir: the run folder, where trained crosscoders are kept.
        store: the orbits; fold 0 is held out.
        features: features of the untied crosscoder, and of the tied one to begin with.
        k: active features a sample.
        steps, batch_size, lr, precision: of training, see `TrainConfig`.
        device: a device name as `pick_device` takes it.
        keep: the same of the untied ones; templates of tied ones have all numbers.

    Raises:
        UserError: if `features` is less than twice the order of the group.
    """

    run_dir: Path
    store: ActivationStore
    features: int
    k: int
    steps: int
    batch_size: int
    lr: float
    device: str = "auto"
    precision: str = "auto"
    keep: float = 1.0

    def __post_init__(self) -> None:
        least = 2 * self.store.group.order
        if self.features < least:
            raise UserError(
                f"features = {self.features}: take {least} or more, twice the group's order."
            )

    @cached_property
    def A(self) -> Orbits:
        """All orbits `(N, |G|, C)`, in memory or on disk."""
        return orbits_of(self.store)

    @cached_property
    def inside(self) -> Orbits:
        """The training orbits."""
        return some_of(self.A, self.store.fold != 0)

    @cached_property
    def outside(self) -> Orbits:
        """The held-out orbits."""
        return some_of(self.A, self.store.fold == 0)

    @cached_property
    def mean(self) -> torch.Tensor:
        """The mean of the training orbits over samples and group, `(C,)`."""
        return mean_response(self.inside)

    @cached_property
    def _checksum(self) -> str:
        return self.store.checksum()

    @property
    def stabilisers(self) -> list[str]:
        """Of the tied families at first: seven eighths of the features without symmetry."""
        order = self.store.group.order
        templates = max(1, round(0.875 * self.features / order))
        return ["C1"] * templates + ["G"] * max(1, self.features - templates * order)

    def tied(self, seed: int) -> TiedCrosscoder:
        """A fresh tied crosscoder with an orbit encoder."""
        return TiedCrosscoder(
            self.store.group.name,
            self.store.channels,
            len(self.stabilisers),
            k=self.k,
            encode_from="orbit",
            stabilisers=self.stabilisers,
            seed=seed,
        )

    def untied(self, seed: int, features: int | None = None) -> GroupCrosscoder:
        """A fresh untied crosscoder with an orbit encoder, of another size if one is given."""
        group, size = self.store.group.name, features or self.features
        return GroupCrosscoder(
            group, self.store.channels, size, k=self.k, encode_from="orbit", seed=seed
        )

    def trained(self, name: str, coder: Coder, seed: int) -> GroupCrosscoder:
        """A crosscoder trained without fold 0, or read if that has been done before.

        Args:
            name: The name of its file in `checkpoints/`.
            coder: The fresh crosscoder.
            seed: The seed of the batches and translations.

        Returns:
            The trained crosscoder; a tied one is folded out to all its features.
        """
        config = TrainConfig(
            steps=self.steps,
            batch_size=self.batch_size,
            lr=self.lr,
            precision=self.precision,
            keep=self.keep,
            evaluate_every=max(1, self.steps // 5),
            seed=seed,
        )
        path = self.run_dir / "checkpoints" / f"{name}.safetensors"
        rows = np.flatnonzero(self.store.fold != 0)
        coder = coder.to(pick_device(self.device))
        return fit(
            path,
            coder,
            self.A,
            rows,
            self.outside,
            config,
            data_checksum=self._checksum,
            basis=lambda: self._basis,
            label=name,
        )[0]

    @cached_property
    def _basis(self) -> OrbitBasis:
        rows = np.flatnonzero(self.store.fold != 0)
        return orbit_basis(self.A, rows, self.store.group, self.keep)

    def pairs(self, first: Path, seed: int) -> dict[tuple[str, int], GroupCrosscoder]:
        """Two tied and two untied crosscoders, of different seeds.

        Args:
            first: The file of the first untied crosscoder, which notebook 02 has trained.
            seed: The first seed; the second crosscoder of each kind has `seed + 1`.

        Returns:
            Crosscoders by kind and number, such as `("tied", 0)`.

        Raises:
            UserError: if the crosscoder in `first` is tied, or of another size or sparsity.
        """
        coders = {
            ("tied", i): self.trained(f"tied_{i}", self.tied(seed + i), seed + i) for i in range(2)
        }
        coders["untied", 0] = GroupCrosscoder.load(first)
        there = coders["untied", 0].config
        if there.families or (there.features, there.k) != (self.features, self.k):
            raise UserError(
                f"{first} has features = {there.features}, k = {there.k}, tied families = "
                f"{there.families}; here features = {self.features}, k = {self.k}, untied: run "
                "02_train with the same values."
            )
        coders["untied", 1] = self.trained("untied_1", self.untied(seed + 1), seed + 1)
        return coders

    def live(self, coder: GroupCrosscoder) -> torch.Tensor:
        """Which features fire on held-out orbits, bool `(m,)`."""
        fires = torch.zeros(coder.config.features, dtype=torch.bool)
        with torch.no_grad():
            for part in self.outside.split(AT_ONCE):
                fires |= (coder.encode(part.float()) > 0).any(0)
        return fires

    def seconds_per_step(self, coder: Coder, count: int = 4) -> float:
        """The mean time of a training step, in seconds, after two steps to warm up.

        Args:
            coder: A fresh crosscoder; it is trained by `count + 2` steps.
            count: The steps that are timed.

        Returns:
            Seconds a step on this machine.
        """
        config = TrainConfig(batch_size=self.batch_size, precision=self.precision)
        batches = ShuffledBatches(self.inside, np.arange(len(self.inside)), self.batch_size, 0)
        coder = coder.to(pick_device(self.device))
        small = in_basis(coder, batches, self.keep, lambda: self._basis)
        trainer = Trainer(small or coder, batches, config)
        for step in range(count + 2):
            if step == 2:
                started = time.perf_counter()
            trainer.advance()
        return (time.perf_counter() - started) / count


def compare_tied(
    setting: Comparison, coders: Mapping[tuple[str, int], GroupCrosscoder]
) -> pd.DataFrame:
    """What tied and untied crosscoders explain, cost, and find again with another seed.

    Args:
        setting: What both were trained with.
        coders: The crosscoders of `Comparison.pairs`.

    Returns:
        The columns `tied` and `untied`. Rows: the held-out `FVU` with its invariant and
        orientation part, `L0`, `features`, the share `dead`, learned `parameters`, `seconds a
        step`, `families` among the features that fire, and the orbit cosine of these features with
        the nearest one of another seed (median, and share over 0.9).
    """
    group = setting.store.group
    cut = unrelated_cut(coders["untied", 0].V, group)  # where unrelated features begin
    rows = {}
    for kind, fresh in {"tied": setting.tied(0), "untied": setting.untied(0)}.items():
        coder = coders[kind, 0]
        found, fires = evaluate(coder, setting.outside, setting.mean), setting.live(coder)
        V = coder.V.detach()[fires]
        again = orbit_similarity(V, group, other=coders[kind, 1].V.detach()).amax(1)
        if kind == "tied":
            families = len(coder.family[fires].unique())
        else:
            families = len(np.unique(linked(orbit_distance(V, group), cut).labels))
        rows[kind] = {
            "FVU": found.fvu,
            "invariant part": found.fvu_invariant,
            "orientation part": found.fvu_orientation,
            "L0": found.l0,
            "features": found.features,
            "dead": found.dead / found.features,
            "parameters": sum(p.numel() for p in fresh.parameters()),
            "seconds a step": setting.seconds_per_step(fresh),
            "families": families,
            "found again, median cosine": float(again.median()),
            "found again, share over 0.9": float((again >= FOUND_AGAIN).float().mean()),
        }
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Agreement:
    """Whether families of a tied crosscoder are clusters of an untied one's features.

    Attributes:
        mutual_information: adjusted mutual information of families and clusters; 0 is chance.
        nearest: median orbit cosine of an untied feature with the nearest tied one.
        firing: the number of tied families, by the number of their features that fire.
    """

    mutual_information: float
    nearest: float
    firing: dict[int, int]


def family_agreement(
    setting: Comparison, tied: GroupCrosscoder, untied: GroupCrosscoder
) -> Agreement:
    """Give every untied feature the family of the nearest tied one, and compare with clusters.

    Clusters are made by average linkage under the orbit distance, cut where unrelated features of
    the untied crosscoder begin. Only features that fire on held-out orbits count.

    Args:
        setting: What both were trained with.
        tied: The tied crosscoder.
        untied: The untied crosscoder.

    Returns:
        The agreement.
    """
    group, fires = setting.store.group, setting.live(tied)
    own, family = untied.V.detach()[setting.live(untied)], tied.family[fires].numpy()
    near = orbit_similarity(own, group, other=tied.V.detach()[fires])
    clusters = linked(orbit_distance(own, group), unrelated_cut(untied.V, group)).labels
    information = adjusted_mutual_info_score(clusters, family[near.argmax(1).numpy()])
    sizes, counts = np.unique(np.unique(family, return_counts=True)[1], return_counts=True)
    firing = dict(zip(sizes.tolist(), counts.tolist(), strict=True))
    return Agreement(float(information), float(near.amax(1).median()), firing)


def dictionary_growth(
    setting: Comparison, known: GroupCrosscoder, sizes: Sequence[float], seed: int
) -> pd.DataFrame:
    """Families and features of untied dictionaries of several sizes.

    Args:
        setting: What all are trained with.
        known: The trained untied crosscoder of `setting.features` features; it sets the cut.
        sizes: Further sizes, relative to `setting.features`; none gets fewer than `k` features.
        seed: The seed of the further crosscoders.

    Returns:
        A row a size: `features`, those `alive` on held-out orbits, `families`, the FVU of the
        `orientation part`, and `features a family`.
    """
    group, rows = setting.store.group, []
    cut = unrelated_cut(known.V, group)
    wanted = {max(setting.k, round(setting.features * size)) for size in sizes}
    for size in sorted(wanted | {setting.features}):
        coder = known
        if size != setting.features:
            coder = setting.trained(f"untied_{size}", setting.untied(seed, size), seed)
        V = coder.V.detach()[setting.live(coder)]
        found = linked(orbit_distance(V, group), cut).labels
        rows.append(
            {
                "features": size,
                "alive": len(V),
                "families": len(np.unique(found)),
                "orientation part": evaluate(coder, setting.outside, setting.mean).fvu_orientation,
            }
        )
    growth = pd.DataFrame(rows)
    growth["features a family"] = growth.alive / growth.families
    return growth
