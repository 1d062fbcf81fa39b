"""Finance operations: the link that enters one, and what may be said of payments and of the undo.

Neither what the API's method for storno is called is known [?], nor whether an entry of type 8 sets the balance or
adds to it [?]: the parameters of the undo say so, and without them nothing is sent.
"""

from typing import Final

from jobs.spec.parameters import Parameter, a_text, at_most

OPERATIONS: Final = "FinanceOperations"
OPERATION: Final = (
    'objects.create {"abonent_id": {abonent_id}, "op_summa": "{amount}", "op_type_id": {op_type}, "descr": "{descr}"}'
)
"""The link that enters an operation."""

ASK: Final = "ask"
SUM: Final = "sum"
_LONGEST_NUMBER: Final = 64

DOCUMENT: Final = Parameter(
    "document",
    "number of the payment's document: with it several payments of one subscriber are several entries; a "
    "column of another name is given with --map document=COLUMN",
    "",
    parse=a_text(_LONGEST_NUMBER),
    columns=(),
)
RECOGNISE: Final = Parameter(
    "recognise",
    "what tells a payment whose answer was lost: ask leaves it to a person, sum takes the one newer "
    "operation of that sum for it, though it may be somebody else's; with documents it never does",
    ASK,
    (ASK, SUM),
)

WAY: Final = "way"
"""The parameter of an undo that names the way back."""
LIST: Final = "list"
STORNO: Final = "storno"
OPPOSITE: Final = "opposite"
STORNO_CALL: Final = "storno_call"
TYPE_8: Final = "type_8"
SETS: Final = "sets"
ADDS: Final = "adds"


def _a_method(text: str) -> str:
    if not (text.isascii() and text.isidentifier()):
        raise ValueError(f"{text!r} is no name of a method")
    return text


UNDO_OF_OPERATIONS: Final = (
    Parameter(
        WAY,
        "list: nothing is sent, the rows are listed for the accountant; storno: each operation is reversed; "
        "opposite: the opposite sum is entered",
        LIST,
        (LIST, STORNO, OPPOSITE),
    ),
    Parameter(
        STORNO_CALL,
        "the method of an operation that reverses it; what the billing calls it is not documented: ask the vendor, "
        "and try it on one operation first",
        STORNO,
        parse=_a_method,
        fact="storno_call",
    ),
    Parameter(
        TYPE_8,
        "what an entry of type 8 does to the balance, for way=opposite: sets it to its sum, or adds its sum; try it "
        "on one subscriber first",
        SETS,
        (SETS, ADDS),
        fact="type_8",
    ),
    Parameter(
        "descr", "comment of opposite entries, before the operation's id", "Отмена операции", parse=at_most(150)
    ),
)
"""What an undo of operations may be told."""
