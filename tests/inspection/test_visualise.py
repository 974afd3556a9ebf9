"""Top patches and pictures optimised to excite, on a network whose filters are known."""

import numpy as np
import pytest
import torch

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.groups import group
from gc_utils.inspection.patches import rotate_patch, top_patches, top_samples
from gc_utils.inspection.visualise import (
    decode_image,
    fourier_scale,
    optimise,
    toward,
    visualise_blocks,
    visualise_directions,
    wobble,
)
from gc_utils.models import load_model


@pytest.fixture(scope="module")
def bank():
    return load_model("filter_bank", group="D4")


def layer(model):
    return model.layers[-1]


def test_top_samples_are_the_largest_positive_values():
    assert top_samples([0.1, 3, 0, -2, 2], 2).tolist() == [1, 4]
    assert top_samples([0.1, 3, 0, -2, 2], 9).tolist() == [1, 4, 0]
    assert top_samples(np.zeros(4), 2, [0, 0, 1, 1]).tolist() == []


def test_no_photograph_fills_the_row():
    values, photograph = [9, 8, 7, 6, 1, 2], [0, 0, 0, 0, 1, 2]
    found = top_samples(values, 4, photograph)  # a quarter of four: one each
    assert found.tolist() == [0, 5, 4]
    found = top_samples(values, 4, photograph, per_photograph=2)
    assert found.tolist() == [0, 1, 5, 4]
    with pytest.raises(UserError, match="2 photographs for 6"):
        top_samples(values, 4, [0, 1])


def test_top_patches_are_those_of_the_feature():
    patches = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 5, 5, 3), np.uint8)
    codes = torch.tensor([[0.0, 1], [2, 0], [3, 0], [0, 0]])
    assert top_patches(codes, patches, 0)[:, 0, 0, 0].tolist() == [2, 1]
    assert top_patches(codes, patches, 1)[:, 0, 0, 0].tolist() == [0]


def test_turned_patches_are_the_group_action():
    g = group("D4")
    patch = np.random.default_rng(0).integers(0, 256, (7, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(rotate_patch(patch, g, 1), np.rot90(patch))
    np.testing.assert_array_equal(rotate_patch(patch, g, 4), patch[:, ::-1])


def test_decoded_images_are_grey_without_coefficients_and_within_range():
    scale = fourier_scale(9)
    nothing = torch.zeros(1, 3, 9, 5, 2)
    torch.testing.assert_close(decode_image(nothing, scale), torch.full((1, 3, 9, 9), 0.5))
    much = decode_image(100 * torch.randn(nothing.shape), scale)
    assert 0 <= much.min() and much.max() <= 1


def test_every_orientation_starts_equal():
    """The spectrum depends on frequency alone, or pictures would prefer some orientations."""
    scale = fourier_scale(16)
    torch.testing.assert_close(scale[:9, 0], scale[0, :9])
    torch.testing.assert_close(scale[3, 4], scale[4, 3])
    assert scale[0, 1] == 2 * scale[0, 2]


def test_wobble_moves_all_pictures_alike_and_little():
    x = torch.rand(1, 3, 21, 21).repeat(2, 1, 1, 1)
    still = wobble(x, torch.Generator(), jitter=0, angle=0, zoom=0)
    torch.testing.assert_close(still, x, atol=1e-5, rtol=0)
    moved = wobble(x, torch.Generator().manual_seed(1), jitter=3, angle=4, zoom=0.05)
    torch.testing.assert_close(moved[0], moved[1])
    assert (moved - x).abs().max() > 0.1


def test_jitter_is_in_pixels():
    x = torch.zeros(1, 3, 21, 21)
    x[..., 10, 10] = 1

    def centre(seed):
        moved = wobble(x, torch.Generator().manual_seed(seed), jitter=3, angle=0, zoom=0)[0, 0]
        at = torch.arange(21.0)
        return [float((moved.sum(d) * at).sum() / moved.sum() - 10) for d in (0, 1)]

    shifts = np.abs([centre(seed) for seed in range(20)])
    assert 2 < shifts.max() <= 3.01


def test_objective_is_dot_times_cosine(bank):
    x = bank.network.patterns[:2]
    a = bank.unit(x, layer(bank))
    v = a + torch.rand(a.shape, generator=torch.Generator().manual_seed(0))
    dot = (a * v).sum(1) / v.norm(dim=1)
    cosine = dot / a.norm(dim=1)
    for p in (0, 2):
        value = toward(bank, layer(bank), v, p=p)(x)
        torch.testing.assert_close(value, dot * cosine**p)
    shifted = toward(bank, layer(bank), v, mean=a, p=0)(x)
    torch.testing.assert_close(shifted, torch.zeros(2), atol=1e-6, rtol=0)


def test_optimise_takes_any_callable():
    """Ask for a colour and get it: the objective is a function of pictures, nothing more."""

    def colour(x):
        want = torch.tensor([[1.0, -0.5, -0.5], [-0.5, -0.5, 1]])  # red, blue
        return (x.mean((2, 3)) * want).sum(1)

    red, blue = optimise(colour, 2, 15, steps=60, rate=0.3)
    assert red[0].mean() > red[1:].mean() + 0.1
    assert blue[2].mean() > blue[:2].mean() + 0.1


def test_visualisation_looks_like_the_filter(bank):
    """Optimised pictures resemble the patterns of their own filters more than any other's."""
    network = bank.network
    filters = [network.kinds.index(k) for k in ("even_gabor", "odd_gabor", "curved_gabor", "ring")]
    filters.append(filters[0] + 1)  # the same pattern, turned
    directions = torch.eye(bank.channels(layer(bank)))[filters]
    found = visualise_directions(bank, layer(bank), directions, steps=40)
    size = bank.crop_size(layer(bank))
    assert found.shape == (len(filters), 3, size, size)
    patterns = (network.patterns[filters] - 0.5).flatten(1)
    looks = (found - found.mean((2, 3), keepdim=True)).flatten(1)
    alike = torch.nn.functional.normalize(looks) @ torch.nn.functional.normalize(patterns).T
    assert alike.argmax(1).tolist() == list(range(len(filters)))
    assert alike.diagonal().min() > 0.3


def test_visualisation_is_decided_by_its_seed(bank):
    directions = torch.eye(bank.channels(layer(bank)))[:3]

    def make(seed, chunk=32):
        return visualise_directions(bank, layer(bank), directions, steps=3, seed=seed, chunk=chunk)

    torch.testing.assert_close(make(0), make(0))
    assert (make(0) - make(1)).abs().max() > 0.01


def test_equal_directions_give_equal_pictures(bank):
    """All pictures share start and wobbles, so that rows differ by what is asked for only."""
    direction = torch.rand(1, bank.channels(layer(bank))).repeat(2, 1)
    one, two = visualise_directions(bank, layer(bank), direction, steps=5)
    torch.testing.assert_close(one, two)


def test_a_unit_that_is_off_is_found_by_trying(bank):
    """No gradient comes through a ReLU that is off; grey excites no colour blob."""
    unit = len(bank.network.kinds) - 1
    directions = torch.eye(bank.channels(layer(bank)))[[unit]]
    found = visualise_directions(bank, layer(bank), directions, p=0, steps=40)
    assert bank.unit(found, layer(bank))[0, unit] > 0.5


def test_blocks_are_seen_from_the_mean_of_a_zero_code(bank):
    channels = bank.channels(layer(bank))
    coder = GroupCrosscoder("D4", channels, 4, k=1)
    row = visualise_blocks(bank, layer(bank), coder, 2, [0, 5], steps=2)
    assert list(row) == [0, 5]
    mean = coder.decode(torch.zeros(1, 4))[0, [0, 5]]
    directions = coder.V[2, [0, 5]]
    same = visualise_directions(bank, layer(bank), directions, mean=mean, steps=2)
    torch.testing.assert_close(torch.stack(list(row.values())), same)


def test_directions_of_another_layer_are_refused(bank):
    with pytest.raises(UserError, match="channels"):
        visualise_directions(bank, layer(bank), torch.zeros(2, 7))
