"""What sliders and gallery say of a feature: predicted codes, examples, relatives, trust."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.groups import group, translate
from gc_utils.inspection import (
    agreement,
    certainty,
    codes_over_group,
    predicted_codes,
    relations,
    samples_at_quantiles,
)
from gc_utils.symmetry import autocorrelation

G = group("D4")


@pytest.fixture
def V():
    """Blocks of four features: 2 is 0 transformed by element 5, 3 is invariant."""
    V = torch.randn(4, 8, 20, generator=torch.Generator().manual_seed(0))
    V[2] = translate(V[:1], G, torch.tensor([5]))[0]
    V[3] = V[3, :1]
    return V


def test_codes_of_a_transformed_patch_are_those_of_its_moved_orbit():
    torch.manual_seed(1)
    coder = GroupCrosscoder("D4", 6, 10, k=3, encode_from="orbit")
    A = torch.randn(20, 8, 6)
    coder.calibrate(A)
    codes = codes_over_group(coder, A[3])
    for h in range(8):
        moved = translate(A[3:4], G, torch.tensor([h]))
        torch.testing.assert_close(codes[h], coder.encode(moved)[0].detach())


def test_blocks_predict_the_code_times_rho_and_never_less_than_nothing(V):
    rho = autocorrelation(V, G).numpy()
    for i in range(4):
        expected = np.clip(2.5 * rho[i], 0, None)
        np.testing.assert_allclose(predicted_codes(2.5, V[i], G), expected, atol=1e-6)
    assert predicted_codes(2.5, V[0], G).min() == 0 < -rho[0].min()
    np.testing.assert_allclose(predicted_codes(2.5, V[3], "D4"), 2.5, rtol=1e-5)


def test_agreement_is_one_for_the_same_and_none_for_a_constant():
    measured = np.array([4.0, 1.0, 0.0, 1.0])
    assert agreement(measured, measured) == 1
    assert agreement(measured, np.full(4, measured.mean())) == pytest.approx(0)
    assert agreement(measured, measured[::-1]) < 0
    assert np.isnan(agreement(np.ones(4), measured)) and np.isnan(agreement(np.zeros(4), measured))


def test_samples_at_quantiles_are_of_the_positive_codes():
    values = np.array([0, 5.0, 1, 0, 3, 2, 4])
    assert samples_at_quantiles(values, (1, 0.5, 0)) == [1, 4, 2]
    assert samples_at_quantiles(np.zeros(5)) == []


def test_relations_name_the_element_that_maps_the_other_here(V):
    found = relations(V, G, 0)
    assert [one.feature for one in found][0] == 2 and len(found) == 3
    assert found[0].similarity == pytest.approx(1, abs=1e-4)
    moved = translate(V[[2]], G, torch.tensor([found[0].element]))[0]
    torch.testing.assert_close(moved, V[0], rtol=1e-4, atol=1e-4)
    assert sorted((one.similarity for one in found), reverse=True) == [
        one.similarity for one in found
    ]


def test_certainty_is_text_and_says_what_is_unknown():
    row = {"reproducibility": 0.816, "confidence": np.float64(0.5), "p_value": 0.0004}
    row |= {"rho_180": 1.02, "rho_180_low": 0.9, "rho_180_high": 1.2}
    known = {"reproducibility": "0.82", "confidence": "0.50", "p": "below 0.001"}
    assert certainty(row) == known | {"ρ(180°)": "1.02 [0.90, 1.20]", "repeats after 180°": "yes"}
    assert set(certainty({"p_value": float("nan"), "rho_180": None}).values()) == {"unknown"}
    assert certainty({"p_value": 0.25})["p"] == "0.250"
