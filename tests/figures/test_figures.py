"""A figure has the panels, labels and artists that its question needs; the look is for the eye."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.image import AxesImage
from matplotlib.legend import Legend

from gc_utils import figures
from gc_utils.groups import group
from gc_utils.images import KINDS
from gc_utils.planted import reliability
from gc_utils.symmetry import Equivariance

rng = np.random.default_rng(0)


def squares(k):
    """`k` random pictures, as the network takes them."""
    return torch.from_numpy(rng.random((k, 3, 8, 8))).float()


def tiles(figure):
    return sum(isinstance(a, AxesImage) for ax in figure.findobj(plt.Axes) for a in ax.get_images())


def texts(figure):
    return {t.get_text() for t in figure.findobj(plt.Text) if t.get_text()}


def legend(figure):
    return [t.get_text() for box in figure.findobj(Legend) for t in box.get_texts()]


def profile(name):
    g = group(name)
    return 0.5 + 0.5 * np.cos(np.deg2rad(g.angles.numpy()))


def test_style_is_a_context_and_leaves_no_trace():
    before = dict(plt.rcParams)
    with figures.style():
        assert plt.rcParams["axes.spines.top"] is False
    figures.orbit_variance(rng.random(10), rng.random(4))
    assert dict(plt.rcParams) == before


def test_figures_are_closed_for_pyplot_but_still_draw(tmp_path):
    figure = figures.orbit_variance(rng.random(10), rng.random(4))
    assert plt.get_fignums() == []
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000


@pytest.mark.parametrize("picture", [squares(2), (255 * squares(2)).byte().movedim(1, -1).numpy()])
def test_pictures_come_either_way_round(picture):
    shown = figures.as_images(picture)
    assert shown.shape == (2, 8, 8, 3)
    assert 0 <= shown.min() and 0.5 < shown.max() <= 1


def test_every_kind_of_stimulus_has_a_look_of_its_own():
    assert set(figures.KINDS) == set(KINDS)
    assert len(set(figures.KINDS.values())) == len(KINDS)
    assert figures.OTHER not in figures.KINDS.values()


def test_labels_keep_their_colour_whatever_else_is_there():
    alone = figures.label_styles(["line"])
    among = figures.label_styles(["other", "line", "curve", "unheard of"])
    assert alone["line"] == among["line"] == figures.KINDS["line"]
    assert among["other"] == figures.OTHER
    assert among["unheard of"] not in (figures.OTHER, among["line"], among["curve"])


def test_labels_beyond_the_palette_are_drawn_as_other():
    names = [f"family {i}" for i in range(14) for _ in range(20 - i)]
    styles = figures.label_styles(names)
    drawn = [name for name, look in styles.items() if look != figures.OTHER]
    assert drawn == [f"family {i}" for i in range(10)]  # the most frequent


def test_thumbnails_wrap_and_return_centres():
    figure, ax = plt.subplots()
    centres = figures.thumbnails(ax, squares(5), 3, gap=0.5)
    assert centres == [(0.5, 0.5), (2.0, 0.5), (3.5, 0.5), (0.5, 2.0), (2.0, 2.0)]
    assert len(ax.get_images()) == 5
    plt.close(figure)


@pytest.mark.parametrize(
    ("name", "rows", "columns"), [("C8", 1, 8), ("D16", 2, 16), ("D32", 2, 16)]
)
def test_orbit_figure_shows_every_angle(name, rows, columns):
    g = group(name)
    figure = figures.orbit_figure(squares(g.order), g)
    assert len(figure.axes) == rows
    assert tiles(figure) == rows * columns
    angles = {"0°", "90°", "180°", "270°"}
    assert angles <= texts(figure)
    assert ("rotated" in texts(figure)) and (
        ("mirrored,\nthen rotated" in texts(figure)) == (rows == 2)
    )


def test_orbit_variance_compares_two_samplings():
    figure = figures.orbit_variance(np.full(20, 0.25), [0.5, 0.3], [0.6, 0.2])
    left, right = figure.axes
    assert "mean 0.25" in texts(figure)
    assert len(right.patches) == 4 and [p.get_height() for p in right.patches] == [50, 30, 60, 20]
    assert sum(p.get_height() for p in left.patches) == 20  # every channel is counted


def history(rows=6):
    return pd.DataFrame(
        {
            "step": range(rows),
            "samples": 256 * np.arange(rows),
            "l0": 32.0,
            "held_out_fvu": [0.5, np.nan] * (rows // 2),
            "held_out_fvu_invariant": [0.3, np.nan] * (rows // 2),
            "held_out_fvu_orientation": [0.9, np.nan] * (rows // 2),
            "held_out_l0": [31.0, np.nan] * (rows // 2),
            "held_out_dead": [10.0, np.nan] * (rows // 2),
        }
    )


def test_training_curves_show_three_parts_l0_and_dead():
    figure = figures.training_curves(history(), k=32, features=200)
    fvu, l0, dead = figure.axes
    assert {"total  0.50", "invariant  0.30", "orientation  0.90"} <= set(legend(figure))
    assert "k = 32" in legend(figure)
    assert len(fvu.lines[0].get_xdata()) == 3  # only where it was evaluated
    np.testing.assert_allclose(dead.lines[0].get_ydata(), 5)  # per cent of 200
    assert l0.get_ylabel() == "L0"


def test_fvu_per_element_goes_once_around():
    g = group("D8")
    figure = figures.fvu_per_element(np.arange(16) / 16, g, {"PCA": np.ones(16)})
    turned, mirrored = figure.axes
    assert legend(figure) == ["crosscoder, orbit encoder", "PCA"]
    x, y = turned.lines[0].get_data()
    assert x[0] == 0 and x[-1] == 360 and y[0] == y[-1] == 0
    np.testing.assert_allclose(mirrored.lines[0].get_ydata()[:8], np.arange(8, 16) / 16)
    assert len(figures.fvu_per_element(np.ones(8), group("C8")).axes) == 1


def test_comparison_draws_every_fold_and_the_mean():
    table = pd.DataFrame(
        [(m, p, f, 0.1 * f) for m in ("ours", "PCA") for p in figures.PARTS for f in range(4)],
        columns=["method", "part", "fold", "fvu"],
    )
    figure = figures.fvu_comparison(table)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Total", "Invariant", "Orientation"]
    bar, dots, mean = figure.axes[0].lines[:3]
    np.testing.assert_allclose(bar.get_xdata(), [0, 0.3])
    assert len(dots.get_xdata()) == 4
    np.testing.assert_allclose(mean.get_xdata(), 0.15)
    assert {"ours", "PCA"} <= texts(figure)


def separated(states):
    return pd.DataFrame(
        [
            {"competitor": c, "state": state, "fold": n, "silhouette": 0.1 + shift + n / 100}
            | {"knn_purity": 0.5, "knn_chance": 0.2, "silhouette_chance": -0.02}
            | {"adjusted_rand": 0.3}
            for c in ("crosscoder", "SAE")
            for shift, state in enumerate(states)
            for n in range(3)
        ]
    )


def test_separation_shows_raw_and_refined_side_by_side():
    figure = figures.separation_table(separated(["raw", "refined"]))
    titles = ["silhouette", "k-NN purity", "adjusted Rand"]
    assert [ax.get_title(loc="left") for ax in figure.axes] == titles
    marks = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 1]
    means = [line for line in marks if line.get_marker() != "|"]
    at = {round(float(line.get_xdata()[0]), 2): float(line.get_ydata()[0]) for line in means[:2]}
    assert set(at) == {0.11, 1.11} and at[0.11] < 0 < at[1.11]  # of the first competitor
    assert len({line.get_markerfacecolor() for line in means[:2]}) == 2  # hollow and filled
    for ax, value in zip(figure.axes, (-0.02, 0.2, 0.0), strict=True):  # every score has its own
        chance = [line for line in ax.lines if line.get_marker() == "|"]
        assert [line.get_xdata()[0] for line in chance] == pytest.approx([value] * 4)
    assert {"as trained", "refined", "a fold", "by chance"} == set(legend(figure))


def test_separation_of_raw_dictionaries_alone_is_centred():
    figure = figures.separation_table(separated(["raw"]))
    assert {float(line.get_ydata()[0]) for line in figure.axes[0].lines} == {0.0, 1.0}
    assert "refined" not in legend(figure)  # hollow alone


def test_embedding_joins_all_members_of_a_family_to_the_first():
    labels = ["curve"] * 10 + ["line"] * 10 + ["other"] * 5
    xy = rng.uniform(size=(25, 2))
    strips = {
        "0 · 3 of 4 labelled: curve": ([2, 0, 1, 20], squares(3)),
        "4 · no label": ([10, 11], squares(2)),
    }
    figure = figures.embedding(xy, labels, xy[:8], labels[:8], strips)
    assert tiles(figure) == 5
    assert {"0", "4", *strips} <= texts(figure)
    assert set(legend(figure)) == {"curve", "line", "other"}
    stars = [c for c in figure.axes[0].collections if hasattr(c, "get_segments")]
    assert [len(star.get_segments()) for star in stars] == [3, 1]
    for star, first in zip(stars, (2, 10), strict=True):
        inside = np.clip(xy, *(np.quantile(xy, q, axis=0) for q in (0, 1)))
        np.testing.assert_allclose(star.get_segments()[0][0], inside[first], atol=0.1)
    drawn = [len(c.get_offsets()) for c in figure.axes[0].collections if c not in stars]
    assert sum(drawn) == 25


def test_a_point_far_from_all_others_does_not_squeeze_the_map():
    xy = np.concatenate([rng.uniform(size=(200, 2)), [[-50.0, 0.5]]])
    figure = figures.embedding(xy, ["curve"] * 201, xy[:9], ["line"] * 9)
    low, high = figure.axes[0].get_xlim()
    assert high - low < 1.5


def test_embedding_without_thumbnails_is_two_maps():
    xy = rng.normal(size=(5, 2))
    figure = figures.embedding(xy, ["a"] * 5, xy, ["b"] * 5)
    assert sum(bool(ax.collections) for ax in figure.axes) == 2 and tiles(figure) == 0
    assert set(legend(figure)) == {"a", "b"}


def test_family_rows_number_their_features():
    means = np.stack([np.full((8, 8), 0.2), np.eye(8)])
    rows = [
        figures.FamilyStrip("family 0", "3 features\n2 of 2: curve", [3, 14, 15], squares(3)),
        figures.FamilyStrip(
            "family 1",
            "40 features\n20 of 30: centre_surround",
            list(range(40)),
            squares(40),
            means,
        ),
    ]
    figure = figures.family_rows(rows, most=6)
    assert tiles(figure) == 3 + 6 + 2  # the second has its means, too
    assert {"3", "14", "15", "family 1", "40 features\n20 of 30: centre-surround"} <= texts(figure)
    assert not any("mean edge" in text for text in texts(figures.family_rows(rows[:1])))


def test_radial_floor_holds_every_profile():
    assert figures.radial_floor([[0.2, 1.0]]) == 0
    assert figures.radial_floor([[0.2, 1.0], [-0.3, 1.0]]) == -0.5
    assert figures.radial_floor([[-0.9, 1.0]]) == -1


def test_polar_profile_places_elements_at_their_angle():
    g = group("D8")
    figure, ax = plt.subplots(subplot_kw={"projection": "polar"})
    figures.polar_profile(ax, np.arange(16) / 16, g, axis_degrees=45.0)
    axis, _, turned, mirrored = ax.lines
    np.testing.assert_allclose(np.rad2deg(axis.get_xdata()), 45)
    np.testing.assert_allclose(np.rad2deg(turned.get_xdata()), np.arange(9) * 45)
    np.testing.assert_allclose(turned.get_ydata()[:8], np.arange(8) / 16)
    np.testing.assert_allclose(mirrored.get_ydata()[:8], np.arange(8, 16) / 16)
    plt.close(figure)


def test_cards_show_profile_patches_and_blocks():
    g = group("D4")
    blocks = {e: squares(1)[0] for e in range(8)}
    curve = figures.Card(7, profile("D4"), squares(6), blocks, "D1@45", 45.0, "curve")
    blob = figures.Card(9, np.ones(8), squares(2), None, "G", label="centre_surround")
    assert curve.title == "feature 7 · curve · D1 · mirror axis 45°"
    assert blob.title == "feature 9 · centre-surround · invariant"
    figure = figures.feature_cards([curve, blob], g)
    assert {curve.title, blob.title, "top patches", "its blocks, visualised"} <= texts(figure)
    assert tiles(figure) == 6 + 8 + 2
    assert legend(figure) == ["rotated", "mirrored, then rotated", "mirror axis"]
    limits = {ax.get_ylim() for ax in figure.findobj(plt.Axes) if ax.name == "polar"}
    assert limits == {(0, 1)}  # one scale


def test_the_mirror_axis_crosses_the_block_at_the_identity():
    card = figures.Card(0, profile("D4"), None, {0: squares(1)[0]}, "D1@90", 90.0)
    figure = figures.feature_card(card, group("D4"))
    (ax,) = [ax for ax in figure.findobj(plt.Axes) if ax.get_images()]
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[0.5, 1], [0.5, 0]], atol=1e-12)


def report():
    return pd.DataFrame(
        {
            "stabiliser": ["G", "D1@45", "D1@90", "C2", "C1", None],
            "label": ["circle", "curve", "curve", "line", "other", "other"],
        }
    )


def test_stabilisers_are_counted_without_their_axes():
    counts = figures.stabiliser_counts(report())
    assert list(counts.index) == ["C1", "C2", "D1", "G", "none"]
    assert counts.loc["D1", "curve"] == 2 and counts.loc["none", "other"] == 1
    assert counts.to_numpy().sum() == 6
    assert list(figures.stabiliser_counts(report().drop(columns="label")).columns) == ["features"]


def test_stabiliser_table_has_a_row_a_kind_shaded_by_its_share():
    figure = figures.stabiliser_table(figures.stabiliser_counts(report()))
    ax = figure.axes[0]
    shares = np.asarray(ax.get_images()[0].get_array())
    np.testing.assert_allclose(shares.sum(1), 1)
    kinds = [t.get_text() for t in ax.get_yticklabels()]
    assert kinds == ["curve (2)", "line (1)", "circle (1)", "other (2)"]
    assert [t.get_text() for t in ax.get_xticklabels()][-2:] == ["G, invariant", "none"]
    assert shares[0].tolist() == [0, 0, 1, 0, 0]  # both curves have one mirror


def test_irrep_spectra_are_means_of_each_kind_by_frequency():
    irreps = group("D4").irreps()
    spectrum = np.eye(len(irreps))[[3, 0, 2, 0]] * 0.8 + 0.2 / len(irreps)
    labels = ["line", "circle", "curve", "circle"]
    frequencies = [i.frequency for i in irreps]
    figure = figures.irrep_spectra(spectrum, frequencies, labels, names=[i.name for i in irreps])
    table = figure.axes[0]
    shown = np.asarray(table.get_images()[0].get_array())
    columns = [t.get_text().split("\n")[0] for t in table.get_xticklabels()]
    assert columns == sorted(columns) == [str(f) for f in sorted(frequencies)]
    assert [t.get_text() for t in table.get_yticklabels()] == [
        "curve (1)",
        "line (1)",
        "circle (2)",
    ]
    order = np.argsort(frequencies, kind="stable")
    for row, i in zip(shown, (2, 0, 1), strict=True):
        np.testing.assert_allclose(row, spectrum[i][order])
    assert "0\nA1" in [t.get_text() for t in table.get_xticklabels()]
    plain = figures.irrep_spectra(spectrum, frequencies)
    assert [t.get_text() for t in plain.axes[0].get_yticklabels()] == ["features (4)"]


def test_a_feature_lies_in_the_corner_that_has_its_power():
    frequencies = [0, 1, 2]
    figure = figures.irrep_spectra(np.eye(3), frequencies, ["circle", "curve", "line"])
    triangle = next(ax for ax in figure.axes if ax.get_legend())
    where = {c.get_label(): c.get_offsets()[0] for c in triangle.collections}
    np.testing.assert_allclose(where["circle"], [0.5, np.sqrt(0.75)])
    np.testing.assert_allclose(where["curve"], [1, 0])
    np.testing.assert_allclose(where["line"], [0, 0], atol=1e-12)


def test_recovery_is_drawn_for_every_method_and_setting():
    table = pd.DataFrame(
        {
            "method": ["ours", "ours", "theirs", "theirs"],
            "noise": [0.1, 0.5, 0.1, 0.5],
            "cosine_max": [0.9, 0.8, 0.5, np.nan],
            "stabiliser_exact": [1.0, 0.5, 0.2, 0.1],
            "ari": [1.0, 1.0, 0.0, 0.0],
        }
    )
    figure = figures.recovery_curves(table, "noise", "noise")
    assert len(figure.axes) == 3 and set(legend(figure)) == {"ours", "theirs"}
    assert list(figure.axes[0].lines[0].get_ydata()) == [0.9, 0.8]
    dots = figures.recovery_scores(table, ["cosine_max", "ari"])
    assert {"cosine", "families (ARI)"} <= set(texts(dots))


def test_arms_show_what_is_found_beside_what_is_named_too():
    table = pd.DataFrame(
        {
            "arm": ["tidy", "tidy", "heavy tails"],
            "method": ["ours", "ours", "theirs"],
            "recall": [0.9, 0.7, 0.5],
            "found_and_named": [0.6, 0.6, np.nan],
        }
    )
    figure = figures.recovery_by_arm(table, {"ours": "our method", "theirs": "another"}, 0.9)
    found, named = figure.axes
    titles = [text for text in texts(figure) if text.startswith(("found, of", "found and"))]
    assert len(titles) == 2 and named.get_xlabel() == "share of all planted features"
    assert {"tidy", "heavy tails"} <= set(texts(figure))
    assert set(legend(figure)) == {"our method", "another", "0.9: counts as recovery"}
    means = [line.get_xdata()[0] for box in found.containers for line in box.lines[:1]]
    assert means == pytest.approx([0.8, 0.5])
    assert [ax.lines[-1].get_xdata()[0] for ax in figure.axes] == [0.9, 0.9]
    heights = [line.get_ydata()[0] for box in found.containers for line in box.lines[:1]]
    assert abs(heights[0]) < 0.5 < heights[1] < 1.5


def test_calibration_draws_what_was_stated_and_what_was_right():
    bins = {"ours": reliability([0.2, 0.2, 0.9, 0.9], [0, 1, 1, 1])}
    trend = pd.DataFrame(
        {"method": "ours", "noise": [0.0, 1.0], "stated": [0.9, 0.6], "right": [1.0, 0.5]}
    )
    figure = figures.calibration(bins, trend, "noise", "noise")
    above, below = figure.axes
    curve = [line for line in above.lines if len(line.get_xdata()) == 2][1]
    assert list(curve.get_xdata()) == pytest.approx([0.2, 0.9])
    assert [list(line.get_ydata()) for line in below.lines] == [[1.0, 0.5], [0.9, 0.6]]
    assert above.get_title(loc="left") == "ours"


def test_calibration_has_a_column_a_method_and_explains_its_lines_in_a_legend():
    bins = {name: reliability([0.2, 0.9], [0, 1]) for name in ("crosscoder", "tied crosscoder")}
    trend = pd.DataFrame({"method": list(bins), "noise": 0.0, "stated": 0.9, "right": 1.0})
    figure = figures.calibration(bins, trend, "noise", "noise")
    assert len(figure.axes) == 4
    colours = [ax.lines[1].get_color() for ax in figure.axes[:2]]
    assert colours == [figures.METHODS[name].colour for name in bins]
    assert {"names that are right", "confidence stated"} <= set(legend(figure))


def test_equivariance_has_a_line_a_layer_and_kind():
    found = Equivariance(
        *np.linspace(1, 0.5, 24).reshape(3, 8), np.array([0.9, np.nan]), np.ones(2)
    )
    figure = figures.equivariance_by_layer({"first": found, "second": found}, group("D4"), 0.9)
    assert {"first", "second"} <= texts(figure)
    assert {"powers of one matrix", "0.9: equivariant"} <= set(legend(figure))
    above, _, below, _ = figure.axes
    np.testing.assert_allclose(above.lines[0].get_ydata(), found.free[:4])
    assert len(below.lines[0].get_ydata()) == 2  # free: both channels vary
    assert len(below.lines[1].get_ydata()) == 1  # powers: one does not


def test_growth_compares_with_the_tied_families():
    table = pd.DataFrame(
        {
            "features": [64, 128],
            "families": [10, 14],
            "features a family": [6.0, 9.0],
            "orientation part": [0.5, 0.4],
        }
    )
    tied = {"features": 128, "families": 12, "features a family": 8.0, "orientation part": 0.45}
    figure = figures.dictionary_growth(table, tied)
    assert len(figure.axes) == 3 and {"untied", "tied"} <= set(legend(figure))
    points = [ax.lines[1].get_xydata()[0].tolist() for ax in figure.axes]
    assert points == [[128, 12], [128, 8], [128, 0.45]]


def test_the_half_turn_of_features_is_a_group_of_dots_a_kind_and_fold():
    kinds = ["line"] * 4 + ["curve"] * 6 + ["centre-surround"] * 2 + ["other"]
    rho = np.array([0.9, 1.0, 0.95, np.nan, *rng.normal(0, 0.1, 6), 1.0, 0.98, 0.5])
    features = pd.DataFrame({"label": kinds, "fold": [0, 1] * 6 + [0], "rho_180": rho})
    features["rho_180_low"], features["rho_180_high"] = rho - 0.1, rho + 0.1
    features.loc[5, "rho_180_low"] = -0.6
    shown = ["line", "curve", "centre-surround"]
    figure = figures.half_turn({"identity": features, "orbit": features[:0]}, shown)
    filled, empty = figure.axes
    dots = [line for line in filled.lines if line.get_marker() not in ("None", None, "")]
    assert sum(len(line.get_xdata()) for line in dots) == 3 + 6 + 2  # one line is unknown
    assert len(dots) == 6  # three kinds, two folds
    labels = [t.get_text() for t in filled.get_xticklabels()]
    assert [text.split("\n")[-1] for text in labels] == ["3", "6", "2"]
    assert labels[0].startswith("line") and labels[2].startswith("centre-\nsurround")
    assert {t.get_text().split("\n")[-1] for t in empty.get_xticklabels()} == {"0"}
    low, high = filled.get_ylim()
    assert low < -0.6 and high > 1.1
    assert {"identity", "orbit"} <= texts(figure) and "ρ(180°)" in filled.get_ylabel()
