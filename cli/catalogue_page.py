"""`docs/jobs.md`, written from the catalogue itself: `python -m cli.catalogue_page --write`.

What the catalogue does not know stands here as data: how the effect of each kind of call is recognised and verified,
and the tests that carry a job out.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cli.commands.jobs import in_rows, needs, value
from cli.terminal.texts import PROGRAM
from jobs.catalogue.catalogue import JOBS
from jobs.catalogue.passwords import PASSWORDS
from jobs.spec.parameters import Parameter
from jobs.spec.spec import JobSpec
from jobs.spec.statements import own_select

PAGE: Final = Path(__file__).parents[1] / "docs" / "jobs.md"


@dataclass(frozen=True, slots=True)
class Effects:
    """How the effect of a kind of call is known; `twice` says what a second call would do."""

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
UNMARKED: Final = Effects(
    "no: it would be a second payment",
    "nothing: a lost answer is left to a person; with `recognise=sum`, the one newer operation of that sum",
    "the operation is read again, the sums compared",
)
ONE_VALUE: Final = Effects(
    "no: it would be a second value", "the value, by subscriber and attribute", "the value is read again"
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

_SETS: Final = (
    "jobs/catalogue/test_fields.py::test_there_and_back_again",
    "jobs/catalogue/test_fields.py::test_lost_answers",
    "jobs/catalogue/test_fields.py::test_what_is_as_wanted_is_never_sent",
)
_WRITES: Final = "cli/test_killed_jobs.py::test_planned_run_killed_resumed_verified_and_undone"
_READS: Final = "cli/output/test_answer_files.py::test_every_job_that_reads_is_planned_killed_resumed_and_verified"
_PASSWORDS: Final = "cli/test_passwords.py::test_every_job_on_passwords_is_planned_killed_resumed_and_verified"
_LOST: Final = "jobs/effects/test_lost_answers.py::test_a_lost_call_and_a_lost_undo_have_their_effect_once"
_ANSWERS: Final = "jobs/catalogue/test_readings.py::test_a_job_that_reads"


def _of_fields(*more: str) -> tuple[str, ...]:
    return (*_SETS, *more)


PROOFS: Final[Mapping[str, tuple[Effects, tuple[str, ...]]]] = MappingProxyType(
    {
        "balances": (
            MARKED,
            (
                "jobs/catalogue/test_balances.py::test_an_operation_is_entered_once_and_found_again",
                _LOST,
                "cli/test_killed.py::test_killed_again_and_again_every_row_is_entered_exactly_once",
            ),
        ),
        "warning-threshold": (
            FIELDS,
            _of_fields(
                "jobs/effects/test_set_fields.py::test_all_live_subscribers_of_a_folder",
                "cli/test_killed.py::test_a_repeatable_job_is_killed_and_resumed_as_well",
            ),
        ),
        "tariff-threshold": (FIELDS, _of_fields("jobs/catalogue/test_accounts.py::test_as_the_tariffs_have_it")),
        "cutoff-limit": (
            FIELDS,
            _of_fields("jobs/catalogue/test_accounts.py::test_the_sum_of_the_tariff_and_one_rouble"),
        ),
        "snat-pool": (ISSUED, _of_fields("jobs/catalogue/test_users.py::test_a_snat_pool")),
        "ip-pool": (
            ISSUED,
            _of_fields("jobs/catalogue/test_users.py::test_another_address_is_issued_and_taken_back"),
        ),
        "operator": (FIELDS, _of_fields("jobs/catalogue/test_subscribers.py::test_all_of_an_operator")),
        "recalculate": (
            RECALCULATED,
            _of_fields("jobs/catalogue/test_subscribers.py::test_a_recalculation_that_is_done_already_is_as_wanted"),
        ),
        "tariff-next": (FIELDS, _of_fields()),
        "tariff-now": (FIELDS, _of_fields()),
        "voluntary-block": (
            FIELDS,
            _of_fields("jobs/catalogue/test_subscribers.py::test_a_block_ends_after_it_begins"),
        ),
        "block-history": (
            FIELDS,
            _of_fields("jobs/catalogue/test_subscribers.py::test_a_block_ends_after_it_begins"),
        ),
        "service-operator": (FIELDS, _of_fields()),
        "next-charge": (FIELDS, _of_fields("jobs/catalogue/test_offers.py::test_a_service_without_a_manager")),
        "passed-to-1c": (FIELDS, _of_fields()),
        "connect-service": (
            CONNECTED,
            ("jobs/effects/test_create.py::test_services_are_connected_once_and_found_again", _LOST),
        ),
        "attribute": (
            ONE_VALUE,
            ("jobs/effects/test_create.py::test_attributes_are_given_and_taken_back", _LOST),
        ),
        "delete-services": (
            GONE,
            ("jobs/effects/test_delete.py::test_services_are_deleted_and_connected_anew", _LOST),
        ),
        "delete-account": (
            GONE,
            (
                "jobs/effects/test_delete.py::test_an_account_goes_with_what_points_to_it",
                "jobs/effects/test_lost_answers.py::test_a_lost_deletion_of_an_account",
            ),
        ),
        "payment": (
            UNMARKED,
            (
                "jobs/effects/test_pay.py::test_payments_are_entered_once_and_read_back",
                "jobs/effects/test_pay.py::test_a_lost_payment_is_left_to_a_person_unless_the_sum_tells",
                _LOST,
            ),
        ),
        "password": (
            PASSWORD,
            ("jobs/effects/test_set_password.py::test_a_password_is_set_and_is_shown_as_wanted",),
        ),
        "random-password": (
            MADE_UP,
            (
                "jobs/effects/test_set_password.py::test_a_password_is_made_up_and_goes_into_the_file_alone",
                "jobs/effects/test_set_password.py::test_an_answer_that_is_lost_costs_another_password",
            ),
        ),
        "password-recovery": (
            LETTER,
            (
                "jobs/effects/test_set_password.py::test_a_letter_is_asked_for_once_and_a_lost_one_is_left_to_a_person",
            ),
        ),
        "administrators": (READ, (_ANSWERS,)),
        "services-on-offer": (
            READ,
            (_ANSWERS, "jobs/effects/test_read_offers.py::test_what_is_offered_and_what_is_connected"),
        ),
        "session-account": (READ, (_ANSWERS,)),
        "blocked": (
            READ,
            (_ANSWERS, "jobs/catalogue/test_readings.py::test_who_is_blocked_comes_out_of_the_database"),
        ),
        "at-ip": (READ, (_ANSWERS,)),
        "by-sms": (
            READ,
            (_ANSWERS, "jobs/catalogue/test_readings.py::test_a_number_is_read_however_people_write_it"),
        ),
        "call": (
            ANY,
            (
                "cli/test_call.py::test_the_vendors_third_recipe_runs_verifies_and_is_taken_back",
                "cli/translate/test_run.py::test_the_same_effect_as_in_the_shell",
            ),
        ),
    }
)
"""Of each job: how its effect is known, and tests of what is its own, by their paths in `tests/`."""

_UNDONE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "balances": (
            "jobs/effects/test_reverse.py::test_opposite_sums_bring_everything_back_but_the_operations",
            "jobs/effects/test_reverse.py::test_after_storno_only_the_reversed_operations_are_left",
            "cli/commands/test_undo.py::test_an_undo_killed_in_the_middle_is_taken_up_and_reverses_each_row_once",
        ),
        "warning-threshold": (
            "cli/commands/test_undo.py::test_undo_undo_of_undo_and_undo_again_give_each_state_as_it_was",
        ),
        "payment": ("jobs/effects/test_pay.py::test_payments_are_taken_back",),
        "connect-service": ("jobs/effects/test_create.py::test_connected_services_are_deleted_and_connected_again",),
    }
)
"""Tests of the way back that are a job's own."""


def whole_way(job: JobSpec) -> tuple[str, ...]:
    """The tests that take the job through plan, run, kill -9, resume and verify, as real processes."""
    if not job.writes:
        return (_READS,)
    return (_WRITES, _PASSWORDS) if job in PASSWORDS else (_WRITES,)


def undone(job: JobSpec) -> tuple[str, ...]:
    """The tests that take the job back, or show that it is told why nothing does; none for one that only reads."""
    return (_WRITES, *_UNDONE.get(job.name, ())) if job.writes else ()


_INTRODUCTION: Final = f"""\
What there is to do. `{PROGRAM} jobs` shows the same, `{PROGRAM} jobs NAME` one of them; this page is
written from the catalogue by `make docs`. The numbers are those of the vendor's recipes, and of what integrators do
besides: 1 to 30 are all of them. Whatever else the REST API can do, [call](#call) does.

The last three columns name tests. Those of the first take a job through plan, run, kill -9 in the middle, resume and
verify, as real processes against the mock billing; those of the second take it back, and compare the whole database;
where there is no way back they show that `undo` says so. The third has what is a job's own.

`{PROGRAM} plan JOB …` says what would be done and sends nothing. `run JOB …` shows it, asks, and does it.
`verify RUN` reads back what the billing has now. `undo RUN` takes it back, and that can be undone too. The crash lab
(`{PROGRAM} selftest --job NAME`) carries out every job that writes.

"""


def page(jobs: Sequence[JobSpec] = tuple(JOBS.values())) -> str:
    """The whole page, Markdown."""
    return "\n".join([*_head(jobs), *(line for job in jobs for line in _section(job))]) + "\n"


def _head(jobs: Sequence[JobSpec]) -> Iterator[str]:
    yield "# Jobs"
    yield ""
    yield from _INTRODUCTION.splitlines()
    told = "# | job | call | may it be sent twice? | recognised by | verified by | undone by"
    yield f"| {told} | tested: plan, run, kill -9, resume, verify | tested: undo | tested: its own |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    numbered = {number: job for job in jobs for number in job.recipes}
    yield from (_line(str(number), numbered[number]) for number in sorted(numbered))
    yield from (_line("–", job) for job in jobs if not job.recipes)


def _line(number: str, job: JobSpec) -> str:
    effects, tests = PROOFS[job.name]
    cells = [
        number,
        f"[{job.name}](#{job.name})" + ("" if job.writes else ", reads"),
        f"`{job.call}`",
        effects.twice,
        effects.recognised,
        effects.verified,
        job.way_back,
        *(", ".join(map(_link, some)) or "–" for some in (whole_way(job), undone(job), tests)),
    ]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _link(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../tests/{path})"


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
    yield f"- Undo: {job.way_back}."
    yield from _table("parameter", job.parameters)
    yield from _table("parameter of its undo", job.undo_parameters)
    if select := own_select(job):
        yield from ("", "```sql", select, "```")


def _table(title: str, parameters: Sequence[Parameter]) -> Iterator[str]:
    if not parameters:
        return
    yield ""
    yield f"| {title} | value | column of the rows | what for |"
    yield "|---|---|---|---|"
    for one in parameters:
        cells = [f"`{one.name}`", value(one), in_rows(one) or "–", one.help]
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
