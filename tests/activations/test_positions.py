import numpy as np
import pytest
import torch

from gc_utils.activations import sample_positions
from gc_utils.errors import UserError
from gc_utils.images import load_images
from gc_utils.models import load_model


@pytest.fixture(scope="module")
def model():
    return load_model("filter_bank", group="D4")


@pytest.fixture(scope="module")
def images():
    return load_images("scenes:4", seed=0, min_size=64)


def test_a_drawn_activation_is_that_of_the_patch_it_came_from(model, images):
    drawn = sample_positions(model, "filters", images, 40, scales=(1.0, 2.0), progress=False)
    rows = np.r_[0:10, np.flatnonzero(drawn.scale == 2)[:5]]
    patches = torch.from_numpy(drawn.patches(images, rows)).permute(0, 3, 1, 2).float() / 255
    again = model.unit(patches, "filters")
    assert len(drawn) == 40 and set(drawn.scale) == {1.0, 2.0}
    assert torch.allclose(again, drawn.A[rows], atol=0.02)  # patches are rounded to 8 bits


def test_no_position_is_drawn_twice_and_strong_ones_are_drawn_more_often(model, images):
    drawn = sample_positions(model, "filters", images, 300, scales=(1.0,), progress=False)
    places = set(zip(drawn.photograph, drawn.x, drawn.y, strict=True))
    assert len(places) == 300
    every = sample_positions(model, "filters", images, 10**6, scales=(1.0,), progress=False)
    assert len(every) < 10**6
    norms = every.A.norm(dim=1)
    by_norm = float((norms * norms).sum() / norms.sum())  # expected if drawn by norm
    found = float(drawn.A.norm(dim=1).mean())
    assert abs(found - by_norm) < abs(found - float(norms.mean()))


def test_the_draw_follows_the_seed(model, images):
    draws = [
        sample_positions(model, "filters", images, 20, seed=s, progress=False) for s in (0, 0, 1)
    ]
    assert torch.equal(draws[0].A, draws[1].A) and not torch.equal(draws[0].A, draws[2].A)


def test_pictures_smaller_than_what_a_unit_sees_are_an_error(model):
    images = load_images("scenes:1", seed=0)
    with pytest.raises(UserError, match="35 pixels"):
        sample_positions(model, "filters", images, 5, scales=(40.0,), progress=False)
