"""Figures look the same whatever a person's matplotlib settings are, and notebooks show them."""

from __future__ import annotations

import io

import matplotlib as mpl
import nbformat
import pytest
from nbclient import NotebookClient

from gc_utils.figures import style, styled
from gc_utils.pipeline import execute

THEIRS = {"text.usetex": True, "font.size": 25, "axes.grid": True}


@styled
def drawn():
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(3, 2), layout="constrained")
    axes.plot([0, 1e-3, 2e-3], [-1, 1e6, 2e6])  # with an offset, whose text is made when drawn
    axes.set_xlabel("angle")
    return figure


def png(figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, dpi=100, bbox_inches="tight", metadata={"Software": None})
    return file.getvalue()


def test_a_person_s_own_settings_change_no_figure():
    plain = png(drawn())
    with mpl.rc_context(THEIRS):  # usetex would need LaTeX
        assert png(drawn()) == plain
        with style():
            assert not mpl.rcParams["text.usetex"] and mpl.rcParams["font.size"] == 9.5
        assert mpl.rcParams["text.usetex"], "theirs again"


CODE = """
from gc_utils import figures
import numpy as np

figures.orbit_variance(np.linspace(0, 1, 40), np.ones(4) / 4)
"""


def shows_an_image(notebook: nbformat.NotebookNode) -> bool:
    outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
    return any("image/png" in o.get("data", {}) for o in outputs)


@pytest.mark.slow
def test_a_kernel_with_another_backend_shows_figures(monkeypatch):
    """As JupyterLab does on a cluster that exports MPLBACKEND."""
    monkeypatch.setenv("MPLBACKEND", "Agg")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CODE)])
    NotebookClient(notebook, timeout=300).execute()
    assert shows_an_image(notebook)


@pytest.mark.slow
def test_the_runner_s_kernel_has_its_own_settings(make_notebook, monkeypatch, tmp_path):
    """Plain matplotlib too shows its figures, and needs no LaTeX."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nbackend: Agg\n", encoding="utf-8")
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path / "matplotlibrc"))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    plain = "import matplotlib.pyplot as plt\nplt.plot([0, 1])\nplt.title('a b');"
    made = make_notebook("01_a", "seed = 0  # of it", plain)
    done = execute(made, tmp_path / "out.ipynb", {})
    assert done.error is None
    assert shows_an_image(nbformat.read(tmp_path / "out.ipynb", as_version=4))
