"""A notebook that somebody opens by itself: which run it looks at, and a small one in Colab.

A notebook reads what earlier ones left in its run folder. Whoever opens it alone in Colab, where
every notebook has a machine of its own, has none: there a small run is made first, as far as the
notebook needs it. Everywhere else a run that is missing is an error; and so it is in Colab for a
`run_dir` that somebody typed. The environment variable `GC_UTILS_RUN` names a run that is looked at
instead, by every notebook whose `run_dir` is left as it is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gc_utils.errors import UserError
from gc_utils.progress import in_kernel

DEFAULT = "runs/demo"  # every notebook's run_dir
NAMED = "GC_UTILS_RUN"
SMALL = Path("runs", "small")
PRESET = "smoke"


def named_run(run_dir: str | os.PathLike) -> str:
    """The run that `GC_UTILS_RUN` names; empty unless a notebook's `run_dir` is the default."""
    named = os.environ.get(NAMED, "")
    return named if named and named != DEFAULT and in_kernel() and _default(run_dir) else ""


def small_run(run_dir: str | os.PathLike) -> Path | None:
    """The folder of the small run that a notebook opened alone in Colab looks at.

    Args:
        run_dir: The notebook's parameter; there is no such folder.

    Returns:
        A folder that exists, and may be empty; None anywhere else than in Colab, and if somebody
        has set `run_dir`.

    Raises:
        UserError: It cannot be made.
    """
    if not (_default(run_dir) and _in_colab()):
        return None
    folder = Path.cwd() / SMALL
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the run folder {str(folder)!r}: {error}") from error
    print(
        f"There is no {DEFAULT} here, so this notebook looks at a small run, {folder} (preset "
        f"{PRESET}: no result to trust), and makes what is missing there. To look at another run, "
        f"set run_dir, or the environment variable {NAMED}."
    )
    return folder


def make_up_to(folder: Path, notebook: str) -> None:
    """Run notebooks of the small run, as far as one that makes a product; shows their progress.

    Args:
        folder: A run folder. Nothing is done unless it is that of `small_run`.
        notebook: The last one to run, such as "04_symmetry"; those that it needs go first. What is
            done already is not done again.

    Raises:
        UserError: One of them failed.
    """
    if not (folder == Path.cwd() / SMALL and _in_colab()):
        return
    print(f"A few minutes: the notebooks up to {notebook}, small.", flush=True)
    words = ["run", "--preset", PRESET, "--output", str(folder), "--only", notebook]
    package = str(Path(__file__).resolve().parents[1])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    with subprocess.Popen(
        [sys.executable, "-m", "gc_utils", *words, "--with-needed"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONIOENCODING": "utf-8"},
    ) as process:
        try:
            while shown := os.read(process.stdout.fileno(), 4096):
                print(shown.decode("utf-8", "replace"), end="", flush=True)
        except BaseException:
            process.terminate()  # as Ctrl-C: what is done is kept
            raise
    if process.returncode:
        raise UserError(f"the small run in {folder} stopped; what it said stands above.")


def _default(run_dir: str | os.PathLike) -> bool:
    return os.fspath(run_dir) == DEFAULT


def _in_colab() -> bool:
    here = "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ
    return here and in_kernel()
