"""Methods that are asked to find a planted dictionary, and the trials that compare them.

Every method gets the same training orbits and hands back blocks `V[i, g]`, whatever it calls them,
so that all are scored alike. A *trial* is one method on one planted problem; `run_trials` runs many
side by side, writes each to a file as it ends, and skips what is there.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA, MiniBatchNMF
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from gc_utils.crosscoder import GroupCrosscoder, TiedCrosscoder
from gc_utils.equivariance import fitted_action
from gc_utils.errors import choose
from gc_utils.families import blocks_by_regression
from gc_utils.planted import (
    PlantedOrbits,
    families_of_each,
    no_orbits,
    planted_orbits,
    shuffled_blocks,
    single_blocks,
)
from gc_utils.recovery import FOUND, coherence, cosines, oracle_fvu, recovery
from gc_utils.refine import refine
from gc_utils.training import TrainConfig, evaluate, fvu, train, translate, views_for

CONTROLS = {"": None, "no orbits": no_orbits, "shuffled": shuffled_blocks, "single": single_blocks}


@dataclass(frozen=True)
class Problem:
    """A planted problem, and how much a method may spend on it.

    Attributes:
        group, channels, families, samples, l0, noise, break_equivariance: see `planted_orbits`.
        held_out: samples to score on.
        dictionary: how many times the planted features a dictionary may have (families, if tied).
        steps, batch_size, lr, first_k, k_fall: of training, see `TrainConfig`.
        passes: of refining, see `refine`.
        control: a name from `CONTROLS`: what has been done to the data.
        seed: of everything.
    """

    group: str = "D8"
    channels: int = 32
    families: int = 3
    samples: int = 2000
    l0: float = 6.0
    noise: float = 0.05
    break_equivariance: float = 0.0
    held_out: int = 500
    dictionary: float = 1.5
    steps: int = 500
    batch_size: int = 256
    lr: float = 1e-3
    first_k: float = 2.0
    k_fall: float = 0.4
    passes: int = 6
    control: str = ""
    seed: int = 0

    def draw(self) -> tuple[PlantedOrbits, PlantedOrbits]:
        """Training and held-out samples."""
        planted = planted_orbits(
            self.group,
            self.channels,
            self.families,
            self.samples + self.held_out,
            self.l0,
            self.noise,
            self.break_equivariance,
            self.seed,
        )
        change = CONTROLS[choose(self.control, CONTROLS, "control")]
        return (change(planted, self.seed) if change else planted).split(self.held_out)


@dataclass(frozen=True)
class Found:
    """What a method hands back.

    Attributes:
        V: blocks `(m', |G|, C)`, or `(m', w, |G|, C)` for subspaces.
        codes: of the held-out samples, `(N, m')`, or None.
        coherence: of the features on the held-out samples, `(m',)`, see `coherence`; None without
            an orbit encoder.
        families: of the features, or None if the method does not say.
        fvu: share of held-out variance unexplained; NaN if it reconstructs no orbits.
        l0: mean active features on held-out samples.
        parameters: numbers learned.
    """

    V: torch.Tensor
    codes: torch.Tensor | None = None
    families: np.ndarray | None = None
    fvu: float = math.nan
    l0: float = math.nan
    parameters: int = 0
    coherence: torch.Tensor | None = None


def _config(problem: Problem, **changes) -> TrainConfig:
    settings = {
        "steps": problem.steps,
        "batch_size": problem.batch_size,
        "lr": problem.lr,
        "first_k": problem.first_k,
        "k_fall": problem.k_fall,
        "evaluate_every": problem.steps,
        "merge_every": 25,
        "seed": problem.seed,
    }
    return TrainConfig(**settings | changes)


def _features(problem: Problem, seen: PlantedOrbits) -> int:
    return round(problem.dictionary * len(seen.V))


def _trained(coder, problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits, **changes):
    """A crosscoder of either kind, trained and scored."""
    rows = np.arange(len(seen.A))
    train(coder, seen.A, rows, held_out.A, _config(problem, **changes), progress=False)
    return _judged(coder, held_out)


def _judged(coder, held_out: PlantedOrbits):
    """A trained crosscoder of either kind, folded, and what it found."""
    parameters = sum(p.numel() for p in coder.parameters())
    judged = evaluate(coder, views_for(coder, held_out.A), coder.mean)
    with torch.no_grad():
        one = coder.fold()
        codes = one.encode(held_out.A[:, :1] if one.group.order == 1 else held_out.A)
        all_views = one.views == one.group.order > 1
        views = coherence(one.W_enc, held_out.A - coder.mean, codes) if all_views else None
    families = None if one.family is None else one.family.numpy()
    return one, Found(one.V.detach(), codes, families, judged.fvu, judged.l0, parameters, views)


def _untrained(problem: Problem, seen: PlantedOrbits, encode_from: str) -> GroupCrosscoder:
    return GroupCrosscoder(
        problem.group, problem.channels, _features(problem, seen), k=round(problem.l0),
        encode_from=encode_from, seed=problem.seed,
    )  # fmt: skip


def _crosscoder(encode_from: str, moved: bool = True) -> Callable[..., Found]:
    def method(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
        coder = _untrained(problem, seen, encode_from)
        return _trained(coder, problem, seen, held_out, translate=moved)[1]

    return method


def _refined(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
    """The crosscoder, its dictionary refined; half as many steps for the encoder after that."""
    coder = _untrained(problem, seen, "orbit")
    rows = np.arange(len(seen.A))
    train(coder, seen.A, rows, held_out.A, _config(problem), progress=False)
    again = _config(
        problem, steps=max(1, problem.steps // 2), lr=min(problem.lr, 1e-3), first_k=2.0
    )
    refine(coder, seen.A, rows, held_out.A, again, passes=problem.passes, progress=False)
    return _judged(coder, held_out)[1]


def _tied(encode_from: str) -> Callable[..., Found]:
    def method(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
        planted = sum(families_of_each(seen.group, problem.families).values())  # a control has none
        families = max(2, round(problem.dictionary * planted))
        # All copies of a template have to fire for an invariant feature before it can merge them:
        # a few families that are invariant from the start cost one feature each.
        symmetry = ["C1"] * families + ["G"] * math.ceil(families / 3)
        coder = TiedCrosscoder(
            problem.group, problem.channels, len(symmetry), k=round(problem.l0),
            encode_from=encode_from, stabilisers=symmetry, seed=problem.seed,
        )  # fmt: skip
        return _trained(coder, problem, seen, held_out)[1]

    return method


def _sae(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits):
    """A sparse autoencoder on single views."""
    coder = GroupCrosscoder(
        "C1", problem.channels, _features(problem, seen), k=round(problem.l0), seed=problem.seed
    )
    return _trained(coder, problem, seen, held_out)


def _regressed(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
    """The autoencoder, given blocks by regressing all views on the codes of one."""
    one, found = _sae(problem, seen, held_out)
    g = seen.group
    h = torch.randint(
        g.order, (len(seen.A),), generator=torch.Generator().manual_seed(problem.seed)
    )
    moved = translate(seen.A, g, h)
    with torch.no_grad():
        V = blocks_by_regression(one.encode(moved[:, :1]), moved)
    return replace(found, V=V, fvu=math.nan)


def _one_rotation(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
    """The autoencoder, its features turned by the fitted matrices."""
    one, found = _sae(problem, seen, held_out)
    mean = seen.A.mean((0, 1))
    action = fitted_action(seen.A - mean, seen.group)
    V = torch.einsum("gcd,md->mgc", action, one.V.detach()[:, 0])
    bias = action @ (one.b_dec.detach()[0] - mean)  # turned like the features
    made = torch.einsum("nm,mgc->ngc", found.codes, V) + bias + mean
    return replace(found, V=V, fvu=fvu(held_out.A, made, mean).fvu)


class BlockCrosscoder(GroupCrosscoder):
    """Features are subspaces of a few dimensions, on or off as a whole; codes have either sign.

    As the block-sparse featurizers of arXiv 2606.25234: `k` blocks a sample, ranked by the norm of
    what they add.
    """

    width = 2

    def _by_block(self, pre: torch.Tensor) -> torch.Tensor:
        """What each block adds, roughly: the norm of its codes times its vectors' lengths."""
        return (pre * self.norms).unflatten(1, (-1, self.width)).norm(dim=2)

    def strongest(self, pre: torch.Tensor, k: int, *, per_batch: bool = False) -> torch.Tensor:
        score = self._by_block(pre).detach()
        kept = score.flatten().topk(k * len(pre)).indices
        mask = torch.zeros_like(score).flatten().index_fill_(0, kept, 1).view_as(score)
        return pre * mask.repeat_interleave(self.width, 1)

    def encode(self, A: torch.Tensor) -> torch.Tensor:
        pre = self.pre_activations(self.normalised(A))
        return pre * (self._by_block(pre) >= self.threshold).repeat_interleave(self.width, 1)

    def calibrate(self, A: torch.Tensor, batch: int = 1024) -> None:
        with torch.no_grad():
            score = self._by_block(self.pre_activations(self.normalised(A))).flatten()
            self.threshold.copy_(score.topk(self.config.k * len(A)).values[-1])


def _blocks(width: int) -> Callable[..., Found]:
    def method(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
        blocks = math.ceil(_features(problem, seen) / width)
        kind = type(f"BlockCrosscoder{width}", (BlockCrosscoder,), {"width": width})
        coder = kind(
            problem.group, problem.channels, width * blocks, k=round(problem.l0),
            encode_from="orbit", seed=problem.seed,
        )  # fmt: skip
        rows = np.arange(len(seen.A))
        # Nothing is revived: that is written for codes that are never negative.
        train(coder, seen.A, rows, held_out.A, _config(problem, revive=0.0), progress=False)
        judged = evaluate(coder, held_out.A, coder.mean)
        V = coder.V.detach().unflatten(0, (blocks, width))
        parameters = sum(p.numel() for p in coder.parameters())
        with torch.no_grad():  # codes have either sign: a block is on if any of them is not 0
            on = coder.encode(held_out.A).unflatten(1, (blocks, width)).ne(0).any(2)
        return Found(V, None, None, judged.fvu, float(on.float().sum(1).mean()), parameters)

    return method


def _pca(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
    mean = seen.A.mean((0, 1))
    h = torch.randint(
        seen.group.order, (len(seen.A),), generator=torch.Generator().manual_seed(problem.seed)
    )
    x = (translate(seen.A, seen.group, h) - mean).flatten(1)
    count = min(_features(problem, seen), *x.shape)
    basis = torch.from_numpy(PCA(count, random_state=problem.seed).fit(x.numpy()).components_)
    few = basis[: round(problem.l0)]
    made = ((held_out.A - mean).flatten(1) @ few.T @ few).view_as(held_out.A) + mean
    V = torch.cat([basis, -basis]).float().unflatten(1, seen.A.shape[1:])  # either sign
    return Found(V, fvu=fvu(held_out.A, made, mean).fvu, l0=len(few), parameters=basis.numel())


def _nmf(problem: Problem, seen: PlantedOrbits, held_out: PlantedOrbits) -> Found:
    """Non-negative factors of the positive and the negative parts, put together again."""

    def parts(A: torch.Tensor) -> np.ndarray:
        x = (A - mean).flatten(1)
        return torch.cat([x.relu(), (-x).relu()], 1).numpy()

    mean = seen.A.mean((0, 1))
    count = min(_features(problem, seen), len(seen.A))
    model = MiniBatchNMF(count, random_state=problem.seed, max_iter=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it stopped at max_iter
        model.fit(parts(seen.A))
        weights = model.transform(parts(held_out.A))
    up, down = torch.from_numpy(model.components_).float().chunk(2, 1)
    V = (up - down).unflatten(1, seen.A.shape[1:])
    codes = torch.from_numpy(weights).float()
    made = torch.einsum("nm,mgc->ngc", codes, V) + mean
    l0 = float((codes > 1e-6).float().sum(1).mean())
    return Found(V, codes, None, fvu(held_out.A, made, mean).fvu, l0, 2 * V.numel())


METHODS: dict[str, Callable[[Problem, PlantedOrbits, PlantedOrbits], Found]] = {
    "crosscoder": _crosscoder("orbit"),
    "crosscoder, refined": _refined,
    "crosscoder, no translation": _crosscoder("orbit", moved=False),
    "crosscoder, identity encoder": _crosscoder("identity"),
    "tied crosscoder": _tied("orbit"),
    "tied, identity encoder": _tied("identity"),
    "SAE, regressed blocks": _regressed,
    "SAE, one fitted rotation": _one_rotation,
    "blocks of width 2": _blocks(2),
    "blocks of width 4": _blocks(4),
    "NMF": _nmf,
    "PCA": _pca,
}


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
    """A digest of the modules that trials depend on."""
    modules = ("crosscoder", "equivariance", "families", "ground_truth", "groups", "null")
    modules += ("planted", "recovery", "refine", "symmetry", "training")
    digest = hashlib.sha256()
    for name in modules:
        digest.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return digest.hexdigest()[:12]


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
