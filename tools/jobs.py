"""The page `docs/reference/jobs.md`, which is written from the catalogue.

Facts that the catalogue does not have are data in this file: how the effect of each kind of call is recognised and
verified. The tests that prove a job are those of `tests/proofs.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cli.commands.jobs import in_rows, needs, value
from jobs.catalogue.catalogue import JOBS
from jobs.spec.columns import KNOWN
from jobs.spec.spec import JobSpec, own_select
from tests.proofs import proofs_of
from texts.remedies import PROGRAM
from tools.markdown import code, table


@dataclass(frozen=True, slots=True)
class Effects:
    """How the effect of a kind of call is recognised; `twice` is the effect of a second call."""

    twice: str
    recognised: str
    verified: str


_FIELDS: Final = Effects(
    "yes: a field that is set twice is set once",
    "its fields, which are as wanted",
    "its fields are read again",
)
_READ: Final = Effects("yes: it changes nothing", "not needed", "not needed")
_ISSUED: Final = Effects(
    "yes: it is only another address",
    "the pool, and an address that is not the old one",
    "pool and address are read again",
)
_MARK: Final = "the mark of run and row in its comment"
_ENTRY: Final = "entry, sum and comment are read again, the sums compared"
_UNREADABLE: Final = "cannot be read back, and says so"

_EFFECTS: Final[Mapping[str, Effects]] = MappingProxyType(
    {
        "balances": Effects("no: it would be a second entry", _MARK, _ENTRY),
        "import": Effects(
            "no: each step is looked up before it is sent again",
            "contract number, login, name of a folder; the mark of run and row where there is none of these",
            "each step is read again, the sums compared; counts and sums by folder, tariff and operator",
        ),
        "snat-pool": _ISSUED,
        "ip-pool": _ISSUED,
        "recalculate": Effects(
            "yes: it is the same recalculation",
            "the date, or none, for the billing clears it when it is done",
            "the date is read again; none counts as done",
        ),
        "connect-service": Effects("no: it would be a second service", _MARK, "the service is read again"),
        "attribute": Effects(
            "no: it would be a second value", "the value, by subscriber and attribute", "the value is read again"
        ),
        "delete-services": Effects("no", "it is gone", "it is looked for, and not found"),
        "delete-account": Effects("no", "it is gone", "it is looked for, and not found"),
        "payment": Effects(
            "no: it would be a second payment",
            f"{_MARK}; with `way=add_payment` nothing: a lost answer is left to a person",
            _ENTRY,
        ),
        "password": Effects("yes: it is the same password", "nothing: it is sent again", _UNREADABLE),
        "random-password": Effects(
            "yes: it is only another password, and the last one counts", "nothing: it is sent again", _UNREADABLE
        ),
        "password-recovery": Effects(
            "no: it would be a second letter", "nothing: a lost answer is left to a person", _UNREADABLE
        ),
        "call": Effects(
            "as its methods tell, or `--repeatable` says",
            "as its methods tell, or by the select of `--look-up`",
            f"the same way; where there is none it {_UNREADABLE}",
        ),
    }
)
"""By job; the other jobs read, or set fields."""


def effects_of(job: JobSpec) -> Effects:
    """How the effect of a job is recognised."""
    return _EFFECTS.get(job.name, _FIELDS if job.writes else _READ)


_INTRODUCTION: Final = f"""\
What there is to do. `{PROGRAM} jobs` shows the same, `{PROGRAM} jobs JOB` one of them; this page is
written from the catalogue by `make docs`. The numbers are those of the vendor's recipes, and of what integrators do
besides: 1 to 30 are all of them. Whatever else the REST API can do, [call](#call) does.

The last three columns name tests. Those of the first take a job through plan, run, kill -9 in the middle, resume and
verify, as real processes against the mock billing; those of the second take it back, and compare the whole database;
where there is no way back they show that `undo` says so. The third has what is a job's own.

`{PROGRAM} plan JOB …` says what would be done and sends nothing. `run JOB …` shows it, asks, and does it.
`verify RUN` reads back what the billing has now. `undo RUN` takes it back, and that can be undone too. The crash lab
(`{PROGRAM} selftest --job NAME`) carries out every job that writes.

"""

_COLUMNS: Final = f"""\
Case, ё, spaces and points in a name do not matter. A sum may have its unit, as `Сумма, руб.`. A column of any other
name is given with `--map NAME=COLUMN`. `{PROGRAM} jobs JOB` says which of them a job asks for.
"""


def page() -> str:
    """The whole page as Markdown."""
    head = ["#", "job", "call", "may it be sent twice?", "recognised by", "verified by", "undone by"]
    tested = ["tested: plan, run, kill -9, resume, verify", "tested: undo", "tested: its own"]
    numbered = sorted((number, job) for job in JOBS.values() for number in job.recipes)
    rows = [_cells(str(number), job) for number, job in numbered]
    rows += [_cells("–", job) for job in JOBS.values() if not job.recipes]
    names = [(code(name), ", ".join(others)) for name, others in KNOWN.items()]
    columns = table(["column", "found as well when it is called"], names)
    parts = [
        "# Jobs",
        _INTRODUCTION + table([*head, *tested], rows),
        "## Names of columns",
        _COLUMNS.rstrip(),
        columns,
    ]
    return "\n\n".join([*parts, *(part for job in JOBS.values() for part in _section(job))]) + "\n"


def _cells(number: str, job: JobSpec) -> list[str]:
    effects, proofs = effects_of(job), proofs_of(job)
    return [
        number,
        f"[{job.name}](#{job.name})" + ("" if job.writes else ", reads"),
        f"`{job.call}`",
        effects.twice,
        effects.recognised,
        effects.verified,
        job.undo,
        *(", ".join(map(_link, some)) or "–" for some in (proofs.whole_way, proofs.undo, proofs.own)),
    ]


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../../tests/{path})"


def _section(job: JobSpec) -> Iterator[str]:
    yield f"## {job.name}"
    only_reads = "" if job.writes else " It only reads, and its answers become a file."
    yield f"{job.summary[:1].upper()}{job.summary[1:]}.{only_reads}"
    yield f"    {job.example}"
    yield f"- Rows: {needs(job)}.\n- Call: `{job.call}`\n- Undo: {job.undo}."
    for title, parameters in (("parameter", job.parameters), ("parameter of its undo", job.undo_parameters)):
        rows = [(code(one.name), value(one), in_rows(one) or "–", one.help) for one in parameters]
        if rows:
            yield table([title, "value", "column of the rows", "what for"], rows)
    if select := own_select(job):
        yield f"```sql\n{select}\n```"
