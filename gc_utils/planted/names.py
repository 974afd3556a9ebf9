"""What planted features are called, from one dictionary and from several of different samples.

A template that is symmetric but for a part of its power has the name that its own autocorrelation
`ρ` gives it. A dictionary that misses the other part has learned something more symmetric, and one
that adds noise something less so. The second can be corrected with another dictionary, trained on
other samples of the same planted one; the first cannot, for both may miss the same part.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from gc_utils.planted.orbits import PlantedOrbits, find_stabilisers
from gc_utils.planted.recovery import FOUND, cosines
from gc_utils.symmetry.calibration import calibrated_report
from gc_utils.symmetry.noise_corrected import noise_corrected
from gc_utils.symmetry.spectra import autocorrelation


def compare_names(
    planted: PlantedOrbits, learned: torch.Tensor, replicates: Sequence[torch.Tensor]
) -> pd.DataFrame:
    """The names and autocorrelations of all planted features, raw and noise-corrected.

    Args:
        planted: The truth.
        learned: Transform blocks of a dictionary, `(m', |G|, C)`, features that never fire left
            out.
        replicates: Blocks of dictionaries that were trained on other samples of the same planted
            dictionary.

    Returns:
        One row a planted feature: `stabiliser` (the true name), `part` (that of its symmetric
        part), `found` (whether a learned feature has a cosine of 0.9 with it), the names `raw` and
        `corrected` of the nearest learned feature, and the least `ρ` over its symmetric part's
        elements other than the identity: `rho_true` of the planted feature, `rho_raw` and
        `rho_corrected` of the learned one, with the interval `low` to `high` of the last; NaN for
        a feature whose symmetric part is trivial, and where there is no counterpart.

    Raises:
        UserError: If shapes do not fit.
    """
    g = planted.group
    V = learned.detach().float()
    near, index = cosines(planted.V, V).max(1)
    raw = calibrated_report(V, g).stabiliser.to_numpy()[index.numpy()]
    corrected = calibrated_report(V, g, replicates=replicates).stabiliser.to_numpy()[index.numpy()]
    nc = noise_corrected(V, replicates, g)
    rho = {
        "rho_true": autocorrelation(planted.V, g),
        "rho_raw": autocorrelation(V, g)[index],
        "rho_corrected": nc.rho[index],
        "low": nc.low[index],
        "high": nc.high[index],
    }
    parts = {name: find_stabilisers(g, name)[0] for name in set(planted.symmetric_parts)}
    rows = []
    for i, name in enumerate(planted.symmetric_parts):
        row = dict.fromkeys(rho, np.nan)
        inside = [e for e in parts[name].elements if e]
        if inside:
            least = inside[int(rho["rho_true"][i, inside].argmin())]
            row = {key: float(values[i, least]) for key, values in rho.items()}
        rows.append(row)
    table = pd.DataFrame(rows)
    table.insert(0, "stabiliser", planted.stabilisers)
    table.insert(1, "part", planted.symmetric_parts)
    table.insert(2, "found", (near >= FOUND).numpy())
    table.insert(3, "raw", raw)
    table.insert(4, "corrected", corrected)
    return table


def name_shares(names: pd.DataFrame) -> dict[str, float]:
    """How found features with a symmetric part are named, as shares and means.

    Args:
        names: From `compare_names`.

    Returns:
        For the names `raw` and `corrected`, the shares `…_true` (the feature's own stabiliser),
        `…_part` (that of its symmetric part, where this is another) and `…_other`, of the features
        found whose symmetric part is not trivial; the means `rho_true`, `rho_raw` and
        `rho_corrected` over these, `rho_covered`, the share of noise-corrected intervals that hold
        the true `ρ`; and `found_and_named_raw`, of all planted features. NaN where nothing was
        found.
    """
    judged = names[names.found & (names.part != "C1")]
    shares = {}
    for which in ("raw", "corrected"):
        true = judged[which] == judged.stabiliser
        part = (judged[which] == judged.part) & ~true
        shares |= {
            f"{which}_true": float(true.mean()),
            f"{which}_part": float(part.mean()),
            f"{which}_other": float((~true & ~part).mean()),
        }
    shares |= {key: float(judged[key].mean()) for key in ("rho_true", "rho_raw", "rho_corrected")}
    known = judged[judged.low.notna()]
    inside = (known.low <= known.rho_true) & (known.rho_true <= known.high)
    shares["rho_covered"] = float(inside.mean())
    right = names.found & (names.raw == names.stabiliser)
    return shares | {"found_and_named_raw": float(right.mean())}
