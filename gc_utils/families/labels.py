"""Labels of features from their responses to parametric stimuli."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from gc_utils.errors import UserError

OTHER = "other"  # the label of a feature that no kind of stimulus and no family claims


# --- labels --------------------------------------------------------------------------------------


def label_features(
    responses: torch.Tensor,
    table: pd.DataFrame,
    *,
    ratio: float = 1.5,
    minimum: float | torch.Tensor = 0.0,
) -> pd.DataFrame:
    """Name features by what they respond to: the kind of stimulus with the strongest response.

    A feature takes the kind of its strongest response at equal contrast if that is at least
    `ratio` times the strongest response to any other kind, else the label "other".

    Args:
        responses: codes `(S, m)`, not negative, to `S` parametric stimuli.
        table: `S` rows with the columns `kind` and, where there is one, `orientation` (degrees)
            and `contrast`. With several contrasts only the largest that all kinds share counts.
        ratio: how clearly a kind has to win.
        minimum: smallest response that counts, one number or one a feature `(m,)`.

    Returns:
        One row a feature: `feature`, `label`, `kind` (the strongest whether or not it won),
        `response`, `kind2` and `response2` (the next kind), `margin` (`response / response2`),
        `best_orientation` (degrees, of the strongest stimulus), `best_stimulus` (row of `table`).
        A feature that never responds is "other" with NaN margin; without any stimuli (activations
        that came without their network) all are.

    Raises:
        UserError: if the table does not fit, a response is negative or not finite, or the kinds
            share no contrast.
    """
    responses = torch.as_tensor(responses).detach().cpu().double().numpy()
    if responses.ndim != 2 or len(responses) != len(table) or "kind" not in table:
        raise UserError(
            f"responses of shape {responses.shape} and a table of {len(table)} rows with columns "
            f"{', '.join(map(str, table.columns))}: expected one row a stimulus and a column kind."
        )
    if not (responses >= 0).all() or not np.isfinite(responses).all():
        raise UserError("responses must be finite and not negative.")
    if not len(table):
        return _without_labels(responses.shape[1])
    rows = _equal_contrast(table)
    kinds = table["kind"].astype(str).to_numpy()[rows]
    names = np.array(sorted(set(kinds)))
    if len(names) < 2:
        raise UserError(f"only {len(names)} kind of stimulus: 2 are needed to compare.")
    values = responses[rows]
    strongest = np.stack([values[kinds == name].max(0) for name in names])  # (kinds, m)
    order = np.argsort(-strongest, axis=0, kind="stable")
    feature = np.arange(responses.shape[1])
    top, second = strongest[order[0], feature], strongest[order[1], feature]
    minimum = np.broadcast_to(np.asarray(minimum, dtype=float), top.shape)
    live = (top > 0) & (top >= minimum)
    with np.errstate(divide="ignore", invalid="ignore"):
        margin = np.where(top > 0, top / second, np.nan)
    best = rows[values.argmax(0)]
    orientation = np.full(len(table), np.nan)
    if "orientation" in table:
        orientation = pd.to_numeric(table["orientation"]).to_numpy(dtype=float)
    return pd.DataFrame(
        {
            "feature": feature,
            "label": np.where(live & (margin >= ratio), names[order[0]], OTHER),
            "kind": names[order[0]],
            "response": top,
            "kind2": names[order[1]],
            "response2": second,
            "margin": margin,
            "best_orientation": np.where(top > 0, orientation[best], np.nan),
            "best_stimulus": best,
        }
    )


def _without_labels(features: int) -> pd.DataFrame:
    """The table of `label_features` where nothing was shown to the features."""
    texts = {"label": OTHER, "kind": OTHER, "kind2": OTHER}
    numbers = {"response": 0.0, "response2": 0.0, "margin": np.nan, "best_orientation": np.nan}
    table = pd.DataFrame({"feature": np.arange(features)}).assign(**texts, **numbers)
    order = "feature label kind response kind2 response2 margin best_orientation".split()
    return table[order].assign(best_stimulus=-1)


def _equal_contrast(table: pd.DataFrame) -> np.ndarray:
    """Positions of the stimuli with the largest contrast that all kinds share."""
    if "contrast" not in table:
        return np.arange(len(table))
    contrast = table["contrast"].abs().round(6)  # dark on bright is no weaker
    shared = set.intersection(*(set(c) for _, c in contrast.groupby(table["kind"])))
    if not shared:
        raise UserError("the kinds of stimuli share no contrast; expected one that all have.")
    return np.flatnonzero(contrast == max(shared))


def unit_numbers(text: str) -> tuple[int, ...]:
    return tuple(int(unit) for unit in text.split())
