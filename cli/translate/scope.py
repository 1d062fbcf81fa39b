"""The variables of a line: those of a row, those that the line sets, those that are given, and the undefined ones."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cli.terminal.exits import CommandRefused
from cli.translate import findings
from cli.translate.findings import START, Finding, LinePlace, named, refused
from cli.translate.words import Piece, Quote, ShellText, Stretch, Variable
from texts.remedies import PROGRAM
from texts.said import said

_IN_QUOTES: Final = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")


def filled(text: ShellText, constants: Mapping[str, ShellText]) -> ShellText:
    """The text with these variables replaced by their values."""
    pieces: list[Piece] = []
    for piece in text.pieces:
        known = constants.get(piece.name) if isinstance(piece, Variable) else None
        pieces += [piece] if known is None else [_at(piece.place, one) for one in known.pieces]
    return ShellText(tuple(pieces))


def _at(place: LinePlace, piece: Piece) -> Piece:
    """The piece at the place of a variable."""
    if isinstance(piece, Stretch):
        return replace(piece, place=place, stands_for=True)
    return replace(piece, place=place)


def undefined(variable: Variable) -> CommandRefused:
    """The error for a variable whose value must be known."""
    name = named(variable.name)
    return refused(
        variable.place,
        said(
            "${name} is not defined in the line; say what it is: {program} translate --set {name}=VALUE, "
            "with the line",
            name=name,
            program=PROGRAM,
        ),
    )


@dataclass(slots=True)
class Scope:
    """The known variables: `of_row` from the loop, `constants` from the line, `given` from the caller.

    `faults` and `notes` collect findings, `asked` the given names that were used.
    """

    of_row: Collection[str]
    constants: Mapping[str, ShellText]
    given: Mapping[str, str]
    faults: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def resolve(self, text: ShellText) -> ShellText:
        """The text with variables only for values of a row, and for undefined ones.

        Raises `CommandRefused` for a command within the text: nothing is run.
        """
        text = filled(self._expanded(text), self.constants)
        for command in text.substitutions:
            raise refused(
                command.place,
                said("a command within a command ($(…) or `…`): nothing is run here; write its result instead"),
            )
        return ShellText(tuple(self._value(one) if isinstance(one, Variable) else one for one in text.pieces))

    def known(self, text: ShellText) -> str:
        """A text that no row changes. Raises `CommandRefused` for one with a variable whose value is not known."""
        found = self.resolve(text)
        for variable in found.variables:
            raise undefined(variable)
        return found.plain

    def within(self, constants: Mapping[str, ShellText]) -> "Scope":
        """The same within the loop: its variables hide what was set before it, and its body sets `constants`."""
        outer = {name: text for name, text in self.constants.items() if name not in self.of_row}
        inner = {name: filled(text, outer) for name, text in constants.items()}
        return replace(self, constants={**outer, **inner})

    def _value(self, variable: Variable) -> Piece:
        value = None if variable.name in self.of_row else self.given.get(variable.name)
        if value is None:
            return variable
        if variable.name not in self.asked:
            self.faults.append(findings.GIVEN_BY_HAND.at(variable.place, name=variable.name))
        self.asked.add(variable.name)
        return Stretch(value, variable.place, Quote.GIVEN, stands_for=True)

    def _expanded(self, text: ShellText) -> ShellText:
        """The text with variables in place of names that single quotes keep from expansion."""
        pieces: list[Piece] = []
        done = 0
        for found in _IN_QUOTES.finditer(text.plain):
            start, end = found.span()
            if any(piece.quote is not Quote.SINGLE for piece in text.cut(start, end).pieces):
                continue
            name, place = found[1] or found[2], text.place(start, START)
            if name not in (*self.of_row, *self.constants, *self.given):
                self.notes.append(
                    said(
                        "{place}: a $ stands within single quotes, and is sent as the $ that it is", place=place.text
                    )
                )
                continue
            self.faults.append(findings.NEVER_EXPANDS.at(place, name=name))
            pieces += [*text.cut(done, start).pieces, Variable(name, place, Quote.SINGLE)]
            done = end
        return ShellText((*pieces, *text.cut(done).pieces))
