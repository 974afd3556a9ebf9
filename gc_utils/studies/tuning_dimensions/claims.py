"""What *Identifying and interpreting tuning dimensions* claims, and what notebook 07 finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, verdict
from gc_utils.inspection.decompositions import BASELINE, METHODS
from gc_utils.studies.tuning_dimensions.bank_trials import CONTROL

SOURCE = "Dey et al. 2020, arXiv 2011.03043"
GABOR_BANK = Claim(
    "TD1",
    short="An unsupervised method finds the tuning dimensions of a Gabor filter bank",
    claim="the unsupervised method finds the tuning dimensions of a Gabor filter bank",
    words="Our method correctly identifies the tuning dimensions of a synthetic Gabor filter bank",
    source=SOURCE,
    figure="07_bank",
)
FIRST_LAYERS = Claim(
    "TD2",
    short="It finds those of InceptionV1's first layers: orientation, frequency, colour",
    claim="and of the first two layers of InceptionV1: orientation, frequency, colour",
    words="and tuning dimensions of the first two layers of InceptionV1 trained on ImageNet",
    source=SOURCE,
    figure="07_methods",
)
ASKED = ("orientation", "frequency", "colour")
LEAST = 0.1  # R² that a dimension's attribute needs
ALONE = 0.5  # of an attribute's entropy: a lead over the next dimension that makes it stand alone


def gabor_bank(table: pd.DataFrame) -> Finding:
    """TD1: a method recovers every attribute of the Gabor bank, better than random directions.

    Args:
        table: From `bank_trials`; the data are drawn, so that the truth is known.

    Returns:
        The finding; it cannot be asked without a trial.
    """
    real, control = table[table["attribute"] != CONTROL], table[table["attribute"] == CONTROL]
    count = real["attribute"].nunique()
    every = real.groupby("method")["significant"].all()
    share = real.groupby(["method", "attribute"])["share"].mean().unstack()
    methods = [m for m in METHODS if m in share.index]
    better = {m: int((share.loc[m] > share.loc[BASELINE]).sum()) for m in methods}
    winners = [m for m in methods if every[m] and better[m] == count]
    false = int(control["significant"].sum())
    value = {
        "all four attributes above chance": ", ".join(every.index[every]) or "none",
        "random numbers called above chance": f"{false} of {len(control)}",
    }
    value |= {f"share of entropy, {m}": round(float(v), 2) for m, v in share.mean(axis=1).items()}
    value |= {
        f"attributes of which {m} carries more than random directions": f"{v} of {count}"
        for m, v in better.items()
    }
    lead = real["gap"].max()
    if pd.notna(lead):
        value["how much more than the next dimension, best"] = round(float(lead), 2)
    if not len(real):
        holds, why = None, "no patches were shown"
    elif false:
        holds = False
        why = f"{false} of {len(control)} attributes that are random numbers are above chance"
    elif not winners:
        holds = False
        why = "no method's dimensions carry more about every attribute than chance and random ones"
    else:
        holds = True
        why = (
            f"dimensions of {_listed(winners)} carry more about every attribute than chance and "
            f"random directions; the best dimension leads by {lead:.2f}"
        )
    return Finding(GABOR_BANK, value, verdict(holds, Evidence.KNOWN), why, evidence=Evidence.KNOWN)


def first_layers(
    evidence: Evidence,
    best: Mapping[str, pd.DataFrame],
    chance: Mapping[str, Mapping[str, float]],
    method: str,
) -> Finding:
    """TD2: measured attributes predict dimensions of the first layers.

    Args:
        evidence: What kind of evidence the layers are.
        best: R² of the dimension that each attribute predicts best, one row a method (random
            directions may be among them), by layer; from `LayerStudy.best`.
        chance: The largest R² of each attribute shuffled over the samples, by layer.
        method: The method whose dimensions are walked along.

    Returns:
        The finding; it cannot be asked without a layer, or if a shuffled attribute has no R².
    """
    asked = [(layer, attribute) for layer in best for attribute in ASKED]
    value, missed, highest, winners = {}, [], [], set()
    unknown = [f"{a} in {layer}" for layer, a in asked if pd.isna(chance[layer][a])]
    for layer, attribute in asked:
        r2 = best[layer][attribute].drop(BASELINE, errors="ignore").dropna()
        name = f"{layer}, best R² of {attribute}"
        if not len(r2):
            value[name] = "none"
            missed.append(f"{attribute} in {layer}")
            continue
        own = f"; {method} {r2[method]:.2f}" if method in r2 else ""
        value[name] = f"{r2.max():.2f} ({r2.idxmax()}{own})"
        highest.append(float(r2.max()))
        winners.add(r2.idxmax())
        if not r2.max() > max(LEAST, chance[layer][attribute]):
            missed.append(f"{attribute} in {layer}")
    if not asked:
        holds, why, value = None, "no layer was studied", {"layers studied": 0}
    elif unknown:
        holds, some = None, _some(unknown, len(asked))
        why = f"the R² of shuffled attributes is undefined for {some}"
    elif missed:
        holds, some = False, _some(missed, len(asked))
        why = f"no method's R² is over {LEAST:g} and over that of shuffled attributes for {some}"
    else:
        holds = True
        one = f"{next(iter(winners))} is best for all" if len(winners) == 1 else "no method is best"
        why = (
            "each attribute predicts a dimension of some method on held-out images, R² "
            f"{min(highest):.2f} or more; {one}" + ("" if len(winners) == 1 else " for all")
        )
    return Finding(FIRST_LAYERS, value, verdict(holds, evidence), why, evidence=evidence)


# ---------------------------------------------------------------------------- computed sentences


def bank_sentence(table: pd.DataFrame) -> str:
    """Whether one dimension stands for an attribute alone, and how random directions do.

    Args:
        table: From `bank_trials`.

    Returns:
        Two sentences.
    """
    real = table[table["attribute"] != CONTROL]
    lead, random = real["gap"].max(), real[real["method"] == BASELINE]
    above = int(random["significant"].sum())
    return (
        f"The best dimension leads the next by at most {lead:.2f} of an attribute's entropy: "
        + (
            "a dimension stands for an attribute alone. "
            if lead >= ALONE
            else "several dimensions share each attribute. "
        )
        + f"Random directions are above chance in {above} of {len(random)} tests"
        + (", so that chance alone is too low a bar." if above else ".")
    )


def named_sentences(named: Mapping[str, pd.DataFrame], least: float = 0.2) -> list[str]:
    """How many dimensions of each layer a single attribute predicts, one sentence a layer.

    Args:
        named: R² of measured attributes for the dimensions of each layer, from `explained_by`.
        least: The R² at which a dimension counts as named.

    Returns:
        The sentences.
    """
    lines = []
    for layer, table in named.items():
        single = table.drop(columns="all")
        clear = single[single.max(axis=1) >= least]
        count = f"{layer}: {len(clear)} of {len(table)} dimensions are predicted by one attribute"
        kinds = clear.idxmax(axis=1).value_counts() if len(clear) else {}
        listed = ", ".join(f"{n} by {kind}" for kind, n in kinds.items())
        lines.append(f"{count} with R² {least:g} or more" + (f": {listed}." if listed else "."))
    return lines


def methods_sentences(best: Mapping[str, pd.DataFrame]) -> list[str]:
    """Which method has the best dimension for each attribute, one sentence a layer.

    Args:
        best: The table of `LayerStudy.best` of each layer.

    Returns:
        The sentences.
    """
    lines = []
    for layer, table in best.items():
        methods = table.drop(index=BASELINE, errors="ignore").drop(columns="all")
        winners = methods.idxmax().value_counts()
        if len(winners) == 1:
            lines.append(f"{layer}: {winners.index[0]} has the best dimension for every attribute.")
        else:
            listed = ", ".join(f"{method} for {count}" for method, count in winners.items())
            lines.append(f"{layer}: no method is best for all attributes ({listed}).")
    return lines


def rotation_sentences(summary: pd.DataFrame) -> list[str]:
    """How much of the dimensions' variance rotation makes, one sentence a layer.

    Args:
        summary: From `rotation_summary`.

    Returns:
        The sentences.
    """
    lines = []
    for layer in summary:
        v = summary[layer]
        mean = v["variance from rotation, mean"]
        random = v["variance from rotation, random directions"]
        off = mean - random
        less = "more than" if off > 0.05 else "less than" if off < -0.05 else "about as much as"
        those = v["predicted by orientation or direction, those"]
        others = v["the others"]
        words = [
            f"{who} with R² {value:.2f}"
            for who, value in (("the group directions", those), ("the others", others))
            if pd.notna(value)
        ]
        lines.append(
            f"{layer}: rotation makes {mean:.0%} of a dimension's variance, {less} of a random "
            f"direction's ({random:.0%}). Orientation or direction predict {' and '.join(words)}."
        )
    return lines


def closing_sentence(bank: Finding, layers: Finding, summary: pd.DataFrame) -> str:
    """What the notebook's three questions come to.

    Args:
        bank: The finding of `gabor_bank`.
        layers: The finding of `first_layers`.
        summary: From `rotation_summary`.

    Returns:
        One sentence.
    """
    known = {
        None: "The bank was not tried",
        True: "Decomposition recovers the attributes of the bank",
        False: "No decomposition recovers all attributes of the bank",
    }
    early = {
        None: "whether it does so in the first layers could not be asked",
        True: "it finds orientation, frequency and colour in the first layers",
        False: "orientation, frequency and colour are not all found in the first layers",
    }
    directions = int(summary.loc["dimensions over 0.5"].sum())
    random = int(summary.loc["the same of random directions"].sum())
    return (
        f"{known[bank.held]}, {early[layers.held]}, and {directions} of the dimensions are "
        f"group directions, {random} of as many random ones."
    )


def _some(names: Sequence[str], count: int) -> str:
    """Up to three attributes by name, more as a number of `count`."""
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} of {count} attributes"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
