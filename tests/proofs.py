"""Which tests prove what of each job: the table that docs/reference/jobs.md lists, by paths below `tests/`.

A job that writes by one call, and one that only reads, is proved by a test that goes through all jobs of its sort: it
needs no line here. `tests/tools/test_jobs.py` checks that every test is there, and that such a test goes through it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from jobs.catalogue.built_in import IMPORT
from jobs.spec.spec import JobSpec

WRITES: Final = "cli/test_life_of_a_run.py::test_planned_run_killed_resumed_verified_and_undone"
READS: Final = "cli/show/test_answer_files.py::test_every_job_that_reads_is_planned_killed_resumed_and_verified"

ANSWERS: Final = "jobs/catalogue/test_readings.py::test_a_job_that_reads"
SCENES: Final = "jobs/test_scenes.py::test_what_is_said_of_rows_at_each_stage"
THERE_AND_BACK: Final = "jobs/effects/test_there_and_back.py::test_there_and_back_again_though_answers_are_lost"

IMPORTED: Final = "cli/test_import.py::test_an_import_is_killed_resumed_verified_and_taken_back"
"""The way of an import, whose rows make several calls: no trial of one call fits it."""

_ALONE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "password": (
            "jobs/test_passwords.py::test_a_password_is_set_and_is_shown_as_wanted",
            "cli/test_passwords.py::test_passwords_that_are_given_stand_in_their_files_alone_whatever_is_killed",
        ),
        "random-password": (
            "jobs/test_passwords.py::test_a_password_is_made_up_and_goes_into_the_file_alone",
            "jobs/test_passwords.py::test_an_answer_that_is_lost_costs_another_password",
        ),
        "password-recovery": (
            "jobs/test_passwords.py::test_a_letter_is_asked_for_once_and_a_lost_one_is_left_to_a_person",
        ),
        "import": (
            "jobs/test_import_job.py::test_a_subscriber_is_made_step_by_step_and_then_found_as_wanted",
            "cli/test_import.py::test_corrected_rows_complete_what_is_missing_and_change_what_is_there_only_on_request",
        ),
        "call": (
            "cli/test_call.py::test_a_text_that_no_field_holds_is_refused_with_its_place",
            "cli/translate/test_loops.py::test_the_lines_make_the_same_calls",
        ),
    }
)
"""Tests of jobs that are of no sort: all that is a job's own."""

_BESIDES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "balances": ("cli/test_life_of_a_run.py::test_whatever_ends_its_processes_each_row_is_entered_once",),
        "delete-account": ("jobs/effects/test_effects.py::test_what_an_account_was_is_kept_for_a_person",),
        "payment": (
            SCENES,
            "cli/test_payments.py::test_a_payment_raises_the_balance_and_is_found_by_its_mark_where_its_answer_is_lost",
        ),
        "warning-threshold": (SCENES,),
        "tariff-threshold": (SCENES,),
        "cutoff-limit": (SCENES,),
        "operator": (SCENES,),
        "recalculate": (SCENES,),
        "next-charge": (SCENES,),
        "services-on-offer": ("jobs/catalogue/test_readings.py::test_what_is_offered_and_what_is_connected",),
        "blocked": ("jobs/catalogue/test_readings.py::test_who_is_blocked_comes_out_of_the_database",),
        "by-sms": ("jobs/catalogue/test_readings.py::test_a_number_is_read_however_people_write_it",),
    }
)
"""Tests of one job besides those of its sort."""

_UNDONE: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "balances": (
            THERE_AND_BACK,
            "cli/commands/test_undo.py::test_an_undo_killed_in_the_middle_is_taken_up_and_reverses_each_row_once",
        ),
        "warning-threshold": (
            "cli/commands/test_undo.py::test_undo_undo_of_undo_and_undo_again_give_each_state_as_it_was",
        ),
        "import": ("jobs/test_import_job.py::test_what_differs_is_changed_where_that_was_said",),
        "payment": (THERE_AND_BACK, SCENES),
        "connect-service": (THERE_AND_BACK,),
    }
)
"""Tests of one job's undo besides `WRITES`."""

NAMED: Final = frozenset({*_ALONE, *_BESIDES, *_UNDONE})
"""The jobs that the tables name."""


@dataclass(frozen=True, slots=True)
class Proofs:
    """The tests of one job.

    Those of the `whole_way` take it through plan, run, kill -9, resume and verify as real processes; those of its
    `undo` take it back, or show that it is told why nothing does; `own` are of this job or of its sort.
    """

    whole_way: tuple[str, ...]
    undo: tuple[str, ...]
    own: tuple[str, ...]


def proofs_of(job: JobSpec) -> Proofs:
    """The tests of a job."""
    besides = _BESIDES.get(job.name, ())
    if not job.writes:
        return Proofs((READS,), (), (ANSWERS, *besides))
    if job is IMPORT:
        return Proofs((IMPORTED,), _UNDONE[job.name], _ALONE[job.name])
    own = (*_ALONE.get(job.name, (THERE_AND_BACK,)), *besides)
    return Proofs((WRITES,), (WRITES, *_UNDONE.get(job.name, ())), own)
