"""The verdict of a report: what became of the rows, in one sentence, of clauses that are joined by semicolons."""

from collections.abc import Iterator
from decimal import Decimal

from checkpoints.states import State
from cli.report.facts import ReportedRun
from cli.report.steps import entered_by_import, left_by_import
from cli.report.subject import ReportFacts, SubjectKind
from cli.report.sums import sum_over
from cli.show.closing import describe_end
from jobs.spec.undo_words import RUN, UNDO
from texts.said import Quantity, Said, Value, counted, said


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
        yield _taken_back(facts.main, facts.runs[-2])
        judged = [facts.main]
    else:
        yield _entered(facts)
        judged = list(facts.runs)
    yield from _read_back(judged)
    yield from _left(judged)
    if facts.steps_not_begun:
        numbers = ", ".join(map(str, facts.steps_not_begun))
        yield said("steps that are not begun: {numbers}", numbers=numbers)
    elif facts.is_unfinished:
        yield said("the load is not at its end")


def _entered(facts: ReportFacts) -> Said:
    main = facts.main
    if main.subscribers is not None and len(facts.runs) == 1:
        return entered_by_import(main, main.subscribers)
    asked, entered = sum_over(facts.runs, lambda one: one.asked), sum_over(facts.runs, lambda one: one.in_effect)
    values: dict[str, Value] = {"asked": Quantity(asked.rows), "sum": _of_sum(entered.amount, facts)}
    if not any(one.writes for one in facts.runs):
        return counted(
            "{n} of {asked} rows was read from the billing{sum}",
            "{n} of {asked} rows were read from the billing{sum}",
            entered.rows,
            **values,
        )
    return counted(
        "{n} of {asked} rows is in the billing{sum}",
        "{n} of {asked} rows are in the billing{sum}",
        entered.rows,
        **values,
    )


def _taken_back(undo: ReportedRun, before: ReportedRun) -> Said:
    done, of_all = undo.in_effect, before.in_effect
    amount = -(done.amount or Decimal(0))
    if before.subscribers is not None:
        return counted(
            "{n} of the {asked} subscribers of run {run} is taken back{sum}",
            "{n} of the {asked} subscribers of run {run} are taken back{sum}",
            undo.persons,
            asked=Quantity(before.persons),
            run=before.run.name,
            sum=said(", {sum} in total", sum=before.history.sum_taken_back),
        )
    return counted(
        "{n} of the {asked} rows of run {run} is taken back{sum}",
        "{n} of the {asked} rows of run {run} are taken back{sum}",
        done.rows,
        asked=Quantity(of_all.rows),
        run=before.run.name,
        sum=said(", {sum} in total", sum=amount) if amount else "",
    )


def _of_sum(amount: Decimal | None, facts: ReportFacts) -> Value:
    return said(", {sum} in total", sum=amount or Decimal(0)) if facts.has_money else ""


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
    elif any(one.in_effect.rows for one in writing) and not different + accounts + groups:
        yield said("all of that was read back from the billing as it was sent")


def _left(judged: list[ReportedRun]) -> Iterator[Said]:
    """The rows that are not in the billing, or of which nobody knows."""
    for one in judged:
        if one.subscribers is not None:
            yield from left_by_import(one, one.subscribers)
    others = [one for one in judged if one.subscribers is None]
    missing = sum(one.totals.count(State.REJECTED) + one.totals.refused for one in others)
    if missing:
        yield counted("{n} row was not entered", "{n} rows were not entered", missing)
    if skipped := sum(one.totals.count(State.SKIPPED) for one in others):
        yield counted("{n} row was skipped", "{n} rows were skipped", skipped)
    if doubtful := sum(one.in_doubt for one in judged):
        yield counted(
            "it is not known of {n} row whether it is in the billing",
            "it is not known of {n} rows whether they are in the billing",
            doubtful,
        )
    for one in judged:
        if end := describe_end(one.run):
            yield said("run {run} has ended: {end}", run=one.run.name, end=end)
            if one.totals.unsent:
                yield counted("{n} row was never sent", "{n} rows were never sent", one.totals.unsent)
    if not any(one.is_undo for one in judged) and (back := sum(one.history.rows_taken_back for one in judged)):
        yield counted("{n} row was taken back since", "{n} rows were taken back since", back)
