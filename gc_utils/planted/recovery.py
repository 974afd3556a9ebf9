"""How much of a planted dictionary a method has found: features, families, symmetries, codes.

A learned feature counts for a planted one by the cosine of their transform blocks, all elements
and channels as one vector; templates are compared up to the group, by the orbit distance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy  # its parts are imported when they are used
import torch

from gc_utils.crosscoder.tied import MERGED
from gc_utils.errors import UserError
from gc_utils.families.clusters import linked
from gc_utils.families.distance import orbit_distance, unit_features
from gc_utils.groups import Group, Subgroup
from gc_utils.planted.orbits import PlantedOrbits, find_stabilisers
from gc_utils.statistics import interval
from gc_utils.symmetry.calibration import SLACK, calibrated_report, unrelated_cut

FOUND = 0.9  # least cosine of a planted feature that counts as found


@dataclass(frozen=True)
class Recovery:
    """Scores of one dictionary against the truth; all between 0 and 1 unless said otherwise.

    Attributes:
        cosine_max: mean over planted features of the cosine to the nearest learned one.
        cosine_one_to_one: the same under the best one-to-one assignment, features left over
            counting 0.
        recall: share of planted features with a learned one at 0.9 or more.
        precision: share of learned features with a planted one at 0.9 or more, or a translate of
            one (`absent`), if orbits were planted incompletely.
        found_and_named: share of *all* planted features that are found, as for `recall`, and whose
            nearest learned feature is given their stabiliser, axis and all.
        template: mean orbit cosine of planted templates under the best assignment of learned
            families to planted ones.
        stabiliser_exact: share of matched features whose stabiliser has the right name, axis and
            all.
        stabiliser_kind: the same without the axis.
        confidence: mean of what the report says these names are worth.
        symmetric: share of learned features that are given a symmetry; what it should be, the truth
            decides.
        axis_error: mean error of the mirror axis, degrees, where both have mirrors; NaN if none.
        ari, nmi: of the families of matched features, adjusted Rand and mutual information; NaN
            if they are of fewer than two families.
        code_correlation: mean correlation of matched features' codes; NaN without codes.
        by_kind: `cosine_max` by the stabiliser of the planted family.
        nearest: for every planted feature, the nearest learned one and the cosine.
        learned: for every learned feature that counts, the stabiliser named, its `confidence`, and
            whether it is `right`: that of the nearest planted feature, or `absent` translate of
            one, however near that is.
    """

    cosine_max: float
    cosine_one_to_one: float
    recall: float
    precision: float
    found_and_named: float
    template: float
    stabiliser_exact: float
    stabiliser_kind: float
    confidence: float
    symmetric: float
    axis_error: float
    ari: float
    nmi: float
    code_correlation: float
    by_kind: dict[str, float] = field(repr=False)
    nearest: pd.DataFrame = field(repr=False)
    learned: pd.DataFrame = field(repr=False)

    def scalars(self) -> dict[str, float]:
        """All single numbers, for a table."""
        return {k: v for k, v in vars(self).items() if isinstance(v, float)}


def cosines(V: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
    """Cosines of all planted with all learned features, `(m, m')`; 0 for one without norm.

    Args:
        V: planted blocks `(m, |G|, C)`.
        learned: `(m', |G|, C)`, or `(m', w, |G|, C)` for blocks of `w` vectors: then the cosine to
            the subspace that they span.
    """
    x = unit_features(V).flatten(1)
    if learned.ndim == 3:
        return x @ unit_features(learned.to(V)).flatten(1).T
    basis, _ = torch.linalg.qr(learned.to(V).flatten(2).transpose(1, 2))  # (m', |G|·C, w)
    return torch.stack([(x @ each).norm(dim=1) for each in basis], 1)


def recovery(
    planted: PlantedOrbits,
    learned: torch.Tensor,
    *,
    families: Sequence[int] | None = None,
    codes: torch.Tensor | None = None,
    used: torch.Tensor | None = None,
    replicates: Sequence[torch.Tensor] = (),
) -> Recovery:
    """Score a dictionary.

    Args:
        planted: the truth; for `code_correlation` its samples are those of `codes`.
        learned: transform blocks `(m', |G|, C)`.
        families: of the learned features, if the method says so itself (a tied crosscoder does);
            otherwise average linkage under the orbit distance finds them, cut where unrelated
            features begin (`unrelated_cut`). Stabilisers are named by `calibrated_report`; features
            that are tied to each other are no evidence there, and no confidence is given:
            symmetric is then what a tied crosscoder would merge, up to the same slack.
        codes: of the same samples, `(N, m')`.
        used: which learned features count, bool `(m',)`: those that ever fire; all that have a norm
            if not given.
        replicates: blocks of dictionaries trained on other samples of the same planted dictionary,
            for `calibrated_report`.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    g = planted.group
    live = learned.flatten(1).norm(dim=1) > 0
    live = live if used is None else live & used.to(live)
    kept = live.nonzero().flatten()
    if len(kept) < 2:
        raise UserError(f"{len(kept)} of {len(learned)} features are in use: nothing to compare.")
    V = learned[kept].detach().float()
    near = cosines(planted.V, V)
    best, index = near.max(1)
    rows, columns = scipy.optimize.linear_sum_assignment(near.numpy(), maximize=True)
    one_to_one = float(near[rows, columns].clamp_min(0).sum() / len(near))

    if families is None:
        of_learned = linked(orbit_distance(V, g), unrelated_cut(V, g)).labels
    else:
        of_learned = np.asarray(families)[kept.numpy()]
    least = {} if families is None else {"siblings": False, "least": MERGED - SLACK}
    report = calibrated_report(V, g, replicates=replicates, **least)
    nearest = pd.DataFrame(
        {
            "planted": np.arange(len(near)),
            "family": planted.family.numpy(),
            "kind": [planted.kinds[k] for k in planted.family.tolist()],
            "learned": kept[index].numpy(),
            "cosine": best.numpy(),
            "learned_family": of_learned[index.numpy()],
            "stabiliser": planted.stabilisers,
            "named": report.stabiliser.to_numpy()[index.numpy()],
            "confidence": report.confidence.to_numpy()[index.numpy()],
            "axis_error": [
                axis_error(g, true, report.stabiliser[int(i)])
                for true, i in zip(planted.stabilisers, index, strict=True)
            ],
        }
    )
    found = nearest[nearest.cosine >= FOUND]
    several = found.family.nunique() > 1  # one family is no clustering to judge
    right = (found.stabiliser == found.named).mean() if len(found) else 0.0
    kinds = found.stabiliser.map(_kind) == found.named.map(_kind)
    everywhere = torch.cat([near, cosines(planted.absent, V)]) if len(planted.absent) else near
    stabiliser_of = np.array(planted.stabilisers + planted.absent_stabilisers, dtype=object)
    judged = pd.DataFrame(
        {
            "named": report.stabiliser,
            "confidence": report.confidence,
            "cosine": everywhere.amax(0).numpy(),
            "right": report.stabiliser.to_numpy() == stabiliser_of[everywhere.argmax(0).numpy()],
        }
    )
    correlation = math.nan
    if codes is not None:
        pairs = list(zip(found.planted, found.learned, strict=True))
        each = [_correlation(planted.codes[:, i], codes[:, j]) for i, j in pairs]
        correlation = float(np.nanmean(each)) if len(each) else math.nan
    return Recovery(
        cosine_max=float(best.mean()),
        cosine_one_to_one=one_to_one,
        recall=float((best >= FOUND).float().mean()),
        precision=float((judged.cosine >= FOUND).mean()),
        found_and_named=float((found.stabiliser == found.named).sum() / len(near)),
        template=_templates(planted, V, of_learned),
        stabiliser_exact=float(right),
        stabiliser_kind=float(kinds.mean()) if len(found) else 0.0,
        confidence=float(found.confidence.mean()) if len(found) and families is None else math.nan,
        symmetric=float((report.stabiliser != "C1").mean()),
        axis_error=float(found.axis_error.mean()),
        ari=float(adjusted_rand_score(found.family, found.learned_family)) if several else math.nan,
        nmi=float(normalized_mutual_info_score(found.family, found.learned_family))
        if several
        else math.nan,
        code_correlation=correlation,
        by_kind=nearest.groupby("kind", sort=False).cosine.mean().to_dict(),
        nearest=nearest,
        learned=judged,
    )


def _kind(name: str) -> str:
    return name.split("@")[0]


def _templates(planted: PlantedOrbits, V: torch.Tensor, families: np.ndarray) -> float:
    """Orbit cosine of each planted template with the family assigned to it, mean."""
    near = 1 - orbit_distance(planted.templates, planted.group, other=V)
    labels = np.unique(families)
    # A family stands for the planted one that most of its features resemble: mean over members.
    by_family = np.stack([near[:, families == f].mean(1).numpy() for f in labels], 1)
    rows, columns = scipy.optimize.linear_sum_assignment(by_family, maximize=True)
    best = [
        float(near[r, torch.from_numpy(families == labels[c])].max())
        for r, c in zip(rows, columns, strict=True)
    ]
    return sum(best) / len(near)


def axis_error(g: Group, true: str, named: str) -> float:
    """Degrees between the nearest mirrors of two stabilisers, by name; NaN if either has none."""
    first, second = (_mirrors(g, find_stabilisers(g, name)[0]) for name in (true, named))
    if not len(first) or not len(second):
        return math.nan
    apart = np.abs(first[:, None] - second) % 180
    return float(np.minimum(apart, 180 - apart).min())


def _mirrors(g: Group, subgroup: Subgroup) -> np.ndarray:
    return np.array([g.axis(e) for e in subgroup.elements if e >= g.n])


def _correlation(x: torch.Tensor, y: torch.Tensor) -> float:
    if not (x.std() > 0 and y.std() > 0):
        return math.nan
    return float(torch.corrcoef(torch.stack([x.float(), y.float()]).detach())[0, 1])


def coherence(W_enc: torch.Tensor, A: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Does a feature use all views, or one? `(Σ_g c_g)² / (|G| Σ_g c_g²)`, `(m,)`.

    `c_g` is what view `g` adds to the pre-activation, in the mean over the samples on which the
    feature fires: 1 if all views add the same, `1/|G|` if only one does; NaN for a feature that
    never fires.

    Args:
        W_enc: an orbit encoder's weights, `(m, |G|, C)`.
        A: orbit activations, centred, `(N, |G|, C)`.
        codes: `(N, m)`.
    """
    on = (codes > 0).to(A)
    mean = torch.einsum("nm,ngc->mgc", on, A) / on.sum(0)[:, None, None]
    added = (W_enc * mean).sum(2)
    return added.sum(1).square() / (W_enc.shape[1] * added.square().sum(1))


def oracle_fvu(planted: PlantedOrbits) -> float:
    """Unexplained by the planted dictionary with the planted codes: the noise."""
    made = (planted.codes @ planted.V.flatten(1)).view_as(planted.A)
    mean = planted.A.mean(0)
    return float((planted.A - made).square().sum() / (planted.A - mean).square().sum())


def reliability(
    stated: Sequence[float],
    right: Sequence[bool],
    edges: Sequence[float] = (0, 0.3, 0.5, 0.7, 0.85, 1),
) -> pd.DataFrame:
    """Is what is stated with so much confidence as often right?

    Args:
        stated: confidence of every name; missing ones are left out.
        right: whether the name is.
        edges: of the bins of confidence.

    Returns:
        One row a bin that has a name in it: `count`, mean `stated`, share `right`, and the Wilson
        interval of that, `low` and `high`.
    """
    stated, right = np.asarray(stated, float), np.asarray(right, bool)
    stated, right = stated[np.isfinite(stated)], right[np.isfinite(stated)]
    bins = np.clip(np.searchsorted(edges, stated, side="right") - 1, 0, len(edges) - 2)
    rows = []
    for b in np.unique(bins):
        inside = bins == b
        share = scipy.stats.binomtest(int(right[inside].sum()), int(inside.sum())).proportion_ci(
            method="wilson"
        )
        rows.append(
            {
                "count": int(inside.sum()),
                "stated": stated[inside].mean(),
                "right": right[inside].mean(),
                "low": share.low,
                "high": share.high,
            }
        )
    return pd.DataFrame(rows, columns=["count", "stated", "right", "low", "high"])


def summary(table: pd.DataFrame, by: Sequence[str], scores: Sequence[str]) -> pd.DataFrame:
    """Mean and bootstrap interval over seeds of every score, one row a combination of `by`."""
    rows = []
    for key, some in table.groupby(list(by), sort=False):
        row: Mapping[str, object] = dict(zip(by, key, strict=True))
        for score in scores:
            low, high = interval(some[score])
            row |= {score: some[score].mean(), f"{score}_low": low, f"{score}_high": high}
        rows.append(row | {"seeds": len(some)})
    return pd.DataFrame(rows)
