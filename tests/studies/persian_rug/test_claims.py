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


def models(gaps=(0.01, -0.02), rows=(0.01, 0.02), plateau=(50, 300)):
    return pd.DataFrame(
        {
            "entries": 128,
            "r": 0.5,
            "p": 0.1,
            "step size": [pr.AUTHORS, "5e-4"],
            "gap": gaps,
            "row statistics off by": rows,
            "kurtosis": [12.0, 0.1],
            "on the plateau, steps": [plateau, None],
        }
    )


BROKEN = pd.DataFrame({"loss": [1.0, 1.02], "foreseen": [1.0, 1.0]})


def test_statistics_turn_with_what_rows_predict(check):
    word, why = check(claims.statistics(models(), BROKEN, 512))
    assert word == "reproduced" and "all 2 trained models" in why and "2.0%" in why
    word, why = check(claims.statistics(models(rows=(0.2, 0.01)), BROKEN, 512))
    assert word == "not reproduced"
    assert "1 of 2 trained models lose other" in why and "off the diagonal 12)" in why
    word, why = check(claims.statistics(models(rows=(np.nan, 0.01)), BROKEN, 512))
    assert word == "not reproduced"
    word, why = check(claims.statistics(models().iloc[:0], BROKEN, 512))
    assert word == "not tested here" and why == "no model was trained"
    value = claims.statistics(models(gaps=(-0.4, 0.2)), BROKEN, 512).value
    assert value["within 5 % of the closed form"] == "0 of 2"
    assert value["furthest below it"] == "-40.0%"
    assert value["kurtosis off the diagonal there"] == 12.0
    assert value["artificial models of 512 entries, broken ones too, off by at most"] == "2.0%"


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


def test_artificial_weights_turn_with_trained_gaps(check):
    word, why = check(claims.artificial_weights(models()))
    assert word == "reproduced" and why.startswith("2 of 2 trained models")
    word, why = check(claims.artificial_weights(models(gaps=(-0.4, 0.2))))
    assert word == "not reproduced" and "1 below, 1 above" in why and why.endswith("0 of 1")
    assert check(claims.artificial_weights(models().iloc[:0]))[0] == "not tested here"
    value = claims.artificial_weights(models()).value
    assert value["128 entries, r 0.5, p 0.1, step 5e-4"] == "-2.0%"


def test_the_closing_sentence_turns():
    said = claims.closing(artificial(), models(), gains())
    assert "1.0% from the closed form, 2 of 2 trained models end within 5 %" in said
    assert "none is below" in said and "6.0 over ReLU for p down to 1e-6" in said
    said = claims.closing(artificial(gap=-0.2), models(gaps=(-0.4, 0.2)), gains())
    assert "20.0% from" in said and "0 of 2 trained" in said and "1 is below" in said
    assert "no trained model" in claims.closing(artificial(), models().iloc[:0], gains())
    said = claims.closing(artificial(on=10), models(), gains())
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
    rows = {"model": "trained", "loss": 0.1, "entries": 16, "r": 0.5, "p": [0.1, 0.2]}
    rows |= {"step size": "3e-3", "gap": 0.12345, "diagonal_spread": 0.0}
    table = pd.DataFrame(rows | {"on the plateau, steps": [(50, 300), None]})
    table = sentences.readable_models(table)
    assert list(table["on the plateau, steps"]) == ["50 to 300", "never"]
    assert list(table["gap"]) == [0.123, 0.123] and "spread of the diagonal" in table
    assert table.index.names == ["entries", "r", "p", "step size"]


def test_sentences_about_pairs_plateaus_and_phases_turn():
    sparse, dense = sentences.antipodal_pairs(0.1, 64), sentences.antipodal_pairs(0.9, 64)
    assert "pairs is -" in sparse and "pairs is +" in dense
    limit = pr.antipodal_limit()
    for p, sign in ((limit - 0.01, -1), (limit + 0.01, 1)):
        assert sign * (pr.antipodal_loss(p) - pr.best_symmetric(p, 0.5).loss) > 0
    said = sentences.plateaus(models(gaps=(0.2, -0.2)))
    assert "near from step 50 to 300, in the end +20.0%, above" in said[0]
    assert "never near, in the end -20.0%, below" in said[1]
    assert ", at the closed form" in sentences.plateaus(models())[0]
    gain = pd.DataFrame([[8.0, 1.1], [4.0, 2.0]], index=[0.2, 0.5], columns=[0.01, 0.5])
    said = sentences.sparsity_pays(gain)
    assert "pays most at p = 0.01, r = 0.2 (a factor of 8.0)" in said
    assert "least at p = 0.5, r = 0.2 (1.10)" in said
    assert "most at p = 0.5, r = 0.2" in sentences.sparsity_pays(1 / gain)
