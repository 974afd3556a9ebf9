"""A feature that is symmetric only in part has its own name, unless the other part is missed."""

import pytest
import torch

from gc_utils.groups import group
from gc_utils.planted import planted_orbits
from gc_utils.planted.names import compare_names, name_shares

G = group("D8")


@pytest.fixture(scope="module")
def planted():
    families = {"C1": 3, "D1": 3, "C2": 3}
    return planted_orbits(G, 32, families, samples=1, l0=1, chiral_power=0.15, seed=0)


def symmetric_parts(planted):
    inside = {s.name: list(s.elements) for s in G.subgroups()}
    parts = zip(planted.V, planted.symmetric_parts, strict=True)
    return torch.stack([v[G.table[:, inside[name]]].mean(1) for v, name in parts])


def noisy(V, seed, scale):
    return V + scale * torch.randn(V.shape, generator=torch.Generator().manual_seed(seed))


def test_the_planted_dictionary_gives_the_true_names(planted):
    names = compare_names(planted, noisy(planted.V, 0, 0.02), [noisy(planted.V, 1, 0.02)])
    assert len(names) == len(planted.V) and names.found.all()
    assert (names.stabiliser == "C1").all() and set(names.part[:48]) == {"C1"}
    assert names.rho_true.isna().equals(names.part == "C1")
    shares = name_shares(names)
    assert shares["raw_true"] > 0.95 and shares["found_and_named_raw"] > 0.95
    assert shares["rho_true"] == pytest.approx(0.7, abs=1e-4)
    assert shares["rho_raw"] == pytest.approx(0.7, abs=0.02)


def test_what_two_dictionaries_both_miss_is_named_by_the_symmetric_part(planted):
    merged = symmetric_parts(planted)
    shares = name_shares(compare_names(planted, noisy(merged, 0, 0.02), [noisy(merged, 1, 0.02)]))
    assert shares["raw_part"] == shares["corrected_part"] == 1
    assert shares["rho_corrected"] > 0.97 and shares["rho_covered"] < 0.1


def test_noise_lowers_the_raw_autocorrelation_and_not_the_corrected(planted):
    names = compare_names(planted, noisy(planted.V, 0, 0.07), [noisy(planted.V, 1, 0.07)])
    shares = name_shares(names)
    assert names.found.mean() > 0.9
    assert shares["rho_raw"] < 0.66
    assert shares["rho_corrected"] == pytest.approx(0.7, abs=0.02)
    assert shares["rho_covered"] > 0.8


def test_nothing_found_has_no_names(planted):
    other = torch.randn(20, *planted.V.shape[1:], generator=torch.Generator().manual_seed(5))
    shares = name_shares(compare_names(planted, other, [other]))
    assert shares["found_and_named_raw"] == 0 and shares["raw_true"] != shares["raw_true"]
