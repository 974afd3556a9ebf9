"""Which models are trained, and how."""

import numpy as np
import pytest

from gc_utils.errors import UserError
from gc_utils.studies import persian_rug as pr
from gc_utils.studies.persian_rug import trained
from gc_utils.studies.persian_rug.trained import COLUMNS


def test_the_authors_setting_is_theirs():
    theirs = pr.TRAININGS[pr.AUTHORS]
    assert theirs.batch == 1024 and theirs.eps == 1e-7
    assert theirs.rate(1024) == pytest.approx(3e-3 / 32)
    assert pr.TRAININGS[pr.QUARTER].batch == 256
    assert pr.AUTHORS_STEPS == 44_000


def test_the_grid_has_two_sizes():
    small, full = pr.training_grid("small"), pr.training_grid("full")
    for grid in (small, full):
        assert len(set(grid)) == len(grid)
        at = {(s.entries, s.p) for s in grid if s.training == pr.AUTHORS and s.r == 0.5}
        assert len({n for n, p in at if p == 0.1}) >= 3 and len({p for n, p in at if n == 128}) >= 3
    assert {s.entries for s in full} == {128, 256, 512, 1024, 2048}
    assert all(s.steps == (8000 if s.entries == 2048 else 44_000) for s in full)
    assert {s.steps for s in pr.training_grid("small", 70)} == {70}
    with pytest.raises(UserError, match="unknown size 'ful'; did you mean 'full'"):
        pr.training_grid("ful")
    with pytest.raises(UserError, match="-1 steps"):
        pr.training_grid("small", -1)


def test_trained_models_are_measured_and_kept(tmp_path):
    grid = [pr.Setting(16, 0.5, 0.2, name, 60) for name in pr.TRAININGS]
    options = {"samples": 300, "keep": tmp_path, "workers": 1, "progress": False}
    table, histories = pr.measure_trained(grid, **options)
    assert list(table.columns) == COLUMNS and table["training"].tolist() == list(pr.TRAININGS)
    assert list(histories) == grid and len(list(tmp_path.iterdir())) == 3
    assert histories[grid[0]].step.tolist() == [50, 60]
    exact = pr.best_symmetric(0.2, 0.5).loss
    assert np.allclose(table.gap, table.loss / exact - 1)
    assert np.allclose(table.end, [h.loss.iloc[-1] / exact - 1 for h in histories.values()])
    again, _ = pr.measure_trained(grid, **options)
    assert again.loss.tolist() == table.loss.tolist()
    empty, none = pr.measure_trained([], progress=False)
    assert list(empty.columns) == COLUMNS and not len(empty) and none == {}
    with pytest.raises(UserError, match="unknown training 'theirs'"):
        pr.measure_trained([pr.Setting(16, 0.5, 0.2, "theirs", 60)])


def test_a_training_is_asked_for_as_it_is_described(monkeypatch):
    asked = []

    def train(*sizes, **options):
        asked.append((sizes, options))
        raise InterruptedError

    monkeypatch.setattr(trained, "train_rug", train)
    with pytest.raises(InterruptedError):
        pr.measure_trained([pr.Setting(64, 0.25, 0.1, pr.AUTHORS, 9)], seed=3, progress=False)
    sizes, options = asked[0]
    assert sizes == (64, 16, 0.1) and options["seed"] == 3 and options["steps"] == 9
    assert options["batch"] == 1024 and options["eps"] == 1e-7
    assert options["lr"] == pytest.approx(3e-3 / 8)


def test_a_tiny_model_leaves_the_symmetric_solution_for_pairs():
    grid = [pr.Setting(32, 0.5, 0.1, "rate 3e-3, batch 256", 2000)]
    table, histories = pr.measure_trained(grid, samples=2000, progress=False)
    row, history = table.iloc[0], histories[grid[0]]
    assert row.fate in ("left", "passed by") and row.gap < -0.3
    assert row["paired in the end"] > 0.6 and row["row statistics off by"] > 1
    # Rows give the loss while there is no structure, and not that of pairs.
    off = (history.foreseen / history.loss - 1).abs()
    assert off.iloc[-1] > 1 > 0.5 > off[:5].min()
    assert history.paired.iloc[0] < 0.4 and history["kurtosis"].iloc[0] < 5 < row["kurtosis"]
