"""What *The Missing Curve Detectors of InceptionV1* claims, and what notebook 06 finds of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, verdict
from gc_utils.studies.missing_curves.baselines import Baselines
from gc_utils.studies.missing_curves.coverage import GAP, LEAST_NEURONS, Filling
from gc_utils.studies.missing_curves.hidden_bank import SUPERPOSED
from gc_utils.studies.missing_curves.manifold import BLOCK, PRINCIPAL, SINGLE

SOURCE = "Gorton 2024, arXiv 2406.03662"
GAPS_FILLED = Claim(
    "MC1",
    short="Sparse features fill the gaps between the orientations of curve neurons",
    claim="sparse autoencoders find features that no neuron shows, among them curve detectors "
    "that fill the gaps between the neurons' orientations",
    words="SAEs can uncover new interpretable features not apparent from examining individual "
    "neurons, including additional curve detectors that fill in previous gaps",
    source=SOURCE,
    figure="06_coverage",
)
NEURONS_SPLIT = Claim(
    "MC2",
    short="Sparse features take neurons with two preferred curves apart",
    claim="they split polysemantic neurons into more monosemantic features",
    words="SAEs can decompose some polysemantic neurons into more monosemantic constituent "
    "features",
    source=SOURCE,
    figure="06_doubles",
)
KNOWN = 0.9  # share of the hidden banks that the method has to solve
MORE = 1.5  # times as many detectors as among random directions are clearly more
SIMILAR = 0.1  # shares that differ by less are called similar
ECHO = 0.05  # of the preferred response: the least that is called an echo
RISE = 0.1  # of a block profile at 180°, over its lowest: the least that is called an echo


@dataclass(frozen=True)
class HiddenBanks:
    """How often the hidden banks were solved.

    Attributes:
        banks: The number of banks whose missing curves are superposed.
        found: In how many of them all missing curves were found.
        split: In how many of them all pairs were split.
        controls: The number of banks whose missing curves are left out.
        empty: In how many of them nothing was found.
    """

    banks: int
    found: int
    split: int
    controls: int
    empty: int

    @property
    def curves_known(self) -> bool:
        """Whether the method finds missing curves where they are, and only there."""
        enough = self.found >= KNOWN * self.banks and self.empty >= KNOWN * self.controls
        return bool(self.banks and self.controls and enough)

    @property
    def pairs_known(self) -> bool:
        """Whether the method splits pairs where they are known."""
        return bool(self.banks and self.split >= KNOWN * self.banks)


def hidden_banks(trials: pd.DataFrame) -> HiddenBanks:
    """Count the hidden banks that were solved.

    Args:
        trials: From `trial_table`.

    Returns:
        A `HiddenBanks`.
    """
    there = trials["missing curves are"] == SUPERPOSED
    superposed, control = trials[there], trials[~there]
    return HiddenBanks(
        banks=len(superposed),
        found=int((superposed["found by features"] == superposed["of"]).sum()),
        split=int((superposed["pairs split"] == superposed["pairs"]).sum()),
        controls=len(control),
        empty=int((control["found by features"] == 0).sum()),
    )


def gaps_filled(
    evidence: Evidence,
    layer: str,
    hidden: HiddenBanks,
    filling: Filling,
    *,
    neurons: int,
    features: int,
    by_random: float,
    unmatched: float,
    again: float,
    unmatched_by_random: float,
) -> Finding:
    """MC1: features that no neuron shows, and curve detectors in the neurons' gaps.

    Args:
        evidence: What kind of evidence the layer is.
        layer: The name of the layer.
        hidden: How often the hidden banks were solved.
        filling: The gaps, and what fills them.
        neurons, features: The numbers of curve detectors.
        by_random: The mean number among as many random directions as there are features.
        unmatched: The share of features that no neuron is similar to.
        again: Of these, the share that a second SAE has too; NaN if there are none.
        unmatched_by_random: The share of random directions that no neuron is similar to. Nearly all
            are: to be like no neuron says little of a direction, to be found again does.

    Returns:
        The finding; it cannot be asked with fewer than `LEAST_NEURONS` curve neurons, without a
        gap, or if `unmatched` is not a number.
    """
    count, closed = len(filling.gaps), filling.count
    known = f"{hidden.found} of {hidden.banks} hidden banks are solved"
    if neurons < LEAST_NEURONS:
        holds = None
        why = f"curve neurons of {layer}: {neurons}, too few to leave gaps; {known}"
    elif not count:
        holds = None
        why = f"the curve neurons of {layer} leave no gap of {GAP:g}° or more; {known}"
    elif not hidden.curves_known:
        holds = False
        why = (
            f"where the truth is known, {known}, and nothing is found in {hidden.empty} of "
            f"{hidden.controls} controls"
        )
    elif not features > MORE * by_random:
        holds = False
        why = (
            f"{features} features of {layer} detect curves, {_number(by_random, 1)} of as many "
            f"random directions; {closed} of {count} gaps are filled"
        )
    elif not closed >= 0.5 * count:
        holds = False
        why = (
            f"{closed} of {count} gaps of {layer} are filled; evenly drawn angles fill as many in "
            f"{filling.chance:.0%} of draws"
        )
    elif not np.isfinite(unmatched):
        holds = None
        why = (
            f"no feature of {layer} can be compared with neurons: the share like none is undefined"
        )
    elif not unmatched > 0:
        holds = False
        why = f"every feature of {layer} is similar to a neuron"
    elif not again > 0:
        holds = False
        why = f"no feature of {layer} like no neuron is found again by a second SAE"
    else:
        holds = True
        why = (
            f"{closed} of {count} gaps of {layer} are filled, by evenly drawn angles in "
            f"{filling.chance:.0%} of draws; {features} curve features, {by_random:.1f} by chance"
        )
    value = {
        "hidden banks with all missing curves found": f"{hidden.found} of {hidden.banks}",
        "controls with none found": f"{hidden.empty} of {hidden.controls}",
        f"curve detectors of {layer}, neurons": neurons,
        "features": features,
        "among as many random directions": _number(by_random, 1),
        f"gaps of {GAP:g}° or more between the neurons": count,
        "of these filled by features": closed,
        "by random directions": round(filling.random, 1),
        f"features of {layer} like no neuron": _number(unmatched),
        "of these found again by a second SAE": _number(again),
        "random directions like no neuron": _number(unmatched_by_random),
    }
    return Finding(GAPS_FILLED, value, verdict(holds, evidence), why, evidence=evidence)


def _number(value: float, digits: int | None = None) -> float | str:
    """A number as it is recorded, rounded to some digits; "undefined" if it is none."""
    if not np.isfinite(value):
        return "undefined"
    return float(value) if digits is None else round(float(value), digits)


def neurons_split(
    evidence: Evidence,
    layer: str,
    hidden: HiddenBanks,
    split: pd.DataFrame,
    single: Mapping[str, float],
    by_random: float,
) -> Finding:
    """MC2: neurons with two preferred curves are taken apart by features.

    Args:
        evidence: What kind of evidence the layer is.
        layer: The name of the layer.
        hidden: How often the hidden banks were solved.
        split: From `split_doubles`.
        single: For `"neurons"` and `"features"` the share with one peak only, of those that
            respond most to arcs.
        by_random: The mean number that as many random directions take apart.

    Returns:
        The finding; it cannot be asked without a neuron of two preferred curves.
    """
    count, parted, strictly = len(split), int(split["apart"].sum()), int(split["split"].sum())
    value = {
        "hidden banks with all pairs split": f"{hidden.split} of {hidden.banks}",
        f"neurons of {layer} with two curves": count,
    }
    if count:
        value |= {
            "of these taken apart": parted,
            "by as many random directions": round(float(by_random), 1),
            "of all, split by features with one peak": strictly,
            "share answered at one of two peaks, neurons": float(split["own"].median()),
            "the features that write there": float(np.median(split[["own1", "own2"]].to_numpy())),
        }
        holds = hidden.pairs_known and parted >= 0.5 * count and parted > MORE * by_random
        why = (
            f"{parted} of {count} neurons with two curves are taken apart, {by_random:.1f} by "
            f"random directions; all pairs in {hidden.split} of {hidden.banks} hidden banks"
        )
    else:
        holds = None
        why = f"no neuron of {layer} has two preferred curves: there is nothing to split"
    value |= {f"one peak only, {who}": _number(share) for who, share in single.items()}
    return Finding(NEURONS_SPLIT, value, verdict(holds, evidence), why, evidence=evidence)


# ---------------------------------------------------------------------------- computed sentences


def hidden_sentence(hidden: HiddenBanks) -> str:
    """What was found in the hidden banks, in words."""
    return (
        f"Missing orientations are all found in {hidden.found} of {hidden.banks} banks, all pairs "
        f"are split in {hidden.split}; nothing is found where they are left out in {hidden.empty} "
        f"of {hidden.controls}. "
        + (
            "The method finds what is hidden, and only that."
            if hidden.curves_known
            else "The method is not to be trusted here."
        )
    )


def detectors_sentence(layer: str, units: int, features: int, by_random: float) -> str:
    """Whether a dictionary finds more curve detectors than random directions do, in words."""
    return (
        f"Curve detectors among the {units} features of {layer}: {features}, "
        + ("clearly" if features > MORE * by_random else "not clearly")
        + f" more than among as many random directions ({by_random:.0f})."
    )


def filling_sentences(layer: str, neurons: int, filling: Filling) -> list[str]:
    """Which gaps are filled, one sentence a gap, and what chance would fill.

    Args:
        layer: The name of the layer.
        neurons: The number of curve neurons.
        filling: The gaps, and what fills them.

    Returns:
        The sentences; a single one if there is no gap.
    """
    if not neurons:
        return [f"No neuron of {layer} detects curves: there are no gaps between them to fill."]
    if not filling.gaps:
        return [f"The neurons leave no gap of {GAP:g}° or more: there is nothing to fill."]
    lines = [
        f"Neurons have none between {start:.0f}° and {end % 360:.0f}°: "
        f"{'filled' if there else 'not filled'} by features."
        for (start, end), there in zip(filling.gaps, filling.filled, strict=True)
    ]
    usual = "often" if filling.chance > 0.05 else "rarely"
    lines.append(
        f"{filling.count} of {len(filling.gaps)} gaps of {layer} are filled. Evenly drawn angles "
        f"{usual} fill as many ({filling.chance:.0%} of draws, {filling.even:.1f} in the mean); "
        f"the curve detectors among random directions fill {filling.random:.1f}."
    )
    return lines


def splitting_sentences(split: pd.DataFrame, single: Mapping[str, float]) -> list[str]:
    """How neurons with two curves are split, and whether features have fewer second peaks.

    Args:
        split: From `split_doubles`.
        single: The share of neurons and of features with one peak only, of those that respond most
            to arcs; NaN where none does.

    Returns:
        The sentences.
    """
    lines = [
        f"{int(split['apart'].sum())} of {len(split)} neurons with two curves are taken apart, "
        f"{int(split['split'].sum())} of all are split."
    ]
    if len(split):
        own = np.median(split[["own1", "own2"]].to_numpy())
        lines.append(
            "Of the responses at the two peaks together, that at the larger is "
            f"{split['own'].median():.2f} for neurons; that at its own peak is {own:.2f} for the "
            "features that write there (medians)."
        )
    if without := [who for who in ("neurons", "features") if not np.isfinite(single[who])]:
        none = " and no ".join(who.removesuffix("s") for who in without)
        lines.append(f"No {none} responds most to arcs: second peaks cannot be compared.")
        return lines
    more = single["features"] - single["neurons"]
    often = "less often than" if more > SIMILAR else "more often than"
    often = "about as often as" if abs(more) <= SIMILAR else often
    lines.append(
        f"One peak only have {single['neurons']:.0%} of the neurons that respond most to arcs, and "
        f"{single['features']:.0%} of the features: features have second peaks {often} neurons."
    )
    return lines


def new_features_sentence(layer: str, new: pd.DataFrame, features: int) -> str:
    """How many features no neuron is similar to, in words, with their most frequent kinds."""
    if not len(new):
        return f"Every feature of {layer} is similar to a neuron."
    kinds = ", ".join(f"{count} {kind}" for kind, count in new["label"].value_counts().items())
    share = len(new) / features
    return f"{len(new)} features of {layer}, {share:.0%} of all, are similar to no neuron: {kinds}."


def baselines_sentence(layer: str, found: Baselines) -> str:
    """What a second SAE and random directions say of features like no neuron, in words.

    Args:
        layer: The name of the layer.
        found: From `compare_dictionaries`.
    """
    chance = found.like_none["random directions"]
    said = (
        f"Of as many random directions of {layer} {chance:.0%} are like no neuron, of a second "
        f"SAE's features {found.like_none['second SAE']:.0%}: "
        + (
            "to be like no neuron is no sign of a feature by itself. "
            if chance >= found.like_none["features"]
            else "fewer than of the SAE's features. "
        )
    )
    if np.isfinite(found.again):
        said += f"Of the SAE's features like no neuron the second SAE has {found.again:.0%}."
    return said


def apart_sentence(doubles: int, found: Baselines) -> str:
    """How many neurons with two curves each dictionary takes apart, in words.

    Args:
        doubles: The number of neurons with two curves.
        found: From `compare_dictionaries`.
    """
    if not doubles:
        return "There is no neuron with two curves to take apart."
    return (
        f"Of {doubles} neurons with two curves the SAE takes {found.apart['features']:.0f} apart, "
        f"a second SAE {found.apart['second SAE']:.0f}, as many random directions "
        f"{found.apart['random directions']:.1f} in the mean."
    )


def loop_sentence(spans: pd.DataFrame) -> str:
    """Whether a block of directions, learned as one, holds the loop of curve responses.

    Args:
        spans: From `ring_spans`.

    Returns:
        The sentence.
    """
    shares = {kind: part.set_index("dimensions")["share"] for kind, part in spans.groupby("kind")}
    wide = int(shares[BLOCK].index.max())
    block, single = shares[BLOCK][wide], shares[SINGLE].get(wide, shares[SINGLE].iloc[-1])
    return (
        f"{wide} principal directions hold {shares[PRINCIPAL][wide]:.0%} of the loop, the best "
        f"block of {wide} {block:.0%}, the {wide} features that do most {single:.0%}: "
        + (
            "a block holds more of it than as many features, a sign of one continuous thing."
            if block > MORE * single
            else "no block has taken the loop for itself; features tile it in pieces."
        )
    )


def dimensions_sentence(found: Mapping[str, float]) -> str:
    """How many dimensions curve features take up, in words; from `compared_dimensions`."""
    fewer = found["dimensions"] < found["any dimensions"]
    return (
        f"{found['features']} curve features: {found['dimensions']} dimensions hold 90 % "
        f"(participation ratio {found['ratio']:.1f}); as many features of any kind: "
        f"{found['any dimensions']} ({found['any ratio']:.1f}). Curve features share "
        + ("a smaller subspace." if fewer else "no smaller subspace.")
    )


def echo_sentence(echo: pd.DataFrame) -> str:
    """Whether curve detectors respond to the arc rotated by 180 degrees, in words.

    Args:
        echo: From `echoes`, one row a curve detector.

    Returns:
        The sentence.
    """
    if not len(echo):
        return "No layer has a curve detector: there are no echoes to look for."
    medians = echo.groupby(["layer", "units"], sort=False)["echo"].median()
    heard = [f"{units} of {layer}" for (layer, units), m in medians.items() if m >= ECHO]
    return (
        f"{(echo['echo'] >= ECHO).sum()} of {len(echo)} curve detectors respond to the rotated arc "
        f"with {ECHO:.0%} or more of their preferred response. The median does among "
        f"{' and '.join(heard) or 'none of these sets'}."
    )


def crosscoder_sentence(values: Mapping[str, float]) -> str:
    """How a group crosscoder's curve features lie to each other, in words.

    Args:
        values: Those of `CrosscoderCurves`, not empty.

    Returns:
        Two or three sentences.
    """
    families = int(values["families of curves"])
    parts = {0: "in no family", 1: "in one family"}.get(families, f"in {families} families")
    words = [
        f"The crosscoder's {values['crosscoder, count']:.0f} curve features leave no gap over "
        f"{values['crosscoder, gap']:.0f}° and are {parts}, the largest of which holds "
        f"{values['share in the largest']:.0%} of them."
    ]
    if "pairs" in values:
        words.append(
            "Two of one family are rotated against each other by the angle between their preferred "
            f"orientations, to {values['off by, median degrees']:.0f}° in the median of "
            f"{values['pairs']:.0f} pairs."
        )
    at, least = values["block profile at 180°, median"], values["its lowest"]
    words.append(
        f"At 180° the median block profile is {at:.2f}, {at - least:.2f} above its lowest: "
        + ("an echo." if at - least >= RISE else "no echo.")
    )
    return " ".join(words)


def published_sentence(found: Mapping[str, float]) -> str:
    """Whether published neurons prefer what was published, in words; from `published_check`."""
    recognised = found["p"] < 0.05
    return (
        f"The neurons are off by {found['median off']:.0f}° in the median; as near by chance with "
        f"p = {found['p']:.3f}, so the published neurons are "
        + ("recognised." if recognised else "not recognised.")
    )


def closing_sentence(layer: str, gaps: Finding, split: Finding) -> str:
    """What the notebook's question comes to.

    Args:
        layer: The name of the layer.
        gaps: The finding of `gaps_filled`.
        split: The finding of `neurons_split`.

    Returns:
        One sentence.
    """
    found = {
        None: "whether features fill gaps between curve neurons could not be asked",
        True: "the dictionary finds curve detectors that the neurons lack",
        False: "the dictionary does not show convincingly the curve detectors that neurons lack",
    }
    taken = {
        None: "whether they split neurons could not be asked",
        True: "its features take most neurons with two preferred curves apart",
        False: "its features do not take most neurons with two preferred curves apart",
    }
    return f"In {layer} {found[gaps.held]}, and {taken[split.held]}."
