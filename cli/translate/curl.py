"""The words of a curl: its address, which names the model, and the data that it posts."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from cli.translate.faults import Place, named, refused
from cli.translate.pipeline import Command
from cli.translate.shell import HOLE, Text, Word

_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?://)?(?:[^/?#]*@)?(?P<host>[^/?#@]+)/rest_api/v2/(?P<model>[A-Za-z_][A-Za-z0-9_]*)/?"
)
"""What stands before an @ is a password."""
_EXAMPLE: Final = "http://HOST:8082/rest_api/v2/Users/"
_FORM: Final = "application/x-www-form-urlencoded"

_SHORT: Final[Mapping[str, str]] = {
    "-X": "--request",
    "-d": "--data",
    "-D": "--dump-header",
    "-H": "--header",
    "-o": "--output",
    "-w": "--write-out",
    "-m": "--max-time",
    "-A": "--user-agent",
    "-e": "--referer",
    "-u": "--user",
    "-b": "--cookie",
    "-x": "--proxy",
    "-s": "--silent",
    "-S": "--show-error",
    "-i": "--include",
    "-v": "--verbose",
    "-f": "--fail",
    "-g": "--globoff",
    "-N": "--no-buffer",
    "-k": "--insecure",
    "-L": "--location",
    "-4": "--ipv4",
    "-6": "--ipv6",
}
_SET_ELSEWHERE: Final[Mapping[str, str]] = {
    "--max-time": "--timeout says how long an answer may take",
    "--connect-timeout": "--timeout says how long an answer may take",
    "--retry": "what was provably not done is tried again by itself",
    "--retry-delay": "what was provably not done is tried again by itself",
    "--insecure": "the certificate of an https address is checked",
    "--location": "a call that is sent elsewhere is not followed: it might be done twice",
    "--user": "credentials belong into the settings",
    "--cookie": "credentials belong into the settings",
    "--proxy": "the address of the settings is called directly",
}
_DATA: Final = frozenset({"--data", "--data-raw", "--data-ascii", "--data-binary"})
_WITH_VALUE: Final = _DATA | {
    "--request",
    "--data-urlencode",
    "--header",
    "--url",
    "--user",
    "--cookie",
    "--proxy",
    "--max-time",
    "--connect-timeout",
    "--retry",
    "--retry-delay",
    "--dump-header",
    "--output",
    "--write-out",
    "--user-agent",
    "--referer",
}
_FLAGS: Final = frozenset(
    {
        "--silent",
        "--show-error",
        "--include",
        "--verbose",
        "--fail",
        "--fail-with-body",
        "--globoff",
        "--no-buffer",
        "--insecure",
        "--location",
        "--ipv4",
        "--ipv6",
        "--compressed",
        "--no-progress-meter",
        "--progress-bar",
    }
)


@dataclass(frozen=True, slots=True)
class Data:
    """What one `-d` says. `kept` is how it reads with its inner quotes; curl encodes `encoded` data by itself."""

    text: Text
    place: Place
    kept: Text | None = None
    encoded: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """A call of the REST API: the model, what is posted, and the address, None if a variable has it."""

    model: str
    address: str | None
    data: tuple[Data, ...]
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Options:
    """What the words say, as far as they were read."""

    urls: list[Word] = field(default_factory=list)
    data: list[Data] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def take(self, option: str, value: Word, place: Place) -> None:
        """One option with its value. Raises `CommandRefused` for one that makes another call of it."""
        if option == "--url":
            self.urls.append(value)
        elif option in _DATA:
            if option != "--data-raw" and value.plain.startswith("@"):
                raise refused(value.place, "the data of this curl stands in a file; write it into the line")
            self.data.append(Data(value.text, value.place, value.kept))
        elif option == "--data-urlencode":
            self.data.append(_encoded(value))
        elif option == "--request" and value.plain != "POST":
            raise refused(place, f"the request is a {named(value.plain)}, and a call of the billing is a POST")
        elif option == "--header":
            self._header(value)
        elif option in _SET_ELSEWHERE:
            self.notes.append(f"{option} is left out: {_SET_ELSEWHERE[option]}")

    def _header(self, value: Word) -> None:
        name, _, content = value.plain.partition(":")
        if name.strip().casefold() != "content-type":
            self.notes.append(f"the header {named(name)} is left out: headers belong into the settings")
        elif content.strip().casefold().partition(";")[0] != _FORM:
            raise refused(value.place, f"the data is sent as {named(content)}, and a call of the billing is a form")


def read_request(command: Command) -> Request:
    """The call that a curl makes. Raises `CommandRefused` for what is no call of the REST API v2."""
    options = _Options()
    for option, value, place in _options(command):
        options.take(option, value, place)
    if not options.urls:
        raise refused(command.place, "this curl has no address")
    if len(options.urls) > 1:
        raise refused(options.urls[1].place, "a second address stands here, and a row is one call")
    if not options.data:
        raise refused(command.place, "this curl posts nothing: it has no -d")
    (url,) = options.urls
    found = _ADDRESS.fullmatch(url.plain)
    if found is None:
        said = named(url.plain.rpartition("@")[2])
        raise refused(url.place, f"{said} is no address of the REST API, as {_EXAMPLE} is one")
    address = None if HOLE in found["host"] else f"{found['scheme'] or 'http://'}{found['host']}"
    return Request(found["model"], address, tuple(options.data), tuple(options.notes))


def _options(command: Command) -> Iterator[tuple[str, Word, Place]]:
    """The options by their long names, and addresses as `--url`; an option without a value has itself."""
    words = iter(command.words[1:])
    for word in words:
        if word.plain.startswith("--"):
            yield _long(word.plain, word, words)
        elif word.plain.startswith("-") and word.plain != "-":
            yield from _short(word, words)
        else:
            yield "--url", word, word.place


def _long(option: str, word: Word, words: Iterator[Word]) -> tuple[str, Word, Place]:
    if option in _FLAGS:
        return option, word, word.place
    if option not in _WITH_VALUE:
        raise refused(word.place, f"curl's {named(option)} is not translated")
    value = next(words, None)
    if value is None:
        raise refused(word.place, f"curl's {named(option)} has no value")
    return option, value, word.place


def _short(word: Word, words: Iterator[Word]) -> Iterator[tuple[str, Word, Place]]:
    """`-sS`, `-XPOST`, `-d …`: the first one that takes a value takes all that is left, or the next word."""
    for at in range(1, len(word.plain)):
        letter = f"-{word.plain[at]}"
        option = _SHORT.get(letter, letter)
        rest = word.text.cut(at + 1)
        if option in _WITH_VALUE and rest.atoms:
            yield option, Word(rest, rest.place(0, word.place)), word.place
            return
        yield _long(option, word, words)


def _encoded(value: Word) -> Data:
    """`name=content`, of which curl encodes the content; `=content` and `content` have no name."""
    name, equals, _ = value.plain.partition("=")
    if not equals or not name or "@" in name:
        raise refused(value.place, "--data-urlencode is read as name=content")
    return Data(value.text, value.place, encoded=True)
