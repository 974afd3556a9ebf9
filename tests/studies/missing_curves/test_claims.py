import dataclasses

import numpy as np
import pandas as pd
import pytest

from gc_utils.evidence import Evidence
from gc_utils.studies.missing_curves import Baselines, Filling, claims
from gc_utils.studies.missing_curves.hidden_bank import LEFT_OUT, SUPERPOSED

SOLVED = claims.HiddenBanks(banks=10, found=10, split=10, controls=10, empty=10)
OPEN = [(0.0, 40.0), (100.0, 150.0), (200.0, 260.0)]
PAPER = Evidence.PAPER


def filling(*filled):
    return Filling(OPEN[: len(filled)], list(filled), even=1.5, chance=0.94, random=0.9)


def gaps(evidence=PAPER, hidden=SOLVED, filling=filling(True, True, False), **changed):  # noqa: B008
    numbers = {"neurons": 12, "features": 40, "by_random": 12.04, "unmatched": 0.46}
    numbers |= {"again": 0.7, "unmatched_by_random": 0.99}
    return claims.gaps_filled(evidence, "mixed3b", hidden, filling, **(numbers | changed))


def doubles(apart, split=None):
    apart = np.array(apart, dtype=bool)
    return pd.DataFrame(
        {
            "own": np.full(len(apart), 0.56),
            "own1": np.full(len(apart), 0.6),
            "own2": np.full(len(apart), 0.8),
            "apart": apart,
            "split": apart if split is None else np.array(split, dtype=bool),
        }
    )


def neurons(
    evidence=PAPER, hidden=SOLVED, apart=(True, True, False), single=(0.7, 0.4), random=0.3
):
    shares = dict(zip(("neurons", "features"), single, strict=True))
    return claims.neurons_split(evidence, "mixed3b", hidden, doubles(apart), shares, random)


@pytest.mark.parametrize(
    "changed, verdict, words",
    [
        ({}, "reproduced", "2 of 3 gaps of mixed3b are filled, by evenly drawn angles in 94%"),
        ({"neurons": 0}, "not tested here", "curve neurons of mixed3b: 0, too few to leave gaps"),
        ({"neurons": 2}, "not tested here", "curve neurons of mixed3b: 2, too few to leave gaps"),
        ({"filling": Filling([], [])}, "not tested here", "leave no gap of 30° or more"),
        ({"filling": filling(True, False, False)}, "not reproduced", "1 of 3 gaps"),
        ({"features": 18}, "not reproduced", "18 features of mixed3b detect curves, 12.0 of"),
        ({"by_random": float("nan"), "features": 0}, "not reproduced", "0 features"),
        ({"unmatched": float("nan")}, "not tested here", "the share like none is undefined"),
        ({"unmatched": 0.0}, "not reproduced", "every feature of mixed3b is similar to a neuron"),
        ({"again": 0.0}, "not reproduced", "no feature of mixed3b like no neuron is found again"),
        ({"again": float("nan")}, "not reproduced", "is found again by a second SAE"),
        (
            {"hidden": dataclasses.replace(SOLVED, found=8)},
            "not reproduced",
            "where the truth is known, 8 of 10 hidden banks are solved",
        ),
        ({"hidden": dataclasses.replace(SOLVED, empty=8)}, "not reproduced", "8 of 10 controls"),
    ],
)
def test_gaps_are_filled_or_not(recorded, changed, verdict, words):
    finding = recorded(gaps(**changed))
    assert finding.verdict == verdict and words in finding.why
    assert "nan" not in finding.why


def test_what_is_recorded_of_the_gaps():
    value = gaps().value
    assert list(value.values()) == [
        "10 of 10",
        "10 of 10",
        12,
        40,
        12.0,
        3,
        2,
        0.9,
        0.46,
        0.7,
        0.99,
    ]
    assert value["curve detectors of mixed3b, neurons"] == 12


@pytest.mark.parametrize(
    "changed, verdict, words",
    [
        ({}, "reproduced", "2 of 3 neurons with two curves are taken apart, 0.3 by random"),
        ({"random": 1.5}, "not reproduced", "2 of 3 neurons with two curves are taken apart, 1.5"),
        ({"apart": (True, False, False)}, "not reproduced", "1 of 3 neurons"),
        ({"apart": ()}, "not tested here", "no neuron of mixed3b has two preferred curves"),
        (
            {"hidden": dataclasses.replace(SOLVED, split=8)},
            "not reproduced",
            "all pairs in 8 of 10 hidden banks",
        ),
    ],
)
def test_neurons_are_split_or_not(recorded, changed, verdict, words):
    finding = recorded(neurons(**changed))
    assert finding.verdict == verdict and words in finding.why


def test_what_is_recorded_of_the_split_neurons():
    value = neurons().value
    assert value["neurons of mixed3b with two curves"] == 3 and value["of these taken apart"] == 2
    assert value["the features that write there"] == pytest.approx(0.7)
    assert value["one peak only, features"] == 0.4
    assert "of these taken apart" not in neurons(apart=()).value


@pytest.mark.parametrize(
    "evidence, word",
    [
        (Evidence.PHOTOGRAPHS, "reproduced on another network trained on photographs"),
        (Evidence.DEFAULT, "only on the embedded default"),
        (Evidence.UNTRAINED, "not tested here"),
    ],
)
def test_the_evidence_chooses_the_word(evidence, word):
    for finding in (gaps(evidence), neurons(evidence)):
        assert finding.verdict == word and finding.evidence is evidence
    assert neurons(Evidence.DEFAULT, apart=(False,)).verdict == "not reproduced"


def trials(found, empty):
    """Two banks, of which some are solved, and their controls."""
    rows = [(SUPERPOSED, n, n) for n in found] + [(LEFT_OUT, n, 0) for n in empty]
    columns = ["missing curves are", "found by features", "pairs split"]
    return pd.DataFrame(rows, columns=columns).assign(of=3, pairs=3)


def test_hidden_banks_are_counted():
    solved = claims.hidden_banks(trials([3, 3], [0, 0]))
    assert solved == claims.HiddenBanks(2, 2, 2, 2, 2)
    assert solved.curves_known and solved.pairs_known
    assert "and only that" in claims.hidden_sentence(solved)
    failed = claims.hidden_banks(trials([3, 2], [0, 1]))
    assert failed == claims.HiddenBanks(2, 1, 1, 2, 1)
    assert not failed.curves_known and not failed.pairs_known
    assert "not to be trusted" in claims.hidden_sentence(failed)
    none = claims.hidden_banks(trials([], []))
    assert not none.curves_known and not none.pairs_known


def test_detectors_are_compared_with_random_directions():
    assert "here: 40, clearly more" in claims.detectors_sentence("here", 96, 40, 12.0)
    assert "here: 13, not clearly more" in claims.detectors_sentence("here", 96, 13, 12.0)


def test_each_gap_has_a_sentence():
    lines = claims.filling_sentences("here", 12, filling(True, False))
    assert lines[0].endswith("0° and 40°: filled by features.")
    assert lines[1].endswith("100° and 150°: not filled by features.")
    assert "1 of 2 gaps" in lines[2] and "angles often fill" in lines[2]
    rare = dataclasses.replace(filling(True), chance=0.01)
    assert "angles rarely fill" in claims.filling_sentences("here", 12, rare)[-1]
    assert "No neuron" in claims.filling_sentences("here", 0, Filling([], []))[0]
    assert "nothing to fill" in claims.filling_sentences("here", 12, Filling([], []))[0]


@pytest.mark.parametrize(
    "features, often", [(0.72, "about as often as"), (0.9, "less often than"), (0.4, "more often")]
)
def test_second_peaks_of_features_and_neurons_are_compared(features, often):
    single = {"neurons": 0.7, "features": features}
    lines = claims.splitting_sentences(doubles([True, False]), single)
    assert "1 of 2 neurons" in lines[0] and often in lines[-1]
    assert len(lines) == 3 and len(claims.splitting_sentences(doubles([]), single)) == 2


@pytest.mark.parametrize(
    ("neurons_share", "features_share", "words"),
    [
        (np.nan, 0.5, "No neuron responds most to arcs"),
        (0.5, np.nan, "No feature responds most to arcs"),
        (np.nan, np.nan, "No neuron and no feature responds most to arcs"),
    ],
)
def test_shares_of_nothing_are_not_compared(recorded, neurons_share, features_share, words):
    single = {"neurons": neurons_share, "features": features_share}
    lines = claims.splitting_sentences(doubles([True, False]), single)
    assert lines[-1].startswith(words)
    assert "%" not in lines[-1] and "nan" not in lines[-1]
    value = recorded(neurons(single=(neurons_share, features_share))).value
    shares = [value[f"one peak only, {who}"] for who in single]
    assert shares == ["undefined" if np.isnan(s) else s for s in single.values()]


def test_new_features_are_counted():
    new = pd.DataFrame({"label": ["curve", "line", "curve"]})
    text = claims.new_features_sentence("here", new, 12)
    assert "3 features of here, 25% of all" in text and "2 curve, 1 line" in text
    assert "is similar to a neuron" in claims.new_features_sentence("here", new[:0], 12)


def spans(block, single):
    return pd.DataFrame(
        {
            "kind": ["principal directions", "SAE features", "the best block"],
            "dimensions": 4,
            "share": [0.9, single, block],
        }
    )


def test_dictionaries_are_compared_in_words():
    shares = {"features": 0.4, "second SAE": 0.35, "random directions": 0.99}
    counts = {"features": 5, "second SAE": 4, "random directions": 0.7}
    found = Baselines(shares, 0.6, counts)
    said = claims.baselines_sentence("mixed3b", found)
    assert "99% are like no neuron" in said and "no sign of a feature by itself" in said
    assert said.endswith("the second SAE has 60%.")
    fewer = Baselines(shares | {"random directions": 0.1}, float("nan"), counts)
    said = claims.baselines_sentence("mixed3b", fewer)
    assert "fewer than of the SAE's features" in said and "nan" not in said
    said = claims.apart_sentence(7, found)
    assert "the SAE takes 5 apart, a second SAE 4, as many random directions 0.7" in said
    assert claims.apart_sentence(0, found).startswith("There is no neuron")


def test_the_loop_is_one_thing_if_a_block_holds_it():
    assert "one continuous thing" in claims.loop_sentence(spans(0.8, 0.4))
    assert "in pieces" in claims.loop_sentence(spans(0.5, 0.4))


def test_curve_features_share_a_subspace_or_not():
    found = {"features": 8, "dimensions": 3, "ratio": 2.5, "any dimensions": 6, "any ratio": 5.0}
    assert claims.dimensions_sentence(found).endswith("a smaller subspace.")
    assert claims.dimensions_sentence(found | {"dimensions": 6}).endswith("no smaller subspace.")


def test_published_neurons_are_recognised_or_not():
    assert "are recognised" in claims.published_sentence({"median off": 5.0, "p": 0.001})
    assert "not recognised" in claims.published_sentence({"median off": 80.0, "p": 0.5})


def test_the_closing_sentence_follows_the_findings():
    text = claims.closing_sentence("mixed3b", gaps(), neurons())
    assert "finds curve detectors that the neurons lack" in text
    assert "features take most neurons" in text
    against = gaps(filling=filling(False)), neurons(apart=(False,))
    text = claims.closing_sentence("mixed3b", *against)
    assert "does not show convincingly" in text and "do not take" in text
    unasked = gaps(neurons=0), neurons(apart=())
    assert claims.closing_sentence("mixed3b", *unasked).count("could not be asked") == 2


def test_sentence_about_echoes_turns():
    echo = pd.DataFrame(
        {
            "layer": ["mixed3a"] * 3 + ["mixed3b"] * 2,
            "units": "neurons",
            "echo": [0.04, 0.2, 0.3, 0.0, 0.01],
        }
    )
    said = claims.echo_sentence(echo)
    assert said.startswith("2 of 5 curve detectors") and "among neurons of mixed3a." in said
    assert "among none of these sets" in claims.echo_sentence(echo[echo.layer == "mixed3b"])
    assert claims.echo_sentence(echo[:0]).startswith("No layer has a curve detector")


def test_sentence_about_the_crosscoder_turns():
    values = {
        "crosscoder, count": 20.0,
        "crosscoder, gap": 67.5,
        "families of curves": 7,
        "share in the largest": 0.35,
        "block profile at 180°, median": 0.05,
        "its lowest": 0.03,
    }
    said = claims.crosscoder_sentence(values)
    assert "20 curve features" in said and "in 7 families" in said and said.endswith("no echo.")
    assert "Two of one family" not in said
    pairs = values | {"off by, median degrees": 2.0, "pairs": 31}
    assert "to 2° in the median of 31 pairs" in claims.crosscoder_sentence(pairs)
    loud = values | {"families of curves": 1, "block profile at 180°, median": 0.4}
    assert "in one family" in claims.crosscoder_sentence(loud)
    assert claims.crosscoder_sentence(loud).endswith("an echo.")
