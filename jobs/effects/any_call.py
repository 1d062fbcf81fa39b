"""Any other call: its effect is not known to this tool, so nothing about it is guessed.

A lost call is sent again only if the operator has called it repeatable. Otherwise the operator's select finds out
whether it had its effect; without a select, a person decides.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Final

from billing.api.answers import created_id
from billing.api.secrets import SESSIONS
from billing.database.database import Database
from billing.selects.select import prepared, select_of
from checkpoints.records import Item, NewItem, Refusal, Run
from engine.errors import InputRefused, LookUpRefused
from engine.evidence import Accepted, Evidence
from engine.job import Absent, CannotLook, Found, LookedFor, LookUpResult, Prepared, ReadBack
from jobs.access.gateway import Gateway
from jobs.access.payload import ACCOUNT, Payload, payload_of
from jobs.access.vault import is_token, mask_secrets
from jobs.effects.effect import CallEffect
from jobs.rows.binding import ABONENT, Bound, amount_fault, without_words
from jobs.spec.chain import Template
from jobs.spec.parameters import row_key
from jobs.spec.spec import CREATE
from texts.said import said, setting

NO_WAY_TO_LOOK: Final = said(
    "nobody can find out whether a lost call had its effect: its row is left for a person to decide. Give {look_up} "
    "that finds it, or {repeatable} if the call does no harm twice",
    look_up=setting("look-up", "SELECT"),
    repeatable=setting("repeatable"),
)


_MONEY: Final = ("SUM_IN", "op_summa")
"""Arguments that enter money [S, I], unless their method only finds objects."""
_FINDING: Final = frozenset({"objects.get", "objects.filter"})


class AnyCallEffect(CallEffect):
    """Makes any call. The business key of a row is every value the call takes from it, except the sum entered.

    The operator says whether it is `repeatable`, and gives a select that finds its effect, `look_up`, or "".
    """

    unreadable = said("no look-up was given for this call: look in the billing whether it is there")

    def __init__(self, gateway: Gateway, template: Template, *, repeatable: bool = False, look_up: str = "") -> None:
        super().__init__(gateway, template)
        self.repeatable = repeatable
        self._creates = template.methods[-1] == CREATE
        self._tells_secret = not SESSIONS.isdisjoint(template.methods)
        elsewhere = {
            name
            for link in template.links
            for field, name in link.places
            if field not in _MONEY or link.method in _FINDING
        }
        # The placeholders that identify a row: all that stand anywhere but in the place of a sum that is entered.
        self._telling = tuple(name for name in template.names if name in elsewhere)
        self._look_up = select_of(look_up) if look_up else None
        self.recognises = self._look_up is not None
        self.no_way_back = said(
            "nobody knows what {methods} does to {model}", methods=" → ".join(template.methods), model=template.model
        )
        if not self.repeatable:
            self.looked_for = LookedFor.WHEN_TAKEN_UP if self._look_up else LookedFor.NEVER
            self.cautions = () if self._look_up else (NO_WAY_TO_LOOK,)

    async def plan(self, bound: Sequence[Bound]) -> Prepared:
        entries: list[NewItem | Refusal] = []
        for one in bound:
            values = {name: one.values[name] for name in self.names}
            steps = self._template.fill(values)
            entering = [step.arguments for step in steps if step.method not in _FINDING]
            sums = {name: arguments[name] for arguments in entering for name in _MONEY if name in arguments}
            if fault := next((fault for name in sums if (fault := amount_fault(name, sums))), None):
                entries.append(one.refused(fault))
                continue
            told = [values[name] for name in self._telling]
            # Tokens differ each time, so the key leaves them out. White space around a value does not change the key.
            telling = [value.strip() for value in told if not is_token(value)] or told
            key = row_key(telling) or "1"
            abonent = one.abonent
            payload = Payload(
                model=self._template.model,
                steps=steps,
                fields=self._template.fields,
                abonent=abonent.id if abonent else 0,
                key=values,
                named=dict(one.named),
            )
            label = one.label or mask_secrets("/".join(telling)) or said("one call")
            own = f"{self._template.model}:{values.get(ABONENT, key)}"
            amount = sum((Decimal(str(amount)) for amount in sums.values()), Decimal(0)) if sums else None
            lane = f"{ACCOUNT}{abonent.account_id}" if abonent else own
            entries.append(one.item(key, label, lane, payload, amount=amount))
        return Prepared.of(entries)

    async def try_out(self) -> None:
        """Have the database prepare the look-up select, which must change nothing."""
        wanted = self._look_up
        if wanted is None:
            return
        nothing = dict.fromkeys(wanted.parameters)
        try:
            await self._gateway.read(lambda database: prepared(database, wanted, nothing))
        except LookUpRefused as error:
            flag = setting("look-up", repr(wanted.on_one_line))
            raise InputRefused("{flag}: {error}", flag=flag, error=error) from error

    async def send(self, run: Run, item: Item) -> Evidence:
        """Make the call. An answer that is itself a secret is not kept."""
        evidence = await self._sent(item, payload_of(item).call)
        match evidence:
            case Accepted(result=result):
                key = None if self._tells_secret else created_id(result)
                # A bare number may be anything; an object with a key was created by this call.
                return Accepted(key, created=self._creates and key is not None and isinstance(result, Mapping))
        return without_words(evidence) if self._tells_secret else evidence

    async def look_up(self, run: Run, items: Sequence[Item]) -> Mapping[int, LookUpResult]:
        if (found := await self._found(items)) is None:
            return await super().look_up(run, items)
        return {item_id: Absent() if answer is None else Found(answer) for item_id, answer in found.items()}

    async def read_back(self, run: Run, items: Sequence[Item]) -> Mapping[int, ReadBack | CannotLook]:
        if (found := await self._found(items)) is None:
            return await super().read_back(run, items)
        missing = said("the look-up finds nothing")
        return {item_id: ReadBack(None, missing if answer is None else None) for item_id, answer in found.items()}

    async def _found(self, items: Sequence[Item]) -> dict[int, str | None] | None:
        """The first column of the first row that the select finds, by item_id, None where it finds no row.

        None without a select.
        """
        wanted = self._look_up
        if wanted is None:
            return None

        def read(database: Database) -> dict[int, str | None]:
            answers: dict[int, str | None] = {}
            for item in items:
                row = next(iter(database.query(wanted.statement, payload_of(item).key)), None)
                answers[item.item_id] = None if row is None else str(row[0])
            return answers

        return await self._gateway.read(read)
