"""How texts stand on a screen: nothing is cut, no word is broken, a command to be copied has a line of its own.

Screens from templates, `cli/show/*.j2`: what a person reads stands there in the order of the screen. A line of a
template is a line of the screen, which breaks between words; one without a word is left out. Behind `¦`
stands what it is: of `head ¦body` further lines stand in as far as the head reaches, of `head ¦»body` by two;
`label¦=value` is a fact, without a label it goes on with the one before; `label¦|figure|figure` has figures, and the
values and figures of all such lines stand under each other; `¦$ text` is a command to be copied, `¦name` a table that
is given by that name, `¦` alone an empty line. Styles are markup, as `[bold]…[/]`; what values say is none.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from markupsafe import Markup
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Column, Table
from rich.text import Text

from checkpoints.tally import summed
from cli.terminal.exits import Exit
from cli.terminal.names import (
    STATE_NAMES,
    TALLY_KINDS,
    groups_in_words,
    heading_of,
    name_of_command,
    name_of_holder,
    place_of,
    title_of_group,
)
from cli.terminal.texts import JOINT, WHOLE, count, duration, moment, money, printable, rate, rendered
from texts.said import Quantity, Said, command_line, counted, in_clauses, name_of_sender, said, setting

_NARROW, _STEP_IN = 24, 4
"""Columns that a value needs beside its label; with fewer it begins on the next line, where it stands in."""

_WORDS: Final = re.compile(r"\S+\s*")


class Hanging:
    """A text whose further lines stand in as far as its head reaches.

    Lines break between words only. A word that is longer than the line, as a path or an address, stays whole, and the
    terminal breaks it: what is copied has no line end in it.
    """

    def __init__(self, head: Text, body: Text, indent: int | None = None) -> None:
        self._head = head
        self._body = body
        self._indent = head.cell_len if indent is None else indent

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        indent, head = self._indent, self._head
        if options.max_width - indent < _NARROW:
            if head.plain.strip():
                yield one_line(head)
            indent, head = min(_STEP_IN, indent), Text("")
        room = max(options.max_width - indent, 1)
        for line in lines_of(self._body, room, beside=max(head.cell_len - indent, 0)):
            yield one_line(head, " " * (indent - head.cell_len), line)
            head = Text("")


class Facts:
    """Labels and values, one pair a line, the values under each other; all of it stands in by `indent` columns.

    A value is a sentence or markup; a pair without one is left out.
    """

    def __init__(self, *pairs: tuple[str, str | Text | None], indent: int = 0) -> None:
        self._indent = indent
        self._rows = [(printable(label), of_markup(value)) for label, value in pairs if value]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        longest = max((len(label) for label, _ in self._rows), default=0)
        for label, value in self._rows:
            yield Hanging(Text(f"{'':{self._indent}}{label:<{longest}}  ", "dim"), value)


def lines_of(text: Text, room: int, *, beside: int = 0) -> list[Text]:
    """The text in lines of at most `room` columns, the first by `beside` shorter, but for words that are longer."""
    lines: list[Text] = []
    for paragraph in text.split("\n", allow_blank=True):
        breaks: list[int] = []
        used = 0 if lines else beside
        for word in _WORDS.finditer(paragraph.plain):
            if used and used + cell_len(word[0].rstrip()) > room:
                breaks.append(word.start())
                used = 0
            used += cell_len(word[0])
        lines += paragraph.divide(breaks)
    for line in lines:
        line.rstrip()
    return lines


def render(text: str, style: str = "", limit: int = WHOLE) -> Text:
    """A sentence in the reader's language, or a foreign text, as a piece of a screen."""
    return Text(printable(text, limit), style)


def labelled(label: str, text: str | Text, style: str = "dim") -> Text:
    """A sentence behind the word that says what it is, as `note:`; the style is that of the word."""
    return Text.assemble(render(label, style), " ", render(text) if isinstance(text, str) else text)


def of_markup(text: str | Text) -> Text:
    """A text; a sentence is rendered, any other string is markup."""
    if isinstance(text, Said):
        return render(text)
    return Text.from_markup(text, emoji=False) if isinstance(text, str) else text


Part: TypeAlias = RenderableType | None
"""A piece of a screen: a sentence, "" for an empty line, or None for nothing."""


def stack(*parts: Part) -> Group:
    """A screen as one expression: its parts in their order."""
    return Group(*(between_words(render(one) if isinstance(one, str) else one) for one in parts if one is not None))


def section(*parts: Part) -> Group:
    """The same below an empty line; nothing without any part."""
    there = stack(*parts)
    return stack("", there) if there.renderables else there


def between_words(what: RenderableType) -> RenderableType:
    """A text whose lines are broken between words alone; all else is unchanged."""
    return Hanging(Text(""), what) if isinstance(what, Text) and not what.no_wrap else what


def one_line(*parts: str | Text) -> Text:
    """Parts on one line that is never broken and never cut."""
    line = Text(no_wrap=True, overflow="ignore", end="\n")
    for part in parts:
        line.append(part)
    return line


def command(text: str) -> Text:
    """A command to be copied."""
    return one_line("  ", Text(text, "bold"))


def with_commands(text: str) -> Group:
    """A sentence whose indented lines are commands to be copied."""
    lines = rendered(text).split("\n")
    return Group(*(command(printable(line, WHOLE)) if line.startswith("  ") else render(line) for line in lines))


def steps_list(steps: Sequence[tuple[str, str]]) -> Group:
    """Commands to type next with their purposes, each command on a line of its own."""
    head = render(said("next:"), "dim").append(" ")
    return Group(*(one for text, purpose in steps for one in (Hanging(head, render(purpose, "dim")), command(text))))


OF_SETTINGS: Final = "input_place.settings_"
"""Begins the parameters of a run that hold the badge, and what it remembers of its billing; like all that begin with
`input_place.`, they say nothing of what the run does, and are kept when it is purged."""
_PROFILE, _BILLING, _PRODUCTION = (f"{OF_SETTINGS}{name}" for name in ("profile", "billing", "production"))
_YES: Final = "yes"


@dataclass(frozen=True, slots=True)
class Badge:
    """A profile of settings, as it is shown: its name, the name of its billing, "" for none, and what it is for."""

    profile: str
    billing: str = ""
    production: bool = False

    @property
    def to_type(self) -> str:
        """What is typed to send in production: the name of the billing, else that of the profile."""
        return self.billing or self.profile

    def is_named_by(self, answer: str) -> bool:
        """Whether this is what was to be typed; capitals and the number of spaces do not matter."""
        return answer.casefold().split() == self.to_type.casefold().split()

    @property
    def sentence(self) -> Said:
        """The badge in words, which are the same without colours."""
        profile, billing = self.profile, self.billing
        if not billing:
            production = said("PRODUCTION (profile of settings: {profile})", profile=profile)
            return production if self.production else said("profile of settings: {profile}", profile=profile)
        if self.production:
            return said("PRODUCTION: {billing} (profile of settings: {profile})", billing=billing, profile=profile)
        return said("{billing} (profile of settings: {profile})", billing=billing, profile=profile)

    @property
    def style(self) -> str:
        return "bold white on red" if self.production else "bold white on green"

    @property
    def line(self) -> Text:
        return render(self.sentence, self.style)

    def to_parameters(self) -> dict[str, str]:
        production = {_PRODUCTION: _YES} if self.production else {}
        return {_PROFILE: self.profile, _BILLING: self.billing, **production}

    def as_object(self) -> Mapping[str, object]:
        return {"name": self.profile, "billing": self.billing or None, "production": self.production}


def badge_of(parameters: Mapping[str, str]) -> Badge | None:
    """The badge in the parameters of a run, None for a run without a profile of settings."""
    profile, billing = parameters.get(_PROFILE), parameters.get(_BILLING, "")
    return Badge(profile, billing, parameters.get(_PRODUCTION) == _YES) if profile else None


def is_of_badge(parameter: str) -> bool:
    return parameter.startswith(OF_SETTINGS)


# ---- screens from templates ---------------------------------------------------------------------------------------


if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER: Final = Path(__file__).parents[1] / "show"
NO_TABLES: Final[Mapping[str, RenderableType]] = {}
_MARK: Final = "¦"
_SIGNS: Final = "[\\¦»=$|"
_HIDDEN: Final = "\ue000\ue001\ue002\ue003\ue004\ue005\ue006"
"""What stands for the signs of a template within a value, until the line is taken apart."""
_HIDE: Final = str.maketrans(_SIGNS, _HIDDEN)
_SHOW: Final = str.maketrans(_HIDDEN, _SIGNS)


def bare_table(*columns: Column | str) -> Table:
    return Table(*columns, box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))


def _text(value: object) -> Markup:
    if isinstance(value, Markup):
        return value
    return Markup("" if value is None else printable(value, WHOLE).translate(_HIDE))  # noqa: S704 - of no page


def environment(folder: Path, text: Callable[[Any], str]) -> "Environment":
    """The templates of a folder; `text` writes a value, as a reader of what they make has it."""
    # Imported here: what is drawn by no template need not wait for it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    made = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=text,
        extensions=["jinja2.ext.do"],
    )
    made.globals["TALLY_KINDS"] = TALLY_KINDS
    made.filters |= {one.__name__: one for one in (name_of_command, name_of_sender, summed, tuple)}
    return made


@cache
def _environment() -> "Environment":
    made = environment(_FOLDER, _text)
    made.globals |= {
        **{one.__name__: one for one in (Exit, Quantity, command_line, counted, said, setting)},
        "STATE_NAMES": STATE_NAMES,
        "some": lambda sentence, n, **values: counted(sentence, n, **values) if n else None,
    }
    named = (count, duration, heading_of, moment, money, name_of_holder, rate)
    made.filters |= {
        **{one.__name__: one for one in named},
        "at": datetime.fromisoformat,
        "clauses": in_clauses,
        "enumerated": lambda texts: ", ".join(map(printable, texts)),
        "times": lambda number: f"{count(number)} × ".replace(" ", JOINT),
        "place": place_of,
        "short": printable,
        "number_of_groups": lambda groups: groups_in_words(groups[0].kind, summed(groups).groups),
        "signed": lambda figure, difference: f"+{figure}" if difference > 0 else figure,
        "title_of_group": title_of_group,
    }
    return made


def drawn(template: str, tables: Mapping[str, RenderableType] = NO_TABLES, /, **values: object) -> Group:
    parts: list[RenderableType] = []
    figures: dict[int, list[Text]] = {}
    facts: dict[int, tuple[str, Text]] = {}
    for line in _environment().get_template(template).render(values).splitlines():
        head, mark, body = line.partition(_MARK)
        kind, text = (body[:1], body.lstrip("»=$")) if mark else ("", line)
        if kind == "|":
            figures[len(parts)] = [_markup(head), *map(_markup, body[1:].split("|"))]
            parts.append("")
        elif mark and not head and kind not in {"$", "="}:
            parts.append(tables[text.strip()] if text.strip() else Text(""))
        elif text.strip() and (told := _markup(text)).plain.strip():
            if kind == "=":
                facts[len(parts)] = (head, told)
                parts.append("")
            elif kind == "$":
                parts.append(command(told.plain.strip()))
            else:
                before = _markup(head) if mark and head else Text()
                indent = 2 * body.count("»", 0, len(body) - len(text))
                parts.append(Hanging(before, told, indent or None))
    widths = [max(cell.cell_len for cell in column) for column in zip_longest(*figures.values(), fillvalue=Text())]
    for place, (label, *cells) in figures.items():
        label.pad_right(widths[0] - label.cell_len)
        parts[place] = one_line(
            label, *(f"  {cell.plain:>{width}}" for cell, width in zip(cells, widths[1:], strict=False))
        )
    longest = max((len(label) for label, _ in facts.values()), default=0)
    for place, (name, value) in facts.items():
        parts[place] = Hanging(Text(f"{name:<{longest}}  ", "dim"), value)
    return Group(*parts)


def _markup(text: str) -> Text:
    made = Text.from_markup(text, emoji=False) if "[" in text else Text(text)
    made.plain = made.plain.translate(_SHOW)
    return made
