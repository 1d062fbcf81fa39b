"""The options of a wget: its address, and the data that it posts."""

from collections.abc import Mapping
from typing import Final

from cli.translate.findings import named, refused
from cli.translate.grammar import ShellCommand
from cli.translate.request import CREDENTIALS, CallRequest, Data, OptionTable, RequestParts, options_of

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
_SET_ELSEWHERE: Final[Mapping[str, str]] = {
    "--timeout": "--timeout says how long an answer may take",
    "--read-timeout": "--timeout says how long an answer may take",
    "--connect-timeout": "--timeout says how long an answer may take",
    "--tries": "what was provably not done is tried again by itself",
    "--waitretry": "what was provably not done is tried again by itself",
    "--wait": "--rate paces the run",
    "--no-check-certificate": "the certificate of an https address is checked",
    "--user": CREDENTIALS,
    "--password": CREDENTIALS,
    "--http-user": CREDENTIALS,
    "--http-password": CREDENTIALS,
    "--no-proxy": "the address of the settings is called directly",
}
"""Options that are set elsewhere. Their values are never shown: one may be a password."""
_DATA: Final = frozenset({"--post-data", "--body-data"})
_WITH_VALUE: Final = _DATA | {
    "--method",
    "--header",
    "--output-document",
    "--output-file",
    "--append-output",
    "--user-agent",
    "--referer",
    *(_SET_ELSEWHERE.keys() - {"--no-check-certificate", "--no-proxy"}),
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
_OPTIONS: Final = OptionTable("wget", _SHORT, _WITH_VALUE, _FLAGS, _SET_ELSEWHERE, joins=True)


def read_wget(command: ShellCommand) -> CallRequest:
    """The call that a wget makes. Raises `CommandRefused` for anything but a call of the REST API v2."""
    parts = RequestParts()
    for option, value, place in options_of(command.words[1:], _OPTIONS):
        if option == "--url":
            parts.urls.append(value)
        elif option in _DATA:
            # Like curl -d, it sends the text as it is.
            parts.data.append(Data(value.text, value.place, value.kept))
        elif option == "--method" and value.plain.upper() != "POST":
            raise refused(place, f"the request is a {named(value.plain)}, and a call of the billing is a POST")
        elif option == "--header":
            parts.take_header(value)
        elif option in _SET_ELSEWHERE:
            parts.notes.append(f"{option} is left out: {_SET_ELSEWHERE[option]}")
    return parts.request(command, "it has no --post-data")
