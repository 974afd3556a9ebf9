"""Families: the orbit distance by its definition, clusters, separation scores, labels."""

import itertools
import math
import warnings
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.families import (
    blocks_by_regression,
    cluster,
    cosine_distance,
    embed,
    label_features,
    orbit_distance,
    orbit_similarity,
    published_family,
    separation,
)
from gc_utils.families.published import CURVE_ORIENTATIONS, PUBLISHED_CHANNELS, PUBLISHED_FAMILIES
from gc_utils.groups import group


def blocks(m, name, channels=5, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(m, group(name).order, channels, generator=generator, dtype=dtype)


def turned(V, g, h):
    """`(R_h V)[g] = V[g·h]`."""
    return V[..., g.right(h), :]


def products_by_definition(V, W, g):
    """`<V_i, R_h W_j> / (|V_i| |W_j|)`, `(m, k, |G|)`."""
    v = V.flatten(1) / V.flatten(1).norm(dim=1, keepdim=True)
    w = W / W.flatten(1).norm(dim=1)[:, None, None]
    return torch.stack([v @ turned(w, g, h).flatten(1).T for h in range(g.order)], -1)


GROUPS = ["C1", "C2", "C5", "C8", "D1", "D2", "D3", "D4", "D5"]


@pytest.mark.parametrize("name", GROUPS)
def test_orbit_distance_is_its_definition(name):
    g = group(name)
    V, W = blocks(7, name), blocks(4, name, seed=1)
    for other in (None, W):
        expected = products_by_definition(V, V if other is None else W, g).amax(-1)
        found = orbit_distance(V, name, other=other, dtype=torch.float64)
        torch.testing.assert_close(found, 1 - expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", GROUPS)
def test_the_element_is_the_one_that_maximises(name):
    g = group(name)
    V = blocks(6, name)
    similarity, element = orbit_similarity(V, g, dtype=torch.float64, return_element=True)
    products = products_by_definition(V, V, g)
    torch.testing.assert_close(products.gather(2, element[..., None])[..., 0], similarity)
    assert torch.equal(element.T, g.inverse[element])


@pytest.mark.parametrize("name", ["C6", "D4", "D5"])
def test_a_feature_turned_is_at_distance_zero_and_its_element_is_found(name):
    g = group(name)
    V = blocks(1, name)[0]
    for h in range(g.order):
        pair = torch.stack([turned(V, g, h), V])
        distance, element = orbit_distance(pair, g, return_element=True)
        assert distance[0, 1] < 1e-5
        assert element[0, 1] == h  # V_0 = R_h V_1


def test_distance_is_the_same_for_turned_features():
    g = group("D6")
    V = blocks(5, "D6")
    moved = torch.stack([turned(v, g, h) for v, h in zip(V, [1, 4, 7, 11, 0], strict=True)])
    torch.testing.assert_close(
        orbit_distance(V, g, dtype=torch.float64), orbit_distance(moved, g, dtype=torch.float64)
    )


def test_of_equally_good_elements_the_lowest_is_returned():
    V = blocks(1, "C4").mean(1, keepdim=True).expand(2, 4, 5)  # invariant features
    assert orbit_distance(V, "C4", return_element=True)[1].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_chunks_change_nothing(chunk):
    V, W = blocks(8, "D4", dtype=torch.float32), blocks(5, "D4", seed=1)
    for other in (None, W):
        expected = orbit_distance(V, "D4", other=other, return_element=True)
        found = orbit_distance(V, "D4", other=other, chunk=chunk, return_element=True)
        torch.testing.assert_close(found[0], expected[0], atol=1e-6, rtol=0)
        assert torch.equal(found[1], expected[1])


def test_distance_is_a_symmetric_matrix_with_zero_diagonal():
    D = orbit_distance(blocks(9, "D5", dtype=torch.float32), "D5", chunk=4)
    assert D.dtype == torch.float32
    assert torch.equal(D, D.T)
    assert torch.equal(D.diagonal(), torch.zeros(9))
    assert (D >= 0).all()


@pytest.mark.parametrize("name", ["C1", "C4", "D3"])
def test_a_feature_without_norm_is_at_distance_one(name):
    V = blocks(3, name)
    V[1] = 0
    D = orbit_distance(V, name)
    assert D[1].tolist() == [1, 0, 1]


def test_scale_does_not_matter_however_small():
    V = blocks(4, "D3")
    scale = torch.tensor([1e-30, 1.0, 1e30, 1e-3])[:, None, None]
    torch.testing.assert_close(
        orbit_distance(V.float() * scale, "D3"), orbit_distance(V.float(), "D3"), atol=1e-6, rtol=0
    )


def test_float16_blocks_are_accepted():
    V = blocks(4, "D3")
    torch.testing.assert_close(
        orbit_distance(V.half(), "D3"), orbit_distance(V.float(), "D3"), atol=3e-3, rtol=0
    )


def test_what_does_not_fit_is_a_user_error():
    V = blocks(3, "D4")
    with pytest.raises(UserError, match="do not fit C4"):
        orbit_distance(V, "C4")
    with pytest.raises(UserError, match="5 channels with 6"):
        orbit_distance(V, "D4", other=blocks(2, "D4", channels=6))
    with pytest.raises(UserError, match="chunk 0"):
        orbit_distance(V, "D4", chunk=0)
    V[2, 3, 1] = math.nan
    with pytest.raises(UserError, match="first: feature 2"):
        orbit_distance(V, "D4")


def test_cosine_distance_takes_no_maximum():
    V = blocks(5, "D3")
    flat = V.flatten(1) / V.flatten(1).norm(dim=1, keepdim=True)
    torch.testing.assert_close(cosine_distance(V, dtype=torch.float64), 1 - flat @ flat.T)
    torch.testing.assert_close(cosine_distance(V[:, 0]), orbit_distance(V[:, :1], "C1"))


# --- competitors ---------------------------------------------------------------------------------


def test_regression_gives_the_autoencoder_its_blocks():
    generator = torch.Generator().manual_seed(0)
    V = torch.randn(4, 8, 3, generator=generator)
    codes = torch.rand(500, 4, generator=generator)
    A = torch.einsum("nm,mgc->ngc", codes, V) + torch.randn(8, 3, generator=generator)
    torch.testing.assert_close(
        blocks_by_regression(codes, A.numpy(), ridge=0, chunk=64), V, atol=1e-4, rtol=0
    )
    shrunk = blocks_by_regression(codes, A, ridge=1.0)
    assert (shrunk.flatten(1).norm(dim=1) < 0.8 * V.flatten(1).norm(dim=1)).all()


def test_regression_minimises_the_ridge_loss():
    generator = torch.Generator().manual_seed(1)
    codes = torch.rand(50, 3, generator=generator, dtype=torch.float64)
    A = torch.randn(50, 2, 2, generator=generator, dtype=torch.float64)
    centred = codes - codes.mean(0)
    penalty = 0.3 * centred.square().sum(0).mean() * torch.eye(3)
    expected = torch.linalg.solve(
        centred.T @ centred + penalty, centred.T @ (A - A.mean(0)).flatten(1)
    )
    found = blocks_by_regression(codes, A, ridge=0.3)
    torch.testing.assert_close(found.flatten(1).double(), expected, atol=1e-5, rtol=0)


def test_regression_gives_a_dead_feature_zero_blocks():
    generator = torch.Generator().manual_seed(2)
    codes = torch.rand(60, 3, generator=generator)
    codes[:, 1] = 0
    for ridge in (0, 0.1):
        V = blocks_by_regression(codes, torch.randn(60, 4, 2, generator=generator), ridge=ridge)
        assert V.isfinite().all()
        assert V.flatten(1).norm(dim=1).ne(0).tolist() == [True, False, True]


def test_regression_refuses_what_does_not_fit():
    with pytest.raises(UserError, match="expected one a sample"):
        blocks_by_regression(torch.rand(5, 2), torch.rand(4, 3, 2))
    with pytest.raises(UserError, match="not finite"):
        blocks_by_regression(torch.rand(5, 2), torch.full((5, 3, 2), math.inf))
    with pytest.raises(UserError, match="ridge -1"):
        blocks_by_regression(torch.rand(5, 2), torch.rand(5, 3, 2), ridge=-1)


# --- clusters and embedding ----------------------------------------------------------------------


def planted(name="D4", sizes=(12, 8), noise=0.05, strays=3, seed=0):
    """Features that are turned copies of a template a family, and strays."""
    g = group(name)
    generator = torch.Generator().manual_seed(seed)
    found, labels = [], []
    for family, size in enumerate(sizes):
        template = torch.randn(g.order, 12, generator=generator)
        for k in range(size):
            copy = turned(template, g, k % g.order)
            found.append(copy + noise * torch.randn(copy.shape, generator=generator))
            labels.append(family)
    found += list(torch.randn(strays, g.order, 12, generator=generator))
    return torch.stack(found), labels + [None] * strays


def test_families_are_found_whatever_way_their_members_are_turned():
    V, truth = planted(sizes=(8, 12))
    labels, noise = cluster(orbit_distance(V, "D4"))
    assert noise.tolist() == [t is None for t in truth]
    assert labels[:8].tolist() == [1] * 8  # numbered by size
    assert labels[8:20].tolist() == [0] * 12
    assert labels[20:].tolist() == [2, 3, 4]  # noise points, one cluster each


def test_plain_cosine_does_not_see_these_families():
    V, _ = planted()
    scores = [
        separation(D, planted()[1], clusters=cluster(D).labels)["adjusted_rand"]
        for D in (orbit_distance(V, "D4"), cosine_distance(V))
    ]
    assert scores[0] == 1
    assert scores[1] < 0.3


@pytest.mark.parametrize("m", [0, 1, 2, 3])
def test_too_few_features_are_all_noise(m):
    labels, noise = cluster(np.ones((m, m)) - np.eye(m))
    assert labels.tolist() == list(range(m))
    assert noise.all()


def test_clustering_leaves_the_distances_as_they_were():
    D = orbit_distance(planted()[0], "D4").double().numpy()
    before = D.copy()
    cluster(D)
    assert np.array_equal(D, before)


def test_distances_and_settings_are_checked():
    D = np.ones((4, 4)) - np.eye(4)
    for bad in (np.ones((4, 3)), np.full((4, 4), np.nan), -D, np.triu(D)):
        with pytest.raises(UserError, match="expected a square|must be finite"):
            cluster(bad)
    for setting in ({"min_cluster_size": 1}, {"min_samples": 0}, {"epsilon": -1}):
        with pytest.raises(UserError, match=next(iter(setting))):
            cluster(D, **setting)


@pytest.mark.parametrize("m", range(6))
def test_a_handful_of_features_is_embedded_without_umap(m):
    points = np.random.default_rng(0).normal(size=(m, 2))
    D = np.linalg.norm(points[:, None] - points[None], axis=-1)
    found = embed(D, seed=0)
    assert found.shape == (m, 2)
    # Classical scaling of plane distances is exact.
    again = np.linalg.norm(found[:, None] - found[None], axis=-1)
    np.testing.assert_allclose(again, D, atol=1e-5)


@pytest.mark.slow
def test_umap_is_quiet_deterministic_and_keeps_families_together():
    pytest.importorskip("umap")  # importing it warns of what else is not installed
    V, truth = planted(sizes=(15, 15), strays=0)
    D = orbit_distance(V, "D4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = embed(D, seed=3), embed(D, seed=3)
        for m in (6, 7, 10):
            assert np.isfinite(embed(D[:m, :m], seed=0)).all()
    assert np.array_equal(first, second)
    assert not np.array_equal(first, embed(D, seed=4))
    assert separation(D, truth, first)["silhouette_embedding"] > 0.5


# --- separation ----------------------------------------------------------------------------------


def test_separation_of_perfect_families():
    V, truth = planted(noise=0.4)
    D = orbit_distance(V, "D4")
    scores = separation(D, truth, V.flatten(1)[:, :2].numpy(), clusters=[t or 0 for t in truth])
    assert (scores["features"], scores["labelled"], scores["unlabelled"]) == (23, 20, 3)
    assert scores["classes"] == 2
    assert scores["silhouette"] > 0.5
    assert scores["knn_purity"] > scores["knn_chance"]
    for name in ("adjusted_rand", "adjusted_mutual_information", "normalised_mutual_information"):
        assert scores[name] == pytest.approx(1)
    assert scores["reasons"] == {}


def test_neighbour_purity_by_hand():
    # On a line: a a b a b, and a turned copy of the first at distance 0.05.
    x = np.array([0, 0.05, 1.0, 1.5, 3.0])
    D = np.abs(x[:, None] - x[None])
    names = ["a", "a", "b", "a", "b"]
    # Nearest neighbours at 0.1 or more: 2, 2, 3, 2, 3 - all of the other label.
    assert separation(D, names, k=1)["knn_purity"] == 0
    # Without leaving the copy out, the first two find each other.
    assert separation(D, names, k=1, exclude_below=0)["knn_purity"] == pytest.approx(2 / 5)
    # Chance: same label among all that could be neighbours: 1/3, 1/3, 1/4, 2/4, 1/4.
    expected = (1 / 3 + 1 / 3 + 1 / 4 + 1 / 2 + 1 / 4) / 5
    assert separation(D, names, k=1)["knn_chance"] == pytest.approx(expected)


def test_neighbour_purity_of_turned_copies_is_undefined():
    V = blocks(1, "C4").expand(6, 4, 5)
    scores = separation(orbit_distance(V, "C4"), list("aabbab"))
    assert math.isnan(scores["knn_purity"])
    assert scores["knn_features"] == 0
    assert "within 0.1" in scores["reasons"]["knn_purity"]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (["a"] * 5, "2 are needed"),
        ([None, "other", float("nan"), "other", None], "2 are needed"),
        (list("abcde"), "labels of their own"),
    ],
)
def test_degenerate_labels_give_nan_with_a_reason(labels, reason):
    D = np.ones((5, 5)) - np.eye(5)
    scores = separation(D, labels, np.zeros((5, 2)), clusters=range(5))
    undefined = {name for name, value in scores.items() if isinstance(value, float)}
    assert undefined == set(scores["reasons"])
    assert all(math.isnan(scores[name]) for name in undefined)
    assert reason in scores["reasons"]["silhouette"]


def test_unlabelled_features_do_not_count():
    V, truth = planted(noise=0.4)
    D = orbit_distance(V, "D4")
    few = separation(D[:20, :20], truth[:20], k=3)
    most = separation(D, truth, k=3)
    assert most["knn_purity"] == few["knn_purity"]
    assert most["silhouette"] == few["silhouette"]
    with pytest.raises(UserError, match="3 labels for 20 features"):
        separation(D[:20, :20], ["a", "b", "c"])


# --- labels --------------------------------------------------------------------------------------


def stimuli(**columns):
    kinds = ["curve", "curve", "line", "line", "edge"]
    return pd.DataFrame({"kind": kinds, "orientation": [0.0, 90, 0, 90, 0], **columns})


def test_a_feature_takes_the_kind_that_wins_clearly():
    responses = torch.tensor(
        [
            [3.0, 1.0, 0.0, 0.0],
            [1.0, 0.9, 0.0, 0.0],
            [1.0, 1.4, 0.0, 2.0],
            [0.5, 0.0, 0.0, 0.0],
            [2.0, 0.0, 0.0, 0.0],
        ]
    )
    found = label_features(responses, stimuli())
    # 3 is 1.5 times 2; 1.4 is not 1.5 times 1; never fires; answers to nothing else.
    assert found.label.tolist() == ["curve", "other", "other", "line"]
    assert found.kind.tolist()[:2] == ["curve", "line"]
    assert found.kind2.tolist()[:2] == ["edge", "curve"]
    assert found.margin[0] == 1.5
    assert found.margin[1] == pytest.approx(1.4)
    assert math.isnan(found.margin[2])
    assert math.isinf(found.margin[3])
    assert found.best_orientation[[0, 1, 3]].tolist() == [0, 0, 0]
    assert math.isnan(found.best_orientation[2])
    assert found.best_stimulus[[0, 1, 3]].tolist() == [0, 2, 2]
    assert label_features(responses, stimuli(), minimum=2.5).label.tolist() == [
        "curve",
        "other",
        "other",
        "other",
    ]


def test_only_stimuli_of_equal_contrast_are_compared():
    table = stimuli(contrast=[0.5, 1.0, 0.5, 0.5, 0.5])
    responses = torch.tensor([[1.0], [9.0], [2.0], [0.0], [0.0]])
    assert label_features(responses, table).label.tolist() == ["line"]
    both_signs = stimuli(contrast=[-0.5, 0.5, 0.5, 0.5, 0.5])
    assert label_features(responses, both_signs).label.tolist() == ["curve"]
    with pytest.raises(UserError, match="share no contrast"):
        label_features(responses, stimuli(contrast=[1, 1, 0.5, 0.5, 0.5]))


def test_labels_refuse_what_does_not_fit():
    with pytest.raises(UserError, match="one row a stimulus"):
        label_features(torch.zeros(4, 2), stimuli())
    with pytest.raises(UserError, match="not negative"):
        label_features(-torch.ones(5, 2), stimuli())
    with pytest.raises(UserError, match="2 are needed"):
        label_features(torch.ones(2, 2), stimuli()[:2])


def test_no_unit_of_mixed3b_is_in_two_published_families():
    units = Counter(itertools.chain.from_iterable(PUBLISHED_FAMILIES.values()))
    assert max(units.values()) == 1
    assert all(0 <= unit < PUBLISHED_CHANNELS for unit in units)
    assert len(units) == 253
    curves = PUBLISHED_FAMILIES["curves"]
    assert set(CURVE_ORIENTATIONS) == set(curves)


def test_a_feature_takes_the_published_family_that_holds_its_power():
    V = torch.zeros(4, 8, 480)
    V[0, :, 379] = V[0, :, 406] = 1.0  # curves alone
    V[1, 0, 377], V[1, 1, 359], V[1, 2, 480 - 1] = 1.0, 0.8, 0.1  # lines, but not twice the next
    V[2, :, 377] = 1.0  # lines hold a quarter
    V[2, :, [133, 134, 135]] = 1.0  # units of no family
    found = published_family(V)
    assert found.label.tolist() == ["curves", "other", "other", "other"]
    assert found.family.tolist()[:3] == ["curves", "lines", "lines"]
    assert found.family2[1] == "double curves"
    assert found.share.tolist() == pytest.approx([1, 1 / 1.65, 0.25, 0])
    assert published_family(V[:, 0]).label[0] == "curves"
    with pytest.raises(UserError, match="480 channels"):
        published_family(V[..., :479])
