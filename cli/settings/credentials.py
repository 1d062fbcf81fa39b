"""Secrets that the settings file names and does not hold: `password = {credential = "db"}`.

systemd gives a service its credentials as files of a folder, which only the service can read, and in which they are
decrypted. A command that needs none, as `status`, works without: one that is not there is refused when it is needed.
"""

import errno
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

from billing.secret import Secret
from cli.settings.file_access import FoundFile, read_found
from cli.settings.places import in_full
from cli.terminal.exits import SettingsRefused
from cli.terminal.texts import printable, reason_of
from texts.remedies import PROGRAM, VAULT_KEY
from texts.said import Said, SaidError, counted, said, text_of

FOLDER: Final = "CREDENTIALS_DIRECTORY"
"""The variable that names the folder."""

_NAME: Final = re.compile(r"[\w-][\w.-]{0,99}", re.ASCII)
_KEPT: Final = f"/etc/credstore.encrypted/{PROGRAM}."
"""Where the unit looks for an encrypted credential, but for its name."""

_LONGEST: Final = 65_536
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
        try:
            return self._read(name)
        except _Unread as error:
            self.unread[key] = said(
                "{place}: {key} is the credential {name}, and {why}",
                place=self._place(key),
                key=key,
                name=name,
                why=error,
            )
            return ""

    def require(self, table: str) -> None:
        """Raise `SettingsRefused` for what of the table, or of this key, could not be read."""
        for key, why in self.unread.items():
            if key == table or key.startswith(f"{table}."):
                raise SettingsRefused(why)

    def origin(self, key: str, place: str) -> str:
        """Where a setting comes from: its place in the file, and the credentials that it or its values are."""
        names = tuple(name for asked, name in self.names.items() if asked == key or asked.startswith(f"{key}."))
        if not names:
            return place
        return counted(
            "{place}: credential {names}", "{place}: credentials {names}", len(names), place=place, names=names
        )

    def _read(self, name: str) -> str:
        """The text of a credential, without the end of its line. Raises `_Unread`."""
        if not self._folder:
            raise _Unread(
                "only what systemd starts has credentials ({variable} is not set). Let it start the command:\n"
                "{command}",
                variable=FOLDER,
                command=f"systemd-run --pty --property=LoadCredentialEncrypted={name}:{PROGRAM}.{name} {PROGRAM} …",
            )
        words = ("systemd-ask-password", "-n", "|", "systemd-creds", "encrypt", f"--name={name}", "-", _KEPT + name)
        encrypt = " ".join(words)
        try:
            descriptor = os.open(Path(self._folder) / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                text = file.read(_LONGEST + 1).decode()
        except FileNotFoundError as error:
            raise _Unread(
                "the service was not given it. Encrypt it:\n{command}\nand let the unit name it, in [Service]:\n"
                "{line}",
                command=encrypt,
                line=f"LoadCredentialEncrypted={name}:{PROGRAM}.{name}",
            ) from error
        except OSError as error:
            raise _Unread("it cannot be read: {reason}", reason=reason_of(error)) from error
        except UnicodeDecodeError as error:
            raise _Unread(said("it is not UTF-8")) from error
        text = text.removesuffix("\n").removesuffix("\r")
        if not text.isprintable() or not 0 < len(text) < _LONGEST:
            raise _Unread("it is empty, or no secret of one line: encrypt it anew:\n{command}", command=encrypt)
        return text


class _Unread(SaidError):
    """Raised when a credential cannot be read; the text says why, and what to do."""


def vault_key_of(given: Hidden, folder: Path, place: str, hidden: Credentials) -> Secret:
    """The keys that a settings file in `folder` names; why they cannot be read is among what `hidden` has not read.

    Raises `SettingsRefused` for a wrong name of a credential.
    """
    if not isinstance(given, str):
        return Secret(hidden.text(VAULT_KEY, given))
    path = folder / in_full(given)
    try:
        content = read_found(FoundFile(path, said("the file of keys"), is_secret=True))
        if content is not None:
            return Secret(content.decode(errors="replace"))
        why = os.strerror(errno.ENOENT)
    except OSError as error:
        why = reason_of(error)
    except SettingsRefused as error:
        hidden.unread[VAULT_KEY] = said("{place}: {key}: {why}", place=place, key=VAULT_KEY, why=text_of(error))
        return Secret()
    why = said("{file} cannot be read: {reason}", file=printable(path), reason=why)
    hidden.unread[VAULT_KEY] = said("{place}: {key}: {why}", place=place, key=VAULT_KEY, why=why)
    return Secret()
