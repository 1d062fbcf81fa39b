"""The commands to a run, whether or not a process works on it: from the command line and from the page."""

import os
import socket
from collections.abc import Mapping

from checkpoints.journal import Journal
from checkpoints.records import Run
from checkpoints.store import PATIENCE
from cli.session.control_client import ask, claim, hand_over
from cli.session.journal import unfinished
from cli.session.stages import holds_its_file, mark_of
from cli.terminal.exits import CommandRefused
from cli.terminal.texts import WHOLE, printable
from engine.control.address import sender, user_name
from engine.control.messages import ControlAnswer, ControlRequest, Through
from engine.pacing.policy import SETTINGS, check_names
from texts.remedies import command_line
from texts.said import Said, said, text_of


class RunCommands:
    """Gives commands to the runs of a journal, each by this user. Refused ones raise `CommandRefused`."""

    def __init__(self, journal: Journal, through: Through = "") -> None:
        self._journal = journal
        self._through = through

    async def pause(self, run: Run) -> ControlAnswer:
        """Pause a run; without a working process, only in its journal. Raises `JournalError`."""
        await self._require_controllable(run)
        answer = await self._ask(run, "pause")
        if answer is None:
            await self.refuse_elsewhere(run)
            await self._journal.pause(run, self._ourselves())
            paused = await self._paused_at_rest(await self._journal.run(run.name))
            answer = await self._note_at_rest(run, "pause", paused)
        return answer

    async def unpause(self, run: Run) -> ControlAnswer:
        """Let a run go on; without a working process, only in its journal. Raises `JournalError`."""
        await self._require_controllable(run)
        answer = await self._ask(run, "continue")
        if answer is None:
            await self.refuse_elsewhere(run)
            run = await self._journal.run(run.name)
            await self._journal.unpause(run)
            answer = await self._note_at_rest(run, "continue", await self._unpaused_at_rest(run))
        return answer

    async def change(self, run: Run, changes: Mapping[str, str]) -> ControlAnswer:
        """Change settings of a working run, all or none."""
        try:
            check_names(changes, SETTINGS)
        except ValueError as error:
            raise CommandRefused(text_of(error)) from error
        answer = await self._ask(run, "set", changes)
        if answer is None:
            raise await self.unreachable(run, said("there is nothing to set"), by_flag(run))
        return answer

    async def stop(self, run: Run) -> ControlAnswer:
        """Ask a run to stop."""
        answer = await self._ask(run, "stop")
        if answer is None:
            raise await self.unreachable(run, said("there is nothing to stop"))
        return answer

    async def _ask(self, run: Run, command: str, arguments: Mapping[str, str] | None = None) -> ControlAnswer | None:
        """Ask over the socket of the run, and through the journal where that does not reach it."""
        request = self._request(command, arguments)
        return await ask(run, self._journal, request) or await hand_over(run, self._journal, request)

    def _request(self, command: str, arguments: Mapping[str, str] | None = None) -> ControlRequest:
        return ControlRequest(command, arguments or {}, claim(), self._through)

    def _ourselves(self) -> str:
        return sender(user_name(os.geteuid()), os.getpid(), claim(), self._through)

    async def _note_at_rest(self, run: Run, command: str, answer: Said) -> ControlAnswer:
        """Note a command in the journal alone; a process that has resumed the run meanwhile is told too."""
        await self._journal.history.note_command(run, self._ourselves(), command, answer)
        return await ask(run, self._journal, self._request(command)) or ControlAnswer(answer)

    async def _paused_at_rest(self, run: Run) -> Said:
        waits = said("it sends nothing until\n  {command}", command=command_line("continue", run.name))
        if holder := await self._journal.holder(run):
            return said(
                "paused; {holder} does not listen at this moment and finds it in the journal: {waits}",
                holder=holder.sentence,
                waits=waits,
            )
        return said("paused; nobody works on it. Also when it is taken up, {waits}", waits=waits)

    async def _unpaused_at_rest(self, run: Run) -> Said:
        was = said("it is not paused any more") if run.paused_at else said("it was not paused")
        if holder := await self._journal.holder(run):
            return said(
                "{was}; {holder} does not listen at this moment and finds it in the journal",
                was=was,
                holder=holder.sentence,
            )
        command = await resume_command(run, self._journal)
        return said("{was}; nobody works on it. To go on:\n  {command}", was=was, command=command)

    # ---- refusals ----

    async def _require_controllable(self, run: Run) -> None:
        """Refuse a run that cannot be paused or continued."""
        if await self._journal.holder(run) or holds_its_file(run) or await unfinished(run, self._journal):
            return
        raise CommandRefused(_ended(run))

    async def refuse_elsewhere(self, run: Run) -> None:
        """Refuse a run on another machine that neither its control socket nor its journal leads to from here."""
        holder = await self._journal.holder(run)
        if holder and not self._journal.address.is_shared and holder.host != socket.gethostname():
            raise CommandRefused(
                said(
                    "run {run} is worked on by {holder}: type the command on {host}",
                    run=run.name,
                    holder=holder.sentence,
                    host=printable(holder.host),
                )
            )

    async def unreachable(self, run: Run, what: Said, instead: Said | None = None) -> CommandRefused:
        """The error for a command without a process to carry it out, with the way out."""
        await self.refuse_elsewhere(run)
        holder = await self._journal.holder(run)
        if holder and self._journal.address.is_shared:
            return CommandRefused(
                said(
                    "run {run} does not listen at this moment, and {what}: {holder} has not taken the command within "
                    "{seconds} s. The command is withdrawn, and has no effect later.\nThat process reads its rows, "
                    "waits for an answer to a question, looks something up, is stopped, or its machine has no way to "
                    "the journal. Try again when it sends, or end it on {host} with {command}",
                    run=run.name,
                    what=what,
                    holder=holder.sentence,
                    seconds=round(PATIENCE),
                    host=printable(holder.host),
                    command=f"kill -INT {holder.process}",
                )
            )
        if holder:
            return CommandRefused(
                said(
                    "run {run} does not listen at this moment, and {what}: {holder} reads its rows, waits for an "
                    "answer to a question, looks something up, or could not open its socket, which it said when it "
                    "began.\nTry again when it sends, or end it with {command}",
                    run=run.name,
                    what=what,
                    holder=holder.sentence,
                    command=f"kill -INT {holder.process}",
                )
            )
        if not await unfinished(run, self._journal):
            return CommandRefused(_ended(run))
        then = instead or said(
            "{status} shows where it stands, {resume} takes it up",
            status=command_line("status", run.name),
            resume=command_line("resume", run.name),
        )
        return CommandRefused(
            said("nobody works on run {run} at this moment, and {what}: {then}", run=run.name, what=what, then=then)
        )


async def resume_command(run: Run, journal: Journal) -> str:
    """The command that resumes an idle run; for one at its end, the command that continues its job file."""
    mark = mark_of(run)
    if mark is None or await unfinished(run, journal):
        return command_line("resume", run.name)
    return command_line("run", printable(mark.file, WHOLE))


def by_flag(run: Run) -> Said:
    """How a setting of a run is changed that nobody works on."""
    kept = " ".join(f"{name}={text}" for name, text in run.policy.items())
    return said(
        "it keeps {kept}, which a flag changes: {command}",
        kept=printable(kept) or said("nothing but the defaults"),
        command=command_line("resume", run.name, "--rate", "20", "--in-flight", "8"),
    )


def _ended(run: Run) -> Said:
    status = command_line("status", run.name)
    if run.discarded_at:
        return said(
            "run {run} was given up before anything was sent. {status} shows how it came out",
            run=run.name,
            status=status,
        )
    return said(
        "run {run} is at its end: nothing is left to send. {status} shows how it came out",
        run=run.name,
        status=status,
    )
