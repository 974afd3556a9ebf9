"""A repository's address is written where readers need it, and nothing else changes."""

import shutil
from pathlib import Path

import nbformat
import pytest

from gc_utils.__main__ import main
from gc_utils.errors import UserError
from gc_utils.pipeline.notebooks import read_notebook
from gc_utils.reporting import write_badges

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path):
    """A copy of the repository's pages."""
    shutil.copy(ROOT / "README.md", tmp_path)
    (tmp_path / "notebooks").mkdir()
    for name in ("_first_cell.py", "01_extract.ipynb", "05_explore.ipynb"):
        shutil.copy(ROOT / "notebooks" / name, tmp_path / "notebooks")
    return tmp_path


def test_an_address_is_in_the_readme_the_badges_and_the_first_cell(copy):
    before = read_notebook(copy / "notebooks" / "05_explore.ipynb")
    assert len(write_badges(copy, "ada/crosscoders")) == 4
    assert write_badges(copy, "ada/crosscoders") == [], "again changes nothing"
    assert len(write_badges(copy, "bo/companion", "dev")) == 4
    page = (copy / "README.md").read_text()
    opens = "https://colab.research.google.com/github/bo/companion/blob/dev/notebooks/"
    assert f"({opens}01_extract.ipynb)" in page and "ada/" not in page
    notebook = nbformat.read(copy / "notebooks" / "05_explore.ipynb", as_version=4)
    words, code = notebook.cells[:2]
    assert words.source.splitlines()[2].endswith(f"({opens}05_explore.ipynb)")
    assert "ada/" not in words.source
    assert 'GC_UTILS_SOURCE = "git+https://github.com/bo/companion@dev"' in code.source
    assert code.source == (copy / "notebooks" / "_first_cell.py").read_text().strip()
    compile(code.source, "first cell", "exec")
    after = read_notebook(copy / "notebooks" / "05_explore.ipynb")
    assert (after.title, after.lead) == (before.title, before.lead), "a badge is no part of it"


def test_without_an_address_only_the_first_cell_is_spread(copy, capsys):
    cell = copy / "notebooks" / "_first_cell.py"
    cell.write_text(cell.read_text() + "# more\n")
    assert main(["badges", "--root", str(copy)]) == 0
    assert sorted(Path(line).stem for line in capsys.readouterr().out.splitlines()) == [
        "01_extract",
        "05_explore",
    ]
    assert "# more" in (copy / "notebooks" / "01_extract.ipynb").read_text()


@pytest.mark.parametrize("address", ["", "companion", "https://github.com/a/b", "a/b/c", "a/ b"])
def test_what_is_no_address_changes_nothing(copy, address):
    with pytest.raises(UserError, match="OWNER/REPO"):
        write_badges(copy, address)
    assert (copy / "README.md").read_text() == (ROOT / "README.md").read_text()


def test_a_folder_that_is_no_repository_is_named(tmp_path):
    with pytest.raises(UserError, match="no README.md in"):
        write_badges(tmp_path, "a/b")
