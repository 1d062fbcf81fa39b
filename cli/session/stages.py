"""The stage of a run: a word for scripts, which is the same in every language, and its sentence for people."""

from typing import Final

from checkpoints.records import Run, Stage, Totals
from cli.session.step_mark import holds_its_file
from cli.terminal.names import STAGE_NAMES
from texts.said import Said, said

RUNNING: Final = "running"
STOPPED: Final = "stopped"
DONE: Final = "done"


def describe_stage(run: Run, totals: Totals, *, is_held: bool) -> Said:
    """The stage of a run, and whether it is paused there."""
    stage = stage_of(run, totals, is_held=is_held)
    waits = {RUNNING, STOPPED} if not holds_its_file(run) else {RUNNING, STOPPED, DONE}
    return (
        said("{stage}, paused", stage=STAGE_NAMES[stage]) if run.paused_at and stage in waits else STAGE_NAMES[stage]
    )


def stage_of(run: Run, totals: Totals, *, is_held: bool) -> str:
    """The stage of a run, in a word or two: the same on the screen and for scripts."""
    if is_held:
        return RUNNING
    match run.stage:
        case _ if run.purged_at or run.stage is Stage.DISCARDED:
            return "purged" if run.purged_at else "given up"
        case Stage.INTAKE:
            return "reading, stopped"
        case Stage.FROZEN:
            return "not approved"
        case Stage.APPROVED if totals.count_where(open=True) or run.frozen_at is None:
            return STOPPED
        case _:
            return DONE
