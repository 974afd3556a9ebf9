"""The explorer as a person meets it: the README's words, JupyterLab, a browser."""

from __future__ import annotations

import io
import os
import re
import shutil
import statistics
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.first]

PATIENCE = 240_000  # milliseconds; a kernel imports torch and runs a network
WIDTHS = (1366, 1200, 1000)
# JupyterLab's own, seen without any notebook.
NOT_OURS = re.compile(r"favicon|Failed to load resource|source ?map|LSP|\[vite\]|Permissions", re.I)


def run_all(chromium, address: str, notebook: str, width: int = WIDTHS[0]):
    """Open a notebook from the list of files, run all of it, wait for the sliders."""
    page = chromium.new_page(viewport={"width": width, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.said = []
    page.on("console", lambda m: page.said.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.goto(address)
    page.locator(".jp-DirListing-item", has_text=f"{notebook}.ipynb").dblclick()
    page.get_by_text(re.compile(r"\| Idle$")).first.wait_for()  # the kernel is there
    page.locator(".lm-MenuBar-itemLabel", has_text=re.compile("^Run$")).click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile("^Run All Cells$")).click()
    explorer = page.locator(".gc-explorer").first
    explorer.wait_for(state="attached")
    explorer.scroll_into_view_if_needed()
    picture(explorer).wait_for()
    explorer.locator(".gc-picture").first.wait_for()
    return page, explorer


@pytest.fixture(scope="module")
def lab(chromium, repository, start_lab, readme_walk):
    """The README's words, typed in the repository's root."""
    arguments, notebook = readme_walk
    with start_lab(arguments, repository, repository) as address:
        page, explorer = run_all(chromium, address, notebook)
        yield page, explorer
        page.close()


def said(explorer) -> str:
    return explorer.locator("text=/rotated [0-9.]+°: code/").first.inner_text()


def angle_said(explorer) -> float:
    return float(re.search(r"rotated ([\d.]+)°", said(explorer))[1])


def settled(page, explorer, before: str | None = None) -> None:
    """Wait until nothing is computed, and what is said differs from what was said before."""
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        quiet = explorer.locator("text=⏳").count() == 0
        if quiet and (before is None or said(explorer) != before):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"nothing has changed: {said(explorer)}")


def picture(explorer):
    return explorer.locator("img.widget-image, .widget-image img, img.jupyter-widgets").first


def pixels(locator) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("L"), dtype=float)


def keep(page, name: str) -> None:
    """Keep a screenshot where somebody asks for them, to be looked at."""
    if folder := os.environ.get("GC_UTILS_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")


def open_question(page, explorer, title: str) -> None:
    header = explorer.locator("[class*=Collapse-header]", has_text=title).first
    if "Collapse-open" not in header.locator("..").get_attribute("class"):
        header.click()
    header.scroll_into_view_if_needed()


def slider(explorer):
    """The handle of the angle's slider, the first of the page."""
    row = explorer.locator(".widget-slider", has_text="angle").first
    return row.locator(".noUi-handle, .ui-slider-handle").first


def test_the_angle_moves_by_key_and_by_drag(lab):
    page, explorer = lab
    settled(page, explorer)
    first, upright = said(explorer), pixels(picture(explorer))
    slider(explorer).focus()
    page.keyboard.press("ArrowRight")
    settled(page, explorer, first)
    one = said(explorer)
    assert "rotated 7.5°" in one
    assert np.abs(pixels(picture(explorer)) - upright).mean() > 1
    box = slider(explorer).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    for k in range(1, 9):
        page.mouse.move(box["x"] + 10 * k, box["y"] + box["height"] / 2)
    page.mouse.up()
    while angle_said(explorer) <= 15:  # on the way there: a slow kernel says every angle
        before = said(explorer)
        settled(page, explorer, before)
    settled(page, explorer)
    before = said(explorer)
    explorer.get_by_role("button", name="+", exact=True).click()
    settled(page, explorer, before)
    before = said(explorer)
    explorer.get_by_text("mirror first").click()
    settled(page, explorer, before)
    assert said(explorer).startswith("mirrored, then rotated")
    keep(page, "moved")


def test_play_rotates_on_and_on(lab):
    page, explorer = lab
    before = said(explorer)
    play = explorer.locator(".widget-play button, .jupyter-widgets.widget-play button")
    play.first.click()
    settled(page, explorer, before)
    settled(page, explorer, said(explorer))
    play.first.click()  # it pauses
    page.wait_for_timeout(1000)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_panel_can_be_read_at_every_width(lab, width):
    page, explorer = lab
    page.set_viewport_size({"width": width, "height": 900})
    explorer.scroll_into_view_if_needed()
    settled(page, explorer)
    page.wait_for_timeout(500)
    box = picture(explorer).bounding_box()
    assert box["width"] == pytest.approx(220, abs=1) and box["height"] == box["width"]
    curve = explorer.locator("svg[aria-label^='The feature']").bounding_box()
    assert curve["width"] >= 300
    frame = explorer.bounding_box()
    assert curve["x"] + curve["width"] <= frame["x"] + frame["width"] + 1
    keep(page, f"stage_{width}")
    for title in ("Which feature?", "What does it see?", "How sure are we?", "Who is like it?"):
        open_question(page, explorer, title)
        settled(page, explorer)
        page.wait_for_timeout(300)
        keep(page, f"{title.split()[0]}_{title.split()[-1].strip('?')}_{width}")
    explorer.locator("text=Radial tuning").wait_for()
    wide = explorer.evaluate("e => e.scrollWidth - e.clientWidth")
    assert wide <= 2, f"{wide} pixels are cut off at a width of {width}"


def test_filters_and_another_feature(lab):
    page, explorer = lab
    open_question(page, explorer, "Which feature?")
    symmetry = explorer.locator(".widget-dropdown", has_text="symmetry").locator("select")
    option = symmetry.locator("option").nth(1).inner_text()
    symmetry.select_option(index=1)
    count = re.search(r"\((\d+)\)", option)[1]
    explorer.locator(f"text=/^{count} of \\d+ features/").wait_for()
    feature = explorer.locator(".widget-dropdown", has_text="feature").first.locator("select")
    page.wait_for_function(
        "([e, n]) => e.options.length == n", arg=[feature.element_handle(), int(count)]
    )
    explorer.get_by_role("button", name="all features").click()
    page.wait_for_timeout(500)
    before = feature.evaluate("e => e.selectedOptions[0].text")
    explorer.get_by_role("button", name="▶").first.click()
    page.wait_for_function(
        "([e, was]) => e.selectedOptions[0].text != was", arg=[feature.element_handle(), before]
    )
    explorer.locator("text=/^rotated 0°/").first.wait_for()  # upright, and not mirrored
    settled(page, explorer)
    assert "rotated 0°" in said(explorer) and "mirrored" not in said(explorer)


def test_a_patch_of_a_quantile_is_taken(lab):
    page, explorer = lab
    open_question(page, explorer, "What does it see?")
    settled(page, explorer)
    faint = explorer.locator("button.gc-picture:visible").last
    value, before = float(faint.inner_text().split("\n")[-1]), said(explorer)
    faint.click()
    settled(page, explorer, before)
    # The code is that of the patch's pixels, kept in 8 bits; the store's is of the photograph's.
    code = float(re.search(r"rotated 0°: code ([\d.]+)", said(explorer))[1])
    assert code == pytest.approx(value, abs=0.015)
    # What is said and the frame come in messages of their own, one after the other.
    page.wait_for_function(
        "e => e.classList.contains('gc-on')", arg=faint.element_handle(), timeout=PATIENCE
    )


def test_an_image_of_ones_own(lab, tmp_path):
    page, explorer = lab
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    open_question(page, explorer, "My own image")
    bad = tmp_path / "notes.png"
    bad.write_text("no image")

    def upload(path: Path) -> None:
        with page.expect_file_chooser() as chooser:
            explorer.get_by_role("button", name="choose a photograph").click()
        chooser.value.set_files(path)

    upload(bad)
    explorer.get_by_text("'notes.png' cannot be read").wait_for()
    from skimage import data

    good = tmp_path / "mine.png"
    Image.fromarray(data.coffee()).save(good)
    upload(good)
    explorer.locator("text=/[0-9]+ features fire|No feature fires/").wait_for()
    settled(page, explorer)
    explorer.locator("text=/your own patch, rotated 0°/").wait_for()
    before = said(explorer)
    explorer.locator(".gc-cell").nth(12 * 5 + 8).click()
    settled(page, explorer, before)
    keep(page, "own_image")
    slider(explorer).focus()
    before = said(explorer)
    page.keyboard.press("ArrowRight")
    settled(page, explorer, before)
    assert said(explorer).startswith("your own patch, rotated 7.5°")


def test_a_view_and_a_turn_are_saved(lab, repository):
    page, explorer = lab
    for name in ("save view (PNG)", "save turn (GIF)"):
        explorer.get_by_role("button", name=name).click()
        kind = name[-4:-1].lower()
        link = explorer.locator(f"a[download$='.{kind}']")
        link.wait_for()
        with page.expect_download() as download:
            link.click()
        saved = repository / "runs" / "demo" / "explorer" / link.get_attribute("download")
        assert Path(download.value.path()).read_bytes() == saved.read_bytes()


def test_pictures_have_texts(lab):
    _, explorer = lab
    assert explorer.locator("svg:not([role=img][aria-label])").count() == 0
    assert explorer.locator(".widget-html-content img:not([alt])").count() == 0
    # Those of the play are the core widget's own.
    unnamed = explorer.locator("button:visible:not(.widget-play *)").evaluate_all(
        "all => all.filter(b => !(b.title || b.innerText.trim() || b.ariaLabel))"
        ".map(b => b.outerHTML)"
    )
    assert unnamed == []


def test_the_console_has_no_errors(lab):
    page, _ = lab
    assert [text for text in page.said if not NOT_OURS.search(text)] == []


def test_how_long_a_picture_takes(lab, capsys):
    """Reported, not judged: it depends on the machine and on what else runs there."""
    page, explorer = lab
    settled(page, explorer)
    watch = """e => { window.changes = []; const note = () => requestAnimationFrame(
        () => window.changes.push(performance.now()));
        new MutationObserver(note).observe(e, {attributes: true, attributeFilter: ['src']}); }"""
    picture(explorer).evaluate(watch)
    slider(explorer).focus()
    by_key = []
    for k in range(20):
        page.evaluate("window.changes = []")
        start = page.evaluate("performance.now()")
        page.keyboard.press("ArrowRight" if k < 10 else "ArrowLeft")
        page.wait_for_function("window.changes.length > 0")
        by_key.append(page.evaluate("window.changes[0]") - start)
        page.wait_for_timeout(100)
    box = slider(explorer).bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.evaluate("window.changes = []")
    page.mouse.down()
    for k in range(60):
        page.mouse.move(box["x"] + box["width"] / 2 + 3 * k, y)
        page.wait_for_timeout(16)
    last = page.evaluate("performance.now()")
    page.mouse.up()
    page.wait_for_timeout(2000)
    drawn = page.evaluate("window.changes")
    gaps = np.diff(drawn)
    with capsys.disabled():
        print(
            f"\nkey to picture: median {statistics.median(by_key):.0f} ms, 95th percentile "
            f"{np.percentile(by_key, 95):.0f} ms; dragging: {len(drawn)} pictures, median gap "
            f"{np.median(gaps):.0f} ms, the last one {drawn[-1] - last:.0f} ms after the drag"
        )
    assert len(by_key) == 20 and len(drawn) > 2


@pytest.mark.parametrize("place", ["another folder", "the root as the kernel's folder"])
def test_the_way_to_the_sliders_from_elsewhere(
    chromium, repository, start_lab, readme_walk, tmp_path, place
):
    arguments, notebook = readme_walk
    cwd = tmp_path
    if place == "another folder":
        arguments = [a if a == "lab" else str(repository / a) for a in arguments]
    else:  # a kernel starts in the folder of its notebook
        cwd, arguments = repository, ["lab"]
        shutil.copy(repository / "notebooks" / f"{notebook}.ipynb", repository)
    with start_lab(arguments, cwd, repository) as address:
        page, explorer = run_all(chromium, address, notebook, width=1100)
        assert picture(explorer).bounding_box()["width"] == pytest.approx(220, abs=1)
        assert [text for text in page.said if not NOT_OURS.search(text)] == []
        page.close()
