"""Exact sparse codes of many samples at once: the lasso with codes that are not negative.

An encoder estimates a sample's code with one linear map and a threshold. The code that a dictionary
really calls for is the solution of a convex problem, and this module solves it for a whole batch by
accelerated proximal gradient steps (FISTA; Beck & Teboulle 2009), which are matrix products only.
"""

from __future__ import annotations

import torch

from gc_utils.errors import UserError

CHECK_EVERY = 10  # iterations between looks at the optimality conditions


@torch.no_grad()
def sparse_codes(
    x: torch.Tensor,
    atoms: torch.Tensor,
    penalty: float,
    *,
    tolerance: float = 1e-3,
    most: int = 1000,
    start: torch.Tensor | None = None,
    gram: torch.Tensor | None = None,
) -> torch.Tensor:
    """Non-negative sparse codes, `argmin_f ½‖x − Σ_i f_i a_i‖² + λ Σ_i f_i`, `f ≥ 0`.

    A sample whose momentum points uphill starts again from rest (O'Donoghue & Candès 2015), so that
    coherent dictionaries, of which neighbouring orientations of one shape make many, are no slower
    than their condition asks for.

    Args:
        x: samples `(N, D)`.
        atoms: the dictionary `(m, D)`, in the same units.
        penalty: `λ`, more than 0, in units of `x` times an atom.
        tolerance: how far the optimality conditions may be missed: the gradient of the loss at a
            code that is on, or below at one that is off, in units of `λ`, at the worst code of 99
            samples of 100.
        most: iterations at most.
        start: codes to begin with, `(N, m)`; 0 if not given.
        gram: `atoms @ atoms.T`, if it is at hand.

    Returns:
        Codes `(N, m)`.

    Raises:
        UserError: if the shapes do not fit or the penalty is not positive.
    """
    if x.ndim != 2 or atoms.ndim != 2 or x.shape[1] != atoms.shape[1]:
        raise UserError(
            f"samples of shape {tuple(x.shape)} and atoms of shape {tuple(atoms.shape)}: expected "
            "(N, D) and (m, D)."
        )
    if not penalty > 0:
        raise UserError(f"penalty {penalty}: expected more than 0.")
    if gram is None:
        gram = atoms @ atoms.T
    gain = x @ atoms.T - penalty
    step = 1 / _largest_eigenvalue(gram)
    codes = torch.zeros_like(gain) if start is None else start.to(gain).clamp_min(0)
    ahead, pace = codes, gain.new_ones(len(x), 1)
    for iteration in range(1, most + 1):
        moved = torch.addmm(gain, ahead, gram, beta=step, alpha=-step).add_(ahead).clamp_min_(0)
        change = moved - codes
        uphill = ((ahead - moved) * change).sum(1, keepdim=True) > 0
        pace = torch.where(uphill, 1.0, pace)
        faster = (1 + (1 + 4 * pace.square()).sqrt()) / 2
        ahead = moved + change * torch.where(uphill, 0.0, (pace - 1) / faster)
        codes, pace = moved, faster
        if iteration % CHECK_EVERY == 0 and _missed(codes, gram, gain, penalty) < tolerance:
            break
    return codes


def _largest_eigenvalue(gram: torch.Tensor) -> float:
    """An upper bound that is tight to rounding: the step must not be larger than its inverse."""
    if gram.device.type == "mps":  # which has no float64
        gram = gram.cpu()
    return float(torch.linalg.eigvalsh(gram.double())[-1].clamp_min(1e-12)) * (1 + 1e-5)


def _missed(codes: torch.Tensor, gram: torch.Tensor, gain: torch.Tensor, penalty: float) -> float:
    slope = torch.addmm(gain, codes, gram, alpha=-1)
    worst = torch.where(codes > 0, slope.abs(), slope.clamp_min(0)).amax(1) / penalty
    return float(worst.quantile(0.99))
