import numpy as np
import pandas as pd
import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.groups import group
from gc_utils.images import draw
from gc_utils.inspection import BASELINE, METHODS, Decomposition, decompose, optimise
from gc_utils.statistics import holm
from gc_utils.studies import tuning_dimensions as td


def mixed(n=2000, seed=0):
    """Two independent non-negative sources in five channels."""
    rng = np.random.default_rng(seed)
    sources = rng.exponential(size=(n, 2)) * (rng.random((n, 2)) < 0.4)
    directions = np.array([[1.0, 0, 0, 1, 0], [0, 1.0, 1, 0, 1]])
    noise = 0.01 * rng.random((n, 5))
    return torch.from_numpy(sources @ directions + noise).float(), sources, directions


@pytest.mark.parametrize("method", ["ICA", "NMF", "sparse dictionary"])
def test_independent_sources_are_taken_apart(method):
    A, sources, directions = mixed()
    found = decompose(A, method, 2)
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    match = np.abs(found.basis @ unit.T)
    assert np.allclose(np.linalg.norm(found.basis, axis=1), 1)
    assert match.max(0).min() > 0.97 and sorted(match.argmax(0)) == [0, 1]
    assert found.explained > 0.8  # the sparse codes are shrunk
    for i in range(2):
        j = int(match[:, i].argmax())
        assert np.corrcoef(found.codes[:, j], sources[:, i])[0, 1] > 0.95


def test_pca_explains_most_and_reconstructs():
    A, _, _ = mixed()
    found = decompose(A, "PCA", 2)
    again = found.mean + found.codes @ found.basis
    left = np.square(A.numpy() - again).sum() / np.square(A.numpy() - A.numpy().mean(0)).sum()
    assert found.explained == pytest.approx(1 - left, abs=1e-5)
    assert all(found.explained >= decompose(A, m, 2).explained - 1e-6 for m in METHODS)


def test_random_directions_are_orthogonal_and_explain_little():
    A, _, _ = mixed()
    found = decompose(A, BASELINE, 2)
    assert np.allclose(found.basis @ found.basis.T, np.eye(2), atol=1e-6)
    assert found.explained < decompose(A, "PCA", 2).explained


def test_decompositions_refuse_what_they_cannot_do():
    A = torch.randn(50, 4)
    with pytest.raises(UserError, match="not negative"):
        decompose(A, "NMF", 2)
    with pytest.raises(UserError, match="too many"):
        decompose(A, "PCA", 5)
    with pytest.raises(UserError, match="ICA"):
        decompose(A, "ICB", 2)


def test_mutual_information_of_what_is_the_same_and_what_is_not():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=4000)
    other = rng.uniform(size=4000)
    same, none = td.mutual_information(np.stack([x, other], 1), x, bins=8)
    assert same == pytest.approx(np.log(8), abs=0.01) and none < 0.02
    names = np.where(x > 0.5, "a", "b")
    assert td.mutual_information(x[:, None], names)[0] == pytest.approx(np.log(2), abs=0.05)


def test_recovery_tells_attributes_from_random_numbers():
    rng = np.random.default_rng(0)
    attributes = pd.DataFrame({"real": rng.uniform(size=1500), "nothing": rng.uniform(size=1500)})
    codes = np.stack([attributes.real**2 + 0.05 * rng.normal(size=1500), rng.normal(size=1500)], 1)
    found = td.recovered_dimensions(codes, attributes, permutations=199).set_index("attribute")
    assert found.dimension["real"] == 0
    assert found.p_value["real"] == pytest.approx(1 / 200) and found.gap["real"] > 0.3
    assert found.p_value["nothing"] > 0.02 and abs(found.share["nothing"]) < 0.02


def test_holm_steps_down_within_each_family():
    p = [0.001, 0.02, 0.04, 0.9]
    assert holm(p, 0.05).tolist() == [True, False, False, False]  # 0.02 > 0.05 / 3
    assert holm(p, 0.05, ["a", "b", "b", "b"]).tolist() == [True, False, False, False]
    assert holm([0.04, 0.01], 0.05).tolist() == [True, True]
    # Once one fails, those behind it do.
    assert holm([0.03, 0.03, 0.03], 0.05).tolist() == [False] * 3


def test_the_gabor_bank_answers_most_to_its_own_patches():
    bank = td.gabor_bank(orientations=4, frequencies=2, phases=2)
    patches = td.gabor_patches(bank.table, 33)
    answers = bank(patches)
    assert answers.shape == (len(bank.table),) * 2 and float(answers.min()) == 0
    assert (answers.argmax(1) == torch.arange(len(answers))).all()


def test_the_dimensions_of_a_gabor_bank_are_found():
    shown, attributes = td.gabor_stimuli(1500)
    answers = td.gabor_bank(orientations=6, frequencies=2, phases=2)(shown)
    found = decompose(answers, "ICA", 12)
    table = td.recovered_dimensions(found.codes, attributes, permutations=99)
    assert (table.p_value == 0.01).all()  # the least that 99 permutations can give


def test_walks_go_along_one_dimension_and_patches_lie_along_them():
    A, _, _ = mixed()
    found = decompose(A, "ICA", 2)
    at = found.coordinates(A)
    assert np.allclose(at, found.codes - found.codes.mean(0), atol=1e-3)
    points = td.walk(at, 0, (0.1, 0.5, 0.99))
    assert np.allclose(points[:, 0], np.quantile(at[:, 0], (0.1, 0.5, 0.99)))
    assert np.allclose(points[:, 1], np.median(at[:, 1]))
    near = td.nearest_patches(at, points, count=2)
    assert len(set(near.ravel())) == 6
    assert np.abs(at[near] - points[:, None]).max() < 0.3 * at.std(0).min()
    with pytest.raises(UserError, match="too few"):
        td.nearest_patches(at[:5], points, count=2)


@pytest.mark.parametrize("method", METHODS)
def test_what_lies_on_a_walk_has_the_coordinates_of_its_points(method):
    A, _, _ = mixed()
    found = decompose(A, method, 2)
    points = td.walk(found.coordinates(A), 1)
    there = torch.from_numpy(found.mean + points @ found.basis)
    assert np.allclose(found.coordinates(there), points, atol=1e-6)


class Averages:
    """A model whose unit answers with the brightness of the picture's left and right half."""

    device = "cpu"

    def unit(self, x, layer):
        half = x.shape[-1] // 2
        return torch.stack([x[..., :half].mean((1, 2, 3)), x[..., -half:].mean((1, 2, 3))], 1)


def test_optimised_pictures_reach_the_points_of_a_walk():
    A = torch.rand(500, 2, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    found = Decomposition("PCA", np.eye(2), A.numpy() - 0.5, np.full(2, 0.5), 1.0)
    at = found.coordinates(A)
    points = td.walk(at, 0, (0.1, 0.5, 0.9))
    model = Averages()
    rough, drawn, smooth = (
        optimise(td.reach(model, "", found, points, at, smooth=s), 3, 16, steps=80, jitter=0.0)
        for s in (0.0, 100.0, 2000.0)
    )
    assert np.allclose(found.coordinates(model.unit(drawn, "")), points, atol=0.05)
    steps = [float(x.diff(dim=3).std()) for x in (smooth, drawn, rough)]
    assert steps == sorted(steps) and steps[0] < 0.8 * steps[2]


def grating(orientation, wavelength=8.0, **how):
    return draw("grating", 41, orientation=orientation, wavelength=wavelength, **how)


def test_orientation_is_measured():
    at = [0.0, 30.0, 90.0, 150.0]
    found = td.measure(torch.stack([grating(a) for a in at]))
    angle = np.rad2deg(np.arctan2(found.sin2, found.cos2)) / 2 % 180
    assert np.allclose((angle - at + 90) % 180 - 90, 0, atol=1.0)
    assert (found.coherence > 0.95).all()
    noise = td.measure(torch.rand(1, 3, 41, 41, generator=torch.Generator().manual_seed(0)))
    assert noise.coherence[0] < 0.3


def test_direction_points_to_the_bright_side():
    at = [0.0, 90.0, 200.0]
    found = td.measure(torch.stack([draw("edge", 41, orientation=a) for a in at]))
    angle = np.rad2deg(np.arctan2(found.sin1, found.cos1))
    assert np.allclose((angle - at + 180) % 360 - 180, 0, atol=3)  # the rim fades


def test_frequency_contrast_and_colour_are_measured():
    waves = td.measure(torch.stack([grating(20.0, w) for w in (5, 8, 13)]))
    assert waves.frequency.is_monotonic_decreasing
    faint = td.measure(torch.stack([grating(20.0, contrast=c) for c in (0.1, 0.5)]))
    assert faint.contrast[1] - faint.contrast[0] == pytest.approx(np.log(5), abs=0.1)
    red, blue = torch.full((2, 3, 21, 21), 0.4)
    red[0], blue[2] = 0.8, 0.8
    found = td.measure(torch.stack([red, blue, torch.full((3, 21, 21), 0.4)]))
    assert found.red_green[0] > 0.3 > 0.01 > abs(found.red_green[2])
    assert found.blue_yellow[1] > 0.3 and found.saturation[2] < 1e-6


def test_what_is_measured_does_not_change_with_a_quarter_turn():
    x = torch.rand(4, 3, 21, 21, generator=torch.Generator().manual_seed(0))
    still = ["frequency", "contrast", "luminance", "saturation", "coherence", "curvature"]
    turned = td.measure(torch.rot90(x, 1, (2, 3)))
    assert np.allclose(td.measure(x)[still], turned[still], atol=1e-4)


def test_curvature_is_one_over_the_radius():
    discs = torch.stack([draw("circle", 61, radius=r, width=0) for r in (8.0, 16.0)])
    found = td.measure(discs).curvature
    assert found[0] == pytest.approx(61 / 2 / 8, rel=0.15)
    assert found[1] == pytest.approx(61 / 2 / 16, rel=0.15)
    step = (torch.arange(61) > 30).float().expand(1, 3, 61, 61)
    assert td.measure(step).curvature[0] < 0.05


def test_attributes_explain_what_depends_on_them_only():
    rng = np.random.default_rng(0)
    patches = torch.rand(300, 3, 15, 15, generator=torch.Generator().manual_seed(0))
    patches = patches * torch.from_numpy(rng.uniform(0.2, 1, 300)).float()[:, None, None, None]
    measured = td.measure(patches)
    codes = np.stack([measured.luminance.to_numpy(), rng.normal(size=300)], 1)
    table = td.explained_by(codes, measured, np.arange(300) % 10)
    assert table.luminance[0] > 0.9 and table.loc[1].max() < 0.2


def test_group_directions_of_what_turns_and_what_does_not():
    G = group("D8")
    n = torch.arange(8, dtype=torch.float64) * 2 * torch.pi / 8
    draw_ = torch.Generator().manual_seed(0)
    phase = 2 * torch.pi * torch.rand(50, 1, generator=draw_, dtype=torch.float64)
    once = torch.cat([(n + phase).cos(), (n - phase).cos()], 1)
    twice = torch.cat([(2 * n + phase).cos(), (2 * n - phase).cos()], 1)
    still = torch.randn(50, 1, generator=draw_, dtype=torch.float64).expand(50, 16)
    found = Decomposition("PCA", np.eye(3), np.zeros((1, 3)), np.zeros(3), 1.0)
    table = td.group_directions(torch.stack([once, twice, still], 2), G, found)
    assert np.allclose(table.turning, [1, 1, 0], atol=1e-6)
    assert table["frequency 1"][0] > 0.99 and table["frequency 2"][1] > 0.99
    assert table["frequency 0"][2] > 0.99
