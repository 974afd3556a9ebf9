"""Dictionaries at the edge: one feature, a handful, copies, a single family, nothing that fires."""

import numpy as np
import pandas as pd
import pytest
import torch

from gc_utils import figures
from gc_utils.errors import UserError
from gc_utils.families import (
    blocks_by_regression,
    cluster,
    cosine_distance,
    embed,
    linked,
    orbit_distance,
    separation,
)
from gc_utils.families.labels import OTHER
from gc_utils.groups import group
from gc_utils.studies.group_crosscoders import families as study
from gc_utils.studies.group_crosscoders import family_rows
from gc_utils.symmetry import calibrated_report, noise_corrected, null_features, unrelated_cut

G = group("D4")
ONE = torch.randn(1, 8, 5, generator=torch.Generator().manual_seed(0))


def some(m, seed=1):
    return torch.randn(m, 8, 5, generator=torch.Generator().manual_seed(seed))


CORNERS = {
    "one feature": ONE,
    "two features": some(2),
    "six features": some(6),
    "identical features": ONE.repeat(12, 1, 1),
    "one family": ONE + 0.05 * some(20),
    "without norms": torch.zeros(8, 8, 5),
    "one with a norm": torch.cat([ONE, torch.zeros(7, 8, 5)]),
    "copies far apart": torch.eye(5).repeat_interleave(4, 0)[:, None, :].repeat(1, 8, 1),
}


@pytest.fixture(params=CORNERS)
def V(request):
    return CORNERS[request.param]


def test_families_of_a_corner_are_found_and_drawn(V):
    D = orbit_distance(V, G)
    cut = unrelated_cut(V, G)
    assert 0 <= cut <= 1
    labels = pd.Series([OTHER] * len(V))
    for families in (linked(D, cut), cluster(D)):
        assert len(families.labels) == len(V) and families.labels.min() == 0
        assert study.beyond_chance(families, D, cut) and study.families_counted(families)
        near = family_rows.near_families(families, D, cut)
        assert family_rows.near_sentence(near, families, cut)
        match = study.label_match(families, labels, seed=0, shuffles=9)
        assert match.features == len(V) and match.labelled == 0
        silent = torch.zeros(30, len(V))
        assert family_rows.family_rows(families, V, G, labels, silent, None) == []
        found = separation(D, labels, clusters=families.labels)
        assert np.isnan(found["silhouette"]) and found["reasons"]["silhouette"]


def test_a_corner_has_a_map(V):
    for D in (orbit_distance(V, G), cosine_distance(V)):
        xy = embed(D, 0)
        assert xy.shape == (len(V), 2) and np.isfinite(xy).all()
        assert np.array_equal(xy, embed(D, 0))
    names = [OTHER] * len(V)
    figures.embedding(xy, names, xy[:1], names[:1])


def test_symmetries_of_a_corner_are_reported_or_refused(V):
    live = int((V.flatten(1).norm(dim=1) > 0).sum())
    if not live:
        with pytest.raises(UserError, match="no feature has a norm: .* Train it for more steps"):
            calibrated_report(V, G)
        return
    for replicates in ([], [V + 0.1 * some(len(V), 2)]):
        corrected = noise_corrected(V, replicates, G)
        report = calibrated_report(V, G, replicates=replicates, corrected=corrected)
        assert len(report) == len(V) and report.confidence.notna().sum() == live


def test_copies_are_one_family():
    D = orbit_distance(CORNERS["identical features"], G)
    for families in (cluster(torch.zeros(12, 12)), linked(D, 0.01)):
        assert set(families.labels) == {0} and not families.noise.any()
    assert len(cluster(torch.zeros(3, 3)).noise.nonzero()[0]) == 3  # fewer than a family has


def test_null_features_of_one_feature_have_its_spectrum():
    made = null_features(ONE, G, count=4)
    assert (
        made.shape == (4, 8, 5) and made.isfinite().all() and not torch.allclose(made[0], made[1])
    )


@pytest.mark.parametrize("neighbours", [2, 8, 19, 20, 500])
def test_more_neighbours_than_points(neighbours):
    D = orbit_distance(some(20), G)
    assert np.isfinite(embed(D, 0, n_neighbors=neighbours)).all()


@pytest.mark.parametrize("parts", [2, 6])
def test_islands_have_a_map(parts):
    """Neighbours are few, so that no path leads from one group of features to another."""
    of = np.repeat(np.arange(parts), 8)
    rng = np.random.default_rng(0)
    D = np.where(of[:, None] == of[None], 0.1, 1.0) + 0.01 * rng.random((len(of), len(of)))
    xy = embed((D + D.T) / 2 * (1 - np.eye(len(of))), 0, n_neighbors=4)
    assert np.isfinite(xy).all()
    means = np.stack([xy[of == part].mean(0) for part in range(parts)])
    nearest = np.linalg.norm(xy[:, None] - means[None], axis=2).argmin(1)
    assert (nearest == of).mean() > 0.9


@pytest.mark.parametrize("settings", [{"n_neighbors": 1}, {"n_neighbors": 0}, {"min_dist": 2.0}])
def test_settings_of_the_map_are_checked(settings):
    with pytest.raises(UserError, match=f"{next(iter(settings))} .*: expected"):
        embed(orbit_distance(some(8), G), 0, **settings)


def test_an_autoencoder_that_never_fires_has_blocks_without_norm():
    A = some(40, 3)
    V = blocks_by_regression(torch.zeros(40, 6), A)
    assert not V.any() and unrelated_cut(V, G) == 0
    V = blocks_by_regression(torch.rand(40, 1), A)  # one feature
    assert V.shape == (1, 8, 5) and V.any()
