"""The house as a graph of its files: imports, circles of folders, private names used from outside.

`tests/test_architecture.py` checks the rules with it. No module is imported: the files are parsed with `ast`.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
ROOMS = ("texts", "checkpoints", "engine", "billing", "jobs", "lab", "cli")
_PATH = re.compile(r"<!-- main path -->(.*?)<!-- /main path -->", re.DOTALL)
_STATION = re.compile(r"^\d+\. `([^`]+)`", re.MULTILINE)

Graph = Mapping[str, set[str]]


@dataclass(frozen=True)
class Import:
    """An import of one file of the house by another; deferred if importing the importer does not execute it.

    That is so inside a function, and where only type checkers look.
    """

    importer: str
    imported: str
    name: str  # the imported name; empty where the file itself is imported
    deferred: bool


@dataclass(frozen=True)
class Text:
    """A string of a file, and whether it stands in what is raised."""

    text: str
    line: int
    raised: bool


def folder_of(file: str) -> str:
    """The folder of a file."""
    return str(PurePosixPath(file).parent)


def room_of(file: str) -> str:
    """The room of a file or a folder."""
    return file.partition("/")[0]


class House:
    """All Python files of the rooms, by their paths from the root, with `/` as separator."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        paths = sorted(path for room in ROOMS for path in (root / room).rglob("*.py"))
        self.texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in paths}
        self.trees = {file: ast.parse(text) for file, text in self.texts.items()}
        self.files = [file for file in self.texts if not file.endswith("__init__.py")]

    @cached_property
    def imports(self) -> list[Import]:
        """All imports of one file of the house by another."""
        return [found for file, tree in self.trees.items() for found in self._imports(file, tree, deferred=False)]

    def _imports(self, file: str, node: ast.AST, *, deferred: bool) -> Iterator[Import]:
        for module, name in _imported(node):
            if imported := self.file_named(f"{module}.{name}" if name else module):
                yield Import(file, imported, "", deferred)
            elif imported := self.file_named(module):
                yield Import(file, imported, name, deferred)
        below = deferred or _runs_later(node)
        for child in ast.iter_child_nodes(node):
            yield from self._imports(file, child, deferred=below)

    def modules_imported(self, file: str) -> Iterator[str]:
        """The names of all modules that a file imports, also of those outside the house."""
        yield from (module for node in ast.walk(self.trees[file]) for module, _ in _imported(node) if module)

    def file_named(self, module: str) -> str | None:
        """The file of a module, `engine.job` or the package `engine`; None for modules outside the house."""
        path = module.replace(".", "/")
        return next((file for file in (f"{path}.py", f"{path}/__init__.py") if file in self.texts), None)

    def named_in(self, file: str) -> set[str]:
        """The files that a file names in strings: by module, or as the table of commands does, by name alone."""
        texts = {node.value for node in ast.walk(self.trees[file]) if isinstance(node, ast.Constant)}
        names = [text if "." in text else f"cli.commands.{text}" for text in texts if isinstance(text, str)]
        return {named for name in names if (named := self.file_named(name))}

    def strings(self, file: str) -> Iterator[Text]:
        """All strings of a file but docstrings; of a formatted one, `…` stands for each value."""
        yield from _strings(self.trees[file], raised=False)

    def graph(self) -> Graph:
        """The imports of each file."""
        graph: dict[str, set[str]] = {file: set() for file in self.texts}
        for found in self.imports:
            if found.importer != found.imported:
                graph[found.importer].add(found.imported)
        return graph

    def private_uses(self) -> Iterator[tuple[str, str, str]]:
        """Private names used outside their file: the using file, the owner, the name."""
        yield from ((one.importer, one.imported, one.name) for one in self.imports if _is_private(one.name))
        for file, tree in self.trees.items():
            nodes = list(ast.walk(tree))
            named = {
                alias.asname or alias.name: owner
                for node in nodes
                if isinstance(node, ast.ImportFrom)
                for alias in node.names
                if (owner := self.file_named(f"{node.module}.{alias.name}"))
            }
            for node in nodes:
                if isinstance(node, ast.Attribute) and _is_private(node.attr) and isinstance(node.value, ast.Name):
                    yield from ((file, owner, node.attr) for owner in (named.get(node.value.id),) if owner)


def _imported(node: ast.AST) -> Iterator[tuple[str, str]]:
    """The modules that a statement imports, with the name that it takes out of each, if it does."""
    if isinstance(node, ast.Import):
        yield from ((alias.name, "") for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from ((node.module or "", alias.name) for alias in node.names)


def _strings(node: ast.AST, *, raised: bool) -> Iterator[Text]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    raised = raised or isinstance(node, ast.Raise)
    if isinstance(node, ast.JoinedStr):
        parts = (str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        yield Text("".join(parts), node.lineno, raised)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield Text(node.value, node.lineno, raised)
    for child in ast.iter_child_nodes(node):
        if not (isinstance(node, ast.JoinedStr) and isinstance(child, ast.Constant)):
            yield from _strings(child, raised=raised)


def _runs_later(node: ast.AST) -> bool:
    """Whether an import does not execute the node's body: a function, or a block for type checkers."""
    if isinstance(node, ast.If):
        return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" and not node.orelse
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def folders(graph: Graph) -> Graph:
    """The same imports between folders."""
    merged: dict[str, set[str]] = defaultdict(set)
    for file, imported in graph.items():
        merged[folder_of(file)] |= {folder_of(other) for other in imported} - {folder_of(file)}
    return merged


def ring(graph: Graph) -> list[str]:
    """Nodes that import each other in a ring, the first one again at the end; none where there is no ring."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def main_path(page: str) -> list[str]:
    """The files of the main path, as docs/architecture.md lists them."""
    (listed,) = _PATH.findall(page) or [""]
    return _STATION.findall(listed)
