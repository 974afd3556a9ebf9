"""The measurements of notebook 09: channels drawn at random, models written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from gc_utils.progress import progress_bar
from gc_utils.studies.persian_rug.closed_form import (
    best_functions,
    best_symmetric,
    linear_loss,
    noise_variance,
    symmetric_loss,
)
from gc_utils.studies.persian_rug.models import (
    Rug,
    broken_rug,
    gaussian_loss,
    hadamard_rug,
    heaviness,
    monte_carlo,
    projector_rug,
)
from gc_utils.studies.persian_rug.training import train_rug


def draw_channels(
    ratios: Sequence[float], sparsities: Sequence[float], *, draws: int = 400_000, seed: int = 0
) -> pd.DataFrame:
    """Compare the closed form with channels `a x + ξ` that are drawn at random.

    Args:
        ratios: Values of r.
        sparsities: Values of p.
        draws: The number of entries that are drawn for each loss.
        seed: The seed of the draws.

    Returns:
        Two rows for each r and p, at the best diagonal and shift and elsewhere: `r`, `p`, `at`,
        `closed form` and `drawn` (losses), `off, standard errors` (of the drawn loss).
    """
    rng = np.random.default_rng(seed)
    rows = []
    for r in ratios:
        for p in sparsities:
            best = best_symmetric(p, r)
            for name, a, b in (("best", best.a, best.b), ("elsewhere", 0.7, -0.1)):
                x = rng.random(draws) * (rng.random(draws) < p)
                noise = np.sqrt(noise_variance(a, p, r)) * rng.standard_normal(draws)
                lost = (x - np.maximum(a * x + b + noise, 0)) ** 2
                exact = symmetric_loss(a, b, p, r)
                rows.append(
                    {
                        "r": r,
                        "p": p,
                        "at": name,
                        "closed form": exact,
                        "drawn": lost.mean(),
                        "off, standard errors": (lost.mean() - exact)
                        / (lost.std() / np.sqrt(draws)),
                    }
                )
    return pd.DataFrame(rows)


def measure_loss(
    model: Rug, n: int, r: float, p: float, samples: int, seed: int
) -> dict[str, float]:
    """Measure the loss of a model on fresh data.

    Args:
        model: The model.
        n: The number of entries.
        r: Hidden units over entries.
        p: The probability of an entry to be on.
        samples: The number of samples.
        seed: The seed of the data.

    Returns:
        `entries`, `r`, `p`, `loss`, and its `gap` to the closed form with its `error`, both
        relative to the closed form.
    """
    exact = best_symmetric(p, r).loss
    loss, error = monte_carlo(model, n, p, samples=samples, seed=seed)
    return {
        "entries": n,
        "r": r,
        "p": p,
        "loss": loss,
        "gap": loss / exact - 1,
        "error": error / exact,
    }


def measure_artificial(
    entries: int,
    ratios: Sequence[float],
    sparsities: Sequence[float],
    *,
    samples: int = 8000,
    seed: int = 0,
    progress: bool = True,
) -> pd.DataFrame:
    """Losses of Hadamard models and random projectors, at one size and at others.

    Args:
        entries: The number of entries, a power of two; eighths to twice of it are tried, too, for
            r of a quarter and a half at p = 0.05.
        ratios: Values of r.
        sparsities: Values of p.
        samples: The number of samples for a loss at most.
        seed: The seed of the models and of the data.
        progress: Whether to show a bar.

    Returns:
        One row for each model: `model`, `entries`, `r`, `p`, `on` (entries that are on at once,
        p n), `loss`, `gap` (to the closed form) with its standard `error`, and `foreseen` (the gap
        that the row statistics give); the last three relative to the closed form.
    """
    tests = [(entries, r, p) for r in ratios for p in sparsities]
    tests += [(int(n * entries), r, 0.05) for n in (1 / 8, 1 / 4, 1 / 2, 2) for r in (1 / 4, 1 / 2)]
    rows = []
    for n, r, p in progress_bar(tests, desc="artificial models", disable=not progress):
        drawn = min(samples, 16_000_000 // n)
        for name, make in (("Hadamard", hadamard_rug), ("projector", projector_rug)):
            model = make(n, round(r * n), p, seed=seed)
            foreseen = gaussian_loss(model, p) / best_symmetric(p, r).loss - 1
            measured = measure_loss(model, n, r, p, drawn, seed)
            rows.append({"model": name, "on": p * n} | measured | {"foreseen": foreseen})
    columns = ["model", "entries", "r", "p", "on", "loss", "gap", "error", "foreseen"]
    return pd.DataFrame(rows)[columns]


def measure_broken(
    entries: int, *, p: float = 0.1, r: float = 0.5, samples: int = 4000, seed: int = 0
) -> pd.DataFrame:
    """Losses of a Hadamard model whose symmetry is broken by more and more.

    Args:
        entries: The number of entries, a power of two.
        p: The probability of an entry to be on.
        r: Hidden units over entries.
        samples: The number of samples for a loss.
        seed: The seed of the model, of what breaks it, and of the data.

    Returns:
        One row for each `kind` and `amount` (see `broken_rug`): `loss` with its standard `error`,
        and `foreseen` by the row statistics, all relative to the closed form.
    """
    exact = best_symmetric(p, r).loss
    whole = hadamard_rug(entries, round(r * entries), p, seed=seed)
    rows = []
    for kind in ("diagonal", "spectrum"):
        for amount in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
            model = broken_rug(whole, amount, p, kind=kind, seed=seed)
            loss, error = monte_carlo(model, entries, p, samples=samples, seed=seed)
            rows.append(
                {
                    "kind": kind,
                    "amount": amount,
                    "loss": loss / exact,
                    "error": error / exact,
                    "foreseen": gaussian_loss(model, p) / exact,
                }
            )
    return pd.DataFrame(rows)


def four_rugs(
    entries: int, *, p: float = 0.1, r: float = 3 / 8, steps: int = 1500, seed: int = 0
) -> dict[str, Rug]:
    """Models to look at: two with Hadamard rows, a random projector, and a trained one.

    Args:
        entries: The number of entries, a power of two.
        p: The probability of an entry to be on.
        r: Hidden units over entries.
        steps: The number of Adam's steps of the trained one.
        seed: The seed of rows, projector and training.

    Returns:
        Title → model.
    """
    units = round(r * entries)
    return {
        "Hadamard, first rows": hadamard_rug(entries, units, p, seed=None),
        "Hadamard, random rows": hadamard_rug(entries, units, p, seed=seed),
        "random projector": projector_rug(entries, units, p, seed=seed),
        "trained": train_rug(entries, units, p, steps=steps, lr=2e-3, seed=seed)[0],
    }


def compare_rugs(
    rugs: Mapping[str, Rug], p: float, *, samples: int = 8000, seed: int = 0
) -> pd.DataFrame:
    """Losses of models beside those that their row statistics give.

    Args:
        rugs: Title → model.
        p: The probability of an entry to be on.
        samples: The number of samples for a loss.
        seed: The seed of the data.

    Returns:
        One row for each title (the index): `loss` and `foreseen`, both over the closed form, and
        `kurtosis` of W off the diagonal (0 for a Gaussian).
    """
    rows = []
    for title, rug in rugs.items():
        units, entries = rug.w_in.shape
        exact = best_symmetric(p, units / entries).loss
        loss, _ = monte_carlo(rug, entries, p, samples=samples, seed=seed)
        rows.append(
            {
                "model": title,
                "loss": loss / exact,
                "foreseen": gaussian_loss(rug, p) / exact,
                "kurtosis": heaviness(rug)["kurtosis"],
            }
        )
    return pd.DataFrame(rows).set_index("model")


def sparse_limit(
    ratios: Sequence[float], ps: Sequence[float] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)
) -> pd.DataFrame:
    """How the closed form scales as entries get rare.

    Args:
        ratios: Values of r.
        ps: Values of p.

    Returns:
        One row for each p and r: `loss / (p² (1/r - 1) / 3)`; `local power of p` of the closed form
        and `linear power of p` of the best linear model (from p to 1.1 p, NaN for p of 0.9 or
        more); and `linear / ReLU`, the ratio of both losses.
    """
    rows = []
    for p in ps:
        for r in ratios:
            loss, line = best_symmetric(p, r).loss, linear_loss(p, r)
            near = p < 0.9
            up = best_symmetric(1.1 * p, r).loss if near else np.nan
            line_up = linear_loss(1.1 * p, r) if near else np.nan
            rows.append(
                {
                    "p": p,
                    "r": r,
                    "loss / (p² (1/r - 1) / 3)": loss / (p**2 * (1 / r - 1) / 3),
                    "local power of p": np.log(up / loss) / np.log(1.1),
                    "linear power of p": np.log(line_up / line) / np.log(1.1),
                    "linear / ReLU": line / loss,
                }
            )
    return pd.DataFrame(rows)


def function_losses(
    ratios: Sequence[float] = (1 / 8, 1 / 4, 1 / 2), points: int = 13
) -> dict[float, pd.DataFrame]:
    """Least losses of each kind of function of the pre-activations, from p = 1e-6 to 1/2.

    Args:
        ratios: Values of r.
        points: The number of values of p, evenly spaced on a logarithmic scale.

    Returns:
        r → table of `best_functions`, with p as the index.
    """
    ps = np.geomspace(1e-6, 0.5, points)
    return {
        r: pd.DataFrame([{"p": p} | best_functions(p, r) for p in ps]).set_index("p")
        for r in ratios
    }


def nonlinear_gain(
    ratios: Sequence[float] | None = None, ps: Sequence[float] | None = None
) -> pd.DataFrame:
    """By what factor the symmetric ReLU model is better than the best linear one.

    Args:
        ratios: Values of r; None for 25 of them from 0.05 to 0.95.
        ps: Values of p; None for 25 of them from 0.005 to 0.8.

    Returns:
        Linear loss over the closed form: one row for each r, one column for each p.
    """
    ratios = np.linspace(0.05, 0.95, 25) if ratios is None else ratios
    ps = np.geomspace(0.005, 0.8, 25) if ps is None else ps
    gain = [[linear_loss(p, r) / best_symmetric(p, r).loss for p in ps] for r in ratios]
    return pd.DataFrame(gain, index=pd.Index(ratios, name="r"), columns=pd.Index(ps, name="p"))
