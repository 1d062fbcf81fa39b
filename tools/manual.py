"""The man pages, from the command line itself: a page for the program and one for each command, in each language.

All that is said stands in the help; only the headings are those of man.
"""

import gzip
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from cli.main import app
from cli.terminal.options import notes_of, panel_of, translate_text, word_of
from cli.terminal.texts import ENGLISH, LANGUAGES, RUSSIAN, reader, set_reader
from texts.said import PROGRAM
from tools.syntax import groups, typed

if TYPE_CHECKING:
    from tools.package import Release

_HEADINGS: Final[Mapping[str, tuple[str, ...]]] = {
    ENGLISH: ("NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "SEE ALSO"),
    RUSSIAN: ("ИМЯ", "СИНТАКСИС", "ОПИСАНИЕ", "КОМАНДЫ", "ПАРАМЕТРЫ", "СМ. ТАКЖЕ"),
}


def write_pages(folder: Path, release: "Release") -> None:
    """Write the pages into a folder as `/usr/share/man` has them, packed."""
    before = reader().name
    try:
        for name in LANGUAGES:
            set_reader(name)
            section = folder / ("man1" if name == ENGLISH else f"{name}/man1")
            section.mkdir(parents=True, exist_ok=True)
            pages: dict[str, click.Command] = {"": app} | {words: command for words, _, command in typed()} | groups()
            for words, command in pages.items():
                below = command.commands if isinstance(command, click.Group) else ()
                own = {one: pages[f"{words} {one}".lstrip()] for one in below}
                page = _page(command, words.split(), own, release)
                path = section / f"{'-'.join((PROGRAM, *words.split()))}.1.gz"
                path.write_bytes(gzip.compress(page.encode(), mtime=0))
    finally:
        set_reader(before)


def _page(command: click.Command, words: list[str], commands: Mapping[str, click.Command], release: "Release") -> str:
    name, synopsis, description, listed, options, see_also = _HEADINGS[reader().name]
    title, typed = "-".join((PROGRAM, *words)), " ".join((PROGRAM, *words))
    context = command.context_class(command, info_name=typed, **command.context_settings)
    paragraphs = _paragraphs(command.help)
    lines = [
        f'.TH "{title.upper()}" 1 "{release.day}" "{PROGRAM} {release.version}"',
        f".SH {name}",
        rf"{_text(title)} \- {_text(paragraphs[0].rstrip('.'))}",
        f".SH {synopsis}",
        rf"\fB{_text(typed)}\fR {_text(' '.join(command.collect_usage_pieces(context)))}",
        f".SH {description}",
        "\n.PP\n".join(map(_text, [*paragraphs, *(_paragraphs(command.epilog) if command.epilog else ())])),
    ]
    if commands:
        lines.append(f".SH {listed}")
        for one, below in commands.items():
            lines += [".TP", rf"\fB{_text(f'{title}-{one}')}\fR(1)", _text(_paragraphs(below.help)[0])]
    lines += [f".SH {options}", *_parameters(command, context)]
    if words:
        above = [PROGRAM, *(f"{PROGRAM}-{word}" for word in words[:-1])]
        lines += [f".SH {see_also}", ",\n".join(rf"\fB{_text(one)}\fR(1)" for one in above)]
    return "\n".join(lines) + "\n"


def _parameters(command: click.Command, context: click.Context) -> Iterator[str]:
    panel = ""
    # Those without a panel first, as the help shows them.
    for one in sorted(command.get_params(context), key=lambda one: bool(panel_of(one))):
        if getattr(one, "hidden", False):
            continue
        if panel_of(one) not in {"", panel}:
            panel = panel_of(one)
            yield f".SS {_text(translate_text(panel))}"
        flags = " / ".join(", ".join(some) for some in (one.opts, one.secondary_opts) if some)
        names = f"{flags} {word_of(one)}".rstrip() if isinstance(one, click.Option) else word_of(one)
        told = " ".join((translate_text(one.help), *notes_of(one)))
        yield from (".TP", rf"\fB{_text(names)}\fR", _text(told))


def _paragraphs(text: str | None) -> list[str]:
    return translate_text(text).split("\n\n")


def _text(text: str) -> str:
    """A text as roff reads it: no backslash, hyphen or leading dot of it means anything."""
    plain = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain
