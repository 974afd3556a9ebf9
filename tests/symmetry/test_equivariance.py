"""Where the group acts on the channels, all is predicted; and less by what does not follow."""

import numpy as np
import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.groups import group
from gc_utils.symmetry import equivariance, fitted_action, free_action


def orbits(name, samples=200, noise=0.0, seed=0):
    """Responses `ρ(g) x` in another basis: the group acts on three channels by a representation."""
    g, draw = group(name), torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(9)))
    rho = torch.zeros(g.order, 3, 3)
    rho[:, :2, :2], rho[:, 2, 2] = g.matrices.float(), 1.0
    true = torch.einsum("ab,gbc,dc->gad", basis, rho, basis)
    A = torch.einsum("gcd,nd->ngc", true, torch.randn(samples, 3, generator=draw))
    return g, true, A + noise * torch.randn(A.shape, generator=draw)


@pytest.mark.parametrize("name", ["C5", "D4", "D6"])
def test_the_fitted_actions_are_the_true_one_where_there_is_one(name):
    g, true, A = orbits(name)
    assert torch.allclose(fitted_action(A, g, ridge=1e-8), true, atol=1e-4)
    assert torch.allclose(free_action(A, g, ridge=1e-8), true, atol=1e-4)
    found = equivariance(A[:100], A[100:], g)
    assert found.powers.min() > 0.999 and found.free.min() > 0.999
    assert np.nanmin(found.channels_powers) > 0.999
    assert found.unchanged[0] == 1 and found.mean("unchanged") < 0.5


def test_noise_hurts_powers_more_than_free_matrices():
    g, _, A = orbits("C8", 400, noise=0.5)
    found = equivariance(A[:200], A[200:], g)
    assert found.mean("unchanged") < found.mean("powers") < found.mean("free") < 0.9
    assert found.powers[0] == 1  # no turn: nothing to predict
    assert found.powers[4] < found.powers[1]  # errors of the matrix add up


def test_what_does_not_follow_from_the_response_is_not_predicted():
    g = group("C4")
    A = torch.randn(300, 4, 5, generator=torch.Generator().manual_seed(0))
    A[..., 4] = 0.0  # a dead channel
    found = equivariance(A[:150], A[150:], g)
    assert found.free[1:].max() < 0.05
    assert np.isnan(found.channels_free[4]) and np.isfinite(found.channels_free[:4]).all()


def test_mistakes_are_named():
    with pytest.raises(UserError, match="no rotation and no mirror"):
        equivariance(torch.zeros(3, 1, 2), torch.zeros(3, 1, 2), group("C1"))
    with pytest.raises(UserError, match="none held out"):
        equivariance(torch.zeros(3, 4, 2), torch.zeros(0, 4, 2), group("C4"))
    with pytest.raises(UserError, match="expected"):
        equivariance(torch.zeros(3, 4, 2), torch.zeros(3, 5, 2), group("C4"))
