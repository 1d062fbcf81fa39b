"""Entries that jobs make in the billing: their marks, and the parameters of finance operations.

A mark such as `[cm k7m2q/1042]` names run and item in the comment of a new object, which is found again by it. It is
at the end of the comment, because people read the text first.

Neither the name of the API's method for storno [?] nor the effect of an entry of type 8 on the balance [?] is known:
the parameters of the undo state them, and without them nothing is sent.
"""

import re
from collections.abc import Mapping
from typing import Final

from billing.profile import TypeEight
from jobs.spec.parameters import Parameter, a_text, at_most
from jobs.spec.words import LEAVE, LIST, OPPOSITE, STORNO, TAKE, UNPROVEN, WAY
from texts.said import ValueRefused, said

# ---- entries that jobs make in the billing ------------------------------------------------------------------------


OPERATIONS: Final = "FinanceOperations"


CREATED: Final[Mapping[str, str]] = {
    OPERATIONS: "descr",
    "UsersUsluga": "comment",
    "AttributeValues": "",
    "Abonents": "",
    "Users": "",
}
"""The models whose new objects can be found again, each with its comment field for the mark, or ""."""

MARK: Final = "[cm RUN/ROW]"

LONGEST_COMMENT: Final = 255
"""Characters of a comment. The column of the real billing is not known [?]; this is Django's usual length."""

MARK_ROOM: Final = 32
"""Characters reserved for a mark and the space before it."""

LONGEST_TEXT: Final = 200
"""Characters of a text that always leave room for a mark."""

_EXACT: Final = "cm-"
MARK_BEGIN: Final = "[cm "

_MARK: Final = re.compile(r"\[cm ([a-z0-9]{1,16})/([1-9][0-9]{0,11})\]")


def mark_prefix(run_name: str) -> str:
    return f"[cm {run_name}/"


def exact_key(kind: str, run_name: str, number: int) -> dict[str, str]:
    """The arguments by which an operation has its exact key; of a payment system's number, the pair is unique [D]."""
    value = {EXACT[kind]: f"{_EXACT}{run_name}-{number}"}
    return value if kind == CODE_1C else {**value, "operator_name": "carbon-migrate"}


def find_mark(comment: str) -> tuple[str, int] | None:
    found = _MARK.findall(comment)
    if not found:
        return None
    run_name, number = found[-1]
    return run_name, int(number)


def with_mark(text: str, run_name: str, number: int, *, longest: int = LONGEST_COMMENT) -> str:
    """The text with the mark of an item at its end, at most `longest` characters: the mark is never shortened."""
    tail = f"[cm {run_name}/{number}]"
    if not text:
        return tail
    room = longest - len(tail) - 1
    if len(text) > room:
        text = text[: max(room - 1, 0)].rstrip() + "…"
    return f"{text} {tail}" if room > 0 else tail


def without_marks(comment: str) -> str:
    return _MARK.sub("", comment).rstrip()


def undone_by(comment: str) -> str:
    """The id of the operation that an undo takes back, which it writes before its mark; "" without a mark."""
    return without_marks(comment).rpartition(" ")[2] if find_mark(comment) else ""


# ---- finance operations ------------------------------------------------------------------------------------------

OPERATION: Final = (
    'objects.create {"abonent_id": {abonent_id}, "op_summa": "{amount}", "op_type_id": {op_type}, "descr": "{descr}"}'
)
"""The link of a chain that enters an operation."""

_LONGEST_NUMBER: Final = 64

DOCUMENT: Final = Parameter(
    "document",
    said(
        "number of the document, which tells an operation from others of the same subscriber and sum; an opening "
        "balance needs none. A column of another name is given with --map document=COLUMN"
    ),
    "",
    parse=a_text(_LONGEST_NUMBER),
    columns=("number",),
)
DATE: Final = Parameter(
    "date",
    said(
        "day of the operation, which tells it from others where there is no document; it is not sent, for an "
        "operation in a closed month reverses the acts of that month"
    ),
    "",
    parse=a_text(_LONGEST_NUMBER),
    columns=(),
)
TELLING: Final = (DOCUMENT, DATE)
"""What tells an operation of money that adds up from a further one of the same subscriber and sum."""

OPERATION_WAY: Final = "operation"
ADD_PAYMENT: Final = "add_payment"
"""The ways of entering a payment."""

CODE_1C: Final = "code1c"
PAY_ID: Final = "pay_id"
EXACT: Final[Mapping[str, str]] = {CODE_1C: "code1c", PAY_ID: "operator_pay_id_str"}
"""The field of an operation that holds the exact key, by its kind."""

KEY: Final = Parameter(
    "key",
    said(
        "an exact key of each operation beside the mark in its comment: code1c, which leaves the operation out of "
        "the accountants' exchange with 1C, as is right for opening balances and wrong for payments that 1C has to "
        "see; or pay_id, the payment system's number of a payment (operator_pay_id_str, operator_name). probe tells "
        "what the billing takes; without this, the mark alone tells"
    ),
    "",
    (CODE_1C, PAY_ID),
)

STORNO_CALL: Final = "storno_call"
TYPE_8: Final = "type_8"


def _a_method(text: str) -> str:
    if not (text.isascii() and text.isidentifier()):
        raise ValueRefused("{text!r} is not the name of a method", text=text)
    return text


_HOW_OPERATIONS_GO: Final = (
    Parameter(
        STORNO_CALL,
        said(
            "the method of an operation that reverses it; what the billing calls it is not documented: ask the "
            "vendor, and try it on one operation first"
        ),
        STORNO,
        parse=_a_method,
        fact="storno_call",
    ),
    Parameter(
        TYPE_8,
        said(
            "what an entry of type 8 does to the balance, for way=opposite: sets it to its sum, or adds its sum; "
            "try it on one subscriber first"
        ),
        TypeEight.SETS,
        tuple(TypeEight),
        fact="type_8",
    ),
    Parameter(
        "descr", said("comment of opposite entries, before the operation's id"), "Отмена операции", parse=at_most(150)
    ),
)

AUTO: Final = "auto"

UNDO_OF_OPERATIONS: Final = (
    Parameter(
        WAY,
        said(
            "list: nothing is sent, the rows are listed for the accountant; storno: each operation is reversed; "
            "opposite: the opposite sum is entered"
        ),
        LIST,
        (LIST, STORNO, OPPOSITE),
    ),
    *_HOW_OPERATIONS_GO,
)

OF_UNPROVEN: Final = Parameter(
    UNPROVEN,
    said(
        "what was found without a mark, and may be somebody else's: leave: it stays; take: it is taken back as well"
    ),
    LEAVE,
    (LEAVE, TAKE),
)

UNDO_OF_IMPORT: Final = (
    Parameter(
        WAY,
        said(
            "how opening balances go: auto: by storno where a probe has seen it work, else by the opposite sum; "
            "storno, opposite; list: not at all, and their subscribers stay as well"
        ),
        AUTO,
        (AUTO, STORNO, OPPOSITE, LIST),
    ),
    *_HOW_OPERATIONS_GO,
)
"""The parameters of an undo of an import: a subscriber is deleted once its opening balance is taken back."""


def undo_flags(given: Mapping[str, str]) -> list[str]:
    """The flags by which an undo with these parameters is typed again; what is usual is left out."""
    usual = {one.name: one.default for one in (*UNDO_OF_OPERATIONS, OF_UNPROVEN)}
    other = {name: text for name, one in usual.items() if (text := given.get(name, "")) not in {"", one, AUTO}}
    return [word for name, text in other.items() for word in ("--set", f"{name}={text}")]
