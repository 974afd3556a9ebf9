"""Moving a slider shows another image; what is shown is what model and crosscoder compute."""

import base64
import io

import numpy as np
import pytest
import torch
import zarr
from matplotlib.figure import Figure
from PIL import Image

from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.explorer.exhibit import Exhibit, embed, finer_group, turned_codes
from gc_utils.explorer.panels import explore, has_front_end
from gc_utils.groups import group
from gc_utils.images import image_orbit
from gc_utils.models import load_model
from gc_utils.symmetry import symmetry_report


@pytest.fixture(scope="module")
def model():
    return load_model("filter_bank", group="D4")


@pytest.fixture(scope="module")
def coder(model):
    """The crosscoder that knows the filters: feature `i` is filter `i`."""
    V = model.network.transform_blocks()
    coder = GroupCrosscoder("D4", V.shape[2], len(V), sparsity="l1")
    with torch.no_grad():
        coder.V.copy_(V)
        coder.W_enc.copy_(torch.eye(len(V))[:, None])
    return coder


@pytest.fixture(scope="module")
def patches(model):
    return (model.network.patterns * 255).round().byte().permute(0, 2, 3, 1).numpy()


def codes_of(model, coder, patches):
    x = torch.from_numpy(patches).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        return coder.encode(model.unit(x, model.layers[-1])[:, None])


@pytest.fixture
def widget(model, coder, patches):
    report = symmetry_report(coder.V.detach(), "D4", labels=model.network.kinds)
    codes = codes_of(model, coder, patches)
    return explore(
        model, model.layers[-1], patches, coder, report, codes=codes, interactive=True, least=8
    )


@pytest.mark.parametrize(("name", "n"), [("C1", 48), ("D4", 48), ("D16", 48), ("D32", 64)])
def test_the_finer_group_contains_the_group(name, n):
    g = group(name)
    fine = finer_group(g)
    assert fine.n == n
    index = embed(g, fine)
    torch.testing.assert_close(fine.matrices[index], g.matrices)
    torch.testing.assert_close(fine.table[index][:, index], index[g.table])


@pytest.mark.parametrize("encode_from", ["identity", "orbit"])
def test_codes_are_those_of_the_rotated_image(model, encode_from):
    """Either encoder: rotate the image by hand, take its whole orbit, and encode that."""
    g, fine, layer = group("D4"), group("D8"), model.layers[-1]
    coder = GroupCrosscoder("D4", model.channels(layer), 6, sparsity="l1", encode_from=encode_from)
    size = model.crop_size(layer)
    picture = torch.rand(3, size, size, generator=torch.Generator().manual_seed(0))
    codes = turned_codes(model, layer, coder, image_orbit(picture, fine, blur=0), fine)
    for element, turned in [(0, picture), (2, picture.rot90(1, (-2, -1))), (8, picture.flip(-1))]:
        A = model.unit(image_orbit(turned, g, blur=0), layer)[None]
        torch.testing.assert_close(
            codes[element], coder.encode(A)[0].detach(), atol=1e-4, rtol=1e-4
        )


def test_a_filter_responds_most_to_its_pattern_upright(widget, model):
    feature = model.network.kinds.index("curved_gabor")
    widget.feature.value = feature
    assert widget._response.argmax() in (0, 8)  # upright, or in its own mirror
    assert widget._response[0] > 0.9
    assert widget._response[4] < 0.1  # upside down


def shown(image):
    return np.asarray(Image.open(io.BytesIO(image.value)))


def test_rotating_shows_the_rotated_patch(widget):
    upright = shown(widget.image)
    before = widget.panel.value
    widget.angle.value = 90
    np.testing.assert_array_equal(shown(widget.image), np.rot90(upright))
    assert widget.panel.value != before
    widget.angle.value = 0
    widget.mirror.value = True
    np.testing.assert_array_equal(shown(widget.image), upright[:, ::-1])


def test_feature_and_patch_redraw(widget):
    def view():
        return widget.panel.value, widget.profile.value, widget.image.value

    seen = {view()}
    for feature in (9, 3):
        widget.feature.value = feature
        seen.add(view())
    widget.patch.value = 1
    seen.add(view())
    assert len(seen) == 4
    widget.feature.value = 9
    assert widget.patch.value == 0  # another feature begins with its own strongest patch
    np.testing.assert_array_equal(
        shown(widget.image), widget.exhibit.patches[widget.exhibit.ranked(9)[0]]
    )


def test_another_feature_is_shown_upright(widget):
    widget.angle.value, widget.mirror.value = 90, True
    widget.feature.value = 9
    assert widget.angle.value == 0 and not widget.mirror.value
    ranked = widget.exhibit.ranked(9)[0]
    np.testing.assert_array_equal(shown(widget.image), widget.exhibit.patches[ranked])
    assert f"<b>{widget._response[0]:.2f}</b>" in widget.said.value


def test_a_page_without_widgets_shows_an_image(widget):
    widget.feature.value = 3
    bundle = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    image = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert image.size[0] > 600 and np.asarray(image.convert("L")).std() > 10
    assert "feature 3" in bundle["text/plain"] and "(children" not in bundle["text/plain"]


def test_captions_say_the_angles_that_are_shown(model, coder, patches):
    """Ten angles of 36° lie between the steps of a grid: the caption is the step's."""
    codes = codes_of(model, coder, patches)
    figure = explore(model, model.layers[-1], patches, coder, codes=codes, least=8)
    captions = [t.get_text() for ax in figure.axes for t in ax.texts if "°: " in t.get_text()]
    degrees = [float(text.split("°")[0]) for text in captions]
    assert len(degrees) == 8 and degrees == [45.0 * i for i in range(8)]
    finer = explore(model, model.layers[-1], patches, coder, codes=codes, least=48)
    captions = [t.get_text() for ax in finer.axes for t in ax.texts if "°: " in t.get_text()]
    assert len(captions) == 10 and all(float(t.split("°")[0]) % 7.5 == 0 for t in captions)


def test_the_value_shown_is_the_code_at_that_angle(widget):
    widget.angle.value = 45
    element = widget.exhibit.element(45, False)
    assert f"<b>{widget._response[element]:.2f}</b>" in widget.said.value


def test_features_are_offered_by_number_kind_and_symmetry(widget):
    titles = [title for title, _ in widget.feature.options]
    assert any(t.startswith("0 · even gabor · D2") for t in titles)
    assert any("invariant" in t for t in titles)


def test_angles_beyond_the_slider_wrap(model, coder, patches):
    exhibit = Exhibit(model, model.layers[-1], coder, patches, least=8)
    assert exhibit.fine.n == 8
    assert exhibit.element(-180, False) == exhibit.element(180, False) == 4
    assert exhibit.element(-45, True) == 15


def test_rotated_patches_are_kept_and_forgotten(model, coder, patches, monkeypatch):
    monkeypatch.setattr("gc_utils.explorer.exhibit.KEPT", 2)
    exhibit = Exhibit(model, model.layers[-1], coder, patches, least=4)
    first = exhibit.rotations(0)
    assert exhibit.rotations(0) is first
    for patch in (1, 2):
        exhibit.rotations(patch)
    assert len(exhibit._seen) == 2 and 0 not in exhibit._seen


def test_without_a_front_end_there_is_a_figure(model, coder, patches):
    """The test runner is no front end: a saved page gets a figure, not a blank widget."""
    assert not has_front_end()
    codes = codes_of(model, coder, patches)
    figure = explore(model, model.layers[-1], patches, coder, codes=codes, least=8)
    assert isinstance(figure, Figure)
    titles = {ax.get_title(loc="left") for ax in figure.axes}
    assert {"One patch, rotated, and the feature's code", "Patches that excite it most"} <= titles
    plain = explore(model, model.layers[-1], patches, coder, least=8)
    assert len(plain.axes) == len(figure.axes) - 1  # no codes, no top patches


def test_widgets_without_codes_take_patches_in_order(model, coder, patches):
    widget = explore(
        model, model.layers[-1], patches, coder, features=[3], interactive=True, least=4
    )
    assert widget.patch.max == len(patches) - 1
    assert widget.strip.layout.display == "none"
    widget.patch.value = 2
    np.testing.assert_array_equal(shown(widget.image), patches[2])


def test_a_store_brings_its_patches_and_photographs(model, coder, patches, tmp_path):
    root = zarr.open_group(tmp_path / "activations.zarr", mode="w")
    root["patch"] = patches
    for name in ("photograph", "x", "y", "scale", "fold"):
        root[name] = np.arange(len(patches)) // 2
    root.attrs["photographs"] = [f"{i}.png" for i in range(len(patches))]
    store = ActivationStore(tmp_path, root)
    widget = explore(model, model.layers[-1], store, coder, interactive=True, least=4)
    np.testing.assert_array_equal(widget.exhibit.patches, patches)
    np.testing.assert_array_equal(widget.exhibit.photograph, np.arange(len(patches)) // 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": [999]}, "no feature 999"),
        ({"features": []}, "no feature to explore"),
        ({"interactive": "yes"}, "auto"),
        ({"codes": torch.zeros(1, 5)}, "1 codes for"),
    ],
)
def test_mistakes_are_named(model, coder, patches, options, message):
    with pytest.raises(UserError, match=message):
        explore(model, model.layers[-1], patches, coder, **options)


def test_what_is_predicted_is_drawn_beside_what_is_measured(widget):
    exhibit, feature = widget.exhibit, widget.feature.value
    predicted = exhibit.predicted(feature, widget.shown_patch)
    assert predicted[0] == pytest.approx(widget._response[0], abs=1e-6)
    measured = exhibit.measured(feature, widget.shown_patch)
    assert len(measured) == len(predicted) == exhibit.group.order
    for words in ("measured", "predicted by its blocks", "counter-clockwise", "aria-label"):
        assert words in widget.panel.value
    assert widget.panel.value.count("<polyline") == 4 + 4  # two of each chirality, and the legend


def test_angles_are_degrees_counter_clockwise_from_0_to_360(widget):
    assert widget.angle.min == 0 and widget.angle.max == 360 - 45
    widget.step(-1)
    assert widget.angle.value == 315  # round and round
    widget.step(1)
    assert widget.angle.value == 0
    widget.mirror.value = True
    widget.angle.value = 90
    assert "mirrored, then rotated 90°" in widget.said.value


def test_a_feature_that_was_filtered_away_can_still_be_chosen(widget):
    which = widget.questions["Which feature?"]
    widget.accordion.selected_index = 0
    which.symmetry.value = "invariant"
    offered = [f for _, f in widget.feature.options]
    assert 0 < len(offered) < len(widget.features) and widget.feature.value in offered
    assert f"<div role='status'>{len(offered)} of {len(widget.features)}" in which.said.value
    outside = next(f for f in widget.features if f not in offered)
    which.number.value = outside
    assert widget.feature.value == outside
    which.label.value = which.label.options[-1][1]
    which.clear()
    assert [f for _, f in widget.feature.options] == widget.features


def test_filters_that_nothing_passes_leave_the_list(model, coder, patches):
    report = symmetry_report(coder.V.detach(), "D4", labels=model.network.kinds)
    report["confidence"] = np.linspace(0, 0.5, len(report))
    report["fires_on"], report["family"] = 0.3, -1
    codes = codes_of(model, coder, patches)
    widget = explore(
        model, model.layers[-1], patches, coder, report, codes=codes, interactive=True, least=4
    )
    which = widget.questions["Which feature?"]
    before = widget.feature.options
    which.confidence.value = 0.9
    assert "No feature matches" in which.said.value and widget.feature.options == before
    which.confidence.value = 0
    which.sort.value = "confidence of the name"
    offered = [f for _, f in widget.feature.options]
    assert offered == sorted(offered, reverse=True)


def test_a_click_takes_a_patch_of_any_quantile(widget):
    sees = widget.questions["What does it see?"]
    feature = widget.feature.value
    codes = widget.exhibit.codes[:, feature]
    faint = sees._shown[-1]
    assert codes[faint] == codes[codes > 0].min() or len(sees._shown) > 6
    sees.patches.buttons[len(sees._shown) - 1].click()
    assert widget.shown_patch == faint
    np.testing.assert_array_equal(shown(widget.image), widget.exhibit.patches[faint])
    marked = [k for k, b in enumerate(sees.patches.buttons) if "gc-on" in b._dom_classes]
    assert [sees._shown[k] for k in marked] == [faint]


def test_optimised_images_are_made_once(widget, monkeypatch):
    monkeypatch.setattr("gc_utils.explorer.questions.OPTIMISED_STEPS", 1)
    sees = widget.questions["What does it see?"]
    sees.compute.click()
    first = sees.optimised.value
    assert first.count("<img") == 4 and "alt='image optimised for the block at 90°'" in first
    monkeypatch.setattr(Exhibit, "optimised", None)
    sees.compute.click()
    assert sees.optimised.value == first


def test_relatives_are_aligned_and_compared(widget):
    widget.feature.value = widget.exhibit.crosscoder.V.shape[0] - 1
    widget.accordion.selected_index = 3
    like = widget.questions["Who is like it?"]
    relation = like._nearest[0]
    assert like.other == relation and f"Feature {relation.feature}" in like.pair.value
    patch = widget.exhibit.patches[widget.exhibit.ranked(relation.feature)[0]]
    image = torch.from_numpy(patch.copy()).permute(2, 0, 1).float() / 255
    turned = image_orbit(image, "D4", blur=0)[relation.element]
    turned = (turned * 255).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(widget.exhibit.aligned(relation), turned)
    assert "Radial tuning" in like.tuning.value and "most at" in like.tuning.value
    like.nearest.buttons[1].click()
    other = like._nearest[1]
    assert like.other == other
    like.go.click()
    assert widget.feature.value == other.feature


def test_how_sure_names_what_is_unknown(widget):
    widget.accordion.selected_index = 2
    said = widget.questions["How sure are we?"].said.value
    assert said.count("<b>unknown</b>") == 5 and "D2" in said
    assert "none has a known ρ(180°)" in said


def as_file(image, kind="png"):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def test_an_image_of_ones_own_is_looked_at_where_it_is_clicked(widget, patches):
    """A filter's pattern pasted into a grey image: the filter fires there and not elsewhere."""
    own = widget.questions["My own image"]
    feature = widget.features[3]
    size = patches.shape[1]
    canvas = np.full((4 * size, 6 * size, 3), 128, np.uint8)
    top, left = size, 4 * size
    canvas[top : top + size, left : left + size] = patches[feature]
    own.load("mine.png", as_file(canvas))
    assert len(own.grid.children) == 144
    own.width.value = 25  # of the shorter side: the pattern's size
    centre = (100 * (left + size / 2) / (6 * size), 100 * (top + size / 2) / (4 * size))
    own.point(*(round(c) for c in centre))
    assert feature in own._features[:3] and "fire" in own.said.value
    assert widget.shown_patch == -1 and "your own patch" in widget.said.value
    own.found[0].click()
    widget.angle.value = 90
    assert "rotated 90°" in widget.said.value
    own.point(10, 90)
    assert feature not in own._features or "No feature" in own.said.value
    widget.feature.value = next(f for f in widget.features if f != widget.feature.value)
    assert widget.shown_patch >= 0  # another feature begins with its own strongest patch


@pytest.mark.parametrize("seven", [True, False])
def test_files_are_read_as_either_version_of_ipywidgets_has_them(patches, seven):
    from gc_utils.explorer.own_image import uploaded

    content = as_file(patches[0])
    entry = {"name": "a.png", "content": memoryview(content)}
    value = {"a.png": {"metadata": {}, "content": content}} if seven else (entry,)
    assert uploaded(value) == ("a.png", content)
    assert uploaded(() if not seven else {}) is None


def test_a_bad_file_is_named_and_changes_nothing(widget, patches):
    own = widget.questions["My own image"]
    with pytest.raises(UserError, match="'notes.txt' cannot be read .*: choose a photograph"):
        own.load("notes.txt", b"no image")
    with pytest.raises(UserError, match="8 × 8 pixels: choose an image of 16 or more"):
        own.load("tiny.png", as_file(patches[0][:8, :8]))
    assert own.picture is None and own._controls.layout.display == "none"


def test_views_and_turns_are_exported(model, coder, patches, tmp_path):
    codes = codes_of(model, coder, patches)
    widget = explore(
        *(model, model.layers[-1], patches, coder),
        codes=codes,
        interactive=True,
        least=8,
        folder=tmp_path / "out",
    )
    widget.angle.value = 90
    widget.export("png")
    widget.export("gif")
    feature, patch = widget.feature.value, widget.shown_patch
    name = f"feature_{feature}_patch_{patch}"
    with Image.open(tmp_path / "out" / f"{name}_90deg.png") as view:
        assert view.size[0] > 800
    with Image.open(tmp_path / "out" / f"{name}_turn.gif") as turn:
        assert turn.n_frames == widget.exhibit.fine.n == 8 and turn.info["loop"] == 0
    assert f"download='{name}_turn.gif'" in widget.exported.value
    assert str(tmp_path / "out") in widget.exported.value


def test_a_contact_sheet_has_a_row_for_each_feature(model, coder, patches):
    from gc_utils.explorer import contact_sheet, make_exhibit

    report = symmetry_report(coder.V.detach(), "D4", labels=model.network.kinds)
    report["confidence"], report["reproducibility"] = 0.5, 0.75
    report["margin"], report["fires_on"] = 2.0, 0.3
    codes = codes_of(model, coder, patches)
    exhibit = make_exhibit(model, model.layers[-1], patches, coder, report, codes=codes, least=8)
    six = exhibit.telling(range(len(report)))
    assert len(set(six)) == 6
    kinds = report.label.where(report.stabiliser != "G", "invariant")
    assert kinds[six].nunique() == min(6, kinds.nunique())
    figure = contact_sheet(exhibit, six)
    assert len(figure.axes) == 3 * 6
    texts = [t.get_text() for t in figure.texts]
    assert sum("reproducibility 0.75 · confidence 0.50" in t for t in texts) == 6
    with pytest.raises(UserError, match="contact sheet of no features"):
        contact_sheet(exhibit, [])
