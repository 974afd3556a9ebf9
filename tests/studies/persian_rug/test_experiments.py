"""The measurements of notebook 09 on small inputs."""

import numpy as np
import pytest

from gc_utils.studies import persian_rug as pr


def test_drawn_channels_agree_with_the_closed_form():
    table = pr.draw_channels((0.5,), (0.1, 0.2), draws=50_000)
    assert list(table["at"]) == ["best", "elsewhere"] * 2
    assert table["off, standard errors"].abs().max() < 4
    assert np.allclose(table.drawn, table["closed form"], rtol=0.1)


def test_artificial_and_broken_models_are_measured():
    table = pr.measure_artificial(64, (0.5,), (0.2,), samples=400, progress=False)
    assert len(table) == 2 * (1 + 4 * 2) and set(table.entries) == {8, 16, 32, 64, 128}
    row = table[(table.model == "Hadamard") & (table.entries == 64)].iloc[0]
    exact = pr.best_symmetric(0.2, 0.5).loss
    assert row.gap == pytest.approx(row.loss / exact - 1) and row.on == pytest.approx(12.8)
    assert abs(row.foreseen) < 1e-3 < table.foreseen.abs().max()
    broken = pr.measure_broken(64, samples=400)
    assert len(broken) == 12 and broken.foreseen[0] == pytest.approx(1, rel=1e-3)
    assert broken.foreseen.iloc[-1] > broken.foreseen.iloc[-2] > 1


def test_rugs_are_compared():
    rugs = pr.four_rugs(32, steps=5)
    assert list(rugs)[-1] == "trained" and all(rug.W.shape == (32, 32) for rug in rugs.values())
    table = pr.compare_rugs(rugs, 0.1, samples=300)
    assert list(table.index) == list(rugs)
    assert table.foreseen["Hadamard, first rows"] == pytest.approx(1, rel=1e-3)
    assert table["kurtosis"]["Hadamard, first rows"] > table["kurtosis"]["Hadamard, random rows"]


def test_limits_functions_and_gains():
    sparse = pr.sparse_limit((0.5,), (0.95, 1e-4))
    assert np.isnan(sparse["local power of p"][0]) and 1.8 < sparse["local power of p"][1] < 2
    assert sparse["linear power of p"][1] == pytest.approx(1, abs=1e-3)
    losses = pr.function_losses((0.5,), points=3)
    assert list(losses) == [0.5] and losses[0.5].index[0] == pytest.approx(1e-6)
    gain = pr.nonlinear_gain((0.25, 0.5), (0.01, 0.5))
    assert gain.shape == (2, 2) and gain.loc[0.5, 0.01] > gain.loc[0.5, 0.5] >= 1
