"""Run one notebook with papermill, in this very interpreter, and say how it went."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from gc_utils.errors import UserError
from gc_utils.files import NO_ROOM, out_of_room, write_whole

KERNEL = "gc_utils"
WEIGH_EVERY = 2.0  # seconds at most between looks at memory: to find the processes takes time
MODULES = "GC_UTILS_MODULES"  # as `gc_utils.models.own` reads it, not imported: it brings torch
# A line of `progress_bar`, as tqdm writes it: "orbits:  45%|###  | 90/200 [00:10<00:12, 9orbit/s]".
BAR = re.compile(
    r"^ *(?:(?P<what>[^|]*): +)?\d+%\|.*\| *(?P<n>\S+)/(?P<of>\S+) \[[\d:]+<(?P<left>[\d:?]+)"
)
# glibc gives the memory of every large tensor back at once, and Linux fills it with zeros when the
# next one asks: without these a step of the orbit encoder takes half as long again.
ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": str(2**25), "MALLOC_TRIM_THRESHOLD_": str(2**29)}


@dataclass(frozen=True)
class Execution:
    """How one notebook went.

    `error` is None or the failing cell, its source and the message, ready to print;
    `peak_memory_mb` is the largest resident size seen of its kernel and the kernel's own processes;
    `out_of_room` says that the error is a full disk.
    """

    seconds: float
    cells: int
    peak_memory_mb: int
    error: str | None
    out_of_room: bool = False


@contextlib.contextmanager
def own_kernel() -> Iterator[str]:
    """Offer a kernel that is `sys.executable` with this package; yields its name.

    A virtual environment need not have registered a kernel, and a registered `python3` may be
    another interpreter altogether.
    """
    package_root = str(Path(__file__).resolve().parents[2])
    with tempfile.TemporaryDirectory(prefix="gc_utils-kernel-") as folder:
        settings = Path(folder, "matplotlibrc")
        settings.write_text("# matplotlib's own settings\n", encoding="utf-8")
        spec = {
            "argv": [
                *[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                # Or every kernel warns about its local sockets, and some, slow to end, of the
                # interrupt that every ending begins with. What a cell raises comes another way.
                "--log-level=CRITICAL",
            ],
            "display_name": "Python 3 (this environment)",
            "language": "python",
            "env": {
                "PYTHONPATH": _prepend(package_root, os.environ.get("PYTHONPATH")),
                # A kernel starts in the notebook's folder, and a network of one's own lies here.
                MODULES: os.environ.get(MODULES) or os.getcwd(),
                # No start-up files or settings of the user's own IPython or matplotlib: clusters
                # set MPLBACKEND=Agg, with which a notebook keeps no picture, and a matplotlibrc
                # with text.usetex asks for LaTeX.
                "IPYTHONDIR": folder,
                "MATPLOTLIBRC": str(settings),
                "MPLBACKEND": "module://matplotlib_inline.backend_inline",
                **{name: os.environ.get(name, value) for name, value in ALLOCATION.items()},
            },
        }
        home = Path(folder) / "kernels" / KERNEL
        home.mkdir(parents=True)
        (home / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        before = os.environ.get("JUPYTER_PATH")
        os.environ["JUPYTER_PATH"] = _prepend(folder, before)
        try:
            yield KERNEL
        finally:
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before


def execute(
    notebook: Path,
    output: Path,
    parameters: dict,
    on_progress: Callable[[int, int, float, str], None] = lambda done, cells, seconds, doing: None,
) -> Execution:
    """Execute `notebook` into `output`.

    Args:
        notebook: the notebook to run; it is not changed.
        output: where the executed copy goes, written after every cell.
        parameters: values for its `parameters` cell.
        on_progress: called about four times a second with cells done, cells, seconds, and how far
            the running cell's own progress bar is (see `doing`).

    Raises:
        KeyboardInterrupt: after the kernel was stopped.
    """
    state: dict = {"done": 0, "cells": 0, "error": None, "notebook": None}

    def work() -> None:
        try:
            with own_kernel() as kernel:
                _papermill(notebook, output, parameters, kernel, state)
        except BaseException as error:  # noqa: BLE001 - raised in the caller below
            state["error"] = error

    this = psutil.Process()
    strangers = set(this.children())
    started = time.monotonic()
    peak, weighed = 0, -math.inf
    # In a thread of its own, so that Ctrl-C arrives here and not inside nbclient, which would
    # report it as a kernel that died.
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        while worker.is_alive():
            worker.join(0.25)
            seconds = time.monotonic() - started
            if seconds - weighed > min(WEIGH_EVERY, seconds / 10):
                peak = max(peak, sum(map(_resident, set(this.children()) - strangers)))
                weighed = seconds
            on_progress(
                state["done"], state["cells"], seconds, doing(state["notebook"], state["done"])
            )
    except KeyboardInterrupt:
        _stop(set(this.children()) - strangers, worker)
        raise
    return Execution(
        seconds=round(time.monotonic() - started, 1),
        cells=state["cells"],
        peak_memory_mb=peak >> 20,
        error=None if state["error"] is None else _explain(state),
        out_of_room=_is_full(state["error"]),
    )


def doing(notebook: Any, cell: int) -> str:
    """How far the running cell's progress bar is, such as "orbits 90/200, 00:12 left".

    Args:
        notebook: as it is being executed; None before that.
        cell: the running cell's place.

    Returns:
        Of the last bar that has not come to its end; empty without one.
    """
    if notebook is None or cell >= len(notebook.cells):
        return ""
    for output in reversed(list(notebook.cells[cell].get("outputs", []))):
        found = BAR.match(str(output.get("data", {}).get("text/plain", "")))
        if found and found["n"] != found["of"]:
            left = "" if "?" in found["left"] else f", {found['left']} left"
            return f"{found['what'] or ''} {found['n']}/{found['of']}{left}".strip()
    return ""


def _papermill(notebook: Path, output: Path, parameters: dict, kernel: str, state: dict) -> None:
    import logging

    import papermill
    from papermill.engines import NBClientEngine, papermill_engines
    from papermill.iorw import LocalHandler, papermill_io

    class Whole(LocalHandler):
        """Writes the notebook after every cell; whoever is killed meanwhile leaves the last."""

        def write(self, buf, path):
            with write_whole(path) as draft:
                draft.write_text(buf, encoding="utf-8")

    class Engine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, manager, kernel_name, **options):
            cell_complete = manager.cell_complete
            state["cells"], state["notebook"] = len(manager.nb.cells), manager.nb

            def count(cell, cell_index=None, **more):
                cell_complete(cell, cell_index=cell_index, **more)
                state["done"] = cell_index + 1

            manager.cell_complete = count
            return super().execute_managed_notebook(manager, kernel_name, **options)

    papermill_engines.register(KERNEL, Engine)
    papermill_io.register(str(output), Whole())
    # What went wrong is reported once, by us.
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    papermill.execute_notebook(
        _as_it_is(notebook),
        _as_it_is(output),
        parameters=parameters,
        engine_name=KERNEL,
        kernel_name=kernel,
        language="python",
        progress_bar=False,
        cwd=notebook.parent,
    )


def _as_it_is(path: Path) -> str:
    """A path in which papermill, which takes it for a format string, finds nothing to fill in."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _explain(state: dict) -> str:
    """The failing cell's number, the lines around the failing one, and the error."""
    from nbclient.exceptions import DeadKernelError
    from papermill import PapermillExecutionError

    error = state["error"]
    if isinstance(error, UserError):
        return f"cell {min(state['done'] + 1, state['cells'])} of {state['cells']}: {error}"
    if isinstance(error, DeadKernelError):
        cell = min(state["done"] + 1, state["cells"])
        return f"cell {cell} of {state['cells']}: the kernel died (was there enough memory?)"
    if not isinstance(error, PapermillExecutionError):
        return f"it could not be run: {type(error).__name__}: {error}"
    colours = re.compile(r"\x1b\[[0-9;]*m")
    trace = colours.sub("", "\n".join(error.traceback))
    found = re.search(r"Cell In\[\d+\], line (\d+)", trace)
    lines = error.source.splitlines()
    at = min(int(found[1]) if found else 1, len(lines))
    excerpt = [
        ("  > " if number == at else "    ") + line
        for number, line in enumerate(lines, start=1)
        if at - 2 <= number <= at + 1
    ]
    return "\n".join(
        [
            f"cell {error.cell_index + 1} of {state['cells']}:",
            *excerpt,
            f"{error.ename}: {colours.sub('', error.evalue)}",
            *["The disk is full: make room, and give the same command again."] * _is_full(error),
        ]
    )


def _is_full(error: BaseException | None) -> bool:
    """Whether a notebook, or what writes it, ran out of room on the disk."""
    if error is None or out_of_room(error):
        return error is not None
    said = f"{getattr(error, 'ename', '')}: {getattr(error, 'evalue', '')}"
    numbers = "|".join(map(str, NO_ROOM))
    return bool(
        re.match(rf"DiskFull: |\w*Error: .*(\[Errno ({numbers})\]|os error ({numbers})\))", said)
    )


def _stop(kernels: set[psutil.Process], worker: threading.Thread) -> None:
    """Interrupt kernels, so that their cells can tidy up, and end those that do not listen."""
    heard = [_interrupt(kernel) for kernel in kernels]
    if any(heard):
        worker.join(5)
    killed = []
    for kernel in kernels:
        family = [kernel]
        with contextlib.suppress(psutil.Error):
            family = [*kernel.children(recursive=True), kernel]
        for process in family:
            with contextlib.suppress(psutil.Error, OSError):
                process.kill()
                killed.append(process)
    psutil.wait_procs(killed, timeout=5)
    worker.join(5)


def _interrupt(kernel: psutil.Process) -> bool:
    """Send a process what Ctrl-C sends; False where there is no such thing, as on Windows."""
    try:
        kernel.send_signal(signal.SIGINT)
    except (ValueError, OSError, psutil.Error):
        return False
    return True


def _resident(process: psutil.Process) -> int:
    """Bytes of memory held by a process and its children, 0 when it is gone."""
    total = 0
    with contextlib.suppress(psutil.Error):
        for member in [process, *process.children(recursive=True)]:
            total += member.memory_info().rss
    return total


def _prepend(folder: str, path: str | None) -> str:
    return folder if not path else folder + os.pathsep + path
