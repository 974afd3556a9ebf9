"""The package is in layers: what a module may import, and what package faces may hold.

Every import counts: those inside functions, and those that are there for types alone.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import gc_utils
from gc_utils._imports import read_module

ROOT = Path(gc_utils.__file__).parent
NOTEBOOKS = sorted((ROOT.parent / "notebooks").glob("*.ipynb"))
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
# From the base up: a module imports from its own layer and from those before it.
LAYERS = (
    ("errors", "_torchvision", "progress", "groups", "statistics", "linear", "precision")
    + ("opened_alone",)
    + ("removal", "files", "ledger", "downloads", "parallel", "ranks", "_imports", "closure")
    + ("images",)
    + ("models",)
    + ("activations", "crosscoder", "families", "symmetry", "inspection", "planted", "figures")
    + ("benchmarks", "explorer", "pipeline", "evidence", "studies", "reporting", "__main__")
)


def imports(tree: ast.AST, package: str = "") -> Iterator[str]:
    """Names of all modules of gc_utils that a file imports.

    Args:
        tree: the file's.
        package: the package that the file is in, for relative imports.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(parts if node.level else []), node.module or ""]).strip(".")
            within = [f"{base}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else base for name in within]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "gc_utils")


def layer(module: str) -> str:
    """The part of the package that a module belongs to; empty for the package's own face."""
    return [*module.split("."), ""][1]


EDGES = {
    (module, other)
    for module, path in MODULES.items()
    for other in imports(
        ast.parse(path.read_bytes()),
        module if path.name == "__init__.py" else module.rpartition(".")[0],
    )
}
NOTEBOOK_EDGES = {
    (path.stem, other)
    for path in NOTEBOOKS
    for cell in json.loads(path.read_bytes())["cells"]
    if cell["cell_type"] == "code"
    for other in imports(ast.parse("".join(cell["source"])))
}


def test_imports_are_seen_wherever_they_stand():
    text = (
        "import gc_utils.groups as g\nfrom gc_utils import figures, errors\n"
        "def f():\n    from gc_utils.images import load_images\n"
        "if TYPE_CHECKING:\n    from ..models.base import Model\nimport numpy\n"
    )
    assert list(imports(ast.parse(text), "gc_utils.studies")) == [
        *("gc_utils.groups", "gc_utils.figures", "gc_utils.errors", "gc_utils.images"),
        "gc_utils.models.base",
    ]
    assert len(EDGES) > 200 and len(NOTEBOOK_EDGES) > 80


def test_every_module_has_its_layer():
    assert {layer(module) for module in MODULES} <= {"", *LAYERS}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_imports_from_those_before_it(name):
    above = set(LAYERS[LAYERS.index(name) + 1 :])
    assert [e for e in sorted(EDGES) if layer(e[0]) == name and layer(e[1]) in above] == []


def test_only_the_command_line_and_reports_know_the_pipeline():
    importers = {layer(module) for module, other in EDGES if layer(other) == "pipeline"}
    assert importers <= {"pipeline", "reporting", "__main__"}


def test_the_pipeline_and_the_explorer_know_nothing_of_each_other():
    pairs = {(layer(module), layer(other)) for module, other in EDGES}
    assert not pairs & {("pipeline", "explorer"), ("explorer", "pipeline")}


def test_studies_do_not_import_each_other():
    found = [
        (module, other)
        for module, other in sorted(EDGES)
        if layer(module) == layer(other) == "studies"
        and module.split(".")[2:3] != other.split(".")[2:3]
    ]
    assert found == []


def test_studies_are_for_notebooks_and_reports():
    importers = {layer(module) for module, other in EDGES if layer(other) == "studies"}
    assert importers <= {"studies", "reporting"}


def test_notebooks_leave_the_pipeline_and_reports_to_the_command_line():
    assert [
        edge for edge in sorted(NOTEBOOK_EDGES) if layer(edge[1]) in ("pipeline", "reporting")
    ] == []


def test_package_faces_define_nothing():
    faces = {name: path for name, path in MODULES.items() if path.name == "__init__.py"}
    assert len(faces) > 15
    for name, path in faces.items():
        code = read_module(path.read_bytes(), name, True, "gc_utils")
        assert code.hands_out is not None, f"{name} does more than to hand out names"


def test_no_module_is_long():
    lengths = {name: path.read_text("utf-8").count("\n") for name, path in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 500} == {}
