"""*The Persian Rug* (Cowsik, Dolev, Infanger 2024, arXiv 2410.12101).

An autoencoder with one hidden layer, `f(x) = ReLU(W_out W_in x + b)`, on sparse data: each of
`n_s` entries is 0 with probability `1 - p`, else uniform on [0, 1]; `n_d = r n_s` hidden units. In
the limit of many entries a model whose rows are statistically alike has a loss in closed form.

All losses are mean squared errors an entry.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from scipy.linalg import hadamard
from scipy.optimize import minimize
from scipy.special import ndtr
from scipy.stats import kurtosis
from tqdm.auto import tqdm

from gc_utils.errors import UserError

# --------------------------------------------------------------------------- the symmetric loss


def _check(p: float, r: float) -> None:
    if not 0 < p <= 1 or not 0 < r < 1:
        raise UserError(f"p = {p} and r = {r}: p must lie in (0, 1] and r between 0 and 1.")


def entry_variance(p: float) -> float:
    """Variance of one entry of the data, `p/3 - p²/4`."""
    return p / 3 - p**2 / 4


def noise_variance(a: float, p: float, r: float) -> float:
    """Variance of what the other entries add to a pre-activation: `a² (1/r - 1) (p/3 - p²/4)`.

    `a² (1/r - 1)` is the least mean power off the diagonal that a matrix of rank `n_d` with mean
    diagonal `a` can have. Its trace is `n_s a`; of `n_d` eigenvalues with that sum the squares add
    up to at least `(n_s a)² / n_d`, reached by equal ones: a multiple of a projector. (The squared
    Frobenius norm is at least the sum of squared absolute eigenvalues, equal for symmetric ones.)
    A row's share is `n_s a² / n_d = a²/r`, of which `a²` lies on the diagonal.
    """
    return a**2 * (1 / r - 1) * entry_variance(p)


def _phi(u):
    return np.exp(-0.5 * np.square(u)) / np.sqrt(2 * np.pi)


def channel_loss(a, b, s, p: float) -> np.ndarray:
    """Loss of an entry whose pre-activation is `a x + ξ`, `ξ ~ N(b, s²)`, in closed form.

    With `u = (a x + b) / s`

        loss = (1 - p) [(b² + s²) Φ(b/s) + b s φ(b/s)]
             + p ∫₀¹ x² - 2 x s (u Φ + φ) + s² ((u² + 1) Φ + u φ) dx,

    and the integrals of `u^k Φ` and `u^k φ` are elementary.

    Args:
        a: slopes, not 0.
        b: means of the pre-activation where the entry is 0.
        s: standard deviations, above 0.
        p: probability of an entry to be on.

    Returns:
        Losses, of the shape that `a`, `b` and `s` have together.
    """
    a, b, s = np.broadcast_arrays(*(np.asarray(v, dtype=float) for v in (a, b, s)))
    u = np.stack([b / s, (a + b) / s])
    phi, Phi = _phi(u), ndtr(u)
    j0, j1, j2, j3 = Phi, -phi, Phi - u * phi, -(u**2 + 2) * phi  # antiderivatives of u^k φ
    i0, i1, i2 = u * Phi - j1, (u**2 * Phi - j2) / 2, (u**3 * Phi - j3) / 3  # of u^k Φ
    off = (b**2 + s**2) * Phi[0] + b * s * phi[0]
    cross = s * np.diff(i2 + j1, axis=0)[0] - b * np.diff(i1 + j0, axis=0)[0]
    square = np.diff(i2 + i0 + j1, axis=0)[0]
    on = 1 / 3 - 2 * s**2 / a**2 * cross + s**3 / a * square
    return (1 - p) * off + p * on


def symmetric_loss(a: float, b: float, p: float, r: float) -> float:
    """Loss of a statistically symmetric model in the limit of many entries.

    Args:
        a: diagonal of `W_out W_in`, not 0.
        b: mean of the pre-activation of an entry that is 0: bias and what the others add.
        p: probability of an entry to be on.
        r: hidden units over entries, below 1.

    Raises:
        UserError: if `p` or `r` is out of range.
    """
    _check(p, r)
    return float(channel_loss(a, b, np.sqrt(noise_variance(a, p, r)), p))


@dataclass(frozen=True)
class Symmetric:
    """The best statistically symmetric model.

    Attributes:
        a: its diagonal.
        b: mean of the pre-activation of an entry that is 0.
        loss: mean squared error an entry.
    """

    a: float
    b: float
    loss: float


def best_symmetric(p: float, r: float) -> Symmetric:
    """Minimise `symmetric_loss` over the diagonal and the shift."""
    _check(p, r)
    best = None
    for a, b in ((1.0, 0.0), (1.0, -0.2), (0.5, -0.1), (r, p * (1 - r) / 2), (1.5, -0.5)):
        found = minimize(
            lambda v: symmetric_loss(max(v[0], 1e-3), v[1], p, r), (a, b), method="Nelder-Mead",
            options={"xatol": 1e-8, "fatol": 1e-14, "maxiter": 4000},
        )  # fmt: skip
        if best is None or found.fun < best.fun:
            best = found
    return Symmetric(float(best.x[0]), float(best.x[1]), float(best.fun))


def linear_loss(p: float, r: float) -> float:
    """Loss of the best linear model of that rank: what a projector leaves of the variance."""
    _check(p, r)
    return (1 - r) * entry_variance(p)


def antipodal_loss(p: float) -> float:
    """Loss of antipodal pairs at `r = 1/2`: two entries share a unit with opposite signs, `b = 0`.

    `ReLU(x_1 - x_2)` errs by the smaller of the two if both are on: `p² E[min²] = p²/6`.
    """
    return p**2 / 6


# ------------------------------------------------------------------------------ other activations


@dataclass(frozen=True)
class Channel:
    """The symmetric model's pre-activation `y = x + ξ`, scaled to slope 1, on a grid.

    What any function of `y` can do depends on `p` and `r` only: the noise is
    `sqrt(noise_variance(1, p, r))` whatever the diagonal.

    Attributes:
        p: probability of an entry to be on.
        noise: standard deviation of `ξ`, mean 0.
        y: grid `(K,)`.
        weight: of each grid point, density times step.
        mean: `E[x | y]`, the function with the least loss.
    """

    p: float
    noise: float
    y: np.ndarray
    weight: np.ndarray
    mean: np.ndarray

    def loss(self, f: np.ndarray) -> float:
        """Loss of a function given at the grid points, `(K,)`."""
        second = self.p / 3
        return float(second + np.sum(self.weight * (f**2 - 2 * f * self.mean)))


def channel(p: float, r: float, points: int = 20_001) -> Channel:
    """The scaled pre-activation of the symmetric model; see `Channel`.

    Points are dense where the density varies fast: within some standard deviations of the noise
    from 0, where most entries are, and from 1, where the uniform density ends.
    """
    _check(p, r)
    s = float(np.sqrt(noise_variance(1, p, r)))
    parts = [np.linspace(-8 * s, min(8 * s, 0.5), points)]
    if 8 * s < 0.5:
        parts += [np.geomspace(8 * s, 0.5, points), np.linspace(0.5, 1 - 8 * s, points)]
    parts.append(np.linspace(max(1 - 8 * s, 0.5), 1 + 8 * s, points))
    y = np.unique(np.concatenate(parts))
    step = np.gradient(y)  # weights of the trapezoidal rule
    step[[0, -1]] /= 2
    high, low = y / s, (y - 1) / s
    on = p * (ndtr(high) - ndtr(low))
    # ∫₀¹ x N(y; x, s²) dx, with x = y - s z.
    x_on = p * (y * (ndtr(high) - ndtr(low)) + s * (_phi(high) - _phi(low)))
    total = on + (1 - p) * _phi(y / s) / s
    mean = x_on / np.maximum(total, 1e-300)
    return Channel(p, s, y, total * step, mean)


def best_functions(p: float, r: float) -> dict[str, float]:
    """The least loss that each kind of function of the pre-activation reaches.

    - `ReLU`: `α max(y - θ, 0)`;
    - `threshold`: `y` where it exceeds `θ`, else 0;
    - `JumpReLU`: `α y + β` where `y` exceeds `θ`, else 0;
    - `top-k`: as `JumpReLU`, with the `p n_s` largest kept: in the limit a threshold that a share
      `p` exceeds;
    - `any`: `E[x | y]`, below which no function of one pre-activation gets.

    All but `ReLU` are found on a grid of thresholds, with the best `α`, `β` for each.

    Raises:
        UserError: for `p` below 1e-6, where losses of order `p²` drown in the rounding of `p / 3`.
    """
    if p < 1e-6:
        raise UserError(f"p = {p:g}: the best functions are computed for 1e-6 and above.")
    c = channel(p, r)
    tail = {
        name: np.cumsum((c.weight * value)[::-1])[::-1]
        for name, value in {
            "1": np.ones_like(c.y), "y": c.y, "yy": c.y**2, "x": c.mean, "xy": c.mean * c.y,
        }.items()
    }  # fmt: skip
    second = p / 3
    plain = second + tail["yy"] - 2 * tail["xy"]
    det = tail["1"] * tail["yy"] - tail["y"] ** 2
    some = det > 1e-12 * tail["1"].max() * tail["yy"].max()
    safe = np.where(some, det, 1.0)
    alpha = (tail["1"] * tail["xy"] - tail["y"] * tail["x"]) / safe
    beta = (tail["yy"] * tail["x"] - tail["y"] * tail["xy"]) / safe
    jump = np.where(some, second - alpha * tail["xy"] - beta * tail["x"], second)
    share = int(np.argmin(np.abs(tail["1"] - p)))
    return {
        "linear": linear_loss(p, r),
        "ReLU": best_symmetric(p, r).loss,
        "threshold": float(plain.min()),
        "top-k": float(jump[share]),
        "JumpReLU": float(jump.min()),
        "any": c.loss(c.mean),
    }


# ------------------------------------------------------------------------------------- models


@dataclass(frozen=True)
class Rug:
    """A model `ReLU(W_out W_in x + b)`.

    Attributes:
        w_in: `(n_d, n_s)`.
        w_out: `(n_s, n_d)`.
        bias: `(n_s,)`.
    """

    w_in: torch.Tensor
    w_out: torch.Tensor
    bias: torch.Tensor

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Reconstructions of data `(N, n_s)`."""
        return torch.relu(x @ self.w_in.T @ self.w_out.T + self.bias)

    @property
    def W(self) -> torch.Tensor:
        """`W_out W_in`, `(n_s, n_s)`."""
        return self.w_out @ self.w_in


def sparse_data(
    samples: int, n_s: int, p: float, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Data `(samples, n_s)`: each entry 0 with probability `1 - p`, else uniform on [0, 1]."""
    value = torch.rand(samples, n_s, generator=generator)
    on = torch.rand(samples, n_s, generator=generator) < p
    return value * on


@torch.no_grad()
def monte_carlo(
    model: Callable[[torch.Tensor], torch.Tensor],
    n_s: int,
    p: float,
    *,
    samples: int = 20_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Loss of a model on fresh data, and its standard error (over samples)."""
    draw, losses = torch.Generator().manual_seed(seed), []
    batch = max(1, 4_000_000 // n_s)
    for start in range(0, samples, batch):
        x = sparse_data(min(batch, samples - start), n_s, p, draw)
        losses.append((x - model(x)).square().mean(1).double())
    loss = torch.cat(losses)
    return float(loss.mean()), float(loss.std() / len(loss) ** 0.5)


def _from_others(W: torch.Tensor, p: float) -> torch.Tensor:
    """What all other entries add to each pre-activation in the mean, `(n_s,)`."""
    return (W.sum(1) - W.diagonal()) * p / 2


def _shifted(w_in: torch.Tensor, w_out: torch.Tensor, b: float, p: float) -> Rug:
    """A model whose pre-activations have mean `b` where their own entry is 0."""
    return Rug(w_in, w_out, b - _from_others(w_out @ w_in, p))


def _projecting(rows: torch.Tensor, p: float) -> Rug:
    """The model with the best symmetric loss whose W projects on orthonormal rows `(n_d, n_s)`."""
    n_d, n_s = rows.shape
    best = best_symmetric(p, n_d / n_s)
    return _shifted(rows, rows.T * (best.a * n_s / n_d), best.b, p)


def _check_units(n_s: int, n_d: int) -> None:
    if not 0 < n_d < n_s:
        raise UserError(f"{n_d} hidden units for {n_s} entries: expected fewer, and at least one.")


def hadamard_rug(n_s: int, n_d: int, p: float, *, seed: int | None = 0) -> Rug:
    """The artificial model: rows of a Hadamard matrix, scaled to the best symmetric loss.

    `W = (a / r) R^T R / n_s` is `a / r` times a projector, whose diagonal is exactly `a` and whose
    rows are permutations of each other up to the order of entries: `W[i, j]` depends on `i xor j`.

    Args:
        n_s: entries, a power of two.
        n_d: hidden units.
        p: probability of an entry to be on.
        seed: of which rows; None takes the first `n_d`, in order.

    Raises:
        UserError: if `n_s` is no power of two, or `n_d` not between 0 and `n_s`.
    """
    if n_s < 2 or n_s & (n_s - 1):
        raise UserError(f"{n_s} entries: Hadamard's matrices here have a power of two.")
    _check_units(n_s, n_d)
    rows = np.arange(n_d)
    if seed is not None:
        rows = np.sort(np.random.default_rng(seed).choice(n_s, n_d, replace=False))
    R = torch.from_numpy(hadamard(n_s)[rows].astype(np.float32)) / n_s**0.5
    return _projecting(R, p)


def projector_rug(n_s: int, n_d: int, p: float, *, seed: int = 0) -> Rug:
    """A random projector in place of the Hadamard rows: symmetric on average only."""
    _check_units(n_s, n_d)
    draw = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(n_s, n_d, generator=draw, dtype=torch.float64))[0].float()
    return _projecting(Q.T, p)


def antipodal_rug(n_s: int) -> Rug:
    """Pairs of entries that share a unit with opposite signs; `r = 1/2`, no bias."""
    if n_s % 2:
        raise UserError(f"{n_s} entries do not pair up.")
    w_in = torch.zeros(n_s // 2, n_s)
    unit = torch.arange(n_s // 2)
    w_in[unit, 2 * unit], w_in[unit, 2 * unit + 1] = 1.0, -1.0
    return Rug(w_in, w_in.T.clone(), torch.zeros(n_s))


def broken_rug(rug: Rug, amount: float, p: float, *, kind: str = "diagonal", seed: int = 0) -> Rug:
    """A rug whose statistical symmetry is broken by an amount.

    Args:
        rug: a symmetric one.
        amount: standard deviation of the logarithm of what scales things.
        p: of the data; biases keep the pre-activations' mean.
        kind: "diagonal" scales every entry's row, so that diagonals differ; "spectrum" scales the
            hidden units, with the mean diagonal kept, so that the matrix is no projector.
        seed: of the scales.

    Raises:
        UserError: for another kind.
    """
    draw = torch.Generator().manual_seed(seed)
    if kind not in ("diagonal", "spectrum"):
        raise UserError(f"unknown kind {kind!r}; choose diagonal or spectrum.")
    mean = float((rug.bias + _from_others(rug.W, p)).mean())
    count = len(rug.bias) if kind == "diagonal" else len(rug.w_in)
    scale = (amount * torch.randn(count, generator=draw)).exp()
    scale = scale / scale.mean()
    w_out = rug.w_out * (scale[:, None] if kind == "diagonal" else scale)
    return _shifted(rug.w_in, w_out, mean, p)


def row_statistics(rug: Rug, p: float) -> pd.DataFrame:
    """What the limit knows of a model, a row an entry.

    Returns:
        `a`, the diagonal; `b`, mean of the pre-activation where the entry is 0; `noise`, standard
        deviation of what the others add.
    """
    W = rug.W.double()
    a = W.diagonal()
    return pd.DataFrame(
        {
            "a": a.numpy(),
            "b": (rug.bias + _from_others(W, p)).numpy(),
            "noise": ((W.square().sum(1) - a.square()) * entry_variance(p)).sqrt().numpy(),
        }
    )


def gaussian_loss(rug: Rug, p: float) -> float:
    """Loss if a model mattered through its row statistics only, and its noise were Gaussian."""
    rows = row_statistics(rug, p)
    a = np.where(np.abs(rows.a) < 1e-4, 1e-4, rows.a)
    return float(channel_loss(a, rows.b, np.maximum(rows.noise, 1e-4), p).mean())


def heaviness(rug: Rug) -> dict[str, float]:
    """How far a model is from symmetric: excess kurtosis off the diagonal, spread of the diagonal.

    Returns:
        `kurtosis` (0 for a Gaussian) and `diagonal_spread`, standard deviation over mean.
    """
    W = rug.W.numpy()
    off = W[~np.eye(len(W), dtype=bool)]
    a = W.diagonal()
    return {"kurtosis": float(kurtosis(off)), "diagonal_spread": float(a.std() / abs(a.mean()))}


class _Checkpoint:
    """What the next step of a training depends on, in one file named by the settings."""

    def __init__(self, folder: Path, settings: dict[str, float]) -> None:
        named = json.dumps(settings, sort_keys=True)
        digest = hashlib.sha256(named.encode()).hexdigest()[:12]
        self.path = folder / f"{settings['n_s']}_{settings['n_d']}_{digest}.safetensors"

    def write(self, step, parameters, adam, draw, rows, seen) -> None:
        tensors = {f"parameter.{i}": w.detach().contiguous() for i, w in enumerate(parameters)}
        for i, state in adam.state_dict()["state"].items():
            tensors |= {f"adam.{i}.{name}": v for name, v in state.items()}
        tensors |= {"draw": draw.get_state(), "seen": torch.tensor([float(v) for v in seen])}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        save_file(tensors, part, {"step": str(step), "rows": json.dumps(rows)})
        part.replace(self.path)

    def read(self, parameters, adam, draw, rows, seen) -> int:
        """Put everything back; the step that was reached."""
        if not self.path.exists():
            return 0
        try:
            with safe_open(self.path, "pt") as file:
                notes = file.metadata()
            tensors = load_file(self.path)
        except SafetensorError as error:
            raise UserError(f"{self.path} is not a checkpoint: {error}; delete it.") from error
        state: dict[int, dict[str, torch.Tensor]] = {}
        with torch.no_grad():
            for name, value in tensors.items():
                kind, *where = name.split(".")
                if kind == "parameter":
                    parameters[int(where[0])].copy_(value)
                elif kind == "adam":
                    state.setdefault(int(where[0]), {})[where[1]] = value
        adam.load_state_dict({"state": state, "param_groups": adam.state_dict()["param_groups"]})
        draw.set_state(tensors["draw"])
        rows += json.loads(notes["rows"])
        seen += list(tensors["seen"])
        return int(notes["step"])


def train_rug(
    n_s: int,
    n_d: int,
    p: float,
    *,
    steps: int = 4000,
    lr: float = 3e-3,
    batch: int = 256,
    seed: int = 0,
    every: int = 0,
    keep: Path | None = None,
    keep_every: int = 1000,
    progress: bool = False,
) -> tuple[Rug, pd.DataFrame]:
    """Train a model with Adam on fresh data, from the default initialisation of linear layers.

    Args:
        n_s: entries.
        n_d: hidden units.
        p: probability of an entry to be on.
        steps: of Adam.
        lr: its step size, constant.
        batch: samples a step.
        seed: of initialisation and data.
        every: steps between lines of the history; 0 for the end only.
        keep: folder of checkpoints: a training that was stopped goes on, one that is done is read.
        keep_every: steps between checkpoints.
        progress: show a bar.

    Returns:
        The model, and a history: `step`, `loss` (mean of the batches since the last line).
    """
    _check_units(n_s, n_d)
    if steps < 1 or lr <= 0:
        raise UserError(f"{steps} steps of size {lr}: expected 1 or more, of a size above 0.")
    draw = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        """As `torch.nn.Linear` begins: up to one over the root of its inputs."""
        bound = shape[-1] ** -0.5
        return (2 * torch.rand(*shape, generator=draw) - 1) * bound

    w_in, w_out = uniform(n_d, n_s), uniform(n_s, n_d)
    bias = (2 * torch.rand(n_s, generator=draw) - 1) * n_d**-0.5
    parameters = [w.requires_grad_() for w in (w_in, w_out, bias)]
    adam = torch.optim.Adam(parameters, lr=lr)
    rows: list[dict[str, float]] = []
    seen: list[torch.Tensor] = []
    settings = {
        **{"n_s": n_s, "n_d": n_d, "p": p, "steps": steps, "lr": lr},
        **{"batch": batch, "seed": seed, "every": every},
    }
    checkpoint = keep and _Checkpoint(Path(keep), settings)
    done = checkpoint.read(parameters, adam, draw, rows, seen) if checkpoint else 0
    at = range(done + 1, steps + 1)
    for step in tqdm(
        at, f"{n_s} entries", initial=done, total=steps, disable=not progress, leave=False
    ):
        x = sparse_data(batch, n_s, p, draw)
        loss = (x - Rug(*parameters)(x)).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        seen.append(loss.detach())
        if step == steps or (every and step % every == 0):
            rows.append({"step": step, "loss": float(torch.stack(seen).mean())})
            seen.clear()
        if checkpoint and (step == steps or step % keep_every == 0):
            checkpoint.write(step, parameters, adam, draw, rows, seen)
    return Rug(*(w.detach() for w in parameters)), pd.DataFrame(rows)


def plateau(history: pd.DataFrame, least: float, within: float = 0.05) -> tuple[int, int] | None:
    """First and last step at which a training's loss is near the closed form; None if never.

    Args:
        history: of `train_rug`.
        least: the closed form.
        within: relative distance that counts as near.
    """
    near = history.step[(history.loss / least - 1).abs() <= within]
    return (int(near.iloc[0]), int(near.iloc[-1])) if len(near) else None
