"""The rules between the runs of one journal: what keeps a load, its deltas and its undos from each other's rows."""

from collections.abc import Mapping, Sequence

from checkpoints.errors import RunPurged
from checkpoints.journal import Journal
from checkpoints.records import Run, Stage
from checkpoints.states import State
from engine.errors import EngineError
from jobs.spec.words import LIST, RUN, SINCE, UNDO, WAY, SharedAccountsRule
from texts.said import Said, command_line, counted, in_lines, setting


class RunRefused(EngineError):
    """Raised when other runs stand in the way of one; the text says which, and what to do. Nothing was sent."""


async def unfinished(run: Run, journal: Journal) -> bool:
    if run.stage is Stage.DISCARDED or run.ended_at:
        return False
    return run.frozen_at is None or run.approved_at is None or (await journal.totals(run)).count_where(open=True) > 0


async def require_content(run: Run, journal: Journal) -> None:
    """Raise `RunPurged` for a run whose rows were purged, and for one that takes such a run back."""
    refuse_purged(run)
    while run.job == UNDO:
        run = await journal.run(run.parameters[RUN])
        refuse_purged(run)


def refuse_purged(run: Run) -> None:
    if run.purged_at:
        raise RunPurged(run.name, run.purged_at)


def in_doubt(run: Run, rows: int) -> Said:
    return counted(
        "{n} row[s] of run {run} [is|are] in doubt: settle [it|them] first, {command}",
        rows,
        run=run.name,
        command=command_line("reconcile", run.name),
    )


def is_taken_back(run: Run, runs: Sequence[Run]) -> bool:
    """Whether an undo that sends has taken the run back, and none has restored it since."""
    undo = next((one for one in runs if one.name == run.undone_by), None)
    return undo is not None and undo.parameters.get(WAY) != LIST and not is_taken_back(undo, runs)


async def require_undoable(
    run: Run, journal: Journal, own: Run | None = None, given: Mapping[str, str] | None = None
) -> None:
    """Raise `RunRefused` where a run cannot be taken back yet, by its undo `own`, or one with these parameters."""
    # Imported here because who only looks at runs needs no parameters of jobs.
    from jobs.spec.entries import undo_flags  # noqa: PLC0415

    runs = await journal.runs()
    later = await journal.followed_by(run) if any(SINCE in one.parameters for one in runs) else []
    for other in runs:
        if other.job != UNDO or (own and other.name == own.name):
            continue
        # With any options: two of them would undo it twice.
        if (undone := other.parameters[RUN]) not in {run.name, *later}:
            continue
        if await unfinished(other, journal) and (other.approved_at or await journal.holder(other)):
            raise RunRefused(
                "run {undo} takes run {run} back and is not at its end: go on with it, {command}",
                undo=other.name,
                run=undone,
                command=command_line("resume", other.name),
            )
    for delta in reversed([one for one in runs if one.name in later]):
        # The rows that its undo has left alone hold back no others: each is left alone here as well.
        if delta.undone_by is None or any(is_taken_back(one, runs) for one in runs if one.name == delta.undone_by):
            raise RunRefused(
                "run {delta} has entered differences to rows of run {run}: take that one back first, {command}",
                delta=delta.name,
                run=run.name,
                command=command_line("undo", delta.name, *undo_flags(own.parameters if own else given or {})),
            )
    if doubtful := (await journal.totals(run)).count_where(open=True, counts_money=True):
        raise RunRefused(in_doubt(run, doubtful))


async def half_done_undos(run: Run, earlier: Journal) -> list[Run]:
    """The undos that lie half done, which may concern rows of a load; none for an undo, which has its own rule."""
    if run.job == UNDO:
        return []
    undos = [one for one in await earlier.runs() if one.job == UNDO and one.approved_at and not one.ended_at]
    return [one for one in undos if await unfinished(one, earlier)]


async def refuse_half_undone(run: Run, journal: Journal, earlier: Journal) -> None:
    """Raise `RunRefused` where an undo is still to take back, or to restore, what the run would enter again.

    The undo is one of the runs that `earlier` has: the journal of the run, or of a plan that of the real runs.
    """
    undos = {undo.run_id: undo for undo in await half_done_undos(run, earlier)}
    if not undos:
        return
    async for page in journal.each_page(run, frozenset(State)):
        if (undo_id := await earlier.half_undone([*undos], run, [item.key for item in page])) is None:
            continue
        undo = undos[undo_id]
        close: str = command_line("close", undo.name, str(setting("reason")), "TEXT")
        if doubtful := (await earlier.totals(undo)).count_where(open=True, counts_money=True):
            close = in_lines(["", in_doubt(undo, doubtful), close])
        raise RunRefused(
            "undo {undo} of run {undone} is not finished: rows of this input are among those that it is still to "
            "take back.\nEnd it first: {resume}\nOr give up what is left of it, which stays in the billing: {close}",
            undo=undo.name,
            undone=undo.parameters[RUN],
            resume=command_line("resume", undo.name),
            close=close,
        )


def followers(name: str, runs: Sequence[Run]) -> list[Run]:
    """The deltas since a run, and since these, in their order."""
    found: list[Run] = []
    names = {name}
    for run in runs:
        if run.parameters.get(SINCE) in names and not run.discarded_at:
            found.append(run)
            names.add(run.name)
    return found


async def require_complete(run: Run, journal: Journal) -> None:
    """Raise `RunRefused` where a run, or a delta since, is not at its end, or nothing of the run is in effect."""
    for one in [run, *followers(run.name, await journal.runs())]:
        await require_content(one, journal)
        totals = await journal.totals(one)
        if await unfinished(one, journal):
            raise RunRefused(
                "run {run} is not at its end, and what it still enters is not known: go on with it first, {command}",
                run=one.name,
                command=command_line("resume", one.name),
            )
        if left := totals.count_where(settled=False):
            raise RunRefused(in_doubt(one, left))
        if await journal.replaced_in_lanes(one):
            raise RunRefused(
                "run {run} has entered of several rows of an account the last one alone ({rule}), so differences to "
                "the others say nothing. Enter by hand what has changed",
                run=one.name,
                rule=setting("shared-accounts", SharedAccountsRule.LAST),
            )
    totals = await journal.totals(run)
    if totals.standing:
        return
    if run.undone_by and totals.taken_back:
        raise RunRefused(
            "run {run} is taken back by run {undo}: give {flag} of a run that stands, or enter the new file as a "
            "whole, without {flag}",
            run=run.name,
            undo=run.undone_by,
            flag=setting("since"),
        )
    if not totals.count(State.SKIPPED):
        raise nothing_of(run)


def nothing_of(run: Run) -> RunRefused:
    return RunRefused(
        "nothing of run {run} is in the billing: enter the new file as a whole, without {flag}",
        run=run.name,
        flag=setting("since"),
    )


async def refuse_overtaken(run: Run, journal: Journal) -> None:
    """Raise `RunRefused` for a delta to whose runs something has changed since its list was begun."""
    if SINCE not in run.parameters:
        return
    for one in await journal.runs():
        is_of_job = one.target == run.target and one.job in {run.job, UNDO}
        if is_of_job and one.approved_at and one.name != run.name and one.approved_at > run.created_at:
            raise RunRefused(
                "run {other} has entered or taken back rows since this list was made: type the command again",
                other=one.name,
            )
