"""Where the project is on GitHub: Colab badges, and the address that a notebook installs from.

No address is compiled in: whoever puts the project on GitHub says which it is, and the README, the
notebooks and their first cell then name that one.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import nbformat

from gc_utils.errors import UserError
from gc_utils.files import write_whole
from gc_utils.pipeline.notebooks import BADGE

FIRST_CELL = "_first_cell.py"  # in the notebooks' folder: the text of every first code cell
START = "01_extract"  # what the README's badge opens
_SOURCE = re.compile(r'^(\s+GC_UTILS_SOURCE = )"[^"\n]*"$', re.MULTILINE)
_MARKS = re.compile(r"(<!-- badges -->\n).*?(<!-- /badges -->)", re.DOTALL)
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"


def badge(repository: str, branch: str, notebook: str) -> str:
    """Markdown of the badge that opens a notebook in Colab.

    Args:
        repository: On GitHub, "OWNER/REPO".
        branch: Of the repository.
        notebook: Its name, such as "01_extract".
    """
    page = f"https://colab.research.google.com/github/{repository}/blob/{branch}"
    image = "https://colab.research.google.com/assets/colab-badge.svg"
    return f"[![Open in Colab]({image})]({page}/notebooks/{notebook}.ipynb)"


def write_badges(
    root: str | os.PathLike, repository: str | None = None, branch: str = "main"
) -> list[Path]:
    """Write a repository's address where a reader on GitHub or in Colab needs it.

    That is a badge under every notebook's heading and in the README (between its marks
    `<!-- badges -->`), and the default of `GC_UTILS_SOURCE` in the first cell of every notebook.

    Args:
        root: The repository's folder, with `README.md` and `notebooks/`.
        repository: On GitHub, "OWNER/REPO"; None to change no address, and only give every notebook
            the first cell that `notebooks/_first_cell.py` has.
        branch: What Colab opens and installs.

    Returns:
        The files that were changed.

    Raises:
        UserError: The address is not of that form, or the folder is not the project's. Nothing is
            written then.
    """
    root = Path(root)
    readme, folder = root / "README.md", root / "notebooks"
    if repository is not None and not re.fullmatch(rf"{_NAME}/{_NAME}", repository):
        raise UserError(
            f"repository {repository!r}: name it as on GitHub, OWNER/REPO, such as "
            "ada/group-crosscoders."
        )
    if not re.fullmatch(r"[\w./-]+", branch):
        raise UserError(f"branch {branch!r}: name a branch of the repository, such as main.")
    for path in (readme, folder / FIRST_CELL):
        if not path.is_file():
            raise UserError(f"no {path.name} in {path.parent.resolve()}: name the repository.")
    page, source = readme.read_text("utf-8"), (folder / FIRST_CELL).read_text("utf-8")
    if not _MARKS.search(page):
        raise UserError(f"{readme} has no <!-- badges --> and <!-- /badges --> marks")
    if repository:
        address = f"git+https://github.com/{repository}"
        address += f"@{branch}" if branch != "main" else ""
        page = _MARKS.sub(
            lambda at: f"{at[1]}{badge(repository, branch, START)}\n{at[2]}", page, count=1
        )
        source = _SOURCE.sub(lambda at: at[1] + json.dumps(address), source, count=1)
    texts = {readme: page, folder / FIRST_CELL: source}
    for path in sorted(folder.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        if repository:
            words = next(cell for cell in notebook.cells if cell.cell_type == "markdown")
            heading, _, rest = words.source.partition("\n")
            rest = BADGE.sub("", rest).strip()
            words.source = f"{heading}\n\n{badge(repository, branch, path.stem)}\n\n{rest}"
        first = next(cell for cell in notebook.cells if cell.cell_type == "code")
        first.source = source.strip()
        texts[path] = nbformat.writes(notebook) + "\n"
    return [path for path, text in texts.items() if _replace(path, text)]


def _replace(path: Path, text: str) -> bool:
    """Write a file unless it is so already."""
    if path.read_text("utf-8") == text:
        return False
    with write_whole(path) as draft:
        draft.write_text(text, encoding="utf-8")
    return True
