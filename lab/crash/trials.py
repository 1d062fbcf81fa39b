"""Trials of the jobs that write: how the lab requests each job, and reads its effect in the billing.

A `Trial` names the source of the rows, the wanted value of each, and the field of the billing's value in the end.
For a job that sets fields it is derived from the spec. Every other job that writes has its own trial here; a test
checks that.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum
from functools import partial
from random import Random
from typing import Final, TypeAlias

from billing.database.sql_blocks import sql_block
from jobs.catalogue.catalogue import JOBS
from jobs.catalogue.typed_call import call_kind
from jobs.spec.chain import Template, chain_text
from jobs.spec.parameters import a_date, a_moment, row_key
from jobs.spec.spec import ChainKind, JobSpec, kind_of
from lab.crash.program import NoTrial
from lab.mock.connection import MockConnection, Stored, select, stored, value_text
from lab.mock.facts import FACTS, MODELS, MockModel, ValueType
from lab.mock.population import EMPTY_POOLS, TARIFFS
from texts.said import said

# ---- trials of the jobs that write --------------------------------------------------------------------------------

Wanted: TypeAlias = Decimal | str
"""The wanted value of a row: an amount, exact, or a text."""

OPERATIONS: Final = "FinanceOperations"

Cell: TypeAlias = Callable[[Random], str]


class By(Enum):
    """How the effects of a row are identified in the ledger."""

    MARK = "the mark of run and item, in the comment of what was created"
    SUBJECT = "the subscriber or account that something was created for"
    OBJECT = "the object that was changed"


@dataclass(frozen=True, slots=True)
class Trial:
    """The trial of a job.

    `rows` names the block of queries.sql that gives key, object and first cells of each row; `drawn` are the cells
    after them, named in `header` as well. The wanted values of a row are the fields that the chain `sets`, or without
    a chain its last cell. `ends` names the field with the final values, where neither chain nor ledger gives them.

    `entered` is the field of the wanted value in the ledger, where that is one field; `called` is the model of the
    call where it differs from that of the effect. `once` says that a second effect is a fault, `may_ask` that a row
    may be left to a person, `unreadable` that nothing can be read back, which `verify` reports. `file` is where the
    job writes the values that the billing generated, id and value. `constant` is wanted of all rows alike. `arranged`
    names the block that adds rows to the billing where a new one has too few. `identity` is the prefix of the keys of
    a job that has one, `key_end` what ends them. `enters` is the column of the wanted value where that is not the
    last one, and `values` are those that the job has for all rows. `kind` is the type of its operations, 0 for any.
    Rows that are `numbered` may name their subscriber by the contract number, which the block gives behind the id.
    """

    job: str
    model: str
    rows: str
    header: tuple[str, ...]
    drawn: tuple[Cell, ...] = ()
    ends: str = ""
    by: By = By.OBJECT
    once: bool = False
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
    numbered: bool = False
    values: Mapping[str, str] = field(default_factory=dict)
    sets: Template | None = None

    @property
    def creates(self) -> str:
        """The model of what a row creates, where the program can see before its call that it is there; or ""."""
        return self.model if self.once and (self.by is By.MARK or self.model == "AttributeValues") else ""

    @property
    def is_money(self) -> bool:
        """Whether the wanted values are amounts."""
        return bool(self.entered) and MODELS[self.model].fields[self.entered].kind is ValueType.MONEY

    def key(self, own: object) -> str:
        """The key of a row in the journal, from its key in queries.sql."""
        key = row_key((str(own), self.key_end)) if self.key_end else str(own)
        return row_key((self.identity, key)) if self.identity else key

    def wanted(self, cells: Sequence[str]) -> str:
        row = dict(zip(self.header, cells, strict=True))
        if self.sets is not None:
            # The values of all fields that the chain sets, in order, as the billing writes them.
            model = MODELS[self.sets.model]
            _, put, *_ = self.sets.fill({**self.values, **row})
            return _written(model, {name: stored(model.fields[name].kind, it) for name, it in put.arguments.items()})
        return self.constant or (row[self.enters] if self.enters else cells[-1])

    def ends_in(self, billing: MockConnection, objects: Mapping[str, int]) -> dict[str, Wanted]:
        """The final values in a billing of rows with these objects, by their keys."""
        model, found = billing.models[self.model], dict[object, Wanted]()
        names = [self.ends] if self.sets is None else [*self.sets.links[1].arguments]
        for row in billing.execute(*select(billing.models, model, {})):
            values = dict(zip(model.fields, row, strict=True))
            # An account without an address has no address of its new pool.
            if self.ends != "pull" or values["ip"] is not None:
                text = _written(model, {name: values[name] for name in names})
                found[values[model.key.name]] = Decimal(text) if self.is_money and text else text
        return {key: found[one] for key, one in objects.items() if one in found}


def _written(model: MockModel, values: Mapping[str, Stored]) -> str:
    """Values of an object, as the billing writes them."""
    texts = (value_text(model.fields[name].kind, value) for name, value in values.items())
    return " ".join("" if text is None else str(text) for text in texts)


sql: Final = partial(sql_block, "queries", folder="lab.crash")


# ---- cells that are drawn ---------------------------------------------------------------------------------------


def _amount(draw: Random) -> str:
    return f"{Decimal(draw.randrange(1, 300_000)) / 100:.2f}"


def _balance(draw: Random) -> str:
    amount = _amount(draw)
    return f"{'-' if draw.random() < _OWED else ''}{amount}".replace(".", ",")


def _choice(values: Iterable[object]) -> Cell:
    several = tuple(map(str, values))
    return lambda draw: draw.choice(several)


def _constant_cell(value: str) -> Cell:
    return lambda _: value


def _word(draw: Random) -> str:
    return "".join(draw.choices("абвгдежзABCDEFGH0123456789-№", k=draw.randint(6, 20)))


def _days(year: int) -> Cell:
    return lambda draw: str(dt.date(year, 1, 1) + dt.timedelta(days=draw.randrange(365)))


def _moment(draw: Random) -> str:
    return f"{_day(draw)} {draw.randrange(1, 24):02}:{draw.randrange(60):02}:{draw.randrange(60):02}"


def _later_moment(draw: Random) -> str:
    return f"{_later(draw)} {draw.randrange(1, 24):02}:30:00"


def _month(draw: Random) -> str:
    today = dt.datetime.now().date()  # noqa: DTZ005 - the billing's day is local
    # Not the earliest month: the experiment may run past the end of a month.
    whole = today.year * 12 + today.month - 1 - draw.randrange(FACTS.months_back.value)
    return f"{whole // 12:04}-{whole % 12 + 1:02}-01"


_OWED: Final = 0.08
"""The share of negative balances."""
_day, _later = _days(2035), _days(2036)
_pool = _choice(EMPTY_POOLS)
SERVICE, ATTRIBUTE = "105", "99"
_service, _attribute = _constant_cell(SERVICE), _constant_cell(ATTRIBUTE)
CELLS: Final[Mapping[str, tuple[Cell, ...]]] = {
    "": (_amount, _pool, _day, _moment, _month, _word),
    "Tarif": (_choice(TARIFFS),),
    "SnatPool": (_pool,),
}
"""Values to draw for a parameter, by what it refers to: the first that it takes."""
_BY_CHECK: Final[Mapping[Callable[[str], str], Cell]] = {a_date: _day, a_moment: _moment}
"""Those of checks that take values of other sorts as well."""
_SAMPLES: Final = 20
"""Values that a parameter must all take, before it is believed to take others of their sort."""

# ---- trials made of a job's declaration alone ---------------------------------------------------------------------
# The lab has rows for jobs that set fields, enter operations, connect services, and delete services or accounts. Of
# any other call nobody knows the effect, so nothing could be judged.

OBJECTS: Final[Mapping[str, tuple[str, str]]] = {
    "Abonents": ("subscribers", ""),
    "AdminAccounts": ("accounts", ""),
    "Users": ("users", ""),
    "UsersUsluga": ("connected_by_both", ""),
    "Usluga": ("services", "more_services"),
    "FinanceOperations": ("operations", ""),
    "AbonentsBlockHistory": ("block_entries", "more_blocks"),
}
"""By model, the block that selects rows, and the block that creates some where a new billing has too few."""
_SERVICES: Final = "UsersUsluga"


def trial_of(job: JobSpec, *, rows: str = "", drawn: tuple[Cell, ...] | None = None) -> Trial:
    """The trial of a job; `rows` and `drawn` replace the usual ones. Raises `NoTrial` with the reason."""
    chain = job.template()
    match kind_of(chain):
        case ChainKind.SETS_FIELDS if job.model in OBJECTS:
            return _of_fields(job, chain, rows, drawn)
        case ChainKind.CREATES if job.model in {OPERATIONS, _SERVICES}:
            return _of_created(job, chain)
        case ChainKind.DELETES if job.model in _DELETED and tuple(chain.links[0].arguments) == ("id",):
            return replace(_DELETED[job.model], job=job.name, header=chain.names, identity=job.identity)
        case ChainKind.READS:
            raise NoTrial(said("it reads, and changes nothing that could be lost or entered twice"))
    raise NoTrial(
        "the lab does not know what {methods} of {model} does to its billing",
        methods=" → ".join(chain.methods),
        model=job.model,
    )


def _of_fields(job: JobSpec, chain: Template, rows: str, given: tuple[Cell, ...] | None) -> Trial:
    fields, names = MODELS[job.model].fields, tuple(chain.links[1].arguments)
    if unknown := [name for name in names if name not in fields]:
        raise NoTrial("the lab's billing has no {fields} in {model}", fields=tuple(unknown), model=job.model)
    parameters = {one.name: one for one in job.parameters}
    finding = {name for _, name in chain.links[0].places}
    if not finding or any(one.columns is None and one.name in finding for one in job.parameters):
        raise NoTrial("the lab finds its objects by the placeholders of {method} alone", method=chain.methods[0])
    cells = _drawn(job, [name for name in chain.names if name not in finding]) if given is None else {}
    usual, arranged = OBJECTS[job.model]
    return Trial(
        job=job.name,
        model=job.model,
        rows=rows or usual,
        header=tuple(name for name in chain.names if name in finding or name in cells or given is not None),
        drawn=tuple(cells.values()) if given is None else given,
        entered=names[0] if len(names) == 1 else "",
        arranged=arranged,
        identity=job.identity,
        # The defaults of what is not drawn.
        values={name: one.default for name, one in parameters.items() if one.default and name not in cells},
        sets=chain,
    )


def _of_created(job: JobSpec, chain: Template) -> Trial:
    """The trial of what bears a mark and belongs to a subscriber: an operation of a sum, or a service."""
    whose, is_money = _named(chain, "abonent_id"), job.model == OPERATIONS
    enters, kind = ("op_summa", _constant(job, chain, "op_type_id")) if is_money else ("usluga_id", SERVICE)
    what = _named(chain, enters)
    finding = (whose,) if is_money else (whose, what)
    drawn = _drawn(job, [name for name in chain.names if name not in finding])
    return Trial(
        job=job.name,
        model=job.model,
        rows="owners" if is_money else "subscribers",
        header=(*finding, *drawn),
        drawn=tuple(drawn.values()) if is_money else (_service, *drawn.values()),
        by=By.MARK,
        once=True,
        entered=enters,
        identity=job.identity,
        key_end=kind,
        kind=int(kind) if is_money and kind.isdecimal() else 0,
        enters=what,
    )


def _named(chain: Template, field: str) -> str:
    """The placeholder of a field. Raises `NoTrial` where the chain has another value there."""
    found = next((name for link in chain.links for place, name in link.places if place == field), "")
    if not found:
        raise NoTrial("its call has no placeholder for {field}", field=field)
    return found


def _constant(job: JobSpec, chain: Template, field: str) -> str:
    """The value that a field has in all rows. Raises `NoTrial` where there is none."""
    places, defaults = dict(chain.links[0].places), {one.name: one.default for one in job.parameters}
    value = defaults.get(places[field]) if field in places else chain.links[0].arguments.get(field)
    if value in {None, ""}:
        raise NoTrial("its call has no one value for {field}", field=field)
    return str(value)


def _drawn(job: JobSpec, names: Sequence[str]) -> dict[str, Cell]:
    """The cells that are drawn, in the parameters' own spelling; what has a default keeps it.

    Raises `NoTrial` for a parameter that takes no value.
    """
    parameters = {one.name: one for one in job.parameters}
    found: dict[str, Cell] = {}
    for name in names:
        parameter = parameters[name]
        if parameter.default is not None:
            continue
        if parameter.columns is None:
            raise NoTrial("{name} is to be given for all rows, and the lab gives values in rows", name=name)
        cells = (*filter(None, (_BY_CHECK.get(parameter.parse),)), *CELLS.get(parameter.refers_to, ()))
        if parameter.choices:
            cells = (lambda draw, choices=parameter.choices: draw.choice(choices),)  # type: ignore[misc]
        for cell in cells:
            with suppress(ValueError):
                if all(parameter.parse(cell(Random(seed))) for seed in range(_SAMPLES)):
                    found[name] = partial(lambda parse, cell, draw: parse(cell(draw)), parameter.parse, cell)
                    break
        else:
            raise NoTrial("the lab finds no values that {name} takes", name=name)
    return found


# ---- the jobs -----------------------------------------------------------------------------------------------------

_CHAIN: Final = ('objects.get {"account_id_abonents": {abonent_id}}', 'set {"limit": "{amount}"}', "save")
CALLED: Final = ("--model", "AdminAccounts", *(word for link in _CHAIN for word in ("--chain", link)))

_OWN: Final = (
    replace(trial_of(JOBS["balances"]), rows="only_owners", drawn=(_balance,), numbered=True),
    Trial("payment", "FinanceOperations", "subscribers", ("abonent_id", "amount"), (_amount,), by=By.SUBJECT,
          once=True, entered="op_summa", called="Abonents", may_ask=True, given=("way=add_payment",)),
    # An emptied address is issued anew, so the final value differs from the one set.
    Trial("ip-pool", "Users", "users", ("user_id", "pool"), (_pool,), ends="pull"),
    Trial("connect-service", "UsersUsluga", "subscribers", ("abonent_id", "usluga"), (_service,), by=By.MARK,
          once=True, entered="usluga_id", key_end=SERVICE, given=("manager=33",)),
    Trial("attribute", "AttributeValues", "subscribers", ("abonent_id", "attribute", "value"), (_attribute, _word),
          by=By.SUBJECT, once=True, entered="attribute_value", key_end=ATTRIBUTE),
    Trial("delete-services", "UsersUsluga", "connected", ("id",), ends="deleted", once=True,
          entered="deleted", constant="1"),
    Trial("delete-account", "Users", "users", ("user_id",), ends="deleted", once=True, entered="deleted",
          constant="1"),
    Trial("password", "Users", "users", ("user_id", "psw"), (_word,), ends="psw", unreadable=True),
    Trial("random-password", "Users", "users", ("user_id",), ends="psw", unreadable=True,
          given=("to=passwords.csv",), file="passwords.csv"),
    Trial("password-recovery", "PasswordRecoveries", "logins", ("login",), by=By.SUBJECT, once=True, may_ask=True,
          unreadable=True, entered="base_url", called="Users", given=("base_url=http://lk.example.org/",),
          constant="http://lk.example.org/"),
)  # fmt: skip
_DELETED: Final = {trial.model: trial for trial in _OWN if trial.constant == "1"}
"""By model, the trial of a deletion by id."""
_REPLACED: Final[Mapping[str, tuple[str, tuple[Cell, ...]]]] = {
    # Rows with values of their own, which differ from the existing ones.
    "operator": ("other_operator", ()),
    "tariff-now": ("other_tariff", ()),
    "service-operator": ("", ()),
    "voluntary-block": ("", (_day, _later)),
    "block-history": ("", (_moment, _later_moment)),
    "passed-to-1c": ("", (_word,)),
    "call": ("", (_amount,)),
}
"""Rows and cells of built-in jobs in place of the usual ones."""


def _trials() -> Iterator[Trial]:
    own = {trial.job: trial for trial in _OWN}
    for job in (one for one in JOBS.values() if one.writes and one.name != "import"):
        tried = call_kind({"model": "AdminAccounts", "chain": chain_text(_CHAIN)}) if job.name == "call" else job
        rows, drawn = _REPLACED.get(job.name, ("", None))
        yield own.get(job.name) or trial_of(tried, rows=rows, drawn=drawn)


TRIALS: Final[Mapping[str, Trial]] = {trial.job: trial for trial in _trials()}
MARKED_PAYMENT: Final = replace(trial_of(JOBS["payment"]), key_end="")
"""Payments in the usual way, as operations with marks; `TRIALS` has those by `add_payment`."""
