"""Findings and sentences of notebook 08 from made-up numbers of every kind."""

import numpy as np
import pandas as pd
import pytest

from gc_utils.evidence import Evidence
from gc_utils.studies import intertwiners as it
from gc_utils.studies.intertwiners import claims, figures, sentences
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


def losses(procrustes=(0.12, 0.06), cka=(0.12, 0.06), blind=1e-9):
    """Losses in trained and untrained networks, all known to 0.01."""
    means = dict.fromkeys(it.MEASURES, (blind, blind))
    means |= {"G_ReLU-Procrustes": procrustes, "µCKA": cka, "linear CKA, standardised": (0.1, 0.1)}
    return {
        (measure, state): (mean, mean - 0.01, mean + 0.01)
        for measure, both in means.items()
        for state, mean in zip(("trained", "untrained"), both, strict=True)
    }


def test_each_half_of_similarity_turns_by_itself(check):
    word, why = check(claims.similarity(losses(), of_nets(), 10, "digits"))
    assert word == EMBEDDED and "G_ReLU-Procrustes 0.120 (untrained 0.060): holds; µCKA" in why
    assert check(claims.similarity(losses(), of_nets(), 10, "cifar10"))[0] == PHOTOGRAPHS
    procrustes, cka = (claims.HALVES[name] for name in ("Procrustes", "CKA"))
    for pair in ((0.12, 0.115), (0.005, -1), (-0.05, -0.2)):  # no more than untrained, or nothing
        for changed, half, other in (
            ("procrustes", procrustes, cka),
            ("cka", cka, procrustes),
        ):
            table = losses(**{changed: pair})
            assert claims.half_holds(table, other) and not claims.half_holds(table, half)
            word, why = check(claims.similarity(table, of_nets(), 10, "digits"))
            assert word == "not reproduced"
            assert f"{half[0]} {pair[0]:.3f} (untrained {pair[1]:.3f}): does not hold" in why
            assert f"{other[0]} 0.120 (untrained 0.060): holds" in why
            holds = claims.losses_table(table).holds
            assert holds[half[0]] is False and holds[other[0]] is True and holds[half[1]] is None
    seeing = losses(blind=0.1)  # the counterparts must see nothing
    assert not any(claims.half_holds(seeing, half) for half in claims.HALVES.values())
    few = {"accuracy": 0.1, "pairs": 2}
    word, why = check(claims.similarity(losses(), of_nets(**few), 10, "digits"))
    assert word == "not tested here" and "not learnt the task" in why


def dissected(units=0.16, rotated=0.12, raw=0.08, spread=0.004, layers=("a", "b"), photos=None):
    """IoU of a network and of three untrained ones, whose units are as good as rotated bases."""
    rows = []
    nets = [("net, taught", 0)] + [("net, untrained", k) for k in range(3)]
    for (network, net), layer in [(n, x) for n in nets for x in layers]:
        for basis, draw in [("units", 0), *(("rotated", k) for k in range(5))]:
            shift = spread * (draw - 2) / 2 if basis == "rotated" else 0
            trained = units if basis == "units" else rotated + shift
            found = trained if network == "net, taught" else raw + shift + 1e-3 * net
            if layer == "a" and network == "net, taught":  # units and bases change places
                found = rotated if basis == "units" else units + shift
            row = {"network": network, "net": net, "layer": layer, "basis": basis, "draw": draw}
            row |= {"IoU, drawings": found, "IoU, photographs": found}
            if photos is not None and basis == "units" and network == "net, taught":
                row["IoU, photographs"] = photos
            rows.append(row | dict.fromkeys(it.SELECTIVITY, 1.0))
    return pd.DataFrame(rows)


def test_gains_have_intervals_over_rotations_or_over_networks():
    gains = it.iou_gains(dissected())
    one = gains.loc[("net, taught", "b", "drawings")]
    assert one.units == pytest.approx(0.16) and one.rotated == pytest.approx(0.12)
    # The five rotations are 0.116, 0.118, … 0.124; 95 % of them, by linear interpolation.
    assert (one.low, one.high) == pytest.approx((0.0362, 0.0438)) and one.nets == 1
    three = gains.loc[("net, untrained", "b", "photographs")]
    assert three.nets == 3 and three.rotations == 5 and three.gain == pytest.approx(0, abs=1e-9)
    held = it.layers_hold(gains, "net, taught", "net, untrained")
    assert held.holds.to_dict() == {
        ("a", "drawings"): False,
        ("a", "photographs"): False,
        ("b", "drawings"): True,
        ("b", "photographs"): True,
    }


def basis(table, model="inceptionv1", weights="demo", last="b"):
    titles = {"studied": "net, taught", "untrained": "net, untrained", "last": last}
    return claims.basis(it.iou_gains(table), **titles, model=model, weights=weights)


def test_the_basis_turns_with_the_last_layers_overlap(check):
    word, why = check(basis(dissected()))
    assert word == EMBEDDED and "drawings in b; photographs in b; b decides" in why
    # InceptionV1 is not a network of this paper.
    assert check(basis(dissected(), weights="inception5h"))[0] == PHOTOGRAPHS
    word, why = check(basis(dissected(), last="a"))
    assert word == "not reproduced" and "drawings in b" in why
    word, why = check(basis(dissected(photos=0.1)))  # on photographs rotated bases do better
    assert word == "not reproduced" and "drawings in b; photographs in no layer" in why
    # Better than 0, but within the rotations.
    word, why = check(basis(dissected(units=0.121)))
    assert word == "not reproduced" and "drawings in no layer" in why
    # Better than rotated bases, but no more so than before training.
    table = dissected()
    raw = (table.network == "net, untrained") & (table.basis == "units")
    for column in ("IoU, drawings", "IoU, photographs"):
        table.loc[raw, column] += 0.05
    assert check(basis(table))[0] == "not reproduced"
    word, why = check(basis(dissected(), weights="random"))
    assert word == "not tested here" and "random" in why
    word, why = check(basis(dissected(units=np.nan, layers=("b",))))
    assert word == "not tested here" and "undefined in b" in why
    many = dissected(layers=("a", "b", "c", "d"))
    assert "drawings in 3 of 4 layers" in check(basis(many))[1]


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


def test_sentences_about_maps_turn():
    assert "10.0% of the test" in sentences.without_map(stitched(identity=0.8), 10)
    assert "about the accuracy of chance" in sentences.without_map(stitched(identity=0.8), 10)
    assert "well above chance" in sentences.without_map(stitched(identity=0.1), 10)


def test_sentences_about_halves_turn():
    first, second = sentences.half_readings(losses(cka=(-0.05, 0.1)))
    assert "G_ReLU-Procrustes loses 0.120" in first and "sees what orthogonal" in first
    assert "µCKA gains 0.050" in second and "does not see what linear CKA cannot" in second
    assert "(before training the loss is 0.100)" in second
    flat = sentences.half_readings(losses(procrustes=(0.001, 0.0)))[0]
    assert "neither loses nor gains (0.001)" in flat


def test_sentences_about_dissection_turn():
    said = sentences.dissection_reading(
        it.layers_hold(it.iou_gains(dissected()), "net, taught", "net, untrained")
    )
    assert said[0].startswith("a, drawings: units match concepts worse than rotated bases")
    assert "not clearly more than before training" in said[0]
    assert said[2].startswith("b, drawings: units match concepts better than")
    assert "(IoU 0.160 against 0.120), more than before training (gain +0.040" in said[2]
    equal = it.layers_hold(it.iou_gains(dissected(units=0.12)), "net, taught", "net, untrained")
    assert "about as well as rotated bases" in sentences.dissection_reading(equal)[2]


def ranked(trained, untrained):
    rows = [
        {"network": n, "layer": "a", "basis": b} | dict.fromkeys(it.SELECTIVITY, 0.8 - fall)
        for n, lost in (("net", trained), ("net, untrained", untrained))
        for b, fall in (("units", 0), ("permuted and scaled", 0), ("rotated", lost))
    ]
    return it.basis_means(pd.DataFrame(rows))


def test_sentences_about_ranking_turn():
    said = sentences.ranking_reading(ranked(-0.06, -0.07), "net", "net, untrained")
    assert "units are behind by 0.060" in said and "before training behind by 0.070" in said
    assert "says little" in said
    said = sentences.ranking_reading(ranked(0.06, -0.07), "net", "net, untrained")
    assert "units are ahead by 0.060" in said and "says little" not in said


def test_the_figure_shows_what_holds():
    table = claims.losses_table(losses(cka=(-0.05, 0.1)))
    figure = figures.what_training_adds({"lost": table}, "loss")
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == list(it.MEASURES)
    assert [t.get_text() for t in ax.texts] == ["holds", "no"]
    held = it.layers_hold(it.iou_gains(dissected()), "net, taught", "net, untrained")
    panels = {k: t.droplevel("images") for k, t in held.groupby(level="images", sort=False)}
    figure = figures.what_training_adds(panels, "gain")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["drawings", "photographs"]
    assert [t.get_text() for t in figure.axes[0].texts] == ["no", "holds"]
