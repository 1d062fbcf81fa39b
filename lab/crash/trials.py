"""Trials of the jobs that write: how the lab requests each job, and reads its effect in the billing.

A `Trial` names the source of the rows, the wanted value of each, and the query for the billing's value in the end.
For a job that sets fields it is derived from the spec. Every other job that writes has its own trial here; a test
checks that.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from random import Random
from types import MappingProxyType
from typing import Final, TypeAlias

from billing.database.sql_blocks import SqlStatement, sql_block
from jobs.catalogue.catalogue import JOBS
from jobs.catalogue.typed_call import call_kind
from jobs.spec.chain import Template, chain_text
from jobs.spec.chain_kind import ChainKind, kind_of
from jobs.spec.parameters import Parameter, a_date, a_moment, an_id, roubles, row_key
from jobs.spec.spec import JobSpec
from lab.crash.fields import money_field, wanted_fields
from lab.mock.facts import FACTS, OPENING_BALANCE, RECEIPT
from lab.mock.people import EMPTY_POOLS, TARIFFS

Wanted: TypeAlias = Decimal | str
"""The wanted value of a row: an amount, exact, or a text."""

OPERATIONS: Final = "FinanceOperations"

Cell: TypeAlias = Callable[[Random], str]

_TABLES: Final = {
    OPERATIONS: "finance_operations",
    "UsersUsluga": "users_usluga",
    "AttributeValues": "attribute_values",
}


class By(Enum):
    """How the effects of a row are identified in the ledger."""

    MARK = "the mark of run and item, in the comment of what was created"
    SUBJECT = "the subscriber or account that something was created for"
    OBJECT = "the object that was changed"


@dataclass(frozen=True, slots=True)
class Trial:
    """The trial of a job.

    `rows` names the block of queries.sql that gives key, object and first cells of each row. `drawn` are the cells
    after them, named in `header` as well. The wanted values of a row are the fields that the chain `sets`, or without
    a chain its last cell. `ends` names the block with the final values by key; it is "" where the chain or the ledger
    alone gives them.

    `amount` is the ledger's field that holds money, `entered` one that holds text; `called` is the model of the call
    where it differs from that of the effect. `once` says that a second effect is a fault, `may_ask` that a row may be
    left to a person, `unreadable` that nothing can be read back, which `verify` reports. `file` is where the job
    writes the values that the billing generated, id and value. `constant` is wanted of all rows alike. `arranged`
    names the block that adds rows to the billing where a new one has too few. `identity` is the prefix of the keys of
    a job that has one, `key_end` what ends them. `enters` is the column of the wanted value where that is not the
    last one, and `values` are those that the job has for all rows. `kind` is the type of its operations, 0 for any.
    """

    job: str
    model: str
    rows: str
    header: tuple[str, ...]
    drawn: tuple[Cell, ...] = ()
    ends: str = ""
    by: By = By.OBJECT
    once: bool = False
    amount: str = ""
    entered: str = ""
    called: str = ""
    may_ask: bool = False
    unreadable: bool = False
    given: tuple[str, ...] = ()
    arranged: str = ""
    file: str = ""
    constant: str = ""
    identity: str = ""
    key_end: str = ""
    enters: str = ""
    kind: int = 0
    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    sets: Template | None = None

    @property
    def creates(self) -> str:
        """The table of what a row creates, where the program can see before its call that it is there; or ""."""
        seen = self.once and (self.by is By.MARK or self.model == "AttributeValues")
        return _TABLES.get(self.model, "") if seen else ""

    def key(self, own: object) -> str:
        """The key of a row in the journal, from its key in queries.sql."""
        key = row_key((str(own), self.key_end)) if self.key_end else str(own)
        return row_key((self.identity, key)) if self.identity else key

    def wanted(self, cells: Sequence[str]) -> str:
        """The wanted value of a row, from its cells in the input."""
        row = dict(zip(self.header, cells, strict=True))
        if self.sets is not None:
            return wanted_fields(self.sets, {**self.values, **row})
        return self.constant or (row[self.enters] if self.enters else cells[-1])

    @property
    def arguments(self) -> list[str]:
        """The arguments after the job's file."""
        return [word for one in self.given for word in ("--set", one)]


def sql(name: str) -> SqlStatement:
    """A block of queries.sql."""
    return sql_block("queries", name, "lab.crash")


# ---- cells that are drawn ---------------------------------------------------------------------------------------


def _amount(draw: Random) -> str:
    return f"{Decimal(draw.randrange(1, 300_000)) / 100:.2f}"


def _pool(draw: Random) -> str:
    return str(draw.choice(EMPTY_POOLS))


def _tariff(draw: Random) -> str:
    return str(draw.choice(tuple(TARIFFS)))


def _word(draw: Random) -> str:
    return "".join(draw.choices("абвгдежзABCDEFGH0123456789-№", k=draw.randint(6, 20)))


def _day(draw: Random, year: int = 2035) -> str:
    return str(dt.date(year, 1, 1) + dt.timedelta(days=draw.randrange(365)))


def _later(draw: Random) -> str:
    return _day(draw, 2036)


def _moment(draw: Random) -> str:
    return f"{_day(draw)} {draw.randrange(1, 24):02}:{draw.randrange(60):02}:{draw.randrange(60):02}"


def _later_moment(draw: Random) -> str:
    return f"{_later(draw)} {draw.randrange(1, 24):02}:30:00"


def _month(draw: Random) -> str:
    today = dt.datetime.now().date()  # noqa: DTZ005 - the billing's day is local
    # Not the earliest month: the experiment may run past the end of a month.
    whole = today.year * 12 + today.month - 1 - draw.randrange(FACTS.months_back.value)
    return f"{whole // 12:04}-{whole % 12 + 1:02}-01"


# ---- jobs that set fields ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Objects:
    """Objects of a model: the block that selects their rows, and the block that creates some where there are none."""

    rows: str
    arranged: str = ""


OBJECTS: Final[Mapping[str, _Objects]] = {
    "Abonents": _Objects("subscribers"),
    "AdminAccounts": _Objects("accounts"),
    "Users": _Objects("users"),
    "UsersUsluga": _Objects("connected_by_both"),
    "Usluga": _Objects("services", "more_services"),
    "FinanceOperations": _Objects("operations"),
    "AbonentsBlockHistory": _Objects("block_entries", "more_blocks"),
}
"""By model, in the order of the keys that its chain uses."""

_BY_REFERENCE: Final[Mapping[str, Cell]] = {"Tarif": _tariff}
_BY_CHECK: Final[Mapping[Callable[[str], str], Cell]] = {
    roubles: _amount,
    an_id: _pool,
    a_date: _day,
    a_moment: _moment,
}
"""Values to draw for a parameter, by its check; a word for any other one."""


CELLS: Final[Mapping[str, tuple[Cell, ...]]] = {
    "": (_amount, _pool, _day, _moment, _month, _word),
    "Tarif": (_tariff,),
}
"""Values to draw for a parameter of any check, by what it refers to: the first that it takes."""


def trial_of_fields(job: JobSpec, *, rows: str = "", drawn: tuple[Cell, ...] | None = None) -> Trial:
    """The trial of a job that sets fields, from its spec; `rows` and `drawn` replace the usual ones."""
    chain, objects = job.template(), OBJECTS[job.model]
    finding = {name for _, name in chain.links[0].places}
    parameters = {one.name: one for one in job.parameters}
    cells = tuple(_cell_of(parameters[name]) for name in chain.names if name not in finding)
    return Trial(
        job=job.name,
        model=job.model,
        rows=rows or objects.rows,
        header=chain.names,
        drawn=cells if drawn is None else drawn,
        amount=money_field(chain),
        arranged=objects.arranged,
        identity=job.identity,
        sets=chain,
    )


def _cell_of(parameter: Parameter) -> Cell:
    return _BY_REFERENCE.get(parameter.refers_to) or _BY_CHECK.get(parameter.parse, _word)


# ---- the jobs ---------------------------------------------------------------------------------------------------

_CHAIN: Final = ('objects.get {"account_id_abonents": {abonent_id}}', 'set {"limit": "{amount}"}', "save")
CALLED: Final = ("--model", "AdminAccounts", *(word for link in _CHAIN for word in ("--chain", link)))
"""The flags of `call` in the lab."""

_OWN: Final = (
    Trial("balances", "FinanceOperations", "owners", ("abonent_id", "amount"), (_amount,), by=By.MARK, once=True,
          amount="op_summa", kind=OPENING_BALANCE),
    Trial("payment", "FinanceOperations", "subscribers", ("abonent_id", "amount"), (_amount,), by=By.SUBJECT,
          once=True, amount="op_summa", called="Abonents", may_ask=True, given=("way=add_payment",)),
    # An emptied address is issued anew, so the final value differs from the one set.
    Trial("ip-pool", "Users", "users", ("user_id", "pool"), (_pool,), ends="ip_pools"),
    # Rows with values of their own, which differ from the existing ones.
    trial_of_fields(JOBS["operator"], rows="other_operator", drawn=()),
    trial_of_fields(JOBS["tariff-now"], rows="other_tariff", drawn=()),
    trial_of_fields(JOBS["service-operator"], drawn=()),
    trial_of_fields(JOBS["recalculate"], drawn=(_month,)),
    trial_of_fields(JOBS["voluntary-block"], drawn=(_day, _later)),
    trial_of_fields(JOBS["block-history"], drawn=(_moment, _later_moment)),
    Trial("connect-service", "UsersUsluga", "to_connect", ("abonent_id", "usluga"), by=By.MARK, once=True,
          entered="usluga_id", given=("manager=33",)),
    Trial("attribute", "AttributeValues", "to_describe", ("abonent_id", "attribute", "value"), (_word,),
          by=By.SUBJECT, once=True, entered="attribute_value"),
    Trial("delete-services", "UsersUsluga", "connected", ("id",), ends="connected_left", once=True,
          entered="deleted", constant="1"),
    Trial("delete-account", "Users", "users", ("user_id",), ends="accounts_left", once=True, entered="deleted",
          constant="1"),
    Trial("password", "Users", "users", ("user_id", "psw"), (_word,), ends="passwords", unreadable=True),
    Trial("random-password", "Users", "users", ("user_id",), ends="passwords", unreadable=True,
          given=("to=passwords.csv",), file="passwords.csv"),
    Trial("password-recovery", "PasswordRecoveries", "logins", ("login",), by=By.SUBJECT, once=True, may_ask=True,
          unreadable=True, entered="base_url", called="Users", given=("base_url=http://lk.example.org/",),
          constant="http://lk.example.org/"),
    trial_of_fields(call_kind({"model": "AdminAccounts", "chain": chain_text(_CHAIN)}), drawn=(_amount,)),
)  # fmt: skip


MARKED_PAYMENT: Final = Trial(
    "payment", OPERATIONS, "owners", ("abonent_id", "amount"), (_amount,), by=By.MARK, once=True, amount="op_summa",
    kind=RECEIPT,
)  # fmt: skip
"""Payments in the usual way, as operations with marks; `TRIALS` has those by `add_payment`."""


def _trials() -> Iterator[Trial]:
    own = {trial.job: trial for trial in _OWN}
    for job in JOBS.values():
        if job.name in own:
            yield own[job.name]
        elif job.writes and kind_of(job.template()) is ChainKind.SETS_FIELDS:
            yield trial_of_fields(job)


TRIALS: Final[Mapping[str, Trial]] = MappingProxyType({trial.job: trial for trial in _trials()})
"""Trials by job. A job that sets fields needs none here."""
