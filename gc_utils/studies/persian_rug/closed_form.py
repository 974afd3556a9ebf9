"""*The Persian Rug* (Cowsik, Dolev, Infanger 2024, arXiv 2410.12101).

An autoencoder with one hidden layer, `f(x) = ReLU(W_out W_in x + b)`, on sparse data: each of
`n_s` entries is 0 with probability `1 - p`, else uniform on [0, 1]; `n_d = r n_s` hidden units. In
the limit of many entries a model whose rows have the same statistics has a loss in closed form.

All losses are mean squared errors of an entry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtr

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
        a: The slopes, not 0.
        b: The means of the pre-activation where the entry is 0.
        s: The standard deviations, above 0.
        p: The probability of an entry to be on.

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
        a: The diagonal of `W_out W_in`, not 0.
        b: The mean of the pre-activation of an entry that is 0: bias and what the others add.
        p: The probability of an entry to be on.
        r: Hidden units over entries, below 1.

    Returns:
        The mean squared error of an entry.

    Raises:
        UserError: `p` or `r` is out of range.
    """
    _check(p, r)
    return float(channel_loss(a, b, np.sqrt(noise_variance(a, p, r)), p))


@dataclass(frozen=True)
class Symmetric:
    """The best statistically symmetric model.

    Attributes:
        a: its diagonal.
        b: mean of the pre-activation of an entry that is 0.
        loss: mean squared error of an entry.
    """

    a: float
    b: float
    loss: float


def best_symmetric(p: float, r: float) -> Symmetric:
    """Minimise `symmetric_loss` over the diagonal and the shift.

    With `b = a β` the model's output is `a R`, `R = ReLU(x + ξ + β)`, so that the loss is
    `E[x²] - 2a E[xR] + a² E[R²]`, least at `a = E[xR] / E[R²]`. What is left to search is `β`.
    """
    _check(p, r)
    s = float(np.sqrt(noise_variance(1, p, r)))
    power = p / 3  # E[x²]

    def moments(shift):
        """`E[xR]` and `E[R²]`, from the losses at two slopes."""
        one, two = (channel_loss(a, a * shift, a * s, p) for a in (1.0, 2.0))
        square = (two - 2 * one + power) / 2
        return (power + square - one) / 2, square

    def least(shift):
        cross, square = moments(shift)
        return power - np.maximum(cross, 0) ** 2 / np.maximum(square, 1e-300)

    # Up to the best linear model's, and down to where no entry passes that has little noise.
    shifts = np.linspace(-1 - 2 * s, 1 + p * (1 - r) / r, 401)
    at = int(np.argmin(least(shifts)))
    around = shifts[max(at - 1, 0)], shifts[min(at + 1, len(shifts) - 1)]
    found = minimize_scalar(least, bounds=around, method="bounded", options={"xatol": 1e-10})
    cross, square = moments(found.x)
    a = float(cross / square)
    return Symmetric(a, a * float(found.x), symmetric_loss(a, a * float(found.x), p, r))


def linear_loss(p: float, r: float) -> float:
    """Loss of the best linear model of that rank: what a projector leaves of the variance."""
    _check(p, r)
    return (1 - r) * entry_variance(p)


def antipodal_loss(p: float) -> float:
    """Loss of antipodal pairs at `r = 1/2`: two entries share a unit with opposite signs, `b = 0`.

    `ReLU(x_1 - x_2)` errs by the smaller of the two if both are on: `p² E[min²] = p²/6`.
    """
    return p**2 / 6


def antipodal_limit() -> float:
    """The largest p below which antipodal pairs lose less than the closed form at `r = 1/2`."""
    return float(
        brentq(lambda p: antipodal_loss(p) - best_symmetric(p, 0.5).loss, 0.05, 0.95, xtol=1e-4)
    )


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

    Args:
        p: The probability of an entry to be on.
        r: Hidden units over entries, below 1.

    Returns:
        Kind of function → loss, `linear` (the best linear model) among them.

    Raises:
        UserError: `p` is below 1e-6, where losses of order `p²` drown in the rounding of `p / 3`.
    """
    if p < 1e-6:
        raise UserError(f"p = {p:g}: the best functions are computed for 1e-6 and above.")
    c = channel(p, r)
    tail = {
        name: np.cumsum((c.weight * value)[::-1])[::-1]
        for name, value in {
            "1": np.ones_like(c.y),
            "y": c.y,
            "yy": c.y**2,
            "x": c.mean,
            "xy": c.mean * c.y,
        }.items()
    }
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
