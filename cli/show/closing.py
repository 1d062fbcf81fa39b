"""The outcome of a run: its closing for people and for scripts, its rows by state or step, and what to do next.

The rows of an import are steps, several for each row of its table; people count subscribers.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from billing.api.error_catalogue import LICENCE
from checkpoints.journal import Journal
from checkpoints.records import Reason, Refusal, Run, Stage, Totals
from checkpoints.rows import LaneCounts, StepCount
from checkpoints.sentences import AS_WANTED, CAME_SINCE, DIFFERENT, ON_REQUEST, held_back, is_held_back
from checkpoints.states import State
from cli.terminal.exits import Exit
from cli.terminal.layout import bare_table, drawn, render
from cli.terminal.names import HELD_BACK, LEFT_OUT, NEVER_SENT, REFUSED, STATE_NAMES, outcomes_of
from cli.terminal.texts import WHOLE, count, money, printable, rendered
from engine.job import STANDARD_INPUT, STDIN
from engine.pacing.holds import StopKind, money_limit, whole_sum
from jobs.imports.subscriber import LANE, STEP_NAMES, Step
from jobs.spec import words
from jobs.spec.words import IMPORT, LEAVE, LIST, OPPOSITE, RUN, STORNO, TAKE, UNDO, UNPROVEN, WAY
from texts.said import Said, command_line, counted, kind_of, reason, said, setting, two_decimals, wording

if TYPE_CHECKING:
    from jobs.value_changes import Overwritten

EXPLAINED: Final = tuple(sorted((state for state in State if state.explained), key=lambda state: state.explained))
"""States whose reasons are shown, including states of success that a person should know about."""
MAX_REFUSALS_SHOWN: Final = 20
BAD: Final = "bad"
"""The rows of an export that were refused or rejected: corrected, they are handed to `--continue`."""
FOR_THE_ACCOUNTANT: Final = "for-the-accountant"
LEFT_ALONE: Final = "left-alone"
"""Files of skipped rows: what they are called."""
_SHORT: Final = 180
"""Characters of the reason for a stop in the table of steps."""

# ---- the steps of an import ---------------------------------------------------------------------------------------

_FAILED: Final = said("failed")
"""A step that another has kept from being sent was not rejected by the billing."""

_Column = tuple[Said, str, Callable[[StepCount], bool]]
_SKIPPED: Final[Sequence[_Column]] = (
    (said("as wanted"), "dim", lambda one: one.kind == AS_WANTED),
    (said("different"), "yellow", lambda one: one.kind == DIFFERENT),
    (STATE_NAMES[State.SKIPPED], "dim", lambda one: one.kind not in {"", AS_WANTED, DIFFERENT}),
)
_LEFT: Final[_Column] = (said("left"), "bold", lambda one: one.state.to_send)
_OPEN: Final[Sequence[_Column]] = (
    _LEFT,
    (said("unclear"), "yellow", lambda one: not (one.state.settled or one.state.to_send)),
    (_FAILED, "red", lambda one: one.state is State.REJECTED),
)
_LEFT_ALONE: Final[_Column] = (STATE_NAMES[State.SKIPPED], "dim", lambda one: one.state is State.SKIPPED)
_COLUMNS: Final[Mapping[tuple[bool, bool], Sequence[_Column]]] = {
    (False, False): (
        (said("new"), "bold", lambda one: one.state is State.PENDING and not one.changes),
        (said("to change"), "bold yellow", lambda one: one.state is State.PENDING and one.changes),
        *_SKIPPED,
    ),
    (False, True): ((said("made"), "green", lambda one: one.state.in_effect), *_OPEN, *_SKIPPED),
    (True, False): ((said("to take back"), "bold", lambda one: one.state is State.PENDING), _LEFT_ALONE),
    (True, True): ((said("steps taken back"), "green", lambda one: one.state.in_effect), *_OPEN, _LEFT_ALONE),
}
"""What became of steps, or will: of an import and of its undo, before anything is sent and afterwards."""


@dataclass(frozen=True, slots=True)
class StepsFacts:
    """The steps of a run by kind and state, and its subscribers; those of an undo are taken back."""

    counts: Sequence[StepCount] = ()
    subscribers: LaneCounts = field(default_factory=LaneCounts)
    is_undo: bool = False


async def steps_of(run: Run, journal: Journal) -> StepsFacts | None:
    """The steps of an import, or of its undo; None for any other run, and for one whose content was purged."""
    if run.job not in {IMPORT, UNDO} or run.purged_at is not None:
        return None
    counts = await journal.step_counts(run)
    if run.job == IMPORT:
        return StepsFacts(counts, await journal.lane_counts(run, LANE, DIFFERENT))
    if not any(one.step for one in counts):
        return None
    # The subscribers of an undo are those that the import has created.
    own = [one for one in counts if one.step == Step.SUBSCRIBER]
    subscribers = LaneCounts(
        all=sum(one.items for one in own),
        open=sum(one.items for one in own if not one.state.settled),
        rejected=sum(one.items for one in own if one.state is State.REJECTED),
        sent=sum(one.items for one in own if one.state is not State.SKIPPED),
    )
    return StepsFacts(counts, subscribers, is_undo=True)


def steps_table(facts: StepsFacts, *, begun: bool, has_ended: bool = False) -> Table:
    """A row a kind of step, and a column an outcome that there is."""
    columns = _COLUMNS[facts.is_undo, begun]
    outcomes: list[tuple[Said, str, Callable[[StepCount], int]]] = [
        (
            NEVER_SENT if has_ended and column is _LEFT else column[0],
            column[1],
            lambda one, holds=column[2]: one.items if holds(one) else 0,  # type: ignore[misc]
        )
        for column in columns
    ]
    outcomes.append((said("taken back since"), "yellow", lambda one: one.taken_back))
    outcomes = [one for one in outcomes if any(map(one[2], facts.counts))]
    headings = (Column(render(name), justify="right") for name, _, _ in outcomes)
    table = bare_table(Column(render(said("step")), no_wrap=True), *headings)
    for name, steps in [*((render(STEP_NAMES[one]), {one}) for one in Step), (render(said("all"), "dim"), set(Step))]:
        counts = [one for one in facts.counts if one.step in steps]
        numbers = [(sum(map(number, counts)), style) for _, style, number in outcomes]
        if any(number for number, _ in numbers) and (len(steps) == 1 or len(table.rows) > 1):
            table.add_row(name, *(Text(count(n), style) if n else Text("–", "dim") for n, style in numbers))
    return table


def steps_object(facts: StepsFacts | None) -> Mapping[str, object]:
    """The steps of an import for scripts; nothing for any other run."""
    if facts is None:
        return {}
    by_step: dict[str, dict[str, int]] = {}
    for one in facts.counts:
        word = f"{one.state}: {one.kind}" if one.kind else str(one.state)
        words = by_step.setdefault(one.step, {})
        words[word] = words.get(word, 0) + one.items
    known = facts.subscribers
    return {
        "subscribers": {
            "all": known.all,
            "not_settled": known.open,
            "with_rejected_steps": known.rejected,
            "different": known.left_alone,
        },
        "by_step": by_step,
    }


# ---- the rows by state --------------------------------------------------------------------------------------------


def states_object(totals: Totals) -> Mapping[str, object]:
    """Counts and sums for scripts: the states that have items, sums as plain decimals."""
    there = [state for state in State if totals.counts.get(state)]
    return {
        "states": {str(state): totals.counts[state] for state in there},
        "amounts": {str(state): format(totals.amounts.get(state, Decimal(0)), "f") for state in there},
        "refused": totals.refused,
        "left_out": dict(totals.left_out),
    }


def read_back_object(totals: Totals) -> Mapping[str, object]:
    """What was found when rows were read back last, for scripts: how many differ and by which sum; None for never."""
    gap = format(totals.gap, "f")
    found = totals.read_back and {"at": totals.read_back, "different": totals.different, "difference": gap}
    return {"read_back": found}


def states_table(totals: Totals, since: str = "") -> Table:
    """A row an outcome; the sums of a delta are differences to the run that it comes `since`."""
    table = Table.grid("", Column(justify="right"), Column(justify="right"), padding=(0, 2, 0, 0))
    with_money = bool(since) or any(totals.amounts.values())
    for name, (state, number, amount) in outcomes_of(totals).items():
        if state is State.REPLACED:
            continue
        # The money of a merged row is part of the amount of the row that carries it.
        merged = totals.merged if state is State.SKIPPED else 0
        if number > merged:
            table.add_row(render(name, state.style), count(number - merged), money(amount) if with_money else "")
        if merged:
            table.add_row(render(name, state.style), count(merged), render(said("in another row"), "dim"))
    if totals.taken_back:
        undone = money(totals.sum_taken_back) if with_money else ""
        table.add_row(render(said("taken back since"), "yellow"), count(totals.taken_back), undone)
    if totals.different:
        gap = money(totals.gap) if with_money else ""
        table.add_row(render(said("not as sent"), "yellow"), count(totals.different), gap)
    if len(totals.counts) != 1:
        sums = money(totals.amount) if with_money else ""
        table.add_row(render(said("all")), count(totals.frozen), sums, style="dim")
    if replaced := totals.count(State.REPLACED):
        counted_as = render(said("counted as their corrected rows"), "dim")
        table.add_row(render(STATE_NAMES[State.REPLACED], "dim"), count(replaced), counted_as)
    if totals.refused:
        table.add_row(render(REFUSED, "red"), count(totals.refused), render(said("not part of the run"), "dim"))
    for flag, number in totals.left_out.items():
        table.add_row(render(LEFT_OUT, "dim"), count(number), render(said("by {flag}", flag=flag), "dim"))
    if since:
        table.add_row(render(said("sums"), "dim"), "", render(said("differences to run {run}", run=since), "dim"))
    return table


def outcome_table(run: Run, totals: Totals, imported: StepsFacts | None) -> RenderableType:
    """Counts and sums by state; of an import by its steps, and its subscribers."""
    if imported is None:
        return states_table(totals, run.parameters.get(words.SINCE, ""))
    balances = [one for one in imported.counts if one.step == Step.BALANCE and one.state.in_effect]
    entered = 0 if imported.is_undo else sum(one.items - one.taken_back for one in balances)
    amount = sum((one.amount - one.sum_taken_back for one in balances), Decimal(0))
    undone = sum(one.taken_back for one in imported.counts if one.step == Step.SUBSCRIBER)
    below = drawn("subscribers.j2", steps=imported, totals=totals, entered=entered, amount=amount, undone=undone)
    return Group(steps_table(imported, begun=True, has_ended=totals.has_ended), below)


# ---- the closing of a command -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Closing:
    """The closing of a command. `seconds` and `calls` are of this process alone.

    `pace` is that of the whole run, as `pace_of` has it, None where it has no meaning. `held` gives, by cause, the
    seconds in which nothing could be sent; two causes at one time both count. For a job file they cover its last step
    and the waiting between its steps, and `steps` are all of its steps.
    `run` is None when none was begun. `stopped` is why it stopped early, `stopped_by` what stopped it, and `again_in`
    the seconds after which that passes by itself, None where nobody knows; `error` is why it was refused or failed.
    `imported` is what became of the steps of an import. `unproven` rows were found without a mark and may be somebody
    else's; of an undo they are those that it has left. `trusted_journal` says that the look-up for rows sent from
    another copy of the journal was switched off.
    """

    exit: Exit
    run: str | None = None
    job: str | None = None
    totals: Totals = field(default_factory=Totals)
    calls: int = 0
    seconds: float = 0.0
    held: Mapping[str, float] = field(default_factory=dict)
    stopped: str | None = None
    error: str | None = None
    trusted_journal: bool = False
    steps: "tuple[StepOutcome, ...]" = ()
    imported: StepsFacts | None = None
    stopped_by: StopKind | None = None
    again_in: float | None = None
    unproven: int = 0
    overwritten: "Overwritten | None" = None
    pace: float | None = None

    @property
    def not_entered(self) -> int:
        """The rows that were not entered; of an undo those that were not taken back."""
        totals = self.totals
        return totals.count(State.REJECTED) + totals.refused + totals.entered_before + totals.left_alone


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """A step of a job file and its closing, None where it was not begun; `output` is the file that it writes.

    It is `done_before` where an earlier start of the round has done it.
    """

    number: int
    job: str
    closing: Closing | None = None
    output: str | None = None
    done_before: bool = False


def closing_object(closing: Closing) -> Mapping[str, object]:
    """The object of `--json`; that of a job file has the objects of its steps as well."""
    found: dict[str, object] = {
        "run": closing.run,
        "job": closing.job,
        **states_object(closing.totals),
        "calls": closing.calls,
        "seconds": round(closing.seconds, 3),
        "held": {who: round(seconds, 3) for who, seconds in closing.held.items()},
        "trusted_journal": closing.trusted_journal,
        "unproven": closing.unproven,
        "overwritten": closing.overwritten.rows if closing.overwritten else 0,
        "exit": int(closing.exit),
        "stopped": closing.stopped,
        "stopped_by": closing.stopped_by,
        "again_in": None if closing.again_in is None else round(closing.again_in),
        "error": closing.error,
        **steps_object(closing.imported),
    }
    if closing.steps:
        found["steps"] = [
            {
                "step": one.number,
                "job": one.job,
                "output": one.output,
                "done_before": one.done_before,
                **(closing_object(one.closing) if one.closing else {"run": None, "exit": None}),
            }
            for one in closing.steps
        ]
    return found


async def show_closing(closing: Closing, run: Run, journal: Journal) -> RenderableType:
    """The outcome of the run, its reasons, and what to do next."""
    totals, imported = closing.totals, closing.imported or await steps_of(run, journal)
    # What an undo is to take back stands as before where the accountant has to enter it.
    only_listed = closing.exit in {Exit.DONE, Exit.REJECTED} and accountants_list(run, totals)
    return drawn(
        "closing.j2",
        {"outcome": outcome_table(run, totals, imported)},
        closing=replace(closing, imported=imported),
        taken=run.parameters[RUN] if only_listed else "",
        is_discarded=run.stage is Stage.DISCARDED,
        lacks_licence=imported is not None and LICENCE.casefold() in (closing.stopped or "").casefold(),
        found=await reasons_of(run, totals, journal),
        steps=await steps_after(run, totals, journal),
    )


def steps_of_file(steps: Sequence[StepOutcome]) -> Table:
    """The steps of a job file as a table: each with its run, its rows and its outcome."""
    table = bare_table()
    for name in (said("step"), said("job"), said("run"), said("rows"), said("outcome")):
        table.add_column(render(name), overflow="fold", justify="right" if name in {"step", "rows"} else "left")
    for step in steps:
        closing = step.closing
        table.add_row(
            str(step.number),
            Text(step.job, "bold"),
            (closing and closing.run) or "–",
            count(closing.totals.frozen) if closing and closing.run else "–",
            _outcome(step),
        )
    return table


def _outcome(step: StepOutcome) -> Text:
    if (closing := step.closing) is None:
        return render(said("not begun"), "dim")
    style, missing = "yellow", closing.not_entered
    done = said("done before") if step.done_before else said("done")
    match closing.exit:
        case Exit.DONE:
            style, outcome = "green", done
        case Exit.REJECTED if lacks_only_what_is_in(step.job, closing.totals):
            outcome = counted(
                "{done}; {n} row[s] [was|were] left out, as [it is|they are] in already", missing, done=done
            )
        case Exit.REJECTED:
            outcome = counted("{done}; {n} row[s] [was|were] not entered", missing, done=done)
        case Exit.UNDECIDED:
            outcome = said("rows are left to be decided on")
        case Exit.INTERRUPTED | Exit.STOPPED if closing.run is not None:
            # Why, and the command, stand above at the end of its run.
            outcome = said("stopped: not at its end")
        case _:
            style = "red"
            outcome = said("not begun: {why}", why=closing.error) if closing.error else said("not begun: refused")
    shown = render(outcome, style, _SHORT)
    return shown.append(f"; {printable(step.output)}", "dim") if step.output and closing.run else shown


def lacks_only_what_is_in(job: str, totals: Totals) -> bool:
    """Whether all that a run has left out is money that an earlier run has entered: no fault that could be mended."""
    # An import leaves out opening balances that differ.
    return job != IMPORT and totals.entered_before > 0 and not (totals.count(State.REJECTED) or totals.refused)


# ---- the end of a run, and why rows are where they are ------------------------------------------------------------


def describe_end(run: Run) -> Said | None:
    """How a run has ended for good: who has taken it back or closed it, and when; None for one that has not."""
    if run.ended_at is None:
        return None
    who = run.ended_by or said("somebody")
    if run.undone_by:
        return said("its undo is run {undo} ({who}, {when})", undo=run.undone_by, who=who, when=run.ended_at)
    return said("closed by {who}, {when}: {why}", who=who, when=run.ended_at, why=run.ended_why or "–")


def perhaps_in_effect(totals: Totals) -> Said | None:
    told = counted("{n} row[s] may have had [its|their] effect, though no answer says so", totals.unanswered)
    return told if totals.unanswered else None


async def reasons_of(run: Run, totals: Totals, journal: Journal) -> list[tuple[Said, str, Sequence[Reason]]]:
    """Why items are in the states that are explained: the name and style of each state, and its reasons."""
    found = list[tuple[Said, str, Sequence[Reason]]]()
    for state in filter(totals.count, EXPLAINED):
        name, reasons = STATE_NAMES[state], await journal.reasons(run, state)
        if run.job == IMPORT:
            # The table of steps counts what is as wanted.
            name = _FAILED if state is State.REJECTED else name
            reasons = [one for one in reasons if one.kind != AS_WANTED]
        held_back = [one for one in reasons if state is State.REJECTED and is_held_back(one.kind)]
        if len(held_back) < len(reasons) or not reasons:
            found.append((name, state.style, [one for one in reasons if one not in held_back]))
        if held_back:
            found.append((HELD_BACK, state.style, held_back))
    return found


async def first_refusals(run: Run, journal: Journal, code: str = "") -> list[Refusal]:
    """The first refused rows by line, of a reason with a code: contradicting rows are refused last, out of order."""
    found = [refusal for _, refusal in await journal.refusals(run, size=MAX_REFUSALS_SHOWN, code=code)]
    return sorted(found, key=lambda refusal: refusal.line or 0)


def refused_rows(refusals: Sequence[Refusal], total: int, all_of_them: str) -> RenderableType:
    return drawn("refusals.j2", found=refusals, total=total, all_of_them=all_of_them)


# ---- the commands to type next ------------------------------------------------------------------------------------


_CAME_SINCE: Final = kind_of(held_back(reason("", CAME_SINCE)))
_ON_REQUEST: Final = said(
    "enter what each reason names {again} for, once all else is taken out of that file", again=setting("again")
)


async def steps_after(run: Run, totals: Totals, journal: Journal) -> list[tuple[str, str]]:
    """The same commands as `next_steps`, with what the journal says of the limit and of the refused rows."""
    lacking, given = None, run.policy.get("limit-money")
    if given and (limit := money_limit(given)) is not None:
        whole = await whole_sum(run, journal)
        lacking = whole if whole > limit else None
    found = [code for code in ON_REQUEST if totals.refused and await journal.refusals(run, size=1, code=code)]
    if totals.count(State.REJECTED):
        found += [one.kind for one in await journal.reasons(run, State.REJECTED) if one.kind == _CAME_SINCE]
    return [*next_steps(run, totals, lacking, on_request=bool(found))]


def next_steps(
    run: Run, totals: Totals, limit: Decimal | None = None, *, on_request: bool = False
) -> Iterator[tuple[str, str]]:
    """The commands to type next, each with its purpose; a run that stops at its limit on money needs this one.

    Some of its refused rows are entered `on_request`.
    """
    name, is_import, frozen = run.name, run.job == IMPORT, run.frozen_at is not None
    missing = totals.different - totals.twice - totals.taken_back_elsewhere
    left, bad = totals.count_where(open=True), totals.count(State.REJECTED) + totals.refused
    if run.ended_at and (totals.unsent or totals.taken_back) and (again := run_again(run)):
        of_undo = run.job == UNDO and said("take back what stands of run {run}", run=run.parameters[RUN])
        yield again, of_undo or said("enter the corrected file; what stands is left out by itself")
    elif run.job != UNDO and totals.gap and missing > 0 and (again := run_again(run)):
        yield again, said("see what the billing has no more, and how it is entered again")
    if restoring := restoring_of(run, totals):
        yield restoring, said("restore what was taken back, where it is possible")
    if not run.ended_at and (left or not frozen):
        higher = () if limit is None else ("--limit-money", two_decimals(limit))
        file = printable(run.parameters.get(f"{words.PLACE}file", ""), WHOLE)
        goes_on = ("run", file) if file and not higher else ("resume", name, *higher)
        yield command_line(*goes_on), said("go on where it stopped")
    if is_import and left and totals.count_where(in_effect=True):
        yield command_line("undo", name), said("or take back what it has created so far")
    if bad:
        yield bad_export(run), said("write the rows that were refused or rejected, each with its reason")
    if bad and frozen and words.SINCE in run.parameters and not run.ended_at and (again := run_again(run)):
        yield again, said("hand in the whole file, once these rows are corrected in it")
    elif bad and frozen and run.job != UNDO and (is_import or not run.ended_at):
        typed = ("run", run.job, free_file_of(run, BAD), "--continue", name, *(("--again",) if on_request else ()))
        yield command_line(*typed), _ON_REQUEST if on_request else said("hand in that file, once it is corrected")
    if manual := totals.count(State.MANUAL):
        yield _export(run, State.MANUAL), counted("decide on the [row|{n} rows]", manual)
        yield command_line("reconcile", name), said("see both sides of what a person has to decide")
    if run.job == UNDO and not accountants_list(run, totals):
        if totals.left_alone:
            yield (
                _export(run, State.SKIPPED, LEFT_ALONE),
                said("write the rows that were skipped, each with its reason"),
            )
        if totals.left_alone or (bad and not left):
            yield run_again(run), said("once the reasons are mended: take back what is left")
    if list_ := accountants_list(run, totals):
        yield list_, said("write the accountant's list: operation, sum, subscriber, and what is to be done")
        send = said(
            "or send it: opposite sums are entered, with {storno} each operation is reversed",
            storno=setting("set", f"{WAY}={STORNO}"),
        )
        yield undo_again(run, WAY, OPPOSITE), send
    if leaves_unproven(run) and totals.count(State.SKIPPED):
        take = said("take back as well what may be somebody else's, once you know that it is not")
        yield undo_again(run, UNPROVEN, TAKE), take
    has_sent = words.ANSWER_FILE_PARAMETER not in run.parameters
    if has_sent and totals.count(State.ACCEPTED) and not left and totals.standing > totals.different:
        yield command_line("verify", name), said("read back what the billing now says")


def restoring_of(run: Run, totals: Totals) -> str:
    """The command that restores what was taken back of it; "" for an import, whose undo cannot be undone."""
    return command_line("undo", totals.restorable_by) if totals.restorable_by and run.job != IMPORT else ""


def leaves_unproven(run: Run) -> bool:
    """Whether it is an undo that leaves alone what may be somebody else's."""
    return run.job == UNDO and run.parameters.get(UNPROVEN) == LEAVE


def undo_again(run: Run, other: str = "", value: str = "") -> str:
    """The command of an undo, with another value of a parameter."""
    # Imported here because who only looks at runs needs no parameters of jobs.
    from jobs.spec.entries import undo_flags  # noqa: PLC0415

    return command_line("undo", run.parameters[RUN], *undo_flags({**run.parameters, other: value}))


def run_again(run: Run, file: str = "") -> str:
    """The command that enters what a run that has ended did not send, of an undo the one that takes back what stands.

    It has all that decides what the rows of a `file` mean, by default those of its own; "" where it had none.
    """
    if run.job == UNDO:
        return undo_again(run)
    if not run.source_digest:
        return ""
    file = file or (STDIN if run.source == STANDARD_INPUT else printable(run.source, WHOLE))
    return command_line(*((IMPORT,) if run.job == IMPORT else ("run", run.job)), file, *_meaning(run))


def _meaning(run: Run) -> list[str]:
    """The flags that decide what the rows of a run mean; not how often they are entered, nor how fast.

    Of the parameters of a job those that are no defaults, and a secret is asked for.
    """
    # As in `undo_again`.
    from jobs.access.vault import mask_secrets  # noqa: PLC0415
    from jobs.catalogue.catalogue import JOBS  # noqa: PLC0415
    from jobs.rows.input import SHARED_ACCOUNTS, input_of_parameters, job_parameters  # noqa: PLC0415
    from jobs.spec.parameters import DIGEST  # noqa: PLC0415

    given, rows = run.parameters, input_of_parameters(run.parameters)
    flags = list[tuple[str, ...]]()
    if run.job == IMPORT:
        flags += [(f"--{name}", given[name]) for name in words.VALUES if given.get(name)]
        flags += [(f"--{name}",) for name in words.SWITCHES if given.get(name) == words.YES]
    else:
        usual = {one.name: one.default for one in JOBS[run.job].parameters} if run.job in JOBS else {}
        for name, value in {**job_parameters(given), **rows.values}.items():
            if mask_secrets(value) != value:
                flags.append(("--ask", name))
            elif value not in {"", usual.get(name)} and not name.endswith(DIGEST):
                flags.append(("--set", f"{name}={value}"))
    flags += [("--map", f"{name}={column}") for name, column in rows.mapping.items()]
    for name in ("columns", "encoding", "delimiter", "sheet", "limit", "only", "exclude"):
        if text := given.get(f"input_{name}") or given.get(f"input_{name}_file"):
            flags.append((f"--{name}", text))
    kept = ((SHARED_ACCOUNTS, "--shared-accounts"), (words.SINCE, "--since"))
    flags += [(flag, given[name]) for name, flag in kept if name in given]
    return [printable(word, WHOLE) for flag in flags for word in flag]


def bad_export(run: Run) -> str:
    return _export(run, BAD)


def accountants_list(run: Run, totals: Totals) -> str | None:
    """The command that writes the accountant's list of an undo; None where the list is empty."""
    if run.job != UNDO or run.parameters.get(WAY) != LIST or not totals.left_alone:
        return None
    return _export(run, State.SKIPPED, FOR_THE_ACCOUNTANT)


def _export(run: Run, state: str, name: str = "") -> str:
    return command_line("export", run.name, "--state", state, "-o", free_file_of(run, name or state))


_FILES: Final[Mapping[str, str]] = {
    BAD: wording("{run}-bad.csv"),
    State.ACCEPTED: wording("{run}-accepted.csv"),
    State.REJECTED: wording("{run}-rejected.csv"),
    State.UNKNOWN: wording("{run}-unknown.csv"),
    State.MANUAL: wording("{run}-manual.csv"),
    FOR_THE_ACCOUNTANT: wording("{run}-for-the-accountant.csv"),
    LEFT_ALONE: wording("{run}-left-alone.csv"),
}


def file_of(run: Run, word: str) -> str:
    """The file of an export as its reader calls it."""
    return rendered(said(_FILES[word], run=run.name))


def free_file_of(run: Run, word: str) -> str:
    """The same as commands advise it: with a number where a file of that name is there, and may have corrections."""
    name = Path(file_of(run, word))
    others = (name.with_stem(f"{name.stem}-{number}") for number in itertools.count(2))
    return str(next(path for path in itertools.chain([name], others) if not path.exists()))
