"""The figures of notebook 07, from small made-up tables."""

import numpy as np
import pandas as pd
import pytest

from gc_utils.figures import METHODS
from gc_utils.figures.style import SMALL, WIDTH
from gc_utils.inspection import BASELINE
from gc_utils.studies.tuning_dimensions import figures as figures

LABELS = ["2 %", "median", "98 %"]
RANDOM = np.random.default_rng(0)
NAMED = pd.DataFrame(
    {"orientation": [0.7, 0.1], "colour": [0.0, 0.3], "all": [0.6, 0.2]}, index=["PCA", BASELINE]
)
ROTATION = pd.DataFrame(
    {"rotation": [0.7, 0.2], "frequency 0": [0.3, 0.8], "frequency 1": [0.5, 0.1]}
    | {f"frequency {m}": [0.05, 0.025] for m in range(2, 6)}
)
BANK = pd.DataFrame(
    [
        {"attribute": a, "method": m, "seed": s, "share": 0.1 + 0.01 * s, "significant": m == "PCA"}
        for a in ("hue", "nothing")
        for m in ("PCA", BASELINE)
        for s in (0, 1)
    ]
)


def rows(count=2, optimised=True, note="colour 0.90\nphase 0.10"):
    images = 0.5 + 0.1 * (RANDOM.random((3, 3, 9, 9)) - 0.5) if optimised else None
    patches = RANDOM.integers(0, 255, (3, count, 12, 12, 3), dtype=np.uint8)
    return [
        {"title": f"dimension {d}", "note": note, "images": images, "patches": patches}
        for d in range(4)
    ]


DRAWN = {
    "bank": lambda: figures.recovered(BANK),
    "walks": lambda: figures.walks(rows(), LABELS, columns=2, tile=0.56),
    "crops": lambda: figures.walks(rows(1, False, ""), LABELS, columns=3, tile=0.47),
    "methods": lambda: figures.compared_methods({"one": NAMED, "two": NAMED}),
    "named": lambda: figures.named_dimensions({"one": NAMED, "two": NAMED, "three": NAMED}),
    "rotation": lambda: figures.rotation_shares({"one": ROTATION}, random={"one": ROTATION}),
}


def words(figure):
    found = figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))
    return [t for t in found if t.get_text() and t.get_visible()]


@pytest.mark.parametrize("name", DRAWN)
def test_figures_fit_a_notebook_and_are_readable(name):
    figure = DRAWN[name]()
    assert figure.get_size_inches()[0] <= WIDTH + 0.2
    assert min(text.get_fontsize() for text in words(figure)) >= SMALL


def test_rows_of_a_walk_say_what_they_are_and_how_much_contrast_is_raised():
    figure = DRAWN["walks"]()
    said = [t.get_text() for t in figure.axes[0].texts]
    assert {"nearest crop", "2nd nearest", "dimension 0", "colour 0.90, phase 0.10"} <= set(said)
    (optimised,) = [s for s in said if s.startswith("optimised")]
    assert optimised == "optimised\ncontrast × 4.0"  # the most that is allowed
    assert len(figure.axes[0].get_images()) == 9


def test_a_dimension_that_no_attribute_predicts_says_so():
    said = [t.get_text() for t in DRAWN["crops"]().axes[0].texts]
    assert "none of the attributes" in said and "nearest crop" not in said


def test_contrast_is_raised_by_one_factor_for_all_images_of_a_walk():
    images = np.full((2, 4, 4, 3), 0.5)
    images[1, 0] = 0.75
    raised, factor = figures._raised(images, most=4.0)
    assert factor == pytest.approx(2) and np.allclose(raised[0], 0.5)
    assert np.allclose(raised[1, 0], 1)


def test_methods_have_their_marks_and_random_directions_a_line():
    ax = DRAWN["bank"]().axes[0]
    marks = {line.get_marker(): line for line in ax.lines if line.get_markersize() > 5}
    assert marks[METHODS["PCA"].marker].get_markerfacecolor() == METHODS["PCA"].colour
    assert marks[METHODS[BASELINE].marker].get_markerfacecolor() == "white"  # not above chance
    assert any(np.allclose(line.get_xdata(), 0.105) for line in ax.lines if len(line._x) == 2)


def test_the_best_method_of_an_attribute_is_framed_and_random_directions_never():
    ax = DRAWN["methods"]().axes[0]
    at = [round(patch.get_y() + 0.44) for patch in ax.patches]
    assert at == [0, 0]  # of orientation and all: PCA carries nothing of colour


def test_shares_of_a_dimension_add_up_to_all_of_its_variance():
    ax = DRAWN["rotation"]().axes[0]
    heights = np.array([bar.get_height() for bar in ax.patches]).reshape(-1, 2).sum(0)
    assert np.allclose(heights, 1)
