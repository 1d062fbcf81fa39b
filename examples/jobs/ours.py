"""A job of one's own: a fee for invoices on paper, an act (type 1) for each subscriber of a folder."""

from jobs.spec.entries import DOCUMENT, UNDO_OF_OPERATIONS
from jobs.spec.parameters import FOLDER, SUBSCRIBER, Parameter, a_text, roubles
from jobs.spec.spec import JobSpec

PAPER_INVOICE = JobSpec(
    name="paper-invoice",
    summary="charge subscribers for invoices on paper",
    model="FinanceOperations",
    chain=('objects.create {"abonent_id": {abonent_id}, "op_summa": "{fee}", "op_type_id": 1, "descr": "{descr}"}',),
    comment="descr",
    select="select id as abonent_id, 50 as fee from abonents where parent_id=:folder and is_folder=0 and deleted=0",
    parameters=(
        *SUBSCRIBER,
        FOLDER,
        Parameter("fee", "the fee in roubles, as 50", parse=roubles, columns=("сумма",)),
        DOCUMENT,
        Parameter("descr", "what subscribers read", "Счёт на бумаге", parse=a_text(100)),
    ),
    undo="a list for the accountant; --set way=opposite enters the opposite sums",
    undo_parameters=UNDO_OF_OPERATIONS,
    example="carbon-migrate run paper-invoice --set folder=1316 --set document=2026-11",
)
