import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from gc_utils.figures.style import SMALL, WIDTH
from gc_utils.studies.persian_rug import AUTHORS, Setting, best_functions
from gc_utils.studies.persian_rug import figures as figures


def study(count=4):
    """Models of three sizes and two p, one of them still on the plateau, one never on it."""
    settings = [(128, 0.1), (256, 0.1), (512, 0.1), (128, 0.2)][:count]
    settings = [Setting(n, 0.5, p, AUTHORS, 300) for n, p in settings]
    history = pd.DataFrame({"step": [100, 200, 300], "loss": [0.02, 0.006, 0.002]})
    history["paired"] = [0, 0.1, 0.9]
    trained = pd.DataFrame(settings)
    trained["first"], trained["last"] = (
        [200.0, 200, None, 200][:count],
        [250.0, 300, None, 300][:count],
    )
    trained["fate"] = ["left", "still on it", "passed by", "left"][:count]
    return trained, dict.fromkeys(settings, history)


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
    torn = pd.DataFrame({"kind": "diagonal", "amount": [0, 0.2], "loss": [1, 1.2], "foreseen": 1.1})
    functions = pd.DataFrame([{"p": p} | best_functions(p, 0.5) for p in (0.05, 0.1)])
    return {
        "surface": lambda: figures.loss_surface(0.1, 0.5),
        "losses": lambda: figures.losses(model, (0.5,)),
        "gaps": lambda: figures.closing_gaps(model),
        "rugs": lambda: figures.rugs({"a": np.eye(8) + 0.1, "b": np.ones((8, 8))}),
        "plateau": lambda: figures.plateau_study(*study()),
        "plateau of one": lambda: figures.plateau_study(*study(1)),
        "constants": lambda: figures.constants({0.5: functions.set_index("p")}),
        "broken": lambda: figures.broken(torn),
        "phases": lambda: figures.phases([0.2, 0.5], [0.1, 0.2], np.array([[1, 2], [3, 4.0]]), "x"),
    }[name]()


NAMES = ["surface", "losses", "gaps", "rugs", "plateau", "plateau of one", "constants", "broken"]


@pytest.mark.parametrize("name", [*NAMES, "phases"])
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


def test_the_plateau_figure_shows_every_fate():
    figure = figures.plateau_study(*study())
    loss, sizes, pairs, sparsities = figure.axes
    labels = [line.get_label() for line in loss.get_lines()]
    assert labels[:3] == ["128", "256", "512"] and pairs.get_ylabel().endswith("pairs, %")
    assert {line.get_marker() for line in sizes.get_lines()} == {"None", "o", "^", "x"}
    assert [text.get_text() for text in sparsities.get_xticklabels()] == ["0.1", "0.2"]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["128", "256", "512", "last step on the plateau", "still on it", "never on it"]
