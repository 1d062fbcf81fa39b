"""How the lab asks for each job that writes, and how it tells in the billing what became of it.

A job is tried by a `Trial`: where its rows are drawn from, what is wanted of each, and what the billing has of it in
the end. A job of the catalogue that writes and has none is missing here; a test of the lab says so.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from random import Random
from types import MappingProxyType
from typing import Final, TypeAlias

from billing.database.sql_blocks import SqlStatement, sql_block
from jobs.catalogue.typed_call import call_kind
from jobs.spec.chain import chain_text
from jobs.spec.parameters import MONTHS_BACK, row_key
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
    behind them, named in `header` as well. `wanted` are the places of the cells that make up what is wanted. `ends`
    names the block that tells what there is by key, "" where the ledger alone tells it.

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
    wanted: tuple[int, ...] = (-1,)
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


def _owed(draw: Random) -> str:
    return f"-{Decimal(draw.randrange(600_01, 900_00)) / 100:.2f}"


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


# ---- the jobs ---------------------------------------------------------------------------------------------------

_CHAIN: Final = ('objects.get {"account_id_abonents": {abonent_id}}', 'set {"limit": "{amount}"}', "save")
_CALL: Final = call_kind({"model": "AdminAccounts", "chain": chain_text(_CHAIN)})
CALLED: Final = ("--model", "AdminAccounts", *(word for link in _CHAIN for word in ("--chain", link)))
"""The flags of `call` in the lab."""

_TRIALS: Final = (
    Trial(
        "balances",
        "FinanceOperations",
        "owners",
        ("abonent_id", "amount"),
        (_amount,),
        by=By.MARK,
        once=True,
        amount="op_summa",
    ),
    Trial(
        "payment",
        "FinanceOperations",
        "subscribers",
        ("abonent_id", "amount"),
        (_amount,),
        by=By.SUBJECT,
        once=True,
        amount="op_summa",
        called="Abonents",
        may_ask=True,
    ),
    Trial("warning-threshold", "AdminAccounts", "accounts", ("abonent_id", "amount"), (_owed,), ends="thresholds",
          amount="limit_warning"),
    Trial("tariff-threshold", "AdminAccounts", "accounts", ("abonent_id", "amount"), (_owed,), ends="thresholds",
          amount="limit_warning"),
    Trial("cutoff-limit", "AdminAccounts", "accounts", ("abonent_id", "amount"), (_amount,), ends="limits",
          amount="limit"),
    Trial("snat-pool", "Users", "users", ("user_id", "pool"), (_pool,), ends="snat_pools"),
    Trial("ip-pool", "Users", "users", ("user_id", "pool"), (_pool,), ends="ip_pools"),
    Trial("operator", "Abonents", "other_operator", ("abonent_id", "operator"), ends="operators"),
    Trial("recalculate", "Abonents", "subscribers", ("abonent_id", "since"), (_month,), ends="recalculations"),
    Trial("tariff-next", "Abonents", "subscribers", ("abonent_id", "tariff", "date"), (_tariff, _day), (-2, -1),
          ends="next_tariffs"),
    Trial("tariff-now", "Abonents", "other_tariff", ("abonent_id", "tariff"), ends="tariffs"),
    Trial("voluntary-block", "Abonents", "subscribers", ("abonent_id", "start", "end"), (_day, _later), (-2, -1),
          ends="own_blocks"),
    Trial("block-history", "AbonentsBlockHistory", "block_entries", ("id", "time_changed", "time_del"),
          (_moment, _later_moment), (-2, -1), ends="blocks", arranged="more_blocks"),
    Trial("service-operator", "Usluga", "services", ("usluga_id", "operator"), ends="operators_of_services",
          arranged="more_services"),
    Trial("next-charge", "UsersUsluga", "connected_by_both", ("abonent_id", "usluga_id", "next_date"), (_moment,),
          ends="next_charges"),
    Trial("passed-to-1c", "FinanceOperations", "operations", ("op_id", "code1c"), (_word,), ends="codes"),
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
          unreadable=True, entered="base_url", called="Users", given=("base_url=http://lk.example.org/",), constant="http://lk.example.org/"),
    Trial("call", "AdminAccounts", "accounts", ("abonent_id", "amount"), (_amount,), ends="limits", amount="limit",
          identity=_CALL.identity),
)  # fmt: skip

TRIALS: Final[Mapping[str, Trial]] = MappingProxyType({trial.job: trial for trial in _TRIALS})
"""By job."""
