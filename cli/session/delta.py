"""A load beside earlier ones of its job: a delta to one of them, and a load that is unlike the last one.

A delta, `run … --since RUN`, enters of the rows of a new export only what has changed since the file of RUN. It is an
ordinary run. From each row the intake subtracts what is entered already, by RUN, by deltas since, and by the runs
whose rows RUN has skipped (`engine/pipeline/intake.py`). So a second delta continues where the first has ended, and
the same one twice finds nothing to send. Rows that the new file lacks are named, and nothing is sent for them.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from checkpoints.comparison import Rows, Side, rows_gone
from checkpoints.errors import NoSuchRun
from checkpoints.journal import Journal
from checkpoints.records import Run, Stage
from checkpoints.states import State, states_where
from cli.session.order import Order, per_billing
from cli.show.preview import LOOKED_AT, DeltaFacts, PreviewFacts, facts_of, number_and_sum
from cli.terminal.exits import CommandRefused, NothingSent
from cli.terminal.texts import printable
from engine.job import Job
from engine.pipeline.intake import Repeat
from jobs.job import assigned_of
from jobs.rows.input import input_of_parameters
from jobs.runs import followers, is_taken_back, nothing_of, require_complete, unfinished
from jobs.spec.words import SINCE, SharedAccountsRule
from texts.said import Said, command_line, counted, percent, said, setting

if TYPE_CHECKING:
    from cli.session.session import Session

_TYPE: Final = "op_type"
"""The parameter that is part of a row's key."""
_HUNDRED: Final = Decimal(100)
_IN_EFFECT: Final = states_where(in_effect=True)


async def in_billing(order: Order, session: "Session") -> tuple[Order, str]:
    """The order as it counts in the session's billing, and how the journal calls that.

    Raises `CommandRefused` and `RunRefused` where a delta and its run do not go together, or that may still change.
    """
    journal, target = session.journal, await session.target()
    runs = await journal.runs()
    order = per_billing(order, runs, session.settings, target, session.billing.one.identity)
    if order.since:
        await require_complete(_run_of_delta(order, target, runs, journal.name), journal)
    return order, target


def _run_of_delta(order: Order, target: str, runs: Sequence[Run], journal: str) -> Run:
    run = next((one for one in runs if one.name == order.since), None)
    if run is None:
        raise NoSuchRun(journal, order.since, [one.name for one in runs])
    flag = setting("since", run.name)
    if order.enter is Repeat.AGAIN:
        raise CommandRefused(
            "{flag} enters differences, and {again} whole rows: leave {again} out. Rows that are to be entered on "
            "top go into a file of their own",
            flag=flag,
            again=setting("again"),
        )
    if run.job != order.kind.name:
        raise CommandRefused(
            "run {run} is one of {job}, not of {other}",
            run=run.name,
            job=run.job,
            other=order.kind.name,
        )
    if run.target != target:
        raise CommandRefused(
            "run {run} is for {target}, and not for this billing: give {flag} of a run for it",
            run=run.name,
            target=run.target,
            flag=setting("since"),
        )
    if run.stage is not Stage.APPROVED:
        raise nothing_of(run)
    refuse_last(order.shared_accounts)
    before, now = (one.parameters.get(_TYPE, "") for one in (run, order))
    if before != now:
        raise CommandRefused(
            "run {run} has entered operations of type {before}, and this would be type {now}: give {flag}",
            run=run.name,
            before=before,
            now=now,
            flag=setting("set", f"{_TYPE}={before}"),
        )
    return run


def refuse_last(meant: str | None) -> None:
    """Raise `NothingSent` for a delta in which the last row of an account is to count alone."""
    if meant == SharedAccountsRule.LAST:
        raise NothingSent(
            "of several rows of an account a delta enters the sum of their differences: give {sum}",
            sum=setting("shared-accounts", SharedAccountsRule.SUM),
        )


async def gone_since(
    run: Run, journal: Journal, entered: Journal
) -> tuple[tuple[str, ...], Rows | None, tuple[str, ...]]:
    """The runs behind which a delta comes, the rows of them that its file lacks, and the runs that have these.

    `entered` is the journal of these runs, and `journal` that of the delta, or of its plan. No rows where it is not
    known what the file lacks: rows are left out or refused, or purged.
    """
    base, totals, runs = run.parameters[SINCE], await journal.totals(run), await entered.runs()
    # Of the deltas since, those before this one that were sent and stand.
    sent = (one for one in followers(base, runs) if one.approved_at and one.created_at < run.created_at)
    before = [*(one for one in runs if one.name == base), *(one for one in sent if not is_taken_back(one, runs))]
    names = tuple(one.name for one in before)
    if totals.left_out or totals.refused or any(one.purged_at for one in (run, *before)):
        return names, None, names
    gone, having = await rows_gone(before, entered, Side(run, journal))
    return names, gone, tuple(one.name for one in having)


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


# ---- a guard against the unusual, `--like-last 50%` ----------------------------------------------------------------


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
    return abs(Decimal(now) - then) * _HUNDRED > share * abs(Decimal(then))


def all_the_same(run: Run) -> str:
    """What was typed, with the guard taken off, as it can be typed in any folder."""
    file = input_of_parameters(run.parameters).file
    words = [
        file if file and Path(word).absolute() == Path(file).absolute() else word
        for before, word in pairwise(sys.argv)
        if "--like-last" not in {before, word} and not word.startswith("--like-last=")
    ]
    return command_line(*words, "--like-last", "none")
