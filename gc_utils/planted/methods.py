"""The methods that are compared on planted orbits, each a function of a problem and a seed."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from gc_utils.crosscoder.block_sparse import BlockCrosscoder
from gc_utils.crosscoder.metrics import evaluate, fvu
from gc_utils.crosscoder.refinement import RefineConfig, refine
from gc_utils.crosscoder.tied import TiedCrosscoder, parse_families
from gc_utils.crosscoder.training import TrainConfig, train
from gc_utils.crosscoder.untied import GroupCrosscoder
from gc_utils.crosscoder.views import views_for
from gc_utils.errors import choose
from gc_utils.families.regression import blocks_by_regression
from gc_utils.groups import group, translate
from gc_utils.planted.orbits import (
    PlantedOrbits,
    families_of_each,
    no_orbits,
    planted_orbits,
    shuffled_blocks,
    single_blocks,
)
from gc_utils.planted.recovery import coherence
from gc_utils.symmetry.equivariance import fitted_action

CONTROLS = {"": None, "no orbits": no_orbits, "shuffled": shuffled_blocks, "single": single_blocks}


@dataclass(frozen=True)
class Problem:
    """A planted problem, and how much a method may spend on it.

    Attributes:
        group, channels, families, samples, l0, noise, break_equivariance, norm_spread, correlation,
            family_correlation, tail, orientations, chiral_power, dictionary_seed: see
            `planted_orbits`; families may also be a text, `"C1:3 D1:2"`.
        replicates: more dictionaries that are trained on other samples of the same planted one, for
            names by the noise-corrected autocorrelation.
        held_out: samples to score on.
        dictionary: how many times the planted features and their absent translates a dictionary may
            have (families, if tied).
        steps, batch_size, lr, first_k, k_fall: of training, see `TrainConfig`.
        passes: of refining, see `refine`.
        control: a name from `CONTROLS`: what has been done to the data.
        seed: of everything.
    """

    group: str = "D8"
    channels: int = 32
    families: int | str = 3
    samples: int = 2000
    l0: float = 6.0
    noise: float = 0.05
    break_equivariance: float = 0.0
    held_out: int = 500
    dictionary: float = 1.5
    steps: int = 500
    batch_size: int = 256
    lr: float = 1e-3
    first_k: float = 2.0
    k_fall: float = 0.4
    passes: int = 6
    control: str = ""
    seed: int = 0
    norm_spread: float = 0.0
    correlation: float = 0.0
    family_correlation: float = 0.0
    tail: float = 0.0
    orientations: float = 1.0
    chiral_power: float = 0.0
    dictionary_seed: int | None = None
    replicates: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """How many families there are of each stabiliser."""
        if isinstance(self.families, str):
            return dict(Counter(parse_families(self.families)))
        return families_of_each(group(self.group), self.families)

    def others(self) -> list[Problem]:
        """Problems with the same dictionary and other samples, one a replicate."""
        dictionary = self.seed if self.dictionary_seed is None else self.dictionary_seed
        return [
            replace(self, seed=self.seed + 1000 * r, dictionary_seed=dictionary, replicates=0)
            for r in range(1, self.replicates + 1)
        ]

    def draw(self) -> tuple[PlantedOrbits, PlantedOrbits]:
        """Training and held-out samples."""
        planted = planted_orbits(
            self.group,
            self.channels,
            self.counts,
            self.samples + self.held_out,
            self.l0,
            self.noise,
            self.break_equivariance,
            self.seed,
            dictionary_seed=self.dictionary_seed,
            norm_spread=self.norm_spread,
            correlation=self.correlation,
            family_correlation=self.family_correlation,
            tail=self.tail,
            orientations=self.orientations,
            chiral_power=self.chiral_power,
        )
        change = CONTROLS[choose(self.control, CONTROLS, "control")]
        return (change(planted, self.seed) if change else planted).split(self.held_out)


@dataclass(frozen=True)
class Found:
    """What a method hands back.

    Attributes:
        V: blocks `(m', |G|, C)`, or `(m', w, |G|, C)` for subspaces.
        codes: of the held-out samples, `(N, m')`, or None.
        coherence: of the features on the held-out samples, `(m',)`, see `coherence`; None without
            an orbit encoder.
        families: of the features, or None if the method does not say.
        fvu: share of held-out variance unexplained; NaN if it reconstructs no orbits.
        l0: mean active features on held-out samples.
        parameters: numbers learned.
    """

    V: torch.Tensor
    codes: torch.Tensor | None = None
    families: np.ndarray | None = None
    fvu: float = math.nan
    l0: float = math.nan
    parameters: int = 0
    coherence: torch.Tensor | None = None


def _config(problem: Problem, **changes) -> TrainConfig:
    settings = {
        "steps": problem.steps,
        "batch_size": problem.batch_size,
        "lr": problem.lr,
        "first_k": problem.first_k,
        "k_fall": problem.k_fall,
        "evaluate_every": problem.steps,
        "merge_every": 25,
        "seed": problem.seed,
    }
    return TrainConfig(**settings | changes)


def _features(problem: Problem, seen: PlantedOrbits) -> int:
    """Of a dictionary: translation brings in the orientations that were not planted, too."""
    return round(problem.dictionary * (len(seen.V) + len(seen.absent)))


def _trained(coder, problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits, **changes):
    """A crosscoder of either kind, trained and scored."""
    rows = np.arange(len(seen.A))
    train(coder, seen.A, rows, held_out.A, _config(problem, **changes), progress=False)
    return _judged(coder, held_out)


def _judged(coder, held_out: PlantedOrbits):
    """A trained crosscoder of either kind, folded, and what it found."""
    parameters = sum(p.numel() for p in coder.parameters())
    judged = evaluate(coder, views_for(coder, held_out.A), coder.mean)
    with torch.no_grad():
        one = coder.fold()
        codes = one.encode(held_out.A[:, :1] if one.group.order == 1 else held_out.A)
        all_views = one.views == one.group.order > 1
        views = coherence(one.W_enc, held_out.A - coder.mean, codes) if all_views else None
    families = None if one.family is None else one.family.numpy()
    return one, Found(one.V.detach(), codes, families, judged.fvu, judged.l0, parameters, views)


def _untrained(problem: Problem, seen: PlantedOrbits, encode_from: str) -> GroupCrosscoder:
    return GroupCrosscoder(
        problem.group,
        problem.channels,
        _features(problem, seen),
        k=round(problem.l0),
        encode_from=encode_from,
        seed=problem.seed,
    )


def _crosscoder(encode_from: str, moved: bool = True) -> Callable[..., Found]:
    def method(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
        coder = _untrained(problem, seen, encode_from)
        return _trained(coder, problem, seen, held_out, translate=moved)[1]

    return method


def _refined(encode_from: str) -> Callable[..., Found]:
    """The crosscoder, its dictionary refined; half as many steps for the encoder after that."""

    def method(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
        coder = _untrained(problem, seen, encode_from)
        rows = np.arange(len(seen.A))
        train(coder, seen.A, rows, held_out.A, _config(problem), progress=False)
        steps, lr = max(1, problem.steps // 2), min(problem.lr, 1e-3)
        again = _config(problem, steps=steps, lr=lr, first_k=2.0)
        together = max(1, problem.steps * 12 // 100)
        config = RefineConfig(passes=problem.passes, encoder=again, together=together)
        refine(coder, seen.A, rows, held_out.A, config, progress=False)
        return _judged(coder, held_out)[1]

    return method


def _tied(encode_from: str) -> Callable[..., Found]:
    def method(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
        planted = sum(problem.counts.values())  # a control has none
        families = max(2, round(problem.dictionary * planted))
        # All copies of a template have to fire for an invariant feature before it can merge them:
        # a few families that are invariant from the start cost one feature each.
        symmetry = ["C1"] * families + ["G"] * math.ceil(families / 3)
        coder = TiedCrosscoder(
            problem.group,
            problem.channels,
            len(symmetry),
            k=round(problem.l0),
            encode_from=encode_from,
            stabilisers=symmetry,
            seed=problem.seed,
        )
        return _trained(coder, problem, seen, held_out)[1]

    return method


def _sae(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits):
    """A sparse autoencoder on single views."""
    coder = GroupCrosscoder(
        "C1", problem.channels, _features(problem, seen), k=round(problem.l0), seed=problem.seed
    )
    return _trained(coder, problem, seen, held_out)


def _regressed(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
    """The autoencoder, given blocks by regressing all views on the codes of one."""
    one, found = _sae(problem, seen, held_out)
    g = seen.group
    h = torch.randint(
        g.order, (len(seen.A),), generator=torch.Generator().manual_seed(problem.seed)
    )
    moved = translate(seen.A, g, h)
    with torch.no_grad():
        V = blocks_by_regression(one.encode(moved[:, :1]), moved)
    return replace(found, V=V, fvu=math.nan)


def _one_rotation(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
    """The autoencoder, its features transformed by the fitted matrices."""
    one, found = _sae(problem, seen, held_out)
    mean = seen.A.mean((0, 1))
    action = fitted_action(seen.A - mean, seen.group)
    V = torch.einsum("gcd,md->mgc", action, one.V.detach()[:, 0])
    bias = action @ (one.b_dec.detach()[0] - mean)  # transformed as the features are
    made = torch.einsum("nm,mgc->ngc", found.codes, V) + bias + mean
    return replace(found, V=V, fvu=fvu(held_out.A, made, mean).fvu)


def _blocks(width: int) -> Callable[..., Found]:
    def method(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
        blocks = math.ceil(_features(problem, seen) / width)
        kind = type(f"BlockCrosscoder{width}", (BlockCrosscoder,), {"width": width})
        coder = kind(
            problem.group,
            problem.channels,
            width * blocks,
            k=round(problem.l0),
            encode_from="orbit",
            seed=problem.seed,
        )
        rows = np.arange(len(seen.A))
        # Nothing is revived: that is written for codes that are never negative.
        train(coder, seen.A, rows, held_out.A, _config(problem, revive=0.0), progress=False)
        judged = evaluate(coder, held_out.A, coder.mean)
        V = coder.V.detach().unflatten(0, (blocks, width))
        parameters = sum(p.numel() for p in coder.parameters())
        with torch.no_grad():  # codes have either sign: a block is on if any of them is not 0
            on = coder.encode(held_out.A).unflatten(1, (blocks, width)).ne(0).any(2)
        return Found(V, None, None, judged.fvu, float(on.float().sum(1).mean()), parameters)

    return method


def _pca(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
    from sklearn.decomposition import PCA

    mean = seen.A.mean((0, 1))
    h = torch.randint(
        seen.group.order, (len(seen.A),), generator=torch.Generator().manual_seed(problem.seed)
    )
    x = (translate(seen.A, seen.group, h) - mean).flatten(1)
    count = min(_features(problem, seen), *x.shape)
    basis = torch.from_numpy(PCA(count, random_state=problem.seed).fit(x.numpy()).components_)
    few = basis[: round(problem.l0)]
    made = ((held_out.A - mean).flatten(1) @ few.T @ few).view_as(held_out.A) + mean
    V = torch.cat([basis, -basis]).float().unflatten(1, seen.A.shape[1:])  # either sign
    return Found(V, fvu=fvu(held_out.A, made, mean).fvu, l0=len(few), parameters=basis.numel())


def _nmf(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
    """Non-negative factors of the positive and the negative parts, put together again."""
    from sklearn.decomposition import MiniBatchNMF

    def parts(A: torch.Tensor) -> np.ndarray:
        x = (A - mean).flatten(1)
        return torch.cat([x.relu(), (-x).relu()], 1).numpy()

    mean = seen.A.mean((0, 1))
    count = min(_features(problem, seen), len(seen.A))
    model = MiniBatchNMF(count, random_state=problem.seed, max_iter=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it stopped at max_iter
        model.fit(parts(seen.A))
        weights = model.transform(parts(held_out.A))
    up, down = torch.from_numpy(model.components_).float().chunk(2, 1)
    V = (up - down).unflatten(1, seen.A.shape[1:])
    codes = torch.from_numpy(weights).float()
    made = torch.einsum("nm,mgc->ngc", codes, V) + mean
    l0 = float((codes > 1e-6).float().sum(1).mean())
    return Found(V, codes, None, fvu(held_out.A, made, mean).fvu, l0, 2 * V.numel())


METHODS: dict[str, Callable[[Problem, PlantedOrbits, PlantedOrbits], Found]] = {
    "crosscoder": _crosscoder("orbit"),
    "crosscoder, refined": _refined("orbit"),
    "crosscoder, no translation": _crosscoder("orbit", moved=False),
    "crosscoder, identity encoder": _crosscoder("identity"),
    "refined, identity encoder": _refined("identity"),
    "tied crosscoder": _tied("orbit"),
    "tied, identity encoder": _tied("identity"),
    "SAE, regressed blocks": _regressed,
    "SAE, one fitted rotation": _one_rotation,
    "blocks of width 2": _blocks(2),
    "blocks of width 4": _blocks(4),
    "NMF": _nmf,
    "PCA": _pca,
}
