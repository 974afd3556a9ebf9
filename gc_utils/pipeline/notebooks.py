"""The notebooks of a folder as they are: question, introduction, parameters, and their records."""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gc_utils
from gc_utils.errors import UserError, brief, choose
from gc_utils.files import typed_path
from gc_utils.pipeline.record import Record, number_of, record_of
from gc_utils.pipeline.records import RECORDS

if TYPE_CHECKING:
    from nbformat import NotebookNode

PACKAGED = Path(gc_utils.__file__).resolve().parent / "_notebooks"  # see setup.py
# The line that opens a notebook in Colab, below its heading: no part of what it says.
BADGE = re.compile(r"^\[!\[Open in Colab\]\([^)]*\)\]\([^)]*\)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's `parameters` cell: its default, and the comment behind it."""

    default: Any
    help: str


@dataclass(frozen=True)
class Notebook:
    """A notebook of the story: `name` "03_cluster", `number` "03", `title` its first heading.

    `lead` is the Markdown below that heading, to the end of the first cell, without a badge;
    `record` is the one of its number.
    """

    path: Path
    name: str
    title: str
    lead: str
    parameters: dict[str, Parameter]
    record: Record

    @property
    def number(self) -> str:
        return number_of(self.name)


def find_notebooks(
    folder: str | os.PathLike | None = None, records: Iterable[Record] = RECORDS
) -> list[Notebook]:
    """The notebooks of a folder, in order.

    Args:
        folder: where they are; None for `notebooks/` beside the package or in the current folder,
            or else those that an installed package carries.
        records: what is known about them, see `record_of`.

    Raises:
        UserError: there is none.
    """
    records = list(records)
    beside = Path(gc_utils.__file__).resolve().parents[1] / "notebooks"
    places = [beside, Path("notebooks"), PACKAGED]
    if folder:
        places = [typed_path(folder, "--notebooks")]
    for place in places:
        found = sorted(place.glob("[0-9][0-9]*_*.ipynb"))
        if found:
            return [read_notebook(path.resolve(), records) for path in found]
    looked = " and ".join(repr(str(place)) for place in places)
    raise UserError(
        f"no notebooks in {looked}: run this in a copy of the repository, or name their folder "
        "with --notebooks DIR."
    )


def select(found: Sequence[Notebook], only: Iterable[str]) -> list[Notebook]:
    """Some of the notebooks, in their order.

    Args:
        found: all of them.
        only: which are meant, by number, name or file name; none for all.

    Raises:
        UserError: there is no such notebook.
    """
    wanted = set()
    for text in only:
        name = Path(text).name.removesuffix(".ipynb")
        if name in {n.number for n in found}:
            wanted |= {n.name for n in found if n.number == name}
        elif name.isdecimal() and name.zfill(2) in {n.number for n in found}:
            wanted |= {n.name for n in found if n.number == name.zfill(2)}
        else:
            wanted.add(choose(name, [n.name for n in found], "notebook"))
    return [n for n in found if not wanted or n.name in wanted]


def with_needed(chosen: Iterable[Notebook], found: Sequence[Notebook]) -> list[Notebook]:
    """Notebooks behind those whose products they need, theirs among them.

    Args:
        chosen: some of the notebooks.
        found: all of them, in their order.
    """
    wanted = {notebook.number for notebook in chosen}
    for other in reversed(found):  # a notebook needs earlier ones only
        if other.number in wanted:
            wanted |= set(other.record.needs)
    return [n for n in found if n.number in wanted]


def read_content(path: Path) -> NotebookNode:
    """The content of a notebook's file.

    Raises:
        UserError: the file cannot be read as a notebook.
    """
    import nbformat

    try:
        if path.exists() and not path.is_file():
            raise ValueError("it is no file")  # whoever opens a pipe waits for a writer
        content = nbformat.read(path, as_version=4)
        cells = content.get("cells")
        if not isinstance(cells, list) or not all(map(_is_cell, cells)):
            raise ValueError("it has no list of cells")
        return content
    except (OSError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
    except nbformat.ValidationError as error:
        reason = str(error).splitlines()[0]
    raise UserError(
        f"{str(path)!r} cannot be read as a notebook ({brief(reason)}): save it again in "
        "Jupyter, or move it out of this folder."
    )


def _is_cell(found: Any) -> bool:
    """Whether this is a cell as far as anybody here looks at it."""
    return (
        isinstance(found, dict)
        and all(isinstance(found.get(name), str) for name in ("cell_type", "source"))
        and isinstance(found.get("metadata"), dict)
        and isinstance(found.get("outputs", []), list)
    )


def read_notebook(path: Path, records: Iterable[Record] = RECORDS) -> Notebook:
    """A notebook's heading, introduction (the rest of the first cell), parameters and record.

    Raises:
        UserError: the file cannot be read as a notebook.
    """
    import papermill

    cells = read_content(path).cells
    words = next((cell.source for cell in cells if cell.cell_type == "markdown"), "")
    heading, _, rest = words.strip().partition("\n")
    parameters = {
        name: Parameter(literal(found["default"]), found["help"])
        for name, found in papermill.inspect_notebook(path).items()
    }
    return Notebook(
        path=path,
        name=path.stem,
        title=heading.lstrip("# ").strip() or path.stem,
        lead=BADGE.sub("", rest).strip(),
        parameters=parameters,
        record=record_of(number_of(path.stem), records),
    )


def default_output(preset: str) -> Path:
    """The run folder of a preset where none is named."""
    return (Path("runs") / preset).resolve()


def literal(text: str) -> Any:
    """What a text is as a Python literal; the text itself where it is none, however odd."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's remarks on its style
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
