"""Calls that only read: `objects.get`, `objects.filter` and others, which are made for their answers.

They can be repeated, change nothing, and have nothing to take back.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from billing.api.calls import describe
from checkpoints.records import Item, NewItem, Refusal, Run
from engine.evidence import Accepted, Evidence, Lost
from engine.job import Prepared, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.objects import find_by, needed, try_finding
from jobs.access.payload import Payload, payload_of
from jobs.access.vault import is_token
from jobs.effects.answer_cells import Flat, encode_answer, flat, only
from jobs.effects.effect import CallEffect, one_object
from jobs.rows.binding import ABONENT, USER, Bound, without_words
from jobs.spec.chain import Template
from jobs.spec.parameters import row_key
from texts.said import said


class ReadEffect(CallEffect):
    """Makes reading calls. The answer of an item is a JSON list of flat objects (`answer_cells.py`)."""

    repeatable = only_reads = True
    no_way_back = said("it changed nothing")

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        items: list[NewItem] = []
        for one in bound:
            values = {name: one.values[name] for name in self.names}
            payload = Payload(
                model=self._template.model,
                steps=self._template.fill(values),
                fields=self._template.fields,
                abonent=one.abonent.id if one.abonent else 0,
                key=values,
            )
            items.append(new_item(one, values, payload))
        return Prepared(tuple(items), ())

    async def send(self, run: Run, item: Item) -> Evidence:
        call = payload_of(item).call
        evidence = await self._sent(item, call)
        match evidence:
            case Accepted(result=[inner]) if call.of_cabinet:
                # The cabinet's answer: the first element of its list [I] if it is the only one, or else the list.
                return Accepted(encode_answer(only(call.fields, flat(inner))))
            case Accepted(result=result):
                return Accepted(encode_answer(only(call.fields, flat(result))))
        return evidence

    async def unfinished_work(self, items: Sequence[Item]) -> str | None:
        return None

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack]:
        return {item.item_id: ReadBack(None) for item in items}


def new_item(one: Bound, values: Mapping[str, str], payload: Payload) -> NewItem:
    """The item of a row: its key consists of all values of the call, and it has a lane of its own.

    Its name for people has the value of the call if it differs.
    """
    key, label = row_key(values.values()) or "1", one.label
    shown = [value for value in values.values() if not is_token(value)]
    if not label:
        label = "/".join(shown)
    elif len(values) == 1 and shown and values.keys().isdisjoint({ABONENT, USER}) and label != shown[0]:
        label = said("{label}, read as {value}", label=label, value=shown[0])
    label = label or (said("line {number}", number=one.row.line) if one.row.line else said("one row"))
    return one.item(key, label, f"reading:{key}", payload)


# ---- the services that a subscriber may connect in the cabinet, and the connected ones, read through a session [S] -
#
# Two requests: `objects.get → get_or_create_dynamic_session`, and `web_cabinet.get_usluga_list` with the session's
# id. The id opens the subscriber's cabinet, so it is passed from the answer to the second request and never kept.

MODEL: Final = "Users"

_SUID: Final = "suid"
"""The session's id: in the first answer, and in the second request."""


class ReadOffersEffect(ReadEffect):
    """A reading call of two requests. Both can be repeated."""

    def __init__(self, gateway: Gateway, opening: Template, listing: Template) -> None:
        super().__init__(gateway, opening)
        self.names = (ABONENT,)
        self._listing = listing

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        owners = [one.values[ABONENT] for one in bound]
        found = await find_by(self._gateway, MODEL, ABONENT, owners, ("id", "deleted"), ("login",))
        entries: list[NewItem | Refusal] = []
        for one in bound:
            accounts = [thing for thing in found[one.values[ABONENT]] if thing.values["deleted"] == "0"]
            if not accounts:
                entries.append(one.refused(said("the subscriber has no account, and so no cabinet")))
                continue
            # A session does not name its account [S].
            if len(accounts) > 1:
                no_login = said("no login")
                several = said(
                    "the subscriber has several accounts: {accounts}. A session is opened for a subscriber's only "
                    "one; take this row out",
                    accounts=tuple(
                        said("{id} ({login})", id=str(one.values["id"]), login=one.values.get("login") or no_login)
                        for one in accounts
                    ),
                )
                entries.append(one.refused(several))
                continue
            (account,) = accounts
            # The call names the account's id: the subscriber may get a second account meanwhile.
            steps = self._template.fill({USER: str(account.values["id"])})
            values = {ABONENT: one.values[ABONENT]}
            payload = Payload(
                model=MODEL,
                steps=steps,
                abonent=one.abonent.id if one.abonent else 0,
                key=values,
            )
            entries.append(new_item(one, values, payload))
        return Prepared.of(entries)

    async def try_out(self) -> None:
        with needed(said("the subscriber's account is found")):
            await try_finding(self._gateway, MODEL, (ABONENT,), ("id", "deleted"), ("login",))

    async def send(self, run: Run, item: Item) -> Evidence:
        """Open the session and read the services. Without an answer to the first request the second is not made."""
        opened = await self._gateway.client.send(payload_of(item).call)
        if not isinstance(opened, Accepted):
            return without_words(opened)
        # Its id is `fields.suid` [I], or the bare text [?].
        told = opened.result if isinstance(opened.result, str | int) else one_object(opened.result).get(_SUID)
        suid = str(told) if isinstance(told, str | int) and not isinstance(told, bool) else ""
        if not suid:
            # The answer is not shown, because it may contain a session.
            return Lost(said("the billing was asked for a session, and its answer has no suid"))
        evidence = await self._gateway.client.send(self._listing.call({_SUID: suid}))
        match evidence:
            case Accepted(result=[[list() as offered, list() as connected]]):
                # The two lists of the answer, in their order [S].
                lists = (("offered", offered), ("connected", connected))
                rows: list[Flat] = [{"service": which, **one} for which, each in lists for one in flat(each)]
                return Accepted(encode_answer(rows))
            case Accepted(result=[inner]):
                return Accepted(encode_answer(flat(inner)))
            case Accepted(result=result):
                return Accepted(encode_answer(flat(result)))
        return evidence

    def describe(self, run_name: str, item: Item) -> str:
        return f"{super().describe(run_name, item)}; {describe(self._listing.call({_SUID: 'the session'}))}"
