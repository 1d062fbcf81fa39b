"""The blocks of a page, and what is to be done by them: commands to type, files to write, cells to correct.

CONTRIBUTING.md has the form for whoever writes a page. A page in another language is the English one with the blocks
that its catalogue translates.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from babel.messages.pofile import read_po
from markdown_it import MarkdownIt

from tools.house import ROOT
from tools.pages import DOCS, LOCALE, SOURCE_LANGUAGE

TYPED = {"sh", "console"}
KNOWN = TYPED | {"toml", "csv", "json", "yaml", "ini", "python", "sql", "text", "{toctree}"}
EXAMPLE = ROOT / "examples" / "tutorial" / "balances.csv"
"""What a page has in its folder that says nothing else."""

_COMMENT = re.compile(r"<!--\s*(.+?)\s*-->", re.DOTALL)
_FORMS = (
    r"(?P<what>no billing)",
    r"(?P<what>files): (?P<text>.+)",
    r"(?P<what>file|added to|cells of) (?P<text>\S+)",
    r"(?P<what>ends with|then the other terminal ends with) (?P<number>\d+)",
    r"(?P<what>killed after) (?P<number>\d+) calls?",
    r"(?P<what>in another terminal)(?:, until (?P<number>\d+) calls?)?",
    r"(?P<what>typed as well|answered|not run|the billing fails): (?P<text>.+)",
    r"(?P<what>first)(?:, (?P<how>ends with|killed after) (?P<number>\d+)(?: calls)?)?: (?P<text>.+)",
)


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment of a page, as one of the forms that there are."""

    what: str
    text: str = ""
    number: int = 0
    how: str = ""

    @classmethod
    def read(cls, comment: str) -> "Remark":
        """Raises `ValueError` for another comment."""
        for form in _FORMS:
            if found := re.fullmatch(form, " ".join(comment.split())):
                said = found.groupdict()
                return cls(said["what"], said.get("text") or "", int(said.get("number") or 0), said.get("how") or "")
        message = f"no form of a comment: {comment}"
        raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block, a block of four spaces (whose kind is empty) or a table, and the comments just above it."""

    kind: str
    text: str
    line: int
    remarks: tuple[Remark, ...] = ()

    def of(self, what: str) -> Remark | None:
        return next((remark for remark in self.remarks if remark.what == what), None)

    def number(self, what: str) -> int:
        return remark.number if (remark := self.of(what)) else 0

    @property
    def is_file(self) -> bool:
        """Whether it is a file to write, or cells to correct in one."""
        return any(self.of(what) for what in ("file", "added to", "cells of"))

    @property
    def typed(self) -> list[tuple[str, tuple[str, ...]]]:
        """Its commands, each with what it says below."""
        if self.kind not in TYPED or self.is_file or self.of("not run"):
            return []
        return list(_console(self.text) if self.kind == "console" else _script(self.text))


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the documentation: its blocks, and from which stand it starts."""

    path: Path
    language: str
    blocks: tuple[Block, ...]
    stand: tuple[Remark, ...]

    @classmethod
    @cache
    def read(cls, path: Path, language: str = SOURCE_LANGUAGE) -> "Page":
        text = path.read_text(encoding="utf-8")
        blocks, remarks = _blocks(text)
        translated = _translations(path, language)
        blocks = [replace(one, text=translated.get(one.text.strip(), one.text)) for one in blocks]
        stand = tuple(one for one in remarks if one.what in {"files", "no billing"})
        return cls(path, language, tuple(blocks), stand)

    @property
    def has_billing(self) -> bool:
        return not any(one.what == "no billing" for one in self.stand)

    @property
    def files(self) -> list[Path]:
        """What is in its folder when it begins."""
        named = [ROOT / word for one in self.stand if one.what == "files" for word in one.text.split()]
        return named or ([EXAMPLE] if self.has_billing else [])

    @property
    def steps(self) -> list[tuple[str, tuple[str, ...]]]:
        """What is written and what is typed, and what that says."""
        return [step for block in self.blocks for step in ([(block.text, ())] if block.is_file else block.typed)]

    @property
    def differs(self) -> bool:
        """Whether its steps are others than those of the English page, or show what is said in a language."""
        return any(says for _, says in self.steps) or self.steps != Page.read(self.path).steps


def pages() -> list[Path]:
    """The pages whose commands are run."""
    return sorted([DOCS / "validated.md", *DOCS.glob("tutorial/*.md"), *DOCS.glob("how-to/*.md")])


def comments_of(path: Path) -> list[str]:
    """All comments of a page, as they are written."""
    return _COMMENT.findall(path.read_text(encoding="utf-8"))


def _blocks(text: str) -> tuple[list[Block], list[Remark]]:
    blocks: list[Block] = []
    all_remarks: list[Remark] = []
    remarks: list[Remark] = []
    lines = text.splitlines(keepends=True)
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        begin, end = token.map or (0, 0)
        if token.type == "html_block":
            found = [Remark.read(comment) for comment in _COMMENT.findall(token.content)]
            remarks += found
            all_remarks += found
        elif token.type == "fence":
            blocks.append(Block((token.info or "-").split()[0], token.content, begin + 1, tuple(remarks)))
        elif token.type == "code_block":
            blocks.append(Block("", token.content, begin + 1, tuple(remarks)))
        elif token.type == "table_open":
            blocks.append(Block("table", "".join(lines[begin:end]), begin + 1, tuple(remarks)))
        if token.type in {"fence", "code_block", "table_open", "paragraph_open", "heading_open"}:
            remarks = []
    return blocks, all_remarks


def _console(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each command behind `$ `, continued behind a backslash, and what it says below."""
    command, says, open_ = "", list[str](), False
    for line in text.splitlines():
        if line.startswith("$ ") or open_:
            if not open_ and command:
                yield command, tuple(says)
            command = f"{command}\n{line}" if open_ else line.removeprefix("$ ")
            says, open_ = ([], line.endswith("\\"))
        elif line.strip():
            says.append(line)
    if command:
        yield command, tuple(says)


def _script(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each command of a script, however many lines it has, without the comments beside it."""
    lines: Sequence[str] = ()
    for line in text.splitlines():
        lines = (*lines, line)
        if not _goes_on(lines):
            command = "\n".join(lines)
            lines = ()
            if words(command) != []:
                yield command, ()


def _goes_on(lines: Sequence[str]) -> bool:
    """Whether the command of these lines ends on a later one."""
    text = "\n".join(lines)
    if here := re.search(r"<<-?\s*['\"]?(\w+)", lines[0]):
        return here[1] not in lines[1:]
    begun = len(re.findall(r"^\s*(?:while|for|if|case)\b|[|;&]\s*(?:while|for|if)\b", text, re.MULTILINE))
    ended = len(re.findall(r"^\s*(?:done|fi|esac)\b|;\s*(?:done|fi|esac)\b", text, re.MULTILINE))
    return begun > ended or re.search(r"(?:\\|\||&&)\s*$", lines[-1]) is not None or _words(text) is None


def words(command: str) -> list[str] | None:
    """The words of a command that needs no shell; None of one that does."""
    bare = re.sub(r"'[^']*'", "''", command)
    if re.search(r"[|&;<>$`*?]", re.sub(r'"[^"$`]*"', '""', bare).partition(" #")[0]):
        return None
    return _words(command)


def _words(text: str) -> list[str] | None:
    try:
        return shlex.split(text.replace("\\\n", " "), comments=True)
    except ValueError:
        return None


def _translations(path: Path, language: str) -> Mapping[str, str]:
    if language == SOURCE_LANGUAGE:
        return {}
    catalogue = LOCALE / language / "LC_MESSAGES" / path.relative_to(DOCS).with_suffix(".po")
    if not catalogue.exists():
        return {}
    with catalogue.open("rb") as file:
        return {str(one.id).strip(): str(one.string) for one in read_po(file) if one.id and one.string}
