"""What a run will do, shown before anything is sent: what its preview and its plan both show."""

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from checkpoints.comparison import Rows
from checkpoints.journal import Journal
from checkpoints.records import Differences, Item, Reason, Refusal, Run, Shared, Totals
from checkpoints.sentences import DIFFERENT, DUPLICATE, NOT_SHOWN, ON_REQUEST
from checkpoints.states import State
from cli.show.closing import (
    BAD,
    MAX_REFUSALS_SHOWN,
    StepsFacts,
    accountants_list,
    bad_export,
    file_of,
    first_refusals,
    run_again,
    steps_of,
    steps_table,
    undo_again,
)
from cli.terminal.layout import NO_TABLES, Hanging, badge_of, drawn, render, section
from cli.terminal.texts import printable
from engine.pacing.policy import Policy, describe_policy
from engine.pipeline.intake import Repeat
from engine.sources.exported import is_of_export
from jobs.access.vault import mask_secrets
from jobs.accounts import Question
from jobs.imports.subscriber import Step
from jobs.rows.input import REPEAT, is_input
from jobs.spec.columns import Assigned
from jobs.spec.parameters import DIGEST
from jobs.spec.words import OPPOSITE, PLACE, SINCE, STORNO, UNDO, WAY, source_of
from jobs.value_changes import BalanceSums
from texts.said import Quantity, Said, command_line, counted, enumerated, in_lines, kind_of, said, setting, some_of

LOOKED_AT: Final = 200
"""Rows to be sent that are checked for assumptions; the rows of a job are alike."""
_NAME: Final = 40
"""Characters of a column's name that are shown."""
_NAMES: Final = 12
"""Columns that are listed; the rest is counted."""
_GONE: Final = 5
"""Rows that went away which are named; the rest is counted."""
_FLAGS: Final = {str(Repeat.AGAIN): "--again", str(Repeat.PER_BILLING): "--another-billing"}
"""What was typed for a run, by how often its rows may be entered."""
_DIGITS: Final = 12
"""Digits of a digest that are shown; a report has all of them."""

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Target:
    """The billing of a command, for screens: its address and version, and the database's address, if one is read."""

    address: str
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
class DeltaFacts:
    """What a delta changes to the rows of the runs `before` it, and the rows of some of them that its file lacks.

    `gone` is None where rows are left out or refused, so that it is not known what the file lacks.
    """

    before: Sequence[str]
    differences: Differences
    gone_of: Sequence[str]
    gone: Rows | None = None


@dataclass(frozen=True, slots=True)
class PreviewFacts:
    """The facts of a run before its first call.

    `repeated` rows repeat an earlier row of the input and are never sent; `look_alikes` are to be sent and resemble
    entries in the billing; `different` are steps of an import whose object is there and differs; `on_request` is why
    the first of the refused rows that can be entered all the same are refused; `undecided` are the
    rows of shared accounts that are sent only once it is said what is meant. `assumptions` are
    the unconfirmed ones about the run's money, a sentence each; `delta` is what a delta changes, `balances` are the
    balances that opening balances replace.
    """

    run: Run
    totals: Totals
    has_amounts: bool
    skipped: Sequence[Reason] = ()
    refusals: Sequence[Refusal] = ()
    repeated: RowsFound = NONE_FOUND
    look_alikes: RowsFound = NONE_FOUND
    different: RowsFound = NONE_FOUND
    on_request: Sequence[str] = ()
    shared: Shared = field(default_factory=Shared)
    undecided: int = 0
    columns: Assigned = field(default_factory=lambda: Assigned({}, ()))
    assumptions: Sequence[str] = ()
    steps: StepsFacts | None = None
    delta: DeltaFacts | None = None
    balances: BalanceSums | None = None

    @property
    def to_send(self) -> int:
        return self.totals.count(State.PENDING)

    @property
    def sum(self) -> Decimal:
        return self.totals.amounts.get(State.PENDING, ZERO)

    @property
    def bad(self) -> int:
        """The rows without which alone it is sent."""
        return self.totals.refused + self.repeated.rows

    @property
    def rows_read(self) -> int:
        if self.steps is None or self.steps.is_undo:
            return self.totals.read
        return self.steps.subscribers.all + self.totals.refused + sum(self.totals.left_out.values())

    def question(self, target: Target) -> Said:
        to = printable(target.address)
        if self.steps is not None:
            return said("Send {steps}, to {target}?", steps=to_send_line(self), target=to)
        if not self.has_amounts:
            return counted("Send [this|these] {n} row[s] to {target}?", self.to_send, target=to)
        return counted(
            "Send [this|these] {n} row[s], {sum} in total, to {target}?", self.to_send, sum=self.sum, target=to
        )


async def facts_of(run: Run, journal: Journal) -> PreviewFacts:
    """The facts of a run whose list is saved, without what only its job knows: the columns, and its assumptions."""
    first = await journal.items(run, {State.PENDING, State.SKIPPED}, size=1)
    skipped = await journal.reasons(run, State.SKIPPED)
    noted = await journal.reasons(run, State.PENDING) if run.approved_at is None else []
    steps = await steps_of(run, journal)

    async def found(reasons: Sequence[Reason], pages: AsyncIterator[list[Item]]) -> RowsFound:
        shown: list[Item] = []
        # Pages are read for the first rows alone, and only if there are any.
        while reasons and len(shown) < MAX_REFUSALS_SHOWN and (page := await anext(pages, None)) is not None:
            shown += page
        rows, amount = sum(one.items for one in reasons), sum((one.amount for one in reasons), ZERO)
        return RowsFound(rows, amount, shown[:MAX_REFUSALS_SHOWN])

    async def skipped_as(kind: str) -> RowsFound:
        pages = journal.each_page(run, {State.SKIPPED})
        of_kind = ([item for item in page if item.kind == kind] async for page in pages)
        return await found([one for one in skipped if one.kind == kind], of_kind)

    repeated = await skipped_as(DUPLICATE)
    if steps is not None:
        # A folder that several rows have asked for at one time is no fault of the input.
        folders = (one for one in steps.counts if one.step == Step.FOLDER and one.kind == DUPLICATE)
        repeated = replace(repeated, rows=repeated.rows - sum(one.items for one in folders))
    totals = await journal.totals(run)
    # Most runs have no refused rows, and are not asked for them.
    codes = ON_REQUEST if totals.refused else ()
    return PreviewFacts(
        run=run,
        totals=totals,
        has_amounts=bool(first) and first[0].amount is not None,
        skipped=skipped,
        refusals=await first_refusals(run, journal) if totals.refused else (),
        on_request=[one.reason for code in codes for one in await first_refusals(run, journal, code)],
        repeated=repeated,
        look_alikes=await found([one for one in noted if one.kind], look_alikes(run, journal)),
        different=await skipped_as(DIFFERENT),
        shared=await journal.shared_lanes(run),
        steps=steps,
    )


async def look_alikes(run: Run, journal: Journal) -> AsyncIterator[list[Item]]:
    """The rows to be sent that resemble existing entries, page by page, each with its message."""
    async for page in journal.each_page(run, {State.PENDING}):
        yield [item for item in page if item.message]


def preview(plan: PreviewFacts, target: Target, journal: str, policy: Policy) -> RenderableType:
    return drawn_before(
        plan,
        target,
        journal,
        listed=said("{command} lists them", command=command_line("plan")),
        all_bad=bad_export(plan.run),
        source=source_of(plan.run),
        pacing=describe_policy(policy),
        accountants_list=accountants_list(plan.run, plan.totals),
        planned=None,
        since=None,
    )


def drawn_before(
    plan: PreviewFacts,
    target: Target,
    journal: str,
    tables: Mapping[str, RenderableType] = NO_TABLES,
    /,
    **values: object,
) -> Group:
    """A screen of what a run will do; `values` are those of a preview, or of a plan."""
    given = given_parameters(plan.run).items()
    assumed = {kind_of(one) for one in plan.assumptions}
    settings = (
        *(("--set", "storno_call=NAME") if assumed & {"storno_call", "storno_works", "storno_type_8"} else ()),
        *(("--create-in", "FOLDER") if "create_fields" in assumed else ()),
    )
    return drawn(
        "plan.j2",
        {**tables, "steps": steps_table(plan.steps, begun=False)} if plan.steps else tables,
        plan=plan,
        run=plan.run,
        target=target,
        journal=journal,
        which="all",
        badge=badge_of(plan.run.parameters),
        # Of a digest its beginning.
        given=" ".join(
            _FLAGS[value] if name == REPEAT else f"{name}={value[:_DIGITS] if name.endswith(DIGEST) else value}"
            for name, value in given
        ),
        columns=columns_line(plan.columns).plain,
        probe=command_line("probe", "--abonent", "ID", *settings),
        to_send=to_send_line(plan),
        number_and_sum=number_and_sum,
        look_alike_line=look_alike_line,
        gone_rows=gone_rows(plan, planned=values["planned"] is not None),
        **values,
    )


def doubtful_rows(plan: PreviewFacts, *, which: str) -> RenderableType:
    """The first rows that look as if entered already, or the first bad ones, where nothing else is shown."""
    listed = said("{command} lists them", command=command_line("plan"))
    return drawn("doubts.j2", plan=plan, which=which, listed=listed, all_bad=bad_export(plan.run))


def number_and_sum(number: int, amount: Decimal | None = None) -> Said:
    if amount is None:
        return counted("{n} row[s]", number)
    return counted("{n} row[s], {sum} in total", number, sum=amount)


def to_send_line(plan: PreviewFacts) -> Said:
    """The number and the sum of the rows to be sent, of an import with the subscribers that its steps are for."""
    if plan.steps is None:
        return number_and_sum(plan.to_send, plan.sum if plan.has_amounts and plan.to_send else None)
    steps = counted(
        "{n} step[s]; subscribers: {subscribers}", plan.to_send, subscribers=Quantity(plan.steps.subscribers.sent)
    )
    return said("{steps}; {sum} in total", steps=steps, sum=plan.sum) if plan.sum else steps


def gone_rows(plan: PreviewFacts, *, planned: bool) -> Said:
    """The first rows that a delta's file lacks, each with the sum that stays entered, and how to see all of them.

    A plan is in no journal that `compare` reads.
    """
    gone = plan.delta and plan.delta.gone
    if plan.delta is None or not gone:
        return said("")
    named = name_rows(gone, _GONE)
    if planned or gone.rows <= _GONE:
        return named
    commands = [command_line("compare", name, plan.run.name) for name in plan.delta.gone_of]
    return said("{names}, {command}", names=named, command=tuple(commands))


def name_rows(rows: Rows, most: int) -> Said:
    """The first rows, at most so many, each with its sum; the others are counted."""
    first = rows.first[:most]
    named = tuple(said("{label} {sum}", label=printable(row.label, _NAME), sum=row.amount or ZERO) for row in first)
    if rows.rows == len(first):
        return enumerated(named)
    return said("{names} and {n} more", names=named, n=Quantity(rows.rows - len(first)))


def look_alike_line(plan: PreviewFacts) -> Said:
    rows, amount = plan.look_alikes.rows, plan.look_alikes.sum
    if not plan.has_amounts:
        return counted("{n} row[s] [looks|look] as if entered already", rows)
    return counted("{n} row[s], {sum} in total, [looks|look] as if entered already", rows, sum=amount)


def unanswered(plan: PreviewFacts) -> Said:
    """Why these rows are not sent where nobody is asked, and what to do."""
    return said(
        "{rows}, and {yes} answers no doubt. Type the command without it and look at them, or enter these rows "
        "alone with {again}",
        rows=look_alike_line(plan),
        yes=setting("yes"),
        again=setting("again"),
    )


def shared_accounts(question: Question) -> RenderableType:
    """The first accounts with several opening balances."""
    left = question.accounts - len(question.first)
    return section(
        *(Hanging(Text("? ", "yellow"), Text(printable(str(group), 400))) for group in question.first),
        render(said("… and {n} more accounts", n=Quantity(left)), "dim") if left > 0 else None,
    )


def columns_line(columns: Assigned) -> Text:
    """The use of each column, and the unused columns but those that an export has added; empty without columns."""
    pairs = [(printable(name, _NAME), printable(column.name, _NAME)) for name, column in columns.taken.items()]
    taken = [name if name == title else f"{name} = {title}" for name, title in pairs]
    unused = [printable(title, _NAME) for title in columns.unused if not is_of_export(title)]
    uses = [render(some_of(taken, _NAMES))] if taken else []
    uses += [render(said("not used: {columns}", columns=some_of(unused, _NAMES)))] if unused else []
    return Text("; ").join(uses)


def given_parameters(run: Run) -> dict[str, str]:
    """The parameters of the run's job, without empty ones and with masked secrets."""
    return {name: mask_secrets(value) for name, value in run.parameters.items() if value and not is_input(name)}


def why_refused(plan: PreviewFacts) -> Said:
    """Why an input with bad rows is not sent, and the ways out."""
    bad = plan.totals.refused
    refused = counted("{n} row[s] of the input [is|are] refused", bad)
    faults = counted("{n} row[s] [is a duplicate|are duplicates]", plan.repeated.rows)
    if bad:
        both = said("{refused}; {duplicates}", refused=refused, duplicates=faults)
        faults = both if plan.repeated.rows else refused
    if plan.run.job == UNDO:
        return _not_taken_back(plan, faults)
    if not plan.to_send:
        advice = said("Mend the input and run it again")
    elif plan.undecided:
        advice = said(
            "Mend the input and run it again, or leave the refused rows out and say what is meant by several rows of "
            "an account: {flags} with sum, last or refuse",
            flags=f"{setting('skip-bad')} {setting('shared-accounts')}",
        )
    else:
        advice = said(
            "Mend the input and run it again, or leave the refused rows out: {flag} sends the good ones, {rows}",
            flag=setting("skip-bad"),
            rows=number_and_sum(plan.to_send) if plan.steps is None else to_send_line(plan),
        )
    if not bad:
        return said("{faults}.\n{advice}.", faults=faults, advice=advice)
    why = said(
        "{faults}.\n{advice}.\nThe refused rows as a file:\n{command}",
        faults=faults,
        advice=advice,
        command=bad_export(plan.run),
    )
    if not plan.on_request:
        return why
    if plan.delta is not None:
        gone = [one for one in plan.on_request if NOT_SHOWN in kind_of(one)]
        return in_lines([why, _delta_again(plan, plan.delta, gone)]) if gone else why
    if number := plan.run.parameters.get(f"{PLACE}step"):
        again = said(
            "What each reason names {flag} for goes in by the step's own rows, mended as it says: write again = true "
            "into step {number}, which enters all of its rows, and take it out again afterwards.",
            flag=setting("again"),
            number=number,
        )
        return in_lines([why, again])
    words, rows = sys.argv[1:], file_of(plan.run, BAD)
    typed = [rows if Path(word).name == Path(plan.run.source).name else word for word in words]
    # Where no file was typed, there is none to be typed again.
    return in_lines([why, all_the_same(typed, plan)]) if typed != words else why


def all_the_same(typed: Sequence[str], plan: PreviewFacts) -> Said:
    """How what was refused goes in on request by a file of refused rows, with all that was typed."""
    if any(DIFFERENT in kind_of(why) for why in plan.on_request) and "--change" not in typed:
        return said(
            "What the billing does not show any more goes in once more by that file, which overwrites what is "
            "there by now and differs, balances too. First take out of it what is refused for another reason:\n"
            "{again}",
            again=command_line(*typed, "--again", "--change"),
        )
    return said(
        "What each reason names {flag} for goes in by that file, mended as it says. First take out of it what is "
        "refused for another reason:\n{again}",
        flag=setting("again"),
        again=command_line(*typed, "--again"),
    )


def _delta_again(plan: PreviewFacts, delta: DeltaFacts, gone: Sequence[str]) -> Said:
    """How a delta is entered behind runs of which the billing does not show all; whole, where it shows nothing."""
    named = dict.fromkeys(str(why.values["run"]) for why in gone if isinstance(why, Said) and "run" in why.values)
    run, base = plan.run, plan.run.parameters[SINCE]
    if base in named and not plan.totals.count(State.SKIPPED) and not delta.differences.changed:
        run = replace(run, parameters={name: text for name, text in run.parameters.items() if name != SINCE})
    # The newest first: an earlier one is not taken back before it.
    undone = [name for name in dict.fromkeys([*reversed(delta.before), *named]) if name in named]
    return said(
        "What the billing does not show any more is counted as taken back first. That sends nothing, and a list of "
        "what still stands is not needed. Then the file is entered again:\n{commands}",
        commands=in_lines([*(command_line("undo", name) for name in undone), run_again(run)]),
    )


def _not_taken_back(undo: PreviewFacts, refused: Said) -> Said:
    """Why an undo with refused rows is not sent, and the ways out; it has no input that could be mended."""
    lines: list[str] = [said("{refused}. Each row says why.", refused=refused)]
    if undo.to_send:
        lines.append(
            counted(
                "Or leave the refused rows out: {flag} takes back the [other one|others], {n} row[s].",
                undo.to_send,
                flag=setting("skip-bad"),
            )
        )
    if undo.run.parameters.get(WAY) == STORNO:
        opposite = undo_again(undo.run, WAY, OPPOSITE)
        lines.append(said("To enter the opposite sums:\n{command}", command=opposite))
    return in_lines([*lines, said("The refused rows as a file:\n{command}", command=bad_export(undo.run))])


def is_kept(plan: Run) -> bool:
    return plan.frozen_at is not None and plan.discarded_at is None


def same_input(one: Run, other: Run) -> bool:
    """Whether two plans have the same job and input; the file may have been edited between them."""
    return (one.job, one.target, one.source) == (other.job, other.target, other.source)
