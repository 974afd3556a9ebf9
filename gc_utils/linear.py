"""Ridge regression, for everything that fits a linear map."""

from __future__ import annotations

import torch


def ridge(
    gram: torch.Tensor, cross: torch.Tensor, strength: float, *, floor: float = 0.0
) -> torch.Tensor:
    """Ridge regression from the moments of its data: `(XᵀX + λI)⁻¹ XᵀY`.

    The coefficients `W` minimise `‖Y − X W‖² + λ ‖W‖²`. The penalty `λ` is relative to the mean
    square of an input, `λ = strength · mean(diag XᵀX) + floor`, so that the same strength means
    the same for activations of any scale and for any number of samples.

    Args:
        gram: `XᵀX`, `(p, p)`; float64 is advised.
        cross: `XᵀY`, `(p, q)`, of the same type.
        strength: penalty relative to the mean of the diagonal, 0 or more.
        floor: absolute part of the penalty, which keeps inputs that are all 0 solvable.

    Returns:
        `W`, `(p, q)`. Without any penalty it is the least-squares solution of least norm, which
        exists also where inputs depend on each other.

    Example:
        >>> x = torch.tensor([[1.0], [2.0]]).double()
        >>> ridge(x.T @ x, x.T @ (3 * x), 0.0)
        tensor([[3.]], dtype=torch.float64)
    """
    penalty = strength * gram.diagonal().mean() + floor
    if not penalty > 0:
        return torch.linalg.pinv(gram, hermitian=True) @ cross
    return torch.linalg.solve(gram + penalty * torch.eye(len(gram)).to(gram), cross)


def ridge_fit(x: torch.Tensor, y: torch.Tensor, strength: float) -> torch.Tensor:
    """Ridge regression from the data: as `ridge` from their moments, whichever way is shorter.

    With fewer samples than inputs, `(XXᵀ + λI)⁻¹` is the smaller matrix, and `Xᵀ` times it times
    `Y` is the same solution.

    Args:
        x: inputs `(n, p)`.
        y: outputs `(n, q)`.
        strength: penalty relative to the mean square of an input, more than 0.

    Returns:
        `W`, `(p, q)`, of the type of `x`; computed in float64.
    """
    # Apple's GPUs have no float64.
    x64, y64 = ((a.cpu() if a.device.type == "mps" else a).double() for a in (x, y))
    if len(x) >= x.shape[1]:
        return ridge(x64.T @ x64, x64.T @ y64, strength).to(x)
    gram = x64 @ x64.T
    penalty = strength * gram.diagonal().sum() / x.shape[1]
    eye = torch.eye(len(x)).to(gram)
    return (x64.T @ torch.linalg.solve(gram + penalty * eye, y64)).to(x)
