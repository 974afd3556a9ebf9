"""Orbit activations with a known dictionary: the ground truth that a method is judged by.

A *family* has a template `T[g]`, a smooth function on the group with values in `C` channels and a
chosen stabiliser `S`: `T[g·s] = T[g]`. Its features are the template's distinct right translates
`V_(k,h) = R_h T_k`, one for each coset `h·S`, so `|G| / |S|` of them. Orbits are sparse sums of all
families' features, with noise:

    A[n] = Σ_i f[n, i] V_i + noise

and have what every set of orbits has: with `A` also `R_h A` is as likely.

Data of a real network are less tidy, and each way in which they are is a setting: families that
differ in norm (`norm_spread`), features that are on together (`correlation`,
`family_correlation`), codes that are now and then very large (`tail`), orbits of which only some
orientations occur (`orientations`; then `R_h A` is no longer as likely), and templates that are
symmetric but for a part of their power (`chiral_power`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from gc_utils import groups
from gc_utils.activations.arrays import store_array
from gc_utils.activations.store import PLANTED, ActivationStore
from gc_utils.errors import UserError
from gc_utils.groups import Group, Subgroup
from gc_utils.symmetry.report import stabilisers

KINDS = ("C1", "D1", "C2", "D2", "C4", "G")  # chiral, mirror, two-fold, both, four-fold, invariant
ALIASES = {"chiral": "C1", "mirror": "D1", "2-fold": "C2", "4-fold": "C4", "invariant": "G"}
FREQUENCIES = 4  # the highest of a template, unless its symmetry leaves nothing below the next
NEARLY = 0.9  # a template that comes nearer than this to more symmetry is drawn again
ATTEMPTS = 200


@dataclass(frozen=True)
class PlantedOrbits:
    """Orbits and what is in them.

    Attributes:
        group: the group.
        V: transform blocks of all features, `(m, |G|, C)`, of norm `√|G|` times the family's.
        codes: `(N, m)`.
        A: orbit activations `(N, |G|, C)`, float32.
        family: of every feature, int `(m,)`.
        stabilisers: of every feature, its name (`"D1@45"`): the largest subgroup on which the
            feature, before `break_equivariance`, has `ρ ≥ 0.9` (`NEARLY`). Without `chiral_power`
            that is the stabiliser that was asked for, on which `ρ = 1`.
        axes: `axis_degrees` of these, float64 `(m,)`.
        kinds: stabiliser of every family's template up to conjugacy (`"D1"`), one a family: the one
            asked for, which with `chiral_power` is that of its symmetric part.
        noise: the noise's share of all variance.
        symmetric_parts: of every feature, the stabiliser of its symmetric part. With `chiral_power`
            this is *not* the feature's own, but what it is called if its chiral part is missed.
        absent: blocks of the features that `orientations` left out, `(m', |G|, C)`: they are in no
            sample, but in the samples' translates.
        absent_stabilisers: the names of theirs.
    """

    group: Group
    V: torch.Tensor = field(repr=False)
    codes: torch.Tensor = field(repr=False)
    A: torch.Tensor = field(repr=False)
    family: torch.Tensor = field(repr=False)
    stabilisers: tuple[str, ...] = field(repr=False)
    axes: torch.Tensor = field(repr=False)
    kinds: tuple[str, ...]
    noise: float
    symmetric_parts: tuple[str, ...] = field(repr=False)
    absent: torch.Tensor = field(repr=False)
    absent_stabilisers: tuple[str, ...] = field(repr=False)

    @property
    def templates(self) -> torch.Tensor:
        """One feature of every family, `(families, |G|, C)`."""
        first = [int((self.family == k).nonzero()[0]) for k in range(len(self.kinds))]
        return self.V[first]

    def split(self, held_out: int) -> tuple[PlantedOrbits, PlantedOrbits]:
        """The samples but for the last `held_out`, and these."""
        if not 0 < held_out < len(self.A):
            raise UserError(f"cannot hold out {held_out} of {len(self.A)} samples.")
        return tuple(
            replace(self, codes=self.codes[part], A=self.A[part])
            for part in (slice(None, -held_out), slice(-held_out, None))
        )


def planted_orbits(
    group: Group | str = "D16",
    channels: int = 64,
    families: int | Mapping[str, int] = 8,
    samples: int = 4096,
    l0: float = 6.0,
    noise: float = 0.05,
    break_equivariance: float = 0.0,
    seed: int = 0,
    *,
    amplitudes: tuple[float, float] = (0.5, 1.5),
    correlation: float = 0.0,
    dictionary_seed: int | None = None,
    family_correlation: float = 0.0,
    norm_spread: float = 0.0,
    tail: float = 0.0,
    orientations: float = 1.0,
    chiral_power: float = 0.0,
) -> PlantedOrbits:
    """Draw a dictionary of known symmetry, and orbits made of it.

    Args:
        group: the group, or its name.
        channels: `C`.
        families: how many of each of `KINDS` that the group has, or how many by stabiliser:
            `{"C1": 8, "D1": 4}`; a name without an axis takes one of its conjugates at random, one
            with an axis (`"D2@45"`) is taken as it is.
        samples: `N`.
        l0: mean number of active features of a sample.
        noise: variance of the Gaussian noise, as a share of the signal's.
        break_equivariance: norm of what is added to every feature's blocks, as a share of theirs:
            as smooth as they are, and another for each feature of a family, so that these are no
            longer exact translates of each other. The stabilisers stated are those before.
        seed: of everything.
        amplitudes: codes that are on are uniform between these.
        correlation: of the Gaussian variables behind which features are on, among families that
            belong together (eight to a set) at the same element; 0 makes all features independent.
        dictionary_seed: of the dictionary alone, if it is to be the same for other samples.
        family_correlation: the same among all features of a family; 1 at most with `correlation`.
        norm_spread: standard deviation of the logarithm of the families' norms, which are
            log-normal with a mean square of 1; all features of a family have the same norm.
        tail: standard deviation of the logarithm of codes that are on: they are log-normal with the
            mean of `amplitudes`, in place of uniform; 0 leaves them uniform.
        orientations: share of each family's features that are planted, at least one of them, drawn
            at random; the others are `absent`.
        chiral_power: share of a symmetric template's power that changes under its stabiliser: the
            template is `√(1 - p) S + √p X`, where `S` has the stabiliser asked for and `X`, as
            smooth, has no part with it. On one mirror or a half turn `ρ = 1 - 2p`. A template that
            was to be symmetric then has as many distinct translates as one that was not.

    Raises:
        UserError: a stabiliser that the group does not have, or numbers that make no sense.

    Example:
        >>> planted = planted_orbits("D4", channels=8, families={"C1": 1, "G": 1}, samples=10)
        >>> planted.V.shape, planted.A.shape
        (torch.Size([9, 8, 8]), torch.Size([10, 8, 8]))
    """
    g = groups.group(group) if isinstance(group, str) else group
    for name, value, least in (("channels", channels, 1), ("samples", samples, 1)):
        if value < least:
            raise UserError(f"{name} = {value}: expected {least} or more.")
    not_negative = {"noise": noise, "break_equivariance": break_equivariance}
    for name, value in (not_negative | {"norm_spread": norm_spread, "tail": tail}).items():
        if not value >= 0:
            raise UserError(f"{name} = {value}: expected 0 or more.")
    shares = {"correlation": correlation, "family_correlation": family_correlation}
    for name, value in (shares | {"chiral_power": chiral_power}).items():
        if not 0 <= value < 1:
            raise UserError(f"{name} = {value}: expected 0 or more, and less than 1.")
    if not correlation + family_correlation < 1:
        raise UserError(
            f"correlation + family_correlation = {correlation + family_correlation}: expected less "
            "than 1, of which what is left makes features differ."
        )
    if not 0 < orientations <= 1:
        raise UserError(f"orientations = {orientations}: expected more than 0, and 1 at most.")
    if not 0 < amplitudes[0] <= amplitudes[1]:
        raise UserError(f"amplitudes = {amplitudes}: expected 0 < lowest ≤ highest.")
    of_dictionary = seed if dictionary_seed is None else dictionary_seed
    rng = np.random.default_rng((1, of_dictionary))
    chosen = _stabilisers(g, families, rng)
    # Draws of their own, so that a setting that is not used changes nothing.
    norms = np.exp(norm_spread * np.random.default_rng((3, of_dictionary)).normal(size=len(chosen)))
    norms *= np.exp(-(norm_spread**2))
    which = np.random.default_rng((4, of_dictionary))

    V, family, named, symmetric, moved_by, planted = [], [], [], [], [], []
    for k, part in enumerate(chosen):
        template, exact, name = draw_template(g, channels, part, rng), part, part
        if chiral_power and part.order > 1:
            template = _with_chiral_part(template, g, part, chiral_power, rng)
            exact, name = _own_stabilisers(template, g)
        cosets = g.cosets(exact)
        kept = which.permutation(len(cosets)) < max(1, round(orientations * len(cosets)))
        for h in cosets:
            block = template[g.right(h).numpy()]
            if break_equivariance:
                block = block + break_equivariance * _unit(_smooth(g, channels, rng, FREQUENCIES))
            V.append(norms[k] * _unit(block))
            family.append(k)
            named.append(_conjugate(g, name, h))
            symmetric.append(_conjugate(g, part, h))
            moved_by.append(h)
        planted.extend(kept)
    V = torch.from_numpy(np.stack(V)).float()
    planted = np.array(planted)
    absent, V = V[~planted], V[planted]
    absent_named = [s for s, here in zip(named, planted, strict=True) if not here]
    named = [s for s, here in zip(named, planted, strict=True) if here]
    symmetric = [s for s, here in zip(symmetric, planted, strict=True) if here]
    family, moved_by = np.array(family)[planted], np.array(moved_by)[planted]
    codes = _codes(
        samples,
        family,
        moved_by,
        l0,
        amplitudes,
        correlation,
        g.order,
        np.random.default_rng((2, seed)),
        family_correlation,
        tail,
    )
    A = (codes @ V.flatten(1)).view(samples, g.order, channels)
    signal = float((A - A.mean(0)).square().mean())
    draw = torch.Generator().manual_seed(seed)
    A = A + (noise * signal) ** 0.5 * torch.randn(A.shape, generator=draw)
    return PlantedOrbits(
        group=g,
        V=V,
        codes=codes,
        A=A,
        family=torch.from_numpy(family),
        stabilisers=tuple(s.name for s in named),
        axes=torch.tensor([s.axis_degrees for s in named], dtype=torch.float64),
        kinds=tuple(s.name.split("@")[0] for s in chosen),
        noise=noise / (1 + noise),
        symmetric_parts=tuple(s.name for s in symmetric),
        absent=absent,
        absent_stabilisers=tuple(s.name for s in absent_named),
    )


def draw_template(
    g: Group, channels: int, stabiliser: Subgroup, rng: np.random.Generator
) -> np.ndarray:
    """Random smooth blocks `(|G|, C)`, norm `√|G|`, with exactly this stabiliser.

    Amplitudes fall as `(1 + m)^-1/2` over the angular frequencies `m = 0 … 4` (further, if the
    stabiliser lets only higher ones through), projected on the functions with `T[g·s] = T[g]`.
    Drawn again if another element `h` has `ρ(h) > 0.9`, or if little is left of it.

    Raises:
        UserError: if no such template is found.
    """
    highest = max(FREQUENCIES, 0 if stabiliser.name == "G" else stabiliser.rotation_order)
    inside = np.zeros(g.order, bool)
    inside[list(stabiliser.elements)] = True
    table = g.table.numpy()
    for _ in range(ATTEMPTS):
        whole = _smooth(g, channels, rng, highest)
        T = whole[table[:, inside]].mean(1)
        if np.sum(T**2) < 0.1 / stabiliser.order * np.sum(whole**2):
            continue
        rho = np.einsum("gc,ghc->h", T, T[table]) / np.sum(T**2)
        if inside.all() or rho[~inside].max() <= NEARLY:
            return _unit(T)
    raise UserError(
        f"no template of {g.name} with {channels} channels has exactly the symmetry "
        f"{stabiliser.name}: give it more channels, or choose another stabiliser."
    )


def _with_chiral_part(
    T: np.ndarray, g: Group, stabiliser: Subgroup, power: float, rng: np.random.Generator
) -> np.ndarray:
    """A symmetric template with a share `power` of a part in which nothing has its symmetry."""
    whole = _smooth(g, T.shape[1], rng, FREQUENCIES)
    chiral = whole - whole[g.table.numpy()[:, list(stabiliser.elements)]].mean(1)
    return (1 - power) ** 0.5 * T + power**0.5 * _unit(chiral)


def _own_stabilisers(T: np.ndarray, g: Group) -> list[Subgroup]:
    """The largest subgroups under which a template does not, and hardly, change (`NEARLY`)."""
    blocks = torch.from_numpy(T)[None]
    return [stabilisers(blocks, g, least)[0] for least in (1 - 1e-6, NEARLY)]


def _unit(T: np.ndarray) -> np.ndarray:
    """Scaled to norm `√|G|`: a block of norm 1 in the mean."""
    return T * np.sqrt(len(T) / np.sum(T**2))


def _smooth(g: Group, channels: int, rng: np.random.Generator, highest: int) -> np.ndarray:
    """A random function on the group, smooth in the angle, `(|G|, C)`."""
    angle = np.deg2rad(g.angles.numpy()[: g.n])
    halves = []
    for _ in range(1 + g.dihedral):  # rotations, then mirrors
        half = np.zeros((g.n, channels))
        for m in range(min(highest, g.n // 2) + 1):
            waves = np.stack([np.cos(m * angle), np.sin(m * angle)], 1)
            half += (1 + m) ** -0.5 * waves @ rng.standard_normal((2, channels))
        halves.append(half)
    return np.concatenate(halves)


def find_stabilisers(g: Group, name: str) -> list[Subgroup]:
    """The conjugate subgroups that a name stands for: `"D1"` all mirrors, `"D1@45"` one.

    Raises:
        UserError: if the group has none; says which there are.
    """
    wanted = ALIASES.get(name, name)
    there = g.subgroups()
    found = [s for s in there if wanted in (s.name, s.name.split("@")[0])]
    if wanted == g.name:
        found = [s for s in there if s.order == g.order]
    if not found:
        bases = sorted({s.name.split("@")[0] for s in there}, key=_by_number)
        raise UserError(
            f"{g.name} has no stabiliser {name!r}; it has {', '.join(bases)} (G is all of it)."
        )
    return found


def _by_number(name: str) -> tuple:
    return (name == "G", name[0], int(re.sub(r"\D", "", name) or 0))


def families_of_each(g: Group, count: int) -> dict[str, int]:
    """`count` families of each of `KINDS` that the group has."""
    names = {s.name.split("@")[0] for s in g.subgroups()}
    return {kind: count for kind in KINDS if kind in names}


def _stabilisers(
    g: Group, families: int | Mapping[str, int], rng: np.random.Generator
) -> list[Subgroup]:
    """One for every family."""
    if isinstance(families, int):
        families = families_of_each(g, families)
    chosen = []
    for name, count in families.items():
        if count < 0:
            raise UserError(f"{count} families of {name!r}: expected 0 or more.")
        conjugates = find_stabilisers(g, name)
        chosen += [conjugates[i] for i in rng.integers(len(conjugates), size=count)]
    if not chosen:
        raise UserError("no families were asked for: there would be nothing to find.")
    return chosen


def _conjugate(g: Group, stabiliser: Subgroup, h: int) -> Subgroup:
    """The stabiliser `h·S·h⁻¹` of `R_h T`."""
    subgroups = g.subgroups()
    return subgroups[int(g.conjugates[h, subgroups.index(stabiliser)])]


def _codes(
    samples: int,
    family: np.ndarray,
    moved_by: np.ndarray,
    l0: float,
    amplitudes: tuple[float, float],
    correlation: float,
    order: int,
    rng: np.random.Generator,
    family_correlation: float,
    tail: float,
) -> torch.Tensor:
    """Non-negative codes `(N, m)`, `l0` of them on in the mean and one at least."""
    from scipy.stats import norm

    m = len(family)
    if not 0 < l0 <= m:
        raise UserError(f"l0 = {l0} active features of {m}: expected 0 < l0 ≤ {m}.")
    z = rng.standard_normal((samples, m))
    own = 1 - correlation - family_correlation
    shared = 0.0
    if correlation:
        # Families of a set share a variable at each element.
        sets = rng.permutation(family.max() + 1) // 8
        drawn = rng.standard_normal((samples, sets.max() + 1, order))
        shared = correlation**0.5 * drawn[:, sets[family], moved_by]
    if family_correlation:
        drawn = rng.standard_normal((samples, family.max() + 1))
        shared = shared + family_correlation**0.5 * drawn[:, family]
    z = shared + own**0.5 * z
    on = z > norm.isf(l0 / m)
    empty = np.flatnonzero(~on.any(1))
    on[empty, rng.integers(m, size=len(empty))] = True
    if tail:
        size = rng.lognormal(np.log(np.mean(amplitudes)) - tail**2 / 2, tail, on.shape)
    else:
        size = rng.uniform(*amplitudes, size=on.shape)
    return torch.from_numpy(np.where(on, size, 0.0)).float()


# Controls in which there is no symmetry to be found


def no_orbits(planted: PlantedOrbits, seed: int = 0) -> PlantedOrbits:
    """Gaussian data with the same covariance over `(g, c)`, closed under the group, but no sparse
    features: a dictionary has nothing to find."""
    g, A = planted.group, planted.A
    rng = torch.Generator().manual_seed(seed)
    # Sums of random orbits, started anywhere, tend to a Gaussian of the same covariance.
    few = torch.randn(len(A), len(A), generator=rng) / len(A) ** 0.5
    h = torch.randint(g.order, (len(A),), generator=rng)
    moved = A[torch.arange(len(A))[:, None], g.table[:, h].T]
    centred = (moved - moved.mean(0)).flatten(1)
    return replace(planted, A=(few @ centred).view_as(A) + A.mean((0, 1)))


def shuffled_blocks(planted: PlantedOrbits, seed: int = 0) -> PlantedOrbits:
    """Every feature's blocks dealt out anew over `g`: features are still sparse, but no feature is
    another's translate, nor its own."""
    rng = torch.Generator().manual_seed(seed)
    order = torch.rand(planted.V.shape[:2], generator=rng).argsort(1)
    return _remade(planted, planted.V[torch.arange(len(planted.V))[:, None], order], rng)


def single_blocks(planted: PlantedOrbits, seed: int = 0) -> PlantedOrbits:
    """Features that live in one block only: seen at one element, and gone at the next."""
    rng = torch.Generator().manual_seed(seed)
    m, order, _ = planted.V.shape
    at = torch.randint(order, (m,), generator=rng)
    V = torch.zeros_like(planted.V)
    here = planted.V[torch.arange(m), at]
    V[torch.arange(m), at] = here / here.norm(dim=1, keepdim=True) * order**0.5
    return _remade(planted, V, rng)


def _remade(planted: PlantedOrbits, V: torch.Tensor, rng: torch.Generator) -> PlantedOrbits:
    """The same codes with other blocks, and the symmetry that these happen to have."""
    g = planted.group
    found = stabilisers(V, g, 0.999)  # blocks of an invariant feature are the same in any order
    names = tuple(s.name for s in found)
    A = (planted.codes @ V.flatten(1)).view_as(planted.A)
    share = planted.noise / (1 - planted.noise)
    scale = (share * float((A - A.mean(0)).square().mean())) ** 0.5
    return replace(
        planted,
        V=V,
        A=A + scale * torch.randn(A.shape, generator=rng),
        stabilisers=names,
        symmetric_parts=names,
        absent=V[:0],
        absent_stabilisers=(),
        axes=torch.tensor([s.axis_degrees for s in found], dtype=torch.float64),
        family=torch.arange(len(V)),
        kinds=tuple(s.name.split("@")[0] for s in found),
    )


def write_store(path: str | Path, planted: PlantedOrbits, *, folds: int = 4) -> ActivationStore:
    """Write planted orbits as an activation store, which notebooks 02 to 04 run on unchanged.

    There are no images: a sample's patch is its activations, an image of elements by channels.
    Instead of drawings, features are shown the planted templates (see `stimuli_for`).

    Args:
        path: folder of the store.
        planted: the orbits.
        folds: of the cross-validation; a sample is its own photograph's worth of a fold.

    Raises:
        UserError: if something is there already.
    """
    made = {"model": PLANTED, "weights": PLANTED, "layer": PLANTED, "dtype": "float16", "seed": 0}
    names = [f"planted {i}" for i in range(folds)]
    return store_array(
        planted.A,
        planted.group,
        path,
        made,
        folds=folds,
        names=names,
        further={"template": planted.templates.numpy()},
        notes={"kinds": list(planted.kinds)},
    )
