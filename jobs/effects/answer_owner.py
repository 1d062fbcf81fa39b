"""Whether the answers of a billing say whose they are: learned from them, for nobody has documented it.

A call whose answer names its row may be sent over a connection that other answers come over; any other needs one of
its own (`billing.api.wire`). So the calls of an effect have connections of their own until an answer has named its
row, and again once an answer that came over a shared connection names none. That one is `Lost`.
"""

from collections.abc import Collection, Mapping
from enum import Enum, auto
from typing import Final

from billing.api.answers import is_about_other_model
from billing.api.calls import Call, is_secret
from billing.directory.models import MODELS
from billing.directory.values import plain_value, same_value
from checkpoints.records import Item
from engine.evidence import Lost, readable
from jobs.access.objects import OF_ABONENT
from jobs.access.payload import ACCOUNT, Payload
from jobs.effects.creatable_models import CREATABLE_MODELS, CreatableModel
from jobs.spec.entries import find_mark


class AnswerNames(Enum):
    """What an answer says of whose it is."""

    OURS = auto()
    """It names the row, in a way that no answer to another row does."""
    NOBODY = auto()
    """It may be the row's, and says nothing against it."""
    ANOTHER = auto()
    """It is about something else."""


NAMELESS: Final = Lost("the answer does not say whose it is, and came over a connection that other answers come over")


def says(fields: Mapping[str, object], name: str, value: str | None) -> bool:
    """Whether a field of an answer has this value; one that cannot be read has another."""
    try:
        return same_value(name, plain_value(name, fields[name]), value)
    except ValueError:
        return False


class Recognition:
    """Learns from each answer of one effect; serves one event loop."""

    def __init__(self) -> None:
        self._named = False

    def row(self, item: Item) -> int | None:
        """The row that the answer will name; None where the call needs a connection of its own."""
        return item.item_id if self._named else None

    def believe(self, named: AnswerNames, row: int | None) -> bool:
        """Whether an answer is to be taken for that to the row; it came over the connection that `row` chose."""
        if named is AnswerNames.ANOTHER:
            return False
        self._named = named is AnswerNames.OURS
        return self._named or row is None


# ---- of an object that was created -------------------------------------------------------------------------------


def telling_fields(kind: CreatableModel, payload: Payload) -> tuple[str, ...]:
    """The fields that tell a new object from those of other requests."""
    if kind.comment:
        return (kind.key, kind.comment)
    return (kind.key, *kind.found_by, *payload.wanted)


def names_created(result: object, payload: Payload, own: tuple[str, int], *, tells: bool) -> AnswerNames:
    """Whether an answer is that to our request: by its mark, or where there is none by all that was sent."""
    kind, fields = CREATABLE_MODELS[payload.model], fields_of_created(result)
    if is_about_other_model(result, payload.model):
        return AnswerNames.ANOTHER
    if kind.comment:
        comment = fields.get(kind.comment)
        if not comment:
            # A billing that is known to tell the comment has answered somebody else.
            return AnswerNames.ANOTHER if tells else AnswerNames.NOBODY
        return AnswerNames.OURS if find_mark(str(comment)) == own else AnswerNames.ANOTHER
    sent = {**payload.key, **payload.wanted}
    if any(not says(fields, name, value) for name, value in sent.items() if name in fields):
        return AnswerNames.ANOTHER
    return AnswerNames.OURS if sent.keys() <= fields.keys() else AnswerNames.NOBODY


def fields_of_created(result: object) -> Mapping[str, object]:
    """The fields in the answer to a create, from whichever shape the billing chose."""
    match result:
        case [{"fields": dict() as fields}] | {"fields": dict() as fields}:
            return fields
        case [dict() as fields] | (dict() as fields):
            return fields
    return {}


# ---- of an object that was changed -------------------------------------------------------------------------------

_TELLING: Final = frozenset({"id", "op_id", "abonent_id", "usluga_id"})
"""Fields of a key that the answer is asked for, to tell whose it is."""


def call_asking(payload: Payload, issued: Collection[str]) -> Call:
    """The call, asking for what tells whose its answer is, and for what the billing issues.

    Back come the fields that were set as well, for two rows may set them of one object. Only fields that are known to
    be there are asked for: one that is not might be refused when the object is already saved [?].
    """
    known = MODELS[payload.model].fields if payload.model in MODELS else ()
    telling = (name for name in payload.key if name in _TELLING)
    back = (name for name in payload.wanted if name in known and not is_secret(name))
    return payload.call.asking(*dict.fromkeys((_own_key(payload.model), *telling, *back, *sorted(issued))))


def about_another(result: object, item: Item, payload: Payload) -> str | None:
    """An answer to another request says nothing about ours, however well it looks."""
    if is_about_other_model(result, payload.model):
        return f"an answer about another model than {payload.model}, which was asked for"
    fields = _fields_of(result, payload)
    for name, value in _asked_for(item, payload).items():
        if name in fields and not says(fields, name, plain_value(name, value)):
            named = readable(str(fields[name]), limit=40)
            return f"an answer about {payload.model} {named}, and {value} was asked for"
    return None


def names_changed(result: object, item: Item, payload: Payload, issued: Collection[str]) -> AnswerNames:
    """Whether an answer that is not about another object names ours, with all that was set.

    A value in another spelling than ours names nobody: whether the billing spells it so, or another row has set it,
    is not to be told from here.
    """
    fields = _fields_of(result, payload)
    wanted = {name: value for name, value in payload.wanted.items() if name not in issued}
    if not wanted or not _asked_for(item, payload).keys() <= fields.keys():
        return AnswerNames.NOBODY
    is_told = all(name in fields and says(fields, name, value) for name, value in wanted.items())
    return AnswerNames.OURS if is_told else AnswerNames.NOBODY


def _own_key(model: str) -> str:
    return "op_id" if model == "FinanceOperations" else "id"


def _asked_for(item: Item, payload: Payload) -> dict[str, str]:
    """What the call finds its object by, as fields of the object."""
    own = _own_key(payload.model)
    asked = {own if name == "pk" else name: value for name, value in payload.key.items()}
    if payload.model == "AdminAccounts" and item.lane.startswith(ACCOUNT):
        # Asked for by its subscriber, and answered by its own id.
        asked.setdefault(own, item.lane.removeprefix(ACCOUNT))
        asked.pop(OF_ABONENT, None)
    return asked


def _fields_of(result: object, payload: Payload) -> dict[str, object]:
    """The fields of the one object that an answer is about, its key among them by its own name."""
    match result:
        case [dict() as single] | (dict() as single):
            fields = single.get("fields")
            found = dict(fields) if isinstance(fields, dict) else dict(single)
            if "pk" in single:
                found.setdefault(_own_key(payload.model), single["pk"])
            return found
    return {}
