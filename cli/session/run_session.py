"""The course of one run, from its order to its closing, for all commands that send.

stage     what it does                                          what ends the run here                        exit
begin     creates the run in the journal                        it is under way, a file is in the way            2
lock      keeps out other processes, machines and journals      another one sends to the billing                 2
policy    takes limits and gauges                               too few open files, an unreadable gauge          2
try out   asks the billing what the run will ask                a look-up is refused                             2
intake    reads and saves all rows, or leaves them to `send`    a file is cut or unreadable; the billing is away 2, 3
consent   compares with the plan, previews, asks                other rows than planned, refused rows, "no"      2
send      runs the pipeline, or hands the run in to a worker    a stop, a signal, the journal fails        3 or 130
close     finishes files, wipes secrets, shows the outcome      the end                                   `exit_of`

Nothing is sent until the run is approved. What ends it before that as `NothingSent` discards it; what ends it as
another `CommandRefused` discards a fresh run, since the same command begins it again, and keeps one that was resumed.
A signal before the approval ends it with 130. Whatever has begun to send goes on by `resume`.
"""

import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from itertools import pairwise
from operator import attrgetter
from pathlib import Path
from types import MappingProxyType
from typing import Final

import anyio
import anyio.from_thread
import anyio.to_thread
import structlog
from rich.console import RenderableType
from rich.text import Text

from checkpoints.errors import ForbiddenTransition, JournalError, RunGivenUp, RunHeld
from checkpoints.journal import Journal
from checkpoints.records import Item, NewRun, Run, Stage, Totals
from checkpoints.states import State, states_where
from cli.session.comparison import FEW, MOST_SPANS, pace_of
from cli.session.control_client import serve_control
from cli.session.events import RunReaders
from cli.session.journal import BillingTaken, locked, ourselves, refuse_ended, remembered
from cli.session.order import (
    PLAN,
    Order,
    departures,
    gone_since,
    identity,
    in_billing,
    refuse_last,
    require_opened,
    shared_accounts_of,
    vault_in,
    why_unreadable,
    wipe_secrets,
)
from cli.session.session import Invocation, Session, open_session
from cli.settings.flags import Consent
from cli.show.closing import (
    Closing,
    accountants_list,
    bad_export,
    first_refusals,
    leaves_unproven,
    refused_rows,
    run_again,
    show_closing,
    steps_of,
)
from cli.show.files import ANSWERS, OutputFile, checked, first_rows, reads, write_answers
from cli.show.preview import (
    LOOKED_AT,
    DeltaFacts,
    PreviewFacts,
    doubtful_rows,
    facts_of,
    number_and_sum,
    preview,
    shared_accounts,
    unanswered,
    why_refused,
)
from cli.show.progress import show_intake, show_sending, tell_notes
from cli.terminal.exits import CommandRefused, Exit, HeldElsewhere, NothingSent, code_of, exit_of
from cli.terminal.layout import labelled, render
from cli.terminal.screen import Screen, Unanswered, is_unattended
from cli.terminal.signals import Interrupts
from cli.terminal.streams import bytes_read, waiting
from cli.terminal.texts import WHOLE, from_bytes, printable
from engine.errors import EngineError, InputRefused, LookUpDelayed, LookUpFailed, LookUpRefused
from engine.job import STDIN, Job, LastLine
from engine.pacing.holds import StopKind
from engine.pacing.policy import (
    ALL,
    Policy,
    TooFewFiles,
    describe_policy,
    describe_settings,
    policy_with,
    provide_files,
    to_settings,
    widest,
)
from engine.pacing.throttle import LAST_RESERVE, Gauge
from engine.pipeline.foreign_entries import ForeignEntries
from engine.pipeline.intake import Intake, Repeat, Since
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.progress import LivePolicy, Progress
from jobs.access.objects import replaces_balance
from jobs.access.vault import Vault
from jobs.accounts import in_sentences, settle
from jobs.catalogue.catalogue import Catalogue
from jobs.effects.factory import Finish, finish_of
from jobs.gauges import gauges_of
from jobs.job import assigned_of, build
from jobs.rows.input import how_often, input_of_parameters, since_of
from jobs.runs import (
    RunRefused,
    half_done_undos,
    refuse_half_undone,
    refuse_overtaken,
    require_undoable,
    unfinished,
)
from jobs.spec.spec import DECLARATION
from jobs.spec.words import ANSWER_FILE_PARAMETER, RUN, SINCE, UNDO, SharedAccountsRule
from jobs.value_changes import balances_of, overwritten
from texts.said import Said, command_line, counted, in_lines, percent, said, setting, text_of

log = structlog.get_logger(__name__)

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_LEAST_FREE: Final = int(LAST_RESERVE * Policy().min_disk)
"""Bytes that a plan leaves free: it holds nothing that a run would stop for."""
_LONGEST: Final = 200
"""Characters of a last line that are shown."""
_IN_EFFECT: Final = states_where(in_effect=True)
_SENT: Final = frozenset({State.PENDING, *states_where(counts_money=True)})
"""States of rows that are to be sent, or were."""


# ---- begin ------------------------------------------------------------------------------------------------------


async def begin(order: Order, told: Invocation, *, output: Path | None = None, plan: str | None = None) -> Closing:
    """Begin a run and work on it; `output` is the file for the answers of a job that reads.

    With a `plan` the run sends exactly what that has planned, or nothing. Raises `CommandRefused`, `InputRefused`,
    `BillingError` and `JournalError`; nothing was sent then.
    """
    files = check_files(order, output)
    async with open_session(told) as session:
        return await start_run(prepare(order, files, session), session, {} if plan is None else {PLAN: plan})


@dataclass(frozen=True, slots=True)
class Ready:
    """A prepared run: its job, its vault, and the parameters of its answer file."""

    order: Order
    job: Job
    vault: Vault
    files: Mapping[str, str]


def prepare(order: Order, files: Mapping[str, str], session: Session) -> Ready:
    """Prepare the run of an order whose `files` are checked, without reading its rows.

    Raises `ParameterRefused` for a job that cannot be set up, and `VaultLocked` for one whose secrets need a key.
    """
    vault = vault_in(session.journal, order.batch, session.settings) if order.kind.keeps_secrets else Vault()
    if order.secrets:
        vault.require_key()
    job = build(order.kind, session.with_vault(vault).gateway, order.parameters, order.rows)
    return Ready(order, job, vault, files)


async def start_run(ready: Ready, session: Session, remembered: Mapping[str, str]) -> Closing:
    order, target = await in_billing(ready.order, session)
    await ready.job.check()
    recorded = {**order.to_parameters(), **ready.files, **remembered}
    created = await create_run(ready.job, recorded, target, session)
    if ready.order.secrets:
        # The run keeps the vault's key first, so that its secrets are wiped in any case.
        await anyio.to_thread.run_sync(ready.vault.keep, ready.order.secrets)
    return await RunSession(created, ready.job, session.with_vault(ready.vault), fresh=True).run()


def check_files(order: Order, output: Path | None) -> dict[str, str]:
    """The run's parameters for its answer file. Raises `CommandRefused` for files that cannot be created.

    An existing file is refused, so that none is lost.
    """
    kept = checked(order.kind, output) if output else {}
    files = [(f"-o {path}", Path(path)) for path in kept.values()]
    for one in order.kind.parameters:
        if one.makes_file:
            path = order.parameters[one.name]
            files.append((str(setting("set", f"{one.name}={path}")), Path(path)))
    for flag, file in files:
        if file.exists():
            raise CommandRefused("{flag}: this file is there already; name another one, or take it away", flag=flag)
        if not file.parent.is_dir():
            raise CommandRefused("{flag}: there is no folder {folder}", flag=flag, folder=file.parent)
    return kept


async def create_run(job: Job, recorded: Mapping[str, str], target: str, session: Session) -> Run:
    """Create a new run in the journal, unless the same run is already under way.

    `recorded` is what the journal keeps to rebuild the job, `target` how it names the billing. Raises
    `CommandRefused` when the run is under way or its declaration has changed, `InputRefused` when the input cannot be
    read at all.
    """
    settings, journal = session.settings, session.journal
    badge = settings.profile.badge.to_parameters() if settings.profile else {}
    known = remembered(settings, session.billing.one.identity)
    new = await new_run(job, {**recorded, **badge, **known}, target, session.pacing.given)
    before = [run for run in await journal.runs() if run.job == new.job and run.target == new.target]
    kept = [run for run in before if not run.discarded_at]
    if DECLARATION in new.parameters and kept and (spec := settings.catalogue.get(new.job)) is not None:
        # Rows of the last run could be entered once more by what is declared now.
        settings.catalogue.check_unchanged(kept[-1], spec)
    for run in before:
        if run.source != new.source or not await unfinished(run, journal):
            continue
        same = identity(run.parameters) == identity(new.parameters) and run.source_digest == new.source_digest
        holder, left = await journal.holder(run), (await journal.totals(run)).count_where(open=True)
        command = command_line("resume", run.name)
        if same and (holder or run.approved_at):
            then = said("Go on with it: {command}", command=command)
            if holder:
                then = said("Wait for it: at this moment {holder} works on it", holder=holder.sentence)
            raise CommandRefused(
                counted(
                    "run {run} has begun just this and is not at its end: {n} row[s] left.\n{then}",
                    left,
                    run=run.name,
                    then=then,
                )
            )
        if same and left:
            raise CommandRefused(
                "run {run} has read just this and was never approved: nothing of it was sent.\n"
                "Go on with it: {command} (answer no there to give it up)",
                run=run.name,
                command=command,
            )
        if run.approved_at is None and holder is None:
            # Its file has changed.
            await give_up(run, journal)
            log.info("gave up an earlier run that had sent nothing", given_up=run.name)
    return await journal.create_run(new)


async def new_run(job: Job, recorded: Mapping[str, str], target: str, pacing: Mapping[str, str] = _NOTHING) -> NewRun:
    """The new run's record for the journal; opens the source for it. Raises `InputRefused`.

    Raises `CommandRefused` for a text that the journal cannot keep.
    """
    if odd := next((value for value in recorded.values() if value != from_bytes(value)), None):
        raise CommandRefused(
            "{name} is not UTF-8, and the journal keeps no other text: rename it", name=printable(odd)
        )

    # Its encoding is found and its digest taken: a large file is read twice for that.
    file = input_of_parameters(recorded).file
    with waiting(lambda: said("reading {file}", file=file or job.name), lambda: bytes_read(file)):
        read = attrgetter("source", "source.digest", "source.header")
        source, digest, header = await anyio.to_thread.run_sync(read, job)
    return NewRun(
        job=job.name,
        parameters=recorded,
        target=target,
        source=from_bytes(source.name),
        source_digest=digest,
        header=header,
        policy=to_settings(policy_with(Policy(), pacing, ALL)),
    )


async def give_up(run: Run, journal: Journal) -> None:
    """Discard a run that has sent nothing; its refusals are kept.

    A run that another process holds, or has given up meanwhile, is left alone.
    """
    try:
        async with journal.taken_up(run) as ours:
            await journal.discard(ours)
            await wipe_secrets(ours, journal)
    except (RunGivenUp, RunHeld) as error:
        log.info("left alone", left_alone=run.name, why=error)


# ---- the rows of a run ------------------------------------------------------------------------------------------


async def save_rows(
    run: Run,
    job: Job,
    journal: Journal,
    screen: Screen,
    *,
    enter: Repeat,
    least_free: Callable[[], int],
    since: Since | None = None,
    foreign: ForeignEntries | None = None,
) -> None:
    """Read and save the whole list of a run. Raises `InputRefused`, `LookUpFailed` and `JournalError`."""
    progress = Progress(has_steps=job.effect.has_steps)
    progress.take_up(await journal.totals(run), intake_ended=False)
    with show_intake(progress, run.source, lambda: job.rows_seen):
        intake = Intake(run, job, journal, progress, enter=enter, since=since, foreign=foreign, least_free=least_free)
        await intake.freeze_all()
    await tell_notes(job.source, screen)


async def rehearse(
    foreign: ForeignEntries, job: Job, new: NewRun, plans: Journal, screen: Screen, enter: Repeat, since: Since | None
) -> Run:
    """The saved list of a run that is never sent, in a journal of plans; the run is discarded when that fails.

    Its rows are held against the real runs, whose journal `foreign` has; those of other plans were not entered.
    Raises `InputRefused`, `LookUpFailed` and `JournalError`.
    """
    run, least = await plans.create_run(new), lambda: _LEAST_FREE
    try:
        await save_rows(run, job, plans, screen, enter=enter, since=since, foreign=foreign, least_free=least)
    except BaseException as error:
        await plans.discard(run)
        if isinstance(error, LookUpRefused):
            raise LookUpRefused(why_unreadable(error, run)) from error
        raise
    return await plans.run(run.name)


async def plan_of(run: Run, job: Job, journal: Journal, entered: Journal, undecided: int = 0) -> PreviewFacts:
    """The facts of a run of `job` whose list is saved, from the journal. Raises `InputRefused`.

    Those of a delta say what it changes, and what its file lacks: see `gone_since`. Raises `NothingSent` for a wrong
    file.
    """
    to_send = await journal.items(run, {State.PENDING}, size=LOOKED_AT)
    return replace(
        await facts_of(run, journal),
        columns=assigned_of(job, run.header),
        assumptions=job.assumptions(to_send) if to_send else (),
        undecided=undecided,
        delta=await _facts_of_delta(run, journal, entered) if SINCE in run.parameters else None,
    )


async def _facts_of_delta(run: Run, journal: Journal, entered: Journal) -> DeltaFacts:
    before, gone, having = await gone_since(run, journal, entered)
    differences = await journal.differences(run)
    if gone and gone.rows and not differences.changed and not (await journal.totals(run)).count(State.SKIPPED):
        raise NothingSent(
            counted(
                "[the {n} row of run {run} is not|none of the {n} rows of run {run} is] in this file: it is no "
                "later export of the same subscribers, or its rows are told apart by other columns, as a document",
                gone.rows,
                run=having,
            )
        )
    if (found := await journal.contradiction(run)) is not None:
        raise NothingSent(
            "lines {first} and {second} ({label}) have the same key and different sums: leave one of them out",
            first=str(found.first),
            second=str(found.second),
            label=printable(found.label, 60),
        )
    return DeltaFacts(before, differences, having, gone)


# ---- consent: what has to be allowed before a load is sent --------------------------------------------------------
#
# what is asked, in this order               what answers it in advance
# last lines without an end are whole        nothing
# rows that are refused are left out         --skip-bad
# several opening balances of an account     --shared-accounts
# the load is unlike the last one            --like-last none
# the rows are sent, as they were shown      --yes, but not for those that look as if entered already: --again


async def require_yes(question: Said, unasked: CommandRefused, file: str, consent: Consent, screen: Screen) -> None:
    """Ask what `--yes` does not answer.

    Raises `unasked` with it, and where nobody can be asked; `NothingSent` where the answer is not yes.
    """
    if consent.yes:
        raise unasked
    if not await screen.agrees(question, unasked, file):
        raise NothingSent(said("the answer was no"))


async def require_consent(
    plan: PreviewFacts,
    asked: Said,
    file: str,
    session: Session,
    *,
    again: bool,
    refused: Callable[[str], CommandRefused] = NothingSent,
) -> None:
    """Ask whether the rows are sent that were shown. Raises `NothingSent`, and what `refused` makes of a reason."""
    consent, screen = session.consent, session.screen
    if not consent.yes:
        unasked = refused(is_unattended(plan.question(session.billing.target), file))
        if not await screen.agrees(asked, unasked, file, to_send=True):
            raise NothingSent(said("the answer was no"))
    elif plan.look_alikes.rows and not again:
        if screen.voice.quiet:
            screen.say_always(doubtful_rows(plan, which="look_alikes"))
        raise refused(unanswered(plan))


async def require_whole(job: Job, file: str, consent: Consent, screen: Screen) -> bool:
    """Ask once whether the last lines without an end are whole; False where there are no such lines.

    Raises `NothingSent` where they are not, and where nobody can say so; and what `Job.unended` raises.
    """
    if not (lines := await anyio.to_thread.run_sync(lambda: job.unended)):
        return False
    told = tuple(map(describe_last, lines))
    if file == STDIN:
        raise NothingSent(
            "{lines}. What writes into standard input may have been stopped: let it end its last line, and pipe "
            "it in again",
            lines=told,
        )
    why = said(
        "{lines}. If it was cut, an amount may be too small. If it is whole, end it: {command}",
        lines=told,
        command=f"sed -i -e '$a\\' {printable(lines[0].file)}",
    )
    await require_yes(said("{lines}. Is it whole?", lines=told), NothingSent(why), file, consent, screen)
    return True


async def caution_unended(job: Job, screen: Screen) -> None:
    for one in await anyio.to_thread.run_sync(lambda: job.unended):
        screen.say_always(labelled(said("caution:"), describe_last(one), "yellow"))


def describe_last(one: LastLine) -> Said:
    return said(
        "the last line of {file} has no end, as all others have: {line!r}",
        file=printable(one.file),
        line=printable(one.text, _LONGEST),
    )


async def unlike_last(run: Run, plan: PreviewFacts, journal: Journal, share: Decimal | None) -> Said | None:
    """How a load differs from the last one of its job by more than this share, in percent; None where it does not.

    The last one is that for the same billing which is at its end and stands, of all rows of its file; a delta is
    compared with deltas, and the first one with the load, by the rows of their files, for what it enters is little.
    Without a share nothing is asked.
    """
    if share is None:
        return None
    for one in reversed(await journal.runs()):
        is_first = SINCE in run.parameters and SINCE not in one.parameters
        if (one.job, one.target) != (run.job, run.target) or (
            SINCE in one.parameters and SINCE not in run.parameters
        ):
            continue
        if one.run_id >= run.run_id or not one.approved_at or one.undone_by or await unfinished(one, journal):
            continue
        totals = await journal.totals(one)
        rows, amount = totals.count(*_IN_EFFECT), totals.amount_of(*_IN_EFFECT)
        if not rows or totals.left_out:
            continue
        sent, has_amounts = plan.to_send, plan.has_amounts and not is_first
        if is_first:
            rows, sent = totals.frozen + totals.refused, plan.totals.frozen + plan.totals.refused
        if not (_is_apart(sent, rows, share) or (has_amounts and _is_apart(plan.sum, amount, share))):
            return None
        return said(
            "this load is of {now}, and the last one of the job, {run} of {date}, was of {then}: more than {share} "
            "apart",
            now=number_and_sum(sent, plan.sum if has_amounts else None),
            then=number_and_sum(rows, amount if has_amounts else None),
            run=one.name,
            date=one.created_at,
            share=percent(share),
        )
    return None


def _is_apart(now: int | Decimal, then: int | Decimal, share: Decimal) -> bool:
    return abs(Decimal(now) - then) * 100 > share * abs(Decimal(then))


def all_the_same(run: Run) -> str:
    """What was typed, with the guard taken off, as it can be typed in any folder."""
    file = input_of_parameters(run.parameters).file
    words = [
        file if file and Path(word).absolute() == Path(file).absolute() else word
        for before, word in pairwise(sys.argv)
        if "--like-last" not in {before, word} and not word.startswith("--like-last=")
    ]
    return command_line(*words, "--like-last", "none")


# ---- the work on a run ------------------------------------------------------------------------------------------


class RunSession:
    """Works on one run, from any stage, as far as possible.

    `fresh` marks a run that was just begun. Items up to number `known`, by default all existing ones, were in the
    journal before this process. Outside the hours of its policy it waits, or with `ends_outside_hours` is stopped.
    """

    def __init__(
        self,
        run: Run,
        job: Job,
        session: Session,
        *,
        fresh: bool,
        known: int | None = None,
        ends_outside_hours: bool = False,
    ) -> None:
        self._run = run
        self._job = job
        self._session = session
        self._fresh = fresh
        self._known = 0 if fresh else known
        self._ends_outside_hours = ends_outside_hours
        self._journal = session.journal
        self._screen = session.screen
        self._stop = session.stop
        self._interrupts = Interrupts(self._stop, session.screen)
        self._live_policy = LivePolicy(Policy(), Progress(has_steps=job.effect.has_steps), self._stop)
        self._live_policy.listen(self._apply_rate)
        self._apply_rate()
        self._file = input_of_parameters(run.parameters).file
        self._readers = RunReaders(run, self._journal, self._live_policy.progress, self._interrupts)
        self._gauges: Sequence[Gauge] = ()
        self._seconds = 0.0
        self._lost: str | None = None
        """Why the journal failed while the run was sending."""

    async def run(self) -> Closing:
        """Work on the run until it ends, is refused, or is stopped; returns the closing, which was shown.

        A run that is handed in is made ready here, and sent by a worker. Raises `CommandRefused` when nothing is sent
        and the run is discarded, or another process works on it.
        """
        session, hand_in = self._session, self._session.hand_in
        structlog.contextvars.bind_contextvars(run=self._run.name)
        await require_opened(self._run, session.gateway.vault)
        # Another machine may be sending to this billing while a run that is handed in is made ready.
        seconds = 0.0 if hand_in else session.settings.client.deadline
        purpose, version = "run" if self._fresh else "resume", session.billing.health.version
        try:
            # The page is the last to go: it shows how the run came out.
            async with (
                nullcontext() if session.page is None else session.page(self._run, self._journal) as show_page,
                self._interrupts.listening(),
                self._readers.following(session.readers),
                locked(self._run, self._journal, purpose, billing=version, call_seconds=seconds) as self._run,
                self._readers.working(self._run),
            ):
                with waiting(lambda: said("preparing run {run}", run=self._run.name)):
                    may_send = await self._may_send()
                if not may_send or hand_in is None:
                    if may_send:
                        # Not before: a run that is refused takes its page with it.
                        if show_page is not None:
                            show_page()
                        await self._send()
                    with waiting(lambda: said("closing run {run}", run=self._run.name)):
                        return await self._close()
        except BillingTaken as taken:
            if not self._fresh:
                raise
            await self._give_up()
            raise NothingSent(text_of(taken)) from taken
        except JournalError as error:
            if not self._lost:
                raise
            raise CommandRefused(
                "{why}. Nothing is sent without it. Once it can be written again, {command} looks up in the billing "
                "what was under way, and goes on",
                Exit.STOPPED,
                why=self._lost,
                command=command_line("resume", self._run.name),
            ) from error
        # A worker takes it up at once, and finds nobody working on it.
        return await hand_in(self._run, self._journal)

    # ---- before anything is sent ----

    async def _may_send(self) -> bool:
        """Whether there is something to send and the operator agrees; also False when interrupted.

        Nothing sends the run that an undo takes back meanwhile.
        """
        try:
            await self._take_policy()
            async with undone_held(self._run, self._journal):
                with self._interrupts.before_sending():
                    try:
                        await self._job.try_out()
                    except LookUpDelayed as error:
                        if self._fresh:
                            raise CommandRefused(why_unreadable(error, self._run), code_of(error)) from error
                        # Rows in doubt are looked up first, and that waits for the billing.
                        log.warning("what the run will ask could not be tried", why=error)
                    except LookUpFailed as error:
                        raise CommandRefused(text_of(error)) from error
                    may_send = self._run.approved_at is not None or await self._approved()
                    if may_send:
                        await self._refuse_beside()
                    return may_send
        except Unanswered as unanswered:
            self._stop.request(StopKind.INTERRUPTED, text_of(unanswered))
        except (CommandRefused, InputRefused, RunRefused) as refused:
            discards = isinstance(refused, NothingSent | RunRefused)
            if discards or self._fresh:
                await self._give_up()
            if isinstance(refused, NothingSent) or not (discards or self._fresh):
                raise
            raise NothingSent(text_of(refused), code_of(refused)) from refused
        if self._screen.unanswered and self._fresh:
            # The same command asks again: a half run that nobody has agreed to is not left behind.
            await self._give_up()
        return False

    async def _take_policy(self) -> None:
        """Take the policy of the run; only now, under the lock, can no other process change it."""
        session, live_policy = self._session, self._live_policy
        self._run = run = await self._journal.again(self._run)
        # An undo or `close` may have had the lock before.
        refuse_ended(run, await self._journal.totals(run))
        policy = session.policy_of(run)
        finish = finish_of(session.settings.catalogue.known(run))
        if not self._fresh and finish is not None:
            # What is missing by now of what the run has written so far.
            found = await _hand_over(run, finish, self._journal)
            if found.trouble:
                raise CommandRefused("{why}\nNothing was sent. The run stays as it is", why=found.trouble)
            if found.missing:
                self._screen.say_always(labelled(said("caution:"), found.missing, "yellow"))
        try:
            provide_files(widest(policy))
            live_policy.take(policy)
            self._gauges = await gauges_of(
                session.gateway,
                lambda: live_policy.policy,
                self._journal.path,
                ends_outside_hours=self._ends_outside_hours,
            )
        except TooFewFiles as error:
            in_flight, most = setting("in-flight"), setting("max-in-flight")
            raise CommandRefused(
                "{error}; or give a smaller {in_flight} or {most}", error=error, in_flight=in_flight, most=most
            ) from error
        now = to_settings(policy)
        if not self._fresh:
            pacing = labelled(said("pacing:"), describe_policy(policy))
            if of_run := tuple(f"{name}={text}" for name, text in run.policy.items() if now.get(name) == text):
                kept = said("(kept with the run: {settings}; a flag or `set` changes that)", settings=of_run)
                pacing.append(" ").append_text(render(kept, "dim"))
            self._screen.say(pacing)
        if now != run.policy:
            await self._journal.keep_policy(run, now)
            other = [name for name in ALL if now.get(name) != run.policy.get(name)]
            flags, text = [f"--{name} {ALL[name].shown(policy)}" for name in other], describe_settings(policy, other)
            await self._journal.history.note_command(run, ourselves(), f"taken up with {' '.join(flags)}", text)

    async def _refuse_beside(self) -> None:
        """Raise `HeldElsewhere` where another run enters money on these accounts, and one of the two sets balances.

        What the other one enters between a row's look at its account and its call would be out of the balance. Asked
        before the consent, and once more after it: of two runs that begin at once, each may have agreed.
        """
        run, journal = self._run, self._journal
        if (replaces := replaces_balance(self._session.gateway.profile)) is None:
            return
        for other in await journal.at_work(run):
            # Of rows that are still to be read nothing is known.
            meets = other.frozen_at is None and self._job.replaces is not None
            async for payload in journal.money_beside(run, other):
                if meets := meets or replaces(payload):
                    break
            if not meets:
                continue
            again = command_line("resume", run.name) if run.approved_at else said("type the command again")
            raise HeldElsewhere(
                "run {run}, which another process works on, enters money on accounts of these rows, and one of the "
                "two sets their balance: what the other one enters would be lost.\nWait for it, or stop it there: "
                "{command} shows where it stands; then {again}",
                run=other.name,
                command=command_line("status", other.name),
                again=again,
            )

    def _apply_rate(self) -> None:
        self._session.gateway.rate.per_second = self._live_policy.policy.rate

    async def _approved(self) -> bool:
        run, journal, consent = self._run, self._journal, self._session.consent
        try:
            # Rows of a query, of which no preview is shown, are sent from the first saved page on. A rule for several
            # rows of one account needs all of its rows.
            may_stream = run.frozen_at is None and consent.yes and PLAN not in run.parameters
            may_stream = may_stream and not self._session.hand_in and shared_accounts_of(run) is None
            # Which rows an undo is still to take back is known once all are read, too.
            may_stream = may_stream and not await half_done_undos(run, journal)
            # What rows of one account would set, too.
            may_stream = may_stream and not self._job.effect.sets_for_lane
            # What a delta changes, and whether a load is like the last one, is known once all rows are read.
            may_stream = may_stream and SINCE not in run.parameters and self._live_policy.policy.like_last is None
            may_stream = may_stream and not await anyio.to_thread.run_sync(lambda: self._job.source.is_read_whole)
            # And so is whether another run enters money on the same accounts.
            if may_stream and not await journal.at_work(run):
                self._caution(self._screen.say_always)
                await self._approve()
                return True
            if run.frozen_at is None:
                since = run.parameters.get(SINCE)
                if await require_whole(self._job, self._file, consent, self._screen):
                    await journal.history.note_command(run, ourselves(), "last-line", said("it is whole"))
                await save_rows(
                    run,
                    self._job,
                    journal,
                    self._screen,
                    enter=how_often(run),
                    since=since_of(since, await journal.runs()) if since else None,
                    least_free=lambda: self._live_policy.policy.min_disk,
                )
                self._run = await journal.again(run)
        except InputRefused as error:
            raise NothingSent(text_of(error)) from error
        except LookUpFailed as error:
            if self._fresh:
                raise CommandRefused(why_unreadable(error, run), code_of(error)) from error
            raise CommandRefused(
                "the rows could not be read to their end: {error}\nThe run stays as it is: {command} goes on reading",
                Exit.STOPPED,
                error=error,
                command=command_line("resume", run.name),
            ) from error
        if run.job == UNDO:
            undone = await journal.run(run.parameters[RUN])
            if await journal.is_out_of_date(self._run, undone):
                raise NothingSent(
                    "run {run} has other rows in the billing than when this undo was listed: type {command} again",
                    run=undone.name,
                    command=run_again(run),
                )
        return await self._agreed()

    async def _agreed(self) -> bool:
        """Show the preview, and ask; False where there is nothing to send."""
        run, journal, screen = self._run, self._journal, self._screen
        consent, profile = self._session.consent, self._session.gateway.profile
        question = await settle(run, journal, profile, shared_accounts_of(run), journal)
        # Nothing is read between this comparison and the sending, so the compared list is the one that is sent.
        if departs := await departures(run, journal, self._session.billing):
            raise NothingSent(departs)
        await refuse_overtaken(run, journal)
        await refuse_half_undone(run, journal, journal)
        await self._refuse_beside()
        plan = await plan_of(run, self._job, journal, journal, question.rows)
        if self._job.replaces is not None and not consent.yes:
            plan = replace(plan, balances=await balances_of(run, journal, profile))
        # An operator who is asked must see the preview, even with --quiet.
        show = screen.say if consent.yes else screen.say_always
        show(preview(plan, self._session.billing.target, journal.name, self._live_policy.policy))
        self._caution(show)
        if plan.bad and not consent.skip_bad:
            if screen.voice.quiet and consent.yes:
                screen.say_always(doubtful_rows(plan, which="bad"))
            share = self._live_policy.policy.like_last if plan.to_send else None
            unlike = await unlike_last(run, plan, journal, share)
            refused = why_refused(plan)
            raise NothingSent(said("{refused}\n{unlike}.", refused=refused, unlike=unlike) if unlike else refused)
        if question.accounts:
            show(shared_accounts(question))
            sentences = in_sentences(question, profile)
            if consent.yes:
                raise NothingSent(sentences)
            asked, unasked = said("What is meant: sum, last or refuse?"), NothingSent(sentences)
            answer = await screen.chooses(asked, unasked, self._file, below=render(sentences, "bold yellow"))
            if answer not in {SharedAccountsRule.SUM, SharedAccountsRule.LAST}:
                given = printable(answer) or said("nothing")
                raise NothingSent("the answer was {answer}: these rows are refused", answer=given)
            if SINCE in run.parameters:
                refuse_last(answer)
            await settle(run, journal, profile, SharedAccountsRule(answer), journal)
            plan = await plan_of(run, self._job, journal, journal)
        if not plan.to_send:
            await self._approve()
            screen.say(render(said("There is nothing to send."), "bold"))
            return False
        if unlike := await unlike_last(run, plan, journal, self._live_policy.policy.like_last):
            why = said("{why}. If it is right:\n{command}", why=unlike, command=all_the_same(run))
            right = said("{why}. Is that right?", why=unlike)
            await require_yes(right, self._unattended(why), self._file, consent, screen)
        asked, again = plan.question(self._session.billing.target), how_often(run) is Repeat.AGAIN
        await require_consent(plan, asked, self._file, self._session, again=again, refused=self._unattended)
        await self._approve(plan.to_send)
        return True

    def _caution(self, show: Callable[[Text], None]) -> None:
        for caution in self._job.cautions:
            show(labelled(said("caution:"), caution, "yellow"))

    def _unattended(self, why: str) -> CommandRefused:
        waits = said("{why}\nNothing was sent. The run stays as it is, and waits for the answer", why=why)
        return CommandRefused(why if self._fresh else waits)

    async def _give_up(self) -> None:
        await self._journal.discard(self._run)
        await wipe_secrets(self._run, self._journal)

    async def _approve(self, rows: int = 0) -> None:
        await self._journal.approve(self._run)
        await note_assumptions(self._run, self._job, self._journal)
        self._run = await self._journal.again(self._run)
        log.info("approved", rows=rows)

    # ---- sending, and after ----

    async def _send(self) -> None:
        run, live_policy, progress = self._run, self._live_policy, self._live_policy.progress
        known = await self._journal.last_number(run) if self._known is None else self._known
        await self._readers.begin(run, taken_up=not self._fresh)
        pipeline = Pipeline(
            run,
            self._job,
            self._journal,
            live_policy,
            gauges=self._gauges,
            enter=how_often(run),
            known=known,
            trust_journal=self._session.consent.trust_journal,
        )
        self._interrupts.in_flight = lambda: progress.sending().in_flight
        with self._interrupts.while_sending():
            try:
                async with (
                    serve_control(run, self._journal, live_policy, self._screen),
                    show_sending(progress, self._screen, run.name),
                ):
                    await pipeline.migrate()
                # Rows that are sent while they are read were not there yet when the run was approved.
                await note_assumptions(run, self._job, self._journal)
            except ForbiddenTransition:
                # An internal error, not a failure of the journal's file.
                raise
            except JournalError as failed:
                self._lost = text_of(failed)
                log.error("the journal failed", why=self._lost)  # noqa: TRY400 - the error's sentence is complete
        self._seconds = progress.seconds

    async def _close(self) -> Closing:
        """Finish the run, and show how it came out, from the journal alone: another process may hold its lock by now.

        Raises `JournalError`.
        """
        run, progress = await self._journal.run(self._run.name), self._live_policy.progress
        totals, finished = await self._journal.totals(run), FinishedRun()
        if not self._lost and run.approved_at and run.frozen_at and not totals.count_where(open=True):
            finished = await finish_run(run, self._journal, self._session.settings.catalogue, totals, anew=True)
        # The rows that may be somebody else's: of this run, or of the run that it takes back.
        taken = run.parameters[RUN] if run.job == UNDO else None
        unproven = await self._journal.unproven(run if taken is None else await self._journal.run(taken))
        error = self._lost or finished.trouble
        code = exit_of(
            totals,
            self._stop.kind,
            intake_ended=run.frozen_at is not None,
            approved=run.approved_at is not None,
            failed=bool(error),
            lacks=bool(totals.lacks or finished.missing or (leaves_unproven(run) and unproven)),
        )
        is_stopped = code in {Exit.STOPPED, Exit.INTERRUPTED} or self._stop.kind is StopKind.DECISION
        stopped = self._stop.reason if is_stopped else ""
        if run.stage is Stage.DISCARDED:
            stopped = said("{why}; nothing was sent, and the run is given up", why=stopped)
        pace = pace_of(await self._journal.history.sent_by_time(run, MOST_SPANS)) if self._seconds > FEW else None
        closing = Closing(
            exit=code,
            run=run.name,
            job=run.job,
            totals=totals,
            calls=progress.calls,
            seconds=self._seconds,
            pace=pace and pace.average,
            held=progress.holds.seconds,
            stopped=error or stopped or None,
            error=error or finished.missing,
            trusted_journal=self._session.consent.trust_journal,
            imported=await steps_of(run, self._journal),
            stopped_by=self._stop.kind if stopped else None,
            again_in=self._stop.again if stopped else None,
            unproven=unproven,
            overwritten=await overwritten(run, self._journal),
        )
        if totals.refused and run.approved_at and (run.frozen_at is None or run.approved_at < run.frozen_at):
            # Sending began before the list was complete: there was no preview that has shown the refusals.
            first = await first_refusals(run, self._journal)
            self._screen.result(refused_rows(first, totals.refused, bad_export(run)), good=False)
        log.info(
            "ended",
            exit=int(code),
            calls=progress.calls,
            why=closing.stopped or said("nothing is left to send"),
        )
        screen = await show_closing(closing, run, self._journal)
        self._screen.result(screen, good=code is Exit.DONE and accountants_list(run, totals) is None)
        if finished.shown is not None:
            self._screen.result(finished.shown)
        self._readers.close(closing, run, self._stop)
        return closing


@asynccontextmanager
async def undone_held(undo: Run, journal: Journal) -> AsyncIterator[None]:
    """Hold the run that an undo takes back, so that nothing sends it until the undo is approved, which ends it.

    Does nothing for another run, and for an undo that is approved. Raises `CommandRefused` and `RunRefused`.
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


# ---- the end of a run -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """The output of a finished run, what could not be done, and what of its output is missing."""

    shown: RenderableType | None = None
    trouble: str | None = None
    missing: str | None = None


async def finish_run(run: Run, journal: Journal, catalogue: Catalogue, totals: Totals, *, anew: bool) -> FinishedRun:
    """Complete the files of a finished run, note what an undo has found gone, and wipe its secrets.

    Called when the run ends and again when it is resumed there, since a kill may have come in between.
    `anew` rewrites an existing file of answers. Raises `JournalError`.
    """
    spec, finished = catalogue.known(run), FinishedRun()
    if run.job == UNDO:
        await journal.note_gone(run)
    if (finish := finish_of(spec)) is not None:
        finished = await _hand_over(run, finish, journal)
    elif reads(spec):
        finished = await _write_answers(run, journal, anew=anew)
    if not totals.count_where(settled=False):
        await wipe_secrets(run, journal)
    return finished


async def close_ended(run: Run, journal: Journal, catalogue: Catalogue) -> tuple[Closing, RenderableType | None]:
    """The closing of a run that has nothing left to send, and the output of its finishing. Raises `JournalError`."""
    # A kill may have come between the last answer and the finishing of the run.
    totals = await journal.totals(run)
    finished = await finish_run(run, journal, catalogue, totals, anew=False)
    code = exit_of(totals, failed=bool(finished.trouble), lacks=bool(totals.lacks or finished.missing))
    error = finished.trouble or finished.missing
    return Closing(code, run.name, run.job, totals, stopped=finished.trouble, error=error), finished.shown


async def _hand_over(run: Run, finish: Finish, journal: Journal) -> FinishedRun:
    def accepted() -> Iterator[Item]:
        after = 0
        while page := anyio.from_thread.run(partial(journal.items, run, _IN_EFFECT, after=after)):
            yield from page
            after = page[-1].number

    try:
        text, missing = await anyio.to_thread.run_sync(lambda: finish(run, accepted()))
    except EngineError as error:
        completes = command_line("resume", run.name)
        return FinishedRun(
            trouble=said("{error}. All rows are done; {command} completes the file", error=error, command=completes)
        )
    return FinishedRun(render(text) if text else None, missing=missing or None)


async def _write_answers(run: Run, journal: Journal, *, anew: bool) -> FinishedRun:
    named = run.parameters.get(ANSWER_FILE_PARAMETER)
    if named is None:
        return FinishedRun(await first_rows(run, journal))
    file = printable(named, WHOLE)
    if not anew and await anyio.Path(named).exists():
        return FinishedRun(render(said("The answers are in {file}", file=file)))
    try:
        # The file did not exist when the run began, so an existing one is the run's own.
        written = await write_answers(run, journal, OutputFile(Path(named), force=True))
    except CommandRefused as error:
        trouble = said(
            "{error}. The answers are in the journal: {command} writes them elsewhere",
            error=error,
            command=command_line("export", run.name, "--state", ANSWERS, "-o", "FILE"),
        )
        return FinishedRun(trouble=trouble)
    rows = counted("{n} row[s] of answers: {file}", written, file=file)
    return FinishedRun(render(rows))


async def note_assumptions(run: Run, job: Job, journal: Journal) -> None:
    """Keep for the report what the sums of a run rest on and no probe has confirmed; the first note counts."""
    if items := await journal.items(run, _SENT, size=LOOKED_AT):
        await journal.history.note_assumptions(run, in_lines(job.assumptions(items)))
