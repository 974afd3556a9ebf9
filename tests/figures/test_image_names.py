"""Names of files in figures: no formula, no missing sign, no longer than there is room."""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from gc_utils.figures import OrbitExample, image_sheet, orbit_walkthrough, save_figure
from gc_utils.figures.parts import drawn_name
from gc_utils.groups import group
from gc_utils.images import load_images

NAMES = ("price $5_$.png", "a$b^c$d.png", "$$cash$$.png", "100%_#1 & co.png", r"$\frac{$.png")
NAMES += (
    "party 🎉👩‍🔬.png",
    "名前.png",
    "a_very_long_name_of_a_photograph.png",
    "<b>bold&amp;.png",
)


def texts(figure):
    return [text.get_text() for text in figure.findobj(plt.Text) if text.get_text()]


@pytest.fixture
def images(tmp_path):
    for i, name in enumerate(NAMES):
        Image.new("RGB", (40 + i, 40), "red").save(tmp_path / name.replace("/", "_"))
    return load_images(f"folder:{tmp_path}")


def test_every_name_can_be_drawn_and_saved(images, tmp_path):
    assert len(images) == len(NAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of signs that the font lacks
        figure = image_sheet(images)
        save_figure(figure, tmp_path, "01_pictures", "Some images.")
    shown = texts(figure)
    assert {"price $5_$.png", "$$cash$$.png", "<b>bold&amp;.png", "□□.png"} <= set(shown)
    assert max(map(len, shown)) <= 22 and "a_very_long_name_of_a…" in shown


@pytest.mark.parametrize("name", NAMES)
def test_the_walkthrough_names_its_photograph_as_it_is(name, tmp_path):
    g, rng = group("C4"), np.random.default_rng(0)
    one = OrbitExample(
        rng.random((4, 9)), rng.random((4, 3, 8, 8)), rng.random((3, 40, 60)), name, (2, 2), 8
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = orbit_walkthrough(one, g)
        save_figure(figure, tmp_path, "01_walkthrough", "A walk.")
    assert f"“{drawn_name(name)}”" in texts(figure)
