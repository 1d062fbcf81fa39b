"""The options of a wget: its address, and the data that it posts."""

from collections.abc import Mapping
from typing import Final

from cli.translate.grammar import ShellCommand
from cli.translate.request import CallRequest, Data, OptionTable, RequestParts, no_post, options_of

_SHORT: Final[Mapping[str, str]] = {
    "-q": "--quiet",
    "-v": "--verbose",
    "-nv": "--no-verbose",
    "-d": "--debug",
    "-S": "--server-response",
    "-4": "--inet4-only",
    "-6": "--inet6-only",
    "-O": "--output-document",
    "-o": "--output-file",
    "-a": "--append-output",
    "-t": "--tries",
    "-T": "--timeout",
    "-w": "--wait",
    "-U": "--user-agent",
}
_DATA: Final = frozenset({"--post-data", "--body-data"})
_WITH_VALUE: Final = _DATA | {
    "--method",
    "--header",
    "--output-document",
    "--output-file",
    "--append-output",
    "--user-agent",
    "--referer",
    "--timeout",
    "--read-timeout",
    "--connect-timeout",
    "--tries",
    "--waitretry",
    "--wait",
    "--user",
    "--password",
    "--http-user",
    "--http-password",
}
_FLAGS: Final = frozenset(
    {
        "--quiet",
        "--verbose",
        "--no-verbose",
        "--server-response",
        "--inet4-only",
        "--inet6-only",
        "--content-on-error",
        "--no-cache",
        "--no-check-certificate",
        "--no-proxy",
    }
)
_OPTIONS: Final = OptionTable("wget", _SHORT, _WITH_VALUE, _FLAGS, joins=True)


def read_wget(command: ShellCommand) -> CallRequest:
    """The call that a wget makes. Raises `CommandRefused` for anything but a call of the REST API v2."""
    parts = RequestParts()
    for option, value, place in options_of(command.words[1:], _OPTIONS):
        if option in _DATA:
            # Like curl -d, it sends the text as it is.
            parts.data.append(Data(value.text, value.place, value.kept))
        elif option == "--method" and value.plain.upper() != "POST":
            raise no_post(value, place)
        else:
            parts.take(option, value)
    return parts.request(command, "--post-data")
