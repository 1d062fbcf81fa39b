"""The owner of an answer: whether it names its row. This is not documented, so it is learned from the answers.

A call whose answer names its row may share a connection with other calls; any other call needs a connection of its
own (`billing.api.wire`). So the calls of an effect have their own connections until an answer has named its row, and
again after an answer on a shared connection has named none. That answer is `Lost`.
"""

from collections.abc import Collection, Mapping
from enum import Enum, auto
from typing import Final

from billing.api.answers import is_about_other_model
from billing.api.calls import Call, is_secret
from billing.directory.models import MODELS, plain_value, same_value
from checkpoints.records import Item
from engine.evidence import Lost, readable
from jobs.access.objects import OF_ABONENT
from jobs.access.payload import ACCOUNT, Payload
from jobs.effects.creatable_models import CreatableModel, model_of
from jobs.spec.entries import find_mark
from texts.said import said


class AnswerNames(Enum):
    """Whom an answer names."""

    OURS = auto()
    """It names the row, as no answer to another row does."""
    NOBODY = auto()
    """It may belong to the row, but does not name it."""
    ANOTHER = auto()
    """It is about another object."""


NAMELESS: Final = Lost(
    said("the answer does not say whose it is, and came over a connection that other answers come over")
)


def says(fields: Mapping[str, object], name: str, value: str | None) -> bool:
    """Whether a field of an answer has this value; an unreadable field does not."""
    try:
        return same_value(name, plain_value(name, fields[name]), value)
    except ValueError:
        return False


class Recognition:
    """Learns from the answers of one effect whether they name their rows; serves one event loop."""

    def __init__(self) -> None:
        self._named = False

    def row(self, item: Item) -> int | None:
        """The row that the answer will name; None if the call needs a connection of its own."""
        return item.item_id if self._named else None

    def believe(self, named: AnswerNames, row: int | None) -> bool:
        """Whether an answer is accepted as the answer to the row; `row` is what the method `row` returned."""
        if named is AnswerNames.ANOTHER:
            return False
        self._named = named is AnswerNames.OURS
        return self._named or row is None


# ---- answers about created objects -------------------------------------------------------------------------------


def telling_fields(kind: CreatableModel, payload: Payload) -> tuple[str, ...]:
    """The fields that distinguish a new object from those of other requests."""
    if kind.comment:
        return (kind.key, kind.comment)
    return (kind.key, *kind.found_by, *payload.wanted)


def names_created(result: object, payload: Payload, own: tuple[str, int]) -> AnswerNames:
    """Whether an answer belongs to our request: by its mark, or without one by all fields sent."""
    kind, fields = model_of(payload), fields_of_created(result)
    if is_about_other_model(result, payload.model):
        return AnswerNames.ANOTHER
    if kind.comment:
        comment = fields.get(kind.comment)
        if not comment:
            return AnswerNames.NOBODY
        return AnswerNames.OURS if find_mark(str(comment)) == own else AnswerNames.ANOTHER
    # A key has "" for what is empty, as the folder around one at the top.
    sent = {name: value or None for name, value in {**payload.key, **payload.wanted}.items()}
    if any(not says(fields, name, value) for name, value in sent.items() if name in fields):
        return AnswerNames.ANOTHER
    return AnswerNames.OURS if sent.keys() <= fields.keys() else AnswerNames.NOBODY


def fields_of_created(result: object) -> Mapping[str, object]:
    """The fields in the answer to a create, from any shape of answer."""
    match result:
        case [{"fields": dict() as fields}] | {"fields": dict() as fields}:
            return fields
        case [dict() as fields] | (dict() as fields):
            return fields
    return {}


# ---- answers about changed objects -------------------------------------------------------------------------------

_TELLING: Final = frozenset({"id", "op_id", "abonent_id", "usluga_id"})
"""Key fields requested in the answer, to identify its object."""


def call_asking(payload: Payload, issued: Collection[str]) -> Call:
    """The call, with the fields that identify its answer and those that the billing issues.

    The fields set are requested as well, because two rows may set fields of one object. Only documented fields are
    requested: an unknown one might be refused when the object is already saved [?].
    """
    known = MODELS[payload.model].fields if payload.model in MODELS else ()
    telling = (name for name in payload.key if name in _TELLING)
    back = (name for name in payload.wanted if name in known and not is_secret(name))
    return payload.call.asking(*dict.fromkeys((_own_key(payload.model), *telling, *back, *sorted(issued))))


def about_another(result: object, item: Item, payload: Payload) -> str | None:
    """Why an answer belongs to another request, None if it may be ours."""
    if is_about_other_model(result, payload.model):
        return said("an answer about another model than {model}, which was asked for", model=payload.model)
    fields = _fields_of(result, payload)
    for name, value in _asked_for(item, payload).items():
        if name in fields and not says(fields, name, plain_value(name, value)):
            named = readable(str(fields[name]), limit=40)
            return said(
                "an answer about {model} {answered}, and {asked} was asked for",
                model=payload.model,
                answered=named,
                asked=value,
            )
    return None


def names_changed(result: object, item: Item, payload: Payload, issued: Collection[str]) -> AnswerNames:
    """Whether an answer that is not about another object names ours, with all fields set.

    A differing value names nobody: the billing may spell it differently, or another row may have set it.
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
    """The key of the call's object, as fields of the object."""
    own = _own_key(payload.model)
    asked = {own if name == "pk" else name: value for name, value in payload.key.items()}
    if payload.model == "AdminAccounts" and item.lane.startswith(ACCOUNT):
        # The call names the subscriber, the answer the account's own id.
        asked.setdefault(own, item.lane.removeprefix(ACCOUNT))
        asked.pop(OF_ABONENT, None)
    return asked


def _fields_of(result: object, payload: Payload) -> dict[str, object]:
    """The fields of the one object of an answer, including its key by its own name."""
    match result:
        case [dict() as single] | (dict() as single):
            fields = single.get("fields")
            found = dict(fields) if isinstance(fields, dict) else dict(single)
            if "pk" in single:
                found.setdefault(_own_key(payload.model), single["pk"])
            return found
    return {}
