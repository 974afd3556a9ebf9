"""How a notebook is ended, and what is said of it meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import nbformat
import psutil
import pytest

from gc_utils.files import NO_ROOM
from gc_utils.pipeline import execution
from gc_utils.pipeline.execution import doing


class Windows(psutil.Process):
    """As psutil has it there: a process can be killed, but sent none of the signals of Unix."""

    def send_signal(self, sig):
        if sig == signal.SIGINT:
            raise ValueError("only SIGTERM, CTRL_C_EVENT and CTRL_BREAK_EVENT are supported")
        super().send_signal(sig)


class Forbidden(psutil.Process):
    def send_signal(self, sig):
        raise psutil.AccessDenied(self.pid)


@pytest.mark.parametrize("kind", [psutil.Process, Windows, Forbidden])
def test_no_kernel_outlives_an_interrupted_run(kind):
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    children = [subprocess.Popen([sys.executable, "-S", "-c", deaf]) for _ in range(2)]
    worker = threading.Thread(target=lambda: None)
    worker.start()
    try:
        execution._stop({kind(child.pid) for child in children}, worker)
        assert [child.wait(10) is not None for child in children] == [True, True]
    finally:
        for child in children:
            child.kill()
            child.wait()


def test_a_kernel_that_is_gone_already_does_not_keep_the_others():
    children = [subprocess.Popen([sys.executable, "-S", "-c", "input()"]) for _ in range(2)]
    kernels = [psutil.Process(child.pid) for child in children]
    children[0].kill()
    children[0].wait()
    worker = threading.Thread(target=lambda: None)
    worker.start()
    execution._stop(dict.fromkeys(kernels), worker)
    assert children[1].wait(10) is not None


def notebook(*texts: str):
    outputs = [nbformat.v4.new_output("display_data", {"text/plain": text}) for text in texts]
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("?"), nbformat.v4.new_code_cell(outputs=outputs)]
    )


BAR = "orbits:  45%|####5     | 900/2000 [00:10<00:12, 90.00orbit/s]"


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([BAR], "orbits 900/2000, 00:12 left"),
        (
            ["done: 100%|##########| 7/7 [00:01<00:00, 7.00it/s]", BAR],
            "orbits 900/2000, 00:12 left",
        ),
        (["fold 1:   0%|          | 0/400 [00:00<?, ?step/s]"], "fold 1 0/400"),
        (["  3%|3         | 3/99 [1:00:10<32:05:07, fvu=0.3]"], "3/99, 32:05:07 left"),
        (["done: 100%|##########| 7/7 [00:01<00:00, 7.00it/s]"], ""),
        (["a table | of 3/4 [x]", ""], ""),
        ([], ""),
    ],
)
def test_how_far_a_cell_is_is_read_from_its_bar(texts, said):
    assert doing(notebook(*texts), 1) == said
    assert doing(notebook(*texts), 0) == doing(notebook(*texts), 2) == doing(None, 0) == ""


def test_the_bar_of_the_package_is_one_that_can_be_read():
    from gc_utils.progress import progress_bar

    bar = progress_bar(total=2000, initial=0, desc="orbits", unit="orbit")
    bar.n = 900
    bar.set_postfix(fvu="0.3", refresh=False)
    assert doing(notebook(str(bar)), 1).startswith("orbits 900/2000, ")
    bar.close()


@pytest.mark.parametrize(
    ("name", "text", "full"),
    [
        ("OSError", f"[Errno {NO_ROOM[0]}] No space left on device: 'a.csv'", True),
        ("OSError", "[Errno 13] Permission denied", False),
        ("SafetensorError", f"I/O error: No space left on device (os error {NO_ROOM[0]})", True),
        ("DiskFull", "no room on the disk for a", True),
        ("ValueError", "no room on the disk", False),
    ],
)
def test_a_full_disk_is_known_in_whatever_words(name, text, full):
    from papermill import PapermillExecutionError

    error = PapermillExecutionError(1, 1, "x", name, text, [])
    assert execution._is_full(error) == full


@pytest.mark.slow
def test_a_long_cell_says_how_far_it_is(make_notebook, tmp_path):
    wait = "import time\nfrom gc_utils.progress import progress_bar\n"
    wait += "for _ in progress_bar(range(40), desc='waiting'):\n    time.sleep(0.1)"
    path, said = make_notebook("01_first", "seed = 0  # of all", wait), set()
    done = execution.execute(
        path, tmp_path / "out.ipynb", {}, lambda done, cells, seconds, doing: said.add(doing)
    )
    assert done.error is None
    assert any(text.startswith("waiting ") and text.endswith(" left") for text in said), said
