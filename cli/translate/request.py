"""A request as a line makes it: its address, which contains the model, and the data that it sends."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cli.terminal.exits import CommandRefused
from cli.translate.findings import Finding, LinePlace, named, refused
from cli.translate.grammar import ShellCommand
from cli.translate.words import HOLE, ShellText, Word
from texts.said import said

_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?://)?(?:[^/?#]*@)?(?P<host>[^/?#@]+)/rest_api/v2/(?P<model>[A-Za-z_][A-Za-z0-9_]*)/?"
)
"""The user part of an address, which contains a password."""
_EXAMPLE: Final = "http://HOST:8082/rest_api/v2/Users/"
_FORM: Final = "application/x-www-form-urlencoded"
_CREDENTIALS: Final = said("credentials belong into the settings")
_TIMEOUT: Final = said("--timeout says how long an answer may take")
_TRIED_AGAIN: Final = said("what was provably not done is tried again by itself")
_CERTIFICATE: Final = said("the certificate of an https address is checked")
_DIRECTLY: Final = said("the address of the settings is called directly")
_SET_ELSEWHERE: Final[Mapping[str, str]] = {
    "--connect-timeout": _TIMEOUT,
    "--cookie": _CREDENTIALS,
    "--http-password": _CREDENTIALS,
    "--http-user": _CREDENTIALS,
    "--insecure": _CERTIFICATE,
    "--location": said("a call that is sent elsewhere is not followed: it might be done twice"),
    "--max-time": _TIMEOUT,
    "--no-check-certificate": _CERTIFICATE,
    "--no-proxy": _DIRECTLY,
    "--password": _CREDENTIALS,
    "--proxy": _DIRECTLY,
    "--read-timeout": _TIMEOUT,
    "--retry": _TRIED_AGAIN,
    "--retry-delay": _TRIED_AGAIN,
    "--timeout": _TIMEOUT,
    "--tries": _TRIED_AGAIN,
    "--user": _CREDENTIALS,
    "--wait": said("--rate paces the run"),
    "--waitretry": _TRIED_AGAIN,
}
"""Options that are left out, each with the reason. Their values are never shown: one may be a password."""


@dataclass(frozen=True, slots=True)
class Data:
    """The value of one `-d`. `kept` is the value with its inner quotes; curl encodes `encoded` data itself."""

    text: ShellText
    place: LinePlace
    kept: ShellText | None = None
    encoded: bool = False


@dataclass(frozen=True, slots=True)
class CallRequest:
    """A call of the REST API: the model, the data, and the address, None if a variable holds it."""

    model: str
    address: str | None
    data: tuple[Data, ...]
    faults: tuple[Finding, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OptionTable:
    """The options of a program: short ones by their long names, those with a value, and those without.

    With `joins`, a long option and its value may be one word, with = between them.
    """

    program: str
    short: Mapping[str, str]
    valued: frozenset[str]
    flags: frozenset[str]
    joins: bool = False


@dataclass(slots=True)
class RequestParts:
    """The parts of a request that were read so far."""

    urls: list[Word] = field(default_factory=list)
    data: list[Data] = field(default_factory=list)
    faults: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, option: str, value: Word) -> None:
        """Take over an option that means the same in either program, or pass over it. Raises `CommandRefused`."""
        if option == "--url":
            self.urls.append(value)
        elif option == "--header":
            self._take_header(value)
        elif option in _SET_ELSEWHERE:
            self.notes.append(said("{option} is left out: {why}", option=option, why=_SET_ELSEWHERE[option]))

    def _take_header(self, value: Word) -> None:
        """Note a header that is left out. Raises `CommandRefused` for data that is no form."""
        name, _, content = value.plain.partition(":")
        if name.strip().casefold() != "content-type":
            self.notes.append(
                said("the header {name} is left out: headers belong into the settings", name=named(name))
            )
        elif content.strip().casefold().partition(";")[0] != _FORM:
            raise refused(
                value.place,
                said("the data is sent as {content}, and a call of the billing is a form", content=named(content)),
            )

    def request(self, command: ShellCommand, data_option: str) -> CallRequest:
        """The whole request, whose data the program takes by `data_option`.

        Raises `CommandRefused` for anything but one call of the REST API v2.
        """
        program = command.program
        if not self.urls:
            raise refused(command.place, said("this {program} has no address", program=program))
        if len(self.urls) > 1:
            raise refused(self.urls[1].place, said("a second address stands here, and a row is one call"))
        if not self.data:
            raise refused(
                command.place,
                said("this {program} posts nothing: it has no {option}", program=program, option=data_option),
            )
        (url,) = self.urls
        found = _ADDRESS.fullmatch(url.plain)
        if found is None:
            # Behind the ? there may be a key, before the @ a password.
            shown = named(url.plain.partition("?")[0].rpartition("@")[2])
            raise refused(
                url.place,
                said(
                    "{address} is not an address of the REST API, as {example} is one",
                    address=shown,
                    example=_EXAMPLE,
                ),
            )
        address = None if HOLE in found["host"] else f"{found['scheme'] or 'http://'}{found['host']}"
        return CallRequest(found["model"], address, tuple(self.data), tuple(self.faults), tuple(self.notes))


def no_post(method: Word, place: LinePlace) -> CommandRefused:
    """The error for a request with another method."""
    return refused(
        place, said("the request is a {method}, and a call of the billing is a POST", method=named(method.plain))
    )


def options_of(words: Sequence[Word], table: OptionTable) -> Iterator[tuple[str, Word, LinePlace]]:
    """The options by their long names, addresses as `--url`; an option without a value has itself as value."""
    following = iter(words)
    for word in following:
        if word.plain.startswith("--"):
            yield _long(word.plain, word, following, table)
        elif word.plain.startswith("-") and word.plain != "-":
            yield from _short(word, following, table)
        else:
            yield "--url", word, word.place


def _long(option: str, word: Word, words: Iterator[Word], table: OptionTable) -> tuple[str, Word, LinePlace]:
    name, equals, _ = option.partition("=")
    if option in table.flags:
        return option, word, word.place
    if name not in table.valued or (equals and not table.joins):
        raise refused(
            word.place, said("{program}'s {name} is not translated", program=table.program, name=named(name))
        )
    if equals:
        return name, word.rest(len(name) + 1), word.place
    value = next(words, None)
    if value is None:
        raise refused(
            word.place, said("{program}'s {option} has no value", program=table.program, option=named(option))
        )
    return option, value, word.place


def _short(word: Word, words: Iterator[Word], table: OptionTable) -> Iterator[tuple[str, Word, LinePlace]]:
    """`-sS`, `-XPOST`, `-d …`: the first option with a value takes the rest of the word, or the next word."""
    if word.plain in table.short:
        yield _long(table.short[word.plain], word, words, table)
        return
    for at in range(1, len(word.plain)):
        letter = f"-{word.plain[at]}"
        option = table.short.get(letter, letter)
        rest = word.rest(at + 1)
        if option in table.valued and rest.text.pieces:
            yield option, rest, word.place
            return
        yield _long(option, word, words, table)
