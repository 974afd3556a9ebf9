"""What imports a change is stale, nothing else: on a made-up package and on the real one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gc_utils.closure import (
    SHORT,
    cells_digest,
    changed_parts,
    code_digest,
    code_digests,
    module_closure,
)
from gc_utils.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))

# A package of which one module is a study, one draws, and faces stand before them.
FILES = {
    "__init__.py": '"""A package."""\n__version__ = "1"\n',
    "base.py": "def one():\n    return 1\n",
    "shapes/__init__.py": (
        "from pack.shapes.circle import circle\n"
        "from .square import edge as side, square\n"
        '__all__ = ["circle", "side", "square"]\n'
    ),
    "shapes/circle.py": (
        '"""Round."""\nfrom pack.base import one\n\n\n'
        'def circle():\n    """A circle."""\n    return one()  # round\n'
    ),
    "shapes/square.py": "square = 4\nedge = 1\n",
    "shapes/hidden.py": "nothing = 0\n",
    "lazy/__init__.py": (
        "import lazy_loader as lazy\n"
        '__getattr__, __dir__, __all__ = lazy.attach(__name__, {"whole"}, '
        'submod_attrs={"near": ["here"], "far": ["there"]})\n'
    ),
    "lazy/near.py": "here = 1\n",
    "lazy/far.py": "there = 2\n",
    "lazy/whole.py": "part = 3\n",
    "busy/__init__.py": "from pack.shapes.square import square\nTABLE = [square]\n",
    "busy/bee.py": "honey = 1\n",
    "clever/__init__.py": "def __getattr__(name):\n    ...\n",
    "clever/found.py": "found = 1\n",
    "outer/__init__.py": "from pack.shapes import circle as round_thing\n",
    "data.py": 'from pathlib import Path\nFILE = Path(__file__).parent / "weights" / "some.bin"\n',
    "tails.py": 'FILE = "weights/other.bin"\n',
    "weights/some.bin": "some",
    "weights/other.bin": "other",
    "weights/README.md": "provenance",
}


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    root = tmp_path / "pack"
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def notebook(tmp_path: Path) -> Callable[..., Path]:
    def make(*cells: str, name: str = "01_first", **markdown: str) -> Path:
        path = tmp_path / f"{name}.ipynb"
        made = [
            {"cell_type": "code", "source": cell.splitlines(keepends=True), "outputs": []}
            for cell in cells
        ]
        made += [{"cell_type": "markdown", "source": text} for text in markdown.values()]
        path.write_text(json.dumps({"cells": made, "nbformat": 4, "nbformat_minor": 5}))
        return path

    return make


CLOSURES = {
    "": "",
    "import numpy": "",
    "from pack.base import one": "base",
    "from pack import base": "base",
    "import pack.base": "base",
    "import pack.base as b": "base",
    "def f():\n    from pack.base import one": "base",
    # names are followed through faces to where they are defined, and no further
    "from pack.shapes import square": "shapes.square",
    "from pack.shapes import side as s": "shapes.square",
    "from pack.shapes import circle": "base shapes.circle",
    "from pack.outer import round_thing": "base shapes.circle",
    "from pack.shapes import hidden": "shapes.hidden",
    "from pack import shapes": "",
    "from pack import shapes\nshapes.square": "shapes.square",
    "from pack import shapes as sh\nprint(sh.side.real)": "shapes.square",
    "from pack import shapes\ndef f():\n    return shapes.hidden.nothing": "shapes.hidden",
    "import pack\npack.shapes.square": "shapes.square",
    "import pack.shapes\npack.shapes.square": "shapes.square",
    "import pack.shapes as sh\nsh.square": "shapes.square",
    "import pack\nprint(pack.__version__)": "",
    # where it cannot be known which names are used, all of them count
    "from pack import shapes\nf(shapes)": "base shapes.circle shapes.square",
    "from pack import shapes\nother = shapes": "base shapes.circle shapes.square",
    "from pack import shapes\ngetattr(shapes, name)": "base shapes.circle shapes.square",
    "from pack import shapes\nshapes.unknown": "base shapes.circle shapes.square",
    "from pack.shapes import *": "base shapes.circle shapes.square",
    # lazy faces
    "from pack.lazy import here": "lazy.near",
    "from pack import lazy\nlazy.there": "lazy.far",
    "from pack import lazy\nlazy.whole.part": "lazy.whole",
    "from pack import lazy\nprint(lazy)": "lazy.far lazy.near lazy.whole",
    # a face that does something is a module, and runs before what lies in it
    "from pack.busy import TABLE": "busy shapes.square",
    "from pack.busy import bee": "busy busy.bee shapes.square",
    "from pack.busy.bee import honey": "busy busy.bee shapes.square",
    "from pack import clever\nf(clever)": "clever clever.found",
    "from pack.clever import thing": "clever clever.found",
    # what is imported at run time by its name, and what is never imported
    'import importlib\nimportlib.import_module("pack.base")': "base",
    'from importlib import import_module\nimport_module("pack.shapes")': (
        "base shapes.circle shapes.square"
    ),
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack.base import one": "",
    "import typing\nif typing.TYPE_CHECKING:\n    import pack.base\nelse:\n"
    "    from pack.lazy import here": "lazy.near",
    # IPython's own words
    "%matplotlib inline\nfrom pack.base import one": "base",
    "!pip list\nfrom pack.base import one\none?": "base",
    "%%time\nfrom pack.base import one": "base",
    "%%bash\necho from pack.base import one": "",
    "await later()\nfrom pack.base import one": "base",
    "this is no Python": "",
}


@pytest.mark.parametrize("source", CLOSURES)
def test_imports_are_followed_to_what_defines_the_names(source, pack, notebook):
    expected = {f"pack.{name}" for name in CLOSURES[source].split()}
    assert set(module_closure(notebook(source), pack)) == expected
    try:
        compile(source, "m", "exec")
    except SyntaxError:
        return
    (pack / "reader.py").write_text(source)
    assert set(module_closure("pack.reader", pack)) == {*expected, "pack.reader"}


def test_relative_imports_are_of_the_package_that_the_module_is_in(pack):
    (pack / "shapes" / "more.py").write_text("from ..base import one\nfrom . import square\n")
    assert module_closure("pack.shapes.more", pack) == (
        "pack.base",
        "pack.shapes.more",
        "pack.shapes.square",
    )


def test_a_name_in_one_cell_is_used_in_another(pack, notebook):
    path = notebook("from pack import shapes", "shapes.square")
    assert module_closure(path, pack) == ("pack.shapes.square",)


def test_a_face_stands_for_all_that_it_hands_out(pack):
    found = module_closure("pack.shapes", pack)
    assert found == ("pack.base", "pack.shapes.circle", "pack.shapes.square")


def test_a_cycle_of_imports_ends(pack):
    (pack / "a.py").write_text("from pack import b\n")
    (pack / "b.py").write_text("def f():\n    from pack import a\n")
    assert module_closure("pack.a", pack) == module_closure("pack.b", pack) == ("pack.a", "pack.b")


UNCHANGED = {
    "a comment": ("return one()  # round", "return one()  # as a ball"),
    "a docstring": ('"""A circle."""', '"""Another."""\n    "and more"'),
    "the module's docstring": ('"""Round."""', ""),
    "its layout": ("return one()", "return (\n        one()\n    )"),
    "an import for types": (
        "from pack.base",
        "if TYPE_CHECKING:\n    import pack.tails\nfrom pack.base",
    ),
}


@pytest.mark.parametrize("what", UNCHANGED)
def test_what_does_not_run_makes_nothing_stale(what, pack):
    path = pack / "shapes" / "circle.py"
    before, text = code_digest("pack.shapes.circle", pack), path.read_text()
    old, new = UNCHANGED[what]
    path.write_text(text.replace(old, new))
    assert path.read_text() != text
    assert code_digest("pack.shapes.circle", pack) == before


def test_a_change_is_named_and_concerns_its_importers_alone(pack, notebook):
    reader = notebook("from pack.shapes import circle", name="01_reader")
    other = notebook("from pack.shapes import square", name="02_other")
    before, others = code_digests(reader, pack), code_digests(other, pack)
    whole = code_digest(reader, pack)
    (pack / "base.py").write_text("def one():\n    return 2\n")
    now = code_digests(reader, pack)
    assert changed_parts(before, now) == "pack.base"
    assert code_digest(reader, pack) != whole
    assert code_digests(other, pack) == others
    assert {len(digest) for digest in now.values()} == {SHORT}


def test_a_face_that_hands_out_another_thing_is_a_change(pack, notebook):
    side = notebook("from pack.shapes import side", name="01_side")
    square = notebook("from pack.shapes import square", name="02_square")
    before, others = code_digests(side, pack), code_digests(square, pack)
    face = pack / "shapes" / "__init__.py"
    face.write_text(face.read_text().replace("edge as side", "square as side"))
    assert changed_parts(before, code_digests(side, pack)) == "pack.shapes"
    assert code_digests(square, pack) == others
    face.write_text(face.read_text() + "from pack.shapes.hidden import nothing\n")
    assert code_digests(square, pack) == others, "it does not use the new name"


def test_data_count_where_a_module_names_them(pack):
    assert "pack/weights/some.bin" in code_digests("pack.data", pack)
    assert "pack/weights/other.bin" in code_digests("pack.tails", pack)
    assert not any("/" in name for name in code_digests("pack.shapes", pack))
    before, others = code_digests("pack.data", pack), code_digests("pack.tails", pack)
    (pack / "weights" / "some.bin").write_text("else")
    (pack / "weights" / "README.md").write_text("else")
    assert changed_parts(before, code_digests("pack.data", pack)) == "pack/weights/some.bin"
    assert code_digests("pack.tails", pack) == others


def test_a_file_in_another_place_or_with_another_date_is_the_same(pack, tmp_path):
    copy = tmp_path / "elsewhere" / "pack"
    shutil.copytree(pack, copy)
    (copy / "base.py").touch()
    assert code_digest("pack.shapes", copy) == code_digest("pack.shapes", pack)


def test_a_module_that_is_not_python_counts_as_it_stands(pack):
    (pack / "base.py").write_text("def one(:\n")
    before = code_digests("pack.shapes", pack)
    (pack / "base.py").write_text("def one(::\n")
    assert changed_parts(before, code_digests("pack.shapes", pack)) == "pack.base"


def test_a_notebooks_cells_are_its_code_alone(notebook):
    before = cells_digest(notebook("x = 1  # one", "f()", text="Words."))
    assert cells_digest(notebook("x = 1  # uno", "", "f()", text="Others.", more="More.")) == before
    assert cells_digest(notebook("x = 2", "f()")) != before
    assert cells_digest(notebook("x = 1\nf()")) != before, "a cell shows its last value"
    assert cells_digest(notebook("not Python", "f()")) != cells_digest(notebook("no Python", "f()"))


def test_many_changes_are_cut_short():
    assert changed_parts({"a": "1", "b": "1"}, {"a": "1", "b": "1"}) == ""
    assert changed_parts({"a": "1", "b": "1"}, {"a": "2", "c": "1"}) == "a, b, c"
    assert changed_parts({}, dict.fromkeys("abcdef", "1")) == "a, b, c, d and 2 more"


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("gc_utils.grups", "no module 'gc_utils.grups'"),
        ("nowhere.ipynb", "cannot read the notebook 'nowhere.ipynb'"),
    ],
)
def test_mistakes_are_named(start, said):
    with pytest.raises(UserError, match=said):
        module_closure(start)


def test_a_file_that_is_no_notebook_is_refused(tmp_path):
    path = tmp_path / "a.ipynb"
    for text in ("{", "[]", "{}"):
        path.write_text(text)
        with pytest.raises(UserError, match="is not a notebook of format 4"):
            cells_digest(path)


# --- the real package ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("copy") / "gc_utils"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "gc_utils", root, ignore=ignore)
    return root


@pytest.fixture
def stale_after(copied):
    """The numbers of the notebooks that a change to one file of the package makes stale."""
    fresh = {path: code_digests(path, copied) for path in NOTEBOOKS}

    def change(file: str, text: str) -> set[str]:
        path = copied / file
        before = path.read_bytes()
        path.write_bytes(before + text.encode())
        try:
            return {p.stem.split("_")[0] for p in NOTEBOOKS if code_digests(p, copied) != fresh[p]}
        finally:
            path.write_bytes(before)

    return change


CODE = "\n\n_changed = 1\n"
ALL = {path.stem.split("_")[0] for path in NOTEBOOKS}


def test_the_real_notebooks_import_the_package_and_not_all_of_it(copied):
    every = {".".join(p.relative_to(copied.parent).with_suffix("").parts)
             for p in copied.rglob("*.py") if p.name != "__init__.py"}  # fmt: skip
    assert len(NOTEBOOKS) >= 12
    for path in NOTEBOOKS:
        found = set(module_closure(path, copied))
        assert "gc_utils.files" in found and found < every, path.stem


def test_words_make_no_real_notebook_stale(stale_after):
    assert stale_after("groups.py", "\n# a comment\n") == set()
    assert stale_after("studies/missing_curves/coverage.py", '\n"""More words."""\n') == set()


def test_a_study_is_of_its_own_notebook_alone(stale_after):
    assert stale_after("studies/missing_curves/coverage.py", CODE) == {"06"}
    assert stale_after("studies/persian_rug/closed_form.py", CODE) == {"09"}
    assert stale_after("studies/concept_attacks/tcav.py", CODE) == {"10"}


def test_a_study_of_the_main_story_leaves_the_notebooks_before_it_fresh(stale_after):
    study = "studies/group_crosscoders"
    assert stale_after(f"{study}/competitors.py", CODE) == {"03"}
    assert stale_after(f"{study}/claims/training.py", CODE) == {"02"}
    assert stale_after(f"{study}/ground_truth.py", CODE) == {"04b"}
    assert stale_after(f"{study}/tied_beside_untied.py", CODE) == {"04c"}
    for module in ("crosscoder/training.py", "families/clusters.py"):
        assert "01" not in stale_after(module, CODE), module


def test_figures_leave_what_does_not_draw_them_fresh(stale_after):
    for topic in ("symmetry", "families"):
        stale = stale_after(f"figures/{topic}.py", CODE)
        assert stale and not stale & {"01", "02"}
    assert "02" in stale_after("figures/training.py", CODE)
    assert "02" not in stale_after("figures/extraction.py", CODE)


def test_trials_depend_on_the_methods_and_not_on_figures(copied):
    def digest_after(file: str) -> str:
        path = copied / file
        before = path.read_bytes()
        path.write_bytes(before + CODE.encode())
        try:
            return code_digest("gc_utils.planted.trials", copied)
        finally:
            path.write_bytes(before)

    now = code_digest("gc_utils.planted.trials", copied)
    assert digest_after("figures/planted.py") == digest_after("studies/__init__.py") == now
    for file in ("groups.py", "crosscoder/training.py", "symmetry/calibration.py"):
        assert digest_after(file) != now, file


def test_what_all_use_concerns_all(stale_after):
    assert stale_after("figures/saving.py", CODE) == ALL


def test_the_demo_weights_count_where_a_network_is_loaded(stale_after):
    stale = stale_after("weights/demo.safetensors", "more")
    assert {"01", "06", "07"} <= stale and "09" not in stale
    assert stale_after("weights/README.md", "more") == set()
