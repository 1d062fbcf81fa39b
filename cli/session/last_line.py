"""The last line of a text without its end, where all others have one: a person says whether it is whole."""

from collections.abc import Sequence
from functools import partial

import anyio.to_thread

from cli.settings.flags import Consent
from cli.terminal.exits import NothingSent
from cli.terminal.layout import labelled
from cli.terminal.screen import Screen
from cli.terminal.texts import printable
from engine.job import Job
from engine.rows import STDIN, LastLine
from texts.said import Said, said

_LONGEST = 200


async def require_whole(job: Job, file: str, consent: Consent, screen: Screen) -> bool:
    """Ask once whether the last lines without an end are whole; False where there are no such lines.

    Raises `NothingSent` where they are not, and where nobody can say so; and what `Job.unended` raises.
    """
    if not (lines := await unended(job)):
        return False
    told = tuple(map(describe_last, lines))
    if file == STDIN:
        raise NothingSent(
            said(
                "{lines}. What writes into standard input may have been stopped: let it end its last line, and pipe "
                "it in again",
                lines=told,
            )
        )
    why = said(
        "{lines}. If it was cut, an amount may be too small. If it is whole, end it: {command}",
        lines=told,
        command=f"sed -i -e '$a\\' {printable(lines[0].file)}",
    )
    with screen.keyboard(file) as keyboard:
        if keyboard is None or consent.yes:
            raise NothingSent(why)
        question = said("{lines}. Is it whole?", lines=told)
        if not await screen.agrees(question, keyboard):
            raise NothingSent(said("the answer was no"))
    return True


async def unended(job: Job) -> Sequence[LastLine]:
    """The last lines of a job's files that may have been cut. Raises what `Job.unended` raises."""
    return await anyio.to_thread.run_sync(partial(getattr, job, "unended"))


async def caution_unended(job: Job, screen: Screen) -> None:
    """Tell of last lines that may have been cut, where nothing is sent."""
    for one in await unended(job):
        screen.say_always(labelled(said("caution:"), describe_last(one), "yellow"))


def describe_last(one: LastLine) -> Said:
    """A last line and what is wrong with it."""
    return said(
        "the last line of {file} has no end, as all others have: {line!r}",
        file=printable(one.file),
        line=printable(one.text, _LONGEST),
    )
