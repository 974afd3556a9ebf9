"""Lines and curves under a rotation by 180°: the comparison behind claim GC3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from scipy.stats import mannwhitneyu

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.figures import Autocorrelation
from gc_utils.groups import Group
from gc_utils.inspection import label_crosscoder
from gc_utils.inspection.responses import StimulusOrbits
from gc_utils.symmetry import (
    NoiseCorrected,
    autocorrelation,
    calibrated_report,
    of_their_kind,
    repeats_after_half_turn,
)
from gc_utils.symmetry.telling import CURVE, LINE

LEAST = 3  # features of each kind that a fold needs to be asked


@dataclass(frozen=True)
class HalfTurn:
    """Whether lines repeat after 180° and curves only after 360°, in an encoder's dictionaries.

    Attributes:
        counts: One row a fold, `fold` as index: `lines` and `curves`, how many of these there are;
            `repeat`, lines that repeat after 180°; `whole`, curves that do not; `lines_known`,
            `repeat_known` and so on, the same of features that have a noise-corrected `rho_180`;
            `asked`, whether there are three of each; `holds`, whether both are majorities.
        features: One row a feature of all folds: `fold`, `feature`, `label`, `rho_180` with
            `rho_180_low` and `rho_180_high` (noise-corrected), `period_degrees`.
        p: One-sided Mann–Whitney p-value of "lines have the larger `rho_180`", over all folds; NaN
            with fewer than three values of either kind. The folds' features are not independent.
    """

    counts: pd.DataFrame
    features: pd.DataFrame = field(repr=False)
    p: float

    @property
    def asked(self) -> int:
        """The number of folds that have three lines and three curves."""
        return int(self.counts.asked.sum())

    @property
    def held(self) -> int:
        """The number of folds among these in which both are majorities."""
        return int((self.counts.asked & self.counts.holds).sum())

    def holds(self) -> bool | None:
        """Whether the pattern is in every fold that can be asked; None with fewer than two."""
        return self.held == self.asked if self.asked >= 2 else None

    def medians(self) -> dict[str, float]:
        """The median `rho_180` of each kind that has a value, rounded to three digits."""
        kinds = {"lines": "line", "curves": "curve"}
        values = {k: self.features.rho_180[self.features.label == v] for k, v in kinds.items()}
        return {k: round(float(v.median()), 3) for k, v in values.items() if v.notna().any()}


def half_turn_of_features(features: pd.DataFrame) -> HalfTurn:
    """Compare how lines and curves repeat, fold by fold.

    A feature repeats after 180° if its noise-corrected `ρ(180°)` is 0.9 or more, the bound of all
    names. Its name would not do: of a line whose mirror fits a little better than its half turn it
    says the mirror only. A feature without a counterpart in another fold has no such `ρ`, and
    repeats if its name has a period of 180° or less.

    Args:
        features: One row a feature, as `HalfTurn.features`.

    Returns:
        The comparison.
    """
    rows = []
    for fold, here in features.groupby("fold"):
        found = _counted(here)
        known = {f"{k}_known": n for k, n in _counted(here[here.rho_180.notna()]).items()}
        asked = min(found["lines"], found["curves"]) >= LEAST
        holds = 2 * found["repeat"] > found["lines"] and 2 * found["whole"] > found["curves"]
        rows.append({"fold": fold} | found | known | {"asked": asked, "holds": holds})
    names = ["lines", "repeat", "curves", "whole"]
    names = ["fold", *names, *(f"{name}_known" for name in names), "asked", "holds"]
    counts = pd.DataFrame(rows, columns=names).set_index("fold").astype({"asked": bool})
    one, other = (
        features.rho_180[features.label == kind].dropna().to_numpy(dtype=float)
        for kind in ("line", "curve")
    )
    enough = min(len(one), len(other)) >= LEAST
    p = float(mannwhitneyu(one, other, alternative="greater").pvalue) if enough else np.nan
    return HalfTurn(counts, features, p)


def _counted(features: pd.DataFrame) -> dict[str, int]:
    """Lines, those that repeat, curves, those that do not, of one dictionary."""
    repeats = repeats_after_half_turn(features)
    lines, curves = (repeats[features.label == kind] for kind in ("line", "curve"))
    return {
        "lines": len(lines),
        "repeat": int(lines.sum()),
        "curves": len(curves),
        "whole": int((~curves.astype(bool)).sum()),
    }


def compare_half_turn(
    coders: Mapping[int, GroupCrosscoder],
    stimuli: StimulusOrbits,
    A: torch.Tensor,
    group: Group,
    *,
    rate: float = 0.05,
) -> HalfTurn:
    """Compare lines and curves in every fold's dictionary by itself.

    A feature's label is from the responses of its own dictionary, and the other folds' dictionaries
    correct its autocorrelation for noise.

    Args:
        coders: The dictionaries of one encoder, by the fold left out.
        stimuli: The drawings from `inspection.stimuli_for` that give each feature its label.
        A: Orbit activations of images, `(N, |G|, C)`, the background of the labels.
        group: The group of the crosscoders; one of odd rotation order has no half turn.
        rate: Of false positives, as for `calibrated_report`.

    Returns:
        The comparison; without features for a group that has no half turn.
    """
    columns = ["fold", "feature", "label", "stabiliser", "period_degrees"]
    columns += ["rho_180", "rho_180_low", "rho_180_high", "reproducibility"]
    found = [pd.DataFrame(columns=columns)]
    for fold, coder in coders.items() if group.n % 2 == 0 else ():
        report = calibrated_report(
            coder.V,
            group,
            replicates=[other.V for number, other in coders.items() if number != fold],
            siblings=coder.family is None,
            rate=rate,
            labels=list(label_crosscoder(coder, stimuli, A).label),
        )
        found.append(report.assign(fold=fold)[columns])
    return half_turn_of_features(pd.concat(found[1:] or found, ignore_index=True))


def lines_and_curves(
    report: pd.DataFrame, corrected: NoiseCorrected, V: torch.Tensor, group: Group
) -> dict[str, list[Autocorrelation]]:
    """The autocorrelations of all lines and all curves, those that behave as claimed first.

    Args:
        report: One row a feature, from `calibrated_report`, with `label`.
        corrected: The noise-corrected autocorrelations, `(m, |G|)`.
        V: Transform blocks `(m, |G|, C)`: features without a counterpart have the plain `ρ`.
        group: The group, of even rotation order.

    Returns:
        Titles with counts, such as "3 of 11 lines repeat after 180°" → the features as
        `figures.autocorrelation_panels` takes them; kinds without a feature are left out.
    """
    repeats, counted = repeats_after_half_turn(report), of_their_kind(report)
    raw = autocorrelation(V, group)
    found: dict[str, list[Autocorrelation]] = {}
    for name, kind, does in ((LINE, "line", repeats), (CURVE, "curve", ~repeats)):
        ones = []
        for i in report.feature[report.label == kind]:
            known = bool(corrected.pairs[i] > 0)
            rho, low, high = (
                (corrected.rho[i], corrected.low[i], corrected.high[i])
                if known
                else (
                    raw[i],
                    torch.full_like(raw[i], torch.nan),
                    torch.full_like(raw[i], torch.nan),
                )
            )
            curves = [x[: group.n].double().cpu().numpy() for x in (rho, low, high)]
            sure = float(report.reproducibility[i])
            ones.append(Autocorrelation(int(i), *curves, known, bool(does[i]), sure))
        if ones:
            ones.sort(key=lambda one: (not one.behaves, not one.corrected, -one.reproducibility))
            found[counted[name]] = ones
    return found


def kinds_of(features: pd.DataFrame, most: int = 6) -> Sequence[str]:
    """The kinds with most features that have a noise-corrected value, lines and curves first.

    Args:
        features: As `HalfTurn.features`.
        most: Kinds at most.
    """
    counts = features.label[features.rho_180.notna()].value_counts()
    first = [kind for kind in ("line", "curve") if kind in counts]
    others = [kind for kind in counts.index if kind not in ("line", "curve", "other")]
    return (first + others)[:most]
