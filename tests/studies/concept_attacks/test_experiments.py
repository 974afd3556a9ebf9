"""The experiments of notebook 10 on a classifier small enough to need no training."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.statistics import holm, holm_adjusted
from gc_utils.studies import concept_attacks as ca
from gc_utils.studies.concept_attacks import (
    CLASSES,
    IRRELEVANT,
    attempts,
    own_images,
    real_classes,
)
from gc_utils.studies.concept_attacks.classifiers import Explained
from gc_utils.studies.concept_attacks.directions import feature_inputs

RUNS, EACH = 3, 4


class Small(Explained):
    """Eight random filters and a random head with one hidden layer."""

    def __init__(self, classes=CLASSES):
        nn.Module.__init__(self)
        self.classes = tuple(classes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.below = nn.Sequential(nn.Conv2d(3, 8, 7, stride=8), nn.ReLU())
            self.mix, self.logits = nn.Conv2d(8, 16, 3), nn.Linear(16, len(self.classes))
        self.requires_grad_(False).eval()

    def head(self, a):
        return self.logits(F.relu(self.mix(a)).mean((2, 3)))


@pytest.fixture(scope="module")
def small():
    return Small()


@pytest.fixture(scope="module")
def material():
    class_images = {t: ca.draw_textured(5, texture=t, seed=1).x for t in CLASSES}
    concepts = [*CLASSES, "wavy", "disc"]
    return ca.ConceptExamples(concepts, class_images, each=EACH, runs=RUNS, seed=2)


@pytest.fixture(scope="module")
def clean(material, small):
    return material.test(small)


@pytest.fixture
def tried(material, clean, small, tmp_path):
    lessons = ca.draw_textured(40, seed=3)
    path = tmp_path / "attempts.jsonl"
    return ca.Attempts(path, material, clean, lessons, small.below, steps=2, layer="small")


# --------------------------------------------------------------------------- examples, clean tests


def test_no_two_runs_share_an_example(material):
    for images in (*material.of_concept.values(), material.random):
        assert len(images) % (RUNS * EACH) == 0
        assert len(torch.unique(images.flatten(1), dim=0)) == len(images)


def test_honest_examples_come_last_in_each_run(material):
    images = material.of_concept["wavy"]
    assert material.with_honest(images, "wavy", 0) is images
    both = material.with_honest(images, "wavy", 2).unflatten(0, (RUNS, -1))
    assert torch.equal(both, material.with_honest(images, "wavy", 2).unflatten(0, (RUNS, -1)))
    assert both.shape[1] == 3 * EACH
    assert torch.equal(both[:, :EACH], images.unflatten(0, (RUNS, -1)))
    assert not torch.equal(both[:, EACH : 2 * EACH], both[:, :EACH])


def test_unknown_concepts_are_named():
    with pytest.raises(UserError, match="zigzag"):
        ca.ConceptExamples(["zigzag"], {}, each=2, runs=2)


def test_clean_scores_are_made_for_every_pair(material, clean):
    table = clean.decisions()
    assert len(table) == len(material.concepts) * len(CLASSES)
    assert all(s.shape == (RUNS,) for s in clean.scores.values())


def test_decisions_are_compared_with_how_images_were_made():
    table = pd.DataFrame(
        [
            ("striped", "striped", "important"),
            ("dotted", "dotted", "irrelevant"),
            ("striped", "dotted", "opposed"),
            ("dotted", "striped", "irrelevant"),
            ("wavy", "dotted", "important"),
            ("wavy", "striped", "irrelevant"),
            ("wavy", "plain", "opposed"),
        ],
        columns=["concept", "class", "decision"],
    )
    causal, false = ca.causal_and_irrelevant(table, IRRELEVANT)
    assert causal.tolist() == [True, False] and false.tolist() == [True, False, True]
    assert ca.opposed_rivals(table).tolist() == [True, False]


def test_pools_are_repeatable_and_neither_too_small_nor_too_large(material, small):
    once, again = (ca.pooled_decisions(material, small, ["wavy"], pool=6) for _ in range(2))
    pd.testing.assert_frame_equal(once, again)
    assert set(once.concept) == {"wavy"} and len(once) == len(CLASSES)
    for pool in (EACH - 1, EACH * RUNS + 1):
        with pytest.raises(UserError, match=f"a pool of {pool} images"):
            ca.pooled_decisions(material, small, ["wavy"], pool=pool)


def test_gradients_of_a_linear_head_agree_and_others_do_not(small):
    class Linear(Small):
        def head(self, a):
            return self.logits(self.mix(a).mean((2, 3)))

    images = ca.draw_textured(6, seed=4).x
    assert ca.gradient_agreement(Linear(), images, "plain") == pytest.approx(1, abs=1e-5)
    assert ca.gradient_agreement(small, images, "plain") < 0.9999


def test_accuracy_is_the_share_that_is_right(small):
    images = ca.draw_textured(12, seed=5)
    found = ca.predict(small, images.x)
    right = np.mean([a == b for a, b in zip(found, images.table.texture, strict=True)])
    assert ca.accuracy(small, images) == pytest.approx(right)
    assert images.shows("plain").tolist() == (images.table.texture == "plain").tolist()


def test_adjusted_p_values_and_holms_rule_are_one():
    rng = np.random.default_rng(0)
    p, families = rng.random(40) ** 3, np.repeat(["a", "b"], 20)
    for level in (0.01, 0.05, 0.3):
        by_rule = np.zeros(40, bool)
        for family in "ab":
            rows = np.flatnonzero(families == family)
            for i, row in enumerate(rows[np.argsort(p[rows])]):
                if p[row] > level / (20 - i):
                    break
                by_rule[row] = True
        assert (holm(p, level, families) == by_rule).all()
        assert ((holm_adjusted(p, families) <= level) == by_rule).all()


def test_an_interval_of_a_mean_is_students():
    low, high = ca.mean_interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 2.4841377, 2 + 2.4841377), abs=1e-6)
    with pytest.raises(UserError, match="1 values"):
        ca.mean_interval(np.array([1.0]))


# ---------------------------------------------------------------------------------------- attempts


def test_targets_are_those_of_the_size():
    small, full = (ca.choose_targets(size, ["wavy", "disc"]) for size in ca.SIZES)
    assert len(small) == 6 and len(full) == 2 * len(CLASSES) + len(CLASSES)
    assert all(t.concept == t.name for t in full if t.aim == "hide")
    few = ca.defended_targets(small, "small")
    assert [t for t in small if t in few] == few
    assert [(t.aim, t.concept) for t in few] == list(
        dict.fromkeys((t.aim, t.concept) for t in small)
    )
    assert {t.name for t in ca.defended_targets(full, "full") if t.aim == "induce"} == {"honeycomb"}
    with pytest.raises(UserError, match="unknown size 'large'.*small, full"):
        ca.choose_targets("large", [])


def test_attempts_are_made_once_and_read_afterwards(tried, monkeypatch):
    targets = ca.choose_targets("small", [])[3:5]
    table = tried.basic(targets, (2, 8))
    assert list(table.kind) == ["clean", "noise", "attack", "attack"] * 2
    assert list(table.bound) == [0, 8, 2, 8] * 2
    assert (table[table.kind == "clean"].decision == table[table.kind == "clean"].was).all()

    def forbidden(*_):
        raise AssertionError("judged twice")

    monkeypatch.setattr(attempts, "judge_attempt", forbidden)
    path, examples, steps = tried.ledger.path, tried.examples, tried.steps
    again = ca.Attempts(
        path, examples, tried.clean, tried.attackers, tried.through["same"], steps=2, layer="small"
    )
    pd.testing.assert_frame_equal(again.basic(targets, (2, 8)), table)
    other = ca.Attempts(
        path, examples, tried.clean, tried.attackers, tried.through["same"], steps=steps + 1
    )
    with pytest.raises(AssertionError, match="judged twice"):
        other.basic(targets, (2, 8))


def test_pushed_examples_stay_within_the_bound(tried, material):
    target = ca.Target("induce", "wavy", "dotted")
    moved, clean = tried.pushed(target, 8), material.of_concept["wavy"]
    assert 0 < (moved - clean).abs().max() <= 8 / 255 + 1e-6
    part = tried.partly(target, 8, 1).unflatten(0, (RUNS, -1))
    same = clean.unflatten(0, (RUNS, -1))
    assert torch.equal(part[:, 1:], same[:, 1:]) and not torch.equal(part[:, 0], same[:, 0])
    hidden = tried.pushed(ca.Target("hide", "wavy", "dotted"), 8)
    centroid = tried.pushed(target, 8, attacker="centroid")
    assert not torch.equal(moved, hidden) and not torch.equal(moved, centroid)


def test_partial_control_and_transfer_are_tried_under_their_names(tried, monkeypatch, small):
    monkeypatch.setattr(attempts, "train_head", lambda *_, **__: Small())
    targets = [ca.Target("hide", "dotted", "dotted")]
    ca.try_partial_control(tried, targets)
    ca.try_transfers(tried, None, None, targets, ["low", "high"], "other", size="small", seed=0)
    conditions = [f"{n} of {EACH} perturbed" for n in (1, 2, 3)] + ["explained at high"]
    assert list(tried.table().condition) == conditions
    assert ca.transfer_name("mixed3a", "mixed3a") == "explained by another head"


def test_conditions_are_ordered_noise_first():
    table = pd.DataFrame(
        {
            "kind": ["clean", "attack", "noise", "attack", "attack"],
            "condition": ["clean", "other", "noise", "attack", "attack"],
            "bound": [0.0, 8.0, 8.0, 8.0, 2.0],
        }
    )
    found = ca.by_condition(table, (2, 8))
    assert list(found.condition) == ["noise, 8/255", "attack, 2/255", "attack, 8/255", "other"]


def test_a_shift_counts_towards_the_aim():
    outcome = pd.DataFrame(
        {
            "aim": ["induce", "hide"],
            "concept": ["red", "plain"],
            "class": "plain",
            "score": [1, 0.5],
        }
    )
    clean = {("red", "plain"): np.full(3, 0.5), ("plain", "plain"): np.full(3, 0.75)}
    assert attempts.shift(outcome, clean) == pytest.approx((0.5 + 0.25) / 2)


def test_defences_meet_the_same_attempts_and_then_a_knowing_attacker(tried, small):
    targets = [ca.Target("induce", "wavy", "dotted"), ca.Target("hide", "plain", "plain")]
    dictionary = GroupCrosscoder("C4", 8, 6, k=2, sparsity="topk", seed=0)
    recipes = {
        "none": (ca.Recipe(), 0),
        "more examples": (ca.Recipe(), 2),
        "smoothing": (ca.smoothed(copies=2), 0),
        "crosscoder features": (
            ca.Recipe(
                direction=ca.feature_direction(dictionary), pushed=feature_inputs(dictionary)
            ),
            0,
        ),
        "orbit average": (ca.orbit_averaged("C2"), 0),
    }
    table, outcomes, tests = ca.try_defences(tried, small, recipes, targets, (2, 8))
    assert list(table.defence) == list(outcomes) == list(tests) == list(recipes)
    assert {len(o) for o in outcomes.values()} == {4}
    assert table.succeed.tolist() == pytest.approx([np.mean(o) for o in outcomes.values()])
    assert list(table.passes) == [1, 3, 2, 1, 2]
    made = tried.table(condition="defence: none", bound=8.0)
    plain = [tried.clean.scores[t.concept, t.name].mean() for t in targets]
    by_hand = np.mean(np.array([1, -1]) * (made.score.to_numpy() - plain))
    assert table["shift at 8"][0] == pytest.approx(by_hand)
    knowing = ca.try_knowing_attackers(tried, small, recipes, tests, targets)
    met = ["smoothing", "orbit average", "crosscoder features", "more examples"]
    assert list(knowing.defence) == [name for name in met for _ in targets]
    assert tried.steps_of["more examples"] == 4 * tried.steps
    assert tried.steps_of["smoothing"] == tried.steps
    blind = tried.table(condition="defence: smoothing", bound=8.0)
    assert list(knowing["score, unknowing"][:2]) == list(blind.score)


# ------------------------------------------------------------------------------ facets, own images


def test_probes_are_made_of_every_version(material, small):
    probes = ca.probes_of_versions(small, material, (2, 8), count=6, steps=2)
    versions = ["", ", noise 8/255", ", attack 2/255", ", attack 8/255"]
    assert list(probes) == ["no facet"] + [t + v for t in ca.PAIR for v in versions]
    assert probes.pop("no facet").abs().max() == 0
    assert all(p.norm() == pytest.approx(1, abs=1e-5) and p.shape == (8,) for p in probes.values())


def test_steering_is_counted_towards_the_other_texture():
    rows = [("striped", 0.9, 0.1), ("striped, attack 8/255", 0.1, 0.9)]
    rows += [("dotted", 0.2, 0.8), ("dotted, attack 8/255", 0.3, 0.7)]
    seen = pd.DataFrame(rows, columns=["facet", "striped", "dotted"]).assign(start=0, detector="a")
    found = ca.steering(seen, "attack 8/255")
    assert found.moved == pytest.approx([(1.6 + 0.2) / 2]) and found.crossed == 0.5
    with pytest.raises(UserError, match="striped, noise 8/255"):
        ca.steering(seen, "noise 8/255")


def test_a_persons_own_images_are_attacked_with_a_control(monkeypatch, small):
    monkeypatch.setattr(own_images, "OwnLogits", lambda *_: small)
    monkeypatch.setattr(own_images, "SIDE", 63)

    def attack(concept="photos", of_class="photos", number=0):
        return ca.attack_own_logits(
            None, "low", concept, of_class, number, examples=2, runs=2, steps=1
        )

    rows = attack()
    assert list(rows.condition) == ["clean", "noise", "attack"] and list(rows.bound) == [0, 8, 8]
    assert rows.aim.nunique() == 1 and set(rows["class"]) == {CLASSES[0]}
    assert attack("", "") is None
    with pytest.raises(UserError, match="give both or neither"):
        attack(of_class="")
    with pytest.raises(UserError, match="class_number 5: expected 0 to 4"):
        attack(number=5)


def test_what_enters_features_is_what_their_codes_are_made_of(small):
    coder = GroupCrosscoder("C4", 8, 6, sparsity="l1", seed=0)
    coder.normalise(torch.rand(30, 4, 8, generator=torch.Generator().manual_seed(1)) + 1)
    x = ca.draw_textured(3, seed=4).x
    inputs = feature_inputs(coder)(x, small.below)
    mean = small.below(x).mean((2, 3))[:, None]
    torch.testing.assert_close(inputs.relu(), coder.encode(mean), rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="encode_from='identity'"):
        feature_inputs(GroupCrosscoder("C4", 8, 6, k=2, encode_from="orbit"))


# --- classes of a whole network ------------------------------------------------------------------


@pytest.fixture
def real(monkeypatch):
    """Crops and attacks of a small classifier with the three classes."""
    names = dict(zip(real_classes.REAL_CLASSES, (2, 0, 1), strict=True))
    explained = Small(["honeycomb", "Pembroke", "zebra", "other"])
    monkeypatch.setattr(real_classes, "OwnLogits", lambda *_: explained)
    monkeypatch.setattr(real_classes, "REAL_CLASSES", names)
    monkeypatch.setattr(real_classes, "SIDE", 64)
    monkeypatch.setattr(real_classes, "CROPS", 6)
    return ca.explain_real_classes(
        None, "low", "photos", examples=3, runs=3, steps=1, each=2, seed=0
    ), explained


def test_a_networks_own_classes_are_explained_and_attacked(real):
    found, explained = real
    pairs = set(zip(found.decisions.concept, found.decisions["class"], strict=True))
    assert pairs == {(c, n) for c in ca.REAL_CONCEPTS for n in ("zebra", "honeycomb", "Pembroke")}
    counts = found.attempts.groupby(["aim", "concept", "class"]).condition.apply(list)
    assert all(rows == ["clean", "noise", "attack"] for rows in counts)
    assert set(found.attempts["class"]) == {"zebra", "honeycomb", "Pembroke"}
    assert not found.attempts[found.attempts.kind == "clean"].success.any()
    assert list(found.shown["class"]) == list(found.images) == ["zebra", "honeycomb", "Pembroke"]
    assert (found.shown.photographs == 4).all() and found.shown["rank"].between(1, 4).all()
    logits = explained(found.images["zebra"]).softmax(1)
    assert found.shown.probability[0] == pytest.approx(float(logits[:, 2].mean()), abs=1e-5)


def test_crops_of_a_class_come_from_what_the_network_takes_for_it(real):
    """Photographs chosen for a class have a higher logit than those of another choice."""
    found, explained = real
    for name in found.images:
        number = real_classes.REAL_CLASSES[name]
        mean = {n: explained(x).softmax(1)[:, number].mean() for n, x in found.images.items()}
        assert mean[name] >= max(mean.values()) - 0.02


def test_attackers_want_what_is_not_so():
    table = pd.DataFrame(
        [
            ("a", "x", 0.2, "opposed"),
            ("b", "x", 0.5, "irrelevant"),
            ("c", "x", 0.8, "important"),
            ("d", "x", 0.9, "important"),
            ("a", "y", 0.5, "irrelevant"),
        ],
        columns=["concept", "class", "score", "decision"],
    )
    assert real_classes.real_targets(table) == [
        ("induce", "a", "x"),
        ("hide", "d", "x"),
        ("induce", "a", "y"),
    ]
    assert len(real_classes.real_targets(table, 9)) == 5


def test_only_logits_of_imagenet_in_their_usual_order_are_explained():
    from gc_utils.models.load import load_model

    assert not ca.has_imagenet_classes(load_model("filter_bank"))
    assert not ca.has_imagenet_classes(load_model("inceptionv1", "demo"))
