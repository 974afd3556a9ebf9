"""Bases of a layer's activation space: decompositions of a population, and random ones."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are imported when they are used
import torch

from gc_utils.errors import UserError, choose

METHODS = ("PCA", "ICA", "NMF", "sparse dictionary")
BASELINE = "random directions"  # of the same number, orthogonal: what any basis would show


@dataclass(frozen=True)
class Decomposition:
    """Basis directions of a population, and where samples lie along them.

    Attributes:
        method: one of `METHODS`, or `BASELINE`.
        basis: directions `(d, C)`, of unit length.
        codes: coordinates of the samples `(N, d)`, with the sign that makes their skewness
            positive where a method leaves it open.
        mean: `(C,)`, the point that walks set out from.
        explained: share of variance that the samples' reconstructions hold.
    """

    method: str
    basis: np.ndarray
    codes: np.ndarray
    mean: np.ndarray
    explained: float

    def readout(self) -> np.ndarray:
        """Linear map `(C, d)` from `a - mean` to coordinates: the least squares ones."""
        return np.linalg.pinv(self.basis)

    def coordinates(self, A: torch.Tensor) -> np.ndarray:
        """Where activations `(N, C)` lie along the basis by least squares, `(N, d)`.

        For PCA and ICA these are the codes; those of the other methods obey constraints, that a
        response to an image can come near to but an arbitrary point cannot.
        """
        return (A.double().numpy() - self.mean) @ self.readout()


def decompose(A: torch.Tensor, method: str, count: int, *, seed: int = 0) -> Decomposition:
    """Basis directions of activations, by one method.

    Args:
        A: activations `(N, C)`.
        method: "PCA", "ICA" (whitened by PCA to `count`), "NMF" (activations are not negative),
            "sparse dictionary" (non-negative codes, any directions), or "random directions".
        count: directions wanted, at most C.
        seed: of the methods that draw.

    Raises:
        UserError: an unknown method, too many directions, or NMF of negative activations.
    """
    from sklearn.decomposition import NMF, PCA, FastICA, MiniBatchDictionaryLearning
    from sklearn.exceptions import ConvergenceWarning

    choose(method, (*METHODS, BASELINE), "method")
    x = A.double().numpy()
    if not 1 <= count <= min(x.shape):
        raise UserError(f"{count} dimensions of activations of shape {x.shape}: too many or none.")
    mean = x.mean(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # judged by the variance explained
        if method == "PCA":
            found = PCA(count, random_state=seed).fit(x)
            basis, codes = found.components_, found.transform(x)
        elif method == "ICA":
            found = FastICA(count, whiten="unit-variance", random_state=seed, max_iter=400)
            codes = found.fit_transform(x)
            basis = found.mixing_.T
        elif method == "NMF":
            if x.min() < 0:
                raise UserError(
                    "NMF takes activations that are not negative: choose another layer."
                )
            found = NMF(count, init="nndsvda", random_state=seed, max_iter=400)
            codes = found.fit_transform(x)
            basis, mean = found.components_, np.zeros_like(mean)
        elif method == BASELINE:
            draw = np.random.default_rng(seed).normal(size=(x.shape[1], count))
            basis = np.linalg.qr(draw)[0].T
            codes = (x - mean) @ basis.T
        else:
            found = MiniBatchDictionaryLearning(
                count,
                alpha=0.1 * float(np.linalg.norm(x - mean, axis=1).mean()),
                max_iter=20,
                fit_algorithm="cd",
                transform_algorithm="lasso_cd",
                positive_code=True,
                batch_size=256,
                random_state=seed,
            )
            found.set_params(transform_alpha=found.alpha)
            codes = found.fit(x - mean).transform(x - mean)
            basis = found.components_
    left = x - mean - codes @ basis
    explained = 1 - float(np.square(left).sum() / np.square(x - x.mean(0)).sum())
    length = np.linalg.norm(basis, axis=1)
    basis, codes = basis / np.maximum(length, 1e-12)[:, None], codes * length
    if method in ("PCA", "ICA", BASELINE):
        sign = np.where(scipy.stats.skew(codes) < 0, -1.0, 1.0)
        basis, codes = basis * sign[:, None], codes * sign
    order = np.argsort(-codes.var(0), kind="stable")
    return Decomposition(method, basis[order], codes[:, order], mean, explained)


def rotated_basis(channels: int, seed: int = 0) -> torch.Tensor:
    """A random orthogonal basis `(C, C)`: units that mean no more than any other directions."""
    draw = torch.randn(channels, channels, generator=torch.Generator().manual_seed(seed))
    Q, R = torch.linalg.qr(draw.double())
    return (Q * R.diagonal().sign()).float()
