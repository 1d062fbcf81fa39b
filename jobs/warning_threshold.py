"""Warning thresholds of a folder, or as the tariffs have them: recipes 3 and 4 of the vendor's page [S].

It can be repeated: setting a threshold twice sets it once.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from billing.abonents import by_ids, in_folder, threshold_differences, thresholds
from billing.calls import get_set_save
from billing.database import Database
from billing.exchange import Answered
from billing.money import wire
from checkpoints.records import Item, NewItem, Refusal, Run
from engine.errors import InputRefused
from engine.evidence import Evidence, Lost
from engine.job import Absent, CannotLook, Found, Prepared, Reading, Row, RowPage, Sighting, Source
from engine.sources.query import Fetch, PagedQuery
from jobs.errors import ParameterRefused
from jobs.evidence import evidence_of
from jobs.kinds import JobKind, Parameter, an_id, roubles
from jobs.services import Services, told_to_engine

NAME: Final = "warning-threshold"
OF_AMOUNT: Final = "amount"
OF_TARIFF: Final = "tariff"
HEADER: Final = ("abonent_id", "account_id", "limit_warning", "wanted")
"""The columns of a row; the thresholds in roubles, "" where there is none."""

_PAGE: Final = 1000


class Payload(msgspec.Struct, frozen=True):
    """What the call is made from; `limit_warning` in roubles as plain text."""

    abonent_id: int
    limit_warning: str


_encode: Final = msgspec.json.Encoder().encode
_payload: Final = msgspec.json.Decoder(Payload).decode


class WarningThreshold:
    """A `Job`: one subscriber's threshold an item, in the lane of the account.

    An item has no amount: thresholds are no money that adds up. What is already as wanted is frozen as skipped.
    """

    name = NAME
    repeatable = True

    def __init__(self, services: Services, source: Source) -> None:
        self._services = services
        self._client = services.client
        self.source = source

    async def prepare(self, rows: Sequence[Row]) -> Prepared:
        """Rows to items; nothing is asked for, the rows say it all."""
        prepared = [_prepared(row) for row in rows]
        return Prepared(
            tuple(one for one in prepared if isinstance(one, NewItem)),
            tuple(one for one in prepared if isinstance(one, Refusal)),
        )

    async def send(self, run: Run, item: Item) -> Evidence:  # noqa: ARG002 - the door: this call bears no mark
        """Set the threshold of the account that serves the subscriber."""
        payload = _payload(item.payload)
        call = get_set_save(
            "AdminAccounts",
            {"account_id_abonents": payload.abonent_id},
            {"limit_warning": payload.limit_warning},
        )
        exchange = await self._client.send(call.asking("id"))
        account = item.lane.removeprefix("account:")
        match exchange:
            # The answer to another request says nothing about ours, however well it looks.
            case Answered({"fields": {"id": int() | str() as named}}) if str(named) != account:
                return Lost(f"an answer about account {named}, and {account} was asked for")
        return evidence_of(exchange)

    async def undrained(self, items: Sequence[Item]) -> str | None:
        """What of the billing's stacks is not worked off. Raises `LookUpFailed`."""
        return await self._services.undrained(items)

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, Sighting]:  # noqa: ARG002 - the door
        """Whether the thresholds are as wanted. Raises `LookUpFailed`.

        Another value is `Absent`: the call may be repeated, and whoever set that value did it before ours.
        """
        now = await self._thresholds(items)
        return {item.item_id: _sighting(item, now) for item in items}

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, Reading]:  # noqa: ARG002 - the door
        """What the thresholds are now. Raises `LookUpFailed`."""
        now = await self._thresholds(items)
        return {item.item_id: Reading(None, _difference(item, now)) for item in items}

    async def probe(self) -> None:
        """Ask the billing for its version. Raises `LookUpFailed`."""
        await self._services.probe()

    async def _thresholds(self, items: Sequence[Item]) -> dict[int, Decimal | None]:
        """The thresholds of the items' subscribers; one who is gone, or has no account, is missing."""
        ids = [_payload(item.payload).abonent_id for item in items]
        found = await self._services.read(lambda database: list(thresholds(database, ids)))
        return {one.abonent_id: one.limit_warning for one in found if one.account_id is not None}


def _prepared(row: Row) -> NewItem | Refusal:
    abonent, account, now, wanted = row.cells
    label = f"abonent {abonent}"
    if not account:
        return Refusal(None, "account_id", label, f"{label} has no account", row.cells)
    return NewItem(
        key=abonent,
        label=label,
        lane=f"account:{account}",
        payload=_encode(Payload(int(abonent), wanted)).decode(),
        row=row.cells,
        skip_reason=_nothing_to_do(now, wanted),
    )


def _nothing_to_do(now: str, wanted: str) -> str | None:
    if not wanted:
        # The vendor's statement passes these over as well; how a threshold would be taken away is not known [?].
        return f"the tariff has no threshold; the account keeps its {now}"
    if now and Decimal(now) == Decimal(wanted):
        return f"already as wanted: {now}"
    return None


def _sighting(item: Item, now: Mapping[int, Decimal | None]) -> Sighting:
    payload = _payload(item.payload)
    if payload.abonent_id not in now:
        return CannotLook(f"abonent {payload.abonent_id} has no account any more")
    return Absent() if _difference(item, now) else Found()


def _difference(item: Item, now: Mapping[int, Decimal | None]) -> str | None:
    payload = _payload(item.payload)
    if payload.abonent_id not in now:
        return f"abonent {payload.abonent_id} has no account any more"
    there = now[payload.abonent_id]
    if there == Decimal(payload.limit_warning):
        return None
    return f"wanted {payload.limit_warning}; the account has {_text(there) or 'no threshold'}"


def _text(amount: Decimal | None) -> str:
    return "" if amount is None else wire(amount)


# ---- where the rows come from -----------------------------------------------------------------------------------


def _of_folder(database: Database, folder: int, amount: str) -> Fetch:
    """Pages of all live subscribers of a folder; the cursor is the last one's id."""

    def fetch(after: str | None) -> RowPage | None:
        with told_to_engine():
            if after is None:
                _check_folder(database, folder)
            page = next(in_folder(database, folder, after=int(after or 0), size=_PAGE), [])
        return _page([(one.abonent_id, one.account_id, one.limit_warning, amount) for one in page])

    return fetch


def _of_tariffs(database: Database, folder: int | None) -> Fetch:
    """Pages of the live subscribers whose account has another threshold than their tariff."""

    def fetch(after: str | None) -> RowPage | None:
        with told_to_engine():
            if after is None and folder is not None:
                _check_folder(database, folder)
            page = next(threshold_differences(database, folder, after=int(after or 0), size=_PAGE), [])
        return _page([(one.abonent_id, one.account_id, one.of_account, _text(one.of_tariff)) for one in page])

    return fetch


def _page(found: Sequence[tuple[int, int | None, Decimal | None, str]]) -> RowPage | None:
    if not found:
        return None
    rows = tuple(
        Row(None, (str(abonent), "" if account is None else str(account), _text(now), wanted))
        for abonent, account, now, wanted in found
    )
    return RowPage(rows, (), rows[-1].cells[0])


def _check_folder(database: Database, folder: int) -> None:
    """A mistyped folder would be an empty run, which looks like a success."""
    found = next(by_ids(database, [folder]), None)
    if found is None or not found.is_folder:
        what = "there is no abonent of this id" if found is None else f"it is the subscriber {found.name}"
        raise InputRefused(f"{folder} is no folder: {what}")


def _build(services: Services, parameters: Mapping[str, str], _: Path | None) -> WarningThreshold:
    database, folder, amount = services.database, parameters["folder"], parameters["amount"]
    if database is None:
        raise ParameterRefused(f"{NAME} reads the billing's database: give its address")
    if parameters["from"] == OF_TARIFF:
        if amount:
            raise ParameterRefused("from=tariff takes the thresholds of the tariffs: leave amount out")
        where = f" of folder {folder}" if folder else ""
        fetch = _of_tariffs(database, int(folder) if folder else None)
        return WarningThreshold(services, PagedQuery(f"thresholds{where} that are not the tariff's", HEADER, fetch))
    if not folder or not amount:
        raise ParameterRefused("from=amount needs a folder and an amount: give --set folder=… --set amount=…")
    fetch = _of_folder(database, int(folder), amount)
    return WarningThreshold(services, PagedQuery(f"subscribers of folder {folder}", HEADER, fetch))


WARNING_THRESHOLD: Final = JobKind(
    name=NAME,
    summary="set the warning thresholds of a folder, or as in the tariffs",
    needs_database=True,
    parameters=(
        Parameter("from", "where the threshold comes from", OF_AMOUNT, (OF_AMOUNT, OF_TARIFF)),
        Parameter("folder", "id of the folder, without the folders in it; needed for from=amount", "", parse=an_id),
        Parameter("amount", "the threshold in roubles, for from=amount", "", parse=roubles),
    ),
    call='AdminAccounts: objects.get(account_id_abonents=…) → set(limit_warning="-120") → save()',
    example="carbon-migrate run warning-threshold --set folder=1316 --set amount=-120",
    build=_build,
)
