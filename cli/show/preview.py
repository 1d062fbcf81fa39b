"""The preview: what a run will do, shown before anything is sent."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

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
from cli.show.steps import StepsFacts, steps_of, steps_table, to_send_of
from cli.terminal.layout import Facts, Hanging, add_badge, command, render
from cli.terminal.names import LEFT_OUT, REFUSED, STATE_NAMES, heading_of, place_of
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

LOOKED_AT = 200
"""Rows to be sent that are checked for assumptions; the rows of a job are alike."""

_NAME = 40
"""Characters of a column's name that are shown."""

_DIGITS = 12
"""Digits of a digest that are shown; a report has all of them."""

_NAMES = 12
"""Columns that are listed; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Target:
    """The billing of a run, for screens: its version, and the address of its database, if one is read."""

    version: str
    database: str | None


@dataclass(frozen=True, slots=True)
class PreviewFacts:
    """The facts of a run before its first call."""

    run: Run
    totals: Totals
    has_amounts: bool
    skipped: Sequence[Reason]
    refusals: Sequence[Refusal]
    repeated: Sequence[Item]
    shared: Shared
    columns: Assigned
    look_alikes: Sequence[Reason] = ()
    """Entries in the billing that resemble rows to be sent, by kind."""
    first_look_alikes: Sequence[Item] = ()
    assumptions: Sequence[str] = ()
    """Unconfirmed assumptions about its money, one sentence each."""
    steps: StepsFacts | None = None
    """The steps of an import, whose rows they are."""
    first_differences: Sequence[Item] = ()
    """The first steps of an import whose object is there and differs."""

    @property
    def look_alike_rows(self) -> int:
        """The number of rows to be sent that resemble existing entries."""
        return sum(reason.items for reason in self.look_alikes)

    @property
    def look_alike_sum(self) -> Decimal:
        """The sum of these rows."""
        return sum((reason.amount for reason in self.look_alikes), Decimal(0))

    @property
    def to_send(self) -> int:
        """The number of rows to be sent."""
        return self.totals.count(State.PENDING)

    @property
    def sum(self) -> Decimal:
        """The sum of the rows to be sent."""
        return self.totals.amounts.get(State.PENDING, Decimal(0))

    @property
    def duplicates(self) -> int:
        """The number of rows that repeat an earlier row of the input; they are never sent."""
        return self._skipped(DUPLICATE) - (self.steps.folders_asked_again if self.steps else 0)

    @property
    def differences(self) -> int:
        """The number of steps of an import whose object is there and differs."""
        return self._skipped(DIFFERENT)

    def _skipped(self, kind: str) -> int:
        return sum(reason.items for reason in self.skipped if reason.kind == kind)

    @property
    def duplicates_sum(self) -> Decimal:
        """The sum of the duplicates."""
        return sum((reason.amount for reason in self.skipped if reason.kind == DUPLICATE), Decimal(0))

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
    first = await journal.items(run, {State.PENDING, State.SKIPPED}, size=1)
    to_send = await journal.items(run, {State.PENDING}, size=LOOKED_AT)
    skipped = await journal.reasons(run, State.SKIPPED)
    noted = await journal.reasons(run, State.PENDING) if run.approved_at is None else []
    alike = [reason for reason in noted if reason.kind]
    return PreviewFacts(
        run=run,
        totals=await journal.totals(run),
        has_amounts=bool(first) and first[0].amount is not None,
        skipped=skipped,
        refusals=await first_refusals(run, journal),
        repeated=await _first_skipped(DUPLICATE, run, skipped, journal),
        first_differences=await _first_skipped(DIFFERENT, run, skipped, journal),
        shared=await journal.shared_lanes(run),
        columns=assigned_of(job, run.header),
        assumptions=job.assumptions(to_send) if to_send else (),
        look_alikes=alike,
        steps=await steps_of(run, journal),
        first_look_alikes=await _first_look_alikes(run, journal) if alike else (),
    )


async def look_alikes(run: Run, journal: Journal) -> AsyncIterator[list[Item]]:
    """The rows to be sent that resemble existing entries, page by page, each with its message."""
    async for page in journal.each_page(run, {State.PENDING}):
        yield [item for item in page if item.message]


async def _first_look_alikes(run: Run, journal: Journal) -> list[Item]:
    found: list[Item] = []
    async for page in look_alikes(run, journal):
        found += page
        if len(found) >= MAX_REFUSALS_SHOWN:
            break
    return found[:MAX_REFUSALS_SHOWN]


async def _first_skipped(kind: str, run: Run, skipped: Sequence[Reason], journal: Journal) -> list[Item]:
    """The first rows that are skipped for a kind of reason."""
    found: list[Item] = []
    if any(reason.kind == kind for reason in skipped):
        async for page in journal.each_page(run, {State.SKIPPED}):
            found += [item for item in page if item.kind == kind]
            if len(found) >= MAX_REFUSALS_SHOWN:
                break
    return found[:MAX_REFUSALS_SHOWN]


def preview(plan: PreviewFacts, target: Target, journal: str, policy: Policy) -> RenderableType:
    """The screen of the preview."""
    table = Facts()
    run, totals = plan.run, plan.totals
    table.add(said("job"), job_line(run))
    table.add(said("rows from"), render(source_of(run)))
    if columns := columns_line(plan.columns):
        table.add(said("columns"), columns)
    table.add(said("read"), number_and_sum(plan.rows_read))
    table.add(said("to send"), render(to_send_line(plan), "bold"))
    add_what_is_not_sent(table, plan)
    if totals.refused:
        table.add(REFUSED, render(number_and_sum(totals.refused), "bold red"))
    if plan.shared.lanes and plan.steps is None:
        table.add(said("note"), _shared(plan.shared.lanes))
    if plan.look_alike_rows:
        table.add(said("caution"), render(look_alike_line(plan), "bold yellow"))
    add_badge(table, run.parameters)
    table.add(said("billing"), billing_line(run, target))
    none = said("none: all is asked through the API, a call a row")
    table.add(said("database"), render(target.database or none))
    table.add(said("journal"), said("{path}, run {run}", path=journal, run=run.name))
    table.add(said("pacing"), render(describe_policy(policy)))
    if plan.assumptions:
        table.add(said("assumed"), assumed_line(plan))
    parts: list[RenderableType] = [Text(""), table]
    if plan.steps is not None:
        parts += [Text(""), steps_table(plan.steps, begun=False)]
    if list_ := accountants_list(run, totals):
        parts += [render(said("The list for the accountant; nothing is sent:"), "dim"), command(list_)]
    parts += [
        assumed_question(plan),
        look_alike_rows(plan, said("{command} lists them", command=command_line("plan"))),
        differences(plan, said("{command} lists them", command=command_line("plan"))),
        bad_rows(plan, refused_export(run)),
    ]
    return Group(*parts)


def job_line(run: Run) -> Text:
    """The job of a run and what was given to it."""
    return Text(run.job, "bold").append(f"  {printable(parameters_of(run), WHOLE)}", "dim")


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
    if plan.has_amounts:
        return counted(
            "{n} row, {sum} in total, looks as if entered already",
            "{n} rows, {sum} in total, look as if entered already",
            plan.look_alike_rows,
            sum=plan.look_alike_sum,
        )
    return counted("{n} row looks as if entered already", "{n} rows look as if entered already", plan.look_alike_rows)


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
    return _first_of(plan.first_look_alikes, "?", plan.look_alike_rows, all_of_them)


def differences(plan: PreviewFacts, all_of_them: str) -> RenderableType:
    """The first steps whose object is there and differs; `all_of_them` says where all are."""
    return _first_of(plan.first_differences, "≠", plan.differences, all_of_them)


def _first_of(first: Sequence[Item], sign: str, number: int, all_of_them: str) -> RenderableType:
    """The first of so many rows, each behind a sign."""
    lines: list[RenderableType] = [_row(sign, item) for item in first]
    if number > len(lines):
        lines.append(and_more(number - len(lines), all_of_them))
    return Group(*([Text(""), *lines] if lines else []))


def and_more(number: int, all_of_them: str) -> Text:
    """The number of rows that are not shown, and where all are."""
    return render(said("… and {n} more; {all}", n=Quantity(number), all=all_of_them), "dim")


def _row(sign: str, item: Item) -> Hanging:
    """A row with its message."""
    line = render(place_of(item), "bold").append(f" ({printable(item.label, 60)})", "dim")
    return Hanging(Text(f"{sign} ", "yellow"), line.append(f": {printable(item.message)}"))


def assumed_line(plan: PreviewFacts) -> Text:
    """The unconfirmed assumptions about the run's money."""
    return Text("; ".join(map(printable, plan.assumptions)), "yellow")


def assumed_question(plan: PreviewFacts) -> RenderableType:
    """The command that asks the billing about these assumptions."""
    if not plan.assumptions:
        return Group()
    facts = {kind_of(one) for one in plan.assumptions}
    settings = (
        *(("--set", "storno_call=NAME") if facts & {"storno_call", "storno_works", "storno_type_8"} else ()),
        *(("--create-in", "FOLDER") if "create_fields" in facts else ()),
    )
    return Group(
        render(said("No probe has confirmed what is assumed; this asks the billing:"), "dim"),
        command(command_line("probe", "--abonent", "ID", *settings)),
    )


def shared_accounts(question: Question, profile: Profile) -> RenderableType:
    """The choice for accounts with several opening balances, and the first of them."""
    lines: list[RenderableType] = [
        Hanging(Text("? ", "yellow"), Text(printable(str(group), 400))) for group in question.first
    ]
    if question.accounts > len(lines):
        more = said("… and {n} more accounts", n=Quantity(question.accounts - len(lines)))
        lines.append(render(more, "dim"))
    return Group(Text(""), *lines, render(in_sentences(question, profile), "bold yellow"))


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


def parameters_of(run: Run) -> str:
    """The parameters of the run's job, as typed; of a digest its beginning."""
    given = given_parameters(run)
    return " ".join(f"{name}={value[:_DIGITS] if name.endswith(DIGEST) else value}" for name, value in given.items())


def given_parameters(run: Run) -> dict[str, str]:
    """The parameters of the run's job, without empty ones and with masked secrets."""
    return {name: mask_secrets(value) for name, value in run.parameters.items() if value and not is_input(name)}


def add_what_is_not_sent(table: Facts, plan: PreviewFacts) -> None:
    """Add a line for each reason for skipped rows, and one for each flag that leaves rows out."""
    for reason in plan.skipped if plan.steps is None or plan.steps.is_undo else ():
        with_sum = plan.has_amounts and plan.steps is None
        table.add(STATE_NAMES[State.SKIPPED], _skipped(reason, has_amounts=with_sum))
    for flag, number in plan.totals.left_out.items():
        table.add(LEFT_OUT, counted("{n} row by {flag}", "{n} rows by {flag}", number, flag=flag))


def _skipped(reason: Reason, *, has_amounts: bool) -> Text:
    line = Text(f"{count(reason.items)} × {heading_of(reason)}")
    if has_amounts:
        line.append(", ").append_text(render(said("{sum} in total", sum=reason.amount)))
    if reason.line:
        label = printable(reason.label, 60)
        first = said("first: line {line} ({label})", line=reason.line, label=label)
        line.append("; ").append_text(render(first))
    return line


def bad_rows(plan: PreviewFacts, all_of_them: str) -> RenderableType:
    """The first refused rows and the first duplicates, each with its line; empty without any.

    `all_of_them` is the command that shows all.
    """
    parts: list[RenderableType] = []
    if plan.totals.refused:
        parts.append(refused_rows(plan.refusals, plan.totals.refused, all_of_them))
    parts += [_row("=", item) for item in (plan.repeated if plan.duplicates else ())]
    if plan.duplicates > len(plan.repeated):
        more = said("… and {n} more duplicates", n=Quantity(plan.duplicates - len(plan.repeated)))
        parts.append(render(more, "dim"))
    return Group(*parts)


def faults_of(plan: PreviewFacts) -> Said:
    """What is wrong with the input."""
    refused = counted(
        "{n} row of the input cannot be taken", "{n} rows of the input cannot be taken", plan.totals.refused
    )
    if not plan.duplicates:
        return refused
    duplicates = counted("{n} row is a duplicate", "{n} rows are duplicates", plan.duplicates)
    if not plan.totals.refused:
        return duplicates
    return said("{refused}; {duplicates}", refused=refused, duplicates=duplicates)


def advice_on(plan: PreviewFacts) -> Said:
    """What to do about an input with refused rows."""
    if not plan.to_send:
        return said("Mend the input and run it again")
    if plan.steps is not None:
        return said(
            "Mend the input and run it again, or leave the refused rows out: {flag} sends the good ones, {steps}",
            flag=setting("skip-bad"),
            steps=to_send_line(plan),
        )
    return counted(
        "Mend the input and run it again, or leave the refused rows out: {flag} sends the good ones, {n} row",
        "Mend the input and run it again, or leave the refused rows out: {flag} sends the good ones, {n} rows",
        plan.to_send,
        flag=setting("skip-bad"),
    )


def _shared(number: int) -> Said:
    return counted(
        "{n} account is reached by several rows; their calls go one after the other",
        "{n} accounts are reached by several rows; their calls go one after the other",
        number,
    )
