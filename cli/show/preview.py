"""The preview: what a run will do, shown before anything is sent."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from billing.profile import Profile
from checkpoints.journal import Journal
from checkpoints.records import Item, Reason, Refusal, Run, Shared, Totals
from checkpoints.sentences import DUPLICATE
from checkpoints.states import State
from cli.show.closing import (
    MAX_REFUSALS_SHOWN,
    accountants_list,
    first_refusals,
    refused_export,
    refused_rows,
)
from cli.show.parts import Part, facts, first_of, row_line, section, stack
from cli.show.steps import StepsFacts, steps_of, steps_table, to_send_of
from cli.terminal.layout import Hanging, badge_of, command, render
from cli.terminal.names import LEFT_OUT, REFUSED, STATE_NAMES, heading_of
from cli.terminal.texts import WHOLE, count, printable
from engine.job import Job
from engine.pacing.policy import Policy, describe_policy
from engine.sources.exported import is_of_export
from jobs.access.vault import mask_secrets
from jobs.imports.subscriber import DIFFERENT
from jobs.job import assigned_of
from jobs.rows.input import is_input
from jobs.shared_accounts import Question, in_sentences
from jobs.spec.columns import Assigned
from jobs.spec.parameters import DIGEST
from jobs.spec.undo_words import source_of
from texts.remedies import command_line, setting
from texts.said import Quantity, Said, counted, kind_of, said

LOOKED_AT: Final = 200
"""Rows to be sent that are checked for assumptions; the rows of a job are alike."""
_NAME: Final = 40
"""Characters of a column's name that are shown."""
_DIGITS: Final = 12
"""Digits of a digest that are shown; a report has all of them."""
_NAMES: Final = 12
"""Columns that are listed; the rest is counted."""

ZERO: Final = Decimal(0)
NO_COLUMNS: Final = Assigned({}, ())


@dataclass(frozen=True, slots=True)
class Target:
    """The billing of a run, for screens: its version, and the address of its database, if one is read."""

    version: str
    database: str | None


@dataclass(frozen=True, slots=True)
class RowsFound:
    """Rows of one kind: their number, their sum, and the first of them."""

    rows: int = 0
    sum: Decimal = ZERO
    first: Sequence[Item] = ()


NONE_FOUND: Final = RowsFound()


@dataclass(frozen=True, slots=True)
class PreviewFacts:
    """The facts of a run before its first call.

    `repeated` rows repeat an earlier row of the input and are never sent; `look_alikes` are to be sent and resemble
    entries in the billing; `different` are steps of an import whose object is there and differs. `assumptions` are
    the unconfirmed ones about the run's money, a sentence each.
    """

    run: Run
    totals: Totals
    has_amounts: bool
    skipped: Sequence[Reason] = ()
    refusals: Sequence[Refusal] = ()
    repeated: RowsFound = NONE_FOUND
    look_alikes: RowsFound = NONE_FOUND
    different: RowsFound = NONE_FOUND
    shared: Shared = field(default_factory=Shared)
    columns: Assigned = NO_COLUMNS
    assumptions: Sequence[str] = ()
    steps: StepsFacts | None = None

    @property
    def to_send(self) -> int:
        """The number of rows to be sent."""
        return self.totals.count(State.PENDING)

    @property
    def sum(self) -> Decimal:
        """The sum of the rows to be sent."""
        return self.totals.amounts.get(State.PENDING, ZERO)

    @property
    def bad(self) -> int:
        """The number of rows without which alone it is sent: refused ones and repeated ones."""
        return self.totals.refused + self.repeated.rows

    @property
    def rows_read(self) -> int:
        """The number of rows of the input."""
        if self.steps is None or self.steps.is_undo:
            return self.totals.read
        return self.steps.subscribers.all + self.totals.refused + sum(self.totals.left_out.values())

    @property
    def question(self) -> Said:
        """The question to the operator."""
        target = printable(self.run.target)
        if self.steps is not None:
            return said("Send {steps}, to {target}?", steps=to_send_line(self), target=target)
        if self.has_amounts:
            return counted(
                "Send this {n} row, {sum} in total, to {target}?",
                "Send these {n} rows, {sum} in total, to {target}?",
                self.to_send,
                sum=self.sum,
                target=target,
            )
        return counted(
            "Send this {n} row to {target}?", "Send these {n} rows to {target}?", self.to_send, target=target
        )


async def plan_of(run: Run, job: Job, journal: Journal) -> PreviewFacts:
    """The facts of a run of `job` whose list is saved, from the journal. Raises `InputRefused`."""
    to_send = await journal.items(run, {State.PENDING}, size=LOOKED_AT)
    assumptions = job.assumptions(to_send) if to_send else ()
    return replace(await facts_of(run, journal), columns=assigned_of(job, run.header), assumptions=assumptions)


async def facts_of(run: Run, journal: Journal) -> PreviewFacts:
    """The same without what only the job knows: the use of the columns, and its assumptions."""
    first = await journal.items(run, {State.PENDING, State.SKIPPED}, size=1)
    skipped = await journal.reasons(run, State.SKIPPED)
    noted = await journal.reasons(run, State.PENDING) if run.approved_at is None else []
    steps = await steps_of(run, journal)
    repeated = await _skipped(DUPLICATE, run, skipped, journal)
    if steps is not None:
        repeated = replace(repeated, rows=repeated.rows - steps.folders_asked_again)
    return PreviewFacts(
        run=run,
        totals=await journal.totals(run),
        has_amounts=bool(first) and first[0].amount is not None,
        skipped=skipped,
        refusals=await first_refusals(run, journal),
        repeated=repeated,
        look_alikes=await _found([one for one in noted if one.kind], look_alikes(run, journal)),
        different=await _skipped(DIFFERENT, run, skipped, journal),
        shared=await journal.shared_lanes(run),
        steps=steps,
    )


async def look_alikes(run: Run, journal: Journal) -> AsyncIterator[list[Item]]:
    """The rows to be sent that resemble existing entries, page by page, each with its message."""
    async for page in journal.each_page(run, {State.PENDING}):
        yield [item for item in page if item.message]


async def _skipped(kind: str, run: Run, skipped: Sequence[Reason], journal: Journal) -> RowsFound:
    """The rows that are skipped for a kind of reason."""
    pages = ([item for item in page if item.kind == kind] async for page in journal.each_page(run, {State.SKIPPED}))
    return await _found([reason for reason in skipped if reason.kind == kind], pages)


async def _found(reasons: Sequence[Reason], pages: AsyncIterator[list[Item]]) -> RowsFound:
    """The rows of these reasons; pages are read for the first of them alone, and only if there are any."""
    first: list[Item] = []
    if reasons:
        async for page in pages:
            first += page
            if len(first) >= MAX_REFUSALS_SHOWN:
                break
    rows, amount = sum(one.items for one in reasons), sum((one.amount for one in reasons), ZERO)
    return RowsFound(rows, amount, first[:MAX_REFUSALS_SHOWN])


def preview(plan: PreviewFacts, target: Target, journal: str, policy: Policy) -> RenderableType:
    """The screen of the preview."""
    run, of_rows, all_of_them = (
        plan.run,
        plan.steps is None,
        said("{command} lists them", command=command_line("plan")),
    )
    return stack(
        "",
        facts(
            (said("job"), job_line(run)),
            (said("rows from"), render(source_of(run))),
            (said("columns"), columns_line(plan.columns)),
            (said("read"), number_and_sum(plan.rows_read)),
            (said("to send"), render(to_send_line(plan), "bold")),
            *not_sent(plan),
            (REFUSED, render(number_and_sum(plan.totals.refused), "bold red") if plan.totals.refused else None),
            (said("note"), _shared(plan.shared.lanes) if plan.shared.lanes and of_rows else None),
            (said("caution"), caution_line(plan)),
            (said("settings"), badge_line(run)),
            (said("billing"), billing_line(run, target)),
            (
                said("database"),
                render(target.database or said("none: all is asked through the API, a call a row")),
            ),
            (said("journal"), said("{path}, run {run}", path=journal, run=run.name)),
            (said("pacing"), render(describe_policy(policy))),
            (said("assumed"), assumed_line(plan)),
        ),
        steps_part(plan),
        accountants_part(run, plan.totals),
        assumed_question(plan),
        look_alike_rows(plan, all_of_them),
        differences(plan, all_of_them),
        bad_rows(plan, refused_export(run)),
    )


def caution_line(plan: PreviewFacts) -> Text | None:
    """That rows resemble existing entries."""
    return render(look_alike_line(plan), "bold yellow") if plan.look_alikes.rows else None


def badge_line(run: Run) -> Text | None:
    """The profile of settings that a run was begun by, in its colour."""
    badge = badge_of(run.parameters)
    return badge.line if badge else None


def steps_part(plan: PreviewFacts) -> Part:
    """The steps of an import as a table."""
    return None if plan.steps is None else section(steps_table(plan.steps, begun=False))


def accountants_part(run: Run, totals: Totals) -> Part:
    """The command for the accountant's list of an undo."""
    if not (list_ := accountants_list(run, totals)):
        return None
    return stack(render(said("The list for the accountant; nothing is sent:"), "dim"), command(list_))


def job_line(run: Run) -> Text:
    """The job of a run and what was given to it; of a digest its beginning."""
    given = " ".join(
        f"{name}={value[:_DIGITS] if name.endswith(DIGEST) else value}"
        for name, value in given_parameters(run).items()
    )
    return Text(run.job, "bold").append(f"  {printable(given, WHOLE)}", "dim")


def billing_line(run: Run, target: Target) -> Said:
    """The billing of a run and its version."""
    version = printable(target.version)
    return said("{address}, version {version}", address=printable(run.target), version=version)


def number_and_sum(number: int, amount: Decimal | None = None) -> Said:
    """A number of rows, and their sum where they have one."""
    if amount is None:
        return counted("{n} row", "{n} rows", number)
    return counted("{n} row, {sum} in total", "{n} rows, {sum} in total", number, sum=amount)


def to_send_line(plan: PreviewFacts) -> Said:
    """The number and the sum of the rows to be sent."""
    if plan.steps is not None:
        steps = to_send_of(plan.steps, plan.to_send)
        return said("{steps}; {sum} in total", steps=steps, sum=plan.sum) if plan.sum else steps
    return number_and_sum(plan.to_send, plan.sum if plan.has_amounts and plan.to_send else None)


def look_alike_line(plan: PreviewFacts) -> Said:
    """The number and the sum of rows that resemble existing entries."""
    found = plan.look_alikes
    if plan.has_amounts:
        return counted(
            "{n} row, {sum} in total, looks as if entered already",
            "{n} rows, {sum} in total, look as if entered already",
            found.rows,
            sum=found.sum,
        )
    return counted("{n} row looks as if entered already", "{n} rows look as if entered already", found.rows)


def unanswered(plan: PreviewFacts) -> Said:
    """Why these rows are not sent where nobody is asked, and what to do."""
    return said(
        "{rows}, and {yes} answers no doubt. Type the command without it and look at them, or enter them on top with "
        "{again}",
        rows=look_alike_line(plan),
        yes=setting("yes"),
        again=setting("again"),
    )


def look_alike_rows(plan: PreviewFacts, all_of_them: str) -> RenderableType:
    """The first of these rows, each with the entry it resembles; `all_of_them` says where all are."""
    return first_of("?", plan.look_alikes.first, plan.look_alikes.rows, all_of_them)


def differences(plan: PreviewFacts, all_of_them: str) -> RenderableType:
    """The first steps whose object is there and differs; `all_of_them` says where all are."""
    return first_of("≠", plan.different.first, plan.different.rows, all_of_them)


def assumed_line(plan: PreviewFacts) -> Text:
    """The unconfirmed assumptions about the run's money; empty without any."""
    return Text("; ".join(map(printable, plan.assumptions)), "yellow")


def assumed_question(plan: PreviewFacts) -> Part:
    """The command that asks the billing about these assumptions."""
    if not plan.assumptions:
        return None
    known = {kind_of(one) for one in plan.assumptions}
    settings = (
        *(("--set", "storno_call=NAME") if known & {"storno_call", "storno_works", "storno_type_8"} else ()),
        *(("--create-in", "FOLDER") if "create_fields" in known else ()),
    )
    return stack(
        render(said("No probe has confirmed what is assumed; this asks the billing:"), "dim"),
        command(command_line("probe", "--abonent", "ID", *settings)),
    )


def shared_accounts(question: Question, profile: Profile) -> RenderableType:
    """The choice for accounts with several opening balances, and the first of them."""
    left = question.accounts - len(question.first)
    return section(
        *(Hanging(Text("? ", "yellow"), Text(printable(str(group), 400))) for group in question.first),
        render(said("… and {n} more accounts", n=Quantity(left)), "dim") if left > 0 else None,
        render(in_sentences(question, profile), "bold yellow"),
    )


def columns_line(columns: Assigned) -> Text:
    """The use of each column, and the unused columns; empty where the rows have no columns.

    Columns that an export has added are left out.
    """
    taken = [
        printable(name, _NAME)
        if name == column.name
        else f"{printable(name, _NAME)} = {printable(column.name, _NAME)}"
        for name, column in columns.taken.items()
    ]
    unused = [printable(title, _NAME) for title in columns.unused if not is_of_export(title)]
    uses = [render(_some_of(taken))] if taken else []
    uses += [render(said("not used: {columns}", columns=_some_of(unused)))] if unused else []
    return Text("; ").join(uses)


def _some_of(names: Sequence[str]) -> str:
    """The first names, and the number of the others."""
    if len(names) <= _NAMES:
        return ", ".join(names)
    return said("{names} and {n} more", names=tuple(names[:_NAMES]), n=Quantity(len(names) - _NAMES))


def given_parameters(run: Run) -> dict[str, str]:
    """The parameters of the run's job, without empty ones and with masked secrets."""
    return {name: mask_secrets(value) for name, value in run.parameters.items() if value and not is_input(name)}


def not_sent(plan: PreviewFacts) -> list[tuple[Said, Text]]:
    """A line for each reason for skipped rows, and one for each flag that leaves rows out."""
    lines: list[tuple[Said, Text]] = []
    for reason in plan.skipped if plan.steps is None or plan.steps.is_undo else ():
        line = Text(f"{count(reason.items)} × {heading_of(reason)}")
        if plan.has_amounts and plan.steps is None:
            line.append(", ").append_text(render(said("{sum} in total", sum=reason.amount)))
        if reason.line:
            first = said("first: line {line} ({label})", line=reason.line, label=printable(reason.label, 60))
            line.append("; ").append_text(render(first))
        lines.append((STATE_NAMES[State.SKIPPED], line))
    for flag, number in plan.totals.left_out.items():
        lines.append((LEFT_OUT, render(counted("{n} row by {flag}", "{n} rows by {flag}", number, flag=flag))))
    return lines


def bad_rows(plan: PreviewFacts, all_of_them: str) -> Group:
    """The first refused rows and the first duplicates, each with its line; `all_of_them` is the command for all."""
    refused, repeated = plan.totals.refused, plan.repeated
    shown = repeated.first if repeated.rows else ()
    left = repeated.rows - len(shown)
    return stack(
        refused_rows(plan.refusals, refused, all_of_them) if refused else None,
        *(row_line("=", item) for item in shown),
        render(said("… and {n} more duplicates", n=Quantity(left)), "dim") if left > 0 else None,
    )


def why_refused(plan: PreviewFacts, all_of_them: str) -> Said:
    """Why an input with bad rows is not sent, and the ways out; `all_of_them` is the command that shows them."""
    refused = counted(
        "{n} row of the input cannot be taken", "{n} rows of the input cannot be taken", plan.totals.refused
    )
    faults = duplicates = counted("{n} row is a duplicate", "{n} rows are duplicates", plan.repeated.rows)
    if plan.totals.refused:
        both = said("{refused}; {duplicates}", refused=refused, duplicates=duplicates)
        faults = both if plan.repeated.rows else refused
    if not plan.to_send:
        advice = said("Mend the input and run it again")
    elif plan.steps is not None:
        advice = said(
            "Mend the input and run it again, or leave the refused rows out: {flag} sends the good ones, {steps}",
            flag=setting("skip-bad"),
            steps=to_send_line(plan),
        )
    else:
        advice = counted(
            "Mend the input and run it again, or leave the refused rows out: {flag} sends the good ones, {n} row",
            "Mend the input and run it again, or leave the refused rows out: {flag} sends the good ones, {n} rows",
            plan.to_send,
            flag=setting("skip-bad"),
        )
    if not plan.totals.refused:
        return said("{faults}.\n{advice}.", faults=faults, advice=advice)
    return said(
        "{faults}.\n{advice}.\nThe refused rows as a file:\n{command}",
        faults=faults,
        advice=advice,
        command=all_of_them,
    )


def _shared(number: int) -> Said:
    return counted(
        "{n} account is reached by several rows; their calls go one after the other",
        "{n} accounts are reached by several rows; their calls go one after the other",
        number,
    )
