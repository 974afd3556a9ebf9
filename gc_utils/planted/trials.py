"""Methods that are asked to find a planted dictionary, and the trials that compare them.

Every method gets the same training orbits and hands back blocks `V[i, g]`, whatever it calls them,
so that all are scored in the same way. A *trial* is one method on one planted problem; `run_trials`
runs many side by side, writes each to a file as it ends, and skips what is there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import pandas as pd
import torch

from gc_utils.closure import code_digest
from gc_utils.errors import choose
from gc_utils.ledger import Ledger
from gc_utils.parallel import side_by_side
from gc_utils.planted.methods import METHODS, Found, Problem
from gc_utils.planted.names import compare_names, name_shares
from gc_utils.planted.recovery import FOUND, cosines, oracle_fvu, recovery

WEAK = 0.5  # of the root mean square norm of the planted features


def trial(method: str, problem: Problem) -> dict[str, object]:
    """Let one method try one problem; a flat dict of settings and scores.

    Where the problem asks for replicates, the method tries other samples of the same dictionary as
    well: features are then named by the noise-corrected autocorrelation, and the scores hold what
    they would be called without (`name_shares`).

    Raises:
        UserError: for an unknown method or control.
    """
    choose(method, METHODS, "method")
    seen, held_out = problem.draw()
    started = time.perf_counter()
    found = METHODS[method](problem, seen, held_out)
    seconds = time.perf_counter() - started
    used = _used(found)
    row = {**_key(method, problem), "code": _code()}
    row |= {
        "fvu": found.fvu,
        "fvu_oracle": oracle_fvu(held_out),
        "active": found.l0,
        "parameters": found.parameters,
    }
    row |= {"seconds": round(seconds, 2)}
    row |= {"dead": float("nan") if used is None else float(1 - used.float().mean())}
    if found.V.ndim == 4:  # subspaces: only what they hold can be asked
        best = cosines(held_out.V, found.V).amax(1)
        row |= {"cosine_max": float(best.mean()), "recall": float((best >= FOUND).float().mean())}
        return row
    if used is not None and int(used.sum()) < 2:  # it has learned nothing
        nothing = ("cosine_max", "recall", "precision", "found_and_named", "stabiliser_exact")
        return row | dict.fromkeys(nothing, 0.0)
    again = [_alive(METHODS[method](other, *other.draw())) for other in problem.others()]
    again = [V for V in again if len(V) > 1]
    scores = recovery(
        *(held_out, found.V),
        families=found.families,
        codes=found.codes,
        used=used,
        replicates=again,
    )
    if found.coherence is not None:
        row["coherence"] = float(found.coherence.nanmedian())
    row |= scores.scalars() | {f"kind {k}": v for k, v in scores.by_kind.items()}
    row |= _by_norm(held_out.V, scores.nearest)
    if found.families is None:  # a confidence for every name, and whether it is right
        row["stated"] = scores.learned.confidence.round(3).tolist()
        row["right"] = scores.learned.right.astype(int).tolist()
    if again:
        row |= name_shares(compare_names(held_out, _alive(found), again))
    return row


def _by_norm(V: torch.Tensor, nearest: pd.DataFrame) -> dict[str, float]:
    """The recall of features that are weaker than half the root mean square norm, and of others."""
    norms = V.flatten(1).norm(dim=1)
    weak = (norms < WEAK * norms.square().mean().sqrt()).numpy()
    found = (nearest.cosine >= FOUND).to_numpy()
    return {
        "weak": float(weak.mean()),
        "recall_weak": float(found[weak].mean()) if weak.any() else float("nan"),
        "recall_strong": float(found[~weak].mean()) if not weak.all() else float("nan"),
    }


def _used(found: Found) -> torch.Tensor | None:
    """Which features ever fire, bool `(m',)`; None without codes."""
    return None if found.codes is None else (found.codes > 1e-6).any(0)


def _alive(found: Found) -> torch.Tensor:
    used = _used(found)
    return found.V if used is None else found.V[used]


def run_trials(
    path: str | Path,
    trials: Iterable[tuple[str, Problem]],
    *,
    workers: int = 2,
    progress: bool = True,
) -> pd.DataFrame:
    """Run trials, several at a time, and keep every result.

    Args:
        path: the file of a `Ledger`; trials that are in it are not run again, unless the code has
            changed since.
        trials: method and problem of each.
        workers: processes.
        progress: show a bar.

    Returns:
        One row a trial, in the order asked for.
    """
    wanted = list(dict.fromkeys(trials))
    ledger = Ledger(path, code=_code())  # what other code has found is not to be trusted
    todo = [t for t in wanted if ledger.find(**_key(*t)) is None]
    for i, row in side_by_side(trial, todo, workers=workers, progress=progress):
        ledger.add(row, **_key(*todo[i]))
    return pd.DataFrame([ledger.find(**_key(*t)) for t in wanted])


def _key(method: str, problem: Problem) -> dict[str, object]:
    return {"method": method, **asdict(problem)}


@lru_cache
def _code() -> str:
    """A digest of the code that trials depend on, as it was when first asked for."""
    return code_digest(__name__)[:12]


def grid(
    methods: Sequence[str], problem: Problem, seeds: int, **values: Sequence
) -> list[tuple[str, Problem]]:
    """All methods on all seeds, for each value of one setting (`samples=[250, 1000]`)."""
    ((name, choices),) = values.items() if values else (("seed", [problem.seed]),)
    return (
        [
            (method, replace(problem, **{name: value}, seed=problem.seed + seed))
            for value in choices
            for method in methods
            for seed in range(seeds)
        ]
        if values
        else [
            (method, replace(problem, seed=problem.seed + seed))
            for method in methods
            for seed in range(seeds)
        ]
    )
