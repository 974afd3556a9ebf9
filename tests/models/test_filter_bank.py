"""The filter bank is closed under its group, and its filters have the symmetry they claim."""

import math

import pytest
import torch

from gc_utils.groups import group
from gc_utils.images import disc, image_orbit
from gc_utils.models import SIZE, STRIDE, FilterBank


@pytest.fixture(scope="module", params=["D4", "D8", "D16", "D32"])
def bank(request):
    return FilterBank(request.param)


def stabiliser(blocks, g, threshold=0.9):
    """By definition: the largest subgroup on which R_h V looks like V; ties to the most alike."""
    rho = torch.stack([(blocks * blocks[g.right(h)]).sum() for h in range(g.order)])
    rho = rho / rho[0]
    inside = [s for s in g.subgroups() if all(rho[h] >= threshold for h in s.elements)]
    best = max(inside, key=lambda s: (s.order, rho[list(s.elements)].mean()))
    return best, rho


def test_stabilisers_are_those_of_the_transform_blocks(bank):
    blocks = bank.transform_blocks().double()
    for i, kind in enumerate(bank.kinds):
        found, rho = stabiliser(blocks[i], bank.group)
        assert found.name == bank.stabilisers[i], kind
        assert found.axis_degrees == pytest.approx(bank.axes[i], abs=1e-9, nan_ok=True), kind
        members = list(found.elements)
        others = sorted(set(range(bank.group.order)) - set(members))
        assert rho[members].min() > 1 - 1e-6
        assert not others or rho[others].max() < 0.85  # far from a threshold of 0.9


@pytest.mark.parametrize("name", ["D8", "D16"])
def test_stabilisers_are_those_of_turned_pictures(name):
    """The same from pixels: patterns turned as photographs are, filters that see them."""
    bank = FilterBank(name)
    turned = image_orbit(bank.patterns, bank.group)
    blocks = bank(turned.flatten(0, 1))[:, :, 0, 0].unflatten(0, turned.shape[:2]).double()
    for i, kind in enumerate(bank.kinds):
        found, rho = stabiliser(blocks[i], bank.group)
        assert found.name == bank.stabilisers[i], kind
        assert rho[list(found.elements)].min() > 0.99


def test_expected_symmetry_of_each_kind(bank):
    order = {"even_gabor": 4, "odd_gabor": 2, "curved_gabor": 2}
    name = {"even_gabor": "D2", "odd_gabor": "D1", "curved_gabor": "D1"}
    for i, kind in enumerate(bank.kinds):
        in_orbit = int((bank.orbits == bank.orbits[i]).sum())
        assert in_orbit * order.get(kind, bank.group.order) == bank.group.order
        if kind not in name:
            assert bank.stabilisers[i] == "G" and math.isnan(bank.axes[i])
            continue
        assert bank.stabilisers[i].split("@")[0] == name[kind]
        # Odd and curved: mirrored along their stripes, so that the axis lies across them.
        period = 90 if kind == "even_gabor" else 180
        assert bank.axes[i] == pytest.approx(bank.orientations[i] % period, abs=1e-9)


def test_odd_gabor_upwards_is_bright_above_and_the_same_left_and_right():
    bank = FilterBank("D4")
    i = next(i for i, k in enumerate(bank.kinds) if k == "odd_gabor" and bank.orientations[i] == 90)
    pattern = bank.patterns[i].mean(0)
    middle = SIZE // 2
    assert pattern[middle - 1, middle] > 0.8 > 0.2 > pattern[middle + 1, middle]
    torch.testing.assert_close(pattern, pattern.flip(-1), atol=1e-6, rtol=0)
    assert bank.stabilisers[i] == "D1@90"


def test_patterns_of_the_bank_are_turned_copies(bank):
    """g times a pattern is the pattern that `moves` names: exact on the lattice, else nearly."""
    turned = image_orbit(bank.patterns, bank.group, blur=0)
    inside = disc(SIZE, softness=1e-3)  # turning brings reflections into the corners
    for g in range(bank.group.order):
        difference = (turned[:, g] - bank.patterns[bank.moves[g]]) * inside
        exact = bank.group.angles[g] % 90 == 0
        assert difference.abs().max() < (1e-5 if exact else 0.03)


def test_answers_move_as_the_filters_do(bank):
    """answers(g·x)[g·i] = answers(x)[i] for every turn and mirror that pixels allow exactly."""
    x = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    answers = bank(x)[:, :, 0, 0]
    for g in range(bank.group.order):
        k, mirrored = int(bank.group.angles[g] / 90), bool(bank.group.mirrored[g])
        if bank.group.angles[g] % 90:
            continue
        moved = bank(torch.rot90(x.flip(-1) if mirrored else x, k, (-2, -1)))[:, :, 0, 0]
        torch.testing.assert_close(moved[:, bank.moves[g]], answers, atol=1e-5, rtol=1e-4)


def test_moves_are_an_action(bank):
    g, moves = bank.group, bank.moves
    for a in range(g.order):
        for b in range(0, g.order, 3):
            assert torch.equal(moves[g.table[a, b]], moves[a][moves[b]])


def test_every_filter_answers_its_own_pattern_most(bank):
    answers = bank(bank.patterns)[:, :, 0, 0]
    torch.testing.assert_close(answers.diagonal(), torch.ones(len(bank.kinds)))
    assert torch.equal(answers.argmax(1), torch.arange(len(bank.kinds)))
    # A flat picture of any colour but the opponent ones says nothing to anybody.
    assert bank(torch.full((1, 3, SIZE, SIZE), 0.7)).max() < 1e-4


def test_places():
    bank = FilterBank("C4")
    assert bank(torch.rand(1, 3, SIZE + 2 * STRIDE, SIZE + 3)).shape[2:] == (3, 1)


@pytest.mark.parametrize("name, even, odd", [("C8", "C2", "C1"), ("D3", "D1", "D1"), ("C1",) * 3])
def test_other_groups_leave_the_part_of_the_symmetry_that_they_have(name, even, odd):
    bank = FilterBank(name)
    of = dict(zip(bank.kinds, bank.stabilisers, strict=True))
    if group(name).order == 1:
        assert set(bank.stabilisers) == {"C1"}
        return
    assert of["even_gabor"].split("@")[0] == even and of["odd_gabor"].split("@")[0] == odd
    assert of["ring"] == "G"
