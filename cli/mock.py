"""`mock`: a billing to try things on, with made-up subscribers."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import anyio
import typer

from billing.mockserver.population import create
from billing.mockserver.server import serve as serve_mock
from cli.errors import CommandRefused
from cli.names import PROGRAM
from cli.screen import Screen
from cli.texts import count, plain

app: Final = typer.Typer(help="A billing to try things on, with made-up subscribers.", no_args_is_help=True)

PORT: Final = 8082


class OpeningBalance(StrEnum):
    """What an operation of type 8 does to the balance."""

    SETS = "sets"
    ADDS = "adds"


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The database to make; it must not be there yet.")],
    abonents: Annotated[int, typer.Option("--abonents", min=1, max=2_000_000, metavar="N", help="Subscribers.")],
    seed: Annotated[int, typer.Option("--seed", help="The same seed makes the same subscribers.")] = 1,
) -> None:
    """Make the database of a mock billing."""
    if file.exists():
        raise CommandRefused(f"{plain(file)} is there already: name another file, or remove it")
    made = create(file, abonents=abonents, seed=seed)
    screen = Screen()
    screen.say(
        f"{plain(file)}: {count(made.abonents)} subscribers, {count(made.deleted)} deleted ones, "
        f"folders {', '.join(map(str, made.folders))}"
    )
    screen.say(f"[dim]next:[/] {PROGRAM} mock serve {plain(file)}")


@app.command()
def serve(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A database made by `mock init`.")],
    port: Annotated[int, typer.Option("--port", min=0, max=65535, metavar="P", help="0 takes a free one.")] = PORT,
    latency_ms: Annotated[
        float, typer.Option("--latency-ms", min=0, metavar="MS", help="How long each answer takes.")
    ] = 0.0,
    slots: Annotated[
        int, typer.Option("--slots", min=1, metavar="N", help="Requests that are worked on at one time.")
    ] = 64,
    opening_balance: Annotated[
        OpeningBalance, typer.Option("--opening-balance", help="What an opening balance does to the balance.")
    ] = OpeningBalance.SETS,
) -> None:
    """Serve the REST API of a mock billing until Ctrl-C; its address is the first line on stdout."""
    if not file.exists():
        raise CommandRefused(
            f"there is no {plain(file)}: make it with {PROGRAM} mock init {plain(file)} --abonents 1000"
        )

    async def work() -> None:
        await serve_mock(
            file,
            port=port,
            latency=latency_ms / 1000,
            slots=slots,
            opening_balance="sets" if opening_balance is OpeningBalance.SETS else "adds",
            announce=_announce,
        )

    try:
        anyio.run(work)
    except OSError as error:
        raise CommandRefused(f"port {port} cannot be served: {error.strerror or error}") from error


def _announce(url: str) -> None:
    # Flushed, for whoever started it may read this from a pipe.
    sys.stdout.write(f"{url}\n")
    sys.stdout.flush()
