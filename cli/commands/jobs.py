"""`jobs`: lists the jobs and their parameters."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import typer
from rich.syntax import Syntax
from rich.text import Text

from cli.terminal.layout import Facts, command, one_line, steps_list
from cli.terminal.screen import AsJson, Screen, Voice
from jobs.catalogue.catalogue import JOBS, job_named
from jobs.spec.columns import usual_names
from jobs.spec.parameters import Parameter
from jobs.spec.spec import JobSpec, asked_for, own_select
from texts.remedies import PROGRAM

app: Final = typer.Typer(add_completion=False)


@app.command("jobs")
def _jobs(
    name: Annotated[str | None, typer.Argument(metavar="JOB", help="A job, for its parameters.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """List the jobs, or show one with its parameters and an example.

    Of one job it shows its parameters, its columns, its select, its call and its way back as well.
    """
    show(name, Screen(Voice(as_json=as_json)))


def show(name: str | None, screen: Screen) -> None:
    """Show all jobs, or one in detail. Raises `ParameterRefused` for an unknown name."""
    chosen = list(JOBS.values()) if name is None else [job_named(name)]
    if screen.voice.as_json:
        found = [as_object(job) for job in chosen]
        screen.emit(found if name is None else found[0])
    elif name is None:
        _show_all(chosen, screen)
    else:
        _show_one(chosen[0], screen)


def as_object(job: JobSpec) -> dict[str, object]:
    """A job as a JSON object."""
    return {
        "name": job.name,
        "recipes": list(job.recipes),
        "summary": job.summary,
        "writes": job.writes,
        "parameters": [_parameter(one) for one in job.parameters],
        "sql": own_select(job),
        "call": job.call,
        "way_back": job.undo,
        "undo_parameters": [_parameter(one) for one in job.undo_parameters],
        "example": job.example,
    }


def needs(job: JobSpec) -> str:
    """The possible sources of the job's rows, in words."""
    select = own_select(job)
    own = ["the job's own select, below"] if select else []
    asked = [f"--set {name}=…" for name in asked_for(select)]
    of_rows = [
        f"--ask {one.name}" if one.secret else f"--set {one.name}=…"
        for one in job.parameters
        if one.columns is not None and one.default is None
    ]
    one_row = [f"one row of {', '.join(of_rows)}"] if of_rows else []
    ways = [f"{own[0]}, with {' and '.join(asked)}" if asked else own[0]] if own else []
    return "; or ".join([*ways, "a file", "standard input", "--sql", *one_row])


def value(parameter: Parameter) -> str:
    """The values that a parameter takes, and its default."""
    choices = " | ".join(parameter.choices)
    if parameter.default is None:
        return f"{choices} (required)".strip()
    if choices:
        return f"{choices} ({parameter.default or 'may be left out'})"
    return parameter.default or "(may be left out)"


def in_rows(parameter: Parameter) -> str:
    """The column names under which rows can give the parameter, "" where they cannot."""
    if parameter.columns is None:
        return ""
    return ", ".join((parameter.name, *parameter.columns))


def further_names(parameter: Parameter) -> tuple[str, ...]:
    """The usual names, Russian and English, under which the rows' column is found as well."""
    return () if parameter.columns is None else usual_names(parameter.name, parameter.columns)


def _parameter(one: Parameter) -> Mapping[str, object]:
    return {
        "name": one.name,
        "help": one.help,
        "default": one.default,
        "choices": list(one.choices),
        "columns": None if one.columns is None else [one.name, *one.columns, *further_names(one)],
        "secret": one.secret,
    }


def _show_all(jobs: Sequence[JobSpec], screen: Screen) -> None:
    table = Facts()
    for job in jobs:
        table.add(job.name, Text("" if job.writes else "reads  ", "cyan").append(job.summary, "not cyan"))
    screen.result(table)
    screen.result("")
    screen.result(steps_list([(f"{PROGRAM} jobs JOB", "see its parameters, select, call, way back and an example")]))


def _show_one(job: JobSpec, screen: Screen) -> None:
    facts = Facts()
    facts.add("job", Text(job.name, "bold").append(f"  {job.summary}", "not bold"))
    facts.add("kind", Text("writes" if job.writes else "reads; its answers become a file"))
    facts.add("rows", Text(needs(job)))
    facts.add("call", Text(job.call))
    facts.add("undo", Text(job.undo))
    screen.result(facts)
    screen.result(Text("example", "dim"))
    screen.result(command(job.example))
    _show_parameters("--set NAME=VALUE", job.parameters, screen)
    _show_columns(job.parameters, screen)
    _show_parameters("undo --set NAME=VALUE", job.undo_parameters, screen)
    if select := own_select(job):
        screen.result(Text("\nits own select", "dim"))
        for line in (
            Syntax(select, "sql", theme="ansi_dark", background_color="default").highlight(select).split("\n")
        ):
            screen.result(one_line("  ", line))


def _show_parameters(title: str, parameters: Sequence[Parameter], screen: Screen) -> None:
    if not parameters:
        return
    screen.result(Text(f"\n{title}", "dim"))
    table = Facts(indent=2)
    for one in parameters:
        told = Text(value(one), "cyan").append(f"  {one.help}", "not cyan")
        if columns := in_rows(one):
            told.append(f"\ncolumns: {columns}", "dim")
        table.add(one.name, told)
    screen.result(table)


def _show_columns(parameters: Sequence[Parameter], screen: Screen) -> None:
    """The usual names of columns, for the jobs whose rows have them."""
    named = [(one.name, names) for one in parameters if (names := further_names(one))]
    if not named:
        return
    screen.result(Text("\ncolumns that are found as well; another name: --map NAME=COLUMN", "dim"))
    table = Facts(indent=2)
    for name, names in named:
        table.add(name, Text(", ".join(names)))
    screen.result(table)
