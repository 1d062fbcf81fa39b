"""`mock`: a test billing with made-up subscribers."""

from pathlib import Path
from shlex import quote
from typing import Annotated, Final

import anyio
import typer

from cli.commands import replay
from cli.settings.flags import FaultWords, argument, flag
from cli.terminal.exits import CommandRefused
from cli.terminal.layout import steps_list
from cli.terminal.screen import Screen
from cli.terminal.texts import WHOLE, printable, reason_of
from cli.terminal.waiting import waiting
from texts.remedies import PROGRAM
from texts.said import Quantity, any_of, counted, said

app: Final = typer.Typer(
    help="A billing to try things on, with made-up subscribers.", no_args_is_help=True, add_completion=False
)

PORT: Final = 8082
QUIRKS: Final = (
    "type_8",
    "descr_length",
    "descr_returned",
    "descr_filters",
    "create_answers",
    "storno_call",
    "storno_type_8",
    "error_status",
    "deleted_numbers",
    "too_long",
    "value_types",
    "list_errors",
    "closed_period",
    "money_scale",
)
"""The names that --quirk takes: the fields of the lab's `Quirks`. Repeated, since help must not import the lab."""


@app.command()
def init(
    file: Annotated[Path, argument("FILE", "The database to make; it must not be there yet.")],
    abonents: Annotated[int, flag("--abonents", "N", "Subscribers.", min=1, max=2_000_000)],
    seed: Annotated[int, flag("--seed", "N", "The same seed makes the same subscribers.")] = 1,
    without: Annotated[
        list[str] | None,
        flag("--without", "TABLE[.COLUMN]", "A column or table that it lacks, as versions do; repeatable."),
    ] = None,
) -> None:
    """Make the database of a mock billing."""
    from lab.mock.population import create

    if file.exists():
        raise CommandRefused("{file} is there already: name another file, or remove it", file=printable(file))
    progress = (0, 0)

    def note(done: int, of: int) -> None:
        nonlocal progress
        progress = (done, of)

    try:
        with waiting(said("making {file}", file=printable(file)), lambda: progress):
            made = create(file, subscribers=abonents, seed=seed, without=without or (), on_progress=note)
    except BaseException:
        # A partial database is useless, whatever came between; the command can be repeated.
        file.unlink(missing_ok=True)
        raise
    screen = Screen()
    screen.say(
        counted(
            "{file}: {n} subscriber, {deleted} deleted, folders {folders}",
            "{file}: {n} subscribers, {deleted} deleted, folders {folders}",
            made.subscribers,
            file=printable(file),
            deleted=Quantity(made.deleted),
            folders=tuple(map(str, made.folders)),
        )
    )
    screen.say(steps_list([(f"{PROGRAM} mock serve {quote(printable(file, WHOLE))}", said("serve it"))]))


@app.command()
def serve(  # noqa: PLR0913 - each is a flag
    file: Annotated[Path, argument("FILE", "A database made by `mock init`.")],
    *,
    port: Annotated[int, flag("--port", "P", "0 takes a free one.", min=0, max=65535)] = PORT,
    latency_ms: Annotated[float, flag("--latency-ms", "MS", "How long each answer takes.", min=0)] = 0.0,
    slots: Annotated[int, flag("--slots", "N", "Requests that are worked on at one time.", min=1)] = 64,
    queue: Annotated[
        int | None,
        flag("--queue", "N", "Requests that may wait; others get 503. Default: any number.", min=0),
    ] = None,
    capacity: Annotated[
        str | None,
        flag("--capacity", "SECONDS:SLOTS,…", "Slots that change over time, as 0:8,30:4."),
    ] = None,
    stack_rate: Annotated[
        float,
        flag("--stack-rate", "N", "Writes that have their effect a second; 0: at once.", min=0),
    ] = 0.0,
    busy: Annotated[
        bool, flag("--busy/--no-busy", None, "Refuse writes to whom an entry in a stack concerns.")
    ] = True,
    licence: Annotated[
        int | None,
        flag("--licence", "N", "Subscribers it may have at most. Default: any number.", min=0),
    ] = None,
    fault: FaultWords = None,
    seed: Annotated[int | None, flag("--seed", "N", "The same seed draws the same faults.")] = None,
    control_port: Annotated[
        int | None,
        flag("--control-port", "P", "Where faults, state and ledger are reached; 0: a free one.", min=0, max=65535),
    ] = None,
    quirk: Annotated[
        list[str] | None,
        flag("--quirk", "NAME=VALUE", f"What it does otherwise than usual; repeatable. Names: {', '.join(QUIRKS)}."),
    ] = None,
) -> None:
    """Serve the REST API of a mock billing until Ctrl-C; its address is the first line on stdout.

    With --control-port the second line is `control: URL`.
    """
    from lab.mock.faults import plan_of_flags
    from lab.mock.quirks import read_quirks
    from lab.mock.server import read_schedule, running
    from lab.mock.server import serve as serve_mock

    if not file.exists():
        raise CommandRefused(
            "there is no {file}: make it with {command}",
            file=printable(file),
            command=f"{PROGRAM} mock init {printable(file)} --abonents 1000",
        )
    plan = plan_of_flags(fault or [], seed)
    schedule = read_schedule(capacity) if capacity is not None else None
    quirks = read_quirks(quirk or [])

    async def work() -> None:
        mock = running(
            file,
            port=port,
            latency=latency_ms / 1000,
            slots=slots,
            queue=queue,
            capacity=schedule,
            stack_rate=stack_rate,
            busy=busy,
            licence=licence,
            faults=plan,
            control_port=control_port,
            quirks=quirks,
        )
        with waiting(None):
            await serve_mock(mock)

    try:
        anyio.run(work)
    except OSError as error:
        ports = any_of([str(one) for one in (port, control_port) if one is not None])
        raise CommandRefused("port {ports} cannot be served: {why}", ports=ports, why=reason_of(error)) from error


app.add_typer(replay.app)
