"""The runner: what it runs, what it skips, what it says when something is wrong."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from gc_utils.__main__ import main
from gc_utils.errors import UserError
from gc_utils.evidence import Findings, load_findings
from gc_utils.figures import caption, save_figure
from gc_utils.pipeline.manifest import Manifest, checksum, folder_checksum
from gc_utils.pipeline.notebooks import NEEDS, PRESETS, USES, Parameter, find_notebooks
from gc_utils.pipeline.parameters import check_values, convert, parameter_values
from gc_utils.pipeline.runner import NotebookFailed, _alone, run
from gc_utils.reporting.readme import markdown_table, papers_table, update_readme
from gc_utils.reporting.report import html_table

matplotlib.use("Agg")
slow = pytest.mark.slow

PARAMETERS = 'run_dir = "out"  # the run folder\nseed = 0  # of everything random\n'
MAKE = """\
import json, pathlib, sys
results = pathlib.Path(run_dir, "results")
results.mkdir(exist_ok=True)
"""
FIRST = MAKE + 'pathlib.Path(run_dir, "features.csv").write_text(f"{seed} {k}")'
SECOND = (
    MAKE
    + """\
text = pathlib.Path(run_dir, "features.csv").read_text()
pathlib.Path(run_dir, "made.csv").write_text(text + sys.executable)
"""
)


@pytest.fixture
def story(make_notebook, tmp_path, monkeypatch):
    """Two notebooks, the second reading what the first makes; `go(...)` runs them."""
    make_notebook("01_first", PARAMETERS + "k = 3  # how many", FIRST, heading="What is there?")
    make_notebook("02_second", PARAMETERS, SECOND)
    monkeypatch.setitem(PRESETS, "demo", {"seed": 0, "k": 3})
    monkeypatch.chdir(tmp_path)

    def go(**options) -> str:
        stream = io.StringIO()
        run(output="out", notebooks="notebooks", stream=stream, **options)
        return stream.getvalue()

    return go


# --- what a person may ask for -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        (3, "5", 5),
        (0.5, "1", 1.0),
        (0.5, "1e-3", 0.001),
        ("D4", "D8", "D8"),
        ("", "12", "12"),
        (True, "no", False),
        (False, "True", True),
        ([1, 2], "3,4", [3, 4]),
        ([1.0], "[1, 2.5]", [1.0, 2.5]),
        ((1, 2), "3", (3,)),
        (None, "7", 7),
        (None, "text", "text"),
    ],
)
def test_a_text_is_read_as_the_type_of_the_default(default, text, value):
    result = convert("p", text, default)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("default", "given", "expected"),
    [
        (3, "1.5", "a whole number"),
        (3, "many", "a whole number"),
        (3, True, "a whole number"),
        (0.5, "half", "a number"),
        (True, "2", "true or false"),
        ([1], "a,b", "a list"),
        ("D4", 4, "a text"),
    ],
)
def test_a_value_of_another_type_is_refused(default, given, expected):
    with pytest.raises(UserError, match=f"'steps' takes {expected}.*default.*{given}"):
        convert("steps", given, default)


def test_each_notebook_is_told_what_it_declares(story):
    found = find_notebooks("notebooks")
    told = parameter_values(found, "demo", {"k": "9"})
    assert told == {"01_first": {"seed": 0, "k": 9}, "02_second": {"seed": 0}}


def test_what_is_read_from_a_notebook(story):
    first = find_notebooks("notebooks")[0]
    assert (first.number, first.title, first.lead) == ("01", "What is there?", "A first paragraph.")
    assert first.parameters["k"] == Parameter(3, "how many")


def test_paths_are_those_of_the_folder_where_the_command_was_typed(make_notebook, tmp_path):
    make_notebook("01_a", 'images = "photos"  # which\nweights_file = ""  # a copy')
    os.chdir(tmp_path)
    found = find_notebooks("notebooks")
    given = {"images": "folder:my+pictures+scenes:4", "weights_file": "w.pth"}
    told = parameter_values(found, "demo", given)["01_a"]
    assert told["images"] == f"folder:{tmp_path}/my+pictures+scenes:4"
    assert told["weights_file"] == f"{tmp_path}/w.pth"


MISTAKES = {
    "--preset dmo": "unknown preset 'dmo'; did you mean 'demo'?",
    "-p sed 1": "unknown parameter 'sed'; did you mean 'seed'?",
    "-p seed one": "parameter 'seed' takes a whole number (default 0), not 'one'",
    "-p run_dir x": "set with --output",
    "--only 07": "unknown notebook '07'",
    "--only 02_secnd": "did you mean '02_second'?",
    "--only 02 -p k 4": "parameter 'k' is for 01_first, which would not run",
    "--only 02": "02_second needs what 01_first makes, and out does not have it; use --only 01 02",
    "--output notebooks": "holds other things than a run",
    "--output notebooks/01_first.ipynb": "is a file",
    "--notebooks nowhere": "no notebooks in 'nowhere'",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_said_in_one_line_before_anything_runs(words, story, capsys, tmp_path):
    arguments = ["run", "--notebooks", "notebooks", "--output", "out", *words.split()]
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert MISTAKES[words] in told.err
    assert told.out == ""
    assert not (tmp_path / "out").exists()


EXPLAINED = {"model": "inceptionv1", "weights": "random"}
OWN_PICTURES = EXPLAINED | {"concept_pictures": "photos", "class_pictures": "scenes:2"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"group": "E8"}, "E8"),
        ({"images": "photo"}, "did you mean 'photos'"),
        ({"images": "folder:nowhere"}, "does not exist"),
        (
            {"model": "inceptionv1", "weights": "random", "layer": "mixd3b"},
            "did you mean 'mixed3b'",
        ),
        ({"model": "inceptionv2"}, "did you mean 'inceptionv1'"),
        ({"model": "inceptionv1", "weights": "dmo"}, "did you mean 'demo'"),
        ({"weights": "inception5h", "weights_file": "/nowhere.pth", "layer": "mixed3b"}, "nowhere"),
        ({"task": "mnist"}, "unknown task 'mnist': expected digits"),
        ({"widths": "16 x"}, "widths '16 x': expected whole numbers"),
        ({"size": "big"}, "unknown size 'big'. Choices: small, full"),
        ({"entries": 600}, "'entries' is 600: expected a power of two"),
        ({"entries": 256}, "'entries' is 256: expected 512 or more"),
        ({"net_pairs": 0}, "'net_pairs' is 0: expected 1 or more"),
        ({"examples": 1}, "'examples' is 1: expected 5 or more"),
        (EXPLAINED | {"explained_layer": "mixed5b"}, "fewer than 3x3 units"),
        (EXPLAINED | {"explained_layer": "mixed3a mixed3b"}, "mixed3a mixed3b"),
        (EXPLAINED | {"class_pictures": "photos"}, "'class_pictures' is given alone"),
        (OWN_PICTURES | {"weights": "demo"}, "needs the logits"),
        (OWN_PICTURES | {"class_number": 5000}, "'class_number' is 5000: expected 0 to 1007"),
        (OWN_PICTURES | {"explained_layer": "mixed3a_3x3"}, "and no branch"),
        (OWN_PICTURES | {"concept_pictures": "folder:nowhere"}, "does not exist"),
    ],
)
def test_names_are_looked_up_before_anything_runs(values, said):
    with pytest.raises(UserError, match=re.escape(said)):
        check_values(values)


def test_images_smaller_than_a_receptive_field_are_found_before_anything_runs(tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 300)).save(tmp_path / "small.png")
    with pytest.raises(UserError, match="40x300"):
        check_values({"images": f"folder:{tmp_path}", "weights": "random", "layer": "mixed3b"})


def test_paper_asks_for_its_images(make_notebook, tmp_path, monkeypatch):
    make_notebook("01_a", 'images = "photos"  # which')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="'paper' leaves images to you"):
        run("paper", notebooks="notebooks")


def test_list_shows_presets_questions_and_parameters(story, capsys):
    assert main(["list", "--notebooks", "notebooks"]) == 0
    told = capsys.readouterr().out
    assert "demo (default)" in told
    assert "01_first: What is there?" in told
    assert re.search(r"k = 3 +how many", told)
    assert "run_dir" not in told


def test_weights_are_shown_with_their_checksums(capsys):
    assert main(["weights"]) == 0
    told = capsys.readouterr().out
    assert "inception5h" in told
    assert "119f77db85c8352960933e025312b507d9a96ed7" in told


def test_help_teaches_by_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", "--help"])
    assert stop.value.code == 0
    assert "python -m gc_utils run --only 03 04" in capsys.readouterr().out


# --- running -------------------------------------------------------------------------------------


@slow
def test_a_run_leaves_everything_in_order(story, tmp_path, monkeypatch):
    # Somebody registered another interpreter as `python3`; it must not be used.
    other = tmp_path / "jupyter" / "kernels" / "python3" / "kernel.json"
    other.parent.mkdir(parents=True)
    other.write_text('{"argv": ["false"], "display_name": "another", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    told = story()
    lines = told.splitlines()
    assert lines[0] == "Run folder: out"
    assert re.fullmatch(r"\[1/2\] 01_first \.{4}  \d:\d\d, \d+ MB", lines[1]), "a dot for each cell"
    assert lines[-1] == "Report: out/report.html"
    content = json.loads((tmp_path / "out" / "run.json").read_text())
    assert content["preset"] == "demo"
    assert content["parameters"] == {"seed": 0, "k": 3}
    assert content["versions"]["torch"]
    first = content["notebooks"]["01_first"]
    assert first["status"] == "done"
    assert first["peak_memory_mb"] > 10
    made = tmp_path / "out" / "features.csv"
    assert first["outputs"]["features.csv"]["sha256"] == checksum(made)
    assert (tmp_path / "out" / "made.csv").read_text() == "0 3" + sys.executable
    assert (tmp_path / "out" / "02_second.ipynb").exists()


@slow
def test_only_what_changed_runs_again(story, tmp_path, make_notebook):
    out = tmp_path / "out"
    assert "up to date" not in story()
    assert story().count("up to date") == 2
    # another parameter: it and what reads from it, and the reason is told
    assert "(changed: k 3 → 4)" in (told := story(parameters={"k": 4}))
    assert "(01_first made something else)" in told
    assert (out / "made.csv").read_text().startswith("0 4")
    # a product that was tampered with is made again
    (out / "made.csv").unlink()
    told = story(parameters={"k": 4})
    assert re.search(r"01_first  up to date", told)
    assert re.search(r"02_second \(made.csv is gone\)", told)
    # an edited notebook; its outcome is the same, so the next one need not run
    make_notebook("01_first", PARAMETERS + "k = 3  # how many", FIRST, "a_new_cell = 1")
    told = story(parameters={"k": 4})
    assert "01_first (the notebook changed)" in told
    assert re.search(r"02_second  up to date", told)
    assert "up to date" not in story(parameters={"k": 4}, force=True)
    assert "02_second" not in story(parameters={"k": 4}, only=["1"])


@slow
def test_a_failing_notebook_is_named_and_later_ones_are_not_run(
    story, make_notebook, capsys, tmp_path
):
    bad = 'a = 1\nraise ValueError("no light")\nb = 2'
    make_notebook("01_first", PARAMETERS + "k = 3  # how many", bad)
    assert main(["run", "--notebooks", "notebooks", "--output", "out"]) == 1
    told = capsys.readouterr().err
    assert "01_first stopped in cell 4 of 4:" in told
    assert '> raise ValueError("no light")' in told
    assert "ValueError: no light" in told
    assert "Not run: 02_second" in told
    assert "Traceback" not in told
    content = json.loads((tmp_path / "out" / "run.json").read_text())["notebooks"]
    assert list(content) == ["01_first"]
    assert content["01_first"]["status"] == "failed"
    assert "no light" in (tmp_path / "out" / "report.html").read_text()


@slow
def test_a_kernel_that_dies_is_a_failing_notebook(story, make_notebook):
    make_notebook("01_first", PARAMETERS + "k = 3  # how many", "import os", "os._exit(9)")
    with pytest.raises(NotebookFailed, match="cell 5 of 5: the kernel died"):
        story()


@slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_from_there(story, make_notebook, tmp_path, how):
    wait = (
        MAKE + 'done = pathlib.Path(run_dir, "made.csv")\n'
        'if not done.exists():\n    done.write_text("part")\n    import time; time.sleep(600)\n'
        'done.write_text(done.read_text() + " and rest")'
    )
    make_notebook("02_second", PARAMETERS, wait)
    # presets are those of the package in another process, so nothing is set for `k`
    command = [sys.executable, "-m", "gc_utils", "run", "--preset", "smoke"]
    command += ["--notebooks", "notebooks", "--output", "out"]
    path = str(Path(__file__).parents[2])
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        # A shell that starts us in the background has told us to ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    made = tmp_path / "out" / "made.csv"
    while not (made.exists() and made.read_text()):
        assert process.poll() is None, "it ended before it was interrupted"
        time.sleep(0.1)
    process.send_signal(how)
    told, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted" in told
    content = json.loads((tmp_path / "out" / "run.json").read_text())["notebooks"]
    assert [content[name]["status"] for name in content] == ["done", "interrupted"]
    assert (tmp_path / "out" / "report.html").exists()
    again = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert again.returncode == 0, again.stderr
    assert re.search(r"01_first  up to date", again.stdout)
    assert made.read_text() == "part and rest", "what was there was built upon"


def test_a_killed_run_leaves_a_record_that_can_be_resumed(tmp_path):
    manifest = Manifest(tmp_path)
    inputs = {"notebook": "n", "parameters": {}, "code": {"m": "p"}, "upstream": {}}
    manifest.begin("demo", {})
    manifest.start("01_a", inputs)
    time.sleep(0.02)
    (tmp_path / "activations.zarr").mkdir()
    (tmp_path / "activations.zarr" / "c0").write_text("chunk")
    found = Manifest(tmp_path)
    assert found.why_stale("01_a", inputs) == "interrupted last time"
    assert found.resumable("01_a", inputs)
    assert not found.resumable("01_a", inputs | {"parameters": {"group": "D8"}})
    found.clear("01_a")
    assert not (tmp_path / "activations.zarr").exists()


def test_two_runs_do_not_share_a_folder(tmp_path):
    with _alone(tmp_path), pytest.raises(UserError, match="another run is at work"):
        with _alone(tmp_path):
            pass


def test_a_folder_has_a_checksum_of_names_and_contents(tmp_path):
    (tmp_path / "z" / "deep").mkdir(parents=True)
    (tmp_path / "z" / "deep" / "a").write_text("1")
    before = checksum(tmp_path / "z")
    (tmp_path / "z" / "deep" / "a").rename(tmp_path / "z" / "a")
    assert checksum(tmp_path / "z") != before


@pytest.mark.parametrize("kind", ["folder", "imagenet"])
def test_only_images_that_are_read_make_a_run_stale(tmp_path, kind):
    from PIL import Image

    root = tmp_path / ".cache" / "a+b"
    (root / "n01").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(root / "n01" / "a.png")
    spec = f"scenes:4+{kind}:{root}+photos"
    before = folder_checksum(spec)
    assert before and folder_checksum("scenes:4+photos") == ""
    for name in (".DS_Store", "n01/Thumbs.db", "n01/._a.png", ".ipynb_checkpoints/a.png"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("left behind")
    assert folder_checksum(spec) == before
    Image.new("RGB", (9, 9)).save(root / "n01" / "b.png")
    added = folder_checksum(spec)
    Image.new("RGB", (8, 8)).save(root / "n01" / "b.png")
    assert len({before, added, folder_checksum(spec)}) == 3


def test_what_a_file_browser_leaves_in_a_product_does_not_make_it_stale(tmp_path):
    inputs = {"notebook": "n", "parameters": {}, "code": {"m": "p"}, "pictures": "", "upstream": {}}
    manifest = Manifest(tmp_path)
    manifest.begin("demo", {})
    manifest.start("01_a", inputs)
    for folder in ("a.zarr", "checkpoints"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "c0").write_text("chunk")
        (tmp_path / folder / ".DS_Store").write_text("view")
    manifest.stop("01_a", "done")
    assert set(manifest.records["01_a"]["outputs"]) == {"a.zarr", "checkpoints/c0"}
    before = manifest.outputs_checksum("01_a")
    for name in ("a.zarr/.DS_Store", "a.zarr/Thumbs.db", "checkpoints/.DS_Store"):
        (tmp_path / name).write_text("another view")
    assert manifest.why_stale("01_a", inputs) is None
    assert (
        checksum(tmp_path / "a.zarr") == (manifest.records["01_a"]["outputs"]["a.zarr"]["sha256"])
    )
    assert manifest.outputs_checksum("01_a") == before
    (tmp_path / "a.zarr" / "c0").write_text("another chunk")
    assert "a.zarr was changed since" in manifest.why_stale("01_a", inputs)


def test_needs_point_backwards():
    for number, needed in [*NEEDS.items(), *USES.items()]:
        assert all(other < number for other in needed)


# --- findings, figures, report -------------------------------------------------------------------


def record(findings: Findings, id: str = "GC1", **changes) -> str:
    entry = {
        "claim": "features cluster into families",
        "source": "Gorton 2024, section 4",
        "value": np.float32(0.25),
        "interval": (np.float64(0.125), 0.5),
        "verdict": "reproduced",
        "why": "on held-out photographs.",
    }
    return findings.record(id, **entry | changes)


def test_a_finding_reads_as_a_sentence(tmp_path):
    said = record(Findings(tmp_path, "03_cluster"))
    assert said == Findings(tmp_path, "03_cluster").sentence("GC1")
    assert said == (
        "GC1, features cluster into families (Gorton 2024, section 4): measured 0.25 [0.125, 0.5]; "
        "reproduced: on held-out photographs."
    )


def test_a_finding_recorded_again_replaces_the_old_one(tmp_path):
    findings = Findings(tmp_path, "03_cluster")
    record(findings)
    record(findings, "GC2", value={"ours": 1, "theirs": 12345.6}, interval=None)
    record(findings, verdict="not reproduced")
    record(Findings(tmp_path, "04_symmetry"), "GC3")
    found = load_findings(tmp_path)
    assert [entry["id"] for entry in found] == ["GC2", "GC1", "GC3"]
    assert found[1]["verdict"] == "not reproduced"
    assert "ours 1, theirs 12346" in findings.sentence("GC2")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"verdict": "reproducd"}, "did you mean 'reproduced'"),
        ({"value": float("nan")}, "not a finite number"),
        ({"value": {"a": np.inf}}, "not a finite number"),
        ({"value": object()}, "cannot record a object"),
        ({"interval": (2, 1)}, "an interval is"),
        ({"why": " "}, "why is empty"),
    ],
)
def test_a_finding_that_says_nothing_is_refused(tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        record(Findings(tmp_path, "03_cluster"), **changes)
    assert load_findings(tmp_path) == []


def test_tables_of_claims(tmp_path):
    record(Findings(tmp_path, "03_cluster"), why="a|b & <c>")
    found = load_findings(tmp_path)
    markdown = markdown_table(found)
    assert markdown.splitlines()[2].startswith("| GC1 | features cluster into families | Gorton")
    assert r"a\|b" in markdown
    assert "a|b &amp; &lt;c&gt;" in html_table(found)
    readme = tmp_path / "README.md"
    readme.write_text(
        "<!-- papers -->\n<!-- /papers -->\nbefore\n<!-- claims -->\nold\n<!-- /claims -->\nafter\n"
    )
    update_readme(readme, tmp_path)
    papers = papers_table(load_findings(tmp_path))
    assert readme.read_text() == (
        f"<!-- papers -->\n{papers}<!-- /papers -->\nbefore\n<!-- claims -->\n{markdown}"
        "<!-- /claims -->\nafter\n"
    )
    readme.write_text("no marks")
    with pytest.raises(UserError, match="marks"):
        update_readme(readme, tmp_path)


def figure() -> Figure:
    drawing = Figure(figsize=(7, 3), layout="constrained")
    axes = drawing.subplots()
    axes.plot(np.sin(np.linspace(0, 6, 99)), label="a block")
    axes.set(xlabel="angle", ylabel="response")
    axes.legend()
    return drawing


def test_a_figure_carries_its_caption(tmp_path):
    path = save_figure(figure(), tmp_path, "03_umap", "Families – the “crosscoder’s”. ")
    assert path == tmp_path / "figures" / "03_umap.png"
    assert caption(path) == "Families – the “crosscoder’s”."
    before = path.read_bytes()
    assert save_figure(figure(), tmp_path, "03_umap", "Families – the “crosscoder’s”.").read_bytes()
    assert path.read_bytes() == before, "the same figure is the same file"
    with pytest.raises(UserError, match="03_umap"):
        save_figure(figure(), tmp_path, "umap", "Families")
    with pytest.raises(UserError, match="no caption"):
        save_figure(figure(), tmp_path, "03_umap", " ")


@pytest.fixture
def report(tmp_path, make_notebook) -> Path:
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
        manifest.start(name, {"parameters": {}})
        manifest.stop(name, status)
    manifest.records["02_second"]["error"] = "cell 3 of 9:\n  > x = <b>\nValueError: no"
    manifest._write()
    for name in ("01_orbit", "02_ant", "02_zebra"):
        save_figure(figure(), run_dir, name, f"The caption of {name}, with a < b.")
    record(Findings(run_dir, "01_first"))
    record(Findings(run_dir, "01_first"), "GC2", verdict="only on the embedded default")
    record(Findings(run_dir, "02_second"), "GC3", verdict="not reproduced")
    return write_report(run_dir, find_notebooks(tmp_path / "notebooks"))


def test_the_report_tells_the_story_and_needs_nothing_else(report):
    page = report.read_text(encoding="utf-8")
    assert "What is <em>there</em>, in <code>mixed3b</code>?" in page
    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    outside = [s for s in sources if not s.startswith(("data:image/png;base64,", "#"))]
    assert outside == ["run.json"], "no executed notebook is there to link to"
    assert page.index("The caption of 02_zebra") < page.index("The caption of 02_ant"), "as told"
    assert "with a &lt; b" in page
    assert "x = &lt;b&gt;" in page
    assert page.count('class="verdict') == 3
    lead = page[page.index("All of it,") : page.index("A first paragraph.")]
    assert "<msub><mi>x</mi><mi>n</mi></msub>" in lead
    assert "<li>as a list</li>" in lead
    assert "&lt;b&gt;an end&lt;/b&gt;" in lead
    assert "images photos+scenes:64" in page


@pytest.mark.browser
@pytest.mark.parametrize("width", [1200, 500])
def test_the_report_can_be_read_in_a_browser(report, screenshot, width):
    from PIL import Image

    with Image.open(screenshot(report, width)) as picture:
        pixels = np.asarray(picture.convert("L"), dtype=float)
    # Text and figures are there, and nothing reaches the right edge of the page.
    assert pixels.std() > 10
    assert np.ptp(pixels[:, -4:]) == 0
