"""The walk through one orbit shows the orbit's own numbers."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from gc_utils.figures import CodeExample, OrbitExample, code_walkthrough, orbit_walkthrough
from gc_utils.figures.walkthrough import shown_elements, telling_channels
from gc_utils.groups import group

rng = np.random.default_rng(0)


def texts(figure):
    return " ".join(t.get_text() for t in figure.findobj(plt.Text))


def example(g, channels=50):
    photograph, crops = rng.random((3, 40, 60)), rng.random((g.order, 3, 8, 8))
    A = rng.normal(size=(g.order, channels))
    return OrbitExample(A, crops, photograph, "cat", (10.0, 12.0), 16.0)


@pytest.mark.parametrize(
    ("name", "elements"),
    [
        ("D16", [0, 2, 4, 6, 8, 16]),
        ("C8", [0, 1, 2, 3, 4]),
        ("D4", [0, 1, 2, 3, 4]),
        ("C3", [0, 1, 2]),
    ],
)
def test_some_rotations_and_the_first_mirror_are_shown(name, elements):
    assert shown_elements(group(name)) == elements


def test_channels_come_in_the_order_in_which_rotation_excites_them():
    g = group("C8")
    peaks = np.array([90, 0, 180, 45])
    waves = 1 + np.cos(np.deg2rad(g.angles.numpy()[:, None] - peaks))
    A = np.column_stack([waves, np.full(8, 0.5)])  # the last one does not change
    assert telling_channels(A, g, most=4).tolist() == [1, 3, 0, 2]


def test_the_box_and_the_strips_are_those_of_the_orbit():
    g, one = group("D16"), example(group("D16"))
    figure = orbit_walkthrough(one, g)
    (box,) = {
        tuple(p.get_bbox().bounds)
        for ax in figure.axes
        for p in ax.patches
        if ax.get_images() and p.get_bbox().width == 16
    }
    assert box == (10, 12, 16, 16)
    strips = [im.get_array() for ax in figure.axes for im in ax.get_images()]
    strips = [np.asarray(s) for s in strips if s.shape[0] == 1]
    channels = telling_channels(one.activations, g)
    np.testing.assert_allclose(
        np.concatenate(strips), one.activations[shown_elements(g)][:, channels]
    )
    assert "“cat”" in texts(figure) and "36 of 50 channels" in texts(figure)


def test_the_code_and_what_it_explains_are_written_out():
    g, one = group("D4"), example(group("D4"))
    code = np.zeros(20)
    code[[3, 7]] = 1.0, 2.0
    made = one.activations * 0.5  # a quarter of the variance is left
    figure = code_walkthrough(one, CodeExample(code, 7, made / 4, made), g)
    assert {"2 of 20 features on", "feature 7", "75 % explained"} <= {
        part for t in figure.findobj(plt.Text) for part in t.get_text().split("\n")
    }
    assert "colours × 8" in texts(figure)


def test_activations_without_images_can_be_walked_through_too():
    g = group("C8")
    bare = OrbitExample(rng.normal(size=(8, 5)))
    assert "not known" in texts(orbit_walkthrough(bare, g))
    coded = CodeExample(np.ones(3), 0, bare.activations, bare.activations)
    assert "100 % explained" in texts(code_walkthrough(bare, coded, g))
