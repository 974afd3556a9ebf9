"""Orbits: the group really acts, about the right point, and blurs every element alike."""

import math

import pytest
import torch
from scipy import ndimage
from skimage import data

from gc_utils._torchvision import torchvision
from gc_utils.errors import UserError
from gc_utils.groups import group
from gc_utils.images import disc, image_orbit, low_pass, orbit, sample

SIZE = 63


@pytest.fixture(scope="module")
def photograph():
    return torch.tensor(data.astronaut()).permute(2, 0, 1).float() / 255


@pytest.fixture(scope="module")
def smooth():
    """A picture without detail, so that what is left is not interpolation error."""
    generator = torch.Generator().manual_seed(0)
    return low_pass(torch.rand(3, 160, 160, generator=generator), 4.0)


@pytest.mark.parametrize("name", ["C1", "C2", "C3", "C4", "C8", "D1", "D4", "D5", "D6", "D16"])
def test_every_element_is_the_map_it_stands_for(photograph, name):
    """The shortcut by quarter turns and mirrors is the plain sampling under each matrix."""
    g, points = group(name), torch.tensor([[200.0, 180.0], [256.4, 300.7]])
    fast = orbit(photograph, points, 1.0, g, SIZE)
    plain = sample(photograph, points, 1.0, g.matrices, SIZE)
    assert fast.shape == (2, g.order, 3, SIZE, SIZE)
    assert (fast - plain).abs().max() < 1e-3  # float32 coordinates, times the steepest edge


def test_quarter_turns_and_mirrors_are_exact(photograph):
    for name, quarter in (("D4", 1), ("D16", 4), ("D32", 8)):
        crops = orbit(photograph, torch.tensor([[221.3, 140.0]]), 1.3, name, SIZE)[0]
        n = group(name).n
        for k in range(4):
            turned = torch.rot90(crops[0], k, (-2, -1))
            assert (crops[k * quarter] - turned).abs().max() <= 1e-6
        assert (crops[n] - crops[0].flip(-1)).abs().max() <= 1e-6


@pytest.mark.parametrize("name", ["C8", "D6"])
def test_products_act_as_products(smooth, name):
    """(g·h)·x = g·(h·x) inside the disc, to interpolation error."""
    g = group(name)
    once = image_orbit(smooth[:, 40:121, 40:121], g, blur=0)
    twice = image_orbit(once, g, blur=0)  # [h, g] = g·(h·x)
    inside = disc(81) > 0.99
    expected = once[g.table.T]  # [h, g] = (g·h)·x
    assert ((twice - expected) * inside).abs().max() < 2e-3
    assert ((once[1] - once[0]) * inside).abs().max() > 0.02  # there was something to turn


def test_turn_is_counter_clockwise_about_the_point():
    image = torch.zeros(3, 101, 101)
    image[:, 50, 60] = 1.0  # ten pixels to the right of the centre
    crops = orbit(image, torch.tensor([[50.0, 50.0]]), 1.0, "D4", 41, blur=0)[0]
    peaks = [divmod(int(c[0].argmax()), 41) for c in crops]
    right, up, left, down = (20, 30), (10, 20), (20, 10), (30, 20)
    assert peaks[:4] == [right, up, left, down]
    assert peaks[4:] == [left, down, right, up]  # s, rs, r2s, r3s: mirrored first


def test_scale_is_photograph_pixels_per_crop_pixel():
    image = torch.zeros(3, 101, 101)
    image[:, 50, 60] = 1.0
    crop = orbit(image, torch.tensor([[50.0, 50.0]]), 2.0, "C1", 41, blur=0)[0, 0]
    assert divmod(int(crop[0].argmax()), 41) == (20, 25)


def _energies(crops, sigma):
    """Mean squared gradient and Laplacian inside the disc, for every element `(K,)` each.

    Broad Gaussian derivatives weigh all directions alike, which photographs need, with their many
    horizontal and vertical contours; narrow ones see the finest detail, and suit isotropic noise.
    """
    inside = (disc(crops.shape[-1], 12.0) > 0.99).numpy()
    pictures = crops.mean(2).numpy()  # (P, K, S, S)
    filters = (ndimage.gaussian_gradient_magnitude, ndimage.gaussian_laplace)
    for f in filters:
        response = f(pictures, (0, 0, sigma, sigma)) ** 2
        yield (response * inside).sum((0, 2, 3))


@pytest.mark.parametrize("picture", ["astronaut", "coffee", "noise"])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_every_element_sees_the_same_blur(picture, scale):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 360, 360, generator=generator)
    if picture != "noise":
        image = torch.tensor(getattr(data, picture)()).permute(2, 0, 1).float() / 255
    extent = torch.tensor([image.shape[2], image.shape[1]])
    points = (torch.rand(12, 2, generator=generator) * (extent - 200) + 100).round()
    sigma = 0.4 if picture == "noise" else 1.0
    for energy in _energies(orbit(image, points, scale, "C16", 95), sigma):
        assert energy.min() / energy.max() > 0.95
    if picture == "noise" and scale == 1.0:  # and without the low-pass it would not
        sharp = list(_energies(orbit(image, points, scale, "C16", 95, blur=0), sigma))[1]
        assert sharp.min() / sharp.max() < 0.9


def test_disc_window_shows_every_element_the_same_part(photograph):
    crops = orbit(photograph, torch.tensor([[30.0, 30.0]]), 1.0, "C8", SIZE, window="disc")[0]
    corner = crops[..., :5, :5]
    assert torch.allclose(corner, torch.full_like(corner, 0.5))
    assert (
        crops[:, :, SIZE // 2, SIZE // 2] - crops[0, :, SIZE // 2, SIZE // 2]
    ).abs().max() < 1e-5


def test_borders_are_reflected():
    image = torch.rand(3, 120, 120, generator=torch.Generator().manual_seed(0))
    crop = orbit(image, torch.tensor([[0.0, 60.0]]), 1.0, "C1", 41, blur=0)[0, 0]
    assert torch.allclose(crop, crop.flip(-1), atol=1e-4)


def test_mistakes_are_named(photograph):
    point = torch.tensor([[100.0, 100.0]])
    with pytest.raises(UserError, match="unknown window 'disk'; did you mean 'disc'"):
        orbit(photograph, point, 1.0, "C4", SIZE, window="disk")
    with pytest.raises(UserError, match=r"\(3, H, W\), got shape \(1, 512, 512\)"):
        orbit(photograph[:1], point, 1.0, "C4", SIZE)


@pytest.mark.parametrize("sigma", [1e-30, 0.3, 1.0, 3.0, 60.0])
@pytest.mark.parametrize("shape", [(3, 40, 64), (3, 9, 5)])
def test_the_low_pass_is_torchvision_s(sigma, shape):
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    side = 2 * min(math.ceil(4 * sigma), min(shape[1:]) - 1) + 1
    blur = torchvision.transforms.v2.functional.gaussian_blur
    expected = blur(image, [side, side], [sigma, sigma])
    torch.testing.assert_close(low_pass(image, sigma), expected, atol=5e-6, rtol=0)
    assert torch.equal(low_pass(image, 0.0), image)
