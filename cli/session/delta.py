"""A delta, `run … --since RUN`: of the rows of a new export only what has changed since the file of RUN is entered.

It is an ordinary run. From each row the intake subtracts what is entered already, by RUN, by deltas since, and by the
runs whose rows RUN has skipped (`engine/pipeline/intake.py`). So a second delta continues where the first has ended,
and the same one twice finds nothing to send. Rows that the new file lacks are named, and nothing is sent for them.
"""

from collections.abc import Sequence
from typing import Final

from checkpoints.errors import NoSuchRun
from checkpoints.journal import Journal
from checkpoints.records import Run, Stage
from checkpoints.row_comparison import Rows, Side, rows_gone
from checkpoints.states import State
from cli.session.journal import in_doubt, is_taken_back, require_content, unfinished
from cli.session.order import Order, how_often
from cli.show.preview import DeltaFacts
from cli.terminal.exits import CommandRefused, NothingSent
from cli.terminal.texts import printable
from engine.pipeline.intake import Repeat, Since
from jobs.spec.words import SINCE, UNDO, SharedAccountsRule
from texts.remedies import command_line, setting
from texts.said import counted

_TYPE: Final = "op_type"
"""The parameter that is part of a row's key."""


def since_of(name: str, runs: Sequence[Run]) -> Since:
    """What the intake takes off the rows of a delta to the run of that name."""
    # What was to be entered on top of other rows was no part of what their files say.
    return Since(frozenset(run.name for run in runs if how_often(run) is Repeat.AGAIN and run.name != name))


def followers(name: str, runs: Sequence[Run]) -> list[Run]:
    """The deltas since a run, and since these, in their order."""
    found: list[Run] = []
    names = {name}
    for run in runs:
        if run.parameters.get(SINCE) in names and not run.discarded_at:
            found.append(run)
            names.add(run.name)
    return found


def counted_on(name: str, runs: Sequence[Run], own: Run | None = None) -> list[Run]:
    """The run with this name and the deltas since, before the `own` one, that were sent and stand."""
    others = [
        one
        for one in followers(name, runs)
        if one.approved_at and not is_taken_back(one, runs) and not (own and own.created_at <= one.created_at)
    ]
    return [*(one for one in runs if one.name == name), *others]


def check_delta(order: Order, target: str, runs: Sequence[Run], journal: str) -> Run | None:
    """The run of a delta, None for any other order. Raises `CommandRefused` where the two do not go together."""
    if not order.since:
        return None
    run = next((one for one in runs if one.name == order.since), None)
    if run is None:
        raise NoSuchRun(journal, order.since, [one.name for one in runs])
    flag = setting("since", run.name)
    if order.enter is Repeat.AGAIN:
        raise CommandRefused(
            "{flag} enters differences, and {again} whole rows: leave one of them out",
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
        raise _nothing_of(run)
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


async def require_complete(run: Run, journal: Journal) -> None:
    """Raise `CommandRefused` where a run, or a delta since, is not at its end, or nothing of the run is in effect."""
    for one in [run, *followers(run.name, await journal.runs())]:
        await require_content(one, journal)
        totals = await journal.totals(one)
        if await unfinished(one, journal):
            raise CommandRefused(
                "run {run} is not at its end, and what it still enters is not known: go on with it first, {command}",
                run=one.name,
                command=command_line("resume", one.name),
            )
        if left := totals.count_where(settled=False):
            raise CommandRefused(in_doubt(one, left))
        if await journal.replaced_in_lanes(one):
            raise CommandRefused(
                "run {run} has entered of several rows of an account the last one alone ({rule}), so differences to "
                "the others say nothing. Enter by hand what has changed",
                run=one.name,
                rule=setting("shared-accounts", SharedAccountsRule.LAST),
            )
    totals = await journal.totals(run)
    if totals.standing:
        return
    if run.undone_by and totals.taken_back:
        raise CommandRefused(
            "run {run} is taken back by run {undo}: give {flag} of a run that stands, or enter the new file as a "
            "whole, without {flag}",
            run=run.name,
            undo=run.undone_by,
            flag=setting("since"),
        )
    if not totals.count(State.SKIPPED):
        raise _nothing_of(run)


def _nothing_of(run: Run) -> CommandRefused:
    return CommandRefused(
        "nothing of run {run} is in the billing: enter the new file as a whole, without {flag}",
        run=run.name,
        flag=setting("since"),
    )


async def gone_since(
    run: Run, journal: Journal, runs: Sequence[Run], entered: Journal
) -> tuple[tuple[str, ...], Rows | None, tuple[str, ...]]:
    """The runs behind which a delta comes, the rows of them that its file lacks, and the runs that have these.

    `entered` is the journal of `runs`, and `journal` that of the delta, or of its plan. No rows where it is not known
    what the file lacks: rows are left out or refused, or purged.
    """
    before, totals = counted_on(run.parameters[SINCE], runs, run), await journal.totals(run)
    names = tuple(one.name for one in before)
    if totals.left_out or totals.refused or any(one.purged_at for one in (run, *before)):
        return names, None, names
    gone, having = await rows_gone(before, entered, Side(run, journal))
    return names, gone, tuple(one.name for one in having)


async def facts_of_delta(run: Run, journal: Journal, runs: Sequence[Run], entered: Journal) -> DeltaFacts:
    """What a delta, or its plan, changes, and what its file lacks; see `gone_since`. Raises `NothingSent`."""
    before, gone, having = await gone_since(run, journal, runs, entered)
    differences = await journal.differences(run)
    if gone and gone.rows and not differences.changed and not (await journal.totals(run)).count(State.SKIPPED):
        raise NothingSent(
            counted(
                "the {n} row of run {run} is not in this file: it is no later export of the same subscribers, or "
                "its rows are told apart by other columns, as a document",
                "none of the {n} rows of run {run} is in this file: it is no later export of the same "
                "subscribers, or its rows are told apart by other columns, as a document",
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


async def refuse_overtaken(run: Run, journal: Journal) -> None:
    """Raise `NothingSent` for a delta to whose runs something has changed since its list was begun."""
    if SINCE not in run.parameters:
        return
    for one in await journal.runs():
        is_of_job = one.target == run.target and one.job in {run.job, UNDO}
        if is_of_job and one.approved_at and one.name != run.name and one.approved_at > run.created_at:
            raise NothingSent(
                "run {other} has entered or taken back rows since this list was made: type the command again",
                other=one.name,
            )
