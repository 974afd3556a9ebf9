"""What a notebook's or a module's results depend on: its import closure, judged by syntax trees.

    code_digests("notebooks/03_cluster.ipynb")     {"gc_utils.families.distance": "5f0c...", ...}
    code_digest("gc_utils.planted.trials")         one sha256 of the whole closure

A result is stale when code that it imports has changed, and only then. So this module

- follows imports, those inside functions and `importlib.import_module("literal")` among them;
  `if TYPE_CHECKING:` is passed over, because it never runs;
- follows a name through package faces (an `__init__.py` that only hands out names, eagerly or with
  `lazy_loader.attach`) to the module that defines it. Importing one name of a package does not
  make everything that its face imports count. Where it cannot be known which names of a face are
  used (the package is passed on, renamed or given to `getattr`), everything that it hands out
  counts;
- compares syntax trees, so that comments, layout, docstrings and other bare texts do not count;
- counts a packaged data file if a module of the closure names it in a text: by its name
  ("demo.safetensors") or by the end of its path ("weights/demo.safetensors"). Such a name has to
  be written as one literal. A README.md is for people and never counts.

Other packages do not count; a run folder records their versions. `ast.dump` differs between
versions of Python, so what one version recorded is stale for another.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from gc_utils._imports import Code, Reference, read_cells, read_module, sha256
from gc_utils.errors import UserError
from gc_utils.files import is_hidden

SHORT = 12  # hexadecimal digits of a module's digest: enough to see a change, short enough to read
# Attributes of a package that lead to none of its code.
_PLAIN = {"__doc__", "__file__", "__name__", "__package__", "__path__", "__spec__", "__version__"}


def module_closure(
    start: str | os.PathLike, package: str | os.PathLike | None = None
) -> tuple[str, ...]:
    """The package's modules that a notebook or module depends on.

    Args:
        start: the path of a notebook (`.ipynb`), or a module's name such as "gc_utils.groups".
            A module is part of its own closure; the name of a package face stands for all that
            the face hands out.
        package: the folder of the package; None for this one.

    Returns:
        Sorted names of modules. Faces are not among them: they define nothing.

    Raises:
        UserError: there is no such notebook or module, or the file is not a notebook.
    """
    return tuple(sorted(_walk(start, package).found))


def code_digests(
    start: str | os.PathLike, package: str | os.PathLike | None = None
) -> dict[str, str]:
    """A digest for each part of the closure, to say later which part has changed.

    Args:
        start: as for `module_closure`. A notebook's own cells are not included (`cells_digest`).
        package: the folder of the package; None for this one.

    Returns:
        The first `SHORT` hexadecimal digits of each sha256, by name, sorted: of a module's syntax
        tree ("gc_utils.groups"), of the names that are followed through a face ("gc_utils.images"),
        and of a data file's bytes ("gc_utils/weights/demo.safetensors").

    Raises:
        UserError: as for `module_closure`.
    """
    return {name: digest[:SHORT] for name, digest in _walk(start, package).digests().items()}


def code_digest(start: str | os.PathLike, package: str | os.PathLike | None = None) -> str:
    """One sha256 of the closure: another one if and only if code that it reaches has changed.

    Args:
        start: as for `module_closure`.
        package: the folder of the package; None for this one.

    Raises:
        UserError: as for `module_closure`.
    """
    parts = _walk(start, package).digests().items()
    return sha256("".join(f"{name} {digest}\n" for name, digest in parts))


def cells_digest(notebook: str | os.PathLike) -> str:
    """sha256 of a notebook's code: neither Markdown, outputs, metadata nor comments count.

    Raises:
        UserError: there is no such notebook, or the file is not one.
    """
    return _notebook(Path(notebook), "").digest


def changed_parts(before: dict[str, str], now: dict[str, str], most: int = 4) -> str:
    """Which parts of a closure differ, in words; empty if none does.

    Args:
        before, now: of `code_digests`.
        most: how many names to give at most; the number of the others is said.
    """
    names = sorted(n for n in before.keys() | now.keys() if before.get(n) != now.get(n))
    others = len(names) - most
    return ", ".join(names[:most]) + (f" and {others} more" if others > 0 else "")


class _Walk:
    """Goes from reference to reference through one package."""

    def __init__(self, package: str | os.PathLike | None) -> None:
        self.root = Path(package or Path(__file__).parent).absolute()
        self.files: dict[str, Path] = {}
        self.data: dict[str, Path] = {}
        for path in sorted(self.root.rglob("*")):
            inside = path.relative_to(self.root.parent)
            if is_hidden(inside.relative_to(self.root.name)) or "__pycache__" in inside.parts:
                continue
            if path.suffix == ".py":
                parts = inside.parent if path.stem == "__init__" else inside.with_suffix("")
                self.files[".".join(parts.parts)] = path
            elif path.is_file() and path.name != "README.md":
                self.data[inside.as_posix()] = path
        self.found: dict[str, Code] = {}
        self.texts: set[str] = set()
        self.links: dict[str, set[str]] = {}  # by face: the names followed through it, and whither
        self._seen: set[tuple[Reference, bool]] = set()
        self._read: dict[str, Code] = {}

    def follow(self, reference: Reference, used: bool) -> None:
        """Add what a reference leads to.

        Args:
            reference: a module, and names in it.
            used: whether something is done with what it leads to. A package face that is imported
                and not used adds nothing; one that is used as a whole adds all it hands out.
        """
        module, names = reference
        if (reference, used) in self._seen or module not in self.files:
            return
        self._seen.add((reference, used))
        for parent in _parents(module):  # Python runs them first
            if parent in self.files and self._code(parent).hands_out is None:
                self.add(parent)
        code = self._code(module)
        if code.hands_out is None:
            self.add(module)
        if not self._is_package(module):
            return  # what it hands on from other modules is in its own closure
        if not names:
            if used and (code.hands_out is not None or "__getattr__" in code.defined):
                self._everything(module)
            return
        first, rest = names[0], names[1:]
        if target := (code.hands_out or {}).get(first):
            self._link(module, first, target)
            self.follow((target[0], target[1] + rest), used)
        elif f"{module}.{first}" in self.files:
            self.follow((f"{module}.{first}", rest), used)
        elif not (first in (code.hands_out or ()) or first in code.defined | _PLAIN):
            self._everything(module)

    def add(self, module: str) -> None:
        """Add a module and its closure."""
        if module not in self.found:
            code = self.found[module] = self._code(module)
            self.include(code)

    def include(self, code: Code) -> None:
        """Add what a piece of code leads to."""
        self.texts |= code.texts
        for reference in code.imported:
            self.follow(reference, used=False)
        for reference in code.used:
            self.follow(reference, used=True)

    def digests(self) -> dict[str, str]:
        """sha256 of every part, by name, sorted."""
        parts = {module: code.digest for module, code in self.found.items()}
        parts |= {face: sha256("\n".join(sorted(links))) for face, links in self.links.items()}
        for name, path in self.data.items():
            tails = name.split("/")
            if any("/".join(tails[i:]) in self.texts for i in range(len(tails))):
                parts[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return dict(sorted(parts.items()))

    def _everything(self, package: str) -> None:
        """Add all that a package hands out or, if it names nothing, all that lies in it."""
        code = self._code(package)
        targets = {name: target for name, target in (code.hands_out or {}).items() if target}
        for name, target in targets.items():
            self._link(package, name, target)
            self.follow(target, used=True)
        for star in code.stars:
            self.follow((star, ()), used=True)
        if not targets and not code.stars:
            for module in self.files:
                if module.rpartition(".")[0] == package:
                    self.follow((module, ()), used=True)

    def _link(self, face: str, name: str, target: Reference) -> None:
        self.links.setdefault(face, set()).add(f"{name} {'.'.join((target[0], *target[1]))}")

    def _is_package(self, module: str) -> bool:
        return self.files[module].name == "__init__.py"

    def _code(self, module: str) -> Code:
        if module not in self._read:
            data = self.files[module].read_bytes()
            self._read[module] = read_module(data, module, self._is_package(module), self.root.name)
        return self._read[module]


def _walk(start: str | os.PathLike, package: str | os.PathLike | None) -> _Walk:
    walk = _Walk(package)
    if str(start).endswith(".ipynb"):
        walk.include(_notebook(Path(start), walk.root.name))
    elif (name := str(start)) in walk.files:
        walk.follow((name, ()), used=True)
    else:
        raise UserError(
            f"no module {name!r} in {str(walk.root)!r}: expected a name such as "
            f"'{walk.root.name}.groups', or the path of a notebook (.ipynb)"
        )
    return walk


def _notebook(path: Path, top: str) -> Code:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the notebook {str(path)!r}: {error}") from error
    try:
        cells = json.loads(data)["cells"]
        # The format allows a text or a list of its lines.
        sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{str(path)!r} is not a notebook of format 4: {error!r}; save it again in Jupyter"
        ) from error
    return read_cells(tuple(sources), top)


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]
