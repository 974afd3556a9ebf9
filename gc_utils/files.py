"""Run folders and their products, files written whole, checkpoints, and ledgers of results.

    run_dir = find_run("runs/demo")
    report = pd.read_csv(product(run_dir, "features.csv", made_by="04_symmetry"))

Jupyter starts a notebook in the notebook's own folder, and a person starts the runner in the
repository's root: `runs/demo` has to mean the same folder in both.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from gc_utils.errors import UserError, brief
from gc_utils.opened_alone import NAMED, make_up_to, named_run, small_run

if TYPE_CHECKING:  # the command line reads and writes files without waiting for torch
    import torch

LEFT_BEHIND = frozenset({"__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini"})


def typed_path(text: str | os.PathLike, what: str = "path") -> Path:
    """A path as a person typed it: `~` is a home folder, which no shell expands in `--output=~/x`.

    Args:
        text: the path, absolute or relative.
        what: where it was typed, for the message (`"--output"`).

    Returns:
        The path with `~` expanded, no more: it need not exist.

    Raises:
        UserError: the home folder is nobody's, or the text cannot be a path.
    """
    if "\0" in str(text):
        raise UserError(f"{what} {brief(repr(str(text)))} holds a null character: leave it out.")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{what} {brief(repr(str(text)))}: there is no such home folder; write ./~… for a "
            "folder that is called so, or the path in full."
        ) from error


def find_run(
    run_dir: str | os.PathLike,
    *,
    create: bool = False,
    remedy: str = "set run_dir to a run that exists",
) -> Path:
    """The run folder that a path stands for.

    An absolute path is taken as it is. A relative one is looked for in the current folder, then
    in the repository's root (the folder that holds `gc_utils/` and `notebooks/`); the first folder
    that exists is used. If neither exists and `create` is set, the folder is made in the current
    folder, except that from the repository's `notebooks/` it is made in the root, where
    `python -m gc_utils run` finds it too. A path that leads upwards (`../runs/demo`) counts from
    the current folder only.

    In a notebook whose `run_dir` is left at "runs/demo", the environment variable `GC_UTILS_RUN`
    names the folder instead; in Colab, where there is none, it is that of a small run, which
    `product` then fills (see `gc_utils.opened_alone`).

    Args:
        run_dir: the path asked for, such as "runs/demo"; `~` is the home folder.
        create: make the folder if there is none, as a notebook does that reads no earlier product.
        remedy: what a person can do who did not mean to make a run, in the words of the place
            where they named it: a notebook's parameter, or an option of the command line.

    Returns:
        The absolute path of a folder that exists.

    Raises:
        UserError: there is no such folder (names the places looked at, and the runs that exist),
            it is a file, or it cannot be made.
    """
    if named := named_run(run_dir):
        folder = find_run(named, create=create, remedy=f"set {NAMED} to a run that exists")
        print(f"Run folder: {folder} ({NAMED})")
        return folder
    places = _places(run_dir)
    for place in places:
        if place.is_dir():
            return place
    for place in places:
        if place.is_file():
            folder = place.parent if place.name == "run.json" else None
            named = f" that holds it, {str(folder)!r}" if folder else " of a run"
            raise UserError(f"{str(place)!r} is a file, not a run folder: name the folder{named}.")
    if not create:
        if small := small_run(run_dir):
            return small
        raise UserError(
            f"no run folder {str(run_dir)!r}: looked for {_and(places)}. Make one with "
            f"`python -m gc_utils run`, or {remedy}{_existing(places)}"
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
    folder = Path(os.path.abspath(typed_path(run_dir, "run folder")))
    path = folder / name
    if not path.exists():
        make_up_to(folder, made_by)
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
    asked = Path(os.path.normpath(typed_path(run_dir, "run folder")))
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
    names = [
        f"{str(run)!r}" + (f" (without {name})" if name and not (run / name).exists() else "")
        for run in runs
    ]
    return f". Runs that exist: {', '.join(names)}."


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


@contextmanager
def write_whole(path: str | os.PathLike, *, shared: bool = False) -> Iterator[Path]:
    """Write a file or a folder so that a reader finds the old one or the new one, never a part.

        with write_whole(path) as draft:
            draft.write_text(text, encoding="utf-8")

    The draft lies beside the path, whose folder is made if there is none. It takes the path's name
    when the block ends, and is deleted when the block raises. A draft that a killed process left
    behind is deleted first.

    Args:
        path: the file or folder. A file of that name is replaced; a folder must not exist yet.
        shared: other processes may write the same path at the same time, as in a cache that all
            runs share. The draft then carries the number of this process.

    Yields:
        The path to write to.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.part" if shared else f"{path.name}.part")
    _delete(draft)
    try:
        yield draft
        os.replace(draft, path)
    except BaseException:
        _delete(draft)
        raise


def _delete(path: Path) -> None:
    """Delete a file or a folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write JSON with `write_whole`.

    Args:
        path: the file.
        content: what to write; numbers must be finite.
    """
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    with write_whole(path) as draft:
        draft.write_text(text + "\n", encoding="utf-8")


# Checkpoints: tensors and the state of an optimiser in one safetensors file

_STATE = "adam."  # prefix of the optimiser's tensors in a file


def git_blob_id(data: bytes) -> str:
    """The id under which git stores a file: `sha1("blob <size>\\0" + bytes)`."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def save_checkpoint(
    path: str | os.PathLike,
    tensors: Mapping[str, torch.Tensor],
    optimiser: torch.optim.Optimizer,
    notes: Mapping[str, str],
) -> None:
    """Write everything that the next step of a training depends on, in one safetensors file.

    Args:
        path: the file; it is written whole or not at all.
        tensors: parameters and whatever else the training needs, by name. No name begins with
            "adam.", which marks the state of the optimiser.
        optimiser: its state is saved as far as it consists of tensors, as that of Adam does. Its
            settings (learning rate and so on) are not saved.
        notes: text for the file's metadata, such as the number of steps done.
    """
    from safetensors.torch import save_file

    state = optimiser.state_dict()["state"]
    tensors = dict(tensors) | {
        f"{_STATE}{i}.{name}": value for i, one in state.items() for name, value in one.items()
    }
    with write_whole(path) as draft:
        whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        save_file(whole, draft, dict(notes))


def load_checkpoint(
    path: str | os.PathLike, optimiser: torch.optim.Optimizer, *, device: str = "cpu"
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read a file written by `save_checkpoint`.

    Args:
        path: the file.
        optimiser: takes over the state that was saved; it keeps its own settings.
        device: where the tensors go.

    Returns:
        The tensors by name, without those of the optimiser, and the notes.

    Raises:
        UserError: the file is damaged or is not a safetensors file.
    """
    from safetensors.torch import load_file

    notes = read_notes(path)
    tensors, state = {}, {}
    for name, value in load_file(path, device=device).items():
        if name.startswith(_STATE):
            i, key = name.removeprefix(_STATE).split(".")
            state.setdefault(int(i), {})[key] = value
        else:
            tensors[name] = value
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    return tensors, notes


def read_notes(path: str | os.PathLike) -> dict[str, str]:
    """The metadata of a safetensors file; no tensor is read.

    Args:
        path: the file.

    Returns:
        Texts by name; empty if the file has no metadata.

    Raises:
        UserError: the file is damaged or is not a safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise UserError(f"{path} is not a safetensors file: {error}; delete it.") from error


class Ledger:
    """Rows of a long table, kept in a file as they are made, so that a run can be taken up again.

        ledger = Ledger(run_dir / "trials.jsonl", seed=seed)
        for bound in bounds:
            ledger.row(lambda: attack(bound), bound=bound)
        table = ledger.table()

    The file has one JSON object a line: first the settings, then the rows. A row is appended as
    soon as it is made. A process that is killed while it writes leaves a line that is cut short;
    that line is dropped, and its row is made again.

    Args:
        path: the file.
        **settings: what the rows depend on besides their keys. If the file was made with other
            settings, its rows are not used, and the first new row replaces the file.
    """

    def __init__(self, path: str | os.PathLike, **settings) -> None:
        self.path = Path(path)
        self.settings = _as_json(settings)
        self.rows: list[dict] = []
        self.asked: list[dict] = []
        self._whole = False  # whether the file holds the settings and `rows`, and nothing else
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        first, *lines = self.path.read_text(encoding="utf-8").split("\n")
        if _parsed(first) != {"settings": self.settings}:
            return
        rows = [_parsed(line) for line in lines[:-1]]
        self.rows = [row for row in rows if row is not None]
        # Every line ends with a newline, so that whatever follows the last one is cut short.
        self._whole = lines[-1:] == [""] and None not in rows

    def find(self, **key: str | float) -> dict | None:
        """The first row whose columns have the given values; None if there is no such row."""
        for row in self.rows:
            if all(row.get(name) == value for name, value in key.items()):
                return row
        return None

    def add(self, row: Mapping, **key: str | float) -> dict:
        """Keep a row; it is in the file when this returns.

        Args:
            row: values by column: numbers, texts, and lists of these.
            **key: further columns, by which the row will be found.

        Returns:
            The row as it will be read from the file.
        """
        row = _as_json({**row, **key})
        self.rows.append(row)
        if self._whole:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        else:
            lines = [json.dumps(each) + "\n" for each in ({"settings": self.settings}, *self.rows)]
            with write_whole(self.path) as draft:
                draft.write_text("".join(lines), encoding="utf-8")
            self._whole = True
        return row

    def row(self, make: Callable[[], Mapping], **key: str | float) -> dict:
        """The row of a key: the one that was kept, or else what `make` returns, which is kept."""
        row = self.find(**key)
        if row is None:
            row = self.add(make(), **key)
        if row not in self.asked:
            self.asked.append(row)
        return row

    def table(self, **key: str | float) -> pd.DataFrame:
        """The rows asked for so far, in that order, whose columns have the given values.

        Rows of an earlier run that `row` has not asked for are left out: the table is the same
        whether its run was interrupted or not.
        """
        return pd.DataFrame([r for r in self.asked if all(r.get(n) == v for n, v in key.items())])


def _as_json(content: Any) -> Any:
    """What JSON makes of it: a row that was kept and one that was just made are equal."""
    return json.loads(json.dumps(content))


def _parsed(line: str) -> Any:
    """The content of a line of JSON, None if the line is cut short."""
    try:
        return json.loads(line)
    except ValueError:
        return None
