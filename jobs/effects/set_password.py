"""Passwords of accounts: a given one, one that the billing generates, or a letter with a link to set one.

Passwords cannot be read, so the old one cannot be restored and the new one cannot be verified.
"""

import csv
import io
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import anyio.to_thread
import msgspec

from billing.api.answers import judge
from billing.api.calls import describe
from billing.database.sql_blocks import sql_block
from checkpoints.own_files import append_durably, keep_name, open_beside
from checkpoints.records import Item, NewItem, Refusal, Run
from engine.evidence import Accepted, Busy, Evidence, Lost, NotSent, RowRefused, SystemRefused
from engine.job import Prepared
from jobs.access.gateway import Gateway
from jobs.access.objects import find_by, lane_of, needed, try_finding
from jobs.access.payload import Payload, payload_of
from jobs.effects.any_call import AnyCallEffect
from jobs.effects.effect import CallEffect, one_object
from jobs.rows.binding import USER, Bound, without_words
from jobs.spec.chain import Template
from jobs.spec.errors import PasswordsUnwritten
from texts.said import advised, counted, reason_of, said

# ---- the file of generated passwords ------------------------------------------------------------------------------
# `user_id;login;password`, readable only by its owner.
#
# A line is on the disk before its item counts as accepted. If the process is killed in between, another password is
# generated, so an account may have two lines; the last one is valid. At the end of the run the others are removed.

_BOM: Final = "\ufeff"
_COLUMNS: Final = ("user_id", "login", "password")
_FLAGS: Final = os.O_CLOEXEC | os.O_NOFOLLOW


NAMED: Final = 20
"""Accounts without a password that are named; the rest is counted."""


class Kept(NamedTuple):
    """The accounts of a password file, and how many accepted ones have no password there; the first are named."""

    accounts: int
    missing: int = 0
    first_missing: tuple[str, ...] = ()


class PasswordFile:
    """The password file of one run. The first line names the run; a file of another run is never changed.

    May be used from threads. All methods raise `PasswordsUnwritten`.
    """

    def __init__(self, path: Path, run: str) -> None:
        self._path = path
        self._header = (_BOM + _line(*_COLUMNS, f"run {run}")).encode()
        self._lock = threading.Lock()
        self._ready = False

    def add(self, user: int, login: str, password: str) -> None:
        with self._lock, _as_file_error(self._path):
            if not self._ready:
                self._open()
                self._ready = True
            descriptor = open_beside(self._path, os.O_WRONLY | os.O_APPEND)
            try:
                append_durably(descriptor, _line(str(user), login, password).encode())
            finally:
                os.close(descriptor)

    def finish(self, accepted: Iterable[tuple[str, str]] = ()) -> Kept:
        """Keep only the last line of each account, in one step, and look for the accepted accounts among them.

        They are ids, each with the name of its account for people.
        """
        with self._lock, _as_file_error(self._path):
            if not self._path.exists():
                lost = [label for _, label in accepted]
                return Kept(0, len(lost), tuple(lost[:NAMED]))
            self._open()
            # The places of each account's lines are in a temporary database on the disk: it holds no passwords, and
            # memory does not grow with the lines.
            with self._path.open("rb") as file, closing(sqlite3.connect("")) as places:
                places.execute(_sql("create"))
                places.executemany(_sql("note"), _lines(file))
                ((accounts,),) = places.execute(_sql("count"))
                if places.total_changes != accounts:
                    made = self._path.with_name(f".{self._path.name}.new")
                    # A killed process may have left this file.
                    made.unlink(missing_ok=True)
                    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600), "wb") as out:
                        out.write(self._header)
                        for (place,) in places.execute(_sql("lasting")):
                            file.seek(place)
                            out.write(file.readline())
                        out.flush()
                        os.fsync(out.fileno())
                    made.replace(self._path)
                    keep_name(self._path.parent)
                number, first = 0, list[str]()
                for user, label in accepted:
                    if not places.execute(_sql("has"), (user,)).fetchone():
                        number += 1
                        first += [label] if number <= NAMED else []
                return Kept(int(accounts), number, tuple(first))

    def _open(self) -> None:
        """Create the file, or open the one that a killed process has left."""
        try:
            descriptor = open_beside(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            descriptor = open_beside(self._path, os.O_RDWR)
        with os.fdopen(descriptor, "r+b") as file:
            found = file.read(len(self._header))
            if found != self._header:
                # A process was killed while it created the file.
                if len(found) == len(self._header) or not self._header.startswith(found):
                    raise PasswordsUnwritten(
                        "{path} is not the file of this run: it was put there by another", path=self._path
                    )
                file.seek(0)
                file.write(self._header)
            file.truncate(_end_of_lines(file))
            file.flush()
            os.fsync(file.fileno())
        keep_name(self._path.parent)


def _lines(file: BinaryIO) -> Iterator[tuple[str, int]]:
    """The account and the place of each line after the first that holds a password."""
    file.seek(0)
    place = len(file.readline())
    while line := file.readline():
        cells = next(csv.reader([line.decode(errors="replace")], delimiter=";"), [])
        if len(cells) >= len(_COLUMNS) and cells[2]:
            yield cells[0], place
        place += len(line)


def _line(*cells: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=";", lineterminator="\r\n").writerow(cells)
    return out.getvalue()


def _end_of_lines(file: BinaryIO) -> int:
    """The end of the last whole line; half a line after it belongs to an item that was not accepted."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(end - 65_536, 0)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


@contextmanager
def _as_file_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PasswordsUnwritten(
            "the passwords cannot be written to {path}: {reason}", path=path, reason=reason_of(error)
        ) from error


def _sql(name: str) -> str:
    return sql_block("password_file", name, "jobs.effects").text


# ---- passwords of accounts ----------------------------------------------------------------------------------------

_USERS: Final = ("Users", ("id", "deleted"), ("login",))
"""The model of accounts, the fields that are read of one, and those that are read where the billing has them."""
_TO: Final = "to"
"""The parameter that names the file of generated passwords."""

LETTER_LOST: Final = said(
    "nobody can find out whether a letter has left whose answer was lost: its row is left for a person, who "
    "may ask the subscriber, or send a second one"
)
LETTER_UNREADABLE: Final = said("that a letter has left cannot be read back: nobody but the subscriber can tell")
UNREADABLE: Final = said("a password cannot be read back: nobody but who logs in with it can tell")


class _SetPassword(CallEffect):
    """Gives accounts passwords. It can be repeated, and nothing of it can be read back."""

    repeatable = True
    unreadable = UNREADABLE

    async def try_out(self) -> None:
        with needed(said("the accounts of the rows are found")):
            model, fields, besides = _USERS
            await try_finding(self._gateway, model, ("id",), fields, besides)

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        model, fields, besides = _USERS
        found = await find_by(self._gateway, model, "id", [one.values[USER] for one in bound], fields, besides)
        entries: list[NewItem | Refusal] = []
        for one in bound:
            user = one.values[USER]
            things = found[user]
            login = things[0].values.get("login") if things else None
            if not things:
                entries.append(one.refused(said("there is no account {id}", id=user)))
            elif things[0].values["deleted"] not in {"0", None}:
                shown = login or said("no login")
                entries.append(one.refused(said("account {id} ({login}) is deleted", id=user, login=shown)))
            else:
                payload = Payload(
                    model=model,
                    steps=self._template.fill(one.values),
                    abonent=things[0].abonent_id or 0,
                    key={"id": user},
                    named=dict(one.named),
                )
                label = login or said("account {id}", id=user)
                entries.append(one.item(user, label, lane_of(model, payload.key, things[0]), payload))
        return Prepared.of(entries)


class SetGivenPassword(_SetPassword):
    """Sets passwords: `objects.get → set_password`, one request [S]. It can be repeated."""

    cautions = (UNREADABLE,)
    no_way_back = said(
        "what the passwords were is kept nowhere. Give the accounts new ones: the jobs `password` and "
        "`random-password` do it, and with `password-recovery` subscribers set their own"
    )

    async def send(self, run: Run, item: Item) -> Evidence:
        return judge(await self._sent(item, payload_of(item).call))


class SetGeneratedPassword(_SetPassword):
    """Clears the password and saves the account, so that the billing generates a password [S].

    These are two requests. They can be repeated, and must be if the answer to the second is lost: then another
    password is generated. Each password is written to the file `to` before its item counts as accepted, and nowhere
    else.

    While the billing still works on the first request, it may refuse the second as busy. Then only the second is
    repeated: another clearing would keep the billing busy. Cleared accounts are remembered by this process only;
    after a restart another clearing does no harm.
    """

    cautions = (
        said(
            "between the two requests an account has no password: a run that is stopped there should be resumed soon"
        ),
        UNREADABLE,
    )

    def __init__(self, gateway: Gateway, clearing: Template, generating: Template, to: Path) -> None:
        super().__init__(gateway, clearing)
        self._generating = generating
        self._to = to
        self._file: PasswordFile | None = None
        self._cleared: set[int] = set()
        self.no_way_back = said(
            "what the passwords were is kept nowhere. The generated ones are in {path}; the job `password` sets "
            "others",
            path=to,
        )

    async def send(self, run: Run, item: Item) -> Evidence:
        user = int(payload_of(item).key["id"])
        is_cleared = user in self._cleared
        if not is_cleared:
            cleared = await self._gateway.client.send(self._template.call({USER: str(user)}))
            if not isinstance(cleared, Accepted):
                return cleared
            if not _account(cleared, user):
                return Lost(said("an answer that is not about account {id}", id=user))
        made = await self._gateway.client.send(self._generating.call({USER: str(user)}))
        if isinstance(made, Busy | NotSent):
            self._cleared.add(user)
        else:
            self._cleared.discard(user)
        if not isinstance(made, Accepted):
            trouble = without_words(made)
            text = "" if isinstance(trouble, Accepted) else trouble.text
            unknown = said("the password is cleared, and no new one is known: {reason}", reason=text)
            trouble = msgspec.structs.replace(trouble, text=unknown)
            return msgspec.structs.replace(trouble, halfway=not is_cleared) if isinstance(trouble, Busy) else trouble
        account = _account(made, user)
        if account is None:
            # The answer is not shown, because it may contain a password.
            return Lost(
                said("the password is cleared, and there is an answer that is not about account {id}", id=user)
            )
        password = account.get("psw")
        if not isinstance(password, str) or not password:
            return RowRefused(
                said(
                    "its password is cleared, and the billing has generated none that it shows: set one with the job "
                    "`password`"
                )
            )
        if not password.isprintable():
            return RowRefused(
                said("the billing has generated a password that no line can hold: set one with `password`")
            )
        login = str(account.get("login") or item.label)
        file = self._file = self._file or PasswordFile(self._to, run.name)
        try:
            await anyio.to_thread.run_sync(file.add, user, login, password)
        except PasswordsUnwritten as error:
            # The billing works, but every row would fail for this reason.
            return SystemRefused(said("not its own doing: {error}", error=error))
        return Accepted()

    def describe(self, run_name: str, item: Item) -> str:
        values = {USER: payload_of(item).key["id"]}
        return "; ".join(describe(one.call(values)) for one in (self._template, self._generating))


class SendRecoveryLetter(AnyCallEffect):
    """Sends letters. The call must not be repeated, and its effect cannot be looked up [?]."""

    unreadable = LETTER_UNREADABLE

    def __init__(self, gateway: Gateway, template: Template) -> None:
        super().__init__(gateway, template)
        self.cautions = (LETTER_LOST,)
        self.no_way_back = said(
            "a letter that has left is not called back; a password stays as it is until its link is followed"
        )


def hand_over(run: Run, accepted: Iterable[Item]) -> tuple[str, str]:
    """Keep one password an account in the run's file, and hold it against the accepted items.

    Returns a sentence that names it, and one on the passwords that are missing; "" for nothing to say. Raises
    `PasswordsUnwritten`.
    """
    path = Path(run.parameters[_TO])
    kept = PasswordFile(path, run.name).finish((payload_of(item).key["id"], item.label) for item in accepted)
    there = counted("{n} password[s] [is|are] in {path}", kept.accounts, path=path)
    missing = counted(
        "the password[s] of {n} account[s] [is|are] not in {path}, and nobody knows [it|them]: {accounts}. Put back "
        "what the run has written there, and type {resume}; or give the "
        "[account another password|accounts other passwords], by a new run",
        kept.missing,
        path=path,
        accounts=(*kept.first_missing, *(["…"] if kept.missing > len(kept.first_missing) else ())),
        resume=advised("resume", run.name),
    )
    return there if kept.accounts else "", missing if kept.missing else ""


def _account(answered: Accepted, user: int) -> Mapping[str, object] | None:
    """The account in an answer, None if the answer is about another one."""
    found = one_object(answered.result)
    return found if str(found.get("pk", found.get("id"))) == str(user) else None
