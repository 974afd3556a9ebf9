"""Sentences of notebook 09, computed from its tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gc_utils.studies.persian_rug.closed_form import antipodal_limit, antipodal_loss, best_symmetric
from gc_utils.studies.persian_rug.models import antipodal_rug, heaviness
from gc_utils.studies.persian_rug.plateaus import LEFT, WITHIN, sizes_compared
from gc_utils.studies.persian_rug.trained import Setting, training_grid


def projector_price(artificial: pd.DataFrame, entries: int) -> str:
    """How random projectors compare with Hadamard models, and whether rows predict it.

    Args:
        artificial: Rows of `measure_artificial`.
        entries: The number of entries of the models to compare.

    Returns:
        A sentence.
    """
    means = artificial[artificial.entries == entries].groupby("model")[["gap", "foreseen"]].mean()
    measured, foreseen = means.loc["projector"] - means.loc["Hadamard"]
    way = "more" if measured > 0 else "less"
    return (
        f"Random projectors of {entries} entries lose {abs(measured):.1%} of the closed form {way} "
        f"than Hadamard models; the rows alone predict {foreseen:+.1%}."
    )


def rows_predict(compared: pd.DataFrame, within: float = 0.05) -> list[str]:
    """Which models lose what their row statistics give.

    Args:
        compared: Rows of `compare_rugs`.
        within: The relative distance that counts as agreement.

    Returns:
        One sentence for each model.
    """
    return [
        f"{title}: the loss is {row.loss:.2f} of the closed form, row statistics give "
        f"{row.foreseen:.2f}: they {'predict' if agrees else 'do not predict'} it; kurtosis off "
        f"the diagonal {row['kurtosis']:.1f}."
        for title, row in compared.iterrows()
        for agrees in (abs(row.loss / row.foreseen - 1) <= within,)
    ]


def antipodal_pairs(p: float, entries: int) -> str:
    """How antipodal pairs compare with the closed form at r = 1/2.

    Args:
        p: The probability of an entry to be on.
        entries: The number of entries of the model whose kurtosis is measured, an even number.

    Returns:
        A sentence.
    """
    gap = antipodal_loss(p) / best_symmetric(p, 0.5).loss - 1
    return (
        f"At r = 1/2 and p = {p:g} the loss of antipodal pairs is {gap:+.0%} from the closed form; "
        f"it is below it for p up to {antipodal_limit():.2f}. Off the diagonal W has a kurtosis "
        f"of {heaviness(antipodal_rug(entries))['kurtosis']:.0f} with {entries} entries."
    )


def plateaus(trained: pd.DataFrame) -> list[str]:
    """When each training is on the plateau, and where it ends.

    Args:
        trained: Rows of `measure_trained`.

    Returns:
        One sentence for each model.
    """
    said = []
    for _, row in trained.iterrows():
        when = "never on the plateau"
        if pd.notna(row["last"]):
            when = f"on the plateau from step {row['first']:,.0f} to {row['last']:,.0f}"
        said.append(
            f"{row.entries:,} entries, r {row.r:g}, p {row.p:g}, {row['training']}: {when}, "
            f"{row.end:+.1%} from the closed form at step {row.steps:,} ({row.fate}); "
            f"{row['paired in the end']:.0%} of the entries in pairs."
        )
    return said


def lasting(trained: pd.DataFrame) -> str:
    """How long the plateau lasts, by entries and by p.

    Args:
        trained: Rows of `measure_trained`, of one way of training.

    Returns:
        A sentence about the r and p, and one about the r and entries, with the most models that
        have been on the plateau; a sentence that there are none.
    """
    on = trained[trained["last"].notna()]
    said = []
    for label, fixed, by in (
        ("entries", ["r", "p"], "entries"),
        ("p", ["r", "entries"], "p"),
    ):
        groups = [(key, rows) for key, rows in on.groupby(fixed) if len(rows) > 1]
        if not groups:
            continue
        key, rows = max(groups, key=lambda group: len(group[1]))
        rows = rows.sort_values(by)
        steps = rows["last"].to_numpy()
        grows = bool((np.diff(steps) > 0).all())
        way = "grows" if grows else "falls" if (np.diff(steps) < 0).all() else "goes up and down"
        ends = [
            f"{row['last']:,.0f}{'' if row.fate == LEFT else ' or later'} at {row[by]:,}"
            for _, row in rows.iterrows()
        ]
        at = " and ".join(f"{name} = {one:g}" for name, one in zip(fixed, key, strict=True))
        said.append(f"At {at} the last step on the plateau {way} with {label}: {', '.join(ends)}.")
    return " ".join(said) or "No two of these models can be compared in how long they stay."


def rows_on_plateau(trained: pd.DataFrame) -> str:
    """Whether row statistics give the loss of models while they are on the plateau.

    Args:
        trained: Rows of `measure_trained`, of one way of training.

    Returns:
        A sentence.
    """
    on = trained[trained["last"].notna()]
    if not len(on):
        return "No model has been on the plateau."
    same = sizes_compared(on)
    said = ", ".join(
        f"{row['rows off on it']:.0%} for {row.entries:,} entries" for _, row in same.iterrows()
    )
    good = int((on["rows off on it"] <= WITHIN).sum())
    return (
        f"On the plateau row statistics are off by {said} (r = {same.r.iloc[0]:g}, "
        f"p = {same.p.iloc[0]:g}; medians over steps), and within 5 % for {good} of all "
        f"{len(on)} models."
    )


def replaced(trained: pd.DataFrame) -> str:
    """What the models that left the plateau have become.

    Args:
        trained: Rows of `measure_trained`.

    Returns:
        A sentence: how much lower their loss is, whether the rows give it, and how many entries
        are in antipodal pairs, at r = 1/2 and elsewhere.
    """
    left = trained[trained.fate == LEFT]
    if not len(left):
        return "No model has left the plateau."
    said = []
    for where, rows in (("r = 1/2", left[left.r == 0.5]), ("other r", left[left.r != 0.5])):
        if len(rows):
            obey = int((rows["row statistics off by"].abs() <= WITHIN).sum())
            now, before = rows["paired in the end"].median(), rows["paired at last"].median()
            ends = dict.fromkeys(f"{gap:+.0%}" for gap in (rows.gap.min(), rows.gap.max()))
            said.append(
                f"at {where} the {len(rows)} that left end {' to '.join(ends)} "
                f"from the closed form, row statistics give the loss of {obey}, and {now:.0%} of "
                f"the entries are in antipodal pairs, {before:.0%} at the last step on the plateau"
            )
    return f"When it was left: {'; '.join(said)} (medians over models)."


def not_run(trained: pd.DataFrame) -> str:
    """Which models of the full grid were not trained, or not for as long.

    Args:
        trained: Rows of `measure_trained`.

    Returns:
        A sentence.
    """
    made = {Setting(*row) for row in trained[list(Setting._fields)].itertuples(index=False)}
    steps = {setting[:4]: setting.steps for setting in made}
    full = training_grid("full")
    missing = [setting for setting in full if steps.get(setting[:4], 0) < setting.steps]
    beyond = "The authors' plots go to 8,192 entries, which are in no grid."
    if not missing:
        return f"All {len(full)} models of the full grid were trained. {beyond}"
    shorter = [setting for setting in missing if setting[:4] in steps]
    sizes = sorted({setting.entries for setting in missing} - {s.entries for s in made})
    said = f"Of the full grid's {len(full)} models {len(missing)} were not trained to their end"
    if shorter:
        said += f" ({len(shorter)} for fewer steps)"
    if sizes:
        said += f", and none of {', '.join(f'{n:,}' for n in sizes)} entries at all"
    return f'{said} (size = "full"). {beyond}'


def readable_models(trained: pd.DataFrame) -> pd.DataFrame:
    """Trained models as a table to read.

    Args:
        trained: Rows of `measure_trained`.

    Returns:
        The same rows by entries, r, p and training, with the plateau in words.
    """
    words = [
        f"{row['first']:.0f} to {row['last']:.0f}" if pd.notna(row["last"]) else "never"
        for _, row in trained.iterrows()
    ]
    table = trained.assign(**{"on the plateau, steps": words})
    table = table.set_index(["entries", "r", "p", "training"])
    columns = ["steps", "gap", "error", "row statistics off by", "kurtosis", "diagonal_spread"]
    columns += ["on the plateau, steps", "fate", "paired in the end"]
    names = {
        "diagonal_spread": "spread of the diagonal",
        "paired in the end": "entries in pairs",
    }
    return table[columns].rename(columns=names).round(3)


def falling_loss(sparse: pd.DataFrame) -> str:
    """How fast losses fall where entries are rarely on.

    Args:
        sparse: Rows of `sparse_limit`.

    Returns:
        A sentence about the least p.
    """
    rare = sparse[sparse.p == sparse.p.min()]
    return (
        f"At p = {sparse.p.min():.0e} the closed form falls as p to the power "
        f"{rare['local power of p'].mean():.2f}, the best linear model as p to the power "
        f"{rare['linear power of p'].mean():.2f} (means over r)."
    )


def price_of_relu(gains: pd.DataFrame) -> str:
    """By what factor the best function beats ReLU, where entries are rarely and often on.

    Args:
        gains: From `claims.function_gains`: a row a p, a column an r.

    Returns:
        A sentence.
    """
    said = [
        f"at p = {p:.1g} {gains.loc[p].min():.2f} to {gains.loc[p].max():.2f} times"
        for p in (gains.index.min(), gains.index.max())
    ]
    return f"ReLU's loss over that of the best function of the same numbers: {', '.join(said)}."


def sparsity_pays(gain: pd.DataFrame) -> str:
    """Where the nonlinearity pays, and where linear algebra is nearly as good.

    Args:
        gain: From `nonlinear_gain`.

    Returns:
        A sentence with the largest and the least gain and where they are.
    """
    values = gain.to_numpy()
    (i, j), (k, m) = (np.unravel_index(f(values), values.shape) for f in (np.argmax, np.argmin))
    return (
        f"The nonlinearity pays most at p = {gain.columns[j]:.3g}, r = {gain.index[i]:.2g} (a "
        f"factor of {values[i, j]:.1f}) and least at p = {gain.columns[m]:.3g}, "
        f"r = {gain.index[k]:.2g} ({values[k, m]:.2f})."
    )
