"""Findings and sentences of notebook 08 from made-up numbers of every kind."""

import numpy as np
import pandas as pd
import pytest

from gc_utils.evidence import Evidence
from gc_utils.studies import intertwiners as it
from gc_utils.studies.intertwiners import claims, sentences
from gc_utils.studies.intertwiners.similarity import PlantedSimilarity

PHOTOGRAPHS = "reproduced on another network trained on photographs"
EMBEDDED = "only on the embedded default"


@pytest.fixture
def check(recorded):
    """A finding can be recorded, its reason is short; returns its verdict and reason."""

    def judged(finding):
        recorded(finding)
        return finding.verdict, finding.why

    return judged


def nonlinearities(**changed):
    row = {
        "members miss by": 1e-15,
        "near-members miss by": 0.2,
        "the solver says": it.KINDS["positive"],
        "the table says": it.KINDS["positive"],
    }
    return pd.DataFrame([row | changed, row], index=["ReLU", "LeakyReLU"])


def changed_outputs(change=3e-7, refused=()):
    rows = [{"layer": "a", "change": change, "refused": ""}] * 3
    rows += [{"layer": name, "change": 0.03, "refused": "feeds b"} for name in refused]
    return {"net": pd.DataFrame(rows)}


def test_groups_hold_only_if_every_check_does(check):
    word, why = check(claims.groups(nonlinearities(), changed_outputs(refused=["conv2d0"])))
    assert word == "reproduced" and why.startswith("2 of 2 groups named correctly")
    assert "3 hidden layers change outputs by at most 3.0e-07" in why
    for table, changes in (
        (nonlinearities(**{"the solver says": "permutations only"}), changed_outputs()),
        (nonlinearities(**{"members miss by": 1e-3}), changed_outputs()),
        (nonlinearities(**{"near-members miss by": 1e-12}), changed_outputs()),
        (nonlinearities(), changed_outputs(change=0.01)),
    ):
        assert check(claims.groups(table, changes))[0] == "not reproduced"


def test_groups_are_not_asked_without_anything_to_change(check):
    refused = {"net": changed_outputs(refused=["a"])["net"].iloc[3:]}
    word, why = check(claims.groups(nonlinearities(), refused))
    assert word == "not tested here" and "nothing to compare" in why
    assert check(claims.groups(nonlinearities().iloc[:0], changed_outputs()))[0] == word
    value = claims.groups(nonlinearities(), changed_outputs(refused=["c"])).value
    assert value["by a permutation of c, which is refused"] == "3.0%"
    assert value["groups that the solver names right"] == "2 of 2"


def stitched(group=0.02, identity=0.8, pairs=4, widths=(8, 16)):
    penalties = {"full": 0.01, "G_ReLU": group, "assignment": 0.1, "identity": identity}
    rows = [
        {
            "width": w,
            "pair": p,
            "layer": name,
            "map": m,
            "budget": b,
            "accuracy": 0.9 - penalty,
            "penalty": penalty + 1e-3 * p,
        }
        for w in widths
        for p in range(pairs)
        for name in it.HIDDEN
        for m, b, penalty in [(m, 1, v) for m, v in penalties.items()] + [("rank", 4, 0.2)]
    ]
    return pd.DataFrame(rows)


def of_nets(accuracy=0.9, pairs=4, widths=(8, 16)):
    return pd.DataFrame(
        [
            {"width": w, "pair": p, "side": s, "accuracy": accuracy}
            for w in widths
            for p in range(pairs)
            for s in (0, 1)
        ]
    )


def test_stitching_turns_with_the_margin_and_the_order(check):
    word, why = check(claims.stitching(stitched(), of_nets(), 10, "digits"))
    assert word == EMBEDDED and "loses 1.0 [1.0, 1.0] points more" in why
    assert check(claims.stitching(stitched(), of_nets(), 10, "cifar10:data"))[0] == PHOTOGRAPHS
    word, why = check(claims.stitching(stitched(group=0.3), of_nets(), 10, "digits"))
    assert word == "not reproduced" and "loses 29.0 [29.0, 29.0]" in why
    word, why = check(claims.stitching(stitched(identity=0.015), of_nets(), 10, "digits"))
    assert word == "not reproduced" and "identity fails at some width" in why


def test_stitching_is_not_asked_of_few_or_untaught_networks(check):
    word, why = check(claims.stitching(stitched(pairs=2), of_nets(pairs=2), 10, "digits"))
    assert word == "not tested here" and why.startswith("fewer than 3 pairs")
    word, why = check(claims.stitching(stitched(), of_nets(accuracy=0.15), 10, "digits"))
    assert word == "not tested here" and "not learnt the task" in why
    value = claims.stitching(stitched(pairs=5), of_nets(), 10, "digits").value
    assert value["points lost, width 8, full"] == "1.2"
    assert value["points lost, width 16, rank 4"] == "20.2"
    assert "points lost, width 16, one entry a unit" not in value


def losses(trained=0.12, untrained=0.06, blind=1e-9):
    table = {}
    for measure in it.MEASURES:
        seen = measure in claims.MODULO_GROUP
        for state, mean in (("trained", trained), ("untrained", untrained)):
            mean = mean if seen else blind
            table[measure, state] = (mean, mean - 0.01, mean + 0.01)
    return table


def test_similarity_turns_with_what_rotation_costs(check):
    word, why = check(claims.similarity(losses(), of_nets(), 10, "digits"))
    assert word == EMBEDDED and "0.120 and 0.120, before training 0.060 and 0.060" in why
    assert check(claims.similarity(losses(), of_nets(), 10, "cifar10"))[0] == PHOTOGRAPHS
    for table in (losses(untrained=0.115), losses(trained=0.005, untrained=-1), losses(blind=0.1)):
        assert check(claims.similarity(table, of_nets(), 10, "digits"))[0] == "not reproduced"
    word, why = check(claims.similarity(losses(), of_nets(pairs=2), 10, "digits"))
    assert word == "not tested here" and why.startswith("fewer than 3 pairs")


def selectivities(fall=1.0, raw=0.5, auc=0.1, kept=0.0):
    rows = []
    for network, lost in (("net, taught", fall), ("net, untrained", raw)):
        for basis, value in (
            ("units", 2.0),
            ("permuted and scaled", 2 + kept),
            ("rotated", 2 - lost),
        ):
            rows.append(
                {
                    "network": network,
                    "layer": "a",
                    "basis": basis,
                    "kurtosis": value,
                    "sparsity": value,
                    "best AUC": value,
                }
            )
    table = pd.DataFrame(rows)
    taught = (table.network == "net, taught") & (table.basis == "rotated")
    table.loc[taught, "best AUC"] = 2 - auc
    untaught = (table.network == "net, untrained") & (table.basis == "rotated")
    table.loc[untaught, "best AUC"] = 2 - auc / 2
    return it.basis_means(table)


def basis(table, model="inceptionv1", weights="demo"):
    titles = {"studied": "net, taught", "untrained": "net, untrained"}
    return claims.basis(table, **titles, model=model, weights=weights)


def test_the_basis_turns_with_what_rotation_costs(check):
    word, why = check(basis(selectivities()))
    assert word == EMBEDDED and "kurtosis, sparsity, best AUC; by more" in why
    # InceptionV1 is not a network of this paper.
    assert check(basis(selectivities(), weights="inception5h"))[0] == PHOTOGRAPHS
    word, why = check(basis(selectivities(auc=-0.1)))
    assert word == "not reproduced" and "rotation lowers kurtosis, sparsity;" in why
    word, why = check(basis(selectivities(fall=0.2, raw=0.5, auc=-0.1)))
    assert word == "not reproduced" and "before training: nothing" in why
    word, why = check(basis(selectivities(), weights="random"))
    assert word == "not tested here" and "random" in why
    word, why = check(basis(selectivities(fall=np.nan)))
    assert word == "not tested here" and "undefined" in why
    assert "at most 5e-01" in basis(selectivities(kept=0.5)).why


def actions(permutation=0.95, bank=1.0):
    rows = {"filter bank": bank, "a, after ReLU": 0.5, "b, after ReLU": permutation}
    return pd.DataFrame(
        {
            name: {"unchanged": -0.1, "permutation": value, "orthogonal": 0.9, "linear": 0.97}
            for name, value in rows.items()
        }
    ).T


def rotated(table, model="inceptionv1", weights="demo"):
    return claims.rotated_images(table, layers=["a", "b"], model=model, weights=weights)


def test_rotated_images_turn_with_what_permutations_explain(check):
    word, why = check(rotated(actions()))
    assert word == EMBEDDED and "explain 95% of held-out variance in b" in why
    assert check(rotated(actions(), weights="inception5h"))[0] == "reproduced"
    assert check(rotated(actions(), weights="bvlc_googlenet"))[0] == PHOTOGRAPHS
    assert check(rotated(actions(), weights="random"))[0] == "not tested here"
    assert check(rotated(actions(0.6)))[0] == "not reproduced"
    assert check(rotated(actions(bank=0.3)))[0] == "not tested here"
    finding = rotated(actions(np.nan))
    assert check(finding)[0] == "not tested here"
    assert "b, after ReLU: permutation" not in finding.value


def test_the_task_says_what_networks_are_evidence():
    assert claims.task_evidence("digits") is Evidence.DEFAULT
    assert claims.task_evidence("cifar10") is claims.task_evidence("cifar10:x")
    assert claims.task_evidence("cifar10") is Evidence.PHOTOGRAPHS


def test_the_closing_sentence_turns():
    half = claims.closing(it.map_steps(stitched(group=0.02)), actions(0.95), "b")
    assert "recover most (99%)" in half and "explain 95% of what rotating the image" in half
    less = claims.closing(it.map_steps(stitched(group=0.7)), actions(0.3), "b")
    assert "recover less than half (13%)" in less and "width 16" in less and "30%" in less
    none = claims.closing(it.map_steps(stitched(group=0.0, identity=0.0)), actions(), "b")
    assert none.startswith("No map improves on leaving it out")


def test_sentences_about_changed_weights_turn():
    said = sentences.change_sentences(changed_outputs(refused=["conv2d0"]))
    assert said[0].startswith("net: 3 hidden layers changed") and "3.0e-07" in said[0]
    assert "conv2d0 is refused, as it feeds b" in said[1] and "3.0%" in said[1]
    refused = {"net": changed_outputs(refused=["a"])["net"].iloc[3:]}
    assert sentences.change_sentences(refused)[0] == "net: no hidden layer may be changed."


def test_sentences_about_planted_similarity_turn():
    table = pd.DataFrame(
        {
            "m": {"permuted and scaled": 1, "rotated": 0.5},
            "r": {"permuted and scaled": 0.9, "rotated": 1},
        }
    )
    said = sentences.planted_similarity(PlantedSimilarity(table, True, 1e-16))
    assert "permutation is found exactly" in said and "do not see the rotation: r (1.000)" in said
    assert "do not see the member of the group: m (1.000); that see it: r (0.900)" in said
    said = sentences.planted_similarity(PlantedSimilarity(table - 0.2, False, 0.3))
    assert "is not found exactly" in said and "do not see the rotation: none" in said


def test_sentences_about_the_table_and_refusals_turn():
    table = pd.DataFrame(
        {
            "members miss by": [0.0, 2e-15],
            "near-members miss by": [3e-15, 0.14],
            "the solver says": ["all", "signs"],
            "the table says": ["all", "signs"],
        },
        index=["identity", "tanh"],
    )
    said = sentences.table_checked(table)
    assert said.startswith("The solver names 2 of 2 groups") and "by 0.14 at least" in said
    wrong = table.assign(**{"the solver says": ["all", "permutations"]})
    assert sentences.table_checked(wrong).startswith("The solver names 1 of 2 groups")
    refused = pd.DataFrame(
        {"the solver says": "it mixes units.", "a permutation misses by": [1e-15, 0.65]},
        index=["softmax", "norm"],
    )
    assert sentences.refused_functions(refused) == [
        "softmax: a permutation misses by 1e-15, which is rounding. The solver says: it mixes "
        "units.",
        "norm: a permutation misses by 0.7. The solver says: it mixes units.",
    ]


def test_sentences_about_planted_stitching_turn():
    table = pd.DataFrame({"penalty": [0.0, 0.0], "penalty without a map": [0.8, 0.9]})
    assert "is found at every layer" in sentences.planted_stitch(table)
    said = sentences.planted_stitch(table.assign(penalty=[0.0, 0.03]))
    assert "is not found at every layer" in said and "at most 3.0% of accuracy" in said


def test_sentences_about_maps_and_labels_turn():
    assert "10.0% of the test" in sentences.without_map(stitched(identity=0.8), 10)
    assert "about the accuracy of chance" in sentences.without_map(stitched(identity=0.8), 10)
    assert "well above chance" in sentences.without_map(stitched(identity=0.1), 10)
    better = sentences.label_reading(selectivities(auc=0.1), "net, taught")
    assert better.startswith("Units of net, taught tell labels apart better") and "0.100" in better
    worse = sentences.label_reading(selectivities(auc=-0.1), "net, taught")
    assert worse.startswith("Rotated directions of net, taught") and "possible reason" in worse
