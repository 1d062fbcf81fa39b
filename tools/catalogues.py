"""Collects the sentences of the code into the catalogues of cli/locale; `--write` keeps what is found.

Sentences are the arguments of `said`, `reason` and `counted`, see texts/said.py, in Python and in the templates of
screens and reports, the lines of the log, and the texts of help and page. New ones come without a translation, and
`tests/test_catalogues.py` fails until they have one; those that are gone go.
"""

import ast
import io
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from jinja2 import Environment, nodes

from cli.page.application import page_texts
from texts.said import forms
from tools.house import ROOMS, ROOT
from tools.syntax import help_texts

COUNTED: Final = frozenset({"counted", "some"})
"""The functions that take a sentence about a number of things; `some` is nothing for none."""
SAYING: Final = COUNTED | {"said", "reason", "wording", "passed", "noted", "failed", "Refusal", "Unfinished"}
"""The functions that take a sentence."""
LOGGED: Final = frozenset({"debug", "info", "warning", "error", "exception"})
"""What a log is called with: stderr has the level, the event and its names in the language of its reader."""
LINE: Final = 118
"""The width of a catalogue."""


def collected(root: Path = ROOT) -> Catalog:
    """All sentences of the rooms, and the texts of the help of all commands."""
    found = Catalog()
    paths = (path for room in ROOMS for path in sorted((root / room).rglob("*.py")))
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in paths]
    errors = said_errors(trees)
    of_code = (sentence for tree in trees for sentence in sentences(tree, errors))
    for sentence in (*of_code, *filter(None, (*help_texts(), *page_texts()))):
        found.add(sentence)
    for call in (call for path in templates(root) for call in parsed(path).find_all(nodes.Call)):
        if isinstance(call.node, nodes.Name) and call.node.name in SAYING:
            found.add(as_given(call.node.name, call.args[0].as_const()))
    return found


def as_given(function: str, sentence: str) -> str | tuple[str, str]:
    """A sentence as a catalogue has it: with both forms where it is about a number."""
    return forms(sentence) if function in COUNTED else sentence


def templates(root: Path = ROOT) -> list[Path]:
    """The templates that have sentences."""
    return sorted([*root.glob("cli/*/*.j2"), root / "cli" / "report" / "report.html"])


def parsed(path: Path) -> nodes.Template:
    """The syntax tree of a template."""
    return Environment(extensions=["jinja2.ext.do"]).parse(path.read_text(encoding="utf-8"))  # noqa: S701 - not rendered


def said_errors(trees: Iterable[ast.AST]) -> set[str]:
    """The names of all errors below `SaidError`, which take a template and its values as `said` does."""
    classes = [one for tree in trees for one in ast.walk(tree) if isinstance(one, ast.ClassDef)]
    bases = [(one.name, {base.id for base in one.bases if isinstance(base, ast.Name)}) for one in classes]
    found = {"SaidError"}
    while new := {name for name, of in bases if of & found} - found:
        found |= new
    return found


def sentences(tree: ast.AST, errors: Collection[str] = ()) -> Iterator[str | tuple[str, str]]:
    """The sentences of a syntax tree, with both forms of one about a number.

    Babel's own reader misses those that stand within another, or within an f-string.
    """
    for call in ast.walk(tree):
        match call:
            case ast.Call(ast.Name(name), [ast.Constant(str(sentence)), *_], names) if name in SAYING or (
                names and name in errors
            ):
                yield as_given(name, sentence)
            case ast.Call(ast.Attribute(ast.Name("log"), level), [event, *_], names) if level in LOGGED:
                yield from ("error" if level == "exception" else level, *(one.arg for one in names if one.arg))
                if isinstance(event, ast.Constant):
                    yield str(event.value)


def catalogues(root: Path = ROOT) -> Iterator[Path]:
    """The files of all languages."""
    yield from sorted(root.glob("cli/locale/*/LC_MESSAGES/*.po"))


def renewed(path: Path, found: Catalog) -> str:
    """The text of a catalogue with the sentences that were found, and no others."""
    catalogue = read_catalogue(path)
    made = catalogue.creation_date
    catalogue.update(found, no_fuzzy_matching=True, update_header_comment=False)
    catalogue.creation_date = made
    catalogue.obsolete.clear()
    return text_of(catalogue, sort_output=True, no_location=True)


def read_catalogue(path: Path) -> Catalog:
    """A catalogue as it stands in its file."""
    with path.open("rb") as file:
        return read_po(file, abort_invalid=True)


def text_of(catalogue: Catalog, **options: bool) -> str:
    """A catalogue as its file has it."""
    text = io.BytesIO()
    write_po(text, catalogue, width=LINE, ignore_obsolete=True, **options)
    return text.getvalue().decode()


def main(arguments: Sequence[str]) -> int:
    """Renew the catalogues, or with anything but `--write` only say which would change."""
    texts = {path: renewed(path, found) for found in (collected(),) for path in catalogues()}
    return written(
        {path: text for path, text in texts.items() if path.read_text(encoding="utf-8") != text}, arguments
    )


def written(changed: Mapping[Path, str], arguments: Sequence[str]) -> int:
    """Name the files that would change, and with `--write` write them; 1 where something is left to be written."""
    for path, text in changed.items():
        print(path.relative_to(ROOT))  # noqa: T201 - a tool of the developers
        if "--write" in arguments:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(bool(changed) and "--write" not in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
