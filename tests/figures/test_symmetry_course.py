"""Figures that explain symmetries: motifs, one feature's quantities, small multiples."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from gc_utils import figures
from gc_utils.groups import group


def drawn(name, **options) -> np.ndarray:
    """A motif as pixels, its mirror axes left out, 101 × 101."""
    figure = plt.figure(figsize=(1.01, 1.01), dpi=100)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-0.5, 0.5), ylim=(-0.5, 0.5), aspect="equal")
    ax.set_axis_off()
    figures.draw_motif(ax, name, line=6, **options)
    for line in list(ax.lines):
        if line.get_linestyle() == ":" or line.is_dashed():
            line.remove()
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(float).mean(-1)
    plt.close(figure)
    return image


def alike(a, b) -> bool:
    return bool(np.abs(a - b).mean() < 3.0)


@pytest.mark.parametrize(
    "name, half_turn, mirror, quarter",
    [
        ("C1", False, False, False),
        ("C2", True, False, False),
        ("D1", False, True, False),
        ("D2", True, True, False),
        ("C4", True, False, True),
        ("D4", True, True, True),
        ("G", True, True, True),
    ],
)
def test_every_motif_has_the_symmetry_of_its_name_and_no_other(name, half_turn, mirror, quarter):
    image = drawn(name)
    assert image.min() < 150  # something is there
    assert alike(image, image[::-1, ::-1]) == half_turn
    assert alike(image, image[:, ::-1]) == mirror
    assert alike(image, np.rot90(image)) == quarter


def test_a_motif_is_rotated_to_its_axis():
    assert alike(drawn("D1@0", axis_degrees=0.0), np.rot90(drawn("D1@90"), -1))


def test_the_table_has_a_definition_and_an_example_of_every_stabiliser():
    figure = figures.symmetry_table()
    texts = {t.get_text() for t in figure.axes[0].texts}
    for name, words in figures.STABILISERS.items():
        assert {name, *words} <= texts


def one(feature=7, *, behaves=True, corrected=True, n=8):
    rho = np.cos(np.deg2rad(np.arange(n) * 720 / n)) * 0.5 + 0.5
    ends = (rho - 0.1, rho + 0.1) if corrected else (np.full(n, np.nan),) * 2
    return figures.Autocorrelation(feature, rho, *ends, corrected, behaves, 0.8)


def test_every_feature_has_a_panel_and_those_that_behave_are_marked():
    found = [one(3), one(4, behaves=False), one(5, corrected=False), *map(one, range(20, 30))]
    figure = figures.autocorrelation_panels({"12 of 13 lines": found, "0 of 1": [one(9)]})
    first, second = figure.axes[:2]
    assert {"12 of 13 lines", "3 · 0.80", "29 · 0.80"} <= {t.get_text() for t in first.texts}
    assert "9 · 0.80" in {t.get_text() for t in second.texts}
    dots = [line for line in first.lines if line.get_marker() == "o"]
    assert len(dots) == 13
    assert sum(line.get_markerfacecolor() == "white" for line in dots) == 1
    curves = [line for line in first.lines if len(line.get_xdata()) == 9]
    assert len(curves) == 13 and sum(line.is_dashed() for line in curves) == 1  # not corrected


def quantities(name="D4", corrected=True):
    g = group(name)
    rho = np.linspace(1, 0, g.order)
    unknown = np.full(g.order, np.nan)
    ends = (rho, rho - 0.1, rho + 0.1) if corrected else (unknown,) * 3
    spectrum = np.full(len(g.irreps()), 1 / len(g.irreps()))
    trust = (0.12, 0.01, 0.6, 0.9 if corrected else np.nan)
    return g, figures.Quantities(3, "line", rho, rho, *ends, spectrum, "C1", np.nan, *trust)


@pytest.mark.parametrize("name", ["D4", "D3", "C4"])
def test_six_quantities_of_a_feature_have_a_numbered_panel_each(name):
    figure = figures.symmetry_quantities(quantities(name)[1], quantities(name)[0])
    heads = [t.get_text() for t in figure.texts]
    assert [h[0] for h in heads if h[:1].isdigit() and h[1:3] == "  "] == list("123456")


def test_a_value_that_is_not_corrected_says_so():
    g, found = quantities(corrected=False)
    texts = {t.get_text() for t in figures.symmetry_quantities(found, g).findobj(plt.Text)}
    assert any("(raw)" in text for text in texts)
    assert "reproducibility: not known" in texts
