"""What can be known of the steps of a job file before the first of them sends anything."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio.to_thread

from checkpoints.journal import Journal
from cli.commands import Ready, ready
from cli.errors import OPERATOR_ERRORS, CommandRefused, code_of
from cli.jobfile.reading import Step
from cli.jobfile.rounds import How, Move
from cli.running import NOTHING_SENT
from cli.sessions import Billing
from cli.texts import plain
from engine.job import Job
from jobs.job import check_given
from jobs.rows.input import STDIN


async def check_all(moves: Sequence[Move], billing: Billing, journal: Journal) -> Mapping[int, Ready]:
    """Open the rows of each step that is to begin: a file that is not there is told before anything is sent.

    Returns the steps whose rows come through standard input, by number, for it can be read but once. Rows that an
    earlier step is yet to write are left for their time. Raises `CommandRefused`, naming the step.
    """
    piped: dict[int, Ready] = {}
    makers: dict[Path, Step] = {}
    for move in moves:
        step = move.step
        if move.how is How.BEGUN:
            try:
                one = ready(step.order, billing, journal, step.output)
                await check_given(one.job)
                if not is_to_be_made(step, makers):
                    await anyio.to_thread.run_sync(_open, one.job)
            except OPERATOR_ERRORS as error:
                raise CommandRefused(f"{named(step)}: {error}\n{NOTHING_SENT}", code_of(error)) from error
            if step.order.rows.file == STDIN:
                piped[step.number] = one
        for path in files_made(step):
            if (other := makers.setdefault(path, step)).number != step.number:
                raise CommandRefused(
                    f"{named(step)} and {named(other)} both make {plain(path)}: name another file in one of them\n"
                    f"{NOTHING_SENT}"
                )
    return piped


def is_to_be_made(step: Step, makers: Mapping[Path, Step]) -> bool:
    """Whether the rows of the step are what an earlier one is yet to write."""
    file = Path(step.order.rows.file)
    return file.resolve() in makers and not file.exists()


def files_made(step: Step) -> tuple[Path, ...]:
    """The files that the step makes: of answers, and of what its job hands over."""
    named_by = [one.name for one in step.order.kind.parameters if one.makes_file]
    return tuple(
        Path(file).resolve()
        for file in (step.output, *(step.order.parameters[name] for name in named_by))
        if file is not None
    )


def named(step: Step) -> str:
    """The step, as people call it."""
    return f"step {step.number} ({step.order.kind.name})"


def _open(job: Job) -> None:
    """Ask the source for all that is known of it before its first row. Raises what it raises."""
    source = job.source
    _ = source.digest, source.header
