"""Claims EX1 to GC2: verdict and sentence follow from the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gc_utils.evidence import Evidence, Findings
from gc_utils.families import given_families
from gc_utils.studies.group_crosscoders import claims
from gc_utils.symmetry.variance import Variance

NAN = float("nan")
COMPETITORS = (
    *("identity encoder, orbit distance", "identity encoder, cosine"),
    *("orbit encoder, orbit distance", "orbit encoder, cosine"),
    *("SAE, cosine", "SAE blocks, orbit distance"),
)
WORDS = {
    Evidence.KNOWN: "reproduced",
    Evidence.PAPER: "reproduced",
    Evidence.PHOTOGRAPHS: "reproduced on another network trained on photographs",
    Evidence.DEFAULT: "only on the embedded default",
    Evidence.UNTRAINED: "not tested here",
}


def divided(invariant, frequencies=8):
    """A variance of which that share does not depend on the rotation."""
    return Variance(
        invariant, np.full(3, invariant), NAN if np.isnan(invariant) else 0.8, np.ones(frequencies)
    )


def unexplained(crosscoder=0.3, pca=0.4, ridge=0.5, identity=0.45, folds=2):
    """FVU as notebook 02 tabulates it, the same for every part; folds differ by a hundredth."""
    methods = {
        "crosscoder, identity encoder": identity,
        "crosscoder, orbit encoder": crosscoder,
        "PCA, 8 components": pca,
        "ridge from the identity": ridge,
    }
    return pd.DataFrame(
        [
            {"method": method, "part": part, "fold": n, "fvu": fvu + n / 100, "dead": 0.1}
            for method, fvu in methods.items()
            for part in ("total", "invariant", "orientation")
            for n in range(folds)
        ]
    )


def matched(encoder="", fold=None, **changed):
    """Families of two folds and both encoders; `changed` in one encoder, or one fold of it."""
    row = {
        "families": 4,
        "largest": 30,
        "in_family": 60,
        "features": 100,
        "labelled": 50,
        "purity": 0.8,
        "purity_shuffled": 0.5,
        "purity_p": 0.001,
        "together": 0.3,
        "together_by_chance": 0.1,
        "information": 0.4,
        "information_p": 0.005,
    }
    rows = []
    for name in ("identity", "orbit"):
        for n in range(2):
            here = changed if encoder in ("", name) and fold in (None, n) else {}
            own = {"encoder": name, "fold": n, "method": "average linkage"}
            rows += [own | row | here]
            # One method is there for comparison and decides nothing.
            rows += [own | row | {"method": "HDBSCAN", "purity_p": 1.0, "information": NAN}]
    return pd.DataFrame(rows)


def scored(own=0.6, others=0.2, states=("raw", "refined"), state="", competitor="", **changed):
    """Separation in two folds; `changed` sets a score of a competitor, the plain autoencoder's."""
    rows = []
    for name in COMPETITORS:
        value = own if name in (COMPETITORS[0], COMPETITORS[2]) else others
        names = ("silhouette", "knn_gain", "adjusted_mutual_information")
        for s in states:
            here = name == (competitor or "SAE, cosine") and state in ("", s)
            scores = dict.fromkeys(names, value) | (changed if here else {})
            rows += [{"competitor": name, "state": s, "fold": n} | scores for n in range(2)]
    return pd.DataFrame(rows)


SAMPLED = {"without low-pass": divided(0.5), "with low-pass": divided(0.5)}
HOLD = {
    "EX1": lambda e: claims.depends_on_rotation(divided(0.6), SAMPLED, e),
    "TR1": lambda e: claims.beats_pca(unexplained(), 8, "orbit", 256, e),
    "TR2": lambda e: claims.matches_ridge(unexplained(), e),
    "GC1": lambda e: claims.families_match(matched(), e),
    "GC2": lambda e: claims.families_separated(scored(), e),
}
FAIL = {
    "EX1": lambda e: claims.depends_on_rotation(divided(0.97), SAMPLED, e),
    "TR1": lambda e: claims.beats_pca(unexplained(pca=0.2), 8, "orbit", 256, e),
    "TR2": lambda e: claims.matches_ridge(unexplained(identity=0.7), e),
    "GC1": lambda e: claims.families_match(matched(information_p=0.6, purity_p=0.4), e),
    "GC2": lambda e: claims.families_separated(scored(own=0.1), e),
}
OPEN = {
    "EX1": lambda e: claims.depends_on_rotation(divided(NAN), SAMPLED, e),
    "TR1": lambda e: claims.beats_pca(unexplained(pca=NAN), 8, "orbit", 256, e),
    "TR2": lambda e: claims.matches_ridge(unexplained(ridge=NAN), e),
    "GC1": lambda e: claims.families_match(
        matched(information=NAN, information_p=1.0, purity_p=1.0), e
    ),
    "GC2": lambda e: claims.families_separated(scored(own=NAN, others=NAN), e),
}
every_claim = pytest.mark.parametrize("id", HOLD)


@every_claim
@pytest.mark.parametrize("evidence", Evidence)
def test_a_verdict_follows_from_the_numbers_and_the_evidence(id, evidence):
    tested = evidence is not Evidence.UNTRAINED
    assert HOLD[id](evidence).verdict == WORDS[evidence]
    assert FAIL[id](evidence).verdict == ("not reproduced" if tested else "not tested here")
    assert OPEN[id](evidence).verdict == "not tested here"


@every_claim
def test_a_reason_changes_with_the_numbers_and_is_short(id):
    found = [kind[id](Evidence.PAPER) for kind in (HOLD, FAIL, OPEN)]
    assert len({finding.why for finding in found}) == 3
    for finding in found:
        assert finding.claim.id == id
        assert len(finding.why.split()) <= 25, finding.why


@every_claim
def test_a_finding_can_be_recorded(id, tmp_path):
    for kind in (HOLD, FAIL, OPEN):
        findings = Findings(tmp_path, "03_cluster")
        assert findings.record(kind[id](Evidence.DEFAULT)).startswith(f"{id}, ")
        assert findings.load()[0]["evidence"] == Evidence.DEFAULT.value


def test_claims_are_short_for_the_readme_and_quote_papers_only():
    for claim in (claims.EX1, claims.TR1, claims.TR2, claims.GC1, claims.GC2):
        assert len(claim.short.split()) <= 12
        assert bool(claim.words) == claim.source.endswith("abstract")
        assert claim.ours == (claim.id in ("TR1", "TR2"))


@pytest.mark.parametrize(
    ("model", "weights", "network", "method"),
    [
        ("inceptionv1", "inception5h", Evidence.PAPER, Evidence.PAPER),
        ("inceptionv1", "demo", Evidence.DEFAULT, Evidence.DEFAULT),
        ("resnet18", "IMAGENET1K_V1", Evidence.PHOTOGRAPHS, Evidence.PHOTOGRAPHS),
        ("filter_bank", "analytic", Evidence.UNTRAINED, Evidence.UNTRAINED),
        ("planted", "planted", Evidence.UNTRAINED, Evidence.KNOWN),
    ],
)
def test_planted_orbits_are_known_to_a_method_and_say_nothing_of_networks(
    model, weights, network, method
):
    settings = {"model": model, "weights": weights}
    assert claims.store_evidence(settings) is network
    assert claims.store_evidence(settings, about_method=True) is method


# ------------------------------------------------------------------------------ what is recorded


def test_frequency_4_is_recorded_where_the_group_has_it():
    few = {"with low-pass": divided(0.5, frequencies=4)}
    assert "frequency 4 with low-pass" in HOLD["EX1"](Evidence.PAPER).value
    value = claims.depends_on_rotation(divided(0.6), few, Evidence.PAPER).value
    assert value == {
        "orientation share of variance": 0.4,
        "mean over channels": 0.4,
        "mean over sd": 0.8,
    }


def test_one_fold_behind_pca_is_enough_against_tr1():
    table = unexplained()
    behind = (table.method == "PCA, 8 components") & (table.fold == 1)
    table.loc[behind, "fvu"] = 0.25
    found = claims.beats_pca(table, 8, "orbit", 256, Evidence.PAPER)
    assert found.verdict == "not reproduced"
    assert found.interval == (-6.0, 10.0)
    assert "between -6.0 and 10.0 points" in found.why


def test_the_numbers_of_tr1_and_tr2_are_means_over_folds():
    one, two = HOLD["TR1"](Evidence.PAPER), HOLD["TR2"](Evidence.PAPER)
    assert one.value == {
        "points of variance more": 10.0,
        "FVU crosscoder": 0.305,
        "FVU PCA": 0.405,
        "encoder": "orbit",
    }
    assert two.value["explained by ridge"] == 0.495
    assert two.value["explained by the orbit encoder"] == 0.695
    assert two.interval == (5.0, 5.0)
    assert "+5.0 points" in two.why and "+20.0" in two.why


@pytest.mark.parametrize("changed", [{"purity_p": 0.01}, {"information_p": 0.02}])
@pytest.mark.parametrize("encoder", ["identity", "orbit"])
def test_one_dictionary_whose_families_match_by_chance_is_enough_against_gc1(changed, encoder):
    found = claims.families_match(matched(encoder, 1, **changed), Evidence.PAPER)
    assert found.verdict == "not reproduced"
    paper, other = ("1 of 2", "2 of 2") if encoder == "identity" else ("2 of 2", "1 of 2")
    assert f"{paper} folds for the identity encoder (the paper's), {other} for the" in found.why


def test_gc1_is_open_where_labels_are_missing_and_nothing_speaks_against_it():
    missing = {"information": NAN, "information_p": 1.0, "purity_p": 1.0}
    found = claims.families_match(matched("orbit", 0, **missing), Evidence.PAPER)
    assert found.verdict == "not tested here" and found.why.startswith("1 of 4 dictionaries")
    table = matched("orbit", 0, **missing)
    table.loc[(table.encoder == "orbit") & (table.fold == 1), "purity_p"] = 0.5
    assert claims.families_match(table, Evidence.PAPER).verdict == "not reproduced"


def test_gc1_counts_families_so_that_they_cannot_be_read_as_one():
    value = claims.families_match(matched("orbit", 1, in_family=61), Evidence.PAPER).value
    own = "orbit encoder, fold 1: "
    assert (
        value[f"{own}features in a family"] == "61 of 100, in one of 4 families, the largest of 30"
    )
    assert value[f"{own}purity, that of shuffled labels"] == [0.8, 0.5]
    assert value[f"{own}same-label pairs in one family, by chance"] == [0.3, 0.1]
    assert value[f"{own}larger p"] == 0.005
    assert len(value) == 4 * 5 and all(key.count(": ") == 1 for key in value)


@pytest.mark.parametrize("state", ["raw", "refined"])
@pytest.mark.parametrize(
    ("competitor", "paper", "other"),
    [
        ("SAE, cosine", 1, 1),
        ("SAE blocks, orbit distance", 1, 1),
        ("identity encoder, cosine", 1, 0),
        ("orbit encoder, cosine", 0, 1),
    ],
)
def test_one_comparison_lost_raw_or_refined_is_enough_against_gc2(state, competitor, paper, other):
    table = scored(state=state, competitor=competitor, silhouette=0.6)
    lost = claims.families_separated(table, Evidence.PAPER)
    assert lost.verdict == "not reproduced"
    assert lost.why.startswith(
        f"2 folds, raw and refined: no lead in {paper} of 18 comparisons for the identity"
    )
    assert f"{other} of 18 for the orbit encoder" in lost.why
    first = state == "raw"
    key = f"{competitor}: silhouette (raw, refined)"
    assert lost.value[key] == ([0.6, 0.2] if first else [0.2, 0.6])


def test_gc2_is_about_the_mean_over_folds():
    table = scored()
    table.loc[(table.fold == 0) & (table.competitor == "SAE, cosine"), "silhouette"] = 0.7
    assert claims.families_separated(table, Evidence.PAPER).held
    table.loc[(table.fold == 1) & (table.competitor == "SAE, cosine"), "silhouette"] = 0.7
    assert claims.families_separated(table, Evidence.PAPER).held is False


def test_gc2_needs_refined_dictionaries_unless_it_is_lost_without():
    found = claims.families_separated(scored(states=("raw",)), Evidence.PAPER)
    assert found.verdict == "not tested here" and "no refined dictionaries" in found.why
    lost = claims.families_separated(scored(states=("raw",), silhouette=0.6), Evidence.PAPER)
    assert lost.verdict == "not reproduced"


def test_gc2_is_open_where_a_score_is_undefined_and_none_is_lost():
    undefined = claims.families_separated(scored(knn_gain=NAN), Evidence.PAPER)
    assert undefined.verdict == "not tested here"
    assert undefined.why.endswith("too few labels to compare neighbours' purity (4 of 12)")
    assert undefined.value["SAE, cosine: neighbours' purity (raw, refined)"] == ["undefined"] * 2
    both = scored(knn_gain=NAN, silhouette=0.9)
    assert claims.families_separated(both, Evidence.PAPER).verdict == "not reproduced"


# -------------------------------------------------------------------------------- closing sentences


def test_the_sentence_of_01_says_whether_there_is_something_to_add():
    much = claims.extraction_sentence(divided(0.6), "mixed3b")
    assert "60 % of the variance of mixed3b" in much and "this is what" in much
    little = claims.extraction_sentence(divided(0.98), "mixed3b")
    assert "next to nothing" in little and "2 % does" in little
    assert "do not vary" in claims.extraction_sentence(divided(NAN), "mixed3b")


def test_the_sentence_of_02_says_more_or_less():
    ahead = claims.training_sentence(unexplained(), 8, "orbit")
    assert "10.0 points less than 8 principal components" in ahead
    assert "10 % of its features never fire" in ahead
    behind = claims.training_sentence(unexplained(pca=0.2), 8, "orbit")
    assert "10.0 points more than" in behind
    assert "cannot be compared" in claims.training_sentence(unexplained(NAN), 8, "orbit")


def test_the_sentence_of_03_says_where_the_silhouette_stands():
    found = given_families(np.repeat([0, 1], [6, 4]))
    first = claims.families_sentence(found, scored(), "orbit")
    assert "10 of 10 features lie in one of 2 families, the largest of 6" in first
    assert "0.60 for its encoder, the highest" in first and "a reasonable structure" in first
    below = scored(own=0.1, silhouette=0.5, state="refined")
    second = claims.families_sentence(found, below, "orbit")
    assert "0.10 for its encoder, below SAE, cosine" in second
    assert "no substantial structure" in second
    # The other encoder's own blocks are none of its competitors.
    other = scored(competitor="identity encoder, cosine", silhouette=0.9)
    assert "the highest" in claims.families_sentence(found, other, "orbit")
    assert "undefined" in claims.families_sentence(found, scored(NAN), "orbit")


@pytest.mark.parametrize(
    ("silhouette", "words"),
    [
        (0.71, "a strong structure"),
        (0.51, "a reasonable structure"),
        (0.26, "a weak structure"),
        (0.25, "no substantial structure"),
        (-0.4, "no substantial structure"),
    ],
)
def test_a_silhouette_in_words(silhouette, words):
    assert claims.silhouette_words(silhouette) == words
