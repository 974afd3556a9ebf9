"""Sparse codes are the solution of the problem that they are said to solve."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import sparse_encode

from gc_utils.crosscoder.sparse_codes import sparse_codes
from gc_utils.errors import UserError


def problem(coherent: bool, features: int = 40, samples: int = 60):
    draw = torch.Generator().manual_seed(0)
    atoms = torch.randn(features, 25, generator=draw)
    if coherent:  # neighbours in pairs, and a part that all share
        atoms[1::2] = atoms[::2] + 0.15 * atoms[1::2]
        atoms += torch.randn(1, 25, generator=draw)
    atoms /= atoms.norm(dim=1, keepdim=True)
    on = (torch.rand(samples, features, generator=draw) < 0.1).float()
    codes = on * (0.2 + torch.rand(samples, features, generator=draw))
    return codes @ atoms + 0.02 * torch.randn(samples, 25, generator=draw), atoms


def loss(x, atoms, codes, penalty):
    return (x - codes @ atoms).square().sum() / 2 + penalty * codes.sum()


@pytest.mark.parametrize("coherent", [False, True])
def test_they_are_those_of_scikit_learn(coherent):
    x, atoms = (each.double() for each in problem(coherent))
    found = sparse_codes(x, atoms, 0.1, tolerance=1e-7, most=100_000)
    expected = sparse_encode(
        x.numpy(),
        atoms.numpy(),
        algorithm="lasso_cd",
        alpha=0.1,
        positive=True,
        max_iter=100_000,
    )
    assert np.abs(found.numpy() - expected).max() < 2e-3 * expected.max()
    best = loss(x, atoms, torch.from_numpy(expected), 0.1)
    assert loss(x, atoms, found, 0.1) < best * (1 + 1e-6)


def test_single_precision_and_the_usual_tolerance_come_near():
    x, atoms = problem(coherent=True)
    found = sparse_codes(x, atoms, 0.1)
    exact = sparse_codes(x.double(), atoms.double(), 0.1, tolerance=1e-8, most=100_000)
    assert loss(x, atoms, found, 0.1) < loss(x, atoms, exact.float(), 0.1) * (1 + 1e-4)


def test_a_sample_does_not_depend_on_its_batch():
    x, atoms = (each.double() for each in problem(coherent=True))
    together = sparse_codes(x, atoms, 0.1, tolerance=1e-9, most=100_000)
    alone = sparse_codes(x[:1], atoms, 0.1, tolerance=1e-9, most=100_000)
    assert torch.allclose(together[:1], alone, atol=1e-4)


def test_a_good_start_is_kept():
    x, atoms = (each.double() for each in problem(coherent=False))
    exact = sparse_codes(x, atoms, 0.1, tolerance=1e-9, most=100_000)
    again = sparse_codes(x, atoms, 0.1, most=10, start=exact)
    assert torch.allclose(again, exact, atol=1e-6)


def test_a_large_penalty_leaves_nothing_on():
    x, atoms = problem(coherent=False)
    assert not sparse_codes(x, atoms, float((x @ atoms.T).max()) + 1).any()


def test_mistakes_are_named():
    x, atoms = problem(coherent=False)
    with pytest.raises(UserError, match=r"expected \(N, D\) and \(m, D\)"):
        sparse_codes(x[:, 1:], atoms, 0.1)
    with pytest.raises(UserError, match="penalty 0"):
        sparse_codes(x, atoms, 0)
