"""`jobs`: what there is to do, and with which parameters."""

from rich.table import Table
from rich.text import Text

from cli.names import PROGRAM
from cli.screen import Screen
from jobs.catalogue import JOBS, kind
from jobs.kinds import JobKind, Parameter


def show(name: str | None, screen: Screen) -> None:
    """All jobs, a line each, or one in detail. Raises `ParameterRefused` for a name that is none."""
    if name is None:
        _show_all(screen)
    else:
        _show_one(kind(name), screen)


def _show_all(screen: Screen) -> None:
    table = Table.grid(padding=(0, 2))
    for job in JOBS.values():
        table.add_row(Text(job.name, "bold"), job.summary)
    screen.result(table)
    screen.result(f"\n[dim]Parameters, call and an example:[/] {PROGRAM} jobs NAME")


def _show_one(job: JobKind, screen: Screen) -> None:
    screen.result(Text(job.name, "bold").append(f"  {job.summary}", "not bold"))
    needs = [
        "a file" if job.takes_file else "no file",
        "the billing's database" if job.needs_database else "the API; the database too makes it faster",
    ]
    screen.result(Text("needs    ", "dim").append("; ".join(needs), "not dim"))
    screen.result(Text("calls    ", "dim").append(job.call, "not dim"))
    screen.result(Text("example  ", "dim").append(job.example, "bold not dim"))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 3, 0, 0))
    for column in ("--set", "value", "what for"):
        table.add_column(column, overflow="fold")
    for parameter in job.parameters:
        table.add_row(Text(parameter.name, "bold"), Text(_value(parameter)), Text(parameter.help))
    screen.result("")
    screen.result(table)


def _value(parameter: Parameter) -> str:
    choices = " | ".join(parameter.choices)
    if parameter.default is None:
        return f"{choices} (required)".strip()
    if choices:
        return f"{choices} ({parameter.default or 'may be left out'})"
    return parameter.default or "(may be left out)"
