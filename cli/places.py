"""Where files that belong to a billing are kept, when nobody names a place."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from yarl import URL

from cli.names import PROGRAM

OF_ROOT: Final = Path("/var/lib")
_STATE: Final = "XDG_STATE_HOME"
_ROOT: Final = 0


def state_folder(environment: Mapping[str, str]) -> Path:
    """The folder of our state: `$XDG_STATE_HOME/carbon-migrate`, or `/var/lib/carbon-migrate` for root."""
    if named := environment.get(_STATE):
        return Path(named) / PROGRAM
    if os.geteuid() == _ROOT:
        return OF_ROOT / PROGRAM
    return Path(environment.get("HOME") or Path.home()) / ".local" / "state" / PROGRAM


def name_of_billing(address: str) -> str:
    """Host and port of a billing as the name of a file, as `10.0.0.5-8082`; the colons of IPv6 become `_`."""
    url = URL(address)
    return f"{(url.host or 'nowhere').replace(':', '_')}-{url.port or 0}"
