"""The groups are what their definitions say."""

import math

import numpy as np
import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.groups import group
from gc_utils.symmetry import stabilisers

NAMES = ["C1", "C2", "C3", "C4", "C7", "C8", "D1", "D2", "D3", "D4", "D6", "D7", "D16"]
everywhere = pytest.mark.parametrize("name", NAMES)


@everywhere
def test_table_is_a_group(name):
    g = group(name)
    t, e = g.table, torch.arange(g.order)
    assert (t[0] == e).all() and (t[:, 0] == e).all()
    assert (t[t] == t[e[:, None, None], t[None]]).all()  # (a·b)·c = a·(b·c)
    assert (t[e, g.inverse] == 0).all() and (t[g.inverse, e] == 0).all()
    assert len(g.names) == len(set(g.names)) == g.order


@everywhere
def test_matrices_are_the_faithful_action_on_the_plane(name):
    g = group(name)
    product = g.matrices[:, None] @ g.matrices[None]
    assert torch.allclose(product, g.matrices[g.table], atol=1e-12)
    assert torch.unique(g.matrices.reshape(g.order, 4).round(decimals=6), dim=0).shape[0] == g.order
    assert ((g.matrices.det() < 0) == g.mirrored).all()


def test_r_turns_counter_clockwise_and_s_mirrors_left_right():
    g = group("D4")
    right = torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert torch.equal(g.matrices[1] @ right, torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert torch.equal(g.matrices[4] @ right, -right)
    s, r = 4, 1
    assert g.table[s, r] == g.table[g.inverse[r], s]


@everywhere
def test_irreps_are_homomorphisms(name):
    for irrep in group(name).irreps():
        m = irrep.matrices
        assert torch.allclose(m[:, None] @ m[None], m[group(name).table], atol=1e-10)
        assert m.shape == (group(name).order, irrep.dim, irrep.dim)


@everywhere
def test_dimensions_fill_the_group_algebra(name):
    irreps = group(name).irreps()
    assert sum(i.dim**2 / i.endomorphism for i in irreps) == group(name).order
    assert len({i.name for i in irreps}) == len(irreps)


@everywhere
def test_characters_are_orthogonal(name):
    irreps = group(name).irreps()
    x = torch.stack([i.characters for i in irreps])
    expected = torch.diag(torch.tensor([float(i.endomorphism) for i in irreps])).double()
    assert torch.allclose(x @ x.T / group(name).order, expected, atol=1e-10)


@pytest.mark.parametrize("name", [n for n in NAMES if n[0] == "D"])
def test_matrix_elements_are_orthogonal_for_dihedral_groups(name):
    """Schur: the mean over g of D_ij(g) D'_kl(g) is 1/dim where all agree, else 0."""
    g = group(name)
    rows = torch.cat([i.matrices.reshape(g.order, -1) * i.dim**0.5 for i in g.irreps()], 1)
    assert torch.allclose(rows.T @ rows / g.order, torch.eye(g.order).double(), atol=1e-10)


@everywhere
def test_frequency_is_the_eigenvalue_of_r(name):
    g = group(name)
    for irrep in g.irreps():
        angle = torch.linalg.eigvals(irrep.matrices[1 % g.n]).angle().abs()
        turns = 2 * math.pi * irrep.frequency / g.n
        assert torch.allclose(angle, torch.full_like(angle, turns), atol=1e-10)


@everywhere
def test_subgroups_are_closed_and_all_there(name):
    g = group(name)
    found = g.subgroups()
    for sub in found:
        members = torch.tensor(sub.elements)
        assert set(g.table[members][:, members].flatten().tolist()) == set(sub.elements)
    divisors = [d for d in range(1, g.n + 1) if g.n % d == 0]
    # Every divisor d gives one Cd, and n/d conjugates of Dd.
    expected = len(divisors) + (sum(g.n // d for d in divisors) if g.dihedral else 0)
    assert len(found) == len({s.elements for s in found}) == expected
    assert len({s.name for s in found}) == len(found)


def test_subgroups_of_d4_by_brute_force():
    g = group("D4")
    closed = set()
    for bits in range(1, 2**g.order, 2):  # subsets with the identity
        members = [i for i in range(g.order) if bits >> i & 1]
        sub = torch.tensor(members)
        if set(g.table[sub][:, sub].flatten().tolist()) == set(members):
            closed.add(tuple(members))
    assert closed == {s.elements for s in g.subgroups()}


@pytest.mark.parametrize("name", [n for n in NAMES if n[0] == "D"])
def test_mirrors_fix_their_axis(name):
    g = group(name)
    for element in range(g.n, g.order):
        phi = math.radians(g.axis(element))
        line = torch.tensor([math.cos(phi), math.sin(phi)], dtype=torch.float64)
        assert torch.allclose(g.matrices[element] @ line, line, atol=1e-12)
    for sub in g.subgroups():
        axes = [g.axis(e) for e in sub.elements if e >= g.n]
        if sub.name == "G" or not axes:
            assert math.isnan(sub.axis_degrees)
        else:
            assert sub.axis_degrees == min(axes)
            assert sub.name == f"D{sub.rotation_order}@{round(min(axes), 3):g}"


@pytest.mark.parametrize("name", ["E8", "D0", "C", "d4", "C-1", "D4 ", "", "C99999", None])
def test_other_names_are_refused_with_examples(name):
    with pytest.raises(UserError, match="expected 'Cn'.*'D16'") as error:
        group(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("name", ["C6", "D4", "D6"])
def test_conjugate_subgroups_stabilise_turned_functions(name):
    g, rng = group(name), np.random.default_rng(0)
    for i, s in enumerate(g.subgroups()):
        T = rng.standard_normal((g.order, 8))[g.table[:, list(s.elements)]].mean(1)
        for h in range(g.order):
            turned = torch.from_numpy(T[g.right(h).numpy()])[None]
            (found,) = stabilisers(turned, g, 0.99)
            assert found == g.subgroups()[int(g.conjugates[h, i])]
