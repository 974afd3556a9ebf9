import numpy as np
import pandas as pd
import pytest

from gc_utils.evidence import Evidence
from gc_utils.inspection import BASELINE, METHODS
from gc_utils.studies.tuning_dimensions import claims

ATTRIBUTES = ("orientation", "frequency", "phase", "hue")


def trials(shares, *, significant=True, false=0, gap=0.09):
    """One draw of the bank: the share of each method, and how many random numbers are found."""
    rows = [
        {
            "method": method,
            "attribute": attribute,
            "share": share,
            "gap": gap,
            "significant": significant,
        }
        for method, share in shares.items()
        for attribute in ATTRIBUTES
    ]
    rows += [
        {"method": m, "attribute": "nothing", "share": 0.0, "gap": 0.0, "significant": n < false}
        for n, m in enumerate(shares)
    ]
    columns = ["method", "attribute", "share", "gap", "significant"]
    return pd.DataFrame(rows, columns=columns).astype({"significant": bool})


ALL = dict.fromkeys(METHODS, 0.3) | {BASELINE: 0.1}
NONE = dict.fromkeys(METHODS, 0.1) | {BASELINE: 0.3}


@pytest.mark.parametrize(
    "table, verdict, words",
    [
        (trials(ALL), "reproduced", "dimensions of PCA, ICA, NMF and sparse dictionary carry more"),
        (trials(NONE | {"ICA": 0.4}), "reproduced", "dimensions of ICA carry more"),
        (trials(NONE), "not reproduced", "no method's dimensions carry more"),
        (trials(ALL, significant=False), "not reproduced", "no method's dimensions carry more"),
        (trials(ALL, false=2), "not reproduced", "2 of 5 attributes that are random numbers"),
        (trials({}), "not tested here", "no patches were shown"),
    ],
)
def test_the_bank_is_recovered_or_not(recorded, table, verdict, words):
    finding = recorded(claims.gabor_bank(table))
    assert finding.verdict == verdict and words in finding.why
    assert finding.evidence is Evidence.KNOWN


def test_what_is_recorded_of_the_bank():
    value = claims.gabor_bank(trials(ALL, false=1)).value
    assert value["all four attributes above chance"].count(",") == 4
    assert value["random numbers called above chance"] == "1 of 5"
    assert value["share of entropy, PCA"] == 0.3
    key = "attributes of which PCA carries more than random directions"
    assert value[key] == "4 of 4"
    assert value["how much more than the next dimension, best"] == 0.09
    single = claims.gabor_bank(trials(ALL, gap=np.nan)).value  # one dimension has no next
    assert "how much more than the next dimension, best" not in single


def best(orientation=0.3, frequency=0.2, colour=0.9):
    table = {
        "all": [0.9, 0.9, 0.9],
        "orientation": [orientation, 0.05, 0.99],
        "frequency": [0.0, frequency, 0.99],
        "colour": [colour, 0.4, 0.99],
    }
    return pd.DataFrame(table, index=["PCA", "ICA", BASELINE])


def layers(evidence=Evidence.PAPER, chance=0.02, method="ICA", **r2):
    named = {"conv2d0": best(), "conv2d1": best(**r2)}
    by_chance = {name: dict.fromkeys(claims.ASKED, chance) for name in named}
    return claims.first_layers(evidence, named, by_chance, method)


@pytest.mark.parametrize(
    "changed, verdict, words",
    [
        ({}, "reproduced", "R² 0.20 or more; no method is best for all"),
        ({"frequency": 0.08}, "not reproduced", "for frequency in conv2d1"),
        ({"frequency": -0.1, "colour": np.nan}, "not reproduced", "frequency in conv2d1"),
        ({"orientation": np.nan}, "not reproduced", "for orientation in conv2d1"),
        ({"chance": 0.25}, "not reproduced", "for frequency in conv2d0, frequency in conv2d1"),
        ({"chance": 0.95}, "not reproduced", "for 6 of 6 attributes"),
        ({"chance": np.nan}, "not tested here", "is undefined for 6 of 6 attributes"),
    ],
)
def test_the_first_layers_are_tuned_or_not(recorded, changed, verdict, words):
    finding = recorded(layers(**changed))
    assert finding.verdict == verdict and words in finding.why


def test_one_attribute_without_a_chance_level_leaves_the_first_layers_open(recorded):
    named = {"conv2d0": best()}
    chance = {"conv2d0": dict.fromkeys(claims.ASKED, 0.02) | {"colour": np.nan}}
    finding = recorded(claims.first_layers(Evidence.PAPER, named, chance, "ICA"))
    assert finding.verdict == "not tested here"
    assert finding.why == "the R² of shuffled attributes is undefined for colour in conv2d0"


def test_what_is_recorded_of_the_first_layers(recorded):
    value = layers().value
    assert value["conv2d0, best R² of orientation"] == "0.30 (PCA; ICA 0.05)"
    assert value["conv2d1, best R² of frequency"] == "0.20 (ICA; ICA 0.20)"
    one = pd.DataFrame(dict.fromkeys(claims.ASKED, [0.5]), index=["PCA"])
    chance = {"conv2d0": dict.fromkeys(claims.ASKED, 0.0)}
    finding = claims.first_layers(Evidence.PAPER, {"conv2d0": one}, chance, "PCA")
    assert finding.verdict == "reproduced" and "PCA is best for all" in finding.why
    missing = claims.first_layers(Evidence.PAPER, {"conv2d0": one * np.nan}, chance, "PCA")
    assert missing.verdict == "not reproduced"
    assert missing.value["conv2d0, best R² of colour"] == "none"
    empty = recorded(claims.first_layers(Evidence.PAPER, {}, {}, "PCA"))
    assert empty.verdict == "not tested here" and empty.why == "no layer was studied"


@pytest.mark.parametrize(
    "evidence, word",
    [
        (Evidence.PHOTOGRAPHS, "reproduced on another network trained on photographs"),
        (Evidence.DEFAULT, "only on the embedded default"),
        (Evidence.UNTRAINED, "not tested here"),
    ],
)
def test_the_evidence_chooses_the_word(evidence, word):
    finding = layers(evidence)
    assert finding.verdict == word and finding.evidence is evidence
    assert layers(Evidence.DEFAULT, frequency=0.0).verdict == "not reproduced"


def test_dimensions_share_attributes_or_stand_alone():
    text = claims.bank_sentence(trials(ALL))
    assert "several dimensions share" in text and "too low a bar" in text
    text = claims.bank_sentence(trials(ALL, gap=0.7, significant=False))
    assert "stands for an attribute alone" in text and "0 of 4 tests." in text


def test_dimensions_are_named_by_one_attribute_or_none():
    table = pd.DataFrame(
        {"all": [0.9, 0.9], "orientation": [0.5, 0.1], "colour": [0.1, 0.0]},
    )
    lines = claims.named_sentences({"one": table, "two": table / 10})
    assert lines[0].startswith("one: 1 of 2") and lines[0].endswith("1 by orientation.")
    assert lines[1].startswith("two: 0 of 2") and lines[1].endswith("or more.")


def test_one_method_is_best_for_all_attributes_or_none():
    table = pd.DataFrame(
        {"all": [0.0, 1.0], "orientation": [0.5, 0.1], "colour": [0.5, 0.1]},
        index=["PCA", "ICA"],
    )
    other = table.assign(colour=[0.1, 0.5])
    lines = claims.methods_sentences({"one": table, "two": other})
    assert lines[0] == "one: PCA has the best dimension for every attribute."
    assert "no method is best for all attributes" in lines[1] and "ICA for 1" in lines[1]


def summary(mean=0.6, random=0.4, those=0.5, others=0.1, over=4, over_random=1):
    return pd.DataFrame(
        {
            "here": {
                "variance from rotation, mean": mean,
                "dimensions over 0.5": over,
                "the same of random directions": over_random,
                "variance from rotation, random directions": random,
                "predicted by orientation or direction, those": those,
                "the others": others,
                "explained variance": 0.7,
            }
        }
    )


def test_rotation_is_compared_with_random_directions():
    assert "60% of a dimension's variance, more than" in claims.rotation_sentences(summary())[0]
    assert "less than" in claims.rotation_sentences(summary(mean=0.2))[0]
    line = claims.rotation_sentences(summary(mean=0.41, those=np.nan))[0]
    assert "about as much as" in line and "nan" not in line and "the others with" in line


def test_the_closing_sentence_follows_the_findings():
    text = claims.closing_sentence(claims.gabor_bank(trials(ALL)), layers(), summary())
    assert text.startswith("Decomposition recovers") and "it finds orientation" in text
    assert "4 of the dimensions are group directions, 1 of" in text
    against = claims.gabor_bank(trials(NONE)), layers(frequency=0.0)
    text = claims.closing_sentence(*against, summary())
    assert text.startswith("No decomposition recovers") and "not all found" in text
    unasked = claims.gabor_bank(trials({})), layers(Evidence.UNTRAINED)
    text = claims.closing_sentence(*unasked, summary())
    assert text.startswith("The bank was not tried") and "could not be asked" in text
