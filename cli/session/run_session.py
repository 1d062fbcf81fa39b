"""The course of one run, for `run` and `resume` alike: intake, preview, consent, sending, closing.

not frozen ──▶ intake ──▶ preview ──▶ refused rows? ──▶ "Send these …?" ──▶ approved ──▶ pipeline ──▶ closing
                  │                        │                  │
                  └── input refused ───────┴── no ────────────┴──▶ discarded: nothing was sent
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext

import anyio.to_thread
import structlog
from rich.text import Text

from checkpoints.errors import ForbiddenTransition, JournalError
from checkpoints.journal import Journal
from checkpoints.records import Run, Stage, Totals
from cli.session.control_client import ourselves
from cli.session.control_server import serve_control
from cli.session.events import RunReaders
from cli.session.journal import (
    BillingTaken,
    describe_pacing,
    locked,
    refuse_ended,
    require_undoable,
    store_policy,
)
from cli.session.last_line import require_whole
from cli.session.order import PLAN, why_unreadable
from cli.session.plans import departures
from cli.session.session import (
    FinishedRun,
    Sent,
    Session,
    finish_run,
    how_often,
    lacking,
    note_assumptions,
    shared_accounts_of,
    totals_at_end,
)
from cli.session.vaults import require_opened, wipe_secrets
from cli.show.closing import (
    Closing,
    accountants_list,
    first_refusals,
    leaves_unproven,
    refused_export,
    refused_rows,
    show_closing,
)
from cli.show.preview import (
    PreviewFacts,
    bad_rows,
    look_alike_rows,
    plan_of,
    preview,
    shared_accounts,
    unanswered,
    why_refused,
)
from cli.show.progress import show_intake, show_sending, tell_notes
from cli.show.steps import steps_of
from cli.terminal.exits import CommandRefused, Exit, HeldElsewhere, JournalLost, NothingSent, exit_of
from cli.terminal.layout import labelled, render
from cli.terminal.screen import Unanswered, is_unattended
from cli.terminal.signals import Interrupts
from cli.terminal.texts import printable
from cli.terminal.waiting import waiting
from engine.errors import InputRefused, LookUpDelayed, LookUpFailed
from engine.job import Job
from engine.pacing.holds import StopKind
from engine.pacing.open_files import TooFewFiles, provide_files, widest
from engine.pacing.policy import Policy
from engine.pacing.throttle import Gauge
from engine.pipeline.intake import Intake, Repeat
from engine.pipeline.live_policy import LivePolicy
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import Progress
from jobs.gauges import gauges_of
from jobs.rows.input import input_of_parameters
from jobs.shared_accounts import Question, in_sentences, question_of, settle
from jobs.spec.entries import SharedAccountsRule
from jobs.spec.undo_words import RUN, UNDO
from jobs.value_changes import overwritten
from texts.remedies import Remedy, command_line, setting
from texts.said import said, text_of

log = structlog.get_logger(__name__)


class RunSession:
    """Works on one run, from any stage, as far as possible.

    `fresh` marks a run that was just begun: when its rows cannot be read it is discarded, since the same command
    begins it again. A resumed run is kept. Items up to number `known`, by default all existing ones, were in the
    journal before this process.
    """

    def __init__(self, run: Run, job: Job, session: Session, *, fresh: bool, known: int | None = None) -> None:
        self._run = run
        self._job = job
        self._session = session
        self._fresh = fresh
        self._known = 0 if fresh else known
        self._journal = session.journal
        self._screen = session.screen
        self._stop = session.stop
        self._interrupts = Interrupts(self._stop, session.screen)
        self._live_policy = LivePolicy(Policy(), Progress(has_steps=job.effect.has_steps), self._stop)
        self._live_policy.listen(self._heed_rate)
        self._heed_rate()
        self._readers = RunReaders(run, self._journal, self._live_policy.progress, self._interrupts)
        self._gauges: Sequence[Gauge] = ()
        self._asking = False
        """Whether the operator was asked; what an interrupt leaves of a run depends on it."""

    async def run(self) -> Closing:
        """Work on the run until it ends, is refused, or is stopped; returns the closing, which was shown.

        A run that is handed in is made ready here, and sent by a worker. Raises `CommandRefused` when nothing is sent
        and the run is discarded, or another process works on it.
        """
        try:
            return await self._work()
        except BillingTaken as error:
            if not self._fresh:
                raise
            raise await self._discarded(error.why) from error

    async def _work(self) -> Closing:
        hand_in = self._session.hand_in
        structlog.contextvars.bind_contextvars(run=self._run.name)
        await require_opened(self._run, self._session.gateway.vault)
        # The page is the last to go: it shows how the run came out.
        async with (
            self._page(),
            self._interrupts.listening(),
            self._readers.following(self._session.readers),
            self._locked() as self._run,
            self._readers.working(self._run),
        ):
            await self._read_policy()
            with waiting(lambda: said("preparing run {run}", run=self._run.name)):
                may_send = await self._may_send_alone()
            if not may_send or hand_in is None:
                sent = await self._send() if may_send else Sent()
                try:
                    with waiting(lambda: said("closing run {run}", run=self._run.name)):
                        return await self._close(sent)
                except JournalError as error:
                    if not sent.error:
                        raise
                    raise JournalLost(sent.error, self._run.name) from error
        # A worker takes it up at once, and finds nobody working on it.
        return await hand_in(self._run, self._journal)

    def _page(self) -> AbstractAsyncContextManager[None]:
        opens = self._session.page
        return nullcontext() if opens is None else opens(self._run, self._journal)

    def _locked(self) -> AbstractAsyncContextManager[Run]:
        purpose = "run" if self._fresh else "resume"
        version, seconds = self._session.billing.health.version, self._session.settings.client.deadline
        if self._session.hand_in:
            # Another machine may be sending to this billing meanwhile.
            seconds = 0.0
        return locked(self._run, self._journal, purpose, billing=version, call_seconds=seconds)

    # ---- before anything is sent ----

    async def _read_policy(self) -> None:
        """Read the policy of the run; only now, under the lock, can no other process change it."""
        await self._refresh()
        # An undo or `close` may have had the lock before.
        refuse_ended(self._run, await self._journal.totals(self._run))
        policy = self._session.policy_of(self._run)
        try:
            provide_files(widest(policy))
        except TooFewFiles as error:
            why = said(
                "{error}; or give a smaller {in_flight} or {most}",
                error=error,
                in_flight=setting("in-flight"),
                most=setting("max-in-flight"),
            )
            raise (await self._discarded(why) if self._fresh else CommandRefused(why)) from error
        if not self._fresh and (missing := await lacking(self._run, self._session)):
            self._screen.say_always(labelled(said("caution:"), missing, "yellow"))
        self._live_policy.take(policy)
        self._gauges = await self._watched()
        if not self._fresh:
            self._screen.say(describe_pacing(self._run, policy))
        await store_policy(self._run, policy, self._journal)

    async def _watched(self) -> Sequence[Gauge]:
        """The gauges that are watched while the run sends. Raises `CommandRefused` when they cannot be read."""
        try:
            return await gauges_of(
                self._session.gateway,
                lambda: self._live_policy.policy,
                self._journal.path,
                ends_outside_hours=self._session.ends_outside_hours,
            )
        except InputRefused as error:
            why = text_of(error)
            raise (await self._discarded(why) if self._fresh else CommandRefused(why)) from error

    async def _may_send_alone(self) -> bool:
        """The same as `_may_send`, while nothing sends the run that an undo takes back."""
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(undone_held(self._run, self._journal))
            except CommandRefused as error:
                if isinstance(error, HeldElsewhere) and not self._fresh:
                    raise
                raise await self._discarded(text_of(error)) from error
            return await self._may_send()

    async def _may_send(self) -> bool:
        """Whether there is something to send and the operator agrees; also False when interrupted."""
        try:
            with self._interrupts.before_sending():
                await self._try_out()
                if self._run.approved_at is not None:
                    return True
                if await self._may_stream():
                    self._caution(self._screen.say_always)
                    await self._approve()
                    return True
                if self._run.frozen_at is None:
                    await self._require_whole()
                    await self._take_in()
                await self._require_current()
                return await self._agreed()
        except Unanswered as unanswered:
            self._stop.request(StopKind.INTERRUPTED, text_of(unanswered))
        if self._asking and self._fresh:
            # The same command asks again: a half run that nobody has agreed to is not left behind.
            await self._give_up()
        return False

    async def _try_out(self) -> None:
        """Try the job's look-ups. Raises `CommandRefused` where they are not possible."""
        try:
            await self._job.try_out()
        except LookUpDelayed as error:
            if self._fresh:
                raise await self._unreadable(error) from error
            # Rows in doubt are looked up first, and that waits for the billing.
            log.warning("what the run will ask could not be tried", why=str(error))
        except (InputRefused, LookUpFailed) as error:
            why = text_of(error)
            raise (await self._discarded(why) if self._fresh else CommandRefused(why)) from error

    async def _may_stream(self) -> bool:
        """Whether sending may begin with the first saved page: rows of a query, without a preview.

        Raises `CommandRefused` when the rows cannot be read at all.
        """
        if self._run.frozen_at is not None or not self._session.consent.yes or PLAN in self._run.parameters:
            return False
        if self._session.hand_in or shared_accounts_of(self._run) is not None:
            # A rule for several rows of one account needs all of its rows.
            return False
        try:
            return not await anyio.to_thread.run_sync(lambda: self._job.source.is_read_whole)
        except (InputRefused, LookUpFailed) as error:
            raise await self._unreadable(error) from error

    async def _require_whole(self) -> None:
        """Ask whether a last line that has no end is whole, before it is read. Raises `CommandRefused`."""
        file = input_of_parameters(self._run.parameters).file
        asking, self._asking = self._asking, True
        try:
            if await require_whole(self._job, file, self._session.consent, self._screen):
                await self._journal.history.note_command(self._run, ourselves(), "last-line", said("it is whole"))
        except (InputRefused, LookUpFailed) as error:
            raise await self._unreadable(error) from error
        except NothingSent as error:
            raise await self._discarded(error.why) from error
        self._asking = asking

    def _heed_rate(self) -> None:
        """Apply the run's rate to its reads too, also after a change."""
        self._session.gateway.rate.per_second = self._live_policy.policy.rate

    async def _take_in(self) -> None:
        """Read and save the whole list. Raises `CommandRefused` when the input cannot be taken."""
        progress = Progress(has_steps=self._job.effect.has_steps)
        progress.take_up(await self._journal.totals(self._run), intake_ended=False)
        intake = Intake(
            self._run,
            self._job,
            self._journal,
            progress,
            enter=how_often(self._run),
            least_free=lambda: self._live_policy.policy.min_disk,
        )
        try:
            with show_intake(progress, self._run.source, lambda: self._job.rows_seen):
                await intake.freeze_all()
        except (InputRefused, LookUpFailed) as error:
            raise await self._unreadable(error) from error
        await tell_notes(self._job.source, self._screen)
        await self._refresh()

    async def _require_current(self) -> None:
        """Refuse the list of an undo that is not that of what stands of its run any more. Raises `CommandRefused`."""
        if self._run.job != UNDO:
            return
        undone = await self._journal.run(self._run.parameters[RUN])
        if await self._journal.is_out_of_date(self._run, undone):
            raise await self._discarded(
                said(
                    "run {run} has other rows in the billing than when this undo was listed: type {command} again",
                    run=undone.name,
                    command=Remedy("undo", undone.name),
                )
            )

    async def _unreadable(self, error: InputRefused | LookUpFailed) -> CommandRefused:
        """The error for unreadable rows; a resumed run is kept unless the input itself is wrong."""
        if isinstance(error, InputRefused):
            return await self._discarded(text_of(error))
        if self._fresh:
            return await self._discarded(why_unreadable(error, self._run))
        return CommandRefused(
            said(
                "the rows could not be read to their end: {error}\nThe run stays as it is: {command} goes on reading",
                error=error,
                command=command_line("resume", self._run.name),
            ),
            Exit.STOPPED,
        )

    async def _agreed(self) -> bool:
        """Show the preview, and ask. Raises `CommandRefused` when the run must not be sent."""
        question = await self._shared_accounts()
        # Nothing is read between this comparison and the sending, so the compared list is the one that is sent.
        if departs := await departures(self._run, self._journal, self._session.billing):
            raise await self._discarded(departs)
        plan = await plan_of(self._run, self._job, self._journal)
        consent = self._session.consent
        # An operator who is asked must see the preview, even with --quiet.
        show = self._screen.say if consent.yes else self._screen.say_always
        show(preview(plan, self._session.billing.target, self._journal.name, self._live_policy.policy))
        self._caution(show)
        if plan.bad and not consent.skip_bad:
            raise await self._refused(plan)
        if question.accounts:
            show(shared_accounts(question, self._session.gateway.profile))
            plan = await self._apply_rule(question)
        if not plan.to_send:
            await self._approve()
            self._screen.say(render(said("There is nothing to send."), "bold"))
            return False
        if not consent.yes:
            await self._ask(plan)
        elif plan.look_alikes.rows and how_often(self._run) is not Repeat.AGAIN:
            if self._screen.voice.quiet:
                self._screen.say_always(
                    look_alike_rows(plan, said("{command} lists them", command=command_line("plan")))
                )
            raise await self._unattended(unanswered(plan))
        await self._approve(plan.to_send)
        return True

    def _caution(self, show: Callable[[Text], None]) -> None:
        for caution in self._job.cautions:
            show(labelled(said("caution:"), caution, "yellow"))

    async def _shared_accounts(self) -> Question:
        """Apply the rule for several opening balances of one account; returns what is still undecided."""
        profile = self._session.gateway.profile
        if (meant := shared_accounts_of(self._run)) is not None:
            await settle(self._run, self._journal, profile, meant)
        return await question_of(self._run, self._journal, profile)

    async def _apply_rule(self, question: Question) -> PreviewFacts:
        """Ask for the rule for such rows, and apply it. Raises `CommandRefused` where no rule is given."""
        profile = self._session.gateway.profile
        with self._screen.keyboard(input_of_parameters(self._run.parameters).file) as keyboard:
            if keyboard is None or self._session.consent.yes:
                raise await self._discarded(in_sentences(question, profile))
            self._asking = True
            answer = await self._screen.chooses(said("What is meant: sum, last or refuse?"), keyboard)
        if answer not in {SharedAccountsRule.SUM, SharedAccountsRule.LAST}:
            given = printable(answer) or said("nothing")
            raise await self._discarded(said("the answer was {answer}: these rows are refused", answer=given))
        await settle(self._run, self._journal, profile, SharedAccountsRule(answer))
        return await plan_of(self._run, self._job, self._journal)

    async def _ask(self, plan: PreviewFacts) -> None:
        file = input_of_parameters(self._run.parameters).file
        with self._screen.keyboard(file) as keyboard:
            if keyboard is None:
                raise await self._unattended(is_unattended(plan.question, file))
            self._asking = True
            if not await self._screen.agrees_to_send(plan.question, keyboard):
                raise await self._discarded(said("the answer was no"))

    async def _unattended(self, why: str) -> CommandRefused:
        """The error for a question that nobody can answer; a run that was kept for an answer is kept on."""
        if self._fresh:
            return await self._discarded(why)
        return CommandRefused(
            said("{why}\nNothing was sent. The run stays as it is, and waits for the answer", why=why)
        )

    async def _refused(self, plan: PreviewFacts) -> CommandRefused:
        """The error for an input with refused rows, and the ways out."""
        if self._screen.voice.quiet and self._session.consent.yes:
            self._screen.say_always(bad_rows(plan, refused_export(self._run)))
        return await self._discarded(why_refused(plan, refused_export(self._run)))

    async def _give_up(self) -> None:
        await self._journal.discard(self._run)
        await wipe_secrets(self._run, self._journal)

    async def _discarded(self, why: str) -> NothingSent:
        await self._give_up()
        return NothingSent(why)

    async def _approve(self, rows: int = 0) -> None:
        """Approve the run, with the rows that are to be sent as far as they are read."""
        await self._journal.approve(self._run)
        await note_assumptions(self._run, self._job, self._journal)
        await self._refresh()
        log.info("approved", rows=rows)

    async def _refresh(self) -> None:
        self._run = await self._journal.again(self._run)

    # ---- sending, and after ----

    async def _send(self) -> Sent:
        """Run the pipeline; a failing journal stops it, and the run can be resumed."""
        live_policy, progress = self._live_policy, self._live_policy.progress
        known = await self._journal.last_number(self._run) if self._known is None else self._known
        await self._readers.begin(self._run, taken_up=not self._fresh)
        pipeline = Pipeline(
            self._run,
            self._job,
            self._journal,
            live_policy,
            gauges=self._gauges,
            enter=how_often(self._run),
            known=known,
            trust_journal=self._session.consent.trust_journal,
        )
        self._interrupts.in_flight = lambda: progress.sending().in_flight
        error: str | None = None
        with self._interrupts.while_sending():
            try:
                async with (
                    serve_control(self._run, self._journal, live_policy, self._screen),
                    show_sending(progress, self._screen, self._run.name),
                ):
                    await pipeline.migrate()
                # Rows that are sent while they are read were not there yet when the run was approved.
                await note_assumptions(self._run, self._job, self._journal)
            except ForbiddenTransition:
                # An internal error, not a failure of the journal's file.
                raise
            except JournalError as failed:
                error = text_of(failed)
                log.error("the journal failed", why=error)  # noqa: TRY400 - the error's sentence is complete
        return Sent(progress.calls, progress.seconds, progress.holds.seconds, error)

    async def _close(self, sent: Sent) -> Closing:
        """The outcome, read from the journal only to show it: another process may hold the run's lock by now."""
        self._run = await self._journal.run(self._run.name)
        totals = await totals_at_end(self._run, self._journal)
        code = exit_of(totals, self._stop.kind, intake_ended=self._run.frozen_at is not None)
        if self._run.approved_at is None:
            # Only a signal leads here without an approval; all other ways discard the run.
            code = Exit.INTERRUPTED
        elif sent.error and code is not Exit.INTERRUPTED:
            code = Exit.STOPPED
        ending = FinishedRun() if sent.error else await self._finish(totals)
        if ending.trouble and code is not Exit.INTERRUPTED:
            code = Exit.STOPPED
        unproven = await self._unproven()
        if (ending.missing or (leaves_unproven(self._run) and unproven)) and code is Exit.DONE:
            code = Exit.REJECTED
        error = sent.error or ending.trouble
        stopped = self._stop.reason if code in {Exit.STOPPED, Exit.INTERRUPTED} else ""
        if self._run.stage is Stage.DISCARDED:
            stopped = said("{why}; nothing was sent, and the run is given up", why=stopped)
        closing = Closing(
            exit=code,
            run=self._run.name,
            job=self._run.job,
            totals=totals,
            calls=sent.calls,
            seconds=sent.seconds,
            held=sent.held,
            stopped=error or stopped or None,
            error=error or ending.missing,
            trusted_journal=self._session.consent.trust_journal,
            imported=await steps_of(self._run, self._journal),
            stopped_by=self._stop.kind if stopped else None,
            again_in=self._stop.again if stopped else None,
            unproven=unproven,
            overwritten=await overwritten(self._run, self._journal),
        )
        if totals.refused and self._was_streamed:
            # There was no preview, so the refusals were not shown yet.
            first = await first_refusals(self._run, self._journal)
            self._screen.result(refused_rows(first, totals.refused, refused_export(self._run)), good=False)
        log.info(
            "ended",
            exit=int(code),
            calls=sent.calls,
            why=printable(str(closing.stopped or "nothing is left to send")),
        )
        screen = await show_closing(closing, self._run, self._journal)
        self._screen.result(screen, good=code is Exit.DONE and accountants_list(self._run, totals) is None)
        if ending.shown is not None:
            self._screen.result(ending.shown)
        self._readers.close(closing, self._run, self._stop)
        return closing

    async def _unproven(self) -> int:
        """The rows that may be somebody else's: of this run, or of the run that it takes back."""
        taken = self._run.parameters.get(RUN) if self._run.job == UNDO else None
        return await self._journal.unproven(self._run if taken is None else await self._journal.run(taken))

    @property
    def _was_streamed(self) -> bool:
        """Whether sending began before the list was complete."""
        approved, frozen = self._run.approved_at, self._run.frozen_at
        return approved is not None and (frozen is None or approved < frozen)

    async def _finish(self, totals: Totals) -> FinishedRun:
        """Finish a run that has nothing left to send."""
        if self._run.approved_at is None or self._run.frozen_at is None or totals.count_where(open=True):
            return FinishedRun()
        return await finish_run(self._run, self._journal, self._session.settings.catalogue, totals, anew=True)


@asynccontextmanager
async def undone_held(undo: Run, journal: Journal) -> AsyncIterator[None]:
    """Hold the run that an undo takes back, so that nothing sends it until the undo is approved, which ends it.

    Does nothing for another run, and for an undo that is approved. Raises `CommandRefused`.
    """
    if undo.job != UNDO or undo.approved_at:
        yield
        return
    undone = await journal.run(undo.parameters[RUN])
    async with locked(undone, journal, "undo"):
        await require_undoable(undone, journal, undo)
        yield
    if (undone := await journal.run(undone.name)).ended_at:
        await wipe_secrets(undone, journal)
