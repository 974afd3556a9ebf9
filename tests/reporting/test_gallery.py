"""The gallery: every feature's page data, and a page that a browser shows from disk."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from skimage import data

from gc_utils import reporting
from gc_utils.__main__ import main
from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.explorer.exhibit import Exhibit
from gc_utils.files import write_json
from gc_utils.groups import group, translate
from gc_utils.pipeline import Record
from gc_utils.reporting import (
    gallery,
    gallery_entries,
    gallery_images,
    refresh_gallery,
    write_gallery,
    write_site,
)
from gc_utils.reporting.columns import parameters_of
from gc_utils.reporting.gallery import READS, gallery_of
from gc_utils.symmetry import symmetry_report, telling_features

TURN = 3  # the element that makes feature 1 of feature 0


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run with 120 orbits and six features: 1 is 0 transformed, 2 is invariant, 5 never fires."""
    folder, draw = tmp_path_factory.mktemp("run"), torch.Generator().manual_seed(0)
    g = group("D4")
    V = torch.randn(6, 8, 12, generator=draw)
    V[1] = translate(V[:1], g, torch.tensor([TURN]))[0]
    V[2] = V[2, :1]
    codes = torch.rand(120, 6, generator=draw) * (torch.rand(120, 6, generator=draw) < 0.3)
    A = torch.einsum("nm,mgc->ngc", codes, V)
    images = np.repeat(np.arange(30), 4)
    ActivationStore.from_array(A.numpy(), "D4", folder / "activations.zarr", images=images)
    coder = GroupCrosscoder("D4", 12, 6, sparsity="l1", encode_from="orbit")
    with torch.no_grad():
        coder.V.copy_(V)
        coder.W_enc.copy_(torch.linalg.pinv(V.flatten(1)).T.view_as(V))
        coder.b_enc[5] = -100
    coder.save(folder / "crosscoder.safetensors")
    report = symmetry_report(
        V, "D4", labels=["curve", "curve", "texture", "other", "other", "line"]
    )
    report["family"] = [0, 0, -1, 1, 1, -1]
    report["confidence"], report["reproducibility"] = 0.8, np.linspace(0.5, 1, 6)
    report["rho_180"] = [0.1, 0.1, 1.02, np.nan, np.nan, np.nan]
    report["rho_180_low"], report["rho_180_high"] = report.rho_180 - 0.1, report.rho_180 + 0.1
    report["fires_on"] = [0.3] * 5 + [0.0]
    report.to_csv(folder / "features.csv", index=False)
    write_json(folder / "run.json", {"preset": "demo", "parameters": {"group": "D4"}})
    write_gallery(folder, progress=False)
    return folder


@pytest.fixture
def entries(run_dir):
    return {
        int(path.stem): json.loads(path.read_text("utf-8"))
        for path in (run_dir / "gallery" / "features").glob("*.json")
    }


def test_every_feature_that_fires_has_its_numbers_and_its_patches(run_dir, entries):
    assert sorted(entries) == [0, 1, 2, 3, 4]
    text = (run_dir / "gallery" / "features.js").read_text("utf-8")
    page = json.loads(text.removeprefix("const GALLERY = ").rstrip(";\n"))
    assert page["features"] == [entries[i] for i in range(5)]
    assert page["group"]["n"] == 4 and page["group"]["mirrored"] == [False] * 4 + [True] * 4
    for i, entry in entries.items():
        with Image.open(run_dir / "gallery" / "strips" / f"{i}.webp") as strip:
            assert strip.width == len(entry["strip"]) * strip.height
        at = entry["strongest"]
        assert entry["codes"][:at] == sorted(entry["codes"][:at], reverse=True)
        assert entry["codes"][at:] == sorted(entry["codes"][at:], reverse=True)
    assert entries[3]["rho_180"] is None and entries[2]["stabiliser"] == "G"


def test_what_is_measured_begins_at_the_code_and_what_the_blocks_predict_is_rho(entries):
    for entry in entries.values():
        turn = entry["turn"]
        assert turn["measured"][0] == turn["predicted"][0] == entry["codes"][0]
        assert len(turn["measured"]) == len(turn["predicted"]) == len(turn["profile"]) == 8
    invariant = entries[2]["turn"]
    np.testing.assert_allclose(invariant["measured"], invariant["measured"][0], rtol=0.01)
    np.testing.assert_allclose(invariant["predicted"], invariant["predicted"][0], rtol=0.01)
    assert min(entries[0]["turn"]["predicted"]) < 0.5 * entries[0]["codes"][0]


def test_relatives_are_named_with_the_element_that_maps_them(run_dir, entries):
    V = GroupCrosscoder.load(run_dir / "crosscoder.safetensors").V.detach()
    (member,) = entries[1]["members"]
    assert member["feature"] == 0 and member["similarity"] == pytest.approx(1, abs=0.01)
    moved = translate(V[:1], group("D4"), torch.tensor([member["element"]]))[0]
    torch.testing.assert_close(moved, V[1], rtol=1e-3, atol=1e-3)
    # Of a family one stands as it is, and the others are turned to agree with it.
    poses = [entries[i]["pose"] for i in (0, 1)]
    assert poses.count(0) == 1
    first = poses.index(0)
    moved = translate(V[1 - first][None], group("D4"), torch.tensor([max(poses)]))[0]
    torch.testing.assert_close(moved, V[first], rtol=1e-3, atol=1e-3)
    assert entries[2]["members"] == [] and entries[2]["pose"] == 0


def test_the_page_needs_nothing_from_elsewhere(run_dir):
    for name in ("index.html", "gallery.js", "gallery.css"):
        text = (run_dir / "gallery" / name).read_text("utf-8")
        assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    page = (run_dir / "gallery" / "index.html").read_text("utf-8")
    assert '<script src="features.js">' in page


def test_a_default_run_takes_less_than_20_megabytes(run_dir, tmp_path):
    """With patches of a photograph, which are as hard to compress as any."""
    image = data.astronaut()
    corners = np.random.default_rng(0).integers(0, 512 - 95, (96, 2))
    patches = np.stack([image[y : y + 95, x : x + 95] for y, x in corners])
    gallery_images.write_strip(patches, range(11), tmp_path / "strip.webp")
    gallery_images.write_strip(patches, range(96), tmp_path / "frames.webp")
    numbers = run_dir / "gallery" / "features" / "0.json"
    sizes = [p.stat().st_size for p in (tmp_path / "strip.webp", tmp_path / "frames.webp", numbers)]
    # The numbers are there twice, and D16 has four times the elements of D4.
    assert 512 * (sizes[0] + 8 * sizes[2]) + 12 * sizes[1] < 20_000_000


def test_a_band_shows_what_other_patches_do(entries):
    for entry in entries.values():
        turn = entry["turn"]
        assert turn["low"][0] == turn["high"][0] == 1, "in units of the code at the identity"
        assert all(low <= high for low, high in zip(turn["low"], turn["high"], strict=True))
    np.testing.assert_allclose(entries[2]["turn"]["low"], 1, rtol=0.05)


@pytest.mark.parametrize("sparsity", ["l1", "batchtopk", "topk"])
@pytest.mark.parametrize("views", ["identity", "orbit"])
def test_codes_under_rotation_are_those_of_the_whole_dictionary(sparsity, views):
    g, draw = group("D4"), torch.Generator().manual_seed(1)
    coder = GroupCrosscoder("D4", 5, 7, sparsity=sparsity, k=3, encode_from=views)
    A = torch.randn(20, 8, 5, generator=draw)
    if sparsity == "batchtopk":
        coder.calibrate(A)
    turned = gallery_entries._turned(coder, A[:4], g, 2)
    for h in range(8):
        moved = translate(A[:4], g, torch.full((4,), h))
        torch.testing.assert_close(turned[:, h], coder.encode(moved)[:, 2])


def test_telling_features_are_of_several_kinds():
    kinds = ["curve"] * 9 + ["line"] * 9 + ["other"] * 9 + ["edge"]
    report = pd.DataFrame({"label": kinds, "stabiliser": "C1", "fires_on": 0.1})
    report["reproducibility"] = np.linspace(0.1, 0.9, len(report))
    report.loc[20, "stabiliser"], report.loc[17, "fires_on"] = "G", 0.0
    found = telling_features(report, 8)
    assert found[:3] == [16, 8, 20], "the best line that fires, the best curve, the invariant one"
    assert len(set(found)) == 8 and 27 in found and 17 not in found
    assert len(telling_features(report, 99)) == 27


def test_all_of_a_kind_are_brought_to_one_pose(run_dir):
    V = GroupCrosscoder.load(run_dir / "crosscoder.safetensors").V.detach()
    report = pd.read_csv(run_dir / "features.csv")
    found = {k["kind"]: k for k in gallery_entries.kind_entries(report, V, group("D4"), range(5))}
    assert set(found) == {"curve"}, "the line never fires"
    assert found["curve"]["features"] == [1, 0], "by reproducibility"
    first, second = (
        translate(V[[i]], group("D4"), torch.tensor([h]))[0]
        for i, h in zip([1, 0], found["curve"]["poses"], strict=True)
    )
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-3)


def test_a_feature_unlike_its_family_stands_as_it_was_found(run_dir):
    store = ActivationStore.open(run_dir / "activations.zarr")
    coder = GroupCrosscoder.load(run_dir / "crosscoder.safetensors")
    report = pd.read_csv(run_dir / "features.csv")
    settings = {"features": [0, 1], "progress": False}
    for related, moved in ((None, 1), (0.9, 1), (1.1, 0)):
        found = gallery_entries.feature_entries(store, coder, report, related=related, **settings)
        assert sum(entry["pose"] != 0 for entry in found) == moved


# --- with the report, and as a site ---------------------------------------------------------------


@pytest.fixture
def copy(run_dir, tmp_path):
    """A copy of the run, without its gallery."""
    there = tmp_path / "copy"
    shutil.copytree(run_dir, there, ignore=shutil.ignore_patterns("gallery"))
    return there


def write_records(folder, *names, **more):
    records = {
        name: {"status": "done", "outputs": {"a": {"sha256": "1"}}, **more} for name in names
    }
    content = {"preset": "demo", "parameters": {"group": "D4", "images": "photos"}}
    write_json(folder / "run.json", content | {"notebooks": records})


def test_a_run_that_has_made_05_gets_its_gallery_once(copy):
    write_records(copy, *READS)
    assert refresh_gallery(copy) is None and gallery_of(copy) == (False, False)
    write_records(copy, *READS, "05_explore")
    page = refresh_gallery(copy)
    assert page == copy / "gallery" / "index.html" and gallery_of(copy) == (True, True)
    page.write_text("kept")
    refresh_gallery(copy)
    assert page.read_text() == "kept", "it was up to date"
    write_records(copy, *READS, "05_explore", outputs={"a": {"sha256": "2"}})
    assert gallery_of(copy) == (True, False)
    refresh_gallery(copy)
    assert page.read_text() != "kept" and gallery_of(copy) == (True, True)


def test_a_gallery_is_not_made_of_what_does_not_belong_together(copy):
    write_records(copy, *READS, "05_explore", stale="01_extract made something else since")
    assert refresh_gallery(copy) is None


def test_a_site_holds_the_gallery_and_a_page_that_leads_there(copy, tmp_path, capsys):
    write_records(copy, *READS)
    site = tmp_path / "docs"
    site.mkdir()
    (site / "claims.md").write_text("stays")
    assert main(["gallery", str(copy), "--site", str(site), "--features", "2"]) == 0
    assert 'href="gallery/index.html"' in (site / "index.html").read_text("utf-8")
    assert (site / ".nojekyll").exists() and (site / "claims.md").read_text() == "stays"
    assert len(list((site / "gallery" / "strips").iterdir())) == 2
    assert sorted(p.name for p in site.iterdir()) == [
        *(".nojekyll", "claims.md", "gallery", "index.html")
    ]
    with pytest.raises(UserError, match="a site may take 0: show fewer features"):
        write_site(copy, site, [], limit=1000, progress=False)
    assert len(list((site / "gallery" / "strips").iterdir())) == 2, "as it was"


def test_a_site_is_refused_where_images_are_not_ours(copy, tmp_path, capsys):
    content = {"preset": "demo", "parameters": {"group": "D4", "images": "photos+imagenet_samples"}}
    write_json(copy / "run.json", content)
    assert main(["gallery", str(copy), "--site", str(tmp_path / "docs")]) == 2
    assert "not ours to pass on" in capsys.readouterr().err
    assert not (tmp_path / "docs").exists()


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_a_run_ends_with_its_gallery(make_notebook, tmp_path, monkeypatch, capsys, fails):
    def refresh(run_dir):
        if fails:
            raise UserError("features.csv has 3 features")
        (run_dir / "gallery").mkdir()
        (run_dir / "gallery" / "index.html").write_text("here")
        return run_dir / "gallery" / "index.html"

    monkeypatch.setattr(reporting, "refresh_gallery", refresh)
    path = make_notebook("01_first", 'run_dir = "out"  # the run folder', "1 + 1")
    options = ["run", "--preset", "smoke", "--output", str(tmp_path / "out")]
    options += ["--notebooks", str(path.parent)]
    assert main(options, [Record("01")]) == 0
    told, linked = capsys.readouterr(), "gallery/index.html"
    assert ("no gallery: features.csv has 3 features" in told.err) == fails
    assert (linked in told.out) != fails
    assert (linked in (tmp_path / "out" / "report.html").read_text("utf-8")) != fails


@pytest.fixture
def with_frames(copy, monkeypatch):
    """A gallery whose telling features have frames; what encodes them takes stored responses."""

    def turning(store, coder):
        return Exhibit(None, "", coder, store.patches, orbits=store.read().float())

    monkeypatch.setattr(gallery, "turning", turning)
    write_gallery(copy, progress=False)
    return copy / "gallery"


def test_telling_features_have_a_frame_and_a_code_at_every_angle(with_frames):
    for i in range(5):
        turn = json.loads((with_frames / "features" / f"{i}.json").read_text("utf-8"))["turn"]
        assert turn["frames"]["codes"] == turn["measured"] and turn["frames"]["n"] == 4
        with Image.open(with_frames / "frames" / f"{i}.webp") as sheet:
            assert sheet.height * turn["frames"]["columns"] == sheet.width * turn["frames"]["rows"]


def test_without_the_network_there_is_a_gallery_without_frames(copy, monkeypatch, capsys):
    def turning(store, coder):
        raise UserError("the weights are not here")

    monkeypatch.setattr(gallery, "turning", turning)
    write_gallery(copy, progress=False)
    assert "no frames of the network's own images: the weights" in capsys.readouterr().out
    assert not any((copy / "gallery" / "frames").iterdir())


@pytest.fixture
def with_claim(copy):
    """A run with a finding, two dictionaries, and a feature whose name is unsure."""
    (copy / "results").mkdir()
    claim = {"id": "GC3", "short": "Curves and lines differ", "claim": "they differ"}
    claim |= {"verdict": "not reproduced", "why": "too few lines", "value": {}, "interval": None}
    claim |= {"words": "", "source": "ours", "evidence": "", "figure": ""}
    write_json(copy / "results" / "04_symmetry.json", [claim | {"notebook": "04_symmetry"}])
    rows = [
        ("identity", "line", 0.95, 360),
        ("identity", "line", 0.2, 180),
        ("identity", "curve", np.nan, 360),
        ("orbit", "curve", 0.1, 180),
    ]
    table = pd.DataFrame(rows, columns=["encoder", "label", "rho_180", "period_degrees"])
    table.assign(fold=0).to_csv(copy / "half_turn.csv", index=False)
    report = pd.read_csv(copy / "features.csv")
    report.loc[0, "confidence"] = 0.3
    report.to_csv(copy / "features.csv", index=False)
    write_gallery(copy, progress=False)
    return copy


# --- in a browser ---------------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("width", [1400, 390])
def test_a_feature_is_found_and_rotated(run_dir, opened, width):
    page = opened(run_dir / "gallery" / "index.html", width)
    listed = page.locator("#grid > li")
    assert listed.count() == 5 and page.locator(".one").count() == 0
    page.fill("#search", "texture")
    assert listed.count() == 1
    listed.first.locator("a").click()
    assert page.locator(".one h2").inner_text() == "Feature 2 · texture · G"
    page.fill("#search", "")
    page.select_option("#label", "curve")
    assert listed.count() == 2 and "2 of 5" in page.locator("#count").inner_text()
    page.select_option("#label", "")
    page.fill("#reproducibility", "0.75")
    assert listed.count() == 2
    page.select_option("#sort", "number")
    page.fill("#reproducibility", "0")
    assert listed.locator("strong").all_inner_texts() == list("01234")


@pytest.mark.browser
@pytest.mark.parametrize("width", [1400, 390])
def test_the_slider_rotates_the_patch_by_key(run_dir, opened, width):
    page = opened(run_dir / "gallery" / "index.html", width, "#f0")
    slider, patch = page.get_by_label("angle of rotation in degrees"), page.locator(".pose .patch")
    before, said = patch.get_attribute("style"), page.locator(".pose [role=status]")
    assert said.inner_text().startswith("0°: code")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert patch.get_attribute("style") != before and "rotate(-3deg)" in patch.get_attribute(
        "style"
    )
    assert said.inner_text().startswith("3°: code") and "measured at 0°" in said.inner_text()
    page.get_by_label("mirror first").check()
    assert "scaleX(-1)" in patch.get_attribute("style")
    assert said.inner_text().startswith("mirrored, 3°")
    page.get_by_role("button", name="play").click()
    page.wait_for_function("document.querySelector('.pose input').value > 10")


@pytest.mark.browser
def test_the_slider_shows_the_networks_own_images(with_frames, opened):
    page = opened(with_frames / "index.html", 390, "#f0")
    patch, said = page.locator(".pose .patch"), page.locator(".pose [role=status]")
    page.wait_for_function("document.querySelector('.pose .patch').style.backgroundImage")
    assert "frames/0.webp" in patch.get_attribute("style")
    page.get_by_label("angle of rotation in degrees").focus()
    places = {patch.evaluate("p => p.style.backgroundPosition")}
    page.keyboard.press("ArrowRight")
    assert said.inner_text().startswith("90°: code")
    places.add(patch.evaluate("p => p.style.backgroundPosition"))
    page.get_by_label("mirror first").check()
    places.add(patch.evaluate("p => p.style.backgroundPosition"))
    assert len(places) == 3
    assert "very images that the network was given, 8 of them" in page.locator(".pose").inner_text()


@pytest.mark.browser
def test_an_anchor_opens_its_feature_and_two_stand_side_by_side(run_dir, opened):
    page = opened(run_dir / "gallery" / "index.html", 1400, "#f1")
    assert page.locator(".one h2").inner_text().startswith("Feature 1 ·")
    page.goto((run_dir / "gallery" / "index.html").as_uri() + "#f3,f2")
    both = page.locator(".one")
    page.wait_for_function("document.querySelectorAll('.one').length == 2")
    assert [h.split()[1] for h in page.locator(".one h2").all_inner_texts()] == ["3", "2"]
    left, right = (both.nth(k).bounding_box() for k in (0, 1))
    assert left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    page.goto((run_dir / "gallery" / "index.html").as_uri() + "#f5")
    page.wait_for_function("document.body.innerText.includes('Feature 5 is not here')")


@pytest.mark.browser
def test_the_page_says_how_sure_one_can_be(run_dir, opened):
    page = opened(run_dir / "gallery" / "index.html", 1400, "#f2")
    text = page.locator(".one").inner_text()
    assert "yes: ρ 1.02 [0.92, 1.12]" in text
    page = opened(run_dir / "gallery" / "index.html", 1400, "#f0")
    text = page.locator(".one").inner_text()
    assert "no: ρ 0.10 [0.00, 0.20]" in text
    assert "Of 2 features of that kind, 0 have a ρ(180°) of 0.9 or more, 2 have less" in text
    assert "reproducibility" in text.lower() and "confidence" in text.lower()
    assert "Measured at 180°" in text and "The blocks predict" in text


@pytest.mark.browser
def test_search_takes_several_words(run_dir, opened):
    page = opened(run_dir / "gallery" / "index.html", 1400)
    listed = page.locator("#grid > li strong")
    for text, found in (
        ("curve c1", ["0", "1"]),
        ("curve family 0", ["0", "1"]),
        ("family 1", ["3", "4"]),
        ("feature 3", ["3"]),
        ("3", ["3"]),
        ("#3, 2", ["2", "3"]),
        ("curves", ["0", "1"]),
        ("invariant", ["2"]),
        ("g", ["2"]),
        ("curve family 1", []),
        ("no family", ["2"]),
    ):
        page.fill("#search", text)
        assert sorted(listed.all_text_contents()) == found, text
    page.fill("#search", "zebra")
    assert "No feature fits" in page.locator("#more").inner_text()
    page.get_by_role("button", name="take all filters away").click()
    page.wait_for_function("document.querySelectorAll('#grid > li').length == 5")


@pytest.mark.browser
@pytest.mark.parametrize("leave", ["close", "Escape"])
def test_leaving_a_feature_returns_to_its_card(run_dir, opened, leave):
    page = opened(run_dir / "gallery" / "index.html", 390, "#f3")
    if leave == "Escape":
        page.keyboard.press("Escape")
    else:
        page.get_by_role("link", name="close").click()
    page.wait_for_function("document.querySelectorAll('.one').length == 0")
    focused = page.evaluate("document.activeElement.getAttribute('href')")
    assert focused == "#f3" and page.locator("#grid a[href='#f3']").is_visible()


@pytest.mark.browser
def test_leaving_a_feature_returns_to_the_link_that_opened_it(run_dir, opened):
    page = opened(run_dir / "gallery" / "index.html", 1400)
    link = page.locator(".kind a[href='#f1']").first
    link.click()
    page.wait_for_function("document.querySelectorAll('.one').length == 1")
    page.keyboard.press("Escape")
    page.wait_for_function("document.querySelectorAll('.one').length == 0")
    assert link.evaluate("a => a === document.activeElement")


@pytest.mark.browser
def test_two_features_stay_two_until_one_is_closed(run_dir, opened):
    page = opened(run_dir / "gallery" / "index.html", 1400, "#f0,2,f3")  # two of them, leniently
    numbers = ".one h2"
    assert [h.split()[1] for h in page.locator(numbers).all_inner_texts()] == ["0", "2"]
    assert "Two features at most" in page.locator("#shown").inner_text()
    page.locator(".one").first.get_by_role("link", name="next").click()
    page.wait_for_function("location.hash.endsWith(',f2')")
    assert page.locator(".one").count() == 2
    page.locator(".one").nth(1).get_by_role("link", name="close").click()
    page.wait_for_function("document.querySelectorAll('.one').length == 1")


@pytest.mark.browser
@pytest.mark.parametrize("width", [1400, 390])
def test_one_slider_rotates_two_features_that_are_seen_together(run_dir, opened, width):
    page = opened(run_dir / "gallery" / "index.html", width, "#f2,f0")
    patches = page.locator(".together .patch")
    left, right = (patches.nth(k).bounding_box() for k in (0, 1))
    assert left["y"] == right["y"] and right["x"] + right["width"] <= width
    slider = page.get_by_label("angle of rotation of both in degrees")
    page.get_by_role("button", name="180°").click()
    assert slider.get_attribute("aria-valuetext") == "180°"
    assert all("rotate(-180deg)" in patches.nth(k).get_attribute("style") for k in (0, 1))
    own = page.get_by_label("angle of rotation in degrees", exact=True)
    assert [own.nth(k).input_value() for k in (0, 1)] == ["180", "180"]
    text = page.locator(".together").inner_text()
    assert "100 % of that at 0°" in text, "the invariant feature"
    page.get_by_label("mirror first").first.check()
    assert all("scaleX(-1)" in patches.nth(k).get_attribute("style") for k in (0, 1))


@pytest.mark.browser
def test_the_page_shows_the_run_behind_it(with_claim, opened):
    page = opened(with_claim / "gallery" / "index.html", 1400)
    top = page.locator("header").first.inner_text()
    assert "GC3, Curves and lines differ: not reproduced. Too few lines" in top
    assert page.locator("header a[href='../report.html']").count() == 1
    kinds = page.locator("#kinds").inner_text()
    assert "all 2 dictionaries of the run" in kinds
    cells = page.locator("table.counts tbody tr").all_inner_texts()
    assert [" ".join(row.split()) for row in cells] == [
        "identity 0 1 of 2 1 of 1",
        "orbit 0 none there 1 of 1",
    ]
    assert page.locator("svg.strip a").count() == 2, "a dot for each curve whose ρ is known"
    # A name that most relatives contradict has a question mark.
    assert page.locator("#grid a[href='#f0']").text_content().split("family")[0].endswith("?")
    assert "?" not in page.locator("#grid a[href='#f2']").text_content()


def test_the_table_of_a_gallery_is_that_of_its_features(run_dir):
    table = pd.read_csv(run_dir / "gallery" / "features.csv")
    assert table.feature.tolist() == [0, 1, 2, 3, 4]
    assert table.reproducibility.tolist() == pytest.approx(np.linspace(0.5, 1, 6)[:5])


def test_what_the_first_notebook_ran_with_is_said_when_a_part_is_made_again(copy):
    asked = {"model": "inceptionv1", "weights": "demo", "images": "photos", "seed": 0}
    records = {
        "01_extract": {"inputs": {"parameters": asked}},
        "04_symmetry": {"inputs": {"parameters": {"seed": 3, "rate": 0.1}}},
    }
    manifest = {"preset": "demo", "parameters": {"rate": 0.1, "seed": 3}, "notebooks": records}
    assert parameters_of(manifest) == asked | {"rate": 0.1}
    write_json(copy / "run.json", manifest)
    write_gallery(copy, progress=False)
    page = (copy / "gallery" / "index.html").read_text("utf-8")
    assert "inceptionv1, weights demo; images photos" in page and "was taught curves" in page


def test_a_network_that_was_taught_lines_is_said_to_have_been(copy):
    def page(parameters):
        write_json(copy / "run.json", {"preset": "demo", "parameters": parameters})
        write_gallery(copy, progress=False)
        return (copy / "gallery" / "index.html").read_text("utf-8")

    known = {"model": "inceptionv1", "weights": "demo"}
    assert "was taught curves, lines and edges" in page(known)
    for parameters in (known | {"weights": "bvlc_googlenet"}, known | {"weights_file": "mine"}, {}):
        assert "was taught" not in page(parameters)


def test_a_gallery_is_replaced(run_dir, tmp_path):
    write_gallery(run_dir, tmp_path / "there", progress=False)
    (tmp_path / "there" / "strips" / "99.webp").write_bytes(b"old")
    write_gallery(run_dir, tmp_path / "there", features=3, progress=False)
    left = sorted(p.stem for p in (tmp_path / "there" / "strips").iterdir())
    assert len(left) == 3 and set(left) < set("01234")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("keep")
    with pytest.raises(UserError, match="holds other things than a gallery"):
        write_gallery(run_dir, tmp_path / "mine", progress=False)
    with pytest.raises(UserError, match="features 0: expected 1 or more"):
        write_gallery(run_dir, tmp_path / "there", features=0, progress=False)


def test_what_is_missing_is_named(run_dir, tmp_path, capsys):
    write_json(tmp_path / "run.json", {"preset": "demo", "parameters": {}})
    with pytest.raises(UserError, match="no activations.zarr: run the notebook 01_extract first"):
        write_gallery(tmp_path)
    assert main(["gallery", str(tmp_path)]) == 2
    assert "no activations.zarr" in capsys.readouterr().err
    assert main(["gallery", str(run_dir), "--output", str(tmp_path / "out")]) == 0
    assert "out/index.html" in capsys.readouterr().out
