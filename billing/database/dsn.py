"""The address of the billing's database, from the settings; nothing here opens it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from billing.secret import NO_SECRET, Secret

_SERVER: Final = re.compile(r"^(inet\d?://|(\[[^]]+\]|\w[^/\\:]*)(/\w+)?:)")


@dataclass(frozen=True, slots=True)
class Dsn:
    """The address of the billing's database.

    `database` is a path, opened by the embedded engine, or `host:path` or `host/port:path`, opened by that server.
    `charset` is `UTF8`, or `WIN1251` for version 4 of the billing. `client_library` is a `libfbclient` to use instead
    of the bundled one.
    """

    database: str
    user: str = "sysdba"
    password: Secret = NO_SECRET
    charset: str = "UTF8"
    client_library: Path | None = None

    @property
    def on_server(self) -> bool:
        """Whether a server opens the database instead of this process."""
        return _SERVER.match(self.database) is not None

    @property
    def parts(self) -> tuple[str, str]:
        """The server, "" for the embedded engine, and the path on it."""
        if not self.on_server:
            return "", self.database
        server, _, path = self.database.rpartition(":")
        return server, path

    @property
    def encoding(self) -> str:
        """The charset in Python's spelling."""
        return {"WIN1251": "cp1251"}.get(self.charset, self.charset)

    def __str__(self) -> str:
        return self.database
