"""What tests share: one thread a process, small notebooks to run, a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

# Tests and the kernels they start run side by side, a core each. Nothing above imports torch.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

KERNELSPEC = {"name": "python3", "display_name": "Python 3", "language": "python"}


@pytest.fixture
def make_notebook(tmp_path: Path) -> Callable[..., Path]:
    """Write a notebook: heading, a `parameters` cell, code cells; returns its path."""

    def make(name: str, parameters: str, *code: str, heading: str = "What happens?") -> Path:
        cell = nbformat.v4.new_code_cell
        notebook = nbformat.v4.new_notebook(metadata={"kernelspec": KERNELSPEC})
        notebook.cells = [
            nbformat.v4.new_markdown_cell(f"# {heading}\n\nA first paragraph."),
            cell(parameters, metadata={"tags": ["parameters"]}),
            *map(cell, code),
        ]
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(notebook, path)
        return path

    return make


@pytest.fixture(scope="session")
def screenshot(tmp_path_factory) -> Callable[[Path, int], Path]:
    """Take a picture of a page as Chromium shows it at a width; returns the PNG."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if browser is None:
        if os.environ.get("CI"):
            pytest.fail("CI has to have Chromium")
        pytest.skip("no Chromium here")

    def take(page: Path, width: int, height: int = 1400) -> Path:
        picture = tmp_path_factory.mktemp("screenshot") / "page.png"
        subprocess.run(
            [
                *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *(f"--screenshot={picture}", f"--window-size={width},{height}", page.as_uri()),
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
        return picture

    return take
