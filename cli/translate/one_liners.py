"""All one-liners of a text, each translated on its own, or refused with its place."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from cli.terminal.exits import CommandRefused
from cli.translate.findings import START, Finding, FindingKind, LinePlace, refused
from cli.translate.grammar import ShellPipeline, parse
from cli.translate.page import LONGEST, Snippet, snippets
from cli.translate.script import FORMS, assigned, note_of_ignored, read
from cli.translate.shell import lex
from cli.translate.translation import Translation, translate
from cli.translate.words import ShellText
from jobs.catalogue.catalogue import Catalogue
from texts.remedies import setting
from texts.said import Quantity, said, text_of


@dataclass(frozen=True, slots=True)
class Translated:
    """A one-liner that begins at `place`, and its translation; or None, and the sentence that refuses it."""

    place: LinePlace
    translation: Translation | None
    refusal: str = ""


def translate_all(text: str, given: Mapping[str, str], catalogue: Catalogue) -> list[Translated]:
    """The one-liners of a text, in order; `given` are values of variables that it does not define.

    Raises `CommandRefused` for a text without any, and for a given value that nothing uses.
    """
    reading = _Reading(given, catalogue, {}, set())
    found = [one for snippet in snippets(text) for one in reading.all_of(snippet)]
    if not found:
        raise refused(
            START,
            said("there is no curl and no sqlexec here, so there is nothing to translate; {forms}", forms=FORMS),
        )
    if all(one.translation for one in found):
        for name in given:
            if name not in reading.asked:
                raise CommandRefused(
                    said(
                        "{option}: there is no ${name} in the line whose value it leaves open",
                        option=setting("set", name),
                        name=name,
                    )
                )
    return found


@dataclass(slots=True)
class _Reading:
    """What is known on the way through a text: the variables that it has set, and the given ones that were used."""

    given: Mapping[str, str]
    catalogue: Catalogue
    constants: Mapping[str, ShellText]
    asked: set[str]

    def all_of(self, snippet: Snippet) -> Iterator[Translated]:
        """The one-liners of a part of the text."""
        try:
            self._check(snippet)
            tokens, of_quotes = lex(snippet.text)
        except CommandRefused as error:
            yield Translated(_first_place(snippet.text), None, text_of(error))
            return
        try:
            pipelines = parse(tokens)
        except CommandRefused as error:
            yield Translated(_first_place(snippet.text), None, _with_quote(error, of_quotes))
            return
        yield from self._each(pipelines, of_quotes)

    def _check(self, snippet: Snippet) -> None:
        if len(snippet.text.strip()) > LONGEST:
            raise refused(
                _first_place(snippet.text),
                said("a command of more than {longest} characters; a one-liner is not", longest=Quantity(LONGEST)),
            )
        if snippet.stray is not None:
            raise refused(
                snippet.stray,
                said("a loop or a condition ends here whose beginning is not read: its calls may depend on it"),
            )

    def _each(self, pipelines: Sequence[ShellPipeline], of_quotes: Sequence[Finding]) -> Iterator[Translated]:
        notes: list[str] = []
        calls: list[tuple[ShellPipeline, Mapping[str, ShellText]]] = []
        for pipeline in pipelines:
            if (values := assigned(pipeline, self.constants)) is not None:
                self.constants = values
            elif (note := note_of_ignored(pipeline)) is not None:
                notes.append(note)
            else:
                calls.append((pipeline, self.constants))
        for at, (pipeline, constants) in enumerate(calls):
            end = calls[at + 1][0].place if at + 1 < len(calls) else None
            start = pipeline.place if at else START
            own = [one for one in of_quotes if one.place >= start and (end is None or one.place < end)]
            try:
                found, asked = translate(read(pipeline, constants), self.given, self.catalogue)
            except CommandRefused as error:
                yield Translated(pipeline.place, None, _with_quote(error, own))
                continue
            self.asked |= asked
            faults = tuple(sorted({*found.faults, *own}, key=lambda fault: (fault.place, fault.kind)))
            whole = replace(found, faults=faults, notes=tuple(dict.fromkeys((*found.notes, *notes))))
            yield Translated(pipeline.place, whole)


def _with_quote(error: CommandRefused, of_quotes: Sequence[Finding]) -> str:
    """The refusal; where a quote is open, the refused part is most likely misread because of it."""
    fault = next((one for one in of_quotes if one.kind is FindingKind.UNBALANCED_QUOTE), None)
    if fault is None:
        return text_of(error)
    return said(
        "{error}; this may come of another place, {place}: {fault}",
        error=error,
        place=fault.place.text,
        fault=fault.what,
    )


def _first_place(text: str) -> LinePlace:
    blank = len(text) - len(text.lstrip())
    line = text.count("\n", 0, blank) + 1
    return LinePlace(line, blank - text.rfind("\n", 0, blank))
