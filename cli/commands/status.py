"""`status`: shows all runs, or one of them in detail."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Command, Decision, Holder, Run, Stage, Totals
from checkpoints.states import State, states_where
from cli.commands.execution import execute
from cli.session.control_client import hear
from cli.session.journal import open_existing, stored_policy
from cli.session.stages import describe_stage, ended_facts, holds_its_file, stage_of
from cli.settings.flags import Flags, JournalFlags, RunNameOrNone, grouped
from cli.settings.known_billings import without_profile
from cli.settings.settings import Settings
from cli.show.closing import (
    describe_end,
    first_refusals,
    next_steps,
    outcome_table,
    reasons_lists,
    refused_export,
    refused_rows,
    states_object,
)
from cli.show.steps import steps_of
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import Facts, Hanging, badge_of, is_of_badge, render, steps_list
from cli.terminal.names import REFUSED, STATE_NAMES, name_of_command, name_of_sender
from cli.terminal.screen import AsJson, Screen, Voice
from cli.terminal.texts import WHOLE, moment, printable
from engine.pacing.policy import describe_policy
from engine.pipeline.progress import Status
from jobs.spec.import_words import IMPORT
from jobs.spec.undo_words import source_of
from texts.remedies import command_line, setting
from texts.said import Quantity, counted, said

COLUMNS: Final = (
    said("run"),
    said("job"),
    said("rows from"),
    said("stage"),
    said("rows"),
    said("begun"),
    said("held by"),
)
"""Of the table of runs."""

NOTHING: Final = "–"
"""Stands for a fact that there is not."""

MAX_STATUS_SHOWN: Final = 10
"""The latest commands and decisions that are shown."""

WIDEST: Final = 10_000
"""Columns in which a table is measured."""

app: Final = typer.Typer(add_completion=False)


@app.command("status")
@grouped
def _status(
    name: RunNameOrNone = None,
    *,
    every: Annotated[
        bool,
        typer.Option("--all", help="All billings of the settings on one screen: who works where, and what is left."),
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every second, until nobody works on the run.")
    ] = False,
    flags: JournalFlags,
    as_json: AsJson = False,
) -> None:
    """Show all runs, or one of them in detail."""
    if every:
        _status_all(name, flags.whole(), watch=watch, as_json=as_json)
    if watch:
        from cli.commands.watch import watch as show
    else:
        show = status
    execute(
        lambda settings, screen: show(name, settings, screen), flags.whole(), Voice(as_json=as_json), only_reads=True
    )


def _status_all(name: str | None, flags: Flags, *, watch: bool, as_json: bool) -> NoReturn:
    from cli.commands.status_all import status_all, watch_all

    async def work(settings: Settings, screen: Screen) -> Exit:
        if name is not None:
            raise CommandRefused(
                said("{flag} shows all runs: leave {run} out, or {flag}", flag=setting("all"), run=printable(name))
            )
        return await (watch_all if watch else status_all)(settings, screen)

    execute(work, without_profile(flags, os.environ), Voice(as_json=as_json), only_reads=True)


@dataclass(frozen=True, slots=True)
class RunSeen:
    """A run at one moment: `live` is the status that its process reports, None without an answer."""

    run: Run
    holder: Holder | None
    live: Status | None = None
    silent: str = ""
    """Why the run's process did not answer, where that is known."""


async def see(name: str, journal: Journal) -> RunSeen:
    """Read the state of a run. Raises `NoSuchRun`."""
    run = await journal.run(name)
    holder = await journal.holder(run)
    if holder is None:
        # Until its process let go of it, the run may have gone on since it was read.
        return RunSeen(await journal.run(name), None)
    live, silent = await hear(run, journal)
    return RunSeen(run, holder, live.status if live else None, silent or "")


async def status(name: str | None, settings: Settings, screen: Screen) -> Exit:
    """Show the runs, or the one of that name. Raises `CommandRefused` and `JournalError`."""
    async with open_existing(settings.journal.value) as journal:
        if name is not None:
            seen = await see(name, journal)
            if screen.voice.as_json:
                screen.emit(await run_object(seen, journal))
            else:
                screen.show(await detail(seen, journal))
            return Exit.DONE
        runs = await journal.runs()
        if screen.voice.as_json:
            objects = [await run_object(await see(run.name, journal), journal) for run in runs]
            screen.emit({"journal": journal.name, "runs": objects})
        elif runs:
            table = RunsTable()
            for run in runs:
                table.add(run, await journal.totals(run), await journal.holder(run))
            screen.show(table)
        else:
            screen.show(said("{journal} has no runs yet", journal=journal.name))
    return Exit.DONE


class RunsTable:
    """All runs: a line a run where they fit, else a paragraph a run, in which nothing is cut."""

    def __init__(self) -> None:
        self._table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for column in COLUMNS:
            self._table.add_column(render(column), no_wrap=True)
        self._paragraphs: list[Hanging] = []

    def add(self, run: Run, totals: Totals, holder: Holder | None) -> None:
        """Add a run."""
        stage = describe_stage(run, totals, is_held=holder is not None)
        source, begun, states = render(source_of(run)), moment(run.created_at), _states(totals)
        held = said("process {process} on {host}", process=holder.process, host=holder.host) if holder else "–"
        self._table.add_row(Text(run.name, "bold"), run.job, source, render(stage), states, begun, render(held))
        lines = [
            render(said("{job}, {stage}", job=run.job, stage=stage)),
            render(said("from {source}", source=printable(source_of(run), WHOLE))),
        ]
        lines += [states] if states else []
        lines.append(render(said("begun {begun}", begun=begun)))
        lines += [render(said("held by {process}", process=held))] if holder else []
        self._paragraphs.append(Hanging(Text(f"{run.name}  ", "bold"), Text("\n").join(lines)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        needed = Measurement.get(console, options.update(max_width=WIDEST), self._table).maximum
        yield from [self._table] if needed <= options.max_width else self._paragraphs


def _states(totals: Totals) -> Text:
    words = [
        _number_of(number, STATE_NAMES[state], state.style) for state in State if (number := totals.counts.get(state))
    ]
    words += [_number_of(totals.refused, REFUSED, "red")] if totals.refused else []
    return Text("  ").join(words)


def _number_of(number: int, state: str, style: str) -> Text:
    return render(said("{n} {state}", n=Quantity(number), state=state), style)


async def detail(seen: RunSeen, journal: Journal) -> RenderableType:
    """All details of a run."""
    run, holder = seen.run, seen.holder
    totals = await journal.totals(run)
    facts = Facts()
    parameters = ", ".join(
        f"{name}={value}" for name, value in run.parameters.items() if value and not is_of_badge(name)
    )
    badge = badge_of(run.parameters)
    stage = describe_stage(run, totals, is_held=holder is not None)
    for what, value in (
        (said("run"), said("{run}, {stage}", run=run.name, stage=stage)),
        (said("job"), f"{run.job} {parameters}"),
        (said("rows from"), source_of(run)),
        (said("settings"), badge.line if badge else NOTHING),
        (said("billing"), run.target),
        (said("begun"), moment(run.created_at)),
        (said("list complete"), moment(run.frozen_at)),
        (said("approved"), moment(run.approved_at)),
        (said("given up"), moment(run.discarded_at)),
        (said("ended"), await _ended(run, totals, journal)),
        (said("purged"), _purged(run)),
        (said("pacing"), describe_policy(stored_policy(run))),
        (said("paused"), _paused(run)),
        (said("held by"), holder.sentence if holder else said("nobody")),
    ):
        if value != NOTHING:
            facts.add(what, value if isinstance(value, Text) else render(value))
    parts: list[RenderableType] = [facts, Text(""), outcome_table(totals, await steps_of(run, journal))]
    if seen.live:
        from cli.show.progress import screen_of

        parts += [Text(""), screen_of(seen.live)]
    if run.purged_at is None:
        parts += await reasons_lists(run, totals, journal)
    if totals.refused and run.purged_at is None:
        parts.append(refused_rows(await first_refusals(run, journal), totals.refused, refused_export(run)))
    parts += _format_history(
        await journal.history.commands(run, size=MAX_STATUS_SHOWN + 1), await journal.history.decisions(run)
    )
    if seen.silent:
        parts.append(render(seen.silent, "yellow", 600))
    if steps := _steps(seen, totals):
        parts += [Text(""), steps_list(steps)]
    return Group(*parts)


def _paused(run: Run) -> str:
    if run.paused_at is None:
        return NOTHING
    return said("{when}, by {who}", when=moment(run.paused_at), who=name_of_sender(run.paused_by or ""))


async def _ended(run: Run, totals: Totals, journal: Journal) -> str:
    """Who has ended the run for good, when, and how much of it is in the billing."""
    if (end := describe_end(run)) is None:
        return NOTHING
    unsent = counted("{n} row never sent", "{n} rows never sent", totals.unsent)
    if run.job == IMPORT and totals.taken_back:
        # Some of its steps go with their subscriber, and are not taken back for themselves.
        return said("{end}; {unsent}", end=end, unsent=unsent)
    in_effect = states_where(in_effect=True)
    amount = sum((totals.amounts.get(state, Decimal(0)) for state in in_effect), Decimal(0))
    amount -= (await journal.history.of_run(run)).sum_taken_back
    return said(
        "{end}; still in the billing: {rows}, {sum}; {unsent}",
        end=end,
        rows=Quantity(totals.count(*in_effect) - totals.taken_back),
        sum=amount,
        unsent=unsent,
    )


def _purged(run: Run) -> str:
    if run.purged_at is None:
        return NOTHING
    when = moment(run.purged_at)
    if run.has_only_totals:
        return said("{when}; kept are its totals", when=when)
    return said("{when}; kept are number, sum, state and times of each row", when=when)


def _steps(seen: RunSeen, totals: Totals) -> list[tuple[str, str]]:
    """The commands to type next, each with its purpose."""
    run = seen.run
    unfinished = run.ended_at is None and (run.frozen_at is None or totals.count_where(open=True) > 0)
    holds = run.paused_at and (unfinished or seen.holder or holds_its_file(run))
    goes_on: list[tuple[str, str]] = []
    if holds:
        goes_on.append((command_line("continue", run.name), said("end the pause")))
    if seen.holder:
        return [*goes_on, (command_line("status", run.name, "--watch"), said("see it work"))]
    if run.stage is Stage.DISCARDED or run.purged_at:
        return []
    return goes_on + next_steps(run, totals)


def _format_history(commands: Sequence[Command], decisions: Sequence[Decision]) -> list[RenderableType]:
    """The latest commands to the run and decisions on its rows."""
    lines = [_line(one.given_at, one.command, one.answer, one.who) for one in commands[-MAX_STATUS_SHOWN:]]
    lines += [
        _line(
            datetime.fromisoformat(one.decided_at),
            said("row {number} is {state}", number=one.number, state=STATE_NAMES[State(one.state)]),
            one.why,
            one.who,
        )
        for one in decisions[-MAX_STATUS_SHOWN:]
    ]
    if not lines:
        return []
    earlier = (
        [render(said("earlier ones are in the journal"), "dim")]
        if max(len(commands), len(decisions)) > MAX_STATUS_SHOWN
        else []
    )
    return [Text(""), *earlier, *lines]


def _line(when: datetime, what: str, why: str, who: str) -> Hanging:
    told = (
        Text()
        .append(printable(name_of_command(what), 100), "bold")
        .append(f": {printable(why)}")
        .append(f" ({printable(name_of_sender(who))})", "dim")
    )
    return Hanging(Text(f"{moment(when)} ", "dim"), told, indent=4)


async def run_object(seen: RunSeen, journal: Journal) -> dict[str, object]:
    """The details for scripts; `live` is the status that the run's process reports, null without an answer."""
    totals = await journal.totals(seen.run)
    return {
        **facts_object(seen, stage_of(seen.run, totals, is_held=seen.holder is not None)),
        **states_object(totals),
        "taken_back": totals.taken_back,
        "live": seen.live,
        "commands": await journal.history.commands(seen.run, size=MAX_STATUS_SHOWN),
        "decisions": (await journal.history.decisions(seen.run))[-MAX_STATUS_SHOWN:],
    }


def facts_object(seen: RunSeen, stage: str) -> dict[str, object]:
    """The facts of a run that need no counting, and its stage; only settings that differ from the defaults."""
    run, holder = seen.run, seen.holder
    return {
        "run": run.name,
        "job": run.job,
        "parameters": dict(run.parameters),
        "source": run.source,
        "target": run.target,
        "profile": None if (badge := badge_of(run.parameters)) is None else badge.as_object(),
        "stage": stage,
        "settings": dict(run.policy),
        "created": run.created_at,
        "frozen": run.frozen_at,
        "approved": run.approved_at,
        "discarded": run.discarded_at,
        "purged": run.purged_at,
        "ended": ended_facts(run),
        "paused": None if run.paused_at is None else {"since": run.paused_at, "by": run.paused_by},
        "holder": None if holder is None else {"host": holder.host, "process": holder.process, "since": holder.since},
    }
