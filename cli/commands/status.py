"""`status`: shows all runs, or one of them in detail, once or again until nobody works on it."""

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Column
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Totals
from cli.commands.execution import with_settings
from cli.session.control_client import hear
from cli.session.journal import check_address, open_existing, stored_policy, which_of
from cli.session.queue import NOTE, queued_runs
from cli.session.run_view import STOPPED, RunView, ended_facts, holds_its_file
from cli.settings.flags import RUN_NAME_OR_NONE, JournalFlags
from cli.settings.settings import Settings, without_profile
from cli.show import closing
from cli.show.progress import line, looks, screen_of, show_looks
from cli.terminal.exits import CommandRefused, Exit
from cli.terminal.layout import Hanging, bare_table, drawn, is_of_badge, render, steps_list
from cli.terminal.names import REFUSED, outcomes_of
from cli.terminal.options import switch
from cli.terminal.screen import JsonVoice, Screen
from cli.terminal.texts import WHOLE, moment, printable
from engine.pacing.policy import describe_policy
from jobs.spec.words import source_of
from texts.said import Quantity, command_line, name_of_sender, said

MAX_STATUS_SHOWN: Final = 10
"""The latest commands and decisions that are shown."""

WIDEST: Final = 10_000
"""Columns in which a table is measured."""


@with_settings(
    "status",
    JournalFlags,
    JsonVoice,
    reads=True,
    flags_of=lambda flags, given: without_profile(flags) if given["every"] else flags,
)
async def _status(
    settings: Settings,
    screen: Screen,
    name: str | None = RUN_NAME_OR_NONE,
    *,
    every: bool = switch("All billings of the settings on one screen: who works where, and what is left.", "--all"),
    again: bool = switch("Look again every second, until nobody works on the run.", "--watch"),
) -> Exit:
    """Show all runs, or one of them in detail."""
    if every:
        from cli.session.overview import status_all

        if name is not None:
            raise CommandRefused("--all shows all runs: leave {run} out, or --all", run=printable(name))
        return await status_all(settings, screen, again=again)
    as_json = screen.voice.as_json
    check_address(settings)
    async with open_existing(settings.journal.value) as journal:
        if again:
            await _watch(name or await _only_working_run(journal), journal, screen)
        elif name is not None:
            await _show(await see(name, journal), journal, screen)
        elif not (runs := await journal.runs()) and not as_json:
            screen.show(said("{journal} has no runs yet", journal=journal.name))
        elif as_json:
            objects = [await run_object(await see(run.name, journal), journal) for run in runs]
            screen.emit({"journal": journal.name, "runs": objects})
        else:
            queued, found = await queued_runs(journal), await journal.history.overview(NOTE)
            views = [RunView(it.run, it.totals, it.holder, queued=queued.get(it.run.name)) for it in found]
            screen.show(RunsTable(views))
            stopped = [view.run.name for view in views if view.stage == STOPPED]
            goes_on = said("show this stopped run, and how it goes on")
            steps = dict.fromkeys((command_line("status", name) for name in stopped[-MAX_STATUS_SHOWN:]), goes_on)
            # What was given up has nothing that comes next.
            last = next((view.run.name for view in reversed(views) if not view.is_discarded), runs[-1].name)
            steps.setdefault(command_line("status", last), said("show this run, and what comes next"))
            screen.show(steps_list(list(steps.items())))
    return Exit.DONE


# ---- runs as they are ---------------------------------------------------------------------------------------------


async def see(name: str, journal: Journal, *, counted: bool = True) -> RunView:
    """A run as it is now; unless `counted`, without its rows where its process says what they are."""
    run = await journal.run(name)
    live, silent, holder = None, "", await journal.holder(run)
    if holder is None:
        # Until its process let go of it, the run may have gone on since it was read.
        run = await journal.run(name)
    else:
        heard, why = await hear(run, journal)
        live, silent = heard.status if heard else None, why or ""
    totals = await journal.totals(run) if counted or live is None else Totals()
    queued = None if holder or run.ended_at else (await queued_runs(journal)).get(run.name)
    is_shared = journal.address.is_shared
    return RunView(run, totals, holder, live=live, silent=silent, is_shared=is_shared, queued=queued)


class RunsTable:
    """All runs: a line a run where they fit, else a paragraph a run, in which nothing is cut."""

    def __init__(self, runs: Iterable[RunView]) -> None:
        columns = said("run"), said("job"), said("rows from"), said("stage"), said("rows"), said("begun")
        whole = (Column(render(name), no_wrap=True) for name in (*columns, said("held by")))
        self._table = bare_table(*whole)
        self._paragraphs: list[Hanging] = []
        for one in runs:
            run, holder, totals, source = one.run, one.holder, one.shown, source_of(one.run)
            told = [(found.rows, name, found.state.style) for name, found in outcomes_of(totals).items()]
            told.append((totals.refused, REFUSED, "red"))
            states = Text("  ").join(
                render(said("{n} {state}", n=Quantity(number), state=state), style)
                for number, state, style in told
                if number
            )
            begun = moment(run.created_at)
            held = said("process {process} on {host}", process=holder.process, host=holder.host) if holder else "–"
            name = Text(run.name, "bold")
            self._table.add_row(name, run.job, render(source), render(one.stage_text), states, begun, render(held))
            lines = [
                render(said("{job}, {stage}", job=run.job, stage=one.stage_text)),
                render(said("from {source}", source=printable(source, WHOLE))),
                *([states] if states else []),
                render(said("begun {begun}", begun=begun)),
                *([render(said("held by {process}", process=held))] if holder else []),
            ]
            self._paragraphs.append(Hanging(name.copy().append("  "), Text("\n").join(lines)))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        needed = Measurement.get(console, options.update(max_width=WIDEST), self._table).maximum
        yield from [self._table] if needed <= options.max_width else self._paragraphs


async def _show(seen: RunView, journal: Journal, screen: Screen) -> None:
    if screen.voice.as_json:
        screen.emit(await run_object(seen, journal))
    else:
        screen.show(await detail(seen, journal))


async def detail(seen: RunView, journal: Journal) -> RenderableType:
    run, totals, history = seen.run, seen.shown, journal.history
    commands, decisions = await history.commands(run, size=MAX_STATUS_SHOWN + 1), await history.decisions(run)
    given = run.parameters.items()
    unfinished = run.ended_at is None and (run.frozen_at is None or totals.count_where(open=True) > 0)
    steps: list[tuple[str, str]] = []
    if run.paused_at and (unfinished or seen.holder or holds_its_file(run)):
        steps.append((command_line("continue", run.name), said("end the pause")))
    if seen.holder or seen.queued:
        steps.append((command_line("status", run.name, "--watch"), said("see it work")))
    else:
        steps = [] if seen.is_discarded or run.purged_at else steps + await closing.steps_after(run, totals, journal)
    return drawn(
        "status.j2",
        {
            "outcome": closing.outcome_table(run, totals, await closing.steps_of(run, journal)),
            "live": screen_of(seen.live, counts_rows=False) if seen.live else Text(""),
        },
        seen=seen,
        parameters=[f"{name}={value}" for name, value in given if value and not is_of_badge(name)],
        source=source_of(run),
        end=closing.describe_end(run),
        pacing=describe_policy(stored_policy(run)),
        found=[] if run.purged_at else await closing.reasons_of(run, totals, journal),
        refused=await closing.first_refusals(run, journal) if totals.refused and not run.purged_at else (),
        all_refused=closing.bad_export(run),
        commands=commands[-MAX_STATUS_SHOWN:],
        decisions=decisions[-MAX_STATUS_SHOWN:],
        more_told=max(len(commands), len(decisions)) > MAX_STATUS_SHOWN,
        steps=steps,
    )


async def run_object(seen: RunView, journal: Journal) -> dict[str, object]:
    """The details for scripts; `live` is the status that the run's process reports, null without an answer."""
    return {
        **facts_object(seen),
        **closing.states_object(seen.totals),
        "taken_back": seen.totals.taken_back,
        "sum_taken_back": format(seen.totals.sum_taken_back, "f"),
        **closing.read_back_object(seen.totals),
        "live": seen.live,
        "queue": seen.queued and seen.queued.facts,
        "commands": await journal.history.commands(seen.run, size=MAX_STATUS_SHOWN),
        "decisions": (await journal.history.decisions(seen.run))[-MAX_STATUS_SHOWN:],
    }


def facts_object(seen: RunView) -> dict[str, object]:
    """The facts of a run that need no counting while it is worked on; only settings that differ from the defaults."""
    run, holder = seen.run, seen.holder
    return {
        "run": run.name,
        "job": run.job,
        "parameters": dict(run.parameters),
        "source": run.source,
        "target": run.target,
        "profile": seen.badge and seen.badge.as_object(),
        "stage": seen.stage,
        "settings": dict(run.policy),
        "created": run.created_at,
        "frozen": run.frozen_at,
        "approved": run.approved_at,
        "discarded": run.discarded_at,
        "purged": run.purged_at,
        "ended": ended_facts(run),
        "paused": None if run.paused_at is None else {"since": run.paused_at, "by": run.paused_by},
        "holder": holder and {"host": holder.host, "process": holder.process, "since": holder.since},
    }


# ---- `status --watch`: a run again every second, until no process works on it -------------------------------------


async def tell_changes(seen_again: AsyncIterator[RunView], journal: Journal, screen: Screen) -> None:
    """Print each change of a run, as a line or as an object; that time passes is none."""
    before: object = None
    async for seen in seen_again:
        live = seen.live
        still = live and replace(live, seconds=0.0, average=0.0, held_seconds={})
        if screen.voice.as_json:
            # What the run reports has no sums, which would have to be counted.
            found = (
                {**facts_object(seen), "states": live.counts, "refused": live.refused, "live": live}
                if live
                else await run_object(seen, journal)
            )
            now: object = found | {"live": still}
            if now != before:
                screen.emit(found)
        else:
            title, idle = _title(seen).plain, ""
            if not live:
                # The state, from its journal, of a run that reports no status.
                states = [
                    said("{n} {state}", n=Quantity(found.rows), state=name)
                    for name, found in outcomes_of(seen.shown).items()
                ]
                where = said("{stage}, {states}", stage=seen.stage_text, states=tuple(states) or said("no rows yet"))
                where = said("{where} ({silent})", where=where, silent=seen.silent) if seen.silent else where
                idle = printable(where, WHOLE)
            now = title, line(still).plain if still else idle
            if now != before:
                screen.out.print(f"{title}: {line(live).plain if live else idle}", markup=False, soft_wrap=True)
        before = now


async def _watch(chosen: str, journal: Journal, screen: Screen) -> None:
    """Watch a run until it ends: a terminal is redrawn, else each change is a line, or with `--json` an object."""
    seen_again = looks(
        lambda: see(chosen, journal, counted=False), lambda seen: seen.is_held or seen.queued is not None
    )
    if not screen.out.is_terminal or screen.voice.as_json:
        await tell_changes(seen_again, journal, screen)
        return

    async def views() -> AsyncIterator[RenderableType]:
        # A short view, which needs no counting, while the run reports its status.
        async for seen in seen_again:
            if seen.is_held or seen.queued:
                yield Group(_title(seen), screen_of(seen.live)) if seen.live else await detail(seen, journal)

    await show_looks(views(), screen)
    await _show(await see(chosen, journal), journal, screen)


async def _only_working_run(journal: Journal) -> str:
    working = [run for run in await journal.runs() if await journal.holder(run)]
    if not working:
        raise CommandRefused(
            "nobody works on any run of {journal}: {command} shows them",
            journal=printable(journal.name),
            command=command_line("status"),
        )
    if len(working) > 1:
        raise await which_of(working, journal, "status", "--watch")
    return working[0].name


def _title(seen: RunView) -> Text:
    run = seen.run
    title = render(said("run {run}", run=run.name), "bold")
    if seen.badge:
        title.append(" ").append_text(seen.badge.line)
    if run.paused_at:
        who = name_of_sender(run.paused_by or "")
        paused = said("paused, by {who}, since {when}", who=who, when=moment(run.paused_at))
        return title.append(" ").append_text(render(paused, "bold yellow"))
    return title
