"""How texts stand on a screen: nothing is cut, no word is broken, a command to be copied has a line of its own."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from cli.terminal.texts import WHOLE, printable, rendered
from texts.said import Said, said

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
        if head.plain.strip() and options.max_width - indent < _NARROW:
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
    return Group(*(render(one) if isinstance(one, str) else one for one in parts if one is not None))


def section(*parts: Part) -> Group:
    """The same below an empty line; nothing without any part."""
    there = stack(*parts)
    return stack("", there) if there.renderables else there


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
