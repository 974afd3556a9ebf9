"""The claims of Cowsik et al. 2024: findings from tables.

The paper's subject is sparse data that are drawn, and models written down or trained on them, so
that everything here is its own subject with a known truth: `Evidence.KNOWN`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, verdict
from gc_utils.studies.persian_rug.plateaus import (
    AUTHORS_STEPS,
    LEFT,
    NOT_YET,
    STILL_ON,
    WITHIN,
    largest_decided,
    lengthens,
    sizes_compared,
)
from gc_utils.studies.persian_rug.trained import AUTHORS

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
    figure="09_training",
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

EXACT = 0.03  # gap of a Hadamard model to the closed form that counts as none
ERRORS = 3  # standard errors that a loss drawn at random may be off by
MANY = 50  # entries on at once, for noise that is nearly Gaussian
POWERS = (1.8, 2.0)  # of p, in between which the loss goes as its square up to a logarithm
LEVEL = 1.05  # growth of a gain, over a factor of nine in p, that counts as none
RARE = 1e-4  # p at which entries count as rare


def statistics(trained: pd.DataFrame, broken: pd.DataFrame, entries: int) -> Finding:
    """PR1 from trained models' losses and those that their row statistics give.

    The claim is about large models that learn reliably, so that it is judged by all models of the
    most entries, among those of the authors' setting whose fate is decided (`largest_decided`).

    Args:
        trained: Rows of `measure_trained`.
        broken: Rows of `measure_broken`.
        entries: The number of entries of the broken models.

    Returns:
        The finding; it cannot be asked without a model of the authors' setting whose fate is
        decided.
    """
    theirs = trained[trained["training"] == AUTHORS]
    judged = largest_decided(theirs)
    obey = judged["row statistics off by"].abs() <= WITHIN
    written = f"{float((broken.loss / broken.foreseen - 1).abs().max()):.1%}"
    value = {}
    if len(judged):
        name = "row statistics give the loss in the end within 5 %"
        value[name] = _share(obey, judged)
    on = sizes_compared(theirs)
    if len(on):
        said = [f"{row.entries:,}: {row['rows off on it']:.0%}" for _, row in on.iterrows()]
        name = f"row statistics off on the plateau by entries, r {on.r.iloc[0]:g}, "
        value[f"{name}p {on.p.iloc[0]:g}"] = ", ".join(said)
    value |= _durations(theirs)
    left = theirs[theirs.fate == LEFT]
    if len(left):
        least, most = left["paired in the end"].min(), left["paired in the end"].max()
        value["entries in antipodal pairs after it was left"] = f"{least:.0%} to {most:.0%}"
    value[f"artificial models of {entries} entries, broken ones too, off by at most"] = written
    holds = bool(obey.all()) if len(judged) else None
    if holds is None:
        why = _undecided(theirs)
    elif holds:
        why = f"row statistics predict the final loss of {_share(obey, judged)} within 5 %, "
        why += f"and of artificial ones within {written}"
    elif on_plateau(theirs) and bool((judged["rows off on it"] <= WITHIN).all()):
        why = _plateau_reason(theirs)
    else:
        why = f"{_share(~obey, judged)} lose other than row statistics predict "
        why += f"(median kurtosis off the diagonal {judged['kurtosis'][~obey].median():.0f}); "
        why += f"artificial models within {written}"
    if not holds:
        value["what would decide it"] = _decider(theirs)
    return Finding(STATISTICS, value, verdict(holds, Evidence.KNOWN), why, evidence=Evidence.KNOWN)


def on_plateau(models: pd.DataFrame) -> bool:
    """Whether a claim holds on a plateau that lengthens with n, left when training goes on.

    Args:
        models: Rows of `measure_trained`, of one way of training.

    Returns:
        True if every model that was trained for long enough has been on the plateau, all those with
        the most entries whose fate is decided left it, and the last step on it grows with n.
    """
    reached = models[models.fate != NOT_YET]
    left = (largest_decided(models).fate == LEFT).all()
    return bool(len(reached) and reached["last"].notna().all() and left and lengthens(models))


def _plateau_reason(models: pd.DataFrame) -> str:
    """The reason that goes with `on_plateau`, with the two ends of the longest row of sizes."""
    same = sizes_compared(models)
    few, many = (
        f"{row['last']:,.0f}{'' if row.fate == LEFT else ' or later'} of {row.entries:,}"
        for row in (same.iloc[0], same.iloc[-1])
    )
    return (
        f"holds on a plateau that lengthens with n (last step {few} entries, {many}), "
        "left when training goes on"
    )


def _share(which: pd.Series, judged: pd.DataFrame) -> str:
    """ "2 of 5 trained models of 256 entries"."""
    size = f"{judged.entries.max():,} entries"
    return f"{int(which.sum())} of {len(judged)} trained models of {size}"


def _undecided(models: pd.DataFrame) -> str:
    """Why a claim about trained models cannot be asked."""
    if not len(models):
        return "no model was trained in the authors' setting"
    on, before = int((models.fate == STILL_ON).sum()), int((models.fate == NOT_YET).sum())
    return (
        f"{on} models are still on the plateau and {before} not there yet after at most "
        f"{models.steps.max():,} steps; the authors make {AUTHORS_STEPS:,}"
    )


def _decider(models: pd.DataFrame) -> str:
    """What would decide a claim about large models that was not reproduced or not tested."""
    known = largest_decided(models)
    size = f"models of more than {known.entries.max():,} entries" if len(known) else "models"
    return f"{size} trained for the authors' {AUTHORS_STEPS:,} steps, or until they leave"


def _durations(models: pd.DataFrame) -> dict[str, str]:
    """The last step on the plateau by p, r and entries."""
    value = {}
    for (r, p), same in models.groupby(["r", "p"], sort=False):
        said = [
            f"{row.entries:,}: {row['last']:,.0f}{' or later' if row.fate != LEFT else ''}"
            if pd.notna(row["last"])
            else f"{row.entries:,}: {row.fate}"
            for _, row in same.sort_values("entries").iterrows()
        ]
        value[f"last step on the plateau by entries, r {r:g}, p {p:g}"] = ", ".join(said)
    return value


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

    It is judged by the same models as `statistics`.

    Args:
        trained: Rows of `measure_trained`.

    Returns:
        The finding; it cannot be asked without a model of the authors' setting whose fate is
        decided.
    """
    theirs = trained[trained["training"] == AUTHORS]
    judged = largest_decided(theirs)
    match = at_closed_form(judged)
    value = {}
    for n, same in theirs.groupby("entries"):
        name = f"{n:,} entries, after {same.steps.max():,} steps, from the closed form"
        value[name] = f"{same.gap.iloc[0]:+.1%}"
        if len(same) > 1:
            value[name] = f"{same.gap.min():+.1%} to {same.gap.max():+.1%} ({len(same)} models)"
    others = trained[trained["training"] != AUTHORS]
    for _, row in others.iterrows():
        name = f"{row.entries:,} entries, r {row.r:g}, p {row.p:g}, {row['training']}"
        value[name] = f"{row.gap:+.1%}"
    holds = bool(match.all()) if len(judged) else None
    if holds is None:
        why = _undecided(theirs)
    elif not holds and on_plateau(theirs):
        why = _plateau_reason(theirs)
    else:
        why = f"{_share(match, judged)} end within 5 % of the closed form, "
        why += f"{int((judged.gap < -WITHIN).sum())} below, {int((judged.gap > WITHIN).sum())} "
        why += "above; the authors' setting"
    if not holds:
        value["what would decide it"] = _decider(theirs)
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
