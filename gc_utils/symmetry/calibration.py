"""Names of symmetries that are beyond chance, and what each is worth."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from gc_utils.errors import UserError
from gc_utils.families.distance import check_blocks, orbit_similarity
from gc_utils.groups import Group, Subgroup
from gc_utils.symmetry.noise_corrected import NoiseCorrected, noise_corrected, products
from gc_utils.symmetry.null import draw_null, unrelated_cut
from gc_utils.symmetry.report import symmetry_report
from gc_utils.symmetry.spectra import autocorrelation

SLACK = 0.05  # by which ρ may fall short of a feature's likeness to itself, learned again
SYMMETRIC = 0.9  # the noise-corrected ρ of a symmetry
ALWAYS, NEVER = -2.0, 2.0  # thresholds that every ρ reaches, and none
BEYOND_DOUBT = 0.9  # ρ of features that no null feature is made from
LEAST_POOL = 16  # features to make them from


def kind_of(subgroup: Subgroup) -> str:
    """A subgroup's name without its axis: conjugates have the same."""
    return subgroup.name.split("@")[0]


class SymmetryNull:
    """How symmetric null features look, subgroup by subgroup.

    Features that are symmetric beyond doubt (`ρ` of 0.9 and more on some subgroup) are left out of
    those that null features are made from.

    With a noise-corrected `ρ`, that is what is meant by `ρ`, of the null features too: each is
    made twice, from features and from their counterparts, of the same parts.

    Args:
        V: transform blocks of a dictionary, `(m, |G|, C)`.
        group: the group, or its name.
        count: null features to draw.
        seed: of the draw.
        corrected: the noise-corrected `ρ` of the features; those without one are left out.

    Attributes:
        least: by the kind of subgroup (`"C2"`, `"D1"`, `"G"`), for every null feature the least
            `ρ` on the best subgroup of that kind, sorted, `(count,)`.
        rarest: for every null feature, the smallest share of null features that are as symmetric as
            it is on some subgroup of a kind, over all kinds, sorted, `(count,)`: a feature is tried
            on many subgroups, and one of them fits best by chance.
    """

    def __init__(
        self,
        V: torch.Tensor,
        group: Group | str,
        *,
        count: int = 2000,
        seed: int = 0,
        corrected: NoiseCorrected | None = None,
    ) -> None:
        V, self.group = check_blocks(V, group)
        if corrected is None:
            other, rho = V, autocorrelation(V, self.group).cpu()
        else:
            there = corrected.pairs > 0
            V, other, rho = V[there], corrected.counterpart[there], corrected.rho[there]
        best = [v for k, v in self._best(rho).items() if k != "C1"]
        beyond_doubt = torch.stack(best).amax(0) if best else torch.zeros(len(V))
        pool = (beyond_doubt < BEYOND_DOUBT) & (rho[:, 0] > 0)
        if int(pool.sum()) < LEAST_POOL:  # nearly all are symmetric: nothing better is there
            pool = rho[:, 0] > 0
        one, two = (draw_null(blocks[pool], self.group, count, seed)[0] for blocks in (V, other))
        rho = products(one, two, self.group)
        best = self._best(rho / rho[:, :1].clamp_min(1e-12))
        self.least = {kind: np.sort(values.numpy()) for kind, values in best.items()}
        alone = [self._alone(kind, values.numpy()) for kind, values in best.items() if kind != "C1"]
        self.rarest = np.sort(np.min(alone or [np.ones(count)], 0))

    def _best(self, rho: torch.Tensor) -> dict[str, torch.Tensor]:
        """By kind of subgroup, the least `ρ` on the best of that kind, `(m,)`."""
        kinds: dict[str, list[torch.Tensor]] = {}
        for subgroup in self.group.subgroups():
            least = rho[:, list(subgroup.elements)].amin(1).cpu()
            kinds.setdefault(kind_of(subgroup), []).append(least)
        return {kind: torch.stack(values, 1).amax(1) for kind, values in kinds.items()}

    def _alone(self, kind: str, values: np.ndarray) -> np.ndarray:
        """The share of null features that are as symmetric on a subgroup of this kind."""
        null = self.least[kind]
        return (len(null) - np.searchsorted(null, values, side="left")) / len(null)

    def thresholds(self, rate: float = 0.05) -> torch.Tensor:
        """For every subgroup, the least `ρ` that counts, `(subgroups,)`; 0 for the trivial one.

        A share `rate` of null features reaches it on any subgroup at all; all kinds of subgroups
        are equally hard to reach.

        Raises:
            UserError: for a rate that this number of null features cannot resolve, or out of range.
        """
        count = len(self.rarest)
        if not 1 / count <= rate < 1:
            raise UserError(f"rate {rate}: expected from 1/{count} (one null feature) to 1.")
        level = float(np.quantile(self.rarest, rate, method="lower"))
        reached = {
            k: v[max(0, len(v) - max(1, round(level * len(v))))] for k, v in self.least.items()
        }
        return torch.tensor(
            [0.0 if s.order == 1 else reached[kind_of(s)] for s in self.group.subgroups()],
            dtype=torch.float64,
        )

    def p_values(self, kinds: Sequence[str], least: Sequence[float]) -> np.ndarray:
        """How often a null feature is as symmetric, on whatever subgroup suits it best, `(m,)`.

        Args:
            kinds: of the stabilisers found, with or without axis; `"C1"` has a p-value of 1.
            least: the features' least `ρ` on them.
        """
        found = []
        for kind, value in zip(kinds, least, strict=True):
            if kind in (None, "C1"):
                found.append(1.0)
                continue
            alone = self._alone(str(kind).split("@")[0], np.array(value))
            as_rare = np.searchsorted(self.rarest, alone, side="right")
            found.append((1 + as_rare) / (1 + len(self.rarest)))
        return np.array(found)


@dataclass(frozen=True)
class _Relatives:
    """Who in a dictionary is a feature again, transformed by what."""

    similarity: torch.Tensor  # (m, k), 0 for the feature itself
    element: torch.Tensor  # (m, k): feature i is feature j of the dictionary transformed by it
    near: torch.Tensor  # (m, k), nearer than features without relation
    blocks: torch.Tensor


def calibrated_report(
    V: torch.Tensor,
    group: Group | str,
    *,
    replicates: Iterable[torch.Tensor] = (),
    siblings: bool = True,
    rate: float = 0.05,
    least: float = 0.7,
    labels: Sequence | None = None,
    null: SymmetryNull | None = None,
    corrected: NoiseCorrected | None = None,
) -> pd.DataFrame:
    """`symmetry_report` with thresholds that have a reason, and what each name is worth.

    The stabiliser of a feature that other dictionaries of the same data (`replicates`) have, too,
    follows the noise-corrected `ρ` (`noise_corrected`), so that it does not depend on how well
    the dictionary was trained. It is the largest subgroup on which that is (1) beyond chance, so
    high that a share `rate` of null features gets any symmetry; and (2) at least 0.9. (To ask only
    that the interval reaches 0.9 would give noisy features more symmetry than the same features,
    learned well.)

    Of other features there is only the raw `ρ`. It must be (1) beyond chance, (2) at least `least`,
    for a resemblance beyond chance may still be small, and (3) no less than the feature resembles
    itself, learned again, up to `SLACK`. It is learned again in the replicates, and, transformed,
    in its own dictionary (`siblings`): the features of a family are learned one by one, unless they
    are tied.

    All these *relatives* also vote on the name: a feature's `confidence` is the share of those that
    have the same stabiliser, transformed as they are, with two votes added that go as they go in
    the whole dictionary, so that a feature without relatives is worth what all are in the mean (½
    if nobody has relatives). Relatives are nearer to it than features without relation come to any
    feature of the dictionary, in 19 cases of 20 (`unrelated_cut`). One that is symmetric by the
    second criterion, or third, on more than is beyond chance abstains: it is in doubt, and its own
    name is worth ½.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        replicates: blocks of other dictionaries of the same data, `(m', |G|, C)` each.
        siblings: count relatives in the dictionary itself: not for one that was trained tied.
        rate: false-positive rate, over all subgroups together.
        least: see (2).
        labels: as for `symmetry_report`.
        null: the null distribution, if it has been drawn.
        corrected: the noise-corrected `ρ` of these features, if it has been computed.

    Returns:
        The table of `symmetry_report`, whose `stabiliser_rho` and `next_rho` are raw, with the
        columns

        - `p_value` of the stabiliser named, 1 for none;
        - `corrected_rho` the least noise-corrected `ρ` on the stabiliser, with the interval
          `corrected_low`, `corrected_high`; missing where the name follows the raw `ρ`;
        - `rho_180`, `rho_180_low`, `rho_180_high` the noise-corrected `ρ` of a half turn; missing
          also for a group without one;
        - `reproducibility` cosine with the nearest feature of each replicate in the mean, of the
          dictionary itself without replicates; missing without relatives;
        - `confidence` that the name is right, and `relatives` that had a vote.
    """
    V, group = check_blocks(V, group)
    replicates = [other.detach().to(V) for other in replicates]
    if corrected is None:
        corrected = noise_corrected(V, replicates, group)
    null = null or SymmetryNull(V, group)
    enough = int((corrected.pairs > 0).sum()) >= LEAST_POOL
    after = SymmetryNull(V, group, corrected=corrected) if enough else null
    rules = _Rules(group, null.thresholds(rate).clamp_min(least), after.thresholds(rate))
    within = 1 - unrelated_cut(V, group, rate=0.05 / max(1, len(V)))
    related = [_relatives(V, group, other, within) for other in replicates]
    own = [_relatives(V, group, None, within)] if siblings else []

    again = torch.zeros(len(V), dtype=torch.float64)
    for one in related or own:
        nearest = one.similarity.amax(1).double().cpu()
        if not related:  # a replicate that lacks the feature says so; a family of one has no say
            nearest = torch.where(one.near.any(1).cpu(), nearest, 0.0)
        again += nearest / len(related or own)
    report = symmetry_report(V, group, rules.thresholds(again, corrected), labels)
    _add_corrected(report, corrected, group)
    p = null.p_values(report.stabiliser, report.stabiliser_rho)
    p_after = after.p_values(report.stabiliser, report.corrected_rho.fillna(0))
    report.insert(report.columns.get_loc("corrected_rho"), "p_value", p)
    report["p_value"] = np.where(report.corrected_rho.notna(), p_after, p)
    report["reproducibility"] = again.where(again > 0, torch.nan).numpy()

    chosen = rules.verdicts(report, again, corrected)
    votes = torch.zeros(len(V))
    voters = torch.zeros(len(V))
    everybody = [V, *replicates]
    for one in own + related:
        theirs = chosen
        if one.blocks is not V:
            # What a relative is called is decided as it was here, by how well it is learned again.
            seen = torch.where(one.near, one.similarity, 0).amax(0).double().cpu()
            others = [blocks for blocks in everybody if blocks is not one.blocks]
            again_corrected = noise_corrected(one.blocks, others, group, within=within)
            named = symmetry_report(one.blocks, group, rules.thresholds(seen, again_corrected))
            theirs = rules.verdicts(named, seen, again_corrected)
        element, near = one.element.cpu(), one.near.cpu() & (theirs >= 0)[None]
        says = group.conjugates[element, theirs.clamp_min(0)[None].expand_as(element)]
        near = near & (chosen >= 0)[:, None]
        votes += ((says == chosen[:, None]) & near).sum(1)
        voters += near.sum(1)
    live = torch.tensor((report["norm"] > 0).tolist())
    usual = (votes.sum() + 0.5) / (voters.sum() + 1)
    worth = ((votes + 2 * usual) / (voters + 2)).where(chosen >= 0, 0.5)
    report["confidence"] = worth.where(live, torch.nan).numpy()
    report["relatives"] = voters.int().numpy()
    return report


def _relatives(
    V: torch.Tensor, group: Group, other: torch.Tensor | None, within: float
) -> _Relatives:
    similarity, element = orbit_similarity(V, group, other=other, return_element=True)
    if other is None:
        similarity.fill_diagonal_(0)
    return _Relatives(similarity, element, similarity >= within, V if other is None else other)


@dataclass(frozen=True)
class _Rules:
    """By which a stabiliser is named, see `calibrated_report`."""

    group: Group
    raw: torch.Tensor  # (subgroups,) least raw ρ, without a counterpart
    chance: torch.Tensor  # (subgroups,) noise-corrected ρ that is beyond chance

    def thresholds(self, again: torch.Tensor, corrected: NoiseCorrected) -> torch.Tensor:
        """Of the raw `ρ`, by feature and subgroup."""
        raw = torch.maximum(self.raw[None], again[:, None] - SLACK).clamp_max(1 - 1e-6)
        least = self._least(corrected)
        reached = (least >= SYMMETRIC) & (least >= self.chance)
        after = torch.where(reached, ALWAYS, NEVER).to(raw)
        return torch.where(corrected.pairs[:, None] > 0, after, raw)

    def verdicts(
        self, report: pd.DataFrame, again: torch.Tensor, corrected: NoiseCorrected
    ) -> torch.Tensor:
        """Of the stabilisers named, among the subgroups; -1 for none that can be relied on."""
        subgroups = self.group.subgroups()
        names = {s.name: i for i, s in enumerate(subgroups)}
        found = torch.tensor([names.get(name, -1) for name in report.stabiliser])
        more = torch.from_numpy(report.next_rho.to_numpy(copy=True))
        doubtful = (more >= again - SLACK) & (again > 0)
        orders = torch.tensor([s.order for s in subgroups])
        largest = torch.where(self._least(corrected) >= SYMMETRIC, orders, 1).amax(1)
        larger = largest > orders[found.clamp_min(0)]
        return found.where(~torch.where(corrected.pairs > 0, larger, doubtful), -1)

    def _least(self, corrected: NoiseCorrected) -> torch.Tensor:
        """The least noise-corrected `ρ` on every subgroup, `(m, subgroups)`."""
        rho = corrected.rho
        return torch.stack([rho[:, list(s.elements)].amin(1) for s in self.group.subgroups()], 1)


def _add_corrected(report: pd.DataFrame, corrected: NoiseCorrected, group: Group) -> None:
    """Add the columns of the noise-corrected `ρ`."""
    elements = {s.name: np.array(s.elements) for s in group.subgroups()}
    parts = (corrected.rho.numpy(), corrected.low.numpy(), corrected.high.numpy())
    least = np.full((3, len(report)), math.nan)
    for i, name in enumerate(report.stabiliser):
        if name in elements and np.isfinite(parts[0][i, 0]):
            at = elements[name][parts[0][i, elements[name]].argmin()]
            least[:, i] = [part[i, at] for part in parts]
    names = ("corrected_rho", "corrected_low", "corrected_high")
    report[list(names)] = least.T
    half = [part[:, group.n // 2] if group.n % 2 == 0 else math.nan for part in parts]
    for name, values in zip(("rho_180", "rho_180_low", "rho_180_high"), half, strict=True):
        report[name] = values
