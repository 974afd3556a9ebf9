"""Findings and sentences of notebook 09 from made-up numbers of every kind."""

import numpy as np
import pandas as pd
import pytest

from gc_utils.evidence import Evidence
from gc_utils.studies import persian_rug as pr
from gc_utils.studies.persian_rug import claims, sentences


@pytest.fixture
def check(recorded):
    """A finding can be recorded, its reason is short; returns its verdict and reason."""

    def judged(finding):
        recorded(finding)
        assert finding.evidence is Evidence.KNOWN
        return finding.verdict, finding.why

    return judged


def model(n, *, p=0.1, r=0.5, training=pr.AUTHORS, steps=44_000, **changed):
    """A row of `measure_trained`: left at step 5 n, and all in pairs at the end."""
    row = {
        **{"model": "trained", "entries": n, "r": r, "p": p, "training": training, "steps": steps},
        **{"loss": 0.002, "gap": -0.6, "error": 0.01, "row statistics off by": 3.0},
        **{"kurtosis": 12.0, "diagonal_spread": 0.0, "first": 2.0 * n, "last": 5.0 * n},
        **{"left": True, "end": -0.6, "fate": "left", "rows off on it": 0.02},
        **{"paired at last": 0.02, "paired in the end": 0.9},
    }
    return row | changed


def table(*rows):
    return pd.DataFrame(list(rows), columns=list(model(2)))


STAYED = {"gap": 0.01, "row statistics off by": 0.01, "kurtosis": 0.1, "last": 44_000.0}
STAYED |= {"left": False, "fate": "stayed", "paired in the end": 0.0}
STILL = STAYED | {"fate": "still on it", "last": 8000.0, "steps": 8000}
PASSED = {"first": None, "last": None, "left": False, "fate": "passed by"}
PASSED |= {"rows off on it": np.nan, "paired at last": np.nan}


BROKEN = pd.DataFrame({"loss": [1.0, 1.02], "foreseen": [1.0, 1.0]})


REASON = (
    "holds on a plateau that lengthens with n (last step 640 of 128 entries, 5,120 of 1,024), "
    "left when training goes on"
)
CLAIMS = {
    "PR1": lambda trained: claims.statistics(trained, BROKEN, 512),
    "PR5": claims.artificial_weights,
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_models_that_stay_on_the_plateau_reproduce_both_claims(check, claim):
    word, why = check(CLAIMS[claim](table(model(128), model(256, **STAYED))))
    assert word == "reproduced" and "1 of 1 trained models of 256 entries" in why
    assert "would decide" not in str(CLAIMS[claim](table(model(256, **STAYED))).value)
    # Reliably: one that leaves is enough, and the reason is not that of a plateau left by all.
    mixed = table(model(128), model(256, **STAYED), model(256, p=0.05, gap=0.3))
    word, why = check(CLAIMS[claim](mixed))
    assert word == "not reproduced" and "1 of 2 trained models of 256 entries" in why


@pytest.mark.parametrize("claim", CLAIMS)
def test_the_plateau_is_the_reason_when_the_data_say_so_and_only_then(check, claim):
    sizes = [model(n) for n in (128, 256, 1024)]
    word, why = check(CLAIMS[claim](table(*sizes)))
    assert word == "not reproduced" and why == REASON
    assert "more than 1,024 entries" in CLAIMS[claim](table(*sizes)).value["what would decide it"]
    # One that is still on it, and others' settings, change nothing.
    still = table(*sizes, model(2048, **STILL), model(512, training=pr.QUARTER, **PASSED))
    word, why = check(CLAIMS[claim](still))
    assert word == "not reproduced" and "640 of 128 entries, 8,000 or later of 2,048)" in why
    for others in (
        [model(1024)],  # nothing to compare
        [model(128, last=9000.0), model(1024)],  # it shortens
        [model(128), model(1024, last=640.0)],  # or stays the same
        [model(128, **PASSED), model(256), model(1024)],  # one has never been on it
    ):
        word, why = check(CLAIMS[claim](table(*others)))
        assert word == "not reproduced" and "plateau" not in why, others


@pytest.mark.parametrize("claim", CLAIMS)
def test_undecided_models_test_neither_claim(check, claim):
    word, why = check(CLAIMS[claim](table()))
    assert word == "not tested here" and why == "no model was trained in the authors' setting"
    word, why = check(CLAIMS[claim](table(model(128, training=pr.QUARTER))))
    assert word == "not tested here" and "no model was trained" in why
    both = table(model(2048, **STILL), model(256, **PASSED | {"fate": "not yet", "steps": 100}))
    word, why = check(CLAIMS[claim](both))
    assert word == "not tested here" and "1 models are still on the plateau and 1 not there" in why
    assert "after at most 8,000 steps" in why


def test_statistics_turn_with_what_rows_predict(check):
    # A model that leaves the closed form may still be one of row statistics, and the reverse.
    obeys = {"row statistics off by": 0.01}
    word, why = check(claims.statistics(table(model(128), model(256, **obeys)), BROKEN, 512))
    assert word == "reproduced" and "artificial ones within 2.0%" in why
    for off in (0.2, -0.2, np.nan):
        word, why = check(
            claims.statistics(table(model(256, **{"row statistics off by": off})), BROKEN, 512)
        )
        assert word == "not reproduced" and "off the diagonal 12)" in why
    # On the closed form by chance, with rows that do not give the loss there.
    crossing = [model(n, **{"rows off on it": 0.2}) for n in (128, 256)]
    word, why = check(claims.statistics(table(*crossing), BROKEN, 512))
    assert word == "not reproduced" and "plateau" not in why
    value = claims.statistics(table(model(128), model(256, **STAYED)), BROKEN, 512).value
    name = "last step on the plateau by entries, r 0.5, p 0.1"
    assert value[name] == "128: 640, 256: 44,000 or later"
    name = "row statistics off on the plateau by entries, r 0.5, p 0.1"
    assert value[name] == "128: 2%, 256: 2%"
    assert value["entries in antipodal pairs after it was left"] == "90% to 90%"
    assert value["artificial models of 512 entries, broken ones too, off by at most"] == "2.0%"


def test_artificial_weights_turn_with_trained_gaps(check):
    word, why = check(claims.artificial_weights(table(model(256, **STAYED | {"gap": 0.06}))))
    assert word == "not reproduced" and "0 below, 1 above" in why
    rows = [model(128, gap=-0.7), model(128, p=0.2, gap=-0.4), model(256, gap=-0.2)]
    value = claims.artificial_weights(table(*rows, model(128, training=pr.QUARTER))).value
    assert value["256 entries, after 44,000 steps, from the closed form"] == "-20.0%"
    name = "128 entries, after 44,000 steps, from the closed form"
    assert value[name] == "-70.0% to -40.0% (2 models)"
    assert value[f"128 entries, r 0.5, p 0.1, {pr.QUARTER}"] == "-60.0%"


def artificial(gap=0.01, on=51.2):
    return pd.DataFrame(
        {
            "model": ["Hadamard", "projector", "projector"],
            "entries": [512, 512, 64],
            "on": [on, on, 6.4],
            "gap": [gap, 0.05, 0.3],
            "foreseen": [0.0, 0.03, 0.1],
            "error": 0.005,
        }
    )


def drawn(off=1.9):
    return pd.DataFrame({"off, standard errors": [0.1, -off]})


def test_the_closed_form_turns_with_draws_and_models(check):
    word, why = check(claims.tractable(drawn(), artificial(), 512))
    assert word == "reproduced" and "at most 1.9 standard errors" in why and "by 1.0%" in why
    assert check(claims.tractable(drawn(3.5), artificial(), 512))[0] == "not reproduced"
    word, why = check(claims.tractable(drawn(), artificial(gap=0.2), 512))
    assert word == "not reproduced" and "by 20.0%" in why
    # What two standard errors explain is allowed.
    assert check(claims.tractable(drawn(), artificial(gap=0.039), 512))[0] == "reproduced"
    word, why = check(claims.tractable(drawn(), artificial(on=10), 512))
    assert word == "not tested here" and "no Hadamard model" in why
    word, why = check(claims.tractable(drawn().iloc[:0], artificial(), 512))
    assert word == "not tested here" and "no channel was drawn" in why
    value = claims.tractable(drawn(), artificial(), 512).value
    assert value["random projectors of 512 entries or more"] == "5.0%"


def limit(power=1.92, levels=(5.3, 5.35), ps=(1e-4, 1e-5)):
    return pd.DataFrame(
        [
            {
                "p": p,
                "r": r,
                "loss / (p² (1/r - 1) / 3)": level,
                "local power of p": power,
                "linear power of p": 1.0,
            }
            for p in ps
            for r, level in zip((0.25, 0.5), levels, strict=True)
        ]
    )


def test_scalings_turn_with_the_power_and_the_spread(check):
    word, why = check(claims.scalings(limit()))
    assert word == "reproduced" and "p to the 1.92" in why and "within 1%" in why
    assert "linear model as p to the 1.00" in why
    word, why = check(claims.scalings(limit(power=1.2)))
    assert word == "not reproduced" and "p to the 1.20" in why
    assert check(claims.scalings(limit(levels=(3, 5))))[0] == "not reproduced"
    assert check(claims.scalings(limit(ps=(0.1, 0.01))))[0] == "not tested here"
    for undefined in ({"power": np.nan}, {"levels": (np.nan, 5.3)}, {"levels": (np.inf, 5.3)}):
        word, why = check(claims.scalings(limit(**undefined)))
        assert word == "not tested here" and "are undefined for" in why and "of 4 pairs" in why
    value = claims.scalings(limit()).value
    assert value["loss / (p² (1/r - 1) / 3) at 1e-5, over r"] == "5.30 to 5.35"
    assert value["power of p at 1e-4 and below"] == pytest.approx(1.92)


def gains(rare=(6, 5, 4), usual=1.5):
    ps = [1e-6, 3e-6, 9e-6, 1e-3, 0.01, 0.1]
    return pd.DataFrame({0.25: [*rare, 2, usual, 1.1]}, index=ps)


def test_near_optimal_turns_with_the_growth_of_the_gain(check):
    word, why = check(claims.near_optimal(gains()))
    assert word == "not reproduced" and why.endswith("6.0 at 1e-6, still growing")
    assert "up to 1.5 for p of 0.003 or more" in why
    word, why = check(claims.near_optimal(gains(rare=(4.1, 4, 4))))
    assert word == "reproduced" and why.endswith("4.1 at 1e-6, no more than before")
    assert check(claims.near_optimal(gains().iloc[:2]))[0] == "not tested here"
    assert check(claims.near_optimal(gains().iloc[:0]))[0] == "not tested here"
    word, why = check(claims.near_optimal(gains(rare=(np.nan, 4, 4))))
    assert word == "not tested here" and "undefined at 1 of 6 values of p" in why
    value = claims.near_optimal(gains()).value
    assert value["best function's loss over ReLU's, r = 0.25, p = 1e-06"] == pytest.approx(1 / 6)
    losses = {0.5: pd.DataFrame({"ReLU": [2.0], "any": [1.0]}, index=[0.1])}
    assert claims.function_gains(losses).loc[0.1, 0.5] == 2


def test_the_closing_sentence_turns():
    stayed = table(model(128, **STAYED), model(256, **STAYED))
    said = claims.closing(artificial(), stayed, gains())
    assert "1.0% from the closed form, 2 of 2 trained models end within 5 %" in said
    assert "none is below" in said and "6.0 over ReLU for p down to 1e-6" in said
    said = claims.closing(artificial(gap=-0.2), table(model(128), model(128, gap=0.2)), gains())
    assert "20.0% from" in said and "0 of 2 trained" in said and "1 is below" in said
    assert "no trained model" in claims.closing(artificial(), table(), gains())
    said = claims.closing(artificial(on=10), stayed, gains())
    assert "too small here to be compared with the closed form" in said and "nan" not in said


def test_sentences_about_projectors_and_rows_turn():
    said = sentences.projector_price(artificial(), 512)
    assert "lose 4.0% of the closed form more" in said and "predict +3.0%" in said
    assert "lose 5.0% of the closed form less" in sentences.projector_price(artificial(0.1), 512)
    compared = pd.DataFrame(
        {"loss": [2.0, 1.01], "foreseen": [1.0, 1.0], "kurtosis": [90.0, 0.0]}, index=["a", "b"]
    )
    first, second = sentences.rows_predict(compared)
    assert first.startswith("a: the loss is 2.00") and "they do not predict it" in first
    assert "they predict it; kurtosis off the diagonal 0.0" in second


def test_sentences_about_rare_entries_turn():
    sparse = pd.DataFrame(
        {
            "p": [1e-5, 1e-5, 0.1],
            "local power of p": [1.9, 1.94, 1.0],
            "linear power of p": [1.0, 1.02, 0.9],
        }
    )
    said = sentences.falling_loss(sparse)
    assert "At p = 1e-05 the closed form falls as p to the power 1.92" in said
    assert "to the power 1.01 (means over r)" in said
    price = pd.DataFrame({0.25: [5.6, 1.0], 0.5: [6.0, 1.03]}, index=[1e-6, 0.5])
    said = sentences.price_of_relu(price)
    assert "at p = 1e-06 5.60 to 6.00 times, at p = 0.5 1.00 to 1.03 times." in said


def test_trained_models_are_a_table_to_read():
    read = sentences.readable_models(table(model(128, gap=0.12345), model(256, **PASSED)))
    assert list(read["on the plateau, steps"]) == ["256 to 640", "never"]
    assert list(read["gap"]) == [0.123, -0.6] and "spread of the diagonal" in read
    assert read.index.names == ["entries", "r", "p", "training"]


def test_sentences_about_the_plateau_turn():
    said = sentences.plateaus(table(model(128), model(256, **PASSED)))
    assert "on the plateau from step 256 to 640, -60.0% from the closed form" in said[0]
    assert "(left); 90% of the entries in pairs." in said[0]
    assert "never on the plateau" in said[1] and "(passed by)" in said[1]
    sizes = table(model(128), model(256, **STILL), model(128, p=0.2, last=700.0))
    said = sentences.lasting(sizes)
    assert "At r = 0.5 and p = 0.1 the last step on the plateau grows with entries: 640 at" in said
    assert "8,000 or later at 256." in said
    assert "At r = 0.5 and entries = 128 the last step on the plateau grows with p" in said
    falls = sentences.lasting(table(model(128), model(256, last=600.0)))
    assert "falls with entries: 640 at 128, 600 at 256." in falls and "with p" not in falls
    other = table(model(128), model(256), model(512, last=100.0))
    assert "goes up and down with entries" in sentences.lasting(other)
    assert sentences.lasting(table(model(128))).startswith("No two")
    off = {"rows off on it": 0.2}
    said = sentences.rows_on_plateau(table(model(256), model(128, **off), model(64, **PASSED)))
    assert said == (
        "On the plateau row statistics are off by 20% for 128 entries, 2% for 256 entries "
        "(r = 0.5, p = 0.1; medians over steps), and within 5 % for 1 of all 2 models."
    )
    assert sentences.rows_on_plateau(table(model(64, **PASSED))).startswith("No model has been")
    said = sentences.replaced(table(model(128), model(128, r=0.25, **{"paired in the end": 0.0})))
    assert "at r = 1/2 the 1 that left end -60% from" in said and "90% of the entries" in said
    assert "at other r the 1 that left" in said and "and 0% of the entries" in said
    assert "row statistics give the loss of 0" in said
    assert sentences.replaced(table(model(128, **STAYED))) == "No model has left the plateau."


def test_what_was_not_run_is_said():
    full = pr.training_grid("full")
    rows = [model(n, r=r, p=p, training=how, steps=steps) for n, r, p, how, steps in full]
    assert f"All {len(full)} models" in sentences.not_run(table(*rows))
    rows[0]["steps"] = 100
    said = sentences.not_run(table(*[row for row in rows if row["entries"] != 2048]))
    assert f"{len(full)} models 2 were not trained to their end (1 for fewer steps)" in said
    assert "and none of 2,048 entries at all" in said and "8,192" in said


def test_sentences_about_pairs_and_phases_turn():
    sparse, dense = sentences.antipodal_pairs(0.1, 64), sentences.antipodal_pairs(0.9, 64)
    assert "pairs is -" in sparse and "pairs is +" in dense
    limit = pr.antipodal_limit()
    for p, sign in ((limit - 0.01, -1), (limit + 0.01, 1)):
        assert sign * (pr.antipodal_loss(p) - pr.best_symmetric(p, 0.5).loss) > 0
    gain = pd.DataFrame([[8.0, 1.1], [4.0, 2.0]], index=[0.2, 0.5], columns=[0.01, 0.5])
    said = sentences.sparsity_pays(gain)
    assert "pays most at p = 0.01, r = 0.2 (a factor of 8.0)" in said
    assert "least at p = 0.5, r = 0.2 (1.10)" in said
    assert "most at p = 0.5, r = 0.2" in sentences.sparsity_pays(1 / gain)
