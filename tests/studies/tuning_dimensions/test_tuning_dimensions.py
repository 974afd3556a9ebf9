from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import mutual_info_score

from gc_utils.errors import UserError
from gc_utils.groups import group
from gc_utils.images import draw
from gc_utils.inspection import BASELINE, METHODS, Decomposition, decompose, optimise
from gc_utils.statistics import holm
from gc_utils.studies import tuning_dimensions as td
from gc_utils.studies.tuning_dimensions.attributes import _derivatives
from gc_utils.studies.tuning_dimensions.information import _binned


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


def test_recovery_separates_attributes_from_random_numbers():
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


def test_the_gabor_bank_responds_most_to_its_own_patches():
    bank = td.gabor_bank(orientations=4, frequencies=2, phases=2)
    patches = td.gabor_patches(bank.table, 33)
    responses = bank(patches)
    assert responses.shape == (len(bank.table),) * 2 and float(responses.min()) == 0
    assert (responses.argmax(1) == torch.arange(len(responses))).all()


def test_the_dimensions_of_a_gabor_bank_are_found():
    shown, attributes = td.gabor_stimuli(1500)
    responses = td.gabor_bank(orientations=6, frequencies=2, phases=2)(shown)
    found = decompose(responses, "ICA", 12)
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
    """A model whose unit responds with the brightness of the image's left and right half."""

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


def test_what_is_measured_does_not_change_with_a_rotation_by_90_degrees():
    x = torch.rand(4, 3, 21, 21, generator=torch.Generator().manual_seed(0))
    still = ["frequency", "contrast", "luminance", "saturation", "coherence", "curvature"]
    rotated = td.measure(torch.rot90(x, 1, (2, 3)))
    assert np.allclose(td.measure(x)[still], rotated[still], atol=1e-4)


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


def test_group_directions_of_what_rotates_and_what_does_not():
    G = group("D8")
    n = torch.arange(8, dtype=torch.float64) * 2 * torch.pi / 8
    draw_ = torch.Generator().manual_seed(0)
    phase = 2 * torch.pi * torch.rand(50, 1, generator=draw_, dtype=torch.float64)
    once = torch.cat([(n + phase).cos(), (n - phase).cos()], 1)
    twice = torch.cat([(2 * n + phase).cos(), (2 * n - phase).cos()], 1)
    still = torch.randn(50, 1, generator=draw_, dtype=torch.float64).expand(50, 16)
    found = Decomposition("PCA", np.eye(3), np.zeros((1, 3)), np.zeros(3), 1.0)
    table = td.group_directions(torch.stack([once, twice, still], 2), G, found)
    assert np.allclose(table.rotation, [1, 1, 0], atol=1e-6)
    assert table["frequency 1"][0] > 0.99 and table["frequency 2"][1] > 0.99
    assert table["frequency 0"][2] > 0.99


def convolved_derivatives(images, sigma):
    """Gaussian derivatives by convolution with sampled kernels, x right and y up."""
    radius = int(np.ceil(4 * sigma))
    at = torch.arange(-radius, radius + 1, dtype=torch.float64)
    smooth = torch.exp(-at.square() / (2 * sigma**2))
    smooth = smooth / smooth.sum()
    across = smooth, at / sigma**2 * smooth, (at.square() / sigma**4 - 1 / sigma**2) * smooth
    up = [kernel.flip(0) for kernel in across]
    orders = (1, 0), (0, 1), (2, 0), (0, 2), (1, 1)
    kernels = torch.stack([torch.outer(up[y], across[x]) for x, y in orders])
    padded = F.pad(images.double()[:, None], [radius] * 4, mode="replicate")
    return F.conv2d(padded, kernels[:, None]).unbind(1)


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_derivatives_are_those_of_a_convolution(sigma):
    images = torch.rand(3, 19, 19, generator=torch.Generator().manual_seed(0))
    for found, expected in zip(
        _derivatives(images, sigma), convolved_derivatives(images, sigma), strict=True
    ):
        assert np.allclose(found, expected, atol=1e-6)


def test_mutual_information_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    codes = rng.exponential(size=(500, 3)) * (rng.random((500, 3)) < 0.5)
    attribute = codes[:, 0] + rng.normal(size=500)
    found = td.mutual_information(codes, attribute)
    expected = [mutual_info_score(_binned(c, 8), _binned(attribute, 8)) for c in codes.T]
    assert np.allclose(found, expected, atol=1e-12)


def test_the_zeros_of_a_code_are_one_bin():
    bins = _binned(np.r_[np.zeros(60), np.arange(1, 41)], 8)
    assert len(set(bins[:60])) == 1 and (bins[60:] == bins[0]).sum() < 5
    assert np.bincount(_binned(np.arange(80), 8)).tolist() == [10] * 8
    assert _binned(["b", "a", "b"], 8).tolist() == [1, 0, 1]


def test_trials_of_the_gabor_bank_hold_a_row_a_method_and_attribute():
    table = td.bank_trials(2, 120, 3, methods=("PCA", BASELINE), permutations=19, seed=4)
    assert len(table) == 2 * 2 * 5 and set(table.seed) == {4, 5}
    assert table.groupby(["seed", "method"]).attribute.nunique().eq(5).all()
    assert table.explained.between(0, 1).all()
    # 19 shuffles cannot go below p = 0.05, which 10 corrected tests do not call significant.
    assert not table.significant.any()
    again = td.bank_trials(1, 120, 3, methods=("PCA",), permutations=19, seed=5)
    first = table[(table.seed == 5) & (table.method == "PCA")]
    assert np.allclose(again.information, first.information)


def small_study(rotation=(0.8, 0.2)):
    """What summaries read of a study of two dimensions."""
    named = pd.DataFrame(
        {
            "all": [0.9, 0.1],
            "orientation": [0.7, 0.0],
            "direction": [0.1, 0.02],
            "frequency": [0.0, 0.3],
        }
    )
    at = np.random.default_rng(0).normal(size=(60, 2))
    found = Decomposition("PCA", np.eye(2), at, np.zeros(2), 0.75)
    methods = ("PCA", BASELINE)
    return SimpleNamespace(
        found=dict.fromkeys(methods, found),
        coordinates=dict.fromkeys(methods, at),
        named=dict.fromkeys(methods, named),
        chance=dict.fromkeys(methods, named / 10),
        rotation={
            "PCA": pd.DataFrame({"rotation": rotation}),
            BASELINE: pd.DataFrame({"rotation": [0.4, 0.4]}),
        },
        best=lambda: pd.DataFrame(dict.fromkeys(methods, named.max())).T,
        crops=lambda rows: np.zeros((len(rows), 9, 9, 3), np.uint8),
    )


def test_walks_are_illustrated_by_crops_and_named_by_attributes():
    study = small_study()
    assert td.clearest_dimensions(study, "PCA") == [0, 1]
    assert td.point_labels((0.02, 0.5, 0.998)) == ["2 %", "median", "99.8 %"]
    rows = td.illustrated_walks(None, "", study, "PCA", [0, 1], count=2)
    assert [row["title"] for row in rows] == ["dimension 0", "dimension 1"]
    assert rows[0]["note"] == "orientation 0.70\ndirection 0.10"
    assert rows[1]["note"] == "frequency 0.30"
    assert rows[0]["images"] is None
    assert rows[0]["patches"].shape == (len(td.QUANTILES), 2, 9, 9, 3)


def test_walks_are_illustrated_by_optimised_images_if_wanted():
    A = torch.rand(60, 2, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    study = small_study()
    study.found["PCA"] = Decomposition("PCA", np.eye(2), A.numpy() - 0.5, np.full(2, 0.5), 1.0)
    study.coordinates["PCA"] = study.found["PCA"].coordinates(A)
    model = Averages()
    model.crop_size = lambda layer: 16
    rows = td.illustrated_walks(model, "", study, "PCA", [1], steps=2)
    assert rows[0]["images"].shape == (len(td.QUANTILES), 3, 16, 16)


def test_tables_of_methods_and_of_rotation():
    table = td.methods_table({"one": small_study(), "two": small_study()})
    assert list(table.index) == [(n, m) for n in ("one", "two") for m in ("PCA", BASELINE)]
    row = table.loc[("one", "PCA")]
    assert row.orientation == 0.7 and row["variance explained"] == 0.75
    assert row["variance from rotation, mean"] == 0.5
    assert row["most by chance"] == pytest.approx(0.09)
    summary = td.rotation_summary({"one": small_study()}, "PCA")["one"]
    assert summary["dimensions over 0.5"] == 1
    assert summary["the same of random directions"] == 0
    assert summary["predicted by orientation or direction, those"] == 0.7
    assert summary["the others"] == 0.02
    none = td.rotation_summary({"one": small_study((0.1, 0.2))}, "PCA")["one"]
    assert np.isnan(none["predicted by orientation or direction, those"])


def test_the_most_by_chance_is_over_all_methods():
    chance = {"PCA": pd.DataFrame({"colour": [0.1, 0.3]}), "ICA": pd.DataFrame({"colour": [0.2]})}
    study = td.LayerStudy(None, np.zeros((0, 2)), {}, {}, chance, chance, {})
    assert study.most_by_chance() == {"colour": 0.3}
    assert study.best().colour.to_dict() == {"PCA": 0.3, "ICA": 0.2}
