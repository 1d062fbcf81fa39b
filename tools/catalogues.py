"""Collects the sentences of the code into the catalogues of cli/locale; `--write` keeps what is found.

Sentences are the arguments of `said`, `reason` and `counted`, see texts/said.py, and the texts of the help. New ones
come without a translation, and `tests/test_catalogues.py` fails until they have one; those that are gone go.
"""

import ast
import io
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from tools.help_texts import help_texts
from tools.house import ROOMS, ROOT

FORMS: Final = {"said": 1, "reason": 1, "wording": 1, "counted": 2, "Refusal": 1, "Unfinished": 1}
"""The functions that take sentences, and how many of them."""
_LINE: Final = 118


def collected(root: Path = ROOT) -> Catalog:
    """All sentences of the rooms, and the texts of the help of all commands."""
    found = Catalog()
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            for sentence in sentences(ast.parse(path.read_text(encoding="utf-8"))):
                found.add(sentence)
    for text in filter(None, help_texts()):
        found.add(text)
    return found


def sentences(tree: ast.AST) -> Iterator[str | tuple[str, ...]]:
    """The sentences of a syntax tree, with both forms of one about a number.

    Babel's own reader misses those that stand within another, or within an f-string.
    """
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in FORMS:
            forms = tuple(_texts(call.args[: FORMS[call.func.id]]))
            if len(forms) == FORMS[call.func.id]:
                yield forms if len(forms) > 1 else forms[0]


def _texts(arguments: Sequence[ast.expr]) -> Iterator[str]:
    for one in arguments:
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value


def catalogues(root: Path = ROOT) -> Iterator[Path]:
    """The files of all languages."""
    yield from sorted(root.glob("cli/locale/*/LC_MESSAGES/*.po"))


def renewed(path: Path, found: Catalog) -> str:
    """The text of a catalogue with the sentences that were found, and no others."""
    with path.open("rb") as file:
        catalogue = read_po(file, abort_invalid=True)
    made = catalogue.creation_date
    catalogue.update(found, no_fuzzy_matching=True, update_header_comment=False)
    catalogue.creation_date = made
    catalogue.obsolete.clear()
    text = io.BytesIO()
    write_po(text, catalogue, width=_LINE, sort_output=True, no_location=True, ignore_obsolete=True)
    return text.getvalue().decode()


def main(arguments: Sequence[str]) -> int:
    """Renew the catalogues, or with anything but `--write` only say which would change."""
    found, changed = collected(), []
    for path in catalogues():
        text = renewed(path, found)
        if text != path.read_text(encoding="utf-8"):
            changed.append(path)
            if "--write" in arguments:
                path.write_text(text, encoding="utf-8")
    for path in changed:
        print(path.relative_to(ROOT))  # noqa: T201 - a tool of the developers
    return int(bool(changed) and "--write" not in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
