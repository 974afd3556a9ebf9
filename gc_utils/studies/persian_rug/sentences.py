"""Sentences of notebook 09, computed from its tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gc_utils.studies.persian_rug.closed_form import antipodal_limit, antipodal_loss, best_symmetric
from gc_utils.studies.persian_rug.models import antipodal_rug, heaviness


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


def plateaus(trained: pd.DataFrame, within: float = 0.05) -> list[str]:
    """Where training stays near the closed form, and where it ends.

    Args:
        trained: Rows of `measure_trained`.
        within: The relative distance that counts as near.

    Returns:
        One sentence for each model.
    """
    said = []
    for _, row in trained.iterrows():
        where = "at" if abs(row.gap) <= within else "above" if row.gap > 0 else "below"
        steps = row["on the plateau, steps"]
        near = "never near" if steps is None else "near from step {} to {}".format(*steps)
        said.append(
            f"{row.entries:5d} entries, r {row.r:g}, p {row.p:g}, step {row['step size']:>9}: "
            f"{near}, in the end {row.gap:+.1%}, {where} the closed form; kurtosis "
            f"{row['kurtosis']:.1f}"
        )
    return said


def readable_models(trained: pd.DataFrame) -> pd.DataFrame:
    """Trained models as a table to read.

    Args:
        trained: Rows of `measure_trained`.

    Returns:
        The same rows by entries, r, p and step size, with the plateau in words.
    """
    table = trained.drop(columns=["model", "loss"]).set_index(["entries", "r", "p", "step size"])
    steps = table["on the plateau, steps"]
    words = ["{} to {}".format(*s) if isinstance(s, tuple) else "never" for s in steps]
    names = {"diagonal_spread": "spread of the diagonal"}
    return table.assign(**{steps.name: words}).rename(columns=names).round(3)


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
