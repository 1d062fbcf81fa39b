"""The setting `vault_key`: a file that only its owner can read, a credential, or a variable, with the keys.

What is wrong with it is kept with it: a command that opens no secrets works without its key.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from billing.secret import Secret
from cli.settings.credentials import Credentials, Hidden
from cli.settings.file_access import user_name
from cli.settings.places import in_full
from cli.terminal.exits import SettingsRefused
from cli.terminal.texts import printable, reason_of
from texts.remedies import VAULT_KEY
from texts.said import Said, said

_OTHERS: Final = 0o077
_ROOT: Final = 0
_LONGEST: Final = 65_536
"""Bytes of a file of keys; what is longer is none."""


@dataclass(frozen=True, slots=True)
class VaultKeyText:
    """The text of the keys, empty where none is set; or why it could not be read."""

    text: Secret = field(default_factory=Secret)
    trouble: Said | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The keys, which must never be shown."""
        return tuple(self.text.reveal().split())


NO_KEY: Final = VaultKeyText()


def vault_key_of(given: Hidden, folder: Path, place: str, hidden: Credentials) -> VaultKeyText:
    """The keys that a settings file in `folder` names. Raises `SettingsRefused` for a wrong name of a credential."""
    if not isinstance(given, str):
        text = hidden.text(VAULT_KEY, given)
        return VaultKeyText(Secret(text), hidden.unread.get(VAULT_KEY))
    path = folder / in_full(given)
    try:
        return VaultKeyText(Secret(_read(path)))
    except SettingsRefused as error:
        return VaultKeyText(trouble=said("{place}: {key}: {why}", place=place, key=VAULT_KEY, why=error))


def _read(path: Path) -> str:
    """The text of a file that belongs to this user or to root, and that nobody else can read."""
    file = printable(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(descriptor)
            _check(status, file)
            return stream.read(_LONGEST).decode()
    except OSError as error:
        raise SettingsRefused(said("{file} cannot be read: {reason}", file=file, reason=reason_of(error))) from error
    except UnicodeDecodeError as error:
        raise SettingsRefused(said("{file} is not a file of keys", file=file)) from error


def _check(status: os.stat_result, file: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SettingsRefused(said("{file} is not a file of keys", file=file))
    if status.st_uid not in {os.geteuid(), _ROOT}:
        raise SettingsRefused(
            said(
                "{file} belongs to {owner}: a key is taken from its own user",
                file=file,
                owner=user_name(status.st_uid),
            )
        )
    if status.st_mode & _OTHERS:
        raise SettingsRefused(
            said(
                "others on this machine can read {file}, which has a key: close it, and think about a new one:\n"
                "{command}",
                file=file,
                command=f"chmod 600 {file}",
            )
        )
