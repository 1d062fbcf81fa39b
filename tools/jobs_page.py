"""The page `docs/reference/jobs.md`, generated from the catalogue: `python -m tools.jobs_page --write`.

Facts that the catalogue does not have are data in this file: how the effect of each kind of call is recognised and
verified. The tests that prove a job are those of `tests/proofs.py`.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cli.commands.jobs import in_rows, needs, value
from jobs.catalogue.catalogue import JOBS
from jobs.spec.columns import KNOWN
from jobs.spec.parameters import Parameter
from jobs.spec.spec import JobSpec, own_select
from tests.proofs import proofs_of
from texts.remedies import PROGRAM
from tools.reference.markdown import code, table

PAGE: Final = Path(__file__).parents[1] / "docs" / "reference" / "jobs.md"


@dataclass(frozen=True, slots=True)
class Effects:
    """How the effect of a kind of call is recognised; `twice` is the effect of a second call."""

    twice: str
    recognised: str
    verified: str


FIELDS: Final = Effects(
    "yes: a field that is set twice is set once",
    "its fields, which are as wanted",
    "its fields are read again",
)
ISSUED: Final = Effects(
    "yes: it is only another address",
    "the pool, and an address that is not the old one",
    "pool and address are read again",
)
RECALCULATED: Final = Effects(
    "yes: it is the same recalculation",
    "the date, or none, for the billing clears it when it is done",
    "the date is read again; none counts as done",
)
MARKED: Final = Effects(
    "no: it would be a second entry",
    "the mark of run and row in its comment",
    "entry, sum and comment are read again, the sums compared",
)
CONNECTED: Final = Effects(
    "no: it would be a second service", "the mark of run and row in its comment", "the service is read again"
)
PAID: Final = Effects(
    "no: it would be a second payment",
    "the mark of run and row in its comment; with `way=add_payment` nothing: a lost answer is left to a person",
    "entry, sum and comment are read again, the sums compared",
)
ONE_VALUE: Final = Effects(
    "no: it would be a second value", "the value, by subscriber and attribute", "the value is read again"
)
IMPORTED: Final = Effects(
    "no: each step is looked up before it is sent again",
    "contract number, login, name of a folder; the mark of run and row where there is none of these",
    "each step is read again, the sums compared; counts and sums by folder, tariff and operator",
)
GONE: Final = Effects("no", "it is gone", "it is looked for, and not found")
PASSWORD: Final = Effects(
    "yes: it is the same password", "nothing: it is sent again", "cannot be read back, and says so"
)
MADE_UP: Final = Effects(
    "yes: it is only another password, and the last one counts",
    "nothing: it is sent again",
    "cannot be read back, and says so",
)
LETTER: Final = Effects(
    "no: it would be a second letter",
    "nothing: a lost answer is left to a person",
    "cannot be read back, and says so",
)
READ: Final = Effects("yes: it changes nothing", "not needed", "not needed")
ANY: Final = Effects(
    "as its methods tell, or `--repeatable` says",
    "as its methods tell, or by the select of `--look-up`",
    "the same way; where there is none it cannot be read back, and says so",
)

_EFFECTS: Final[Mapping[str, Effects]] = MappingProxyType(
    {
        "balances": MARKED,
        "import": IMPORTED,
        "snat-pool": ISSUED,
        "ip-pool": ISSUED,
        "recalculate": RECALCULATED,
        "connect-service": CONNECTED,
        "attribute": ONE_VALUE,
        "delete-services": GONE,
        "delete-account": GONE,
        "payment": PAID,
        "password": PASSWORD,
        "random-password": MADE_UP,
        "password-recovery": LETTER,
        "call": ANY,
    }
)
"""By job; the other jobs read, or set fields."""


def effects_of(job: JobSpec) -> Effects:
    """How the effect of a job is recognised."""
    return _EFFECTS.get(job.name, FIELDS if job.writes else READ)


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


def page(jobs: Sequence[JobSpec] = tuple(JOBS.values())) -> str:
    """The whole page as Markdown."""
    return "\n".join([*_head(jobs), *(line for job in jobs for line in _section(job))]) + "\n"


def _head(jobs: Sequence[JobSpec]) -> Iterator[str]:
    yield "# Jobs"
    yield ""
    yield from _INTRODUCTION.splitlines()
    head = ["#", "job", "call", "may it be sent twice?", "recognised by", "verified by", "undone by"]
    tested = ["tested: plan, run, kill -9, resume, verify", "tested: undo", "tested: its own"]
    numbered = {number: job for job in jobs for number in job.recipes}
    rows = [_cells(str(number), numbered[number]) for number in sorted(numbered)]
    yield table([*head, *tested], [*rows, *(_cells("–", job) for job in jobs if not job.recipes)])
    yield from ("", "## Names of columns", "", *_COLUMNS.splitlines(), "")
    names = [(code(name), ", ".join(others)) for name, others in KNOWN.items()]
    yield table(["column", "found as well when it is called"], names)


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
    yield ""
    yield f"## {job.name}"
    yield ""
    yield _sentence(job.summary) + ("" if job.writes else " It only reads, and its answers become a file.")
    yield ""
    yield f"    {job.example}"
    yield ""
    yield f"- Rows: {needs(job)}."
    yield f"- Call: `{job.call}`"
    yield f"- Undo: {job.undo}."
    yield from _table("parameter", job.parameters)
    yield from _table("parameter of its undo", job.undo_parameters)
    if select := own_select(job):
        yield from ("", "```sql", select, "```")


def _table(title: str, parameters: Sequence[Parameter]) -> Iterator[str]:
    if not parameters:
        return
    rows = [(code(one.name), value(one), in_rows(one) or "–", one.help) for one in parameters]
    yield from ("", table([title, "value", "column of the rows", "what for"], rows))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
