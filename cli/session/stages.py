"""The stage of a run: a word for scripts, which is the same in every language, and its sentence for people."""

from typing import Final

from checkpoints.records import Run, Stage, Totals
from cli.session.step_mark import holds_its_file
from cli.terminal.names import STAGE_NAMES
from texts.said import Said, said

RUNNING: Final = "running"
STOPPED: Final = "stopped"
DONE: Final = "done"
CLOSED: Final = "closed"
TAKEN_BACK: Final = "taken back"
ENDED: Final = frozenset({DONE, CLOSED, TAKEN_BACK})
"""The stages of a run for which nothing is left to send."""


def describe_stage(run: Run, totals: Totals, *, is_held: bool) -> Said:
    """The stage of a run, and whether it is paused there."""
    stage = stage_of(run, totals, is_held=is_held)
    waits = {RUNNING, STOPPED} if not holds_its_file(run) else {RUNNING, STOPPED, DONE}
    return (
        said("{stage}, paused", stage=STAGE_NAMES[stage]) if run.paused_at and stage in waits else STAGE_NAMES[stage]
    )


def stage_of(run: Run, totals: Totals, *, is_held: bool) -> str:
    """The stage of a run, in a word or two: the same on the screen and for scripts."""
    match run.stage:
        case _ if is_held:
            return RUNNING
        case _ if run.purged_at or run.stage is Stage.DISCARDED:
            return "purged" if run.purged_at else "given up"
        case _ if run.ended_at and (totals.taken_back or totals.unsent or run.frozen_at is None):
            return TAKEN_BACK if totals.taken_back else CLOSED
        case Stage.INTAKE | Stage.FROZEN:
            return "not approved" if run.frozen_at else "reading, stopped"
        case Stage.APPROVED if totals.count_where(open=True) or run.frozen_at is None:
            return STOPPED
        case _:
            return DONE


def ended_facts(run: Run) -> dict[str, object] | None:
    """How a run was ended for good, for scripts; None for one that was not."""
    if run.ended_at is None:
        return None
    return {"at": run.ended_at, "by": run.ended_by, "why": run.ended_why, "undone_by": run.undone_by}
