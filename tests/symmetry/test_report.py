"""Symmetry: stabilisers, spectra and the report, on blocks whose symmetry is known."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.families import orbit_distance
from gc_utils.groups import group
from gc_utils.models import FilterBank
from gc_utils.symmetry import (
    autocorrelation,
    block_profile,
    chirality,
    family_elements,
    frequency_spectrum,
    invariance,
    irrep_spectrum,
    latent_scaling,
    norm_profile,
    refit_blocks,
    stabilisers,
    symmetry_report,
)

NAMES = ["C1", "C5", "C6", "C8", "D1", "D2", "D3", "D4", "D5", "D6"]


def blocks(m, name, channels=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(m, group(name).order, channels, generator=generator, dtype=torch.float64)


def turned(V, g, h):
    """`(R_h V)[g] = V[g·h]`."""
    return V[..., g.right(h), :]


def with_stabiliser(g, subgroup, seed=0):
    """A random template averaged over a subgroup: that subgroup fixes it, and no more does."""
    template = blocks(1, g.name, seed=seed)[0]
    return torch.stack([turned(template, g, h) for h in subgroup.elements]).mean(0)


# --- profiles ------------------------------------------------------------------------------------


def test_profiles_by_definition():
    V = blocks(3, "D4")
    V[1, 5] = 0
    V[2] = 0
    profile, norms = block_profile(V), norm_profile(V)
    cosine = torch.nn.functional.cosine_similarity(V[0], V[0, :1].expand(8, 12))
    torch.testing.assert_close(profile[0], cosine)
    assert profile[1, 5] == norms[1, 5] == 0
    torch.testing.assert_close(norms[:2].mean(1), torch.ones(2, dtype=torch.float64))
    torch.testing.assert_close(norms[0] / norms[0, 0], V[0].norm(dim=1) / V[0, 0].norm())
    assert not profile[2].any()
    assert not norms[2].any()


@pytest.mark.parametrize("name", NAMES)
def test_autocorrelation_is_its_definition(name):
    g, V = group(name), blocks(4, name)
    expected = torch.stack([(V * turned(V, g, h)).sum((1, 2)) for h in range(g.order)], 1)
    expected = expected / V.square().sum((1, 2))[:, None]
    rho = autocorrelation(V, name)
    torch.testing.assert_close(rho, expected)
    assert (rho[:, 0] == 1).all()
    torch.testing.assert_close(rho, rho[:, g.inverse])


# --- stabilisers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["C1", "C6", "D1", "D4", "D6", "D8"])
def test_every_subgroup_is_recognised_and_named(name):
    g = group(name)
    V = torch.stack([with_stabiliser(g, s, seed=i) for i, s in enumerate(g.subgroups())])
    assert stabilisers(V, g) == g.subgroups()
    report = symmetry_report(V, g)
    assert report.stabiliser.tolist() == [s.name for s in g.subgroups()]
    assert report.order_of_stabiliser.tolist() == [s.order for s in g.subgroups()]
    np.testing.assert_array_equal(report.axis_degrees, [s.axis_degrees for s in g.subgroups()])
    np.testing.assert_allclose(
        report.period_degrees, [360 / s.rotation_order for s in g.subgroups()]
    )
    assert (report.stabiliser_rho > 1 - 1e-9).all()
    assert not (report.next_rho > 0.9).any()


@pytest.mark.parametrize("name", ["D4", "D16"])
def test_a_bank_of_filters_has_the_symmetry_it_was_drawn_with(name):
    bank = FilterBank(name)
    report = symmetry_report(bank.transform_blocks(), bank.group)
    assert report.stabiliser.tolist() == bank.stabilisers
    np.testing.assert_array_equal(report.axis_degrees, bank.axes)


def test_axis_of_a_turned_feature_turns_with_it():
    # x' = r^k·x has activations R_{r^k} A: a feature turned by 360k/n has its axis turned as much.
    g = group("D8")
    mirror = next(s for s in g.subgroups() if s.name == "D1@90")
    V = with_stabiliser(g, mirror)
    for k in range(8):
        axis = symmetry_report(turned(V, g, k)[None], g).axis_degrees[0]
        assert axis == (90 + 45 * k) % 180


def test_noise_lowers_what_the_threshold_asks_for():
    g = group("D4")
    V = with_stabiliser(g, g.subgroups()[-1]) + 0.3 * blocks(1, "D4", seed=9)[0]
    rho = autocorrelation(V[None], g)[0, 1:].min().item()
    assert 0.3 < rho < 0.95
    for threshold, name in [(rho - 0.01, "G"), (0.999, "C1")]:
        report = symmetry_report(V[None], g, threshold=threshold)
        assert report.stabiliser[0] == name
    # Just above it, the smallest ρ is reported as what was missing for a larger one.
    assert report.next_rho[0] < 0.999
    assert report.stabiliser_rho[0] == 1


@pytest.mark.parametrize(("weights", "name"), [((0.3, 0.25), "D1@0"), ((0.25, 0.3), "D1@90")])
def test_ties_between_subgroups_of_one_order_go_to_the_higher_mean(weights, name):
    # An invariant channel, and one that each of the two mirrors turns into its negative.
    g = group("D4")
    plane = g.matrices[:, 0] * torch.tensor(weights)
    V = torch.cat([torch.ones(8, 1), plane], 1)[None]
    rho = autocorrelation(V, g)[0]
    assert rho[2] < 0.9 < rho[4:].min()  # all four mirrors would do, and nothing larger
    assert symmetry_report(V, g, threshold=0.9).stabiliser[0] == name


@pytest.mark.parametrize("threshold", [0, -1, 1.1, math.nan])
def test_threshold_is_checked(threshold):
    with pytest.raises(UserError, match="threshold"):
        symmetry_report(blocks(2, "D4"), "D4", threshold=threshold)


# --- spectra -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_irrep_spectrum_is_the_power_of_the_fourier_coefficients(name):
    g, V = group(name), blocks(3, name)
    power = []
    for irrep in g.irreps():
        coefficients = torch.einsum("gab,mgc->mabc", irrep.matrices, V)
        weight = irrep.dim / (irrep.endomorphism * g.order)
        power.append(weight * coefficients.square().sum((1, 2, 3)))
    power = torch.stack(power, 1)
    total = V.square().sum((1, 2))
    torch.testing.assert_close(power.sum(1), total)  # Parseval
    torch.testing.assert_close(irrep_spectrum(V, name), power / total[:, None])


@pytest.mark.parametrize("name", ["C6", "D5", "D6"])
def test_spectrum_does_not_change_when_the_feature_turns(name):
    g, V = group(name), blocks(2, name)
    expected = irrep_spectrum(V, g)
    for h in range(g.order):
        torch.testing.assert_close(irrep_spectrum(turned(V, g, h), g), expected)


@pytest.mark.parametrize("name", NAMES)
def test_invariant_features_live_in_the_trivial_irrep(name):
    g = group(name)
    V = with_stabiliser(g, g.subgroups()[-1])[None]
    assert invariance(V, g).item() == pytest.approx(1)
    # And the trivial share is that of the mean over the group.
    W = blocks(2, name)
    share = g.order * W.mean(1).square().sum(1) / W.square().sum((1, 2))
    torch.testing.assert_close(invariance(W, g), share)


@pytest.mark.parametrize("name", ["C8", "D8"])
def test_frequencies_are_multiples_of_the_rotation_order(name):
    g = group(name)
    for i, subgroup in enumerate(g.subgroups()):
        spectrum = frequency_spectrum(with_stabiliser(g, subgroup, seed=i)[None], g)[0]
        assert spectrum.shape == (5,)
        assert spectrum.sum().item() == pytest.approx(1)
        allowed = torch.arange(5) % subgroup.rotation_order == 0
        assert (spectrum[~allowed] < 1e-12).all()
        assert (spectrum[allowed] > 1e-4).all()


def test_polar_features_have_odd_frequencies_only():
    g = group("D6")
    V = blocks(1, "D6")
    spectrum = frequency_spectrum(V - turned(V, g, 3), g)[0]  # changes sign after 180°
    assert (spectrum[::2] < 1e-12).all()


@pytest.mark.parametrize("frequency", [1, 2, 3])
def test_dominant_frequency_of_a_cosine(frequency):
    angle = torch.arange(12) * 2 * math.pi / 12
    V = torch.stack([torch.cos(frequency * angle), torch.sin(frequency * angle)], 1)[None]
    for offset, expected in [(0.0, frequency), (3.0, 0)]:
        report = symmetry_report(torch.cat([V, torch.full((1, 12, 1), offset)], 2), "C12")
        assert report.dominant_frequency[0] == expected
        assert report.dominant_harmonic[0] == frequency


def test_chirality():
    g = group("D4")
    mirror = next(s for s in g.subgroups() if s.name == "D1@45")
    V = torch.stack([with_stabiliser(g, mirror), blocks(1, "D4")[0], torch.zeros(8, 12)])
    rho = autocorrelation(V, g)
    found = chirality(V, g)
    assert found[0].item() == pytest.approx(0)
    assert found[1].item() == pytest.approx(1 - rho[1, 4:].max().item())
    assert found[1] > 0.5
    assert found[2].isnan()
    assert chirality(blocks(2, "C4"), "C4").isnan().all()


# --- one feature to another ----------------------------------------------------------------------


def test_the_element_that_maps_one_feature_to_another_is_found():
    g, V = group("D5"), blocks(1, "D5")
    for h in range(g.order):
        moved = turned(V[0], g, h)[None]
        distance, element = orbit_distance(moved, g, other=V, return_element=True)
        assert element == h
        assert distance < 1e-5


def test_family_elements_map_one_member_to_the_other():
    g = group("D4")
    template, stranger = blocks(2, "D4")
    turns = [0, 3, 5, 6]
    V = torch.stack([stranger, *(turned(template, g, h) for h in turns), stranger])
    table = family_elements(V, g, [7, 2, 2, 2, 2, None])
    assert len(table) == 6  # one family of four; the others have one member or no label
    assert (table.family == 2).all()
    assert (table.distance < 1e-5).all()
    for row in table.itertuples():
        torch.testing.assert_close(turned(V[row.other], g, row.element), V[row.feature])
        assert row.name == g.names[row.element]
        assert row.mirrored == (row.element >= 4)
        assert row.angle == 90 * (row.element % 4)


def test_no_families_give_an_empty_table():
    table = family_elements(blocks(3, "C4"), "C4", [0, 1, 2])
    assert len(table) == 0
    assert "element" in table
    with pytest.raises(UserError, match="2 labels for 3 features"):
        family_elements(blocks(3, "C4"), "C4", [0, 1])


# --- what the penalty did ------------------------------------------------------------------------


def shrunk_case():
    """Exact data, then one block shrunk to a quarter and one to nothing."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.rand(200, 3, generator=generator) * (
        torch.rand(200, 3, generator=generator) < 0.4
    )
    V = torch.linalg.qr(torch.randn(4, 5, 3, generator=generator))[0].permute(2, 0, 1)
    V = V * torch.tensor([1.0, 2.0, 3.0])[:, None, None]  # orthogonal between features
    bias = torch.randn(4, 5, generator=generator)
    A = torch.einsum("nm,mgc->ngc", codes, V) + bias
    shrunk = V.clone()
    shrunk[1, 2] *= 0.25
    shrunk[2, 3] = 0
    return A, codes, V, shrunk, bias


def test_latent_scaling_is_the_least_squares_scale():
    A, codes, _, V, bias = shrunk_case()
    V = V + 0.3 * torch.randn(V.shape, generator=torch.Generator().manual_seed(1))
    found = latent_scaling(A, codes, V, bias=bias, chunk=64)
    for i in range(3):
        without = codes.clone()
        without[:, i] = 0
        residual = A - bias - torch.einsum("nm,mgc->ngc", without, V)
        for g in range(4):
            x = torch.einsum("n,c->nc", codes[:, i], V[i, g]).flatten().double()
            scale = (x @ residual[:, g].flatten().double()) / (x @ x)
            assert found[i, g].item() == pytest.approx(scale.item(), rel=1e-3)


def test_latent_scaling_finds_the_block_that_was_shrunk():
    A, codes, V, shrunk, bias = shrunk_case()
    expected = torch.ones(3, 4, dtype=torch.float64)
    expected[1, 2] = 4
    expected[2, 3] = math.nan  # it vanished: no direction to scale
    found = latent_scaling(A, codes, shrunk, bias=bias)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0, equal_nan=True)
    refitted = refit_blocks(A, codes, shrunk, bias=bias)
    torch.testing.assert_close(refitted[1, 2], V[1, 2].double(), atol=1e-3, rtol=0)


def test_refitting_revives_a_vanished_block_and_not_a_truly_empty_one():
    A, codes, V, shrunk, bias = shrunk_case()
    alone = V.clone()
    alone[2, 3] = 0
    refitted = refit_blocks(A, codes, alone, bias=bias)
    torch.testing.assert_close(refitted[2, 3], V[2, 3].double(), atol=1e-3, rtol=0)
    empty = torch.einsum("nm,mgc->ngc", codes, alone) + bias
    assert refit_blocks(empty, codes, alone, bias=bias)[2, 3].norm() < 1e-3


def test_a_feature_that_never_fires_has_no_scale():
    A, codes, V, _, bias = shrunk_case()
    codes[:, 0] = 0
    found = latent_scaling(A, codes, V, bias=bias)
    assert found[0].isnan().all()
    assert found[1:].isfinite().all()
    with pytest.raises(UserError, match="that need"):
        latent_scaling(A, codes, V[:, :3])


# --- the report ----------------------------------------------------------------------------------


def test_report_has_one_row_a_feature_and_names_what_it_knows():
    V = blocks(3, "D4")
    V[1] = 0
    V[2, 3] = 0
    report = symmetry_report(V, "D4", labels=["curve", "other", None])
    assert report.feature.tolist() == [0, 1, 2]
    assert report.label.tolist()[:2] == ["curve", "other"]
    zero = report.loc[1]
    assert zero.stabiliser is None
    assert zero.order_of_stabiliser == zero.norm == 0
    assert zero[["axis_degrees", "period_degrees", "invariance", "chirality"]].isna().all()
    assert report.norm[0] == pytest.approx(V[0].norm().item())
    assert report.norm_min[2] == report.norm_ratio[2] == 0
    norms = V[0].norm(dim=1)
    assert report.norm_ratio[0] == pytest.approx((norms.min() / norms.max()).item())
    assert report.mean_rho[0] == pytest.approx(autocorrelation(V, "D4")[0, 1:4].mean().item())


def test_report_survives_a_csv(tmp_path):
    V = torch.stack([with_stabiliser(group("D4"), s) for s in group("D4").subgroups()])
    V = torch.cat([V, torch.zeros(1, 8, 12)])
    report = symmetry_report(V, "D4")
    report.to_csv(tmp_path / "features.csv", index=False)
    again = pd.read_csv(tmp_path / "features.csv")
    assert again.columns.tolist() == report.columns.tolist()
    assert again.stabiliser.fillna("").tolist() == report.stabiliser.fillna("").tolist()


@pytest.mark.parametrize("name", ["C1", "C2", "D1"])
def test_report_of_the_smallest_groups(name):
    report = symmetry_report(blocks(2, name), name)
    assert report.stabiliser.tolist() == ["C1", "C1"]
    assert report.period_degrees.tolist() == [360, 360]
    assert len(symmetry_report(blocks(0, name), name)) == 0


def test_report_refuses_what_does_not_fit():
    with pytest.raises(UserError, match="do not fit D3"):
        symmetry_report(blocks(2, "D4"), "D3")
    with pytest.raises(UserError, match="1 labels for 2 features"):
        symmetry_report(blocks(2, "D4"), "D4", labels=["a"])
