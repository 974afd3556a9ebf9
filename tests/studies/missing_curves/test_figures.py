"""The figures of notebook 06, from small made-up tables."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from gc_utils.errors import UserError
from gc_utils.figures import METHODS
from gc_utils.figures.style import SMALL, WIDTH
from gc_utils.studies.missing_curves import figures as figures
from gc_utils.studies.missing_curves.manifold import BLOCK, PRINCIPAL, SINGLE

ANGLES = np.arange(36) * 10.0
OWN, MISSING = [0.0, 90.0, 180.0], [270.0]


def bump(at, high=1.0):
    off = (ANGLES - at + 180) % 360 - 180
    return high * np.exp(-((off / 20) ** 2))


def tuning():
    curves = np.stack([bump(0), bump(90), bump(0) + bump(180), np.zeros(36)])
    table = pd.DataFrame({"preferred": [0.0, 90, 0, np.nan], "low": 350.0, "high": 10.0})
    return SimpleNamespace(angles=ANGLES, curves=curves, table=table)


def cards():
    patches = np.random.default_rng(0).random((4, 9, 9, 3))
    card = {"label": "curve", "patches": patches, "cosine": 0.3, "correlation": 0.4}
    return [card | {"feature": 0}, card | {"feature": 3, "label": "other"}]


def hidden(superposed):
    at = [*OWN, *MISSING] if superposed else OWN
    curves = [bump(a) for a in at] + [bump(270, 0.3)]
    return {"angles": ANGLES, "curves": np.stack(curves), "superposed": superposed}


ECHOES = pd.DataFrame(
    {
        "layer": ["mixed3a", "mixed3a", "mixed3b", "mixed3b"],
        "units": ["neurons", "features", "features", "features"],
        "echo": [0.1, 0.2, 0.0, 0.1],
    }
)
SPANS = pd.DataFrame(
    [
        {"kind": kind, "dimensions": w, "share": 0.1 * w}
        for kind in (PRINCIPAL, SINGLE, BLOCK)
        for w in (1, 2)
    ]
)
SPLIT = pd.DataFrame(
    {"neuron": [2], "first": [0.0], "second": [180.0], "feature1": [0], "feature2": [1]}
)
DRAWN = {
    "radial": lambda: figures.radial_plots(tuning(), [0, 1]),
    "rings": lambda: figures.coverage_rings({"neurons": OWN, "SAE features": [], "rotated": [1.0]}),
    "split": lambda: figures.split_plots(tuning(), tuning(), SPLIT),
    "new": lambda: figures.unmatched_features(cards(), tuning()),
    "echoes": lambda: figures.echoes(ECHOES),
    "blocks": lambda: figures.block_echoes(np.ones((3, 8)), np.arange(8) * 45),
    "ring": lambda: figures.ring_spans(SPANS),
    "hidden": lambda: figures.hidden_tuning([hidden(True), hidden(False)], OWN, MISSING),
}


@pytest.mark.parametrize("name", DRAWN)
def test_figures_fit_a_notebook_and_are_readable(name):
    figure = DRAWN[name]()
    assert figure.get_size_inches()[0] <= WIDTH + 0.2
    assert min(text.get_fontsize() for text in words(figure)) >= SMALL


def words(figure):
    return [t for t in figure.findobj(lambda a: hasattr(a, "get_fontsize")) if t.get_text()]


def test_features_have_the_colour_of_the_sparse_autoencoder():
    assert figures.UNITS["features"] == METHODS["sparse autoencoder"].colour
    assert figures.RINGS["neurons"] != figures.RINGS["SAE features"]


def test_a_feature_that_does_not_respond_to_arcs_has_no_empty_plot():
    figure = DRAWN["new"]()
    polar = [ax for ax in figure.axes if ax.name == "polar"]
    assert len(polar) == 1 and len(polar[0].lines) == 1
    assert "none" in [t.get_text() for ax in figure.axes for t in ax.texts]


def test_neurons_without_features_are_no_figure():
    with pytest.raises(UserError, match="nothing to draw"):
        figures.split_plots(tuning(), tuning(), SPLIT.assign(feature2=-1))


def test_only_features_that_find_a_missing_curve_are_marked():
    def marked(ax):
        found = [line for line in ax.lines if line.get_linewidth() > 2]
        assert all(line.get_color() == figures.HIDDEN for line in found)
        return len(found)

    superposed, control = DRAWN["hidden"]().axes
    assert (marked(superposed), marked(control)) == (1, 0)


def test_echoes_shade_the_layers_with_a_reported_echo_and_count_detectors():
    ax = DRAWN["echoes"]().axes[0]
    assert [t.get_text() for t in ax.get_xticklabels()] == [
        "mixed3a\n1 neuron\n1 feature",
        "mixed3b\n0 neurons\n2 features",
    ]
    shades = [p for p in ax.patches if p.get_facecolor()[:3] == to_rgb("#EFEFEF")]
    assert len(shades) == 1
