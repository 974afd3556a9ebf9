"""The code of a feature over rotations, and the sentence that closes notebook 05."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.explorer.exhibit import Exhibit
from gc_utils.groups import group, translate
from gc_utils.studies.group_crosscoders.rotated_codes import (
    closing_explorer,
    closing_followed,
    code_under_rotations,
    how_codes_follow,
)


@pytest.mark.parametrize("encoder", ["identity", "orbit"])
def test_codes_are_those_of_the_rotated_orbit(encoder):
    torch.manual_seed(0)
    coder = GroupCrosscoder("D4", 6, 10, k=3, encode_from=encoder)
    A = torch.randn(20, 8, 6)
    coder.calibrate(A)
    codes = code_under_rotations(coder, A[3], 2)
    assert codes.shape == (4,)
    for k in range(4):
        moved = translate(A[3:4], coder.group, torch.tensor([k]))
        assert codes[k] == pytest.approx(float(coder.encode(moved)[0, 2].detach()), abs=1e-6)


def test_the_sentence_turns_with_the_codes():
    line = closing_explorer(7, "line", 180, torch.tensor([2.0, 0.2, 1.8, 0.1]))
    assert line.startswith("Feature 7 (line), of period 180° by its blocks: rotated by 180°")
    assert "keeps 90 % of the code, which returns there, as its blocks say" in line
    assert line.endswith("the least of all rotations is 5 % at 270°.")
    off = closing_explorer(7, "line", 180, torch.tensor([2.0, 0.2, 0.2, 0.1]))
    assert "keeps 10 %" in off and "does not return there, although its blocks say otherwise" in off
    curve = closing_explorer(1, "curve", 360, torch.tensor([1.0, 0.5, 0.0, 0.5]))
    assert "rotated by 180°" in curve and "does not return there, as its blocks say" in curve
    wrong = closing_explorer(1, "curve", 360, torch.tensor([1.0, 0.5, 0.9, 0.5]))
    assert "returns there, although its blocks say otherwise" in wrong


def test_what_cannot_be_followed_is_said():
    assert "does not fire" in closing_explorer(1, "curve", 360, torch.zeros(4))
    odd = closing_explorer(1, "curve", 360, torch.tensor([1.0, 0.5, 0.25]))
    assert "do not include 180°" in odd and "25 % at 240°" in odd


def test_codes_of_orbits_that_are_a_feature_follow_its_blocks():
    """Orbits of one feature each: what the blocks predict is what is measured."""
    torch.manual_seed(0)
    g, V = group("D4"), torch.randn(3, 8, 40)
    V[1] = V[1, :1]  # invariant
    coder = GroupCrosscoder("D4", 40, 3, sparsity="l1", encode_from="orbit")
    with torch.no_grad():
        coder.V.copy_(V)
        coder.W_enc.copy_(V / V.square().sum((1, 2), keepdim=True))
    A = torch.cat([2 * V[[i]] for i in (0, 1, 2)])
    exhibit = Exhibit(
        None,
        "array",
        coder,
        np.zeros((3, 9, 9, 3), np.uint8),
        pd.DataFrame({"feature": [0, 1, 2], "label": "curve", "stabiliser": ["C1", "G", "C1"]}),
        coder.encode(A).detach(),
        orbits=A,
        drawn=True,
    )
    assert exhibit.fine is g or exhibit.fine.n == g.n
    table = how_codes_follow(exhibit, [0, 1, 2], patches=1)
    assert table.follows[0] == pytest.approx(1, abs=1e-4)
    assert table.follows[2] == pytest.approx(1, abs=1e-4)
    assert np.isnan(table.follows[1]) and table.least[1] == pytest.approx(1, abs=1e-4)
    said = closing_followed(table)
    assert said.startswith("The blocks account for half or more of the variation of 2 of 2")
    assert "invariant vary between 100 % and 100 %" in said


def test_a_table_in_which_nothing_varies_is_said_to_be_so():
    table = pd.DataFrame({"follows": [np.nan], "symmetry": ["G"], "least": [1.0], "most": [1.0]})
    assert closing_followed(table).startswith("None of these features is one whose code")
