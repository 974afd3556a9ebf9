"""Methods that are asked to find a planted dictionary, and the trials that compare them.

Every method gets the same training orbits and hands back blocks `V[i, g]`, whatever it calls them,
so that all are scored alike. A *trial* is one method on one planted problem; `run_trials` runs many
side by side, writes each to a file as it ends, and skips what is there.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import pandas as pd
import torch
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from gc_utils.closure import code_digest
from gc_utils.errors import choose
from gc_utils.planted.methods import METHODS, Problem
from gc_utils.planted.recovery import FOUND, cosines, oracle_fvu, recovery


def trial(method: str, problem: Problem) -> dict[str, object]:
    """Let one method try one problem; a flat dict of settings and scores.

    Raises:
        UserError: for an unknown method or control.
    """
    choose(method, METHODS, "method")
    seen, held_out = problem.draw()
    started = time.perf_counter()
    found = METHODS[method](problem, seen, held_out)
    seconds = time.perf_counter() - started
    used = None
    if found.codes is not None:
        used = (found.codes > 1e-6).any(0)
    row = {"method": method, **asdict(problem), "code": _code()}
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
        return row | {"cosine_max": 0.0, "recall": 0.0, "precision": 0.0, "stabiliser_exact": 0.0}
    scores = recovery(held_out, found.V, families=found.families, codes=found.codes, used=used)
    if found.coherence is not None:
        row["coherence"] = float(found.coherence.nanmedian())
    row |= scores.scalars() | {f"kind {k}": v for k, v in scores.by_kind.items()}
    if found.families is None:  # a confidence for every name, and whether it is right
        row["stated"] = scores.learned.confidence.round(3).tolist()
        row["right"] = scores.learned.right.astype(int).tolist()
    return row


def _trial_alone(method: str, problem: Problem) -> dict[str, object]:
    torch.set_num_threads(1)  # trials run side by side
    with threadpool_limits(1):
        return trial(method, problem)


def run_trials(
    path: str | Path,
    trials: Iterable[tuple[str, Problem]],
    *,
    workers: int = 2,
    progress: bool = True,
) -> pd.DataFrame:
    """Run trials, several at a time, and keep every result.

    Args:
        path: a file of one JSON object a line; trials that are in it are not run again, unless the
            code has changed since.
        trials: method and problem of each.
        workers: processes.
        progress: show a bar.

    Returns:
        One row a trial, in the order asked for.
    """
    path, wanted = Path(path), list(dict.fromkeys(trials))
    done: dict[tuple, dict] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except ValueError:  # the last line of a run that was killed
                continue
            if row.get("code") == _code():  # what other code has found is not to be trusted
                done[_key(row)] = row
    todo = [t for t in wanted if _key({"method": t[0], **asdict(t[1])}) not in done]
    path.parent.mkdir(parents=True, exist_ok=True)
    if todo:
        context = multiprocessing.get_context("spawn")
        with (
            ProcessPoolExecutor(min(workers, len(todo)), mp_context=context) as pool,
            path.open("a", encoding="utf-8") as file,
            tqdm(total=len(wanted), initial=len(wanted) - len(todo), disable=not progress,
                 desc="trials", unit="trial") as bar,
        ):  # fmt: skip
            running = [pool.submit(_trial_alone, *t) for t in todo]
            try:
                for ended in as_completed(running):
                    row = ended.result()
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                    done[_key(row)] = row
                    bar.update()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return pd.DataFrame([done[_key({"method": m, **asdict(p)})] for m, p in wanted])


def _key(row: dict) -> tuple:
    return tuple(row.get(name) for name in ("method", *Problem.__dataclass_fields__))


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
