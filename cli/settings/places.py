"""Default places of a billing's files: in the user's state folder; and what may be shown of addresses.

A journal in the working folder would not know what was entered from another folder. An existing one there, from an
earlier version, is used and reported.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from billing.secret import PLACEHOLDER
from checkpoints.address import JournalAddress, is_postgres, journal_in_postgres
from checkpoints.errors import JournalError
from cli.terminal.exits import SettingsRefused
from cli.terminal.texts import JOURNAL, printable
from texts.remedies import PROGRAM
from texts.said import said

SUFFIX: Final = ".journal"
IN_FOLDER: Final = said("found in the working folder")
OF_BILLING: Final = said("the billing's own, in the state folder")
OF_ROOT: Final = Path("/var/lib")
_STATE: Final = "XDG_STATE_HOME"
_ROOT: Final = 0
_STATE_OF_USER: Final = Path(".local/state") / PROGRAM
_LONGEST: Final = 200
_PASSWORD_OPTIONS: Final = ("password", "sslpassword")
"""Options of an address of PostgreSQL that are passwords (libpq, "Parameter Key Words")."""
_USUAL_PORTS: Final = {"http": 80, "https": 443}
_PLAIN: Final = re.compile(
    r"(https?)://(?!.*xn--)([0-9a-z.-]+)(?::([0-9]{1,4}|[1-5][0-9]{4}))?((?:/[0-9a-z_-]*)*)", re.IGNORECASE | re.ASCII
)
"""An address in plain form: no other alphabets, escapes, passwords, or dots in its path."""
_OUTSIDE: Final = re.compile(r"[^0-9a-z.-]+")
"""Characters that are not allowed in the name of a file."""


def journal_of_billing(environment: Mapping[str, str], api_url: str) -> Path:
    """The journal of a billing in the state folder, whatever lies in the working folder.

    Without an address, it is the only journal of the state folder; with none or several there, a path without a
    journal.
    """
    state = state_folder(environment)
    if api_url:
        return state / f"{name_of_billing(api_url)}{SUFFIX}"
    there = journals_in(state)
    return there[0] if len(there) == 1 else state / JOURNAL


def journals_in(folder: Path) -> list[Path]:
    """The journals in a folder, by name; each once, whatever other names of its billing lead to it."""
    try:
        found = sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIX))
        return [path for path in found if not path.is_symlink() or path.resolve().parent != folder.resolve()]
    except OSError:
        return []


def state_folder(environment: Mapping[str, str]) -> Path:
    """The program's state folder: `$XDG_STATE_HOME/carbon-migrate`, or `/var/lib/carbon-migrate` for root.

    Raises `SettingsRefused` for a user without a home folder: a service or a container may have none.
    """
    named = Path(environment.get(_STATE, ""))
    if named.is_absolute():
        return named / PROGRAM
    if os.geteuid() == _ROOT:
        return OF_ROOT / PROGRAM
    try:
        home = Path(environment.get("HOME") or Path.home())
    except RuntimeError as error:
        raise SettingsRefused(
            "user {number} has no home folder, and so no place for a journal: set {variable} to a folder that "
            "only this user can write to",
            number=os.geteuid(),
            variable=_STATE,
        ) from error
    return home / _STATE_OF_USER


def states_of_others(environment: Mapping[str, str]) -> list[Path]:
    """The state folders of other users who may know the same billings: root's, or that of whoever has become root."""
    if os.geteuid() != _ROOT:
        return [OF_ROOT / PROGRAM]
    user = environment.get("SUDO_USER", "")
    home = Path(f"~{user}") if user else None
    try:
        return [home.expanduser() / _STATE_OF_USER] if home else []
    except RuntimeError:
        return []


def in_full(path: str) -> Path:
    """A path with the home folder in place of ~. Raises `SettingsRefused` where there is no such folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise SettingsRefused(
            "{path}: there is no home folder for {user}; give the whole path",
            path=printable(path),
            user=printable(path.partition("/")[0]),
        ) from error


def without_credentials(address: str) -> str:
    """An address with dots for user and password in it, as in `http://•••@HOST:8082`; others are unchanged."""
    before, together, behind = _credentials(address)
    return f"{before}{PLACEHOLDER}@{behind}" if together else address


def credentials_in(address: str) -> tuple[str, ...]:
    """The secrets in an address: user and password together, and the password, also with its escapes resolved."""
    together = _credentials(address)[1]
    password = together.partition(":")[2]
    return (together, password, unquote(password)) if together else ()


def passwords_in(address: str) -> frozenset[str]:
    """The passwords in an address, behind its user or among its options, with escapes resolved and as written."""
    written = _credentials(address)[1].partition(":")[2]
    options = dict(parse_qsl(address.partition("?")[2]))
    return frozenset({written, unquote(written), *(options.get(name, "") for name in _PASSWORD_OPTIONS)} - {""})


def without_user(address: str) -> str:
    """An address of HTTP without user and password, as it can be typed by anybody."""
    before, _, behind = _credentials(address)
    return f"{before}{behind}"


def without_password(address: str) -> str:
    """An address of PostgreSQL as it can be typed by anybody: without its password."""
    parts = urlsplit(address)
    user, _, host = parts.netloc.rpartition("@")
    options = [(name, value) for name, value in parse_qsl(parts.query) if name not in _PASSWORD_OPTIONS]
    netloc = f"{user.partition(':')[0]}@{host}" if user else host
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(options), ""))


def refuse_typed_password(address: str, name: str) -> None:
    """Raise `SettingsRefused` for an address that was typed, as the option or argument `name`, with a password."""
    if is_postgres(address) and passwords_in(address):
        raise SettingsRefused(
            "{name}: everybody on this machine can see a command line. Leave the password out of the address "
            "and set the variable {variable}, or put it into {pgpass}",
            name=name,
            variable="PGPASSWORD",
            pgpass="~/.pgpass",
        )


def named_journal(text: str, folder: Path, environment: Mapping[str, str]) -> JournalAddress:
    """The journal of that name: an address in PostgreSQL, or a file, relative to a folder.

    Raises `JournalUnreadable` for an address that cannot be one, and `SettingsRefused`.
    """
    if is_postgres(text):
        return journal_in_postgres(text, state_folder(environment))
    return JournalAddress(folder / in_full(text))


def typed_journal(text: str, name: str, environment: Mapping[str, str]) -> JournalAddress:
    """The journal that was typed as the argument `name`: a file, or an address in PostgreSQL.

    Raises `SettingsRefused`.
    """
    refuse_typed_password(text, name)
    try:
        return named_journal(text, Path.cwd(), environment)
    except JournalError as error:
        raise SettingsRefused("{name}: {error}", name=name, error=error) from error


def _credentials(address: str) -> tuple[str, str, str]:
    """What stands before the credentials of an address, they, and what stands behind their @."""
    scheme, marks, rest = address.partition("//")
    if marks:
        together, at, behind = rest.rpartition("@")
        return (f"{scheme}//", together, behind) if at else (address, "", "")
    # A path may have an @ in it, so here only `user:password@` is taken for credentials.
    found = re.match(r"([^/@]+:(?!/)[^@]+)@", address)
    return ("", found[1], address[found.end() :]) if found else (address, "", "")


def name_of_billing(address: str) -> str:
    """A billing's address as a file name, such as `10.0.0.5-8082`; always a single valid name.

    Errors in the address are reported where it is used.
    """
    words = address = without_credentials(address)
    if plain := _PLAIN.fullmatch(address):
        scheme, host, port, path = plain.groups()
        words = f"{host}-{int(port or _USUAL_PORTS[scheme.casefold()])}{path.rstrip('/')}"
    else:
        from yarl import URL  # noqa: PLC0415 - the import takes a tenth of a command's start

        with suppress(ValueError):
            url = URL(address)
            words = f"{url.host or 'nowhere'}-{url.port or 0}{url.path.rstrip('/')}"
    return _OUTSIDE.sub("_", words.casefold()).strip("_.-")[:_LONGEST] or "billing"
