"""Where a billing's files are by default, what may be shown of addresses, and whose files are taken.

A journal in the working folder would not know what was entered from another folder. An existing one there, from an
earlier version, is used and reported.

A settings file, a journal or a profile that lies in the working folder says where rows and passwords go, what a run
sends, and what money rests on. Somebody who may write into the folder (`/tmp`, a share) could leave one there for
others. So such a file is taken from this user and from root alone; whoever trusts another one names it.

A secret may also be a credential, which the settings file names and does not hold: `password = {credential = "db"}`.
systemd gives a service its credentials as files of a folder, which only the service can read, and in which they are
decrypted. A command that needs none, as `status`, works without: one that is not there is refused when it is needed.
"""

import errno
import os
import pwd
import re
import shlex
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import msgspec

from billing.secret import PLACEHOLDER, Secret
from checkpoints.errors import JournalError
from checkpoints.journal_file import JournalAddress, is_postgres, journal_in_postgres
from checkpoints.own_files import kept_copies
from cli.terminal.exits import SettingsRefused
from cli.terminal.logs import KEPT
from cli.terminal.texts import JOURNAL, printable
from jobs.spec.toml_places import Toml
from texts.said import PROGRAM, VAULT_KEY, Said, counted, reason_of, said, text_of

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
    before, _, behind = _credentials(address)
    return f"{before}{behind}"


def without_password(address: str) -> str:
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


# ---- whose files are taken, and secrets that are files -----------------------------------------------------------


_OTHERS_MAY_READ: Final = 0o044
_OTHERS_MAY_WRITE: Final = 0o022
_BESIDE_A_JOURNAL: Final = (
    *("", "-wal", "-shm", "-plans", "-secrets", ".log"),
    *(f".log.{number}" for number in range(1, KEPT + 1)),
)
"""Endings of a journal's name, for the files that are kept beside it; kept copies come to these."""

_CONVERTED: Final = ("", "-plans")
"""Endings of those that are journals themselves, of which a copy is kept when their format changes."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that was not named: what it is, and the flag by which it can be named, if there is one.

    One that `is_run`, or names what is run, must not be written by its group either, and nobody else may reach one
    that `is_secret`.
    """

    path: Path
    what: str
    flag: str | None = None
    is_run: bool = False
    is_secret: bool = False

    def check(self, trusted: Collection[int] = ()) -> None:
        """Raise `SettingsRefused` for one that somebody else has made, or that everybody may write.

        Of a symbolic link, both the link and its file count. `trusted` are further users.
        """
        for status in (self.path.lstat(), self.path.stat()):
            if status.st_uid not in {os.geteuid(), _ROOT, *trusted}:
                ours = user_name(os.geteuid())
                refused = said(
                    "{what} {file} belongs to {owner}, and this is {user}: it is not taken, for it could have been "
                    "put there for you.",
                    what=self.what,
                    file=printable(self.path),
                    owner=user_name(status.st_uid),
                    user=ours,
                )
                command = shlex.join(["chown", ours, str(self.path)])
                remedy = said("If you trust it, make it yours:\n{command}", command=command)
                if self.flag is not None:
                    remedy = said(
                        "If you trust it, name it with {flag}; or make it yours:\n{command}",
                        flag=self.flag,
                        command=command,
                    )
                raise SettingsRefused("{refused} {remedy}", refused=refused, remedy=remedy)
            if not stat.S_ISLNK(status.st_mode):
                self.check_mode(status.st_mode)

    def check_mode(self, mode: int) -> None:
        of_group = self.is_run and mode & stat.S_IWGRP
        if mode & stat.S_IWOTH or of_group:
            raise SettingsRefused(
                "{who} may write {what} {file}: it is not taken. Look at what it says, and close it:\n{command}",
                who=said("everybody") if mode & stat.S_IWOTH else said("its group"),
                what=self.what,
                file=printable(self.path),
                command=_command("chmod", "go-w" if self.is_run else "o-w", [self.path]),
            )


def read_toml(read: Callable[[], bytes | None], file: str) -> Toml | None:
    """The TOML text that `read` gives of `file`, None where there is none. Raises `SettingsRefused`, naming it."""
    try:
        content = read()
        return None if content is None else Toml.of(content)
    except (OSError, UnicodeDecodeError) as error:
        why = reason_of(error) if isinstance(error, OSError) else said("it is not UTF-8")
        raise SettingsRefused("{file} cannot be read: {reason}", file=file, reason=why) from error
    except ValueError as error:
        raise SettingsRefused("{file} is not TOML: {error}", file=file, error=error) from error


def read_found(found: FoundFile, trusted: Collection[int] = ()) -> bytes | None:
    """The bytes of a file that was not named, None where there is none. Raises what `check` and reading raise."""
    try:
        found.check(trusted)
        # Not blocked by a pipe that somebody has put there, and checked again for what is open.
        descriptor = os.open(found.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SettingsRefused("{what} {file} is no file: remove it", what=found.what, file=printable(found.path))
        if status.st_uid not in {os.geteuid(), _ROOT, *trusted}:
            raise SettingsRefused(
                "{what} {file} was exchanged while it was opened", what=found.what, file=printable(found.path)
            )
        if found.is_run:
            found.check_mode(status.st_mode)
        if found.is_secret and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsRefused(
                "others on this machine can read {file}, which has a key: close it, and think about a new one:\n"
                "{command}",
                file=printable(found.path),
                command=_command("chmod", "600", [found.path]),
            )
        return file.read()


def user_name(user: int) -> str:
    """A user's name, or the number of one that this machine does not know."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return said("user {number}", number=user)


@dataclass(frozen=True, slots=True)
class Exposed:
    """Files that others on this machine can read or write: what they hold, and the command that closes them."""

    reason: str
    command: str


def exposed(settings_file: Path | None, journal: Path, *, holds_secrets: bool) -> Iterator[Exposed]:
    """Of the settings file, where it `holds_secrets`, and the journal with what is beside it, those that are open."""

    def do(file: str, modes: Iterable[int]) -> Said:
        may_write = any(mode & _OTHERS_MAY_WRITE for mode in modes)
        return said("read and write {file}", file=file) if may_write else said("read {file}", file=file)

    if settings_file is not None and holds_secrets and (mode := _open_mode(settings_file)):
        can = do(printable(settings_file), [mode])
        holds = said("others on this machine can {do}, which holds secrets of the billing", do=can)
        yield Exposed(holds, _command("chmod", "600", [settings_file]))
    family = [journal.with_name(f"{journal.name}{ending}") for ending in _BESIDE_A_JOURNAL]
    family += [copy for ending in _CONVERTED for copy in kept_copies(journal.with_name(f"{journal.name}{ending}"))]
    if modes := {path: mode for path in family if (mode := _open_mode(path))}:
        can = do(said("the journal {journal} or what is beside it", journal=printable(journal)), modes.values())
        holds = said("others on this machine can {do}: names, amounts and what was sent", do=can)
        yield Exposed(holds, _command("chmod", "600", modes))


def _open_mode(path: Path) -> int:
    try:
        return path.stat().st_mode & (_OTHERS_MAY_READ | _OTHERS_MAY_WRITE)
    except OSError:
        return 0


def _command(program: str, what: str, paths: Iterable[Path]) -> str:
    return shlex.join([program, what, *map(str, paths)])


FOLDER: Final = "CREDENTIALS_DIRECTORY"
"""The variable that names the folder."""

_NAME: Final = re.compile(r"[\w-][\w.-]{0,99}", re.ASCII)
_KEPT: Final = f"/etc/credstore.encrypted/{PROGRAM}."
"""Where the unit looks for an encrypted credential, but for its name."""

_LONGEST_SECRET: Final = 65_536
"""Bytes of a secret; what is longer is none."""


class Credential(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The name of a credential, in place of a secret."""

    credential: str


Hidden: TypeAlias = str | Credential
"""A secret, or the name of the credential that it is."""


class Credentials:
    """Reads the credentials that settings name; `place` says where in the file a key is.

    `names` are those that were asked for by the key of their setting, `unread` the reasons of those that could not be
    read.
    """

    def __init__(
        self, environment: Mapping[str, str] = MappingProxyType({}), place: Callable[[str], str] = str
    ) -> None:
        self.names: dict[str, str] = {}
        self.unread: dict[str, Said] = {}
        self._folder = environment.get(FOLDER, "")
        self._place = place

    def text(self, key: str, given: Hidden) -> str:
        """The secret of a setting, "" for one that cannot be read. Raises `SettingsRefused` for a wrong name."""
        if isinstance(given, str):
            return given
        name = given.credential
        if not _NAME.fullmatch(name):
            raise SettingsRefused(
                "{place}: {key}: a credential has a name of letters, digits, dots, - and _, and it has no path",
                place=self._place(key),
                key=key,
            )
        self.names[key] = name
        loads = f"LoadCredentialEncrypted={name}:{PROGRAM}.{name}"
        words = ("systemd-ask-password", "-n", "|", "systemd-creds", "encrypt", f"--name={name}", "-", _KEPT + name)
        encrypt = " ".join(words)
        if not self._folder:
            why = said(
                "only what systemd starts has credentials ({variable} is not set). Let it start the command:\n"
                "{command}",
                variable=FOLDER,
                command=f"systemd-run --pty --property={loads} {PROGRAM} …",
            )
        else:
            try:
                descriptor = os.open(Path(self._folder) / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
                with os.fdopen(descriptor, "rb") as file:
                    text = file.read(_LONGEST_SECRET + 1).decode().removesuffix("\n").removesuffix("\r")
                if text.isprintable() and 0 < len(text) < _LONGEST_SECRET:
                    return text
                why = said("it is empty, or no secret of one line: encrypt it anew:\n{command}", command=encrypt)
            except FileNotFoundError:
                why = said(
                    "the service was not given it. Encrypt it:\n{command}\nand let the unit name it, in [Service]:\n"
                    "{line}",
                    command=encrypt,
                    line=loads,
                )
            except OSError as error:
                why = said("it cannot be read: {reason}", reason=reason_of(error))
            except UnicodeDecodeError:
                why = said("it is not UTF-8")
        self.unread[key] = said(
            "{place}: {key} is the credential {name}, and {why}",
            place=self._place(key),
            key=key,
            name=name,
            why=why,
        )
        return ""

    def require(self, table: str) -> None:
        """Raise `SettingsRefused` for what of the table, or of this key, could not be read."""
        for key, why in self.unread.items():
            if key == table or key.startswith(f"{table}."):
                raise SettingsRefused(why)

    def origin(self, key: str, place: str) -> str:
        names = tuple(name for asked, name in self.names.items() if asked == key or asked.startswith(f"{key}."))
        if not names:
            return place
        return counted("{place}: credential[s] {names}", len(names), place=place, names=names)


def vault_key_of(given: Hidden, folder: Path, place: str, hidden: Credentials) -> Secret:
    """The keys that a settings file in `folder` names; why they cannot be read is among what `hidden` has not read.

    Raises `SettingsRefused` for a wrong name of a credential.
    """
    if not isinstance(given, str):
        return Secret(hidden.text(VAULT_KEY, given))
    path, why = folder / in_full(given), ""
    try:
        content = read_found(FoundFile(path, said("the file of keys"), is_secret=True))
        if content is not None:
            return Secret(content.decode(errors="replace"))
        why = said("{file} cannot be read: {reason}", file=printable(path), reason=reason_of(errno.ENOENT))
    except OSError as error:
        why = said("{file} cannot be read: {reason}", file=printable(path), reason=reason_of(error))
    except SettingsRefused as error:
        why = text_of(error)
    hidden.unread[VAULT_KEY] = said("{place}: {key}: {why}", place=place, key=VAULT_KEY, why=why)
    return Secret()
