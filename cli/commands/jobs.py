"""`jobs`: lists the jobs and their parameters, and checks a declaration of one's own."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, cast

import typer
from rich.syntax import Syntax
from rich.text import Text

from cli.commands.selftest import ROWS
from cli.settings.flags import COMMON_PART, ConfigPath, Flags
from cli.settings.settings import load
from cli.terminal.exits import CommandRefused
from cli.terminal.layout import Facts, command, labelled, one_line, render, steps_list
from cli.terminal.screen import AsJson, Screen, Voice
from jobs.catalogue.catalogue import Catalogue
from jobs.spec.columns import usual_names
from jobs.spec.parameters import Parameter
from jobs.spec.spec import JobSpec, Special, asked_for, own_select
from texts.remedies import command_line, setting
from texts.said import said

app: Final = typer.Typer(add_completion=False)


ROUNDS: Final = 3
CHECK: Final = "check"
"""The word before a declaration that is to be checked; no job can have this name."""
_CLAUSE: Final = re.compile(r".*?(?=[;:.] |$)")
"""The beginning of a help, which says what a parameter is."""
_CHECKING: Final = ("jobs", CHECK, "FILE.py")


@app.command("jobs")
def _jobs(  # noqa: PLR0913 - each is a flag
    name: Annotated[
        str | None, typer.Argument(metavar="JOB", help=f"A job, for its parameters; or {CHECK} FILE.py.")
    ] = None,
    declaration: Annotated[
        Path | None, typer.Argument(metavar="FILE", help=f"The jobs of one's own to {CHECK}.", show_default=False)
    ] = None,
    *,
    rounds: Annotated[
        int | None,
        typer.Option("--rounds", min=1, metavar="N", help=f"Rounds for each job to {CHECK}, {ROUNDS} by default."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed", min=0, metavar="N", help="The first round's; those after it count on. Drawn, by default."
        ),
    ] = None,
    rows: Annotated[
        int | None,
        typer.Option("--rows", min=20, max=20_000, metavar="N", help=f"Rows of a round, {ROWS} by default."),
    ] = None,
    config: ConfigPath = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs, or show one with its parameters and an example.

    Of one job it shows its parameters, its columns, its select, its call and its way back as well. `check` tries the
    jobs of a file of one's own in the crash lab, and says what it cannot promise of them.
    """
    screen = Screen(Voice(as_json=as_json))
    if name == CHECK:
        if declaration is None:
            raise CommandRefused("name the file to be checked: {command}", command=command_line(*_CHECKING))
        from cli.commands.job_check import check_declaration

        raise typer.Exit(check_declaration(declaration, rounds or ROUNDS, seed, rows or ROWS, screen))
    if declaration is not None or (rounds, seed, rows) != (None, None, None):
        raise CommandRefused(
            "a file, {rounds}, {seed} and {rows} belong to {command}",
            rounds=setting("rounds"),
            seed=setting("seed"),
            rows=setting("rows"),
            command=command_line(*_CHECKING),
        )
    show(name, load(Flags(config=config, profile=COMMON_PART), os.environ, Path.cwd()).catalogue, screen)


def show(name: str | None, catalogue: Catalogue, screen: Screen) -> None:
    """Show all jobs, or one in detail. Raises `ParameterRefused` for an unknown name."""
    chosen = list(catalogue.jobs.values()) if name is None else [catalogue.named(name)]
    for fault in catalogue.faults if name is None else ():
        screen.say_always(labelled(said("note:"), fault, "yellow"))
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
    if job.special is Special.IMPORT:
        return said("a file; or standard input; and files joined by contract number")
    sources = said("a file; or standard input; or {flag}", flag=setting("sql"))
    of_rows = [
        f"--ask {one.name}" if one.secret else f"--set {one.name}=…"
        for one in job.parameters
        if one.columns is not None and one.default is None
    ]
    if of_rows:
        sources = said("{sources}; or one row of {flags}", sources=sources, flags=tuple(of_rows))
    if not (select := own_select(job)):
        return sources
    if asked := [f"--set {name}=…" for name in asked_for(select)]:
        return said("the job's own select, below, with {flags}; or {sources}", flags=tuple(asked), sources=sources)
    return said("the job's own select, below; or {sources}", sources=sources)


def value(parameter: Parameter) -> str:
    """The values that a parameter takes, and its default."""
    choices = " | ".join(parameter.choices)
    if parameter.default is None:
        return said("{choices} (required)", choices=choices) if choices else said("(required)")
    if not choices:
        return parameter.default or said("(may be left out)")
    if not parameter.default:
        return said("{choices} (may be left out)", choices=choices)
    return f"{choices} ({parameter.default})"


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
        kind = Text() if job.writes else render(said("reads"), "cyan").append("  ")
        table.add(job.name, kind.append_text(render(job.summary)))
    screen.result(table)
    screen.result("")
    purpose = said("see its parameters, select, call, way back and an example")
    screen.result(steps_list([(command_line("jobs", "JOB"), purpose)]))


def _show_one(job: JobSpec, screen: Screen) -> None:
    facts = Facts()
    facts.add(
        said("job"), Text(job.name, "bold").append("  ", "not bold").append_text(render(job.summary, "not bold"))
    )
    facts.add(said("kind"), said("writes") if job.writes else said("reads; its answers become a file"))
    facts.add(said("rows"), render(needs(job)))
    facts.add(said("call"), render(job.call))
    facts.add(said("undo"), render(job.undo))
    screen.result(facts)
    screen.result(render(said("example"), "dim"))
    screen.result(command(job.example))
    _show_parameters("--set NAME=VALUE", job.parameters, screen)
    _show_columns(job.parameters, screen)
    _show_parameters("undo --set NAME=VALUE", job.undo_parameters, screen)
    if select := own_select(job):
        screen.result("")
        screen.result(render(said("its own select"), "dim"))
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
        told = render(value(one), "cyan").append("  ", "not cyan").append_text(render(one.help, "not cyan"))
        if columns := in_rows(one):
            told.append("\n").append_text(render(said("columns: {columns}", columns=columns), "dim"))
        table.add(one.name, told)
    screen.result(table)


def show_briefly(parameters: Sequence[Parameter], screen: Screen) -> None:
    """Show what each parameter is, and which of them rows can give."""
    if not parameters:
        return
    screen.result("")
    screen.result(render(said("columns of the rows, or {flag}", flag=setting("set", "NAME=VALUE")), "dim"))
    table = Facts(indent=2)
    for one in parameters:
        needed = "" if one.default == "" and not one.choices else f"{render(value(one))}  "
        about = render(one.help).plain
        clause = about[: cast("re.Match[str]", _CLAUSE.match(about)).end()]
        table.add(one.name if in_rows(one) else f"--set {one.name}", Text(needed, "cyan").append(clause, "not cyan"))
    screen.result(table)


def _show_columns(parameters: Sequence[Parameter], screen: Screen) -> None:
    """The usual names of columns, for the jobs whose rows have them."""
    named = [(one.name, names) for one in parameters if (names := further_names(one))]
    if not named:
        return
    title = said("columns that are found as well; another name: {flag}", flag=setting("map", "NAME=COLUMN"))
    screen.result("")
    screen.result(render(title, "dim"))
    table = Facts(indent=2)
    for name, names in named:
        table.add(name, Text(", ".join(names)))
    screen.result(table)
