"""What one file of Python, or a notebook's cells, imports and does: the reading behind `closure`.

Nothing here looks beyond the file at hand; `gc_utils.closure` goes from file to file.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

# A module and names looked up in it one after the other: ("gc_utils", ("figures", "styled")).
Reference = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Code:
    """What one file says, wherever it lies: it depends on the file's bytes and name only."""

    digest: str
    imported: frozenset[Reference]  # by import statements: a module that is run
    used: frozenset[Reference]  # by what is done with the names that imports bind
    texts: frozenset[str]
    # What a face hands out and from where (None: from another package); None if it is no face.
    hands_out: dict[str, Reference | None] | None = None
    stars: tuple[str, ...] = ()
    defined: frozenset[str] = frozenset()


def sha256(text: str) -> str:
    """Hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=2048)
def read_module(data: bytes, name: str, is_package: bool, top: str) -> Code:
    """Read a module; kept by its bytes, so no clock decides whether it has changed.

    Args:
        data: the file's bytes.
        name: the module's, such as "gc_utils.images.orbits".
        is_package: whether the file is an `__init__.py`.
        top: the package whose imports are collected.
    """
    try:
        tree = _Bare().visit(ast.parse(data))
    except (SyntaxError, ValueError):  # it cannot be run either; it counts as it stands
        return Code(hashlib.sha256(data).hexdigest(), frozenset(), frozenset(), frozenset())
    found = _Reader(top, name if is_package else name.rpartition(".")[0])
    found.visit(tree)
    code = found.code(sha256(ast.dump(tree)))
    return _as_package(code, tree, name, found) if is_package else code


@lru_cache(maxsize=256)
def read_cells(sources: tuple[str, ...], top: str) -> Code:
    """Read a notebook's code cells.

    Args:
        sources: the text of each.
        top: the package whose imports are collected.

    Returns:
        The code; its digest depends on where one cell ends and the next begins.
    """
    found, dumps = _Reader(top, ""), []
    for source in sources:
        tree = _parse_cell(source)
        if tree is None:
            dumps.append(source)
        elif tree.body:
            # A text that stands alone in a cell is shown: it is no docstring.
            tree.body = _Bare().statements(tree.body, keep_texts=True)
            dumps.append(ast.dump(tree))
            found.visit(tree)
    return found.code(sha256("\0".join(dumps)))


def _parse_cell(source: str) -> ast.Module | None:
    """A cell's tree, IPython's magics turned to calls; None if it is not Python even so."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    def parse(text: str) -> ast.Module:
        return compile(text, "cell", "exec", flags, dont_inherit=True)

    try:
        return parse(source)
    except (SyntaxError, ValueError):
        # Only now, because it takes long to import.
        from IPython.core.inputtransformer2 import TransformerManager

    magic, _, body = source.lstrip().partition("\n")
    try:
        tree = parse(TransformerManager().transform_cell(source))
        if magic.startswith("%%"):  # `%%time` runs the cell's code, which then is but a text
            inner = _parse_cell(body)
            tree.body += inner.body if inner else []
        return tree
    except (SyntaxError, ValueError):
        return None


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


class _Bare(ast.NodeTransformer):
    """Takes out of a tree what cannot change what the code does when it runs."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if _is_text(node) else self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        test = node.test
        named = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
        if named != "TYPE_CHECKING":
            return self.generic_visit(node)
        return self.statements(node.orelse)

    def statements(self, nodes: list[ast.stmt], keep_texts: bool = False) -> list[ast.stmt]:
        """The statements that stay."""
        stay: list[ast.stmt] = []
        for node in nodes:
            kept = node if keep_texts and _is_text(node) else self.visit(node)
            stay += kept if isinstance(kept, list) else [kept] if kept else []
        return stay


class _Reader(ast.NodeVisitor):
    """Collects imports of one package and what is done with the names that they bind.

    Scopes are not told apart: a local variable with an imported name's name counts as a use of it.
    """

    def __init__(self, top: str, here: str) -> None:
        self.top, self.here = top, here
        self.bound: dict[str, set[Reference]] = {}
        self.imported: set[Reference] = set()
        self.whole: set[Reference] = set()
        self.stars: list[str] = []
        self.chains: set[tuple[str, ...]] = set()
        self.texts: set[str] = set()

    def code(self, digest: str) -> Code:
        used = {
            (module, names + chain[1:])
            for chain in self.chains
            for module, names in self.bound.get(chain[0], ())
        }
        return Code(
            digest,
            frozenset(self.imported),
            frozenset(used | self.whole),
            frozenset(self.texts),
            stars=tuple(self.stars),
        )

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            first = alias.name.partition(".")[0]
            if first == self.top:
                self.imported.add((alias.name, ()))
                name = alias.name if alias.asname else first
                self._bind(alias.asname or first, (name, ()))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = self._absolute(node.level, node.module or "")
        if module.partition(".")[0] != self.top:
            return
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(module)
                self.whole.add((module, ()))
            else:
                self.imported.add((module, (alias.name,)))
                self._bind(alias.asname or alias.name, (module, (alias.name,)))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        names, value = [node.attr], node.value
        while isinstance(value, ast.Attribute):
            names.append(value.attr)
            value = value.value
        if isinstance(value, ast.Name):
            self.chains.add((value.id, *reversed(names)))
        else:
            self.visit(value)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.chains.add((node.id,))

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.texts.add(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        function = getattr(node.func, "attr", getattr(node.func, "id", ""))
        given = node.args[0] if node.args else None
        if function in ("import_module", "__import__") and isinstance(given, ast.Constant):
            name = str(given.value)
            dots = len(name) - len(name.lstrip("."))
            self.whole.add((self._absolute(dots, name[dots:]), ()))
        self.generic_visit(node)

    def _bind(self, name: str, reference: Reference) -> None:
        self.bound.setdefault(name, set()).add(reference)

    def _absolute(self, level: int, module: str) -> str:
        """A relative import's module, from the package that this file is in."""
        if not level:
            return module
        parts = self.here.split(".")
        base = parts[: len(parts) - level + 1]
        return ".".join([*base, module] if module else base)


# --- package faces -------------------------------------------------------------------------------


def _as_package(code: Code, tree: ast.Module, name: str, found: _Reader) -> Code:
    """The code of an `__init__.py`, with what it hands out if it does nothing else."""
    hands_out: dict[str, Reference | None] | None = {}
    for statement in tree.body:
        handed = _handed_out(statement, name, found)
        if handed is None:
            hands_out = None
            break
        hands_out |= handed
    return replace(code, hands_out=hands_out, defined=frozenset(_defined(tree)))


def _handed_out(
    statement: ast.stmt, package: str, found: _Reader
) -> dict[str, Reference | None] | None:
    """What a statement of an `__init__.py` hands out; None if it does something else."""
    if isinstance(statement, ast.ImportFrom):
        names = [alias.asname or alias.name for alias in statement.names if alias.name != "*"]
        return {name: next(iter(found.bound.get(name, ())), None) for name in names}
    if isinstance(statement, ast.Import):
        names = {alias.name.partition(".")[0] for alias in statement.names}
        # Importing a module of one's own by its path is done for what the module does.
        return None if found.top in names else dict.fromkeys(names)
    if isinstance(statement, ast.Assign | ast.AugAssign | ast.AnnAssign):
        assigned = _defined(statement)
        if isinstance(statement.value, ast.Call):
            return _lazy(statement.value, package) if "__getattr__" in assigned else None
        return {} if assigned <= {"__all__", "__version__"} else None
    return None


def _lazy(call: ast.Call, package: str) -> dict[str, Reference | None] | None:
    """What `lazy_loader.attach(__name__, submodules, submod_attrs)` hands out, from literals."""
    if getattr(call.func, "attr", getattr(call.func, "id", "")) != "attach":
        return None
    given = dict(zip(("package_name", "submodules", "submod_attrs"), call.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    try:
        modules, attributes = (
            ast.literal_eval(given[name]) if name in given else None
            for name in ("submodules", "submod_attrs")
        )
    except ValueError:
        return None
    found: dict[str, Reference | None] = {m: (f"{package}.{m}", ()) for m in modules or ()}
    for module, names in (attributes or {}).items():
        found |= {name: (f"{package}.{module}", (name,)) for name in names}
    return found


def _defined(node: ast.AST) -> set[str]:
    """Names that a piece of code assigns, defines or imports."""
    return set(_definitions(node))


def _definitions(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id
        elif isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield part.name
        elif isinstance(part, ast.alias):
            yield part.asname or part.name.partition(".")[0]
