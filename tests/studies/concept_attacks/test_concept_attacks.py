import io

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.figures.style import SMALL, WIDTH
from gc_utils.ledger import Ledger
from gc_utils.models import load_model
from gc_utils.statistics import rate, welch
from gc_utils.studies import concept_attacks as ca
from gc_utils.studies.concept_attacks import CLASSES, IRRELEVANT, draw_textured
from gc_utils.studies.concept_attacks import figures as figures

LAYER = "mixed3a"


@pytest.fixture(scope="module")
def network():
    return load_model("inceptionv1", "demo", device="cpu")


@pytest.fixture(scope="module")
def explained(network):
    return ca.train_head(network, LAYER, draw_textured(200, seed=1), epochs=6, progress=False)


def small_test(explained, recipe=None, runs=4):
    images = draw_textured(6, texture="striped", seed=2).x
    return ca.ConceptTest(
        explained,
        {"striped": images},
        draw_textured(12 * runs, seed=3).x,
        runs=runs,
        recipe=recipe,
    )


# ------------------------------------------------------------------------------------ the images


def test_what_is_irrelevant_is_independent_of_the_class():
    table = draw_textured(3000, side=9, seed=0).table
    for attribute in ("shape", "background", "hue"):
        shares = pd.crosstab(table.texture, table[attribute], normalize="index")
        assert (shares - 1 / shares.shape[1]).abs().to_numpy().max() < 0.08, attribute


def test_images_are_repeatable_and_have_eight_bits():
    a, b = (draw_textured(3, texture="dotted", shape="disc", seed=4) for _ in range(2))
    assert torch.equal(a.x, b.x) and set(a.table.texture) == {"dotted"}
    assert torch.allclose(255 * a.x, (255 * a.x).round(), atol=1e-3)
    assert not torch.equal(a.x, draw_textured(3, texture="dotted", shape="disc", seed=5).x)


def test_shapes_cover_equal_areas():
    """Else a shape would be evidence for more or less texture, and not irrelevant."""
    from gc_utils.studies.concept_attacks import SHAPES
    from gc_utils.studies.concept_attacks.textured_images import _mask

    at = np.arange(101) - 50.0
    y, x = np.meshgrid(at, at, indexing="ij")
    area = {
        s: np.mean([_mask(s, x, y, np.random.default_rng(i)).sum() for i in range(200)])
        for s in SHAPES
    }
    assert max(area.values()) / min(area.values()) < 1.03


def test_unknown_attributes_are_named():
    with pytest.raises(UserError, match="zigzag"):
        draw_textured(2, texture="zigzag")
    with pytest.raises(UserError, match="0 images"):
        draw_textured(0)


# ----------------------------------------------------------------------------- what is explained


def test_the_gradient_differs_between_images(explained):
    """With one gradient for all images every TCAV score would be 0 or 1."""
    a = explained.below(draw_textured(12, texture="striped", seed=6).x).requires_grad_()
    (gradient,) = torch.autograd.grad(explained.head(a)[:, 0].sum(), a)
    g = F.normalize(gradient.flatten(1), dim=1)
    cosines = (g @ g.T)[~torch.eye(12, dtype=bool)]
    assert cosines.max() < 0.9999 and cosines.std() > 1e-3


def test_a_whole_network_is_explained_by_its_own_logits():
    model = load_model("inceptionv1", "random", device="cpu")
    x = torch.rand(1, 3, 224, 224)
    whole = model.activations(x, "logits").mean((2, 3))
    for layer in ("conv2d0", "maxpool1", "mixed3b", "mixed4c", "mixed5b"):
        explained = ca.OwnLogits(model, layer)
        assert torch.allclose(explained(x), whole, rtol=1e-4, atol=1e-5), layer
    assert len(explained.classes) == 1008


def test_networks_without_logits_are_refused(network):
    with pytest.raises(UserError, match="inception5h"):
        ca.OwnLogits(network, LAYER)
    inception = network.network
    with pytest.raises(UserError, match="does not lie above"):
        inception.above(torch.zeros(1, 256, 7, 7), "mixed3a", "conv2d2")
    with pytest.raises(UserError, match=r"expected \(B, 256"):
        inception.above(torch.zeros(1, 3, 7, 7), "mixed3a", "mixed3b")
    with pytest.raises(UserError, match="where these weights end"):
        inception.above(torch.zeros(1, 256, 7, 7), "mixed3a", "logits")


# -------------------------------------------------------------------------------------------- TCAV


def test_scores_are_shares_of_positive_sensitivities_and_leave_no_files(
    explained, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    test = small_test(explained)
    examples = draw_textured(4 * 5, texture="striped", seed=8).x
    scores = test.scores(examples)["striped"]
    a = test.class_activations["striped"].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(explained.head(a)[:, 0].sum(), a)
    for run in range(4):
        mine = ca.activations_of(examples[5 * run : 5 * run + 5], explained.below)
        along = gradient.flatten(1) @ ca.ridge_direction(mine, test.against[run])
        assert scores[run] == pytest.approx((along > 0).float().mean().item())
    assert not list(tmp_path.iterdir())


def test_random_directions_count_both_ways(explained):
    test = small_test(explained)
    assert test.random["striped"].shape == (8,)
    assert test.random["striped"].mean() == pytest.approx(0.5)


def test_bad_counts_are_refused(explained):
    with pytest.raises(UserError, match="multiple of 3 x 4 runs"):
        ca.ConceptTest(explained, {}, torch.rand(13, 3, 63, 63), runs=4)
    with pytest.raises(UserError, match="two or more"):
        ca.ConceptTest(explained, {}, torch.rand(3, 3, 63, 63), runs=1)
    with pytest.raises(UserError, match="do not divide"):
        small_test(explained).scores(torch.rand(7, 3, 63, 63))
    with pytest.raises(UserError, match="zebra"):
        ca.ConceptTest(explained, {"zebra": torch.rand(2, 3, 63, 63)}, torch.rand(12, 3, 63, 63))


def test_decisions():
    rng = np.random.default_rng(0)
    random = {"k": rng.random(40)}
    scores = {("high", "k"): np.ones(20), ("low", "k"): np.zeros(20), ("none", "k"): rng.random(20)}
    table = ca.decide(scores, random).set_index("concept")
    assert list(table.decision) == ["important", "opposed", "irrelevant"]
    p = table.p.sort_values()
    by_hand = np.minimum(1, np.maximum.accumulate(p.to_numpy() * [3, 2, 1]))
    assert np.allclose(table.holm[p.index], by_hand)
    assert welch(np.ones(3), np.ones(3)) == 1 and welch(np.ones(3), np.zeros(3)) == 0
    rows, others = rng.random((4, 6)), np.vstack([rng.random((3, 9)), np.ones(9)])
    one_by_one = [welch(a, b) for a, b in zip(rows, others, strict=True)]
    assert np.allclose(welch(rows, others), one_by_one)


def test_the_family_wise_error_is_what_it_says():
    """Scores like random directions' own: in few families is anything called important."""
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(300):
        random = {"k": (s := rng.beta(0.4, 0.4, 20), np.r_[s, 1 - s])[1]}
        scores = {(str(i), "k"): rng.beta(0.4, 0.4, 20) for i in range(12)}
        wrong += (ca.decide(scores, random).decision != "irrelevant").any()
    assert wrong / 300 < 2 * ca.LEVEL


# ------------------------------------------------------------------------------------------ attacks


@pytest.mark.parametrize("kind", ["probe", "centroid"])
def test_pushing_moves_activations_within_the_bound_and_noise_does_not(explained, kind):
    own = draw_textured(40, texture="dotted", seed=10).x
    others = draw_textured(80, seed=11).x
    along = ca.token_direction(explained.below, own, others, kind=kind)
    assert along.norm() == pytest.approx(1, abs=1e-5)
    x = draw_textured(6, background="wavy", seed=12).x
    moved = ca.push_along(x, explained.below, along, 8, steps=4)
    assert (moved - x).abs().max() <= 8 / 255 + 1e-6 and 0 <= moved.min() <= moved.max() <= 1
    assert torch.allclose(255 * moved, (255 * moved).round(), atol=1e-3)

    def height(images):
        return (ca.activations_of(images, explained.below).flatten(1) @ along).mean()

    gain, by_noise = height(moved) - height(x), height(ca.add_noise(x, 8)) - height(x)
    assert gain > 3 * abs(by_noise) and gain > 0
    assert (ca.add_noise(x, 8) - x).abs().max() <= 8 / 255 + 1e-6
    back = ca.push_along(x, explained.below, -along, 8, steps=4)
    assert height(back) < height(x)


def test_impossible_attacks_are_refused(explained):
    x, along = torch.rand(2, 3, 63, 63), torch.zeros(256 * 49)
    with pytest.raises(UserError, match="bound 0/255"):
        ca.push_along(x, explained.below, along, 0)
    with pytest.raises(UserError, match="0 steps"):
        ca.push_along(x, explained.below, along, 8, steps=0)
    with pytest.raises(UserError, match="one at least"):
        ca.token_direction(explained.below, x[:0], x)


def test_mistakes_in_attacks_and_defences_are_named(explained):
    x = torch.rand(2, 3, 63, 63)
    with pytest.raises(UserError, match="5 numbers for 12544 activations"):
        ca.push_along(x, explained.below, torch.zeros(5), 8)
    with pytest.raises(UserError, match="bound -4/255"):
        ca.add_noise(x, -4)
    with pytest.raises(UserError, match="0 copies"):
        ca.smoothed(copies=0)
    with pytest.raises(UserError, match="7 perturbed of 1"):
        ca.poison_examples(x, x, runs=2, count=7)
    with pytest.raises(UserError, match="do not divide"):
        ca.poison_examples(x, x, runs=3, count=1)
    with pytest.raises(UserError, match="0 crops"):
        ca.cropped_photographs("photos", 0, 63)
    with pytest.raises(UserError, match="random directions"):
        ca.decide({("red", "k"): np.ones(4)}, {"other": np.ones(4)})
    with pytest.raises(UserError, match="explain a lower layer"):
        ca.train_head(explained.below.model, "mixed3a", draw_textured(2, side=15), progress=False)
    whole = load_model("inceptionv1", "random", device="cpu")
    for layer in ("logits", "mixed3a_3x3"):
        with pytest.raises(UserError, match="whole layer below"):
            ca.OwnLogits(whole, layer)


def test_only_some_examples_are_poisoned():
    clean, moved = torch.zeros(6, 1), torch.ones(6, 1)
    assert ca.poison_examples(clean, moved, runs=2, count=2).flatten().tolist() == [
        1,
        1,
        0,
        1,
        1,
        0,
    ]


def test_attempts_are_judged_by_their_aim(explained, monkeypatch):
    test = small_test(explained)
    monkeypatch.setattr(test, "random", {"striped": np.linspace(0.3, 0.7, 40)})
    clean = {("red", "striped"): np.linspace(0.3, 0.7, 4), ("striped", "striped"): np.ones(4)}
    x = draw_textured(4, seed=13).x
    for now, concept, aim, success in (
        (1.0, "red", "induce", True),
        (0.0, "red", "induce", False),
        (0.5, "striped", "hide", True),
        (1.0, "striped", "hide", False),
    ):
        scores = np.full(4, now) + np.linspace(-0.01, 0.01, 4)
        monkeypatch.setattr(test, "scores", lambda *_, s=scores: {"striped": s})
        row = ca.judge_attempt(test, clean, concept, "striped", x, aim)
        assert row["success"] is success, (concept, now)
        assert row["low"] <= row["score"] <= row["high"]


def test_a_ledger_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "rows.json"
    calls = []

    def make():
        calls.append(1)
        return {"score": 0.25}

    first = Ledger(path, seed=0).row(make, concept="red", bound=8.0)
    again = Ledger(path, seed=0).row(make, concept="red", bound=8.0)
    assert len(calls) == 1 and first["score"] == again["score"] == 0.25
    Ledger(path, seed=0).row(make, concept="red", bound=2.0)
    third = Ledger(path, seed=0)
    assert third.table().empty  # what nobody has asked for is not part of this run
    third.row(make, concept="red", bound=2.0)
    third.row(make, concept="red", bound=8.0)
    assert len(calls) == 2 and list(third.table().bound) == [2, 8]
    assert list(third.table(bound=8.0).score) == [0.25]
    Ledger(path, seed=1).row(make, concept="red", bound=8.0)
    assert len(calls) == 3


def test_rates_have_exact_intervals():
    assert rate([True, True]) == pytest.approx((1, 0.158, 1), abs=1e-3)
    assert rate([False] * 10)[2] == pytest.approx(0.308, abs=1e-3)


# ----------------------------------------------------------------------------------------- defences


def test_an_orbit_average_does_not_see_the_rotation(explained):
    seen = ca.orbit_averaged("D4").seen(explained.below)
    x = draw_textured(2, seed=14).x
    assert torch.allclose(seen(x), seen(torch.rot90(x, 1, (-2, -1)).flip(-1)), atol=1e-4)
    assert not torch.allclose(explained.below(x), explained.below(x.flip(-1)), atol=1e-2)
    with pytest.raises(UserError, match="D8"):
        ca.orbit_averaged("D8")


def test_smoothing_is_the_same_for_every_batch(explained):
    seen = ca.smoothed(copies=2).seen(explained.below)
    x = draw_textured(3, seed=15).x
    assert torch.allclose(seen(x)[1:], seen(x[1:]), atol=1e-4)


def test_directions_of_features_are_made_of_blocks():
    coder = GroupCrosscoder("C4", 6, 8, k=2, sparsity="topk", seed=0)
    with torch.no_grad():
        coder.b_enc.zero_()
    block = F.normalize(coder.V[3, 0].detach(), dim=0)
    rng = torch.Generator().manual_seed(0)
    negative = torch.rand(20, 6, 3, 3, generator=rng)
    positive = negative + 3 * block[None, :, None, None]
    direction = ca.feature_direction(coder, features=1)(positive, negative).view(6, 3, 3)
    assert torch.allclose(direction, direction[:, :1, :1].expand_as(direction))
    cosines = F.cosine_similarity(direction[None, :, 0, 0], coder.V[:, 0].detach(), dim=1).abs()
    assert cosines.argmax() == 3 and cosines.max() == pytest.approx(1, abs=1e-5)
    with pytest.raises(UserError, match="encode_from='identity'"):
        ca.feature_direction(GroupCrosscoder("C4", 6, 8, k=2, encode_from="orbit"))


@pytest.mark.parametrize("count", [3, 12, 20])
@pytest.mark.parametrize("direction", [ca.ridge_direction, ca.median_direction])
def test_swapping_the_sets_reverses_the_direction(direction, count):
    """What the scores of random directions rest on, which count both ways."""
    rng = torch.Generator().manual_seed(2)
    p, n = torch.randn(2, count, 8, 1, 1, generator=rng)
    assert torch.allclose(direction(p, n), -direction(n, p), atol=1e-5)


def test_no_single_subset_can_move_the_median_beyond_the_others():
    rng = torch.Generator().manual_seed(1)
    negative = torch.randn(20, 12, 1, 1, generator=rng)
    positive = torch.randn(20, 12, 1, 1, generator=rng)
    positive[:, 0] += 2
    poisoned = positive.clone()
    poisoned[:4] = 100 * torch.randn(4, 12, 1, 1, generator=rng)
    honest = torch.stack(
        [
            F.normalize(ca.ridge_direction(positive[i : i + 4], negative[i : i + 4]), dim=0)
            for i in range(4, 20, 4)
        ]
    )
    found = ca.median_direction(poisoned, negative)
    assert (found >= honest.min(0).values).all() and (found <= honest.max(0).values).all()


@pytest.mark.slow
def test_clean_decisions_are_right_and_attacks_overturn_them(network):
    """The whole of it: causes are found, perturbed examples overturn it, noise does not."""
    explained = ca.train_head(network, LAYER, draw_textured(1500, seed=1), progress=False)
    unseen = draw_textured(300, seed=2)
    predicted = np.array(ca.predict(explained, unseen.x))
    assert np.mean(predicted == unseen.table.texture.to_numpy()) > 0.97
    of_class = {t: draw_textured(40, texture=t, seed=3).x for t in CLASSES}
    runs, n = 20, 12 * 20
    test = ca.ConceptTest(explained, of_class, draw_textured(3 * n, seed=4).x, runs=runs)
    concepts = {t: draw_textured(n, texture=t, seed=5).x for t in CLASSES}
    for i, name in enumerate(("wavy", "disc")):
        concepts[name] = draw_textured(n, **IRRELEVANT[name], seed=6 + i).x
    clean = {(c, k): s for c, x in concepts.items() for k, s in test.scores(x).items()}
    table = ca.decide(clean, test.random).set_index(["concept", "class"]).decision
    assert all(table[t, t] == "important" for t in CLASSES)
    assert all(table[c, k] == "irrelevant" for c in ("wavy", "disc") for k in CLASSES)
    lessons = draw_textured(600, seed=8)
    for concept, name, aim in (("wavy", "honeycomb", "induce"), ("striped", "striped", "hide")):
        own = torch.tensor((lessons.table.texture == name).to_numpy())
        along = ca.token_direction(explained.below, lessons.x[own], lessons.x[~own])
        along = along if aim == "induce" else -along
        moved = ca.push_along(concepts[concept], explained.below, along, 8)
        assert ca.judge_attempt(test, clean, concept, name, moved, aim)["success"]
        jiggled = ca.add_noise(concepts[concept], 8)
        assert not ca.judge_attempt(test, clean, concept, name, jiggled, aim)["success"]


# ------------------------------------------------------------------------------------------- facets


def test_the_facet_objective_is_goh_et_als():
    a = torch.rand(2, 3, 4, 4)
    w = torch.tensor([1.0, -2.0, 0.5])
    kernel = torch.rand(3, 4, 4)

    def neuron(x):
        return (kernel * x.square()).flatten(1).sum(1)

    value = ca.facet_objective(lambda x: x, neuron, w, strength=3.0)(a.clone().requires_grad_())
    gradient = 2 * kernel * a
    by_hand = neuron(a) + 3 * torch.einsum("c,bchw->b", w, a * gradient)
    assert torch.allclose(value, by_hand, rtol=1e-5)
    x = a.clone().requires_grad_()
    (slope,) = torch.autograd.grad(
        ca.facet_objective(lambda x: x, neuron, w, strength=3.0)(x).sum(), x
    )
    held = gradient + 3 * w[:, None, None] * gradient  # the gradient inside is held fixed
    assert torch.allclose(slope, held, rtol=1e-5)


def test_facets_show_what_their_examples_show(network):
    lessons = draw_textured(800, seed=20)
    both = dict.fromkeys(("striped", "dotted"), "lined or dotted") | dict.fromkeys(
        ("checked", "honeycomb", "plain"), "else"
    )
    merged = ca.train_head(network, LAYER, lessons, classes=both, progress=False)
    assert merged.classes == ("lined or dotted", "else")
    shown = {
        t: ca.activations_of(draw_textured(80, texture=t, seed=21).x, merged.below)
        for t in ("striped", "dotted")
    }
    rest = ca.activations_of(draw_textured(160, seed=22).x, merged.below)
    probes = {t: ca.facet_probe(a, rest) for t, a in shown.items()}
    images = ca.visualise_facets(
        merged, "lined or dotted", probes, 63, starts=3, strength=20, steps=80, progress=False
    )
    bank = ca.train_head(load_model("filter_bank"), "filters", lessons, progress=False)
    seen = ca.detector_probabilities(images, {"bank": bank}, ("striped", "dotted"))
    means = seen.groupby("facet")[["striped", "dotted"]].mean()
    gap = means.dotted - means.striped
    assert gap["dotted"] > gap["striped"] + 0.3
    with pytest.raises(UserError, match="unknown class"):
        ca.visualise_facets(merged, "zebra", probes, 63)


def test_photographs_become_examples():
    x = ca.cropped_photographs("photos", 3, 80, seed=1)
    assert x.shape == (3, 3, 80, 80) and 0 <= x.min() < x.max() <= 1
    assert torch.equal(x, ca.cropped_photographs("photos", 3, 80, seed=1))


# ------------------------------------------------------------------------------------------ figures


def drawn(name):
    scores = pd.DataFrame(
        {
            "concept": ["red", "striped"],
            "class": "striped",
            "score": [0.4, 1.0],
            "decision": ["irrelevant", "important"],
        }
    )
    attacks = pd.DataFrame(
        {
            "concept": "red",
            "class": "striped",
            "aim": "induce",
            "kind": ["clean", "attack", "noise"],
            "bound": [0.0, 8.0, 8.0],
            "score": [0.4, 1.0, 0.5],
            "low": [0.3, 1.0, 0.4],
            "high": [0.5, 1.0, 0.6],
            "random": 0.5,
            "decision": ["irrelevant", "important", "irrelevant"],
        }
    )
    outcomes = pd.DataFrame({"condition": "attack", "aim": ["induce", "hide"], "success": [1, 0]})
    defences = pd.DataFrame(
        {
            "defence": ["none", "smoothing"],
            "induced at 2": [1, 0.5],
            "hidden at 2": 0.0,
            "induced at 8": 1.0,
            "hidden at 8": [1, 0.5],
            "causal found": 1.0,
            "false positives": 0.0,
            "passes": [1, 4],
        }
    )
    seen = pd.DataFrame(
        {
            "facet": ["a", "a", "b"],
            "start": [0, 1, 0],
            "detector": "bank",
            "striped": 0.2,
            "dotted": [0.7, 0.8, 0.1],
        }
    )
    x = torch.rand(2, 3, 9, 9)
    return {
        "decisions": lambda: figures.decisions(scores, [("striped", "striped")]),
        "scores": lambda: figures.attacked_scores(attacks),
        "successes": lambda: figures.successes(outcomes),
        "defences": lambda: figures.defences(defences),
        "facets": lambda: figures.facet_scores(seen, ("striped", "dotted")),
        "rows": lambda: figures.image_rows({"a": x, "b": x[:1]}),
        "perturbations": lambda: figures.perturbations({"a": (x, x + 0.01)}),
    }[name]()


@pytest.mark.parametrize("name", ["decisions", "scores", "successes", "defences", "facets"])
def test_figures_are_drawn_with_labels(name):
    figure = drawn(name)
    assert isinstance(figure, Figure)
    assert any(ax.get_xlabel() for ax in figure.axes) or figure.get_supxlabel()
    assert figure.get_size_inches()[0] <= WIDTH
    found = figure.findobj(lambda artist: hasattr(artist, "get_fontsize"))
    assert min(t.get_fontsize() for t in found if t.get_text()) >= SMALL


@pytest.mark.parametrize("called", ["important", "irrelevant"])
@pytest.mark.filterwarnings("error")
def test_scores_have_room_when_every_attempt_ends_alike(called):
    row = {"concept": "striped", "class": "dotted", "low": 0.4, "high": 0.6, "random": 0.5}
    attacks = pd.DataFrame(
        [
            {**row, "aim": aim, "kind": "attack", "bound": bound, "score": 0.5, "decision": called}
            for aim in ("induce", "hide")
            for bound in (0, 8)
        ]
    )
    figure = figures.attacked_scores(attacks)
    figure.savefig(io.BytesIO())
    assert all(ax.get_position().width > 0.25 for ax in figure.axes)


def test_every_share_of_a_defence_is_written_down_and_darker_is_worse():
    attacks, clean, cost = drawn("defences").axes
    said = [t.get_text() for t in attacks.texts]
    assert said == ["100 %", "100 %", "0 %", "100 %", "50 %", "100 %", "0 %", "50 %"]
    assert [t.get_text() for t in attacks.get_xticklabels()][:2] == [
        "induced\n2/255",
        "induced\n8/255",
    ]
    assert [t.get_text() for t in clean.texts] == ["0 %"] * 4  # nothing missed, no false alarm
    assert sum(figures.WORSE(1.0)[:3]) < sum(figures.WORSE(0.0)[:3])
    assert [t.get_text().strip() for t in cost.texts] == ["1", "4"]


@pytest.mark.parametrize("name", ["rows", "perturbations"])
def test_rows_of_images_show_every_image(name):
    shown = [image for ax in drawn(name).axes for image in ax.get_images()]
    assert len(shown) == {"rows": 3, "perturbations": 6}[name]
