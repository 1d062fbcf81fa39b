"""Where files that belong to a billing are kept when nobody names a place: in the user's state folder.

A journal of the working folder would know nothing of what was entered from another folder. One that is there already,
from a version that kept it so, is used where it is, and named.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.terminal.texts import JOURNAL, PROGRAM

SUFFIX: Final = ".journal"
IN_FOLDER: Final = "found in the working folder"
OF_BILLING: Final = "the billing's own, in the state folder"
OF_ROOT: Final = Path("/var/lib")
_STATE: Final = "XDG_STATE_HOME"
_ROOT: Final = 0
_LONGEST: Final = 200
_USUAL_PORTS: Final = {"http": 80, "https": 443}
_PLAIN: Final = re.compile(
    r"(https?)://(?!.*xn--)([0-9a-z.-]+)(?::([0-9]{1,4}|[1-5][0-9]{4}))?((?:/[0-9a-z_-]*)*)", re.IGNORECASE | re.ASCII
)
"""An address whose parts are what they seem: without other alphabets, escapes, passwords, dots in its path."""
_OUTSIDE: Final = re.compile(r"[^0-9a-z.-]+")
"""What does not belong into the name of a file."""


@dataclass(frozen=True, slots=True)
class JournalPlace:
    """A journal's path, and why it is this one."""

    path: Path
    origin: str


def default_journal(environment: Mapping[str, str], folder: Path, api_url: str) -> JournalPlace:
    """The journal of the billing at `api_url`, for commands typed in `folder`.

    Where no address is set, that is the only journal of the state folder; where it has several, or none, a path at
    which there is no journal.
    """
    here = folder / JOURNAL
    if here.exists():
        return JournalPlace(here, IN_FOLDER)
    state = state_folder(environment)
    if api_url:
        return JournalPlace(state / f"{name_of_billing(api_url)}{SUFFIX}", OF_BILLING)
    there = journals_in(state)
    return JournalPlace(there[0] if len(there) == 1 else state / JOURNAL, OF_BILLING)


def journals_in(folder: Path) -> list[Path]:
    """The journals that lie in a folder, by name."""
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(SUFFIX))
    except OSError:
        return []


def state_folder(environment: Mapping[str, str]) -> Path:
    """The folder of our state: `$XDG_STATE_HOME/carbon-migrate`, or `/var/lib/carbon-migrate` for root."""
    named = Path(environment.get(_STATE, ""))
    if named.is_absolute():
        return named / PROGRAM
    if os.geteuid() == _ROOT:
        return OF_ROOT / PROGRAM
    return Path(environment.get("HOME") or Path.home()) / ".local" / "state" / PROGRAM


def name_of_billing(address: str) -> str:
    """A billing's address as the name of a file, as `10.0.0.5-8082`; whatever it is, it names one file."""
    if plain := _PLAIN.fullmatch(address):
        scheme, host, port, path = plain.groups()
        words = f"{host}-{int(port or _USUAL_PORTS[scheme.casefold()])}{path.rstrip('/')}"
    else:
        words = _words_of(address)
    return _OUTSIDE.sub("_", words.casefold()).strip("_.-")[:_LONGEST] or "billing"


def _words_of(address: str) -> str:
    """Host, port and path of any address; what is wrong with it is told where it is used."""
    from yarl import URL  # noqa: PLC0415 - it costs every command a tenth of its start, and few addresses need it

    try:
        url = URL(address)
        return f"{url.host or 'nowhere'}-{url.port or 0}{url.path.rstrip('/')}"
    except ValueError:
        return address
