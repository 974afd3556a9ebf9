"""The report: one page that tells the story of a run and needs nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gc_utils.evidence import Findings
from gc_utils.figures import save_figure
from gc_utils.pipeline.manifest import Manifest
from gc_utils.pipeline.notebooks import find_notebooks

PARAMETERS = 'run_dir = "out"  # the run folder\nseed = 0  # of everything random\n'


@pytest.fixture
def report(tmp_path, make_notebook, record, figure) -> Path:
    """The report of a run that was made by hand."""
    from gc_utils.reporting import write_report

    lead = "with $$x_n < y$$\n\n- as a list\n\nand <b>an end</b>."
    heading = f"What is *there*, in `mixed3b`?\n\nAll of it,\n{lead}"
    make_notebook("01_first", PARAMETERS, "", heading=heading)
    make_notebook("02_second", PARAMETERS, 'figure("02_zebra"); figure("02_ant")')
    run_dir = tmp_path / "out"
    manifest = Manifest(run_dir)
    manifest.begin("demo", {"group": "D16", "images": "photos+scenes:64", "seed": 0})
    for name, status in {"01_first": "done", "02_second": "failed"}.items():
        manifest.start(name, {"parameters": {}, "upstream": {}})
        manifest.stop(name, status)
    manifest.records["02_second"]["error"] = "cell 3 of 9:\n  > x = <b>\nValueError: no"
    manifest._write()
    for name in ("01_orbit", "02_ant", "02_zebra"):
        save_figure(figure(), run_dir, name, f"The caption of {name}, with a < b.")
    record(Findings(run_dir, "01_first"))
    record(Findings(run_dir, "01_first"), "GC2", verdict="only on the embedded default")
    record(Findings(run_dir, "02_second"), "GC3", verdict="not reproduced")
    return write_report(run_dir, find_notebooks(tmp_path / "notebooks"))


def test_the_name_of_a_folder_is_no_markup(report, tmp_path):
    from gc_utils.reporting import write_report

    run_dir, name = report.parent, "folder:/a/<img src=x onerror=alert(1)>&$x^2$"
    manifest = Manifest(run_dir)
    manifest.begin("demo", {"group": "D16", "images": name, "seed": 0})
    page = write_report(run_dir, find_notebooks(tmp_path / "notebooks")).read_text("utf-8")
    assert "<img src=x" not in page and "&lt;img src=x onerror=alert(1)&gt;&amp;$x^2$" in page


def test_the_report_tells_the_story_and_needs_nothing_else(report):
    page = report.read_text(encoding="utf-8")
    assert "What is <em>there</em>, in <code>mixed3b</code>?" in page
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    outside = [s for s in sources if not s.startswith(("data:", "#"))]
    assert outside == ["run.json"], "no executed notebook is there to link to"
    assert page.index("The caption of 02_zebra") < page.index("The caption of 02_ant"), "as told"
    assert "with a &lt; b" in page
    assert "x = &lt;b&gt;" in page
    assert page.count('class="card v') == page.count('class="finding v') == 3
    assert page.index('class="card') < page.index("<main>"), "verdicts first"
    links = re.findall(r'class="card v\d"><p><a href="#([^"]+)"', page)
    assert links == ["gc1", "gc2", "gc3"] and all(f'id="{link}"' in page for link in links)
    assert page.count('class="zoom"') == 3
    lead = page[page.index("All of it,") : page.index("A first paragraph.")]
    assert "<msub><mi>x</mi><mi>n</mi></msub>" in lead
    assert "<li>as a list</li>" in lead
    assert "&lt;b&gt;an end&lt;/b&gt;" in lead
    assert "images photos+scenes:64" in page
    assert page.count("python -m gc_utils run --preset real") == 1, "where to see a real network"


def test_a_damaged_file_of_findings_is_named_in_the_report(report):
    from gc_utils.reporting import write_report

    damaged = report.parent / "results" / "01_first.json"
    damaged.write_text(damaged.read_text("utf-8")[:-5], "utf-8")
    write_report(report.parent, find_notebooks(report.parents[1] / "notebooks"))
    page = report.read_text(encoding="utf-8")
    assert page.count('class="card v') == 1, "the findings of the other notebook"
    assert f"{damaged.resolve()} is no list of findings" in page
    assert "Run the notebook 01_first again." in page


def test_a_section_whose_inputs_no_longer_agree_is_marked(report):
    from gc_utils.reporting import write_report

    path = report.parent / "run.json"
    content = json.loads(path.read_text("utf-8"))
    content["notebooks"]["01_first"]["stale"] = "it ran with seed 1, 00_base with 0"
    path.write_text(json.dumps(content), "utf-8")
    before = report.read_text("utf-8")
    assert '"stale"' not in before
    write_report(report.parent, find_notebooks(report.parents[1] / "notebooks"))
    page = report.read_text("utf-8")
    section = page[page.index('<section id="01_first">') : page.index('<section id="02_second">')]
    assert "<strong>Stale</strong> (it ran with seed 1, 00_base with 0)." in section
    assert "does not belong to the rest of this report" in section
    mark = '<span class="stale">stale</span>'
    assert page.count(mark) == 4, "its two cards, its place in the contents and its row of times"


def test_the_report_leads_to_the_gallery_if_there_is_one(report):
    from gc_utils.reporting import write_report

    assert "gallery/index.html" not in report.read_text("utf-8")
    (report.parent / "gallery").mkdir()
    (report.parent / "gallery" / "index.html").write_text("a gallery of something else")
    write_report(report.parent, find_notebooks(report.parents[1] / "notebooks"))
    page = report.read_text("utf-8")
    assert '<a href="gallery/index.html">' in page
    assert "It was made before" in page, "its run is not known"


@pytest.mark.browser
@pytest.mark.parametrize("width", [1400, 390])
def test_a_figure_is_enlarged_by_a_click_and_closes_with_escape(report, opened, width):
    page = opened(report, width)
    assert page.locator(".card").count() == 3
    assert page.locator("math").count() > 0
    dialog = page.locator("dialog")
    assert not dialog.is_visible()
    page.locator("button.zoom").nth(1).click()
    assert dialog.is_visible()
    small = page.locator("button.zoom img").nth(1)
    large = dialog.locator("img")
    assert large.get_attribute("src") == small.get_attribute("src")
    assert large.get_attribute("alt") == small.get_attribute("alt") != ""
    assert large.bounding_box()["width"] >= small.bounding_box()["width"]
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    page.locator("button.zoom").first.focus()
    page.keyboard.press("Enter")
    assert dialog.is_visible()
    dialog.click()
    assert not dialog.is_visible()
    page.locator(".card a").first.click()
    assert page.url.endswith("#gc1")
