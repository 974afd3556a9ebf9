"""What is claimed about attacks on concepts, and what a run found: pure functions of its numbers.

CA1 to CA3 are claims of Brown & Kvinge (2021) about explanations of networks. They are measured on
heads that were trained here on drawn textures, unless a person's own images are explained by a
whole network's logits. CT1 is about images whose causes are known. CT2 and CT3 are our own
questions about explanations of networks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from gc_utils.evidence import Claim, Evidence, Finding, network_evidence, verdict
from gc_utils.statistics import rate
from gc_utils.studies.concept_attacks.attempts import STRONGEST
from gc_utils.studies.concept_attacks.steered_facets import Steering
from gc_utils.studies.concept_attacks.tcav import LEVEL, mean_interval

SOURCE = "Brown & Kvinge 2021, arXiv 2110.07120"
ENOUGH_TARGETS = 10  # with fewer, an interval of the share that succeeds is wide
ENOUGH_RUNS = 8  # with fewer, a correction over all pairs may leave nothing significant
MOST_CAUSES = 0.9  # share of the causes that a test finds whose clean decisions count as right

INDUCED = Claim(
    "CA1",
    short="Perturbed examples make an irrelevant concept look important",
    claim="perturbed concept examples make irrelevant concepts look important",
    words="induce positive interpretations (polka dots are an important concept for a model when "
    "classifying zebras)",
    source=SOURCE,
    figure="10_attacks",
)
HIDDEN = Claim(
    "CA2",
    short="Perturbed examples make a relevant concept look unimportant",
    claim="perturbed concept examples make relevant concepts look unimportant",
    words="negative interpretations (stripes are not an important factor in identifying images of "
    "a zebra)",
    source=SOURCE,
    figure="10_attacks",
)
STEERED = Claim(
    "CA3",
    short="Faceted feature visualisation can be steered in the same way",
    claim="faceted feature visualisation can be steered the same way",
    words="We demonstrate this phenomenon on two well-known concept-based interpretability "
    "methods: TCAV and faceted feature visualization",
    source=SOURCE,
    figure="10_detected",
)
CAUSES = Claim(
    "CT1",
    short="TCAV finds the causes and no irrelevant concept",
    claim="with examples of its own in every run, TCAV finds the causes and leaves alone what is "
    "irrelevant",
    source="Kim et al. 2018, arXiv 1711.11279, as tested here",
    figure="10_clean",
)
DEFENDED = Claim(
    "CT2",
    short="A defence lowers the success of the attacks",
    claim="a defence lowers the attack's success",
    source="our question",
    figure="10_defences",
)
FEATURES = Claim(
    "CT3",
    short="Crosscoder features resist better than concept vectors",
    claim="directions from crosscoder features resist better than concept vectors",
    source="our question",
    figure="10_defences",
)


def head_evidence(model: str, weights: str) -> Evidence:
    """What a head on a network is evidence of that was trained here on drawn textures.

    Args:
        model: name of the network below the head.
        weights: name of its weights.

    Returns:
        `DEFAULT` whatever network is below: the classifier that is explained was trained here;
        `UNTRAINED` where that network was not trained on images.
    """
    found = network_evidence(model, weights)
    return found if found is Evidence.UNTRAINED else Evidence.DEFAULT


@dataclass(frozen=True)
class CleanDecisions:
    """What TCAV decided before any attack.

    Attributes:
        causal: for each pair of a texture and its class, whether it is called important.
        false: for each irrelevant pair, whether it is called important or opposed.
        runs: of the test.
        pairs: in the family of tests.
    """

    causal: Sequence[bool]
    false: Sequence[bool]
    runs: int
    pairs: int

    @property
    def too_few(self) -> bool:
        """Whether there are few runs, and no decision of this table is significant."""
        none = not np.any(self.causal) and not np.any(self.false)
        return self.runs < ENOUGH_RUNS and none

    @property
    def right(self) -> bool:
        """Whether the causes are found, and irrelevant concepts are left alone."""
        return bool(np.mean(self.causal) >= MOST_CAUSES and np.mean(self.false) <= LEVEL)


class Attacked(NamedTuple):
    """Attempts on one classifier.

    Attributes:
        attempts: of `Attempts.table`.
        evidence: what the classifier is evidence of.
        clean: its clean decisions; None where the truth is not known, as for a person's images.
    """

    attempts: pd.DataFrame
    evidence: Evidence
    clean: CleanDecisions | None = None


def induced(drawn: Attacked, own: Attacked | None = None) -> Finding:
    """Whether perturbed examples make irrelevant concepts look important (CA1).

    Args:
        drawn: attempts on drawn textures.
        own: attempts on a person's own images; they count instead, if they have this aim.
    """
    return _overturned(INDUCED, "induce", drawn, own)


def hidden(drawn: Attacked, own: Attacked | None = None) -> Finding:
    """Whether perturbed examples make relevant concepts look unimportant (CA2); see `induced`."""
    return _overturned(HIDDEN, "hide", drawn, own)


def _overturned(claim: Claim, aim: str, drawn: Attacked, own: Attacked | None) -> Finding:
    attacked = drawn
    if own is not None and len(_successes(own.attempts, "attack", aim)):
        attacked = own
    won = _successes(attacked.attempts, "attack", aim)
    noise = _successes(attacked.attempts, "noise", aim)
    bounds = attacked.attempts.query("condition == 'attack'").bound
    share, low, high = rate(won)
    clean = attacked.clean
    if not len(won) or not len(noise):
        holds, why = None, "there was no attempt of this kind"
    elif clean is not None and clean.too_few:
        holds = None
        why = f"{clean.runs} runs are too few for any concept to be significant even without attack"
    elif clean is not None and not clean.right:
        holds = None
        why = f"{_wrong(clean)} without attack, so that there is nothing right to overturn"
    else:
        holds = share >= 0.8 and noise.mean() < 0.2
        why = f"the attack succeeds for {of(won)} pairs within {STRONGEST}/255"
        if bounds.min() < STRONGEST:
            weak = _successes(attacked.attempts, "attack", aim, bounds.min())
            why += f", for {of(weak)} within {bounds.min():g}/255"
        why += f", noise of {STRONGEST}/255 for {of(noise)}"
        if len(won) < ENOUGH_TARGETS:
            why += "; few pairs"
    return Finding(
        claim,
        share if len(won) else "no attempt",
        verdict(holds, attacked.evidence),
        why,
        interval=(low, high) if len(won) else None,
        evidence=attacked.evidence,
    )


def steered(attack: Steering, noise: Steering, evidence: Evidence) -> Finding:
    """Whether faceted visualisations show another texture once the examples are attacked (CA3).

    Args:
        attack: what the attack within the largest bound did.
        noise: what noise of that size did.
        evidence: what the visualised classifier is evidence of.

    Returns:
        The finding; it cannot be asked with one start, or if a movement is not a number.
    """
    if not (_defined(attack) and _defined(noise)):
        why = "how far the detectors move under attack or noise is undefined"
        word = verdict(None, evidence)
        return Finding(STEERED, "undefined", word, why, evidence=evidence)
    mean, by_noise = float(attack.moved.mean()), float(noise.moved.mean())
    ends = mean_interval(attack.moved) if len(attack.moved) > 1 else None
    holds = None
    if ends:
        holds = bool(ends[0] > max(0, by_noise) and attack.crossed > 0.5)
    moved = f"the detectors move by {mean:+.2f} of 2 under attack and {by_noise:+.2f} under noise"
    if ends:
        moved += f"; {attack.crossed:.0%} and {noise.crossed:.0%} of the images change sides"
    else:
        moved += ", but one start has no interval"
    return Finding(STEERED, mean, verdict(holds, evidence), moved, interval=ends, evidence=evidence)


def _defined(steering: Steering) -> bool:
    """Whether there are starts, and everything measured of them is a number."""
    return bool(len(steering.moved) and np.isfinite([*steering.moved, steering.crossed]).all())


def causes(clean: CleanDecisions, alone: Sequence[bool], pooled: Sequence[bool]) -> Finding:
    """Whether clean TCAV finds the causes and leaves alone what is irrelevant (CT1).

    Args:
        clean: the decisions.
        alone: for each irrelevant pair, whether it is called otherwise when only they are tested.
        pooled: the same when all runs draw from one pool of images.
    """
    if not len(clean.causal) or not len(clean.false):
        holds, why = None, "there are no pairs of both kinds to decide about"
    elif clean.too_few:
        holds, why = None, f"{clean.runs} runs are too few for any of {clean.pairs} pairs"
        why += " to be significant after the correction"
    else:
        holds = clean.right
        why = (
            f"{of(clean.causal)} causes are found and {of(clean.false)} irrelevant pairs called "
            f"otherwise, at a level of {LEVEL:.0%} over {clean.pairs} pairs"
        )
    value = {
        "causal pairs important": of(clean.causal),
        "irrelevant pairs called otherwise": of(clean.false),
        "of irrelevant pairs alone": of(alone),
        "the same from one pool": of(pooled),
    }
    return Finding(CAUSES, value, verdict(holds, Evidence.KNOWN), why, evidence=Evidence.KNOWN)


def defended(
    defences: pd.DataFrame,
    outcomes: Mapping[str, Sequence[bool]],
    knowing: pd.DataFrame,
    clean: CleanDecisions,
    evidence: Evidence,
) -> Finding:
    """Whether some defence stops attacks and keeps the clean decisions right (CT2).

    Args:
        defences: of `try_defences`.
        outcomes: defence → whether each attempt succeeds.
        knowing: of `try_knowing_attackers`.
        clean: the decisions without a defence.
        evidence: what the explained classifier is evidence of.
    """
    shares = defences.set_index("defence").succeed
    best, tried = best_defence(defences), len(outcomes["none"])
    holds, why = _askable(clean, outcomes["none"])
    if why == "" and best is None:
        holds, why = False, "no defence keeps the clean decisions right"
    elif why == "":
        holds = fewer(outcomes["none"], outcomes[best])
        passes = defences.set_index("defence").passes[best]
        won = knowing.success[knowing.defence == best].astype(bool)
        why = (
            f"success {shares['none']:.0%} without, {shares[best]:.0%} with {best}, of {tried} "
            f"attempts, at {passes:g} times the cost"
            + (f"; knowing attackers succeed in {of(won)}" if len(won) else "")
        )
    value = {defence: float(share) for defence, share in shares.items()}
    return Finding(DEFENDED, value, verdict(holds, evidence), why, evidence=evidence)


def features_resist(
    defences: pd.DataFrame,
    outcomes: Mapping[str, Sequence[bool]],
    clean: CleanDecisions,
    evidence: Evidence,
) -> Finding:
    """Whether directions made of crosscoder features resist better than concept vectors (CT3).

    Args:
        defences: of `try_defences`.
        outcomes: defence → whether each attempt succeeds.
        clean: the decisions with concept vectors.
        evidence: what the explained classifier is evidence of.
    """
    mine = "crosscoder features"
    table = defences.set_index("defence")
    holds, why = _askable(clean, outcomes["none"])
    if why == "":
        holds = mine in usable(defences) and fewer(outcomes["none"], outcomes[mine])
        why = (
            f"success {table.succeed[mine]:.0%} against features, {table.succeed['none']:.0%} "
            f"against concept vectors; clean, features find {table['causal found'][mine]:.0%} of "
            f"the causes with {table['false positives'][mine]:.0%} false positives"
        )
    value = {mine: float(table.succeed[mine]), "concept vectors": float(table.succeed["none"])}
    return Finding(FEATURES, value, verdict(holds, evidence), why, evidence=evidence)


def usable(defences: pd.DataFrame) -> list[str]:
    """The defences, "none" apart, whose clean decisions are right.

    Args:
        defences: of `try_defences`.
    """
    right = (defences["causal found"] >= MOST_CAUSES) & (defences["false positives"] <= LEVEL)
    return [d for d in defences[right].defence if d != "none"]


def best_defence(defences: pd.DataFrame) -> str | None:
    """The usable defence against which the fewest attempts succeed; None if none is usable."""
    found = sorted(usable(defences))
    return defences.set_index("defence").succeed[found].idxmin() if found else None


def fewer(plain: Sequence[bool], with_defence: Sequence[bool]) -> bool:
    """Whether a defence stops attempts: exact one-sided test of those whose outcome it changes.

    Args:
        plain: whether each attempt succeeds without the defence.
        with_defence: whether the same attempts succeed with it.
    """
    pairs = list(zip(plain, with_defence, strict=True))
    stopped = sum(bool(a) and not b for a, b in pairs)
    differ = sum(bool(a) != bool(b) for a, b in pairs)
    return differ > 0 and binomtest(stopped, differ, alternative="greater").pvalue < 0.05


def clean_sentence(clean: CleanDecisions, rivals: Sequence[bool]) -> str:
    """What clean TCAV decided, in a sentence.

    Args:
        clean: the decisions.
        rivals: for each pair of a texture and another one's class, whether it is called opposed.
    """
    return (
        f"Causal pairs called important: {of(clean.causal)}; irrelevant pairs called important or "
        f"opposed: {of(clean.false)}; textures called opposed to the class of another one: "
        f"{of(rivals)}."
    )


def pool_sentence(alone: Sequence[bool], pooled: Sequence[bool], pool: int) -> str:
    """What one pool of images for all runs does to the decisions about irrelevant pairs.

    Args:
        alone: for each pair, whether it is called important or opposed on images of its own.
        pooled: the same on a pool.
        pool: images in the pool.
    """
    more = int(np.sum(pooled)) - int(np.sum(alone))
    so = f"{more} more" if more > 0 else f"{-more} fewer" if more else "as many as"
    return (
        f"With {pool} examples and {pool} random images from which all runs draw, {of(pooled)} "
        f"irrelevant pairs are called important or opposed: {so} "
        f"{'' if more == 0 else 'than '}with images of their own ({of(alone)})."
    )


def transfer_sentence(attempts: pd.DataFrame, condition: str) -> str:
    """How often the attack succeeds when something else is explained than what was attacked.

    Args:
        attempts: of `Attempts.table`.
        condition: name of the condition.
    """
    counts = [
        f"{of(_successes(attempts, condition, aim))} pairs to {aim}" for aim in ("induce", "hide")
    ]
    return f"{condition.capitalize()}, the attack succeeds for {' and '.join(counts)}."


def real_sentence(
    shown: pd.DataFrame, decisions: pd.DataFrame, expected: Sequence[tuple[str, str]]
) -> str:
    """What a network takes crops for, and what TCAV decides about its own classes, in sentences.

    Args:
        shown: of `RealClasses`.
        decisions: of `decide`.
        expected: pairs of concept and class that the paper takes for causes.
    """
    crops = zip(shown["class"], shown["rank"], shown["probability"], strict=True)
    seen = ", ".join(f"{name} rank {rank:.0f} ({p:.0%})" for name, rank, p in crops)
    important = decisions[decisions.decision == "important"]
    pairs = [tuple(row) for row in important[["concept", "class"]].to_numpy()]
    named = ", ".join(f"{concept} for {name}" for concept, name in pairs) or "none"
    found = [pair in pairs for pair in expected]
    return (
        f"The network's own opinion of the crops, median rank of the class among all logits and "
        f"mean probability: {seen}. Called important: {named}; of the pairs that the paper takes "
        f"for causes, {of(found)}."
    )


def knowing_sentence(knowing: pd.DataFrame) -> str:
    """How often attackers who know the defence succeed, in words.

    Args:
        knowing: From `try_knowing_attackers`, one row an attempt.

    Returns:
        The sentence.
    """
    by = knowing.groupby("defence", sort=False)["success"]
    parts = ", ".join(f"{name} {part.sum():.0f} of {len(part)}" for name, part in by)
    return (
        f"Attackers who know the defence succeed in {knowing['success'].sum():.0f} of "
        f"{len(knowing)} attempts ({parts})."
    )


def steering_sentence(attack: Steering, noise: Steering) -> str:
    """How far what the detectors see moved towards the other texture, in a sentence."""
    if not (_defined(attack) and _defined(noise)):
        return "How far the detectors move under attack or noise is undefined."
    return (
        f"Attack: {attack.moved.mean():+.2f} towards the other texture, of 2 at most, and "
        f"{attack.crossed:.0%} of the images change sides; noise: {noise.moved.mean():+.2f} and "
        f"{noise.crossed:.0%}."
    )


def closing(
    clean: CleanDecisions, attempts: pd.DataFrame, defences: pd.DataFrame, attack: Steering
) -> str:
    """What the whole run found, in a sentence.

    Args:
        clean: the clean decisions.
        attempts: of `Attempts.table`.
        defences: of `try_defences`.
        attack: of the facets, within the largest bound.
    """
    if clean.too_few:
        return (
            f"{clean.runs} runs are too few to decide anything: this run says only that the "
            "notebook works."
        )
    if not clean.right:
        return f"{_wrong(clean)} before any attack, so that attacks say little here."
    won = pd.concat([_successes(attempts, "attack", aim) for aim in ("induce", "hide")])
    best, table = best_defence(defences), defences.set_index("defence")
    start = (
        "Explanations by concepts can be steered here"
        if won.mean() > 0.5
        else ("Explanations by concepts mostly withstand the attack here")
    )
    end = (
        "no defence keeps the clean decisions right"
        if best is None
        else (
            f"the best usable defence, {best}, leaves {table.succeed[best]:.0%} of the attempts "
            f"successful, against {table.succeed['none']:.0%} without one"
        )
    )
    return (
        f"{start}: changes of at most {STRONGEST}/255 overturn {of(won)} right decisions and "
        f"make {attack.crossed:.0%} of the faceted visualisations change sides; {end}."
    )


def of(successes: Sequence[bool]) -> str:
    """A count out of all, as "3 of 5"."""
    return f"{int(np.sum(successes))} of {len(successes)}"


def _successes(
    attempts: pd.DataFrame, condition: str, aim: str, bound: float = STRONGEST
) -> pd.Series:
    here = (attempts.condition == condition) & (attempts.aim == aim) & (attempts.bound == bound)
    return attempts[here].success.astype(bool)


def _wrong(clean: CleanDecisions) -> str:
    return f"TCAV finds {of(clean.causal)} causes, with {of(clean.false)} false positives,"


def _askable(clean: CleanDecisions, plain: Sequence[bool]) -> tuple[bool | None, str]:
    """(None, why not) if nothing can be said about defences, else (None, "")."""
    if clean.too_few:
        return None, f"{clean.runs} runs are too few for any concept to be significant"
    if not clean.right:
        return None, f"{_wrong(clean)} without any attack"
    if not np.any(plain):
        return None, f"none of {len(plain)} attempts succeeds even without a defence"
    return None, ""
