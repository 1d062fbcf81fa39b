"""The verdict of a report: what became of the rows, in one sentence; and the sections of an import."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from typing import Final

from checkpoints.rows import StepCount
from checkpoints.sentences import AS_WANTED
from checkpoints.states import State
from checkpoints.tally import TallyGroup, TallyKind, summed
from cli.report.facts import EXTRA_SHOWN, ReportedRun, ReportFacts, SubjectKind
from cli.report.sums import LEFT_OUT, REFUSED, STATES, Line, at_least, refused_line
from cli.report.tables import FileBeside, ReportTable, Section, TableWriter, shown
from cli.show.closing import describe_end, perhaps_in_effect
from cli.terminal.names import OUTCOMES, TALLY_KINDS, name_of_group
from jobs.imports.subscriber import DIFFERENT, STEP_NAMES, Step
from jobs.spec.import_words import IMPORT
from jobs.spec.undo_words import RUN, UNDO
from jobs.sums import Effect, RunSums, Subscribers, sum_over
from texts.remedies import PROGRAM
from texts.said import Quantity, Said, Value, counted, said

# ---- an import in a report ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Outcome:
    """A column of the table of steps: what became of them."""

    name: Said
    holds: Callable[[StepCount], bool]


_OUTCOMES: Final = (
    _Outcome(said("In the billing"), lambda one: one.state.in_effect),
    _Outcome(said("There before"), lambda one: one.kind == AS_WANTED),
    _Outcome(said("Left as it was"), lambda one: one.kind == DIFFERENT),
    _Outcome(said("Skipped"), lambda one: one.kind not in {"", AS_WANTED, DIFFERENT}),
    _Outcome(said("Rejected"), lambda one: one.state is State.REJECTED),
    _Outcome(said("In doubt"), lambda one: one.state.counts_money and not one.state.in_effect),
    _Outcome(said("To be sent"), lambda one: one.state is State.PENDING),
)


def import_sections(one: ReportedRun, write: TableWriter) -> Iterator[Section]:
    """What became of the subscribers of an import, of their steps, and of their opening balances."""
    subscribers, balances = import_tables([one], write)
    yield Section(write.text(said("What was asked, and what came of it")), (subscribers,))
    title = write.text(said("Steps of the subscribers"))
    yield Section(title, (_steps(one.steps, write),), after=_left_as_it_was(one.steps, write))
    notes = at_least(one.sums.whole, sum(one.totals.left_out.values()))
    yield Section(write.text(said("Control sums")), (balances,), after=" ".join(map(write.text, notes)))


def import_tables(runs: Sequence[ReportedRun], write: TableWriter) -> tuple[ReportTable, ReportTable]:
    """The subscribers of imports by what became of them, and their opening balances."""
    known = reduce(Subscribers.__add__, [one.subscribers for one in runs if one.subscribers])
    rows = ((name, Quantity(number)) for name, number in _subscribers(known))
    head = (said("Subscribers"), said("Number"))
    columns = (said("Opening balances"), said("Number"), said("Amount"))
    balances = ((name, Quantity(number), amount) for name, number, amount in _balances(runs))
    return (
        write.table(head, rows, widths=(76, 24), numbers={1}, has_sum=True),
        write.table(columns, balances, widths=(60, 16, 24), numbers={1, 2}),
    )


def _subscribers(known: Subscribers) -> Iterator[tuple[Said, int]]:
    yield said("in the billing with all that belongs to them"), known.complete
    yield said("with a rejected step"), known.known.rejected
    if known.known.left_alone:
        yield said("there before, and different from the file"), known.known.left_alone
    if known.known.open:
        yield said("not at their end"), known.known.open
    yield REFUSED, known.refused
    if known.left_out:
        yield LEFT_OUT, known.left_out
    yield said("all subscribers of the file"), known.all


def _steps(steps: Sequence[StepCount], write: TableWriter) -> ReportTable:
    outcomes = [_OUTCOMES[0], *(it for it in _OUTCOMES[1:] if any(map(it.holds, steps)))]
    there = [step for step in Step if any(one.step == step for one in steps)]
    rows: list[tuple[Value, ...]] = [(STEP_NAMES[step], *_numbers(steps, outcomes, step)) for step in there]
    if len(there) > 1:
        rows.append((said("all"), *_numbers(steps, outcomes)))
    width = 70 // len(outcomes)
    return write.table(
        (said("Step"), *(it.name for it in outcomes)),
        rows,
        widths=(100 - width * len(outcomes), *[width] * len(outcomes)),
        numbers=range(1, len(outcomes) + 1),
        has_sum=len(there) > 1,
    )


def _numbers(steps: Sequence[StepCount], outcomes: Sequence[_Outcome], step: Step | None = None) -> list[Quantity]:
    mine = [one for one in steps if step is None or one.step == step]
    return [Quantity(sum(one.items for one in mine if outcome.holds(one))) for outcome in outcomes]


def _left_as_it_was(steps: Sequence[StepCount], write: TableWriter) -> str:
    left = sum(one.items for one in steps if one.kind == DIFFERENT)
    if not left:
        return ""
    told = counted(
        "{n} step has found another value there, and left it: see the exceptions.",
        "{n} steps have found other values there, and left them: see the exceptions.",
        left,
    )
    return write.text(told)


def _balances(runs: Sequence[ReportedRun]) -> Iterator[Line]:
    sums = [one.sums for one in runs]
    asked, entered = sum_over(sums, lambda one: one.whole), sum_over(sums, lambda one: one.in_effect)
    missing = asked - entered
    yield said("asked for by the file"), asked.rows, asked.amount
    yield said("accepted by the billing"), entered.rows, entered.amount
    yield said("asked for, and not accepted"), missing.rows, missing.amount
    if (refused := sum_over(sums, lambda one: one.refused)).rows:
        open_or_left = [it for it in STATES if not it.in_effect]
        left = ((it, sum_over(sums, lambda one, it=it: one.of(it))) for it in open_or_left)  # type: ignore[misc]
        for name, number, amount in (
            refused_line(refused),
            *((OUTCOMES[it], sub.rows, sub.amount) for it, sub in left),
        ):
            if number:
                yield said("of these: {outcome}", outcome=name), number, amount
    if read := [one.verification.result for one in runs if one.verification]:
        gap = sum((Decimal(it["found"]) - Decimal(it["expected"]) for it in read), Decimal(0))
        yield said("difference when they were read back"), sum(int(it["different"]) for it in read), gap


# ---- the verdict on an import --------------------------------------------------------------------------------------


def entered_by_import(one: ReportedRun, known: Subscribers) -> Said:
    """What an import has entered, for the verdict."""
    return counted(
        "{n} of {asked} subscribers is in the billing with all that belongs to them; opening balances of {sum} are "
        "entered",
        "{n} of {asked} subscribers are in the billing with all that belongs to them; opening balances of {sum} are "
        "entered",
        known.complete,
        asked=Quantity(known.all),
        sum=one.sums.in_effect.amount,
    )


def left_by_import(one: ReportedRun, known: Subscribers) -> Iterator[Said]:
    """What an import has not entered, for the verdict."""
    if missing := known.known.rejected + known.refused:
        yield counted("{n} subscriber is missing or not whole", "{n} subscribers are missing or not whole", missing)
    if different := sum(it.items for it in one.steps if it.kind == DIFFERENT):
        yield counted(
            "{n} value that was there already is another one than in the file",
            "{n} values that were there already are others than in the file",
            different,
        )


# ---- the verdict of a report --------------------------------------------------------------------------------------


def job_name(one: ReportedRun) -> Said | str:
    """What a run does, for people, with the name of its job; the name alone where its declaration is gone."""
    run = one.run
    if run.job == UNDO:
        return said("take run {run} back ({job})", run=run.parameters[RUN], job=run.job)
    if one.spec is None:
        return run.job
    return said("{summary} ({job})", summary=one.spec.summary, job=run.job)


def verdict_of(facts: ReportFacts) -> Iterator[Said]:
    """The clauses of the verdict."""
    if facts.kind is not SubjectKind.FILE and facts.main.is_discarded:
        yield said("the load was given up before anything was sent")
        return
    if facts.kind is SubjectKind.UNDO:
        judged = [facts.main]
        yield _taken_back(facts.main, facts.runs[-2])
    else:
        judged = list(facts.runs)
        yield from _entered(judged)
    yield from _read_back(judged)
    yield from _left(judged)
    if facts.steps_not_begun:
        numbers = ", ".join(map(str, facts.steps_not_begun))
        yield said("steps that are not begun: {numbers}", numbers=numbers)
    elif facts.is_unfinished:
        yield said("the load is not at its end")


def _entered(runs: Sequence[ReportedRun]) -> Iterator[Said]:
    """What was entered, what was taken back of it by undos among the runs, and what was only read."""
    if len(runs) == 1 and (subscribers := runs[0].subscribers) is not None:
        yield entered_by_import(runs[0], subscribers)
        return
    entering, undos, reading = _parted(runs)
    if entering:
        asked, entered = sum_over(entering, lambda one: one.asked), sum_over(entering, lambda one: one.entered)
        yield counted(
            "{n} of {asked} rows is in the billing{sum}",
            "{n} of {asked} rows are in the billing{sum}",
            entered.rows,
            asked=Quantity(asked.rows),
            sum=_of_sum(entered.amount, entering),
        )
    if undos:
        back = sum_over(undos, lambda one: one.taken_back)
        yield counted(
            "{n} row was taken back of what was entered{sum}",
            "{n} rows were taken back of what was entered{sum}",
            back.rows,
            sum=_of_sum(back.amount, undos),
        )
    if reading:
        asked, read = sum_over(reading, lambda one: one.asked), sum_over(reading, lambda one: one.in_effect)
        yield counted(
            "{n} of {asked} rows was read from the billing{sum}",
            "{n} of {asked} rows were read from the billing{sum}",
            read.rows,
            asked=Quantity(asked.rows),
            sum="",
        )


def _parted(runs: Sequence[ReportedRun]) -> tuple[list[RunSums], list[RunSums], list[RunSums]]:
    """The sums of runs that enter, of those that take back or restore, and of those that only read."""
    sums = [one.sums for one in runs]
    return (
        [one for one in sums if one.effect is Effect.ENTERS],
        [one for one in sums if one.effect in {Effect.TAKES_BACK, Effect.RESTORES}],
        [one for one in sums if one.effect is Effect.READS],
    )


def _taken_back(undo: ReportedRun, before: ReportedRun) -> Said:
    done = undo.sums.in_effect
    values: dict[str, Value] = {"run": before.run.name}
    if before.subscribers is not None:
        return counted(
            "{n} of the {asked} subscribers of run {run} is taken back{sum}",
            "{n} of the {asked} subscribers of run {run} are taken back{sum}",
            undo.persons,
            asked=Quantity(before.persons),
            sum=said(", {sum} in total", sum=-done.amount),
            **values,
        )
    if undo.sums.effect is Effect.RESTORES:
        return counted(
            "{n} of the {asked} rows that run {run} took back is restored{sum}",
            "{n} of the {asked} rows that run {run} took back are restored{sum}",
            done.rows,
            asked=Quantity(before.sums.in_effect.rows),
            sum=_of_sum(done.amount, [undo.sums]),
            **values,
        )
    return counted(
        "{n} of the {asked} rows of run {run} is taken back{sum}",
        "{n} of the {asked} rows of run {run} are taken back{sum}",
        done.rows,
        asked=Quantity(before.sums.in_effect.rows),
        sum=said(", {sum} in total", sum=-done.amount) if done.amount else "",
        **values,
    )


def _of_sum(amount: Decimal, runs: Sequence[RunSums]) -> Value:
    return said(", {sum} in total", sum=amount) if any(one.has_money for one in runs) else ""


def _read_back(judged: list[ReportedRun]) -> Iterator[Said]:
    """What the billing has said of the rows since."""
    writing = [one for one in judged if one.writes]
    results = [one.verification.result for one in writing if one.verification]
    different = sum(int(result["different"]) for result in results)
    if different:
        yield counted(
            "{n} row is not in the billing as it was sent",
            "{n} rows are not in the billing as they were sent",
            different,
        )
    accounts = sum(int(result.get("accounts_different", 0)) for result in results)
    if accounts:
        yield counted(
            "the balance of {n} account is another one than was sent",
            "the balances of {n} accounts are others than were sent",
            accounts,
        )
    groups = sum(one.tally.different for one in writing if one.tally)
    if groups:
        yield counted(
            "the totals of {n} folder, tariff or operator are others than those of the file",
            "the totals of {n} folders, tariffs and operators are others than those of the file",
            groups,
        )
    unread = sum(one.totals.count(State.ACCEPTED) for one in writing) - different
    if unread > 0:
        yield counted("{n} row was not read back", "{n} rows were not read back", unread)
    elif any(one.sums.in_effect.rows for one in writing) and not different + accounts + groups:
        yield said("all of that was read back from the billing as it was sent")


def _left(judged: list[ReportedRun]) -> Iterator[Said]:
    """The rows that are not in the billing, or of which nobody knows."""
    for one in judged:
        if one.subscribers is not None:
            yield from left_by_import(one, one.subscribers)
    others = [one for one in judged if one.subscribers is None]
    undos = [one for one in others if one.is_undo]
    if missing := _not_in_effect(one for one in others if not one.is_undo):
        yield counted("{n} row was not entered", "{n} rows were not entered", missing)
    if missing := _not_in_effect(undos):
        yield counted("{n} row was not taken back", "{n} rows were not taken back", missing)
    if merged := sum(one.totals.merged for one in others):
        yield counted(
            "{n} row is part of the amount of another row",
            "{n} rows are part of the amounts of other rows",
            merged,
        )
    if skipped := sum(one.sums.of(State.SKIPPED).rows for one in others):
        yield counted("{n} row was skipped", "{n} rows were skipped", skipped)
    if doubtful := sum(one.in_doubt for one in judged):
        yield counted(
            "it is not known of {n} row whether it is in the billing",
            "it is not known of {n} rows whether they are in the billing",
            doubtful,
        )
    yield from _ends(judged)
    yield from _since(judged)


def _since(judged: Sequence[ReportedRun]) -> Iterator[Said]:
    """What undos have made of rows since, where these are not judged beside them."""
    back = sum(one.history.rows_taken_back for one in judged)
    if not back or (len(judged) > 1 and any(one.is_undo for one in judged)):
        return
    match judged[0].sums.effect:
        case Effect.TAKES_BACK:
            yield counted("{n} row was restored since", "{n} rows were restored since", back)
        case Effect.RESTORES:
            yield counted("{n} row was taken back again since", "{n} rows were taken back again since", back)
        case _ if len(judged) == 1 and judged[0].subscribers is not None:
            yield counted(
                "{n} subscriber was taken back since",
                "{n} subscribers were taken back since",
                judged[0].persons_taken_back,
            )
        case _:
            yield counted("{n} row was taken back since", "{n} rows were taken back since", back)


def _ends(judged: Iterable[ReportedRun]) -> Iterator[Said]:
    """The runs that were ended for good, and the rows that they will never send."""
    for one in judged:
        if end := describe_end(one.run):
            yield said("run {run} has ended: {end}", run=one.run.name, end=end)
            if one.totals.unsent:
                yield counted("{n} row was never sent", "{n} rows were never sent", one.totals.unsent)
            if perhaps := perhaps_in_effect(one.totals):
                yield perhaps


def _not_in_effect(runs: Iterable[ReportedRun]) -> int:
    """The rows that the billing has rejected, or that were refused before."""
    return sum(one.totals.count(State.REJECTED) + one.totals.refused for one in runs)


# ---- the reconciliation of an import ------------------------------------------------------------------------------


_WIDTHS: Final = (20, 11, 10, 15, 14, 14, 16)
_NUMBERS: Final = frozenset(range(1, len(_WIDTHS)))


def tally_sections(one: ReportedRun, file: FileBeside | None, write: TableWriter) -> Iterator[Section]:
    """The sections of an import: its totals by group, and the subscribers who are not in its file."""
    if one.run.job != IMPORT or one.is_discarded:
        return
    title = write.text(said("Totals by folder, tariff and operator: file and billing"))
    tally = one.tally
    if tally is None:
        yield Section(title, before=write.text(_not_compared(one)))
        return
    kinds = [(kind, groups) for kind in TallyKind if (groups := tally.of(kind))]
    tables = tuple(_table(kind, groups, write) for kind, groups in kinds)
    before = [_verdict(tally.different)]
    after = list(_explained(tally.groups))
    if tally.refused:
        after.append(
            counted(
                "{n} row of the file was refused before sending, with {sum}, and is in none of these figures.",
                "{n} rows of the file were refused before sending, with {sum}, and are in none of these figures.",
                tally.refused,
                sum=one.sums.refused.amount,
            )
        )
    yield Section(title, tables, before=_joined(before, write), after=_joined(after, write))
    yield _extra(one, file, write)


def _joined(sentences: Sequence[Said], write: TableWriter) -> str:
    return " ".join(map(write.text, sentences))


def _not_compared(one: ReportedRun) -> Said:
    if one.undone_by:
        return said("Not counted: rows of this run were taken back.")
    return said(
        "Not counted in the billing yet. {command} does it; it needs the billing's database.",
        command=f"{PROGRAM} verify {one.run.name}",
    )


def _verdict(different: int) -> Said:
    if not different:
        return said("The billing has in each group what the file has.")
    return counted(
        "{n} group has other totals in the billing than in the file; it stands first.",
        "{n} groups have other totals in the billing than in the file; they stand first.",
        different,
    )


def _table(kind: TallyKind, groups: Sequence[TallyGroup], write: TableWriter) -> ReportTable:
    head = (
        TALLY_KINDS[kind],
        said("Subscribers, file"),
        said("billing"),
        said("difference"),
        said("Balances, file"),
        said("billing"),
        said("difference"),
    )
    rows = [_row(shown(write.text(name_of_group(one))), one) for one in groups]
    if len(groups) > 1:
        rows.append(_row(said("all"), summed(groups)))
    return write.table(head, rows, widths=_WIDTHS, numbers=_NUMBERS, has_sum=len(groups) > 1)


def _row(name: str, group: TallyGroup) -> tuple[Value, ...]:
    file, billing, gap = group.file, group.billing, group.difference
    return (
        name,
        Quantity(file.subscribers),
        Quantity(billing.subscribers),
        Quantity(gap.subscribers),
        file.balance,
        billing.balance,
        gap.balance,
    )


def _explained(groups: Sequence[TallyGroup]) -> Iterator[Said]:
    """What of the differences is known from the journal, or comes from later operations; each subscriber once."""
    by_folder = [one for one in groups if one.kind is (groups[0].kind if groups else None)]
    if not by_folder:
        return
    whole = summed(by_folder)
    if whole.not_entered and not whole.not_entered.subscribers:
        yield said(
            "Opening balances of {balance} were not entered: see the exceptions.", balance=whole.not_entered.balance
        )
    elif whole.not_entered:
        yield counted(
            "{n} subscriber of the file was not entered, and opening balances of {balance}: see the exceptions.",
            "{n} subscribers of the file were not entered, and opening balances of {balance}: see the exceptions.",
            whole.not_entered.subscribers,
            balance=whole.not_entered.balance,
        )
    if whole.moved:
        yield counted(
            "{n} subscriber has later operations, which have moved the balance by {balance}.",
            "{n} subscribers have later operations, which have moved their balances by {balance}.",
            whole.moved.subscribers,
            balance=whole.moved.balance,
        )


def _extra(one: ReportedRun, file: FileBeside | None, write: TableWriter) -> Section:
    title = write.text(said("In these folders and not in the file"))
    tally = one.tally
    if tally is None or not tally.extra:
        return Section(title, before=write.text(said("None.")))
    before = [
        counted(
            "{n} subscriber of the billing is in a folder of the import and not in its file.",
            "{n} subscribers of the billing are in folders of the import and not in its file.",
            tally.extra,
        )
    ]
    if file is not None:
        before.append(
            said(
                "The first {shown} stand here; {kept} are in the file {file}, SHA-256 {digest}.",
                shown=Quantity(EXTRA_SHOWN),
                kept=Quantity(len(tally.first_extra)),
                file=file.name,
                digest=file.digest,
            )
        )
    rows = (
        (shown(it.number) or None, shown(it.name), str(it.abonent_id), str(it.folder or "–"), it.balance)
        for it in tally.first_extra[:EXTRA_SHOWN]
    )
    head = (said("Contract"), said("Name"), said("Id"), said("Folder"), said("Balance"))
    table = write.table(head, rows, widths=(20, 38, 12, 12, 18), numbers={4})
    return Section(title, (table,), before=_joined(before, write))
