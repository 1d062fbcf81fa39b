"""The way of one run, as `run` and `resume` both go it: read, shown, agreed to, sent, told.

not frozen ──▶ intake ──▶ preview ──▶ refused rows? ──▶ "Send these …?" ──▶ approved ──▶ pipeline ──▶ closing
                  │                        │                  │
                  └── input refused ───────┴── no ────────────┴──▶ discarded: nothing was sent
"""

from dataclasses import dataclass

import structlog

from checkpoints.errors import ForbiddenTransition, JournalError, RunHeld
from checkpoints.journal import Journal
from checkpoints.records import Run
from checkpoints.states import State
from cli.beginning import held
from cli.display import intake_shown, sending_shown
from cli.errors import CommandRefused
from cli.exits import Exit, exit_of
from cli.names import PROGRAM
from cli.options import Consent
from cli.preview import Plan, bad_rows, plan_of, preview
from cli.report import Closing, closing_screen, refused_export
from cli.screen import Screen
from cli.sessions import Billing, entered_again
from cli.signals import Interrupts
from cli.texts import plain, rows, shown
from engine.errors import InputRefused, LookUpFailed
from engine.intake import Intake
from engine.job import Job
from engine.pipeline import Pipeline
from engine.policy import Policy
from engine.progress import Progress
from engine.stop import Stop

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Means:
    """What a run is worked on with."""

    billing: Billing
    journal: Journal
    policy: Policy
    consent: Consent
    screen: Screen


@dataclass(frozen=True, slots=True)
class Sent:
    """What the sending of this process came to."""

    calls: int = 0
    seconds: float = 0.0
    error: str | None = None


class Going:
    """Takes one run, from wherever it stands, as far as it goes.

    `fresh` tells a run that was begun just now: when its rows cannot be read, it is given up, for the same command
    begins it again. One that is taken up is kept.
    """

    def __init__(self, run: Run, job: Job, means: Means, *, fresh: bool) -> None:
        self._run = run
        self._job = job
        self._means = means
        self._fresh = fresh
        self._journal = means.journal
        self._screen = means.screen
        self._stop = Stop()
        self._interrupts = Interrupts(self._stop, means.screen)

    async def go(self) -> Closing:
        """Work on the run until it ends, is refused, or is stopped; the closing screen is shown.

        Raises `CommandRefused` when nothing is sent and the run is given up, or somebody else works on it.
        """
        structlog.contextvars.bind_contextvars(run=self._run.name)
        try:
            with self._journal.lock(self._run):
                async with self._interrupts.heeded():
                    sent = await self._send() if await self._may_send() else Sent()
                    return await self._close(sent)
        except RunHeld as error:
            raise await held(self._run, self._journal, error) from error

    # ---- before anything is sent ----

    async def _may_send(self) -> bool:
        """Whether there is something to send and the operator agrees; False as well when it was interrupted."""
        if self._run.approved_at is not None:
            return True
        with self._interrupts.before_sending():
            if self._may_stream:
                await self._approve()
                return True
            if self._run.frozen_at is None:
                await self._take_in()
            return await self._agreed()
        return False

    @property
    def _may_stream(self) -> bool:
        """Whether sending may begin with the first frozen page: rows of a query, and nobody wants to see them."""
        consent = self._means.consent
        return self._run.frozen_at is None and consent.yes and not self._job.source.checked_whole

    async def _take_in(self) -> None:
        """Freeze the whole list. Raises `CommandRefused` when the input cannot be taken."""
        progress = Progress()
        progress.take_up(await self._journal.totals(self._run), intake_ended=False)
        intake = Intake(self._run, self._job, self._journal, progress, enter_again=entered_again(self._run))
        try:
            async with intake_shown(progress, self._screen, self._run.source):
                await intake.freeze_all()
        except InputRefused as error:
            raise await self._given_up(str(error)) from error
        except LookUpFailed as error:
            if self._fresh:
                raise await self._given_up(f"the rows could not be read to their end: {error}") from error
            raise CommandRefused(
                f"the rows could not be read to their end: {error}\nThe run stays as it is: "
                f"{PROGRAM} resume {self._run.name} goes on reading",
                Exit.STOPPED,
            ) from error
        await self._refresh()

    async def _agreed(self) -> bool:
        """Show what will be done, and ask. Raises `CommandRefused` when it is not to be done."""
        plan = await plan_of(self._run, self._journal)
        consent = self._means.consent
        # Whoever is asked must see what about, quiet or not.
        show = self._screen.say if consent.yes else self._screen.insist
        show(preview(plan, self._means.billing, self._journal, self._means.policy))
        if (plan.totals.refused or plan.duplicates) and not consent.skip_bad:
            raise await self._refused(plan)
        if not plan.to_send:
            await self._approve()
            self._screen.say("[bold]There is nothing to send.[/]")
            return False
        if not consent.yes:
            await self._ask(plan)
        await self._approve()
        return True

    async def _ask(self, plan: Plan) -> None:
        if not self._screen.can_ask:
            raise await self._given_up(
                f"nobody is there to ask: {plan.question}\nLook at it on a terminal, or give --yes to go ahead"
            )
        if not await self._screen.agrees(f"\n[bold]{shown(plan.question)}[/]"):
            raise await self._given_up("the answer was no")

    async def _refused(self, plan: Plan) -> CommandRefused:
        """Why rows of the input keep all of it from being sent, and the ways out."""
        if self._screen.voice.quiet and self._means.consent.yes:
            self._screen.insist(bad_rows(plan))
        good = (
            "Mend the input and run it again, or leave the refused rows out: "
            f"--skip-bad sends the good ones, {rows(plan.to_send)}"
            if plan.to_send
            else "Mend the input and run it again"
        )
        faults = [f"{rows(plan.totals.refused)} of the input cannot be taken"] if plan.totals.refused else []
        if plan.duplicates:
            faults.append(f"{rows(plan.duplicates)} of the input say again what an earlier row says")
        as_file = f"\nThe refused rows as a file: {refused_export(self._run)}" if plan.totals.refused else ""
        return await self._given_up(f"{'; '.join(faults)}.\n{good}.{as_file}")

    async def _given_up(self, why: str) -> CommandRefused:
        await self._journal.discard(self._run)
        return CommandRefused(f"{why}\nNothing was sent.")

    async def _approve(self) -> None:
        await self._journal.approve(self._run)
        await self._refresh()
        log.info("approved", rows=(await self._journal.totals(self._run)).count(State.PENDING))

    async def _refresh(self) -> None:
        self._run = await self._journal.run(self._run.name)

    # ---- sending, and after ----

    async def _send(self) -> Sent:
        """Let the pipeline run; a journal that fails stops it, and leaves it resumable."""
        progress = Progress()
        pipeline = Pipeline(self._run, self._job, self._journal, self._means.policy, progress, self._stop)
        self._interrupts.in_flight = lambda: progress.counts[State.SENDING]
        error: str | None = None
        with self._interrupts.while_sending():
            try:
                async with sending_shown(progress, self._screen):
                    await pipeline.migrate()
            except ForbiddenTransition:
                # A fault of ours, not of the journal's file.
                raise
            except JournalError as failed:
                error = str(failed)
                log.error("the journal failed", why=error)  # noqa: TRY400 - its own sentence says it all
        return Sent(progress.calls, progress.seconds, error)

    async def _close(self, sent: Sent) -> Closing:
        """Tell how it came out, from the journal."""
        await self._refresh()
        totals = await self._journal.totals(self._run)
        code = exit_of(totals, self._stop.kind, intake_ended=self._run.frozen_at is not None)
        if self._run.approved_at is None:
            # Only a signal leads here without an approval; all else gives the run up.
            code = Exit.INTERRUPTED
        elif sent.error and code is not Exit.INTERRUPTED:
            code = Exit.STOPPED
        stopped = self._stop.reason if code in {Exit.STOPPED, Exit.INTERRUPTED} else ""
        closing = Closing(
            exit=code,
            run=self._run.name,
            job=self._run.job,
            totals=totals,
            calls=sent.calls,
            seconds=sent.seconds,
            stopped=sent.error or stopped or None,
            error=sent.error,
        )
        log.info("ended", exit=int(code), calls=sent.calls, why=plain(closing.stopped or "nothing is left to send"))
        screen = await closing_screen(closing, self._run, self._journal)
        self._screen.result(screen, good=code is Exit.DONE)
        return closing
