"""Where run folders are, what earlier notebooks left in them, and which files are no one's.

    run_dir = find_run("runs/demo")
    report = pd.read_csv(product(run_dir, "features.csv", made_by="04_symmetry"))

Jupyter starts a notebook in the notebook's own folder, and a person starts the runner in the
repository's root: `runs/demo` has to mean the same folder in both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from gc_utils.errors import UserError

LEFT_BEHIND = frozenset({"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"})


def find_run(run_dir: str | os.PathLike, *, create: bool = False) -> Path:
    """The run folder that a path stands for.

    An absolute path is taken as it is. A relative one is looked for in the current folder, then
    in the repository's root (the folder that holds `gc_utils/` and `notebooks/`); the first folder
    that exists is used. If neither exists and `create` is set, the folder is made in the current
    folder, except that from the repository's `notebooks/` it is made in the root, where
    `python -m gc_utils run` finds it too. A path that leads upwards (`../runs/demo`) counts from
    the current folder only.

    Args:
        run_dir: the path asked for, such as "runs/demo"; `~` is the home folder.
        create: make the folder if there is none, as a notebook does that reads no earlier product.

    Returns:
        The absolute path of a folder that exists.

    Raises:
        UserError: there is no such folder (names the places looked at, and the runs that exist),
            or it cannot be made.
    """
    places = _places(run_dir)
    for place in places:
        if place.is_dir():
            return place
    if not create:
        raise UserError(
            f"no run folder {str(run_dir)!r}: looked for {_and(places)}. Make one with "
            f"`python -m gc_utils run`, or set run_dir to a run that exists{_existing(places)}"
        )
    root = _repository()
    from_notebooks = root is not None and Path.cwd() == root / "notebooks"
    new = places[-1 if from_notebooks else 0]
    try:
        new.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the run folder {str(new)!r}: {error}") from error
    return new


def product(run_dir: str | os.PathLike, name: str, made_by: str) -> Path:
    """What an earlier notebook left in the run folder.

    Args:
        run_dir: the run folder, as `find_run` returns it.
        name: the product's path in the run folder, such as "features.csv".
        made_by: the notebook that makes it, such as "04_symmetry".

    Returns:
        The absolute path of a file or folder that exists.

    Raises:
        UserError: it is not there; names the path looked at, the notebook that makes it, and the
            runs that exist.
    """
    folder = Path(os.path.abspath(Path(run_dir).expanduser()))
    path = folder / name
    if path.exists():
        return path
    raise UserError(
        f"no {name} in this run folder: looked for {str(path)!r}. Run the notebook {made_by} with "
        f"the same run_dir first, or set run_dir to another run{_existing([folder], name)}"
    )


def _repository() -> Path | None:
    """The repository's root; None for a package that was installed without its notebooks."""
    # The current folder first: the package may be that of another checkout, or an installed one.
    for root in (Path.cwd(), Path.cwd().parent, Path(__file__).resolve().parents[1]):
        notebooks = (root / "notebooks").glob("[0-9][0-9]_*.ipynb")
        if (root / "gc_utils" / "__init__.py").is_file() and any(notebooks):
            return root
    return None


def _places(run_dir: str | os.PathLike) -> list[Path]:
    """The absolute paths that a run folder's path may stand for, in the order of preference."""
    asked = Path(os.path.normpath(Path(run_dir).expanduser()))
    places, root = [Path(os.path.abspath(asked))], _repository()
    if root and not asked.is_absolute() and ".." not in asked.parts and root / asked not in places:
        places.append(root / asked)
    return places


def _existing(places: list[Path], name: str = "") -> str:
    """The end of a message: what has a `run.json`, beside `places` and under `runs/`."""
    roots = [root for root in (Path.cwd(), _repository()) if root]
    folders = dict.fromkeys([*(p.parent for p in places), *(root / "runs" for root in roots)])
    runs = {path.parent for folder in folders for path in folder.glob("*/run.json")}
    if not (runs := sorted(runs - set(places))):
        return "; there is no other yet."
    told = [
        f"{str(run)!r}" + (f" (without {name})" if name and not (run / name).exists() else "")
        for run in runs
    ]
    return f". Runs that exist: {', '.join(told)}."


def _and(places: list[Path]) -> str:
    return " and ".join(repr(str(place)) for place in places)


def is_hidden(path: str | os.PathLike) -> bool:
    """Whether a file is one that programs leave beside a person's own.

    Those are what begins with a dot (`.ipynb_checkpoints`, `.DS_Store`, the `._name` files of a
    Mac), what lies in the `__MACOSX` of a zip file or in the `@eaDir` of a network drive, and the
    `Thumbs.db` and `desktop.ini` of Windows.

    Args:
        path: relative to the folder that a person named: the folders above it do not count, as
            in `~/.cache/photos`.

    Returns:
        True if any component of the path is such a name.
    """
    return any(part.startswith(".") or part in LEFT_BEHIND for part in Path(path).parts)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    draft.write_text(text + "\n", encoding="utf-8")
    os.replace(draft, path)


class Ledger:
    """Rows of a long table, kept in a file as they are made, so that a run can be taken up again.

    Args:
        path: a JSON file.
        **settings: what the rows depend on beside their keys; rows of other settings are dropped.
    """

    def __init__(self, path: str | os.PathLike, **settings) -> None:
        self.path = Path(path)
        self.settings = json.loads(json.dumps(settings))
        self.rows: list[dict] = []
        self.asked: list[dict] = []
        if self.path.exists():
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if found["settings"] == self.settings:
                self.rows = found["rows"]

    def row(self, make: Callable[[], Mapping], **key: str | float) -> dict:
        """The row of a key: the one that is there, or what `make` returns, written at once."""
        for row in self.rows:
            if all(row.get(name) == value for name, value in key.items()):
                break
        else:
            row = {**make(), **key}
            self.rows.append(row)
            write_json(self.path, {"settings": self.settings, "rows": self.rows})
        if row not in self.asked:
            self.asked.append(row)
        return row

    def table(self, **key: str | float) -> pd.DataFrame:
        """The rows asked for so far, in that order, whose columns have the given values.

        What an earlier run left and nobody has asked for yet is not among them: a table is the same
        whether its run was interrupted or not.
        """
        return pd.DataFrame([r for r in self.asked if all(r.get(n) == v for n, v in key.items())])
