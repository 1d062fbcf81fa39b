"""What an item keeps of what its call overwrites: seen anew before the call, told, and found again by an undo."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from billing.money import wire
from billing.things import Values
from jobs.creatables import BALANCE
from jobs.payloads import Payload
from jobs.things import in_words


def kept_anew(payload: Payload, now: Values) -> Payload | None:
    """The payload with what there is now as what it overwrites; None where it keeps just that."""
    if now == payload.was:
        return None
    planned = payload.planned or payload.was
    return msgspec.structs.replace(payload, was=dict(now), planned={} if planned == now else planned)


def changed_meanwhile(payload: Payload) -> str | None:
    """What was changed between the plan and the call, and is overwritten; None where nothing was."""
    wanted, planned = payload.wanted, payload.planned
    changed = {
        name: value
        for name, value in payload.was.items()
        if planned and value != planned.get(name) and not (name in wanted and value == wanted[name])
    }
    if not changed:
        return None
    return f"it was {in_words({name: planned.get(name) for name in changed})}, and then {in_words(changed)}"


def note_of(payload: Payload) -> str | None:
    """What a person should know of an item that was accepted.

    Whether it was a row of the run that had changed it, nobody asks here: that would be a question to the journal a
    call. So where rows of one run may share a place, the note says what an undo does either way.
    """
    changed = changed_meanwhile(payload)
    if changed is None:
        return None
    either_way = (
        ", or what was there before the run, if an earlier row of it had set the latter" if _shared(payload) else ""
    )
    return f"changed between plan and call: {changed}; an undo brings the latter back{either_way}"


def before_the_run(payload: Payload, earlier: Sequence[Payload]) -> Values:
    """What there was before the first item of the run that wrote to the same place, one after the other.

    `earlier` are the run's items before this one, in their order. Two subscribers with one account are two rows of a
    run for one place, and what the second has found there is what the first has set.
    """
    was: Values = payload.was
    for one in reversed(earlier):
        if _place(one) == _place(payload) and was in _left_by(one):
            was = one.was
    return was


def _place(payload: Payload) -> tuple[str, ...]:
    """What tells places apart that lie in one lane."""
    # The lane is that of the account: where the account is the place, it needs no name.
    return (payload.model,) if _shared(payload) else (payload.model, *payload.key.values())


def _shared(payload: Payload) -> bool:
    """Whether two rows of a run may write to its place: it is the account, and two subscribers may have one."""
    return _may_set_balance(payload) or "account_id_abonents" in payload.key


def _may_set_balance(payload: Payload) -> bool:
    return payload.model == "FinanceOperations" and BALANCE in payload.was


def _left_by(payload: Payload) -> tuple[Values, ...]:
    """What there may be after its call; whether an entry of type 8 sets a balance or adds to it is not known [?]."""
    if not _may_set_balance(payload):
        return (payload.wanted,)
    entered, before = Decimal(payload.wanted["op_summa"] or 0), Decimal(payload.was[BALANCE] or 0)
    return ({BALANCE: wire(entered)}, {BALANCE: wire(before + entered)})
