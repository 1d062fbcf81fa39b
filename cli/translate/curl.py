"""The options of a curl: its address, and the data that it posts."""

from collections.abc import Mapping
from typing import Final

from cli.translate import findings
from cli.translate.findings import named, refused
from cli.translate.grammar import ShellCommand
from cli.translate.request import CallRequest, Data, OptionTable, RequestParts, no_post, options_of
from cli.translate.words import Word
from texts.said import said

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
    "-G": "--get",
    "-N": "--no-buffer",
    "-k": "--insecure",
    "-L": "--location",
    "-4": "--ipv4",
    "-6": "--ipv6",
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
        "--get",
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


_OPTIONS: Final = OptionTable("curl", _SHORT, _WITH_VALUE, _FLAGS)


def read_curl(command: ShellCommand) -> CallRequest:
    """The call that a curl makes. Raises `CommandRefused` for anything but a call of the REST API v2."""
    parts = RequestParts()
    options = list(options_of(command.words[1:], _OPTIONS))
    # With -G, -X GET says the same again.
    methods = ("POST", "GET") if any(option == "--get" for option, _, _ in options) else ("POST",)
    for option, value, place in options:
        if option in _DATA:
            parts.data.append(_posted(option, value, command))
        elif option == "--data-urlencode":
            parts.data.append(_encoded(value))
        elif option == "--get":
            parts.faults.append(findings.SENT_AS_GET.at(place, option=named(value.plain)))
        elif option == "--request" and value.plain not in methods:
            raise no_post(value, place)
        else:
            parts.take(option, value)
    return parts.request(command, "-d")


def _posted(option: str, value: Word, command: ShellCommand) -> Data:
    """The data of an option, or the lines of a heredoc for `@-`."""
    if option == "--data-raw" or not value.plain.startswith("@"):
        return Data(value.text, value.place, value.kept)
    texts = [word.text for operator, word in command.inputs if operator.symbol != "<"]
    if value.plain != "@-" or not texts:
        raise refused(value.place, said("the data of this curl stands in a file; write it into the line"))
    # curl leaves line ends out, but for --data-binary; JSON has them between its words alone.
    return Data(texts[-1].without_line_ends(), value.place)


def _encoded(value: Word) -> Data:
    """`name=content`, of which curl encodes the content; `=content` and `content` have no name."""
    name, equals, _ = value.plain.partition("=")
    if not equals or not name or "@" in name:
        raise refused(value.place, said("--data-urlencode is read as name=content"))
    return Data(value.text, value.place, encoded=True)
