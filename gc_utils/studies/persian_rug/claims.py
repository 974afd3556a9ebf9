"""The claims of Cowsik et al. 2024: findings from tables.

The paper's subject is sparse data that are drawn, and models written down or trained on them, so
that everything here is its own subject with a known truth: `Evidence.KNOWN`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, verdict
from gc_utils.studies.persian_rug.experiments import AUTHORS

SOURCE = "Cowsik et al. 2024, arXiv 2410.12101"
STATISTICS = Claim(
    "PR1",
    short="Large models depend on their weights only through large-scale statistics",
    claim="large models on permutation-symmetric data depend on their weights only through "
    "large-scale statistics",
    words="when the data is permutation symmetric (no input feature is privileged) large models "
    "reliably learn an algorithm that is sensitive to individual weights only through their "
    "large-scale statistics",
    source=SOURCE,
    figure="09_losses",
)
TRACTABLE = Claim(
    "PR2",
    short="The loss of symmetric models has a closed form",
    claim="the loss is analytically tractable",
    words="the loss function becomes analytically tractable",
    source=SOURCE,
    figure="09_gaps",
)
SCALINGS = Claim(
    "PR3",
    short="The loss has explicit scalings at high sparsity",
    claim="explicit scalings of the loss at high sparsity",
    words="we give the explicit scalings of the loss at high sparsity",
    source=SOURCE,
    figure="09_losses",
)
NEAR_OPTIMAL = Claim(
    "PR4",
    short="Other activation functions gain at best a constant factor over ReLU",
    claim="near-optimal: other activations gain a constant factor at best",
    words="changing or adding to the activation function any elementwise or filtering operation "
    "can at best improve the model's performance by a constant factor",
    source=SOURCE,
    figure="09_constants",
)
ARTIFICIAL = Claim(
    "PR5",
    short="Artificial weights with the symmetry match the trained loss",
    claim="artificial weights with the symmetry match the trained loss",
    words="we forward-engineer a model with the requisite symmetries and show that its loss "
    "precisely matches that of the trained models",
    source=SOURCE,
    figure="09_training",
)

WITHIN = 0.05  # relative distance of losses that counts as agreement
EXACT = 0.03  # gap of a Hadamard model to the closed form that counts as none
ERRORS = 3  # standard errors that a loss drawn at random may be off by
MANY = 50  # entries on at once, for noise that is nearly Gaussian
POWERS = (1.8, 2.0)  # of p, in between which the loss goes as its square up to a logarithm
LEVEL = 1.05  # growth of a gain, over a factor of nine in p, that counts as none
RARE = 1e-4  # p at which entries count as rare


def statistics(trained: pd.DataFrame, broken: pd.DataFrame, entries: int) -> Finding:
    """PR1 from trained models' losses and those that their row statistics give.

    Args:
        trained: Rows of `measure_trained`.
        broken: Rows of `measure_broken`.
        entries: The number of entries of the broken models.

    Returns:
        The finding; it cannot be asked without a trained model.
    """
    obey = trained["row statistics off by"].abs() <= WITHIN
    written = float((broken.loss / broken.foreseen - 1).abs().max())
    name = "trained models whose loss follows from row statistics within 5 %"
    value = {
        name: f"{int(obey.sum())} of {len(trained)}",
        "within 5 % of the closed form": f"{int(at_closed_form(trained).sum())} of {len(trained)}",
    }
    if len(trained):
        lowest = trained.gap.idxmin()
        value["furthest below it"] = f"{trained.gap[lowest]:+.1%}"
        value["kurtosis off the diagonal there"] = float(trained["kurtosis"][lowest])
    name = f"artificial models of {entries} entries, broken ones too, off by at most"
    value[name] = f"{written:.1%}"
    holds = bool(obey.all()) if len(trained) else None
    if holds is None:
        why = "no model was trained"
    elif holds:
        why = f"row statistics predict the loss of all {len(trained)} trained models within 5 %, "
        why += f"and of artificial ones within {written:.1%}"
    else:
        why = f"{int((~obey).sum())} of {len(trained)} trained models lose other than row "
        why += "statistics predict (median kurtosis off the diagonal "
        why += f"{trained['kurtosis'][~obey].median():.0f}); artificial models within {written:.1%}"
    return Finding(STATISTICS, value, verdict(holds, Evidence.KNOWN), why, evidence=Evidence.KNOWN)


def at_closed_form(trained: pd.DataFrame) -> pd.Series:
    """Which models' losses are within 5 % of the closed form, bool, one for each row."""
    return trained.gap.abs() <= WITHIN


def tractable(check: pd.DataFrame, artificial: pd.DataFrame, entries: int) -> Finding:
    """PR2 from losses drawn at random and from artificial models.

    Args:
        check: Rows of `draw_channels`.
        artificial: Rows of `measure_artificial`.
        entries: The number of entries from which on random projectors count as large.

    Returns:
        The finding; it cannot be asked without a drawn channel, or without a Hadamard model of 50
        entries on at once.
    """
    worst = float(check["off, standard errors"].abs().max())
    enough = artificial[artificial.on >= MANY]
    gaps = {model: float(here.gap.abs().max()) for model, here in enough.groupby("model")}
    large = enough[(enough.model == "projector") & (enough.entries >= entries)].gap.abs()
    value = {"closed form against random draws, standard errors at most": worst}
    if not len(check):
        value = {"drawn channels": 0}
    if "Hadamard" in gaps:
        value["Hadamard models above it, at most"] = f"{gaps['Hadamard']:.1%}"
    if "projector" in gaps:
        value["random projectors"] = f"{gaps['projector']:.1%}"
    if len(large):
        value[f"random projectors of {entries} entries or more"] = f"{large.max():.1%}"
    hadamard = enough[enough.model == "Hadamard"]
    surely = hadamard.gap.abs() - 2 * hadamard.error  # what is not noise of the measurement
    if not len(check):
        holds, why = None, "no channel was drawn at random"
    elif len(hadamard):
        holds = bool(worst <= ERRORS and (surely <= EXACT).all())
        why = f"{len(check)} drawn channels are off by at most {worst:.1f} standard errors "
        why += f"({ERRORS} allowed), {len(hadamard)} Hadamard models by {gaps['Hadamard']:.1%} "
        why += f"({EXACT:.0%} beyond noise allowed)"
    else:
        holds, why = None, f"no Hadamard model with {MANY} entries or more on at once"
    return Finding(TRACTABLE, value, verdict(holds, Evidence.KNOWN), why, evidence=Evidence.KNOWN)


def scalings(sparse: pd.DataFrame) -> Finding:
    """PR3 from the closed form at rare entries.

    Args:
        sparse: Rows of `sparse_limit`.

    Returns:
        The finding; it cannot be asked without p of 1e-4 or below, or if a power or a loss at
        these p is not a number.
    """
    rare = sparse[sparse.p <= RARE]
    ratio = "loss / (p² (1/r - 1) / 3)"
    # A mean would leave out what is not a number.
    known = np.isfinite(rare[["local power of p", "linear power of p", ratio]]).all(axis=1)
    why = ""
    if rare.empty:
        why = f"no p of {RARE:g} or below"
    elif not known.all():
        why = f"powers or losses are undefined for {int((~known).sum())} of {len(rare)} pairs "
        why += f"of p and r at p of {RARE:g} or below"
    if why:
        return Finding(SCALINGS, {}, verdict(None, Evidence.KNOWN), why, evidence=Evidence.KNOWN)
    power = float(rare["local power of p"].mean())
    linear = float(rare["linear power of p"].mean())
    rarest = float(rare.p.min())
    level = rare[rare.p == rarest][ratio]
    value = {
        f"power of p at {_exponent(RARE)} and below": power,
        f"{ratio} at {_exponent(rarest)}, over r": f"{level.min():.2f} to {level.max():.2f}",
    }
    holds = bool(POWERS[0] < power < POWERS[1] and level.max() / level.min() < 1.1)
    why = f"the closed form goes as p to the {power:.2f} and as 1/r - 1 within "
    why += f"{level.max() / level.min() - 1:.0%}, the best linear model as p to the {linear:.2f}"
    return Finding(SCALINGS, value, verdict(holds, Evidence.KNOWN), why, evidence=Evidence.KNOWN)


def _exponent(p: float) -> str:
    """1e-4 in place of 0.0001 or 1e-04."""
    return f"{p:.0e}".replace("e-0", "e-")


def function_gains(losses: Mapping[float, pd.DataFrame]) -> pd.DataFrame:
    """By what factor the best function of a pre-activation is better than ReLU.

    Args:
        losses: r → table of `function_losses`.

    Returns:
        ReLU's loss over the best function's: one row for each p, one column for each r.
    """
    gains = pd.DataFrame({r: table["ReLU"] / table["any"] for r, table in losses.items()})
    gains.columns.name = "ReLU's loss over the best function's, r"
    return gains


def near_optimal(gains: pd.DataFrame) -> Finding:
    """PR4 from the gains of the best function of a pre-activation.

    Args:
        gains: From `function_gains`, p increasing.

    Returns:
        The finding: as entries get rare the gain has to level off. It cannot be asked with fewer
        than three values of p, or if a gain is not a number.
    """
    value = {
        f"best function's loss over ReLU's, r = {r:g}, p = {p:.0e}": float(1 / gains[r].iloc[i])
        for r in gains
        for i, p in enumerate(gains.index)
        if i in (0, 4, 8) and pd.notna(gains[r].iloc[i])
    }
    unknown = int(gains.isna().any(axis=1).sum())
    if len(gains) < 3 or unknown:
        why = f"{len(gains)} values of p are too few to see a gain level off"
        if unknown:
            why = f"the gain is undefined at {unknown} of {len(gains)} values of p"
        return Finding(
            NEAR_OPTIMAL, value, verdict(None, Evidence.KNOWN), why, evidence=Evidence.KNOWN
        )
    holds = bool((gains.iloc[0] / gains.iloc[2] < LEVEL).all())
    usual = gains.loc[0.003:]
    why = "the best function of a pre-activation gains a factor up to "
    if len(usual):
        why += f"{usual.max().max():.1f} for p of 0.003 or more, "
    why += f"{gains.iloc[0].max():.1f} at {_exponent(gains.index[0])}, "
    why += "no more than before" if holds else "still growing"
    return Finding(
        NEAR_OPTIMAL, value, verdict(holds, Evidence.KNOWN), why, evidence=Evidence.KNOWN
    )


def artificial_weights(trained: pd.DataFrame) -> Finding:
    """PR5 from trained models' gaps to the closed form, which Hadamard models reach.

    Args:
        trained: Rows of `measure_trained`.

    Returns:
        The finding; it cannot be asked without a trained model.
    """
    value = {}
    for _, row in trained.iterrows():
        setting = f"{row.entries} entries, r {row.r:g}, p {row.p:g}, step {row['step size']}"
        value[setting] = f"{row.gap:+.1%}"
    match = at_closed_form(trained)
    holds = bool(match.all()) if len(trained) else None
    if holds is None:
        why = "no model was trained"
    else:
        theirs = trained["step size"] == AUTHORS
        why = f"{int(match.sum())} of {len(trained)} trained models end within 5 % of the closed "
        why += f"form, {int((trained.gap < -WITHIN).sum())} below, "
        why += f"{int((trained.gap > WITHIN).sum())} above; with the authors' step size "
        why += f"{int(match[theirs].sum())} of {int(theirs.sum())}"
    return Finding(ARTIFICIAL, value, verdict(holds, Evidence.KNOWN), why, evidence=Evidence.KNOWN)


def closing(artificial: pd.DataFrame, trained: pd.DataFrame, gains: pd.DataFrame) -> str:
    """What the symmetry buys in theory, as far as this run can say.

    Args:
        artificial: Rows of `measure_artificial`.
        trained: Rows of `measure_trained`.
        gains: From `function_gains`.

    Returns:
        One sentence.
    """
    hadamard = artificial[(artificial.model == "Hadamard") & (artificial.on >= MANY)].gap
    reach = int(at_closed_form(trained).sum())
    below = int((trained.gap < -WITHIN).sum())
    ideal = "none is" if not below else f"{below} {'is' if below == 1 else 'are'}"
    found = f"{reach} of {len(trained)} trained models" if len(trained) else "no trained model"
    weights = f"at most {hadamard.abs().max():.1%} from the closed form"
    if not len(hadamard):
        weights = "too small here to be compared with the closed form"
    return (
        f"Weights with the symmetry are {weights}, {found} end within 5 % of it and {ideal} below, "
        f"and no function of their pre-activations gains more than a factor of "
        f"{gains.max().max():.1f} over ReLU for p down to {_exponent(gains.index.min())}."
    )
