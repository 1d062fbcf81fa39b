"""What stands for the variables of a line: values that the line sets itself, that were given, or that a row has."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from cli.errors import CommandRefused
from cli.names import PROGRAM
from cli.translate import faults
from cli.translate.faults import Fault, named, refused
from cli.translate.shell import Atom, Letter, Quote, Text, Variable

_IN_QUOTES: Final = re.compile(r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})")


def filled(text: Text, constants: Mapping[str, Text]) -> Text:
    """The text with the values of these variables in their places."""
    atoms: list[Atom] = []
    for atom in text.atoms:
        known = constants.get(atom.name) if isinstance(atom, Variable) else None
        atoms += [atom] if known is None else [replace(one, place=atom.place) for one in known.atoms]
    return Text(tuple(atoms))


def undefined(variable: Variable) -> CommandRefused:
    """The refusal of a variable whose value has to be known for the translation."""
    name = named(variable.name)
    return refused(
        variable.place,
        f"${name} is not defined in the line; say what it is: {PROGRAM} translate --set {name}=VALUE, with the line",
    )


@dataclass(slots=True)
class Scope:
    """The variables that are known: `of_row` by the loop, `constants` by the line, `given` by whoever asks.

    `faults` and `notes` gather what was found on the way, `asked` the given names that were needed.
    """

    of_row: Collection[str]
    constants: Mapping[str, Text]
    given: Mapping[str, str]
    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def resolve(self, text: Text) -> Text:
        """The text with variables only where a row's value goes, and where nobody knows the value."""
        text = filled(self._freed(text), self.constants)
        atoms: list[Atom] = []
        for atom in text.atoms:
            atoms += self._value(atom) if isinstance(atom, Variable) else [atom]
        return Text(tuple(atoms))

    def _value(self, variable: Variable) -> list[Atom]:
        value = None if variable.name in self.of_row else self.given.get(variable.name)
        if value is None:
            return [variable]
        if variable.name not in self.asked:
            self.faults.append(faults.given_by_hand(variable.place, variable.name))
        self.asked.add(variable.name)
        return [Letter(char, variable.place, Quote.GIVEN) for char in value]

    def _freed(self, text: Text) -> Text:
        """The text with variables in the place of names that single quotes keep from becoming ones."""
        atoms: list[Atom] = []
        done = 0
        for found in _IN_QUOTES.finditer(text.plain):
            start, end = found.span()
            if any(not isinstance(atom, Letter) or atom.quote is not Quote.SINGLE for atom in text.atoms[start:end]):
                continue
            name, place = found[1] or found[2], text.atoms[start].place
            if name not in (*self.of_row, *self.constants, *self.given):
                self.notes.append(f"{place}: a $ stands within single quotes, and is sent as the $ that it is")
                continue
            self.faults.append(faults.never_expands(place, name))
            atoms += [*text.atoms[done:start], Variable(name, place, Quote.SINGLE)]
            done = end
        return Text((*atoms, *text.atoms[done:]))
