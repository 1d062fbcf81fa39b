"""The man pages, from the command line itself: a page for the program and one for each command, in each language.

All that is said stands in the help; only the headings are those of man.
"""

import gzip
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from typer.main import get_command
from typer.rich_utils import DEFAULT_STRING

from cli.main import COMMANDS, app, load
from cli.terminal.language import ENGLISH, LANGUAGES, RUSSIAN, reader, set_reader
from cli.terminal.usage import translate_help, translate_parameter, translate_text
from texts.remedies import PROGRAM
from tools.syntax import typed

if TYPE_CHECKING:
    from tools.package import Release

_HEADINGS: Final[Mapping[str, tuple[str, ...]]] = {
    ENGLISH: ("NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "SEE ALSO"),
    RUSSIAN: ("ИМЯ", "СИНТАКСИС", "ОПИСАНИЕ", "КОМАНДЫ", "ПАРАМЕТРЫ", "СМ. ТАКЖЕ"),
}


def write_pages(folder: Path, release: "Release") -> list[Path]:
    """Write the pages into a folder as `/usr/share/man` has them, packed; their paths."""
    before, written = reader().name, []
    try:
        for name in LANGUAGES:
            set_reader(name)
            section = folder / ("man1" if name == ENGLISH else f"{name}/man1")
            section.mkdir(parents=True, exist_ok=True)
            for title, page in pages(release):
                path = section / f"{title}.1.gz"
                path.write_bytes(gzip.compress(page.encode(), mtime=0))
                written.append(path)
    finally:
        set_reader(before)
    return written


def pages(release: "Release") -> Iterator[tuple[str, str]]:
    """The name of each page and its text, in the language of the reader."""
    program = get_command(app)
    translate_help(program)
    groups = {name: command for name in COMMANDS if getattr(command := load(name), "commands", {})}
    all_of_them = {name: command for name, _, command in typed()} | groups
    summaries = {name: _paragraphs(command.help)[0] for name, command in all_of_them.items()}
    yield PROGRAM, _page(program, (), {name: summaries[name] for name in COMMANDS}, release)
    for name, command in all_of_them.items():
        words = tuple(name.split())
        own = {one: summaries[f"{name} {one}"] for one in getattr(command, "commands", {})}
        yield "-".join((PROGRAM, *words)), _page(command, words, own, release)


def _page(command: Any, words: tuple[str, ...], commands: Mapping[str, str], release: "Release") -> str:  # noqa: ANN401 - typer does not export this type
    name, synopsis, description, listed, options, see_also = _HEADINGS[reader().name]
    title, typed = "-".join((PROGRAM, *words)), " ".join((PROGRAM, *words))
    context = command.context_class(command, info_name=typed)
    summary, *others = _paragraphs(command.help)
    lines = [
        f'.TH "{title.upper()}" 1 "{release.day}" "{PROGRAM} {release.version}"',
        f".SH {name}",
        rf"{_text(title)} \- {_text(summary.rstrip('.'))}",
        f".SH {synopsis}",
        rf"\fB{_text(typed)}\fR {_text(' '.join(command.collect_usage_pieces(context)))}",
        f".SH {description}",
    ]
    lines += _separated([summary, *others, *(_paragraphs(command.epilog) if command.epilog else ())])
    if commands:
        lines.append(f".SH {listed}")
        for one, about in commands.items():
            lines += [".TP", rf"\fB{_text(f'{title}-{one}')}\fR(1)", _text(about)]
    lines.append(f".SH {options}")
    lines += _parameters(command, context)
    above = [PROGRAM] if words else []
    above += [f"{PROGRAM}-{words[0]}"] if len(words) > 1 else []
    if above:
        lines += [f".SH {see_also}", ",\n".join(rf"\fB{_text(one)}\fR(1)" for one in above)]
    return "\n".join(lines) + "\n"


def _parameters(command: Any, context: Any) -> Iterator[str]:  # noqa: ANN401 - as above
    panel = ""
    # Those without a panel first, as the help shows them.
    found = sorted(command.get_params(context), key=lambda one: bool(getattr(one, "rich_help_panel", None)))
    for one in found:
        translate_parameter(one)
        if not (record := one.get_help_record(context)):
            continue
        if one.rich_help_panel and one.rich_help_panel != panel:
            panel = one.rich_help_panel
            yield f".SS {_text(panel)}"
        names, about = record
        yield ".TP"
        yield rf"\fB{_text(names)}\fR"
        yield _text(_with_default(about))


def _with_default(about: str) -> str:
    """What is said of a parameter, and of its default in the language of the reader."""
    default = DEFAULT_STRING.partition("{")[0]
    return about.replace(default, reader().translate(DEFAULT_STRING).partition("{")[0])


def _paragraphs(text: str | None) -> list[str]:
    return (translate_text(text) or "").split("\n\n")


def _separated(paragraphs: Iterable[str]) -> Iterator[str]:
    for number, paragraph in enumerate(paragraphs):
        if number:
            yield ".PP"
        yield _text(paragraph)


def _text(text: str) -> str:
    """A text as roff reads it: no backslash, hyphen or leading dot of it means anything."""
    plain = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain
