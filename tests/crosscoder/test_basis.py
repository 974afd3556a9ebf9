"""A basis closed under the group: orthonormal, exact where it holds all, and found again."""

from __future__ import annotations

import pytest
import torch

from gc_utils.crosscoder.basis import OrbitBasis
from gc_utils.errors import UserError
from gc_utils.groups import group, translate

GROUPS = ("C1", "C2", "C5", "C8", "D1", "D2", "D3", "D4", "D16")


def smooth(name: str, count: int = 60, channels: int = 6, seed: int = 0) -> torch.Tensor:
    """Orbits that vary slowly with the rotation, `(N, |G|, C)`, and a little noise."""
    g, draw = group(name), torch.Generator().manual_seed(seed)
    A = torch.zeros(count, g.order, channels)
    for irrep in g.irreps():
        F = torch.randn(count, irrep.dim, irrep.dim, channels, generator=draw)
        A += torch.einsum("gab,nabc->ngc", irrep.matrices.float(), F) / (1 + irrep.frequency) ** 3
    return A + 0.3


@pytest.mark.parametrize("name", GROUPS)
def test_all_of_it_is_an_orthogonal_change_of_coordinates(name):
    A = smooth(name)
    basis = OrbitBasis.of(A, group(name), keep=1.0)
    x = basis.project(A)
    assert basis.size == basis.numbers == A[0].numel() == x.shape[1]
    assert torch.allclose(basis.lift(x), A, atol=1e-4)
    assert torch.allclose(x @ x.T, A.flatten(1) @ A.flatten(1).T, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_translating_and_projecting_can_be_swapped(name, keep):
    g, A = group(name), smooth(name)
    basis = OrbitBasis.of(A, g, keep=keep)
    h = torch.arange(len(A)) % g.order
    x = basis.translate(basis.project(A), h)
    assert torch.allclose(x, basis.project(translate(A, g, h)), atol=1e-4)
    lifted = translate(basis.lift(basis.project(A)), g, h)
    assert torch.allclose(basis.lift(x), lifted, atol=1e-4)


@pytest.mark.parametrize("name", ["C8", "D4", "D16"])
def test_it_holds_the_share_asked_for_and_hardly_more(name):
    A = smooth(name, count=200)
    mean = A.mean((0, 1))
    g = group(name)
    basis = OrbitBasis.of(A, g, keep=0.9)
    centred = A - mean
    # Over all translates: those of one orbit do not count more than those of another.
    held = basis.project(centred).square().sum() / centred.square().sum()
    assert held.item() == pytest.approx(basis.held, abs=1e-4)
    most = max(irrep.dim for irrep in g.irreps())
    assert 0.9 <= basis.held < 0.9 + most * 0.05
    assert basis.size < basis.numbers / 2


def test_orthonormal_vectors():
    A = smooth("D4")
    basis = OrbitBasis.of(A, group("D4"), keep=0.8)
    U = basis.lift(torch.eye(basis.size)).flatten(1)
    assert torch.allclose(U @ U.T, torch.eye(basis.size), atol=1e-5)


def test_coordinates_vary_alike():
    """Within an irrep none of the coordinates has most of the variance."""
    A = smooth("D8", count=400, channels=24)
    basis = OrbitBasis.of(A, group("D8"), keep=0.95)
    x = basis.project(A - A.mean((0, 1)))
    for _, mixture, part in basis._blocks(x):
        if len(mixture) > 8:
            share = part.square().sum(0) / part.square().sum()
            assert share.max() < 4 / part.shape[1]


def test_the_same_again_and_from_its_tensors():
    A = smooth("D4")
    first, second = (OrbitBasis.of(A, group("D4"), seed=3) for _ in range(2))
    assert torch.equal(first.project(A), second.project(A))
    copy = OrbitBasis("D4", first.mixtures, 6, first.held)
    assert torch.equal(copy.project(A), first.project(A))
    assert copy.held == first.held


@pytest.mark.parametrize("keep", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_out_of_range(keep):
    with pytest.raises(UserError, match="keep"):
        OrbitBasis.of(smooth("D4"), group("D4"), keep=keep)


def test_orbits_that_do_not_vary():
    A = torch.ones(5, 8, 3)
    with pytest.raises(UserError, match="the same"):
        OrbitBasis.of(A, group("D4"))
