"""Handing a run in: it is made ready where it was typed, and sent by a worker."""

from collections.abc import Mapping

from checkpoints.errors import JournalError
from checkpoints.journal import Journal
from checkpoints.records import Run
from checkpoints.states import State
from cli.session.queue import TYPED, open_queue, queued_runs
from cli.session.run_view import UNSERVED
from cli.session.session import HandIn
from cli.settings.flags import Detaching
from cli.settings.settings import Settings
from cli.show.closing import Closing
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import labelled
from cli.terminal.screen import Screen
from jobs.spec.spec import JobSpec
from texts.remedies import command_line, setting
from texts.said import counted, said, text_of

ELSEWHERE: Mapping[str, str] = {
    "corrects": "--continue",
    "record": "--record",
    "page": "--page",
    "output": "--output",
    "save": "--save",
}
"""What needs the process that sends to be this one, by the names of the command's parameters."""


async def handing_in(detaching: Detaching, given: Mapping[str, str], settings: Settings, screen: Screen) -> HandIn:
    """What hands a run in. `given` are the parameters that were typed.

    Raises `CommandRefused`, `JournalAway` and `JournalUnreadable` where no run could be handed in.
    """
    if not detaching.detach:
        raise CommandRefused(
            "{priority} is the place in the queue of a run that is handed in with {detach}",
            priority=setting("priority"),
            detach=setting("detach"),
        )
    for name in ELSEWHERE:
        if name in given:
            raise CommandRefused(
                "{flag}: a run that is handed in with {detach} is sent by another process, perhaps on another "
                "machine; leave one of them out",
                flag=given[name],
                detach=setting("detach"),
            )
    # Nothing is begun that could not be handed in.
    async with open_queue(settings.journal.value):
        pass

    typed = {name: f"{settings.timeout.value:g}" if name == "timeout" else "" for name in TYPED if name in given}

    async def hand_in(run: Run, journal: Journal) -> Closing:
        try:
            totals = await journal.totals(run)
            async with open_queue(settings.journal.value) as queue:
                is_new = await queue.hand_in(run, detaching.priority, typed)
            queued = (await queued_runs(settings.journal.value)).get(run.name)
        except JournalError as error:
            raise CommandRefused(
                "run {run} is ready, and could not be handed in: {error}\nNothing was sent. Hand it in with\n"
                "{command}",
                Exit.STOPPED,
                run=run.name,
                error=text_of(error),
                command=command_line("resume", run.name, "--detach"),
            ) from error
        waiting = totals.count(State.PENDING)
        status = command_line("status", run.name)
        screen.result(
            counted(
                "Run {run} is handed in: a worker sends its {n} row. {status} shows how far it is.",
                "Run {run} is handed in: a worker sends its {n} rows. {status} shows how far it is.",
                waiting,
                run=run.name,
                status=status,
            )
            if is_new
            else said("Run {run} was handed in before, and waits for a worker: {status}", run=run.name, status=status)
        )
        if queued is not None and not queued.is_served:
            screen.say_always(labelled(said("caution:"), UNSERVED, "yellow"))
        return Closing(Exit.DONE, run.name, run.job, totals)

    return hand_in


def refuse_files_of(kind: JobSpec) -> None:
    """Raise `CommandRefused` for a job that writes a file, which would be on the machine of some worker."""
    for parameter in kind.parameters:
        if parameter.makes_file:
            raise CommandRefused(
                "{job} writes the file {parameter} where it is sent, and that may be any machine: run it without "
                "{detach}",
                job=kind.name,
                parameter=parameter.name,
                detach=setting("detach"),
            )
