"""Names of symmetries that are beyond chance, and what each is worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch

from gc_utils.families.distance import check_blocks, orbit_similarity
from gc_utils.groups import Group
from gc_utils.symmetry.null import SymmetryNull, unrelated_cut
from gc_utils.symmetry.report import symmetry_report

SLACK = 0.05  # by which ρ may fall short of a feature's likeness to itself, learned again


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
) -> pd.DataFrame:
    """`symmetry_report` with thresholds that have a reason, and what each name is worth.

    A feature has the largest symmetry on which its `ρ` is (1) so high that a share `rate` of null
    features gets any symmetry, (2) at least `least`, for a resemblance beyond
    chance may still be small, and (3) no less than the feature resembles itself, learned again, up
    to `SLACK`.

    It is learned again in other dictionaries of the same data (`replicates`), and, transformed, in
    its own (`siblings`): the features of a family are learned one by one, unless they are tied. All
    these *relatives* also vote on the name: a feature's `confidence` is the share of those that
    have the same stabiliser, transformed as they are, with two votes added that go as they go in
    the whole dictionary, so that a feature without relatives is worth what all are in the mean (½
    if nobody has relatives). Relatives are nearer to it than features without relation come to any
    feature of the dictionary, in 19 cases of 20 (`unrelated_cut`). One that is as like itself,
    transformed further, as it is learned again, but not beyond chance, abstains: it is in doubt,
    and its own name is worth ½.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        replicates: blocks of other dictionaries of the same data, `(m', |G|, C)` each.
        siblings: count relatives in the dictionary itself: not for one that was trained tied.
        rate: false-positive rate, over all subgroups together.
        least: see (2).
        labels: as for `symmetry_report`.
        null: the null distribution, if it has been drawn.

    Returns:
        The table of `symmetry_report` with the columns `p_value` (of the stabiliser named, 1 for
        none), `reproducibility` (cosine with the nearest feature of each replicate in the mean, of
        the dictionary itself without replicates; missing without relatives), `confidence` that the
        name is right and `relatives` that had a vote.
    """
    V, group = check_blocks(V, group)
    null = null or SymmetryNull(V, group)
    floor = null.thresholds(rate).clamp_min(least)
    replicates = [other.detach().to(V) for other in replicates]
    within = 1 - unrelated_cut(V, group, rate=0.05 / max(1, len(V)))
    related = [_relatives(V, group, other, within) for other in replicates]
    own = [_relatives(V, group, None, within)] if siblings else []

    again = torch.zeros(len(V), dtype=torch.float64)
    for one in related or own:
        nearest = one.similarity.amax(1).double().cpu()
        if not related:  # a replicate that lacks the feature says so; a family of one has no say
            nearest = torch.where(one.near.any(1).cpu(), nearest, 0.0)
        again += nearest / len(related or own)
    report = symmetry_report(V, group, _thresholds(floor, again), labels)
    report["p_value"] = null.p_values(report.stabiliser, report.stabiliser_rho)
    report["reproducibility"] = again.where(again > 0, torch.nan).numpy()

    chosen = _verdicts(report, group, again)
    votes = torch.zeros(len(V))
    voters = torch.zeros(len(V))
    for one in own + related:
        theirs = chosen
        if one.blocks is not V:
            # What a relative is called is decided as it was here, by how well it is learned again.
            seen = torch.where(one.near, one.similarity, 0).amax(0).double().cpu()
            named = symmetry_report(one.blocks, group, _thresholds(floor, seen))
            theirs = _verdicts(named, group, seen)
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


def _thresholds(floor: torch.Tensor, again: torch.Tensor) -> torch.Tensor:
    """By feature and subgroup, see `calibrated_report`."""
    return torch.maximum(floor[None], again[:, None] - SLACK).clamp_max(1 - 1e-6)


def _verdicts(report: pd.DataFrame, group: Group, again: torch.Tensor) -> torch.Tensor:
    """Of the stabilisers named, among the subgroups; -1 for none that can be relied on."""
    names = {s.name: i for i, s in enumerate(group.subgroups())}
    found = torch.tensor([names.get(name, -1) for name in report.stabiliser])
    more = torch.from_numpy(report.next_rho.to_numpy(copy=True))
    return found.where(~(more >= again - SLACK) | (again == 0), -1)
