"""Every method can be asked, trials are kept, and those that should find the truth do."""

import math

import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.planted import METHODS, Problem, grid, run_trials, trial, trials
from gc_utils.planted.methods import Found

TINY = Problem(
    group="D4", channels=16, families=1, samples=300, held_out=100, l0=2, steps=30, batch_size=64
)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_answers(method):
    row = trial(method, TINY)
    assert row["method"] == method and row["samples"] == 300
    assert -1 <= row["cosine_max"] <= 1 and 0 <= row["recall"] <= 1
    assert row["parameters"] > 0
    if method != "SAE, regressed blocks":  # the only one that reconstructs single views
        assert math.isfinite(row["fvu"])


def test_those_that_should_find_it_do_and_the_control_does_not():
    problem = Problem(
        group="D4", channels=32, samples=500, held_out=200, l0=3, families=2,
        steps=500, batch_size=128, lr=3e-3, dictionary=2,
    )  # fmt: skip
    tied = trial("tied crosscoder", problem)
    assert tied["cosine_max"] > 0.95 and tied["stabiliser_exact"] > 0.9 and tied["ari"] > 0.9
    assert trial("PCA", problem)["cosine_max"] < 0.7
    control = Problem(**{**vars(problem), "control": "shuffled"})
    shuffled = trial("tied crosscoder", control)
    assert shuffled["ari"] < 0.1 and shuffled["symmetric"] < 0.3 < tied["symmetric"]
    dense = Problem(**{**vars(problem), "control": "no orbits"})
    assert trial("tied crosscoder", dense)["recall"] < 0.3


def test_trials_are_kept_and_not_repeated(tmp_path, monkeypatch):
    wanted = grid(["PCA", "NMF"], TINY, 2)
    path = tmp_path / "trials.jsonl"
    first = run_trials(path, wanted, progress=False)
    assert list(first.method) == ["PCA", "PCA", "NMF", "NMF"] and list(first.seed) == [0, 1, 0, 1]
    with path.open("a") as file:
        file.write('{"method": "PC')  # killed while writing
    monkeypatch.setattr(trials, "trial", None)  # nothing may be computed
    again = run_trials(path, wanted, progress=False)
    assert again.equals(first)
    monkeypatch.setattr(trials, "_code", lambda: "another")
    with pytest.raises(TypeError, match="NoneType"):  # all to be computed again
        run_trials(path, wanted, progress=False)


def test_a_method_that_learned_nothing_scores_nothing(monkeypatch):
    nothing = Found(torch.ones(4, 8, 16), torch.zeros(100, 4))
    monkeypatch.setitem(METHODS, "PCA", lambda *_: nothing)
    row = trial("PCA", TINY)
    assert row["cosine_max"] == row["recall"] == 0 and row["dead"] == 1


def test_grids_cover_values_methods_and_seeds():
    made = grid(["PCA", "NMF"], TINY, 2, noise=[0.1, 0.2])
    assert len(made) == 8
    assert {(m, p.noise, p.seed) for m, p in made} == {
        (m, n, s) for m in ("PCA", "NMF") for n in (0.1, 0.2) for s in (0, 1)
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: trial("ICA", TINY), "unknown method 'ICA'"),
        (lambda: Problem(control="none").draw(), "unknown control 'none'"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
