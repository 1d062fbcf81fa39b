"""How the lab asks for each job that writes, and how it tells in the billing what became of it.

A job is tried by a `Trial`: where its rows are drawn from, what is wanted of each, and what the billing has of it in
the end. That of a job that sets fields is made of its spec. Any other job that writes has one of its own here; where
it is missing, a test says so.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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
from jobs.spec.parameters import MONTHS_BACK, Parameter, a_date, a_moment, an_id, roubles, row_key
from jobs.spec.spec import JobSpec
from lab.crash.fields import money_field
from lab.mock.people import TARIFFS

Wanted: TypeAlias = Decimal | str
"""What is wanted of a row: an amount, to the kopeck, or the text that the billing has then."""

Cell: TypeAlias = Callable[[Random], str]


class By(Enum):
    """What tells the effects of a row in the ledger from those of others."""

    MARK = "the mark of run and item, in the comment of what was created"
    SUBJECT = "the subscriber or account that something was created for"
    OBJECT = "the object that was changed"


@dataclass(frozen=True, slots=True)
class Trial:
    """A job in the lab.

    `rows` names the block of queries.sql that gives key, object and first cells of each row. `drawn` are the cells
    behind them, named in `header` as well. What is wanted of a row are the fields that the chain `sets`; where there
    is none, its last cell. `ends` names the block that tells what there is by key; it is "" where the chain tells it,
    or the ledger alone.

    `amount` is the field of the ledger that holds money, `entered` one that holds text; `called` is the model of the
    call where it is another than that of the effect. `once` says that a second effect is one too many, `may_ask` that
    a row may be left to a person, `unreadable` that nothing of it can be read back, which `verify` says. `file` is
    where the job writes what the billing made up, id and value. `constant` is wanted of all rows alike. `arranged`
    names the block that puts rows into the billing where a new one has too few. `identity` begins the keys of a job
    that has one.
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
    sets: Template | None = None

    def key(self, own: object) -> str:
        """The key of a row as the journal has it, from the one that queries.sql gives."""
        return row_key((self.identity, str(own))) if self.identity else str(own)

    @property
    def arguments(self) -> list[str]:
        """What is typed behind the job's file."""
        return [word for one in self.given for word in ("--set", one)]


def sql(name: str) -> SqlStatement:
    """A block of queries.sql."""
    return sql_block("queries", name, "lab.crash")


# ---- cells that are drawn ---------------------------------------------------------------------------------------


def _amount(draw: Random) -> str:
    return f"{Decimal(draw.randrange(1, 300_000)) / 100:.2f}"


def _pool(draw: Random) -> str:
    return str(draw.randrange(2_000, 9_999))


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
    # Not the earliest one: the experiment may go on over the end of a month.
    whole = today.year * 12 + today.month - 1 - draw.randrange(MONTHS_BACK)
    return f"{whole // 12:04}-{whole % 12 + 1:02}-01"


# ---- jobs that set fields ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Objects:
    """Where objects of a model come from: the block of their rows, and that which makes some where there are none."""

    rows: str
    arranged: str = ""


_OBJECTS: Final[Mapping[str, _Objects]] = {
    "Abonents": _Objects("subscribers"),
    "AdminAccounts": _Objects("accounts"),
    "Users": _Objects("users"),
    "UsersUsluga": _Objects("connected_by_both"),
    "Usluga": _Objects("services", "more_services"),
    "FinanceOperations": _Objects("operations"),
    "AbonentsBlockHistory": _Objects("block_entries", "more_blocks"),
}
"""By model, in the order of what its chain is found by."""

_BY_REFERENCE: Final[Mapping[str, Cell]] = {"Tarif": _tariff}
_BY_CHECK: Final[Mapping[Callable[[str], str], Cell]] = {
    roubles: _amount,
    an_id: _pool,
    a_date: _day,
    a_moment: _moment,
}
"""What is drawn for a parameter, by how it is checked; a word for any other one."""


def trial_of_fields(job: JobSpec, *, rows: str = "", drawn: tuple[Cell, ...] | None = None) -> Trial:
    """The trial of a job that sets fields, made of its spec; `rows` and `drawn` take the place of the usual ones."""
    chain, objects = job.template(), _OBJECTS[job.model]
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
          amount="op_summa"),
    Trial("payment", "FinanceOperations", "subscribers", ("abonent_id", "amount"), (_amount,), by=By.SUBJECT,
          once=True, amount="op_summa", called="Abonents", may_ask=True),
    # An address that is emptied is issued anew, so the end is another than what is set.
    Trial("ip-pool", "Users", "users", ("user_id", "pool"), (_pool,), ends="ip_pools"),
    # Rows that bring their values along: others than those that are there.
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


def _trials() -> Iterator[Trial]:
    own = {trial.job: trial for trial in _OWN}
    for job in JOBS.values():
        if job.name in own:
            yield own[job.name]
        elif job.writes and kind_of(job.template()) is ChainKind.SETS_FIELDS:
            yield trial_of_fields(job)


TRIALS: Final[Mapping[str, Trial]] = MappingProxyType({trial.job: trial for trial in _trials()})
"""By job. One that sets fields needs no trial of its own."""
