"""A call that sets a password, as the catalogue's job: no chain may hold one, and the job keeps it out of sight."""

from collections.abc import Iterator
from typing import Final

from cli.translate.calling import Calling
from cli.translate.table import Table
from jobs.catalogue.passwords import PASSWORD
from jobs.rows.binding import USER
from jobs.spec.chain import Hole, Text, Tree, parse

_PSW: Final = "psw"
_DONTSHOW: Final = "dontshow"


def as_job(call: Calling, table: Table | None) -> tuple[str, ...] | None:
    """Job and options that do what the call does; None where it does something else, or says less than the job."""
    if call.job != PASSWORD.name or call.fields:
        return None
    get, assign = parse(call.model, call.chain).links
    hidden = assign.arguments.get(_DONTSHOW)
    if get.arguments.keys() != {"id"} or assign.arguments.keys() != {_PSW, _DONTSHOW} or not isinstance(hidden, bool):
        return None
    user, psw = get.arguments["id"], assign.arguments[_PSW]
    of_rows = [name for one in (user, psw) if (name := _placeholder(one)) and name not in call.secrets]
    if of_rows and table is None:
        # Variables that nobody defines: the call names them.
        return None
    if not (_placeholder(psw) and (_placeholder(user) or _is_id(user))):
        return None
    return (
        PASSWORD.name,
        *_said(USER, user),
        *(() if _PSW in call.secrets else _said(_PSW, psw)),
        *("--set", f"{_DONTSHOW}={'yes' if hidden else 'no'}"),
    )


def _said(name: str, value: Tree) -> Iterator[str]:
    column = _placeholder(value)
    if not column:
        yield from ("--set", f"{name}={value}")
    elif column != name:
        yield from ("--map", f"{name}={column}")


def _placeholder(value: Tree) -> str:
    """The one placeholder that a value is, "" for any other value."""
    match value:
        case Hole(name) | Text(("", Hole(name), "")):
            return name
    return ""


def _is_id(value: Tree) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and str(value).isdecimal()
