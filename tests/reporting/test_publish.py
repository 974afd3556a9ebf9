"""Outputs of a run in the repository's notebooks: what is kept, what is left out, what is refused.

The run is made by hand: what papermill leaves, and everything that may not be published.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sys

import nbformat
import numpy as np
import pytest
from nbconvert import HTMLExporter
from PIL import Image

from gc_utils.__main__ import main
from gc_utils.errors import UserError
from gc_utils.pipeline import find_notebooks, run
from gc_utils.reporting import publish, published_state
from gc_utils.reporting.pictures import LEVELS, reduced
from gc_utils.reporting.publish import LIMIT, VIEW, clear

KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}
PARAMETERS = 'run_dir = "runs/demo"  # of all\nimages = "photos"  # what is seen\nk = 3  # few'

SHOW = 'save_figure(figure, run_dir, "01_curves", "A caption.")\nfigure'
INSTALL = "# Install gc_utils where it is missing, as in Colab.\nimport importlib"
BAR = "training: 100%|██████████| 400/400 [00:12<00:00, 33.1step/s]"


def png(width=1600, height=800, *, noise=False, seed=0) -> str:
    """A PNG as a notebook holds it: a few lines, or noise that cannot be compressed."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[height // 2, :, :] = (0, 90, 180)
    if noise:
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def display(data: dict, **metadata):
    return nbformat.v4.new_output("display_data", data=data, metadata=metadata)


def result(data: dict):
    return nbformat.v4.new_output("execute_result", data=data, execution_count=7)


def stream(text: str, name: str = "stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


class Repository:
    """Notebooks, and a run of theirs, in a folder."""

    def __init__(self, folder):
        self.notebooks, self.run = folder / "notebooks", folder / "runs" / "mine"
        self.notebooks.mkdir()
        (self.run / "figures").mkdir(parents=True)
        self.images = "photos"
        self.records = {}

    def add(self, name, *cells, preset="demo", **record):
        """A notebook whose code cells are given with their outputs."""
        sources = [INSTALL, PARAMETERS, *(source for source, _ in cells)]
        for folder, executed in ((self.notebooks, False), (self.run, True)):
            notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNELSPEC})
            notebook.cells = [nbformat.v4.new_markdown_cell("# What is seen?\n\nIt is seen here.")]
            notebook.cells += [nbformat.v4.new_code_cell(source) for source in sources]
            notebook.cells[2].metadata["tags"] = ["parameters"]
            if executed:
                for cell, (_, outputs) in zip(notebook.cells[3:], cells, strict=True):
                    cell.outputs = outputs
                    cell.metadata |= {"execution": {"iopub": "2026"}, "papermill": {"duration": 1}}
                injected = nbformat.v4.new_code_cell(f'# Parameters\nrun_dir = "{self.run}"')
                injected.metadata["tags"] = ["injected-parameters"]
                notebook.cells.insert(3, injected)
                notebook.metadata["papermill"] = {
                    "input_path": str(self.notebooks / f"{name}.ipynb"),
                    "output_path": str(self.run / f"{name}.ipynb"),
                    "duration": 12.5,
                }
                notebook.metadata["widgets"] = {"application/x": {"state": {}}}
            nbformat.write(notebook, folder / f"{name}.ipynb")
        inputs = {"parameters": {"images": self.images, "k": 5}}
        self.records[name] = {"status": "done", "inputs": inputs} | record
        content = {"preset": preset, "parameters": {"images": self.images}}
        content["notebooks"] = self.records
        (self.run / "run.json").write_text(json.dumps(content))

    def publish(self, *only):
        return publish(self.run, find_notebooks(self.notebooks), only)

    def read(self, name):
        return nbformat.read(self.notebooks / f"{name}.ipynb", as_version=4)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def test_outputs_stand_under_the_cells_that_made_them(repository):
    repository.add(
        "01_first",
        (SHOW, [stream("three\n"), result({"image/png": png(), "text/plain": "<Figure>"})]),
        ("quiet = 1", []),
        ("table", [result({"text/html": "<table><td>0.4</td></table>", "text/plain": "0.4"})]),
    )
    before = repository.read("01_first")
    done = repository.publish()
    assert [path.name for path in done.written] == ["01_first.ipynb"] and done.notes == []
    notebook = repository.read("01_first")
    nbformat.validate(notebook)
    assert [(c.id, c.source) for c in notebook.cells] == [(c.id, c.source) for c in before.cells]
    assert [len(cell.get("outputs", [])) for cell in notebook.cells] == [0, 0, 1, 2, 0, 1]
    said = notebook.cells[2].outputs[0].text
    assert "python -m gc_utils run --preset demo --only 01 -p" in said and " k 5\n" in said
    assert "Set by that run: k = 5." in said
    assert published_state(notebook) == "current"
    noted = notebook.metadata.gc_utils.published
    assert noted.preset == "demo" and noted.images == "photos" and len(noted.cells) == 64


def test_what_is_only_of_one_machine_or_moment_is_left_out(repository, tmp_path):
    run, root = repository.run, tmp_path
    told = (
        f"kept in {run}/families.csv and {run}\nread {root}/notebooks/01_first.ipynb\n"
        f"from /home/ada/weights/net.pth and C:\\Users\\Ada\\net.pth, <Net at 0x7f3a2b1c4d50>\n"
        "see https://arxiv.org/abs/2410.24184, images/photos/cat.png, 1/2/3 or/and; ~/x/y\n"
    )
    view = {VIEW: {"model_id": "a1"}}
    repository.add(
        "01_first",
        ("a", [stream(told), stream(f"{BAR}\n", "stderr"), display({"text/plain": BAR})]),
        ("b", [display(view | {"text/plain": "HBox(children=(…"})]),
        ("c", [display(view | {"text/plain": "Explorer(…", "image/png": png()}, **{VIEW: {}})]),
        ("d", [stream(f"\r  0%|   | 0/4 [00:00<?, ?it/s]\r{BAR}\ndone in {run}\n")]),
    )
    repository.publish()
    notebook = repository.read("01_first")
    _, kept, shown, last = outputs(notebook)
    assert kept.text == (
        "kept in runs/demo/families.csv and runs/demo\nread notebooks/01_first.ipynb\n"
        "from net.pth and net.pth, <Net at 0x…>\n"
        "see https://arxiv.org/abs/2410.24184, images/photos/cat.png, 1/2/3 or/and; ~/x/y\n"
    )
    assert set(shown.data) == {"image/png", "text/plain"} and shown.metadata == {}
    assert last.text == "done in runs/demo\n"
    text = (repository.notebooks / "01_first.ipynb").read_text()
    for word in (str(tmp_path), "injected-parameters", "papermill", "iopub", '"widgets"', VIEW):
        assert word not in text


def test_pictures_shrink_until_the_notebook_is_light_and_keep_their_words(repository):
    big = [display({"image/png": png(1500, 900, noise=True, seed=i)}) for i in range(2)]
    html = f'<p>a</p><img alt="a cat" src="data:image/png;base64,{png(900, 400, noise=True)}"/>'
    lines = display({"image/png": png()}, **{"image/png": {"alt": "a line"}})
    repository.add("01_first", ("a", big), ("b", [display({"text/html": html})]), ("c", [lines]))
    repository.publish()
    path = repository.notebooks / "01_first.ipynb"
    assert 100_000 < path.stat().st_size < LIMIT
    *pictures, embedded, drawing = outputs(repository.read("01_first"))[1:]
    for picture in pictures:
        image = Image.open(io.BytesIO(base64.b64decode(picture.data["image/jpeg"])))
        assert LEVELS[-1][0] <= image.width <= LEVELS[0][0]
    told = re.fullmatch(
        r'<p>a</p><img alt="a cat" src="data:(image/\w+);base64,(.+)"/>', embedded.data["text/html"]
    )
    Image.open(io.BytesIO(base64.b64decode(told[2]))).verify()
    assert drawing.metadata["image/png"]["alt"] == "a line", "lines stay a PNG, with their words"
    assert len(drawing.data["image/png"]) < 20_000


def test_a_notebook_that_stays_heavy_is_refused_with_its_sizes(repository, monkeypatch):
    monkeypatch.setattr(sys.modules["gc_utils.reporting.publish"], "LIMIT", LIMIT // 10)
    heavy = [display({"image/png": png(400, 300, noise=True, seed=i)}) for i in range(8)]
    repository.add("01_first", ("a", heavy))
    repository.add("02_second", ("a", [stream("light")]))
    with pytest.raises(UserError, match=r"01_first: it has \d+ kB .* code cell 3 \d+ kB") as told:
        repository.publish()
    assert "02_second" not in str(told.value)
    assert published_state(repository.read("02_second")) == "none", "all of them, or none"


def test_a_smaller_picture_looks_the_same():
    data = base64.b64decode(png(1600, 800))
    mime, small = reduced(data, 800, 90)
    assert mime == "image/png" and len(small) < len(data)
    before = np.asarray(Image.open(io.BytesIO(data)).convert("RGB").resize((800, 400)))
    after = np.asarray(Image.open(io.BytesIO(small)).convert("RGB"))
    assert np.abs(before.astype(int) - after).mean() < 2
    assert reduced(small, 800, 90)[1] == small, "what is small stays as it is"


def test_captions_become_alt_text(repository, figure):
    from gc_utils.figures import save_figure

    save_figure(figure(), repository.run, "01_curves", "Responses over the angle.")
    repository.add("01_first", (SHOW, [result({"image/png": png(), "text/plain": "<Figure>"})]))
    repository.publish()
    shown = outputs(repository.read("01_first"))[-1]
    assert shown.metadata["image/png"]["alt"] == "Responses over the angle."


def test_a_published_notebook_shows_its_figures_on_a_page(repository):
    shown = [result({"image/png": png(), "text/plain": "<Figure>"}) for _ in range(2)]
    photograph = display({"image/png": png(1500, 900, noise=True)})
    repository.add("01_first", (SHOW, shown), ("b", [photograph]))
    repository.publish()
    page, _ = HTMLExporter().from_notebook_node(repository.read("01_first"))
    pictures = re.findall(r'src="data:image/(\w+);base64,([^"]+)"', page)
    assert len(pictures) == 3
    for _, data in pictures:
        Image.open(io.BytesIO(base64.b64decode(data))).verify()


@pytest.mark.parametrize("images", ["imagenet_samples", "photos+folder:holiday", "imagenet:/data"])
def test_photographs_that_are_not_ours_are_not_published(repository, images):
    repository.images = images
    repository.add("01_first", ("a", [display({"image/png": png()})]))
    with pytest.raises(UserError, match="not ours to pass on"):
        repository.publish()
    assert published_state(repository.read("01_first")) == "none"


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"status": "failed"}, r"not up to date in .* \(failed\)"),
        ({"stale": "02_train ran again"}, r"\(02_train ran again\); run it again"),
    ],
)
def test_a_run_that_is_not_whole_is_refused(repository, record, said):
    repository.add("01_first", ("a", [stream("1")]), **record)
    with pytest.raises(UserError, match=f"nothing was published. 01_first: .*{said}"):
        repository.publish()


def test_an_error_is_not_published(repository):
    error = nbformat.v4.new_output("error", ename="ValueError", evalue="x", traceback=[])
    repository.add("01_first", ("a", [error]))
    with pytest.raises(UserError, match="ends in ValueError"):
        repository.publish()


def test_a_warning_is_published_and_said(repository):
    repository.add("01_first", ("a", [stream("UserWarning: too few\n  line\n", "stderr")]))
    (note,) = repository.publish().notes
    assert note.startswith("01_first: its outputs have a warning") and "too few" in note


def test_outputs_are_those_of_the_code_that_is_there(repository):
    repository.add("01_first", ("a = 1", [stream("1")]), ("b = 2", [stream("2")]))
    repository.publish()
    path = repository.notebooks / "01_first.ipynb"
    published = repository.read("01_first")
    for change, state in (
        (lambda cells: cells[0].update(source="# Other words"), "current"),
        (lambda cells: cells[1].update(source=f"{INSTALL}\nimport sys"), "current"),
        (lambda cells: cells[4].update(source="b = 2  # a comment"), "current"),
        (lambda cells: cells[4].update(source="b = 3"), "outdated"),
        (lambda cells: cells[4].outputs[0].update(text="3"), "outdated"),
        (lambda cells: cells.pop(3), "outdated"),
    ):
        notebook = nbformat.from_dict(published)
        notebook = nbformat.reads(nbformat.writes(notebook), as_version=4)
        change(notebook.cells)
        assert published_state(notebook) == state
        nbformat.write(notebook, path)
        assert clear(find_notebooks(repository.notebooks)) == [path] * (state == "outdated")
        left = published_state(repository.read("01_first"))
        assert left == ("none" if state == "outdated" else "current")
    with pytest.raises(UserError, match=r"code cell 3 \('b = 2'\)|code cells, and 4 when it ran"):
        repository.publish()


def test_other_code_is_refused_by_its_first_line(repository):
    repository.add("01_first", ("a = 1", [stream("1")]))
    notebook = repository.read("01_first")
    notebook.cells[3].source = "a = 2"
    nbformat.write(notebook, repository.notebooks / "01_first.ipynb")
    with pytest.raises(UserError, match=r"its code cell 3 \('a = 2'\) is not the one that ran"):
        repository.publish()


def test_notebooks_may_come_from_two_runs(repository, tmp_path, capsys):
    repository.add("01_first", ("a", [stream("one")]))
    repository.add("02_second", ("a", [stream("two")]))
    other = tmp_path / "runs" / "other"
    repository.run.rename(other)
    for name in ("01", "02"):
        arguments = [str(other), "--only", name, "--notebooks", str(repository.notebooks)]
        assert main(["publish", *arguments]) == 0
    assert capsys.readouterr().out.count(" kB)") == 2
    assert published_state(repository.read("01_first")) == "current"
    assert main(["publish", str(other), "--only", "03", "--notebooks", arguments[-1]]) == 2
    assert "unknown notebook '03'" in capsys.readouterr().err
    assert main(["publish", "--clear", "--only", "02", "--notebooks", arguments[-1]]) == 0
    assert published_state(repository.read("02_second")) == "none"
    assert published_state(repository.read("01_first")) == "current"


def test_a_notebook_that_the_run_lacks_is_left_as_it_is(repository):
    repository.add("01_first", ("a", [stream("one")]))
    repository.add("02_second", ("a", [stream("two")]))
    del repository.records["02_second"]
    repository.add("01_first", ("a", [stream("one")]))
    done = repository.publish()
    assert done.notes == ["02_second: not in this run, and left as it is"]
    with pytest.raises(UserError, match="02_second: not in"):
        repository.publish("02")


@pytest.mark.slow
def test_a_published_notebook_runs_as_before(make_notebook, tmp_path, monkeypatch):
    path = make_notebook(
        "01_first",
        'run_dir = "runs/demo"  # of all',
        "print(f'kept in {run_dir}')\n6 * 7",
        "from IPython.display import Image\nfrom skimage import data, io\n"
        'io.imsave(run_dir + "/a.png", data.astronaut())\nImage(run_dir + "/a.png")',
    )
    monkeypatch.chdir(tmp_path)

    def again(**options) -> str:
        said = io.StringIO()
        run("smoke", "out", notebooks="notebooks", stream=said, **options)
        return said.getvalue()

    again()
    publish("out", find_notebooks("notebooks"))
    text = path.read_text()
    assert "kept in runs/smoke" in text and str(tmp_path) not in text and '"42"' in text
    assert "up to date" in again(), "outputs are no part of what a run depends on"
    assert "up to date" not in again(force=True)
    fresh = nbformat.read(tmp_path / "out" / "01_first.ipynb", as_version=4)
    assert not any("The outputs in this notebook" in o.get("text", "") for o in outputs(fresh))
    publish("out", find_notebooks("notebooks"))
    assert path.read_text() == text, "the same outputs give the same file"
    page, _ = HTMLExporter().from_notebook_node(nbformat.read(path, as_version=4))
    assert page.count('src="data:image/') == 1
