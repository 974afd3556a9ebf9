import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from gc_utils.figures.style import SMALL, WIDTH
from gc_utils.studies.persian_rug import best_functions
from gc_utils.studies.persian_rug import figures as figures


def drawn(name):
    model = pd.DataFrame(
        {
            "model": ["Hadamard", "trained"],
            "r": 0.5,
            "p": [0.1, 0.2],
            "loss": [0.006, 0.02],
            "on": [50, 100],
            "gap": [0.01, 0.02],
            "error": 0.001,
        }
    )
    history = pd.DataFrame({"step": [10, 100], "loss": [0.02, 0.01]})
    torn = pd.DataFrame({"kind": "diagonal", "amount": [0, 0.2], "loss": [1, 1.2], "foreseen": 1.1})
    functions = pd.DataFrame([{"p": p} | best_functions(p, 0.5) for p in (0.05, 0.1)])
    return {
        "surface": lambda: figures.loss_surface(0.1, 0.5),
        "losses": lambda: figures.losses(model, (0.5,)),
        "gaps": lambda: figures.closing_gaps(model),
        "rugs": lambda: figures.rugs({"a": np.eye(8) + 0.1, "b": np.ones((8, 8))}),
        "training": lambda: figures.training_gaps({"arm": history}, 0.006, 0.0017),
        "constants": lambda: figures.constants({0.5: functions.set_index("p")}),
        "broken": lambda: figures.broken(torn),
        "phases": lambda: figures.phases([0.2, 0.5], [0.1, 0.2], np.array([[1, 2], [3, 4.0]]), "x"),
    }[name]()


@pytest.mark.parametrize(
    "name", ["surface", "losses", "gaps", "rugs", "training", "constants", "broken", "phases"]
)
def test_figures_are_drawn_with_labels(name):
    figure = drawn(name)
    assert isinstance(figure, Figure)
    words = [ax.get_xlabel() + ax.get_ylabel() for ax in figure.axes]
    assert any(words)
    assert figure.get_size_inches()[0] <= WIDTH
    found = figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))
    assert min(t.get_fontsize() for t in found if t.get_text()) >= SMALL


def test_rugs_share_one_scale_of_colours():
    rugs = figures.rugs({"a": np.eye(8) + 0.1, "b": np.ones((8, 8))})
    scales = {ax.images[0].get_clim() for ax in rugs.axes[:2]}
    assert scales == {(-1.0, 1.0)} and "weight" in rugs.axes[-1].get_ylabel()
