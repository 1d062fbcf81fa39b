"""`status`: where all runs stand, or one of them in detail."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from checkpoints.journal import Journal
from checkpoints.records import Run, Stage, Totals
from checkpoints.states import OPEN, State
from cli.display import STYLES
from cli.exits import Exit
from cli.names import PROGRAM
from cli.preview import first_refusals, refused_rows
from cli.report import EXPLAINED, next_steps, reasons_list, states_object, states_table, steps_list
from cli.screen import Screen
from cli.sessions import open_existing
from cli.settings import Settings
from cli.texts import count, moment, plain


async def status(name: str | None, settings: Settings, screen: Screen) -> Exit:
    """Show the runs, or the one of that name. Raises `CommandRefused` and `JournalError`."""
    async with open_existing(settings.journal.value) as journal:
        if name is not None:
            run = await journal.run(name)
            if screen.voice.as_json:
                screen.emit(await _object(run, journal))
            else:
                screen.out.print(await _detail(run, journal))
            return Exit.DONE
        runs = await journal.runs()
        if screen.voice.as_json:
            screen.emit({"journal": str(journal.path), "runs": [await _object(run, journal) for run in runs]})
        elif runs:
            screen.out.print(await _table(runs, journal))
        else:
            screen.out.print(f"{plain(journal.path)} has no runs yet", markup=False)
    return Exit.DONE


def stage_of(run: Run, totals: Totals, *, is_held: bool) -> str:
    """Where a run stands, in a word or two."""
    if is_held:
        return "running"
    match run.stage:
        case Stage.DISCARDED:
            return "given up"
        case Stage.INTAKE:
            return "reading, stopped"
        case Stage.FROZEN:
            return "not approved"
        case Stage.APPROVED if totals.count(*OPEN) or run.frozen_at is None:
            return "stopped"
        case _:
            return "done"


async def _table(runs: list[Run], journal: Journal) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("run", "job", "rows from", "stage", "rows", "begun", "held by"):
        table.add_column(column, overflow="fold", no_wrap=column in {"run", "begun"})
    for run in runs:
        totals = await journal.totals(run)
        holder = journal.holder(run)
        table.add_row(
            Text(run.name, "bold"),
            run.job,
            Text(plain(run.source, 60)),
            stage_of(run, totals, is_held=holder is not None),
            _states(totals),
            moment(run.created_at),
            Text(f"process {holder.process} on {plain(holder.host)}" if holder else "–"),
        )
    return table


def _states(totals: Totals) -> Text:
    words = Text()
    for state in State:
        if number := totals.counts.get(state):
            words.append(f"{count(number)} {state}  ", STYLES[state])
    if totals.refused:
        words.append(f"{count(totals.refused)} refused", "red")
    return words


async def _detail(run: Run, journal: Journal) -> RenderableType:
    totals = await journal.totals(run)
    holder = journal.holder(run)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", justify="right")
    facts.add_column(overflow="fold")
    parameters = ", ".join(f"{name}={value}" for name, value in run.parameters.items() if value)
    for what, value in (
        ("run", f"{run.name}, {stage_of(run, totals, is_held=holder is not None)}"),
        ("job", f"{run.job} {parameters}"),
        ("rows from", run.source),
        ("billing", run.target),
        ("begun", moment(run.created_at)),
        ("list complete", moment(run.frozen_at)),
        ("approved", moment(run.approved_at)),
        ("given up", moment(run.discarded_at)),
        ("held by", holder or "nobody"),
    ):
        if str(value) != "–":
            facts.add_row(what, Text(plain(value)))
    parts: list[RenderableType] = [facts, Text(""), states_table(totals)]
    parts += [reasons_list(state, await journal.reasons(run, state)) for state in EXPLAINED if totals.count(state)]
    if totals.refused:
        parts.append(refused_rows(await first_refusals(run, journal), totals.refused, run))
    if holder:
        parts.append(Text(f"It is being worked on: look again with {PROGRAM} status {run.name}", "dim"))
    elif run.stage is not Stage.DISCARDED:
        steps = next_steps(run, totals, intake_ended=run.frozen_at is not None)
        parts += [Text(""), steps_list(steps)] if steps else []
    return Group(*parts)


async def _object(run: Run, journal: Journal) -> dict[str, object]:
    totals = await journal.totals(run)
    holder = journal.holder(run)
    return {
        "run": run.name,
        "job": run.job,
        "parameters": dict(run.parameters),
        "source": run.source,
        "target": run.target,
        "stage": str(run.stage),
        **states_object(totals),
        "created": run.created_at,
        "frozen": run.frozen_at,
        "approved": run.approved_at,
        "discarded": run.discarded_at,
        "holder": None if holder is None else {"host": holder.host, "process": holder.process, "since": holder.since},
    }
