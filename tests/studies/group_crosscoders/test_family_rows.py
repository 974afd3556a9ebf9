"""Families as rows of patches: rotated the right way round, whatever the network."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from gc_utils.errors import UserError
from gc_utils.families import orbit_distance
from gc_utils.families.clusters import Clusters, given_families
from gc_utils.groups import group
from gc_utils.images.orbits import image_orbit
from gc_utils.inspection import rotate_patch
from gc_utils.studies.group_crosscoders import family_rows
from gc_utils.studies.group_crosscoders.family_rows import FamilyRow

SIZE = 24


def smooth_images(count, seed=0):
    """Low-passed noise `(count, 3, SIZE, SIZE)`, in a disc: without symmetry, safe to rotate."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 5, 5, generator=draw)
    image = torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic")
    reach = torch.arange(SIZE) - (SIZE - 1) / 2
    inside = (reach[:, None] ** 2 + reach[None] ** 2).sqrt() < SIZE / 2 - 2
    return torch.where(inside, image.clamp(0, 1), torch.tensor(0.5))


def network(crops):
    """Activations of crops `(..., 3, S, S)`: a fixed random map, which knows of no symmetry."""
    weights = torch.randn(3 * SIZE * SIZE, 20, generator=torch.Generator().manual_seed(7))
    return crops.flatten(-3) @ weights


def as_patch(image):
    return (image * 255).round().byte().permute(1, 2, 0).numpy()


class Store:
    """As much of an activation store as rows of patches read, its images at hand or not."""

    def __init__(self, images, g, at_hand, model="inceptionv1"):
        self.group, self.settings, self._orbits = (
            g,
            {"model": model},
            image_orbit(images, g, blur=0),
        )
        self.patches = np.stack([as_patch(orbit[0]) for orbit in self._orbits])
        self._at_hand, self.asked = at_hand, 0

    def images(self):
        if not self._at_hand:
            raise UserError("the images are no longer those of the store.")
        return ["images"]

    def crops(self, rows, images):
        assert images == ["images"]
        self.asked += len(rows)
        return self._orbits[rows]


def one_family(name, moved, *, images=None):
    """A feature and itself transformed, each firing on the image transformed as it is.

    The blocks are what a network does to the orbit of each image, so that nothing here says which
    way round elements act.
    """
    g = group(name)
    base = smooth_images(1)[0] if images is None else images
    seen = image_orbit(base, g, blur=0)[moved]  # member k's image is moved[k] · base
    V = network(image_orbit(seen, g, blur=0))
    V = V - V.mean((0, 1))
    return g, seen, V


@pytest.mark.parametrize("at_hand", [True, False])
@pytest.mark.parametrize("name", ["C4", "D4"])
def test_rotated_copies_of_a_patch_look_equal_under_the_element_that_relates_their_features(
    name, at_hand
):
    g = group(name)
    g, seen, V = one_family(name, list(range(g.order)))
    assert orbit_distance(V, g).max() < 1e-4
    store = Store(seen, g, at_hand)
    rows = family_rows.family_rows(
        given_families(np.zeros(len(V), int)),
        V,
        g,
        pd.Series(["curve"] * len(V)),
        torch.eye(len(V)),
        family_rows.patch_views(store),
    )
    (row,) = rows
    assert sorted(row.members) == list(range(g.order))
    first = row.patches[0].astype(int)
    np.testing.assert_array_equal(first, store.patches[row.members[0]])  # the medoid as it is
    assert np.abs(row.patches.astype(int) - first).max() <= 1
    raw = store.patches[row.members].astype(int)
    assert np.abs(raw - first).mean(axis=(1, 2, 3))[1:].min() > 5  # they were not before
    assert store.asked == (g.order if at_hand else 0)


def test_angles_off_the_lattice_agree_as_well():
    g, seen, V = one_family("D16", [0, 1, 5, 19, 30])
    store = Store(seen, g, False)
    (row,) = family_rows.family_rows(
        given_families(np.zeros(5, int)),
        V,
        g,
        pd.Series(["curve"] * 5),
        torch.eye(5),
        family_rows.patch_views(store),
    )
    aligned = np.abs(row.patches.astype(int) - row.patches[0]).mean(axis=(1, 2, 3))[1:]
    before = np.abs(store.patches[row.members].astype(int) - row.patches[0]).mean(axis=(1, 2, 3))
    assert aligned.max() < 0.3 * before[1:].min()


def as_they_are(patches):
    return lambda rows, elements: patches[list(rows)]


def three_features():
    """Features 0, 1, 2 near each other, 1 in the middle; 3 and 4 a pair; 5 alone."""
    draw = torch.Generator().manual_seed(0)
    base = torch.randn(3, 1, 4, 30, generator=draw)
    step = torch.randn(4, 30, generator=draw)
    near = torch.stack([base[0, 0] - 0.3 * step, base[0, 0], base[0, 0] + 0.4 * step])
    pair = torch.stack([base[1, 0], base[1, 0] + 0.1 * step])
    V = torch.cat([near, pair, base[2]])
    families = Clusters(np.array([0, 0, 0, 1, 1, 2]), np.array([False] * 5 + [True]))
    return V, families


def test_the_medoid_comes_first_and_members_that_never_fire_are_passed_over():
    V, families = three_features()
    labels = pd.Series(["line", "line", "other", "other", "other", "curve"])
    codes = torch.zeros(4, 6)
    codes[0, 0], codes[1, 1], codes[2, 2], codes[3, 3] = 1, 1, 1, 1  # 4 and 5 never fire
    patches = np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    views = as_they_are(patches)
    first, second = family_rows.family_rows(families, V, group("C4"), labels, codes, views)
    assert first[:4] == (0, 3, "line", 1.0) and first.labelled == 2  # one has no label
    assert first.everyone == [1, 0, 2]
    assert first.spread == pytest.approx(float(orbit_distance(V[:3], group("C4"))[1].max()))
    assert first.members == [1, 0, 2]
    assert first.patches[:, 0, 0, 0].tolist() == [1, 0, 2]
    assert second[:5] == (1, 2, "other", 0.0, [3]) and second.labelled == 0
    chosen = family_rows.family_rows(
        families, V, group("C4"), labels, codes, views, numbers=[1], each=1
    )
    assert [row.number for row in chosen] == [1]
    assert family_rows.family_rows(families, V, group("C4"), labels, 0 * codes, views) == []
    assert family_rows.unlabelled_families(families, labels) == [1]
    assert family_rows.unlabelled_families(families, labels, most=0) == []


def test_no_patch_is_shown_twice_where_a_member_has_another():
    V, families = three_features()
    codes = torch.zeros(4, 6)
    codes[0, :3] = 2.0  # all three fire most on the first sample
    codes[1, 0], codes[2, 0] = 1.5, 1.0
    asked = []

    def views(rows, elements):
        asked.append(list(rows))
        return np.zeros((len(rows), 2, 2, 3), np.uint8)

    labels = pd.Series(["line"] * 6)
    args = (families, V, group("C4"), labels, codes, views)
    family_rows.family_rows(*args, numbers=[0])
    family_rows.family_rows(*args, numbers=[0], photograph=np.array([0, 0, 1, 2]))
    assert asked == [[0, 1, 0], [0, 2, 0]]  # the second sample is of the same photograph


def test_planted_patches_are_no_images_and_stay_as_they_are():
    g = group("C4")
    store = Store(smooth_images(2), g, True, model="planted")
    found = family_rows.patch_views(store)([1, 0], [1, 3])
    np.testing.assert_array_equal(found, store.patches[[1, 0]])
    rotated = family_rows.patch_views(Store(smooth_images(2), g, False))([1], [1])
    np.testing.assert_array_equal(rotated[0], rotate_patch(store.patches[1], g, 1))


def test_titles_say_number_size_label_and_how_many_have_it():
    patches = np.zeros((2, 2, 2, 3), np.uint8)
    rows = [
        FamilyRow(0, 34, "curve", 0.8, [3, 4], patches, 10, [3, 4, 9], 0.412),
        FamilyRow(1, 5, "other", 0.0, [9], patches[:1]),
    ]
    first, second = family_rows.titled(rows)
    assert first.title == "family 0" and first.features == [3, 4]
    assert first.note == "34 features\n8 of 10 labelled: curve\nspread 0.41"
    assert "no label" in second.note
    strips = family_rows.strips(rows, each=1)
    assert list(strips) == ["0 · 8 of 10 labelled: curve", "1 · no label"]
    members, shown = strips["0 · 8 of 10 labelled: curve"]
    assert members == [3, 4, 9] and len(shown) == 1


def test_families_that_reach_beyond_the_cut_are_left_out_and_counted():
    D = np.full((7, 7), 0.9)
    D[:3, :3] = 0.2  # near
    D[3:6, 3:6] = 0.2
    D[3, 5] = D[5, 3] = D[4, 5] = D[5, 4] = 0.7  # reaches beyond 0.5
    np.fill_diagonal(D, 0)
    families = Clusters(np.array([0, 0, 0, 1, 1, 1, 2]), np.array([False] * 6 + [True]))
    near = family_rows.near_families(families, D, 0.5)
    assert near == [0]
    assert family_rows.near_families(families, D, 0.8) == [0, 1]
    assert "In 1 of 2 families" in family_rows.near_sentence(near, families, 0.5)
    assert "1 reach further and are left out" in family_rows.near_sentence(near, families, 0.5)
    alone = Clusters(np.arange(3), np.ones(3, bool))
    assert "no family" in family_rows.near_sentence([], alone, 0.5)


@pytest.mark.parametrize("element", [1, 3, 5, 21])
def test_the_mean_of_edges_rotates_patches_as_the_group_does(element):
    g = group("D16")
    patch = (255 * smooth_images(1)[0]).byte().permute(1, 2, 0).numpy()
    rotated = np.stack([rotate_patch(patch, g, element), patch])
    moved = family_rows.mean_edges(rotated, [(1, element)], g)[1]
    expected = family_rows.mean_edges(rotated, [(0, 0)], g)[1]
    plain = family_rows.mean_edges(rotated, [(1, 0)], g)[1]
    assert np.abs(moved - expected).mean() < 0.3 * np.abs(plain - expected).mean()
