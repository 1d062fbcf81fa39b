"""What a run will ask of the billing, asked once before its first call, about nobody.

A look-up that cannot be made would leave every lost call in doubt for ever. So each effect asks what it will have to:
the same statements, the same filters and fields, for a key that no object has.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from billing.directory.objects import known_to_database
from billing.errors import ColumnsMissing
from engine.errors import InputRefused, LookUpRefused
from jobs.access.gateway import Gateway
from jobs.access.objects import find
from jobs.spec.parameters import LARGEST_ID

NOBODY: Final = LARGEST_ID
"""An id that no object of a billing has: the largest that its columns can hold."""

FOUND_AGAIN: Final = "lost calls are found again"
KEPT: Final = "what a call overwrites is kept, to be set back"
TAKEN_BACK: Final = "what the run has done is taken back"
FROM_NEW: Final = "what is there already is told from what is new"


@contextmanager
def needed(purpose: str) -> Iterator[None]:
    """Refuse a run that cannot ask for what it needs; `purpose` says what for. Raises `InputRefused`."""
    try:
        yield
    except LookUpRefused as error:
        lacks = isinstance(error.__cause__, ColumnsMissing)
        way_out = (
            "Ask the vendor what it is called in this version; with no database set, the API is asked in its place"
            if lacks
            else "Ask the vendor how this version is asked for it"
        )
        joint = ", by which" if lacks else "; and by this"
        raise InputRefused(f"{error}{joint} {purpose}: no call is made without it. {way_out}") from error


async def try_finding(
    services: Gateway, model: str, names: Collection[str], fields: Collection[str], besides: Collection[str] = ()
) -> None:
    """Look for an object by these fields of its key, and find none. Raises `LookUpFailed`.

    A model or a key that no recipe has is not tried: what its values may be is not known here, and the plan of each
    row has looked in the same way.
    """
    key = dict.fromkeys(names, str(NOBODY))
    if names and known_to_database(model, [key], (*fields, *besides)):
        await find(services, model, [key], fields, besides)
