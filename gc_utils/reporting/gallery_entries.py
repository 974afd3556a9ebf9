"""What the gallery says of each feature, as numbers that JSON can hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import torch

from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder, codes_of
from gc_utils.families.distance import orbit_similarity
from gc_utils.groups import Group
from gc_utils.inspection import samples_at_quantiles, top_samples
from gc_utils.progress import progress_bar
from gc_utils.symmetry import (
    FIRST_KINDS,
    autocorrelation,
    block_profile,
    half_turn_grades,
    repeats_after_half_turn,
    unrelated_cut,
)

STRONGEST = 6  # patches that excite a feature most
RELATIVES = 8  # features shown as nearest, and as members of a family
TELLING = 12  # features whose turn is shown with the images that the network was given
AT_ONCE = 512  # orbits encoded together
COLUMNS = ("label", "stabiliser", "axis_degrees", "period_degrees", "family", "confidence")
COLUMNS += ("reproducibility", "p_value", "rho_180", "rho_180_low", "rho_180_high", "fires_on")


def group_entry(g: Group) -> dict[str, Any]:
    """What the page needs to know of a group: its size, and each element's angle and mirror."""
    return {
        "name": g.name,
        "n": g.n,
        "order": g.order,
        "angles": [round(float(a), 3) for a in g.angles],
        "mirrored": [bool(m) for m in g.mirrored],
    }


@torch.no_grad()
def feature_entries(
    store: ActivationStore,
    coder: GroupCrosscoder,
    report: pd.DataFrame,
    features: Iterable[int] | None = None,
    *,
    related: float | None = None,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """What the gallery says of every feature that fires, a dictionary each that JSON can hold.

    Args:
        store: The orbits.
        coder: The crosscoder.
        report: One row a feature, from notebook 04.
        features: Only these; None for all.
        related: From which similarity two features are alike, see `related_from`; None for any.
        progress: Show a bar.

    Returns:
        For each feature its number (`feature`) and row of the report; `voters`, how many relatives
        its confidence counts; `grades`, see `half_turn_grades`; `strip`, the samples of its
        patches, the `strongest` first, then one at each quantile of its code, with their `codes`;
        `turn`, over the elements of the group, the code measured (`measured`, of the strongest
        patch, from its stored responses), the quartiles over the strongest patches of the code in
        units of each patch's own at the identity (`low`, `middle`, `high`), what the blocks predict
        (`predicted`, the code at the identity times the autocorrelation `ρ`), and the cosine of
        each block with the first (`profile`); `pose`, the element that brings it to the pose of its
        family, if they are alike; `members` of its family and `relatives` outside of it, the most
        similar first, with the similarity and the element that maps each to this one.
    """
    g, V = store.group, coder.V.detach()
    wanted = list(range(len(V))) if features is None else sorted(features)
    codes = codes_of(coder, store)
    rho, profile = (x.float().numpy() for x in (autocorrelation(V, g), block_profile(V)))
    similarity, element = (x.numpy() for x in orbit_similarity(V, g, return_element=True))
    np.fill_diagonal(similarity, 0)
    photograph = np.asarray(store.samples["photograph"])
    families = families_of(report, similarity)
    found = []
    for i in progress_bar(wanted, desc="features", unit="feature", disable=not progress):
        values = codes[:, i].numpy()
        strongest = top_samples(values, STRONGEST, photograph)
        if not len(strongest):
            continue
        strip = [*strongest, *samples_at_quantiles(values)]
        turned = _turned(coder, store[strongest], g, i).numpy()
        shares = turned / turned[:, :1].clip(1e-12)
        low, middle, high = np.quantile(shares, (0.25, 0.5, 0.75), axis=0)
        members = families.get(report.family.iloc[i], [i]) if families else [i]
        row = {name: _plain(report[name].iloc[i]) for name in COLUMNS if name in report}
        if "relatives" in report:
            row["voters"] = _plain(report["relatives"].iloc[i])
        ends = [row.get(name) for name in ("rho_180_low", "rho_180_high")]
        row["grades"] = [] if None in ends else list(half_turn_grades(*ends))
        found.append(
            {
                "feature": i,
                **row,
                "strip": [int(n) for n in strip],
                "strongest": len(strongest),
                "codes": _rounded(values[strip]),
                "turn": {
                    "measured": _rounded(turned[0]),
                    "low": _rounded(low),
                    "middle": _rounded(middle),
                    "high": _rounded(high),
                    "predicted": _rounded(np.clip(turned[0, 0] * rho[i], 0, None)),
                    "profile": _rounded(profile[i]),
                },
                "pose": _pose(i, members[0], similarity, element, related),
                "relatives": _nearest(i, set(range(len(V))) - {*members}, similarity, element),
                "members": _nearest(i, {*members}, similarity, element),
            }
        )
    return found


def kind_entries(
    report: pd.DataFrame, V: torch.Tensor, g: Group, shown: Iterable[int]
) -> list[dict[str, Any]]:
    """All lines and all curves, each transformed to agree with the one nearest to the others.

    Args:
        report: One row a feature, from notebook 04.
        V: The transform blocks, `(m, |G|, C)`.
        g: The group.
        shown: The features that the gallery has.

    Returns:
        For each kind that there is its name (`kind`), `features` (those of the highest
        reproducibility first) and `poses`, the element that brings each to the common pose.
    """
    found, shown = [], set(shown)
    for kind in FIRST_KINDS if "label" in report else ():
        rows = report[(report.label == kind) & report.index.isin(shown)]
        if not len(rows):
            continue
        if "reproducibility" in rows:
            rows = rows.sort_values("reproducibility", ascending=False, kind="stable")
        members = torch.tensor([int(i) for i in rows.index])
        similarity, element = orbit_similarity(V[members], g, return_element=True)
        medoid = int(similarity.mean(1).argmax())
        poses = element[medoid].tolist()
        poses[medoid] = 0
        found.append({"kind": kind, "features": members.tolist(), "poses": poses})
    return found


def dictionary_entries(half_turn: pd.DataFrame) -> list[dict[str, Any]]:
    """How lines and curves behave in every dictionary of a run.

    Args:
        half_turn: One row a feature and dictionary, from notebook 04: `encoder`, `fold`, `label`,
            `period_degrees` and `rho_180`.

    Returns:
        For each dictionary its `encoder` and `fold`, and for `line` and `curve` how many there are
        and how many of them repeat after 180°, `[repeat, all]`.
    """
    found = []
    for (encoder, fold), rows in half_turn.groupby(["encoder", "fold"], sort=True):
        half = repeats_after_half_turn(rows)
        kinds = {kind: rows.label == kind for kind in FIRST_KINDS}
        counts = {kind: [int(half[of].sum()), int(of.sum())] for kind, of in kinds.items()}
        found.append({"encoder": str(encoder), "fold": int(fold), **counts})
    return found


def related_from(V: torch.Tensor, g: Group) -> float | None:
    """The similarity to any feature that one unrelated feature in twenty has; None if unknown."""
    cut = unrelated_cut(V, g, rate=0.05 / max(1, len(V)))
    return round(1 - cut, 3) if cut > 0 else None


def families_of(report: pd.DataFrame, similarity: np.ndarray) -> dict[Any, list[int]]:
    """The members of every family of two or more, the one nearest to the others first."""
    if "family" not in report:
        return {}
    found = {}
    for number, rows in report[report.family >= 0].groupby("family"):
        members = rows.index.to_numpy()
        if len(members) > 1:
            among = similarity[np.ix_(members, members)]
            medoid = int(among.mean(1).argmax())
            among[medoid, medoid] = 2
            found[number] = [int(m) for m in members[np.argsort(-among[medoid], kind="stable")]]
    return found


def _turned(coder: GroupCrosscoder, A: torch.Tensor, g: Group, feature: int) -> torch.Tensor:
    """Codes of orbits `(n, |G|, C)` under every element, `(n, |G|)`: `(R_h A)[g] = A[g·h]`."""
    views = g.table[: coder.views].T  # those that the encoder reads, (|G|, E)
    moved = A[:, views].flatten(0, 1)
    if coder.config.sparsity == "topk":  # a code depends on all features
        codes = torch.cat([coder.encode(part)[:, feature] for part in moved.split(AT_ONCE)])
    else:
        codes = coder.only([feature]).encode(moved)[:, 0]
    return codes.view(len(A), g.order)


def _pose(
    i: int, medoid: int, similarity: np.ndarray, element: np.ndarray, related: float | None
) -> int:
    """The element that makes a feature agree with its family's medoid, if they are alike."""
    alike = medoid != i and similarity[medoid, i] >= (related or 0)
    return int(element[medoid, i]) if alike else 0


def _nearest(
    i: int, among: set[int], similarity: np.ndarray, element: np.ndarray
) -> list[dict[str, Any]]:
    """The features most like one among some, the most similar first."""
    ranked = np.argsort(-similarity[i], kind="stable")
    near = [int(j) for j in ranked if similarity[i, j] > 0 and int(j) in among and j != i]
    return [_relation(i, j, similarity, element) for j in near[:RELATIVES]]


def _relation(i: int, j: int, similarity: np.ndarray, element: np.ndarray) -> dict[str, Any]:
    """Another feature, how similar it is, and the element under which it looks like this one."""
    return {
        "feature": j,
        "similarity": round(float(similarity[i, j]), 3),
        "element": int(element[i, j]),
    }


def _rounded(values: np.ndarray) -> list[float]:
    return [float(f"{value:.3g}") for value in values]


def _plain(value: Any) -> Any:
    """A value of a table as JSON has it; None for one that is missing."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return None
    if isinstance(value, (np.floating, float)):
        return float(f"{value:.4g}")
    return value.item() if isinstance(value, np.generic) else value
