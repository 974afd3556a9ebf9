"""Banks of curve filters with known gaps, superposed: what a sparse autoencoder finds there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from gc_utils.crosscoder.metrics import evaluate
from gc_utils.crosscoder.training import TrainConfig, train
from gc_utils.crosscoder.untied import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.models.filter_bank import KINDS, FilterBank, draw_filter
from gc_utils.parallel import side_by_side
from gc_utils.statistics import apart
from gc_utils.studies.missing_curves.radial_tuning import codes, peaks

SUPERPOSED, LEFT_OUT = "superposed", "left out (control)"


@dataclass(frozen=True)
class HiddenBank:
    """Units that hide orientations: known mixtures of the responses of a filter bank.

    Attributes:
        bank: The filters, closed under rotation: every orientation is there.
        mix: What each unit adds up, `(units, filters)`.
        missing: The filters without a unit of their own.
        pairs: The filters that share a unit.
        superposed: Whether the missing ones are written onto other units, or left out.
    """

    bank: FilterBank
    mix: torch.Tensor
    missing: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    superposed: bool

    def units(self, z: torch.Tensor) -> torch.Tensor:
        """Activations of the units `(…, units)`, from the filters' responses `(…, filters)`."""
        return z @ self.mix.T


def _curved(bank: FilterBank) -> tuple[list[int], list[int]]:
    """The filters for bright curves, and those for dark ones."""
    curved = [i for i, kind in enumerate(bank.kinds) if kind == "curved_gabor"]
    return curved[: len(curved) // 2], curved[len(curved) // 2 :]


def hidden_bank(
    bank: FilterBank,
    *,
    gap: int = 2,
    single: int = 1,
    pairs: int = 3,
    spread: int = 8,
    beside: float = 1.0,
    superposed: bool = True,
    seed: int = 0,
) -> HiddenBank:
    """Take the units of some curved Gabors away, and let others share one.

    Args:
        bank: A filter bank.
        gap: The number of neighbouring orientations that are missing together.
        single: The number of further ones, two steps apart from those and each other.
        pairs: The number of units that carry two orientations, 135 degrees apart.
        spread: The number of units that a missing filter is written onto, with random weights of
            unit norm.
        beside: The norm with which each filter of a pair is written onto `spread` other units.
        superposed: Whether the missing filters are written onto units; False leaves them out, which
            is the control.
        seed: The seed of all choices; the same filters are missing with and without superposition.

    Returns:
        A `HiddenBank`.

    Raises:
        UserError: The bank has not enough orientations for what should be missing.
    """
    rng = np.random.default_rng(seed)
    bright, dark = _curved(bank)
    count = len(bright)
    if count < gap + 3 * single + 4 or pairs > count // 4:
        raise UserError(
            f"{count} orientations are too few for {gap} + {single} missing ones and {pairs} "
            "pairs: take a bank of a larger group."
        )
    start = int(rng.integers(count))
    missing = [bright[(start + k) % count] for k in range(gap)]
    at = start + gap + 2
    for _ in range(single):
        missing.append(bright[at % count])
        at += 3
    offset = int(rng.integers(count))
    first = rng.permutation(count // 4)[:pairs]
    shared = [
        (dark[(offset + a) % count], dark[(offset + a + 3 * count // 8) % count]) for a in first
    ]
    gone = {*missing, *(b for _, b in shared)}
    kept = [i for i in range(len(bank.kinds)) if i not in gone]
    mix = torch.eye(len(bank.kinds))[kept]

    def spread_over(avoid: int | None = None) -> torch.Tensor:
        """A direction of unit norm, on a few units."""
        onto = rng.choice([u for u in range(len(kept)) if u != avoid], spread, replace=False)
        weight = np.zeros(len(kept), np.float32)
        weight[onto] = np.abs(rng.normal(size=spread)) + 0.5
        return torch.from_numpy(weight / np.linalg.norm(weight))

    for a, b in shared:
        unit = kept.index(a)
        mix[unit, b] = 1
        for j in (a, b):  # on one unit alone, nothing could separate them
            mix[:, j] += beside * spread_over(unit)
    for j in missing:
        direction = spread_over()
        if superposed:
            mix[:, j] = direction
    return HiddenBank(bank, mix, tuple(missing), tuple(shared), superposed)


def bank_responses(
    bank: FilterBank, samples: int, *, places: int = 2, noise: float = 0.02, seed: int = 0
) -> torch.Tensor:
    """Responses of a filter bank to images of its own patterns, added up over a few places.

    At every place stands one pattern, each kind being equally likely, within a quarter step of one
    of the bank's orientations, with a contrast between 0 and 1.

    Args:
        bank: The filters.
        samples: The number of images.
        places: The number of patterns of an image; they do not overlap, as if pooled over
            neighbouring units.
        noise: The standard deviation of what is added to every response.
        seed: The seed of everything.

    Returns:
        The responses `(samples, filters)`.
    """
    draw = torch.Generator().manual_seed(seed)
    tremble = np.linspace(-0.25, 0.25, 7) * 360 / bank.group.n
    responses = torch.stack([_rotated_responses(bank, i, tremble) for i in range(len(bank.kinds))])
    total = torch.zeros(samples, len(bank.kinds))
    for _ in range(places):
        which = torch.randint(len(bank.kinds), (samples,), generator=draw)
        rotated = torch.randint(len(tremble), (samples,), generator=draw)
        contrast = torch.rand(samples, 1, generator=draw)
        total += contrast * responses[which, rotated]
    return (total + noise * torch.randn(total.shape, generator=draw)).relu()


@torch.no_grad()
def _rotated_responses(bank: FilterBank, i: int, by: Sequence[float]) -> torch.Tensor:
    """Responses of all filters to one's pattern, rotated by a few degrees, `(len(by), filters)`."""
    pattern = 2 * bank.patterns[i].double() - 1
    orientation = bank.orientations[i]
    if math.isnan(orientation):
        drawn = pattern.expand(len(by), -1, -1, -1)
    else:
        kind = next(k for k in KINDS if k.name == bank.kinds[i])
        there = draw_filter(kind, orientation)
        again = torch.stack([draw_filter(kind, orientation + angle) for angle in by])
        colour = (pattern * there).sum((1, 2)) / there.square().sum()
        drawn = again[:, None] * colour[:, None, None]
    return bank((0.5 + drawn / 2).float())[:, :, 0, 0]


def curved_ring(
    bank: FilterBank, polarity: int, steps: int = 72
) -> tuple[torch.Tensor, np.ndarray]:
    """Patterns of a curved Gabor at many orientations.

    Args:
        bank: The filter bank whose patterns they are like.
        polarity: 1 for bright curves, -1 for dark ones.
        steps: The number of orientations.

    Returns:
        The patterns `(steps, 3, S, S)` in [0, 1], and their orientations in degrees `(steps,)`.
    """
    kind = next(k for k in KINDS if k.name == "curved_gabor")
    angles = np.arange(steps) * 360 / steps
    drawn = torch.stack([draw_filter(kind, float(a)) for a in angles])
    drawn = polarity * drawn / drawn.abs().amax((1, 2), keepdim=True)
    return (0.5 + drawn / 2).float()[:, None].repeat(1, 3, 1, 1), angles


def hidden_trial(
    hidden: HiddenBank,
    z: torch.Tensor,
    *,
    features: float = 8.0,
    k: int = 2,
    steps: int = 600,
    seed: int = 0,
) -> dict[str, object]:
    """Train a sparse autoencoder on the units, and see which hidden orientations it finds.

    An orientation counts as found by a feature whose strongest response, among all patterns of the
    bank and curved Gabors of all angles, is to a curve of that polarity, with a single peak no
    more than half a step of the group from it; and if what it adds there is at least half of what
    features add for orientations that do have a unit. (Where an orientation is left out, its
    neighbours' faint responses to it remain, and can be learned.) A unit that carries two is split
    if both are found, by different features.

    Args:
        hidden: The units.
        z: The responses of the filters `(N, filters)`, from `bank_responses`.
        features: The number of features of the autoencoder, relative to the units. With few, one
            feature sometimes stands for two unrelated patterns, and no other is left to mend it.
        k: The number of features that are active at a time, exactly.
        steps: The steps of training.
        seed: The seed of the autoencoder.

    Returns:
        A dictionary of `found`, a bool for each of `hidden.missing`, and `units_found`, the same
        asked of the units; `split`, a bool for each pair; `fvu` on a quarter that was held out; and
        for figures `angles` and `curves`, what the features add for bright curves `(m, K)`.
    """
    A = hidden.units(z)
    held = len(A) // 4
    # Exactly k an image: with k in the mean over a batch, unrelated patterns share features.
    coder = GroupCrosscoder(
        "C1", A.shape[1], round(features * A.shape[1]), k=k, sparsity="topk", seed=seed
    )
    config = TrainConfig(
        steps=steps, batch_size=512, lr=1e-2, k_fall=0.3, evaluate_every=steps, seed=seed
    )
    train(coder, A[:, None], np.arange(held, len(A)), A[:held, None], config, progress=False)
    bank, step = hidden.bank, 360 / hidden.bank.group.n
    straight = [i for i, kind in enumerate(bank.kinds) if kind != "curved_gabor"]
    rings = {polarity: curved_ring(bank, polarity) for polarity in (1, -1)}
    angles = rings[1][1]
    with torch.no_grad():
        seen = {p: hidden.units(bank(x)[:, :, 0, 0]) for p, (x, _) in rings.items()}
        other = hidden.units(bank(bank.patterns[straight])[:, :, 0, 0])
        units = _Shown({p: y.numpy() for p, y in seen.items()}, other.numpy(), angles, step)
        adds = coder.norms
        found = _Shown(
            {p: (codes(coder, y) * adds).numpy() for p, y in seen.items()},
            (codes(coder, other) * adds).numpy(),
            angles,
            step,
        )
    bright, dark = _curved(bank)
    polarity = dict.fromkeys(bright, 1) | dict.fromkeys(dark, -1)
    gone = {*hidden.missing, *(i for pair in hidden.pairs for i in pair)}

    def least(shown: _Shown) -> float:
        """Half of what is usual for an orientation that has a unit of its own."""
        own = [i for i in polarity if i not in gone]
        usual = [shown.highest(bank.orientations[i], polarity[i]) for i in own]
        return 0.5 * float(np.median(usual))

    def finders(shown: _Shown) -> dict[int, set[int]]:
        """Who finds each hidden orientation."""
        enough = least(shown)
        return {i: shown.who(bank.orientations[i], polarity[i], enough) for i in gone}

    by_features, by_units = finders(found), finders(units)
    return {
        "found": [bool(by_features[i]) for i in hidden.missing],
        "units_found": [bool(by_units[i]) for i in hidden.missing],
        "split": [
            bool(a and b and len(a | b) > 1)
            for a, b in ((by_features[i], by_features[j]) for i, j in hidden.pairs)
        ],
        "fvu": evaluate(coder, A[:held, None], coder.mean).fvu,
        "angles": angles,
        "curves": found.rings[1].T,
    }


def hidden_trials(seeds: Sequence[int], *, workers: int = 2, progress: bool = True) -> list[dict]:
    """Run `hidden_trial` on banks of many seeds, with the missing filters superposed and left out.

    Args:
        seeds: The seeds of bank, images and autoencoder.
        workers: The number of processes.
        progress: Whether to show a bar.

    Returns:
        Two results a seed, from `hidden_trial`, with `seed` and `superposed`, in the order of the
        seeds.
    """
    calls = [(seed,) for seed in seeds]
    pairs = dict(
        side_by_side(_hidden_pair, calls, workers=workers, label="hidden banks", progress=progress)
    )
    return [result for i in range(len(calls)) for result in pairs[i]]


def _hidden_pair(seed: int) -> list[dict[str, object]]:
    """The trials of one seed, with the missing filters superposed and left out."""
    bank = FilterBank("C16")
    z = bank_responses(bank, 20_000, seed=seed)
    results = []
    for superposed in (True, False):
        hidden = hidden_bank(bank, superposed=superposed, seed=seed)
        found = hidden_trial(hidden, z, seed=seed)
        results.append(found | {"seed": seed, "superposed": superposed})
    return results


def trial_table(results: Sequence[dict]) -> pd.DataFrame:
    """What was found in each hidden bank, as a table.

    Args:
        results: From `hidden_trials`.

    Returns:
        One row a bank: `seed`; `missing curves are` (`SUPERPOSED` or `LEFT_OUT`); `found by
        features` and `found among units`, of how many (`of`); `pairs split`, of how many
        (`pairs`); and `FVU`.
    """
    return pd.DataFrame(
        {
            "seed": r["seed"],
            "missing curves are": SUPERPOSED if r["superposed"] else LEFT_OUT,
            "found by features": sum(r["found"]),
            "found among units": sum(r["units_found"]),
            "of": len(r["found"]),
            "pairs split": sum(r["split"]),
            "pairs": len(r["split"]),
            "FVU": r["fvu"],
        }
        for r in results
    )


def bright_orientations(hidden: HiddenBank) -> tuple[list[float], list[float]]:
    """The orientations of bright curves with a unit of their own, and of those without.

    Args:
        hidden: From `hidden_bank`.

    Returns:
        Two lists of degrees.
    """
    bank, gone = hidden.bank, hidden.missing
    bright, _ = _curved(bank)
    own = [bank.orientations[i] for i in bright if i not in gone]
    return own, [bank.orientations[i] for i in gone]


@dataclass(frozen=True)
class _Shown:
    """Responses of units to curved Gabors of both polarities `(K, U)`, and to other patterns."""

    rings: dict[int, np.ndarray]
    others: np.ndarray
    angles: np.ndarray
    step: float

    def highest(self, at: float, polarity: int) -> float:
        """The strongest response of any unit to one curve."""
        off = np.abs(apart(self.angles, at))
        return float(self.rings[polarity][off.argmin()].max())

    def who(self, at: float, polarity: int, least: float) -> set[int]:
        """Units that prefer curves there to everything else, and respond with `least` or more."""
        ring = self.rings[polarity]
        high = ring.max(0)
        near = np.abs(apart(self.angles[ring.argmax(0)], at)) <= self.step / 2
        most = np.maximum(self.rings[-polarity].max(0), self.others.max(0))
        fit = near & (high > most) & (high >= least)
        return {int(u) for u in np.flatnonzero(fit) if len(peaks(ring[:, u])) == 1}
