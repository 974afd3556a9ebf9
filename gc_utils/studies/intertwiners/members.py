"""*On the Symmetries of Deep Learning Models and their Internal Representations*.

Godfrey, Brown, Emerson and Kvinge 2022, arXiv 2205.14258. The **intertwiner group** of a
nonlinearity holds the invertible matrices that can be passed through it,

    G_σ = {A ∈ GL_n : σ(A x) = φ(A) σ(x) for some φ(A) and all x}.

They act on the hidden units of a network without changing what it computes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import erf, expit

from gc_utils.errors import UserError, choose

Function = Callable[[np.ndarray], np.ndarray]
# kind → what its members are, as a product of what may stand in it
KINDS: dict[str, str] = {
    "all": "all invertible matrices",
    "scales": "permutations and scales of either sign",
    "positive": "permutations and positive scales",
    "signs": "permutations and signs",
    "permutations": "permutations only",
}


@dataclass(frozen=True)
class Intertwiner:
    """A nonlinearity with its intertwiner group.

    Attributes:
        name: of the nonlinearity.
        sigma: the function, elementwise.
        kind: of the group, one of `KINDS`.
        phi: `A → φ(A)`, for members.
        rule: φ in words.
    """

    name: str
    sigma: Function
    kind: str
    phi: Callable[[np.ndarray], np.ndarray]
    rule: str


def _same(A: np.ndarray) -> np.ndarray:
    return A


# The paper's table, and more functions of the same kinds.
TABLE: dict[str, Intertwiner] = {
    row.name: row
    for row in (
        Intertwiner("identity", lambda x: x, "all", _same, "φ(A) = A"),
        Intertwiner("ReLU", lambda x: np.maximum(x, 0), "positive", _same, "φ(A) = A"),
        Intertwiner(
            "LeakyReLU", lambda x: np.where(x > 0, x, 0.1 * x), "positive", _same, "φ(A) = A"
        ),
        Intertwiner("tanh", np.tanh, "signs", _same, "φ(A) = A"),
        Intertwiner("RBF", lambda x: np.exp(-np.square(x)), "signs", np.abs, "φ(A) = |A|"),
        Intertwiner("square", np.square, "scales", np.square, "φ(A) = A^⊙2"),
        Intertwiner("cube", lambda x: x**3, "scales", lambda A: A**3, "φ(A) = A^⊙3"),
        Intertwiner("sigmoid", expit, "permutations", _same, "φ(A) = A"),
        Intertwiner(
            "GELU",
            lambda x: 0.5 * x * (1 + erf(x / 2**0.5)),
            "permutations",
            _same,
            "φ(A) = A",
        ),
        Intertwiner("softplus", lambda x: np.logaddexp(0, x), "permutations", _same, "φ(A) = A"),
    )
}


def sample_member(
    kind: str, n: int, *, low: float = 0.5, high: float = 2.0, seed: int = 0
) -> np.ndarray:
    """A random member of a group of a kind, `(n, n)`.

    Args:
        kind: One of `KINDS`.
        n: The number of units.
        low, high: The range of the scales' absolute values, which are drawn evenly on a
            logarithmic scale.
        seed: The seed of the draw.

    Returns:
        The matrix `(n, n)`.

    Raises:
        UserError: The kind is unknown, or there is no unit.
    """
    choose(kind, KINDS, "kind of group")
    if n < 1:
        raise UserError(f"{n} units: at least one is needed.")
    rng = np.random.default_rng(seed)
    if kind == "all":
        left, _ = np.linalg.qr(rng.normal(size=(n, n)))
        right, _ = np.linalg.qr(rng.normal(size=(n, n)))
        return left * np.exp(rng.uniform(np.log(low), np.log(high), n)) @ right
    scale = np.ones(n)
    if kind in ("positive", "scales"):
        scale = np.exp(rng.uniform(np.log(low), np.log(high), n))
    if kind in ("signs", "scales"):
        scale = scale * rng.choice([-1.0, 1.0], n)
    return np.eye(n)[rng.permutation(n)] * scale


def relu_member(n: int, seed: int = 0) -> torch.Tensor:
    """A random member of ReLU's group, `(n, n)`, float32; `sample_member` with its own scales."""
    return torch.from_numpy(sample_member("positive", n, seed=seed)).float()


def best_phi(sigma: Function, A: np.ndarray, *, samples: int = 0, seed: int = 0):
    """The matrix that comes closest to `σ(A x) = φ σ(x)`, and by how much it fails.

    Least squares over random inputs.

    Args:
        sigma: A function from `(N, n)` to `(N, n)`.
        A: The matrix to pass through it, `(n, n)`.
        samples: The number of inputs; 0 for forty times the units.
        seed: The seed of the inputs.

    Returns:
        φ `(n, n)`, and the largest error over the root mean square of `σ(A x)`, on other inputs
        than those that φ was fitted to.
    """
    n = len(A)
    rng = np.random.default_rng(seed)
    fit, test = 1.5 * rng.normal(size=(2, samples or 40 * n + 40, n))
    phi = np.linalg.lstsq(sigma(fit), sigma(fit @ A.T), rcond=None)[0].T
    return phi, misses(sigma, A, phi, test)


def misses(sigma: Function, A: np.ndarray, phi: np.ndarray, x: np.ndarray) -> float:
    """How far `σ(A x)` is from `φ σ(x)`: largest error over root mean square; inputs `(N, n)`."""
    made = sigma(x @ A.T)
    left = np.abs(made - sigma(x) @ phi.T).max()
    return float(left / max(np.sqrt(np.square(made).mean()), 1e-12))


def near_member(A: np.ndarray, amount: float = 0.1, *, seed: int = 0) -> np.ndarray:
    """A matrix near a member that is none: every row gets a little of another column."""
    rng = np.random.default_rng(seed)
    spread = rng.normal(size=A.shape)
    return A + amount * np.abs(A).max() * spread / np.abs(spread).max()


@dataclass(frozen=True)
class Found:
    """What `solve` finds out about a nonlinearity.

    Attributes:
        kind: one of `KINDS`.
        scales: which of the tested scales of one unit pass through.
        evidence: what each test left, relative errors.
    """

    kind: str
    scales: tuple[float, ...]
    evidence: dict[str, float]

    @property
    def name(self) -> str:
        """The group in words."""
        return KINDS[self.kind]


SCALES = (0.37, 0.5, 0.81, 1.3, 2.0, 2.7, -1.0, -0.5, -1.7)


def solve(
    sigma: Function, n: int = 4, *, tolerance: float = 1e-6, samples: int = 400, seed: int = 0
) -> Found:
    """Find the intertwiner group of an elementwise function numerically, and name it.

    An elementwise function commutes with permutations. Which others pass is tested step by
    step: a general matrix (only linear functions let one pass); scales of single units, positive
    ones and negative ones. The paper says that for functions that are not affine there is nothing
    else than products of these. What a function does far out is not seen: inputs are normal, of
    standard deviation 1.5.

    Args:
        sigma: A function from `(N, n)` to `(N, n)`.
        n: The number of units to test with.
        tolerance: The largest relative error that counts as passing.
        samples: The number of random inputs of each test.
        seed: The seed of the inputs.

    Returns:
        The group's kind, the scales that pass and the errors that were measured.

    Raises:
        UserError: The function is not elementwise, the same at every unit (softmax, response
            normalisation), not finite, constant, or affine with an offset, whose group is not one
            of `KINDS`.
    """
    if n < 2:
        raise UserError(f"{n} units: at least two are needed to see whether a function mixes them.")
    rng = np.random.default_rng(seed)
    x = 1.5 * rng.normal(size=(samples, n))
    y = np.asarray(sigma(x), dtype=float)
    if y.shape != x.shape or not np.isfinite(y).all():
        raise UserError(f"the function gives {y.shape} for {x.shape}, or is not finite there.")
    size = max(float(np.sqrt(np.square(y).mean())), 1e-12)
    other = x.copy()
    other[:, 1:] = 1.5 * rng.normal(size=(samples, n - 1))
    leak = float(np.abs(sigma(other)[:, 0] - y[:, 0]).max()) / size
    if leak > tolerance:
        raise UserError(
            f"the function is not elementwise: unit 0 changes by {leak:.2g} of its size when only "
            "others do. Intertwiner groups are worked out here for elementwise functions."
        )
    moved = float(np.abs(sigma(np.roll(x, 1, 1)) - np.roll(y, 1, 1)).max()) / size
    if moved > tolerance:
        raise UserError(
            f"the function differs from unit to unit (by {moved:.2g} of its size): even a "
            "permutation does not pass."
        )
    if float(np.abs(y - y.mean()).max()) < tolerance * size:
        raise UserError("the function is constant.")
    slope, offset = np.polyfit(x[:, 0], y[:, 0], 1)
    bent = float(np.abs(y - slope * x - offset).max()) / size
    if bent <= tolerance and abs(offset) > tolerance * size:
        raise UserError(
            f"the function is affine, {slope:.3g} x {offset:+.3g}: matrices whose rows all add up "
            "to the same pass through it, a group that has no name here."
        )
    evidence = {"general": best_phi(sigma, sample_member("all", n, seed=seed), seed=seed)[1]}
    if evidence["general"] <= tolerance:
        return Found("all", SCALES, evidence)
    passing = []
    for c in SCALES:
        A = np.eye(n)
        A[0, 0] = c
        evidence[f"scale {c:g}"] = best_phi(sigma, A, seed=seed)[1]
        if evidence[f"scale {c:g}"] <= tolerance:
            passing.append(c)
    positive = all(c in passing for c in SCALES if c > 0)
    negative = all(c in passing for c in SCALES if c < 0)
    kind = "permutations"
    if positive:
        kind = "scales" if negative else "positive"
    elif -1.0 in passing:
        kind = "signs"
    return Found(kind, tuple(passing), evidence)
