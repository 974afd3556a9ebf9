"""Every method can be asked, trials are kept, and those that should find the truth do."""

import math
from dataclasses import replace

import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.planted import METHODS, Problem, grid, planted_orbits, run_trials, trial, trials
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


def test_problems_pass_on_what_is_planted():
    problem = replace(
        TINY, families="C1:2 D1:1", norm_spread=0.5, tail=1.0, orientations=0.5, correlation=0.2,
        family_correlation=0.3, chiral_power=0.15, seed=4,
    )  # fmt: skip
    assert problem.counts == {"C1": 2, "D1": 1}
    seen, held_out = problem.draw()
    direct = planted_orbits(
        "D4", 16, {"C1": 2, "D1": 1}, 400, 2, 0.05, 0.0, 4, norm_spread=0.5, tail=1.0,
        orientations=0.5, correlation=0.2, family_correlation=0.3, chiral_power=0.15,
    )  # fmt: skip
    assert torch.equal(torch.cat([seen.A, held_out.A]), direct.A)
    with pytest.raises(UserError, match="expected a number"):
        replace(TINY, families="C1").draw()


def test_replicates_have_the_dictionary_and_other_samples():
    problem = replace(TINY, replicates=2, seed=3)
    others = problem.others()
    assert [p.replicates for p in others] == [0, 0]
    drawn = [p.draw()[0] for p in (problem, *others)]
    assert all(torch.equal(drawn[0].V, each.V) for each in drawn)
    codes = [each.codes for each in drawn]
    assert not any(torch.equal(codes[i], codes[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_a_trial_with_replicates_says_how_features_are_named(monkeypatch):
    def truth(problem, seen, held_out):
        noise = torch.randn(seen.V.shape, generator=torch.Generator().manual_seed(problem.seed))
        return Found(seen.V + 0.04 * noise)

    monkeypatch.setitem(METHODS, "PCA", truth)
    problem = replace(TINY, channels=24, families="C1:4 D1:3 C2:3", chiral_power=0.15, replicates=1)
    row = trial("PCA", problem)
    assert row["recall"] == 1 and row["rho_true"] == pytest.approx(0.7, abs=1e-3)
    assert row["rho_corrected"] == pytest.approx(0.7, abs=0.05)
    assert row["raw_true"] + row["raw_part"] + row["raw_other"] == pytest.approx(1)
    plain = trial("PCA", replace(problem, replicates=0))
    assert "raw_true" not in plain
    assert row["found_and_named_raw"] == plain["found_and_named"]


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


def test_recall_is_told_apart_by_norm():
    problem = replace(TINY, families="C1:3", norm_spread=1.0, steps=150, seed=1)
    row = trial("crosscoder", problem)
    assert 0 < row["weak"] < 1  # one family or two of three
    total = row["weak"] * row["recall_weak"] + (1 - row["weak"]) * row["recall_strong"]
    assert total == pytest.approx(row["recall"])
    even = trial("PCA", TINY)
    assert even["weak"] == 0 and math.isnan(even["recall_weak"])
