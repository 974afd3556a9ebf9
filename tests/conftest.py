"""What tests share: one thread a process, small notebooks to run, a browser."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest

# Tests and the kernels they start run side by side, a core each. Nothing above imports torch.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose runs take minutes go first, so that no core is left waiting for one at the end.

    With `-n 2 --dist loadfile --no-loadscope-reorder` a file goes to the next free process, in this
    order.
    """
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


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


@pytest.fixture
def record() -> Callable[..., str]:
    """Record a finding, some of its entries changed; returns its sentence."""
    import numpy as np

    from gc_utils.evidence import Claim, Finding

    def write(findings, id: str = "GC1", **changes) -> str:
        claim = "features cluster into families"
        entry = {
            "claim": Claim(id, claim, claim, "Gorton 2024, section 4"),
            "value": np.float32(0.25),
            "interval": (np.float64(0.125), 0.5),
            "verdict": "reproduced",
            "why": "on held-out photographs.",
        }
        return findings.record(Finding(**entry | changes))

    return write


@pytest.fixture
def figure() -> Callable:
    """Draw a small figure."""

    def draw():
        import numpy as np
        from matplotlib.figure import Figure

        drawing = Figure(figsize=(7, 3), layout="constrained")
        axes = drawing.subplots()
        axes.plot(np.sin(np.linspace(0, 6, 99)), label="a block")
        axes.set(xlabel="angle", ylabel="response")
        axes.legend()
        return drawing

    return draw


@pytest.fixture(scope="session")
def small_run() -> list[str]:
    """Arguments of `run` for 01 to 04, as small as they can be."""
    words = (
        "--preset smoke --only 01 02 03 04 -p layer conv2d1 -p samples 300 -p features 64 "
        "-p steps 40 -p passes 2"
    )
    return f"{words} -p visualise_steps 4 -p bank_samples 120 -p bank_steps 20".split()


@pytest.fixture(scope="session")
def command() -> Callable[..., subprocess.CompletedProcess]:
    """Run `python -m gc_utils` in another folder than the notebooks', as a new user may have it."""
    notebooks = Path(__file__).parents[1] / "notebooks"

    def go(*arguments: str, cwd: Path) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-m", "gc_utils", *arguments, "--notebooks", str(notebooks)],
            cwd=cwd,
            capture_output=True,
            text=True,
        )

    return go


@pytest.fixture(scope="session")
def chromium() -> Iterator:
    """Chromium as Playwright drives it, one for all tests: a process can drive only one."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("CI has to have Chromium and playwright")
        pytest.skip("no Chromium, or no playwright to drive it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
