"""The address of the billing's database, from the settings; nothing here opens it."""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from billing.errors import SettingsError
from billing.secret import NO_SECRET, Mask, Secret

CHARSETS: Final[Mapping[str, str]] = {
    "UTF8": "utf-8",
    "WIN1251": "cp1251",
    "KOI8R": "koi8-r",
    "KOI8U": "koi8-u",
    "DOS866": "cp866",
    "ISO8859_5": "iso8859-5",
}
"""The charsets of Firebird that have Russian letters, and Python's names of them."""

_SERVER: Final = re.compile(r"^(inet\d?://|(\[[^]]+\]|\w[^/\\:]*)(/\w+)?:)")


@dataclass(frozen=True, slots=True)
class Dsn:
    """The address of the billing's database.

    `database` is a path, opened by the embedded engine, or `host:path` or `host/port:path`, opened by that server.
    `charset` is one of `CHARSETS`: `UTF8`, or `WIN1251` for version 4 of the billing. `client_library` is a
    `libfbclient` to use instead of the bundled one.
    """

    database: str
    user: str = "sysdba"
    password: Secret = NO_SECRET
    charset: str = "UTF8"
    client_library: Path | None = None

    @property
    def on_server(self) -> bool:
        return _SERVER.match(self.database) is not None

    @property
    def parts(self) -> tuple[str, str]:
        if not self.on_server:
            return "", self.database
        server, _, path = self.database.rpartition(":")
        return server, path

    @property
    def encoding(self) -> str:
        return CHARSETS[self.charset]

    @property
    def mask(self) -> Mask:
        return Mask([self.password.reveal()])

    def __str__(self) -> str:
        return self.database


def charset_named(name: str) -> str:
    """A charset in Firebird's spelling. Raises `SettingsError`, naming the one that is meant where that is known."""
    if (plain := name.strip().upper()) in CHARSETS:
        return plain
    try:
        codec = codecs.lookup(name.strip()).name
    except (LookupError, ValueError):
        codec = ""
    meant = next((charset for charset, known in CHARSETS.items() if codecs.lookup(known).name == codec), None)
    shown = repr(name[:40])
    if meant:
        raise SettingsError(
            "{name} is not a charset of the database: Firebird calls it {charset}.", name=shown, charset=meant
        )
    raise SettingsError(
        "{name} is not a charset of the database: there are {known}; UTF8 is usual, WIN1251 in version 4.",
        name=shown,
        known=tuple(CHARSETS),
    )
