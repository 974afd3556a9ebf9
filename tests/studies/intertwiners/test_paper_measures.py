"""The paper's measures against values worked out by hand, or from their definitions in loops."""

import itertools
import math

import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.inspection import rotated_basis
from gc_utils.studies import intertwiners as it
from gc_utils.studies.intertwiners import paper_measures as pm

GROUP = (pm.GROUP_PROCRUSTES, pm.MU_CKA)
BLIND = (pm.ORTHOGONAL_PROCRUSTES, pm.LINEAR_CKA)


def units(*columns):
    """Units given as their responses to images, on a grid of one position."""
    return torch.tensor(columns, dtype=torch.float64).T[:, :, None, None]


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).double() ** 2


def test_group_procrustes_by_hand():
    X = units([5, 0, 0, 0], [0, 2, 0, 0])
    assert it.MEASURES[pm.GROUP_PROCRUSTES](X, X.flip(1)) == pytest.approx(1)
    # Unit vectors: x1·y1 = 0, x1·y2 = 1/√2, x2·y1 = 1, x2·y2 = 0; the permutation swaps.
    Y = units([0, 3, 0, 0], [7, 0, 7, 0])
    squared = 2 + 2 - 2 * (1 + 1 / math.sqrt(2))
    expected = 1 - math.sqrt(squared) / (2 * math.sqrt(2))
    assert it.MEASURES[pm.GROUP_PROCRUSTES](X, Y) == pytest.approx(expected)
    assert expected == pytest.approx(0.7294, abs=1e-4)
    # Not centred: units that differ in their means alone are not the same.
    assert it.MEASURES[pm.GROUP_PROCRUSTES](X + 1, X) < 0.9


def test_orthogonal_procrustes_by_hand():
    X, Y = units([5, 0, 0, 0], [0, 5, 0, 0]), units([3, 0, 0, 0], [3, 0, 0, 0])
    # X^T Y = [[1, 1], [0, 0]] / 2 at norm 1 each; its one singular value is 1/√2.
    expected = 1 - math.sqrt(2 - math.sqrt(2)) / 2
    assert it.MEASURES[pm.ORTHOGONAL_PROCRUSTES](X, Y) == pytest.approx(expected)
    assert it.MEASURES[pm.ORTHOGONAL_PROCRUSTES](X, 4 * X.flip(1)) == pytest.approx(1)


def test_coarser_grids_are_repeated_and_missing_units_are_silent():
    X = units([1, 0, 0, 0])
    Y = torch.zeros(4, 2, 2, 2, dtype=torch.float64)
    Y[0, 0], Y[1, 1] = 3.0, 2.0
    # One of two units is the same on the larger grid, the other has no partner.
    expected = 1 - math.sqrt((1 + 2 - 2 * 1) / (4 * 2))
    assert it.MEASURES[pm.GROUP_PROCRUSTES](X, Y) == pytest.approx(expected)
    Y[0, 0, 0] = 0  # now it responds at two of the four positions
    expected = 1 - math.sqrt((1 + 2 - 2 / math.sqrt(2)) / 8)
    assert it.MEASURES[pm.GROUP_PROCRUSTES](X, Y) == pytest.approx(expected)
    rows = [[0.0, 1], [2, 3]]
    wide = pm.same_shape(torch.tensor(rows)[None, None], torch.zeros(1, 3, 4, 2))[0]
    assert wide.shape == (1, 3, 4, 2) and not wide[0, 1:].any()
    repeated = torch.tensor([rows[0], rows[0], rows[1], rows[1]]) / math.sqrt(2)
    assert torch.allclose(wide[0, 0], repeated)


def test_the_unbiased_hsic_is_the_mean_over_quadruples_of_images():
    n = 6
    K, L = (pm.linear_kernel(drawn(n, 3, 1, 2, seed=s)) for s in (1, 2))
    terms = [
        K[i, j] * L[i, j] + K[i, j] * L[q, r] - 2 * K[i, j] * L[i, q]
        for i, j, q, r in itertools.permutations(range(n), 4)
    ]
    assert float(it.unbiased_hsic(K, L)) == pytest.approx(float(sum(terms) / len(terms)))


def standardised(X):
    """Every unit less its mean over images and positions, over its norm, in loops."""
    out = torch.zeros_like(X)
    for c in range(X.shape[1]):
        off = X[:, c] - X[:, c].sum() / X[:, c].numel()
        out[:, c] = off / math.sqrt(float((off**2).sum()))
    return out


def test_kernels_take_the_largest_unit_or_the_sum_of_units_over_positions():
    X = drawn(5, 3, 2, 2, seed=3)
    z = standardised(X)
    for i, j in itertools.product(range(5), repeat=2):
        by_unit = [float((z[i, c] * z[j, c]).sum()) for c in range(3)]
        assert it.max_kernel(X)[i, j] == pytest.approx(max(by_unit) if i != j else 0)
        assert pm.standardised_kernel(X)[i, j] == pytest.approx(sum(by_unit) if i != j else 0)
        off = X - X.mean((0, 2, 3), keepdim=True)
        plain = float((off[i] * off[j]).sum()) if i != j else 0
        assert it.linear_kernel(X)[i, j] == pytest.approx(plain)
    # Sums over positions are not what single positions say.
    one = torch.stack([z[:, :, y, x] for y, x in itertools.product(range(2), repeat=2)])
    singly = max(float((one[p, 0] * one[p, 1]).max()) for p in range(4))
    assert it.max_kernel(X)[0, 1] != pytest.approx(singly)


def test_mu_cka_is_the_ratio_of_its_parts():
    X, Y = drawn(7, 3, 2, 2, seed=4), drawn(7, 5, 1, 1, seed=5)
    K, L = it.max_kernel(X), it.max_kernel(Y)
    parts = [float(it.unbiased_hsic(*pair)) for pair in ((K, L), (K, K), (L, L))]
    assert it.MEASURES[pm.MU_CKA](X, Y) == pytest.approx(parts[0] / math.sqrt(parts[1] * parts[2]))


def test_what_measures_do_not_see():
    X, Y = drawn(30, 6, 2, 2), drawn(30, 6, 2, 2, seed=1)
    member, Q = it.relu_member(6, seed=1).double(), rotated_basis(6).double()
    moved = torch.einsum("nchw,dc->ndhw", Y, member)
    turned = torch.einsum("nchw,cd->ndhw", Y, Q)
    for name, measure in it.MEASURES.items():
        unmoved = measure(X, Y)
        assert measure(Y, X) == pytest.approx(unmoved)  # none depends on the order
        assert measure(X, X) == pytest.approx(1, abs=1e-7)
        same = pytest.approx(unmoved, abs=1e-7)
        if name in (*GROUP, pm.STANDARDISED_CKA):
            assert measure(X, moved) == same and measure(X, turned) != same
        if name in BLIND:
            assert measure(X, turned) == same and measure(X, moved) != same
    narrow = drawn(30, 4, 1, 1, seed=2)
    for measure in it.MEASURES.values():
        assert measure(X, narrow) == pytest.approx(measure(narrow, X))


def test_silent_units_change_no_kernel_and_mistakes_are_named():
    X = drawn(8, 3, 2, 2)
    silent = torch.cat([X, torch.zeros(8, 2, 2, 2), torch.full((8, 1, 2, 2), 0.1)], 1)
    assert torch.allclose(pm.standardised_kernel(X), pm.standardised_kernel(silent), atol=1e-12)
    assert it.MEASURES[pm.MU_CKA](X, torch.zeros_like(X)) == 0
    assert not pm.unit_columns(silent, centred=True)[:, 3:].any()
    with pytest.raises(UserError, match="3 images: expected 4"):
        it.unbiased_hsic(torch.zeros(3, 3), torch.zeros(3, 3))
    with pytest.raises(UserError, match="whole multiples"):
        it.MEASURES[pm.GROUP_PROCRUSTES](X, drawn(8, 3, 3, 3))
    with pytest.raises(UserError, match="8 and 7 images"):
        it.MEASURES[pm.GROUP_PROCRUSTES](X, X[:7])
